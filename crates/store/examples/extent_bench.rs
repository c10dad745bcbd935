//! What extents cost: `cargo run --release -p store --example extent_bench -- [dir]`.
//!
//! Prints rates over the process's CPU time (user and system, all threads), so that neighbours on
//! the machine disturb less.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use store::{
    BlobRef, Blobs,
    extents::{Extents, ExtentsConfig},
};

const MIB: usize = 1 << 20;

/// Time on a processor, of all threads that have not ended.
fn cpu_s() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let ns = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        stat.split(' ').next().and_then(|n| n.parse::<u64>().ok())
    };
    let ns: u64 = tasks.flatten().filter_map(ns).sum();
    ns as f64 / 1e9
}

async fn write(extents: &Extents, content: &Bytes, piece: usize) -> BlobRef {
    let hint = Some(content.len() as u64);
    let mut writer = extents.create(hint).await.expect("a writer");
    for at in (0..content.len()).step_by(piece) {
        let end = content.len().min(at + piece);
        writer.write(content.slice(at..end)).await.expect("a write");
    }
    writer.finish().await.expect("a finish")
}

async fn read(extents: &Extents, blob: &BlobRef, piece: usize) -> usize {
    let reader = extents.open(blob).await.expect("an open");
    let mut at = 0;
    loop {
        let bytes = reader.read(at, piece).await.expect("a read");
        if bytes.is_empty() {
            return at as usize;
        }
        at += bytes.len() as u64;
    }
}

fn report(what: &str, count: usize, bytes: usize, wall: Instant, cpu: f64) {
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_s() - cpu);
    let gib = bytes as f64 / (1u64 << 30) as f64;
    println!(
        "{what:<44} {:>7.2} GiB/s  {:>7.2} GiB/cpu-s  {:>8.1} us cpu each",
        gib / wall,
        gib / cpu,
        cpu * 1e6 / count as f64
    );
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let config = ExtentsConfig::new(dir.path());
    let extents: Arc<Extents> = Extents::open(config).expect("extents");
    let large: Bytes = (0..256 * MIB)
        .map(|i| ((i * 31) >> 7) as u8)
        .collect::<Vec<_>>()
        .into();
    for (what, piece) in [
        ("write 256 MiB, pieces of 256 KiB", MIB / 4),
        ("... of 16 KiB", MIB / 64),
    ] {
        let (wall, cpu) = (Instant::now(), cpu_s());
        let blob = write(&extents, &large, piece).await;
        report(what, 1, large.len(), wall, cpu);
        extents.delete(blob.id).await.expect("a delete");
    }
    let blob = write(&extents, &large, MIB).await;
    for piece in [MIB / 8, MIB / 4, MIB / 2, MIB] {
        let (wall, cpu) = (Instant::now(), cpu_s());
        for _ in 0..8 {
            assert_eq!(read(&extents, &blob, piece).await, large.len());
        }
        let what = format!("read 256 MiB, pieces of {} KiB", piece / 1024);
        report(&what, 8, 8 * large.len(), wall, cpu);
    }
    for len in [100 << 10, MIB] {
        let small = large.slice(..len);
        let (wall, cpu) = (Instant::now(), cpu_s());
        for _ in 0..100 {
            write(&extents, &small, MIB / 4).await;
        }
        report(
            &format!("write {} KiB", len >> 10),
            100,
            100 * len,
            wall,
            cpu,
        );
    }
    for len in [100 << 10, MIB] {
        let small = large.slice(..len);
        let (wall, cpu) = (Instant::now(), cpu_s());
        let blobs: Vec<BlobRef> = {
            let mut blobs = Vec::new();
            for _ in 0..500 {
                blobs.push(write(&extents, &small, MIB / 4).await);
            }
            blobs
        };
        report(
            &format!("write {} KiB", len >> 10),
            500,
            500 * len,
            wall,
            cpu,
        );
        let (wall, cpu) = (Instant::now(), cpu_s());
        for _ in 0..10 {
            for blob in &blobs {
                read(&extents, blob, MIB / 4).await;
            }
        }
        report(
            &format!("open and read {} KiB", len >> 10),
            5000,
            5000 * len,
            wall,
            cpu,
        );
    }
}
