//! Changes that clients make in a region: above all at a replica of a bucket which takes writes in
//! every region.
//!
//! The home is the hub: it reads what was made at each replica, and every replica follows the home.
//! So the order in which the home takes changes over is the order everywhere, and all regions end
//! with the same versions whatever arrived first where. Two things keep a replica's own clients
//! from seeing that: what they removed does not come back while the home's log still has it (rows
//! that say what is gone, until the home has read them), and tags that they changed are not put
//! back (a stamp, [`crate::ObjectAttributes::tagged`]).
//!
//! A change of a client is marked with the deed's epoch, at the home too. When the epoch rises a
//! region is *fenced*: nothing that was permitted under the earlier deed is committed any more, so
//! what is in its log then is all, and the new home reads what it has not seen of it, removals and
//! tags included, before anything else happens.

use access::{Action, Permit};
use bytes::Bytes;
use store::{Batch, Guard, PartitionId, Position, RowVersion, ScanRange, Want};
use types::{BucketDeed, Holding, ObjectKey, RegionId, VersionId, Writes};

use crate::{
    ChangePage, Error, FollowCursor, Objects, Result, Shipped, ShippedChange,
    bucket::{Bucket, deed, partition_of},
    listing::{Cursor, after},
    records::ObjectRecord,
    rows,
};

/// Log pages that are looked through for one answer.
const LOOK_THROUGH_MAX: usize = 16;
/// Rows in one commit, or in one reading.
const BATCH: usize = 500;

/// The value of a row that says what is gone.
const NULL: &[u8] = &[1];
const NOT_NULL: &[u8] = &[0];

/// A change that a client makes here, not one that comes from another region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByClient {
    /// The epoch of the deed that permitted it.
    pub epoch: u64,
    /// At a replica; the home reads it later.
    pub at_replica: bool,
}

/// Which of the changes that clients made in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Those under the deed's epoch.
    Present,
    /// Those under an earlier one.
    Former,
}

/// Notes that a client removed or replaced a version here, at a replica.
pub(crate) fn note_gone(batch: Batch, key: &ObjectKey, record: &ObjectRecord) -> Batch {
    let value = if record.null { NULL } else { NOT_NULL };
    batch.put(rows::gone(key.as_bytes(), record.version), value)
}

impl Objects {
    /// Whether clients write here at a replica.
    pub(crate) fn takes_at_replica(&self, deed: &BucketDeed) -> bool {
        deed.placement.writes == Writes::Any && deed.holding(&self.region) == Holding::Replica
    }

    /// What marks a change of a client here.
    pub(crate) fn by_client(&self, deed: &BucketDeed) -> ByClient {
        ByClient {
            epoch: deed.epoch,
            at_replica: self.takes_at_replica(deed),
        }
    }

    /// Whether a client removed or replaced the version here.
    pub(crate) async fn was_removed_here(
        &self,
        bucket: &Bucket,
        shipped: &Shipped,
    ) -> Result<bool> {
        let row = rows::gone(shipped.key.as_bytes(), shipped.version);
        let found = self
            .engine
            .index
            .get(bucket.partition, &row, Want::Value)
            .await?;
        Ok(found.is_some())
    }

    /// Whether the version was made in this region.
    pub fn made_here(&self, version: VersionId) -> bool {
        self.hlc.is_own(version)
    }

    /// What clients changed here, at a replica, after `from` in its log.
    pub async fn own_changes(
        &self,
        permit: &Permit,
        from: Position,
        which: Own,
        limit: usize,
        bytes_max: usize,
    ) -> Result<ChangePage> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let mut at = match which {
            Own::Present => from,
            // As far back as the log reaches: what was before is not to be had in this way.
            Own::Former => from.max(self.engine.log.floor(partition_of(deed)).await?),
        };
        for _ in 0..LOOK_THROUGH_MAX {
            let page = self
                .log_page(deed, at, limit, bytes_max, Some(which))
                .await?;
            if page.reseed || !page.changes.is_empty() || page.next == at {
                return Ok(page);
            }
            at = page.next;
        }
        Ok(ChangePage {
            changes: Vec::new(),
            next: at,
            reseed: false,
            ahead: false,
        })
    }

    /// What clients removed here, at a replica, and which the home may not have read: from the row
    /// `from` on, and where to go on. It serves where the log no longer reaches back.
    pub async fn own_removals(
        &self,
        permit: &Permit,
        from: Option<Bytes>,
    ) -> Result<(Vec<ShippedChange>, Option<Bytes>)> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let mut range = ScanRange::prefix(rows::GONE);
        match from {
            Some(from) if from.starts_with(rows::GONE) => range.start = from,
            Some(_) => return Err(Error::InvalidArgument("not the place of a removal".into())),
            None => {}
        }
        let index = &self.engine.index;
        let found = index.scan(partition_of(deed), range, BATCH).await?;
        let next = match found.last() {
            Some((last, _)) if found.len() == BATCH => Some(after(last)),
            _ => None,
        };
        let removed = |(row_key, row): (Bytes, store::Row)| {
            let (key, version) = rows::gone_name(&row_key)?;
            let text = std::str::from_utf8(&key)
                .map_err(|_| Error::Record("a key that is no text".to_owned()))?;
            Ok(ShippedChange::Removed {
                key: ObjectKey::new(text)?,
                version,
                null: *row.value == *NULL,
            })
        };
        let removals: Result<Vec<_>> = found.into_iter().map(removed).collect();
        Ok((removals?, next))
    }

    /// Where in this region's log the version got the place that it has; `None` when it is not
    /// here.
    pub async fn version_position(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: VersionId,
    ) -> Result<Option<Position>> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let found = self
            .find_even_damaged(partition_of(deed), key, version)
            .await?;
        Ok(found.map(|stored| Position(stored.row.version.0)))
    }

    /// How far this region, a home, has read what clients changed at `copy`, under whatever epoch.
    /// It is kept apart from how far it had followed that region's whole log.
    pub async fn gather_cursor(&self, permit: &Permit, copy: &RegionId) -> Result<FollowCursor> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let (index, row) = (&self.engine.index, rows::gather(copy));
        let row = index.get(partition_of(deed), &row, Want::Value).await?;
        let cursor = row.map(|row| FollowCursor::decode(&row.value));
        Ok(cursor.transpose()?.unwrap_or_default())
    }

    /// Notes that; answers where in this region's log the note is.
    pub async fn set_gather_cursor(
        &self,
        permit: &Permit,
        copy: &RegionId,
        cursor: &FollowCursor,
    ) -> Result<Position> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        self.note_cursor(deed, rows::gather(copy), cursor).await
    }

    /// Where this region's log ends.
    pub async fn own_log_end(&self, permit: &Permit) -> Result<Position> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        Ok(self.log_end(partition_of(deed)))
    }

    /// From now on nothing is committed here that was permitted under a deed of an earlier epoch.
    ///
    /// # Errors
    /// `WrongPermit`; failures of the engine.
    pub async fn fence(&self, permit: &Permit) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let epoch = deed.epoch;
        if self.receiving(deed).await?.record.epoch >= epoch {
            return Ok(());
        }
        let raise = |record: &mut crate::records::BucketRecord| {
            record.epoch = record.epoch.max(epoch);
            Ok(())
        };
        self.change_bucket(deed, raise).await
    }

    /// Drops the record of what was removed here before `up_to` in this region's log: the home has
    /// read it, and all that it logged before is applied here. Of a key that was changed again
    /// later all is kept: the home may have read nothing of it, since versions that were replaced
    /// before it asked are left out. Answers how many rows went.
    pub async fn forget_removals(&self, permit: &Permit, up_to: Position) -> Result<u64> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let partition = partition_of(deed);
        let all = ScanRange::prefix(rows::GONE);
        let mut cursor = Cursor::new(&*self.engine.index, partition, all, BATCH);
        let (mut key, mut last, mut count) = (None::<Bytes>, RowVersion(0), 0);
        loop {
            let next = cursor.next().await?;
            let of = match &next {
                Some((row_key, _)) => Some(rows::gone_name(row_key)?.0),
                None => None,
            };
            if of != key {
                if let Some(done) = key.filter(|_| last <= RowVersion(up_to.0)) {
                    count += self.forget_removals_of(partition, &done, up_to).await?;
                }
                (key, last) = (of, RowVersion(0));
            }
            let Some((_, row)) = next else {
                return Ok(count);
            };
            last = last.max(row.version);
        }
    }

    async fn forget_removals_of(
        &self,
        partition: PartitionId,
        key: &[u8],
        up_to: Position,
    ) -> Result<u64> {
        let _lock = self.locks.lock(partition, key).await;
        let (index, mut count) = (&self.engine.index, 0);
        loop {
            let range = ScanRange::prefix(&rows::gone_prefix(key));
            let found = index.scan(partition, range, BATCH).await?;
            // It may have been changed again meanwhile.
            if found
                .iter()
                .any(|(_, row)| row.version > RowVersion(up_to.0))
            {
                return Ok(count);
            }
            let mut batch = Batch::new().frees();
            for (row_key, row) in found {
                batch = batch
                    .guard(Guard::Version(row_key.clone(), row.version))
                    .delete(row_key);
                count += 1;
            }
            if batch.deletes.is_empty() {
                return Ok(count);
            }
            self.commit(partition, batch).await?;
        }
    }

    /// Whether clients changed anything here, at a replica, after `from` in its log: what the home
    /// may not have.
    pub async fn has_own_changes(&self, permit: &Permit, from: Position) -> Result<bool> {
        let deed = deed(permit, &[Action::ReplicateFrom, Action::CountVersions])?;
        let mut at = from;
        loop {
            let page = self
                .log_page(deed, at, BATCH, usize::MAX, Some(Own::Present))
                .await?;
            if page.reseed || !page.changes.is_empty() {
                return Ok(true);
            }
            if page.next == at {
                return Ok(false);
            }
            at = page.next;
        }
    }
}
