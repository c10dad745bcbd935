"""Users of accounts: IAM's query API with its own clients, and what users may do at S3."""

import http.client
import json
import os
import subprocess
import time
import urllib.parse

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import client_for
from dhow import Client

ONCE = Config(retries={"total_max_attempts": 1})


def iam_for(server, access_key=None, secret_key=None, region=None, host=None):
    return boto3.client(
        "iam", endpoint_url=f"{server.endpoint}/-/iam", region_name=region or server.region,
        aws_access_key_id=access_key or server.access_key,
        aws_secret_access_key=secret_key or server.secret_key, config=ONCE)


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def code(call, *args, **kwargs):
    with pytest.raises(ClientError) as refused:
        call(*args, **kwargs)
    return refused.value.response["Error"]["Code"]


@pytest.fixture(scope="module")
def account(cloud):
    """A customer's account: its id, and IAM and S3 with its own key."""
    made = cloud.cli_json("account", "create", "users-of-acme", "--json")
    key = cloud.cli_json("key", "create", "--account", made["id"], "--json")
    pair = (key["access_key"], key["secret_key"])
    return made["id"], iam_for(cloud, *pair), client_for(cloud, *pair)


_names = iter(range(10**6))


class Person:
    """A new user with a key."""

    def __init__(self, cloud, iam, policy=None, name=None):
        self.cloud, self.root = cloud, iam
        self.name = name or f"user-{next(_names)}"
        self.id = iam.create_user(UserName=self.name)["User"]["UserId"]
        if policy:
            self.put(policy)
        key = iam.create_access_key(UserName=self.name)["AccessKey"]
        self.pair = (key["AccessKeyId"], key["SecretAccessKey"])
        self.s3, self.iam = client_for(cloud, *self.pair), iam_for(cloud, *self.pair)

    def put(self, policy, name="own"):
        self.root.put_user_policy(UserName=self.name, PolicyName=name, PolicyDocument=policy)


@pytest.fixture(scope="module")
def filled(account):
    """A bucket of the account, with objects under two prefixes."""
    _, _, s3 = account
    s3.create_bucket(Bucket="acme-data")
    for key in ("team/a", "team/b", "team", "teams/x", "other/c"):
        s3.put_object(Bucket="acme-data", Key=key, Body=key.encode())
    return "acme-data"


def test_an_upload_is_open_to_who_began_it(cloud, account, filled):
    _, iam, root = account
    person, other = [Person(cloud, iam, document(allow("s3:PutObject"))) for _ in range(2)]
    of = {"Bucket": filled, "Key": "begun"}
    begin = lambda: {**of, "UploadId": person.s3.create_multipart_upload(**of)["UploadId"]}
    upload, second = begin(), begin()
    person.s3.upload_part(**upload, PartNumber=1, Body=b"part")
    assert [p["Size"] for p in person.s3.list_parts(**upload)["Parts"]] == [4]
    missing = {**of, "UploadId": "0" * 32}
    for refused in (upload, missing):
        assert code(other.s3.list_parts, **refused) == "AccessDenied"
        assert code(other.s3.abort_multipart_upload, **refused) == "AccessDenied"
    assert code(person.s3.abort_multipart_upload, **missing) == "AccessDenied"
    person.put(document(deny("s3:AbortMultipartUpload")), "denied")
    assert code(person.s3.abort_multipart_upload, **upload) == "AccessDenied"
    iam.delete_user_policy(UserName=person.name, PolicyName="denied")
    person.s3.abort_multipart_upload(**upload)
    assert code(root.list_parts, **upload) == "NoSuchUpload"
    root.abort_multipart_upload(**second)
    # In a bucket of another account it is for them and the account's root, with no policy any more.
    owner = client_for(cloud, cloud.access_key, cloud.secret_key)
    owner.create_bucket(Bucket="begun-by-others")
    owner.put_bucket_policy(Bucket="begun-by-others", Policy=document({
        "Effect": "Allow", "Principal": {"AWS": account[0]}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::begun-by-others/*"}))
    of["Bucket"] = "begun-by-others"
    upload, second = begin(), begin()
    owner.delete_bucket_policy(Bucket="begun-by-others")
    assert code(other.s3.abort_multipart_upload, **upload) == "AccessDenied"
    person.s3.abort_multipart_upload(**upload)
    root.abort_multipart_upload(**second)


def test_users_are_made_shown_renamed_and_deleted(cloud, account):
    owner, iam, _ = account
    made = iam.create_user(UserName="Anna", Path="/staff/", Tags=[{"Key": "Team", "Value": "red"}])
    user = made["User"]
    assert user["Arn"] == f"arn:aws:iam::{owner}:user/staff/Anna"
    assert user["UserId"].startswith("AIDA") and len(user["UserId"]) == 21
    shown = iam.get_user(UserName="Anna")["User"]
    assert shown == user and shown["Tags"] == [{"Key": "Team", "Value": "red"}]
    assert code(iam.create_user, UserName="ANNA") == "EntityAlreadyExists"
    assert code(iam.get_user, UserName="nobody") == "NoSuchEntity"
    assert code(iam.create_user, UserName="a b") == "ValidationError"
    iam.tag_user(UserName="Anna", Tags=[{"Key": "team", "Value": "blue"}, {"Key": "x", "Value": ""}])
    assert iam.list_user_tags(UserName="Anna")["Tags"] == [
        {"Key": "team", "Value": "blue"}, {"Key": "x", "Value": ""}]
    iam.untag_user(UserName="Anna", TagKeys=["x"])
    iam.update_user(UserName="Anna", NewUserName="Anne", NewPath="/staff/new/")
    renamed = iam.get_user(UserName="Anne")["User"]
    assert renamed["UserId"] == user["UserId"] and renamed["Path"] == "/staff/new/"
    assert renamed["Tags"] == [{"Key": "team", "Value": "blue"}]
    listed = iam.list_users(PathPrefix="/staff/")["Users"]
    assert [one["UserName"] for one in listed] == ["Anne"] and "Tags" not in listed[0]
    iam.delete_user(UserName="Anne")
    assert code(iam.get_user, UserName="Anne") == "NoSuchEntity"
    assert code(iam.delete_user, UserName="Anne") == "NoSuchEntity"
    # The account itself is no user, and is shown to itself.
    assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{owner}:root"


def test_lists_come_in_pages(account):
    _, iam, _ = account
    names = [f"paged-{n}" for n in range(5)]
    for name in names:
        iam.create_user(UserName=name, Path="/paged/")
    pages = iam.get_paginator("list_users").paginate(
        PathPrefix="/paged/", PaginationConfig={"PageSize": 2})
    pages = [[user["UserName"] for user in page["Users"]] for page in pages]
    assert pages == [names[:2], names[2:4], names[4:]]
    assert code(iam.list_users, Marker="zz") == "ValidationError"


def test_keys_and_policies_of_a_user(cloud, account):
    owner, iam, _ = account
    iam.create_user(UserName="keys")
    made = [iam.create_access_key(UserName="keys")["AccessKey"] for _ in range(2)]
    assert code(iam.create_access_key, UserName="keys") == "LimitExceeded"
    listed = iam.list_access_keys(UserName="keys")["AccessKeyMetadata"]
    assert {key["AccessKeyId"] for key in listed} == {key["AccessKeyId"] for key in made}
    assert all("SecretAccessKey" not in key and key["Status"] == "Active" for key in listed)
    text = document(allow("s3:GetObject", "arn:aws:s3:::x/*"))
    iam.put_user_policy(UserName="keys", PolicyName="p", PolicyDocument=text)
    got = iam.get_user_policy(UserName="keys", PolicyName="p")
    assert got["PolicyDocument"] == json.loads(text)
    assert iam.list_user_policies(UserName="keys")["PolicyNames"] == ["p"]
    for bad in ("", "{", "[]", '{"Statement": []}', document({"Effect": "Allow"}),
                document({**allow("s3:*"), "Principal": "*"}), document(allow("s3:*", "x"))):
        refused = code(iam.put_user_policy, UserName="keys", PolicyName="q", PolicyDocument=bad or " ")
        assert refused == "MalformedPolicyDocument", bad
    long = document(*[allow("s3:GetObject", f"arn:aws:s3:::bucket-{n}/*") for n in range(40)])
    assert code(iam.put_user_policy, UserName="keys", PolicyName="q",
                PolicyDocument=long) == "LimitExceeded"
    assert code(iam.delete_user, UserName="keys") == "DeleteConflict"
    for key in made:
        iam.delete_access_key(UserName="keys", AccessKeyId=key["AccessKeyId"])
    assert code(iam.delete_user, UserName="keys") == "DeleteConflict"
    iam.delete_user_policy(UserName="keys", PolicyName="p")
    assert code(iam.delete_user_policy, UserName="keys", PolicyName="p") == "NoSuchEntity"
    iam.delete_user(UserName="keys")


def operations(s3, bucket):
    """One call of each kind, as a user might make it."""
    return {
        "ListBuckets": lambda: s3.list_buckets(),
        "CreateBucket": lambda: s3.create_bucket(Bucket="acme-new"),
        "DeleteBucket": lambda: s3.delete_bucket(Bucket=bucket),
        "HeadBucket": lambda: s3.head_bucket(Bucket=bucket),
        "GetBucketLocation": lambda: s3.get_bucket_location(Bucket=bucket),
        "GetBucketVersioning": lambda: s3.get_bucket_versioning(Bucket=bucket),
        "PutBucketVersioning": lambda: s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        "GetBucketTagging": lambda: s3.get_bucket_tagging(Bucket=bucket),
        "PutBucketTagging": lambda: s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": []}),
        "DeleteBucketTagging": lambda: s3.delete_bucket_tagging(Bucket=bucket),
        "ListObjects": lambda: s3.list_objects(Bucket=bucket),
        "ListObjectsV2": lambda: s3.list_objects_v2(Bucket=bucket),
        "ListObjectVersions": lambda: s3.list_object_versions(Bucket=bucket),
        "ListMultipartUploads": lambda: s3.list_multipart_uploads(Bucket=bucket),
        "GetObject": lambda: s3.get_object(Bucket=bucket, Key="team/a"),
        "GetObject of none": lambda: s3.get_object(Bucket=bucket, Key="team/none"),
        "HeadObject": lambda: s3.head_object(Bucket=bucket, Key="team/a"),
        "GetObjectAttributes": lambda: s3.get_object_attributes(
            Bucket=bucket, Key="team/a", ObjectAttributes=["ETag"]),
        "PutObject": lambda: s3.put_object(Bucket=bucket, Key="team/new", Body=b"x"),
        "CopyObject": lambda: s3.copy_object(
            Bucket=bucket, Key="team/copy", CopySource=f"{bucket}/team/a"),
        "DeleteObject": lambda: s3.delete_object(Bucket=bucket, Key="team/a"),
        "GetObjectTagging": lambda: s3.get_object_tagging(Bucket=bucket, Key="team/a"),
        "PutObjectTagging": lambda: s3.put_object_tagging(
            Bucket=bucket, Key="team/a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]}),
        "DeleteObjectTagging": lambda: s3.delete_object_tagging(Bucket=bucket, Key="team/a"),
        "CreateMultipartUpload": lambda: s3.create_multipart_upload(Bucket=bucket, Key="team/m"),
        "UploadPart": lambda: s3.upload_part(
            Bucket=bucket, Key="team/m", UploadId="x", PartNumber=1, Body=b"x"),
        "CompleteMultipartUpload": lambda: s3.complete_multipart_upload(
            Bucket=bucket, Key="team/m", UploadId="x",
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]}),
        "AbortMultipartUpload": lambda: s3.abort_multipart_upload(
            Bucket=bucket, Key="team/m", UploadId="x"),
        "ListParts": lambda: s3.list_parts(Bucket=bucket, Key="team/m", UploadId="x"),
        "GetBucketReplication": lambda: s3.get_bucket_replication(Bucket=bucket),
        "GetBucketPolicy": lambda: s3.get_bucket_policy(Bucket=bucket),
        "GetBucketAcl": lambda: s3.get_bucket_acl(Bucket=bucket),
        "GetObjectAcl": lambda: s3.get_object_acl(Bucket=bucket, Key="team/a"),
        "GetBucketCors": lambda: s3.get_bucket_cors(Bucket=bucket),
    }


def is_denied(call):
    """HEAD says nothing but its status."""
    return code(call) in ("AccessDenied", "403")


def test_a_user_without_a_policy_is_denied_everything(cloud, account, filled):
    _, iam, s3 = account
    person = Person(cloud, iam)
    for name, call in operations(person.s3, filled).items():
        assert is_denied(call), name
    answer = person.s3.delete_objects(Bucket=filled, Delete={"Objects": [{"Key": "team/a"}]})
    assert [one["Code"] for one in answer["Errors"]] == ["AccessDenied"]
    assert "Deleted" not in answer
    assert s3.get_object(Bucket=filled, Key="team/a")["Body"].read() == b"team/a"
    assert "acme-new" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    # A link that the user signs opens nothing either.
    link = person.s3.generate_presigned_url("get_object", {"Bucket": filled, "Key": "team/a"})
    address = urllib.parse.urlsplit(link)
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    connection.request("GET", f"{address.path}?{address.query}")
    assert connection.getresponse().status == 403
    # Nor does a form.
    form = person.s3.generate_presigned_post(filled, "team/form")
    boundary = "x" * 20
    fields = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
                     for n, v in form["fields"].items())
    body = (fields + f'--{boundary}\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n'
            f"--{boundary}--\r\n")
    connection.close()
    connection.request("POST", urllib.parse.urlsplit(form["url"]).path, body,
                       {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    assert connection.getresponse().status == 403


def test_a_refusal_says_why(cloud, account, filled):
    owner, iam, _ = account
    person = Person(cloud, iam)
    with pytest.raises(ClientError) as refused:
        person.s3.get_object(Bucket=filled, Key="team/a")
    assert refused.value.response["Error"]["Message"] == (
        f"User: arn:aws:iam::{owner}:user/{person.name} is not authorized to perform: s3:GetObject "
        f'on resource: "arn:aws:s3:::{filled}/team/a" because no identity-based policy allows the '
        "s3:GetObject action")
    person.put(document(deny("s3:GetObject")))
    with pytest.raises(ClientError) as refused:
        person.s3.get_object(Bucket=filled, Key="team/a")
    assert "with an explicit deny in an identity-based policy" in str(refused.value)


def test_a_policy_for_one_prefix_is_for_that_prefix(cloud, account, filled):
    _, iam, _ = account
    policy = document(
        allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::{filled}/team/*"),
        allow("s3:ListBucket", f"arn:aws:s3:::{filled}",
              Condition={"StringLike": {"s3:prefix": ["team/*"]}}))
    person = Person(cloud, iam, policy)
    s3 = person.s3
    assert s3.get_object(Bucket=filled, Key="team/a")["Body"].read() == b"team/a"
    s3.put_object(Bucket=filled, Key="team/mine", Body=b"x")
    assert len(s3.list_objects_v2(Bucket=filled, Prefix="team/")["Contents"]) >= 2
    for key in ("team", "teams/x", "other/c", "../team/a", "team"):
        assert is_denied(lambda: s3.get_object(Bucket=filled, Key=key)), key
        assert is_denied(lambda: s3.put_object(Bucket=filled, Key=key, Body=b"x")), key
    for prefix in ("", "team", "other/", "tea"):
        assert is_denied(lambda: s3.list_objects_v2(Bucket=filled, Prefix=prefix)), prefix
    assert is_denied(lambda: s3.list_objects_v2(Bucket=filled))
    assert is_denied(lambda: s3.delete_object(Bucket=filled, Key="team/mine"))
    assert is_denied(lambda: s3.copy_object(
        Bucket=filled, Key="team/copy", CopySource=f"{filled}/other/c"))
    s3.copy_object(Bucket=filled, Key="team/copy", CopySource=f"{filled}/team/a")
    # Tags are another right.
    assert is_denied(lambda: s3.put_object(Bucket=filled, Key="team/t", Body=b"x", Tagging="a=b"))
    # Who may not list the bucket does not learn that a key is not there.
    assert is_denied(lambda: s3.get_object(Bucket=filled, Key="team/none"))
    assert is_denied(lambda: s3.head_object(Bucket=filled, Key="team/none"))
    person.put(document(allow("s3:ListBucket", f"arn:aws:s3:::{filled}")), "list")
    assert code(s3.get_object, Bucket=filled, Key="team/none") == "NoSuchKey"


def test_deny_beats_allow(cloud, account, filled):
    _, iam, _ = account
    person = Person(cloud, iam, document(allow("s3:*"), allow("*")))
    person.s3.get_object(Bucket=filled, Key="other/c")
    person.put(document(deny("s3:Get*", f"arn:aws:s3:::{filled}/other/*")), "not")
    assert is_denied(lambda: person.s3.get_object(Bucket=filled, Key="other/c"))
    person.s3.get_object(Bucket=filled, Key="team/a")
    person.root.delete_user_policy(UserName=person.name, PolicyName="not")
    person.s3.get_object(Bucket=filled, Key="other/c")


def test_a_user_of_another_account_gets_nothing(cloud, filled):
    other = cloud.cli_json("account", "create", "users-of-other", "--json")
    key = cloud.cli_json("key", "create", "--account", other["id"], "--json")
    iam = iam_for(cloud, key["access_key"], key["secret_key"])
    person = Person(cloud, iam, document(allow("*")))
    for name, call in operations(person.s3, filled).items():
        if name not in ("ListBuckets", "CreateBucket"):
            assert is_denied(call), name
    # Nor does it see, or take, what another account's users are called.
    assert [user["UserName"] for user in iam.list_users()["Users"]] == [person.name]


def test_a_disabled_key_and_a_suspended_account_stop_at_once(cloud, account, filled):
    other = cloud.cli_json("account", "create", "users-suspended", "--json")
    key = cloud.cli_json("key", "create", "--account", other["id"], "--json")
    iam = iam_for(cloud, key["access_key"], key["secret_key"])
    person = Person(cloud, iam, document(allow("*")))
    person.s3.list_buckets()
    person.iam.get_user()
    iam.update_access_key(UserName=person.name, AccessKeyId=person.pair[0], Status="Inactive")
    assert code(person.s3.list_buckets) == "InvalidAccessKeyId"
    assert code(person.iam.get_user) == "InvalidClientTokenId"
    iam.update_access_key(UserName=person.name, AccessKeyId=person.pair[0], Status="Active")
    person.s3.list_buckets()
    cloud.cli("account", "suspend", other["id"])
    assert code(person.s3.list_buckets) == "AccountProblem"
    # Whatever else is wrong with the request: a stranger learns no more than whose keys are named.
    wrong = client_for(cloud, person.pair[0], "x" * 40)
    assert code(wrong.list_buckets) == "AccountProblem"
    assert code(person.iam.get_user) == "InvalidClientTokenId"
    assert code(iam.list_users) == "InvalidClientTokenId"
    cloud.cli("account", "resume", other["id"])
    person.s3.list_buckets()
    iam.delete_access_key(UserName=person.name, AccessKeyId=person.pair[0])
    assert code(person.s3.list_buckets) == "InvalidAccessKeyId"


def forms(iam, name):
    """Each action on a user, as boto3 makes it."""
    policy = document(allow("*"))
    return {
        "CreateUser": lambda: iam.create_user(UserName="new-" + name),
        "GetUser": lambda: iam.get_user(UserName=name),
        "ListUsers": lambda: iam.list_users(),
        "UpdateUser": lambda: iam.update_user(UserName=name, NewUserName="other-" + name),
        "DeleteUser": lambda: iam.delete_user(UserName=name),
        "TagUser": lambda: iam.tag_user(UserName=name, Tags=[{"Key": "k", "Value": "v"}]),
        "UntagUser": lambda: iam.untag_user(UserName=name, TagKeys=["k"]),
        "ListUserTags": lambda: iam.list_user_tags(UserName=name),
        "CreateAccessKey": lambda: iam.create_access_key(UserName=name),
        "ListAccessKeys": lambda: iam.list_access_keys(UserName=name),
        "UpdateAccessKey": lambda: iam.update_access_key(
            UserName=name, AccessKeyId="DHOW" + "A" * 16, Status="Inactive"),
        "DeleteAccessKey": lambda: iam.delete_access_key(
            UserName=name, AccessKeyId="DHOW" + "A" * 16),
        "PutUserPolicy": lambda: iam.put_user_policy(
            UserName=name, PolicyName="p", PolicyDocument=policy),
        "GetUserPolicy": lambda: iam.get_user_policy(UserName=name, PolicyName="p"),
        "ListUserPolicies": lambda: iam.list_user_policies(UserName=name),
        "DeleteUserPolicy": lambda: iam.delete_user_policy(UserName=name, PolicyName="p"),
        "AttachUserPolicy": lambda: iam.attach_user_policy(UserName=name, PolicyArn=ANY_POLICY),
        "DetachUserPolicy": lambda: iam.detach_user_policy(UserName=name, PolicyArn=ANY_POLICY),
        "ListAttachedUserPolicies": lambda: iam.list_attached_user_policies(UserName=name),
        "ListGroupsForUser": lambda: iam.list_groups_for_user(UserName=name),
        "PutUserPermissionsBoundary": lambda: iam.put_user_permissions_boundary(
            UserName=name, PermissionsBoundary=ANY_POLICY),
        "DeleteUserPermissionsBoundary": lambda: iam.delete_user_permissions_boundary(
            UserName=name),
    }


ANY_POLICY = "arn:aws:iam::000000000000:policy/any"


def shared_forms(iam, arn, group, name):
    """Each action on managed policies and groups."""
    policy = document(allow("*"))
    return {
        "CreateGroup": lambda: iam.create_group(GroupName="new-" + group),
        "GetGroup": lambda: iam.get_group(GroupName=group),
        "ListGroups": lambda: iam.list_groups(),
        "UpdateGroup": lambda: iam.update_group(GroupName=group, NewGroupName="x-" + group),
        "DeleteGroup": lambda: iam.delete_group(GroupName=group),
        "AddUserToGroup": lambda: iam.add_user_to_group(GroupName=group, UserName=name),
        "RemoveUserFromGroup": lambda: iam.remove_user_from_group(GroupName=group, UserName=name),
        "PutGroupPolicy": lambda: iam.put_group_policy(
            GroupName=group, PolicyName="p", PolicyDocument=policy),
        "GetGroupPolicy": lambda: iam.get_group_policy(GroupName=group, PolicyName="p"),
        "ListGroupPolicies": lambda: iam.list_group_policies(GroupName=group),
        "DeleteGroupPolicy": lambda: iam.delete_group_policy(GroupName=group, PolicyName="p"),
        "AttachGroupPolicy": lambda: iam.attach_group_policy(GroupName=group, PolicyArn=arn),
        "DetachGroupPolicy": lambda: iam.detach_group_policy(GroupName=group, PolicyArn=arn),
        "ListAttachedGroupPolicies": lambda: iam.list_attached_group_policies(GroupName=group),
        "CreatePolicy": lambda: iam.create_policy(PolicyName="new", PolicyDocument=policy),
        "GetPolicy": lambda: iam.get_policy(PolicyArn=arn),
        "ListPolicies": lambda: iam.list_policies(),
        "DeletePolicy": lambda: iam.delete_policy(PolicyArn=arn),
        "CreatePolicyVersion": lambda: iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=policy, SetAsDefault=True),
        "GetPolicyVersion": lambda: iam.get_policy_version(PolicyArn=arn, VersionId="v1"),
        "ListPolicyVersions": lambda: iam.list_policy_versions(PolicyArn=arn),
        "SetDefaultPolicyVersion": lambda: iam.set_default_policy_version(
            PolicyArn=arn, VersionId="v1"),
        "DeletePolicyVersion": lambda: iam.delete_policy_version(PolicyArn=arn, VersionId="v1"),
        "ListEntitiesForPolicy": lambda: iam.list_entities_for_policy(PolicyArn=arn),
    }


def test_a_narrow_user_reaches_no_policy_and_no_group(cloud, account, filled):
    _, iam, _ = account
    person = Person(cloud, iam, document(allow("s3:GetObject", f"arn:aws:s3:::{filled}/team/*")))
    arn = iam.create_policy(
        PolicyName="wide", PolicyDocument=document(allow("*")))["Policy"]["Arn"]
    iam.create_group(GroupName="wide")
    for name, call in shared_forms(person.iam, arn, "wide", person.name).items():
        assert code(call) == "AccessDenied", name
    attach = lambda: person.iam.attach_user_policy(UserName=person.name, PolicyArn=arn)
    assert code(attach) == "AccessDenied"
    # A right to attach one policy is no right to attach another.
    mine = iam.create_policy(
        PolicyName="mine", PolicyDocument=document(allow("s3:ListAllMyBuckets")))["Policy"]["Arn"]
    person.put(document(allow("iam:AttachUserPolicy", Condition={
        "ArnEquals": {"iam:PolicyARN": mine}})), "attach")
    assert code(attach) == "AccessDenied"
    assert is_denied(person.s3.list_buckets)
    person.iam.attach_user_policy(UserName=person.name, PolicyArn=mine)
    person.s3.list_buckets()
    # Users are made only with the boundary that the policy names.
    person.put(document(allow("iam:CreateUser", Condition={
        "ArnEquals": {"iam:PermissionsBoundary": mine}})), "make")
    make = person.iam.create_user
    assert code(make, UserName="unbound") == "AccessDenied"
    assert code(make, UserName="unbound", PermissionsBoundary=arn) == "AccessDenied"
    made = make(UserName="bound", PermissionsBoundary=mine)["User"]
    assert made["PermissionsBoundary"]["PermissionsBoundaryArn"] == mine


def test_managed_policies_have_versions_and_count_where_they_are_attached(cloud, account, filled):
    owner, iam, _ = account
    person = Person(cloud, iam)
    read = lambda: person.s3.get_object(Bucket=filled, Key="team/a")
    text = document(allow("s3:GetObject", f"arn:aws:s3:::{filled}/*"))
    made = iam.create_policy(PolicyName="Read", Path="/team/", PolicyDocument=text,
                             Description="who read")["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{owner}:policy/team/Read" and made["DefaultVersionId"] == "v1"
    assert code(iam.create_policy, PolicyName="READ", PolicyDocument=text) == "EntityAlreadyExists"
    assert code(iam.create_policy, PolicyName="bad", PolicyDocument="{}") == "MalformedPolicyDocument"
    assert is_denied(read)
    iam.attach_user_policy(UserName=person.name, PolicyArn=arn)
    read()
    attached = iam.list_attached_user_policies(UserName=person.name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "Read", "PolicyArn": arn}]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    users = iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"]
    assert [user["UserName"] for user in users] == [person.name]
    two = iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=document(deny("*")), SetAsDefault=True)["PolicyVersion"]
    assert two["VersionId"] == "v2" and two["IsDefaultVersion"]
    assert is_denied(read)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    read()
    got = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert got["Document"] == json.loads(text)
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [version["VersionId"] for version in versions] == ["v1", "v2"]
    assert code(iam.delete_policy_version, PolicyArn=arn, VersionId="v1") == "DeleteConflict"
    for _ in range(3):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=text)
    assert code(iam.create_policy_version, PolicyArn=arn, PolicyDocument=text) == "LimitExceeded"
    assert code(iam.delete_policy, PolicyArn=arn) == "DeleteConflict"
    iam.detach_user_policy(UserName=person.name, PolicyArn=arn)
    assert is_denied(read)
    assert code(iam.detach_user_policy, UserName=person.name, PolicyArn=arn) == "NoSuchEntity"
    for version in ("v2", "v3", "v4", "v5"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
    listed = iam.list_policies(Scope="Local", PathPrefix="/team/")["Policies"]
    assert [policy["Arn"] for policy in listed] == [arn]
    iam.delete_policy(PolicyArn=arn)
    assert code(iam.get_policy, PolicyArn=arn) == "NoSuchEntity"


def test_groups_give_their_users_what_they_have(cloud, account, filled):
    owner, iam, _ = account
    person = Person(cloud, iam)
    read = lambda: person.s3.get_object(Bucket=filled, Key="team/a")
    group = iam.create_group(GroupName="Staff")["Group"]
    assert group["Arn"] == f"arn:aws:iam::{owner}:group/Staff"
    assert code(iam.create_group, GroupName="STAFF") == "EntityAlreadyExists"
    text = document(allow("s3:GetObject", f"arn:aws:s3:::{filled}/*"))
    iam.put_group_policy(GroupName="Staff", PolicyName="read", PolicyDocument=text)
    assert is_denied(read)
    iam.add_user_to_group(GroupName="Staff", UserName=person.name)
    read()
    assert [u["UserName"] for u in iam.get_group(GroupName="Staff")["Users"]] == [person.name]
    groups = iam.list_groups_for_user(UserName=person.name)["Groups"]
    assert [g["GroupName"] for g in groups] == ["Staff"]
    assert iam.get_group_policy(
        GroupName="Staff", PolicyName="read")["PolicyDocument"] == json.loads(text)
    person.put(document(deny("s3:GetObject")))
    assert is_denied(read)
    iam.delete_user_policy(UserName=person.name, PolicyName="own")
    iam.update_group(GroupName="Staff", NewGroupName="Crew")
    read()
    iam.delete_group_policy(GroupName="Crew", PolicyName="read")
    assert is_denied(read)
    arn = iam.create_policy(PolicyName="crew-reads", PolicyDocument=text)["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="Crew", PolicyArn=arn)
    read()
    iam.put_user_permissions_boundary(
        UserName=person.name, PermissionsBoundary=iam.create_policy(
            PolicyName="bound", PolicyDocument=document(allow("s3:List*")))["Policy"]["Arn"])
    assert is_denied(read)
    iam.delete_user_permissions_boundary(UserName=person.name)
    read()
    assert code(iam.delete_group, GroupName="Crew") == "DeleteConflict"
    iam.remove_user_from_group(GroupName="Crew", UserName=person.name)
    assert is_denied(read)
    assert code(iam.remove_user_from_group, GroupName="Crew",
                UserName=person.name) == "NoSuchEntity"
    iam.detach_group_policy(GroupName="Crew", PolicyArn=arn)
    iam.delete_group(GroupName="Crew")
    assert iam.list_groups(PathPrefix="/none/")["Groups"] == []


def test_a_narrow_user_cannot_widen_itself(cloud, account, filled):
    """Each action of IAM on oneself, on others and on what is not there."""
    _, iam, _ = account
    other = Person(cloud, iam)
    narrow = document(allow("s3:GetObject", f"arn:aws:s3:::{filled}/team/*"))
    person = Person(cloud, iam, narrow)
    for target in (person.name, other.name, "no-such-user"):
        for name, call in forms(person.iam, target).items():
            assert code(call) == "AccessDenied", (name, target)
    for name, call in {
        "GetUser": lambda: person.iam.get_user(),
        "CreateAccessKey": lambda: person.iam.create_access_key(),
        "ListAccessKeys": lambda: person.iam.list_access_keys(),
        "DeleteAccessKey": lambda: person.iam.delete_access_key(AccessKeyId=person.pair[0]),
    }.items():
        assert code(call) == "AccessDenied", name
    assert len(iam.list_access_keys(UserName=person.name)["AccessKeyMetadata"]) == 1
    assert iam.list_user_policies(UserName=person.name)["PolicyNames"] == ["own"]
    person.s3.get_object(Bucket=filled, Key="team/a")


def test_the_action_that_is_asked_is_the_one_that_is_done(cloud, account):
    """A right to one action of IAM, on one user, is a right to nothing else."""
    owner, iam, _ = account
    target, other = Person(cloud, iam), Person(cloud, iam)
    mine = forms(iam, target.name)
    for right in mine:
        arn = f"arn:aws:iam::{owner}:user/{target.name}"
        person = Person(cloud, iam, document(allow(f"iam:{right}", arn)))
        for name, call in forms(person.iam, target.name).items():
            if name == right or (right, name) == ("UpdateUser", "UpdateUser"):
                continue
            assert code(call) == "AccessDenied", (right, name)
        assert code(forms(person.iam, other.name)[right]) == "AccessDenied", right
        iam.delete_access_key(UserName=person.name, AccessKeyId=person.pair[0])
        iam.delete_user_policy(UserName=person.name, PolicyName="own")
        iam.delete_user(UserName=person.name)


def test_managed_policies_have_tags(cloud, account):
    owner, iam, _ = account
    text = document(allow("s3:GetObject"))
    tags = [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": "1"}]
    arn = iam.create_policy(PolicyName="Tagged", PolicyDocument=text, Tags=tags)["Policy"]["Arn"]
    got = lambda: {t["Key"]: t["Value"] for t in iam.list_policy_tags(PolicyArn=arn)["Tags"]}
    assert got() == {"team": "a", "cost": "1"}
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "TEAM", "Value": "b"}])
    assert got() == {"TEAM": "b", "cost": "1"}
    iam.untag_policy(PolicyArn=arn, TagKeys=["cost", "none"])
    assert iam.get_policy(PolicyArn=arn)["Policy"]["Tags"] == [{"Key": "TEAM", "Value": "b"}]
    # The policy's own tag decides.
    person = Person(cloud, iam, document(
        {**allow("iam:UntagPolicy", "*"),
         "Condition": {"StringEquals": {"aws:ResourceTag/TEAM": "c"}}}))
    own = person.iam
    assert code(own.untag_policy, PolicyArn=arn, TagKeys=["TEAM"]) == "AccessDenied"
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "TEAM", "Value": "c"}])
    own.untag_policy(PolicyArn=arn, TagKeys=["TEAM"])
    assert got() == {}
    iam.delete_policy(PolicyArn=arn)
    reserved = [{"Key": "aws:team", "Value": "a"}]
    assert code(iam.tag_user, UserName=person.name, Tags=reserved) == "InvalidInput"
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    assert code(iam.create_user, UserName="twice", Tags=twice) == "InvalidInput"


def test_who_uses_a_policy_is_listed_in_pages(cloud, account):
    owner, iam, _ = account
    text = document(allow("s3:GetObject"))
    arn = iam.create_policy(PolicyName="Used", PolicyDocument=text)["Policy"]["Arn"]
    for name in ("used-1", "used-2", "used-3"):
        iam.create_user(UserName=name, Path="/used/")
    iam.attach_user_policy(UserName="used-1", PolicyArn=arn)
    iam.attach_user_policy(UserName="used-2", PolicyArn=arn)
    iam.put_user_permissions_boundary(UserName="used-3", PermissionsBoundary=arn)
    iam.create_group(GroupName="used")
    iam.attach_group_policy(GroupName="used", PolicyArn=arn)
    pages = iam.get_paginator("list_entities_for_policy")

    def users(**more):
        found = pages.paginate(PolicyArn=arn, PaginationConfig={"PageSize": 1}, **more)
        return [one["UserName"] for page in found for one in page["PolicyUsers"]]

    assert users() == ["used-1", "used-2", "used-3"]
    assert users(PolicyUsageFilter="PermissionsPolicy") == ["used-1", "used-2"]
    assert users(PolicyUsageFilter="PermissionsBoundary") == ["used-3"]
    assert users(EntityFilter="Group") == [] and users(PathPrefix="/other/") == []
    groups = iam.list_entities_for_policy(PolicyArn=arn, EntityFilter="Group")["PolicyGroups"]
    assert [one["GroupName"] for one in groups] == ["used"]


def test_a_user_may_administer_only_what_a_policy_says(cloud, account):
    owner, iam, _ = account
    policy = document(
        allow("iam:*", f"arn:aws:iam::{owner}:user/team/*"),
        deny("iam:*AccessKey", "*"))
    person = Person(cloud, iam, policy)
    person.iam.create_user(UserName="led", Path="/team/")
    assert code(person.iam.create_user, UserName="led-not", Path="/") == "AccessDenied"
    # Neither out of what may be administered, nor into it.
    assert code(person.iam.update_user, UserName="led", NewPath="/") == "AccessDenied"
    assert code(person.iam.update_user, UserName=person.name, NewPath="/team/") == "AccessDenied"
    assert code(person.iam.create_access_key, UserName="led") == "AccessDenied"
    person.iam.put_user_policy(
        UserName="led", PolicyName="p", PolicyDocument=document(allow("s3:ListAllMyBuckets")))


def test_a_key_of_somebody_else_is_not_there(cloud, account):
    _, iam, _ = account
    one, other = Person(cloud, iam), Person(cloud, iam)
    for user, key in ((one.name, other.pair[0]), (one.name, cloud.access_key)):
        assert code(iam.delete_access_key, UserName=user, AccessKeyId=key) == "NoSuchEntity"
        assert code(iam.update_access_key, UserName=user, AccessKeyId=key,
                    Status="Inactive") == "NoSuchEntity"
    # The cloud's operator is another account.
    assert code(iam.delete_access_key, AccessKeyId=cloud.access_key) == "NoSuchEntity"
    own = iam_for(cloud)
    assert code(own.delete_access_key, AccessKeyId=cloud.access_key) == "UnmodifiableEntity"


def post(server, fields, *, service="iam", region=None, key=None, secret=None, path="/-/iam",
         body=None, headers=None, payload=None):
    """A form as it is, and how it is answered."""
    import hashlib
    body = urllib.parse.urlencode(fields).encode() if body is None else body
    host = server.endpoint.split("//")[1]
    client = Client(host, region or server.region, key or server.access_key,
                    secret or server.secret_key, service=service)
    digest = payload or hashlib.sha256(body).hexdigest()
    signed = client.headers("POST", path, headers=headers, payload=digest)
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("POST", path, body, {
        **signed, "content-type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


LIST = {"Action": "ListUsers", "Version": "2010-05-08"}


def test_a_signature_for_one_service_is_good_for_no_other(cloud, account):
    assert post(cloud, LIST)[0] == 200
    assert post(cloud, LIST, region="us-east-1")[0] == 200
    for service in ("s3", "sts", "dhow-admin", "IAM", ""):
        status, text = post(cloud, LIST, service=service)
        assert (status, "IncompleteSignature" in text) == (403, True), service
    host = cloud.endpoint.split("//")[1]
    for service in ("iam", "sts"):
        client = Client(host, cloud.region, cloud.access_key, cloud.secret_key, service=service)
        status, _, text = client.request("GET", "/")
        assert (status, b"AuthorizationHeaderMalformed" in text) == (400, True), service
        admin = cloud.info["admin"].split("//")[1]
        client = Client(admin, cloud.region, cloud.access_key, cloud.secret_key, service=service)
        assert client.request("GET", "/-/admin/v1/accounts")[0] == 403, service


def test_what_is_not_proven_is_refused(cloud, account):
    name = "forged"
    make = {"Action": "CreateUser", "Version": "2010-05-08", "UserName": name}
    for how in (
        {"secret": "x" * 40}, {"key": "DHOW" + "B" * 16}, {"region": "eu-somewhere-9"},
        {"payload": "UNSIGNED-PAYLOAD"}, {"payload": "0" * 64},
        {"headers": {"x-amz-security-token": "token"}},
    ):
        status, text = post(cloud, make, **how)
        assert status == 403, (how, text)
    host = cloud.endpoint.split("//")[1]
    body = urllib.parse.urlencode(make)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for headers in ({}, {"authorization": ""}, {"authorization": "AWS x:y"},
                    {"authorization": f"AWS4-HMAC-SHA256 Credential={cloud.access_key}"}):
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("POST", "/-/iam", body, {**form, **headers})
        assert connection.getresponse().status == 403, headers
    assert code(iam_for(cloud).get_user, UserName=name) == "NoSuchEntity"


def test_forms_are_read_strictly(cloud, account):
    _, iam, _ = account
    make = {"Action": "CreateUser", "UserName": "strict"}
    for more in ({"PolicyDocument": "{}"}, {"Password": "x"}, {"username": "y"}, {"Tags.1.Key": "k"},
                 {"Version": "2011-06-15"}, {"Tags.member.1.Key": "k"}, {"AccountId": "1"}):
        status, text = post(cloud, {**make, **more})
        assert (status, "ValidationError" in text) == (400, True), more
    for action in ("", "createuser", "CreateLoginProfile", "ImportUsers", "../CreateUser"):
        status, text = post(cloud, {**make, "Action": action})
        assert status == 400 and ("InvalidAction" in text or "ValidationError" in text), action
    twice = b"Action=CreateUser&UserName=strict&UserName=other"
    assert post(cloud, {}, body=twice)[0] == 400
    assert post(cloud, {}, body=b"x=" + b"a" * (200 << 10))[0] == 413
    assert code(iam_for(cloud).get_user, UserName="strict") == "NoSuchEntity"


def test_a_change_is_done_once(cloud, account):
    """A form that is sent again as it was signed does nothing."""
    import datetime
    import hashlib
    host = cloud.endpoint.split("//")[1]
    body = urllib.parse.urlencode({"Action": "CreateUser", "UserName": "once"}).encode()
    client = Client(host, cloud.region, cloud.access_key, cloud.secret_key, service="iam")
    # Clients that ask for the same twice in a second make the same signature.
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=10)
    signed = client.headers("POST", "/-/iam", payload=hashlib.sha256(body).hexdigest(), now=now)
    answers = []
    for _ in range(2):
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("POST", "/-/iam", body, signed)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read().decode()))
    assert answers[0][0] == 200 and "Throttling" in answers[1][1], answers
    iam_for(cloud).delete_user(UserName="once")


def test_secrets_are_shown_once(cloud, account):
    _, iam, _ = account
    person = Person(cloud, iam, document(allow("*")))
    said = []
    for call in (lambda: iam.get_user(UserName=person.name), iam.list_users,
                 lambda: iam.list_access_keys(UserName=person.name), person.iam.get_user,
                 lambda: cloud.cli("key", "list", "--json").stdout,
                 lambda: cloud.cli("audit", "list", "--json", check=False).stdout):
        said.append(str(call()))
    assert person.pair[0] in "".join(said)
    assert person.pair[1] not in "".join(said) and person.pair[1] not in cloud.log_text()


def test_the_admin_api_takes_no_users_key(cloud, account):
    person = Person(cloud, iam_for(cloud), document(allow("*")))
    admin = cloud.info["admin"].split("//")[1]
    client = Client(admin, cloud.region, *person.pair)
    for method, path in (("GET", "accounts"), ("GET", "keys"), ("GET", "buckets"),
                         ("POST", "accounts"), ("GET", "openapi.json")):
        status, _, text = client.request(method, f"/-/admin/v1/{path}")
        assert status == 403 and b"keys of accounts only" in text, (method, path)


def test_aws_cli_manages_users(cloud, account, tmp_path):
    env = {**os.environ, "AWS_ACCESS_KEY_ID": cloud.access_key,
           "AWS_SECRET_ACCESS_KEY": cloud.secret_key, "AWS_DEFAULT_REGION": cloud.region,
           "AWS_ENDPOINT_URL_IAM": f"{cloud.endpoint}/-/iam"}

    def aws(*args):
        done = subprocess.run(["aws", "iam", *args, "--output", "json"], env=env,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "{}")

    assert aws("create-user", "--user-name", "cli")["User"]["UserName"] == "cli"
    policy = tmp_path / "policy.json"
    policy.write_text(document(allow("s3:ListAllMyBuckets")))
    aws("put-user-policy", "--user-name", "cli", "--policy-name", "p",
        "--policy-document", f"file://{policy}")
    shown = aws("get-user-policy", "--user-name", "cli", "--policy-name", "p")
    assert shown["PolicyDocument"] == json.loads(policy.read_text())
    aws("delete-user-policy", "--user-name", "cli", "--policy-name", "p")
    aws("delete-user", "--user-name", "cli")


def test_keys_of_auditors_manage_no_keys_and_no_users(cloud):
    """They keep no data, and the cloud's operator looks after their keys."""
    auditor = cloud.cli_json("account", "create", "looks-only", "--auditor", "--json")["id"]
    keys = [cloud.cli_json("key", "create", "--account", auditor, "--json") for _ in range(2)]
    iam = iam_for(cloud, keys[0]["access_key"], keys[0]["secret_key"])
    other = keys[1]["access_key"]
    assert code(iam.create_access_key) == "AccessDenied"
    assert code(iam.list_access_keys) == "AccessDenied"
    assert code(iam.delete_access_key, AccessKeyId=other) == "AccessDenied"
    assert code(iam.create_user, UserName="x") == "AccessDenied"
    assert code(iam.list_users) == "AccessDenied"


def test_a_plain_key_leaves_the_key_that_administers_the_account_alone(cloud):
    account = cloud.cli_json("account", "create", "two-kinds-of-keys", "--json")["id"]
    admin = cloud.cli_json("key", "create", "--account", account, "--admin", "--json")
    plain = cloud.cli_json("key", "create", "--account", account, "--json")
    iam = iam_for(cloud, plain["access_key"], plain["secret_key"])
    of_admin = {"AccessKeyId": admin["access_key"]}
    assert code(iam.update_access_key, Status="Inactive", **of_admin) == "AccessDenied"
    assert code(iam.delete_access_key, **of_admin) == "AccessDenied"
    by_admin = iam_for(cloud, admin["access_key"], admin["secret_key"])
    of_plain = {"AccessKeyId": plain["access_key"]}
    by_admin.update_access_key(Status="Inactive", **of_plain)
    by_admin.delete_access_key(**of_plain)


def test_no_tag_is_decided_about_and_another_one_kept(cloud, account):
    """Keys of tags have no case: of two that differ in nothing else a policy would see one."""
    number, iam, root = account
    pair = lambda *values: [{"Key": key, "Value": value} for key, value in values]
    dev, both = pair(("dept", "dev")), pair(("Dept", "dev"), ("dept", "ops"))
    given = {"StringEquals": {"aws:RequestTag/dept": "dev"}}
    root.create_bucket(Bucket="tags-of-two-cases")
    iam.create_policy(PolicyName="two-cases", PolicyDocument=document(allow("s3:GetObject")))
    arn = f"arn:aws:iam::{number}:policy/two-cases"
    tagging = ["iam:TagUser", "iam:TagPolicy", "s3:PutBucketTagging"]
    for policy in (document(allow(tagging, Condition=given)),
                   document(allow(tagging), deny(tagging, Condition={
                       "StringEquals": {"aws:RequestTag/dept": "ops"}}))):
        person = Person(cloud, iam, policy)
        person.iam.tag_user(UserName=person.name, Tags=dev)
        for tags in (both, both[::-1]):
            for call, of in ((person.iam.tag_user, {"UserName": person.name}),
                             (person.iam.tag_policy, {"PolicyArn": arn})):
                assert code(call, **of, Tags=tags) == "AccessDenied"
            # S3 keeps both of a bucket: no policy allows by either of them.
            assert code(person.s3.put_bucket_tagging, Bucket="tags-of-two-cases",
                        Tagging={"TagSet": tags}) == "AccessDenied"
        assert iam.list_user_tags(UserName=person.name)["Tags"] == dev
    for call, of in ((iam.tag_user, {"UserName": person.name}), (iam.tag_policy, {"PolicyArn": arn})):
        assert code(call, **of, Tags=both) == "InvalidInput"
    assert code(root.get_bucket_tagging, Bucket="tags-of-two-cases") == "NoSuchTagSet"
    root.put_bucket_tagging(Bucket="tags-of-two-cases", Tagging={"TagSet": both})


def test_tags_that_come_with_what_is_new_take_the_right_to_tag(account, cloud):
    number, iam, _ = account
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": number}, "Action": "sts:AssumeRole"}]})
    tags = [{"Key": "dept", "Value": "ops"}]
    calls = [("create_user", {"UserName": "born-tagged"}),
             ("create_role", {"RoleName": "born-tagged", "AssumeRolePolicyDocument": trust}),
             ("create_policy", {"PolicyName": "born-tagged",
                                "PolicyDocument": document(allow("s3:GetObject"))})]
    for policy in (document(allow("iam:Create*")), document(allow("iam:*"), deny("iam:Tag*"))):
        person = Person(cloud, iam, policy)
        for name, of in calls:
            assert code(getattr(person.iam, name), **of, Tags=tags) == "AccessDenied", name
    person.put(document(allow(["iam:Create*", "iam:Tag*"])))
    for name, of in calls:
        getattr(person.iam, name)(**of, Tags=tags)
