//! Groups of users: `g/<unique id>`, in the registry's region only. Others get what a group allows
//! with the keys of its users.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
};

use serde::{Deserialize, Serialize};
use types::features;

use super::{Concern, Outdated, Record, holders::Holders};
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow},
    introduce::Served,
    state::State,
};

/// A group at rest. Who is in it stands in the rows of the users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupRecord {
    pub(crate) v: u32,
    /// `AGPA…`, never given again.
    pub(crate) id: String,
    pub(crate) account: String,
    /// Unique in the account, whatever the case of its letters.
    pub(crate) name: String,
    /// `/`, or words between slashes.
    pub(crate) path: String,
    pub(crate) created_ms: u64,
    /// As [`super::user::UserRecord`]'s.
    pub(crate) salt: String,
    /// The policies that are part of the group: name and text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) inline: BTreeMap<String, String>,
    /// The ids of managed policies that are attached.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) attached: BTreeSet<String>,
}

impl GroupRecord {
    /// `arn:aws:iam::ACCOUNT:group/path/name`.
    pub(crate) fn arn(&self) -> String {
        [
            "arn:aws:iam::",
            &self.account,
            ":group",
            &self.path,
            &self.name,
        ]
        .concat()
    }
}

/// The groups in memory, by id.
#[derive(Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<String, GroupRecord>,
    /// Ids by account, and by the name in lower case.
    of_account: HashMap<String, BTreeMap<String, String>>,
    /// To which managed policies are attached.
    pub(crate) attached: Holders,
}

impl Deref for Groups {
    type Target = BTreeMap<String, GroupRecord>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Groups {
    /// A group of an account by its name, in whatever case.
    pub(crate) fn named(&self, account: &str, name: &str) -> Option<&GroupRecord> {
        let of = self.of_account.get(account)?;
        self.by_id.get(of.get(&name.to_ascii_lowercase())?)
    }

    /// The groups of an account, in order of name.
    pub(crate) fn of(&self, account: &str) -> impl Iterator<Item = &GroupRecord> {
        let of = self.of_account.get(account).into_iter().flatten();
        of.filter_map(|(_, id)| self.by_id.get(id))
    }

    fn forget(&mut self, id: &str) {
        let Some(record) = self.by_id.remove(id) else {
            return;
        };
        self.attached.take(&record.attached, (&record.account, id));
        if let Some(of) = self.of_account.get_mut(&record.account) {
            of.remove(&record.name.to_ascii_lowercase());
            if of.is_empty() {
                self.of_account.remove(&record.account);
            }
        }
    }
}

impl Record for GroupRecord {
    const PREFIX: &'static str = "g/";
    const SECRET: bool = true;
    const FEATURE: Option<&'static str> = Some(features::IDENTITIES);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "g/AGPAONE",
        concat!(
            r#"{"v":1,"id":"AGPAONE","account":"000000000001","name":"Staff","path":"/","#,
            r#""created_ms":1,"salt":"00","inline":{"own":"{}"},"attached":["ANPAONE"]}"#,
        ),
    )];
    type Table = Groups;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        state.groups.forget(id);
        let groups = &mut state.groups;
        let of = groups.of_account.entry(record.account.clone());
        of.or_default()
            .insert(record.name.to_ascii_lowercase(), id.to_owned());
        groups.attached.add(&record.attached, (&record.account, id));
        groups.by_id.insert(id.to_owned(), record);
        state.outdate_users_with(id);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.groups.forget(id);
        state.outdate_users_with(id);
        Ok(())
    }

    fn concerns(served: &Served<'_>, id: &str, _: &RowNow) -> Concern {
        Concern::Users(served.users_with(id))
    }

    fn outdates(_: &str) -> Outdated<'_> {
        Outdated::All
    }

    /// Keys of the group's users that are not sent anew with the change are gone.
    fn followed(state: &State, id: &str, _: &RowChange) -> Vec<RowChange> {
        state.forget_verifiers_of(id)
    }
}
