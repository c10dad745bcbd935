use super::*;

fn bucket() -> BucketSeal {
    SealingKey::new([7; 32]).of_bucket(1, "me-east-1")
}

fn version(key: &str) -> Version<'_> {
    Version { key, id: [3; 16] }
}

#[test]
fn names_read_back_and_other_buckets_and_regions_cannot_read_them() {
    let long = "ключ/".repeat(113);
    for key in ["a", "a\0b\x01", "photos/cat.jpg", &long[..]] {
        let sealed = bucket().seal_name(key).unwrap();
        assert_eq!(bucket().open_name(&sealed).unwrap(), key);
        assert_eq!(
            bucket().seal_name(key).unwrap(),
            sealed,
            "resumed transfers agree"
        );
        assert_eq!(bucket().token(key).len(), 43);
        assert!(!sealed.contains(key) && !bucket().token(key).contains(key));
        let key7 = SealingKey::new([7; 32]);
        for other in [
            key7.of_bucket(2, "me-east-1"),
            key7.of_bucket(1, "me-east-2"),
            SealingKey::new([8; 32]).of_bucket(1, "me-east-1"),
        ] {
            assert_eq!(other.open_name(&sealed), Err(Broken));
            assert_ne!(other.token(key), bucket().token(key));
            assert_ne!(other.seal_name(key).unwrap(), sealed);
        }
    }
    let lengths: Vec<usize> = ["a", "a longer name of an object"]
        .map(|key| bucket().seal_name(key).unwrap().len())
        .into();
    assert_eq!(lengths[0], lengths[1], "short names look alike");
}

#[test]
fn a_changed_name_is_refused() {
    let sealed = bucket().seal_name("k").unwrap();
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(
            changed == sealed || bucket().open_name(&changed).is_err(),
            "{at}"
        );
    }
    for bad in ["", "AAAA", "&", &"A".repeat(200)] {
        assert_eq!(bucket().open_name(bad), Err(Broken));
    }
}

#[test]
fn p3_a_wrapped_key_opens_only_for_its_version() {
    let seal = bucket();
    let key = seal.data_key(version("k"), b"content");
    let wrapped = seal.wrap(version("k"), &key).unwrap();
    assert_eq!(wrapped.len(), WRAPPED_BYTES);
    let opened = seal.unwrap(version("k"), &wrapped).unwrap();
    assert_eq!(opened.to_bytes(), key.to_bytes());
    let later = Version {
        key: "k",
        id: [4; 16],
    };
    assert!(
        seal.unwrap(version("l"), &wrapped).is_err(),
        "another object"
    );
    assert!(seal.unwrap(later, &wrapped).is_err(), "another version");
    let other = SealingKey::new([7; 32]).of_bucket(2, "me-east-1");
    assert!(
        other.unwrap(version("k"), &wrapped).is_err(),
        "another bucket"
    );
    for bit in 0..wrapped.len() * 8 {
        let mut changed = wrapped.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(seal.unwrap(version("k"), &changed).is_err(), "bit {bit}");
    }
    let content = seal.data_key(version("k"), b"other content");
    assert_ne!(
        content.to_bytes(),
        key.to_bytes(),
        "nonces never meet other bytes"
    );
}

#[test]
fn p3_a_head_opens_only_in_its_place() {
    let key = bucket().data_key(version("k"), b"");
    let sealed = key.seal_head(b"place", b"head").unwrap();
    assert_eq!(&key.open_head(b"place", &sealed).unwrap()[..], b"head");
    assert!(key.open_head(b"other", &sealed).is_err());
    assert!(
        bucket()
            .data_key(version("l"), b"")
            .open_head(b"place", &sealed)
            .is_err()
    );
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(key.open_head(b"place", &changed).is_err(), "bit {bit}");
    }
    assert!(key.open_head(b"place", b"short").is_err());
}

#[test]
fn p3_chunks_can_not_be_moved_dropped_or_changed() {
    let len = 2 * CHUNK_BYTES + 5;
    let key = bucket().data_key(version("k"), b"");
    let body = key.body(b"place", len).unwrap();
    let sealed: Vec<Vec<u8>> = (0..3)
        .map(|index| {
            let mut chunk = vec![9; body.chunk_len(index) as usize];
            body.seal(index, &mut chunk).unwrap();
            chunk
        })
        .collect();
    let total: u64 = sealed.iter().map(|c| c.len() as u64).sum();
    assert_eq!(total, sealed_len(len));
    assert_eq!((sealed_len(0), sealed_len(1)), (0, 17));
    let open = |body: &BodySeal, index: u64, chunk: &[u8]| {
        let mut chunk = chunk.to_vec();
        body.open(index, &mut chunk).map(|()| chunk)
    };
    for (index, chunk) in sealed.iter().enumerate() {
        let opened = open(&body, index as u64, chunk).unwrap();
        assert_eq!(opened, vec![9; body.chunk_len(index as u64) as usize]);
    }
    assert!(open(&body, 1, &sealed[0]).is_err(), "moved");
    assert!(open(&body, 3, &sealed[2]).is_err(), "behind the end");
    let shorter = key.body(b"place", 2 * CHUNK_BYTES).unwrap();
    assert!(
        open(&shorter, 1, &sealed[1]).is_err(),
        "the end was cut off"
    );
    let elsewhere = key.body(b"other", len).unwrap();
    assert!(open(&elsewhere, 0, &sealed[0]).is_err(), "another place");
    let other = bucket()
        .data_key(version("l"), b"")
        .body(b"place", len)
        .unwrap();
    assert!(open(&other, 0, &sealed[0]).is_err(), "another version");
    for bit in 0..sealed[2].len() * 8 {
        let mut changed = sealed[2].clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&body, 2, &changed).is_err(), "bit {bit}");
    }
    assert!(
        body.seal(0, &mut vec![1; 5]).is_err(),
        "a chunk that is not whole"
    );
}

#[test]
fn keys_are_not_shown() {
    let seal = SealingKey::new([7; 32]);
    let key = bucket().data_key(version("k"), b"");
    assert_eq!(format!("{seal:?} {key:?}"), "SealingKey(…) DataKey(…)");
    assert_ne!(key.mask(b"etag"), key.mask(b"other"));
}

#[test]
fn p2_a_key_that_is_handed_over_opens_to_the_question_only() {
    let key = DataKey::from_bytes(&[7; 32]).unwrap();
    let (asking, other) = (Asking::new().unwrap(), Asking::new().unwrap());
    let handed = key.hand_to(&asking.public()).unwrap();
    assert_eq!(handed.len(), HANDED_BYTES);
    assert!(!handed.windows(32).any(|window| window == [7; 32]));
    assert_ne!(handed, key.hand_to(&asking.public()).unwrap());
    assert!(other.open(&handed).is_err());
    for at in 0..HANDED_BYTES {
        let asking = Asking::new().unwrap();
        let mut changed = key.hand_to(&asking.public()).unwrap();
        // The highest bit of a public key counts for nothing (RFC 7748), the rest does.
        changed[at] ^= 1;
        assert!(asking.open(&changed).is_err(), "byte {at}");
    }
    assert_eq!(asking.open(&handed).unwrap().to_bytes()[..], [7; 32]);
    for wrong in [&[][..], &[0; 32], &[1; 31]] {
        assert!(key.hand_to(wrong).is_err());
        assert!(Asking::new().unwrap().open(wrong).is_err());
    }
}
