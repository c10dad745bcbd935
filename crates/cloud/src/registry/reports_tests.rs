//! What regions may have put on record about buckets.

use std::sync::atomic::Ordering;

use types::{BucketDeed, Deeds, RegionId, Replica};

use super::{
    follow_tests::{Cloud, bucket, opened},
    *,
};
use crate::{Ask, IndexRows, PlacementChange, RegistryAnswer};

const OTHERS: [&str; 2] = ["second", "third"];

fn with(region: &str) -> PlacementChange {
    let replica = Replica {
        region: RegionId::new(region),
        sealed_by: None,
    };
    PlacementChange {
        add: vec![replica],
        ..PlacementChange::default()
    }
}

fn without(region: &str) -> PlacementChange {
    PlacementChange {
        remove: vec![RegionId::new(region)],
        ..PlacementChange::default()
    }
}

async fn made(cloud: &Cloud, name: &str) -> Arc<BucketDeed> {
    let owner = cloud.tenant(name).await;
    let made = cloud
        .keeper
        .create(Actor::System, bucket(name, &owner, "first"));
    made.await.unwrap()
}

impl Cloud {
    /// Says in the name of a region that it has removed what it had; answers whether that was
    /// taken, and how many entries that made.
    async fn removed(&self, region: &str, deed: &BucketDeed) -> (bool, u64) {
        let now = Deeds::get(&*self.keeper, &deed.name);
        let ask = Ask::Removed {
            name: deed.name.to_string(),
            id: deed.id.0,
            epoch: now.map_or(1, |deed| deed.epoch),
            rows: 9,
        };
        self.said(region, ask).await
    }

    async fn said(&self, region: &str, ask: Ask) -> (bool, u64) {
        let before = *self.keeper.watch().borrow();
        let told = self.keeper.answer(&RegionId::new(region), ask).await;
        let after = *self.keeper.watch().borrow();
        (matches!(told, RegistryAnswer::Done), after - before)
    }
}

#[tokio::test]
async fn p5_a_receipt_counts_once_for_each_entry_that_took_the_region_out() {
    let cloud = Cloud::new().await;
    let (deed, other) = (made(&cloud, "photos").await, made(&cloud, "films").await);
    let name = &deed.name;
    let never = (false, 0);
    // Never placed there, neither after changes that have nothing to do with that region.
    assert_eq!(cloud.removed("second", &deed).await, never);
    cloud.placed(name, with("third")).await;
    cloud.placed(name, without("third")).await;
    assert_eq!(cloud.removed("second", &deed).await, never);
    // Placed there, and taken away, twice; one receipt for each, and none while it is there.
    for _ in 0..2 {
        cloud.placed(name, with("second")).await;
        assert_eq!(cloud.removed("second", &deed).await, never);
        cloud.placed(name, without("second")).await;
        assert_eq!(cloud.removed("second", &deed).await, (true, 1));
        let last = cloud.keeper.last_entry().unwrap();
        assert_eq!(
            (&*last.action, &*last.actor),
            ("bucket.removed", "region second")
        );
        // What is on record is not put there again, and no other change makes that another removal.
        assert_eq!(cloud.removed("second", &deed).await, (true, 0));
        cloud.placed(name, with("third")).await;
        cloud.placed(name, without("third")).await;
        assert_eq!(cloud.removed("second", &deed).await, (true, 0));
    }
    // It is that bucket's and that region's.
    assert_eq!(cloud.removed("third", &deed).await, (true, 1));
    for region in OTHERS {
        assert_eq!(cloud.removed(region, &other).await, never, "{region}");
    }
    let mut strange = BucketDeed::clone(&deed);
    strange.id = types::BucketId(deed.id.0 ^ 1);
    assert_eq!(cloud.removed("second", &strange).await, never);
}

#[tokio::test]
async fn p5_a_bucket_that_is_gone_and_the_next_of_its_name_have_no_receipts() {
    let cloud = Cloud::new().await;
    let deed = made(&cloud, "photos").await;
    cloud.placed(&deed.name, with("second")).await;
    cloud.placed(&deed.name, without("second")).await;
    let gone = cloud
        .keeper
        .remove(Actor::System, deed.name.clone(), deed.id);
    gone.await.unwrap();
    // A proof that there is no such bucket ends with its deletion.
    assert_eq!(cloud.removed("second", &deed).await, (false, 0));
    let next = bucket("photos", &deed.owner, "first");
    let next = cloud.keeper.create(Actor::System, next).await.unwrap();
    for deed in [&deed, &next] {
        assert_eq!(cloud.removed("second", deed).await, (false, 0));
    }
}

#[tokio::test]
async fn a_bucket_that_got_another_home_is_not_deleted_by_the_one_before() {
    let cloud = Cloud::new().await;
    let deed = made(&cloud, "photos").await;
    let mut by_another = BucketDeed::clone(&deed);
    by_another.home = RegionId::new("second");
    let mut before = BucketDeed::clone(&deed);
    before.epoch += 1;
    for stale in [&by_another, &before] {
        let refused = cloud.keeper.remove_for(Actor::System, stale, None).await;
        assert!(matches!(refused, Err(types::DeedError::Moved)));
        assert!(cloud.keeper.get(&deed.name).is_some());
    }
    let removed = cloud.keeper.remove_for(Actor::System, &deed, None);
    removed.await.unwrap();
    assert!(cloud.keeper.get(&deed.name).is_none());
}

/// What the home says of the others' versions and removals counts for who had a readable replica.
#[tokio::test]
async fn p5_what_a_home_says_of_others_is_of_copies_that_there_were_and_names_who_said_it() {
    let cloud = Cloud::new().await;
    let owner = cloud.tenant("acme").await;
    let mut new = bucket("photos", &owner, "second");
    new.placement.replicas = vec![Replica {
        region: RegionId::new("third"),
        sealed_by: Some(RegionId::new("second")),
    }];
    let deed = cloud.keeper.create(Actor::System, new).await.unwrap();
    let came_back = |from: &str, epoch| Ask::Divergence {
        name: deed.name.to_string(),
        from: from.to_owned(),
        epoch,
        keys: vec![format!("hmac-sha256:{}", crate::token_hash(b"key"))],
    };
    let on_word = |from: &str, epoch| {
        let said = serde_json::json!({"name": &*deed.name, "id": deed.id.0, "from": from,
            "epoch": epoch, "count": 1, "digest": crate::token_hash(b"list")});
        Ask::RemovedOnWord(serde_json::from_value(said).unwrap())
    };
    // Of nobody, of itself, of a sealed replica, of who never had one; and by who is not the home.
    let long = "x".repeat(1 << 20);
    for from in ["nowhere", &long, "second", "third", "first"] {
        for (by, epoch) in [("second", 1), ("second", 2), ("third", 1)] {
            let ask = came_back(from, epoch);
            assert_eq!(cloud.said(by, ask).await, (false, 0), "{by} {from} {epoch}");
            let ask = on_word(from, epoch);
            assert_eq!(cloud.said(by, ask).await, (false, 0), "{by} {from} {epoch}");
        }
    }
    // What was read of a region that there is not is not remembered.
    assert_eq!(
        cloud.keeper.pasts.of_regions(),
        ["first", "second", "third"]
    );
    // Of a replica that there was, also once it is gone; and who says so is on record.
    cloud.placed(&deed.name, with("first")).await;
    for gone in [false, true] {
        if gone {
            cloud.placed(&deed.name, without("first")).await;
        }
        for (ask, action) in [
            (came_back("first", 1), "bucket.divergence"),
            (on_word("first", 1), "bucket.removed_on_word"),
        ] {
            assert_eq!(
                cloud.said("second", ask).await,
                (true, 1),
                "{gone} {action}"
            );
            let last = cloud.keeper.last_entry().unwrap();
            assert_eq!((&*last.action, &*last.actor), (action, "region second"));
        }
        assert_eq!(
            cloud.said("second", came_back("first", 2)).await,
            (false, 0)
        );
        assert_eq!(cloud.said("second", on_word("first", 2)).await, (false, 0));
    }
}

#[tokio::test]
async fn receipts_that_come_at_once_make_one_entry() {
    let cloud = Cloud::new().await;
    let deed = made(&cloud, "photos").await;
    cloud.placed(&deed.name, with("second")).await;
    cloud.placed(&deed.name, without("second")).await;
    let before = *cloud.keeper.watch().borrow();
    let say = || cloud.removed("second", &deed);
    let all = tokio::join!(say(), say(), say(), say());
    assert!(all.0.0 && all.1.0 && all.2.0 && all.3.0, "{all:?}");
    assert_eq!(*cloud.keeper.watch().borrow(), before + 1);
}

/// The rows of a registry, which counts how many entries of the log were read.
struct Counted {
    rows: IndexRows,
    read: AtomicU64,
}

#[async_trait::async_trait]
impl Rows for Counted {
    async fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, store::StoreError> {
        let found = self.rows.page(prefix, after, limit).await?;
        if prefix == "e/" {
            self.read.fetch_add(found.len() as u64, Ordering::Relaxed);
        }
        Ok(found)
    }
    async fn write(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), store::StoreError> {
        self.rows.write(once, puts, removes).await
    }
}

/// What a region asks about a bucket costs the keeper little, however long its chain is.
#[tokio::test]
async fn a_buckets_chain_is_read_once_and_for_nobody_who_could_know_better() {
    let index = store::memory::Memory::new();
    let cloud = Cloud::kept_in(index.clone()).await;
    let deed = made(&cloud, "photos").await;
    let other = made(&cloud, "films").await;
    for _ in 0..8 {
        cloud.placed(&deed.name, with("second")).await;
        cloud.placed(&deed.name, without("second")).await;
    }
    let rows = Arc::new(Counted {
        rows: IndexRows(index),
        read: AtomicU64::new(0),
    });
    let keeper = opened(rows.clone(), "first", 1, Keeper::Here).await;
    rows.read.store(0, Ordering::Relaxed);
    let asked = async |region: &str, ask: Ask| {
        keeper.answer(&RegionId::new(region), ask).await;
        rows.read.swap(0, Ordering::Relaxed)
    };
    let epoch = Deeds::get(&*keeper, &deed.name).unwrap().epoch;
    let removed = |of: &BucketDeed, epoch| Ask::Removed {
        name: of.name.to_string(),
        id: of.id.0,
        epoch,
        rows: 9,
    };
    let came_back = |from: &str| Ask::Divergence {
        name: deed.name.to_string(),
        from: from.to_owned(),
        epoch,
        keys: vec!["k".into()],
    };
    let on_word = |epoch, digest: &[u8]| {
        let said = serde_json::json!({"name": &*deed.name, "id": deed.id.0, "from": "third",
            "epoch": epoch, "count": 1, "digest": hex::encode(digest)});
        Ask::RemovedOnWord(serde_json::from_value(said).unwrap())
    };
    // What memory answers: another epoch, another bucket, the home itself, who is not the home.
    for (region, ask) in [
        ("second", removed(&deed, epoch + 1)),
        ("first", removed(&deed, epoch)),
        (
            "second",
            removed(
                &BucketDeed {
                    id: other.id,
                    ..(*deed).clone()
                },
                epoch,
            ),
        ),
        ("second", came_back("third")),
        ("first", came_back("first")),
        ("second", on_word(epoch, &[0; 32])),
        ("first", on_word(epoch + 1, &[0; 32])),
        ("first", on_word(epoch, b"short")),
    ] {
        assert_eq!(asked(region, ask).await, 0, "{region}");
    }
    // The chain is read once for each region that it is about, and then on from there.
    assert_eq!(asked("third", removed(&deed, epoch)).await, 17);
    for _ in 0..3 {
        assert_eq!(asked("third", removed(&deed, epoch)).await, 0);
    }
    assert_eq!(asked("second", removed(&deed, epoch)).await, 17);
    // Its receipt is one more.
    assert_eq!(asked("second", removed(&deed, epoch)).await, 1);
    assert_eq!(asked("third", removed(&deed, epoch)).await, 1);
    assert_eq!(
        asked("first", came_back("second")).await,
        0,
        "it was read for its receipt"
    );
}
