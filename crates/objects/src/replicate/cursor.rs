//! Where a region stands in following another: a row in the bucket's partition, written once what
//! it covers was applied.

use access::{Action, Permit};
use store::{Batch, Position, Want};
use types::RegionId;

use crate::{
    FollowCursor, Objects, Result,
    bucket::{deed, partition_of},
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
        let batch = Batch::new().put(rows::follow(source), cursor.encode());
        let committed = self.commit(partition_of(deed), batch).await?;
        Ok(Position(committed.version.0))
    }
}
