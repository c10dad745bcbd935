//! Users as regions get them that decide about them: with all that they may do. A region gets a
//! user with each of the user's keys, and with nothing else: so what it knows of users reaches as
//! far as keys do, and a key whose user is not known is not known either.

use std::collections::BTreeMap;

use access::{Policies, User, Who};
use serde::{Deserialize, Serialize};
use types::AccountId;

use crate::{
    kinds::{managed::ManagedRecord, user::UserRecord},
    state::State,
};

/// A policy, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTold {
    /// For whoever asks which document decided.
    pub name: String,
    /// JSON, as it was written.
    pub text: String,
}

/// A user, as a region gets it with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserTold {
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
    pub policies: Vec<PolicyTold>,
    /// What bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<PolicyTold>,
    /// The groups and managed policies that this was made of: once one of them changes, it holds no
    /// more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
}

impl UserTold {
    pub(crate) fn of(state: &State, record: &UserRecord) -> Self {
        // One that is not there cannot be read, and denies all.
        let managed = |id: &String| {
            let found = state.policies.get(id);
            PolicyTold {
                name: found.map_or_else(|| id.clone(), ManagedRecord::arn),
                text: found.map_or_else(String::new, |policy| policy.text().to_owned()),
            }
        };
        let inline = |(name, text): (&String, &String)| PolicyTold {
            name: name.clone(),
            text: text.clone(),
        };
        let mut policies: Vec<PolicyTold> = record.inline.iter().map(inline).collect();
        policies.extend(record.attached.iter().map(managed));
        let mut of: Vec<String> = record
            .attached
            .iter()
            .chain(&record.boundary)
            .cloned()
            .collect();
        for id in &record.groups {
            of.push(id.clone());
            let Some(group) = state.groups.get(id) else {
                policies.push(PolicyTold {
                    name: id.clone(),
                    text: String::new(),
                });
                continue;
            };
            let named = |(name, text): (&String, &String)| PolicyTold {
                name: format!("{}/{name}", group.arn()),
                text: text.clone(),
            };
            policies.extend(group.inline.iter().map(named));
            policies.extend(group.attached.iter().map(managed));
            of.extend(group.attached.iter().cloned());
        }
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            path: record.path.clone(),
            tags: record.tags.clone(),
            policies,
            boundary: record.boundary.as_ref().map(managed),
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
                "a policy of a user cannot be read: nothing is allowed to them"
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

/// Who holds a key by what a region was told with it.
pub(crate) fn holder(user: Option<&UserTold>, account: &str) -> Who {
    match user {
        None => Who::Root,
        Some(user) => Who::User(user.compiled(account).into()),
    }
}
