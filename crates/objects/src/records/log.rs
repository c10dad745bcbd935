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
}

impl Change {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.u8(self.kind as u8).raw(self.version.bytes());
        out.u8(u8::from(self.null)).text(&self.key);
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
        let change = Self {
            kind,
            version: VersionId::from_bytes(r.sixteen()?),
            null: r.u8()? != 0,
            key: r.text()?,
        };
        r.end()?;
        Ok(change)
    }
}
