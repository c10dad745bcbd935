"""First starts that are cut off: the process is killed when it is about to make its N-th call that
changes the file system, for many N up to the ready line, and started again. What was begun then
opens, serves, and shows credentials that work.

The same with a loss of power at that moment, on a real ext4, and for a region that joins a cloud.
`killat.c` counts the calls; it is built with `cc`. `DHOW_START_CUTS` sets how many calls are tried
of each kind, spread over all (0: every one).
"""

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dhow import BIN, Dhow
from drives import Drive, Forbidden
from fleet import Fleet, eventually, free_ports

CUTS = int(os.environ.get("DHOW_START_CUTS", "12"))
SOURCE = Path(__file__).with_name("killat.c")


@pytest.fixture(scope="module")
def killat(tmp_path_factory):
    program = tmp_path_factory.mktemp("killat") / "killat"
    subprocess.run(["cc", "-O1", "-o", program, SOURCE], check=True)
    done = subprocess.run([program, "0", "0", "true"], capture_output=True, text=True)
    if done.stderr != "killat:\n":
        raise Forbidden(f"processes cannot be traced here: {done.stderr}")
    return program


def command(server):
    return [BIN, "up", "--json", "--data", server.data, *server.listeners(), *server.args]


def begin(program, call, half, server):
    """A first start that ends at call number `call`, or else once it is ready. Answers whether it
    was, and which calls it made."""
    return begin_command(program, call, half, command(server), server.log)


def begin_command(program, call, half, words, path):
    words = [str(word) for word in (program, call, half, *words)]
    with open(path, "ab") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watched, _, _ = select.select([process.stdout], [], [], 120)
        ready = bool(watched) and process.stdout.readline().startswith("{")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        said, _, calls = said.rpartition("killat:")
        log.write(said.encode())
    assert watched, said
    return ready, calls.split()


def calls_of_a_start(program, server):
    """The calls that a first start makes until it is ready."""
    ready, calls = begin(program, 0, 0, server)
    assert ready, server.log_text()
    return calls


def sample(calls, rng, count=CUTS):
    """The numbers of calls that are tried: all, or so many spread over all. Of many calls of one
    kind in a row, such as the making of 256 folders, a few stand for all."""
    tried = [n for n, call in enumerate(calls, 1)
             if not 3 < n < len(calls) - 1 or len({*calls[n - 3:n + 2]}) > 1 or n % 50 == 0]
    if count == 0:
        tried = range(1, len(calls) + 1)
    elif count < len(tried):
        tried = sorted(rng.sample(tried, count))
    # A write may also be half done when the process is killed.
    return [(call, rng.randrange(2)) for call in tried]


def seeded():
    seed = int(os.environ.get("DHOW_SEED", time.time_ns() % 2**32))
    print(f"DHOW_SEED={seed}")
    return random.Random(seed)


def use(server):
    """It serves, and its credentials are those in the file."""
    client = server.client()
    assert client.request("PUT", "/first")[0] in (200, 409)
    assert client.put("first", "k", b"value")[0] == 200
    assert client.get("first", "k")[2] == b"value"
    found = json.loads((server.data / "credentials.json").read_text())
    assert (found["access_key"], found["secret_key"]) == (server.access_key, server.secret_key)


def open_again(server):
    server.start()
    try:
        use(server)
        assert server.stop() == 0
        first = server.access_key
        server.start()
        assert server.access_key == first
        use(server)
    finally:
        server.kill()


class Failures:
    """What went wrong at which call, so that a run tells all of it. Of the folders that the trials
    make, each of which takes some hundred MiB, a few that show a failure are kept."""

    KEPT, SHOWN = 3, 20

    def __init__(self):
        self.lock, self.found = threading.Lock(), []

    def trial(self, name, folder, attempt):
        kept = False
        try:
            attempt()
        except Exception as error:
            with self.lock:
                self.found.append(f"{name}: {type(error).__name__} {str(error)[-700:]}")
                kept = len(self.found) <= self.KEPT
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)

    def check(self, tried):
        assert not self.found, (f"{len(self.found)} of {tried} failed, such as:\n"
                                + "\n".join(self.found[:self.SHOWN]))


def test_a_killed_first_start_opens(tmp_path, killat):
    made = calls_of_a_start(killat, Dhow(tmp_path / "count"))
    calls, failures = sample(made, seeded()), Failures()

    def attempt(call, half):
        server = Dhow(tmp_path / f"data-{call}")

        def one():
            begin(killat, call, half, server)
            open_again(server)

        failures.trial(f"call {call} of {len(made)}, half {half}", tmp_path / f"data-{call}", one)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda c: attempt(*c), calls))
    failures.check(len(calls))


def test_a_first_start_that_is_killed_again_and_again_opens(tmp_path, killat):
    """Each start comes a few calls further than the one before, on the same folder."""
    rng, server, call, starts = seeded(), Dhow(tmp_path / "data"), 0, 0
    step = 25 if CUTS else 1
    while starts < 400:
        call, starts = call + 1 + rng.randrange(step), starts + 1
        if begin(killat, call, rng.randrange(2), server)[0]:
            break  # it came to its ready line
    open_again(server)


@pytest.mark.root
def test_a_first_start_without_power_opens(tmp_path, killat):
    """What was not synced is lost as well, and so are names in folders that were not synced."""
    drive = Drive(tmp_path / "disk.img", tmp_path / "mnt").make(3000).attach()
    try:
        place = lambda name: Dhow(drive.mount / name)
        counted = place("count")
        counted.log = tmp_path / "count.log"
        made = calls_of_a_start(killat, counted)
        rng, failures = seeded(), Failures()
        calls = sample(made, rng)
        subprocess.run(["rm", "-rf", counted.data], check=True)
        os.sync()
        for call, half in calls:
            server = place(f"below/data-{call}")
            server.args = ["--durability", rng.choice(["strict", "relaxed"])]
            server.log = tmp_path / f"{call}.log"

            def one():
                begin(killat, call, half, server)
                drive.shut_down()
                drive.detach()
                drive.attach()
                open_again(server)

            failures.trial(f"call {call} of {len(made)}, half {half}", server.data, one)
            if not drive.mounted:
                drive.attach()
        failures.check(len(calls))
    finally:
        drive.drop()


@pytest.fixture
def keeper(tmp_path):
    server = Dhow(tmp_path / "keeper", args=["--peer", "127.0.0.1:0", "--region", "first-1"])
    server.start()
    yield server
    server.kill()


def test_a_killed_first_start_of_a_region_that_joins_opens(tmp_path, killat, keeper):
    """With the token that it was given: what spent it was this region itself."""

    def joining(name):
        token = keeper.cli_json("region", "open", name, "--jurisdiction", "AE", "--operator", "own",
                                "--json")["token"]
        return Dhow(tmp_path / name, args=["--peer", "127.0.0.1:0", "--join", token])

    made = calls_of_a_start(killat, joining("count-1"))
    calls, failures = sample(made, seeded()), Failures()

    def attempt(call, half):
        name = f"late-{call}"

        def one():
            server = joining(name)
            begin(killat, call, half, server)
            try:
                server.start()
                assert server.region == name
                eventually(lambda: keeper.cli_json("region", "show", name, "--json")["status"]
                           == "open", timeout=60)
                server.kill()
                server.args = ["--peer", "127.0.0.1:0"]
                server.start()
                assert server.region == name
                assert server.stop() == 0
            finally:
                server.kill()

        failures.trial(f"call {call} of {len(made)}, half {half}", tmp_path / name, one)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda c: attempt(*c), calls))
    failures.check(len(calls))


def test_a_killed_first_start_of_a_fleet_opens(tmp_path, killat):
    """The supervisor and its regions, wherever each of them is. The whole of it starts again."""
    rng, failures, log = seeded(), Failures(), tmp_path / "fleet.log"

    def fresh(name):
        return Fleet(tmp_path / name, 2, first_port=free_ports(rng))

    def cut(fleet, call, half):
        words = [BIN, "up", "--regions", fleet.count, "--json", "--data", fleet.data,
                 "--listen", f"127.0.0.1:{fleet.first_port}"]
        return begin_command(killat, call, half, words, log)

    ready, made = cut(fresh("count"), 0, 0)
    assert ready, log.read_text()
    # It takes seconds: a few are tried with the tests, and many more in a soak.
    calls = sample(made, rng, 3 if CUTS else 60)
    for call, half in calls:
        fleet = fresh(f"fleet-{call}")

        def one():
            cut(fleet, call, half)
            fleet.start()
            try:
                opened = {r["id"]: r["status"] for r in fleet.json("region", "list")}
                assert opened == {region: "open" for region in fleet.ids}
            finally:
                fleet.stop()

        failures.trial(f"call {call} of {len(made)}, half {half}", fleet.data, one)
    failures.check(len(calls))
