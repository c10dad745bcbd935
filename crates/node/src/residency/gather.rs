//! What all regions say, gathered in the registry's region.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloud::{CloudError, RegionRecord, RegionStatus};
use http::{Method, Request};
use peer::{Peer, collect, full};
use proof::{
    BucketBundle, Digest, TrustAnchor,
    bundle::{AnchorKey, BUCKET_VERSION, Finding, REGIONS_MAX},
};
use tokio::{task::JoinSet, time::Instant};
use types::{BucketDeed, BucketName, RegionId};

use super::{AskHoldings, COUNT_WAIT};
use crate::{link::paths, region::Region};

const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A region counts for [`COUNT_WAIT`] at most; the rest is the way there and back.
const ANSWER_WAIT: Duration = Duration::from_secs(COUNT_WAIT.as_secs() + 3);
/// Regions are asked again while that is quick: one that was behind may have caught up.
pub const AGAIN_WITHIN: Duration = Duration::from_secs(4);
/// Longer, when a replica and its home disagree: what a home has removed meanwhile may be missing
/// at a replica that is at the position before, for a moment.
const DISAGREE_WITHIN: Duration = Duration::from_secs(10);
/// Between asking and asking again.
pub const AGAIN_PAUSE: Duration = Duration::from_millis(500);

/// What regions say of one bucket.
pub struct Gathered {
    /// What was signed.
    pub digests: Vec<Digest>,
    /// Who did not answer, and why.
    pub unanswered: BTreeMap<String, String>,
}

impl Region {
    /// A bundle about a bucket, who did not answer, and what is wrong with the bundle. Without a
    /// deed it shows that there is no bucket of that name.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub async fn prove(
        self: &Arc<Self>,
        name: &BucketName,
        deed: Option<&BucketDeed>,
    ) -> Result<(BucketBundle, BTreeMap<String, String>, Vec<Finding>), CloudError> {
        let begun = Instant::now();
        let Some(deed) = deed else {
            let (bundle, findings, _) = self.bundle(name, None, Vec::new()).await?;
            return Ok((bundle, BTreeMap::new(), findings));
        };
        loop {
            let gathered = self.gather(deed).await;
            let (bundle, findings, settled) =
                self.bundle(name, Some(deed), gathered.digests).await?;
            let disagree = |f: &Finding| matches!(f, Finding::Disagree { .. });
            let within = match findings.iter().any(disagree) {
                true => DISAGREE_WITHIN,
                false => AGAIN_WITHIN,
            };
            if settled || begun.elapsed() > within || !gathered.unanswered.is_empty() {
                return Ok((bundle, gathered.unanswered, findings));
            }
            tokio::time::sleep(AGAIN_PAUSE).await;
        }
    }

    /// The bundle, what is wrong with it, and whether asking again could not make it better.
    async fn bundle(
        &self,
        name: &BucketName,
        deed: Option<&BucketDeed>,
        digests: Vec<Digest>,
    ) -> Result<(BucketBundle, Vec<Finding>, bool), CloudError> {
        let empty = || CloudError::Unavailable("the audit log is empty".into());
        let chains = self.registry.bucket_chains(name).await?;
        let chains = chains.ok_or_else(empty)?;
        let checkpoint = self.signed(&chains.after);
        let key = AnchorKey::Key(checkpoint.public_key);
        // A region's clock may be ahead.
        let signed = digests
            .iter()
            .map(|d| d.at_ms)
            .fold(checkpoint.at_ms, u64::max);
        let bundle = BucketBundle {
            v: BUCKET_VERSION,
            cloud: checkpoint.cloud.clone(),
            bucket: name.to_string(),
            made_at_ms: self.clock.now().ms().max(signed),
            checkpoint,
            history: chains.bucket,
            regions: chains.regions,
            digests,
        };
        Ok(match bundle.verify(&TrustAnchor::new(key)) {
            Ok(report) => {
                let holds = |d: &BucketDeed, region: &str| d.holders().any(|r| **r == *region);
                let placed = |region: &str| deed.is_some_and(|d| holds(d, region));
                let all = report
                    .held
                    .iter()
                    .all(|held| held.compared || !placed(&held.region));
                (bundle, Vec::new(), all)
            }
            Err(findings) => (bundle, findings, false),
        })
    }

    /// Asks all regions that are open or draining, at once.
    pub async fn gather(self: &Arc<Self>, deed: &BucketDeed) -> Gathered {
        let ask = AskHoldings {
            bucket: deed.name.to_string(),
            id: deed.id.0,
            epoch: deed.epoch,
        };
        let mut gathered = Gathered {
            digests: Vec::new(),
            unanswered: BTreeMap::new(),
        };
        let mut asking = JoinSet::new();
        for record in self.registry.all_regions().into_iter().take(REGIONS_MAX) {
            if !matches!(record.status, RegionStatus::Open | RegionStatus::Draining) {
                continue;
            }
            let (region, ask) = (Arc::clone(self), ask.clone());
            asking.spawn(async move {
                let answer = region.ask_holdings(&record, &ask).await;
                (record.id.clone(), answer)
            });
        }
        while let Some(done) = asking.join_next().await {
            match done {
                Ok((_, Ok(digest))) => gathered.digests.push(digest),
                Ok((region, Err(why))) => drop(gathered.unanswered.insert(region, why)),
                Err(error) => tracing::error!(%error, "asking a region broke"),
            }
        }
        gathered.digests.sort_by(|a, b| a.region.cmp(&b.region));
        gathered
    }

    async fn ask_holdings(
        &self,
        record: &RegionRecord,
        ask: &AskHoldings,
    ) -> Result<Digest, String> {
        let digest = if *record.id == *self.id {
            self.holdings(ask).await.map_err(|e| e.to_string())?
        } else {
            let asked = tokio::time::timeout(ANSWER_WAIT, self.ask_peer(record, ask));
            asked.await.map_err(|_| "no answer in time".to_owned())??
        };
        // It signs what it says with its key; another region's words are not its own.
        let itself = digest.region == record.id
            && digest.public_key.to_string() == record.public_key
            && digest.bucket_id == ask.id
            && digest.verify();
        match itself {
            true => Ok(digest),
            false => Err("the answer is not signed by the region".to_owned()),
        }
    }

    async fn ask_peer(&self, record: &RegionRecord, ask: &AskHoldings) -> Result<Digest, String> {
        let body = serde_json::to_vec(ask).map_err(|e| e.to_string())?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(paths::RESIDENCY)
            .body(full(body))
            .map_err(|e| e.to_string())?;
        let peer = Peer {
            region: RegionId::new(&record.id),
            address: record.peer.clone(),
        };
        let client = &self.link.client;
        let answer = client.request_within(ANSWER_WAIT, &peer, request).await;
        let answer = answer.map_err(|e| e.to_string())?;
        let good = answer.status().is_success();
        let body = collect(answer.into_body(), ANSWER_BYTES_MAX, ANSWER_WAIT).await;
        let body = body.map_err(|e| e.to_string())?;
        match good {
            true => serde_json::from_slice(&body)
                .map_err(|e| types::text::of_peer(e.to_string().as_bytes())),
            false => Err(types::text::of_peer(&body)),
        }
    }
}
