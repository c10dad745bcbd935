//! The regions that a bucket has left, and whether they have said since that they removed what they
//! had of it: for whoever changes its placement, from the bucket's chain.

use std::collections::BTreeSet;

use serde_json::Value;
use types::{Actor, BucketDeed, BucketId, RegionId};

use crate::{
    CloudError, Registry,
    change::{Change, RowNow},
    kinds::{Record, deed::DeedRecord},
    receipts::ACTION,
};

/// The last entries of a chain that are read: who opens a page waits for them.
const READ_MAX: u64 = 500;

/// A region that a bucket has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// The region.
    pub region: RegionId,
    /// The entry of the audit log that took the bucket away from it.
    pub entry: u64,
    /// When that was, in milliseconds since 1970.
    pub at_ms: u64,
    /// What the region has said since; `None` while it has not.
    pub receipt: Option<Receipt>,
}

/// What a region says that has removed all that it had of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its entry of the audit log.
    pub entry: u64,
    /// When that was, in milliseconds since 1970.
    pub at_ms: u64,
    /// Rows that it removed.
    pub rows: u64,
}

impl Registry {
    /// The regions that a bucket has left in its present life and is not placed in again, by the
    /// last 500 entries about it; only where the registry is kept.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn departures(&self, deed: &BucketDeed) -> Result<Vec<Departure>, CloudError> {
        let (count, born_after) = self.chain_of(&deed.name).await?;
        let row = DeedRecord::key(&deed.name);
        let mut found = Departures::default();
        let mut at = born_after.max(count.saturating_sub(READ_MAX));
        while at < count {
            let numbers = self.chain_page(&deed.name, at).await?;
            let missing = || CloudError::Record(format!("an entry of the chain of {}", deed.name));
            if numbers.is_empty() {
                return Err(missing());
            }
            for number in numbers {
                at += 1;
                let change = self.changes(number, 1).await?.pop();
                let change = change.filter(|change| change.entry.number == number);
                found.take(&change.ok_or_else(missing)?, &row, deed.id);
            }
        }
        Ok(found.left)
    }
}

/// What a chain says so far.
#[derive(Default)]
struct Departures {
    held: BTreeSet<RegionId>,
    left: Vec<Departure>,
}

impl Departures {
    fn take(&mut self, change: &Change, row: &str, id: BucketId) {
        let entry = &change.entry;
        for found in change.rows.iter().filter(|found| found.key == row) {
            let RowNow::Value(value) = &found.now else {
                continue;
            };
            let deed = DeedRecord::read(value.as_bytes()).and_then(DeedRecord::into_deed);
            let Some(deed) = deed.ok().filter(|deed| deed.id == id) else {
                continue;
            };
            let held: BTreeSet<RegionId> = deed.holders().cloned().collect();
            self.left.retain(|one| !held.contains(&one.region));
            let gone = self.held.difference(&held).map(|region| Departure {
                region: region.clone(),
                entry: entry.number,
                at_ms: entry.at_ms,
                receipt: None,
            });
            self.left.extend(gone);
            self.held = held;
        }
        if entry.action != ACTION {
            return;
        }
        let mut left = self.left.iter_mut();
        let says =
            |one: &&mut Departure| Actor::Region(one.region.clone()).to_string() == entry.actor;
        if let Some(one) = left.find(says) {
            let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
            one.receipt = Some(Receipt {
                entry: entry.number,
                at_ms: entry.at_ms,
                rows: detail.get("rows").and_then(Value::as_u64).unwrap_or(0),
            });
        }
    }
}
