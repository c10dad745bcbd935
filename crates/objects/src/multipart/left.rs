//! Uploads in progress of a bucket that gets another home. Their parts are here only, and go
//! nowhere: before the change the home says how many there are, and after it ends them.

use access::{Action, Permit};
use store::{Batch, Guard, PartitionId, ScanRange, StoreError};
use types::{BucketDeed, UploadId};

use super::SWEEP_BATCH;
use crate::{
    Error, Objects, Result,
    bucket::{TRIES_MAX, deed, partition_of},
    listing::Cursor,
    records::PartRecord,
    rows,
};

/// Uploads that are counted.
const UPLOADS_COUNTED: u64 = 1000;
/// Parts that are counted, of all uploads.
const PARTS_COUNTED: u64 = 10_000;

/// How many uploads of a bucket are in progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uploads {
    /// Neither completed nor aborted.
    pub uploads: u64,
    /// Their parts.
    pub parts: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// There are more: no further ones were counted.
    pub more: bool,
}

impl Objects {
    /// How many uploads of a bucket are in progress here, up to a bound.
    ///
    /// # Errors
    /// Failures of the engine.
    pub async fn uploads_in_progress(&self, deed: &BucketDeed) -> Result<Uploads> {
        let partition = partition_of(deed);
        let all = ScanRange::prefix(rows::UPLOAD);
        let mut cursor = Cursor::new(&*self.engine.index, partition, all, SWEEP_BATCH);
        let mut found = Uploads::default();
        while let Some((row_key, _)) = cursor.next().await? {
            if found.uploads == UPLOADS_COUNTED || found.more {
                found.more = true;
                break;
            }
            found.uploads += 1;
            let (_, upload) = rows::split_upload(&row_key)?;
            self.count_parts(partition, upload, &mut found).await?;
        }
        Ok(found)
    }

    async fn count_parts(
        &self,
        partition: PartitionId,
        upload: UploadId,
        found: &mut Uploads,
    ) -> Result<()> {
        let all = ScanRange::prefix(&rows::parts(upload));
        let mut cursor = Cursor::new(&*self.engine.index, partition, all, SWEEP_BATCH);
        while let Some((_, row)) = cursor.next().await? {
            if found.parts == PARTS_COUNTED {
                found.more = true;
                break;
            }
            found.parts += 1;
            let size = PartRecord::decode(&row.value)?.size;
            found.bytes = found.bytes.saturating_add(size);
        }
        Ok(())
    }

    /// Ends the uploads that are in progress here, where the bucket has got another home: nobody
    /// can complete them any more. Answers how many there were. A replica that takes writes keeps
    /// its own: they are completed there. To be called after [`Objects::fence`], so none begins
    /// meanwhile.
    ///
    /// # Errors
    /// `WrongPermit`; failures of the engine.
    pub async fn end_uploads(&self, permit: &Permit) -> Result<u64> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        if deed.home == self.region || self.takes_at_replica(deed) {
            return Ok(0);
        }
        let partition = partition_of(deed);
        let (mut count, mut tries) = (0, 0);
        loop {
            let all = ScanRange::prefix(rows::UPLOAD);
            let found = self.engine.index.scan(partition, all, SWEEP_BATCH).await?;
            let mut batch = Batch::new().frees();
            let mut ended = Vec::new();
            for (row_key, row) in found {
                let (_, upload) = rows::split_upload(&row_key)?;
                ended.push(upload);
                batch = batch
                    .guard(Guard::Version(row_key.clone(), row.version))
                    .delete(row_key)
                    .put(rows::finished_upload(upload), Vec::new());
            }
            if ended.is_empty() {
                return Ok(count);
            }
            match self.commit(partition, batch).await {
                Ok(_) => count += ended.len() as u64,
                Err(StoreError::Conflict { .. }) if tries < TRIES_MAX => {
                    tries += 1;
                    continue;
                }
                Err(StoreError::Conflict { .. }) => return Err(Error::Contention),
                Err(error) => return Err(error.into()),
            }
            for upload in ended {
                self.sweep_upload_or_later(partition, upload).await;
            }
        }
    }
}
