//! Policies that are part of a user.

use cloud::UserInfo;

use crate::{
    IamError,
    answer::{Node, missing},
    call::{About, Call, Done},
};

/// A document as IAM shows it: percent-encoded.
pub(crate) fn encoded(text: &str) -> Node {
    access::sign::encode(text).into()
}

impl Call<'_> {
    fn named_user(&self) -> Result<UserInfo, IamError> {
        self.form.need("UserName")?;
        self.user(&About::default())
    }

    pub async fn put_user_policy(&self) -> Done {
        let (name, text) = (
            self.form.need("PolicyName")?,
            self.form.need("PolicyDocument")?,
        );
        let user = self.named_user()?;
        let actor = self.caller.actor;
        let put = self
            .registry
            .put_user_policy(actor, &user.id, name, Some(text));
        put.await?;
        Ok(None)
    }

    pub fn get_user_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?;
        let user = self.named_user()?;
        let policies = self.registry.policies_of_user(&user.id);
        let text = policies.get(name).ok_or_else(|| no_policy(name))?;
        Ok(Some(Node::Fields(vec![
            ("UserName", user.name.into()),
            ("PolicyName", name.into()),
            ("PolicyDocument", encoded(text)),
        ])))
    }

    pub fn list_user_policies(&self) -> Done {
        let user = self.named_user()?;
        let policies = self.registry.policies_of_user(&user.id);
        let all = policies.into_keys().map(|name| (name.clone(), name.into()));
        let page = self.page("PolicyNames", all.collect())?;
        Ok(Some(Node::Fields(page)))
    }

    pub async fn delete_user_policy(&self) -> Done {
        let name = self.form.need("PolicyName")?;
        let user = self.named_user()?;
        if !self.registry.policies_of_user(&user.id).contains_key(name) {
            return Err(no_policy(name));
        }
        let actor = self.caller.actor;
        let put = self.registry.put_user_policy(actor, &user.id, name, None);
        put.await?;
        Ok(None)
    }
}

pub(crate) fn no_policy(name: &str) -> IamError {
    let name = types::text::shown(name, 128);
    missing(format!("The policy with name {name} cannot be found."))
}
