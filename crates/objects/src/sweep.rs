//! Deleting extents that no row refers to any more.

use store::{Batch, ScanRange};
use types::BucketDeed;

use crate::{Objects, Result, bucket::partition_of, rows};

/// Extents that are deleted before their rows are removed in one commit.
const SWEEP_BATCH: usize = 500;

impl Objects {
    /// Deletes the extents of what was replaced or removed in every bucket; answers how many.
    /// To be called again and again in the background.
    pub async fn sweep(&self) -> Result<u64> {
        let mut count = 0;
        for deed in self.deeds.all() {
            if deed.home == self.region {
                count += self.sweep_bucket(&deed).await?;
            }
        }
        Ok(count)
    }

    async fn sweep_bucket(&self, deed: &BucketDeed) -> Result<u64> {
        let partition = partition_of(deed);
        self.sweep_finished_uploads(partition).await?;
        let mut count = 0;
        loop {
            let range = ScanRange::prefix(rows::DEAD);
            let found = self
                .engine
                .index
                .scan(partition, range, SWEEP_BATCH)
                .await?;
            let last = found.len() < SWEEP_BATCH;
            if found.is_empty() {
                return Ok(count);
            }
            let mut batch = Batch::new().frees();
            for (row_key, _) in found {
                self.engine.blobs.delete(rows::dead_blob(&row_key)?).await?;
                batch = batch.delete(row_key);
                count += 1;
            }
            self.engine.index.commit(partition, batch).await?;
            if last {
                return Ok(count);
            }
        }
    }
}
