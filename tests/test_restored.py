"""A region's folder is put back to an older state, as from a backup: nothing that was acknowledged
and is in another region goes, and both come to hold the same."""

import random
import shutil

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
