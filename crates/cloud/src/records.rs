//! The registry's rows in partition 0, as JSON with a format version: they are few, and an
//! operator may have to read them.
//!
//! | key | value |
//! |---|---|
//! | `a/<account id>` | [`Account`] |
//! | `k/<access key id>` | [`KeyRecord`] |
//! | `n/<bucket name>` | [`DeedRecord`] |
//! | `r/`, `o/`, `t/` | regions, operators, join tokens: `region_records` |
//! | `v/<access key id>` | signing keys, where the registry is followed: `verifiers` |
//! | `c/receipt` | what the keeper said last, where the registry is followed: `standing` |
//! | `m/`, `l/`, `c/chains` | the log by bucket, where the registry is kept: `chains` |
//! | `e/<20 digits>` | entries of the audit log, each with the rows that it changed: `change` |

use access::CallerKind;
use serde::{Deserialize, Serialize};
use types::{
    AccountId, BucketDeed, BucketId, BucketName, Forwarder, Jurisdiction, NewDeed, Placement,
    RegionId, Replica, Timestamp, Trust, Unrenewed, Writes,
};

use crate::{CloudError, warrant::RequestRecord};

/// The format written today. Older ones stay readable.
pub(crate) const FORMAT: u32 = 1;

/// A tenant account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Format version.
    #[serde(rename = "v")]
    pub format: u32,
    /// 12 decimal digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The operator of the cloud itself, who may use the admin API.
    pub root: bool,
    /// The operator whose regions its keys may look after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Its keys may read what is on record of all accounts, and change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auditor: bool,
    /// Its keys open nothing while this holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Jurisdictions that all its buckets keep to; empty for no guard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<String>,
}

impl Account {
    /// The guard as a placement that allows just that.
    pub(crate) fn guard_placement(&self) -> Result<Placement, CloudError> {
        Placement::try_from(PlacementRecord {
            jurisdictions: self.guard.clone(),
            ..PlacementRecord::default()
        })
    }

    /// What it is for, as a caller.
    pub fn caller_kind(&self) -> CallerKind {
        match (self.root, &self.operator, self.auditor) {
            (true, ..) => CallerKind::CloudOperator,
            (_, Some(_), _) => CallerKind::RegionalOperator,
            (_, _, true) => CallerKind::Auditor,
            _ => CallerKind::Customer,
        }
    }

    /// The id as a type.
    pub fn account_id(&self) -> AccountId {
        AccountId::new(&self.id)
    }
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// Requests signed with it are verified.
    Active,
    /// It is unknown to requests until it is enabled again.
    Disabled,
}

/// An access key at rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    #[serde(rename = "v")]
    pub(crate) format: u32,
    pub(crate) id: String,
    pub(crate) account: String,
    /// The secret, sealed under the master key and bound to `id`; base64.
    pub(crate) sealed: String,
    pub(crate) status: KeyStatus,
    pub(crate) created_ms: u64,
    pub(crate) description: String,
    /// Whether it may administer its account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) admin: bool,
}

/// A bucket to be recorded, as one region asks another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewDeedRecord {
    name: String,
    owner: String,
    home: String,
    placement: PlacementRecord,
    /// What the customer signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<RequestRecord>,
}

impl From<NewDeed> for NewDeedRecord {
    fn from(new: NewDeed) -> Self {
        Self {
            request: None,
            name: new.name.to_string(),
            owner: new.owner.to_string(),
            home: new.home.to_string(),
            placement: (&new.placement).into(),
        }
    }
}

impl TryFrom<NewDeedRecord> for NewDeed {
    type Error = CloudError;
    fn try_from(record: NewDeedRecord) -> Result<Self, CloudError> {
        Ok(Self {
            name: BucketName::new(&record.name).map_err(|e| CloudError::Invalid(e.to_string()))?,
            owner: AccountId::new(&record.owner),
            home: RegionId::new(&record.home),
            placement: record.placement.try_into()?,
        })
    }
}

/// A deed at rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeedRecord {
    #[serde(rename = "v")]
    format: u32,
    id: u64,
    name: String,
    owner: String,
    home: String,
    created_ms: u64,
    epoch: u64,
    #[serde(default)]
    placement: PlacementRecord,
}

/// A placement at rest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PlacementRecord {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replicas: Vec<ReplicaRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    jurisdictions: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    writes_any: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    proxy: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    successors: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accepts: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trust_reads: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trust_writes: Vec<String>,
    /// Absent for `plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unrenewed: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ReplicaRecord {
    region: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_by: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    since: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<&Placement> for PlacementRecord {
    fn from(placement: &Placement) -> Self {
        let replica = |r: &Replica| ReplicaRecord {
            region: r.region.to_string(),
            sealed_by: r.sealed_by.as_ref().map(ToString::to_string),
            since: placement.copy_since(&r.region),
        };
        Self {
            replicas: placement.replicas.iter().map(replica).collect(),
            jurisdictions: placement
                .jurisdictions
                .iter()
                .map(|j| j.to_string())
                .collect(),
            writes_any: placement.writes == Writes::Any,
            proxy: placement.proxy,
            accepts: placement.accepts.iter().map(|b| b.to_string()).collect(),
            trust_reads: Forwarder::texts(&placement.trust.reads),
            trust_writes: Forwarder::texts(&placement.trust.writes),
            successors: placement.successors.iter().map(|r| r.to_string()).collect(),
            unrenewed: (placement.unrenewed != Unrenewed::default())
                .then(|| placement.unrenewed.name().to_owned()),
        }
    }
}

impl TryFrom<PlacementRecord> for Placement {
    type Error = CloudError;
    /// Fails closed: a jurisdiction that cannot be read must not turn into no limit.
    fn try_from(record: PlacementRecord) -> Result<Self, CloudError> {
        let country = |text: &String| {
            Jurisdiction::parse(text)
                .ok_or_else(|| CloudError::Record(format!("unknown jurisdiction {text}")))
        };
        let replica = |r: ReplicaRecord| Replica {
            region: RegionId::new(&r.region),
            sealed_by: r.sealed_by.as_deref().map(RegionId::new),
        };
        let added = record.replicas.iter().filter(|r| r.since > 0);
        Ok(Self {
            since: added.map(|r| (RegionId::new(&r.region), r.since)).collect(),
            jurisdictions: record
                .jurisdictions
                .iter()
                .map(country)
                .collect::<Result<_, _>>()?,
            replicas: record.replicas.into_iter().map(replica).collect(),
            writes: if record.writes_any {
                Writes::Any
            } else {
                Writes::Home
            },
            proxy: record.proxy,
            accepts: record
                .accepts
                .iter()
                .map(|b| BucketName::new(b).map_err(|e| CloudError::Record(e.to_string())))
                .collect::<Result<_, _>>()?,
            successors: record.successors.iter().map(|r| RegionId::new(r)).collect(),
            trust: Trust {
                reads: Forwarder::list(&record.trust_reads),
                writes: Forwarder::list(&record.trust_writes),
            },
            // What is not known to this version must not be taken for less than it asks.
            unrenewed: match record.unrenewed.as_deref() {
                None => Unrenewed::default(),
                Some(text) => Unrenewed::parse(text).unwrap_or(Unrenewed::None),
            },
        })
    }
}

impl From<&BucketDeed> for DeedRecord {
    fn from(deed: &BucketDeed) -> Self {
        Self {
            format: FORMAT,
            id: deed.id.0,
            name: deed.name.to_string(),
            owner: deed.owner.to_string(),
            home: deed.home.to_string(),
            created_ms: deed.created.ms(),
            epoch: deed.epoch,
            placement: (&deed.placement).into(),
        }
    }
}

impl DeedRecord {
    pub(crate) fn into_deed(self) -> Result<BucketDeed, CloudError> {
        Ok(BucketDeed {
            id: BucketId(self.id),
            name: BucketName::new(&self.name).map_err(|e| CloudError::Record(e.to_string()))?,
            owner: AccountId::new(&self.owner),
            home: RegionId::new(&self.home),
            created: Timestamp::from_ms(self.created_ms),
            epoch: self.epoch,
            placement: self.placement.try_into()?,
        })
    }
}

/// Reads a row; a format newer than ours is refused rather than guessed at.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, CloudError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let version: Version =
        serde_json::from_slice(bytes).map_err(|e| CloudError::Record(e.to_string()))?;
    if version.v > FORMAT {
        return Err(CloudError::Record(format!(
            "written by a newer Dhow (format {})",
            version.v
        )));
    }
    serde_json::from_slice(bytes).map_err(|e| CloudError::Record(e.to_string()))
}

/// Writes a row.
pub(crate) fn write<T: Serialize>(record: &T) -> Result<String, CloudError> {
    serde_json::to_string(record).map_err(|e| CloudError::Record(e.to_string()))
}
