//! The configuration of the web console.

use std::net::SocketAddr;

use admin::failure::Failure;
use serde::Deserialize;

use crate::sso::ProviderConfig;

/// The web console.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Its listener; off when absent.
    pub listen: Option<SocketAddr>,
    /// Take a free port if that of `listen` is taken: what `dhow up` does with its own choice.
    #[serde(skip)]
    pub or_free: bool,
    /// Where browsers reach it, such as `https://console.example.net`; the listener's own address
    /// when absent.
    pub origin: Option<String>,
    /// The path at that origin that it is below, such as `/ops`; none when empty.
    pub base_path: String,
    /// Where browsers reach the S3 listener; `cloud.endpoint` when absent.
    pub data_origin: Option<String>,
    /// Seconds without a request after which a session ends.
    pub idle_s: u64,
    /// Seconds after which a session ends in any case.
    pub absolute_s: u64,
    /// Seconds after a signature of the key within which dangerous things are done without another.
    pub proof_s: u64,
    /// Where people sign in beside access keys.
    pub oidc: Vec<ProviderConfig>,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            listen: None,
            or_free: false,
            origin: None,
            base_path: String::new(),
            data_origin: None,
            idle_s: 1800,
            absolute_s: 43_200,
            proof_s: 300,
            oidc: Vec::new(),
        }
    }
}

impl ConsoleConfig {
    /// What the types cannot say. `tls` says whether its listener has TLS, and `proxies` whether
    /// proxies are named that say for whom they speak.
    pub fn check(&self, tls: bool, proxies: bool) -> Result<(), Failure> {
        for (key, origin) in [("origin", &self.origin), ("data_origin", &self.data_origin)] {
            if origin.as_ref().is_some_and(|origin| !is_origin(origin)) {
                return Err(Failure::new(format!(
                    "`console.{key}` must be like https://console.example.net: a scheme, a host in \
                     lower case, and nothing after it but a port"
                )));
            }
        }
        if !is_base(&self.base_path) {
            return Err(Failure::new(
                "`console.base_path` must be like /ops: a slash, then letters, digits, `-`, `_` \
                 or dots, and no slash at the end",
            ));
        }
        if self.idle_s == 0 || self.absolute_s < self.idle_s {
            return Err(Failure::new(
                "`console.idle_s` must be at least 1, and `console.absolute_s` no less than that",
            ));
        }
        if self.proof_s == 0 {
            return Err(Failure::new("`console.proof_s` must be at least 1"));
        }
        let Some(listen) = self.listen else {
            return Ok(());
        };
        let loopback = listen.ip().is_loopback();
        if listen.ip().is_unspecified() && self.origin.is_none() {
            return Err(Failure::new(format!(
                "the console listens on {listen}, which is no address that a browser can open"
            ))
            .hint("say with `console.origin` where browsers reach it"));
        }
        let https = self
            .origin
            .as_ref()
            .is_some_and(|o| o.starts_with("https://"));
        // Else all that the proxy forwards would be from the proxy's own address, for conditions
        // of policies and for the limits on sign-ins.
        if https && !tls && !proxies {
            return Err(Failure::new(
                "a proxy with TLS is in front of the console, and none is trusted to say for whom \
                 it speaks",
            )
            .hint("name its address in `trusted` under [proxies] (--trusted-proxy)"));
        }
        let secure = tls || https;
        if !loopback && !secure {
            return Err(Failure::new(format!(
                "the console has no TLS, and {listen} is no loopback address"
            ))
            .hint(
                "browsers sign in by https only: give the region a certificate ([tls]), or put a \
                 proxy with TLS in front of the console and name it in `console.origin`",
            ));
        }
        Ok(())
    }
}

/// Whether a text is a path that a console can be below: none, or one that no browser and no proxy
/// changes on its way.
fn is_base(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(fine);
    let below = text.strip_prefix('/');
    text.is_empty() || text.len() <= 200 && below.is_some_and(|rest| rest.split('/').all(part))
}

/// Whether a text is an origin as browsers write it.
fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or(text.strip_prefix("http://"));
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
    host.is_some_and(|host| !host.is_empty() && host.chars().all(fine))
}
