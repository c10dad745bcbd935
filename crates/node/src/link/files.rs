//! The small files that say who a region is.
//!
//! | file | holds | where |
//! |---|---|---|
//! | `identity.pem` | the region's Ed25519 key | every region |
//! | `authority.pem` | the certificate of the cloud's authority | every region |
//! | `authority-key.pem` | the authority's key | the registry's region |
//! | `certificate.pem` | the certificate that the authority issued | regions that joined |
//! | `membership.json` | who keeps the registry, and where | regions that joined |

use std::fs;

use admin::{data_dir::DataDir, failure::Failure};
use peer::{Authority, Credentials, Identity, Tls};
use serde::{Deserialize, Serialize};
use types::{Clock, RegionId, Timestamp};

use super::wrong;
use crate::folder_owner::FolderOwner;

/// What a region is part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The region itself.
    pub region: String,
    /// The region that keeps the registry.
    pub keeper: String,
    /// Where that answered when this region joined (host:port).
    pub keeper_peer: String,
    /// The country in which this region is, as it was planned: ISO 3166-1 alpha-2.
    pub jurisdiction: String,
    /// The SHA-256 of the token's secret with which it last got a new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekeyed: Option<String>,
}

impl Membership {
    /// Of the region in this folder, when it has joined a cloud.
    pub fn read(dir: &DataDir) -> Result<Option<Self>, Failure> {
        let path = dir.join("membership.json");
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::new(format!("cannot read {}: {e}", path.display()))),
        }
    }
}

fn read(dir: &DataDir, name: &str) -> Result<Option<String>, Failure> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::new(format!("cannot read {}: {e}", path.display()))),
    }
}

fn must_read(dir: &DataDir, name: &str) -> Result<String, Failure> {
    read(dir, name)?.ok_or_else(|| {
        Failure::new(format!("{} is missing", dir.join(name).display()))
            .hint("restore it from a backup, or join anew with a token from `dhow region open`")
    })
}

/// The region's key, made on first use.
pub fn identity(dir: &DataDir) -> Result<Identity, Failure> {
    identity_in(dir, "identity.pem")
}

/// The key that takes the place of the region's, until it has.
const NEXT: &str = "identity-next.pem";

/// The key that is to be the region's, made on first use: written before it is shown to anybody.
pub fn next_identity(dir: &DataDir) -> Result<Identity, Failure> {
    identity_in(dir, NEXT)
}

/// The next key is the region's now.
pub fn forget_next_identity(dir: &DataDir) -> Result<(), Failure> {
    let path = dir.join(NEXT);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(format!(
            "cannot remove {}: {e}",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn identity_in(dir: &DataDir, name: &str) -> Result<Identity, Failure> {
    match read(dir, name)? {
        Some(pem) => Identity::from_pem(&pem).map_err(wrong),
        None => {
            let identity = Identity::create().map_err(wrong)?;
            dir.write_private(name, identity.to_pem().as_bytes())?;
            Ok(identity)
        }
    }
}

/// The cloud's authority, made on first use. The certificate is written last: without it the key
/// is made anew.
pub fn authority(
    dir: &DataDir,
    region: &RegionId,
    clock: &dyn Clock,
) -> Result<Authority, Failure> {
    if let Some(certificate) = read(dir, "authority.pem")? {
        let key = must_read(dir, "authority-key.pem")?;
        return Authority::from_pem(&certificate, &key).map_err(wrong);
    }
    if FolderOwner::read(dir)?.is_some() {
        // Its key may still be there: nothing is written over it.
        must_read(dir, "authority.pem")?;
    }
    // The cloud is called by the region that began it; 53 bytes are what a certificate has room
    // for.
    let name: String = region.chars().take(53).collect();
    let authority = Authority::create(&name, clock.now()).map_err(wrong)?;
    let (certificate, key) = authority.to_pem();
    dir.write_private("authority-key.pem", key.as_bytes())?;
    dir.write_private("authority.pem", certificate.as_bytes())?;
    Ok(authority)
}

/// What a region that joined shows to others.
pub fn credentials(dir: &DataDir, region: &RegionId) -> Result<Credentials, Failure> {
    Ok(Credentials {
        identity: identity(dir)?,
        certificate: must_read(dir, "certificate.pem")?,
        authority: must_read(dir, "authority.pem")?,
        region: region.clone(),
    })
}

/// When the certificate of a region that joined expires; changes nothing in the folder.
pub fn certificate_expires(dir: &DataDir, of: &Membership) -> Result<Timestamp, Failure> {
    let credentials = Credentials {
        identity: Identity::from_pem(&must_read(dir, "identity.pem")?).map_err(wrong)?,
        certificate: must_read(dir, "certificate.pem")?,
        authority: must_read(dir, "authority.pem")?,
        region: RegionId::new(&of.region),
    };
    Ok(Tls::new(credentials).map_err(wrong)?.not_after())
}
