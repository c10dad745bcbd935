//! What a build of Dhow knows beyond the first release that regions can be compared by: names that
//! a region announces, and what the placement of a bucket needs of the regions that hold it.
//!
//! A region of a build that announces nothing has [`Features::base`]. Names are never used again
//! for something else. A newer build announces names that this one does not know; they are kept.

use std::collections::BTreeSet;

use crate::{BucketDeed, Holding, RegionId, Unrenewed, Writes};

/// Names that one region announces, at most.
pub const FEATURES_MAX: usize = 128;
/// Bytes of such a name.
pub const FEATURE_BYTES_MAX: usize = 48;

/// Sealed replicas: the home seals them, their region keeps what it cannot read.
pub const SEALED_REPLICAS: &str = "sealed-replicas";
/// Buckets whose replicas take writes too.
pub const WRITES_ANY: &str = "writes-any";
/// What a home takes that no other region renews can be chosen.
pub const UNRENEWED: &str = "unrenewed";
/// Regions that a bucket's owner trusts.
pub const TRUSTED_REGIONS: &str = "trusted-regions";
/// Buckets whose rules are accepted from another operator's region.
pub const ACCEPTED_RULES: &str = "accepted-rules";
/// Object and upload records with tagged fields.
pub const OBJECT_LAYOUT_2: &str = "object-layout-2";
/// Bucket configurations with tagged fields.
pub const BUCKET_LAYOUT_4: &str = "bucket-layout-4";
/// Users of accounts, whose keys may do what the users' policies allow.
pub const IDENTITIES: &str = "identities";
/// Roles of accounts, of which sessions can be.
pub const ROLES: &str = "roles";
/// Tokens of sessions, and the keys that open them.
pub const SESSIONS: &str = "sessions";
/// Access control lists, and what an account says of public access to its buckets.
pub const ACCESS_LISTS: &str = "access-lists";
/// Identity providers of accounts, and sessions of roles that begin with their tokens.
pub const WEB_IDENTITY: &str = "web-identity";

/// Public keys of access keys, and accounts that take asymmetric signatures only.
pub const ASYMMETRIC_SIGNATURES: &str = "asymmetric-signatures";

/// Aliases of accounts.
pub const ACCOUNT_ALIASES: &str = "account-aliases";

/// Keys of signatures with HMAC-SHA1, and accounts that take them.
pub const OLD_SIGNATURES: &str = "old-signatures";

/// Guard policies of accounts.
pub const GUARD_POLICIES: &str = "guard-policies";

/// Sessions that are ended singly.
pub const ENDED_SESSIONS: &str = "ended-sessions";

/// What builds know that announce nothing.
const BASE: &[&str] = &[
    ACCEPTED_RULES,
    BUCKET_LAYOUT_4,
    OBJECT_LAYOUT_2,
    SEALED_REPLICAS,
    TRUSTED_REGIONS,
    UNRENEWED,
    WRITES_ANY,
];
/// What this build knows beyond that.
const SINCE: &[&str] = &[
    ACCESS_LISTS,
    ACCOUNT_ALIASES,
    ASYMMETRIC_SIGNATURES,
    ENDED_SESSIONS,
    GUARD_POLICIES,
    IDENTITIES,
    OLD_SIGNATURES,
    ROLES,
    SESSIONS,
    WEB_IDENTITY,
];

/// Features that a region knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features(BTreeSet<String>);

/// Why a list of features is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a region announces at most {FEATURES_MAX} features, each once, with names of 1 to \
     {FEATURE_BYTES_MAX} lower-case letters, digits and hyphens"
)]
pub struct InvalidFeatures;

impl Features {
    /// Those of builds that announce nothing.
    pub fn base() -> Self {
        Self(BASE.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Those of this build.
    pub fn own() -> Self {
        let all = BASE.iter().chain(SINCE);
        Self(all.map(|name| (*name).to_owned()).collect())
    }

    /// Those that a region announces.
    ///
    /// # Errors
    /// The list is too long, or a name is none or there twice.
    pub fn announced(names: &[String]) -> Result<Self, InvalidFeatures> {
        let is_letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let is_name = |name: &String| {
            (1..=FEATURE_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter)
        };
        let set: BTreeSet<String> = names.iter().cloned().collect();
        match names.len() <= FEATURES_MAX && set.len() == names.len() && names.iter().all(is_name) {
            true => Ok(Self(set)),
            false => Err(InvalidFeatures),
        }
    }

    /// Without these.
    pub fn without(mut self, names: &[String]) -> Self {
        self.0.retain(|name| !names.contains(name));
        self
    }

    /// Whether this one is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// In order of name.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

/// A feature, and whether a region has to know it to hold this bucket.
pub type Need = (&'static str, fn(&BucketDeed, &RegionId) -> bool);

/// What placements need, of the regions that hold the bucket.
pub const NEEDS: &[Need] = &[
    (SEALED_REPLICAS, |deed, region| match deed.holding(region) {
        Holding::Home => deed
            .placement
            .replicas
            .iter()
            .any(|r| r.sealed_by.is_some()),
        holding => holding == Holding::Sealed,
    }),
    (WRITES_ANY, |deed, region| {
        deed.placement.writes == Writes::Any && deed.holding(region) != Holding::Sealed
    }),
    (UNRENEWED, |deed, region| {
        deed.placement.unrenewed != Unrenewed::default() && deed.holding(region) != Holding::Sealed
    }),
    (TRUSTED_REGIONS, |deed, _| {
        let trust = &deed.placement.trust;
        !(trust.reads.is_empty() && trust.writes.is_empty())
    }),
    (ACCEPTED_RULES, |deed, region| {
        !deed.placement.accepts.is_empty() && deed.holding(region) == Holding::Home
    }),
];

/// The features among `needs` that the bucket needs of a region that holds it, and that the region
/// does not know.
pub fn lacking<'n>(
    needs: &'n [Need],
    deed: &'n BucketDeed,
    region: &'n RegionId,
    known: &'n Features,
) -> impl Iterator<Item = &'static str> + 'n {
    let lacks = move |(name, is_needed): &&Need| !known.has(name) && is_needed(deed, region);
    needs.iter().filter(lacks).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, BucketId, BucketName, Forwarder, Placement, Replica, Timestamp};

    fn region(name: &str) -> RegionId {
        RegionId::new(name)
    }

    fn deed(change: impl Fn(&mut Placement)) -> BucketDeed {
        let replica = |name: &str, sealed: bool| Replica {
            region: region(name),
            sealed_by: sealed.then(|| region("home")),
        };
        let mut placement = Placement {
            replicas: vec![replica("copy", false)],
            ..Placement::default()
        };
        change(&mut placement);
        if placement.proxy {
            placement.replicas.push(replica("sealed", true));
        }
        BucketDeed {
            id: BucketId(1),
            name: BucketName::new("photos").unwrap(),
            owner: AccountId::new("1"),
            home: region("home"),
            created: Timestamp::from_ms(1),
            epoch: 1,
            placement,
        }
    }

    /// The regions that need each feature, of those that hold the bucket.
    fn needed(deed: &BucketDeed) -> Vec<(&'static str, Vec<String>)> {
        let none = Features::base().without(&Features::base().names());
        let by = |name: &'static str| {
            let holders = deed.holders();
            let needing = holders.filter(|r| lacking(NEEDS, deed, r, &none).any(|n| n == name));
            (name, needing.map(ToString::to_string).collect::<Vec<_>>())
        };
        let all = NEEDS.iter().map(|(name, _)| by(name));
        all.filter(|(_, regions)| !regions.is_empty()).collect()
    }

    #[test]
    fn each_option_of_a_placement_needs_its_feature_of_the_regions_that_act_on_it() {
        let all = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(needed(&deed(|_| {})), []);
        let sealed = deed(|placement| placement.proxy = true);
        let of_two = all(&["home", "sealed"]);
        assert_eq!(needed(&sealed), [(SEALED_REPLICAS, of_two)]);
        let both = || all(&["home", "copy"]);
        let any = deed(|placement| placement.writes = Writes::Any);
        assert_eq!(needed(&any), [(WRITES_ANY, both())]);
        let none = deed(|placement| placement.unrenewed = Unrenewed::None);
        assert_eq!(needed(&none), [(UNRENEWED, both())]);
        let trusts = deed(|placement| placement.trust.reads = vec![Forwarder::Operator]);
        assert_eq!(needed(&trusts), [(TRUSTED_REGIONS, both())]);
        let accepts = |placement: &mut Placement| {
            placement.accepts = vec![BucketName::new("source").unwrap()];
        };
        assert_eq!(needed(&deed(accepts)), [(ACCEPTED_RULES, all(&["home"]))]);
    }

    #[test]
    fn what_this_build_needs_it_knows_and_so_does_one_that_announces_nothing() {
        for (name, _) in NEEDS {
            assert!(Features::own().has(name), "{name}");
        }
        // What came later is needed by what came later only.
        for name in SINCE {
            assert!(!Features::base().has(name), "{name}");
        }
        assert!(Features::announced(&Features::own().names()).is_ok());
    }

    #[test]
    fn a_list_has_a_bound_and_names_each_once() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let newer = Features::announced(&list(&["x-of-a-later-release", "writes-any"])).unwrap();
        assert!(newer.has("x-of-a-later-release") && !newer.has("sealed-replicas"));
        assert!(Features::announced(&[]).is_ok());
        let long = "a".repeat(FEATURE_BYTES_MAX + 1);
        for bad in ["", "Writes", "writes any", "writes\n", "\u{e9}", &long] {
            assert!(Features::announced(&list(&[bad])).is_err(), "{bad}");
        }
        assert!(Features::announced(&list(&["twice", "twice"])).is_err());
        let many = |count: usize| (0..count).map(|n| format!("f{n}")).collect::<Vec<_>>();
        assert!(Features::announced(&many(FEATURES_MAX)).is_ok());
        assert!(Features::announced(&many(FEATURES_MAX + 1)).is_err());
    }
}
