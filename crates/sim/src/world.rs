//! A run: regions come up, clients work, things go wrong, all works again, and the checks look.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use objects::Objects;
use parking_lot::Mutex;
use replication::{Regions, Replication, Status};
use store::Engine;
use tokio::{task::JoinHandle, time::Instant};
use types::{
    AccountId, BucketDeed, BucketId, BucketName, Clock, Holding, Placement, Random, RegionId,
    Replica, SeededRandom, Timestamp, Writes,
};

use crate::{
    checks, clients,
    disk::{Process, used_by},
    leases,
    net::{Net, Way},
    poison,
    registry::{KEEPER, PROMISE, Registry, View},
    starts::{Disks, Folder, Started},
    trace::Trace,
};

/// When a run begins.
pub const BEGIN_MS: u64 = 1_800_000_000_000;
/// How long clients work and things go wrong.
const WORK: Duration = Duration::from_secs(40);
/// How long regions may take to become equal once all works again.
const SETTLE: Duration = Duration::from_secs(400);
/// The home at first, and two replicas.
pub const REGIONS: [&str; 3] = ["one", "two", "three"];

/// The account that owns all buckets.
pub fn owner() -> AccountId {
    AccountId::new("1")
}

/// A region's clock: simulated time, and how far it is off.
pub struct RegionClock {
    begin: Instant,
    off_ms: AtomicI64,
}

impl Clock for RegionClock {
    fn now(&self) -> Timestamp {
        let passed = self.begin.elapsed().as_millis() as u64;
        let off = self.off_ms.load(Ordering::SeqCst);
        Timestamp::from_ms((BEGIN_MS + passed).saturating_add_signed(off))
    }
}

/// What runs in a region.
pub struct Running {
    pub objects: Arc<Objects>,
    pub replication: Arc<Replication>,
    process: Arc<Process>,
    started: Option<Arc<Started>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// It ends, in the midst of whatever it does.
    pub fn end(self) {
        self.process.end();
        for task in self.tasks {
            task.abort();
        }
    }
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Processes end, links are cut, clocks are off, homes are lost, replicas come and go.
    Ordinary,
    /// Folders are put back to an older state, emptied, and started twice as well.
    PutBack,
    /// A region sends versions that are years ahead of their time, in a bucket of its own.
    Poisoned,
}

/// A region: what stays, and what runs unless it is down.
pub struct Node {
    pub id: RegionId,
    pub view: Arc<View>,
    pub folder: Mutex<Folder>,
    /// What it was at some time.
    pub backup: Mutex<Option<Folder>>,
    pub clock: Arc<RegionClock>,
    pub running: Mutex<Option<Running>>,
}

impl Node {
    /// What answers clients, unless the region is down.
    pub fn objects(&self) -> Option<Arc<Objects>> {
        let running = self.running.lock();
        running.as_ref().map(|r| Arc::clone(&r.objects))
    }

    /// What it knows of replicas, unless it is down.
    pub fn status(&self) -> Option<Arc<Status>> {
        let running = self.running.lock();
        running.as_ref().map(|r| Arc::clone(r.replication.status()))
    }

    /// Its start, as it is sent to others.
    pub fn started(&self) -> Option<Arc<Started>> {
        let running = self.running.lock();
        running.as_ref().and_then(|r| r.started.clone())
    }

    pub fn folder(&self) -> Folder {
        self.folder.lock().clone()
    }

    pub fn engine(&self) -> Engine {
        self.folder().disk.into_engine()
    }
}

/// All of it.
pub struct World {
    pub nodes: Vec<Arc<Node>>,
    pub registry: Registry,
    pub net: Arc<Net>,
    pub trace: Arc<Trace>,
    pub buckets: Vec<BucketName>,
    pub seats: leases::Seats,
    pub history: clients::History,
    /// What each start had.
    pub disks: Disks,
    /// A second process of some region runs.
    pub second: AtomicBool,
    pub random: SeededRandom,
    scenario: Scenario,
}

/// What came of a run.
pub struct Outcome {
    /// Of all events: the same for the same seed.
    pub hash: u64,
    /// What the checks found; empty when all is well.
    pub findings: Vec<String>,
    /// The last events.
    pub tail: Vec<String>,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
}

/// One run of a seed, on a runtime of its own.
pub fn run(seed: u64, scenario: Scenario) -> Outcome {
    digest::hash_here();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing that could be missing");
    runtime.block_on(simulate(seed, scenario))
}

fn deeds(random: &SeededRandom) -> Vec<Arc<BucketDeed>> {
    let deed = |n: u64, name: &str| {
        let replica = |region: &&str| Replica {
            region: RegionId::new(region),
            sealed_by: None,
        };
        let writes = match random.next_u64().is_multiple_of(2) {
            true => Writes::Any,
            false => Writes::Home,
        };
        let mut replicas: Vec<Replica> = REGIONS[1..].iter().map(replica).collect();
        replicas.sort();
        Arc::new(BucketDeed {
            id: BucketId(n),
            name: BucketName::new(name).expect("a name by the rules"),
            owner: owner(),
            home: RegionId::new(REGIONS[0]),
            created: Timestamp::from_ms(BEGIN_MS),
            epoch: 1,
            placement: Placement {
                replicas,
                writes,
                ..Placement::default()
            },
        })
    };
    vec![deed(11, "plain"), deed(12, "kept")]
}

/// All regions, none of which runs yet.
fn world(seed: u64, scenario: Scenario) -> Arc<World> {
    let trace = Arc::new(Trace::new());
    let random = SeededRandom::new(seed);
    let deeds = deeds(&random);
    let buckets = deeds.iter().map(|d| d.name.clone()).collect();
    let deeds = match scenario {
        Scenario::Poisoned => [deeds, vec![poison::deed()]].concat(),
        Scenario::Ordinary | Scenario::PutBack => deeds,
    };
    let mut regions = REGIONS.map(RegionId::new).to_vec();
    regions.push(RegionId::new(KEEPER));
    let net = Net::new(&regions, &random, Arc::clone(&trace));
    for deed in &deeds {
        net.acknowledged(deed);
    }
    let begin = Instant::now();
    let node = |id: &&str| {
        let id = RegionId::new(id);
        Arc::new(Node {
            view: View::new(id.clone(), &deeds),
            folder: Mutex::new(Folder::new()),
            backup: Mutex::default(),
            clock: Arc::new(RegionClock {
                begin,
                off_ms: AtomicI64::new(random.next_u64() as i64 % 400),
            }),
            running: Mutex::new(None),
            id,
        })
    };
    let nodes: Vec<_> = REGIONS.iter().map(node).collect();
    let views = nodes.iter().map(|n| Arc::clone(&n.view)).collect();
    Arc::new(World {
        registry: Registry::new(views, &deeds, Arc::clone(&net), &random, Arc::clone(&trace)),
        nodes,
        net,
        trace,
        buckets,
        seats: leases::Seats::default(),
        history: clients::History::default(),
        disks: Disks::default(),
        second: AtomicBool::new(false),
        random,
        scenario,
    })
}

async fn simulate(seed: u64, scenario: Scenario) -> Outcome {
    let world = world(seed, scenario);
    for node in &world.nodes {
        world.start(node).await;
    }
    clients::keep_versions(&world).await;
    let seats = tokio::spawn(leases::watch(Arc::clone(&world)));
    let mut working = Vec::new();
    for n in 0..4 {
        let world = Arc::clone(&world);
        let random = SeededRandom::new(world.random.next_u64());
        working.push(tokio::spawn(async move {
            clients::work(&world, n, &random, Instant::now() + WORK).await;
        }));
    }
    let until = Instant::now() + WORK;
    let setting = Arc::clone(&world);
    working.push(tokio::spawn(async move {
        let random = SeededRandom::new(!seed);
        clients::configure(&setting, &random, until).await;
    }));
    let watching = checks::watch_status(Arc::clone(&world), until);
    working.push(tokio::spawn(watching));
    if scenario == Scenario::Poisoned {
        let random = SeededRandom::new(world.random.next_u64());
        let making = poison::work(Arc::clone(&world), random, until);
        working.push(tokio::spawn(making));
    }
    world.go_wrong(until).await;
    for one in working {
        one.await.expect("neither a client nor the watch panics");
    }
    seats.abort();
    world.heal().await;
    let mut findings = checks::settled(&world, Instant::now() + SETTLE).await;
    findings.extend(checks::all(&world).await);
    findings.extend(leases::one_decides(&world));
    if scenario == Scenario::Poisoned {
        findings.extend(poison::findings(&world).await);
    }
    Outcome {
        hash: world.trace.hash(),
        tail: world.trace.tail(),
        acknowledged: world.history.acknowledged(),
        findings,
    }
}

impl World {
    /// How long it runs.
    pub fn since_begin(&self) -> Duration {
        self.nodes
            .first()
            .map_or(Duration::ZERO, |node| node.clock.begin.elapsed())
    }

    /// A region's process begins, on the disk that it has.
    pub async fn start(self: &Arc<Self>, node: &Arc<Node>) {
        let folder = node.folder();
        let instance = self.random.next_u64();
        node.view.instance.store(instance, Ordering::SeqCst);
        let mut running = self
            .process((&node.id, &node.clock), &node.view, &folder, None)
            .await;
        self.net.up(&node.id, running.replication.source());
        node.view.up.store(true, Ordering::SeqCst);
        if self.scenario == Scenario::PutBack {
            node.view.serves.store(false, Ordering::SeqCst);
            let status = running.replication.status();
            let at = node.clock.now();
            let started = Started::new(&node.view, &folder, status, at.ms());
            let telling = Arc::clone(&started).send(Arc::clone(self));
            running.started = Some(started);
            running.tasks.push(tokio::spawn(telling));
        }
        *node.running.lock() = Some(running);
        self.trace.note(format!("{} is up", node.id));
    }

    /// A process of a region.
    pub async fn process(
        &self,
        (id, clock): (&RegionId, &Arc<RegionClock>),
        view: &Arc<View>,
        folder: &Folder,
        second: Option<Arc<SeededRandom>>,
    ) -> Running {
        let process = Process::new(self.random.next_u64());
        let instance = view.instance.load(Ordering::SeqCst);
        self.disks.note(id, instance, &folder.disk);
        let objects = Arc::new(Objects::new(
            used_by(&Arc::clone(&folder.disk).into_engine(), &process),
            Arc::clone(view) as Arc<dyn types::Deeds>,
            Arc::clone(clock) as Arc<dyn Clock>,
            Arc::new(SeededRandom::new(self.random.next_u64())),
            id.clone(),
        ));
        let recovered = objects.recover_buckets().await;
        recovered.expect("a disk that was not damaged");
        let replication = Replication::new(
            Arc::clone(&objects),
            Arc::clone(view) as Arc<dyn Regions>,
            Way {
                net: Arc::clone(&self.net),
                here: id.clone(),
                second,
            },
            Arc::clone(clock) as Arc<dyn Clock>,
        );
        let keeper = RegionId::new(KEEPER);
        let replication = Arc::new(replication.promising(Some(keeper), PROMISE));
        objects.judged_by(replication.promises().clone());
        let tasks = vec![
            tokio::spawn(Arc::clone(&replication).run()),
            tokio::spawn(Arc::clone(&replication).renew()),
            tokio::spawn(Arc::clone(&replication).take_over()),
        ];
        Running {
            objects,
            replication,
            process,
            started: None,
            tasks,
        }
    }

    /// It ends, in the midst of whatever it does.
    pub fn crash(&self, node: &Node) {
        if let Some(running) = node.running.lock().take() {
            self.net.down(&node.id);
            running.end();
            node.view.up.store(false, Ordering::SeqCst);
            self.trace.note(format!("{} crashes", node.id));
        }
    }

    pub fn pick(&self, n: usize) -> usize {
        self.random.next_u64() as usize % n
    }

    /// Lets things go wrong until then.
    async fn go_wrong(self: &Arc<Self>, until: Instant) {
        while Instant::now() < until {
            let pause = 300 + self.random.next_u64() % 2500;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let (a, b) = (self.pick(3), self.pick(3));
            let (node, other) = (&self.nodes[a], &self.nodes[b]);
            if self.scenario == Scenario::PutBack && self.pick(3) == 0 {
                self.put_back(node).await;
                continue;
            }
            match self.pick(12) {
                0 | 1 => {
                    self.crash(node);
                    let down = 100 + self.random.next_u64() % 4000;
                    tokio::time::sleep(Duration::from_millis(down)).await;
                    self.start(node).await;
                }
                2 | 3 => {
                    self.trace.note(format!("cut {} -> {}", node.id, other.id));
                    self.net.cut(&node.id, &other.id);
                    if self.pick(2) == 0 {
                        self.net.cut(&other.id, &node.id);
                    }
                }
                4 | 5 => {
                    self.trace.note("all links work again");
                    self.net.heal();
                }
                6 => {
                    let off = self.random.next_u64() as i64 % 1800;
                    self.trace.note(format!("{}: {off} ms off", node.id));
                    node.clock.off_ms.store(off, Ordering::SeqCst);
                }
                7 => self.lose_home().await,
                8 => self.replace_copy().await,
                9 | 10 => self.cut_home_off().await,
                _ => self.other_writes().await,
            }
        }
    }

    /// A bucket's home goes down, and a replica takes its place; it comes back later.
    async fn lose_home(self: &Arc<Self>) {
        let name = &self.buckets[self.pick(self.buckets.len())];
        let home = self.registry.deed(name).home.clone();
        let Some(node) = self.nodes.iter().find(|node| node.id == home) else {
            return;
        };
        self.crash(node);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let at = self.pick(8);
        let moving = async {
            if let Some((before, number)) = self.registry.promote(name, at).await {
                self.registry.acknowledged(&before, number).await;
            }
        };
        let back = async {
            let down = 500 + self.random.next_u64() % 5000;
            tokio::time::sleep(Duration::from_millis(down)).await;
            self.start(node).await;
        };
        // The change is acknowledged once the lost home has received it too.
        futures_util::future::join(moving, back).await;
    }

    /// A replica is taken away, or given back.
    async fn replace_copy(self: &Arc<Self>) {
        let name = &self.buckets[self.pick(self.buckets.len())];
        let deed = self.registry.deed(name);
        if deed.placement.writes == Writes::Any {
            return;
        }
        let missing = self
            .nodes
            .iter()
            .find(|n| deed.holding(&n.id) == Holding::Nothing);
        if let Some(node) = missing {
            let replica = Replica {
                region: node.id.clone(),
                sealed_by: None,
            };
            let add = |deed: &mut BucketDeed| {
                let added = self.random.next_u64();
                deed.placement.since.insert(replica.region.clone(), added);
                deed.placement.replicas.push(replica);
                deed.placement.replicas.sort();
            };
            return self.registry.change(name, add).await;
        }
        // Only one that has handed over what it alone may have.
        let home = self.nodes.iter().find(|node| node.id == deed.home);
        let home = home.filter(|home| home.view.doubt(&deed).is_none());
        let copies = home.and_then(|home| {
            let running = home.running.lock();
            running
                .as_ref()
                .map(|r| r.replication.status().replicas(&deed))
        });
        let at = self.pick(2);
        let Some(copy) = copies.and_then(|all| all.into_iter().nth(at)) else {
            return;
        };
        if copy.applied.is_some() {
            let remove = |deed: &mut BucketDeed| {
                deed.placement
                    .replicas
                    .retain(|r| *r.region != *copy.region);
            };
            self.registry.change(name, remove).await;
        }
    }

    /// Another way of taking writes.
    async fn other_writes(self: &Arc<Self>) {
        let name = &self.buckets[self.pick(self.buckets.len())];
        self.registry
            .change(name, |deed| {
                deed.placement.writes = match deed.placement.writes {
                    Writes::Any => Writes::Home,
                    Writes::Home => Writes::Any,
                };
                deed.epoch += 1;
            })
            .await;
    }

    /// All is well from here on.
    async fn heal(self: &Arc<Self>) {
        self.trace.note("all works again");
        self.net.heal();
        *self.net.lossy.lock() = 0;
        for node in &self.nodes {
            node.clock.off_ms.store(0, Ordering::SeqCst);
            if node.objects().is_none() {
                self.start(node).await;
            }
        }
    }
}
