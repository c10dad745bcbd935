//! Principals in resource policies: how they are read and kept, and whom they name.

use super::{
    build::Builder,
    compile::{list, texts},
    document::{Document, DocumentKind, Inner, Part, Slot, Statement, WORDS_PRINCIPAL},
    error::Fault,
    json::{self, Member, Node, Value},
};

const WRONG: &str = "Invalid principal in policy";

/// How users, roles and canonical users get to be known.
pub(super) enum Resolve<'a> {
    /// Not yet.
    Later,
    /// Now; who is unknown is refused.
    Now(&'a dyn Fn(&str) -> Option<String>),
}

/// Whom an entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Anybody,
    Account,
    User,
    Role,
    /// A session of a role, or of `GetFederationToken`, by its ARN.
    Session,
    Provider,
    Service,
    Canonical,
    /// A unique id: whose it was is gone.
    Gone,
}

/// What is known of a user, role or canonical user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum State {
    /// Nothing yet.
    Unresolved,
    /// The unique id, or the account.
    Known,
    /// That there is none.
    Gone,
}

const KINDS: [Kind; 9] = [
    Kind::Anybody,
    Kind::Account,
    Kind::User,
    Kind::Role,
    Kind::Session,
    Kind::Provider,
    Kind::Service,
    Kind::Canonical,
    Kind::Gone,
];

/// An entry, read back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub kind: Kind,
    pub state: State,
    /// The ARN, account, provider, service or canonical id.
    pub text: &'a [u8],
    /// The unique id, or the account of a canonical user.
    pub id: &'a [u8],
}

impl<'a> Entry<'a> {
    pub fn of(inner: &'a Inner, words: &[u32]) -> Self {
        let word = |n: usize| words.get(n).copied().unwrap_or(0);
        let kind = KINDS.get((word(0) & 0xff) as usize);
        let state = match word(0) >> 8 {
            0 => State::Unresolved,
            1 => State::Known,
            _ => State::Gone,
        };
        Self {
            kind: kind.copied().unwrap_or(Kind::Gone),
            state,
            text: inner.bytes(Part::of(word(1))),
            id: inner.bytes(Part::of(word(2))),
        }
    }

    fn is_resolved_by_id(&self) -> bool {
        matches!(self.kind, Kind::User | Kind::Role | Kind::Canonical)
    }

    /// A session of a role: of the role that has the name now, if there is one.
    fn is_of_role(&self) -> bool {
        self.kind == Kind::Session && names_role(self.text)
    }
}

/// The entry that names everybody.
pub(super) const ANYBODY: [u32; WORDS_PRINCIPAL] = [head(Kind::Anybody, State::Known), 0, 0];

/// Whether the ARN of a session is one of a session of a role.
fn names_role(arn: &[u8]) -> bool {
    arn.windows(ASSUMED.len()).any(|part| part == ASSUMED)
}

const ASSUMED: &[u8] = b":assumed-role/";

const fn head(kind: Kind, state: State) -> u32 {
    kind as u32 | (state as u32) << 8
}

/// The element `Principal` or `NotPrincipal`.
pub(super) fn compile(
    builder: &mut Builder<'_>,
    member: &Member,
    resolve: &Resolve<'_>,
) -> Result<Vec<[u32; 3]>, Fault> {
    let at = member.node.at;
    let kinds = match &member.node.value {
        Value::Text(text) if text == "*" => {
            builder.count(at)?;
            return Ok(vec![ANYBODY]);
        }
        Value::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(Fault::new(at, WRONG)),
    };
    let mut entries = Vec::new();
    for kind in kinds {
        for (at, text) in texts(&kind.node, WRONG)? {
            builder.count(at)?;
            let wrong = || Fault::new(at, WRONG).detail(format!("{text:?}"));
            let (found, text) = parse(builder.kind, &kind.name, text).ok_or_else(wrong)?;
            let mut entry = [
                head(found, State::Known),
                builder.keep(text.as_bytes())?.word(),
                0,
            ];
            if matches!(found, Kind::User | Kind::Role | Kind::Canonical) {
                match resolve {
                    Resolve::Later => entry[0] = head(found, State::Unresolved),
                    Resolve::Now(resolve) => {
                        let id = resolve(text).ok_or_else(wrong)?;
                        entry[2] = builder.keep(id.as_bytes())?.word();
                    }
                }
            }
            if let (Kind::Session, true, Resolve::Now(resolve)) =
                (found, names_role(text.as_bytes()), resolve)
                && let Some(id) = resolve(text)
            {
                entry[2] = builder.keep(id.as_bytes())?.word();
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Whom a text names, and the text that is kept.
fn parse<'t>(of: DocumentKind<'_>, kind: &str, text: &'t str) -> Option<(Kind, &'t str)> {
    match kind {
        "AWS" => of_aws(text),
        "Service" => {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            let named = text.contains('.') && text.bytes().all(plain);
            named.then_some((Kind::Service, text))
        }
        "Federated" => {
            let plain = |b: u8| b.is_ascii_graphic() && !b"*?$\"\\".contains(&b);
            let named = !text.is_empty() && text.bytes().all(plain);
            named.then_some((Kind::Provider, text))
        }
        "CanonicalUser" if of.slot() == Slot::Resource => {
            let named = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            named.then_some((Kind::Canonical, text))
        }
        _ => None,
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn of_aws(text: &str) -> Option<(Kind, &str)> {
    if text == "*" {
        return Some((Kind::Anybody, ""));
    }
    if is_account(text) {
        return Some((Kind::Account, text));
    }
    let bare = text
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if bare && text.len() >= 16 && ["AIDA", "AROA"].iter().any(|head| text.starts_with(head)) {
        return Some((Kind::Gone, text));
    }
    let (service, rest) = match text.strip_prefix("arn:aws:iam::") {
        Some(rest) => ("iam", rest),
        None => ("sts", text.strip_prefix("arn:aws:sts::")?),
    };
    let (account, rest) = rest.split_once(':')?;
    // What names a path or a name begins and ends with no slash, and has no wildcard.
    let plain = |b: u8| b.is_ascii_graphic() && !b"*?$:\"\\".contains(&b);
    if !is_account(account) || !rest.bytes().all(plain) {
        return None;
    }
    if (service, rest) == ("iam", "root") {
        return Some((Kind::Account, account));
    }
    let (kind, name) = rest.split_once('/')?;
    if name.is_empty() || name.starts_with('/') || name.ends_with('/') {
        return None;
    }
    let slashes = name.matches('/').count();
    let kind = match (service, kind) {
        ("iam", "user") => Kind::User,
        ("iam", "role") => Kind::Role,
        ("sts", "assumed-role") if slashes == 1 => Kind::Session,
        ("sts", "federated-user") if slashes == 0 => Kind::Session,
        _ => return None,
    };
    Some((kind, text))
}

impl Document {
    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let inner = &*self.0;
        let of = |statement: &Statement| inner.entries(statement.principals, WORDS_PRINCIPAL);
        let entries = inner.statements.iter().flat_map(of);
        entries.map(|words| Entry::of(inner, words))
    }

    /// The ARNs of users, roles and sessions of roles that it names, and the ids of canonical
    /// users: what has to be resolved. One may come more than once.
    pub fn principals(&self) -> impl Iterator<Item = &str> {
        let resolved = |entry: &Entry<'_>| entry.is_resolved_by_id() || entry.is_of_role();
        let named = self.entries().filter(resolved);
        named.map(|entry| str::from_utf8(entry.text).unwrap_or_default())
    }

    /// What each of [`Self::principals`] that is known was resolved to: to be kept with the text,
    /// for [`Self::with_resolved`].
    pub fn resolutions(&self) -> Vec<(String, String)> {
        let known = |entry: &Entry<'_>| match entry.kind {
            Kind::Session => !entry.id.is_empty(),
            _ => entry.is_resolved_by_id() && entry.state == State::Known,
        };
        let mut all: Vec<_> = self
            .entries()
            .filter(known)
            .map(|entry| [entry.text, entry.id].map(|text| String::from_utf8_lossy(text).into()))
            .map(|[text, id]| (text, id))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// The same document with what was kept of who its principals are: the unique id of each user
    /// and role as it was when the document was saved, the account of each canonical user. For
    /// whom there is no answer, nobody is meant, also not a new one of that name. Only a session of
    /// a role that was not there then is meant by its ARN alone.
    #[must_use]
    pub fn with_resolved(&self, resolve: &dyn Fn(&str) -> Option<String>) -> Self {
        let inner = &*self.0;
        let mut words = inner.words.to_vec();
        let mut text = inner.text.to_vec();
        for statement in &inner.statements {
            let start = usize::from(statement.principals.start);
            let count = usize::from(statement.principals.len);
            for n in (0..count).map(|n| start + n * WORDS_PRINCIPAL) {
                let Some(entry) = words.get_mut(n..n + WORDS_PRINCIPAL) else {
                    continue;
                };
                let own = Entry::of(inner, entry);
                if !own.is_resolved_by_id() && !own.is_of_role() {
                    continue;
                }
                let id = str::from_utf8(own.text)
                    .ok()
                    .and_then(resolve)
                    .and_then(|id| append(&mut text, &id));
                let state = match (own.kind, id) {
                    (Kind::Session, _) | (_, Some(_)) => State::Known,
                    (_, None) => State::Gone,
                };
                entry[0] = head(own.kind, state);
                entry[2] = id.unwrap_or_default().word();
            }
        }
        Self(std::sync::Arc::new(Inner {
            slot: inner.slot,
            public: inner.public,
            bytes: inner.bytes,
            statements: inner.statements.clone(),
            words: words.into(),
            text: text.into(),
        }))
    }
}

/// The text of a resource policy with other names for users and roles, as it is shown: `name`
/// answers for each ARN what to show, such as its ARN of today, or the unique id of whom is gone.
/// What is no policy, and what has no answer, stays as it is.
pub fn shown(text: &str, name: &dyn Fn(&str) -> Option<String>) -> String {
    let mut places = Vec::new();
    if let Ok(read) = json::read(text) {
        for statement in members(&read.node, &["Statement"]).flat_map(list) {
            let principals = members(statement, &["Principal", "NotPrincipal"]);
            let named = principals.flat_map(|node| members(node, &["AWS"]));
            for node in named.flat_map(list) {
                let Value::Text(own) = &node.value else {
                    continue;
                };
                if !matches!(of_aws(own), Some((Kind::User | Kind::Role, _))) {
                    continue;
                }
                // Names have no character that JSON would write in another way.
                let plain = |name: &String| name.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
                if let Some(name) = name(own).filter(plain) {
                    places.push((node.at, node.end, name));
                }
            }
        }
    }
    let mut out = text.to_owned();
    places.sort();
    for (at, end, name) in places.into_iter().rev() {
        out.replace_range(at..end, &format!("\"{name}\""));
    }
    out
}

fn members<'n>(node: &'n Node, names: &'n [&str]) -> impl Iterator<Item = &'n Node> {
    let members = match &node.value {
        Value::Object(members) => &members[..],
        _ => &[],
    };
    let mut named = members
        .iter()
        .filter(|own| names.contains(&own.name.as_str()));
    std::iter::from_fn(move || named.next().map(|own| &own.node))
}

fn append(text: &mut Vec<u8>, id: &str) -> Option<Part> {
    let part = Part {
        start: u16::try_from(text.len()).ok()?,
        len: u16::try_from(id.len()).ok()?,
    };
    text.extend_from_slice(id.as_bytes());
    Some(part)
}
