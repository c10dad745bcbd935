//! Managed policies with their versions, groups of users, and what is attached to whom. All of it
//! is changed where the registry is kept.

use std::collections::{BTreeMap, BTreeSet};

use access::policy::DocumentKind;
use serde_json::json;
use types::{AccountId, Actor};

use crate::{
    CloudError, Registry, UserInfo,
    change::{Draft, RowChange},
    common,
    keys::{FEW, text},
    kinds::{
        FORMAT, Record,
        group::GroupRecord,
        managed::{ManagedRecord, VersionRecord},
    },
    registry::Turn,
    state::State,
    tags::check_tags,
    users::{self, check_inline, check_name, check_path, parsed},
};

/// Managed policies and groups of one account.
const POLICIES_MAX: usize = 1500;
const GROUPS_MAX: usize = 300;
/// Versions of one managed policy.
const VERSIONS_MAX: usize = 5;
/// Managed policies that are attached to one user or group, and groups of one user.
const ATTACHED_MAX: usize = 10;
const GROUPS_OF_USER_MAX: usize = 10;
/// Bytes of all policies that are part of a group, white space not counted.
const INLINE_BYTES_MAX: usize = 5120;
/// Characters of a name, and of a description.
const NAME_MAX: usize = 128;
const DESCRIPTION_MAX: usize = 1000;

/// A managed policy as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its unique id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:policy/path/name`.
    pub arn: String,
    /// Every account has it, and none changes it.
    pub is_common: bool,
    /// For people.
    pub description: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The same of its last version.
    pub updated_ms: u64,
    /// The version that counts.
    pub default: u32,
    /// Users, groups and roles of the account to which it is attached.
    pub attached: usize,
    /// Users and roles of the account that it bounds.
    pub bounds: usize,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A version of a managed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number.
    pub number: u32,
    /// JSON, as it was written.
    pub text: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Whether it counts.
    pub is_default: bool,
}

/// A managed policy, or group, that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewEntity {
    /// 1 to 128 letters, digits, or one of `_+=,.@-`.
    pub name: String,
    /// `/`, or words between slashes.
    pub path: String,
    /// For people.
    pub description: String,
    /// Tags; a group has none.
    pub tags: BTreeMap<String, String>,
}

/// A group as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its unique id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:group/path/name`.
    pub arn: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
}

/// To whom something is attached, by unique id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A user.
    User(&'a str),
    /// A group.
    Group(&'a str),
    /// A role.
    Role(&'a str),
}

fn no_policy() -> CloudError {
    CloudError::NoEntity("there is no such policy".into())
}

fn no_version(number: u32) -> CloudError {
    CloudError::NoEntity(format!("the policy has no version v{number}"))
}

fn no_group() -> CloudError {
    CloudError::NoEntity("there is no such group".into())
}

pub(crate) fn shown(group: &GroupRecord) -> GroupInfo {
    GroupInfo {
        id: group.id.clone(),
        name: group.name.clone(),
        path: group.path.clone(),
        arn: group.arn(),
        created_ms: group.created_ms,
    }
}

/// These users, in order of name.
pub(crate) fn by_name<'i>(state: &State, ids: impl Iterator<Item = &'i String>) -> Vec<UserInfo> {
    let users = ids.filter_map(|id| state.users.get(id));
    let mut users: Vec<UserInfo> = users.map(|held| users::shown(state, held)).collect();
    users.sort_by_cached_key(|user| user.name.to_ascii_lowercase());
    users
}

impl Registry {
    pub(crate) fn policy_info(&self, account: &str, record: &ManagedRecord) -> PolicyInfo {
        let state = self.state.read();
        let (users, groups, roles) = (&state.users, &state.groups, &state.roles);
        PolicyInfo {
            id: record.id.clone(),
            name: record.name.clone(),
            path: record.path.clone(),
            arn: record.arn(),
            is_common: record.account == common::OF_ALL,
            description: record.description.clone(),
            created_ms: record.created_ms,
            updated_ms: record.updated_ms,
            default: record.default,
            attached: users.attached.count(account, &record.id)
                + groups.attached.count(account, &record.id)
                + roles.attached.count(account, &record.id),
            bounds: users.bounded.count(account, &record.id)
                + roles.bounded.count(account, &record.id),
            tags: record.tags.clone(),
        }
    }

    /// The managed policies of an account, in order of name.
    pub fn policies(&self, account: &AccountId) -> Vec<PolicyInfo> {
        let records: Vec<_> = self.state.read().policies.of(account).cloned().collect();
        records
            .iter()
            .map(|record| self.policy_info(account, record))
            .collect()
    }

    /// A managed policy of an account, or one that all have, by its ARN.
    pub fn policy_of_arn(&self, account: &AccountId, arn: &str) -> Option<PolicyInfo> {
        if let Some(record) = common::by_arn(arn) {
            return Some(self.policy_info(account, record));
        }
        let name = arn.rsplit('/').next()?;
        let found = self.state.read().policies.named(account, name).cloned();
        let found = found.filter(|record| record.arn() == arn)?;
        Some(self.policy_info(account, &found))
    }

    /// The versions of a managed policy, in order of number.
    pub fn versions_of_policy(&self, id: &str) -> Vec<VersionInfo> {
        let state = self.state.read();
        let Some(record) = state.policies.any(id) else {
            return Vec::new();
        };
        let version = |(number, version): (&u32, &VersionRecord)| VersionInfo {
            number: *number,
            text: version.text.clone(),
            created_ms: version.created_ms,
            is_default: *number == record.default,
        };
        record.versions.iter().map(version).collect()
    }

    pub(crate) async fn put_row<R: Record>(
        &self,
        turn: Turn,
        actor: &Actor,
        action: &'static str,
        (id, account): (&str, &str),
        record: &R,
    ) -> Result<(), CloudError> {
        let draft = Draft {
            actor: actor.clone(),
            action,
            subject: id.to_owned(),
            detail: json!({ "account": account }),
            rows: vec![RowChange::put(id, record)?],
        };
        self.change(turn, draft).await
    }

    async fn remove_row<R: Record>(
        &self,
        turn: Turn,
        actor: &Actor,
        action: &'static str,
        (id, account): (&str, &str),
    ) -> Result<(), CloudError> {
        let draft = Draft {
            actor: actor.clone(),
            action,
            subject: id.to_owned(),
            detail: json!({ "account": account }),
            rows: vec![RowChange::remove::<R>(id)],
        };
        self.change(turn, draft).await
    }

    fn check_new(&self, account: &AccountId, new: &NewEntity) -> Result<(), CloudError> {
        check_name(&new.name, NAME_MAX)?;
        check_path(&new.path)?;
        if !types::is_plain_text(&new.description, DESCRIPTION_MAX) {
            return Err(CloudError::Invalid(format!(
                "a description has at most {DESCRIPTION_MAX} bytes and nothing that a terminal \
                 would obey"
            )));
        }
        let state = self.state.read();
        match state.accounts.get(&**account) {
            Some(found) if found.caller_kind().keeps_data() => Ok(()),
            Some(_) => Err(CloudError::Refused(
                "accounts of operators and auditors have no users".into(),
            )),
            None => Err(CloudError::NoAccount(account.clone())),
        }
    }

    /// Creates a managed policy with its first version.
    pub async fn create_policy(
        &self,
        actor: &Actor,
        account: &AccountId,
        new: NewEntity,
        document: &str,
    ) -> Result<PolicyInfo, CloudError> {
        parsed(document, DocumentKind::Boundary)?;
        check_tags(&new.tags)?;
        let turn = self.turn().await;
        self.check_new(account, &new)?;
        let now = self.clock.now().ms();
        let record = {
            let state = self.state.read();
            if state.policies.named(account, &new.name).is_some() {
                return Err(CloudError::Exists(format!("a policy named {}", new.name)));
            }
            if state.policies.of(account).count() >= POLICIES_MAX {
                return Err(CloudError::Limit(format!(
                    "an account has at most {POLICIES_MAX} managed policies"
                )));
            }
            let version = VersionRecord {
                text: document.to_owned(),
                created_ms: now,
            };
            ManagedRecord {
                v: FORMAT,
                id: self.new_id("ANPA", |id| state.policies.contains_key(id)),
                account: account.to_string(),
                name: new.name,
                path: new.path,
                description: new.description,
                created_ms: now,
                updated_ms: now,
                salt: text(&*self.random, 16, FEW),
                versions: BTreeMap::from([(1, version)]),
                default: 1,
                last: 1,
                tags: new.tags,
            }
        };
        let of = (&*record.id, &**account);
        self.put_row(turn, actor, "policy.create", of, &record)
            .await?;
        Ok(self.policy_info(account, &record))
    }

    /// A managed policy of an account, which can be changed.
    pub(crate) fn policy_record(&self, id: &str) -> Result<ManagedRecord, CloudError> {
        let found = self.state.read().policies.get(id).cloned();
        found.ok_or_else(no_policy)
    }

    /// Adds a version to a managed policy. Answers its number.
    pub async fn create_policy_version(
        &self,
        actor: &Actor,
        id: &str,
        document: &str,
        is_default: bool,
    ) -> Result<u32, CloudError> {
        parsed(document, DocumentKind::Boundary)?;
        let turn = self.turn().await;
        let mut record = self.policy_record(id)?;
        if record.versions.len() >= VERSIONS_MAX {
            return Err(CloudError::Limit(format!(
                "a managed policy has at most {VERSIONS_MAX} versions: delete one first"
            )));
        }
        let now = self.clock.now().ms();
        record.last += 1;
        let version = VersionRecord {
            text: document.to_owned(),
            created_ms: now,
        };
        record.versions.insert(record.last, version);
        record.updated_ms = now;
        if is_default {
            record.default = record.last;
        }
        let of = (id, &*record.account);
        let put = self.put_row(turn, actor, "policy.version.create", of, &record);
        put.await?;
        Ok(record.last)
    }

    /// Lets another version of a managed policy count.
    pub async fn set_default_version(
        &self,
        actor: &Actor,
        id: &str,
        number: u32,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let mut record = self.policy_record(id)?;
        if !record.versions.contains_key(&number) {
            return Err(no_version(number));
        }
        if record.default == number {
            return Ok(());
        }
        record.default = number;
        record.updated_ms = self.clock.now().ms();
        let of = (id, &*record.account);
        self.put_row(turn, actor, "policy.version.set", of, &record)
            .await
    }

    /// Deletes a version of a managed policy that does not count.
    pub async fn delete_policy_version(
        &self,
        actor: &Actor,
        id: &str,
        number: u32,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let mut record = self.policy_record(id)?;
        if record.default == number {
            return Err(CloudError::Conflict(
                "the default version stays: let another one count first".into(),
            ));
        }
        if record.versions.remove(&number).is_none() {
            return Err(no_version(number));
        }
        let of = (id, &*record.account);
        self.put_row(turn, actor, "policy.version.delete", of, &record)
            .await
    }

    /// Deletes a managed policy that has one version and is attached to nobody.
    pub async fn delete_policy(&self, actor: &Actor, id: &str) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let record = self.policy_record(id)?;
        let info = self.policy_info(&record.account, &record);
        if info.attached + info.bounds > 0 {
            return Err(CloudError::Conflict(
                "the policy is attached: detach it first".into(),
            ));
        }
        if record.versions.len() > 1 {
            return Err(CloudError::Conflict(
                "the policy has other versions: delete them first".into(),
            ));
        }
        let of = (id, &*record.account);
        self.remove_row::<ManagedRecord>(turn, actor, "policy.delete", of)
            .await
    }

    /// Attaches a managed policy of the same account, or one that all have, or detaches it. Answers
    /// whether that changed anything.
    pub async fn attach(
        &self,
        actor: &Actor,
        to: Holder<'_>,
        policy: &str,
        attached: bool,
    ) -> Result<bool, CloudError> {
        let turn = self.turn().await;
        let change = |list: &mut BTreeSet<String>, account: &str| {
            if !self.is_attachable(account, policy) {
                return Err(no_policy());
            }
            let changed = match attached {
                true => list.insert(policy.to_owned()),
                false => list.remove(policy),
            };
            match list.len() <= ATTACHED_MAX {
                true => Ok(changed),
                false => Err(CloudError::Limit(format!(
                    "at most {ATTACHED_MAX} managed policies are attached"
                ))),
            }
        };
        let action = match attached {
            true => "policy.attach",
            false => "policy.detach",
        };
        match to {
            Holder::User(id) => {
                let mut record = self.user_record(id)?;
                let account = record.account.clone();
                let changed = change(&mut record.attached, &account)?;
                if changed {
                    self.put_user(turn, actor, action, record).await?;
                }
                Ok(changed)
            }
            Holder::Group(id) => {
                let mut record = self.group_record(id)?;
                let account = record.account.clone();
                let changed = change(&mut record.attached, &account)?;
                if changed {
                    let of = (id, &*account);
                    self.put_row(turn, actor, action, of, &record).await?;
                }
                Ok(changed)
            }
            Holder::Role(id) => {
                let mut record = self.role_record(id)?;
                let account = record.account.clone();
                let changed = change(&mut record.attached, &account)?;
                if changed {
                    self.put_role(turn, actor, action, record).await?;
                }
                Ok(changed)
            }
        }
    }

    /// Bounds a user by a managed policy of the same account, by one that all have, or by
    /// none.
    pub async fn set_boundary(
        &self,
        actor: &Actor,
        user: &str,
        policy: Option<&str>,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let before = self.user_record(user)?;
        if !policy.is_none_or(|policy| self.is_attachable(&before.account, policy)) {
            return Err(no_policy());
        }
        let mut record = before.clone();
        record.boundary = policy.map(str::to_owned);
        match record == before {
            true => Ok(()),
            false => self.put_user(turn, actor, "user.boundary", record).await,
        }
    }

    fn group_record(&self, id: &str) -> Result<GroupRecord, CloudError> {
        let found = self.state.read().groups.get(id).cloned();
        found.ok_or_else(no_group)
    }

    /// The groups of an account, in order of name.
    pub fn groups(&self, account: &AccountId) -> Vec<GroupInfo> {
        self.state.read().groups.of(account).map(shown).collect()
    }

    /// A group of an account by its name, in whatever case.
    pub fn group_named(&self, account: &AccountId, name: &str) -> Option<GroupInfo> {
        self.state.read().groups.named(account, name).map(shown)
    }

    /// The users in a group, in order of name.
    pub fn users_of_group(&self, id: &str) -> Vec<UserInfo> {
        let state = self.state.read();
        by_name(&state, state.users.members.of(id))
    }

    /// The groups that a user is in, in order of name.
    pub fn groups_of_user(&self, id: &str) -> Vec<GroupInfo> {
        let state = self.state.read();
        let Some(held) = state.users.get(id) else {
            return Vec::new();
        };
        let groups = held.record.groups.iter();
        groups
            .filter_map(|id| state.groups.get(id))
            .map(shown)
            .collect()
    }

    /// Creates a group.
    pub async fn create_group(
        &self,
        actor: &Actor,
        account: &AccountId,
        new: NewEntity,
    ) -> Result<GroupInfo, CloudError> {
        let turn = self.turn().await;
        self.check_new(account, &new)?;
        let record = {
            let state = self.state.read();
            if state.groups.named(account, &new.name).is_some() {
                return Err(CloudError::Exists(format!("a group named {}", new.name)));
            }
            if state.groups.of(account).count() >= GROUPS_MAX {
                return Err(CloudError::Limit(format!(
                    "an account has at most {GROUPS_MAX} groups"
                )));
            }
            GroupRecord {
                v: FORMAT,
                id: self.new_id("AGPA", |id| state.groups.contains_key(id)),
                account: account.to_string(),
                name: new.name,
                path: new.path,
                created_ms: self.clock.now().ms(),
                salt: text(&*self.random, 16, FEW),
                inline: BTreeMap::new(),
                attached: BTreeSet::new(),
            }
        };
        let of = (&*record.id, &**account);
        self.put_row(turn, actor, "group.create", of, &record)
            .await?;
        Ok(shown(&record))
    }

    /// Gives a group another name or path; the id stays.
    pub async fn rename_group(
        &self,
        actor: &Actor,
        id: &str,
        name: Option<&str>,
        path: Option<&str>,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let before = self.group_record(id)?;
        let mut record = before.clone();
        if let Some(name) = name {
            check_name(name, NAME_MAX)?;
            let state = self.state.read();
            let other = state.groups.named(&record.account, name);
            if other.is_some_and(|other| other.id != *id) {
                return Err(CloudError::Exists(format!("a group named {name}")));
            }
            name.clone_into(&mut record.name);
        }
        if let Some(path) = path {
            check_path(path)?;
            path.clone_into(&mut record.path);
        }
        if record == before {
            return Ok(());
        }
        let of = (id, &*record.account);
        self.put_row(turn, actor, "group.rename", of, &record).await
    }

    /// Deletes a group that has no users and no policies any more.
    pub async fn delete_group(&self, actor: &Actor, id: &str) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let record = self.group_record(id)?;
        let conflict =
            |what: &str| Err(CloudError::Conflict(format!("the group still has {what}")));
        if !self.users_of_group(id).is_empty() {
            return conflict("users: remove them first");
        }
        if !record.inline.is_empty() || !record.attached.is_empty() {
            return conflict("policies: delete or detach them first");
        }
        let of = (id, &*record.account);
        self.remove_row::<GroupRecord>(turn, actor, "group.delete", of)
            .await
    }

    /// Takes a user into a group of the same account, or out of it.
    pub async fn set_member(
        &self,
        actor: &Actor,
        group: &str,
        user: &str,
        is_in: bool,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let of_group = self.group_record(group)?.account;
        let mut record = self.user_record(user)?;
        if record.account != of_group {
            return Err(no_group());
        }
        let changed = match is_in {
            true => record.groups.insert(group.to_owned()),
            false => record.groups.remove(group),
        };
        if record.groups.len() > GROUPS_OF_USER_MAX {
            return Err(CloudError::Limit(format!(
                "a user is in at most {GROUPS_OF_USER_MAX} groups"
            )));
        }
        let action = match is_in {
            true => "group.add",
            false => "group.remove",
        };
        match changed {
            true => self.put_user(turn, actor, action, record).await,
            false => Ok(()),
        }
    }

    /// The policies that are part of a group: names and texts.
    pub fn policies_of_group(&self, id: &str) -> BTreeMap<String, String> {
        let found = self.group_record(id).ok();
        found.map(|group| group.inline).unwrap_or_default()
    }

    /// Makes a policy part of a group, in place of one of that name; with `None` there is none of
    /// that name then.
    pub async fn put_group_policy(
        &self,
        actor: &Actor,
        id: &str,
        name: &str,
        document: Option<&str>,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let before = self.group_record(id)?;
        let mut record = before.clone();
        let action = match document {
            Some(document) => {
                check_name(name, NAME_MAX)?;
                record.inline.insert(name.to_owned(), document.to_owned());
                check_inline(&record.inline, INLINE_BYTES_MAX)?;
                "group.policy.put"
            }
            None => {
                record.inline.remove(name);
                "group.policy.delete"
            }
        };
        if record == before {
            return Ok(());
        }
        let of = (id, &*record.account);
        self.put_row(turn, actor, action, of, &record).await
    }
}
