//! Joining a cloud with a token.

use std::{sync::Arc, time::Duration};

use admin::{data_dir::DataDir, failure::Failure};
use cloud::{Announcement, Registry};
use http::{Method, Request};
use peer::{Client, Identity, JoinToken, Peer, collect, full};
use serde::{Deserialize, Serialize};
use types::{Clock, RegionId, SystemClock};

use super::{Membership, files, paths, wrong};

const ANSWER_BYTES_MAX: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// What a new region sends.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joining {
    /// The token's secret, in hex.
    secret: String,
    /// Who joins.
    region: String,
    /// A request for a certificate (PKCS#10, DER), in hex.
    csr: String,
    /// Where it can be reached.
    announcement: Announcement,
}

/// What it gets.
#[derive(Serialize, Deserialize)]
struct Joined {
    certificate: String,
    authority: String,
    keeper: String,
    jurisdiction: String,
}

/// Joins the cloud of `token`, and writes down what the region then is. `endpoint` and `peer` are
/// where it will be reached.
pub async fn join(
    dir: &DataDir,
    token: &JoinToken,
    endpoint: &str,
    peer: &str,
) -> Result<Membership, Failure> {
    let identity = files::identity(dir)?;
    let joined = show(token, &identity, endpoint, peer).await?;
    dir.write_private("certificate.pem", joined.certificate.as_bytes())?;
    dir.write_private("authority.pem", joined.authority.as_bytes())?;
    let membership = Membership {
        region: token.joins.to_string(),
        keeper: joined.keeper,
        keeper_peer: token.address.clone(),
        jurisdiction: joined.jurisdiction,
        rekeyed: None,
    };
    // Last: with it the region has joined.
    dir.write_private("membership.json", &serde_json::to_vec_pretty(&membership)?)?;
    Ok(membership)
}

/// Gives a region that joined before a new key, with a token for that. Cut off in the midst, it is
/// done again with the same token, which is good for this key only; done, the token changes nothing
/// more.
pub async fn rekey(
    dir: &DataDir,
    membership: Membership,
    token: &JoinToken,
    endpoint: &str,
    peer: &str,
) -> Result<Membership, Failure> {
    let hash = cloud::token_hash(&token.secret);
    if membership.rekeyed.as_ref() == Some(&hash) {
        // It may have been cut off before it removed this.
        files::forget_next_identity(dir)?;
        return Ok(membership);
    }
    if *token.joins != *membership.region {
        return Err(Failure::new(format!(
            "the token is for region {}, and this folder is region {}",
            token.joins, membership.region
        ))
        .hint("`dhow region rekey` at the registry's region makes one for this region"));
    }
    let identity = files::next_identity(dir)?;
    let joined = show(token, &identity, endpoint, peer)
        .await
        .map_err(|failure| {
            failure.hint(format!(
            "without the token (DHOW_REKEY, or `cloud.rekey`) the region starts with the key that \
             it has; `dhow region rekey {}` makes a new token",
            membership.region
        ))
        })?;
    dir.write_private("identity.pem", identity.to_pem().as_bytes())?;
    dir.write_private("certificate.pem", joined.certificate.as_bytes())?;
    let membership = Membership {
        rekeyed: Some(hash),
        ..membership
    };
    dir.write_private("membership.json", &serde_json::to_vec_pretty(&membership)?)?;
    files::forget_next_identity(dir)?;
    tracing::info!(
        region = membership.region,
        "the region has a new key; all earlier certificates are revoked"
    );
    Ok(membership)
}

/// Shows a token with a key to the registry's region, and gets a certificate for that.
async fn show(
    token: &JoinToken,
    identity: &Identity,
    endpoint: &str,
    peer: &str,
) -> Result<Joined, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let client = Client::stranger(token.fingerprint, clock).map_err(wrong)?;
    let ask = Joining {
        secret: hex::encode(token.secret),
        region: token.joins.to_string(),
        csr: hex::encode(identity.csr(&token.joins).map_err(wrong)?),
        announcement: Announcement {
            endpoint: endpoint.to_owned(),
            peer: peer.to_owned(),
            public_key: hex::encode(identity.public_key()),
        },
    };
    let keeper = Peer {
        region: token.region.clone(),
        address: token.address.clone(),
    };
    let failed = |what: String| {
        Failure::new(format!(
            "cannot join the cloud of region {} at {}: {what}",
            token.region, token.address
        ))
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(paths::JOIN)
        .body(full(serde_json::to_vec(&ask)?))
        .map_err(|e| failed(e.to_string()))?;
    let answer = client.request(&keeper, request).await;
    let answer = answer.map_err(|e| failed(e.to_string()))?;
    let good = answer.status().is_success();
    let body = collect(answer.into_body(), ANSWER_BYTES_MAX, PATIENCE).await;
    let body = body.map_err(|e| failed(e.to_string()))?;
    if !good {
        let why = types::text::of_peer(&body);
        return Err(failed(why).hint(
            "the cloud's owner can put right what is named, and this token is good until it is \
             used or its hours are over; `dhow region open` (or `dhow region rekey`, for a new \
             key) makes a new one",
        ));
    }
    Ok(serde_json::from_slice(&body)?)
}

impl Joining {
    /// The other side: lets the region in, if its token opens, and answers with what it needs.
    pub async fn admit(
        self,
        registry: &Registry,
        authority: &peer::Authority,
        keeper: &RegionId,
        certificate_life: Duration,
        clock: &dyn Clock,
    ) -> Result<Vec<u8>, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let secret = hex::decode(&self.secret).map_err(|e| text(&e))?;
        let csr = hex::decode(&self.csr).map_err(|e| text(&e))?;
        let region = RegionId::new(&self.region);
        // Signed before the token is spent: a request that cannot be signed leaves it good.
        let issued = authority
            .issue(&csr, &region, clock.now(), certificate_life)
            .map_err(|e| text(&e))?;
        if self.announcement.public_key != hex::encode(&issued.public_key) {
            return Err("the certificate is asked for another key than is announced".to_owned());
        }
        let record = registry
            .join(
                &secret,
                &self.region,
                &self.announcement,
                &super::issued_record(&issued),
            )
            .await
            .map_err(|e| text(&e))?;
        let joined = Joined {
            certificate: issued.pem,
            authority: authority.certificate_pem(),
            keeper: keeper.to_string(),
            jurisdiction: record.jurisdiction.clone(),
        };
        serde_json::to_vec(&joined).map_err(|e| text(&e))
    }
}
