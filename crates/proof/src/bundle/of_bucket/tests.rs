use proptest::prelude::*;
use serde_json::json;
use types::Timestamp;

use super::*;
use crate::{
    map::{MapKey, Shards, shard_of},
    test_support::{
        BUCKET, BUCKET_ID, CLOUD, Key, REGIONS as THREE, add, anchor, at, chain, deed, digest,
        signing_ms,
    },
};

const KEY: MapKey = MapKey([9; 32]);
const OTHERS: [&str; 3] = ["acme-merger", "clinic-patients", "zz-top-secret"];

/// The log of [`chain`], with buckets of other customers.
fn log() -> Vec<Entry> {
    let mut log = chain();
    for (n, name) in OTHERS.iter().enumerate() {
        let mut other = deed(THREE[0][0], &[], 1);
        other["id"] = json!(1000 + n);
        other["owner"] = json!(format!("owner-of-{name}"));
        add(&mut log, "bucket.create", name, &other);
        add(&mut log, "bucket.delete", name, &other);
    }
    log
}

fn leaves(log: &[Entry]) -> Vec<(LeafIndex, ChainHead)> {
    let mut heads = std::collections::BTreeMap::new();
    for told in log.iter().cloned().map(OwnEntry::from) {
        if let Some(place) = told.place() {
            let first = ChainHead::first(&KEY, &place);
            let head = heads.entry(place).or_insert(first);
            *head = told.after(head);
        }
    }
    heads.into_iter().collect()
}

fn part(log: &[Entry], place: LeafIndex, from: u64) -> ChainPart {
    let leaves = leaves(log);
    let mut shards = Shards::new(KEY);
    let of = |shard: usize| -> Vec<_> {
        let of = leaves.iter().filter(|(place, _)| shard_of(place) == shard);
        of.copied().collect()
    };
    for (place, _) in &leaves {
        let shard = shard_of(place);
        shards.set(shard, Shards::hash(&KEY, shard, &of(shard)));
    }
    let mut before = ChainHead::first(&KEY, &place);
    let mut entries = Vec::new();
    for told in log.iter().cloned().map(OwnEntry::from) {
        match told.place() == Some(place) {
            true if before.count < from => before = told.after(&before),
            true => entries.push(told),
            false => {}
        }
    }
    let proof = shards.prove(&place, &of(shard_of(&place)));
    ChainPart {
        before,
        entries,
        proof,
    }
}

/// Of `bucket`, whose chain is shown after `from` entries.
fn bundle_of(log: &[Entry], bucket: &str, from: u64, digests: Vec<Digest>) -> BucketBundle {
    let head = log.last().unwrap().head();
    let root = crate::map::root(&KEY, &leaves(log));
    let when: Timestamp = at(signing_ms() + 60_000 * 100);
    BucketBundle {
        v: BUCKET_VERSION,
        cloud: CLOUD.to_owned(),
        bucket: bucket.to_owned(),
        made_at_ms: when.ms(),
        checkpoint: Checkpoint::with_map(&Key::of(0), CLOUD, THREE[0][0], (head, root), when),
        history: part(log, LeafIndex::of_bucket(bucket), from),
        regions: part(log, LeafIndex::of_regions(), 0),
        digests,
    }
}

fn digests() -> Vec<Digest> {
    vec![digest(0, 20, 900), digest(1, 20, 900), digest(2, 0, 0)]
}

fn bundle() -> BucketBundle {
    bundle_of(&log(), BUCKET, 0, digests())
}

fn findings(bundle: &BucketBundle) -> Vec<Finding> {
    bundle.verify(&anchor()).err().unwrap_or_default()
}

#[test]
fn it_shows_what_a_bundle_of_the_whole_log_shows() {
    let report = bundle().verify(&anchor()).unwrap();
    let whole = crate::test_support::bundle().verify(&anchor()).unwrap();
    assert_eq!((report.stands, &report.deed), (Stands::Placed, &whole.deed));
    assert_eq!(report.history, whole.history);
    assert_eq!(report.since_ms, whole.since_ms);
    assert_eq!((report.held, report.silent), (whole.held, whole.silent));
}

#[test]
fn it_is_small_whatever_the_log_and_names_nobody_else() {
    let file = bundle().to_bytes().unwrap();
    assert!(file.len() < 40_000, "{}", file.len());
    let text = String::from_utf8(file).unwrap();
    for name in OTHERS.iter().chain(&["account-5", "account-49"]) {
        assert!(!text.contains(name), "{name}");
        // Nor what a guess could be compared with: its place, its hash, its entries' hashes.
        let place = LeafIndex::of_bucket(name).hex();
        assert!(
            !text.contains(&place)
                && !text.contains(&crate::encoding::sha256(name.as_bytes()).to_string())
        );
    }
    for entry in &log() {
        let hash = entry.hash.to_string();
        assert!(entry.number + 1 == log().len() as u64 || !text.contains(&hash));
    }
    // A longer log makes it no larger.
    let mut longer = log();
    for n in 0..3000 {
        let name = format!("looped-{}", n % 7);
        add(
            &mut longer,
            "bucket.create",
            &name,
            &deed(THREE[0][0], &[], 1),
        );
    }
    let other = bundle_of(&longer, BUCKET, 0, digests()).to_bytes().unwrap();
    assert!(
        other.len() < text.len() + 20,
        "{} {}",
        other.len(),
        text.len()
    );
}

#[test]
fn an_entry_that_is_left_out_or_moved_or_changed_is_found() {
    let whole = bundle();
    for chain in 0..2 {
        let part = |b: &mut BucketBundle| match chain {
            0 => std::mem::replace(&mut b.history, whole.history.clone()),
            _ => std::mem::replace(&mut b.regions, whole.regions.clone()),
        };
        let set = |b: &mut BucketBundle, changed: ChainPart| match chain {
            0 => b.history = changed,
            _ => b.regions = changed,
        };
        let original = part(&mut whole.clone());
        let count = original.entries.len();
        assert!(count >= 2);
        for at in 0..count {
            let mut left_out = original.clone();
            left_out.entries.remove(at);
            let mut counted = left_out.clone();
            counted.before.count += 1;
            let mut hidden = original.clone();
            hidden.before = original.entries[0].after(&original.before);
            hidden.entries.remove(0);
            let mut twice = original.clone();
            twice.entries.insert(at, original.entries[at].clone());
            let mut swapped = original.clone();
            swapped.entries.swap(at, (at + 1) % count);
            let mut changed = original.clone();
            changed.entries[at].detail = changed.entries[at].detail.replace("DE", "FR");
            changed.entries[at].actor.push('x');
            for part in [left_out, counted, hidden, twice, swapped, changed] {
                let mut forged = whole.clone();
                set(&mut forged, part);
                assert_ne!(findings(&forged), [], "chain {chain} entry {at}");
            }
        }
        let mut empty = original.clone();
        empty.entries.clear();
        let mut forged = whole.clone();
        set(&mut forged, empty);
        assert_ne!(findings(&forged), []);
    }
    // The chain of another bucket is not this one's.
    let mut other = bundle_of(&log(), OTHERS[0], 0, Vec::new());
    other.bucket = BUCKET.to_owned();
    assert_ne!(findings(&other), []);
    // A checkpoint of the head alone says nothing of the chains.
    let mut old = whole.clone();
    old.checkpoint = crate::test_support::checkpoint(&log());
    assert!(findings(&old).contains(&Finding::NoMap));
    old.checkpoint.map = whole.checkpoint.map;
    assert!(findings(&old).contains(&Finding::CheckpointSignature));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any byte of the document, under a digest that the forger made anew.
    #[test]
    fn no_changed_byte_passes(at in 0..1_000_000_usize, bit in 0..8_u32) {
        use std::sync::LazyLock;
        static WHOLE: LazyLock<BucketBundle> = LazyLock::new(bundle);
        let mut body = serde_json::to_vec(&*WHOLE).unwrap();
        let at = at % body.len();
        body[at] ^= 1 << bit;
        let read = AnyBundle::from_bytes(&sealed(body).unwrap());
        let Ok(AnyBundle::Bucket(mut changed)) = read else {
            return Ok(());
        };
        if findings(&changed).is_empty() {
            // Nobody signs when the file was put together.
            changed.made_at_ms = WHOLE.made_at_ms;
            prop_assert_eq!(&*changed, &*WHOLE, "byte {}", at);
        }
    }
}

#[test]
fn a_name_that_never_was_and_one_that_is_gone_are_shown_so() {
    let log = log();
    let never = bundle_of(&log, "never-was", 0, Vec::new());
    let report = never.verify(&anchor()).unwrap();
    assert_eq!((report.stands, report.deed), (Stands::Never, None));
    assert_eq!(report.silent.len(), 3);
    let gone = bundle_of(&log, OTHERS[1], 1, Vec::new());
    let report = gone.verify(&anchor()).unwrap();
    assert_eq!((report.stands, report.history.len()), (Stands::Deleted, 1));
    // What is there cannot be shown as never there, nor as gone.
    let mut hidden = bundle();
    hidden.digests.clear();
    hidden.history = never.history.clone();
    assert!(findings(&hidden).contains(&Finding::NotInMap { of: super::BUCKET }));
    hidden.history = gone.history.clone();
    assert_ne!(findings(&hidden), []);
    // Nor the other way round.
    let mut made_up = never.clone();
    made_up.history = bundle().history;
    assert_ne!(findings(&made_up), []);
    // Regions cannot speak of what is not there.
    let mut speaking = never;
    speaking.digests = digests();
    assert_eq!(findings(&speaking), [Finding::DigestsOfNothing]);
}

/// A name that was given again: the bundle begins with the bucket that there is now, and says
/// nothing of who had the name before.
#[test]
fn a_name_that_was_given_again_shows_the_bucket_of_now() {
    let mut log = chain();
    add(&mut log, "bucket.delete", BUCKET, &json!({"id": BUCKET_ID}));
    let mut again = deed(THREE[0][0], &[], 1);
    again["id"] = json!(BUCKET_ID + 1);
    again["owner"] = json!("000000000002");
    add(&mut log, "bucket.create", BUCKET, &again);
    let bundle = bundle_of(&log, BUCKET, 3, Vec::new());
    let text = String::from_utf8(bundle.to_bytes().unwrap()).unwrap();
    assert!(!text.contains("000000000001") && text.contains("000000000002"));
    let missing = THREE[0][0].to_owned();
    assert_eq!(findings(&bundle), [Finding::NoDigest { region: missing }]);
    // It cannot begin in the midst of a life.
    for from in [1, 2] {
        let late = bundle_of(&log, BUCKET, from, Vec::new());
        assert_eq!(
            findings(&late),
            [Finding::BeginsElsewhere { of: super::BUCKET }]
        );
    }
}

#[test]
fn what_was_seen_earlier_has_to_be_there_still() {
    let log = log();
    let mut trusted = anchor();
    let seen = |log: &[Entry]| Seen {
        head: log.last().unwrap().head(),
        from: 0,
        entries: log.iter().cloned().map(OwnEntry::from).collect(),
    };
    let bundle = bundle();
    let check = |trusted: &TrustAnchor| bundle.verify(trusted).err().unwrap_or_default();
    for length in [4, 31, 40, log.len()] {
        trusted.seen = Some(seen(&log[..length]));
        assert_eq!(check(&trusted), []);
    }
    trusted.seen = Some(bundle.seen());
    assert_eq!(check(&trusted), []);
    // A deed that was in the log, and is not any more.
    let mut before = log[..40].to_vec();
    before.truncate(35);
    add(
        &mut before,
        "bucket.place",
        BUCKET,
        &deed(THREE[0][0], &[THREE[2][0]], 1),
    );
    trusted.seen = Some(seen(&before));
    assert_eq!(check(&trusted), [Finding::NotAsSeen { number: 35 }]);
    // One that was not, and is now.
    let mut without = seen(&log[..40]);
    without.entries.retain(|told| told.number != 30);
    trusted.seen = Some(without);
    assert_eq!(check(&trusted), [Finding::NotAsSeen { number: 30 }]);
    let mut longer = log.clone();
    add(&mut longer, "key.create", "K", &json!({}));
    trusted.seen = Some(seen(&longer));
    assert!(matches!(check(&trusted)[..], [Finding::RolledBack { .. }]));
    let mut forked = log[..log.len() - 1].to_vec();
    add(&mut forked, "key.create", "K", &json!({}));
    trusted.seen = Some(seen(&forked));
    assert!(matches!(
        check(&trusted)[..],
        [Finding::ForkedFromKnown { .. }]
    ));
}

#[test]
fn files_of_both_kinds_are_read_back() {
    let one = bundle();
    let read = AnyBundle::from_bytes(&one.to_bytes().unwrap()).unwrap();
    assert_eq!(read, AnyBundle::Bucket(Box::new(one)));
    assert!(read.verify(&anchor()).is_ok());
    let whole = crate::test_support::bundle();
    let read = AnyBundle::from_bytes(&whole.to_bytes().unwrap()).unwrap();
    assert_eq!(read.about(), (BUCKET, CLOUD));
    assert!(read.verify(&anchor()).is_ok());
}
