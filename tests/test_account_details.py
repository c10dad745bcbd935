"""What an account has altogether, as tools that look through it ask for it."""

import csv
import datetime
import io
import json
import os
import subprocess

import pytest
from botocore.exceptions import ClientError

from conftest import client_for
from test_roles import trust
from test_sessions import AWS, Account, code
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


def test_an_alias_is_of_one_account(cloud, acme):
    other = Account(cloud, "account-details-other")
    aliases = lambda account: account.iam.list_account_aliases()["AccountAliases"]  # noqa: E731
    assert aliases(acme) == []
    for bad in ("ab1234567890123-", "Acme-Details", "acme--details", "123456789012"):
        assert code(acme.iam.create_account_alias, AccountAlias=bad) == "ValidationError", bad
    acme.iam.create_account_alias(AccountAlias="acme-details")
    acme.iam.create_account_alias(AccountAlias="acme-details")
    assert aliases(acme) == ["acme-details"] and aliases(other) == []
    assert code(other.iam.create_account_alias, AccountAlias="acme-details") \
        == "EntityAlreadyExists"
    assert code(other.iam.delete_account_alias, AccountAlias="acme-details") == "NoSuchEntity"
    # By dhow, another one takes its place, and the first is free.
    cloud.cli("account", "alias", "acme-details-2", "--account", acme.id)
    assert cloud.cli("account", "alias", "--account", acme.id).stdout == "acme-details-2\n"
    other.iam.create_account_alias(AccountAlias="acme-details")
    cloud.cli("account", "alias", "acme-details-2", "--delete", "--account", acme.id)
    assert aliases(acme) == [] and aliases(other) == ["acme-details"]


def used(account, key):
    return account.iam.get_access_key_last_used(AccessKeyId=key)


def test_a_key_has_a_last_use(cloud, acme):
    person = acme.person(allow("s3:ListAllMyBuckets"))
    key = person.pair[0]
    never = used(acme, key)
    assert never["UserName"] == person.name
    assert never["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    # A signature that is wrong is no use.
    wrong = client_for(cloud, key, "x" * 40)
    assert code(wrong.list_buckets) == "SignatureDoesNotMatch"
    assert "LastUsedDate" not in used(acme, key)["AccessKeyLastUsed"]
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    person.s3.list_buckets()
    last = used(acme, key)["AccessKeyLastUsed"]
    assert (last["ServiceName"], last["Region"]) == ("s3", cloud.region)
    assert before <= last["LastUsedDate"] <= datetime.datetime.now(datetime.timezone.utc)
    # A refused request was signed all the same.
    assert code(person.iam.list_users) == "AccessDenied"
    assert used(acme, key)["AccessKeyLastUsed"]["ServiceName"] == "iam"
    shown = cloud.cli("user", "key", "list", person.name, "--account", acme.id).stdout
    assert f"(iam in {cloud.region})" in shown, shown
    # The account's own key.
    own = used(acme, acme.pair[0])
    assert own["UserName"] == "root" and own["AccessKeyLastUsed"]["ServiceName"] in ("iam", "s3")


def test_of_whose_key_it_is_strangers_learn_nothing(cloud, acme):
    person, another = acme.person(), acme.person()
    stranger = Account(cloud, "account-details-stranger")
    missing = lambda account, key: code(used, account, key)  # noqa: E731
    assert missing(stranger, person.pair[0]) == missing(stranger, "DHOWNOBODYNOBODYNOBO") == "NoSuchEntity"
    refusals = set()
    for key in (another.pair[0], acme.pair[0], stranger.pair[0], "DHOWNOBODYNOBODYNOBO"):
        with pytest.raises(ClientError) as refused:
            used(person, key)
        error = refused.value.response["Error"]
        assert error["Code"] == "AccessDenied"
        refusals.add(error["Message"].replace(key, "KEY"))
    assert len(refusals) == 1, refusals
    person.put(document(allow("iam:GetAccessKeyLastUsed", acme.arn("user", another.name))))
    assert used(person, another.pair[0])["UserName"] == another.name
    assert code(used, person, person.pair[0]) == "AccessDenied"


def test_the_credential_report_lists_all_credentials(cloud, acme):
    person = acme.person(allow("s3:ListAllMyBuckets"))
    person.s3.list_buckets()
    acme.iam.update_access_key(UserName=person.name, AccessKeyId=person.pair[0], Status="Inactive")
    acme.iam.create_user(UserName="comma,name")
    assert acme.iam.generate_credential_report()["State"] == "COMPLETE"
    report = acme.iam.get_credential_report()
    assert report["ReportFormat"] == "text/csv"
    rows = {row["user"]: row for row in csv.DictReader(io.StringIO(report["Content"].decode()))}
    assert {"<root_account>", "anna", "Bob", "comma,name", person.name} <= set(rows)
    root, own, bob = rows["<root_account>"], rows[person.name], rows["Bob"]
    assert root["arn"] == f"arn:aws:iam::{acme.id}:root"
    assert root["access_key_1_active"] == "true" and root["access_key_1_last_used_service"] == "iam"
    assert own["access_key_1_active"] == "false" and own["access_key_1_last_used_service"] == "s3"
    assert own["access_key_1_last_used_region"] == cloud.region
    assert bob["access_key_1_active"] == "false" and bob["access_key_1_last_rotated"] == "N/A"
    assert all(row["mfa_active"] == row["password_enabled"] == "false" for row in rows.values())
    aws = lambda *args: subprocess.run(  # noqa: E731
        [AWS, "iam", *args], check=True, capture_output=True, text=True, timeout=60, env={
            **os.environ, "AWS_ACCESS_KEY_ID": acme.pair[0], "AWS_SECRET_ACCESS_KEY": acme.pair[1],
            "AWS_DEFAULT_REGION": cloud.region, "AWS_ENDPOINT_URL": f"{cloud.endpoint}/-/iam"})
    told = aws("--endpoint-url", f"{cloud.endpoint}/-/iam", "get-credential-report").stdout
    assert json.loads(told)["ReportFormat"] == "text/csv"


def test_there_are_no_second_factors_and_no_passwords(acme):
    person = acme.person()
    for call, fields in (
        (person.sts.get_session_token, {}),
        (person.sts.assume_role, {"RoleArn": acme.arn("role", "worker"), "RoleSessionName": "work"}),
    ):
        with pytest.raises(ClientError) as refused:
            call(**fields, SerialNumber="arn:aws:iam::1:mfa/anna", TokenCode="123456")
        error = refused.value.response["Error"]
        assert error["Code"] == "AccessDenied" and "second factors" in error["Message"]
    assert code(acme.iam.get_account_password_policy) == "NoSuchEntity"
    assert code(acme.iam.delete_login_profile, UserName=person.name) == "NoSuchEntity"


def test_only_who_may_looks_through_an_account(acme):
    person = acme.person()
    calls = ("get_account_authorization_details", "get_account_summary", "list_account_aliases",
             "get_account_password_policy", "generate_credential_report", "get_credential_report")
    for call in calls:
        assert code(getattr(person.iam, call)) == "AccessDenied", call
    for call in (person.iam.create_account_alias, person.iam.delete_account_alias):
        assert code(call, AccountAlias="taken-over") == "AccessDenied"
    person.put(document(allow("iam:GetAccountSummary")))
    assert person.iam.get_account_summary()["SummaryMap"]["Users"] >= 2
    assert code(person.iam.get_account_authorization_details) == "AccessDenied"
