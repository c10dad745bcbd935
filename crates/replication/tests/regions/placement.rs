//! What may leave a region and what may come into it: each side decides by the deed it knows.

use std::{sync::Arc, time::Duration};

use replication::{Far, MayRemove, ReplicationError, What};
use types::BucketDeed;

use crate::common::{Cloud, Region, deed, deed_within, large, until};

fn refused<T: std::fmt::Debug>(answer: Result<T, ReplicationError>, status: &str) {
    match answer {
        Err(ReplicationError::Refused(why)) if why.starts_with(status) => {}
        other => panic!("not refused with {status}: {other:?}"),
    }
}

/// Every question that hands something out.
async fn all_questions(far: &Far, (key, version): (String, String)) -> Vec<String> {
    let one = || vec![(key.clone(), version.clone())];
    let whats = [
        What::Head,
        What::Changes {
            after: 0,
            wait_ms: 0,
            applied: None,
        },
        What::Snapshot {
            from: String::new(),
        },
        What::Body {
            key: key.clone(),
            version: version.clone(),
            offset: 0,
        },
        What::Lacking { versions: one() },
        What::Offer { versions: one() },
        What::Version {
            key: key.clone(),
            version: version.clone(),
        },
    ];
    let mut whys = Vec::new();
    for what in whats {
        match far.tell(what).await {
            Err(ReplicationError::Refused(why)) => whys.push(why),
            other => panic!("not refused: {other:?}"),
        }
    }
    whys
}

async fn a_version(of: &Region) -> (String, String) {
    let first = of.versions().await.remove(0);
    (first.key.to_string(), first.version.to_string())
}

#[tokio::test]
async fn p8_a_placement_removed_while_it_is_followed_lets_nothing_more_out_and_is_discarded() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    a.put("before", large(1, 300_000)).await;
    b.equals(&a).await;
    let held = deed("a", &["b"], 1);
    let gone = deed("a", &[], 1);
    // The home knows it; the replica does not, and goes on asking.
    a.view.hears(&gone);
    a.put("secret", large(2, 300_000)).await;
    until("the replica is refused", || async { b.failure().is_some() }).await;
    assert!(b.failure().unwrap().contains("403"), "{:?}", b.failure());
    let name = a_version(&a).await;
    for why in all_questions(&b.far(&a, &held), name).await {
        assert!(why.starts_with("403"), "{why}");
    }
    assert_eq!(a.bodies_asked("secret"), 0);
    assert_eq!(b.keys().await, ["before"]);
    // Now it learns it.
    b.view.hears(&gone);
    until("all is discarded", || async { b.rows().await == 0 }).await;
    let blobs = || async { b.engine.blobs.list(None, 10).await.unwrap().len() };
    until("its bytes too", || async { blobs().await == 0 }).await;
    assert_eq!(a.keys().await, ["before", "secret"]);
}

#[tokio::test]
async fn rows_that_are_not_placed_here_stay_until_the_registry_is_certain() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    a.put("kept", large(1, 300_000)).await;
    b.equals(&a).await;
    let (held, gone) = (deed("a", &["b"], 1), deed("a", &[], 1));
    *b.view.removal.lock() = MayRemove::No("nobody says so".into());
    b.view.hears(&gone);
    let asked = b.view.asked();
    until("the registry was asked again after a doubt", || async {
        b.view.asked() > asked + 1
    })
    .await;
    assert_eq!(b.keys().await, ["kept"]);
    // Placed here again: what stayed is what it goes on with.
    b.view.hears(&held);
    a.put("later", "x").await;
    b.equals(&a).await;
    assert_eq!(a.bodies_asked("kept"), 1, "nothing was fetched twice");
    // There is a time in which it can be brought back.
    *b.view.removal.lock() = MayRemove::Later(Duration::from_millis(300));
    let asked = b.view.asked();
    b.view.hears(&gone);
    until("it was asked twice", || async {
        b.view.asked() > asked + 1
    })
    .await;
    assert_eq!(b.keys().await, ["kept", "later"]);
    *b.view.removal.lock() = MayRemove::Yes;
    until("all is removed", || async { b.rows().await == 0 }).await;
}

#[tokio::test]
async fn p8_a_destination_that_knows_better_takes_nothing() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("secret", large(1, 300_000)).await;
    // The home still serves the replica; the replica knows that the law has changed.
    b.view.hears(&deed_within("a", &["b"], &["DE"]));
    b.run();
    until("following is refused here, or something came", || async {
        b.failure().is_some() || b.rows().await > 0
    })
    .await;
    assert_eq!(b.rows().await, 0);
    assert!(b.failure().unwrap().contains("not allowed here"));
    assert!(a.door.bodies.lock().is_empty(), "nothing was asked for");
    // The same while it follows: nothing more comes in.
    b.view.hears(&deed("a", &["b"], 1));
    b.equals(&a).await;
    b.view.hears(&deed_within("a", &["b"], &["DE"]));
    a.put("more", large(2, 300_000)).await;
    until("following is refused here, or something came", || async {
        b.failure().is_some() || b.versions().await.len() > 1
    })
    .await;
    assert_eq!(b.keys().await, ["secret"]);
}

#[tokio::test]
async fn p8_a_source_that_knows_better_hands_nothing_out() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("secret", "s").await;
    a.view.hears(&deed_within("a", &["b"], &["DE"]));
    b.run();
    until("following is refused there, or something came", || async {
        b.failure().is_some() || !b.versions().await.is_empty()
    })
    .await;
    assert!(b.versions().await.is_empty());
    assert!(b.failure().unwrap().contains("403"), "{:?}", b.failure());
    // It is the outdated side that catches up.
    a.view.hears(&deed("a", &["b"], 1));
    b.equals(&a).await;
}

#[tokio::test]
async fn another_epoch_is_refused_at_the_source_and_ends_the_following_at_the_copy() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("one", "1").await;
    let name = a_version(&a).await;
    for epoch in [0, 2, u64::MAX] {
        let other: Arc<BucketDeed> = deed("a", &["b"], epoch);
        for why in all_questions(&b.far(&a, &other), name.clone()).await {
            assert!(why.starts_with("409"), "{why}");
        }
    }
    b.run();
    b.equals(&a).await;
    // The replica does not know the new epoch: nothing more reaches it.
    a.view.hears(&deed("a", &["b"], 2));
    a.put("two", "2").await;
    until("the replica is refused", || async { b.failure().is_some() }).await;
    assert!(b.failure().unwrap().contains("409"), "{:?}", b.failure());
    assert_eq!(b.keys().await, ["one"]);
    b.view.hears(&deed("a", &["b"], 2));
    b.equals(&a).await;
}

#[tokio::test]
async fn a_region_that_is_no_place_of_the_bucket_learns_nothing() {
    let all = Cloud::start(&[("a", "DE"), ("b", "FR"), ("x", "IE")]).await;
    let [a, _, x] = <[Region; 3]>::try_from(all).ok().unwrap();
    let real = deed("a", &["b"], 1);
    a.view.hears(&real);
    a.put("secret", "s").await;
    let name = a_version(&a).await;
    // It invents a deed that names it.
    let invented = deed("a", &["b", "x"], 1);
    for why in all_questions(&x.far(&a, &invented), name).await {
        assert!(why.starts_with("403"), "{why}");
    }
    let mut other = BucketDeed::clone(&invented);
    other.id = types::BucketId(8);
    refused(x.far(&a, &Arc::new(other)).tell(What::Head).await, "403");
}
