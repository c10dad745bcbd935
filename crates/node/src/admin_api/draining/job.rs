//! Carries out the orders to drain regions: one task for each region, which takes one bucket after
//! the other, and what stays again after a pause.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloud::{DrainRecord, DrainState};
use follow::{Backoff, Follow, Step, Task};
use parking_lot::Mutex;
use tokio::sync::watch;
use types::RegionId;

use super::{
    super::Admin,
    steps::{Run, Stop},
};

/// The pauses before what stays is tried again.
const AGAIN_MIN: Duration = Duration::from_secs(10);
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// The pauses while the registry cannot be changed.
const REGISTRY_MIN: Duration = Duration::from_secs(1);
const REGISTRY_MAX: Duration = Duration::from_secs(60);
/// Between two turns of a bucket whose replica makes progress.
const SLOW_PAUSE: Duration = Duration::from_secs(1);
/// How long it waits for an order; each one wakes it.
const IDLE: Duration = Duration::from_secs(3600);

impl Admin {
    /// Carries out what was ordered and has not ended, and what is ordered from now on. Runs until
    /// it is dropped; other regions than the registry's have nothing to do.
    pub async fn run_drains(self: Arc<Self>) {
        if !self.region.registry.keeps() {
            return;
        }
        let mut tasks: BTreeMap<String, Task> = BTreeMap::new();
        let mut woken = self.drains.woken();
        loop {
            woken.borrow_and_update();
            for region in self.region.registry.all_regions() {
                let moves = |drain: &DrainRecord| drain.state == DrainState::Moving;
                if region.drain.as_ref().is_some_and(moves) && !tasks.contains_key(&region.id) {
                    let drainer = Drainer {
                        admin: Arc::clone(&self),
                        region: RegionId::new(&region.id),
                        again: Backoff::new(AGAIN_MIN, AGAIN_MAX, &region.id),
                        woken: self.drains.woken(),
                    };
                    let registry = Backoff::new(REGISTRY_MIN, REGISTRY_MAX, &region.id);
                    let task = Task::begin(follow::run(drainer, registry));
                    tasks.insert(region.id.clone(), task);
                }
            }
            if woken.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Drains one region, whenever that is ordered.
struct Drainer {
    admin: Arc<Admin>,
    region: RegionId,
    again: Backoff,
    woken: watch::Receiver<()>,
}

/// What came of a pass over all buckets.
enum Pass {
    /// The region has none.
    Empty,
    /// Replicas of some still make progress.
    Slow,
    /// The others stay; whether any has moved.
    Stays(bool),
    /// There is another order, or none.
    Ended,
}

impl Follow for Drainer {
    type Cursor = ();
    type Fault = String;

    async fn open(&mut self) -> Result<(), String> {
        Ok(())
    }

    async fn step(&mut self, (): &mut ()) -> Result<Step, String> {
        self.woken.borrow_and_update();
        let registry = &self.admin.region.registry;
        let known = registry.region(&self.region);
        let drain = known.and_then(|known| known.drain.clone());
        let Some(drain) = drain.filter(|drain| drain.state == DrainState::Moving) else {
            return Ok(Step::Wait(IDLE));
        };
        registry.takes_changes().map_err(|e| e.to_string())?;
        match self.pass(&drain).await {
            Pass::Ended => {
                self.again.reset();
                Ok(Step::Moved)
            }
            Pass::Slow => Ok(Step::Wait(SLOW_PAUSE)),
            Pass::Empty => {
                let (actor, done) = (drain.actor(), DrainState::Done);
                let ended = registry.end_drain(&actor, &self.region, drain.begun_ms, done);
                ended.await.map_err(|e| e.to_string())?;
                tracing::info!(region = %self.region, "a region is drained");
                Ok(Step::Moved)
            }
            Pass::Stays(moved) => {
                if moved {
                    self.again.reset();
                }
                let pause = self.again.pause();
                let until = self.admin.region.clock.now().ms() + pause.as_millis() as u64;
                self.admin
                    .drains
                    .note(&self.region, drain.begun_ms, |progress| {
                        progress.next_try_ms = Some(until);
                    });
                Ok(Step::Wait(pause))
            }
        }
    }

    async fn woken(&mut self, (): &mut ()) -> Result<(), String> {
        let woken = self.woken.changed().await;
        woken.map_err(|_| "the process ends".to_owned())
    }

    fn failed(&mut self, error: String) {
        tracing::warn!(region = %self.region, error, "a drain cannot go on now");
    }
}

impl Drainer {
    /// Takes each bucket that the region has in turn.
    async fn pass(&self, drain: &DrainRecord) -> Pass {
        let run = Run {
            admin: &self.admin,
            region: &self.region,
            drain,
            in_vain: Mutex::default(),
        };
        let (mut moved, mut slow) = (false, false);
        for deed in self.admin.residents(&self.region) {
            let name = &deed.name;
            run.begins(name);
            match run.bucket(name).await {
                Ok(one) => {
                    moved = true;
                    run.ends(name, Ok(one)).await;
                }
                Err(Stop::Ended) => return Pass::Ended,
                Err(Stop::Slow) => slow = true,
                Err(Stop::Stays(why)) => {
                    tracing::info!(region = %self.region, bucket = %name, why, "a bucket stays");
                    run.ends(name, Err(why)).await;
                }
            }
        }
        match (self.admin.residents(&self.region).is_empty(), slow) {
            (true, _) => Pass::Empty,
            (false, true) => Pass::Slow,
            (false, false) => Pass::Stays(moved),
        }
    }
}
