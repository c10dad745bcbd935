//! Deleting extents that no row refers to any more.
//!
//! A commit that leaves work for the sweep says which ([`Objects::commit`]), so that a pass costs
//! what changed since the last one, however much is in the buckets. What was lost from memory in a
//! restart, a pass over all buckets finds: the first one, and one every hour.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{Batch, Committed, PartitionId, Position, ScanRange, StoreError};
use tokio::sync::watch;
use types::{BucketDeed, BucketId, Timestamp, UploadId};

use crate::{
    Objects, Result,
    bucket::partition_of,
    listing::after,
    orphans::Moving,
    owned::{Owned, owned},
    pins::Fresh,
    rows,
};

/// Extents that are deleted before their rows are removed in one commit.
const SWEEP_BATCH: usize = 500;
/// Milliseconds between two passes over all buckets.
const FULL_EVERY_MS: u64 = 3_600_000;
/// Ended uploads of one bucket that are remembered by name; more are found by reading.
const UPLOADS_MAX: usize = 10_000;

/// Partitions that are watched before those that nobody waits for are dropped.
const WATCHED_MAX: usize = 10_000;
/// Partitions whose last commits are kept before all are dropped.
const LAST_MAX: usize = 1 << 18;

/// The last commits of a partition.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// The last of all, or a position after it.
    any: Position,
    /// The last one that changed rows of versions.
    versions: u64,
}

/// The last commits of all partitions that were written to since the start.
#[derive(Default)]
struct Lasts {
    of: HashMap<PartitionId, Last>,
    /// How often they were dropped, for there were too many.
    dropped: u64,
}

impl Lasts {
    fn entry(&mut self, partition: PartitionId) -> &mut Last {
        if self.of.len() >= LAST_MAX && !self.of.contains_key(&partition) {
            self.of.clear();
            self.dropped += 1;
        }
        self.of.entry(partition).or_default()
    }
}

/// The last change of a bucket's versions in this process; equal as long as there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastChange {
    dropped: u64,
    at: u64,
}

/// Which ended uploads of a partition are to be swept.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// These.
    Named(HashSet<UploadId>),
    /// Those whose time is over, beside what is known by name.
    Old(HashSet<UploadId>),
    /// All that there are.
    All,
}

impl Default for Ended {
    fn default() -> Self {
        Self::Named(HashSet::new())
    }
}

impl Ended {
    fn add(&mut self, other: Self) {
        let mine = std::mem::take(self);
        *self = match (mine, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Named(mut all), Self::Named(more)) => {
                all.extend(more);
                Self::Named(all)
            }
            (Self::Named(mut all) | Self::Old(mut all), Self::Named(more) | Self::Old(more)) => {
                all.extend(more);
                Self::Old(all)
            }
        };
        if let Self::Named(all) | Self::Old(all) = self
            && all.len() > UPLOADS_MAX
        {
            *self = Self::All;
        }
    }

    fn forget(&mut self, upload: UploadId) {
        if let Self::Named(all) | Self::Old(all) = self {
            all.remove(&upload);
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Named(all) if all.is_empty())
    }
}

/// What there is to sweep in a partition.
#[derive(Debug, Default, PartialEq, Eq)]
struct Work {
    /// Extents await deletion.
    dead: bool,
    uploads: Ended,
}

impl Work {
    /// What a commit leaves.
    fn of(batch: &Batch) -> Self {
        let mut work = Self::default();
        for put in &batch.puts {
            if put.key.starts_with(rows::DEAD) {
                work.dead = true;
            } else if put.key.starts_with(rows::FINISHED_UPLOAD)
                && let Ok(upload) = rows::finished_upload_id(&put.key)
            {
                work.uploads.add(Ended::Named(HashSet::from([upload])));
            }
        }
        work
    }

    fn is_empty(&self) -> bool {
        !self.dead && self.uploads.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.dead |= other.dead;
        self.uploads.add(other.uploads);
    }
}

type AllWork = HashMap<PartitionId, Work>;

/// Where there is something to sweep, and what was committed.
#[derive(Default)]
pub(crate) struct Dirty {
    partitions: Mutex<AllWork>,
    full: Mutex<Option<Timestamp>>,
    /// The last commit of each partition that somebody waits for.
    watched: Mutex<HashMap<PartitionId, watch::Sender<u64>>>,
    lasts: Mutex<Lasts>,
}

/// What one pass has taken on. What it does not get done, because it fails or is given up, is left
/// to the next.
struct Pass<'a> {
    dirty: &'a Dirty,
    work: AllWork,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        for (partition, work) in self.work.drain() {
            self.dirty.mark(partition, work);
        }
    }
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

    /// A position that no answered commit of the partition is after; `end` says one where none is
    /// known.
    pub(crate) fn last(&self, partition: PartitionId, end: impl Fn() -> Position) -> Position {
        let known = |lasts: &Lasts| lasts.of.get(&partition).map(|last| last.any);
        if let Some(last) = known(&self.lasts.lock()) {
            return last;
        }
        let end = end();
        let mut lasts = self.lasts.lock();
        let last = &mut lasts.entry(partition).any;
        *last = end.max(*last);
        *last
    }

    fn last_change(&self, partition: PartitionId) -> LastChange {
        let lasts = self.lasts.lock();
        LastChange {
            dropped: lasts.dropped,
            at: lasts.of.get(&partition).map_or(0, |last| last.versions),
        }
    }

    fn committed(&self, partition: PartitionId, at: u64, versions: bool) {
        {
            let mut lasts = self.lasts.lock();
            let last = lasts.entry(partition);
            last.any = Position(at).max(last.any);
            if versions {
                last.versions = at.max(last.versions);
            }
        }
        if let Some(sender) = self.watched.lock().get(&partition) {
            sender.send_modify(|last| *last = at.max(*last));
        }
    }

    fn mark(&self, partition: PartitionId, work: Work) {
        if !work.is_empty() {
            let mut all = self.partitions.lock();
            all.entry(partition).or_default().add(work);
        }
    }

    fn take(&self) -> Pass<'_> {
        Pass {
            dirty: self,
            work: std::mem::take(&mut *self.partitions.lock()),
        }
    }

    /// Nothing is left of the upload but the note that it ended.
    pub(crate) fn upload_swept(&self, partition: PartitionId, upload: UploadId) {
        let mut all = self.partitions.lock();
        if let Some(work) = all.get_mut(&partition) {
            work.uploads.forget(upload);
            if work.is_empty() {
                all.remove(&partition);
            }
        }
    }
}

fn changes_versions(batch: &Batch) -> bool {
    let is_version = |key: &[u8]| key.starts_with(rows::CURRENT) || key.starts_with(rows::OLDER);
    batch.puts.iter().any(|put| is_version(&put.key))
        || batch.deletes.iter().any(|key| is_version(key))
}

/// What stays as it is until a commit has ended, though its caller goes away.
#[derive(Default)]
pub(crate) struct Holds {
    /// Extents to which the commit refers.
    pub fresh: Option<std::sync::Arc<Fresh>>,
    /// Rows that the commit moves.
    #[expect(dead_code, reason = "it is held, not read")]
    pub moving: Option<Moving>,
}

impl Objects {
    /// Commits rows of a bucket, and remembers what they leave to be swept. What follows a commit
    /// happens also when the caller goes away before it has ended.
    pub(crate) fn commit(
        &self,
        partition: PartitionId,
        batch: Batch,
    ) -> Owned<std::result::Result<Committed, StoreError>> {
        self.commit_holding(partition, batch, Holds::default())
    }

    /// [`Objects::commit`] with what must not end before the commit.
    pub(crate) fn commit_holding(
        &self,
        partition: PartitionId,
        batch: Batch,
        holds: Holds,
    ) -> Owned<std::result::Result<Committed, StoreError>> {
        let this = self.handle();
        owned(async move {
            let work = Work::of(&batch);
            let configures = configures(&batch);
            let versions = changes_versions(&batch);
            if let Some(fresh) = &holds.fresh {
                fresh.begins();
            }
            let committed = this.engine.index.commit(partition, batch).await;
            if let Some(fresh) = &holds.fresh {
                fresh.ended(&committed);
            }
            if let Ok(committed) = &committed {
                this.dirty
                    .committed(partition, committed.version.0, versions);
            }
            if configures {
                this.buckets.write().remove(&BucketId(partition.0));
            }
            // After the commit, whatever it answered: a pass that began before would miss the rows.
            this.dirty.mark(partition, work);
            drop(holds);
            committed
        })
    }

    /// The last change of the bucket's versions here; whoever has counted them need not count
    /// again as long as it is equal.
    pub fn last_change(&self, deed: &BucketDeed) -> LastChange {
        self.dirty.last_change(partition_of(deed))
    }

    /// Deletes the extents of what was replaced or removed; answers how many. To be called again
    /// and again in the background.
    pub async fn sweep(&self) -> Result<u64> {
        let now = self.clock.now();
        let last = *self.dirty.full.lock();
        let full = last.is_none_or(|last| now.ms().abs_diff(last.ms()) >= FULL_EVERY_MS);
        let mut pass = self.dirty.take();
        if full {
            for deed in self.deeds.all() {
                let work = Work {
                    dead: true,
                    uploads: match last {
                        None => Ended::All,
                        Some(_) => Ended::Old(HashSet::new()),
                    },
                };
                pass.work.entry(partition_of(&deed)).or_default().add(work);
            }
        }
        let mut count = self.sweep_leaving().await?;
        while let Some((&partition, work)) = pass.work.iter().next() {
            count += self.sweep_partition(partition, work).await?;
            pass.work.remove(&partition);
        }
        if full {
            *self.dirty.full.lock() = Some(now);
        }
        Ok(count)
    }

    async fn sweep_partition(&self, partition: PartitionId, work: &Work) -> Result<u64> {
        match &work.uploads {
            Ended::Named(_) if types::planted("sweep-reads-all-uploads") => {
                self.sweep_all_uploads(partition).await?;
            }
            Ended::Named(uploads) => self.sweep_uploads(partition, uploads).await?,
            Ended::Old(uploads) => {
                self.sweep_uploads(partition, uploads).await?;
                self.sweep_old_uploads(partition).await?;
            }
            Ended::All => self.sweep_all_uploads(partition).await?,
        }
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
                if self.delete_extent(rows::dead_blob(&row_key)?).await? {
                    batch = batch.delete(row_key);
                    count += 1;
                } else {
                    let dead = Work {
                        dead: true,
                        ..Work::default()
                    };
                    self.dirty.mark(partition, dead);
                }
            }
            if !batch.deletes.is_empty() {
                self.commit(partition, batch).await?;
            }
            if end {
                return Ok(count);
            }
        }
    }

    async fn sweep_uploads(
        &self,
        partition: PartitionId,
        uploads: &HashSet<UploadId>,
    ) -> Result<()> {
        for upload in uploads {
            self.sweep_upload(partition, *upload).await?;
        }
        Ok(())
    }
}

/// Whether the batch changes the bucket's configuration.
fn configures(batch: &Batch) -> bool {
    let is = |key: &Bytes| &key[..] == rows::BUCKET;
    batch.puts.iter().any(|put| is(&put.key)) || batch.deletes.iter().any(is)
}
