"""Data folders of earlier releases open, and all that they have reads back.

`python tests/test_upgrade.py FILE` records such a folder with the release that DHOW_BIN names.
`tests/data/folder-v1.tar.xz` has object records and log entries of layout 1. `folder-v2.tar.xz` has
those of layout 2, and what came with them: documents of buckets, access lists, users, roles,
policies. A later layout gets a file of its own; none is ever replaced."""

import base64
import hashlib
import json
import sys
import tarfile
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from dhow import Dhow

MIB = 1 << 20
RECORDED = [Path(__file__).parent / "data" / f"folder-v{layout}.tar.xz" for layout in (1, 2)]
TEXT = b"What an earlier release stored. "


def text(size):
    return (TEXT * (size // len(TEXT) + 1))[:size]


def s3_of(dhow):
    return boto3.client("s3", endpoint_url=dhow.endpoint, region_name=dhow.region,
                        aws_access_key_id=dhow.access_key, aws_secret_access_key=dhow.secret_key,
                        config=Config(retries={"max_attempts": 0}))


def fill(s3):
    """Every kind of row that an object can have."""
    s3.create_bucket(Bucket="plain")
    s3.put_bucket_tagging(Bucket="plain", Tagging={"TagSet": [{"Key": "team", "Value": "a"}]})
    s3.put_object(Bucket="plain", Key="small", Body=b"small", Metadata={"who": "me"},
                  ContentType="text/plain", CacheControl="no-cache", Tagging="a=1&b=2")
    s3.put_object(Bucket="plain", Key="empty", Body=b"")
    s3.put_object(Bucket="plain", Key="large", Body=text(3 * MIB), ChecksumAlgorithm="SHA256")
    upload = s3.create_multipart_upload(Bucket="plain", Key="parts", ChecksumAlgorithm="SHA1")
    parts = [s3.upload_part(Bucket="plain", Key="parts", UploadId=upload["UploadId"],
                            PartNumber=n, Body=text(size), ChecksumAlgorithm="SHA1")
             for n, size in ((1, 5 * MIB), (7, 1000))]
    s3.complete_multipart_upload(
        Bucket="plain", Key="parts", UploadId=upload["UploadId"],
        MultipartUpload={"Parts": [
            {"PartNumber": n, "ETag": p["ETag"], "ChecksumSHA1": p["ChecksumSHA1"]}
            for n, p in zip((1, 7), parts)]})
    upload = s3.create_multipart_upload(Bucket="plain", Key="under-way", Tagging="c=3")
    s3.upload_part(Bucket="plain", Key="under-way", UploadId=upload["UploadId"], PartNumber=1,
                   Body=text(5 * MIB))
    s3.create_bucket(Bucket="versions")
    s3.put_object(Bucket="versions", Key="k", Body=b"null version")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    for n in range(3):
        s3.put_object(Bucket="versions", Key="k", Body=b"version %d" % n)
    s3.delete_object(Bucket="versions", Key="k")
    s3.put_object(Bucket="versions", Key="removed", Body=b"removed for good")
    gone = s3.list_object_versions(Bucket="versions", Prefix="removed")["Versions"][0]
    s3.delete_object(Bucket="versions", Key="removed", VersionId=gone["VersionId"])
    s3.create_bucket(Bucket="copied")
    s3.put_bucket_versioning(Bucket="copied", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_replication(Bucket="versions", ReplicationConfiguration={
        "Role": "", "Rules": [{"ID": "all", "Status": "Enabled", "Priority": 1,
                               "Filter": {"Prefix": ""},
                               "DeleteMarkerReplication": {"Status": "Disabled"},
                               "Destination": {"Bucket": "arn:aws:s3:::copied"}}]})


def allow(actions, resources, **more):
    """A policy of one statement."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def fill_access(dhow, s3):
    """What came with layout 2: documents of buckets, access lists, identities."""
    s3.create_bucket(Bucket="open")
    s3.delete_public_access_block(Bucket="open")
    s3.put_bucket_policy(Bucket="open", Policy=allow(
        "s3:GetObject", "arn:aws:s3:::open/shown/*", Principal="*"))
    s3.put_bucket_cors(Bucket="open", CORSConfiguration={"CORSRules": [{
        "AllowedOrigins": ["https://app.example.com"], "AllowedMethods": ["GET"]}]})
    s3.put_bucket_request_payment(Bucket="open",
                                  RequestPaymentConfiguration={"Payer": "BucketOwner"})
    s3.put_object(Bucket="open", Key="shown/a", Body=b"for everybody")
    s3.put_object(Bucket="open", Key="hidden", Body=b"for the owner")
    s3.create_bucket(Bucket="lists", ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket="lists")
    s3.put_object(Bucket="lists", Key="public", Body=b"by its list", ACL="public-read")
    s3.put_object(Bucket="lists", Key="private", Body=b"by its list too")
    iam = iam_of(dhow, dhow.access_key, dhow.secret_key)
    iam.create_user(UserName="anna", Path="/staff/", Tags=[{"Key": "team", "Value": "red"}])
    iam.put_user_policy(UserName="anna", PolicyName="own", PolicyDocument=allow(
        "s3:GetObject", "arn:aws:s3:::plain/${aws:username}"))
    iam.create_group(GroupName="readers")
    iam.add_user_to_group(UserName="anna", GroupName="readers")
    listing = iam.create_policy(PolicyName="listing", PolicyDocument=allow(
        "s3:ListBucket", "arn:aws:s3:::plain"))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="readers", PolicyArn=listing)
    iam.create_policy_version(PolicyArn=listing, SetAsDefault=False, PolicyDocument=allow(
        "s3:*", "*"))
    trust = allow("sts:AssumeRole", "*", Principal={"AWS": "*"}).replace('"Resource": "*", ', "")
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)
    s3.put_object(Bucket="plain", Key="anna", Body=b"for anna")
    key = iam.create_access_key(UserName="anna")["AccessKey"]
    pair = {name: key[name] for name in ("AccessKeyId", "SecretAccessKey")}
    s3.put_object(Bucket="plain", Key="pair", Body=json.dumps(pair).encode())


def iam_of(dhow, access_key, secret_key):
    return boto3.client("iam", endpoint_url=f"{dhow.endpoint}/-/iam", region_name=dhow.region,
                        aws_access_key_id=access_key, aws_secret_access_key=secret_key)


@pytest.fixture(scope="module", params=RECORDED, ids=lambda file: file.name.split(".")[0])
def opened(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("upgrade")
    with tarfile.open(request.param) as recorded:
        recorded.extractall(folder, filter="data")
    dhow = Dhow(folder / "data").start()
    yield dhow, s3_of(dhow)
    assert dhow.stop() == 0
    # Once more, by what this release has written into it.
    dhow.start()
    check_plain(s3_of(dhow))
    assert dhow.stop() == 0


def read(s3, key, bucket="plain", **more):
    return s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **more)


def check_plain(s3):
    small = read(s3, "small")
    assert small["Body"].read() == b"small"
    assert small["Metadata"] == {"who": "me"} and small["TagCount"] == 2
    assert (small["ContentType"], small["CacheControl"]) == ("text/plain", "no-cache")
    assert read(s3, "empty")["Body"].read() == b""
    large = read(s3, "large")
    assert large["Body"].read() == text(3 * MIB)
    sha = hashlib.sha256(text(3 * MIB)).digest()
    assert large["ChecksumSHA256"] == base64.b64encode(sha).decode()
    parts = read(s3, "parts")
    assert parts["Body"].read() == text(5 * MIB) + text(1000)
    assert parts["ETag"].endswith('-2"')
    assert read(s3, "parts", PartNumber=7)["ContentLength"] == 1000


def test_objects_of_an_earlier_release_read_back(opened):
    check_plain(opened[1])
    tags = opened[1].get_bucket_tagging(Bucket="plain")["TagSet"]
    assert tags == [{"Key": "team", "Value": "a"}]


def test_versions_of_an_earlier_release_read_back(opened):
    _, s3 = opened
    page = s3.list_object_versions(Bucket="versions")
    assert [m["Key"] for m in page["DeleteMarkers"]] == ["k"]
    bodies = [read(s3, "k", "versions", VersionId=v["VersionId"])["Body"].read()
              for v in page["Versions"]]
    assert bodies == [b"version 2", b"version 1", b"version 0", b"null version"]
    assert page["Versions"][-1]["VersionId"] == "null"
    rules = s3.get_bucket_replication(Bucket="versions")["ReplicationConfiguration"]["Rules"]
    assert [rule["ID"] for rule in rules] == ["all"]


def test_an_upload_of_an_earlier_release_goes_on(opened):
    _, s3 = opened
    upload = s3.list_multipart_uploads(Bucket="plain")["Uploads"][0]
    names = {"Bucket": "plain", "Key": "under-way", "UploadId": upload["UploadId"]}
    part = s3.list_parts(**names)["Parts"][0]
    last = s3.upload_part(**names, PartNumber=2, Body=b"the end")
    s3.complete_multipart_upload(**names, MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": part["ETag"]}, {"PartNumber": 2, "ETag": last["ETag"]}]})
    assert read(s3, "under-way")["Body"].read() == text(5 * MIB) + b"the end"
    tags = s3.get_object_tagging(Bucket="plain", Key="under-way")["TagSet"]
    assert tags == [{"Key": "c", "Value": "3"}]


def test_a_folder_of_an_earlier_release_has_no_damage(opened):
    dhow, s3 = opened
    s3.put_object(Bucket="plain", Key="new", Body=b"new")
    s3.delete_object(Bucket="plain", Key="new")
    done = dhow.cli_json("scrub", "--json")
    assert done["damaged"] == [] or done["damaged"] == 0, done


def refused(call, **names):
    with pytest.raises(ClientError) as error:
        call(**names)
    return error.value.response["Error"]["Code"]


def test_who_may_do_what_stays_as_an_earlier_release_kept_it(opened):
    """Nothing is open that was closed: also not to strangers, and to users without a policy."""
    dhow, s3 = opened
    stranger = boto3.client("s3", endpoint_url=dhow.endpoint, region_name=dhow.region,
                            config=Config(signature_version=UNSIGNED))
    for bucket, key in [("plain", "small"), ("versions", "k"), ("open", "hidden"),
                        ("lists", "private")]:
        assert refused(stranger.get_object, Bucket=bucket, Key=key) in ("AccessDenied", "NoSuchBucket")
    if "open" not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        return  # Layout 1 had no more than owners.
    assert read(stranger, "shown/a", "open")["Body"].read() == b"for everybody"
    assert read(stranger, "public", "lists")["Body"].read() == b"by its list"
    assert s3.get_bucket_cors(Bucket="open")["CORSRules"][0]["AllowedMethods"] == ["GET"]
    pair = json.loads(read(s3, "pair")["Body"].read())
    anna = boto3.client("s3", endpoint_url=dhow.endpoint, region_name=dhow.region,
                        aws_access_key_id=pair["AccessKeyId"],
                        aws_secret_access_key=pair["SecretAccessKey"])
    assert read(anna, "anna")["Body"].read() == b"for anna"
    assert "anna" in {row["Key"] for row in anna.list_objects_v2(Bucket="plain")["Contents"]}
    assert refused(anna.get_object, Bucket="plain", Key="small") == "AccessDenied"
    assert refused(anna.put_object, Bucket="plain", Key="anna", Body=b"") == "AccessDenied"
    iam = iam_of(dhow, dhow.access_key, dhow.secret_key)
    user = iam.get_user(UserName="anna")["User"]
    assert (user["Path"], user["Tags"]) == ("/staff/", [{"Key": "team", "Value": "red"}])
    assert iam.get_role(RoleName="reader")["Role"]["RoleName"] == "reader"
    [listing] = iam.list_attached_group_policies(GroupName="readers")["AttachedPolicies"]
    versions = iam.list_policy_versions(PolicyArn=listing["PolicyArn"])["Versions"]
    assert {v["VersionId"]: v["IsDefaultVersion"] for v in versions} == {"v1": True, "v2": False}
    bare = iam.create_user(UserName="bare")["User"]["UserName"]
    key = iam.create_access_key(UserName=bare)["AccessKey"]
    new = boto3.client("s3", endpoint_url=dhow.endpoint, region_name=dhow.region,
                       aws_access_key_id=key["AccessKeyId"],
                       aws_secret_access_key=key["SecretAccessKey"])
    assert refused(new.get_object, Bucket="plain", Key="small") == "AccessDenied"


def record(file):
    """Makes a folder with the release that DHOW_BIN names, and packs it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        dhow = Dhow(Path(folder) / "data").start()
        s3 = s3_of(dhow)
        fill(s3)
        fill_access(dhow, s3)
        assert dhow.stop() == 0
        with tarfile.open(file, "w:xz", preset=9) as packed:
            packed.add(dhow.data, "data")


if __name__ == "__main__":
    record(sys.argv[1])
