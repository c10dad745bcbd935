//! What the other regions' clocks show, and that of this region.

use std::collections::HashMap;

use parking_lot::Mutex;
use types::RegionId;

/// How far a region's clock may be off, in milliseconds, before it refuses writes: as for its
/// admission.
pub const OFF_MAX_MS: u64 = cloud::SKEW_MAX_MS;

/// Clocks as they were when the regions last answered.
#[derive(Debug, Default)]
pub struct Clocks(Mutex<Compared>);

#[derive(Debug, Default)]
struct Compared {
    /// How far each is ahead of this region's, in milliseconds.
    ahead: HashMap<RegionId, i64>,
    /// How far all of them together say that this region's is ahead of theirs.
    own: i64,
}

impl Clocks {
    /// Takes over what was found: how far each region is ahead, and how far this one is.
    pub fn note(&self, ahead: HashMap<RegionId, i64>, own: i64) {
        *self.0.lock() = Compared { ahead, own };
    }

    /// How far this region's clock is ahead of the others'; less than zero when it is behind. Zero
    /// as long as nothing shows that it is off.
    pub fn own(&self) -> i64 {
        self.0.lock().own
    }

    /// How far another region's clock is off, as [`Clocks::own`]: this region's own fault is taken
    /// out. `None` for one that did not answer the last time.
    pub fn of(&self, region: &RegionId) -> Option<i64> {
        let compared = self.0.lock();
        let ahead = compared.ahead.get(region)?;
        Some(ahead.saturating_add(compared.own))
    }
}

/// Whether a clock is off by more than is allowed.
pub fn is_off(ahead: i64) -> bool {
    ahead.unsigned_abs() > OFF_MAX_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_here_is_not_taken_for_that_of_the_others() {
        let clocks = Clocks::default();
        let (one, other) = (RegionId::new("one"), RegionId::new("other"));
        assert_eq!((clocks.own(), clocks.of(&one)), (0, None));
        // Ours is right.
        clocks.note([(one.clone(), 4_000), (other.clone(), 3)].into(), 0);
        assert!(is_off(clocks.of(&one).unwrap()) && !is_off(clocks.of(&other).unwrap()));
        // Ours is four seconds behind: so the others look ahead, and are not.
        clocks.note(
            [(one.clone(), 4_000), (other.clone(), 4_003)].into(),
            -4_000,
        );
        assert_eq!(clocks.of(&one), Some(0));
        assert_eq!(clocks.of(&other), Some(3));
        assert!(is_off(clocks.own()));
        clocks.note([(one.clone(), i64::MIN)].into(), -1);
        assert_eq!(clocks.of(&one), Some(i64::MIN));
        assert!(!is_off(2_000) && is_off(2_001) && is_off(-2_001) && is_off(i64::MIN));
    }
}
