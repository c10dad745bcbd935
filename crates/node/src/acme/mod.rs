//! Certificates of an ACME server (RFC 8555), such as Let's Encrypt: asked for, kept, renewed.
//!
//! The server proves the names by TLS-ALPN-01 on the listeners themselves, so no other port is
//! needed. In `tls/acme/SERVER` of the data folder are `account.json` (the account and its key),
//! `certificate.pem` (key and chain) and `failed.json` (what failed last, so that a process which
//! is started again and again does not ask at each start).

mod client;
mod order;
mod settings;
mod times;

use std::{path::PathBuf, sync::Arc, time::Duration};

use admin::data_dir::DataDir;
use instant_acme::Error;
use listener::{Certificates, Good, TlsError};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;
use tokio::sync::watch;
use types::{Clock, Random, Timestamp};

pub use self::settings::AcmeConfig;
use self::{client::Client, order::Ordering};

/// How long one order may take.
const ORDER_WITHIN: Duration = Duration::from_secs(600);
/// The longest sleep: the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(600);
/// The metric of how many orders in a row failed.
pub const FAILING: &str = "dhow_acme_failures_in_a_row";

/// Why no certificate was issued.
#[derive(Debug, ThisError)]
pub enum AcmeError {
    /// The URL is none.
    #[error("its directory is no URL")]
    Directory,
    /// The file of its authorities cannot be used.
    #[error("{0}")]
    Trust(#[source] TlsError),
    /// The server refuses something.
    #[error("it refuses: {0}")]
    Refused(String),
    /// It cannot be asked, or its answer cannot be read.
    #[error("{0}")]
    Asking(#[source] Error),
    /// It could not prove a name.
    #[error("it has no proof for {0}: {1}")]
    Name(String, String),
    /// It offers no challenge that can be met here.
    #[error("it offers no TLS-ALPN-01 for {0}")]
    NoProof(String),
    /// It asks for a proof of something else.
    #[error("it asks for a proof of a name that was not ordered")]
    Another,
    /// The order ended without a reason.
    #[error("the order became invalid, and it does not say why")]
    Invalid,
    /// The certificate is not for what was ordered, or cannot be kept.
    #[error("{0}")]
    Unusable(#[source] TlsError),
    /// The account cannot be kept.
    #[error("the account cannot be kept: {0}")]
    Kept(String),
    /// It took too long.
    #[error("the order took too long")]
    Late,
}

impl From<Error> for AcmeError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(order::said(&problem)),
            Error::Timeout(_) => Self::Late,
            other => Self::Asking(other),
        }
    }
}

impl AcmeError {
    /// What an operator is to do.
    fn advice(&self) -> &'static str {
        match self {
            Self::Directory | Self::Asking(_) | Self::Late => {
                "see that this machine reaches the server of `tls.acme.directory`; `tls.acme.ca` \
                 names the authority of a private one"
            }
            Self::Trust(_) => "`tls.acme.ca` must name a file of certificates in PEM",
            Self::Name(..) => {
                "see that the name leads to this region alone, and that port 443 there reaches \
                 this listener"
            }
            Self::NoProof(_) | Self::Another => {
                "use a server that offers TLS-ALPN-01, or another ACME client, whose files \
                 `tls.certificates` names"
            }
            Self::Refused(_) | Self::Invalid => {
                "see what the server says, and whether it issues certificates for these names"
            }
            Self::Unusable(_) | Self::Kept(_) => {
                "see that the data folder can be written, and that the server issues what is \
                 ordered"
            }
        }
    }
}

/// What came of orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// What failed last, as it is kept.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failed {
    /// In a row.
    count: u32,
    /// When the last of them ended, in milliseconds.
    at_ms: u64,
    /// What was ordered.
    names: Vec<String>,
}

/// The certificate of an ACME server, and whoever renews it.
pub struct Issuing {
    config: AcmeConfig,
    dir: DataDir,
    folder: String,
    certificates: Arc<Certificates>,
    orders: Family<Outcome, Counter>,
    failing: Gauge,
    /// Whether the first order after the start ended, or none was needed.
    tried: watch::Sender<bool>,
}

/// The folder of a server, in the data folder.
fn folder(directory: &str) -> String {
    let rest = directory.strip_prefix("https://").unwrap_or(directory);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = rest.chars().map(plain).take(100).collect();
    format!("tls/acme/{}", name.trim_end_matches('-'))
}

/// Where the certificate of a server is kept.
pub fn certificate_in(dir: &DataDir, config: &AcmeConfig) -> PathBuf {
    dir.join(&folder(&config.directory)).join("certificate.pem")
}

impl Issuing {
    /// For these listeners; asks for nothing yet.
    pub fn new(config: &AcmeConfig, dir: DataDir, certificates: Arc<Certificates>) -> Self {
        Self {
            config: config.clone(),
            folder: folder(&config.directory),
            dir,
            certificates,
            orders: Family::default(),
            failing: Gauge::default(),
            tried: watch::channel(false).0,
        }
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Orders of certificates at the ACME server";
        registry.register("dhow_acme_orders", help, self.orders.clone());
        let help = "Orders at the ACME server that failed since the last that did not";
        registry.register(FAILING, help, self.failing.clone());
    }

    /// Waits until the first order after the start has ended, where there is no certificate yet.
    pub async fn tried_once(&self) {
        if self.certificates.issued().is_some() {
            return;
        }
        let mut tried = self.tried.subscribe();
        // An error means that nobody tries any more.
        let _ = tried.wait_for(|tried| *tried).await;
    }

    /// Orders certificates whenever one is due, until the task is dropped.
    pub async fn keep_up(self: Arc<Self>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) {
        let mut failed = self.failed();
        let mut kept: Option<Timestamp> = None;
        let mut retry_after = None;
        let mut jitter = random.next_u64();
        self.failing.set(failed.count.into());
        loop {
            let issued = self.certificates.issued();
            let now = clock.now();
            // The clock may have been set back.
            failed.at_ms = failed.at_ms.min(now.ms());
            kept = kept.map(|at| at.min(now));
            let due = match failed.count {
                0 => times::due(issued.as_ref(), &self.config.names, kept, jitter),
                _ => times::again(&failed, issued.as_ref(), retry_after, jitter),
            };
            if due > now {
                self.tried.send_replace(true);
                let wait = Duration::from_millis(due.ms().saturating_sub(now.ms()));
                tokio::time::sleep(wait.min(SLEEP_MAX)).await;
                continue;
            }
            let (answer, wait) = self.order().await;
            (jitter, retry_after) = (random.next_u64(), wait);
            match answer {
                Ok(good) => {
                    kept = Some(clock.now());
                    failed = self.succeeded(&good);
                }
                Err(error) => failed = self.fell_through(failed, &error, clock.now()),
            }
            self.failing.set(failed.count.into());
            self.tried.send_replace(true);
        }
    }

    /// One order, and how long the server asked to be left alone.
    async fn order(&self) -> (Result<Good, AcmeError>, Option<Duration>) {
        let client = match Client::new(&self.config) {
            Ok(client) => client,
            Err(error) => return (Err(error), None),
        };
        let ordering = Ordering {
            config: &self.config,
            dir: &self.dir,
            folder: &self.folder,
            certificates: &self.certificates,
            client: client.clone(),
        };
        let made = std::fs::create_dir_all(self.dir.join(&self.folder));
        let answer = match made {
            Ok(()) => tokio::time::timeout(ORDER_WITHIN, ordering.run())
                .await
                .unwrap_or(Err(AcmeError::Late)),
            Err(error) => Err(AcmeError::Kept(error.to_string())),
        };
        (answer, client.retry_after())
    }

    fn succeeded(&self, good: &Good) -> Failed {
        let outcome = "issued";
        self.orders.get_or_create(&Outcome { outcome }).inc();
        let not_after = good.not_after.iso8601();
        let names = good.names.join(", ");
        tracing::info!(names, not_after, "the ACME server issued a certificate");
        // It may not be there.
        let _ = std::fs::remove_file(self.dir.join(&self.folder).join("failed.json"));
        Failed::default()
    }

    fn fell_through(&self, before: Failed, error: &AcmeError, now: Timestamp) -> Failed {
        let outcome = "failed";
        self.orders.get_or_create(&Outcome { outcome }).inc();
        let shown = match self.certificates.issued() {
            Some(good) => format!("the one until {} stays", good.not_after.iso8601()),
            None => "there is none yet".to_owned(),
        };
        let (server, todo) = (&self.config.directory, error.advice());
        tracing::error!(%error, server, todo, "no certificate from the ACME server; {shown}");
        let failed = Failed {
            count: before.count.saturating_add(1),
            at_ms: now.ms(),
            names: self.config.names.clone(),
        };
        let text = serde_json::to_vec(&failed).unwrap_or_default();
        let name = format!("{}/failed.json", self.folder);
        if let Err(error) = self.dir.write_private(&name, &text) {
            tracing::error!(%error, "what failed cannot be noted");
        }
        failed
    }

    /// What failed before this start, for the same names.
    fn failed(&self) -> Failed {
        let path = self.dir.join(&self.folder).join("failed.json");
        let read = std::fs::read(path).ok();
        let failed: Option<Failed> = read.and_then(|text| serde_json::from_slice(&text).ok());
        let failed = failed.filter(|failed| failed.names == self.config.names);
        failed.map_or_else(Failed::default, times::at_start)
    }
}
