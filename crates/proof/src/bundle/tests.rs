use serde_json::json;

use super::*;
use crate::{
    chain::ChainError,
    residency::Digest,
    test_support::{
        BEGIN_MS, BUCKET, CLOUD, ENTRIES, Key, REGIONS, add, anchor, at, builder, bundle,
        bundle_of, chain, checkpoint, deed, digest, holder, open_region, signing_ms,
    },
};

const HOME: &str = REGIONS[0][0];
const REPLICA: &str = REGIONS[1][0];
const OUTSIDE: &str = REGIONS[2][0];

fn findings(bundle: &Bundle) -> Vec<Finding> {
    bundle.verify(&anchor()).unwrap_err()
}

/// What is found after `edit`, nothing being signed or hashed anew.
fn after(edit: impl Fn(&mut Bundle)) -> Vec<Finding> {
    let mut bundle = bundle();
    edit(&mut bundle);
    findings(&bundle)
}

fn digests() -> Vec<Digest> {
    bundle().digests
}

/// What is found in a bundle over this chain, honestly signed.
fn of_chain(chain: Vec<Entry>) -> Vec<Finding> {
    findings(&bundle_of(chain, digests()))
}

/// The first `n` entries.
fn chain_to(n: usize) -> Vec<Entry> {
    let mut chain = chain();
    chain.truncate(n);
    chain
}

fn region(id: &str) -> String {
    id.to_owned()
}

#[test]
fn a_bundle_proves_where_a_bucket_is_held() {
    let file = bundle().to_bytes().unwrap();
    let bundle = Bundle::from_bytes(&file).unwrap();
    let report = bundle.verify(&anchor()).unwrap();
    let deed = report.deed.unwrap();
    assert_eq!(deed.regions().collect::<Vec<_>>(), [HOME, REPLICA]);
    assert_eq!(report.history, [3, 30]);
    assert_eq!(report.head, bundle.chain[49].head());
    assert_eq!(report.since_ms, BEGIN_MS + 30 * 60_000);
    let held = report.held.iter();
    let held: Vec<_> = held
        .map(|h| (h.region.as_str(), h.count, h.compared))
        .collect();
    assert_eq!(
        held,
        [(HOME, 20, true), (REPLICA, 20, true), (OUTSIDE, 0, false)]
    );
    assert!(report.silent.is_empty());
}

#[test]
fn every_byte_of_the_file_changed_in_every_bit_is_found() {
    let file = bundle().to_bytes().unwrap();
    assert!(file.len() > 20_000, "a realistic size: {}", file.len());
    let mut changed = file.clone();
    for n in 0..file.len() {
        for bit in 0..8 {
            changed[n] ^= 1 << bit;
            assert!(Bundle::from_bytes(&changed).is_err(), "byte {n}, bit {bit}");
            changed[n] ^= 1 << bit;
        }
    }
    assert_eq!(changed, file);
}

#[test]
fn bytes_added_or_taken_are_found() {
    let file = bundle().to_bytes().unwrap();
    for n in [0, 1, 100, file.len() - 73, file.len() - 1, file.len()] {
        for byte in [b' ', b'\n', b'0'] {
            let mut longer = file.clone();
            longer.insert(n, byte);
            assert!(Bundle::from_bytes(&longer).is_err(), "{byte} at {n}");
        }
    }
    for n in 0..file.len() {
        assert!(Bundle::from_bytes(&file[..n]).is_err(), "cut to {n}");
        if n > 200 && n + 200 < file.len() && n % 97 != 0 {
            continue;
        }
        let mut shorter = file.clone();
        shorter.remove(n);
        assert!(Bundle::from_bytes(&shorter).is_err(), "without byte {n}");
    }
    let upper = String::from_utf8(file).unwrap();
    let (body, hash) = upper.rsplit_once("sha256:").unwrap();
    let upper = format!("{body}sha256:{}", hash.to_uppercase());
    assert!(Bundle::from_bytes(upper.as_bytes()).is_err());
}

/// The forger's way: change a byte and write the last line anew. What is not signed is then all
/// that can be changed, and that is the time at which the bundle was made.
#[test]
fn a_changed_byte_under_a_new_last_line_is_found_by_the_signatures() {
    let file = bundle().to_bytes().unwrap();
    let (body, _) = file.split_at(file.len() - TRAILER_BYTES);
    let text = std::str::from_utf8(body).unwrap();
    let made = text.find("\"made_at_ms\":").unwrap() + 13;
    let made = made..made + 13;
    let mut survivors = 0;
    for n in 0..body.len() - 1 {
        let mut forged = body.to_vec();
        forged[n] ^= 1 << (n % 7);
        let trailer = trailer(sha256(&forged));
        forged.extend_from_slice(&trailer);
        let passes = Bundle::from_bytes(&forged).is_ok_and(|b| b.verify(&anchor()).is_ok());
        assert!(!passes || made.contains(&n), "byte {n}");
        survivors += usize::from(passes);
    }
    assert!(survivors <= made.len());
}

#[test]
fn entries_dropped_repeated_moved_edited_or_back_dated_are_named() {
    let chain = |error: ChainError| vec![Finding::Chain(error)];
    let found = after(|b| drop(b.chain.remove(30)));
    let missing = ChainError::Missing {
        number: 30,
        found: 31,
    };
    assert_eq!(
        found,
        chain(missing),
        "dropped: the very entry that placed the replica"
    );
    let found = after(|b| b.chain.insert(31, b.chain[30].clone()));
    assert_eq!(found, chain(ChainError::Repeated { number: 30 }));
    let found = after(|b| b.chain.swap(30, 31));
    let reordered = ChainError::Reordered {
        number: 30,
        found: 31,
    };
    assert_eq!(found, chain(reordered));
    let found = after(|b| b.chain[30].detail = b.chain[30].detail.replace("EU", "AE"));
    assert_eq!(found, chain(ChainError::Changed { number: 30 }));
    let found = after(|b| {
        b.chain[30].actor.push('x');
        b.chain[30].hash = b.chain[30].computed_hash();
    });
    assert_eq!(found, chain(ChainError::Forked { number: 31 }));
    let found = after(|b| {
        b.chain[30].at_ms = BEGIN_MS;
        b.chain[30].hash = b.chain[30].computed_hash();
    });
    let back_dated = ChainError::BackDated {
        number: 30,
        at_ms: BEGIN_MS,
        previous_ms: BEGIN_MS + 29 * 60_000,
    };
    assert_eq!(found, chain(back_dated));
}

#[test]
fn a_chain_cut_short_or_continued_or_written_anew_is_not_the_signed_one() {
    let found = after(|b| b.chain.truncate(40));
    let expected = Finding::Truncated {
        ends: 39,
        signed: 49,
    };
    assert_eq!(found, [expected]);
    let found = after(|b| {
        let again = deed(HOME, &[REPLICA], 1);
        add(&mut b.chain, "bucket.place", BUCKET, &again);
    });
    let signed = |f: &Finding| {
        *f == Finding::NotSigned {
            ends: 50,
            signed: 49,
        }
    };
    assert!(found.iter().any(signed), "{found:?}");
    let found = after(|b| {
        let mut last = b.chain[49].clone();
        last.actor.push('x');
        last.hash = last.computed_hash();
        b.chain[49] = last;
    });
    assert_eq!(found, [Finding::Rewritten { number: 49 }]);
}

/// The holder of the trusted key itself writes history anew, and signs it.
#[test]
fn a_fork_or_rollback_that_the_trusted_key_signed_is_found_by_a_known_head() {
    let known = chain()[40].head();
    let knows = TrustAnchor {
        known: Some(known),
        ..anchor()
    };
    bundle().verify(&knows).unwrap();
    let mut forked = chain_to(35);
    while (forked.len() as u64) < ENTRIES {
        add(&mut forked, "account.create", "somebody", &json!({}));
    }
    let forked = bundle_of(forked, digests());
    forked.verify(&anchor()).unwrap();
    let expected = Finding::ForkedFromKnown { number: 40 };
    assert_eq!(forked.verify(&knows), Err(vec![expected]));
    let short = bundle_of(chain_to(38), digests());
    let expected = Finding::RolledBack {
        ends: 37,
        known: 40,
    };
    assert_eq!(short.verify(&knows), Err(vec![expected]));
}

#[test]
fn a_checkpoint_is_believed_from_the_trusted_key_alone() {
    let found = after(|b| b.checkpoint.signature.0[0] ^= 1);
    assert_eq!(found, [Finding::CheckpointSignature]);
    let found = after(|b| {
        let head = b.checkpoint.head;
        b.checkpoint = Checkpoint::make(&Key::of(2), CLOUD, HOME, head, at(signing_ms()));
    });
    assert_eq!(found, [Finding::CheckpointKey]);
    let found = after(|b| {
        let head = b.checkpoint.head;
        b.checkpoint = Checkpoint::make(&Key::of(0), "other", HOME, head, at(signing_ms()));
    });
    assert_eq!(found, [Finding::CheckpointCloud("other".to_owned())]);
    let found = after(|b| {
        let head = b.checkpoint.head;
        b.checkpoint = Checkpoint::make(&Key::of(0), CLOUD, HOME, head, at(BEGIN_MS));
    });
    let expected = Finding::CheckpointBackDated {
        at_ms: BEGIN_MS,
        entry_ms: BEGIN_MS + 49 * 60_000,
    };
    assert_eq!(found, [expected]);
}

#[test]
fn the_authority_may_be_known_by_its_fingerprint() {
    let key = Hex(crate::Signer::public_key(&Key::of(0)));
    // As `openssl pkey -inform der -in key.der -pubout -outform der | sha256sum` prints it.
    let printed = "fd110d301d2f077de1414b8f99f441b1403fab207b2052fbd2c065e4ee8e7dc2";
    assert_eq!(fingerprint(&key).to_string(), printed);
    let of = |key| TrustAnchor::new(AnchorKey::Fingerprint(fingerprint(key)));
    bundle().verify(&of(&key)).unwrap();
    let other = Hex(crate::Signer::public_key(&Key::of(1)));
    let found = bundle().verify(&of(&other)).unwrap_err();
    assert_eq!(found, [Finding::CheckpointKey]);
}

#[test]
fn a_digest_of_another_key_region_or_bucket_is_named() {
    let me = || region(OUTSIDE);
    let found = after(|b| b.digests[2].count = 1);
    assert!(found.contains(&Finding::DigestSignature { region: me() }));
    let signed_by = |n: usize| builder(0).finish(&Key::of(n), &holder(2), 1, 0, at(signing_ms()));
    let found = after(|b| b.digests[2] = signed_by(1));
    let expected = Finding::DigestKey {
        region: me(),
        holder: Some(region(REPLICA)),
    };
    assert_eq!(found, [expected]);
    let found = after(|b| b.digests[2] = signed_by(7));
    let expected = Finding::DigestKey {
        region: me(),
        holder: None,
    };
    assert_eq!(found, [expected]);
    let with = |edit: fn(&mut crate::residency::Holder)| {
        let mut holder = holder(2);
        edit(&mut holder);
        let digest = builder(0).finish(&Key::of(2), &holder, 1, 0, at(signing_ms()));
        after(move |b| b.digests[2] = digest.clone())
    };
    let found = with(|h| h.jurisdiction = "DE".to_owned());
    assert_eq!(found, [Finding::DigestIdentity { region: me() }]);
    let found = with(|h| h.operator = "own".to_owned());
    assert_eq!(found, [Finding::DigestIdentity { region: me() }]);
    let found = with(|h| h.cloud = "other".to_owned());
    assert_eq!(found, [Finding::DigestOfAnother { region: me() }]);
    let found = with(|h| h.region = types::RegionId::new("xx-1"));
    let region = region("xx-1");
    assert_eq!(found, [Finding::DigestOfUnknown { region }]);
}

#[test]
fn two_statements_of_one_region_are_named() {
    let found = after(|b| b.digests.push(digest(2, 0, 1)));
    let region = region(OUTSIDE);
    assert_eq!(found, [Finding::DigestRepeated { region }]);
}

#[test]
fn a_digest_from_before_the_deed_is_named() {
    let old = |epoch, ms| builder(0).finish(&Key::of(2), &holder(2), epoch, 0, at(ms));
    let placed = BEGIN_MS + 30 * 60_000;
    let found = after(|b| b.digests[2] = old(1, placed - 1));
    let expected = Finding::DigestBackDated {
        region: region(OUTSIDE),
        at_ms: placed - 1,
        deed_ms: placed,
    };
    assert_eq!(found, [expected]);
    let found = after(|b| b.digests[2] = old(0, placed));
    let expected = Finding::DigestEpoch {
        region: region(OUTSIDE),
        epoch: 0,
        deed: 1,
    };
    assert_eq!(found, [expected]);
    let wants = TrustAnchor {
        fresh_since_ms: Some(signing_ms()),
        ..anchor()
    };
    bundle().verify(&wants).unwrap();
    let mut stale = bundle();
    stale.digests[2] = old(1, placed);
    let expected = Finding::Stale {
        what: format!("digest of {OUTSIDE}"),
        at_ms: placed,
        wanted_ms: signing_ms(),
    };
    assert_eq!(stale.verify(&wants), Err(vec![expected]));
    let found = after(|b| b.made_at_ms = signing_ms());
    assert_eq!(found.len(), 2, "two digests are later: {found:?}");
    assert!(matches!(found[0], Finding::MadeBefore { .. }));
}

#[test]
fn a_copy_where_none_may_be_is_named() {
    let found = after(|b| b.digests[2] = digest(2, 5, 900));
    let outside = Finding::HeldOutside {
        region: region(OUTSIDE),
        count: 5,
    };
    let forbidden = Finding::HeldForbidden {
        region: region(OUTSIDE),
        jurisdiction: "AE".to_owned(),
        count: 5,
    };
    assert_eq!(found, [outside, forbidden]);
}

#[test]
fn a_region_of_the_placement_that_is_silent_is_named_and_another_is_reported() {
    let found = after(|b| drop(b.digests.remove(1)));
    let replica = region(REPLICA);
    assert_eq!(found, [Finding::NoDigest { region: replica }]);
    let mut bundle = bundle();
    bundle.digests.remove(2);
    let report = bundle.verify(&anchor()).unwrap();
    assert_eq!(report.silent, [OUTSIDE]);
}

#[test]
fn home_and_replica_agree_at_one_position() {
    let found = after(|b| b.digests[1] = digest(1, 19, 900));
    let expected = Finding::Disagree {
        region: region(REPLICA),
        home: region(HOME),
        position: 900,
    };
    assert_eq!(found, [expected]);
    let mut behind = bundle();
    behind.digests[1] = digest(1, 19, 880);
    let report = behind.verify(&anchor()).unwrap();
    assert!(
        !report.held[1].compared,
        "behind is not wrong, but is reported"
    );
    // Position 0: both changed while they were counted.
    let mut busy = bundle();
    busy.digests[0] = digest(0, 20, 0);
    busy.digests[1] = digest(1, 19, 0);
    let report = busy.verify(&anchor()).unwrap();
    assert!(!report.held[1].compared);
}

#[test]
fn a_bundle_names_regions_as_the_chain_does() {
    let me = || {
        let region = region(OUTSIDE);
        vec![Finding::RegionIdentity { region }]
    };
    assert_eq!(after(|b| b.regions[2].jurisdiction = "DE".to_owned()), me());
    assert_eq!(after(|b| b.regions[2].operator = "own".to_owned()), me());
    assert_eq!(after(|b| b.regions[2].public_key.0[0] ^= 1), me());
    assert_eq!(after(|b| drop(b.regions.remove(2))), me());
    assert_eq!(after(|b| b.regions.push(b.regions[2].clone())), me());
}

#[test]
fn a_deed_that_breaks_its_own_limits_is_named_even_when_it_is_over() {
    let mut chain = chain_to(20);
    let abroad = deed(HOME, &[OUTSIDE], 1);
    add(&mut chain, "bucket.place", BUCKET, &abroad);
    add(
        &mut chain,
        "bucket.place",
        BUCKET,
        &deed(HOME, &[REPLICA], 1),
    );
    let expected = Finding::PlacedForbidden {
        number: 20,
        region: region(OUTSIDE),
        jurisdiction: "AE".to_owned(),
    };
    assert_eq!(of_chain(chain), [expected]);
    let mut chain = chain_to(31);
    add(
        &mut chain,
        "bucket.place",
        BUCKET,
        &deed(HOME, &[REPLICA, "xx-1"], 1),
    );
    let found = of_chain(chain);
    let expected = Finding::PlacedInUnknown {
        number: 31,
        region: region("xx-1"),
    };
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn a_new_home_needs_a_new_epoch() {
    let mut chain = chain_to(31);
    add(
        &mut chain,
        "bucket.place",
        BUCKET,
        &deed(REPLICA, &[HOME], 1),
    );
    assert_eq!(of_chain(chain), [Finding::DeedEpoch { number: 31 }]);
    let mut chain = chain_to(31);
    add(
        &mut chain,
        "bucket.place",
        BUCKET,
        &deed(HOME, &[REPLICA], 0),
    );
    let found = of_chain(chain);
    assert_eq!(found[0], Finding::DeedEpoch { number: 31 });
}

#[test]
fn a_promotion_moves_the_home() {
    for action in ["bucket.promote", "bucket.promote-forced"] {
        let mut chain = chain_to(31);
        add(&mut chain, action, BUCKET, &deed(REPLICA, &[HOME], 2));
        let found = of_chain(chain);
        // The statements are still of the epoch before.
        let stale = |f: &Finding| matches!(f, Finding::DigestEpoch { deed: 2, .. });
        assert!(found.iter().any(stale), "{action}: {found:?}");
        assert!(!found.contains(&Finding::DeedEpoch { number: 31 }));
    }
}

#[test]
fn what_regions_say_is_shown_as_their_word_and_spoils_no_proof() {
    let mut chain = chain_to(31);
    let came_back = json!({"from": OUTSIDE, "epoch": 1, "count": 7, "keys": ["k"]});
    add(&mut chain, "bucket.divergence", BUCKET, &came_back);
    add(&mut chain, "bucket.divergence", "another", &came_back);
    let receipt = json!({"region": OUTSIDE, "epoch": 1, "rows": 3});
    add(&mut chain, "bucket.removed", BUCKET, &receipt);
    let actors: Vec<String> = chain.iter().skip(31).map(|e| e.actor.clone()).collect();
    let bundle = bundle_of(chain, digests());
    let report = bundle.verify(&anchor()).unwrap();
    let said: Vec<_> = report
        .said
        .iter()
        .map(|said| {
            (
                said.number,
                &*said.by,
                &*said.what,
                said.of.as_deref(),
                said.count,
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (31, &*actors[0], "bucket.divergence", Some(OUTSIDE), 7),
            (33, &*actors[2], "bucket.removed", None, 3),
        ]
    );
}

#[test]
fn what_is_left_after_a_deletion_is_named() {
    let mut chain = chain_to(31);
    let id = json!({"id": crate::test_support::BUCKET_ID});
    add(&mut chain, "bucket.delete", BUCKET, &id);
    let left = bundle_of(chain.clone(), digests());
    let expected = [HOME, REPLICA].map(|id| Finding::HeldOutside {
        region: region(id),
        count: 20,
    });
    assert_eq!(findings(&left), expected);
    let nothing = [0, 1, 2].map(|n| digest(n, 0, 901)).to_vec();
    let gone = bundle_of(chain.clone(), nothing);
    let report = gone.verify(&anchor()).unwrap();
    assert_eq!((report.deed, report.history), (None, vec![3, 30, 31]));
    add(
        &mut chain,
        "bucket.create",
        BUCKET,
        &deed(HOME, &[REPLICA], 1),
    );
    let found = of_chain(chain);
    assert_eq!(
        found,
        [Finding::NotThisBucket { number: 32 }],
        "a number is never used again"
    );
}

#[test]
fn entries_that_make_no_sense_are_named() {
    let mut chain = chain_to(31);
    add(
        &mut chain,
        "bucket.create",
        BUCKET,
        &deed(HOME, &[REPLICA], 1),
    );
    assert_eq!(of_chain(chain), [Finding::CreatedTwice { number: 31 }]);
    let mut chain = chain_to(31);
    add(&mut chain, "bucket.place", BUCKET, &json!({"home": HOME}));
    let found = of_chain(chain);
    assert!(
        matches!(found[..], [Finding::Detail { number: 31, .. }]),
        "{found:?}"
    );
    let mut chain = chain_to(31);
    let mut nowhere = open_region(1);
    nowhere["jurisdiction"] = json!("EU");
    nowhere["public_key"] = json!(Hex::<32>([7; 32]));
    add(&mut chain, "region.open", "xx-1", &nowhere);
    let found = of_chain(chain);
    assert!(
        matches!(found[..], [Finding::Detail { number: 31, .. }]),
        "{found:?}"
    );
    let mut chain = chain_to(31);
    add(&mut chain, "region.open", "xx-1", &open_region(1));
    let expected = Finding::KeyShared {
        number: 31,
        region: region("xx-1"),
        other: region(REPLICA),
    };
    assert_eq!(of_chain(chain), [expected]);
    let found = after(|b| b.bucket = "another".to_owned());
    assert_eq!(found, [Finding::NoDeed]);
    assert_eq!(after(|b| b.v = 2), [Finding::Version(2)]);
}

#[test]
fn a_region_that_got_a_new_key_speaks_with_that_one() {
    let mut chain = chain_to(40);
    let key = Hex::<32>(crate::Signer::public_key(&Key::of(9)));
    let detail = json!({"jurisdiction": "AE", "operator": "yvolv", "public_key": key});
    add(&mut chain, "region.open", OUTSIDE, &detail);
    let expected = Finding::DigestKey {
        region: region(OUTSIDE),
        holder: None,
    };
    assert_eq!(of_chain(chain.clone()), [expected]);
    let mut digests = digests();
    digests[2] = builder(0).finish(&Key::of(9), &holder(2), 1, 0, at(signing_ms()));
    bundle_of(chain, digests).verify(&anchor()).unwrap();
}

#[test]
fn no_more_regions_are_judged_than_there_is_time_for() {
    let found = after(|b| b.digests = vec![digest(2, 0, 0); REGIONS_MAX + 1]);
    assert_eq!(found, [Finding::TooMany(REGIONS_MAX + 1)]);
    assert_eq!(checkpoint(&chain()), bundle().checkpoint);
}

/// What is found when region `n` itself signs a digest with such an edit.
fn signs(n: usize, edit: impl Fn(&mut Digest)) -> Vec<Finding> {
    after(|b| {
        let digest = &mut b.digests[n];
        edit(digest);
        digest.signature = Hex(crate::Signer::sign(&Key::of(n), &digest.message()));
    })
}

#[test]
fn a_digest_that_contradicts_itself_is_named() {
    let region = || region(OUTSIDE);
    let incoherent = [Finding::DigestIncoherent { region: region() }];
    let something = digest(0, 3, 1).root;
    assert_eq!(signs(2, |d| d.root = something), incoherent);
    assert_eq!(signs(2, |d| d.bytes = 1), incoherent);
    let found = signs(2, |d| d.count = 1);
    assert!(found.contains(&incoherent[0]), "{found:?}");
    let another = [Finding::DigestOfAnother { region: region() }];
    assert_eq!(signs(2, |d| d.bucket.push('x')), another);
    assert_eq!(
        signs(2, |d| d.bucket_id += 1),
        another,
        "a later bucket of that name"
    );
}

#[test]
fn a_replica_differs_from_its_home_in_root_count_or_bytes() {
    let disagree = [Finding::Disagree {
        region: region(REPLICA),
        home: region(HOME),
        position: 900,
    }];
    assert_eq!(signs(1, |d| d.root.0[0] ^= 1), disagree);
    assert_eq!(signs(1, |d| d.count += 1), disagree);
    assert_eq!(signs(1, |d| d.bytes += 1), disagree);
}

#[test]
fn a_deed_under_another_number_is_another_bucket() {
    let not_this = [Finding::NotThisBucket { number: 31 }];
    let mut chain = chain_to(31);
    let mut other = deed(HOME, &[REPLICA], 1);
    other["id"] = json!(crate::test_support::BUCKET_ID + 1);
    add(&mut chain, "bucket.place", BUCKET, &other);
    let found = of_chain(chain);
    assert!(found.contains(&not_this[0]), "{found:?}");
    let mut chain = chain_to(31);
    add(&mut chain, "bucket.delete", BUCKET, &json!({"id": 1}));
    let found = of_chain(chain);
    assert!(found.contains(&not_this[0]), "{found:?}");
}

/// A bucket that was deleted and created anew under its name: the old one's digests do not count.
#[test]
fn digests_of_a_predecessor_do_not_speak_for_a_bucket() {
    let mut chain = chain_to(31);
    let id = json!({"id": crate::test_support::BUCKET_ID});
    add(&mut chain, "bucket.delete", BUCKET, &id);
    let mut anew = deed(HOME, &[REPLICA], 1);
    anew["id"] = json!(crate::test_support::BUCKET_ID + 1);
    add(&mut chain, "bucket.create", BUCKET, &anew);
    let expected = REGIONS.map(|[id, ..]| Finding::DigestOfAnother { region: region(id) });
    assert_eq!(of_chain(chain), expected);
}

#[test]
fn every_finding_has_a_sentence_of_its_own() {
    let shown = Finding::DigestKey {
        region: region(OUTSIDE),
        holder: Some(region(REPLICA)),
    };
    let expected = format!("digest of {OUTSIDE}: signed with the key of {REPLICA}");
    assert_eq!(shown.to_string(), expected);
}

proptest::proptest! {
    /// Whatever a file has under a right last line: it is refused or judged, never a panic.
    #[test]
    fn any_document_is_judged(from in 0..20_000_usize, len in 0..40_usize, put in "[0-9\"{}:,a-f]{0,20}") {
        let file = bundle().to_bytes().unwrap();
        let mut body = file[..file.len() - TRAILER_BYTES].to_vec();
        body.splice(from..from + len, put.bytes());
        body.pop();
        body.push(b'\n');
        let trailer = trailer(sha256(&body));
        body.extend_from_slice(&trailer);
        if let Ok(bundle) = Bundle::from_bytes(&body) {
            let _ = bundle.verify(&anchor());
        }
    }
}
