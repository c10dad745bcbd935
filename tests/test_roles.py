"""Roles of accounts: IAM's actions on them, and `dhow role`."""

import json

import pytest
from botocore.exceptions import ClientError

from conftest import client_for
from test_users import Person, allow, code, deny, document, iam_for


@pytest.fixture(scope="module")
def account(cloud):
    made = cloud.cli_json("account", "create", "roles-of-acme", "--json")
    key = cloud.cli_json("key", "create", "--account", made["id"], "--json")
    pair = (key["access_key"], key["secret_key"])
    return made["id"], iam_for(cloud, *pair), client_for(cloud, *pair)


_names = iter(range(10**6))


def trust(*principals, action="sts:AssumeRole", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": action, **more}]})


def test_a_role_is_what_was_said_of_it(account):
    number, iam, _ = account
    text = trust(number)
    made = iam.create_role(
        RoleName="Reader", Path="/team/", AssumeRolePolicyDocument=text, Description="reads",
        MaxSessionDuration=7200, Tags=[{"Key": "Team", "Value": "red"}])["Role"]
    assert made["RoleId"].startswith("AROA") and len(made["RoleId"]) == 21
    assert made["Arn"] == f"arn:aws:iam::{number}:role/team/Reader"
    role = iam.get_role(RoleName="Reader")["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(text)
    assert (role["Description"], role["MaxSessionDuration"]) == ("reads", 7200)
    assert role["Tags"] == [{"Key": "Team", "Value": "red"}]
    assert [r["RoleName"] for r in iam.list_roles(PathPrefix="/team/")["Roles"]] == ["Reader"]
    assert iam.list_roles(PathPrefix="/other/")["Roles"] == []
    iam.update_role(RoleName="Reader", Description="reads more", MaxSessionDuration=3600)
    iam.tag_role(RoleName="Reader", Tags=[{"Key": "TEAM", "Value": "blue"}])
    assert iam.list_role_tags(RoleName="Reader")["Tags"] == [{"Key": "TEAM", "Value": "blue"}]
    iam.untag_role(RoleName="Reader", TagKeys=["team"])
    role = iam.get_role(RoleName="Reader")["Role"]
    assert "Tags" not in role and role["Description"] == "reads more"
    assert code(iam.create_role, RoleName="READER", AssumeRolePolicyDocument=text) \
        == "EntityAlreadyExists"
    # Users and roles have names of their own.
    iam.create_user(UserName="Reader")
    assert iam.list_instance_profiles_for_role(RoleName="Reader")["InstanceProfiles"] == []
    iam.delete_role(RoleName="Reader")
    assert code(iam.get_role, RoleName="Reader") == "NoSuchEntity"


def test_policies_of_a_role(account):
    number, iam, _ = account
    iam.create_role(RoleName="holder", AssumeRolePolicyDocument=trust(number))
    iam.put_role_policy(RoleName="holder", PolicyName="own",
                        PolicyDocument=document(allow("s3:GetObject")))
    assert iam.list_role_policies(RoleName="holder")["PolicyNames"] == ["own"]
    own = iam.get_role_policy(RoleName="holder", PolicyName="own")["PolicyDocument"]
    assert own["Statement"][0]["Action"] == "s3:GetObject"
    managed = iam.create_policy(PolicyName="for-roles", PolicyDocument=document(allow("s3:*")))
    arn = managed["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="holder", PolicyArn=arn)
    iam.put_role_permissions_boundary(RoleName="holder", PermissionsBoundary=arn)
    attached = iam.list_attached_role_policies(RoleName="holder")["AttachedPolicies"]
    assert [p["PolicyArn"] for p in attached] == [arn]
    shown = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (shown["AttachmentCount"], shown["PermissionsBoundaryUsageCount"]) == (1, 1)
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    assert [r["RoleName"] for r in entities["PolicyRoles"]] == ["holder"]
    assert code(iam.delete_policy, PolicyArn=arn) == "DeleteConflict"
    assert code(iam.delete_role, RoleName="holder") == "DeleteConflict"
    boundary = iam.get_role(RoleName="holder")["Role"]["PermissionsBoundary"]
    assert boundary["PermissionsBoundaryArn"] == arn
    iam.delete_role_permissions_boundary(RoleName="holder")
    assert code(iam.delete_role_permissions_boundary, RoleName="holder") == "NoSuchEntity"
    iam.detach_role_policy(RoleName="holder", PolicyArn=arn)
    iam.delete_role_policy(RoleName="holder", PolicyName="own")
    assert code(iam.delete_role_policy, RoleName="holder", PolicyName="own") == "NoSuchEntity"
    iam.delete_role(RoleName="holder")
    iam.delete_policy(PolicyArn=arn)


@pytest.mark.parametrize("text,words", [
    ("{}", "Missing required field"),
    ("{", "valid JSON"),
    (trust("arn:aws:iam::ACCOUNT:user/nobody"), "Invalid principal in policy"),
    (trust("ACCOUNT", action="s3:GetObject"), "invalid action"),
    (trust("ACCOUNT", Resource="*"), "Resource"),
    (document(allow("sts:AssumeRole")), ""),
])
def test_a_trust_policy_that_is_none_is_refused_with_its_place(account, text, words):
    number, iam, _ = account
    text = text.replace("ACCOUNT", number)
    for call in [
        lambda: iam.create_role(RoleName="none", AssumeRolePolicyDocument=text),
        lambda: iam.update_assume_role_policy(RoleName="kept", PolicyDocument=text),
    ]:
        try:
            iam.create_role(RoleName="kept", AssumeRolePolicyDocument=trust(number))
        except ClientError as error:
            assert error.response["Error"]["Code"] == "EntityAlreadyExists"
        with pytest.raises(ClientError) as refused:
            call()
        error = refused.value.response["Error"]
        assert error["Code"] == "MalformedPolicyDocument", error
        assert words in error["Message"] and "line" in error["Message"], error
    assert code(iam.get_role, RoleName="none") == "NoSuchEntity"
    kept = iam.get_role(RoleName="kept")["Role"]["AssumeRolePolicyDocument"]
    assert kept == json.loads(trust(number))


def test_a_trust_policy_shows_who_is_gone_by_the_id(cloud, account):
    number, iam, _ = account
    person = Person(cloud, iam)
    arn = f"arn:aws:iam::{number}:user/{person.name}"
    iam.create_role(RoleName="trusting", AssumeRolePolicyDocument=trust(arn))
    principal = lambda: iam.get_role(  # noqa: E731
        RoleName="trusting")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    assert principal() == {"AWS": [arn]}
    iam.delete_access_key(UserName=person.name, AccessKeyId=person.pair[0])
    iam.delete_user(UserName=person.name)
    assert principal() == {"AWS": [person.id]}
    iam.create_user(UserName=person.name)
    assert principal() == {"AWS": [person.id]}


def test_a_user_does_with_roles_what_their_policies_say(cloud, account):
    number, iam, _ = account
    person = Person(cloud, iam)
    text = trust(number)
    role = f"role-{next(_names)}"
    assert code(person.iam.create_role, RoleName=role, AssumeRolePolicyDocument=text) \
        == "AccessDenied"
    person.put(document(
        allow("iam:*Role*", f"arn:aws:iam::{number}:role/team/*"),
        deny("iam:PutRolePolicy")))
    assert code(person.iam.create_role, RoleName=role, AssumeRolePolicyDocument=text) \
        == "AccessDenied"
    person.iam.create_role(RoleName=role, Path="/team/", AssumeRolePolicyDocument=text)
    assert code(person.iam.put_role_policy, RoleName=role, PolicyName="p",
                PolicyDocument=document(allow("*"))) == "AccessDenied"
    assert code(person.iam.get_role, RoleName="not-there") == "AccessDenied"
    person.iam.delete_role(RoleName=role)


def test_what_tools_ask_is_answered_empty(cloud, account):
    _, iam, _ = account
    person = Person(cloud, iam)
    name = {"UserName": person.name}
    assert iam.list_mfa_devices(**name)["MFADevices"] == []
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    assert iam.list_ssh_public_keys(**name)["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(**name)["Certificates"] == []
    assert iam.list_service_specific_credentials(**name)["ServiceSpecificCredentials"] == []
    assert code(iam.get_login_profile, **name) == "NoSuchEntity"


def test_dhow_role(cloud, account, tmp_path):
    number, iam, _ = account
    (tmp_path / "trust.json").write_text(trust(number))
    (tmp_path / "policy.json").write_text(document(allow("s3:GetObject")))
    role = lambda *args: cloud.cli("role", *args, "--account", number).stdout  # noqa: E731
    made = role("create", "by-cli", str(tmp_path / "trust.json"), "--path", "/team/")
    assert f"arn:aws:iam::{number}:role/team/by-cli" in made
    role("policy", "put", "by-cli", "read", str(tmp_path / "policy.json"))
    assert role("policy", "list", "by-cli").split() == ["read"]
    assert "s3:GetObject" in role("policy", "show", "by-cli", "read")
    assert "by-cli" in role("list")
    (tmp_path / "trust.json").write_text(trust(number, action="sts:TagSession"))
    role("trust", "put", "by-cli", str(tmp_path / "trust.json"))
    assert "sts:TagSession" in role("trust", "show", "by-cli")
    role("policy", "delete", "by-cli", "read")
    role("delete", "by-cli")
    assert code(iam.get_role, RoleName="by-cli") == "NoSuchEntity"
