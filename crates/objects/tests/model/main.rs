//! The region against a reference in memory: the same random operations on both, every answer
//! compared. A failure prints its seed and all that was done.
//!
//! `MODEL_SEED=n` runs one sequence again, `MODEL_SEQUENCES=n` more of them.

#![allow(clippy::unwrap_used)] // tests may panic

mod driver;
mod held;
mod reference;
mod region;
mod system;

use driver::Run;
use region::Region;

const STEPS: usize = 60;
const SEQUENCES: u64 = 1000;
const SEQUENCES_ON_DISK: u64 = 30;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, on_disk: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let region = match on_disk {
            true => Region::embedded(seed).await,
            false => Region::in_memory(seed).await,
        };
        let mut run = Run::new(region, seed);
        for _ in 0..STEPS {
            run.step().await;
        }
        run.check_held().await;
    });
}

fn run_all(sequences: u64, on_disk: bool) {
    if let Some(seed) = number("MODEL_SEED") {
        return run(seed, on_disk);
    }
    for seed in 0..number("MODEL_SEQUENCES").unwrap_or(sequences) {
        run(seed, on_disk);
    }
}

#[test]
fn the_region_answers_as_the_reference_does() {
    run_all(SEQUENCES, false);
}

#[test]
fn the_region_answers_as_the_reference_does_on_disk_and_when_reopened() {
    run_all(SEQUENCES_ON_DISK, true);
}
