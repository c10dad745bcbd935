//! Roles of accounts. All of it is changed where the registry is kept. As with users, the audit log
//! has their ids alone.

use std::collections::{BTreeMap, BTreeSet};

use access::policy::{self, Document, DocumentKind};
use serde_json::json;
use types::{AccountId, Actor};

use crate::{
    CloudError, Registry,
    change::{Draft, RowChange},
    keys::{FEW, text},
    kinds::{
        FORMAT,
        managed::ManagedRecord,
        role::{HeldRole, RoleRecord},
    },
    registry::Turn,
    state::State,
    tags::{add_tags, check_tags, remove_tags},
    users::{NAME_MAX, POLICY_NAME_MAX, check_inline, check_name, check_path},
};

/// Roles of one account.
const ROLES_MAX: usize = 1000;
/// Bytes of all policies that are part of a role, white space not counted.
const INLINE_BYTES_MAX: usize = 10_240;
/// Bytes of a description.
const DESCRIPTION_MAX: usize = 1000;
/// How long sessions may be at most, in seconds.
const SESSION_S: std::ops::RangeInclusive<u64> = 3_600..=43_200;

/// A role as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleInfo {
    /// Its unique id.
    pub id: String,
    /// The account's id.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:role/path/name`.
    pub arn: String,
    /// For people.
    pub description: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The longest session, in seconds.
    pub max_session_s: u64,
    /// Who may have it. Users and roles that it names have today's ARNs, and those that are gone
    /// their unique ids.
    pub trust: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The ARN of what bounds it.
    pub boundary: Option<String>,
}

/// A role that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewRole {
    /// 1 to 64 letters, digits, or one of `_+=,.@-`; no other role of the account has it in any
    /// case.
    pub name: String,
    /// `/`, or words between slashes.
    pub path: String,
    /// For people.
    pub description: String,
    /// The longest session, in seconds: 3,600 to 43,200.
    pub max_session_s: u64,
    /// Who may have it.
    pub trust: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The unique id of the managed policy of the account that bounds it.
    pub boundary: Option<String>,
}

/// What is to become of a role.
#[derive(Debug, Clone)]
pub enum RoleChange {
    /// Another description, or longest session.
    Describe {
        /// The description then, if another.
        description: Option<String>,
        /// The longest session then, if another.
        max_session_s: Option<u64>,
    },
    /// Another trust policy.
    Trust(String),
    /// These tags beside the others.
    Tag(BTreeMap<String, String>),
    /// Without the tags of these keys.
    Untag(Vec<String>),
    /// The managed policy of the account, by its unique id, that bounds it.
    Boundary(Option<String>),
    /// This policy as part of it, in place of one of that name; `None`: none of that name.
    Policy {
        /// The policy's name.
        name: String,
        /// JSON.
        document: Option<String>,
    },
}

impl RoleChange {
    const fn action(&self) -> &'static str {
        match self {
            Self::Describe { .. } => "role.describe",
            Self::Trust(_) => "role.trust",
            Self::Tag(_) => "role.tag",
            Self::Untag(_) => "role.untag",
            Self::Boundary(_) => "role.boundary",
            Self::Policy {
                document: Some(_), ..
            } => "role.policy.put",
            Self::Policy { document: None, .. } => "role.policy.delete",
        }
    }
}

fn no_role() -> CloudError {
    CloudError::NoEntity("there is no such role".into())
}

pub(crate) fn shown(state: &State, held: &HeldRole) -> RoleInfo {
    let record = &held.record;
    let now = |arn: &str| {
        let id = record.trusted.get(arn)?;
        Some(state.arn_of_id(id).unwrap_or_else(|| id.clone()))
    };
    let boundary = record.boundary.as_ref();
    RoleInfo {
        id: record.id.clone(),
        account: record.account.clone(),
        name: record.name.clone(),
        path: record.path.clone(),
        arn: record.arn(),
        description: record.description.clone(),
        created_ms: record.created_ms,
        max_session_s: record.max_session_s,
        trust: policy::shown(&record.trust, &now),
        tags: record.tags.clone(),
        boundary: boundary
            .and_then(|id| state.policies.any(id))
            .map(ManagedRecord::arn),
    }
}

/// Reads a trust policy, and says whom it names by which unique ids.
fn trusted(state: &State, text: &str) -> Result<BTreeMap<String, String>, CloudError> {
    let resolve = |arn: &str| state.id_of_named(arn).map(str::to_owned);
    let read = Document::parse_resolved(text, DocumentKind::Trust, &resolve);
    let document = read.map_err(|error| CloudError::Policy(error.to_string()))?;
    Ok(document.resolutions().into_iter().collect())
}

fn check_session(seconds: u64) -> Result<(), CloudError> {
    match SESSION_S.contains(&seconds) {
        true => Ok(()),
        false => Err(CloudError::Invalid(format!(
            "the longest session of a role is {} to {} seconds",
            SESSION_S.start(),
            SESSION_S.end()
        ))),
    }
}

fn check_description(description: &str) -> Result<(), CloudError> {
    match types::is_plain_text(description, DESCRIPTION_MAX) {
        true => Ok(()),
        false => Err(CloudError::Invalid(format!(
            "a description has at most {DESCRIPTION_MAX} bytes and nothing that a terminal would \
             obey"
        ))),
    }
}

fn check_boundary(
    state: &State,
    account: &str,
    boundary: Option<&String>,
) -> Result<(), CloudError> {
    let bounds = |id: &String| state.policies.attachable(account, id).is_some();
    match boundary.is_none_or(bounds) {
        true => Ok(()),
        false => Err(CloudError::NoEntity("there is no such policy".into())),
    }
}

/// A role of which a session may be asked for.
pub struct Assumable {
    /// Its unique id.
    pub id: String,
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The longest session, in seconds.
    pub max_session_s: u64,
    /// Who may have it.
    pub trust: Document,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Whether these can be the tags of a session.
///
/// # Errors
/// `Invalid` and `Limit`, as of users.
pub fn check_session_tags(tags: &BTreeMap<String, String>) -> Result<(), CloudError> {
    check_tags(tags).map_err(|error| match error {
        // STS has one code for both.
        CloudError::Tags(why) => CloudError::Invalid(why),
        other => other,
    })
}

impl RoleRecord {
    /// Who may have the role, as it is decided by.
    pub(crate) fn trust_document(&self) -> Document {
        // One of a later release lets nobody in.
        let read = Document::parse(&self.trust, DocumentKind::Trust);
        let read = read.unwrap_or_else(|_| Document::unreadable(DocumentKind::Trust));
        read.with_resolved(&|name| self.trusted.get(name).cloned())
    }

    fn change(&mut self, state: &State, change: RoleChange) -> Result<(), CloudError> {
        match change {
            RoleChange::Describe {
                description,
                max_session_s,
            } => {
                if let Some(description) = description {
                    check_description(&description)?;
                    self.description = description;
                }
                if let Some(seconds) = max_session_s {
                    check_session(seconds)?;
                    self.max_session_s = seconds;
                }
            }
            RoleChange::Trust(text) => {
                self.trusted = trusted(state, &text)?;
                self.trust = text;
            }
            RoleChange::Tag(tags) => add_tags(&mut self.tags, tags)?,
            RoleChange::Untag(keys) => remove_tags(&mut self.tags, &keys),
            RoleChange::Boundary(boundary) => {
                check_boundary(state, &self.account, boundary.as_ref())?;
                self.boundary = boundary;
            }
            RoleChange::Policy {
                name,
                document: Some(document),
            } => {
                check_name(&name, POLICY_NAME_MAX)?;
                self.inline.insert(name, document);
                check_inline(&self.inline, INLINE_BYTES_MAX)?;
            }
            RoleChange::Policy {
                name,
                document: None,
            } => {
                self.inline.remove(&name);
            }
        }
        Ok(())
    }
}

impl Registry {
    /// The roles of an account, in order of name; none where the registry is not kept.
    pub fn roles(&self, account: &AccountId) -> Vec<RoleInfo> {
        let state = self.state.read();
        let all = state.roles.of(account);
        all.map(|held| shown(&state, held)).collect()
    }

    /// A role of an account by its name, in whatever case.
    pub fn role_named(&self, account: &AccountId, name: &str) -> Option<RoleInfo> {
        let state = self.state.read();
        let found = state.roles.named(account, name);
        found.map(|held| shown(&state, held))
    }

    /// The policies that are part of a role: names and texts.
    pub fn policies_of_role(&self, id: &str) -> BTreeMap<String, String> {
        let state = self.state.read();
        let found = state.roles.get(id);
        found.map_or_else(BTreeMap::new, |held| held.record.inline.clone())
    }

    /// A role of any account by its ARN, for whoever decides who may have it. None of a suspended
    /// account.
    pub fn assumable(&self, arn: &str) -> Option<Assumable> {
        let state = self.state.read();
        let id = state.id_of_arn(arn)?;
        let record = &state.roles.get(id)?.record;
        let account = state.accounts.get(&record.account)?;
        (!account.suspended).then(|| Assumable {
            id: record.id.clone(),
            account: account.account_id(),
            name: record.name.clone(),
            arn: record.arn(),
            max_session_s: record.max_session_s,
            trust: record.trust_document(),
            tags: record.tags.clone(),
        })
    }

    pub(crate) fn role_record(&self, id: &str) -> Result<RoleRecord, CloudError> {
        let state = self.state.read();
        let found = state.roles.get(id).map(|held| held.record.clone());
        found.ok_or_else(no_role)
    }

    /// Creates a role, which may do nothing yet.
    pub async fn create_role(
        &self,
        actor: &Actor,
        account: &AccountId,
        new: NewRole,
    ) -> Result<RoleInfo, CloudError> {
        let turn = self.turn().await;
        let record = {
            let state = self.state.read();
            self.check_new_role(&state, account, &new)?;
            RoleRecord {
                v: FORMAT,
                id: self.new_id("AROA", |id| state.roles.contains_key(id)),
                account: account.to_string(),
                name: new.name,
                path: new.path,
                description: new.description,
                created_ms: self.clock.now().ms(),
                salt: text(&*self.random, 16, FEW),
                max_session_s: new.max_session_s,
                trusted: trusted(&state, &new.trust)?,
                trust: new.trust,
                tags: new.tags,
                inline: BTreeMap::new(),
                attached: BTreeSet::new(),
                boundary: new.boundary,
            }
        };
        let id = record.id.clone();
        self.put_role(turn, actor, "role.create", record).await?;
        self.role_info(&id)
    }

    fn check_new_role(
        &self,
        state: &State,
        account: &AccountId,
        new: &NewRole,
    ) -> Result<(), CloudError> {
        check_name(&new.name, NAME_MAX)?;
        check_path(&new.path)?;
        check_tags(&new.tags)?;
        check_description(&new.description)?;
        check_session(new.max_session_s)?;
        check_boundary(state, account, new.boundary.as_ref())?;
        let found = state.accounts.get(&**account);
        let found = found.ok_or_else(|| CloudError::NoAccount(account.clone()))?;
        if !found.caller_kind().keeps_data() {
            return Err(CloudError::Refused(
                "accounts of operators and auditors have no roles".into(),
            ));
        }
        if state.roles.named(account, &new.name).is_some() {
            return Err(CloudError::Exists(format!("a role named {}", new.name)));
        }
        match state.roles.of(account).count() < ROLES_MAX {
            true => Ok(()),
            false => Err(CloudError::Limit(format!(
                "an account has at most {ROLES_MAX} roles"
            ))),
        }
    }

    fn role_info(&self, id: &str) -> Result<RoleInfo, CloudError> {
        let state = self.state.read();
        let found = state.roles.get(id).map(|held| shown(&state, held));
        found.ok_or_else(no_role)
    }

    pub(crate) async fn put_role(
        &self,
        turn: Turn,
        actor: &Actor,
        action: &'static str,
        record: RoleRecord,
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

    /// Changes a role. Takes effect here with the answer.
    pub async fn change_role(
        &self,
        actor: &Actor,
        id: &str,
        change: RoleChange,
    ) -> Result<RoleInfo, CloudError> {
        let turn = self.turn().await;
        let before = self.role_record(id)?;
        let mut record = before.clone();
        let action = change.action();
        record.change(&self.state.read(), change)?;
        if record != before {
            self.put_role(turn, actor, action, record).await?;
        }
        self.role_info(id)
    }

    /// Deletes a role, which has no policies any more. Its sessions end with it.
    pub async fn delete_role(&self, actor: &Actor, id: &str) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let record = self.role_record(id)?;
        if !record.inline.is_empty() || !record.attached.is_empty() {
            return Err(CloudError::Conflict(
                "the role still has policies: delete or detach them first".into(),
            ));
        }
        let draft = Draft {
            actor: actor.clone(),
            action: "role.delete",
            subject: id.to_owned(),
            detail: json!({ "account": record.account }),
            rows: vec![RowChange::remove::<RoleRecord>(id)],
        };
        self.change(turn, draft).await
    }
}
