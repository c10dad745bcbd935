//! Regions that do not answer: one question after another waits for an answer that does not come,
//! so of many that are to be asked of such a region one is asked once in a while.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;
use types::RegionId;

#[derive(Default)]
struct Known {
    /// When it answered last.
    answered: Option<Instant>,
    /// It counts as silent until then; whoever comes first after that asks it once more.
    silent: Option<Instant>,
}

/// Of each region whether it answers.
#[derive(Default)]
pub(crate) struct Silences(Mutex<HashMap<RegionId, Known>>);

impl Silences {
    /// Whether to ask it now. Who asks a region that was silent asks for all others for `pause`.
    pub(crate) fn is_asked(&self, region: &RegionId, pause: Duration) -> bool {
        if types::planted("silent-regions-asked") {
            return true;
        }
        let mut all = self.0.lock();
        let now = Instant::now();
        match all.get_mut(region).and_then(|known| known.silent.as_mut()) {
            Some(until) if now < *until => false,
            Some(until) => {
                *until = now + pause;
                true
            }
            None => true,
        }
    }

    /// It has answered something.
    pub(crate) fn answers(&self, region: &RegionId) {
        let answered = Some(Instant::now());
        let known = Known {
            answered,
            silent: None,
        };
        self.0.lock().insert(region.clone(), known);
    }

    /// A question that was sent at `asked` had no answer. Where another one had, which was sent no
    /// earlier or was under way then, that says nothing about the region.
    pub(crate) fn is_silent(&self, region: &RegionId, asked: Instant, pause: Duration) {
        let mut all = self.0.lock();
        let known = all.entry(region.clone()).or_default();
        if known.answered.is_none_or(|answered| answered < asked) {
            known.silent = Some(Instant::now() + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_silent_region_is_asked_once_in_a_while_and_another_one_always() {
        let (silences, gone, there) = (
            Silences::default(),
            RegionId::new("gone"),
            RegionId::new("there"),
        );
        let asked = Instant::now();
        assert!((0..3).all(|_| silences.is_asked(&gone, LONG)), "not known");
        silences.is_silent(&gone, asked, LONG);
        assert!(!silences.is_asked(&gone, LONG));
        assert!((0..3).all(|_| silences.is_asked(&there, LONG)));
        // After the pause one asks for all.
        silences.is_silent(&gone, asked, Duration::ZERO);
        assert!(silences.is_asked(&gone, LONG));
        assert!(!silences.is_asked(&gone, LONG));
        // One answer is enough, also while other questions wait in vain.
        let asked = Instant::now();
        silences.answers(&gone);
        silences.is_silent(&gone, asked, LONG);
        assert!((0..3).all(|_| silences.is_asked(&gone, LONG)));
    }
}
