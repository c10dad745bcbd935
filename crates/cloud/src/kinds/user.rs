//! Users: `u/<unique id>`, in the registry's region only. Others get what verifies a user's key,
//! and with it what the user may do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
    sync::Arc,
};

use access::User;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use types::features;

use super::{Concern, Outdated, Record, holders::Holders, texts::Texts};
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow},
    introduce::Served,
    state::State,
};

/// Users whose documents are kept compiled; past that all are compiled anew when they are needed.
const COMPILED_MAX: usize = 4096;

/// A user at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRecord {
    pub(crate) v: u32,
    /// `AIDA…`, never given again.
    pub(crate) id: String,
    pub(crate) account: String,
    /// Unique in the account, whatever the case of its letters.
    pub(crate) name: String,
    /// `/`, or words between slashes.
    pub(crate) path: String,
    pub(crate) created_ms: u64,
    /// Makes the digest of the row, which every region has, say nothing of the name.
    pub(crate) salt: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// The policies that are part of the user: name and text.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub(crate) inline: Texts,
    /// The ids of managed policies that are attached.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) attached: BTreeSet<String>,
    /// The ids of the groups that the user is in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) groups: BTreeSet<String>,
    /// The id of the managed policy that bounds the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boundary: Option<String>,
}

impl UserRecord {
    /// `arn:aws:iam::ACCOUNT:user/path/name`.
    pub(crate) fn arn(&self) -> String {
        access::arn_of_user(&self.account, &self.path, &self.name)
    }
}

/// A user in memory.
pub(crate) struct Held {
    pub record: UserRecord,
}

/// The users in memory, by id.
#[derive(Default)]
pub(crate) struct Users {
    by_id: BTreeMap<String, Held>,
    /// Ids by account, and by the name in lower case.
    of_account: HashMap<String, BTreeMap<String, String>>,
    /// To whom managed policies are attached.
    pub(crate) attached: Holders,
    /// Whom managed policies bound.
    pub(crate) bounded: Holders,
    /// Who is in groups.
    pub(crate) members: Holders,
    /// Those whose keys were used lately, as requests are decided by them. Most users of a large
    /// account do nothing for days: here are their texts, and these are read when one comes.
    compiled: Mutex<HashMap<String, Arc<User>>>,
}

impl Deref for Users {
    type Target = BTreeMap<String, Held>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Users {
    /// The user of an account by their name, in whatever case.
    pub(crate) fn named(&self, account: &str, name: &str) -> Option<&Held> {
        let of = self.of_account.get(account)?;
        self.by_id.get(of.get(&name.to_ascii_lowercase())?)
    }

    /// The users of an account, in order of name.
    pub(crate) fn of(&self, account: &str) -> impl Iterator<Item = &Held> {
        let of = self.of_account.get(account).into_iter().flatten();
        of.filter_map(|(_, id)| self.by_id.get(id))
    }

    /// How many users an account has.
    pub(crate) fn count_of(&self, account: &str) -> usize {
        self.of_account.get(account).map_or(0, BTreeMap::len)
    }

    /// A user as requests are decided by it: as it was made last, or `make` makes it.
    pub(crate) fn compiled(&self, id: &str, make: impl FnOnce() -> User) -> Arc<User> {
        if let Some(known) = self.compiled.lock().get(id) {
            return Arc::clone(known);
        }
        let made = Arc::new(make());
        let mut compiled = self.compiled.lock();
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(id.to_owned(), Arc::clone(&made));
        made
    }

    /// What a user may do has changed.
    pub(crate) fn outdated(&mut self, id: &str) {
        if !types::planted("users-as-they-were") {
            self.compiled.get_mut().remove(id);
        }
    }

    fn forget(&mut self, id: &str) {
        self.outdated(id);
        let Some(Held { record }) = self.by_id.remove(id) else {
            return;
        };
        let of = (&*record.account, id);
        self.attached.take(&record.attached, of);
        self.bounded.take(&record.boundary, of);
        self.members.take(&record.groups, of);
        if let Some(of) = self.of_account.get_mut(&record.account) {
            of.remove(&record.name.to_ascii_lowercase());
            if of.is_empty() {
                self.of_account.remove(&record.account);
            }
        }
    }
}

impl Record for UserRecord {
    const PREFIX: &'static str = "u/";
    const SECRET: bool = true;
    const FEATURE: Option<&'static str> = Some(features::IDENTITIES);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "u/AIDAONE",
            concat!(
                r#"{"v":1,"id":"AIDAONE","account":"000000000001","name":"Alice","path":"/","#,
                r#""created_ms":1,"salt":"00"}"#,
            ),
        ),
        (
            "u/AIDATWO",
            concat!(
                r#"{"v":1,"id":"AIDATWO","account":"000000000001","name":"bob","#,
                r#""path":"/team/","created_ms":2,"salt":"01","tags":{"Team":"red"},"#,
                r#""inline":{"read":"{\"Version\":\"2012-10-17\",\"Statement\":[]}"}}"#,
            ),
        ),
        (
            "u/AIDATHREE",
            concat!(
                r#"{"v":1,"id":"AIDATHREE","account":"000000000001","name":"carol","path":"/","#,
                r#""created_ms":3,"salt":"02","attached":["ANPAONE"],"#,
                r#""groups":["AGPAONE"],"boundary":"ANPAONE"}"#,
            ),
        ),
    ];
    type Table = Users;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        state.users.forget(id);
        let users = &mut state.users;
        let of = users.of_account.entry(record.account.clone());
        of.or_default()
            .insert(record.name.to_ascii_lowercase(), id.to_owned());
        let of = (&*record.account, id);
        users.attached.add(&record.attached, of);
        users.bounded.add(&record.boundary, of);
        users.members.add(&record.groups, of);
        users.by_id.insert(id.to_owned(), Held { record });
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.users.forget(id);
        Ok(())
    }

    /// What a user may do goes with their keys.
    fn concerns(_: &Served<'_>, id: &str, _: &RowNow) -> Concern {
        Concern::Users(vec![id.to_owned()])
    }

    fn outdates(id: &str) -> Outdated<'_> {
        Outdated::User(id)
    }

    /// Keys of the user that are not sent anew with the change are gone.
    fn followed(state: &State, id: &str, _: &RowChange) -> Vec<RowChange> {
        state.forget_verifiers_of(id)
    }
}
