//! Entries that cannot be applied.

use std::collections::BTreeMap;

/// How often each entry of a page was tried in vain. One that cannot be applied by itself is given
/// up after some tries, so that those behind it go on: the follower then puts that on record.
///
/// Where the order of entries matters nothing is given up. The follower stops, its state says why,
/// and the runner tries again.
#[derive(Debug)]
pub struct Tries<E> {
    max: usize,
    failed: BTreeMap<E, usize>,
}

impl<E: Ord> Tries<E> {
    /// Each entry is tried so often.
    pub fn of(max: usize) -> Self {
        Self {
            max,
            failed: BTreeMap::new(),
        }
    }

    /// A try failed. Answers whether it was the last one: the entry is given up, and dropped here.
    pub fn failed(&mut self, entry: E) -> bool {
        let tries = self.failed.get(&entry).copied().unwrap_or_default() + 1;
        if tries >= self.max {
            self.failed.remove(&entry);
            return true;
        }
        self.failed.insert(entry, tries);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_given_up_once_and_holds_up_no_other() {
        let mut tries = Tries::of(3);
        assert!(!tries.failed("a") && !tries.failed("b") && !tries.failed("a"));
        assert!(tries.failed("a"));
        // Named once more, it is another one.
        assert!(!tries.failed("a") && !tries.failed("b"));
        assert!(tries.failed("b"));
        assert_eq!(tries.failed.len(), 1);
    }
}
