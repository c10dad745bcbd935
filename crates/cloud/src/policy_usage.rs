//! Who uses a managed policy.

use std::collections::BTreeSet;

use types::AccountId;

use crate::{
    GroupInfo, Holder, PolicyInfo, Registry, RoleInfo, UserInfo, common,
    kinds::holders::Holders,
    policies::{by_name, shown},
    roles,
};

/// How a managed policy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// It is attached.
    Attached,
    /// It bounds.
    Boundary,
    /// Either.
    Any,
}

/// Who uses a managed policy.
#[derive(Debug, Clone, Default)]
pub struct PolicyHolders {
    /// Users, in order of name.
    pub users: Vec<UserInfo>,
    /// Groups, which nothing bounds, in order of name.
    pub groups: Vec<GroupInfo>,
    /// Roles, in order of name.
    pub roles: Vec<RoleInfo>,
}

/// Those of an account that have `what`, if they are wanted.
fn ids(holders: &Holders, (account, what): (&str, &str), wanted: bool) -> BTreeSet<String> {
    let found = holders.in_account(account, what).filter(|_| wanted);
    found.cloned().collect()
}

impl Registry {
    /// The managed policies that every account has, with what of them this one uses.
    pub fn common_policies(&self, account: &AccountId) -> Vec<PolicyInfo> {
        let all = common::all();
        all.map(|record| self.policy_info(account, record))
            .collect()
    }

    /// Whether this account can attach a managed policy.
    pub(crate) fn is_attachable(&self, account: &str, id: &str) -> bool {
        let state = self.state.read();
        state.policies.attachable(account, id).is_some()
    }

    /// The managed policies that are attached, in order of name.
    pub fn attached(&self, to: Holder<'_>) -> Vec<PolicyInfo> {
        let (account, records) = {
            let state = self.state.read();
            let user = |id| state.users.get(id).map(|held| &held.record);
            let role = |id| state.roles.get(id).map(|held| &held.record);
            let found = match to {
                Holder::User(id) => user(id).map(|of| (&of.account, &of.attached)),
                Holder::Group(id) => state.groups.get(id).map(|of| (&of.account, &of.attached)),
                Holder::Role(id) => role(id).map(|of| (&of.account, &of.attached)),
            };
            let Some((account, ids)) = found else {
                return Vec::new();
            };
            let records = ids.iter().filter_map(|id| state.policies.any(id).cloned());
            (account.clone(), records.collect::<Vec<_>>())
        };
        let all = records.iter();
        all.map(|record| self.policy_info(&account, record))
            .collect()
    }

    /// Who of an account has a managed policy attached, is bounded by it, or either, in order of
    /// name.
    pub fn holders_of_policy(&self, account: &AccountId, id: &str, how: Usage) -> PolicyHolders {
        let state = self.state.read();
        let what = (&**account, id);
        let attached = |holders: &Holders| ids(holders, what, how != Usage::Boundary);
        let bounded = |holders: &Holders| ids(holders, what, how != Usage::Attached);
        let users = &attached(&state.users.attached) | &bounded(&state.users.bounded);
        let roles = &attached(&state.roles.attached) | &bounded(&state.roles.bounded);
        let groups = attached(&state.groups.attached);
        let groups = groups.iter().filter_map(|id| state.groups.get(id));
        let mut groups: Vec<GroupInfo> = groups.map(shown).collect();
        groups.sort_by_cached_key(|group| group.name.to_ascii_lowercase());
        let found = roles.iter().filter_map(|id| state.roles.get(id));
        let mut roles: Vec<RoleInfo> = found.map(|held| roles::shown(&state, held)).collect();
        roles.sort_by_cached_key(|role| role.name.to_ascii_lowercase());
        PolicyHolders {
            users: by_name(&state, users.iter()),
            groups,
            roles,
        }
    }
}
