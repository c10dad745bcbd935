//! An engine that takes its time: every call gives way once before it is carried out and once
//! before it answers, so that a caller can be dropped there; and a commit that was handed over
//! lands whether or not its caller is still there, when the test lets it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::yield_now,
};

use crate::{
    Batch, BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, Committed, Engine, Index, Log,
    LogPage, PartitionId, Position, Reach, Row, ScanRange, StoreError, StoreResult, Want,
};

struct Job {
    partition: PartitionId,
    batch: Batch,
    answer: oneshot::Sender<StoreResult<Committed>>,
}

/// The wrapper's controls.
pub struct Late {
    engine: Engine,
    queue: mpsc::UnboundedSender<Job>,
    held: watch::Sender<bool>,
    queued: Arc<AtomicUsize>,
}

impl Late {
    /// Wraps `engine`. To be called in a runtime, where commits land by themselves.
    pub fn new(engine: Engine) -> Arc<Self> {
        let (queue, jobs) = mpsc::unbounded_channel();
        let (held, hold) = watch::channel(false);
        let queued = Arc::new(AtomicUsize::new(0));
        tokio::spawn(land(engine.clone(), jobs, hold, Arc::clone(&queued)));
        Arc::new(Self {
            engine,
            queue,
            held,
            queued,
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

    /// From now on no commit lands, also of those that were handed over.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// They land, in their order.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Whether nothing waits to land.
    pub fn is_idle(&self) -> bool {
        self.queued.load(Ordering::SeqCst) == 0
    }
}

async fn land(
    engine: Engine,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    mut hold: watch::Receiver<bool>,
    queued: Arc<AtomicUsize>,
) {
    while let Some(job) = jobs.recv().await {
        yield_now().await;
        if hold.wait_for(|held| !held).await.is_err() {
            return;
        }
        let committed = engine.index.commit(job.partition, job.batch).await;
        queued.fetch_sub(1, Ordering::SeqCst);
        yield_now().await;
        // Nobody there any more is what this is for.
        let _ = job.answer.send(committed);
    }
}

async fn slowly<T>(call: impl Future<Output = T>) -> T {
    yield_now().await;
    let answer = call.await;
    yield_now().await;
    answer
}

#[async_trait]
impl Index for Late {
    async fn get(&self, at: PartitionId, key: &[u8], want: Want) -> StoreResult<Option<Row>> {
        slowly(self.engine.index.get(at, key, want)).await
    }

    async fn scan(
        &self,
        at: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>> {
        slowly(self.engine.index.scan(at, range, limit)).await
    }

    async fn commit(&self, partition: PartitionId, batch: Batch) -> StoreResult<Committed> {
        let (answer, answered) = oneshot::channel();
        self.queued.fetch_add(1, Ordering::SeqCst);
        let job = Job {
            partition,
            batch,
            answer,
        };
        if self.queue.send(job).is_err() {
            return Err(StoreError::Busy);
        }
        answered.await.unwrap_or(Err(StoreError::Busy))
    }

    async fn settle(&self) -> StoreResult<()> {
        slowly(self.engine.index.settle()).await
    }
}

#[async_trait]
impl Log for Late {
    async fn read(&self, at: PartitionId, after: Position, limit: usize) -> StoreResult<LogPage> {
        slowly(self.engine.log.read(at, after, limit)).await
    }

    async fn floor(&self, at: PartitionId) -> StoreResult<Position> {
        slowly(self.engine.log.floor(at)).await
    }

    fn end(&self, at: PartitionId) -> Position {
        self.engine.log.end(at)
    }

    async fn reach(&self, at: PartitionId, position: Position) -> StoreResult<Reach> {
        slowly(self.engine.log.reach(at, position)).await
    }

    async fn trim(&self, at: PartitionId, up_to: Position) -> StoreResult<()> {
        slowly(self.engine.log.trim(at, up_to)).await
    }
}

#[async_trait]
impl Blobs for Late {
    async fn create(&self, len_hint: Option<u64>) -> StoreResult<Box<dyn BlobWriter>> {
        let writer = slowly(self.engine.blobs.create(len_hint)).await?;
        Ok(Box::new(LateWriter(writer)))
    }

    async fn open(&self, blob: &BlobRef) -> StoreResult<Arc<dyn BlobReader>> {
        slowly(self.engine.blobs.open(blob)).await
    }

    async fn delete(&self, id: BlobId) -> StoreResult<()> {
        slowly(self.engine.blobs.delete(id)).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>> {
        slowly(self.engine.blobs.list(after, limit)).await
    }
}

struct LateWriter(Box<dyn BlobWriter>);

#[async_trait]
impl BlobWriter for LateWriter {
    fn id(&self) -> BlobId {
        self.0.id()
    }

    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        slowly(self.0.write(bytes)).await
    }

    async fn finish(self: Box<Self>) -> StoreResult<BlobRef> {
        slowly(self.0.finish()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    const P: PartitionId = PartitionId(1);

    #[tokio::test]
    async fn a_commit_lands_though_its_caller_is_gone() {
        let late = Late::new(Memory::engine());
        let index = late.engine().index;
        late.hold();
        let held = index.clone();
        let call = tokio::spawn(async move { held.commit(P, Batch::new().put("a", "")).await });
        while late.is_idle() {
            yield_now().await;
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        assert!(!late.is_idle());
        assert!(index.get(P, b"a", Want::Value).await.unwrap().is_none());
        late.release();
        while !late.is_idle() {
            yield_now().await;
        }
        assert!(index.get(P, b"a", Want::Value).await.unwrap().is_some());
    }
}
