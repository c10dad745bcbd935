//! What replication carries: a version of an object without the place of its bytes, the removal of
//! one, a bucket's configuration. Read from a peer that may be hostile, so as strictly as a record.

use std::sync::Arc;

use bytes::Bytes;
use types::{ChecksumValue, ETag, ObjectKey, Timestamp, VersionId};

use super::{
    Configuration, Documents, Fields, ObjectAttributes, SetAt, Versioning,
    bounds::{attributes_are_within, bucket_tags_are_within},
    codec::{Reader, Writer},
};
use crate::{Result, Rules};

/// As that of objects: layout 2 is of what has tagged fields.
const VERSION: u8 = 2;
const WHAT: &str = "a shipped change";

const KIND_VERSION: u8 = 0;
const KIND_REMOVED: u8 = 1;
const KIND_CONFIG: u8 = 2;
const KIND_CONFIG_RULES: u8 = 3;
const KIND_ATTRIBUTES: u8 = 4;
/// A configuration that says when each of its parts was set.
const KIND_CONFIG_SET: u8 = 5;

const FLAG_NULL: u8 = 1;
const FLAG_DELETE_MARKER: u8 = 2;
const FLAG_INLINE: u8 = 4;

/// A part of an object that was put together from parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedPart {
    /// Its number, 1 to 10,000.
    pub number: u16,
    /// Its bytes.
    pub size: u64,
    /// Their MD5.
    pub md5: [u8; 16],
    /// Its checksum.
    pub checksum: Option<ChecksumValue>,
}

/// A version of an object as it travels between regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// The key.
    pub key: ObjectKey,
    /// The version's own id, the same in every region.
    pub version: VersionId,
    /// Displayed as `null`.
    pub null: bool,
    /// It has no content.
    pub delete_marker: bool,
    /// When it was written.
    pub modified: Timestamp,
    /// Bytes of content.
    pub size: u64,
    /// The entity tag.
    pub etag: ETag,
    /// The checksum that was asked for.
    pub checksum: Option<ChecksumValue>,
    /// Headers, metadata, tags.
    pub attributes: ObjectAttributes,
    /// Empty unless it was put together from parts.
    pub parts: Vec<ShippedPart>,
    /// The bytes of a small object.
    pub inline: Option<Bytes>,
}

/// One change as it travels between regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShippedChange {
    /// A version is there, or its tags have changed.
    Version(Box<Shipped>),
    /// The tags of a version have changed; it is made nowhere by this.
    Attributes {
        /// Of which key.
        key: ObjectKey,
        /// Which.
        version: VersionId,
        /// What a client says of it.
        attributes: Box<ObjectAttributes>,
    },
    /// A version was removed for good.
    Removed {
        /// Of which key.
        key: ObjectKey,
        /// Which.
        version: VersionId,
        /// It was a null version: every older null version of the key is gone too.
        null: bool,
    },
    /// The bucket's configuration.
    Config(Box<Configuration>),
}

impl ShippedChange {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(self.layout());
        match self {
            Self::Version(shipped) => shipped.write(out.u8(KIND_VERSION)),
            Self::Attributes {
                key,
                version,
                attributes,
            } => {
                let out = out.u8(KIND_ATTRIBUTES).text(key).raw(version.bytes());
                attributes.write(out);
            }
            Self::Removed { key, version, null } => {
                out.u8(KIND_REMOVED).text(key).raw(version.bytes());
                out.u8(u8::from(*null));
            }
            Self::Config(config) => config.write(&mut out),
        }
        out.finish()
    }

    fn layout(&self) -> u8 {
        match self {
            Self::Version(shipped) => shipped.attributes.layout(),
            Self::Attributes { attributes, .. } => attributes.layout(),
            Self::Removed { .. } | Self::Config(_) => 1,
        }
    }

    /// Reads them; `Error::Record` for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (mut r, layout) = Reader::up_to(VERSION, bytes, WHAT)?;
        let change = match r.u8()? {
            KIND_VERSION => Self::Version(Box::new(Shipped::read(&mut r, layout)?)),
            KIND_ATTRIBUTES => Self::Attributes {
                key: key(&mut r)?,
                version: VersionId::from_bytes(r.sixteen()?),
                attributes: Box::new(ObjectAttributes::read(&mut r, layout)?),
            },
            KIND_REMOVED => Self::Removed {
                key: key(&mut r)?,
                version: VersionId::from_bytes(r.sixteen()?),
                null: match r.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(r.damaged()),
                },
            },
            kind @ (KIND_CONFIG | KIND_CONFIG_RULES | KIND_CONFIG_SET) => {
                Self::Config(Box::new(Configuration::read(kind, &mut r)?))
            }
            _ => return Err(r.damaged()),
        };
        r.end()?;
        match change.is_within() {
            true => Ok(change),
            false => Err(r.damaged()),
        }
    }

    fn is_within(&self) -> bool {
        match self {
            Self::Version(_) | Self::Removed { .. } => true,
            Self::Attributes { attributes, .. } => attributes_are_within(attributes),
            Self::Config(config) => bucket_tags_are_within(&config.tags),
        }
    }
}

fn key(r: &mut Reader<'_>) -> Result<ObjectKey> {
    Ok(ObjectKey::new(&r.text()?)?)
}

impl Configuration {
    /// Without times it is written as earlier releases read it.
    fn write(&self, out: &mut Writer) {
        let mut fields = Fields::default();
        self.set.add_to(&mut fields);
        self.documents.add_to(&mut fields);
        let with_times = !fields.is_empty();
        let kind = match (with_times, &self.rules) {
            (true, _) => KIND_CONFIG_SET,
            (false, None) => KIND_CONFIG,
            (false, Some(_)) => KIND_CONFIG_RULES,
        };
        out.u8(kind).u8(self.versioning as u8).pairs(&self.tags);
        if with_times {
            out.u8(u8::from(self.rules.is_some()));
        }
        if let Some(rules) = &self.rules {
            let bytes = rules.encode();
            out.count(bytes.len()).raw(&bytes);
        }
        if with_times {
            fields.write(out);
        }
    }

    fn read(kind: u8, r: &mut Reader<'_>) -> Result<Self> {
        let versioning = match r.u8()? {
            0 => Versioning::Off,
            1 => Versioning::Enabled,
            2 => Versioning::Suspended,
            _ => return Err(r.damaged()),
        };
        let tags = r.pairs()?;
        let with_rules = match kind {
            KIND_CONFIG => false,
            KIND_CONFIG_RULES => true,
            _ => match r.u8()? {
                0 => false,
                1 => true,
                _ => return Err(r.damaged()),
            },
        };
        let rules = match with_rules {
            false => None,
            true => {
                let len = r.count(1)?;
                Some(Arc::new(Rules::decode(r.raw(len)?)?))
            }
        };
        let mut fields = match kind {
            KIND_CONFIG_SET => Fields::read(r, &Documents::fields())?,
            _ => Fields::default(),
        };
        let set = SetAt::take_from(&mut fields)?;
        let documents = Documents::take_from(&mut fields)?;
        Ok(Self {
            versioning,
            tags,
            rules,
            set,
            documents,
        })
    }
}

impl Shipped {
    /// About how many bytes of a page it takes: one of many parts has a long list of them.
    pub fn travels(&self) -> usize {
        let inline = self.inline.as_ref().map_or(0, Bytes::len);
        inline + self.parts.len() * size_of::<ShippedPart>()
    }

    fn write(&self, out: &mut Writer) {
        let flags = [
            (self.null, FLAG_NULL),
            (self.delete_marker, FLAG_DELETE_MARKER),
            (self.inline.is_some(), FLAG_INLINE),
        ];
        let set = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag);
        out.u8(set.sum()).text(&self.key).raw(self.version.bytes());
        out.u64(self.modified.ms()).u64(self.size);
        out.raw(&self.etag.md5).u16(self.etag.parts);
        out.checksum(self.checksum.as_ref());
        self.attributes.write(out);
        out.count(self.parts.len());
        for part in &self.parts {
            out.u16(part.number).u64(part.size).raw(&part.md5);
            out.checksum(part.checksum.as_ref());
        }
        if let Some(bytes) = &self.inline {
            out.count(bytes.len()).raw(bytes);
        }
    }

    fn read(r: &mut Reader<'_>, layout: u8) -> Result<Self> {
        let flags = r.u8()?;
        if flags & !(FLAG_NULL | FLAG_DELETE_MARKER | FLAG_INLINE) != 0 {
            return Err(r.damaged());
        }
        let mut shipped = Self {
            null: flags & FLAG_NULL != 0,
            delete_marker: flags & FLAG_DELETE_MARKER != 0,
            key: key(r)?,
            version: VersionId::from_bytes(r.sixteen()?),
            modified: r.time()?,
            size: r.u64()?,
            etag: ETag {
                md5: r.sixteen()?,
                parts: r.u16()?,
            },
            checksum: r.checksum()?,
            attributes: ObjectAttributes::read(r, layout)?,
            parts: Vec::new(),
            inline: None,
        };
        for _ in 0..r.count(27)? {
            shipped.parts.push(ShippedPart {
                number: r.u16()?,
                size: r.u64()?,
                md5: r.sixteen()?,
                checksum: r.checksum()?,
            });
        }
        if flags & FLAG_INLINE != 0 {
            let len = r.count(1)?;
            shipped.inline = Some(Bytes::copy_from_slice(r.raw(len)?));
        }
        match shipped.is_sound() {
            true => Ok(shipped),
            false => Err(r.damaged()),
        }
    }

    /// Whether its fields fit each other.
    fn is_sound(&self) -> bool {
        let parts: Option<u64> = self
            .parts
            .iter()
            .try_fold(0u64, |sum, part| sum.checked_add(part.size));
        let rising = self.parts.windows(2).all(|w| w[0].number < w[1].number);
        let inline = self.inline.as_ref();
        let content = match self.delete_marker {
            true => self.size == 0 && self.parts.is_empty() && inline.is_none(),
            false => self.parts.is_empty() || (parts == Some(self.size) && inline.is_none()),
        };
        let bounded = super::bounds::is_within(self);
        bounded && content && rising && inline.is_none_or(|bytes| bytes.len() as u64 == self.size)
    }
}
