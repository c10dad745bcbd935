//! The one path that every request takes: limits -> parse -> identify -> permit -> act ->
//! answer -> record.

mod about;
mod arrival;
mod source;
mod turns;

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use access::{
    Action, AuthType, Facts, Identity, PayloadMode, Permit, Proof, Refusal, RequestFacts,
    UnreadableFacts, Via, policy::Steps, signature::Service,
};
use arrival::Arrival;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use objects::BucketDocuments;
use prometheus_client::metrics::gauge::Gauge;
use tracing::Instrument;
pub(crate) use turns::Taking;
use types::RegionId;

use self::{
    about::About,
    source::{Source, drain},
};
use crate::{
    acknowledged::{AT_LEAST, Mark, Touched},
    admission::Payer,
    body::{Places, ResponseBody},
    call::{Answer, Call},
    console,
    dialect::{self, Dialect},
    elsewhere::{Outgoing, Way},
    fault::{Fault, FaultKind},
    identify::{self, Identified},
    limits,
    operations::{Operation, Resource},
    payload::{Pace, payload},
    proof::{of_older_version, unproven},
    relayed,
    request::{Received, Request},
    serve::Unread,
    server::Gateway,
};

/// A request whose head has been read and verified.
struct Met<'r> {
    request: Request<'r>,
    identified: Identified,
}

impl Met<'_> {
    /// Whether the body must tell who sends it.
    fn is_form(&self) -> bool {
        self.identified.auth() == AuthType::PostPolicy
            && self.request.target().resource() == Resource::Bucket
            && self.request.is_bare()
    }
}

/// Where a request goes from here.
#[allow(clippy::large_enum_variant)] // the usual one must not cost an allocation
enum Admitted<'g> {
    Here(Call<'g>),
    Pass(Box<Outgoing>),
}

/// What was decided of a request.
struct Who {
    operation: &'static Operation,
    via: Via,
    facts: RequestFacts,
    permit: Permit,
    pace: Pace,
    documents: Option<Arc<BucketDocuments>>,
}

/// What is known of a request for its record, also when it fails half way.
#[derive(Default)]
struct Trail {
    operation: Option<&'static Operation>,
    /// The caller is known, and what they address is not somebody else's.
    known: bool,
    /// What it occupies.
    places: Places,
    payer: Option<Payer>,
    /// The origin of the page that asks, and the bucket's documents.
    page: Option<(HeaderValue, Arc<BucketDocuments>)>,
    /// Another region answered it.
    passed: bool,
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
        self.respond_to(request, Arrival::Door(facts))
    }

    /// Answers a request that the region `from` relays. The connection must have proved that it is
    /// `from`. What counts is the head that the customer signed, which is read here as any other;
    /// who signed it, and whether it is acted on, is decided here by what this region knows. It is
    /// never passed on again.
    pub async fn respond_passed(
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
        let at_door = matches!(arrival, Arrival::Door(_));
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
                self.make_room(at_door, &mut trail).await.map(|()| answer)
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
        let unread = (kind.is_some() || trail.passed) && has_body && !trail.body_ended;
        if unread && at_door {
            answer.extensions_mut().insert(Unread);
        }
        // A client that is not told would send its next request into a closed connection. Nor does
        // a client look for the next answer as it should, if it has had one where it waited for
        // `100 Continue`, as botocore with an empty file.
        if (unread || unasked) && at_door {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        span.record("operation", trail.operation.map_or("", |o| o.name));
        span.record("status", answer.status().as_u16());
        self.record(&trail, kind, answer.status(), began, &request_id);
        self.hold(&mut answer, at_door, trail);
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

    /// Answers a request whose head has lines that end in a bare LF, which others read in another
    /// way. The connection ends with the answer.
    pub(crate) fn refuse_lines(&self, request: &http::Request<Incoming>) -> Response<ResponseBody> {
        let error = Fault::with(
            FaultKind::InvalidRequest,
            "The lines of a request's head end in CR LF.",
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
        if parts.method == Method::OPTIONS && matches!(arrival, Arrival::Door(_)) {
            return Box::pin(self.preflight(parts, trail)).await;
        }
        let expects = parts.headers.contains_key(header::EXPECT);
        let mut at_least = None;
        let (mut met, via) = match arrival {
            Arrival::Door(facts) => (self.meet(parts, facts).await?, Via::Door),
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
        let source = match met.is_form() {
            true => Box::pin(self.read_form(&mut met, incoming)).await?,
            false => Source::Wire(incoming),
        };
        let identity = match &source {
            Source::Wire(_) => met.identified.take_identity(),
            Source::Form(form) => form.identity.clone(),
        };
        trail.known = self.knows(&identity, &via);
        let mut about = self.about(&met.request, &via, &identity, trail).await?;
        // Who has no key is refused without a place, where nothing lets the public in.
        let public = || about.is_decided().then_some(&self.anybody);
        if let Some(payer) = identity.account().or_else(public) {
            let entered = self.enter(payer, source.size(), via == Via::Door, trail);
            if entered.await.is_err() {
                if !expects {
                    trail.body_ended = source.drain().await;
                }
                return Err(slow_down());
            }
        }
        let whose = (&identity, &via, source.key());
        self.add_details(&mut about, &met, whose).await?;
        let mut call = match self.admit(met, identity, source, (via, about), trail)? {
            Admitted::Here(call) => call,
            Admitted::Pass(outgoing) => {
                trail.passed = true;
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

    /// Whether a caller is known. That a long-term key was used is noted where it was shown.
    fn knows(&self, identity: &Identity, via: &Via) -> bool {
        if let (Some(key), Via::Door) = (identity.long_term_key(), via) {
            self.keys.note_use(key, Service::S3, self.clock.now());
        }
        identity.account().is_some()
    }

    /// Who asks, and for what, by the head alone.
    async fn meet<'r>(
        &self,
        parts: &'r mut http::request::Parts,
        facts: RequestFacts,
    ) -> Result<Met<'r>, Fault> {
        self.check_region()?;
        let received = Received::read(parts, &self.config.domains)?;
        let (request, identified) = identify::identify(self, received, facts).await?;
        Ok(Met {
            request,
            identified,
        })
    }

    /// The same of a head that another region relays, and how far it is proven.
    async fn meet_from<'r>(
        &self,
        parts: &'r mut http::request::Parts,
        from: types::Place,
        stated: Option<HeaderValue>,
        facts: Result<RequestFacts, UnreadableFacts>,
    ) -> Result<(Met<'r>, Via), Fault> {
        let facts = facts.map_err(|error| unproven(error.to_string()))?;
        let meeting = self.meet_relayed(parts, &from, stated.as_ref());
        let (request, relayed) = meeting.await?;
        let via = Via::Region(from, relayed.proof);
        let identified = Identified::relayed(relayed, facts.read_at(self.clock.now()));
        let met = Met {
            request,
            identified,
        };
        Ok((met, via))
    }

    /// Reads a form's fields, which say who sends it. A client that takes too long over them
    /// holds a place that others wait for, so there is a limit to that.
    async fn read_form(&self, met: &mut Met<'_>, incoming: Incoming) -> Result<Source, Fault> {
        let headers = met.request.headers();
        let Some(bucket) = met.request.target().bucket.clone() else {
            return Ok(Source::Wire(incoming));
        };
        let idle = self.config.body_idle;
        let mode = PayloadMode::Unsigned;
        let body = payload(incoming, headers, mode, None, idle)?;
        let facts = identify::judged_by(self);
        let dialect = met.request.dialect();
        let reading = dialect.read_form(body, headers, &bucket, &facts);
        let form = tokio::time::timeout(idle, reading).await;
        let mut form = form.map_err(|_| FaultKind::RequestTimeout)??;
        met.identified.found(form.auth);
        met.request.become_form(std::mem::take(&mut form.headers));
        Ok(Source::Form(Box::new(form)))
    }

    /// Everything else before the handler: whether they may, and where.
    fn admit(
        &self,
        met: Met<'_>,
        identity: Identity,
        source: Source,
        (mut via, about): (Via, About),
        trail: &mut Trail,
    ) -> Result<Admitted<'_>, Fault> {
        let request = &met.request;
        let (operation, deed) = (about.operation, &about.deed);
        // Nothing of a body that is not read needs a proof.
        if let Via::Region(_, proof @ Proof::Head) = &mut via
            && !(has_body(request.method()) && operation.reads_body())
        {
            *proof = Proof::Whole;
        }
        let (length, came) = (request.length(), met.identified.facts());
        let dialect = request.dialect();
        let mut ask = dialect.ask(operation, request, &identity, source.key(), came);
        about.details.add_to(&mut ask);
        let action = ask.action;
        let facts = Facts {
            deed: deed.as_ref(),
            access: about.access(),
            account_block: self.account_block(deed.as_ref(), about.access()),
            here: &self.place_for(&via),
            via: &via,
        };
        let decided = access::authorize(&ask, &facts);
        match (deed, &decided) {
            (Some(_), Err(Refusal::Anonymous | Refusal::NotOwner)) => trail.known = false,
            (Some(_), Ok(_)) => trail.known = true,
            _ => {}
        }
        let way = self.way(operation, &ask, &facts, decided)?;
        request.dialect().check(operation, request)?;
        let touches = || Touched::by(operation, request.target().key.as_ref());
        let way = match deed.as_ref() {
            Some(deed) if !operation.writes() && via == Via::Door && self.acknowledged.any() => {
                self.way_to_read(way, action, deed, &touches())?
            }
            _ => way,
        };
        let permit = match way {
            Way::Here(permit) => permit,
            Way::Pass(holders) => {
                let way = (holders, self.pace(request, &via, trail, false));
                let touched = touches();
                let mut outgoing = self.outgoing(met, source, way, (operation, action))?;
                outgoing.touched = touched;
                self.metrics.received(operation).inc_by(length);
                return Ok(Admitted::Pass(Box::new(outgoing)));
            }
        };
        met.identified.check_replay(self, request)?;
        let pace = self.pace(request, &via, trail, true);
        let who = Who {
            operation,
            facts: met.identified.facts(),
            via,
            permit,
            pace,
            documents: about.documents,
        };
        let call = self.call(met, source, who)?;
        if length > 0 {
            self.metrics.received(operation).inc_by(length);
        }
        Ok(Admitted::Here(call))
    }

    /// A request for the handler.
    fn call(&self, met: Met<'_>, source: Source, who: Who) -> Result<Call<'_>, Fault> {
        let (body, form) = match source {
            Source::Form(form) => {
                let form = *form;
                (Some(form.body), Some((form.key, Box::new(form.reply))))
            }
            Source::Wire(incoming) => {
                let body = self.body(
                    who.operation,
                    met.identified,
                    &met.request,
                    incoming,
                    who.pace,
                )?;
                (body, None)
            }
        };
        let changes_deeds = matches!(who.operation.name, "CreateBucket" | "DeleteBucket");
        let head = changes_deeds.then(|| met.request.relayed().into_boxed_slice());
        let dialect = met.request.dialect();
        let (target, query, headers) = met.request.into_parts();
        let (key, form) = match form {
            Some((key, reply)) => (Some(key), Some(reply)),
            None => (target.key, None),
        };
        Ok(Call {
            gateway: self,
            dialect,
            operation: who.operation,
            via: who.via,
            facts: who.facts,
            permit: who.permit,
            documents: who.documents,
            bucket: target.bucket,
            key,
            query,
            headers,
            body,
            head,
            form,
            steps: Steps::new(limits::STEPS_MAX),
        })
    }

    /// A request for another region. Forms are sent there by their client: what a form means for
    /// its answer is known here only.
    fn outgoing(
        &self,
        met: Met<'_>,
        source: Source,
        (holders, pace): (Vec<RegionId>, Pace),
        (operation, action): (&Operation, Action),
    ) -> Result<Outgoing, Fault> {
        let request = met.request;
        let bucket = request.target().bucket.as_ref();
        let deed = bucket.and_then(|b| self.deeds.get(b));
        let deed = deed.ok_or(FaultKind::NoSuchBucket)?;
        let Source::Wire(incoming) = source else {
            return Err(self.redirect(&deed));
        };
        let facts = met.identified.facts();
        let head = self.relay(&request, &deed, &holders, (operation, action), facts)?;
        let body = match has_body(request.method()) && operation.reads_body() {
            true => {
                check_length(operation, &request)?;
                Some(met.identified.into_passing(&request, incoming, pace)?)
            }
            false => None,
        };
        Ok(Outgoing {
            dialect: request.dialect(),
            deed,
            holders,
            method: request.method().clone(),
            head,
            body,
            touched: Touched::Nothing,
            writes: operation.writes(),
        })
    }

    /// The body of a request that may have one, verified as it is read.
    fn body(
        &self,
        operation: &Operation,
        identified: Identified,
        request: &Request<'_>,
        incoming: Incoming,
        pace: Pace,
    ) -> Result<Option<Box<dyn types::Body>>, Fault> {
        let wanted = !identified.is_relayed() || operation.reads_body();
        if !has_body(request.method()) || !wanted {
            return Ok(None);
        }
        check_length(operation, request)?;
        identified.into_body(request, incoming, pace).map(Some)
    }

    fn record(
        &self,
        trail: &Trail,
        kind: Option<FaultKind>,
        status: StatusCode,
        began: Instant,
        request_id: &str,
    ) {
        let took = began.elapsed();
        let code = kind.map_or("", FaultKind::name);
        let operation = trail.operation.map_or("", |o| o.name);
        match trail.operation {
            Some(operation) if trail.known => {
                self.metrics.answered(operation, status, code, took);
            }
            _ if trail.known => self.metrics.unrouted(code),
            _ => self.metrics.stranger(code),
        }
        let (status, took_us) = (status.as_u16(), took.as_micros() as u64);
        if status >= 500 && status != 501 && status != 503 {
            tracing::error!(
                request_id,
                operation,
                status,
                code,
                took_us,
                "request failed"
            );
        } else {
            let source = trail.source.map(tracing::field::display);
            tracing::debug!(
                request_id, operation, source, status, code, took_us, "request"
            );
        }
    }
}

/// Counts a request while it is worked on, also when its client hangs up half way.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
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

/// Clients say beforehand how long an object or a part is.
fn check_length(operation: &Operation, request: &Request<'_>) -> Result<(), Fault> {
    let headers = request.headers();
    let known =
        headers.contains_key(header::CONTENT_LENGTH) || request.dialect().says_length(headers);
    if known || !matches!(operation.name, "PutObject" | "UploadPart") {
        return Ok(());
    }
    Err(FaultKind::MissingContentLength.into())
}

/// The answer to a HEAD: the length that a GET would have, no bytes.
fn empty_head(answer: &mut Response<ResponseBody>) {
    let body = std::mem::replace(answer.body_mut(), ResponseBody::Empty);
    if answer.status().is_success() && !answer.headers().contains_key(header::CONTENT_LENGTH) {
        let length = HeaderValue::from(body.len());
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
}
