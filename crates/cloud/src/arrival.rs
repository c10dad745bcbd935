//! Whether a change has arrived in the other regions. What takes rights away is answered once it
//! holds in each of them, or after a short time; the answer then names the regions that may not
//! have it. The change itself waits for no region.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use types::RegionId;

use crate::{RegionStatus, Registry};

/// The longest that an answer waits for other regions.
const WITHIN: Duration = Duration::from_secs(2);

impl Registry {
    /// Waits until the other regions have taken over all that is on record now, two seconds at
    /// most. Answers those that are not known to have it; none where the registry is not kept.
    /// `but` is neither waited for nor named. A region is named, and not waited for, where it has
    /// asked for nothing since the start, where changes are withheld from it, and where it was
    /// waited for in vain before ([`types::InVain`]).
    pub async fn not_yet_in(&self, but: Option<&str>) -> Vec<RegionId> {
        if !self.keeps() || types::planted("answered-before-it-arrived") {
            return Vec::new();
        }
        let length = *self.length.borrow();
        let others = self.others_that_serve(but);
        let has = |known: &BTreeMap<RegionId, u64>, region: &RegionId| {
            known.get(region).is_some_and(|known| *known >= length)
        };
        let now = || Instant::now().into_std();
        let waits_for = |known: &BTreeMap<RegionId, u64>, region: &RegionId| {
            let waits = |known| {
                self.in_vain.is_waited_for(region, known, now())
                    || types::planted("late-regions-delay-all")
            };
            known.get(region).copied().is_some_and(waits) && self.withheld(region).is_none()
        };
        let mut heard = self.heard.subscribe();
        let arrived = heard.wait_for(|known| {
            let mut left = others.iter().filter(|region| !has(known, region));
            !left.any(|region| waits_for(known, region))
        });
        let in_time = tokio::time::timeout(WITHIN, arrived).await.is_ok();
        let known = self.heard.borrow().clone();
        let mut late = others;
        late.retain(|region| !has(&known, region));
        for region in late.iter().filter(|_| !in_time) {
            if waits_for(&known, region) {
                tracing::warn!(%region, "what takes rights away has not arrived in a region in time");
                self.in_vain.missed(region.clone(), length, now());
            }
        }
        late
    }

    fn others_that_serve(&self, but: Option<&str>) -> Vec<RegionId> {
        let state = self.state.read();
        // One that joins takes all over before it learns that it is open.
        let serves = |status| matches!(status, RegionStatus::Open | RegionStatus::Draining);
        let others = state.regions.iter().filter(|(id, region)| {
            serves(region.status) && **id != *self.own() && but != Some(id.as_str())
        });
        others.map(|(id, _)| RegionId::new(id)).collect()
    }
}
