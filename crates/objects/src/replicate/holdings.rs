//! What a region holds of a bucket, in the order in which statements about it are made: by key,
//! then newest version first. Read from the rows alone; what the deed says plays no part.

use access::{Action, Permit};
use bytes::Bytes;
use store::{PartitionId, Position, ScanRange};
use types::{Holding, ObjectKey, VersionId};

use super::{Census, export::key_of};
use crate::{
    Objects, Result,
    bucket::{deed, partition_of},
    listing::after,
    records::RecordView,
    rows,
};

/// The version that comes before the next page.
pub type CountedTo = (ObjectKey, VersionId);

fn order(one: &Census) -> (&[u8], [u8; 16]) {
    (one.key.as_bytes(), one.version.newest_first())
}

impl Objects {
    /// The next `limit` versions after `from`, by key and then newest first, and where to go on;
    /// `None` at the end. Two ranges of rows are merged, a page of each at a time.
    ///
    /// Rows that change meanwhile may be missed: compare
    /// [`Objects::position_held`] before and after.
    pub async fn versions_by_key(
        &self,
        permit: &Permit,
        from: Option<&CountedTo>,
        limit: usize,
    ) -> Result<(Vec<Census>, Option<CountedTo>)> {
        let partition = partition_of(deed(permit, &[Action::CountVersions])?);
        let (current, older) = match from {
            None => (
                Bytes::from_static(rows::CURRENT),
                Bytes::from_static(rows::OLDER),
            ),
            // The current version may come after an older one that was made elsewhere later.
            Some((key, version)) => (
                rows::current(key.as_bytes()),
                after(&rows::older(key.as_bytes(), *version)),
            ),
        };
        // One more: the first current row may have been counted already.
        let current = self.counted(partition, rows::CURRENT, current, limit + 1);
        let older = self.counted(partition, rows::OLDER, older, limit);
        let mut merged = current.await?;
        merged.extend(older.await?);
        if let Some((key, version)) = from {
            let last = (key.as_bytes(), version.newest_first());
            merged.retain(|one| order(one) > last);
        }
        merged.sort_by(|a, b| order(a).cmp(&order(b)));
        let more = merged.len() >= limit;
        // A version that ceased to be the current one between the two readings is in both.
        merged.dedup_by(|a, b| order(a) == order(b));
        merged.truncate(limit);
        let next = merged.last().filter(|_| more);
        let next = next.map(|last| (last.key.clone(), last.version));
        Ok((merged, next))
    }

    async fn counted(
        &self,
        partition: PartitionId,
        kind: &'static [u8],
        start: Bytes,
        limit: usize,
    ) -> Result<Vec<Census>> {
        let range = ScanRange::new(start, ScanRange::prefix(kind).end);
        let found = self.engine.index.scan(partition, range, limit).await?;
        let one = |(row_key, row): (Bytes, store::Row)| {
            let view = RecordView::decode(&row.value)?;
            Ok(Census {
                key: key_of(&row_key)?,
                version: view.version,
                delete_marker: view.delete_marker,
                size: view.size,
                etag: view.etag,
            })
        };
        found.into_iter().map(one).collect()
    }

    /// The position in the home's change log that this region's rows reflect: of its own log at the
    /// home, of what it has applied at a replica. `None` where that cannot be said: the region
    /// holds no replica, or is taking one over.
    pub async fn position_held(&self, permit: &Permit) -> Result<Option<Position>> {
        let deed = deed(permit, &[Action::CountVersions])?;
        match deed.holding(&self.region) {
            Holding::Home => Ok(Some(self.log_end(partition_of(deed)))),
            Holding::Nothing => Ok(None),
            Holding::Replica | Holding::Sealed => {
                if self.asides_of(deed.id, &deed.home).is_some() {
                    return Ok(None);
                }
                let cursor = self.follow_cursor(permit, &deed.home).await?;
                let cursor = cursor.filter(|c| c.epoch == deed.epoch && c.snapshot.is_none());
                Ok(cursor.map(|cursor| cursor.position))
            }
        }
    }
}
