//! A region with a bucket, copied for each try.

use std::{
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    task::Poll,
};

use access::{
    Ask, Context, Facts, Identity, Permit, Resource, SystemReason, Via, authorize, authorize_system,
};
use bytes::Bytes;
use parking_lot::Mutex;
use store::{BlobId, PartitionId, ScanRange, Want, faults::Late, memory::Memory};
use tokio::task::yield_now;
use types::{
    AccessKeyId, AccountId, Actor, Body, BodyError, BucketDeed, BucketId, DeedError, Deeds, ETag,
    NewDeed, ObjectKey, Place, RegionId, SeededRandom, TestClock, Timestamp, UploadId,
    body::NextChunk,
};

use super::*;
use crate::{
    Applied, BodySource, DisplayVersion, ETagMatch, Error, ObjectAttributes, ObjectContent,
    Objects, PartInput, PutInput, Result, Shipped, VersionName, WriteConditions,
    orphans::extents_of, records::PartRecord, rows,
};

/// Too large to be stored beside a row.
pub const LARGE: usize = 70_000;
/// Awaits that no operation here has.
const AWAITS_MAX: usize = 5_000;
/// How long the sweeps run before the commits of a dropped operation land.
const SWEEPS_FIRST: usize = 150;

#[derive(Default)]
pub struct Names(Mutex<HashMap<BucketName, Arc<BucketDeed>>>);

impl Names {
    fn copy(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.0.lock().clone())))
    }
}

impl Deeds for Names {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.0.lock().get(name).cloned()
    }
    fn list(&self, _: &AccountId, _: &str, _: Option<&str>, _: usize) -> Vec<Arc<BucketDeed>> {
        self.all()
    }
    fn all(&self) -> Vec<Arc<BucketDeed>> {
        self.0.lock().values().cloned().collect()
    }
    fn create(
        &self,
        _: Actor,
        new: NewDeed,
    ) -> BoxFuture<'_, std::result::Result<Arc<BucketDeed>, DeedError>> {
        Box::pin(async move {
            yield_now().await;
            let mut all = self.0.lock();
            let deed = Arc::new(BucketDeed {
                id: BucketId(all.len() as u64 + 1),
                name: new.name.clone(),
                owner: new.owner,
                home: new.home,
                created: Timestamp::default(),
                epoch: 1,
                placement: new.placement,
            });
            all.insert(new.name, Arc::clone(&deed));
            Ok(deed)
        })
    }
    fn remove(
        &self,
        _: Actor,
        name: BucketName,
        _: BucketId,
    ) -> BoxFuture<'_, std::result::Result<(), DeedError>> {
        Box::pin(async move {
            yield_now().await;
            let removed = self.0.lock().remove(&name);
            yield_now().await;
            removed.map(drop).ok_or(DeedError::NotFound(name))
        })
    }
}

/// Bytes that come after a while, in two pieces.
struct Slow(Vec<Bytes>);

impl Body for Slow {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(async {
            yield_now().await;
            self.0.pop().map(Ok)
        })
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

pub fn body(len: usize) -> Box<dyn Body> {
    let bytes = Bytes::from(vec![7; len]);
    Box::new(Slow(vec![bytes.slice(len / 2..), bytes.slice(..len / 2)]))
}

pub fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

pub fn input(body: Box<dyn Body>) -> PutInput {
    PutInput {
        body,
        attributes: ObjectAttributes::default(),
        md5: None,
        checksum: None,
        trailer: None,
        conditions: WriteConditions::default(),
    }
}

pub fn conditions(body: Box<dyn Body>) -> PutInput {
    PutInput {
        conditions: WriteConditions {
            if_match: Some(ETagMatch::Any),
            ..WriteConditions::default()
        },
        ..input(body)
    }
}

pub fn part(body: Box<dyn Body>) -> PartInput {
    PartInput {
        body,
        md5: None,
        checksum: None,
        trailer: None,
    }
}

/// Bytes of versions that another region has.
#[derive(Default)]
pub struct Bodies(BTreeMap<String, Bytes>);

impl BodySource for Bodies {
    fn open<'a>(
        &'a self,
        shipped: &'a Shipped,
        offset: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Body>, BodyError>> {
        Box::pin(async move {
            yield_now().await;
            let found = self.0.get(&*shipped.key);
            let all = found.ok_or(BodyError::Connection("no bytes".into()))?;
            let rest = all.slice(offset as usize..);
            let middle = rest.len() / 2;
            let pieces = vec![rest.slice(middle..), rest.slice(..middle)];
            Ok(Box::new(Slow(pieces)) as Box<dyn Body>)
        })
    }
}

/// A region. Cloning shares it; [`World::again`] starts another process on a copy of its disk.
#[derive(Clone)]
pub struct World {
    pub objects: Arc<Objects>,
    pub deed: Arc<BucketDeed>,
    pub newest: Option<DisplayVersion>,
    pub oldest: Option<DisplayVersion>,
    pub upload: UploadId,
    pub etag: ETag,
    deeds: Arc<Names>,
    disk: Arc<Memory>,
    /// What another region has, which this one may take over.
    others: Arc<(BTreeMap<&'static str, Shipped>, Bodies)>,
    seed: u64,
}

fn objects(disk: store::Engine, deeds: &Arc<Names>, seed: u64, region: &str) -> Arc<Objects> {
    Arc::new(Objects::new(
        disk,
        deeds.clone(),
        Arc::new(TestClock::at_ms(1_800_000_000_000 + seed)),
        Arc::new(SeededRandom::new(seed)),
        RegionId::new(region),
    ))
}

impl World {
    /// Without anything in the bucket.
    async fn new(region: &str) -> Self {
        let (disk, deeds) = (Memory::new(), Arc::new(Names::default()));
        let made = deeds.create(
            Actor::System,
            NewDeed {
                name: BucketName::new("bench").unwrap(),
                owner: AccountId::new("1"),
                home: RegionId::new("home"),
                placement: Placement {
                    replicas: vec![Replica {
                        region: RegionId::new("copy"),
                        sealed_by: None,
                    }],
                    ..Placement::default()
                },
            },
        );
        Self {
            deed: made.await.unwrap(),
            objects: objects(disk.clone().into_engine(), &deeds, 1, region),
            newest: None,
            oldest: None,
            upload: UploadId::from_bytes([0; 16]),
            etag: ETag::whole([0; 16]),
            deeds,
            disk,
            others: Arc::default(),
            seed: 1,
        }
    }

    /// A bucket with versions and an upload, and what another region has beside that.
    pub async fn home() -> Self {
        let mut world = Self::new("home").await;
        let other = Self::new("copy").await;
        let mut bodies = Bodies::default();
        let mut shipped = BTreeMap::new();
        other.fill().await;
        for (name, at) in [("small", "s2"), ("large", "a"), ("parts", "m")] {
            let sending = other.may(Action::ReplicateFrom);
            let versions = other.objects.snapshot(&sending, None, 100, 1 << 20).await;
            let mut versions = versions.unwrap().versions.into_iter();
            let mut version = versions.find(|v| *v.key == *at).unwrap();
            // Newer than what is here, so that it takes its place.
            version.key = key(at);
            if version.inline.is_none() {
                bodies
                    .0
                    .insert(at.to_owned(), other.read(at).await.unwrap());
            }
            shipped.insert(name, version);
        }
        world.others = Arc::new((shipped, bodies));
        let (newest, oldest) = world.fill_partly().await;
        let permit = world.may(Action::ReplicateFrom);
        let snapshot = world.objects.snapshot(&permit, None, 100, 1 << 20).await;
        let mut known = snapshot.unwrap().versions.into_iter();
        let known = known.rfind(|v| *v.key == *"a").unwrap();
        let (mut shipped, bodies) = Arc::into_inner(world.others).unwrap();
        shipped.insert("known", known);
        world.others = Arc::new((shipped, bodies));
        (world.newest, world.oldest) = (newest, oldest);
        world.begin_upload().await;
        world.objects.sweep().await.unwrap();
        world
    }

    /// A bucket with leftovers only, which no sweep has seen.
    pub async fn emptied() -> Self {
        let mut world = Self::new("home").await;
        let put = |at: &'static str| {
            let (objects, permit) = (Arc::clone(&world.objects), world.may(Action::PutObject));
            async move { objects.put(&permit, &key(at), input(body(LARGE))).await }
        };
        put("a").await.unwrap();
        put("a").await.unwrap();
        let permit = world.may(Action::DeleteObject);
        let none = WriteConditions::default();
        let deleted = world.objects.delete(&permit, &key("a"), None, &none).await;
        deleted.unwrap();
        world.begin_upload().await;
        let permit = world.may(Action::AbortMultipartUpload);
        let at = key("m");
        let aborted = world.objects.abort_upload(&permit, &at, world.upload);
        aborted.await.unwrap();
        world
    }

    async fn fill_partly(&self) -> (Option<DisplayVersion>, Option<DisplayVersion>) {
        let permit = self.may(Action::PutBucketVersioning);
        let enabled = self.objects.set_versioning(&permit, Versioning::Enabled);
        enabled.await.unwrap();
        let permit = self.may(Action::PutObject);
        let put = async |at: &str, len| {
            let put = self.objects.put(&permit, &key(at), input(body(len))).await;
            put.unwrap().version
        };
        put("s", 100).await;
        let oldest = put("a", LARGE).await;
        put("a", LARGE + 1).await;
        let newest = put("a", LARGE + 2).await;
        (newest, oldest)
    }

    async fn fill(&self) {
        self.fill_partly().await;
        let permit = self.may(Action::PutObject);
        let small = self.objects.put(&permit, &key("s2"), input(body(9))).await;
        small.unwrap();
        let mut other = self.clone();
        other.begin_upload().await;
        let listed = ListedForCompletion {
            number: 1,
            etag: Some(other.etag),
            checksum: None,
        };
        let request = CompleteUpload {
            parts: vec![listed],
            ..CompleteUpload::default()
        };
        let at = key("m");
        let done = self
            .objects
            .complete_upload(&permit, &at, other.upload, request);
        done.await.unwrap();
    }

    /// Two parts, of which the second is there to be left out.
    async fn begin_upload(&mut self) {
        let (permit, at) = (self.may(Action::PutObject), key("m"));
        let request = CreateUpload::default();
        let created = self.objects.create_upload(&permit, &at, request).await;
        self.upload = created.unwrap().upload;
        for number in [2, 1] {
            let input = part(body(LARGE + number as usize));
            let stored = self
                .objects
                .upload_part(&permit, &at, self.upload, number, input);
            self.etag = stored.await.unwrap().etag;
        }
    }

    pub fn may(&self, action: Action) -> Permit {
        authorize_system(SystemReason::Recovery, action, &self.deed)
    }

    /// A permit under the next epoch.
    pub fn raised(&self) -> Permit {
        let deed = Arc::new(BucketDeed {
            epoch: self.deed.epoch + 1,
            ..(*self.deed).clone()
        });
        authorize_system(SystemReason::Recovery, Action::ReplicateInto, &deed)
    }

    pub fn other(&self) -> RegionId {
        RegionId::new("copy")
    }

    pub fn known_version(&self) -> VersionName {
        let known = &self.others.0["known"];
        (known.key.clone(), known.version)
    }

    pub async fn take(&self, name: &str) -> Result<Applied> {
        let change = ShippedChange::Version(Box::new(self.others.0[name].clone()));
        let permit = self.may(Action::ReplicateInto);
        self.objects.apply(&permit, change, &self.others.1).await
    }

    pub async fn read(&self, at: &str) -> Result<Bytes> {
        let permit = self.may(Action::GetObject);
        let request = GetRequest::default();
        let view = self.objects.get(&permit, &key(at), &request).await?;
        let mut all = Vec::new();
        match view.content {
            Some(ObjectContent::Bytes(bytes)) => return Ok(bytes),
            Some(ObjectContent::Reader(mut reader)) => {
                while let Some(piece) = reader.next().await? {
                    all.extend_from_slice(&piece);
                }
            }
            None => {}
        }
        Ok(all.into())
    }

    pub async fn make_another(&self) -> Result<()> {
        let who = Identity::Key {
            access_key: AccessKeyId::new("KEY"),
            account: AccountId::new("1"),
            kind: access::CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
        };
        let here = Place::unknown(RegionId::new("home"));
        let (name, placement) = (BucketName::new("another").unwrap(), Placement::default());
        let ask = Ask {
            principal: &who,
            action: Action::CreateBucket,
            resource: Resource::Bucket(&name),
            context: Context::default(),
        };
        let facts = Facts {
            access: Some(&access::BucketAccess::default()),
            account_block: access::PublicAccessBlock::NONE,
            deed: None,
            here: &here,
            via: &Via::Client,
        };
        let permit = authorize(&ask, &facts).unwrap();
        let made = self.objects.create_bucket(&permit, name, None, placement);
        made.await.map(drop)
    }

    /// Another process on a copy of the disk.
    fn again(&self) -> Self {
        let (disk, deeds) = (self.disk.copy(), self.deeds.copy());
        let seed = self.seed + 1;
        Self {
            objects: objects(disk.clone().into_engine(), &deeds, seed, "home"),
            disk,
            deeds,
            seed,
            ..self.clone()
        }
    }

    /// The same over an engine that takes its time.
    fn late(&self) -> (Self, Arc<Late>) {
        let mut world = self.again();
        let late = Late::new(world.disk.clone().into_engine());
        world.objects = objects(late.engine(), &world.deeds, world.seed, "home");
        (world, late)
    }

    /// Drops the operation after 0, 1, 2… polls, until it ends before.
    pub async fn drop_at_every_await(&self, name: &str, operation: Operation) {
        for polls in 0..AWAITS_MAX {
            let (world, late) = self.late();
            let mut running = operation(world.clone());
            let mut ended = false;
            for poll in 0..polls {
                if poll > 0 {
                    yield_now().await;
                }
                ended = poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx).is_ready())).await;
                if ended {
                    break;
                }
            }
            late.hold();
            drop(running);
            let what = format!("{name}, dropped after {polls} polls");
            world.crashed().whole(&format!("{what} and a crash")).await;
            world.left(&late).await;
            world.whole(&what).await;
            if ended {
                return;
            }
        }
        panic!("{name} does not end");
    }

    /// The process has ended where this one is.
    fn crashed(&self) -> Self {
        self.again()
    }

    /// What goes on beside: both sweeps see the state before the commits have landed.
    async fn left(&self, late: &Late) {
        let sweeps = [
            tokio::spawn({
                let objects = Arc::clone(&self.objects);
                async move { objects.sweep().await.map(drop) }
            }),
            tokio::spawn({
                let objects = Arc::clone(&self.objects);
                async move { objects.sweep_orphans().await.map(drop) }
            }),
        ];
        for _ in 0..SWEEPS_FIRST {
            yield_now().await;
        }
        late.release();
        for sweep in sweeps {
            match sweep.await.unwrap() {
                Ok(()) | Err(Error::Contention) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // What was left to itself has ended when nothing has waited for a while.
        let mut quiet = 0;
        while quiet < 50 {
            yield_now().await;
            quiet = if late.is_idle() { quiet + 1 } else { 0 };
        }
    }

    async fn whole(&self, what: &str) {
        self.objects.recover_buckets().await.expect(what);
        for deed in self.deeds.all() {
            let permit = authorize_system(SystemReason::Recovery, Action::PutObject, &deed);
            let at = key("probe");
            let put = self.objects.put(&permit, &at, input(body(3)));
            match put.await {
                Ok(_) => {}
                Err(Error::NoSuchBucket) => {
                    assert!(
                        self.deeds.get(&deed.name).is_none(),
                        "{what}: {}",
                        deed.name
                    );
                }
                // An epoch has risen: requests under the new deed pass.
                Err(Error::Fenced) => {}
                Err(error) => panic!("{what}: {} is not usable: {error}", deed.name),
            }
        }
        let before = self.named(what).await;
        self.objects.sweep().await.expect(what);
        self.objects.sweep_orphans().await.expect(what);
        let engine = self.disk.clone().into_engine();
        let there = engine.blobs.list(None, 10_000).await.unwrap();
        let there: BTreeSet<BlobId> = there.into_iter().map(|blob| blob.id).collect();
        let named = self.named(what).await;
        // Parts of an upload that ended go with the sweep.
        assert!(named.is_subset(&before), "{what}");
        assert_eq!(
            there, named,
            "{what}: extents that are there, and that are named"
        );
        assert_eq!(self.objects.pins.counts(), (0, 0), "{what}: pins");
    }

    /// Every extent that a version or a part names, each of which is read to its end; and of a
    /// bucket that is gone there are no rows.
    async fn named(&self, what: &str) -> BTreeSet<BlobId> {
        let engine = self.disk.clone().into_engine();
        let mut named = BTreeSet::new();
        for id in 1..=3 {
            let at = PartitionId(id);
            let all = ScanRange::prefix(b"");
            let found = engine.index.scan(at, all, 100_000).await.unwrap();
            let known = self.deeds.all().iter().any(|deed| deed.id.0 == id);
            let harmless = found.iter().all(|(row_key, _)| *row_key == rows::BUCKET);
            assert!(known || harmless, "{what}: rows of a bucket that is gone");
            for (row_key, row) in found {
                let version =
                    row_key.starts_with(rows::CURRENT) || row_key.starts_with(rows::OLDER);
                if version {
                    let row = engine.index.get(at, &row_key, Want::Payload).await;
                    let row = row.unwrap().unwrap();
                    named.extend(extents_of(&row.value, row.payload.as_deref()).unwrap());
                } else if row_key.starts_with(rows::PART) {
                    let part = PartRecord::decode(&row.value).unwrap();
                    for blob in part.extents {
                        let reader = engine.blobs.open(&blob).await;
                        let reader = reader.unwrap_or_else(|e| panic!("{what}: a part: {e}"));
                        let bytes = reader.read(0, usize::MAX).await.unwrap();
                        assert_eq!(bytes.len() as u64, part.size, "{what}");
                        named.insert(blob.id);
                    }
                }
            }
        }
        let there = engine.blobs.list(None, 10_000).await.unwrap();
        for id in &named {
            assert!(
                there.iter().any(|b| b.id == *id),
                "{what}: extent {id} is gone"
            );
        }
        named
    }
}
