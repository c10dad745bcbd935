//! Histories written by hand, good and bad.

mod common;

use check::{Budget, Operation, Outcome, Verdict, Why, check};
use common::{delete, get, put, put_cut, put_if_absent, put_if_match};

use Outcome::{Ok as Done, PreconditionFailed, Refused, Unknown};

#[track_caller]
fn good(history: &[Operation]) {
    let verdict = check(history, Budget::default());
    assert_eq!(verdict, Verdict::Ok, "{verdict}");
}

/// Not linearizable, and explained by exactly these operations (places in the history).
#[track_caller]
fn bad(history: &[Operation], because: &[usize]) -> String {
    match check(history, Budget::default()) {
        Verdict::Violation {
            operations, text, ..
        } => {
            let wanted: Vec<Operation> = because.iter().map(|n| history[*n].clone()).collect();
            assert_eq!(operations, wanted, "{text}");
            text
        }
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_is_linearizable() {
    good(&[]);
    good(&[get(1, 0, 1, 0)]);
}

#[test]
fn a_read_beside_a_write_may_see_either_state() {
    let writes = [put(1, 0, 1, 1), put(1, 10, 20, 2)];
    for found in [1, 2] {
        let mut history = writes.to_vec();
        history.push(get(2, 12, 14, found));
        good(&history);
    }
}

#[test]
fn two_reads_beside_a_write_may_not_go_back() {
    let seen = |first, second| {
        [
            put(1, 0, 1, 1),
            put(1, 10, 90, 2),
            get(2, 20, 30, first),
            get(3, 40, 50, second),
        ]
    };
    good(&seen(1, 2));
    bad(&seen(2, 1), &[0, 2, 3]);
}

#[test]
fn a_stale_read_is_found() {
    let history = [
        put(1, 0, 1, 1),
        put(1, 4, 5, 2),
        get(2, 6, 7, 1),
        get(2, 8, 9, 2),
    ];
    bad(&history, &[0, 1, 2]);
}

#[test]
fn an_instant_shared_by_a_return_and_a_call_counts_as_overlap() {
    good(&[put(1, 0, 1, 1), put(1, 4, 5, 2), get(2, 5, 7, 1)]);
}

#[test]
fn a_lost_update_is_found() {
    let history = [
        put(1, 0, 1, 1),
        put_if_match(2, 10, 20, (1, 2), Done),
        put_if_match(3, 11, 21, (1, 3), Done),
        get(1, 30, 31, 3),
    ];
    // Whether the put of 1 was acknowledged or not: it happened once at most.
    bad(&history, &[1, 2]);
}

#[test]
fn of_two_matching_writes_the_second_may_fail() {
    good(&[
        put(1, 0, 1, 1),
        put_if_match(2, 10, 20, (1, 2), Done),
        put_if_match(3, 11, 21, (1, 3), PreconditionFailed),
        get(1, 30, 31, 2),
    ]);
}

#[test]
fn a_condition_on_nothing_fails() {
    good(&[put_if_match(1, 0, 1, (7, 8), PreconditionFailed)]);
    bad(&[put_if_match(1, 0, 1, (7, 8), Done)], &[0]);
}

#[test]
fn two_winners_of_one_absent_key_are_found() {
    let history = [
        put_if_absent(1, 0, 10, 1, Done),
        put_if_absent(2, 1, 11, 2, Done),
    ];
    bad(&history, &[0, 1]);
    let with_delete = [&history[..], &[delete(3, 2, 12)]].concat();
    good(&with_delete);
}

#[test]
fn a_failed_condition_needs_a_reason() {
    bad(&[put_if_absent(1, 0, 10, 1, PreconditionFailed)], &[0]);
    good(&[
        put_cut(2, 0, 5),
        put_if_absent(1, 1, 10, 1, PreconditionFailed),
    ]);
}

#[test]
fn a_read_from_the_future_is_found_and_names_its_writer() {
    let history = [get(1, 0, 10, 5), put(2, 20, 30, 5)];
    let text = bad(&history, &[0]);
    assert!(text.contains("client 2 put 5"), "{text}");
    bad(&[get(1, 0, 10, 5), put_cut(2, 20, 5)], &[0]);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    let text = bad(&[put(1, 0, 1, 1), get(1, 2, 3, 9)], &[1]);
    assert!(text.contains("nobody wrote 9"), "{text}");
}

#[test]
fn a_dirty_read_of_a_failed_write_is_found() {
    let history = [
        put(1, 0, 1, 1),
        put_if_absent(2, 2, 3, 2, PreconditionFailed),
        get(1, 4, 5, 2),
    ];
    bad(&history, &[2]);
}

#[test]
fn a_refused_write_never_happened() {
    let refused = Operation {
        outcome: Refused,
        ..put(2, 2, 3, 2)
    };
    good(&[put(1, 0, 1, 1), refused.clone(), get(1, 4, 5, 1)]);
    bad(&[put(1, 0, 1, 1), refused, get(1, 4, 5, 2)], &[2]);
}

#[test]
fn an_unknown_write_may_never_appear_or_appear_late() {
    let cut = put_cut(2, 2, 2);
    let answered = Operation {
        return_ns: Some(3),
        ..cut.clone()
    };
    for write in [cut, answered] {
        good(&[put(1, 0, 1, 1), write.clone(), get(1, 50, 51, 1)]);
        good(&[
            put(1, 0, 1, 1),
            write,
            get(1, 50, 51, 1),
            get(1, 60, 61, 2),
            get(3, 70, 71, 2),
        ]);
    }
}

#[test]
fn an_unknown_write_that_appears_vanishes_and_appears_again_is_found() {
    let history = [
        put(1, 0, 1, 1),
        put_cut(2, 2, 2),
        get(1, 10, 11, 2),
        get(1, 20, 21, 1),
        get(1, 30, 31, 2),
    ];
    // That it vanished is enough.
    bad(&history, &[0, 2, 3]);
    let overwritten = [
        put_cut(2, 2, 2),
        get(1, 10, 11, 2),
        put(1, 20, 21, 1),
        get(1, 30, 31, 2),
    ];
    bad(&overwritten, &[1, 2, 3]);
}

#[test]
fn unknown_writes_may_build_on_each_other() {
    let unknown = |at, change| Operation {
        return_ns: None,
        ..put_if_match(2, at, at, change, Unknown)
    };
    let chain = [
        put_cut(2, 0, 1),
        unknown(1, (1, 2)),
        unknown(2, (2, 3)),
        get(1, 10, 11, 3),
    ];
    good(&chain);
    bad(&chain[1..], &[2]);
}

#[test]
fn an_unknown_read_says_nothing() {
    let read = Operation {
        outcome: Unknown,
        ..get(1, 10, 11, 9)
    };
    good(&[put(1, 0, 1, 1), read]);
}

#[test]
fn a_delete_is_seen() {
    good(&[put(1, 0, 1, 1), delete(1, 2, 3), get(2, 4, 5, 0)]);
    bad(
        &[put(1, 0, 1, 1), delete(1, 2, 3), get(2, 4, 5, 1)],
        &[0, 1, 2],
    );
    bad(&[put(1, 0, 1, 1), get(2, 4, 5, 0)], &[0, 1]);
}

#[test]
fn keys_are_judged_apart_and_the_bad_one_is_named() {
    let other = |operation: Operation| Operation {
        key: "other".to_owned(),
        ..operation
    };
    let history = [put(1, 0, 1, 1), other(get(1, 2, 3, 0)), get(1, 4, 5, 1)];
    good(&history);
    let history = [put(1, 0, 1, 1), other(get(1, 2, 3, 1)), get(1, 4, 5, 1)];
    match check(&history, Budget::default()) {
        Verdict::Violation { key, .. } => assert_eq!(key, "other"),
        verdict => panic!("{verdict}"),
    }
}

/// Puts that all overlap, and a read of what none of them wrote: every subset must be tried.
fn hard(writers: u64) -> Vec<Operation> {
    let mut history: Vec<Operation> = (1..=writers)
        .flat_map(|n| {
            [
                put(n as u32, n, 1000 + n, n),
                get(50, 2000 + n, 2000 + n, n),
            ]
        })
        .collect();
    history.sort_by_key(|o| o.call_ns);
    history
}

#[test]
fn a_spent_budget_is_no_verdict() {
    let steps = Budget {
        steps: 100,
        ..Budget::default()
    };
    let bytes = Budget {
        bytes: 1000,
        ..Budget::default()
    };
    let verdict = check(&hard(12), steps);
    let spent = |why| Verdict::Unknown {
        key: "k".to_owned(),
        why,
    };
    assert_eq!(verdict, spent(Why::Steps(100)));
    assert!(!verdict.is_ok());
    assert_eq!(check(&hard(12), bytes), spent(Why::Bytes(1000)));
    assert!(matches!(
        check(&hard(12), Budget::default()),
        Verdict::Violation { .. }
    ));
}

#[test]
fn a_record_that_contradicts_itself_is_not_judged() {
    let verdict = check(&[put(1, 5, 4, 1)], Budget::default());
    assert!(
        matches!(
            &verdict,
            Verdict::Unknown {
                why: Why::Unsound { .. },
                ..
            }
        ),
        "{verdict}"
    );
}

#[test]
fn a_violation_comes_before_an_undecided_key() {
    let mut history = hard(12);
    history.push(Operation {
        key: "z".to_owned(),
        ..get(1, 0, 1, 3)
    });
    let budget = Budget {
        steps: 100,
        ..Budget::default()
    };
    assert!(matches!(check(&history, budget), Verdict::Violation { key, .. } if key == "z"));
}
