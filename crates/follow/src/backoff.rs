//! Longer and longer pauses.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// The pauses after faults: each is twice as long as the one before, up to a limit.
///
/// Up to a quarter is taken off each: all that failed at the same time, since one region did not
/// answer, must not try again at the same time. How much is computed from who pauses, so that a
/// simulation with the same seed has the same pauses.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    who: u64,
    pauses: u64,
}

impl Backoff {
    /// Pauses from `min` to `max`; `who` makes them differ from the pauses of others.
    pub fn new(min: Duration, max: Duration, who: impl Hash) -> Self {
        Self {
            min,
            max,
            next: min,
            who: hash(who),
            pauses: 0,
        }
    }

    /// The next fault is a first one.
    pub fn reset(&mut self) {
        self.next = self.min;
    }

    /// How long to pause after this fault.
    pub fn pause(&mut self) -> Duration {
        let most = self.next;
        self.next = most.saturating_mul(2).min(self.max);
        self.pauses += 1;
        let part = hash((self.who, self.pauses)) % 256;
        most - most / 1024 * part as u32
    }
}

fn hash(what: impl Hash) -> u64 {
    // With fixed keys.
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(3);

    #[test]
    fn pauses_grow_to_their_limit_and_begin_anew() {
        let mut backoff = Backoff::new(MIN, MAX, "a");
        let mut most = MIN;
        for _ in 0..20 {
            let pause = backoff.pause();
            assert!(pause <= most && pause > most * 3 / 4, "{pause:?} {most:?}");
            most = (most * 2).min(MAX);
        }
        assert_eq!(most, MAX);
        backoff.reset();
        assert!(backoff.pause() <= MIN);
    }

    #[test]
    fn who_pauses_decides_how_long() {
        let pauses = |who: u32| {
            let mut backoff = Backoff::new(MIN, MAX, who);
            [(); 10].map(|()| backoff.pause())
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }
}
