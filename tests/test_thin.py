"""A disk that promised more room than it has: the writes behind a sync fail, the kernel marks what
it could not write as clean, and what the process reads afterwards is not what the disk holds.

An ext4 in a sparse image on a small file system in memory. When that is full, the ext4 has free
blocks and their writes fail. Whatever is acknowledged, before, in between or afterwards, must be
there once the page cache is gone. Needs root; fails where it is missing.
"""

import hashlib
import os
import random
import re
import time

import pytest

from cuts import History, Syncs, allowed
from dhow import Dhow
from drives import Drive, Forbidden, Tmpfs
from ledger import ABSENT, Ledger, listed

AFTER = 19  # writes between the restart and the loss of the page cache


@pytest.fixture
def thin(tmp_path):
    """A drive of 1 GiB on a disk of 420 MiB."""
    under = Tmpfs(tmp_path / "under", 420)
    drive = Drive(under.mount / "disk.img", tmp_path / "mnt")
    try:
        drive.page_by_page = True
        drive.make(1024).settle().attach()
        yield under, drive
    finally:
        drive.drop()
        under.drop()


class Writer:
    """Puts and deletes one after the other, and keeps what it was told."""

    def __init__(self, server, ledger, size):
        self.client, self.ledger, self.size = server.client(), ledger, size
        self.refused = 0

    def put(self, key):
        body = os.urandom(self.size)
        outcome = hashlib.md5(body).hexdigest()
        return self._done(key, outcome, self.client.put(self.ledger.bucket, key, body))

    def delete(self, key):
        return self._done(key, ABSENT, self.client.delete(self.ledger.bucket, key))

    def _done(self, key, outcome, answer):
        status, _, text = answer
        self.ledger.begin(key, outcome)
        if status in (200, 204):
            self.ledger.acknowledge(key, outcome)
        else:
            # What became of it is open: a refusal after a failed sync may be on the disk.
            assert status >= 500, (key, status, text)
            self.refused += 1
        return status


def run_out(under, drive, server):
    """From here on the disk has no room, also for what the journal has room for ahead: a thin disk
    need not keep zeros."""
    drive.sync()
    drive.forget_zeros((server.data / "journal").rglob("*.*"))
    under.fill()


def started(server):
    """Whether it starts; if it refuses, then in words that say what is wrong with the disk."""
    mark = len(server.log_text())
    try:
        server.start()
        return True
    except RuntimeError as refused:
        said = server.log_text()[mark:]
        # No byte is damaged: some were never written, and nobody was told that they were.
        assert "panicked" not in said and "damaged" not in said, said
        assert re.search(r"^dhow: .+\n  \S", said, re.M), (
            f"a refusal says what is wrong and what to do: {said}\n{refused}")
        return False


@pytest.mark.root
@pytest.mark.parametrize("room, size, ends", [
    ("before the restart", 4096, "killed"), ("before the restart", 300_000, "stopped"),
    ("before the mount", 4096, "stopped"), ("before the mount", 300_000, "killed"),
    ("at the end", 4096, "killed"), ("at the end", 300_000, "stopped"),
])
def test_what_a_failed_sync_left_behind_is_not_built_upon(tmp_path, thin, room, size, ends):
    under, drive = thin
    server = Dhow(drive.mount / "data")
    server.log = tmp_path / "dhow.log"
    rng = random.Random(9)
    ledger = Ledger("thin")
    try:
        server.start()
        assert server.client().request("PUT", "/thin")[0] == 200
        writer = Writer(server, ledger, size)
        for n in range(60):
            assert writer.put(f"before-{n % 40}") == 200
        run_out(under, drive, server)
        for n in range(400):
            # A few that fail: nothing is to be taken after the first.
            if writer.refused >= 5:
                break
            writer.put(f"during-{n % 30}")
        else:
            raise AssertionError("the disk without room took all writes")
        for n in range(10):
            writer.delete(f"before-{n}")
        if ends == "killed":
            server.kill()
        else:
            server.stop()
        if room == "before the restart":
            under.relieve()
        if started(server):
            ledger.check(server.client(), rng, None)
            writer = Writer(server, ledger, size)
            for n in range(AFTER):
                writer.put(f"after-{n % 15}" if n % 3 else f"before-{20 + n}")
            writer.delete("before-15")
            server.kill()
        if room == "before the mount":
            under.relieve()
        # The page cache goes, and with it everything that no sync brought to the disk.
        drive.detach()
        try:
            drive.attach()
        except Forbidden:
            # The file system has something to write before it is there.
            assert room == "at the end"
        if room == "at the end":
            if drive.mounted and started(server):
                ledger.check(server.client(), rng, None)
                server.kill()
            under.relieve()
            if drive.mounted:
                drive.detach()
            drive.attach()
        server.start()
        ledger.check(server.client(), rng, None)
        ledger.check_listing(server.client())
        writer = Writer(server, ledger, size)
        for n in range(20):
            assert writer.put(f"later-{n}") == 200
        assert writer.delete("later-3") == 204
        ledger.check(server.client(), rng, None)
        assert server.stop() == 0
        drive.detach()
        drive.attach()
        server.start()
        ledger.check(server.client(), rng, None)
        assert server.stop() == 0
    finally:
        server.kill()


@pytest.mark.root
@pytest.mark.parametrize("size", [4096, 300_000], ids=["small", "large"])
def test_a_relaxed_engine_loses_no_more_than_its_last_writes_to_a_failed_sync(tmp_path, thin, size):
    """What was synced before the disk had no room is there, and no row is there without its bytes."""
    under, drive = thin
    server = Dhow(drive.mount / "data", args=["--durability", "relaxed"])
    server.log = tmp_path / "dhow.log"
    history = History()

    def put(client, key, may_fail=False):
        body = os.urandom(size)
        step = history.begin(key, hashlib.md5(body).hexdigest())
        status, _, text = client.put("thin", key, body)
        if status == 200:
            history.acknowledge(step)
        else:
            assert may_fail and status >= 500, (key, status, text)
        return status

    def check(durable):
        client = server.client()
        names = listed(client, "thin")
        for key, steps in history.now().items():
            status, _, body = client.get("thin", key)
            assert status in (200, 404), (key, status, body)
            found = hashlib.md5(body).hexdigest() if status == 200 else ABSENT
            assert found in allowed(steps, durable), (key, found, steps)
            assert (key in names) == (status == 200), key

    try:
        server.start()
        client = server.client()
        assert client.request("PUT", "/thin")[0] == 200
        for n in range(60):
            put(client, f"key-{n % 40}")
        written, syncs, n = time.monotonic(), Syncs(server), 0
        while (durable := syncs.durable(time.monotonic())) < written:
            # Something to sync, so that the engine goes on syncing.
            assert time.monotonic() < written + 60, "a relaxed engine does not sync"
            put(client, f"tick-{n % 5}")
            n += 1
            time.sleep(0.1)
        syncs.end()
        run_out(under, drive, server)
        deadline = time.monotonic() + 30
        while put(client, f"key-{n % 50}", may_fail=True) == 200:
            assert time.monotonic() < deadline, "the failed sync was not noticed"
            n += 1
            time.sleep(0.01)
        server.kill()
        under.relieve()
        if started(server):
            check(durable)
            for n in range(AFTER):
                put(server.client(), f"after-{n}", may_fail=True)
            server.kill()
        drive.detach()
        drive.attach()
        server.start()
        check(durable)
        assert server.stop() == 0
    finally:
        server.kill()
