"""A region's folder is put back to an older state, as from a backup: nothing that was acknowledged
and is in another region goes, both come to hold the same, and no status says more than is true."""

import json
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from fleet import Fleet, body, eventually, free_ports, listing, status
from test_clones import copied, ports, put_back, started

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


@pytest.mark.parametrize("at_home, at_copy", [(EU, FIRST), (FIRST, EU)])
def test_a_home_from_a_backup_gets_back_what_its_copy_has(tmp_path, at_home, at_copy):
    # At ports of its own, so that the regions find each other when they start again.
    fleet = Fleet(tmp_path / "data", 2, first_port=free_ports(random.Random())).start()
    try:
        for name in ("plain", "kept"):
            fleet.bucket(name, at_home, at_copy)
        home, copy = (eventually(lambda r=r: fleet.s3(r)) for r in (at_home, at_copy))
        eventually(lambda: home.put_bucket_versioning(
            Bucket="kept", VersioningConfiguration={"Status": "Enabled"}))
        for name in ("plain", "kept"):
            for n in range(5):
                eventually(lambda: home.put_object(Bucket=name, Key=f"old{n}", Body=b"old"))
        eventually(lambda: [body(copy, b, "old4") for b in ("plain", "kept")])
    finally:
        fleet.stop()
    backup = tmp_path / "backup"
    shutil.copytree(fleet.data / at_home, backup)

    fleet.start()
    try:
        home, copy = (eventually(lambda r=r: fleet.s3(r)) for r in (at_home, at_copy))
        for name in ("plain", "kept"):
            for n in range(5):
                eventually(lambda: home.put_object(Bucket=name, Key=f"new{n}", Body=b"new"))
            home.put_object(Bucket=name, Key="old0", Body=b"newer")
        for name in ("plain", "kept"):
            eventually(lambda: body(copy, name, "new4") == b"new"
                       and body(copy, name, "old0") == b"newer")
    finally:
        fleet.stop()
    shutil.rmtree(fleet.data / at_home)
    shutil.copytree(backup, fleet.data / at_home)

    fleet.start()
    try:
        home, copy = (eventually(lambda r=r: fleet.s3(r)) for r in (at_home, at_copy))
        for name in ("plain", "kept"):
            # The copy keeps what it has, whatever the home lacks, and the home gets it.
            for s3 in (copy, home):
                for n in range(5):
                    eventually(lambda: body(s3, name, f"new{n}") == b"new", timeout=60)
                eventually(lambda: body(s3, name, "old0") == b"newer", timeout=60)
            eventually(lambda: home.put_object(Bucket=name, Key="later", Body=b"later"))
            eventually(lambda: body(copy, name, "later") == b"later", timeout=60)
            eventually(lambda: listing(home, name) == listing(copy, name), timeout=60)
        # It went on the copy's word, so it is on record; but not in a registry that was put back
        # itself, which changes nothing.
        if at_home != FIRST:
            assert any(entry["action"] == "bucket.divergence" for entry in fleet.audit())
    finally:
        fleet.stop()


def test_a_home_from_a_backup_gets_back_what_was_set_since(tmp_path):
    """Versioning, tags of the bucket and tags of objects: what was acknowledged after the backup
    comes back from the replica, before the home serves again."""
    fleet = Fleet(tmp_path / "data", 2, first_port=free_ports(random.Random())).start()

    def clients():
        return [eventually(lambda r=r: fleet.s3(r)) for r in (EU, FIRST)]

    def state(s3):
        tags = s3.get_bucket_tagging(Bucket="papers")["TagSet"]
        of_object = s3.get_object_tagging(Bucket="papers", Key="old")["TagSet"]
        return s3.get_bucket_versioning(Bucket="papers").get("Status"), tags, of_object

    try:
        fleet.bucket("papers", EU, FIRST)
        home, copy = clients()
        eventually(lambda: home.put_object(Bucket="papers", Key="old", Body=b"old"))
        eventually(lambda: body(copy, "papers", "old"))
    finally:
        fleet.stop()
    backup = tmp_path / "backup"
    shutil.copytree(fleet.data / EU, backup)

    fleet.start()
    try:
        home, copy = clients()
        tags = {"TagSet": [{"Key": "set", "Value": "acknowledged"}]}
        eventually(lambda: home.put_object_tagging(Bucket="papers", Key="old", Tagging=tags))
        home.put_bucket_tagging(Bucket="papers", Tagging=tags)
        home.put_bucket_versioning(Bucket="papers", VersioningConfiguration={"Status": "Enabled"})
        home.put_object(Bucket="papers", Key="doc", Body=b"0")
        want = state(home)
        eventually(lambda: body(copy, "papers", "doc") == b"0" and state(copy) == want)
    finally:
        fleet.stop()
    shutil.rmtree(fleet.data / EU)
    shutil.copytree(backup, fleet.data / EU)

    fleet.start()
    try:
        home, copy = clients()
        # What it answers first is right already.
        assert eventually(lambda: home.get_bucket_versioning(Bucket="papers"),
                          timeout=60).get("Status") == "Enabled"
        for s3 in (home, copy):
            assert eventually(lambda: state(s3), timeout=60)[:2] == want[:2]
            eventually(lambda: state(s3) == want, timeout=60)
        for n in (b"1", b"2"):
            home.put_object(Bucket="papers", Key="doc", Body=n)
        assert len([key for key, *_ in listing(home, "papers") if key == "doc"]) == 3
    finally:
        fleet.stop()


def copy_of(fleet, bucket, region):
    shown = fleet.json("bucket", "show", bucket)
    return next(c for c in shown["replica_status"] if c["region"] == region)


def test_a_copy_that_is_added_again_is_up_to_date_only_once_it_has_all(tmp_path):
    """What is said of a copy ends with its removal: whenever the home says that it has all, it has."""
    fleet = Fleet(tmp_path / "data", 2, ["--removed-grace-s", 0]).start()
    try:
        fleet.bucket("papers", FIRST, EU)
        home, copy = (eventually(lambda r=r: fleet.s3(r)) for r in (FIRST, EU))
        eventually(lambda: home.put_bucket_versioning(
            Bucket="papers", VersioningConfiguration={"Status": "Enabled"}))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: home.put_object(Bucket="papers", Key=f"k{n}", Body=b"x" * 200_000),
                          range(100)))
        eventually(lambda: copy_of(fleet, "papers", EU)["behind"] == 0)
        for again in range(3):
            fleet.cli("bucket", "place", "papers", "--remove-replica", EU)
            if again < 2:
                # All is gone there before it is added again.
                eventually(lambda: (fleet.data / EU / "dhow.log").read_text().count(
                    "rows of a bucket that is not placed here any more were removed") > again)
            if again != 1:
                home.put_object(Bucket="papers", Key=f"more{again}", Body=b"more")
            want = {entry[1] for entry in listing(home, "papers")}
            fleet.cli("bucket", "place", "papers", "--add-replica", EU)
            deadline = time.monotonic() + 60
            while True:
                shown = copy_of(fleet, "papers", EU)
                head = home.head_object(Bucket="papers", Key="k0")
                if shown["behind"] == 0 or head["ReplicationStatus"] == "COMPLETED":
                    here = {entry[1] for entry in listing(copy, "papers")}
                    if shown["behind"] == 0:
                        assert here == want, (again, len(here), len(want), shown)
                        break
                    assert here, "k0 is said to be there"
                assert time.monotonic() < deadline, shown
    finally:
        fleet.stop()


def test_a_registry_from_a_backup_is_brought_up_to_date_from_a_follower(tmp_path):
    """It is stopped by a region that has more. One command takes over what is missing, names what no
    region has, and gives nobody rights; then the registry goes on, and the others follow."""
    fleet = Fleet(tmp_path / "data", 3, first_port=free_ports(random.Random())).start()
    process = None
    try:
        account = fleet.json("account", "create", "acme")["id"]
        keys = [fleet.json("key", "create", "--account", account) for _ in range(3)]
        fleet.bucket("before", EU, ME)
        fleet.stop()
        backup = copied(fleet, FIRST, tmp_path / "backup")

        fleet.start()
        root = eventually(lambda: fleet.s3(EU))
        fleet.cli("key", "disable", keys[0]["access_key"])
        fleet.cli("key", "delete", keys[1]["access_key"])
        later = fleet.json("key", "create", "--account", account)
        fleet.bucket("after", EU, ME)
        eventually(lambda: root.put_object(Bucket="after", Key="k", Body=b"kept"))
        length = len(fleet.audit())
        eventually(lambda: "after" in [b["Name"] for b in fleet.s3(ME).list_buckets()["Buckets"]])
        put_back(fleet, FIRST, backup)

        data = fleet.data / FIRST
        process = started(data, FIRST, ports(fleet, FIRST))
        refused = eventually(lambda: why_not(fleet, data), timeout=60)
        assert "older state" in refused and "dhow registry catch-up" in refused, refused
        running = fleet.cli("registry", "catch-up", "--yes", data=data, check=False)
        assert running.returncode == 1 and "stop it first" in running.stderr
        stop(process)

        shown = json.loads(fleet.cli("registry", "catch-up", "--dry-run", "--json", data=data).stdout)
        assert shown["missing"] > 0 and shown["done"] is None, shown
        assert shown["actions"]["bucket.create"] == 1, shown
        assert list(shown["lost"]) == ["k/" + later["access_key"]], shown
        unasked = fleet.cli("registry", "catch-up", data=data, check=False)
        assert unasked.returncode == 1 and "--yes" in unasked.stderr, unasked.stderr
        taken = fleet.cli("registry", "catch-up", "--yes", data=data)
        assert later["access_key"] in taken.stdout, taken.stdout
        again = fleet.cli("registry", "catch-up", "--yes", data=data)
        assert "No region that answers has more" in again.stdout, again.stdout

        process = started(data, FIRST, ports(fleet, FIRST))
        eventually(lambda: fleet.json("account", "create", "more"), timeout=60,
                   also=(AssertionError, json.JSONDecodeError))
        log = fleet.audit()
        assert len(log) > length and "registry.catch_up" in [one["action"] for one in log]
        states = {one["access_key"]: one["status"] for one in fleet.json("key", "list")}
        assert states[keys[0]["access_key"]] == "disabled"
        assert states[keys[2]["access_key"]] == "active"
        assert keys[1]["access_key"] not in states and later["access_key"] not in states
        assert {"before", "after"} <= {b["name"] for b in fleet.json("bucket", "list")}
        assert body(fleet.s3(EU), "after", "k") == b"kept"
        # They follow on: what is made now arrives, and the key that is lost opens nothing.
        fleet.bucket("now", EU, ME)
        eventually(lambda: "now" in [b["Name"] for b in fleet.s3(ME).list_buckets()["Buckets"]])
        for region in (EU, ME):
            client = fleet.s3(region, (later["access_key"], later["secret_key"]))
            with pytest.raises(ClientError) as denied:
                client.list_buckets()
            assert status(denied) == 403
    finally:
        if process is not None and process.poll() is None:
            stop(process)
        fleet.stop()


def why_not(fleet, data):
    """Why the registry changes nothing."""
    done = fleet.cli("account", "create", "another", data=data, check=False)
    assert done.returncode != 0, "it was changed"
    assert "catch-up" in done.stderr, done.stderr
    return done.stderr


def stop(process):
    process.terminate()
    process.wait(60)
    process.stdout.close()
