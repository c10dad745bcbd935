//! Races, conditions and clean-up over the engine in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use access::{Action, Permit, SystemReason, authorize_system};
use bytes::Bytes;
use parking_lot::Mutex;
use store::{Batch, BlobRef, Engine, PartitionId, ScanRange, memory::Memory};
use types::{
    AccountId, Body, BodyError, BucketDeed, BucketId, BucketName, ChecksumAlgorithm, ETag, NewDeed,
    ObjectKey, RegionId, SeededRandom, TestClock, Timestamp, UploadId, VersionId,
    body::{MemoryBody, NextChunk},
    deed::{BoxFuture, DeedError, Deeds},
};

use crate::{
    CompleteUpload, CreateUpload, DisplayVersion, ETagMatch, Error, GetRequest,
    ListedForCompletion, ObjectAttributes, ObjectContent, Objects, PartInput, PutInput, RangeSpec,
    ReadConditions, Result, Versioning, WriteConditions,
    records::{BucketRecord, BucketState, ObjectBody, ObjectRecord, PartRecord},
    rows,
};

mod fence;
mod rest;

const LARGE: usize = 100_000;
const PART_MIN: usize = 5 << 20;

#[derive(Default)]
struct Names {
    all: Mutex<HashMap<BucketName, Arc<BucketDeed>>>,
    count: AtomicU64,
    /// Removals get no answer.
    silent: AtomicBool,
    /// Removals need a customer's request.
    strict: AtomicBool,
}

impl Deeds for Names {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.all.lock().get(name).cloned()
    }
    fn list(&self, _: &AccountId, _: &str, _: Option<&str>, _: usize) -> Vec<Arc<BucketDeed>> {
        self.all()
    }
    fn all(&self) -> Vec<Arc<BucketDeed>> {
        self.all.lock().values().cloned().collect()
    }
    fn create(
        &self,
        _: types::Actor,
        new: NewDeed,
    ) -> BoxFuture<'_, std::result::Result<Arc<BucketDeed>, DeedError>> {
        let deed = Arc::new(BucketDeed {
            id: BucketId(self.count.fetch_add(1, Ordering::Relaxed) + 1),
            name: new.name.clone(),
            owner: new.owner,
            home: new.home,
            created: Timestamp::default(),
            epoch: 0,
            placement: new.placement,
        });
        self.all.lock().insert(new.name, deed.clone());
        Box::pin(async { Ok(deed) })
    }
    fn remove(
        &self,
        _: types::Actor,
        name: BucketName,
        _: BucketId,
    ) -> BoxFuture<'_, std::result::Result<(), DeedError>> {
        if self.silent.load(Ordering::SeqCst) {
            return Box::pin(async { Err(DeedError::Unavailable("no answer".into())) });
        }
        if self.strict.load(Ordering::SeqCst) {
            return Box::pin(async { Err(DeedError::Unproven("nobody asked".into())) });
        }
        self.all.lock().remove(&name);
        Box::pin(async { Ok(()) })
    }
}

#[derive(Clone)]
struct Bench {
    objects: Arc<Objects>,
    engine: Engine,
    deeds: Arc<Names>,
    deed: Arc<BucketDeed>,
}

impl Bench {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::at_ms(1_800_000_000_000));
        Self::over(Memory::engine(), clock).await
    }
    async fn over(engine: Engine, clock: Arc<TestClock>) -> Self {
        let deeds = Arc::new(Names::default());
        let objects = Arc::new(Objects::new(
            engine.clone(),
            deeds.clone(),
            clock,
            Arc::new(SeededRandom::new(1)),
            RegionId::new("r"),
        ));
        let name = BucketName::new("bench").unwrap();
        let (owner, home) = (AccountId::new("1"), RegionId::new("r"));
        let new = NewDeed {
            name,
            owner,
            home,
            placement: types::Placement::default(),
        };
        let deed = deeds.create(types::Actor::System, new).await.unwrap();
        Self {
            objects,
            engine,
            deeds,
            deed,
        }
    }
    fn permit(&self, action: Action) -> Permit {
        authorize_system(SystemReason::Recovery, action, &self.deed)
    }
    fn partition(&self) -> PartitionId {
        PartitionId(self.deed.id.0)
    }
    async fn versioning(&self, to: Versioning) {
        let permit = self.permit(Action::PutBucketVersioning);
        self.objects.set_versioning(&permit, to).await.unwrap();
    }
    async fn put(&self, at: &str, bytes: Bytes) -> Result<Option<DisplayVersion>> {
        self.put_if(at, bytes, WriteConditions::default()).await
    }
    async fn put_if(
        &self,
        at: &str,
        bytes: Bytes,
        conditions: WriteConditions,
    ) -> Result<Option<DisplayVersion>> {
        let input = PutInput {
            conditions,
            ..input(MemoryBody::new(bytes))
        };
        let permit = self.permit(Action::PutObject);
        Ok(self.objects.put(&permit, &key(at), input).await?.version)
    }
    async fn get(&self, at: &str, request: &GetRequest) -> Result<Bytes> {
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
            None => panic!("no content"),
        }
    }
    async fn delete_null_if(&self, at: &str, state: &str) -> Result<crate::Deleted> {
        let permit = self.permit(Action::DeleteObjectVersion);
        let conditions = WriteConditions {
            state: Some(state.to_owned()),
            ..WriteConditions::default()
        };
        let null = Some(DisplayVersion::Null);
        self.objects
            .delete(&permit, &key(at), null, &conditions)
            .await
    }
    async fn delete(&self, at: &str, version: Option<DisplayVersion>) -> Option<DisplayVersion> {
        let action = match version {
            None => Action::DeleteObject,
            Some(_) => Action::DeleteObjectVersion,
        };
        let permit = self.permit(action);
        let none = WriteConditions::default();
        let deleted = self.objects.delete(&permit, &key(at), version, &none).await;
        deleted.unwrap().version
    }
    async fn delete_bucket(&self) -> Result<()> {
        let permit = self.permit(Action::DeleteBucket);
        self.objects.delete_bucket(&permit).await
    }
    async fn upload(&self, at: &str) -> UploadId {
        let permit = self.permit(Action::PutObject);
        let request = CreateUpload::default();
        let made = self.objects.create_upload(&permit, &key(at), request).await;
        made.unwrap().upload
    }
    async fn part(&self, at: &str, upload: UploadId, number: u32, bytes: Bytes) -> ETag {
        let permit = self.permit(Action::PutObject);
        let input = part(MemoryBody::new(bytes));
        let objects = &self.objects;
        let at = key(at);
        let stored = objects.upload_part(&permit, &at, upload, number, input);
        stored.await.unwrap().etag
    }
    async fn blob(&self, bytes: Bytes) -> BlobRef {
        let mut writer = self.engine.blobs.create(None).await.unwrap();
        writer.write(bytes).await.unwrap();
        writer.finish().await.unwrap()
    }
    async fn blobs(&self) -> usize {
        self.engine.blobs.list(None, 1_000_000).await.unwrap().len()
    }
    async fn rows(&self) -> usize {
        let index = &self.engine.index;
        let range = ScanRange::prefix(b"");
        let all = index.scan(self.partition(), range, 1_000_000).await;
        all.unwrap().len()
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn input(body: impl Body + 'static) -> PutInput {
    PutInput {
        body: Box::new(body),
        attributes: ObjectAttributes::default(),
        md5: None,
        checksum: None,
        trailer: None,
        conditions: WriteConditions::default(),
    }
}

fn part(body: impl Body + 'static) -> PartInput {
    PartInput {
        body: Box::new(body),
        md5: None,
        checksum: None,
        trailer: None,
    }
}

fn if_absent() -> WriteConditions {
    WriteConditions {
        if_none_match: Some(ETagMatch::Any),
        ..WriteConditions::default()
    }
}

fn of(version: Option<DisplayVersion>) -> GetRequest {
    GetRequest {
        version,
        ..GetRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r21_one_writer_wins_where_nothing_may_be() {
    let bench = Bench::new().await;
    for round in 0..50 {
        let at = format!("k{round}");
        let tasks: Vec<_> = (0..16u8)
            .map(|n| {
                let (bench, at) = (bench.clone(), at.clone());
                let put = async move { bench.put_if(&at, vec![n; 50].into(), if_absent()).await };
                tokio::spawn(put)
            })
            .collect();
        let mut winners = Vec::new();
        for (n, task) in tasks.into_iter().enumerate() {
            match task.await.unwrap() {
                Ok(_) => winners.push(n as u8),
                Err(Error::PreconditionFailed(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        let stored = bench.get(&at, &GetRequest::default()).await.unwrap();
        assert_eq!(stored, vec![winners[0]; 50]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_put_is_acknowledged_into_a_bucket_that_goes() {
    let (mut gone, mut kept) = (0, 0);
    for round in 0..60u64 {
        let bench = Bench::new().await;
        let start = Arc::new(tokio::sync::Barrier::new(17));
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let (bench, start) = (bench.clone(), start.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    // Some come later, so that both outcomes occur.
                    for _ in 0..round {
                        tokio::task::yield_now().await;
                    }
                    let at = format!("k{n}");
                    let put = bench.put(&at, Bytes::from_static(b"kept")).await;
                    (at, put)
                })
            })
            .collect();
        start.wait().await;
        let deleted = bench.delete_bucket().await;
        let mut acknowledged = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (at, Ok(_)) => acknowledged.push(at),
                (_, Err(Error::NoSuchBucket | Error::BucketBusy)) => {}
                (_, Err(other)) => panic!("{other}"),
            }
        }
        match deleted {
            Ok(()) => {
                gone += 1;
                assert!(acknowledged.is_empty(), "lost: {acknowledged:?}");
                assert_eq!(bench.rows().await, 0);
            }
            Err(Error::BucketNotEmpty) => {
                kept += 1;
                assert!(!acknowledged.is_empty());
                for at in acknowledged {
                    let stored = bench.get(&at, &GetRequest::default()).await.unwrap();
                    assert_eq!(&stored[..], b"kept");
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
    println!("gone {gone}, kept {kept}");
}

#[tokio::test]
async fn a_deleted_bucket_leaves_no_row_and_no_extent() {
    let bench = Bench::new().await;
    bench.put("a", vec![1; LARGE].into()).await.unwrap();
    let upload = bench.upload("m").await;
    bench.part("m", upload, 1, vec![2; LARGE].into()).await;
    let deleted = bench.delete_bucket().await;
    assert!(matches!(deleted, Err(Error::BucketNotEmpty)));
    // A refusal leaves the bucket as it was, its upload too.
    bench.part("m", upload, 2, vec![3; LARGE].into()).await;
    bench.delete("a", None).await;
    // An upload that was ended stays until its sweep; the other one is under way.
    let ended = bench.upload("m").await;
    bench.part("m", ended, 1, vec![4; LARGE].into()).await;
    let permit = bench.permit(Action::AbortMultipartUpload);
    let aborted = bench.objects.abort_upload(&permit, &key("m"), ended).await;
    aborted.unwrap();
    // As a crash between the abort and its sweep leaves it.
    let left = PartRecord {
        modified: Timestamp::default(),
        size: 7,
        md5: [0; 16],
        checksum: None,
        extents: vec![bench.blob(Bytes::from_static(b"a part!")).await],
    };
    let batch = Batch::new()
        .put(rows::part(upload, 3), left.encode())
        .put(rows::finished_upload(upload), Vec::new());
    let index = &bench.engine.index;
    index.commit(bench.partition(), batch).await.unwrap();
    bench.delete_bucket().await.unwrap();
    assert_eq!((bench.rows().await, bench.blobs().await), (0, 0));
    assert!(bench.deeds.all().is_empty());
}

/// Marks the bucket as a deletion does before it looks for anything inside.
async fn mark(bench: &Bench, state: BucketState) {
    let marked = BucketRecord {
        state,
        ..BucketRecord::default()
    };
    let batch = Batch::new().put(rows::BUCKET, marked.encode());
    bench
        .objects
        .commit(bench.partition(), batch)
        .await
        .unwrap();
}

#[tokio::test]
async fn reads_pass_while_a_deletion_is_decided() {
    let bench = Bench::new().await;
    bench.put("a", Bytes::from_static(b"here")).await.unwrap();
    let turn = bench.objects.turns.take(bench.deed.id).unwrap();
    mark(&bench, BucketState::Deleting).await;
    let refused = bench.put("b", Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(Error::BucketBusy)));
    let deleted = bench.delete_bucket().await;
    assert!(matches!(deleted, Err(Error::BucketBusy)));
    let stored = bench.get("a", &GetRequest::default()).await.unwrap();
    assert_eq!(&stored[..], b"here");
    drop(turn);
    bench.put("b", Bytes::from_static(b"x")).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_a_crash_interrupted_is_taken_back_or_gone_on_with() {
    for at_start in [false, true] {
        let bench = Bench::new().await;
        mark(&bench, BucketState::Deleting).await;
        if at_start {
            bench.objects.recover_buckets().await.unwrap();
        }
        bench.put("a", Bytes::from_static(b"x")).await.unwrap();
        let bench = Bench::new().await;
        mark(&bench, BucketState::Removing).await;
        if at_start {
            bench.objects.recover_buckets().await.unwrap();
            assert!(bench.deeds.all().is_empty());
        }
        let refused = bench.put("a", Bytes::from_static(b"x")).await;
        assert!(matches!(refused, Err(Error::NoSuchBucket)));
        assert_eq!(bench.rows().await, 0);
    }
}

/// A registry elsewhere does not accept from a region alone that a customer wanted a bucket gone.
/// One whose removal a crash interrupted is empty, and takes objects again.
#[tokio::test]
async fn a_removal_that_nobody_can_prove_any_more_is_taken_back() {
    for at_start in [true, false] {
        let bench = Bench::new().await;
        mark(&bench, BucketState::Removing).await;
        bench.deeds.strict.store(true, Ordering::SeqCst);
        if at_start {
            bench.objects.recover_buckets().await.unwrap();
        }
        bench.put("a", Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(bench.get("a", &of(None)).await.unwrap(), "x");
        let deleted = bench.delete_bucket().await;
        assert!(matches!(deleted, Err(Error::BucketNotEmpty)), "{deleted:?}");
        bench.delete("a", None).await;
        let deleted = bench.delete_bucket().await;
        assert!(matches!(deleted, Err(Error::Unproven(_))), "{deleted:?}");
        bench.put("a", Bytes::from_static(b"x")).await.unwrap();
    }
}

/// The answer of a registry elsewhere is lost. What the bucket took then would go with it, once
/// this region receives the removal.
#[tokio::test]
async fn a_bucket_takes_nothing_while_nobody_knows_whether_its_deed_is_gone() {
    for retry in [false, true] {
        let bench = Bench::new().await;
        bench.deeds.silent.store(true, Ordering::SeqCst);
        let deleted = bench.delete_bucket().await;
        assert!(matches!(deleted, Err(Error::Registry(_))), "{deleted:?}");
        let refused = bench.put("a", Bytes::from_static(b"x")).await;
        assert!(matches!(refused, Err(Error::Registry(_))), "{refused:?}");
        bench.deeds.silent.store(false, Ordering::SeqCst);
        match retry {
            true => bench.delete_bucket().await.unwrap(),
            false => {
                let refused = bench.put("a", Bytes::from_static(b"x")).await;
                assert!(matches!(refused, Err(Error::NoSuchBucket)));
            }
        }
        assert_eq!(bench.rows().await, 0);
        assert!(bench.deeds.all().is_empty());
    }
}

#[tokio::test]
async fn suspended_writes_replace_the_null_version_only() {
    let bench = Bench::new().await;
    let text = |t: &'static str| Bytes::from_static(t.as_bytes());
    bench.put("k", text("before")).await.unwrap();
    bench.versioning(Versioning::Enabled).await;
    let named = bench.put("k", text("named")).await.unwrap();
    let null = Some(DisplayVersion::Null);
    assert_eq!(bench.get("k", &of(null)).await.unwrap(), "before");
    bench.versioning(Versioning::Suspended).await;
    assert_eq!(bench.put("k", text("after")).await.unwrap(), null);
    assert_eq!(bench.get("k", &of(null)).await.unwrap(), "after");
    assert_eq!(bench.get("k", &of(named)).await.unwrap(), "named");
    // The marker is null too: it takes the place of the null version, for good.
    assert_eq!(bench.delete("k", None).await, null);
    let gone = bench.get("k", &of(None)).await;
    assert!(matches!(gone, Err(Error::NoSuchKey { .. })));
    let marker = bench.get("k", &of(null)).await;
    assert!(matches!(marker, Err(Error::DeleteMarker { .. })));
    // Without the marker the named version is the current one again.
    bench.delete("k", null).await;
    assert_eq!(bench.get("k", &of(None)).await.unwrap(), "named");
    bench.delete("k", named).await;
    bench.delete_bucket().await.unwrap();
}

#[tokio::test]
async fn a_null_version_goes_only_in_the_state_that_was_seen() {
    let bench = Bench::new().await;
    let null = Some(DisplayVersion::Null);
    bench.versioning(Versioning::Suspended).await;
    let state_of_marker = async || {
        bench.delete("k", None).await;
        match bench.get("k", &of(null)).await {
            Err(Error::DeleteMarker { state, .. }) => state,
            other => panic!("{other:?}"),
        }
    };
    let first = state_of_marker().await;
    bench.put("k", Bytes::from_static(b"x")).await.unwrap();
    let changed = bench.delete_null_if("k", &first).await;
    assert!(matches!(changed, Err(Error::PreconditionFailed(_))));
    assert_eq!(bench.get("k", &of(null)).await.unwrap(), "x");
    let second = state_of_marker().await;
    assert_ne!(first, second);
    bench.delete_null_if("k", &second).await.unwrap();
    let gone = bench.delete_null_if("k", &second).await;
    assert!(matches!(gone, Err(Error::NoSuchVersion)));
}

#[tokio::test]
async fn ranges_are_cut_at_the_end_or_refused() {
    use RangeSpec::{Between, From, Last};
    let bench = Bench::new().await;
    for size in [10usize, LARGE] {
        let bytes: Bytes = (0..size).map(|n| n as u8).collect();
        bench.put("k", bytes.clone()).await.unwrap();
        let end = size as u64;
        let table = [
            (Between(0, 0), Some(0..1)),
            (Between(2, 5), Some(2..6)),
            (Between(end - 1, end - 1), Some(size - 1..size)),
            (Between(3, u64::MAX), Some(3..size)),
            (Between(end, end + 1), None),
            (From(0), Some(0..size)),
            (From(end - 1), Some(size - 1..size)),
            (From(end), None),
            (Last(0), None),
            (Last(4), Some(size - 4..size)),
            (Last(u64::MAX), Some(0..size)),
        ];
        for (range, expect) in table {
            let request = GetRequest {
                range: Some(range),
                ..GetRequest::default()
            };
            match (bench.get("k", &request).await, expect) {
                (Ok(got), Some(expect)) => assert_eq!(got, bytes.slice(expect), "{range:?}"),
                (Err(Error::InvalidRange { size }), None) => assert_eq!(size, end),
                (got, expect) => panic!("{range:?}: {got:?}, not {expect:?}"),
            }
        }
    }
    bench.put("empty", Bytes::new()).await.unwrap();
    let request = GetRequest {
        range: Some(From(0)),
        ..GetRequest::default()
    };
    let refused = bench.get("empty", &request).await;
    assert!(matches!(refused, Err(Error::InvalidRange { size: 0 })));
}

/// A body whose announced trailer never comes.
struct Unfinished(MemoryBody);

impl Body for Unfinished {
    fn next(&mut self) -> NextChunk<'_> {
        self.0.next()
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

#[tokio::test]
async fn a_missing_trailer_refuses_objects_and_parts_and_leaves_nothing() {
    let bench = Bench::new().await;
    let permit = bench.permit(Action::PutObject);
    let upload = bench.upload("k").await;
    let trailer = Some(ChecksumAlgorithm::Crc32);
    let missing = |error: &Error| matches!(error, Error::Body(BodyError::Trailer(_)));
    for size in [10, LARGE] {
        let body = || Unfinished(MemoryBody::new(vec![1; size]));
        let whole = PutInput {
            trailer,
            ..input(body())
        };
        let put = bench.objects.put(&permit, &key("k"), whole).await;
        assert!(missing(&put.unwrap_err()));
        let one = PartInput {
            trailer,
            ..part(body())
        };
        let at = key("k");
        let stored = bench.objects.upload_part(&permit, &at, upload, 1, one);
        assert!(missing(&stored.await.unwrap_err()));
    }
    assert_eq!(bench.blobs().await, 0);
}

/// An object of `count` extents of two bytes.
async fn many_extents(bench: &Bench, count: usize) -> Vec<BlobRef> {
    let mut extents = Vec::new();
    for n in 0..count {
        extents.push(bench.blob(vec![n as u8; 2].into()).await);
    }
    let record = ObjectRecord {
        version: VersionId::new(Timestamp::from_ms(1), 0, 0, 0),
        null: true,
        delete_marker: false,
        modified: Timestamp::from_ms(1),
        size: 2 * count as u64,
        etag: ETag::whole([0; 16]),
        checksum: None,
        body: ObjectBody::Extents(extents.clone()),
        attributes: ObjectAttributes::default(),
    };
    let batch = Batch::new().put(rows::current(b"k"), record.encode());
    let index = &bench.engine.index;
    index.commit(bench.partition(), batch).await.unwrap();
    extents
}

#[tokio::test]
async fn a_read_of_many_extents_survives_that_the_object_is_replaced() {
    let bench = Bench::new().await;
    for count in [16, 40] {
        let extents = many_extents(&bench, count).await;
        let expect: Vec<u8> = (0..count).flat_map(|n| [n as u8; 2]).collect();
        let all = bench.get("k", &GetRequest::default()).await.unwrap();
        assert_eq!(all, expect);
        let permit = bench.permit(Action::GetObject);
        let request = GetRequest::default();
        let view = bench.objects.get(&permit, &key("k"), &request).await;
        let Some(ObjectContent::Reader(mut reader)) = view.unwrap().content else {
            panic!("not to be read piece by piece");
        };
        bench.put("k", Bytes::from_static(b"other")).await.unwrap();
        // Those that the read has not opened yet stay.
        assert_eq!(bench.objects.sweep().await.unwrap(), 16);
        let mut read = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, expect);
        drop(reader);
        let left = extents.len() as u64 - 16;
        assert_eq!(bench.objects.sweep().await.unwrap(), left);
        assert_eq!(bench.blobs().await, 0);
    }
}

#[tokio::test]
async fn ten_thousand_parts_become_one_object() {
    const COUNT: u16 = 10_000;
    let bench = Bench::new().await;
    let upload = bench.upload("k").await;
    let permit = bench.permit(Action::PutObject);
    let index = &bench.engine.index;
    // Rows alone: the bytes would be 50 GB.
    let (mut parts, mut batch) = (Vec::new(), Batch::new());
    for number in 1..=COUNT {
        let mut md5 = [0; 16];
        md5[..2].copy_from_slice(&number.to_be_bytes());
        let record = PartRecord {
            modified: Timestamp::default(),
            size: PART_MIN as u64,
            md5,
            checksum: None,
            extents: vec![BlobRef {
                id: store::BlobId(md5),
                len: PART_MIN as u64,
                checksum: 0,
            }],
        };
        batch = batch.put(rows::part(upload, number), record.encode());
        parts.push(ListedForCompletion {
            number: u32::from(number),
            etag: Some(ETag::whole(md5)),
            checksum: None,
        });
    }
    index.commit(bench.partition(), batch).await.unwrap();
    let request = CompleteUpload {
        parts,
        ..CompleteUpload::default()
    };
    let objects = &bench.objects;
    let at = key("k");
    let done = objects.complete_upload(&permit, &at, upload, request);
    assert_eq!(done.await.unwrap().etag.parts, COUNT);
    let permit = bench.permit(Action::GetObjectAttributes);
    let (info, parts) = objects
        .attributes(&permit, &key("k"), None, ReadConditions::default())
        .await
        .unwrap();
    assert_eq!(info.size, u64::from(COUNT) * PART_MIN as u64);
    assert_eq!(parts.len(), usize::from(COUNT));
    assert_eq!((parts[0].number, parts[9_999].number), (1, COUNT));
    // The bucket, the object and the memory of the upload: no part is left.
    assert_eq!(bench.rows().await, 3);
    bench.delete("k", None).await;
    assert_eq!(objects.sweep().await.unwrap(), u64::from(COUNT));
}

#[tokio::test]
async fn the_sweep_removes_exactly_what_nothing_refers_to() {
    let bench = Bench::new().await;
    bench.versioning(Versioning::Enabled).await;
    let old = bench.put("a", vec![1; LARGE].into()).await.unwrap();
    bench.put("a", vec![2; LARGE].into()).await.unwrap();
    let upload = bench.upload("m").await;
    bench.part("m", upload, 1, vec![3; LARGE].into()).await;
    let done = bench.upload("n").await;
    let etag = bench.part("n", done, 1, vec![4; LARGE].into()).await;
    let request = CompleteUpload {
        parts: vec![ListedForCompletion {
            number: 1,
            etag: Some(etag),
            checksum: None,
        }],
        ..CompleteUpload::default()
    };
    let permit = bench.permit(Action::PutObject);
    let completed = bench
        .objects
        .complete_upload(&permit, &key("n"), done, request)
        .await;
    completed.unwrap();
    assert_eq!(bench.objects.sweep_orphans().await.unwrap().removed, 0);
    for n in 0..5 {
        bench.blob(vec![n; 10].into()).await;
    }
    assert_eq!(bench.objects.sweep_orphans().await.unwrap().removed, 5);
    assert_eq!(bench.blobs().await, 4);
    let text = |n: u8| vec![n; LARGE];
    assert_eq!(bench.get("a", &of(old)).await.unwrap(), text(1));
    assert_eq!(bench.get("a", &of(None)).await.unwrap(), text(2));
    assert_eq!(bench.get("n", &of(None)).await.unwrap(), text(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sweep_takes_nothing_while_versions_move() {
    let bench = Bench::new().await;
    bench.versioning(Versioning::Enabled).await;
    bench.put("a", vec![1; LARGE].into()).await.unwrap();
    let mover = {
        let bench = bench.clone();
        tokio::spawn(async move {
            for n in 0..1_000 {
                // The version steps behind a marker and comes forth again.
                let marker = bench.delete("a", None).await;
                bench.delete("a", marker).await;
                if n % 50 == 0 {
                    bench.blob(vec![9; 10].into()).await;
                }
            }
        })
    };
    while !mover.is_finished() {
        // However much moves, the pass ends.
        bench.objects.sweep_orphans().await.unwrap();
        tokio::task::yield_now().await;
    }
    mover.await.unwrap();
    bench.objects.sweep_orphans().await.unwrap();
    assert_eq!(bench.blobs().await, 1);
    let stored = bench.get("a", &GetRequest::default()).await.unwrap();
    assert_eq!(stored, vec![1; LARGE]);
}
