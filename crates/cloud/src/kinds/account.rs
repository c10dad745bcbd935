//! Accounts: `a/<account id>`.

use std::collections::BTreeMap;

use access::CallerKind;
use serde::{Deserialize, Serialize};
use types::{AccountId, Placement};

use super::{Concern, Outdated, Record, deed::PlacementRecord};
use crate::{CloudError, MasterKey, change::RowNow, introduce::Served, state::State};

/// A tenant account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Format version.
    #[serde(rename = "v")]
    pub format: u32,
    /// 12 decimal digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The operator of the cloud itself, who may use the admin API.
    pub root: bool,
    /// The operator whose regions its keys may look after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Its keys may read what is on record of all accounts, and change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auditor: bool,
    /// Its keys open nothing while this holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Jurisdictions that all its buckets keep to; empty for no guard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<String>,
}

impl Account {
    /// The guard as a placement that allows just that.
    pub(crate) fn guard_placement(&self) -> Result<Placement, CloudError> {
        PlacementRecord::within(self.guard.clone()).try_into()
    }

    /// What it is for, as a caller.
    pub fn caller_kind(&self) -> CallerKind {
        match (self.root, &self.operator, self.auditor) {
            (true, ..) => CallerKind::CloudOperator,
            (_, Some(_), _) => CallerKind::RegionalOperator,
            (_, _, true) => CallerKind::Auditor,
            _ => CallerKind::Customer,
        }
    }

    /// The id as a type.
    pub fn account_id(&self) -> AccountId {
        AccountId::new(&self.id)
    }
}

impl Record for Account {
    const PREFIX: &'static str = "a/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "a/000000000001",
            r#"{"v":1,"id":"000000000001","name":"acme","created_ms":1,"root":false}"#,
        ),
        (
            "a/000000000002",
            concat!(
                r#"{"v":1,"id":"000000000002","name":"eu","created_ms":2,"root":true,"#,
                r#""operator":"op","auditor":true,"suspended":true,"guard":["AE","EU"]}"#,
            ),
        ),
    ];
    type Table = BTreeMap<String, Self>;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        state.accounts.insert(id.to_owned(), Self::read(value)?);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.accounts.remove(id);
        Ok(())
    }

    /// An account that is suspended takes its keys along.
    fn concerns(_: &Served<'_>, id: &str, _: &RowNow) -> Concern {
        Concern::Account(id.to_owned())
    }

    fn outdates(_: &str) -> Outdated<'_> {
        Outdated::All
    }
}
