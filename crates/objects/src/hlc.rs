//! The hybrid logical clocks that name versions: wall-clock time where they can, always rising.
//!
//! Each bucket has a clock of its own, so that what a region says in one bucket moves no other. A
//! clock goes ahead of the wall clock by as much at most as versions of other regions may. One key
//! whose version is further ahead (the wall clock was wrong once) takes its own new versions along
//! and no other key's.

use std::collections::HashMap;

use parking_lot::Mutex;
use types::{BucketId, Clock, Random, RegionId, Timestamp, VersionId};
use xxhash_rust::xxh3::xxh3_64;

use crate::replicate::AHEAD_MAX_MS;

/// How far a bucket's clock may be ahead of the wall clock: as far as what a replica takes over.
const CLOCK_AHEAD_MS: u64 = 2 * AHEAD_MAX_MS;
const SHARDS: usize = 16;
/// Clocks that a shard keeps before it looks for some that say nothing any more.
const CLOCKS_MAX: usize = 4096;

/// Milliseconds and a counter within them: what orders versions.
type Stamp = (u64, u16);

/// Gives version ids that rise within each bucket while the process runs, whatever the machine's
/// clock does short of a correction by more than [`CLOCK_AHEAD_MS`].
pub(crate) struct VersionClock {
    region_tag: u32,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    last: HashMap<BucketId, Stamp>,
    /// No bucket without a clock was given anything above this.
    others: Stamp,
    /// With so many clocks, some are looked for that may go.
    room: usize,
}

/// What versions say of the region where they were made.
pub(crate) fn region_tag(region: &RegionId) -> u32 {
    xxh3_64(region.as_bytes()) as u32
}

/// The next stamp; `None` after the last one there is.
fn after((ms, counter): Stamp) -> Option<Stamp> {
    match counter.checked_add(1) {
        Some(counter) => Some((ms, counter)),
        None if ms < VersionId::MS_MAX => Some((ms + 1, 0)),
        None => None,
    }
}

impl Shard {
    /// The last stamp of a bucket, unless the wall clock has been set back since by more than a
    /// clock may be ahead of it.
    fn last(&self, bucket: BucketId, limit: u64) -> Option<Stamp> {
        let last = self.last.get(&bucket).copied().unwrap_or(self.others);
        Some(last).filter(|last| last.0 <= limit)
    }

    /// Raises a bucket's clock, and lets clocks go that the wall clock has passed.
    fn raise(&mut self, bucket: BucketId, to: Stamp, now: u64) {
        self.last.insert(bucket, to);
        if self.last.len() <= self.room.max(CLOCKS_MAX) {
            return;
        }
        let limit = now.saturating_add(CLOCK_AHEAD_MS);
        if self.others.0 > limit {
            self.others = (0, 0);
        }
        let others = &mut self.others;
        self.last.retain(|_, last| {
            if last.0 <= now {
                *others = (*others).max(*last);
            }
            last.0 > now && last.0 <= limit
        });
        self.room = self.last.len() * 2;
    }
}

impl VersionClock {
    pub(crate) fn new(region: &RegionId) -> Self {
        Self {
            // Distinguishes regions that write in the same millisecond; any spread will do.
            region_tag: region_tag(region),
            shards: Default::default(),
        }
    }

    fn shard(&self, bucket: BucketId) -> &Mutex<Shard> {
        &self.shards[bucket.0 as usize % SHARDS]
    }

    /// An id above all that were given in the bucket before, and above `floor` (the version it
    /// replaces, which may come from before a restart or from another region). `None` when there is
    /// none above `floor`.
    pub(crate) fn next(
        &self,
        bucket: BucketId,
        clock: &dyn Clock,
        random: &dyn Random,
        floor: Option<VersionId>,
    ) -> Option<VersionId> {
        let bucket = its_clock(bucket);
        let now = clock.now().ms().min(VersionId::MS_MAX);
        let limit = now.saturating_add(CLOCK_AHEAD_MS);
        let (ms, counter) = {
            let mut shard = self.shard(bucket).lock();
            let last = shard.last(bucket, limit).and_then(after);
            let mut stamp = (now, 0).max(last.unwrap_or_default());
            if let Some(floor) = floor {
                stamp = stamp.max(after((floor.at().ms(), floor.counter()))?);
            }
            if types::planted("wall-clock-order") {
                stamp = (now, 0);
            }
            // A key that is further ahead takes no other key along.
            if stamp.0 <= limit {
                shard.raise(bucket, stamp, now);
            }
            stamp
        };
        let tail = random.next_u64() as u32;
        let at = Timestamp::from_ms(ms);
        Some(VersionId::new(at, counter, self.region_tag, tail))
    }

    /// Whether the id was given in this region.
    pub(crate) fn is_own(&self, version: VersionId) -> bool {
        version.region_tag() == self.region_tag
    }

    /// Ids of the bucket from now on are above `version`, which came from another region and is
    /// ahead of the clock, unless it is further ahead than a clock may be. What is not ahead needs
    /// nothing: a key's next version is above those that it has anyway.
    pub(crate) fn observe(&self, bucket: BucketId, clock: &dyn Clock, version: VersionId) {
        let bucket = its_clock(bucket);
        let now = clock.now().ms();
        let limit = now.saturating_add(CLOCK_AHEAD_MS);
        let seen = (version.at().ms(), version.counter());
        let mut shard = self.shard(bucket).lock();
        let last = shard.last(bucket, limit).unwrap_or_default();
        if seen > last && seen.0 <= limit && seen.0 > now {
            shard.raise(bucket, seen, now);
        }
    }
}

fn its_clock(bucket: BucketId) -> BucketId {
    match types::planted("one-clock-for-all-buckets") {
        true => BucketId(0),
        false => bucket,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{SeededRandom, TestClock};

    const ONE: BucketId = BucketId(1);

    fn at(ms: u64) -> VersionId {
        VersionId::new(Timestamp::from_ms(ms), u16::MAX, u32::MAX, u32::MAX)
    }

    #[test]
    fn versions_rise_though_the_clock_steps_back() {
        let clock = TestClock::at_ms(1000);
        let random = SeededRandom::new(1);
        let hlc = VersionClock::new(&RegionId::new("r"));
        let a = hlc.next(ONE, &clock, &random, None).unwrap();
        assert_eq!(a.at().ms(), 1000);
        clock.set_ms(10);
        let mut last = a;
        for _ in 0..70_000 {
            let next = hlc.next(ONE, &clock, &random, None).unwrap();
            assert!(next > last);
            last = next;
        }
        let foreign = at(5000);
        assert!(hlc.next(ONE, &clock, &random, Some(foreign)).unwrap() > foreign);
    }

    #[test]
    fn what_one_bucket_has_seen_moves_no_other() {
        let clock = TestClock::at_ms(1_000_000);
        let random = SeededRandom::new(1);
        let hlc = VersionClock::new(&RegionId::new("r"));
        let ahead = at(1_000_000 + AHEAD_MAX_MS);
        hlc.observe(ONE, &clock, ahead);
        assert!(hlc.next(ONE, &clock, &random, None).unwrap() > ahead);
        for other in [BucketId(2), BucketId(1 + SHARDS as u64)] {
            let next = hlc.next(other, &clock, &random, None).unwrap();
            assert_eq!(next.at().ms(), 1_000_000);
        }
    }

    #[test]
    fn a_key_that_is_far_ahead_takes_no_other_key_along() {
        let clock = TestClock::at_ms(1_000_000);
        let random = SeededRandom::new(1);
        let hlc = VersionClock::new(&RegionId::new("r"));
        for far in [at(1_000_001 + CLOCK_AHEAD_MS), at(VersionId::MS_MAX - 1)] {
            hlc.observe(ONE, &clock, far);
            let over = hlc.next(ONE, &clock, &random, Some(far)).unwrap();
            assert!(over > far);
            let next = hlc.next(ONE, &clock, &random, None).unwrap();
            assert_eq!(next.at().ms(), 1_000_000);
        }
        // There is nothing above the last one, and it does not begin anew below.
        let last = at(VersionId::MS_MAX);
        assert_eq!(hlc.next(ONE, &clock, &random, Some(last)), None);
        clock.set_ms(u64::MAX);
        let next = hlc.next(BucketId(2), &clock, &random, None).unwrap();
        assert_eq!(next.at().ms(), VersionId::MS_MAX);
    }

    #[test]
    fn a_clock_that_was_far_ahead_and_is_corrected_counts_again() {
        let clock = TestClock::at_ms(4_000_000_000_000);
        let random = SeededRandom::new(1);
        let hlc = VersionClock::new(&RegionId::new("r"));
        hlc.next(ONE, &clock, &random, None).unwrap();
        clock.set_ms(1_700_000_000_000);
        let next = hlc.next(ONE, &clock, &random, None).unwrap();
        assert_eq!(next.at().ms(), 1_700_000_000_000);
    }

    #[test]
    fn clocks_of_many_buckets_take_little_memory_and_still_rise() {
        let clock = TestClock::at_ms(1_000_000);
        let random = SeededRandom::new(1);
        let hlc = VersionClock::new(&RegionId::new("r"));
        let first = hlc.next(ONE, &clock, &random, None).unwrap();
        let buckets = (SHARDS * CLOCKS_MAX * 2) as u64;
        for n in 0..buckets {
            clock.advance_ms(n % 2);
            hlc.next(BucketId(n + 2), &clock, &random, None).unwrap();
        }
        for shard in &hlc.shards {
            assert!(shard.lock().last.len() <= CLOCKS_MAX + 1);
        }
        clock.set_ms(1_000_000);
        assert!(hlc.next(ONE, &clock, &random, None).unwrap() > first);
    }
}
