//! Stamps that are ahead of their time: they stop nothing, and count once their time has come.

use replication::What;
use store::PartitionId;

use crate::common::{Cloud, ID, NOW, deed, until};

const HOUR: u64 = 3_600_000;

#[tokio::test]
async fn a_version_ahead_of_its_time_stops_nothing_behind_it() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    a.put("before", "1").await;
    b.equals(&a).await;
    // The clock of the home is wrong for a while, and is put right.
    a.clock.set_ms(NOW + HOUR);
    a.put("far", "f").await;
    let gone = a.put("gone", "g").await;
    a.clock.set_ms(NOW + 1000);
    a.delete("gone", gone).await;
    for n in 0..20 {
        a.put(&format!("after{n}"), "a").await;
    }
    until("what is behind it comes", || async {
        b.get("after19").await.is_some()
    })
    .await;
    assert_eq!(b.get("far").await, None);
    // It is named, and nothing after it counts as copied.
    let (now, end) = (a.view.now(), a.end().await);
    until("the home learns how far all is applied", || async {
        let copies = a.replication.status().replicas(&now);
        copies[0].applied.is_some_and(|at| at < end.0)
    })
    .await;
    assert!(!a.replication.status().replicated(&now, end.0));
    assert_eq!(b.objects.asides(), [(ID, a.id.clone(), 1)]);
    // After a restart too.
    b.stop().await;
    b.run();
    until("it is read again", || async {
        b.objects.asides().len() == 1
    })
    .await;
    assert!(!a.replication.status().replicated(&now, end.0));
    // A snapshot neither stops at it nor takes it over.
    let end = a.end().await;
    a.engine.log.trim(PartitionId(ID.0), end).await.unwrap();
    b.stop().await;
    b.run();
    a.put("later", "l").await;
    until("the snapshot is taken", || async {
        b.get("later").await.is_some()
    })
    .await;
    assert_eq!(b.get("far").await, None);
    // Its time comes.
    a.clock.set_ms(NOW + HOUR);
    b.equals(&a).await;
    assert!(b.get("far").await.is_some() && b.get("gone").await.is_none());
    until("nothing is set aside", || async {
        b.objects.asides().is_empty()
    })
    .await;
    a.put("last", "l").await;
    let end = a.end().await;
    until("all counts as copied", || async {
        a.replication.status().replicated(&now, end.0)
    })
    .await;
}

#[tokio::test]
async fn what_an_old_home_wrote_ahead_of_its_time_keeps_no_copy_from_following() {
    let [mut a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    a.put("shared", "1").await;
    b.equals(&a).await;
    b.stop().await;
    a.clock.set_ms(NOW + HOUR);
    a.put("far", "f").await;
    a.clock.set_ms(NOW + 1000);
    a.put("alone", "a").await;
    let second = deed("b", &["a"], 2);
    a.view.hears(&second);
    b.view.hears(&second);
    b.run();
    a.run();
    b.put("new", "n").await;
    until("the old home follows", || async {
        a.get("new").await.is_some() && b.get("alone").await.is_some()
    })
    .await;
    // Nothing that was acknowledged goes: it is taken over in its time.
    assert!(a.get("far").await.is_some() && b.get("far").await.is_none());
    a.clock.set_ms(NOW + HOUR);
    b.equals(&a).await;
    assert!(b.get("far").await.is_some());
}

#[tokio::test]
async fn a_question_never_says_that_more_is_applied_than_was_read() {
    let [a, b] = Cloud::two().await;
    a.versioning().await;
    a.put("one", "1").await;
    let (now, end) = (a.view.now(), a.end().await);
    let far = b.far(&a, &now);
    let ask = |after, applied| What::Changes {
        after,
        wait_ms: 0,
        applied,
    };
    far.tell(ask(0, Some(u64::MAX))).await.unwrap();
    assert!(!a.replication.status().replicated(&now, 1));
    far.tell(ask(end.0, Some(0))).await.unwrap();
    assert!(!a.replication.status().replicated(&now, 1));
    far.tell(ask(end.0, None)).await.unwrap();
    assert!(a.replication.status().replicated(&now, end.0));
}
