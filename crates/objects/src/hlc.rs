//! The hybrid logical clock that names versions: wall-clock time where it can, always rising.

use parking_lot::Mutex;
use types::{Clock, Random, RegionId, Timestamp, VersionId};
use xxhash_rust::xxh3::xxh3_64;

/// Gives version ids that rise within the process, whatever the machine's clock does.
pub(crate) struct VersionClock {
    region_tag: u32,
    last: Mutex<(u64, u16)>,
}

/// What versions say of the region where they were made.
pub(crate) fn region_tag(region: &RegionId) -> u32 {
    xxh3_64(region.as_bytes()) as u32
}

impl VersionClock {
    pub(crate) fn new(region: &RegionId) -> Self {
        Self {
            // Tells regions apart that write in the same millisecond; any spread will do.
            region_tag: region_tag(region),
            last: Mutex::new((0, 0)),
        }
    }

    /// An id above all that were given before, and above `floor` (the version it replaces, which
    /// may come from before a restart or from another region).
    pub(crate) fn next(
        &self,
        clock: &dyn Clock,
        random: &dyn Random,
        floor: Option<VersionId>,
    ) -> VersionId {
        let now = clock.now().ms();
        let (ms, counter) = {
            let mut last = self.last.lock();
            let step = |(ms, counter): (u64, u16)| match counter.checked_add(1) {
                Some(counter) => (ms, counter),
                None => (ms + 1, 0),
            };
            // One millisecond above the floor is above it whatever its counter and tail are.
            let above = floor.map_or((0, 0), |v| (v.at().ms() + 1, 0));
            let wall = match floor {
                Some(floor) if floor.at().ms() >= now => above,
                _ => (now, 0),
            };
            *last = match types::planted("wall-clock-order") {
                false => wall.max(step(*last)),
                true => (now, 0),
            };
            *last
        };
        let tail = random.next_u64() as u32;
        VersionId::new(Timestamp::from_ms(ms), counter, self.region_tag, tail)
    }
}

impl VersionClock {
    /// Whether the id was given in this region.
    pub(crate) fn is_own(&self, version: VersionId) -> bool {
        version.region_tag() == self.region_tag
    }

    /// Ids from now on are above `version`, which came from another region.
    pub(crate) fn observe(&self, version: VersionId) {
        let mut last = self.last.lock();
        *last = (*last).max((version.at().ms(), u16::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{SeededRandom, TestClock};

    #[test]
    fn versions_rise_though_the_clock_steps_back() {
        let clock = TestClock::at_ms(1000);
        let random = SeededRandom::new(1);
        let hlc = VersionClock::new(&RegionId::new("r"));
        let a = hlc.next(&clock, &random, None);
        assert_eq!(a.at().ms(), 1000);
        clock.set_ms(10);
        let mut last = a;
        for _ in 0..70_000 {
            let next = hlc.next(&clock, &random, None);
            assert!(next > last);
            last = next;
        }
        let foreign = VersionId::new(Timestamp::from_ms(5000), u16::MAX, u32::MAX, u32::MAX);
        assert!(hlc.next(&clock, &random, Some(foreign)) > foreign);
    }
}
