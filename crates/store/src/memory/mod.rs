//! The engine that keeps nothing on a disk: all three traits over one map behind one lock. It is
//! the model that the durable engines are compared with, and what tests of the layers above run on.
//!
//! Deterministic: the same calls give the same versions, positions and extent ids.

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use types::{Random, SeededRandom};

use crate::{
    Batch, BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, Committed, Damage, Engine,
    Figure, Guard, Health, Index, Log, LogEntry, LogPage, PartitionId, Position, Reach, Room, Row,
    RowVersion, ScanRange, StoreError, StoreResult, Upkeep, Verified, Want,
};

#[derive(Clone, Default)]
struct Partition {
    rows: BTreeMap<Bytes, Row>,
    /// Entries by position; those of one commit share it.
    log: BTreeMap<u64, Vec<Bytes>>,
    /// Entries up to here are gone.
    trimmed: u64,
}

/// An engine in memory.
pub struct Memory {
    partitions: Mutex<BTreeMap<u64, Partition>>,
    extents: Arc<Mutex<BTreeMap<BlobId, Bytes>>>,
    sequence: AtomicU64,
    /// Positions after the first and up to the second that other openings of the folder gave.
    never_given: Vec<(u64, u64)>,
    ids: SeededRandom,
}

impl Memory {
    /// An empty engine.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            partitions: Mutex::default(),
            extents: Arc::default(),
            sequence: AtomicU64::new(0),
            never_given: Vec::new(),
            ids: SeededRandom::new(0x0D0E),
        })
    }

    /// The three traits of one new engine.
    pub fn engine() -> Engine {
        Self::new().into_engine()
    }

    /// Another engine that holds the same, and goes its own way from here: the disk as a crash at
    /// this moment would leave it.
    pub fn copy(&self) -> Arc<Self> {
        Arc::new(self.duplicate())
    }

    fn duplicate(&self) -> Self {
        let partitions = self.partitions.lock().clone();
        let extents = self.extents.lock().clone();
        Self {
            partitions: Mutex::new(partitions),
            extents: Arc::new(Mutex::new(extents)),
            sequence: AtomicU64::new(self.log_end()),
            never_given: self.never_given.clone(),
            // Names are never used twice.
            ids: SeededRandom::new(self.ids.next_u64()),
        }
    }

    /// The same as a folder that was brought back from a backup, or copied, is opened: it gives
    /// positions above `above`, and none up to there that it has not given yet.
    pub fn opened_above(&self, above: u64) -> Arc<Self> {
        let mut other = self.duplicate();
        let end = other.log_end();
        other.never_given.push((end, above.max(end)));
        other.sequence = AtomicU64::new(above.max(end));
        Arc::new(other)
    }

    /// The position of the last commit.
    pub fn log_end(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Whether this log gave the position, and has all up to it.
    pub fn gave(&self, position: u64) -> bool {
        let mut gaps = self.never_given.iter();
        position <= self.log_end() && !gaps.any(|(from, to)| (from + 1..=*to).contains(&position))
    }

    /// This engine's three traits.
    pub fn into_engine(self: Arc<Self>) -> Engine {
        Engine {
            index: self.clone(),
            log: self.clone(),
            blobs: self,
        }
    }
}

/// Nothing can break here, and nothing outlives the process.
impl Upkeep for Memory {
    fn health(&self) -> Health {
        Health::default()
    }

    fn figures(&self) -> Vec<Figure> {
        let rows: usize = self.partitions.lock().values().map(|p| p.rows.len()).sum();
        vec![Figure {
            name: "engine_rows",
            help: "Rows in memory.",
            value: rows as u64,
        }]
    }

    fn room(&self) -> StoreResult<Option<Room>> {
        Ok(None)
    }

    fn last_commit(&self) -> Position {
        Position(self.log_end())
    }

    fn gave(&self, position: Position) -> bool {
        Memory::gave(self, position.0)
    }

    fn verify(
        &self,
        progress: &mut dyn FnMut(&Verified) -> ControlFlow<()>,
    ) -> StoreResult<Vec<Damage>> {
        let mut verified = Verified {
            part: "memory",
            ..Verified::default()
        };
        for row in self
            .partitions
            .lock()
            .values()
            .flat_map(|p| p.rows.values())
        {
            verified.items += 1;
            verified.bytes += row.payload.as_ref().map_or(0, |bytes| bytes.len() as u64);
        }
        for bytes in self.extents.lock().values() {
            verified.items += 1;
            verified.bytes += bytes.len() as u64;
        }
        verified.bytes_total = verified.bytes;
        // All is read by now, so there is nothing left to end.
        let _ = progress(&verified);
        Ok(Vec::new())
    }

    fn close(&self) -> StoreResult<()> {
        Ok(())
    }
}

fn check_guards(rows: &BTreeMap<Bytes, Row>, guards: &[Guard]) -> StoreResult<()> {
    let holds = |guard: &Guard| match guard {
        Guard::Absent(key) => !rows.contains_key(key),
        Guard::Version(key, version) => rows.get(key).is_some_and(|r| r.version == *version),
    };
    match guards.iter().position(|g| !holds(g)) {
        Some(index) => Err(StoreError::Conflict { index }),
        None => Ok(()),
    }
}

#[async_trait]
impl Index for Memory {
    async fn get(
        &self,
        partition: PartitionId,
        key: &[u8],
        want: Want,
    ) -> StoreResult<Option<Row>> {
        let partitions = self.partitions.lock();
        let row = partitions.get(&partition.0).and_then(|p| p.rows.get(key));
        Ok(row.map(|row| Row {
            version: row.version,
            value: row.value.clone(),
            payload: row.payload.clone().filter(|_| want == Want::Payload),
        }))
    }

    async fn scan(
        &self,
        partition: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>> {
        // A BTreeMap panics on a range that ends before it starts.
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return Ok(Vec::new());
        }
        let end = range.end.map_or(Bound::Unbounded, Bound::Excluded);
        let partitions = self.partitions.lock();
        let Some(partition) = partitions.get(&partition.0) else {
            return Ok(Vec::new());
        };
        let rows = partition.rows.range((Bound::Included(range.start), end));
        let without_payload = |(key, row): (&Bytes, &Row)| {
            let row = Row {
                version: row.version,
                value: row.value.clone(),
                payload: None,
            };
            (key.clone(), row)
        };
        Ok(rows.take(limit).map(without_payload).collect())
    }

    async fn commit(&self, partition: PartitionId, batch: Batch) -> StoreResult<Committed> {
        batch.check()?;
        let mut partitions = self.partitions.lock();
        let partition = partitions.entry(partition.0).or_default();
        check_guards(&partition.rows, &batch.guards)?;
        let version = RowVersion(self.sequence.fetch_add(1, Ordering::Relaxed) + 1);
        for key in &batch.deletes {
            partition.rows.remove(key);
        }
        for put in batch.puts {
            let row = Row {
                version,
                value: put.value,
                payload: put.payload,
            };
            partition.rows.insert(put.key, row);
        }
        if !batch.log.is_empty() {
            partition.log.insert(version.0, batch.log);
        }
        Ok(Committed { version })
    }

    async fn settle(&self) -> StoreResult<()> {
        Ok(())
    }
}

#[async_trait]
impl Log for Memory {
    async fn read(
        &self,
        partition: PartitionId,
        after: Position,
        limit: usize,
    ) -> StoreResult<LogPage> {
        let partitions = self.partitions.lock();
        let mut page = LogPage {
            entries: Vec::new(),
            next: after,
        };
        let Some(partition) = partitions.get(&partition.0) else {
            return Ok(page);
        };
        let commits = (Bound::Excluded(after.0), Bound::Unbounded);
        for (position, entries) in partition.log.range(commits) {
            if page.entries.len() >= limit {
                break;
            }
            page.next = Position(*position);
            page.entries.extend(entries.iter().map(|entry| LogEntry {
                position: Position(*position),
                entry: entry.clone(),
            }));
        }
        Ok(page)
    }

    async fn floor(&self, partition: PartitionId) -> StoreResult<Position> {
        let partitions = self.partitions.lock();
        let floor = partitions.get(&partition.0).map_or(0, |p| p.trimmed);
        Ok(Position(floor))
    }

    fn end(&self, partition: PartitionId) -> Position {
        let partitions = self.partitions.lock();
        let end = partitions.get(&partition.0).map_or(0, |p| {
            let last = p.log.last_key_value().map_or(0, |(position, _)| *position);
            last.max(p.trimmed)
        });
        Position(end)
    }

    async fn reach(&self, partition: PartitionId, position: Position) -> StoreResult<Reach> {
        let floor = self.floor(partition).await?;
        Ok(match position {
            _ if !self.gave(position.0) => Reach::NeverGiven,
            _ if position < floor => Reach::Trimmed,
            _ => Reach::Here,
        })
    }

    async fn trim(&self, partition: PartitionId, up_to: Position) -> StoreResult<()> {
        if let Some(partition) = self.partitions.lock().get_mut(&partition.0) {
            partition.trimmed = partition.trimmed.max(up_to.0);
            partition.log.retain(|position, _| *position > up_to.0);
        }
        Ok(())
    }
}

fn checksum(content: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(content)
}

struct Reader(Bytes);

#[async_trait]
impl BlobReader for Reader {
    async fn read(&self, offset: u64, max_bytes: usize) -> StoreResult<Bytes> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let end = start.saturating_add(max_bytes).min(self.0.len());
        Ok(self.0.slice(start..end))
    }
}

struct Writer {
    id: BlobId,
    content: BytesMut,
    extents: Arc<Mutex<BTreeMap<BlobId, Bytes>>>,
}

#[async_trait]
impl BlobWriter for Writer {
    fn id(&self) -> BlobId {
        self.id
    }

    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        self.content.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> StoreResult<BlobRef> {
        let content = self.content.freeze();
        let blob = BlobRef {
            id: self.id,
            len: content.len() as u64,
            checksum: checksum(&content),
        };
        self.extents.lock().insert(self.id, content);
        Ok(blob)
    }
}

#[async_trait]
impl Blobs for Memory {
    async fn create(&self, _len_hint: Option<u64>) -> StoreResult<Box<dyn BlobWriter>> {
        let mut id = [0; 16];
        self.ids.fill(&mut id);
        Ok(Box::new(Writer {
            id: BlobId(id),
            content: BytesMut::new(),
            extents: self.extents.clone(),
        }))
    }

    async fn open(&self, blob: &BlobRef) -> StoreResult<Arc<dyn BlobReader>> {
        let extents = self.extents.lock();
        let Some(content) = extents.get(&blob.id).cloned() else {
            return Err(StoreError::NoBlob(blob.id.to_string()));
        };
        if content.len() as u64 != blob.len || checksum(&content) != blob.checksum {
            return Err(StoreError::Corrupt(format!(
                "extent {} is not the one that its reference names",
                blob.id
            )));
        }
        Ok(Arc::new(Reader(content)))
    }

    async fn delete(&self, id: BlobId) -> StoreResult<()> {
        self.extents.lock().remove(&id);
        Ok(())
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>> {
        let extents = self.extents.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let info = |(id, content): (&BlobId, &Bytes)| BlobInfo {
            id: *id,
            bytes: content.len() as u64,
        };
        let range = extents.range((start, Bound::Unbounded));
        Ok(range.take(limit).map(info).collect())
    }
}
