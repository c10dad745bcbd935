//! What a bucket's documents say of who has access, compiled when they change.

use std::convert::Infallible;

use types::{BucketDeed, BucketName, Holding, ObjectKey};

use crate::{
    AccessList, Action, Ask, Denied, Facts, Identity, Ownership, Refusal, Resource,
    acl::{Says, says},
    actions::{By, Kind},
    conditions,
    header::first_header,
    initiator::is_of_upload,
    placement,
    policy::{self, Acl, Basis, Decision, DocumentKind, Lacks, Need, PolicyError},
    relation::is_owner,
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

    /// The switches by S3's names, with whether each is on.
    pub fn switches(self) -> [(&'static str, bool); 4] {
        [
            ("BlockPublicAcls", self.block_acls),
            ("IgnorePublicAcls", self.ignore_acls),
            ("BlockPublicPolicy", self.block_policy),
            ("RestrictPublicBuckets", self.restrict_buckets),
        ]
    }

    /// The names of those that are on.
    pub fn names(self) -> Vec<&'static str> {
        let on = self.switches().into_iter().filter(|(_, on)| *on);
        on.map(|(name, _)| name).collect()
    }

    /// With these on; `None` where one is no switch.
    pub fn of_names<N: AsRef<str>>(names: &[N]) -> Option<Self> {
        let all = Self::ALL.names();
        let known = |name: &N| all.iter().any(|own| *own == name.as_ref());
        let bit = |(at, own): (usize, &&str)| {
            u8::from(names.iter().any(|name| name.as_ref() == *own)) << at
        };
        let bits = all.iter().enumerate().map(bit).sum();
        names.iter().all(known).then_some(Self::of_bits(bits))
    }

    /// What either of the two refuses.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::of_bits(self.byte() | other.byte())
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
    /// Who owns what is written, and whether lists count.
    pub ownership: Ownership,
    /// The bucket's access control list; `None` for that of the owner alone.
    pub list: Option<AccessList>,
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
            ownership: Ownership::default(),
            list: None,
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
            ..Self::default()
        }
    }

    /// The same with access control lists.
    #[must_use]
    pub fn with_lists(mut self, ownership: Ownership, list: Option<AccessList>) -> Self {
        (self.ownership, self.list) = (ownership, list);
        self
    }

    /// Whether documents may let others in than the owner, or refuse the owner.
    pub fn decides(&self) -> bool {
        self.has_policy() || self.ownership.heeds_lists()
    }

    /// Whether anybody may do something with the bucket by its policy, or by its list; `None` where
    /// neither says anything of that. `block` is what is refused on bucket and account.
    pub fn is_open(&self, block: PublicAccessBlock) -> Option<bool> {
        let counts = self.ownership.heeds_lists() && !block.ignore_acls;
        let list = self.list.as_ref().filter(|_| counts);
        match (self.is_public(), list.is_some_and(AccessList::is_public)) {
            (None, false) => None,
            (by_policy, by_list) => Some(by_policy == Some(true) || by_list),
        }
    }

    /// What the lists say of an action of the request.
    fn lists<'a>(&'a self, ask: &Ask<'a>, action: Action) -> Acl<'a> {
        if !self.ownership.heeds_lists() {
            return Acl::Off;
        }
        let account = ask.principal.account();
        let grants = |list: Option<&AccessList>, permission| {
            list.map(|list| list.grants(account, permission))
                .unwrap_or_default()
        };
        match says(action, ask.action) {
            Says::Nothing => Acl::Loaded {
                grants: policy::AclGrants::default(),
                object_owner: None,
            },
            Says::Bucket(permission) => Acl::Loaded {
                grants: grants(self.list.as_ref(), permission),
                object_owner: None,
            },
            Says::Object(permission) => match ask.context.list {
                None => Acl::NotLoaded,
                Some(list) => Acl::Loaded {
                    grants: permission.map(|p| grants(list, p)).unwrap_or_default(),
                    object_owner: list
                        .filter(|_| !types::planted("owners-of-objects-unasked"))
                        .map(|list| &*list.owner),
                },
            },
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

/// What a permission rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    /// An access control list, without which it would be refused.
    pub by_list: bool,
    /// It is none yet: what the request's body says decides.
    pub unread: Option<Need>,
}

/// Whether the documents of the bucket, and the caller's own, allow what is asked. A region that
/// does not have them refuses who does not own the bucket; one whose replica has not received them
/// yet sends the owner elsewhere, since a document may refuse him too.
pub(crate) fn decide(
    ask: &Ask<'_>,
    deed: &BucketDeed,
    facts: &Facts<'_>,
) -> Result<Granted, Refusal> {
    let account = ask.principal.account();
    let owns = account
        .is_some_and(|account| is_owner(account, deed) || types::planted("owners-uncompared"));
    let root = owns && ask.principal.is_root();
    let unbound = owns && ask.principal.may_all_of_account();
    let stranger = match account {
        None => Refusal::Anonymous,
        Some(_) => Refusal::NotOwner,
    };
    let lists = facts.access.filter(|access| access.ownership.heeds_lists());
    let of_upload = account.is_some() && is_of_upload(ask.action);
    let policy = match facts.access {
        None if !owns => return Err(stranger),
        None if deed.holding(&facts.here.region) == Holding::Replica => {
            return Err(Refusal::Elsewhere);
        }
        None => None,
        Some(access) => match &access.policy {
            Policy::None if !owns && lists.is_none() && !of_upload => return Err(stranger),
            Policy::None => None,
            Policy::Compiled(document) => Some(document),
            // What is never denied by the bucket's policy, whatever that says.
            Policy::Unreadable(_) if root && replaces_policy(ask.action) => None,
            Policy::Unreadable(_) if owns => return Err(Refusal::UnreadablePolicy),
            Policy::Unreadable(_) => return Err(stranger),
        },
    };
    // What only regions do no caller may, whatever documents say: that is refused after this.
    if owns && ask.action.row().by == By::Regions || unbound && policy.is_none() && lists.is_none()
    {
        return Ok(Granted::default());
    }
    let requester_pays = facts.access.is_some_and(BucketAccess::requester_pays);
    if !owns && requester_pays && (account.is_none() || !agrees_to_pay(ask)) {
        return Err(Refusal::RequesterPays);
    }
    // Its keys are in its body, and each of them is asked for.
    if ask.action.row().kind == Kind::Object && matches!(ask.resource, Resource::Bucket(_)) {
        return Ok(Granted::default());
    }
    match by_documents(ask, facts, of_bucket(deed, facts, policy)) {
        Ok(_) if !owns && policy::is_for_owner_only(&ask.action.into()) => {
            Err(Refusal::PolicyOfOthers)
        }
        Ok(granted) => Ok(granted),
        Err(denied) => match denied.decision {
            Decision::Needs(Need::Acl) => Err(Refusal::NeedsList),
            Decision::Needs(need) if is_in_body(ask.action, need) => Ok(Granted {
                unread: Some(need),
                ..Granted::default()
            }),
            decision if of_upload && is_open(decision) && began(ask, deed, facts, owns)? => {
                Ok(Granted::default())
            }
            _ if owns => Err(Refusal::Policy(denied)),
            _ => Err(stranger),
        },
    }
}

/// Whether nothing but a grant is missing: what bounds the account, the user or the session bounds
/// also what is open to who began an upload.
fn is_open(decision: Decision) -> bool {
    matches!(
        decision,
        Decision::ImplicitDeny(Lacks::Identity | Lacks::Resource)
    )
}

/// Whether the caller, or one of the account whose root asks, began the upload that is addressed.
fn began(ask: &Ask<'_>, deed: &BucketDeed, facts: &Facts<'_>, owns: bool) -> Result<bool, Refusal> {
    let Some(initiator) = ask.context.initiator else {
        // Only a region that takes writes has uploads. Who does not own the bucket learns nothing.
        return match placement::admit(deed, ask.action, facts.here, facts.via) {
            Ok(()) => Err(Refusal::NeedsInitiator),
            Err(elsewhere) if owns => Err(elsewhere),
            Err(_) => Ok(false),
        };
    };
    Ok(initiator.is_some_and(|initiator| initiator.is(ask.principal)))
}

/// Whether the body of a request says what a decision needs.
fn is_in_body(action: Action, need: Need) -> bool {
    match action {
        Action::PutObjectTagging | Action::PutObjectVersionTagging => {
            need == Need::RequestObjectTags
        }
        Action::PutBucketTagging => need == Need::RequestTags,
        Action::PutBucketOwnershipControls => need == Need::Ownership,
        _ => false,
    }
}

/// The documents of the bucket, with its `policy`.
fn of_bucket<'a>(
    deed: &'a BucketDeed,
    facts: &Facts<'a>,
    policy: Option<&'a policy::Document>,
) -> policy::Documents<'a> {
    let block = facts
        .access
        .map_or(PublicAccessBlock::ALL, |access| access.block);
    let block = block.or(facts.account_block);
    policy::Documents {
        owner: &deed.owner,
        resource: policy,
        restrict_public_buckets: block.restrict_buckets,
        ignore_public_acls: block.ignore_acls,
        ..policy::Documents::default()
    }
}

/// What documents say of each action that a request needs, the one that is asked for first.
pub(crate) fn explain(ask: &Ask<'_>, facts: &Facts<'_>) -> Vec<policy::Explanation> {
    let documents = match (facts.deed, ask.principal.account()) {
        (Some(deed), _) => {
            let policy = facts.access.and_then(|access| match &access.policy {
                Policy::Compiled(document) => Some(document),
                Policy::None | Policy::Unreadable(_) => None,
            });
            of_bucket(deed, facts, policy)
        }
        (None, Some(account)) => policy::Documents {
            owner: account,
            ..policy::Documents::default()
        },
        (None, None) => policy::Documents::default(),
    };
    let mut explained = Vec::new();
    let all = each(ask, facts, documents, |_, request, documents| {
        explained.push(policy::explain(request, documents));
        Ok::<(), Infallible>(())
    });
    match all {
        Ok(()) => explained,
    }
}

/// The same of what is on no bucket that is there.
pub(crate) fn decide_by_caller(ask: &Ask<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    let account = ask.principal.account().ok_or(Refusal::Anonymous)?;
    if ask.principal.may_all_of_account() {
        return Ok(());
    }
    let documents = policy::Documents {
        owner: account,
        ..policy::Documents::default()
    };
    let decided = by_documents(ask, facts, documents);
    decided.map(drop).map_err(Refusal::Policy)
}

/// Whether the bucket's documents, which are in `documents`, and the caller's own allow all that a
/// request needs; else the decision that does not.
fn by_documents<'a>(
    ask: &Ask<'a>,
    facts: &Facts<'a>,
    documents: policy::Documents<'a>,
) -> Result<Granted, Denied> {
    let mut granted = Granted::default();
    if ask.principal.has_policies() && types::planted("policies-unasked") {
        return Ok(granted);
    }
    each(ask, facts, documents, |action, request, documents| {
        match policy::decide(request, documents) {
            Decision::Allow(basis) => granted.by_list |= basis == Basis::Acl,
            decision => return Err(Denied { action, decision }),
        }
        Ok(())
    })?;
    Ok(granted)
}

/// Asks `judge` about each action that a request needs, until one is not judged well.
fn each<'a, E>(
    ask: &Ask<'a>,
    facts: &Facts<'a>,
    mut documents: policy::Documents<'a>,
    mut judge: impl FnMut(Action, &policy::Request<'_>, &policy::Documents<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let texts = conditions::Texts::of(ask);
    let tags = ask.principal.tags();
    let lent = ask.context.given.map(policy::Given::lend);
    let mut conditions = conditions::of(ask, facts, &texts);
    if let Some(who) = ask.principal.who() {
        who.fill(&mut conditions);
        documents.guard = ask.principal.guard().document();
        documents.identity = who.policies();
        documents.boundary = who.boundary();
        documents.sessions = match types::planted("session-policies-unasked") {
            true => &[],
            false => who.sessions(),
        };
    }
    if let Some(lent) = &lent {
        lent.state(&mut conditions);
    }
    let mut request = policy::Request {
        principal: &ask.principal.principal(&tags),
        action: ask.action.into(),
        target: target(ask.resource),
        conditions: &conditions,
    };
    let lists = |action| match facts.access {
        Some(access) => access.lists(ask, action),
        None => Acl::Off,
    };
    for action in [Some(ask.action)].into_iter().chain(also(ask)).flatten() {
        request.action = action.into();
        documents.acl = lists(action);
        judge(action, &request, &documents)?;
    }
    if compares(ask) {
        let mut reading = conditions::of_reading(&conditions, ask, &texts);
        if let Some(lent) = &lent {
            lent.state(&mut reading);
        }
        request.action = Action::GetObject.into();
        documents.acl = lists(Action::GetObject);
        request.conditions = &reading;
        judge(Action::GetObject, &request, &documents)?;
    }
    Ok(())
}

/// What else a request needs (the permissions on the pages of these operations).
fn also(ask: &Ask<'_>) -> [Option<Action>; 3] {
    let has = |name: &str| {
        let value = ask
            .context
            .headers
            .and_then(|headers| first_header(headers, name));
        value.is_some_and(|value| !value.is_empty())
    };
    let tags = || ask.context.given_tags.is_some_and(|tags| !tags.is_empty());
    match ask.action {
        Action::GetObjectAttributes => [Some(Action::GetObject), None, None],
        Action::GetObjectVersionAttributes => [Some(Action::GetObjectVersion), None, None],
        Action::CreateBucket => [
            tags().then_some(Action::PutBucketTagging),
            is_list_of_new_bucket(ask).then_some(Action::PutBucketAcl),
            has("x-amz-object-ownership").then_some(Action::PutBucketOwnershipControls),
        ],
        Action::PutObject => [
            has("x-amz-tagging").then_some(Action::PutObjectTagging),
            conditions::ACL
                .iter()
                .any(|name| has(name))
                .then_some(Action::PutObjectAcl),
            None,
        ],
        _ => [None, None, None],
    }
}

/// Whether a new bucket is to have another list than that of the owner alone.
fn is_list_of_new_bucket(ask: &Ask<'_>) -> bool {
    let named = |name: &&str| {
        let value = ask
            .context
            .headers
            .and_then(|headers| first_header(headers, name));
        value.is_some_and(|value| !value.is_empty() && value != "private")
    };
    conditions::ACL.iter().any(named)
}

/// Whether a write compares the object that is there with an ETag: its answer says something of
/// that object, so the right to read it is needed too ("Enforce conditional deletes on Amazon S3
/// buckets"). Those who may write may learn that there is one (`*`).
fn compares(ask: &Ask<'_>) -> bool {
    let writes = matches!(ask.action, Action::PutObject | Action::DeleteObject);
    let header = || first_header(ask.context.headers?, "if-match");
    writes
        && !types::planted("etags-for-writers")
        && (ask.context.compares || header().is_some_and(|value| value != "*"))
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
    let said = headers.and_then(|headers| first_header(headers, "x-amz-request-payer"));
    said.is_some_and(|value| value == "requester")
}

/// What the refusal by documents says to a caller of the bucket's own account: which action was
/// refused, and which kind of document it was. `None` where there is nothing to say.
pub fn refusal_sentence(ask: &Ask<'_>, refusal: Refusal) -> Option<String> {
    let Refusal::Policy(Denied { action, decision }) = refusal else {
        return None;
    };
    let tags = ask.principal.tags();
    let request = policy::Request {
        principal: &ask.principal.principal(&tags),
        action: action.into(),
        target: target(ask.resource),
        conditions: &policy::Conditions::default(),
    };
    policy::sentence(&request, &decision)
}

/// What the refusal says to a caller of the bucket's own account whose list or policy grants public
/// access, where that is refused. `None` for who signs nothing.
pub fn refusal_by_block(
    identity: &Identity,
    action: Action,
    (bucket, key): (&BucketName, Option<&ObjectKey>),
) -> Option<String> {
    let tags = identity.tags();
    let arn = identity.principal(&tags).arn()?;
    let action = match action {
        Action::PutObject => Action::PutObjectAcl,
        other => other,
    };
    let target = match key {
        Some(key) => policy::Target::Object { bucket, key },
        None => policy::Target::Bucket(bucket),
    };
    let (what, switch) = match action {
        Action::PutBucketPolicy => ("policies", "BlockPublicPolicy"),
        _ => ("ACLs", "BlockPublicAcls"),
    };
    Some(format!(
        "User: {arn} is not authorized to perform: {} on resource: \"{target}\" because public \
         {what} are prevented by the {switch} setting in S3 Block Public Access",
        action.name()
    ))
}
