//! Reading an extent: whole blocks, each checked, from the page cache in place or from the disk on
//! the blocking pool.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    num::NonZeroU64,
    os::unix::fs::FileExt,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::{
    fs::{Advice, Mode, OFlags, ResolveFlags},
    io::{Errno, ReadWriteFlags},
};

use super::{
    BLOCK_BYTES, blocking,
    files::{Files, Name},
    format,
    pool::{Buffer, Pool},
};
use crate::{BlobReader, BlobRef, StoreError, StoreResult};

/// What one read returns at most.
pub const READ_BYTES_MAX: usize = Pool::BYTES_MAX;

/// How far ahead the disk is asked to read after a read that had to wait for it.
const AHEAD_BYTES: u64 = 4 << 20;

/// An open extent. The descriptor keeps a deleted file readable.
pub(super) struct Reader(Arc<Opened>);

struct Opened {
    files: Arc<Files>,
    file: File,
    blob: BlobRef,
    /// The table of checksums, and the footer behind it.
    trailer: Vec<u8>,
}

/// The blocks that one read covers.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    /// From the start of the first block.
    bytes: usize,
}

impl Span {
    /// The block of `offset`, and as many behind it as fit wholly into `max_bytes`; so reads that
    /// follow each other fall into step with the blocks, and none is checked twice.
    fn of(offset: u64, max_bytes: usize, len: u64) -> Self {
        let block = BLOCK_BYTES as u64;
        let first = offset / block;
        let from = first * block;
        let lead = (offset - from) as usize;
        let count =
            (lead.saturating_add(max_bytes) / BLOCK_BYTES).clamp(1, Pool::BYTES_MAX / BLOCK_BYTES);
        let bytes = (len - from).min((count * BLOCK_BYTES) as u64) as usize;
        Self { first, bytes }
    }

    fn offset(self) -> u64 {
        self.first * BLOCK_BYTES as u64
    }
}

impl Reader {
    pub(super) async fn open(files: Arc<Files>, blob: &BlobRef) -> StoreResult<Self> {
        let blob = *blob;
        // In place when the name and the trailer are in memory, which saves the way to the pool.
        if let Some(file) = open_cached(&files, &blob)
            && let Some(opened) = Opened::new(&files, file, blob, read_at_once)?
        {
            return Ok(Self(Arc::new(opened)));
        }
        let opened = blocking(move || {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let name = Name::new(blob.id);
            let file = rustix::fs::openat(&files.root, name.as_c_str(), flags, Mode::empty());
            let file = file.map_err(|e| match e {
                Errno::NOENT => StoreError::NoBlob(blob.id.to_string()),
                e => files.error("opening", Some(blob.id), e),
            })?;
            Opened::new(&files, file.into(), blob, read_waiting)
        });
        let opened = opened.await?.expect("a waiting read has an answer");
        Ok(Self(Arc::new(opened)))
    }
}

/// Opens the file if that needs no disk; every other outcome is left to the way that may wait.
fn open_cached(files: &Files, blob: &BlobRef) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let name = Name::new(blob.id);
    let cached = ResolveFlags::CACHED;
    let file = rustix::fs::openat2(&files.root, name.as_c_str(), flags, Mode::empty(), cached);
    file.ok().map(File::from)
}

/// Reads into all of `out`, if the page cache has it.
fn read_at_once(file: &File, out: &mut [u8], offset: u64) -> io::Result<bool> {
    let len = out.len();
    let flags = ReadWriteFlags::NOWAIT;
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(out)], offset, flags) {
        Ok(read) => Ok(read == len),
        // AGAIN: not in memory. Others, such as OPNOTSUPP: let the waiting way find out.
        Err(_) => Ok(false),
    }
}

fn read_waiting(file: &File, out: &mut [u8], offset: u64) -> io::Result<bool> {
    file.read_exact_at(out, offset).map(|()| true)
}

impl Opened {
    /// Reads and checks the trailer; `None` when `read` could not get it.
    fn new(
        files: &Arc<Files>,
        file: File,
        blob: BlobRef,
        read: fn(&File, &mut [u8], u64) -> io::Result<bool>,
    ) -> StoreResult<Option<Self>> {
        let failed = |e| StoreError::io(format!("opening extent {}", blob.id), e);
        let damaged = |why| Err(StoreError::Corrupt(format!("extent {}: {why}", blob.id)));
        let size = file.metadata().map_err(failed)?.len();
        let expected = blob.len.checked_add(format::trailer_bytes(blob.len));
        // Also keeps a senseless reference from asking for a senseless amount of memory.
        if expected != Some(size) {
            return damaged("its file has another length than its reference says");
        }
        let mut trailer = vec![0; (size - blob.len) as usize];
        if !read(&file, &mut trailer, blob.len).map_err(failed)? {
            return Ok(None);
        }
        if let Err(why) = format::check_trailer(&blob, &trailer) {
            return damaged(why);
        }
        Ok(Some(Self {
            files: files.clone(),
            file,
            blob,
            trailer,
        }))
    }

    fn check_block(&self, number: u64, bytes: &[u8]) -> StoreResult<()> {
        let sum = format::block_checksum(self.blob.id, number, bytes);
        if format::table_entry(&self.trailer, number) == Some(sum) {
            return Ok(());
        }
        let error = StoreError::Corrupt(format!(
            "extent {}: block {number} does not have its checksum",
            self.blob.id
        ));
        tracing::error!(%error, "damage found while reading");
        Err(error)
    }

    /// Fills `out` with the span's blocks from `done` on, checking each. Returns how many bytes
    /// of the span are there now: all, or up to the first block that `read` could not get.
    fn fill(
        &self,
        out: &mut [u8],
        span: Span,
        done: usize,
        read: fn(&File, &mut [u8], u64) -> io::Result<bool>,
    ) -> StoreResult<usize> {
        let mut at = done;
        // Block by block, so that the checksum finds the bytes in the processor's cache.
        for block in out[done..span.bytes].chunks_mut(BLOCK_BYTES) {
            let got = read(&self.file, block, span.offset() + at as u64)
                .map_err(|e| StoreError::io(format!("reading extent {}", self.blob.id), e))?;
            if !got {
                break;
            }
            self.check_block(span.first + (at / BLOCK_BYTES) as u64, block)?;
            at += block.len();
        }
        Ok(at)
    }

    /// The part of [`Self::fill`] that may wait for the disk.
    fn fill_waiting(&self, buffer: &mut Buffer, span: Span, done: usize) -> StoreResult<usize> {
        let all = self.fill(buffer.as_mut(), span, done, read_waiting)?;
        // Who had to wait once will likely want what follows; a hint, so it may fail.
        let next = span.offset() + span.bytes as u64;
        if next < self.blob.len && span.bytes > BLOCK_BYTES {
            let ahead = NonZeroU64::new(AHEAD_BYTES);
            let _ = rustix::fs::fadvise(&self.file, next, ahead, Advice::WillNeed);
        }
        Ok(all)
    }
}

#[async_trait]
impl BlobReader for Reader {
    async fn read(&self, offset: u64, max_bytes: usize) -> StoreResult<Bytes> {
        let opened = &self.0;
        if offset >= opened.blob.len || max_bytes == 0 {
            return Ok(Bytes::new());
        }
        let span = Span::of(offset, max_bytes, opened.blob.len);
        let mut buffer = opened.files.pool.take(span.bytes.div_ceil(BLOCK_BYTES));
        let done = opened.fill(buffer.as_mut(), span, 0, read_at_once)?;
        if done < span.bytes {
            let opened = opened.clone();
            buffer = blocking(move || {
                opened.fill_waiting(&mut buffer, span, done)?;
                Ok(buffer)
            })
            .await?;
        }
        let start = (offset - span.offset()) as usize;
        let end = span.bytes.min(start.saturating_add(max_bytes));
        Ok(Bytes::from_owner(buffer).slice(start..end))
    }
}
