//! The one thread that writes the journal.
//!
//! 1. Take every commit that waits (while one group is synced the next gathers, so there is no
//!    artificial delay).
//! 2. See that the group fits in the segment; else go on in the next.
//! 3. Check each commit's guards, against the group so far, memory and the index file, and encode
//!    those that hold into one frame.
//! 4. One write, one sync. If either fails the outcome is unknown, and stays so: the engine takes
//!    no more writes until it is opened again. A write for which there is no room is another
//!    matter: nothing came of it, and the next frame takes its place.
//! 5. Put the rows into the memory table and answer.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    frame::{self, COMMIT_BYTES, FrameAt, HEADER_BYTES, Header, Loc, OP_BYTES},
    held::{Held, Slot},
    memtable::{full_key, own},
    segment::{Sealed, Segment},
    shared::{Job, Shared, Work, distance, freeze},
};
use crate::{
    Batch, Committed, Durability, Guard, PartitionId, RowVersion, StoreError, StoreResult,
};

/// About how much one frame may carry.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// How often the free room of the disk is looked up.
const ROOM_EVERY: Duration = Duration::from_millis(100);
/// How long a commit may wait for the index to catch up.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

type Reply = oneshot::Sender<StoreResult<Committed>>;

/// The committer's own state.
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) segment: Arc<Segment>,
    /// Where the next frame goes.
    pub(super) place: FrameAt,
    /// Up to where the journal is known to be durable.
    pub(super) synced: FrameAt,
    pub(super) before: u64,
    pub(super) sequence: u64,
    pub(super) group: Group,
    pub(super) room: (Option<Instant>, bool),
}

/// The frame being made.
#[derive(Default)]
pub(super) struct Group {
    /// Header and meta, and at last the payloads.
    head: Vec<u8>,
    payloads: Vec<Bytes>,
    payload_len: usize,
    staged: Vec<(Bytes, Slot)>,
    /// The last staged slot of a key.
    overlay: HashMap<Bytes, usize>,
    replies: Vec<(Reply, u64)>,
}

/// An upper bound of what a commit takes in a frame.
pub(super) fn frame_bytes(work: &Work) -> usize {
    let op = |bytes: usize| OP_BYTES + bytes;
    COMMIT_BYTES
        + match work {
            Work::Batch(batch) => {
                let put = |p: &crate::Put| {
                    op(p.key.len() + p.value.len() + p.payload.as_ref().map_or(0, Bytes::len))
                };
                batch.puts.iter().map(put).sum::<usize>()
                    + batch.deletes.iter().map(|k| op(k.len())).sum::<usize>()
                    + batch.log.iter().map(|l| op(l.len())).sum::<usize>()
            }
            Work::Move {
                key,
                value_len,
                payload,
                ..
            } => op(key.len() + payload.len() + value_len),
        }
}

/// What a frame takes beside its commits.
pub(super) const FRAME_OVERHEAD: usize = HEADER_BYTES + 64;

fn frees(work: &Work) -> bool {
    match work {
        Work::Batch(batch) => batch.frees,
        Work::Move { .. } => true,
    }
}

impl Committer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let mut jobs = {
                let mut queue = self.shared.queue.lock();
                while queue.jobs.is_empty() && !queue.closed {
                    self.shared.queued.wait(&mut queue);
                }
                if queue.jobs.is_empty() {
                    return;
                }
                std::mem::take(&mut queue.jobs)
            }
            .into_iter()
            .peekable();
            while jobs.peek().is_some() {
                let mut group = Vec::new();
                let mut bytes = FRAME_OVERHEAD;
                let max = GROUP_BYTES_MAX.min(self.shared.segments.bytes as usize);
                while let Some(job) = jobs.peek() {
                    let more = frame_bytes(&job.work);
                    if !group.is_empty() && bytes + more > max {
                        break;
                    }
                    bytes += more;
                    group.extend(jobs.next());
                }
                self.commit(group, bytes as u64);
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>, bytes: u64) {
        let refuse = |jobs: Vec<Job>, error: StoreError| {
            for job in jobs {
                let _ = job.reply.send(Err(error.clone()));
            }
        };
        if let Err(error) = self.shared.fenced() {
            return refuse(jobs, error);
        }
        if !self.wait_for_index() {
            // What it waited for may have failed, and fenced the engine.
            let why = self.shared.fenced().err().unwrap_or(StoreError::Busy);
            return refuse(jobs, why);
        }
        let mut jobs = jobs;
        if !self.has_room() {
            let (freeing, others): (Vec<_>, _) = jobs.into_iter().partition(|j| frees(&j.work));
            jobs = freeing;
            refuse(others, StoreError::Full("the reserve is kept".to_owned()));
        }
        let full = self.place.offset > 0 && self.place.offset + bytes > self.shared.segments.bytes;
        if !jobs.is_empty()
            && full
            && let Err(error) = self.roll(false)
        {
            let (freeing, others): (Vec<_>, _) = jobs.into_iter().partition(|j| frees(&j.work));
            jobs = freeing;
            refuse(others, error);
            if !jobs.is_empty()
                && let Err(error) = self.roll(true)
            {
                return refuse(jobs, error);
            }
        }
        self.group.head.resize(HEADER_BYTES, 0);
        for job in jobs {
            self.stage(job);
        }
        if !self.group.replies.is_empty() {
            self.write();
        }
        self.group.clear();
    }

    /// Waits while both memory tables are full. Answers whether there is room; a fenced engine
    /// makes none.
    fn wait_for_index(&self) -> bool {
        let limit = self.shared.config.memtable_bytes * 2;
        let until = Instant::now() + CATCH_UP_MAX;
        loop {
            let full = {
                let view = self.shared.view.read();
                view.frozen.is_some() && view.active.bytes > limit
            };
            if !full {
                return true;
            }
            if self.shared.fenced().is_err() {
                return false;
            }
            let mut orders = self.shared.orders.lock();
            let step = (Instant::now() + Duration::from_millis(50)).min(until);
            self.shared.thawed.wait_until(&mut orders, step);
            if Instant::now() >= until {
                return false;
            }
        }
    }

    fn has_room(&mut self) -> bool {
        let (looked, room) = self.room;
        if looked.is_some_and(|at| at.elapsed() < ROOM_EVERY) {
            return room;
        }
        let room = self.shared.looks_for_room();
        // A full disk is looked at before every group, so that it recovers at once.
        self.room = (room.then(Instant::now), room);
        room
    }

    /// Goes on in the next segment.
    fn roll(&mut self, reserve: bool) -> StoreResult<()> {
        // Earlier segments are always durable as a whole; only the last may have a torn tail.
        self.shared.sync_journal()?;
        self.synced = self.place;
        let segments = &self.shared.segments;
        let next = segments
            .activate(self.place.segment + 1, self.sequence, reserve)
            .map_err(|error| match error {
                StoreError::Full(_) => error,
                other => self.shared.fence(other.to_string()),
            })?;
        let _ = self.segment.sealed.set(Sealed {
            end: self.place.offset,
            last: self.sequence,
        });
        self.place = FrameAt {
            segment: next.id,
            offset: 0,
        };
        self.segment = next;
        self.shared.wake_maintenance();
        Ok(())
    }

    /// Checks one commit and adds it to the frame, or answers why not.
    fn stage(&mut self, job: Job) {
        let staged = match job.work {
            Work::Batch(batch) => self.stage_batch(job.partition, &batch),
            Work::Move {
                key, from, payload, ..
            } => self.stage_move(&key, from, payload),
        };
        match staged {
            Ok(sequence) => self.group.replies.push((job.reply, sequence)),
            Err(error) => {
                let _ = job.reply.send(Err(error));
            }
        }
    }

    fn version_now(&self, partition: PartitionId, key: &[u8]) -> StoreResult<Option<u64>> {
        let key = full_key(partition, key);
        if let Some(at) = self.group.overlay.get(&key[..]) {
            return Ok(self.group.staged[*at].1.as_ref().map(|r| r.version));
        }
        Ok(self.shared.current(&key)?.map(|r| r.version))
    }

    fn stage_batch(&mut self, partition: PartitionId, batch: &Batch) -> StoreResult<u64> {
        for (index, guard) in batch.guards.iter().enumerate() {
            let holds = match guard {
                Guard::Absent(key) => self.version_now(partition, key)?.is_none(),
                Guard::Version(key, v) => self.version_now(partition, key)? == Some(v.0),
            };
            if !holds {
                return Err(StoreError::Conflict { index });
            }
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let ops = batch.puts.len() + batch.deletes.len() + batch.log.len();
        let group = &mut self.group;
        frame::begin_commit(&mut group.head, sequence, partition.0, ops);
        for put in &batch.puts {
            let payload = put.payload.clone().map(|p| group.add_payload(p));
            frame::push_put(&mut group.head, sequence, &put.key, &put.value, payload);
            let (key, value) = own(partition.0, &put.key, &put.value);
            group.add_row(key, sequence, value, payload, self.place.segment);
        }
        for key in &batch.deletes {
            frame::push_delete(&mut group.head, key);
            group.add(full_key(partition, key).into(), None);
        }
        for entry in &batch.log {
            frame::push_log(&mut group.head, entry);
        }
        Ok(sequence)
    }

    fn stage_move(&mut self, key: &Bytes, from: Loc, payload: Bytes) -> StoreResult<u64> {
        let conflict = Err(StoreError::Conflict { index: 0 });
        if self.group.overlay.contains_key(key) {
            return conflict;
        }
        let Some(row) = self
            .shared
            .current(key)?
            .filter(|r| r.payload == Some(from))
        else {
            return conflict;
        };
        self.sequence += 1;
        let partition = u64::from_be_bytes(*key.first_chunk().unwrap_or(&[0; 8]));
        let group = &mut self.group;
        frame::begin_commit(&mut group.head, self.sequence, partition, 1);
        let payload = Some(group.add_payload(payload));
        frame::push_put(&mut group.head, row.version, &key[8..], &row.value, payload);
        group.add_row(
            key.clone(),
            row.version,
            row.value,
            payload,
            self.place.segment,
        );
        Ok(self.sequence)
    }

    /// Writes the frame, makes it durable, makes it visible, answers.
    fn write(&mut self) {
        if self.shared.config.durability == Durability::Relaxed {
            self.synced = self.synced.max(self.shared.progress.lock().durable);
        }
        let group = &mut self.group;
        let mut header = Header {
            checksum: 0,
            meta_len: (group.head.len() - HEADER_BYTES) as u32,
            payload_len: group.payload_len as u32,
            place: self.place,
            first: group.replies[0].1,
            last: self.sequence,
            synced: self.synced,
            before: self.before,
        };
        header.seal(&mut group.head, &self.segment.kind);
        for payload in &group.payloads {
            group.head.extend_from_slice(payload);
        }
        let shared = &self.shared;
        let disk = &shared.segments.disk;
        let strict = shared.config.durability == Durability::Strict;
        let file = &*self.segment.file;
        let written = disk
            .write(file, &group.head, self.place.offset)
            .and_then(|()| if strict { disk.sync(file) } else { Ok(()) });
        if let Err(error) = written {
            let context = format!("write {}", self.segment.path.display());
            let error = match StoreError::io(context, error) {
                // The frame is not whole, so no opening finds it, and the next one takes its
                // place.
                full @ StoreError::Full(_) if !types::planted("full-disk-fences") => full,
                other => shared.fence(other.to_string()),
            };
            for (reply, _) in group.replies.drain(..) {
                let _ = reply.send(Err(error.clone()));
            }
            return;
        }
        let counters = &shared.counters;
        counters.groups.fetch_add(1, Ordering::Relaxed);
        counters
            .commits
            .fetch_add(group.replies.len() as u64, Ordering::Relaxed);
        counters
            .written
            .fetch_add(group.head.len() as u64, Ordering::Relaxed);
        self.segment.mark(header.first, self.place.offset);
        self.place.offset = header.end();
        self.before = header.checksum;
        if strict {
            counters.syncs.fetch_add(1, Ordering::Relaxed);
            self.synced = self.place;
        } else {
            shared.unsynced.store(true, Ordering::Release);
        }
        self.publish(header.payload_start());
    }

    fn publish(&mut self, payload_start: u64) {
        let shared = &self.shared;
        let frozen = {
            let mut view = shared.view.write();
            for (key, mut slot) in self.group.staged.drain(..) {
                if let Some(loc) = slot.as_mut().and_then(|r| r.payload.as_mut()) {
                    loc.offset += payload_start as u32;
                }
                // While the view is held: see `hot` for why.
                shared.hot.forget(&key);
                view.active.insert(key, slot);
            }
            let mut progress = shared.progress.lock();
            progress.applied.place = self.place;
            progress.applied.before = self.before;
            progress.applied.sequence = self.sequence;
            let behind = distance(progress.checkpoint.place, self.place, shared.segments.bytes);
            let due = view.active.bytes >= shared.config.memtable_bytes
                || behind >= shared.config.replay_bytes_max;
            due && freeze(&mut view, &mut progress)
        };
        shared.published.store(self.sequence, Ordering::Release);
        for (reply, sequence) in self.group.replies.drain(..) {
            let version = RowVersion(sequence);
            let _ = reply.send(Ok(Committed { version }));
        }
        if frozen {
            shared.wake_maintenance();
        }
    }
}

impl Group {
    fn add(&mut self, key: Bytes, slot: Slot) {
        self.overlay.insert(key.clone(), self.staged.len());
        self.staged.push((key, slot));
    }

    /// The payload's place among the frame's payloads, its length and its checksum.
    fn add_payload(&mut self, payload: Bytes) -> (u32, u32, u64) {
        let placed = (
            self.payload_len as u32,
            payload.len() as u32,
            xxh3_64(&payload),
        );
        self.payload_len += payload.len();
        self.payloads.push(payload);
        placed
    }

    fn add_row(
        &mut self,
        key: Bytes,
        version: u64,
        value: Bytes,
        payload: Option<(u32, u32, u64)>,
        segment: u64,
    ) {
        let payload = payload.map(|(offset, len, hash)| Loc {
            segment,
            offset,
            len,
            hash,
        });
        let row = Held {
            version,
            value,
            payload,
        };
        self.add(key, Some(row));
    }

    fn clear(&mut self) {
        self.head.clear();
        self.head.shrink_to(GROUP_BYTES_MAX);
        self.payloads.clear();
        self.payload_len = 0;
        self.staged.clear();
        self.overlay.clear();
        self.replies.clear();
    }
}
