//! Roles: what they are, what they may do, and who may have them.

use cloud::{Holder, NewRole, RoleChange, RoleInfo};

use crate::{
    IamError,
    answer::{Node, invalid, missing, time},
    call::{About, Call, Done},
    policies::{encoded, no_policy},
    rows,
    users::tags,
};

rows! {
    CreateRole [RoleName Path AssumeRolePolicyDocument Description MaxSessionDuration
        PermissionsBoundary] [Tags];
    GetRole [RoleName];
    ListRoles [PathPrefix Marker MaxItems];
    UpdateRole [RoleName Description MaxSessionDuration];
    UpdateRoleDescription [RoleName Description];
    DeleteRole [RoleName];
    UpdateAssumeRolePolicy [RoleName PolicyDocument];
    TagRole [RoleName] [Tags];
    UntagRole [RoleName] [TagKeys];
    ListRoleTags [RoleName Marker MaxItems];
    PutRolePolicy [RoleName PolicyName PolicyDocument];
    GetRolePolicy [RoleName PolicyName];
    ListRolePolicies [RoleName Marker MaxItems];
    DeleteRolePolicy [RoleName PolicyName];
    AttachRolePolicy [RoleName PolicyArn];
    DetachRolePolicy [RoleName PolicyArn];
    ListAttachedRolePolicies [RoleName PathPrefix Marker MaxItems];
    PutRolePermissionsBoundary [RoleName PermissionsBoundary];
    DeleteRolePermissionsBoundary [RoleName];
    ListInstanceProfilesForRole [RoleName Marker MaxItems];
    ListMFADevices [UserName Marker MaxItems];
    ListVirtualMFADevices [AssignmentStatus Marker MaxItems];
    ListSSHPublicKeys [UserName Marker MaxItems];
    ListSigningCertificates [UserName Marker MaxItems];
    ListServiceSpecificCredentials [UserName ServiceName AllUsers Marker MaxItems];
    GetLoginProfile [UserName];
    DeleteLoginProfile [UserName];
}

/// The longest session of a role whose form does not say, in seconds.
const SESSION_S: u64 = 3600;

/// A role; listings leave out what is in `whole`.
pub(crate) fn shown(role: &RoleInfo, whole: bool) -> Node {
    let mut fields = vec![
        ("Path", role.path.clone().into()),
        ("RoleName", role.name.clone().into()),
        ("RoleId", role.id.clone().into()),
        ("Arn", role.arn.clone().into()),
        ("CreateDate", time(role.created_ms)),
        ("AssumeRolePolicyDocument", encoded(&role.trust)),
    ];
    if !role.description.is_empty() {
        fields.push(("Description", role.description.clone().into()));
    }
    fields.push(("MaxSessionDuration", role.max_session_s.to_string().into()));
    if let (true, Some(arn)) = (whole, &role.boundary) {
        let boundary = Node::Fields(vec![
            ("PermissionsBoundaryType", "Policy".into()),
            ("PermissionsBoundaryArn", arn.clone().into()),
        ]);
        fields.push(("PermissionsBoundary", boundary));
    }
    if whole && !role.tags.is_empty() {
        let all = tags(&role.tags).into_iter();
        fields.push(("Tags", Node::List(all.map(|(_, tag)| tag).collect())));
    }
    Node::Fields(fields)
}

impl Call<'_> {
    pub(crate) async fn perform_on_role(&self, op: Op) -> Done {
        match op {
            Op::CreateRole => self.create_role().await,
            Op::GetRole => self.get_role(),
            Op::ListRoles => self.list_roles(),
            Op::UpdateRole => self.update_role().await,
            Op::UpdateRoleDescription => self.update_role_description().await,
            Op::DeleteRole => self.delete_role().await,
            Op::UpdateAssumeRolePolicy => self.update_assume_role_policy().await,
            Op::TagRole => self.tag_role().await,
            Op::UntagRole => self.untag_role().await,
            Op::ListRoleTags => self.list_role_tags(),
            Op::PutRolePolicy => self.put_role_policy().await,
            Op::GetRolePolicy => self.get_role_policy(),
            Op::ListRolePolicies => self.list_role_policies(),
            Op::DeleteRolePolicy => self.delete_role_policy().await,
            Op::AttachRolePolicy => self.attach_role_policy(true).await,
            Op::DetachRolePolicy => self.attach_role_policy(false).await,
            Op::ListAttachedRolePolicies => self.list_attached_role_policies(),
            Op::PutRolePermissionsBoundary => self.put_role_permissions_boundary().await,
            Op::DeleteRolePermissionsBoundary => self.delete_role_permissions_boundary().await,
            Op::ListInstanceProfilesForRole => self.list_instance_profiles_for_role(),
            Op::ListMFADevices => self.list_none("MFADevices"),
            Op::ListVirtualMFADevices => self.list_virtual_mfa_devices(),
            Op::ListSSHPublicKeys => self.list_none("SSHPublicKeys"),
            Op::ListSigningCertificates => self.list_none("Certificates"),
            Op::ListServiceSpecificCredentials => self.list_service_specific_credentials(),
            Op::GetLoginProfile | Op::DeleteLoginProfile => self.no_login_profile(),
        }
    }

    fn role_arn(&self, path: &str, name: &str) -> String {
        let account = self.caller.account;
        format!("arn:aws:iam::{account}:role{path}{name}")
    }

    /// The role that the form names, once the caller may do the action on it. Who may not does not
    /// learn whether there is such a role.
    fn role(&self, about: &About<'_>) -> Result<RoleInfo, IamError> {
        let name = self.form.need("RoleName")?;
        let found = self.registry.role_named(self.caller.account, name);
        match found.filter(|role| role.name == name) {
            Some(role) => {
                let about = About {
                    has: Some(&role.tags),
                    boundary: about.boundary.or(role.boundary.as_deref()),
                    ..*about
                };
                self.may(&role.arn, &about)?;
                Ok(role)
            }
            None => {
                self.may(&self.role_arn("/", name), about)?;
                let name = types::text::shown(name, 64);
                Err(missing(format!(
                    "The role with name {name} cannot be found."
                )))
            }
        }
    }

    fn longest_session(&self) -> Result<Option<u64>, IamError> {
        let text = self.form.get("MaxSessionDuration");
        let read = text.map(str::parse).transpose();
        read.map_err(|_| invalid("MaxSessionDuration is a number of seconds"))
    }

    pub async fn create_role(&self) -> Done {
        let new = NewRole {
            name: self.form.need("RoleName")?.to_owned(),
            path: self.form.get("Path").unwrap_or("/").to_owned(),
            description: self.form.get("Description").unwrap_or_default().to_owned(),
            max_session_s: self.longest_session()?.unwrap_or(SESSION_S),
            trust: self.form.need("AssumeRolePolicyDocument")?.to_owned(),
            tags: self.form.pairs("Tags")?,
            boundary: None,
        };
        let boundary = self.form.get("PermissionsBoundary");
        let about = About {
            given: Some(&new.tags),
            boundary,
            ..About::default()
        };
        self.may_create(&self.role_arn(&new.path, &new.name), &about, "TagRole")?;
        let boundary = boundary.map(|arn| self.policy_of(arn)).transpose()?;
        let new = NewRole {
            boundary: boundary.map(|policy| policy.id),
            ..new
        };
        let (actor, account) = (self.caller.actor, self.caller.account);
        let made = self.registry.create_role(actor, account, new).await?;
        Ok(Some(Node::Fields(vec![("Role", shown(&made, true))])))
    }

    pub fn get_role(&self) -> Done {
        let role = self.role(&About::default())?;
        Ok(Some(Node::Fields(vec![("Role", shown(&role, true))])))
    }

    pub fn list_roles(&self) -> Done {
        let prefix = self.path_prefix();
        self.may(&self.role_arn(prefix, "*"), &About::default())?;
        let roles = self.registry.roles(self.caller.account);
        let roles = roles.iter().filter(|role| role.path.starts_with(prefix));
        let all = roles.map(|role| (role.name.to_lowercase(), shown(role, false)));
        Ok(Some(Node::Fields(self.page("Roles", all.collect())?)))
    }

    async fn change_role(&self, role: &RoleInfo, change: RoleChange) -> Done {
        let actor = self.caller.actor;
        self.registry.change_role(actor, &role.id, change).await?;
        Ok(None)
    }

    pub async fn update_role(&self) -> Done {
        let max_session_s = self.longest_session()?;
        let role = self.role(&About::default())?;
        let change = RoleChange::Describe {
            description: self.form.get("Description").map(str::to_owned),
            max_session_s,
        };
        self.change_role(&role, change).await?;
        Ok(Some(Node::Fields(Vec::new())))
    }

    pub async fn update_role_description(&self) -> Done {
        let description = self.form.need("Description")?.to_owned();
        let role = self.role(&About::default())?;
        let change = RoleChange::Describe {
            description: Some(description),
            max_session_s: None,
        };
        let actor = self.caller.actor;
        let changed = self.registry.change_role(actor, &role.id, change).await?;
        Ok(Some(Node::Fields(vec![("Role", shown(&changed, true))])))
    }

    pub async fn delete_role(&self) -> Done {
        let role = self.role(&About::default())?;
        let actor = self.caller.actor;
        self.registry.delete_role(actor, &role.id).await?;
        Ok(None)
    }

    pub async fn update_assume_role_policy(&self) -> Done {
        let document = self.form.need("PolicyDocument")?.to_owned();
        let role = self.role(&About::default())?;
        self.change_role(&role, RoleChange::Trust(document)).await
    }

    pub async fn tag_role(&self) -> Done {
        let tags = self.form.pairs("Tags")?;
        let about = About {
            given: Some(&tags),
            ..About::default()
        };
        let role = self.role(&about)?;
        self.change_role(&role, RoleChange::Tag(tags)).await
    }

    pub async fn untag_role(&self) -> Done {
        let named = self.form.tag_keys()?;
        let about = About {
            given: Some(&named),
            ..About::default()
        };
        let role = self.role(&about)?;
        let keys = named.into_keys().collect();
        self.change_role(&role, RoleChange::Untag(keys)).await
    }

    pub fn list_role_tags(&self) -> Done {
        let role = self.role(&About::default())?;
        Ok(Some(Node::Fields(self.page("Tags", tags(&role.tags))?)))
    }

    pub async fn put_role_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?.to_owned();
        let document = self.form.need("PolicyDocument")?.to_owned();
        let role = self.role(&About::default())?;
        let document = Some(document);
        self.change_role(&role, RoleChange::Policy { name, document })
            .await
    }

    pub fn get_role_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?;
        let role = self.role(&About::default())?;
        let policies = self.registry.policies_of_role(&role.id);
        let text = policies.get(name).ok_or_else(|| no_policy(name))?;
        Ok(Some(Node::Fields(vec![
            ("RoleName", role.name.into()),
            ("PolicyName", name.into()),
            ("PolicyDocument", encoded(text)),
        ])))
    }

    pub fn list_role_policies(&self) -> Done {
        let role = self.role(&About::default())?;
        let policies = self.registry.policies_of_role(&role.id);
        let all = policies.into_keys().map(|name| (name.clone(), name.into()));
        Ok(Some(Node::Fields(self.page("PolicyNames", all.collect())?)))
    }

    pub async fn delete_role_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?;
        let role = self.role(&About::default())?;
        if !self.registry.policies_of_role(&role.id).contains_key(name) {
            return Err(no_policy(name));
        }
        let (name, document) = (name.to_owned(), None);
        self.change_role(&role, RoleChange::Policy { name, document })
            .await
    }

    pub async fn attach_role_policy(&self, attached: bool) -> Done {
        let arn = self.form.need("PolicyArn")?;
        let about = About {
            policy: Some(arn),
            ..About::default()
        };
        let role = self.role(&about)?;
        let policy = self.policy_of(arn)?;
        self.attach(Holder::Role(&role.id), &policy, attached).await
    }

    pub fn list_attached_role_policies(&self) -> Done {
        let role = self.role(&About::default())?;
        self.list_attached(Holder::Role(&role.id))
    }

    pub async fn put_role_permissions_boundary(&self) -> Done {
        let arn = self.form.need("PermissionsBoundary")?;
        let about = About {
            boundary: Some(arn),
            ..About::default()
        };
        let role = self.role(&about)?;
        let policy = self.policy_of(arn)?;
        self.change_role(&role, RoleChange::Boundary(Some(policy.id)))
            .await
    }

    pub async fn delete_role_permissions_boundary(&self) -> Done {
        let role = self.role(&About::default())?;
        if role.boundary.is_none() {
            return Err(missing("The role has no permissions boundary."));
        }
        self.change_role(&role, RoleChange::Boundary(None)).await
    }

    /// There are no profiles of instances; tools ask before they delete a role.
    pub fn list_instance_profiles_for_role(&self) -> Done {
        self.role(&About::default())?;
        Ok(Some(Node::Fields(self.page("InstanceProfiles", vec![])?)))
    }

    /// What no user has, and tools ask for before they delete one.
    /// Of the account itself, which is no user, there are none either.
    pub fn list_none(&self, name: &'static str) -> Done {
        if self.form.get("UserName").is_some() || !self.caller.who.is_root() {
            self.user(&About::default())?;
        }
        Ok(Some(Node::Fields(self.page(name, vec![])?)))
    }

    pub fn list_virtual_mfa_devices(&self) -> Done {
        let account = self.caller.account;
        self.may(&format!("arn:aws:iam::{account}:mfa/*"), &About::default())?;
        Ok(Some(Node::Fields(self.page("VirtualMFADevices", vec![])?)))
    }

    pub fn list_service_specific_credentials(&self) -> Done {
        self.user(&About::default())?;
        let none = Node::List(Vec::new());
        Ok(Some(Node::Fields(vec![(
            "ServiceSpecificCredentials",
            none,
        )])))
    }

    /// No user signs in with a password.
    pub fn no_login_profile(&self) -> Done {
        let user = self.user(&About::default())?;
        Err(missing(format!(
            "Login Profile for User {} cannot be found.",
            user.name
        )))
    }
}
