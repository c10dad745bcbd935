//! Measures opening after a kill: a child writes 1,000,000 rows and is killed by SIGKILL amid more
//! of them; then the parent opens. `kill_bench DIR`; DIR must be on the disk to be measured.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use bytes::Bytes;
use store::{
    Batch, Index, PartitionId, Want,
    embedded::{Embedded, EmbeddedConfig},
};

const P: PartitionId = PartitionId(1);
const ROWS: u64 = 1_000_000;

fn key(n: u64) -> Bytes {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("c{mixed:016x}/an/object/of/a/bucket").into()
}

async fn write(dir: &str) {
    let engine = Embedded::open(EmbeddedConfig::new(dir)).expect("an engine");
    // Twice as many as the parent waits for.
    for page in 0..ROWS / 500 {
        let mut batch = Batch::new();
        for n in 0..1000 {
            batch = batch.put(key(page * 1000 + n), vec![1; 200]);
        }
        engine.commit(P, batch).await.expect("a commit");
        println!("{}", (page + 1) * 1000);
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("a directory");
    if args.next().is_some() {
        return write(&dir).await;
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([&dir, "write"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut acknowledged = 0;
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let Ok(rows) = line.expect("a line").parse() else {
            continue;
        };
        acknowledged = rows;
        if acknowledged == ROWS {
            child.kill().expect("a kill");
        }
    }
    child.wait().expect("its end");
    let begun = Instant::now();
    let engine = Embedded::open(EmbeddedConfig::new(&dir)).expect("an engine");
    println!(
        "{acknowledged} rows, opened after SIGKILL in {:?}",
        begun.elapsed()
    );
    for n in (0..acknowledged).step_by(997).chain([acknowledged - 1]) {
        let found = engine.get(P, &key(n), Want::Value).await.expect("a read");
        assert!(found.is_some(), "row {n} is gone");
    }
    engine.close().expect("a close");
    drop(engine);
    let begun = Instant::now();
    let engine = Embedded::open(EmbeddedConfig::new(&dir)).expect("an engine");
    println!("opened after a close in {:?}", begun.elapsed());
    let begun = Instant::now();
    let report = engine
        .verify(|_| std::ops::ControlFlow::Continue(()))
        .expect("a verification");
    println!("verified {} rows in {:?}", report.rows, begun.elapsed());
    let len = std::fs::metadata(format!("{dir}/index.redb")).map_or(0, |m| m.len());
    println!("the index has {} MiB", len >> 20);
}
