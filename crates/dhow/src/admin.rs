//! The admin API: a small listener of its own, for the operator of the cloud only. Each request is
//! signed like one for S3, by a key of the root account; whatever else comes is 403.
//!
//! | request | answer |
//! |---|---|
//! | `GET /-/admin/v1/accounts` | the accounts |
//! | `POST /-/admin/v1/accounts` `{"name"}` | the new account |
//! | `GET /-/admin/v1/keys[?account=ID]` | keys, without secrets |
//! | `POST /-/admin/v1/keys` `{"account", "access_key"?, "secret_key"?, "description"?}` | the key pair |
//! | `POST /-/admin/v1/keys/ID/enable` or `/disable` | the key |
//! | `DELETE /-/admin/v1/keys/ID` | `{}` |
//! | `POST /-/admin/v1/scrub` `{"repair"}` | `{}`; one pass at a time |
//! | `GET /-/admin/v1/scrub` | how far the pass is, and what it found |

use std::{convert::Infallible, sync::Arc, time::Duration};

use access::{
    Identity,
    signature::{self, AuthType, Facts, PayloadMode, RegionNames, Request as Signed},
};
use bytes::Bytes;
use cloud::{CloudError, KeyStatus};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore};
use types::{AccessKeyId, AccountId, RegionId};

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

type Answer = Result<Value, (StatusCode, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    account: String,
    access_key: Option<String>,
    secret_key: Option<String>,
    #[serde(default)]
    description: String,
}

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
        let (payload, actor) = self.authorize(&parts)?;
        let read = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = tokio::time::timeout(BODY_WAIT, read)
            .await
            .map_err(|_| bad("the body did not come in time"))?
            .map_err(|_| bad("the body could not be read, or is larger than 64 KiB"))?
            .to_bytes();
        if access::sign::payload_sha256(&body) != payload {
            return Err(bad("the body does not match x-amz-content-sha256"));
        }
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let steps: Vec<&str> = path.split('/').collect();
        match steps.split_first() {
            Some((&"accounts", [])) => self.accounts(&actor, &parts.method, &body).await,
            Some((&"keys", rest)) => {
                let of = parts.uri.query().and_then(|q| q.strip_prefix("account="));
                self.keys(&actor, &parts.method, rest, of, &body).await
            }
            Some((&"scrub", [])) => self.scrubbing(&parts.method, &body),
            _ => Err(unknown()),
        }
    }

    async fn accounts(&self, actor: &str, method: &Method, body: &[u8]) -> Answer {
        let registry = &self.region.registry;
        match *method {
            Method::GET => Ok(registry.accounts().iter().map(account).collect()),
            Method::POST => {
                let new: NewAccount = parse(body)?;
                let made = registry
                    .create_account(actor, &new.name, false, Vec::new())
                    .await;
                made.map(|a| account(&a)).map_err(refused)
            }
            _ => Err(unknown()),
        }
    }

    async fn keys(
        &self,
        actor: &str,
        method: &Method,
        rest: &[&str],
        of: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let registry = &self.region.registry;
        match (method, rest) {
            (&Method::GET, []) => to_json(registry.keys(of.map(AccountId::new).as_ref())),
            (&Method::POST, []) => self.create_key(actor, parse(body)?).await,
            (&Method::POST, [id, verb @ ("enable" | "disable")]) => {
                let status = match *verb {
                    "enable" => KeyStatus::Active,
                    _ => KeyStatus::Disabled,
                };
                let changed = registry
                    .set_key_status(actor, &AccessKeyId::new(id), status)
                    .await;
                to_json(changed.map_err(refused)?)
            }
            (&Method::DELETE, [id]) => {
                let root = self.region.credentials.as_ref();
                if root.is_some_and(|root| root.access_key == **id) {
                    return Err(bad(
                        "the root key cannot be deleted: nobody could administer",
                    ));
                }
                registry
                    .delete_key(actor, &AccessKeyId::new(id))
                    .await
                    .map_err(refused)?;
                Ok(json!({}))
            }
            _ => Err(unknown()),
        }
    }

    fn scrubbing(&self, method: &Method, body: &[u8]) -> Answer {
        match *method {
            Method::GET => to_json(self.scrub.state()),
            Method::POST => {
                let StartScrub { repair } = parse(body)?;
                if !ScrubJob::start(&self.scrub, Arc::clone(&self.region), repair) {
                    return Err((StatusCode::CONFLICT, "a scrub is under way already".into()));
                }
                Ok(json!({}))
            }
            _ => Err(unknown()),
        }
    }

    async fn create_key(&self, actor: &str, new: NewKey) -> Answer {
        let pair = match (&new.access_key, &new.secret_key) {
            (Some(access), Some(secret)) => Some((access.as_str(), secret.as_str())),
            (None, None) => None,
            _ => {
                return Err(bad(
                    "an existing pair needs both its access key and its secret key",
                ));
            }
        };
        let account = AccountId::new(&new.account);
        let made = self
            .region
            .registry
            .create_key(actor, &account, pair, &new.description)
            .await;
        to_json(made.map_err(refused)?)
    }

    /// The sender must hold a key of the root account. Returns the digest that the body must have,
    /// and who the sender is, for the audit log.
    fn authorize(
        &self,
        parts: &http::request::Parts,
    ) -> Result<(String, String), (StatusCode, String)> {
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
        let registry = &self.region.registry;
        let actor = match &verified.identity {
            Identity::Key {
                account,
                access_key,
            } if registry.account(account).is_some_and(|a| a.root) => {
                format!("account {account} key {access_key}")
            }
            _ => return Err(denied("the caller is not the operator".into())),
        };
        match verified.payload {
            PayloadMode::Sha256(_) => {}
            _ => return Err(denied("the body must be signed".into())),
        }
        let claimed = parts
            .headers
            .get("x-amz-content-sha256")
            .and_then(|v| v.to_str().ok());
        Ok((claimed.unwrap_or_default().to_ascii_lowercase(), actor))
    }
}

fn unknown() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "no such admin operation".to_owned())
}

fn to_json(value: impl serde::Serialize) -> Answer {
    serde_json::to_value(value).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

fn account(account: &cloud::Account) -> Value {
    json!({
        "id": account.id,
        "name": account.name,
        "created": types::Timestamp::from_ms(account.created_ms).iso8601(),
        "root": account.root,
    })
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body).map_err(|e| bad(&format!("the body is not as expected: {e}")))
}

fn bad(message: &str) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, message.to_owned())
}

fn refused(error: CloudError) -> (StatusCode, String) {
    let status = match &error {
        CloudError::NoAccount(_)
        | CloudError::NoKey(_)
        | CloudError::NoBucket(_)
        | CloudError::NoRegion(_)
        | CloudError::NoOperator(_) => StatusCode::NOT_FOUND,
        CloudError::KeyExists(_) | CloudError::Exists(_) | CloudError::Refused(_) => {
            StatusCode::CONFLICT
        }
        CloudError::Invalid(_) => StatusCode::BAD_REQUEST,
        CloudError::Elsewhere(_) => StatusCode::MISDIRECTED_REQUEST,
        CloudError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        CloudError::History(..) | CloudError::Record(_) | CloudError::Store(_) => {
            tracing::error!(%error, "the registry failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    (status, error.to_string())
}
