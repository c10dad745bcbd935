//! The thread behind the committer: checkpoints, syncs of a relaxed journal, and compaction.
//!
//! A segment whose live payloads have become few gets them moved to the journal's end, as commits
//! that keep the rows' versions and land only if the row still has that payload. Once a checkpoint
//! has all of that, nothing refers to the segment and its file is used again. Few are those that
//! take less than half a segment with the rows they are moved with: beside a payload of some bytes
//! a row is large, and a full segment of such would be moved again and again without end.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    disk::DiskCall,
    frame::{self, COMMIT_BYTES, Commit, Header, Loc, OP_BYTES, Op},
    held::Slot,
    memtable::full_key,
    rows::{Live, Marker},
    segment::{Segment, Step},
    shared::{Job, Shared, Work, freeze},
};
use crate::{PartitionId, StoreError, StoreResult};

/// A relaxed journal is synced so often.
const SYNC_EVERY: Duration = Duration::from_millis(500);
/// What is in memory goes to the index at least so often, so that opening stays short.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// How often the answers to moves are looked for.
const ANSWER_EVERY: Duration = Duration::from_millis(2);
/// Rows of a transaction on a full disk.
const PART_ROWS: usize = 64;
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
    /// Nothing could be moved out of these when they had so many live bytes: rows in memory replace
    /// them. A checkpoint changes that number, and to go through them before would be in vain.
    idle: HashMap<u64, u64>,
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

/// Runs until it is asked to stop.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut last = Instant::now();
    let mut known = Sealed::default();
    let began = shared.active_segment();
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
        if let Err(error) = shared.reopen_index() {
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
        shared.segments.keep_reserve(is_filling(shared, began));
        if let Err(error) = free_and_compact(shared, &mut known) {
            tracing::warn!(%error, "compaction stopped for now");
        }
    }
}

/// Whether the journal will soon go on in another segment than `began`, or did so before.
fn is_filling(shared: &Shared, began: u64) -> bool {
    let place = shared.progress.lock().applied.place;
    place.segment > began || place.offset > shared.segments.bytes / 4
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
    let live = match apply(shared, &mem.rows, marker, &live) {
        Err(StoreError::Full(_)) => apply_in_parts(shared, &mem.rows, marker)?,
        done => done?,
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

fn apply(
    shared: &Shared,
    rows: &BTreeMap<Bytes, Slot>,
    marker: Marker,
    live: &Live,
) -> StoreResult<Live> {
    let noted = shared.segments.noted(marker.place.segment);
    match shared.rows.apply(rows, marker, live, &noted) {
        Ok(live) => Ok(live),
        Err(error) => after_failure(shared, marker, error),
    }
}

/// On a full disk a transaction may find room where a large one does not: it needs new pages for
/// all that it changes, and gives the old ones back only then. What is kept back serves too.
fn apply_in_parts(
    shared: &Shared,
    rows: &BTreeMap<Bytes, Slot>,
    marker: Marker,
) -> StoreResult<Live> {
    let before = shared.progress.lock().checkpoint;
    let mut parts: Vec<BTreeMap<Bytes, Slot>> = Vec::new();
    for (n, (key, slot)) in rows.iter().enumerate() {
        if n % PART_ROWS == 0 {
            parts.push(BTreeMap::new());
        }
        if let Some(part) = parts.last_mut() {
            part.insert(key.clone(), slot.clone());
        }
    }
    // The last transaction has no rows, and moves the marker.
    parts.push(BTreeMap::new());
    let last = parts.len() - 1;
    for (n, part) in parts.iter().enumerate() {
        let marker = if n == last { marker } else { before };
        loop {
            let live = shared.progress.lock().live.clone();
            match apply(shared, part, marker, &live) {
                Ok(live) => {
                    shared.progress.lock().live = live;
                    break;
                }
                Err(StoreError::Full(_)) if shared.segments.ballast.release() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(shared.progress.lock().live.clone())
}

/// What a failed transaction means.
///
/// A full disk is reported before anything is overwritten: the index is opened again, as of the
/// last transaction, the rows stay in memory and in the journal, and a later turn tries again.
/// Damage will be there then too: only reads go on. After anything else, a failed sync above all,
/// nobody knows what the file holds.
fn after_failure(shared: &Shared, marker: Marker, error: StoreError) -> StoreResult<Live> {
    let why = format!("checkpoint: {error}");
    match error {
        StoreError::Busy | StoreError::Full(_) => {}
        StoreError::Corrupt(_) => {
            let _ = shared.reopen_index_in_turn();
            return Err(shared.refuse_writes(why));
        }
        _ => return Err(shared.fence(why)),
    }
    shared.reopen_index_in_turn()?;
    // The failure may have come after the commit itself.
    let (found, live) = shared.rows.marker()?;
    let mut progress = shared.progress.lock();
    if found == Some(marker) && marker != progress.checkpoint {
        return Ok(live);
    }
    progress.live = live;
    Err(error)
}

/// Puts segments out of service that have nothing live. Answers those that have little, with how
/// much, the least first.
fn free(shared: &Shared, known: &mut Sealed) -> StoreResult<Vec<(u64, u64)>> {
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
    known.idle.retain(|id, _| sealed.binary_search(id).is_ok());
    let mut sparse = Vec::new();
    for id in sealed {
        if (active - id) * bytes <= shared.config.retain_log_bytes {
            break;
        }
        let live = shared.live_in(id);
        if live == 0 {
            shared.segments.retire(id)?;
        } else if live < bytes / 2
            && !known.damaged.contains(&id)
            && known.idle.get(&id) != Some(&live)
        {
            sparse.push((live, id));
        }
    }
    sparse.sort_unstable();
    Ok(sparse)
}

fn free_and_compact(shared: &Arc<Shared>, known: &mut Sealed) -> StoreResult<()> {
    let bytes = shared.segments.bytes;
    let sparse = free(shared, known)?;
    let (mut weighed, mut looked) = (0, 0);
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
            Ok(out) => {
                if out.damaged > 0 || out.searched && out.moved == 0 {
                    // Nothing more can be done here.
                    tracing::error!(
                        segment = id,
                        damaged = out.damaged,
                        "a segment of the journal is kept for the damaged payloads in it"
                    );
                    known.damaged.insert(id);
                }
                if out.moved == 0 {
                    // What is live in it is being replaced, or damaged: others have their turn.
                    known.idle.insert(id, live);
                    looked += 1;
                    if looked < WEIGHED_MAX {
                        continue;
                    }
                } else {
                    // The rows must be in the index before the segment can go.
                    shared.orders.lock().asked += 1;
                }
            }
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, segment = id, "damage in the journal; it is left alone");
                known.damaged.insert(id);
                continue;
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

/// Goes through the frames of a segment that the journal has left. Answers whether no part of it
/// was unreadable, as far as its end is known.
fn each_frame(
    segment: &Segment,
    mut each: impl FnMut(&Header, &[Commit]) -> StoreResult<bool>,
) -> StoreResult<bool> {
    let (mut offset, mut whole) = (0, true);
    loop {
        match segment.step(offset, None).map_err(failed(segment))? {
            Step::End | Step::Gone => return Ok(whole),
            Step::Gap(gap) => {
                whole = false;
                offset = gap.to;
            }
            Step::Frame(header, meta) => {
                offset = header.end();
                match frame::parse_meta(meta) {
                    Some(commits) if !each(&header, &commits)? => return Ok(whole),
                    Some(_) => {}
                    None => whole = false,
                }
            }
        }
    }
}

/// Goes through a segment's rows, without their payloads. Where some cannot be read, their size is
/// estimated from the others.
fn weigh(segment: &Segment) -> StoreResult<Weight> {
    let mut weight = Weight {
        payloads: 0,
        moved: 0,
    };
    each_frame(segment, |_, commits| {
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
        Ok(true)
    })?;
    Ok(weight)
}

/// Payloads that are on their way to the journal's end.
struct Moves<'a> {
    shared: &'a Arc<Shared>,
    segment: &'a Arc<Segment>,
    waiting: Vec<oneshot::Receiver<StoreResult<crate::Committed>>>,
    moved: u64,
    /// Payloads that cannot be read.
    damaged: u64,
}

impl Moves<'_> {
    /// Moves a row's payload, if the row still has it.
    fn push(&mut self, key: Bytes, from: Loc) -> StoreResult<()> {
        let row = self.shared.current(&key)?;
        let Some(row) = row.filter(|r| r.payload == Some(from)) else {
            return Ok(());
        };
        let payload = match super::read::read_now(self.segment, from) {
            Ok(payload) => payload,
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, "a damaged payload in the journal stays where it is");
                self.damaged += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (reply, answer) = oneshot::channel();
        let partition = PartitionId(u64::from_be_bytes(*key.first_chunk().unwrap_or(&[0; 8])));
        let work = Work::Move {
            key,
            from,
            value_len: row.value.len(),
            payload,
        };
        self.shared.queue.lock().jobs.push(Job {
            partition,
            work,
            reply,
        });
        self.shared.queued.notify_one();
        self.waiting.push(answer);
        match self.waiting.len() >= MOVES_MAX {
            true => self.settle(),
            false => Ok(()),
        }
    }

    fn settle(&mut self) -> StoreResult<()> {
        self.moved += settle(self.shared, &mut self.waiting)?;
        Ok(())
    }
}

/// What became of the payloads of a segment.
struct MovedOut {
    moved: u64,
    /// Payloads that cannot be read, and stay.
    damaged: u64,
    /// The index was searched for rows that the segment did not show.
    searched: bool,
}

/// Moves every live payload of a segment.
fn move_out(shared: &Arc<Shared>, segment: &Arc<Segment>) -> StoreResult<MovedOut> {
    let mut moves = Moves {
        shared,
        segment,
        waiting: Vec::new(),
        moved: 0,
        damaged: 0,
    };
    let mut stopped = false;
    let whole = each_frame(segment, |header, commits| {
        for commit in commits {
            for op in &commit.ops {
                if let Op::Put {
                    key,
                    payload: Some((at, len, hash)),
                    ..
                } = op
                    && *len > 0
                {
                    let from = Loc {
                        segment: segment.id,
                        offset: header.payload_start() as u32 + at,
                        len: *len,
                        hash: *hash,
                    };
                    let key = full_key(PartitionId(commit.partition), key);
                    moves.push(key.into(), from)?;
                }
            }
        }
        stopped = shared.orders.lock().stop;
        Ok(!stopped)
    })?;
    moves.settle()?;
    // Rows of frames that cannot be read: the index knows which they are, though it takes a while.
    // The end of some segments that an earlier version wrote is not known: then only the result of
    // the move shows it.
    let unsure = segment.sealed.get().is_none() && moves.moved == 0;
    let searched = !stopped && (!whole || unsure);
    if searched {
        for (key, loc) in rows_in(shared, segment.id)? {
            moves.push(key, loc)?;
        }
        moves.settle()?;
    }
    shared
        .counters
        .moved
        .fetch_add(moves.moved, Ordering::Relaxed);
    Ok(MovedOut {
        moved: moves.moved,
        damaged: moves.damaged,
        searched,
    })
}

/// Every row whose payload is in a segment; goes through the whole index. Rows in memory are newer
/// than the segment's, or are found again at the next checkpoint.
fn rows_in(shared: &Shared, id: u64) -> StoreResult<Vec<(Bytes, Loc)>> {
    let snapshot = shared.view.read().rows.clone();
    let mut found = Vec::new();
    let end = vec![0xFF; 8 + crate::KEY_BYTES_MAX + 1];
    let scanned = super::rows::scan(&snapshot, b"", &end, |key, held| {
        if let Some(loc) = held.payload.filter(|loc| loc.segment == id && loc.len > 0) {
            found.push((Bytes::copy_from_slice(key), loc));
        }
        !shared.orders.lock().stop
    });
    shared.reopening(scanned)?;
    Ok(found)
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
