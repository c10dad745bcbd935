//! Who uses a managed policy.

use std::collections::BTreeSet;

use crate::{
    GroupInfo, Registry, RoleInfo, UserInfo,
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

/// Those that have `what`, if they are wanted.
fn ids(holders: &Holders, what: &str, wanted: bool) -> BTreeSet<String> {
    let found = holders.of(what).filter(|_| wanted);
    found.cloned().collect()
}

impl Registry {
    /// Who has a managed policy attached, is bounded by it, or either, in order of name.
    pub fn holders_of_policy(&self, id: &str, how: Usage) -> PolicyHolders {
        let state = self.state.read();
        let attached = |holders: &Holders| ids(holders, id, how != Usage::Boundary);
        let bounded = |holders: &Holders| ids(holders, id, how != Usage::Attached);
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
