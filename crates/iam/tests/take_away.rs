//! Which actions are answered only once the other regions have them: those that may take rights
//! away.

use iam::{Form, Iam, is_action};

const TAKE: &[&str] = &[
    "AddUserToGroup",
    "AttachGroupPolicy",
    "AttachRolePolicy",
    "AttachUserPolicy",
    "CreatePolicyVersion SetAsDefault=true",
    "DeleteAccessKey",
    "DeleteGroupPolicy",
    "DeleteOpenIDConnectProvider",
    "DeleteRole",
    "DeleteRolePolicy",
    "DeleteUser",
    "DeleteUserPolicy",
    "DetachGroupPolicy",
    "DetachRolePolicy",
    "DetachUserPolicy",
    "PutGroupPolicy",
    "PutRolePermissionsBoundary",
    "PutRolePolicy",
    "PutUserPermissionsBoundary",
    "PutUserPolicy",
    "RemoveUserFromGroup",
    "SetDefaultPolicyVersion",
    "TagRole",
    "TagUser",
    "UntagRole",
    "UntagUser",
    "UpdateAccessKey Status=Inactive",
    "UpdateGroup",
    "UpdateUser",
];
const TAKE_NOTHING: &[&str] = &[
    "CreateAccessKey",
    "CreatePolicy",
    "CreatePolicyVersion",
    "CreatePolicyVersion SetAsDefault=false",
    "CreateRole",
    "CreateUser",
    "DeleteRolePermissionsBoundary",
    "DeleteUserPermissionsBoundary",
    "GetUser",
    "ListUsers",
    "SimulatePrincipalPolicy",
    "UpdateAccessKey Status=Active",
    "UpdateAssumeRolePolicy",
];

fn takes(asked: &str) -> bool {
    let mut words = asked.split(' ');
    let action = words.next().unwrap_or_default();
    assert!(is_action(&format!("iam:{action}")), "{action}");
    let fields = words.filter_map(|word| word.split_once('='));
    let fields = [("Action", action)].into_iter().chain(fields);
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Iam::may_take_away(&Form::of(fields))
}

#[test]
fn what_may_take_rights_away_is_known_by_its_action() {
    for asked in TAKE {
        assert!(takes(asked), "{asked}");
    }
    for asked in TAKE_NOTHING {
        assert!(!takes(asked), "{asked}");
    }
}
