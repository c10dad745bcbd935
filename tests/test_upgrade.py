"""A data folder of an earlier release opens, and all that it has reads back.

`tests/data/folder-v1.tar.xz` was recorded by `python tests/test_upgrade.py FILE` with the release
that wrote object records and log entries of layout 1. A later layout gets a file of its own; none is
ever replaced."""

import base64
import hashlib
import sys
import tarfile
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from dhow import Dhow

MIB = 1 << 20
RECORDED = Path(__file__).parent / "data" / "folder-v1.tar.xz"
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


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upgrade")
    with tarfile.open(RECORDED) as recorded:
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


def record(file):
    """Makes a folder with the release at hand, and packs it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        dhow = Dhow(Path(folder) / "data").start()
        fill(s3_of(dhow))
        assert dhow.stop() == 0
        with tarfile.open(file, "w:xz", preset=9) as packed:
            packed.add(dhow.data, "data")


if __name__ == "__main__":
    record(sys.argv[1])
