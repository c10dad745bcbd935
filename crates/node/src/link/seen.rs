//! Which of the other regions answered when, as this one knows it.

use std::collections::HashMap;

use parking_lot::Mutex;
use types::{RegionId, Timestamp};

/// What is known of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenAt {
    /// Whether it answered when it was last asked.
    pub answers: bool,
    /// When it last answered since this process began.
    pub last: Option<Timestamp>,
}

/// What is known of all that were asked.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashMap<RegionId, SeenAt>>);

impl Seen {
    /// What is known of a region; nothing if it was not asked yet.
    pub fn of(&self, region: &RegionId) -> Option<SeenAt> {
        self.0.lock().get(region).copied()
    }

    /// Notes whether a region answered at `now`.
    pub fn note(&self, region: &RegionId, answers: bool, now: Timestamp) {
        let mut all = self.0.lock();
        let before = all.get(region).and_then(|seen| seen.last);
        let last = if answers { Some(now) } else { before };
        all.insert(region.clone(), SeenAt { answers, last });
    }

    /// Drops regions that are no longer asked.
    pub fn keep(&self, asked: impl Fn(&RegionId) -> bool) {
        self.0.lock().retain(|region, _| asked(region));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_answers_no_more_was_last_seen_when_it_did() {
        let seen = Seen::default();
        let (one, at) = (RegionId::new("one"), Timestamp::from_s);
        assert_eq!(seen.of(&one), None);
        seen.note(&one, false, at(1));
        let known = |answers, last| Some(SeenAt { answers, last });
        assert_eq!(seen.of(&one), known(false, None));
        seen.note(&one, true, at(2));
        seen.note(&one, false, at(9));
        assert_eq!(seen.of(&one), known(false, Some(at(2))));
        seen.keep(|_| false);
        assert_eq!(seen.of(&one), None);
    }
}
