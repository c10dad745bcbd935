//! Roles: `q/<unique id>`, in the registry's region only. Others get what a role may do, and not
//! who may have it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
    sync::Arc,
};

use access::Role;
use serde::{Deserialize, Serialize};
use types::{RegionId, features};

use super::{Concern, Outdated, Record, holders::Holders};
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow},
    introduce::Served,
    principals::{FollowedRoleRecord, SentRole},
    state::State,
};

/// A role at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleRecord {
    pub(crate) v: u32,
    /// `AROA…`, never given again.
    pub(crate) id: String,
    pub(crate) account: String,
    /// Unique among the account's roles, whatever the case of its letters.
    pub(crate) name: String,
    /// `/`, or words between slashes.
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) created_ms: u64,
    /// As [`super::user::UserRecord`]'s.
    pub(crate) salt: String,
    /// The longest session, in seconds.
    pub(crate) max_session_s: u64,
    /// Who may have it: JSON, as it was written.
    pub(crate) trust: String,
    /// The unique ids of the users and roles that the trust policy names, as they were when it was
    /// written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) trusted: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// The policies that are part of the role: name and text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) inline: BTreeMap<String, String>,
    /// The ids of managed policies that are attached.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) attached: BTreeSet<String>,
    /// The id of the managed policy that bounds the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boundary: Option<String>,
}

impl RoleRecord {
    /// `arn:aws:iam::ACCOUNT:role/path/name`.
    pub(crate) fn arn(&self) -> String {
        [
            "arn:aws:iam::",
            &self.account,
            ":role",
            &self.path,
            &self.name,
        ]
        .concat()
    }
}

/// A role in memory.
pub(crate) struct HeldRole {
    pub record: RoleRecord,
    /// As requests of its sessions are decided by it.
    pub role: Arc<Role>,
    /// It was deleted, which is not on the disk yet.
    pub ended: bool,
}

/// The roles in memory, by id.
#[derive(Default)]
pub(crate) struct Roles {
    by_id: BTreeMap<String, HeldRole>,
    /// Ids by account, and by the name in lower case.
    of_account: HashMap<String, BTreeMap<String, String>>,
    /// To which managed policies are attached.
    pub(crate) attached: Holders,
    /// Which managed policies bound.
    pub(crate) bounded: Holders,
}

impl Deref for Roles {
    type Target = BTreeMap<String, HeldRole>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Roles {
    /// The role of an account by its name, in whatever case.
    pub(crate) fn named(&self, account: &str, name: &str) -> Option<&HeldRole> {
        let of = self.of_account.get(account)?;
        self.by_id.get(of.get(&name.to_ascii_lowercase())?)
    }

    /// The roles of an account, in order of name.
    pub(crate) fn of(&self, account: &str) -> impl Iterator<Item = &HeldRole> {
        let of = self.of_account.get(account).into_iter().flatten();
        of.filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Takes what a role may do now.
    pub(crate) fn set(&mut self, id: &str, role: Arc<Role>) {
        if let Some(held) = self.by_id.get_mut(id) {
            held.role = role;
        }
    }

    fn forget(&mut self, id: &str) {
        let Some(HeldRole { record, .. }) = self.by_id.remove(id) else {
            return;
        };
        let of = (&*record.account, id);
        self.attached.take(&record.attached, of);
        self.bounded.take(&record.boundary, of);
        if let Some(of) = self.of_account.get_mut(&record.account) {
            of.remove(&record.name.to_ascii_lowercase());
            if of.is_empty() {
                self.of_account.remove(&record.account);
            }
        }
    }
}

impl Record for RoleRecord {
    const PREFIX: &'static str = "q/";
    const SECRET: bool = true;
    const FEATURE: Option<&'static str> = Some(features::ROLES);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "q/AROAONE",
            concat!(
                r#"{"v":1,"id":"AROAONE","account":"000000000001","name":"Reader","path":"/","#,
                r#""created_ms":1,"salt":"00","max_session_s":3600,"trust":"{}"}"#,
            ),
        ),
        (
            "q/AROATWO",
            concat!(
                r#"{"v":1,"id":"AROATWO","account":"000000000001","name":"writer","#,
                r#""path":"/team/","description":"writes","created_ms":2,"salt":"01","#,
                r#""max_session_s":43200,"trust":"{}","#,
                r#""trusted":{"arn:aws:iam::000000000001:user/Alice":"AIDAONE"},"#,
                r#""tags":{"Team":"red"},"inline":{"own":"{}"},"attached":["ANPAONE"],"#,
                r#""boundary":"ANPAONE"}"#,
            ),
        ),
    ];
    type Table = Roles;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        state.roles.forget(id);
        let role = Arc::new(SentRole::of(state, &record).compiled());
        let roles = &mut state.roles;
        let of = roles.of_account.entry(record.account.clone());
        of.or_default()
            .insert(record.name.to_ascii_lowercase(), id.to_owned());
        let of = (&*record.account, id);
        roles.attached.add(&record.attached, of);
        roles.bounded.add(&record.boundary, of);
        let ended = false;
        let held = HeldRole {
            record,
            role,
            ended,
        };
        roles.by_id.insert(id.to_owned(), held);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.roles.forget(id);
        Ok(())
    }

    fn withdraw(state: &mut State, id: &str, now: &RowNow, here: Option<&RegionId>) -> bool {
        let ended = match here {
            None => state.roles.by_id.get_mut(id).map(|held| &mut held.ended),
            Some(_) => state.told_roles.get_mut(id).map(|held| &mut held.ended),
        };
        match ended {
            Some(ended) if *now == RowNow::Removed && !*ended => {
                *ended = true;
                true
            }
            _ => false,
        }
    }

    fn concerns(_: &Served<'_>, id: &str, _: &RowNow) -> Concern {
        Concern::Role(id.to_owned())
    }

    fn outdates(_: &str) -> Outdated<'_> {
        Outdated::Nothing
    }

    /// A role that is not sent anew with the change is gone.
    fn followed(_: &State, id: &str, _: &RowChange) -> Vec<RowChange> {
        vec![RowChange::remove::<FollowedRoleRecord>(id)]
    }
}
