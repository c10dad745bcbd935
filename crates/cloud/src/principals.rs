//! Users as regions get them that decide about them: with all that they may do. A region gets a
//! user with each of the user's keys, and with nothing else: so what it knows of users reaches as
//! far as keys do, and a key whose user is not known is not known either.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use access::{Identity, Policies, Role, Session, SessionOf, SessionPolicies, User, Who};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use types::{AccessKeyId, AccountId};

use crate::{
    CloudError, MasterKey, Registry,
    kinds::{FORMAT, Record, managed::ManagedRecord, role::RoleRecord, user::UserRecord},
    state::State,
};

/// The name of a session of which it is to be found out what would be decided.
const EXPLAINED: &str = "explained";

/// A policy, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentPolicy {
    /// For whoever asks which document decided.
    pub name: String,
    /// JSON, as it was written.
    pub text: String,
}

/// A user, as a region gets it with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentUser {
    /// Its unique id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// All policies that allow or deny something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<SentPolicy>,
    /// What bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<SentPolicy>,
    /// The groups and managed policies that this was made of: once one of them changes, it holds no
    /// more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
}

/// What a user or role has, of what it may do.
struct Has<'r> {
    inline: Vec<(&'r str, &'r str)>,
    attached: &'r BTreeSet<String>,
    groups: &'r BTreeSet<String>,
    boundary: Option<&'r String>,
}

/// All documents that say what a user or role may do, and what they are made of.
struct Documents {
    policies: Vec<SentPolicy>,
    boundary: Option<SentPolicy>,
    of: Vec<String>,
}

impl Documents {
    fn of(state: &State, has: &Has<'_>) -> Self {
        // One that is not there cannot be read, and denies all.
        let managed = |id: &String| {
            let found = state.policies.any(id);
            SentPolicy {
                name: found.map_or_else(|| id.clone(), ManagedRecord::arn),
                text: found.map_or_else(String::new, |policy| policy.text().to_owned()),
            }
        };
        let inline = |(name, text): &(&str, &str)| SentPolicy {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        };
        let mut policies: Vec<SentPolicy> = has.inline.iter().map(inline).collect();
        policies.extend(has.attached.iter().map(managed));
        let own = has.attached.iter().chain(has.boundary);
        let mut of: Vec<String> = own.cloned().collect();
        for id in has.groups {
            of.push(id.clone());
            let Some(group) = state.groups.get(id) else {
                policies.push(SentPolicy {
                    name: id.clone(),
                    text: String::new(),
                });
                continue;
            };
            let named = |(name, text): (&String, &String)| SentPolicy {
                name: format!("{}/{name}", group.arn()),
                text: text.clone(),
            };
            policies.extend(group.inline.iter().map(named));
            policies.extend(group.attached.iter().map(managed));
            of.extend(group.attached.iter().cloned());
        }
        Self {
            policies,
            boundary: has.boundary.map(managed),
            of,
        }
    }
}

impl SentUser {
    pub(crate) fn of(state: &State, record: &UserRecord) -> Self {
        let has = Has {
            inline: record.inline.iter().collect(),
            attached: &record.attached,
            groups: &record.groups,
            boundary: record.boundary.as_ref(),
        };
        let Documents {
            policies,
            boundary,
            of,
        } = Documents::of(state, &has);
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            path: record.path.clone(),
            tags: record.tags.clone(),
            policies,
            boundary,
            of,
        }
    }

    /// As requests are decided by it.
    pub(crate) fn compiled(&self, account: &str) -> User {
        User {
            id: self.id.clone(),
            account: AccountId::new(account),
            name: self.name.clone(),
            path: self.path.clone(),
            tags: self.tags.clone().into_iter().collect(),
            policies: self.compiled_policies(),
        }
    }

    fn compiled_policies(&self) -> Policies {
        let texts = self.policies.iter().map(|policy| &*policy.text);
        let boundary = self.boundary.as_ref().map(|policy| &*policy.text);
        let compiled = Policies::compile(texts, boundary);
        if compiled.is_unreadable() {
            let user = &self.id;
            tracing::error!(
                user,
                "a policy of a user or role cannot be read: nothing is allowed to them"
            );
        }
        compiled
    }

    /// Roughly how much there is to send.
    pub(crate) fn bytes(&self) -> usize {
        let all = self.policies.iter().chain(&self.boundary);
        let policies = all.map(|p| p.name.len() + p.text.len());
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len());
        policies.sum::<usize>() + tags.sum::<usize>()
    }
}

/// A role, as a region gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentRole {
    /// The account's id.
    pub account: String,
    /// What there is to know of it, as of a user: not who may have it.
    pub role: SentUser,
}

impl SentRole {
    pub(crate) fn of(state: &State, record: &RoleRecord) -> Self {
        let has = Has {
            inline: record.inline.iter().map(|(n, t)| (&**n, &**t)).collect(),
            attached: &record.attached,
            groups: &BTreeSet::new(),
            boundary: record.boundary.as_ref(),
        };
        let Documents {
            policies,
            boundary,
            of,
        } = Documents::of(state, &has);
        Self {
            account: record.account.clone(),
            role: SentUser {
                id: record.id.clone(),
                name: record.name.clone(),
                path: record.path.clone(),
                tags: record.tags.clone(),
                policies,
                boundary,
                of,
            },
        }
    }

    /// As requests of its sessions are decided by it.
    pub(crate) fn compiled(&self) -> Role {
        let role = &self.role;
        Role {
            id: role.id.clone(),
            account: AccountId::new(&self.account),
            name: role.name.clone(),
            path: role.path.clone(),
            tags: role.tags.clone().into_iter().collect(),
            policies: role.compiled_policies(),
        }
    }
}

/// A role at rest where the registry is followed: `w/<unique id>`.
#[derive(Serialize, Deserialize)]
pub(crate) struct FollowedRoleRecord {
    v: u32,
    /// It was sent when a session of it was shown, and not unasked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shown: bool,
    told: SentRole,
}

impl FollowedRoleRecord {
    pub(crate) fn new(told: &SentRole, shown: bool) -> Self {
        Self {
            v: FORMAT,
            shown,
            told: told.clone(),
        }
    }
}

/// The same in memory.
pub(crate) struct FollowedRole {
    /// It was sent when a session of it was shown, and not unasked.
    pub shown: bool,
    pub role: Arc<Role>,
    /// It was deleted, which is not on the disk yet.
    pub ended: bool,
    /// The managed policies that it was made of.
    of: Vec<String>,
    /// [`digest`] of what was sent.
    digest: [u8; 32],
}

impl FollowedRole {
    /// Whether this is what was sent.
    pub(crate) fn is_unchanged(&self, told: &SentRole, shown: bool) -> bool {
        !self.ended && self.shown == shown && self.digest == digest(told)
    }

    /// Whether it was made of this managed policy.
    pub(crate) fn depends(&self, id: &str) -> bool {
        self.of.iter().any(|of| of == id)
    }
}

/// SHA-256 of what a region received. If it receives the same again it writes nothing, and to find
/// that out it need not keep the texts of policies in memory.
pub(crate) fn digest(told: &impl Serialize) -> [u8; 32] {
    // A structure of texts and lists becomes JSON without errors.
    let text = serde_json::to_vec(told).unwrap_or_default();
    Sha256::digest(&text).into()
}

impl Record for FollowedRoleRecord {
    const PREFIX: &'static str = "w/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "w/AROATHREE",
        concat!(
            r#"{"v":1,"shown":true,"told":{"account":"000000000001","role":{"id":"AROATHREE","#,
            r#""name":"Reader","path":"/","policies":[{"name":"read","text":"{}"}],"#,
            r#""of":["ANPAONE"]}}}"#,
        ),
    )];
    type Table = BTreeMap<String, FollowedRole>;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        let held = FollowedRole {
            shown: record.shown,
            role: Arc::new(record.told.compiled()),
            ended: false,
            digest: digest(&record.told),
            of: record.told.role.of,
        };
        state.told_roles.insert(id.to_owned(), held);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.told_roles.remove(id);
        Ok(())
    }
}

/// Who holds a key, by what a region received with it.
pub(crate) fn holder(user: Option<&SentUser>, account: &str) -> Who {
    match user {
        None => Who::Root,
        Some(user) => Who::User(user.compiled(account).into()),
    }
}

impl Registry {
    /// A user with all that decides what it may do; `None` where the registry is not kept.
    pub fn told_of_user(&self, id: &str) -> Option<SentUser> {
        let state = self.state.read();
        let held = state.users.get(id)?;
        Some(SentUser::of(&state, &held.record))
    }

    /// The same of a role.
    pub fn told_of_role(&self, id: &str) -> Option<SentUser> {
        let state = self.state.read();
        let held = state.roles.get(id)?;
        Some(SentRole::of(&state, &held.record).role)
    }

    /// The policies of a group, with those that are attached to it; none where the registry is not
    /// kept.
    pub fn told_of_group(&self, id: &str) -> Vec<SentPolicy> {
        let state = self.state.read();
        let Some(group) = state.groups.get(id) else {
            return Vec::new();
        };
        let own = group.inline.iter().map(|(name, text)| SentPolicy {
            name: name.clone(),
            text: text.clone(),
        });
        let attached = group
            .attached
            .iter()
            .filter_map(|id| state.policies.any(id));
        let attached = attached.map(|policy| SentPolicy {
            name: policy.arn(),
            text: policy.text().to_owned(),
        });
        own.chain(attached).collect()
    }

    /// Who would send a request that the account, or with `user` that user of it, signs: to find
    /// out what would be decided. Whether they have a key that opens anything is not asked.
    pub fn would_ask(&self, account: &AccountId, user: Option<&SentUser>) -> Option<Identity> {
        let found = self.account(account)?;
        Some(Identity::Key {
            access_key: AccessKeyId::new(""),
            account: account.clone(),
            kind: found.caller_kind(),
            guard: self.guard_of(account),
            who: holder(user, account),
        })
    }

    /// The same for a session of a role that these policies bound.
    pub fn would_ask_as_role(
        &self,
        account: &AccountId,
        role: &SentUser,
        policies: &[String],
    ) -> Option<Identity> {
        let found = self.account(account)?;
        let told = SentRole {
            account: account.to_string(),
            role: role.clone(),
        };
        let role = told.compiled();
        let session = Session {
            id: String::new(),
            name: EXPLAINED.to_owned(),
            tags: role.tags.clone(),
            of: SessionOf::Role(role.into()),
            given: Vec::new(),
            transitive: Vec::new(),
            source_identity: None,
            issued: self.clock.now(),
            parent: String::new(),
            parent_account: account.clone(),
            provider: None,
            chained: false,
            policies: SessionPolicies::compile(policies.iter().map(String::as_str)),
        };
        Some(Identity::Key {
            access_key: AccessKeyId::new(""),
            account: account.clone(),
            kind: found.caller_kind(),
            guard: self.guard_of(account),
            who: Who::Session(session.into()),
        })
    }
}
