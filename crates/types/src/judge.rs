//! Whether a region may act as a bucket's home now: the seam through which `objects` asks whoever
//! knows what other regions have promised (`replication`).

use crate::BucketDeed;

/// Why a region may not act as a bucket's home now; the text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotNow(pub String);

/// Says whether this region may act as a bucket's home. Answered from memory.
pub trait Judge: Send + Sync + 'static {
    /// Whether anything may be committed here under the deed.
    ///
    /// # Errors
    /// Another region has the bucket's next epoch.
    fn may_commit(&self, deed: &BucketDeed) -> Result<(), NotNow>;

    /// Whether clients' writes that depend on nothing may be taken here.
    ///
    /// # Errors
    /// Another region has the bucket's next epoch, or the deed wants no writes at a home that
    /// nobody renews.
    fn may_write(&self, deed: &BucketDeed) -> Result<(), NotNow>;

    /// Whether this region is the only one that decides what depends on the bucket's state.
    ///
    /// # Errors
    /// Another region may decide by now, or may still.
    fn may_decide(&self, deed: &BucketDeed) -> Result<(), NotNow>;

    /// Whether this region, the bucket's home, has all that clients wrote in other regions under
    /// earlier epochs.
    ///
    /// # Errors
    /// A replica has not handed over yet what it alone may have.
    fn has_all(&self, deed: &BucketDeed) -> Result<(), NotNow>;
}
