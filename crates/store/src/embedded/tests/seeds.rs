//! Histories on a disk with faults, each decided by a seed: what was acknowledged stays, what is
//! read is right, and a follower of the log misses nothing without an error.

use types::{Random as _, SeededRandom};

use super::*;
use crate::{Log, Position, Reach, embedded::disk::sim::SimDisk};

const KEYS: u64 = 24;
const ROUNDS: usize = 6;
const STEPS: u64 = 40;

fn config() -> EmbeddedConfig {
    EmbeddedConfig {
        cache_bytes: 1 << 20,
        reserve_bytes: 64 << 10,
        ..small(Path::new("/engine"))
    }
}

/// What clients know of a key.
#[derive(Default)]
struct Known {
    acknowledged: Option<String>,
    /// Writes whose outcome nobody knows: none was answered.
    perhaps: Vec<Option<String>>,
}

/// What one follower of the log has read.
#[derive(Default)]
struct Follower {
    at: Position,
    /// Where it last began.
    from: Position,
    /// What was read at each position.
    seen: BTreeMap<u64, Bytes>,
    reseeded: usize,
}

struct History {
    durability: Durability,
    disk: SimDisk,
    random: SeededRandom,
    seed: u64,
    keys: BTreeMap<String, Known>,
    /// Entries of acknowledged commits, by position.
    entries: BTreeMap<u64, Bytes>,
    follower: Follower,
    count: u64,
}

impl History {
    fn new(seed: u64, room: usize) -> Self {
        Self {
            durability: match seed % 4 {
                0 => Durability::Relaxed,
                _ => Durability::Strict,
            },
            disk: SimDisk::new(seed, room),
            random: SeededRandom::new(!seed),
            seed,
            keys: BTreeMap::new(),
            entries: BTreeMap::new(),
            follower: Follower::default(),
            count: 0,
        }
    }

    fn below(&self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    fn open(&self) -> Arc<Embedded> {
        let config = EmbeddedConfig {
            durability: self.durability,
            ..config()
        };
        let opened = Embedded::open_on(self.disk.disk(None), config);
        opened.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
    }

    /// Writes or removes some key.
    async fn step(&mut self, engine: &Embedded) {
        self.count += 1;
        let key = format!("key {}", self.below(KEYS));
        let text = format!("value {}", self.count);
        let entry = Bytes::from(format!("entry {}", self.count));
        let batch = Batch::new().log(entry.clone());
        let is_delete = self.below(4) == 0;
        let (batch, value) = if is_delete {
            (batch.delete(key.clone()).frees(), None)
        } else {
            let payload = text.repeat(1 + self.below(60) as usize * 5);
            let batch = batch.put_with(key.clone(), text.clone(), payload.into());
            (batch, Some(text))
        };
        let answer = engine.commit(P, batch).await;
        let known = self.keys.entry(key).or_default();
        match answer {
            Ok(done) => {
                let before = std::mem::replace(&mut known.acknowledged, value);
                match self.durability {
                    Durability::Strict => known.perhaps.clear(),
                    // It comes back if the power goes now.
                    Durability::Relaxed => known.perhaps.push(before),
                }
                let before = self.entries.insert(done.version.0, entry);
                assert_eq!(
                    before, None,
                    "seed {}: a position was given twice",
                    self.seed
                );
            }
            Err(StoreError::Full(_) | StoreError::Busy) => {}
            Err(StoreError::Fenced(_)) => known.perhaps.push(value),
            Err(other) => panic!("seed {}: {other}", self.seed),
        }
    }

    /// Every key has its acknowledged value, or one that came after and was not answered; with
    /// relaxed durability also one of before, and then for good.
    async fn check(&mut self, engine: &Embedded, after: &str) {
        let seed = self.seed;
        for (key, known) in &mut self.keys {
            let row = engine.get(P, key.as_bytes(), Want::Payload).await;
            let row =
                row.unwrap_or_else(|error| panic!("seed {seed} after {after}: {key}: {error}"));
            let found = row.map(|row| {
                let value = String::from_utf8(row.value.to_vec()).unwrap();
                let payload = row.payload.unwrap();
                assert_eq!(payload.len() % value.len(), 0, "seed {seed}");
                assert!(payload.starts_with(value.as_bytes()), "seed {seed}");
                value
            });
            let fits = found == known.acknowledged || known.perhaps.contains(&found);
            assert!(
                fits,
                "seed {seed} after {after}: {key} is {found:?}, acknowledged was {:?}",
                known.acknowledged
            );
            // What was read once stays.
            known.acknowledged = found;
            known.perhaps.clear();
        }
    }

    /// Follows the log to its end; begins anew where the log says that it must. In the end it knows
    /// every entry that is in the log, but for those of before it last began anew.
    async fn follow(&mut self, engine: &Embedded) {
        let (seed, follower) = (self.seed, &mut self.follower);
        loop {
            let page = Log::read(engine, P, follower.at, 7).await;
            // Asked after the reading, as whoever follows does: segments go out of service.
            if engine.reach(P, follower.at).await.unwrap() != Reach::Here {
                follower.reseeded += 1;
                follower.at = self
                    .entries
                    .keys()
                    .next_back()
                    .map_or(Position(0), |at| Position(*at));
                let floor = engine.floor(P).await.unwrap();
                follower.at = follower.at.max(floor);
                follower.from = follower.at;
                follower.seen.clear();
                continue;
            }
            let page = page.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            if page.next == follower.at {
                break;
            }
            for entry in page.entries {
                let at = entry.position.0;
                let before = follower.seen.insert(at, entry.entry.clone());
                let same = before.is_none_or(|before| before == entry.entry);
                assert!(same, "seed {seed}: another entry at position {at}");
            }
            follower.at = page.next;
        }
        for (at, entry) in self.entries.range(follower.from.0 + 1..) {
            let seen = follower.seen.get(at);
            assert_eq!(
                seen,
                Some(entry),
                "seed {seed}: the follower lacks an entry at {at}"
            );
        }
    }

    /// With relaxed durability a loss of power takes what was acknowledged last. What the log has
    /// now stays.
    async fn forget_lost_entries(&mut self, engine: &Embedded) {
        if self.durability == Durability::Strict {
            return;
        }
        let mut at = engine.floor(P).await.unwrap();
        let (floor, mut here) = (at, BTreeMap::new());
        loop {
            let page = Log::read(engine, P, at, 100).await.unwrap();
            if page.next == at {
                break;
            }
            here.extend(page.entries.into_iter().map(|e| (e.position.0, e.entry)));
            at = page.next;
        }
        self.entries
            .retain(|at, entry| *at <= floor.0 || here.get(at) == Some(entry));
    }
}

/// One seed: rounds of writes, each ended in one of many ways.
async fn run_seed(seed: u64) -> History {
    let mut history = History::new(seed, 8 << 20);
    let mut after = "nothing";
    for _ in 0..ROUNDS {
        let engine = history.open();
        history.check(&engine, after).await;
        history.forget_lost_entries(&engine).await;
        // Not at once: positions that were given again would be there by the time it comes.
        if history.below(3) == 0 {
            history.follow(&engine).await;
        }
        let fault = history.below(8);
        match fault {
            0 | 1 => history.disk.fail_a_sync_after(history.below(30)),
            2 => history.disk.leave_room(history.below(200 << 10) as usize),
            _ => {}
        }
        for step in 0..history.below(STEPS) {
            history.step(&engine).await;
            if history.below(12) == 0 {
                engine.checkpoint();
            }
            // What a follower sees may be lost with the power; it must then get an error.
            if step % 8 == 0 && history.below(3) == 0 {
                history.follow(&engine).await;
            }
        }
        if fault == 2 {
            history.disk.leave_room(4 << 20);
        }
        // After a fence, and while it is dropped, nothing may reach the index.
        after = match history.below(4) {
            0 => {
                let _ = engine.close();
                "a close"
            }
            1 => {
                history.disk.end_process();
                "a kill"
            }
            2 => "a drop",
            _ => {
                history.disk.cut_power();
                "a power cut"
            }
        };
        drop(engine);
        if after != "a power cut" && history.below(2) == 0 {
            // Opened once more, written to, and only then is the power cut: what a failed sync left
            // in the page cache shows now.
            history.disk.end_process();
            let engine = history.open();
            history.check(&engine, after).await;
            history.forget_lost_entries(&engine).await;
            for _ in 0..history.below(8) {
                history.step(&engine).await;
            }
            history.disk.cut_power();
            drop(engine);
            after = "a power cut after it";
        }
        history.disk.end_process();
    }
    let engine = history.open();
    history.check(&engine, after).await;
    history.forget_lost_entries(&engine).await;
    history.follow(&engine).await;
    drop(engine);
    history
}

async fn run_seeds(seeds: std::ops::Range<u64>) {
    let count = std::env::var("DHOW_DISK_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok());
    let seeds = seeds.start..count.map_or(seeds.end, |n: u64| seeds.start + n);
    let (mut failed_syncs, mut reseeded) = (0, 0);
    for seed in seeds {
        let history = run_seed(seed).await;
        failed_syncs += history.disk.failed_syncs();
        reseeded += history.follower.reseeded;
    }
    println!("{failed_syncs} failed syncs, {reseeded} followers began anew");
    assert!(
        failed_syncs > 0,
        "no sync failed: the faults do not reach the engine"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_stays_on_a_faulty_disk_1() {
    run_seeds(0..50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_stays_on_a_faulty_disk_2() {
    run_seeds(1000..1050).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_stays_on_a_faulty_disk_3() {
    run_seeds(2000..2050).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_stays_on_a_faulty_disk_4() {
    run_seeds(3000..3050).await;
}

/// Bits that change while the engine is closed: what is read is right, or damage is reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_bits_never_change_an_answer() {
    let (mut refused, mut told, mut right) = (0, 0, 0);
    for seed in 0..120 {
        let mut history = History::new(seed | 1, 8 << 20);
        let engine = history.open();
        for _ in 0..150 {
            history.step(&engine).await;
        }
        engine.close().unwrap();
        drop(engine);
        history.disk.end_process();
        for _ in 0..1 + history.below(3) {
            let files = history.disk.files();
            let hurt = files.iter().nth(history.below(files.len() as u64) as usize);
            let (path, content) = hurt.unwrap();
            // Heads and the first pages matter most.
            let reach = match history.below(2) {
                0 => content.len().min(4096),
                _ => content.len(),
            };
            if reach > 0 {
                history
                    .disk
                    .flip(path, history.below(reach as u64 * 8) as usize);
            }
        }
        let engine = match Embedded::open_on(history.disk.disk(None), config()) {
            Ok(engine) => engine,
            Err(StoreError::Corrupt(_)) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("seed {seed}: {other}"),
        };
        for (key, known) in &history.keys {
            match engine.get(P, key.as_bytes(), Want::Payload).await {
                Ok(row) => {
                    let found = row.map(|row| row.value);
                    let expected = known.acknowledged.as_deref();
                    assert_eq!(found.as_deref(), expected.map(str::as_bytes), "seed {seed}");
                    right += 1;
                }
                Err(StoreError::Corrupt(_) | StoreError::Busy) => told += 1,
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        let mut at = engine.floor(P).await.unwrap();
        let begun = at;
        loop {
            let page = Log::read(&*engine, P, at, 9).await;
            if engine.reach(P, at).await.unwrap() != Reach::Here {
                break;
            }
            let page = page.unwrap();
            for entry in &page.entries {
                let expected = history.entries.get(&entry.position.0);
                assert_eq!(expected, Some(&entry.entry), "seed {seed}");
            }
            if page.next == at {
                let missing = history.entries.range(begun.0 + 1..);
                let count = missing.filter(|(position, _)| **position > at.0).count();
                assert_eq!(count, 0, "seed {seed}: the log ended before its end");
                break;
            }
            at = page.next;
        }
    }
    println!("{refused} refused, {told} rows reported damage, {right} right");
    assert!(refused > 0 && told > 0 && right > 0);
}

/// What only the page cache has is not built upon, and the index of a fenced engine stays as it is,
/// also while the engine is closed and dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_engine_leaves_its_index_alone() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed, 8 << 20);
        let engine = Embedded::open_on(disk.disk(None), config()).unwrap();
        for n in 0..200 {
            put(&engine, &format!("key {n}"), "before").await.unwrap();
        }
        // Another thread's sync may take the failure: a spare segment's, say.
        loop {
            disk.fail_a_sync_after(0);
            match put(&engine, "key 0", "during").await {
                Ok(_) => {}
                Err(StoreError::Fenced(_)) => break,
                Err(other) => panic!("{other}"),
            }
        }
        let index = |disk: &SimDisk| disk.files()[Path::new("/engine/index.redb")].clone();
        // A checkpoint may have been under way.
        let fenced = engine.shared.turn.lock();
        let before = index(&disk);
        drop(fenced);
        engine.checkpoint();
        if seed % 2 == 0 {
            let _ = engine.close();
        }
        drop(engine);
        assert!(index(&disk) == before, "seed {seed}: the index was written");
        // The failure that was planned last may still wait for a sync.
        disk.fail_no_sync();
        let engine = Embedded::open_on(disk.disk(None), config()).unwrap();
        for n in 1..200 {
            let found = value(&engine, &format!("key {n}")).await.unwrap();
            assert_eq!(found.unwrap(), "before");
        }
    }
}

/// A thread of the engine that panics leaves nobody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_journals_thread_answers_all_that_wait() {
    let dir = tempfile::tempdir().unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let inner = armed.clone();
    let hook: DiskHook = Arc::new(move |call| {
        let broken = call == DiskCall::Write && inner.load(Ordering::SeqCst);
        assert!(!broken, "planned");
        Ok(())
    });
    let config = EmbeddedConfig {
        hook: Some(hook),
        ..small(dir.path())
    };
    let engine = Embedded::open(config).unwrap();
    put(&engine, "before", "x").await.unwrap();
    armed.store(true, Ordering::SeqCst);
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move { put(&engine, &format!("key {n}"), "x").await })
        })
        .collect();
    for put in waiting {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(60), put);
        let answer = answer.await.expect("an answer").unwrap();
        assert!(matches!(answer, Err(StoreError::Fenced(_))), "{answer:?}");
    }
    let later = put(&engine, "later", "x").await;
    assert!(matches!(later, Err(StoreError::Fenced(_))), "{later:?}");
    assert_eq!(value(&engine, "before").await.unwrap().unwrap(), "x");
    let _ = engine.close();
}
