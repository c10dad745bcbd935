//! What a bucket's configuration says, and when each part of it was set.

use std::sync::Arc;

use types::VersionId;

use super::{Documents, Fields, Versioning};
use crate::{Error, Result, Rules};

const VERSIONING: u8 = 1;
const TAGS: u8 = 2;
const RULES: u8 = 3;

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
    /// Adds them to other fields of a record.
    pub(super) fn add_to(self, fields: &mut Fields) {
        let parts = [
            (VERSIONING, self.versioning),
            (TAGS, self.tags),
            (RULES, self.rules),
        ];
        for (tag, stamp) in parts {
            if let Some(stamp) = stamp {
                fields.set(tag, stamp.bytes().to_vec());
            }
        }
    }

    /// Takes them out of the fields of a record.
    pub(super) fn take_from(fields: &mut Fields) -> Result<Self> {
        let mut one = |tag| {
            let found = fields.take(tag);
            let stamp = found.map(|bytes| bytes.as_slice().try_into().map(VersionId::from_bytes));
            stamp.transpose()
        };
        let read = |stamp: std::result::Result<_, _>| {
            stamp.map_err(|_| Error::Record("the time of a configuration cannot be read".into()))
        };
        Ok(Self {
            versioning: read(one(VERSIONING))?,
            tags: read(one(TAGS))?,
            rules: read(one(RULES))?,
        })
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
