//! Wrappers that make an engine fail by a script, so that the layers above can be tested against
//! every answer that the traits allow.
//!
//! A [`Script`] names calls and what happens to them. [`faulty`] wraps an engine; without rules it
//! passes everything through and obeys the conformance suite like the engine itself. [`Late`] makes
//! every call wait once, and commits land after their callers went away. [`Counted`] counts what is
//! read. [`flip_bit`] damages a file, as disks do.

mod counted;
mod late;
mod script;

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{
    counted::Counted,
    late::Late,
    script::{Call, Fault, Gate, Script},
};
use crate::{
    Batch, BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, Committed, Engine, Index, Log,
    LogPage, PartitionId, Position, Reach, Row, ScanRange, StoreResult, Want,
};

/// `engine` with the faults of `script`.
pub fn faulty(engine: Engine, script: &Arc<Script>) -> Engine {
    Engine {
        index: Arc::new(FaultyIndex(engine.index, script.clone())),
        log: Arc::new(FaultyLog(engine.log, script.clone())),
        blobs: Arc::new(FaultyBlobs(engine.blobs, script.clone())),
    }
}

/// Rows with faults.
pub struct FaultyIndex(Arc<dyn Index>, Arc<Script>);

/// A log with faults.
pub struct FaultyLog(Arc<dyn Log>, Arc<Script>);

/// Extents with faults; their readers and writers have them too.
pub struct FaultyBlobs(Arc<dyn Blobs>, Arc<Script>);

#[async_trait]
impl Index for FaultyIndex {
    async fn get(
        &self,
        partition: PartitionId,
        key: &[u8],
        want: Want,
    ) -> StoreResult<Option<Row>> {
        let call = self.0.get(partition, key, want);
        self.1.run(Call::Get, call).await
    }

    async fn scan(
        &self,
        partition: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>> {
        let call = self.0.scan(partition, range, limit);
        self.1.run(Call::Scan, call).await
    }

    async fn commit(&self, partition: PartitionId, batch: Batch) -> StoreResult<Committed> {
        let call = self.0.commit(partition, batch);
        self.1.run(Call::Commit, call).await
    }

    async fn settle(&self) -> StoreResult<()> {
        self.0.settle().await
    }
}

#[async_trait]
impl Log for FaultyLog {
    async fn read(
        &self,
        partition: PartitionId,
        after: Position,
        limit: usize,
    ) -> StoreResult<LogPage> {
        let call = self.0.read(partition, after, limit);
        self.1.run(Call::ReadLog, call).await
    }

    async fn floor(&self, partition: PartitionId) -> StoreResult<Position> {
        self.1.run(Call::ReadLog, self.0.floor(partition)).await
    }

    fn end(&self, partition: PartitionId) -> Position {
        self.0.end(partition)
    }

    async fn reach(&self, partition: PartitionId, position: Position) -> StoreResult<Reach> {
        let call = self.0.reach(partition, position);
        self.1.run(Call::ReadLog, call).await
    }

    async fn trim(&self, partition: PartitionId, up_to: Position) -> StoreResult<()> {
        self.1.run(Call::Trim, self.0.trim(partition, up_to)).await
    }
}

#[async_trait]
impl Blobs for FaultyBlobs {
    async fn create(&self, len_hint: Option<u64>) -> StoreResult<Box<dyn BlobWriter>> {
        let writer = self.1.run(Call::Create, self.0.create(len_hint)).await?;
        Ok(Box::new(FaultyWriter(writer, self.1.clone())))
    }

    async fn open(&self, blob: &BlobRef) -> StoreResult<Arc<dyn BlobReader>> {
        let reader = self.1.run(Call::Open, self.0.open(blob)).await?;
        Ok(Arc::new(FaultyReader(reader, self.1.clone())))
    }

    async fn delete(&self, id: BlobId) -> StoreResult<()> {
        self.1.run(Call::Delete, self.0.delete(id)).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>> {
        self.1.run(Call::List, self.0.list(after, limit)).await
    }
}

struct FaultyWriter(Box<dyn BlobWriter>, Arc<Script>);

#[async_trait]
impl BlobWriter for FaultyWriter {
    fn id(&self) -> BlobId {
        self.0.id()
    }

    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        self.1.run(Call::Write, self.0.write(bytes)).await
    }

    async fn finish(self: Box<Self>) -> StoreResult<BlobRef> {
        let Self(writer, script) = *self;
        script.run(Call::Finish, writer.finish()).await
    }
}

struct FaultyReader(Arc<dyn BlobReader>, Arc<Script>);

#[async_trait]
impl BlobReader for FaultyReader {
    async fn read(&self, offset: u64, max_bytes: usize) -> StoreResult<Bytes> {
        self.1.run(Call::Read, self.0.read(offset, max_bytes)).await
    }
}

/// Flips bit `bit` (from 0, low bits of a byte first) of the file at `path`.
pub fn flip_bit(path: &Path, bit: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8)?;
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8)
}
