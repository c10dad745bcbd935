//! Deleting extents that no row refers to any more.
//!
//! A commit that leaves work for the sweep says so ([`Objects::commit`]), so that a pass looks at
//! the buckets that changed only. What a restart made it forget, a pass over all buckets finds:
//! the first one, and one every hour.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{Batch, Committed, PartitionId, ScanRange, StoreError};
use tokio::sync::watch;
use types::Timestamp;

use crate::{Objects, Result, bucket::partition_of, listing::after, rows};

/// Extents that are deleted before their rows are removed in one commit.
const SWEEP_BATCH: usize = 500;
/// Milliseconds between two passes over all buckets.
const FULL_EVERY_MS: u64 = 3_600_000;

/// Partitions that are watched before those that nobody waits for are forgotten.
const WATCHED_MAX: usize = 10_000;

/// Where there is something to sweep, and what was committed.
#[derive(Default)]
pub(crate) struct Dirty {
    partitions: Mutex<HashSet<PartitionId>>,
    full: Mutex<Option<Timestamp>>,
    /// The last commit of each partition that somebody waits for.
    watched: Mutex<HashMap<PartitionId, watch::Sender<u64>>>,
}

impl Dirty {
    /// The last commit of a partition, whenever there is one.
    pub(crate) fn watch(&self, partition: PartitionId) -> watch::Receiver<u64> {
        let mut watched = self.watched.lock();
        // Those that nobody waits for any more make room.
        if watched.len() >= WATCHED_MAX {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
        let sender = watched
            .entry(partition)
            .or_insert_with(|| watch::Sender::new(0));
        sender.subscribe()
    }

    fn committed(&self, partition: PartitionId, at: u64) {
        if let Some(sender) = self.watched.lock().get(&partition) {
            sender.send_modify(|last| *last = at.max(*last));
        }
    }

    fn mark(&self, partition: PartitionId) {
        self.partitions.lock().insert(partition);
    }
}

fn leaves_work(batch: &Batch) -> bool {
    let work = |key: &Bytes| key.starts_with(rows::DEAD) || key.starts_with(rows::FINISHED_UPLOAD);
    batch.puts.iter().any(|put| work(&put.key))
}

impl Objects {
    /// Commits rows of a bucket, and remembers whether they leave something to sweep.
    pub(crate) async fn commit(
        &self,
        partition: PartitionId,
        batch: Batch,
    ) -> std::result::Result<Committed, StoreError> {
        let work = leaves_work(&batch);
        let committed = self.engine.index.commit(partition, batch).await;
        if let Ok(committed) = &committed {
            self.dirty.committed(partition, committed.version.0);
        }
        // After the commit, whatever it answered: a pass that began before would miss the rows.
        if work {
            self.dirty.mark(partition);
        }
        committed
    }

    /// Deletes the extents of what was replaced or removed; answers how many. To be called again
    /// and again in the background.
    pub async fn sweep(&self) -> Result<u64> {
        let now = self.clock.now();
        let last = *self.dirty.full.lock();
        let full = last.is_none_or(|last| now.ms().abs_diff(last.ms()) >= FULL_EVERY_MS);
        let marked = std::mem::take(&mut *self.dirty.partitions.lock());
        let all: HashSet<PartitionId> = match full {
            true => self.deeds.all().iter().map(|d| partition_of(d)).collect(),
            false => HashSet::new(),
        };
        let mut count = 0;
        let mut work: Vec<_> = marked.union(&all).copied().collect();
        while let Some(partition) = work.pop() {
            match self.sweep_partition(partition).await {
                Ok(swept) => count += swept,
                Err(error) => {
                    let mut dirty = self.dirty.partitions.lock();
                    dirty.insert(partition);
                    dirty.extend(work);
                    return Err(error);
                }
            }
        }
        if full {
            *self.dirty.full.lock() = Some(now);
        }
        Ok(count)
    }

    async fn sweep_partition(&self, partition: PartitionId) -> Result<u64> {
        self.sweep_finished_uploads(partition).await?;
        let mut count = 0;
        let mut range = ScanRange::prefix(rows::DEAD);
        loop {
            let index = &self.engine.index;
            let found = index.scan(partition, range.clone(), SWEEP_BATCH).await?;
            let Some((last, _)) = found.last() else {
                return Ok(count);
            };
            range.start = after(last);
            let end = found.len() < SWEEP_BATCH;
            let mut batch = Batch::new().frees();
            for (row_key, _) in found {
                let id = rows::dead_blob(&row_key)?;
                if self.pins.holds(id) {
                    self.dirty.mark(partition);
                    continue;
                }
                self.engine.blobs.delete(id).await?;
                batch = batch.delete(row_key);
                count += 1;
            }
            if !batch.deletes.is_empty() {
                index.commit(partition, batch).await?;
            }
            if end {
                return Ok(count);
            }
        }
    }
}
