//! What takes rights away holds at once, whatever becomes of the disk.

use std::time::Duration;

use store::{
    StoreError,
    faults::{Call, Fault, Script, faulty},
    memory::Memory,
};
use types::{Deeds, Holding, Replica};

use super::{
    follow_tests::{Cloud, ROOT, announcement, bucket, follower, issued, open, plan},
    *,
};
use crate::{PlacementChange, RegionStatus, token_hash};

const WITHIN: Duration = Duration::from_secs(30);

fn full() -> Fault {
    Fault::Fail(StoreError::Full("a planned fault".to_owned()))
}

fn revoked(registry: &Registry, region: &str) -> usize {
    let known = registry.region(region);
    known.map_or(0, |region| region.revoked_serials.len())
}

#[tokio::test]
async fn p5_a_follower_with_a_full_disk_hears_of_revocations_and_removals() {
    let cloud = Cloud::new().await;
    let owner = cloud.tenant("acme").await;
    let mut new = bucket("photos", &owner, "first");
    let second = RegionId::new("second");
    new.placement.replicas = vec![Replica {
        region: second.clone(),
        sealed_by: None,
    }];
    let deed = cloud.keeper.create(Actor::System, new).await.unwrap();
    let script = Script::new();
    let engine = faulty(Memory::engine(), &script);
    let copy = follower(&cloud.keeper, engine.index, "second").await;
    let following = tokio::spawn(Arc::clone(&copy).follow());
    let mut watch = copy.watch();
    let held = |registry: &Registry| {
        let deed = Deeds::get(registry, &deed.name);
        deed.map(|deed| deed.holding(&second))
    };
    let has = watch.wait_for(|_| held(&copy) == Some(Holding::Replica));
    tokio::time::timeout(WITHIN, has).await.unwrap().unwrap();

    script.always(Call::Commit, full());
    let length = *copy.watch().borrow();
    let revoking = cloud.keeper.revoke_certificates(ROOT, "third", None);
    revoking.await.unwrap();
    // A change that waits until the other region has heard of it, which it cannot say.
    let (keeper, name) = (Arc::clone(&cloud.keeper), deed.name.clone());
    let gone = second.clone();
    let placing = tokio::spawn(async move {
        let change = PlacementChange {
            remove: vec![gone],
            ..PlacementChange::default()
        };
        keeper.place_bucket(ROOT, &name, &change).await
    });
    let withdrawn =
        watch.wait_for(|_| revoked(&copy, "third") == 1 && held(&copy) == Some(Holding::Nothing));
    tokio::time::timeout(WITHIN, withdrawn)
        .await
        .unwrap()
        .unwrap();
    // Nothing of it is on the disk, and it does not count as heard.
    assert_eq!(*copy.watch().borrow(), length);

    script.clear();
    let landed = watch.wait_for(|now| *now >= length + 2);
    tokio::time::timeout(WITHIN, landed).await.unwrap().unwrap();
    assert_eq!(revoked(&copy, "third"), 1);
    assert_eq!(copy.all_regions(), cloud.keeper.all_regions());
    placing.abort();
    following.abort();
}

#[tokio::test]
async fn p5_the_keeper_revokes_before_it_writes_and_says_when_it_could_not() {
    let script = Script::new();
    let engine = faulty(Memory::engine(), &script);
    let keeper = open(Arc::clone(&engine.index), "first", 1, Keeper::Here).await;
    let own = plan("first", "DE");
    keeper
        .open_own_region(&own, &announcement(1))
        .await
        .unwrap();
    let valid = Duration::from_secs(60);
    keeper
        .plan_region(ROOT, &plan("second", "AE"), &token_hash(b"second"), valid)
        .await
        .unwrap();
    keeper
        .join(b"second", "second", &announcement(2), &issued(1))
        .await
        .unwrap();
    let opened = keeper.set_region_status(ROOT, "second", RegionStatus::Open);
    opened.await.unwrap();

    script.always(Call::Commit, full());
    let mut watch = keeper.watch();
    watch.borrow_and_update();
    let refused = keeper.revoke_certificates(ROOT, "second", None).await;
    assert!(matches!(refused, Err(CloudError::Store(_))), "{refused:?}");
    // Whoever follows revocations is told.
    assert!(watch.has_changed().unwrap());
    assert_eq!(revoked(&keeper, "second"), 1);

    script.clear();
    let gone = keeper.revoke_certificates(ROOT, "second", None).await;
    assert_eq!(gone.unwrap().len(), 1);
    drop(keeper);
    let index = engine.index;
    let again = open(Arc::clone(&index), "first", 1, Keeper::Here).await;
    assert_eq!(revoked(&again, "second"), 1);
    // A region that is closed, too: asked again, it is closed on the disk.
    let draining = again.set_region_status(ROOT, "second", RegionStatus::Draining);
    draining.await.unwrap();
    script.always(Call::Commit, full());
    let close = || again.set_region_status(ROOT, "second", RegionStatus::Closed);
    let refused = close().await;
    assert!(matches!(refused, Err(CloudError::Store(_))), "{refused:?}");
    script.clear();
    close().await.unwrap();
    // What is closed on the disk is closed: no entry says it again.
    let length = *again.watch().borrow();
    close().await.unwrap();
    assert_eq!(*again.watch().borrow(), length);
    drop(again);
    let later = open(index, "first", 1, Keeper::Here).await;
    assert_eq!(later.region("second").unwrap().status, RegionStatus::Closed);
}
