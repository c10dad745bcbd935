//! Bits flip in the files of a region, and its versions get their bytes back from another one.

use std::{collections::HashSet, path::Path};

use store::{
    BlobId, Want,
    embedded::{Embedded, EmbeddedConfig},
    extents::{Extents, ExtentsConfig},
    faults::flip_bit,
};
use tempfile::TempDir;

use super::*;
use crate::{DamagedVersion, Known, Repaired, records::decode_manifest};

/// Parts of a client's upload, but for the last, are at least this large.
const PART: usize = 5 << 20;

/// A region whose files are in a folder of its own.
struct OnDisk {
    region: Region,
    embedded: Arc<Embedded>,
    extents: Arc<Extents>,
    dir: TempDir,
}

impl OnDisk {
    fn new(id: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let embedded = Embedded::open(EmbeddedConfig {
            segment_bytes: 4 << 20,
            // What memory keeps would hide the damage.
            row_cache_bytes: 0,
            ..EmbeddedConfig::new(dir.path().join("journal"))
        });
        let embedded = embedded.unwrap();
        let extents = Extents::open(ExtentsConfig::new(dir.path().join("extents"))).unwrap();
        let engine = Engine {
            index: embedded.clone(),
            log: embedded.clone(),
            blobs: extents.clone(),
        };
        Self {
            region: Region::on(engine, id, 3, deed()),
            embedded,
            extents,
            dir,
        }
    }

    /// The row of a version, and the version.
    async fn row(&self, row_key: &Bytes) -> (store::Row, ObjectRecord) {
        let index = &self.region.engine.index;
        let row = index.get(PartitionId(7), row_key, Want::Payload).await;
        let row = row.unwrap().unwrap();
        let record = ObjectRecord::decode(&row.value).unwrap();
        (row, record)
    }

    /// Flips a bit of what is stored beside the row.
    async fn damage_payload(&self, row_key: &Bytes) {
        let payload = self.row(row_key).await.0.payload.unwrap();
        let journal = self.dir.path().join("journal/journal");
        let mut found = 0;
        for file in std::fs::read_dir(journal).unwrap() {
            found += flip_within(&file.unwrap().path(), &payload);
        }
        // A row that moved leaves its old bytes behind.
        assert!(found > 0, "the payload is in a segment");
    }

    /// Flips a bit of each of these extents of the row.
    async fn damage_extents(&self, row_key: &Bytes, which: &[usize]) -> Vec<BlobId> {
        let (row, record) = self.row(row_key).await;
        let extents = match record.body {
            ObjectBody::Extents(extents) => extents,
            ObjectBody::Parts(_) => {
                let parts = decode_manifest(&row.payload.unwrap()).unwrap();
                parts.into_iter().flat_map(|p| p.extents).collect()
            }
            other => panic!("no extents: {other:?}"),
        };
        let ids: Vec<BlobId> = which.iter().map(|n| extents[*n].id).collect();
        for id in &ids {
            flip_bit(&self.extents.path_of(*id), 8 * 70_000).unwrap();
        }
        ids
    }

    /// What a scrub knows, and the versions that it names.
    async fn scrubbed(&self) -> Vec<DamagedVersion> {
        self.embedded.checkpoint();
        let rows = self
            .embedded
            .verify(|_| std::ops::ControlFlow::Continue(()));
        let extents = self.extents.verify(&mut |_| true).unwrap().damaged;
        let known = Known {
            payloads: (rows.unwrap().damage.into_iter())
                .map(|damage| (damage.partition, damage.key))
                .collect(),
            extents: extents.into_iter().map(|damage| damage.id).collect(),
        };
        self.named(&known).await
    }

    async fn named(&self, known: &Known) -> Vec<DamagedVersion> {
        let permit = self.region.permit(Action::ReplicateInto);
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = self.region.objects.damage_page(&permit, from, known, 2);
            let page = page.await.unwrap();
            assert_eq!(page.others, Vec::<String>::new());
            all.extend(page.versions);
            match page.next {
                Some(next) => from = Some(next),
                None => return all,
            }
        }
    }

    /// The only damaged version.
    async fn damaged(&self) -> DamagedVersion {
        let mut all = self.scrubbed().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.pop().unwrap()
    }

    async fn repair_version(&self, damaged: &DamagedVersion, source: &Region) -> Result<Repaired> {
        let shipped = shipped(source, damaged).await;
        self.repair_with(damaged, &shipped, &From(source, None))
            .await
    }

    async fn repair_with(
        &self,
        damaged: &DamagedVersion,
        shipped: &Shipped,
        bodies: &dyn BodySource,
    ) -> Result<Repaired> {
        let permit = self.region.permit(Action::ReplicateInto);
        let still = || Ok(permit.clone());
        let objects = &self.region.objects;
        objects
            .repair_version(&permit, damaged, shipped, bodies, &still)
            .await
    }

    /// Entries of the log, which repairs add nothing to.
    async fn logged(&self) -> Vec<store::LogEntry> {
        let log = &self.region.engine.log;
        let page = log.read(PartitionId(7), Position(0), 1_000_000).await;
        page.unwrap().entries
    }
}

async fn shipped(source: &Region, damaged: &DamagedVersion) -> Shipped {
    let (key, permit) = (&damaged.key, source.sending());
    let found = source.objects.ship_version(&permit, key, damaged.version);
    found.await.unwrap().expect("the source has it")
}

/// Flips a bit wherever the file has these bytes; answers how often.
fn flip_within(file: &Path, bytes: &[u8]) -> usize {
    let all = std::fs::read(file).unwrap();
    let places: Vec<usize> = (0..all.len())
        .filter(|at| all[*at..].starts_with(bytes))
        .collect();
    for at in &places {
        flip_bit(file, 8 * (at + bytes.len() / 2) as u64).unwrap();
    }
    places.len()
}

fn bytes(seed: u8, len: usize) -> Bytes {
    let mut state = u64::from(seed) + 1;
    let byte = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(byte).collect()
}

/// Hands bytes over, and does something first; notes the offsets.
struct Doing<'a, F> {
    source: From<'a>,
    first: F,
    offsets: parking_lot::Mutex<Vec<u64>>,
}

impl<'a, F> Doing<'a, F> {
    fn new(source: &'a Region, first: F) -> Self {
        Self {
            source: From(source, None),
            first,
            offsets: parking_lot::Mutex::default(),
        }
    }
}

impl<F, D> BodySource for Doing<'_, F>
where
    F: Fn() -> D + Send + Sync,
    D: Future<Output = ()> + Send,
{
    fn open<'a>(
        &'a self,
        shipped: &'a Shipped,
        offset: u64,
    ) -> BoxFuture<'a, BodyResult<Box<dyn Body>>> {
        Box::pin(async move {
            self.offsets.lock().push(offset);
            (self.first)().await;
            self.source.open(shipped, offset).await
        })
    }
}

/// A region on disk and another one in memory that has the same versions.
async fn home_on_disk(fill: impl AsyncFn(&Region)) -> (OnDisk, Region) {
    let (home, copy) = (OnDisk::new("home"), Region::new("copy", 4));
    fill(&home.region).await;
    copy.follow(&home.region).await;
    (home, copy)
}

async fn versions_of(region: &Region) -> Vec<Shipped> {
    let changes = region.snapshot().await.into_iter();
    let versions = changes.map(|change| match change {
        ShippedChange::Version(shipped) => *shipped,
        other => panic!("{other:?}"),
    });
    versions.collect()
}

#[tokio::test]
async fn damaged_bytes_come_back_at_the_home_whatever_they_lie_in() {
    let parts = [bytes(1, PART), bytes(2, PART), bytes(3, 200_000)];
    let (home, copy) = home_on_disk(async |home| {
        home.versioning(Versioning::Enabled).await;
        home.put("small", bytes(10, 3000)).await;
        home.put("large", bytes(11, 2 * LARGE)).await;
        home.put("twice", bytes(12, 4000)).await;
        home.put("twice", "newer").await;
        home.multipart("parts", &parts).await;
        home.multipart("table", &parts[2..]).await;
        home.tag("large", "kept").await;
    })
    .await;
    let (before, log) = (versions_of(&home.region).await, home.logged().await);
    let blobs = home.region.blobs().await;
    let older = before.iter().find(|v| v.size == 4000).unwrap().version;
    let damaged_rows = [
        rows::current(b"small"),
        rows::older(b"twice", older),
        rows::current(b"table"),
    ];
    for row_key in &damaged_rows {
        home.damage_payload(row_key).await;
    }
    let one = home.damage_extents(&rows::current(b"large"), &[0]).await;
    let some = home.damage_extents(&rows::current(b"parts"), &[1]).await;
    for at in ["small", "large", "parts", "table"] {
        assert!(home.region.get(at, None).await.is_err(), "{at}");
    }
    let damaged = home.scrubbed().await;
    let names: Vec<_> = damaged.iter().map(|d| (&*d.key, d.what())).collect();
    let journal = |what: &str| format!("{what} in the journal");
    assert_eq!(
        names,
        [
            ("large", format!("extent {}", one[0])),
            ("parts", format!("extent {}", some[0])),
            ("small", journal("its bytes")),
            ("table", journal("its table of parts")),
            ("twice", journal("its bytes")),
        ]
    );
    assert_eq!(damaged[4].version, older);
    for one in &damaged {
        assert_eq!(
            home.repair_version(one, &copy).await.unwrap(),
            Repaired::Done,
            "{one:?}"
        );
    }
    assert!(home.scrubbed().await.is_empty());
    assert_eq!(versions_of(&home.region).await, before);
    assert_eq!(
        home.logged().await,
        log,
        "nothing has happened, to followers"
    );
    assert_eq!(
        home.region.get("small", None).await.unwrap(),
        bytes(10, 3000)
    );
    assert_eq!(
        home.region.get("large", None).await.unwrap(),
        bytes(11, 2 * LARGE)
    );
    assert_eq!(
        home.region.get("parts", None).await.unwrap(),
        parts.concat()
    );
    assert_eq!(home.region.get("parts", Some(2)).await.unwrap(), parts[1]);
    assert_eq!(home.region.get("table", Some(1)).await.unwrap(), parts[2]);
    // The damaged extents are swept, and of the table that was lost its one extent stays an orphan.
    assert_eq!(home.region.blobs().await, blobs + 1);
    assert_eq!(
        home.region.objects.sweep_orphans().await.unwrap().removed,
        1
    );
    assert_eq!(home.region.get("table", Some(1)).await.unwrap(), parts[2]);
}

#[tokio::test]
async fn a_copy_gets_its_bytes_back_from_the_home() {
    let (home, copy) = (Region::new("home", 4), OnDisk::new("copy"));
    home.put("small", bytes(1, 3000)).await;
    home.put("large", bytes(2, LARGE)).await;
    copy.region.follow(&home).await;
    copy.damage_payload(&rows::current(b"small")).await;
    copy.damage_extents(&rows::current(b"large"), &[0]).await;
    let damaged = copy.scrubbed().await;
    assert_eq!(damaged.len(), 2);
    for one in &damaged {
        assert_eq!(
            copy.repair_version(one, &home).await.unwrap(),
            Repaired::Done
        );
    }
    assert!(copy.scrubbed().await.is_empty());
    assert_eq!(versions_of(&copy.region).await, versions_of(&home).await);
    assert_eq!(
        copy.region.get("large", None).await.unwrap(),
        bytes(2, LARGE)
    );
}

#[tokio::test]
async fn of_an_object_of_parts_only_what_is_damaged_is_fetched() {
    let parts = [bytes(1, PART), bytes(2, PART), bytes(3, PART), bytes(4, 9)];
    let (home, copy) = home_on_disk(async |home| home.multipart("parts", &parts).await).await;
    home.damage_extents(&rows::current(b"parts"), &[0, 2]).await;
    let damaged = home.damaged().await;
    let shipped = shipped(&copy, &damaged).await;
    let bodies = Doing::new(&copy, async || {});
    let repaired = home.repair_with(&damaged, &shipped, &bodies).await;
    assert_eq!(repaired.unwrap(), Repaired::Done);
    assert_eq!(*bodies.offsets.lock(), [0, 2 * PART as u64]);
    assert_eq!(
        home.region.get("parts", None).await.unwrap(),
        parts.concat()
    );
    assert_eq!(home.region.blobs().await, 4);
}

#[tokio::test]
async fn extents_that_are_lost_or_cut_short_are_found_and_brought_back() {
    let (home, copy) = home_on_disk(async |home| {
        home.put("lost", bytes(1, LARGE)).await;
        home.put("short", bytes(2, LARGE)).await;
        home.put("whole", bytes(3, LARGE)).await;
    })
    .await;
    let extent = async |at: &[u8]| match home.row(&rows::current(at)).await.1.body {
        ObjectBody::Extents(extents) => home.extents.path_of(extents[0].id),
        other => panic!("{other:?}"),
    };
    std::fs::remove_file(extent(b"lost").await).unwrap();
    let short = std::fs::File::options()
        .write(true)
        .open(extent(b"short").await);
    short.unwrap().set_len(5000).unwrap();
    let damaged = home.named(&Known::default()).await;
    let names: Vec<&str> = damaged.iter().map(|d| &*d.key).collect();
    assert_eq!(names, ["lost", "short"]);
    for one in &damaged {
        assert_eq!(
            home.repair_version(one, &copy).await.unwrap(),
            Repaired::Done
        );
    }
    assert_eq!(
        home.region.get("lost", None).await.unwrap(),
        bytes(1, LARGE)
    );
    assert_eq!(
        home.region.get("short", None).await.unwrap(),
        bytes(2, LARGE)
    );
}

#[tokio::test]
async fn a_version_that_was_replaced_or_removed_meanwhile_is_left_alone() {
    let (home, copy) = home_on_disk(async |home| {
        home.put("replaced", bytes(1, LARGE)).await;
        home.put("removed", bytes(2, LARGE)).await;
    })
    .await;
    for at in ["replaced", "removed"] {
        home.damage_extents(&rows::current(at.as_bytes()), &[0])
            .await;
        let damaged = home.damaged().await;
        let shipped = shipped(&copy, &damaged).await;
        let bodies = Doing::new(&copy, async || match at {
            "replaced" => drop(home.region.put(at, bytes(7, LARGE)).await),
            _ => drop(home.region.delete(at, None).await),
        });
        let repaired = home.repair_with(&damaged, &shipped, &bodies).await;
        assert_eq!(repaired.unwrap(), Repaired::Changed, "{at}");
        // Once more, when it is so already.
        let again = home
            .repair_with(&damaged, &shipped, &From(&copy, None))
            .await;
        assert_eq!(again.unwrap(), Repaired::Changed, "{at}");
    }
    assert_eq!(
        home.region.get("replaced", None).await.unwrap(),
        bytes(7, LARGE)
    );
    assert!(home.region.get("removed", None).await.is_err());
    assert_eq!(
        home.region.blobs().await,
        1,
        "nothing that was fetched stays"
    );
}

#[tokio::test]
async fn a_version_that_moves_or_gets_tags_meanwhile_is_repaired_as_it_is_then() {
    let (home, copy) = home_on_disk(async |home| {
        home.versioning(Versioning::Enabled).await;
        home.put("moves", bytes(1, LARGE)).await;
        home.put("tagged", bytes(2, LARGE)).await;
    })
    .await;
    for at in ["moves", "tagged"] {
        home.damage_extents(&rows::current(at.as_bytes()), &[0])
            .await;
        let damaged = home.damaged().await;
        let shipped = shipped(&copy, &damaged).await;
        let bodies = Doing::new(&copy, async || match at {
            "moves" => drop(home.region.put(at, "newer").await),
            _ => home.region.tag(at, "new").await,
        });
        let repaired = home.repair_with(&damaged, &shipped, &bodies).await;
        assert_eq!(repaired.unwrap(), Repaired::Done, "{at}");
    }
    assert!(home.scrubbed().await.is_empty());
    let versions = versions_of(&home.region).await;
    let tagged = versions.iter().find(|v| &*v.key == "tagged").unwrap();
    assert_eq!(tagged.attributes.tags, [("t".to_owned(), "new".to_owned())]);
    assert_eq!(
        home.region.get("tagged", None).await.unwrap(),
        bytes(2, LARGE)
    );
    assert_eq!(home.region.get("moves", None).await.unwrap(), "newer");
    let older = versions
        .iter()
        .find(|v| v.size == LARGE as u64 && &*v.key == "moves");
    let sending = home.region.sending();
    let (at, version) = (key("moves"), older.unwrap().version);
    let reader = home
        .region
        .objects
        .ship_body(&sending, &at, version, 0)
        .await;
    let first = reader.unwrap().next().await.unwrap().unwrap();
    assert_eq!(first, bytes(1, LARGE)[..first.len()]);
}

/// Sends these bytes, whatever is asked for.
struct Sends(Bytes);

impl BodySource for Sends {
    fn open<'a>(&'a self, _: &'a Shipped, offset: u64) -> BoxFuture<'a, BodyResult<Box<dyn Body>>> {
        Box::pin(async move {
            let pieces = vec![Ok(self.0.slice(offset as usize..))];
            Ok(Box::new(Pieces(pieces)) as Box<dyn Body>)
        })
    }
}

#[tokio::test]
async fn other_bytes_under_the_versions_name_are_refused() {
    let parts = [bytes(1, PART), bytes(2, 70_000)];
    let (home, copy) = home_on_disk(async |home| {
        home.put("small", bytes(3, 3000)).await;
        home.put("large", bytes(4, LARGE)).await;
        home.multipart("parts", &parts).await;
        home.multipart("table", &parts[1..]).await;
    })
    .await;
    for row_key in [rows::current(b"small"), rows::current(b"table")] {
        home.damage_payload(&row_key).await;
    }
    home.damage_extents(&rows::current(b"large"), &[0]).await;
    home.damage_extents(&rows::current(b"parts"), &[1]).await;
    let log = home.logged().await;
    let blobs = home.region.blobs().await;
    for damaged in home.scrubbed().await {
        let right = shipped(&copy, &damaged).await;
        type Change = fn(&mut Shipped);
        let others: [(&str, Change); 5] = [
            ("its size", |s| s.size += 1),
            ("its ETag", |s| s.etag.md5[0] ^= 1),
            ("its checksum", |s| {
                let checksum = digest::checksum(types::ChecksumAlgorithm::Sha256, b"other");
                s.checksum = Some(checksum);
            }),
            ("its version id", |s| {
                s.version = types::VersionId::from_bytes([9; 16])
            }),
            ("its key", |s| s.key = key("other")),
        ];
        for (what, change) in others {
            let mut other = right.clone();
            change(&mut other);
            let repaired = home.repair_with(&damaged, &other, &From(&copy, None)).await;
            assert_eq!(repaired.unwrap(), Repaired::Other(what), "{damaged:?}");
        }
        if !right.parts.is_empty() {
            let mut other = right.clone();
            other.parts[0].md5[0] ^= 1;
            let repaired = home.repair_with(&damaged, &other, &From(&copy, None)).await;
            assert_eq!(repaired.unwrap(), Repaired::Other("its table of parts"));
        }
        // It says what it should and sends something else.
        let mut lying = right.clone();
        lying.inline = lying.inline.map(|whole| bytes(9, whole.len()));
        let sends = Sends(bytes(9, right.size as usize));
        let repaired = home.repair_with(&damaged, &lying, &sends).await;
        assert!(matches!(repaired, Err(Error::BadDigest(_))), "{repaired:?}");
    }
    assert_eq!(home.logged().await, log);
    assert_eq!(
        home.region.blobs().await,
        blobs,
        "nothing that was fetched stays"
    );
    assert_eq!(
        home.scrubbed().await.len(),
        4,
        "nothing was put in its place"
    );
}

#[tokio::test]
async fn nothing_is_put_that_may_not_come_any_more_when_it_is_there() {
    let (home, copy) = home_on_disk(async |home| {
        home.put("k", bytes(1, LARGE)).await;
    })
    .await;
    home.damage_extents(&rows::current(b"k"), &[0]).await;
    let damaged = home.damaged().await;
    let (shipped, permit) = (
        shipped(&copy, &damaged).await,
        home.region.permit(Action::ReplicateInto),
    );
    let still = || Err(Error::Fenced);
    let bodies = From(&copy, None);
    let objects = &home.region.objects;
    let repaired = objects
        .repair_version(&permit, &damaged, &shipped, &bodies, &still)
        .await;
    assert!(matches!(repaired, Err(Error::Fenced)), "{repaired:?}");
    assert_eq!(home.region.blobs().await, 1);
    assert!(home.region.get("k", None).await.is_err());
}

#[tokio::test]
async fn a_read_that_meets_damage_has_the_version_looked_at() {
    let parts = [bytes(1, PART), bytes(2, 70_000)];
    let (home, _copy) = home_on_disk(async |home| {
        home.put("small", bytes(3, 3000)).await;
        home.put("large", bytes(4, LARGE)).await;
        home.put("lost", bytes(5, LARGE)).await;
        home.multipart("parts", &parts).await;
        home.put("whole", bytes(6, LARGE)).await;
    })
    .await;
    home.damage_payload(&rows::current(b"small")).await;
    home.damage_extents(&rows::current(b"large"), &[0]).await;
    home.damage_extents(&rows::current(b"parts"), &[1]).await;
    let ObjectBody::Extents(lost) = home.row(&rows::current(b"lost")).await.1.body else {
        panic!("it is large");
    };
    std::fs::remove_file(home.extents.path_of(lost[0].id)).unwrap();
    let mut named = HashSet::new();
    for at in ["small", "large", "lost", "parts"] {
        assert!(home.region.get(at, None).await.is_err());
        let suspect = home.region.objects.next_suspect().await;
        let damaged = home.region.objects.examine(&suspect).await.unwrap();
        let damaged = damaged.expect("it is damaged");
        named.insert(damaged.key.to_string());
        assert_eq!(&*damaged.key, at);
    }
    assert_eq!(named.len(), 4);
    home.region.get("whole", None).await.unwrap();
    let next = home.region.objects.next_suspect();
    let none = tokio::time::timeout(std::time::Duration::from_millis(50), next).await;
    assert!(none.is_err(), "a good read leaves no trace");
}

#[tokio::test]
async fn damage_to_a_part_of_an_upload_under_way_is_told() {
    let home = OnDisk::new("home");
    let (permit, at) = (home.region.permit(Action::PutObject), key("k"));
    let objects = &home.region.objects;
    let made = objects.create_upload(&permit, &at, CreateUpload::default());
    let upload = made.await.unwrap().upload;
    let input = PartInput {
        body: Box::new(MemoryBody::new(bytes(1, LARGE))),
        md5: None,
        checksum: None,
        trailer: None,
    };
    objects
        .upload_part(&permit, &at, upload, 3, input)
        .await
        .unwrap();
    let blobs = home.extents.verify(&mut |_| true).unwrap();
    assert!(blobs.damaged.is_empty());
    let all = home.region.engine.blobs.list(None, 10).await.unwrap();
    flip_bit(&home.extents.path_of(all[0].id), 77).unwrap();
    let known = Known {
        extents: HashSet::from([all[0].id]),
        ..Known::default()
    };
    let permit = home.region.permit(Action::ReplicateInto);
    let page = objects.damage_page(&permit, Some(rows::parts(upload)), &known, 10);
    let page = page.await.unwrap();
    assert_eq!((page.versions.len(), page.others.len()), (0, 1));
    assert!(page.others[0].contains("part 3"), "{:?}", page.others);
}

#[tokio::test]
async fn what_is_damaged_can_be_replaced_and_removed_and_hides_nothing_else() {
    let (home, _copy) = home_on_disk(async |home| {
        home.put("replaced", bytes(1, 3000)).await;
        home.put("removed", bytes(2, 3000)).await;
        for at in ["table replaced", "table removed"] {
            home.multipart(at, &[bytes(5, 70_000)]).await;
        }
    })
    .await;
    for at in ["replaced", "removed", "table replaced", "table removed"] {
        home.damage_payload(&rows::current(at.as_bytes())).await;
    }
    for at in ["replaced", "table replaced"] {
        home.region.put(at, "new").await;
        assert_eq!(home.region.get(at, None).await.unwrap(), "new");
    }
    for at in ["removed", "table removed"] {
        home.region.delete(at, None).await;
        assert!(matches!(
            home.region.get(at, None).await,
            Err(Error::NoSuchKey { .. })
        ));
    }
    assert_eq!(
        home.region.objects.sweep_orphans().await.unwrap().removed,
        2
    );
    // An older version can be read, and the damaged one in front of it removed for good.
    home.region.versioning(Versioning::Enabled).await;
    let older = home.region.put("k", bytes(3, 3000)).await;
    let newer = home.region.put("k", bytes(4, 3000)).await;
    home.damage_payload(&rows::current(b"k")).await;
    let request = GetRequest {
        version: older,
        ..GetRequest::default()
    };
    let permit = home.region.permit(Action::GetObjectVersion);
    let read = home.region.objects.get(&permit, &key("k"), &request).await;
    assert!(matches!(read.unwrap().content, Some(ObjectContent::Bytes(b)) if b == bytes(3, 3000)));
    home.region.delete("k", newer).await;
    assert_eq!(home.region.get("k", None).await.unwrap(), bytes(3, 3000));
}

#[tokio::test]
async fn a_copy_follows_on_though_what_it_has_is_damaged() {
    let (home, copy) = (Region::new("home", 4), OnDisk::new("copy"));
    for (n, at) in [(1, "replaced"), (2, "removed"), (3, "kept")] {
        home.put(at, bytes(n, 3000)).await;
    }
    copy.region.follow(&home).await;
    for at in ["replaced", "removed", "kept"] {
        copy.damage_payload(&rows::current(at.as_bytes())).await;
    }
    home.put("replaced", "new").await;
    home.delete("removed", None).await;
    // From the beginning, as after a snapshot: what is there already comes again.
    copy.region.follow(&home).await;
    assert_eq!(copy.region.get("replaced", None).await.unwrap(), "new");
    assert!(matches!(
        copy.region.get("removed", None).await,
        Err(Error::NoSuchKey { .. })
    ));
    let damaged = copy.damaged().await;
    assert_eq!(&*damaged.key, "kept");
    assert_eq!(
        copy.repair_version(&damaged, &home).await.unwrap(),
        Repaired::Done
    );
}
