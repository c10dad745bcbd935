//! Finding extents that no row refers to: what crashes left of uploads.
//!
//! The pass lists extents first and then reads every row. A row may move meanwhile. Moves in the
//! order of the scan (a current version becomes an older one) cannot hide an extent; moves against
//! it (an older version becomes the current one again, parts become an object) could. Those are
//! counted, and a pass during which one happened is not believed but taken anew.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use store::{BlobId, PartitionId, ScanRange, Want};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::{
    Error, Objects, Result,
    bucket::partition_of,
    listing::Cursor,
    records::{ObjectBody, ObjectRecord, PartRecord, decode_manifest},
    rows,
    versions::missing_payload,
};

const PAGE: usize = 1000;
/// Passes that are taken anew before the caller is told to come back later.
const PASSES_MAX: usize = 3;

/// Counts moves of rows against the order of a scan.
#[derive(Default)]
pub(crate) struct Moves {
    lock: RwLock<()>,
    count: AtomicU64,
}

/// Held while such a move is being committed.
pub(crate) struct Moving<'a> {
    moves: &'a Moves,
    _guard: RwLockReadGuard<'a, ()>,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.moves.count.fetch_add(1, Ordering::AcqRel);
    }
}

impl Moves {
    /// To be held over the commit.
    pub(crate) async fn begin(&self) -> Moving<'_> {
        Moving {
            _guard: self.lock.read().await,
            moves: self,
        }
    }
    /// How many have ended; none is under way at this moment.
    async fn settled(&self) -> u64 {
        let _all = self.lock.write().await;
        self.count.load(Ordering::Acquire)
    }
}

/// What a sweep of orphans removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweptOrphans {
    /// Extents.
    pub removed: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

impl Objects {
    /// Removes extents that no row refers to and that were last written at least `age_ms_min`
    /// milliseconds ago. The age must exceed the longest upload; 0 is safe only while nothing is
    /// written.
    ///
    /// Errors: `Contention` when rows kept moving under the pass; try again later.
    pub async fn sweep_orphans(&self, age_ms_min: u64) -> Result<SweptOrphans> {
        for _ in 0..PASSES_MAX {
            let before = self.moves.settled().await;
            let mut orphans = self.old_blobs(age_ms_min).await?;
            for deed in self.deeds.all() {
                if orphans.is_empty() {
                    break;
                }
                self.keep_referenced(partition_of(&deed), &mut orphans)
                    .await?;
            }
            if self.moves.settled().await != before {
                continue;
            }
            let mut swept = SweptOrphans::default();
            for (id, bytes) in orphans {
                self.engine.blobs.delete(id).await?;
                swept.removed += 1;
                swept.bytes += bytes;
            }
            return Ok(swept);
        }
        Err(Error::Contention)
    }

    async fn old_blobs(&self, age_ms_min: u64) -> Result<HashMap<BlobId, u64>> {
        let mut old = HashMap::new();
        let mut after = None;
        loop {
            let page = self.engine.blobs.list(after, PAGE).await?;
            let aged = page.iter().filter(|b| b.age_ms >= age_ms_min);
            old.extend(aged.map(|b| (b.id, b.bytes)));
            match page.last().filter(|_| page.len() == PAGE) {
                Some(last) => after = Some(last.id),
                None => return Ok(old),
            }
        }
    }

    /// Takes every extent that a row of the partition refers to out of `orphans`.
    async fn keep_referenced(
        &self,
        partition: PartitionId,
        orphans: &mut HashMap<BlobId, u64>,
    ) -> Result<()> {
        let index = &*self.engine.index;
        // In this order: see the head of the module.
        for kind in [rows::CURRENT, rows::DEAD, rows::OLDER, rows::PART] {
            let mut cursor = Cursor::new(index, partition, ScanRange::prefix(kind), PAGE);
            while let Some((row_key, row)) = cursor.next().await? {
                match kind {
                    rows::DEAD => {
                        orphans.remove(&rows::dead_blob(&row_key)?);
                    }
                    rows::PART => {
                        for blob in PartRecord::decode(&row.value)?.extents {
                            orphans.remove(&blob.id);
                        }
                    }
                    _ => match ObjectRecord::decode(&row.value)?.body {
                        ObjectBody::None | ObjectBody::Inline => {}
                        ObjectBody::Extents(extents) => {
                            for blob in extents {
                                orphans.remove(&blob.id);
                            }
                        }
                        ObjectBody::Parts(_) => {
                            // Gone since the scan: then its extents are named as dead, or by the
                            // row that it moved to.
                            let Some(row) = index.get(partition, &row_key, Want::Payload).await?
                            else {
                                continue;
                            };
                            keep_parts(&row, orphans)?;
                        }
                    },
                }
            }
        }
        Ok(())
    }
}

fn keep_parts(row: &store::Row, orphans: &mut HashMap<BlobId, u64>) -> Result<()> {
    let record = ObjectRecord::decode(&row.value)?;
    if let ObjectBody::Extents(extents) = &record.body {
        for blob in extents {
            orphans.remove(&blob.id);
        }
    }
    if !matches!(record.body, ObjectBody::Parts(_)) {
        return Ok(());
    }
    let payload = row.payload.as_ref().ok_or_else(missing_payload)?;
    for blob in decode_manifest(payload)?
        .iter()
        .flat_map(|part| &part.extents)
    {
        orphans.remove(&blob.id);
    }
    Ok(())
}
