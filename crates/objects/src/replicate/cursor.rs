//! Where a region stands in following another: a row in the bucket's partition, written once what
//! it covers was applied.

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
    /// Where this region stands in following `source`.
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

    /// Notes where this region stands; answers where in its own log that note is.
    pub async fn set_follow_cursor(
        &self,
        permit: &Permit,
        source: &RegionId,
        cursor: &FollowCursor,
    ) -> Result<Position> {
        let deed = deed(permit, &[Action::ReplicateInto, Action::ReplicateFrom])?;
        self.note_cursor(deed, rows::follow(source), cursor).await
    }

    /// Notes a cursor, unless the bucket is being discarded here: a cursor says that what it covers
    /// lies here, and what goes must take it along.
    pub(crate) async fn note_cursor(
        &self,
        deed: &BucketDeed,
        row: Bytes,
        cursor: &FollowCursor,
    ) -> Result<Position> {
        let value = Bytes::from(cursor.encode());
        let batch = |bucket: &Bucket| {
            let guarded = Batch::new().guard(bucket.guard());
            guarded.put(row.clone(), value.clone())
        };
        let committed = self.in_bucket(deed, batch).await?;
        Ok(Position(committed.version.0))
    }
}
