use super::*;
use crate::Error;
use store::{BlobId, BlobRef, PAYLOAD_BYTES_MAX};
use types::{ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, Timestamp, VersionId};

fn sample(body: ObjectBody) -> ObjectRecord {
    ObjectRecord {
        version: VersionId::from_bytes([7; 16]),
        null: true,
        delete_marker: false,
        modified: Timestamp::from_ms(1_700_000_000_123),
        size: 5,
        etag: ETag {
            md5: [9; 16],
            parts: 2,
        },
        checksum: ChecksumValue::new(ChecksumAlgorithm::Sha256, &[3; 32]).map(|c| c.composite(2)),
        body,
        attributes: ObjectAttributes {
            headers: ContentHeaders {
                content_type: Some("text/plain".to_owned()),
                expires: Some("never".to_owned()),
                ..ContentHeaders::default()
            },
            metadata: vec![("a".to_owned(), "é".to_owned())],
            tags: vec![("k".to_owned(), String::new())],
            replica: true,
            tagged: Some(VersionId::from_bytes([6; 16])),
        },
    }
}

fn blob() -> BlobRef {
    BlobRef {
        id: BlobId([1; 16]),
        len: 5,
        checksum: 6,
    }
}

#[test]
fn records_read_back_and_damage_is_an_error() {
    for body in [
        ObjectBody::None,
        ObjectBody::Inline,
        ObjectBody::Extents(vec![blob(), blob()]),
        ObjectBody::Parts(3),
    ] {
        let record = sample(body);
        let bytes = record.encode();
        assert_eq!(ObjectRecord::decode(&bytes).unwrap(), record);
        assert_eq!(RecordView::decode(&bytes).unwrap().etag, record.etag);
        for cut in 0..bytes.len() {
            assert!(matches!(
                ObjectRecord::decode(&bytes[..cut]),
                Err(Error::Record(_))
            ));
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0xFF;
            let _ = ObjectRecord::decode(&bad); // must not panic, nor take much memory
        }
        let mut newer = bytes.clone();
        newer[0] = 200;
        assert!(matches!(
            ObjectRecord::decode(&newer),
            Err(Error::Record(_))
        ));
    }
}

#[test]
fn small_records_read_back() {
    for epoch in [0, 3] {
        let bucket = BucketRecord {
            state: BucketState::Deleting,
            versioning: Versioning::Suspended,
            tags: vec![("a".to_owned(), "b".to_owned())],
            rules: None,
            epoch,
        };
        assert_eq!(BucketRecord::decode(&bucket.encode()).unwrap(), bucket);
    }
    let upload = UploadRecord {
        initiated: Timestamp::from_ms(1),
        attributes: sample(ObjectBody::None).attributes,
        algorithm: ChecksumAlgorithm::Crc32c,
        kind: ChecksumKind::Composite,
        chosen: true,
    };
    assert_eq!(UploadRecord::decode(&upload.encode()).unwrap(), upload);
    let part = PartRecord {
        modified: Timestamp::from_ms(2),
        size: 5,
        md5: [4; 16],
        checksum: None,
        extents: vec![blob()],
    };
    assert_eq!(PartRecord::decode(&part.encode()).unwrap(), part);
    for own in [None, Some(7)] {
        let change = Change {
            kind: ChangeKind::Tags,
            version: VersionId::from_bytes([8; 16]),
            null: true,
            key: "k\0".to_owned(),
            own,
        };
        assert_eq!(Change::decode(&change.encode()).unwrap(), change);
    }
}

#[test]
fn the_largest_manifest_fits_beside_a_row() {
    let part = |number| ManifestPart {
        number,
        size: 5,
        md5: [4; 16],
        checksum: ChecksumValue::new(ChecksumAlgorithm::Sha256, &[3; 32]),
        extents: vec![blob()],
    };
    let parts: Vec<_> = (1..=10_000).map(part).collect();
    let bytes = encode_manifest(&parts);
    assert!(bytes.len() < PAYLOAD_BYTES_MAX, "{}", bytes.len());
    assert_eq!(decode_manifest(&bytes).unwrap(), parts);
}
