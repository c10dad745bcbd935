//! Proxies in front of a listener: which are trusted to say for whom they speak, and what they say
//! of a connection before its first byte.

use std::{fmt, io, net::IpAddr, str::FromStr, time::Duration};

use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::preamble::{self, Encryption, Preamble, PreambleError};

/// A range of addresses, such as `10.0.0.0/8`; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is no address and no range such as 10.0.0.0/8", .0.escape_default())]
pub struct NoNetwork(String);

impl Network {
    /// Whether an address is in it. An IPv4 address in the form of IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix));
                (own.to_bits() ^ other.to_bits()) & mask.unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix));
                (own.to_bits() ^ other.to_bits()) & mask.unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let read = || {
            let (address, prefix) = match text.split_once('/') {
                Some((address, prefix)) => (address, Some(prefix)),
                None => (text, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let prefix = match prefix {
                // `+8` and `08` are read in more than one way.
                Some(digits) if digits.starts_with(['+', '0']) && digits != "0" => return None,
                Some(digits) => digits.parse().ok().filter(|prefix| *prefix <= most)?,
                None => most,
            };
            // What connects by IPv4 is compared as that.
            match address.to_canonical() {
                canonical if canonical == address => Some(Self { address, prefix }),
                address => Some(Self {
                    address,
                    prefix: prefix.checked_sub(96)?,
                }),
            }
        };
        read().ok_or_else(|| NoNetwork(text.to_owned()))
    }
}

/// The proxies of a listener.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// Those that are trusted.
    pub trusted: Vec<Network>,
    /// Each connection of them begins with a preamble of the PROXY protocol, version 2.
    pub protocol: bool,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The address of the client, or of the proxy that says of each request for whom it is. `None`
    /// where a proxy speaks for a client without an address.
    pub source: Option<IpAddr>,
    /// How the client's connection to the proxy was encrypted, as the proxy says.
    pub encryption: Encryption,
    /// `source` is a trusted proxy: what it says in the head of a request counts.
    pub is_proxy: bool,
}

/// Why a connection is not served.
#[derive(Debug, Error)]
pub enum Refused {
    /// A trusted proxy did not begin with a preamble that can be read.
    #[error("PROXY protocol: {0}")]
    Preamble(#[from] PreambleError),
    /// It took too long.
    #[error("PROXY protocol: the proxy did not send its preamble in time")]
    Late,
    /// It broke off.
    #[error("PROXY protocol: {0}")]
    Broken(#[from] io::Error),
}

impl Proxies {
    /// Whether a proxy at this address is trusted.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether a connection from this address may speak clear text to a listener that has no
    /// certificate. Where proxies are named, that is for them, and for this machine.
    pub fn admit_clear(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.is_empty() || address.is_loopback() || self.trusts(address)
    }

    /// Where a connection from `peer` comes from, as far as its address says.
    pub fn by_address(&self, peer: IpAddr) -> Origin {
        let peer = peer.to_canonical();
        Origin {
            source: Some(peer),
            encryption: Encryption::None,
            is_proxy: self.trusts(peer),
        }
    }

    /// Whether a connection from there begins with a preamble.
    pub fn expects_preamble(&self, origin: &Origin) -> bool {
        self.protocol && origin.is_proxy
    }

    /// Reads the preamble of a connection of a trusted proxy, and nothing beyond it, `within` some
    /// time.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it does not come in time.
    pub async fn read_preamble(
        &self,
        stream: &mut TcpStream,
        proxy: Origin,
        within: Duration,
    ) -> Result<Origin, Refused> {
        let reading = async {
            let mut fixed = [0; preamble::FIXED_BYTES];
            // Whoever speaks another protocol may never send so much.
            let mut read = 0;
            while read < fixed.len() {
                let more = stream.read(&mut fixed[read..]).await?;
                if more == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                read += more;
                preamble::check_begin(&fixed[..read])?;
            }
            let mut rest = vec![0; preamble::rest_bytes(&fixed)?];
            stream.read_exact(&mut rest).await?;
            Ok(preamble::parse(&fixed, &rest)?)
        };
        let said = tokio::time::timeout(within, reading).await;
        Ok(self.after(proxy, said.unwrap_or(Err(Refused::Late))?))
    }

    /// Where a connection comes from after its proxy has said it. The head of a request is that of
    /// the client: it counts only where the client is a trusted proxy too.
    fn after(&self, proxy: Origin, said: Preamble) -> Origin {
        match said {
            Preamble::Own => proxy,
            Preamble::For { source, encryption } => Origin {
                source: source.map(|source| source.to_canonical()),
                encryption,
                is_proxy: source.is_some_and(|source| self.trusts(source)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_has_what_begins_like_it() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.2"),
            ("192.0.2.128/25", "::ffff:192.0.2.200", "192.0.2.127"),
            ("::ffff:192.0.2.0/120", "192.0.2.200", "192.0.3.0"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.1"),
        ] {
            assert_eq!(network(&network(range).to_string()), network(range));
            assert!(network(range).contains(ip(inside)), "{range} {inside}");
            assert!(!network(range).contains(ip(outside)), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "",
            "proxy.example.com",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/-1",
            "10.0.0/8",
            "::/129",
            "::ffff:10.0.0.0/8",
            "10.0.0.1:80",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn clear_text_is_for_named_proxies_and_this_machine() {
        let none = Proxies::default();
        assert!(none.admit_clear(ip("203.0.113.9")), "nobody is named");
        let some = Proxies {
            trusted: vec![network("203.0.113.0/29")],
            protocol: false,
        };
        for (address, admitted) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("203.0.113.7", true),
            ("203.0.113.8", false),
        ] {
            assert_eq!(some.admit_clear(ip(address)), admitted, "{address}");
        }
    }

    /// What is known of a connection on which `bytes` come, in pieces of this size.
    async fn origin(bytes: &[u8], size: usize) -> Result<(Origin, Vec<u8>), Refused> {
        let proxies = Proxies {
            trusted: vec![network("127.0.0.1"), network("10.0.0.0/8")],
            protocol: true,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await?;
        proxy.set_nodelay(true)?;
        let (mut stream, peer) = listener.accept().await?;
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            for piece in bytes.chunks(size) {
                proxy.write_all(piece).await?;
                tokio::task::yield_now().await;
            }
            proxy.shutdown().await
        });
        let proxy = proxies.by_address(peer.ip());
        assert!(proxies.expects_preamble(&proxy));
        let minute = Duration::from_secs(60);
        let origin = proxies.read_preamble(&mut stream, proxy, minute).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        Ok((origin, rest))
    }

    #[tokio::test]
    async fn a_preamble_is_read_and_nothing_behind_it() {
        let bytes = preamble::tests::v4("203.0.113.9", &[]);
        for size in [1, 7, 16, 1000] {
            let sent = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            let (origin, rest) = origin(&sent, size).await.unwrap();
            assert_eq!(rest, b"GET / HTTP/1.1\r\n");
            let expected = Origin {
                source: Some(ip("203.0.113.9")),
                encryption: Encryption::None,
                is_proxy: false,
            };
            assert_eq!(origin, expected, "{size}");
        }
        // Another trusted proxy, before this one: the head of the request is its own.
        let inner = preamble::tests::v4("10.0.0.7", &[]);
        let (origin, _) = origin(&inner, 100).await.unwrap();
        assert!(origin.is_proxy);
    }

    #[tokio::test]
    async fn a_proxy_that_sends_no_preamble_is_refused_at_once() {
        // It waits for an answer: nothing more comes.
        let refused = origin(b"GET /", 100).await;
        assert!(matches!(
            refused,
            Err(Refused::Preamble(PreambleError::None))
        ));
        let whole = preamble::tests::v4("203.0.113.9", &[]);
        for cut in [1, 12, 15, 16, whole.len() - 1] {
            let refused = origin(&whole[..cut], 100).await;
            assert!(matches!(refused, Err(Refused::Broken(_))), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_preamble_has_a_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _proxy = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (mut stream, peer) = listener.accept().await.unwrap();
        let proxies = Proxies {
            trusted: vec![network("127.0.0.1")],
            protocol: true,
        };
        let proxy = proxies.by_address(peer.ip());
        let within = Duration::from_millis(20);
        let late = proxies.read_preamble(&mut stream, proxy, within).await;
        assert!(matches!(late, Err(Refused::Late)), "{late:?}");
    }
}
