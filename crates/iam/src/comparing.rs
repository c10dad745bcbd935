//! How much accounts may have compared: a simulation decides many requests at once, by policies
//! that its caller writes, and the processors are everybody's.

use std::collections::HashMap;

use parking_lot::Mutex;
use types::{AccountId, Timestamp};

use crate::IamError;

/// Steps of comparing that one simulation may take.
pub(crate) const STEPS_MAX: u32 = 2_000_000;
/// Steps of an account at once, and how many come back in a second.
const BURST: f64 = 8e6;
const PER_SECOND: f64 = 1e6;
/// Accounts that are remembered; past that those go that have all of their steps.
const REMEMBERED_MAX: usize = 10_000;

/// What accounts have left.
#[derive(Default)]
pub(crate) struct Comparing {
    left: Mutex<HashMap<AccountId, (f64, Timestamp)>>,
}

impl Comparing {
    /// Takes what a simulation may need at most. What it did not need is given back.
    pub fn take(&self, account: &AccountId, now: Timestamp) -> Result<(), IamError> {
        let mut all = self.left.lock();
        let refilled = |&(left, at): &(f64, Timestamp)| {
            let seconds = now.ms().saturating_sub(at.ms()) as f64 / 1000.0;
            (left + seconds * PER_SECOND).min(BURST)
        };
        if all.len() >= REMEMBERED_MAX && !all.contains_key(account) {
            all.retain(|_, left| refilled(left) < BURST);
        }
        let left = all.get(account).map_or(BURST, refilled) - f64::from(STEPS_MAX);
        if left < 0.0 || all.len() > REMEMBERED_MAX {
            return Err(IamError::new(
                "Throttling",
                400,
                "Rate exceeded: the account's simulations compare too much. Try again later.",
            ));
        }
        all.insert(account.clone(), (left, now));
        Ok(())
    }

    /// Gives back what a simulation did not need.
    pub fn give_back(&self, account: &AccountId, steps: u32) {
        if let Some((left, _)) = self.left.lock().get_mut(account) {
            *left = (*left + f64::from(steps)).min(BURST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_share_and_no_more() {
        let comparing = Comparing::default();
        let at = |ms: u64| Timestamp::from_ms(1_000_000 + ms);
        let (one, other) = (AccountId::new("one"), AccountId::new("other"));
        for _ in 0..4 {
            comparing.take(&one, at(0)).unwrap();
        }
        let refused = comparing.take(&one, at(0)).unwrap_err();
        assert_eq!(refused.code, "Throttling");
        // Nobody else waits for that.
        comparing.take(&other, at(0)).unwrap();
        // What was not needed comes back at once, the rest with time.
        comparing.give_back(&one, STEPS_MAX);
        comparing.take(&one, at(0)).unwrap();
        assert!(comparing.take(&one, at(1_900)).is_err());
        comparing.take(&one, at(2_000)).unwrap();
    }
}
