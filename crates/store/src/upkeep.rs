//! What an engine's owner asks of it beside rows, log and extents: how it is, what it holds,
//! whether all of it can be read, and its end. No request needs any of this.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::{BlobId, PartitionId, Position, StoreResult};

/// Looks after an engine: one for its rows, its log and its extents together.
pub trait Upkeep: Send + Sync + 'static {
    /// Whether it takes writes.
    fn health(&self) -> Health;

    /// What it counts, for metrics. The names are the engine's own.
    fn figures(&self) -> Vec<Figure>;

    /// Room on its disk, where it has one of its own.
    ///
    /// # Errors
    /// The operating system does not say.
    fn room(&self) -> StoreResult<Option<Room>>;

    /// The position of the last commit of all partitions; of an opening that has none, one before
    /// which no other opening comes.
    fn last_commit(&self) -> Position;

    /// Whether this engine gave the position, and has all up to it.
    fn gave(&self, position: Position) -> bool;

    /// Reads everything that is stored and compares it with its checksums; goes on behind damage.
    /// `progress` is called now and then, and may end it. Blocks; runs beside other work.
    ///
    /// # Errors
    /// The engine cannot be read at all.
    fn verify(
        &self,
        progress: &mut dyn FnMut(&Verified) -> ControlFlow<()>,
    ) -> StoreResult<Vec<Damage>>;

    /// Makes all that was committed durable and takes no more commits. Blocks.
    ///
    /// # Errors
    /// It could not be made durable.
    fn close(&self) -> StoreResult<()>;
}

/// How an engine is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why no more writes are taken until it is opened again, if so.
    pub fenced: Option<String>,
    /// The disk is full up to its reserve: only what frees room is taken.
    pub full: bool,
}

/// One number that an engine counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Lower-case letters and underscores.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// As it is now.
    pub value: u64,
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free, the reserve among them.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is being read; a word of the engine.
    pub part: &'static str,
    /// Rows and extents read.
    pub items: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes there were when it began. Writes meanwhile can bring `bytes` above it.
    pub bytes_total: u64,
}

/// Something that does not have its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What it is.
    pub of: Damaged,
    /// What is wrong, in words.
    pub what: String,
}

/// What is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damaged {
    /// The payload of a row.
    Payload(PartitionId, Bytes),
    /// Rows cannot be read: those from the key on or those before it.
    Rows(PartitionId, Bytes),
    /// Entries of the change log.
    Log,
    /// An extent.
    Extent(BlobId),
    /// An extent without an end: what a crash left, unless a row refers to it.
    Unfinished(BlobId),
}
