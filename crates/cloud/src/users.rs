//! Users of accounts and their keys. All of it is changed where the registry is kept.
//!
//! The audit log, which every region has, names users by their ids alone: their names are sent only
//! to regions that have buckets of their account.

use std::collections::{BTreeMap, BTreeSet};

use access::policy::{Document, DocumentKind};
use serde_json::json;
use types::{AccountId, Actor};

use crate::{
    CloudError, KeyInfo, KeyStatus, NewKey, Registry,
    change::{Draft, RowChange},
    keys::{FEW, generate, info, text},
    kinds::{
        FORMAT, FORMAT_OF_USERS,
        key::KeyRecord,
        managed::ManagedRecord,
        texts::Texts,
        user::{Held, UserRecord},
    },
    registry::Turn,
    state::State,
    tags::{add_tags, check_tags, remove_tags},
};

/// Users of one account.
const USERS_MAX: usize = 5000;
/// Keys of one user.
const KEYS_MAX: usize = 2;
/// Keys of an account itself that are made through IAM.
const ROOT_KEYS_MAX: usize = 20;
/// Characters of a policy's name.
pub(crate) const POLICY_NAME_MAX: usize = 128;
/// Bytes of all policies that are part of a user, white space not counted.
const INLINE_BYTES_MAX: usize = 2048;
/// Characters of a user's name, and of a path.
pub(crate) const NAME_MAX: usize = 64;
const PATH_MAX: usize = 512;

/// A user as listings show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UserInfo {
    /// Its unique id.
    pub id: String,
    /// The account's id.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:user/path/name`.
    pub arn: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The ARN of what bounds it.
    pub boundary: Option<String>,
}

/// A user that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewUser {
    /// 1 to 64 letters, digits, or one of `_+=,.@-`; no other user of the account has it in any
    /// case.
    pub name: String,
    /// `/`, or words between slashes.
    pub path: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The unique id of the managed policy of the account that bounds it.
    pub boundary: Option<String>,
}

/// What is to become of a user.
#[derive(Debug, Clone)]
pub enum UserChange {
    /// Another name or path; the id stays.
    Rename {
        /// The name then, if another.
        name: Option<String>,
        /// The path then, if another.
        path: Option<String>,
    },
    /// These tags beside the others.
    Tag(BTreeMap<String, String>),
    /// Without the tags of these keys.
    Untag(Vec<String>),
}

impl UserChange {
    const fn action(&self) -> &'static str {
        match self {
            Self::Rename { .. } => "user.rename",
            Self::Tag(_) => "user.tag",
            Self::Untag(_) => "user.untag",
        }
    }
}

/// Whether a text can be the name of a user, a group or a policy.
pub(crate) fn check_name(name: &str, max: usize) -> Result<(), CloudError> {
    let good = |c: u8| c.is_ascii_alphanumeric() || b"_+=,.@-".contains(&c);
    match (1..=max).contains(&name.len()) && name.bytes().all(good) {
        true => Ok(()),
        false => Err(CloudError::Invalid(format!(
            "a name has 1 to {max} letters, digits, or one of _ + = , . @ -"
        ))),
    }
}

/// Whether a text can be a path.
pub(crate) fn check_path(path: &str) -> Result<(), CloudError> {
    let good = |c: u8| (0x21..0x7f).contains(&c);
    let framed = path == "/" || (path.len() > 2 && path.starts_with('/') && path.ends_with('/'));
    match framed && path.len() <= PATH_MAX && path.bytes().all(good) {
        true => Ok(()),
        false => Err(CloudError::Invalid(format!(
            "a path is / or begins and ends with a slash, and has at most {PATH_MAX} visible ASCII \
             characters"
        ))),
    }
}

/// Whether these can be the policies of a user or group, all together.
pub(crate) fn check_inline(
    inline: &BTreeMap<String, String>,
    bytes_max: usize,
) -> Result<(), CloudError> {
    let mut bytes = 0;
    for text in inline.values() {
        bytes += parsed(text, DocumentKind::Identity)?.bytes();
    }
    match bytes <= bytes_max {
        true => Ok(()),
        false => Err(CloudError::Limit(format!(
            "the policies have {bytes} bytes together, white space not counted, and {bytes_max} are \
             allowed"
        ))),
    }
}

/// A document that is to be kept.
pub(crate) fn parsed(text: &str, kind: DocumentKind<'_>) -> Result<Document, CloudError> {
    Document::parse(text, kind).map_err(|error| CloudError::Policy(error.to_string()))
}

pub(crate) fn shown(state: &State, held: &Held) -> UserInfo {
    let record = &held.record;
    UserInfo {
        id: record.id.clone(),
        account: record.account.clone(),
        name: record.name.clone(),
        path: record.path.clone(),
        arn: record.arn(),
        created_ms: record.created_ms,
        tags: record.tags.clone(),
        boundary: record
            .boundary
            .as_ref()
            .and_then(|id| state.policies.any(id))
            .map(ManagedRecord::arn),
    }
}

impl Registry {
    /// The users of an account, in order of name; none where the registry is not kept.
    pub fn users(&self, account: &AccountId) -> Vec<UserInfo> {
        let state = self.state.read();
        let all = state.users.of(account);
        all.map(|held| shown(&state, held)).collect()
    }

    /// A user by its unique id.
    pub fn user(&self, id: &str) -> Option<UserInfo> {
        let state = self.state.read();
        state.users.get(id).map(|held| shown(&state, held))
    }

    /// A user of an account by its name, in whatever case.
    pub fn user_named(&self, account: &AccountId, name: &str) -> Option<UserInfo> {
        let state = self.state.read();
        let found = state.users.named(account, name);
        found.map(|held| shown(&state, held))
    }

    /// The keys of a user.
    pub fn keys_of_user(&self, id: &str) -> Vec<KeyInfo> {
        let state = self.state.read();
        let of = state.keys.of_user.get(id).into_iter().flatten();
        of.filter_map(|id| state.keys.get(id))
            .map(|key| info(&key.record))
            .collect()
    }

    /// Creates a user, who may do nothing yet.
    pub async fn create_user(
        &self,
        actor: &Actor,
        account: &AccountId,
        new: NewUser,
    ) -> Result<UserInfo, CloudError> {
        let turn = self.turn().await;
        let record = {
            let state = self.state.read();
            self.check_new_user(&state, account, &new)?;
            UserRecord {
                v: FORMAT,
                id: self.new_id("AIDA", |id| state.users.contains_key(id)),
                account: account.to_string(),
                name: new.name,
                path: new.path,
                created_ms: self.clock.now().ms(),
                salt: text(&*self.random, 16, FEW),
                tags: new.tags,
                inline: Texts::default(),
                attached: BTreeSet::new(),
                groups: BTreeSet::new(),
                boundary: new.boundary,
            }
        };
        let id = record.id.clone();
        self.put_user(turn, actor, "user.create", record).await?;
        self.user(&id).ok_or(CloudError::NoUser(id))
    }

    fn check_new_user(
        &self,
        state: &State,
        account: &AccountId,
        new: &NewUser,
    ) -> Result<(), CloudError> {
        check_name(&new.name, NAME_MAX)?;
        check_path(&new.path)?;
        check_tags(&new.tags)?;
        let found = state.accounts.get(&**account);
        let found = found.ok_or_else(|| CloudError::NoAccount(account.clone()))?;
        if !found.caller_kind().keeps_data() {
            return Err(CloudError::Refused(
                "accounts of operators and auditors have no users".into(),
            ));
        }
        let bounds = |id: &String| state.policies.attachable(account, id).is_some();
        if !new.boundary.as_ref().is_none_or(bounds) {
            return Err(CloudError::NoEntity("there is no such policy".into()));
        }
        if state.users.named(account, &new.name).is_some() {
            return Err(CloudError::Exists(format!("a user named {}", new.name)));
        }
        match state.users.count_of(account) < USERS_MAX {
            true => Ok(()),
            false => Err(CloudError::Limit(format!(
                "an account has at most {USERS_MAX} users"
            ))),
        }
    }

    /// An id that was never given.
    pub(crate) fn new_id(&self, prefix: &str, is_there: impl Fn(&str) -> bool) -> String {
        loop {
            let id = prefix.to_owned() + &text(&*self.random, 17, FEW);
            if !is_there(&id) {
                return id;
            }
        }
    }

    pub(crate) async fn put_user(
        &self,
        turn: Turn,
        actor: &Actor,
        action: &'static str,
        record: UserRecord,
    ) -> Result<(), CloudError> {
        let draft = Draft {
            actor: actor.clone(),
            action,
            subject: record.id.clone(),
            detail: json!({ "account": record.account }),
            rows: vec![RowChange::put(&record.id, &record)?],
        };
        self.change(turn, draft).await
    }

    pub(crate) fn user_record(&self, id: &str) -> Result<UserRecord, CloudError> {
        let state = self.state.read();
        let found = state.users.get(id).map(|held| held.record.clone());
        found.ok_or_else(|| CloudError::NoUser(id.to_owned()))
    }

    /// Changes a user. Takes effect here with the answer.
    pub async fn change_user(
        &self,
        actor: &Actor,
        id: &str,
        change: UserChange,
    ) -> Result<UserInfo, CloudError> {
        let turn = self.turn().await;
        let before = self.user_record(id)?;
        let mut record = before.clone();
        let action = change.action();
        match change {
            UserChange::Rename { name, path } => {
                if let Some(name) = name {
                    check_name(&name, NAME_MAX)?;
                    let state = self.state.read();
                    let other = state.users.named(&record.account, &name);
                    if other.is_some_and(|other| other.record.id != *id) {
                        return Err(CloudError::Exists(format!("a user named {name}")));
                    }
                    record.name = name;
                }
                if let Some(path) = path {
                    check_path(&path)?;
                    record.path = path;
                }
            }
            UserChange::Tag(tags) => add_tags(&mut record.tags, tags)?,
            UserChange::Untag(keys) => remove_tags(&mut record.tags, &keys),
        }
        if record != before {
            self.put_user(turn, actor, action, record).await?;
        }
        self.user(id)
            .ok_or_else(|| CloudError::NoUser(id.to_owned()))
    }

    /// Deletes a user, who has no keys and no policies any more.
    pub async fn delete_user(&self, actor: &Actor, id: &str) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let record = self.user_record(id)?;
        let conflict = |what: &str| Err(CloudError::Conflict(format!("the user still has {what}")));
        if !self.keys_of_user(id).is_empty() {
            return conflict("access keys: delete them first");
        }
        if !record.inline.is_empty() || !record.attached.is_empty() {
            return conflict("policies: delete them first");
        }
        if !record.groups.is_empty() {
            return conflict("groups: take the user out of them first");
        }
        let draft = Draft {
            actor: actor.clone(),
            action: "user.delete",
            subject: id.to_owned(),
            detail: json!({ "account": record.account }),
            rows: vec![RowChange::remove::<UserRecord>(id)],
        };
        self.change(turn, draft).await
    }

    /// The policies that are part of a user: names and texts.
    pub fn policies_of_user(&self, id: &str) -> BTreeMap<String, String> {
        let state = self.state.read();
        let found = state.users.get(id);
        found.map_or_else(BTreeMap::new, |held| held.record.inline.to_map())
    }

    /// Makes a policy part of a user, in place of one of that name; with `None` there is none of
    /// that name then. Takes effect here with the answer.
    pub async fn put_user_policy(
        &self,
        actor: &Actor,
        id: &str,
        name: &str,
        text: Option<&str>,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let before = self.user_record(id)?;
        let mut record = before.clone();
        let mut inline = record.inline.to_map();
        let action = match text {
            Some(text) => {
                check_name(name, POLICY_NAME_MAX)?;
                inline.insert(name.to_owned(), text.to_owned());
                check_inline(&inline, INLINE_BYTES_MAX)?;
                "user.policy.put"
            }
            None => {
                inline.remove(name);
                "user.policy.delete"
            }
        };
        record.inline = inline.into();
        match record == before {
            true => Ok(()),
            false => self.put_user(turn, actor, action, record).await,
        }
    }

    /// Creates a key for the account itself.
    pub async fn create_root_key(
        &self,
        actor: &Actor,
        account: &AccountId,
    ) -> Result<(NewKey, KeyInfo), CloudError> {
        let own = self.keys(Some(account));
        if own.iter().filter(|key| key.user.is_none()).count() >= ROOT_KEYS_MAX {
            return Err(CloudError::Limit(format!(
                "an account has at most {ROOT_KEYS_MAX} access keys of its own"
            )));
        }
        let made = self.create_key(actor, account, None, "", false).await?;
        let info = self.key(&types::AccessKeyId::new(&made.access_key));
        let info = info.ok_or_else(|| CloudError::NoKey(types::AccessKeyId::new(&made.access_key)));
        Ok((made, info?))
    }

    /// Creates a key for a user.
    pub async fn create_user_key(
        &self,
        actor: &Actor,
        user: &str,
    ) -> Result<(NewKey, KeyInfo), CloudError> {
        let turn = self.turn().await;
        let held = self.user_record(user)?;
        let mine = self.keys_of_user(user).len();
        if mine >= KEYS_MAX {
            return Err(CloudError::Limit(format!(
                "a user has at most {KEYS_MAX} access keys"
            )));
        }
        let (id, secret) = generate(&*self.random);
        if self.state.read().keys.contains_key(&id) {
            return Err(CloudError::KeyExists(types::AccessKeyId::new(&id)));
        }
        let record = KeyRecord {
            format: FORMAT_OF_USERS,
            sealed: self.master.seal(&id, &secret, &*self.random)?,
            id: id.clone(),
            account: held.account.clone(),
            status: KeyStatus::Active,
            created_ms: self.clock.now().ms(),
            description: String::new(),
            admin: false,
            user: Some(held.id.clone()),
        };
        let draft = Draft {
            actor: actor.clone(),
            action: "key.create",
            subject: id.clone(),
            detail: json!({ "account": held.account, "user": held.id }),
            rows: vec![RowChange::put(&id, &record)?],
        };
        self.change(turn, draft).await?;
        let made = NewKey {
            access_key: id,
            secret_key: secret,
            account: held.account,
        };
        Ok((made, info(&record)))
    }
}
