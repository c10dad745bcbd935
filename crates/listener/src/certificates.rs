//! The certificates that a listener shows.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;
use types::Timestamp;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use crate::{
    authority::write,
    challenges::{ACME_TLS, Challenges, asks},
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The longest file that is read, in bytes: a chain of certificates has a few thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The protocols inside, by ALPN (RFC 7301).
pub(crate) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot read {path}: {why}", path = .0.display(), why = .1)]
    File(PathBuf, #[source] io::Error),
    /// A file does not have what it is to have.
    #[error("{path}: {why}", path = .0.display(), why = .1)]
    Content(PathBuf, String),
    /// The TLS library refuses it.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Made(#[from] rcgen::Error),
}

impl TlsError {
    /// Whether the reason is that there is no room on the disk.
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::File(_, error) if full.contains(&error.kind()))
    }
}

/// Where a certificate and its key are, each a PEM file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, followed by those between it and the root.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// What shows that a file changed or another one took its place: number, time of the last change of
/// either, length.
type Mark = Option<(u64, (i64, i64), u64)>;

/// What a certificate is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Good {
    /// Lower-case DNS names; one that begins with `*.` is for one label in that place.
    pub names: Vec<String>,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it stops.
    pub not_after: Timestamp,
}

/// One certificate with its key.
#[derive(Debug)]
struct Named {
    key: Arc<CertifiedKey>,
    good: Good,
}

/// All certificates of a listener.
#[derive(Debug, Clone)]
struct Set {
    /// Those that are named.
    given: Vec<Arc<Named>>,
    /// That of the ACME server.
    issued: Option<Arc<Named>>,
}

/// The certificates of a listener, and its TLS configuration.
#[derive(Debug)]
pub struct Certificates {
    files: Vec<Files>,
    /// The file of an ACME server's certificate and its key, where there is to be one.
    issued: Option<PathBuf>,
    challenges: Arc<Challenges>,
    set: Arc<ArcSwap<Set>>,
    pub(crate) config: Arc<ServerConfig>,
    /// The same, with HTTP/2 offered first.
    pub(crate) with_http2: Arc<ServerConfig>,
}

impl Certificates {
    /// Reads the files. The first certificate is for clients that ask for a name which no
    /// certificate has, or for none.
    ///
    /// # Errors
    /// A file is missing or is no PEM; a key is not that of its certificate; no file is named.
    pub fn read(files: Vec<Files>) -> Result<Arc<Self>, TlsError> {
        let set = Set::read(&files, &ring::default_provider())?;
        match set.given.is_empty() {
            true => Err(rustls::Error::NoCertificatesPresented.into()),
            false => Self::new(files, None, set),
        }
    }

    /// Reads the files, of which there may be none, and the one in which [`Certificates::keep`]
    /// leaves what an ACME server issues. That may be missing, or damaged: then another is to be
    /// asked for. Clients that ask for a proof of a name get it where it was opened.
    ///
    /// # Errors
    /// As [`Certificates::read`].
    pub fn read_with_issued(files: Vec<Files>, issued: PathBuf) -> Result<Arc<Self>, TlsError> {
        let provider = ring::default_provider();
        let mut set = Set::read(&files, &provider)?;
        set.issued = match Named::of_one_file(&issued, &provider) {
            Ok(named) => Some(Arc::new(named)),
            Err(TlsError::File(_, e)) if e.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(%error, "the certificate of the ACME server cannot be used");
                None
            }
        };
        Self::new(files, Some(issued), set)
    }

    fn new(files: Vec<Files>, issued: Option<PathBuf>, set: Set) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let set = Arc::new(ArcSwap::from_pointee(set));
        let challenges: Arc<Challenges> = Arc::default();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Chosen {
                set: Arc::clone(&set),
                challenges: Arc::clone(&challenges),
            }));
        config.alpn_protocols = vec![HTTP1.to_vec()];
        if issued.is_some() {
            // Last: whoever offers another protocol as well gets that.
            config.alpn_protocols.push(ACME_TLS.to_vec());
        }
        // Clients that come again need no second full handshake.
        config.ticketer = ring::Ticketer::new()?;
        let mut with_http2 = config.clone();
        with_http2.alpn_protocols.insert(0, HTTP2.to_vec());
        Ok(Arc::new(Self {
            files,
            issued,
            challenges,
            set,
            with_http2: Arc::new(with_http2),
            config: Arc::new(config),
        }))
    }

    /// When the first of the certificates stops being valid; 0 while one is to be issued and none
    /// is there.
    pub fn not_after(&self) -> Timestamp {
        let set = self.set.load();
        let ends = set.all().map(|one| one.good.not_after).min();
        let lacks = self.issued.is_some() && set.issued.is_none();
        ends.filter(|_| !lacks).unwrap_or(Timestamp::from_ms(0))
    }

    /// The file of the certificate that is shown to whoever asks for no known name.
    pub fn first(&self) -> Option<&Path> {
        let given = self.files.first().map(|one| &*one.certificate);
        given.or(self.issued.as_deref())
    }

    /// Whether there is none to show.
    pub fn is_empty(&self) -> bool {
        self.set.load().all().next().is_none()
    }

    /// What the certificate of an ACME server is good for, if there is one.
    pub fn issued(&self) -> Option<Good> {
        let set = self.set.load();
        set.issued.as_ref().map(|one| one.good.clone())
    }

    /// Lets an ACME server find the proof for `name` in handshakes from here on. `digest` is the
    /// SHA-256 of the key authorization (RFC 8555 section 8.1).
    ///
    /// # Errors
    /// The proof cannot be made.
    pub fn open_challenge(&self, name: &str, digest: &[u8]) -> Result<(), TlsError> {
        let provider = self.config.crypto_provider();
        self.challenges.open(name, digest, provider)
    }

    /// Gives no proofs any more.
    pub fn end_challenges(&self) {
        self.challenges.end();
    }

    /// Keeps what an ACME server issued, a private key and the chain of certificates in one text,
    /// so that no crash leaves one without the other. Handshakes from here on show it.
    ///
    /// # Errors
    /// The key is not that of the certificate, a name of `wanted` is not in it, or it cannot be
    /// written. What was there before stays.
    pub fn keep(&self, text: &str, wanted: &[String]) -> Result<Good, TlsError> {
        let path = self.issued.as_deref().unwrap_or(Path::new(""));
        let wrong = |why: String| TlsError::Content(path.into(), why);
        let provider = self.config.crypto_provider();
        let named = Named::of_text((path, text.as_bytes()), (path, text.as_bytes()), provider)?;
        let names = &named.good.names;
        if let Some(name) = wanted.iter().find(|name| !names.contains(name)) {
            return Err(wrong(format!("the certificate is not for {name}")));
        }
        write(path, text)?;
        let (good, named) = (named.good.clone(), Arc::new(named));
        self.set.rcu(|now| Set {
            issued: Some(Arc::clone(&named)),
            ..Set::clone(now)
        });
        Ok(good)
    }

    /// Reads the files again. Handshakes from here on show what they have; connections that are
    /// open go on.
    ///
    /// # Errors
    /// As [`Certificates::read`]; what was read before stays.
    pub fn read_again(&self) -> Result<(), TlsError> {
        let read = Set::read(&self.files, self.config.crypto_provider())?;
        // What is issued changes by `keep` alone.
        self.set.rcu(|now| Set {
            issued: now.issued.clone(),
            ..read.clone()
        });
        Ok(())
    }

    /// Reads the files again whenever they change, until the task is dropped. A certificate and
    /// a key that do not belong together are tried again: whoever writes them writes one after the
    /// other.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.marks();
        let mut failing = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.marks();
            if now == seen && !failing {
                continue;
            }
            let this = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || this.read_again()).await;
            match read {
                Ok(Ok(())) => {
                    let not_after = self.not_after().iso8601();
                    tracing::info!(not_after, "the TLS certificates were read again");
                    failing = false;
                }
                Ok(Err(error)) => {
                    if !failing || now != seen {
                        tracing::error!(%error, "the TLS certificates that were read before stay");
                    }
                    failing = true;
                }
                Err(error) => tracing::error!(%error, "reading the TLS certificates broke"),
            }
            seen = now;
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let both = self.files.iter().flat_map(|f| [&f.certificate, &f.key]);
        both.map(|path| mark(path)).collect()
    }
}

fn mark(path: &Path) -> Mark {
    let found = fs::metadata(path).ok()?;
    let changed = (found.ctime(), found.ctime_nsec());
    Some((found.ino(), changed, found.len()))
}

impl Set {
    fn read(files: &[Files], provider: &CryptoProvider) -> Result<Self, TlsError> {
        let given = files.iter().map(|f| Named::read(f, provider).map(Arc::new));
        let given = given.collect::<Result<_, _>>()?;
        Ok(Self {
            given,
            issued: None,
        })
    }

    /// In the order in which they are asked for a name.
    fn all(&self) -> impl Iterator<Item = &Named> {
        self.given.iter().chain(&self.issued).map(|one| &**one)
    }

    /// The certificate for a name: one that has it, then one that has it by a wildcard, then the
    /// first.
    fn choose(&self, name: Option<&str>) -> Option<&Named> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let has = |wanted: &str| {
            let is = |named: &&Named| named.good.names.iter().any(|name| name == wanted);
            self.all().find(is)
        };
        has(&name)
            .or_else(|| wildcard.as_deref().and_then(has))
            .or_else(|| self.all().next())
    }
}

impl Named {
    fn read(files: &Files, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let (certificate, key) = (&*files.certificate, &*files.key);
        let texts = (read(certificate)?, read(key)?);
        Self::of_text((certificate, &texts.0), (key, &texts.1), provider)
    }

    /// A file that has the key and the certificate.
    fn of_one_file(path: &Path, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let text = read(path)?;
        Self::of_text((path, &text), (path, &text), provider)
    }

    /// Of texts in PEM, each with the file that it is of.
    fn of_text(
        (certificate, text): (&Path, &[u8]),
        (key, key_text): (&Path, &[u8]),
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let wrong = |path: &Path, why: &str| TlsError::Content(path.into(), why.to_owned());
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(text).collect();
        let chain = chain.map_err(|_| wrong(certificate, "it is not PEM"))?;
        let leaf = chain
            .first()
            .ok_or_else(|| wrong(certificate, "it has no certificate"))?;
        let good = good(leaf).ok_or_else(|| wrong(certificate, "it is no X.509 certificate"))?;
        let found = PrivateKeyDer::from_pem_slice(key_text)
            .map_err(|_| wrong(key, "it has no private key in PEM"))?;
        let found =
            CertifiedKey::from_der(chain, found, provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    let why = format!("it is not the key of {}", certificate.display());
                    wrong(key, &why)
                }
                other => wrong(key, &other.to_string()),
            })?;
        Ok(Self {
            key: Arc::new(found),
            good,
        })
    }
}

/// Whether the key is that of the certificate.
pub(crate) fn fits(files: &Files) -> bool {
    Named::read(files, &ring::default_provider()).is_ok()
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |e| TlsError::File(path.to_owned(), e);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(TlsError::Content(path.into(), "it is too long".to_owned()));
    }
    fs::read(path).map_err(failed)
}

/// The first certificate of a file.
pub(crate) fn leaf(path: &Path) -> Result<CertificateDer<'static>, TlsError> {
    let text = read(path)?;
    CertificateDer::from_pem_slice(&text)
        .map_err(|_| TlsError::Content(path.into(), "it has no certificate in PEM".to_owned()))
}

/// What a certificate is good for.
pub(crate) fn good(der: &[u8]) -> Option<Good> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let found = certificate.subject_alternative_name().ok()?;
    let all = found.map(|found| found.value.general_names.as_slice());
    let dns = all.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let at = |seconds: i64| u64::try_from(seconds).ok().map(Timestamp::from_s);
    let valid = certificate.validity();
    Some(Good {
        names: dns.collect(),
        not_before: at(valid.not_before.timestamp())?,
        not_after: at(valid.not_after.timestamp())?,
    })
}

/// Chooses by the name that the client asks for (SNI, RFC 6066 section 3).
#[derive(Debug)]
struct Chosen {
    set: Arc<ArcSwap<Set>>,
    challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if asks(&hello) {
            return self.challenges.of(hello.server_name());
        }
        let set = self.set.load();
        set.choose(hello.server_name())
            .map(|named| Arc::clone(&named.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    const NOW: Timestamp = Timestamp::from_s(1_700_000_000);

    fn made(dir: &Path, name: &str, names: &[&str]) -> Files {
        let authority = Authority::open(&dir.join("authority"), NOW).unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let folder = dir.join(name);
        fs::create_dir(&folder).unwrap();
        authority.keep(&folder, &names, NOW).unwrap()
    }

    #[test]
    fn the_name_that_a_client_asks_for_chooses_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let files = vec![
            made(dir.path(), "first", &["a.example"]),
            made(dir.path(), "second", &["*.b.example", "b.example"]),
            made(dir.path(), "third", &["c.b.example"]),
        ];
        let provider = ring::default_provider();
        let set = Set::read(&files, &provider).unwrap();
        let at = |name: Option<&str>| {
            let found = set.choose(name).unwrap();
            set.all().position(|n| std::ptr::eq(n, found)).unwrap()
        };
        for (name, expected) in [
            (None, 0),
            (Some("a.example"), 0),
            (Some("elsewhere.example"), 0),
            (Some("B.Example"), 1),
            (Some("bucket.b.example"), 1),
            (Some("two.labels.b.example"), 0),
            (Some("c.b.example"), 2),
        ] {
            assert_eq!(at(name), expected, "{name:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named_and_what_was_read_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (
            made(dir.path(), "one", &["a.example"]),
            made(dir.path(), "other", &["b.example"]),
        );
        let mixed = Files {
            key: other.key.clone(),
            ..one.clone()
        };
        let refused = Certificates::read(vec![mixed]).unwrap_err().to_string();
        assert!(refused.contains("is not the key of"), "{refused}");
        let missing = Files {
            key: dir.path().join("nothing"),
            ..one.clone()
        };
        let refused = Certificates::read(vec![missing]).unwrap_err().to_string();
        assert!(refused.starts_with("cannot read"), "{refused}");
        assert!(Certificates::read(Vec::new()).is_err());

        let all = Certificates::read(vec![one.clone()]).unwrap();
        fs::copy(&other.certificate, &one.certificate).unwrap();
        all.read_again().unwrap_err();
        assert_eq!(all.set.load().given[0].good.names, ["a.example"]);
        fs::copy(&other.key, &one.key).unwrap();
        all.read_again().unwrap();
        assert_eq!(all.set.load().given[0].good.names, ["b.example"]);
    }
}
