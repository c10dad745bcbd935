//! The admin API: a small listener of its own. Each request is signed like one for S3, and allowed
//! by the role of its key ([`access::grants`]); whatever else comes is 403.
//!
//! All is below `/-/admin/v1/`; [`admin::operations`] has the table of requests, and
//! docs/admin-api.json (served as `GET openapi.json`) describes them. Accounts, keys, regions and
//! buckets are changed in the region that keeps the registry; the others answer 421.

mod accounts;
mod answers;
mod buckets;
mod call;
mod choosing;
mod draining;
mod explaining;
mod health;
mod hints;
mod identities;
mod leaving;
mod promoting;
mod reads;
mod regions;
mod residency;
mod scrubbing;
mod seen;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use access::{
    Identity, Who,
    grants::Role,
    signature::{
        self, AuthType, Facts, PayloadMode, RegionNames, Request as Signed, Service,
        SignatureError, SignedHeader,
    },
};
use admin::{
    PREFIX, openapi,
    operations::{Op, route},
};
use bytes::Bytes;
use cloud::{Introduced, KeyStatus, RegionStatus};
use gateway::{Hosts, SmallLimits, serve_small};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use listener::Listener;
use serde_json::{Value, json};
use types::{Actor, RegionId, Timestamp};

use self::{
    answers::{bad, refused, unknown},
    call::{Call, Sender},
    identities::{takes_away, tightens},
    reads::{Read, signs_nonce},
    seen::Signed as SignedOnce,
};
pub use self::{
    draining::Drains,
    reads::Reads,
    seen::{Seen, Signed as SignedChange},
};
use crate::{iam_forms::IamForms, region::Region, scrub::ScrubJob};

const BODY_BYTES_MAX: usize = 64 << 10;
const BODY_WAIT: Duration = Duration::from_secs(10);

/// What the API reaches.
pub struct Admin {
    /// The region.
    pub region: Arc<Region>,
    /// Its id.
    pub region_id: RegionId,
    /// The pass under way, or the last one.
    pub scrub: Arc<ScrubJob>,
    /// Users and their policies.
    pub forms: Arc<IamForms>,
    /// Signatures that changed something.
    pub seen: Arc<Seen>,
    /// Signatures that read something.
    pub reads: Reads,
    /// How far drains are.
    pub drains: Arc<Drains>,
    /// The names of its listener.
    pub hosts: Hosts,
    /// Held while the machine is looked at.
    pub looking: Arc<tokio::sync::Mutex<()>>,
}

type Refused = (StatusCode, String);
type Answer = Result<Value, Refused>;

/// Entries of the audit log in one answer.
const AUDIT_MAX: usize = 1000;
/// Bytes of them.
const AUDIT_BYTES_MAX: usize = 3 << 20;

impl Admin {
    /// Serves until the process stops.
    pub async fn serve(self: Arc<Self>, listener: Listener) {
        let answer = move |from: SocketAddr, request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move {
                // A client of S3 gets that answer first, under any name.
                let is_s3 = gateway::not_s3(request.headers(), "the admin API").is_some();
                match admin.hosts.check(&request) {
                    Err(host) if !is_s3 => answered(Err(elsewhere(host))),
                    _ => admin.answer(request, Some(from.ip())).await,
                }
            }
        };
        serve_small(
            SmallLimits::default(),
            listener,
            answer,
            std::future::pending(),
        )
        .await;
    }

    /// Answers one request, of a client with this address where that is known. Whoever asks within
    /// this process names no host.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        from: Option<IpAddr>,
    ) -> Response<Full<Bytes>> {
        if let Some(body) = gateway::not_s3(request.headers(), "the admin API") {
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        }
        answered(self.act(request, from).await)
    }

    async fn act(&self, request: Request<Incoming>, from: Option<IpAddr>) -> Answer {
        let (parts, body) = request.into_parts();
        let Signature {
            payload,
            text: signature,
            at,
            sender,
        } = self.authorize(&parts, from).await?;
        let read = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = tokio::time::timeout(BODY_WAIT, read)
            .await
            .map_err(|_| bad("the body did not come in time"))?
            .map_err(|_| bad("the body could not be read, or is larger than 64 KiB"))?
            .to_bytes();
        if access::sign::payload_sha256(&body) != payload {
            return Err(bad("the body does not match x-amz-content-sha256"));
        }
        // The body may have taken its time, in which the key was disabled or deleted.
        let sender = match body.is_empty() {
            true => sender,
            false => self.authorize(&parts, from).await?.sender,
        };
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let (operation, id) = route(parts.method.as_str(), path).ok_or_else(unknown)?;
        let Sender {
            actor,
            account,
            role,
        } = sender;
        let call = Call {
            action: operation.action,
            query: parts.uri.query().map(str::to_owned),
            body,
            actor,
            account,
            role,
        };
        // A misspelt name must not mean everything.
        let query = parts.uri.query().unwrap_or_default();
        let named = query.split('=').next().unwrap_or_default();
        if !query.is_empty() && operation.query.is_none_or(|known| known.name != named) {
            return Err(bad(
                "the query names a parameter that this operation has not",
            ));
        }
        // Before anything else is looked at; how far the right reaches is for each operation.
        call.may_at_all()?;
        match operation.method {
            "GET" => {
                let read = Read {
                    signature: &signature,
                    account: &call.account,
                    root: call.role == Role::CloudOperator,
                    has_nonce: signs_nonce(&parts.headers),
                    at,
                };
                self.reads.take(&read, self.region.clock.now())?;
            }
            _ => {
                let tightens = tightens(operation.op, &call);
                self.take_once(signature, &call, tightens).await?;
            }
        }
        let answer = self.perform(operation.op, &call, id).await?;
        match takes_away(operation.op, &call) {
            true => Ok(self.once_arrived(operation.op, id, answer).await),
            false => Ok(answer),
        }
    }

    /// A signed request changes something once: whoever saw it must not have it done again.
    async fn take_once(
        &self,
        signature: String,
        call: &Call,
        tightens: bool,
    ) -> Result<(), Refused> {
        let signed = SignedOnce {
            signature,
            account: call.account.to_string(),
            of_user: None,
            root: call.role == Role::CloudOperator,
            tightens,
        };
        let (seen, now) = (Arc::clone(&self.seen), self.region.clock.now().s());
        let taken = tokio::task::spawn_blocking(move || seen.take(&signed, now)).await;
        taken.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?
    }

    /// `id` is the value of the path's parameter.
    async fn perform(&self, op: Op, call: &Call, id: &str) -> Answer {
        let bucket = || self.bucket(call, id);
        match op {
            Op::DescribeApi => Ok(openapi::document()),
            Op::ListAccounts => self.list_accounts(call),
            Op::CreateAccount => self.create_account(call).await,
            Op::SuspendAccount => self.suspend_account(call, id, true).await,
            Op::ResumeAccount => self.suspend_account(call, id, false).await,
            Op::ChangeAccess => self.change_access(call, id).await,
            Op::SetGuardPolicy => self.set_guard_policy(call, id).await,
            Op::ListKeys => self.list_keys(call),
            Op::CreateKey => self.create_key(call).await,
            Op::EnableKey => self.set_key(call, id, KeyStatus::Active).await,
            Op::DisableKey => self.set_key(call, id, KeyStatus::Disabled).await,
            Op::DeleteKey => self.delete_key(call, id).await,
            Op::CallIam => self.call_iam(call, id).await,
            Op::EndSession => self.end_session(call, id).await,
            Op::ExplainAccess => self.explain(call, id).await,
            Op::ListOperators => self.list_operators(call),
            Op::GetOperator => self.get_operator(call, id),
            Op::AddOperator => self.add_operator(call).await,
            Op::ListRegions => self.list_regions(call),
            Op::GetRegion => self.get_region(call, id),
            Op::PlanRegion => self.plan(call).await,
            Op::DrainRegion => self.drain(call, id).await,
            Op::GetDrain => self.get_drain(call, id),
            Op::AbortDrain => self.abort_drain(call, id).await,
            Op::PlanDrain => self.plan_drain(call, id).await,
            Op::OpenRegion => self.set_region(call, id, RegionStatus::Open).await,
            Op::CloseRegion => self.close_region(call, id).await,
            Op::RevokeCertificate => self.revoke(call, id).await,
            Op::RekeyRegion => self.rekey(call, id).await,
            Op::AllowAddresses => self.allow(call, id).await,
            Op::StepBackRegion => self.step_back(call, id).await,
            Op::ListBuckets => self.list_buckets(call),
            Op::GetBucket => Ok(self.show(&bucket()?).await),
            Op::CreateBucket => self.create_bucket(call).await,
            Op::PlaceBucket => self.place(call, &bucket()?).await,
            Op::PromoteBucket => self.promote(call, &bucket()?).await,
            Op::CheckResidency => self.check_residency(&*bucket()?).await,
            Op::ProveResidency => self.prove_residency(call, id).await,
            Op::ReadAudit => self.audit(call).await,
            Op::SignCheckpoint => self.checkpoint(call).await,
            Op::GetMapKey => self.map_key(call),
            Op::GetScrub => self.scrub_state(call),
            Op::StartScrub => self.start_scrub(call),
            Op::GetHealth => self.health(call).await,
            Op::ListHeld => self.held(call),
        }
    }

    async fn audit(&self, call: &Call) -> Answer {
        call.may()?;
        let from = call.query.as_deref().and_then(|q| q.strip_prefix("from="));
        let from = from.map_or(Ok(0), str::parse);
        let from = from.map_err(|_| bad("`from` is the number of an entry"))?;
        let most = (AUDIT_MAX, AUDIT_BYTES_MAX);
        let entries = self.region.registry.audit(from, most).await;
        entries.map(Value::Array).map_err(refused)
    }

    /// Whether the registry sent the key of a signature that this region did not know.
    async fn learns(&self, request: &Signed<'_>, from: Option<IpAddr>) -> bool {
        let Ok(claim) = signature::claim_admin(request, self.region.clock.now()) else {
            return false;
        };
        let registry = &self.region.registry;
        let asked = registry.introduce(&claim.statement, Service::Admin, from);
        match asked.await {
            Ok(introduced) => introduced == Introduced::Known,
            Err(error) => {
                tracing::warn!(%error, "the key of an admin request cannot be looked up");
                false
            }
        }
    }

    /// The sender must hold an active key.
    async fn authorize(
        &self,
        parts: &http::request::Parts,
        from: Option<IpAddr>,
    ) -> Result<Signature, Refused> {
        let query = parts.uri.query();
        let auth = AuthType::of(&parts.method, &parts.headers, query);
        let auth = auth.map_err(|e| denied(e.to_string()))?;
        if auth != AuthType::HeaderV4 {
            return Err(denied(format!(
                "{auth:?} requests are not for the admin API"
            )));
        }
        let request = Signed {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            host_bucket: None,
            query,
            headers: &parts.headers,
        };
        let facts = Facts {
            keys: &*self.region.registry,
            regions: RegionNames {
                own: &self.region_id,
                aliases: &[],
            },
            now: self.region.clock.now(),
        };
        let verified = match signature::verify_admin(&request, &facts) {
            Err(SignatureError::UnknownKey(_)) if self.learns(&request, from).await => {
                signature::verify_admin(&request, &facts)
            }
            verified => verified,
        };
        let verified = verified.map_err(unverified)?;
        if let Some(key) = verified.identity.long_term_key() {
            facts.keys.note_use(key, Service::Admin, facts.now);
        }
        let Identity::Key {
            account,
            access_key,
            who,
            ..
        } = verified.identity
        else {
            return Err(denied("nobody signed it".into()));
        };
        may_administer(&who)?;
        let registry = &self.region.registry;
        let Some(found) = registry.account(&account) else {
            return Err(denied("the account is not known".into()));
        };
        let sender = Sender {
            actor: Actor::Key {
                account: account.clone(),
                access_key: access_key.clone(),
            },
            role: found.role(registry.administers(&access_key)),
            account,
        };
        if !matches!(verified.payload, PayloadMode::Sha256(_)) {
            return Err(denied("the body must be signed".into()));
        }
        Signature::of(&parts.headers, verified.at.unwrap_or_default(), sender)
    }
}

/// What was verified of a request before its body was read.
struct Signature {
    /// The digest that the body must have.
    payload: String,
    /// As it was sent.
    text: String,
    /// The time that was signed.
    at: Timestamp,
    /// Whose key it is.
    sender: Sender,
}

impl Signature {
    /// Of a request that was verified.
    fn of(headers: &HeaderMap, at: Timestamp, sender: Sender) -> Result<Self, Refused> {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let claimed = header("x-amz-content-sha256").unwrap_or_default();
        let signature = header("authorization").unwrap_or_default();
        let signature = SignedHeader::parse_for(signature, Service::Admin).map_err(unverified)?;
        Ok(Self {
            payload: claimed.to_ascii_lowercase(),
            text: signature.signature.to_owned(),
            at,
            sender,
        })
    }
}

/// The request was signed for another host, and somebody forwarded it.
fn elsewhere(host: &str) -> Refused {
    let host = types::text::shown(host, 100);
    tracing::info!(%host, "an admin request to another host was refused");
    let why = format!(
        "the request is for host `{host}`, which is not this admin API. If you reach it under that \
         name, through a proxy or another port, name it in `admin_hosts` of this region's \
         configuration"
    );
    (StatusCode::MISDIRECTED_REQUEST, why)
}

fn answered(answer: Answer) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Ok(value) => (StatusCode::OK, value),
        Err((status, message)) => (status, json!({ "error": message })),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

/// Users do what their policies allow, and no policy is about the admin API.
fn may_administer(who: &Who) -> Result<(), Refused> {
    if who.may_administer() {
        return Ok(());
    }
    let why = match who {
        Who::Session(_) => "access denied: the admin API takes no sessions",
        Who::Root | Who::User(_) => {
            "access denied: this key is a user's, and the admin API takes keys of accounts only"
        }
    };
    tracing::info!(?who, "an admin request of a user was refused");
    Err((StatusCode::FORBIDDEN, why.to_owned()))
}

fn denied(why: String) -> Refused {
    // A stranger may have written it.
    let why = types::text::shown(&why, 400);
    tracing::info!(%why, "an admin request was refused");
    (StatusCode::FORBIDDEN, "access denied".to_owned())
}

/// A signature that is no good. What is said of its form is nothing about a key: so the answer to a
/// client that signs for S3 says what to sign for.
fn unverified(error: SignatureError) -> Refused {
    let form = match &error {
        SignatureError::HeaderMalformed(why) => Some(format!(
            "access denied: the authorization header is malformed; {why}"
        )),
        SignatureError::WrongRegion { got, expected, .. } => Some(format!(
            "access denied: signed for region {got}, and this is the admin API of region {expected}"
        )),
        SignatureError::AccountProblem => {
            Some("access denied: the account of this key is suspended".to_owned())
        }
        _ => None,
    };
    let refused = denied(error.to_string());
    form.map_or(refused, |form| (StatusCode::FORBIDDEN, form))
}
