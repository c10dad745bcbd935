//! How this node reaches the other regions of its cloud, and is reached by them: who it is, the
//! requests between regions, and joining.

mod clock_watch;
mod clocks;
mod files;
mod handler;
mod join;
mod neighbours;
mod reach;
mod requests;
mod seen;
mod starts;
mod unreported;
mod upstream;

pub use clock_watch::watch_clock;
pub use clocks::{Clocks, is_off};
pub use files::{Membership, certificate_expires};
pub use handler::PeerHandler;
pub use join::{Joining, join, rekey};
pub use neighbours::Neighbours;
pub use reach::Reached;
pub use requests::Requests;
pub use seen::{Seen, SeenAt};
pub use starts::{Starts, behind_in, say_start, watch_behind};
pub use unreported::Unreported;
pub use upstream::{PeerUpstream, renew};

use std::{sync::Arc, time::Duration};

use admin::{data_dir::DataDir, failure::Failure};
use cloud::{Announcement, RegionStatus, Registry};
use peer::{Authority, Client, Credentials, Identity, Peer, Revoked, Tls};
use types::{Clock, RegionId};

/// Where regions ask each other.
pub mod paths {
    /// A new region shows its token: strangers may.
    pub const JOIN: &str = "/dhow/v1/join";
    /// Questions to the registry's region.
    pub const REGISTRY: &str = "/dhow/v1/registry";
    /// A new certificate for the one that will expire.
    pub const RENEW: &str = "/dhow/v1/renew";
    /// The other side's clock and version.
    pub const HELLO: &str = "/dhow/v1/hello";
    /// Which start of the asker's region runs; what is remembered of others.
    pub const START: &str = "/dhow/v1/start";
    /// What the other side holds of a bucket, signed.
    pub const RESIDENCY: &str = "/dhow/v1/residency";
    /// Whether the other side reaches a third region.
    pub const REACH: &str = "/dhow/v1/reach";
    /// Why the other side, a bucket's home, allows or refuses a request.
    pub const WHY: &str = "/dhow/v1/why";
    /// The audit log as the other side has it, for the registry's region.
    pub const LOG: &str = "/dhow/v1/log";
    /// Requests of customers that another region answers.
    pub const PASS: &str = "/dhow/v1/pass";
}

const HELLO_WAIT: Duration = Duration::from_secs(2);

/// This node as a region among others.
pub struct Link {
    /// The region's own key.
    pub identity: Identity,
    /// What it shows and what it trusts.
    pub tls: Arc<Tls>,
    /// Sends requests.
    pub client: Client,
    /// Signs certificates; in the registry's region only.
    pub authority: Option<Authority>,
    /// What the region is part of.
    pub membership: Membership,
    /// How long a certificate is good for. Regions renew when a third of it is left.
    pub certificate_life: Duration,
}

impl Link {
    /// The link of a region that keeps the registry: makes the cloud's authority and its own
    /// certificate at the first start.
    pub fn keeper(
        dir: &DataDir,
        region: &RegionId,
        jurisdiction: &str,
        certificate_life: Duration,
        clock: &dyn Clock,
    ) -> Result<Self, Failure> {
        let identity = files::identity(dir)?;
        let authority = files::authority(dir, region, clock)?;
        let csr = identity.csr(region).map_err(wrong)?;
        let issued = authority
            .issue(&csr, region, clock.now(), certificate_life)
            .map_err(wrong)?;
        let credentials = Credentials {
            identity: identity.clone(),
            certificate: issued.pem,
            authority: authority.certificate_pem(),
            region: region.clone(),
        };
        let tls = Tls::new(credentials).map_err(wrong)?;
        Ok(Self {
            identity,
            client: Client::new(Arc::clone(&tls)),
            tls,
            authority: Some(authority),
            membership: Membership {
                region: region.to_string(),
                keeper: region.to_string(),
                keeper_peer: String::new(),
                jurisdiction: jurisdiction.to_owned(),
                rekeyed: None,
            },
            certificate_life,
        })
    }

    /// The link of a region that joined before.
    pub fn member(
        dir: &DataDir,
        membership: Membership,
        certificate_life: Duration,
    ) -> Result<Self, Failure> {
        let credentials = files::credentials(dir, &RegionId::new(&membership.region))?;
        let identity = credentials.identity.clone();
        let tls = Tls::new(credentials).map_err(wrong)?;
        Ok(Self {
            identity,
            client: Client::new(Arc::clone(&tls)),
            tls,
            authority: None,
            membership,
            certificate_life,
        })
    }

    /// The registry's region, as a peer. Its address is the one on record, or that of the token.
    pub fn keeper_peer(&self, registry: &Registry) -> Peer {
        let known = registry.region(&self.membership.keeper);
        let known = known.and_then(|r| r.peer_address().map(str::to_owned));
        Peer {
            region: RegionId::new(&self.membership.keeper),
            address: known.unwrap_or_else(|| self.membership.keeper_peer.clone()),
        }
    }

    /// What the region says of itself.
    pub fn announcement(&self, endpoint: &str, peer: &str) -> Announcement {
        Announcement {
            endpoint: endpoint.to_owned(),
            peer: peer.to_owned(),
            public_key: hex::encode(self.identity.public_key()),
        }
    }

    /// Whether a region answers within two seconds.
    pub async fn answers(&self, region: &RegionId, address: String) -> bool {
        let to = Peer {
            region: region.clone(),
            address,
        };
        let request = http::Request::builder()
            .uri(paths::HELLO)
            .body(peer::empty());
        let Ok(request) = request else {
            return false;
        };
        let answer = self.client.request_within(HELLO_WAIT, &to, request).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Refuses regions that were closed and certificates that were taken back, as soon as the
    /// registry says so, until the task is dropped.
    pub async fn follow_revocations(tls: Arc<Tls>, registry: Arc<Registry>) {
        let mut watch = registry.watch();
        loop {
            watch.borrow_and_update();
            let mut set = Revoked::default();
            for region in registry.all_regions() {
                if region.status == RegionStatus::Closed {
                    set.regions.insert(RegionId::new(&region.id));
                }
                set.serials.extend(region.revoked_serials.iter().cloned());
                // A region that has a new key has no other, whatever was issued for that.
                if let Ok(key) = hex::decode(&region.public_key)
                    && !key.is_empty()
                {
                    set.keys.insert(RegionId::new(&region.id), key);
                }
            }
            tls.revoke(set);
            if watch.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A certificate as the registry keeps it.
fn issued_record(issued: &peer::IssuedCertificate) -> cloud::IssuedRecord {
    cloud::IssuedRecord {
        serial: issued.serial.clone(),
        not_after_ms: issued.not_after.ms(),
    }
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the region's identity: {error}")).hint(
        "`dhow doctor` checks the data folder; identity.pem and authority.pem belong together",
    )
}
