//! The registry, in small: deeds change in one place, and each region receives that after a while,
//! in order. A change is acknowledged once all regions that held the bucket have received it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use replication::{Behind, Divergence, Far, MayRemove, Promises, Status, What, Yielded};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use types::{
    AccountId, BucketDeed, BucketId, BucketName, DeedError, Deeds, Jurisdiction, NewDeed, Place,
    Random, RegionId, Replica, SeededRandom, deed::BoxFuture,
};

use crate::{
    net::{Net, Way},
    trace::Trace,
};

/// What one region knows of the cloud.
pub struct View {
    pub here: RegionId,
    deeds: Arc<Mutex<BTreeMap<BucketName, Arc<BucketDeed>>>>,
    changed: Arc<watch::Sender<u64>>,
    pub divergent: Mutex<Vec<Divergence>>,
    /// A region that is down receives nothing.
    pub up: AtomicBool,
    /// It has asked the others what they remember of it.
    pub serves: AtomicBool,
    /// Which of its starts runs.
    pub instance: AtomicU64,
    /// Whether its folder lacks what an earlier start had.
    pub behind: Behind,
    /// What the start that runs knows of replicas.
    pub status: Mutex<Option<Arc<Status>>>,
    /// What the registry's region knows, and the way there.
    upstream: OnceLock<(Arc<View>, Arc<Net>)>,
}

/// Everybody's place: the country is the same, so that placements decide by region.
pub fn place(region: &RegionId) -> Place {
    Place {
        region: region.clone(),
        jurisdiction: Jurisdiction::parse("DE").expect("a country's code"),
        operator: "own".into(),
    }
}

impl View {
    pub fn new(here: RegionId, deeds: &[Arc<BucketDeed>]) -> Arc<Self> {
        let deeds = deeds.iter().map(|d| (d.name.clone(), Arc::clone(d)));
        Arc::new(Self {
            here,
            deeds: Arc::new(Mutex::new(deeds.collect())),
            changed: Arc::new(watch::Sender::new(0)),
            divergent: Mutex::default(),
            up: AtomicBool::new(true),
            serves: AtomicBool::new(true),
            instance: AtomicU64::new(0),
            behind: Behind::default(),
            status: Mutex::default(),
            upstream: OnceLock::new(),
        })
    }

    /// That of a second process of the region.
    pub fn second(&self, instance: u64) -> Arc<Self> {
        Arc::new(Self {
            here: self.here.clone(),
            deeds: Arc::clone(&self.deeds),
            changed: Arc::clone(&self.changed),
            divergent: Mutex::default(),
            up: AtomicBool::new(true),
            serves: AtomicBool::new(false),
            instance: AtomicU64::new(instance),
            behind: Behind::default(),
            status: Mutex::default(),
            upstream: self.upstream.clone(),
        })
    }

    /// Why clients are refused what the home answers.
    pub fn doubt(&self, deed: &BucketDeed) -> Option<String> {
        let status = self.status.lock().clone();
        self.behind.doubt(&self.here, deed, status.as_deref())
    }

    pub fn deed_of(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.deeds.lock().get(name).cloned()
    }

    fn hear(&self, deed: Arc<BucketDeed>) {
        self.deeds.lock().insert(deed.name.clone(), deed);
        self.changed.send_modify(|n| *n += 1);
    }
}

impl Deeds for View {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.deed_of(name)
    }
    fn list(&self, _: &AccountId, _: &str, _: Option<&str>, _: usize) -> Vec<Arc<BucketDeed>> {
        Deeds::all(self)
    }
    fn all(&self) -> Vec<Arc<BucketDeed>> {
        self.deeds.lock().values().cloned().collect()
    }
    fn create(
        &self,
        _: types::Actor,
        new: NewDeed,
    ) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>> {
        Box::pin(async { Err(DeedError::NotFound(new.name)) })
    }
    fn remove(
        &self,
        _: types::Actor,
        name: BucketName,
        _: BucketId,
    ) -> BoxFuture<'_, Result<(), DeedError>> {
        Box::pin(async { Err(DeedError::NotFound(name)) })
    }
}

impl replication::Regions for View {
    fn here(&self) -> Place {
        place(&self.here)
    }
    fn instance(&self) -> u64 {
        self.instance.load(Ordering::SeqCst)
    }
    fn home_doubt(&self, deed: &BucketDeed) -> Option<String> {
        self.doubt(deed)
    }
    fn lacks(&self, deed: &BucketDeed) -> bool {
        self.doubt(deed).is_some()
    }
    fn place(&self, region: &RegionId) -> Option<Place> {
        Some(place(region))
    }
    fn address(&self, region: &RegionId) -> Option<String> {
        Some(region.to_string())
    }
    fn deed(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.deed_of(name)
    }
    fn deeds(&self) -> Vec<Arc<BucketDeed>> {
        Deeds::all(self)
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
    fn fresh_epoch<'a>(&'a self, deed: &'a BucketDeed) -> BoxFuture<'a, Option<u64>> {
        Box::pin(async move {
            let (keeper, net) = self.upstream.get()?;
            tokio::time::sleep(ASKED).await;
            let open = net.is_open(&self.here, &keeper.here);
            let known = keeper.deed_of(&deed.name).filter(|_| open);
            known.map(|known| known.epoch)
        })
    }
    fn keeps_registry(&self, region: &RegionId) -> bool {
        **region == *KEEPER
    }
    /// Deeds change in one place only here, so it is certain what a region has received.
    fn may_remove<'a>(&'a self, _: &'a BucketDeed) -> BoxFuture<'a, MayRemove> {
        Box::pin(std::future::ready(MayRemove::Yes))
    }
    fn report(&self, divergence: Divergence) -> BoxFuture<'_, ()> {
        self.divergent.lock().push(divergence);
        Box::pin(std::future::ready(()))
    }
}

/// Whoever keeps the registry: a region that holds no buckets.
pub const KEEPER: &str = "registry";
/// For how long regions promise.
pub const PROMISE: Duration = Duration::from_secs(4);
/// How long a question to the registry takes.
const ASKED: Duration = Duration::from_millis(20);
/// How long the registry's disk may take to put a promotion on record.
const RECORD_MS: u64 = 6000;
/// How long the old home may take to say that it decides nothing more.
const YIELD_WITHIN: Duration = Duration::from_secs(2);

/// A change on its way to one region, with its number.
type Sending = mpsc::UnboundedSender<(u64, Arc<BucketDeed>)>;

/// The one place where deeds change.
pub struct Registry {
    /// What the keeper knows: all, at once.
    view: Arc<View>,
    promises: Arc<Promises>,
    telling: Vec<Sending>,
    /// The last change that each region has received.
    heard: watch::Sender<BTreeMap<RegionId, u64>>,
    changes: Mutex<u64>,
    net: Arc<Net>,
    trace: Arc<Trace>,
    random: SeededRandom,
}

impl Registry {
    pub fn new(
        views: Vec<Arc<View>>,
        deeds: &[Arc<BucketDeed>],
        net: Arc<Net>,
        random: &SeededRandom,
        trace: Arc<Trace>,
    ) -> Self {
        let keeper = RegionId::new(KEEPER);
        let view = View::new(keeper.clone(), deeds);
        let promises = Promises::new(Arc::clone(&view) as _, Some(keeper.clone()), PROMISE);
        net.promises(&keeper, &promises);
        for one in &views {
            let _ = one.upstream.set((Arc::clone(&view), Arc::clone(&net)));
        }
        let heard = watch::Sender::new(BTreeMap::new());
        let chance = SeededRandom::new(random.next_u64());
        let tell = |view: &Arc<View>| {
            let (telling, told) = mpsc::unbounded_channel();
            let random = SeededRandom::new(random.next_u64());
            let (view, net, heard) = (Arc::clone(view), Arc::clone(&net), heard.clone());
            tokio::spawn(send(view, net, heard, random, told));
            telling
        };
        Self {
            telling: views.iter().map(tell).collect(),
            view,
            promises,
            heard,
            changes: Mutex::new(0),
            net,
            trace,
            random: chance,
        }
    }

    pub fn deed(&self, name: &BucketName) -> Arc<BucketDeed> {
        self.view.deed_of(name).expect("buckets stay")
    }

    /// Changes a deed; returns once all regions that held the bucket have received it.
    pub async fn change(&self, name: &BucketName, change: impl FnOnce(&mut BucketDeed)) {
        let before = self.deed(name);
        let number = self.record(name, change);
        self.acknowledged(&before, number).await;
    }

    /// Puts a change on record; regions receive it later.
    pub fn record(&self, name: &BucketName, change: impl FnOnce(&mut BucketDeed)) -> u64 {
        let mut deed = (*self.deed(name)).clone();
        change(&mut deed);
        let deed = Arc::new(deed);
        self.trace.note(format!(
            "registry: {name} epoch {} home {} copies {:?} writes {:?}",
            deed.epoch, deed.home, deed.placement.replicas, deed.placement.writes
        ));
        self.view.hear(Arc::clone(&deed));
        self.net.changing(&deed);
        let mut changes = self.changes.lock();
        *changes += 1;
        for telling in &self.telling {
            // A region's task ends with the run.
            let _ = telling.send((*changes, Arc::clone(&deed)));
        }
        *changes
    }

    /// Waits until all regions that held the bucket have received a change.
    pub async fn acknowledged(&self, before: &BucketDeed, number: u64) {
        let mut heard = self.heard.subscribe();
        let all = |heard: &BTreeMap<RegionId, u64>| {
            let mut holders = before.holders();
            holders.all(|h| heard.get(h).is_some_and(|known| *known >= number))
        };
        // It is never closed.
        let _ = heard.wait_for(all).await;
        let (name, deed) = (&before.name, self.deed(&before.name));
        self.net.acknowledged(&deed);
        self.trace.note(format!("registry: {name} acknowledged"));
    }

    /// Gives a bucket another home, once the one that it has decides nothing more; returns as
    /// [`Self::record`] does, with the deed before.
    pub async fn promote(&self, name: &BucketName, at: usize) -> Option<(Arc<BucketDeed>, u64)> {
        let before = self.deed(name);
        let moves = |deed: &mut BucketDeed| {
            let copies = &mut deed.placement.replicas;
            if copies.is_empty() {
                return;
            }
            let heir = copies.remove(at % copies.len()).region;
            let old = std::mem::replace(&mut deed.home, heir);
            copies.push(Replica {
                region: old,
                sealed_by: None,
            });
            copies.sort();
            deed.epoch += 1;
        };
        let mut would = (*before).clone();
        moves(&mut would);
        if would == *before {
            return None;
        }
        let pause = self.promises.pause(&before.home);
        let far = Far {
            client: Arc::new(Way {
                net: Arc::clone(&self.net),
                here: RegionId::new(KEEPER),
                second: None,
            }),
            regions: Arc::clone(&self.view) as _,
            region: before.home.clone(),
            deed: Arc::new(would),
            sealed: false,
            said: Arc::default(),
        };
        let asked = timeout(YIELD_WITHIN, far.read::<Yielded>(What::Yield)).await;
        if !matches!(asked, Ok(Ok(_))) && !types::planted("promise-not-waited-out") {
            tokio::time::sleep_until(self.promises.given_until(&before.home)).await;
        }
        // Usually at once; now and then after the old home has given up to wait for it.
        if at.is_multiple_of(4) {
            let record = Duration::from_millis(self.random.next_u64() % RECORD_MS);
            tokio::time::sleep(record).await;
        }
        let number = self.record(name, moves);
        pause.end();
        Some((before, number))
    }
}

/// Sends changes to one region, in order. One that is down, or cut off, receives them later.
async fn send(
    view: Arc<View>,
    net: Arc<Net>,
    heard: watch::Sender<BTreeMap<RegionId, u64>>,
    random: SeededRandom,
    mut told: mpsc::UnboundedReceiver<(u64, Arc<BucketDeed>)>,
) {
    let keeper = RegionId::new(KEEPER);
    while let Some((number, deed)) = told.recv().await {
        let wait = Duration::from_millis(5 + random.next_u64() % 300);
        tokio::time::sleep(wait).await;
        while !view.up.load(Ordering::SeqCst) || !net.is_open(&keeper, &view.here) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        view.hear(deed);
        heard.send_modify(|heard| {
            heard.insert(view.here.clone(), number);
        });
    }
}
