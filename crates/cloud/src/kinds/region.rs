//! Regions: `r/<region id>`.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use types::{AccessKeyId, AccountId, Actor, Jurisdiction, Place, RegionId, is_plain_text};

use super::Record;
use crate::{CloudError, MasterKey, change::RowNow, state::State};

/// How far a region is from its plan to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionStatus {
    /// Announced; a join token waits for it.
    Planned,
    /// It has its certificate and is being checked.
    Joining,
    /// Buckets may be stored there.
    Open,
    /// No new buckets or replicas; what it holds goes elsewhere.
    Draining,
    /// It holds nothing and may not speak to other regions.
    Closed,
}

impl RegionStatus {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Joining => "joining",
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }

    /// Why a region of this status cannot get the other, with what to do first.
    pub(crate) fn keeps_from(self, region: &str, to: Self) -> String {
        use RegionStatus::{Closed, Joining, Open, Planned};
        match (self, to) {
            (Closed, _) => format!(
                "region {region} was closed, and a closed region is not opened again: choose \
                 another id"
            ),
            (Planned, _) => format!(
                "region {region} is only planned: it joins when it is started with the token that \
                 `dhow region open {region}` printed"
            ),
            (Joining, _) => format!(
                "region {region} is joining: wait until it is open (`dhow region show {region}`)"
            ),
            (Open, Closed) => format!(
                "region {region} is open: drain it first (`dhow region drain {region} --move`)"
            ),
            (same, to) if same == to => format!("region {region} is {} already", same.name()),
            (from, to) => format!(
                "region {region} is {}, it cannot become {}",
                from.name(),
                to.name()
            ),
        }
    }
}

/// What the cloud knows of a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionRecord {
    /// Format version.
    #[serde(rename = "v")]
    pub format: u32,
    /// Such as `me-east-1`.
    pub id: String,
    /// The city, for people.
    pub city: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// ISO 3166-1 alpha-2.
    pub jurisdiction: String,
    /// The operator's id.
    pub operator: String,
    /// How far it is.
    pub status: RegionStatus,
    /// Where customers reach it; empty until it has joined.
    pub endpoint: String,
    /// Where other regions reach it (host:port); empty until it has joined.
    pub peer: String,
    /// Its Ed25519 public key in hex; empty until it has joined.
    pub public_key: String,
    /// Certificates that were issued to it and have not expired; those of before this was kept are
    /// missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issued: Vec<IssuedRecord>,
    /// Serial numbers of certificates that are no longer good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_serials: Vec<String>,
    /// Hosts and networks where it may be reached; when empty, where it was when it joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The features that it announced, where they are others than those of builds that announce
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// The move of its buckets to other regions, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainRecord>,
}

/// How far the move of a region's buckets is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainState {
    /// The registry's region moves them.
    Moving,
    /// The region has none.
    Done,
    /// It was ended before that.
    Aborted,
}

impl DrainState {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moving => "moving",
            Self::Done => "done",
            Self::Aborted => "aborted",
        }
    }
}

/// What a drain is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainOrder {
    /// The region that gets a replica in place of the one that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Also while multipart uploads are in progress: they are lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abort_uploads: bool,
}

/// A move of a region's buckets to other regions: the order, who gave it, and its end. What is left
/// follows from the deeds. Every region has this, so it names no bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRecord {
    /// How far it is.
    pub state: DrainState,
    /// What is to be done.
    #[serde(flatten)]
    pub order: DrainOrder,
    /// The account of the key that asked for it.
    pub account: String,
    /// That key.
    pub access_key: String,
    /// When it was ordered, in milliseconds since the epoch; later than any order before.
    pub begun_ms: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
}

impl DrainRecord {
    /// Who asked for it, and in whose name each change is made.
    pub fn actor(&self) -> Actor {
        Actor::Key {
            account: AccountId::new(&self.account),
            access_key: AccessKeyId::new(&self.access_key),
        }
    }
}

/// A certificate that was issued to a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedRecord {
    /// Its serial number: lower-case hex without leading zero bytes.
    pub serial: String,
    /// When it expires, in milliseconds since the epoch.
    pub not_after_ms: u64,
}

impl RegionRecord {
    /// Notes a certificate that is about to be handed out, and drops those that have expired.
    pub(crate) fn note_issued(&mut self, issued: &IssuedRecord, now_ms: u64) {
        self.issued
            .retain(|one| one.not_after_ms > now_ms && one.serial != issued.serial);
        self.issued.push(issued.clone());
    }

    /// As the rules of placement see it.
    pub fn place(&self) -> Result<Place, CloudError> {
        let jurisdiction = Jurisdiction::parse(&self.jurisdiction).ok_or_else(|| {
            CloudError::Record(format!("region {} is in no known country", self.id))
        })?;
        Ok(Place {
            region: RegionId::new(&self.id),
            jurisdiction,
            operator: self.operator.as_str().into(),
        })
    }
}

/// A region as somebody plans it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionPlan {
    /// Such as `me-east-1`: lower-case letters, digits and hyphens, at most 63.
    pub id: String,
    /// The city, for people.
    #[serde(default)]
    pub city: String,
    /// Degrees north, -90 to 90.
    #[serde(default)]
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    #[serde(default)]
    pub longitude: f64,
    /// ISO 3166-1 alpha-2.
    pub jurisdiction: String,
    /// The operator's id.
    pub operator: String,
    /// Hosts and networks where it may be reached; when empty, where it is when it joins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl RegionPlan {
    /// What the types cannot say.
    pub(crate) fn check(&self) -> Result<(), CloudError> {
        let invalid = |why: String| Err(CloudError::Invalid(why));
        if let Err(error) = RegionId::parse(&self.id) {
            return invalid(error.to_string());
        }
        match Jurisdiction::named(&self.jurisdiction) {
            Ok(country) if country.is_country() => {}
            Ok(group) => {
                return invalid(format!(
                    "{group} is a group of countries, and a region is in one country: give its \
                     ISO 3166-1 code such as AE"
                ));
            }
            Err(error) => return invalid(error.to_string()),
        }
        if let Err(why) = check_position(self.latitude, self.longitude, &self.city) {
            return invalid(why);
        }
        crate::reach::check_list(&self.addresses)
    }
}

/// Checks where a region is: degrees north and east, and the city's name, which may be empty.
///
/// # Errors
/// Which of them is wrong, and what it may be.
pub fn check_position(latitude: f64, longitude: f64, city: &str) -> Result<(), String> {
    for (what, degrees, most, way) in [
        ("latitude", latitude, 90.0, "north"),
        ("longitude", longitude, 180.0, "east"),
    ] {
        if !(-most..=most).contains(&degrees) {
            return Err(format!(
                "the {what} is {degrees}: give -{most} to {most} (degrees {way})"
            ));
        }
    }
    match is_plain_text(city, 128) {
        true => Ok(()),
        false => Err("the city's name has at most 128 bytes and no control characters".to_owned()),
    }
}

impl Record for RegionRecord {
    const PREFIX: &'static str = "r/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "r/first",
            concat!(
                r#"{"v":1,"id":"first","city":"Dubai","latitude":25.2,"longitude":-55.3,"#,
                r#""jurisdiction":"AE","operator":"op","status":"open","#,
                r#""endpoint":"http://127.0.0.1:9000","peer":"127.0.0.1:9001","#,
                r#""public_key":"00","created_ms":1}"#,
            ),
        ),
        (
            "r/second",
            concat!(
                r#"{"v":1,"id":"second","city":"","latitude":0.0,"longitude":0.0,"#,
                r#""jurisdiction":"DE","operator":"op","status":"draining","endpoint":"","#,
                r#""peer":"","public_key":"","issued":[{"serial":"4a01","not_after_ms":9}],"#,
                r#""revoked_serials":["4a00"],"addresses":["127.0.0.0/8"],"created_ms":2,"features":["x"]}"#,
            ),
        ),
        (
            "r/third",
            concat!(
                r#"{"v":1,"id":"third","city":"","latitude":0.0,"longitude":0.0,"#,
                r#""jurisdiction":"DE","operator":"op","status":"draining","endpoint":"","#,
                r#""peer":"","public_key":"","created_ms":2,"drain":{"state":"done","#,
                r#""to":"first","account":"000000000001","access_key":"DHOWONE","#,
                r#""begun_ms":3,"ended_ms":4}}"#,
            ),
        ),
    ];
    type Table = BTreeMap<String, Arc<Self>>;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Arc::new(Self::read(value)?);
        state.regions.insert(id.to_owned(), record);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.regions.remove(id);
        Ok(())
    }

    /// Revoked certificates, and a region that is closed.
    fn withdraw(state: &mut State, id: &str, now: &RowNow, _: Option<&RegionId>) -> bool {
        let RowNow::Value(value) = now else {
            return false;
        };
        let (Ok(new), Some(known)) = (Self::read(value.as_bytes()), state.regions.get(id)) else {
            return false;
        };
        let mut record = (**known).clone();
        if new.status == RegionStatus::Closed {
            record.status = new.status;
        }
        let more = new.revoked_serials.into_iter();
        let more = more.filter(|serial| !known.revoked_serials.contains(serial));
        record.revoked_serials.extend(more.collect::<Vec<_>>());
        if record == **known {
            return false;
        }
        state.regions.insert(id.to_owned(), Arc::new(record));
        true
    }
}
