//! Reads the text of a document and compiles it.

use std::sync::Arc;

use super::{
    applies,
    build::{Builder, Meaning, STATEMENTS_MAX, too_large},
    compile_principal::{self, Resolve},
    document::{
        ANY_ACTION, DENY, Document, DocumentKind, Inner, NOT_ACTION, NOT_PRINCIPAL, NOT_RESOURCE,
        RESOURCES, Slot, Statement,
    },
    error::{Fault, PolicyError},
    json::{self, Member, Node, Value},
    keys::Key,
    names::{self, ActionSet},
    operators::{self, Operator},
    public, resource,
    text::wild,
};
use crate::actions::Kind;

pub(super) const NOT_JSON: &str = "Policies must be valid JSON and the first byte must be '{'";
pub(super) const BAD_ACTION: &str = "Policy has invalid action";
const UNFIT_KEY: &str =
    "Conditions do not apply to combination of actions and resources in statement";
const BAD_KEY: &str = "Policy has an invalid condition key";
/// Longest text at all, for all the white space that is not counted.
const TEXT_MAX: usize = 256 * 1024;

impl Document {
    /// Reads and compiles a document. Users and roles that a resource policy names are known by
    /// name only as long as [`Self::with_resolved`] has not said who they are: no `Allow` for them
    /// counts, a `Deny` does.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, kind: DocumentKind<'_>) -> Result<Self, PolicyError> {
        compile(text, kind, &Resolve::Later).map_err(|fault| fault.in_text(text))
    }

    /// The same for a document that is to be saved: `resolve` answers the unique id of the user or
    /// role of an ARN, or the account of a canonical user. Both are to be kept with the text
    /// ([`Self::resolutions`]).
    ///
    /// # Errors
    /// As [`Self::parse`], and if it names somebody who does not exist.
    pub fn parse_resolved(
        text: &str,
        kind: DocumentKind<'_>,
        resolve: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, PolicyError> {
        compile(text, kind, &Resolve::Now(resolve)).map_err(|fault| fault.in_text(text))
    }
}

fn compile(text: &str, kind: DocumentKind<'_>, resolve: &Resolve<'_>) -> Result<Document, Fault> {
    let (node, bytes) = read(text, kind)?;
    let mut compiler = Compiler {
        builder: Builder::new(kind),
        resolve,
        sids: Vec::new(),
        fitting: None,
    };
    let mut statements = compiler.document(&node)?;
    statements.sort_by_key(|statement| !statement.is(DENY));
    let builder = compiler.builder;
    let mut inner = Inner {
        slot: kind.slot(),
        public: false,
        bytes,
        statements: statements.into(),
        words: builder.words.into(),
        text: builder.text.into(),
    };
    inner.public = kind.slot() != Slot::Principal && public::is_public(&inner);
    Ok(Document(Arc::new(inner)))
}

/// The text as JSON, and its length without white space.
fn read(text: &str, kind: DocumentKind<'_>) -> Result<(Node, u32), Fault> {
    let of_bucket = matches!(kind, DocumentKind::Bucket(_));
    if text.len() > TEXT_MAX {
        return Err(Fault::too_large(too_large(kind)));
    }
    let first = if of_bucket { text } else { text.trim_start() };
    if !first.starts_with('{') {
        return Err(Fault::new(0, NOT_JSON));
    }
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}');
    if !of_bucket && let Some(at) = text.find(|c| !allowed(c)) {
        return Err(Fault::new(at, NOT_JSON).detail("a character that is not allowed"));
    }
    let read =
        json::read(text).map_err(|wrong| Fault::new(wrong.at, NOT_JSON).detail(wrong.why))?;
    match u32::try_from(read.bytes) {
        Ok(bytes) if read.bytes <= kind.bytes_max() => Ok((read.node, bytes)),
        _ => Err(Fault::too_large(too_large(kind))),
    }
}

/// One value or a list of them.
pub(super) fn list(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(nodes) => nodes,
        _ => std::slice::from_ref(node),
    }
}

/// One text or a list of at least one.
pub(super) fn texts<'n>(node: &'n Node, wrong: &str) -> Result<Vec<(usize, &'n str)>, Fault> {
    let nodes = list(node);
    if nodes.is_empty() {
        return Err(Fault::new(node.at, wrong).detail("the list is empty"));
    }
    let text = |node: &'n Node| match &node.value {
        Value::Text(text) => Ok((node.at, text.as_str())),
        _ => Err(Fault::new(node.at, wrong).detail("no text")),
    };
    nodes.iter().map(text).collect()
}

pub(super) fn unknown(member: &Member) -> Fault {
    Fault::new(member.at, format!("Unknown field {}", member.name))
}

fn missing(at: usize, name: &str) -> Fault {
    Fault::new(at, format!("Missing required field {name}"))
}

/// The elements of a statement.
#[derive(Default)]
struct Elements<'n> {
    sid: Option<&'n Member>,
    effect: Option<&'n Member>,
    principal: Option<(&'n Member, bool)>,
    action: Option<(&'n Member, bool)>,
    resource: Option<(&'n Member, bool)>,
    condition: Option<&'n Member>,
}

impl<'n> Elements<'n> {
    fn of(members: &'n [Member]) -> Result<Self, Fault> {
        let mut elements = Self::default();
        for member in members {
            let (slot, negated) = match member.name.as_str() {
                "Sid" => {
                    elements.sid = Some(member);
                    continue;
                }
                "Effect" => {
                    elements.effect = Some(member);
                    continue;
                }
                "Condition" => {
                    elements.condition = Some(member);
                    continue;
                }
                "Principal" => (&mut elements.principal, false),
                "NotPrincipal" => (&mut elements.principal, true),
                "Action" => (&mut elements.action, false),
                "NotAction" => (&mut elements.action, true),
                "Resource" => (&mut elements.resource, false),
                "NotResource" => (&mut elements.resource, true),
                _ => return Err(unknown(member)),
            };
            if slot.replace((member, negated)).is_some() {
                let name = member.name.strip_prefix("Not").unwrap_or(&member.name);
                let detail = format!("a statement has {name} or Not{name}, not both");
                return Err(unknown(member).detail(detail));
            }
        }
        Ok(elements)
    }
}

struct Compiler<'a> {
    builder: Builder<'a>,
    resolve: &'a Resolve<'a>,
    sids: Vec<String>,
    /// The actions of the statement that fit its resources, where they are all known and the
    /// document is to be saved: one that was saved before the table of keys stays readable.
    fitting: Option<Vec<(usize, Kind)>>,
}

/// Where an action stands in the text, and which ones it matches.
type Matched = Vec<(usize, Vec<(usize, Kind)>)>;

impl Compiler<'_> {
    fn kind(&self) -> DocumentKind<'_> {
        self.builder.kind
    }

    fn of_bucket(&self) -> bool {
        matches!(self.builder.kind, DocumentKind::Bucket(_))
    }

    fn document(&mut self, node: &Node) -> Result<Vec<Statement>, Fault> {
        let Value::Object(members) = &node.value else {
            return Err(Fault::new(node.at, NOT_JSON));
        };
        let mut statements = None;
        for member in members {
            match (member.name.as_str(), &member.node.value) {
                ("Version", Value::Text(version)) if version == "2012-10-17" => {
                    self.builder.variables_allowed = true;
                }
                ("Version", Value::Text(version)) if version == "2008-10-17" => {}
                ("Version", _) => {
                    let sentence = "The policy must contain a valid version string";
                    return Err(Fault::new(member.node.at, sentence));
                }
                ("Id", Value::Text(_)) if self.kind().slot() != Slot::Principal => {}
                ("Statement", _) => statements = Some(&member.node),
                _ => return Err(unknown(member)),
            }
        }
        let statements = statements.ok_or_else(|| missing(node.at, "Statement"))?;
        let nodes = list(statements);
        if nodes.is_empty() {
            return Err(missing(statements.at, "Statement").detail("the list is empty"));
        }
        let mut compiled = Vec::with_capacity(nodes.len());
        for (n, node) in nodes.iter().enumerate() {
            let statement = self.statement(node, n).map_err(|fault| Fault {
                statement: Some(n + 1),
                ..fault
            })?;
            compiled.push(statement);
        }
        Ok(compiled)
    }

    fn statement(&mut self, node: &Node, number: usize) -> Result<Statement, Fault> {
        let Value::Object(members) = &node.value else {
            return Err(Fault::new(node.at, NOT_JSON).detail("a statement is no object"));
        };
        if number >= STATEMENTS_MAX {
            let sentence = too_large(self.kind());
            return Err(Fault::new(node.at, sentence)
                .detail(format!("more than {STATEMENTS_MAX} statements"))
                .into_too_large());
        }
        let elements = Elements::of(members)?;
        let mut statement = Statement {
            number: number as u16,
            ..Statement::default()
        };
        self.builder.variables.clear();
        self.sid(&elements, &mut statement)?;
        let effect = elements.effect.ok_or_else(|| missing(node.at, "Effect"))?;
        match &effect.node.value {
            Value::Text(effect) if effect == "Allow" => {}
            Value::Text(effect) if effect == "Deny" => statement.flags |= DENY,
            Value::Text(other) => {
                return Err(Fault::new(
                    effect.node.at,
                    format!("Invalid effect: {other}"),
                ));
            }
            _ => return Err(Fault::new(effect.node.at, "Invalid effect: no text")),
        }
        self.principal(&elements, node.at, &mut statement)?;
        let (action, not) = elements.action.ok_or_else(|| missing(node.at, "Action"))?;
        let matched = self.action(&action.node, &mut statement)?;
        statement.flags |= if not { NOT_ACTION } else { 0 };
        self.resource(&elements, node.at, &mut statement, &matched)?;
        if let Some(condition) = elements.condition {
            self.condition(&condition.node, &mut statement)?;
        }
        let variables = std::mem::take(&mut self.builder.variables);
        statement.variables = self.builder.entries(&variables)?;
        Ok(statement)
    }

    fn sid(&mut self, elements: &Elements<'_>, statement: &mut Statement) -> Result<(), Fault> {
        let Some(member) = elements.sid else {
            return Ok(());
        };
        let at = member.node.at;
        let Value::Text(sid) = &member.node.value else {
            return Err(Fault::new(at, "Invalid Sid: no text"));
        };
        if self.kind().slot() == Slot::Principal {
            if !sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(Fault::new(at, "Statement IDs (SID) must be alpha-numeric"));
            }
            if !sid.is_empty() && self.sids.contains(sid) {
                let sentence = "Statement IDs (SID) in a single policy must be unique";
                return Err(Fault::new(at, sentence));
            }
            self.sids.push(sid.clone());
        }
        statement.sid = self.builder.keep(sid.as_bytes())?;
        Ok(())
    }

    fn principal(
        &mut self,
        elements: &Elements<'_>,
        at: usize,
        statement: &mut Statement,
    ) -> Result<(), Fault> {
        match (self.kind().slot(), elements.principal) {
            (Slot::Principal, None) => Ok(()),
            (Slot::Principal, Some((member, _))) => {
                let sentence = "Policy document should not specify a principal.";
                Err(Fault::new(member.at, sentence))
            }
            (_, None) => Err(missing(at, "Principal")),
            (_, Some((member, not))) => {
                let of = compile_principal::compile(&mut self.builder, member, self.resolve)?;
                statement.principals = self.builder.entries(&of)?;
                statement.flags |= if not { NOT_PRINCIPAL } else { 0 };
                Ok(())
            }
        }
    }

    /// The actions; answers those of S3.
    fn action(&mut self, node: &Node, statement: &mut Statement) -> Result<Matched, Fault> {
        let mut matched = Vec::new();
        let mut actions = ActionSet::default();
        let mut others = Vec::new();
        for (at, name) in texts(node, BAD_ACTION)? {
            let wrong = || Fault::new(at, BAD_ACTION).detail(format!("{name:?}"));
            if name == "*" || name == "*:*" {
                statement.flags |= ANY_ACTION;
                continue;
            }
            let (service, part) = name.split_once(':').ok_or_else(wrong)?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            let named = |b: u8| plain(b) || matches!(b, b'*' | b'?' | b'_');
            let fits = service.bytes().all(plain) && part.bytes().all(named);
            if service.is_empty() || part.is_empty() || !fits {
                return Err(wrong());
            }
            let service = service.to_ascii_lowercase();
            match self.kind() {
                DocumentKind::Bucket(_) if service != "s3" => return Err(wrong()),
                DocumentKind::Trust if service != "sts" => return Err(wrong()),
                _ => {}
            }
            if service == "s3" {
                let mut of = Vec::new();
                for (number, kind) in names::matching(part) {
                    actions.insert(number);
                    of.push((number, kind));
                }
                if of.is_empty() && self.of_bucket() {
                    return Err(wrong());
                }
                matched.push((at, of));
            } else {
                self.builder.count(at)?;
                let pattern = wild(name.to_ascii_lowercase().as_bytes());
                others.push([self.builder.keep(&pattern)?.word()]);
            }
        }
        statement.actions = actions;
        statement.others = self.builder.entries(&others)?;
        Ok(matched)
    }

    fn resource(
        &mut self,
        elements: &Elements<'_>,
        at: usize,
        statement: &mut Statement,
        matched: &Matched,
    ) -> Result<(), Fault> {
        self.fitting = None;
        let (member, not) = match (self.kind().slot(), elements.resource) {
            (Slot::Trust, None) => return Ok(()),
            (Slot::Trust, Some((member, _))) => return Err(unknown(member)),
            (_, None) => return Err(missing(at, "Resource")),
            (_, Some(found)) => found,
        };
        let mut entries = Vec::new();
        let (mut buckets, mut objects) = (false, false);
        for (at, text) in texts(&member.node, resource::WRONG)? {
            let compiled = resource::compile(&mut self.builder, at, text)?;
            buckets |= compiled.buckets;
            objects |= compiled.objects;
            entries.extend(compiled.entries);
        }
        statement.resources = self.builder.entries(&entries)?;
        statement.flags |= RESOURCES | if not { NOT_RESOURCE } else { 0 };
        if !self.of_bucket() || not || statement.is(NOT_ACTION) {
            return Ok(());
        }
        let fits = |(_, kind): &&(usize, Kind)| match kind {
            Kind::Service => false,
            Kind::NewBucket | Kind::Bucket => buckets,
            Kind::Object => objects,
        };
        let unfit = |(_, of): &&(usize, Vec<_>)| !of.iter().any(|own| fits(&own));
        if let Some((at, _)) = matched.iter().find(unfit) {
            let sentence = "Action does not apply to any resource(s) in statement";
            return Err(Fault::new(*at, sentence));
        }
        if matches!(self.resolve, Resolve::Now(_)) && !statement.is(ANY_ACTION) {
            let all = matched.iter().flat_map(|(_, of)| of);
            self.fitting = Some(all.filter(fits).copied().collect());
        }
        Ok(())
    }

    /// Refuses a key that no request has which the statement is about.
    fn check_fits(&self, key: Key, member: &Member) -> Result<(), Fault> {
        let Some(fitting) = &self.fitting else {
            return Ok(());
        };
        let has =
            |(number, kind): &(usize, Kind)| applies::has(key, names::name_of(*number), *kind);
        match fitting.iter().any(has) {
            true => Ok(()),
            false => Err(Fault::new(member.at, UNFIT_KEY).detail(format!("{:?}", member.name))),
        }
    }

    fn condition(&mut self, node: &Node, statement: &mut Statement) -> Result<(), Fault> {
        let Value::Object(operators) = &node.value else {
            return Err(Fault::new(node.at, BAD_KEY).detail("Condition is no object"));
        };
        let mut entries = Vec::new();
        for member in operators {
            let wrong = || {
                Fault::new(
                    member.at,
                    format!("Invalid Condition type : {}", member.name),
                )
            };
            let operator = Operator::parse(&member.name).ok_or_else(wrong)?;
            let Value::Object(keys) = &member.node.value else {
                return Err(Fault::new(member.node.at, BAD_KEY).detail("no object of keys"));
            };
            for key in keys {
                entries.push(self.key(operator, key)?);
            }
        }
        statement.conditions = self.builder.entries(&entries)?;
        Ok(())
    }

    fn key(&mut self, operator: Operator, member: &Member) -> Result<[u32; 3], Fault> {
        let wrong = || Fault::new(member.at, BAD_KEY).detail(format!("{:?}", member.name));
        let (key, name) = Key::parse(&member.name);
        if key == Key::Claim && (self.of_bucket() || !name.contains(':')) {
            return Err(wrong());
        }
        self.check_fits(key, member)?;
        let nodes = list(&member.node);
        if nodes.is_empty() {
            return Err(wrong().detail("the list of values is empty"));
        }
        let mut kept = Vec::new();
        for node in nodes {
            let text = match &node.value {
                Value::Text(text) | Value::Number(text) => text.as_str(),
                Value::Bool(true) => "true",
                Value::Bool(false) => "false",
                Value::Null | Value::List(_) | Value::Object(_) => {
                    let sentence = "Invalid Condition value : no text, number or boolean";
                    return Err(Fault::new(node.at, sentence));
                }
            };
            operators::keep(
                &mut self.builder,
                operator.compare(),
                node.at,
                text,
                &mut kept,
            )?;
        }
        let words: Vec<_> = kept.into_iter().map(|word| [word]).collect();
        let values = self.builder.entries(&words)?;
        let name = self.builder.keep(name.as_bytes())?;
        Ok([
            key as u32 | operator.word() << 8,
            name.word(),
            values.word(),
        ])
    }
}

/// Wildcards and variables.
pub(super) const PATTERN: Meaning = Meaning {
    wildcards: true,
    variables: true,
};
