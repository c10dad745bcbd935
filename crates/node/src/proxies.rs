//! Proxies in front of the S3 listener, as they are configured.

use std::{fmt, str::FromStr, sync::Arc};

use admin::failure::Failure;
use listener::{Network, NoNetwork, Proxies};
use serde::Deserialize;

use crate::config::Config;

/// Proxies in front of the S3 listener.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxiesConfig {
    /// Addresses and ranges of the proxies that may say for whom they speak.
    pub trusted: Vec<Range>,
    /// Whether each of their connections begins with a preamble of the PROXY protocol, version 2.
    pub protocol: bool,
}

/// A range of addresses in a file or flag.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Range(Network);

impl TryFrom<String> for Range {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        text.parse().map(Self)
    }
}

impl FromStr for Range {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ProxiesConfig {
    /// What the types cannot say.
    ///
    /// # Errors
    /// A preamble is asked for, and of nobody.
    pub fn check(&self) -> Result<(), Failure> {
        if self.protocol && self.trusted.is_empty() {
            return Err(Failure::new(
                "the PROXY protocol is on, and no proxy is trusted to speak it",
            )
            .hint("name its address in `trusted` under [proxies] (--trusted-proxy)"));
        }
        Ok(())
    }

    /// For the listener.
    pub fn proxies(&self) -> Arc<Proxies> {
        Arc::new(Proxies {
            trusted: self.trusted.iter().map(|range| range.0).collect(),
            protocol: self.protocol,
        })
    }
}

/// Refuses to serve where others can read along, unless the operator allows that.
pub(crate) fn check_clear_text(config: &Config) -> Result<(), Failure> {
    let guarded = config.tls.is_on() || !config.proxies.trusted.is_empty();
    if config.listen.ip().is_loopback() || guarded || config.allow_clear_text {
        return Ok(());
    }
    Err(Failure::new(format!(
        "S3 has no TLS, and {} is no loopback address: others could read what customers send and \
         get",
        config.listen
    ))
    .hint(
        "give it a certificate (--tls, or [tls]; docs/tls.md), name the TLS proxy in front of it \
         (--trusted-proxy, or `trusted` under [proxies]), listen on 127.0.0.1, or say \
         `allow_clear_text = true` (--allow-clear-text) if nobody else is on that network",
    ))
}

/// Says where others can read along.
pub fn warn_of_clear_text(config: &Config) {
    let open = !config.listen.ip().is_loopback() && !config.tls.is_on();
    if open && config.proxies.trusted.is_empty() {
        tracing::warn!(
            listen = %config.listen,
            "S3 is served in clear text, and others can read along: give it a certificate (--tls, \
             or [tls]), or put a TLS proxy in front of it and name that (--trusted-proxy, or \
             [proxies])"
        );
    }
}
