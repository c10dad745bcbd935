//! Measures the embedded engine's rows: commits of 4 KiB payloads by 32 waiters, reads and scans
//! over 1,000,000 rows, and opening. `commit_bench DIR`; DIR must be on the disk to be measured.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use store::{
    Batch, Durability, Guard, Index, PartitionId, ScanRange, Want,
    embedded::{Embedded, EmbeddedConfig},
};

const P: PartitionId = PartitionId(1);

fn key(n: u64) -> Bytes {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("c{mixed:016x}/an/object/of/a/bucket").into()
}

async fn commits(dir: PathBuf, durability: Durability) {
    let config = EmbeddedConfig {
        durability,
        ..EmbeddedConfig::new(dir)
    };
    let engine = Embedded::open(config).expect("an engine");
    let until = Instant::now() + Duration::from_secs(5);
    let tasks: Vec<_> = (0..32_u64)
        .map(|task| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let payload = Bytes::from(vec![7; 4096]);
                let mut n = task << 32;
                while Instant::now() < until {
                    n += 1;
                    let value = vec![1; 200];
                    let batch = Batch::new()
                        .guard(Guard::Absent(key(n)))
                        .put_with(key(n), value, payload.clone())
                        .log("an entry of the log");
                    engine.commit(P, batch).await.expect("a commit");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    let stats = engine.stats();
    println!("{durability:?}: {} commits/s, {stats:?}", stats.commits / 5);
}

async fn reads(dir: PathBuf) {
    let engine = Embedded::open(EmbeddedConfig::new(dir.clone())).expect("an engine");
    let begun = Instant::now();
    for page in 0..1000_u64 {
        let mut batch = Batch::new();
        for n in 0..1000 {
            batch = batch.put(key(page * 1000 + n), vec![1; 200]);
        }
        engine.commit(P, batch).await.expect("a commit");
    }
    println!("1,000,000 rows in {:?}", begun.elapsed());
    drop(engine);
    let begun = Instant::now();
    let engine = Embedded::open(EmbeddedConfig::new(dir)).expect("an engine");
    println!("opened in {:?}", begun.elapsed());
    let begun = Instant::now();
    for n in 0..100_000 {
        let found = engine.get(P, &key(n * 10), Want::Payload).await;
        assert!(found.expect("a read").is_some());
    }
    println!("get {:?}", begun.elapsed() / 100_000);
    let begun = Instant::now();
    for n in 0..200 {
        let range = ScanRange::new(key(n * 77), None);
        engine.scan(P, range, 1000).await.expect("a scan");
    }
    println!("scan of 1000 {:?}", begun.elapsed() / 200);
}

#[tokio::main]
async fn main() {
    let dir: PathBuf = std::env::args_os().nth(1).expect("a directory").into();
    commits(dir.join("strict"), Durability::Strict).await;
    commits(dir.join("relaxed"), Durability::Relaxed).await;
    reads(dir.join("reads")).await;
}
