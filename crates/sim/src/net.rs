//! The ways between regions: they take time, lose questions and answers, break bodies off, and can
//! be cut in one direction or both. And the watch over what leaves a region: after a change of a
//! placement is acknowledged, nothing of the bucket goes to a region that it does not name.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use peer::{BoxBody, Peer, PeerError, Room, RoomLimits, collect};
use replication::{Ask, PROMISE_PATH, Promises, Source, Transport};
use tokio::{task::JoinSet, time::Instant};
use types::{BucketDeed, BucketName, Holding, Random, RegionId, SeededRandom, deed::BoxFuture};

use crate::{registry::place, trace::Trace};

/// The longest answer here.
const ANSWER_MAX: usize = 64 << 20;
/// A piece of a body: small enough to be hashed where it is.
const PIECE: usize = 16 << 10;

/// How long a statement about a start takes.
const STATEMENT: Duration = Duration::from_millis(7);

/// How long it takes until a broken connection is noticed, in seconds: one of these for a run.
const NOTICED: [u64; 4] = [2, 2, 10, 40];

/// What answers in a region, and what it is at.
type Answering = (Source, Arc<Mutex<JoinSet<()>>>);

/// All ways.
pub struct Net {
    /// Chance, for each way by itself: who of several is woken first at one moment is not ours to
    /// say, and must not matter.
    chance: BTreeMap<(RegionId, RegionId), SeededRandom>,
    trace: Arc<Trace>,
    sources: Mutex<BTreeMap<RegionId, Answering>>,
    promises: Mutex<BTreeMap<RegionId, Arc<Promises>>>,
    /// Nothing gets from the first to the second.
    cut: Mutex<BTreeSet<(RegionId, RegionId)>>,
    /// What placements say, once that was acknowledged.
    placed: Mutex<BTreeMap<BucketName, Arc<BucketDeed>>>,
    /// What they are about to say.
    coming: Mutex<BTreeMap<BucketName, Arc<BucketDeed>>>,
    /// At the first, which start of the second asked last.
    heard: Mutex<BTreeMap<(RegionId, RegionId), u64>>,
    /// What should not have been.
    pub leaks: Mutex<Vec<String>>,
    /// Of a hundred questions and answers, so many are lost.
    pub lossy: Mutex<u64>,
    /// How long it takes until a broken connection is noticed.
    noticed: Duration,
}

impl Net {
    pub fn new(regions: &[RegionId], random: &SeededRandom, trace: Arc<Trace>) -> Arc<Self> {
        let ways = regions
            .iter()
            .flat_map(|a| regions.iter().map(move |b| (a.clone(), b.clone())));
        Arc::new(Self {
            chance: ways
                .map(|way| (way, SeededRandom::new(random.next_u64())))
                .collect(),
            trace,
            sources: Mutex::default(),
            promises: Mutex::default(),
            cut: Mutex::default(),
            placed: Mutex::default(),
            coming: Mutex::default(),
            heard: Mutex::default(),
            leaks: Mutex::default(),
            lossy: Mutex::new(2),
            noticed: Duration::from_secs(NOTICED[random.next_u64() as usize % NOTICED.len()]),
        })
    }

    /// A region answers from now on.
    pub fn up(&self, region: &RegionId, source: Source) {
        self.promises(region, source.promises());
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        self.sources.lock().insert(region.clone(), (source, tasks));
    }

    /// Promises are given for it from now on.
    pub fn promises(&self, region: &RegionId, promises: &Arc<Promises>) {
        let promises = Arc::clone(promises);
        self.promises.lock().insert(region.clone(), promises);
    }

    /// It does not any more; what it was at ends.
    pub fn down(&self, region: &RegionId) {
        self.promises.lock().remove(region);
        if let Some((_, tasks)) = self.sources.lock().remove(region) {
            tasks.lock().abort_all();
        }
    }

    /// Cuts the way from one region to another.
    pub fn cut(&self, from: &RegionId, to: &RegionId) {
        self.cut.lock().insert((from.clone(), to.clone()));
    }

    /// Makes all links work again.
    pub fn heal(&self) {
        self.cut.lock().clear();
    }

    /// A placement is about to change: until that is acknowledged both may hold.
    pub fn changing(&self, deed: &Arc<BucketDeed>) {
        let mut coming = self.coming.lock();
        coming.insert(deed.name.clone(), Arc::clone(deed));
    }

    /// A placement is in force: its change was acknowledged.
    pub fn acknowledged(&self, deed: &Arc<BucketDeed>) {
        let mut placed = self.placed.lock();
        placed.insert(deed.name.clone(), Arc::clone(deed));
    }

    /// Whether the way is open in both directions.
    pub fn is_open(&self, one: &RegionId, other: &RegionId) -> bool {
        self.passes(one, other) && self.passes(other, one)
    }

    fn passes(&self, from: &RegionId, to: &RegionId) -> bool {
        !self.cut.lock().contains(&(from.clone(), to.clone()))
    }

    /// Whether what a region says of its starts gets to another; takes its time. Chance is left
    /// out, for what else is under way at this moment.
    pub async fn reaches(&self, from: &RegionId, to: &RegionId) -> bool {
        tokio::time::sleep(STATEMENT).await;
        self.passes(from, to)
    }

    /// From which start of a region another one received something last.
    pub fn heard_last(&self, at: &RegionId, of: &RegionId) -> Option<u64> {
        let heard = self.heard.lock();
        heard.get(&(at.clone(), of.clone())).copied()
    }

    /// Goes from one region to another. What is lost is noticed after a while: peers ask each other
    /// whether they are there.
    async fn travel(
        &self,
        from: &RegionId,
        to: &RegionId,
        chance: &SeededRandom,
    ) -> Result<(), PeerError> {
        let micros = 500 + chance.next_u64() % 40_000;
        let lost = chance.next_u64() % 100 < *self.lossy.lock();
        tokio::time::sleep(Duration::from_micros(micros)).await;
        if lost || !self.passes(from, to) {
            tokio::time::sleep(self.noticed).await;
            return Err(PeerError::Unreachable {
                peer: to.to_string(),
                reason: "nothing comes back".to_owned(),
            });
        }
        Ok(())
    }

    /// Whether an answer of so many bytes may leave.
    fn watch(&self, bucket: &str, what: &str, to: &RegionId, bytes: usize) {
        // Numbers and refusals are no data.
        let numbers = ["copies", "usage", "offer", "gather", "yield"];
        if bytes <= 9 || numbers.iter().any(|number| what.starts_with(number)) {
            return;
        }
        let Ok(name) = BucketName::new(bucket) else {
            return;
        };
        let holds = |deeds: &BTreeMap<BucketName, Arc<BucketDeed>>| {
            let deed = deeds.get(&name);
            deed.is_some_and(|deed| deed.holding(to) != Holding::Nothing)
        };
        if !holds(&self.placed.lock()) && !holds(&self.coming.lock()) {
            let leak = format!("{bytes} bytes of {bucket} ({what}) left for {to}");
            self.trace.note(&leak);
            self.leaks.lock().push(leak);
        }
    }

    async fn exchange(
        self: Arc<Self>,
        (from, second): (RegionId, Option<Arc<SeededRandom>>),
        to: RegionId,
        request: Request<BoxBody>,
    ) -> Result<Response<BoxBody>, PeerError> {
        let unreachable = |why: &str| PeerError::Unreachable {
            peer: to.to_string(),
            reason: why.to_owned(),
        };
        let path = request.uri().path().to_owned();
        let asked = collect(request.into_body(), ANSWER_MAX, Duration::from_secs(5)).await?;
        let chance = |from: &RegionId, to: &RegionId| match &second {
            Some(chance) => &**chance,
            None => &self.chance[&(from.clone(), to.clone())],
        };
        self.travel(&from, &to, chance(&from, &to)).await?;
        if path == PROMISE_PATH {
            let found = self.promises.lock().get(&to).cloned();
            let promises = found.ok_or_else(|| unreachable("it is down"))?;
            let ask = serde_json::from_slice(&asked).map_err(|e| unreachable(&e.to_string()))?;
            let promised = promises.answer(&from, &ask);
            let promised = serde_json::to_vec(&promised);
            self.travel(&to, &from, chance(&to, &from)).await?;
            let promised = promised.map_err(|e| unreachable(&e.to_string()))?;
            return Ok(Response::new(peer::full(promised)));
        }
        let found = self.sources.lock().get(&to).cloned();
        let (source, tasks) = found.ok_or_else(|| unreachable("it is down"))?;
        let ask: Ask = serde_json::from_slice(&asked).map_err(|e| unreachable(&e.to_string()))?;
        let bucket = ask.bucket.clone();
        let what = format!("{:?}", ask.what).to_lowercase();
        let (answered, answer) = tokio::sync::oneshot::channel();
        let (net, asker, to_here) = (Arc::clone(&self), from.clone(), to.clone());
        let room = Room::new(RoomLimits::default());
        // Whoever asked may go away; the work goes on.
        tasks.lock().spawn(async move {
            let line = (to_here, asker.clone());
            net.heard.lock().insert(line, ask.instance);
            let (head, body) = source.answer(&place(&asker), &room, ask).await.into_parts();
            let body = collect(body, ANSWER_MAX, Duration::from_secs(30)).await;
            if let (true, Ok(body)) = (head.status.is_success(), &body) {
                net.watch(&bucket, &what, &asker, body.len());
            }
            drop(answered.send((head, body)));
        });
        let (head, body) = answer.await.map_err(|_| unreachable("it went down"))?;
        self.travel(&to, &from, chance(&to, &from)).await?;
        let body = pieces(body, chance(&to, &from));
        Ok(Response::from_parts(head, body))
    }
}

/// A body in pieces, which may break off.
fn pieces(body: Result<Bytes, PeerError>, chance: &SeededRandom) -> BoxBody {
    let mut pieces: Vec<Result<_, peer::BoxError>> = Vec::new();
    match body {
        Err(error) => pieces.push(Err(error.into())),
        Ok(mut bytes) => {
            if bytes.len() > PIECE && chance.next_u64().is_multiple_of(10) {
                bytes.truncate(chance.next_u64() as usize % bytes.len());
                pieces.push(Err("the way broke".into()));
            }
            let mut whole = Vec::new();
            while !bytes.is_empty() {
                let piece = bytes.split_to(PIECE.min(bytes.len()));
                whole.push(Ok(piece));
            }
            whole.append(&mut pieces);
            pieces = whole;
        }
    }
    let frames = Pieces(pieces.into());
    frames.boxed_unsync()
}

struct Pieces(VecDeque<Result<Bytes, peer::BoxError>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = peer::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, peer::BoxError>>> {
        Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
    }
}

/// The way out of one region.
pub struct Way {
    pub net: Arc<Net>,
    pub here: RegionId,
    /// Chance of a second process of the region: it may ask in the same moment as the first.
    pub second: Option<Arc<SeededRandom>>,
}

impl Transport for Way {
    fn ask<'a>(
        &'a self,
        within: Duration,
        to: &'a Peer,
        request: Request<BoxBody>,
    ) -> BoxFuture<'a, Result<Response<BoxBody>, PeerError>> {
        Box::pin(async move {
            let net = Arc::clone(&self.net);
            let from = (self.here.clone(), self.second.clone());
            let until = Instant::now() + within;
            let exchange = net.exchange(from, to.region.clone(), request);
            match tokio::time::timeout_at(until, exchange).await {
                Ok(answer) => answer,
                Err(_) => Err(PeerError::Deadline("an answer")),
            }
        })
    }
}
