//! What the registry refuses, in words for an operator.

use types::{AccessKeyId, AccountId};

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
    /// The name is not usable.
    #[error("{0}")]
    Invalid(String),
    /// A record cannot be read, or was sealed under another master key.
    #[error("a record of the registry cannot be read: {0}")]
    Record(String),
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}
