//! Signatures of requests that only read, so that whoever saw one does not read with it too. They
//! are many and change nothing, so they are kept in memory: a request that was signed before this
//! process began is refused, for as long as it could have been answered before.
//!
//! Clients that sign by the second send the same signature when they ask the same twice in a
//! second. So it is answered again for some seconds; not, if a nonce was signed with it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use types::{Timestamp, limits::CLOCK_SKEW_S_MAX};

use super::Refused;

/// The header that makes each request another one.
const NONCE: &str = "x-dhow-nonce";
/// Hex digits of a signature.
const SIGNATURE_DIGITS: usize = 64;
/// How long the same signature is answered again without a nonce.
const AGAIN: Duration = Duration::from_secs(5);
/// How far before the start a request may be dated, since clocks differ. What was signed in that
/// time can be answered once more after a start.
const BEFORE_S: u64 = 30;
/// A signature from before the start is of no use after this.
const STARTED_MAX: Duration = Duration::from_secs(2 * CLOCK_SKEW_S_MAX);
/// Signatures that are remembered at once.
const ALL_MAX: usize = 262_144;
/// Left of that for whoever administers the cloud.
const RESERVE: usize = 65_536;
/// Of one account.
const ACCOUNT_MAX: usize = 32_768;
/// How often those are dropped that nobody would take any more.
const SWEEP_EVERY_S: u64 = 10;

/// A request that reads.
pub struct Read<'r> {
    /// The signature, as it was sent.
    pub signature: &'r str,
    /// The account of the key.
    pub account: &'r str,
    /// Whether it administers the cloud.
    pub root: bool,
    /// Whether a nonce was signed.
    pub has_nonce: bool,
    /// The time that was signed.
    pub at: Timestamp,
}

struct Entry {
    until_s: u64,
    first: Instant,
    account: String,
}

#[derive(Default)]
struct Known {
    /// By half of the signature.
    entries: HashMap<u128, Entry>,
    of_account: HashMap<String, usize>,
    swept_s: u64,
}

/// The signatures of requests that read, in memory.
pub struct Reads {
    started: (Timestamp, Instant),
    known: Mutex<Known>,
}

/// Whether a nonce is among the headers that were signed.
pub fn signs_nonce(headers: &HeaderMap) -> bool {
    let authorization = headers.get(http::header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    authorization.is_some_and(is_nonce_in)
}

fn is_nonce_in(authorization: &str) -> bool {
    let signed = authorization.split_once("SignedHeaders=");
    let names = signed.and_then(|(_, rest)| rest.split([',', ' ']).next());
    names.is_some_and(|names| names.split(';').any(|name| name == NONCE))
}

fn used(why: &str) -> Refused {
    let why = format!("{why}: sign it anew");
    (StatusCode::CONFLICT, why)
}

impl Known {
    fn sweep(&mut self, now_s: u64) {
        if now_s.abs_diff(self.swept_s) < SWEEP_EVERY_S {
            return;
        }
        self.swept_s = now_s;
        let of_account = &mut self.of_account;
        self.entries.retain(|_, entry| {
            let stays = entry.until_s >= now_s;
            if !stays && let Some(count) = of_account.get_mut(&entry.account) {
                *count -= 1;
                if *count == 0 {
                    of_account.remove(&entry.account);
                }
            }
            stays
        });
    }

    fn is_full_for(&self, read: &Read<'_>) -> bool {
        let of_account = self.of_account.get(read.account).copied();
        match read.root {
            true => self.entries.len() >= ALL_MAX,
            false => {
                self.entries.len() >= ALL_MAX - RESERVE
                    || of_account.is_some_and(|count| count >= ACCOUNT_MAX)
            }
        }
    }
}

impl Reads {
    /// Of a process that begins now.
    pub fn new(now: Timestamp) -> Self {
        Self {
            started: (now, Instant::now()),
            known: Mutex::default(),
        }
    }

    /// Takes the signature of a request that is to be answered.
    pub fn take(&self, read: &Read<'_>, now: Timestamp) -> Result<(), Refused> {
        let (started_at, started) = self.started;
        let first = started_at.s().saturating_sub(BEFORE_S);
        if read.at.s() < first && started.elapsed() < STARTED_MAX {
            return Err(used("this request was signed before this region started"));
        }
        let half = read.signature.get(SIGNATURE_DIGITS / 2..SIGNATURE_DIGITS);
        let id = half.and_then(|half| u128::from_str_radix(half, 16).ok());
        let id = id.ok_or_else(|| used("this signature is none"))?;
        let mut known = self.known.lock();
        known.sweep(now.s());
        if let Some(entry) = known.entries.get(&id) {
            let is_again = !read.has_nonce && entry.first.elapsed() < AGAIN;
            return match is_again {
                true => Ok(()),
                false => {
                    tracing::warn!(account = read.account, "a signed request came twice");
                    Err(used("this signed request was answered before"))
                }
            };
        }
        if known.is_full_for(read) {
            return Err((
                StatusCode::SERVICE_UNAVAILABLE,
                "too much was read in the last quarter of an hour: try again later".to_owned(),
            ));
        }
        let account = read.account.to_owned();
        *known.of_account.entry(account.clone()).or_default() += 1;
        let entry = Entry {
            until_s: read.at.s().max(now.s()) + CLOCK_SKEW_S_MAX + 1,
            first: Instant::now(),
            account,
        };
        known.entries.insert(id, entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_s(10_000);

    /// Of the signature of this number.
    fn read(n: usize, account: &str, has_nonce: bool) -> Read<'_> {
        Read {
            signature: String::leak(format!("{n:064x}")),
            account,
            root: account == "root",
            has_nonce,
            at: START,
        }
    }

    #[test]
    fn a_read_with_a_nonce_is_answered_once_and_another_one_for_some_seconds() {
        let mut reads = Reads::new(START);
        reads.take(&read(1, "a", true), START).unwrap();
        assert_eq!(reads.take(&read(1, "a", true), START).unwrap_err().0, 409);
        // Two that were signed in one second.
        for _ in 0..3 {
            reads.take(&read(2, "a", false), START).unwrap();
        }
        let known = reads.known.get_mut();
        for entry in known.entries.values_mut() {
            entry.first -= AGAIN;
        }
        assert_eq!(reads.take(&read(2, "a", false), START).unwrap_err().0, 409);
        // For as long as it is dated well enough, and not longer.
        let last = Timestamp::from_s(START.s() + CLOCK_SKEW_S_MAX);
        assert_eq!(reads.take(&read(2, "a", false), last).unwrap_err().0, 409);
        let later = Timestamp::from_s(last.s() + SWEEP_EVERY_S + 2);
        reads.take(&read(3, "a", false), later).unwrap();
        assert_eq!(reads.known.get_mut().entries.len(), 1);
    }

    #[test]
    fn what_was_signed_before_the_start_is_not_read_with_after_it() {
        let mut reads = Reads::new(START);
        let before = Read {
            at: Timestamp::from_s(START.s() - BEFORE_S - 1),
            ..read(1, "a", true)
        };
        assert_eq!(reads.take(&before, START).unwrap_err().0, 409);
        reads.take(&read(2, "a", true), START).unwrap();
        // A clock that was set back keeps nobody away once the old ones are worth nothing.
        reads.started.1 -= STARTED_MAX;
        reads.take(&before, START).unwrap();
    }

    #[test]
    fn no_account_takes_the_room_of_others() {
        let reads = Reads::new(START);
        let take = |n: usize, account: &str| {
            let taken = reads.take(&read(n, account, true), START);
            taken.map_err(|(status, _)| status.as_u16())
        };
        for n in 0..ACCOUNT_MAX {
            take(n, "a").unwrap();
        }
        assert_eq!(take(ACCOUNT_MAX, "a"), Err(503));
        take(ACCOUNT_MAX, "b").unwrap();
        let mut n = ACCOUNT_MAX;
        let full = loop {
            n += 1;
            if let Err(status) = take(n, &format!("account-{}", n / ACCOUNT_MAX)) {
                break status;
            }
        };
        assert_eq!((full, n <= ALL_MAX - RESERVE + 2), (503, true));
        take(n + 1, "root").unwrap();
    }

    #[test]
    fn a_nonce_counts_where_it_was_signed() {
        let signed = "AWS4-HMAC-SHA256 Credential=A/20261130/r/dhow-admin/aws4_request,\
            SignedHeaders=host;x-amz-date;x-dhow-nonce,Signature=00";
        assert!(is_nonce_in(signed));
        assert!(!is_nonce_in(&signed.replace(";x-dhow-nonce", "")));
        assert!(!is_nonce_in("SignedHeaders=host, Signature=x-dhow-nonce"));
    }
}
