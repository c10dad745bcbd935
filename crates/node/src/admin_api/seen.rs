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

use admin::{data_dir::DataDir, failure::Failure};
use http::StatusCode;
use parking_lot::Mutex;
use types::limits::CLOCK_SKEW_S_MAX;

use super::Refused;

/// A signature dated as far ahead as is accepted is accepted for twice the tolerance.
const KEPT_S: u64 = 2 * CLOCK_SKEW_S_MAX;
/// Signatures of each kind that are remembered at once.
const ALL_MAX: usize = 65_536;
/// Left of that for whoever administers the cloud.
const RESERVE: usize = 8_192;
/// Lines that the file may have beside those that count, before it is written anew.
const SPARE_LINES: usize = 4_096;
/// Longest file that is read: far more than is ever written.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What is remembered, and how much of it at once.
struct Store {
    /// The file, in the data folder: a line for each signature.
    file: &'static str,
    /// Of one account.
    account: usize,
    /// What of that is left to the keys of the account itself. Who may do nothing at all has
    /// signatures taken, too.
    own: usize,
    /// Of one user's key, with the sessions that began with it.
    key: usize,
}

/// Of the admin API and of IAM.
const CHANGES: Store = Store {
    file: "admin-seen",
    account: 4_096,
    own: 1_024,
    key: 512,
};
/// Of STS, where each session takes one. What fills it stops no change.
const SESSIONS: Store = Store {
    file: "sts-seen",
    account: 8_192,
    own: 2_048,
    key: 2_048,
};

/// Who signed, for the bounds.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The signature, as it was sent: 64 digits.
    pub signature: String,
    /// The account of the key.
    pub account: String,
    /// The user's key, or the one with which a session began; none for the account itself.
    pub of_user: Option<String>,
    /// Whether it administers the cloud.
    pub root: bool,
    /// Whether it only takes rights away. Such a request is not refused where there is no room.
    pub tightens: bool,
}

struct Entry {
    until_s: u64,
    account: String,
    of_user: Option<String>,
    tightens: bool,
}

/// How many are remembered.
#[derive(Default)]
struct Counts {
    all: usize,
    of_account: HashMap<String, usize>,
    of_key: HashMap<String, usize>,
}

#[derive(Default)]
struct Known {
    entries: HashMap<String, Entry>,
    /// Of those that only take rights away, and of others: neither kind takes the other's room.
    counts: [Counts; 2],
    lines: usize,
    /// When what is no longer needed was last dropped.
    swept_s: u64,
}

/// The signatures of changes, in memory and in a file.
pub struct Seen {
    dir: DataDir,
    store: Store,
    known: Mutex<Known>,
}

fn less(counts: &mut HashMap<String, usize>, whose: &str) {
    if let Some(count) = counts.get_mut(whose) {
        *count -= 1;
        if *count == 0 {
            counts.remove(whose);
        }
    }
}

impl Known {
    fn forget_expired(&mut self, now_s: u64) {
        if self.swept_s == now_s {
            return;
        }
        self.swept_s = now_s;
        let counts = &mut self.counts;
        self.entries.retain(|_, entry| {
            let stays = entry.until_s >= now_s;
            if !stays {
                let counts = &mut counts[usize::from(entry.tightens)];
                counts.all -= 1;
                less(&mut counts.of_account, &entry.account);
                if let Some(key) = &entry.of_user {
                    less(&mut counts.of_key, key);
                }
            }
            stays
        });
    }

    fn add(&mut self, signature: String, entry: Entry) {
        let counts = &mut self.counts[usize::from(entry.tightens)];
        counts.all += 1;
        *counts.of_account.entry(entry.account.clone()).or_default() += 1;
        if let Some(key) = &entry.of_user {
            *counts.of_key.entry(key.clone()).or_default() += 1;
        }
        self.entries.insert(signature, entry);
    }

    fn is_full_for(&self, signed: &Signed, store: &Store) -> bool {
        let counts = &self.counts[usize::from(signed.tightens)];
        let of_account = counts.of_account.get(&signed.account).copied();
        let of_account = of_account.unwrap_or_default();
        match &signed.of_user {
            _ if signed.root => counts.all >= ALL_MAX,
            _ if counts.all >= ALL_MAX - RESERVE => true,
            None => of_account >= store.account,
            Some(key) => {
                let of_key = counts.of_key.get(key).copied().unwrap_or_default();
                of_key >= store.key || of_account >= store.account - store.own
            }
        }
    }
}

fn line(signature: &str, entry: &Entry) -> String {
    let of_user = entry.of_user.as_deref().unwrap_or("-");
    let kind = if entry.tightens {
        "tightens"
    } else {
        "changes"
    };
    let (until, account) = (entry.until_s, &entry.account);
    format!("{until} {signature} {account} {of_user} {kind}\n")
}

/// A line that was written whole; what a crash left of one was not answered yet. Earlier releases
/// wrote neither the user's key nor the kind.
fn read_line(line: &str) -> Option<(String, Entry)> {
    let mut fields = line.split(' ');
    let (until, signature, account) = (fields.next()?, fields.next()?, fields.next()?);
    let entry = Entry {
        until_s: until.parse().ok()?,
        account: account.to_owned(),
        of_user: fields.next().filter(|key| *key != "-").map(str::to_owned),
        tightens: fields.next() == Some("tightens"),
    };
    (signature.len() == 64).then(|| (signature.to_owned(), entry))
}

impl Seen {
    /// What the admin API and IAM saw before in this folder.
    pub fn of_changes(dir: &DataDir, now_s: u64) -> Result<Self, Failure> {
        Self::open(dir, CHANGES, now_s)
    }

    /// What STS saw before in this folder.
    pub fn of_sessions(dir: &DataDir, now_s: u64) -> Result<Self, Failure> {
        Self::open(dir, SESSIONS, now_s)
    }

    fn open(dir: &DataDir, store: Store, now_s: u64) -> Result<Self, Failure> {
        let path = dir.join(store.file);
        let wrong = |e: std::io::Error| {
            Failure::new(format!("cannot read {}: {e}", path.display())).hint(
                "it keeps signed requests from being used twice; without it, start again half an \
                 hour after the last one",
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
                known.lines = text.lines().count();
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
            store,
            known: Mutex::default(),
        };
        match seen.write_all(&mut known) {
            // What is there is read at the next start too, and more is added to it.
            Err(failure) if failure.is_full() && path.exists() => {
                tracing::warn!(%failure, "signatures that are no longer needed were not dropped");
            }
            written => written?,
        }
        *seen.known.lock() = known;
        Ok(seen)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(self.store.file)
    }

    fn write_all(&self, known: &mut Known) -> Result<(), Failure> {
        let lines = known.entries.iter().map(|(s, e)| line(s, e));
        let text: String = lines.collect();
        self.dir.write_private(self.store.file, text.as_bytes())?;
        known.lines = known.entries.len();
        Ok(())
    }

    /// Takes a signature for the change that it asks for; a second time it is refused. It is on the
    /// disk when this returns. Blocking.
    pub fn take(&self, signed: &Signed, now_s: u64) -> Result<(), Refused> {
        let mut known = self.known.lock();
        known.forget_expired(now_s);
        if known.entries.contains_key(&signed.signature) {
            tracing::warn!(account = signed.account, "a signed request came twice");
            return Err((
                StatusCode::CONFLICT,
                "this signed request was used before and changes nothing again: sign it anew, \
                 with an x-dhow-nonce header where the same is asked twice in a second"
                    .to_owned(),
            ));
        }
        if known.is_full_for(signed, &self.store) {
            // Who sends it again does at worst the same: what takes rights away does not wait.
            if signed.tightens {
                tracing::warn!(account = signed.account, "a request was not remembered");
                return Ok(());
            }
            return Err((
                StatusCode::SERVICE_UNAVAILABLE,
                "too many changes were asked for in the last half hour: try again later".to_owned(),
            ));
        }
        let entry = Entry {
            until_s: now_s + KEPT_S,
            account: signed.account.clone(),
            of_user: signed.of_user.clone(),
            tightens: signed.tightens,
        };
        match self.append(&line(&signed.signature, &entry)) {
            Ok(()) => known.lines += 1,
            // Who sends it again after a restart does at worst the same.
            Err(error) if signed.tightens => {
                let path = self.path();
                tracing::warn!(%error, path = %path.display(), "a request is remembered in memory");
            }
            // Without a place to remember it nothing is changed: it could be sent again.
            Err(e) => {
                let path = self.path();
                tracing::error!(error = %e, path = %path.display(), "a signed request was refused");
                let why = format!("the request cannot be remembered, so it changes nothing: {e}");
                return Err((StatusCode::SERVICE_UNAVAILABLE, why));
            }
        }
        known.add(signed.signature.clone(), entry);
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
            of_user: None,
            root: account == "root",
            tightens: false,
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
        let seen = Seen::of_changes(&dir, 1000).unwrap();
        seen.take(&signed(1, "a"), 1000).unwrap();
        assert_eq!(seen.take(&signed(1, "a"), 1001).unwrap_err().0, 409);
        // Half a line, as a crash leaves it, is nobody's signature.
        let half = format!("9999 {:064x}", 7);
        seen.append(&half[..30]).unwrap();
        seen.take(&signed(3, "a"), 1001).unwrap();
        drop(seen);
        let seen = Seen::of_changes(&dir, 1001).unwrap();
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
        let seen = Seen::of_changes(&dir, 1000).unwrap();
        {
            let mut known = seen.known.lock();
            for n in 0..ALL_MAX - RESERVE {
                let account = format!("account-{}", n / CHANGES.account);
                let entry = Entry {
                    until_s: 2000,
                    account,
                    of_user: None,
                    tightens: false,
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
    fn no_key_takes_the_room_of_its_account_and_what_takes_rights_away_needs_none() {
        let dir = folder("keys");
        let mut seen = Seen::of_changes(&dir, 1000).unwrap();
        let mut next = 0;
        let mut of = |key: Option<&str>, tightens: bool| {
            next += 1;
            Signed {
                of_user: key.map(str::to_owned),
                tightens,
                ..signed(next, "a")
            }
        };
        let fill = |seen: &Seen, signed: &Signed| {
            let mut known = seen.known.lock();
            let full = known.is_full_for(signed, &seen.store);
            let entry = Entry {
                until_s: 2000,
                account: signed.account.clone(),
                of_user: signed.of_user.clone(),
                tightens: signed.tightens,
            };
            if !full {
                known.add(signed.signature.clone(), entry);
            }
            !full
        };
        let mut users = 0;
        for user in 0..20 {
            let key = format!("key-{user}");
            let most = (0..5_000).take_while(|_| fill(&seen, &of(Some(&key), false)));
            let most = most.count();
            assert!(most <= CHANGES.key, "{key}");
            users += most;
            // They do what they may, and the account itself does anything.
            seen.take(&of(Some(&key), true), 1000).unwrap();
            seen.take(&of(None, false), 1000).unwrap();
        }
        assert!(users + 20 >= CHANGES.account - CHANGES.own);
        let refused = seen.take(&of(Some("another"), false), 1000);
        assert_eq!(refused.unwrap_err().0, 503);
        // With the whole of it full, even more so after a start.
        while fill(&seen, &of(None, false)) {}
        while fill(&seen, &of(None, true)) {}
        seen.write_all(&mut seen.known.lock()).unwrap();
        for _ in 0..2 {
            assert_eq!(seen.take(&of(None, false), 1000).unwrap_err().0, 503);
            seen.take(&of(None, true), 1000).unwrap();
            seen.take(&of(Some("another"), true), 1000).unwrap();
            let other = Signed {
                account: "b".into(),
                ..of(Some("of-b"), false)
            };
            seen.take(&other, 1000).unwrap();
            seen = Seen::of_changes(&dir, 1000).unwrap();
        }
        std::fs::remove_dir_all(dir.path()).unwrap();
    }

    #[test]
    fn what_cannot_be_remembered_changes_nothing_unless_it_takes_rights_away() {
        let dir = folder("broken");
        let seen = Seen::of_changes(&dir, 1000).unwrap();
        std::fs::remove_file(dir.join(CHANGES.file)).unwrap();
        assert_eq!(seen.take(&signed(1, "a"), 1000).unwrap_err().0, 503);
        // What takes rights away is done, once while the process runs.
        let tightens = Signed {
            tightens: true,
            ..signed(2, "a")
        };
        seen.take(&tightens, 1000).unwrap();
        assert_eq!(seen.take(&tightens, 1000).unwrap_err().0, 409);
        std::fs::remove_dir_all(dir.path()).unwrap();
    }
}
