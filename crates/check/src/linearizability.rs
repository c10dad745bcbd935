//! Is there one order of a history's operations that agrees with real time and explains every
//! answer? Judged key by key: a history is linearizable when each of its keys is (Herlihy and
//! Wing's locality).

use std::fmt;

use crate::{
    budget::Budget,
    explain,
    history::{Operation, by_key},
    search::{Found, Known, search},
};

/// Which part of a [`Budget`] was spent, or why a history cannot be judged at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// All steps were used.
    #[error("{0} steps were not enough")]
    Steps(u64),
    /// All memory was used.
    #[error("{0} bytes of memory were not enough")]
    Bytes(usize),
    /// A record contradicts itself.
    #[error("the record of client {client} at {call_ns} ns is unsound: {source}")]
    Unsound {
        /// Whose.
        client: u32,
        /// When it was called, in nanoseconds.
        call_ns: u64,
        /// What is wrong.
        source: crate::Unsound,
    },
}

/// What a history was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// One order explains every answer.
    Ok,
    /// No order does.
    Violation {
        /// The key that shows it.
        key: String,
        /// Operations that cannot be explained together, whatever became of all others; none of
        /// them can be left out. In order of call.
        operations: Vec<Operation>,
        /// The same, to be read.
        text: String,
    },
    /// Not decided. To be treated as a failure.
    Unknown {
        /// The first key that was not decided.
        key: String,
        /// What kept it from being decided.
        why: Why,
    },
}

impl Verdict {
    /// Whether it is `Ok`: an undecided history is not.
    pub fn is_ok(&self) -> bool {
        matches!(self, Verdict::Ok)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Ok => f.write_str("linearizable"),
            Verdict::Violation { text, .. } => f.write_str(text),
            Verdict::Unknown { key, why } => write!(f, "key {key:?}: not decided: {why}"),
        }
    }
}

/// Judges a history of any number of keys. `budget` is for each key.
///
/// A violation of any key comes before an undecided other key.
pub fn check(history: &[Operation], budget: Budget) -> Verdict {
    let mut undecided = None;
    for (key, operations) in by_key(history) {
        match check_key(key, &operations, budget) {
            Verdict::Ok => {}
            violation @ Verdict::Violation { .. } => return violation,
            unknown @ Verdict::Unknown { .. } => undecided = undecided.or(Some(unknown)),
        }
    }
    undecided.unwrap_or(Verdict::Ok)
}

fn check_key(key: &str, operations: &[&Operation], budget: Budget) -> Verdict {
    let unknown = |why| Verdict::Unknown {
        key: key.to_owned(),
        why,
    };
    for operation in operations {
        if let Err(source) = operation.validate() {
            return unknown(Why::Unsound {
                client: operation.client,
                call_ns: operation.call_ns,
                source,
            });
        }
    }
    let violation = |core: Vec<&Operation>| Verdict::Violation {
        key: key.to_owned(),
        text: explain::text(key, operations, &core),
        operations: core.into_iter().cloned().collect(),
    };
    if let Some(core) = explain::obvious(operations, budget) {
        return violation(core);
    }
    let all: Vec<(&Operation, Known)> = operations.iter().map(|o| (*o, Known::Fully)).collect();
    match search(&all, &mut budget.clone()) {
        Found::Order => Verdict::Ok,
        Found::StepsSpent => unknown(Why::Steps(budget.steps)),
        Found::BytesSpent => unknown(Why::Bytes(budget.bytes)),
        Found::NoOrder => violation(explain::core(operations, budget)),
    }
}
