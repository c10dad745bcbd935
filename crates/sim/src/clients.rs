//! Clients: what they ask for, and what they were answered.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use access::{
    Action, Ask, Context, Facts, Identity, Permit, Proof, Refusal, Resource, SystemReason, Via,
    authorize, authorize_system,
};
use bytes::Bytes;
use objects::{
    DisplayVersion, ETagMatch, GetRequest, ObjectAttributes, ObjectContent, Objects, PutInput,
    Versioning, WriteConditions,
};
use parking_lot::Mutex;
use tokio::time::Instant;
use types::{
    AccessKeyId, Body, BodyError, BucketDeed, BucketName, ObjectKey, Place, Random, RegionId,
    SeededRandom, body::NextChunk,
};

use crate::{
    registry::place,
    world::{Node, World, owner},
};

const KEYS: u64 = 4;
/// Every request is answered in this time: it is acted on in one region.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A piece of a body: small enough to be hashed where it is.
const PIECE: usize = 16 << 10;

/// What a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    Put { content: Bytes },
    Delete,
    DeleteVersion { version: DisplayVersion },
}

/// One write as its client saw it.
#[derive(Debug, Clone)]
pub struct Write {
    pub bucket: BucketName,
    pub key: String,
    pub did: Did,
    pub began: Instant,
    pub ended: Instant,
    pub acknowledged: bool,
    /// The version that the client made, as it was answered.
    pub version: Option<DisplayVersion>,
    /// That it made a key that was not there, decided under this epoch.
    pub claim: Option<u64>,
}

/// The tag of a bucket that a client set.
#[derive(Debug, Clone)]
pub struct Set {
    pub bucket: BucketName,
    pub value: String,
    pub began: Instant,
    pub ended: Instant,
    pub acknowledged: bool,
    /// It went with a folder: nobody else had it.
    pub went: bool,
}

/// All writes, and what reads found that should not be.
#[derive(Default)]
pub struct History {
    pub writes: Mutex<Vec<Write>>,
    pub wrong: Mutex<Vec<String>>,
    /// Writes that went with a folder: nobody else had them.
    pub went: Mutex<BTreeSet<usize>>,
    /// What was set of configurations.
    pub set: Mutex<Vec<Set>>,
    /// When a folder was put back, or one that was copied was in use, for the last time.
    put_back: Mutex<Option<Instant>>,
}

impl History {
    /// A folder is put back now, or a copied one is in use.
    pub fn put_back(&self) {
        *self.put_back.lock() = Some(Instant::now());
    }

    /// Whether that was so after `began`: what was removed before may be back.
    pub fn put_back_since(&self, began: Instant) -> bool {
        self.put_back.lock().is_some_and(|at| at >= began)
    }

    pub fn acknowledged(&self) -> usize {
        self.writes.lock().iter().filter(|w| w.acknowledged).count()
    }
}

/// A body in small pieces.
pub(crate) struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    fn next(&mut self) -> NextChunk<'_> {
        let next = self.0.pop_front().map(Ok::<_, BodyError>);
        Box::pin(std::future::ready(next))
    }
    fn len_hint(&self) -> Option<u64> {
        Some(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

pub(crate) fn pieces(mut content: Bytes) -> Pieces {
    let mut all = VecDeque::new();
    while !content.is_empty() {
        all.push_back(content.split_to(PIECE.min(content.len())));
    }
    Pieces(all)
}

fn identity() -> Identity {
    Identity::Key {
        access_key: AccessKeyId::new("key"),
        account: owner(),
        kind: access::CallerKind::Customer,
        guard: Default::default(),
        who: access::Who::Root,
    }
}

/// Between two tries to configure a bucket.
const PAUSE: Duration = Duration::from_millis(200);

/// What a client asks for.
pub(crate) struct Asked<'a> {
    pub(crate) action: Action,
    pub(crate) key: Option<(&'a ObjectKey, Option<DisplayVersion>)>,
    pub(crate) conditional: bool,
}

impl Asked<'_> {
    /// Of a bucket.
    fn bucket(action: Action) -> Self {
        Self {
            action,
            key: None,
            conditional: false,
        }
    }

    /// What a bucket's home says to it, if this region is that.
    pub(crate) fn at_home(&self, deed: &Arc<BucketDeed>, here: &RegionId) -> Option<Permit> {
        self.of(deed, &place(here), &Via::Client).ok()
    }

    /// What a region says to it.
    fn of(&self, deed: &Arc<BucketDeed>, here: &Place, via: &Via) -> Result<Permit, Refusal> {
        let bucket = &deed.name;
        let ask = Ask {
            principal: &identity(),
            action: self.action,
            resource: match self.key {
                None => Resource::Bucket(bucket),
                Some((key, version)) => Resource::Object {
                    bucket,
                    key,
                    version,
                },
            },
            context: Context {
                conditional: self.conditional,
                ..Context::default()
            },
        };
        let deed = Some(deed);
        authorize(
            &ask,
            &Facts {
                deed,
                access: Some(&access::BucketAccess::default()),
                account_block: access::PublicAccessBlock::NONE,
                here,
                via,
            },
        )
    }
}

/// The bucket `kept` keeps versions.
pub async fn keep_versions(world: &World) {
    let home = &world.nodes[0];
    if let (Some(objects), Some(deed)) = (home.objects(), home.view.deed_of(&world.buckets[1])) {
        let asked = Asked::bucket(Action::PutBucketVersioning);
        let permit = asked.of(&deed, &place(&home.id), &Via::Client);
        let permit = permit.expect("the home configures its bucket");
        // Not before the others have promised the home something.
        for _ in 0..100 {
            match objects.set_versioning(&permit, Versioning::Enabled).await {
                Err(objects::Error::NotNow(_)) => tokio::time::sleep(PAUSE).await,
                done => {
                    done.expect("a new bucket can be configured");
                    break;
                }
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
}

/// The key of the tag that clients give to buckets.
const TAG: &str = "set";

/// The tag among those of a bucket.
pub fn tag_of(tags: &[(String, String)]) -> Option<&str> {
    let found = tags.iter().find(|(key, _)| key == TAG);
    found.map(|(_, value)| value.as_str())
}

/// A client sets tags of buckets until then.
pub async fn configure(world: &Arc<World>, random: &SeededRandom, until: Instant) {
    let mut step = 0u64;
    while Instant::now() < until {
        step += 1;
        let pause = random.next_u64() % 4_000_000;
        tokio::time::sleep(Duration::from_micros(pause)).await;
        let pick = |n: usize| random.next_u64() as usize % n;
        let node = &world.nodes[pick(world.nodes.len())];
        let bucket = &world.buckets[pick(world.buckets.len())];
        let asked = Asked::bucket(Action::PutBucketTagging);
        let admitted = admitted(world, node, bucket, &asked);
        let Some((objects, permit)) = admitted else {
            continue;
        };
        let (value, began) = (step.to_string(), Instant::now());
        let tags = vec![(TAG.to_owned(), value.clone())];
        let setting = objects.set_bucket_tags(&permit, tags);
        let done = tokio::time::timeout(ANSWER_WITHIN, setting).await;
        let acknowledged = matches!(done, Ok(Ok(())));
        let id = &node.id;
        world.trace.note(format!(
            "client at {id}: set {value} {bucket}: {acknowledged}"
        ));
        world.history.set.lock().push(Set {
            bucket: bucket.clone(),
            value,
            began,
            ended: Instant::now(),
            acknowledged,
            went: false,
        });
    }
}

/// Whether clients are answered: a region asks the others first what they remember of it, and a
/// home that lacks something answers nothing.
fn serves(node: &Node, deed: &BucketDeed) -> bool {
    node.view.serves.load(Ordering::SeqCst) && node.view.doubt(deed).is_none()
}

/// Where a request is acted on: at the region that is asked, or at the home, as the gateway
/// forwards it.
fn admitted(
    world: &World,
    asked: &Arc<Node>,
    bucket: &BucketName,
    what: &Asked<'_>,
) -> Option<(Arc<Objects>, Permit)> {
    let deed = asked.view.deed_of(bucket)?;
    let here = place(&asked.id);
    if !serves(asked, &deed) {
        return None;
    }
    match what.of(&deed, &here, &Via::Client) {
        Ok(permit) => asked.objects().map(|objects| (objects, permit)),
        Err(Refusal::NotHome | Refusal::Conditional) => {
            let home = world.nodes.iter().find(|node| node.id == deed.home)?;
            let known = home.view.deed_of(bucket)?;
            if !serves(home, &known) {
                return None;
            }
            let via = Via::Region(here, Proof::Whole);
            let permit = what.of(&known, &place(&home.id), &via);
            home.objects().zip(permit.ok())
        }
        Err(_) => None,
    }
}

/// A client works until then.
pub async fn work(world: &Arc<World>, number: usize, random: &SeededRandom, until: Instant) {
    let mut step = 0u64;
    while Instant::now() < until {
        step += 1;
        let pause = random.next_u64() % 600_000;
        tokio::time::sleep(Duration::from_micros(pause)).await;
        let pick = |n: usize| random.next_u64() as usize % n;
        let node = Arc::clone(&world.nodes[pick(world.nodes.len())]);
        let bucket = world.buckets[pick(world.buckets.len())].clone();
        let key = format!("k{}", random.next_u64() % KEYS);
        let client = Client {
            world,
            node,
            bucket,
            key,
        };
        let (kind, len) = (pick(13), [0, 10, 70_000, 200_000][pick(4)]);
        let conditional = pick(5) == 0;
        let acting = async {
            match kind {
                0..=4 => {
                    let mut content = format!("{number}-{step} ").into_bytes();
                    content.resize(content.len() + len, b'x');
                    client.put(content.into(), conditional).await;
                }
                5 => client.delete().await,
                6 | 7 => client.delete_version(random).await,
                10.. => client.claim(format!("{number}-{step} ").into()).await,
                8 => client.tag(&format!("{number}-{step}")).await,
                _ => client.read().await,
            }
        };
        if tokio::time::timeout(ANSWER_WITHIN, acting).await.is_err() {
            let (node, key) = (&client.node.id, &client.key);
            let wrong = format!("{node} does not answer ({kind}, {key})");
            world.history.wrong.lock().push(wrong);
        }
    }
}

struct Client<'a> {
    world: &'a Arc<World>,
    node: Arc<Node>,
    bucket: BucketName,
    key: String,
}

impl Client<'_> {
    fn name(&self) -> ObjectKey {
        ObjectKey::new(&self.key).expect("a key by the rules")
    }

    /// A permit for the key, or a version of it.
    fn admitted(
        &self,
        action: Action,
        version: Option<DisplayVersion>,
        conditional: bool,
    ) -> Option<(Arc<Objects>, Permit)> {
        let asked = Asked {
            action,
            key: Some((&self.name(), version)),
            conditional,
        };
        admitted(self.world, &self.node, &self.bucket, &asked)
    }

    fn wrote(&self, did: Did, began: Instant, told: Result<Option<DisplayVersion>, String>) {
        self.wrote_as(did, began, told, None);
    }

    fn wrote_as(
        &self,
        did: Did,
        began: Instant,
        told: Result<Option<DisplayVersion>, String>,
        claim: Option<u64>,
    ) {
        let (node, bucket, key) = (&self.node.id, &self.bucket, &self.key);
        let what = match &did {
            Did::Put { content } => {
                let len = content.len().min(12);
                format!("put {:?}", String::from_utf8_lossy(&content[..len]))
            }
            other => format!("{other:?}"),
        };
        let trace = &self.world.trace;
        trace.note(format!("client at {node}: {what} {bucket}/{key}: {told:?}"));
        self.world.history.writes.lock().push(Write {
            bucket: bucket.clone(),
            key: key.clone(),
            did,
            began,
            ended: Instant::now(),
            acknowledged: told.is_ok(),
            version: told.ok().flatten(),
            claim,
        });
    }

    /// Makes a key that all clients try to make at about this time.
    async fn claim(&self, content: Bytes) {
        let seconds = self.world.since_begin().as_secs();
        let client = Client {
            node: Arc::clone(&self.node),
            bucket: self.bucket.clone(),
            key: format!("once{}", seconds / 3),
            ..*self
        };
        client.put(content, true).await;
    }

    async fn put(&self, content: Bytes, conditional: bool) {
        let Some((objects, permit)) = self.admitted(Action::PutObject, None, conditional) else {
            return;
        };
        let began = Instant::now();
        let input = PutInput {
            body: Box::new(pieces(content.clone())),
            attributes: ObjectAttributes::default(),
            md5: None,
            checksum: None,
            trailer: None,
            conditions: WriteConditions {
                if_none_match: conditional.then(|| ETagMatch::parse("*")),
                ..WriteConditions::default()
            },
        };
        let told = objects.put(&permit, &self.name(), input).await;
        if matches!(told, Err(objects::Error::PreconditionFailed(_))) {
            return;
        }
        let told = told.map(|done| done.version).map_err(|e| e.to_string());
        let epoch = permit.deed().map(|deed| deed.epoch);
        let claim = epoch.filter(|_| conditional && self.key.starts_with("once"));
        self.wrote_as(Did::Put { content }, began, told, claim);
    }

    async fn delete(&self) {
        let Some((objects, permit)) = self.admitted(Action::DeleteObject, None, false) else {
            return;
        };
        let began = Instant::now();
        let none = WriteConditions::default();
        let told = objects.delete(&permit, &self.name(), None, &none).await;
        let told = told.map(|done| done.version).map_err(|e| e.to_string());
        self.wrote(Did::Delete, began, told);
    }

    /// Removes a version that was named in an answer to some client.
    async fn delete_version(&self, random: &SeededRandom) {
        let known: Vec<DisplayVersion> = {
            let writes = self.world.history.writes.lock();
            let here = |w: &&Write| w.bucket == self.bucket && w.key == self.key;
            writes
                .iter()
                .filter(here)
                .filter_map(|w| w.version)
                .collect()
        };
        if known.is_empty() {
            return;
        }
        let version = known[random.next_u64() as usize % known.len()];
        let action = Action::DeleteObjectVersion;
        let Some((objects, permit)) = self.admitted(action, Some(version), false) else {
            return;
        };
        // What is not there cannot be removed, and may come later from a region that was away.
        let name = self.name();
        let Some(deed) = permit.deed() else {
            return;
        };
        let looking = authorize_system(SystemReason::Recovery, Action::GetObjectVersion, deed);
        let request = GetRequest {
            version: Some(version),
            ..GetRequest::default()
        };
        match objects.get(&looking, &name, &request).await {
            Ok(_) | Err(objects::Error::DeleteMarker { .. }) => {}
            Err(_) => return,
        }
        let (began, none) = (Instant::now(), WriteConditions::default());
        let told = objects.delete(&permit, &name, Some(version), &none).await;
        let told = told.map(|_| None).map_err(|e| e.to_string());
        self.wrote(Did::DeleteVersion { version }, began, told);
    }

    async fn tag(&self, value: &str) {
        if let Some((objects, permit)) = self.admitted(Action::PutObjectTagging, None, false) {
            let tags = vec![("t".to_owned(), value.to_owned())];
            let done = objects
                .set_object_tags(&permit, &self.name(), None, tags)
                .await;
            let (node, done) = (&self.node.id, done.is_ok());
            self.world
                .trace
                .note(format!("client at {node}: tag {value}: {done}"));
        }
    }

    /// What is read must be what somebody wrote there.
    async fn read(&self) {
        let Some((objects, permit)) = self.admitted(Action::GetObject, None, false) else {
            return;
        };
        let request = GetRequest::default();
        let Ok(view) = objects.get(&permit, &self.name(), &request).await else {
            return;
        };
        let Some(found) = content(view.content).await else {
            return;
        };
        let (node, bucket, key) = (&self.node.id, &self.bucket, &self.key);
        let known = found
            .split(|b| *b == b' ')
            .next()
            .unwrap_or_default()
            .to_vec();
        let sound = found.iter().skip(known.len() + 1).all(|b| *b == b'x');
        if !sound || Some(found.len() as u64) != Some(view.info.size) {
            let wrong = format!("{node} answers wrong bytes for {bucket}/{key}");
            self.world.history.wrong.lock().push(wrong);
        }
    }
}

/// All bytes of a version; `None` when they cannot be read now.
pub async fn content(content: Option<ObjectContent>) -> Option<Bytes> {
    match content {
        Some(ObjectContent::Bytes(bytes)) => Some(bytes),
        Some(ObjectContent::Reader(mut reader)) => {
            let mut all = Vec::new();
            while let Some(piece) = reader.next().await.ok()? {
                all.extend_from_slice(&piece);
            }
            Some(all.into())
        }
        None => None,
    }
}
