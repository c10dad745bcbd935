//! The entry that each change leaves in the change log.

use types::{Timestamp, VersionId};

use super::{
    Fields,
    codec::{Reader, Writer},
};
use crate::Result;

/// Without an [`Effect`] it was layout 1.
const VERSION: u8 = 2;

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
    /// A version was removed here since the home does not have it. Nobody is known to have removed
    /// it, so it is not sent to other regions.
    Pruned,
    /// A part of an upload was written; the version says nothing.
    Part,
    /// Parts of an upload that ended were removed; version and key say nothing.
    PartsGone,
    /// All that the bucket had in this region is removed from here on, without more entries: what
    /// it has is counted from nothing. Version and key say nothing.
    Discarded,
}

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A client's request.
    Client,
    /// Another region, by replication.
    Replication,
    /// The region itself, such as the sweep of uploads that ended.
    Upkeep,
}

/// What a change did to the bytes that the bucket has in this region. The sum of all entries'
/// `added` less the sum of their `removed` is what it has: versions, and parts of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// When it was committed here, by this region's wall clock.
    pub at: Timestamp,
    /// Bytes of content that came.
    pub added: u64,
    /// Bytes of content that went, in the same commit.
    pub removed: u64,
    /// Who made it.
    pub cause: Cause,
}

impl Effect {
    /// Of a client's write.
    pub(crate) fn written(at: Timestamp, added: u64, removed: u64) -> Self {
        Self {
            at,
            added,
            removed,
            cause: Cause::Client,
        }
    }

    /// Of a change that neither adds nor removes bytes.
    pub(crate) fn nothing(at: Timestamp, cause: Cause) -> Self {
        Self {
            at,
            added: 0,
            removed: 0,
            cause,
        }
    }
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
    /// `None` in entries of an earlier release.
    pub effect: Option<Effect>,
    /// What later releases add.
    pub fields: Fields,
}

const FLAG_NULL: u8 = 1;
const FLAG_OWN: u8 = 2;

impl Change {
    /// Whether it is sent to other regions.
    pub(crate) fn is_shipped(&self) -> bool {
        match self.kind {
            ChangeKind::Put
            | ChangeKind::Marker
            | ChangeKind::Delete
            | ChangeKind::Tags
            | ChangeKind::Config => true,
            ChangeKind::Pruned
            | ChangeKind::Part
            | ChangeKind::PartsGone
            | ChangeKind::Discarded => false,
        }
    }

    /// An entry that is not of one version.
    pub(crate) fn of_bucket(kind: ChangeKind, key: &str, effect: Effect) -> Self {
        Self {
            kind,
            version: VersionId::from_bytes([0; 16]),
            null: false,
            key: key.to_owned(),
            own: None,
            effect: Some(effect),
            fields: Fields::default(),
        }
    }

    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let version = match self.effect {
            None => 1,
            Some(_) => VERSION,
        };
        let mut out = Writer::new(version);
        out.u8(self.kind as u8).raw(self.version.bytes());
        let null = if self.null { FLAG_NULL } else { 0 };
        let own = if self.own.is_some() { FLAG_OWN } else { 0 };
        out.u8(null | own).text(&self.key);
        if let Some(epoch) = self.own {
            out.u64(epoch);
        }
        if let Some(effect) = self.effect {
            out.u64(effect.at.ms()).u8(effect.cause as u8);
            out.number(effect.added).number(effect.removed);
            if !self.fields.is_empty() {
                self.fields.write(&mut out);
            }
        }
        out.finish()
    }
    /// Reads an entry; `Error::Record` when it cannot be read.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (mut r, layout) = Reader::up_to(VERSION, bytes, "an entry of the change log")?;
        let kind = kind(&mut r)?;
        let version = VersionId::from_bytes(r.sixteen()?);
        let flags = r.u8()?;
        if flags & !(FLAG_NULL | FLAG_OWN) != 0 {
            return Err(r.damaged());
        }
        let mut change = Self {
            kind,
            version,
            null: flags & FLAG_NULL != 0,
            key: r.text()?,
            own: (flags & FLAG_OWN != 0).then(|| r.u64()).transpose()?,
            effect: None,
            fields: Fields::default(),
        };
        if layout > 1 {
            change.effect = Some(Effect {
                at: r.time()?,
                cause: cause(&mut r)?,
                added: r.number()?,
                removed: r.number()?,
            });
            if r.end().is_err() {
                change.fields = Fields::read(&mut r, &[])?;
            }
        }
        r.end()?;
        Ok(change)
    }
}

fn kind(r: &mut Reader<'_>) -> Result<ChangeKind> {
    Ok(match r.u8()? {
        0 => ChangeKind::Put,
        1 => ChangeKind::Marker,
        2 => ChangeKind::Delete,
        3 => ChangeKind::Tags,
        4 => ChangeKind::Config,
        5 => ChangeKind::Pruned,
        6 => ChangeKind::Part,
        7 => ChangeKind::PartsGone,
        8 => ChangeKind::Discarded,
        _ => return Err(r.damaged()),
    })
}

fn cause(r: &mut Reader<'_>) -> Result<Cause> {
    Ok(match r.u8()? {
        0 => Cause::Client,
        1 => Cause::Replication,
        2 => Cause::Upkeep,
        _ => return Err(r.damaged()),
    })
}
