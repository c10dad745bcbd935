//! Jobs: copying, moving or deleting all objects below a prefix, or deleting every version. A job
//! runs in this region, as the key that began it, by requests to S3; so S3 decides about each
//! object, and a job does nothing that its key may not do. It goes on when its browser leaves, and
//! ends with its key, with the session's proofs (within two days), and with the process.

mod copying;
mod purging;
pub mod run;
pub mod state;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use types::{AccessKeyId, AccountId, BucketName, Timestamp};

use crate::session::{KeyProofs, Session};

/// Jobs of a key that run at once, of an account, and of all.
const OF_KEY_MAX: usize = 2;
const OF_ACCOUNT_MAX: usize = 4;
const ALL_MAX: usize = 16;
/// Jobs of an account that have ended and are still shown.
const ENDED_OF_ACCOUNT_MAX: usize = 20;
/// Jobs that are known.
const KNOWN_MAX: usize = 1000;
/// Objects that failed and are named.
const NAMED_MAX: usize = 50;

/// A prefix of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPrefix {
    /// The bucket.
    pub bucket: BucketName,
    /// What keys begin with.
    pub prefix: String,
}

/// What a job does with each object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Deletes its current version.
    Delete,
    /// Deletes every version and delete marker.
    Purge(Purge),
    /// Copies it.
    Copy {
        /// Where to: the prefix takes the place of the one that is copied from.
        to: BucketPrefix,
        /// Whether an object that is there already is replaced.
        replaces: bool,
        /// Whether the object is deleted once its copy is stored.
        moves: bool,
    },
}

/// Of what all versions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// Of the one key that the place has in place of a prefix.
    Key,
    /// Of the whole bucket, and then the bucket.
    Bucket,
}

/// Whether a job runs, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Under way.
    Running,
    /// All was looked at.
    Done,
    /// Somebody ended it.
    Aborted,
    /// It could not go on.
    Broken(String),
}

/// One job.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// The key that began it.
    pub key: AccessKeyId,
    /// The account of the key.
    pub account: AccountId,
    /// What the key signs: another key of the same id did not begin it.
    proofs: KeyProofs,
    /// From where.
    pub from: BucketPrefix,
    /// What.
    pub work: Work,
    /// Objects that are newer were not seen by whoever began it: they are left alone.
    pub until: Timestamp,
    /// When it began.
    pub begun_ms: u64,
    /// Objects that are done.
    pub done: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Objects that were left as they are: newer, or there already.
    pub left: AtomicU64,
    /// Objects that failed.
    pub failed: AtomicU64,
    aborts: AtomicBool,
    named: Mutex<Vec<(String, String)>>,
    state: Mutex<(Ended, u64)>,
}

impl Job {
    /// What a caller begins.
    pub fn new(id: String, owner: Owner, ask: Ask) -> Self {
        Self {
            id,
            key: owner.key,
            account: owner.account,
            proofs: owner.proofs,
            from: ask.from,
            work: ask.work,
            until: ask.until,
            begun_ms: ask.now_ms,
            done: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            left: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            aborts: AtomicBool::new(false),
            named: Mutex::default(),
            state: Mutex::new((Ended::Running, ask.now_ms)),
        }
    }

    /// How far it is, and since when.
    pub fn state(&self) -> (Ended, u64) {
        self.state.lock().clone()
    }

    /// Whether it is under way.
    pub fn runs(&self) -> bool {
        self.state.lock().0 == Ended::Running
    }

    /// Objects that failed, with the reason; the first ones only.
    pub fn failures(&self) -> Vec<(String, String)> {
        self.named.lock().clone()
    }

    /// Whether somebody ended it.
    fn is_aborted(&self) -> bool {
        self.aborts.load(Relaxed)
    }

    /// Ends it before the next object.
    pub fn abort(&self) {
        self.aborts.store(true, Relaxed);
    }

    fn fails(&self, key: &str, why: String) {
        self.failed.fetch_add(1, Relaxed);
        let mut named = self.named.lock();
        if named.len() < NAMED_MAX {
            named.push((key.to_owned(), why));
        }
    }

    fn end(&self, state: Ended, now_ms: u64) {
        *self.state.lock() = (state, now_ms);
    }
}

/// Who begins a job.
pub struct Owner {
    /// With which key.
    pub key: AccessKeyId,
    /// The account of the key.
    pub account: AccountId,
    /// What the key signs.
    pub proofs: KeyProofs,
}

/// What somebody asks for.
pub struct Ask {
    /// From where.
    pub from: BucketPrefix,
    /// What.
    pub work: Work,
    /// Objects that are newer are left alone.
    pub until: Timestamp,
    /// The time.
    pub now_ms: u64,
}

impl Ask {
    /// Whether the job would meet the copies that it makes, or replace what it has yet to copy.
    pub fn meets_itself(&self) -> bool {
        match &self.work {
            Work::Copy { to, replaces, .. } => {
                let (from, to_prefix) = (&self.from.prefix, &to.prefix);
                let inward = to_prefix.starts_with(from.as_str());
                let outward = *replaces && from.starts_with(to_prefix.as_str());
                to.bucket == self.from.bucket && (inward || outward)
            }
            Work::Delete | Work::Purge(_) => false,
        }
    }
}

/// Why a job does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The key has as many as it may.
    Key,
    /// The account has.
    Account,
    /// The region has.
    Region,
}

/// All jobs of a region.
#[derive(Default)]
pub struct Jobs(Mutex<HashMap<String, Arc<Job>>>);

impl Jobs {
    /// Takes one that is to run. Those that ended long ago make room.
    ///
    /// # Errors
    /// Too many run.
    pub fn add(&self, job: Job) -> Result<Arc<Job>, Full> {
        let mut all = self.0.lock();
        let running = || all.values().filter(|one| one.runs());
        if running().count() >= ALL_MAX {
            return Err(Full::Region);
        }
        if running().filter(|one| one.key == job.key).count() >= OF_KEY_MAX {
            return Err(Full::Key);
        }
        let of_account = running().filter(|one| one.account == job.account);
        if of_account.count() >= OF_ACCOUNT_MAX {
            return Err(Full::Account);
        }
        let ended = |one: &&Arc<Job>| !one.runs();
        let own = all.values().filter(ended);
        let own = own.filter(|one| one.account == job.account);
        let oldest = if own.clone().count() >= ENDED_OF_ACCOUNT_MAX {
            own.min_by_key(|one| one.state().1)
        } else if all.len() >= KNOWN_MAX {
            all.values().filter(ended).min_by_key(|one| one.state().1)
        } else {
            None
        };
        if let Some(id) = oldest.map(|one| one.id.clone()) {
            all.remove(&id);
        }
        let job = Arc::new(job);
        all.insert(job.id.clone(), Arc::clone(&job));
        Ok(job)
    }

    /// Those of the key of a session, the newest first: another key of the account may not be
    /// allowed to see the names in them.
    pub fn of(&self, account: &AccountId, session: &Session) -> Vec<Arc<Job>> {
        let all = self.0.lock();
        let own = all.values().filter(|one| {
            one.key == session.key && one.account == *account && session.shares(&one.proofs)
        });
        let mut own: Vec<Arc<Job>> = own.cloned().collect();
        own.sort_by_key(|one| std::cmp::Reverse((one.begun_ms, one.id.clone())));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{NewSession, Sessions};

    fn place(bucket: &str, prefix: &str) -> BucketPrefix {
        BucketPrefix {
            bucket: BucketName::new(bucket).unwrap(),
            prefix: prefix.to_owned(),
        }
    }

    fn ask(work: Work) -> Ask {
        Ask {
            from: place("one", "a/"),
            work,
            until: Timestamp::from_s(1),
            now_ms: 1000,
        }
    }

    fn job(id: &str, key: &str, account: &str) -> Job {
        let owner = Owner {
            key: AccessKeyId::new(key),
            account: AccountId::new(account),
            proofs: vec![("20261129".to_owned(), [1; 32])],
        };
        Job::new(id.to_owned(), owner, ask(Work::Delete))
    }

    #[test]
    fn an_account_runs_so_many_and_leaves_room_for_others() {
        let jobs = Jobs::default();
        let first = jobs.add(job("1", "K", "A")).unwrap();
        jobs.add(job("2", "K", "A")).unwrap();
        assert_eq!(jobs.add(job("3", "K", "A")).unwrap_err(), Full::Key);
        jobs.add(job("3", "L", "A")).unwrap();
        jobs.add(job("4", "L", "A")).unwrap();
        assert_eq!(jobs.add(job("5", "M", "A")).unwrap_err(), Full::Account);
        for n in 0..ALL_MAX - 4 {
            let (id, owner) = (format!("o{n}"), n.to_string());
            jobs.add(job(&id, &owner, &owner)).unwrap();
        }
        assert_eq!(jobs.add(job("6", "N", "N")).unwrap_err(), Full::Region);
        first.end(Ended::Done, 2000);
        jobs.add(job("7", "K", "A")).unwrap();
    }

    #[test]
    fn the_jobs_that_ended_first_make_room() {
        let jobs = Jobs::default();
        for n in 0..=ENDED_OF_ACCOUNT_MAX as u64 + 5 {
            let one = jobs.add(job(&n.to_string(), "K", "A")).unwrap();
            one.end(Ended::Done, n);
        }
        assert!(jobs.0.lock().len() <= ENDED_OF_ACCOUNT_MAX + 1);
        assert!(!jobs.0.lock().contains_key("0"));
    }

    #[test]
    fn jobs_are_shown_to_the_key_that_began_them_and_to_no_other_of_its_id() {
        let jobs = Jobs::default();
        jobs.add(job("1", "K", "A")).unwrap();
        let seen = |key: &str, account: &str, proof: u8| {
            let sessions = Sessions::new(10, 10);
            let new = NewSession {
                cookie: "c",
                secret: [7; 32],
                key: AccessKeyId::new(key),
                account: AccountId::new(account),
                from: std::net::IpAddr::from([127, 0, 0, 1]),
                agent: "",
                proofs: vec![("20261129".to_owned(), [proof; 32])],
                sts: None,
            };
            sessions.begin(new, 0);
            let session = sessions.of_cookie("c", 0).unwrap();
            jobs.of(&AccountId::new(account), &session).len()
        };
        assert_eq!(seen("K", "A", 1), 1);
        assert_eq!(
            (seen("L", "A", 1), seen("K", "B", 1), seen("K", "A", 2)),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_copy_into_what_is_copied_is_known() {
        let copy = |bucket: &str, prefix: &str, replaces: bool| {
            let to = place(bucket, prefix);
            ask(Work::Copy {
                to,
                replaces,
                moves: false,
            })
            .meets_itself()
        };
        assert!(copy("one", "a/", false) && copy("one", "a/b/", false));
        assert!(!copy("one", "b/", true) && !copy("two", "a/", true));
        // Outward it could replace what is not copied yet.
        assert!(copy("one", "", true) && !copy("one", "", false));
    }
}
