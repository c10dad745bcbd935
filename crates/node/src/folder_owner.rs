//! Whose a data folder is: one region of one cloud. Written durably at the first start; a folder
//! refuses to start as another, since every bucket in it would be somebody else's there.

use admin::{data_dir::DataDir, failure::Failure};
use cloud::Registry;
use serde::{Deserialize, Serialize};
use types::{Deeds, RegionId};

use crate::{
    config::Config,
    link::{Link, Membership},
};

pub const OWNER_FILE: &str = "owner.json";
/// The format written today. A newer one is refused.
const FORMAT: u32 = 1;

/// The region whose data a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderOwner {
    #[serde(rename = "v")]
    format: u32,
    /// SHA-256 of the certificate of the cloud's authority, in hex.
    pub cloud: String,
    /// The region's id.
    pub region: String,
}

impl FolderOwner {
    /// Of the region that `link` shows to others.
    pub fn of(link: &Link, region: &str) -> Self {
        Self {
            format: FORMAT,
            cloud: hex::encode(link.tls.authority_fingerprint()),
            region: region.to_owned(),
        }
    }

    /// Of a folder; `None` for one that has not been started since folders know it. A file that
    /// cannot be read is an error: it must not turn into a folder that is anybody's.
    pub fn read(dir: &DataDir) -> Result<Option<Self>, Failure> {
        let path = dir.join(OWNER_FILE);
        let broken = |why: String| {
            Failure::new(format!("cannot read {}: {why}", path.display()))
                .hint("restore it from a backup: it says whose data this folder holds")
        };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(broken(e.to_string())),
        };
        let owner: Self = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        match owner.format == FORMAT {
            true => Ok(Some(owner)),
            false => Err(broken(format!("it has format {}", owner.format))),
        }
    }

    /// Writes it down.
    pub fn write(&self, dir: &DataDir) -> Result<(), Failure> {
        dir.write_private(OWNER_FILE, &serde_json::to_vec_pretty(self)?)
    }

    /// Refuses to be opened as region `asked`.
    pub fn must_be_region(&self, dir: &DataDir, asked: &str) -> Result<(), Failure> {
        match self.region == asked {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "the data folder {} belongs to region {} (cloud {}) and cannot be started as \
                 region {asked}",
                dir.path().display(),
                self.region,
                short(&self.cloud),
            ))
            .hint(format!(
                "start it as what it is (--region {}, or `region = \"{}\"` in the configuration), \
                 or give region {asked} a folder of its own with --data; nothing was changed",
                self.region, self.region
            ))),
        }
    }

    /// Refuses to be opened as part of another cloud.
    pub fn must_be_cloud(&self, dir: &DataDir, other: &Self) -> Result<(), Failure> {
        match self.cloud == other.cloud {
            true => self.must_be_region(dir, &other.region),
            false => Err(Failure::new(format!(
                "the data folder {} belongs to region {} of cloud {}, and its authority.pem is \
                 that of cloud {}",
                dir.path().display(),
                self.region,
                self.cloud,
                other.cloud,
            ))
            .hint("restore the folder's authority.pem from a backup; nothing was changed")),
        }
    }
}

/// The region as which the folder is to be started: a region that joined has its id from the
/// cloud, whatever the configuration says that names none.
pub fn asked(config: &Config, membership: Option<&Membership>, joins: Option<&RegionId>) -> String {
    let unsaid = config.region == Config::default().region;
    match (membership, joins) {
        // The command with which it joined may be given again.
        (_, Some(joins)) => joins.to_string(),
        (Some(membership), None) if unsaid => membership.region.clone(),
        _ => config.region.clone(),
    }
}

/// Refuses a token for another region than the one that the configuration names: two tokens that
/// were taken for each other would make each machine the other region, in another country.
pub fn must_be_named(config: &Config, joins: &RegionId) -> Result<(), Failure> {
    let named = &config.region;
    if *named == Config::default().region || **joins == **named {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the token is for region {joins}, and this is to be region {named}"
    ))
    .hint(format!(
        "take the token that `dhow region open {named}` printed; or, if this machine is to be \
         {joins}, name that (`region` in the configuration, or --region). Nothing was sent or \
         written"
    )))
}

/// The region to which a folder belongs that was written before folders knew it: a region that
/// joined is what its certificate says. The registry's region is the one that it has on record with
/// this folder's key; when there are several, it was started under another id before, and is the
/// one that holds buckets. Without any such trace this is its first start.
pub fn adopted(link: &Link, registry: &Registry) -> String {
    let own = link.tls.region().to_string();
    if link.authority.is_none() {
        return own;
    }
    let key = hex::encode(link.identity.public_key());
    let mut mine: Vec<_> = registry.all_regions();
    mine.retain(|r| r.public_key == key);
    mine.sort_by_key(|r| r.created_ms);
    let holds: Vec<_> = mine
        .iter()
        .filter(|r| registry.held_by(&r.id) > 0)
        .collect();
    match (holds.as_slice(), mine.as_slice()) {
        ([one], _) => one.id.clone(),
        ([], []) => {
            // A registry from before regions were on record has deeds all the same.
            let deeds = registry.all();
            let home = deeds.first().map(|deed| deed.home.to_string());
            home.unwrap_or(own)
        }
        ([], [one]) => one.id.clone(),
        ([], _) => own,
        (several, _) => {
            let own = several.iter().find(|r| r.id == own).or(several.first());
            own.map_or_else(String::new, |r| r.id.clone())
        }
    }
}

fn short(cloud: &str) -> &str {
    cloud.get(..12).unwrap_or(cloud)
}
