//! A version of an object, or a delete marker.

use store::BlobRef;
use types::{ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, Timestamp, VersionId};

use super::{
    Fields, ObjectList,
    codec::{Reader, Writer},
};
use crate::{DisplayVersion, Result};

/// With tagged fields after the attributes is layout 2; without any it is layout 1, which earlier
/// releases read too.
const OBJECT_VERSION: u8 = 2;
const MANIFEST_VERSION: u8 = 1;

const FLAG_NULL: u8 = 1;
const FLAG_DELETE_MARKER: u8 = 2;

/// In the byte that says which headers are there.
const REPLICA: u8 = 0x80;
const TAGGED: u8 = 0x40;

/// Headers that are kept with the content and come back with it, each as it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each is the header of the same name
pub struct ContentHeaders {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires: Option<String>,
}

impl ContentHeaders {
    pub(super) fn all(&self) -> [&Option<String>; 6] {
        [
            &self.content_type,
            &self.cache_control,
            &self.content_disposition,
            &self.content_encoding,
            &self.content_language,
            &self.expires,
        ]
    }
    fn write(&self, out: &mut Writer, flags: u8) {
        let all = self.all();
        let present = all
            .iter()
            .enumerate()
            .map(|(i, h)| u8::from(h.is_some()) << i);
        out.u8(present.sum::<u8>() | flags);
        for text in all.into_iter().flatten() {
            out.text(text);
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<(Self, u8)> {
        let present = r.u8()?;
        let mut next = |bit: u8| (present & 1 << bit != 0).then(|| r.text()).transpose();
        let headers = Self {
            content_type: next(0)?,
            cache_control: next(1)?,
            content_disposition: next(2)?,
            content_encoding: next(3)?,
            content_language: next(4)?,
            expires: next(5)?,
        };
        Ok((headers, present))
    }
}

/// What a client says of an object beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectAttributes {
    /// Headers of the content.
    pub headers: ContentHeaders,
    /// User metadata: names in lower case without `x-amz-meta-`, values as given.
    pub metadata: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// It came by a replication rule of another bucket, and goes no further by rules.
    pub replica: bool,
    /// When the tags were last changed, if ever, by the clock that names versions: where several
    /// regions change them the last one counts.
    pub tagged: Option<VersionId>,
    /// What later releases add.
    pub fields: Fields,
}

/// The access control list, where it is not that of the bucket's owner alone.
const FIELD_LIST: u8 = 128;

/// Critical fields of objects that this release knows.
const KNOWN_FIELDS: &[u8] = &[FIELD_LIST];

impl ObjectAttributes {
    /// The access control list; `None` where the bucket's owner owns the object and nobody else has
    /// access.
    ///
    /// # Errors
    /// `Record` where it cannot be read.
    pub fn list(&self) -> Result<Option<ObjectList>> {
        let bytes = self.fields.get(FIELD_LIST);
        bytes.map(ObjectList::decode).transpose()
    }

    /// Sets the list, or takes it away.
    pub fn set_list(&mut self, list: Option<&ObjectList>) {
        match list {
            Some(list) => self.fields.set(FIELD_LIST, list.encode()),
            None => drop(self.fields.take(FIELD_LIST)),
        }
    }

    /// What counts of the attributes that a version has `here` and of those that it has elsewhere:
    /// the tags that were set last, and, unless this is the home, where alone lists are replaced,
    /// the list that was set last.
    pub(crate) fn newest(here: &Self, there: &Self, at_home: bool) -> Result<Self> {
        let (own, other) = (here.list()?, there.list()?);
        let set = |list: &Option<ObjectList>| list.as_ref().map(|list| list.set);
        let list = match at_home || set(&own) > set(&other) {
            true => own,
            false => other,
        };
        let tags = if here.tagged > there.tagged {
            here
        } else {
            there
        };
        let mut newest = tags.clone();
        newest.set_list(list.as_ref());
        Ok(newest)
    }

    /// The layout that these need: 2 with tagged fields, else 1.
    pub(super) fn layout(&self) -> u8 {
        if self.fields.is_empty() { 1 } else { 2 }
    }
    /// Writes them as the end of a record of their [`layout`](Self::layout).
    pub(super) fn write(&self, out: &mut Writer) {
        let replica = if self.replica { REPLICA } else { 0 };
        let tagged = if self.tagged.is_some() { TAGGED } else { 0 };
        self.headers.write(out, replica | tagged);
        out.pairs(&self.metadata).pairs(&self.tags);
        if let Some(tagged) = self.tagged {
            out.raw(tagged.bytes());
        }
        if !self.fields.is_empty() {
            self.fields.write(out);
        }
    }
    pub(super) fn read(r: &mut Reader<'_>, layout: u8) -> Result<Self> {
        let (headers, flags) = ContentHeaders::read(r)?;
        Ok(Self {
            headers,
            metadata: r.pairs()?,
            tags: r.pairs()?,
            replica: flags & REPLICA != 0,
            tagged: match flags & TAGGED != 0 {
                true => Some(VersionId::from_bytes(r.sixteen()?)),
                false => None,
            },
            fields: match layout {
                1 => Fields::default(),
                _ => Fields::read(r, KNOWN_FIELDS)?,
            },
        })
    }
}

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ObjectBody {
    /// There are none: a delete marker.
    None,
    /// In the row's payload.
    Inline,
    /// One after the other in these extents.
    Extents(Vec<BlobRef>),
    /// In the extents of this many parts, which the manifest in the row's payload lists.
    Parts(u16),
}

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectRecord {
    pub version: VersionId,
    /// Displayed as `null`.
    pub null: bool,
    pub delete_marker: bool,
    pub modified: Timestamp,
    pub size: u64,
    pub etag: ETag,
    pub checksum: Option<ChecksumValue>,
    pub body: ObjectBody,
    pub attributes: ObjectAttributes,
}

impl ObjectRecord {
    /// As clients name it.
    pub(crate) fn display(&self) -> DisplayVersion {
        if self.null {
            DisplayVersion::Null
        } else {
            DisplayVersion::Id(self.version)
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(self.attributes.layout());
        let null = if self.null { FLAG_NULL } else { 0 };
        let marker = if self.delete_marker {
            FLAG_DELETE_MARKER
        } else {
            0
        };
        out.u8(null | marker).raw(self.version.bytes());
        out.u64(self.modified.ms()).u64(self.size);
        out.raw(&self.etag.md5)
            .u16(self.etag.parts)
            .checksum(self.checksum.as_ref());
        match &self.body {
            ObjectBody::None => out.u8(0),
            ObjectBody::Inline => out.u8(1),
            ObjectBody::Extents(extents) => out.u8(2).extents(extents),
            ObjectBody::Parts(parts) => out.u8(3).u16(*parts),
        };
        self.attributes.write(&mut out);
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (mut r, view, checksum, layout) = head(bytes)?;
        let body = match r.u8()? {
            0 => ObjectBody::None,
            1 => ObjectBody::Inline,
            2 => ObjectBody::Extents(r.extents()?),
            3 => ObjectBody::Parts(r.u16()?),
            _ => return Err(r.damaged()),
        };
        let attributes = ObjectAttributes::read(&mut r, layout)?;
        r.end()?;
        Ok(Self {
            version: view.version,
            null: view.null,
            delete_marker: view.delete_marker,
            modified: view.modified,
            size: view.size,
            etag: view.etag,
            checksum,
            body,
            attributes,
        })
    }
}

/// What listings show of a record, read without the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordView {
    pub version: VersionId,
    pub null: bool,
    pub delete_marker: bool,
    pub modified: Timestamp,
    pub size: u64,
    pub etag: ETag,
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

impl RecordView {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(head(bytes)?.1)
    }
}

fn head(bytes: &[u8]) -> Result<(Reader<'_>, RecordView, Option<ChecksumValue>, u8)> {
    let (mut r, layout) = Reader::up_to(OBJECT_VERSION, bytes, "an object")?;
    let flags = r.u8()?;
    if flags & !(FLAG_NULL | FLAG_DELETE_MARKER) != 0 {
        return Err(r.damaged());
    }
    let mut view = RecordView {
        null: flags & FLAG_NULL != 0,
        delete_marker: flags & FLAG_DELETE_MARKER != 0,
        version: VersionId::from_bytes(r.sixteen()?),
        modified: r.time()?,
        size: r.u64()?,
        etag: ETag {
            md5: r.sixteen()?,
            parts: r.u16()?,
        },
        checksum: None,
    };
    let checksum = r.checksum()?;
    view.checksum = checksum.map(|c| (c.algorithm(), c.kind()));
    Ok((r, view, checksum, layout))
}

/// A part of an object that was put together from parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestPart {
    pub number: u16,
    pub size: u64,
    pub md5: [u8; 16],
    pub checksum: Option<ChecksumValue>,
    pub extents: Vec<BlobRef>,
}

/// The payload of an object of parts. At one extent a part, 10,000 parts stay below 1 MiB.
pub(crate) fn encode_manifest(parts: &[ManifestPart]) -> Vec<u8> {
    let mut out = Writer::new(MANIFEST_VERSION);
    out.count(parts.len());
    for part in parts {
        out.u16(part.number).u64(part.size).raw(&part.md5);
        out.checksum(part.checksum.as_ref()).extents(&part.extents);
    }
    out.finish()
}

/// Reads such a payload.
pub(crate) fn decode_manifest(bytes: &[u8]) -> Result<Vec<ManifestPart>> {
    let mut r = Reader::new(bytes, MANIFEST_VERSION, "a manifest of parts")?;
    let parts = (0..r.count(31)?)
        .map(|_| {
            Ok(ManifestPart {
                number: r.u16()?,
                size: r.u64()?,
                md5: r.sixteen()?,
                checksum: r.checksum()?,
                extents: r.extents()?,
            })
        })
        .collect::<Result<_>>()?;
    r.end()?;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use access::AccessList;
    use types::AccountId;

    use super::*;

    fn attributes(tag: Option<u8>, set: u8) -> ObjectAttributes {
        let stamp = |n: u8| VersionId::from_bytes([n; 16]);
        let mut attributes = ObjectAttributes {
            tags: tag
                .map(|n| ("n".into(), n.to_string()))
                .into_iter()
                .collect(),
            tagged: tag.map(stamp),
            ..ObjectAttributes::default()
        };
        attributes.set_list(Some(&ObjectList {
            list: AccessList::of_owner(&AccountId::new(&set.to_string())),
            set: stamp(set),
        }));
        attributes
    }

    /// A region that changes tags has perhaps not received the list that the home has set since.
    #[test]
    fn tags_and_lists_are_taken_over_each_by_itself() {
        let set = |of: &ObjectAttributes| of.list().unwrap().unwrap().set;
        let (here, there) = (attributes(None, 5), attributes(Some(9), 3));
        for at_home in [true, false] {
            let newest = ObjectAttributes::newest(&here, &there, at_home).unwrap();
            assert_eq!(newest.tags, there.tags);
            assert_eq!(set(&newest), set(&here));
        }
        // Only the home replaces lists: it takes none from elsewhere, not even a later one.
        let later = attributes(None, 7);
        let newest = |at_home| ObjectAttributes::newest(&here, &later, at_home).unwrap();
        assert_eq!(set(&newest(true)), set(&here));
        assert_eq!(set(&newest(false)), set(&later));
    }
}
