//! What is lost, what comes back, and what differs between regions.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use check::{
    Difference, KeyVersions, Operation, Outcome, RegionState, Value, converged, lost_acknowledged,
    resurrected,
};
use common::{delete, get, put, put_cut, put_if_absent, put_if_match};

/// No places.
const NONE: [usize; 0] = [];

/// The places in the history of what is lost when the key holds this number (zero: nothing).
fn lost(history: &[Operation], last: u64) -> Vec<usize> {
    let last: BTreeMap<String, Value> = (last > 0)
        .then(|| ("k".to_owned(), Value::from(last)))
        .into_iter()
        .collect();
    let place = |operation| history.iter().position(|o| *o == operation);
    lost_acknowledged(history, &last)
        .into_iter()
        .filter_map(|lost| place(lost.operation))
        .collect()
}

fn back(history: &[Operation]) -> Vec<(usize, usize)> {
    let place = |operation| history.iter().position(|o| *o == operation).unwrap_or(99);
    resurrected(history)
        .into_iter()
        .map(|found| (place(found.read), place(found.replaced_by)))
        .collect()
}

#[test]
fn an_acknowledged_write_that_is_gone_is_lost() {
    assert_eq!(lost(&[put(1, 0, 1, 1)], 1), NONE);
    assert_eq!(lost(&[put(1, 0, 1, 1)], 0), [0]);
    assert_eq!(
        lost(&[put(1, 0, 1, 1)], 7),
        [0],
        "a value that nobody wrote explains nothing"
    );
    let twice = [put(1, 0, 1, 1), put(1, 2, 3, 2)];
    assert_eq!(lost(&twice, 2), NONE);
    assert_eq!(lost(&twice, 1), [1]);
    assert_eq!(lost(&twice, 0), [0, 1]);
}

#[test]
fn of_writes_at_the_same_time_either_may_remain() {
    let both = [put(1, 0, 10, 1), put(2, 5, 15, 2)];
    assert_eq!(lost(&both, 1), NONE);
    assert_eq!(lost(&both, 2), NONE);
    assert_eq!(lost(&both, 0), [0, 1]);
}

#[test]
fn an_unknown_write_explains_an_absence_unless_it_was_seen_before() {
    let history = [put_cut(2, 0, 9), put(1, 5, 6, 1)];
    assert_eq!(lost(&history, 9), NONE);
    assert_eq!(lost(&history, 1), NONE, "an unknown write may never happen");
    let seen = [put_cut(2, 0, 9), get(1, 2, 3, 9), put(1, 5, 6, 1)];
    assert_eq!(lost(&seen, 9), [2]);
    let cut = Operation {
        return_ns: None,
        outcome: Outcome::Unknown,
        ..delete(2, 0, 0)
    };
    assert_eq!(lost(&[cut, put(1, 5, 6, 1)], 0), NONE);
}

#[test]
fn a_delete_can_be_lost_too() {
    let history = [put(1, 0, 1, 1), delete(1, 2, 3)];
    assert_eq!(lost(&history, 0), NONE);
    assert_eq!(lost(&history, 1), [1]);
}

#[test]
fn failed_and_refused_writes_leave_nothing_to_lose_and_explain_nothing() {
    let failed = put_if_absent(2, 2, 3, 2, Outcome::PreconditionFailed);
    let refused = Operation {
        outcome: Outcome::Refused,
        ..delete(2, 2, 3)
    };
    assert_eq!(lost(&[put(1, 0, 1, 1), failed.clone()], 1), NONE);
    assert_eq!(lost(&[put(1, 0, 1, 1), failed], 2), [0]);
    assert_eq!(lost(&[put(1, 0, 1, 1), refused], 0), [0]);
}

#[test]
fn a_value_that_comes_back_names_what_had_replaced_it() {
    let replaced = [put(1, 0, 1, 1), put(1, 2, 3, 2), get(2, 4, 5, 1)];
    assert_eq!(back(&replaced), [(2, 1)]);
    let deleted = [put(1, 0, 1, 1), delete(1, 2, 3), get(2, 4, 5, 1)];
    assert_eq!(back(&deleted), [(2, 1)]);
    let expected = [
        put(1, 0, 1, 1),
        delete(1, 2, 3),
        put_if_match(2, 4, 5, (1, 2), Outcome::Ok),
    ];
    assert_eq!(back(&expected), [(2, 1)]);
}

#[test]
fn what_overlaps_does_not_count_as_coming_back() {
    assert_eq!(
        back(&[put(1, 0, 1, 1), put(1, 2, 5, 2), get(2, 4, 6, 1)]),
        []
    );
    assert_eq!(
        back(&[put(1, 0, 3, 1), put(2, 2, 4, 2), get(2, 5, 6, 1)]),
        []
    );
    assert_eq!(
        back(&[put_cut(1, 0, 1), put(2, 2, 4, 2), get(2, 5, 6, 1)]),
        []
    );
}

#[test]
fn an_unknown_write_comes_back_once_it_was_seen() {
    let history = [
        put_cut(1, 0, 1),
        get(2, 1, 2, 1),
        put(2, 3, 4, 2),
        get(2, 5, 6, 1),
    ];
    assert_eq!(back(&history), [(3, 2)]);
}

#[test]
fn a_value_written_again_does_not_come_back() {
    let again = [
        put(1, 0, 1, 1),
        put(1, 2, 3, 2),
        put(1, 4, 5, 1),
        get(2, 6, 7, 1),
    ];
    assert_eq!(back(&again), [] as [(usize, usize); 0]);
    let unknown = [
        put_cut(1, 0, 1),
        get(2, 1, 2, 1),
        put(2, 3, 4, 2),
        put_cut(1, 3, 1),
        get(2, 6, 7, 1),
    ];
    assert_eq!(back(&unknown), [] as [(usize, usize); 0]);
}

fn region(keys: &[(&str, Option<&str>, &[&str])]) -> RegionState {
    let versions = |all: &[&str]| all.iter().map(|v| (*v).to_owned()).collect::<BTreeSet<_>>();
    keys.iter()
        .map(|(key, current, all)| {
            let state = KeyVersions {
                current: current.map(str::to_owned),
                versions: versions(all),
            };
            ((*key).to_owned(), state)
        })
        .collect()
}

fn differences(east: RegionState, west: RegionState) -> Vec<Difference> {
    let regions = [("east".to_owned(), east), ("west".to_owned(), west)];
    converged(&regions.into_iter().collect())
}

#[test]
fn equal_regions_have_converged() {
    let state = region(&[("a", Some("2"), &["1", "2"])]);
    assert_eq!(differences(state.clone(), state), []);
    assert_eq!(differences(region(&[]), region(&[("a", None, &[])])), []);
    assert_eq!(converged(&BTreeMap::new()), []);
}

#[test]
fn each_difference_between_regions_is_listed() {
    let east = region(&[("a", Some("2"), &["1", "2"]), ("b", Some("1"), &["1"])]);
    let west = region(&[("a", Some("1"), &["1", "2", "3"])]);
    let found = differences(east, west);
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"key "a": current version: east=2 west=1"#,
            r#"key "a": version 3 is in west but not in east"#,
            r#"key "b": current version: east=1 west=nothing"#,
            r#"key "b": version 1 is in east but not in west"#,
        ]
    );
}
