//! An engine that counts what is read, so that a test can say what work costs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Batch, BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, Committed, Engine, Index, Log,
    LogPage, PartitionId, Position, Reach, Row, ScanRange, StoreResult, Want,
};

/// The wrapper.
pub struct Counted {
    engine: Engine,
    reads: AtomicU64,
}

impl Counted {
    /// Wraps `engine`.
    pub fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self {
            engine,
            reads: AtomicU64::new(0),
        })
    }

    /// The three traits.
    pub fn engine(self: &Arc<Self>) -> Engine {
        Engine {
            index: self.clone(),
            log: self.clone(),
            blobs: self.clone(),
        }
    }

    /// Calls that read, and the rows, entries and names of extents that they answered.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn count(&self, answered: usize) {
        self.reads.fetch_add(1 + answered as u64, Ordering::Relaxed);
    }
}

#[async_trait]
impl Index for Counted {
    fn cached(&self, at: PartitionId, key: &[u8], want: Want) -> Option<Row> {
        self.count(0);
        self.engine.index.cached(at, key, want)
    }

    async fn get(&self, at: PartitionId, key: &[u8], want: Want) -> StoreResult<Option<Row>> {
        self.count(0);
        self.engine.index.get(at, key, want).await
    }

    async fn scan(
        &self,
        at: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>> {
        let rows = self.engine.index.scan(at, range, limit).await?;
        self.count(rows.len());
        Ok(rows)
    }

    async fn commit(&self, at: PartitionId, batch: Batch) -> StoreResult<Committed> {
        self.engine.index.commit(at, batch).await
    }

    async fn settle(&self) -> StoreResult<()> {
        self.engine.index.settle().await
    }
}

#[async_trait]
impl Log for Counted {
    async fn read(&self, at: PartitionId, after: Position, limit: usize) -> StoreResult<LogPage> {
        let page = self.engine.log.read(at, after, limit).await?;
        self.count(page.entries.len());
        Ok(page)
    }

    async fn floor(&self, at: PartitionId) -> StoreResult<Position> {
        self.engine.log.floor(at).await
    }

    fn end(&self, at: PartitionId) -> Position {
        self.engine.log.end(at)
    }

    async fn reach(&self, at: PartitionId, position: Position) -> StoreResult<Reach> {
        self.engine.log.reach(at, position).await
    }

    async fn trim(&self, at: PartitionId, up_to: Position) -> StoreResult<()> {
        self.engine.log.trim(at, up_to).await
    }
}

#[async_trait]
impl Blobs for Counted {
    async fn create(&self, len_hint: Option<u64>) -> StoreResult<Box<dyn BlobWriter>> {
        self.engine.blobs.create(len_hint).await
    }

    async fn open(&self, blob: &BlobRef) -> StoreResult<Arc<dyn BlobReader>> {
        self.count(0);
        self.engine.blobs.open(blob).await
    }

    async fn delete(&self, id: BlobId) -> StoreResult<()> {
        self.engine.blobs.delete(id).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>> {
        let infos = self.engine.blobs.list(after, limit).await?;
        self.count(infos.len());
        Ok(infos)
    }
}
