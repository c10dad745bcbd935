//! The chains by bucket follow from the log alone, and a proof from them needs little of it.

use std::{
    future::{Future, poll_fn},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use async_trait::async_trait;
use proof::{
    AnchorKey, BucketBundle, Checkpoint, Finding, Hex, Signer, TrustAnchor,
    bundle::{BUCKET_VERSION, Stands},
    map::Chains as Whole,
};
use serde_json::json;
use store::{
    StoreError,
    faults::{Call, Fault, Script, faulty},
    memory::Memory,
};
use types::{BucketName, Deeds, NewDeed, Placement, SeededRandom, SystemClock, Timestamp};

use super::*;
use crate::{IndexRows, PlacementChange};

/// Counts what is read.
struct Counted {
    rows: IndexRows,
    reads: AtomicUsize,
}

#[async_trait]
impl Rows for Counted {
    async fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let page = self.rows.page(prefix, after, limit).await?;
        self.reads.fetch_add(1 + page.len(), Ordering::Relaxed);
        Ok(page)
    }
    async fn write(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        self.rows.write(once, puts, removes).await
    }
}

async fn open(rows: Arc<dyn Rows>) -> Arc<Registry> {
    let opening = Opening {
        rows,
        master: MasterKey::generate(&SeededRandom::new(7)),
        clock: Arc::new(SystemClock),
        random: Arc::new(SeededRandom::new(3)),
        regions: vec![RegionId::new("local-1")],
        keeper: Keeper::Here,
    };
    Registry::open(opening).await.unwrap()
}

fn bucket(name: &str) -> NewDeed {
    NewDeed {
        name: BucketName::new(name).unwrap(),
        owner: AccountId::new("000000000001"),
        home: RegionId::new("local-1"),
        placement: Placement::default(),
    }
}

/// The root that whoever reads the whole log computes.
async fn recomputed(registry: &Registry) -> proof::Hash {
    let mut chains = Whole::new(registry.map_key());
    let mut from = 0;
    loop {
        let page = registry.entries(from, 1000).await.unwrap();
        for entry in &page {
            chains.push(entry);
            from = entry.number + 1;
        }
        if page.is_empty() {
            return chains.root();
        }
    }
}

struct Fixed;

impl Signer for Fixed {
    fn public_key(&self) -> [u8; 32] {
        [0; 32]
    }
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        // Never one: its second half is above the order of the group (RFC 8032, 5.1.7).
        [0xff; 64]
    }
}

/// What a bundle shows the bucket to be, and its bytes. Nothing is wrong with it but its signature,
/// as nobody signs here.
async fn judged(registry: &Registry, name: &str) -> (Stands, usize) {
    let chains = registry.bucket_chains(name).await.unwrap().unwrap();
    let at = Timestamp::from_ms(chains.after.last.at_ms);
    let signed = (chains.after.last.head(), chains.after.root);
    let bundle = BucketBundle {
        v: BUCKET_VERSION,
        cloud: "cloud".into(),
        bucket: name.into(),
        made_at_ms: at.ms(),
        checkpoint: Checkpoint::with_map(&Fixed, "cloud", "local-1", signed, at),
        history: chains.bucket,
        regions: chains.regions,
        digests: Vec::new(),
    };
    let trusted = TrustAnchor::new(AnchorKey::Key(Hex([0; 32])));
    let findings = bundle.verify(&trusted).unwrap_err();
    assert_eq!(findings, [Finding::CheckpointSignature]);
    let entries = &bundle.history.entries;
    let stands = match entries.last().map(|told| told.action.as_str()) {
        None => Stands::Never,
        Some("bucket.delete") if entries.len() == 1 => Stands::Deleted,
        Some(_) if entries[0].action == "bucket.create" => Stands::Placed,
        Some(other) => panic!("it begins with {other}"),
    };
    (stands, bundle.to_bytes().unwrap().len())
}

/// A log in which tenants made and deleted buckets tens of thousands of times.
async fn long_log(rows: &IndexRows, entries: u64) {
    let mut last: Option<Entry> = None;
    let mut page = Vec::new();
    for n in 0..entries {
        let name = format!("looped-{}", n / 2 % 9);
        let deed = |name: &str| {
            let id = name.len() as u64 + n / 18;
            json!({"id": id, "owner": "1", "home": "local-1", "replicas": [],
                   "jurisdictions": [], "writes": "home", "epoch": 1, "rows_sha256": ""})
        };
        let open = json!({"jurisdiction": "DE", "operator": "own", "public_key": Hex([1; 32]),
                          "rows_sha256": ""});
        let (action, subject, detail) = match n {
            0 => ("region.open", "local-1", open),
            1 => ("bucket.create", "kept", deed("kept")),
            _ if n % 2 == 0 => ("bucket.create", &*name, deed(&name)),
            _ => ("bucket.delete", &*name, deed(&name)),
        };
        let at = Timestamp::from_ms(1_790_000_000_000 + n);
        let entry = Entry::next(last.as_ref(), at, "system", action, subject, &detail).unwrap();
        let change = Change {
            entry: entry.clone(),
            rows: Vec::new(),
        };
        page.push((
            Change::key(Change::id(n)),
            serde_json::to_vec(&change).unwrap(),
        ));
        last = Some(entry);
        if page.len() == 1000 || n + 1 == entries {
            rows.write(None, std::mem::take(&mut page), Vec::new())
                .await
                .unwrap();
        }
    }
    let kept =
        r#"{"v":1,"id":4,"name":"kept","owner":"1","home":"local-1","created_ms":1,"epoch":1}"#;
    let row = ("n/kept".to_owned(), kept.into());
    rows.write(None, vec![row], Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_bucket_is_proven_with_little_of_a_long_log() {
    const ENTRIES: u64 = 50_000;
    let rows = Arc::new(Counted {
        rows: IndexRows(Memory::new()),
        reads: AtomicUsize::new(0),
    });
    long_log(&rows.rows, ENTRIES).await;
    let registry = open(rows.clone()).await;
    assert_eq!(*registry.watch().borrow(), ENTRIES);
    let (found, first) = judged(&registry, "kept").await;
    assert_eq!(found, Stands::Placed);
    // From now on a proof reads what it shows, whatever the tenants did and do.
    let again = registry
        .create(Actor::System, bucket("looped-0"))
        .await
        .unwrap();
    let before = rows.reads.load(Ordering::Relaxed);
    let (found, bytes) = judged(&registry, "kept").await;
    assert_eq!(found, Stands::Placed);
    let read = rows.reads.load(Ordering::Relaxed) - before;
    assert!(read < 100, "{read} rows were read");
    assert!(
        bytes < 25_000 && bytes.abs_diff(first) < 10,
        "{first} {bytes}"
    );
    assert_eq!(
        registry.map().await.unwrap().unwrap().root,
        recomputed(&registry).await
    );
    registry
        .remove(Actor::System, again.name.clone(), again.id)
        .await
        .unwrap();
    assert_eq!(judged(&registry, "looped-0").await.0, Stands::Deleted);
    assert_eq!(judged(&registry, "never-was").await.0, Stands::Never);
}

#[tokio::test]
async fn chains_follow_from_the_log_alone() {
    let script = Script::new();
    let index = faulty(Memory::engine(), &script).index;
    let rows = || IndexRows(Arc::clone(&index));
    let registry = open(Arc::new(rows())).await;
    assert!(registry.map().await.unwrap().is_none());
    for n in 0..12 {
        let name = format!("bucket-{}", n % 5);
        let name = BucketName::new(&name).unwrap();
        match registry.get(&name) {
            None => drop(registry.create(Actor::System, bucket(&name)).await.unwrap()),
            Some(deed) if n % 2 == 0 => {
                registry
                    .remove(Actor::System, name.clone(), deed.id)
                    .await
                    .unwrap();
            }
            Some(_) => {
                let change = PlacementChange {
                    proxy: Some(true),
                    ..PlacementChange::default()
                };
                registry
                    .place_bucket(&Actor::System, &name, &change)
                    .await
                    .unwrap();
            }
        }
        // What is not written is in no chain.
        script.always(Call::Commit, Fault::Fail(StoreError::Full("full".into())));
        assert!(
            registry
                .create(Actor::System, bucket("refused"))
                .await
                .is_err()
        );
        script.clear();
        let root = registry.map().await.unwrap().unwrap().root;
        assert_eq!(root, recomputed(&registry).await, "after {n}");
    }
    let root = registry.map().await.unwrap().unwrap().root;
    drop(registry);
    // Opened again, and as a folder from before there were chains.
    let again = open(Arc::new(rows())).await;
    assert_eq!(again.map().await.unwrap().unwrap().root, root);
    drop(again);
    let mut old = Vec::new();
    for prefix in ["m/", "l/", "c/"] {
        let page = rows().page(prefix, "", 1000).await.unwrap();
        old.extend(page.into_iter().map(|(key, _)| key));
    }
    assert!(old.len() > 10);
    rows().write(None, Vec::new(), old).await.unwrap();
    let again = open(Arc::new(rows())).await;
    assert_eq!(again.map().await.unwrap().unwrap().root, root);
    again.create(Actor::System, bucket("later")).await.unwrap();
    let root = again.map().await.unwrap().unwrap().root;
    assert_eq!(root, recomputed(&again).await);
}

#[tokio::test]
async fn a_map_that_nobody_waits_for_any_more_is_computed_by_the_next() {
    let registry = open(Arc::new(IndexRows(Memory::engine().index))).await;
    for steps in 0..60 {
        let new = bucket(&format!("bucket-{steps}"));
        registry.create(Actor::System, new).await.unwrap();
        let mut running = Box::pin(registry.map());
        for _ in 0..steps {
            let step = |cx: &mut Context<'_>| Poll::Ready(running.as_mut().poll(cx).is_ready());
            if poll_fn(step).await {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(running);
        let root = registry.map().await.unwrap().unwrap().root;
        assert_eq!(
            root,
            recomputed(&registry).await,
            "left after {steps} steps"
        );
    }
}
