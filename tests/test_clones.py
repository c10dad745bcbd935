"""A region's folder is copied and started twice, or put back to an older state while nobody who has
more can be reached: the later process ends, and a home that lacks something answers nothing wrong."""

import json
import random
import shutil
import signal
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from dhow import BIN
from fleet import Fleet, body, eventually, free_ports, listing, status

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


def ports(fleet, region):
    """The arguments with which the fleet started a region, so that it comes back where it was."""
    info = fleet.regions[region]
    address = {name: info[name].split("//")[-1] for name in ("endpoint", "admin", "metrics", "peer")}
    return ["--listen", address["endpoint"], "--admin", address["admin"],
            "--metrics", address["metrics"], "--peer", address["peer"]]


def elsewhere():
    return [word for what in ("--listen", "--admin", "--metrics", "--peer")
            for word in (what, "127.0.0.1:0")]


def up(data, region, where):
    """A process of its own on a region's folder."""
    log = open(f"{data}.log", "ab")
    command = [BIN, "up", "--data", data, "--region", region, "--json", *where]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=log)
    log.close()
    return process


def started(data, region, where):
    """The same, once it serves. Somebody else may have had one of its ports for a moment."""
    def start():
        process = up(data, region, where)
        if process.stdout.readline():
            return process
        process.wait()
        raise AssertionError(open(f"{data}.log").read()[-2000:])
    return eventually(start, timeout=60)


def copied(fleet, region, to):
    shutil.copytree(fleet.data / region, to)
    (to / "running.json").unlink(missing_ok=True)
    return to


def put_back(fleet, region, backup):
    """The region's process ends at once, and an older state takes the place of its folder."""
    fleet.signal(region, signal.SIGKILL)
    # Its last threads may be writing still.
    eventually(lambda: shutil.rmtree(fleet.data / region) or True)
    shutil.copytree(backup, fleet.data / region)


@pytest.mark.parametrize("victim, frozen", [(EU, FIRST), (FIRST, None)])
def test_of_two_processes_with_one_identity_the_later_one_ends(tmp_path, victim, frozen):
    """Also while the registry's region says nothing: the other regions have seen both."""
    fleet = Fleet(tmp_path / "data", 3, first_port=free_ports(random.Random())).start()
    clone = None
    try:
        fleet.bucket("papers", victim, ME)
        home = eventually(lambda: fleet.s3(victim))
        eventually(lambda: home.put_object(Bucket="papers", Key="before", Body=b"before"))
        eventually(lambda: body(fleet.s3(ME), "papers", "before"))
        fleet.stop()
        folder = copied(fleet, victim, tmp_path / "clone")
        fleet.start()
        home = eventually(lambda: fleet.s3(victim))
        eventually(lambda: home.put_object(Bucket="papers", Key="first", Body=b"first"))
        if frozen:
            fleet.freeze(frozen)
        begun = time.monotonic()
        clone = up(folder, victim, elsewhere())
        assert clone.wait(60) == 3, "it ends by itself, within a minute"
        said = (tmp_path / "clone.log").read_text()
        assert f"another process runs as region {victim}" in said, said[-2000:]
        assert "stop the other one" in said, "it says what to do"
        print(f"the clone ended after {time.monotonic() - begun:.1f} s")
        # Nothing hinders the first one, now or after its next start.
        home.put_object(Bucket="papers", Key="second", Body=b"second")
        if frozen:
            fleet.thaw(frozen)
        fleet.stop()
        fleet.start()
        home = eventually(lambda: fleet.s3(victim))
        eventually(lambda: home.put_object(Bucket="papers", Key="third", Body=b"third"))
        assert "dhow_folder_behind 0" in fleet.metrics(victim)
        for key in ("before", "first", "second", "third"):
            assert body(home, "papers", key) == key.encode()
            eventually(lambda k=key: body(fleet.s3(ME), "papers", k) == k.encode())
    finally:
        if clone is not None and clone.poll() is None:
            clone.kill()
        fleet.stop()


def test_a_home_from_a_backup_serves_nothing_until_its_copy_has_handed_over(tmp_path):
    """The copy cannot be reached at first. Others remember that the home had more."""
    fleet = Fleet(tmp_path / "data", 3, first_port=free_ports(random.Random())).start()
    process = None
    try:
        fleet.bucket("papers", EU, ME)
        fleet.bucket("alone", EU)
        home = eventually(lambda: fleet.s3(EU))
        eventually(lambda: home.put_bucket_versioning(
            Bucket="papers", VersioningConfiguration={"Status": "Enabled"}))
        for name in ("papers", "alone"):
            eventually(lambda: home.put_object(Bucket=name, Key="old", Body=b"old"))
        eventually(lambda: body(fleet.s3(ME), "papers", "old"))
        fleet.stop()
        backup = copied(fleet, EU, tmp_path / "backup")
        fleet.start()
        home, copy = (eventually(lambda r=r: fleet.s3(r)) for r in (EU, ME))
        for n in range(20):
            eventually(lambda: home.put_object(Bucket="papers", Key=f"new{n}", Body=b"new"))
        eventually(lambda: listing(copy, "papers") == listing(home, "papers"))
        acknowledged = listing(home, "papers")
        eventually(lambda: home.head_object(Bucket="papers", Key="new19")
                   ["ReplicationStatus"] == "COMPLETED")
        # Nobody is there to tell when the old folder comes back: its files are not those that were
        # written last.
        fleet.freeze(FIRST, ME)
        put_back(fleet, EU, backup)
        process = started(fleet.data / EU, EU, ports(fleet, EU))

        def refusal(ask):
            with pytest.raises(ClientError) as refused:
                ask()
            assert status(refused) == 503
            return str(refused.value)

        for n in range(2):
            for ask in (lambda: home.put_object(Bucket="papers", Key="lost", Body=b"lost"),
                        lambda: home.get_object(Bucket="papers", Key="new0")):
                assert "no other region has said yet" in refusal(ask)
            # After another start too, as long as nobody has answered.
            if n == 0:
                process.kill()
                process.wait()
                process = started(fleet.data / EU, EU, ports(fleet, EU))
        # Then only the registry's region is.
        fleet.thaw(FIRST)
        eventually(lambda: "put back to an older state" in refusal(
            lambda: home.get_object(Bucket="papers", Key="new0")), timeout=60)
        for ask in (lambda: home.put_object(Bucket="papers", Key="lost", Body=b"lost"),
                    lambda: home.get_object(Bucket="papers", Key="new0"),
                    lambda: home.list_objects_v2(Bucket="papers")):
            with pytest.raises(ClientError) as refused:
                ask()
            assert status(refused) == 503
            assert "put back to an older state" in str(refused.value)
        # A bucket that nobody else has is served as it is.
        assert body(home, "alone", "old") == b"old"
        assert "dhow_folder_behind 1" in fleet.metrics(EU)
        shown = fleet.json("bucket", "show", "papers")
        assert "put back to an older state" in shown["error"] and "replica_status" not in shown
        doctor = json.loads(fleet.cli("doctor", "--json", data=fleet.data / EU, check=False).stdout)
        found = next(f for f in doctor["findings"] if f["check"] == "folder state")
        assert found["level"] == "fail" and "older state" in found["found"]
        # It is known after another start too, though nobody can be reached then.
        fleet.freeze(FIRST)
        process.kill()
        process.wait()
        process = started(fleet.data / EU, EU, ports(fleet, EU))
        with pytest.raises(ClientError) as refused:
            home.put_object(Bucket="papers", Key="lost", Body=b"lost")
        assert status(refused) == 503
        fleet.thaw(FIRST, ME)
        eventually(lambda: home.put_object(Bucket="papers", Key="later", Body=b"later"), timeout=60)
        eventually(lambda: "dhow_folder_behind 0" in fleet.metrics(EU))
        have = listing(home, "papers")
        known = {(key, version) for key, version, *_ in have}
        assert {(key, version) for key, version, *_ in acknowledged} <= known
        eventually(lambda: listing(copy, "papers") == have, timeout=60)
        eventually(lambda: home.head_object(Bucket="papers", Key="later")
                   ["ReplicationStatus"] == "COMPLETED", timeout=60)
        assert body(copy, "papers", "later") == b"later"
    finally:
        if process is not None and process.poll() is None:
            process.kill()
        fleet.stop()


def test_a_copy_from_a_backup_counts_for_what_it_has(tmp_path):
    """A status at the home that says COMPLETED is true of the copy as it is now."""
    fleet = Fleet(tmp_path / "data", 3, first_port=free_ports(random.Random())).start()
    process = None
    try:
        fleet.bucket("papers", FIRST, EU)
        fleet.bucket("other", FIRST, EU)
        home = eventually(lambda: fleet.s3(FIRST))
        eventually(lambda: home.put_object(Bucket="papers", Key="old", Body=b"old"))
        eventually(lambda: body(fleet.s3(EU), "papers", "old"))
        fleet.stop()
        backup = copied(fleet, EU, tmp_path / "backup")
        fleet.start()
        home, copy = (eventually(lambda r=r: fleet.s3(r)) for r in (FIRST, EU))
        for n in range(20):
            eventually(lambda: home.put_object(Bucket="papers", Key=f"new{n}", Body=b"x" * 300_000))
        eventually(lambda: home.head_object(Bucket="papers", Key="new19")
                   ["ReplicationStatus"] == "COMPLETED")
        put_back(fleet, EU, backup)
        process = started(fleet.data / EU, EU, ports(fleet, EU))
        deadline = time.monotonic() + 60
        while True:
            said = home.head_object(Bucket="papers", Key="new19")["ReplicationStatus"]
            try:
                there = len(body(copy, "papers", "new19"))
            except ClientError:
                there = 0
            if said == "COMPLETED":
                assert there == 300_000, "COMPLETED, and it is not there"
                break
            assert time.monotonic() < deadline
        eventually(lambda: listing(copy, "papers") == listing(home, "papers"), timeout=60)
        eventually(lambda: "dhow_folder_behind 0" in fleet.metrics(EU))
    finally:
        if process is not None and process.poll() is None:
            process.kill()
        fleet.stop()
