//! Reads through the cache of hot rows never answer less than what was acknowledged before.

use std::sync::atomic::Ordering;

use super::*;

const WRITES: u64 = 600;
const READERS: usize = 4;

fn batch(key: &str, n: u64) -> Batch {
    Batch {
        puts: vec![crate::Put {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(&n.to_le_bytes()),
            payload: Some(n.to_le_bytes().repeat(100).into()),
        }],
        ..Batch::default()
    }
}

/// Two writers and some readers of one key; small tables and segments, so that payloads move and
/// checkpoints happen under the readers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_sees_every_write_acknowledged_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        durability: Durability::Relaxed,
        ..small(dir.path())
    };
    let engine = Embedded::open(config).unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let (engine, acknowledged, done) = (engine.clone(), acknowledged.clone(), done.clone());
        readers.push(tokio::spawn(async move {
            let want = if reader == 0 {
                Want::Value
            } else {
                Want::Payload
            };
            let mut seen = 0;
            while !done.load(Ordering::Acquire) {
                let floor = acknowledged.load(Ordering::Acquire).max(seen);
                if let Some(row) = engine.get(P, b"key", want).await.unwrap() {
                    assert!(row.version.0 >= floor, "{} after {floor}", row.version.0);
                    seen = row.version.0;
                    let whole = row.payload.is_none_or(|p| p[..] == row.value.repeat(100));
                    assert!(whole, "a payload of another row");
                } else {
                    assert_eq!(floor, 0, "the row is gone");
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    let writers = (0..2).map(|_| {
        let (engine, acknowledged) = (engine.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for n in 0..WRITES {
                let version = engine.commit(P, batch("key", n)).await.unwrap().version.0;
                acknowledged.fetch_max(version, Ordering::AcqRel);
                // Its own write, at once.
                let row = engine.get(P, b"key", Want::Payload).await.unwrap().unwrap();
                assert!(row.version.0 >= version);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn a_hot_row_needs_no_disk_until_it_is_written_or_removed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Embedded::open(big(dir.path())).unwrap();
    engine.commit(P, batch("key", 1)).await.unwrap();
    let first = engine.get(P, b"key", Want::Payload).await.unwrap();
    assert!(engine.shared.hot.bytes() > 800);
    let again = engine.get(P, b"key", Want::Payload).await.unwrap();
    let third = engine.get(P, b"key", Want::Payload).await.unwrap();
    assert_eq!((&first, &first), (&again, &third));
    // The same memory, which the cache made its own: it was not read again.
    let at = |row: &Option<Row>| row.as_ref().unwrap().payload.as_ref().unwrap().as_ptr();
    assert_eq!(at(&again), at(&third));
    engine.commit(P, batch("key", 2)).await.unwrap();
    let new = engine.get(P, b"key", Want::Payload).await.unwrap().unwrap();
    assert_eq!(new.value[..], 2_u64.to_le_bytes());
    let gone = Batch {
        deletes: vec![Bytes::from_static(b"key")],
        ..Batch::default()
    };
    engine.commit(P, gone).await.unwrap();
    assert_eq!(engine.get(P, b"key", Want::Payload).await.unwrap(), None);
    assert_eq!(engine.shared.hot.bytes(), 0);
}
