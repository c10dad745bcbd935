//! What is remembered of acknowledged writes, in bounds.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use types::{BucketDeed, BucketId};

use super::Touched;

/// Keys of one bucket that are kept apart; beyond, all of the bucket is taken for written.
const KEYS_MAX: usize = 1024;
/// The same of all buckets together.
const ALL_KEYS_MAX: usize = 65_536;
/// So many buckets are looked at, whether they are to be remembered still, each time that it is
/// done, and how often that is. A request of one bucket waits for no look at all of them.
const LOOKED_AT: usize = 16;
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// A bucket whose marks need not end by themselves is dropped so long after its last write. A
/// region without a replica does not learn that all replicas have it; one that takes writes itself
/// serves what it has when its home is unreachable for long.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(5);

/// What was written of one bucket.
pub(super) struct Written {
    deed: Arc<BucketDeed>,
    /// Keys by their hash, and where they were written last. Two keys that share a hash cost a
    /// read in the home.
    keys: HashMap<u64, u64>,
    /// Where objects were written that are no longer kept apart.
    objects: u64,
    /// Where the configuration was written.
    configuration: u64,
    /// Where any object was.
    newest: u64,
    /// Up to where all is dropped.
    applied: u64,
    last: Instant,
}

impl Written {
    fn of(deed: &Arc<BucketDeed>, now: Instant) -> Self {
        Self {
            deed: Arc::clone(deed),
            keys: HashMap::new(),
            objects: 0,
            configuration: 0,
            newest: 0,
            applied: 0,
            last: now,
        }
    }

    pub(super) fn deed(&self) -> &BucketDeed {
        &self.deed
    }

    /// The bucket has another epoch. With another home its writes are ordered by another log:
    /// whoever has applied any of that has what was handed over to it, and so what was acknowledged
    /// before.
    fn under(&mut self, deed: &Arc<BucketDeed>) {
        if self.deed.home != deed.home || types::planted("marks-end-with-epochs") {
            let first = |at: &mut u64| *at = u64::from(*at > 0);
            self.keys.values_mut().for_each(first);
            for at in [&mut self.objects, &mut self.configuration, &mut self.newest] {
                first(at);
            }
        }
        self.applied = 0;
        self.deed = Arc::clone(deed);
    }

    fn add(&mut self, touched: &Touched, key: Option<u64>, position: u64, room: bool) {
        let room = room && self.keys.len() < KEYS_MAX;
        let known = match (touched, key) {
            (Touched::Configuration, _) => {
                self.configuration = position.max(self.configuration);
                return;
            }
            (Touched::Key(_), Some(key)) if room || self.keys.contains_key(&key) => {
                self.keys.entry(key).or_default()
            }
            _ => &mut self.objects,
        };
        *known = position.max(*known);
        self.newest = position.max(self.newest);
    }

    /// Up to where must be applied what `touched` reads.
    fn wanted(&self, touched: &Touched, key: Option<u64>) -> u64 {
        match (touched, key) {
            (Touched::Nothing, _) => 0,
            (Touched::Configuration, _) => self.configuration,
            (Touched::Key(_), Some(key)) => {
                let of_key = self.keys.get(&key).copied().unwrap_or(0);
                of_key.max(self.objects)
            }
            _ => self.newest,
        }
    }

    /// Drops what is applied; answers whether anything is left.
    fn applied(&mut self, position: u64) -> bool {
        if position > self.applied {
            self.applied = position;
            self.keys.retain(|_, at| *at > position);
            for at in [&mut self.objects, &mut self.configuration, &mut self.newest] {
                *at = if *at > position { *at } else { 0 };
            }
        }
        self.newest > 0 || self.configuration > 0
    }
}

/// How it stands with a bucket.
pub(super) struct Standing {
    /// It is there.
    pub(super) same: bool,
    /// It has another epoch by now.
    pub(super) moved: bool,
    /// Up to where the replica here has applied.
    pub(super) applied: u64,
    /// Nothing but time may end its marks.
    pub(super) endless: bool,
}

/// The buckets, and the keys of all of them.
#[derive(Default)]
pub(super) struct Buckets {
    all: BTreeMap<BucketId, Written>,
    keys: usize,
    /// Where the next look begins, and when the last one was.
    after: Option<BucketId>,
    looked: Option<Instant>,
}

impl Buckets {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Remembers a write.
    pub(super) fn add(
        &mut self,
        deed: &Arc<BucketDeed>,
        (touched, key): (&Touched, Option<u64>),
        position: u64,
        now: Instant,
    ) {
        let room = self.keys < ALL_KEYS_MAX;
        let written = (self.all.entry(deed.id)).or_insert_with(|| Written::of(deed, now));
        let before = written.keys.len();
        if written.deed.epoch < deed.epoch {
            written.under(deed);
        }
        if written.deed.home == deed.home {
            written.last = now;
            written.add(touched, key, position, room);
        }
        self.keys = self.keys - before + written.keys.len();
    }

    /// Does something to what is remembered of a bucket, which answers whether it is to stay.
    fn change<T>(
        &mut self,
        id: BucketId,
        change: impl FnOnce(&mut Written) -> (bool, T),
    ) -> Option<T> {
        let Entry::Occupied(mut found) = self.all.entry(id) else {
            return None;
        };
        let before = found.get().keys.len();
        let (stays, done) = change(found.get_mut());
        let mut after = found.get().keys.len();
        if !stays {
            found.remove();
            after = 0;
        }
        self.keys = self.keys - before + after;
        Some(done)
    }

    /// What a replica must have applied to show what is read; 0 where that is nothing.
    pub(super) fn wanted(
        &mut self,
        deed: &Arc<BucketDeed>,
        (touched, key): (&Touched, Option<u64>),
        standing: &Standing,
        now: Instant,
    ) -> u64 {
        let wanted = self.change(deed.id, |written| {
            if written.deed.epoch > deed.epoch {
                return (true, 0);
            }
            if written.deed.epoch < deed.epoch {
                written.under(deed);
            }
            match standing.same && still_wanted(written, standing, now) {
                true => (true, written.wanted(touched, key)),
                false => (false, 0),
            }
        });
        wanted.unwrap_or(0)
    }

    /// All up to there is applied wherever it is read.
    pub(super) fn applied(&mut self, id: BucketId, epoch: u64, position: u64) {
        self.change(id, |written| {
            let other = written.deed.epoch != epoch;
            (other || written.applied(position), ())
        });
    }

    /// Looks at some buckets, now and then, and drops those that need not be remembered.
    pub(super) fn look(&mut self, now: Instant, standing: impl Fn(&BucketDeed) -> Standing) {
        let recent = |at: Instant| now.saturating_duration_since(at) < LOOK_PAUSE;
        if self.looked.is_some_and(recent) {
            return;
        }
        self.looked = Some(now);
        let from = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.all.range((from, Bound::Unbounded));
        let ids: Vec<BucketId> = range.take(LOOKED_AT).map(|(id, _)| *id).collect();
        self.after = ids.last().copied().filter(|_| ids.len() == LOOKED_AT);
        for id in ids {
            self.change(id, |written| {
                let standing = standing(written.deed());
                let stays = match standing.moved {
                    // Until it is read under the new epoch.
                    true => now.saturating_duration_since(written.last) < FORGOTTEN_AFTER,
                    false => still_wanted(written, &standing, now),
                };
                (standing.same && stays, ())
            });
        }
    }
}

fn still_wanted(written: &mut Written, standing: &Standing, now: Instant) -> bool {
    let old = now.saturating_duration_since(written.last) >= FORGOTTEN_AFTER;
    !(standing.endless && old) && written.applied(standing.applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(id: u64) -> Arc<BucketDeed> {
        Arc::new(BucketDeed {
            id: BucketId(id),
            name: types::BucketName::new("papers").unwrap(),
            owner: types::AccountId::new("1"),
            home: types::RegionId::new("home"),
            created: types::Timestamp::default(),
            epoch: 1,
            placement: types::Placement::default(),
        })
    }

    fn any_key() -> Touched {
        Touched::Key(types::ObjectKey::new("k").unwrap())
    }

    fn standing(applied: u64, endless: bool) -> Standing {
        Standing {
            same: true,
            moved: false,
            applied,
            endless,
        }
    }

    #[test]
    fn what_is_remembered_of_a_bucket_is_bounded_and_never_too_little() {
        let mut written = Written::of(&deed(1), Instant::now());
        let any = any_key();
        for n in 1..=3 * KEYS_MAX as u64 {
            written.add(&any, Some(n), n, true);
            assert!(written.wanted(&any, Some(n)) >= n);
        }
        assert_eq!(written.keys.len(), KEYS_MAX);
        let last = 3 * KEYS_MAX as u64;
        assert_eq!(written.wanted(&Touched::Objects, None), last);
        assert!(written.applied(last - 1));
        assert_eq!(written.wanted(&any, Some(1)), last);
        assert!(!written.applied(last));
        written.add(&any, Some(1), last + 1, true);
        assert_eq!(written.wanted(&any, Some(2)), 0);
        assert_eq!(written.wanted(&Touched::Configuration, None), 0);
        assert_eq!(written.wanted(&any, Some(1)), last + 1);
        // What was configured keeps no object waiting.
        written.add(&Touched::Configuration, None, last + 2, true);
        assert_eq!(written.wanted(&Touched::Configuration, None), last + 2);
        assert_eq!(written.wanted(&any, Some(2)), 0);
        assert_eq!(written.wanted(&Touched::Objects, None), last + 1);
    }

    #[test]
    fn keys_of_all_buckets_together_are_bounded_and_never_too_few() {
        let (mut buckets, now, any) = (Buckets::default(), Instant::now(), any_key());
        let count = 2 * (ALL_KEYS_MAX / KEYS_MAX) as u64;
        for id in 1..=count {
            let deed = deed(id);
            for n in 1..=KEYS_MAX as u64 {
                buckets.add(&deed, (&any, Some(n)), n, now);
                let wanted = buckets.wanted(&deed, (&any, Some(n)), &standing(0, true), now);
                assert!(wanted >= n, "{wanted} {n}");
            }
        }
        let kept: usize = buckets.all.values().map(|written| written.keys.len()).sum();
        assert_eq!((kept, buckets.keys), (ALL_KEYS_MAX, ALL_KEYS_MAX));
        let last = deed(count);
        let wanted = buckets.wanted(&last, (&any, Some(1)), &standing(0, true), now);
        assert_eq!(wanted, KEYS_MAX as u64);
        // Room comes back.
        buckets.applied(BucketId(1), 1, KEYS_MAX as u64);
        buckets.applied(BucketId(2), 2, KEYS_MAX as u64);
        assert_eq!(buckets.keys, ALL_KEYS_MAX - KEYS_MAX);
        buckets.add(&last, (&any, Some(1)), 5, now);
        assert_eq!(buckets.keys, ALL_KEYS_MAX - KEYS_MAX + 1);
    }

    #[test]
    fn what_was_written_is_wanted_under_the_next_epoch_too() {
        let (mut buckets, now, any) = (Buckets::default(), Instant::now(), any_key());
        let before = deed(1);
        buckets.add(&before, (&any, Some(1)), 700, now);
        let next = Arc::new(BucketDeed {
            epoch: 2,
            home: types::RegionId::new("next"),
            ..(*before).clone()
        });
        // The replica here has not begun to follow the new home.
        let read = (&any, Some(1));
        assert_eq!(buckets.wanted(&next, read, &standing(0, false), now), 1);
        assert_eq!(
            buckets.wanted(&next, (&any, Some(2)), &standing(0, false), now),
            0
        );
        // It follows: that begins with all that the new home has.
        assert_eq!(buckets.wanted(&next, read, &standing(40, false), now), 0);
        assert_eq!(buckets.len(), 0);
        // A write of before that is added late, and one of after.
        buckets.add(&before, read, 700, now);
        buckets.add(&next, read, 50, now);
        assert_eq!(buckets.wanted(&next, read, &standing(40, false), now), 50);
    }

    #[test]
    fn positions_of_one_home_count_under_each_epoch() {
        let (mut buckets, now, any) = (Buckets::default(), Instant::now(), any_key());
        let before = deed(1);
        buckets.add(&before, (&any, Some(1)), 700, now);
        let next = Arc::new(BucketDeed {
            epoch: 2,
            ..(*before).clone()
        });
        let read = (&any, Some(1));
        let mut wanted = |applied| buckets.wanted(&next, read, &standing(applied, true), now);
        assert_eq!((wanted(699), wanted(700)), (700, 0));
    }

    #[test]
    fn each_look_is_at_few_buckets_and_comes_to_all_of_them() {
        let (mut buckets, begin, any) = (Buckets::default(), Instant::now(), any_key());
        for id in 0..100 {
            buckets.add(&deed(id), (&any, Some(1)), 7, begin);
        }
        let seen = std::cell::Cell::new(0);
        let look = |buckets: &mut Buckets, now: Instant, applied: u64| {
            seen.set(0);
            buckets.look(now, |_| {
                seen.set(seen.get() + 1);
                standing(applied, true)
            });
            seen.get()
        };
        assert_eq!(look(&mut buckets, begin, 7), LOOKED_AT);
        assert_eq!(look(&mut buckets, begin, 7), 0, "not so soon again");
        assert_eq!(buckets.len(), 100 - LOOKED_AT);
        let mut now = begin;
        for _ in 0..100_usize.div_ceil(LOOKED_AT) {
            now += LOOK_PAUSE;
            assert!(look(&mut buckets, now, 7) <= LOOKED_AT);
        }
        assert_eq!((buckets.len(), buckets.keys), (0, 0));
        // What nobody says to be applied ends all the same.
        buckets.add(&deed(1), (&any, Some(1)), 9, now);
        look(&mut buckets, now + FORGOTTEN_AFTER - LOOK_PAUSE, 7);
        assert_eq!(buckets.len(), 1);
        look(&mut buckets, now + FORGOTTEN_AFTER, 7);
        assert_eq!(buckets.len(), 0);
    }

    #[test]
    fn marks_of_a_copy_that_is_behind_do_not_end_by_time() {
        let (mut buckets, now, any) = (Buckets::default(), Instant::now(), any_key());
        let papers = deed(1);
        buckets.add(&papers, (&any, Some(1)), 9, now);
        let late = now + 2 * FORGOTTEN_AFTER;
        buckets.look(late, |_| standing(8, false));
        let mut wanted = |applied, endless| {
            let standing = standing(applied, endless);
            buckets.wanted(&papers, (&any, Some(1)), &standing, late)
        };
        assert_eq!(wanted(8, false), 9);
        assert_eq!(wanted(8, true), 0);
        assert_eq!(wanted(8, false), 0, "it is forgotten");
    }

    #[test]
    fn a_reader_with_an_older_deed_ends_no_newer_marks() {
        let (mut buckets, now, any) = (Buckets::default(), Instant::now(), any_key());
        let old = deed(1);
        let new = Arc::new(BucketDeed {
            epoch: 2,
            home: types::RegionId::new("next"),
            ..(*old).clone()
        });
        buckets.add(&new, (&any, Some(1)), 9, now);
        let asked = (&any, Some(1));
        assert_eq!(buckets.wanted(&old, asked, &standing(0, false), now), 0);
        buckets.add(&old, asked, 90, now);
        assert_eq!(buckets.wanted(&new, asked, &standing(0, false), now), 9);
    }
}
