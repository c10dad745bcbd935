//! IAM's query API: users, their keys and policies. Each action of a user is decided by the user's
//! policies, with the action's own name and the ARN of what it is on; the account itself may do
//! all of it.
//!
//! Invariants: knows no HTTP; acts on the caller's own account alone; a field that an action has
//! not is refused; what is not allowed is refused, whether it is there or not.

mod answer;
mod call;
mod form;
mod keys;
mod listing;
mod policies;
mod users;

use std::sync::Arc;

pub use answer::{Answer, IamError};
pub use call::{Caller, Conditions};
use cloud::Registry;
pub use form::Form;
use types::AccessKeyId;

use self::call::Call;

/// The version of IAM's API.
const VERSION: &str = "2010-05-08";

/// An action, and the fields that its form may have.
#[derive(Debug)]
struct Row {
    name: &'static str,
    fields: &'static [&'static str],
    lists: &'static [&'static str],
}

macro_rules! rows {
    ($($name:ident [$($field:ident)*] $([$list:ident])?;)*) => {
        /// Every action.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Op {
            $($name,)*
        }

        static ROWS: &[(Op, Row)] = &[$((Op::$name, Row {
            name: stringify!($name),
            fields: &[$(stringify!($field)),*],
            lists: &[$(stringify!($list))?],
        }),)*];
    };
}

rows! {
    CreateUser [UserName Path] [Tags];
    GetUser [UserName];
    ListUsers [PathPrefix Marker MaxItems];
    UpdateUser [UserName NewUserName NewPath];
    DeleteUser [UserName];
    TagUser [UserName] [Tags];
    UntagUser [UserName] [TagKeys];
    ListUserTags [UserName Marker MaxItems];
    CreateAccessKey [UserName];
    ListAccessKeys [UserName Marker MaxItems];
    UpdateAccessKey [UserName AccessKeyId Status];
    DeleteAccessKey [UserName AccessKeyId];
    PutUserPolicy [UserName PolicyName PolicyDocument];
    GetUserPolicy [UserName PolicyName];
    ListUserPolicies [UserName Marker MaxItems];
    DeleteUserPolicy [UserName PolicyName];
}

/// The actions on the registry that is kept here.
pub struct Iam {
    registry: Arc<Registry>,
    /// The key with which the data folder's commands are signed: it stays as it is.
    kept: Option<AccessKeyId>,
}

impl Iam {
    /// Of this registry. `kept` is a key that is neither disabled nor deleted.
    pub fn new(registry: Arc<Registry>, kept: Option<AccessKeyId>) -> Self {
        Self { registry, kept }
    }

    /// Whether a form asks for something that changes nothing.
    pub fn only_reads(form: &Form) -> bool {
        let action = form.get("Action").unwrap_or_default();
        action.starts_with("Get") || action.starts_with("List")
    }

    /// Does what a form asks for.
    ///
    /// # Errors
    /// IAM's, with its code.
    pub async fn act(&self, caller: &Caller<'_>, form: &Form) -> Result<Answer, IamError> {
        let name = form.need("Action")?;
        let found = ROWS.iter().find(|(_, row)| row.name == name);
        let (op, row) = found.ok_or_else(|| {
            let name = types::text::shown(name, 64);
            IamError::new("InvalidAction", 400, format!("there is no action {name}"))
        })?;
        if form
            .get("Version")
            .is_some_and(|version| version != VERSION)
        {
            return Err(answer::invalid(&format!("the version is {VERSION}")));
        }
        form.check(row.fields, row.lists)?;
        let call = Call {
            registry: &self.registry,
            kept: self.kept.as_ref(),
            caller,
            form,
            action: row.name,
        };
        let result = match op {
            Op::CreateUser => call.create_user().await,
            Op::GetUser => call.get_user(),
            Op::ListUsers => call.list_users(),
            Op::UpdateUser => call.update_user().await,
            Op::DeleteUser => call.delete_user().await,
            Op::TagUser => call.tag_user().await,
            Op::UntagUser => call.untag_user().await,
            Op::ListUserTags => call.list_user_tags(),
            Op::CreateAccessKey => call.create_access_key().await,
            Op::ListAccessKeys => call.list_access_keys(),
            Op::UpdateAccessKey => call.update_access_key().await,
            Op::DeleteAccessKey => call.delete_access_key().await,
            Op::PutUserPolicy => call.put_user_policy().await,
            Op::GetUserPolicy => call.get_user_policy(),
            Op::ListUserPolicies => call.list_user_policies(),
            Op::DeleteUserPolicy => call.delete_user_policy().await,
        };
        result.map(|result| Answer::new(row.name, result))
    }
}
