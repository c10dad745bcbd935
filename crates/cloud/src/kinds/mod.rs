//! The kinds of rows that the registry has. A kind is one file and one row in the list below: what
//! its keys begin with, its bytes, what it changes in memory, whose keys a change of it concerns.
//!
//! The rows are JSON with a format version: they are few, and an operator may have to read them.
//! They are in partition 0.

pub(crate) mod account;
pub(crate) mod alias;
pub(crate) mod deed;
pub(crate) mod ended;
#[cfg(test)]
mod golden_tests;
pub(crate) mod group;
pub(crate) mod guard_policy;
pub(crate) mod holders;
pub(crate) mod key;
pub(crate) mod managed;
pub(crate) mod operator;
pub(crate) mod provider;
pub(crate) mod region;
pub(crate) mod role;
pub(crate) mod texts;
pub(crate) mod token;
pub(crate) mod user;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use types::RegionId;

use self::{
    account::Account, alias::AliasRecord, deed::DeedRecord, ended::EndedRecord, group::GroupRecord,
    guard_policy::GuardPolicyRecord, key::KeyRecord, managed::ManagedRecord, operator::Operator,
    provider::ProviderRecord, region::RegionRecord, role::RoleRecord, token::TokenRecord,
    user::UserRecord,
};
use crate::{
    CloudError, MasterKey,
    catch_up::CatchUpRecord,
    chains::{Folded, HeadRow, LinkRow},
    change::{Change, RowChange, RowNow},
    introduce::Served,
    principals::FollowedRoleRecord,
    sessions::keys::TokenKeyRecord,
    standing::Receipt,
    verifiers::VerifierRecord,
};

/// The format written today. Older ones stay readable.
pub(crate) const FORMAT: u32 = 1;
/// The format of a row of a user's key: a build that does not know users would take the key for
/// one of the account.
pub(crate) const FORMAT_OF_USERS: u32 = 2;

/// Lists the kinds, and makes of them what the registry has in memory: one table for each.
macro_rules! kinds {
    (
        in memory { $($(#[$doc:meta])* $table:ident: $kept:ty,)* }
        on disk { $($stored:ty,)* }
    ) => {
        $(impl Listed for $kept {})*
        $(impl Listed for $stored {})*

        /// All kinds.
        pub(crate) const KINDS: &[Kind] = &[
            $(Kind::of::<$kept>(),)*
            $(Kind::of::<$stored>(),)*
        ];

        /// The registry in memory. It changes only by rows, so that the region that keeps the
        /// registry and those that follow it reach the same state in the same way.
        #[derive(Default)]
        pub(crate) struct State {
            $($(#[$doc])* pub $table: <$kept as Record>::Table,)*
        }
    };
}

kinds! {
    in memory {
        accounts: Account,
        keys: KeyRecord,
        /// What a region that follows has in place of keys.
        verifiers: VerifierRecord,
        deeds: DeedRecord,
        regions: RegionRecord,
        operators: Operator,
        tokens: TokenRecord,
        /// Where the registry is kept.
        users: UserRecord,
        /// The same.
        policies: ManagedRecord,
        /// The same.
        groups: GroupRecord,
        /// The same.
        roles: RoleRecord,
        /// What a region that follows has in place of roles.
        told_roles: FollowedRoleRecord,
        /// Identity providers, where the registry is kept; which there are, everywhere.
        providers: ProviderRecord,
        /// Aliases of accounts, where the registry is kept.
        aliases: AliasRecord,
        /// Guard policies; where the registry is followed, some by their digest alone.
        guard_policies: GuardPolicyRecord,
        /// Sessions that were ended singly.
        ended: EndedRecord,
        /// Keys that open tokens of sessions, where the registry is followed.
        token_keys: TokenKeyRecord,
        /// What the keeper said that it had sent, where the registry is followed.
        receipt: Receipt,
        /// Whether entries were taken over from another region, where the registry is kept.
        catch_up: CatchUpRecord,
        /// How many entries of the log are in the chains, where the registry is kept.
        chained: Folded,
        /// The last entry of the audit log.
        last: Change,
    }
    on disk {
        HeadRow,
        LinkRow,
    }
}

/// A kind that is in the list: only such a kind can have rows.
pub(crate) trait Listed {}

/// One kind of row.
pub(crate) trait Record: Listed + Serialize + DeserializeOwned + 'static {
    /// What its keys begin with; without a slash at the end it is the key of the only row.
    const PREFIX: &'static str;
    /// Whether its rows stay in the registry's region. Others see digests of them.
    const SECRET: bool = false;
    /// What a build knows that can read its rows; `None` where every build can.
    const FEATURE: Option<&'static str> = None;
    /// The newest format of its rows.
    const NEWEST: u32 = FORMAT;
    /// Keys and values as they have always been.
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)];
    /// What is in memory of all rows of the kind.
    type Table: Default;

    /// The key of a row.
    fn key(id: impl std::fmt::Display) -> String {
        format!("{}{id}", Self::PREFIX)
    }

    /// Reads a row; a format newer than ours is refused rather than guessed at.
    fn read(value: &[u8]) -> Result<Self, CloudError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let wrong = |e: serde_json::Error| CloudError::Record(e.to_string());
        let version: Version = serde_json::from_slice(value).map_err(wrong)?;
        if version.v > Self::NEWEST {
            return Err(CloudError::Record(format!(
                "written by a newer Dhow (format {})",
                version.v
            )));
        }
        serde_json::from_slice(value).map_err(wrong)
    }

    /// Writes a row.
    fn write(&self) -> Result<String, CloudError> {
        serde_json::to_string(self).map_err(|e| CloudError::Record(e.to_string()))
    }

    /// Takes a row as it was written or read. `id` is the key without its prefix.
    fn put(state: &mut State, master: &MasterKey, id: &str, value: &[u8])
    -> Result<(), CloudError>;

    /// Drops a row that was removed.
    fn remove(_: &mut State, id: &str) -> Result<(), CloudError> {
        Err(CloudError::Record(format!(
            "row {}{id} is never removed",
            Self::PREFIX
        )))
    }

    /// Takes over of a row that is about to be written what takes rights away, and only that.
    /// `here` is this region where it follows the registry. Answers whether there was anything.
    fn withdraw(_: &mut State, _id: &str, _now: &RowNow, _here: Option<&RegionId>) -> bool {
        false
    }

    /// The entry of the audit log with this number has a row of this kind.
    fn logged(_: &mut State, _id: &str, _now: &RowNow, _number: u64) {}

    /// Whose signing keys a region is sent anew with a change of a row.
    fn concerns(_: &Served<'_>, _id: &str, _now: &RowNow) -> Concern {
        Concern::Nobody
    }

    /// The derived signing keys that no longer hold once a row has changed.
    fn outdates(_id: &str) -> Outdated<'_> {
        Outdated::Nothing
    }

    /// What a region that follows keeps of a changed row: nothing of a secret one.
    fn followed(_: &State, _id: &str, row: &RowChange) -> Vec<RowChange> {
        match Self::SECRET {
            true => Vec::new(),
            false => vec![row.clone()],
        }
    }
}

/// Whose signing keys a region is sent anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concern {
    Nobody,
    /// This access key.
    Key(String),
    /// The keys of these users.
    Users(Vec<String>),
    /// This role.
    Role(String),
    /// The keys of these users, and these roles.
    Holders(Vec<String>, Vec<String>),
    /// All keys of this account.
    Account(String),
    /// All keys of this account, once in an answer.
    Owner(String),
}

/// Which derived signing keys no longer hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outdated<'k> {
    Nothing,
    /// Those of this access key.
    Key(&'k str),
    /// Those of this user.
    User(&'k str),
    All,
}

/// A kind, for rows of which only the key says which kind they are.
pub(crate) struct Kind {
    prefix: &'static str,
    pub secret: bool,
    pub feature: Option<&'static str>,
    pub put: fn(&mut State, &MasterKey, &str, &[u8]) -> Result<(), CloudError>,
    pub remove: fn(&mut State, &str) -> Result<(), CloudError>,
    pub withdraw: fn(&mut State, &str, &RowNow, Option<&RegionId>) -> bool,
    pub logged: fn(&mut State, &str, &RowNow, u64),
    pub concerns: fn(&Served<'_>, &str, &RowNow) -> Concern,
    pub outdates: fn(&str) -> Outdated<'_>,
    pub followed: fn(&State, &str, &RowChange) -> Vec<RowChange>,
    #[cfg(test)]
    golden: &'static [(&'static str, &'static str)],
    #[cfg(test)]
    again: fn(&[u8]) -> Result<String, CloudError>,
}

impl Kind {
    const fn of<R: Record>() -> Self {
        Self {
            prefix: R::PREFIX,
            secret: R::SECRET,
            feature: R::FEATURE,
            put: R::put,
            remove: R::remove,
            withdraw: R::withdraw,
            logged: R::logged,
            concerns: R::concerns,
            outdates: R::outdates,
            followed: R::followed,
            #[cfg(test)]
            golden: R::GOLDEN,
            #[cfg(test)]
            again: |value| R::read(value)?.write(),
        }
    }

    /// The kind of a row, and its key without the prefix.
    ///
    /// # Errors
    /// There is no such kind.
    pub(crate) fn of_key(key: &str) -> Result<(&'static Self, &str), CloudError> {
        let found = KINDS.iter().find_map(|kind| {
            let id = key.strip_prefix(kind.prefix)?;
            let whole = kind.prefix.ends_with('/') || id.is_empty();
            whole.then_some((kind, id))
        });
        found.ok_or_else(|| CloudError::Record(format!("unknown row {key}")))
    }
}

/// Whether one of the two begins with the other.
const fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

const _: () = {
    let mut one = 0;
    while one < KINDS.len() {
        let mut other = 0;
        while other < one {
            let apart = !overlap(KINDS[one].prefix, KINDS[other].prefix);
            assert!(apart, "two kinds have keys that begin with the same");
            other += 1;
        }
        one += 1;
    }
};
