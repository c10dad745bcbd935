//! Why a history has no order: the fewest operations that show it.
//!
//! To know less about an operation (that a write was called, but not how it ended; of a read,
//! nothing) can only make more orders possible. So operations are left out one after the other for
//! as long as there is still no order, and what remains contradicts itself whatever the rest did.

use std::fmt::Write as _;

use crate::{
    budget::Budget,
    history::{Operation, Value},
    search::{Found, Known, search},
    session::{come_back, from_nowhere},
};

/// Of the steps that are left, one search of a reduction may use one part in this many.
const SHARE: u64 = 16;

/// The operations that cannot be explained together, in order of call. `budget` is for the whole
/// reduction: when it is spent, what is left still contradicts itself, but might not be the fewest.
pub(crate) fn core<'a>(operations: &[&'a Operation], mut budget: Budget) -> Vec<&'a Operation> {
    let mut all: Vec<&Operation> = operations.to_vec();
    all.sort_by_key(|o| o.call_ns);
    let kept = shortest_prefix(&all, &mut budget);
    all.truncate(kept.len());
    let kept = forget(&all, kept, &mut budget);
    chosen(&all, &kept)
}

/// A value that came from nowhere, or came back, is seen without a search; the search only
/// confirms it, on the few operations that it takes. Nothing when there is no such value.
pub(crate) fn obvious<'a>(
    operations: &[&'a Operation],
    mut budget: Budget,
) -> Option<Vec<&'a Operation>> {
    let (read, change) = match from_nowhere(operations).first() {
        Some(read) => (*read, None),
        None => {
            let (read, change) = come_back(operations).into_iter().next()?;
            (read, Some(change))
        }
    };
    let value = read.kind.observes();
    let end = read.answered_ns()?;
    let mut all: Vec<&Operation> = operations.to_vec();
    all.retain(|o| o.call_ns <= end);
    all.sort_by_key(|o| o.call_ns);
    let kept: Vec<bool> = all
        .iter()
        .map(|o| {
            let same = o.kind.observes() == value || o.kind.leaves().flatten() == value;
            let between = change.is_some_and(|change| std::ptr::eq(*o, change));
            between || (same && o.answered_ns().is_some_and(|at| at <= end))
        })
        .collect();
    at_odds(&all, &kept, &mut budget).then(|| {
        let kept = forget(&all, kept, &mut budget);
        chosen(&all, &kept)
    })
}

fn chosen<'a>(all: &[&'a Operation], kept: &[bool]) -> Vec<&'a Operation> {
    let pairs = all.iter().zip(kept);
    pairs.filter(|(_, kept)| **kept).map(|(o, _)| *o).collect()
}

/// Whether there is surely no order when only the kept operations are known fully.
fn at_odds(all: &[&Operation], kept: &[bool], budget: &mut Budget) -> bool {
    let known: Vec<(&Operation, Known)> = all
        .iter()
        .zip(kept)
        .map(|(o, kept)| (*o, if *kept { Known::Fully } else { Known::CallOnly }))
        .collect();
    // One hard question must not use up what many easy ones need.
    let share = budget.steps.div_ceil(SHARE);
    let mut own = Budget {
        steps: share,
        ..*budget
    };
    let found = search(&known, &mut own);
    budget.spend(share - own.steps);
    found == Found::NoOrder
}

/// Cuts the history at the earliest answer by which it has no order: later calls are dropped, and
/// what had no answer yet is not kept. One flag per operation that is left.
fn shortest_prefix(all: &[&Operation], budget: &mut Budget) -> Vec<bool> {
    let mut ends: Vec<u64> = all.iter().filter_map(|o| o.answered_ns()).collect();
    ends.sort_unstable();
    ends.dedup();
    let cut = |end: u64| -> Vec<bool> {
        all.iter()
            .take_while(|o| o.call_ns <= end)
            .map(|o| o.answered_ns().is_some_and(|answered| answered <= end))
            .collect()
    };
    let (mut low, mut high) = (0, ends.len().saturating_sub(1));
    while low < high {
        let middle = low.midpoint(high);
        let kept = cut(ends[middle]);
        if at_odds(&all[..kept.len()], &kept, budget) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    ends.get(high).map_or_else(Vec::new, |end| cut(*end))
}

/// Leaves out what changed nothing, then the rest: the fewer values were looked at, the easier the
/// search. Of both, large pieces first, then smaller ones, then single operations.
fn forget(all: &[&Operation], mut kept: Vec<bool>, budget: &mut Budget) -> Vec<bool> {
    for changes in [false, true] {
        let mut piece = all.len().div_ceil(2).max(1);
        loop {
            let candidates: Vec<usize> = (0..all.len())
                .filter(|n| kept[*n] && all[*n].may_change() == changes)
                .collect();
            for chosen in candidates.chunks(piece) {
                if budget.steps == 0 {
                    return kept;
                }
                let mut fewer = kept.clone();
                chosen.iter().for_each(|n| fewer[*n] = false);
                if at_odds(all, &fewer, budget) {
                    kept = fewer;
                }
            }
            if piece == 1 {
                break;
            }
            piece = piece.div_ceil(2);
        }
    }
    kept
}

/// The report of a violation. Times are nanoseconds since the first call shown.
pub(crate) fn text(key: &str, operations: &[&Operation], core: &[&Operation]) -> String {
    let sources = sources(operations, core);
    let start = core
        .iter()
        .chain(&sources)
        .map(|o| o.call_ns)
        .min()
        .unwrap_or_default();
    let mut text = format!(
        "key {key:?}: not linearizable. No order explains these operations, whatever the other {} \
         of this key did:\n",
        operations.len() - core.len(),
    );
    let mut line = |operation: &Operation| {
        let end = operation
            .return_ns
            .map_or_else(String::new, |end| format!("+{}", end.saturating_sub(start)));
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "  [{:>10} .. {:>10}] {operation}",
            format!("+{}", operation.call_ns - start),
            end,
        );
    };
    core.iter().for_each(|o| line(o));
    if !sources.is_empty() {
        text.push_str("where those values come from:\n");
        let mut line = |operation: &Operation| {
            let _ = writeln!(
                text,
                "  [{:>10}] {operation}",
                format!("+{}", operation.call_ns - start)
            );
        };
        sources.iter().for_each(|o| line(o));
    }
    for value in observed(core) {
        if !operations.iter().any(|o| writes(o, value)) {
            let _ = writeln!(text, "nobody wrote {value}");
        }
    }
    let _ = write!(text, "times are nanoseconds since {start}");
    text
}

fn observed<'a>(core: &[&'a Operation]) -> impl Iterator<Item = &'a Value> {
    core.iter().filter_map(|o| o.kind.observes())
}

fn writes(operation: &Operation, value: &Value) -> bool {
    operation.kind.leaves() == Some(Some(value))
}

/// The writes, outside the core, of the values that the core saw.
fn sources<'a>(operations: &[&'a Operation], core: &[&'a Operation]) -> Vec<&'a Operation> {
    let mut sources: Vec<&Operation> = observed(core)
        .flat_map(|value| operations.iter().filter(move |o| writes(o, value)))
        .copied()
        .filter(|o| !core.iter().any(|shown| std::ptr::eq(*shown, *o)))
        .collect();
    sources.sort_by_key(|o| (o.call_ns, o.client));
    sources.dedup_by(|a, b| std::ptr::eq(*a, *b));
    sources
}
