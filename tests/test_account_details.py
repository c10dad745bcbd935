"""What an account has altogether, as tools that look through it ask for it."""

import json

import pytest

from test_roles import trust
from test_sessions import Account, code
from test_users import allow, document


@pytest.fixture(scope="module")
def acme(cloud):
    account = Account(cloud, "account-details")
    iam = account.iam
    managed = iam.create_policy(PolicyName="Managed", PolicyDocument=document(
        allow("s3:GetObject")))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=managed, PolicyDocument=document(allow("s3:*")))
    for name in ("anna", "Bob"):
        iam.create_user(UserName=name, Tags=[{"Key": "team", "Value": "red"}])
    iam.put_user_policy(UserName="anna", PolicyName="own", PolicyDocument=document(
        allow("s3:PutObject")))
    iam.attach_user_policy(UserName="anna", PolicyArn=managed)
    iam.create_group(GroupName="staff")
    iam.add_user_to_group(GroupName="staff", UserName="anna")
    iam.attach_group_policy(GroupName="staff", PolicyArn=managed)
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=trust(account.id))
    iam.put_role_policy(RoleName="worker", PolicyName="own", PolicyDocument=document(
        allow("s3:GetObject")))
    account.managed = managed
    return account


def test_everything_is_told_of_users_groups_roles_and_policies(acme):
    told = acme.iam.get_account_authorization_details()
    assert not told["IsTruncated"]
    anna, bob = told["UserDetailList"]
    assert (anna["UserName"], bob["UserName"]) == ("anna", "Bob")
    assert anna["GroupList"] == ["staff"] and anna["Tags"] == [{"Key": "team", "Value": "red"}]
    assert anna["UserPolicyList"][0]["PolicyName"] == "own"
    assert anna["UserPolicyList"][0]["PolicyDocument"] == json.loads(document(allow("s3:PutObject")))
    attached = {"PolicyName": "Managed", "PolicyArn": acme.managed}
    assert anna["AttachedManagedPolicies"] == [attached] and not bob["AttachedManagedPolicies"]
    staff, = told["GroupDetailList"]
    assert staff["AttachedManagedPolicies"] == [attached] and staff["GroupPolicyList"] == []
    worker, = told["RoleDetailList"]
    assert worker["AssumeRolePolicyDocument"] == json.loads(trust(acme.id))
    assert [policy["PolicyName"] for policy in worker["RolePolicyList"]] == ["own"]
    policy, = told["Policies"]
    versions = {one["VersionId"]: one["IsDefaultVersion"] for one in policy["PolicyVersionList"]}
    assert versions == {"v1": True, "v2": False}


def test_details_come_in_pages_and_by_kind(acme):
    pages = acme.iam.get_paginator("get_account_authorization_details")
    lists = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    names, count = [], 0
    for page in pages.paginate(PaginationConfig={"PageSize": 2}):
        found = [one for name in lists for one in page[name]]
        assert len(found) <= 2
        names += [one["Arn"] for one in found]
        count += 1
    assert count == 3 and len(names) == len(set(names)) == 5
    roles = acme.iam.get_account_authorization_details(Filter=["Role"])
    assert len(roles["RoleDetailList"]) == 1 and not roles["UserDetailList"]
    of_aws = acme.iam.get_account_authorization_details(Filter=["AWSManagedPolicy"])
    assert not any(of_aws[name] for name in lists)


def test_a_summary_counts(acme):
    told = acme.iam.get_account_summary()["SummaryMap"]
    expected = {"Users": 2, "Groups": 1, "Roles": 1, "Policies": 1, "PolicyVersionsInUse": 2,
                "Providers": 0, "AccountAccessKeysPresent": 1, "AccountMFAEnabled": 0}
    assert {name: told[name] for name in expected} == expected
    assert acme.iam.list_account_aliases()["AccountAliases"] == []


def test_only_who_may_looks_through_an_account(acme):
    person = acme.person()
    calls = ("get_account_authorization_details", "get_account_summary", "list_account_aliases")
    for call in calls:
        assert code(getattr(person.iam, call)) == "AccessDenied", call
    person.put(document(allow("iam:GetAccountSummary")))
    assert person.iam.get_account_summary()["SummaryMap"]["Users"] >= 2
    assert code(person.iam.get_account_authorization_details) == "AccessDenied"
