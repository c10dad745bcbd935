//! Receipts: a region where a bucket is not placed any more says that it has removed what lay
//! there, and the audit log keeps that. The region's identity is proven by its certificate, and
//! that there was anything to remove by the registry's own log: it has to have placed this bucket
//! in that region and to have taken it away. Each such removal has one receipt.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use serde_json::json;
use types::{Actor, BucketDeed, BucketId, BucketName, Deeds, Holding, RegionId};

use crate::{
    CloudError, Registry,
    change::{Change, Draft},
    evidence::Past,
    kinds::{Record, deed::DeedRecord},
    link::{Ask, RegistryAnswer},
    registry::Keeper,
};

/// What such an entry is called.
pub(crate) const ACTION: &str = "bucket.removed";
/// A receipt does not wait without a limit for a bucket that changes all the time.
const ROUNDS_MAX: usize = 20;
/// Chains of which it is remembered what was read.
const REMEMBERED_MAX: usize = 10_000;
/// Shorter ones are soon read again, and are dropped first.
const SHORT: u64 = 100;

impl Registry {
    /// Puts on record that this region has removed what lay here of a bucket.
    ///
    /// # Errors
    /// The registry's region does not answer, or knows another placement.
    pub async fn report_removed(
        &self,
        name: &BucketName,
        id: BucketId,
        epoch: u64,
        rows: u64,
    ) -> Result<(), CloudError> {
        let Keeper::There(upstream) = &self.keeper else {
            let own = RegionId::new(self.own());
            return self.record_removed(&own, name, id, epoch, rows).await;
        };
        let ask = Ask::Removed {
            name: name.to_string(),
            id: id.0,
            epoch,
            rows,
        };
        match upstream.ask(ask).await? {
            RegistryAnswer::Done => Ok(()),
            RegistryAnswer::Refused(why) => Err(CloudError::Refused(why)),
            _ => Err(CloudError::Unavailable(
                "an answer to another question".into(),
            )),
        }
    }

    pub(crate) async fn answer_removed(
        &self,
        from: &RegionId,
        name: &str,
        id: u64,
        epoch: u64,
        rows: u64,
    ) -> Result<RegistryAnswer, CloudError> {
        let name = BucketName::new(name).map_err(|e| CloudError::Invalid(e.to_string()))?;
        let recorded = self.record_removed(from, &name, BucketId(id), epoch, rows);
        recorded.await.map(|()| RegistryAnswer::Done)
    }

    async fn record_removed(
        &self,
        region: &RegionId,
        name: &BucketName,
        id: BucketId,
        epoch: u64,
        rows: u64,
    ) -> Result<(), CloudError> {
        for _ in 0..ROUNDS_MAX {
            // What is in memory is compared before anything is read.
            let deed = self.left_by(region, name, id, epoch)?;
            let known = self.past_of(&deed, region, region).await?;
            let turn = self.turn().await;
            // What was read before the turn began has to be all that there is.
            if self.chain_of(name).await?.0 != known.count {
                continue;
            }
            self.left_by(region, name, id, epoch)?;
            if known.past.left.is_none() && !types::planted("receipts-for-anything") {
                return Err(CloudError::Refused(format!(
                    "{name} was never placed in region {region}"
                )));
            }
            if known.receipted && !types::planted("receipts-for-anything") {
                // An answer that was lost is asked for again.
                return Ok(());
            }
            let draft = Draft {
                actor: Actor::Region(region.clone()),
                action: ACTION,
                subject: name.to_string(),
                detail: json!({ "region": &**region, "epoch": epoch, "rows": rows }),
                rows: Vec::new(),
            };
            return self.change(turn, draft).await;
        }
        Err(CloudError::SlowDown(format!(
            "{name} changes too often; try again later"
        )))
    }

    /// The deed of a bucket that is not placed in this region.
    fn left_by(
        &self,
        region: &RegionId,
        name: &BucketName,
        id: BucketId,
        epoch: u64,
    ) -> Result<Arc<BucketDeed>, CloudError> {
        let deed = self.deed_of(name, id)?;
        if deed.epoch != epoch || deed.holding(region) != Holding::Nothing {
            return Err(CloudError::Refused(format!(
                "{name} is placed in region {region}, or its deed has changed"
            )));
        }
        Ok(deed)
    }

    /// The deed of that bucket of this name.
    pub(crate) fn deed_of(
        &self,
        name: &BucketName,
        id: BucketId,
    ) -> Result<Arc<BucketDeed>, CloudError> {
        let deed = Deeds::get(self, name).filter(|deed| deed.id == id);
        deed.ok_or_else(|| CloudError::NoBucket(name.clone()))
    }

    /// What the log says of one bucket, in its present life, and one region; only where the
    /// registry is kept. What was read once is not read again, and so much is read for `asker` as
    /// it has left.
    pub(crate) async fn past_of(
        &self,
        deed: &BucketDeed,
        region: &RegionId,
        asker: &RegionId,
    ) -> Result<PastOf, CloudError> {
        // What is remembered is of regions on record: a peer may name anything, at any length.
        if self.region(region).is_none() && !types::planted("pasts-of-anything") {
            let shown = types::text::shown(region, 64);
            return Err(CloudError::Refused(format!("{shown} is no region")));
        }
        let (name, id) = (&deed.name, deed.id);
        let (count, born_after) = self.chain_of(name).await?;
        let known = self.pasts.of(name, region);
        let known = known.filter(|known| {
            known.id == id && known.born_after == born_after && !types::planted("chains-read-again")
        });
        let mut found = known.unwrap_or(PastOf {
            id,
            born_after,
            count: born_after,
            past: Past::default(),
            receipted: false,
        });
        let unread = count.saturating_sub(found.count);
        self.pace.read(asker, unread, self.clock.now())?;
        let (row, actor) = (
            DeedRecord::key(name),
            Actor::Region(region.clone()).to_string(),
        );
        while found.count < count {
            let numbers = self.chain_page(name, found.count).await?;
            let missing = || CloudError::Record(format!("an entry of the chain of {name}"));
            if numbers.is_empty() {
                return Err(missing());
            }
            for number in numbers {
                let change = self.changes(number, 1).await?.pop();
                let change = change.filter(|change| change.entry.number == number);
                found.take(&change.ok_or_else(missing)?, &row, &actor, id, region);
            }
            // Whoever asked may be gone before the end.
            self.pasts.keep(name, region, &found);
        }
        Ok(found)
    }
}

/// What was read of chains, by the bucket's name and the region.
#[derive(Default)]
pub(crate) struct Pasts(Mutex<HashMap<(BucketName, RegionId), PastOf>>);

impl Pasts {
    fn of(&self, name: &BucketName, region: &RegionId) -> Option<PastOf> {
        self.0.lock().get(&(name.clone(), region.clone())).cloned()
    }

    /// The regions of which something is remembered.
    #[cfg(test)]
    pub(crate) fn of_regions(&self) -> Vec<String> {
        let known = self.0.lock();
        let all: std::collections::BTreeSet<_> = known.keys().map(|(_, r)| r.to_string()).collect();
        all.into_iter().collect()
    }

    fn keep(&self, name: &BucketName, region: &RegionId, found: &PastOf) {
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, past| past.count - past.born_after >= SHORT);
        }
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert((name.clone(), region.clone()), found.clone());
    }
}

/// What the registry's log says of one bucket and one region.
#[derive(Clone)]
pub(crate) struct PastOf {
    id: BucketId,
    /// The entries of the chain that are from before the bucket's present life.
    born_after: u64,
    pub(crate) past: Past,
    /// Whether the region has said that it removed what it had when the bucket last left it.
    receipted: bool,
    /// The entries of the bucket's chain that were read.
    count: u64,
}

impl PastOf {
    fn take(&mut self, change: &Change, row: &str, actor: &str, id: BucketId, region: &RegionId) {
        self.count += 1;
        for found in change.rows.iter().filter(|r| r.key == row) {
            self.past.take(change, &found.now, id, region);
        }
        let entry = &change.entry;
        self.receipted |= entry.action == ACTION && entry.actor == actor;
        if self.past.left.is_none() {
            self.receipted = false;
        }
    }
}
