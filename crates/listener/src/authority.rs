//! An authority for clouds that have no certificates of their own yet: whoever trusts its one
//! certificate trusts all listeners of the cloud.

use std::{
    fs::{self, TryLockError},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use types::Timestamp;

use crate::{
    Files, TlsError,
    certificates::{fits, good, read},
};

/// How long the authority is good: ten years.
const AUTHORITY_VALID: Duration = Duration::from_secs(3650 * 86_400);
/// How long a certificate is good, at most 398 days: browsers refuse longer ones.
const VALID: Duration = Duration::from_secs(397 * 86_400);
/// A certificate with less time left is made again.
const RENEW_BEFORE: Duration = Duration::from_secs(60 * 86_400);
/// How long another process may take to make the same.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks whether it is done.
const TURN_PAUSE: Duration = Duration::from_millis(10);
/// How far a client's clock may be behind.
const SKEW: Duration = Duration::from_secs(86_400);

/// An ECDSA P-256 authority in a folder: `authority.pem` and its key, `authority.key`. All clients
/// know the algorithm; browsers do not take Ed25519.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: PathBuf,
}

impl Authority {
    /// The authority in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// The files cannot be read or written, or are no authority.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, TlsError> {
        let at = Self::certificate_in(folder);
        let key_at = folder.join("authority.key");
        if !at.exists() {
            fs::create_dir_all(folder).map_err(|e| TlsError::File(folder.into(), e))?;
            let _turn = turn(&folder.join("authority.lock"))?;
            // Another process may have made it meanwhile.
            if !at.exists() {
                make(&at, &key_at, now)?;
            }
        }
        let text = |path: &Path| {
            let bytes = read(path)?;
            String::from_utf8(bytes).map_err(|e| TlsError::Content(path.into(), e.to_string()))
        };
        let content = |path: &Path, error: rcgen::Error| {
            TlsError::Content(path.into(), format!("it cannot be used: {error}"))
        };
        let key = KeyPair::from_pem(&text(&key_at)?).map_err(|e| content(&key_at, e))?;
        let issuer = Issuer::from_ca_cert_pem(&text(&at)?, key).map_err(|e| content(&at, e))?;
        Ok(Self {
            issuer,
            certificate: at,
        })
    }

    /// Where an authority in `folder` has its certificate, which clients are to trust.
    pub fn certificate_in(folder: &Path) -> PathBuf {
        folder.join("authority.pem")
    }

    /// The certificate that clients are to trust.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// A certificate for these names (DNS names and IP addresses) in `folder`: the one that is
    /// there, if it is for the same names and long enough, or a new one.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn keep(
        &self,
        folder: &Path,
        wanted: &[String],
        now: Timestamp,
    ) -> Result<Files, TlsError> {
        let files = Files {
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        let recorded = folder.join("server.names");
        // The key, the certificate and their names are three files: one process at a time looks at
        // them and writes them.
        let _turn = turn(&folder.join("server.lock"))?;
        let text = wanted.join("\n");
        let same = fs::read_to_string(&recorded).is_ok_and(|found| found == text);
        let left_ms = || {
            let found = crate::certificates::leaf(&files.certificate).ok()?;
            let left = good(&found)?.not_after.ms().saturating_sub(now.ms());
            fits(&files).then_some(u128::from(left))
        };
        if same && left_ms().is_some_and(|left| left >= RENEW_BEFORE.as_millis()) {
            return Ok(files);
        }
        let made = self.certify(&files, wanted, now);
        match made.and_then(|()| write(&recorded, &text)) {
            // Clients are shown the old one until there is room.
            Err(error) if error.is_full() && left_ms().is_some_and(|left| left > 0) => {
                tracing::error!(%error, "the TLS certificate is not made again");
                Ok(files)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(files),
        }
    }

    /// Makes a certificate with a new key.
    fn certify(&self, files: &Files, wanted: &[String], now: Timestamp) -> Result<(), TlsError> {
        let mut params = blank("Dhow", now, VALID);
        for name in wanted {
            let name = match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            };
            params.subject_alt_names.push(name);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let made = params.signed_by(&key, &self.issuer)?;
        // Both are written before one of them is in place: on a full disk, none is.
        let key = Fresh::write(&files.key, &key.serialize_pem())?;
        let certificate = Fresh::write(&files.certificate, &made.pem())?;
        key.place()?;
        certificate.place()
    }
}

fn make(at: &Path, key_at: &Path, now: Timestamp) -> Result<(), TlsError> {
    let mut params = blank("Dhow authority of this cloud", now, AUTHORITY_VALID);
    // Nothing that it signs may sign in turn.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let made = params.self_signed(&key)?;
    write(key_at, &key.serialize_pem())?;
    write(at, &made.pem())
}

fn blank(name: &str, now: Timestamp, valid: Duration) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(now.s());
    let mut params = CertificateParams::default();
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + valid;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Waits until no other process makes what this lock is for; the turn ends when it is dropped.
fn turn(path: &Path) -> Result<fs::File, TlsError> {
    let failed = |e| TlsError::File(path.into(), e);
    let mut options = fs::OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() > TURN_WITHIN => {
                let why = "another process holds it";
                return Err(failed(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(TURN_PAUSE),
        }
    }
}

/// A name beside a file that no other file, thread or process has.
fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{next}.new", process::id()));
    path.with_file_name(name)
}

/// Writes a file whole, for its owner only: beside its place first, then moved there.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    Fresh::write(path, text)?.place()
}

/// A file that was written beside its place. It goes when it is not moved there: it may be a key.
struct Fresh<'p> {
    path: &'p Path,
    beside: PathBuf,
}

impl<'p> Fresh<'p> {
    fn write(path: &'p Path, text: &str) -> Result<Self, TlsError> {
        let fresh = Self {
            path,
            beside: beside(path),
        };
        let write = || {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh.beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|e| TlsError::File(path.into(), e))?;
        Ok(fresh)
    }

    fn place(self) -> Result<(), TlsError> {
        let moved = fs::rename(&self.beside, self.path);
        moved.map_err(|e| TlsError::File(self.path.into(), e))
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        // That it cannot be removed says nothing new.
        let _ = fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_s(1_700_000_000);
    const DAY_S: u64 = 86_400;

    #[test]
    fn a_certificate_stays_until_its_names_or_its_time_call_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), NOW).unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let read = |files: &Files| fs::read(&files.certificate).unwrap();
        let files = authority.keep(dir.path(), &names, NOW).unwrap();
        let first = read(&files);
        let later = Timestamp::from_s(NOW.s() + 300 * DAY_S);
        authority.keep(dir.path(), &names, later).unwrap();
        assert_eq!(read(&files), first);
        authority.keep(dir.path(), &names[..1], later).unwrap();
        let second = read(&files);
        assert_ne!(second, first);
        let last = Timestamp::from_s(NOW.s() + 650 * DAY_S);
        // Another process's authority is the same one.
        let again = Authority::open(dir.path(), last).unwrap();
        again.keep(dir.path(), &names[..1], last).unwrap();
        assert_ne!(read(&files), second);
        assert!(fits(&files));
        // A key that a crash left beside another certificate.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        again.keep(dir.path(), &names[..1], last).unwrap();
        assert!(fits(&files));
    }

    #[test]
    fn those_who_start_at_once_end_with_a_key_that_fits() {
        for _ in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let begin = std::sync::Barrier::new(4);
            let made = || {
                begin.wait();
                let authority = Authority::open(dir.path(), NOW)?;
                authority.keep(dir.path(), &["localhost".to_owned()], NOW)
            };
            let all: Vec<Files> = std::thread::scope(|scope| {
                let started: Vec<_> = (0..4).map(|_| scope.spawn(made)).collect();
                let ended = started.into_iter().map(|one| one.join().unwrap());
                ended.map(Result::unwrap).collect()
            });
            assert!(fits(&all[0]));
            let of_authority = Files {
                certificate: Authority::certificate_in(dir.path()),
                key: dir.path().join("authority.key"),
            };
            assert!(fits(&of_authority));
            let mut names: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.retain(|name| name.ends_with(".new"));
            assert_eq!(names, [""; 0]);
        }
    }
}
