"""Bucket policies, the public access block, CORS and request payment, as clients meet them."""

import base64
import hashlib
import json
import socket
import urllib.error
import urllib.parse
import urllib.request

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from conftest import client_for

ALL = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def code(call, *args, **kwargs):
    """The error's code and status; `None` where the call succeeds."""
    try:
        call(*args, **kwargs)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return error.response["Error"]["Code"], status
    return None


DENIED = ("AccessDenied", 403)
# An answer to HEAD has no body.
HEAD_DENIED = ("403", 403)


def statement(bucket, principal, actions, resource="/*", effect="Allow", **more):
    return {"Effect": effect, "Principal": principal, "Action": actions,
            "Resource": f"arn:aws:s3:::{bucket}{resource}"} | more


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def open_to_public(s3, bucket):
    s3.delete_public_access_block(Bucket=bucket)


@pytest.fixture(scope="session")
def other(cloud):
    """Another account: its number, and a client with its root's key."""
    account = cloud.cli_json("account", "create", "neighbour", "--json")
    key = cloud.cli_json("key", "create", "--account", account["id"], "--json")
    return account["id"], client_for(cloud, key["access_key"], key["secret_key"])


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


def get(url, headers=None, method="GET"):
    """Status, headers (by lower-case name) and body of a request without a signature."""
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, lower(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, lower(error.headers), error.read()


def test_a_policy_is_kept_as_it_was_sent(s3, bucket, other):
    account, _ = other
    assert code(s3.get_bucket_policy, Bucket=bucket) == ("NoSuchBucketPolicy", 404)
    text = policy(statement(bucket, {"AWS": account}, "s3:GetObject"))
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == text
    status = s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]
    assert status == {"IsPublic": False}
    s3.delete_bucket_policy(Bucket=bucket)
    assert code(s3.get_bucket_policy, Bucket=bucket) == ("NoSuchBucketPolicy", 404)
    assert code(s3.get_bucket_policy_status, Bucket=bucket) == ("NoSuchBucketPolicy", 404)
    s3.delete_bucket_policy(Bucket=bucket)


@pytest.mark.parametrize("text,words", [
    ("{}", "Missing required field"),
    ("[]", "first byte"),
    ("{", "valid JSON"),
    (policy(), ""),
    (policy(statement("BUCKET", "*", "s3:Nothing")), "invalid action"),
    (policy(statement("another", "*", "s3:GetObject")), "invalid resource"),
    (policy(statement("BUCKET", {"AWS": "nobody"}, "s3:GetObject")), "nvalid principal"),
    (policy(statement("BUCKET", "*", "s3:GetObject", Condition={"Like": {"s3:prefix": "a"}})),
     "ondition"),
    (policy(statement("BUCKET", "*", "s3:GetObject", Condition={"Null": {"s3:prefix": "true"}})),
     "Conditions do not apply to combination of actions and resources in statement"),
    (policy(statement("BUCKET", "*", "s3:GetObject", Extra=1)), "Unknown field"),
    (policy(statement("BUCKET", "*", "s3:GetObject", "")), "Action does not apply"),
])
def test_a_policy_that_is_none_is_refused_and_changes_nothing(s3, bucket, text, words):
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_policy(Bucket=bucket, Policy=text.replace("BUCKET", bucket))
    error = refused.value.response["Error"]
    assert error["Code"] == "MalformedPolicy", error
    assert words in error["Message"], error
    assert code(s3.get_bucket_policy, Bucket=bucket) == ("NoSuchBucketPolicy", 404)


def test_another_account_may_do_what_the_policy_grants_and_nothing_else(s3, bucket, other):
    account, them = other
    s3.put_object(Bucket=bucket, Key="shared/a", Body=b"a")
    s3.put_object(Bucket=bucket, Key="own/b", Body=b"b")
    reading = {"Bucket": bucket, "Key": "shared/a"}
    assert code(them.get_object, **reading) == DENIED
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, ["s3:GetObject", "s3:PutObject"], "/shared/*")))
    assert them.get_object(**reading)["Body"].read() == b"a"
    them.put_object(Bucket=bucket, Key="shared/c", Body=b"c")
    assert s3.get_object(Bucket=bucket, Key="shared/c")["Body"].read() == b"c"
    # The bucket's owner owns it.
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="shared/c", FetchOwner=True)
    assert listed["Contents"][0]["Owner"]["ID"] != account
    for call, arguments in [
        (them.get_object, {"Key": "own/b"}),
        (them.get_object, {"Key": "shared"}),
        (them.put_object, {"Key": "own/b", "Body": b"x"}),
        (them.delete_object, {"Key": "shared/a"}),
        (them.get_object_tagging, {"Key": "shared/a"}),
        (them.list_objects_v2, {}),
        (them.list_object_versions, {}),
        (them.list_multipart_uploads, {}),
        (them.get_bucket_policy, {}),
        (them.delete_bucket_policy, {}),
        (them.put_bucket_policy, {"Policy": policy(statement(bucket, "*", "s3:*"))}),
        (them.put_public_access_block,
         {"PublicAccessBlockConfiguration": dict.fromkeys(ALL, False)}),
        (them.put_bucket_versioning, {"VersioningConfiguration": {"Status": "Enabled"}}),
        (them.delete_bucket, {}),
        (them.copy_object, {"Key": "shared/x", "CopySource": f"{bucket}/own/b"}),
    ]:
        assert code(call, Bucket=bucket, **arguments) == DENIED, (call, arguments)
    assert code(them.head_object, Bucket=bucket, Key="own/b") == HEAD_DENIED
    assert code(them.head_bucket, Bucket=bucket) == HEAD_DENIED
    deleted = them.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "shared/a"}]})
    assert [e["Code"] for e in deleted["Errors"]] == ["AccessDenied"]
    s3.delete_bucket_policy(Bucket=bucket)
    assert code(them.get_object, **reading) == DENIED


def test_a_key_that_is_missing_is_told_to_those_who_may_list(s3, bucket, other):
    account, them = other
    read = statement(bucket, {"AWS": account}, ["s3:GetObject", "s3:GetObjectVersion"])
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(read))
    missing = {"Bucket": bucket, "Key": "missing"}
    assert code(them.get_object, **missing) == DENIED
    assert code(them.head_object, **missing) == HEAD_DENIED
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        read, statement(bucket, {"AWS": account}, "s3:ListBucket", "")))
    assert code(them.get_object, **missing) == ("NoSuchKey", 404)
    assert code(them.head_object, **missing) == ("404", 404)
    assert code(s3.get_object, **missing) == ("NoSuchKey", 404)


def test_what_is_missing_is_not_told_to_writers_or_by_copies(s3, bucket, other):
    account, them = other
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="gone", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="gone")
    mine = f"{bucket}-of-them"
    them.create_bucket(Bucket=mine)
    upload = them.create_multipart_upload(Bucket=mine, Key="d")["UploadId"]
    writing = statement(bucket, {"AWS": account}, [
        "s3:GetObject", "s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObjectTagging"])
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(writing))

    def asked(key):
        there = {"Bucket": bucket, "Key": key}
        copied = {"Bucket": mine, "Key": "d", "CopySource": there}
        return [code(them.copy_object, **copied),
                code(them.upload_part_copy, **copied, UploadId=upload, PartNumber=1),
                code(them.put_object_tagging, **there, Tagging={"TagSet": []}),
                code(them.delete_object_tagging, **there),
                code(them.put_object, **there, Body=b"", IfMatch='"0123"')]

    for key in ("missing", "gone"):
        assert asked(key) == [DENIED] * 5
        with pytest.raises(ClientError) as refused:
            them.copy_object(Bucket=mine, Key="d", CopySource={"Bucket": bucket, "Key": key})
        headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
        assert not {"x-amz-delete-marker", "x-amz-version-id"} & headers.keys()
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        writing, statement(bucket, {"AWS": account}, "s3:ListBucket", "")))
    for key in ("missing", "gone"):
        assert {found[1] for found in asked(key)} <= {404, 405}
    them.abort_multipart_upload(Bucket=mine, Key="d", UploadId=upload)
    them.delete_bucket(Bucket=mine)


def test_who_signs_nothing_neither_copies_nor_chooses_headers(cloud, s3, bucket):
    open_to_public(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, "*", ["s3:GetObject", "s3:PutObject"])))
    s3.put_object(Bucket=bucket, Key="a.txt", Body=b"<script>", ContentType="text/plain")
    url = f"{cloud.endpoint}/{bucket}"
    assert get(f"{url}/a.txt")[0] == 200
    for name in ("content-type=text/html", "cache-control=max-age%3D9", "content-disposition=x"):
        assert get(f"{url}/a.txt?response-{name}")[0] == 400

    def status(method, path, **headers):
        request = urllib.request.Request(f"{url}/{path}", method=method, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=30).status
        except urllib.error.HTTPError as error:
            assert b"Sign the request" in error.read()
            return error.code

    assert status("POST", "m?uploads") == 403
    assert status("PUT", "copy", **{"x-amz-copy-source": f"/{bucket}/a.txt"}) == 403
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_all_keys_of_one_request_share_what_comparing_may_cost(cloud, s3, bucket):
    open_to_public(s3, bucket)
    costly = [f"arn:aws:s3:::{bucket}/*{'a' * 480}b{n}" for n in range(10)]
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        {**statement(bucket, "*", "s3:DeleteObject"), "Resource": costly}))
    keys = "".join(f"<Object><Key>{'a' * 1000}{n:04}</Key></Object>" for n in range(1000))
    body = f"<Delete>{keys}</Delete>".encode()
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    request = urllib.request.Request(f"{cloud.endpoint}/{bucket}?delete", body, method="POST",
                                     headers={"Content-MD5": digest})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    assert text.count(b"<Code>AccessDenied</Code>") + text.count(b"<Code>SlowDown</Code>") == 1000
    assert b"<Code>SlowDown</Code>" in text
    # Each key of an ordinary policy has enough.
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(*(
        statement(bucket, "*", "s3:DeleteObject", f"/{n}*") for n in range(10))))
    keys = [{"Key": f"{n}{'k' * 200}"} for n in range(1000)]
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert len(deleted["Deleted"]) == 1000


def test_a_deny_holds_for_the_owner_too_but_for_the_policy_itself(s3, bucket):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    s3.put_object(Bucket=bucket, Key="other", Body=b"other")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, "*", "s3:DeleteObject*", "/kept", effect="Deny")))
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket=bucket, Key="kept")
    message = refused.value.response["Error"]["Message"]
    assert "with an explicit deny in a resource-based policy" in message, message
    assert "s3:DeleteObject" in message and f"arn:aws:s3:::{bucket}/kept" in message
    deleted = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "kept"}, {"Key": "other"}]})
    assert [e["Key"] for e in deleted["Errors"]] == ["kept"]
    assert [d["Key"] for d in deleted["Deleted"]] == ["other"]
    # Whoever locks himself out of everything can still set the policy anew.
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, "*", "s3:*", "", effect="Deny"),
        statement(bucket, "*", "s3:*", effect="Deny")))
    assert code(s3.get_object, Bucket=bucket, Key="kept") == DENIED
    assert code(s3.list_objects_v2, Bucket=bucket) == DENIED
    s3.get_bucket_policy(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"


def test_the_public_needs_a_policy_and_a_block_that_lets_it(cloud, s3, bucket, other):
    _, them = other
    s3.put_object(Bucket=bucket, Key="page.html", Body=b"<p>", ContentType="text/html")
    url = f"{cloud.endpoint}/{bucket}/page.html"
    public = policy(statement(bucket, "*", "s3:GetObject"))
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(ALL, True)
    assert get(url)[0] == 403
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_policy(Bucket=bucket, Policy=public)
    error = refused.value.response["Error"]
    assert error["Code"] == "AccessDenied"
    assert f'is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::{bucket}" ' \
        "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public " \
        "Access" in error["Message"]
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration=dict.fromkeys(ALL, True) | {"BlockPublicPolicy": False})
    s3.put_bucket_policy(Bucket=bucket, Policy=public)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    # It is public, and RestrictPublicBuckets takes that from it, for other accounts too.
    assert get(url)[0] == 403
    assert code(them.get_object, Bucket=bucket, Key="page.html") == DENIED
    open_to_public(s3, bucket)
    status, headers, body = get(url)
    assert (status, body, headers["content-type"]) == (200, b"<p>", "text/html")
    assert get(url, method="HEAD")[0] == 200
    assert get(url, {"Range": "bytes=0-0"})[2] == b"<"
    assert them.get_object(Bucket=bucket, Key="page.html")["Body"].read() == b"<p>"
    assert code(s3.get_public_access_block, Bucket=bucket) == (
        "NoSuchPublicAccessBlockConfiguration", 404)
    # Nothing else is public.
    for method, path in [("GET", ""), ("GET", "?list-type=2"), ("GET", "/missing"),
                         ("PUT", "/new"), ("DELETE", "/page.html"), ("GET", "?policy"),
                         ("GET", "/page.html?tagging"), ("GET", "?versions"),
                         ("GET", "/page.html?versionId=null"), ("HEAD", "")]:
        answer = get(f"{cloud.endpoint}/{bucket}{path}", method=method)
        assert answer[0] == 403, (method, path, answer)
    doomed = b"<Delete><Object><Key>page.html</Key></Object></Delete>"
    digest = base64.b64encode(hashlib.md5(doomed).digest()).decode()
    request = urllib.request.Request(f"{cloud.endpoint}/{bucket}?delete", data=doomed,
                                     headers={"Content-MD5": digest}, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    assert "<Code>AccessDenied</Code>" in text and "<Deleted>" not in text, text
    assert get(url)[0] == 200
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(ALL, True))
    assert get(url)[0] == 403


def test_the_public_writes_where_a_policy_lets_it(cloud, s3, bucket):
    open_to_public(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, "*", ["s3:PutObject", "s3:DeleteObject"], "/drop/*")))
    url = f"{cloud.endpoint}/{bucket}"
    request = urllib.request.Request(f"{url}/drop/x", data=b"x", method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    assert s3.get_object(Bucket=bucket, Key="drop/x")["Body"].read() == b"x"
    assert get(f"{url}/drop/x")[0] == 403
    request = urllib.request.Request(f"{url}/elsewhere", data=b"x", method="PUT")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=30)
    assert get(f"{url}/drop/x", method="DELETE")[0] == 204
    # What is on record in the registry nobody changes who signs nothing.
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, "*", ["s3:DeleteBucket", "s3:ListBucket"], "")))
    assert get(url)[0] == 200
    assert get(url, method="DELETE")[0] == 403
    s3.head_bucket(Bucket=bucket)


@pytest.mark.parametrize("condition,allowed", [
    ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
    ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, False),
    ({"Bool": {"aws:SecureTransport": "false"}}, True),
    ({"Bool": {"aws:SecureTransport": "true"}}, False),
    ({"StringLike": {"aws:UserAgent": "*Botocore*"}}, True),
    ({"StringEquals": {"s3:authType": "REST-HEADER"}}, True),
    ({"StringEquals": {"s3:authType": "REST-QUERY-STRING"}}, False),
    ({"Null": {"s3:signatureAge": "true"}}, True),
    ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
    ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
    ({"StringEquals": {"aws:PrincipalAccount": "ACCOUNT"}}, True),
    ({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::ACCOUNT:root"}}, True),
    ({"StringEquals": {"s3:ExistingObjectTag/team": "red"}}, True),
    ({"StringEquals": {"s3:ExistingObjectTag/team": "blue"}}, False),
    ({"StringEquals": {"aws:RequestedRegion": "nowhere-1"}}, False),
    ({"Null": {"aws:Referer": "true"}}, True),
    ({"Null": {"s3:TlsVersion": "true"}}, True),
    ({"NumericGreaterThan": {"s3:TlsVersion": "1.0"}}, False),
])
def test_a_condition_is_on_the_real_request(s3, bucket, other, condition, allowed):
    account, them = other
    s3.put_object(Bucket=bucket, Key="k", Body=b"k", Tagging="team=red")
    condition = json.loads(json.dumps(condition).replace("ACCOUNT", account))
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, "s3:GetObject", Condition=condition)))
    expected = None if allowed else DENIED
    assert code(them.get_object, Bucket=bucket, Key="k") == expected


def test_headers_do_not_fill_conditions(cloud, s3, bucket):
    """The names of keys as headers and parameters change nothing (s3 keys, aws keys)."""
    open_to_public(s3, bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"k")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(
        bucket, "*", "s3:GetObject", Condition={
            "IpAddress": {"aws:SourceIp": "203.0.113.7"}})))
    url = f"{cloud.endpoint}/{bucket}/k"
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-Ip", "aws-SourceIp", "SourceIp"]:
        assert get(url, {name: "203.0.113.7"})[0] == 403, name
    assert get(f"{url}?x-aws:SourceIp=203.0.113.7")[0] == 403


def test_a_prefix_bounds_a_listing(s3, bucket, other):
    account, them = other
    for key in ["a/1", "a/2", "b/1"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(
        bucket, {"AWS": account}, "s3:ListBucket", "", Condition={
            "StringLike": {"s3:prefix": ["a/*"]},
            "NumericLessThanEquals": {"s3:max-keys": "10"}})))
    listing = them.list_objects_v2(Bucket=bucket, Prefix="a/", MaxKeys=10)
    assert [o["Key"] for o in listing["Contents"]] == ["a/1", "a/2"]
    for arguments in [{"MaxKeys": 10}, {"Prefix": "", "MaxKeys": 10}, {"Prefix": "b/", "MaxKeys": 10},
                      {"Prefix": "a", "MaxKeys": 10}, {"Prefix": "a/"}]:
        assert code(them.list_objects_v2, Bucket=bucket, **arguments) == DENIED, arguments
    assert code(them.list_objects, Bucket=bucket, Prefix="a/", MaxKeys=10) is None
    assert code(them.list_object_versions, Bucket=bucket, Prefix="a/", MaxKeys=10) == DENIED


def test_copies_ask_for_both_ends(s3, bucket, other):
    account, them = other
    s3.put_object(Bucket=bucket, Key="source/a", Body=b"a")
    s3.put_object(Bucket=bucket, Key="secret/a", Body=b"s")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, "s3:PutObject", "/target/*", Condition={
            "StringLike": {"s3:x-amz-copy-source": f"{bucket}/source/*"}}),
        statement(bucket, {"AWS": account}, "s3:GetObject", "/source/*")))
    copy = {"Bucket": bucket, "Key": "target/a"}
    them.copy_object(CopySource=f"{bucket}/source/a", **copy)
    assert s3.get_object(**copy)["Body"].read() == b"a"
    assert code(them.copy_object, CopySource=f"{bucket}/secret/a", **copy) == DENIED
    # Without a source there is nothing that the condition could be met by.
    assert code(them.put_object, Body=b"x", **copy) == DENIED
    upload = {"Bucket": bucket, "Key": "target/parts"}
    assert code(them.create_multipart_upload, **upload) == DENIED


def test_s15_a_part_that_is_copied_asks_for_both_ends(s3, bucket, other):
    account, them = other
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    older = s3.put_object(Bucket=bucket, Key="source/a", Body=b"older")["VersionId"]
    for key in ("source/a", "secret/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"a")
    here = lambda key, **more: {"Bucket": bucket, "Key": key, **more}
    upload = here("target/parts")
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    copy = lambda source: code(them.upload_part_copy, **upload, PartNumber=1, CopySource=source)
    read = statement(bucket, {"AWS": account}, "s3:GetObject", "/source/*")
    write = statement(bucket, {"AWS": account}, "s3:PutObject", "/target/*")
    only = {**write, "Condition": {"StringLike": {"s3:x-amz-copy-source": f"{bucket}/source/*"}}}
    locked = {**read, "Effect": "Deny", "Resource": f"arn:aws:s3:::{bucket}/source/a"}
    for statements, source, want in (
            ((read, write), here("source/a"), None), ((read, only), here("source/a"), None),
            ((write,), here("source/a"), DENIED), ((read,), here("source/a"), DENIED),
            ((read, write), here("secret/a"), DENIED), ((read, write, locked), here("source/a"),
                                                        DENIED),
            ((read, write), here("source/a", VersionId=older), DENIED),
            ((read, only), here("secret/a"), DENIED)):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(*statements))
        assert copy(source) == want, (statements, source)
    # A part of the client's own has no source that the condition could be met by.
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(read, only))
    assert code(them.upload_part, **upload, PartNumber=2, Body=b"x") == DENIED
    assert [part["PartNumber"] for part in s3.list_parts(**upload)["Parts"]] == [1]


def test_versions_need_their_own_action(s3, bucket, other):
    account, them = other
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, ["s3:GetObject", "s3:DeleteObject"])))
    old = {"Bucket": bucket, "Key": "k", "VersionId": version}
    assert them.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    assert code(them.get_object, **old) == DENIED
    assert code(them.head_object, **old) == HEAD_DENIED
    assert code(them.delete_object, **old) == DENIED
    for call, more in ((them.get_object_tagging, {}), (them.get_object_acl, {}),
                       (them.delete_object_tagging, {}),
                       (them.get_object_attributes, {"ObjectAttributes": ["ETag"]})):
        assert code(call, **old, **more) == DENIED, call
    assert code(them.copy_object, Bucket=bucket, Key="c",
                CopySource={"Bucket": bucket, "Key": "k", "VersionId": version}) == DENIED
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, "s3:GetObjectVersion", Condition={
            "StringEquals": {"s3:VersionId": version}})))
    assert them.get_object(**old)["Body"].read() == b"1"
    assert code(them.get_object, Bucket=bucket, Key="k") == DENIED


def test_requests_of_others_to_a_bucket_that_lets_them_pay(s3, bucket, other, cloud):
    account, them = other
    s3.put_object(Bucket=bucket, Key="k", Body=b"k")
    s3.put_bucket_policy(
        Bucket=bucket, Policy=policy(statement(bucket, {"AWS": account}, "s3:GetObject")))
    s3.put_bucket_request_payment(
        Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    assert code(them.get_object, Bucket=bucket, Key="k") == DENIED
    answer = them.get_object(Bucket=bucket, Key="k", RequestPayer="requester")
    assert answer["RequestCharged"] == "requester"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"k"
    open_to_public(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, "*", "s3:GetObject")))
    url = f"{cloud.endpoint}/{bucket}/k"
    assert get(url)[0] == 403
    assert get(url, {"x-amz-request-payer": "requester"})[0] == 403


CORS = {"CORSRules": [
    {"ID": "app", "AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["GET", "PUT"],
     "AllowedHeaders": ["x-amz-*", "content-type", "authorization"],
     "ExposeHeaders": ["ETag", "x-amz-version-id"], "MaxAgeSeconds": 600},
    {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
]}


def test_a_browser_is_told_what_a_page_of_another_origin_may_do(cloud, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"k")
    url = f"{cloud.endpoint}/{bucket}/k"
    page = "https://app.example.com"

    def ask(origin, method, headers=None):
        asked = {"Origin": origin, "Access-Control-Request-Method": method}
        if headers:
            asked["Access-Control-Request-Headers"] = headers
        return get(url, asked, method="OPTIONS")

    assert code(s3.get_bucket_cors, Bucket=bucket) == ("NoSuchCORSConfiguration", 404)
    assert ask(page, "GET")[0] == 403
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=CORS)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == CORS["CORSRules"]
    status, headers, _ = ask(page, "PUT", "X-Amz-Date, Content-Type")
    assert status == 200
    assert headers["access-control-allow-origin"] == page
    assert headers["access-control-allow-methods"] == "GET, PUT"
    assert headers["access-control-allow-headers"] == "X-Amz-Date, Content-Type"
    assert headers["access-control-max-age"] == "600"
    assert headers["access-control-expose-headers"] == "ETag, x-amz-version-id"
    assert "Origin" in headers["vary"]
    assert ask(page, "DELETE")[0] == 403
    assert ask(page, "PUT", "cookie")[0] == 403
    assert ask("https://other.org", "PUT")[0] == 403
    assert ask("https://other.org", "GET")[1]["access-control-allow-origin"] == "*"
    # The answer itself says it too, a refusal as well; nobody else is told.
    presigned = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    status, headers, body = get(presigned, {"Origin": page})
    assert (status, body) == (200, b"k")
    assert headers["access-control-allow-origin"] == page
    assert headers["access-control-expose-headers"] == "ETag, x-amz-version-id"
    status, headers, _ = get(url, {"Origin": page})
    assert (status, headers["access-control-allow-origin"]) == (403, page)
    assert "access-control-allow-origin" not in get(presigned)[1]
    s3.delete_bucket_cors(Bucket=bucket)
    assert ask(page, "GET")[0] == 403
    assert "access-control-allow-origin" not in get(presigned, {"Origin": page})[1]


@pytest.mark.parametrize("rule", [
    {"AllowedOrigins": ["*"], "AllowedMethods": ["PATCH"]},
    {"AllowedOrigins": ["https://*.*"], "AllowedMethods": ["GET"]},
    {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "ExposeHeaders": ["x-*"]},
])
def test_a_cors_rule_that_s3_does_not_take_is_refused(s3, bucket, rule):
    refused = code(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert refused == ("InvalidRequest", 400)
    assert code(s3.get_bucket_cors, Bucket=bucket) == ("NoSuchCORSConfiguration", 404)


def test_documents_survive_a_start_and_go_with_their_bucket(own_cloud):
    own_cloud.start()
    s3 = client_for(own_cloud)
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"k")
    s3.put_bucket_cors(Bucket="kept", CORSConfiguration=CORS)
    text = policy(statement("kept", "*", "s3:GetObject", effect="Deny"))
    s3.put_bucket_policy(Bucket="kept", Policy=text)
    s3.put_bucket_accelerate_configuration(
        Bucket="kept", AccelerateConfiguration={"Status": "Suspended"})
    own_cloud.kill()
    own_cloud.start()
    s3 = client_for(own_cloud)
    assert s3.get_bucket_policy(Bucket="kept")["Policy"] == text
    assert code(s3.get_object, Bucket="kept", Key="k") == DENIED
    assert s3.get_bucket_cors(Bucket="kept")["CORSRules"] == CORS["CORSRules"]
    assert s3.get_bucket_accelerate_configuration(Bucket="kept")["Status"] == "Suspended"
    s3.delete_object(Bucket="kept", Key="k")
    s3.delete_bucket(Bucket="kept")
    s3.create_bucket(Bucket="kept")
    assert code(s3.get_bucket_policy, Bucket="kept") == ("NoSuchBucketPolicy", 404)
    assert code(s3.get_bucket_cors, Bucket="kept") == ("NoSuchCORSConfiguration", 404)


def post(url, form, body=b"form"):
    """Sends a form as a browser does; answers the status."""
    edge, lines = "----edge", []
    for name, value in form["fields"].items():
        lines += [f"--{edge}", f'Content-Disposition: form-data; name="{name}"', "", value]
    lines += [f"--{edge}", 'Content-Disposition: form-data; name="file"; filename="f"', "", ""]
    data = "\r\n".join(lines).encode() + body + f"\r\n--{edge}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_form_with_tags_needs_the_right_to_tag(cloud, s3, bucket, other):
    account, them = other
    tagging = ("<Tagging><TagSet><Tag><Key>public</Key><Value>yes</Value></Tag></TagSet>"
               "</Tagging>")
    form = them.generate_presigned_post(
        bucket, "k", Fields={"tagging": tagging}, Conditions=[{"tagging": tagging}])
    url = f"{cloud.endpoint}/{bucket}"
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, "s3:PutObject")))
    assert post(url, form) == 403
    assert code(them.put_object, Bucket=bucket, Key="k", Body=b"k", Tagging="public=yes") == DENIED
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, ["s3:PutObject", "s3:PutObjectTagging"], Condition={
            "StringEqualsIfExists": {"s3:RequestObjectTag/public": "yes"}})))
    assert post(url, form) == 204
    tags = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert tags == [{"Key": "public", "Value": "yes"}]
    assert code(them.put_object, Bucket=bucket, Key="k", Body=b"k", Tagging="public=no") == DENIED


def test_a_condition_may_be_on_what_a_body_says(s3, bucket, other):
    """Tags and ownership in a body are decided about before anything is changed."""
    account, them = other
    s3.put_object(Bucket=bucket, Key="k", Body=b"k")
    tags = lambda team: {"TagSet": [{"Key": "team", "Value": team}]}
    owner = lambda mode: {"Rules": [{"ObjectOwnership": mode}]}
    only = lambda key, value: {"Condition": {"StringEquals": {key: value}}}
    who = {"AWS": account}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, who, ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"],
                  **only("s3:RequestObjectTag/team", "red")),
        statement(bucket, who, "s3:PutBucketTagging", "", **only("aws:RequestTag/team", "red")),
        statement(bucket, who, "s3:PutBucketOwnershipControls", "",
                  **only("s3:x-amz-object-ownership", "BucketOwnerPreferred")),
        statement(bucket, "*", "s3:PutBucketTagging", "", "Deny", Condition={
            "ForAnyValue:StringEquals": {"aws:TagKeys": "secret"}})))
    of = {"Bucket": bucket, "Key": "k"}
    for team, expected in (("red", None), ("blue", DENIED)):
        assert code(them.put_object_tagging, **of, Tagging=tags(team)) == expected
        assert code(them.put_object_tagging, **of, VersionId="null", Tagging=tags(team)) == expected
        assert code(them.put_bucket_tagging, Bucket=bucket, Tagging=tags(team)) == expected
    secret = {"TagSet": [{"Key": "secret", "Value": "x"}]}
    assert code(s3.put_bucket_tagging, Bucket=bucket, Tagging=secret) == DENIED
    assert s3.get_object_tagging(**of)["TagSet"] == tags("red")["TagSet"]
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags("red")["TagSet"]
    for mode, expected in (("BucketOwnerPreferred", None), ("ObjectWriter", DENIED)):
        assert code(them.put_bucket_ownership_controls, Bucket=bucket,
                    OwnershipControls=owner(mode)) == expected, mode
    assert code(them.delete_bucket_ownership_controls, Bucket=bucket) == DENIED
    found = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert found == owner("BucketOwnerPreferred")


def test_only_the_account_itself_sets_rules_that_write_with_its_rights(s3, other):
    account, them = other
    for name in ("by-root-from", "by-root-to"):
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_policy(Bucket="by-root-from", Policy=policy(
        statement("by-root-from", {"AWS": account}, "s3:*"),
        statement("by-root-from", {"AWS": account}, "s3:*", "")))
    rules = {"Role": "arn:aws:iam::1:role/r", "Rules": [
        {"ID": "all", "Status": "Enabled", "Priority": 1, "Filter": {},
         "DeleteMarkerReplication": {"Status": "Disabled"},
         "Destination": {"Bucket": "arn:aws:s3:::by-root-to"}}]}
    asked = {"Bucket": "by-root-from", "ReplicationConfiguration": rules}
    them.put_object(Bucket="by-root-from", Key="k", Body=b"k")
    assert code(them.put_bucket_replication, **asked) == DENIED
    s3.put_bucket_replication(**asked)
    assert code(them.delete_bucket_replication, Bucket="by-root-from") == DENIED


def test_a_block_that_comes_while_a_policy_is_sent_counts(cloud, s3, bucket):
    """The block is asked when the policy is stored, and not only before its body is read."""
    open_to_public(s3, bucket)
    public = policy(statement(bucket, "*", "s3:GetObject")).encode()
    asked = AWSRequest("PUT", f"{cloud.endpoint}/{bucket}?policy")
    key = Credentials(cloud.access_key, cloud.secret_key)
    S3SigV4QueryAuth(key, "s3", cloud.region, expires=300).add_auth(asked)
    url = urllib.parse.urlsplit(asked.url)

    def send(between):
        """Answers the status. The head is accepted before `between`, and the body is sent after."""
        with socket.create_connection((url.hostname, url.port), timeout=30) as client:
            head = (f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
                    f"Content-Length: {len(public)}\r\nExpect: 100-continue\r\n"
                    "Connection: close\r\n\r\n")
            client.sendall(head.encode())
            answer = client.makefile("rb")
            assert answer.readline().split()[1] == b"100", "the head was refused"
            between()
            client.sendall(public)
            assert answer.readline() == b"\r\n"
            return int(answer.readline().split()[1]), answer.read()

    assert send(lambda: None)[0] == 204
    s3.delete_bucket_policy(Bucket=bucket)
    block = dict.fromkeys(ALL, True)
    status, text = send(lambda: s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=block))
    assert status == 403 and b"BlockPublicPolicy" in text, text
    assert code(s3.get_bucket_policy, Bucket=bucket) == ("NoSuchBucketPolicy", 404)


def test_what_preflights_are_compared_with_is_bounded(s3, bucket):
    many = [f"x-{n}" for n in range(2500)]
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "AllowedHeaders": many}
    assert code(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={
        "CORSRules": [rule]}) == ("InvalidRequest", 400)


def test_a_copy_carries_no_tags_that_its_caller_may_not_read_or_set(s3, bucket, other):
    account, them = other
    them.create_bucket(Bucket="carrying")
    them.put_object(Bucket="carrying", Key="tagged", Body=b"t", Tagging="public=yes")
    them.put_object(Bucket="carrying", Key="plain", Body=b"p")
    putting = statement(bucket, {"AWS": account}, "s3:PutObject")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(putting))
    copy = {"Bucket": bucket, "CopySource": "carrying/tagged"}
    them.copy_object(Bucket=bucket, Key="plain", CopySource="carrying/plain")
    assert code(them.copy_object, Key="k", **copy) == DENIED
    them.copy_object(Key="k", TaggingDirective="REPLACE", **copy)
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    tagging = statement(bucket, {"AWS": account}, "s3:PutObjectTagging")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(putting, tagging))
    them.copy_object(Key="k", **copy)
    tags = [{"Key": "public", "Value": "yes"}]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    denied = statement(bucket, "*", "s3:PutObject", effect="Deny", Condition={
        "StringEquals": {"s3:RequestObjectTag/public": "yes"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(putting, tagging, denied))
    assert code(them.copy_object, Key="k", **copy) == DENIED
    # Nor are they read by a copy.
    s3.put_object(Bucket=bucket, Key="secret", Body=b"s", Tagging="level=secret")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, {"AWS": account}, "s3:GetObject")))
    leak = {"Bucket": "carrying", "Key": "leak", "CopySource": f"{bucket}/secret"}
    assert code(them.copy_object, **leak) == DENIED
    them.copy_object(TaggingDirective="REPLACE", **leak)
