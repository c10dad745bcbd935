//! Groups, and what is attached to users and groups.

use cloud::{GroupInfo, Holder, NewEntity, PolicyHolders, PolicyInfo, Usage};

use crate::{
    IamError,
    answer::{Node, invalid, missing, time},
    call::{About, Call, Done},
    managed,
    policies::{encoded, no_policy},
    users,
};

pub(crate) fn shown(group: &GroupInfo) -> Node {
    Node::Fields(vec![
        ("Path", group.path.clone().into()),
        ("GroupName", group.name.clone().into()),
        ("GroupId", group.id.clone().into()),
        ("Arn", group.arn.clone().into()),
        ("CreateDate", time(group.created_ms)),
    ])
}

fn listed(groups: Vec<GroupInfo>) -> Vec<(String, Node)> {
    let one = |group: &GroupInfo| (group.name.to_lowercase(), shown(group));
    groups.iter().map(one).collect()
}

impl Call<'_> {
    fn group_arn(&self, path: &str, name: &str) -> String {
        let account = self.caller.account;
        format!("arn:aws:iam::{account}:group{path}{name}")
    }

    /// The group that the form names, once the caller may do the action on it.
    fn group(&self, about: &About<'_>) -> Result<GroupInfo, IamError> {
        let name = self.form.need("GroupName")?;
        let found = self.registry.group_named(self.caller.account, name);
        let plain = self.group_arn("/", name);
        let named = format!("group {}", types::text::shown(name, 128));
        let of_plain = (&*plain, &*named, about);
        match found.filter(|group| group.name == name) {
            Some(group) => {
                self.may_to((&group.arn, about), of_plain)?;
                Ok(group)
            }
            None => {
                self.may_to((&plain, about), of_plain)?;
                let name = types::text::shown(name, 128);
                Err(missing(format!(
                    "The group with name {name} cannot be found."
                )))
            }
        }
    }

    pub async fn create_group(&self) -> Done {
        let new = NewEntity {
            name: self.form.need("GroupName")?.to_owned(),
            path: self.form.get("Path").unwrap_or("/").to_owned(),
            ..NewEntity::default()
        };
        self.may(&self.group_arn(&new.path, &new.name), &About::default())?;
        let (actor, account) = (self.caller.actor, self.caller.account);
        let made = self.registry.create_group(actor, account, new).await?;
        Ok(Some(Node::Fields(vec![("Group", shown(&made))])))
    }

    pub fn get_group(&self) -> Done {
        let group = self.group(&About::default())?;
        let users = self.registry.users_of_group(&group.id);
        let all = users
            .iter()
            .map(|user| (user.name.to_lowercase(), users::shown(user, false)));
        let mut fields = vec![("Group", shown(&group))];
        fields.extend(self.page("Users", all.collect())?);
        Ok(Some(Node::Fields(fields)))
    }

    pub fn list_groups(&self) -> Done {
        let prefix = self.path_prefix();
        self.may(&self.group_arn(prefix, "*"), &About::default())?;
        let mut groups = self.registry.groups(self.caller.account);
        groups.retain(|group| group.path.starts_with(prefix));
        Ok(Some(Node::Fields(self.page("Groups", listed(groups))?)))
    }

    pub async fn update_group(&self) -> Done {
        let group = self.group(&About::default())?;
        let (name, path) = (self.form.get("NewGroupName"), self.form.get("NewPath"));
        // As with users, what it would become is asked too.
        let then = self.group_arn(path.unwrap_or(&group.path), name.unwrap_or(&group.name));
        self.may(&then, &About::default())?;
        let actor = self.caller.actor;
        self.registry
            .rename_group(actor, &group.id, name, path)
            .await?;
        Ok(None)
    }

    pub async fn delete_group(&self) -> Done {
        let group = self.group(&About::default())?;
        self.registry
            .delete_group(self.caller.actor, &group.id)
            .await?;
        Ok(None)
    }

    pub async fn set_group_user(&self, is_in: bool) -> Done {
        let name = self.form.need("UserName")?;
        // As in IAM, the right is to the group.
        let group = self.group(&About::default())?;
        let user = self.registry.user_named(self.caller.account, name);
        let user = user.filter(|user| user.name == name).ok_or_else(|| {
            let name = types::text::shown(name, 64);
            missing(format!("The user with name {name} cannot be found."))
        })?;
        let was_in = self.registry.groups_of_user(&user.id).contains(&group);
        if !is_in && !was_in {
            return Err(missing("The user is not in the group."));
        }
        let actor = self.caller.actor;
        let set = self.registry.set_member(actor, &group.id, &user.id, is_in);
        set.await?;
        Ok(None)
    }

    pub fn list_groups_for_user(&self) -> Done {
        self.form.need("UserName")?;
        let user = self.user(&About::default())?;
        let groups = self.registry.groups_of_user(&user.id);
        Ok(Some(Node::Fields(self.page("Groups", listed(groups))?)))
    }

    pub async fn put_group_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?;
        let text = self.form.need("PolicyDocument")?;
        let group = self.group(&About::default())?;
        let actor = self.caller.actor;
        let put = self
            .registry
            .put_group_policy(actor, &group.id, name, Some(text));
        put.await?;
        Ok(None)
    }

    pub fn get_group_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?;
        let group = self.group(&About::default())?;
        let policies = self.registry.policies_of_group(&group.id);
        let text = policies.get(name).ok_or_else(|| no_policy(name))?;
        Ok(Some(Node::Fields(vec![
            ("GroupName", group.name.into()),
            ("PolicyName", name.into()),
            ("PolicyDocument", encoded(text)),
        ])))
    }

    pub fn list_group_policies(&self) -> Done {
        let group = self.group(&About::default())?;
        let policies = self.registry.policies_of_group(&group.id);
        let all = policies.into_keys().map(|name| (name.clone(), name.into()));
        Ok(Some(Node::Fields(self.page("PolicyNames", all.collect())?)))
    }

    pub async fn delete_group_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?;
        let group = self.group(&About::default())?;
        if !self
            .registry
            .policies_of_group(&group.id)
            .contains_key(name)
        {
            return Err(no_policy(name));
        }
        let actor = self.caller.actor;
        let put = self.registry.put_group_policy(actor, &group.id, name, None);
        put.await?;
        Ok(None)
    }

    /// The managed policy that the form names, and what conditions may ask about it.
    fn attachable(&self) -> Result<&str, IamError> {
        self.form.need("PolicyArn")
    }

    pub async fn attach_user_policy(&self, attached: bool) -> Done {
        self.form.need("UserName")?;
        let arn = self.attachable()?;
        let about = About {
            policy: Some(arn),
            ..About::default()
        };
        let user = self.user(&about)?;
        let policy = self.policy_of(arn)?;
        self.attach(Holder::User(&user.id), &policy, attached).await
    }

    pub async fn attach_group_policy(&self, attached: bool) -> Done {
        let arn = self.attachable()?;
        let about = About {
            policy: Some(arn),
            ..About::default()
        };
        let group = self.group(&about)?;
        let policy = self.policy_of(arn)?;
        self.attach(Holder::Group(&group.id), &policy, attached)
            .await
    }

    pub async fn attach(&self, to: Holder<'_>, policy: &PolicyInfo, attached: bool) -> Done {
        let actor = self.caller.actor;
        let changed = self
            .registry
            .attach(actor, to, &policy.id, attached)
            .await?;
        match attached || changed {
            true => Ok(None),
            false => Err(missing(format!("Policy {} is not attached.", policy.arn))),
        }
    }

    pub fn list_attached_user_policies(&self) -> Done {
        self.form.need("UserName")?;
        let user = self.user(&About::default())?;
        self.list_attached(Holder::User(&user.id))
    }

    pub fn list_attached_group_policies(&self) -> Done {
        let group = self.group(&About::default())?;
        self.list_attached(Holder::Group(&group.id))
    }

    pub fn list_attached(&self, of: Holder<'_>) -> Done {
        let prefix = self.path_prefix();
        let attached = self.registry.attached(of);
        let attached = attached
            .iter()
            .filter(|policy| policy.path.starts_with(prefix));
        let all = attached.map(|policy| {
            let fields = vec![
                ("PolicyName", policy.name.clone().into()),
                ("PolicyArn", policy.arn.clone().into()),
            ];
            (managed::sorted_by(policy), Node::Fields(fields))
        });
        Ok(Some(Node::Fields(
            self.page("AttachedPolicies", all.collect())?,
        )))
    }

    pub fn list_entities_for_policy(&self) -> Done {
        let arn = self.form.need("PolicyArn")?;
        self.may(arn, &About::default())?;
        let policy = self.policy_of(arn)?;
        let usage = match self.usage()? {
            Some(usage) => usage,
            None => Usage::Any,
        };
        let kinds = match self.form.get("EntityFilter") {
            None => &["Group", "Role", "User"][..],
            Some("User") => &["User"],
            Some("Group") => &["Group"],
            Some("Role") => &["Role"],
            Some("LocalManagedPolicy" | "AWSManagedPolicy") => &[],
            Some(_) => return Err(invalid("EntityFilter is User, Group or Role")),
        };
        let PolicyHolders {
            users,
            groups,
            roles,
        } = {
            let account = self.caller.account;
            self.registry.holders_of_policy(account, &policy.id, usage)
        };
        let users = users.into_iter().map(|u| ("User", u.name, u.id, u.path));
        let groups = groups.into_iter().map(|g| ("Group", g.name, g.id, g.path));
        let roles = roles.into_iter().map(|r| ("Role", r.name, r.id, r.path));
        let prefix = self.path_prefix();
        let all = users.chain(groups).chain(roles);
        let all = all.filter(|(kind, _, _, path)| kinds.contains(kind) && path.starts_with(prefix));
        // Pages go through the three kinds, one after the other.
        let all = all.map(|(kind, name, id, _)| {
            let key = format!("{kind}/{}", name.to_lowercase());
            (key, (kind, name, id))
        });
        let (members, mut fields) = self.cut(all.collect())?;
        for (list, wanted, name_field, id_field) in [
            ("PolicyRoles", "Role", "RoleName", "RoleId"),
            ("PolicyUsers", "User", "UserName", "UserId"),
            ("PolicyGroups", "Group", "GroupName", "GroupId"),
        ] {
            let of = members.iter().filter(|(kind, ..)| *kind == wanted);
            let of = of.map(|(_, name, id)| {
                Node::Fields(vec![
                    (name_field, name.clone().into()),
                    (id_field, id.clone().into()),
                ])
            });
            fields.insert(0, (list, Node::List(of.collect())));
        }
        Ok(Some(Node::Fields(fields)))
    }

    /// For what use of a policy the form asks.
    pub fn usage(&self) -> Result<Option<Usage>, IamError> {
        match self.form.get("PolicyUsageFilter") {
            None => Ok(None),
            Some("PermissionsPolicy") => Ok(Some(Usage::Attached)),
            Some("PermissionsBoundary") => Ok(Some(Usage::Boundary)),
            Some(_) => Err(invalid(
                "PolicyUsageFilter is PermissionsPolicy or PermissionsBoundary",
            )),
        }
    }
}
