//! Cheaper questions than linearizability, with answers that name the culprit: is anything lost,
//! did anything come back, do the regions agree.
//!
//! They rely on every value being written once; a value with several writers is only judged by
//! what holds for all of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use crate::history::{Operation, Outcome, Value, by_key};

/// An acknowledged write whose effect is gone without a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The write, or the delete.
    pub operation: Operation,
    /// What the key holds in the end.
    pub found: Option<Value>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "key {:?}: lost: {}; ",
            self.operation.key, self.operation
        )?;
        match &self.found {
            Some(value) => write!(
                f,
                "in the end it holds {value}, which came before, or nowhere"
            ),
            None => f.write_str("in the end it holds nothing, and nobody deleted it after that"),
        }
    }
}

/// A value that was read after it had been replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resurrected {
    /// The read.
    pub read: Operation,
    /// The acknowledged write or delete that came between the value and its read.
    pub replaced_by: Operation,
}

impl fmt::Display for Resurrected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, replaced_by } = self;
        write!(
            f,
            "key {:?}: came back: {read}, after {replaced_by}",
            read.key
        )
    }
}

/// By when a value's write must have happened: its answer, or the first answer that showed it.
/// `u64::MAX` when nothing shows it. Values that nobody wrote are not there.
fn settled<'a>(operations: &[&'a Operation]) -> HashMap<&'a Value, u64> {
    let mut writers: HashMap<&Value, (usize, u64)> = HashMap::new();
    for operation in operations.iter().filter(|o| o.may_change()) {
        if let Some(Some(value)) = operation.kind.leaves() {
            let (count, latest) = writers.entry(value).or_insert((0, 0));
            *count += 1;
            *latest = (*latest).max(operation.answered_ns().unwrap_or(u64::MAX));
        }
    }
    for operation in operations.iter().filter(|o| o.outcome == Outcome::Ok) {
        let seen = operation.kind.observes().and_then(|v| writers.get_mut(v));
        // With several writers, seeing the value does not show whose it was.
        if let (Some((1, latest)), Some(answered)) = (seen, operation.answered_ns()) {
            *latest = (*latest).min(answered);
        }
    }
    writers.into_iter().map(|(v, (_, at))| (v, at)).collect()
}

/// Acknowledged writes and deletes that should have left their mark on the final state: none of
/// the writes that left what is there, known or unknown, can have come after them.
///
/// `last` is the whole state after the last operation; a key that is not in it holds nothing.
pub fn lost_acknowledged(history: &[Operation], last: &BTreeMap<String, Value>) -> Vec<Lost> {
    let mut lost = Vec::new();
    for (key, operations) in by_key(history) {
        let found = last.get(key);
        let latest = match found {
            Some(value) => settled(&operations).get(value).copied(),
            None => operations
                .iter()
                .filter(|o| o.may_change() && o.kind.leaves() == Some(None))
                .map(|o| o.answered_ns().unwrap_or(u64::MAX))
                .max(),
        };
        for operation in operations.iter().filter(|o| o.outcome == Outcome::Ok) {
            let Some(left) = operation.kind.leaves() else {
                continue;
            };
            let explained = left == found || latest.is_some_and(|end| end >= operation.call_ns);
            if !explained {
                lost.push(Lost {
                    operation: (*operation).clone(),
                    found: found.cloned(),
                });
            }
        }
    }
    lost
}

/// Reads that found a value although an acknowledged write or delete is wholly between every write
/// of that value and the read. A conditional write that found the value it expects is a read too.
pub fn resurrected(history: &[Operation]) -> Vec<Resurrected> {
    by_key(history)
        .into_values()
        .flat_map(|operations| come_back(&operations))
        .map(|(read, change)| Resurrected {
            read: read.clone(),
            replaced_by: change.clone(),
        })
        .collect()
}

/// The same for one key: each read, and what came between.
pub(crate) fn come_back<'a>(operations: &[&'a Operation]) -> Vec<(&'a Operation, &'a Operation)> {
    let settled = settled(operations);
    let done = || operations.iter().filter(|o| o.outcome == Outcome::Ok);
    let mut changes: Vec<(u64, &Operation)> = done()
        .filter(|o| o.may_change())
        .filter_map(|o| o.answered_ns().map(|at| (at, *o)))
        .collect();
    changes.sort_by_key(|(answered, _)| *answered);
    let mut reads: Vec<(&Operation, &Value)> = done()
        .filter_map(|o| o.kind.observes().map(|value| (*o, value)))
        .collect();
    reads.sort_by_key(|(read, _)| read.call_ns);
    let mut changes = changes.into_iter().peekable();
    // Of the changes answered before the read's call, the one called last.
    let mut last: Option<&Operation> = None;
    let mut found = Vec::new();
    for (read, value) in reads {
        while let Some((_, change)) = changes.next_if(|(at, _)| *at < read.call_ns) {
            if last.is_none_or(|l| l.call_ns < change.call_ns) {
                last = Some(change);
            }
        }
        if let (Some(change), Some(at)) = (last, settled.get(value))
            && *at < change.call_ns
        {
            found.push((read, change));
        }
    }
    found
}

/// Of one key: reads of a value that nobody had begun to write when they were answered.
pub(crate) fn from_nowhere<'a>(operations: &[&'a Operation]) -> Vec<&'a Operation> {
    let mut begun: HashMap<&Value, u64> = HashMap::new();
    for operation in operations.iter().filter(|o| o.may_change()) {
        if let Some(Some(value)) = operation.kind.leaves() {
            let first = begun.entry(value).or_insert(u64::MAX);
            *first = (*first).min(operation.call_ns);
        }
    }
    let early = |read: &&Operation| {
        let begun = |value| begun.get(value).copied().unwrap_or(u64::MAX);
        let answered = read.answered_ns().unwrap_or(u64::MAX);
        read.kind.observes().is_some_and(|v| begun(v) > answered)
    };
    let done = operations.iter().filter(|o| o.outcome == Outcome::Ok);
    done.copied().filter(early).collect()
}

/// One key in one region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyVersions {
    /// The version that a plain read finds; `None` when it finds nothing.
    pub current: Option<String>,
    /// All versions, delete markers too.
    pub versions: BTreeSet<String>,
}

/// All keys of one region. A key that is not there has no versions.
pub type RegionState = BTreeMap<String, KeyVersions>;

/// One thing in which regions differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The current version.
    Current {
        /// Of which key.
        key: String,
        /// What each region has.
        regions: BTreeMap<String, Option<String>>,
    },
    /// A version that only some regions have.
    Version {
        /// Of which key.
        key: String,
        /// The version.
        version: String,
        /// Regions that have it.
        present: Vec<String>,
        /// Regions that have not.
        absent: Vec<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Current { key, regions } => {
                write!(f, "key {key:?}: current version:")?;
                for (region, version) in regions {
                    write!(f, " {region}={}", version.as_deref().unwrap_or("nothing"))?;
                }
                Ok(())
            }
            Difference::Version {
                key,
                version,
                present,
                absent,
            } => write!(
                f,
                "key {key:?}: version {version} is in {} but not in {}",
                present.join(", "),
                absent.join(", ")
            ),
        }
    }
}

/// Every difference between the regions, by key: none when all have the same current version and
/// the same set of versions of every key.
pub fn converged(regions: &BTreeMap<String, RegionState>) -> Vec<Difference> {
    let nothing = KeyVersions::default();
    let keys: BTreeSet<&String> = regions.values().flat_map(BTreeMap::keys).collect();
    let mut differences = Vec::new();
    for key in keys {
        let each: Vec<(&String, &KeyVersions)> = regions
            .iter()
            .map(|(name, state)| (name, state.get(key).unwrap_or(&nothing)))
            .collect();
        if each.windows(2).any(|w| w[0].1.current != w[1].1.current) {
            differences.push(Difference::Current {
                key: key.clone(),
                regions: each
                    .iter()
                    .map(|(name, state)| ((*name).clone(), state.current.clone()))
                    .collect(),
            });
        }
        let versions: BTreeSet<&String> = each.iter().flat_map(|(_, s)| &s.versions).collect();
        for version in versions {
            let (has, lacks): (Vec<_>, Vec<_>) = each
                .iter()
                .partition(|(_, state)| state.versions.contains(version));
            if !lacks.is_empty() {
                let names = |part: Vec<(&String, &KeyVersions)>| {
                    part.into_iter().map(|(name, _)| name.clone()).collect()
                };
                differences.push(Difference::Version {
                    key: key.clone(),
                    version: version.clone(),
                    present: names(has),
                    absent: names(lacks),
                });
            }
        }
    }
    differences
}
