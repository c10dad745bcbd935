//! A replica follows its home, and goes on where it was after whatever may happen to it.

use std::sync::Arc;

use http::{Response, StatusCode};
use replication::What;
use store::PartitionId;

use crate::common::{Cloud, ID, NOW, large, until};

const LARGE: usize = 600_000;

#[tokio::test]
async fn a_copy_follows_live_writes() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("before", "1").await;
    b.run();
    b.equals(&a).await;
    for n in 0..50 {
        a.put(&format!("k{}", n % 7), format!("{n}")).await;
    }
    let version = a.put("large", large(1, LARGE)).await;
    a.put("large", large(2, LARGE)).await;
    a.delete("k3", None).await;
    a.delete("large", version).await;
    b.equals(&a).await;
    assert_eq!(b.get("large").await, Some(large(2, LARGE)));
    assert_eq!(b.get("k3").await, None);
}

#[tokio::test]
async fn a_copy_that_restarts_goes_on_from_its_cursor() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    for n in 0..20 {
        a.put(&format!("k{n}"), large(n, LARGE / 4)).await;
    }
    b.equals(&a).await;
    // Until the home knows that all was applied, and so the cursor was written.
    let deed = a.view.now();
    let end = a.end().await;
    until("the replica has acknowledged", || async {
        a.replication.status().replicated(&deed, end.0)
    })
    .await;
    b.stop().await;
    let before = a.door.bodies.lock().len();
    a.put("new", large(99, LARGE)).await;
    b.run();
    b.equals(&a).await;
    assert_eq!(a.door.bodies.lock().len(), before + 1, "only the new body");
    for n in 0..20 {
        assert_eq!(a.bodies_asked(&format!("k{n}")), 1, "k{n}");
    }
}

#[tokio::test]
async fn a_copy_that_the_log_no_longer_reaches_is_seeded_anew_without_what_was_removed() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    let kept = a.put("kept", large(1, LARGE)).await;
    let gone = a.put("gone", large(2, LARGE)).await;
    let twice = a.put("kept", "newer").await;
    b.equals(&a).await;
    b.stop().await;
    a.delete("gone", gone).await;
    a.delete("kept", twice).await;
    a.put("new", "n").await;
    let end = a.end().await;
    a.engine.log.trim(PartitionId(ID.0), end).await.unwrap();
    let before = a.door.bodies.lock().len();
    b.run();
    b.equals(&a).await;
    assert_eq!(b.get("kept").await, Some(large(1, LARGE)));
    assert_eq!(b.get("gone").await, None);
    assert!(kept.is_some());
    assert_eq!(a.door.bodies.lock().len(), before, "what is here is kept");
    // And it follows from there.
    a.put("later", "l").await;
    b.equals(&a).await;
}

#[tokio::test]
async fn a_link_cut_in_a_body_ends_equal() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    a.put("first", "1").await;
    b.equals(&a).await;
    a.proxy.set_link(peer::testing::Link {
        bandwidth: Some(4 << 20),
        ..peer::testing::Link::default()
    });
    a.put("large", large(1, 6 << 20)).await;
    for cuts in 1..=3 {
        until("the body is under way", || async {
            a.bodies_asked("large") >= cuts
        })
        .await;
        // Some of it has come: what is asked for next begins behind it, or at 0 if nothing has.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        a.proxy.cut();
    }
    a.proxy.set_link(peer::testing::Link::default());
    b.equals(&a).await;
    assert!(a.bodies_asked("large") > 1);
    let bodies = a.door.bodies.lock();
    assert!(bodies.iter().any(|(_, _, offset)| *offset > 0), "resumed");
}

#[tokio::test]
async fn a_link_cut_again_and_again_during_pages_ends_equal() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    for n in 0..1500 {
        a.put(&format!("k{n:04}"), vec![n as u8; 3000]).await;
    }
    b.run();
    for n in 0..300 {
        if n % 30 == 0 {
            a.proxy.cut();
        }
        a.put(&format!("live{}", n % 40), format!("{n}")).await;
        tokio::task::yield_now().await;
    }
    a.proxy.down();
    for n in 0..600 {
        a.put(&format!("dark{n}"), format!("{n}")).await;
    }
    a.proxy.up();
    b.equals(&a).await;
}

#[tokio::test]
async fn what_could_not_be_fetched_is_fetched_later_also_after_a_restart() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    a.put("first", "1").await;
    b.equals(&a).await;
    let refuses = |_: &types::RegionId, ask: &replication::Ask| {
        let body = matches!(ask.what, What::Body { .. });
        body.then(|| {
            let mut answer = Response::new(peer::full(""));
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer
        })
    };
    *a.door.hook.write() = Some(Arc::new(refuses));
    a.put("large", large(1, LARGE)).await;
    a.put("small", "s").await;
    until("the replica has failed", || async { b.failure().is_some() }).await;
    b.stop().await;
    *a.door.hook.write() = None;
    b.run();
    b.equals(&a).await;
    assert_eq!(b.get("large").await, Some(large(1, LARGE)));
}

#[tokio::test]
async fn the_last_write_is_the_current_one_everywhere_though_the_clock_steps_back() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    a.put("k", "first").await;
    b.equals(&a).await;
    a.clock.set_ms(NOW - 60_000);
    a.put("k", "last").await;
    let versions = a.versions().await;
    assert!(versions[0].version > versions[1].version, "{versions:?}");
    b.equals(&a).await;
    assert_eq!(a.get("k").await.as_deref(), Some(&b"last"[..]));
    assert_eq!(b.get("k").await.as_deref(), Some(&b"last"[..]));
}
