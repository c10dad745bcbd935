//! The registry, in small: deeds change in one place, and each region hears of that after a while,
//! in order. A change is acknowledged once all regions that held the bucket have heard.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use replication::{Behind, Divergence, MayRemove, Status};
use tokio::sync::watch;
use types::{
    AccountId, BucketDeed, BucketId, BucketName, DeedError, Deeds, Jurisdiction, NewDeed, Place,
    Random, RegionId, SeededRandom, deed::BoxFuture,
};

use crate::{net::Net, trace::Trace};

/// What one region knows of the cloud.
pub struct View {
    pub here: RegionId,
    deeds: Arc<Mutex<BTreeMap<BucketName, Arc<BucketDeed>>>>,
    changed: Arc<watch::Sender<u64>>,
    pub divergent: Mutex<Vec<Divergence>>,
    /// A region that is down hears nothing.
    pub up: AtomicBool,
    /// It has asked the others what they remember of it.
    pub serves: AtomicBool,
    /// Which of its starts runs.
    pub instance: AtomicU64,
    /// Whether its folder lacks what an earlier start had.
    pub behind: Behind,
    /// What the start that runs knows of copies.
    pub status: Mutex<Option<Arc<Status>>>,
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
    /// Deeds change in one place only here, so what a region has heard is certain.
    fn may_remove<'a>(&'a self, _: &'a BucketDeed) -> BoxFuture<'a, MayRemove> {
        Box::pin(std::future::ready(MayRemove::Yes))
    }
    fn report(&self, divergence: Divergence) -> BoxFuture<'_, ()> {
        self.divergent.lock().push(divergence);
        Box::pin(std::future::ready(()))
    }
}

/// The one place where deeds change.
pub struct Registry {
    views: Vec<Arc<View>>,
    deeds: Mutex<BTreeMap<BucketName, Arc<BucketDeed>>>,
    net: Arc<Net>,
    random: SeededRandom,
    trace: Arc<Trace>,
}

impl Registry {
    pub fn new(
        views: Vec<Arc<View>>,
        deeds: &[Arc<BucketDeed>],
        net: Arc<Net>,
        random: SeededRandom,
        trace: Arc<Trace>,
    ) -> Self {
        let deeds = deeds.iter().map(|d| (d.name.clone(), Arc::clone(d)));
        Self {
            views,
            deeds: Mutex::new(deeds.collect()),
            net,
            random,
            trace,
        }
    }

    pub fn deed(&self, name: &BucketName) -> Arc<BucketDeed> {
        Arc::clone(&self.deeds.lock()[name])
    }

    /// Changes a deed; returns once all regions that held the bucket have heard of it.
    pub async fn change(&self, name: &BucketName, change: impl FnOnce(&mut BucketDeed)) {
        let before = self.deed(name);
        let mut deed = (*before).clone();
        change(&mut deed);
        let deed = Arc::new(deed);
        self.trace.note(format!(
            "registry: {name} epoch {} home {} copies {:?} writes {:?}",
            deed.epoch, deed.home, deed.placement.replicas, deed.placement.writes
        ));
        self.deeds.lock().insert(name.clone(), Arc::clone(&deed));
        self.net.changing(&deed);
        let mut told = Vec::new();
        for view in &self.views {
            let wait = Duration::from_millis(5 + self.random.next_u64() % 300);
            told.push((tokio::time::Instant::now() + wait, Arc::clone(view)));
        }
        told.sort_by_key(|(at, view)| (*at, view.here.clone()));
        for (at, view) in told {
            tokio::time::sleep_until(at).await;
            // One that is down hears of it when it is up again.
            while !view.up.load(Ordering::SeqCst) {
                if !before.holders().any(|holder| *holder == view.here) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            view.hear(Arc::clone(&deed));
        }
        self.net.acknowledged(&deed);
        self.trace.note(format!("registry: {name} acknowledged"));
    }
}
