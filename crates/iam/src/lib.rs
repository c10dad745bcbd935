//! IAM's query API: users, their keys and policies. Each action of a user is decided by the user's
//! policies, with the action's own name and the ARN of what it is on; the account itself may do
//! all of it.
//!
//! Invariants: knows no HTTP; acts on the caller's own account alone; a field that an action has
//! not is refused; what is not allowed is refused, whether it is there or not.

mod account;
mod answer;
mod call;
mod comparing;
mod credential_report;
mod form;
mod groups;
mod keys;
mod listing;
mod managed;
mod policies;
mod providers;
mod roles;
mod simulate;
mod sts;
mod trust;
mod users;
mod web;

use std::sync::Arc;

pub use answer::{Answer, Api, IamError};
pub use call::{Caller, Conditions};
use cloud::Registry;
pub use form::Form;
pub use sts::Sts;
pub use trust::open_to_all_of;
use types::AccessKeyId;
pub use web::{Issuers, KeySet, NoKeys};

use self::{
    call::{Call, Done},
    comparing::Comparing,
};

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
    ($($name:ident [$($field:ident)*] $([$($list:ident)*])?;)*) => {
        /// Every action.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Op {
            $($name,)*
        }

        pub(crate) static ROWS: &[(Op, crate::Row)] = &[$((Op::$name, crate::Row {
            name: stringify!($name),
            fields: &[$(stringify!($field)),*],
            lists: &[$($(stringify!($list)),*)?],
        }),)*];
    };
}
pub(crate) use rows;

rows! {
    CreateUser [UserName Path PermissionsBoundary] [Tags];
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
    PutUserPermissionsBoundary [UserName PermissionsBoundary];
    DeleteUserPermissionsBoundary [UserName];
    AttachUserPolicy [UserName PolicyArn];
    DetachUserPolicy [UserName PolicyArn];
    ListAttachedUserPolicies [UserName PathPrefix Marker MaxItems];
    CreateGroup [GroupName Path];
    GetGroup [GroupName Marker MaxItems];
    ListGroups [PathPrefix Marker MaxItems];
    UpdateGroup [GroupName NewGroupName NewPath];
    DeleteGroup [GroupName];
    AddUserToGroup [GroupName UserName];
    RemoveUserFromGroup [GroupName UserName];
    ListGroupsForUser [UserName Marker MaxItems];
    PutGroupPolicy [GroupName PolicyName PolicyDocument];
    GetGroupPolicy [GroupName PolicyName];
    ListGroupPolicies [GroupName Marker MaxItems];
    DeleteGroupPolicy [GroupName PolicyName];
    AttachGroupPolicy [GroupName PolicyArn];
    DetachGroupPolicy [GroupName PolicyArn];
    ListAttachedGroupPolicies [GroupName PathPrefix Marker MaxItems];
    CreatePolicy [PolicyName Path Description PolicyDocument] [Tags];
    GetPolicy [PolicyArn];
    ListPolicies [Scope OnlyAttached PathPrefix PolicyUsageFilter Marker MaxItems];
    DeletePolicy [PolicyArn];
    CreatePolicyVersion [PolicyArn PolicyDocument SetAsDefault];
    GetPolicyVersion [PolicyArn VersionId];
    ListPolicyVersions [PolicyArn Marker MaxItems];
    SetDefaultPolicyVersion [PolicyArn VersionId];
    DeletePolicyVersion [PolicyArn VersionId];
    ListEntitiesForPolicy
        [PolicyArn EntityFilter PathPrefix PolicyUsageFilter Marker MaxItems];
    TagPolicy [PolicyArn] [Tags];
    UntagPolicy [PolicyArn] [TagKeys];
    ListPolicyTags [PolicyArn Marker MaxItems];
    SimulatePrincipalPolicy
        [PolicySourceArn CallerArn ResourceOwner ResourcePolicy Marker MaxItems]
        [ActionNames ResourceArns PolicyInputList PermissionsBoundaryPolicyInputList
         ContextEntries];
    SimulateCustomPolicy [CallerArn ResourceOwner ResourcePolicy Marker MaxItems]
        [ActionNames ResourceArns PolicyInputList PermissionsBoundaryPolicyInputList
         ContextEntries];
    GetContextKeysForPrincipalPolicy [PolicySourceArn] [PolicyInputList];
    GetContextKeysForCustomPolicy [] [PolicyInputList];
}

/// An action of one of the tables.
#[derive(Debug, Clone, Copy)]
enum Action {
    Plain(Op),
    OnRole(roles::Op),
    OnProvider(providers::Op),
    OnAccount(account::Op),
}

impl Action {
    fn named(name: &str) -> Option<(Self, &'static Row)> {
        Self::rows().find(|(_, row)| row.name == name)
    }

    fn rows() -> impl Iterator<Item = (Self, &'static Row)> {
        let plain = ROWS.iter().map(|(op, row)| (Self::Plain(*op), row));
        let roles = roles::ROWS.iter().map(|(op, row)| (Self::OnRole(*op), row));
        let providers = providers::ROWS.iter();
        let providers = providers.map(|(op, row)| (Self::OnProvider(*op), row));
        let account = account::ROWS.iter();
        let account = account.map(|(op, row)| (Self::OnAccount(*op), row));
        plain.chain(roles).chain(providers).chain(account)
    }
}

/// Whether there is an action of IAM or STS of this name, such as `iam:GetUser`. What only counts
/// in policies is one too.
pub fn is_action(name: &str) -> bool {
    let Some((service, part)) = name.split_once(':') else {
        return false;
    };
    let is = |known: &str| known.eq_ignore_ascii_case(part);
    match service.to_ascii_lowercase().as_str() {
        "iam" => is("PassRole") || Action::rows().any(|(_, row)| is(row.name)),
        "sts" => sts::names().any(is),
        _ => false,
    }
}

/// The actions on the registry that is kept here.
pub struct Iam {
    registry: Arc<Registry>,
    issuers: Arc<dyn Issuers>,
    /// The key with which the data folder's commands are signed: it stays as it is.
    kept: Option<AccessKeyId>,
    comparing: Comparing,
}

impl Iam {
    /// Of this registry. `kept` is a key that is neither disabled nor deleted.
    pub fn new(
        registry: Arc<Registry>,
        issuers: Arc<dyn Issuers>,
        kept: Option<AccessKeyId>,
    ) -> Self {
        Self {
            registry,
            issuers,
            kept,
            comparing: Comparing::default(),
        }
    }

    /// Whether a form asks for something that changes nothing.
    pub fn only_reads(form: &Form) -> bool {
        let action = form.get("Action").unwrap_or_default();
        ["Get", "List", "Simulate", "Generate"]
            .iter()
            .any(|verb| action.starts_with(verb))
    }

    /// Whether a form asks for something that takes rights away and gives none, however often it
    /// is done. A policy that is set or removed may do either.
    pub fn only_tightens(form: &Form) -> bool {
        match form.get("Action").unwrap_or_default() {
            "UpdateAccessKey" => form.get("Status") == Some("Inactive"),
            action => matches!(
                action,
                "DeleteAccessKey" | "DeleteUser" | "DeleteRole" | "DeleteOpenIDConnectProvider"
            ),
        }
    }

    /// Whether what a form asks for may take rights away: all that changes something, but for what
    /// only gives, and what no other region decides by.
    pub fn may_take_away(form: &Form) -> bool {
        let action = form.get("Action").unwrap_or_default();
        if Self::only_reads(form) {
            return false;
        }
        match action {
            "CreatePolicyVersion" => form.get("SetAsDefault") == Some("true"),
            "UpdateAccessKey" => form.get("Status") == Some("Inactive"),
            "DeletePolicy" | "DeletePolicyVersion" | "DeleteGroup" | "DeleteAccountAlias" => false,
            "UpdateRole" | "UpdateRoleDescription" | "UpdateAssumeRolePolicy" => false,
            "TagPolicy" | "UntagPolicy" => false,
            action if action.starts_with("Create") || action.ends_with("PermissionsBoundary") => {
                action.starts_with("Put")
            }
            action => !action.contains("OpenIDConnectProvider") || action.starts_with("Delete"),
        }
    }

    /// Does what a form asks for.
    ///
    /// # Errors
    /// IAM's, with its code.
    pub async fn act(&self, caller: &Caller<'_>, form: &Form) -> Result<Answer, IamError> {
        let name = form.need("Action")?;
        let (action, row) = Action::named(name).ok_or_else(|| {
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
        caller.check_session()?;
        let call = Call {
            registry: &self.registry,
            kept: self.kept.as_ref(),
            caller,
            form,
            action: row.name,
            comparing: &self.comparing,
        };
        let result = match action {
            Action::Plain(op) => call.perform(op).await,
            Action::OnRole(op) => call.perform_on_role(op).await,
            Action::OnAccount(op) => call.perform_on_account(op).await,
            Action::OnProvider(op) => call.perform_on_provider(op, &*self.issuers).await,
        };
        result.map(|result| Answer::new(row.name, result))
    }
}

impl Call<'_> {
    async fn perform(&self, op: Op) -> Done {
        match op {
            Op::CreateUser => self.create_user().await,
            Op::GetUser => self.get_user(),
            Op::ListUsers => self.list_users(),
            Op::UpdateUser => self.update_user().await,
            Op::DeleteUser => self.delete_user().await,
            Op::TagUser => self.tag_user().await,
            Op::UntagUser => self.untag_user().await,
            Op::ListUserTags => self.list_user_tags(),
            Op::CreateAccessKey => self.create_access_key().await,
            Op::ListAccessKeys => self.list_access_keys(),
            Op::UpdateAccessKey => self.update_access_key().await,
            Op::DeleteAccessKey => self.delete_access_key().await,
            Op::PutUserPolicy => self.put_user_policy().await,
            Op::GetUserPolicy => self.get_user_policy(),
            Op::ListUserPolicies => self.list_user_policies(),
            Op::DeleteUserPolicy => self.delete_user_policy().await,
            Op::PutUserPermissionsBoundary => self.put_user_permissions_boundary().await,
            Op::DeleteUserPermissionsBoundary => self.delete_user_permissions_boundary().await,
            Op::AttachUserPolicy => self.attach_user_policy(true).await,
            Op::DetachUserPolicy => self.attach_user_policy(false).await,
            Op::ListAttachedUserPolicies => self.list_attached_user_policies(),
            Op::CreateGroup => self.create_group().await,
            Op::GetGroup => self.get_group(),
            Op::ListGroups => self.list_groups(),
            Op::UpdateGroup => self.update_group().await,
            Op::DeleteGroup => self.delete_group().await,
            Op::AddUserToGroup => self.set_group_user(true).await,
            Op::RemoveUserFromGroup => self.set_group_user(false).await,
            Op::ListGroupsForUser => self.list_groups_for_user(),
            Op::PutGroupPolicy => self.put_group_policy().await,
            Op::GetGroupPolicy => self.get_group_policy(),
            Op::ListGroupPolicies => self.list_group_policies(),
            Op::DeleteGroupPolicy => self.delete_group_policy().await,
            Op::AttachGroupPolicy => self.attach_group_policy(true).await,
            Op::DetachGroupPolicy => self.attach_group_policy(false).await,
            Op::ListAttachedGroupPolicies => self.list_attached_group_policies(),
            Op::CreatePolicy => self.create_policy().await,
            Op::GetPolicy => self.get_policy(),
            Op::ListPolicies => self.list_policies(),
            Op::DeletePolicy => self.delete_policy().await,
            Op::CreatePolicyVersion => self.create_policy_version().await,
            Op::GetPolicyVersion => self.get_policy_version(),
            Op::ListPolicyVersions => self.list_policy_versions(),
            Op::SetDefaultPolicyVersion => self.set_default_policy_version().await,
            Op::DeletePolicyVersion => self.delete_policy_version().await,
            Op::ListEntitiesForPolicy => self.list_entities_for_policy(),
            Op::TagPolicy => self.tag_policy().await,
            Op::UntagPolicy => self.untag_policy().await,
            Op::ListPolicyTags => self.list_policy_tags(),
            Op::SimulatePrincipalPolicy => self.simulate_principal_policy(),
            Op::SimulateCustomPolicy => self.simulate_custom_policy(),
            Op::GetContextKeysForPrincipalPolicy => self.context_keys_of_principal(),
            Op::GetContextKeysForCustomPolicy => self.context_keys_of_policies(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/identity-operations.md.
    fn document() -> String {
        let mut text = String::from(
            "# IAM and STS operations\n\nWritten from the tables in `crates/iam/src`; do not edit. To \
             write it anew: `UPDATE=1 cargo test -p iam --lib operations`.\n\n\
             A form with a field that its action does not have is refused. A field with `[]` is a \
             list: `Tags.member.1.Key`.\n\n| API | action | fields |\n|---|---|---|\n",
        );
        let iam = Action::rows().map(|(_, row)| ("iam", row));
        let sts = sts::ROWS.iter().map(|(_, row)| ("sts", row));
        let web = std::iter::once(("sts", &web::ROW));
        let mut all: Vec<_> = iam.chain(sts).chain(web).collect();
        all.sort_by_key(|(api, row)| (*api, row.name));
        for (api, row) in all {
            let fields = row.fields.iter().map(|name| format!("`{name}`"));
            let lists = row.lists.iter().map(|name| format!("`{name}[]`"));
            let fields: Vec<String> = fields.chain(lists).collect();
            let line = format!("| {api} | {} | {} |\n", row.name, fields.join(", "));
            text.push_str(&line);
        }
        text
    }

    #[test]
    fn operations_document_is_current() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/identity-operations.md"
        );
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, document());
    }
}
