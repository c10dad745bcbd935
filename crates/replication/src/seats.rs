//! Whether this region has taken its place as the home of a bucket: a region that gets a bucket by
//! a new epoch decides nothing until the region that decided before does so no more. And the
//! judgement that follows from all of it.

use std::collections::HashMap;

use parking_lot::RwLock;
use tokio::time::Instant;
use types::{BucketDeed, BucketId, Holding, Judge, NotNow, Unrenewed};

use crate::promises::Promises;

/// One bucket whose home is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) epoch: u64,
    /// Until when it waits, unless the others say so earlier; `None` once it decides.
    pub(crate) waits: Option<Instant>,
    /// Whether all that the home before decided is known to be here.
    pub(crate) complete: bool,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Seats(RwLock<HashMap<BucketId, Seat>>);

impl Seats {
    pub(crate) fn get(&self, id: BucketId) -> Option<Seat> {
        self.0.read().get(&id).copied()
    }
    pub(crate) fn set(&self, id: BucketId, seat: Seat) {
        self.0.write().insert(id, seat);
    }
    pub(crate) fn keep(&self, wanted: impl Fn(BucketId) -> bool) {
        self.0.write().retain(|id, _| wanted(*id));
    }

    /// Whether this region decides under the deed's epoch. The epoch after one under which it
    /// decided, with the home still here, is another way of taking writes: every move raises it.
    fn is_taken(&self, deed: &BucketDeed) -> bool {
        let seat = self.get(deed.id);
        let taken = seat.filter(|seat| seat.waits.is_none());
        deed.epoch == 1
            || taken.is_some_and(|seat| seat.epoch == deed.epoch || seat.epoch + 1 == deed.epoch)
    }

    /// As [`Self::is_taken`], with how long it waits at most where it does not.
    fn waits(&self, deed: &BucketDeed) -> Option<String> {
        if self.is_taken(deed) {
            return None;
        }
        let until = self.get(deed.id).and_then(|seat| seat.waits);
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        Some(match left {
            Some(left) if !left.is_zero() => format!("{} ms at most", left.as_millis()),
            _ => "a moment".to_owned(),
        })
    }
}

fn elsewhere() -> NotNow {
    NotNow("Where the bucket's writes are taken has changed meanwhile. Try again.".to_owned())
}

impl Judge for Promises {
    fn may_commit(&self, deed: &BucketDeed) -> Result<(), NotNow> {
        match self.fenced(deed) && deed.home == self.here {
            true => Err(self.is_fenced(deed)),
            false => Ok(()),
        }
    }

    fn may_write(&self, deed: &BucketDeed) -> Result<(), NotNow> {
        if deed.home != self.here {
            return Ok(());
        }
        self.may_commit(deed)?;
        match deed.placement.unrenewed {
            Unrenewed::Plain | Unrenewed::All => Ok(()),
            Unrenewed::None => {
                // Promises are for what is known now: who could succeed it may have changed, and
                // the home too.
                let now = self.regions.deed(&deed.name).filter(|d| d.id == deed.id);
                let now = now.filter(|now| now.home == self.here);
                let now = now.ok_or_else(elsewhere)?;
                self.is_renewed(&now)
            }
        }
    }

    fn may_decide(&self, deed: &BucketDeed) -> Result<(), NotNow> {
        if deed.holding(&self.here) != Holding::Home {
            return Err(NotNow(format!(
                "The home of the bucket is region {}, which decides on conditions.",
                deed.home
            )));
        }
        self.may_commit(deed)?;
        // A deed that was read a while ago says nothing, nor who could succeed this home by it.
        let now = self.regions.deed(&deed.name).filter(|d| d.id == deed.id);
        let now = now.filter(|now| now.epoch == deed.epoch && now.home == self.here);
        let now = now.ok_or_else(elsewhere)?;
        if let Some(left) = self.seats.waits(deed) {
            return Err(NotNow(format!(
                "Region {} has become the bucket's home, and waits until the former home decides \
                 nothing more ({left}). Try again.",
                self.here
            )));
        }
        let now = match types::planted("succession-of-before") {
            true => deed,
            false => &now,
        };
        match now.placement.unrenewed {
            Unrenewed::All => Ok(()),
            Unrenewed::Plain | Unrenewed::None => self.is_renewed(now),
        }
    }

    fn has_all(&self, deed: &BucketDeed) -> Result<(), NotNow> {
        // Under the first epoch nobody but the home has taken anything.
        let Some(status) = self.status.get().filter(|_| deed.epoch > 1) else {
            return Ok(());
        };
        let missing = status.not_following(deed);
        if missing.is_empty() || types::planted("deleted-with-what-others-have") {
            return Ok(());
        }
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        Err(NotNow(format!(
            "The bucket had another home before, or took writes in every region, and these replicas \
             have not handed over yet what they alone may have: {}. Try again once they follow \
             (dhow bucket show {}), or take them away first.",
            missing.join(", "),
            deed.name
        )))
    }
}

impl Promises {
    /// Whether this region decides under the deed's epoch: then, whether all that the home before
    /// decided is known to be here.
    pub fn taken_over(&self, deed: &BucketDeed) -> Option<bool> {
        let seat = self.seats.get(deed.id).filter(|s| s.epoch == deed.epoch)?;
        seat.waits.is_none().then_some(seat.complete)
    }

    fn is_fenced(&self, deed: &BucketDeed) -> NotNow {
        NotNow(format!(
            "Another region has a newer deed of the bucket than epoch {}, which region {} knows. Try \
             again, or at another region.",
            deed.epoch, self.here
        ))
    }

    fn is_renewed(&self, deed: &BucketDeed) -> Result<(), NotNow> {
        // Promotions are made in the registry's region, one after another, and a home there learns
        // of each as it is made.
        let keeps = self.keeper.as_ref() == Some(&self.here);
        if keeps || types::planted("unrenewed-decides") {
            return Ok(());
        }
        if self
            .keeper
            .as_ref()
            .is_some_and(|keeper| self.holds(keeper))
        {
            return Ok(());
        }
        let silent: Vec<String> = (deed.placement.succession())
            .filter(|region| **region != self.here && !self.holds(region))
            .map(ToString::to_string)
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        let keeper = match &self.keeper {
            Some(keeper) => format!("neither the registry's region {keeper} nor"),
            None => "not".to_owned(),
        };
        Err(NotNow(format!(
            "The bucket's home, region {}, cannot confirm that it is still the home: {keeper} all \
             regions that could succeed it answer (no answer of {}). Writes without conditions go \
             on unless the bucket's placement forbids them. Try again; if it lasts, restore the \
             link or promote another region.",
            self.here,
            silent.join(", ")
        )))
    }
}
