//! Who makes a change of the registry, for its audit log.

use std::fmt;

use crate::{AccessKeyId, AccountId, RegionId};

/// Who makes a change. One that names a key is made of an authenticated caller only
/// (`access::Identity::actor`, the admin API's sender), or of the request that a region sent along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The registry's region itself, or whoever works offline on its data folder.
    System,
    /// The holder of an access key, whose signature was verified in the registry's region.
    Key {
        /// The account of the key.
        account: AccountId,
        /// The key.
        access_key: AccessKeyId,
    },
    /// A region, known by its certificate.
    Region(RegionId),
    /// A caller whose signed request a region sent along, and whose signature was verified in the
    /// registry's region.
    Through {
        /// The region, known by its certificate.
        region: RegionId,
        /// The account.
        account: AccountId,
        /// The key, where the region names it.
        access_key: Option<AccessKeyId>,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Key {
                account,
                access_key,
            } => write!(f, "account {account} key {access_key}"),
            Self::Region(region) => write!(f, "region {region}"),
            Self::Through {
                region,
                account,
                access_key: Some(key),
            } => write!(f, "account {account} key {key} through region {region}"),
            Self::Through {
                region, account, ..
            } => write!(f, "account {account} through region {region}"),
        }
    }
}
