//! Striped locks by key: they only keep writers of one key from running into each other's guards;
//! correctness rests on the guards.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex as Plain;
use store::PartitionId;
use tokio::sync::{Mutex, MutexGuard};
use types::BucketId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Power of two; a stripe is held for one commit.
const STRIPES: usize = 1024;

pub(crate) struct KeyLocks(Box<[Mutex<()>]>);

impl KeyLocks {
    pub(crate) fn new() -> Self {
        Self((0..STRIPES).map(|_| Mutex::new(())).collect())
    }
    pub(crate) async fn lock(&self, partition: PartitionId, key: &[u8]) -> MutexGuard<'_, ()> {
        let hash = xxh3_64_with_seed(key, partition.0) as usize;
        self.0[hash % STRIPES].lock().await
    }
}

/// Which buckets are being deleted or discarded by this process. A mark in a bucket's
/// configuration row that nobody here works on is what a crash or a failure left.
#[derive(Default)]
pub(crate) struct Turns(Plain<HashSet<BucketId>>);

/// Held by whoever does it, to the end.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    id: BucketId,
}

impl Turns {
    /// `None` while somebody else is at it.
    pub(crate) fn take(self: &Arc<Self>, id: BucketId) -> Option<Turn> {
        let turn = || Turn {
            turns: Arc::clone(self),
            id,
        };
        self.0.lock().insert(id).then(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().remove(&self.id);
    }
}
