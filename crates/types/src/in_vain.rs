//! Who was waited for in vain. Whoever is slow, gone or hostile delays the answers of others once
//! in a while, and not each of them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// For so long nobody is waited for after it was in vain.
pub const UNWAITED: Duration = Duration::from_secs(30);
/// Most that are known at once.
const KNOWN_MAX: usize = 10_000;

/// Who was waited for in vain, and for what.
pub struct InVain<W>(Mutex<HashMap<W, Missed>>);

#[derive(Clone, Copy)]
struct Missed {
    at: Instant,
    wanted: u64,
}

impl<W> Default for InVain<W> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<W: Eq + Hash> InVain<W> {
    /// Whether `who`, who has all up to `has`, is to be waited for: not where that was in vain
    /// lately, and not until `who` has what was missed then.
    pub fn is_waited_for(&self, who: &W, has: u64, now: Instant) -> bool {
        let missed = self.lock().get(who).copied();
        missed.is_none_or(|missed| {
            has >= missed.wanted && now.saturating_duration_since(missed.at) >= UNWAITED
        })
    }

    /// `who` was waited for and does not have all up to `wanted`.
    pub fn missed(&self, who: W, wanted: u64, now: Instant) {
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, missed| now.saturating_duration_since(missed.at) < UNWAITED);
        }
        if known.len() < KNOWN_MAX {
            known.insert(who, Missed { at: now, wanted });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<W, Missed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_waited_for_in_vain_is_not_waited_for_again_at_once() {
        let (all, begun) = (InVain::default(), Instant::now());
        assert!(all.is_waited_for(&"slow", 0, begun));
        all.missed("slow", 7, begun);
        assert!(all.is_waited_for(&"other", 0, begun));
        for (has, after, waits) in [
            (6, Duration::ZERO, false),
            (7, Duration::ZERO, false),
            (6, UNWAITED, false),
            (7, UNWAITED, true),
        ] {
            let waited_for = all.is_waited_for(&"slow", has, begun + after);
            assert_eq!(waited_for, waits, "{has} {after:?}");
        }
    }

    #[test]
    fn not_many_are_known_at_once() {
        let (all, begun) = (InVain::default(), Instant::now());
        for n in 0..=KNOWN_MAX {
            all.missed(n, 1, begun);
        }
        assert!(all.is_waited_for(&KNOWN_MAX, 1, begun));
        all.missed(KNOWN_MAX, 1, begun + UNWAITED);
        assert_eq!(all.lock().len(), 1);
    }
}
