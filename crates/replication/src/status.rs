//! How copies are doing: what their regions say that they have applied, and what this region has.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use types::{BucketDeed, BucketId, RegionId};

/// A copy that has not asked for so long counts as out of touch.
const SILENT: Duration = Duration::from_secs(60);

/// What a region that follows is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyState {
    /// It has not begun.
    Waiting,
    /// It takes a snapshot.
    Seeding,
    /// It follows the log.
    Following,
    /// It cannot go on for now.
    Stopped,
}

/// A copy, as the source knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Where it is.
    pub region: String,
    /// All up to this position of the source's log is applied there; `None` while it is seeded.
    pub applied: Option<u64>,
    /// Whether it asked lately.
    pub in_touch: bool,
    /// Changes that it has not applied; `None` when that cannot be told.
    pub behind: Option<u64>,
    /// Keys of such changes, the first few; only for those who may see names.
    pub lagging: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Acked {
    epoch: u64,
    position: u64,
    at: Instant,
}

/// A bucket that is followed here.
#[derive(Debug, Clone)]
pub struct Following {
    /// The region that is followed.
    pub source: RegionId,
    /// What it is at.
    pub state: CopyState,
    /// The last failure.
    pub error: Option<String>,
    /// Versions that snapshots have brought.
    pub seeded: u64,
    /// Changes applied since the start.
    pub applied: u64,
    /// Milliseconds from when the last change was written to when it was applied here.
    pub lag_ms: u64,
    /// Whether all that was applied is noted: false in the midst of a page of changes.
    pub settled: bool,
}

/// Kept in memory: who asks anew after a start is known anew.
#[derive(Default)]
pub struct Status {
    acked: RwLock<HashMap<(BucketId, RegionId), Acked>>,
    following: RwLock<HashMap<BucketId, Following>>,
}

impl Status {
    /// A region has applied all up to `position`.
    pub(crate) fn acked(&self, deed: &BucketDeed, region: &RegionId, position: u64) {
        let at = Acked {
            epoch: deed.epoch,
            position,
            at: Instant::now(),
        };
        self.acked.write().insert((deed.id, region.clone()), at);
    }

    /// Whether every copy of the bucket has applied all up to `position`. Never before it is so.
    pub fn replicated(&self, deed: &BucketDeed, position: u64) -> bool {
        let acked = self.acked.read();
        deed.placement.replicas.iter().all(|replica| {
            let found = acked.get(&(deed.id, replica.region.clone()));
            found.is_some_and(|a| a.epoch == deed.epoch && a.position >= position)
        })
    }

    /// The copies of a bucket whose home is here.
    pub fn copies(&self, deed: &BucketDeed) -> Vec<CopyStatus> {
        let acked = self.acked.read();
        let copy = |region: &RegionId| {
            let found = acked.get(&(deed.id, region.clone()));
            let found = found.filter(|a| a.epoch == deed.epoch);
            CopyStatus {
                region: region.to_string(),
                applied: found.map(|a| a.position),
                in_touch: found.is_some_and(|a| a.at.elapsed() < SILENT),
                behind: None,
                lagging: Vec::new(),
            }
        };
        let replicas = deed.placement.replicas.iter();
        replicas.map(|r| copy(&r.region)).collect()
    }

    /// Whether the copy here is as the source was at the position that is noted. Read this before
    /// that position: the note is made first.
    pub fn settled(&self, id: BucketId) -> bool {
        self.following.read().get(&id).is_some_and(|f| f.settled)
    }

    /// The buckets that are followed here.
    pub fn following(&self) -> Vec<(BucketId, Following)> {
        let all = self.following.read();
        all.iter().map(|(id, f)| (*id, f.clone())).collect()
    }

    pub(crate) fn follow(&self, id: BucketId, source: &RegionId, change: impl Fn(&mut Following)) {
        let mut all = self.following.write();
        let one = all.entry(id).or_insert_with(|| Following {
            source: source.clone(),
            state: CopyState::Waiting,
            error: None,
            seeded: 0,
            applied: 0,
            lag_ms: 0,
            settled: false,
        });
        one.source = source.clone();
        change(one);
    }

    /// Forgets what was said of buckets that are gone.
    pub(crate) fn keep(&self, known: &HashSet<BucketId>) {
        self.acked.write().retain(|(id, _), _| known.contains(id));
    }

    pub(crate) fn forget(&self, id: BucketId) {
        self.following.write().remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{AccountId, BucketName, Placement, Replica, Timestamp};

    #[test]
    fn what_copies_said_is_kept_while_their_bucket_is_there() {
        let copy = RegionId::new("copy");
        let deed = BucketDeed {
            id: BucketId(1),
            name: BucketName::new("papers").unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("home"),
            created: Timestamp::default(),
            epoch: 1,
            placement: Placement {
                replicas: vec![Replica {
                    region: copy.clone(),
                    sealed_by: None,
                }],
                ..Placement::default()
            },
        };
        let status = Status::default();
        status.acked(&deed, &copy, 7);
        status.keep(&HashSet::from([deed.id]));
        assert!(status.replicated(&deed, 7) && !status.replicated(&deed, 8));
        status.keep(&HashSet::new());
        assert!(!status.replicated(&deed, 7) && status.acked.read().is_empty());
    }
}
