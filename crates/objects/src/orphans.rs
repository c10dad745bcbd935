//! Finding extents that no row refers to: what crashes left of uploads.
//!
//! The pass lists extents first and then reads every row. An extent that is on its way in when it
//! is listed is pinned ([`crate::pins`]) and left out; one that was committed before is named by a
//! row that the pass reads afterwards. No age and no clock says what may go.
//!
//! A row may move meanwhile. Moves in the order of the scan (a current version becomes an older
//! one) cannot hide an extent; moves against it (an older version becomes the current one again,
//! parts become an object) could. So whoever moves rows notes during a pass which extents they
//! name, and the pass leaves those alone.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use store::{Batch, BlobId, PartitionId, ScanRange, Want};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::{
    Error, Objects, Result,
    bucket::partition_of,
    listing::Cursor,
    records::{ObjectBody, ObjectRecord, PartRecord, decode_manifest},
    rows,
    versions::missing_payload,
};

const PAGE: usize = 1000;
/// Extents that one pass over the rows looks for, which bounds its memory.
const SLICE: usize = 500_000;
/// Extents that are noted as moved during one pass; with more the caller has to try again.
const MOVED_MAX: usize = 500_000;

/// What moves of rows name while a pass is under way.
#[derive(Default)]
enum Watch {
    #[default]
    Off,
    On(HashSet<BlobId>),
    /// There were too many, or one could not be read.
    Lost,
}

/// Moves of rows against the order of a scan.
#[derive(Default)]
pub(crate) struct Moves {
    lock: Arc<RwLock<()>>,
    watch: Mutex<Watch>,
    /// Held by the pass.
    pass: tokio::sync::Mutex<()>,
}

/// Held until such a move has been committed, or has not.
pub(crate) struct Moving {
    _guard: OwnedRwLockReadGuard<()>,
}

/// Ends the watch, also of a pass that is given up.
struct Watching<'a>(&'a Moves);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        *self.0.watch.lock() = Watch::Off;
    }
}

impl Moves {
    /// To be held over the commit of `batch`.
    pub(crate) async fn begin(&self, batch: &Batch) -> Moving {
        let moving = Moving {
            _guard: Arc::clone(&self.lock).read_owned().await,
        };
        let mut watch = self.watch.lock();
        if let Watch::On(moved) = &mut *watch {
            let noted = batch.puts.iter().try_for_each(|put| {
                if put.key.starts_with(rows::CURRENT) || put.key.starts_with(rows::OLDER) {
                    moved.extend(extents_of(&put.value, put.payload.as_deref())?);
                }
                Ok::<(), Error>(())
            });
            if noted.is_err() || moved.len() > MOVED_MAX {
                *watch = Watch::Lost;
            }
        }
        drop(watch);
        moving
    }

    /// From now on moves are noted; those that began before have ended.
    async fn watch(&self) -> Watching<'_> {
        let _all = self.lock.write().await;
        *self.watch.lock() = Watch::On(HashSet::new());
        Watching(self)
    }

    /// What moved since; `None` when that is not known.
    async fn moved(&self) -> Option<HashSet<BlobId>> {
        let _all = self.lock.write().await;
        match std::mem::take(&mut *self.watch.lock()) {
            Watch::On(moved) => Some(moved),
            Watch::Off | Watch::Lost => None,
        }
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

/// Extents with their bytes on disk.
type Found = BTreeMap<BlobId, u64>;

impl Objects {
    /// Removes extents that no row refers to and that nobody is about to refer to. It may run at
    /// any time.
    ///
    /// # Errors
    /// `Contention` when another pass is under way, or too many rows moved under this one; try
    /// again later. Failures of the engine.
    pub async fn sweep_orphans(&self) -> Result<SweptOrphans> {
        let Ok(_pass) = self.moves.pass.try_lock() else {
            return Err(Error::Contention);
        };
        let mut swept = SweptOrphans::default();
        let mut after = None;
        loop {
            let watching = self.moves.watch().await;
            let (mut orphans, next) = self.unpinned(after).await?;
            for deed in self.deeds.all() {
                if orphans.is_empty() {
                    break;
                }
                self.keep_referenced(partition_of(&deed), &mut orphans)
                    .await?;
            }
            let moved = self.moves.moved().await.ok_or(Error::Contention)?;
            drop(watching);
            orphans.retain(|id, _| !moved.contains(id));
            for (id, bytes) in orphans {
                // A read may need what was replaced and swept from the rows meanwhile.
                if self.delete_extent(id).await? {
                    swept.removed += 1;
                    swept.bytes += bytes;
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(swept),
            }
        }
    }

    /// The next extents that are not pinned, and where to go on. Which are pinned is asked after
    /// they were listed: one whose pin has ended by then is named by a row already, or never will
    /// be.
    async fn unpinned(&self, mut after: Option<BlobId>) -> Result<(Found, Option<BlobId>)> {
        let mut found = Found::new();
        loop {
            let page = self.engine.blobs.list(after, PAGE).await?;
            let more = page.len() == PAGE;
            after = page.last().map(|last| last.id);
            let free = page.into_iter().filter(|blob| !self.pins.holds(blob.id));
            found.extend(free.map(|blob| (blob.id, blob.bytes)));
            if !more {
                return Ok((found, None));
            }
            if found.len() >= SLICE {
                return Ok((found, after));
            }
        }
    }

    /// Takes every extent that a row of the partition refers to out of `orphans`.
    async fn keep_referenced(&self, partition: PartitionId, orphans: &mut Found) -> Result<()> {
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
                    _ => {
                        let has_parts = |value: &[u8]| {
                            ObjectRecord::decode(value)
                                .map(|record| matches!(record.body, ObjectBody::Parts(_)))
                        };
                        let mut row = row;
                        if has_parts(&row.value)? {
                            // Gone since the scan: then its extents are named as dead, or by the
                            // row that it moved to.
                            match index.get(partition, &row_key, Want::Payload).await? {
                                Some(whole) => row = whole,
                                None => continue,
                            }
                        }
                        for id in extents_of(&row.value, row.payload.as_deref())? {
                            orphans.remove(&id);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The extents that the row of a version names.
pub(crate) fn extents_of(value: &[u8], payload: Option<&[u8]>) -> Result<Vec<BlobId>> {
    Ok(match ObjectRecord::decode(value)?.body {
        ObjectBody::None | ObjectBody::Inline => Vec::new(),
        ObjectBody::Extents(extents) => extents.iter().map(|blob| blob.id).collect(),
        ObjectBody::Parts(_) => {
            let parts = decode_manifest(payload.ok_or_else(missing_payload)?)?;
            let extents = parts.iter().flat_map(|part| &part.extents);
            extents.map(|blob| blob.id).collect()
        }
    })
}
