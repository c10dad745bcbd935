"""A cloud of three regions: placement, replication, loss and return, as their users see them."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from dhow import BIN, Client
from fleet import Fleet, body, code, eventually, free_ports, listing, status

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 3).start()
    yield fleet
    fleet.stop()


@pytest.fixture
def own_fleet(tmp_path):
    """For tests that lose regions."""
    fleet = Fleet(tmp_path / "data", 3).start()
    yield fleet
    fleet.stop()


def test_the_fleet_is_open_and_one_key_opens_every_region(fleet):
    regions = {r["id"]: r for r in fleet.json("region", "list")}
    assert {r["status"] for r in regions.values()} == {"open"}
    assert regions[ME]["operator"] == "yvolv" and regions[ME]["jurisdiction"] == "AE"
    assert len({r["public_key"] for r in regions.values()}) == 3
    for region in fleet.ids:
        s3, name = fleet.s3(region), f"own-{region}"
        constraint = {"LocationConstraint": region}
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=constraint)
        s3.put_object(Bucket=name, Key="k", Body=b"here")
        assert body(s3, name, "k") == b"here"
        # The directory of buckets is the cloud's: every region comes to know it.
        for other in fleet.ids:
            eventually(lambda: name in [
                b["Name"] for b in fleet.s3(other).list_buckets()["Buckets"]])
    with pytest.raises(ClientError) as refused:
        constraint = {"LocationConstraint": ME}
        fleet.s3(EU).create_bucket(Bucket="elsewhere", CreateBucketConfiguration=constraint)
    assert code(refused) == "IllegalLocationConstraintException"
    # The registry's region takes any, as us-east-1 does.
    fleet.s3(FIRST).create_bucket(Bucket="elsewhere", CreateBucketConfiguration=constraint)
    where = eventually(lambda: fleet.s3(ME).get_bucket_location(Bucket="elsewhere"))
    assert where["LocationConstraint"] == ME


def test_a_key_made_or_stopped_at_the_registry_is_so_everywhere(fleet):
    account = fleet.json("account", "create", "tenant")["id"]
    made = fleet.json("key", "create", "--account", account)
    key = (made["access_key"], made["secret_key"])
    for region in fleet.ids:
        eventually(lambda: fleet.s3(region, key).list_buckets())

    def refused(region):
        try:
            fleet.s3(region, key).list_buckets()
            return False
        except ClientError as error:
            # A region that has no key of the account does not know the account either.
            return error.response["Error"]["Code"] in ("InvalidAccessKeyId", "AccountProblem")

    def is_stopped_by(*command):
        """With the answer, but in regions that it names."""
        late = fleet.json(*command).get("not_yet_in", [])
        for region in fleet.ids:
            assert region in late or refused(region), (command, region, late)
            eventually(lambda: refused(region), timeout=60)

    is_stopped_by("key", "disable", made["access_key"])
    fleet.cli("key", "enable", made["access_key"])
    for region in fleet.ids:
        eventually(lambda: fleet.s3(region, key).list_buckets())
    is_stopped_by("account", "suspend", account)


def test_what_is_written_at_home_is_at_the_copy_the_same(fleet):
    fleet.bucket("same", EU, ME)
    home, copy = fleet.s3(EU), fleet.s3(ME)
    home.put_bucket_versioning(Bucket="same",
                               VersioningConfiguration={"Status": "Enabled"})
    rng = random.Random(1)
    for n in range(60):
        key = f"k{rng.randrange(12)}"
        if rng.random() < 0.15:
            home.delete_object(Bucket="same", Key=key)
        else:
            size = rng.choice([0, 10, 5000, 70_000, 1_500_000])
            home.put_object(Bucket="same", Key=key, Body=rng.randbytes(size),
                            Metadata={"n": str(n)}, ContentType="text/x-test",
                            ChecksumAlgorithm=rng.choice(["SHA256", "SHA1", "CRC32"]))
    parts = []
    upload = home.create_multipart_upload(Bucket="same", Key="parts")["UploadId"]
    for number in (1, 2):
        made = home.upload_part(Bucket="same", Key="parts", UploadId=upload, PartNumber=number,
                                Body=rng.randbytes(5 << 20))
        parts.append({"PartNumber": number, "ETag": made["ETag"]})
    home.complete_multipart_upload(Bucket="same", Key="parts", UploadId=upload,
                                   MultipartUpload={"Parts": parts})
    home.put_object_tagging(Bucket="same", Key="parts",
                            Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    some = home.list_object_versions(Bucket="same")["Versions"][3]
    home.delete_object(Bucket="same", Key=some["Key"], VersionId=some["VersionId"])
    want = listing(home, "same")
    eventually(lambda: listing(copy, "same") == want)
    for key, version, _, etag, _ in want:
        if etag is not None:
            one = dict(Bucket="same", Key=key, VersionId=version)
            here, there = home.get_object(**one), copy.get_object(**one)
            assert here["Body"].read() == there["Body"].read()
            for field in ("ETag", "Metadata", "ContentType", "LastModified"):
                assert here[field] == there[field], (key, field)
            assert there["ReplicationStatus"] == "REPLICA"
    assert copy.get_bucket_versioning(Bucket="same")["Status"] == "Enabled"
    eventually(lambda: copy.get_object_tagging(Bucket="same", Key="parts")["TagSet"])
    part = copy.get_object(Bucket="same", Key="parts", PartNumber=2)
    assert part["PartsCount"] == 2 and part["ContentLength"] == 5 << 20
    eventually(lambda: home.head_object(Bucket="same", Key="parts")["ReplicationStatus"]
               == "COMPLETED")
    shown = eventually(lambda: [c for c in fleet.json("bucket", "show", "same")["replica_status"]
                                if c["behind"] == 0])
    assert shown[0]["region"] == ME and shown[0]["connected"]
    assert 'dhow_replication_following{bucket="same",source="eu-central-1"} 1' in fleet.metrics(ME)


def test_status_is_never_said_before_it_is_so(fleet):
    fleet.bucket("honest", EU, ME)
    home = fleet.s3(EU)
    home.put_object(Bucket="honest", Key="first", Body=b"1")
    eventually(lambda: body(fleet.s3(ME), "honest", "first"))
    # The replica has told the home that it has all: before, nobody knows how far behind it is.
    eventually(lambda: home.head_object(Bucket="honest", Key="first")["ReplicationStatus"]
               == "COMPLETED")
    fleet.freeze(ME)
    try:
        home.put_object(Bucket="honest", Key="later", Body=b"2")
        assert home.head_object(Bucket="honest", Key="later")["ReplicationStatus"] == "PENDING"
        lagging = fleet.json("bucket", "show", "honest")["replica_status"][0]
        # Names go to the registry's region only where the placement lets them.
        assert lagging["behind"] >= 1 and lagging["lagging"] == []
    finally:
        fleet.thaw(ME)
    eventually(lambda: home.head_object(Bucket="honest", Key="later")["ReplicationStatus"]
               == "COMPLETED")
    assert body(fleet.s3(ME), "honest", "later") == b"2"


def test_writes_at_a_copy_are_decided_at_home(fleet):
    fleet.bucket("strong", EU, ME)
    home, copy = fleet.s3(EU), fleet.s3(ME)
    eventually(lambda: copy.head_bucket(Bucket="strong"))
    big = os.urandom(9 << 20)
    copy.put_object(Bucket="strong", Key="big", Body=big)
    assert body(home, "strong", "big") == big
    copy.put_object(Bucket="strong", Key="once", Body=b"a", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        copy.put_object(Bucket="strong", Key="once", Body=b"b", IfNoneMatch="*")
    assert code(refused) == "PreconditionFailed"
    copy.delete_object(Bucket="strong", Key="once")
    with pytest.raises(ClientError):
        home.head_object(Bucket="strong", Key="once")
    wins = []

    def race(client, value):
        try:
            client.put_object(Bucket="strong", Key="race", Body=value, IfNoneMatch="*")
            wins.append(value)
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed",
                                                       "ConditionalRequestConflict")

    racers = [threading.Thread(target=race, args=(fleet.s3(r), str(n).encode()))
              for n, r in enumerate([EU, ME] * 6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(wins) == 1 and body(home, "strong", "race") == wins[0]


def test_p8_nothing_lies_or_passes_where_the_placement_forbids(fleet):
    canary = os.urandom(24).hex().encode()
    fleet.bucket("lawful", EU, options=["--jurisdiction", "EU"])
    home = fleet.s3(EU)
    home.put_object(Bucket="lawful", Key="secret-name-canary", Body=canary * 10)
    home.put_object(Bucket="lawful", Key="large", Body=canary * 4000)
    for region in (FIRST, ME):
        with pytest.raises(ClientError) as refused:
            body(fleet.s3(region), "lawful", "large")
        assert status(refused) in (301, 403)
    done = fleet.cli("bucket", "place", "lawful", "--add-replica", ME, check=False)
    assert done.returncode == 1 and "AE" in done.stderr
    fleet.bucket("wide", EU)
    with pytest.raises(ClientError) as refused:
        home.copy_object(Bucket="wide", Key="k", CopySource="lawful/large")
    assert code(refused) == "AccessDenied"
    # What is on the other regions' disks: neither the bytes nor the name of the object.
    for region in (FIRST, ME):
        for path in walk(fleet.regions[region]["data"]):
            content = path.read_bytes()
            assert canary not in content, path
            assert b"secret-name-canary" not in content, path


def walk(folder):
    from pathlib import Path

    return [p for p in Path(folder).rglob("*") if p.is_file()]


def test_a_copy_that_is_taken_away_is_gone_from_the_disk(fleet):
    canary = os.urandom(24).hex().encode()
    fleet.bucket("moved", EU, ME)
    home = fleet.s3(EU)
    home.put_object(Bucket="moved", Key="large", Body=canary * 4000)
    eventually(lambda: body(fleet.s3(ME), "moved", "large"))
    extents = [p for p in walk(f"{fleet.regions[ME]['data']}/extents")
               if canary in p.read_bytes()]
    assert extents
    would = fleet.json("bucket", "place", "moved", "--add-replica", FIRST, "--dry-run")
    assert would["moves"] == {"versions": 1, "bytes": len(canary) * 4000}
    fleet.cli("bucket", "place", "moved", "--remove-replica", ME)
    # From here on nothing goes there any more.
    home.put_object(Bucket="moved", Key="later", Body=b"x")
    with pytest.raises(ClientError):
        body(fleet.s3(ME), "moved", "later")
    eventually(lambda: not any(p.exists() for p in extents))
    # With a receipt, in the audit log.
    receipt = eventually(lambda: [e for e in fleet.audit() if e["action"] == "bucket.removed"
                                  and e["subject"] == "moved"])[0]
    assert receipt["actor"] == f"region {ME}" and '"rows":' in str(receipt["detail"])
    # Back again, watched until it has all.
    placed = fleet.cli("bucket", "place", "moved", "--add-replica", ME, "--wait", timeout=120)
    assert "up to date" in placed.stdout
    assert body(fleet.s3(ME), "moved", "large") == canary * 4000


def test_backfill_under_writes_ends_equal(fleet):
    fleet.bucket("busy", EU)
    home = fleet.s3(EU)
    for n in range(300):
        home.put_object(Bucket="busy", Key=f"k{n:03}", Body=os.urandom(200))
    stop = threading.Event()

    def write():
        rng, client = random.Random(5), fleet.s3(EU)
        while not stop.is_set():
            key = f"k{rng.randrange(400):03}"
            if rng.random() < 0.3:
                client.delete_object(Bucket="busy", Key=key)
            else:
                client.put_object(Bucket="busy", Key=key, Body=rng.randbytes(300))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    fleet.cli("bucket", "place", "busy", "--add-replica", ME)
    eventually(lambda: body(fleet.s3(ME), "busy", "k000") or True)
    time.sleep(1)  # writes go on while it follows
    stop.set()
    for writer in writers:
        writer.join()
    want = listing(home, "busy")
    eventually(lambda: listing(fleet.s3(ME), "busy") == want)


def test_a_deleted_bucket_leaves_nothing_at_its_copies(fleet):
    canary = os.urandom(24).hex().encode()
    fleet.bucket("gone", EU, ME)
    home = fleet.s3(EU)
    home.put_object(Bucket="gone", Key="k", Body=canary * 4000)
    eventually(lambda: body(fleet.s3(ME), "gone", "k"))
    home.delete_object(Bucket="gone", Key="k")
    home.delete_bucket(Bucket="gone")
    for region in fleet.ids:
        with pytest.raises(ClientError) as refused:
            eventually(lambda: not fleet.s3(region).list_objects_v2(Bucket="gone"), timeout=1)
        assert code(refused) == "NoSuchBucket"
    extents = walk(f"{fleet.regions[ME]['data']}/extents")
    eventually(lambda: not any(p.exists() and canary in p.read_bytes() for p in extents))
    # The name is free, and the new bucket has nothing of the old one.
    fleet.bucket("gone", ME, EU)
    eventually(lambda: "Contents" not in fleet.s3(EU).list_objects_v2(Bucket="gone"))


def test_a_stolen_region_opens_no_other(fleet):
    """All that a region has on disk holds no secret, and no key for another region or service."""
    account = fleet.json("account", "create", "victim")["id"]
    made = fleet.json("key", "create", "--account", account)
    key = (made["access_key"], made["secret_key"])
    eventually(lambda: fleet.s3(ME, key).list_buckets())
    secrets = [made["secret_key"].encode(), fleet.info["secret_key"].encode()]
    for path in walk(fleet.regions[ME]["data"]):
        content = path.read_bytes()
        for secret in secrets:
            assert secret not in content, path
        assert path.name not in ("authority-key.pem", "credentials.json"), path
    # Nor does its own identity stand for another region: its admin API changes nothing.
    done = fleet.cli("account", "create", "forged", check=False, data=fleet.regions[ME]["data"])
    assert done.returncode == 1


def test_the_other_regions_go_on_without_the_registry(own_fleet):
    fleet = own_fleet
    # Nobody can verify then what ME relays.
    fleet.bucket("alone", EU, ME, options=["--trust-writes", ME])
    home, copy = fleet.s3(EU), fleet.s3(ME)
    home.put_object(Bucket="alone", Key="before", Body=b"1")
    eventually(lambda: body(copy, "alone", "before"))
    fleet.freeze(FIRST)
    home.put_object(Bucket="alone", Key="without", Body=b"2")
    eventually(lambda: body(copy, "alone", "without") == b"2")
    copy.put_object(Bucket="alone", Key="passed on", Body=b"3")
    assert body(home, "alone", "passed on") == b"3"
    # A restart without the registry.
    fleet.signal(ME, signal.SIGKILL)
    restarted = fleet.regions[ME]["data"] + "/running.json"
    old = fleet.regions[ME]["pid"]

    def again():
        running = json.loads(Path(restarted).read_text())
        if running["pid"] == old:
            return False
        fleet.regions[ME].update(endpoint=running["endpoint"], pid=running["pid"])
        return body(fleet.s3(ME), "alone", "without") == b"2"

    eventually(again, timeout=60)
    with pytest.raises(ClientError) as refused:
        fleet.s3(EU, timeout=60).create_bucket(
            Bucket="new", CreateBucketConfiguration={"LocationConstraint": EU})
    assert status(refused) == 503
    fleet.thaw(FIRST)
    eventually(lambda: fleet.s3(EU).create_bucket(
        Bucket="new", CreateBucketConfiguration={"LocationConstraint": EU}), timeout=60)
    # The region that moved to other ports is found again.
    home.put_object(Bucket="alone", Key="at last", Body=b"4")
    eventually(lambda: body(fleet.s3(ME), "alone", "at last") == b"4", timeout=60)


def test_a_lost_home_is_replaced_and_hands_over_what_it_alone_had(own_fleet):
    fleet = own_fleet
    fleet.bucket("drill", EU, ME, FIRST)
    home, heir = fleet.s3(EU), fleet.s3(ME)
    home.put_bucket_versioning(Bucket="drill", VersioningConfiguration={"Status": "Enabled"})
    for n in range(20):
        home.put_object(Bucket="drill", Key=f"k{n}", Body=b"before")
    want = listing(home, "drill")
    for region in (ME, FIRST):
        eventually(lambda: listing(fleet.s3(region), "drill") == want)
    refused = fleet.cli("region", "promote", EU, "--to", ME, check=False)
    assert refused.returncode == 1 and "still answers" in refused.stdout
    # Acknowledged while nobody listens: these are the home's alone. Large, so that their bytes
    # are not on the way in an answer already.
    fleet.freeze(ME, FIRST)
    lonely = b"acknowledged" * 20_000
    alone = home.put_object(Bucket="drill", Key="only here", Body=lonely)["VersionId"]
    home.put_object(Bucket="drill", Key="k0", Body=b"older than the heir's" * 20_000)
    fleet.freeze(EU)
    fleet.thaw(ME, FIRST)
    would = fleet.json("region", "promote", EU, "--to", ME, "--dry-run")
    assert would["buckets"] == [{"bucket": "drill", "home": ME, "uploads": None}]
    # Nobody can say which uploads are in progress there.
    promoted = fleet.cli("region", "promote", EU, "--to", ME).stdout
    assert f"Multipart uploads in progress at {EU}, if there are any, are lost" in promoted
    eventually(lambda: heir.put_object(Bucket="drill", Key="k0", Body=b"the heir's"))
    heir.delete_object(Bucket="drill", Key="k1")
    assert fleet.json("bucket", "show", "drill")["epoch"] == 2
    # The old home returns.
    fleet.thaw(EU)
    eventually(lambda: body(heir, "drill", "only here") == lonely, timeout=60)
    assert heir.head_object(Bucket="drill", Key="only here")["VersionId"] == alone
    assert body(heir, "drill", "k0") == b"the heir's"
    for region in (EU, FIRST):
        eventually(lambda: listing(fleet.s3(region), "drill") == listing(heir, "drill"), timeout=60)
    with pytest.raises(ClientError):
        heir.head_object(Bucket="drill", Key="k1")
    # Every divergent key is on record, once the heir has it.
    def divergent():
        entries = [e for e in fleet.audit() if e["action"] == "bucket.divergence"]
        return " ".join(str(e["detail"]) for e in entries)

    eventually(lambda: "only here" in divergent() and "k0" in divergent())
    # The way back is the same.
    fleet.cli("region", "promote", ME, "--to", EU, "--force")
    eventually(lambda: home.put_object(Bucket="drill", Key="back", Body=b"home"), timeout=60)
    for region in (ME, FIRST):
        eventually(lambda: listing(fleet.s3(region), "drill") == listing(home, "drill"),
                   timeout=60)
    actions = [e["action"] for e in fleet.audit()]
    assert "bucket.promote" in actions and "bucket.promote-forced" in actions


ENABLED = {"Status": "Enabled"}


def tags_of(s3, bucket):
    return {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}


def set_tag(s3, bucket, value):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "set", "Value": value}]})


def test_what_only_a_lost_home_had_set_comes_to_the_new_one(own_fleet):
    """The configuration that the old home acknowledged while it was cut off counts once it is back,
    but for what the new home has set since."""
    fleet = own_fleet
    fleet.bucket("plain", EU, ME)
    fleet.bucket("archive", EU)
    home, heir = fleet.s3(EU), fleet.s3(ME)
    eventually(lambda: home.put_bucket_versioning(Bucket="archive", VersioningConfiguration=ENABLED))
    eventually(lambda: home.put_object(Bucket="plain", Key="seed", Body=b"x"))
    eventually(lambda: body(heir, "plain", "seed"))
    fleet.freeze(ME)
    # It answers a question for changes that the replica has asked already.
    home.put_object(Bucket="plain", Key="filler", Body=b"x")
    home.put_bucket_versioning(Bucket="plain", VersioningConfiguration=ENABLED)
    set_tag(home, "plain", "by the old home")
    home.put_bucket_replication(Bucket="plain", ReplicationConfiguration={
        "Role": "arn:aws:iam::1:role/any", "Rules": [{
            "ID": "all", "Priority": 1, "Filter": {"Prefix": ""}, "Status": "Enabled",
            "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": "arn:aws:s3:::archive"}}]})
    alone = home.put_object(Bucket="plain", Key="doc", Body=b"alone")["VersionId"]
    fleet.freeze(EU)
    fleet.thaw(ME)
    eventually(lambda: fleet.cli("bucket", "promote", "plain"), timeout=60)
    eventually(lambda: set_tag(heir, "plain", "by the new home") is None, timeout=60)
    fleet.thaw(EU)
    for s3 in (heir, home):
        eventually(lambda: s3.get_bucket_versioning(Bucket="plain").get("Status") == "Enabled",
                   timeout=60)
        assert tags_of(s3, "plain") == {"set": "by the new home"}
        rules = s3.get_bucket_replication(Bucket="plain")["ReplicationConfiguration"]["Rules"]
        assert [rule["ID"] for rule in rules] == ["all"]
    made = [heir.put_object(Bucket="plain", Key="doc", Body=b"%d" % n)["VersionId"]
            for n in range(2)]
    eventually(lambda: {v for k, v, *_ in listing(heir, "plain") if k == "doc"} == {alone, *made})


def test_the_deed_chooses_who_follows_a_lost_home(own_fleet):
    fleet = own_fleet
    fleet.bucket("heirs", EU, ME, FIRST)
    refused = fleet.cli("bucket", "place", "heirs", "--successor", EU, check=False)
    assert refused.returncode == 1 and "cannot be a successor" in refused.stderr
    fleet.cli("bucket", "place", "heirs", "--successor", ME)
    assert fleet.json("bucket", "show", "heirs")["successors"] == [ME]
    fleet.s3(EU).put_object(Bucket="heirs", Key="kept", Body=b"kept")
    for region in (ME, FIRST):
        eventually(lambda r=region: body(fleet.s3(r), "heirs", "kept") == b"kept")

    def would():
        return fleet.json("region", "promote", EU, "--dry-run", check=False)["buckets"]

    assert "still answers" in would()[0]["error"]
    refused = fleet.cli("bucket", "place", "heirs", "--home", ME, "--dry-run", check=False)
    assert refused.returncode == 1 and "still answers" in refused.stderr
    forced = fleet.json("bucket", "place", "heirs", "--home", ME, "--force", "--dry-run")
    assert (forced["bucket"]["home"], forced["bucket"]["epoch"]) == (ME, 2)
    # Out of touch, as the region would be that is lost.
    fleet.freeze(EU)
    assert would() == [{"bucket": "heirs", "home": ME, "uploads": None}]
    # Who is lost as well does not follow.
    fleet.freeze(ME)
    assert would() == [{"bucket": "heirs", "home": FIRST, "uploads": None}]
    fleet.thaw(ME)
    eventually(lambda: would() == [{"bucket": "heirs", "home": ME, "uploads": None}])
    # Nor does one that is being drained: it would have to be left again.
    fleet.cli("region", "drain", ME)
    assert would() == [{"bucket": "heirs", "home": FIRST, "uploads": None}]
    fleet.cli("region", "reopen", ME)
    assert would() == [{"bucket": "heirs", "home": ME, "uploads": None}]
    assert fleet.json("bucket", "show", "heirs")["epoch"] == 1
    fleet.cli("region", "promote", EU)
    shown = fleet.json("bucket", "show", "heirs")
    assert (shown["home"], shown["successors"], shown["epoch"]) == (ME, [], 2)
    eventually(lambda: fleet.s3(ME).put_object(Bucket="heirs", Key="new", Body=b"new"))
    fleet.thaw(EU)
    eventually(lambda: body(fleet.s3(EU), "heirs", "new") == b"new", timeout=60)


def test_regions_that_are_killed_lose_nothing_and_end_equal(own_fleet):
    fleet = own_fleet
    fleet.bucket("killed", EU, ME)
    acknowledged, rng = {}, random.Random(11)

    def running(region):
        data = fleet.regions[region]["data"]
        found = json.loads(Path(f"{data}/running.json").read_text())
        if found["pid"] == fleet.regions[region]["pid"]:
            return False
        fleet.regions[region].update(endpoint=found["endpoint"], pid=found["pid"])
        return fleet.s3(region).list_buckets()

    for round_ in range(4):
        home = fleet.s3(EU)
        for n in range(25):
            key, value = f"{round_}-{n}", rng.randbytes(rng.choice([50, 90_000]))
            home.put_object(Bucket="killed", Key=key, Body=value)
            acknowledged[key] = value
        victim = (EU, ME)[round_ % 2]
        fleet.signal(victim, signal.SIGKILL)
        eventually(lambda: running(victim), timeout=60)
    copy = fleet.s3(ME)
    want = listing(fleet.s3(EU), "killed")
    assert len(want) == len(acknowledged)
    eventually(lambda: listing(copy, "killed") == want, timeout=60)
    for key, value in acknowledged.items():
        assert body(copy, "killed", key) == value


def test_a_region_opens_on_a_live_cloud_and_its_law_holds_at_once(tmp_path):
    from dhow import Dhow

    fleet = Fleet(tmp_path / "data", 2).start()
    new = None
    try:
        home = fleet.s3(EU)
        fleet.bucket("live", EU)
        home.put_object(Bucket="live", Key="k", Body=b"before")
        would = fleet.json("region", "open", "ap-northeast-1", "--dry-run")
        assert would["dry_run"] and would["region"]["jurisdiction"] == "JP"
        assert len(fleet.json("region", "list")) == 2
        planned = fleet.json("region", "open", "ap-northeast-1")
        new = Dhow(tmp_path / "new", args=["--peer", "127.0.0.1:0", "--join", planned["token"]])
        new.start()
        assert new.region == "ap-northeast-1"
        eventually(lambda: fleet.json("region", "show", "ap-northeast-1")["status"] == "open")
        fleet.regions["ap-northeast-1"] = {**new.info, "pid": new.process.pid}
        fleet.cli("bucket", "place", "live", "--add-replica", "ap-northeast-1",
                  "--jurisdiction", "EU", "--jurisdiction", "JP")
        eventually(lambda: body(fleet.s3("ap-northeast-1"), "live", "k") == b"before")
        # The way back: nothing is closed that is still in a placement.
        refused = fleet.cli("region", "close", "ap-northeast-1", check=False)
        assert refused.returncode == 1
        fleet.cli("region", "drain", "ap-northeast-1")
        refused = fleet.cli("region", "close", "ap-northeast-1", check=False)
        assert refused.returncode == 1 and "1 buckets" in refused.stderr
        refused = fleet.cli("bucket", "create", "late", "--home", "ap-northeast-1", check=False)
        assert refused.returncode == 1 and "draining" in refused.stderr
        fleet.cli("bucket", "place", "live", "--remove-replica", "ap-northeast-1")
        fleet.cli("region", "close", "ap-northeast-1")
        # Its certificate is worth nothing from here on.
        eventually(lambda: "CertificateRevoked" in new.log_text(), timeout=60)
    finally:
        if new is not None:
            new.kill()
        fleet.regions.pop("ap-northeast-1", None)
        fleet.stop()


@pytest.fixture
def fleet_that_stays(tmp_path):
    """For tests that lose the registry's region, which comes back where it was."""
    fleet = Fleet(tmp_path / "data", 3, first_port=free_ports(random.Random())).start()
    yield fleet
    fleet.stop()


def test_draining_moves_all_that_has_another_lawful_place(fleet_that_stays):
    fleet = fleet_that_stays
    fleet.bucket("homed", ME, EU)
    fleet.bucket("copied", EU, ME)
    fleet.bucket("single", ME)
    fleet.bucket("lawful", ME, options=["--jurisdiction", "AE"])
    fleet.bucket("shared", ME, EU, options=["--writes", "any"])
    here, there = fleet.s3(ME), fleet.s3(EU)
    for name in ("homed", "single", "lawful"):
        for n in range(30):
            here.put_object(Bucket=name, Key=f"k{n}", Body=bytes([n]) * 1000)
    there.put_object(Bucket="copied", Key="k", Body=b"k")

    def drain(*args):
        told = fleet.cli("region", "drain", ME, "--move", *args, "--json", check=False,
                         timeout=120)
        assert told.stdout, told.stderr
        return told.returncode, {m.pop("bucket"): m for m in json.loads(told.stdout)["moves"]}

    rc, would = drain("--dry-run")
    assert rc == 1 and set(would) == {"homed", "copied", "single", "lawful", "shared"}
    # While its copies take writes none of them can go, so its home does not move either.
    assert "--writes home" in would["shared"]["error"]
    fleet.cli("bucket", "place", "shared", "--writes", "home")
    assert (would["homed"]["home"], would["homed"]["replica"]) == (EU, None)
    assert (would["copied"]["home"], would["copied"]["replica"]) == (None, None)
    assert "no other replica" in would["single"]["error"]
    rc, would = drain("--to", EU, "--dry-run")
    none = {"uploads": 0, "parts": 0, "bytes": 0, "more": False}
    assert would["single"] == {"home": EU, "replica": EU, "copy": EU, "versions": 30,
                               "bytes": 30_000, "uploads": none, "others": []}
    assert "jurisdictions do not allow" in would["lawful"]["error"]
    assert fleet.json("region", "show", ME)["status"] == "open"
    assert fleet.json("bucket", "show", "homed")["home"] == ME
    # The drain goes on without the command, and without the process that was at it. While EU is
    # frozen nothing can move.
    fleet.freeze(EU)
    command = [BIN, "region", "drain", ME, "--move", "--to", EU, "--data", fleet.data]
    caller = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    assert "has begun" in caller.stderr.readline()
    caller.send_signal(signal.SIGINT)
    said = caller.communicate(timeout=60)[1]
    assert caller.returncode == 130 and f"The drain of {ME} goes on" in said, said
    begun = fleet.json("region", "show", ME)
    assert (begun["status"], begun["drain"]["state"]) == ("draining", "moving")
    fleet.signal(FIRST, signal.SIGKILL)
    fleet.thaw(EU)
    # Until it reaches the home again it sends clients there.
    eventually(lambda: fleet.s3(EU).put_object(Bucket="homed", Key="again", Body=b""))
    there = fleet.s3(EU)
    # Under writes.
    kept, ended = {}, threading.Event()

    def write():
        n = 0
        while not ended.is_set():
            n += 1
            try:
                there.put_object(Bucket="homed", Key=f"w{n}", Body=str(n).encode())
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
            else:
                kept[f"w{n}"] = str(n).encode()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: len(kept) > 10)
        shown = eventually(lambda: waiting(fleet), timeout=120)
        before = len(kept)
        eventually(lambda: len(kept) > before)
    finally:
        ended.set()
        writer.join()
    assert [one["bucket"] for one in shown["stays"]] == ["lawful"]
    assert (shown["left"], shown["to"]) == (1, EU) and shown["begun"] == begun["drain"]["begun"]
    by = {e["actor"] for e in fleet.audit() if e["action"] == "region.drain"}
    assert by == {shown["by"]}
    for key, value in kept.items():
        assert body(there, "homed", key) == value
    for name in ("homed", "single"):
        for n in range(30):
            assert body(there, name, f"k{n}") == bytes([n]) * 1000
    left = [b["name"] for b in fleet.json("bucket", "list") if ME in str(b)]
    assert left == ["lawful"]
    # What has no other lawful place holds the region open, until it gets one.
    refused = fleet.cli("region", "close", ME, check=False)
    assert refused.returncode == 1 and "1 buckets" in refused.stderr
    assert fleet.json("region", "drain", ME, "--abort")["state"] == "aborted"
    assert fleet.json("region", "show", ME)["status"] == "draining"
    fleet.cli("bucket", "place", "lawful", "--jurisdiction", "AE", "--jurisdiction", "EU")
    rc, done = drain("--to", EU)
    assert rc == 0 and done["lawful"]["home"] == EU
    assert fleet.json("region", "drain", ME, "--status")["state"] == "done"
    assert body(there, "lawful", "k29") == bytes([29]) * 1000
    assert fleet.json("region", "close", ME)["status"] == "closed"


def waiting(fleet):
    """The drain of ME, once all that could move has moved, and only `lawful` is left."""
    shown = fleet.json("region", "drain", ME, "--status")
    return shown if (shown["state"], shown["left"]) == ("waiting", 1) else None


class SlowPart:
    """An UploadPart of which the region has begun to read the body, and which has not ended."""

    def __init__(self, fleet, region, path, query):
        host = fleet.regions[region]["endpoint"].split("//")[1]
        client = Client(host, region, fleet.info["access_key"], fleet.info["secret_key"])
        signed = client.headers("PUT", path, query)
        lines = [f"PUT {path}?{query} HTTP/1.1", *(f"{k}: {v}" for k, v in signed.items()),
                 "content-length: 2000", "expect: 100-continue", "connection: close"]
        name, port = host.split(":")
        self.socket = socket.create_connection((name, int(port)), timeout=60)
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert b" 100 " in self.socket.recv(100)
        self.socket.sendall(b"x" * 1000)

    def end(self):
        """The status that it is answered with."""
        self.socket.sendall(b"x" * 1000)
        with self.socket.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def test_a_bucket_with_uploads_in_progress_keeps_its_home(fleet):
    fleet.bucket("parted", EU, ME)
    home, heir, canary = fleet.s3(EU), fleet.s3(ME), os.urandom(24).hex().encode()
    named = {"Bucket": "parted", "Key": "k"}
    upload = home.create_multipart_upload(**named)["UploadId"]
    part = home.upload_part(**named, UploadId=upload, PartNumber=1, Body=canary * 1000)["ETag"]
    one = {"uploads": 1, "parts": 1, "bytes": 48_000, "more": False}
    assert fleet.json("bucket", "show", "parted")["uploads"] == one
    assert "1 in progress, with 48000 bytes in 1 parts" in fleet.cli("bucket", "show",
                                                                     "parted").stdout
    for command in (["bucket", "move", "parted", "--to", ME],
                    ["bucket", "move", "parted", "--to", FIRST],
                    ["bucket", "promote", "parted", "--to", ME, "--force"],
                    ["bucket", "place", "parted", "--home", ME, "--force"]):
        for more in ([], ["--dry-run"]):
            refused = fleet.cli(*command, *more, check=False)
            assert refused.returncode == 1, (command, refused.stdout)
            for word in ("parted", EU, "list-multipart-uploads", "--abort-uploads", "48000 bytes"):
                assert word in refused.stderr, (command, refused.stderr)
    plan = fleet.json("region", "drain", EU, "--move", "--dry-run", check=False)["moves"]
    stays = next(m for m in plan if m["bucket"] == "parted")
    assert "parted" in stays["error"] and stays["uploads"] == one
    shown = fleet.json("bucket", "show", "parted")
    assert (shown["home"], shown["epoch"], len(shown["replicas"])) == (EU, 1, 1)
    done = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    home.complete_multipart_upload(**named, UploadId=upload, MultipartUpload=done)
    assert body(home, "parted", "k") == canary * 1000
    # They are lost when that is asked for. What is on its way then is refused, as other writes are.
    canary = os.urandom(24).hex().encode()
    upload = home.create_multipart_upload(**named)["UploadId"]
    home.upload_part(**named, UploadId=upload, PartNumber=1, Body=canary * 1000)
    extents = [p for p in walk(f"{fleet.regions[EU]['data']}/extents")
               if canary in p.read_bytes()]
    assert extents
    slow = SlowPart(fleet, EU, "/parted/k", f"partNumber=2&uploadId={upload}")
    would = fleet.cli("bucket", "move", "parted", "--to", ME, "--abort-uploads", "--dry-run")
    assert f"Multipart uploads at {EU} would be lost: 1 in progress" in would.stdout
    moved = fleet.json("bucket", "move", "parted", "--to", ME, "--abort-uploads")
    assert (moved["home"], moved["uploads"]) == (ME, one)
    assert slow.end() == 503
    for s3 in (home, heir):
        late = {**named, "UploadId": upload, "PartNumber": 2, "Body": b"late"}
        assert eventually(lambda: outcome(lambda: s3.upload_part(**late))) == "NoSuchUpload"
    # Their parts do not stay where nobody can complete them.
    eventually(lambda: not any(p.exists() for p in extents))
    log = Path(fleet.regions[EU]["data"], "dhow.log").read_text()
    assert "multipart uploads that were in progress here are aborted" in log
    assert body(heir, "parted", "k") == body(home, "parted", "k")
    # Without any the way back is free.
    assert fleet.json("bucket", "move", "parted", "--to", EU)["uploads"]["uploads"] == 0


def outcome(ask):
    """"done", or what is refused for good; nothing while the region asks for patience."""
    try:
        ask()
    except ClientError as error:
        patience = error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        return None if patience else error.response["Error"]["Code"]
    return "done"


def test_a_silent_region_holds_up_no_drain_that_names_another(tmp_path):
    """What has its only other replica at a region that answers nobody goes where the order says."""
    fleet = Fleet(tmp_path / "data", 3).start()
    try:
        names = ["silent-a", "silent-b"]
        for name in names:
            fleet.bucket(name, EU, ME)
            fleet.s3(EU).put_object(Bucket=name, Key="k", Body=name.encode())
        fleet.freeze(ME)
        fleet.cli("region", "drain", EU, "--move", "--to", FIRST, timeout=300)
        for name in names:
            shown = fleet.json("bucket", "show", name)
            assert shown["home"] == FIRST and EU not in shown["replicas"]
            assert body(fleet.s3(FIRST), name, "k") == name.encode()
    finally:
        fleet.thaw(ME)
        fleet.stop()


def test_a_region_with_a_wrong_clock_refuses_writes(tmp_path):
    fleet = Fleet(tmp_path / "data", 2).start()
    try:
        plan = ["--jurisdiction", "JP", "--operator", "softbank"]
        refused = fleet.cli("region", "open", "UPPER", *plan, check=False)
        assert refused.returncode == 1
        planned = fleet.json("region", "open", "ap-late-1", *plan)
        from dhow import Dhow

        late = Dhow(tmp_path / "late", args=["--peer", "127.0.0.1:0", "--join", planned["token"],
                                             "--clock-ahead-ms", "4000"])
        show = lambda: fleet.json("region", "show", "ap-late-1")
        assert "first start with its join token" in show()["waits_for"]
        late.start()
        eventually(lambda: "ahead of the registry's, 2000 are allowed" in show()["waits_for"])
        assert show()["status"] == "joining", "a clock that is off is not let in"
        assert "ap-late-1 waits for: the clock" in fleet.cli("region", "list").stdout
        late.stop()
        late.args = ["--peer", "127.0.0.1:0"]
        late.start()
        eventually(lambda: fleet.json("region", "show", "ap-late-1")["status"] == "open")
        # The law of its country holds from the start.
        fleet.bucket("timely", "ap-late-1", EU, options=["--jurisdiction", "JP",
                                                         "--jurisdiction", "EU"])
        fleet.regions["ap-late-1"] = {**late.info, "pid": late.process.pid,
                                      "data": str(late.data)}
        s3 = fleet.s3("ap-late-1")
        eventually(lambda: s3.put_object(Bucket="timely", Key="k", Body=b"in time"))
        eventually(lambda: body(fleet.s3(EU), "timely", "k") == b"in time")
        # Where no bucket has its home, nobody's promise is missed.
        eventually(lambda: "dhow_promise_milliseconds{" in fleet.metrics("ap-late-1"))
        assert "dhow_promise_milliseconds{" not in fleet.metrics(EU)
        late.stop()
        late.args += ["--clock-ahead-ms", "-10000"]
        late.start()
        fleet.regions["ap-late-1"].update(endpoint=late.endpoint, pid=late.process.pid)
        s3 = fleet.s3("ap-late-1")

        def doubted():
            try:
                s3.put_object(Bucket="timely", Key="k2", Body=b"?")
                return False
            except ClientError as error:
                return "clock" in error.response["Error"]["Message"]

        eventually(doubted)
        eventually(lambda: show()["clock_off"])
        assert -12_000 < show()["clock_ahead_ms"] < -8_000 and show()["waits_for"] == ""
        found = fleet.cli("doctor", data=fleet.regions[FIRST]["data"], check=False).stdout
        assert re.search(r"region clocks +that of ap-late-1 is \d+ ms behind the others'", found), found
        found = late.cli("doctor", check=False).stdout
        assert re.search(r"^fail +clock +it is \d+ ms behind the other regions'", found, re.M), found
        assert len(re.findall(r"^\w+ +clock ", found, re.M)) == 1, found
        assert body(s3, "timely", "k") == b"in time", "reads go on"
        serial = show()["certificates"][0]["serial"]
        said = fleet.cli("region", "revoke", "ap-late-1", "--serial", serial).stdout
        assert f"Certificate {serial} of region ap-late-1 is revoked" in said, said
        assert f"{serial} revoked" in fleet.cli("region", "show", "ap-late-1").stdout
        late.stop()
        # The token was good once.
        thief = Dhow(tmp_path / "thief", args=["--peer", "127.0.0.1:0", "--join",
                                               planned["token"]])
        with pytest.raises(RuntimeError, match="join token"):
            thief.start()
    finally:
        fleet.regions.pop("ap-late-1", None)
        fleet.stop()


def test_certificates_rotate_under_load(tmp_path):
    """Certificates that live for seconds: every region renews its own, and those that it began
    with are over, with requests between them under way all the while: none fails."""
    life = 12
    fleet = Fleet(tmp_path / "data", 2, ["--certificate-life-s", life]).start()
    over = time.monotonic() + life + 1
    try:
        fleet.bucket("lively", FIRST, EU)
        home, copy = fleet.s3(FIRST), fleet.s3(EU)
        eventually(lambda: copy.put_object(Bucket="lively", Key="k", Body=b"1"))
        logs = {r: Path(fleet.regions[r]["data"]) / "dhow.log" for r in fleet.ids}
        renewed = lambda r: logs[r].read_text().count("certificate was renewed")
        before = {r: renewed(r) for r in fleet.ids}
        stop, done, failed = threading.Event(), [], []

        def work(number):
            client, n = fleet.s3(EU), 0
            while not stop.is_set():
                key, n = f"{number}-{n}", n + 1
                try:
                    # Passed on to the home, small and in a stream that lasts.
                    client.put_object(Bucket="lively", Key=key, Body=b"." * (n % 50 * 20_000))
                    done.append(key)
                except Exception as error:
                    failed.append(error)

        workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for worker in workers:
            worker.start()
        try:
            eventually(lambda: failed or time.monotonic() > over
                       and all(renewed(r) > before[r] for r in fleet.ids), timeout=90)
        finally:
            stop.set()
            for worker in workers:
                worker.join(30)
        assert not failed, failed[:3]
        assert len(done) > 100
        want = listing(home, "lively")
        assert {key for key, *_ in want} == {"k", *done}
        eventually(lambda: listing(copy, "lively") == want)
        text = "".join(log.read_text() for log in logs.values())
        assert "cannot renew" not in text
    finally:
        fleet.stop()


def test_a_signature_for_an_alias_is_told_the_regions_name(fleet):
    """SDKs sign for `us-east-1` where nobody names a region, and read the right one from the error."""
    elsewhere = next(r for r in fleet.ids if r != fleet.ids[0])
    pair = fleet.info["access_key"], fleet.info["secret_key"]
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id=pair[0],
                      aws_secret_access_key=pair[1],
                      endpoint_url=fleet.regions[elsewhere]["endpoint"],
                      config=Config(retries={"max_attempts": 0}))
    with pytest.raises(ClientError) as refused:
        s3.list_buckets()
    error = refused.value.response["Error"]
    assert error["Code"] == "AuthorizationHeaderMalformed", error
    assert elsewhere in error["Message"], error


def defaults(fleet, endpoint, region):
    """A client as boto3 makes it where only an endpoint and a region are given."""
    return boto3.client("s3", endpoint_url=fleet.regions[endpoint]["endpoint"],
                        region_name=region, aws_access_key_id=fleet.info["access_key"],
                        aws_secret_access_key=fleet.info["secret_key"])


def test_sdks_at_their_defaults_find_a_bucket_in_any_region(fleet):
    registry, other = fleet.ids[0], next(r for r in fleet.ids if r != fleet.ids[0])
    right = defaults(fleet, other, other)
    right.create_bucket(Bucket="at-other",
                        CreateBucketConfiguration={"LocationConstraint": other})
    # The default region of SDKs, and a name that says nothing: the SDK signs anew by the error.
    for wrong in ("us-east-1", "auto", registry):
        # The first request of a client may be a HEAD, whose answer has no body.
        assert defaults(fleet, other, wrong).head_bucket(Bucket="at-other")["BucketRegion"] == other
        s3 = defaults(fleet, other, wrong)
        s3.put_object(Bucket="at-other", Key="k", Body=b"x")
        assert s3.get_object(Bucket="at-other", Key="k")["Body"].read() == b"x"
        head = defaults(fleet, other, wrong).head_object(Bucket="at-other", Key="k")
        assert head["ContentLength"] == 1
        head = s3.head_bucket(Bucket="at-other")
        assert head["BucketRegion"] == other
    # Where the bucket is, every region says to the owner, and to nobody else.
    at_registry = defaults(fleet, registry, registry)
    assert at_registry.get_bucket_location(Bucket="at-other")["LocationConstraint"] == other
    # The endpoint is not the bucket's: the error names the one that is.
    endpoint = fleet.regions[other]["endpoint"].removeprefix("http://")
    with pytest.raises(ClientError) as e:
        fleet.s3(registry).list_objects_v2(Bucket="at-other")
    error = e.value.response["Error"]
    assert endpoint in error["Message"], error
    with pytest.raises(ClientError) as e:
        defaults(fleet, registry, other).list_buckets()
    error = e.value.response["Error"]
    assert error["Code"] == "AuthorizationHeaderMalformed", error
    assert endpoint in error["Message"], error
    with pytest.raises(ClientError) as e:
        boto3.client("s3", endpoint_url=fleet.regions[registry]["endpoint"], region_name=other,
                     aws_access_key_id="DHOWNOSUCHKEY0000000",
                     aws_secret_access_key="no secret").list_buckets()
    assert endpoint not in e.value.response["Error"]["Message"]


def test_making_ones_own_bucket_again_is_no_error_under_the_default_region(fleet):
    registry = fleet.ids[0]
    default = defaults(fleet, registry, "us-east-1")
    for _ in range(2):
        default.create_bucket(Bucket="made-twice")
    # With tags there is more to be done than that the bucket is there.
    tags = {"Tags": [{"Key": "a", "Value": "1"}]}
    with pytest.raises(ClientError) as e:
        default.create_bucket(Bucket="made-twice", CreateBucketConfiguration=tags)
    assert e.value.response["Error"]["Code"] == "BucketAlreadyOwnedByYou"
    with pytest.raises(ClientError) as e:
        defaults(fleet, registry, registry).create_bucket(Bucket="made-twice")
    assert e.value.response["Error"]["Code"] == "BucketAlreadyOwnedByYou"
