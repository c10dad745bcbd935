"""Bits flip in the files of one region, and a scrub brings the bytes back from another."""

import json
import os
import signal

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from fleet import Fleet, body, eventually

FIRST, EU = "cn-hangzhou", "eu-central-1"
SMALL, LARGE, PART = 4000, 300_000, 5 << 20


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    fleet = Fleet(tmp_path / "data", 2).start()
    # In a region that joined there is no root key: the command takes one from the environment.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", fleet.info["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", fleet.info["secret_key"])
    yield fleet
    fleet.stop()


def flip_within(data, content):
    """Flips a bit in the middle of these bytes, wherever a file of the region has them."""
    found = 0
    for path in data.rglob("*"):
        if path.suffix != ".seg" and "extents" not in path.relative_to(data).parts:
            continue
        if not path.is_file():
            continue
        whole, at = path.read_bytes(), -1
        while (at := whole.find(content, at + 1)) >= 0:
            with open(path, "r+b") as f:
                f.seek(at + len(content) // 2)
                f.write(bytes([whole[at + len(content) // 2] ^ 0x10]))
            found += 1
    assert found, "the bytes lie in no file"


def upload(s3, bucket, key, parts):
    made = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        put = s3.upload_part(Bucket=bucket, Key=key, UploadId=made, PartNumber=number, Body=part)
        done.append({"PartNumber": number, "ETag": put["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=made,
                                 MultipartUpload={"Parts": done})


def scrub(fleet, region, *args, code=0):
    done = fleet.cli("scrub", *args, "--json", check=False, data=fleet.data / region)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def restart(fleet, region):
    """Ends a region, which the fleet starts again, at other ports."""
    before = fleet.regions[region]
    fleet.signal(region, signal.SIGTERM)

    def running():
        found = json.loads((fleet.data / region / "running.json").read_text())
        assert found["pid"] != before["pid"]
        return found

    fleet.regions[region] = {**before, **eventually(running, timeout=60)}
    eventually(lambda: fleet.s3(region).list_buckets(), timeout=60)


def test_flipped_bits_come_back_from_the_other_region(fleet):
    fleet.bucket("papers", EU, FIRST)
    home, copy = (eventually(lambda r=r: fleet.s3(r)) for r in (EU, FIRST))
    eventually(lambda: home.put_bucket_versioning(
        Bucket="papers", VersioningConfiguration={"Status": "Enabled"}))
    contents = {"small": os.urandom(SMALL), "large": os.urandom(LARGE)}
    parts = [os.urandom(PART), os.urandom(LARGE)]
    older = os.urandom(LARGE)
    old = home.put_object(Bucket="papers", Key="large", Body=older)["VersionId"]
    for key, content in contents.items():
        home.put_object(Bucket="papers", Key=key, Body=content)
    upload(home, "papers", "parts", parts)
    contents["parts"] = b"".join(parts)
    alone = os.urandom(LARGE)
    fleet.bucket("alone", EU)
    eventually(lambda: home.put_object(Bucket="alone", Key="k", Body=alone))

    def same():
        for s3 in (home, copy):
            for key, content in contents.items():
                assert body(s3, "papers", key) == content
            assert body(s3, "papers", "large", VersionId=old) == older
        return True

    eventually(same)
    for region, hurt in ((EU, [contents["small"], contents["large"], alone]),
                         (FIRST, [parts[1], older])):
        for content in hurt:
            flip_within(fleet.data / region, content)
    # What the home keeps in memory would hide the damage to the small one.
    restart(fleet, EU)
    home = fleet.s3(EU)

    found = scrub(fleet, EU, code=1)
    assert sorted((v["bucket"], v["key"]) for v in found["versions"]) == [
        ("alone", "k"), ("papers", "large"), ("papers", "small")]
    assert found["damaged_versions"] == 3 and found["repaired"] == 0
    assert not any(v["repaired"] or v["from"] or v["why"] for v in found["versions"])

    done = scrub(fleet, EU, "--repair", code=1)
    assert (done["repaired"], done["damaged_versions"]) == (2, 1), done
    versions = {v["key"]: v for v in done["versions"]}
    assert versions["small"]["from"] == versions["large"]["from"] == FIRST
    assert "no other replica" in versions["k"]["why"]
    assert done["damaged"] == []
    shown = fleet.cli("scrub", check=False, data=fleet.data / EU)
    assert shown.returncode == 1 and "alone" in shown.stdout

    done = scrub(fleet, FIRST, "--repair")
    assert (done["repaired"], done["damaged_versions"]) == (2, 0)
    assert {(v["key"], v["from"]) for v in done["versions"]} == {("parts", EU), ("large", EU)}
    assert [v["version"] for v in done["versions"] if v["key"] == "large"] == [old]
    same()
    assert scrub(fleet, FIRST)["versions"] == []
    with pytest.raises((ClientError, BotoCoreError)):
        body(home, "alone", "k")
    assert "dhow_damage_repaired 2" in fleet.metrics(EU)

    # A read that meets damage has it repaired without a scrub.
    flip_within(fleet.data / EU, contents["large"])

    def whole():
        try:
            return body(home, "papers", "large") == contents["large"]
        except BotoCoreError:
            return False  # it was cut off: no wrong byte is served

    eventually(whole)
    assert "dhow_damage_repaired 3" in fleet.metrics(EU)
