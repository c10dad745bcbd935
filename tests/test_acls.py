"""Access control lists, the three modes of object ownership, and what public access is refused."""

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import client_for
from test_users import Person, allow, document, iam_for

GROUPS = "http://acs.amazonaws.com/groups/"
ALL_USERS = GROUPS + "global/AllUsers"
AUTHENTICATED = GROUPS + "global/AuthenticatedUsers"
LOG_DELIVERY = GROUPS + "s3/LogDelivery"
NONE = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)
_names = iter(range(10**6))


def code(call, *args, **kwargs):
    """The error's code; `None` where the call succeeds. HEAD says nothing but its status."""
    try:
        call(*args, **kwargs)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


DENIED = "AccessDenied"
OFF = "AccessControlListNotSupported"


class Account:
    """A customer's account, with clients of its root and of a user who has no policy."""

    def __init__(self, cloud, name):
        self.cloud, self.id = cloud, cloud.cli_json("account", "create", name, "--json")["id"]
        key = cloud.cli_json("key", "create", "--account", self.id, "--json")
        pair = (key["access_key"], key["secret_key"])
        self.s3, self.iam = client_for(cloud, *pair), iam_for(cloud, *pair)
        self.canonical = self.s3.list_buckets()["Owner"]["ID"]
        self.user = Person(cloud, self.iam).s3


@pytest.fixture(scope="module")
def us(cloud):
    return Account(cloud, "lists-of-us")


@pytest.fixture(scope="module")
def them(cloud):
    return Account(cloud, "lists-of-them")


def made(account, ownership="ObjectWriter", block=None, **more):
    name = f"lists-{next(_names)}"
    account.s3.create_bucket(Bucket=name, ObjectOwnership=ownership, **more)
    account.s3.put_public_access_block(
        Bucket=name, PublicAccessBlockConfiguration=NONE | (block or {}))
    return name


def unsigned(cloud, path, method="GET", body=None, headers=None):
    request = urllib.request.Request(
        f"{cloud.endpoint}/{path}", method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def policy(bucket, principal, *actions):
    arn = f"arn:aws:s3:::{bucket}"
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": principal, "Action": list(actions),
         "Resource": [arn, f"{arn}/*"] if "s3:ListBucket" in actions else f"{arn}/*"}]})


def grants(acl):
    return [(g["Grantee"].get("ID") or g["Grantee"]["URI"], g["Permission"])
            for g in acl["Grants"]]


# ---- canonical ids


def test_a_policy_names_accounts_by_their_canonical_ids(us, them):
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"k")
    policy = lambda who: json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"CanonicalUser": who}, "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*"}]})
    put = lambda who: us.s3.put_bucket_policy(Bucket=bucket, Policy=policy(who))
    get = lambda s3: code(s3.get_object, Bucket=bucket, Key="k")
    assert get(them.s3) == DENIED
    for nobody in ("0" * 64, them.id, them.canonical[:63]):
        assert code(put, nobody) == "MalformedPolicy"
    put(them.canonical)
    assert us.s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy(them.canonical)
    # As the account by its number: its users need a policy of their own.
    assert (get(them.s3), get(them.user)) == (None, DENIED)
    put(us.canonical)
    assert (get(them.s3), get(us.user)) == (DENIED, DENIED)


def test_an_account_has_a_canonical_id_that_says_nothing_of_its_number(us, them):
    assert re.fullmatch("[0-9a-f]{64}", us.canonical)
    assert us.canonical != them.canonical
    shown = us.cloud.cli_json("account", "access", us.id, "--json")
    assert shown["canonical"] == us.canonical
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    upload = us.s3.create_multipart_upload(Bucket=bucket, Key="m")
    listed = us.s3.list_parts(Bucket=bucket, Key="m", UploadId=upload["UploadId"])
    seen = [
        us.s3.get_bucket_acl(Bucket=bucket)["Owner"],
        us.s3.get_object_acl(Bucket=bucket, Key="k")["Owner"],
        us.s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"],
        us.s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"],
        us.s3.list_object_versions(Bucket=bucket)["Versions"][0]["Owner"],
        us.s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["Owner"],
        listed["Owner"], listed["Initiator"],
    ]
    assert seen == [{"ID": us.canonical}] * len(seen)


# ---- where lists play no part


def writes(s3, bucket, **acl):
    """Each way to write an object, with a list."""
    source = {"Bucket": bucket, "Key": "k"}
    return {
        "PutObject": lambda: s3.put_object(Bucket=bucket, Key="n", Body=b"x", **acl),
        "CopyObject": lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource=source, **acl),
        "CreateMultipartUpload": lambda: s3.create_multipart_upload(
            Bucket=bucket, Key="m", **acl),
        "PutObjectAcl": lambda: s3.put_object_acl(Bucket=bucket, Key="k", **acl),
        "PutBucketAcl": lambda: s3.put_bucket_acl(Bucket=bucket, **acl),
    }


@pytest.mark.parametrize("acl,error", [
    ({"ACL": "private"}, None), ({"ACL": "public-read"}, OFF),
    ({"ACL": "authenticated-read"}, OFF), ({"ACL": "bucket-owner-read"}, OFF),
    ({"GrantRead": f'uri="{ALL_USERS}"'}, OFF), ({"GrantFullControl": 'id="THEM"'}, OFF),
    ({"ACL": "bucket-owner-full-control"}, None), ({"GrantFullControl": 'id="US"'}, None),
])
def test_an_enforced_bucket_takes_no_list_but_that_of_its_owner(us, them, acl, error):
    bucket = f"lists-{next(_names)}"
    us.s3.create_bucket(Bucket=bucket)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    acl = {name: value.replace("US", us.canonical).replace("THEM", them.canonical)
           if "id=" in value else value for name, value in acl.items()}
    for name, call in writes(us.s3, bucket, **acl).items():
        assert code(call) == error, name
    for acl in (us.s3.get_bucket_acl(Bucket=bucket),
                us.s3.get_object_acl(Bucket=bucket, Key="k")):
        assert grants(acl) == [(us.canonical, "FULL_CONTROL")]
    listed = [o["Key"] for o in us.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == (["k"] if error else ["c", "k", "n"])


def test_a_bucket_begins_without_lists(us):
    name = f"lists-{next(_names)}"
    owned = "InvalidBucketAclWithObjectOwnership"
    assert code(us.s3.create_bucket, Bucket=name, ACL="public-read") == owned
    assert code(us.s3.create_bucket, Bucket=name, GrantRead=f'uri="{AUTHENTICATED}"') == owned
    assert code(us.s3.create_bucket, Bucket=name, ObjectOwnership="Nobody") == "InvalidArgument"
    # All public access is refused at first.
    assert code(us.s3.create_bucket, Bucket=name, ACL="public-read",
                ObjectOwnership="ObjectWriter") == DENIED
    us.s3.create_bucket(Bucket=name, ACL="private")
    rules = us.s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def own(s3, bucket, mode):
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": mode}]})


def test_what_is_stored_counts_again_once_lists_are_on(us, them):
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x",
                     GrantRead=f"id={them.canonical}")
    reading = {"Bucket": bucket, "Key": "k"}
    assert code(them.s3.get_object, **reading) is None
    us.s3.put_bucket_acl(Bucket=bucket, GrantRead=f"id={them.canonical}")
    refused = "InvalidBucketAclWithObjectOwnership"
    assert code(own, us.s3, bucket, "BucketOwnerEnforced") == refused
    us.s3.put_bucket_acl(Bucket=bucket, ACL="private")
    own(us.s3, bucket, "BucketOwnerEnforced")
    assert code(them.s3.get_object, **reading) == DENIED
    assert grants(us.s3.get_object_acl(**reading)) == [(us.canonical, "FULL_CONTROL")]
    own(us.s3, bucket, "BucketOwnerPreferred")
    assert code(them.s3.get_object, **reading) is None
    us.s3.delete_bucket_ownership_controls(Bucket=bucket)
    missing = "OwnershipControlsNotFoundError"
    assert code(us.s3.get_bucket_ownership_controls, Bucket=bucket) == missing
    assert code(them.s3.get_object, **reading) is None


# ---- who owns what


@pytest.mark.parametrize("mode,canned,owner", [
    ("ObjectWriter", None, "them"), ("ObjectWriter", "bucket-owner-full-control", "them"),
    ("BucketOwnerPreferred", None, "them"),
    ("BucketOwnerPreferred", "bucket-owner-full-control", "us"),
    ("BucketOwnerEnforced", None, "us"),
])
def test_who_owns_an_object_of_another_account(us, them, mode, canned, owner):
    bucket = made(us, mode)
    us.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        bucket, {"AWS": them.id}, "s3:PutObject", "s3:PutObjectAcl", "s3:GetObject"))
    acl = {"ACL": canned} if canned else {}
    them.s3.put_object(Bucket=bucket, Key="put", Body=b"x", **acl)
    upload = them.s3.create_multipart_upload(Bucket=bucket, Key="parts", **acl)["UploadId"]
    part = them.s3.upload_part(
        Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    them.s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    us.s3.put_object(Bucket=bucket, Key="source", Body=b"x")
    them.s3.copy_object(Bucket=bucket, Key="copy", **acl,
                        CopySource={"Bucket": made_public(us), "Key": "k"})
    theirs = owner == "them"
    for key in ("put", "parts", "copy"):
        reading = {"Bucket": bucket, "Key": key}
        # Who owns an object reads its list; the policy does not open what is another's.
        shown = (them if theirs else us).s3.get_object_acl(**reading)
        assert shown["Owner"]["ID"] == (them if theirs else us).canonical, key
        locked = theirs and not canned
        assert code(us.s3.get_object, **reading) == (DENIED if locked else None), key
        assert code(them.s3.get_object, **reading) is None, key
        expected = [(us.canonical, "FULL_CONTROL")] if not theirs else [
            (them.canonical, "FULL_CONTROL"),
            *([(us.canonical, "FULL_CONTROL")] if canned else [])]
        assert grants(shown) == expected, key
        # The bucket's owner may always delete.
        assert code(us.s3.delete_object, **reading) is None


def made_public(account):
    bucket = made(account)
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    return bucket


def test_a_policy_of_the_bucket_does_not_open_what_another_owns(us, them, cloud):
    bucket = made(us)
    us.s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, "*", "s3:GetObject"))
    us.s3.put_bucket_acl(Bucket=bucket, GrantWrite=f"id={them.canonical}")
    us.s3.put_object(Bucket=bucket, Key="ours", Body=b"x")
    them.s3.put_object(Bucket=bucket, Key="theirs", Body=b"x")
    assert unsigned(cloud, f"{bucket}/ours") == 200
    assert unsigned(cloud, f"{bucket}/theirs") == 403
    them.s3.put_object_acl(Bucket=bucket, Key="theirs", ACL="public-read")
    assert unsigned(cloud, f"{bucket}/theirs") == 200


def test_by_a_list_nobody_overwrites_or_deletes_what_another_owns(us, them, cloud):
    bucket = made(us, ACL="private")
    us.s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    us.s3.put_object(Bucket=bucket, Key="ours", Body=b"ours")
    them.s3.put_object(Bucket=bucket, Key="theirs", Body=b"theirs")
    assert unsigned(cloud, f"{bucket}/nobodys", "PUT", b"x") == 200
    for key in ("ours", "nobodys"):
        assert code(them.s3.put_object, Bucket=bucket, Key=key, Body=b"x") == DENIED
        assert code(them.s3.delete_object, Bucket=bucket, Key=key) == DENIED
        copied = code(them.s3.copy_object, Bucket=bucket, Key=key,
                      CopySource={"Bucket": bucket, "Key": "theirs"})
        assert copied == DENIED
        upload = them.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        part = them.s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x")
        done = code(them.s3.complete_multipart_upload, Bucket=bucket, Key=key, UploadId=upload,
                    MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        assert done == DENIED
    answer = them.s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "ours"}, {"Key": "theirs"}]})
    assert [e["Code"] for e in answer["Errors"]] == [DENIED]
    assert [d["Key"] for d in answer["Deleted"]] == ["theirs"]
    them.s3.put_object(Bucket=bucket, Key="theirs", Body=b"1")
    them.s3.put_object(Bucket=bucket, Key="theirs", Body=b"2")
    for key in ("ours", "theirs", "nobodys"):
        for method, body in (("PUT", b"x"), ("DELETE", None)):
            assert unsigned(cloud, f"{bucket}/{key}", method, body) == 403, (key, method)
    assert us.s3.get_object(Bucket=bucket, Key="ours")["Body"].read() == b"ours"
    # What nobody owns, nobody reads; the bucket's owner deletes it.
    assert code(us.s3.get_object, Bucket=bucket, Key="nobodys") == DENIED
    us.s3.delete_object(Bucket=bucket, Key="nobodys")
    # Also a null version below a version counts.
    us.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    us.s3.delete_object(Bucket=bucket, Key="ours")
    us.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert code(them.s3.put_object, Bucket=bucket, Key="ours", Body=b"x") == DENIED


# ---- canned lists, one by one

# Of each canned list: what anybody, another account's root, and a user of the own account without
# a policy may do, of list (the bucket), get (the object), put (a new object), delete (the object),
# acl (read or replace one, and other settings).
CANNED_BUCKET = {
    "private": ("", "", ""),
    "public-read": ("list", "list", "list"),
    # The own account owns the object.
    "public-read-write": ("list put", "list put", "list put delete"),
    "authenticated-read": ("", "list", "list"),
    "aws-exec-read": ("", "", ""),
    "bucket-owner-read": ("", "", ""),
    "bucket-owner-full-control": ("", "", ""),
    "log-delivery-write": ("", "", ""),
}
CANNED_OBJECT = {
    "private": ("", "", ""),
    "public-read": ("get", "get", "get"),
    "public-read-write": ("get", "get", "get"),
    "authenticated-read": ("", "get", "get"),
    "aws-exec-read": ("", "", ""),
    "bucket-owner-read": ("", "", ""),
    "bucket-owner-full-control": ("", "", ""),
}


def may(cloud, bucket, us, them):
    """What each of the three may do."""
    found = []
    new = f"new-{next(_names)}"
    anybody = {
        "list": [("GET", bucket), ("GET", f"{bucket}?list-type=2"), ("GET", f"{bucket}?versions"),
                 ("GET", f"{bucket}?uploads"), ("HEAD", bucket)],
        "get": [("GET", f"{bucket}/k"), ("HEAD", f"{bucket}/k")],
        "put": [("PUT", f"{bucket}/{new}")],
        "acl": [("GET", f"{bucket}?acl"), ("GET", f"{bucket}/k?acl"), ("PUT", f"{bucket}?acl"),
                ("PUT", f"{bucket}/k?acl"), ("GET", f"{bucket}/k?tagging"),
                ("GET", f"{bucket}?policy"), ("DELETE", bucket)],
        "delete": [("DELETE", f"{bucket}/k")],
    }
    for name, attempts in anybody.items():
        headers = {"x-amz-acl": "private"} if name == "acl" else {}
        statuses = {unsigned(cloud, path, method, b"x" if method == "PUT" and name == "put"
                             else None, headers if method == "PUT" else {})
                    for method, path in attempts}
        assert len(statuses) == 1 and statuses <= {200, 204, 403}, (name, statuses)
        if statuses != {403}:
            found.append((0, name))
    for who, s3 in ((1, them.s3), (2, us.user)):
        signed = {
            "list": [lambda: s3.list_objects(Bucket=bucket),
                     lambda: s3.list_objects_v2(Bucket=bucket),
                     lambda: s3.list_object_versions(Bucket=bucket),
                     lambda: s3.list_multipart_uploads(Bucket=bucket),
                     lambda: s3.head_bucket(Bucket=bucket)],
            "get": [lambda: s3.get_object(Bucket=bucket, Key="k"),
                    lambda: s3.head_object(Bucket=bucket, Key="k")],
            "put": [lambda: s3.put_object(Bucket=bucket, Key=f"{new}-{who}", Body=b"x")],
            "acl": [lambda: s3.get_bucket_acl(Bucket=bucket),
                    lambda: s3.get_object_acl(Bucket=bucket, Key="k"),
                    lambda: s3.put_bucket_acl(Bucket=bucket, ACL="private"),
                    lambda: s3.put_object_acl(Bucket=bucket, Key="k", ACL="private"),
                    lambda: s3.get_object_tagging(Bucket=bucket, Key="k"),
                    lambda: s3.get_bucket_policy(Bucket=bucket),
                    lambda: s3.delete_bucket(Bucket=bucket)],
            "delete": [lambda: s3.delete_object(Bucket=bucket, Key="k")],
        }
        for name, attempts in signed.items():
            codes = {code(call) for call in attempts}
            assert codes == {None} or codes <= {DENIED, "403"}, (who, name, codes)
            if codes == {None}:
                found.append((who, name))
    return {tuple(one) for one in found}


def expected(row):
    return {(who, what) for who, words in enumerate(row) for what in words.split()}


@pytest.mark.parametrize("canned", CANNED_BUCKET)
def test_each_canned_list_of_a_bucket_grants_what_it_says_and_nothing_else(
        cloud, us, them, canned):
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    us.s3.put_bucket_acl(Bucket=bucket, ACL=canned)
    assert may(cloud, bucket, us, them) == expected(CANNED_BUCKET[canned])


@pytest.mark.parametrize("canned", CANNED_OBJECT)
def test_each_canned_list_of_an_object_grants_what_it_says_and_nothing_else(
        cloud, us, them, canned):
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=canned)
    assert may(cloud, bucket, us, them) == expected(CANNED_OBJECT[canned])


def test_canned_lists_are_shown_as_grants(us):
    bucket = made(us)
    mine = (us.canonical, "FULL_CONTROL")
    for canned, more in (
        ("private", []), ("public-read", [(ALL_USERS, "READ")]),
        ("public-read-write", [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")]),
        ("authenticated-read", [(AUTHENTICATED, "READ")]),
        ("log-delivery-write", [(LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")]),
    ):
        us.s3.put_bucket_acl(Bucket=bucket, ACL=canned)
        acl = us.s3.get_bucket_acl(Bucket=bucket)
        assert grants(acl) == [mine, *more], canned
        assert acl["Grants"][0]["Grantee"]["Type"] == "CanonicalUser"


# ---- grants, one by one


@pytest.mark.parametrize("permission,granted", [
    ("READ", {"list"}), ("WRITE", {"put"}), ("READ_ACP", {"get acl"}), ("WRITE_ACP", {"put acl"}),
    ("FULL_CONTROL", {"list", "put", "get acl", "put acl"}),
])
def test_a_grant_of_a_bucket_is_for_the_account_and_not_for_its_users(us, them, permission,
                                                                     granted):
    bucket = made(us)
    grantee = {"ID": them.canonical, "Type": "CanonicalUser"}
    acl = us.s3.get_bucket_acl(Bucket=bucket)
    owner, list_ = acl["Owner"], acl["Grants"] + [{"Grantee": grantee, "Permission": permission}]
    us.s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy={"Owner": owner, "Grants": list_})
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    again = {"Owner": owner, "Grants": list_}

    def calls(s3):
        return {
            "list": lambda: s3.list_objects_v2(Bucket=bucket),
            "put": lambda: s3.put_object(Bucket=bucket, Key="new", Body=b"x"),
            "get acl": lambda: s3.get_bucket_acl(Bucket=bucket),
            "put acl": lambda: s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=again),
            "get": lambda: s3.get_object(Bucket=bucket, Key="k"),
            "policy": lambda: s3.put_bucket_policy(
                Bucket=bucket, Policy=policy(bucket, "*", "s3:GetObject")),
        }

    for name, call in calls(them.s3).items():
        assert code(call) == (None if name in granted else DENIED), name
    for name, call in calls(them.user).items():
        assert code(call) == DENIED, name
    # A user whom the own account lets do it may, as far as the account may.
    person = Person(them.cloud, them.iam, document(allow("s3:*")))
    for name, call in calls(person.s3).items():
        assert code(call) == (None if name in granted else DENIED), name


@pytest.mark.parametrize("permission,granted", [
    ("READ", {"get"}), ("WRITE", set()), ("READ_ACP", {"get acl"}), ("WRITE_ACP", {"put acl"}),
    ("FULL_CONTROL", {"get", "get acl", "put acl"}),
])
def test_a_grant_of_an_object(us, them, permission, granted):
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    owner = us.s3.get_object_acl(Bucket=bucket, Key="k")["Owner"]
    grantee = {"ID": them.canonical, "Type": "CanonicalUser"}
    acl = {"Owner": owner, "Grants": [{"Grantee": grantee, "Permission": permission}]}
    us.s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=acl)
    assert grants(us.s3.get_object_acl(Bucket=bucket, Key="k")) == [(them.canonical, permission)]
    calls = {
        "get": lambda: them.s3.get_object(Bucket=bucket, Key="k"),
        "get acl": lambda: them.s3.get_object_acl(Bucket=bucket, Key="k"),
        "put acl": lambda: them.s3.put_object_acl(
            Bucket=bucket, Key="k", AccessControlPolicy=acl),
        "attributes": lambda: them.s3.get_object_attributes(
            Bucket=bucket, Key="k", ObjectAttributes=["ETag"]),
        "tagging": lambda: them.s3.get_object_tagging(Bucket=bucket, Key="k"),
        "put": lambda: them.s3.put_object(Bucket=bucket, Key="k", Body=b"x"),
        "delete": lambda: them.s3.delete_object(Bucket=bucket, Key="k"),
    }
    for name, call in calls.items():
        assert code(call) == (None if name in granted else DENIED), name
    # Writing the object anew takes its list away.
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert code(them.s3.get_object, Bucket=bucket, Key="k") == DENIED


def test_each_version_has_a_list_of_its_own(cloud, us, them):
    bucket = made(us)
    us.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = us.s3.put_object(Bucket=bucket, Key="k", Body=b"1", ACL="public-read")["VersionId"]
    second = us.s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    assert unsigned(cloud, f"{bucket}/k") == 403
    assert unsigned(cloud, f"{bucket}/k?versionId={first}") == 200
    us.s3.put_object_acl(Bucket=bucket, Key="k", VersionId=first, ACL="private")
    answer = us.s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-version-id"] == second
    assert unsigned(cloud, f"{bucket}/k") == 200
    assert unsigned(cloud, f"{bucket}/k?versionId={first}") == 403
    # A list permits a version as it permits the key; a policy asks for actions of their own.
    us.s3.put_object_acl(Bucket=bucket, Key="k", ACL="private")
    us.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        bucket, {"AWS": them.id}, "s3:GetObject", "s3:GetObjectAcl", "s3:GetObjectAttributes"))
    named = {"Bucket": bucket, "Key": "k", "VersionId": first}
    plain = {"Bucket": bucket, "Key": "k"}
    for call in (them.s3.get_object, them.s3.get_object_acl):
        assert code(call, **plain) is None
        assert code(call, **named) == DENIED
    assert code(them.s3.head_object, **named) == "403"
    assert code(them.s3.get_object_attributes, ObjectAttributes=["ETag"], **named) == DENIED
    assert code(them.s3.get_object_tagging, **named) == DENIED
    for key in ("copied", "parts"):
        there = made(them)
        if key == "copied":
            call = lambda: them.s3.copy_object(Bucket=there, Key="k", CopySource=named)
        else:
            upload = them.s3.create_multipart_upload(Bucket=there, Key="k")["UploadId"]
            call = lambda: them.s3.upload_part_copy(
                Bucket=there, Key="k", UploadId=upload, PartNumber=1, CopySource=named)
        assert code(call) == DENIED, key


# ---- the public access block


@pytest.mark.parametrize("at", ["bucket", "account"])
def test_public_lists_are_refused_and_ignored(cloud, us, at):
    owner = Account(cloud, f"lists-block-{next(_names)}")
    bucket = made(owner)
    owner.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    owner.s3.put_bucket_acl(Bucket=bucket, ACL="public-read")

    def block(switch):
        if at == "bucket":
            owner.s3.put_public_access_block(
                Bucket=bucket, PublicAccessBlockConfiguration=NONE | {switch: True})
        else:
            cloud.cli("account", "access", owner.id, "--block", switch)

    assert unsigned(cloud, f"{bucket}/k") == unsigned(cloud, bucket) == 200
    assert owner.s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": True}
    block("BlockPublicAcls")
    for acl in ({"ACL": "public-read"}, {"ACL": "authenticated-read"},
                {"GrantRead": f'uri="{ALL_USERS}"'}):
        for name, call in writes(owner.s3, bucket, **acl).items():
            with pytest.raises(ClientError) as refused:
                call()
            error = refused.value.response["Error"]
            assert error["Code"] == DENIED, name
            assert "BlockPublicAcls" in error["Message"], (name, error)
    for name, call in writes(owner.s3, bucket, ACL="private").items():
        if name != "PutBucketAcl" and name != "PutObjectAcl":
            assert code(call) is None, name
    # What is stored still counts.
    assert unsigned(cloud, f"{bucket}/k") == unsigned(cloud, bucket) == 200
    block("IgnorePublicAcls")
    assert unsigned(cloud, f"{bucket}/k") == unsigned(cloud, bucket) == 403
    assert us.s3 and code(us.s3.get_object, Bucket=bucket, Key="k") == DENIED
    assert grants(owner.s3.get_bucket_acl(Bucket=bucket)) == [(owner.canonical, "FULL_CONTROL")]
    assert code(owner.s3.get_bucket_policy_status, Bucket=bucket) == "NoSuchBucketPolicy"
    block("RestrictPublicBuckets")
    assert unsigned(cloud, f"{bucket}/k") == unsigned(cloud, bucket) == 200


@pytest.mark.parametrize("switch", [None, *NONE])
def test_who_signs_nothing_lists_only_by_a_grant(cloud, us, switch):
    """Listing versions never falls back to listing, nor to what is public otherwise."""
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    us.s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, "*", "s3:ListBucket"))
    if switch:
        us.s3.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=NONE | {switch: True})
    open_ = 403 if switch == "RestrictPublicBuckets" else 200
    for query, status in (("", open_), ("?list-type=2", open_), ("?versions", 403),
                          ("?uploads", 403), ("?acl", 403), ("?publicAccessBlock", 403),
                          ("?ownershipControls", 403)):
        assert unsigned(cloud, bucket + query) == status, query


def test_what_an_account_refuses_holds_in_all_its_buckets(cloud):
    owner = Account(cloud, f"lists-account-{next(_names)}")
    cloud.cli("account", "access", owner.id, "--block", "all")
    name = f"lists-{next(_names)}"
    cloud.cli("account", "access", owner.id, "--new-ownership", "ObjectWriter",
              "--new-block", "none")
    assert code(owner.s3.create_bucket, Bucket=name, ACL="public-read") == DENIED
    owner.s3.create_bucket(Bucket=name)
    public = policy(name, "*", "s3:GetObject")
    assert code(owner.s3.put_bucket_policy, Bucket=name, Policy=public) == DENIED
    cloud.cli("account", "access", owner.id, "--block", "none")
    owner.s3.put_bucket_policy(Bucket=name, Policy=public)


def test_what_new_buckets_begin_with_is_for_the_account_to_say(cloud):
    owner = Account(cloud, f"lists-new-{next(_names)}")
    shown = cloud.cli_json("account", "access", owner.id, "--new-ownership", "ObjectWriter",
                           "--new-block", "none", "--json")
    assert shown["new_ownership"] == "ObjectWriter"
    name = f"lists-{next(_names)}"
    owner.s3.create_bucket(Bucket=name, ACL="public-read")
    assert unsigned(cloud, name) == 200
    block = owner.s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert block == NONE
    cloud.cli("account", "access", owner.id, "--new-ownership", "region")
    second = f"lists-{next(_names)}"
    owner.s3.create_bucket(Bucket=second)
    rules = owner.s3.get_bucket_ownership_controls(Bucket=second)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert all(owner.s3.get_public_access_block(Bucket=second)[
        "PublicAccessBlockConfiguration"].values())


# ---- what is refused


def test_what_is_no_list_is_refused_with_the_code_of_s3(us, them):
    bucket = made(us)
    us.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    owner = {"ID": us.canonical}
    group = {"URI": ALL_USERS, "Type": "Group"}
    body = {"AccessControlPolicy": {
        "Owner": owner, "Grants": [{"Grantee": group, "Permission": "READ"}]}}
    many = [{"Grantee": group, "Permission": "READ"}] * 101
    nobody = {"ID": "0" * 64, "Type": "CanonicalUser"}
    for arguments, error in (
        ({"ACL": "public-read", "GrantRead": f'uri="{ALL_USERS}"'}, "InvalidRequest"),
        ({"ACL": "private", **body}, "UnexpectedContent"),
        ({"GrantRead": f"id={us.canonical}", **body}, "UnexpectedContent"),
        ({}, "MissingSecurityHeader"),
        ({"ACL": "open"}, "InvalidArgument"),
        ({"GrantRead": "id=1"}, "InvalidArgument"),
        ({"GrantRead": f"id={them.id}"}, "InvalidArgument"),
        ({"GrantRead": "uri=http://example.com"}, "InvalidArgument"),
        ({"GrantRead": "nobody"}, "InvalidArgument"),
        ({"GrantRead": 'emailAddress="a@example.com"'}, "UnresolvableGrantByEmailAddress"),
        ({"AccessControlPolicy": {"Owner": owner, "Grants": many}}, "MalformedACLError"),
        ({"AccessControlPolicy": {"Owner": {"ID": them.canonical}, "Grants": []}}, DENIED),
        ({"AccessControlPolicy": {"Owner": owner, "Grants": [
            {"Grantee": nobody, "Permission": "READ"}]}}, "InvalidArgument"),
        ({"AccessControlPolicy": {"Owner": owner, "Grants": [
            {"Grantee": group, "Permission": "EVERYTHING"}]}}, "MalformedACLError"),
    ):
        assert code(us.s3.put_bucket_acl, Bucket=bucket, **arguments) == error, arguments
        assert code(us.s3.put_object_acl, Bucket=bucket, Key="k", **arguments) == error, arguments
    assert grants(us.s3.get_bucket_acl(Bucket=bucket)) == [(us.canonical, "FULL_CONTROL")]
    assert grants(us.s3.get_object_acl(Bucket=bucket, Key="k")) == [
        (us.canonical, "FULL_CONTROL")]
    put = {"Bucket": bucket, "Key": "n", "Body": b"x"}
    assert code(us.s3.put_object, ACL="log-delivery-write", **put) == "InvalidArgument"
    assert code(us.s3.put_object, ACL="open", **put) == "InvalidArgument"
    assert code(us.s3.head_object, Bucket=bucket, Key="n") == "404"
    assert code(us.s3.get_object_acl, Bucket=bucket, Key="absent") == "NoSuchKey"


def test_a_write_with_a_list_asks_for_the_right_to_set_one(us):
    bucket = made(us)
    arn = f"arn:aws:s3:::{bucket}"
    person = Person(us.cloud, us.iam, document(allow("s3:PutObject", f"{arn}/*")))
    put = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    assert code(person.s3.put_object, ACL="public-read", **put) == DENIED
    assert code(person.s3.put_object, GrantRead=f'uri="{ALL_USERS}"', **put) == DENIED
    assert code(person.s3.put_object, **put) is None
    maker = Person(us.cloud, us.iam, document(allow("s3:CreateBucket")))
    name = f"lists-{next(_names)}"
    assert code(maker.s3.create_bucket, Bucket=name, ObjectOwnership="ObjectWriter") == DENIED
    assert code(maker.s3.create_bucket, Bucket=name, ACL="authenticated-read") == DENIED
    assert code(maker.s3.create_bucket, Bucket=name, ACL="private") is None


def test_a_form_has_a_list_as_well(cloud, us):
    bucket = made(us)
    fields = {"acl": "public-read"}
    form = us.s3.generate_presigned_post(
        bucket, "form", Fields=fields, Conditions=[{"acl": "public-read"}])
    mark = "----lists"
    parts = "".join(
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items())
    parts += (f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
              f"x\r\n--{mark}--\r\n")
    kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    assert unsigned(cloud, bucket, "POST", parts.encode(), kind) == 204
    assert unsigned(cloud, f"{bucket}/form") == 200
    own(us.s3, bucket, "BucketOwnerEnforced")
    assert unsigned(cloud, bucket, "POST", parts.encode(), kind) == 400


def test_lists_outlive_a_restart(own_cloud):
    own_cloud.start()
    s3 = client_for(own_cloud)
    s3.create_bucket(Bucket="kept", ObjectOwnership="BucketOwnerPreferred")
    s3.put_public_access_block(Bucket="kept", PublicAccessBlockConfiguration=NONE)
    s3.put_bucket_acl(Bucket="kept", ACL="public-read")
    s3.put_object(Bucket="kept", Key="k", Body=b"x", ACL="public-read")
    before = s3.get_bucket_acl(Bucket="kept"), s3.get_object_acl(Bucket="kept", Key="k")
    own_cloud.kill()
    own_cloud.start()
    s3 = client_for(own_cloud)
    after = s3.get_bucket_acl(Bucket="kept"), s3.get_object_acl(Bucket="kept", Key="k")
    for one, other in zip(before, after):
        assert one["Grants"] == other["Grants"] and one["Owner"] == other["Owner"]
    assert unsigned(own_cloud, "kept") == unsigned(own_cloud, "kept/k") == 200
