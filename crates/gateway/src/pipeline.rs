//! The one path that every request takes: limits -> parse -> identify -> permit -> act ->
//! answer -> record.

mod about;
mod admit;
mod arrival;
mod record;
mod source;
mod turns;
mod verify_head;

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use access::{RequestFacts, Via};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Method, Response, header};
use hyper::body::{Body as _, Incoming};
use objects::BucketDocuments;
use tracing::Instrument;
pub(crate) use turns::Taking;

use self::{
    admit::Admitted,
    arrival::Arrival,
    record::InFlight,
    source::{Source, drain},
};
use crate::{
    acknowledged::{AT_LEAST, Mark},
    admission::Payer,
    body::ResponseBody,
    call::Answer,
    console,
    dialect::{self, Dialect},
    fault::{Fault, FaultKind},
    held::Admittances,
    operations::Operation,
    proof::of_older_version,
    relayed,
    serve::Unread,
    server::Gateway,
};

/// What is known of a request for its record, also when it fails half way.
#[derive(Default)]
struct Trail {
    operation: Option<&'static Operation>,
    /// The caller is known, and what they address is not somebody else's.
    known: bool,
    /// What it occupies.
    places: Admittances,
    payer: Option<Payer>,
    /// The origin of the page that asks, and the bucket's documents.
    page: Option<(HeaderValue, Arc<BucketDocuments>)>,
    /// Another region answered it.
    forwarded: bool,
    /// Nothing of the request's body is left on the connection.
    body_ended: bool,
    /// The client's address.
    source: Option<IpAddr>,
}

impl Gateway {
    /// Answers one request. Never fails: every failure is an answer, also a panic of a handler.
    pub fn respond(
        &self,
        request: http::Request<Incoming>,
        facts: RequestFacts,
    ) -> impl Future<Output = Response<ResponseBody>> + Send {
        self.respond_to(request, Arrival::Client(facts))
    }

    /// Answers a request that the region `from` relays. The connection must have proved that it is
    /// `from`. What counts is the head that the customer signed, which is read here as any other;
    /// who signed it, and whether it is acted on, is decided here by what this region knows. It is
    /// never forwarded again.
    pub async fn respond_forwarded(
        &self,
        from: types::Place,
        request: http::Request<Incoming>,
    ) -> Response<ResponseBody> {
        let (outer, incoming) = request.into_parts();
        let (parts, arrival) = match relayed::of_headers(&outer.headers) {
            Some(parts) => {
                let stated = outer.headers.get(relayed::BUCKET).cloned();
                let facts = relayed::facts(&outer.headers);
                let at_least = Mark::of(&outer.headers, &AT_LEAST);
                let arrival = Arrival::Region {
                    from,
                    stated,
                    facts,
                    at_least,
                };
                (parts, arrival)
            }
            None => (outer, Arrival::Unreadable(from)),
        };
        let request = http::Request::from_parts(parts, incoming);
        self.respond_to(request, arrival).await
    }

    async fn respond_to(
        &self,
        request: http::Request<Incoming>,
        arrival: Arrival,
    ) -> Response<ResponseBody> {
        let began = Instant::now();
        let request_id = self.ids.next();
        // What is handed on by value is copied; the head stays where it is.
        let (mut parts, incoming) = request.into_parts();
        let dialect = dialect::of(&parts.headers);
        let head_only = parts.method == Method::HEAD;
        let has_body = !incoming.is_end_stream();
        let unasked = !has_body && parts.headers.contains_key(header::EXPECT);
        // Costs a branch unless somebody listens at this level, such as an exporter of traces.
        let span = tracing::debug_span!(
            "request",
            request_id,
            method = parts.method.as_str(),
            path = parts.uri.path(),
            operation = tracing::field::Empty,
            status = tracing::field::Empty,
        );
        let direct = matches!(arrival, Arrival::Client(_));
        let mut trail = Trail::of(&arrival);
        let console = self.asked_by_console(&parts.headers);
        let _counted = InFlight::enter(&self.metrics.in_flight);

        let result = {
            // Pinned where it is: it is large, and each wrapper would copy it.
            let acting = self.act(&mut parts, incoming, arrival, &mut trail);
            let acting = std::pin::pin!(acting);
            let acting = acting.instrument(span.clone());
            let result = AssertUnwindSafe(acting).catch_unwind().await;
            result.unwrap_or_else(|_| Err(panicked(&request_id)))
        };
        let result = match result {
            // Only answers to GET: one that says that something was done must not become another.
            Ok(answer) if parts.method == Method::GET && answer.body().is_large() => {
                self.make_room(direct, &mut trail).await.map(|()| answer)
            }
            other => other,
        };
        let kind = result.as_ref().err().map(|error| error.kind);
        let mut answer = result.unwrap_or_else(|error| {
            let host = self.host_id.to_str().unwrap_or_default();
            dialect.response(error, parts.uri.path(), &request_id, host)
        });
        let page = trail.page.as_ref();
        console::add_cors(console, page, &parts.method, answer.headers_mut());
        if head_only {
            empty_head(&mut answer);
        }
        let unread = (kind.is_some() || trail.forwarded) && has_body && !trail.body_ended;
        if unread && direct {
            answer.extensions_mut().insert(Unread);
        }
        // Without that header a client would send its next request into a closed connection. Nor
        // does a client look for the next answer as it should, if it has had one where it waited
        // for `100 Continue`, as botocore with an empty file.
        if (unread || unasked) && direct {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        span.record("operation", trail.operation.map_or("", |o| o.name));
        span.record("status", answer.status().as_u16());
        self.record(&trail, kind, answer.status(), began, &request_id);
        self.hold(&mut answer, direct, trail);
        self.name(&mut answer, dialect, request_id);
        answer
    }

    fn name(&self, answer: &mut Response<ResponseBody>, dialect: &dyn Dialect, request_id: String) {
        let headers = answer.headers_mut();
        headers.reserve(3);
        headers.insert(header::SERVER, HeaderValue::from_static("Dhow"));
        dialect.add_host_id(headers, &self.host_id);
        if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(request_id)) {
            headers.insert(dialect.request_id(), id);
        }
    }

    /// Answers a request whose head others read in another way. The connection ends with the
    /// answer.
    pub(crate) fn refuse_lines(&self, request: &http::Request<Incoming>) -> Response<ResponseBody> {
        let error = Fault::with(
            FaultKind::InvalidRequest,
            "The head of this request can be read in two ways. Its lines end in CR LF, its target has \
             no `#` (write %23), and its length is said once.",
        );
        let error = error.header(header::CONNECTION, HeaderValue::from_static("close"));
        self.refuse_head(request, error)
    }

    /// Refuses a request by its head, before anybody is known.
    pub(crate) fn refuse_head(
        &self,
        request: &http::Request<Incoming>,
        error: Fault,
    ) -> Response<ResponseBody> {
        let dialect = dialect::of(request.headers());
        self.metrics.stranger(error.kind.name());
        let (id, host) = (self.ids.next(), self.host_id.to_str().unwrap_or_default());
        let mut answer = dialect.response(error, request.uri().path(), &id, host);
        if request.method() == Method::HEAD {
            empty_head(&mut answer);
        }
        answer.extensions_mut().insert(Unread);
        self.name(&mut answer, dialect, id);
        answer
    }

    async fn act(
        &self,
        parts: &mut http::request::Parts,
        incoming: Incoming,
        arrival: Arrival,
        trail: &mut Trail,
    ) -> Answer {
        if parts.method == Method::OPTIONS && matches!(arrival, Arrival::Client(_)) {
            return Box::pin(self.preflight(parts, trail)).await;
        }
        let expects = parts.headers.contains_key(header::EXPECT);
        let mut at_least = None;
        let (mut known, via) = match arrival {
            Arrival::Client(facts) => (self.verify_head(parts, facts).await?, Via::Client),
            Arrival::Region {
                from,
                stated,
                facts,
                at_least: mark,
            } => {
                at_least = mark;
                let meeting = self.meet_from(parts, from, stated, facts);
                Box::pin(meeting).await?
            }
            Arrival::Unreadable(from) => return Err(of_older_version(&from.region)),
        };
        let source = match known.is_form() {
            true => Box::pin(self.read_form(&mut known, incoming)).await?,
            false => Source::Wire(incoming),
        };
        let identity = match &source {
            Source::Wire(_) => known.identified.take_identity(),
            Source::Form(form) => form.identity.clone(),
        };
        trail.known = self.knows(&identity, &via);
        let mut about = self.about(&known.request, &via, &identity, trail).await?;
        // Who has no key is refused without a place, where nothing lets the public in.
        let public = || about.is_decided().then_some(&self.anybody);
        if let Some(payer) = identity.account().or_else(public) {
            let entered = self.enter(payer, source.size(), via == Via::Client, trail);
            if entered.await.is_err() {
                if !expects {
                    trail.body_ended = source.drain().await;
                }
                return Err(slow_down());
            }
        }
        let whose = (&identity, &via, source.key());
        self.add_details(&mut about, &known, whose).await?;
        let mut call = match self.admit(known, identity, source, (via, about), trail)? {
            Admitted::Here(call) => call,
            Admitted::Pass(outgoing) => {
                trail.forwarded = true;
                // The other region works on it.
                if let Some(place) = &trail.places.work {
                    place.step_out();
                }
                return Box::pin(self.pass_on(*outgoing, &mut trail.body_ended)).await;
            }
        };
        let result = self.dispatch(&mut call, at_least).await;
        let result = about::told(&call, result);
        if let Some(body) = call.body.take()
            && !expects
        {
            trail.body_ended = drain(body).await;
        }
        result
    }
}

/// Whether the body of a request by this method is read.
pub(crate) fn has_body(method: &Method) -> bool {
    matches!(*method, Method::PUT | Method::POST)
}

fn slow_down() -> Fault {
    Fault::new(FaultKind::SlowDown).header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

fn panicked(request_id: &str) -> Fault {
    tracing::error!(request_id, "a handler panicked");
    FaultKind::InternalError.into()
}

/// The answer to a HEAD: the length that a GET would have, no bytes.
fn empty_head(answer: &mut Response<ResponseBody>) {
    let body = std::mem::replace(answer.body_mut(), ResponseBody::Empty);
    if answer.status().is_success() && !answer.headers().contains_key(header::CONTENT_LENGTH) {
        let length = HeaderValue::from(body.len());
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
}
