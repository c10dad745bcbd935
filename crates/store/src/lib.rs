//! What keeps keys and bytes inside a region: three small traits, the engines behind them, fault
//! wrappers, and one conformance suite that every engine passes.
//!
//! - [`Index`]: partitioned, ordered rows with atomic, guarded batches.
//! - [`Log`]: what was committed, in order, for followers.
//! - [`Blobs`]: write-once extents.
//! - [`Upkeep`]: health, figures, verification and closing, for whoever owns an engine.
//!
//! Invariant: nothing here knows what a bucket or an object is.

pub mod conformance;
pub mod embedded;
mod engine;
mod error;
pub mod extents;
pub mod faults;
mod local;
pub mod memory;
mod upkeep;

pub use engine::{
    Batch, BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, Committed, Durability, Engine,
    Guard, Index, KEY_BYTES_MAX, Log, LogEntry, LogPage, PAYLOAD_BYTES_MAX, PartitionId, Position,
    Put, Reach, Row, RowVersion, ScanRange, VALUE_BYTES_MAX, Want, prefix_end,
};
pub use error::{StoreError, StoreResult};
pub use local::Local;
pub use upkeep::{Damage, Damaged, Figure, Health, Room, Upkeep, Verified};
