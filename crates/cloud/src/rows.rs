//! Where the registry's rows are kept. The embedded engine is one way; a store that several regions
//! share, such as etcd, can be another.

use std::sync::Arc;

use async_trait::async_trait;
use store::{Batch, Guard, Index, PartitionId, ScanRange, StoreError};

/// The registry's own partition.
const PARTITION: PartitionId = PartitionId(0);

/// Keeps rows by name, durably and in order of their names.
#[async_trait]
pub trait Rows: Send + Sync + 'static {
    /// Rows whose names come after `after` and begin with `prefix`, at most `limit`.
    async fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Writes and removes all of it or nothing. `once`, one of the names that are written, must not
    /// exist; else the answer is `Conflict`. That makes changes follow one another whoever makes
    /// them.
    async fn write(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError>;

    /// The same for what takes rights away: on a full disk it may use the room that is kept back
    /// for what frees room.
    async fn write_from_reserve(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        self.write(once, puts, removes).await
    }
}

/// The embedded engine's.
pub struct IndexRows(pub Arc<dyn Index>);

#[async_trait]
impl Rows for IndexRows {
    async fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut range = ScanRange::prefix(prefix.as_bytes());
        if after >= prefix {
            range.start = [after.as_bytes(), b"\0"].concat().into();
        }
        let found = self.0.scan(PARTITION, range, limit).await?;
        let text = |(key, row): (bytes::Bytes, store::Row)| {
            let name = String::from_utf8(key.to_vec())
                .map_err(|_| StoreError::Corrupt("the name of a row of the registry".into()))?;
            Ok((name, row.value.to_vec()))
        };
        found.into_iter().map(text).collect()
    }

    async fn write(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        let frees = !removes.is_empty();
        self.commit(frees, once, puts, removes).await
    }

    async fn write_from_reserve(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        self.commit(true, once, puts, removes).await
    }
}

impl IndexRows {
    async fn commit(
        &self,
        frees: bool,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.frees = frees;
        if let Some(once) = once {
            batch = batch.guard(Guard::Absent(once.to_owned().into()));
        }
        for (name, value) in puts {
            batch = batch.put(name, value);
        }
        for name in removes {
            batch = batch.delete(name);
        }
        self.0.commit(PARTITION, batch).await.map(drop)
    }
}
