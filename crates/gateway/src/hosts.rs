//! The names under which a listener is reached. A signed request is for one host: whoever got it
//! under another name cannot have it done here.

use std::net::{IpAddr, SocketAddr};

use http::{Request, header::HOST, uri::Authority};

use crate::ServedAt;

/// The names of one listener.
#[derive(Debug)]
pub struct Hosts {
    /// Its port.
    port: u16,
    /// Whether it is reached at loopback addresses.
    on_loopback: bool,
    /// Names in lower case, with its own port.
    names: Vec<String>,
    /// Hosts as a client names them, in lower case.
    given: Vec<String>,
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

impl Hosts {
    /// Those of the listener that is bound to `at`. It has `names` at its own port, and is also
    /// reached as `given`: each a host, with a port where clients name one.
    pub fn new(at: SocketAddr, names: &[String], given: &[String]) -> Self {
        let ip = at.ip();
        Self {
            port: at.port(),
            on_loopback: ip.is_loopback() || ip.is_unspecified(),
            names: lower(names),
            given: lower(given),
        }
    }

    /// Whether a request that came over this listener is for it: its only `Host`, and the host of
    /// its target where that names one, are a name of the listener.
    ///
    /// # Errors
    /// Which host it is for.
    pub fn check<'r, B>(&self, request: &'r Request<B>) -> Result<(), &'r str> {
        let mut said = request.headers().get_all(HOST).iter();
        let host = said.next().and_then(|host| host.to_str().ok());
        let host = host.filter(|_| said.next().is_none()).unwrap_or_default();
        let same = |named: &Authority| named.as_str().eq_ignore_ascii_case(host);
        let named = request.uri().authority().is_none_or(same);
        let at = request.extensions().get::<ServedAt>().map(|at| at.0.ip());
        match (named && self.is_own(host, at)) || types::planted("admin-any-host") {
            true => Ok(()),
            false => Err(host),
        }
    }

    fn is_own(&self, host: &str, at: Option<IpAddr>) -> bool {
        let host = host.to_ascii_lowercase();
        if self.given.contains(&host) {
            return true;
        }
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        // A user name is no part of a host.
        if host.contains('@') || authority.port_u16() != Some(self.port) {
            return false;
        }
        let name = authority.host();
        let ip = name.trim_start_matches('[').trim_end_matches(']');
        match ip.parse::<IpAddr>() {
            Ok(ip) => {
                let is_here = at.is_some_and(|at| at.to_canonical() == ip.to_canonical());
                is_here || (self.on_loopback && ip.is_loopback())
            }
            Err(_) => {
                (self.on_loopback && name == "localhost")
                    || self.names.iter().any(|known| known == name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str], given: &[&str], at: &str) -> Hosts {
        let owned = |all: &[&str]| {
            all.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        Hosts::new(at.parse().unwrap(), &owned(names), &owned(given))
    }

    fn takes(hosts: &Hosts, target: &str, said: &[&str], at: Option<&str>) -> bool {
        let mut request = Request::builder().uri(target);
        for host in said {
            request = request.header(HOST, *host);
        }
        if let Some(at) = at {
            request = request.extension(ServedAt(at.parse().unwrap()));
        }
        hosts.check(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn a_request_for_another_host_is_not_for_this_listener() {
        let given = ["Admin.example.net", "127.0.0.1:19001"];
        let local = hosts(&[], &given, "127.0.0.1:9001");
        let at = Some("127.0.0.1:9001");
        for good in [
            "127.0.0.1:9001",
            "LOCALHOST:9001",
            "[::1]:9001",
            "admin.example.net",
            "127.0.0.1:19001",
        ] {
            assert!(takes(&local, "/x", &[good], at), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:9001",
            "127.0.0.1",
            "127.0.0.1:9002",
            "10.0.0.1:9001",
            "localhost",
            "u@localhost:9001",
            "admin.example.net:9001",
            "localhost.:9001",
            "",
        ] {
            assert!(!takes(&local, "/x", &[bad], at), "{bad}");
        }
        assert!(!takes(&local, "/x", &[], at));
        assert!(!takes(
            &local,
            "/x",
            &["127.0.0.1:9001", "127.0.0.1:9001"],
            at
        ));
        let absolute = |authority: &str, host: &str| {
            takes(&local, &format!("http://{authority}/x"), &[host], at)
        };
        assert!(absolute("localhost:9001", "localhost:9001"));
        assert!(!absolute("evil.example", "localhost:9001"));
        assert!(!absolute("localhost:9001", "evil.example"));
    }

    #[test]
    fn a_listener_on_all_addresses_is_known_by_the_one_that_was_reached() {
        let names = ["admin.example.net"];
        let all = hosts(&names, &[], "0.0.0.0:9001");
        let at = Some("10.0.0.1:9001");
        for good in ["10.0.0.1:9001", "admin.example.net:9001", "127.0.0.1:9001"] {
            assert!(takes(&all, "/x", &[good], at), "{good}");
        }
        for bad in ["10.0.0.2:9001", "10.0.0.1", "admin.example.net"] {
            assert!(!takes(&all, "/x", &[bad], at), "{bad}");
        }
        let one = hosts(&names, &[], "10.0.0.1:9001");
        assert!(!takes(&one, "/x", &["127.0.0.1:9001"], at));
        assert!(takes(&one, "/x", &["10.0.0.1:9001"], at));
    }
}
