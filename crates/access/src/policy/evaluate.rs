//! Whether a statement is about a request.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    compile_principal::{Entry, Kind, State},
    document::{
        ANY_ACTION, DENY, Inner, NOT_ACTION, NOT_PRINCIPAL, NOT_RESOURCE, Part, RESOURCES, Slot,
        Statement, WORDS_CONDITION, WORDS_OTHER, WORDS_PRINCIPAL, WORDS_RESOURCE, WORDS_VARIABLE,
    },
    keys::{Conditions, Found, Key, Need, Value},
    names::ActionName,
    operators::{self, Compare, Operator},
    principal::Principal,
    resource::{self, Target},
    text::{Chars, NoVariables, Variables, glob},
};

/// What is asked: may this principal do this, on this?
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal<'a>,
    /// What for.
    pub action: ActionName<'a>,
    /// On what.
    pub target: Target<'a>,
    /// What else the request says.
    pub conditions: &'a Conditions<'a>,
}

/// Most steps of comparing patterns with texts for one request: more than any request needs but
/// one that was made to cost time, a few milliseconds.
const STEPS_MAX: u32 = 1_000_000;

/// What a statement costs beside its patterns.
const STEPS_OF_STATEMENT: u32 = 8;

/// Steps of comparing that several decisions share. One request may ask for many: of each key that
/// it deletes, or of each pair that it simulates.
#[derive(Debug)]
pub struct Steps(AtomicU32);

impl Steps {
    /// So many.
    pub const fn new(steps: u32) -> Self {
        Self(AtomicU32::new(steps))
    }

    /// How many are left. With none, nothing is allowed that a document decides.
    pub fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, steps: u32) {
        let left = self.left().saturating_sub(steps);
        self.0.store(left, Ordering::Relaxed);
    }
}

/// A request, and what is asked about it with each statement.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub request: Request<'a>,
    /// The account that owns the bucket.
    pub owner: &'a str,
    /// The action's number, if it is of S3.
    number: Option<usize>,
    /// Whether the action is one that documents are about.
    of_callers: bool,
    /// The steps that it has.
    given: u32,
    /// What is left of them.
    steps: Cell<u32>,
}

impl<'a> Asked<'a> {
    pub fn new(request: &Request<'a>, owner: &'a str) -> Self {
        let number = request.action.number();
        let shared = request.conditions.steps;
        let given = shared.map_or(STEPS_MAX, |shared| shared.left().min(STEPS_MAX));
        Self {
            request: *request,
            owner,
            number,
            of_callers: number.is_some() || matches!(request.action, ActionName::Named(_)),
            given,
            steps: Cell::new(given),
        }
    }

    /// The values of a key.
    pub fn find(&self, key: Key, name: &str) -> Found<'a> {
        let conditions = self.request.conditions;
        let text = |text: &'a str| Found::One(Value::text(text));
        match key {
            Key::EpochTime => match conditions.current_time {
                Some(at) => Found::One(Value::Epoch(at)),
                None => Found::Absent,
            },
            Key::ResourceAccount | Key::S3ResourceAccount => text(self.owner),
            Key::LocationConstraint if conditions.location_unread => {
                Found::NotLoaded(Need::Location)
            }
            Key::ObjectOwnership
                if conditions.ownership_unread && conditions.object_ownership.is_none() =>
            {
                Found::NotLoaded(Need::Ownership)
            }
            _ => conditions
                .field(key)
                .or_else(|| self.request.principal.key(key, name))
                .or_else(|| conditions.named(key, name))
                .unwrap_or(Found::Absent),
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.request.conditions.steps
            && !types::planted("steps-for-each-decision")
        {
            shared.take(self.given - self.steps.get());
        }
    }
}

/// How much a statement of a resource policy is worth to a principal of the account itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// Nothing: it lets the account in.
    Account,
    /// What an identity policy is worth: boundary and session policies bound it.
    Role,
    /// All.
    Direct,
}

/// The element of a statement that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Action,
    Principal,
    /// A variable without a value, by its number.
    Variable(usize),
    Resource,
    /// By its number.
    Condition(usize),
}

/// What a statement says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Matches(Strength),
    Differs(Element),
    Unknown(Need),
    /// It cannot be decided within the steps that a request has.
    TooCostly,
    /// It compares a tag whose key two tags have.
    Ambiguous,
}

/// Why a condition cannot be decided.
enum Undecided {
    Needs(Need),
    Ambiguous,
}

struct Values<'s, 'a> {
    asked: &'s Asked<'a>,
    inner: &'a Inner,
    part: Part,
}

impl<'a> Values<'_, 'a> {
    fn of(&self, words: &[u32]) -> (Found<'a>, Option<&'a [u8]>) {
        let &[head, name, default] = words else {
            return (Found::Absent, None);
        };
        let key = Key::of((head & 0xff) as u8);
        let default = (head >> 8 & 1 == 1).then(|| self.inner.bytes(Part::of(default)));
        let found = self.asked.find(key, self.inner.str(Part::of(name)));
        (found, default)
    }

    /// The first variable that has no value, or a value that was not loaded.
    fn missing(&self) -> Option<Outcome> {
        let variables = self.inner.entries(self.part, WORDS_VARIABLE);
        for (n, words) in variables.enumerate() {
            match self.of(words) {
                (Found::One(_), _) | (Found::Absent, Some(_)) => {}
                (Found::NotLoaded(need), _) => return Some(Outcome::Unknown(need)),
                (Found::Ambiguous, _) => return Some(Outcome::Ambiguous),
                _ => return Some(Outcome::Differs(Element::Variable(n))),
            }
        }
        None
    }
}

impl<'a> Variables<'a> for Values<'_, 'a> {
    fn value(&self, number: u16) -> Chars<'a> {
        let mut variables = self.inner.entries(self.part, WORDS_VARIABLE);
        let found = variables.nth(number.into()).map(|words| self.of(words));
        match found {
            Some((Found::One(value), _)) => value.chars(),
            Some((_, Some(default))) => Chars::Whole(default),
            _ => Chars::Whole(b""),
        }
    }

    fn steps(&self) -> &Cell<u32> {
        &self.asked.steps
    }
}

/// What a statement says about a request.
pub(super) fn statement<'a>(inner: &'a Inner, statement: &Statement, asked: &Asked<'a>) -> Outcome {
    let left = asked.steps.get().saturating_sub(STEPS_OF_STATEMENT);
    asked.steps.set(left);
    let outcome = within_steps(inner, statement, asked);
    match asked.steps.get() {
        0 => Outcome::TooCostly,
        _ => outcome,
    }
}

fn within_steps<'a>(inner: &'a Inner, statement: &Statement, asked: &Asked<'a>) -> Outcome {
    if !asked.of_callers || !has_action(inner, statement, asked) {
        return Outcome::Differs(Element::Action);
    }
    let strength = match inner.slot {
        Slot::Principal => Strength::Direct,
        Slot::Resource | Slot::Trust => {
            match of_principal(inner, statement, asked.request.principal) {
                Some(strength) => strength,
                None => return Outcome::Differs(Element::Principal),
            }
        }
    };
    let values = Values {
        asked,
        inner,
        part: statement.variables,
    };
    if let Some(missing) = values.missing() {
        return missing;
    }
    if statement.is(RESOURCES) {
        let mut entries = inner.entries(statement.resources, WORDS_RESOURCE);
        let target = &asked.request.target;
        let named = entries.any(|entry| resource::matches(inner, entry, target, &values));
        if named == statement.is(NOT_RESOURCE) {
            return Outcome::Differs(Element::Resource);
        }
    }
    let mut undecided = None;
    let conditions = inner.entries(statement.conditions, WORDS_CONDITION);
    for (n, words) in conditions.enumerate() {
        match condition(inner, words, asked, &values) {
            Ok(true) => {}
            Ok(false) => return Outcome::Differs(Element::Condition(n)),
            Err(own) => undecided = Some(own),
        }
    }
    match undecided {
        Some(Undecided::Needs(need)) => Outcome::Unknown(need),
        Some(Undecided::Ambiguous) => Outcome::Ambiguous,
        None => Outcome::Matches(strength),
    }
}

fn has_action(inner: &Inner, statement: &Statement, asked: &Asked<'_>) -> bool {
    let named = statement.is(ANY_ACTION)
        || match (asked.number, asked.request.action) {
            (Some(number), _) => statement.actions.contains(number),
            (None, ActionName::Named(name)) => of_other(inner, statement, name),
            (None, ActionName::S3(_)) => false,
        };
    named != statement.is(NOT_ACTION)
}

/// Longest name of an action of another service.
const NAME_MAX: usize = 128;

fn of_other(inner: &Inner, statement: &Statement, name: &str) -> bool {
    let mut lower = [0; NAME_MAX];
    let Some(lower) = lower.get_mut(..name.len()) else {
        return false;
    };
    for (own, byte) in lower.iter_mut().zip(name.bytes()) {
        *own = byte.to_ascii_lowercase();
    }
    let name = Chars::Whole(lower);
    let mut patterns = inner.entries(statement.others, WORDS_OTHER);
    patterns.any(|words| {
        let part = Part::of(words.first().copied().unwrap_or(0));
        glob(inner.bytes(part), &NoVariables::new(), &name, 0)
    })
}

/// Parts of a principal that an entry may name.
const ACCOUNT: u8 = 1;
/// The user or role; a service or provider itself.
const ENTITY: u8 = 2;
const SESSION: u8 = 4;
const STRANGER: u8 = 8;
const PROVIDER: u8 = 16;
const EVERYBODY: u8 = 32;

/// The parts that `NotPrincipal` has to name so that a principal is not meant.
fn chain(principal: &Principal<'_>) -> u8 {
    match principal {
        Principal::Anonymous => STRANGER,
        Principal::Root { .. } => ACCOUNT,
        Principal::User { .. } => ACCOUNT | ENTITY,
        Principal::RoleSession { .. } | Principal::Federated { user: Some(_), .. } => {
            ACCOUNT | ENTITY | SESSION
        }
        Principal::Federated { user: None, .. } => ACCOUNT | SESSION,
        Principal::WebIdentity { .. } | Principal::Service { .. } => ENTITY,
    }
}

/// Which parts of a principal an entry names. `by_name` says whether one counts whose id is not
/// known.
fn names(entry: &Entry<'_>, principal: &Principal<'_>, by_name: bool) -> u8 {
    let part = |is: bool, part: u8| if is { part } else { 0 };
    let has_account = |id: &[u8]| principal.account().map(str::as_bytes) == Some(id);
    match (entry.kind, entry.state) {
        (Kind::Anybody, _) => EVERYBODY,
        (Kind::Account, _) => part(has_account(entry.text), ACCOUNT),
        (Kind::Canonical, State::Known) => part(has_account(entry.id), ACCOUNT),
        // No account has that id as its number.
        (Kind::Canonical, _) => 0,
        (Kind::User | Kind::Role, state) => {
            let Some((id, arn)) = principal.entity() else {
                return 0;
            };
            let is = match state {
                State::Known => !entry.id.is_empty() && entry.id == id.as_bytes(),
                State::Unresolved => by_name && entry.text.iter().copied().eq(arn.bytes()),
                State::Gone => false,
            };
            part(is, ENTITY)
        }
        (Kind::Session, _) => {
            let arn = principal.chars();
            let named = arn.is_some_and(|arn| entry.text.iter().copied().eq(arn.bytes()));
            let id = principal.entity().map(|(id, _)| id.as_bytes());
            // Of the role that had the name when the document was saved.
            let is_it = entry.id.is_empty() || id == Some(entry.id);
            let is_it = is_it || types::planted("sessions-by-name-alone");
            part(named && is_it, SESSION)
        }
        (Kind::Provider, _) => match principal {
            Principal::WebIdentity { provider } => part(provider.as_bytes() == entry.text, ENTITY),
            Principal::RoleSession { provider, .. } => {
                part(provider.map(str::as_bytes) == Some(entry.text), PROVIDER)
            }
            _ => 0,
        },
        (Kind::Service, _) => match principal {
            Principal::Service { name } => part(name.as_bytes() == entry.text, ENTITY),
            _ => 0,
        },
        (Kind::Gone, _) => 0,
    }
}

/// What a statement's principals are worth to a principal; `None` if they do not mean it.
fn of_principal(
    inner: &Inner,
    statement: &Statement,
    principal: &Principal<'_>,
) -> Option<Strength> {
    // What is not known yet counts where that permits less.
    let (denies, not) = (statement.is(DENY), statement.is(NOT_PRINCIPAL));
    let by_name = denies != not;
    let entries = inner.entries(statement.principals, WORDS_PRINCIPAL);
    let all = entries.map(|words| names(&Entry::of(inner, words), principal, by_name));
    let named = all.fold(0, |all, own| all | own);
    let everybody = match principal {
        Principal::Service { .. } | Principal::WebIdentity { .. } => Strength::Account,
        _ => Strength::Direct,
    };
    if not {
        let chain = chain(principal);
        let spared = match (named & EVERYBODY != 0, denies) {
            (true, _) => true,
            (false, true) => named & chain == chain,
            (false, false) => named != 0,
        };
        return (!spared).then_some(everybody);
    }
    let entity = match principal {
        Principal::RoleSession { .. } | Principal::Federated { .. } => Strength::Role,
        _ => Strength::Direct,
    };
    let account = match types::planted("accounts-let-all-in") {
        true => Strength::Direct,
        false => Strength::Account,
    };
    let worth = [
        (ACCOUNT, account),
        (ENTITY, entity),
        (SESSION, Strength::Direct),
        (PROVIDER, Strength::Role),
        (EVERYBODY, everybody),
    ];
    let worth = worth.into_iter().filter(|(part, _)| named & part != 0);
    worth.map(|(_, strength)| strength).max()
}

/// The values of a key that a document has, and what is asked about them.
fn condition<'a>(
    inner: &'a Inner,
    words: &[u32],
    asked: &Asked<'a>,
    variables: &Values<'_, 'a>,
) -> Result<bool, Undecided> {
    let &[head, name, kept] = words else {
        return Ok(false);
    };
    let operator = Operator::of(head >> 8);
    let key = Key::of((head & 0xff) as u8);
    let found = asked.find(key, inner.str(Part::of(name)));
    let kept = inner.list(Part::of(kept), 1);
    let compare = operator.compare();
    let absent = match found {
        Found::NotLoaded(need) => return Err(Undecided::Needs(need)),
        Found::Absent => true,
        Found::One(_) | Found::Ambiguous => false,
        Found::Texts(texts) => texts.is_empty(),
        Found::TagKeys(tags) => tags.is_empty(),
    };
    if compare == Compare::Null {
        return Ok(kept.iter().any(|word| (*word == 1) == absent));
    }
    if absent {
        return Ok(operator.if_exists || operator.every || (!operator.any && operator.negated()));
    }
    let holds = |value: Value<'_>| {
        let fits = operators::fits(inner, compare, kept, &value, variables);
        fits.is_some_and(|fits| fits != operator.negated())
    };
    let every = match types::planted("negated-sets-swapped") && operator.negated() {
        true => operator.any,
        false => operator.every || (!operator.any && operator.negated()),
    };
    Ok(match found {
        Found::One(value) => holds(value),
        Found::Texts(texts) => over(texts.iter().copied(), every, holds),
        Found::TagKeys(tags) => over(tags.iter().map(|(name, _)| *name), every, holds),
        Found::Ambiguous => return Err(Undecided::Ambiguous),
        Found::Absent | Found::NotLoaded(_) => false,
    })
}

fn over<'t>(
    texts: impl Iterator<Item = &'t str>,
    every: bool,
    holds: impl Fn(Value<'_>) -> bool,
) -> bool {
    let mut texts = texts;
    match every {
        true => texts.all(|text| holds(Value::text(text))),
        false => texts.any(|text| holds(Value::text(text))),
    }
}
