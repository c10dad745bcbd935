use super::*;
use crate::Error;
use access::Initiator;
use store::{BlobId, BlobRef, PAYLOAD_BYTES_MAX};
use types::{
    AccountId, ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, Timestamp, VersionId,
};

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
            fields: Fields::default(),
        },
    }
}

/// With a field that this release does not know, and may ignore.
fn with_field(tag: u8) -> ObjectRecord {
    let mut record = sample(ObjectBody::Inline);
    record.attributes.fields.set(tag, b"later".to_vec());
    record
}

#[test]
fn without_new_fields_records_have_the_layout_of_earlier_releases() {
    let record = sample(ObjectBody::Inline);
    let bytes = record.encode();
    assert_eq!(bytes[0], 1);
    // The whole record as the first release wrote it.
    assert_eq!(hex::encode(&bytes), include_str!("object.v1.hex").trim());
    assert_eq!(ObjectRecord::decode(&bytes).unwrap(), record);
}

#[test]
fn fields_that_are_not_known_are_kept_and_critical_ones_are_refused() {
    let mut record = with_field(7);
    record.attributes.fields.set(3, Vec::new());
    let bytes = record.encode();
    assert_eq!(bytes[0], 2);
    let read = ObjectRecord::decode(&bytes).unwrap();
    assert_eq!(read, record);
    assert_eq!(read.attributes.fields.get(7), Some(b"later".as_slice()));
    assert_eq!(read.encode(), bytes);

    let critical = with_field(130).encode();
    let error = ObjectRecord::decode(&critical).unwrap_err().to_string();
    assert!(error.contains("the field 130"), "{error}");
    // A listing shows it all the same.
    assert_eq!(RecordView::decode(&critical).unwrap().size, record.size);
}

#[test]
fn what_travels_between_regions_has_the_fields_too() {
    let shipped = |tag| {
        let record = with_field(tag);
        ShippedChange::Attributes {
            key: types::ObjectKey::new("k").unwrap(),
            version: record.version,
            attributes: Box::new(record.attributes),
        }
    };
    let change = shipped(7);
    assert_eq!(ShippedChange::decode(&change.encode()).unwrap(), change);
    assert!(ShippedChange::decode(&shipped(130).encode()).is_err());
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
            ..BucketRecord::default()
        };
        assert_eq!(BucketRecord::decode(&bucket.encode()).unwrap(), bucket);
    }
    let upload = UploadRecord {
        initiated: Timestamp::from_ms(1),
        attributes: sample(ObjectBody::None).attributes,
        algorithm: ChecksumAlgorithm::Crc32c,
        kind: ChecksumKind::Composite,
        chosen: true,
        initiator: None,
    };
    assert_eq!(UploadRecord::decode(&upload.encode()).unwrap(), upload);
    let begun = UploadRecord {
        initiator: Some(Initiator {
            account: AccountId::new("111122223333"),
            user_id: "AIDAEXAMPLE".to_owned(),
        }),
        ..upload.clone()
    };
    let read = UploadRecord::decode(&begun.encode()).unwrap();
    // The object has the attributes alone.
    assert_eq!((&read, &read.attributes), (&begun, &upload.attributes));
    let part = PartRecord {
        modified: Timestamp::from_ms(2),
        size: 5,
        md5: [4; 16],
        checksum: None,
        extents: vec![blob()],
    };
    assert_eq!(PartRecord::decode(&part.encode()).unwrap(), part);
    let effect = |added, removed| {
        Some(Effect {
            at: Timestamp::from_ms(3),
            added,
            removed,
            cause: Cause::Upkeep,
        })
    };
    let effects = [None, effect(0, 255), effect(256, u64::MAX)];
    for (own, effect) in [None, Some(7)]
        .into_iter()
        .zip(effects)
        .chain([(None, effects[2])])
    {
        let change = Change {
            kind: ChangeKind::Tags,
            version: VersionId::from_bytes([8; 16]),
            null: true,
            key: "k\0".to_owned(),
            own,
            effect,
            fields: Fields::default(),
        };
        assert_eq!(Change::decode(&change.encode()).unwrap(), change);
    }
}

#[test]
fn a_bucket_has_the_layout_of_earlier_releases_until_a_part_has_a_time() {
    let at = |n| Some(VersionId::from_bytes([n; 16]));
    let mut bucket = BucketRecord::default();
    let mut layouts = Vec::new();
    for (epoch, set) in [
        (0, SetAt::default()),
        (3, SetAt::default()),
        (
            0,
            SetAt {
                versioning: at(1),
                tags: None,
                rules: at(3),
            },
        ),
    ] {
        (bucket.epoch, bucket.set) = (epoch, set);
        let bytes = bucket.encode();
        layouts.push(bytes[0]);
        assert_eq!(BucketRecord::decode(&bytes).unwrap(), bucket);
        for cut in 0..bytes.len() {
            assert!(BucketRecord::decode(&bytes[..cut]).is_err());
        }
    }
    assert_eq!(layouts, [1, 3, 4]);
    // What a later release adds is kept; where it is critical the record is refused.
    bucket.fields.set(9, b"later".to_vec());
    assert_eq!(BucketRecord::decode(&bucket.encode()).unwrap(), bucket);
    bucket.fields.set(200, Vec::new());
    assert!(BucketRecord::decode(&bucket.encode()).is_err());
    let config = |set| {
        ShippedChange::Config(Box::new(Configuration {
            tags: vec![("k".to_owned(), "v".to_owned())],
            set,
            ..Configuration::default()
        }))
    };
    for set in [SetAt::default(), bucket.set] {
        let change = config(set);
        assert_eq!(ShippedChange::decode(&change.encode()).unwrap(), change);
    }
    // Without times it is what earlier releases read.
    assert_eq!(config(SetAt::default()).encode()[..2], [1, 2]);
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
