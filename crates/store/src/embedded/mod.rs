//! The embedded engine's rows and log: a journal with group commit, a memory table over it, and an
//! index file built from both.
//!
//! - [`commit`](Index::commit) queues; one thread (`committer`) writes frames (`frame`) to the
//!   journal's segments (`segment`), syncs, and puts the rows into the memory table (`memtable`).
//! - Reads look into a cache of hot rows (`hot`), the memory table, then the index file (`rows`);
//!   payloads stay in the journal and are read from there, verified (`read`).
//! - A second thread (`maintenance`) applies full memory tables to the index file, and keeps the
//!   journal small by moving the last live payloads out of old segments.
//! - Opening (`recovery`) reads the journal from the last checkpoint on.
//!
//! Invariants: a row's version is the sequence number of its commit, also after its payload moved;
//! sequence numbers are never given twice, also not those that a loss of power took (`openings`);
//! a segment is used again only when a durable checkpoint refers to nothing in it; after a failed
//! write or sync nothing is written any more, and the next opening reads the disk, not the cache.

mod ballast;
mod committer;
mod disk;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod held;
mod hot;
mod log;
mod maintenance;
mod memtable;
mod opening;
mod openings;
mod pages;
mod read;
mod recovery;
mod rows;
mod segment;
mod segments;
mod shared;
mod verify;

#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::{
    committer::{FRAME_OVERHEAD, frame_bytes},
    disk::Disk,
    hot::{Began, Found},
    memtable::full_key,
    shared::{Job, QUEUE_MAX, Shared, Work},
};
pub use self::{
    disk::{DiskCall, DiskHook},
    verify::{Damage, DamageKind, VerifyReport},
};
use crate::{
    Batch, Committed, Durability, Index, PartitionId, Row, ScanRange, StoreError, StoreResult, Want,
};

/// How often a read follows a payload that moves away under it.
const MOVED_MAX: usize = 16;

/// How an engine is opened.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// The folder of its files; made if it does not exist.
    pub dir: PathBuf,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Size of a journal segment; also bounds what one batch may carry. At most 1 GiB.
    pub segment_bytes: u64,
    /// A memory table of this size is applied to the index; at most three times as much is held.
    pub memtable_bytes: usize,
    /// About how much journal an opening may have to read.
    pub replay_bytes_max: u64,
    /// Memory for pages of the index.
    pub cache_bytes: usize,
    /// Memory for whole rows that were read lately, payloads included; 0 keeps none.
    pub row_cache_bytes: usize,
    /// Room on the disk that only batches that free room may use.
    pub reserve_bytes: u64,
    /// Journal that is kept for followers although nothing in it is live.
    pub retain_log_bytes: u64,
    /// There is an engine here already: where its files are gone, a new one is not made.
    pub must_exist: bool,
    /// Open although the journal is damaged in its middle, without the commits that were there.
    /// They are lost: only for a region that nothing else brings back.
    pub salvage: bool,
    /// Called before file calls, to make them fail in tests.
    pub hook: Option<DiskHook>,
}

impl EmbeddedConfig {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::Strict,
            segment_bytes: 64 << 20,
            memtable_bytes: 6 << 20,
            replay_bytes_max: 256 << 20,
            cache_bytes: 24 << 20,
            row_cache_bytes: 32 << 20,
            reserve_bytes: 64 << 20,
            retain_log_bytes: 0,
            must_exist: false,
            salvage: false,
            hook: None,
        }
    }
}

/// Figures of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// Journal segments in service.
    pub segments: u64,
    /// Their bytes on disk.
    pub segment_bytes: u64,
    /// Bytes of payload in them that rows refer to.
    pub live_bytes: u64,
    /// Bytes of rows in memory, about.
    pub memtable_bytes: u64,
    /// Commits that landed since the opening.
    pub commits: u64,
    /// Frames that were written for them.
    pub groups: u64,
    /// Syncs of the journal.
    pub syncs: u64,
    /// Bytes written to the journal.
    pub journal_bytes: u64,
    /// Checkpoints since the opening.
    pub checkpoints: u64,
    /// How long the last one took, in milliseconds.
    pub checkpoint_ms: u64,
    /// Payloads moved by compaction.
    pub moved: u64,
    /// Why no more writes are taken, if so.
    pub fenced: Option<String>,
    /// The disk is full up to its reserve.
    pub full: bool,
    /// Parts of the journal that cannot be read, as far as readers met them.
    pub damaged: u64,
}

/// The embedded engine's rows and log.
pub struct Embedded {
    shared: Arc<Shared>,
    threads: Mutex<Option<(JoinHandle<()>, JoinHandle<()>)>>,
}

impl Embedded {
    /// Opens or makes an engine. Damage in the journal's middle is [`StoreError::Corrupt`]; what a
    /// crash left unfinished at its end is cut off.
    pub fn open(config: EmbeddedConfig) -> StoreResult<Arc<Self>> {
        let disk = Disk::real(config.hook.clone());
        Self::open_on(disk, config)
    }

    fn open_on(disk: Disk, config: EmbeddedConfig) -> StoreResult<Arc<Self>> {
        if config.durability == Durability::Relaxed {
            tracing::warn!(
                "relaxed durability: a loss of power may take the last second of writes"
            );
        }
        let (shared, threads) = opening::open(disk, config)?;
        Ok(Arc::new(Self {
            shared,
            threads: Mutex::new(Some(threads)),
        }))
    }

    /// Lands what is queued, brings the index up to date and ends the threads. Blocks; later
    /// commits answer [`StoreError::Fenced`].
    pub fn close(&self) -> StoreResult<()> {
        if self.stop() {
            self.shared.sync_journal()?;
            while maintenance::checkpoint(&self.shared, true)? {}
        }
        Ok(())
    }

    /// Brings the index up to date, as happens now and then by itself. Blocks.
    pub fn checkpoint(&self) {
        let mut orders = self.shared.orders.lock();
        orders.asked += 1;
        let asked = orders.asked;
        self.shared.ordered.notify_one();
        while orders.done < asked && !orders.stop && self.shared.fence.get().is_none() {
            self.shared
                .thawed
                .wait_for(&mut orders, std::time::Duration::from_millis(100));
        }
    }

    /// Ends both threads; queued commits land first. Answers whether they were running.
    fn stop(&self) -> bool {
        let Some((committer, maintenance)) = self.threads.lock().take() else {
            return false;
        };
        self.shared.orders.lock().stop = true;
        self.shared.ordered.notify_all();
        self.shared.thawed.notify_all();
        let _ = maintenance.join();
        self.shared.queue.lock().closed = true;
        self.shared.queued.notify_all();
        let _ = committer.join();
        true
    }

    /// Reads a row that the cache does not have, and keeps it there if it is whole.
    async fn read(&self, key: Vec<u8>, want: Want, began: Began) -> StoreResult<Option<Row>> {
        let mut last = None;
        for _ in 0..MOVED_MAX {
            let Some(held) = self.shared.current(&key)? else {
                return Ok(None);
            };
            let Some(loc) = held.payload else {
                let row = held.into_row(None);
                self.shared.hot.keep(began, &key, &row);
                return Ok(Some(row));
            };
            if want == Want::Value {
                return Ok(Some(held.into_row(None)));
            }
            if loc.len == 0 {
                return Ok(Some(held.into_row(Some(bytes::Bytes::new()))));
            }
            let failed = match self.shared.segments.get(loc.segment) {
                Some(segment) => match read::read(&segment, loc).await {
                    Ok(payload) => {
                        let row = held.into_row(Some(payload));
                        self.shared.hot.keep(began, &key, &row);
                        return Ok(Some(row));
                    }
                    Err(error) => error,
                },
                None => StoreError::Corrupt(format!("journal segment {} is gone", loc.segment)),
            };
            // The payload may have moved between the two reads, and its old place been used again.
            if last == Some(loc) {
                return Err(failed);
            }
            last = Some(loc);
        }
        Err(StoreError::Busy)
    }

    /// The position of the last commit of all; of a new opening that has none, one before which
    /// no other opening comes.
    pub fn log_end(&self) -> u64 {
        self.shared.published.load(Ordering::Acquire)
    }

    /// Whether this log gave the position, and has all up to it.
    pub fn gave(&self, position: u64) -> bool {
        self.shared.gave(position)
    }

    /// Why no more writes are taken, if so, and whether the disk is full up to its reserve.
    pub fn standing(&self) -> (Option<String>, bool) {
        let shared = &self.shared;
        let was_full = shared.full.load(Ordering::Relaxed);
        // While nothing is written, nothing else finds out that there is room again.
        let is_full = was_full && !shared.looks_for_room();
        (shared.fence.get().cloned(), is_full)
    }

    /// Figures for the metrics.
    pub fn stats(&self) -> EmbeddedStats {
        let shared = &self.shared;
        let counters = &shared.counters;
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (memtable_bytes, in_memory) = {
            let view = shared.view.read();
            let frozen = view.frozen.as_ref();
            let bytes = view.active.bytes + frozen.map_or(0, |f| f.bytes);
            let live = view.active.live.values().sum::<u64>()
                + frozen.map_or(0, |f| f.live.values().sum());
            (bytes as u64, live)
        };
        let (segments, damaged) = {
            let map = shared.segments.map.read();
            let damaged: usize = map.values().map(|s| s.gaps().len()).sum();
            (map.len() as u64, damaged as u64)
        };
        EmbeddedStats {
            segments,
            segment_bytes: segments * shared.segments.bytes,
            live_bytes: in_memory + shared.progress.lock().live.values().sum::<u64>(),
            memtable_bytes,
            commits: get(&counters.commits),
            groups: get(&counters.groups),
            syncs: get(&counters.syncs),
            journal_bytes: get(&counters.written),
            checkpoints: get(&counters.checkpoints),
            checkpoint_ms: get(&counters.checkpoint_ms),
            moved: get(&counters.moved),
            fenced: shared.fence.get().cloned(),
            full: shared.full.load(Ordering::Relaxed),
            damaged,
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // The next opening reads the journal's tail; nothing is lost.
        self.stop();
    }
}

#[async_trait]
impl Index for Embedded {
    fn cached(&self, partition: PartitionId, key: &[u8], want: Want) -> Option<Row> {
        match self.shared.hot.get(partition, key, want) {
            Found::Hit(row) => Some(row),
            Found::Miss(_) => None,
        }
    }

    async fn get(
        &self,
        partition: PartitionId,
        key: &[u8],
        want: Want,
    ) -> StoreResult<Option<Row>> {
        // Asked before the view: only then may the row that the view has be kept.
        let began = match self.shared.hot.get(partition, key, want) {
            Found::Hit(row) => return Ok(Some(row)),
            Found::Miss(began) => began,
        };
        self.read(full_key(partition, key), want, began).await
    }

    async fn scan(
        &self,
        partition: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(bytes::Bytes, Row)>> {
        let found = memtable::scan(
            |see| see(&self.shared.view.read()),
            partition,
            &range,
            limit,
        );
        self.shared.reopening(found)
    }

    async fn commit(&self, partition: PartitionId, batch: Batch) -> StoreResult<Committed> {
        batch.check()?;
        self.shared.fenced()?;
        let work = Work::Batch(batch);
        let bytes = frame_bytes(&work) + FRAME_OVERHEAD;
        if bytes as u64 > self.shared.segments.bytes {
            return Err(StoreError::Invalid(format!(
                "a batch of {bytes} bytes, at most {} are allowed",
                self.shared.segments.bytes
            )));
        }
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.shared.queue.lock();
            if queue.closed {
                return Err(StoreError::Fenced("the engine is closed".to_owned()));
            }
            if queue.jobs.len() >= QUEUE_MAX {
                return Err(StoreError::Busy);
            }
            queue.jobs.push(Job {
                partition,
                work,
                reply,
            });
        }
        self.shared.queued.notify_one();
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Fenced("the journal's thread ended".to_owned())))
    }

    async fn settle(&self) -> StoreResult<()> {
        if self.shared.config.durability == Durability::Strict {
            return Ok(());
        }
        let shared = self.shared.clone();
        // Nothing to sync, and no sync under way.
        if shared.syncing.try_lock().is_some() && !shared.unsynced.load(Ordering::Acquire) {
            return shared.fenced();
        }
        let synced = tokio::task::spawn_blocking(move || shared.sync_journal()).await;
        synced.unwrap_or_else(|_| Err(StoreError::Fenced("a sync ended early".to_owned())))
    }
}
