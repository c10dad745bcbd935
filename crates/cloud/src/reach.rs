//! Where a region may say that it is reached. Others connect there, and send customers there with
//! their signed requests: so a region's word alone is not enough.
//!
//! The cloud's owner lists hosts and networks for a region, or, without a list, what the region
//! said when it joined stays: the same host and port, on a loopback network any port. Without a
//! list, nobody joins from a network that is nearer to the registry's region than it says of
//! itself, and nobody with an address of another region.

use std::net::IpAddr;

use crate::{Announcement, CloudError, RegionRecord, RegionStatus, Registry};

/// Entries of one region's list.
const ENTRIES_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct At {
    host: Host,
    port: u16,
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Host(Host),
    Network(IpAddr, u8),
}

/// How far an address reaches; the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Machine,
    Link,
    Private,
    Public,
}

fn name(text: &str) -> Option<String> {
    let label = |label: &str| {
        let letter = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(letter)
    };
    let good = text.len() <= 253 && text.split('.').all(label);
    good.then(|| text.to_ascii_lowercase())
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; what is in the brackets, and the port's text.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, behind) = rest.split_once(']')?;
        return match behind.strip_prefix(':') {
            Some(port) => Some((inside, Some(port))),
            None => behind.is_empty().then_some((inside, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn host(text: &str) -> Option<Host> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(Host::Address(address.to_canonical())),
        // Resolvers read an address where the last part is a number, also a hexadecimal one.
        Err(_) if ends_in_number(text) => None,
        Err(_) => name(text).map(Host::Name),
    }
}

fn ends_in_number(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x").or(last.strip_prefix("0X")) {
        Some(hex) => hex.bytes().all(|c| c.is_ascii_hexdigit()),
        None => last.bytes().all(|c| c.is_ascii_digit()),
    }
}

impl At {
    /// `host:port`.
    fn peer(text: &str) -> Option<Self> {
        let (inside, behind) = split(text)?;
        Some(Self {
            host: host(inside)?,
            port: port(behind?)?,
        })
    }

    /// A URL with a scheme and an authority, and nothing else.
    fn endpoint(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (inside, behind) = split(rest.strip_suffix('/').unwrap_or(rest))?;
        Some(Self {
            host: host(inside)?,
            port: behind.map_or(Some(usual), port)?,
        })
    }

    fn reach(&self) -> Reach {
        match &self.host {
            Host::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                Reach::Machine
            }
            Host::Name(_) => Reach::Public,
            Host::Address(address) => reach(*address),
        }
    }

    /// Whether a region that was at `self` is taken for the same at `other`.
    fn stays(&self, other: &Self) -> bool {
        let moves = self.reach() == Reach::Machine;
        self.host == other.host && (moves || self.port == other.port)
    }
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => match v4 {
            _ if v4.is_loopback() || v4.is_unspecified() => Reach::Machine,
            _ if v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() => Reach::Link,
            // 100.64.0.0/10 is shared by customers of one carrier (RFC 6598).
            _ if v4.is_private() || matches!(v4.octets(), [100, 64..=127, ..]) => Reach::Private,
            _ => Reach::Public,
        },
        IpAddr::V6(v6) => match v6.segments().first().copied().unwrap_or_default() {
            _ if v6.is_loopback() || v6.is_unspecified() => Reach::Machine,
            0xfe80..=0xfebf | 0xff00..=0xffff => Reach::Link,
            0xfc00..=0xfdff => Reach::Private,
            _ => Reach::Public,
        },
    }
}

/// Reads an entry: `HOST`, `HOST:PORT`, `A.B.C.D/N`, `A.B.C.D/N:PORT`, and IPv6 in brackets.
fn entry(text: &str) -> Option<(Who, Option<u16>)> {
    let (inside, behind) = split(text)?;
    let port = match behind {
        Some(text) => Some(port(text)?),
        None => None,
    };
    let Some((network, bits)) = inside.split_once('/') else {
        return Some((Who::Host(host(inside)?), port));
    };
    let network: IpAddr = network.parse().ok()?;
    let most = if network.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.parse().ok().filter(|bits| *bits <= most)?;
    Some((Who::Network(network, bits), port))
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            let off = 32 - u32::from(bits);
            let shift = |v: u32| v.checked_shr(off).unwrap_or_default();
            shift(a.to_bits()) == shift(n.to_bits())
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            let off = 128 - u32::from(bits);
            let shift = |v: u128| v.checked_shr(off).unwrap_or_default();
            shift(a.to_bits()) == shift(n.to_bits())
        }
        _ => false,
    }
}

fn fits(at: &At, text: &str) -> bool {
    let Some((who, port)) = entry(text) else {
        return false;
    };
    let there = match (who, &at.host) {
        (Who::Host(host), _) => host == at.host,
        (Who::Network(network, bits), Host::Address(address)) => within(*address, network, bits),
        (Who::Network(..), Host::Name(_)) => false,
    };
    there && port.is_none_or(|port| port == at.port)
}

/// Whether a list can be kept.
pub(crate) fn check_list(list: &[String]) -> Result<(), CloudError> {
    if list.len() > ENTRIES_MAX {
        return Err(CloudError::Invalid(format!(
            "a region has at most {ENTRIES_MAX} addresses"
        )));
    }
    match list.iter().find(|text| entry(text).is_none()) {
        None => Ok(()),
        Some(bad) => Err(CloudError::Invalid(format!(
            "`{}` is no address: HOST, HOST:PORT, a network such as 203.0.113.0/24 or \
             203.0.113.0/24:7443, IPv6 in brackets",
            types::text::shown(bad, 100)
        ))),
    }
}

impl RegionRecord {
    fn lists(&self, at: &At) -> bool {
        self.addresses.is_empty() || self.addresses.iter().any(|entry| fits(at, entry))
    }

    /// Where other regions may connect to this one (host:port); `None` when it has said nothing, or
    /// what its list does not have.
    pub fn peer_address(&self) -> Option<&str> {
        let at = At::peer(&self.peer)?;
        self.lists(&at).then_some(&self.peer)
    }

    /// Whether no region connects to this one, since its list does not have the address on record.
    pub fn is_cut_off(&self) -> bool {
        let reached = self.status != RegionStatus::Closed && !self.peer.is_empty();
        reached && !self.addresses.is_empty() && self.peer_address().is_none()
    }

    /// The host, with its port, to which customers may be sent; `None` as above.
    pub fn endpoint_host(&self) -> Option<&str> {
        let at = At::endpoint(&self.endpoint)?;
        let (_, host) = self.endpoint.split_once("://")?;
        let host = host.strip_suffix('/').unwrap_or(host);
        self.lists(&at).then_some(host)
    }
}

impl Registry {
    /// Whether a region may be put on record with what it announces.
    pub(crate) fn may_be_reached(
        &self,
        record: &RegionRecord,
        announced: &Announcement,
    ) -> Result<(), CloudError> {
        if record.id == self.own() || types::planted("addresses-unchecked") {
            return Ok(());
        }
        let refused = |what: &str, text: &str, why: &str| {
            Err(CloudError::Refused(format!(
                "region {} may not be reached at {what} {}: {why}; the cloud's owner allows it \
                 with `dhow region allow {} --address HOST:PORT`",
                record.id,
                types::text::shown(text, 300),
                record.id
            )))
        };
        let own = self.region(self.own());
        let own = own.as_deref();
        let own_peer = own.and_then(|own| At::peer(&own.peer));
        let own_endpoint = own.and_then(|own| At::endpoint(&own.endpoint));
        for (what, text, at, before, registry) in [
            (
                "the peer address",
                &announced.peer,
                At::peer(&announced.peer),
                At::peer(&record.peer),
                own_peer,
            ),
            (
                "the endpoint",
                &announced.endpoint,
                At::endpoint(&announced.endpoint),
                At::endpoint(&record.endpoint),
                own_endpoint,
            ),
        ] {
            let Some(at) = at else {
                return refused(what, text, "it is no host and port");
            };
            if !record.addresses.is_empty() {
                if !record.lists(&at) {
                    return refused(what, text, "it is not in its list of addresses");
                }
                continue;
            }
            if before.as_ref().is_some_and(|before| !before.stays(&at)) {
                return refused(what, text, "it joined with another, and has no list");
            }
            let nearest = registry.map_or(Reach::Public, |own| own.reach());
            if at.reach() == Reach::Link || at.reach() < nearest {
                return refused(
                    what,
                    text,
                    "it is nearer than the registry's region says of itself",
                );
            }
            if self.is_of_another(record, &at) {
                return refused(what, text, "it is that of another region");
            }
        }
        Ok(())
    }

    fn is_of_another(&self, record: &RegionRecord, at: &At) -> bool {
        let others = self.all_regions();
        let mut live = others
            .iter()
            .filter(|other| other.id != record.id && other.status != RegionStatus::Closed);
        live.any(|other| {
            let theirs = [At::peer(&other.peer), At::endpoint(&other.endpoint)];
            theirs.iter().flatten().any(|theirs| theirs == at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_one_way() {
        for good in ["a.example:1", "10.0.0.1:65535", "[2001:db8::1]:7443"] {
            assert!(At::peer(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:1:2",
            "a@b:1",
            "a/b:1",
            "a b:1",
            "a:+1",
            "2130706433:1",
            "127.1:1",
            "0x7f.1:x",
            "0x7f.1:1",
            "0X7f000001:1",
            "a.example.:1",
            "[::1]",
            "[::1]x:1",
            "a..b:1",
            "é:1",
        ] {
            assert_eq!(At::peer(bad), None, "{bad}");
        }
        for good in [
            "http://a",
            "https://a.example/",
            "http://10.0.0.1:80",
            "http://[::1]:9000",
        ] {
            assert!(At::endpoint(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "a",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://u@a",
            "http://a?b",
            "http://a#b",
            "http://a:x",
            "HTTP://a",
            "http://a//",
        ] {
            assert_eq!(At::endpoint(bad), None, "{bad}");
        }
        assert_eq!(At::endpoint("https://a"), At::endpoint("https://A:443/"));
        // An IPv4 address in the form of IPv6 is the same address.
        assert_eq!(At::peer("[::ffff:127.0.0.1]:1"), At::peer("127.0.0.1:1"));
    }

    #[test]
    fn lists_name_hosts_networks_and_ports() {
        let at = |text: &str| At::peer(text).unwrap();
        for (allowed, address, expect) in [
            ("db.example", "db.example:1", true),
            ("db.example", "DB.example:1", true),
            ("db.example:1", "db.example:2", false),
            ("db.example", "db.example.evil:1", false),
            ("10.1.0.0/16", "10.1.255.1:5", true),
            ("10.1.0.0/16", "10.2.0.1:5", false),
            ("10.1.0.0/16:5", "10.1.0.1:6", false),
            ("10.1.2.3", "10.1.2.3:9", true),
            ("10.1.2.3/32", "10.1.2.4:9", false),
            ("0.0.0.0/0", "8.8.8.8:9", true),
            ("0.0.0.0/0", "[2001:db8::1]:9", false),
            ("0.0.0.0/0", "a.example:9", false),
            ("[2001:db8::/32]:9", "[2001:db8:1::5]:9", true),
            ("[2001:db8::/32]:9", "[2001:db9::5]:9", false),
            ("[::/0]", "[fe80::1]:9", true),
            ("10.1.0.0/16", "[::ffff:10.1.0.1]:5", true),
        ] {
            assert!(check_list(&[allowed.to_owned()]).is_ok(), "{allowed}");
            assert_eq!(fits(&at(address), allowed), expect, "{allowed} {address}");
        }
        for bad in [
            "",
            "*",
            "10.0.0.0/33",
            "a/8",
            "10.0.0.0/8:0",
            "http://a",
            "::1/8",
            "a b",
        ] {
            assert!(check_list(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(check_list(&vec!["a".to_owned(); ENTRIES_MAX + 1]).is_err());
    }

    #[test]
    fn addresses_reach_differently_far() {
        let reach = |text: &str| At::peer(text).unwrap().reach();
        for (text, expect) in [
            ("127.9.9.9:1", Reach::Machine),
            ("localhost:1", Reach::Machine),
            ("x.localhost:1", Reach::Machine),
            ("0.0.0.0:1", Reach::Machine),
            ("[::1]:1", Reach::Machine),
            ("169.254.169.254:1", Reach::Link),
            ("[fe80::1]:1", Reach::Link),
            ("224.0.0.1:1", Reach::Link),
            ("10.0.0.1:1", Reach::Private),
            ("100.64.0.1:1", Reach::Private),
            ("[fd00::1]:1", Reach::Private),
            ("203.0.113.5:1", Reach::Public),
            ("a.example:1", Reach::Public),
        ] {
            assert_eq!(reach(text), expect, "{text}");
        }
    }
}
