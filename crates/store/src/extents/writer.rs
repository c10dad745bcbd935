//! Writing an extent: pieces gather to jobs, jobs run one at a time on the blocking pool.

use std::{fs::File, io::IoSlice, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::{fs::FallocateFlags, io::Errno};
use tokio::task::JoinHandle;

use super::{blocking, files::Files, format, format::Table, writeback};
use crate::{BlobId, BlobRef, BlobWriter, StoreError, StoreResult};

/// A job takes at most this much (or one piece that is larger). As much gathers while it runs, so
/// an extent of this size takes no more than the last job.
const JOB_BYTES: usize = 1 << 20;
/// The jobs of all writers together take about this much: with many writers each job is smaller,
/// down to [`JOB_BYTES_MIN`].
const JOBS_BYTES: usize = 16 << 20;
const JOB_BYTES_MIN: usize = 128 << 10;

/// Or when this many pieces have; the kernel takes at most 1024 in one call.
const JOB_PIECES: usize = 512;

/// The way to the disk is begun after each so many bytes, so that the sync at the end finds little
/// left to do.
const WRITEBACK_BYTES: u64 = 4 << 20;

/// Room is allocated in steps of this size, not at once: otherwise whoever announces much and
/// sends nothing would fill the disk.
const ALLOCATE_STEP_BYTES: u64 = 64 << 20;

/// The extent being written. Dropped with `keep` unset, it removes the file; it travels through
/// the jobs, so the removal comes after whatever job was under way.
struct Sink {
    files: Arc<Files>,
    id: BlobId,
    /// Made by the first job, so that a small extent takes a single one.
    file: Option<File>,
    table: Table,
    /// Bytes in the file.
    written: u64,
    /// How far the way to the disk has been begun.
    begun: u64,
    /// The length that was announced, with its trailer; 0 when none was.
    announced: u64,
    /// How far room has been allocated.
    allocated: u64,
    keep: bool,
}

type Job = JoinHandle<(Sink, StoreResult<()>)>;

/// The front of a [`Sink`].
pub(super) struct Writer {
    files: Arc<Files>,
    id: BlobId,
    /// Here, or in `job`; in neither after a failure.
    sink: Option<Box<Sink>>,
    job: Option<Job>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    failed: Option<StoreError>,
}

impl Sink {
    fn file(&mut self) -> StoreResult<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.files.create(self.id)?,
        };
        Ok(self.file.insert(file))
    }

    /// Allocates room for the file up to `end`, in steps, within what was announced.
    fn allocate(&mut self, end: u64) -> StoreResult<()> {
        if end <= self.allocated || self.allocated >= self.announced {
            return Ok(());
        }
        let step = end.saturating_add(ALLOCATE_STEP_BYTES).min(self.announced);
        let (from, id, files) = (self.allocated, self.id, self.files.clone());
        let file = self.file()?;
        match rustix::fs::fallocate(file, FallocateFlags::empty(), from, step - from) {
            Ok(()) => self.allocated = step,
            // Not every file system can; writing finds out about its room then.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.announced = 0,
            Err(e) => return Err(files.error("allocating", Some(id), e)),
        }
        Ok(())
    }

    /// Writes the pieces behind what is there.
    fn write_all(&mut self, pieces: &[Bytes]) -> StoreResult<()> {
        let (id, files) = (self.id, self.files.clone());
        let mut at = self.written;
        let file = self.file()?;
        let mut slices: Vec<_> = pieces.iter().map(|p| IoSlice::new(p)).collect();
        let mut rest = slices.as_mut_slice();
        // Drops empty slices from the front.
        IoSlice::advance_slices(&mut rest, 0);
        #[cfg(test)]
        (files.faults.on_write()).map_err(|e| files.write_failed("writing", id, e))?;
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, at) {
                Ok(0) => return Err(files.write_failed("writing", id, Errno::IO)),
                Ok(n) => {
                    at += n as u64;
                    IoSlice::advance_slices(&mut rest, n);
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(files.write_failed("writing", id, e)),
            }
        }
        self.written = at;
        Ok(())
    }

    /// One job: checksums the pieces, writes them, and begins their way to the disk.
    fn append(&mut self, pieces: &[Bytes]) -> StoreResult<()> {
        let bytes: u64 = pieces.iter().map(|p| p.len() as u64).sum();
        let end = self.written.saturating_add(bytes);
        if end > self.allocated {
            self.files.check_room(bytes)?;
            self.allocate(end)?;
        }
        pieces.iter().for_each(|p| self.table.update(p));
        self.write_all(pieces)?;
        if end - self.begun >= WRITEBACK_BYTES {
            let from = std::mem::replace(&mut self.begun, end);
            writeback::begin(self.file()?, from, end - from);
        }
        Ok(())
    }

    /// The last job: what is left, table and footer in one write; then the syncs.
    fn finish(&mut self, mut pieces: Vec<Bytes>) -> StoreResult<BlobRef> {
        self.files.check_fence()?;
        pieces.iter().for_each(|p| self.table.update(p));
        let table = std::mem::replace(&mut self.table, Table::new(self.id));
        let (trailer, blob) = table.finish();
        pieces.push(trailer.into());
        self.write_all(&pieces)?;
        let (allocated, written, id, files) =
            (self.allocated, self.written, self.id, self.files.clone());
        let file = self.file()?;
        if allocated > written {
            file.set_len(written)
                .map_err(|e| StoreError::io(format!("shortening extent {id}"), e))?;
        }
        files.sync(file, id)?;
        Ok(blob)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else {
            return self.files.settle(self.id);
        };
        if !self.keep {
            // An orphan at worst; the sweep finds it.
            if let Err(error) = self.files.remove(self.id) {
                tracing::warn!(%error, "an unfinished extent stays behind");
            }
        }
        self.files.settle(self.id);
        // Closing the last handle of a removed file frees its blocks, which can take a while.
        if !self.keep
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

impl Writer {
    pub(super) fn new(files: Arc<Files>, id: BlobId) -> Self {
        let sink = Sink {
            files: Arc::clone(&files),
            id,
            file: None,
            table: Table::new(id),
            written: 0,
            begun: 0,
            announced: 0,
            allocated: 0,
            keep: false,
        };
        Self {
            files,
            id,
            sink: Some(Box::new(sink)),
            job: None,
            pending: Vec::new(),
            pending_bytes: 0,
            failed: None,
        }
    }

    /// Allocates the first room for `len` bytes of content.
    pub(super) async fn allocate(&mut self, len: u64) -> StoreResult<()> {
        self.start(move |sink| {
            sink.announced = len.saturating_add(format::trailer_bytes(len));
            sink.allocate(1)
        });
        self.settle().await
    }

    /// What the next job takes at most.
    fn job_bytes(&self) -> usize {
        let writers = self.files.unfinished_count().max(1);
        (JOBS_BYTES / writers).clamp(JOB_BYTES_MIN, JOB_BYTES)
    }

    /// Begins a job. The sink must be here.
    fn start(&mut self, job: impl FnOnce(&mut Sink) -> StoreResult<()> + Send + 'static) {
        if let Some(mut sink) = self.sink.take() {
            self.job = Some(tokio::task::spawn_blocking(move || {
                let result = job(&mut sink);
                (*sink, result)
            }));
        }
    }

    /// Waits for the job under way, if any. Survives being cancelled.
    async fn settle(&mut self) -> StoreResult<()> {
        if let Some(job) = self.job.as_mut() {
            let ended = job.await;
            self.job = None;
            match ended {
                Ok((sink, Ok(()))) => self.sink = Some(Box::new(sink)),
                Ok((_, Err(error))) => self.failed = Some(error),
                Err(ended) => {
                    let ended = std::io::Error::other(ended);
                    self.failed = Some(StoreError::io("a write ended early", ended));
                }
            }
        }
        self.failed.clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl BlobWriter for Writer {
    fn id(&self) -> BlobId {
        self.id
    }

    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let together = self.pending_bytes.saturating_add(bytes.len());
        let full = together > self.job_bytes() || self.pending.len() >= JOB_PIECES;
        if !self.pending.is_empty() && full {
            self.settle().await?;
            let pieces = std::mem::take(&mut self.pending);
            self.pending_bytes = 0;
            self.start(move |sink| sink.append(&pieces));
        }
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> StoreResult<BlobRef> {
        self.settle().await?;
        let pieces = std::mem::take(&mut self.pending);
        let mut sink = self.sink.take().expect("settled without failure");
        let (mut sink, blob) = blocking(move || {
            let blob = sink.finish(pieces)?;
            Ok((sink, blob))
        })
        .await?;
        // Only now: had the caller gone away meanwhile, nobody would know of the extent.
        sink.keep = true;
        Ok(blob)
    }
}
