//! What a node deletes in the background: each second what commits have marked as dead, once a day
//! what crashes left of uploads.

use std::{sync::Arc, time::Duration};

use objects::Objects;
use tokio::task::JoinHandle;

/// How long the bytes of what was replaced or deleted stay on the disk, about.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long after the start orphans are swept, and after a sweep that failed, at most.
const ORPHANS_SOON: Duration = Duration::from_secs(600);

/// Starts both, until the node stops; orphans are swept `every` so often, or never.
pub fn start<S: Future<Output = ()> + Send + 'static>(
    objects: &Arc<Objects>,
    every: Duration,
    stopping: impl Fn() -> S,
) -> [(&'static str, JoinHandle<()>); 2] {
    let dead = sweep(Arc::clone(objects), stopping());
    let orphans = sweep_orphans(Arc::clone(objects), every, stopping());
    [
        ("the sweeper", tokio::spawn(dead)),
        ("the sweep of orphans", tokio::spawn(orphans)),
    ]
}

async fn sweep(objects: Arc<Objects>, stopping: impl Future<Output = ()>) {
    let mut stopping = std::pin::pin!(stopping);
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = objects.sweep().await {
            tracing::warn!(%error, "sweeping failed; it is tried again");
        }
    }
}

async fn sweep_orphans(objects: Arc<Objects>, every: Duration, stopping: impl Future<Output = ()>) {
    let sweeps = async {
        let mut pause = every.min(ORPHANS_SOON);
        while !every.is_zero() {
            tokio::time::sleep(pause).await;
            pause = match objects.sweep_orphans().await {
                Ok(swept) => {
                    if swept.removed > 0 {
                        let (removed, bytes) = (swept.removed, swept.bytes);
                        tracing::info!(removed, bytes, "orphaned extents were removed");
                    }
                    every
                }
                Err(error) => {
                    tracing::warn!(%error, "sweeping orphans failed; it is tried again");
                    every.min(ORPHANS_SOON)
                }
            };
        }
    };
    tokio::select! {
        () = stopping => {}
        () = sweeps => {}
    }
}
