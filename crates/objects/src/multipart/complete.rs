//! CompleteMultipartUpload: parts become an object in one commit, without moving a byte.

use std::collections::BTreeMap;

use access::{Action, Permit};
use store::{Batch, Guard, PartitionId, RowVersion, ScanRange};
use types::{
    ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, ObjectKey, UploadId,
    limits::{OBJECT_BYTES_MAX, PART_BYTES_MIN, PART_NUMBER_MAX},
};

use crate::{
    Error, Objects, Result,
    listing::{self, Cursor},
    records::{PartRecord, UploadRecord},
    rows,
};

/// A part as the client lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedForCompletion {
    /// 1 to 10,000, rising.
    pub number: u32,
    /// As UploadPart answered it; `None` for a text that is no ETag and so fits no part.
    pub etag: Option<ETag>,
    /// As UploadPart answered it.
    pub checksum: Option<ChecksumValue>,
}

/// A completion as the client asks for it.
#[derive(Debug, Clone, Default)]
pub struct CompleteUpload {
    /// The parts in order.
    pub parts: Vec<ListedForCompletion>,
    /// What the object's checksum must be.
    pub checksum: Option<ChecksumValue>,
    /// Over what the checksum must be.
    pub kind: Option<ChecksumKind>,
    /// What the object's size must be.
    pub size: Option<u64>,
    /// Conditions on the current version.
    pub conditions: WriteConditions,
}

/// The object that a completion made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedObject {
    /// The MD5 of the parts' MD5s, and their number.
    pub etag: ETag,
    /// Of the object.
    pub checksum: Option<ChecksumValue>,
    /// The version, when versioning is or was on.
    pub version: Option<DisplayVersion>,
}

/// A part that becomes part of the object.
struct Chosen {
    number: u16,
    row_version: RowVersion,
    record: PartRecord,
}

/// The digests and size of the whole.
struct Whole {
    etag: ETag,
    size: u64,
    checksum: Option<ChecksumValue>,
}

/// Checks that the numbers rise. An empty list is the gateway's to refuse.
fn check_order(parts: &[ListedForCompletion]) -> Result<()> {
    let rises = parts.windows(2).all(|w| w[0].number < w[1].number);
    let valid = |p: &ListedForCompletion| (1..=u32::from(PART_NUMBER_MAX)).contains(&p.number);
    match parts.iter().find(|p| !valid(p)) {
        Some(part) => Err(Error::InvalidPart(part.number)),
        None if rises => Ok(()),
        None => Err(Error::InvalidPartOrder),
    }
}

/// Picks the listed parts out of the stored ones, which must be as listed.
fn choose(
    upload: &UploadRecord,
    listed: &[ListedForCompletion],
    mut stored: BTreeMap<u16, Chosen>,
) -> Result<Vec<Chosen>> {
    let needs_checksums = upload.chosen && upload.kind == ChecksumKind::Composite;
    let mut chosen = Vec::with_capacity(listed.len());
    for part in listed {
        let invalid = || Error::InvalidPart(part.number);
        let number = u16::try_from(part.number).map_err(|_| invalid())?;
        let found = stored.remove(&number).ok_or_else(invalid)?;
        if part.etag != Some(ETag::whole(found.record.md5)) {
            return Err(invalid());
        }
        match part.checksum {
            None if needs_checksums => {
                return Err(Error::InvalidRequest(format!(
                    "The upload was created using a {} checksum. The complete request must \
                     include the checksum for each part. It was missing for part {} in the \
                     request.",
                    upload.algorithm.name().to_ascii_lowercase(),
                    part.number
                )));
            }
            Some(c) if c.algorithm() == upload.algorithm && found.record.checksum != Some(c) => {
                return Err(invalid());
            }
            _ => {}
        }
        chosen.push(found);
    }
    let (_, all_but_last) = chosen.split_last().ok_or(Error::InvalidPart(0))?;
    match all_but_last.iter().find(|p| p.record.size < PART_BYTES_MIN) {
        Some(small) => Err(Error::PartTooSmall {
            number: u32::from(small.number),
            bytes: small.record.size,
            etag: ETag::whole(small.record.md5),
        }),
        None => Ok(chosen),
    }
}

/// Size, ETag and checksum of the parts together.
fn whole(algorithm: ChecksumAlgorithm, kind: ChecksumKind, parts: &[Chosen]) -> Result<Whole> {
    let size = parts.iter().map(|p| p.record.size).sum();
    if size > OBJECT_BYTES_MAX {
        return Err(Error::TooLarge {
            bytes: size,
            max: OBJECT_BYTES_MAX,
        });
    }
    let count = parts.len() as u16; // at most 10,000, as the numbers rise
    let md5s: Vec<u8> = parts.iter().flat_map(|p| p.record.md5).collect();
    let values: Option<Vec<(ChecksumValue, u64)>> = parts
        .iter()
        .map(|p| p.record.checksum.map(|c| (c, p.record.size)))
        .collect();
    let checksum = values.and_then(|values| match kind {
        ChecksumKind::FullObject => digest::combine(algorithm, &values),
        ChecksumKind::Composite => {
            let bytes: Vec<u8> = values.iter().flat_map(|(c, _)| c.bytes().to_vec()).collect();
            Some(digest::checksum(algorithm, &bytes).composite(count))
        }
    });
    Ok(Whole {
        etag: ETag {
            md5: digest::md5(&md5s),
            parts: count,
        },
        size,
        checksum,
    })
}

/// Compares what the client expects of the object with what it will be.
fn check_expected(request: &CompleteUpload, kind: ChecksumKind, whole: &Whole) -> Result<()> {
    if let Some(expected) = request.kind.filter(|k| *k != kind) {
        return Err(Error::InvalidRequest(format!(
            "The upload was created using the {} checksum mode. The complete request must use \
             the same checksum mode, not {}.",
            kind.name(),
            expected.name()
        )));
    }
    if let Some(size) = request.size.filter(|size| *size != whole.size) {
        return Err(Error::InvalidRequest(format!(
            "The provided 'x-amz-mp-object-size' header value {size} does not match what was \
             computed: {}",
            whole.size
        )));
    }
    let (Some(expected), Some(checksum)) = (request.checksum, whole.checksum) else {
        return Ok(());
    };
    // Clients send a composite value with or without the number of parts.
    let same = expected.bytes() == checksum.bytes()
        && (expected.parts() == 0 || expected.parts() == checksum.parts());
    if expected.algorithm() == checksum.algorithm() && same {
        Ok(())
    } else {
        Err(Error::BadDigest(expected.algorithm().name()))
    }
}
