"""Managed policies that every account has, with AWS's names: `arn:aws:iam::aws:policy/…`. People who
move in have them in their scripts, and Terraform attaches them."""

import json

import pytest

from test_roles import trust
from test_sessions import Account, Session
from test_users import allow, code, document

COMMON = {"AdministratorAccess", "AmazonS3FullAccess", "AmazonS3ReadOnlyAccess", "IAMFullAccess",
          "IAMReadOnlyAccess", "ReadOnlyAccess"}
BUCKET = "common-policies"


def arn(name):
    return f"arn:aws:iam::aws:policy/{name}"


@pytest.fixture(scope="module")
def acme(cloud):
    account = Account(cloud, "common-policies")
    account.s3.create_bucket(Bucket=BUCKET)
    account.s3.put_object(Bucket=BUCKET, Key="k", Body=b"kept")
    return account


@pytest.fixture(scope="module")
def other(cloud):
    return Account(cloud, "common-policies-other")


def test_they_are_listed_and_shown_as_at_aws(acme):
    iam = acme.iam
    own = iam.create_policy(PolicyName="own", PolicyDocument=document(allow("s3:*")))["Policy"]
    names = lambda **more: [one["PolicyName"] for one in iam.list_policies(**more)["Policies"]]
    assert set(names(Scope="AWS")) == COMMON
    assert names(Scope="Local") == ["own"]
    assert set(names()) == set(names(Scope="All")) == COMMON | {"own"}
    assert names(Scope="AWS", OnlyAttached=True) == []
    pages = iam.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": 2})
    assert sorted(one["PolicyName"] for page in pages for one in page["Policies"]) \
        == sorted(COMMON | {"own"})
    policy = iam.get_policy(PolicyArn=arn("AmazonS3ReadOnlyAccess"))["Policy"]
    assert (policy["Arn"], policy["Path"]) == (arn("AmazonS3ReadOnlyAccess"), "/")
    assert policy["AttachmentCount"] == 0 and policy["IsAttachable"] and policy["Description"]
    version = iam.get_policy_version(
        PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    statement, = version["Document"]["Statement"]
    assert {"s3:Get*", "s3:List*"} <= set(statement["Action"])
    assert iam.list_policy_versions(PolicyArn=policy["Arn"])["Versions"][0]["IsDefaultVersion"]
    assert iam.list_policy_tags(PolicyArn=policy["Arn"])["Tags"] == []
    assert iam.get_account_summary()["SummaryMap"]["Policies"] == 1
    for strange in ("arn:aws:iam::aws:policy/PowerUser", "arn:aws:iam::aws:policy/x/IAMFullAccess",
                    f"arn:aws:iam::{acme.id}:policy/IAMFullAccess"):
        assert code(iam.get_policy, PolicyArn=strange) == "NoSuchEntity", strange
    iam.delete_policy(PolicyArn=own["Arn"])


def reads(s3):
    return s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"kept"


def writes(s3):
    return s3.put_object(Bucket=BUCKET, Key="written", Body=b"x")


def test_users_groups_and_roles_have_them(cloud, acme):
    iam, person = acme.iam, acme.person()
    read, full = arn("AmazonS3ReadOnlyAccess"), arn("AmazonS3FullAccess")
    assert code(person.s3.get_object, Bucket=BUCKET, Key="k") == "AccessDenied"
    iam.attach_user_policy(UserName=person.name, PolicyArn=read)
    assert reads(person.s3) and person.s3.list_buckets()["Buckets"]
    assert code(writes, person.s3) == "AccessDenied"
    assert code(person.iam.list_users) == "AccessDenied"
    assert iam.list_attached_user_policies(UserName=person.name)["AttachedPolicies"] == [
        {"PolicyName": "AmazonS3ReadOnlyAccess", "PolicyArn": read}]
    iam.create_group(GroupName="writers")
    iam.attach_group_policy(GroupName="writers", PolicyArn=full)
    iam.add_user_to_group(GroupName="writers", UserName=person.name)
    writes(person.s3)
    person.s3.delete_object(Bucket=BUCKET, Key="written")
    iam.detach_group_policy(GroupName="writers", PolicyArn=full)
    assert code(writes, person.s3) == "AccessDenied"
    iam.detach_user_policy(UserName=person.name, PolicyArn=read)
    assert code(person.s3.get_object, Bucket=BUCKET, Key="k") == "AccessDenied"
    assert code(iam.detach_user_policy, UserName=person.name, PolicyArn=read) == "NoSuchEntity"
    role = acme.role()
    iam.attach_role_policy(RoleName=role, PolicyArn=read)
    asks = acme.person(allow("sts:AssumeRole"))
    assert reads(acme.assume(asks, role).s3)
    assert code(writes, acme.assume(asks, role).s3) == "AccessDenied"
    iam.detach_role_policy(RoleName=role, PolicyArn=read)


def test_they_bound_users_roles_and_sessions(cloud, acme):
    iam, person, read = acme.iam, acme.person(allow("*")), arn("AmazonS3ReadOnlyAccess")
    iam.put_user_permissions_boundary(UserName=person.name, PermissionsBoundary=read)
    shown = iam.get_user(UserName=person.name)["User"]["PermissionsBoundary"]
    assert shown["PermissionsBoundaryArn"] == read
    assert reads(person.s3) and code(writes, person.s3) == "AccessDenied"
    assert code(person.iam.list_users) == "AccessDenied"
    users = iam.list_entities_for_policy(
        PolicyArn=read, PolicyUsageFilter="PermissionsBoundary")["PolicyUsers"]
    assert [user["UserName"] for user in users] == [person.name]
    iam.delete_user_permissions_boundary(UserName=person.name)
    writes(person.s3)
    person.s3.delete_object(Bucket=BUCKET, Key="written")
    made = iam.create_user(UserName="common-bound", PermissionsBoundary=arn("IAMReadOnlyAccess"))
    assert made["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn("IAMReadOnlyAccess")
    role = acme.role(allow("*"), PermissionsBoundary=read)
    within = acme.assume(person, role)
    assert reads(within.s3) and code(writes, within.s3) == "AccessDenied"
    plain = acme.role(allow("*"))
    narrow = acme.assume(person, plain, PolicyArns=[{"arn": read}])
    assert reads(narrow.s3) and code(writes, narrow.s3) == "AccessDenied"
    federated = Session(cloud, person.sts.get_federation_token(
        Name="guest", PolicyArns=[{"arn": read}]))
    assert reads(federated.s3) and code(writes, federated.s3) == "AccessDenied"


def test_who_administers_by_one_may_do_what_it_says(acme):
    person = acme.person()
    for name, lists, makes in [("IAMReadOnlyAccess", True, False), ("IAMFullAccess", True, True),
                               ("ReadOnlyAccess", True, False),
                               ("AmazonS3FullAccess", False, False),
                               ("AdministratorAccess", True, True)]:
        acme.iam.attach_user_policy(UserName=person.name, PolicyArn=arn(name))
        make = lambda: person.iam.create_group(GroupName="made")
        if lists:
            person.iam.list_users()
        else:
            assert code(person.iam.list_users) == "AccessDenied", name
        if makes:
            make()
            person.iam.delete_group(GroupName="made")
        else:
            assert code(make) == "AccessDenied", name
        acme.iam.detach_user_policy(UserName=person.name, PolicyArn=arn(name))


def test_nobody_changes_them(acme):
    iam, policy = acme.iam, arn("AmazonS3ReadOnlyAccess")
    before = iam.get_policy(PolicyArn=policy)
    wide = document(allow("*"))
    for call, fields in [
        (iam.delete_policy, {}), (iam.create_policy_version, {"PolicyDocument": wide}),
        (iam.create_policy_version, {"PolicyDocument": wide, "SetAsDefault": True}),
        (iam.set_default_policy_version, {"VersionId": "v1"}),
        (iam.delete_policy_version, {"VersionId": "v1"}),
        (iam.tag_policy, {"Tags": [{"Key": "a", "Value": "b"}]}),
        (iam.untag_policy, {"TagKeys": ["a"]}),
    ]:
        assert code(call, PolicyArn=policy, **fields) == "AccessDenied", call
    assert iam.get_policy(PolicyArn=policy)["Policy"] == before["Policy"]
    # A policy of the account may have the name of one, and is another.
    own = iam.create_policy(PolicyName="ReadOnlyAccess", PolicyDocument=wide)["Policy"]["Arn"]
    assert own == f"arn:aws:iam::{acme.id}:policy/ReadOnlyAccess"
    person = acme.person()
    iam.attach_user_policy(UserName=person.name, PolicyArn=arn("ReadOnlyAccess"))
    assert code(writes, person.s3) == "AccessDenied"
    iam.delete_policy(PolicyArn=own)
    assert reads(person.s3)


def test_an_account_sees_only_its_own_uses(acme, other):
    policy = arn("IAMReadOnlyAccess")
    mine, theirs = acme.person(), other.person()
    acme.iam.attach_user_policy(UserName=mine.name, PolicyArn=policy)
    other.iam.attach_user_policy(UserName=theirs.name, PolicyArn=policy)
    for account, person in ((acme, mine), (other, theirs)):
        shown = account.iam.get_policy(PolicyArn=policy)["Policy"]
        assert shown["AttachmentCount"] == 1
        users = account.iam.list_entities_for_policy(
            PolicyArn=policy, EntityFilter="User",
            PolicyUsageFilter="PermissionsPolicy")["PolicyUsers"]
        assert [user["UserId"] for user in users] == [
            account.iam.get_user(UserName=person.name)["User"]["UserId"]]
        details = account.iam.get_account_authorization_details(Filter=["AWSManagedPolicy"])
        assert [one["Arn"] for one in details["Policies"] if one["Arn"] == policy] == [policy]
    other.iam.detach_user_policy(UserName=theirs.name, PolicyArn=policy)
    assert other.iam.get_policy(PolicyArn=policy)["Policy"]["AttachmentCount"] == 0
    assert other.iam.list_policies(Scope="AWS", OnlyAttached=True)["Policies"] == []
    assert other.iam.get_account_authorization_details(
        Filter=["AWSManagedPolicy"])["Policies"] == []


def test_attaching_one_can_be_limited(acme):
    """`iam:PolicyARN` sees them, so a delegate gives no more than was meant."""
    person = acme.person(allow("iam:AttachUserPolicy", Condition={
        "ArnEquals": {"iam:PolicyARN": arn("AmazonS3ReadOnlyAccess")}}))
    attach = lambda name: person.iam.attach_user_policy(UserName=person.name, PolicyArn=arn(name))
    assert code(attach, "AdministratorAccess") == "AccessDenied"
    attach("AmazonS3ReadOnlyAccess")
    assert reads(person.s3)


def test_simulations_and_explanations_name_them(cloud, acme):
    person = acme.person()
    acme.iam.attach_user_policy(UserName=person.name, PolicyArn=arn("AmazonS3ReadOnlyAccess"))
    result, = acme.iam.simulate_principal_policy(
        PolicySourceArn=acme.arn("user", person.name), ActionNames=["s3:GetObject"],
        ResourceArns=[f"arn:aws:s3:::{BUCKET}/k"])["EvaluationResults"]
    assert result["EvalDecision"] == "allowed"
    matched, = result["MatchedStatements"]
    assert (matched["SourcePolicyId"], matched["SourcePolicyType"]) \
        == (arn("AmazonS3ReadOnlyAccess"), "aws-managed")
    told = cloud.cli("access", "explain", "--account", acme.id, "--user", person.name,
                     "--action", "s3:GetObject", "--resource", f"arn:aws:s3:::{BUCKET}/k").stdout
    assert told.startswith("ALLOWED") and arn("AmazonS3ReadOnlyAccess") in told


def test_dhow_attaches_them_by_name(cloud, acme):
    person = acme.person()
    of = ("--account", acme.id)
    cloud.cli("policy", "attach", "AmazonS3ReadOnlyAccess", "--user", person.name, *of)
    assert reads(person.s3)
    listed = cloud.cli_json("policy", "attached", "--user", person.name, *of, "--json")
    assert "AmazonS3ReadOnlyAccess" in json.dumps(listed)
    shown = cloud.cli("policy", "show", "AmazonS3ReadOnlyAccess", *of).stdout
    assert "s3:Get*" in shown
    cloud.cli("policy", "detach", "AmazonS3ReadOnlyAccess", "--user", person.name, *of)
    assert code(person.s3.get_object, Bucket=BUCKET, Key="k") == "AccessDenied"


def test_a_trust_policy_does_not_name_them(acme):
    assert code(acme.iam.create_role, RoleName="none",
                AssumeRolePolicyDocument=trust(arn("ReadOnlyAccess"))) == "MalformedPolicyDocument"
