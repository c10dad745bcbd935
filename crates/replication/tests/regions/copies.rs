//! What a home says about its replicas ends with what it was said about.

use std::sync::{Arc, atomic::Ordering};

use access::Action;
use http::{Response, StatusCode};
use peer::full;
use replication::What;
use types::{BucketDeed, Judge, RegionId};

use crate::common::{Cloud, Hook, Region, deed, until};

/// Whether the home says that its replica has all that it has itself.
async fn completed(home: &Region) -> bool {
    let now = home.view.now();
    let end = home.end().await;
    let status = home.replication.status();
    let copies = status.replicas(&now);
    let said = status.replicated(&now, end.0);
    assert!(!said || copies[0].applied == Some(end.0), "{copies:?}");
    said
}

async fn caught_up(home: &Region, copy: &Region) {
    copy.equals(home).await;
    until("the replica has reported that it has all", || {
        completed(home)
    })
    .await;
}

/// A deed whose replica was added by a later change of the registry.
fn added_again(before: &BucketDeed, copy: &str, at: u64) -> Arc<BucketDeed> {
    let mut deed = before.clone();
    deed.placement.since.insert(RegionId::new(copy), at);
    Arc::new(deed)
}

fn unavailable() -> Hook {
    answers_no(|what| matches!(what, What::Head | What::Snapshot { .. }))
}

/// Questions of that kind get no answer.
fn answers_no(which: fn(&What) -> bool) -> Hook {
    Arc::new(move |_, ask| {
        which(&ask.what).then(|| {
            let mut answer = Response::new(full("not now"));
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer
        })
    })
}

#[tokio::test]
async fn a_copy_that_was_removed_and_added_again_has_nothing_until_it_says_so() {
    let [a, mut b] = Cloud::two().await;
    b.run();
    for n in 0..20 {
        a.put(&format!("key{n}"), "bytes").await;
    }
    caught_up(&a, &b).await;
    // The replica learns of the removal and removes its rows; the home learns of both changes at
    // once.
    let first = a.view.now();
    b.view.hears(&deed("a", &[], 1));
    until("the replica's rows are gone", || async {
        b.rows().await == 0
    })
    .await;
    *a.door.hook.write() = Some(unavailable());
    let again = added_again(&first, "b", 7);
    a.view.hears(&again);
    assert!(!completed(&a).await, "before the new replica has asked");
    b.view.hears(&again);
    until("the new replica asks", || async { b.failure().is_some() }).await;
    assert!(!completed(&a).await, "while it has nothing");
    assert_eq!(
        a.replication.status().replicas(&again)[0].applied,
        None,
        "while it has nothing"
    );
    // A question about the replica before, which was long on its way, says nothing of this one.
    let late = b.far(&a, &first);
    let after = a.end().await.0;
    let late = late.tell(What::Changes {
        after,
        wait_ms: 0,
        applied: None,
    });
    late.await.unwrap();
    assert!(!completed(&a).await, "it was said of the replica before");
    *a.door.hook.write() = None;
    caught_up(&a, &b).await;
    assert_eq!(b.keys().await.len(), 20);
}

#[tokio::test]
async fn what_was_followed_for_a_replica_that_was_removed_says_nothing_of_another_one() {
    // Also where nothing else has changed, which raises no epoch.
    for epoch in [1, 3] {
        removed_and_added_again(epoch).await;
    }
}

async fn removed_and_added_again(epoch: u64) {
    let [a, mut b] = Cloud::two().await;
    b.run();
    a.put("key", "bytes").await;
    caught_up(&a, &b).await;
    let source = b.replication.source();
    assert!(source.followed(&b.view.now()).await.unwrap());
    // It is removed and added again, and the replica's region learns of neither.
    let again = BucketDeed {
        epoch,
        ..BucketDeed::clone(&added_again(&a.view.now(), "b", 7))
    };
    let again = Arc::new(again);
    a.view.hears(&again);
    let asked = a.far(&b, &again);
    let followed = || async { asked.read::<bool>(What::Followed).await.unwrap() };
    assert!(!followed().await, "it knows of another replica only");
    // It learns of both at once, and still has the rows of before.
    *a.door.hook.write() = Some(answers_no(|what| {
        matches!(what, What::Head | What::Changes { .. })
    }));
    b.view.hears(&again);
    until("it asks as the new replica", || async {
        b.failure().is_some()
    })
    .await;
    assert!(b.get("key").await.is_some());
    assert!(!followed().await, "it has got nothing as the new replica");
    *a.door.hook.write() = None;
    until("it has got all", followed).await;
    // What else changes of the placement later changes nothing of that.
    let later = BucketDeed {
        epoch: epoch + 1,
        ..BucketDeed::clone(&again)
    };
    assert!(source.followed(&Arc::new(later)).await.unwrap());
}

#[tokio::test]
async fn what_another_start_of_a_copys_region_said_does_not_count() {
    let [a, mut b] = Cloud::two().await;
    b.run();
    a.put("key", "bytes").await;
    caught_up(&a, &b).await;
    b.stop().await;
    assert!(completed(&a).await, "nobody has said otherwise yet");
    // The region starts again, perhaps from an older state of its folder, and asks something.
    b.view.instance.store(2, Ordering::SeqCst);
    let far = b.far(&a, &a.view.now());
    far.tell(What::Usage).await.unwrap();
    assert!(!completed(&a).await);
    // A question of the start before that comes late brings nothing back.
    b.view.instance.store(1, Ordering::SeqCst);
    far.tell(What::Usage).await.unwrap();
    assert!(!completed(&a).await);
    b.view.instance.store(3, Ordering::SeqCst);
    b.run();
    caught_up(&a, &b).await;
}

#[tokio::test]
async fn a_position_that_the_homes_log_never_gave_says_nothing() {
    let [a, b] = Cloud::two().await;
    a.put("key", "bytes").await;
    let far = b.far(&a, &a.view.now());
    let after = a.end().await.0 + (1 << 40);
    let asked = far.tell(What::Changes {
        after,
        wait_ms: 0,
        applied: None,
    });
    asked.await.unwrap();
    assert!(!completed(&a).await);
    a.put("later", "bytes").await;
    assert!(!completed(&a).await);
    let copies = a.replication.status().replicas(&a.view.now());
    assert_eq!(copies[0].applied, None);
}

#[tokio::test]
async fn a_bucket_is_not_deleted_before_its_replicas_have_handed_over_what_they_alone_have() {
    let [mut a, mut b] = Cloud::two().await;
    a.objects.judged_by(a.replication.promises().clone());
    b.run();
    b.follows().await;
    b.stop().await;
    // Another way of taking writes, or another home: what b took before that may be there alone.
    let next = deed("a", &["b"], 2);
    for region in [&a, &b] {
        region.view.hears(&next);
    }
    a.run();
    let permit = a.permit(Action::DeleteBucket);
    let refused = a.objects.delete_bucket(&permit).await;
    let Err(objects::Error::NotNow(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        why.0.contains("not handed over yet") && why.0.contains(": b."),
        "{why}"
    );
    b.run();
    let promises = a.replication.promises();
    until("b has handed over", || async {
        promises.has_all(&next).is_ok()
    })
    .await;
}
