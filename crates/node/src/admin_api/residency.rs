//! Where a bucket is held: what regions say, and the proof of it.

use std::{collections::BTreeMap, time::Duration};

use admin::bodies::Empty;
use cloud::CloudError;
use http::StatusCode;
use proof::{Digest, Hex};
use serde_json::{Value, json};
use tokio::time::Instant;
use types::{BucketDeed, BucketName, Deeds, Holding, RegionId};

use super::{
    Admin, Answer, Call, Refused,
    answers::{bad, parse, refused, to_json},
};
use crate::residency::{AGAIN_PAUSE, AGAIN_WITHIN, Gathered};

/// How long a region that has left a bucket may take to remove what it had, after the time in
/// which that can be brought back.
const REMOVING_WITHIN: Duration = Duration::from_secs(60);

impl Admin {
    /// Statements are gathered where the chain of all changes is kept.
    pub(super) fn keeps(&self) -> Result<(), Refused> {
        let region = &self.region;
        match region.registry.keeps() {
            true => Ok(()),
            false => Err(refused(CloudError::Elsewhere(
                region.link.membership.keeper.clone(),
            ))),
        }
    }

    pub(super) async fn checkpoint(&self, call: &Call) -> Answer {
        call.may()?;
        self.keeps()?;
        to_json(self.region.checkpoint().await.map_err(refused)?)
    }

    /// With it whoever reads the whole log computes the map that the checkpoint signs.
    pub(super) fn map_key(&self, call: &Call) -> Answer {
        call.may()?;
        self.keeps()?;
        let key = self.region.registry.map_key();
        Ok(json!({ "key": Hex(key.0) }))
    }

    /// A file for an auditor. `findings` are what the auditor will find with it.
    pub(super) async fn prove_residency(&self, call: &Call, name: &str) -> Answer {
        let name = BucketName::new(name).map_err(|e| bad(&e.to_string()))?;
        let deed = Deeds::get(&*self.region.registry, &name);
        match &deed {
            Some(deed) => call.of_account(&deed.owner)?,
            None => call.may()?,
        }
        self.keeps()?;
        let _: Empty = parse(&call.body)?;
        let proved = self.region.prove(&name, deed.as_deref()).await;
        let proved = proved.map_err(refused)?;
        let (bundle, unanswered, findings) = proved;
        tracing::info!(
            actor = %call.actor,
            bucket = %name,
            findings = findings.len(),
            unanswered = unanswered.len(),
            "a residency bundle was made"
        );
        let failed = |e: String| (StatusCode::INTERNAL_SERVER_ERROR, e);
        let file = bundle.to_bytes().map_err(|e| failed(e.to_string()))?;
        let file = String::from_utf8(file).map_err(|e| failed(e.to_string()))?;
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        Ok(json!({ "file": file, "unanswered": unanswered, "findings": findings }))
    }

    pub(super) async fn check_residency(&self, deed: &BucketDeed) -> Answer {
        self.keeps()?;
        let begun = Instant::now();
        loop {
            let gathered = self.region.gather(deed).await;
            let leaving = self.leaving(deed, &gathered).await;
            let rows = self.judged(deed, &gathered, &leaving);
            let good = rows.iter().all(|(good, _)| *good);
            // A replica that takes a change over just now may be counted in the middle of it.
            if good || !gathered.unanswered.is_empty() || begun.elapsed() > AGAIN_WITHIN {
                let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
                return Ok(json!({ "bucket": &*deed.name, "good": good, "regions": rows }));
            }
            tokio::time::sleep(AGAIN_PAUSE).await;
        }
    }

    /// The regions outside the placement that still have something and were taken out of it so
    /// short a time ago, in milliseconds, that they may: they keep it for the time in which it can
    /// be brought back, and then remove it.
    async fn leaving(&self, deed: &BucketDeed, gathered: &Gathered) -> BTreeMap<RegionId, u64> {
        let outside = |digest: &&Digest| {
            let holding = deed.holding(&RegionId::new(&digest.region));
            holding == Holding::Nothing && digest.count > 0
        };
        if !gathered.digests.iter().any(|digest| outside(&digest)) {
            return BTreeMap::new();
        }
        let grace = self.region.neighbours.removed_grace() + REMOVING_WITHIN;
        let now = self.region.clock.now().ms();
        // Without what the log says of it nobody is excused.
        let left = self.region.registry.departures(deed).await;
        let left = left.unwrap_or_default().into_iter();
        let left = left.filter(|one| one.receipt.is_none());
        let ago = left.map(|one| (one.region, now.saturating_sub(one.at_ms)));
        ago.filter(|(_, ago)| u128::from(*ago) < grace.as_millis())
            .collect()
    }

    /// What each region that was asked holds, and whether that is as it should be.
    fn judged(
        &self,
        deed: &BucketDeed,
        gathered: &Gathered,
        leaving: &BTreeMap<RegionId, u64>,
    ) -> Vec<(bool, Value)> {
        let regions = self.region.registry.all_regions();
        let rows = regions
            .iter()
            .filter(|record| {
                let asked = gathered.digests.iter().any(|d| d.region == record.id);
                asked || gathered.unanswered.contains_key(&record.id)
            })
            .map(|record| {
                let admitted = self.admits(deed, &record.id);
                let left = leaving.get(&RegionId::new(&record.id)).copied();
                let (good, verdict) = judge(deed, (admitted, left), &record.id, gathered);
                let digest = gathered.digests.iter().find(|d| d.region == record.id);
                let row = json!({
                    "region": record.id,
                    "jurisdiction": record.jurisdiction,
                    "operator": record.operator,
                    "holds": holding(deed.holding(&RegionId::new(&record.id))),
                    "allowed": admitted,
                    "versions": digest.map(|d| d.count),
                    "bytes": digest.map(|d| d.bytes),
                    "root": digest.map(|d| d.root),
                    "good": good,
                    "verdict": verdict,
                });
                (good, row)
            });
        rows.collect()
    }

    /// Whether the deed's jurisdictions include the region's.
    fn admits(&self, deed: &BucketDeed, region: &str) -> bool {
        let place = self.region.registry.place(&RegionId::new(region));
        place.is_some_and(|place| deed.placement.admits(&place.jurisdiction))
    }
}

fn holding(holding: Holding) -> &'static str {
    match holding {
        Holding::Home => "home",
        Holding::Replica => "replica",
        Holding::Sealed => "sealed replica",
        Holding::Nothing => "nothing",
    }
}

/// Whether a region holds what it should, in words. `left` says how many milliseconds ago it was
/// taken out of the placement, if it may still have what it had.
fn judge(
    deed: &BucketDeed,
    (admitted, left): (bool, Option<u64>),
    region: &str,
    all: &Gathered,
) -> (bool, String) {
    if let Some(why) = all.unanswered.get(region) {
        return (false, format!("does not say: {why}"));
    }
    let find = |region: &str| all.digests.iter().find(|d| d.region == region);
    let (Some(digest), home) = (find(region), find(&deed.home)) else {
        return (false, "does not say".to_owned());
    };
    let placed = deed.holding(&RegionId::new(region));
    match (placed, digest.count) {
        (_, 1..) if !admitted => (false, "holds what the jurisdictions forbid".to_owned()),
        (Holding::Nothing, 0) => (true, "holds nothing, as it should".to_owned()),
        (Holding::Nothing, _) if let Some(ms) = left => (
            true,
            format!(
                "is removing it (taken out of the placement {})",
                types::text::ago(ms / 1000)
            ),
        ),
        (Holding::Nothing, _) => (false, "holds what is not placed there".to_owned()),
        (Holding::Home, _) => (true, "holds it".to_owned()),
        (Holding::Replica | Holding::Sealed, _) => match home {
            None => (true, "holds a replica; the home does not say".to_owned()),
            Some(home) if placed == Holding::Sealed => compare_sealed(digest, home),
            Some(home) => compare(digest, home),
        },
    }
}

/// What was sealed has other names and other lengths, but there is as much of it.
fn compare_sealed(copy: &Digest, home: &Digest) -> (bool, String) {
    match (copy.count == home.count, copy.position == home.position) {
        (true, true) => (
            true,
            "holds as many versions as the home, sealed".to_owned(),
        ),
        (false, true) if copy.position > 0 => (
            false,
            "holds more or fewer versions than the home".to_owned(),
        ),
        _ => (
            true,
            "holds a replica; what was written last is on its way".to_owned(),
        ),
    }
}

fn compare(copy: &Digest, home: &Digest) -> (bool, String) {
    let of = |d: &Digest| (d.root, d.count, d.bytes);
    match (of(copy) == of(home), copy.position == home.position) {
        (true, _) => (true, "holds the same as the home".to_owned()),
        (false, true) if copy.position > 0 => (false, "differs from the home".to_owned()),
        (false, _) => (
            true,
            "holds a replica; what was written last is on its way".to_owned(),
        ),
    }
}
