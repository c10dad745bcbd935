//! Managed policies: `p/<unique id>`, in the registry's region only. Others get their texts with
//! the keys of the users to whom they are attached.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
};

use serde::{Deserialize, Serialize};
use types::features;

use super::{Concern, Outdated, Record};
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow},
    common,
    introduce::Served,
    state::State,
};

/// One version of a managed policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionRecord {
    pub(crate) text: String,
    pub(crate) created_ms: u64,
}

/// A managed policy at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagedRecord {
    pub(crate) v: u32,
    /// `ANPA…`, never given again.
    pub(crate) id: String,
    pub(crate) account: String,
    /// Unique in the account, whatever the case of its letters.
    pub(crate) name: String,
    /// `/`, or words between slashes.
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    /// As [`super::user::UserRecord`]'s.
    pub(crate) salt: String,
    /// Those that there are, by number.
    pub(crate) versions: BTreeMap<u32, VersionRecord>,
    /// The one that counts.
    pub(crate) default: u32,
    /// The last number that was given.
    pub(crate) last: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
}

impl ManagedRecord {
    /// The text that counts.
    pub(crate) fn text(&self) -> &str {
        let version = self.versions.get(&self.default);
        // One without a version would be one that cannot be read, which denies all.
        version.map_or("", |version| &version.text)
    }

    /// Whether an account can attach it: its own, and those that all have.
    fn is_for(&self, account: &str) -> bool {
        self.account == account || self.account == common::OF_ALL
    }

    /// `arn:aws:iam::ACCOUNT:policy/path/name`.
    pub(crate) fn arn(&self) -> String {
        [
            "arn:aws:iam::",
            &self.account,
            ":policy",
            &self.path,
            &self.name,
        ]
        .concat()
    }
}

/// The managed policies in memory, by id.
#[derive(Default)]
pub(crate) struct Managed {
    by_id: BTreeMap<String, ManagedRecord>,
    /// Ids by account, and by the name in lower case.
    of_account: HashMap<String, BTreeMap<String, String>>,
}

impl Deref for Managed {
    type Target = BTreeMap<String, ManagedRecord>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Managed {
    /// A policy of an account, or one that all have.
    pub(crate) fn any(&self, id: &str) -> Option<&ManagedRecord> {
        self.by_id.get(id).or_else(|| common::by_id(id))
    }

    /// A policy that this account can attach.
    pub(crate) fn attachable(&self, account: &str, id: &str) -> Option<&ManagedRecord> {
        let found = self.any(id)?;
        found.is_for(account).then_some(found)
    }

    /// A policy of an account by its name, in whatever case.
    pub(crate) fn named(&self, account: &str, name: &str) -> Option<&ManagedRecord> {
        let of = self.of_account.get(account)?;
        self.by_id.get(of.get(&name.to_ascii_lowercase())?)
    }

    /// The policies of an account, in order of name.
    pub(crate) fn of(&self, account: &str) -> impl Iterator<Item = &ManagedRecord> {
        let of = self.of_account.get(account).into_iter().flatten();
        of.filter_map(|(_, id)| self.by_id.get(id))
    }
}

impl Record for ManagedRecord {
    const PREFIX: &'static str = "p/";
    const SECRET: bool = true;
    const FEATURE: Option<&'static str> = Some(features::IDENTITIES);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "p/ANPAONE",
            concat!(
                r#"{"v":1,"id":"ANPAONE","account":"000000000001","name":"Readers","path":"/","#,
                r#""description":"who read","created_ms":1,"updated_ms":2,"salt":"00","#,
                r#""versions":{"1":{"text":"{}","created_ms":1},"#,
                r#""2":{"text":"{\"Version\":\"2012-10-17\"}","created_ms":2}},"default":2,"last":2}"#,
            ),
        ),
        (
            "p/ANPATWO",
            concat!(
                r#"{"v":1,"id":"ANPATWO","account":"000000000001","name":"Tagged","path":"/","#,
                r#""created_ms":1,"updated_ms":1,"salt":"00","#,
                r#""versions":{"1":{"text":"{}","created_ms":1}},"default":1,"last":1,"#,
                r#""tags":{"team":"a"}}"#,
            ),
        ),
    ];
    type Table = Managed;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        let policies = &mut state.policies;
        let of = policies.of_account.entry(record.account.clone());
        of.or_default()
            .insert(record.name.to_ascii_lowercase(), id.to_owned());
        policies.by_id.insert(id.to_owned(), record);
        state.outdate_users_with(id);
        state.compile_roles_with(id);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        if let Some(record) = state.policies.by_id.remove(id)
            && let Some(of) = state.policies.of_account.get_mut(&record.account)
        {
            of.remove(&record.name.to_ascii_lowercase());
            if of.is_empty() {
                state.policies.of_account.remove(&record.account);
            }
        }
        state.outdate_users_with(id);
        state.compile_roles_with(id);
        Ok(())
    }

    fn concerns(served: &Served<'_>, id: &str, _: &RowNow) -> Concern {
        Concern::Holders(served.users_with(id), served.roles_with(id))
    }

    fn outdates(_: &str) -> Outdated<'_> {
        Outdated::All
    }

    /// Keys of users, and roles, to whom it is attached that are not sent anew with the change are
    /// gone.
    fn followed(state: &State, id: &str, _: &RowChange) -> Vec<RowChange> {
        let mut gone = state.forget_verifiers_of(id);
        gone.extend(state.forget_roles_with(id));
        gone
    }
}
