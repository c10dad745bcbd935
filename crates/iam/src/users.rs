//! Users and their tags.

use std::collections::BTreeMap;

use cloud::{NewUser, UserChange, UserInfo};

use crate::{
    IamError,
    answer::{Node, invalid, time},
    call::{About, Call, Done},
};

/// A user; listings leave the tags out.
pub(crate) fn shown(user: &UserInfo, whole: bool) -> Node {
    let mut fields = vec![
        ("Path", user.path.clone().into()),
        ("UserName", user.name.clone().into()),
        ("UserId", user.id.clone().into()),
        ("Arn", user.arn.clone().into()),
        ("CreateDate", time(user.created_ms)),
    ];
    if let (true, Some(arn)) = (whole, &user.boundary) {
        let boundary = Node::Fields(vec![
            ("PermissionsBoundaryType", "Policy".into()),
            ("PermissionsBoundaryArn", arn.clone().into()),
        ]);
        fields.push(("PermissionsBoundary", boundary));
    }
    if whole && !user.tags.is_empty() {
        let all = tags(&user.tags).into_iter();
        fields.push(("Tags", Node::List(all.map(|(_, tag)| tag).collect())));
    }
    Node::Fields(fields)
}

/// Tags, with what they are sorted by.
pub(crate) fn tags(tags: &BTreeMap<String, String>) -> Vec<(String, Node)> {
    let tag = |(key, value): (&String, &String)| {
        let fields = vec![("Key", key.clone().into()), ("Value", value.clone().into())];
        (key.clone(), Node::Fields(fields))
    };
    tags.iter().map(tag).collect()
}

impl Call<'_> {
    pub async fn create_user(&self) -> Done {
        let new = NewUser {
            name: self.form.need("UserName")?.to_owned(),
            path: self.form.get("Path").unwrap_or("/").to_owned(),
            tags: self.form.pairs("Tags")?,
            boundary: None,
        };
        let boundary = self.form.get("PermissionsBoundary");
        let about = About {
            given: Some(&new.tags),
            boundary,
            ..About::default()
        };
        self.may_create(&self.user_arn(&new.path, &new.name), &about, "TagUser")?;
        let boundary = boundary.map(|arn| self.policy_of(arn)).transpose()?;
        let new = NewUser {
            boundary: boundary.map(|policy| policy.id),
            ..new
        };
        let Self {
            registry, caller, ..
        } = self;
        let made = registry.create_user(caller.actor, caller.account, new);
        let user = shown(&made.await?, true);
        Ok(Some(Node::Fields(vec![("User", user)])))
    }

    pub fn get_user(&self) -> Done {
        if self.form.get("UserName").is_none() && self.caller.who.is_root() {
            return self.get_root();
        }
        let user = self.user(&About::default())?;
        Ok(Some(Node::Fields(vec![("User", shown(&user, true))])))
    }

    /// The account itself, as IAM shows it to itself.
    fn get_root(&self) -> Done {
        self.may_on_account()?;
        let id = self.caller.account;
        let account = self.registry.account(id);
        let created = account.map_or(0, |account| account.created_ms);
        let user = Node::Fields(vec![
            ("Path", "/".into()),
            ("UserName", "root".into()),
            ("UserId", id.to_string().into()),
            ("Arn", format!("arn:aws:iam::{id}:root").into()),
            ("CreateDate", time(created)),
        ]);
        Ok(Some(Node::Fields(vec![("User", user)])))
    }

    pub fn list_users(&self) -> Done {
        let prefix = self.path_prefix();
        self.may(&self.user_arn(prefix, "*"), &About::default())?;
        let users = self.registry.users(self.caller.account);
        let users = users.iter().filter(|user| user.path.starts_with(prefix));
        let all = users.map(|user| (user.name.to_lowercase(), shown(user, false)));
        let page = self.page("Users", all.collect())?;
        Ok(Some(Node::Fields(page)))
    }

    pub async fn update_user(&self) -> Done {
        self.form.need("UserName")?;
        let user = self.user(&About::default())?;
        let (name, path) = (self.form.get("NewUserName"), self.form.get("NewPath"));
        // What it would become is asked too: else a name could be taken that a policy is about.
        let then = self.user_arn(path.unwrap_or(&user.path), name.unwrap_or(&user.name));
        self.may(&then, &About::default())?;
        let change = UserChange::Rename {
            name: name.map(str::to_owned),
            path: path.map(str::to_owned),
        };
        self.change_user(&user, change).await
    }

    async fn change_user(&self, user: &UserInfo, change: UserChange) -> Done {
        let actor = self.caller.actor;
        self.registry.change_user(actor, &user.id, change).await?;
        Ok(None)
    }

    pub async fn delete_user(&self) -> Done {
        self.form.need("UserName")?;
        let user = self.user(&About::default())?;
        self.registry
            .delete_user(self.caller.actor, &user.id)
            .await?;
        Ok(None)
    }

    pub async fn tag_user(&self) -> Done {
        self.form.need("UserName")?;
        let tags = self.form.pairs("Tags")?;
        let about = About {
            given: Some(&tags),
            ..About::default()
        };
        let user = self.user(&about)?;
        self.change_user(&user, UserChange::Tag(tags)).await
    }

    pub async fn untag_user(&self) -> Done {
        self.form.need("UserName")?;
        let named = self.form.tag_keys()?;
        let about = About {
            given: Some(&named),
            ..About::default()
        };
        let user = self.user(&about)?;
        let keys = named.into_keys().collect();
        self.change_user(&user, UserChange::Untag(keys)).await
    }

    pub fn list_user_tags(&self) -> Done {
        self.form.need("UserName")?;
        let user = self.user(&About::default())?;
        let page = self.page("Tags", tags(&user.tags))?;
        Ok(Some(Node::Fields(page)))
    }
}

/// A field that has one of two values.
pub(crate) fn one_of<'f>(
    value: &'f str,
    known: [&str; 2],
    field: &str,
) -> Result<&'f str, IamError> {
    match known.contains(&value) {
        true => Ok(value),
        false => Err(invalid(&format!("{field} is {} or {}", known[0], known[1]))),
    }
}
