//! Damaged versions get their bytes back from another region that has them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use access::{
    Permit, SystemReason, authorize_receiving, authorize_receiving_sealed, authorize_system,
};
use objects::{DamagedVersion, Repaired, Shipped, ShippedChange, Suspect};
use parking_lot::Mutex;
use tokio::time::Instant;
use types::{BucketDeed, Holding, RegionId};

use crate::{
    Replication, ReplicationError,
    client::Far,
    wire::{What, name},
};

/// How long a region may take to say whether it has a version.
const VERSION_WAIT: Duration = Duration::from_secs(10);
/// How long the bytes of a version may take at least, and how many of them come in a second at
/// least: a region that sends slowly must not keep other versions damaged.
const BYTES_WAIT: Duration = Duration::from_secs(30);
const RATE_MIN: u64 = 64 << 10;
/// A region that did not answer is not asked again for so long: a pass over many versions would
/// wait for it each time.
const AWAY: Duration = Duration::from_secs(30);
/// A version that could not be repaired is not tried again before, however often it is read.
const AGAIN: Duration = Duration::from_secs(60);
/// Versions that are remembered for that.
const TRIED_MAX: usize = 10_000;

/// What came of the repair of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Its bytes came from this region; from its own memory where it is this one.
    Done(RegionId),
    /// It was replaced or removed, or is whole by now.
    Changed,
    /// It stays damaged, for this reason.
    Not(String),
}

/// Figures of repairs since start.
#[derive(Debug, Default)]
pub struct Repairs {
    /// Damaged versions that were found.
    pub found: AtomicU64,
    /// Versions that have their bytes again.
    pub repaired: AtomicU64,
    /// Attempts after which a version stayed damaged.
    pub failed: AtomicU64,
    /// Regions that did not answer, and until when they are left alone.
    away: Mutex<HashMap<RegionId, Instant>>,
}

impl Repairs {
    /// A damaged version was found.
    pub fn count_found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    fn is_away(&self, region: &RegionId) -> bool {
        let mut away = self.away.lock();
        away.retain(|_, until| *until > Instant::now());
        away.contains_key(region)
    }
}

/// Why a region did not help, for the report.
fn in_words(region: &RegionId, error: &ReplicationError) -> String {
    match error {
        ReplicationError::Peer(_) => format!("region {region} does not answer"),
        ReplicationError::Placement(why) => format!("region {region}: {why}"),
        ReplicationError::Refused(why) if why.starts_with("404") => {
            format!("region {region} does not have it")
        }
        ReplicationError::Refused(why) if why.starts_with("500") => {
            format!("region {region} cannot read its own replica of it")
        }
        ReplicationError::Objects(objects::Error::BadDigest(what)) => {
            format!("what region {region} has of it is not the same: {what} does not match")
        }
        ReplicationError::Objects(objects::Error::Body(why)) => {
            format!("its bytes do not come from region {region}: {why}")
        }
        other => format!("region {region}: {other}"),
    }
}

impl Replication {
    /// Figures of repairs.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// Gives a damaged version its bytes back: what is still in memory here is written again, else
    /// another region is asked, the home first. Both ends ask the placement, as for any replica.
    pub async fn repair(&self, damaged: &DamagedVersion) -> Repair {
        self.repairs.count_found();
        let done = self.try_repair(damaged).await;
        let (bucket, version, what) = (&damaged.deed.name, damaged.display, damaged.what());
        let key = &damaged.key;
        match &done {
            Repair::Done(from) => {
                self.repairs.repaired.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%bucket, %key, %version, what, %from, "a damaged version was repaired");
            }
            Repair::Changed => {
                tracing::info!(%bucket, %key, %version, what, "a damaged version went meanwhile");
            }
            Repair::Not(why) => {
                self.repairs.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%bucket, %key, %version, what, why, "a version is damaged");
            }
        }
        done
    }

    async fn try_repair(&self, damaged: &DamagedVersion) -> Repair {
        let here = self.regions.here().region;
        let own = authorize_system(
            SystemReason::Recovery,
            access::Action::ReplicateInto,
            &damaged.deed,
        );
        match self.objects.repair_from_memory(&own, damaged).await {
            Ok(Some(Repaired::Done)) => return Repair::Done(here),
            Ok(Some(Repaired::Changed)) => return Repair::Changed,
            Ok(Some(Repaired::Other(_)) | None) => {}
            Err(error) => return Repair::Not(error.to_string()),
        }
        let sources = sources(&damaged.deed, &here);
        if sources.is_empty() {
            return Repair::Not("the bucket has no other replica that could be read".to_owned());
        }
        let mut whys = Vec::new();
        for region in sources {
            if self.repairs.is_away(&region) {
                whys.push(format!("region {region} does not answer"));
                continue;
            }
            match self.repair_from(damaged, &region).await {
                Ok(Repaired::Done) => return Repair::Done(region),
                Ok(Repaired::Changed) => return Repair::Changed,
                Ok(Repaired::Other(what)) => whys.push(format!(
                    "what region {region} has of it is not the same: {what} differs"
                )),
                Err(error) => {
                    if matches!(error, ReplicationError::Peer(_)) {
                        let until = Instant::now() + AWAY;
                        self.repairs.away.lock().insert(region.clone(), until);
                    }
                    whys.push(in_words(&region, &error));
                }
            }
        }
        Repair::Not(whys.join("; "))
    }

    async fn repair_from(
        &self,
        damaged: &DamagedVersion,
        region: &RegionId,
    ) -> Result<Repaired, ReplicationError> {
        let permit = self.may_take(&damaged.deed, region)?;
        let far = Far {
            sealed: damaged.deed.holding(&self.regions.here().region) == Holding::Sealed,
            ..Far::new(&self.client, &self.regions, region, &damaged.deed)
        };
        let source = version_at(&far, damaged).await?;
        let still = || {
            let again = self.may_take(&damaged.deed, region);
            again.map_err(|_| objects::Error::Fenced)
        };
        let within = BYTES_WAIT + Duration::from_secs(source.size / RATE_MIN);
        let repairing = self
            .objects
            .repair_version(&permit, damaged, &source, &far, &still);
        let repaired = tokio::time::timeout(within, repairing).await;
        Ok(repaired.map_err(|_| peer::PeerError::Deadline("the bytes of a version"))??)
    }

    /// Asked before the bytes come and again before they are put: the deed decides here as it does
    /// there.
    fn may_take(&self, deed: &BucketDeed, from: &RegionId) -> Result<Permit, ReplicationError> {
        let now = self.regions.deed(&deed.name);
        let now = now.filter(|now| now.id == deed.id && now.epoch == deed.epoch);
        let now = now.ok_or_else(|| {
            ReplicationError::Refused(format!("the deed of {} has changed", deed.name))
        })?;
        let source = self
            .regions
            .place(from)
            .ok_or_else(|| ReplicationError::Refused(format!("region {from} is not known")))?;
        let here = self.regions.here();
        Ok(match now.holding(&here.region) {
            Holding::Sealed => authorize_receiving_sealed(&now, &here, &source)?,
            _ => authorize_receiving(&now, &here, &source)?,
        })
    }

    /// Repairs what reads find damaged, one version after the other, until the task is dropped.
    pub async fn repair_as_met(self: Arc<Self>) {
        let mut tried: HashMap<Suspect, Instant> = HashMap::new();
        loop {
            let suspect = self.objects.next_suspect().await;
            let now = Instant::now();
            if tried.len() >= TRIED_MAX {
                tried.retain(|_, at| now.duration_since(*at) < AGAIN);
            }
            let lately = tried
                .get(&suspect)
                .is_some_and(|at| now.duration_since(*at) < AGAIN);
            if lately || tried.len() >= TRIED_MAX {
                continue;
            }
            match self.objects.examine(&suspect).await {
                Ok(Some(damaged)) => {
                    if let Repair::Not(_) = self.repair(&damaged).await {
                        tried.insert(suspect, now);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a row cannot be read");
                    tried.insert(suspect, now);
                }
            }
        }
    }
}

/// Who may have the bytes: the home first. A sealed replica gets them from the home alone, which
/// holds the key; nobody can have them from a sealed replica.
fn sources(deed: &BucketDeed, here: &RegionId) -> Vec<RegionId> {
    let home = Some(&deed.home).filter(|home| *home != here).cloned();
    let readable = deed.placement.replicas.iter();
    let readable = readable.filter(|r| r.sealed_by.is_none() && r.region != *here);
    match deed.holding(here) {
        Holding::Nothing => Vec::new(),
        Holding::Sealed => home.into_iter().collect(),
        Holding::Home | Holding::Replica => {
            let copies = readable.map(|r| r.region.clone());
            home.into_iter().chain(copies).collect()
        }
    }
}

/// What another region says of the version.
async fn version_at(far: &Far, damaged: &DamagedVersion) -> Result<Shipped, ReplicationError> {
    let (key, version) = match &damaged.sealed {
        Some(sealed) if far.sealed => (sealed.clone(), damaged.version.to_string()),
        _ => name(&damaged.key, damaged.version),
    };
    let asked = far.ask(What::Version { key, version });
    let answer = tokio::time::timeout(VERSION_WAIT, asked).await;
    let answer = answer.map_err(|_| peer::PeerError::Deadline("a version"))??;
    match answer.changes.into_iter().next() {
        Some((_, ShippedChange::Version(shipped))) => Ok(*shipped),
        _ => Err(ReplicationError::Malformed("no version".to_owned())),
    }
}
