//! MD5 in GB/s, all streams together, on each path of this processor: first the lanes alone, then
//! through `Hasher::feed`, as bodies of requests come.
//!
//! `cargo run --release -p digest --example md5_bench`

use std::time::{Duration, Instant};

use bytes::Bytes;
use digest::{Hasher, Path, md5_together};

const PIECE: usize = 256 * 1024;
const LEAST: Duration = Duration::from_millis(300);

/// GB/s of one core with this many streams on one path.
fn lanes(path: Path, streams: usize) -> f64 {
    let piece = vec![0x5A; PIECE];
    let messages = vec![piece.as_slice(); streams];
    let (start, mut runs) = (Instant::now(), 0);
    while start.elapsed() < LEAST {
        std::hint::black_box(md5_together(path, &messages));
        runs += 1;
    }
    (runs * streams * PIECE) as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// GB/s of this many bodies at the same time, with the worker thread.
fn bodies(runtime: &tokio::runtime::Runtime, streams: usize) -> f64 {
    let pieces = 4096 / streams;
    let piece = Bytes::from(vec![0x5A; PIECE]);
    let start = Instant::now();
    let tasks: Vec<_> = (0..streams)
        .map(|_| {
            let piece = piece.clone();
            runtime.spawn(async move {
                let mut hasher = Hasher::new(&[], true);
                for _ in 0..pieces {
                    hasher.feed(piece.clone()).await;
                }
                hasher.finish().await
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("the task ends");
    }
    (pieces * streams * PIECE) as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn main() {
    let counts = [1, 2, 4, 8, 16];
    println!("GB/s, all streams    {counts:?}");
    for path in Path::available() {
        let rates = counts.map(|n| format!("{:.2}", lanes(path, n)));
        println!("{path:?}: {}", rates.join("  "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime starts");
    let rates = counts.map(|n| format!("{:.2}", bodies(&runtime, n)));
    println!("Hasher::feed: {}", rates.join("  "));
}
