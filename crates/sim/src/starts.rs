//! Folders that are put back to an older state, that are emptied, and that are copied and started
//! twice; and what regions send each other about their starts, as `dhow` does it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use peer::Identity;
use proof::instance::{Finding, Found, Own, Remembered};
use replication::Status;
use store::memory::Memory;
use tokio::time::Instant;
use types::{Clock, Random, RegionId, SeededRandom};

use crate::{
    registry::View,
    world::{Node, World},
};

/// How often a statement is given to the others.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long a region waits for the others before it serves.
const ASK_FIRST: Duration = Duration::from_secs(3);
/// While something is missing it is looked so often whether it has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Ends of logs that were received are kept this often; other starts at once.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// What a folder keeps of starts.
#[derive(Clone, Default)]
pub struct Kept {
    remembered: Remembered,
    found: Found,
}

/// A region's folder, or what it was at some time.
#[derive(Clone)]
pub struct Folder {
    pub disk: Arc<Memory>,
    kept: Arc<Mutex<Kept>>,
    identity: Arc<Identity>,
}

impl Folder {
    pub fn new() -> Self {
        Self {
            disk: Memory::new(),
            kept: Arc::default(),
            identity: Arc::new(Identity::create().expect("a key needs nothing but random bytes")),
        }
    }

    /// As it is now.
    pub fn backup(&self) -> Self {
        Self {
            disk: self.disk.copy(),
            kept: Arc::new(Mutex::new(self.kept.lock().clone())),
            identity: Arc::clone(&self.identity),
        }
    }

    /// In the place of one whose log goes up to `end`.
    pub fn in_place_of(&self, end: u64) -> Self {
        let folder = self.backup();
        Self {
            disk: folder.disk.opened_above(end + 1000),
            ..folder
        }
    }

    fn key(&self) -> [u8; 32] {
        self.identity.public_key()
    }
}

/// Signs with a region's key.
struct Key<'i>(&'i Identity);

impl proof::Signer for Key<'_> {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

/// One start of a region.
pub struct Started {
    view: Arc<View>,
    folder: Folder,
    own: Mutex<Own>,
    /// What it remembers of others, and when that was kept.
    remembered: Mutex<(Remembered, Instant)>,
    status: Arc<Status>,
}

impl Started {
    pub fn new(view: &Arc<View>, folder: &Folder, status: &Arc<Status>, at_ms: u64) -> Arc<Self> {
        let kept = folder.kept.lock().clone();
        view.behind.falls(!kept.found.behind.is_empty());
        *view.status.lock() = Some(Arc::clone(status));
        let instance = view.instance.load(Ordering::SeqCst);
        let own = Own::new(&view.here, instance, at_ms, folder.key(), kept.found);
        Arc::new(Self {
            view: Arc::clone(view),
            folder: folder.clone(),
            own: Mutex::new(own),
            remembered: Mutex::new((kept.remembered, Instant::now())),
            status: Arc::clone(status),
        })
    }

    fn keep(&self) {
        *self.folder.kept.lock() = Kept {
            remembered: self.remembered.lock().0.clone(),
            found: self.own.lock().found(),
        };
        self.remembered.lock().1 = Instant::now();
    }

    /// Receives what another region's start says; answers what it remembers of others.
    fn receive(
        &self,
        from: &Self,
        said: proof::instance::Statement,
    ) -> Vec<proof::instance::Statement> {
        let key = from.folder.key();
        let (heard, is_due) = {
            let mut remembered = self.remembered.lock();
            let heard = remembered.0.receive(&from.view.here, &key, said);
            (heard, remembered.1.elapsed() > KEEP_EVERY)
        };
        let Some(heard) = heard else {
            return Vec::new();
        };
        if heard.is_news || is_due {
            self.keep();
        }
        heard.others
    }

    /// Judges what it received; answers whether it has to end.
    fn judge(&self, world: &World, told: Vec<proof::instance::Statement>) -> bool {
        let gave = |at| self.folder.disk.gave(at);
        let findings = self.own.lock().judge(told, gave);
        let mut ends = false;
        for finding in findings {
            match finding {
                Finding::Later(_) => ends = true,
                Finding::Clone(_) => self.keep(),
                Finding::Behind(_) => {
                    let here = &self.view.here;
                    world
                        .trace
                        .note(format!("{here} finds its folder put back"));
                    self.view.behind.falls(true);
                    self.keep();
                }
            }
        }
        ends
    }

    fn has_caught_up(&self) -> bool {
        let mut deeds = replication::Regions::deeds(&*self.view).into_iter();
        deeds.all(|deed| {
            let behind = &self.view.behind;
            behind
                .doubt(&self.view.here, &deed, Some(&self.status))
                .is_none()
        })
    }

    /// Sends to the others and receives from them, until the task is dropped or it finds that it
    /// has to end.
    pub async fn send(self: Arc<Self>, world: Arc<World>) {
        let begun = Instant::now();
        loop {
            let next = Instant::now() + SAY_EVERY;
            for node in world.nodes.iter().filter(|n| n.id != self.view.here) {
                if self.send_one(&world, node).await {
                    let here = &self.view.here;
                    world
                        .trace
                        .note(format!("{here}: the later of two processes ends"));
                    return;
                }
                if begun.elapsed() > ASK_FIRST {
                    self.view.serves.store(true, Ordering::SeqCst);
                }
            }
            self.view.serves.store(true, Ordering::SeqCst);
            while Instant::now() < next {
                tokio::time::sleep(LOOK_EVERY).await;
                if self.view.behind.is() && self.has_caught_up() {
                    self.own.lock().is_settled();
                    self.keep();
                    self.view.behind.falls(false);
                    world.history.put_back();
                    let here = &self.view.here;
                    world
                        .trace
                        .note(format!("{here} has what its folder lacked"));
                }
            }
        }
    }

    async fn send_one(&self, world: &World, to: &Node) -> bool {
        let here = &self.view.here;
        let said = {
            let end = self.folder.disk.log_end();
            self.own.lock().says(end, &Key(&self.folder.identity))
        };
        let there = world.net.reaches(here, &to.id).await;
        let told = match to.started().filter(|_| there) {
            Some(other) => other.receive(self, said),
            None => return false,
        };
        world.net.reaches(&to.id, here).await && self.judge(world, told)
    }
}

/// Which disk each start of each region had: what a region says is true of the start that says it.
#[derive(Default)]
pub struct Disks(Mutex<BTreeMap<(RegionId, u64), Arc<Memory>>>);

impl Disks {
    pub fn note(&self, region: &RegionId, instance: u64, disk: &Arc<Memory>) {
        let line = (region.clone(), instance);
        self.0.lock().insert(line, Arc::clone(disk));
    }

    pub fn of(&self, region: &RegionId, instance: u64) -> Option<Arc<Memory>> {
        self.0.lock().get(&(region.clone(), instance)).cloned()
    }
}

impl World {
    /// A region's folder is put back to what it was, or is empty, or is started a second time.
    pub async fn put_back(self: &Arc<Self>, node: &Arc<Node>) {
        if node.backup.lock().is_none() || self.pick(3) == 0 {
            self.trace.note(format!("a backup of {}", node.id));
            *node.backup.lock() = Some(node.folder().backup());
            return;
        }
        match self.pick(6) {
            0 | 1 => self.clone_of(node).await,
            2 if !self.is_home(&node.id) => self.bring(node, &Folder::new(), "emptied").await,
            _ => {
                let backup = node.backup.lock().clone();
                if let Some(backup) = backup {
                    self.bring(node, &backup, "put back").await;
                }
            }
        }
    }

    fn is_home(&self, region: &RegionId) -> bool {
        let mut names = self.buckets.iter();
        names.any(|name| self.registry.deed(name).home == *region)
    }

    async fn bring(self: &Arc<Self>, node: &Arc<Node>, folder: &Folder, how: &str) {
        self.crash(node);
        let before = node.folder();
        let end = before.disk.log_end();
        *node.folder.lock() = folder.in_place_of(end);
        self.trace.note(format!("{} is {how}", node.id));
        self.went_with_a_folder().await;
        let down = 100 + self.random.next_u64() % 3000;
        tokio::time::sleep(Duration::from_millis(down)).await;
        self.start(node).await;
    }

    /// A second process of a region, on a copy of its folder. No client and no region reaches it.
    async fn clone_of(self: &Arc<Self>, node: &Arc<Node>) {
        if self.second.swap(true, Ordering::SeqCst) {
            return;
        }
        let folder = match self.pick(2) {
            0 => node.backup.lock().clone().unwrap_or_else(|| node.folder()),
            _ => node.folder(),
        };
        let end = node.folder().disk.log_end() + self.random.next_u64() % 100_000;
        let folder = folder.in_place_of(end);
        self.trace.note(format!("a second process of {}", node.id));
        self.history.put_back();
        let view = node.view.second(self.random.next_u64());
        let world = Arc::clone(self);
        let (id, clock) = (node.id.clone(), Arc::clone(&node.clock));
        let chance = Some(Arc::new(SeededRandom::new(self.random.next_u64())));
        let running = self.process((&id, &clock), &view, &folder, chance).await;
        let status = running.replication.status();
        let telling = Started::new(&view, &folder, status, clock.now().ms());
        tokio::spawn(async move {
            telling.send(Arc::clone(&world)).await;
            running.end();
            world.second.store(false, Ordering::SeqCst);
            world.history.put_back();
            world
                .trace
                .note(format!("the second process of {id} has ended"));
        });
    }
}
