//! The decision: one caller, one action, one bucket, here and now.
//!
//! A [`Permit`] can only be made here. `objects` takes `&Permit`, so a handler that forgets to
//! ask does not compile.

use std::sync::Arc;

use types::{AccessKeyId, AccountId, Actor, BucketDeed, Place, SignedRequest};

use crate::placement::{self, Via};

/// Who sends a request, once its signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody that we know: no signature at all.
    Anonymous,
    /// The holder of an access key.
    Key {
        /// Which key.
        access_key: AccessKeyId,
        /// The account that the key belongs to.
        account: AccountId,
        /// What the account is for.
        kind: CallerKind,
    },
}

/// What the account of a caller is for, which bounds what its keys may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// Keeps data in buckets.
    #[default]
    Customer,
    /// Runs the cloud, and may keep data of its own.
    CloudOperator,
    /// Looks after the regions of an operator: keeps no data.
    RegionalOperator,
    /// Reads what is on record: keeps no data.
    Auditor,
}

impl CallerKind {
    /// Whether accounts of this kind have buckets and objects.
    pub const fn keeps_data(self) -> bool {
        matches!(self, Self::Customer | Self::CloudOperator)
    }
}

impl Identity {
    /// The account, unless anonymous.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Anonymous => None,
            Self::Key { account, .. } => Some(account),
        }
    }

    /// Who makes a change of the registry; without a caller it is the region itself.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Anonymous => Actor::System,
            Self::Key {
                access_key,
                account,
                ..
            } => Actor::Key {
                account: account.clone(),
                access_key: access_key.clone(),
            },
        }
    }

    /// Whether the account of the caller may do this at all. What keeps no data makes no bucket
    /// and changes nothing in one.
    fn may_by_kind(&self, action: Action) -> bool {
        match self {
            Self::Key { kind, .. } if !kind.keeps_data() => {
                action != Action::CreateBucket && !action.writes() && !action.writes_objects()
            }
            _ => true,
        }
    }
}

/// What is asked for, by IAM's names of actions ("Actions, resources, and condition keys for
/// Amazon S3").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the IAM action of the same name
pub enum Action {
    ListAllMyBuckets,
    CreateBucket,
    DeleteBucket,
    ListBucket,
    ListBucketVersions,
    ListBucketMultipartUploads,
    GetBucketLocation,
    GetBucketVersioning,
    PutBucketVersioning,
    GetBucketTagging,
    PutBucketTagging,
    GetObject,
    GetObjectVersion,
    GetObjectAttributes,
    GetObjectVersionAttributes,
    PutObject,
    DeleteObject,
    DeleteObjectVersion,
    GetObjectTagging,
    GetObjectVersionTagging,
    PutObjectTagging,
    PutObjectVersionTagging,
    DeleteObjectTagging,
    DeleteObjectVersionTagging,
    AbortMultipartUpload,
    ListMultipartUploadParts,
    GetReplicationConfiguration,
    PutReplicationConfiguration,
    GetBucketAcl,
    PutBucketAcl,
    GetBucketPolicy,
    DeleteBucketPolicy,
    GetBucketPolicyStatus,
    GetBucketPublicAccessBlock,
    PutBucketPublicAccessBlock,
    GetBucketOwnershipControls,
    PutBucketOwnershipControls,
    GetBucketCORS,
    PutBucketCORS,
    GetEncryptionConfiguration,
    PutEncryptionConfiguration,
    GetLifecycleConfiguration,
    PutLifecycleConfiguration,
    GetBucketWebsite,
    DeleteBucketWebsite,
    GetBucketNotification,
    PutBucketNotification,
    GetBucketLogging,
    PutBucketLogging,
    GetBucketRequestPayment,
    PutBucketRequestPayment,
    GetAccelerateConfiguration,
    PutAccelerateConfiguration,
    GetBucketAbac,
    PutBucketAbac,
    GetBucketObjectLockConfiguration,
    GetAnalyticsConfiguration,
    PutAnalyticsConfiguration,
    GetIntelligentTieringConfiguration,
    PutIntelligentTieringConfiguration,
    GetInventoryConfiguration,
    PutInventoryConfiguration,
    GetMetricsConfiguration,
    PutMetricsConfiguration,
    GetObjectAcl,
    GetObjectVersionAcl,
    PutObjectAcl,
    PutObjectVersionAcl,
    GetObjectLegalHold,
    GetObjectRetention,
    /// Dhow's own: to hand a bucket's objects to another region.
    ReplicateFrom,
    /// Dhow's own: to take a bucket's objects over from another region.
    ReplicateInto,
    /// Dhow's own: to count a bucket's versions, for what the region says that it holds.
    CountVersions,
}

impl Action {
    /// Whether the action is on the service as a whole, not on one bucket.
    pub const fn is_service_wide(self) -> bool {
        matches!(self, Self::ListAllMyBuckets | Self::CreateBucket)
    }

    /// Whether the action changes objects or what belongs to them.
    pub const fn writes_objects(self) -> bool {
        matches!(
            self,
            Self::PutObject
                | Self::DeleteObject
                | Self::DeleteObjectVersion
                | Self::PutObjectTagging
                | Self::PutObjectVersionTagging
                | Self::DeleteObjectTagging
                | Self::DeleteObjectVersionTagging
                | Self::AbortMultipartUpload
        )
    }

    /// Whether a copy of a bucket that takes writes in every region acts on it: writes of objects,
    /// and what is asked about the uploads that were begun there.
    pub const fn is_taken_everywhere(self) -> bool {
        self.writes_objects()
            || matches!(
                self,
                Self::ListBucketMultipartUploads | Self::ListMultipartUploadParts
            )
    }

    /// Whether the action changes anything of a bucket, or asks about what only its home knows:
    /// uploads under way.
    pub const fn writes(self) -> bool {
        self.writes_objects()
            || matches!(
                self,
                Self::DeleteBucket
                    | Self::PutBucketVersioning
                    | Self::PutBucketTagging
                    | Self::PutReplicationConfiguration
                    | Self::DeleteBucketPolicy
                    | Self::PutBucketCORS
                    | Self::PutEncryptionConfiguration
                    | Self::PutLifecycleConfiguration
                    | Self::DeleteBucketWebsite
                    | Self::PutBucketAcl
                    | Self::PutBucketPublicAccessBlock
                    | Self::PutBucketOwnershipControls
                    | Self::PutBucketNotification
                    | Self::PutBucketLogging
                    | Self::PutBucketRequestPayment
                    | Self::PutAccelerateConfiguration
                    | Self::PutBucketAbac
                    | Self::PutAnalyticsConfiguration
                    | Self::PutIntelligentTieringConfiguration
                    | Self::PutInventoryConfiguration
                    | Self::PutMetricsConfiguration
                    | Self::PutObjectAcl
                    | Self::PutObjectVersionAcl
                    | Self::ListBucketMultipartUploads
                    | Self::ListMultipartUploadParts
            )
    }
}

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
}

/// Proof that one caller may do one action on one bucket.
#[derive(Debug, Clone)]
pub struct Permit {
    identity: Identity,
    action: Action,
    deed: Option<Arc<BucketDeed>>,
    request: Option<SignedRequest>,
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
    /// What was permitted.
    pub fn action(&self) -> Action {
        self.action
    }
    /// On which bucket; `None` for service-wide actions.
    pub fn deed(&self) -> Option<&Arc<BucketDeed>> {
        self.deed.as_ref()
    }
}

/// Why there is no permit. The caller learns no more than `AccessDenied`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Anonymous callers have no access until policies grant it.
    #[error("anonymous access is not granted")]
    Anonymous,
    /// The bucket belongs to another account.
    #[error("the bucket belongs to another account")]
    NotOwner,
    /// Accounts of auditors and regional operators keep no data.
    #[error("an account of this kind keeps no data")]
    Kind,
    /// The law of the region, or of the one that passes the request on, is not allowed.
    #[error("the bucket's placement does not allow this jurisdiction")]
    Residency,
    /// The region keeps a copy; the home region decides on changes.
    #[error("changes are decided in the bucket's home region")]
    NotHome,
    /// The region keeps a copy that it cannot read.
    #[error("the replica of the bucket in this region is sealed")]
    Sealed,
    /// The region holds nothing of the bucket.
    #[error("the bucket is not placed in this region")]
    Elsewhere,
    /// Another operator runs the home of the bucket whose rule it is, and the destination's owner
    /// has not said that its rules are welcome.
    #[error(
        "another operator runs the source's home, and the destination's placement does not accept \
         what rules of that bucket send (dhow bucket place DESTINATION --accept-from SOURCE)"
    )]
    NotAccepted,
    /// No signature proves what another region relays, and its word does not count.
    #[error(
        "nothing but that region's word proves that the customer asked for it, and the bucket's \
         placement does not trust that region for it (dhow bucket place BUCKET --trust-reads, \
         --trust-writes)"
    )]
    Unproven,
    /// The action needs a bucket (or must not have one).
    #[error("the action does not fit the resource")]
    Mismatch,
}

/// Decides. Buckets are private to their owner until policies exist, and nothing happens to a
/// bucket in a region where its placement does not have it.
pub fn authorize(
    identity: &Identity,
    action: Action,
    deed: Option<&Arc<BucketDeed>>,
    here: &Place,
    via: &Via,
) -> Result<Permit, Refusal> {
    let account = identity.account().ok_or(Refusal::Anonymous)?;
    if !identity.may_by_kind(action) {
        return Err(Refusal::Kind);
    }
    match (action.is_service_wide(), deed) {
        (true, None) if *via == Via::Door => {}
        (false, Some(deed)) if deed.owner == *account => {
            placement::admit(deed, action, here, via)?;
        }
        (false, Some(_)) => return Err(Refusal::NotOwner),
        (true, _) | (false, None) => return Err(Refusal::Mismatch),
    }
    Ok(Permit {
        identity: identity.clone(),
        action,
        deed: deed.cloned(),
        request: None,
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

/// A permit for a region, which is `here`, that keeps a sealed copy: to take sealed objects over
/// from the bucket's home.
pub fn authorize_receiving_sealed(
    deed: &Arc<BucketDeed>,
    here: &Place,
    home: &Place,
) -> Result<Permit, Refusal> {
    placement::seal(deed, home, here)?;
    Ok(system(Action::ReplicateInto, deed))
}

/// A permit for a caller to read an object of a sealed copy here, as far as this region decides:
/// the home decides too, by giving a lease or not.
pub fn authorize_opening(
    identity: &Identity,
    action: Action,
    deed: &Arc<BucketDeed>,
    here: &Place,
) -> Result<Permit, Refusal> {
    let account = identity.account().ok_or(Refusal::Anonymous)?;
    if deed.owner != *account {
        return Err(Refusal::NotOwner);
    }
    placement::open(deed, action, here)?;
    Ok(Permit {
        identity: identity.clone(),
        action,
        deed: Some(Arc::clone(deed)),
        request: None,
    })
}

/// A permit for the source of a replication rule, whose home is `here`: to hand versions of
/// `source` over to `destination`, whose home is `there`. Both buckets are of one account, and
/// `destination` may lie nowhere where `source` may not.
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

/// Proof that somebody may be told how much there is of a bucket, and how its copies and rules are
/// doing.
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

/// For the bucket's home, which is `here`: to tell `asker` how the bucket is doing.
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

/// A permit for the region's own background work on one bucket.
pub fn authorize_system(_reason: SystemReason, action: Action, deed: &Arc<BucketDeed>) -> Permit {
    system(action, deed)
}

fn system(action: Action, deed: &Arc<BucketDeed>) -> Permit {
    Permit {
        identity: Identity::Anonymous,
        action,
        deed: Some(Arc::clone(deed)),
        request: None,
    }
}
