//! How far each destination has come: kept in memory by whoever ships, and what a version's
//! replication status is by it.

use std::collections::{BTreeMap, HashMap};

use parking_lot::RwLock;
use types::{BucketId, BucketName};

/// How far a destination has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleProgress {
    /// The configuration that it is about.
    pub generation: u64,
    /// All that the bucket's log has up to here was looked at, and what goes has arrived.
    pub position: u64,
    /// Versions that were there before the configuration are still looked at.
    pub scanning: bool,
    /// Why nothing can go now, for good unless something is changed.
    pub refused: Option<String>,
    /// Changes of the log that were not looked at, counted now and then.
    pub pending: u64,
    /// Versions shipped since the start.
    pub shipped: u64,
    /// Their bytes.
    pub shipped_bytes: u64,
    /// Versions that could not be shipped since the start, each by itself.
    pub failed: u64,
    /// Milliseconds from when the last one was written to when it had arrived.
    pub lag_ms: u64,
}

/// What came of a version by the bucket's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleStatus {
    /// It came by a rule itself.
    Replica,
    /// No rule is about it.
    None,
    /// It has not arrived everywhere.
    Pending,
    /// It has arrived everywhere.
    Completed,
    /// It cannot arrive somewhere unless something is changed.
    Failed,
}

type All = HashMap<BucketId, BTreeMap<BucketName, RuleProgress>>;

/// The progress of every bucket with rules whose home is here.
#[derive(Debug, Default)]
pub struct RuleStates(RwLock<All>);

impl RuleStates {
    /// Changes what is known of one destination of a bucket.
    pub fn change(&self, id: BucketId, to: &BucketName, change: impl FnOnce(&mut RuleProgress)) {
        let mut all = self.0.write();
        change(all.entry(id).or_default().entry(to.clone()).or_default());
    }

    /// Nothing is shipped there any more.
    pub fn forget(&self, id: BucketId, to: &BucketName) {
        let mut all = self.0.write();
        if let Some(of) = all.get_mut(&id) {
            of.remove(to);
            if of.is_empty() {
                all.remove(&id);
            }
        }
    }

    /// What is known of one destination.
    pub fn of(&self, id: BucketId, to: &BucketName) -> Option<RuleProgress> {
        self.0.read().get(&id)?.get(to).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<(BucketId, BucketName, RuleProgress)> {
        let all = self.0.read();
        let each = all.iter().flat_map(|(id, of)| {
            of.iter()
                .map(|(to, progress)| (*id, to.clone(), progress.clone()))
        });
        each.collect()
    }
}
