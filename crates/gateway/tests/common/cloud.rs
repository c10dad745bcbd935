//! A cloud of several regions in one process: each has a listener, an engine and a directory of its
//! own, and forwards requests to the others over HTTP/2.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use access::{
    Action, Identity, SigningKeys, SystemReason,
    signature::{ChunkLink, HmacKey, Statement},
};
use bytes::Bytes;
use gateway::{AnswerBody, Gateway, GatewayConfig, Parts, PassError, PassedBody, Proven, Regions};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{Request, Response, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use types::{
    AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, Clock, Holding, Jurisdiction,
    ObjectKey, Place, Placement, RegionId, Replica, SystemClock, SystemRandom, body::MemoryBody,
    deed::BoxFuture,
};

use super::{TestDeeds, TestServer, client::Client, keys::TestKeys};

/// Alice's access key and account.
pub const ALICE: &str = "ALICEALICEALICEALICE";
pub const ALICE_ACCOUNT: &str = "000000000001";
/// Bob's access key.
pub const BOB: &str = "BOBBOBBOBBOBBOBBOBBO";

/// Name, country.
pub const REGIONS: [(&str, &str); 5] = [
    ("home-1", "DE"),
    ("copy-1", "FR"),
    ("seal-1", "IT"),
    ("away-1", "ES"),
    ("far-1", "US"),
];

/// What all regions of the test share: the network.
#[derive(Default)]
pub struct Network {
    gateways: Mutex<BTreeMap<RegionId, Arc<Gateway>>>,
    /// Regions that do not answer.
    pub down: Mutex<BTreeSet<String>>,
    /// Regions that take a request and say nothing.
    pub silent: Mutex<BTreeSet<String>>,
    /// Regions of a release that compares nothing with what a read names.
    pub older: Mutex<BTreeSet<String>>,
    /// The buckets about which a proof was asked and found.
    pub asked: Mutex<Vec<String>>,
    /// Keys that are disabled.
    pub disabled: Mutex<BTreeSet<String>>,
    /// Nobody answers who could verify what is relayed.
    pub registry_away: Mutex<bool>,
    /// Buckets whose home may lack something.
    pub doubted: Mutex<BTreeSet<String>>,
    /// Answers break off after so many bytes.
    pub cut: Mutex<Option<usize>>,
    /// Every pass: from, to.
    pub passes: Mutex<Vec<(String, String)>>,
    /// How the last request came that was passed, as its region said.
    pub facts: Mutex<Option<String>>,
    /// The last position that all replicas have applied.
    pub applied: AtomicU64,
    /// Up to where the replica at copy-1 says that it has applied its home's log.
    pub copied: AtomicU64,
    /// The home has not read what clients wrote at replicas.
    pub unread: Mutex<bool>,
}

/// One region's view of the others.
struct Wires {
    here: Place,
    network: Arc<Network>,
}

fn place(region: &str) -> Option<Place> {
    let (name, country) = REGIONS.iter().find(|(name, _)| *name == region)?;
    Some(Place {
        region: RegionId::new(name),
        jurisdiction: Jurisdiction::parse(country)?,
        operator: "own".into(),
    })
}

impl Regions for Wires {
    fn place(&self, region: &RegionId) -> Option<Place> {
        place(region)
    }
    fn nearest(&self, among: &[RegionId]) -> Vec<RegionId> {
        let mut sorted = among.to_vec();
        sorted.sort_unstable();
        sorted
    }
    fn endpoint(&self, region: &RegionId) -> Option<String> {
        Some(format!("s3.{region}.example.com"))
    }
    fn pass<'a>(
        &'a self,
        to: &'a RegionId,
        request: Request<PassedBody>,
    ) -> BoxFuture<'a, Result<Response<AnswerBody>, PassError>> {
        Box::pin(self.network.pass(&self.here, to, request))
    }
    fn prove<'a>(
        &'a self,
        from: &'a RegionId,
        bucket: &'a BucketName,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Proven> {
        let caller = self.network.caller(statement);
        let proven = match (self.network.key(from, statement), caller) {
            (Err(why), caller) => Proven::Unknown { caller, why },
            (Ok(_), None) => Proven::Nobody,
            (Ok(Some(key)), Some(caller)) if statement.is_proven_by(&key) => {
                self.network.asked.lock().push(bucket.to_string());
                Proven::Caller(caller)
            }
            (Ok(_), Some(_)) => Proven::Forged,
        };
        Box::pin(std::future::ready(proven))
    }
    fn prove_chunks<'a>(
        &'a self,
        from: &'a RegionId,
        _: &'a BucketName,
        statement: &'a Statement,
        previous: &'a str,
        links: &'a [ChunkLink],
    ) -> BoxFuture<'a, Result<bool, String>> {
        let key = self.network.key(from, statement);
        let proven = key
            .map(|key| key.is_some_and(|key| statement.chunks_are_proven_by(key, previous, links)));
        Box::pin(std::future::ready(proven))
    }
    fn home_doubt(&self, deed: &BucketDeed) -> Option<String> {
        let doubted = self.network.doubted.lock();
        doubted.contains(&*deed.name).then(|| "put back".to_owned())
    }
    fn applied(&self, _deed: &BucketDeed) -> Option<u64> {
        let copied = self.network.copied.load(Ordering::Relaxed);
        (*self.here.region == *REGIONS[1].0).then_some(copied)
    }
    fn until_read_by_home<'a>(
        &'a self,
        _: &'a BucketDeed,
        _: u64,
        _: Duration,
    ) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(!*self.network.unread.lock()))
    }
    fn replicated(&self, _deed: &BucketDeed, position: u64) -> bool {
        position <= self.network.applied.load(Ordering::Relaxed)
    }
}

impl Network {
    /// The key with which a statement that `from` relays must have been made: that of its region.
    fn key(&self, from: &RegionId, statement: &Statement) -> Result<Option<HmacKey>, String> {
        if *self.registry_away.lock() {
            return Err("the registry is away".to_owned());
        }
        let alias = **from == *REGIONS[0].0 && statement.region == "us-east-1";
        if *statement.region != **from && !alias {
            return Ok(None);
        }
        let scope = RegionId::new(&statement.region);
        let key = TestKeys.signing_key(&statement.access_key, &statement.day, &scope, "s3");
        Ok(key.map(|key| key.key))
    }

    /// The holder of the key that a statement names, if that is live.
    fn caller(&self, statement: &Statement) -> Option<Identity> {
        if self.disabled.lock().contains(&statement.access_key) {
            return None;
        }
        let scope = RegionId::new(&statement.region);
        let key = TestKeys.signing_key(&statement.access_key, &statement.day, &scope, "s3")?;
        Some(Identity::Key {
            access_key: AccessKeyId::new(&statement.access_key),
            account: key.account,
            kind: key.kind,
            guard: key.guard,
            who: key.who,
        })
    }

    /// Sends a request from one region to another.
    pub async fn pass<B>(
        &self,
        from: &Place,
        to: &RegionId,
        request: Request<B>,
    ) -> Result<Response<AnswerBody>, PassError>
    where
        B: http_body::Body<Data = Bytes, Error = io::Error> + Send + Unpin + 'static,
    {
        let names = (from.region.to_string(), to.to_string());
        self.passes.lock().push(names);
        let facts = request.headers().get("x-dhow-facts");
        *self.facts.lock() = facts.map(|facts| facts.to_str().unwrap().to_owned());
        if self.down.lock().contains(&**to) {
            return Err(PassError::Unreachable("down".to_owned()));
        }
        if self.silent.lock().contains(&**to) {
            std::future::pending::<()>().await;
        }
        let gateway = Arc::clone(&self.gateways.lock()[to]);
        let (near, far) = tokio::io::duplex(64 << 10);
        let from = from.clone();
        let service = service_fn(move |request| {
            let (gateway, from) = (gateway.clone(), from.clone());
            async move { Ok::<_, Infallible>(gateway.respond_forwarded(from, request).await) }
        });
        let server = http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(far), service));
        let client =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near));
        let broken = |error: hyper::Error| PassError::Broken(error.to_string());
        let (mut sender, connection) = client.await.map_err(broken)?;
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        if self.older.lock().contains(&**to) {
            parts.headers.remove("x-dhow-at-least");
        }
        parts.uri = format!("http://{to}{}", parts.uri).parse().unwrap();
        let answer = sender.send_request(Request::from_parts(parts, body)).await;
        let answer = answer.map_err(broken)?;
        let left = self.cut.lock().unwrap_or(usize::MAX);
        Ok(answer.map(|body| Cut { body, left }.boxed_unsync()))
    }
}

/// An answer that breaks off.
struct Cut {
    body: hyper::body::Incoming,
    left: usize,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let len = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref());
        self.left = self.left.saturating_sub(len.map_or(0, Bytes::len));
        Poll::Ready(frame.map(|f| f.map_err(io::Error::other)))
    }
    fn is_end_stream(&self) -> bool {
        self.left > 0 && self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The regions of [`REGIONS`].
pub struct Cloud {
    pub network: Arc<Network>,
    servers: BTreeMap<&'static str, (TestServer, Arc<TestDeeds>)>,
}

impl Cloud {
    /// Opens every region; buckets with their home anywhere can be created in the first.
    pub async fn open() -> Self {
        Self::patient(GatewayConfig::default().forward_idle).await
    }

    /// The same; gateways wait so long for a region that sends nothing.
    pub async fn patient(forward_idle: Duration) -> Self {
        let network = Arc::new(Network::default());
        let mut servers = BTreeMap::new();
        for (name, _) in REGIONS {
            let here = place(name).unwrap();
            let deeds = Arc::new(TestDeeds::default());
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let objects = objects::Objects::new(
                store::memory::Memory::engine(),
                deeds.clone(),
                clock.clone(),
                Arc::new(SystemRandom),
                here.region.clone(),
            );
            let mut registry = Registry::default();
            let wires = Wires {
                here: here.clone(),
                network: Arc::clone(&network),
            };
            let parts = Parts {
                objects: Arc::new(objects),
                deeds: deeds.clone(),
                keys: Arc::new(TestKeys),
                clock,
                random: Arc::new(SystemRandom),
                place: here.clone(),
                regions: Some(Arc::new(wires)),
                any_location: name == REGIONS[0].0,
                config: GatewayConfig {
                    region_aliases: match name == REGIONS[0].0 {
                        true => vec!["us-east-1".to_owned()],
                        false => Vec::new(),
                    },
                    forward_idle,
                    ..GatewayConfig::default()
                },
            };
            let gateway = Arc::new(Gateway::new(parts, &mut registry));
            let listed = Arc::clone(&gateway);
            network.gateways.lock().insert(here.region, listed);
            servers.insert(name, (TestServer::serve(gateway, registry), deeds));
        }
        Self { network, servers }
    }

    /// The gateway of a region.
    pub fn server(&self, region: &str) -> &TestServer {
        &self.servers[region].0
    }

    /// The directory of a region.
    pub fn deeds(&self, region: &str) -> &TestDeeds {
        &self.servers[region].1
    }

    /// A caller of a region.
    pub fn at(&self, region: &str, access_key: &str) -> Client {
        Client::in_region(self.server(region).address, access_key, region)
    }

    /// Alice's bucket at home-1 with a replica at copy-1 and a sealed one at seal-1, known
    /// everywhere.
    pub fn bucket(&self, name: &str, change: impl FnOnce(&mut BucketDeed)) -> BucketDeed {
        let replica = |region: &str, sealed_by: Option<&str>| Replica {
            region: RegionId::new(region),
            sealed_by: sealed_by.map(RegionId::new),
        };
        let number = name.bytes().fold(7u64, |n, b| n * 31 + u64::from(b));
        let mut deed = BucketDeed {
            id: BucketId(number),
            name: BucketName::new(name).unwrap(),
            owner: AccountId::new(ALICE_ACCOUNT),
            home: RegionId::new("home-1"),
            created: SystemClock.now(),
            epoch: 1,
            placement: Placement {
                replicas: vec![replica("copy-1", None), replica("seal-1", Some("home-1"))],
                ..Placement::default()
            },
        };
        change(&mut deed);
        for (_, deeds) in self.servers.values() {
            deeds.learn(&deed);
        }
        deed
    }

    /// Puts an object into a region as replication would; where the bucket is not placed, as if it
    /// had been placed there before.
    pub async fn plant(&self, region: &str, deed: &BucketDeed, key: &str, bytes: &str) {
        let mut held = deed.clone();
        let id = RegionId::new(region);
        if deed.holding(&id) == Holding::Nothing {
            held.placement.replicas.push(Replica {
                region: id,
                sealed_by: None,
            });
        }
        self.deeds(region).learn(&held);
        self.put_at(region, held, key, bytes).await;
        self.deeds(region).learn(deed);
    }

    async fn put_at(&self, region: &str, deed: BucketDeed, key: &str, bytes: &str) {
        let deed = Arc::new(deed);
        let permit = access::authorize_system(SystemReason::Recovery, Action::PutObject, &deed);
        let input = objects::PutInput {
            body: Box::new(MemoryBody::new(Bytes::from(bytes.to_owned()))),
            attributes: objects::ObjectAttributes::default(),
            md5: None,
            checksum: None,
            trailer: None,
            conditions: objects::WriteConditions::default(),
        };
        let objects = &self.server(region).gateway.objects;
        let key = ObjectKey::new(key).unwrap();
        objects.put(&permit, &key, input).await.unwrap();
    }

    /// The passes since the last time this was asked, as `from>to`.
    pub fn passes(&self) -> Vec<String> {
        let passes = std::mem::take(&mut *self.network.passes.lock());
        passes
            .iter()
            .map(|(from, to)| format!("{from}>{to}"))
            .collect()
    }
}

/// A region's place.
pub fn place_of(region: &str) -> Place {
    place(region).unwrap()
}

/// What a customer sends to the listener of a region.
pub struct Customer<'a> {
    pub access_key: &'a str,
    /// For which region the key is derived.
    pub scope: &'a str,
    pub host: &'a str,
    pub method: &'a str,
    pub target: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub payload: &'a str,
    /// When, in seconds from now.
    pub at: i64,
}

impl Default for Customer<'_> {
    fn default() -> Self {
        Self {
            access_key: ALICE,
            scope: "copy-1",
            host: "s3.copy-1.example.com",
            method: "GET",
            target: "/papers/k",
            headers: &[],
            payload: access::signature::EMPTY_SHA256,
            at: 0,
        }
    }
}

impl Customer<'_> {
    pub fn signed(&self) -> (access::sign::Signer, access::sign::Headers) {
        let secret: String = self.access_key.chars().rev().collect();
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let unsigned = access::sign::Unsigned {
            method: self.method,
            host: self.host,
            path,
            query,
            headers: self.headers,
            payload: self.payload,
        };
        let now = SystemClock.now().ms().saturating_add_signed(self.at * 1000);
        let mut signer = access::sign::Signer::new(self.access_key, &secret, self.scope);
        let signed = signer.sign(&unsigned, types::Timestamp::from_ms(now));
        (signer, signed)
    }

    /// The head as a region relays it, written without any of the code that reads it.
    pub fn head(&self) -> String {
        self.head_of(&self.signed().1)
    }

    /// The same for a signature that was made before.
    pub fn head_of(&self, signed: &access::sign::Headers) -> String {
        let mut head = format!(
            "{} {}\nhost:{}\nauthorization:{}\nx-amz-date:{}\nx-amz-content-sha256:{}",
            self.method, self.target, self.host, signed.authorization, signed.date, self.payload
        );
        for (name, value) in self.headers {
            head.push_str(&format!("\n{name}:{value}"));
        }
        head
    }
}

/// A request between regions with this head.
pub fn relaying(head: &str, body: impl Into<Bytes>) -> Request<AnswerBody> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let body = http_body_util::Full::new(body.into()).map_err(|e| match e {});
    Request::post("/dhow/v1/pass")
        .header("x-dhow-head", STANDARD.encode(head))
        .body(body.boxed_unsync())
        .unwrap()
}
