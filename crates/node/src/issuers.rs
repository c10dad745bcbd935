//! Gets the keys of identity providers (OpenID Connect Discovery), and redeems the codes of people
//! who sign in to the console: the only requests that a region sends to hosts that an account has
//! named.
//!
//! So it sends them to hosts alone that the region's operator lists, by https, and in clear text
//! only to a loopback address that is listed as such. The certificate must be of the host that is
//! listed: a name that leads to another machine leads to none. No redirect is followed, the keys
//! are asked for at a listed host too, and answers are small and come in time. Only the region
//! that keeps the registry asks, since sessions begin there.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use admin::failure::Failure;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use iam::{Issuers, KeySet, NoKeys};
use listener::Trust;
use parking_lot::Mutex;
use serde::Deserialize;
use types::deed::BoxFuture;

use crate::origin::Origin;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long one answer may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How old keys may be before they are asked for again, and before they count no more although the
/// provider does not answer.
const FRESH: Duration = Duration::from_secs(600);
const GOOD: Duration = Duration::from_secs(86_400);
/// How long newer keys are not asked for again, and how long a provider is not that did not answer.
const BEYOND_EVERY: Duration = Duration::from_secs(30);
const AWAY: Duration = Duration::from_secs(5);
/// Providers of which something is remembered; past that all is dropped.
const KNOWN_MAX: usize = 1_000;

/// Whose tokens may begin sessions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StsConfig {
    /// The origins of identity providers that this region asks for keys.
    pub oidc_allow: Vec<String>,
    /// The authorities that their certificates are of, in a file; the system's when absent.
    pub oidc_ca: Option<PathBuf>,
}

impl StsConfig {
    /// What the types cannot say.
    pub fn check(&self) -> Result<(), Failure> {
        for origin in &self.oidc_allow {
            let read = Origin::of(origin);
            if read.is_none_or(|(_, path)| !path.is_empty()) {
                return Err(Failure::new(format!(
                    "`{}` under [sts] is no origin of an identity provider",
                    origin.escape_default()
                ))
                .hint(
                    "one has the form https://accounts.example.com, perhaps with a port, and \
                     http:// only before a loopback address",
                ));
            }
        }
        Ok(())
    }
}

/// What is remembered of a provider.
#[derive(Default)]
struct Known {
    /// Its keys, and when they came.
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When newer ones were asked for last.
    beyond: Option<Instant>,
    /// When it did not answer, and why.
    away: Option<(Instant, NoKeys)>,
    /// What it says of itself, and when it did.
    discovery: Option<(Arc<Discovery>, Instant)>,
}

/// Asks identity providers for their keys, and remembers them.
pub struct Fetched {
    allowed: Vec<Origin>,
    trust: Trust,
    /// One question to a provider at a time.
    known: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>,
}

/// What a provider says of itself.
#[derive(Deserialize)]
pub struct Discovery {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    authorization_endpoint: String,
    #[serde(default)]
    token_endpoint: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether its answers say whose they are (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// What the console is at a provider.
pub struct Client<'a> {
    /// Its name there.
    pub id: &'a str,
    /// Its secret, unless it has none.
    pub secret: Option<&'a str>,
}

/// A request to a provider: a form, and who sends it.
#[derive(Default)]
struct Ask {
    form: Option<String>,
    authorization: Option<String>,
}

fn failed(why: impl std::fmt::Display) -> NoKeys {
    NoKeys(why.to_string())
}

impl Fetched {
    /// As the configuration says.
    pub fn new(config: &StsConfig) -> Self {
        let allowed = config.oidc_allow.iter();
        let trust = config.oidc_ca.clone().map(Trust::Authorities);
        Self {
            allowed: allowed.filter_map(|url| Some(Origin::of(url)?.0)).collect(),
            trust: trust.unwrap_or_else(Trust::configured),
            known: Mutex::default(),
        }
    }

    /// Where a URL leads, if that is allowed.
    fn origin<'u>(&self, url: &'u str) -> Result<(Origin, &'u str), NoKeys> {
        let read = Origin::of(url);
        let allowed = read.filter(|(origin, _)| self.allowed.contains(origin));
        allowed.ok_or_else(|| {
            NoKeys(format!(
                "the region that keeps the registry asks no identity provider at {}: its operator \
                 lists the origins of those that it asks (`oidc_allow` under [sts], --oidc-allow)",
                types::text::shown(url, 300)
            ))
        })
    }

    async fn get(&self, url: &str) -> Result<Bytes, NoKeys> {
        let answered = self.ask(url, Ask::default()).await?;
        match answered {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(failed(format!(
                "{}: it answers {status}",
                types::text::shown(url, 300)
            ))),
        }
    }

    async fn ask(&self, url: &str, ask: Ask) -> Result<(StatusCode, Bytes), NoKeys> {
        let (origin, path) = self.origin(url)?;
        let getting = async {
            let connector = origin.connector(&self.trust).map_err(failed)?;
            let request = ask.request(path)?;
            let answer = origin.ask(connector.as_ref(), request, ANSWER_BYTES_MAX);
            let answer = answer.await.map_err(failed)?;
            Ok((answer.status(), answer.into_body()))
        };
        let got = tokio::time::timeout(WITHIN, getting).await;
        let got = got.unwrap_or_else(|_| Err(failed("it does not answer in time")));
        got.map_err(|NoKeys(why)| NoKeys(format!("{}: {why}", types::text::shown(url, 300))))
    }

    async fn discover(&self, url: &str) -> Result<Discovery, NoKeys> {
        let at = format!(
            "{}/.well-known/openid-configuration",
            url.trim_end_matches('/')
        );
        let read = serde_json::from_slice::<Discovery>(&self.get(&at).await?);
        let discovery = read.map_err(|_| failed("its configuration cannot be read"))?;
        // OpenID Connect Discovery 1.0, section 4.3.
        if discovery.issuer != url {
            return Err(failed("its configuration is of another issuer"));
        }
        Ok(discovery)
    }

    async fn fetch(&self, url: &str) -> Result<Arc<KeySet>, NoKeys> {
        let discovery = self.discover(url).await?;
        let text = self.get(&discovery.jwks_uri).await?;
        let keys = KeySet::read(&text);
        keys.map(Arc::new)
            .ok_or_else(|| failed("its keys cannot be read"))
    }

    /// What a provider says of itself, asked for now and then.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn discovered(&self, url: &str) -> Result<Arc<Discovery>, NoKeys> {
        // Remembered apart from its keys: who needs these does not wait behind sign-ins.
        let known = self.known(&[url, "#sign-in"].concat());
        let mut known = known.lock().await;
        let now = Instant::now();
        let age = |at: &Instant| now.duration_since(*at);
        if let Some((found, _)) = known.discovery.as_ref().filter(|(_, at)| age(at) < FRESH) {
            return Ok(Arc::clone(found));
        }
        if let Some((_, why)) = known.away.as_ref().filter(|(at, _)| age(at) < AWAY) {
            return Err(why.clone());
        }
        match self.discover(url).await {
            Ok(found) => {
                let found = Arc::new(found);
                known.discovery = Some((Arc::clone(&found), now));
                Ok(found)
            }
            Err(why) => {
                // From now on: it may have taken as long as it counts.
                known.away = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    /// Redeems a code: the ID token. The token endpoint is at a listed origin too.
    ///
    /// # Errors
    /// The provider does not answer, or refuses.
    pub async fn redeem(
        &self,
        url: &str,
        client: &Client<'_>,
        form: &[(&str, &str)],
    ) -> Result<String, NoKeys> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: Option<String>,
            error: Option<String>,
        }
        let found = self.discovered(url).await?;
        let answered = self
            .ask(&found.token_endpoint, found.asks(client, form))
            .await;
        let (status, body) = answered?;
        let answer: Option<Answer> = serde_json::from_slice(&body).ok();
        let error = answer.as_ref().and_then(|answer| answer.error.as_deref());
        let why = error.map_or_else(String::new, |error| {
            format!(", {}", types::text::shown(error, 60))
        });
        let token = answer.and_then(|answer| answer.id_token);
        match (status, token) {
            (StatusCode::OK, Some(token)) => Ok(token),
            _ => Err(failed(format!("its token endpoint answers {status}{why}"))),
        }
    }

    fn known(&self, url: &str) -> Arc<tokio::sync::Mutex<Known>> {
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX && !known.contains_key(url) {
            known.clear();
        }
        Arc::clone(known.entry(url.to_owned()).or_default())
    }

    async fn keys_of(
        &self,
        url: &str,
        beyond: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, NoKeys> {
        self.origin(url)?;
        let known = self.known(url);
        let mut known = known.lock().await;
        let now = Instant::now();
        let age = |at: &Instant| now.duration_since(*at);
        let have = known.keys.clone().filter(|(_, at)| age(at) < GOOD);
        let asks_anew = match (&have, beyond) {
            (None, _) => true,
            // Somebody else's question may have brought others.
            (Some((keys, _)), Some(beyond)) if !Arc::ptr_eq(keys, beyond) => false,
            (Some(_), Some(_)) => known.beyond.is_none_or(|at| age(&at) >= BEYOND_EVERY),
            (Some((_, at)), None) => age(at) >= FRESH,
        };
        let away = known.away.clone().filter(|(at, _)| age(at) < AWAY);
        match (asks_anew, away, &have) {
            (false, _, Some((keys, _))) => return Ok(Arc::clone(keys)),
            (_, Some(_), Some((keys, _))) if beyond.is_none() => return Ok(Arc::clone(keys)),
            (_, Some((_, why)), _) => return Err(why),
            _ => {}
        }
        if beyond.is_some() {
            known.beyond = Some(now);
        }
        match self.fetch(url).await {
            Ok(keys) => {
                known.keys = Some((Arc::clone(&keys), now));
                known.away = None;
                Ok(keys)
            }
            Err(why) => {
                // From now on: it may have taken as long as it counts.
                known.away = Some((Instant::now(), why.clone()));
                match have.filter(|_| beyond.is_none()) {
                    Some((keys, _)) => Ok(keys),
                    None => Err(why),
                }
            }
        }
    }
}

impl Discovery {
    /// Where people sign in: a browser goes there, and a person types a password.
    ///
    /// # Errors
    /// It names no such place.
    pub fn signs_in_at(&self) -> Result<&str, NoKeys> {
        let at = &self.authorization_endpoint;
        let open = Origin::of(at).is_some() && !self.token_endpoint.is_empty();
        open.then_some(&**at)
            .ok_or_else(|| failed("its configuration names no place to sign in at"))
    }
}

/// A text as forms have it.
fn encoded(text: &str) -> String {
    access::sign::encode(text)
}

impl Discovery {
    /// A form of a client, which says who it is in the way that the provider takes (OpenID Connect
    /// Core 1.0, section 9).
    fn asks(&self, client: &Client<'_>, form: &[(&str, &str)]) -> Ask {
        let mut pairs = form.to_vec();
        let methods = &self.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.iter().any(|one| one == method);
        let in_form = takes("client_secret_post") && !takes("client_secret_basic");
        let mut authorization = None;
        match client.secret {
            Some(secret) if !in_form => {
                let both = [&encoded(client.id), ":", &encoded(secret)].concat();
                authorization = Some(["Basic ", &STANDARD.encode(both)].concat());
            }
            Some(secret) => pairs.extend([("client_id", client.id), ("client_secret", secret)]),
            None => pairs.push(("client_id", client.id)),
        }
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| [name, "=", &encoded(value)].concat());
        Ask {
            form: Some(pairs.collect::<Vec<_>>().join("&")),
            authorization,
        }
    }
}

impl Ask {
    fn request(self, path: &str) -> Result<Request<Full<Bytes>>, NoKeys> {
        let mut request = Request::get(if path.is_empty() { "/" } else { path })
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "Dhow");
        if self.form.is_some() {
            request = request
                .method(Method::POST)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(text) = self.authorization {
            let mut value = HeaderValue::try_from(text).map_err(failed)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = Full::new(Bytes::from(self.form.unwrap_or_default()));
        request.body(body).map_err(failed)
    }
}

impl Issuers for Fetched {
    fn check(&self, url: &str) -> Result<(), NoKeys> {
        self.origin(url).map(drop)
    }

    fn keys<'a>(
        &'a self,
        url: &'a str,
        beyond: Option<&'a Arc<KeySet>>,
    ) -> BoxFuture<'a, Result<Arc<KeySet>, NoKeys>> {
        Box::pin(self.keys_of(url, beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_are_asked() {
        let config = StsConfig {
            oidc_allow: vec![
                "https://id.example.com".into(),
                "https://other.example.com:8443".into(),
                "http://127.0.0.1:8080".into(),
            ],
            oidc_ca: None,
        };
        assert!(config.check().is_ok());
        let fetched = Fetched::new(&config);
        for url in [
            "https://id.example.com",
            "https://id.example.com/",
            "https://id.example.com:443/a/b",
            "https://other.example.com:8443/x",
            "http://127.0.0.1:8080/x",
        ] {
            assert!(fetched.check(url).is_ok(), "{url}");
        }
        for url in [
            "http://id.example.com",
            "https://id.example.com:8443",
            "https://other.example.com",
            "https://id.example.com.evil.net",
            "https://id.example.com@evil.net",
            "https://ID.example.com",
            "https://127.0.0.1:8080",
            "http://127.0.0.1:8081",
            "http://127.0.0.2:8080",
            "http://localhost:8080",
            "http://169.254.169.254",
            "file:///etc/passwd",
            "",
        ] {
            let why = fetched.check(url).unwrap_err().to_string();
            assert!(why.contains("oidc_allow"), "{url}");
        }
    }

    #[test]
    fn an_origin_has_no_path_and_no_clear_text_to_others() {
        for origin in [
            "http://id.example.com",
            "http://10.0.0.1:80",
            "https://id.example.com/",
            "https://id.example.com/a",
            "id.example.com",
            "*",
        ] {
            let config = StsConfig {
                oidc_allow: vec![origin.into()],
                oidc_ca: None,
            };
            assert!(config.check().is_err(), "{origin}");
        }
    }
}
