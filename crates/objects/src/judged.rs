//! Whether this region acts as a bucket's home now, as whoever knows the other regions says. Asked
//! before a write, and again after one that depended on a condition: only then it is certain that
//! nobody else decided meanwhile.

use std::sync::Arc;

use types::{BucketDeed, Judge};

use crate::{Error, Objects, Result, bucket::partition_of};

impl Objects {
    /// Has `judge` say whether this region acts as the home. Without one it always does.
    pub fn judged_by(&self, judge: Arc<dyn Judge>) {
        // A second call would name the same.
        let _ = self.judge.set(judge);
    }

    /// Whether anything may be committed here under the deed.
    pub(crate) fn may_commit(&self, deed: &BucketDeed) -> Result<()> {
        match self.judge.get() {
            Some(judge) => judge.may_commit(deed).map_err(Error::NotNow),
            None => Ok(()),
        }
    }

    /// Whether writes without conditions are taken here.
    ///
    /// # Errors
    /// `NotNow`.
    pub fn may_write(&self, deed: &BucketDeed) -> Result<()> {
        match self.judge.get() {
            Some(judge) => judge.may_write(deed).map_err(Error::NotNow),
            None => Ok(()),
        }
    }

    /// Whether this region is the only one that decides what depends on the bucket's state.
    ///
    /// # Errors
    /// `NotNow`.
    pub fn may_decide(&self, deed: &BucketDeed) -> Result<()> {
        match self.judge.get() {
            Some(judge) => judge.may_decide(deed).map_err(Error::NotNow),
            None => Ok(()),
        }
    }

    /// [`Self::may_decide`] once it is done: a decision that was overtaken is not acknowledged.
    pub(crate) fn may_acknowledge(&self, deed: &BucketDeed) -> Result<()> {
        match types::planted("acknowledged-unasked") {
            true => Ok(()),
            false => self.may_decide(deed),
        }
    }

    /// The newest epoch under which this region is known to act on the bucket, as it is stored.
    ///
    /// # Errors
    /// Failures of the engine.
    pub async fn epoch_here(&self, deed: &BucketDeed) -> Result<u64> {
        let stored = self.stored_bucket(partition_of(deed)).await?;
        Ok(stored.map_or(0, |bucket| bucket.record.epoch))
    }
}
