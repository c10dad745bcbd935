//! The entry that each change of an object leaves in the change log.

use types::VersionId;

use super::codec::{Reader, Writer};
use crate::Result;

const VERSION: u8 = 1;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A version was written.
    Put,
    /// A delete marker was written.
    Marker,
    /// A version or delete marker was removed for good.
    Delete,
    /// The tags of a version changed.
    Tags,
    /// The bucket's configuration changed; version and key say nothing.
    Config,
}

/// One change of one version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The version's internal id.
    pub version: VersionId,
    /// Whether the version is displayed as `null`.
    pub null: bool,
    /// The key.
    pub key: String,
    /// Set when a client made it here: the epoch of the deed that permitted it.
    pub own: Option<u64>,
}

const FLAG_NULL: u8 = 1;
const FLAG_OWN: u8 = 2;

impl Change {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.u8(self.kind as u8).raw(self.version.bytes());
        let null = if self.null { FLAG_NULL } else { 0 };
        let own = if self.own.is_some() { FLAG_OWN } else { 0 };
        out.u8(null | own).text(&self.key);
        if let Some(epoch) = self.own {
            out.u64(epoch);
        }
        out.finish()
    }
    /// Reads an entry; `Error::Record` when it cannot be read.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, "an entry of the change log")?;
        let kind = match r.u8()? {
            0 => ChangeKind::Put,
            1 => ChangeKind::Marker,
            2 => ChangeKind::Delete,
            3 => ChangeKind::Tags,
            4 => ChangeKind::Config,
            _ => return Err(r.damaged()),
        };
        let version = VersionId::from_bytes(r.sixteen()?);
        let flags = r.u8()?;
        if flags & !(FLAG_NULL | FLAG_OWN) != 0 {
            return Err(r.damaged());
        }
        let change = Self {
            kind,
            version,
            null: flags & FLAG_NULL != 0,
            key: r.text()?,
            own: (flags & FLAG_OWN != 0).then(|| r.u64()).transpose()?,
        };
        r.end()?;
        Ok(change)
    }
}
