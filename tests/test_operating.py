"""What an operator of several regions is shown: which of them answer, and what is known of a bucket
whose home does not, and what the metrics say."""

import contextlib
import json
import os
import pty
import re
import subprocess
import threading
import time
import urllib.parse

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from dhow import BIN, ROOT, Client
from fleet import Fleet, body, eventually

KEEPER, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("operating") / "fleet", 3).start()
    try:
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def frozen(fleet):
    """Freezes regions, and lets them go on at the end."""
    yield lambda *regions: fleet.freeze(*regions)
    fleet.thaw(*fleet.ids)


def shown(fleet, region):
    return fleet.json("region", "show", region)


def test_the_list_of_regions_says_which_answer(fleet, frozen):
    for region in (KEEPER, EU, ME):
        eventually(lambda: shown(fleet, region)["reachable"])
    frozen(ME)
    eventually(lambda: shown(fleet, ME)["reachable"] is False)
    lost = shown(fleet, ME)
    assert lost["status"] == "open" and lost["last_seen"], lost
    line = next(l for l in fleet.cli("region", "list").stdout.splitlines() if l.startswith(ME))
    assert re.search(r"open +NO +\d+ s ago", line), line
    fleet.thaw(ME)
    eventually(lambda: shown(fleet, ME)["last_seen"] > lost["last_seen"])
    assert shown(fleet, ME)["reachable"]


def test_a_replica_is_as_connected_as_its_region_is_reachable(fleet, frozen):
    """Both are known within seconds, though a region asks its home once a minute only."""
    fleet.bucket("seen-too", EU, ME)
    replica = lambda: fleet.json("bucket", "show", "seen-too")["replica_status"][0]
    eventually(lambda: replica()["connected"])
    frozen(ME)
    begun = time.monotonic()
    eventually(lambda: replica()["connected"] is False, timeout=50)
    assert time.monotonic() - begun < 50
    fleet.thaw(ME)
    eventually(lambda: replica()["connected"])


def test_a_list_of_addresses_that_cuts_a_region_off_is_seen(fleet):
    eventually(lambda: shown(fleet, ME)["reachable"])
    assert not shown(fleet, ME)["cut_off"]
    said = fleet.cli("region", "allow", ME, "--address", "192.0.2.1").stdout
    try:
        assert "no other region connects to it" in said, said
        assert re.search(r"^Reachable +REFUSED$", said, re.M), said
        now = shown(fleet, ME)
        assert now["cut_off"] and now["reachable"] is False and "list of addresses" in now["refused"]
        for region in (KEEPER, ME):
            data = fleet.regions[region]["data"]
            found = eventually(lambda: [
                f for f in json.loads(fleet.cli("doctor", "--json", data=data, check=False).stdout)[
                    "findings"] if f["check"] == "addresses"])
            assert found[0]["level"] == "fail" and ME in found[0]["found"], found
    finally:
        fleet.cli("region", "allow", ME, "--address", "127.0.0.1")
    eventually(lambda: shown(fleet, ME)["reachable"] and not shown(fleet, ME)["cut_off"])


def test_certificates_are_shown_and_revoked_by_their_serials(fleet):
    issued = shown(fleet, ME)["certificates"]
    text = fleet.cli("region", "show", ME).stdout
    assert issued and all(f"{one['serial']} until {one['expires']}" in text for one in issued)
    # Neither is a serial guessed nor are all meant.
    refused = fleet.cli("region", "revoke", ME, check=False)
    assert refused.returncode == 2 and "--serial" in refused.stderr, refused.stderr
    refused = fleet.cli("region", "revoke", ME, "--serial", "00ff", check=False)
    assert refused.returncode == 1 and "no certificate" in refused.stderr, refused.stderr
    assert not any(one["revoked"] for one in shown(fleet, ME)["certificates"])


def test_a_bucket_whose_home_is_away_still_shows_its_copies(fleet, frozen):
    fleet.bucket("orphaned", EU, KEEPER, ME, options=("--trust-writes", ME))
    table = lambda: fleet.cli("bucket", "show", "orphaned").stdout
    eventually(lambda: table().count("up to date") == 2)
    frozen(EU)
    told = table()
    rows = [line.split() for line in told.splitlines()]
    assert ["Trusts", "for", "writes", ME] in rows, rows
    assert [KEEPER, "not", "known"] in rows and [ME, "not", "known"] in rows, rows
    assert "is not known" in told and f"{EU} does not answer" in told


def series(text):
    """Each sample of an exposition: its name and labels, with its value."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def test_the_page_of_metrics_and_the_regions_agree(fleet):
    """After a request, an error, a stranger and a bucket with a copy every metric is there."""
    fleet.bucket("measured", EU, ME)
    s3 = fleet.s3(EU)
    s3.put_object(Bucket="measured", Key="k", Body=b"12345")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="measured", Key="no")
    with pytest.raises(ClientError):
        fleet.s3(EU, key=("DHOWNOBODY", "x" * 40)).list_buckets()
    url = urllib.parse.urlsplit(fleet.regions[EU]["endpoint"])
    signed = Client(url.netloc, EU, fleet.info["access_key"], fleet.info["secret_key"])
    assert signed.request("PATCH", "/measured/k")[0] >= 400
    # The first count of what is stored comes two seconds after the start.
    eventually(lambda: "dhow_stored_bytes" in fleet.metrics(EU))
    named = {m for region in fleet.ids
             for m in re.findall(r"^# TYPE (\w+) ", fleet.metrics(region), re.M)}
    page = (ROOT / "docs" / "metrics.md").read_text()
    on_page = set(re.findall(r"^\| `(dhow_\w+)` \|", page, re.M))
    # This one is there with TLS only: test_tls looks at it.
    named.add("dhow_tls_certificate_expires_timestamp_seconds")
    # With ACME only: test_acme.
    named |= {"dhow_acme_orders", "dhow_acme_failures_in_a_row"}
    assert named == on_page, (named - on_page, on_page - named)
    alerts = set(re.findall(r"\bdhow_\w+", (ROOT / "docs" / "alerts.yml").read_text()))
    assert {a.removesuffix("_total") for a in alerts} <= on_page
    # Only what was asked for has series.
    asked = fleet.metrics(EU)
    assert "PutObject" in asked and "PutBucketVersioning" not in asked
    assert 'dhow_s3_errors_total{operation="GetObject",code="NoSuchKey"}' in asked


def test_metrics_tell_what_is_stored_and_how_much_room_is_left(fleet):
    fleet.bucket("weighed", ME, EU)
    s3 = fleet.s3(ME)
    for n in range(3):
        s3.put_object(Bucket="weighed", Key=f"k{n}", Body=b"x" * 1000)
    s3.delete_object(Bucket="weighed", Key="k0")

    def counted(region, holds):
        found = series(fleet.metrics(region))
        return [found.get(f'dhow_stored_{what}{{holds="{holds}"}}')
                for what in ("objects", "versions", "bytes")]

    # The next count comes ten seconds after the last.
    for region, holds in ((ME, "home"), (EU, "replica")):
        eventually(lambda: counted(region, holds) == [2.0, 2.0, 2000.0], timeout=60, pause=0.2)
    found = series(fleet.metrics(ME))
    disk = os.statvfs(fleet.regions[ME]["data"])
    assert found["dhow_disk_size_bytes"] == disk.f_blocks * disk.f_frsize
    assert 0 < found["dhow_disk_free_bytes"] < found["dhow_disk_size_bytes"]
    assert found["dhow_disk_reserve_bytes"] == 64 << 20
    reached = f'dhow_region_reachable{{region="{EU}"}}'
    eventually(lambda: series(fleet.metrics(ME)).get(reached) == 1)
    assert found["dhow_certificate_expires_timestamp_seconds"] > time.time() + 86400
    assert abs(found["dhow_registry_heard_timestamp_seconds"] - time.time()) < 120


def test_the_doctor_knows_the_other_regions(fleet, frozen):
    def findings(region, ok=True):
        done = fleet.cli("doctor", "--json", data=fleet.regions[region]["data"], check=False)
        assert (done.returncode == 0) == ok, done.stdout
        return {f["check"]: f for f in json.loads(done.stdout)["findings"]}

    well = eventually(lambda: (f := findings(ME)) and "regions" in f and f)
    assert EU in well["regions"]["found"] and well["certificate"]["level"] == "ok"
    assert well["registry"]["level"] == "ok"
    frozen(EU)
    lost = eventually(lambda: findings(ME, ok=False)["regions"], timeout=60)
    assert f"does not reach {EU}" in lost["found"] and "peer port" in lost["do"]
    # One that does not answer at all is named too.
    assert "does not answer" in findings(EU, ok=False)["health"]["found"]


def test_a_home_moves_and_comes_back_without_force_or_loss(fleet):
    """A bucket of two regions under writes, then to a third one, which has nothing of it."""
    fleet.bucket("travels", EU, ME)
    home = lambda: fleet.json("bucket", "show", "travels")["home"]
    would = fleet.cli("bucket", "move", "travels", "--to", ME, "--dry-run").stdout
    assert "Nothing has changed" in would and home() == EU
    stop, written, clients = threading.Event(), [], [fleet.s3(EU), fleet.s3(ME)]

    def write():
        while not stop.is_set():
            key = f"k{len(written)}"
            with contextlib.suppress(ClientError, BotoCoreError):
                client = clients[len(written) % 2]
                client.put_object(Bucket="travels", Key=key, Body=key.encode())
                written.append(key)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for to in (ME, EU):
            # Some are written before each move, however slow the machine is.
            so_far = len(written)
            eventually(lambda: len(written) > so_far + 10, timeout=120)
            told = fleet.cli("bucket", "move", "travels", "--to", to, timeout=120).stdout
            assert f"has its home in {to}" in told and home() == to
    finally:
        stop.set()
        writer.join()
    assert "already" in fleet.cli("bucket", "move", "travels", "--to", EU).stdout
    fleet.cli("bucket", "move", "travels", "--to", KEEPER, timeout=120)
    assert len(written) > 20
    listed = {entry["Key"] for page in fleet.s3(KEEPER).get_paginator("list_objects_v2").paginate(
        Bucket="travels") for entry in page["Contents"]}
    assert set(written) <= listed


def test_a_move_that_was_ended_is_waited_for_by_the_same_command(fleet, frozen):
    """The region is the home already, and another one does not follow it yet."""
    frozen(EU)
    fleet.bucket("goes-on", ME, EU)
    again = subprocess.Popen([BIN, "bucket", "move", "goes-on", "--to", ME, "--data", fleet.data],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert f"{EU}: waits" in again.stderr.readline()
    assert again.poll() is None
    fleet.thaw(EU)
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0 and "follow it" in said, said


def at_a_terminal(fleet, answer, *args):
    """What the command says to a person who gives that answer, and how it ends."""
    person, terminal = pty.openpty()
    os.write(person, answer.encode())
    done = subprocess.run([str(BIN), *args, "--data", str(fleet.data)], stdin=terminal,
                          capture_output=True, text=True, timeout=60)
    os.close(person)
    os.close(terminal)
    return done


def test_the_most_complete_replica_is_chosen_shown_and_asked_for(fleet, frozen):
    """The nearest replica lacks what was written while it was away, and the home had said so."""
    fleet.bucket("chosen", ME, EU, KEEPER)
    s3 = fleet.s3(ME)
    promote = ("bucket", "promote", "chosen")
    s3.put_object(Bucket="chosen", Key="before", Body=b"1")
    for region in (EU, KEEPER):
        eventually(lambda: body(fleet.s3(region), "chosen", "before"))
    lacks = lambda: {copy["region"]: copy["behind"]
                     for copy in fleet.json("bucket", "show", "chosen")["replica_status"]}
    eventually(lambda: lacks() == {EU: 0, KEEPER: 0}, timeout=60)
    would = fleet.json(*promote, "--dry-run", "--force")
    assert would["home"] == EU and re.search(r"\d+ s ago that it lacks nothing", would["why"]), would
    frozen(EU)
    for n in range(5):
        s3.put_object(Bucket="chosen", Key=f"after{n}", Body=b"2")
    eventually(lambda: lacks() == {EU: 5, KEEPER: 0}, timeout=60)
    frozen(ME)
    fleet.thaw(EU)
    would = eventually(lambda: fleet.json(*promote, "--dry-run"), timeout=60)
    assert would["home"] == KEEPER and "ago that it lacks nothing" in would["why"], would
    home = lambda: {b["name"]: b["home"] for b in fleet.json("bucket", "list")}["chosen"]
    for command in (promote, ("region", "promote", ME)):
        no = at_a_terminal(fleet, "n\n", *command)
        assert no.returncode != 0 and f"chosen: would get its home in {KEEPER}" in no.stderr, no
        assert home() == ME
    yes = at_a_terminal(fleet, "y\n", *promote)
    assert yes.returncode == 0 and home() == KEEPER, yes
    fleet.thaw(ME)
