//! What a bucket's configuration says, and when each part of it was set.

use std::sync::Arc;

use types::VersionId;

use super::{Documents, Fields, Versioning};
use crate::{Error, Result, Rules};

/// A part of the configuration that writes are ordered with. It is in the bucket's own row, which
/// each write guards; what no write depends on is a document ([`super::DocumentKind`]). The number
/// is the tag of the field that has the part's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Part {
    /// Whether versions are kept.
    Versioning = 1,
    /// The bucket's tags.
    Tags = 2,
    /// The replication rules.
    Rules = 3,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 3] = [Self::Versioning, Self::Tags, Self::Rules];

    /// In logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Versioning => "versioning",
            Self::Tags => "tags",
            Self::Rules => "rules",
        }
    }
}

/// When each part of a configuration was set, by the clock that names versions: of two values that
/// were set in different regions the later one counts. `None` where it was never set, or by a
/// release that did not note it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetAt {
    /// Whether versions are kept.
    pub versioning: Option<VersionId>,
    /// The bucket's tags.
    pub tags: Option<VersionId>,
    /// The replication rules.
    pub rules: Option<VersionId>,
}

impl SetAt {
    /// When one part was set.
    pub(crate) fn of(&self, part: Part) -> Option<VersionId> {
        match part {
            Part::Versioning => self.versioning,
            Part::Tags => self.tags,
            Part::Rules => self.rules,
        }
    }

    /// Notes when one part was set.
    pub(crate) fn note(&mut self, part: Part, at: Option<VersionId>) {
        *match part {
            Part::Versioning => &mut self.versioning,
            Part::Tags => &mut self.tags,
            Part::Rules => &mut self.rules,
        } = at;
    }

    /// The times that are known.
    pub(crate) fn times(self) -> impl Iterator<Item = VersionId> {
        Part::ALL.into_iter().filter_map(move |part| self.of(part))
    }

    /// Adds them to other fields of a record.
    pub(super) fn add_to(self, fields: &mut Fields) {
        for part in Part::ALL {
            if let Some(at) = self.of(part) {
                fields.set(part as u8, at.bytes().to_vec());
            }
        }
    }

    /// Takes them out of the fields of a record.
    pub(super) fn take_from(fields: &mut Fields) -> Result<Self> {
        let mut set = Self::default();
        for part in Part::ALL {
            let Some(bytes) = fields.take(part as u8) else {
                continue;
            };
            let at = bytes.as_slice().try_into().map(VersionId::from_bytes);
            let unreadable = |_| Error::Record("the time of a configuration cannot be read".into());
            set.note(part, Some(at.map_err(unreadable)?));
        }
        Ok(set)
    }
}

/// A bucket's configuration as it travels between regions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Whether the bucket keeps versions.
    pub versioning: Versioning,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Its replication rules.
    pub rules: Option<Arc<Rules>>,
    /// When each of these was set.
    pub set: SetAt,
    /// Its documents, each with its own time.
    pub documents: Documents,
}
