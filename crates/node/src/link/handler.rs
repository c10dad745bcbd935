//! Handles the requests of other regions: each goes to the part that answers it, with the proven
//! identity of the region that sent it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cloud::{Ask, LogAsk, RegionStatus, RegistryAnswer};
use gateway::Gateway;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use peer::{BoxBody, Caller, Handler, Held, Kind, NoRoom, Room, Shown, collect, full};
use replication::Source;
use serde_json::{Value, json};
use types::{Place, RegionId};

use super::{Joining, Link, paths};
use crate::region::Region;

const BODY_BYTES_MAX: usize = 1 << 20;
const BODY_WAIT: Duration = Duration::from_secs(10);
/// What a question to the registry holds of its region's room: it waits while it holds that, so
/// that a region has few of them at once. An answer has at most 1.75 MiB of text, beside what one
/// change alone has (`cloud::link`); more takes room by its length.
const REGISTRY_ROOM: usize = 4 << 20;
/// The same for the counting of what is held of a bucket.
const RESIDENCY_ROOM: usize = 4 << 20;
/// The same for asking a third region whether it answers.
const REACH_ROOM: usize = 16 << 10;
/// The same for saying why a request is allowed or refused.
const WHY_ROOM: usize = 256 << 10;
/// The same for a page of the audit log.
const LOG_ROOM: usize = 4 << 20;
/// How long a region waits for the answer that it may not ask this.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// What other regions reach.
pub struct PeerHandler {
    /// The region.
    pub region: Arc<Region>,
    /// Who it is.
    pub link: Arc<Link>,
    /// Answers questions about buckets.
    pub source: Source,
    /// Answers requests of customers that another region forwarded.
    pub gateway: Arc<Gateway>,
}

type Answer = Result<Response<BoxBody>, (StatusCode, String)>;

#[async_trait]
impl Handler for PeerHandler {
    async fn handle(
        &self,
        from: Caller,
        room: Room,
        request: Request<Incoming>,
    ) -> Response<BoxBody> {
        let path = request.uri().path().to_owned();
        let answered = match from {
            _ if let Err(why) = self.may_answer(&path) => Err(why),
            Caller::Stranger => self.stranger(&room, request).await,
            Caller::Region(from) => self.member(&from, &room, request).await,
        };
        answered.unwrap_or_else(|(status, why)| {
            tracing::info!(path, %status, why, "a peer's request was refused");
            let mut answer = Response::new(full(why));
            *answer.status_mut() = status;
            answer
        })
    }
}

impl PeerHandler {
    /// Somebody without a certificate may show a token, and nothing else.
    async fn stranger(&self, room: &Room, request: Request<Incoming>) -> Answer {
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
        let (asked, _held) = read(room, request).await?;
        let joining: Joining = serde_json::from_slice(&asked).map_err(bad)?;
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

    /// A region that knows that its record is old answers nothing by it: neither keys nor deeds,
    /// nor who is a region. It still takes statements of starts and questions to the registry, by
    /// which it learns how it stands, and sends the registry's region its own log back.
    fn may_answer(&self, path: &str) -> Result<(), (StatusCode, String)> {
        match self.region.neighbours.doubt_of_registry() {
            Some(why) if ![paths::START, paths::REGISTRY, paths::LOG].contains(&path) => {
                Err((StatusCode::SERVICE_UNAVAILABLE, why))
            }
            _ => Ok(()),
        }
    }

    async fn registry(
        &self,
        from: &RegionId,
        ask: Ask,
    ) -> Result<RegistryAnswer, (StatusCode, String)> {
        let doubt = || match self.region.neighbours.doubt_of_registry() {
            Some(why) => Err((StatusCode::SERVICE_UNAVAILABLE, why)),
            None => Ok(()),
        };
        // With this question a region shows what it has of the registry.
        if !matches!(ask, Ask::Changes { .. }) {
            doubt()?;
        }
        let told = self.region.registry.answer(from, ask).await;
        doubt()?;
        Ok(told)
    }

    async fn member(&self, from: &RegionId, room: &Room, request: Request<Incoming>) -> Answer {
        // The registry is asked anew for each request: a region that was closed a moment ago gets
        // nothing, whatever its connection says.
        let known = self.region.registry.region(from);
        if known.is_none_or(|r| r.status == RegionStatus::Closed) {
            let why = format!("region {from} is not part of the cloud");
            return Err((StatusCode::FORBIDDEN, why));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, paths::HELLO) => Ok(ok(self.hello(from).to_string())),
            (&Method::POST, paths::REGISTRY) => {
                // Once for question and answer: whoever held some and waited for more could wait
                // for others that do the same.
                let held = room.take(Kind::Asked, REGISTRY_ROOM).await.map_err(busy)?;
                let asked = collect(request.into_body(), BODY_BYTES_MAX, BODY_WAIT).await;
                let ask: Ask = serde_json::from_slice(&asked.map_err(bad)?).map_err(bad)?;
                let told = self.registry(from, ask).await?;
                let told = serde_json::to_vec(&told).map_err(bad)?;
                match told.len() <= held.bytes() {
                    true => Ok(held.full(told.into())),
                    // More than was thought: it takes its room by its length.
                    false => Ok(ok(told)),
                }
            }
            (&Method::POST, paths::START) => self.start(from, room, request).await,
            (&Method::POST, paths::RENEW) => self.renew(from, room, request).await,
            (&Method::POST, replication::PROMISE_PATH) => self.promise(from, room, request).await,
            (&Method::GET, paths::REACH) => self.reach(from, room, &request).await,
            (&Method::POST, replication::PATH) => {
                let place = self.place(from)?;
                let (asked, _held) = read_up_to(room, request, replication::ASK_BYTES_MAX).await?;
                let ask = serde_json::from_slice(&asked).map_err(bad)?;
                let answer = self.source.answer(&place, room, ask).await;
                if answer.status() == StatusCode::FORBIDDEN {
                    // Who may not ask is refused before anything is read, and soon asks again.
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Ok(answer)
            }
            (&Method::POST, paths::RESIDENCY) => {
                // Statements are gathered in the registry's region; the others need not know what
                // is stored where.
                if **from != *self.link.membership.keeper {
                    return Err((
                        StatusCode::FORBIDDEN,
                        "only the registry's region asks what is held".into(),
                    ));
                }
                let (asked, _asking) = read(room, request).await?;
                let ask = serde_json::from_slice(&asked).map_err(bad)?;
                let held = room.take(Kind::Answer, RESIDENCY_ROOM).await;
                let held = held.map_err(busy)?;
                let digest = self.region.holdings(&ask).await;
                let digest = digest.map_err(|e| (StatusCode::CONFLICT, e.to_string()))?;
                let digest = serde_json::to_vec(&digest).map_err(bad)?;
                Ok(held.full(digest.into()))
            }
            (&Method::POST, paths::WHY) => self.why(from, room, request).await,
            (&Method::POST, paths::LOG) => self.log(from, room, request).await,
            (_, path) if path.starts_with(paths::PASS) => self.passed(from, room, request).await,
            _ => Err((
                StatusCode::NOT_FOUND,
                "no such request between regions".into(),
            )),
        }
    }

    /// The time here. How much this region is asked is for whoever keeps the registry, and
    /// for regions of the same operator.
    fn hello(&self, from: &RegionId) -> Value {
        let region = &self.region;
        let operator = |id: &str| region.registry.region(id).map(|r| r.operator.clone());
        let own = operator(&region.id).is_some_and(|own| operator(from) == Some(own));
        let keeper = **from == *self.link.membership.keeper;
        json!({
            "now_ms": region.clock.now().ms(),
            "version": env!("CARGO_PKG_VERSION"),
            "load": region.watched.load.get().filter(|_| own || keeper),
        })
    }

    fn place(&self, region: &RegionId) -> Result<Place, (StatusCode, String)> {
        let place = self.region.registry.place(region);
        place.ok_or_else(|| (StatusCode::FORBIDDEN, format!("no region {region}")))
    }

    /// A request of a customer that the other region relays. What proves it, and what it may do,
    /// is decided here.
    async fn passed(&self, from: &RegionId, room: &Room, request: Request<Incoming>) -> Answer {
        let place = self.place(from)?;
        let answer = self.gateway.respond_forwarded(place, request).await;
        let answer = answer.map(|body| body.map_err(Into::into).boxed_unsync());
        let answer = room.stream(Kind::Passed, answer).await;
        Ok(answer.unwrap_or_else(|NoRoom| slow_down()))
    }

    /// What a region says of its start, and what is known of its others.
    async fn start(&self, from: &RegionId, room: &Room, request: Request<Incoming>) -> Answer {
        let (said, _asking) = read(room, request).await?;
        let said = serde_json::from_slice(&said).map_err(bad)?;
        let told = self.region.starts.receive(&self.region, from, said).await;
        let told = told.ok_or_else(|| bad("not a statement of the region that asks"))?;
        serde_json::to_vec(&told).map(ok).map_err(bad)
    }

    /// A promise that the region's buckets get no other home for a while.
    async fn promise(&self, from: &RegionId, room: &Room, request: Request<Incoming>) -> Answer {
        let limit = replication::PROMISE_ASK_BYTES_MAX;
        let (asked, _asking) = read_up_to(room, request, limit).await?;
        let ask = serde_json::from_slice(&asked).map_err(bad)?;
        let promises = self.source.promises();
        // Before the promise, whose time runs from the answer on.
        let held = room.take(Kind::Answer, promises.answer_bytes(&ask)).await;
        let held = held.map_err(busy)?;
        let promised = promises.answer_within(from, &ask, held.bytes());
        let promised = promised.to_bytes().map_err(bad)?;
        Ok(held.full(promised.into()))
    }

    /// Whether a third region answers here. It makes this region ask, so only the one that promotes
    /// is answered.
    async fn reach(&self, from: &RegionId, room: &Room, request: &Request<Incoming>) -> Answer {
        if **from != *self.link.membership.keeper {
            return Err((
                StatusCode::FORBIDDEN,
                "only the registry's region asks who is reached".into(),
            ));
        }
        let held = room.take(Kind::Answer, REACH_ROOM).await.map_err(busy)?;
        let region = RegionId::new(request.uri().query().unwrap_or_default());
        let reached = super::Reached {
            reached: self.region.answers(&region).await,
        };
        let reached = serde_json::to_vec(&reached).map_err(bad)?;
        Ok(held.full(reached.into()))
    }

    /// Why a request about a bucket whose home is here is allowed or refused. What the documents
    /// say is for whoever administers the bucket's account: the registry's region knows who does.
    async fn why(&self, from: &RegionId, room: &Room, request: Request<Incoming>) -> Answer {
        if **from != *self.link.membership.keeper {
            return Err((
                StatusCode::FORBIDDEN,
                "only the registry's region asks why".into(),
            ));
        }
        let (asked, _asking) = read(room, request).await?;
        let question = serde_json::from_slice(&asked).map_err(bad)?;
        let held = room.take(Kind::Answer, WHY_ROOM).await.map_err(busy)?;
        let judged = self.region.judge_own(&question).await;
        let judged = judged.map_err(|why| (StatusCode::CONFLICT, why))?;
        let judged = serde_json::to_vec(&judged).map_err(bad)?;
        match judged.len() <= held.bytes() {
            true => Ok(held.full(judged.into())),
            false => Ok(ok(judged)),
        }
    }

    /// A page of the audit log, for the registry's region: it was put back to an older state.
    async fn log(&self, from: &RegionId, room: &Room, request: Request<Incoming>) -> Answer {
        let (asked, _asking) = read(room, request).await?;
        let ask: LogAsk = serde_json::from_slice(&asked).map_err(bad)?;
        let held = room.take(Kind::Answer, LOG_ROOM).await.map_err(busy)?;
        let page = self.region.registry.log_page(from, &ask).await;
        let page = page.map_err(|e| (StatusCode::FORBIDDEN, e.to_string()))?;
        let page = serde_json::to_vec(&page).map_err(bad)?;
        match page.len() <= held.bytes() {
            true => Ok(held.full(page.into())),
            false => Ok(ok(page)),
        }
    }

    /// A certificate for the region that asks, never for another; its key must be the one that it
    /// joined with.
    async fn renew(&self, from: &RegionId, room: &Room, request: Request<Incoming>) -> Answer {
        let Some(authority) = &self.link.authority else {
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                "certificates are signed in the registry's region".into(),
            ));
        };
        let shown = request.extensions().get::<Shown>().cloned();
        let shown = shown.ok_or_else(|| bad("a renewal shows a certificate"))?;
        let (csr, _held) = read(room, request).await?;
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

/// The region that passed the request on has too much under way.
fn slow_down() -> Response<BoxBody> {
    const BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\
        <Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let mut answer = Response::new(full(BODY));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let xml = http::HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, xml);
    answer
}

fn ok(bytes: impl Into<Bytes>) -> Response<BoxBody> {
    Response::new(full(bytes))
}

fn bad(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

fn busy(error: NoRoom) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// A question's bytes, and the room that they and what is made of them take.
async fn read(
    room: &Room,
    request: Request<Incoming>,
) -> Result<(Bytes, Held), (StatusCode, String)> {
    read_up_to(room, request, BODY_BYTES_MAX).await
}

async fn read_up_to(
    room: &Room,
    request: Request<Incoming>,
    limit: usize,
) -> Result<(Bytes, Held), (StatusCode, String)> {
    let said = request.body().size_hint().exact();
    let bytes = said.map_or(limit, |said| {
        usize::try_from(said).unwrap_or(limit).min(limit)
    });
    let held = room.take(Kind::Asked, bytes.saturating_mul(2)).await;
    let held = held.map_err(busy)?;
    let asked = collect(request.into_body(), limit, BODY_WAIT).await;
    Ok((asked.map_err(bad)?, held))
}
