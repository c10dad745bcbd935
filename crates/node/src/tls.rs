//! TLS for customers: which certificates the listeners show, and what of them is made here.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use admin::{data_dir::DataDir, failure::Failure};
use listener::{Authority, Certificates, Files};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use serde::Deserialize;
use tokio::net::TcpListener;
use types::{Clock, Random, SystemClock};

use crate::{
    acme::{self, AcmeConfig, Issuing},
    config::Config,
};

/// The folder of what is made, in the data folder.
const FOLDER: &str = "tls";
/// The metric of when certificates expire.
pub const EXPIRES: &str = "dhow_tls_certificate_expires_timestamp_seconds";
/// How often a certificate that was made here is asked whether it is to be made again.
const RENEW_EVERY: Duration = Duration::from_secs(6 * 3600);

/// TLS for customers and administrators.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates with their keys; clients that ask for no name of them are shown the first.
    pub certificates: Vec<Certificate>,
    /// A certificate of an ACME server, beside those.
    pub acme: Option<AcmeConfig>,
    /// Make a certificate, and an authority that clients can trust.
    pub make: bool,
    /// Names and addresses for which a certificate is made, beside those that are known.
    pub names: Vec<String>,
    /// The folder of the authority; one in the data folder when absent.
    pub authority: Option<PathBuf>,
    /// Whether the admin listener has TLS on loopback as well.
    pub admin: bool,
    /// Whether customers are offered HTTP/2 beside HTTP/1.1.
    pub http2: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            acme: None,
            make: false,
            names: Vec::new(),
            authority: None,
            admin: false,
            http2: true,
        }
    }
}

impl TlsConfig {
    /// Whether customers are served with TLS.
    pub fn is_on(&self) -> bool {
        self.make || self.acme.is_some() || !self.certificates.is_empty()
    }

    /// What the types cannot say.
    ///
    /// # Errors
    /// Two things are asked for that exclude each other.
    pub fn check(&self) -> Result<(), Failure> {
        if self.make && !self.certificates.is_empty() {
            return Err(Failure::new(
                "either a certificate is made or those that are named are used",
            )
            .hint("leave out --tls (`make` under [tls]), or the certificates"));
        }
        if self.make && self.acme.is_some() {
            return Err(
                Failure::new("either a certificate is made or an ACME server issues it")
                    .hint("leave out --tls (`make` under [tls]), or [tls.acme] (--acme-name)"),
            );
        }
        self.acme.as_ref().map_or(Ok(()), AcmeConfig::check)?;
        if self.admin && !self.is_on() {
            return Err(Failure::new("the admin API has no certificate for TLS")
                .hint("name one under [tls], or let it be made (`make = true`, --tls)"));
        }
        Ok(())
    }
}

/// A certificate and its key, each a PEM file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The certificate, followed by those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificates of this process's listeners.
pub struct Tls {
    /// What they show.
    pub certificates: Arc<Certificates>,
    made: Option<Made>,
    /// Whoever asks an ACME server for one of them.
    pub issuing: Option<Arc<Issuing>>,
}

/// A certificate of the cloud's own authority.
struct Made {
    authority: PathBuf,
    folder: PathBuf,
    names: Vec<String>,
}

impl Tls {
    /// The certificates that were given, or one that is made where the configuration asks for it.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn given_or_made(
        given: Option<Self>,
        config: &Config,
        dir: &DataDir,
        listen: SocketAddr,
    ) -> Result<Option<Self>, Failure> {
        match (given, config.tls.make) {
            (Some(given), _) => Ok(Some(given)),
            (None, true) => Self::made(config, dir, listen).map(Some),
            (None, false) => Ok(None),
        }
    }

    /// The certificates of files that the configuration names, and what an ACME server issued;
    /// nothing is written.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn given(config: &Config) -> Result<Option<Self>, Failure> {
        let named = config.tls.certificates.iter();
        let files: Vec<Files> = named
            .map(|one| Files {
                certificate: one.certificate.clone(),
                key: one.key.clone(),
            })
            .collect();
        let dir = DataDir::new(&config.data);
        let read = match &config.tls.acme {
            Some(acme) => Certificates::read_with_issued(files, acme::certificate_in(&dir, acme)),
            None if files.is_empty() => return Ok(None),
            None => Certificates::read(files),
        };
        let certificates = read.map_err(|error| {
            Failure::new(error.to_string()).hint(
                "name a certificate (PEM, with those between it and the root behind it) and its \
                 key; or let --tls make both",
            )
        })?;
        let acme = config.tls.acme.as_ref();
        let issuing = acme.map(|acme| Issuing::new(acme, dir, Arc::clone(&certificates)));
        Ok(Some(Self {
            certificates,
            made: None,
            issuing: issuing.map(Arc::new),
        }))
    }

    /// A certificate of the cloud's own authority.
    fn made(config: &Config, dir: &DataDir, listen: SocketAddr) -> Result<Self, Failure> {
        let folder = dir.join(FOLDER);
        let authority = config.tls.authority.clone();
        let made = Made {
            authority: authority.unwrap_or_else(|| folder.clone()),
            names: names(config, listen),
            folder,
        };
        let files = made.keep()?;
        let certificates =
            Certificates::read(vec![files]).map_err(|e| Failure::new(e.to_string()))?;
        Ok(Self {
            certificates,
            made: Some(made),
            issuing: None,
        })
    }

    /// What clients are to trust, if that was made here.
    pub fn authority(&self) -> Option<PathBuf> {
        let made = self.made.as_ref()?;
        let path = Authority::certificate_in(&made.authority);
        Some(std::path::absolute(&path).unwrap_or(path))
    }

    /// The file of the certificate that whoever asks for no known name is shown.
    pub fn shown(&self) -> Option<PathBuf> {
        let path = self.certificates.first()?;
        Some(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// Registers when the certificates expire, and how orders of them end.
    pub fn register(&self, registry: &mut Registry) {
        self.issuing.as_ref().inspect(|one| one.register(registry));
        registry.register_collector(Box::new(Expiry(Arc::clone(&self.certificates))));
    }

    /// Takes over files that change, and makes or orders a certificate again before it ends. Until
    /// the task is dropped.
    pub async fn keep_up(self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) {
        let order = async {
            if let Some(issuing) = self.issuing {
                issuing.keep_up(clock, random).await;
            }
        };
        let follow = Arc::clone(&self.certificates).follow();
        let renew = async {
            let Some(made) = self.made.map(Arc::new) else {
                return std::future::pending().await;
            };
            loop {
                tokio::time::sleep(RENEW_EVERY).await;
                let made = Arc::clone(&made);
                match tokio::task::spawn_blocking(move || made.keep()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => tracing::error!(%error, "the TLS certificate is not renewed"),
                    Err(error) => tracing::error!(%error, "renewing the TLS certificate broke"),
                }
            }
        };
        tokio::join!(follow, renew, order);
    }
}

#[derive(Debug)]
struct Expiry(Arc<Certificates>);

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let at = i64::try_from(self.0.not_after().s()).unwrap_or(i64::MAX);
        let at = ConstGauge::new(at);
        let help = "When the first certificate that customers are shown expires.";
        let metric = encoder.encode_descriptor(EXPIRES, help, None, at.metric_type())?;
        at.encode(metric)
    }
}

impl Made {
    fn keep(&self) -> Result<Files, Failure> {
        let now = SystemClock.now();
        std::fs::create_dir_all(&self.folder)
            .map_err(|e| Failure::new(format!("cannot create {}: {e}", self.folder.display())))?;
        let kept = Authority::open(&self.authority, now)
            .and_then(|authority| authority.keep(&self.folder, &self.names, now));
        kept.map_err(|e| Failure::new(e.to_string()))
    }
}

/// What a certificate that is made here is for: names of this machine on loopback, the listener's
/// address, where customers reach the region, and the domains with one label before them.
fn names(config: &Config, listen: SocketAddr) -> Vec<String> {
    let mut all = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    match listen.ip() {
        ip if ip.is_unspecified() => {
            let name = rustix::system::uname();
            all.extend(name.nodename().to_str().ok().map(str::to_owned));
        }
        ip => all.push(ip.to_string()),
    }
    all.extend(config.cloud.endpoint.as_deref().and_then(host));
    for domain in &config.domains {
        all.extend([domain.clone(), format!("*.{domain}")]);
    }
    all.extend(config.tls.names.iter().cloned());
    let mut seen = std::collections::HashSet::new();
    all.retain(|name| seen.insert(name.clone()));
    all
}

/// The host of a URL, without its port.
fn host(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?;
    Some(host.trim_matches(['[', ']']).to_owned())
}

/// A listener, with TLS or without, and for S3 what the configuration says beside.
pub fn listener(tcp: TcpListener, tls: Option<&Tls>, s3: Option<&Config>) -> listener::Listener {
    listener::Listener {
        tcp,
        tls: tls.map(|tls| Arc::clone(&tls.certificates)),
        proxies: s3
            .map(|config| config.proxies.proxies())
            .unwrap_or_default(),
        http2: s3.is_some_and(|config| config.tls.http2),
    }
}

/// Where the authority of a folder that runs with `--tls` is, for a fleet's regions.
pub fn folder_of(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_certificate_is_for_every_name_under_which_the_region_is_reached() {
        let mut config = Config::default();
        config.cloud.endpoint = Some("https://[2001:db8::1]:9000".to_owned());
        config.domains = vec!["s3.example.com".to_owned()];
        config.tls.names = vec!["10.0.0.7".to_owned(), "localhost".to_owned()];
        let found = names(&config, "192.0.2.1:9000".parse().unwrap());
        assert_eq!(
            found,
            [
                "localhost",
                "127.0.0.1",
                "::1",
                "192.0.2.1",
                "2001:db8::1",
                "s3.example.com",
                "*.s3.example.com",
                "10.0.0.7"
            ]
        );
    }
}
