//! Aliases of accounts: `b/<account id>`, in the registry's region only.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
};

use serde::{Deserialize, Serialize};
use types::features;

use super::Record;
use crate::{CloudError, MasterKey, state::State};

/// The alias of an account at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AliasRecord {
    pub(crate) v: u32,
    pub(crate) account: String,
    /// Unique in the cloud.
    pub(crate) alias: String,
    /// As [`super::user::UserRecord`]'s.
    pub(crate) salt: String,
}

/// The aliases in memory, by account.
#[derive(Default)]
pub(crate) struct Aliases {
    by_account: BTreeMap<String, AliasRecord>,
    accounts: HashMap<String, String>,
}

impl Deref for Aliases {
    type Target = BTreeMap<String, AliasRecord>;

    fn deref(&self) -> &Self::Target {
        &self.by_account
    }
}

impl Aliases {
    /// The account that has this alias.
    pub(crate) fn account(&self, alias: &str) -> Option<&str> {
        self.accounts.get(alias).map(String::as_str)
    }

    fn forget(&mut self, account: &str) {
        if let Some(record) = self.by_account.remove(account) {
            self.accounts.remove(&record.alias);
        }
    }
}

impl Record for AliasRecord {
    const PREFIX: &'static str = "b/";
    const SECRET: bool = true;
    const FEATURE: Option<&'static str> = Some(features::ACCOUNT_ALIASES);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "b/000000000001",
        r#"{"v":1,"account":"000000000001","alias":"acme-prod","salt":"00"}"#,
    )];
    type Table = Aliases;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        let aliases = &mut state.aliases;
        aliases.forget(id);
        aliases.accounts.insert(record.alias.clone(), id.to_owned());
        aliases.by_account.insert(id.to_owned(), record);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.aliases.forget(id);
        Ok(())
    }
}
