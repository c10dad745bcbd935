//! What an account has altogether.

use std::collections::BTreeMap;

use cloud::{GroupInfo, Holder, PolicyInfo, RoleInfo, UserInfo};

use crate::{
    Caller,
    answer::{Node, invalid, missing},
    call::{About, Call, Done},
    groups, managed,
    policies::encoded,
    roles, rows, users,
};

rows! {
    GetAccountSummary [];
    GetAccountAuthorizationDetails [Marker MaxItems] [Filter];
    ListAccountAliases [Marker MaxItems];
    CreateAccountAlias [AccountAlias];
    DeleteAccountAlias [AccountAlias];
    GetAccountPasswordPolicy [];
    GetAccessKeyLastUsed [AccessKeyId];
    GenerateCredentialReport [];
    GetCredentialReport [];
}

/// What can be asked for alone, and the list that has it.
const KINDS: [(&str, &str); 4] = [
    ("User", "UserDetailList"),
    ("Group", "GroupDetailList"),
    ("Role", "RoleDetailList"),
    ("LocalManagedPolicy", "Policies"),
];
/// Those of the policies that every account has which this one uses.
const OF_THE_CLOUD: &str = "AWSManagedPolicy";

/// Policies that are part of somebody.
fn inline(policies: &BTreeMap<String, String>) -> Node {
    let one = |(name, text): (&String, &String)| {
        Node::Fields(vec![
            ("PolicyName", name.clone().into()),
            ("PolicyDocument", encoded(text)),
        ])
    };
    Node::List(policies.iter().map(one).collect())
}

/// What has details.
enum One {
    User(UserInfo),
    Group(GroupInfo),
    Role(RoleInfo),
    Policy(PolicyInfo),
}

fn attached(policies: &[PolicyInfo]) -> Node {
    let one = |policy: &PolicyInfo| {
        Node::Fields(vec![
            ("PolicyName", policy.name.clone().into()),
            ("PolicyArn", policy.arn.clone().into()),
        ])
    };
    Node::List(policies.iter().map(one).collect())
}

fn with(node: Node, more: Vec<(&'static str, Node)>) -> Node {
    match node {
        Node::Fields(mut fields) => {
            fields.extend(more);
            Node::Fields(fields)
        }
        other => other,
    }
}

impl Call<'_> {
    pub(crate) async fn perform_on_account(&self, op: Op) -> Done {
        match op {
            Op::GetAccountSummary => self.get_account_summary(),
            Op::GetAccountAuthorizationDetails => self.get_account_authorization_details(),
            Op::ListAccountAliases => self.list_account_aliases(),
            Op::CreateAccountAlias => self.create_account_alias().await,
            Op::DeleteAccountAlias => self.delete_account_alias().await,
            Op::GetAccountPasswordPolicy => self.get_account_password_policy(),
            Op::GetAccessKeyLastUsed => self.get_access_key_last_used(),
            Op::GenerateCredentialReport => self.generate_credential_report(),
            Op::GetCredentialReport => self.get_credential_report(),
        }
    }

    fn get_account_summary(&self) -> Done {
        self.may("*", &About::default())?;
        let (registry, account) = (self.registry, self.caller.account);
        let policies = registry.policies(account);
        let versions = policies.iter();
        let versions = versions.map(|policy| registry.versions_of_policy(&policy.id).len());
        let of_account = registry.keys(Some(account));
        let of_account = of_account.iter().any(|key| key.user.is_none());
        let map = vec![
            ("Users", registry.users(account).len()),
            ("UsersQuota", 5000),
            ("Groups", registry.groups(account).len()),
            ("GroupsQuota", 300),
            ("Roles", registry.roles(account).len()),
            ("RolesQuota", 1000),
            ("PolicyVersionsInUse", versions.sum()),
            ("Policies", policies.len()),
            ("PoliciesQuota", 1500),
            ("Providers", registry.providers(account).len()),
            ("AccessKeysPerUserQuota", 2),
            ("GroupsPerUserQuota", 10),
            ("AttachedPoliciesPerUserQuota", 10),
            ("AttachedPoliciesPerGroupQuota", 10),
            ("AttachedPoliciesPerRoleQuota", 10),
            ("VersionsPerPolicyQuota", 5),
            ("UserPolicySizeQuota", 2048),
            ("GroupPolicySizeQuota", 5120),
            ("RolePolicySizeQuota", 10_240),
            ("PolicySizeQuota", 6144),
            ("AccountAccessKeysPresent", usize::from(of_account)),
            // There is no second factor.
            ("MFADevices", 0),
            ("MFADevicesInUse", 0),
            ("AccountMFAEnabled", 0),
        ];
        let map = map.into_iter().map(|(key, value)| (key, value as u64));
        Ok(Some(Node::Fields(vec![(
            "SummaryMap",
            Node::Map(map.collect()),
        )])))
    }

    fn list_account_aliases(&self) -> Done {
        self.may("*", &About::default())?;
        let alias = self.registry.alias(self.caller.account).into_iter();
        let all = alias.map(|alias| (alias.clone(), alias.into()));
        let page = self.page("AccountAliases", all.collect())?;
        Ok(Some(Node::Fields(page)))
    }

    async fn create_account_alias(&self) -> Done {
        let alias = self.form.need("AccountAlias")?;
        self.may("*", &About::default())?;
        let Caller { actor, account, .. } = self.caller;
        self.registry.create_alias(actor, account, alias).await?;
        Ok(None)
    }

    async fn delete_account_alias(&self) -> Done {
        let alias = self.form.need("AccountAlias")?;
        self.may("*", &About::default())?;
        let Caller { actor, account, .. } = self.caller;
        self.registry.delete_alias(actor, account, alias).await?;
        Ok(None)
    }

    /// Nobody signs in with a password.
    fn get_account_password_policy(&self) -> Done {
        self.may("*", &About::default())?;
        let account = self.caller.account;
        Err(missing(format!(
            "The Password Policy with domain name {account} cannot be found."
        )))
    }

    fn get_account_authorization_details(&self) -> Done {
        self.may("*", &About::default())?;
        let wanted = self.form.list("Filter")?;
        let known = |kind: &&str| *kind == OF_THE_CLOUD || KINDS.iter().any(|(own, _)| own == kind);
        if !wanted.iter().all(known) {
            return Err(invalid(
                "Filter lists some of User, Group, Role, LocalManagedPolicy, AWSManagedPolicy",
            ));
        }
        let (registry, account) = (self.registry, self.caller.account);
        let mut all: Vec<(String, One)> = Vec::new();
        for (n, (kind, _)) in KINDS.iter().enumerate() {
            let is_wanted = |kind: &&str| wanted.is_empty() || wanted.contains(kind);
            let is_common = n == 3 && is_wanted(&OF_THE_CLOUD);
            if !is_wanted(kind) && !is_common {
                continue;
            }
            // What is sorted by begins with the kind.
            let named = |name: &str| format!("{n}{}", name.to_lowercase());
            match n {
                0 => {
                    let users = registry.users(account).into_iter();
                    all.extend(users.map(|one| (named(&one.name), One::User(one))));
                }
                1 => {
                    let groups = registry.groups(account).into_iter();
                    all.extend(groups.map(|one| (named(&one.name), One::Group(one))));
                }
                2 => {
                    let roles = registry.roles(account).into_iter();
                    all.extend(roles.map(|one| (named(&one.name), One::Role(one))));
                }
                _ => {
                    let own = is_wanted(kind).then(|| registry.policies(account));
                    let common = is_common.then(|| registry.common_policies(account));
                    let common = common.into_iter().flatten();
                    let used = common.filter(|one| one.attached + one.bounds > 0);
                    let policies = own.into_iter().flatten().chain(used);
                    all.extend(policies.map(|one| {
                        let name = managed::sorted_by(&one);
                        (named(&name), One::Policy(one))
                    }));
                }
            }
        }
        self.page_of_details(&all)
    }

    /// A page of all kinds together: each member goes into the list of its kind. Details are made
    /// of the page only, since an account's documents together are large.
    fn page_of_details(&self, all: &[(String, One)]) -> Done {
        let places = all.iter().enumerate();
        let places = places.map(|(at, (key, _))| (key.clone(), Node::Text(at.to_string())));
        let mut lists: Vec<(&'static str, Vec<Node>)> =
            KINDS.iter().map(|(_, list)| (*list, Vec::new())).collect();
        let mut rest = Vec::new();
        for (name, node) in self.page("Details", places.collect())? {
            let Node::List(members) = node else {
                rest.push((name, node));
                continue;
            };
            let members = members.into_iter().filter_map(|member| match member {
                Node::Text(at) => all.get(at.parse::<usize>().ok()?),
                _ => None,
            });
            for (_, one) in members {
                let (kind, details) = match one {
                    One::User(user) => (0, self.user_details(user)),
                    One::Group(group) => (1, self.group_details(group)),
                    One::Role(role) => (2, self.role_details(role)),
                    One::Policy(policy) => (3, self.policy_details(policy)),
                };
                if let Some((_, list)) = lists.get_mut(kind) {
                    list.push(details);
                }
            }
        }
        let mut fields: Vec<(&'static str, Node)> = lists
            .into_iter()
            .map(|(list, members)| (list, Node::List(members)))
            .collect();
        fields.extend(rest);
        Ok(Some(Node::Fields(fields)))
    }

    fn user_details(&self, user: &UserInfo) -> Node {
        let groups = self.registry.groups_of_user(&user.id);
        let groups = groups.iter().map(|group| group.name.clone().into());
        with(
            users::shown(user, true),
            vec![
                (
                    "UserPolicyList",
                    inline(&self.registry.policies_of_user(&user.id)),
                ),
                ("GroupList", Node::List(groups.collect())),
                (
                    "AttachedManagedPolicies",
                    attached(&self.registry.attached(Holder::User(&user.id))),
                ),
            ],
        )
    }

    fn group_details(&self, group: &GroupInfo) -> Node {
        with(
            groups::shown(group),
            vec![
                (
                    "GroupPolicyList",
                    inline(&self.registry.policies_of_group(&group.id)),
                ),
                (
                    "AttachedManagedPolicies",
                    attached(&self.registry.attached(Holder::Group(&group.id))),
                ),
            ],
        )
    }

    fn role_details(&self, role: &RoleInfo) -> Node {
        with(
            roles::shown(role, true),
            vec![
                (
                    "RolePolicyList",
                    inline(&self.registry.policies_of_role(&role.id)),
                ),
                (
                    "AttachedManagedPolicies",
                    attached(&self.registry.attached(Holder::Role(&role.id))),
                ),
                ("InstanceProfileList", Node::List(Vec::new())),
            ],
        )
    }

    fn policy_details(&self, policy: &PolicyInfo) -> Node {
        let versions = self.registry.versions_of_policy(&policy.id);
        let versions = versions.iter().map(|one| managed::shown_version(one, true));
        with(
            managed::shown(policy, true),
            vec![("PolicyVersionList", Node::List(versions.collect()))],
        )
    }
}
