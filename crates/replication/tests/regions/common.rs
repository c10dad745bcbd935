//! A cloud of regions: what each knows of the bucket is set by the test, region by region.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use access::{Action, Permit, SystemReason, authorize_system};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use objects::{
    DisplayVersion, GetRequest, ObjectAttributes, ObjectContent, Objects, PutInput, Shipped,
    Versioning, WriteConditions,
};
use parking_lot::{Mutex, RwLock};
use peer::{
    Authority, BoxBody, Caller, Client, Credentials, Handler, Identity, Room, Tls, collect, full,
    testing::{FaultProxy, Link},
};
use replication::{
    ASK_BYTES_MAX, Ask, Divergence, Far, FarLeases, MayRemove, OnWordOf, Regions, ReplicaState,
    Replication, Source, What,
};
use seal::SealingKey;
use store::{Engine, PartitionId, Position, memory::Memory};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use types::{
    AccountId, BucketDeed, BucketId, BucketName, Clock, Jurisdiction, NewDeed, ObjectKey, Place,
    Placement, RegionId, Replica, SeededRandom, SystemClock, TestClock, Timestamp,
    body::MemoryBody,
    deed::{BoxFuture, DeedError, Deeds},
};

pub const NOW: u64 = 1_800_000_000_000;
pub const ID: BucketId = BucketId(7);
/// The longest that a condition may take to come true.
pub const WITHIN: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

pub fn key(at: &str) -> ObjectKey {
    ObjectKey::new(at).unwrap()
}

/// Bytes that do not compress and differ from seed to seed.
pub fn large(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

/// The bucket's deed with this home and these replicas.
pub fn deed(home: &str, copies: &[&str], epoch: u64) -> Arc<BucketDeed> {
    let replica = |region: &&str| Replica {
        region: RegionId::new(region),
        sealed_by: None,
    };
    Arc::new(BucketDeed {
        id: ID,
        name: BucketName::new("papers").unwrap(),
        owner: AccountId::new("1"),
        home: RegionId::new(home),
        created: Timestamp::default(),
        epoch,
        placement: Placement {
            replicas: copies.iter().map(replica).collect(),
            ..Placement::default()
        },
    })
}

/// As `deed`, and the replica in `sealed` is sealed by the home.
pub fn deed_sealed(home: &str, copies: &[&str], sealed: &str, epoch: u64) -> Arc<BucketDeed> {
    let mut deed = BucketDeed::clone(&deed(home, copies, epoch));
    for replica in &mut deed.placement.replicas {
        if *replica.region == *sealed {
            replica.sealed_by = Some(RegionId::new(home));
        }
    }
    Arc::new(deed)
}

/// As `deed`, for these jurisdictions alone.
pub fn deed_within(home: &str, copies: &[&str], lands: &[&str]) -> Arc<BucketDeed> {
    let mut deed = BucketDeed::clone(&deed(home, copies, 1));
    let lands = lands.iter().map(|l| Jurisdiction::parse(l).unwrap());
    deed.placement.jurisdictions = lands.collect();
    Arc::new(deed)
}

/// Waits until the condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < WITHIN, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[derive(Default)]
struct Shared {
    places: BTreeMap<RegionId, Place>,
    addresses: RwLock<BTreeMap<RegionId, String>>,
}

/// What one region knows.
pub struct View {
    here: RegionId,
    shared: Arc<Shared>,
    deed: RwLock<Option<Arc<BucketDeed>>>,
    /// Other buckets than the one that tests are about.
    pub others: RwLock<Vec<Arc<BucketDeed>>>,
    changed: watch::Sender<u64>,
    pub reports: Mutex<Vec<Divergence>>,
    /// What the registry says about rows that are not placed here.
    pub removal: Mutex<MayRemove>,
    removal_asked: AtomicUsize,
    /// The registry does not answer.
    pub away: AtomicBool,
    /// What is on record as removed because another region reported it.
    pub on_word: Mutex<Vec<OnWordOf>>,
    /// Why it is not to act as the home.
    pub doubt: Mutex<Option<String>>,
    /// Receipts: so many rows were removed.
    pub removed: Mutex<Vec<u64>>,
    /// Which of the region's starts runs.
    pub instance: AtomicU64,
    /// Its folder was put back to an older state, and it knows that.
    pub lacks: AtomicBool,
}

impl View {
    /// The region receives a deed.
    pub fn hears(&self, deed: &Arc<BucketDeed>) {
        *self.deed.write() = Some(Arc::clone(deed));
        self.changed.send_modify(|n| *n += 1);
    }
    /// How often it was asked whether rows are to be removed.
    pub fn asked(&self) -> usize {
        self.removal_asked.load(Ordering::SeqCst)
    }
    pub fn now(&self) -> Arc<BucketDeed> {
        self.deed.read().clone().unwrap()
    }
}

impl Regions for View {
    fn here(&self) -> Place {
        self.shared.places[&self.here].clone()
    }
    fn instance(&self) -> u64 {
        self.instance.load(Ordering::SeqCst)
    }
    fn home_doubt(&self, _: &BucketDeed) -> Option<String> {
        self.doubt.lock().clone()
    }
    fn lacks(&self, _: &BucketDeed) -> bool {
        self.lacks.load(Ordering::SeqCst)
    }
    fn place(&self, region: &RegionId) -> Option<Place> {
        self.shared.places.get(region).cloned()
    }
    fn address(&self, region: &RegionId) -> Option<String> {
        self.shared.addresses.read().get(region).cloned()
    }
    fn deed(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        let found = self.deed.read().clone().filter(|d| d.name == *name);
        let others = self.others.read();
        found.or_else(|| others.iter().find(|d| d.name == *name).cloned())
    }
    fn deeds(&self) -> Vec<Arc<BucketDeed>> {
        let (one, others) = (self.deed.read(), self.others.read());
        one.iter().chain(others.iter()).cloned().collect()
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
    fn may_remove<'a>(&'a self, _: &'a BucketDeed) -> BoxFuture<'a, MayRemove> {
        self.removal_asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.removal.lock().clone();
        Box::pin(std::future::ready(answer))
    }
    fn removed_on_word<'a>(&'a self, removed: &'a OnWordOf) -> BoxFuture<'a, bool> {
        let here = !self.away.load(Ordering::SeqCst);
        if here {
            self.on_word.lock().push(removed.clone());
        }
        Box::pin(std::future::ready(here))
    }
    fn removed<'a>(&'a self, _: &'a BucketDeed, rows: u64) -> BoxFuture<'a, bool> {
        self.removed.lock().push(rows);
        Box::pin(std::future::ready(true))
    }
    fn report(&self, divergence: Divergence) -> BoxFuture<'_, ()> {
        self.reports.lock().push(divergence);
        Box::pin(async {})
    }
}

impl Deeds for View {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        Regions::deed(self, name)
    }
    fn list(&self, _: &AccountId, _: &str, _: Option<&str>, _: usize) -> Vec<Arc<BucketDeed>> {
        self.deeds()
    }
    fn all(&self) -> Vec<Arc<BucketDeed>> {
        self.deeds()
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

/// Answers in place of the source when it answers at all.
pub type Hook = Arc<dyn Fn(&RegionId, &Ask) -> Option<Response<BoxBody>> + Send + Sync>;

/// What a region was asked: who, and what.
#[derive(Default)]
pub struct Door {
    source: RwLock<Option<Arc<Source>>>,
    pub hook: RwLock<Option<Hook>>,
    pub bodies: Mutex<Vec<(RegionId, String, u64)>>,
    pub versions: Mutex<Vec<(RegionId, String)>>,
    places: BTreeMap<RegionId, Place>,
}

fn status(status: StatusCode) -> Response<BoxBody> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = status;
    answer
}

#[async_trait]
impl Handler for Door {
    async fn handle(
        &self,
        from: Caller,
        room: Room,
        request: Request<Incoming>,
    ) -> Response<BoxBody> {
        let Caller::Region(from) = from else {
            return status(StatusCode::FORBIDDEN);
        };
        let promise = request.uri().path() == replication::PROMISE_PATH;
        let Ok(bytes) = collect(request.into_body(), ASK_BYTES_MAX, WITHIN).await else {
            return status(StatusCode::BAD_REQUEST);
        };
        if promise {
            let source = self.source.read().clone();
            let ask = serde_json::from_slice(&bytes).ok();
            return match source.zip(ask) {
                Some((source, ask)) => {
                    let promised = source.promises().answer(&from, &ask);
                    Response::new(full(serde_json::to_vec(&promised).unwrap()))
                }
                None => status(StatusCode::SERVICE_UNAVAILABLE),
            };
        }
        let Ok(ask) = serde_json::from_slice::<Ask>(&bytes) else {
            return status(StatusCode::BAD_REQUEST);
        };
        match &ask.what {
            What::Body { key, offset, .. } => {
                let asked = (from.clone(), key.clone(), *offset);
                self.bodies.lock().push(asked);
            }
            What::Version { key, .. } => {
                self.versions.lock().push((from.clone(), key.clone()));
            }
            _ => {}
        }
        let hook = self.hook.read().clone();
        if let Some(answer) = hook.and_then(|hook| hook(&from, &ask)) {
            return answer;
        }
        let source = self.source.read().clone();
        match source {
            Some(source) => source.answer(&self.places[&from], &room, ask).await,
            None => status(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

pub struct Region {
    pub id: RegionId,
    pub objects: Arc<Objects>,
    pub engine: Engine,
    pub view: Arc<View>,
    pub client: Client,
    pub door: Arc<Door>,
    /// What others reach this region through.
    pub proxy: FaultProxy,
    pub replication: Arc<Replication>,
    pub clock: Arc<TestClock>,
    running: Option<JoinHandle<()>>,
    serving: JoinHandle<()>,
}

impl Drop for Region {
    fn drop(&mut self) {
        self.serving.abort();
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Starts clouds.
pub struct Cloud;

impl Cloud {
    /// Regions that know of no bucket yet and follow nothing; each is a name and a country.
    pub async fn start(regions: &[(&str, &str)]) -> Vec<Region> {
        Self::start_on(regions, &mut |_| Memory::engine()).await
    }

    /// The same on engines that the caller makes.
    pub async fn start_on(
        regions: &[(&str, &str)],
        engine: &mut dyn FnMut(&str) -> Engine,
    ) -> Vec<Region> {
        let authority = Authority::create("test", SystemClock.now()).unwrap();
        let clock = Arc::new(TestClock::at_ms(NOW));
        let place = |(id, land): &(&str, &str)| {
            let region = RegionId::new(id);
            let jurisdiction = Jurisdiction::parse(land).unwrap();
            let place = Place {
                region: region.clone(),
                jurisdiction,
                // One of this name is run by somebody else.
                operator: match *id {
                    "partner" => "partner".into(),
                    _ => "own".into(),
                },
            };
            (region, place)
        };
        let shared = Arc::new(Shared {
            places: regions.iter().map(place).collect(),
            addresses: RwLock::default(),
        });
        let mut all = Vec::new();
        for (seed, (id, _)) in regions.iter().enumerate() {
            let tls = tls(&authority, id);
            let engine = engine(id);
            all.push(Region::start((id, engine), seed as u64, tls, &shared, &clock).await);
        }
        all
    }

    /// Three regions that hold the bucket, all following.
    pub async fn three() -> [Region; 3] {
        let all = Self::start(&[("a", "DE"), ("b", "FR"), ("c", "IE")]).await;
        let mut all: [Region; 3] = all.try_into().ok().unwrap();
        let deed = deed("a", &["b", "c"], 1);
        for region in &mut all {
            region.view.hears(&deed);
            region.run();
        }
        all
    }

    /// Two regions that hold the bucket; neither follows yet.
    pub async fn two() -> [Region; 2] {
        let all = Self::start(&[("a", "DE"), ("b", "FR")]).await;
        let deed = deed("a", &["b"], 1);
        for region in &all {
            region.view.hears(&deed);
        }
        all.try_into().ok().unwrap()
    }
}

fn tls(authority: &Authority, id: &str) -> Arc<Tls> {
    let (identity, region) = (Identity::create().unwrap(), RegionId::new(id));
    let csr = identity.csr(&region).unwrap();
    let issued = authority
        .issue(&csr, &region, SystemClock.now(), HOUR)
        .unwrap();
    let credentials = Credentials {
        identity,
        certificate: issued.pem,
        authority: authority.certificate_pem(),
        region,
    };
    Tls::with_clock(credentials, Arc::new(SystemClock)).unwrap()
}

impl Region {
    async fn start(
        (id, engine): (&str, Engine),
        seed: u64,
        tls: Arc<Tls>,
        shared: &Arc<Shared>,
        clock: &Arc<TestClock>,
    ) -> Self {
        let id = RegionId::new(id);
        let view = Arc::new(View {
            here: id.clone(),
            shared: Arc::clone(shared),
            deed: RwLock::default(),
            others: RwLock::default(),
            changed: watch::Sender::new(0),
            reports: Mutex::default(),
            removal: Mutex::new(MayRemove::Yes),
            removal_asked: AtomicUsize::new(0),
            away: AtomicBool::default(),
            on_word: Mutex::default(),
            doubt: Mutex::default(),
            removed: Mutex::default(),
            instance: AtomicU64::new(1),
            lacks: AtomicBool::default(),
        });
        let objects = objects(&engine, &view, clock, seed, &id);
        let client = Client::new(Arc::clone(&tls));
        let replication = replication(&objects, &view, &client, clock);
        let door = Arc::new(Door {
            places: shared.places.clone(),
            ..Door::default()
        });
        *door.source.write() = Some(Arc::new(replication.source()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let handler: Arc<dyn Handler> = door.clone();
        let serving = tokio::spawn(peer::serve(listener, tls, handler, std::future::pending()));
        let proxy = FaultProxy::start(&address, Link::default()).await.unwrap();
        shared.addresses.write().insert(id.clone(), proxy.address());
        Self {
            id,
            objects,
            engine,
            view,
            client,
            door,
            proxy,
            replication,
            clock: clock.clone(),
            running: None,
            serving,
        }
    }

    /// Begins to follow.
    pub fn run(&mut self) {
        self.running = Some(tokio::spawn(Arc::clone(&self.replication).run()));
    }

    /// Promises other regions for so long from now on, without any region that keeps a registry.
    pub fn promise_for(&mut self, length: Duration) {
        let anew = replication(&self.objects, &self.view, &self.client, &self.clock);
        let anew = Arc::into_inner(anew).unwrap().promising(None, length);
        self.replication = Arc::new(anew);
        *self.door.source.write() = Some(Arc::new(self.replication.source()));
    }

    /// Ends, and begins anew on the same engine: nothing is left in memory.
    pub async fn stop(&mut self) {
        self.stop_with_leases_of(replication::LEASE_MAX).await;
    }

    /// As `stop`, and leases last no longer than this from then on.
    pub async fn stop_with_leases_of(&mut self, longest: Duration) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
        }
        let seed = self.clock.now().ms();
        self.objects = objects(&self.engine, &self.view, &self.clock, seed, &self.id);
        let leases = FarLeases::new(self.client.clone(), self.view.clone()).lasting(longest);
        self.objects.lease_from(Arc::new(leases));
        self.replication = replication(&self.objects, &self.view, &self.client, &self.clock);
        *self.door.source.write() = Some(Arc::new(self.replication.source()));
    }

    pub fn permit(&self, action: Action) -> Permit {
        authorize_system(SystemReason::Recovery, action, &self.view.now())
    }

    pub async fn versioning(&self) {
        let permit = self.permit(Action::PutBucketVersioning);
        let done = self.objects.set_versioning(&permit, Versioning::Enabled);
        done.await.unwrap();
    }

    pub async fn put(&self, at: &str, bytes: impl Into<Bytes>) -> Option<DisplayVersion> {
        self.clock.advance_ms(1);
        let permit = self.permit(Action::PutObject);
        let input = PutInput {
            body: Box::new(MemoryBody::new(bytes.into())),
            attributes: ObjectAttributes::default(),
            md5: None,
            checksum: None,
            trailer: None,
            conditions: WriteConditions::default(),
        };
        let put = self.objects.put(&permit, &key(at), input).await;
        put.unwrap().version
    }

    /// Deletes a version, or writes a marker.
    pub async fn delete(&self, at: &str, version: Option<DisplayVersion>) {
        self.clock.advance_ms(1);
        let action = match version {
            None => Action::DeleteObject,
            Some(_) => Action::DeleteObjectVersion,
        };
        let none = WriteConditions::default();
        let permit = self.permit(action);
        let deleted = self.objects.delete(&permit, &key(at), version, &none).await;
        deleted.unwrap();
    }

    /// Gives the current version a tag.
    pub async fn tag(&self, at: &str, value: &str) {
        self.clock.advance_ms(1);
        let permit = self.permit(Action::PutObjectTagging);
        let tags = vec![("t".to_owned(), value.to_owned())];
        let at = key(at);
        let tagged = self.objects.set_object_tags(&permit, &at, None, tags);
        tagged.await.unwrap();
    }

    /// The current version's content; `None` when there is none.
    pub async fn get(&self, at: &str) -> Option<Bytes> {
        self.read(at, &GetRequest::default()).await.ok()
    }

    /// What a read answers.
    pub async fn read(&self, at: &str, request: &GetRequest) -> objects::Result<Bytes> {
        let action = match request.version {
            None => Action::GetObject,
            Some(_) => Action::GetObjectVersion,
        };
        let permit = self.permit(action);
        let view = self.objects.get(&permit, &key(at), request).await?;
        match view.content {
            Some(ObjectContent::Bytes(bytes)) => Ok(bytes),
            Some(ObjectContent::Reader(mut reader)) => {
                let mut all = Vec::new();
                while let Some(piece) = reader.next().await? {
                    all.extend_from_slice(&piece);
                }
                Ok(all.into())
            }
            None => Ok(Bytes::new()),
        }
    }

    /// Every version: the current ones in the order of their keys, then the older ones.
    pub async fn versions(&self) -> Vec<Shipped> {
        let permit = self.permit(Action::ReplicateFrom);
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = self.objects.snapshot(&permit, from, 500, usize::MAX).await;
            let page = page.unwrap();
            all.extend(page.versions);
            match page.next {
                Some(next) => from = Some(next),
                None => return all,
            }
        }
    }

    /// Where its log ends.
    pub async fn end(&self) -> Position {
        let permit = self.permit(Action::ReplicateFrom);
        self.objects.head_position(&permit).await.unwrap().0
    }

    pub async fn keys(&self) -> Vec<String> {
        let versions = self.versions().await;
        versions.iter().map(|v| v.key.to_string()).collect()
    }

    /// Rows of the bucket, of any kind.
    pub async fn rows(&self) -> usize {
        let range = store::ScanRange::prefix(b"");
        let found = self.engine.index.scan(PartitionId(ID.0), range, 1_000_000);
        found.await.unwrap().len()
    }

    /// Waits until this region has what `other` has, and nothing else, bytes and all.
    pub async fn equals(&self, other: &Region) {
        let what = format!("{} equals {}", self.id, other.id);
        until(&what, || async {
            self.versions().await == other.versions().await
        })
        .await;
        for version in self.versions().await {
            let here = self.bytes(&version).await;
            assert_eq!(here, other.bytes(&version).await, "{}", version.key);
        }
    }

    /// The bytes that are stored here of a version.
    pub async fn bytes(&self, version: &Shipped) -> Vec<u8> {
        let permit = self.permit(Action::ReplicateFrom);
        let (key, id) = (&version.key, version.version);
        let reader = self.objects.ship_body(&permit, key, id, 0).await;
        let (mut reader, mut all) = (reader.unwrap(), Vec::new());
        while let Some(piece) = reader.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        all
    }

    /// How `of` is reached from here, with this deed.
    pub fn far(&self, of: &Region, deed: &Arc<BucketDeed>) -> Far {
        Far {
            client: Arc::new(self.client.clone()),
            regions: self.view.clone(),
            region: of.id.clone(),
            deed: Arc::clone(deed),
            sealed: false,
            said: Arc::default(),
        }
    }

    /// How often bodies of `key` were asked for here.
    pub fn bodies_asked(&self, key: &str) -> usize {
        let bodies = self.door.bodies.lock();
        bodies.iter().filter(|(_, asked, _)| asked == key).count()
    }

    /// Waits until this region, a replica, has taken its snapshot and follows the log.
    pub async fn follows(&self) {
        until("it follows the log", || async {
            let all = self.replication.status().following();
            all.iter().any(|(_, f)| f.state == ReplicaState::Following)
        })
        .await;
    }

    /// Whether this region, a replica, has noted that half of its snapshot is here.
    pub async fn noted_half(&self, home: &Region) -> bool {
        let permit = self.permit(Action::ReplicateInto);
        let cursor = self.objects.follow_cursor(&permit, &home.id).await.unwrap();
        let row = cursor.and_then(|cursor| cursor.snapshot);
        row.is_some_and(|row| row.starts_with(b"o"))
    }

    /// The last failure of following.
    pub fn failure(&self) -> Option<String> {
        let following = self.replication.status().following();
        following.into_iter().find_map(|(_, f)| f.error)
    }
}

fn replication(
    objects: &Arc<Objects>,
    view: &Arc<View>,
    client: &Client,
    clock: &Arc<TestClock>,
) -> Arc<Replication> {
    objects.lease_from(Arc::new(FarLeases::new(client.clone(), view.clone())));
    // Each region has its own, the same after a restart.
    let mut key = [0; 32];
    key[..view.here.len()].copy_from_slice(view.here.as_bytes());
    let replication = Replication::new(
        Arc::clone(objects),
        view.clone(),
        client.clone(),
        clock.clone(),
    );
    Arc::new(replication.sealing(SealingKey::new(key)))
}

fn objects(
    engine: &Engine,
    view: &Arc<View>,
    clock: &Arc<TestClock>,
    seed: u64,
    id: &RegionId,
) -> Arc<Objects> {
    Arc::new(Objects::new(
        engine.clone(),
        view.clone(),
        clock.clone(),
        Arc::new(SeededRandom::new(seed)),
        id.clone(),
    ))
}
