//! Whether anything is stored here of a bucket, wherever that is placed.

use store::ScanRange;
use types::BucketDeed;

use crate::{Objects, Result, bucket::partition_of};

impl Objects {
    /// Whether there is any row of the bucket here. Reads one row at most.
    pub async fn holds_rows(&self, deed: &BucketDeed) -> Result<bool> {
        let any = ScanRange::prefix(b"");
        let found = self.engine.index.scan(partition_of(deed), any, 1).await?;
        Ok(!found.is_empty())
    }
}
