//! Bits flip in the files of one region, and what they belonged to comes back from another: as far
//! as the placement goes, and no further.

use std::{collections::HashMap, ops::ControlFlow, path::PathBuf, sync::Arc, time::Duration};

use access::Action;
use bytes::Bytes;
use objects::{DamagedVersion, GetRequest, Known};
use replication::Repair;
use store::{
    Engine, PartitionId, Position,
    embedded::{Embedded, EmbeddedConfig},
    extents::{Extents, ExtentsConfig},
    faults::flip_bit,
};
use tempfile::TempDir;
use types::BucketDeed;

use crate::common::{Cloud, ID, Region, deed, deed_sealed, deed_within, large, until};

const LARGE: usize = 300_000;
const SMALL: usize = 3000;

/// The files of a region.
struct Files {
    dir: TempDir,
    embedded: Arc<Embedded>,
    extents: Arc<Extents>,
}

impl Files {
    fn new() -> (Self, Engine) {
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
        let files = Self {
            dir,
            embedded,
            extents,
        };
        (files, engine)
    }

    fn journal(&self) -> Vec<PathBuf> {
        let segments = std::fs::read_dir(self.dir.path().join("journal/journal")).unwrap();
        segments.map(|file| file.unwrap().path()).collect()
    }

    /// Flips a bit in the journal wherever it has these bytes.
    fn damage_journal(&self, bytes: &[u8]) {
        let mut found = 0;
        for file in self.journal() {
            let all = std::fs::read(&file).unwrap();
            let places = (0..all.len()).filter(|at| all[*at..].starts_with(bytes));
            for at in places {
                flip_bit(&file, 8 * (at + bytes.len() / 2) as u64).unwrap();
                found += 1;
            }
        }
        assert!(found > 0, "the bytes are in the journal");
    }

    /// Flips a bit of every extent.
    async fn damage_extents(&self) {
        use store::Blobs;
        let all = self.extents.list(None, 1000).await.unwrap();
        assert!(!all.is_empty());
        for blob in all {
            flip_bit(&self.extents.path_of(blob.id), 8 * 150_000).unwrap();
        }
    }

    /// What a scrub would name.
    async fn damaged(&self, region: &Region) -> Vec<DamagedVersion> {
        self.embedded.checkpoint();
        let rows = self.embedded.verify(|_| ControlFlow::Continue(()));
        let extents = self.extents.verify(&mut |_| true).unwrap();
        let payload = |damage: store::embedded::Damage| (damage.partition, damage.key);
        let known = Known {
            payloads: rows.unwrap().damage.into_iter().map(payload).collect(),
            extents: extents.damaged.into_iter().map(|d| d.id).collect(),
        };
        let permit = region.permit(Action::ReplicateInto);
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = region.objects.damage_page(&permit, from, &known, 100).await;
            let page = page.unwrap();
            all.extend(page.versions);
            match page.next {
                Some(next) => from = Some(next),
                None => return all,
            }
        }
    }
}

/// Regions with files; they hold no bucket yet.
async fn on_disk(regions: &[(&str, &str)]) -> (Vec<Region>, HashMap<String, Files>) {
    let mut all = HashMap::new();
    let mut engine = |id: &str| {
        let (files, engine) = Files::new();
        all.insert(id.to_owned(), files);
        engine
    };
    let regions = Cloud::start_on(regions, &mut engine).await;
    (regions, all)
}

/// A home and a replica that has all that the home has.
async fn home_and_copy() -> ([Region; 2], HashMap<String, Files>) {
    let (all, files) = on_disk(&[("a", "DE"), ("b", "FR")]).await;
    let mut all: [Region; 2] = all.try_into().ok().unwrap();
    for region in &mut all {
        region.view.hears(&deed("a", &["b"], 1));
    }
    let [a, b] = &mut all;
    a.versioning().await;
    a.put("small", large(1, SMALL)).await;
    a.put("large", large(2, LARGE)).await;
    a.put("older", large(3, SMALL)).await;
    a.put("older", "newer").await;
    b.run();
    b.equals(a).await;
    (all, files)
}

async fn repair_all(region: &Region, damaged: &[DamagedVersion]) -> Vec<Repair> {
    let mut all = Vec::new();
    for one in damaged {
        all.push(region.replication.repair(one).await);
    }
    all
}

fn why(repair: Repair) -> String {
    match repair {
        Repair::Not(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

async fn log_of(region: &Region) -> usize {
    let log = region
        .engine
        .log
        .read(PartitionId(ID.0), Position(0), 1_000_000);
    log.await.unwrap().entries.len()
}

#[tokio::test]
async fn what_is_damaged_at_the_home_comes_from_the_copy_and_the_reverse() {
    let ([a, b], files) = home_and_copy().await;
    let before = a.versions().await;
    let logs = (log_of(&a).await, log_of(&b).await);
    for (hurt, other) in [(&a, &b), (&b, &a)] {
        let files = &files[&*hurt.id];
        files.damage_journal(&large(1, SMALL));
        files.damage_journal(&large(3, SMALL));
        files.damage_extents().await;
        let damaged = files.damaged(hurt).await;
        assert_eq!(damaged.len(), 3, "{damaged:?}");
        let done = repair_all(hurt, &damaged).await;
        assert_eq!(done, vec![Repair::Done(other.id.clone()); 3]);
        hurt.objects.sweep().await.unwrap();
        assert!(files.damaged(hurt).await.is_empty());
        assert_eq!(hurt.versions().await, before);
        hurt.equals(other).await;
    }
    assert_eq!((log_of(&a).await, log_of(&b).await), logs);
    // It is followed as before.
    a.put("more", large(4, LARGE)).await;
    b.equals(&a).await;
}

#[tokio::test]
async fn a_sealed_copy_is_repaired_by_its_home_and_helps_nobody() {
    let (all, files) = on_disk(&[("a", "DE"), ("s", "FR")]).await;
    let [a, mut s]: [Region; 2] = all.try_into().ok().unwrap();
    for region in [&a, &s] {
        region.view.hears(&deed_sealed("a", &["s"], "s", 1));
    }
    a.versioning().await;
    a.put("papers/small", large(1, SMALL)).await;
    a.put("papers/large", large(2, LARGE)).await;
    s.run();
    until("all has come", || async { s.versions().await.len() == 2 }).await;
    let sealed = s.versions().await;
    let inline = sealed.iter().find_map(|v| v.inline.clone()).unwrap();
    files["s"].damage_journal(&inline);
    files["s"].damage_extents().await;
    let none = GetRequest::default();
    for at in ["papers/small", "papers/large"] {
        assert!(s.read(at, &none).await.is_err());
    }
    let damaged = files["s"].damaged(&s).await;
    assert_eq!(damaged.len(), 2);
    for one in &damaged {
        let told = format!("{:?} {} {}", one.key, one.what(), one.display);
        assert!(!told.contains("papers"), "{told}");
    }
    let done = repair_all(&s, &damaged).await;
    assert_eq!(done, vec![Repair::Done(a.id.clone()); 2]);
    assert_eq!(
        s.versions().await,
        sealed,
        "the same bytes, sealed the same"
    );
    assert_eq!(
        s.read("papers/small", &none).await.unwrap(),
        large(1, SMALL)
    );
    assert_eq!(
        s.read("papers/large", &none).await.unwrap(),
        large(2, LARGE)
    );
    // The home gets nothing from a replica that cannot be read.
    files["a"].damage_extents().await;
    let damaged = files["a"].damaged(&a).await;
    let refused = why(a.replication.repair(&damaged[0]).await);
    assert!(refused.contains("no other replica"), "{refused}");
}

#[tokio::test]
async fn p8_repairs_ask_the_placement_at_both_ends() {
    let ([a, mut b], files) = home_and_copy().await;
    b.stop().await;
    files["b"].damage_journal(&large(1, SMALL));
    let damaged = files["b"].damaged(&b).await;
    let one = &damaged[0];
    let bodies = a.door.bodies.lock().len();
    let cases: [(&str, Arc<BucketDeed>, Arc<BucketDeed>); 4] = [
        // The destination knows better, then the source.
        (
            "jurisdiction",
            deed("a", &["b"], 1),
            deed_within("a", &["b"], &["DE"]),
        ),
        (
            "403",
            deed_within("a", &["b"], &["DE"]),
            deed("a", &["b"], 1),
        ),
        // Another epoch, at each end.
        ("has changed", deed("a", &["b"], 1), deed("a", &["b"], 2)),
        ("409", deed("a", &["b"], 2), deed("a", &["b"], 1)),
    ];
    for (words, source, destination) in cases {
        a.view.hears(&source);
        b.view.hears(&destination);
        let refused = why(b.replication.repair(one).await);
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(a.door.bodies.lock().len(), bodies, "no body was asked for");
    assert!(b.get("small").await.is_none());
    for region in [&a, &b] {
        region.view.hears(&deed("a", &["b"], 1));
    }
    assert_eq!(b.replication.repair(one).await, Repair::Done(a.id.clone()));
}

#[tokio::test]
async fn it_is_said_why_a_version_stays_damaged() {
    let ([a, b], files) = home_and_copy().await;
    files["a"].damage_extents().await;
    let damaged = files["a"].damaged(&a).await;
    let one = &damaged[0];
    // The replica has the same damage.
    files["b"].damage_extents().await;
    let both = why(a.replication.repair(one).await);
    assert!(both.contains("bytes do not come from region b"), "{both}");
    // The replica does not have the version, or not the same.
    let version = one.version;
    let permit = b.permit(Action::ReplicateInto);
    b.objects
        .prune(&permit, &(one.key.clone(), version))
        .await
        .unwrap();
    let gone = why(a.replication.repair(one).await);
    assert_eq!(gone, "region b does not have it");
    // It does not answer; the next one is not waited for.
    b.proxy.down();
    let silent = why(a.replication.repair(one).await);
    assert_eq!(silent, "region b does not answer");
    b.proxy.up();
    let remembered = why(a.replication.repair(one).await);
    assert_eq!(remembered, "region b does not answer");
    // There is no other.
    a.view.hears(&deed("a", &[], 1));
    let alone = files["a"].damaged(&a).await;
    let alone = why(a.replication.repair(&alone[0]).await);
    assert!(alone.contains("no other replica"), "{alone}");
    assert_eq!(
        a.replication
            .repairs()
            .failed
            .load(std::sync::atomic::Ordering::Relaxed),
        5
    );
}

#[tokio::test]
async fn reads_that_meet_damage_are_answered_again_soon() {
    let ([a, _b], files) = home_and_copy().await;
    let task = tokio::spawn(Arc::clone(&a.replication).repair_as_met());
    files["a"].damage_journal(&large(1, SMALL));
    files["a"].damage_extents().await;
    for (at, bytes) in [("small", large(1, SMALL)), ("large", large(2, LARGE))] {
        let read = |found: Option<Bytes>| found.is_some_and(|found| found == bytes);
        until("it can be read again", || async { read(a.get(at).await) }).await;
    }
    task.abort();
}

#[tokio::test]
async fn damage_at_the_home_does_not_end_a_new_copys_snapshot() {
    let (all, files) = on_disk(&[("a", "DE"), ("b", "FR"), ("c", "IE")]).await;
    let [a, mut b, mut c]: [Region; 3] = all.try_into().ok().unwrap();
    for region in [&a, &b, &c] {
        region.view.hears(&deed("a", &["b", "c"], 1));
    }
    a.versioning().await;
    a.put("small", large(1, SMALL)).await;
    a.put("large", large(2, LARGE)).await;
    b.run();
    b.equals(&a).await;
    files["a"].damage_journal(&large(1, SMALL));
    files["a"].damage_extents().await;
    let task = tokio::spawn(Arc::clone(&a.replication).repair_as_met());
    c.run();
    until("the snapshot is whole", || async {
        c.versions().await.len() == 2
    })
    .await;
    c.equals(&b).await;
    task.abort();
    let left = files["a"].damaged(&a).await;
    assert!(left.is_empty(), "{left:?}");
    tokio::time::timeout(Duration::from_secs(30), a.objects.sweep())
        .await
        .unwrap()
        .unwrap();
}
