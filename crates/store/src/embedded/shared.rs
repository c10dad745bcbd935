//! What callers, the committer and the maintenance thread share.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::oneshot;

use super::{
    EmbeddedConfig,
    frame::{FrameAt, Loc},
    held::Held,
    hot::Hot,
    memtable::{Known, View},
    opening::FENCED,
    openings::Openings,
    rows::{self, Live, Marker, Rows},
    segments::Segments,
};
use crate::{Batch, Committed, PartitionId, StoreError, StoreResult};

/// Commits that may wait at one time.
pub(super) const QUEUE_MAX: usize = 4096;

/// A commit on its way.
pub(super) struct Job {
    pub(super) partition: PartitionId,
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<StoreResult<Committed>>,
}

/// What a commit does.
pub(super) enum Work {
    /// A caller's batch.
    Batch(Batch),
    /// A payload that moves to the end of the journal, if the row still has it.
    Move {
        /// With partition.
        key: bytes::Bytes,
        from: Loc,
        /// Of the row's value: the same as long as its payload is.
        value_len: usize,
        payload: bytes::Bytes,
    },
}

/// Counters.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) checkpoint_ms: AtomicU64,
    pub(super) moved: AtomicU64,
}

/// The queue of the committer.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: Vec<Job>,
    pub(super) closed: bool,
}

/// Orders to the maintenance thread.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) wake: bool,
    pub(super) stop: bool,
    /// Checkpoints begun by request, and done.
    pub(super) asked: u64,
    pub(super) done: u64,
}

/// What the frozen table will be checkpointed as.
#[derive(Default)]
pub(super) struct Progress {
    /// After the last frame that is in the memory tables.
    pub(super) applied: Marker,
    /// As of the moment when the table was frozen.
    pub(super) frozen: Marker,
    /// The last checkpoint.
    pub(super) checkpoint: Marker,
    /// The journal is durable up to here.
    pub(super) durable: FrameAt,
    pub(super) live: Live,
}

pub(super) struct Shared {
    pub(super) config: EmbeddedConfig,
    pub(super) segments: Segments,
    pub(super) rows: Rows,
    pub(super) view: RwLock<View>,
    pub(super) hot: Hot,
    pub(super) progress: Mutex<Progress>,
    pub(super) queue: Mutex<Queue>,
    pub(super) queued: Condvar,
    pub(super) orders: Mutex<Orders>,
    pub(super) ordered: Condvar,
    /// Signalled when a checkpoint ends.
    pub(super) thawed: Condvar,
    pub(super) fence: OnceLock<String>,
    pub(super) counters: Counters,
    /// The journal is not synced up to its end (relaxed durability only).
    pub(super) unsynced: AtomicBool,
    /// One sync at a time: who waits for it must not overtake it.
    pub(super) syncing: Mutex<()>,
    /// The disk is full up to its reserve, as far as that was looked at.
    pub(super) full: AtomicBool,
    /// The last commit whose entries the log may show.
    pub(super) published: AtomicU64,
    /// Trimmed positions by partition.
    pub(super) trimmed: Mutex<std::collections::HashMap<u64, u64>>,
    /// Held by whoever replaces the view's snapshot of the index.
    pub(super) turn: Mutex<()>,
    /// Which positions this log gave.
    openings: Openings,
    /// Entries up to here are gone with damage, whatever segments there are.
    lost: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        config: EmbeddedConfig,
        segments: Segments,
        rows: Rows,
        view: View,
        progress: Progress,
        openings: Openings,
        base: u64,
    ) -> Self {
        Self {
            hot: Hot::new(config.row_cache_bytes),
            config,
            segments,
            rows,
            view: RwLock::new(view),
            progress: Mutex::new(progress),
            queue: Mutex::new(Queue::default()),
            queued: Condvar::new(),
            orders: Mutex::new(Orders::default()),
            ordered: Condvar::new(),
            thawed: Condvar::new(),
            fence: OnceLock::new(),
            counters: Counters::default(),
            unsynced: false.into(),
            syncing: Mutex::default(),
            full: false.into(),
            published: base.into(),
            trimmed: Mutex::default(),
            turn: Mutex::default(),
            openings,
            lost: 0.into(),
        }
    }

    /// Looks whether there is more room on the disk than the reserve, and says in the log when that
    /// changes.
    pub(super) fn looks_for_room(&self) -> bool {
        let room = match self.segments.room() {
            Ok(bytes) => bytes >= self.config.reserve_bytes,
            Err(error) => error.kind() != std::io::ErrorKind::StorageFull,
        };
        if self.full.swap(!room, Ordering::Relaxed) == room {
            if room {
                tracing::info!("the disk has room again");
            } else {
                tracing::warn!("the disk is full up to its reserve: only deletes are taken");
            }
        }
        room
    }

    /// Takes no more writes from now on: nobody knows what of the last ones is on the disk. The
    /// index is not written any more either, for it must not depend on them.
    pub(super) fn fence(&self, why: String) -> StoreError {
        if !types::planted("index-written-after-fence") {
            self.rows.seal();
        }
        let first = self.fence.get().is_none();
        let error = self.refuse_writes(why);
        if first {
            // For who looks into the folder. The next opening does not depend on it: it reads
            // from the disk in any case.
            let path = self.config.dir.join(FENCED);
            let _ = self
                .segments
                .disk
                .replace(&path, error.to_string().as_bytes());
        }
        error
    }

    /// Takes no more writes from now on, because what is stored is damaged.
    pub(super) fn refuse_writes(&self, why: String) -> StoreError {
        tracing::error!(reason = %why, "the engine takes no more writes");
        StoreError::Fenced(self.fence.get_or_init(|| why).clone())
    }

    /// A thread ended by a panic: whoever waits for it is answered, and nobody waits any more.
    pub(super) fn give_up(&self) {
        self.fence("a thread of the engine ended by a panic".to_owned());
        let jobs = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        // Dropped without an answer: the outcome of these is that they were not carried out.
        drop(jobs);
        self.orders.lock().stop = true;
        self.queued.notify_all();
        self.ordered.notify_all();
        self.thawed.notify_all();
    }

    /// Whether this log gave the position, and nothing behind it is gone.
    pub(super) fn gave(&self, position: u64) -> bool {
        position <= self.published.load(Ordering::Acquire) && self.openings.gave(position)
    }

    /// Entries up to and with `position` are gone.
    pub(super) fn raise_floor(&self, position: u64) {
        self.lost.fetch_max(position, Ordering::AcqRel);
    }

    /// Entries up to here are gone with damage.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) fn fenced(&self) -> StoreResult<()> {
        match self.fence.get() {
            Some(why) => Err(StoreError::Fenced(why.clone())),
            None => Ok(()),
        }
    }

    /// The row of a key (with partition), without its payload.
    pub(super) fn current(&self, key: &[u8]) -> StoreResult<Option<Held>> {
        let known = self.view.read().lookup(key);
        match known {
            Known::Here(slot) => Ok(slot),
            Known::Ask(snapshot) => self.reopening(rows::get(&snapshot, key)),
        }
    }

    /// Sees to it that the index is opened anew after a failed call, which is answered as it is.
    pub(super) fn reopening<T>(&self, result: StoreResult<T>) -> StoreResult<T> {
        if result.is_err() {
            self.wake_maintenance();
        }
        result
    }

    /// Opens the index anew if a call of it failed: it makes no more of them until then, not for
    /// the pages that are whole either.
    pub(super) fn reopen_index(&self) -> StoreResult<()> {
        let _turn = self.turn.lock();
        self.reopen_index_in_turn()
    }

    /// The same, for who holds `turn`.
    pub(super) fn reopen_index_in_turn(&self) -> StoreResult<()> {
        if !self.rows.failed() || self.rows.is_sealed() {
            return Ok(());
        }
        if let Err(error) = self.rows.reopen() {
            let why = format!("open the index anew: {error}");
            return Err(match error {
                StoreError::Full(_) | StoreError::Corrupt(_) => self.refuse_writes(why),
                _ => self.fence(why),
            });
        }
        let rows = self.rows.snapshot()?;
        self.view.write().rows = rows;
        Ok(())
    }

    pub(super) fn wake_maintenance(&self) {
        self.orders.lock().wake = true;
        self.ordered.notify_one();
    }

    /// Makes everything in the journal durable (relaxed durability).
    pub(super) fn sync_journal(&self) -> StoreResult<()> {
        let _one = self.syncing.lock();
        // Before anything else: a sync that another began may have failed.
        self.fenced()?;
        if !self.unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let upto = self.progress.lock().applied.place;
        let last = self.segments.map.read().values().next_back().cloned();
        let Some(segment) = last else { return Ok(()) };
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.segments
            .disk
            .sync(&*segment.file)
            .map_err(|e| self.fence(format!("sync {}: {e}", segment.path.display())))?;
        self.progress.lock().durable = upto;
        Ok(())
    }

    /// Bytes of live payload in a segment.
    pub(super) fn live_in(&self, id: u64) -> u64 {
        let view = self.view.read();
        let frozen = view.frozen.as_ref();
        let in_memory = view.active.live.get(&id).copied().unwrap_or(0)
            + frozen.map_or(0, |f| f.live.get(&id).copied().unwrap_or(0));
        // Lock order: view, then progress.
        in_memory + self.progress.lock().live.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn active_segment(&self) -> u64 {
        self.segments
            .map
            .read()
            .last_key_value()
            .map_or(0, |(id, _)| *id)
    }
}

/// Puts the active table aside as the one to be applied, if none is. Answers whether it did.
pub(super) fn freeze(view: &mut View, progress: &mut Progress) -> bool {
    if view.frozen.is_some() {
        return false;
    }
    view.frozen = Some(Arc::new(std::mem::take(&mut view.active)));
    progress.frozen = progress.applied;
    true
}

/// The bytes of journal from one place to another, about.
pub(super) fn distance(from: FrameAt, to: FrameAt, segment_bytes: u64) -> u64 {
    to.segment.saturating_sub(from.segment) * segment_bytes + to.offset - from.offset.min(to.offset)
}
