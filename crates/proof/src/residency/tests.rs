use super::*;
use crate::{
    merkle,
    test_support::{BUCKET, BUCKET_ID, Key, at, builder, digest, holder},
};

fn leaf(key: &[u8], version: u8) -> Leaf<'_> {
    Leaf {
        key,
        version: VersionId::from_bytes([version; 16]),
        delete_marker: false,
        size: 10,
        etag: "etag",
    }
}

fn empty() -> DigestBuilder {
    builder(0)
}

#[test]
fn a_digest_says_what_was_pushed() {
    let mut builder = empty();
    let marker = Leaf {
        delete_marker: true,
        size: 0,
        etag: "",
        ..leaf(b"a", 9)
    };
    let leaves = [marker, leaf(b"a", 3), leaf(b"b", 5)];
    for leaf in &leaves {
        builder.push(leaf).unwrap();
    }
    let digest = builder.finish(&Key::of(1), &holder(1), 4, 12, at(99));
    assert_eq!((digest.count, digest.bytes), (3, 20));
    assert_eq!((digest.epoch, digest.position, digest.at_ms), (4, 12, 99));
    assert!(digest.verify());

    // An auditor who gets one leaf and its path sees that it is part of the digest.
    let name = BucketName::new(BUCKET).unwrap();
    let encoded = leaves.map(|l| l.encode(&name, BucketId(BUCKET_ID)));
    let path = merkle::prove(&encoded, 1).unwrap();
    assert!(merkle::verify(
        &digest.root,
        digest.count,
        1,
        &encoded[1],
        &path
    ));
    assert!(!merkle::verify(
        &digest.root,
        digest.count,
        1,
        &encoded[2],
        &path
    ));
}

#[test]
fn a_region_that_holds_nothing_signs_the_root_of_nothing() {
    let digest = empty().finish(&Key::of(2), &holder(2), 1, 0, at(1));
    assert_eq!((digest.count, digest.bytes), (0, 0));
    assert_eq!(digest.root, Tree::new().root());
    assert!(digest.verify());
}

#[test]
fn leaves_out_of_order_are_refused() {
    let mut builder = empty();
    builder.push(&leaf(b"b", 5)).unwrap();
    assert_eq!(builder.push(&leaf(b"b", 5)), Err(LeafError::Order), "twice");
    let newer = leaf(b"b", 6);
    assert_eq!(builder.push(&newer), Err(LeafError::Order), "newest first");
    assert_eq!(
        builder.push(&leaf(b"a", 1)),
        Err(LeafError::Order),
        "by key"
    );
    builder.push(&leaf(b"b", 4)).unwrap();
    builder.push(&leaf(b"ba", 9)).unwrap();
    let huge = Leaf {
        size: u64::MAX,
        ..leaf(b"c", 1)
    };
    assert_eq!(builder.push(&huge), Err(LeafError::Overflow));
    let digest = builder.finish(&Key::of(0), &holder(0), 1, 1, at(1));
    assert_eq!(
        (digest.count, digest.bytes),
        (3, 30),
        "refused leaves leave no trace"
    );
}

#[test]
fn every_field_of_a_leaf_changes_the_root() {
    let root = |id: u64, leaf: Leaf<'_>| {
        let name = BucketName::new(BUCKET).unwrap();
        let mut builder = DigestBuilder::new(name, BucketId(id));
        builder.push(&leaf).unwrap();
        builder.finish(&Key::of(0), &holder(0), 1, 1, at(1)).root
    };
    let real = leaf(b"a", 1);
    let changed = [
        Leaf { key: b"b", ..real },
        leaf(b"a", 2),
        Leaf {
            delete_marker: true,
            ..real
        },
        Leaf { size: 11, ..real },
        Leaf {
            etag: "other",
            ..real
        },
    ];
    for other in changed {
        assert_ne!(root(1, real), root(1, other), "{other:?}");
    }
    assert_ne!(root(1, real), root(2, real), "another bucket of that name");
}

#[test]
fn the_signature_of_a_digest_covers_every_field() {
    let real = digest(0, 3, 7);
    assert!(real.verify());
    let edits: [fn(&mut Digest); 15] = [
        |d| d.v = 2,
        |d| d.cloud.push('x'),
        |d| d.region.push('x'),
        |d| d.jurisdiction = "FR".to_owned(),
        |d| d.operator.push('x'),
        |d| d.bucket.push('x'),
        |d| d.bucket_id += 1,
        |d| d.epoch += 1,
        |d| d.position += 1,
        |d| d.count += 1,
        |d| d.bytes += 1,
        |d| d.root.0[0] ^= 1,
        |d| d.at_ms += 1,
        |d| d.public_key = Hex(Key::of(1).public_key()),
        |d| d.signature.0[0] ^= 1,
    ];
    for (n, edit) in edits.iter().enumerate() {
        let mut changed = real.clone();
        edit(&mut changed);
        assert!(!changed.verify(), "edit {n}");
    }
}

#[test]
fn the_same_versions_have_the_same_root_in_every_region() {
    let (one, other) = (digest(0, 20, 900), digest(1, 20, 900));
    assert_eq!((one.root, one.bytes), (other.root, other.bytes));
    assert_ne!(one.root, digest(1, 19, 900).root);
}
