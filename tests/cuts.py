"""Losses of power under work: what the disk holds at a random moment is copied, mounted at another
place and opened by a second process, while the first goes on, or gives its place to the copy.

Strict: every acknowledged write is there. Relaxed: what was acknowledged before the last syncs is
there, and of anything later one of the states that the key went through. In both: what a row says
is there can be read, byte by byte.
"""

import hashlib
import os
import random
import re
import signal
import threading
import time
import urllib.request
from collections import deque

from dhow import Dhow
from ledger import listed

ABSENT = None
BUCKET = "cuts"
WORKERS, KEYS = 6, 14
SIZES = [0, 1, 100, 4096, 4096, 4096, 4096, 20_000, 60_000, 70_000, 300_000, 1_500_000]
PART = 5 << 20
PATIENCE = 300  # the process is stopped while a copy is looked at
# A relaxed engine syncs once a second; what is older than this and than three syncs is durable.
RELAXED_S, RELAXED_SYNCS = 2.0, 3


class Step:
    """One change of one key: what it was to become, and when that was acknowledged."""

    def __init__(self, outcome):
        self.outcome, self.acknowledged = outcome, None


class History:
    """What each key went through since the drive was known in full. One writer for each key."""

    def __init__(self):
        self.lock, self.keys, self.count = threading.Lock(), {}, 0

    def begin(self, key, outcome):
        step = Step(outcome)
        with self.lock:
            self.keys.setdefault(key, []).append(step)
        return step

    def acknowledge(self, step):
        with self.lock:
            step.acknowledged = time.monotonic()
            self.count += 1

    def now(self):
        """What was known at this moment: for each key its steps, and when they were acknowledged."""
        with self.lock:
            return {key: [(s.outcome, s.acknowledged) for s in steps]
                    for key, steps in self.keys.items()}

    def become(self, found):
        """A copy took the place of the drive."""
        with self.lock:
            self.keys = {}
        for key, outcome in found.items():
            self.acknowledge(self.begin(key, outcome))


def allowed(steps, durable):
    """The states in which a key may be found, when all that was acknowledged up to `durable` is
    there: the last one of these, and all after it."""
    last = max((n for n, (_, at) in enumerate(steps) if at is not None and at <= durable), default=-1)
    return {outcome for outcome, _ in steps[max(last, 0):]} | ({ABSENT} if last < 0 else set())


class Work:
    """Workers that put, overwrite, copy, upload in parts, abort and delete, until they are told to
    end or the server is gone."""

    def __init__(self, server, history, seed):
        self.server, self.history, self.ending = server, history, threading.Event()
        self.failure, self.done = None, threading.Semaphore(0)
        self.threads = [threading.Thread(target=self._run, args=(n, random.Random(f"{seed}/{n}")))
                        for n in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.ending.set()

    def join(self):
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a worker waits for an answer"
        if self.failure:
            raise self.failure

    def progress(self, operations):
        for _ in range(operations):
            while not self.done.acquire(timeout=1):
                if self.failure:
                    raise self.failure
                assert any(t.is_alive() for t in self.threads), "all workers ended"

    def _run(self, number, rng):
        client = self.server.client()
        client.connection.timeout = PATIENCE
        try:
            while not self.ending.is_set():
                key = f"w{number}/key-{rng.randrange(KEYS)}"
                self._change(client, rng, key)
                self.done.release()
        except Exception as error:
            # Once the end has come answers fail, as they should.
            if not self.ending.is_set():
                self.failure = error

    def _change(self, client, rng, key):
        kind = rng.random()
        if kind < 0.12:
            self._told(ABSENT, key, lambda: client.delete(BUCKET, key))
        elif kind < 0.2:
            self._upload(client, rng, key)
        else:
            body = os.urandom(rng.choice(SIZES))
            digest = hashlib.md5(body).hexdigest()
            self._told(digest, key, lambda: client.put(BUCKET, key, body))

    def _told(self, outcome, key, ask):
        step = self.history.begin(key, outcome)
        status, _, text = ask()
        assert status in (200, 204), f"{key}: {status} {text[:300]}"
        self.history.acknowledge(step)

    def _upload(self, client, rng, key):
        path = f"/{BUCKET}/{key}"
        status, _, text = client.request("POST", path, "uploads=")
        assert status == 200, (status, text)
        upload = re.search(rb"<UploadId>([^<]+)<", text)[1].decode()
        parts = [os.urandom(PART), os.urandom(rng.choice(SIZES) + 1)]
        tags = []
        for number, part in enumerate(parts, 1):
            status, headers, text = client.request(
                "PUT", path, f"partNumber={number}&uploadId={upload}", part)
            assert status == 200, (status, text)
            tags.append(headers["etag"])
        if rng.random() < 0.3:
            status, _, text = client.request("DELETE", path, f"uploadId={upload}")
            assert status == 204, (status, text)
            return
        document = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"
                           for n, tag in enumerate(tags, 1))
        whole = f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode()
        digest = hashlib.md5(b"".join(parts)).hexdigest()
        self._told(digest, key,
                   lambda: client.request("POST", path, f"uploadId={upload}", whole))


class Syncs:
    """Reads from the metrics how many syncs the engine has done, again and again."""

    def __init__(self, server):
        self.url, self.seen = server.info["metrics"] + "/metrics", deque()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ending.wait(0.1):
            asked = time.monotonic()
            try:
                text = urllib.request.urlopen(self.url, timeout=30).read().decode()
            except OSError:
                continue
            count = re.search(r"^dhow_engine_syncs (\d+)", text, re.M)
            self.seen.append((asked, int(count[1])))

    def durable(self, moment):
        """The last moment of which everything was synced by `moment`."""
        seen = [*self.seen]
        last = max((count for _, count in seen), default=0)
        before = [at for at, count in seen
                  if count + RELAXED_SYNCS <= last and at + RELAXED_S <= moment]
        return max(before, default=0)

    def end(self):
        self.ending.set()


class Cuts:
    """`count` cuts of one kind of file system, under one promise."""

    def __init__(self, shelf, logs, kind, durability, seed, say=lambda text: None):
        self.shelf, self.logs, self.kind, self.durability = shelf, logs, kind, durability
        self.seed, self.say = seed, say
        self.rng = random.Random(f"{seed}/{kind}/{durability}")
        self.history, self.running, self.moment = History(), [], 0.0

    def run(self, count):
        drive = self.shelf.drive(self.kind, 1200)
        try:
            server = self._serve(drive)
            assert server.client().request("PUT", f"/{BUCKET}")[0] == 200
            cut = 0
            while cut < count:
                drive, server, cut = self._stretch(drive, server, cut, count)
            assert server.stop() == 0
            return self.history.count
        finally:
            for server in self.running:
                server.kill()

    def _serve(self, drive):
        server = Dhow(drive.mount / "data", args=["--durability", self.durability])
        server.log = self.logs / f"{self.kind}-{self.durability}-{drive.image.stem}.log"
        self.running.append(server)
        return server.start()

    def _stretch(self, drive, server, cut, count):
        """Cuts one server's drive until a copy takes its place, or there are enough."""
        work, syncs = Work(server, self.history, self.rng.random()), Syncs(server)
        try:
            if self.durability == "relaxed":
                self._wait_for_syncs(work, syncs)
            while cut < count:
                work.progress(self.rng.randrange(1, 60))
                time.sleep(self.rng.random() * 0.02)
                copy, known, durable = self._cut(drive, server, syncs)
                moves = self.rng.random() < 0.25
                if moves:
                    work.end()
                    server.kill()
                    work.join()
                else:
                    # Two at once would share the machine.
                    server.process.send_signal(signal.SIGSTOP)
                copied = self._open(copy, known, durable, cut)
                cut += 1
                self.say(f"{self.kind} {self.durability}: {cut} of {count} cuts, "
                         f"{self.history.count} acknowledged writes")
                if moves:
                    self.history.become(self.found)
                    self.shelf.discard(drive)
                    return copy, copied, cut
                copied.kill()
                copy.detach()
                self.shelf.discard(copy)
                server.process.send_signal(signal.SIGCONT)
            return drive, server, cut
        finally:
            syncs.end()
            work.end()
            if server.process is not None:
                server.process.send_signal(signal.SIGCONT)
            work.join()

    def _wait_for_syncs(self, work, syncs):
        """Works until something must be there."""
        deadline = time.monotonic() + 60
        while syncs.durable(time.monotonic()) == 0:
            assert time.monotonic() < deadline, "a relaxed engine does not sync"
            work.progress(5)

    def _cut(self, drive, server, syncs):
        """What the disk holds now, what was known, and up to when all that was acknowledged is
        durable. Mostly with the process frozen, in the midst of whatever it waits for; at times
        while it runs."""
        frozen = self.rng.random() < 0.7
        if frozen:
            server.process.send_signal(signal.SIGSTOP)
        try:
            moment = self.moment = time.monotonic()
            durable = moment if self.durability == "strict" else syncs.durable(moment)
            copy = self.shelf.copy_of(drive)
            # Only now: what begins while the disk is copied may be in the copy, and is a state that
            # its key went through.
            return copy, self.history.now(), durable
        finally:
            if frozen:
                server.process.send_signal(signal.SIGCONT)

    def _open(self, copy, known, durable, cut):
        """Opens the copy and compares; answers the server, which then runs on it."""
        about = (f"cut {cut} of {self.kind}, {self.durability}, DHOW_SEED={self.seed}, at "
                 f"{self.moment:.3f}, durable {durable:.3f}")
        copy.attach()
        server = self._serve(copy)
        client, self.found = server.client(), {}
        names = listed(client, BUCKET)
        for key, steps in sorted(known.items()):
            may = allowed(steps, durable)
            status, headers, body = client.get(BUCKET, key)
            assert status in (200, 404), f"{about}: {key}: {status}, may be one of {may}: {steps}"
            found = hashlib.md5(body).hexdigest() if status == 200 else ABSENT
            assert found in may, f"{about}: {key}: found {found}, may be one of {may}: {steps}"
            assert (key in names) == (status == 200), f"{about}: {key}: the listing says otherwise"
            if status == 200:
                assert names[key] == headers["etag"].strip('"')
                assert "-" in names[key] or names[key] == found, f"{about}: {key}: its ETag"
                self.found[key] = found
        assert names.keys() <= known.keys(), f"{about}: keys that nobody wrote"
        for size in (10, 200_000):
            body = os.urandom(size)
            assert client.put(BUCKET, "later", body)[0] == 200, about
            assert client.get(BUCKET, "later")[2] == body, about
        assert client.delete(BUCKET, "later")[0] == 204, about
        return server
