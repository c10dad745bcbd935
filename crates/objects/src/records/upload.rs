//! Multipart uploads under way and their parts.

use access::Initiator;
use store::BlobRef;
use types::{AccountId, ChecksumAlgorithm, ChecksumKind, ChecksumValue, Timestamp};

use super::{
    ObjectAttributes,
    codec::{Reader, Writer, algorithm_number},
};
use crate::Result;

/// As that of objects.
const UPLOAD_VERSION: u8 = 2;
const PART_VERSION: u8 = 1;
/// The field with who began it: among those of the object that it becomes, which never has it.
const FIELD_INITIATOR: u8 = 64;
const INITIATOR_VERSION: u8 = 1;

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadRecord {
    pub initiated: Timestamp,
    pub attributes: ObjectAttributes,
    pub algorithm: ChecksumAlgorithm,
    pub kind: ChecksumKind,
    /// Whether the client chose the checksum.
    pub chosen: bool,
    /// Who began it; `None` of an upload that an earlier release began.
    pub initiator: Option<Initiator>,
}

impl UploadRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut attributes = self.attributes.clone();
        if let Some(initiator) = &self.initiator {
            let mut field = Writer::new(INITIATOR_VERSION);
            field.text(&initiator.account).text(&initiator.user_id);
            attributes.fields.set(FIELD_INITIATOR, field.finish());
        }
        let mut out = Writer::new(attributes.layout());
        out.u64(self.initiated.ms())
            .u8(algorithm_number(self.algorithm));
        out.u8(u8::from(self.kind == ChecksumKind::Composite))
            .u8(u8::from(self.chosen));
        attributes.write(&mut out);
        out.finish()
    }
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (mut r, layout) = Reader::up_to(UPLOAD_VERSION, bytes, "an upload")?;
        let initiated = r.time()?;
        let algorithm = r.algorithm()?;
        let kind = match r.u8()? {
            0 => ChecksumKind::FullObject,
            1 => ChecksumKind::Composite,
            _ => return Err(r.damaged()),
        };
        let chosen = r.u8()? != 0;
        let mut attributes = ObjectAttributes::read(&mut r, layout)?;
        r.end()?;
        let initiator = attributes.fields.take(FIELD_INITIATOR);
        Ok(Self {
            initiated,
            attributes,
            algorithm,
            kind,
            chosen,
            initiator: initiator.map(|bytes| read_initiator(&bytes)).transpose()?,
        })
    }
}

fn read_initiator(bytes: &[u8]) -> Result<Initiator> {
    let mut r = Reader::new(bytes, INITIATOR_VERSION, "who began an upload")?;
    let initiator = Initiator {
        account: AccountId::new(&r.text()?),
        user_id: r.text()?,
    };
    r.end()?;
    Ok(initiator)
}

/// A part of an upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartRecord {
    pub modified: Timestamp,
    pub size: u64,
    pub md5: [u8; 16],
    pub checksum: Option<ChecksumValue>,
    pub extents: Vec<BlobRef>,
}

impl PartRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(PART_VERSION);
        out.u64(self.modified.ms()).u64(self.size).raw(&self.md5);
        out.checksum(self.checksum.as_ref()).extents(&self.extents);
        out.finish()
    }
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, PART_VERSION, "a part")?;
        let part = Self {
            modified: r.time()?,
            size: r.u64()?,
            md5: r.sixteen()?,
            checksum: r.checksum()?,
            extents: r.extents()?,
        };
        r.end()?;
        Ok(part)
    }
}
