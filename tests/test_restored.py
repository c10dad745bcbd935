"""A region's folder is put back to an older state, as from a backup: nothing that was acknowledged
and is in another region goes, both come to hold the same, and no status says more than is true."""

import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleet import Fleet, body, eventually, free_ports, listing

FIRST, EU = "cn-hangzhou", "eu-central-1"


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
