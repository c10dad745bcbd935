//! Signatures that were used, so that none counts twice for a change that another region relays.

use std::collections::{BTreeSet, HashMap};

use types::{RegionId, Timestamp, limits::CLOCK_SKEW_S_MAX};

/// Signatures that are remembered of one region, some 30 MB. Past that the next is refused: one
/// that was dropped could be used again.
const SIGNATURES_MAX: usize = 1 << 20;
/// Signatures that are remembered of all together. Past that only those are refused that have more
/// than an equal part of it.
const ALL_MAX: usize = 4 << 20;
/// How often it is looked whose signatures are fresh no more, in seconds.
const SWEEP_EVERY_S: u64 = 60;

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replayed {
    /// It was used.
    #[error("the same signed request came before")]
    Again,
    /// It was made before this process remembered anything.
    #[error("the request was signed before this region started")]
    Earlier,
    /// There is no room to remember it.
    #[error("too many requests came from that region in the last minutes")]
    Full,
}

/// Remembers signatures for as long as they are fresh.
#[derive(Debug)]
pub struct Replays {
    since: Timestamp,
    max: usize,
    all_max: usize,
    /// How many there are in `seen`, and when all of them were looked at last, in seconds.
    all: usize,
    swept: u64,
    /// By region or account: until when, in seconds, and half of the signature.
    seen: HashMap<RegionId, BTreeSet<(u64, [u8; 16])>>,
}

impl Replays {
    /// Remembers from `now` on.
    pub fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            max: SIGNATURES_MAX,
            all_max: ALL_MAX,
            all: 0,
            swept: now.s(),
            seen: HashMap::new(),
        }
    }

    /// Takes a signature that was verified, made at `at` and relayed by `from`, unless it was
    /// there before.
    ///
    /// # Errors
    /// [`Replayed`]: it must not count; signed again it may.
    pub fn admit(
        &mut self,
        from: &RegionId,
        signature: &str,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Replayed> {
        if at.s() < self.since.s() {
            return Err(Replayed::Earlier);
        }
        let mut digest = [0; 16];
        let half = signature.get(..32).unwrap_or_default();
        if hex::decode_to_slice(half, &mut digest).is_err() {
            return Err(Replayed::Again);
        }
        if now.s() >= self.swept.saturating_add(SWEEP_EVERY_S) {
            self.sweep(now);
        }
        let part = self.all_max / (self.seen.len() + 1);
        let is_full = self.all >= self.all_max;
        let seen = self.seen.entry(from.clone()).or_default();
        self.all -= forget(seen, now);
        let entry = (at.s().saturating_add(CLOCK_SKEW_S_MAX), digest);
        if seen.contains(&entry) && !types::planted("relayed-heads-count-twice") {
            return Err(Replayed::Again);
        }
        if seen.len() >= self.max || is_full && seen.len() >= part {
            return Err(Replayed::Full);
        }
        self.all += usize::from(seen.insert(entry));
        Ok(())
    }

    /// Drops all that is no longer fresh, also of senders that send nothing more.
    fn sweep(&mut self, now: Timestamp) {
        self.swept = now.s();
        self.seen.retain(|_, seen| {
            self.all -= forget(seen, now);
            !seen.is_empty() || types::planted("replays-never-swept")
        });
    }
}

/// Drops what is no longer fresh; answers how many that were.
fn forget(seen: &mut BTreeSet<(u64, [u8; 16])>, now: Timestamp) -> usize {
    let before = seen.len();
    while seen.first().is_some_and(|(until, _)| *until < now.s()) {
        seen.pop_first();
    }
    before - seen.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(n: u32) -> String {
        format!("{n:064x}").chars().rev().collect()
    }

    #[test]
    fn a_signature_counts_once_and_a_full_memory_forgets_nothing() {
        let (a, b) = (RegionId::new("a"), RegionId::new("b"));
        let at = Timestamp::from_s(10_000);
        let mut replays = Replays::new(at);
        replays.max = 3;
        assert_eq!(replays.admit(&a, &signature(1), at, at), Ok(()));
        let last = Timestamp::from_s(10_000 + CLOCK_SKEW_S_MAX);
        for now in [at, last] {
            let again = replays.admit(&a, &signature(1), at, now);
            assert_eq!(again, Err(Replayed::Again));
        }
        let before = Timestamp::from_s(9_999);
        let earlier = replays.admit(&a, &signature(2), before, at);
        assert_eq!(earlier, Err(Replayed::Earlier));
        for n in 2..4 {
            assert_eq!(replays.admit(&a, &signature(n), at, at), Ok(()));
        }
        assert_eq!(
            replays.admit(&a, &signature(4), at, at),
            Err(Replayed::Full)
        );
        assert_eq!(
            replays.admit(&b, &signature(4), at, at),
            Ok(()),
            "its own room"
        );
        // What is not fresh any more makes room: its date refuses it.
        let later = Timestamp::from_s(last.s() + 1);
        assert_eq!(replays.admit(&a, &signature(4), later, later), Ok(()));
        assert_eq!(replays.admit(&a, "not hex", at, at), Err(Replayed::Again));
    }

    #[test]
    fn what_is_fresh_no_more_takes_no_room_whoever_sent_it() {
        let at = Timestamp::from_s(10_000);
        let mut replays = Replays::new(at);
        for n in 0..100 {
            let account = RegionId::new(&format!("account{n}"));
            assert_eq!(replays.admit(&account, &signature(n), at, at), Ok(()));
        }
        assert_eq!((replays.all, replays.seen.len()), (100, 100));
        let later = Timestamp::from_s(10_001 + CLOCK_SKEW_S_MAX);
        let one = RegionId::new("one");
        assert_eq!(replays.admit(&one, &signature(7), later, later), Ok(()));
        assert_eq!((replays.all, replays.seen.len()), (1, 1));
    }

    #[test]
    fn who_fills_the_memory_is_refused_and_others_are_not() {
        let at = Timestamp::from_s(10_000);
        let (many, few) = (RegionId::new("many"), RegionId::new("few"));
        let mut replays = Replays::new(at);
        replays.all_max = 10;
        let taken = (0..50).filter(|n| replays.admit(&many, &signature(*n), at, at).is_ok());
        assert_eq!(taken.count(), 10);
        assert_eq!(replays.admit(&few, &signature(99), at, at), Ok(()));
        let full = replays.admit(&many, &signature(98), at, at);
        assert_eq!(full, Err(Replayed::Full));
    }
}
