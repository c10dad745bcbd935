//! What counts as the registry's word that rows of a bucket are to go.

use std::sync::Arc;

use store::{Index, memory::Memory};
use types::{BucketDeed, BucketId, BucketName, Deeds, Jurisdiction, RegionId, Replica};

use super::follow_tests::{Cloud, ROOT, announcement, bucket, follower, open, plan};
use super::*;
use crate::{Order, PlacementChange, Removal};

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

/// `photos`, with its home in the first region; nobody but the keeper need know it.
async fn photos(cloud: &Cloud) -> BucketName {
    let owner = cloud.tenant("acme").await;
    let made = cloud
        .keeper
        .create(Actor::System, bucket("photos", &owner, "first"))
        .await;
    made.unwrap().name.clone()
}

/// Changes the placement; the regions that held the bucket are not waited for.
async fn place(cloud: &Cloud, name: &BucketName, change: PlacementChange) {
    let placing = cloud.keeper.place_bucket(ROOT, name, &change);
    let following = cloud.catch_up_with();
    let (placed, ()) = tokio::join!(placing, following);
    placed.unwrap();
}

impl Cloud {
    /// The second region follows until it has all of one more change.
    async fn catch_up_with(&self) {
        let before = *self.second.watch().borrow();
        let mut watch = self.second.watch();
        let following = tokio::spawn(Arc::clone(&self.second).follow());
        watch.wait_for(|length| *length > before).await.unwrap();
        // The keeper learns by the next question that this one was received.
        let mut heard = self.keeper.heard.subscribe();
        let region = RegionId::new("second");
        let told = heard.wait_for(|heard| heard.get(&region).is_some_and(|n| *n > before));
        told.await.unwrap();
        following.abort();
    }
}

fn doubts(removal: &Removal) -> &str {
    match removal {
        Removal::Doubt(why) => why,
        Removal::Ordered(order) => panic!("no doubt: {order:?}"),
    }
}

fn known(registry: &Registry, name: &BucketName) -> Arc<BucketDeed> {
    Deeds::get(registry, name).unwrap()
}

#[tokio::test]
async fn rows_go_by_an_entry_that_took_the_region_out_and_the_keepers_word_that_it_holds() {
    let cloud = Cloud::new().await;
    let name = photos(&cloud).await;
    cloud.catch_up().await;
    let deed = known(&cloud.second, &name);
    // Never placed here: whose rows would these be?
    assert!(doubts(&cloud.second.removal(&deed).await).contains("no entry"));
    assert!(doubts(&cloud.keeper.removal(&deed).await).contains("no entry"));
    place(&cloud, &name, with("second")).await;
    let held = known(&cloud.second, &name);
    assert!(doubts(&cloud.second.removal(&held).await).contains("no entry"));
    place(&cloud, &name, without("second")).await;
    let gone = known(&cloud.second, &name);
    let last = *cloud.keeper.watch().borrow() - 1;
    match cloud.second.removal(&gone).await {
        Removal::Ordered(Order { entry, prompt, .. }) => assert_eq!((entry, prompt), (last, false)),
        Removal::Doubt(why) => panic!("{why}"),
    }
    // The keeper places it here again, and this region does not know it.
    let again = cloud
        .keeper
        .place_bucket(ROOT, &name, &with("second"))
        .await;
    again.unwrap();
    assert!(doubts(&cloud.second.removal(&gone).await).contains("any more"));
    // Another bucket under the same name is no proof about this one.
    let mut other = BucketDeed::clone(&gone);
    other.id = BucketId(other.id.0 ^ 1);
    assert!(doubts(&cloud.second.removal(&other).await).contains("no entry"));
}

#[tokio::test]
async fn rows_stay_while_the_keeper_is_away_or_was_put_back_or_knows_another_region() {
    let cloud = Cloud::new().await;
    let name = photos(&cloud).await;
    cloud.catch_up().await;
    place(&cloud, &name, with("second")).await;
    place(&cloud, &name, without("second")).await;
    let gone = known(&cloud.second, &name);
    // The same rows, and a keeper with less in its log.
    let older = open(Memory::new(), "first", 1, Keeper::Here).await;
    older
        .open_own_region(&plan("first", "DE"), &announcement(1))
        .await
        .unwrap();
    let valid = std::time::Duration::from_secs(60);
    older
        .plan_region(ROOT, &plan("second", "AE"), "hash", valid)
        .await
        .unwrap();
    let behind = follower(&older, Arc::clone(&cloud.rows), "second").await;
    assert!(doubts(&behind.removal(&gone).await).contains("older state"));
    // A keeper that does not know the asker.
    let nobody = open(Memory::new(), "first", 1, Keeper::Here).await;
    let strange = follower(&nobody, Arc::clone(&cloud.rows), "second").await;
    assert!(doubts(&strange.removal(&gone).await).contains("does not say so now"));
    // The folder is opened under another id than the keeper knows it by.
    let rows: Arc<dyn Index> = Arc::clone(&cloud.rows);
    let alias = super::follow_tests::misnamed(&cloud.keeper, rows, "second", "third").await;
    assert!(doubts(&alias.removal(&gone).await).contains("no entry"));
}

#[tokio::test]
async fn what_the_law_forbids_or_the_customer_has_deleted_goes_at_once() {
    let cloud = Cloud::new().await;
    let name = photos(&cloud).await;
    cloud.catch_up().await;
    place(&cloud, &name, with("second")).await;
    let lawful = PlacementChange {
        jurisdictions: Some(vec![Jurisdiction::parse("EU").unwrap()]),
        ..without("second")
    };
    place(&cloud, &name, lawful).await;
    let gone = known(&cloud.second, &name);
    match cloud.second.removal(&gone).await {
        Removal::Ordered(order) => assert!(order.prompt),
        Removal::Doubt(why) => panic!("{why}"),
    }
    let owner = gone.owner.clone();
    let other = cloud
        .keeper
        .create(Actor::System, bucket("other", &owner, "first"))
        .await;
    let other = other.unwrap();
    cloud.catch_up().await;
    place(&cloud, &other.name, with("second")).await;
    let held = known(&cloud.second, &other.name);
    cloud
        .keeper
        .remove(Actor::System, other.name.clone(), other.id)
        .await
        .unwrap();
    // It does not know of the end yet.
    assert!(doubts(&cloud.second.removal(&held).await).contains("no entry"));
    cloud.catch_up_with().await;
    match cloud.second.removal(&held).await {
        Removal::Ordered(order) => assert!(order.prompt),
        Removal::Doubt(why) => panic!("{why}"),
    }
}
