//! How many requests are worked on at once.
//!
//! Too few leave the machine idle while it waits for its disk; too many wait for each other where
//! no account's turn is kept, and are slower together. With few inside, a request takes as long as
//! it must. More are let in as long as that does not grow much: then they only fill the time in
//! which others wait for the disk.

/// Ticks in which what left is counted.
const WINDOW: u32 = 4;
/// Windows after which it looks again how long a request takes with few inside.
const AGAIN: u32 = 20;

/// Finds the width by what it is given after each tick.
#[derive(Debug)]
pub(super) struct Width {
    least: usize,
    most: usize,
    now: usize,
    /// Ticks in a row in which all places were taken, and what had left when they began.
    full: Option<(u32, u64)>,
    /// Ticks for which an entry stays, a thousandth each, with the least width.
    base: Option<u64>,
    windows: u32,
    /// The width before it looked at the least.
    before: usize,
}

impl Width {
    pub(super) fn new(least: usize, most: usize) -> Self {
        let least = least.max(1);
        Self {
            least,
            most: most.max(least),
            now: least,
            full: None,
            base: None,
            windows: 0,
            before: 0,
        }
    }

    pub(super) fn get(&self) -> usize {
        self.now
    }

    /// A tick has passed, `left` entries have left so far, and some wait or not. Answers the width
    /// from here on.
    pub(super) fn tick(&mut self, left: u64, some_wait: bool) -> usize {
        if !some_wait {
            self.full = None;
            return self.now;
        }
        let (ticks, begun) = self.full.get_or_insert((0, left));
        *ticks += 1;
        // The first tick only begins the count.
        if *ticks <= WINDOW {
            return self.now;
        }
        let gone = (left - *begun).max(1);
        // Little's law: those inside, divided by those that leave in a tick.
        let stay = self.now as u64 * u64::from(WINDOW) * 1000 / gone;
        self.full = None;
        self.judge(stay);
        self.now
    }

    fn judge(&mut self, stay: u64) {
        self.windows += 1;
        if self.now == self.least {
            // A machine that others keep busy for a while makes requests slow; more of them inside
            // would make it no faster. So the shortest time rises again slowly.
            let known = self.base.map_or(stay, |base| base + base / 16 + 1);
            self.base = Some(stay.min(known));
            self.windows = 0;
        }
        let base = self.base.unwrap_or(stay);
        let before = std::mem::take(&mut self.before);
        self.now = if self.windows >= AGAIN {
            self.before = self.now;
            self.least
        } else if before > 0 {
            (before - before / 4).max(self.least)
        } else if stay * 4 <= base * 5 {
            (self.now + self.now / 4 + 1).min(self.most)
        } else if stay * 2 > base * 3 {
            (self.now - self.now / 4).max(self.least)
        } else {
            self.now
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that has `rate` requests done in a tick at most, each of which takes `floor`
    /// thousandths of a tick at least; the widths that are tried on it.
    fn widths(rate: u64, floor: u64) -> Vec<usize> {
        let mut width = Width::new(32, 1024);
        let mut left = 0;
        (0..2000)
            .map(|_| {
                let now = width.get() as u64;
                left += (now * 1000 / floor).min(rate);
                width.tick(left, true)
            })
            .collect()
    }

    #[test]
    fn a_machine_that_is_busy_with_few_is_given_few() {
        let widths = widths(800, 5);
        assert!(widths.iter().all(|w| *w <= 64), "{:?}", widths.iter().max());
    }

    #[test]
    fn a_machine_that_waits_for_its_disk_is_given_many() {
        // 32 at once would have 80 of 1,000 done.
        let widths = widths(1000, 400);
        let mean = widths[200..].iter().sum::<usize>() / 1800;
        assert!(mean >= 320, "{mean}");
    }

    #[test]
    fn a_machine_that_others_keep_busy_at_times_is_given_few() {
        let mut width = Width::new(32, 1024);
        let (mut left, mut seed, mut sum) = (0, 1_u64, 0);
        for _ in 0..4000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // All of it, or as little as a twentieth.
            left += 800 / (1 + seed % 20);
            sum += width.tick(left, true);
        }
        assert!(sum / 4000 <= 64, "{}", sum / 4000);
    }

    #[test]
    fn while_nobody_waits_nothing_is_learnt() {
        let mut width = Width::new(32, 1024);
        assert!((0..100).all(|n| width.tick(n, false) == 32));
    }
}
