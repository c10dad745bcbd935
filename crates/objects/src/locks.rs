//! Striped locks by key: they only keep writers of one key from running into each other's guards;
//! correctness rests on the guards.

use store::PartitionId;
use tokio::sync::{Mutex, MutexGuard};
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
