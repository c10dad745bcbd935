//! Signatures that changed something, so that none does it twice. Whoever saw a signed request
//! could send it again for as long as its date is accepted; what is remembered here reaches as far,
//! over restarts too.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use http::StatusCode;
use parking_lot::Mutex;
use types::limits::CLOCK_SKEW_S_MAX;

use super::Refused;
use crate::{data_dir::DataDir, failure::Failure};

/// The file, in the data folder: a line for each signature.
const FILE: &str = "admin-seen";
/// A signature dated as far ahead as is accepted is accepted for twice the tolerance.
const KEPT_S: u64 = 2 * CLOCK_SKEW_S_MAX;
/// Signatures that are remembered at once.
const ALL_MAX: usize = 65_536;
/// Of one account.
const ACCOUNT_MAX: usize = 4_096;
/// Left for whoever administers the cloud.
const RESERVE: usize = 8_192;
/// Lines that the file may have beside those that count, before it is written anew.
const SPARE_LINES: usize = 4_096;
/// Longest file that is read: far more than is ever written.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Who signed, for the bounds.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The signature, as it was sent: 64 digits.
    pub signature: String,
    /// The account of the key.
    pub account: String,
    /// Whether it administers the cloud.
    pub root: bool,
}

struct Entry {
    until_s: u64,
    account: String,
}

#[derive(Default)]
struct Known {
    entries: HashMap<String, Entry>,
    of_account: HashMap<String, usize>,
    lines: usize,
}

/// The signatures of changes, in memory and in a file.
pub struct Seen {
    dir: DataDir,
    known: Mutex<Known>,
}

impl Known {
    fn forget_expired(&mut self, now_s: u64) {
        let of_account = &mut self.of_account;
        self.entries.retain(|_, entry| {
            let stays = entry.until_s >= now_s;
            if !stays && let Some(count) = of_account.get_mut(&entry.account) {
                *count = count.saturating_sub(1);
            }
            stays
        });
        of_account.retain(|_, count| *count > 0);
    }

    fn add(&mut self, signature: String, entry: Entry) {
        *self.of_account.entry(entry.account.clone()).or_default() += 1;
        self.entries.insert(signature, entry);
    }

    fn is_full_for(&self, signed: &Signed) -> bool {
        let most = match signed.root {
            true => ALL_MAX,
            false => ALL_MAX - RESERVE,
        };
        let own = self.of_account.get(&signed.account).copied();
        self.entries.len() >= most || (!signed.root && own.unwrap_or_default() >= ACCOUNT_MAX)
    }
}

fn line(signature: &str, entry: &Entry) -> String {
    format!("{} {signature} {}\n", entry.until_s, entry.account)
}

/// A line that was written whole; what a crash left of one was not answered yet.
fn read_line(line: &str) -> Option<(String, Entry)> {
    let (until, rest) = line.split_once(' ')?;
    let (signature, account) = rest.split_once(' ')?;
    let entry = Entry {
        until_s: until.parse().ok()?,
        account: account.to_owned(),
    };
    (signature.len() == 64).then(|| (signature.to_owned(), entry))
}

impl Seen {
    /// What was seen before in this folder.
    pub fn open(dir: &DataDir, now_s: u64) -> Result<Self, Failure> {
        let path = dir.join(FILE);
        let wrong = |e: std::io::Error| {
            Failure::new(format!("cannot read {}: {e}", path.display())).hint(
                "it keeps signed admin requests from being used twice; without it, start again \
                 half an hour after the last one",
            )
        };
        let mut known = Known::default();
        match OpenOptions::new().read(true).open(&path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(FILE_BYTES_MAX)
                    .read_to_end(&mut bytes)
                    .map_err(wrong)?;
                let text = String::from_utf8_lossy(&bytes);
                for (signature, entry) in text.lines().filter_map(read_line) {
                    known.add(signature, entry);
                }
                known.forget_expired(now_s);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(wrong(e)),
        }
        let seen = Self {
            dir: dir.clone(),
            known: Mutex::default(),
        };
        seen.write_all(&mut known)?;
        *seen.known.lock() = known;
        Ok(seen)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn write_all(&self, known: &mut Known) -> Result<(), Failure> {
        let lines = known.entries.iter().map(|(s, e)| line(s, e));
        let text: String = lines.collect();
        self.dir.write_private(FILE, text.as_bytes())?;
        known.lines = known.entries.len();
        Ok(())
    }

    /// Takes a signature for the change that it asks for; a second time it is refused. It is on the
    /// disk when this returns. Blocking.
    pub fn take(&self, signed: &Signed, now_s: u64) -> Result<(), Refused> {
        let mut known = self.known.lock();
        known.forget_expired(now_s);
        if known.entries.contains_key(&signed.signature) {
            tracing::warn!(
                account = signed.account,
                "a signed admin request came twice"
            );
            return Err((
                StatusCode::CONFLICT,
                "this signed request was used before and changes nothing again: sign it anew, \
                 with an x-dhow-nonce header where the same is asked twice in a second"
                    .to_owned(),
            ));
        }
        if known.is_full_for(signed) {
            return Err((
                StatusCode::SERVICE_UNAVAILABLE,
                "too many changes were asked for in the last half hour: try again later".to_owned(),
            ));
        }
        let entry = Entry {
            until_s: now_s + KEPT_S,
            account: signed.account.clone(),
        };
        let written = self.append(&line(&signed.signature, &entry));
        // Without a place to remember it nothing is changed: it could be sent again.
        written.map_err(|e| {
            tracing::error!(error = %e, path = %self.path().display(), "an admin request was refused");
            let why = format!("the request cannot be remembered, so it changes nothing: {e}");
            (StatusCode::SERVICE_UNAVAILABLE, why)
        })?;
        known.add(signed.signature.clone(), entry);
        known.lines += 1;
        if known.lines > 2 * known.entries.len() + SPARE_LINES
            && let Err(error) = self.write_all(&mut known)
        {
            tracing::warn!(%error, "signatures that are no longer needed were not dropped");
        }
        Ok(())
    }

    fn append(&self, line: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .mode(0o600)
            .open(self.path())?;
        // On a line of its own, whatever a write before left that broke off.
        file.write_all(format!("\n{line}").as_bytes())?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(n: usize, account: &str) -> Signed {
        Signed {
            signature: format!("{n:064x}"),
            account: account.to_owned(),
            root: account == "root",
        }
    }

    fn folder(name: &str) -> DataDir {
        let folder = std::env::temp_dir().join(format!("dhow-seen-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        DataDir::new(&folder)
    }

    #[test]
    fn a_signature_is_good_once_until_nobody_would_take_it_any_more() {
        let dir = folder("once");
        let seen = Seen::open(&dir, 1000).unwrap();
        seen.take(&signed(1, "a"), 1000).unwrap();
        assert_eq!(seen.take(&signed(1, "a"), 1001).unwrap_err().0, 409);
        // Half a line, as a crash leaves it, is nobody's signature.
        let half = format!("9999 {:064x}", 7);
        seen.append(&half[..30]).unwrap();
        seen.take(&signed(3, "a"), 1001).unwrap();
        drop(seen);
        let seen = Seen::open(&dir, 1001).unwrap();
        assert_eq!(
            seen.take(&signed(1, "a"), 1000 + KEPT_S).unwrap_err().0,
            409
        );
        assert_eq!(seen.take(&signed(3, "a"), 1002).unwrap_err().0, 409);
        seen.take(&signed(2, "a"), 1002).unwrap();
        seen.take(&signed(1, "a"), 1001 + KEPT_S).unwrap();
        std::fs::remove_dir_all(dir.path()).unwrap();
    }

    #[test]
    fn it_is_bounded_by_account_and_in_all_and_root_has_room() {
        let dir = folder("bounds");
        let seen = Seen::open(&dir, 1000).unwrap();
        {
            let mut known = seen.known.lock();
            for n in 0..ALL_MAX - RESERVE {
                let account = format!("account-{}", n / ACCOUNT_MAX);
                let entry = Entry {
                    until_s: 2000,
                    account,
                };
                known.add(format!("{n:064x}"), entry);
            }
        }
        let full = |account: &str| {
            seen.take(&signed(ALL_MAX, account), 1500)
                .err()
                .map(|e| e.0)
        };
        assert_eq!(full("account-0").unwrap(), 503);
        assert_eq!(full("new").unwrap(), 503);
        assert_eq!(full("root"), None);
        // Time makes room.
        seen.take(&signed(ALL_MAX + 1, "account-0"), 2001).unwrap();
        std::fs::remove_dir_all(dir.path()).unwrap();
    }

    #[test]
    fn what_cannot_be_remembered_changes_nothing() {
        let dir = folder("broken");
        let seen = Seen::open(&dir, 1000).unwrap();
        std::fs::remove_file(dir.join(FILE)).unwrap();
        assert_eq!(seen.take(&signed(1, "a"), 1000).unwrap_err().0, 503);
        std::fs::remove_dir_all(dir.path()).unwrap();
    }
}
