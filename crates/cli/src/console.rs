//! `dhow console`.

use std::{process::ExitCode, time::Duration};

use access::sign::{Signer, Unsigned, payload_sha256};
use admin::{
    client::{exchange, find_running, from_environment, read_answer},
    data_dir::Credentials,
    failure::Failure,
};
use clap::{Args, Subcommand};
use listener::Trust;
use serde_json::Value;
use types::{Clock, SystemClock, Timestamp, text::shown};

use crate::{profile::Profile, shown::print_json, which::Folder};

const WAIT: Duration = Duration::from_secs(30);
/// Characters of what a console says is wrong that are shown.
const MESSAGE_MAX: usize = 400;

/// The web console.
#[derive(Subcommand)]
pub enum ConsoleCommand {
    /// Print a link that signs a browser in to the web console.
    ///
    /// The link works once, for two minutes. The secret key stays here: it signs a challenge of
    /// that console, and no page of a browser asks for it. The session is the access key's, a
    /// user's too, and `dhow key disable` ends it.
    #[command(after_help = "\
Examples:
  dhow console login                       the console of the cloud that runs on --data
  dhow console login --url https://console.example.net
                                           with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
  dhow console login --profile acme        with the key and the console of a profile
  xdg-open \"$(dhow console login --json | jq -r .link)\"")]
    Login(Login),
}

/// Whose console, and with which key.
#[derive(Args)]
pub struct Login {
    /// The console, such as https://console.example.net. Without it, that of the cloud that runs
    /// on --data, or of --profile.
    #[arg(long, env = "DHOW_CONSOLE", value_name = "URL")]
    url: Option<String>,
    /// A key by the name of its profile in ~/.config/dhow/profiles.toml (or the file that
    /// DHOW_PROFILES names).
    #[arg(long, env = "DHOW_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: Folder,
}

/// A console, and who signs in there.
struct Site {
    /// `https://host:port`, as browsers name it.
    origin: String,
    /// The path that it is below; empty, or with a slash in front.
    base: String,
    credentials: Credentials,
    /// The certificates to accept from it, where it has TLS.
    trust: Option<Trust>,
}

impl ConsoleCommand {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Login(login) => login.run(),
        }
    }
}

impl Login {
    fn run(self) -> Result<ExitCode, Failure> {
        let site = self.site()?;
        let told = site.link()?;
        let link = told["link"].as_str().filter(|link| site.is_own(link));
        let (Some(link), Some(seconds)) = (link, told["seconds"].as_u64()) else {
            return Err(Failure::new("the console's answer has no link to itself"));
        };
        if self.json {
            print_json(&told);
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!(
            "Open this link in a browser within {} minutes. It works once, and signs in as {}:",
            seconds / 60,
            site.credentials.access_key
        );
        println!("{link}");
        Ok(ExitCode::SUCCESS)
    }

    fn site(&self) -> Result<Site, Failure> {
        let profile = self.profile.as_deref().map(Profile::read).transpose()?;
        let named = self.url.as_deref();
        let named = named.or_else(|| profile.as_ref()?.console.as_deref());
        let key = profile.as_ref().map(Profile::credentials);
        match (named, &profile) {
            (Some(url), _) => {
                let credentials = key.or_else(from_environment).ok_or_else(no_key)?;
                Site::remote(url, credentials)
            }
            (None, Some(_)) => Err(Failure::new("the profile names no console")
                .hint("name it with --url, or write console = \"https://host\" into the profile")),
            (None, None) => self.local(),
        }
    }

    /// The console of the process that runs on the data folder.
    fn local(&self) -> Result<Site, Failure> {
        let (dir, running) = find_running(&self.folder.dir())?;
        let origin = running.console.ok_or_else(|| {
            Failure::new(format!("region {} has no console", running.region))
                .hint("give it one with `listen` in the section [console] of its configuration")
        })?;
        let credentials = dir.credentials().or_else(from_environment);
        let mut site = Site::remote(&origin, credentials.ok_or_else(no_key)?)?;
        // Of a process on this machine the certificate is known, whatever names it has.
        if let (Some(trust), Some(known)) = (&mut site.trust, running.certificate) {
            *trust = Trust::Certificate(known);
        }
        Ok(site)
    }
}

fn no_key() -> Failure {
    Failure::new("no key to sign with").hint(
        "put an access key into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --profile",
    )
}

fn host_of(origin: &str) -> &str {
    origin.split_once("://").map_or("", |(_, host)| host)
}

/// Whether a host, perhaps with a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Site {
    fn remote(url: &str, credentials: Credentials) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/');
        let begins = url.find("://").map_or(0, |at| at + 3);
        let ends = url.get(begins..).and_then(|rest| rest.find('/'));
        let (origin, base) = url.split_at(ends.map_or(url.len(), |at| begins + at));
        let origin = origin.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        let host = origin.split_once("://").filter(|(scheme, host)| {
            matches!(*scheme, "http" | "https")
                && !host.is_empty()
                && !host.contains(['?', '#', '@', ' '])
                && base.chars().all(plain)
        });
        let Some((scheme, _)) = host else {
            return Err(Failure::new(format!("`{url}` is no address of a console"))
                .hint("it has the form https://host, https://host:port or https://host/path"));
        };
        let trust = (scheme == "https").then(Trust::configured);
        // Whoever reads a link on its way could open it first.
        if trust.is_none() && !is_loopback(host_of(&origin)) {
            return Err(
                Failure::new(format!("`{url}` would send the link in clear text"))
                    .hint("use https, or an SSH tunnel to the console and http://127.0.0.1:PORT"),
            );
        }
        Ok(Self {
            base: base.to_owned(),
            origin,
            credentials,
            trust,
        })
    }

    /// What `Host` says: the origin without its scheme.
    fn host(&self) -> &str {
        host_of(&self.origin)
    }

    /// Whether a link leads to this console, and is safe to print.
    fn is_own(&self, link: &str) -> bool {
        let rest = link.strip_prefix(&self.origin);
        let rest = rest.and_then(|rest| rest.strip_prefix(&*self.base));
        rest.is_some_and(|rest| rest.starts_with('/'))
            && link.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// Host and port to connect to.
    fn address(&self) -> String {
        let host = self.host();
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        match (after.contains(':'), &self.trust) {
            (true, _) => host.to_owned(),
            (false, Some(_)) => format!("{host}:443"),
            (false, None) => format!("{host}:80"),
        }
    }

    /// Asks for a challenge, signs it, and gets the link.
    fn link(&self) -> Result<Value, Failure> {
        let given = self.post(&[&self.base, "/-/challenge"].concat(), &[])?;
        let field = |name: &str| given[name].as_str().unwrap_or_default();
        let (challenge, region) = (field("challenge"), field("region"));
        // By the console's clock, as in a browser: this machine's may be wrong.
        let now = Timestamp::parse_iso_basic(field("now"));
        let now = now.unwrap_or_else(|| SystemClock.now());
        let path = &*[&self.base, "/-/link"].concat();
        let sha = payload_sha256(b"");
        let Credentials {
            access_key,
            secret_key,
            ..
        } = &self.credentials;
        let signed = Signer::new(access_key, secret_key, region).sign(
            &Unsigned {
                method: "POST",
                // A console that passes the challenge of another one on gets nothing: the name of
                // this one is signed.
                host: self.host(),
                path,
                query: "",
                headers: &[("x-dhow-challenge", challenge)],
                payload: &sha,
            },
            now,
        );
        self.post(
            path,
            &[
                ("x-dhow-challenge", challenge),
                ("x-amz-content-sha256", &sha),
                ("x-amz-date", &signed.date),
                ("authorization", &signed.authorization),
            ],
        )
    }

    fn post(&self, path: &str, headers: &[(&str, &str)]) -> Result<Value, Failure> {
        let (host, origin, address) = (self.host(), &self.origin, self.address());
        // HTTP/1.0, so that a proxy sends the answer in one piece.
        let mut head = format!(
            "POST {path} HTTP/1.0\r\nhost: {host}\r\norigin: {origin}\r\nuser-agent: dhow\r\n\
             content-length: 0\r\n"
        );
        for (name, value) in headers {
            // A console that is none could put anything into its challenge.
            if value.chars().any(char::is_control) {
                return Err(Failure::new("the console's challenge cannot be signed"));
            }
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let answer = exchange(WAIT, &address, self.trust.as_ref(), head.as_bytes());
        let answer = answer.map_err(|e| {
            Failure::new(format!("the console at {origin} does not answer: {e}")).hint(
                match e.to_string().contains("certificate") {
                    true => {
                        "name the authority to trust in AWS_CA_BUNDLE (of a cloud that made its \
                         own, tls/authority.pem in its data folder)"
                    }
                    false => "a browser opens the same address: try it there",
                },
            )
        })?;
        // Whoever answers there may have put anything into it.
        let told = |e: Failure| Failure::new(shown(&e.to_string(), MESSAGE_MAX).into_owned());
        read_answer(&answer).map_err(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(url: &str) -> Result<Site, Failure> {
        let credentials = Credentials {
            access_key: "K".into(),
            secret_key: "S".into(),
            account: String::new(),
        };
        Site::remote(url, credentials)
    }

    #[test]
    fn an_address_has_the_port_of_its_scheme() {
        for (url, host, address) in [
            ("https://c.example/", "c.example", "c.example:443"),
            ("http://LOCALHOST", "localhost", "localhost:80"),
            ("https://c.example:9443", "c.example:9443", "c.example:9443"),
            ("http://[::1]", "[::1]", "[::1]:80"),
            ("http://[::1]:9002", "[::1]:9002", "[::1]:9002"),
        ] {
            let site = site(url).unwrap();
            assert_eq!((site.host(), &*site.address()), (host, address));
        }
        let below = site("https://C.example/Ops/").unwrap();
        assert_eq!(
            (&*below.origin, &*below.base),
            ("https://c.example", "/Ops")
        );
        assert!(below.is_own("https://c.example/Ops/enter?code=1"));
        assert!(!below.is_own("https://c.example/enter?code=1"));
        for bad in [
            "",
            "c.example",
            "ftp://c",
            "https://",
            "https://c/x?y",
            "https://c/x y",
            "https://a@c",
            "http://c.example",
            "http://10.0.0.1:9002",
        ] {
            assert!(site(bad).is_err(), "{bad}");
        }
    }
}
