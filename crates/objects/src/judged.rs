//! Whether this region acts as a bucket's home now, as whoever knows the other regions says. Asked
//! before a write, and again after one that depended on a condition: only then it is certain that
//! nobody else decided meanwhile.

use std::sync::Arc;

use types::{BucketDeed, Judge, Unrenewed};

use crate::{
    Error, Objects, Result, bucket::partition_of, conditions::WriteConditions,
    records::BucketRecord,
};

/// Whether a client's write needs that this region alone acts as the home when it is committed.
pub(crate) fn judged(deed: &BucketDeed, conditions: &WriteConditions) -> bool {
    !conditions.is_empty() || deed.placement.unrenewed == Unrenewed::None
}

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

    /// Whether this region, the bucket's home, has all that clients wrote in other regions.
    ///
    /// # Errors
    /// `NotNow`.
    pub(crate) fn has_all(&self, deed: &BucketDeed) -> Result<()> {
        match self.judge.get() {
            Some(judge) => judge.has_all(deed).map_err(Error::NotNow),
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

    /// Whether a client's write may be committed now: it was permitted a while ago, and may have
    /// waited since for its body.
    pub(crate) fn may_take(&self, deed: &BucketDeed, conditions: &WriteConditions) -> Result<()> {
        if !judged(deed, conditions) || types::planted("commits-unasked") {
            return Ok(());
        }
        match conditions.is_empty() {
            true => self.may_write(deed),
            false => self.may_decide(deed),
        }
    }

    /// Does a client's write, which asks [`Self::may_take`] where it commits, and acknowledges it
    /// only if that is still so afterwards.
    pub(crate) async fn taken<T>(
        &self,
        deed: &BucketDeed,
        conditions: &WriteConditions,
        write: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if conditions.is_empty() {
            let written = write.await?;
            self.may_take(deed, conditions)?;
            return Ok(written);
        }
        self.may_decide(deed)?;
        let written = write.await;
        // That a condition does not hold is a decision too.
        self.may_acknowledge(deed)?;
        written
    }

    /// Changes a bucket's configuration as a client asks for it: what is made of the one that is
    /// there is a decision.
    pub(crate) async fn configure(
        &self,
        deed: &BucketDeed,
        change: impl Fn(&mut BucketRecord) -> Result<()>,
    ) -> Result<()> {
        let judged = |record: &mut BucketRecord| {
            if !types::planted("commits-unasked") {
                self.may_decide(deed)?;
            }
            change(record)
        };
        let changed = self.change_bucket(deed, judged).await;
        self.may_acknowledge(deed)?;
        changed
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
