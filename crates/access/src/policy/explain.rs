//! Why a decision is what it is: each document, each statement, and for each that does not match
//! the first element that does not. For people, not for requests: it allocates.

use std::{collections::BTreeSet, fmt};

use super::{
    decide::{Basis, Decision, Documents, Lacks, Source, decide},
    document::{DENY, Document, Inner, Part, Slot, Statement, WORDS_CONDITION, WORDS_VARIABLE},
    evaluate::{Asked, Element, Outcome, Request, Strength, statement},
    keys::{Found, Key, Need},
    operators::Operator,
    text::Chars,
};

/// A decision, and what each statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The action that was asked for.
    pub action: String,
    /// What it was on.
    pub target: String,
    /// Who asked, by ARN; `None` for who has none.
    pub principal: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// All documents, in the order in which they are named in [`Documents`].
    pub documents: Vec<DocumentReport>,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentReport {
    /// Which one.
    pub source: Source,
    /// Whether it counts for this request at all: no guard bounds services and strangers, and the
    /// bucket's policy does not keep the account that owns it from its policy.
    pub counts: bool,
    /// In the order of its text.
    pub statements: Vec<StatementReport>,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementReport {
    /// Its place in the text, from 0.
    pub statement: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// Whether it denies.
    pub denies: bool,
    /// Whether it is about the request.
    pub verdict: Verdict,
    /// What may surprise in it.
    pub warnings: Vec<String>,
    /// Keys that it asks about and of which the request has no value, if the rest of it is about
    /// the request.
    pub missing: Vec<String>,
}

/// Why a statement is [`Verdict::Ambiguous`].
const TWO_TAGS: &str = "two tags have the key that it compares, in different case";

/// Whether a statement is about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Matches(Worth),
    /// It is not.
    Differs(Mismatch),
    /// That depends on what was not loaded.
    Unknown(Need),
    /// It compares more than a request may cost.
    TooCostly,
    /// Two tags have a key that it compares: it denies, and allows nothing.
    Ambiguous,
}

/// What a statement of a resource's document is worth inside the account that owns the resource.
/// For principals of other accounts each is worth the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It names the account: its users and roles need an identity policy as well.
    Account,
    /// As much as an identity policy: the boundary and session policies bound it.
    Identity,
    /// All: neither an identity policy nor a boundary or session policy is asked.
    Direct,
}

/// The first element of a statement that is not about the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// `Action` or `NotAction`.
    Action,
    /// `Principal` or `NotPrincipal`.
    Principal,
    /// `Resource` or `NotResource`.
    Resource,
    /// A variable without a value and without a default, by its key.
    Variable(String),
    /// A condition that does not hold.
    Condition {
        /// The operator.
        operator: String,
        /// The key.
        key: String,
        /// What the request has there; empty if the key is absent.
        values: Vec<String>,
    },
}

/// Decides as [`decide`] does, and says why.
pub fn explain(request: &Request<'_>, documents: &Documents<'_>) -> Explanation {
    // One for all, so that it costs no more than a decision may.
    let asked = Asked::new(request, documents.owner);
    let reports = documents.all().map(|(document, source)| {
        let mut statements: Vec<_> = document.0.statements.iter().collect();
        statements.sort_by_key(|own| own.number);
        DocumentReport {
            source,
            counts: documents.counts(source, request),
            statements: statements
                .into_iter()
                .map(|own| report(document, own, &asked))
                .collect(),
        }
    });
    Explanation {
        action: request.action.to_string(),
        target: request.target.to_string(),
        principal: request.principal.arn(),
        decision: decide(request, documents),
        documents: reports.collect(),
    }
}

fn report(document: &Document, own: &Statement, asked: &Asked<'_>) -> StatementReport {
    let inner = &*document.0;
    let verdict = match statement(inner, own, asked) {
        Outcome::Matches(strength) => Verdict::Matches(match strength {
            Strength::Account => Worth::Account,
            Strength::Role => Worth::Identity,
            // The principal's own policies are worth what they are.
            Strength::Direct if inner.slot == Slot::Principal => Worth::Identity,
            Strength::Direct => Worth::Direct,
        }),
        Outcome::Unknown(need) => Verdict::Unknown(need),
        Outcome::TooCostly => Verdict::TooCostly,
        Outcome::Ambiguous => Verdict::Ambiguous,
        Outcome::Differs(element) => Verdict::Differs(mismatch(inner, own, element, asked)),
    };
    let warnings = match verdict {
        Verdict::Matches(_) if !own.is(DENY) => warnings(inner, own, asked),
        _ => Vec::new(),
    };
    let missing = match verdict {
        Verdict::Differs(Mismatch::Action | Mismatch::Principal | Mismatch::Resource) => Vec::new(),
        _ => missing(inner, own, asked),
    };
    StatementReport {
        statement: own.number.into(),
        sid: document.sid(own.number.into()).map(str::to_owned),
        denies: own.is(DENY),
        verdict,
        warnings,
        missing,
    }
}

/// The keys of a statement's conditions and variables, with the names of tags.
fn keys<'i>(inner: &'i Inner, own: &Statement) -> impl Iterator<Item = (Key, &'i str)> {
    let conditions = inner.entries(own.conditions, WORDS_CONDITION);
    let all = conditions.chain(inner.entries(own.variables, WORDS_VARIABLE));
    all.map(|words| key_of(inner, words))
}

fn missing(inner: &Inner, own: &Statement, asked: &Asked<'_>) -> Vec<String> {
    let absent = |(key, name): &(Key, &str)| match asked.find(*key, name) {
        Found::Absent | Found::NotLoaded(_) => true,
        Found::One(_) | Found::Ambiguous => false,
        Found::Texts(texts) => texts.is_empty(),
        Found::TagKeys(tags) => tags.is_empty(),
    };
    let all = keys(inner, own).filter(absent);
    let all: BTreeSet<String> = all.map(|(key, name)| [key.name(), name].concat()).collect();
    all.into_iter().collect()
}

impl Document {
    /// The keys that its conditions and variables ask about.
    pub fn keys(&self) -> BTreeSet<String> {
        let inner = &*self.0;
        let all = inner.statements.iter().flat_map(|own| keys(inner, own));
        all.map(|(key, name)| [key.name(), name].concat()).collect()
    }
}

fn mismatch(inner: &Inner, own: &Statement, element: Element, asked: &Asked<'_>) -> Mismatch {
    match element {
        Element::Action => Mismatch::Action,
        Element::Principal => Mismatch::Principal,
        Element::Resource => Mismatch::Resource,
        Element::Variable(n) => {
            let words = inner.entries(own.variables, WORDS_VARIABLE).nth(n);
            let (key, name) = words.map_or((Key::Claim, ""), |words| key_of(inner, words));
            Mismatch::Variable([key.name(), name].concat())
        }
        Element::Condition(n) => {
            let words = inner.entries(own.conditions, WORDS_CONDITION).nth(n);
            let words = words.unwrap_or_default();
            let (key, name) = key_of(inner, words);
            let head = words.first().copied().unwrap_or(0);
            Mismatch::Condition {
                operator: Operator::of(head >> 8).name(),
                key: [key.name(), name].concat(),
                values: values(&asked.find(key, name)),
            }
        }
    }
}

/// The key of a condition or variable, and the name of the tag in it.
fn key_of<'i>(inner: &'i Inner, words: &[u32]) -> (Key, &'i str) {
    let word = |n: usize| words.get(n).copied().unwrap_or(0);
    let key = Key::of((word(0) & 0xff) as u8);
    (key, inner.str(Part::of(word(1))))
}

fn values(found: &Found<'_>) -> Vec<String> {
    let text = |chars: Chars<'_>| {
        let bytes: Vec<u8> = chars.bytes().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    match found {
        Found::Absent | Found::NotLoaded(_) | Found::Ambiguous => Vec::new(),
        Found::One(value) => vec![text(value.chars())],
        Found::Texts(texts) => texts.iter().map(|text| (*text).to_owned()).collect(),
        Found::TagKeys(tags) => tags.iter().map(|(name, _)| (*name).to_owned()).collect(),
    }
}

/// What lets in more than it seems to: a `ForAllValues` that holds because there is no value.
fn warnings(inner: &Inner, own: &Statement, asked: &Asked<'_>) -> Vec<String> {
    let conditions = inner.entries(own.conditions, WORDS_CONDITION);
    let open = conditions.filter_map(|words| {
        let (key, name) = key_of(inner, words);
        let operator = Operator::of(words.first().copied().unwrap_or(0) >> 8);
        let none = values(&asked.find(key, name)).is_empty();
        (operator.every && none).then(|| {
            format!(
                "{} {}{name} holds because the request has no value there",
                operator.name(),
                key.name()
            )
        })
    });
    open.collect()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self
            .principal
            .as_deref()
            .unwrap_or("a caller without a name");
        let verdict = match self.decision {
            Decision::Allow(_) => "allowed",
            Decision::ExplicitDeny(_) | Decision::ImplicitDeny(_) => "refused",
            Decision::Needs(_) => "not decided",
        };
        writeln!(
            f,
            "{verdict}: {who} asks for {} on {}",
            self.action, self.target
        )?;
        match &self.decision {
            Decision::Allow(Basis::Statement(found)) => writeln!(
                f,
                "because statement {} of {} allows it",
                found.statement + 1,
                found.document
            ),
            Decision::Allow(Basis::Root) => {
                writeln!(
                    f,
                    "because the account itself asks, which needs no policy of its own"
                )
            }
            Decision::Allow(Basis::Acl) => writeln!(f, "because an access control list allows it"),
            Decision::ExplicitDeny(found) => writeln!(
                f,
                "because statement {} of {} denies it, which nothing can outweigh",
                found.statement + 1,
                found.document
            ),
            Decision::ImplicitDeny(lacks) => writeln!(f, "because {lacks}"),
            Decision::Needs(need) => writeln!(f, "because it depends on {need}"),
        }?;
        self.documents
            .iter()
            .try_for_each(|document| document.fmt(f))
    }
}

impl fmt::Display for DocumentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let out = if self.counts {
            ""
        } else {
            " (does not count here)"
        };
        writeln!(f, "{}{out}", self.source)?;
        self.statements.iter().try_for_each(|own| own.fmt(f))
    }
}

impl StatementReport {
    /// What it does, in words.
    pub fn words(&self) -> String {
        match (&self.verdict, self.denies) {
            (Verdict::TooCostly, _) => "compares too much: the request is refused".to_owned(),
            (Verdict::Ambiguous, true) => format!("denies it: {TWO_TAGS}"),
            (Verdict::Ambiguous, false) => format!("does not allow it: {TWO_TAGS}"),
            (Verdict::Matches(_), true) => "denies it".to_owned(),
            (Verdict::Matches(Worth::Account), false) => {
                "allows it to the account: its users need a policy of their own as well".to_owned()
            }
            (Verdict::Matches(_), false) => "allows it".to_owned(),
            (Verdict::Differs(mismatch), _) => mismatch.to_string(),
            (Verdict::Unknown(need), _) => format!("depends on {need}"),
        }
    }
}

impl fmt::Display for StatementReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  statement {}", self.statement + 1)?;
        if let Some(sid) = &self.sid {
            write!(f, " ({sid})")?;
        }
        let (does, would) = match self.denies {
            true => ("denies", "does not deny"),
            false => ("allows", "does not allow"),
        };
        match &self.verdict {
            Verdict::Matches(worth) if !self.denies && *worth == Worth::Account => writeln!(
                f,
                " {does} the account: its users and roles need an identity-based policy as well"
            ),
            Verdict::Matches(_) => writeln!(f, " {does} it"),
            Verdict::Differs(mismatch) => writeln!(f, " {would} it: {mismatch}"),
            Verdict::Unknown(need) => writeln!(f, " {does} it or not: that depends on {need}"),
            Verdict::TooCostly => writeln!(f, " compares too much: the request is refused"),
            Verdict::Ambiguous if self.denies => writeln!(f, " {does} it: {TWO_TAGS}"),
            Verdict::Ambiguous => writeln!(f, " {would} it: {TWO_TAGS}"),
        }?;
        let mut warnings = self.warnings.iter();
        warnings.try_for_each(|warning| writeln!(f, "    note: {warning}"))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action => f.write_str("it is about other actions"),
            Self::Principal => f.write_str("it is about other principals"),
            Self::Resource => f.write_str("it is about other resources"),
            Self::Variable(key) => write!(f, "${{{key}}} has no value and no default"),
            Self::Condition {
                operator,
                key,
                values,
            } => match &values[..] {
                [] => write!(f, "{operator} {key}: the request has no value there"),
                values => write!(f, "{operator} {key}: the request has {values:?}"),
            },
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard => f.write_str("the guard policy of the account"),
            Self::Resource => f.write_str("the resource-based policy"),
            Self::Identity(n) => write!(f, "identity-based policy {}", n + 1),
            Self::Boundary => f.write_str("the permissions boundary"),
            Self::Session(n) => write!(f, "session policy {}", n + 1),
        }
    }
}

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guard => "the guard policy of the account does not allow it",
            Self::Identity => "no identity-based policy allows it",
            Self::Boundary => "the permissions boundary does not allow it",
            Self::Session => "no session policy allows it",
            Self::Resource => {
                "neither a resource-based policy nor an access control list allows it"
            }
        })
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExistingObjectTags => "the tags of the object",
            Self::RequestObjectTags => "the object's tags in the request",
            Self::ResourceTags => "the tags of the resource",
            Self::RequestTags => "the tags in the request",
            Self::Acl => "the access control list and the owner of the object",
            Self::Location => "the region where the bucket will be",
            Self::Ownership => "the ownership of objects in the request",
        })
    }
}
