//! Signatures that were used, so that none counts twice for a change that another region relays.
//!
//! They are in memory only. What keeps a signature from counting again after a start is its date:
//! none counts before its date comes ([`RELAYED_AHEAD_S`]), and after a start none that is dated
//! before it. So a region that waits for a date that is ahead needs nothing on disk.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use types::{
    RegionId, Timestamp,
    limits::{CLOCK_SKEW_S_MAX, RELAYED_AHEAD_S, RELAYED_WAIT_S_MAX},
};

/// Signatures that are remembered of one region, some 30 MB. Past that the next is refused: one
/// that was forgotten could be used again.
const SIGNATURES_MAX: usize = 1 << 20;

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replayed {
    /// It was used.
    #[error("the same signed request came before")]
    Again,
    /// It was made before this process remembered anything.
    #[error("the request was signed before this region started")]
    Earlier,
    /// Its date has not come: it could count again after a restart.
    #[error("the request's date is ahead of this region's clock")]
    Ahead,
    /// It was made before the bucket's home was here: the home before may have acted on it.
    #[error("the request was signed before this region became the bucket's home")]
    OfAnotherHome,
    /// There is no room to remember it.
    #[error("too many requests came from that region in the last minutes")]
    Full,
}

/// How long a request that is dated `at` has to wait until it counts; `None` where it is dated too
/// far ahead to be waited for.
pub fn wait_for_date(at: Timestamp, now: Timestamp) -> Option<Duration> {
    if at.s() > now.s().saturating_add(RELAYED_WAIT_S_MAX) {
        return None;
    }
    let counts = at.s().saturating_sub(RELAYED_AHEAD_S);
    let counts = Timestamp::from_s(counts).ms();
    Some(Duration::from_millis(counts.saturating_sub(now.ms())))
}

/// Remembers signatures for as long as they are fresh.
#[derive(Debug)]
pub struct Replays {
    since: Timestamp,
    max: usize,
    /// By region: until when, in seconds, and half of the signature.
    seen: HashMap<RegionId, BTreeSet<(u64, [u8; 16])>>,
}

impl Replays {
    /// Remembers from `now` on.
    pub fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            max: SIGNATURES_MAX,
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
        let planted = types::planted("relayed-heads-dated-ahead");
        if at.s() > now.s().saturating_add(RELAYED_AHEAD_S) && !planted {
            return Err(Replayed::Ahead);
        }
        if at.s() <= self.since.s().saturating_add(RELAYED_AHEAD_S) {
            return Err(Replayed::Earlier);
        }
        let mut digest = [0; 16];
        let half = signature.get(..32).unwrap_or_default();
        if hex::decode_to_slice(half, &mut digest).is_err() {
            return Err(Replayed::Again);
        }
        let seen = self.seen.entry(from.clone()).or_default();
        while seen.first().is_some_and(|(until, _)| *until < now.s()) {
            seen.pop_first();
        }
        let entry = (at.s().saturating_add(CLOCK_SKEW_S_MAX), digest);
        if seen.contains(&entry) && !types::planted("relayed-heads-count-twice") {
            return Err(Replayed::Again);
        }
        if seen.len() >= self.max {
            return Err(Replayed::Full);
        }
        seen.insert(entry);
        Ok(())
    }
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
        let mut replays = Replays::new(Timestamp::from_s(9_990));
        replays.max = 3;
        assert_eq!(replays.admit(&a, &signature(1), at, at), Ok(()));
        let last = Timestamp::from_s(10_000 + CLOCK_SKEW_S_MAX);
        for now in [at, last] {
            let again = replays.admit(&a, &signature(1), at, now);
            assert_eq!(again, Err(Replayed::Again));
        }
        let before = Timestamp::from_s(9_991);
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
    fn what_counted_before_a_start_does_not_count_after_it() {
        let a = RegionId::new("a");
        let start = Timestamp::from_s(10_000);
        for ahead in [0, 1, 2, 3, 14, 15, 16, 600, CLOCK_SKEW_S_MAX] {
            let mut replays = Replays::new(start);
            let at = Timestamp::from_s(10_010 + ahead);
            let now = Timestamp::from_s(10_010);
            let counts = replays.admit(&a, &signature(1), at, now) == Ok(());
            assert_eq!(counts, ahead <= RELAYED_AHEAD_S, "{ahead}");
            // However soon it starts again.
            let mut started = Replays::new(now);
            for later in 0..=2 * CLOCK_SKEW_S_MAX {
                let now = Timestamp::from_s(now.s() + later);
                let again = started.admit(&a, &signature(1), at, now);
                assert!(!(counts && again == Ok(())), "{ahead} {later}");
            }
        }
    }

    #[test]
    fn a_date_is_waited_for_until_it_counts() {
        let now = Timestamp::from_ms(10_000_300);
        let wait = |at| wait_for_date(Timestamp::from_s(at), now);
        assert_eq!(wait(9_000), Some(Duration::ZERO));
        assert_eq!(wait(10_001), Some(Duration::ZERO));
        assert_eq!(wait(10_003), Some(Duration::from_millis(1_700)));
        assert_eq!(wait(10_015), Some(Duration::from_millis(13_700)));
        assert_eq!(wait(10_016), None);
    }
}
