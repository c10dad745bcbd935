//! The command line's side of the admin API: finds the running cloud through its data folder and
//! signs each request with the root key. Blocking: a command does one thing at a time.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use access::sign::{Signer, Unsigned, payload_sha256};
use listener::{Connector, Trust};
use serde::Serialize;
use serde_json::Value;
use types::{Clock, Random, SystemClock, SystemRandom};

use crate::{
    NOT_YET_IN, PREFIX,
    data_dir::{Credentials, DataDir, FleetFile, Running},
    failure::Failure,
};

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Characters of a line of an error that are shown.
const LINE_MAX: usize = 4096;

/// Speaks to one running cloud.
pub struct AdminClient {
    running: Running,
    credentials: Credentials,
}

/// The key of whoever runs a region that has no root key: where others put theirs too.
pub fn from_environment() -> Option<Credentials> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(Credentials {
        access_key: set("AWS_ACCESS_KEY_ID")?,
        secret_key: set("AWS_SECRET_ACCESS_KEY")?,
        account: String::new(),
    })
}

/// The process that runs on `dir`, and its own folder.
///
/// # Errors
/// None runs there; says what to do.
pub fn find_running(dir: &DataDir) -> Result<(DataDir, Running), Failure> {
    dir.must_be_readable()?;
    // The folder of a fleet means the region that keeps its registry.
    let keeper = FleetFile::read(dir.path()).map(|fleet| dir.join(&fleet.keeper));
    let dir = DataDir::new(keeper.as_deref().unwrap_or(dir.path()));
    let at = dir.path().display();
    match (dir.running(), dir.is_locked()) {
        (Some(running), true) => Ok((dir, running)),
        _ => Err(
            Failure::new(format!("no Dhow is running on {at}")).hint(format!(
                "start it with `dhow up --data {at}`, or name the data folder of the one that \
                 runs with --data or DHOW_DATA"
            )),
        ),
    }
}

impl AdminClient {
    /// Finds the cloud that runs on `dir`.
    pub fn find(dir: &DataDir) -> Result<Self, Failure> {
        let (dir, running) = find_running(dir)?;
        let credentials = dir.credentials().or_else(from_environment);
        let credentials = credentials.ok_or_else(|| {
            let joined = dir.join("membership.json").exists();
            Failure::new(format!(
                "cannot read {}",
                dir.join("credentials.json").display()
            ))
            .hint(match joined {
                true => {
                    "the root key is kept in the registry's region: put a key that may do this into \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                }
                false => "run this as the user that started the cloud",
            })
        })?;
        Ok(Self {
            running,
            credentials,
        })
    }

    /// The cloud whose admin API is at `url` (`https://host:port`, or `http://…` through a tunnel),
    /// which is that of `region`. Without a key of a profile's it is that of the environment.
    ///
    /// # Errors
    /// `url` is not of this form, or the region or the key is not named.
    pub fn remote(
        url: &str,
        region: Option<&str>,
        key: Option<Credentials>,
    ) -> Result<Self, Failure> {
        let address = url.trim_end_matches('/');
        let host = address
            .strip_prefix("https://")
            .or_else(|| address.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || host.contains('/') || !host.contains(':')) {
            return Err(
                Failure::new(format!("`{url}` is no address of an admin API")).hint(
                    "it has the form https://host:port; reach one without TLS on another machine \
                     through an SSH tunnel (ssh -L 9001:127.0.0.1:9001 HOST), as \
                     http://127.0.0.1:9001",
                ),
            );
        }
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| std::env::var(name).ok());
        let region = region
            .map(str::to_owned)
            .or_else(|| named.into_iter().flatten().next());
        let region = region.ok_or_else(|| {
            Failure::new("which region's admin API it is has to be said")
                .hint("name it with --admin-region or AWS_REGION: it is part of the signature")
        })?;
        let credentials = key.or_else(from_environment).ok_or_else(|| {
            Failure::new("no key to sign with").hint(
                "put an access key into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use \
                 --profile",
            )
        })?;
        Ok(Self {
            running: Running {
                admin: address.to_owned(),
                region,
                ..Running::default()
            },
            credentials,
        })
    }

    /// Where the admin API is, and which certificates to accept from it, where it has TLS. Of a
    /// process on this machine the certificate is known, whatever names it has.
    fn server(&self) -> (&str, Option<Trust>) {
        let Some(address) = self.running.admin.strip_prefix("https://") else {
            return (self.running.admin.trim_start_matches("http://"), None);
        };
        let known = self.running.certificate.clone().map(Trust::Certificate);
        (address, Some(known.unwrap_or_else(Trust::configured)))
    }

    /// Sends one request; the answer's JSON, or what the cloud says is wrong.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.call_within(TIMEOUT, method, path, body)
    }

    /// Sends one of the bodies of [`crate::bodies`].
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        self.call("POST", path, Some(&serde_json::to_value(body)?))
    }

    /// The same as [`Self::call`] with another wait for the answer.
    pub fn call_within(
        &self,
        wait: Duration,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let (address, trust) = self.server();
        let body = body.map(Value::to_string).unwrap_or_default();
        let sha = payload_sha256(body.as_bytes());
        let path = format!("{PREFIX}{path}");
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let mut signer = Signer::new(
            &self.credentials.access_key,
            &self.credentials.secret_key,
            &self.running.region,
        )
        .admin();
        // The same may be asked twice in one second; each is to be done.
        let mut nonce = [0; 16];
        SystemRandom.fill(&mut nonce);
        let nonce = hex::encode(nonce);
        let request = Unsigned {
            method,
            host: address,
            path,
            query,
            headers: &[("x-dhow-nonce", &nonce)],
            payload: &sha,
        };
        let signed = signer.sign(&request, SystemClock.now());
        let target = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-length: {}\r\nx-amz-content-sha256: {sha}\r\nx-amz-date: {}\r\n\
             x-dhow-nonce: {nonce}\r\nauthorization: {}\r\n\r\n",
            body.len(),
            signed.date,
            signed.authorization
        );
        let request = [head.as_bytes(), body.as_bytes()].concat();
        let answer = exchange(wait, address, trust.as_ref(), &request).map_err(|e| {
            let text = format!("the admin API at {address} does not answer: {e}");
            Failure::new(text).hint(match trust {
                Some(Trust::Authorities(_)) if e.to_string().contains("certificate") => {
                    "name the authority to trust in AWS_CA_BUNDLE (of a cloud that made its own, \
                     tls/authority.pem in its data folder)"
                }
                _ if self.running.pid == 0 => {
                    "does the region run, is the address right, and is the tunnel open, if there is \
                     one? `dhow doctor` on its machine says more"
                }
                _ => "`dhow doctor` may say why",
            })
        })?;
        let answer = read_answer(&answer)?;
        if let Some(late) = late(&answer) {
            eprintln!("{late}");
        }
        Ok(answer)
    }
}

/// Which regions may not know yet what was done, for people.
fn late(answer: &Value) -> Option<String> {
    let names = answer.get(NOT_YET_IN)?.as_array()?;
    let names = names.iter().filter_map(Value::as_str);
    let names: Vec<_> = names.map(|name| types::text::shown(name, 63)).collect();
    Some(format!(
        "Not known yet in {}: it holds there as soon as they have received it. All other regions \
         know it.",
        names.join(", ")
    ))
}

/// Sends one request to `address` (host:port) and reads the answer until the connection ends.
///
/// # Errors
/// Nobody answers there in time, or not as `trust` demands.
pub fn exchange(
    wait: Duration,
    address: &str,
    trust: Option<&Trust>,
    request: &[u8],
) -> std::io::Result<Vec<u8>> {
    let at = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| std::io::Error::other("the address names no host"))?;
    let stream = TcpStream::connect_timeout(&at, TIMEOUT)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut answer = Vec::new();
    match trust {
        None => {
            let mut stream = stream;
            stream.write_all(request)?;
            stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        }
        Some(trust) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            let host = host.trim_matches(['[', ']']);
            let connector = Connector::new(host, trust).map_err(std::io::Error::other)?;
            let mut stream = connector.connect(stream).map_err(std::io::Error::other)?;
            stream.write_all(request)?;
            stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        }
    }
    Ok(answer)
}

/// The JSON of an answer, or what it says is wrong.
///
/// # Errors
/// It is not 200, or cannot be read.
pub fn read_answer(answer: &[u8]) -> Result<Value, Failure> {
    let broken = || {
        Failure::new("the answer cannot be read").hint(
            "is the address right? S3, the admin API and the console have a port each: unless set \
             otherwise the admin API is one above S3, and the console four above",
        )
    };
    let text = std::str::from_utf8(answer).map_err(|_| broken())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).ok_or_else(broken)?;
    let value: Value = serde_json::from_str(body).map_err(|_| broken())?;
    if status == "200" {
        return Ok(value);
    }
    let message = value
        .get("error")
        .and_then(Value::as_str)
        .unwrap_or("the request failed");
    // Whoever answers may write anything: no line of it looks like one of the command's own.
    let lines = message
        .lines()
        .map(|line| types::text::shown(line, LINE_MAX));
    let failure = Failure::new(lines.collect::<Vec<_>>().join("\n  "));
    Err(match message {
        // The cloud does not say which: a stranger would learn which keys there are.
        "access denied" => failure.hint(
            "the access key, its secret or the clock of this machine is wrong, or the key is \
             disabled",
        ),
        refused if refused.starts_with("access denied: the role") => {
            failure.hint("docs/guide.md says what each role may, and who gives it")
        }
        _ => failure,
    })
}
