//! Removing all that is stored here of a bucket that is not placed here any more, or in another
//! way.
//!
//! A crash may come between any two steps, and the bucket may be placed here again before they are
//! done. The first commit therefore marks the configuration row and removes the cursors: from then
//! on no write lands, nothing is read, and nobody assumes that what the cursors covered is here.
//! Rows of versions and parts go together with notes of their extents, so none is ever without its
//! bytes; then the extents and the notes go, and the marked row at the very end. Whoever finds the
//! mark goes on from there.

use std::collections::BTreeSet;

use bytes::Bytes;
use store::{Batch, Guard, PartitionId, Row, ScanRange, StoreError, Want, prefix_end};
use types::BucketDeed;

use crate::{
    Error, Objects, Result,
    bucket::{TRIES_MAX, partition_of},
    orphans::extents_of,
    owned::owned,
    records::{BucketRecord, BucketState, Cause, Change, ChangeKind, Effect, PartRecord},
    rows,
};

/// Rows that are removed in one commit.
const BATCH: usize = 500;
/// Extents that are noted in one commit, about.
const EXTENTS_MAX: usize = 10_000;

impl Objects {
    /// Removes every row of the bucket and the extents that they name; answers how many rows there
    /// were. The caller has made sure that the deed has no place here for what is stored here. It
    /// goes on when the caller goes away, and again with the next call after a failure.
    ///
    /// # Errors
    /// `BucketBusy` while the bucket is being deleted or discarded already; failures of the engine.
    pub async fn discard_bucket(&self, deed: &BucketDeed) -> Result<u64> {
        let permit = self.begin_change().await?;
        let (this, deed) = (self.handle(), deed.clone());
        owned(async move {
            let _permit = permit;
            let _turn = this.turns.take(deed.id).ok_or(Error::BucketBusy)?;
            this.discard_rows(&deed).await
        })
        .await
    }

    /// [`Objects::discard_bucket`] for the one whose turn it is.
    pub(crate) async fn discard_rows(&self, deed: &BucketDeed) -> Result<u64> {
        let partition = partition_of(deed);
        let mut count = 0;
        for _ in 0..TRIES_MAX {
            let Some((mark, cursors)) = self.mark_discarded(partition).await? else {
                self.forget_bucket(deed);
                self.forget_documents(deed).await;
                return Ok(count);
            };
            count += cursors;
            count += self.discard_versions(partition).await?;
            self.discard_dead(partition).await?;
            let batch = Batch::new().guard(mark).delete(rows::BUCKET).frees();
            match self.commit(partition, batch).await {
                Ok(_) => count += 1,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contention)
    }

    /// The first commit. Answers a guard that holds as long as the mark is there, and how many
    /// cursors went; `None` when there is nothing.
    async fn mark_discarded(&self, partition: PartitionId) -> Result<Option<(Guard, u64)>> {
        let index = &self.engine.index;
        for _ in 0..TRIES_MAX {
            let stored = self.stored_bucket(partition).await?;
            if stored.is_none() {
                let any = index.scan(partition, ScanRange::prefix(b""), 1).await?;
                if any.is_empty() {
                    return Ok(None);
                }
            }
            if let Some(bucket) = &stored
                && types::planted("discard-unmarked")
            {
                return Ok(Some((bucket.guard(), 0)));
            }
            let range = ScanRange::prefix(rows::FOLLOW);
            let cursors = index.scan(partition, range, usize::MAX).await?;
            let count = cursors.len() as u64;
            let mut batch = Batch::new().frees();
            batch = batch.guard(match &stored {
                Some(bucket) => bucket.guard(),
                None => Guard::Absent(rows::BUCKET.into()),
            });
            for (row_key, _) in cursors {
                batch = batch.delete(row_key);
            }
            let record = BucketRecord {
                state: BucketState::Discarding,
                ..stored.map(|bucket| bucket.record).unwrap_or_default()
            };
            let effect = Effect::nothing(self.clock.now(), Cause::Upkeep);
            batch = batch.put(rows::BUCKET, record.encode());
            batch = batch.log(Change::of_bucket(ChangeKind::Discarded, "", effect).encode());
            match self.commit(partition, batch).await {
                Ok(made) => {
                    let guard = Guard::Version(rows::BUCKET.into(), made.version);
                    return Ok(Some((guard, count)));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contention)
    }

    /// Removes all rows but the configuration and the notes of dead extents, and notes the extents
    /// that they name.
    async fn discard_versions(&self, partition: PartitionId) -> Result<u64> {
        let mut count = 0;
        let behind_dead = prefix_end(rows::DEAD);
        let ranges = [
            ScanRange::new(rows::CURRENT, Some(rows::DEAD.into())),
            ScanRange::new(behind_dead.unwrap_or_default(), None),
        ];
        for range in ranges {
            loop {
                let index = &self.engine.index;
                let found = index.scan(partition, range.clone(), BATCH).await?;
                if found.is_empty() {
                    break;
                }
                let (mut batch, mut dead) = (Batch::new().frees(), BTreeSet::new());
                for (row_key, row) in found {
                    if dead.len() >= EXTENTS_MAX {
                        break;
                    }
                    dead.extend(self.named_by(partition, &row_key, row).await?);
                    batch = batch.delete(row_key);
                }
                for id in dead {
                    batch = batch.put(rows::dead(id), Bytes::new());
                }
                let rows = batch.deletes.len() as u64;
                self.commit(partition, batch).await?;
                count += rows;
            }
        }
        Ok(count)
    }

    /// The extents that a row names. One that is damaged goes all the same: what it named is an
    /// orphan then.
    async fn named_by(
        &self,
        partition: PartitionId,
        row_key: &Bytes,
        row: Row,
    ) -> Result<Vec<store::BlobId>> {
        let named = if row_key.starts_with(rows::CURRENT) || row_key.starts_with(rows::OLDER) {
            match extents_of(&row.value, None) {
                // Its manifest is needed.
                Err(_) => {
                    let index = &self.engine.index;
                    match index.get(partition, row_key, Want::Payload).await {
                        Ok(Some(row)) => extents_of(&row.value, row.payload.as_deref()),
                        Ok(None) => Ok(Vec::new()),
                        Err(error) => Err(error.into()),
                    }
                }
                found => found,
            }
        } else if row_key.starts_with(rows::PART) {
            let part = PartRecord::decode(&row.value);
            part.map(|part| part.extents.iter().map(|blob| blob.id).collect())
        } else {
            Ok(Vec::new())
        };
        match named {
            Err(error @ (Error::Record(_) | Error::Store(StoreError::Corrupt(_)))) => {
                tracing::warn!(%error, "a damaged row is discarded without its extents");
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// Deletes the extents that are noted, and the notes.
    async fn discard_dead(&self, partition: PartitionId) -> Result<()> {
        loop {
            let range = ScanRange::prefix(rows::DEAD);
            let found = self.engine.index.scan(partition, range, BATCH).await?;
            if found.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new().frees();
            for (row_key, _) in found {
                self.let_go(rows::dead_blob(&row_key)?).await?;
                batch = batch.delete(row_key);
            }
            self.commit(partition, batch).await?;
        }
    }
}
