//! Which segments are worth compacting.

use super::*;

async fn tiny(engine: &Embedded, n: usize) {
    let batch = Batch::new().put_with(
        Bytes::from(format!("a key of usual length {n:06}")),
        Bytes::from_static(&[7; 90]),
        Bytes::from(vec![n as u8; 8]),
    );
    engine.commit(P, batch).await.unwrap();
}

/// Rows far larger than their payloads: every segment is mostly rows, however often it is written
/// anew, and to move the payloads would never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_smaller_than_their_rows_come_to_rest() {
    const ROWS: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let engine = Embedded::open(small(dir.path())).unwrap();
    for n in 0..ROWS {
        tiny(&engine, n).await;
    }
    let turns = |count: usize| {
        for _ in 0..count {
            engine.checkpoint();
        }
        engine.stats().moved
    };
    let settled = turns(50);
    assert_eq!(turns(50), settled, "{:?}", engine.stats());
    // What is overwritten or gone is still made room of.
    let before = engine.stats().segment_bytes;
    for n in (0..ROWS).filter(|n| n % 10 != 0) {
        let key = Bytes::from(format!("a key of usual length {n:06}"));
        let batch = Batch {
            deletes: vec![key],
            ..Batch::default()
        };
        engine.commit(P, batch).await.unwrap();
    }
    let smaller = (0..500).any(|_| {
        engine.checkpoint();
        engine.stats().segment_bytes < before / 2
    });
    assert!(smaller, "{before} before, {:?}", engine.stats());
    let settled = turns(50);
    assert_eq!(turns(50), settled, "{:?}", engine.stats());
}
