//! Whether a region can be reached from anywhere: what does not answer here may answer elsewhere.

use std::{sync::Arc, time::Duration};

use cloud::RegionStatus;
use peer::{Peer, collect};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use types::RegionId;

use super::{HELLO_WAIT, paths};
use crate::region::Region;

/// Longer than the other region asks the third one.
const REACH_WAIT: Duration = Duration::from_secs(HELLO_WAIT.as_secs() + 2);

/// What a region says of another.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Reached {
    /// Whether it answers there.
    pub reached: bool,
}

impl Region {
    /// The regions that reach `region` now, this one first. All are asked at the same time; who
    /// does not answer, or does not know the question, is left out.
    pub async fn reached_from(self: &Arc<Self>, region: &RegionId) -> Vec<RegionId> {
        let mut asking = JoinSet::new();
        for other in self.registry.all_regions() {
            let open = matches!(other.status, RegionStatus::Open | RegionStatus::Draining);
            if !open || *other.id == **region {
                continue;
            }
            let address = other.peer_address().map(str::to_owned);
            let (this, region) = (Arc::clone(self), region.clone());
            asking.spawn(async move {
                let by = RegionId::new(&other.id);
                let reaches = match (by == this.id, address) {
                    (true, _) => this.answers(&region).await,
                    (false, Some(address)) => this.reaches(&by, &address, &region).await,
                    (false, None) => false,
                };
                reaches.then_some(by)
            });
        }
        let mut reached = Vec::new();
        while let Some(by) = asking.join_next().await {
            reached.extend(by.ok().flatten());
        }
        reached.sort_by_key(|by| (*by != self.id, by.clone()));
        reached
    }

    /// Whether `by`, at `address`, reaches `region`.
    async fn reaches(&self, by: &RegionId, address: &str, region: &RegionId) -> bool {
        let to = Peer {
            region: by.clone(),
            address: address.to_owned(),
        };
        let request = http::Request::builder()
            .uri(format!("{}?{region}", paths::REACH))
            .body(peer::empty());
        let Ok(request) = request else {
            return false;
        };
        let answer = self.link.client.request_within(REACH_WAIT, &to, request);
        let Ok(answer) = answer.await else {
            return false;
        };
        if !answer.status().is_success() {
            return false;
        }
        let body = collect(answer.into_body(), 4096, HELLO_WAIT).await;
        let reached = body.ok().and_then(|b| serde_json::from_slice(&b).ok());
        reached.is_some_and(|reached: Reached| reached.reached)
    }
}
