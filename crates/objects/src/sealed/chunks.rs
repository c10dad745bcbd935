//! Sealing and opening the bytes of a version while they are read.

use std::sync::Arc;

use bytes::Bytes;
use seal::{BodySeal, CHUNK_BYTES, SEALED_CHUNK_BYTES};
use types::{BucketDeed, ObjectKey, VersionId};
use zeroize::Zeroizing;

use super::{Lease, Leases, broken};
use crate::{Error, Result, get::ExtentReader};

enum Mode {
    Seal,
    /// With what is asked when the lease ends before the bytes do.
    Open(Box<Renewal>),
}

/// Whom to ask for a version's key again.
pub(super) struct Renewal {
    pub(super) leases: Arc<dyn Leases>,
    pub(super) deed: Arc<BucketDeed>,
    pub(super) key: ObjectKey,
    pub(super) version: VersionId,
    pub(super) wrapped: Vec<u8>,
    pub(super) lease: Arc<Lease>,
}

/// Turns what an extent reader reads into the chunks that its reader wants.
pub(crate) struct Chunks {
    mode: Mode,
    body: BodySeal,
    /// The chunk that comes next.
    index: u64,
    /// Bytes of it that are not wanted: what comes before the first one that is.
    skip: usize,
    /// Bytes that are wanted yet.
    left: u64,
    held: Bytes,
}

impl Chunks {
    /// The sealed bytes of a version from `offset` on. The reader underneath must begin at
    /// [`Chunks::plain_start`] of it.
    pub(super) fn sealing(body: BodySeal, offset: u64, sealed_len: u64) -> Self {
        Self {
            mode: Mode::Seal,
            body,
            index: offset / SEALED_CHUNK_BYTES,
            skip: (offset % SEALED_CHUNK_BYTES) as usize,
            left: sealed_len.saturating_sub(offset),
            held: Bytes::new(),
        }
    }

    /// Where the readable bytes begin that the sealed ones from `offset` on are made of.
    pub(super) fn plain_start(offset: u64) -> u64 {
        (offset / SEALED_CHUNK_BYTES).saturating_mul(CHUNK_BYTES)
    }

    /// The readable bytes `start..end`. The reader underneath must begin at
    /// [`Chunks::sealed_start`] of `start`.
    pub(super) fn opening(body: BodySeal, start: u64, end: u64, renewal: Renewal) -> Self {
        Self {
            mode: Mode::Open(Box::new(renewal)),
            body,
            index: start / CHUNK_BYTES,
            skip: (start % CHUNK_BYTES) as usize,
            left: end.saturating_sub(start),
            held: Bytes::new(),
        }
    }

    /// Where the chunk begins, sealed, that holds byte `start`.
    pub(super) fn sealed_start(start: u64) -> u64 {
        (start / CHUNK_BYTES).saturating_mul(SEALED_CHUNK_BYTES)
    }

    pub(crate) async fn next(&mut self, reader: &mut ExtentReader) -> Result<Option<Bytes>> {
        while self.left > 0 {
            let mut chunk = self.turn(reader).await?;
            chunk = chunk.split_off(self.skip.min(chunk.len()));
            self.skip = 0;
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
            chunk.truncate(wanted);
            self.left -= chunk.len() as u64;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// The next chunk, sealed or opened.
    async fn turn(&mut self, reader: &mut ExtentReader) -> Result<Bytes> {
        let plain = self.body.chunk_len(self.index);
        let len = match &self.mode {
            Mode::Seal => plain,
            Mode::Open(_) => plain + (SEALED_CHUNK_BYTES - CHUNK_BYTES),
        };
        if plain == 0 {
            return Err(Error::SealBroken);
        }
        let mut chunk = Vec::with_capacity(SEALED_CHUNK_BYTES as usize);
        while (chunk.len() as u64) < len {
            if self.held.is_empty() {
                self.held = reader.next().await?.ok_or(Error::SealBroken)?;
            }
            let lacking = (len as usize - chunk.len()).min(self.held.len());
            chunk.extend_from_slice(&self.held.split_to(lacking));
        }
        let index = self.index;
        let turned = match &mut self.mode {
            Mode::Seal => {
                self.body.seal(index, &mut chunk).map_err(broken)?;
                Bytes::from(chunk)
            }
            Mode::Open(renewal) => {
                renewal.renew().await?;
                // What is readable does not outlive its way to the reader.
                let mut chunk = Zeroizing::new(chunk);
                self.body.open(index, &mut chunk).map_err(broken)?;
                Bytes::from_owner(chunk)
            }
        };
        self.index += 1;
        Ok(turned)
    }
}

impl Renewal {
    /// A read that lasts longer than its lease asks for another.
    async fn renew(&mut self) -> Result<()> {
        if self.lease.is_over() {
            let asked = self
                .leases
                .unwrap(&self.deed, &self.key, self.version, &self.wrapped);
            self.lease = asked.await?;
        }
        Ok(())
    }
}
