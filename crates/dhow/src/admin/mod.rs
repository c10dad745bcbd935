//! The admin API: a small listener of its own. Each request is signed like one for S3, and allowed
//! by the role of its key ([`grants`]); whatever else comes is 403.
//!
//! | request | answer |
//! |---|---|
//! | `GET accounts` | the accounts |
//! | `POST accounts` `{"name", "guard"?, "operator"?, "auditor"?}` | the new account |
//! | `POST accounts/ID/suspend` or `/resume` | the account |
//! | `GET keys[?account=ID]` | keys, without secrets |
//! | `POST keys` `{"account", "access_key"?, "secret_key"?, "description"?, "admin"?}` | the key pair |
//! | `POST keys/ID/enable` or `/disable` | the key |
//! | `DELETE keys/ID` | `{}` |
//! | `GET operators`, `GET operators/ID` | the operators; one with its regions |
//! | `POST operators` `{"id", "name"}` | the operator |
//! | `GET regions`, `GET regions/ID` | the regions |
//! | `POST regions` `{"plan", "dry_run"?, "valid_s"?}` | the planned region and its join token |
//! | `POST regions/ID/drain`, `/open` or `/close` | the region |
//! | `POST regions/ID/revoke` `{"serial"}` | `{}` |
//! | `GET buckets`, `GET buckets/NAME` | deeds; one with how its copies are doing |
//! | `POST buckets` `{"name", "home"?, "replicas"?, …}` | the deed |
//! | `POST buckets/NAME/place` `{"add"?, "remove"?, "jurisdictions"?, "proxy"?, "dry_run"?}` | the deed |
//! | `POST buckets/NAME/promote` `{"to", "force"?}` | the deed |
//! | `GET audit[?from=N]` | entries of the audit log, at most 1000 |
//! | `GET audit/checkpoint` | the log's last number and hash, signed by the registry's region |
//! | `GET buckets/NAME/residency` | what each region says that it holds, and whether it may |
//! | `POST buckets/NAME/residency` `{}` | the same as a file for an auditor |
//! | `POST scrub` `{"repair"}` | `{}`; one pass at a time |
//! | `GET scrub` | how far the pass is, and what it found |
//!
//! All below `/-/admin/v1/`. Accounts, keys, regions and buckets are changed in the region that
//! keeps the registry; the others answer 421.

mod accounts;
mod answers;
mod buckets;
mod call;
mod grants;
mod regions;
mod residency;

use std::{convert::Infallible, sync::Arc, time::Duration};

use access::{
    Identity,
    signature::{self, AuthType, Facts, PayloadMode, RegionNames, Request as Signed},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore};
use types::RegionId;

use self::{
    answers::{bad, parse, refused, to_json, unknown},
    call::Call,
    grants::{Action, Role},
};
use crate::{region::Region, scrub::ScrubJob};

const BODY_BYTES_MAX: usize = 64 << 10;
const BODY_WAIT: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 64;
const PREFIX: &str = "/-/admin/v1/";

/// What the API reaches.
pub struct Admin {
    /// The region.
    pub region: Arc<Region>,
    /// Its id.
    pub region_id: RegionId,
    /// The pass under way, or the last one.
    pub scrub: Arc<ScrubJob>,
}

type Refused = (StatusCode, String);
type Answer = Result<Value, Refused>;

/// Entries of the audit log in one answer.
const AUDIT_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartScrub {
    repair: bool,
}

impl Admin {
    /// Serves until the process stops.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!(%error, "cannot accept on the admin listener");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let admin = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let admin = Arc::clone(&admin);
                    async move { Ok::<_, Infallible>(admin.answer(request).await) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(30));
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(%error, "an admin connection broke");
                }
                drop(place);
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match self.act(request).await {
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

    async fn act(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let (payload, sender) = self.authorize(&parts)?;
        let read = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = tokio::time::timeout(BODY_WAIT, read)
            .await
            .map_err(|_| bad("the body did not come in time"))?
            .map_err(|_| bad("the body could not be read, or is larger than 64 KiB"))?
            .to_bytes();
        if access::sign::payload_sha256(&body) != payload {
            return Err(bad("the body does not match x-amz-content-sha256"));
        }
        let call = Call {
            method: parts.method.clone(),
            query: parts.uri.query().map(str::to_owned),
            body,
            ..sender
        };
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let steps: Vec<&str> = path.split('/').collect();
        match steps.split_first() {
            Some((&"accounts", rest)) => self.accounts(&call, rest).await,
            Some((&"keys", rest)) => self.keys(&call, rest).await,
            Some((&"operators", rest)) => self.operators(&call, rest).await,
            Some((&"regions", rest)) => self.regions(&call, rest).await,
            Some((&"buckets", rest)) => self.buckets(&call, rest).await,
            Some((&"audit", [])) => self.audit(&call).await,
            Some((&"audit", ["checkpoint"])) => self.checkpoint(&call),
            Some((&"scrub", [])) => self.scrubbing(&call),
            _ => Err(unknown()),
        }
    }

    async fn audit(&self, call: &Call) -> Answer {
        call.may(Action::ReadAudit)?;
        if call.method != Method::GET {
            return Err(unknown());
        }
        let from = call.query.as_deref().and_then(|q| q.strip_prefix("from="));
        let from = from.map_or(Ok(0), str::parse);
        let from = from.map_err(|_| bad("`from` is the number of an entry"))?;
        let entries = self.region.registry.audit(from, AUDIT_MAX).await;
        entries.map(Value::Array).map_err(refused)
    }

    fn scrubbing(&self, call: &Call) -> Answer {
        let registry = &self.region.registry;
        call.of_region(Action::Scrub, registry.region(&self.region.id).as_deref())?;
        match call.method {
            Method::GET => to_json(self.scrub.state()),
            Method::POST => {
                let StartScrub { repair } = parse(&call.body)?;
                if !ScrubJob::start(&self.scrub, Arc::clone(&self.region), repair) {
                    return Err((StatusCode::CONFLICT, "a scrub is under way already".into()));
                }
                Ok(json!({}))
            }
            _ => Err(unknown()),
        }
    }

    /// The sender must hold an active key. Returns the digest that the body must have, and the
    /// call as far as it is known then.
    fn authorize(&self, parts: &http::request::Parts) -> Result<(String, Call), Refused> {
        let denied = |why: String| {
            tracing::info!(why, "an admin request was refused");
            (StatusCode::FORBIDDEN, "access denied".to_owned())
        };
        let query = parts.uri.query();
        let auth = AuthType::of(&parts.method, &parts.headers, query)
            .map_err(|e| denied(e.to_string()))?;
        if auth != AuthType::HeaderV4 {
            return Err(denied(format!(
                "{auth:?} requests are not for the admin API"
            )));
        }
        let request = Signed {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query,
            authority: parts.uri.authority().map(|a| a.as_str()),
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
        let verified =
            signature::verify(auth, &request, &facts).map_err(|e| denied(e.to_string()))?;
        let Identity::Key {
            account,
            access_key,
        } = verified.identity
        else {
            return Err(denied("nobody signed it".into()));
        };
        let registry = &self.region.registry;
        let Some(found) = registry.account(&account) else {
            return Err(denied("the account is not known".into()));
        };
        let call = Call {
            method: Method::GET,
            query: None,
            body: Bytes::new(),
            actor: format!("account {account} key {access_key}"),
            role: Role::of(&found, registry.key(&access_key).as_ref()),
            account,
        };
        match verified.payload {
            PayloadMode::Sha256(_) => {}
            _ => return Err(denied("the body must be signed".into())),
        }
        let claimed = parts
            .headers
            .get("x-amz-content-sha256")
            .and_then(|v| v.to_str().ok());
        Ok((claimed.unwrap_or_default().to_ascii_lowercase(), call))
    }
}
