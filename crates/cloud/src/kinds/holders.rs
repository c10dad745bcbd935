//! Who has something: so that nobody looks at every user of an account to find out.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use crate::common;

/// Ids of users or groups, by the id of what they have.
#[derive(Debug, Default)]
pub(crate) struct Holders(HashMap<String, BTreeSet<String>>);

impl Holders {
    /// `id`, which is of this account, has all of `what`.
    pub(super) fn add<'w>(
        &mut self,
        what: impl IntoIterator<Item = &'w String>,
        (account, id): (&str, &str),
    ) {
        for what in what {
            self.0
                .entry(key(account, what).into_owned())
                .or_default()
                .insert(id.to_owned());
        }
    }

    /// `id`, which is of this account, has none of `what` any more.
    pub(super) fn take<'w>(
        &mut self,
        what: impl IntoIterator<Item = &'w String>,
        (account, id): (&str, &str),
    ) {
        for what in what {
            let key = key(account, what);
            if let Some(holders) = self.0.get_mut(&*key) {
                holders.remove(id);
                if holders.is_empty() {
                    self.0.remove(&*key);
                }
            }
        }
    }

    /// Those that have what one account has, in order of id.
    pub(crate) fn of(&self, what: &str) -> impl Iterator<Item = &String> {
        self.0.get(what).into_iter().flatten()
    }

    /// Those of this account that have it, in order of id.
    pub(crate) fn in_account(&self, account: &str, what: &str) -> impl Iterator<Item = &String> {
        self.0.get(&*key(account, what)).into_iter().flatten()
    }

    /// How many of this account have it.
    pub(crate) fn count(&self, account: &str, what: &str) -> usize {
        self.0.get(&*key(account, what)).map_or(0, BTreeSet::len)
    }
}

/// By what the holders of one account are found. What every account has is noted for each.
fn key<'w>(account: &str, what: &'w str) -> Cow<'w, str> {
    match common::by_id(what) {
        Some(_) if !types::planted("uses-of-other-accounts") => {
            Cow::Owned([account, "/", what].concat())
        }
        _ => Cow::Borrowed(what),
    }
}
