//! The three traits of an engine and the values that they exchange.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{StoreError, StoreResult};

/// The unit of atomic commit and of the change log. 0 is the registry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u64);

/// Rises with every write of a row; never used twice in a partition, also after a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowVersion(pub u64);

/// A place in a partition's log. 0 is before the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// For [`Guard::Version`].
    pub version: RowVersion,
    /// What scans see too.
    pub value: Bytes,
    /// Bytes stored beside the row, only when asked for ([`Want::Payload`]) and present.
    pub payload: Option<Bytes>,
}

/// How much of a row to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The value.
    Value,
    /// The value and its payload.
    Payload,
}

/// What must hold for a batch to land.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// There is no such row.
    Absent(Bytes),
    /// The row is there and unchanged since it was read.
    Version(Bytes, RowVersion),
}

/// A row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// At most 4 KiB.
    pub key: Bytes,
    /// Kept small (at most 256 KiB): scans carry it.
    pub value: Bytes,
    /// Bytes stored beside the row (at most 1 MiB); scans do not carry them.
    pub payload: Option<Bytes>,
}

/// Changes to one partition that land together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// Rows to write; a key occurs at most once among puts and deletes.
    pub puts: Vec<Put>,
    /// Rows to remove; one that is not there is no error.
    pub deletes: Vec<Bytes>,
    /// Entries for the change log, opaque here.
    pub log: Vec<Bytes>,
    /// The batch frees room (a delete, its marker, an abort): it may use the reserve that is kept
    /// back when the disk is nearly full.
    pub frees: bool,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a guard.
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }
    /// Adds a row without payload.
    pub fn put(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.puts.push(Put {
            key: key.into(),
            value: value.into(),
            payload: None,
        });
        self
    }
    /// Adds a row with its payload.
    pub fn put_with(
        mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        payload: Bytes,
    ) -> Self {
        self.puts.push(Put {
            key: key.into(),
            value: value.into(),
            payload: Some(payload),
        });
        self
    }
    /// Removes a row.
    pub fn delete(mut self, key: impl Into<Bytes>) -> Self {
        self.deletes.push(key.into());
        self
    }
    /// Marks the batch as one that frees room.
    pub fn frees(mut self) -> Self {
        self.frees = true;
        self
    }
    /// Adds a log entry.
    pub fn log(mut self, entry: impl Into<Bytes>) -> Self {
        self.log.push(entry.into());
        self
    }
}

/// The longest key of a row, in bytes.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// The longest value of a row, in bytes.
pub const VALUE_BYTES_MAX: usize = 256 << 10;
/// The longest payload beside a row, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

impl Batch {
    /// Checks what every engine checks before it takes a batch: the lengths above, and that no
    /// key occurs twice among puts and deletes. Answers [`StoreError::Invalid`] otherwise.
    pub fn check(&self) -> StoreResult<()> {
        let too_long = |what: &str, len: usize, max: usize| {
            Err(StoreError::Invalid(format!(
                "a {what} of {len} bytes, at most {max} are allowed"
            )))
        };
        for put in &self.puts {
            if put.value.len() > VALUE_BYTES_MAX {
                return too_long("value", put.value.len(), VALUE_BYTES_MAX);
            }
            if let Some(payload) = put.payload.as_ref().filter(|p| p.len() > PAYLOAD_BYTES_MAX) {
                return too_long("payload", payload.len(), PAYLOAD_BYTES_MAX);
            }
        }
        let keys = || self.puts.iter().map(|p| &p.key).chain(&self.deletes);
        if let Some(key) = keys().find(|k| k.len() > KEY_BYTES_MAX) {
            return too_long("key", key.len(), KEY_BYTES_MAX);
        }
        let count = self.puts.len() + self.deletes.len();
        // Nearly every batch has a handful of keys: comparing them costs less than sorting.
        let twice = if count <= 8 {
            keys()
                .enumerate()
                .any(|(i, k)| keys().skip(i + 1).any(|o| o == k))
        } else {
            let mut sorted: Vec<&Bytes> = keys().collect();
            sorted.sort_unstable();
            sorted.windows(2).any(|w| w[0] == w[1])
        };
        if twice {
            return Err(StoreError::Invalid("a key occurs twice".to_owned()));
        }
        Ok(())
    }
}

/// What a commit answers, once it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The version that all rows of the batch now have, and the position of its log entries.
    pub version: RowVersion,
}

/// Keys from `start` (included) to `end` (excluded; `None` is the partition's end).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRange {
    /// The first key that may come.
    pub start: Bytes,
    /// The first key that may no longer come.
    pub end: Option<Bytes>,
}

impl ScanRange {
    /// From `start` to before `end`.
    pub fn new(start: impl Into<Bytes>, end: Option<Bytes>) -> Self {
        Self {
            start: start.into(),
            end,
        }
    }
    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: Bytes::copy_from_slice(prefix),
            end: prefix_end(prefix),
        }
    }
}

/// The first key after all that start with `prefix`; `None` when there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let keep = prefix.iter().rposition(|b| *b != 0xFF)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end.into())
}

/// Ordered rows in partitions.
#[async_trait]
pub trait Index: Send + Sync + 'static {
    /// The row, where it is in memory and needs no waiting for; `None` says nothing: ask
    /// [`Index::get`] then. Never an older row than that would answer.
    fn cached(&self, _partition: PartitionId, _key: &[u8], _want: Want) -> Option<Row> {
        None
    }

    /// Reads one row.
    async fn get(&self, partition: PartitionId, key: &[u8], want: Want)
    -> StoreResult<Option<Row>>;

    /// Reads rows in key order, without payloads, at most `limit`. Fewer than `limit` means that
    /// the range has no more.
    async fn scan(
        &self,
        partition: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>>;

    /// Lands the whole batch, durably, or nothing. Every read that begins after the answer sees
    /// it. On an error other than `Conflict`, `Full`, `Busy` and `Invalid` the outcome is unknown.
    async fn commit(&self, partition: PartitionId, batch: Batch) -> StoreResult<Committed>;

    /// Waits until all that was committed before survives a loss of power. Bytes that a commit has
    /// replaced may be removed only after that.
    async fn settle(&self) -> StoreResult<()>;
}

/// One entry of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit that it belongs to.
    pub position: Position,
    /// As it was given to the batch.
    pub entry: Bytes,
}

/// A page of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// Whole commits, in order.
    pub entries: Vec<LogEntry>,
    /// Where to go on.
    pub next: Position,
}

/// The position of a follower of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It can go on.
    Here,
    /// Entries behind its position are gone: it is to be seeded anew.
    Trimmed,
    /// This log never gave that position, or does not have the commit any more: a loss of power
    /// took it, or the folder was brought back from a backup. The follower may have what is nowhere
    /// else.
    NeverGiven,
}

/// The change log, at least once and in commit order.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Entries after `after`, about `limit` (a commit is never split).
    async fn read(
        &self,
        partition: PartitionId,
        after: Position,
        limit: usize,
    ) -> StoreResult<LogPage>;

    /// Entries at and before this position may be gone: whoever has not read them must be seeded
    /// anew. Never falls.
    async fn floor(&self, partition: PartitionId) -> StoreResult<Position>;

    /// A position that no commit of the partition that was answered is after: reading up to it
    /// misses none of them. Reads nothing.
    fn end(&self, partition: PartitionId) -> Position;

    /// Whether a follower that has read up to `position` can go on from there.
    async fn reach(&self, partition: PartitionId, position: Position) -> StoreResult<Reach>;

    /// Says that nobody needs entries up to and with `up_to` again.
    async fn trim(&self, partition: PartitionId, up_to: Position) -> StoreResult<()>;
}

/// The name of an extent; chosen by the engine, random, never a customer's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub [u8; 16]);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An extent that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// Which one.
    pub id: BlobId,
    /// Bytes of content.
    pub len: u64,
    /// Over the content as a whole; an engine also keeps checksums of smaller pieces.
    pub checksum: u64,
}

/// Write-once extents.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Begins an extent. `len_hint` lets the engine reserve room.
    async fn create(&self, len_hint: Option<u64>) -> StoreResult<Box<dyn BlobWriter>>;

    /// Opens an extent for reading. What is open stays readable to its end, even when the extent
    /// is deleted meanwhile.
    async fn open(&self, blob: &BlobRef) -> StoreResult<Arc<dyn BlobReader>>;

    /// Removes an extent; one that is not there is no error.
    async fn delete(&self, id: BlobId) -> StoreResult<()>;

    /// Extents in order of id, after `after`, at most `limit`, each with its bytes on disk. For the
    /// sweep of orphans and for scrubbing.
    async fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>>;
}

/// An extent open for reading.
#[async_trait]
pub trait BlobReader: Send + Sync {
    /// Reads at most `max_bytes` of content from `offset`, verified against stored checksums; an
    /// empty answer means the end. An engine may return fewer bytes than asked for, never wrong
    /// ones.
    async fn read(&self, offset: u64, max_bytes: usize) -> StoreResult<Bytes>;
}

/// What a listing of extents says of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Which one.
    pub id: BlobId,
    /// Bytes on disk.
    pub bytes: u64,
}

/// An extent being written. Dropping it unfinished removes what was written.
#[async_trait]
pub trait BlobWriter: Send {
    /// The name that the extent will have. Nobody else knows of it before `finish` has returned.
    fn id(&self) -> BlobId;

    /// Appends. The bytes may still be on their way to the disk when this returns; at most a few
    /// pieces are, so memory stays bounded.
    async fn write(&mut self, bytes: Bytes) -> StoreResult<()>;

    /// Makes all of it durable (file and name) and returns its reference.
    async fn finish(self: Box<Self>) -> StoreResult<BlobRef>;
}

/// What an acknowledgement of an embedded engine promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives loss of power.
    #[default]
    Strict,
    /// It survives the end of the process; a loss of power may take the last moments.
    Relaxed,
}

/// The three together, as an embedded engine offers them.
#[derive(Clone)]
pub struct Engine {
    /// Rows.
    pub index: Arc<dyn Index>,
    /// Changes.
    pub log: Arc<dyn Log>,
    /// Extents.
    pub blobs: Arc<dyn Blobs>,
}
