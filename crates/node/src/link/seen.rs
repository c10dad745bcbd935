//! Which of the other regions answered when, as this one knows it.

use std::collections::HashMap;

use parking_lot::Mutex;
use types::{RegionId, Timestamp};

use crate::load::Load;

/// What is known of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenAt {
    /// Whether it answered when it was last asked.
    pub answers: bool,
    /// When it last answered since this process began.
    pub last: Option<Timestamp>,
    /// What it said last of itself, if it says that to this region.
    pub load: Option<Load>,
    /// When it said so.
    pub load_at: Option<Timestamp>,
}

/// What is known of all that were asked.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashMap<RegionId, SeenAt>>);

impl Seen {
    /// What is known of a region; nothing if it was not asked yet.
    pub fn of(&self, region: &RegionId) -> Option<SeenAt> {
        self.0.lock().get(region).copied()
    }

    /// Notes whether a region answered at `now`, and what it said of itself then.
    pub fn note(&self, region: &RegionId, (answers, load): (bool, Option<Load>), now: Timestamp) {
        let mut all = self.0.lock();
        let before = all.get(region).copied();
        let said = load.map(|load| (load, now));
        let known = before.and_then(|seen| seen.load.zip(seen.load_at));
        let (load, load_at) = said.or(known).unzip();
        let last = match answers {
            true => Some(now),
            false => before.and_then(|seen| seen.last),
        };
        let seen = SeenAt {
            answers,
            last,
            load,
            load_at,
        };
        all.insert(region.clone(), seen);
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
        seen.note(&one, (false, None), at(1));
        let load = Load {
            requests_per_minute: 7,
            replicas: 1,
            behind_s: None,
        };
        let known = |answers, last, said: Option<Timestamp>| {
            Some(SeenAt {
                answers,
                last,
                load: said.map(|_| load),
                load_at: said,
            })
        };
        assert_eq!(seen.of(&one), known(false, None, None));
        seen.note(&one, (true, Some(load)), at(2));
        seen.note(&one, (false, None), at(9));
        assert_eq!(seen.of(&one), known(false, Some(at(2)), Some(at(2))));
        // One that says no more how it is was so when it last said it.
        seen.note(&one, (true, None), at(10));
        assert_eq!(seen.of(&one), known(true, Some(at(10)), Some(at(2))));
        seen.keep(|_| false);
        assert_eq!(seen.of(&one), None);
    }
}
