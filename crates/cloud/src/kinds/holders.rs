//! Who has something: so that nobody looks at every user of an account to find out.

use std::collections::{BTreeSet, HashMap};

/// Ids of users or groups, by the id of what they have.
#[derive(Debug, Default)]
pub(crate) struct Holders(HashMap<String, BTreeSet<String>>);

impl Holders {
    pub(super) fn add<'w>(&mut self, what: impl IntoIterator<Item = &'w String>, id: &str) {
        for what in what {
            self.0
                .entry(what.clone())
                .or_default()
                .insert(id.to_owned());
        }
    }

    pub(super) fn take<'w>(&mut self, what: impl IntoIterator<Item = &'w String>, id: &str) {
        for what in what {
            if let Some(holders) = self.0.get_mut(what) {
                holders.remove(id);
                if holders.is_empty() {
                    self.0.remove(what);
                }
            }
        }
    }

    /// Those that have it, in order of id.
    pub(crate) fn of(&self, what: &str) -> impl Iterator<Item = &String> {
        self.0.get(what).into_iter().flatten()
    }

    /// How many have it.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.get(what).map_or(0, BTreeSet::len)
    }
}
