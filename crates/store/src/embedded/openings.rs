//! Positions that are never given twice.
//!
//! Each opening of an engine gives its commits positions from a base of its own, far above all that
//! earlier openings gave. What a loss of power cuts off the journal's end had positions too, and a
//! follower may have seen them: they never return. A base is random, so a folder that was copied or
//! brought back from a backup gives other positions than the one that it was copied from. The
//! openings and the positions that survived are kept in the index; a position that is in none of
//! them is not one of this log.

use types::Random;

/// The least distance between what one opening gave and the next one's base. More commits than
/// this cannot be cut off.
const STEP: u64 = 1 << 32;
/// How much of a base is random.
const RANDOM_BITS: u32 = 40;
/// Openings that are remembered; a follower that is further behind begins anew.
const KEPT_MAX: usize = 4096;
const BYTES: usize = 16;

/// The positions of one opening that has ended: those after `base`, up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opening {
    base: u64,
    last: u64,
}

/// All openings, in order. The last one is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Openings(Vec<Opening>);

impl Openings {
    /// Ends the opening before, whose last commit that is still there is `end`, and begins a new
    /// one. Answers its base. Where commits before `end` are lost, nobody goes on from the
    /// positions of earlier openings.
    pub(super) fn begin(&mut self, end: u64, is_lossy: bool, random: &dyn Random) -> u64 {
        let given = match self.0.last_mut() {
            Some(before) => {
                before.last = end.max(before.base);
                before.last
            }
            None => {
                // Made by an earlier version, or nothing yet.
                self.0.push(Opening { base: 0, last: end });
                end
            }
        };
        let shift = random.next_u64() >> (u64::BITS - RANDOM_BITS);
        let base = match types::planted("positions-given-again") {
            true => given,
            false => given.saturating_add(STEP).saturating_add(shift),
        };
        if is_lossy {
            self.0 = vec![Opening { base: 0, last: 0 }];
        }
        let last = u64::MAX;
        self.0.push(Opening { base, last });
        let surplus = self.0.len().saturating_sub(KEPT_MAX);
        self.0.drain(..surplus);
        base
    }

    /// Whether a commit of this log could have this position, or a follower of it have it as its
    /// position.
    pub(super) fn gave(&self, position: u64) -> bool {
        let after = self.0.partition_point(|opening| opening.base <= position);
        match after.checked_sub(1) {
            Some(at) => position <= self.0[at].last,
            // 0 is before the first entry; an opening that is no longer recorded gave the rest.
            None => position == 0 || self.0.is_empty(),
        }
    }

    /// To be kept.
    pub(super) fn encode(&self) -> Vec<u8> {
        let words = self.0.iter().flat_map(|o| [o.base, o.last]);
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// What was kept.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; 8]));
        let openings = bytes.chunks_exact(BYTES).map(|pair| Opening {
            base: word(pair),
            last: word(&pair[8..]),
        });
        Self(openings.collect())
    }
}

#[cfg(test)]
mod tests {
    use types::SeededRandom;

    use super::*;

    #[test]
    fn positions_of_what_was_cut_off_are_refused_for_ever() {
        let random = SeededRandom::new(3);
        let mut openings = Openings::default();
        openings.begin(100, false, &random);
        assert!(
            openings.gave(0) && openings.gave(100),
            "of an earlier version"
        );
        let base = openings.begin(0, false, &random);
        assert!(!openings.gave(101) && openings.gave(base) && openings.gave(base + 7));
        // Seven commits were given, and five of them survived.
        let next = openings.begin(base + 5, false, &random);
        assert!(next > base + STEP);
        for _ in 0..10 {
            assert!(openings.gave(base) && openings.gave(base + 5));
            assert!(!openings.gave(base + 6) && !openings.gave(base + 7));
            openings.begin(0, false, &random);
            openings = Openings::decode(&openings.encode());
        }
    }

    #[test]
    fn a_copied_folder_gives_other_positions() {
        let mut one = Openings::default();
        one.begin(0, false, &SeededRandom::new(1));
        let mut copy = one.clone();
        let of_one = one.begin(9, false, &SeededRandom::new(2));
        let of_copy = copy.begin(9, false, &SeededRandom::new(3));
        assert!(of_one.abs_diff(of_copy) > 1_000_000);
        let (low, high) = match of_one < of_copy {
            true => (one, of_copy),
            false => (copy, of_one),
        };
        // The one with the lower base must have given as many commits to reach the other's.
        assert!(low.gave(high), "it is under way, so its end decides");
    }

    #[test]
    fn the_list_stays_bounded() {
        let mut openings = Openings::default();
        let random = SeededRandom::new(5);
        for _ in 0..KEPT_MAX + 50 {
            openings.begin(0, false, &random);
        }
        assert_eq!(openings.0.len(), KEPT_MAX);
        assert!(openings.gave(0) && !openings.gave(1));
    }
}
