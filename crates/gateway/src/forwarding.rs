//! Requests that another region acts on: how they get there, and how their answers come back.

use std::{pin::pin, sync::Arc};

use access::{Action, RequestFacts};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use types::{BucketDeed, RegionId};

use crate::{
    acknowledged::{AT_LEAST, Mark, POSITION, Touched},
    body::ResponseBody,
    call::Answer,
    dialect::Dialect,
    elsewhere::unavailable,
    fault::{Fault, FaultKind},
    operations::Operation,
    passing::{AnswerBody, ForwardedAnswer, PassedBody, Progress},
    pipeline::has_body,
    proof::Cover,
    regions::{PassError, Regions},
    relayed,
    request::{Received, Request as Canonical},
    server::Gateway,
};

/// In answers: the region that acted, and its own id of the request.
const ACTED_IN: HeaderName = HeaderName::from_static("x-dhow-region");
const ACTED_ID: HeaderName = HeaderName::from_static("x-dhow-region-request-id");

/// A request that is about to be forwarded.
pub(crate) struct Outgoing {
    pub(crate) dialect: &'static dyn Dialect,
    pub(crate) deed: Arc<BucketDeed>,
    pub(crate) holders: Vec<RegionId>,
    /// For the wire alone: an answer to HEAD has no bytes.
    pub(crate) method: Method,
    /// Headers that have the customer's head.
    pub(crate) head: HeaderMap,
    /// Only a write has one, and a write goes to one region only.
    pub(crate) body: Option<PassedBody>,
    /// What it reads or writes.
    pub(crate) touched: Touched,
    pub(crate) writes: bool,
}

impl Gateway {
    /// The head of a request for another region, unless that could not take it for want of proof.
    pub(crate) fn relay(
        &self,
        request: &Canonical<'_>,
        deed: &BucketDeed,
        holders: &[RegionId],
        (operation, action): (&Operation, Action),
        facts: RequestFacts,
    ) -> Result<HeaderMap, Fault> {
        let head = request.relayed();
        let Some(value) = relayed::to_header(&head) else {
            return Err(self.redirect_once(deed, "its head is too long to be forwarded"));
        };
        if action.is_for_writers() && operation.reads_body() && has_body(request.method()) {
            let mut parts = relayed::read(&head).ok_or(FaultKind::InternalError)?;
            let received = Received::read(&mut parts, &self.config.domains)?;
            let (again, claim) = received.claim(self.clock.now())?;
            let here = self.place_on_record();
            let place = |region| self.regions.as_ref().and_then(|r| r.place(region));
            let trusted = |region| {
                place(region).is_some_and(|there| access::is_trusted(deed, &there, &here, action))
            };
            if Cover::of(&claim, again.headers()) == Cover::Nothing && !holders.iter().all(trusted)
            {
                return Err(self.redirect_once(deed, UNCOVERED));
            }
        }
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(relayed::HEAD, value);
        let facts = HeaderValue::try_from(facts.to_text());
        headers.insert(relayed::FACTS, facts.map_err(|_| FaultKind::InternalError)?);
        let bucket = HeaderValue::from_str(&deed.name).map_err(|_| FaultKind::InternalError)?;
        headers.insert(relayed::BUCKET, bucket);
        Ok(headers)
    }

    /// Passes a request on, once: what the other region answers is the answer. A read goes to the
    /// next region when one does not answer; nothing of an answer has been sent by then.
    pub(crate) async fn pass_on(&self, outgoing: Outgoing, ended: &mut bool) -> Answer {
        let regions = self.regions.clone().ok_or(FaultKind::InternalError)?;
        let Outgoing {
            dialect,
            deed,
            holders,
            method,
            mut head,
            mut body,
            touched,
            writes,
        } = outgoing;
        let wanted = match writes {
            true => {
                self.until_home_has(&deed).await?;
                None
            }
            false => self.wanted(&deed, &touched),
        };
        if let Some(value) = wanted.and_then(Mark::to_value) {
            head.insert(AT_LEAST, value);
        }
        let head = (&method, &head);
        let mut tried = None;
        let (mut unproven, mut sent) = (false, false);
        for (n, holder) in holders.iter().enumerate() {
            let body = body.take().unwrap_or_else(PassedBody::empty);
            let progress = body.progress();
            let answer = self.pass_to(&*regions, holder, head, body, &progress).await;
            *ended = progress.ended();
            if let Some(fault) = progress.fault() {
                return Err(fault.clone().into());
            }
            sent |= progress.polls() > 0;
            match answer {
                // It was not acted on: the customer can be sent there, or asked to try again.
                Ok(answer) if is_unproven(&answer, dialect) => {
                    tracing::info!(%holder, "a region wants proof of a request that was forwarded");
                    unproven = true;
                }
                Ok(answer) => {
                    // Only a replica that says that it compared shows what was acknowledged here:
                    // an older release does not, and neither does a refusal.
                    let shows = wanted.is_none_or(|wanted| {
                        *holder == deed.home
                            || Mark::of(answer.headers(), &AT_LEAST) == Some(wanted)
                    });
                    let busy = answer.status() == http::StatusCode::SERVICE_UNAVAILABLE;
                    if (shows && !busy) || n + 1 == holders.len() {
                        self.metrics.forwarded.inc();
                        self.learn_of_answer(&answer, (&deed, &touched), holder, wanted, writes);
                        return Ok(self.bring_back(answer, holder, dialect));
                    }
                }
                Err(error) => {
                    self.metrics.unanswered.inc();
                    tracing::warn!(%holder, %error, "a request could not be forwarded");
                }
            }
            tried = Some(holder);
        }
        let region = tried.unwrap_or(&self.region);
        Err(match (unproven, sent) {
            (false, _) => unavailable(region, "does not answer"),
            (true, false) => self.redirect_once(&deed, UNPROVEN),
            (true, true) => unavailable(region, "cannot verify the signature now"),
        })
    }

    /// What an answer says of the state that whoever sent it has.
    fn learn_of_answer(
        &self,
        answer: &Response<AnswerBody>,
        (deed, touched): (&Arc<BucketDeed>, &Touched),
        holder: &RegionId,
        wanted: Option<Mark>,
        writes: bool,
    ) {
        let said = |name| Mark::of(answer.headers(), &name);
        if writes && let Some(mark) = said(POSITION) {
            self.acknowledge(deed, touched, mark);
        }
        if let Some(wanted) = wanted
            && *holder != deed.home
            && said(AT_LEAST) == Some(wanted)
        {
            self.found_applied(deed, wanted);
        }
    }

    async fn pass_to(
        &self,
        regions: &dyn Regions,
        holder: &RegionId,
        (method, head): (&Method, &HeaderMap),
        body: PassedBody,
        progress: &Progress,
    ) -> Result<Response<AnswerBody>, PassError> {
        let mut request = Request::new(body);
        request.method_mut().clone_from(method);
        request.headers_mut().clone_from(head);
        let mut passing = pin!(regions.pass(holder, request));
        loop {
            let seen = progress.polls();
            match tokio::time::timeout(self.config.forward_idle, &mut passing).await {
                Ok(answer) => return answer,
                // It takes what the client sends; a slow client has a limit of its own.
                Err(_) if progress.polls() != seen => {}
                Err(_) => return Err(PassError::Broken("silent for too long".to_owned())),
            }
        }
    }

    fn bring_back(
        &self,
        answer: Response<AnswerBody>,
        holder: &RegionId,
        dialect: &dyn Dialect,
    ) -> Response<ResponseBody> {
        let request_id = dialect.request_id();
        let (head, body) = answer.into_parts();
        let body = ForwardedAnswer::new(body, self.config.forward_idle);
        let mut out = Response::new(ResponseBody::Forwarded(body));
        *out.status_mut() = match head.status.as_u16() {
            200..=599 => head.status,
            _ => http::StatusCode::BAD_GATEWAY,
        };
        for (name, value) in &head.headers {
            let between = [&request_id, &POSITION, &AT_LEAST].contains(&name);
            if is_of_an_answer(name, &request_id) && !between {
                out.headers_mut().append(name, value.clone());
            }
        }
        if let Some(id) = head.headers.get(&request_id) {
            out.headers_mut().insert(ACTED_ID, id.clone());
        }
        if let Ok(region) = HeaderValue::from_str(holder) {
            out.headers_mut().insert(ACTED_IN, region);
        }
        out
    }
}

/// Why a request is not forwarded.
const UNCOVERED: &str = "its signature does not cover the body, and the bucket's placement does \
    not trust this region with writes";
const UNPROVEN: &str = "no region that holds the bucket takes it from this region, for want of \
    proof";

/// Whether the other region did not act for want of proof: it says so, or it is of an older
/// version, whose refusal does not come from its gateway.
fn is_unproven(answer: &Response<AnswerBody>, dialect: &dyn Dialect) -> bool {
    let headers = answer.headers();
    let refused = answer.status().is_client_error() && !headers.contains_key(dialect.request_id());
    headers.contains_key(relayed::UNPROVEN) || refused
}

/// Whether a header says something of an object, a bucket or a request. All others are about the
/// host that answers, which is this region's: the region that acts sets no cookies for it, and says
/// nothing of its connections, its certificates or its other pages.
fn is_of_an_answer(name: &HeaderName, request_id: &HeaderName) -> bool {
    const OF_ANY: [HeaderName; 16] = [
        header::ACCEPT_RANGES,
        header::ALLOW,
        header::CACHE_CONTROL,
        header::CONTENT_DISPOSITION,
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::ETAG,
        header::EXPIRES,
        header::LAST_MODIFIED,
        header::LOCATION,
        header::RETRY_AFTER,
        header::VARY,
        header::CONTENT_SECURITY_POLICY,
    ];
    // Names of the dialect begin like that of its request id.
    let dialect = request_id.as_str().splitn(3, '-').take(2);
    let dialect = dialect.collect::<Vec<_>>().join("-") + "-";
    let own = ["x-dhow-", "access-control-", &*dialect];
    OF_ANY.contains(name)
        || *name == header::X_CONTENT_TYPE_OPTIONS
        || own.iter().any(|prefix| name.as_str().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_acts_says_nothing_of_the_host_that_answers() {
        let request_id = HeaderName::from_static("x-test-request-id");
        let goes =
            |name: &'static str| is_of_an_answer(&HeaderName::from_static(name), &request_id);
        for name in [
            "set-cookie",
            "clear-site-data",
            "strict-transport-security",
            "alt-svc",
            "refresh",
            "www-authenticate",
            "x-accel-redirect",
            "x-testing",
            "connection",
            "transfer-encoding",
            "server",
            "date",
        ] {
            assert!(!goes(name), "{name}");
        }
        for name in [
            "etag",
            "content-length",
            "content-type",
            "last-modified",
            "location",
            "retry-after",
            "access-control-allow-origin",
            "x-test-version-id",
            "x-dhow-region",
        ] {
            assert!(goes(name), "{name}");
        }
    }
}
