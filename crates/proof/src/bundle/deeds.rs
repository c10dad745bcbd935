//! What the audit chain says of regions and of one bucket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Finding, RegionIdentity};
use crate::{chain::Entry, encoding::PublicKey, jurisdictions};

/// The action that opens a region, or gives it a new key.
pub(super) const REGION_OPEN: &str = "region.open";
pub(super) const BUCKET_CREATE: &str = "bucket.create";
const BUCKET_PLACE: &str = "bucket.place";
const BUCKET_PROMOTE: &str = "bucket.promote";
const BUCKET_PROMOTE_FORCED: &str = "bucket.promote-forced";
pub(super) const BUCKET_DELETE: &str = "bucket.delete";
const BUCKET_REMOVED: &str = "bucket.removed";
const BUCKET_ON_WORD: &str = "bucket.removed_on_word";
const BUCKET_DIVERGENCE: &str = "bucket.divergence";

/// What a region said of the bucket, by an entry of its own. That it said so is proven, and nothing
/// else: a region can say what is not so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The entry's number.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who says so.
    pub by: String,
    /// What: the entry's action.
    pub what: String,
    /// The other region of which it speaks, if it speaks of another.
    pub of: Option<String>,
    /// How many rows, versions or keys, as it says.
    pub count: u64,
}

impl Said {
    fn of(entry: &Entry) -> Option<Self> {
        #[derive(Deserialize)]
        struct Detail {
            from: Option<String>,
            count: Option<u64>,
            rows: Option<u64>,
        }
        let detail: Detail = serde_json::from_str(&entry.detail).ok()?;
        Some(Self {
            number: entry.number,
            at_ms: entry.at_ms,
            by: entry.actor.clone(),
            what: entry.action.clone(),
            of: detail.from,
            count: detail.count.or(detail.rows).unwrap_or_default(),
        })
    }
}

/// The detail of `region.open`; the subject is the region's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionDetail {
    /// An ISO 3166-1 alpha-2 code.
    pub jurisdiction: String,
    /// Who runs the region.
    pub operator: String,
    /// The Ed25519 key that it signs with.
    pub public_key: PublicKey,
}

/// A region that holds a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The region.
    pub region: String,
    /// Who holds the key, when the replica is sealed from the region that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_by: Option<String>,
}

/// The detail of `bucket.create`, `bucket.place` and `bucket.promote`; the subject is the bucket's
/// name. The detail of `bucket.delete` needs `id` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedDetail {
    /// The bucket's own number.
    pub id: u64,
    /// The account that owns it.
    pub owner: String,
    /// The region where its writes are ordered.
    pub home: String,
    /// The other regions that hold it.
    pub replicas: Vec<Replica>,
    /// Countries and groups where it may be held; an empty list sets no limit.
    pub jurisdictions: Vec<String>,
    /// `home` or `any`.
    pub writes: String,
    /// Rises whenever the home changes.
    pub epoch: u64,
}

impl DeedDetail {
    /// The home, then the replicas.
    pub fn regions(&self) -> impl Iterator<Item = &str> {
        let replicas = self.replicas.iter().map(|r| r.region.as_str());
        std::iter::once(self.home.as_str()).chain(replicas)
    }

    /// Whether the replica in `region` is sealed.
    pub fn is_sealed_in(&self, region: &str) -> bool {
        let mut replicas = self.replicas.iter();
        replicas.any(|r| r.region == region && r.sealed_by.is_some())
    }
}

#[derive(Deserialize)]
struct DeleteDetail {
    id: u64,
}

/// Whose statements about the bucket count at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// No entry speaks of it.
    Unknown,
    /// This deed is in force.
    Placed(DeedDetail),
    /// It was deleted; its number was this.
    Deleted(u64),
}

/// What the chain says.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) regions: BTreeMap<String, RegionDetail>,
    pub(super) standing: Standing,
    /// When the standing began, in milliseconds since 1970.
    pub(super) since_ms: u64,
    /// The numbers of the entries about the bucket.
    pub(super) history: Vec<u64>,
    /// What regions say of the present bucket.
    pub(super) said: Vec<Said>,
    pub(super) findings: Vec<Finding>,
}

impl Ledger {
    /// Reads the chain, which has been checked, for `bucket`.
    pub(super) fn read(chain: &[Entry], bucket: &str) -> Self {
        let mut ledger = Self {
            regions: BTreeMap::new(),
            standing: Standing::Unknown,
            since_ms: 0,
            history: Vec::new(),
            said: Vec::new(),
            findings: Vec::new(),
        };
        for entry in chain {
            let ours = entry.subject == bucket;
            match entry.action.as_str() {
                REGION_OPEN => ledger.open(entry),
                BUCKET_CREATE | BUCKET_PLACE | BUCKET_PROMOTE | BUCKET_PROMOTE_FORCED if ours => {
                    if entry.action == BUCKET_CREATE {
                        ledger.said.clear();
                    }
                    ledger.place(entry);
                }
                BUCKET_DELETE if ours => ledger.delete(entry),
                BUCKET_REMOVED | BUCKET_ON_WORD | BUCKET_DIVERGENCE if ours => {
                    ledger.said.extend(Said::of(entry));
                }
                _ => {}
            }
        }
        ledger
    }

    fn open(&mut self, entry: &Entry) {
        let number = entry.number;
        let Some(detail) = self.detail::<RegionDetail>(entry) else {
            return;
        };
        if !jurisdictions::is_country(&detail.jurisdiction) {
            let why = format!("{:?} is not a country code", detail.jurisdiction);
            self.findings.push(Finding::Detail { number, why });
        }
        let region = entry.subject.clone();
        let shared = self
            .regions
            .iter()
            .find(|(id, other)| **id != region && other.public_key == detail.public_key);
        if let Some((other, _)) = shared {
            self.findings.push(Finding::KeyShared {
                number,
                region: region.clone(),
                other: other.clone(),
            });
        }
        self.regions.insert(region, detail);
    }

    fn place(&mut self, entry: &Entry) {
        let number = entry.number;
        self.history.push(number);
        let Some(deed) = self.detail::<DeedDetail>(entry) else {
            return;
        };
        let creates = entry.action == BUCKET_CREATE;
        match &self.standing {
            Standing::Placed(_) if creates => {
                self.findings.push(Finding::CreatedTwice { number });
            }
            Standing::Placed(old) if old.id != deed.id => {
                self.findings.push(Finding::NotThisBucket { number });
            }
            Standing::Placed(old) => {
                let moved = old.home != deed.home && old.epoch == deed.epoch;
                if deed.epoch < old.epoch || moved {
                    self.findings.push(Finding::DeedEpoch { number });
                }
            }
            Standing::Deleted(id) if creates && *id != deed.id => {}
            Standing::Unknown if creates => {}
            Standing::Unknown | Standing::Deleted(_) => {
                self.findings.push(Finding::NotThisBucket { number });
            }
        }
        for region in deed.regions() {
            self.findings.extend(self.placed_in(number, &deed, region));
        }
        self.standing = Standing::Placed(deed);
        self.since_ms = entry.at_ms;
    }

    /// Every deed is held to its own limits, also those that are no longer in force.
    fn placed_in(&self, number: u64, deed: &DeedDetail, region: &str) -> Option<Finding> {
        let Some(known) = self.regions.get(region) else {
            let region = region.to_owned();
            return Some(Finding::PlacedInUnknown { number, region });
        };
        let country = &known.jurisdiction;
        let lawful = jurisdictions::allows(&deed.jurisdictions, country, jurisdictions::is_member);
        (!lawful).then(|| Finding::PlacedForbidden {
            number,
            region: region.to_owned(),
            jurisdiction: country.clone(),
        })
    }

    fn delete(&mut self, entry: &Entry) {
        let number = entry.number;
        self.history.push(number);
        let Some(detail) = self.detail::<DeleteDetail>(entry) else {
            return;
        };
        if !matches!(&self.standing, Standing::Placed(deed) if deed.id == detail.id) {
            self.findings.push(Finding::NotThisBucket { number });
        }
        self.standing = Standing::Deleted(detail.id);
        self.since_ms = entry.at_ms;
    }

    fn detail<T: for<'a> Deserialize<'a>>(&mut self, entry: &Entry) -> Option<T> {
        match serde_json::from_str(&entry.detail) {
            Ok(detail) => Some(detail),
            Err(e) => {
                let why = e.to_string();
                let number = entry.number;
                self.findings.push(Finding::Detail { number, why });
                None
            }
        }
    }

    /// The region whose registered key this is.
    pub(super) fn holder_of(&self, key: &PublicKey) -> Option<String> {
        let mut regions = self.regions.iter();
        let found = regions.find(|(_, r)| r.public_key == *key);
        found.map(|(region, _)| region.clone())
    }
}

/// The identities of all regions that the chain opens, by id.
pub(super) fn identities(chain: &[Entry]) -> Vec<RegionIdentity> {
    let mut regions = BTreeMap::new();
    for entry in chain.iter().filter(|e| e.action == REGION_OPEN) {
        if let Ok(detail) = serde_json::from_str::<RegionDetail>(&entry.detail) {
            let identity = RegionIdentity {
                region: entry.subject.clone(),
                jurisdiction: detail.jurisdiction,
                operator: detail.operator,
                public_key: detail.public_key,
            };
            regions.insert(identity.region.clone(), identity);
        }
    }
    regions.into_values().collect()
}
