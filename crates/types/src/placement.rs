//! Where a bucket may be stored: regions, the law that holds in each, and what a bucket's owner
//! allows.

use std::{collections::BTreeMap, fmt, ops::Deref, sync::Arc};

use crate::{BucketName, RegionId, countries};

/// Whose law holds: an ISO 3166-1 alpha-2 country code such as `AE`, or a named group of countries
/// (`EU`, `EEA`). A region is in a country; a bucket may allow countries and groups.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jurisdiction(Arc<str>);

/// Members of the European Union (europa.eu, "EU countries", 27 since 2020).
const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];
/// Of the European Economic Area beside them (efta.int).
const EEA_ONLY: [&str; 3] = ["IS", "LI", "NO"];

impl Jurisdiction {
    /// Takes two capital letters or the name of a known group; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let country = text.len() == 2 && text.bytes().all(|c| c.is_ascii_uppercase());
        // "EU" passes for a country by its form; `is_country` distinguishes them.
        (country || text == "EEA").then(|| Self(text.into()))
    }

    /// Takes what a person writes: the code of a country that there is, `EU`, `EEA`, or `ZZ`, in
    /// any case. [`Jurisdiction::parse`] is for what is on record already.
    ///
    /// # Errors
    /// Says what is wrong, and which code may be meant.
    pub fn named(text: &str) -> Result<Self, UnknownJurisdiction> {
        let code = text.to_ascii_uppercase();
        let known = countries::is_code(&code) || matches!(&*code, "EU" | "EEA" | "ZZ");
        match known {
            true => Ok(Self(code.into())),
            false => Err(UnknownJurisdiction {
                hint: countries::meant_by(&code),
                text: text.to_owned(),
            }),
        }
    }

    /// A region whose country nobody has said: in no group, and equal only to itself. `ZZ` is a
    /// code that ISO 3166-1 leaves to its users.
    pub fn unknown() -> Self {
        Self("ZZ".into())
    }

    /// Whether this names a country, as a region must, and not a group.
    pub fn is_country(&self) -> bool {
        !matches!(&*self.0, "EU" | "EEA")
    }

    /// Whether all of `country` (or group) is in this country or group.
    pub fn contains(&self, country: &Jurisdiction) -> bool {
        match &*self.0 {
            own if *own == *country.0 => true,
            "EU" => EU.contains(&&*country.0),
            "EEA" if &*country.0 == "EU" => true,
            "EEA" => EU.contains(&&*country.0) || EEA_ONLY.contains(&&*country.0),
            _ => false,
        }
    }
}

/// A text that is no jurisdiction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no country or group: give an ISO 3166-1 alpha-2 code such as AE, or EU or EEA{}",
    hint.map(|code| format!(" (perhaps {code} is meant)")).unwrap_or_default()
)]
pub struct UnknownJurisdiction {
    text: String,
    hint: Option<&'static str>,
}

impl Deref for Jurisdiction {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl fmt::Display for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A region as the rules of placement see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which region.
    pub region: RegionId,
    /// The country in which it is.
    pub jurisdiction: Jurisdiction,
    /// Who runs it; empty where nobody has said.
    pub operator: Arc<str>,
}

impl Place {
    /// A region whose country and operator nobody has said.
    pub fn unknown(region: RegionId) -> Self {
        Self {
            region,
            jurisdiction: Jurisdiction::unknown(),
            operator: "".into(),
        }
    }

    /// Whether one operator runs both.
    pub fn is_of_operator_of(&self, other: &Place) -> bool {
        self.region == other.region
            || (!self.operator.is_empty() && self.operator == other.operator)
    }
}

/// A region that keeps a replica of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    /// The region that keeps the replica.
    pub region: RegionId,
    /// For a sealed replica: the region that holds the key which its operator has not.
    pub sealed_by: Option<RegionId>,
}

/// Which regions accept writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writes {
    /// The home region; replicas forward writes to it.
    #[default]
    Home,
    /// Every region that holds the bucket.
    Any,
}

/// Whose word counts for what a customer asked, where no signature proves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forwarder {
    /// Every region of the operator who runs the region that acts.
    Operator,
    /// This region.
    Region(RegionId),
}

impl Forwarder {
    /// The word for [`Forwarder::Operator`]; no region can be called so.
    pub const OPERATOR: &'static str = "@operator";

    /// Reads a region's id, or [`Forwarder::OPERATOR`].
    pub fn parse(text: &str) -> Self {
        match text {
            Self::OPERATOR => Self::Operator,
            region => Self::Region(RegionId::new(region)),
        }
    }

    /// Reads each.
    pub fn list(texts: &[String]) -> Vec<Self> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// Writes each.
    pub fn texts(list: &[Self]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str(Self::OPERATOR),
            Self::Region(region) => f.write_str(region),
        }
    }
}

/// Regions that a bucket's owner trusts for requests that they forward.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// For reads, while nobody can be asked who could verify the signature.
    pub reads: Vec<Forwarder>,
    /// For writes, also where the signature does not cover the body.
    pub writes: Vec<Forwarder>,
}

/// What a home takes that no other region renews (docs/regions.md).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unrenewed {
    /// Writes without conditions.
    #[default]
    Plain,
    /// No writes.
    None,
    /// All writes: after a promotion two regions may decide for a while.
    All,
}

impl Unrenewed {
    /// Its name in deeds, commands and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::None => "none",
            Self::All => "all",
        }
    }

    /// Reads such a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Plain, Self::None, Self::All]
            .into_iter()
            .find(|one| one.name() == text)
    }
}

/// Where a bucket may be stored beside its home, and what else its owner allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Replicas, in order of region.
    pub replicas: Vec<Replica>,
    /// Where its bytes may be stored and travel; empty allows every country.
    pub jurisdictions: Vec<Jurisdiction>,
    /// Which regions accept writes.
    pub writes: Writes,
    /// Whether regions that hold nothing of it may forward requests, and so see what passes.
    pub proxy: bool,
    /// Whose word counts where no signature proves a request; nobody's by default.
    pub trust: Trust,
    /// Which replicas the owner wants as home when the home is lost, the first one first. Replicas
    /// that are not named come after them.
    pub successors: Vec<RegionId>,
    /// Buckets of the same account whose rules may send versions here although another operator
    /// runs their home.
    pub accepts: Vec<BucketName>,
    /// Of replicas that were added after the bucket was made: the number of the registry's change
    /// that added each. What was known about a replica ends with its removal; a region that keeps
    /// one again keeps another one.
    pub since: BTreeMap<RegionId, u64>,
    /// What the home takes while no other region renews it.
    pub unrenewed: Unrenewed,
}

impl Placement {
    /// Which of all replicas that a region was to keep is meant: it differs after a removal.
    pub fn copy_since(&self, region: &RegionId) -> u64 {
        self.since.get(region).copied().unwrap_or_default()
    }

    /// Whether the bucket's bytes may be in `country`.
    pub fn admits(&self, country: &Jurisdiction) -> bool {
        self.jurisdictions.is_empty() || self.jurisdictions.iter().any(|j| j.contains(country))
    }

    /// The regions that could become the home, in the order that the owner wants: the successors,
    /// then the other replicas in order of region. A sealed replica cannot, for its region cannot
    /// read it.
    pub fn succession(&self) -> impl Iterator<Item = &RegionId> {
        let readable = |region: &RegionId| {
            let mut copies = self.replicas.iter();
            copies.any(|r| r.region == *region && r.sealed_by.is_none())
        };
        let named = self.successors.iter();
        let others = self.replicas.iter().map(|r| &r.region);
        let others = others.filter(|region| !self.successors.contains(region));
        named.chain(others).filter(move |region| readable(region))
    }

    /// Whether bytes that this placement binds may go into a bucket with placement `other`: it
    /// must not lead anywhere that this one forbids, now or after its own regions change.
    pub fn covers(&self, other: &Placement) -> bool {
        self.jurisdictions.is_empty()
            || (!other.jurisdictions.is_empty()
                && other.jurisdictions.iter().all(|j| self.admits(j)))
    }
}

/// What a region is to a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Its writes are ordered here.
    Home,
    /// A replica that its region can read.
    Replica,
    /// A replica that its region cannot read.
    Sealed,
    /// Nothing of it is here.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_chooses_who_follows_and_no_sealed_copy_does() {
        let region = |name: &str| RegionId::new(name);
        let copy = |name: &str, sealed: bool| Replica {
            region: region(name),
            sealed_by: sealed.then(|| region("home")),
        };
        let mut placement = Placement {
            replicas: vec![copy("a", false), copy("b", true), copy("c", false)],
            ..Placement::default()
        };
        let order = |placement: &Placement| -> Vec<String> {
            placement.succession().map(ToString::to_string).collect()
        };
        assert_eq!(order(&placement), ["a", "c"]);
        // Neither a sealed replica nor a region without one follows, whatever the list says.
        placement.successors = vec![region("c"), region("b"), region("gone")];
        assert_eq!(order(&placement), ["c", "a"]);
    }

    #[test]
    fn groups_hold_their_members_only() {
        let j = |text| Jurisdiction::parse(text).unwrap();
        assert!(j("EU").contains(&j("DE")) && !j("EU").contains(&j("NO")));
        assert!(j("EEA").contains(&j("NO")) && j("EEA").contains(&j("FR")));
        assert!(j("AE").contains(&j("AE")) && !j("AE").contains(&j("CN")));
        assert!(!j("EU").contains(&Jurisdiction::unknown()));
        assert!(!j("DE").contains(&j("EU")) && j("EEA").contains(&j("EU")));
        assert!(j("EU").contains(&j("EU")) && !j("EU").contains(&j("EEA")));
        for bad in ["", "de", "DEU", "D", "E1", "eea"] {
            assert_eq!(Jurisdiction::parse(bad), None, "{bad}");
        }
        for (text, code) in [("de", "DE"), ("Eu", "EU"), ("eea", "EEA"), ("ZZ", "ZZ")] {
            assert_eq!(Jurisdiction::named(text), Ok(j(code)), "{text}");
        }
        for bad in ["", "QQ", "XX", "UK", "DEU", "D", "E1", "EU "] {
            assert!(Jurisdiction::named(bad).is_err(), "{bad}");
        }
        let error = Jurisdiction::named("uk").unwrap_err().to_string();
        assert!(error.contains("perhaps GB"), "{error}");
        let only_eu = Placement {
            jurisdictions: vec![j("EU")],
            ..Placement::default()
        };
        assert!(only_eu.admits(&j("IE")) && !only_eu.admits(&j("US")));
        assert!(Placement::default().admits(&Jurisdiction::unknown()));
    }
}
