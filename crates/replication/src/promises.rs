//! What regions promise each other, so that one region at a time decides for a bucket.
//!
//! A home is *renewed* while it has a fresh promise of the registry's region ("I give none of your
//! buckets another home before then"), or of every region that could succeed it ("I do not decide in
//! your place before then"). Promises are between two regions, for all buckets. The holder counts
//! from before it asked, the giver from when it answers, both on their steady clocks; so a promise
//! ends at its holder first. A giver that was started anew behaves as if it had just promised
//! everything to everybody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use types::{BucketDeed, BucketId, Holding, RegionId};

use crate::{Regions, Status, seats::Seats};

/// Where promises are asked for.
pub const PROMISE_PATH: &str = "/dhow/v1/promise";
/// The longest question for one.
pub const PROMISE_ASK_BYTES_MAX: usize = 4096;
/// The longest answer.
pub const PROMISED_BYTES_MAX: usize = 4 << 20;
/// The longest promise that a holder accepts.
pub const PROMISE_MAX: Duration = Duration::from_secs(60);
/// Buckets with another home that one answer names; beyond it there is no promise.
const MOVED_MAX: usize = 95_000;
/// An answer that names no bucket.
const ANSWER_BYTES: usize = 1024;
/// What each bucket that it names takes in it: two numbers of up to twenty digits, and signs.
const MOVED_BYTES: usize = 44;
/// The same before it is written out.
const PAIR_BYTES: usize = size_of::<(u64, u64)>();
/// To go through all buckets: one reference to each.
const DEED_BYTES: usize = size_of::<usize>();
const _: () = assert!(ANSWER_BYTES + MOVED_MAX * MOVED_BYTES <= PROMISED_BYTES_MAX);
/// One part in so many of a promise is left unused by its holder: steady clocks do not run equally
/// fast.
const MARGIN: u32 = 100;
/// Between two answers that name all buckets which have moved, to one region; who asks sooner gets
/// no promise.
const TOLD_PAUSE: Duration = Duration::from_millis(50);
/// How long no promise is given after a promotion that could not be made yet: whoever asked for it
/// asks again.
const LINGER: Duration = Duration::from_secs(3);
/// How long nothing is accepted from a region whose statement about an epoch the registry did not
/// confirm.
const DISBELIEF: Duration = Duration::from_secs(600);

/// A question for a promise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromiseAsk {
    /// What the asker knows of the registry ([`Regions::known`]).
    #[serde(default)]
    pub known: String,
}

/// The answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Promised {
    /// For how long, from the answer on; 0 for no promise.
    pub lasts_ms: u64,
    /// Buckets, each with its epoch, that have another home than the asker, as far as this region
    /// knows. Left out when both know the same of the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<(u64, u64)>,
}

/// A promise that this region has.
#[derive(Debug, Clone, Copy)]
struct Held {
    until: Instant,
    /// Since when without a break.
    since: Instant,
}

/// That another region knows a bucket's next epoch.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    pub(crate) deed: Arc<BucketDeed>,
    pub(crate) epoch: u64,
    pub(crate) from: RegionId,
    pub(crate) at: Instant,
}

#[derive(Default)]
struct Given {
    until: BTreeMap<RegionId, Instant>,
    /// When it was last sent to them which buckets have moved.
    told: BTreeMap<RegionId, Instant>,
    /// Those who get none now: how many promotions wait, and until when in any case.
    paused: BTreeMap<RegionId, (usize, Option<Instant>)>,
}

/// How a home is renewed, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalShown {
    /// Whether the home decides now what depends on a condition.
    pub renewed: bool,
    /// By whom: regions whose promises it has. Empty where nobody could succeed it.
    pub by: Vec<String>,
    /// For how many seconds without a break.
    pub since_s: Option<u64>,
    /// For how many milliseconds more, if no promise is made again.
    #[serde(default)]
    pub left_ms: Option<u64>,
    /// Why it is not renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Promises given and held by one region.
pub struct Promises {
    pub(crate) here: RegionId,
    /// The registry's region, where there is one.
    pub(crate) keeper: Option<RegionId>,
    pub(crate) regions: Arc<dyn Regions>,
    length: Duration,
    started: Instant,
    given: Mutex<Given>,
    held: RwLock<BTreeMap<RegionId, Held>>,
    /// Since when promises of a region count that were asked for: not what it gave before it named
    /// an epoch that did not come.
    anew: Mutex<BTreeMap<RegionId, Instant>>,
    /// Of each bucket at most one by each region: a region to which this home has answered that it
    /// takes nothing more acts on that, whatever happens to another region's statement.
    fences: RwLock<BTreeMap<BucketId, Vec<Fence>>>,
    fence_count: AtomicUsize,
    disbelieved: Mutex<BTreeMap<RegionId, Instant>>,
    pub(crate) seats: Seats,
    /// What is known of replicas, where buckets are followed.
    pub(crate) status: OnceLock<Arc<Status>>,
    pub(crate) rounds: watch::Sender<u64>,
}

impl Promised {
    /// The answer's bytes.
    ///
    /// # Errors
    /// None that an answer can have.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        // At its full size from the start: a vector that grows takes up to twice as much.
        let mut bytes = Vec::with_capacity(ANSWER_BYTES + self.moved.len() * MOVED_BYTES);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }
}

/// What an answer takes at most that names some of so many buckets.
fn naming(buckets: usize) -> usize {
    ANSWER_BYTES + buckets.min(MOVED_MAX) * (MOVED_BYTES + PAIR_BYTES)
}

impl Promises {
    /// Of a region that gives promises for `length`.
    pub fn new(regions: Arc<dyn Regions>, keeper: Option<RegionId>, length: Duration) -> Arc<Self> {
        Arc::new(Self {
            here: regions.here().region,
            keeper,
            regions,
            length: length.min(PROMISE_MAX),
            started: Instant::now(),
            given: Mutex::default(),
            held: RwLock::default(),
            anew: Mutex::default(),
            fences: RwLock::default(),
            fence_count: AtomicUsize::new(0),
            disbelieved: Mutex::default(),
            seats: Seats::default(),
            status: OnceLock::new(),
            rounds: watch::Sender::new(0),
        })
    }

    /// The same, with what is known of replicas.
    pub(crate) fn knowing(self: Arc<Self>, status: &Arc<Status>) -> Arc<Self> {
        // A second call would name the same.
        let _ = self.status.set(Arc::clone(status));
        self
    }

    /// For how long promises are given.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Answers a region whose identity was proven.
    pub fn answer(&self, from: &RegionId, ask: &PromiseAsk) -> Promised {
        self.answer_within(from, ask, usize::MAX)
    }

    /// The same with room for so many bytes: where more could be needed there is no promise.
    pub fn answer_within(&self, from: &RegionId, ask: &PromiseAsk, room: usize) -> Promised {
        let now = Instant::now();
        if !self.regions.may_promise() {
            return Promised::default();
        }
        let known = self.regions.known();
        let all = known.is_empty() || known != ask.known;
        {
            let mut given = self.given.lock();
            if let Some((waiting, until)) = given.paused.get(from) {
                if *waiting > 0 || until.is_some_and(|until| now < until) {
                    return Promised::default();
                }
                given.paused.remove(from);
            }
            // To go through all buckets takes time, which is not spent as often as one asks.
            if all {
                let before = given.told.get(from);
                if before.is_some_and(|before| now < *before + TOLD_PAUSE) {
                    return Promised::default();
                }
                given.told.insert(from.clone(), now);
            }
            given.until.insert(from.clone(), now + self.length);
        }
        // What is received from here on waits for the promise, which is noted; what was received
        // before is in the answer.
        let mut moved = Vec::new();
        if all || self.regions.known() != known {
            let deeds = self.regions.deeds();
            if room < naming(deeds.len()) {
                return Promised::default();
            }
            // So that it takes no more than was counted.
            moved.reserve_exact(deeds.len().min(MOVED_MAX));
            for deed in deeds {
                if deed.epoch <= 1 || deed.home == *from {
                    continue;
                }
                if moved.len() == MOVED_MAX {
                    return Promised::default();
                }
                moved.push((deed.id.0, deed.epoch));
            }
        }
        Promised {
            lasts_ms: self.length.as_millis() as u64,
            moved,
        }
    }

    /// How many bytes the answer takes at most, with what is made of it on the way.
    pub fn answer_bytes(&self, ask: &PromiseAsk) -> usize {
        let known = self.regions.known();
        match !known.is_empty() && known == ask.known {
            true => ANSWER_BYTES,
            false => {
                let buckets = self.regions.deeds().len();
                naming(buckets) + buckets * DEED_BYTES
            }
        }
    }

    /// When all promises have ended that this region gave to `to`, the last process included.
    pub fn given_until(&self, to: &RegionId) -> Instant {
        let given = self.given.lock();
        let known = given.until.get(to).copied();
        known.unwrap_or(self.started + self.length)
    }

    /// When all promises have ended that this region gave to anybody.
    pub(crate) fn outstanding(&self) -> Instant {
        let given = self.given.lock();
        let last = given.until.values().max().copied();
        let began = self.started + self.length;
        last.map_or(began, |last| last.max(began))
    }

    /// From now on, until what is returned is dropped and some seconds more, `to` gets no promise.
    pub fn pause(self: &Arc<Self>, to: &RegionId) -> Pause {
        let mut given = self.given.lock();
        given.paused.entry(to.clone()).or_default().0 += 1;
        Pause {
            promises: Arc::clone(self),
            to: to.clone(),
            over: false,
        }
    }

    /// Notes what `from` has promised; `asked` is when the question was sent.
    pub(crate) fn hold(&self, from: &RegionId, asked: Instant, promised: &Promised) {
        if !promised.moved.is_empty() {
            let moved: HashMap<u64, u64> = promised.moved.iter().copied().collect();
            for deed in self.regions.deeds() {
                if let Some(epoch) = moved.get(&deed.id.0) {
                    self.learned(&deed, *epoch, from);
                }
            }
        }
        let lasts = Duration::from_millis(promised.lasts_ms).min(PROMISE_MAX);
        // It counts only together with what it names, which is not accepted then.
        if lasts.is_zero() || self.is_disbelieved(from) {
            return;
        }
        let until = asked + (lasts - lasts / MARGIN);
        let mut held = self.held.write();
        let anew = self.anew.lock().get(from).copied();
        if anew.is_some_and(|anew| asked <= anew) {
            return;
        }
        let entry = held.entry(from.clone()).or_insert(Held {
            until,
            since: asked,
        });
        if entry.until < Instant::now() {
            entry.since = asked;
        }
        entry.until = entry.until.max(until);
    }

    pub(crate) fn holds(&self, of: &RegionId) -> bool {
        let held = self.held.read();
        held.get(of).is_some_and(|held| Instant::now() < held.until)
    }

    /// Those whose promises count for this region's buckets: the registry's region, and who could
    /// succeed it.
    pub(crate) fn wanted(&self) -> BTreeSet<RegionId> {
        let mut wanted: BTreeSet<RegionId> = self.keeper.iter().cloned().collect();
        for deed in self.regions.deeds() {
            if deed.home == self.here {
                wanted.extend(deed.placement.succession().cloned());
            }
        }
        wanted.remove(&self.here);
        wanted
    }

    /// Another region says that the bucket's epoch is `epoch`. Where this region is the home under
    /// an earlier one it takes nothing more, at once. Answers whether it takes nothing.
    ///
    /// This is accepted from the registry's region and from regions that could be the home. The
    /// registry is asked then; where it does not confirm it, the fence goes and nothing is accepted
    /// from that region for a while.
    pub fn learned(&self, deed: &Arc<BucketDeed>, epoch: u64, from: &RegionId) -> bool {
        if deed.home != self.here || epoch <= deed.epoch {
            return false;
        }
        let keeper = self.keeper.as_ref() == Some(from);
        // Each region relies on its own word only: another one's may be found wrong.
        if self.fence_by(deed.id, from) >= Some(epoch) {
            if keeper {
                // It is still about to put that on record.
                self.renew_fence(deed.id, from);
            }
            return true;
        }
        if !keeper && (deed.holding(from) != Holding::Replica || self.is_disbelieved(from)) {
            return false;
        }
        if types::planted("peer-epoch-ignored") {
            return false;
        }
        let (bucket, own) = (&deed.name, deed.epoch);
        tracing::warn!(%bucket, region = %from, epoch, own, "another region knows a newer epoch: this home takes no writes");
        let fence = Fence {
            deed: Arc::clone(deed),
            epoch,
            from: from.clone(),
            at: Instant::now(),
        };
        let mut fences = self.fences.write();
        let of = fences.entry(deed.id).or_default();
        match types::planted("fences-replaced") {
            true => of.clear(),
            false => of.retain(|fence| fence.from != *from),
        }
        of.push(fence);
        self.fence_count.store(fences.len(), Ordering::SeqCst);
        true
    }

    /// The epoch that, as this home accepted, a region knows of a bucket whose home is here.
    fn fence_by(&self, id: BucketId, from: &RegionId) -> Option<u64> {
        let fences = self.fences.read();
        let by = fences.get(&id)?.iter().find(|fence| fence.from == *from);
        by.map(|fence| fence.epoch)
    }

    fn renew_fence(&self, id: BucketId, from: &RegionId) {
        let mut fences = self.fences.write();
        let of = fences.get_mut(&id).into_iter().flatten();
        for fence in of.filter(|fence| fence.from == *from) {
            fence.at = Instant::now();
        }
    }

    /// Whether another region has reported a newer epoch than the deed's.
    pub(crate) fn fenced(&self, deed: &BucketDeed) -> bool {
        // On the path of every write: usually there are none.
        if self.fence_count.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let fences = self.fences.read();
        let mut of = fences.get(&deed.id).into_iter().flatten();
        of.any(|fence| fence.epoch > deed.epoch)
    }

    pub(crate) fn fences(&self) -> Vec<Fence> {
        self.fences.read().values().flatten().cloned().collect()
    }

    /// As if all had been received earlier by this.
    #[cfg(test)]
    pub(crate) fn age_fences(&self, by: Duration) {
        for fence in self.fences.write().values_mut().flatten() {
            fence.at -= by;
        }
    }

    /// Whether it still holds.
    pub(crate) fn has(&self, fence: &Fence) -> bool {
        let fences = self.fences.read();
        let mut of = fences.get(&fence.deed.id).into_iter().flatten();
        of.any(|one| one.from == fence.from && one.at == fence.at)
    }

    fn is_disbelieved(&self, region: &RegionId) -> bool {
        let until = self.disbelieved.lock().get(region).copied();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// What was named has come.
    pub(crate) fn lift(&self, fence: &Fence) {
        let id = fence.deed.id;
        self.lift_all(|of| of.deed.id == id && of.from == fence.from && of.at == fence.at);
    }

    /// The registry does not know what was named. Whoever named it may still act as if this home
    /// had yielded, so its promise ends with the fence. From another region than the registry's
    /// nothing is accepted for a while, whatever it named.
    pub(crate) fn lift_wrong(&self, fence: &Fence) {
        if !types::planted("lifted-keeps-promise") {
            // New ones count from here on, also where the answer is under way.
            let mut held = self.held.write();
            held.remove(&fence.from);
            let now = Instant::now();
            self.anew.lock().insert(fence.from.clone(), now);
        }
        if self.keeper.as_ref() == Some(&fence.from) {
            return self.lift(fence);
        }
        let until = Instant::now() + DISBELIEF;
        self.disbelieved.lock().insert(fence.from.clone(), until);
        self.lift_all(|of| of.from == fence.from);
    }

    fn lift_all(&self, which: impl Fn(&Fence) -> bool) {
        let mut fences = self.fences.write();
        fences.retain(|_, of| {
            of.retain(|fence| !which(fence));
            !of.is_empty()
        });
        self.fence_count.store(fences.len(), Ordering::SeqCst);
    }

    /// How many promises this region has now.
    pub fn held_now(&self) -> usize {
        let now = Instant::now();
        let held = self.held.read();
        held.values().filter(|held| now < held.until).count()
    }

    /// Regions whose promises count for buckets of this one, and how long each still lasts. None
    /// where no bucket has its home.
    pub fn left(&self) -> Vec<(RegionId, Duration)> {
        let has_home = |deed: &Arc<BucketDeed>| deed.home == self.here;
        if !self.regions.deeds().iter().any(has_home) {
            return Vec::new();
        }
        let (wanted, now) = (self.wanted(), Instant::now());
        let held = self.held.read();
        let left = |region: &RegionId| {
            let held = held.get(region);
            held.map_or(Duration::ZERO, |h| h.until.saturating_duration_since(now))
        };
        let all = wanted.into_iter();
        all.map(|region| (region.clone(), left(&region))).collect()
    }

    /// How the bucket's home, which is here, is renewed.
    pub fn shown(&self, deed: &BucketDeed) -> RenewalShown {
        use types::Judge;
        let now = Instant::now();
        let wanted = self.keeper.iter().chain(deed.placement.succession());
        let held = self.held.read();
        let of = |region: &RegionId| held.get(region).filter(|held| now < held.until);
        let fresh: Vec<(&RegionId, Held)> = wanted
            .filter_map(|region| of(region).map(|held| (region, *held)))
            .collect();
        let by: BTreeSet<String> = fresh.iter().map(|(region, _)| region.to_string()).collect();
        // The promise that renews it for the longest time.
        let since = fresh.iter().map(|(_, held)| held.since).min();
        let since = since.map(|since| (now - since).as_secs());
        let left = |region: &RegionId| of(region).map(|held| held.until - now);
        let keeper = self.keeper.as_ref().and_then(left);
        let successors = deed.placement.succession().filter(|r| **r != self.here);
        let all: Option<Vec<Duration>> = successors.map(left).collect();
        let left = keeper.max(all.and_then(|all| all.into_iter().min()));
        drop(held);
        let judged = self.may_decide(deed);
        RenewalShown {
            renewed: judged.is_ok(),
            by: by.into_iter().collect(),
            since_s: since.filter(|_| judged.is_ok()),
            left_ms: left.map(|left| left.as_millis() as u64),
            why: judged.err().map(|why| why.0),
        }
    }

    /// Waits until somebody has promised something, or nobody did who was asked from now on.
    pub async fn asked_once(&self) {
        let mut rounds = self.rounds.subscribe();
        // The one that is under way may have begun before there was an address to ask at.
        let enough = *rounds.borrow() + 2;
        // It is never closed.
        let _ = rounds
            .wait_for(|now| *now >= enough || self.held_now() > 0)
            .await;
    }
}

/// While a promotion waits, the old home gets no promise.
pub struct Pause {
    promises: Arc<Promises>,
    to: RegionId,
    over: bool,
}

impl Pause {
    /// What was waited for is done: promises are given again.
    pub fn end(mut self) {
        self.over = true;
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut given = self.promises.given.lock();
        if let Some((waiting, until)) = given.paused.get_mut(&self.to) {
            *waiting = waiting.saturating_sub(1);
            // Another promotion that was given up may be asked for again all the same.
            if !self.over {
                *until = Some(Instant::now() + LINGER);
            }
        }
    }
}
