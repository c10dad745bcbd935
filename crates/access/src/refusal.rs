//! The reasons of the decision.

use crate::{Action, policy::Decision};

/// What documents do not allow of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// The action: one of those that the request needs, not always the one that is asked for.
    pub action: Action,
    /// What the documents say of it.
    pub decision: Decision,
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
    /// The bucket belongs to another account than the request expects.
    #[error("the bucket does not belong to the account that the request expects")]
    ExpectedOwner,
    /// The bucket's documents do not allow it.
    #[error("the bucket's policy does not allow it")]
    Policy(Denied),
    /// The bucket has a policy that this release cannot read.
    #[error("the bucket's policy cannot be read by this release of Dhow: set it again")]
    UnreadablePolicy,
    /// It depends on the access control list of the object, which was not fetched.
    #[error("the access control list of the object has not been read")]
    NeedsList,
    /// It depends on who began the upload, which was not fetched.
    #[error("it has not been read who began the upload")]
    NeedsInitiator,
    /// Replication rules are set with a key of the bucket's account itself.
    #[error(
        "replication rules write with the rights of the bucket's account: set them with a key of \
         the account itself"
    )]
    RootOnly,
    /// Whoever asks pays, and has not agreed to.
    #[error("whoever asks pays for requests to the bucket, and the caller has not agreed to that")]
    RequesterPays,
    /// Only the bucket's access control list permits the write, and several regions take writes.
    #[error(
        "an access control list alone permits no write to a bucket that takes writes in every \
         region: give the right in the bucket's policy"
    )]
    ListAmongMany,
    /// Only the bucket's own account gets, sets or deletes its policy.
    #[error("only the account of a bucket may get, set or delete its policy")]
    PolicyOfOthers,
    /// Accounts of auditors and regional operators keep no data.
    #[error("an account of this kind keeps no data")]
    Kind,
    /// The law of the region is not allowed.
    #[error("the bucket's placement does not allow this jurisdiction")]
    Residency,
    /// The region keeps a replica; the home region decides on changes.
    #[error("changes are decided in the bucket's home region")]
    NotHome,
    /// The region keeps a replica that it cannot read.
    #[error("the replica of the bucket in this region is sealed")]
    Sealed,
    /// The region holds nothing of the bucket.
    #[error("the bucket is not placed in this region")]
    Elsewhere,
    /// Whether a condition holds is decided in the home, in any mode.
    #[error("conditions are decided in the bucket's home region")]
    Conditional,
    /// The law of the region that forwards the request is not allowed.
    #[error("the bucket's placement does not allow the jurisdiction of the region that forwards")]
    SenderResidency,
    /// The region that forwards the request keeps a replica that it cannot read.
    #[error("the replica of the bucket in the region that forwards is sealed")]
    SenderSealed,
    /// The region that forwards the request holds nothing of the bucket.
    #[error("the bucket is not placed in the region that forwards")]
    SenderElsewhere,
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
    /// What regions do by themselves, no caller may.
    #[error("no caller may ask for what only regions do")]
    ForRegions,
    /// The action needs another kind of resource, or the deed is not that of the bucket.
    #[error("the action does not fit the resource")]
    Mismatch,
}
