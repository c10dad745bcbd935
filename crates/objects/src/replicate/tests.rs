//! Regions that hold one bucket, in one process: all that the home does reaches the replicas, in
//! whatever order it arrives.

use std::{collections::BTreeMap, sync::Arc};

use access::{
    Action, Permit, SystemReason, authorize_receiving, authorize_sending, authorize_system,
};
use bytes::Bytes;
use store::{Engine, PartitionId, Position, ScanRange, memory::Memory};
use types::{
    AccountId, Body, BodyError, BucketDeed, BucketId, BucketName, ObjectKey, OneDeed, Place,
    Placement, Random, RegionId, Replica, SeededRandom, TestClock, Timestamp, body::MemoryBody,
    deed::BoxFuture,
};

use super::{Applied, BodySource};
use crate::{
    CompleteUpload, CreateUpload, DisplayVersion, Error, GetRequest, ListedForCompletion,
    ObjectAttributes, ObjectContent, Objects, PartInput, PutInput, Result, Shipped, ShippedChange,
    Versioning, WriteConditions,
    records::{ObjectBody, ObjectRecord},
    rows,
};

mod any;
mod arriving;
mod configuration;
mod discard;
mod documents;
mod holdings;
mod repair;

const LARGE: usize = 100_000;

/// A region that holds the bucket.
struct Region {
    objects: Arc<Objects>,
    engine: Engine,
    deed: Arc<BucketDeed>,
    clock: Arc<TestClock>,
}

const NOW: u64 = 1_800_000_000_000;

fn deed() -> Arc<BucketDeed> {
    let replica = |region: &str| Replica {
        region: RegionId::new(region),
        sealed_by: None,
    };
    Arc::new(BucketDeed {
        id: BucketId(7),
        name: BucketName::new("bench").unwrap(),
        owner: AccountId::new("1"),
        home: RegionId::new("home"),
        created: Timestamp::default(),
        epoch: 1,
        placement: Placement {
            replicas: ["copy", "third"].map(replica).to_vec(),
            ..Placement::default()
        },
    })
}

fn place(region: &str) -> Place {
    Place::unknown(RegionId::new(region))
}

impl Region {
    fn new(id: &str, seed: u64) -> Self {
        Self::under(id, seed, deed())
    }

    fn under(id: &str, seed: u64, deed: Arc<BucketDeed>) -> Self {
        Self::on(Memory::engine(), id, seed, deed)
    }

    fn on(engine: Engine, id: &str, seed: u64, deed: Arc<BucketDeed>) -> Self {
        let clock = Arc::new(TestClock::at_ms(NOW));
        let objects = Arc::new(Objects::new(
            engine.clone(),
            Arc::new(OneDeed(Arc::clone(&deed))),
            clock.clone(),
            Arc::new(SeededRandom::new(seed)),
            RegionId::new(id),
        ));
        Self {
            objects,
            engine,
            deed,
            clock,
        }
    }
    fn permit(&self, action: Action) -> Permit {
        authorize_system(SystemReason::Recovery, action, &self.deed)
    }
    fn sending(&self) -> Permit {
        authorize_sending(&self.deed, &place("home"), &place("copy")).unwrap()
    }
    fn receiving(&self) -> Permit {
        authorize_receiving(&self.deed, &place("copy"), &place("home")).unwrap()
    }
    async fn versioning(&self, to: Versioning) {
        let permit = self.permit(Action::PutBucketVersioning);
        self.objects.set_versioning(&permit, to).await.unwrap();
    }
    async fn put(&self, at: &str, bytes: impl Into<Bytes>) -> Option<DisplayVersion> {
        self.clock.advance_ms(1);
        let permit = self.permit(Action::PutObject);
        let input = PutInput {
            body: Box::new(MemoryBody::new(bytes.into())),
            attributes: ObjectAttributes {
                metadata: vec![("origin".into(), at.into())],
                ..ObjectAttributes::default()
            },
            md5: None,
            checksum: None,
            trailer: None,
            conditions: WriteConditions::default(),
        };
        self.objects
            .put(&permit, &key(at), input)
            .await
            .unwrap()
            .version
    }
    async fn delete(&self, at: &str, version: Option<DisplayVersion>) -> Option<DisplayVersion> {
        self.clock.advance_ms(1);
        let action = match version {
            None => Action::DeleteObject,
            Some(_) => Action::DeleteObjectVersion,
        };
        let none = WriteConditions::default();
        let permit = self.permit(action);
        let deleted = self.objects.delete(&permit, &key(at), version, &none).await;
        deleted.unwrap().version
    }
    async fn tag(&self, at: &str, value: &str) {
        let permit = self.permit(Action::PutObjectTagging);
        let tags = vec![("t".to_owned(), value.to_owned())];
        let done = self
            .objects
            .set_object_tags(&permit, &key(at), None, tags)
            .await;
        done.unwrap();
    }
    async fn get(&self, at: &str, part: Option<u32>) -> Result<Bytes> {
        let request = GetRequest {
            part,
            ..GetRequest::default()
        };
        let permit = self.permit(Action::GetObject);
        let view = self.objects.get(&permit, &key(at), &request).await?;
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
    async fn multipart(&self, at: &str, parts: &[Bytes]) {
        let (permit, at) = (self.permit(Action::PutObject), key(at));
        let request = CreateUpload::default();
        let upload = self
            .objects
            .create_upload(&permit, &at, request)
            .await
            .unwrap()
            .upload;
        let mut listed = Vec::new();
        for (n, bytes) in parts.iter().enumerate() {
            let input = PartInput {
                body: Box::new(MemoryBody::new(bytes.clone())),
                md5: None,
                checksum: None,
                trailer: None,
            };
            let number = n as u32 + 1;
            let stored = self
                .objects
                .upload_part(&permit, &at, upload, number, input);
            listed.push(ListedForCompletion {
                number,
                etag: Some(stored.await.unwrap().etag),
                checksum: None,
            });
        }
        let request = CompleteUpload {
            parts: listed,
            ..CompleteUpload::default()
        };
        let done = self.objects.complete_upload(&permit, &at, upload, request);
        done.await.unwrap();
    }
    async fn blobs(&self) -> usize {
        self.objects.sweep().await.unwrap();
        self.engine.blobs.list(None, 1_000_000).await.unwrap().len()
    }

    /// Every version, without the place of its bytes, and whether it is the current one.
    async fn versions(&self) -> BTreeMap<(String, bool), ObjectRecord> {
        let mut all = BTreeMap::new();
        for kind in [rows::CURRENT, rows::OLDER] {
            let range = ScanRange::prefix(kind);
            let found = self
                .engine
                .index
                .scan(PartitionId(7), range, 1_000_000)
                .await;
            for (row_key, row) in found.unwrap() {
                let mut record = ObjectRecord::decode(&row.value).unwrap();
                if let ObjectBody::Extents(extents) = &mut record.body {
                    extents.clear();
                }
                let current = kind == rows::CURRENT;
                let name = match current {
                    true => format!("{row_key:?}"),
                    false => format!("{row_key:?} {}", record.version),
                };
                all.insert((name, current), record);
            }
        }
        all
    }

    /// All that the log has.
    async fn log(&self) -> Vec<ShippedChange> {
        let (mut all, mut at) = (Vec::new(), Position(0));
        loop {
            let page = self
                .objects
                .changes(&self.sending(), at, 7, 1000)
                .await
                .unwrap();
            assert!(!page.reseed);
            if page.next == at {
                return all;
            }
            at = page.next;
            all.extend(page.changes.into_iter().map(|(_, change)| change));
        }
    }

    async fn snapshot(&self) -> Vec<ShippedChange> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = self
                .objects
                .snapshot(&self.sending(), from, 3, 1000)
                .await
                .unwrap();
            let versions = page.versions.into_iter();
            all.extend(versions.map(|v| ShippedChange::Version(Box::new(v))));
            match page.next {
                Some(next) => from = Some(next),
                None => return all,
            }
        }
    }

    async fn take(&self, change: &ShippedChange, bodies: &dyn BodySource) -> Result<Applied> {
        // Over the wire and back.
        let change = ShippedChange::decode(&change.encode()).unwrap();
        self.objects.apply(&self.receiving(), change, bodies).await
    }

    async fn follow(&self, source: &Region) {
        for change in source.log().await {
            self.take(&change, &From(source, None)).await.unwrap();
        }
    }
}

/// Bytes straight from the source; breaking off after so many, if wanted.
struct From<'a>(&'a Region, Option<u64>);

type BodyResult<T> = std::result::Result<T, BodyError>;

struct Pieces(Vec<BodyResult<Bytes>>);

impl Body for Pieces {
    fn next(&mut self) -> types::body::NextChunk<'_> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        Box::pin(std::future::ready(next))
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

impl BodySource for From<'_> {
    fn open<'a>(
        &'a self,
        shipped: &'a Shipped,
        offset: u64,
    ) -> BoxFuture<'a, BodyResult<Box<dyn Body>>> {
        Box::pin(async move {
            let (key, version) = (&shipped.key, shipped.version);
            let objects = &self.0.objects;
            let broken = |e: Error| BodyError::Connection(e.to_string());
            let reader = objects
                .ship_body(&self.0.sending(), key, version, offset)
                .await;
            let (mut reader, mut all) = (reader.map_err(broken)?, Vec::new());
            while let Some(piece) = reader.next().await.map_err(broken)? {
                all.extend_from_slice(&piece);
            }
            let mut all = Bytes::from(all);
            let mut pieces = Vec::new();
            if let Some(limit) = self.1.filter(|limit| *limit < all.len() as u64) {
                pieces.push(Ok(all.split_to(limit as usize)));
                pieces.push(Err(BodyError::Connection("cut".into())));
            } else {
                pieces.push(Ok(all));
            }
            Ok(Box::new(Pieces(pieces)) as Box<dyn Body>)
        })
    }
}

/// No bytes at all.
struct Nothing;

impl BodySource for Nothing {
    fn open<'a>(&'a self, _: &'a Shipped, _: u64) -> BoxFuture<'a, BodyResult<Box<dyn Body>>> {
        Box::pin(async { Err(BodyError::Connection("no bytes".into())) })
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// A history with everything in it.
async fn history(home: &Region, seed: u64) {
    let random = SeededRandom::new(seed);
    let mut known: Vec<(String, Option<DisplayVersion>)> = Vec::new();
    for step in 0..40 {
        let at = format!("k{}", random.next_u64() % 4);
        match random.next_u64() % 12 {
            0 => home.versioning(Versioning::Enabled).await,
            1 if step > 10 => home.versioning(Versioning::Suspended).await,
            2 | 3 => drop(home.delete(&at, None).await),
            4 if !known.is_empty() => {
                let (at, version) = &known[random.next_u64() as usize % known.len()];
                home.delete(at, version.or(Some(DisplayVersion::Null)))
                    .await;
            }
            5 if home.get(&at, None).await.is_ok() => home.tag(&at, &step.to_string()).await,
            6 => {
                let bytes = vec![step as u8; LARGE + step];
                known.push((at.clone(), home.put(&at, bytes).await));
            }
            _ => {
                let text = format!("{at} {step}");
                known.push((at.clone(), home.put(&at, text).await));
            }
        }
    }
}

#[tokio::test]
async fn a_copy_that_follows_the_log_is_the_same() {
    for seed in 0..40 {
        let (home, copy) = (Region::new("home", seed), Region::new("copy", seed + 1000));
        history(&home, seed).await;
        copy.follow(&home).await;
        assert_eq!(copy.versions().await, home.versions().await, "seed {seed}");
        for n in 0..4 {
            let at = format!("k{n}");
            let (a, b) = (home.get(&at, None).await, copy.get(&at, None).await);
            assert_eq!(a.ok(), b.ok(), "seed {seed} {at}");
        }
        // Applying all of it again fetches nothing and changes nothing.
        for change in home.log().await {
            let applied = copy.take(&change, &Nothing).await.unwrap();
            assert_ne!(applied, Applied::Done, "seed {seed}: {change:?}");
        }
        assert_eq!(copy.versions().await, home.versions().await, "seed {seed}");
        assert_eq!(copy.blobs().await, home.blobs().await, "seed {seed}");
        // A third region that follows the replica, as after a promotion, is the same too.
        let third = Region::new("third", seed + 2000);
        third.follow(&copy).await;
        assert_eq!(third.versions().await, home.versions().await, "seed {seed}");
    }
}

#[tokio::test]
async fn a_copy_that_comes_by_now_and_then_is_the_same() {
    for seed in 0..60 {
        let (home, copy) = (Region::new("home", seed), Region::new("copy", seed + 1000));
        let mut at = Position(0);
        for step in 0..6 {
            history(&home, seed * 100 + step).await;
            loop {
                let page = home
                    .objects
                    .changes(&home.sending(), at, 9, 1000)
                    .await
                    .unwrap();
                if page.next == at {
                    break;
                }
                at = page.next;
                for (_, change) in page.changes {
                    copy.take(&change, &From(&home, None)).await.unwrap();
                }
            }
            assert_eq!(
                copy.versions().await,
                home.versions().await,
                "seed {seed} step {step}"
            );
        }
        assert_eq!(copy.blobs().await, home.blobs().await, "seed {seed}");
    }
}

#[tokio::test]
async fn versions_come_to_the_same_in_whatever_order_they_arrive() {
    for seed in 0..40 {
        let home = Region::new("home", seed);
        history(&home, seed).await;
        let all = home.snapshot().await;
        assert_eq!(all.len(), home.versions().await.len());
        for order in 0..3 {
            let copy = Region::new("copy", seed + 1000);
            let random = SeededRandom::new(seed * 10 + order);
            let mut changes: Vec<_> = all.iter().chain(&all).cloned().collect();
            while !changes.is_empty() {
                let at = random.next_u64() as usize % changes.len();
                let change = changes.swap_remove(at);
                copy.take(&change, &From(&home, None)).await.unwrap();
            }
            let (got, want) = (copy.versions().await, home.versions().await);
            assert_eq!(got, want, "seed {seed} order {order}");
        }
    }
}

#[tokio::test]
async fn the_configuration_travels() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    home.versioning(Versioning::Enabled).await;
    let tags = vec![("team".to_owned(), "sea".to_owned())];
    let permit = home.permit(Action::PutBucketTagging);
    home.objects
        .set_bucket_tags(&permit, tags.clone())
        .await
        .unwrap();
    copy.follow(&home).await;
    let versioning = copy
        .objects
        .versioning(&copy.permit(Action::GetBucketVersioning))
        .await;
    assert_eq!(versioning.unwrap(), Versioning::Enabled);
    let told = copy
        .objects
        .bucket_tags(&copy.permit(Action::GetBucketTagging))
        .await;
    assert_eq!(told.unwrap(), tags);
}

#[tokio::test]
async fn parts_stay_parts() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    let parts = [
        Bytes::from(vec![1; 5 << 20]),
        Bytes::from(vec![2; (5 << 20) + 3]),
        Bytes::from(vec![3; 10]),
    ];
    home.multipart("big", &parts).await;
    copy.follow(&home).await;
    for (n, part) in parts.iter().enumerate() {
        let read = copy.get("big", Some(n as u32 + 1)).await.unwrap();
        assert!(read == *part, "part {}", n + 1);
    }
    assert_eq!(copy.blobs().await, 3);
    assert_eq!(copy.versions().await, home.versions().await);
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on_where_it_broke() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    let bytes: Bytes = (0..LARGE * 3)
        .map(|n| (n / 7) as u8)
        .collect::<Vec<_>>()
        .into();
    home.put("k", bytes.clone()).await;
    for change in home.log().await {
        copy.take(&change, &From(&home, Some(LARGE as u64)))
            .await
            .unwrap();
    }
    assert!(copy.get("k", None).await.unwrap() == bytes);
    assert_eq!(copy.blobs().await, 1);
}

#[tokio::test]
async fn p9_bytes_that_are_not_what_they_should_be_leave_nothing() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    home.put("large", vec![1; LARGE]).await;
    home.put("small", "small").await;
    home.multipart("parts", &[vec![1; 5 << 20].into(), vec![2; 9].into()])
        .await;
    let evil = Region::new("home", 3);
    for change in home.log().await {
        let ShippedChange::Version(shipped) = change else {
            continue;
        };
        let wrong = |f: &dyn Fn(&mut Shipped)| {
            let mut wrong = shipped.clone();
            f(&mut wrong);
            ShippedChange::Version(wrong)
        };
        let mut cases = vec![wrong(&|s| s.etag.md5[0] ^= 1)];
        if shipped.inline.is_some() {
            cases.push(wrong(&|s| s.inline = Some(Bytes::from_static(b"smalm"))));
        } else {
            cases.push(wrong(&|s| s.size += 1));
        }
        if !shipped.parts.is_empty() {
            cases = vec![wrong(&|s| s.parts[1].md5[3] ^= 1)];
        }
        for case in cases {
            let refused = match ShippedChange::decode(&case.encode()) {
                Ok(change) => {
                    let bodies = From(&home, None);
                    copy.objects.apply(&copy.receiving(), change, &bodies).await
                }
                Err(error) => Err(error),
            };
            assert!(refused.is_err(), "{case:?}");
        }
        // A source that has other bytes under the same name.
        if shipped.inline.is_none() && shipped.parts.is_empty() {
            evil.put(&shipped.key, vec![9; LARGE]).await;
        }
    }
    assert!(copy.versions().await.is_empty());
    assert_eq!(copy.blobs().await, 0);
}

#[tokio::test]
async fn a_version_from_the_future_is_refused_and_later_ones_stay_above() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    home.clock.advance_ms(2 * super::AHEAD_MAX_MS + 60_000);
    home.put("k", "from the future").await;
    let changes = home.log().await;
    let refused = copy.take(&changes[0], &Nothing).await;
    assert!(matches!(refused, Err(Error::ClockAhead(_))), "{refused:?}");
    copy.clock.advance_ms(65_000);
    copy.take(&changes[0], &Nothing).await.unwrap();
    // What is written here next comes after it, though this clock is behind.
    copy.put("k", "here").await;
    assert_eq!(copy.get("k", None).await.unwrap(), "here");
    let shipped = copy.snapshot().await;
    home.take(&shipped[0], &Nothing).await.unwrap();
    assert_eq!(home.get("k", None).await.unwrap(), "here");
}

#[tokio::test]
async fn a_follower_that_fell_behind_the_log_is_told() {
    let home = Region::new("home", 1);
    home.put("a", "1").await;
    home.put("b", "2").await;
    let (head, _) = home.objects.head_position(&home.sending()).await.unwrap();
    home.engine.log.trim(PartitionId(7), head).await.unwrap();
    home.put("c", "3").await;
    let permit = home.sending();
    let old = home
        .objects
        .changes(&permit, Position(0), 10, 1000)
        .await
        .unwrap();
    assert!(old.reseed && old.changes.is_empty());
    let new = home.objects.changes(&permit, head, 10, 1000).await.unwrap();
    assert!(!new.reseed);
    assert_eq!(new.changes.len(), 1);
}

#[tokio::test]
async fn what_was_removed_is_told_apart_from_what_never_came() {
    let home = Region::new("home", 1);
    let older = SeededRandom::new(9);
    let next = || {
        home.objects
            .hlc
            .next(types::BucketId(7), &*home.clock, &older, None)
    };
    let before = next().unwrap();
    home.put("k", "1").await;
    home.put("stays", "1").await;
    let named = |region: Vec<Shipped>| -> Vec<super::VersionName> {
        region.into_iter().map(|s| (s.key, s.version)).collect()
    };
    let page = home.objects.snapshot(&home.sending(), None, 10, 1000).await;
    let mut names = named(page.unwrap().versions);
    home.delete("k", None).await;
    let later = next().unwrap();
    // A null version from before the one that was removed had its place taken by that.
    names.push((key("k"), before));
    names.push((key("k"), later));
    names.push((key("other"), before));
    let removed = home.objects.removed_here(&home.receiving(), &names).await;
    let removed = removed.unwrap();
    for (name, exact, as_null) in [
        (&names[0], true, true),
        (&(key("k"), before), false, true),
        (&(key("k"), later), false, false),
        (&(key("other"), before), false, false),
        (&(key("stays"), before), false, false),
    ] {
        // Of versions that are not null only those that are named are gone.
        assert_eq!(removed.holds(name, false), exact, "{name:?}");
        assert_eq!(removed.named(name), exact, "{name:?}");
        assert_eq!(removed.holds(name, true), as_null, "{name:?}");
    }
    let (head, _) = home.objects.head_position(&home.sending()).await.unwrap();
    home.engine.log.trim(PartitionId(7), head).await.unwrap();
    let unknown = home.objects.removed_here(&home.receiving(), &names).await;
    assert_eq!(unknown.unwrap(), crate::Removals::default());
}

#[tokio::test]
async fn whoever_waits_for_a_change_is_woken() {
    let home = Arc::new(Region::new("home", 1));
    home.put("a", "1").await;
    let (head, _) = home.objects.head_position(&home.sending()).await.unwrap();
    let waiting = tokio::spawn({
        let home = Arc::clone(&home);
        async move {
            let long = std::time::Duration::from_secs(60);
            home.objects
                .changed(&home.sending(), head, long)
                .await
                .unwrap();
        }
    });
    tokio::task::yield_now().await;
    home.put("b", "2").await;
    let woken = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    woken.unwrap().unwrap();
}

#[tokio::test]
async fn a_cursor_is_kept_and_is_no_object() {
    let copy = Region::new("copy", 1);
    let home = RegionId::new("home");
    let permit = copy.receiving();
    let none = copy.objects.follow_cursor(&permit, &home).await.unwrap();
    assert_eq!(none, None);
    let cursor = crate::FollowCursor {
        epoch: 3,
        position: Position(77),
        seeded: 5,
        snapshot: Some(Bytes::from_static(b"c\0\xff")),
        reach: Position(77),
    };
    let objects = &copy.objects;
    objects
        .set_follow_cursor(&permit, &home, &cursor)
        .await
        .unwrap();
    let read = objects.follow_cursor(&permit, &home).await.unwrap();
    assert_eq!(read, Some(cursor));
    assert!(copy.snapshot().await.is_empty() && copy.log().await.is_empty());
    // Nor does it keep the bucket from being deleted.
    let third = copy.permit(Action::DeleteBucket);
    assert!(matches!(
        objects.delete_bucket(&third).await,
        Err(Error::NoSuchBucket)
    ));
}

proptest::proptest! {
    #[test]
    fn p9_no_bytes_make_the_reader_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        kind in 0u8..4,
    ) {
        let framed = [&[1, kind][..], &bytes].concat();
        for input in [&bytes, &framed] {
            if let Ok(change) = ShippedChange::decode(input) {
                let again = ShippedChange::decode(&change.encode()).unwrap();
                proptest::prop_assert_eq!(again, change);
            }
        }
    }
}
