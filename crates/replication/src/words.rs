//! What is removed because another region reported it is put on record here before it goes, and in
//! the registry's audit log later: count and digest, again and again until it is there.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use access::Permit;
use objects::{Removed, ShippedChange, Word};
use tokio::time::Instant;
use types::{BucketDeed, BucketId, BucketName, Holding, RegionId};

use crate::{Replication, ReplicationError, follow::Follower, frames::Answer};

/// How often it is looked what the audit log does not know.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A line is reported so often at most: clients remove all the time.
const REPORT_EVERY: Duration = Duration::from_secs(3600);
/// After a registry that did not take it.
const AGAIN: Duration = Duration::from_secs(15);

/// What was removed of a bucket because one region reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnWordOf {
    /// The bucket.
    pub bucket: BucketName,
    /// Its number.
    pub id: BucketId,
    /// The region that said so.
    pub from: RegionId,
    /// The epoch of the last removal.
    pub epoch: u64,
    /// Removals in all.
    pub count: u64,
    /// SHA-256 of the list.
    pub digest: [u8; 32],
}

impl Follower {
    /// Puts on record what a page will remove, because the region that sent it reports that clients
    /// removed it there.
    pub(crate) async fn note_removed(
        &self,
        permit: &Permit,
        page: &Answer,
    ) -> Result<(), ReplicationError> {
        let removed = page.changes.iter().filter_map(|(_, change)| match change {
            ShippedChange::Removed { key, version, null } => Some(Removed {
                name: (key.clone(), *version),
                null: *null,
            }),
            _ => None,
        });
        let removed: Vec<Removed> = removed.collect();
        let (objects, region) = (&self.objects, &self.far.region);
        let noted = objects.note_on_word(permit, region, Word::Clients, &removed);
        Ok(noted.await?)
    }
}

impl Replication {
    /// Reports to the audit log what was removed because another region reported it. Never ends.
    pub(crate) async fn report_words(&self) {
        let mut next: BTreeMap<(BucketId, RegionId), Instant> = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let unreported = self.objects.unreported_words();
            let open: HashSet<BucketId> = unreported.iter().map(|(id, _, _)| *id).collect();
            next.retain(|(id, _), at| open.contains(id) || *at > Instant::now());
            for (id, name, region) in unreported {
                let line = (id, region.clone());
                if next.get(&line).is_some_and(|at| *at > Instant::now()) {
                    continue;
                }
                let deed = self.regions.deed(&name).filter(|deed| deed.id == id);
                let here = self.regions.here().region;
                let held = deed.filter(|deed| deed.holding(&here) != Holding::Nothing);
                let Some(deed) = held else {
                    continue;
                };
                let reported = self.report_words_of(&deed, &region).await;
                let pause = if reported { REPORT_EVERY } else { AGAIN };
                next.insert(line, Instant::now() + pause);
            }
        }
    }

    async fn report_words_of(&self, deed: &Arc<BucketDeed>, region: &RegionId) -> bool {
        let words = match self.objects.words(deed, region).await {
            Ok(words) => words,
            Err(error) => {
                tracing::warn!(bucket = %deed.name, %error, "a record of removals cannot be read");
                return false;
            }
        };
        let removed = OnWordOf {
            bucket: deed.name.clone(),
            id: deed.id,
            from: region.clone(),
            epoch: words.epoch,
            count: words.count,
            digest: words.digest,
        };
        if !self.regions.removed_on_word(&removed).await {
            return false;
        }
        let noted = self.objects.words_reported(deed, region, words.count);
        noted.await.is_ok()
    }
}
