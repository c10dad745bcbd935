//! What a region that follows a bucket says of itself with each question, and what it knows of the
//! start of the other region that answers.
//!
//! The other region's folder may be put back to an older state while it is followed. The start that
//! answers then may lack what the start before it had sent. So a follower takes something from one
//! start only, until another one has said that its log gave the last position that the one before
//! sent: then it has all that was read. One that never gave it is handed over to first. What it
//! lacks before that was not removed there.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::wire::{Ask, What};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct By {
    /// Which start of the region; 0 where it does not say.
    pub(crate) start: u64,
    /// Where its log ended then, or a position after that; 0 where it does not say.
    pub(crate) end: u64,
}

impl By {
    /// Whether that start answers, as far as is known.
    fn is(&self, start: u64) -> bool {
        self.start == start || self.start == 0
    }
}

/// Who asks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum As {
    /// Nobody who drops anything because the other region lacks it.
    #[default]
    Reader,
    /// A sealed replica: it hands nothing over.
    Sealed,
    /// A readable replica: it says to which start of the other region it has handed over all that
    /// it has.
    Replica,
}

/// What a region says of itself with each question about a bucket.
#[derive(Debug, Default)]
pub struct Said {
    asks: As,
    handed: AtomicU64,
    received: Mutex<Received>,
}

/// What was read of the other region.
#[derive(Debug, Default)]
struct Received {
    /// The start that has all of it; none before the first answer to this start of the asker.
    from: Option<u64>,
    /// Its log went at least so far when it last answered.
    end: u64,
    /// Another one has answered.
    is_other: bool,
    /// To whom all is handed over now.
    to: Option<By>,
}

impl Said {
    /// Of a readable replica that follows the bucket.
    pub(crate) fn following() -> Self {
        Self {
            asks: As::Replica,
            ..Self::default()
        }
    }

    /// Of a sealed one.
    pub(crate) fn sealed() -> Self {
        Self {
            asks: As::Sealed,
            ..Self::default()
        }
    }

    pub(crate) fn with(&self, ask: Ask) -> Ask {
        let handed = self.handed.load(Ordering::SeqCst);
        Ask {
            handed: (self.asks == As::Replica).then_some(handed),
            reach: self.reach(),
            ..ask
        }
    }

    /// What was read of the other region is from before this position of its log.
    pub(crate) fn reach(&self) -> u64 {
        self.received.lock().end
    }

    /// The same was noted before this start.
    pub(crate) fn resumes(&self, reach: u64) {
        let mut received = self.received.lock();
        if received.from.is_none() {
            received.end = received.end.max(reach);
        }
    }

    /// Changes up to `position` in the other region's log may be applied from now on.
    pub(crate) fn reaches(&self, position: u64) {
        let mut received = self.received.lock();
        received.end = received.end.max(position);
    }

    /// Nothing was read of the other region: all that is here will be handed over to it.
    pub(crate) fn begins(&self) {
        *self.received.lock() = Received::default();
    }

    /// An answer comes; answers whether it is to be used. One about changes says itself whether
    /// this start of the region has all that was read.
    pub(crate) fn hears(&self, what: &What, by: By) -> bool {
        if self.asks == As::Reader {
            return true;
        }
        let mut received = self.received.lock();
        if let Some(to) = &mut received.to {
            let same = by.is(to.start);
            to.end = if same { to.end.max(by.end) } else { to.end };
            received.is_other |= !same;
            return same;
        }
        match received.from {
            Some(from) if by.is(from) => received.end = received.end.max(by.end),
            None if received.end == 0 => (received.from, received.end) = (Some(by.start), by.end),
            _ => {
                received.is_other = true;
                return matches!(what, What::Changes { .. })
                    || types::planted("any-start-is-believed");
            }
        }
        true
    }

    /// Whether another start has answered than the one that has all that was read.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let received = self.received.lock();
        received.is_other || (received.from.is_none() && received.end > 0)
    }

    /// This start of the other region has all that was read.
    pub(crate) fn has_all(&self, by: By) {
        let mut received = self.received.lock();
        if !received.from.is_some_and(|from| by.is(from)) {
            received.from = Some(by.start);
        }
        received.end = received.end.max(by.end);
        received.is_other = false;
    }

    /// All that is here is handed over to that start from now on.
    pub(crate) fn hands_over(&self, to: By) {
        let mut received = self.received.lock();
        (received.to, received.is_other) = (Some(to), false);
    }

    /// It has been, or not.
    pub(crate) fn has_handed_over(&self, done: bool) {
        let mut received = self.received.lock();
        match received.to.take() {
            Some(to) if done => {
                self.handed.store(to.start, Ordering::SeqCst);
                *received = Received {
                    from: Some(to.start),
                    end: to.end,
                    ..Received::default()
                };
            }
            _ => received.is_other = true,
        }
    }
}
