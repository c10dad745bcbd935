"""Reads, writes and conditional writes of a bucket's home are linearizable key by key, under
faults too. Clients record what they asked and were told; `cargo xtask history` is the judge."""

import collections
import contextlib
import hashlib
import http.client
import itertools
import json
import random
import re
import signal
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

from dhow import ROOT, Client
from fleet import Fleet, eventually

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"
KEYS = ("a", "b", "c", "d")
READ, WRITES = "get", ("put", "put_if_absent", "put_if_match", "delete")
XTASK = ["cargo", "run", "-q", "--locked", "-p", "xtask", "--"]


@pytest.fixture(scope="module")
def checker():
    subprocess.run(["cargo", "build", "-q", "--locked", "-p", "xtask"], cwd=ROOT, check=True,
                   timeout=600)

    def judge(path):
        done = subprocess.run([*XTASK, "history", str(path)], cwd=ROOT, capture_output=True,
                              text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return judge


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 3).start()
    yield fleet
    fleet.stop()


class NotConnected(Exception):
    """Nothing was asked yet."""


class Recorder:
    """The clients of one bucket, and what they did: `operations`, as the checker reads them."""

    def __init__(self, fleet, bucket, seed, timeout=10):
        self.fleet, self.bucket, self.seed, self.timeout = fleet, bucket, seed, timeout
        self.operations, self.unexpected = [], []
        self.stopping, self.threads = threading.Event(), []
        self.numbers = itertools.count()
        # What was last seen under each key, by any client: what `If-Match` asks for.
        self.seen = {}

    def client(self, writes_at, reads_at):
        """Starts one more client."""
        number = len(self.threads)
        self.threads.append(threading.Thread(target=self._work,
                                             args=(number, writes_at, reads_at), daemon=True))
        self.threads[-1].start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client does not end"

    def progress(self, count, within=30):
        """Returns once `count` more writes were acknowledged."""
        done = lambda: sum(o["outcome"] == "ok" and o["kind"] != READ
                           for o in list(self.operations))
        goal = done() + count
        eventually(lambda: done() >= goal, timeout=within)

    def _work(self, number, writes_at, reads_at):
        rng, connections = random.Random(self.seed * 1000 + number), {}
        while not self.stopping.is_set():
            kind = rng.choices((READ, *WRITES), (45, 22, 12, 13, 8))[0]
            region = reads_at if kind == READ else writes_at
            # A region that was restarted has other ports.
            endpoint = self.fleet.regions[region]["endpoint"]
            if region not in connections or connections[region][0] != endpoint:
                host = urllib.parse.urlsplit(endpoint).netloc
                connections[region] = endpoint, Client(
                    host, region, self.fleet.info["access_key"],
                    self.fleet.info["secret_key"], timeout=self.timeout)
            try:
                self._one(number, connections[region][1], rng, kind)
            except NotConnected:
                self.stopping.wait(0.05)  # nobody is there until it is restarted

    def _one(self, number, client, rng, kind):
        if client.connection.sock is None:
            try:
                client.connection.connect()
            except OSError as error:
                raise NotConnected from error
        key = rng.choice(KEYS)
        operation = {"client": number, "key": key, "kind": kind}
        headers, content = {}, b""
        if kind in ("put", "put_if_absent", "put_if_match"):
            # Small ones lie in the row, large ones in an extent.
            size = rng.choice([0, 0, 0, 100, 20_000])
            content = f"{self.seed} {next(self.numbers)} ".encode() + b"x" * size
            operation["value"] = hashlib.md5(content).hexdigest()
        if kind == "put_if_absent":
            headers["If-None-Match"] = "*"
        elif kind == "put_if_match":
            operation["expected"] = self.seen.get(key) or "0" * 32
            headers["If-Match"] = f'"{operation["expected"]}"'
        method = {READ: "GET", "delete": "DELETE"}.get(kind, "PUT")
        operation["call_ns"] = time.monotonic_ns()
        try:
            status, answer, body = client.request(method, f"/{self.bucket}/{key}", "", content,
                                                  headers)
        except (OSError, http.client.HTTPException):
            operation["outcome"] = "unknown"
        else:
            operation["return_ns"] = time.monotonic_ns()
            self._answered(operation, status, answer, body)
        self.operations.append(operation)

    def _answered(self, operation, status, answer, body):
        kind, key = operation["kind"], operation["key"]
        code = re.search(rb"<Code>(\w+)</Code>", body[:400]) if status >= 300 else None
        code = code.group(1).decode() if code else ""
        etag = (answer["ETag"] or "").strip('"')
        if status in (200, 204):
            operation["outcome"] = "ok"
            value = operation.get("value", etag or None)
            if kind == READ:
                operation["found"] = etag
                if hashlib.md5(body).hexdigest() != etag:
                    self.unexpected.append(f"{operation}: a body that is not that of its ETag")
            elif etag != (value or ""):
                self.unexpected.append(f"{operation}: ETag {etag}")
            self.seen[key] = value
        elif kind == READ and (status, code) == (404, "NoSuchKey"):
            operation.update(outcome="ok", found=None)
        elif kind == "put_if_match" and (status, code) == (404, "NoSuchKey") \
                or kind.startswith("put_if") and status == 412:
            operation["outcome"] = "precondition_failed"
        elif (status, code) in ((503, "SlowDown"), (409, "ConditionalRequestConflict")):
            operation["outcome"] = "refused"
        else:
            operation["outcome"] = "unknown"
            if status < 500:
                self.unexpected.append(f"{operation}: {status} {body[:300]!r}")

    def counts(self):
        return collections.Counter((o["kind"], o["outcome"]) for o in self.operations)

    def write(self, path):
        path.write_text("".join(json.dumps(o) + "\n" for o in self.operations))
        return path

    def judged(self, checker, path, least):
        """Writes the history and has it judged; a thin one would prove nothing."""
        code, text = checker(self.write(path))
        counts = self.counts()
        print(path.name, dict(counts))
        assert code == 0, f"{text}\nThe history is kept in {path}"
        assert not self.unexpected, (self.unexpected[:5], str(path))
        done = sum(n for (_, outcome), n in counts.items()
                   if outcome in ("ok", "precondition_failed"))
        assert done >= least, counts
        for kind in (READ, *WRITES):
            assert counts[kind, "ok"] >= 5, counts
        for kind in ("put_if_absent", "put_if_match"):
            assert counts[kind, "precondition_failed"] >= 5, counts


def bucket(fleet, name, home, *replicas):
    """A bucket whose writes pass at its home and at every replica, also where their bodies are not
    signed."""
    trusted = [word for r in (home, *replicas) for word in ("--trust-writes", r)]
    fleet.bucket(name, home, *replicas, options=trusted)
    for region in (home, *replicas):
        s3 = fleet.s3(region)
        eventually(lambda: s3.put_object(Bucket=name, Key="ready", Body=b"1"))
    return name


def restarted(fleet, region):
    """Kills a region, and returns once its supervisor has brought it back."""
    old = fleet.regions[region]["pid"]
    fleet.signal(region, signal.SIGKILL)

    def running():
        found = json.loads(Path(f"{fleet.regions[region]['data']}/running.json").read_text())
        if found["pid"] == old:
            return False
        fleet.regions[region].update(endpoint=found["endpoint"], pid=found["pid"])
        return fleet.s3(region).list_buckets()

    eventually(running, timeout=60)


@contextlib.contextmanager
def clients(recorder, *pairs):
    """`pairs`: where each client writes and where it reads."""
    for pair in pairs:
        recorder.client(*pair)
    try:
        yield
    finally:
        recorder.stop()


@pytest.fixture(scope="module")
def calm(fleet, checker, tmp_path_factory):
    """The history of eight clients at the home, with no faults."""
    recorder = Recorder(fleet, bucket(fleet, "calm", EU, ME), seed=1)
    with clients(recorder, *[(EU, EU)] * 8):
        time.sleep(8)  # the length of the history
    return recorder


def test_clients_at_the_home(calm, checker, tmp_path):
    calm.judged(checker, tmp_path / "calm.jsonl", least=2000)
    assert not [n for (_, outcome), n in calm.counts().items() if outcome == "unknown"]


def older_value(operations):
    """The history, with one read that finds a value which was surely overwritten before it."""
    last, passed = {}, {}  # by key: the latest acknowledged put, and one that it came after
    for o in sorted(operations, key=lambda o: o.get("return_ns", 0)):
        if o["outcome"] != "ok":
            continue
        key = o["key"]
        if o["kind"] == "put":
            if key in last and last[key]["return_ns"] < o["call_ns"]:
                passed[key] = last[key], o
            last[key] = o
        elif o["kind"] == READ and o["found"] and key in passed:
            old, new = passed[key]
            if new["return_ns"] < o["call_ns"] and o["found"] != old["value"]:
                return [{**x, "found": old["value"]} if x is o else x for x in operations]
    raise AssertionError("no read to corrupt")


def lost_write(operations):
    """The history, with an acknowledged write that a read found told as refused."""
    found = {o.get("found") for o in operations} - {None}
    victim = next(o for o in operations if o["kind"] == "put" and o["value"] in found)
    return [{**x, "outcome": "refused"} if x is victim else x for x in operations]


def broken_condition(operations):
    """The history, with a failed conditional write told as done: nobody overwrote that value."""
    victim = [o for o in operations if o["outcome"] == "precondition_failed"
              and o["kind"] == "put_if_match"]
    gone = {o["expected"] for o in operations if o["kind"] == "put_if_match"
            and o["outcome"] == "ok"}
    victim = next(o for o in victim if o["expected"] in gone)
    return [{**x, "outcome": "ok"} if x is victim else x for x in operations]


@pytest.mark.parametrize("corrupt", [older_value, lost_write, broken_condition])
def test_the_judge_refuses_a_corrupted_history(calm, checker, tmp_path, corrupt):
    bad = Recorder(None, None, 0)
    bad.operations = corrupt(calm.operations)
    assert bad.operations != calm.operations
    code, text = checker(bad.write(tmp_path / "bad.jsonl"))
    assert code == 1 and "not decided" not in text and "linearizable" not in text.split(": ")[2]


def test_half_of_the_clients_write_through_a_replica(fleet, checker, tmp_path):
    recorder = Recorder(fleet, bucket(fleet, "through", EU, ME), seed=2)
    with clients(recorder, *[(EU, EU), (ME, EU)] * 4):
        time.sleep(7)  # the length of the history
    recorder.judged(checker, tmp_path / "through.jsonl", least=1000)
    for number in range(8):
        assert any(o["client"] == number and o["kind"] == "put" and o["outcome"] == "ok"
                   for o in recorder.operations)


def test_the_home_is_killed(fleet, checker, tmp_path):
    recorder = Recorder(fleet, bucket(fleet, "killed", EU, ME), seed=3)
    with clients(recorder, *[(EU, EU)] * 6, *[(ME, EU)] * 2):
        for _ in range(4):
            recorder.progress(60)
            restarted(fleet, EU)
        recorder.progress(60)
    recorder.judged(checker, tmp_path / "killed.jsonl", least=500)
    assert any(outcome == "unknown" for _, outcome in recorder.counts())


def test_the_replica_that_passes_writes_on_is_killed_and_frozen(fleet, checker, tmp_path):
    recorder = Recorder(fleet, bucket(fleet, "passed", EU, ME), seed=4, timeout=1)
    with clients(recorder, *[(EU, EU)] * 4, *[(ME, EU)] * 4):
        for _ in range(2):
            recorder.progress(60)
            restarted(fleet, ME)
            recorder.progress(60)
            fleet.freeze(ME)
            try:
                time.sleep(1.5)  # longer than the clients have patience
            finally:
                fleet.thaw(ME)
        recorder.progress(60)
    recorder.judged(checker, tmp_path / "passed.jsonl", least=500)
    assert any(outcome == "unknown" for _, outcome in recorder.counts())


def promoted(fleet, name):
    """The history of a home up to its loss, and a recorder for its heir, on the same keys."""
    bucket(fleet, name, EU, ME)
    before = Recorder(fleet, name, seed=5, timeout=1)
    with clients(before, *[(EU, EU)] * 4, *[(ME, EU)] * 2):
        before.progress(250)
        fleet.freeze(EU)
    fleet.cli("region", "promote", EU, "--to", ME)
    heir = fleet.s3(ME)
    # It decides on conditions once the old home has surely stopped to.
    eventually(lambda: heir.put_object(
        Bucket=name, Key="ready", Body=b"2",
        IfMatch=heir.head_object(Bucket=name, Key="ready")["ETag"]), timeout=60)
    after = Recorder(fleet, name, seed=6)
    # What the old home was asked and had not answered may be done when it returns.
    after.operations += [{**o, "client": 200 + o["client"]} for o in before.operations
                         if o["outcome"] == "unknown" and o["kind"] != READ]
    client = Client(urllib.parse.urlsplit(fleet.regions[ME]["endpoint"]).netloc, ME,
                    fleet.info["access_key"], fleet.info["secret_key"])
    for key in KEYS:
        start = time.monotonic_ns()
        status, answer, _ = client.get(name, key)
        assert status in (200, 404)
        if status == 200:
            after.operations.append({
                "client": 100, "key": key, "kind": "put", "outcome": "ok", "call_ns": start,
                "return_ns": time.monotonic_ns(), "value": answer["ETag"].strip('"')})
    return before, after


@pytest.fixture
def own_fleet(tmp_path):
    """For tests that lose regions."""
    fleet = Fleet(tmp_path / "data", 3, args=["--promise-ms", "3000"]).start()
    yield fleet
    fleet.stop()


def test_a_promoted_replica(own_fleet, checker, tmp_path):
    """A promotion without the old home may leave behind what the home alone had: so the history
    of its keys ends there, and that of the new home begins with what it holds."""
    before, after = promoted(own_fleet, "promoted")
    with clients(after, *[(ME, ME)] * 6):
        after.progress(250)
    before.judged(checker, tmp_path / "before.jsonl", least=100)
    after.judged(checker, tmp_path / "after.jsonl", least=300)


def test_the_old_home_returns_and_passes_writes(own_fleet, checker, tmp_path):
    fleet, name = own_fleet, "returned"
    _, after = promoted(fleet, name)
    with clients(after, *[(ME, ME)] * 4):
        after.progress(100)
        written = {o["key"] for o in list(after.operations) if o["client"] < 100
                   and o["kind"] in ("put", "delete") and o["outcome"] == "ok"}
        assert written == set(KEYS), "else what the old home hands over may be newer"
        fleet.thaw(EU)
        old = fleet.s3(EU)
        eventually(lambda: old.head_object(Bucket=name, Key="ready")["ReplicationStatus"]
                   == "REPLICA", timeout=60)
        for _ in range(2):
            after.client(EU, ME)
        after.progress(200)
    after.judged(checker, tmp_path / "after.jsonl", least=300)
    assert any(o["client"] in (4, 5) and o["kind"] == "put" and o["outcome"] == "ok"
               for o in after.operations)
