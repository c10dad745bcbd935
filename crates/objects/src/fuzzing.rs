//! What the fuzz targets call: properties of the codecs, for any bytes.

use types::{BucketId, UploadId, VersionId};

use crate::{
    Change, ListRequest, continuation_token, read_continuation_token,
    records::{
        BucketRecord, ObjectRecord, PartRecord, RecordView, UploadRecord, decode_manifest,
        encode_manifest,
    },
    rows,
};

/// Every kind of record: what can be read is written back to what reads the same.
pub fn records(data: &[u8]) {
    macro_rules! reads_back {
        ($($kind:ty),*) => {$(
            if let Ok(record) = <$kind>::decode(data) {
                let again = <$kind>::decode(&record.encode()).expect("what is written reads");
                assert_eq!(format!("{record:?}"), format!("{again:?}"));
            }
        )*};
    }
    reads_back!(ObjectRecord, BucketRecord, UploadRecord, PartRecord, Change);
    if ObjectRecord::decode(data).is_ok() {
        assert!(
            RecordView::decode(data).is_ok(),
            "a listing shows what a GET can read"
        );
    }
    if let Ok(parts) = decode_manifest(data) {
        let again = decode_manifest(&encode_manifest(&parts)).expect("what is written reads");
        assert_eq!(parts, again);
    }
}

/// Keys of rows and tokens of listings.
pub fn keys_and_tokens(data: &[u8]) {
    let (a, b) = data.split_at(data.len() / 2);
    let version = VersionId::from_bytes([7; 16]);
    let upload = UploadId::from_bytes([9; 16]);
    let row = rows::older(a, version);
    assert_eq!(rows::older_key(&row).ok().as_deref(), Some(a));
    let split = rows::split_upload(&rows::upload(a, upload)).ok();
    assert_eq!(
        split.map(|(key, id)| (key.to_vec(), id)),
        Some((a.to_vec(), upload))
    );
    if a != b {
        assert_eq!(
            row.cmp(&rows::older(b, version)),
            a.cmp(b),
            "rows keep the order of keys"
        );
    }
    // Any bytes as a row's key: refused or read, never a panic.
    let _ = (
        rows::older_key(data),
        rows::split_upload(data),
        rows::part_number(data),
    );
    let _ = (rows::dead_blob(data), rows::finished_upload_id(data));
    let request = ListRequest::default();
    if let Ok(after) = std::str::from_utf8(a) {
        let token = continuation_token(BucketId(1), &request, after);
        let read = read_continuation_token(BucketId(1), &request, &token);
        assert_eq!(read.ok().as_deref(), Some(after));
        assert!(read_continuation_token(BucketId(2), &request, &token).is_err());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = read_continuation_token(BucketId(1), &request, text);
    }
}

#[cfg(test)]
mod tests {
    use types::{Random, SeededRandom};

    /// The targets themselves, on a few thousand inputs, so that they cannot rot.
    #[test]
    fn the_targets_hold_for_random_bytes() {
        let random = SeededRandom::new(42);
        for n in 0..20_000usize {
            let mut data = vec![0; n % 300];
            random.fill(&mut data);
            if let Some(first) = data.first_mut() {
                *first = 1; // the version of most records, so that reading gets further
            }
            super::records(&data);
            super::keys_and_tokens(&data);
        }
    }
}
