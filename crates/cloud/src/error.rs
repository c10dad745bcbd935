//! What the registry refuses, in words for an operator.

use types::{AccessKeyId, AccountId, BucketName};

/// Why a change of the registry did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// There is no such account.
    #[error("no account {0}; `dhow account list` shows those there are")]
    NoAccount(AccountId),
    /// There is no such access key.
    #[error("no access key {0}; `dhow key list` shows those there are")]
    NoKey(AccessKeyId),
    /// The access key exists already.
    #[error("access key {0} exists already")]
    KeyExists(AccessKeyId),
    /// There is no such bucket.
    #[error("no bucket named {0}; `dhow bucket list` shows those there are")]
    NoBucket(BucketName),
    /// There is no such region.
    #[error("no region {0}; `dhow region list` shows those there are")]
    NoRegion(String),
    /// There is no such operator.
    #[error(
        "no operator {0}; `dhow operator list` shows those there are, and `dhow operator add` puts one \
         on record"
    )]
    NoOperator(String),
    /// There is no such user.
    #[error("no user {0}; `dhow user list` shows those there are")]
    NoUser(String),
    /// There is no such group, policy, or policy of a user.
    #[error("{0}")]
    NoEntity(String),
    /// A policy that cannot be read; says where.
    #[error("{0}")]
    Policy(String),
    /// Something else has to go first.
    #[error("{0}")]
    Conflict(String),
    /// There are as many as there can be.
    #[error("{0}")]
    Limit(String),
    /// A region, operator or token of this name is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// What was asked for does not fit the state of things; says what to do.
    #[error("{0}")]
    Refused(String),
    /// Whoever asks has made too many changes lately; says when to try again.
    #[error("{0}")]
    SlowDown(String),
    /// Only the registry's region can do this.
    #[error(
        "only region {0} can do this, which keeps the registry: use its admin API, on its machine or \
         with --profile or --admin-url"
    )]
    Elsewhere(String),
    /// A change is on record, and these regions have not received it in time.
    #[error(
        "the change is on record, but region {0} has not received it yet, and may go on as before \
         until it has. Nothing else is to be done"
    )]
    NotApplied(String),
    /// The registry's region does not answer.
    #[error("the registry is not available: {0}")]
    Unavailable(String),
    /// An entry of the audit log is not what it should be.
    #[error("entry {0} of the audit log cannot be trusted: {1}")]
    History(u64, String),
    /// The name is not usable.
    #[error("{0}")]
    Invalid(String),
    /// Tags that nobody can set.
    #[error("{0}")]
    Tags(String),
    /// A record cannot be read, or was sealed under another master key.
    #[error("a record of the registry cannot be read: {0}")]
    Record(String),
    /// What takes rights away holds in memory, and the engine did not take it.
    #[error(
        "it holds in this region now, but it is not on the disk: {0}. Make room there and ask \
         again: if this region restarts before that, it does not hold any more"
    )]
    Unwritten(store::StoreError),
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}
