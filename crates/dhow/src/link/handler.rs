//! The door for other regions: each request goes to whoever answers it, with the proven identity
//! of the region that sent it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cloud::{Ask, RegionStatus};
use gateway::Gateway;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use peer::{BoxBody, Caller, Handler, Shown, collect, full};
use replication::Source;
use serde_json::json;
use types::{Place, RegionId};

use super::{Joining, Link, paths};
use crate::region::Region;

const BODY_BYTES_MAX: usize = 1 << 20;
const BODY_WAIT: Duration = Duration::from_secs(10);

/// What other regions reach.
pub struct PeerDoor {
    /// The region.
    pub region: Arc<Region>,
    /// Who it is.
    pub link: Arc<Link>,
    /// Answers questions about buckets.
    pub source: Source,
    /// Answers requests of customers that another region passed on.
    pub gateway: Arc<Gateway>,
}

type Answer = Result<Response<BoxBody>, (StatusCode, String)>;

#[async_trait]
impl Handler for PeerDoor {
    async fn handle(&self, from: Caller, request: Request<Incoming>) -> Response<BoxBody> {
        let path = request.uri().path().to_owned();
        let answered = match from {
            Caller::Stranger => self.stranger(request).await,
            Caller::Region(from) => self.member(&from, request).await,
        };
        answered.unwrap_or_else(|(status, why)| {
            tracing::info!(path, %status, why, "a peer's request was refused");
            let mut answer = Response::new(full(why));
            *answer.status_mut() = status;
            answer
        })
    }
}

impl PeerDoor {
    /// Somebody without a certificate may show a token, and nothing else.
    async fn stranger(&self, request: Request<Incoming>) -> Answer {
        let (true, &Method::POST, Some(authority)) = (
            request.uri().path() == paths::JOIN,
            request.method(),
            &self.link.authority,
        ) else {
            return Err((
                StatusCode::FORBIDDEN,
                "a certificate of the cloud is needed".into(),
            ));
        };
        let joining: Joining = serde_json::from_slice(&read(request).await?).map_err(bad)?;
        let keeper = self.link.tls.region();
        let registry = &self.region.registry;
        let joined = joining
            .admit(
                registry,
                authority,
                &keeper,
                self.link.certificate_life,
                &*self.region.clock,
            )
            .await;
        joined.map(ok).map_err(|why| (StatusCode::FORBIDDEN, why))
    }

    async fn member(&self, from: &RegionId, request: Request<Incoming>) -> Answer {
        // The registry is asked anew for each request: a region that was closed a moment ago gets
        // nothing, whatever its connection says.
        let known = self.region.registry.region(from);
        if !known.is_some_and(|r| r.status != RegionStatus::Closed) {
            return Err((
                StatusCode::FORBIDDEN,
                format!("region {from} is not part of the cloud"),
            ));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, paths::HELLO) => Ok(ok(json!({
                "now_ms": self.region.clock.now().ms(),
                "version": env!("CARGO_PKG_VERSION"),
            })
            .to_string())),
            (&Method::POST, paths::REGISTRY) => {
                let ask: Ask = serde_json::from_slice(&read(request).await?).map_err(bad)?;
                let told = self.region.registry.answer(from, ask).await;
                serde_json::to_vec(&told).map(ok).map_err(bad)
            }
            (&Method::POST, paths::RENEW) => self.renew(from, request).await,
            (&Method::POST, replication::PATH) => {
                let place = self.place(from)?;
                let ask = read_up_to(request, replication::ASK_BYTES_MAX).await?;
                let ask = serde_json::from_slice(&ask).map_err(bad)?;
                Ok(self.source.answer(&place, ask).await)
            }
            (&Method::POST, paths::RESIDENCY) => {
                // Statements are gathered in the registry's region; the others need not know what
                // lies where.
                if **from != *self.link.membership.keeper {
                    return Err((
                        StatusCode::FORBIDDEN,
                        "only the registry's region asks what is held".into(),
                    ));
                }
                let ask = serde_json::from_slice(&read(request).await?).map_err(bad)?;
                let digest = self.region.holdings(&ask).await;
                let digest = digest.map_err(|e| (StatusCode::CONFLICT, e.to_string()))?;
                serde_json::to_vec(&digest).map(ok).map_err(bad)
            }
            (_, path) if path.starts_with(paths::PASS) => self.passed(from, request).await,
            _ => Err((
                StatusCode::NOT_FOUND,
                "no such request between regions".into(),
            )),
        }
    }

    fn place(&self, region: &RegionId) -> Result<Place, (StatusCode, String)> {
        let place = self.region.registry.place(region);
        place.ok_or_else(|| (StatusCode::FORBIDDEN, format!("no region {region}")))
    }

    /// A request of a customer that the other region relays. What proves it, and what it may do,
    /// is decided here.
    async fn passed(&self, from: &RegionId, request: Request<Incoming>) -> Answer {
        let place = self.place(from)?;
        let answer = self.gateway.respond_passed(place, request).await;
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// A certificate for the region that asks, never for another; its key must be the one that it
    /// joined with.
    async fn renew(&self, from: &RegionId, request: Request<Incoming>) -> Answer {
        let Some(authority) = &self.link.authority else {
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                "certificates are signed in the registry's region".into(),
            ));
        };
        let shown = request.extensions().get::<Shown>().cloned();
        let shown = shown.ok_or_else(|| bad("a renewal shows a certificate"))?;
        let csr = read(request).await?;
        let now = self.region.clock.now();
        let issued = authority
            .issue(&csr, from, now, self.link.certificate_life)
            .map_err(bad)?;
        let known = self.region.registry.region(from);
        if known.is_none_or(|r| r.public_key != hex::encode(&issued.public_key)) {
            return Err((
                StatusCode::FORBIDDEN,
                format!("region {from} joined with another key"),
            ));
        }
        let registry = &self.region.registry;
        registry
            .record_issued(
                from,
                &super::issued_record(&issued),
                &hex::encode(&issued.public_key),
                &shown.0,
            )
            .await
            .map_err(|e| (StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
        Ok(ok(issued.pem))
    }
}

fn ok(bytes: impl Into<Bytes>) -> Response<BoxBody> {
    Response::new(full(bytes))
}

fn bad(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

async fn read(request: Request<Incoming>) -> Result<Bytes, (StatusCode, String)> {
    read_up_to(request, BODY_BYTES_MAX).await
}

async fn read_up_to(
    request: Request<Incoming>,
    limit: usize,
) -> Result<Bytes, (StatusCode, String)> {
    collect(request.into_body(), limit, BODY_WAIT)
        .await
        .map_err(bad)
}
