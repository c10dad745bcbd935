//! Identity providers of accounts: `i/<unique id>`, in the registry's region only. The other
//! regions see in the audit log which there are, by their ids: a session that began with a token
//! of one that is gone has ended everywhere.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
};

use serde::{Deserialize, Serialize};
use types::{RegionId, features};

use super::Record;
use crate::{CloudError, MasterKey, change::RowNow, state::State};

/// What begins the ids of providers. No access key has such an id.
pub(crate) const ID_PREFIX: &str = "OIDP";

/// An identity provider at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderRecord {
    pub(crate) v: u32,
    /// `OIDP…`, never given again.
    pub(crate) id: String,
    pub(crate) account: String,
    /// What its tokens have as `iss`; the part after the scheme is unique in the account.
    pub(crate) url: String,
    pub(crate) created_ms: u64,
    /// As [`super::user::UserRecord`]'s.
    pub(crate) salt: String,
    /// The audiences of tokens that count.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) clients: BTreeSet<String>,
    /// Kept for tools that compare them; nothing is decided by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) thumbprints: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
}

/// A URL without its scheme.
pub(crate) fn place(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, place)| place)
}

impl ProviderRecord {
    /// `arn:aws:iam::ACCOUNT:oidc-provider/host/path`.
    pub(crate) fn arn(&self) -> String {
        let (account, place) = (&self.account, place(&self.url));
        format!("arn:aws:iam::{account}:oidc-provider/{place}")
    }
}

/// The identity providers in memory, by id.
#[derive(Default)]
pub(crate) struct Providers {
    by_id: BTreeMap<String, ProviderRecord>,
    /// Ids by account, and by the URL without its scheme.
    of_account: HashMap<String, BTreeMap<String, String>>,
    /// How many there are of each URL, in all accounts.
    of_url: HashMap<String, usize>,
    /// Those that the audit log has and that are not deleted, in every region, each with the entry
    /// that made it.
    named: HashMap<String, u64>,
}

impl Deref for Providers {
    type Target = BTreeMap<String, ProviderRecord>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Providers {
    /// The one of an account with this place: its URL without the scheme.
    pub(crate) fn at(&self, account: &str, place: &str) -> Option<&ProviderRecord> {
        self.by_id.get(self.of_account.get(account)?.get(place)?)
    }

    /// The one of an account whose tokens have this `iss`, letter by letter.
    pub(crate) fn of_issuer(&self, account: &str, issuer: &str) -> Option<&ProviderRecord> {
        let found = self.at(account, place(issuer));
        found.filter(|found| found.url == issuer)
    }

    /// Whether any account has one whose tokens have this `iss`.
    pub(crate) fn has_issuer(&self, issuer: &str) -> bool {
        self.of_url.contains_key(issuer)
    }

    /// Those of an account, in order of their places.
    pub(crate) fn of(&self, account: &str) -> impl Iterator<Item = &ProviderRecord> {
        let of = self.of_account.get(account).into_iter().flatten();
        of.filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Since which entry of the audit log it is there.
    pub(crate) fn since(&self, id: &str) -> Option<u64> {
        self.named.get(id).copied()
    }

    fn forget(&mut self, id: &str) {
        let Some(record) = self.by_id.remove(id) else {
            return;
        };
        if let Some(many) = self.of_url.get_mut(&record.url) {
            *many -= 1;
            if *many == 0 {
                self.of_url.remove(&record.url);
            }
        }
        if let Some(of) = self.of_account.get_mut(&record.account) {
            of.remove(place(&record.url));
            if of.is_empty() {
                self.of_account.remove(&record.account);
            }
        }
    }
}

impl Record for ProviderRecord {
    const PREFIX: &'static str = "i/";
    const SECRET: bool = true;
    const FEATURE: Option<&'static str> = Some(features::WEB_IDENTITY);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "i/OIDP-ONE",
            concat!(
                r#"{"v":1,"id":"OIDP-ONE","account":"000000000001","#,
                r#""url":"https://id.example.com/team","created_ms":1,"salt":"00","#,
                r#""clients":["dhow"],"#,
                r#""thumbprints":["0123456789abcdef0123456789abcdef01234567"],"#,
                r#""tags":{"team":"red"}}"#,
            ),
        ),
        (
            "i/OIDP-TWO",
            concat!(
                r#"{"v":1,"id":"OIDP-TWO","account":"000000000001","#,
                r#""url":"http://127.0.0.1:8080","created_ms":2,"salt":"01"}"#,
            ),
        ),
    ];
    type Table = Providers;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        let providers = &mut state.providers;
        providers.forget(id);
        *providers.of_url.entry(record.url.clone()).or_default() += 1;
        let of = providers.of_account.entry(record.account.clone());
        of.or_default()
            .insert(place(&record.url).to_owned(), id.to_owned());
        providers.by_id.insert(id.to_owned(), record);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.providers.forget(id);
        Ok(())
    }

    /// Sessions that began with its tokens end.
    fn withdraw(state: &mut State, id: &str, now: &RowNow, _: Option<&RegionId>) -> bool {
        *now == RowNow::Removed && state.providers.named.remove(id).is_some()
    }

    fn logged(state: &mut State, id: &str, now: &RowNow, number: u64) {
        let named = &mut state.providers.named;
        match now {
            RowNow::Removed if types::planted("sessions-outlive-their-provider") => {}
            RowNow::Removed => drop(named.remove(id)),
            RowNow::Value(_) | RowNow::Hidden(_) => {
                named.entry(id.to_owned()).or_insert(number);
            }
        }
    }
}
