//! The decision: one caller, one action, one bucket, here and now.
//!
//! A [`Permit`] can only be made here. `objects` takes `&Permit`, so a handler that forgets to
//! ask does not compile.

use std::sync::Arc;

use types::{AccessKeyId, AccountId, BucketDeed};

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
    },
}

impl Identity {
    /// The account, unless anonymous.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Anonymous => None,
            Self::Key { account, .. } => Some(account),
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
}

impl Action {
    /// Whether the action is on the service as a whole, not on one bucket.
    pub const fn is_service_wide(self) -> bool {
        matches!(self, Self::ListAllMyBuckets | Self::CreateBucket)
    }
}

/// Why the region itself acts, without a caller. The list is closed on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemReason {
    /// Scrubbing and sweeping orphans.
    Scrub,
    /// Finishing or undoing what a crash interrupted.
    Recovery,
}

/// Proof that one caller may do one action on one bucket.
#[derive(Debug, Clone)]
pub struct Permit {
    identity: Identity,
    action: Action,
    deed: Option<Arc<BucketDeed>>,
}

impl Permit {
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
    /// The action needs a bucket (or must not have one).
    #[error("the action does not fit the resource")]
    Mismatch,
}

/// Decides. Buckets are private to their owner until policies exist.
pub fn authorize(
    identity: &Identity,
    action: Action,
    deed: Option<&Arc<BucketDeed>>,
) -> Result<Permit, Refusal> {
    let account = identity.account().ok_or(Refusal::Anonymous)?;
    match (action.is_service_wide(), deed) {
        (true, None) => {}
        (false, Some(deed)) if deed.owner == *account => {}
        (false, Some(_)) => return Err(Refusal::NotOwner),
        (true, Some(_)) | (false, None) => return Err(Refusal::Mismatch),
    }
    Ok(Permit {
        identity: identity.clone(),
        action,
        deed: deed.cloned(),
    })
}

/// A permit for the region's own background work on one bucket.
pub fn authorize_system(_reason: SystemReason, action: Action, deed: &Arc<BucketDeed>) -> Permit {
    Permit {
        identity: Identity::Anonymous,
        action,
        deed: Some(Arc::clone(deed)),
    }
}
