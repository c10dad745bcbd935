//! Rows whose bytes a read found damaged: they are looked at in the background.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{BlobId, PartitionId, Row, StoreError, StoreResult, Want};
use tokio::sync::Notify;

use crate::Objects;

/// Rows that wait. What does not fit is met again by the next read of it.
const SUSPECTS_MAX: usize = 1000;
/// Linux's number for a read that the disk failed.
const EIO: i32 = 5;

/// A row whose bytes a read found damaged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Suspect {
    pub(super) partition: PartitionId,
    pub(super) row_key: Bytes,
    pub(super) extents: BTreeSet<BlobId>,
}

/// The rows that wait.
#[derive(Default)]
pub(crate) struct Suspects {
    rows: Mutex<BTreeMap<(PartitionId, Bytes), BTreeSet<BlobId>>>,
    woken: Notify,
}

/// Whether an error says that stored bytes are damaged, and not that something is amiss for now.
pub(crate) fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt(_) => true,
        StoreError::Io { source, .. } => {
            source.raw_os_error() == Some(EIO) || source.kind() == ErrorKind::UnexpectedEof
        }
        _ => false,
    }
}

impl Suspects {
    /// Notes what a read met, if that was damage.
    pub(crate) fn met(
        &self,
        partition: PartitionId,
        row_key: &[u8],
        extent: Option<BlobId>,
        error: &StoreError,
    ) {
        if is_damage(error) {
            self.add(partition, row_key, extent);
        }
    }

    pub(crate) fn add(&self, partition: PartitionId, row_key: &[u8], extent: Option<BlobId>) {
        let mut rows = self.rows.lock();
        let row = (partition, Bytes::copy_from_slice(row_key));
        if rows.len() >= SUSPECTS_MAX && !rows.contains_key(&row) {
            return;
        }
        rows.entry(row).or_default().extend(extent);
        drop(rows);
        self.woken.notify_one();
    }

    fn take(&self) -> Option<Suspect> {
        let ((partition, row_key), extents) = self.rows.lock().pop_first()?;
        Some(Suspect {
            partition,
            row_key,
            extents,
        })
    }
}

impl Objects {
    /// Reads a row; damage that this meets is noted.
    pub(crate) async fn row(
        &self,
        partition: PartitionId,
        row_key: &[u8],
        want: Want,
    ) -> StoreResult<Option<Row>> {
        let found = self.engine.index.get(partition, row_key, want).await;
        found.inspect_err(|error| self.suspects.met(partition, row_key, None, error))
    }

    /// Waits for a row whose bytes a read found damaged. For one caller.
    pub async fn next_suspect(&self) -> Suspect {
        loop {
            if let Some(suspect) = self.suspects.take() {
                return suspect;
            }
            self.suspects.woken.notified().await;
        }
    }
}
