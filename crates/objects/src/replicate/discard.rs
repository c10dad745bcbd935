//! Removing all that lies here of a bucket that is not placed here any more.

use store::{Batch, ScanRange};
use types::BucketDeed;

use crate::{
    Objects, Result,
    bucket::partition_of,
    records::{ObjectBody, ObjectRecord, PartRecord, decode_manifest},
    rows,
    versions::missing_payload,
};

/// Rows that are removed in one commit.
const BATCH: usize = 500;

impl Objects {
    /// Removes every row of the bucket and the extents that they name; answers how many rows there
    /// were. The caller has made sure that the deed has no place for it here.
    pub async fn discard_bucket(&self, deed: &BucketDeed) -> Result<u64> {
        let partition = partition_of(deed);
        let (index, blobs) = (&self.engine.index, &self.engine.blobs);
        let mut count = 0;
        loop {
            // The configuration goes last: it says of what kind the others are.
            let others = ScanRange::new(rows::CURRENT, None);
            let mut found = index.scan(partition, others, BATCH).await?;
            if found.is_empty() {
                found = index.scan(partition, ScanRange::prefix(b""), BATCH).await?;
            }
            if found.is_empty() {
                self.forget_bucket(deed);
                return Ok(count);
            }
            let mut batch = Batch::new().frees();
            for (row_key, row) in found {
                let mut extents = Vec::new();
                if row_key.starts_with(rows::CURRENT) || row_key.starts_with(rows::OLDER) {
                    match ObjectRecord::decode(&row.value)?.body {
                        ObjectBody::None | ObjectBody::Inline => {}
                        ObjectBody::Extents(all) => extents = all,
                        ObjectBody::Parts(_) => {
                            let whole = index.get(partition, &row_key, store::Want::Payload);
                            let payload = whole.await?.and_then(|row| row.payload);
                            let payload = payload.ok_or_else(missing_payload)?;
                            let parts = decode_manifest(&payload)?;
                            extents = parts.into_iter().flat_map(|p| p.extents).collect();
                        }
                    }
                } else if row_key.starts_with(rows::PART) {
                    extents = PartRecord::decode(&row.value)?.extents;
                } else if row_key.starts_with(rows::DEAD) {
                    blobs.delete(rows::dead_blob(&row_key)?).await?;
                }
                for blob in extents {
                    blobs.delete(blob.id).await?;
                }
                batch = batch.delete(row_key);
                count += 1;
            }
            index.commit(partition, batch).await?;
        }
    }
}
