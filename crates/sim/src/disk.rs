//! A region's disk, and the process that uses it. The disk stays when the process ends; a process
//! that has ended reads and writes nothing any more, whatever of it still runs.
//!
//! A commit takes a while before it lands and a while before it answers. A process that ends in the
//! first leaves no trace of it; one that ends in the second leaves a change that was not
//! acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use store::{
    Batch, BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, Committed, Engine, Index, Log,
    LogPage, PartitionId, Position, Reach, Row, ScanRange, StoreError, StoreResult, Want,
};
use types::{Random, SeededRandom};

/// One process's use of a disk.
pub struct Process {
    ended: AtomicBool,
    random: SeededRandom,
}

impl Process {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            ended: AtomicBool::new(false),
            random: SeededRandom::new(seed),
        })
    }

    /// The process has ended.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    fn runs(&self) -> StoreResult<()> {
        match self.ended.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(StoreError::Fenced("the process has ended".into())),
        }
    }

    async fn work(&self) -> StoreResult<()> {
        let micros = 50 + self.random.next_u64() % 3000;
        tokio::time::sleep(Duration::from_micros(micros)).await;
        self.runs()
    }
}

/// `disk` as `process` uses it.
pub fn used_by(disk: &Engine, process: &Arc<Process>) -> Engine {
    let used = Arc::new(Used(disk.clone(), Arc::clone(process)));
    Engine {
        index: Arc::clone(&used) as Arc<dyn Index>,
        log: Arc::clone(&used) as Arc<dyn Log>,
        blobs: used,
    }
}

struct Used(Engine, Arc<Process>);

#[async_trait]
impl Index for Used {
    async fn get(&self, at: PartitionId, key: &[u8], want: Want) -> StoreResult<Option<Row>> {
        self.1.runs()?;
        self.0.index.get(at, key, want).await
    }

    async fn scan(
        &self,
        at: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>> {
        self.1.runs()?;
        self.0.index.scan(at, range, limit).await
    }

    async fn commit(&self, at: PartitionId, batch: Batch) -> StoreResult<Committed> {
        self.1.work().await?;
        let committed = self.0.index.commit(at, batch).await;
        self.1.work().await?;
        committed
    }

    async fn settle(&self) -> StoreResult<()> {
        self.1.runs()?;
        self.0.index.settle().await
    }
}

#[async_trait]
impl Log for Used {
    async fn read(&self, at: PartitionId, after: Position, limit: usize) -> StoreResult<LogPage> {
        self.1.runs()?;
        self.0.log.read(at, after, limit).await
    }

    async fn floor(&self, at: PartitionId) -> StoreResult<Position> {
        self.1.runs()?;
        self.0.log.floor(at).await
    }

    fn end(&self, at: PartitionId) -> Position {
        self.0.log.end(at)
    }

    async fn reach(&self, at: PartitionId, position: Position) -> StoreResult<Reach> {
        self.1.runs()?;
        self.0.log.reach(at, position).await
    }

    async fn trim(&self, at: PartitionId, up_to: Position) -> StoreResult<()> {
        self.1.runs()?;
        self.0.log.trim(at, up_to).await
    }
}

#[async_trait]
impl Blobs for Used {
    async fn create(&self, len_hint: Option<u64>) -> StoreResult<Box<dyn BlobWriter>> {
        self.1.work().await?;
        self.0.blobs.create(len_hint).await
    }

    async fn open(&self, blob: &BlobRef) -> StoreResult<Arc<dyn BlobReader>> {
        self.1.runs()?;
        self.0.blobs.open(blob).await
    }

    async fn delete(&self, id: BlobId) -> StoreResult<()> {
        self.1.work().await?;
        self.0.blobs.delete(id).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>> {
        self.1.runs()?;
        self.0.blobs.list(after, limit).await
    }
}
