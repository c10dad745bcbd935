//! What can go wrong in an engine, by what the caller must do about it.

/// The result of an engine's call.
pub type StoreResult<T> = Result<T, StoreError>;

/// Why an engine refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A guard of the batch did not hold; nothing was written. Read again and decide anew.
    #[error("guard {index} of the batch does not hold")]
    Conflict {
        /// Which guard, counted from 0.
        index: usize,
    },
    /// The disk is full (or nearly: a reserve is kept for deletes). Reads and deletes work.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Stored bytes do not have their checksum. They were not handed out.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// A sync failed earlier; the engine takes no more writes until it is opened again.
    #[error("the engine is fenced after a failed sync: {0}")]
    Fenced(String),
    /// Too many callers wait already.
    #[error("the engine's queue is full")]
    Busy,
    /// There is no such extent.
    #[error("extent {0} does not exist")]
    NoBlob(String),
    /// The batch breaks a limit or a rule of its contract; nothing was written. The caller's bug.
    #[error("the batch is refused: {0}")]
    Invalid(String),
    /// The operating system failed a call.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the file's name.
        context: String,
        /// The cause.
        source: std::sync::Arc<std::io::Error>,
    },
}

impl StoreError {
    /// An IO failure with what was being done; a full disk becomes [`StoreError::Full`].
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full(format!("{}: {source}", context.into()))
            }
            _ => Self::Io {
                context: context.into(),
                source: std::sync::Arc::new(source),
            },
        }
    }
}
