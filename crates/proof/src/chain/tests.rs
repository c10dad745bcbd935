use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::test_support::{BEGIN_MS, Key, add, at, chain, checkpoint};

fn error(entries: Vec<Entry>) -> ChainError {
    verify(entries).unwrap_err()
}

/// Gives every entry from `from` on the number, predecessor and hash that fit.
fn rewrite(chain: &mut [Entry], from: usize) {
    for n in from..chain.len() {
        chain[n].number = n as u64;
        chain[n].previous = n.checked_sub(1).map_or(Hash::ZERO, |p| chain[p].hash);
        chain[n].hash = chain[n].computed_hash();
    }
}

#[test]
fn a_chain_is_verified_to_its_head() {
    let chain = chain();
    assert_eq!(chain[0].previous, Hash::ZERO);
    let head = verify(chain.clone()).unwrap();
    assert_eq!(head, chain[49].head());
    assert_eq!(head.number, 49);
    assert_eq!(error(vec![]), ChainError::Empty);
}

/// The form never changes: this hash was computed by an independent program from the description.
#[test]
fn the_hash_of_an_entry_is_fixed() {
    let detail = json!({"b": 1, "a": "ü"});
    let entry = Entry::next(None, at(1_790_000_000_000), "me", "x.y", "z", &detail).unwrap();
    assert_eq!(entry.detail, r#"{"a":"ü","b":1}"#);
    let expected = "2710ed90989a75898a6726d816527ba5b02148f9c766d694ae03a514ed4797bd";
    assert_eq!(entry.hash.to_string(), expected);
}

#[test]
fn an_entry_that_is_gone_is_missed() {
    let mut chain = chain();
    chain.remove(20);
    let expected = ChainError::Missing {
        number: 20,
        found: 21,
    };
    assert_eq!(error(chain.clone()), expected);
    chain.remove(0);
    let expected = ChainError::Missing {
        number: 0,
        found: 1,
    };
    assert_eq!(error(chain), expected);
}

#[test]
fn an_entry_that_is_there_twice_is_named() {
    for place in [21, 40, 50] {
        let mut chain = chain();
        chain.insert(place, chain[20].clone());
        assert_eq!(error(chain), ChainError::Repeated { number: 20 });
    }
}

#[test]
fn entries_that_changed_places_are_told_from_lost_ones() {
    let mut chain = chain();
    let moved = chain.remove(20);
    chain.insert(25, moved);
    let expected = ChainError::Reordered {
        number: 20,
        found: 21,
    };
    assert_eq!(error(chain), expected);
}

#[test]
fn every_field_of_an_entry_is_covered_by_its_hash() {
    let edits: [fn(&mut Entry); 7] = [
        |e| e.at_ms += 1,
        |e| e.actor.push('x'),
        |e| e.action.push('x'),
        |e| e.subject.push('x'),
        |e| e.detail.push(' '),
        |e| e.previous.0[31] ^= 1,
        |e| e.hash.0[0] ^= 1,
    ];
    for (n, edit) in edits.iter().enumerate() {
        let mut chain = chain();
        edit(&mut chain[20]);
        let expected = ChainError::Changed { number: 20 };
        assert_eq!(error(chain), expected, "edit {n}");
    }
    let mut chain = chain();
    chain[20].v = 2;
    let expected = ChainError::Version { number: 20, v: 2 };
    assert_eq!(error(chain), expected);
}

#[test]
fn an_edit_that_is_hashed_anew_breaks_the_link_after_it() {
    let mut chain = chain();
    chain[20].actor = "somebody else".to_owned();
    chain[20].hash = chain[20].computed_hash();
    assert_eq!(error(chain), ChainError::Forked { number: 21 });
}

#[test]
fn a_chain_written_anew_needs_a_head_to_be_found() {
    let real = chain();
    let mut forged = real.clone();
    forged[20].actor = "somebody else".to_owned();
    rewrite(&mut forged, 20);
    let head = verify(forged.clone()).unwrap();
    assert_ne!(head, checkpoint(&real).head);
    let old = real[30].head();
    let expected = ChainError::Forked { number: 31 };
    assert_eq!(extends(&old, forged[31..].to_vec()), Err(expected));
}

#[test]
fn a_back_dated_entry_is_named() {
    let mut chain = chain();
    chain[20].at_ms = BEGIN_MS;
    rewrite(&mut chain, 20);
    let expected = ChainError::BackDated {
        number: 20,
        at_ms: BEGIN_MS,
        previous_ms: BEGIN_MS + 19 * 60_000,
    };
    assert_eq!(error(chain), expected);
}

#[test]
fn a_clock_that_went_back_does_not_make_back_dated_entries() {
    let first = Entry::next(None, at(2000), "a", "b", "c", &json!(null)).unwrap();
    let second = Entry::next(Some(&first), at(1000), "a", "b", "c", &json!(null)).unwrap();
    assert_eq!(second.at_ms, 2000);
    verify([first, second]).unwrap();
}

#[test]
fn a_chain_is_extended_by_what_follows_its_head() {
    let chain = chain();
    let old = chain[29].head();
    assert_eq!(extends(&old, chain[30..].to_vec()), Ok(chain[49].head()));
    assert_eq!(extends(&old, []), Ok(old));
    let gap = extends(&old, chain[31..].to_vec());
    let expected = ChainError::Missing {
        number: 30,
        found: 31,
    };
    assert_eq!(gap, Err(expected));
    let again = extends(&old, chain[29..].to_vec());
    assert_eq!(again, Err(ChainError::Repeated { number: 29 }));
}

#[test]
fn what_is_too_large_or_no_json_is_refused() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let made = Entry::next(None, at(0), &long, "b", "c", &json!(null));
    assert!(matches!(made, Err(ChainError::Malformed { number: 0, .. })));
    let long = json!("x".repeat(DETAIL_BYTES_MAX));
    let made = Entry::next(None, at(0), "a", "b", "c", &long);
    assert!(matches!(made, Err(ChainError::Malformed { number: 0, .. })));
    let mut entry = Entry::next(None, at(0), "a", "b", "c", &json!(null)).unwrap();
    entry.detail = "{".to_owned();
    entry.hash = entry.computed_hash();
    assert!(matches!(
        error(vec![entry]),
        ChainError::Malformed { number: 0, .. }
    ));
    let mut last = Entry::next(None, at(0), "a", "b", "c", &json!(null)).unwrap();
    last.number = u64::MAX;
    let next = Entry::next(Some(&last), at(0), "a", "b", "c", &json!(null));
    assert!(matches!(
        next,
        Err(ChainError::Malformed {
            number: u64::MAX,
            ..
        })
    ));
}

#[test]
fn the_signature_of_a_checkpoint_covers_every_field() {
    let real = checkpoint(&chain());
    assert!(real.verify());
    let edits: [fn(&mut Checkpoint); 8] = [
        |c| c.v = 2,
        |c| c.cloud.push('x'),
        |c| c.head.number += 1,
        |c| c.head.hash.0[0] ^= 1,
        |c| c.at_ms -= 1,
        |c| c.region.push('x'),
        |c| c.public_key = crate::Hex(Key::of(1).public_key()),
        |c| c.signature.0[63] ^= 1,
    ];
    for (n, edit) in edits.iter().enumerate() {
        let mut changed = real.clone();
        edit(&mut changed);
        assert!(!changed.verify(), "edit {n}");
    }
}

fn texts() -> impl Strategy<Value = Vec<(String, String, u64)>> {
    proptest::collection::vec((".{0,8}", ".{0,8}", 0..10_000_u64), 1..20)
}

proptest! {
    #[test]
    fn what_was_chained_is_verified_and_survives_json(texts in texts()) {
        let mut chain: Vec<Entry> = Vec::new();
        for (actor, subject, ms) in &texts {
            let detail = json!({ subject: actor, "n": ms });
            let next = Entry::next(chain.last(), at(*ms), actor, "do", subject, &detail);
            chain.push(next.unwrap());
        }
        let head = verify(chain.clone()).unwrap();
        prop_assert_eq!(head.number as usize + 1, texts.len());
        let file = serde_json::to_vec_pretty(&chain).unwrap();
        let back: Vec<Entry> = serde_json::from_slice(&file).unwrap();
        prop_assert_eq!(verify(back), Ok(head));
    }

    #[test]
    fn any_change_of_the_order_is_found(from in 0..50_usize, to in 0..50_usize) {
        let mut changed = chain();
        let entry = changed.remove(from);
        changed.insert(to, entry);
        prop_assert_eq!(verify(changed).is_ok(), from == to);
    }

    #[test]
    fn no_part_of_a_chain_but_its_beginning_is_a_chain(from in 0..50_usize, len in 1..50_usize) {
        let mut part = chain();
        part.drain(..from);
        part.truncate(len);
        prop_assert_eq!(verify(part).is_ok(), from == 0);
    }

    #[test]
    fn an_entry_more_is_found(number in 0..50_usize, subject in "[a-z]{1,8}") {
        let mut changed = chain();
        let mut extra = changed[..number].to_vec();
        add(&mut extra, "bucket.place", &subject, &json!({}));
        changed.insert(number, extra.remove(number));
        prop_assert!(verify(changed).is_err());
    }
}
