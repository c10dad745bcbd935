//! A region whose folder lacks what an earlier start had, and the buckets whose home it is: no
//! bucket with replicas is served until these have handed over what they have.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use types::{BucketDeed, BucketId, RegionId};

use crate::Status;

/// Whether this folder lacks what an earlier start had.
#[derive(Debug, Default)]
pub struct Behind {
    is_behind: AtomicBool,
    /// Whether the other regions have been asked since the start.
    asked: AtomicBool,
    /// Whether the data folder is a copy, and no other region has answered since.
    copied: AtomicBool,
    /// Buckets whose replicas have handed over what they have.
    settled: Mutex<HashSet<BucketId>>,
}

impl Behind {
    /// It lacks something, or not any more.
    pub fn falls(&self, behind: bool) {
        let mut settled = self.settled.lock();
        if self.is_behind.swap(behind, Ordering::SeqCst) != behind {
            settled.clear();
        }
    }

    /// Whether it does.
    pub fn is(&self) -> bool {
        self.is_behind.load(Ordering::SeqCst)
    }

    /// The folder is a copy of the one that was written last, so that it may lack something.
    pub fn is_copied(&self) {
        self.copied.store(true, Ordering::SeqCst);
    }

    /// So many other regions have been asked, each for a limited time, and so many have answered.
    /// A folder that is a copy waits for one answer, where there is anybody who could give it.
    /// Answers whether nothing more is waited for.
    pub fn others_asked(&self, others: usize, answered: usize) -> bool {
        let alone = others > 0 && answered == 0;
        let waits = self.copied.load(Ordering::SeqCst) && alone;
        if waits && !types::planted("copies-need-nobody") {
            return false;
        }
        self.copied.store(false, Ordering::SeqCst);
        self.asked.store(true, Ordering::SeqCst);
        true
    }

    /// Why region `here` is not to act as the home of the bucket yet: what another region remembers
    /// of its earlier starts may say that it lacks something.
    pub fn doubt_at_start(&self, here: &RegionId, deed: &BucketDeed) -> Option<String> {
        let waits = !self.asked.load(Ordering::SeqCst)
            && deed.home == *here
            && !deed.placement.replicas.is_empty();
        waits.then(|| {
            format!(
                "Region {here} has started, and no other region has said yet whether it lacks anything \
                 of bucket {}.",
                deed.name
            )
        })
    }

    /// Why region `here` is not to act as the home of the bucket now. `status` is what is known of
    /// replicas, if that is known already.
    pub fn doubt(
        &self,
        here: &RegionId,
        deed: &BucketDeed,
        status: Option<&Status>,
    ) -> Option<String> {
        if !self.is() || deed.home != *here || deed.placement.replicas.is_empty() {
            return None;
        }
        let mut settled = self.settled.lock();
        if settled.contains(&deed.id) {
            return None;
        }
        let missing: Vec<RegionId> = match status {
            Some(status) => status.not_compared(deed),
            None => {
                let copies = deed.placement.replicas.iter();
                copies.map(|replica| replica.region.clone()).collect()
            }
        };
        if missing.is_empty() {
            settled.insert(deed.id);
            return None;
        }
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        Some(format!(
            "The data folder of region {here} was put back to an older state: as the home of bucket \
             {} it waits until these replicas have handed over what they have: {}.",
            deed.name,
            missing.join(", ")
        ))
    }
}
