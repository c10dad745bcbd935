//! What a bucket's documents say of who has access, compiled when they change.

use types::{BucketDeed, Holding};

use crate::{
    Action, Ask, Facts, Refusal, Resource,
    actions::{By, Kind},
    conditions, placement,
    policy::{self, Decision, DocumentKind, PolicyError},
};

/// The four switches of "Blocking public access to your Amazon S3 storage".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAccessBlock {
    /// ACLs that grant public access are refused.
    pub block_acls: bool,
    /// Public grants of ACLs that are there do not count.
    pub ignore_acls: bool,
    /// A policy that grants public access is refused.
    pub block_policy: bool,
    /// While the policy is public, it grants nothing to other accounts.
    pub restrict_buckets: bool,
}

impl PublicAccessBlock {
    /// All four: what a bucket begins with.
    pub const ALL: Self = Self::of_bits(0b1111);
    /// None of them.
    pub const NONE: Self = Self::of_bits(0);

    const fn of_bits(bits: u8) -> Self {
        Self {
            block_acls: bits & 1 != 0,
            ignore_acls: bits & 2 != 0,
            block_policy: bits & 4 != 0,
            restrict_buckets: bits & 8 != 0,
        }
    }

    /// As it is stored.
    pub fn byte(self) -> u8 {
        u8::from(self.block_acls)
            | u8::from(self.ignore_acls) << 1
            | u8::from(self.block_policy) << 2
            | u8::from(self.restrict_buckets) << 3
    }

    /// Reads the byte; all four for one that cannot be.
    pub fn of_byte(byte: Option<u8>) -> Self {
        match byte {
            Some(bits @ 0..=0b1111) => Self::of_bits(bits),
            _ => Self::ALL,
        }
    }
}

/// What the documents of a bucket say of access.
#[derive(Debug)]
pub struct BucketAccess {
    policy: Policy,
    /// Whether the policy asks for the tags of the object that is addressed.
    wants_existing_tags: bool,
    /// Which public access is refused.
    pub block: PublicAccessBlock,
    /// Whether callers of other accounts have to say that they pay.
    requester_pays: bool,
}

#[derive(Debug)]
enum Policy {
    None,
    Compiled(policy::Document),
    /// It does not compile here: nothing is allowed but to replace it.
    Unreadable(PolicyError),
}

impl Default for BucketAccess {
    fn default() -> Self {
        Self {
            policy: Policy::None,
            wants_existing_tags: false,
            block: PublicAccessBlock::ALL,
            requester_pays: false,
        }
    }
}

impl BucketAccess {
    /// Reads the text of a bucket's policy that is to be saved; `resolve` answers the unique ids of
    /// the users and roles that it names.
    ///
    /// # Errors
    /// Where it is none, may not be this bucket's, or names somebody who does not exist.
    pub fn read_policy(
        deed: &BucketDeed,
        text: &str,
        resolve: &dyn Fn(&str) -> Option<String>,
    ) -> Result<policy::Document, PolicyError> {
        policy::Document::parse_resolved(text, DocumentKind::Bucket(&deed.name), resolve)
    }

    /// Whom a policy that is to be saved names by what has to be resolved: ARNs of users and roles,
    /// and canonical ids, each once.
    ///
    /// # Errors
    /// It is no policy, or may not be this bucket's.
    pub fn named_in_policy(deed: &BucketDeed, text: &str) -> Result<Vec<String>, PolicyError> {
        let document = policy::Document::parse(text, DocumentKind::Bucket(&deed.name))?;
        let mut named: Vec<String> = document.principals().map(str::to_owned).collect();
        named.sort();
        named.dedup();
        Ok(named)
    }

    /// Of documents as they are stored: the policy's text, with the ids of those whom it names as
    /// they were when it was saved. A policy that cannot be read, such as by a release that has
    /// fewer actions, refuses everything but to set it again.
    pub fn compiled(
        deed: &BucketDeed,
        policy: Option<(&str, &[(String, String)])>,
        block: PublicAccessBlock,
        requester_pays: bool,
    ) -> Self {
        let wants_existing_tags =
            policy.is_some_and(|(text, _)| policy::may_want_existing_tags(text));
        let read = |(text, resolved): (&str, &[(String, String)])| {
            let document = policy::Document::parse(text, DocumentKind::Bucket(&deed.name))?;
            Ok(document.with_resolved(&|name| {
                let found = resolved.iter().find(|(own, _)| own == name);
                found.map(|(_, id)| id.clone())
            }))
        };
        let policy = match policy.map(read) {
            None => Policy::None,
            Some(Ok(document)) => Policy::Compiled(document),
            Some(Err(error)) => Policy::Unreadable(error),
        };
        Self {
            policy,
            wants_existing_tags,
            block,
            requester_pays,
        }
    }

    /// Whether a decision may need the tags of the object that is addressed.
    pub fn wants_existing_tags(&self) -> bool {
        self.wants_existing_tags
    }

    /// Whether callers of other accounts pay for their requests.
    pub fn requester_pays(&self) -> bool {
        self.requester_pays
    }

    /// Whether there is a policy.
    pub fn has_policy(&self) -> bool {
        !matches!(self.policy, Policy::None)
    }

    /// Whether the policy is public; `None` where there is none.
    pub fn is_public(&self) -> Option<bool> {
        match &self.policy {
            Policy::None => None,
            Policy::Compiled(document) => Some(document.is_public()),
            Policy::Unreadable(_) => Some(false),
        }
    }

    /// Why the policy cannot be read, if it cannot.
    pub fn unreadable(&self) -> Option<&PolicyError> {
        match &self.policy {
            Policy::Unreadable(error) => Some(error),
            Policy::None | Policy::Compiled(_) => None,
        }
    }
}

/// Whether the documents of the bucket, and the caller's own, allow what is asked. A region that
/// does not have them refuses who does not own the bucket; one whose replica has not received them
/// yet sends the owner elsewhere, since a document may refuse him too.
pub(crate) fn decide(ask: &Ask<'_>, deed: &BucketDeed, facts: &Facts<'_>) -> Result<(), Refusal> {
    let account = ask.principal.account();
    let owns = account.is_some_and(|account| {
        placement::is_owner(account, deed) || types::planted("owners-uncompared")
    });
    let root = owns && ask.principal.is_root();
    let stranger = match account {
        None => Refusal::Anonymous,
        Some(_) => Refusal::NotOwner,
    };
    let policy = match facts.access {
        None if !owns => return Err(stranger),
        None if deed.holding(&facts.here.region) == Holding::Replica => {
            return Err(Refusal::Elsewhere);
        }
        None => None,
        Some(access) => match &access.policy {
            Policy::None if !owns => return Err(stranger),
            Policy::None => None,
            Policy::Compiled(document) => Some(document),
            Policy::Unreadable(_) if root && replaces_policy(ask.action) => return Ok(()),
            Policy::Unreadable(_) if owns => return Err(Refusal::UnreadablePolicy),
            Policy::Unreadable(_) => return Err(stranger),
        },
    };
    // What only regions do no caller may, whatever documents say: that is refused after this.
    if owns && ask.action.row().by == By::Regions || root && policy.is_none() {
        return Ok(());
    }
    let requester_pays = facts.access.is_some_and(BucketAccess::requester_pays);
    if !owns && requester_pays && (account.is_none() || !agrees_to_pay(ask)) {
        return Err(Refusal::RequesterPays);
    }
    // Its keys are in its body, and each of them is asked for.
    if ask.action.row().kind == Kind::Object && matches!(ask.resource, Resource::Bucket(_)) {
        return Ok(());
    }
    let block = facts
        .access
        .map_or(PublicAccessBlock::ALL, |access| access.block);
    let documents = policy::Documents {
        owner: &deed.owner,
        resource: policy,
        restrict_public_buckets: block.restrict_buckets,
        ignore_public_acls: block.ignore_acls,
        ..policy::Documents::default()
    };
    match by_documents(ask, facts, documents) {
        Ok(()) if !owns && policy::is_for_owner_only(&ask.action.into()) => {
            Err(Refusal::PolicyOfOthers)
        }
        Ok(()) => Ok(()),
        Err(decision) if owns => Err(Refusal::Policy(decision)),
        Err(_) => Err(stranger),
    }
}

/// The same of what is on no bucket that is there.
pub(crate) fn decide_by_caller(ask: &Ask<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    let account = ask.principal.account().ok_or(Refusal::Anonymous)?;
    if ask.principal.is_root() {
        return Ok(());
    }
    let documents = policy::Documents {
        owner: account,
        ..policy::Documents::default()
    };
    by_documents(ask, facts, documents).map_err(Refusal::Policy)
}

/// Whether the bucket's documents, which are in `documents`, and the caller's own allow all that a
/// request needs; else the decision that does not.
fn by_documents<'a>(
    ask: &Ask<'a>,
    facts: &Facts<'a>,
    mut documents: policy::Documents<'a>,
) -> Result<(), Decision> {
    if ask.principal.has_policies() && types::planted("policies-unasked") {
        return Ok(());
    }
    let texts = conditions::Texts::of(ask);
    let tags = ask.principal.tags();
    let mut conditions = conditions::of(ask, facts, &texts);
    if let Some(who) = ask.principal.who() {
        who.fill(&mut conditions);
        documents.identity = who.policies();
        documents.boundary = who.boundary();
        documents.sessions = match types::planted("session-policies-unasked") {
            true => &[],
            false => who.sessions(),
        };
    }
    let mut request = policy::Request {
        principal: &ask.principal.principal(&tags),
        action: ask.action.into(),
        target: target(ask.resource),
        conditions: &conditions,
    };
    for action in [Some(ask.action)].into_iter().chain(also(ask)).flatten() {
        request.action = action.into();
        let decision = policy::decide(&request, &documents);
        if !decision.is_allowed() {
            return Err(decision);
        }
    }
    Ok(())
}

/// What else a request needs (the permissions on the pages of these operations).
fn also(ask: &Ask<'_>) -> [Option<Action>; 2] {
    let has = |name: &str| {
        let value = ask.context.headers.and_then(|headers| headers.get(name));
        value.is_some_and(|value| !value.is_empty())
    };
    match ask.action {
        Action::GetObjectAttributes => [Some(Action::GetObject), None],
        Action::GetObjectVersionAttributes => [Some(Action::GetObjectVersion), None],
        Action::PutObject => [
            has("x-amz-tagging").then_some(Action::PutObjectTagging),
            conditions::ACL
                .iter()
                .any(|name| has(name))
                .then_some(Action::PutObjectAcl),
        ],
        _ => [None, None],
    }
}

fn target<'a>(resource: Resource<'a>) -> policy::Target<'a> {
    match resource {
        Resource::Service => policy::Target::Service,
        Resource::Bucket(bucket) | Resource::Keys { bucket, .. } => policy::Target::Bucket(bucket),
        Resource::Object { bucket, key, .. } => policy::Target::Object { bucket, key },
    }
}

fn replaces_policy(action: Action) -> bool {
    matches!(
        action,
        Action::GetBucketPolicy | Action::PutBucketPolicy | Action::DeleteBucketPolicy
    )
}

/// Whether the request says that whoever asks pays ("Using Requester Pays buckets").
fn agrees_to_pay(ask: &Ask<'_>) -> bool {
    let headers = ask.context.headers;
    let said = headers.and_then(|headers| headers.get("x-amz-request-payer"));
    said.is_some_and(|value| value == "requester")
}

/// What a caller of the bucket's own account is told of a refusal by documents: which kind of
/// document it was. `None` where there is nothing to say.
pub fn refusal_sentence(ask: &Ask<'_>, refusal: Refusal) -> Option<String> {
    let Refusal::Policy(decision) = refusal else {
        return None;
    };
    let tags = ask.principal.tags();
    let request = policy::Request {
        principal: &ask.principal.principal(&tags),
        // Which of several actions it was is not kept: the first tells most.
        action: ask.action.into(),
        target: target(ask.resource),
        conditions: &policy::Conditions::default(),
    };
    policy::sentence(&request, &decision)
}
