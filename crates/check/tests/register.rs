//! Made histories: of a correct register, of one with a planted fault, and of no register at all.
//! On short ones the checker must agree with the judge that tries every order.

#[path = "common/brute.rs"]
mod brute;
mod common;
#[path = "common/register.rs"]
mod made;

use std::{
    cell::Cell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use check::{
    Budget, Kind, Operation, Outcome, Value, Verdict, check, lost_acknowledged, resurrected,
};
use common::{delete, get, op, put};
use made::{Plan, faults, plans, run};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

fn judge(history: &[Operation]) -> Verdict {
    check(history, Budget::default())
}

/// Without this file on disk, a failure is still reproduced by its printed input.
fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_correct_register_is_linearizable(plans in plans(8, 0..200usize)) {
        let (history, _) = run(&plans, None);
        let verdict = judge(&history);
        prop_assert!(verdict.is_ok(), "{verdict}");
        prop_assert_eq!(resurrected(&history), vec![]);
    }

    #[test]
    fn json_lines_keep_a_history_as_it_is(plans in plans(4, 0..40usize)) {
        let (history, _) = run(&plans, None);
        let mut text = Vec::new();
        check::write(&mut text, &history).unwrap();
        prop_assert_eq!(check::read(&text[..]).unwrap(), history);
    }
}

/// Any operations at any times, most of them impossible together; this many of twelve end unknown.
fn anything(unknown: u8) -> impl Strategy<Value = Vec<Operation>> {
    let operation = (0..5u8, 0..10u64, 0..8u64, 0..4u64, 0..3u64, 0..12u8);
    let operation = operation.prop_map(move |(kind, call, length, a, b, end)| {
        let value = Value::from(a);
        let (kind, conditional) = match kind {
            0 => (Kind::Put { value }, false),
            1 => (Kind::PutIfAbsent { value }, true),
            2 => {
                let expected = Value::from(b);
                (Kind::PutIfMatch { expected, value }, true)
            }
            3 => (Kind::Delete, false),
            _ => {
                let found = (a > 0).then_some(value);
                (Kind::Get { found }, false)
            }
        };
        let outcome = match end {
            end if end < unknown => Outcome::Unknown,
            8.. if conditional => Outcome::PreconditionFailed,
            _ => Outcome::Ok,
        };
        op(1, (call, call + length), kind, outcome)
    });
    proptest::collection::vec(operation, 0..=7usize)
}

/// Both judges on many histories; how many had an order.
fn agree_on(count: u32, histories: impl Strategy<Value = Vec<Operation>>) -> u32 {
    let linearizable = Cell::new(0);
    let result = TestRunner::new(cases(count)).run(&histories, |history| {
        let verdict = judge(&history);
        let expected = brute::has_order(&history);
        linearizable.set(linearizable.get() + u32::from(expected));
        prop_assert_eq!(verdict.is_ok(), expected, "{}", verdict);
        if let Verdict::Violation { operations, .. } = verdict {
            explained(&history, &operations)?;
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    linearizable.get()
}

/// The history with less known of all that is not kept: a write was called, no more.
fn forget(history: &[Operation], kept: &[Operation]) -> Vec<Operation> {
    let mut kept = kept.to_vec();
    let weaken = |operation: &Operation| {
        if let Some(n) = kept.iter().position(|k| k == operation) {
            return kept.swap_remove(n);
        }
        let outcome = match operation.outcome {
            Outcome::PreconditionFailed => Outcome::Refused,
            Outcome::Ok => Outcome::Unknown,
            other => other,
        };
        Operation {
            outcome,
            ..operation.clone()
        }
    };
    history.iter().map(weaken).collect()
}

/// The named operations have no order whatever the others did, and each of them is needed.
fn explained(history: &[Operation], core: &[Operation]) -> Result<(), TestCaseError> {
    let rest = forget(history, core);
    prop_assert!(!brute::has_order(&rest), "explains nothing: {core:?}");
    let last = core.iter().filter_map(|o| o.return_ns).max();
    for n in 0..core.len() {
        let mut fewer = core.to_vec();
        fewer.remove(n);
        // What was called after the last operation of the core does not count.
        let mut rest = forget(history, &fewer);
        rest.retain(|o| last.is_some_and(|last| o.call_ns <= last));
        prop_assert!(
            brute::has_order(&rest),
            "not needed: {:?} of {core:?}",
            core[n]
        );
    }
    Ok(())
}

/// With too little to search with, there may be no verdict, but never a wrong one.
#[test]
fn a_small_budget_never_makes_a_verdict_wrong() {
    let counts = Cell::new([0; 3]);
    TestRunner::new(cases(4000))
        .run(&(anything(3), 1..75u64), |(history, steps)| {
            let budget = Budget {
                steps,
                ..Budget::default()
            };
            let verdict = check(&history, budget);
            let place = match &verdict {
                Verdict::Ok => 0,
                Verdict::Violation { .. } => 1,
                Verdict::Unknown { .. } => 2,
            };
            let mut all = counts.get();
            all[place] += 1;
            counts.set(all);
            match verdict {
                Verdict::Ok => prop_assert!(brute::has_order(&history)),
                Verdict::Violation { operations, .. } => {
                    let rest = forget(&history, &operations);
                    prop_assert!(!brute::has_order(&rest), "explains nothing: {operations:?}");
                }
                Verdict::Unknown { .. } => {}
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(counts.get().iter().all(|n| *n > 100), "{:?}", counts.get());
}

#[test]
fn both_judges_agree_on_anything() {
    for unknown in [2, 6] {
        let linearizable = agree_on(5000, anything(unknown));
        // Else one half of the comparison would be empty.
        assert!((500..4500).contains(&linearizable), "{linearizable}");
    }
}

#[test]
fn both_judges_agree_on_a_register_with_one_fault() {
    let faulty = (plans(4, 0..=7usize), faults()).prop_map(|(plans, fault)| {
        let (history, _) = run(&plans, Some(fault));
        history
    });
    let linearizable = agree_on(6000, faulty);
    assert!((500..5900).contains(&linearizable), "{linearizable}");
}

#[test]
fn both_judges_agree_that_a_short_correct_history_is_linearizable() {
    assert_eq!(
        agree_on(2000, plans(5, 0..=7usize).prop_map(|p| run(&p, None).0)),
        2000
    );
}

/// What the cheap questions find, the full check finds too.
#[test]
fn what_is_lost_or_comes_back_is_never_linearizable() {
    let faulty = (plans(4, 0..=30usize), faults());
    let found = Cell::new((0, 0));
    TestRunner::new(cases(3000))
        .run(&faulty, |(plans, fault)| {
            let (mut history, _) = run(&plans, Some(fault));
            let back = !resurrected(&history).is_empty();
            prop_assert!(!back || !judge(&history).is_ok());
            let end = history
                .iter()
                .filter_map(|o| o.return_ns)
                .max()
                .unwrap_or(0)
                + 1;
            let state = history.iter().rev().find_map(|o| match &o.kind {
                Kind::Get { found } if o.outcome == Outcome::Ok => Some(found.clone()),
                _ => None,
            });
            let Some(state) = state else {
                return Ok(());
            };
            let last: BTreeMap<_, _> = state.iter().map(|v| ("k".to_owned(), v.clone())).collect();
            let lost = !lost_acknowledged(&history, &last).is_empty();
            history.push(op(9, (end, end), Kind::Get { found: state }, Outcome::Ok));
            prop_assert!(!lost || !judge(&history).is_ok());
            let (a, b) = found.get();
            found.set((a + u32::from(back), b + u32::from(lost)));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let (back, lost) = found.get();
    assert!(back > 50 && lost > 50, "{back} came back, {lost} lost");
}

/// One client after the other: here every planted fault that shows must be found.
#[test]
fn a_skipped_write_that_is_read_back_is_found() {
    let plan = |action| Plan {
        client: 1,
        action,
        waits: [1, 1, 1],
        end: 9,
        pick: 0,
    };
    let (history, struck) = run(&[plan(0), plan(4)], Some(made::Fault::SkipWrite(0)));
    assert!(struck && !judge(&history).is_ok());
    let (history, struck) = run(&[plan(0), plan(4)], Some(made::Fault::OldValue(0)));
    assert!(struck && !judge(&history).is_ok());
    let twice = [plan(1), plan(1)];
    let (history, struck) = run(&twice, Some(made::Fault::ConditionIgnored(0)));
    assert!(struck && !judge(&history).is_ok());
}

/// 20,000 operations of 16 clients over so many keys; the plans of a key follow each other.
fn large(keys: usize) -> Vec<Operation> {
    let mut runner = TestRunner::deterministic();
    let each = 20_000 / keys;
    (0..keys)
        .flat_map(|key| {
            let tree = plans(16, each).new_tree(&mut runner);
            let plans = tree.map_or_else(|why| panic!("{why}"), |tree| tree.current());
            let (history, _) = run(&plans, None);
            history.into_iter().map(move |operation| Operation {
                key: format!("key-{key}"),
                ..operation
            })
        })
        .collect()
}

/// The time it takes to find these operations, called after all others, to be a violation.
fn time_of_violation(history: &[Operation], last: &[Operation]) -> Duration {
    let key = history.last().map_or("k", |o| &o.key);
    let end = history.iter().filter_map(|o| o.return_ns).max();
    let shift = end.unwrap_or(0) + 1;
    let last = last.iter().map(|o| Operation {
        key: key.to_owned(),
        call_ns: o.call_ns + shift,
        return_ns: o.return_ns.map(|end| end + shift),
        ..o.clone()
    });
    let history: Vec<Operation> = history.iter().cloned().chain(last).collect();
    let start = Instant::now();
    let verdict = judge(&history);
    let took = start.elapsed();
    println!("{took:?}: {verdict}");
    let Verdict::Violation { operations, .. } = verdict else {
        panic!("{verdict}");
    };
    assert!(operations.len() <= 4, "{operations:?}");
    took
}

#[test]
fn twenty_thousand_operations_take_seconds_at_most() {
    const FIRST: u64 = 1_000_000;
    let back = [put(1, 0, 1, FIRST), delete(1, 2, 3), get(1, 4, 5, FIRST)];
    let nowhere = [get(1, 0, 1, FIRST)];
    // Needs the whole search: each read alone may see either state.
    let to_and_fro = [
        put(1, 0, 1, FIRST),
        put(1, 10, 90, FIRST + 1),
        get(2, 20, 30, FIRST + 1),
        get(3, 40, 50, FIRST),
    ];
    for keys in [50, 1] {
        let history = large(keys);
        let start = Instant::now();
        let verdict = judge(&history);
        assert!(verdict.is_ok(), "{verdict}");
        let mut slowest = start.elapsed();
        println!("{keys} keys: {slowest:?}");
        slowest = slowest.max(time_of_violation(&history, &back));
        slowest = slowest.max(time_of_violation(&history, &nowhere));
        if keys > 1 {
            slowest = slowest.max(time_of_violation(&history, &to_and_fro));
        }
        // Far above what it takes, for machines under load.
        assert!(slowest < Duration::from_secs(30), "{slowest:?}");
    }
}
