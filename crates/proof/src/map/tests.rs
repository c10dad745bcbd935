use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEY: MapKey = MapKey([7; 32]);

/// Names of which some share long beginnings of their places.
fn place(n: u8) -> LeafIndex {
    match n % 3 {
        0 => LeafIndex::of_bucket(&format!("bucket-{n}")),
        1 => LeafIndex([n; 16]),
        _ => {
            let mut place = LeafIndex([1; 16]);
            place.0[15] = n;
            place
        }
    }
}

fn head(n: u64) -> ChainHead {
    ChainHead {
        count: n + 1,
        link: sha256(&n.to_be_bytes()),
    }
}

fn leaves(members: &BTreeMap<u8, u64>) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = members.iter().map(|(n, h)| (place(*n), head(*h))).collect();
    leaves.sort_by_key(|(place, _)| *place);
    leaves
}

fn in_shards(leaves: &[Leaf]) -> Shards {
    let mut shards = Shards::new(KEY);
    for shard in 0..shards.count() {
        let of: Vec<Leaf> = of_shard(leaves, shard);
        shards.set(shard, Shards::hash(&KEY, shard, &of));
    }
    shards
}

fn of_shard(leaves: &[Leaf], shard: usize) -> Vec<Leaf> {
    let of = leaves.iter().filter(|(place, _)| shard_of(place) == shard);
    of.copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Every place has one answer: the chain's head where there is one, nothing where there is
    /// none; nothing else can be shown, and no changed byte passes.
    #[test]
    fn a_place_has_one_answer_and_no_changed_byte_passes(
        members in proptest::collection::btree_map(0..24_u8, 0..9_u64, 0..12),
        bit in 0..256_usize,
        level in 0..DEPTH,
    ) {
        let leaves = leaves(&members);
        let (root, shards) = (root(&KEY, &leaves), in_shards(&leaves));
        prop_assert_eq!(shards.root(), root);
        for n in 0..24_u8 {
            let place = place(n);
            let proof = shards.prove(&place, &of_shard(&leaves, shard_of(&place)));
            prop_assert_eq!(&proof, &descend(&KEY, &place, 0, &leaves, Vec::new()));
            let there = leaves.iter().find(|(p, _)| *p == place).map(|(_, head)| *head);
            prop_assert!(proof.shows(&root, &place, there.as_ref()));
            // Another answer is not shown by it, nor by what could be made of it.
            let other = head(77);
            prop_assert!(!proof.shows(&root, &place, Some(&other)));
            prop_assert!(there.is_none() || !proof.shows(&root, &place, None));
            prop_assert!(there.is_some() || !proof.shows(&root, &place, Some(&head(0))));
            let mut cut = proof.clone();
            cut.siblings.pop();
            let mut turned = proof.clone();
            turned.ending = match turned.ending {
                Ending::Chain(salt) => Ending::Empty(salt),
                Ending::Empty(salt) => Ending::Chain(salt),
            };
            let mut salted = proof.clone();
            match &mut salted.ending {
                Ending::Chain(salt) | Ending::Empty(salt) => salt.0[bit / 8] ^= 1 << (bit % 8),
            }
            let mut beside = proof.clone();
            if let Some(sibling) = beside.siblings.get_mut(level) {
                sibling.0[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!beside.shows(&root, &place, there.as_ref()));
            }
            for changed in [cut, turned, salted] {
                if changed != proof {
                    for answer in [None, there.as_ref(), Some(&other)] {
                        prop_assert!(!changed.shows(&root, &place, answer));
                    }
                }
            }
            let mut wrong = root;
            wrong.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!proof.shows(&wrong, &place, there.as_ref()));
        }
    }

    /// Whatever an entry says, and what is before it, is in the link.
    #[test]
    fn a_link_is_of_everything_before_it(
        count in 0..1000_u64,
        field in 0..8_usize,
        bit in 0..8_u32,
    ) {
        let before = ChainHead { count, link: sha256(b"before") };
        let told = OwnEntry {
            number: 5,
            at_ms: 6,
            actor: "actor".into(),
            action: "bucket.place".into(),
            subject: "subject".into(),
            detail: "{}".into(),
        };
        let (mut other, mut earlier) = (told.clone(), before);
        match field {
            0 => other.number ^= 1 << bit,
            1 => other.at_ms ^= 1 << bit,
            2 => other.actor.push('x'),
            3 => other.action.push('x'),
            4 => other.subject.push('x'),
            5 => other.detail.push(' '),
            6 => earlier.link.0[bit as usize] ^= 1 << bit,
            _ => earlier.count ^= 1 << bit,
        }
        prop_assert_ne!(told.after(&before).link, other.after(&earlier).link);
    }
}

/// No guess can be tried: with another key all of a proof is other, and its form is the same
/// whoever else is there.
#[test]
fn a_proof_has_the_same_form_whoever_else_is_there() {
    let own = LeafIndex::of_bucket("own");
    let mut near = own;
    near.0[15] ^= 1;
    for others in [vec![], vec![near], (0..40).map(place).collect()] {
        let mut leaves: Vec<Leaf> = others.iter().map(|place| (*place, head(1))).collect();
        leaves.push((own, head(2)));
        leaves.sort_by_key(|(place, _)| *place);
        let proof = in_shards(&leaves).prove(&own, &of_shard(&leaves, shard_of(&own)));
        assert_eq!(proof.siblings.len(), DEPTH);
        let mut seen = proof.siblings.clone();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), DEPTH);
        let other = descend(&MapKey([8; 32]), &own, 0, &leaves, Vec::new());
        assert!(proof.siblings.iter().all(|s| !other.siblings.contains(s)));
    }
}

#[test]
fn entries_are_of_the_chain_that_they_are_about() {
    let of = |action, subject| place_of(action, subject);
    assert_eq!(of("bucket.create", "a"), Some(LeafIndex::of_bucket("a")));
    assert_eq!(of("bucket.removed", "a"), Some(LeafIndex::of_bucket("a")));
    assert_eq!(of("region.open", "a"), Some(LeafIndex::of_regions()));
    assert_eq!(of("region.revoke", "b"), Some(LeafIndex::of_regions()));
    for none in [
        "region.announce",
        "region.renew",
        "key.create",
        "account.create",
    ] {
        assert_eq!(of(none, "a"), None);
    }
    assert_ne!(LeafIndex::of_bucket(""), LeafIndex::of_regions());
}

#[test]
fn whoever_reads_the_whole_log_comes_to_the_same_root() {
    let log = crate::test_support::chain();
    let mut chains = Chains::new(KEY);
    let mut heads = BTreeMap::new();
    for entry in &log {
        chains.push(entry);
        let told = OwnEntry::from(entry.clone());
        if let Some(place) = told.place() {
            let first = ChainHead::first(&KEY, &place);
            let head = heads.entry(place).or_insert(first);
            *head = told.after(head);
        }
    }
    assert_eq!(chains.count(), 2);
    let leaves: Vec<Leaf> = heads.into_iter().collect();
    assert_eq!(chains.root(), in_shards(&leaves).root());
    assert_eq!(chains.root(), root(&KEY, &leaves));
}

#[test]
fn a_place_is_cut_at_any_bit() {
    let place = LeafIndex([0b1010_1010; 16]);
    assert_eq!(place.first(0), LeafIndex([0; 16]));
    assert_eq!(place.first(3).0[0], 0b1010_0000);
    assert_eq!(place.sibling(3).0[0], 0b1000_0000);
    assert_eq!(place.first(DEPTH), place);
    assert!(place.right(0) && !place.right(1) && place.right(126) && !place.right(127));
    assert_eq!(LeafIndex::parse(&place.hex()), Some(place));
}
