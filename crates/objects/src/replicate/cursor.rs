//! How far a region has followed another: a row in the bucket's partition, written once what it
//! covers was applied.

use access::{Action, Permit};
use bytes::Bytes;
use store::{Batch, Position, Want};
use types::{BucketDeed, RegionId};

use crate::{
    FollowCursor, Objects, Result,
    bucket::{Bucket, deed, partition_of},
    rows,
};

impl Objects {
    /// How far this region has followed `source`.
    pub async fn follow_cursor(
        &self,
        permit: &Permit,
        source: &RegionId,
    ) -> Result<Option<FollowCursor>> {
        let allowed = [
            Action::ReplicateInto,
            Action::ReplicateFrom,
            Action::CountVersions,
        ];
        let deed = deed(permit, &allowed)?;
        let row = rows::follow(source);
        let index = &self.engine.index;
        let row = index.get(partition_of(deed), &row, Want::Value).await?;
        row.map(|row| FollowCursor::decode(&row.value)).transpose()
    }

    /// Whether this region has once got all that `source` has, for the replica that the deed means.
    /// What was followed for one that was removed since says nothing of the one that was added
    /// after it.
    pub async fn has_followed(&self, permit: &Permit, source: &RegionId) -> Result<bool> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let (index, row) = (&self.engine.index, rows::follow(source));
        let row = index.get(partition_of(deed), &row, Want::Value).await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let (cursor, of) = FollowCursor::decode_of(&row.value)?;
        let now = deed.placement.copy_since(&self.region);
        let same = match of {
            _ if types::planted("cursors-of-replicas-before") => true,
            Some(since) => since == now,
            // Of the replica that was there since the bucket was made, or noted by a release that
            // did not say of which.
            None => now == 0 || types::planted("cursors-of-the-first-replica"),
        };
        Ok(same && cursor.snapshot.is_none())
    }

    /// Notes how far this region is; answers where in its own log that note is.
    pub async fn set_follow_cursor(
        &self,
        permit: &Permit,
        source: &RegionId,
        cursor: &FollowCursor,
    ) -> Result<Position> {
        let deed = deed(permit, &[Action::ReplicateInto, Action::ReplicateFrom])?;
        let value = cursor.encode_of(deed.placement.copy_since(&self.region));
        self.note(deed, rows::follow(source), value.into()).await
    }

    pub(crate) async fn note_cursor(
        &self,
        deed: &BucketDeed,
        row: Bytes,
        cursor: &FollowCursor,
    ) -> Result<Position> {
        self.note(deed, row, cursor.encode().into()).await
    }

    /// Notes a cursor, unless the bucket is being discarded here: a cursor says that what it covers
    /// is stored here, so it must go with what is discarded.
    async fn note(&self, deed: &BucketDeed, row: Bytes, value: Bytes) -> Result<Position> {
        let batch = |bucket: &Bucket| {
            let guarded = Batch::new().guard(bucket.guard());
            guarded.put(row.clone(), value.clone())
        };
        let committed = self.in_bucket(deed, batch).await?;
        Ok(Position(committed.version.0))
    }
}
