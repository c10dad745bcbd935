//! The registry's region, as a region that follows reaches it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use admin::{data_dir::DataDir, failure::Failure};
use bytes::Bytes;
use cloud::{Ask, CloudError, Registry, RegistryAnswer, Upstream};
use http::{Method, Request};
use peer::{Credentials, collect, full};
use types::{Clock, RegionId, deed::BoxFuture};

use super::{Link, paths, wrong};

/// Far more than the registry sends: `cloud::link` has what an answer is made of.
const ANSWER_BYTES_MAX: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(35);
/// How often a region looks whether its certificate is to be renewed; more often when they live
/// for less than ten minutes.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Asks over the link. The registry's own copy says where the keeper is.
pub struct PeerUpstream {
    link: Arc<Link>,
    keeper: RegionId,
    registry: OnceLock<Arc<Registry>>,
}

impl PeerUpstream {
    /// For a region that has joined.
    pub fn new(link: Arc<Link>) -> Arc<Self> {
        Arc::new(Self {
            keeper: RegionId::new(&link.membership.keeper),
            link,
            registry: OnceLock::new(),
        })
    }

    /// Gives it the copy of the registry, once that is open.
    pub fn knows(&self, registry: Arc<Registry>) {
        // A second call would name the same registry.
        let _ = self.registry.set(registry);
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Bytes, CloudError> {
        let unavailable = |e: &dyn std::fmt::Display| CloudError::Unavailable(e.to_string());
        let peer = match self.registry.get() {
            Some(registry) => self.link.keeper_peer(registry),
            None => return Err(CloudError::Unavailable("the region is starting".into())),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .body(full(body))
            .map_err(|e| unavailable(&e))?;
        let answer = self.link.client.request(&peer, request).await;
        let answer = answer.map_err(|e| unavailable(&e))?;
        let status = answer.status();
        let body = collect(answer.into_body(), ANSWER_BYTES_MAX, PATIENCE).await;
        let body = body.map_err(|e| match e.is_too_long() {
            true => CloudError::Limit(format!("an answer of the registry: {e}")),
            false => unavailable(&e),
        })?;
        match status.is_success() {
            true => Ok(body),
            false => Err(CloudError::Refused(types::text::of_peer(&body))),
        }
    }
}

impl Upstream for PeerUpstream {
    fn keeper(&self) -> &RegionId {
        &self.keeper
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'_, Result<RegistryAnswer, CloudError>> {
        Box::pin(async move {
            let bytes = serde_json::to_vec(&ask).map_err(|e| CloudError::Record(e.to_string()))?;
            let told = self.post(paths::REGISTRY, bytes).await?;
            serde_json::from_slice(&told).map_err(|e| CloudError::Unavailable(e.to_string()))
        })
    }
}

/// Renews the region's certificate when less than a third of its life is left, until the task is
/// dropped. The registry's region signs its own.
pub async fn renew(
    link: Arc<Link>,
    upstream: Option<Arc<PeerUpstream>>,
    dir: DataDir,
    clock: Arc<dyn Clock>,
) {
    let life = link.certificate_life;
    loop {
        let left = link.tls.not_after().ms().saturating_sub(clock.now().ms());
        if left < life.as_millis() as u64 / 3
            && let Err(error) = renew_once(&link, upstream.as_deref(), &dir, &*clock).await
        {
            tracing::error!(%error, left_s = left / 1000, "cannot renew the region's certificate");
        }
        tokio::time::sleep(RENEW_EVERY.min(life / 10)).await;
    }
}

async fn renew_once(
    link: &Link,
    upstream: Option<&PeerUpstream>,
    dir: &DataDir,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let region = link.tls.region();
    let csr = link.identity.csr(&region).map_err(wrong)?;
    let (certificate, authority) = match (&link.authority, upstream) {
        (Some(authority), _) => {
            let issued = authority.issue(&csr, &region, clock.now(), link.certificate_life);
            (issued.map_err(wrong)?.pem, authority.certificate_pem())
        }
        (None, Some(upstream)) => {
            let issued = upstream.post(paths::RENEW, csr).await?;
            let issued = String::from_utf8(issued.to_vec()).map_err(wrong)?;
            dir.write_private("certificate.pem", issued.as_bytes())?;
            let authority = std::fs::read_to_string(dir.join("authority.pem")).map_err(wrong)?;
            (issued, authority)
        }
        (None, None) => return Ok(()),
    };
    let credentials = Credentials {
        identity: link.identity.clone(),
        certificate,
        authority,
        region,
    };
    link.tls.replace(credentials).map_err(wrong)?;
    tracing::info!("the region's certificate was renewed");
    Ok(())
}
