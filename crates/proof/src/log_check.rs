//! Checks a whole audit log against what its keeper signed, entry by entry.

use crate::{
    chain::{ChainError, Checkpoint, Entry, Head, Verifier},
    encoding::Hash,
    map::{Chains, MapKey},
};

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// An entry does not follow on the one before.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It has no entries.
    #[error("the log is empty")]
    Empty,
    /// An entry that was seen before is another now.
    #[error("the log was rewritten: entry {0} had another hash when it was saved")]
    Rewritten(u64),
    /// It is shorter than it was.
    #[error("the log was cut short: it ends with entry {ends}, {saved} was saved")]
    Cut {
        /// Its last entry.
        ends: u64,
        /// The entry that was seen before.
        saved: u64,
    },
    /// The signature is on something else.
    #[error(
        "the signature is on entry {signed}, not on the log's last, {ends}, or on another of that \
         number"
    )]
    OtherHead {
        /// The entry that was signed.
        signed: u64,
        /// The log's last entry.
        ends: u64,
    },
    /// Whoever signs another map than the log's could leave entries out of bundles.
    #[error("the map that was signed is not the log's: bundles could leave entries out")]
    OtherMap,
}

/// Takes a log up to the entry that was signed. Memory: one head for each bucket, where the map is
/// checked as well.
#[derive(Debug)]
pub struct LogCheck {
    chain: Verifier,
    known: Option<Head>,
    chains: Option<Chains>,
}

impl LogCheck {
    /// Before the first entry. The log must pass through `known`, if that was seen before; with the
    /// key of the map, the map is computed as well.
    pub fn new(known: Option<Head>, map_key: Option<Hash>) -> Self {
        Self {
            chain: Verifier::new(),
            known,
            chains: map_key.map(|key| Chains::new(MapKey(key.0))),
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn push(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.chain.push(entry)?;
        if let Some(chains) = &mut self.chains {
            chains.push(entry);
        }
        match self.known {
            Some(known) if known.number == entry.number && known.hash != entry.hash => {
                Err(LogError::Rewritten(known.number))
            }
            _ => Ok(()),
        }
    }

    /// Compares the end of the log with what was signed. The signature itself is not looked at.
    ///
    /// # Errors
    /// How they differ.
    pub fn end(self, checkpoint: &Checkpoint) -> Result<Head, LogError> {
        let head = self.chain.head().ok_or(LogError::Empty)?;
        if let Some(known) = self.known.filter(|known| known.number > head.number) {
            return Err(LogError::Cut {
                ends: head.number,
                saved: known.number,
            });
        }
        if checkpoint.head != head {
            return Err(LogError::OtherHead {
                signed: checkpoint.head.number,
                ends: head.number,
            });
        }
        if checkpoint.map != self.chains.as_ref().map(Chains::root) {
            return Err(LogError::OtherMap);
        }
        Ok(head)
    }
}
