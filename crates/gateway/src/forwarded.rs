//! What a trusted proxy says in the head of a request of its client's connection:
//! `X-Forwarded-For` and `X-Forwarded-Proto`. From everybody else these headers say nothing.

use std::net::{IpAddr, SocketAddr};

use access::{RequestFacts, Transport};
use http::{HeaderMap, HeaderName};
use listener::Proxies;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How a request came that has these headers, over a connection of a trusted proxy.
pub fn facts(headers: &HeaderMap, of_connection: RequestFacts, proxies: &Proxies) -> RequestFacts {
    let source = match headers.contains_key(FOR) {
        true => source(headers, proxies),
        false => of_connection.source,
    };
    RequestFacts {
        source,
        transport: transport(headers).or(of_connection.transport),
        // That of the client's connection no such header says.
        tls: of_connection.tls.filter(|_| !is_forwarded(headers)),
        ..of_connection
    }
}

/// Whether a proxy says anything of its client's connection, so that the connection is another.
fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FOR) || headers.contains_key(PROTO)
}

/// The last hop that is not a trusted proxy: it is the one that a trusted proxy added, and whoever
/// sent what is before it may have made that up. Where all are trusted, the first is the client.
/// `None` where that hop has no address.
fn source(headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let mut last = None;
    for line in headers.get_all(FOR).iter().rev() {
        for hop in line.as_bytes().rsplit(|byte| *byte == b',') {
            let hop = std::str::from_utf8(hop).ok().and_then(address)?;
            last = Some(hop);
            if !proxies.trusts(hop) {
                return last;
            }
        }
    }
    last
}

/// An address as proxies write it: some add the port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let plain = text.parse().ok();
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let found: Option<IpAddr> = plain.or_else(with_port).or_else(in_brackets);
    found.map(|address| address.to_canonical())
}

/// How the client's connection was protected. Of several proxies each must say that it was.
fn transport(headers: &HeaderMap) -> Option<Transport> {
    let mut said = headers.get_all(PROTO).iter().peekable();
    said.peek()?;
    let all_tls = said.all(|line| {
        let mut hops = line.as_bytes().split(|byte| *byte == b',');
        hops.all(|hop| hop.trim_ascii().eq_ignore_ascii_case(b"https"))
    });
    Some(match all_tls {
        true => Transport::Tls,
        false => Transport::Clear,
    })
}

#[cfg(test)]
mod tests {
    use types::TlsVersion;

    use super::*;

    fn read(connection: Transport, lines: &[(&'static str, &str)]) -> (String, Option<Transport>) {
        let trusted = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/64"];
        let proxies = Proxies {
            trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            protocol: false,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let of_connection = RequestFacts::of_connection("10.0.0.1".parse().ok(), connection);
        let facts = facts(&headers, of_connection, &proxies);
        let source = facts.source.map(|ip| ip.to_string());
        (source.unwrap_or_default(), facts.transport)
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_not_trusted() {
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&["203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9 , 10.0.0.7"], "203.0.113.9"),
            (&["203.0.113.9,10.0.0.7", "192.0.2.1"], "203.0.113.9"),
            // What a client made up stands before what a proxy adds.
            (&["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            (&["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            (&["10.0.0.9, 203.0.113.9"], "203.0.113.9"),
            (&["nonsense, 203.0.113.9, 10.0.0.7"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["2001:db8:0:1::9"], "2001:db8:0:1::9"),
            (&["[2001:db8:0:1::9]:4711, 2001:db8::2"], "2001:db8:0:1::9"),
            (&["[2001:db8:0:1::9]"], "2001:db8:0:1::9"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            // A client within the trusted network.
            (&["10.0.0.9, 10.0.0.7"], "10.0.0.9"),
            // A hop without an address hides the client: what is before it proves nothing.
            (&["203.0.113.9, unknown"], ""),
            (&["203.0.113.9, _hidden, 10.0.0.7"], ""),
            (&[""], ""),
            (&["203.0.113.9,"], ""),
            (&["203.0.113.9, host.example.com"], ""),
        ] {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            assert_eq!(read(Transport::Clear, &lines).0, expected, "{lines:?}");
        }
    }

    #[test]
    fn the_version_of_tls_is_the_clients_or_none() {
        let of_connection = RequestFacts::of_connection("10.0.0.1".parse().ok(), Transport::Tls)
            .with_tls(Some(TlsVersion::V1_3));
        let read = |lines: &[(&'static str, &'static str)]| {
            let lines = lines.iter().map(|(name, value)| {
                let value = http::HeaderValue::from_static(value);
                (HeaderName::from_static(name), value)
            });
            facts(&lines.collect(), of_connection, &Proxies::default()).tls
        };
        assert_eq!(read(&[("x-other", "https")]), Some(TlsVersion::V1_3));
        assert_eq!(read(&[("x-forwarded-proto", "https")]), None);
        assert_eq!(read(&[("x-forwarded-for", "203.0.113.9")]), None);
    }

    #[test]
    fn the_transport_is_that_of_the_client() {
        for (lines, expected) in [
            (&[][..], None),
            (&["https"], Some(Transport::Tls)),
            (&["HTTPS"], Some(Transport::Tls)),
            (&["http"], Some(Transport::Clear)),
            (&["https, https"], Some(Transport::Tls)),
            (&["https,http"], Some(Transport::Clear)),
            (&["https", "http"], Some(Transport::Clear)),
            (&["http", "https"], Some(Transport::Clear)),
            (&["wss"], Some(Transport::Clear)),
            (&[""], Some(Transport::Clear)),
        ] {
            let lines: Vec<_> = lines.iter().map(|l| ("x-forwarded-proto", *l)).collect();
            for connection in [Transport::Clear, Transport::Tls] {
                let expected = expected.or(Some(connection));
                assert_eq!(read(connection, &lines).1, expected, "{lines:?}");
            }
        }
    }
}
