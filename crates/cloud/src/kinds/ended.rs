//! Sessions that were ended singly: `z/<account id>/<access key>`, in every region. A row is of no
//! use once the session would have expired anyway: the next end of a session removes it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use types::{RegionId, features};

use super::Record;
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow},
    state::State,
};

/// Expired rows that one change removes.
const SWEPT_MAX: usize = 100;

/// A session that was ended, at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndedRecord {
    pub(crate) v: u32,
    /// No session lasts longer than until then, in seconds since 1970.
    pub(crate) until_s: u64,
}

/// The sessions that were ended, in memory.
#[derive(Default)]
pub(crate) struct Ended {
    /// By account, then by access key: until when each would last at most.
    of_account: HashMap<String, BTreeMap<String, u64>>,
}

fn parts(id: &str) -> Option<(&str, &str)> {
    id.split_once('/')
}

impl Ended {
    /// The key of a row without its prefix.
    pub(crate) fn id(account: &str, access_key: &str) -> String {
        format!("{account}/{access_key}")
    }

    /// Until when a session that was ended would last at most.
    pub(crate) fn until(&self, account: &str, access_key: &str) -> Option<u64> {
        self.of_account.get(account)?.get(access_key).copied()
    }

    /// How many of an account would last longer than `now`.
    pub(crate) fn count(&self, account: &str, now: u64) -> usize {
        let of = self.of_account.get(account).into_iter().flatten();
        of.filter(|(_, until)| **until > now).count()
    }

    /// What removes rows that are of no use after `now`, some of them.
    pub(crate) fn sweep(&self, now: u64) -> Vec<RowChange> {
        let all = self.of_account.iter();
        let all = all.flat_map(|(account, keys)| keys.iter().map(move |key| (account, key)));
        let old = all.filter(|(_, (_, until))| **until <= now);
        old.map(|(account, (key, _))| RowChange::remove::<EndedRecord>(Self::id(account, key)))
            .take(SWEPT_MAX)
            .collect()
    }

    fn insert(&mut self, id: &str, until: u64) {
        if let Some((account, key)) = parts(id) {
            let of = self.of_account.entry(account.to_owned()).or_default();
            of.insert(key.to_owned(), until);
        }
    }
}

impl Record for EndedRecord {
    const PREFIX: &'static str = "z/";
    const FEATURE: Option<&'static str> = Some(features::ENDED_SESSIONS);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "z/000000000001/DHSTABCDEFGHIJKLMNOPQRSTUVWXYZ",
        r#"{"v":1,"until_s":1}"#,
    )];
    type Table = Ended;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        state.ended.insert(id, record.until_s);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        let Some((account, key)) = parts(id) else {
            return Ok(());
        };
        if let Some(of) = state.ended.of_account.get_mut(account) {
            of.remove(key);
            if of.is_empty() {
                state.ended.of_account.remove(account);
            }
        }
        Ok(())
    }

    fn withdraw(state: &mut State, id: &str, now: &RowNow, _: Option<&RegionId>) -> bool {
        let RowNow::Value(value) = now else {
            return false;
        };
        let known = parts(id).and_then(|(account, key)| state.ended.until(account, key));
        match (Self::read(value.as_bytes()), known) {
            (Ok(record), None) => {
                state.ended.insert(id, record.until_s);
                true
            }
            _ => false,
        }
    }
}
