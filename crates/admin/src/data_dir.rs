//! The data folder: who may use it, and the small files beside the engine's.
//!
//! | file | holds |
//! |---|---|
//! | `lock` | an advisory lock, held while a process uses the folder |
//! | `master.key` | 64 hex digits, under which secrets are sealed |
//! | `credentials.json` | the root key pair |
//! | `admin-seen` | signatures of admin requests, and of IAM's: `admin_api::Seen` |
//! | `sts-seen` | signatures of STS's requests: `admin_api::Seen` |
//! | `registry-heard` | when the registry's region last answered, in milliseconds |
//! | `key-uses.json` | when access keys were last used: in the registry's region |
//! | `running.json` | the addresses of the running process |
//! | `kept-room` | nothing: room for the other small files, given up where the disk has no other |
//! | `identity.pem`, `authority.pem`, … | who the region is among others: `link::files` |
//! | `tls/` | the authority of `--tls`, and what an ACME server issued: `acme` |
//! | `journal/`, `extents/` | the engine's |
//!
//! All are readable by their owner only.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::failure::Failure;

const CREDENTIALS: &str = "credentials.json";
const HEARD: &str = "registry-heard";
const USES: &str = "key-uses.json";
const DRAINS: &str = "drains.json";
const RUNNING: &str = "running.json";
const KEPT_ROOM: &str = "kept-room";
/// Far more than the largest of the small files has.
const KEPT_ROOM_BYTES: u64 = 256 << 10;

/// A data folder.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// The root account's key pair.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
    /// The root account.
    pub account: String,
}

/// Where the running process listens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Running {
    /// The process.
    pub pid: u32,
    /// The S3 endpoint, a URL.
    pub endpoint: String,
    /// The admin API, a URL.
    pub admin: String,
    /// Health and metrics, a URL.
    pub metrics: String,
    /// Where other regions reach it (host:port); empty without a listener for them.
    #[serde(default)]
    pub peer: String,
    /// Where browsers reach the console; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// The region's id.
    pub region: String,
    /// The file of the certificate that the listeners show; absent without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The file of the authority that clients are to trust, if the cloud made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<PathBuf>,
}

/// What the folder of a fleet holds, for commands: the folders of its regions are below it.
#[derive(Debug, Serialize, Deserialize)]
pub struct FleetFile {
    /// The region that keeps the registry; its folder is beside this one.
    pub keeper: String,
    /// All regions, the keeper first.
    pub regions: Vec<String>,
}

impl FleetFile {
    /// Of the fleet in `dir`, if there is one.
    pub fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join("fleet.json")).ok()?).ok()
    }
}

/// Held as long as the folder is in use.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File); // the lock goes with the file

impl DataDir {
    /// Names a folder; creates nothing.
    pub fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Creates the folder if need be and takes it for this process alone.
    pub fn lock(&self) -> Result<Lock, Failure> {
        let wrong = |e: std::io::Error| {
            Failure::new(format!(
                "cannot use the data folder {}: {e}",
                self.0.display()
            ))
            .hint("choose another with --data, or give this user the right to write there")
        };
        fs::create_dir_all(&self.0).map_err(wrong)?;
        fs::set_permissions(&self.0, Permissions::from_mode(0o700)).map_err(wrong)?;
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(self.join("lock"))
            .map_err(wrong)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Failure::new(format!(
                "a Dhow is running on {} already{}",
                self.0.display(),
                self.running()
                    .map_or(String::new(), |r| format!(" (process {})", r.pid))
            ))
            .hint("stop it first, or start this one with another --data")
        })?;
        self.keep_room();
        Ok(Lock(file))
    }

    /// Refuses a folder that this user may not look into: it must not pass for one that nobody
    /// uses.
    ///
    /// # Errors
    /// It cannot be read; says what to do.
    pub fn must_be_readable(&self) -> Result<(), Failure> {
        let looked = fs::read_dir(&self.0).map(drop);
        match looked {
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(Failure::new(
                format!("cannot read {}: {e}", self.0.display()),
            )
            .hint(
                "run this as the user that runs Dhow (sudo -u USER …), or reach the cloud \
                         with --profile or --admin-url",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses the folder of a fleet, whose regions have a folder each below it.
    ///
    /// # Errors
    /// It is one; `next` says what to do, by the fleet.
    pub fn must_be_of_one_region(
        &self,
        next: impl FnOnce(&FleetFile) -> String,
    ) -> Result<(), Failure> {
        let Some(fleet) = FleetFile::read(&self.0) else {
            return Ok(());
        };
        let (at, many) = (self.0.display(), fleet.regions.len());
        Err(
            Failure::new(format!("{at} is the folder of a fleet of {many} regions"))
                .hint(next(&fleet)),
        )
    }

    /// Whether some process holds the folder.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.join("lock")) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
    }

    /// Whether there is a file of the root key pair, in whatever state.
    pub fn has_credentials(&self) -> bool {
        self.join(CREDENTIALS).exists()
    }
    /// The root key pair; a file that is there and cannot be read is an error.
    pub fn read_credentials(&self) -> Result<Option<Credentials>, Failure> {
        let path = self.join(CREDENTIALS);
        let broken = |why: String| {
            Failure::new(format!("cannot read {}: {why}", path.display())).hint(
                "restore it from a backup, or run `dhow key recover` on this data folder: it makes \
                 a new root key and writes the file anew",
            )
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| broken(e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(broken(e.to_string())),
        }
    }
    /// When the registry last answered, as the region noted it.
    pub fn registry_heard(&self) -> Option<types::Timestamp> {
        let text = fs::read_to_string(self.join(HEARD)).ok()?;
        text.trim().parse().ok().map(types::Timestamp::from_ms)
    }
    /// Notes when the registry last answered.
    pub fn note_registry_heard(&self, at: types::Timestamp) -> Result<(), Failure> {
        self.write_private(HEARD, at.ms().to_string().as_bytes())
    }
    /// When access keys were last used, as the registry's region noted it.
    pub fn key_uses(&self) -> Option<String> {
        fs::read_to_string(self.join(USES)).ok()
    }
    /// Notes when access keys were last used.
    pub fn note_key_uses(&self, text: &str) -> Result<(), Failure> {
        self.write_private(USES, text.as_bytes())
    }
    /// How far drains are, as the registry's region noted it.
    pub fn drains(&self) -> Option<String> {
        fs::read_to_string(self.join(DRAINS)).ok()
    }
    /// Notes how far drains are.
    pub fn note_drains(&self, text: &str) -> Result<(), Failure> {
        self.write_private(DRAINS, text.as_bytes())
    }
    /// The root key pair, if there is one.
    pub fn credentials(&self) -> Option<Credentials> {
        self.read_json(CREDENTIALS)
    }
    /// Where the process that holds the folder listens.
    pub fn running(&self) -> Option<Running> {
        self.read_json(RUNNING)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.join(name)).ok()?).ok()
    }

    /// Notes where this process listens. On a disk without any room the text goes over that of a
    /// process that was killed: nothing but this is lost if a crash comes in between.
    pub fn note_running(&self, running: &Running) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(running)?;
        let noted = self.write_private(RUNNING, &text);
        match noted {
            Err(failure) if failure.is_full() => self.write_over(RUNNING, text).or(Err(failure)),
            noted => noted,
        }
    }

    /// Writes JSON over a file that is there, in the room that it has.
    fn write_over(&self, name: &str, mut text: Vec<u8>) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.join(name))?;
        let there = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        // Blanks at the end are no part of it.
        text.resize(text.len().max(there), b' ');
        file.write_all(&text)?;
        file.sync_all()
    }

    /// Writes a small file whole: beside its place first, synced, then moved there; mode 0600. On a
    /// full disk it takes the room that is kept back for that.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.join(name);
        let failed = |e: std::io::Error| {
            let failure = Failure::new(format!("cannot write {}: {e}", path.display()));
            failure.caused_by(&e)
        };
        match self.write_beside(name, bytes).map_err(failed) {
            Err(failure) if failure.is_full() && self.gives_room_up() => {
                let written = self.write_beside(name, bytes).map_err(failed);
                self.keep_room();
                written
            }
            written => written,
        }
    }

    fn write_beside(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let (path, beside) = (self.join(name), self.join(&format!("{name}.new")));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        if let Err(error) = write() {
            // What was written of it takes room.
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        fs::rename(&beside, &path)?;
        File::open(&self.0)?.sync_all()
    }

    /// Makes sure that room is kept back for the small files, where there is any.
    pub fn keep_room(&self) {
        let path = self.join(KEPT_ROOM);
        let make = || -> std::io::Result<()> {
            let file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            if file.metadata()?.len() < KEPT_ROOM_BYTES {
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, KEPT_ROOM_BYTES)?;
                file.sync_all()?;
            }
            Ok(())
        };
        if make().is_err() {
            // Without all of its room it is no use, and a file system that cannot keep any back
            // needs none.
            let _ = fs::remove_file(&path);
        }
    }

    /// Answers whether there was any.
    fn gives_room_up(&self) -> bool {
        fs::remove_file(self.join(KEPT_ROOM)).is_ok()
    }

    /// The master key's text, made on first use.
    pub fn master_key(&self, random: &dyn types::Random) -> Result<cloud::MasterKey, Failure> {
        let path = self.join("master.key");
        match fs::read_to_string(&path) {
            Ok(text) => cloud::MasterKey::from_hex(&text).ok_or_else(|| {
                Failure::new(format!("{} is not a master key", path.display()))
                    .hint("restore it from a backup: without it no secret key can be read")
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if self.has_credentials() {
                    return Err(Failure::new(format!("{} is missing", path.display()))
                        .hint("restore it from a backup: without it no secret key can be read"));
                }
                let key = cloud::MasterKey::generate(random);
                self.write_private("master.key", key.to_hex().as_bytes())?;
                Ok(key)
            }
            Err(e) => Err(Failure::new(format!("cannot read {}: {e}", path.display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use types::SeededRandom;

    use super::*;

    fn folder() -> (tempfile::TempDir, DataDir) {
        let made = tempfile::tempdir().unwrap();
        let dir = DataDir::new(&made.path().join("data"));
        (made, dir)
    }

    #[test]
    fn a_folder_is_for_one_process_and_for_its_owner_alone() {
        let (_made, dir) = folder();
        assert!(!dir.is_locked());
        let lock = dir.lock().unwrap();
        let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(dir.is_locked());
        let running = Running {
            pid: 4711,
            ..Running::default()
        };
        let running = serde_json::to_vec(&running).unwrap();
        dir.write_private("running.json", &running).unwrap();
        let second = dir.lock().unwrap_err().to_string();
        assert!(second.contains("process 4711"), "{second}");
        drop(lock);
        assert!(!dir.is_locked());
        dir.lock().unwrap();
    }

    #[test]
    fn small_files_are_replaced_whole_and_read_by_their_owner_alone() {
        let (_made, dir) = folder();
        let _lock = dir.lock().unwrap();
        for text in ["a long first text", "short"] {
            dir.write_private("file", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), text);
        }
        let mode = fs::metadata(dir.join("file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!dir.join("file.new").exists());
    }

    #[test]
    fn the_addresses_of_a_process_go_over_those_before_in_the_room_that_they_have() {
        let (_made, dir) = folder();
        let _lock = dir.lock().unwrap();
        assert!(dir.join(KEPT_ROOM).exists());
        let long = Running {
            endpoint: "http://a.name.that.is.long.example:9000".to_owned(),
            ..Running::default()
        };
        dir.note_running(&long).unwrap();
        let room = fs::metadata(dir.join(RUNNING)).unwrap().len();
        let short = Running {
            pid: 4711,
            ..Running::default()
        };
        let text = serde_json::to_vec_pretty(&short).unwrap();
        dir.write_over(RUNNING, text).unwrap();
        assert_eq!(dir.running().unwrap().pid, 4711);
        assert_eq!(fs::metadata(dir.join(RUNNING)).unwrap().len(), room);
    }

    #[test]
    fn a_master_key_is_made_once_and_never_where_one_is_lost() {
        let (_made, dir) = folder();
        let _lock = dir.lock().unwrap();
        let random = SeededRandom::new(1);
        let first = dir.master_key(&random).unwrap().to_hex();
        assert_eq!(dir.master_key(&random).unwrap().to_hex(), first);
        // With secrets that were sealed, another key would read none of them.
        dir.write_private(CREDENTIALS, b"{}").unwrap();
        fs::remove_file(dir.join("master.key")).unwrap();
        let lost = dir.master_key(&random).map(|_| ()).unwrap_err();
        assert!(lost.to_string().contains("is missing"), "{lost}");
        assert!(!dir.join("master.key").exists());
        dir.write_private("master.key", b"no key").unwrap();
        assert!(dir.master_key(&random).is_err());
    }

    #[test]
    fn a_damaged_root_key_pair_is_an_error_and_none_is_not() {
        let (_made, dir) = folder();
        let _lock = dir.lock().unwrap();
        assert!(dir.read_credentials().unwrap().is_none());
        dir.write_private(CREDENTIALS, b"{\"access_key\":").unwrap();
        assert!(dir.read_credentials().is_err());
        assert!(dir.has_credentials() && dir.credentials().is_none());
    }

    #[test]
    fn what_a_region_noted_reads_back() {
        let (_made, dir) = folder();
        let _lock = dir.lock().unwrap();
        assert_eq!(dir.registry_heard(), None);
        let at = types::Timestamp::from_ms(1_234);
        dir.note_registry_heard(at).unwrap();
        assert_eq!(dir.registry_heard(), Some(at));
    }
}
