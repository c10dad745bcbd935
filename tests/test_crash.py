"""kill -9 at random moments under eight writers: nothing acknowledged is lost or torn, nothing
deleted comes back, and only orphans that a sweep finds are left behind.

`DHOW_KILL_CYCLES` sets the number of cycles (150 in CI).
"""

import hashlib
import os
import random
import threading
import time

from dhow import Dhow
from ledger import Ledger, worker

CYCLES = int(os.environ.get("DHOW_KILL_CYCLES", "150"))
WRITERS = 8


def run_cycle(server, ledger, rng, cycle):
    """Writes until the process is killed under the writers."""
    stop = threading.Event()
    acked = threading.Semaphore(0)
    threads = [
        threading.Thread(
            target=worker, args=(server, ledger, f"w{n}", rng.randrange(2**32), stop, acked)
        )
        for n in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    # The moment is random in work done, not in time: after so many acknowledged operations,
    # and then a little more, so that it falls inside the next ones.
    for _ in range(rng.randrange(1, 120)):
        assert acked.acquire(timeout=60), f"cycle {cycle}: no progress"
    time.sleep(rng.random() * 0.01)
    server.kill()
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_kill_9_loses_nothing(tmp_path):
    seed = int(os.environ.get("DHOW_SEED", time.time_ns() % 2**32))
    print(f"DHOW_SEED={seed}")
    rng = random.Random(seed)
    server = Dhow(tmp_path / "data")
    server.start()
    client = server.client()
    assert client.request("PUT", "/crash")[0] == 200
    ledger = Ledger("crash")
    for cycle in range(CYCLES):
        run_cycle(server, ledger, rng, cycle)
        server.start()
        # A few keys each cycle, all at the end and every 25 cycles.
        everything = cycle % 25 == 24 or cycle == CYCLES - 1
        ledger.check(server.client(), rng, None if everything else 40)
    listed = ledger.check_listing(server.client())
    print(f"{CYCLES} kills, {ledger.acknowledged} acknowledged writes, {listed} keys: none lost")
    assert ledger.acknowledged > CYCLES * 10
    # What the kills left behind is found by the sweep, and nothing live is taken for it.
    server.stop()
    swept = server.cli("scrub", "--repair", "--json")
    server.start()
    ledger.check(server.client(), rng, None)
    server.stop()
    assert server.cli("scrub", "--json").returncode == 0, swept.stdout


def test_an_upload_cut_off_leaves_no_object(tmp_path):
    """A multipart upload that was cut off leaves no object, and can be listed and aborted."""
    server = Dhow(tmp_path / "data")
    server.start()
    client = server.client()
    client.request("PUT", "/parts")
    status, _, body = client.request("POST", "/parts/big", "uploads")
    assert status == 200
    upload = body.split(b"<UploadId>")[1].split(b"<")[0].decode()
    part = os.urandom(5 << 20)
    status, headers, _ = client.request("PUT", "/parts/big", f"partNumber=1&uploadId={upload}", part)
    assert status == 200 and headers["etag"].strip('"') == hashlib.md5(part).hexdigest()
    server.kill()
    server.start()
    client = server.client()
    assert client.get("parts", "big")[0] == 404
    status, _, body = client.request("GET", "/parts/big", f"uploadId={upload}")
    assert status == 200 and hashlib.md5(part).hexdigest().encode() in body
    assert client.request("DELETE", "/parts/big", f"uploadId={upload}")[0] == 204
    assert client.request("GET", "/parts/big", f"uploadId={upload}")[0] == 404
    server.kill()
