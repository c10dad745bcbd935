//! What the types of a configuration cannot say: values that are impossible, or that contradict
//! each other. Each error names the key.

use std::net::SocketAddr;

use admin::failure::Failure;

use crate::{
    config::{Cloud, Config},
    logging, proxies,
    sso::ProviderConfig,
    tls::Tls,
};

impl Cloud {
    /// What the types cannot say of its times.
    fn check(&self) -> Result<(), Failure> {
        if self.certificate_life_s < 3 {
            return Err(Failure::new(
                "`cloud.certificate_life_s` must be at least 3",
            ));
        }
        // Regions that have nothing to say answer every 20 s.
        if self.stale_after_s < 30 {
            return Err(Failure::new("`cloud.stale_after_s` must be at least 30"));
        }
        if !(500..=60_000).contains(&self.promise_ms) {
            return Err(Failure::new("`cloud.promise_ms` must be from 500 to 60000"));
        }
        self.check_place()?;
        self.check_addresses()
    }

    fn check_place(&self) -> Result<(), Failure> {
        match types::Jurisdiction::named(&self.jurisdiction) {
            Ok(country) if country.is_country() => {}
            Ok(group) => {
                return Err(Failure::new(format!(
                    "{group} is a group of countries, and a region is in one: an ISO 3166-1 code \
                     such as AE"
                )));
            }
            Err(error) => return Err(Failure::new(error.to_string())),
        }
        cloud::check_position(self.latitude, self.longitude, &self.city)
            .map_err(|why| Failure::new(format!("[cloud]: {why}")))
    }

    fn check_addresses(&self) -> Result<(), Failure> {
        if let Some(endpoint) = &self.endpoint
            && !is_origin(endpoint)
        {
            return Err(Failure::new(format!(
                "`cloud.endpoint` is `{}`, which is no URL of a server",
                endpoint.escape_default()
            ))
            .hint("give https://HOST or https://HOST:PORT, without a path"));
        }
        if let Some(address) = &self.peer_address
            && !is_host_and_port(address)
        {
            return Err(Failure::new(format!(
                "`cloud.peer_address` is `{}`, which is no host with a port",
                address.escape_default()
            ))
            .hint("give HOST:PORT, such as dhow.example.net:9003"));
        }
        Ok(())
    }
}

/// Checks the files that a configuration names; nothing is written.
///
/// # Errors
/// A certificate or key cannot be read or used.
pub fn check_files(config: &Config) -> Result<(), Failure> {
    Tls::given(config).map(drop)
}

/// Whether a text is `http://HOST[:PORT]` or `https://HOST[:PORT]`.
fn is_origin(text: &str) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else {
        return false;
    };
    let scheme = matches!(url.scheme_str(), Some("http" | "https"));
    let host = url.host().is_some_and(|host| !host.is_empty());
    scheme && host && matches!(url.path(), "" | "/") && url.query().is_none()
}

/// Whether a text is `HOST:PORT`.
fn is_host_and_port(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    authority.is_ok_and(|a| {
        let port = a.port_u16().is_some_and(|port| port > 0);
        port && !a.host().is_empty() && !text.contains('@')
    })
}

/// Whether a text can be the last labels of a bucket's host.
fn is_host(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed)
}

impl Config {
    /// What the types cannot say.
    pub fn check(&self) -> Result<(), Failure> {
        // A folder may be older than the rules for new ids, which are asked at its first start.
        let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=63).contains(&self.region.len()) || !self.region.bytes().all(letter) {
            return Err(Failure::new(format!(
                "`{}` is not a region id: lower-case letters, digits and hyphens",
                self.region.escape_default()
            )));
        }
        for alias in &self.region_aliases {
            if !types::is_region_name(alias) {
                return Err(Failure::new(format!(
                    "`{}` is no name of a region: lower-case letters, digits and hyphens",
                    alias.escape_default()
                )));
            }
        }
        for domain in &self.domains {
            if !is_host(domain) {
                return Err(Failure::new(format!(
                    "`{}` in `domains` is no host name",
                    domain.escape_default()
                ))
                .hint("give the name alone, such as s3.example.net, without https:// and port"));
            }
        }
        logging::check_level(&self.log.level)?;
        self.buckets.read()?;
        self.sts.check()?;
        self.tls.check()?;
        self.proxies.check()?;
        proxies::check_clear_text(self)?;
        let proxies = !self.proxies.trusted.is_empty();
        self.console.check(self.tls.is_on(), proxies)?;
        ProviderConfig::check_all(&self.console.oidc, &self.sts)?;
        let encrypted = self.admin_plaintext || self.tls.is_on();
        if !self.admin.ip().is_loopback() && !encrypted {
            return Err(Failure::new(format!(
                "the admin API has no TLS, and {} is no loopback address",
                self.admin
            ))
            .hint(
                "give it a certificate (--tls, or [tls]), listen on 127.0.0.1 and put a tunnel in \
                 front of it, or say `admin_plaintext = true` (--admin-plaintext) if nobody else \
                 is on that network",
            ));
        }
        if self.cloud.join.is_some() && self.cloud.peer.is_none() {
            return Err(
                Failure::new("a region that joins needs a listener for other regions")
                    .hint("set `peer` under [cloud], or --peer HOST:PORT"),
            );
        }
        self.cloud.check()?;
        self.check_listeners()?;
        self.check_counts()
    }

    fn check_counts(&self) -> Result<(), Failure> {
        let of = &self.cloud;
        // A creation counts twice: with less than two nothing could be created.
        for (key, value) in [
            ("cloud.account_changes", of.account_changes),
            ("cloud.region_changes", of.region_changes),
            ("cloud.operator_changes", of.operator_changes),
        ] {
            if value < 2 {
                return Err(Failure::new(format!("`{key}` must be at least 2")));
            }
        }
        for (key, value) in [
            ("limits.connections", self.limits.connections),
            ("limits.requests", self.limits.requests),
            ("limits.account_requests", self.limits.account_requests),
        ] {
            if value == 0 {
                return Err(Failure::new(format!("`{key}` must be at least 1")));
            }
        }
        Ok(())
    }

    /// Two listeners cannot have one address.
    fn check_listeners(&self) -> Result<(), Failure> {
        let console = self.console.listen.filter(|_| !self.console.or_free);
        let listeners = [
            ("listen", Some(self.listen)),
            ("admin", Some(self.admin)),
            ("metrics", Some(self.metrics)),
            ("console.listen", console),
            ("cloud.peer", self.cloud.peer),
        ];
        let named = listeners.map(|(key, at)| at.map(|at| (key, at)));
        let named: Vec<(&str, SocketAddr)> = named.into_iter().flatten().collect();
        for (at, (key, one)) in named.iter().enumerate() {
            for (other, two) in named.iter().skip(at + 1) {
                let open = one.ip().is_unspecified() || two.ip().is_unspecified();
                let same = one.ip() == two.ip() || open && one.is_ipv4() == two.is_ipv4();
                if same && one.port() == two.port() && one.port() != 0 {
                    return Err(Failure::new(format!(
                        "`{key}` is {one} and `{other}` is {two}: two listeners cannot share a port"
                    ))
                    .hint("give each listener a port of its own"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_needs_loopback_a_proxy_or_a_word() {
        let check = |text: &str| Config::parse(text).unwrap().check();
        let open = "listen = \"0.0.0.0:9000\"\n";
        let refused = check(open).unwrap_err().to_string();
        assert!(refused.contains("0.0.0.0:9000 is no loopback"), "{refused}");
        assert!(check("listen = \"[::]:9000\"").is_err());
        for more in [
            "allow_clear_text = true",
            "[tls]\nmake = true",
            "[proxies]\ntrusted = [\"10.0.0.4\"]",
        ] {
            check(&format!("{open}{more}")).unwrap();
        }
        check("listen = \"127.0.0.2:9000\"").unwrap();
        check("listen = \"[::1]:9000\"").unwrap();
    }

    #[test]
    fn a_country_may_be_written_in_any_case_and_must_exist() {
        let check = |country: &str| {
            let mut config = Config::default();
            config.cloud.jurisdiction = country.to_owned();
            config.check().map_err(|e| e.to_string())
        };
        assert_eq!((check("ae"), check("ZZ")), (Ok(()), Ok(())));
        assert!(check("uk").unwrap_err().contains("perhaps GB"));
        assert!(check("QQ").is_err() && check("EU").unwrap_err().contains("group"));
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_their_key() {
        for (text, says) in [
            ("[log]\nlevel = \"loud\"", "`loud`"),
            ("[log]\nlevel = \"info,gateway=loud\"", "gateway=loud"),
            ("[cloud]\nlatitude = 130.0", "latitude"),
            ("[cloud]\nlongitude = -181.0", "longitude"),
            ("[cloud]\ncity = \"a\\u001bb\"", "city"),
            ("[cloud]\nendpoint = \"myhost\"", "`cloud.endpoint`"),
            ("[cloud]\nendpoint = \"https://a/b\"", "`cloud.endpoint`"),
            ("[cloud]\npeer_address = \"myhost\"", "`cloud.peer_address`"),
            ("domains = [\"http://x\"]", "`domains`"),
            (
                "listen = \"127.0.0.1:9000\"\n[cloud]\npeer = \"127.0.0.1:9000\"",
                "`cloud.peer`",
            ),
            ("admin = \"127.0.0.1:9000\"", "`admin`"),
        ] {
            let said = Config::parse(text)
                .unwrap()
                .check()
                .unwrap_err()
                .to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
        for text in [
            "[log]\nlevel = \"warn,gateway=debug\"",
            "[log]\nlevel = \"off\"",
            "[cloud]\nlatitude = -33.9\nlongitude = 151.2\ncity = \"Sydney\"",
            "[cloud]\nendpoint = \"https://s3.example.net\"\npeer_address = \"[::1]:9003\"",
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"",
        ] {
            Config::parse(text).unwrap().check().unwrap();
        }
    }
}
