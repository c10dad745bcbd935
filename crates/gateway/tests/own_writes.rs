//! What a client wrote through a region is what it reads there next, also where the replica is
//! behind.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use std::sync::atomic::Ordering;

use common::cloud::{ALICE, Cloud};

/// Each write through the replica, and what shows it.
const SHOWN: [(&str, &str, Headers, &str, &str); 4] = [
    ("PUT", "/papers/k", &[], "first", "/papers/k"),
    (
        "PUT",
        "/papers/k?tagging=",
        TAGS,
        TAGGING,
        "/papers/k?tagging=",
    ),
    (
        "PUT",
        "/papers/c",
        &[("x-amz-copy-source", "/papers/k")],
        "",
        "/papers/c",
    ),
    ("DELETE", "/papers/k", &[], "", "/papers/k"),
];
type Headers = &'static [(&'static str, &'static str)];
const TAGS: Headers = &[("content-type", "application/xml")];
const TAGGING: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_through_a_copy_is_seen_there_at_once() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |_| {});
    // What replication has brought: the bucket, and a key that nobody writes.
    cloud.plant("copy-1", &deed, "other", "at the copy").await;
    let (copy, home) = (cloud.at("copy-1", ALICE), cloud.at("home-1", ALICE));
    for (method, target, headers, body, shown) in SHOWN {
        let done = copy.send(method, target, headers, body).await;
        assert!(done.status < 300, "{method} {target}: {done:?}");
        assert_eq!(done.header("x-dhow-position"), None);
        let expected = home.send("GET", shown, &[], "").await;
        let got = copy.send("GET", shown, &[], "").await;
        let bodies = (got.text(), expected.text());
        assert_eq!(got.status, expected.status, "{method} {target}: {got:?}");
        assert!(
            got.status == 404 || bodies.0 == bodies.1,
            "{method} {target}"
        );
        assert_eq!(got.header("x-dhow-region"), Some("home-1"));
    }
    cloud.passes();
    let listed = copy.send("GET", "/papers?list-type=2", &[], "").await;
    assert!(listed.text().contains("<Key>c</Key>"), "{listed:?}");
    assert_eq!(cloud.passes(), ["copy-1>home-1"]);
    // Not once the replica has applied it; until then nobody else's reads go there for it.
    cloud.network.copied.store(u64::MAX, Ordering::Relaxed);
    for (target, status) in [("/papers/other", 200), ("/papers/c", 404)] {
        let got = copy.send("GET", target, &[], "").await;
        assert_eq!(got.status, status, "{target}: {got:?}");
    }
    assert_eq!(cloud.passes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_behind_reads_other_keys_itself_and_waits_for_no_home() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |_| {});
    cloud.plant("copy-1", &deed, "other", "at the copy").await;
    let copy = cloud.at("copy-1", ALICE);
    assert_eq!(
        copy.send("PUT", "/papers/k", &[], "first").await.status,
        200
    );
    cloud.passes();
    let got = copy.send("GET", "/papers/other", &[], "").await;
    assert_eq!((got.status, &*got.text()), (200, "at the copy"));
    let head = copy.send("HEAD", "/papers", &[], "").await;
    assert_eq!((head.status, cloud.passes()), (200, vec![]));
    // An older state is not shown for want of the newer one.
    cloud.network.down.lock().insert("home-1".to_owned());
    assert_eq!(copy.send("GET", "/papers/k", &[], "").await.status, 503);
    // Nor while the replica does not follow the next home yet; from then on it has what that has.
    cloud.bucket("papers", |deed| {
        deed.epoch = 2;
        deed.home = types::RegionId::new("away-1");
    });
    cloud.network.down.lock().insert("away-1".to_owned());
    assert_eq!(copy.send("GET", "/papers/k", &[], "").await.status, 503);
    cloud.network.copied.store(1, Ordering::Relaxed);
    assert_eq!(copy.send("GET", "/papers/k", &[], "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_through_a_region_without_a_copy_is_seen_there_at_once() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("open", |deed| deed.placement.proxy = true);
    cloud.plant("copy-1", &deed, "k", "the state before").await;
    let away = cloud.at("away-1", ALICE);
    assert_eq!(away.send("PUT", "/open/k", &[], "new").await.status, 200);
    cloud.passes();
    // The replica is nearer, and behind.
    let got = away.send("GET", "/open/k", &[], "").await;
    assert_eq!((got.status, &*got.text()), (200, "new"), "{got:?}");
    assert_eq!(got.header("x-dhow-at-least"), None);
    assert_eq!(cloud.passes(), ["away-1>copy-1", "away-1>home-1"]);
    let got = away.send("GET", "/open/other", &[], "").await;
    assert_eq!((got.status, cloud.passes().len()), (404, 1));
    cloud.network.copied.store(u64::MAX, Ordering::Relaxed);
    let got = away.send("GET", "/open/k", &[], "").await;
    assert_eq!(got.text(), "the state before");
    assert_eq!(got.header("x-dhow-at-least"), None);
    assert_eq!(cloud.passes(), ["away-1>copy-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_copy_that_says_that_it_compared_has_applied_a_write() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("open", |deed| deed.placement.proxy = true);
    cloud.plant("copy-1", &deed, "k", "the state before").await;
    cloud.network.older.lock().insert("copy-1".to_owned());
    let away = cloud.at("away-1", ALICE);
    assert_eq!(away.send("PUT", "/open/k", &[], "new").await.status, 200);
    // Neither the first answer without a word about it nor any later one ends the mark.
    for _ in 0..3 {
        let got = away.send("GET", "/open/k", &[], "").await;
        assert_eq!((got.status, &*got.text()), (200, "new"), "{got:?}");
    }
    cloud.network.older.lock().clear();
    let got = away.send("GET", "/open/k", &[], "").await;
    assert_eq!(got.text(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_takes_writes_shows_what_is_newest_there() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| {
        deed.placement.writes = types::Writes::Any;
    });
    cloud.plant("copy-1", &deed, "k", "before").await;
    let copy = cloud.at("copy-1", ALICE);
    let only_new = [("if-none-match", "*")];
    let put = copy
        .send("PUT", "/papers/k", &only_new, "by the home")
        .await;
    assert_eq!(
        (put.status, put.header("x-dhow-region")),
        (200, Some("home-1"))
    );
    // What comes after waits for the replica to apply that, and so comes after it in time. A delete
    // would find nothing before. (Other keys: what waits may still be done when it is given up.)
    let soon = std::time::Duration::from_millis(200);
    for (method, target) in [("PUT", "/papers/w"), ("DELETE", "/papers/d")] {
        let put = copy.send("PUT", target, &only_new, "by the home").await;
        assert_eq!(put.status, 200);
        let mut sent = std::pin::pin!(copy.send(method, target, &[], "x"));
        let early = tokio::time::timeout(soon, &mut sent).await;
        assert!(early.is_err(), "{method}: {early:?}");
    }
    let put = copy.send("PUT", "/papers/other", &[], "x").await;
    assert_eq!((put.status, put.header("x-dhow-region")), (200, None));
    cloud.network.copied.store(u64::MAX, Ordering::Relaxed);
    let put = copy.send("PUT", "/papers/k", &[], "by the copy").await;
    assert_eq!((put.status, put.header("x-dhow-region")), (200, None));
    assert_eq!(
        copy.send("GET", "/papers/k", &[], "").await.text(),
        "by the copy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_takes_writes_shows_what_was_written_there_and_at_home() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| {
        deed.placement.writes = types::Writes::Any;
    });
    cloud.plant("copy-1", &deed, "a", "as replicated").await;
    let copy = cloud.at("copy-1", ALICE);
    assert_eq!(copy.send("PUT", "/papers/b", &[], "b").await.status, 200);
    cloud.passes();
    let got = copy.send("GET", "/papers/b", &[], "").await;
    assert_eq!((got.status, &*got.text()), (200, "b"), "{got:?}");
    let listed = copy.send("GET", "/papers?list-type=2", &[], "").await;
    assert!(listed.text().contains("<Key>b</Key>"), "{listed:?}");
    assert_eq!(cloud.passes(), [""; 0]);
    // A listing waits for what the home decided, and is the replica's own.
    let only_this = [("if-none-match", "*")];
    let put = copy.send("PUT", "/papers/c", &only_this, "c").await;
    assert_eq!(put.header("x-dhow-region"), Some("home-1"));
    cloud.passes();
    let mut listing = std::pin::pin!(copy.send("GET", "/papers?list-type=2", &[], ""));
    let soon = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(soon, &mut listing).await.is_err());
    cloud.network.copied.store(u64::MAX, Ordering::Relaxed);
    let listed = listing.await;
    assert!(listed.text().contains("<Key>b</Key>"), "{listed:?}");
    assert_eq!(cloud.passes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_decides_with_what_was_written_at_the_copy_that_asks() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| {
        deed.placement.writes = types::Writes::Any;
    });
    cloud.plant("copy-1", &deed, "a", "as replicated").await;
    let copy = cloud.at("copy-1", ALICE);
    *cloud.network.unread.lock() = true;
    assert_eq!(copy.send("PUT", "/papers/k", &[], "k").await.status, 200);
    cloud.passes();
    let only_new = [("if-none-match", "*")];
    for (target, headers) in [("/papers/k", &only_new[..]), ("/papers?tagging=", TAGS)] {
        let refused = copy.send("PUT", target, headers, TAGGING).await;
        assert_eq!(refused.status, 503, "{target}: {refused:?}");
        assert!(refused.text().contains("home-1"), "{refused:?}");
    }
    assert_eq!(cloud.passes(), [""; 0]);
    *cloud.network.unread.lock() = false;
    let put = copy.send("PUT", "/papers/b", &only_new, "b").await;
    assert_eq!(
        (put.status, put.header("x-dhow-region")),
        (200, Some("home-1"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_by_documents_that_were_replaced() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |_| {});
    cloud.plant("copy-1", &deed, "a", "as replicated").await;
    let copy = cloud.at("copy-1", ALICE);
    let tagged = copy.send("PUT", "/papers?tagging=", TAGS, TAGGING).await;
    assert_eq!(tagged.header("x-dhow-region"), Some("home-1"));
    let mut reading = std::pin::pin!(copy.send("GET", "/papers/a", &[], ""));
    let soon = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(soon, &mut reading).await.is_err());
    // What was configured is read in the home meanwhile.
    let tags = copy.send("GET", "/papers?tagging=", &[], "").await;
    assert_eq!(tags.header("x-dhow-region"), Some("home-1"), "{tags:?}");
    cloud.network.copied.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(reading.await.status, 200);
}
