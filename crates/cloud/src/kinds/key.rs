//! Access keys: `k/<access key id>`, in the registry's region only.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Deref,
    sync::OnceLock,
};

use access::signature::{OldKey, PublicKey};
use proof::chain::Entry;
use serde::{Deserialize, Serialize};
use types::RegionId;

use super::{Concern, FORMAT_OF_USERS, Outdated, Record};
use crate::{
    CloudError, MasterKey,
    asymmetric::public_key,
    change::{RowChange, RowNow},
    introduce::Served,
    sessions::Disabled,
    state::State,
    verifiers::VerifierRecord,
};

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// Requests signed with it are verified.
    Active,
    /// It is unknown to requests until it is enabled again.
    Disabled,
}

/// An access key at rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    #[serde(rename = "v")]
    pub(crate) format: u32,
    pub(crate) id: String,
    pub(crate) account: String,
    /// The secret, sealed under the master key and bound to `id`; base64.
    pub(crate) sealed: String,
    pub(crate) status: KeyStatus,
    pub(crate) created_ms: u64,
    pub(crate) description: String,
    /// Whether it may administer its account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) admin: bool,
    /// The unique id of the user who holds it; the account itself does without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

/// An access key with its secret.
pub(crate) struct Key {
    pub record: KeyRecord,
    pub secret: String,
    /// Derived when it is first needed: that takes a tenth of a millisecond.
    public: OnceLock<Option<PublicKey>>,
}

impl Key {
    /// What makes and verifies its signatures with HMAC-SHA1.
    pub(crate) fn old_key(&self) -> OldKey {
        OldKey::of_secret(&self.secret)
    }

    /// What verifies its asymmetric signatures.
    pub(crate) fn public_key(&self) -> Option<&PublicKey> {
        let derive = || public_key(&self.record.id, &self.secret);
        self.public.get_or_init(derive).as_ref()
    }
}

/// The keys in memory, by id.
#[derive(Default)]
pub(crate) struct Keys {
    by_id: BTreeMap<String, Key>,
    /// The ids of each account's keys.
    pub of_account: HashMap<String, BTreeSet<String>>,
    /// The ids of each user's keys.
    pub of_user: HashMap<String, BTreeSet<String>>,
    /// Access keys that the audit log has, live or not, in every region; not those that were
    /// deleted. Each with the entry that made it, or that last disabled it: what was begun with a
    /// key before that entry is over.
    pub named: HashMap<String, u64>,
    /// Those of them that the audit log says are disabled.
    pub disabled: Disabled,
    /// Those that the audit log made to administer their accounts: the row of a key does not say
    /// that where the registry is followed.
    admins: HashSet<String>,
    /// Accounts that were ever suspended, with the entry that last did it.
    suspended: HashMap<String, u64>,
}

impl Keys {
    /// Takes over of an entry of the audit log whether a key opens anything: the row of a key does
    /// not say that where the registry is followed.
    pub(crate) fn logged(&mut self, entry: &Entry) {
        let (subject, number) = (&*entry.subject, entry.number);
        match &*entry.action {
            "key.create" if makes_admin(&entry.detail) => {
                self.admins.insert(subject.to_owned());
            }
            "key.disable" => {
                self.disabled.insert(subject.to_owned());
                if let Some(since) = self.named.get_mut(subject) {
                    *since = number;
                }
            }
            "key.enable" => drop(self.disabled.remove(subject)),
            "account.suspend" => drop(self.suspended.insert(subject.to_owned(), number)),
            _ => {}
        }
    }

    /// Whether a key may administer its account, by its row where that is kept, and else by the
    /// audit log.
    pub(crate) fn administers(&self, id: &str) -> bool {
        match self.by_id.get(id) {
            Some(key) => key.record.admin,
            None => self.admins.contains(id) || types::planted("any-key-administers"),
        }
    }

    /// Whether what was begun when the log had `begun` entries goes on, with what has been there
    /// since the entry `since`: it was there then, and neither it nor any of the accounts was taken
    /// away since.
    pub(crate) fn hold_since(&self, since: Option<u64>, accounts: [&str; 2], begun: u64) -> bool {
        let before = |number: &u64| *number < begun;
        let of_accounts = accounts.iter().filter_map(|id| self.suspended.get(*id));
        since.as_ref().is_some_and(before) && of_accounts.into_iter().all(before)
    }
}

impl Deref for Keys {
    type Target = BTreeMap<String, Key>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

/// Whether the entry that made a key says that it administers its account.
fn makes_admin(detail: &str) -> bool {
    #[derive(Deserialize)]
    struct Made {
        #[serde(default)]
        admin: bool,
    }
    // Most keys do not, and the log has many.
    detail.contains("admin") && serde_json::from_str(detail).is_ok_and(|made: Made| made.admin)
}

fn forget(lists: &mut HashMap<String, BTreeSet<String>>, whose: &str, id: &str) {
    if let Some(of) = lists.get_mut(whose) {
        of.remove(id);
        if of.is_empty() {
            lists.remove(whose);
        }
    }
}

impl Record for KeyRecord {
    const PREFIX: &'static str = "k/";
    const SECRET: bool = true;
    const NEWEST: u32 = FORMAT_OF_USERS;
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "k/DHOWONE",
            concat!(
                r#"{"v":1,"id":"DHOWONE","account":"000000000001","sealed":"nTCAI31k9VC"#,
                r#"hE2t68EVVimJMCOC4Kl3+icrRWlLTkCt4bCsg1ENTQjmPWZuE","status":"active""#,
                r#","created_ms":1,"description":"one"}"#,
            ),
        ),
        (
            "k/DHOWTWO",
            concat!(
                r#"{"v":1,"id":"DHOWTWO","account":"000000000001","sealed":"bRKbbjC+VqP"#,
                r#"wbS4n0+1+7oDmJqTKZkHB8fkrQE37R9HhvKe99KctxRj0a9Ar","status":"disable"#,
                r#"d","created_ms":2,"description":"","admin":true}"#,
            ),
        ),
        (
            "k/DHOWTHREE",
            concat!(
                r#"{"v":2,"id":"DHOWTHREE","account":"000000000001","sealed":"ZGBwvv5Sr65"#,
                r#"i6q+H3dSQo/ZO3eDyWIYxRcuQYpvvODlpBI83TweLSihyR+xpsO8=","status":"activ"#,
                r#"e","created_ms":3,"description":"","user":"AIDAONE"}"#,
            ),
        ),
    ];
    type Table = Keys;

    fn put(
        state: &mut State,
        master: &MasterKey,
        id: &str,
        value: &[u8],
    ) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        let secret = master.open(&record.id, &record.sealed)?;
        let of = state.keys.of_account.entry(record.account.clone());
        of.or_default().insert(id.to_owned());
        if let Some(user) = &record.user {
            let of = state.keys.of_user.entry(user.clone());
            of.or_default().insert(id.to_owned());
        }
        let key = Key {
            record,
            secret,
            public: OnceLock::new(),
        };
        state.keys.by_id.insert(id.to_owned(), key);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        let Some(key) = state.keys.by_id.remove(id) else {
            return Ok(());
        };
        let Keys {
            of_account,
            of_user,
            ..
        } = &mut state.keys;
        forget(of_account, &key.record.account, id);
        if let Some(user) = &key.record.user {
            forget(of_user, user, id);
        }
        Ok(())
    }

    /// A key that is disabled. One that is deleted is disabled until it is gone from the disk.
    fn withdraw(state: &mut State, id: &str, now: &RowNow, here: Option<&RegionId>) -> bool {
        let stops = match now {
            RowNow::Removed => true,
            RowNow::Value(value) => {
                let new = Self::read(value.as_bytes());
                new.is_ok_and(|new| new.status == KeyStatus::Disabled)
            }
            RowNow::Hidden(_) => false,
        };
        if here.is_some() {
            return stops && state.verifiers.halt(id);
        }
        match state.keys.by_id.get_mut(id) {
            Some(key) if stops && key.record.status == KeyStatus::Active => {
                key.record.status = KeyStatus::Disabled;
                true
            }
            _ => false,
        }
    }

    fn logged(state: &mut State, id: &str, now: &RowNow, number: u64) {
        match now {
            RowNow::Removed => {
                state.keys.disabled.remove(id);
                state.keys.named.remove(id);
                state.keys.admins.remove(id);
            }
            RowNow::Value(_) | RowNow::Hidden(_) => {
                state.keys.named.entry(id.to_owned()).or_insert(number);
            }
        }
    }

    fn concerns(_: &Served<'_>, id: &str, _: &RowNow) -> Concern {
        Concern::Key(id.to_owned())
    }

    fn outdates(id: &str) -> Outdated<'_> {
        Outdated::Key(id)
    }

    /// Signing keys that are not sent anew with the change are gone.
    fn followed(_: &State, id: &str, _: &RowChange) -> Vec<RowChange> {
        vec![RowChange::remove::<VerifierRecord>(id)]
    }
}
