//! The sockets that a node listens on, and how others learn of them.

use std::net::SocketAddr;

use admin::{data_dir::Running, failure::Failure};
use tokio::net::TcpListener;

use crate::{
    config::Config,
    console_config::ConsoleConfig,
    region::{Addresses, Region},
    tls::Tls,
};

fn listen(what: &str, flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let key = match flag {
        "--peer" => "cloud.peer",
        "--console" => "console.listen",
        flag => flag.trim_start_matches('-'),
    };
    gateway::listen(address).map_err(|e| {
        let failure = Failure::new(format!("cannot listen on {address} for {what}: {e}"));
        match e.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint(format!(
                "something listens there already; choose another with {flag} ADDRESS:PORT, or \
                 `{key}` in the configuration (port 0 takes a free one)"
            )),
            _ => failure.hint(format!(
                "choose another with {flag} ADDRESS:PORT, or `{key}` in the configuration"
            )),
        }
    })
}

fn console(config: &ConsoleConfig) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = config.listen else {
        return Ok(None);
    };
    let bound = listen("the console", "--console", address);
    let free = SocketAddr::new(address.ip(), 0);
    match bound {
        Err(_) if config.or_free => listen("the console", "--console", free).map(Some),
        bound => bound.map(Some),
    }
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    let address = listener.local_addr();
    address.map_err(|e| Failure::new(e.to_string()))
}

fn url(listener: &TcpListener, tls: bool) -> Result<String, Failure> {
    let scheme = if tls { "https" } else { "http" };
    Ok(format!("{scheme}://{}", local(listener)?))
}

/// The sockets of one node, bound.
pub struct Sockets {
    /// For customers.
    pub s3: TcpListener,
    /// For administrators.
    pub admin: TcpListener,
    /// For health and metrics.
    pub probes: TcpListener,
    /// For browsers, if there is a console.
    pub console: Option<TcpListener>,
    /// For other regions, if there may be some.
    pub peers: Option<TcpListener>,
}

impl Sockets {
    /// Binds all.
    ///
    /// # Errors
    /// Something listens there already, or the address is not this machine's.
    pub fn bind(config: &Config) -> Result<Self, Failure> {
        let peers = config.cloud.peer;
        let peers = peers.map(|address| listen("other regions", "--peer", address));
        Ok(Self {
            s3: listen("S3", "--listen", config.listen)?,
            admin: listen("the admin API", "--admin", config.admin)?,
            console: console(&config.console)?,
            probes: listen("health and metrics", "--metrics", config.metrics)?,
            peers: peers.transpose()?,
        })
    }

    /// Where customers are listened for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn s3(&self) -> Result<SocketAddr, Failure> {
        local(&self.s3)
    }

    /// Where administrators are listened for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn admin(&self) -> Result<SocketAddr, Failure> {
        local(&self.admin)
    }

    /// Where browsers reach the console: its origin, and the path that it is below.
    fn console_address(&self, config: &Config) -> Result<Option<String>, Failure> {
        let origin = match (&self.console, &config.console.origin) {
            (None, _) => return Ok(None),
            (Some(_), Some(origin)) => origin.clone(),
            (Some(listener), None) => url(listener, config.tls.is_on())?,
        };
        Ok(Some(origin + &config.console.base_path))
    }

    /// Where others reach the node: as configured, or at its listeners' own addresses.
    ///
    /// # Errors
    /// The system does not say where a socket is.
    pub fn addresses(&self, config: &Config) -> Result<Addresses, Failure> {
        let own = match &self.peers {
            Some(listener) => local(listener)?.to_string(),
            None => String::new(),
        };
        let named = config.cloud.peer_address.clone();
        Ok(Addresses {
            endpoint: match &config.cloud.endpoint {
                Some(endpoint) => endpoint.clone(),
                None => url(&self.s3, config.tls.is_on())?,
            },
            peer: named.unwrap_or(own),
        })
    }

    /// What others on this machine learn of the process: its listeners for S3, administration and
    /// probes.
    ///
    /// # Errors
    /// The system does not say where a socket is.
    pub fn running(
        &self,
        (region, config): (&Region, &Config),
        at: &Addresses,
        tls: Option<&Tls>,
    ) -> Result<Running, Failure> {
        Ok(Running {
            pid: std::process::id(),
            endpoint: url(&self.s3, tls.is_some())?,
            admin: url(&self.admin, config.admin_has_tls())?,
            metrics: url(&self.probes, false)?,
            peer: at.peer.clone(),
            console: self.console_address(config)?,
            region: region.id.to_string(),
            certificate: tls.and_then(Tls::shown),
            authority: tls.and_then(Tls::authority),
        })
    }
}
