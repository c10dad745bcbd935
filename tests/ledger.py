"""What clients were told, kept outside the system: the judge of the crash tests.

Each key is written by one worker at a time, so its history is a sequence. An operation without an
answer may have happened or not: both outcomes are kept until a read decides.
"""

import hashlib
import os
import random
import threading
import urllib.parse
import xml.etree.ElementTree as ET

ABSENT = None
SIZES = [0, 1, 100, 4096, 4096, 4096, 20_000, 70_000, 300_000, 1_500_000]


class Ledger:
    def __init__(self, bucket):
        self.bucket = bucket
        self.lock = threading.Lock()
        self.states = {}  # key -> set of digests (or ABSENT) that a read may now find
        self.acknowledged = 0

    def begin(self, key, outcome):
        with self.lock:
            self.states.setdefault(key, {ABSENT}).add(outcome)

    def acknowledge(self, key, outcome):
        with self.lock:
            self.states[key] = {outcome}
            self.acknowledged += 1

    def refused(self, key, outcome, before):
        with self.lock:
            self.states[key] = before

    def possible(self, key):
        with self.lock:
            return set(self.states.get(key, {ABSENT}))

    def check(self, client, rng, sample):
        keys = sorted(self.states)
        if sample is not None and len(keys) > sample:
            keys = rng.sample(keys, sample)
        for key in keys:
            status, headers, body = client.get(self.bucket, key)
            allowed = self.possible(key)
            if status == 404:
                found = ABSENT
            else:
                assert status == 200, f"{key}: status {status} {body[:300]}"
                found = hashlib.md5(body).hexdigest()
                assert headers["etag"].strip('"') == found, f"{key}: torn, or wrong ETag"
            assert found in allowed, f"{key}: found {found}, may be one of {allowed}"
            with self.lock:
                self.states[key] = {found}

    def check_listing(self, client):
        """The listing agrees with the ledger key by key. To be called after a full check."""
        found = listed(client, self.bucket)
        known = {k: next(iter(v)) for k, v in self.states.items() if v != {ABSENT}}
        assert found == known
        return len(found)


def listed(client, bucket):
    """All keys that the listing has, with their ETags."""
    found, token = {}, ""
    while True:
        query = "list-type=2" + (f"&continuation-token={token}" if token else "")
        status, _, body = client.request("GET", f"/{bucket}", "&".join(sorted(query.split("&"))))
        assert status == 200, f"the listing of {bucket}: {status} {body[:300]}"
        root = ET.fromstring(body)
        ns = {"s": root.tag.split("}")[0].strip("{")}
        for item in root.findall("s:Contents", ns):
            found[item.find("s:Key", ns).text] = item.find("s:ETag", ns).text.strip('"')
        next_token = root.find("s:NextContinuationToken", ns)
        if next_token is None:
            return found
        token = urllib.parse.quote(next_token.text, safe="")


def worker(server, ledger, name, seed, stop, acked, keys=40):
    """Puts, overwrites and deletes its own keys until the server is gone."""
    rng = random.Random(seed)
    client = server.client()
    while not stop.is_set():
        key = f"{name}/key-{rng.randrange(keys)}"
        before = ledger.possible(key)
        try:
            if rng.random() < 0.2:
                ledger.begin(key, ABSENT)
                status, _, _ = client.delete(ledger.bucket, key)
                outcome = ABSENT
            else:
                body = os.urandom(rng.choice(SIZES))
                outcome = hashlib.md5(body).hexdigest()
                ledger.begin(key, outcome)
                status, _, _ = client.put(ledger.bucket, key, body)
        except Exception:
            return  # no answer: the outcome stays open
        if stop.is_set():
            return  # the power was going already: an answer from then on proves nothing
        if status in (200, 204):
            ledger.acknowledge(key, outcome)
            acked.release()
        elif status == 507:
            ledger.refused(key, outcome, before)
        elif status >= 500:
            return  # the disk is gone: the outcome stays open
        else:
            raise AssertionError(f"{key}: status {status}")
