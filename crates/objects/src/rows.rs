//! The keys of rows within a bucket's partition; docs/disk-format.md draws them.
//!
//! The first byte says what a row is. A customer's key is raw where nothing follows it; elsewhere
//! it is escaped (00 becomes 00 FF) and ended by 00 01, which keeps the order of keys.

use bytes::Bytes;
use store::BlobId;
use types::{BucketName, RegionId, UploadId, VersionId};

use crate::{Error, Result};

/// The bucket's configuration.
pub(crate) const BUCKET: &[u8] = b"b";
/// Current versions.
pub(crate) const CURRENT: &[u8] = b"c";
/// Older versions and delete markers.
pub(crate) const OLDER: &[u8] = b"o";
/// Uploads under way.
pub(crate) const UPLOAD: &[u8] = b"m";
/// Parts of uploads.
pub(crate) const PART: &[u8] = b"p";
/// Uploads that ended, whose leftover parts belong to nobody.
pub(crate) const FINISHED_UPLOAD: &[u8] = b"t";
/// How far this region has followed another.
pub(crate) const FOLLOW: &[u8] = b"f";
/// Extents that await deletion.
pub(crate) const DEAD: &[u8] = b"d";
/// Versions that clients removed or replaced here, at a replica, which the home may not have read.
pub(crate) const GONE: &[u8] = b"g";
/// Versions that cannot be shipped by a rule.
pub(crate) const FAILED: &[u8] = b"x";

/// Documents of the bucket: the kind follows.
pub(crate) const DOCUMENT: &[u8] = b"q";

/// Versions of other regions that are set aside, since their time has not come.
pub(crate) const ASIDE: &[u8] = b"h";

/// What was removed because one region reported it: how many versions.
pub(crate) const WORDS: &[u8] = b"v";
/// And which.
pub(crate) const ON_WORD: &[u8] = b"w";

const KEY_END: [u8; 2] = [0, 1];

/// A document of the bucket.
pub(crate) fn document(kind: u8) -> Bytes {
    [DOCUMENT, &[kind]].concat().into()
}

/// The current version of a key.
pub(crate) fn current(key: &[u8]) -> Bytes {
    [CURRENT, key].concat().into()
}

/// An older version of a key; the newest comes first.
pub(crate) fn older(key: &[u8], version: VersionId) -> Bytes {
    [OLDER, &escape(key), &KEY_END, &version.newest_first()]
        .concat()
        .into()
}

/// What the rows of all older versions of a key begin with.
pub(crate) fn older_prefix(key: &[u8]) -> Bytes {
    [OLDER, &escape(key), &KEY_END].concat().into()
}

/// The customer's key in the row of an older version.
pub(crate) fn older_key(row_key: &[u8]) -> Result<Bytes> {
    Ok(split_escaped(row_key, OLDER)?.0)
}

/// An upload under way.
pub(crate) fn upload(key: &[u8], upload: UploadId) -> Bytes {
    [UPLOAD, &escape(key), &KEY_END, upload.bytes()]
        .concat()
        .into()
}

/// The customer's key and the upload in the row of an upload.
pub(crate) fn split_upload(row_key: &[u8]) -> Result<(Bytes, UploadId)> {
    let (key, id) = split_escaped(row_key, UPLOAD)?;
    Ok((key, UploadId::from_bytes(id)))
}

/// What the rows of all parts of an upload begin with.
pub(crate) fn parts(upload: UploadId) -> Bytes {
    [PART, upload.bytes()].concat().into()
}

/// A part of an upload.
pub(crate) fn part(upload: UploadId, number: u16) -> Bytes {
    [PART, upload.bytes(), &number.to_be_bytes()]
        .concat()
        .into()
}

/// The number in the row of a part.
pub(crate) fn part_number(row_key: &[u8]) -> Result<u16> {
    match row_key.strip_prefix(PART) {
        Some([_, .., a, b]) if row_key.len() == 19 => Ok(u16::from_be_bytes([*a, *b])),
        _ => Err(damaged("a part")),
    }
}

/// The leftovers of an upload that ended.
pub(crate) fn finished_upload(upload: UploadId) -> Bytes {
    [FINISHED_UPLOAD, upload.bytes()].concat().into()
}

/// The upload in such a row.
pub(crate) fn finished_upload_id(row_key: &[u8]) -> Result<UploadId> {
    sixteen(row_key, FINISHED_UPLOAD, "a finished upload").map(UploadId::from_bytes)
}

/// How far this region has followed `source`.
pub(crate) fn follow(source: &RegionId) -> Bytes {
    [FOLLOW, source.as_bytes()].concat().into()
}

/// How far this region, a home, has read what clients changed at `copy`. No region's name begins
/// so.
pub(crate) fn gather(copy: &RegionId) -> Bytes {
    [FOLLOW, b"^", copy.as_bytes()].concat().into()
}

/// How far this region has shipped versions to another bucket by rules. No region's name begins so.
pub(crate) fn follow_rule(to: &BucketName) -> Bytes {
    [FOLLOW, b"~", to.as_bytes()].concat().into()
}

/// A version that cannot be shipped to another bucket, by itself.
pub(crate) fn failed_rule(key: &[u8], version: VersionId, to: &BucketName) -> Bytes {
    [
        FAILED,
        &escape(key),
        &KEY_END,
        version.bytes(),
        to.as_bytes(),
    ]
    .concat()
    .into()
}

/// A version that was removed here, at a replica; the newest comes first.
pub(crate) fn gone(key: &[u8], version: VersionId) -> Bytes {
    [GONE, &escape(key), &KEY_END, &version.newest_first()]
        .concat()
        .into()
}

/// What such rows of one key begin with.
pub(crate) fn gone_prefix(key: &[u8]) -> Bytes {
    [GONE, &escape(key), &KEY_END].concat().into()
}

/// The customer's key and the version in such a row.
pub(crate) fn gone_name(row_key: &[u8]) -> Result<(Bytes, VersionId)> {
    let (key, inverted) = split_escaped(row_key, GONE)?;
    Ok((key, VersionId::from_bytes(inverted.map(|b| !b))))
}

/// A version of `region` that is set aside.
pub(crate) fn aside(key: &[u8], version: VersionId, region: &RegionId) -> Bytes {
    [&aside_prefix(key, version)[..], region.as_bytes()]
        .concat()
        .into()
}

/// What such rows of a version begin with, whichever region has it.
pub(crate) fn aside_prefix(key: &[u8], version: VersionId) -> Bytes {
    [ASIDE, &escape(key), &KEY_END, version.bytes()]
        .concat()
        .into()
}

/// The customer's key and the version in such a row of `region`. Earlier releases wrote it without
/// the region.
pub(crate) fn aside_name(row_key: &[u8], region: &RegionId) -> Result<(Bytes, VersionId)> {
    let named = row_key.strip_suffix(region.as_bytes());
    let with_region = named.map(|named| split_escaped(named, ASIDE));
    let (key, version) = match with_region {
        Some(Ok(found)) => found,
        _ => split_escaped(row_key, ASIDE)?,
    };
    Ok((key, VersionId::from_bytes(version)))
}

/// How many versions were removed because `region` reported it.
pub(crate) fn words(region: &RegionId) -> Bytes {
    [WORDS, region.as_bytes()].concat().into()
}

/// The region in such a row.
pub(crate) fn words_region(row_key: &[u8]) -> Result<RegionId> {
    let text = row_key.strip_prefix(WORDS).map(std::str::from_utf8);
    match text {
        Some(Ok(text)) => Ok(RegionId::new(text)),
        _ => Err(damaged("a record of removals")),
    }
}

/// The `n`th version that was removed because `region` reported it.
pub(crate) fn on_word(region: &RegionId, n: u64) -> Bytes {
    [ON_WORD, region.as_bytes(), &[0], &n.to_be_bytes()]
        .concat()
        .into()
}

/// The region in such a row.
pub(crate) fn on_word_region(row_key: &[u8]) -> Result<RegionId> {
    let rest = row_key.strip_prefix(ON_WORD);
    let region = rest.and_then(|rest| rest.split_last_chunk::<9>());
    match region.map(|(region, _)| std::str::from_utf8(region)) {
        Some(Ok(text)) => Ok(RegionId::new(text)),
        _ => Err(damaged("a removal on a region's word")),
    }
}

/// An extent that awaits deletion.
pub(crate) fn dead(blob: BlobId) -> Bytes {
    [DEAD, &blob.0].concat().into()
}

/// The extent in such a row.
pub(crate) fn dead_blob(row_key: &[u8]) -> Result<BlobId> {
    sixteen(row_key, DEAD, "a dead extent").map(BlobId)
}

/// Replaces 00 by 00 FF, so that no key holds the ending.
pub(crate) fn escape(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 4);
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out
}

fn sixteen(row_key: &[u8], kind: &[u8], what: &str) -> Result<[u8; 16]> {
    let id = row_key.strip_prefix(kind).and_then(|id| id.try_into().ok());
    id.ok_or_else(|| damaged(what))
}

/// Takes the kind, the escaped key, its ending and 16 bytes apart.
fn split_escaped(row_key: &[u8], kind: &[u8]) -> Result<(Bytes, [u8; 16])> {
    let rest = row_key.strip_prefix(kind);
    let (escaped, id) = rest
        .and_then(|rest| rest.split_last_chunk::<16>())
        .ok_or_else(|| damaged("a version or upload"))?;
    let escaped = escaped
        .strip_suffix(&KEY_END)
        .ok_or_else(|| damaged("a version or upload"))?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        key.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xFF) {
            return Err(damaged("a version or upload"));
        }
    }
    Ok((key.into(), *id))
}

fn damaged(what: &str) -> Error {
    Error::Record(format!("the key of {what}'s row"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::Timestamp;

    #[test]
    fn parts_and_extents_read_back() {
        let id = UploadId::from_bytes([7; 16]);
        assert_eq!(part_number(&part(id, 10_000)).unwrap(), 10_000);
        assert_eq!(finished_upload_id(&finished_upload(id)).unwrap(), id);
        assert_eq!(dead_blob(&dead(BlobId([3; 16]))).unwrap(), BlobId([3; 16]));
        for bad in [
            &b"p"[..],
            b"p12",
            b"",
            b"o\0\x01",
            b"o\0\0\0\x010123456789abcdef",
        ] {
            assert!(part_number(bad).is_err() && older_key(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn s10_hostile_keys_read_back_and_keep_their_order(
            a in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()], 0..9),
            b in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()], 0..9),
        ) {
            let v = |ms| VersionId::new(Timestamp::from_ms(ms), 0, 0, 0);
            prop_assert_eq!(&older_key(&older(&a, v(1))).unwrap(), &a);
            let id = UploadId::from_bytes([9; 16]);
            prop_assert_eq!(split_upload(&upload(&a, id)).unwrap(), (a.clone().into(), id));
            if a != b {
                prop_assert_eq!(older(&a, v(1)).cmp(&older(&b, v(2))), a.cmp(&b));
            } else {
                prop_assert!(older(&a, v(1)) > older(&b, v(2)));
            }
        }
    }
}
