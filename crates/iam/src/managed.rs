//! Managed policies and their versions, and boundaries.

use cloud::{NewEntity, PolicyInfo, Usage, VersionInfo};

use crate::{
    IamError,
    answer::{Node, invalid, missing, time},
    call::{About, Call, Done},
    policies::encoded,
    users::tags,
};

fn version_id(number: u32) -> String {
    format!("v{number}")
}

pub(crate) fn shown(policy: &PolicyInfo, whole: bool) -> Node {
    let mut fields = vec![
        ("PolicyName", policy.name.clone().into()),
        ("PolicyId", policy.id.clone().into()),
        ("Arn", policy.arn.clone().into()),
        ("Path", policy.path.clone().into()),
        ("DefaultVersionId", version_id(policy.default).into()),
        ("AttachmentCount", policy.attached.to_string().into()),
        (
            "PermissionsBoundaryUsageCount",
            policy.bounds.to_string().into(),
        ),
        ("IsAttachable", true.into()),
        ("CreateDate", time(policy.created_ms)),
        ("UpdateDate", time(policy.updated_ms)),
    ];
    if whole && !policy.description.is_empty() {
        fields.push(("Description", policy.description.clone().into()));
    }
    if whole && !policy.tags.is_empty() {
        let members = tags(&policy.tags).into_iter().map(|(_, tag)| tag);
        fields.push(("Tags", Node::List(members.collect())));
    }
    Node::Fields(fields)
}

pub(crate) fn shown_version(version: &VersionInfo, whole: bool) -> Node {
    let mut fields = vec![
        ("VersionId", version_id(version.number).into()),
        ("IsDefaultVersion", version.is_default.into()),
        ("CreateDate", time(version.created_ms)),
    ];
    if whole {
        fields.insert(0, ("Document", encoded(&version.text)));
    }
    Node::Fields(fields)
}

/// What lists are sorted by: the name, and among those of one name the account's own first. No name
/// has a space.
pub(crate) fn sorted_by(policy: &PolicyInfo) -> String {
    let rank = u8::from(policy.is_common);
    format!("{} {rank}", policy.name.to_lowercase())
}

impl Call<'_> {
    fn policy_arn(&self, path: &str, name: &str) -> String {
        let account = self.caller.account;
        format!("arn:aws:iam::{account}:policy{path}{name}")
    }

    /// The managed policy that the form names, once the caller may do the action on it. Who may
    /// not does not learn whether there is such a policy.
    fn policy(&self) -> Result<PolicyInfo, IamError> {
        self.policy_about(&About::default())
    }

    /// The same for an action that gives tags, or removes some.
    fn policy_about(&self, about: &About<'_>) -> Result<PolicyInfo, IamError> {
        let arn = self.form.need("PolicyArn")?;
        let found = self.policy_of(arn);
        let has = About {
            has: found.as_ref().ok().map(|policy| &policy.tags),
            ..*about
        };
        self.may_to((arn, &has), (arn, arn, about))?;
        found
    }

    /// The same for an action that changes it. Those that all accounts have stay as they are.
    fn own_policy(&self, about: &About<'_>) -> Result<PolicyInfo, IamError> {
        let policy = self.policy_about(about)?;
        match policy.is_common {
            false => Ok(policy),
            true => Err(IamError::new(
                "AccessDenied",
                403,
                format!("Policy {} is outside your own account.", policy.arn),
            )),
        }
    }

    /// A managed policy of the caller's account, or one that all have.
    pub fn policy_of(&self, arn: &str) -> Result<PolicyInfo, IamError> {
        let found = self.registry.policy_of_arn(self.caller.account, arn);
        found.ok_or_else(|| {
            let arn = types::text::shown(arn, 256);
            missing(format!("Policy {arn} does not exist or is not attachable."))
        })
    }

    /// The number of the version that the form names.
    fn version(&self) -> Result<u32, IamError> {
        let text = self.form.need("VersionId")?;
        let number = text.strip_prefix('v').and_then(|text| text.parse().ok());
        number.ok_or_else(|| invalid("VersionId is v and a number"))
    }

    pub async fn create_policy(&self) -> Done {
        let new = NewEntity {
            name: self.form.need("PolicyName")?.to_owned(),
            path: self.form.get("Path").unwrap_or("/").to_owned(),
            description: self.form.get("Description").unwrap_or_default().to_owned(),
            tags: self.form.pairs("Tags")?,
        };
        let document = self.form.need("PolicyDocument")?;
        let about = About {
            given: Some(&new.tags),
            ..About::default()
        };
        self.may_create(&self.policy_arn(&new.path, &new.name), &about, "TagPolicy")?;
        let (actor, account) = (self.caller.actor, self.caller.account);
        let made = self.registry.create_policy(actor, account, new, document);
        let policy = shown(&made.await?, true);
        Ok(Some(Node::Fields(vec![("Policy", policy)])))
    }

    pub async fn tag_policy(&self) -> Done {
        let tags = self.form.pairs("Tags")?;
        let about = About {
            given: Some(&tags),
            ..About::default()
        };
        let policy = self.own_policy(&about)?;
        let actor = self.caller.actor;
        self.registry.tag_policy(actor, &policy.id, tags).await?;
        Ok(None)
    }

    pub async fn untag_policy(&self) -> Done {
        let named = self.form.tag_keys()?;
        let about = About {
            given: Some(&named),
            ..About::default()
        };
        let policy = self.own_policy(&about)?;
        let keys: Vec<String> = named.into_keys().collect();
        let actor = self.caller.actor;
        self.registry.untag_policy(actor, &policy.id, &keys).await?;
        Ok(None)
    }

    pub fn list_policy_tags(&self) -> Done {
        let policy = self.policy()?;
        Ok(Some(Node::Fields(self.page("Tags", tags(&policy.tags))?)))
    }

    pub fn get_policy(&self) -> Done {
        let policy = shown(&self.policy()?, true);
        Ok(Some(Node::Fields(vec![("Policy", policy)])))
    }

    pub fn list_policies(&self) -> Done {
        let prefix = self.path_prefix();
        self.may(&self.policy_arn(prefix, "*"), &About::default())?;
        let used = self.usage()?;
        let scope = self.form.get("Scope").unwrap_or("All");
        if !matches!(scope, "All" | "AWS" | "Local") {
            return Err(invalid("Scope is All, AWS or Local"));
        }
        let only = self.form.get("OnlyAttached") == Some("true");
        let mut all = Vec::new();
        if scope != "AWS" {
            all = self.registry.policies(self.caller.account);
        }
        if scope != "Local" {
            all.extend(self.registry.common_policies(self.caller.account));
        }
        let all = all
            .into_iter()
            .filter(|policy| policy.path.starts_with(prefix));
        let all = all.filter(|policy| match used {
            Some(Usage::Attached) => policy.attached > 0,
            Some(Usage::Boundary) => policy.bounds > 0,
            Some(Usage::Any) | None => !only || policy.attached > 0,
        });
        let all = all.map(|policy| (sorted_by(&policy), shown(&policy, false)));
        Ok(Some(Node::Fields(self.page("Policies", all.collect())?)))
    }

    pub async fn delete_policy(&self) -> Done {
        let policy = self.own_policy(&About::default())?;
        self.registry
            .delete_policy(self.caller.actor, &policy.id)
            .await?;
        Ok(None)
    }

    pub async fn create_policy_version(&self) -> Done {
        let document = self.form.need("PolicyDocument")?;
        let is_default = match self.form.get("SetAsDefault") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("SetAsDefault is true or false")),
        };
        let policy = self.own_policy(&About::default())?;
        let actor = self.caller.actor;
        let made = self
            .registry
            .create_policy_version(actor, &policy.id, document, is_default);
        let number = made.await?;
        let versions = self.registry.versions_of_policy(&policy.id);
        let version = versions.iter().find(|version| version.number == number);
        let version = version.map(|version| ("PolicyVersion", shown_version(version, false)));
        Ok(Some(Node::Fields(version.into_iter().collect())))
    }

    pub fn get_policy_version(&self) -> Done {
        let number = self.version()?;
        let policy = self.policy()?;
        let versions = self.registry.versions_of_policy(&policy.id);
        let version = versions.iter().find(|version| version.number == number);
        let version = version.ok_or_else(|| missing(format!("There is no version v{number}.")))?;
        let version = shown_version(version, true);
        Ok(Some(Node::Fields(vec![("PolicyVersion", version)])))
    }

    pub fn list_policy_versions(&self) -> Done {
        let policy = self.policy()?;
        let versions = self.registry.versions_of_policy(&policy.id);
        let all = versions.iter().map(|version| {
            let key = format!("{:010}", version.number);
            (key, shown_version(version, false))
        });
        Ok(Some(Node::Fields(self.page("Versions", all.collect())?)))
    }

    pub async fn set_default_policy_version(&self) -> Done {
        let number = self.version()?;
        let policy = self.own_policy(&About::default())?;
        let actor = self.caller.actor;
        let set = self.registry.set_default_version(actor, &policy.id, number);
        set.await?;
        Ok(None)
    }

    pub async fn delete_policy_version(&self) -> Done {
        let number = self.version()?;
        let policy = self.own_policy(&About::default())?;
        let actor = self.caller.actor;
        let deleted = self
            .registry
            .delete_policy_version(actor, &policy.id, number);
        deleted.await?;
        Ok(None)
    }

    pub async fn put_user_permissions_boundary(&self) -> Done {
        self.form.need("UserName")?;
        let arn = self.form.need("PermissionsBoundary")?;
        let about = About {
            boundary: Some(arn),
            ..About::default()
        };
        let user = self.user(&about)?;
        let policy = self.policy_of(arn)?;
        let actor = self.caller.actor;
        let set = self
            .registry
            .set_boundary(actor, &user.id, Some(&policy.id));
        set.await?;
        Ok(None)
    }

    pub async fn delete_user_permissions_boundary(&self) -> Done {
        self.form.need("UserName")?;
        let user = self.user(&About::default())?;
        if user.boundary.is_none() {
            return Err(missing("The user has no permissions boundary."));
        }
        let actor = self.caller.actor;
        self.registry.set_boundary(actor, &user.id, None).await?;
        Ok(None)
    }
}
