use std::time::Duration;

use access::SigningKeys;
use async_trait::async_trait;
use bytes::Bytes;
use store::{
    Batch, Committed, Index, PartitionId, Row, ScanRange, StoreError, Want,
    faults::{Call, Fault, Script, faulty},
    memory::Memory,
};
use tokio::sync::Semaphore;
use types::{
    AccessKeyId, BucketId, BucketName, DeedError, Deeds, NewDeed, SeededRandom, SystemClock,
};

use super::*;
use crate::{AccountKind, IndexRows, KeyStatus};

/// An index whose commits land at once and are answered only when the test says so: the moment
/// in which a client may hang up.
struct Slow {
    rows: Arc<Memory>,
    landed: Semaphore,
    answers: Semaphore,
}

impl Slow {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: Memory::new(),
            landed: Semaphore::new(0),
            answers: Semaphore::new(0),
        })
    }

    /// Lets all commits from now on be answered at once.
    fn hurry(&self) {
        self.answers.add_permits(1000);
    }

    async fn wait_for_a_commit(&self) {
        self.landed.acquire().await.unwrap().forget();
    }
}

#[tokio::test]
async fn a_full_disk_is_called_so_and_room_mends_it() {
    let script = Script::new();
    let registry = open(faulty(Memory::engine(), &script).index, 1).await;
    let owner = AccountId::new("000000000001");
    let full = StoreError::Full("the reserve is kept".to_owned());
    script.always(Call::Commit, Fault::Fail(full));
    let refused = registry.create(Actor::System, bucket(owner.clone())).await;
    assert!(matches!(refused, Err(DeedError::Full(_))), "{refused:?}");
    assert!(registry.get(&name("photos")).is_none());
    script.clear();
    registry.create(Actor::System, bucket(owner)).await.unwrap();
}

#[async_trait]
impl Index for Slow {
    async fn get(
        &self,
        of: PartitionId,
        key: &[u8],
        want: Want,
    ) -> store::StoreResult<Option<Row>> {
        self.rows.get(of, key, want).await
    }
    async fn scan(
        &self,
        of: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> store::StoreResult<Vec<(Bytes, Row)>> {
        self.rows.scan(of, range, limit).await
    }
    async fn commit(&self, of: PartitionId, batch: Batch) -> store::StoreResult<Committed> {
        let done = self.rows.commit(of, batch).await;
        self.landed.add_permits(1);
        self.answers.acquire().await.unwrap().forget();
        done
    }

    async fn settle(&self) -> store::StoreResult<()> {
        self.rows.settle().await
    }
}

const DAY: &str = "20261123";
const ROOT: &Actor = &Actor::System;

pub(super) async fn open(index: Arc<dyn Index>, seed: u64) -> Arc<Registry> {
    let master = MasterKey::generate(&SeededRandom::new(7));
    let random = Arc::new(SeededRandom::new(seed));
    let opening = Opening {
        rows: Arc::new(IndexRows(index)),
        master,
        clock: Arc::new(SystemClock),
        random,
        regions: vec![region()],
        keeper: Keeper::Here,
    };
    Registry::open(opening).await.unwrap()
}

fn region() -> RegionId {
    RegionId::new("local-1")
}

fn name(text: &str) -> BucketName {
    BucketName::new(text).unwrap()
}

fn opens(registry: &Registry, key: &str) -> bool {
    registry.signing_key(key, DAY, &region(), "s3").is_some()
}

/// What both the memory and, after opening again, the rows say.
async fn deeds(index: &Arc<Slow>, registry: &Registry) -> Vec<BucketName> {
    let names = |r: &Registry| r.all().iter().map(|d| d.name.clone()).collect::<Vec<_>>();
    let again = open(index.clone(), 99).await;
    assert_eq!(names(registry), names(&again), "memory and rows differ");
    names(registry)
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let index: Arc<dyn Index> = Memory::new();
    let registry = open(Arc::clone(&index), 1).await;
    let account = registry
        .create_account(ROOT, "acme", AccountKind::Tenant, Vec::new())
        .await
        .unwrap();
    let id = account.account_id();
    let pair = registry
        .create_key(ROOT, &id, None, "one", false)
        .await
        .unwrap();
    let off = registry
        .create_key(ROOT, &id, None, "two", false)
        .await
        .unwrap();
    let gone = registry
        .create_key(ROOT, &id, None, "three", false)
        .await
        .unwrap();
    let off_id = AccessKeyId::new(&off.access_key);
    registry
        .set_key_status(ROOT, &off_id, KeyStatus::Disabled)
        .await
        .unwrap();
    registry
        .delete_key(ROOT, &AccessKeyId::new(&gone.access_key))
        .await
        .unwrap();
    let deed = registry
        .create(Actor::System, bucket(id.clone()))
        .await
        .unwrap();

    let again = open(index, 2).await;
    assert_eq!(again.accounts(), registry.accounts());
    assert_eq!(again.keys(None), registry.keys(None));
    assert_eq!(
        Deeds::get(&*again, &name("photos")).as_deref(),
        Some(&*deed)
    );
    for registry in [&registry, &again] {
        assert!(opens(registry, &pair.access_key));
        assert!(!opens(registry, &off.access_key));
        assert!(!opens(registry, &gone.access_key));
        let elsewhere = RegionId::new("other-1");
        let key = registry.signing_key(&pair.access_key, DAY, &elsewhere, "s3");
        assert!(key.is_none(), "a key for a region that is not ours");
    }
}

#[tokio::test]
async fn a_key_that_was_used_stops_with_the_answer_and_opens_again_when_enabled() {
    let registry = open(Memory::new(), 1).await;
    let account = registry
        .create_account(ROOT, "acme", AccountKind::Tenant, Vec::new())
        .await
        .unwrap();
    let pair = registry
        .create_key(ROOT, &account.account_id(), None, "", false)
        .await
        .unwrap();
    let id = AccessKeyId::new(&pair.access_key);
    assert!(opens(&registry, &id));
    registry
        .set_key_status(ROOT, &id, KeyStatus::Disabled)
        .await
        .unwrap();
    assert!(!opens(&registry, &id));
    registry
        .set_key_status(ROOT, &id, KeyStatus::Active)
        .await
        .unwrap();
    assert!(opens(&registry, &id));
    registry.delete_key(ROOT, &id).await.unwrap();
    assert!(!opens(&registry, &id));
}

#[tokio::test]
async fn a_name_is_given_once_and_who_holds_it_is_told() {
    let registry = open(Memory::new(), 1).await;
    let (one, two) = (
        AccountId::new("000000000001"),
        AccountId::new("000000000002"),
    );
    let first = registry.create(Actor::System, bucket(one.clone()));
    let second = registry.create(Actor::System, bucket(two));
    let (first, second) = tokio::join!(first, second);
    let first = first.unwrap();
    match second {
        Err(DeedError::Exists(_, holder)) => assert_eq!(holder.owner, one),
        other => panic!("{other:?}"),
    }
    let other_id = BucketId(first.id.0 ^ 1);
    let wrong = registry
        .remove(Actor::System, name("photos"), other_id)
        .await;
    assert!(matches!(wrong, Err(DeedError::NotFound(_))));
    registry
        .remove(Actor::System, name("photos"), first.id)
        .await
        .unwrap();
    let again = registry.create(Actor::System, bucket(one)).await.unwrap();
    assert_ne!(again.id, first.id);
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_midst_leaves_no_half_of_a_bucket() {
    let index = Slow::new();
    let registry = open(index.clone(), 1).await;
    let owner = AccountId::new("000000000001");

    // The row has landed, the answer has not come, the caller goes.
    tokio::select! {
        biased;
        _ = registry.create(Actor::System, bucket(owner.clone())) => panic!("answered"),
        () = index.wait_for_a_commit() => {}
    }
    index.hurry();
    let taken = registry.create(Actor::System, bucket(owner.clone())).await;
    assert!(matches!(taken, Err(DeedError::Exists(..))), "{taken:?}");
    assert_eq!(deeds(&index, &registry).await, [name("photos")]);
}

#[tokio::test]
async fn a_caller_that_leaves_during_a_removal_leaves_the_name_free() {
    let index = Slow::new();
    let registry = open(index.clone(), 1).await;
    let owner = AccountId::new("000000000001");
    index.answers.add_permits(1);
    let deed = registry
        .create(Actor::System, bucket(owner.clone()))
        .await
        .unwrap();
    index.wait_for_a_commit().await;

    tokio::select! {
        biased;
        _ = registry.remove(Actor::System, name("photos"), deed.id) => panic!("answered"),
        () = index.wait_for_a_commit() => {}
    }
    index.hurry();
    let gone = registry
        .remove(Actor::System, name("photos"), deed.id)
        .await;
    assert!(matches!(gone, Err(DeedError::NotFound(_))), "{gone:?}");
    assert!(deeds(&index, &registry).await.is_empty());
    registry.create(Actor::System, bucket(owner)).await.unwrap();
    assert_eq!(deeds(&index, &registry).await, [name("photos")]);
}

#[tokio::test]
async fn a_deleted_key_is_not_brought_back_by_a_change_under_way() {
    let index = Slow::new();
    let registry = open(index.clone(), 1).await;
    index.answers.add_permits(2);
    let account = registry
        .create_account(ROOT, "acme", AccountKind::Tenant, Vec::new())
        .await
        .unwrap();
    let pair = registry
        .create_key(ROOT, &account.account_id(), None, "", false)
        .await
        .unwrap();
    let id = AccessKeyId::new(&pair.access_key);

    let enable = registry.set_key_status(ROOT, &id, KeyStatus::Active);
    let delete = registry.delete_key(ROOT, &id);
    let release = async { index.hurry() };
    // Whichever goes first, the key is gone when both have been answered.
    let (deleted, _, ()) = tokio::join!(delete, enable, release);
    deleted.unwrap();
    assert!(!opens(&registry, &id));
    assert!(open(index, 2).await.keys(None).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn signing_keys_are_given_out_while_keys_change() {
    let registry = open(Memory::new(), 1).await;
    let account = registry
        .create_account(ROOT, "acme", AccountKind::Tenant, Vec::new())
        .await
        .unwrap();
    let pair = registry
        .create_key(ROOT, &account.account_id(), None, "", false)
        .await
        .unwrap();
    let id = AccessKeyId::new(&pair.access_key);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (registry, stop, id) = (registry.clone(), stop.clone(), id.clone());
            std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    opens(&registry, &id);
                }
            })
        })
        .collect();
    let changes = async {
        for _ in 0..200 {
            for status in [KeyStatus::Disabled, KeyStatus::Active] {
                registry.set_key_status(ROOT, &id, status).await.unwrap();
                assert_eq!(opens(&registry, &id), status == KeyStatus::Active);
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), changes).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(done.is_ok(), "the locks wait for each other");
    for reader in readers {
        reader.join().unwrap();
    }
}

/// Whoever waits for the log to grow may look at the state meanwhile: a change must not hold the
/// state while it wakes them.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_lands_while_somebody_who_waits_for_it_looks_at_the_state() {
    let registry = open(Memory::new(), 1).await;
    let before = registry.state.read().length();
    let (looks, looking) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn({
        let registry = Arc::clone(&registry);
        move || {
            let watch = registry.watch();
            // As a condition that is waited for: none can be woken meanwhile.
            let held = watch.borrow();
            looks.send(()).unwrap();
            let end = std::time::Instant::now() + Duration::from_secs(30);
            let has_landed = || {
                let state = registry.state.try_read();
                state.is_some_and(|state| state.length() > before)
            };
            while !has_landed() {
                assert!(
                    std::time::Instant::now() < end,
                    "the locks wait for each other"
                );
                std::thread::yield_now();
            }
            drop(held);
        }
    });
    looking.recv().unwrap();
    let owner = AccountId::new("000000000001");
    registry.create(Actor::System, bucket(owner)).await.unwrap();
    waiting.join().unwrap();
}

fn bucket(owner: AccountId) -> NewDeed {
    NewDeed {
        name: name("photos"),
        owner,
        home: region(),
        placement: types::Placement::default(),
    }
}
