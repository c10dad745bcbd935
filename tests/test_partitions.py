"""Regions that cannot hear each other: real processes in network namespaces of their own, with the
way between them cut in both directions or in one, kills meanwhile, and clocks that are off.

Clients reach every region throughout: a partition between regions is what they must not notice
more of than the promises say."""

import collections
import contextlib
import json
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from fleet import body, eventually, listing, meanwhile, status
from netns import NetFleet, faked, set_clock
from test_linearizable import Recorder, bucket, checker, clients  # noqa: F401, F811

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"
LAWS = {FIRST: "CN", EU: "DE", ME: "AE"}


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    fleet = NetFleet(tmp_path_factory.mktemp("net"), LAWS).start()
    yield fleet
    fleet.stop()


@pytest.fixture
def fleet(regions):
    """All three at work, and every way open: before a test, and after it."""
    yield regions
    regions.mend()


@contextlib.contextmanager
def healed(fleet):
    """The ways that are cut inside are open again afterwards."""
    try:
        yield
    finally:
        fleet.net.heal()


def status_of(client, name, key):
    return client.head_object(Bucket=name, Key=key)["ReplicationStatus"]


def refused_with(ask):
    """The status with which `ask` is refused."""
    with pytest.raises(ClientError) as refused:
        ask()
    return status(refused)


@pytest.mark.parametrize("lost", ["both", "from-home", "to-home"])
def test_a_copy_is_cut_off_under_writes_and_ends_equal(fleet, checker, tmp_path, lost):
    name = bucket(fleet, f"cut-{lost}", EU, ME)
    home, copy = fleet.s3(EU), fleet.s3(ME)
    recorder = Recorder(fleet, name, seed=10, timeout=2)
    with clients(recorder, *[(EU, EU)] * 4, *[(ME, EU)] * 2), healed(fleet):
        recorder.progress(60)
        if lost != "to-home":
            fleet.net.lose(EU, ME)
        if lost != "from-home":
            fleet.net.lose(ME, EU)
        for n in range(5):
            home.put_object(Bucket=name, Key=f"lonely{n}", Body=b"acknowledged")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for n in range(5):
                assert status_of(home, name, f"lonely{n}") == "PENDING", lost
        if lost != "to-home":
            assert refused_with(lambda: body(copy, name, "lonely4")) == 404
        recorder.progress(60)
        fleet.net.heal()
        eventually(lambda: status_of(home, name, "lonely4") == "COMPLETED", timeout=60)
        recorder.progress(60)
    # Writes through the copy were lost on the way, and yet each is there once or not at all.
    recorder.judged(checker, tmp_path / f"{lost}.jsonl", least=300)
    assert any(o["client"] in (4, 5) and o["kind"] == "put" and o["outcome"] == "ok"
               for o in recorder.operations)
    want = listing(home, name)
    eventually(lambda: listing(copy, name) == want, timeout=60)
    for key, *_ in want:
        assert body(copy, name, key) == body(home, name, key)


def test_a_region_without_the_registry_serves_and_asks_for_patience(fleet, checker, tmp_path):
    name = bucket(fleet, "orphan", EU, ME)
    account = fleet.json("account", "create", "late")["id"]
    recorder = Recorder(fleet, name, seed=11)
    with clients(recorder, *[(EU, EU)] * 3, (ME, EU)), healed(fleet):
        fleet.net.cut(FIRST, EU)
        fleet.net.cut(FIRST, ME)
        recorder.progress(60)
        create = lambda: fleet.s3(EU, timeout=60).create_bucket(
            Bucket="needs-a-deed", CreateBucketConfiguration={"LocationConstraint": EU})
        # It may take as long as it takes to see that the connection is dead.
        asking = meanwhile(lambda: refused_with(create))
        # Kill -9 while it is cut off: it comes back with what it knew.
        fleet.kill(ME)
        fleet.begin(ME)
        eventually(lambda: body(fleet.s3(ME), name, "ready"))
        recorder.progress(60)
        made = fleet.json("key", "create", "--account", account)
        key = (made["access_key"], made["secret_key"])
        fleet.s3(FIRST, key).list_buckets()
        # Whose key this is the registry alone could say.
        assert refused_with(fleet.s3(EU, key).list_buckets) == 503
        assert asking.result(60) == 503
        fleet.net.heal()
        eventually(create, timeout=60)
        eventually(lambda: fleet.s3(EU, key).list_buckets())
    recorder.judged(checker, tmp_path / "orphan.jsonl", least=100)
    want = listing(fleet.s3(EU), name)
    eventually(lambda: listing(fleet.s3(ME), name) == want, timeout=60)


def writes(client, name, prefix, count, made):
    """Writes versions, and notes what was acknowledged: (key, version, body)."""
    for n in range(count):
        key, content = f"k{n % 5}", f"{prefix} {n} ".encode() * (1 if n % 3 else 4000)
        answer = client.put_object(Bucket=name, Key=key, Body=content)
        made.append((key, answer["VersionId"], content))


def keep_versions(fleet, name, home, *replicas):
    """Turns versioning on, and waits until each replica has it itself. A home that was cut off a
    moment ago may have to be renewed first."""
    enabled = {"Status": "Enabled"}
    eventually(lambda: fleet.s3(home).put_bucket_versioning(
        Bucket=name, VersioningConfiguration=enabled), timeout=60)

    def has(region):
        answer = fleet.s3(region).get_bucket_versioning(Bucket=name)
        forwarded = "x-dhow-region" in answer["ResponseMetadata"]["HTTPHeaders"]
        return answer.get("Status") == "Enabled" and not forwarded

    for region in replicas:
        eventually(lambda: has(region))


def test_a_home_that_is_cut_off_is_replaced_and_hands_over(fleet):
    name = bucket(fleet, "islands", EU, ME, FIRST)
    home, heir = fleet.s3(EU), fleet.s3(ME)
    keep_versions(fleet, name, EU, ME)
    made = []
    writes(home, name, "before", 10, made)
    want = listing(home, name)
    eventually(lambda: listing(heir, name) == want)
    with healed(fleet):
        fleet.net.cut(EU, FIRST)
        fleet.net.cut(EU, ME)
        writes(home, name, "alone", 10, made)
        fleet.cli("bucket", "promote", name, "--to", ME)
        eventually(lambda: writes(heir, name, "heir", 1, made) or True, timeout=60)
        writes(heir, name, "heir", 10, made)
        # It has not heard: what customers who reach it write is not dropped either, nor by a kill.
        writes(home, name, "unheard", 10, made)
        fleet.kill(EU)
        fleet.begin(EU)
        home = fleet.s3(EU)
        writes(home, name, "unheard still", 5, made)
        assert "unheard" not in " ".join(str(v) for v in listing(heir, name))
    versions = {version for _, version, _ in made}
    there = lambda s3: {v[1] for v in listing(s3, name) if v[0] != "ready"}
    eventually(lambda: versions <= there(heir), timeout=60)
    for region in (EU, FIRST):
        eventually(lambda: listing(fleet.s3(region), name) == listing(heir, name), timeout=60)
    for key, version, content in made:
        for region in (EU, ME):
            assert body(fleet.s3(region), name, key, VersionId=version) == content
    assert refused_with(lambda: fleet.s3(EU).put_object(
        Bucket=name, Key="k0", Body=b"x", IfMatch='"none"')) == 412, "decided by the new home"
    eventually(lambda: [e for e in fleet.audit() if e["action"] == "bucket.divergence"
                        and e["subject"] == name])
    # The way back.
    fleet.cli("bucket", "promote", name, "--to", EU, "--force")
    eventually(lambda: home.put_object(Bucket=name, Key="back", Body=b"home"), timeout=60)
    eventually(lambda: listing(heir, name) == listing(home, name), timeout=60)


class Claims:
    """Clients that make keys on the condition that they are not there: who was told what."""

    def __init__(self, fleet, name, regions, keys):
        self.made, self.refused, self.stopping = [], [], threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(fleet, name, region, keys))
                        for region in regions for _ in range(2)]

    def _work(self, fleet, name, region, keys):
        client = fleet.s3(region, timeout=10)
        for key in keys:
            if self.stopping.wait(0.02):
                return
            content = f"{threading.get_ident()}".encode()
            try:
                client.put_object(Bucket=name, Key=key, Body=content, IfNoneMatch="*")
                self.made.append((key, region, content))
            except ClientError as error:
                self.refused.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
            except BotoCoreError:
                pass  # unknown: it may be there or not

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client does not end"

    def progress(self, region, count):
        done = lambda: sum(r == region for _, r, _ in list(self.made))
        goal = done() + count
        eventually(lambda: done() >= goal, timeout=60)


def renewal(fleet, name):
    return fleet.json("bucket", "show", name).get("renewal", {})


@pytest.mark.parametrize("lost", ["both", "from-home", "to-home"])
def test_a_home_without_the_registry_is_promoted_away_from_and_one_region_decides(fleet, lost):
    """The home loses its link to the registry alone. It goes on deciding, since its successor
    renews it, until the successor is promoted: then that alone decides, with all that was decided."""
    name = bucket(fleet, f"judge-{lost}", EU, ME)
    home, heir = fleet.s3(EU), fleet.s3(ME)
    eventually(lambda: renewal(fleet, name).get("renewed"), timeout=60)
    keys = [f"once{n}" for n in range(100_000)]
    with healed(fleet), Claims(fleet, name, [EU, ME], keys) as claims:
        claims.progress(EU, 20)
        if lost != "to-home":
            fleet.net.lose(EU, FIRST)
        if lost != "from-home":
            fleet.net.lose(FIRST, EU)
        claims.progress(EU, 20)
        refused = fleet.cli("bucket", "promote", name, "--to", ME, check=False)
        assert refused.returncode != 0 and f"reached from {ME}" in refused.stderr
        fleet.json("bucket", "promote", name, "--to", ME, "--force")
        claims.progress(ME, 20)
        # It has not heard of the promotion from the registry, but from its successor. Where only its
        # own words are lost it may know of it all the same, and forwards.
        if lost == "from-home":
            with contextlib.suppress(ClientError):
                home.put_object(Bucket=name, Key="p", Body=b"x")
                assert body(heir, name, "p") == b"x"
        else:
            assert refused_with(lambda: home.put_object(Bucket=name, Key="p", Body=b"x")) == 503
        claims.progress(ME, 20)
    made = collections.Counter(key for key, *_ in claims.made)
    assert not [key for key, count in made.items() if count > 1], "made twice"
    want = {key: content for key, _, content in claims.made}
    eventually(lambda: listing(home, name) == listing(heir, name), timeout=60)
    for region in (home, heir):
        assert set(want) <= {key for key, *_ in listing(region, name)}
    for key in [*want][::20]:
        assert body(heir, name, key) == want[key]


def test_a_home_that_nobody_renews_leaves_conditions_undecided(fleet):
    name = bucket(fleet, "alone", EU, ME)
    home = fleet.s3(EU, timeout=20)
    claim = lambda key: home.put_object(Bucket=name, Key=key, Body=b"x", IfNoneMatch="*")
    with healed(fleet):
        fleet.net.cut(EU, FIRST)
        # Longer than any promise of the registry's region lasts.
        until = time.monotonic() + 13
        while time.monotonic() < until:
            claim(f"with-its-successor-{time.monotonic()}")
            time.sleep(0.2)
        # Other tests' buckets may have no other successor.
        warned = homes_at(fleet, EU)
        assert warned["level"] != "ok" and FIRST in warned["found"], warned
        fleet.net.cut(EU, ME)
        eventually(lambda: undecided(lambda: claim(f"{time.monotonic()}")), timeout=60)
        failed = eventually(lambda: (homes := homes_at(fleet, EU))["level"] == "fail" and homes)
        assert f"no promise of {', '.join(sorted([FIRST, ME]))}" in failed["found"]
        assert not [line for line in promises_at(fleet, EU) if not line.endswith(" 0")]
        home.put_object(Bucket=name, Key="plain", Body=b"goes on")
        home.delete_object(Bucket=name, Key="plain")
        with pytest.raises(ClientError) as refused:
            claim("told-why")
        assert ME in refused.value.response["Error"]["Message"]
        assert undecided(lambda: home.put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"}))
        # Nobody reaches it: promoted without force, and its promise is waited out.
        fleet.cli("bucket", "promote", name, "--to", ME)
        heir = fleet.s3(ME)
        eventually(lambda: heir.put_object(
            Bucket=name, Key=f"heir{time.monotonic()}", Body=b"y", IfNoneMatch="*"), timeout=60)
        assert undecided(lambda: claim("still"))
    eventually(lambda: claim("again"), timeout=60)
    shown = renewal(fleet, name)
    assert shown["renewed"] and shown["by"] and 0 < shown["left_ms"] <= 10_000
    eventually(lambda: homes_at(fleet, EU)["level"] == "ok", timeout=60)


def homes_at(fleet, region):
    """What `dhow doctor` says of the homes in a region."""
    told = json.loads(fleet.cli("doctor", "--json", check=False, region=region).stdout)
    return [finding for finding in told["findings"] if finding["check"] == "homes"][0]


def promises_at(fleet, region):
    return [line for line in fleet.metrics(region).splitlines()
            if line.startswith("dhow_promise_milliseconds{")]


def undecided(ask):
    """Whether `ask` is refused since nobody knows who decides."""
    try:
        ask()
        return False
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 503


@pytest.mark.parametrize("killed", [EU, ME])
def test_a_region_is_killed_while_it_is_cut_off(fleet, killed):
    name = bucket(fleet, f"killed-{killed}", EU, ME)
    keep_versions(fleet, name, EU, ME)
    made, stop = [], threading.Event()

    def write(number):
        client, n = fleet.s3(EU, timeout=5), 0
        while not stop.is_set():
            key, n = f"w{number}-{n}", n + 1
            try:
                answer = client.put_object(Bucket=name, Key=key, Body=key.encode() * 3)
                made.append((key, answer["VersionId"]))
            except (ClientError, BotoCoreError):
                stop.wait(0.05)  # unknown: it may be there or not

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    enough = lambda count: eventually(lambda: len(made) >= count)
    with healed(fleet):
        for writer in writers:
            writer.start()
        try:
            enough(30)
            fleet.net.cut(EU, ME)
            enough(60)
            fleet.kill(killed)
            fleet.begin(killed)
            enough(len(made) + 30)
        finally:
            stop.set()
            for writer in writers:
                writer.join(30)
    home, copy = fleet.s3(EU), fleet.s3(ME)
    want = listing(home, name)
    eventually(lambda: listing(copy, name) == want, timeout=60)
    assert set(made) <= {(key, version) for key, version, *_ in want}


def test_a_clock_that_is_off(fleet, tmp_path):
    """Within the bound a region goes on, and nothing is lost or comes back in another order; past
    it, ahead or behind, it refuses writes and says so, and the others go on."""
    name = bucket(fleet, "timely", EU, ME)
    near = bucket(fleet, "near", ME, EU)
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    fleet.kill(EU)
    fleet.begin(EU, faked(clock))
    home = fleet.s3(EU)
    home.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    order = []

    def put(content):
        order.append(home.put_object(Bucket=name, Key="k", Body=content)["VersionId"])

    for seconds in (0, 1.5, -1.5, 0):
        set_clock(clock, seconds)
        for n in range(5):
            put(f"{seconds} {n}".encode())
    for seconds in (30, -30):
        set_clock(clock, seconds)

        def refused():
            try:
                put(f"{seconds}".encode())
            except ClientError as error:
                answer = error.response
                return answer["ResponseMetadata"]["HTTPStatusCode"] == 503 \
                    and "clock" in answer["Error"]["Message"]

        eventually(refused)
        assert body(home, name, "k"), "reads go on"
        # The others compare clocks every five seconds: what they make of this one they do by then.
        until = time.monotonic() + (6 if seconds < 0 else 0)
        while time.monotonic() < until:
            assert refused()
            fleet.s3(ME).put_object(Bucket=near, Key="k", Body=b"the others write")
            time.sleep(0.2)
    set_clock(clock, 0)
    eventually(lambda: put(b"in time again") or True)
    versions = lambda s3: [v["VersionId"] for v in s3.list_object_versions(
        Bucket=name, Prefix="k")["Versions"] if v["Key"] == "k"]
    assert versions(home) == order[::-1]
    eventually(lambda: versions(fleet.s3(ME)) == order[::-1])
    assert body(fleet.s3(ME), name, "k") == b"in time again"

