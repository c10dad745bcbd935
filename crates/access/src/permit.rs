//! The decision: one caller, one action, on one bucket or key, here and now.
//!
//! A [`Permit`] can only be made here. `objects` takes `&Permit`, so a handler that does not ask
//! does not compile, and compares the key, so that one for another key does nothing.

use std::sync::Arc;

use types::{
    AccountId, Actor, BucketDeed, BucketName, DisplayVersion, Holding, ObjectKey, Place,
    SignedRequest, Writes,
};

use crate::{
    Action, Ask, Denied, Facts, Identity, Refusal, Resource,
    actions::{By, Keys, Kind},
    bucket_access::{self, Granted},
    placement::{self, Via},
    policy::{Decision, Explanation, Need},
    relation::is_expected_owner,
};

/// Why the region itself acts, without a caller. The list is closed on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemReason {
    /// Scrubbing and sweeping orphans.
    Scrub,
    /// Finishing or undoing what a crash interrupted.
    Recovery,
    /// Counting what the region holds of a bucket, wherever that is placed.
    Residency,
    /// Looking after a bucket's replication rules, at its home.
    Rules,
    /// Finding out what a policy asks for.
    Policy,
    /// Giving a new bucket what it begins with.
    NewBucket,
}

/// The keys that a permit covers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// None.
    Nothing,
    /// None: the bucket of this name does not exist yet.
    NewBucket(BucketName),
    /// One, and the version of it that is named.
    Key(ObjectKey, Option<DisplayVersion>),
    /// Those that begin with it.
    Under(Arc<str>),
    /// All.
    All,
}

/// Proof that one caller may do one action on one bucket, or on a key of it.
#[derive(Debug, Clone)]
pub struct Permit {
    identity: Identity,
    action: Action,
    deed: Option<Arc<BucketDeed>>,
    scope: Scope,
    request: Option<SignedRequest>,
    by_list: bool,
    unread: Option<Need>,
    /// It is for the region itself, and not for a caller.
    of_region: bool,
}

impl Permit {
    /// The same with the customer's own request, for whoever keeps the registry.
    #[must_use]
    pub fn for_request(mut self, request: SignedRequest) -> Self {
        self.request = Some(request);
        self
    }
    /// The customer's own request, where the registry may have to be shown it.
    pub fn request(&self) -> Option<&SignedRequest> {
        self.request.as_ref()
    }
    /// Who was permitted.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
    /// Who makes a change of the registry by it: the caller, or the region itself. Whoever signs
    /// nothing makes none.
    pub fn actor(&self) -> Option<Actor> {
        match self.of_region {
            true => Some(Actor::System),
            false => self.identity.actor(),
        }
    }
    /// What was permitted.
    pub fn action(&self) -> Action {
        self.action
    }
    /// On which bucket; `None` for the service, for a bucket that does not exist yet, and while the
    /// permit [`Self::is_unread`].
    pub fn deed(&self) -> Option<&Arc<BucketDeed>> {
        self.deed.as_ref().filter(|_| !self.is_unread())
    }
    /// The bucket that is addressed, also where the permit [`Self::is_unread`].
    pub fn addressed(&self) -> Option<&Arc<BucketDeed>> {
        self.deed.as_ref()
    }
    /// Whether it is none yet: the request is decided once its body was read, and is to be asked
    /// for again then.
    pub fn is_unread(&self) -> bool {
        self.unread.is_some() && !types::planted("bodies-not-waited-for")
    }

    /// Where only the bucket's access control list permits a write: the account whose objects alone
    /// may be overwritten or deleted; the inner `None` means nobody's.
    pub fn only_over(&self) -> Option<Option<&AccountId>> {
        let bounded = self.by_list && !types::planted("writes-by-list-unbounded");
        bounded.then(|| self.identity.account())
    }

    /// Whether it is for this key, and for this version of it or, with `None`, for the key without
    /// a version named.
    #[must_use]
    pub fn covers(&self, key: &ObjectKey, version: Option<DisplayVersion>) -> bool {
        match &self.scope {
            Scope::Key(own, named) => own == key && *named == version,
            _ => self.covers_key(key),
        }
    }

    /// Whether it is for this key, whatever version it names.
    #[must_use]
    pub fn covers_key(&self, key: &ObjectKey) -> bool {
        match &self.scope {
            Scope::Nothing | Scope::NewBucket(_) => false,
            Scope::Key(own, _) => own == key,
            Scope::Under(prefix) => key.starts_with(&**prefix),
            Scope::All => true,
        }
    }

    /// Whether it is for all keys that begin with `prefix`.
    #[must_use]
    pub fn covers_under(&self, prefix: &str) -> bool {
        match &self.scope {
            Scope::Nothing | Scope::NewBucket(_) | Scope::Key(..) => false,
            Scope::Under(own) => prefix.starts_with(&**own),
            Scope::All => true,
        }
    }

    /// Whether it is for a new bucket of this name.
    #[must_use]
    pub fn covers_new(&self, name: &BucketName) -> bool {
        matches!(&self.scope, Scope::NewBucket(own) if own == name)
    }
}

/// Decides. Buckets are private to their owner until policies exist, and nothing happens to a
/// bucket in a region where its placement does not have it. A request of which policies ask what
/// only its body says gets a permit that covers nothing ([`Permit::is_unread`]): it is asked again.
///
/// # Errors
/// Why not. Who does not own the bucket learns nothing of the rest: that is asked first.
pub fn authorize(ask: &Ask<'_>, facts: &Facts<'_>) -> Result<Permit, Refusal> {
    let (action, via) = (ask.action, facts.via);
    let mut granted = Granted::default();
    match (action.has_deed(), facts.deed) {
        (false, None) => {
            let unread = match bucket_access::decide_by_caller(ask, facts) {
                Err(Refusal::Policy(Denied {
                    decision: Decision::Needs(need),
                    ..
                })) if of_new_bucket(action, need) => true,
                decided => decided.map(|()| false)?,
            };
            asked(ask, None)?;
            if *via != Via::Client {
                return Err(Refusal::Mismatch);
            }
            if unread {
                return Ok(for_nothing(ask));
            }
        }
        (true, Some(deed)) => {
            granted = bucket_access::decide(ask, deed, facts)?;
            asked(ask, Some(deed))?;
            placement::admit(deed, action, facts.here, via)?;
            if ask.context.conditional && action.writes_objects() {
                decided_here(deed, facts.here)?;
            }
            if granted.by_list && !decides_lists(deed, action) {
                return Err(Refusal::ListAmongMany);
            }
        }
        (false, Some(_)) | (true, None) => {
            return Err(match ask.principal.account() {
                None => Refusal::Anonymous,
                Some(_) => Refusal::Mismatch,
            });
        }
    }
    let permit = permit(ask, facts.deed)?;
    let scope = match granted.unread {
        Some(_) if !types::planted("bodies-not-waited-for") => Scope::Nothing,
        _ => permit.scope,
    };
    Ok(Permit {
        by_list: granted.by_list,
        unread: granted.unread,
        scope,
        ..permit
    })
}

/// Whether a write that only the bucket's access control list permits can be decided: it must
/// overwrite nothing of another account, and where several regions take writes, none of them knows
/// all that is there.
fn decides_lists(deed: &BucketDeed, action: Action) -> bool {
    let many = deed.placement.writes == Writes::Any && !deed.placement.replicas.is_empty();
    !(many && action.writes_objects()) || types::planted("lists-among-many")
}

/// Whether the decision depends on the access control list of the object: to be fetched then, and
/// only then, and given in [`crate::Context::list`].
pub fn needs_list(ask: &Ask<'_>, facts: &Facts<'_>) -> bool {
    let lists = facts
        .access
        .is_some_and(|access| access.ownership.heeds_lists());
    let Some(deed) = facts.deed.filter(|_| lists) else {
        return false;
    };
    bucket_access::decide(ask, deed, facts) == Err(Refusal::NeedsList)
}

/// Whether the decision depends on who began the upload: to be fetched then, and only then, and
/// given in [`crate::Context::initiator`].
pub fn needs_initiator(ask: &Ask<'_>, facts: &Facts<'_>) -> bool {
    let decided = facts
        .deed
        .map(|deed| bucket_access::decide(ask, deed, facts));
    decided == Some(Err(Refusal::NeedsInitiator))
}

/// Whether the body of a request for a new bucket says what a decision needs.
fn of_new_bucket(action: Action, need: Need) -> bool {
    action == Action::CreateBucket && matches!(need, Need::Location | Need::RequestTags)
}

/// A permit that covers nothing: for a request that is decided once its body was read.
fn for_nothing(ask: &Ask<'_>) -> Permit {
    Permit {
        identity: ask.principal.clone(),
        action: ask.action,
        deed: None,
        scope: Scope::Nothing,
        request: None,
        by_list: false,
        unread: None,
        of_region: false,
    }
}

/// What [`authorize`] decides, and what documents say of it.
#[derive(Debug)]
pub struct Explained {
    /// Why not, if not.
    pub refusal: Option<Refusal>,
    /// What documents say of each action that the request needs, the one that is asked for first.
    /// Where the refusal has nothing to do with documents, they may all allow it.
    pub documents: Vec<Explanation>,
}

/// Decides as [`authorize`] does, and says why: for people.
pub fn explain(ask: &Ask<'_>, facts: &Facts<'_>) -> Explained {
    let unread = |permit: Permit| {
        let decision = Decision::Needs(permit.unread?);
        let action = ask.action;
        Some(Refusal::Policy(Denied { action, decision }))
    };
    Explained {
        refusal: authorize(ask, facts).map_or_else(Some, unread),
        documents: bucket_access::explain(ask, facts),
    }
}

/// Whether the bucket's documents allow what is asked, wherever that is: for what an answer says
/// beside what was asked for.
pub fn may_by_documents(ask: &Ask<'_>, facts: &Facts<'_>) -> bool {
    let decided = facts
        .deed
        .map(|deed| bucket_access::decide(ask, deed, facts));
    decided.is_some_and(|decided| decided.is_ok())
}

/// A permit for a caller to read an object of a sealed replica here, as far as this region decides:
/// the home decides too, by giving a lease or not.
///
/// # Errors
/// Why not.
pub fn authorize_opening(ask: &Ask<'_>, facts: &Facts<'_>) -> Result<Permit, Refusal> {
    let deed = facts.deed.ok_or(Refusal::Mismatch)?;
    // The bucket's documents are not where its replica is sealed.
    let unknown = Facts {
        access: None,
        ..*facts
    };
    bucket_access::decide(ask, deed, &unknown)?;
    asked(ask, Some(deed))?;
    placement::open(deed, ask.action, facts.here)?;
    permit(ask, Some(deed))
}

/// What no document can grant: who the bucket's owner has to be, what the caller's account is for,
/// and what only regions do.
fn asked(ask: &Ask<'_>, deed: Option<&Arc<BucketDeed>>) -> Result<(), Refusal> {
    let expected = ask.context.expected_owner;
    if deed.is_some_and(|deed| !is_expected_owner(expected, &deed.owner)) {
        return Err(Refusal::ExpectedOwner);
    }
    if !ask.principal.may_by_kind(ask.action) {
        return Err(Refusal::Kind);
    }
    // What changes in the registry is on record of somebody, at a pace of theirs.
    if changes_deeds(ask.action) && ask.principal.actor().is_none() {
        return Err(Refusal::Anonymous);
    }
    // A rule writes into its destination with the rights of the account: what it could grant itself
    // there is for the account alone, until rules have roles.
    if let (Action::PutReplicationConfiguration, Some(deed)) = (ask.action, deed) {
        let root = ask.principal.is_root() && ask.principal.is_of_owner(deed);
        if !root {
            return Err(Refusal::RootOnly);
        }
    }
    match ask.action.row().by {
        By::Callers => Ok(()),
        By::Regions => Err(Refusal::ForRegions),
    }
}

/// Whether an action makes or removes a deed.
fn changes_deeds(action: Action) -> bool {
    let changes = matches!(action, Action::CreateBucket | Action::DeleteBucket);
    changes && !types::planted("unsigned-changes-of-deeds")
}

/// Whether a write here may depend on the state of the object: that is decided at the home, where
/// writes are ordered, in any mode.
fn decided_here(deed: &BucketDeed, here: &Place) -> Result<(), Refusal> {
    match deed.holding(&here.region) {
        Holding::Home => Ok(()),
        Holding::Replica | Holding::Sealed | Holding::Nothing => Err(Refusal::Conditional),
    }
}

/// The permit for what was asked, if that fits the action and the deed.
fn permit(ask: &Ask<'_>, deed: Option<&Arc<BucketDeed>>) -> Result<Permit, Refusal> {
    let row = ask.action.row();
    if deed.is_some_and(|deed| ask.resource.bucket() != Some(&deed.name)) {
        return Err(Refusal::Mismatch);
    }
    let scope = match (row.kind, row.keys, ask.resource) {
        (Kind::Service, _, Resource::Service) => Scope::Nothing,
        (Kind::NewBucket, _, Resource::Bucket(name)) => Scope::NewBucket(name.clone()),
        (Kind::Bucket | Kind::Object, _, Resource::Bucket(_)) => Scope::Nothing,
        (_, Keys::Under, Resource::Keys { prefix: "", .. }) => Scope::All,
        (_, Keys::Under, Resource::Keys { prefix, .. }) => Scope::Under(prefix.into()),
        (
            _,
            Keys::One,
            Resource::Object {
                key, version: None, ..
            },
        ) => Scope::Key(key.clone(), None),
        (_, Keys::Version, Resource::Object { key, version, .. }) => {
            Scope::Key(key.clone(), version)
        }
        _ => return Err(Refusal::Mismatch),
    };
    Ok(Permit {
        identity: ask.principal.clone(),
        action: ask.action,
        deed: deed.cloned(),
        scope,
        request: None,
        by_list: false,
        unread: None,
        of_region: false,
    })
}

/// A permit for the source of a transfer between regions, which is `here`: to hand the bucket's
/// objects to `peer`.
pub fn authorize_sending(
    deed: &Arc<BucketDeed>,
    here: &Place,
    peer: &Place,
) -> Result<Permit, Refusal> {
    if !types::planted("residency-unchecked-at-source") {
        placement::transfer(deed, here, peer)?;
    }
    Ok(system(Action::ReplicateFrom, deed))
}

/// A permit for the destination of a transfer between regions, which is `here`: to take the
/// bucket's objects over from `peer`.
pub fn authorize_receiving(
    deed: &Arc<BucketDeed>,
    here: &Place,
    peer: &Place,
) -> Result<Permit, Refusal> {
    if !types::planted("residency-unchecked-at-destination") {
        placement::transfer(deed, peer, here)?;
    }
    Ok(system(Action::ReplicateInto, deed))
}

/// A permit for the home, which is `here`: to hand the bucket's objects, sealed, to `peer`.
pub fn authorize_sealing(
    deed: &Arc<BucketDeed>,
    here: &Place,
    peer: &Place,
) -> Result<Permit, Refusal> {
    placement::seal(deed, here, peer)?;
    Ok(system(Action::ReplicateFrom, deed))
}

/// A permit for a region, which is `here`, that keeps a sealed replica: to take sealed objects over
/// from the bucket's home.
pub fn authorize_receiving_sealed(
    deed: &Arc<BucketDeed>,
    here: &Place,
    home: &Place,
) -> Result<Permit, Refusal> {
    placement::seal(deed, home, here)?;
    Ok(system(Action::ReplicateInto, deed))
}

/// A permit for the source of a replication rule, whose home is `here`: to hand versions of
/// `source` over to `destination`, whose home is `there`. Both buckets are of one account, and
/// `destination` may be stored nowhere where `source` may not.
pub fn authorize_rule_sending(
    source: &Arc<BucketDeed>,
    destination: &Arc<BucketDeed>,
    here: &Place,
    there: &Place,
) -> Result<Permit, Refusal> {
    placement::rule(source, destination, here, there)?;
    Ok(system(Action::ReplicateFrom, source))
}

/// A permit for the destination of a replication rule, whose home is `here`: to take versions of
/// `source`, whose home is `there`, into `destination`.
pub fn authorize_rule_receiving(
    source: &Arc<BucketDeed>,
    destination: &Arc<BucketDeed>,
    here: &Place,
    there: &Place,
) -> Result<Permit, Refusal> {
    placement::rule(source, destination, there, here)?;
    Ok(system(Action::ReplicateInto, destination))
}

/// Proof that somebody may learn how much there is of a bucket, and the state of its replicas and
/// rules.
#[derive(Debug, Clone)]
pub struct Counting {
    deed: Arc<BucketDeed>,
    named: bool,
}

impl Counting {
    /// Of which bucket.
    pub fn deed(&self) -> &Arc<BucketDeed> {
        &self.deed
    }
    /// Whether keys may be named, too.
    pub fn named(&self) -> bool {
        self.named
    }
}

/// For the bucket's home, which is `here`: to report the bucket's state to `asker`.
/// `keeps_registry` says whether that region keeps the registry.
pub fn authorize_counting(
    deed: &Arc<BucketDeed>,
    here: &Place,
    asker: &Place,
    keeps_registry: bool,
) -> Result<Counting, Refusal> {
    let named = match types::planted("counts-for-anybody") {
        true => false,
        false => placement::count(deed, here, asker, keeps_registry)?,
    };
    Ok(Counting {
        deed: Arc::clone(deed),
        named,
    })
}

/// A permit for the region's own background work on one bucket, on all its keys.
pub fn authorize_system(_reason: SystemReason, action: Action, deed: &Arc<BucketDeed>) -> Permit {
    system(action, deed)
}

fn system(action: Action, deed: &Arc<BucketDeed>) -> Permit {
    Permit {
        identity: Identity::Anonymous,
        action,
        deed: Some(Arc::clone(deed)),
        scope: Scope::All,
        request: None,
        by_list: false,
        unread: None,
        of_region: true,
    }
}
