//! The thread behind the committer: checkpoints, syncs of a relaxed journal, and compaction.
//!
//! A segment whose live payloads have become few gets them moved to the journal's end, as commits
//! that keep the rows' versions and land only if the row still has that payload. Once a checkpoint
//! has all of that, nothing refers to the segment and its file is used again. Few are those that
//! take less than half a segment with the rows they are moved with: beside a payload of some bytes
//! a row is large, and a full segment of such would be moved for ever.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    disk::DiskCall,
    frame::{self, COMMIT_BYTES, Loc, OP_BYTES, Op},
    memtable::full_key,
    segment::Segment,
    shared::{Job, Shared, Work, freeze},
};
use crate::{PartitionId, StoreError, StoreResult};

/// A relaxed journal is synced so often.
const SYNC_EVERY: Duration = Duration::from_millis(500);
/// What is in memory goes to the index at least so often, so that opening stays short.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// How often the answers to moves are looked for.
const ANSWER_EVERY: Duration = Duration::from_millis(2);
/// Moves that wait for the committer at one time.
const MOVES_MAX: usize = 32;
/// Segments that are gone through in one turn, to learn whether moving their payloads is worth it.
const WEIGHED_MAX: usize = 4;

/// What is known of segments that are full.
#[derive(Default)]
struct Sealed {
    /// Left alone.
    damaged: HashSet<u64>,
    weights: HashMap<u64, Weight>,
}

/// The payloads of a segment when it was written: their bytes, and what they take when they are
/// moved with their rows.
#[derive(Clone, Copy)]
struct Weight {
    payloads: u64,
    moved: u64,
}

impl Weight {
    /// What `live` bytes of payloads take when they are moved, about: as much as the others did.
    fn of(self, live: u64) -> u64 {
        let moved = u128::from(live) * u128::from(self.moved) / u128::from(self.payloads.max(1));
        u64::try_from(moved).unwrap_or(u64::MAX)
    }
}

/// Runs until it is told to stop.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut last = Instant::now();
    let mut known = Sealed::default();
    loop {
        let (stop, asked) = {
            let mut orders = shared.orders.lock();
            if !orders.wake && !orders.stop && orders.asked == orders.done {
                shared.ordered.wait_for(&mut orders, SYNC_EVERY);
            }
            orders.wake = false;
            (orders.stop, orders.asked)
        };
        if stop {
            return;
        }
        let _ = shared.sync_journal();
        if let Err(error) = shared.mend() {
            tracing::error!(%error, "the index cannot be opened anew");
        }
        let due = last.elapsed() >= CHECKPOINT_EVERY || asked > shared.orders.lock().done;
        match checkpoint(shared, due) {
            Ok(true) => last = Instant::now(),
            Ok(false) => {}
            // What is in the journal is safe; the next turn tries again.
            Err(error) => tracing::error!(%error, "a checkpoint failed and is tried again"),
        }
        shared.orders.lock().done = asked;
        shared.thawed.notify_all();
        shared.segments.keep_spare();
        if let Err(error) = free_and_compact(shared, &mut known) {
            tracing::warn!(%error, "compaction stopped for now");
        }
    }
}

/// Applies what is frozen to the index; with `force`, freezes what is active first.
pub(super) fn checkpoint(shared: &Shared, force: bool) -> StoreResult<bool> {
    let _turn = shared.turn.lock();
    let (mem, marker, live) = {
        let mut view = shared.view.write();
        let mut progress = shared.progress.lock();
        if force && progress.applied != progress.checkpoint {
            freeze(&mut view, &mut progress);
        }
        let Some(frozen) = view.frozen.clone() else {
            return Ok(false);
        };
        (frozen, progress.frozen, progress.live.clone())
    };
    shared.fenced()?;
    // The index must not refer to what the journal may yet lose.
    shared.sync_journal()?;
    let began = Instant::now();
    let disk = &shared.segments.disk;
    disk.before(DiskCall::Checkpoint)
        .map_err(|e| StoreError::io("checkpoint", e))?;
    let live = match shared.rows.apply(&mem, marker, &live) {
        Ok(live) => live,
        Err(error) => after_failure(shared, marker, error)?,
    };
    let rows = shared.rows.snapshot()?;
    {
        let mut view = shared.view.write();
        let mut progress = shared.progress.lock();
        view.frozen = None;
        view.rows = rows;
        progress.live = live;
        progress.checkpoint = marker;
    }
    let counters = &shared.counters;
    counters.checkpoints.fetch_add(1, Ordering::Relaxed);
    let ms = began.elapsed().as_millis() as u64;
    counters.checkpoint_ms.store(ms, Ordering::Relaxed);
    Ok(true)
}

/// What a failed transaction means.
///
/// A full disk is told before anything is overwritten: the index is opened anew, as of the last
/// transaction, the rows stay in memory and in the journal, and a later turn tries again. Damage
/// will be there then too: only reads go on. After anything else, a failed sync above all, nobody
/// knows what the file holds.
fn after_failure(
    shared: &Shared,
    marker: super::rows::Marker,
    error: StoreError,
) -> StoreResult<super::rows::Live> {
    let known = matches!(
        error,
        StoreError::Full(_) | StoreError::Corrupt(_) | StoreError::Busy
    );
    if !known {
        shared.unknown.store(true, Ordering::Release);
    }
    if !known || matches!(error, StoreError::Corrupt(_)) {
        let _ = shared.mend_in_turn();
        return Err(shared.fence(format!("checkpoint: {error}")));
    }
    shared.mend_in_turn()?;
    // The failure may have come after the commit itself.
    match shared.rows.marker() {
        Ok((Some(found), live)) if found == marker => Ok(live),
        _ => Err(error),
    }
}

fn free_and_compact(shared: &Arc<Shared>, known: &mut Sealed) -> StoreResult<()> {
    let checkpoint = shared.progress.lock().checkpoint.place.segment;
    let active = shared.active_segment();
    let bytes = shared.segments.bytes;
    let sealed: Vec<u64> = {
        let map = shared.segments.map.read();
        map.range(..checkpoint).map(|(id, _)| *id).collect()
    };
    known
        .weights
        .retain(|id, _| sealed.binary_search(id).is_ok());
    let mut sparse = Vec::new();
    for id in sealed {
        if (active - id) * bytes <= shared.config.retain_log_bytes {
            break;
        }
        let live = shared.live_in(id);
        if live == 0 {
            shared.segments.retire(id)?;
        } else if live < bytes / 2 && !known.damaged.contains(&id) {
            sparse.push((live, id));
        }
    }
    sparse.sort_unstable();
    let mut weighed = 0;
    for (live, id) in sparse {
        let Some(segment) = shared.segments.get(id) else {
            continue;
        };
        let weight = match known.weights.get(&id) {
            Some(weight) => Ok(*weight),
            None if weighed == WEIGHED_MAX => break,
            None => weigh(&segment),
        };
        let outcome = match weight {
            Ok(weight) => {
                weighed += usize::from(known.weights.insert(id, weight).is_none());
                if weight.of(live) >= bytes / 2 {
                    continue;
                }
                move_out(shared, &segment)
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(moved) if moved > 0 => {
                // The rows must be in the index before the segment can go.
                let mut orders = shared.orders.lock();
                orders.asked += 1;
            }
            Ok(_) => {}
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, segment = id, "damage in the journal; it is left alone");
                known.damaged.insert(id);
            }
            Err(error) => return Err(error),
        }
        break;
    }
    Ok(())
}

fn failed(segment: &Segment) -> impl Fn(std::io::Error) -> StoreError {
    |e| StoreError::io(format!("read {}", segment.path.display()), e)
}

fn torn(segment: &Segment, offset: u64) -> StoreError {
    StoreError::Corrupt(format!("{} at {offset}", segment.path.display()))
}

/// Goes through a segment's rows, without their payloads.
fn weigh(segment: &Segment) -> StoreResult<Weight> {
    let mut weight = Weight {
        payloads: 0,
        moved: 0,
    };
    let mut offset = 0;
    while let Some((header, meta)) = segment.read_head(offset).map_err(failed(segment))? {
        let commits = frame::parse_meta(meta).ok_or_else(|| torn(segment, offset))?;
        for op in commits.iter().flat_map(|commit| &commit.ops) {
            if let Op::Put {
                key,
                value,
                payload: Some((_, len, _)),
                ..
            } = op
            {
                let row = COMMIT_BYTES + OP_BYTES + key.len() + value.len();
                weight.payloads += u64::from(*len);
                weight.moved += u64::from(*len) + row as u64;
            }
        }
        offset = header.end();
    }
    Ok(weight)
}

/// Moves every live payload of a segment. Answers how many.
fn move_out(shared: &Arc<Shared>, segment: &Arc<Segment>) -> StoreResult<u64> {
    let mut moved = 0;
    let mut waiting = Vec::new();
    let mut offset = 0;
    while let Some((header, meta)) = segment.read_head(offset).map_err(failed(segment))? {
        let commits = frame::parse_meta(meta).ok_or_else(|| torn(segment, offset))?;
        let puts = commits.iter().flat_map(|c| {
            c.ops.iter().filter_map(move |op| match op {
                Op::Put {
                    key,
                    payload: Some((at, len, hash)),
                    ..
                } if *len > 0 => Some((c.partition, key, *at, *len, *hash)),
                _ => None,
            })
        });
        for (partition, key, at, len, hash) in puts {
            let from = Loc {
                segment: segment.id,
                offset: header.payload_start() as u32 + at,
                len,
                hash,
            };
            let key = full_key(PartitionId(partition), key);
            let row = shared.current(&key)?;
            let Some(row) = row.filter(|r| r.payload == Some(from)) else {
                continue;
            };
            let payload = super::read::read_now(segment, from)?;
            let (reply, answer) = oneshot::channel();
            let work = Work::Move {
                key: key.into(),
                from,
                value_len: row.value.len(),
                payload,
            };
            shared.queue.lock().jobs.push(Job {
                partition: PartitionId(partition),
                work,
                reply,
            });
            shared.queued.notify_one();
            waiting.push(answer);
            if waiting.len() >= MOVES_MAX {
                moved += settle(shared, &mut waiting)?;
            }
        }
        offset = header.end();
        if shared.orders.lock().stop {
            break;
        }
    }
    moved += settle(shared, &mut waiting)?;
    shared.counters.moved.fetch_add(moved, Ordering::Relaxed);
    Ok(moved)
}

fn settle(
    shared: &Shared,
    waiting: &mut Vec<oneshot::Receiver<StoreResult<crate::Committed>>>,
) -> StoreResult<u64> {
    let mut moved = 0;
    for answer in waiting.drain(..) {
        match wait_for(shared, answer) {
            Some(Ok(_)) => moved += 1,
            // The row was written meanwhile.
            Some(Err(StoreError::Conflict { .. })) => {}
            Some(Err(error)) => return Err(error),
            None => return Err(StoreError::Busy),
        }
    }
    Ok(moved)
}

/// Waits for the committer, which may itself wait for a checkpoint: that is this thread's to make.
fn wait_for(
    shared: &Shared,
    mut answer: oneshot::Receiver<StoreResult<crate::Committed>>,
) -> Option<StoreResult<crate::Committed>> {
    loop {
        match answer.try_recv() {
            Ok(answer) => return Some(answer),
            Err(oneshot::error::TryRecvError::Closed) => return None,
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        let due = shared.view.read().frozen.is_some();
        let made = due && checkpoint(shared, false).is_ok_and(|made| made);
        if made {
            shared.thawed.notify_all();
        } else {
            let mut orders = shared.orders.lock();
            shared.ordered.wait_for(&mut orders, ANSWER_EVERY);
        }
    }
}
