//! Where a region stands in following another: a row in the bucket's partition, written once what
//! it covers was applied.

use access::{Action, Permit};
use store::{Batch, Position, Want};
use types::{BucketDeed, RegionId};

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

    /// Where the log of the bucket's present epoch begins, as far as this region has noted it; 0
    /// when it has not.
    pub async fn epoch_start(&self, permit: &Permit) -> Result<u64> {
        let own = self.region.clone();
        let noted = self.follow_cursor(permit, &own).await?;
        let epoch = permit.deed().map(|deed| deed.epoch);
        let noted = noted.filter(|cursor| Some(cursor.epoch) == epoch);
        Ok(noted.map_or(0, |cursor| cursor.position.0))
    }

    /// Notes once for each epoch where its log begins, in the region that became the home with it.
    pub async fn note_epoch(&self, deed: &BucketDeed, here: &RegionId) -> Result<()> {
        let partition = partition_of(deed);
        let row_key = rows::follow(here);
        let index = &self.engine.index;
        let row = index.get(partition, &row_key, Want::Value).await?;
        let noted = row
            .map(|row| FollowCursor::decode(&row.value))
            .transpose()?;
        if noted.is_some_and(|cursor| cursor.epoch == deed.epoch) {
            return Ok(());
        }
        let cursor = FollowCursor {
            epoch: deed.epoch,
            position: self.log_end(partition).await?,
            ..FollowCursor::default()
        };
        let batch = Batch::new().put(row_key, cursor.encode());
        self.commit(partition, batch).await?;
        Ok(())
    }
}
