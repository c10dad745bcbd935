//! One running MD5 for each body, and the workers that hash many bodies at once.
//!
//! Large pieces go to a worker thread. It takes one piece of each body that has one waiting, up to
//! the lanes of the vector, and runs them in lockstep over the blocks that all of them have, a
//! short stretch at a time, so that bodies join and leave as they come and go. Alone, a body runs
//! on words. Small pieces are hashed where they are: the way to the worker would cost more.
//!
//! Bounded: two pieces of a body wait at most ([`IN_FLIGHT`]), and then [`Md5Stream::feed`] does.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

use crate::{
    rounds::{BLOCK, START, compress},
    simd::{self, LANES_MAX, Lane, Path},
};

/// Whether everything is hashed where it is fed.
static HERE: AtomicBool = AtomicBool::new(false);

/// From now on this process hashes everything where it is fed: for simulations, in which no other
/// thread may have a say in what comes when.
pub fn hash_here() {
    HERE.store(true, Ordering::Relaxed);
}

/// Pieces of one body that may wait.
const IN_FLIGHT: u32 = 2;
/// Smaller pieces are hashed by the caller.
const PIECE_MIN: usize = 64 * 1024;
/// Blocks of one stretch: 32 KiB in each lane, some 50 us, is how long a newcomer waits.
const STRETCH: usize = 512;

/// A running MD5: the state after all whole blocks, and the bytes that do not fill one yet.
#[derive(Clone)]
pub(crate) struct State {
    words: [u32; 4],
    rest: [u8; BLOCK],
    len: u64,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            words: START,
            rest: [0; BLOCK],
            len: 0,
        }
    }
    /// Fills the unfinished block; returns how many bytes that took. Afterwards there is either
    /// no unfinished block or nothing left of `bytes`.
    fn top_up(&mut self, bytes: &[u8]) -> usize {
        let have = (self.len % BLOCK as u64) as usize;
        if have == 0 {
            return 0;
        }
        let take = bytes.len().min(BLOCK - have);
        self.rest[have..have + take].copy_from_slice(&bytes[..take]);
        if have + take == BLOCK {
            compress(&mut self.words, &self.rest);
        }
        self.len += take as u64;
        take
    }
    /// Keeps less than a block for later.
    fn keep(&mut self, bytes: &[u8]) {
        self.rest[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u64;
    }
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let bytes = &bytes[self.top_up(bytes)..];
        let whole = bytes.len() - bytes.len() % BLOCK;
        compress(&mut self.words, &bytes[..whole]);
        self.len += whole as u64;
        if whole < bytes.len() {
            self.keep(&bytes[whole..]);
        }
    }
    pub(crate) fn finish(mut self) -> [u8; 16] {
        // RFC 1321, sections 3.1 and 3.2: one bit, zeroes, and the length in bits.
        let have = (self.len % BLOCK as u64) as usize;
        let mut end = [0u8; 2 * BLOCK];
        end[..have].copy_from_slice(&self.rest[..have]);
        end[have] = 0x80;
        let size = if have < BLOCK - 8 { BLOCK } else { 2 * BLOCK };
        end[size - 8..size].copy_from_slice(&self.len.wrapping_mul(8).to_le_bytes());
        compress(&mut self.words, &end[..size]);
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        digest
    }
}

/// The MD5 of bytes in memory.
pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    let mut state = State::new();
    state.update(bytes);
    state.finish()
}

/// The MD5s of a group of messages, in lockstep as far as the shortest of those left goes.
pub(crate) fn md5_group(path: Path, messages: &[&[u8]]) -> Vec<[u8; 16]> {
    let mut states = vec![State::new(); messages.len()];
    let mut at = 0;
    loop {
        let left = |n: &usize| messages[*n].len().saturating_sub(at) / BLOCK;
        let open: Vec<usize> = (0..messages.len()).filter(|n| left(n) > 0).collect();
        let Some(blocks) = open.iter().map(left).min() else {
            break;
        };
        let mut lanes: Vec<_> = open
            .iter()
            .map(|n| Lane {
                state: states[*n].words,
                bytes: &messages[*n][at..],
            })
            .collect();
        simd::run(path, &mut lanes, blocks);
        for (n, lane) in open.iter().zip(lanes) {
            states[*n].words = lane.state;
            states[*n].len += (blocks * BLOCK) as u64;
        }
        at += blocks * BLOCK;
    }
    let ends = states.into_iter().zip(messages);
    ends.map(|(mut state, message)| {
        state.keep(&message[state.len as usize..]);
        state.finish()
    })
    .collect()
}

/// What the caller and the worker share of one body.
pub(crate) struct Shared {
    /// Free places for pieces. All free means that the worker has nothing of this body, and that
    /// `inner.state` is up to date.
    places: Semaphore,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    state: State,
    waiting: VecDeque<Bytes>,
    /// Whether the body is in the queue or in a lane.
    busy: bool,
}

/// The MD5 of one body.
pub(crate) enum Md5Stream {
    /// Nothing has gone to a worker yet.
    Here(Box<State>),
    /// Pieces go to this worker.
    There(Arc<Shared>, &'static Workers),
}

impl Md5Stream {
    pub(crate) fn new() -> Self {
        Self::Here(Box::new(State::new()))
    }

    /// Takes bytes in here and now. Only before the first large [`Self::feed`].
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Here(state) => state.update(bytes),
            Self::There(shared, _) => {
                let mut inner = wait_idle(shared);
                inner.state.update(bytes);
            }
        }
    }

    /// Takes a piece in, when there is room for it.
    pub(crate) async fn feed(&mut self, bytes: Bytes) {
        let workers = match HERE.load(Ordering::Relaxed) {
            false => workers(),
            true => None,
        };
        self.feed_to(bytes, workers).await;
    }

    pub(crate) async fn feed_to(&mut self, bytes: Bytes, workers: Option<&'static Workers>) {
        if let Self::Here(state) = self {
            match workers {
                Some(workers) if bytes.len() >= PIECE_MIN => {
                    let inner = Inner {
                        state: (**state).clone(),
                        waiting: VecDeque::with_capacity(IN_FLIGHT as usize),
                        busy: false,
                    };
                    let places = Semaphore::new(IN_FLIGHT as usize);
                    let shared = Shared {
                        places,
                        inner: Mutex::new(inner),
                    };
                    *self = Self::There(Arc::new(shared), workers);
                }
                _ => return state.update(&bytes),
            }
        }
        let Self::There(shared, workers) = self else {
            return;
        };
        if bytes.len() < PIECE_MIN && shared.places.available_permits() == IN_FLIGHT as usize {
            return shared.inner.lock().state.update(&bytes);
        }
        // The semaphore is never closed.
        if let Ok(place) = shared.places.acquire().await {
            place.forget();
        }
        workers.push(shared, bytes);
    }

    /// The digest, when every piece has been hashed.
    pub(crate) async fn finish(self) -> [u8; 16] {
        match self {
            Self::Here(state) => state.finish(),
            Self::There(shared, _) => {
                let all = shared.places.acquire_many(IN_FLIGHT).await;
                let state = shared.inner.lock().state.clone();
                drop(all);
                state.finish()
            }
        }
    }

    /// The digest; waits, blocking, for what is in flight.
    pub(crate) fn finish_now(self) -> [u8; 16] {
        match self {
            Self::Here(state) => state.finish(),
            Self::There(shared, _) => {
                let state = wait_idle(&shared).state.clone();
                state.finish()
            }
        }
    }
}

/// Waits until the worker has nothing of this body. Only for callers off the async threads; a
/// piece takes a millisecond.
fn wait_idle(shared: &Shared) -> parking_lot::MutexGuard<'_, Inner> {
    loop {
        let inner = shared.inner.lock();
        if !inner.busy {
            return inner;
        }
        drop(inner);
        thread::yield_now();
    }
}

/// The queue of bodies that have a piece waiting and are in no lane.
pub(crate) struct Workers {
    path: Path,
    queue: Mutex<VecDeque<Arc<Shared>>>,
    arrived: Condvar,
}

/// The process's workers, started at the first large piece. `None` if no thread could be started.
fn workers() -> Option<&'static Workers> {
    static WORKERS: OnceLock<Option<&'static Workers>> = OnceLock::new();
    *WORKERS.get_or_init(|| {
        // One thread with full lanes is worth several cores of words; only large machines move
        // more bytes than that.
        let threads = thread::available_parallelism()
            .map_or(1, |n| n.get().div_ceil(8))
            .min(8);
        Workers::start(Path::best(), threads)
    })
}

impl Workers {
    /// Starts `threads` threads, which live as long as the process.
    pub(crate) fn start(path: Path, threads: usize) -> Option<&'static Self> {
        let workers: &'static Self = Box::leak(Box::new(Self {
            path,
            queue: Mutex::new(VecDeque::new()),
            arrived: Condvar::new(),
        }));
        let mut started = None;
        for n in 0..threads {
            match thread::Builder::new()
                .name(format!("md5-{n}"))
                .spawn(move || workers.work())
            {
                Ok(_) => started = Some(workers),
                Err(error) => tracing::warn!(%error, "cannot start a thread for MD5"),
            }
        }
        started
    }

    fn push(&self, shared: &Arc<Shared>, bytes: Bytes) {
        let mut inner = shared.inner.lock();
        inner.waiting.push_back(bytes);
        if !std::mem::replace(&mut inner.busy, true) {
            drop(inner);
            self.queue.lock().push_back(Arc::clone(shared));
            self.arrived.notify_one();
        }
    }

    fn work(&self) {
        let mut running: Vec<Running> = Vec::with_capacity(LANES_MAX);
        loop {
            self.admit(&mut running);
            self.stretch(&mut running);
            running.retain_mut(|r| !r.is_done() || r.next());
        }
    }

    /// Fills free lanes from the queue; sleeps when there is nothing at all to do.
    fn admit(&self, running: &mut Vec<Running>) {
        let mut queue = self.queue.lock();
        while running.is_empty() && queue.is_empty() {
            self.arrived.wait(&mut queue);
        }
        while running.len() < self.path.lanes() {
            let Some(shared) = queue.pop_front() else {
                break;
            };
            let mut new = Running {
                shared,
                state: State::new(),
                piece: Bytes::new(),
                at: 0,
            };
            new.state = new.shared.inner.lock().state.clone();
            if new.begin() {
                running.push(new);
            }
        }
    }

    /// Runs all lanes over the blocks that all of them have.
    fn stretch(&self, running: &mut [Running]) {
        let blocks = running
            .iter()
            .map(Running::blocks)
            .min()
            .unwrap_or(0)
            .min(STRETCH);
        let mut lanes: [Lane<'_>; LANES_MAX] = std::array::from_fn(|_| Lane {
            state: START,
            bytes: &[],
        });
        let lanes = &mut lanes[..running.len()];
        for (lane, r) in lanes.iter_mut().zip(running.iter()) {
            *lane = Lane {
                state: r.state.words,
                bytes: &r.piece[r.at..],
            };
        }
        simd::run(self.path, lanes, blocks);
        let states: [[u32; 4]; LANES_MAX] =
            std::array::from_fn(|n| lanes.get(n).map_or(START, |l| l.state));
        for (r, words) in running.iter_mut().zip(states) {
            r.state.words = words;
            r.state.len += (blocks * BLOCK) as u64;
            r.at += blocks * BLOCK;
        }
    }
}

/// A body in a lane.
struct Running {
    shared: Arc<Shared>,
    state: State,
    piece: Bytes,
    at: usize,
}

impl Running {
    /// Whole blocks left of the piece.
    fn blocks(&self) -> usize {
        (self.piece.len() - self.at) / BLOCK
    }
    fn is_done(&self) -> bool {
        self.blocks() == 0
    }
    /// Takes up the first waiting piece that has a whole block; `false` when nothing waits.
    fn begin(&mut self) -> bool {
        let first = {
            let mut inner = self.shared.inner.lock();
            match inner.waiting.pop_front() {
                Some(piece) => piece,
                None => {
                    inner.state = self.state.clone();
                    inner.busy = false;
                    return false;
                }
            }
        };
        self.at = self.state.top_up(&first);
        self.piece = first;
        !self.is_done() || self.next()
    }
    /// Ends the piece, gives its place back, and takes up the next; `false` when nothing waits.
    fn next(&mut self) -> bool {
        let rest = &self.piece[self.at..];
        if !rest.is_empty() {
            self.state.keep(rest);
        }
        self.piece = Bytes::new();
        self.at = 0;
        // The state must be in place before the last place is given back: whoever holds all
        // places reads it.
        let idle = {
            let mut inner = self.shared.inner.lock();
            if inner.waiting.is_empty() {
                inner.state = self.state.clone();
                inner.busy = false;
                true
            } else {
                false
            }
        };
        self.shared.places.add_permits(1);
        !idle && self.begin()
    }
}
