"""1,000 random bit flips over every kind of file that the engine keeps: each read afterwards gives
the right bytes or an error, never other bytes; and a scrub finds what reads find.

Flips go in rounds on a copy of a cloud that was stopped: many at once in extents (each in a file
of its own), few at once in the journal and the index, whose damage can keep the cloud from
starting - which is detection too.
"""

import hashlib
import os
import random
import shutil
import time

from dhow import Dhow

FLIPS = int(os.environ.get("DHOW_BIT_FLIPS", "1000"))


def fill(server):
    client = server.client()
    assert client.request("PUT", "/flip")[0] == 200
    bodies = {}
    for n in range(60):
        bodies[f"small-{n}"] = os.urandom(random.choice([10, 4000, 30_000]))
    for n in range(100):
        bodies[f"large-{n}"] = os.urandom(random.choice([70_000, 200_000, 400_000]))
    for key, body in bodies.items():
        assert client.put("flip", key, body)[0] == 200
    return {k: hashlib.sha256(b).digest() for k, b in bodies.items()}


def flip(path, rng):
    size = path.stat().st_size
    with open(path, "r+b") as f:
        at = rng.randrange(size)
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ (1 << rng.randrange(8))]))


def served(server, expected):
    """How many reads gave an error; wrong bytes fail the test. None when it did not start."""
    try:
        server.start(timeout=30)
    except RuntimeError:
        return None
    errors = 0
    try:
        for key, digest in expected.items():
            client = server.client()
            try:
                status, _, body = client.get("flip", key)
            except Exception:
                errors += 1  # cut off in the middle: the client sees it
                continue
            if status == 200:
                assert hashlib.sha256(body).digest() == digest, f"{key}: wrong bytes were served"
            else:
                # A row must not vanish silently: 404 would be a wrong answer too.
                assert status >= 500, f"{key}: {status} {body[:200]}"
                errors += 1
    finally:
        server.kill()
    return errors


def test_flipped_bits_are_never_served(tmp_path):
    seed = int(os.environ.get("DHOW_SEED", time.time_ns() % 2**32))
    print(f"DHOW_SEED={seed}")
    rng = random.Random(seed)
    origin = Dhow(tmp_path / "origin")
    origin.start()
    expected = fill(origin)
    assert origin.stop() == 0
    kinds = {"extent": [], "other": []}
    secret = {"credentials.json", "master.key", "running.json", "lock"}
    for path in sorted(origin.data.rglob("*")):
        if path.is_file() and path.stat().st_size and path.name not in secret:
            kind = "extent" if "extents" in path.relative_to(origin.data).parts else "other"
            kinds[kind].append(path.relative_to(origin.data))
    assert len(kinds["extent"]) >= 100 and kinds["other"]
    done = found = 0
    while done < FLIPS:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(origin.data, copy)
        if done % 2 == 0:
            chosen = rng.sample(kinds["extent"], min(90, FLIPS - done))
        else:
            chosen = [rng.choice(kinds["other"]) for _ in range(min(5, FLIPS - done))]
        for path in chosen:
            flip(copy / path, rng)
        done += len(chosen)
        server = Dhow(copy)
        errors = served(server, expected)
        if chosen[0] in kinds["extent"]:
            assert errors is not None
            assert errors == len(chosen), f"{len(chosen)} extents damaged, {errors} reads failed"
            found += errors
        elif errors is None or errors:
            found += 1
    print(f"{done} flips: no wrong byte served")
    assert found > 0



def test_a_damaged_journal_is_refused_with_a_way_out(tmp_path):
    """Damage where the index does not have the rows yet: the start is refused and says what to do;
    `dhow scrub --salvage` opens the folder without what was there, and later starts are plain."""
    server = Dhow(tmp_path / "data").start()
    client = server.client()
    assert client.request("PUT", "/journal")[0] == 200
    for n in range(40):
        assert client.put("journal", f"key-{n}", b"%d" % n * 100)[0] == 200
    server.kill()
    segment = sorted((server.data / "journal" / "journal").glob("*.seg"))[-1]
    content = bytearray(segment.read_bytes())
    heads = [at for at in range(0, len(content), 64) if content[at + 8 : at + 12] == b"DHJ2"]
    # One of the last but not the very last: that reads as a write that never came to its end.
    content[heads[-10] + 30] ^= 1
    segment.write_bytes(content)
    refused = Dhow(server.data)
    try:
        refused.start()
        raise AssertionError("it started")
    except RuntimeError:
        text = refused.log_text()
        assert "acknowledged writes are lost" in text, text
        assert "dhow scrub --salvage" in text, text
    done = server.cli("scrub", "--salvage", check=False)
    assert done.returncode == 1 and "the change log" in done.stdout, done.stdout + done.stderr
    server.start()
    client = server.client()
    statuses = [client.get("journal", f"key-{n}")[0] for n in range(40)]
    assert statuses.count(200) >= 38 and set(statuses) <= {200, 404}, statuses
    assert client.put("journal", "later", b"x")[0] == 200
    server.stop()
