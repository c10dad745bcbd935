//! Reads that are under way when the bucket is taken away from the region.

use std::time::Duration;

use access::Action;
use objects::{Error, GetRequest, ObjectContent, ObjectReader};
use replication::MayRemove;

use crate::common::*;

const LONG: usize = 4 << 20;

/// A read of a large object that has begun.
async fn begun(of: &Region, at: &str) -> ObjectReader {
    let (permit, request) = (of.permit(Action::GetObject), GetRequest::default());
    let view = of.objects.get(&permit, &key(at), &request).await.unwrap();
    let Some(ObjectContent::Reader(mut reader)) = view.content else {
        panic!("an object that is in memory");
    };
    assert!(reader.next().await.unwrap().is_some());
    reader
}

/// It gets nothing more, and never a clean end.
async fn is_over(mut reader: ObjectReader) {
    let ended = reader.ended().unwrap();
    for _ in 0..2 {
        let next = reader.next().await;
        assert!(matches!(next, Err(Error::NotHere)), "{next:?}");
    }
    // Whoever does not ask for more learns it as well.
    tokio::time::timeout(WITHIN, ended).await.unwrap();
}

#[tokio::test]
async fn p5_a_read_under_way_ends_where_the_bucket_is_placed_no_more() {
    let [a, mut b] = Cloud::two().await;
    a.put("long", large(1, LONG)).await;
    b.run();
    b.follows().await;
    until("it is there", || async { b.get("long").await.is_some() }).await;
    let (here, at_home) = (begun(&b, "long").await, begun(&a, "long").await);
    // Also while the rows stay and could be brought back.
    *b.view.removal.lock() = MayRemove::Later(Duration::from_secs(3600));
    let alone = deed("a", &[], 1);
    b.view.hears(&alone);
    is_over(here).await;
    assert!(b.rows().await > 0);
    a.view.hears(&alone);
    let mut rest = at_home;
    while rest.next().await.unwrap().is_some() {}
}

#[tokio::test]
async fn p5_a_read_goes_on_when_its_copy_becomes_the_home() {
    let [a, mut b] = Cloud::two().await;
    a.put("long", large(1, LONG)).await;
    b.run();
    until("it is there", || async { b.get("long").await.is_some() }).await;
    let mut reader = begun(&b, "long").await;
    b.view.hears(&deed("b", &["a"], 2));
    while reader.next().await.unwrap().is_some() {}
}

#[tokio::test]
async fn p5_a_removal_is_on_record_once_the_last_reader_has_ended() {
    let [a, mut b] = Cloud::two().await;
    a.put("long", large(1, LONG)).await;
    b.run();
    until("it is there", || async { b.get("long").await.is_some() }).await;
    let reader = begun(&b, "long").await;
    b.view.hears(&deed("a", &[], 1));
    until("its rows are gone", || async { b.rows().await == 0 }).await;
    // Somebody takes nothing of what it was given before.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(b.view.removed.lock().is_empty());
    drop(reader);
    until("it is on record", || async {
        b.view.removed.lock().len() == 1
    })
    .await;
    assert!(b.view.removed.lock()[0] > 0);
}
