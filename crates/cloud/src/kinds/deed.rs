//! Deeds: `n/<bucket name>`.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use types::{
    AccountId, BucketDeed, BucketId, BucketName, Forwarder, Holding, Jurisdiction, NewDeed,
    Placement, RegionId, Replica, Timestamp, Trust, Unrenewed, Writes,
};

use super::{Concern, FORMAT, Record};
use crate::{
    CloudError, MasterKey, change::RowNow, introduce::Served, state::State, warrant::RequestRecord,
};

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

impl PlacementRecord {
    /// One that allows just these jurisdictions.
    pub(super) fn within(jurisdictions: Vec<String>) -> Self {
        Self {
            jurisdictions,
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ReplicaRecord {
    region: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_by: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    since: u64,
}

pub(crate) fn is_zero(number: &u64) -> bool {
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

/// The deeds in memory, by name.
#[derive(Default)]
pub(crate) struct DeedTable {
    by_name: BTreeMap<String, Arc<BucketDeed>>,
    /// Those of each owner.
    pub by_owner: HashMap<AccountId, BTreeMap<String, Arc<BucketDeed>>>,
}

impl Deref for DeedTable {
    type Target = BTreeMap<String, Arc<BucketDeed>>;

    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

impl DeedTable {
    fn put(&mut self, name: &str, deed: BucketDeed) {
        self.remove(name);
        let deed = Arc::new(deed);
        let owned = self.by_owner.entry(deed.owner.clone()).or_default();
        owned.insert(name.to_owned(), Arc::clone(&deed));
        self.by_name.insert(name.to_owned(), deed);
    }

    fn remove(&mut self, name: &str) {
        if let Some(deed) = self.by_name.remove(name)
            && let Some(owned) = self.by_owner.get_mut(&deed.owner)
        {
            owned.remove(name);
        }
    }
}

/// Takes from a placement the trust that another one has not, and takes over its jurisdictions if
/// they allow less.
fn narrow(known: &mut Placement, new: &Placement) {
    let keep = |known: &mut Vec<Forwarder>, new: &[Forwarder]| {
        known.retain(|forwarder| new.contains(forwarder));
    };
    keep(&mut known.trust.reads, &new.trust.reads);
    keep(&mut known.trust.writes, &new.trust.writes);
    known.accepts.retain(|bucket| new.accepts.contains(bucket));
    known.proxy &= new.proxy;
    let allows_all = known.jurisdictions.is_empty();
    let within = |one| known.jurisdictions.contains(one);
    if !new.jurisdictions.is_empty() && (allows_all || new.jurisdictions.iter().all(within)) {
        known.jurisdictions.clone_from(&new.jurisdictions);
    }
}

impl Record for DeedRecord {
    const PREFIX: &'static str = "n/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "n/photos",
            concat!(
                r#"{"v":1,"id":7,"name":"photos","owner":"000000000001","home":"first","#,
                r#""created_ms":1,"epoch":1,"placement":{}}"#,
            ),
        ),
        (
            "n/papers",
            concat!(
                r#"{"v":1,"id":8,"name":"papers","owner":"000000000001","home":"first","#,
                r#""created_ms":2,"epoch":3,"placement":{"replicas":[{"region":"second","#,
                r#""sealed_by":"first","since":4},{"region":"third"}],"#,
                r#""jurisdictions":["AE","EU"],"writes_any":true,"proxy":true,"#,
                r#""successors":["third"],"accepts":["photos"],"trust_reads":["@operator"],"#,
                r#""trust_writes":["third"],"unrenewed":"none"}}"#,
            ),
        ),
    ];
    type Table = DeedTable;

    fn put(state: &mut State, _: &MasterKey, name: &str, value: &[u8]) -> Result<(), CloudError> {
        state.deeds.put(name, Self::read(value)?.into_deed()?);
        Ok(())
    }

    fn remove(state: &mut State, name: &str) -> Result<(), CloudError> {
        state.deeds.remove(name);
        Ok(())
    }

    /// A bucket that is not placed here any more, or not readable; trust and jurisdictions that it
    /// no longer has.
    fn withdraw(state: &mut State, name: &str, now: &RowNow, here: Option<&RegionId>) -> bool {
        let RowNow::Value(value) = now else {
            return false;
        };
        let deed = Self::read(value.as_bytes()).and_then(Self::into_deed);
        let (Ok(deed), Some(known)) = (deed, state.deeds.get(name)) else {
            return false;
        };
        if known.id != deed.id {
            return false;
        }
        let less = |here| match (known.holding(here), deed.holding(here)) {
            (Holding::Nothing, _) => false,
            (_, Holding::Nothing) => true,
            (Holding::Home | Holding::Replica, Holding::Sealed) => true,
            _ => false,
        };
        if here.is_some_and(less) {
            // As it will be read from the disk.
            state.deeds.put(name, deed);
            return true;
        }
        let mut narrowed = (**known).clone();
        narrow(&mut narrowed.placement, &deed.placement);
        let withdrawn = narrowed != **known;
        if withdrawn {
            state.deeds.put(name, narrowed);
        }
        withdrawn
    }

    fn concerns(served: &Served<'_>, name: &str, now: &RowNow) -> Concern {
        match now {
            RowNow::Value(_) => served
                .owner_of(name)
                .map_or(Concern::Nobody, Concern::Owner),
            RowNow::Hidden(_) | RowNow::Removed => Concern::Nobody,
        }
    }
}
