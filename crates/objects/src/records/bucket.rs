//! The configuration of a bucket.

use std::sync::Arc;

use super::{
    Configuration, Fields, SetAt,
    codec::{Reader, Writer},
};
use crate::{Result, Rules};

const VERSION: u8 = 1;
/// With replication rules at its end.
const VERSION_RULES: u8 = 2;
/// With the epoch of its fence, and whether there are rules.
const VERSION_EPOCH: u8 = 3;
/// With tagged fields at its end: when each part was set.
const VERSION_FIELDS: u8 = 4;

/// Whether a bucket keeps older versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versioning {
    /// Never turned on.
    #[default]
    Off,
    /// Every write makes a version.
    Enabled,
    /// Writes replace the null version; others stay.
    Suspended,
}

/// Whether a bucket takes writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum BucketState {
    /// It does.
    #[default]
    Active,
    /// It is looked through for objects, to be deleted if there are none.
    Deleting,
    /// A sealed replica, which takes what its home sealed and nothing else.
    Sealed,
    /// It was found empty, and its deed is being removed: that is gone on with, never taken back
    /// without knowing that the deed stays.
    Removing,
    /// All that is stored here goes, since the bucket has no place here, or another one. What is
    /// still here is neither whole nor to be relied on, and there is no cursor any more.
    Discarding,
}

/// A bucket's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BucketRecord {
    pub state: BucketState,
    pub versioning: Versioning,
    pub tags: Vec<(String, String)>,
    pub rules: Option<Arc<Rules>>,
    /// What was permitted under a deed of an earlier epoch is refused; 0 where that never changed
    /// while the bucket was held here.
    pub epoch: u64,
    /// When each part was set.
    pub set: SetAt,
    /// What later releases add.
    pub fields: Fields,
}

/// Critical fields of buckets that this release knows.
const KNOWN_FIELDS: &[u8] = &[];

impl BucketRecord {
    /// What of it other regions get, beside the documents, which have rows of their own.
    pub(crate) fn configuration(&self) -> Configuration {
        Configuration {
            versioning: self.versioning,
            tags: self.tags.clone(),
            rules: self.rules.clone(),
            set: self.set,
            documents: super::Documents::default(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = self.fields.clone();
        self.set.add_to(&mut fields);
        let version = match (&self.rules, self.epoch) {
            _ if !fields.is_empty() => VERSION_FIELDS,
            (_, 1..) => VERSION_EPOCH,
            (Some(_), 0) => VERSION_RULES,
            (None, 0) => VERSION,
        };
        let mut out = Writer::new(version);
        out.u8(self.state as u8)
            .u8(self.versioning as u8)
            .pairs(&self.tags);
        if version >= VERSION_EPOCH {
            out.u64(self.epoch).u8(u8::from(self.rules.is_some()));
        }
        if let Some(rules) = &self.rules {
            let bytes = rules.encode();
            out.count(bytes.len()).raw(&bytes);
        }
        if version == VERSION_FIELDS {
            fields.write(&mut out);
        }
        out.finish()
    }
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let version = match bytes.first() {
            Some(&found @ (VERSION_RULES | VERSION_EPOCH | VERSION_FIELDS)) => found,
            _ => VERSION,
        };
        let mut r = Reader::new(bytes, version, "a bucket's configuration")?;
        let state = match r.u8()? {
            0 => BucketState::Active,
            1 => BucketState::Deleting,
            2 => BucketState::Sealed,
            3 => BucketState::Removing,
            4 => BucketState::Discarding,
            _ => return Err(r.damaged()),
        };
        let versioning = match r.u8()? {
            0 => Versioning::Off,
            1 => Versioning::Enabled,
            2 => Versioning::Suspended,
            _ => return Err(r.damaged()),
        };
        let tags = r.pairs()?;
        let (epoch, with_rules) = match version {
            VERSION_EPOCH | VERSION_FIELDS => (r.u64()?, r.u8()? != 0),
            other => (0, other == VERSION_RULES),
        };
        let rules = match with_rules {
            false => None,
            true => {
                let len = r.count(1)?;
                Some(Arc::new(Rules::decode(r.raw(len)?)?))
            }
        };
        let mut fields = match version {
            VERSION_FIELDS => Fields::read(&mut r, KNOWN_FIELDS)?,
            _ => Fields::default(),
        };
        r.end()?;
        Ok(Self {
            state,
            versioning,
            tags,
            rules,
            epoch,
            set: SetAt::take_from(&mut fields)?,
            fields,
        })
    }
}
