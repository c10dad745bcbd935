//! What keeps keys and bytes inside a region: three small traits, the engines behind them, fault
//! wrappers, and one conformance suite that every engine passes.
//!
//! - [`Index`]: partitioned, ordered rows with atomic, guarded batches.
//! - [`Log`]: what was committed, in order, for followers.
//! - [`Blobs`]: write-once extents.
//!
//! Invariant: nothing here knows what a bucket or an object is.

mod engine;
mod error;

pub use engine::{
    Batch, BlobId, BlobInfo, BlobReader, BlobRef, BlobWriter, Blobs, Committed, Engine, Guard,
    Index, Log, LogEntry, LogPage, PartitionId, Position, Put, Row, RowVersion, ScanRange, Want,
    prefix_end,
};
pub use error::{StoreError, StoreResult};
