//! Configuration: one TOML file, every key with its default. Unknown keys are errors, so that a
//! misspelt limit is not silently ignored.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use admin::failure::Failure;
use serde::Deserialize;

use crate::{
    console_config::ConsoleConfig, issuers::StsConfig, new_buckets::Buckets,
    proxies::ProxiesConfig, tls::TlsConfig,
};

/// All settings of a node. `dhow config print-default` shows it with comments.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// This region's id.
    pub region: String,
    /// Region names that signatures may carry beside the own one.
    pub region_aliases: Vec<String>,
    /// Host names under which `bucket.name` addresses a bucket.
    pub domains: Vec<String>,
    /// The S3 listener.
    pub listen: SocketAddr,
    /// Whether it may serve strangers without TLS where others can read along.
    pub allow_clear_text: bool,
    /// The admin listener.
    pub admin: SocketAddr,
    /// Whether the admin API may listen without TLS where others can read along.
    pub admin_plaintext: bool,
    /// What clients call the admin API beside its own address: hosts, with a port where clients
    /// name one.
    pub admin_hosts: Vec<String>,
    /// The listener for health and metrics.
    pub metrics: SocketAddr,
    /// The region among others.
    pub cloud: Cloud,
    /// `strict` or `relaxed`.
    pub durability: Durability,
    /// TLS for customers.
    pub tls: TlsConfig,
    /// Proxies in front of the S3 listener.
    pub proxies: ProxiesConfig,
    /// The web console.
    pub console: ConsoleConfig,
    /// Logs.
    pub log: Log,
    /// Limits of the S3 listener.
    pub limits: Limits,
    /// New buckets.
    pub buckets: Buckets,
    /// Sessions.
    pub sts: StsConfig,
    /// The engine.
    pub engine: Engine,
    /// Traces.
    pub otel: Otel,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once it is on disk.
    Strict,
    /// Once it is in the system's cache; a power cut can lose the last second.
    Relaxed,
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,gateway=debug`.
    pub level: String,
    /// `human` or `json`.
    pub format: LogFormat,
}

/// Limits of the S3 listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// Requests being worked on at once, at least; 0 for 16 for each core.
    pub work: usize,
    /// Requests at once whose body or answer is larger than 128 KiB.
    pub requests: usize,
    /// Of those, requests of one account.
    pub account_requests: usize,
    /// Seconds that a request waits for its turn.
    pub queue_wait_s: u64,
    /// Bytes a second below which slow clients are ended while others wait; 0 for none.
    pub body_rate: u64,
    /// Seconds for the head of a request.
    pub head_timeout_s: u64,
    /// Seconds that a connection may rest between requests.
    pub keep_alive_idle_s: u64,
    /// Seconds that a client may stop sending a body.
    pub body_idle_s: u64,
    /// Seconds that requests under way may go on at a stop.
    pub drain_s: u64,
}

/// The region among others.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cloud {
    /// The listener for other regions; off when absent, and the region is the whole cloud.
    pub peer: Option<SocketAddr>,
    /// Where other regions reach that listener (host:port); the listener's own address when
    /// absent.
    pub peer_address: Option<String>,
    /// Where customers reach this region (a URL); the S3 listener's own address when absent.
    pub endpoint: Option<String>,
    /// Its country: ISO 3166-1 alpha-2, `ZZ` when nobody has said.
    pub jurisdiction: String,
    /// The operator's id.
    pub operator: String,
    /// The city, for people.
    pub city: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The token with which the region joins a cloud at its first start.
    pub join: Option<String>,
    /// The token with which a region that has joined gets a new key.
    pub rekey: Option<String>,
    /// For drills: milliseconds that the region's clock is set ahead.
    pub clock_ahead_ms: i64,
    /// For drills: features that the region does not announce, as if its release did not know
    /// them.
    pub withheld_features: Vec<String>,
    /// Seconds for which certificates of regions are good; renewed when a third is left.
    pub certificate_life_s: u64,
    /// Milliseconds for which a region promises others that it neither takes nor gives their
    /// buckets another home.
    pub promise_ms: u64,
    /// Seconds for which rows of a bucket stay after it was taken away from this region.
    pub removed_grace_s: u64,
    /// Seconds for which this region decides about others than a bucket's own account by what it
    /// received last from the registry, or a replica from its home.
    pub stale_after_s: u64,
    /// Whether the registry here is known to be the newest one: a folder that is a copy changes
    /// nothing of it otherwise before another region has asked.
    pub registry_is_newest: bool,
    /// Changes of the registry by one account at once, and a minute; in the registry's region.
    pub account_changes: u32,
    /// A minute.
    pub account_changes_per_minute: u32,
    /// The same by or through one region.
    pub region_changes: u32,
    /// A minute.
    pub region_changes_per_minute: u32,
    /// The same by the cloud's operator.
    pub operator_changes: u32,
    /// A minute.
    pub operator_changes_per_minute: u32,
}

impl Cloud {
    /// Everybody may make so many changes of the registry at once, and in a minute.
    pub fn let_all_change(&mut self, many: u32) {
        for limit in [
            &mut self.account_changes,
            &mut self.account_changes_per_minute,
            &mut self.region_changes,
            &mut self.region_changes_per_minute,
            &mut self.operator_changes,
            &mut self.operator_changes_per_minute,
        ] {
            *limit = many;
        }
    }
}

impl Default for Cloud {
    fn default() -> Self {
        let changes = cloud::ChangeLimits::default();
        Self {
            peer: None,
            peer_address: None,
            endpoint: None,
            jurisdiction: "ZZ".to_owned(),
            operator: "own".to_owned(),
            city: String::new(),
            latitude: 0.0,
            longitude: 0.0,
            join: None,
            rekey: None,
            clock_ahead_ms: 0,
            withheld_features: Vec::new(),
            certificate_life_s: 30 * 86_400,
            promise_ms: 10_000,
            removed_grace_s: 10,
            stale_after_s: 3600,
            registry_is_newest: false,
            account_changes: changes.account.burst,
            account_changes_per_minute: changes.account.per_minute,
            region_changes: changes.region.burst,
            region_changes_per_minute: changes.region.per_minute,
            operator_changes: changes.operator.burst,
            operator_changes_per_minute: changes.operator.per_minute,
        }
    }
}

/// The embedded engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// MiB that stay free on the disk.
    pub reserve_mib: u64,
    /// MiB of cache for the index.
    pub index_cache_mib: usize,
    /// MiB of cache for small objects and other rows that were read lately.
    pub row_cache_mib: usize,
    /// Seconds between two sweeps of orphans; 0 for none.
    pub orphans_every_s: u64,
    /// Open although the journal is damaged in its middle, without the writes that were there. Only
    /// `dhow scrub --salvage` does so.
    #[serde(skip)]
    pub salvage: bool,
}

/// OpenTelemetry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otel {
    /// The collector's OTLP/HTTP address, such as `http://127.0.0.1:4318`; off when absent.
    pub endpoint: Option<String>,
}

/// The address of another listener unless it is given: on loopback, so many ports above that for
/// S3.
///
/// # Errors
/// There is no such port.
pub fn beside(listen: SocketAddr, above: u16) -> Result<SocketAddr, Failure> {
    match (listen.port(), listen.port().checked_add(above)) {
        (0, _) => Ok(local(0)),
        (_, Some(port)) => Ok(local(port)),
        (port, None) => Err(Failure::new(format!(
            "no port is {above} above {port}, where the admin API or the metrics would listen"
        ))
        .hint("name their addresses, `admin` and `metrics` (--admin, --metrics)")),
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./dhow-data"),
            region: "local-1".to_owned(),
            region_aliases: vec!["us-east-1".to_owned(), "auto".to_owned()],
            domains: vec!["localhost".to_owned()],
            listen: local(9000),
            allow_clear_text: false,
            admin: local(9001),
            admin_plaintext: false,
            admin_hosts: Vec::new(),
            metrics: local(9002),
            cloud: Cloud::default(),
            durability: Durability::Strict,
            tls: TlsConfig::default(),
            proxies: ProxiesConfig::default(),
            console: ConsoleConfig::default(),
            log: Log::default(),
            limits: Limits::default(),
            buckets: Buckets::default(),
            sts: StsConfig::default(),
            engine: Engine::default(),
            otel: Otel::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Human,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            work: 0,
            requests: 1024,
            account_requests: 1024,
            queue_wait_s: 5,
            body_rate: 4096,
            head_timeout_s: 10,
            keep_alive_idle_s: 60,
            body_idle_s: 30,
            drain_s: 10,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            reserve_mib: 64,
            index_cache_mib: 24,
            row_cache_mib: 32,
            orphans_every_s: 86_400,
            salvage: false,
        }
    }
}

/// The default configuration as a file, each key with what it means.
pub const DEFAULT_FILE: &str = r#"# Dhow: configuration of one node. Every key is optional; these are the defaults.

# The data folder: credentials, master key, journal, index, extents.
data = "./dhow-data"

# This region's id, and the names that signatures may carry beside it in the region that keeps the
# registry. No region of the cloud may be called like one of these.
region = "local-1"
region_aliases = ["us-east-1", "auto"]

# Host names under which `bucket.name` addresses a bucket (virtual-host addressing).
domains = ["localhost"]

# Listeners: S3, the admin API (keep it on loopback), health and metrics. Port 0 takes a free one.
# Without a line of their own the last two are on 127.0.0.1, one and two ports above `listen`.
listen = "127.0.0.1:9000"
admin = "127.0.0.1:9001"
metrics = "127.0.0.1:9002"
# On another address than loopback S3 needs TLS, or a proxy in front of it that [proxies] names.
# Without either it listens there with this word only: others can read along.
allow_clear_text = false
# On another address than loopback the admin API has TLS, if [tls] names or makes a certificate.
# Without one it listens there with this word only; put a TLS proxy in front of it.
admin_plaintext = false
# The admin API takes requests that are signed for its own address or a name of this region. Under
# another name or port (a proxy, a tunnel) it takes those for these hosts, with the port where
# clients name one, such as "admin.example.net" or "127.0.0.1:19001".
admin_hosts = []

# strict: an answer means that data and row are on disk.
# relaxed: synced about once a second; a power cut can lose what was acknowledged since.
durability = "strict"

[tls]
# Certificates of the S3 listener, with those between them and the root (PEM), and their keys. The
# name that a client asks for chooses among them; the first is for all other names. Files that
# change are read again within seconds. Without a certificate the listener speaks clear text.
# certificates = [
#     { certificate = "/etc/dhow/fullchain.pem", key = "/etc/dhow/privkey.pem" },
# ]
# Or, or beside them, a certificate of an ACME server, in a table `[tls.acme]` (docs/tls.md).
# Or make a certificate, for localhost, the listener's address, `endpoint`, `domains` and these
# names, and an authority that clients can trust: tls/authority.pem in the data folder, or in this
# one.
make = false
names = []
# authority = "/srv/dhow-authority"
# TLS for the admin API on loopback as well.
admin = false
# Offer HTTP/2 beside HTTP/1.1 to customers, by ALPN.
http2 = true

# A certificate of an ACME server for these names. It proves them on port 443 of each, which must
# reach the S3 listener.
# [tls.acme]
# names = ["s3.example.org"]
# directory = "https://acme-v02.api.letsencrypt.org/directory"
# Where the server may write to, and whether you agree to its terms of service.
# contact = ["mailto:ops@example.org"]
# terms_agreed = true
# The authority of the server's own certificate (PEM), if the system does not trust it.
# ca = "/etc/dhow/acme-authority.pem"

[proxies]
# Proxies in front of the S3 listener, by address or range ("10.0.0.0/8"). Only what comes from them
# may say in X-Forwarded-For and X-Forwarded-Proto for whom it is. A listener in clear text on
# another address than loopback then refuses all other connections (docs/tls.md).
trusted = []
# Each connection of them begins with a preamble of the PROXY protocol, version 2.
protocol = false

[console]
# The web console: a listener of its own, off unless it is named. It has TLS where S3 has it. On
# another address than loopback browsers sign in by https only.
# listen = "127.0.0.1:9004"
# Where browsers reach the console, and where they reach the S3 listener, when those are not the
# listeners' own addresses. A request for another host than that of `origin` is refused.
# origin = "https://console.example.net"
# data_origin = "https://dubai.example.net"
# The path at `origin` that the console is below, if a proxy has other things beside it.
# base_path = "/dhow"
# Seconds without a request after which a session ends, and after which it ends in any case.
idle_s = 1800
absolute_s = 43200
# Seconds for which a signature of the key is enough to close regions, promote, suspend accounts and
# take back certificates; then the console asks for the key again.
proof_s = 300
# Identity providers (OpenID Connect) where people sign in beside access keys (docs/console.md). The
# origin of each is in `oidc_allow` under [sts].
# [[console.oidc]]
# name = "Example"
# issuer = "https://accounts.example.com"
# client_id = "dhow-console"
# client_secret_file = "/etc/dhow/console-secret"
# The role that everybody gets, or the claim of their token that names it: then leave `role` out.
# role = "arn:aws:iam::123456789012:role/console"
# role_claim = "dhow_role"
# name_claim = "sub"
# scopes = ["openid"]
# session_s = 3600

[cloud]
# The listener for other regions (mutual TLS). Without it the region is the whole cloud.
# peer = "127.0.0.1:9003"
# Where other regions reach it, and where customers reach this region, when those are not the
# listeners' own addresses.
# peer_address = "dubai.example.net:9003"
# endpoint = "https://dubai.example.net"
# The country of the region (ISO 3166-1 alpha-2; ZZ: nobody has said), who runs it, and
# where it is. A region that joins has them from its plan.
jurisdiction = "ZZ"
operator = "own"
city = ""
latitude = 0.0
longitude = 0.0
# The token of `dhow region open`, with which a new region joins a cloud at its first start.
# join = "dhow-join-..."
# The token of `dhow region rekey`, with which a region that has joined gets a new key, once.
# rekey = "dhow-join-..."
# For drills: milliseconds that the region's clock is set ahead (negative: behind).
clock_ahead_ms = 0
# For drills: features that this region does not announce (`dhow region show --json` lists them), as
# if its release did not know them.
withheld_features = []
# Seconds for which the certificates of regions are good. A region renews its own when a third of
# that is left, so this is the same in all regions of a cloud.
certificate_life_s = 2592000
# Milliseconds, 500 to 60000, for which this region promises the others that none of their buckets
# gets another home (see docs/regions.md). A promotion away from a home that does not answer waits
# so long. Before a smaller value, let the old one pass after the region has stopped.
promise_ms = 10000
# Seconds for which rows of a bucket stay here, unreadable, after its placement has taken this
# region out: placing it here again within that time brings them back. At once all the same: sealed
# replicas, deleted buckets, and what the jurisdictions of a placement do not allow.
removed_grace_s = 10
# Seconds without an answer from the registry, or of a replica from its home, after which this
# region refuses requests of others than the bucket's own account (503): policies that let them in
# may have changed meanwhile.
stale_after_s = 3600
# The registry's region with a data folder that was copied, as from a backup, changes nothing of the
# registry before another region has shown what it has. `true` says that this folder is the newest
# one, or that no other region is left; for one start only.
registry_is_newest = false
# How many changes of the registry (buckets, keys, placements) each account may make at once and in
# a minute, each region (as many all accounts through it together), and the cloud's operator; beyond
# it 503 SlowDown. Creating counts twice, deleting nothing. Only the registry's region asks.
account_changes = 1000
account_changes_per_minute = 240
region_changes = 10000
region_changes_per_minute = 2400
operator_changes = 20000
operator_changes_per_minute = 12000

[log]
# error, warn, info, debug, trace, or a filter such as "info,gateway=debug".
level = "info"
# human, or json for one object a line.
format = "human"

[buckets]
# What new buckets begin with whose account says nothing of that (`dhow account access`): who owns
# what is written into them (BucketOwnerEnforced, with which access control lists play no part,
# BucketOwnerPreferred or ObjectWriter), and the switches of the public access block that are on.
new_ownership = "BucketOwnerEnforced"
new_public_access_block = [
    "BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets",
]

[sts]
# Origins of identity providers (OpenID Connect), such as "https://accounts.example.com", whose tokens
# accounts may let begin sessions; and of their keys (`jwks_uri`). Only the registry's region asks.
oidc_allow = []
# The authorities that their certificates are of, in PEM; the system's when absent.
# oidc_ca = "/etc/dhow/authorities.pem"

[limits]
# Connections open at once; fewer if the limit of open files is lower.
connections = 8192
# Requests being worked on at once, at least: more are let in where that makes none of them slower.
# The others wait, and the account with the fewest at work is next. 0: 16 for each core, and at
# least 32.
work = 0
# Requests at once whose body or answer is larger than 128 KiB. One account leaves a fifth of them
# to others, or has no more than account_requests.
requests = 1024
account_requests = 1024
# Seconds that a request waits for its turn before 503 SlowDown.
queue_wait_s = 5
# Bytes a second below which a client that sends a body, or takes an answer, is ended if others wait
# for room and its account has no less of it than others. 0: none.
body_rate = 4096
# Seconds that a client may take for the head of a request, that its connection may rest between
# requests, that it may stop sending a body, and that requests under way may go on when the node
# stops.
head_timeout_s = 10
keep_alive_idle_s = 60
body_idle_s = 30
drain_s = 10

[engine]
# MiB that stay free on the disk: below it writes answer 507, deletes go on.
reserve_mib = 64
# MiB of cache for the index.
index_cache_mib = 24
# MiB of cache for small objects that were read lately; 0 keeps none.
row_cache_mib = 32
# Seconds between two sweeps of orphans: extents that no row refers to, which crashes leave of
# uploads. A sweep reads all rows. 0 for none.
orphans_every_s = 86400

[otel]
# Export traces over OTLP/HTTP to this collector. Off when absent.
# endpoint = "http://127.0.0.1:4318"
"#;

impl Cloud {
    /// How long rows of a bucket that was taken away stay, and for how long what was received last
    /// counts.
    pub fn patience(&self) -> (Duration, Duration) {
        (
            Duration::from_secs(self.removed_grace_s),
            Duration::from_secs(self.stale_after_s),
        )
    }
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let failure = Failure::new(format!("cannot read {}: {e}", path.display()));
            match e.kind() {
                std::io::ErrorKind::NotFound => failure
                    .hint("`dhow config print-default > dhow.toml` writes a file to start from"),
                _ => failure.hint("name a file that this user may read"),
            }
        })?;
        let config = Self::parse(&text).map_err(|e| {
            Failure::new(format!("{}: {e}", path.display()))
                .hint("`dhow config print-default` shows every key")
        })?;
        config.check()?;
        Ok(config)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |e: toml::de::Error| Failure::new(e.to_string());
        let mut config: Self = toml::from_str(text).map_err(wrong)?;
        let given: toml::Table = toml::from_str(text).map_err(wrong)?;
        if !given.contains_key("admin") {
            config.admin = beside(config.listen, 1)?;
        }
        if !given.contains_key("metrics") {
            config.metrics = beside(config.listen, 2)?;
        }
        Ok(config)
    }

    /// The names of this region's listeners: of its endpoint, of buckets' hosts, and of the
    /// certificate that is made.
    pub fn own_names(&self) -> Vec<String> {
        let mut names = [self.tls.names.clone(), self.domains.clone()].concat();
        let endpoint = self.cloud.endpoint.as_deref();
        let endpoint = endpoint.and_then(|url| url.parse::<http::Uri>().ok());
        names.extend(
            endpoint
                .as_ref()
                .and_then(|url| url.host())
                .map(str::to_owned),
        );
        names
    }

    /// Whether the admin listener has TLS: always where others could read along, unless that is
    /// asked for.
    pub fn admin_has_tls(&self) -> bool {
        let open = !self.admin.ip().is_loopback() && !self.admin_plaintext;
        self.tls.is_on() && (self.tls.admin || open)
    }

    /// How fast the registry may be changed.
    pub fn change_limits(&self) -> cloud::ChangeLimits {
        let of = &self.cloud;
        let share = |burst, per_minute| cloud::Share { burst, per_minute };
        cloud::ChangeLimits {
            account: share(of.account_changes, of.account_changes_per_minute),
            region: share(of.region_changes, of.region_changes_per_minute),
            operator: share(of.operator_changes, of.operator_changes_per_minute),
        }
    }

    /// The share of the S3 listener.
    pub fn gateway(&self) -> gateway::GatewayConfig {
        gateway::GatewayConfig {
            domains: self.domains.clone(),
            region_aliases: self.region_aliases.clone(),
            // Checked when it was read.
            new_buckets: self.buckets.read().unwrap_or_default(),
            connections_max: self.limits.connections,
            work: self.limits.work,
            requests_max: self.limits.requests,
            account_requests_max: self.limits.account_requests,
            queue_wait: Duration::from_secs(self.limits.queue_wait_s),
            body_rate: self.limits.body_rate,
            head_timeout: Duration::from_secs(self.limits.head_timeout_s),
            keep_alive_idle: Duration::from_secs(self.limits.keep_alive_idle_s),
            body_idle: Duration::from_secs(self.limits.body_idle_s),
            drain: Duration::from_secs(self.limits.drain_s),
            ..gateway::GatewayConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_default_is_the_default() {
        let printed: Config = toml::from_str(DEFAULT_FILE).unwrap();
        assert_eq!(format!("{printed:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = toml::from_str::<Config>("lissten = \"127.0.0.1:1\"").unwrap_err();
        assert!(error.to_string().contains("lissten"));
        let error = toml::from_str::<Config>("[limits]\nconections = 1").unwrap_err();
        assert!(error.to_string().contains("conections"));
    }

    #[test]
    fn admin_and_metrics_are_beside_the_s3_listener_unless_they_are_named() {
        let at = |text: &str| {
            let config = Config::parse(text).unwrap();
            (config.admin.to_string(), config.metrics.to_string())
        };
        let both = |admin: &str, metrics: &str| (admin.to_owned(), metrics.to_owned());
        assert_eq!(at(""), both("127.0.0.1:9001", "127.0.0.1:9002"));
        assert_eq!(
            at("listen = \"0.0.0.0:9100\""),
            both("127.0.0.1:9101", "127.0.0.1:9102")
        );
        assert_eq!(
            at("listen = \"10.0.0.7:9100\"\nmetrics = \"10.0.0.7:9002\""),
            both("127.0.0.1:9101", "10.0.0.7:9002")
        );
        assert_eq!(
            at("listen = \"[::1]:0\""),
            both("127.0.0.1:0", "127.0.0.1:0")
        );
        assert!(Config::parse("listen = \"127.0.0.1:65534\"").is_err());
    }
}
