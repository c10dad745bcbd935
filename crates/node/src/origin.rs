//! Requests that a region sends to a host that somebody has named: identity providers and ACME
//! servers. By https, and in clear text to loopback alone; no redirect is followed.

use std::{
    error::Error,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use listener::{Connector, TlsError, Trust};
use tokio::{net::TcpStream, task::JoinSet};

/// Why an answer is not had.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether by https.
    pub tls: bool,
    /// As it was written: a name, or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Origin {
    /// Of a URL, with what comes after it.
    pub fn of(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.:[]".contains(&c);
        if host.is_empty() || !host.bytes().all(good) {
            return None;
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse().ok()?),
            _ => (host, if tls { 443 } else { 80 }),
        };
        let address = Self::address(name);
        // In clear text anybody on the way could give other keys.
        if !tls && !address.is_some_and(|address| address.is_loopback()) {
            return None;
        }
        let host = name.to_owned();
        Some((Self { tls, host, port }, path))
    }

    fn address(name: &str) -> Option<IpAddr> {
        let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        match inner {
            Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            None => name.parse().ok(),
        }
    }

    /// Without the port that the scheme has anyway (RFC 9110, section 4.2.3): a server may compare
    /// it with its own name.
    fn host_header(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        match Self::address(&self.host) {
            Some(address) => TcpStream::connect(SocketAddr::new(address, self.port)).await,
            None => TcpStream::connect((&*self.host, self.port)).await,
        }
    }

    /// Opens TLS connections there; `None` where there is no TLS.
    ///
    /// # Errors
    /// As [`Connector::new`].
    pub fn connector(&self, trust: &Trust) -> Result<Option<Connector>, TlsError> {
        let name = self.host.trim_matches(['[', ']']);
        self.tls.then(|| Connector::new(name, trust)).transpose()
    }

    /// Sends one request on a connection of its own, and reads its answer of at most `bytes_max`
    /// bytes. The request has a path, and no `Host` yet. Who waits no longer for the answer ends
    /// the connection.
    ///
    /// # Errors
    /// The connection or the answer is not had.
    pub async fn ask<B>(
        &self,
        connector: Option<&Connector>,
        mut request: Request<B>,
        bytes_max: usize,
    ) -> Result<Response<Bytes>, BoxError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let host = self.host_header().parse::<HeaderValue>()?;
        request.headers_mut().insert(header::HOST, host);
        let stream = self.connect().await?;
        let stream = match connector {
            None => stream.into(),
            Some(connector) => connector.handshake(stream).await?,
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, bytes_max).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_goes_without_saying_is_neither_compared_nor_sent() {
        let of = |url| Origin::of(url).unwrap().0;
        for (url, same, host) in [
            (
                "https://ca.example.org",
                "https://ca.example.org:443",
                "ca.example.org",
            ),
            ("http://127.0.0.1", "http://127.0.0.1:80", "127.0.0.1"),
            ("https://[::1]", "https://[::1]:443", "[::1]"),
        ] {
            assert_eq!(of(url), of(same));
            assert_eq!(
                (&*of(url).host_header(), &*of(same).host_header()),
                (host, host)
            );
        }
        assert_eq!(
            of("https://ca.example.org:80").host_header(),
            "ca.example.org:80"
        );
        assert_eq!(of("http://127.0.0.1:443").host_header(), "127.0.0.1:443");
        assert_ne!(
            of("https://ca.example.org"),
            of("https://ca.example.org:8443")
        );
    }
}
