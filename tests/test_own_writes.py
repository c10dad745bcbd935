"""What a client wrote through a region, it finds there at once: through one whose copy is behind,
whose follower must first fetch all of a large object, and by rclone, which looks for what it copied."""

import os
import subprocess

import pytest
from botocore.exceptions import ClientError

from fleet import Fleet, body, eventually, status

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 3).start()
    yield fleet
    fleet.stop()


def missing(s3, bucket, key):
    with pytest.raises(ClientError) as refused:
        s3.head_object(Bucket=bucket, Key=key)
    return status(refused) == 404


def test_every_write_through_a_copy_is_seen_there_at_once(fleet):
    fleet.bucket("own-writes", EU, ME)
    copy = eventually(lambda: fleet.s3(ME).list_objects_v2(Bucket="own-writes") and fleet.s3(ME))
    for n in range(40):
        key, text = f"k{n % 7}", b"%d" % n
        tag = copy.put_object(Bucket="own-writes", Key=key, Body=text)["ETag"]
        assert copy.head_object(Bucket="own-writes", Key=key)["ETag"] == tag, n
        assert body(copy, "own-writes", key) == text
        listed = copy.list_objects_v2(Bucket="own-writes", Prefix=key)["Contents"]
        assert [o["ETag"] for o in listed] == [tag]
        tags = {"TagSet": [{"Key": "n", "Value": str(n)}]}
        copy.put_object_tagging(Bucket="own-writes", Key=key, Tagging=tags)
        assert copy.get_object_tagging(Bucket="own-writes", Key=key)["TagSet"] == tags["TagSet"]
        # The same request twice in a second would be taken for one that is sent again.
        to = f"copied-{n}"
        copy.copy_object(Bucket="own-writes", Key=to, CopySource=f"own-writes/{key}")
        assert body(copy, "own-writes", to) == text
        if n % 3 == 0:
            # As an SDK does by default: the same request twice in a second is to be signed anew.
            eventually(lambda: copy.delete_object(Bucket="own-writes", Key=key))
            assert missing(copy, "own-writes", key)
        if n % 10 == 0:
            copy.delete_objects(Bucket="own-writes", Delete={"Objects": [{"Key": to}]})
            assert missing(copy, "own-writes", to)
    # The copy answers itself again once it has caught up.
    eventually(lambda: "x-dhow-region" not in copy.head_object(
        Bucket="own-writes", Key="k6")["ResponseMetadata"]["HTTPHeaders"])


def test_a_large_object_is_seen_before_the_copy_has_fetched_it(fleet):
    fleet.bucket("own-large", EU, ME)
    copy = eventually(lambda: fleet.s3(ME).list_objects_v2(Bucket="own-large") and fleet.s3(ME))
    part = os.urandom(16 << 20)
    upload = copy.create_multipart_upload(Bucket="own-large", Key="big")["UploadId"]
    parts = [
        {"PartNumber": n, "ETag": copy.upload_part(
            Bucket="own-large", Key="big", UploadId=upload, PartNumber=n, Body=part)["ETag"]}
        for n in (1, 2)
    ]
    copy.complete_multipart_upload(
        Bucket="own-large", Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    assert copy.head_object(Bucket="own-large", Key="big")["ContentLength"] == 32 << 20
    assert body(copy, "own-large", "big", Range="bytes=16777210-16777225") == part[-6:] + part[:10]


def test_rclone_at_its_defaults_copies_through_a_copy(fleet, tmp_path):
    fleet.bucket("own-rclone", EU, ME)
    eventually(lambda: fleet.s3(ME).list_objects_v2(Bucket="own-rclone"))
    source = tmp_path / "files"
    source.mkdir()
    for n in range(12):
        (source / f"f{n}").write_bytes(os.urandom(1000 + n))
    (source / "large").write_bytes(os.urandom(12 << 20))
    env = {k: v for k, v in os.environ.items() if k != "AWS_CA_BUNDLE"} | {
        "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_D_TYPE": "s3",
        "RCLONE_CONFIG_D_PROVIDER": "Other",
        "RCLONE_CONFIG_D_ENDPOINT": fleet.regions[ME]["endpoint"],
        "RCLONE_CONFIG_D_ACCESS_KEY_ID": fleet.info["access_key"],
        "RCLONE_CONFIG_D_SECRET_ACCESS_KEY": fleet.info["secret_key"],
        "RCLONE_CONFIG_D_REGION": ME,
    }

    def rclone(*words):
        # One try, so that what fails is not hidden by a second one.
        done = subprocess.run(["rclone", "--retries=1", "--low-level-retries=1", *words], env=env,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (words, done.stderr)
        assert "ERROR" not in done.stderr, done.stderr

    rclone("copyto", str(source / "f1"), "d:own-rclone/one")
    rclone("copyto", str(source / "large"), "d:own-rclone/large")
    rclone("sync", str(source), "d:own-rclone/all")
    rclone("check", str(source), "d:own-rclone/all")
    rclone("moveto", "d:own-rclone/one", "d:own-rclone/two")
    rclone("purge", "d:own-rclone/all")
