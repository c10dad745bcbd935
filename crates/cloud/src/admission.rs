//! The admission of a region that has joined, and why one is not open yet.

use std::{cmp::Ordering, collections::BTreeMap};

use parking_lot::Mutex;
use types::{Actor, RegionId, Timestamp};

use crate::{CloudError, Readiness, RegionRecord, RegionStatus, Registry};

/// How far a region's clock may be from the registry's, in milliseconds, to be let in; and how far
/// it may be from the other regions', later, for the region to take writes.
pub const SKEW_MAX_MS: u64 = 2_000;

/// Why regions that have joined were not opened when they last asked; in memory, where the registry
/// is kept. Only regions on record are in it.
#[derive(Default)]
pub(crate) struct NotAdmitted(Mutex<BTreeMap<String, String>>);

impl Registry {
    /// Opens a region that has joined, once it passes the checks of admission.
    pub(crate) async fn admit(
        &self,
        region: &RegionId,
        ready: &Readiness,
    ) -> Result<(), CloudError> {
        let joining = self
            .region(region)
            .is_some_and(|r| r.status == RegionStatus::Joining);
        if !joining {
            return Ok(());
        }
        let now = self.clock.now().ms();
        let skew = now.abs_diff(ready.now_ms);
        if skew > SKEW_MAX_MS {
            let way = match ready.now_ms.cmp(&now) {
                Ordering::Less => "behind",
                _ => "ahead of",
            };
            return Err(CloudError::Refused(format!(
                "the clock of region {region} is {skew} ms {way} the registry's, {SKEW_MAX_MS} \
                 are allowed"
            )));
        }
        if !ready.writable {
            return Err(CloudError::Refused(format!(
                "the engine of region {region} takes no writes"
            )));
        }
        let own = env!("CARGO_PKG_VERSION");
        if ready.version != own {
            return Err(CloudError::Refused(format!(
                "region {region} runs version {}, the registry's region {own}",
                types::text::shown(&ready.version, 64)
            )));
        }
        let actor = Actor::Region(region.clone());
        let opened = self.set_region_status(&actor, region, RegionStatus::Open);
        opened.await.map(drop)
    }

    /// Notes how a region's announcement was answered.
    pub(crate) fn note_admission(&self, region: &RegionId, answered: &Result<(), CloudError>) {
        let known = self.region(region);
        let joining = known.is_some_and(|r| r.status == RegionStatus::Joining);
        let mut all = self.not_admitted.0.lock();
        match answered {
            Err(why) if joining => drop(all.insert(region.to_string(), why.to_string())),
            _ => drop(all.remove(&**region)),
        }
    }

    /// Why a region is not open yet, as far as the registry's region knows: what its token still
    /// waits for, or the check of admission that it did not pass. `None` for one that has been
    /// opened, and where the registry is not kept.
    pub fn waits_for(&self, record: &RegionRecord) -> Option<String> {
        if !self.keeps() {
            return None;
        }
        match record.status {
            RegionStatus::Planned => Some(self.waits_for_token(&record.id)),
            RegionStatus::Joining => {
                let all = self.not_admitted.0.lock();
                let why = all.get(&record.id).cloned();
                Some(why.unwrap_or_else(|| {
                    "the region has its certificate and has not reported since that it is ready"
                        .to_owned()
                }))
            }
            _ => None,
        }
    }

    fn waits_for_token(&self, region: &str) -> String {
        let state = self.state.read();
        let of_region = state.tokens.values().filter(|t| t.region == region);
        let expires = of_region.map(|token| token.expires_ms).max();
        let at = |ms| Timestamp::from_ms(ms).iso8601();
        match expires {
            Some(expires) if self.clock.now().ms() < expires => format!(
                "the region's first start with its join token, which is valid until {}",
                at(expires)
            ),
            Some(expires) => format!(
                "another join token (`dhow region open {region}`): the last one expired at {}",
                at(expires)
            ),
            None => format!("a join token (`dhow region open {region}`)"),
        }
    }
}
