//! Sessions of roles for those who have a token of an identity provider (OpenID Connect).

mod assume;
mod jws;

use std::sync::Arc;

#[cfg(test)]
pub(crate) use assume::ROW;
pub(crate) use assume::{ACTION, Web};
pub use jws::KeySet;
use types::deed::BoxFuture;

/// The keys of a provider cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoKeys(pub String);

/// Gets the keys of identity providers.
pub trait Issuers: Send + Sync + 'static {
    /// Whether keys of the provider of this URL may be asked for at all: the operator of the
    /// region says which providers are.
    ///
    /// # Errors
    /// They may not; what the operator has to do.
    fn check(&self, url: &str) -> Result<(), NoKeys>;

    /// The keys of the provider of this URL. `beyond` are keys that are not enough: newer ones are
    /// asked for, unless that was done a moment ago.
    fn keys<'a>(
        &'a self,
        url: &'a str,
        beyond: Option<&'a Arc<KeySet>>,
    ) -> BoxFuture<'a, Result<Arc<KeySet>, NoKeys>>;
}
