//! `dhow up` and `dhow serve`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use admin::{data_dir::DataDir, failure::Failure};
use clap::Args;
use node::{
    Certificate, Range, Ready,
    config::{Config, Durability, LogFormat, beside},
    folder_of_tls, logging,
};

use super::acme_args::AcmeArgs;
use crate::fleet::Fleet;

/// Start a cloud on this machine, with embedded defaults.
///
/// The first start makes the data folder, the root account and its key pair (a file that only you
/// can read), and shows the secret, once; `dhow env` prints all that tools need. Every start prints
/// the endpoint and commands to try. Ctrl-C stops it; the next start has all data.
#[derive(Args)]
pub struct Up {
    /// Where everything is kept.
    #[arg(
        long,
        env = "DHOW_DATA",
        default_value = "./dhow-data",
        value_name = "DIR"
    )]
    data: PathBuf,
    /// The S3 endpoint; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDRESS:PORT", value_parser = address)]
    listen: SocketAddr,
    /// Let S3 listen without TLS on an address that is not loopback, with no proxy in front of it:
    /// others can read along.
    #[arg(long, conflicts_with_all = ["regions", "world"])]
    allow_clear_text: bool,
    /// The admin API, for this command line only: keep it on loopback. Unless given on 127.0.0.1,
    /// one port above --listen.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, conflicts_with_all = ["regions", "world"])]
    admin: Option<SocketAddr>,
    /// Let the admin API listen without TLS on an address that is not loopback.
    #[arg(long, conflicts_with_all = ["regions", "world"])]
    admin_plaintext: bool,
    /// What clients call the admin API beside its own address, through a proxy or a tunnel. May be
    /// repeated.
    #[arg(long = "admin-host", value_name = "HOST[:PORT]",
          conflicts_with_all = ["regions", "world"])]
    admin_hosts: Vec<String>,
    /// Health and metrics. Unless given on 127.0.0.1, two ports above --listen.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, conflicts_with_all = ["regions", "world"])]
    metrics: Option<SocketAddr>,
    /// The web console. Unless given on 127.0.0.1, four ports above --listen, or another port if
    /// that one is taken.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, conflicts_with_all = ["regions", "world"])]
    console: Option<SocketAddr>,
    /// Where browsers reach the console, such as https://console.example.net, if that is not its
    /// own address.
    #[arg(long, value_name = "ORIGIN", conflicts_with_all = ["regions", "world"])]
    console_origin: Option<String>,
    /// Serve S3 over TLS, with a certificate of an authority that is made in the data folder; `dhow
    /// env` prints how tools trust it.
    #[arg(long)]
    tls: bool,
    /// A name or address for which the certificate of --tls is good as well. May be repeated.
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls")]
    tls_names: Vec<String>,
    /// Serve S3 over TLS with this certificate (PEM, with those between it and the root), which is
    /// read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key",
          conflicts_with_all = ["tls", "regions", "world"])]
    tls_certificate: Option<PathBuf>,
    /// The private key of --tls-certificate.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    acme: AcmeArgs,
    /// The folder of the authority of --tls.
    #[arg(long, value_name = "DIR", requires = "tls", hide = true)]
    tls_authority: Option<PathBuf>,
    /// A proxy in front of the S3 endpoint, or a range of them (10.0.0.0/8), whose X-Forwarded-For
    /// and X-Forwarded-Proto count. May be repeated.
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    trusted_proxies: Vec<Range>,
    /// Each connection of these proxies begins with a preamble of the PROXY protocol, version 2.
    #[arg(long, requires = "trusted_proxies")]
    proxy_protocol: bool,
    /// The origin of an identity provider (OpenID Connect), such as https://accounts.example.com,
    /// whose tokens accounts may let begin sessions. May be repeated.
    #[arg(long = "oidc-allow", value_name = "ORIGIN")]
    oidc_allow: Vec<String>,
    /// The authorities that the certificates of identity providers are of (PEM), instead of the
    /// system's.
    #[arg(long, value_name = "FILE", requires = "oidc_allow")]
    oidc_ca: Option<PathBuf>,
    /// The listener for other regions; without it the region is the whole cloud.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    peer: Option<SocketAddr>,
    /// This region's id.
    #[arg(long, default_value = "local-1", value_name = "ID")]
    region: String,
    /// A name that signatures may carry beside the region's id, in the region that keeps the
    /// registry; no region may be called so. May be repeated; `none` for no such name.
    #[arg(long = "region-alias", value_name = "NAME", conflicts_with_all = ["regions", "world"],
          default_values_t = Config::default().region_aliases)]
    region_aliases: Vec<String>,
    /// The country in which the region is, an ISO 3166-1 code such as AE.
    #[arg(long, default_value = "ZZ", value_name = "COUNTRY",
          conflicts_with_all = ["regions", "world"])]
    jurisdiction: String,
    /// Start this many regions of the reference fleet, each a process of its own (1 to 14). Each
    /// has ten ports from that of --listen on: S3, admin API, metrics, other regions.
    #[arg(long, value_name = "N", conflicts_with_all = ["world", "join", "peer", "region"],
          value_parser = clap::value_parser!(u8).range(1..=14))]
    regions: Option<u8>,
    /// Start the reference fleet: fourteen regions on every continent.
    #[arg(long, conflicts_with_all = ["join", "peer", "region"])]
    world: bool,
    /// Who runs the region: an operator's id.
    #[arg(long, default_value = "own", value_name = "ID", conflicts_with_all = ["regions", "world"])]
    operator: String,
    /// The city, for people.
    #[arg(long, default_value = "", value_name = "NAME", conflicts_with_all = ["regions", "world"])]
    city: String,
    /// Degrees north.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true,
          conflicts_with_all = ["regions", "world"])]
    latitude: f64,
    /// Degrees east.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true,
          conflicts_with_all = ["regions", "world"])]
    longitude: f64,
    /// For drills: milliseconds that the region's clock is set ahead.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, hide = true)]
    clock_ahead_ms: i64,
    /// For drills: a feature that the region does not announce; more than once for more.
    #[arg(long = "withhold-feature", value_name = "FEATURE", hide = true)]
    withheld_features: Vec<String>,
    /// For drills: seconds for which the certificates of regions are good.
    #[arg(long, default_value_t = Config::default().cloud.certificate_life_s, hide = true)]
    certificate_life_s: u64,
    /// For drills: how many changes of the registry everybody may make in a minute, and at once.
    #[arg(long, value_name = "N", hide = true)]
    changes_per_minute: Option<u32>,
    /// Seconds for which rows of a bucket stay after it was taken away from this region.
    #[arg(long, default_value_t = Config::default().cloud.removed_grace_s, value_name = "SECONDS")]
    removed_grace_s: u64,
    /// Seconds without an answer from the registry, or of a replica from its home, after which
    /// others than a bucket's own account are refused.
    #[arg(long, default_value_t = Config::default().cloud.stale_after_s, value_name = "SECONDS")]
    stale_after_s: u64,
    /// After a restore: the registry in this folder is the newest there is, or no other region is
    /// left that could show more. For one start only.
    #[arg(long, conflicts_with_all = ["regions", "world"])]
    registry_is_newest: bool,
    /// Milliseconds for which this region promises others that their buckets get no other home.
    #[arg(long, default_value_t = Config::default().cloud.promise_ms, value_name = "MS")]
    promise_ms: u64,
    /// Join a cloud with the token of `dhow region open`; the token names the region.
    #[arg(long, env = "DHOW_JOIN", hide_env_values = true, value_name = "TOKEN")]
    join: Option<String>,
    /// Give this region, which has joined, a new key with the token of `dhow region rekey`. Once: a
    /// later start with the same token changes nothing.
    #[arg(long, env = "DHOW_REKEY", hide_env_values = true, value_name = "TOKEN")]
    rekey: Option<String>,
    /// When a write is acknowledged: once it is on disk, or (relaxed) once it is on its way there.
    #[arg(long, value_enum, default_value_t = Durability::Strict)]
    durability: Durability,
    /// Print one line of JSON on standard output when ready; everything else goes to standard
    /// error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
    /// Export traces over OTLP/HTTP to this collector.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otel_endpoint: Option<String>,
}

#[derive(Args)]
struct LogArgs {
    /// error, warn, info, debug, trace, or a filter such as info,gateway=debug.
    #[arg(long, env = "DHOW_LOG", default_value = "info", value_name = "LEVEL")]
    log_level: String,
    /// For people, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

/// Run one node from a configuration file.
///
/// `dhow config print-default` writes a file to start from, with every key and its default. The
/// tokens of `dhow region open` and `rekey` may also come from DHOW_JOIN and DHOW_REKEY.
#[derive(Args)]
pub struct Serve {
    /// The configuration, a TOML file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one line of JSON on standard output when ready.
    #[arg(long)]
    json: bool,
}

impl Up {
    /// Runs until it is stopped.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let count = if self.world { Some(14) } else { self.regions };
        if let Some(count) = count {
            return self.run_fleet(count.into());
        }
        must_be_no_fleet(&self.data)?;
        let beside = |port, given: Option<SocketAddr>| match given {
            Some(address) => Ok(address),
            None => beside(self.listen, port),
        };
        let mut config = Config {
            admin: beside(1, self.admin)?,
            metrics: beside(2, self.metrics)?,
            data: self.data,
            region: self.region,
            region_aliases: aliases(self.region_aliases),
            listen: self.listen,
            allow_clear_text: self.allow_clear_text,
            admin_plaintext: self.admin_plaintext,
            admin_hosts: self.admin_hosts,
            durability: self.durability,
            ..Config::default()
        };
        config.console.or_free = self.console.is_none();
        let console = self.console.map_or_else(|| beside(4, None), Ok);
        // Its port may be any other: that it does not exist is no failure.
        config.console.listen = Some(console.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))));
        config.console.origin = self.console_origin;
        config.tls.make = self.tls;
        config.tls.acme = self.acme.config();
        config.tls.names = self.tls_names;
        config.tls.authority = self.tls_authority;
        if let (Some(certificate), Some(key)) = (self.tls_certificate, self.tls_key) {
            config.tls.certificates = vec![Certificate { certificate, key }];
        }
        config.proxies.trusted = self.trusted_proxies;
        config.proxies.protocol = self.proxy_protocol;
        config.sts.oidc_allow = self.oidc_allow;
        config.sts.oidc_ca = self.oidc_ca;
        config.log.level = self.log.log_level;
        config.log.format = self.log.log_format;
        config.otel.endpoint = self.otel_endpoint;
        config.cloud.peer = self.peer;
        config.cloud.jurisdiction = self.jurisdiction;
        config.cloud.join = self.join;
        config.cloud.rekey = self.rekey;
        config.cloud.operator = self.operator;
        config.cloud.city = self.city;
        config.cloud.clock_ahead_ms = self.clock_ahead_ms;
        config
            .cloud
            .withheld_features
            .clone_from(&self.withheld_features);
        config.cloud.certificate_life_s = self.certificate_life_s;
        if let Some(many) = self.changes_per_minute {
            config.cloud.let_all_change(many);
        }
        config.cloud.removed_grace_s = self.removed_grace_s;
        config.cloud.stale_after_s = self.stale_after_s;
        config.cloud.registry_is_newest = self.registry_is_newest;
        config.cloud.promise_ms = self.promise_ms;
        config.cloud.latitude = self.latitude;
        config.cloud.longitude = self.longitude;
        config.check()?;
        start(config, if self.json { Ready::Json } else { Ready::Human })
    }

    /// Several regions: ports follow one another from that of --listen on, ten for each region.
    fn run_fleet(self, count: usize) -> Result<ExitCode, Failure> {
        if !self.listen.ip().is_loopback() {
            return Err(Failure::new(format!(
                "a fleet on one machine listens on 127.0.0.1, and not on {}",
                self.listen.ip()
            ))
            .hint(
                "name its first port with --listen 127.0.0.1:PORT; docs/three-machines.md says \
                   how regions run on machines of their own",
            ));
        }
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let durability = match self.durability {
            Durability::Strict => "strict",
            Durability::Relaxed => "relaxed",
        };
        let mut args = vec!["--durability".to_owned(), durability.to_owned()];
        args.extend(["--log-level".to_owned(), self.log.log_level]);
        if self.log.log_format == LogFormat::Json {
            args.extend(["--log-format", "json"].map(str::to_owned));
        }
        let life = self.certificate_life_s.to_string();
        args.extend(["--certificate-life-s".to_owned(), life]);
        if let Some(many) = self.changes_per_minute {
            args.extend(["--changes-per-minute".to_owned(), many.to_string()]);
        }
        let grace = self.removed_grace_s.to_string();
        args.extend(["--removed-grace-s".to_owned(), grace]);
        let stale = self.stale_after_s.to_string();
        args.extend(["--stale-after-s".to_owned(), stale]);
        args.extend(["--promise-ms".to_owned(), self.promise_ms.to_string()]);
        if self.tls {
            // One authority for all regions.
            let authority = folder_of_tls(&self.data).to_string_lossy().into_owned();
            args.extend(["--tls".to_owned(), "--tls-authority".to_owned(), authority]);
            let named = |name| ["--tls-name".to_owned(), name];
            args.extend(self.tls_names.into_iter().flat_map(named));
        }
        for proxy in &self.trusted_proxies {
            args.extend(["--trusted-proxy".to_owned(), proxy.to_string()]);
        }
        if self.proxy_protocol {
            args.push("--proxy-protocol".to_owned());
        }
        for origin in &self.oidc_allow {
            args.extend(["--oidc-allow", origin].map(str::to_owned));
        }
        if let Some(file) = &self.oidc_ca {
            args.extend(["--oidc-ca".to_owned(), file.to_string_lossy().into_owned()]);
        }
        if let Some(endpoint) = self.otel_endpoint {
            args.extend(["--otel-endpoint".to_owned(), endpoint]);
        }
        let fleet = Fleet {
            data: self.data,
            count,
            first_port: self.listen.port(),
            args,
            json: self.json,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| Failure::new(format!("cannot start the runtime: {e}")))?;
        runtime.block_on(fleet.run()).map(|()| ExitCode::SUCCESS)
    }
}

/// A cloud of one region in the folder of a fleet would keep the fleet from starting.
fn must_be_no_fleet(data: &Path) -> Result<(), Failure> {
    DataDir::new(data).must_be_of_one_region(|fleet| {
        format!(
            "`dhow up --regions {} --data {}` starts it; a cloud of one region needs another folder",
            fleet.regions.len(),
            data.display()
        )
    })
}

/// The address of a listener.
fn address(text: &str) -> Result<SocketAddr, String> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => &format!("127.0.0.1:{port}"),
        None => text,
    };
    text.parse().map_err(|_| {
        "give an IP address of this machine and a port, such as 127.0.0.1:9000; 0.0.0.0 is all of \
         its addresses"
            .to_owned()
    })
}

/// The names that were given; `none` is none.
fn aliases(given: Vec<String>) -> Vec<String> {
    given.into_iter().filter(|name| name != "none").collect()
}

impl Serve {
    /// Runs until it is stopped.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let mut config = Config::read(&self.config)?;
        // So that a token need not be in a file, nor in the list of processes.
        config.cloud.join = config.cloud.join.or_else(|| variable("DHOW_JOIN"));
        config.cloud.rekey = config.cloud.rekey.or_else(|| variable("DHOW_REKEY"));
        config.check()?;
        start(config, if self.json { Ready::Json } else { Ready::Log })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn start(mut config: Config, ready: Ready) -> Result<ExitCode, Failure> {
    // Whatever is made in the data folder is for its owner only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let traces = logging::start(&config)?;
    let files = raise_file_limit();
    let most = connections_with(files);
    if config.limits.connections > most {
        tracing::warn!(
            files,
            connections = most,
            "the limit of open files allows fewer connections than limits.connections"
        );
        config.limits.connections = most;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start the runtime: {e}")))?;
    let ended = runtime.block_on(node::run(config, ready));
    drop(traces);
    ended.map(|()| ExitCode::SUCCESS)
}

/// Each connection and each large object being read holds a file; the usual soft limit of 1024 is
/// soon reached. Answers the limit.
fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections leave a quarter of the files to the engine and the other listeners.
fn connections_with(files: u64) -> usize {
    usize::try_from(files / 4 * 3).unwrap_or(usize::MAX).max(1)
}
