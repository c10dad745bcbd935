//! Extents in files: write-once, checksummed, one file each.
//!
//! How an extent lives:
//!
//! 1. [`Extents::create`](crate::Blobs::create) draws a random id. The file gets its final name
//!    at once; nobody can refer to it before [`BlobWriter::finish`], so no rename is needed, and
//!    what a crash leaves behind is a file without a reference, which the sweep of orphans finds.
//! 2. Content goes to the file in jobs of at most about 1 MiB on the blocking pool, one at a time,
//!    while the next megabyte gathers; the checksum of each block is computed there. Writeback
//!    starts early, so that the sync at the end is short.
//! 3. `finish` writes the table of checksums and the footer, syncs the file and its directory,
//!    and only then returns the reference.
//! 4. A reader checks footer and table when it opens the extent, and each block whenever it reads
//!    it. Reads that the page cache can answer happen in place, others on the blocking pool.
//!
//! Invariants: a name is made of the random id alone. A byte whose block does not have its
//! checksum is never handed out. After a failed sync or write no further extent is taken.
//!
//! The bytes are drawn in docs/disk-format.md, section "Extents".

mod files;
mod format;
mod pool;
mod reader;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod writeback;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use types::{Random, SystemRandom};

use self::{files::Files, reader::Reader, writer::Writer};
pub use self::{
    format::BLOCK_BYTES,
    reader::READ_BYTES_MAX,
    verify::{Damage, DamageKind, VerifyProgress, VerifyReport},
};
use crate::{BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, StoreError, StoreResult};

/// From this announced length on, room is allocated before the first byte comes. Smaller extents
/// are cheaper without, and lack of room shows soon enough.
const ALLOCATE_BYTES_MIN: u64 = 4 << 20;

/// How [`Extents`] are kept.
#[derive(Clone)]
pub struct ExtentsConfig {
    /// The directory of the extents; made when it is missing.
    pub dir: PathBuf,
    /// Room on the file system that new extents leave free, for deletes to work with.
    pub reserve_bytes: u64,
    /// Where ids come from.
    pub random: Arc<dyn Random>,
}

impl ExtentsConfig {
    /// With a reserve of 64 MiB and the machine's entropy.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            reserve_bytes: 64 << 20,
            random: Arc::new(SystemRandom),
        }
    }
}

/// The state of the extents; for metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentsStats {
    /// Bytes of the file system that are free, the reserve among them.
    pub free_bytes: u64,
    /// Bytes of the file system.
    pub total_bytes: u64,
    /// Extents that are being written.
    pub unfinished: usize,
    /// Whether no more extents are taken.
    pub fenced: bool,
}

/// The extents of one directory.
pub struct Extents {
    files: Arc<Files>,
}

impl Extents {
    /// Opens the directory, makes it and its 256 subdirectories when they are missing, and makes
    /// their names durable in any case: a crash may have come before an earlier start had done so.
    /// Blocks on the disk for some milliseconds.
    pub fn open(config: ExtentsConfig) -> StoreResult<Arc<Self>> {
        let files = Arc::new(Files::open(config)?);
        Ok(Arc::new(Self { files }))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.files.config.dir
    }

    /// Why no more extents are taken, once a sync or a write has failed.
    pub fn fenced(&self) -> Option<&str> {
        self.files.fence.get().map(String::as_str)
    }

    /// Counts and room; one quick call to the operating system.
    pub fn stats(&self) -> StoreResult<ExtentsStats> {
        let (free_bytes, total_bytes) = self.files.room()?;
        Ok(ExtentsStats {
            free_bytes,
            total_bytes,
            unfinished: self.files.unfinished_count(),
            fenced: self.fenced().is_some(),
        })
    }

    /// The file of an extent, for tools and tests.
    pub fn path_of(&self, id: BlobId) -> PathBuf {
        self.files.path(id)
    }

    /// Bytes on disk of all finished extents: what [`Extents::verify`] will read. Blocking; looks
    /// at every file once.
    pub fn bytes(&self) -> StoreResult<u64> {
        verify::bytes(&self.files)
    }

    /// Reads every block of every finished extent from the disk and reports what is damaged.
    /// Blocking; `progress` is called after each extent and ends the pass by answering `false`.
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(&VerifyProgress) -> bool,
    ) -> StoreResult<VerifyReport> {
        verify::verify(&self.files, progress)
    }
}

/// Runs `job` on the blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => result,
        Err(ended) => Err(StoreError::io(
            "a file operation ended early",
            std::io::Error::other(ended),
        )),
    }
}

#[async_trait]
impl Blobs for Extents {
    async fn create(&self, len_hint: Option<u64>) -> StoreResult<Box<dyn BlobWriter>> {
        let files = &self.files;
        files.check_fence()?;
        files.check_room(len_hint.unwrap_or(0))?;
        let mut writer = Writer::new(files.clone(), files.new_id());
        if let Some(len) = len_hint.filter(|len| *len >= ALLOCATE_BYTES_MIN) {
            writer.allocate(len).await?;
        }
        Ok(Box::new(writer))
    }

    async fn open(&self, blob: &BlobRef) -> StoreResult<Arc<dyn BlobReader>> {
        Ok(Arc::new(Reader::open(self.files.clone(), blob).await?))
    }

    async fn delete(&self, id: BlobId) -> StoreResult<()> {
        let files = self.files.clone();
        // The directory is not synced: who deletes keeps a note of it until the file is gone, and
        // an extent that a loss of power brings back has no reference, so the sweep finds it.
        blocking(move || files.remove(id)).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>> {
        let files = self.files.clone();
        blocking(move || files.list(after, limit)).await
    }
}
