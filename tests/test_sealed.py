"""Copies that their region cannot read: cases P1 and P2 of the threats, between real processes.
P3 is in crates/replication/tests/regions/sealed.rs, where rows can be swapped one by one."""

import base64
import json
import random
import subprocess
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from dhow import BIN
from fleet import Fleet, body, code, eventually
from test_regions import EU, FIRST, ME

CANARY = "canary-51e2c9"
# What comes of a redirect to the home: boto3 signs for the region that it names, and asks here again.
MOVED = ("PermanentRedirect", "301", "AuthorizationHeaderMalformed")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("sealed") / "cloud", 3).start()
    yield fleet
    fleet.stop()


def fill(s3, bucket):
    """Objects of every kind that hold the canary; answers their keys."""
    rng = random.Random(51)
    s3.put_object(Bucket=bucket, Key=f"{CANARY}/small", Body=f"a {CANARY}".encode(),
                  Metadata={"note": CANARY}, ContentType=f"text/{CANARY}",
                  Tagging=f"tag={CANARY}")
    s3.put_object(Bucket=bucket, Key="long", Body=CANARY.encode() * 60_000)
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    upload = s3.create_multipart_upload(Bucket=bucket, Key=f"parts {CANARY}")["UploadId"]
    parts = []
    for number in (1, 2):
        piece = (CANARY.encode() + rng.randbytes(51)) * (5 << 20 >> 6)
        piece = piece + b"." * ((5 << 20) - len(piece)) if len(piece) < 5 << 20 else piece
        made = s3.upload_part(Bucket=bucket, Key=f"parts {CANARY}", UploadId=upload,
                              PartNumber=number, Body=piece)
        parts.append({"PartNumber": number, "ETag": made["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key=f"parts {CANARY}", UploadId=upload,
                                 MultipartUpload={"Parts": parts})
    return [f"{CANARY}/small", "long", "empty", f"parts {CANARY}"]


def completed(s3, bucket, keys):
    for key in keys:
        eventually(lambda: s3.head_object(Bucket=bucket, Key=key)["ReplicationStatus"]
                   == "COMPLETED")


def needles():
    raw = CANARY.encode()
    # In base64 a text looks one of three ways, by where it begins.
    encoded = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0:-4] for shift in range(3)]
    return [raw, raw.hex().encode(), *encoded]


def files_with_canaries(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()
            and any(needle in path.read_bytes() for needle in needles())]


def canaries_in_memory(pid):
    """How often a canary lies in what the process may write to."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(n, 16) for n in span.split("-"))
            try:
                memory.seek(start)
                text = memory.read(end - start)
            except (OSError, ValueError):
                continue
            found += sum(text.count(needle) for needle in needles())
    return found


def test_p1_the_operator_of_a_sealed_copy_holds_nothing_readable(fleet):
    fleet.json("bucket", "create", "vault", "--home", EU, "--sealed", ME)
    home, sealed = fleet.s3(EU), fleet.s3(ME)
    keys = fill(home, "vault")
    completed(home, "vault", keys)
    assert files_with_canaries(fleet.regions[EU]["data"]), "the search finds what is there"
    assert files_with_canaries(fleet.regions[ME]["data"]) == []
    assert canaries_in_memory(fleet.regions[EU]["pid"]) > 0, "the search finds what is there"
    assert canaries_in_memory(fleet.regions[ME]["pid"]) == 0
    # Readers see none of that.
    for key in keys:
        one = dict(Bucket="vault", Key=key)
        here, there = sealed.get_object(**one), home.get_object(**one)
        assert here["Body"].read() == there["Body"].read(), key
        for field in ("ETag", "Metadata", "ContentType", "LastModified", "ContentLength"):
            assert here[field] == there[field], (key, field)
        assert here["ReplicationStatus"] == "REPLICA"
        assert sealed.head_object(**one)["ETag"] == there["ETag"]
    for span in ("bytes=0-0", "bytes=65530-65545", "bytes=-100000", "bytes=5242870-5242890"):
        one = dict(bucket="vault", key=f"parts {CANARY}", Range=span)
        assert body(sealed, **one) == body(home, **one), span
    part = sealed.get_object(Bucket="vault", Key=f"parts {CANARY}", PartNumber=2)
    assert part["PartsCount"] == 2 and part["Body"].read() == home.get_object(
        Bucket="vault", Key=f"parts {CANARY}", PartNumber=2)["Body"].read()
    with pytest.raises(ClientError) as missing:
        sealed.get_object(Bucket="vault", Key="none")
    assert code(missing) == "NoSuchKey"
    assert files_with_canaries(fleet.regions[ME]["data"]) == [], "reads leave nothing behind"


def test_a_sealed_copy_takes_no_writes_and_lists_nothing(fleet):
    fleet.json("bucket", "create", "stiff", "--home", EU, "--sealed", ME)
    home, sealed = fleet.s3(EU), fleet.s3(ME)
    home.put_object(Bucket="stiff", Key="k", Body=b"1")
    completed(home, "stiff", ["k"])
    for ask in (
        lambda: sealed.put_object(Bucket="stiff", Key="k", Body=b"2"),
        lambda: sealed.delete_object(Bucket="stiff", Key="k"),
        lambda: sealed.list_objects_v2(Bucket="stiff"),
        lambda: sealed.list_object_versions(Bucket="stiff"),
        lambda: sealed.get_object_tagging(Bucket="stiff", Key="k"),
        lambda: sealed.put_bucket_tagging(Bucket="stiff", Tagging={"TagSet": []}),
        lambda: sealed.copy_object(Bucket="stiff", Key="l", CopySource="stiff/k"),
    ):
        with pytest.raises(ClientError) as refused:
            ask()
        assert code(refused) in MOVED, refused.value.response
    assert body(home, "stiff", "k") == b"1"
    refused = fleet.cli("bucket", "promote", "stiff", "--to", ME, "--force", check=False)
    assert refused.returncode == 1 and "sealed replica" in refused.stdout + refused.stderr
    shown = fleet.json("bucket", "show", "stiff")
    assert shown["replicas"] == [{"region": ME, "sealed_by": EU}]
    fleet.bucket("open", FIRST, ME)
    fleet.s3(FIRST).put_object(Bucket="open", Key="k", Body=b"1")
    # What may not be read there is not copied out of there either.
    with pytest.raises(ClientError):
        sealed.copy_object(Bucket="open", Key="l", CopySource="stiff/k")


def test_p2_a_missing_key_holder_fails_closed_and_harms_no_other_bucket(fleet):
    fleet.json("bucket", "create", "held", "--home", EU, "--sealed", ME)
    fleet.bucket("free", FIRST, ME)
    home, sealed = fleet.s3(EU), fleet.s3(ME, timeout=10)
    home.put_object(Bucket="held", Key="k", Body=b"1")
    fleet.s3(FIRST).put_object(Bucket="free", Key="k", Body=b"2")
    completed(home, "held", ["k"])
    eventually(lambda: body(sealed, "free", "k") == b"2")
    fleet.freeze(EU)
    try:
        begun = time.monotonic()
        with pytest.raises(ClientError) as refused:
            sealed.get_object(Bucket="held", Key="k")
        assert code(refused) == "ServiceUnavailable" and EU in str(refused.value)
        assert time.monotonic() - begun < 5
        assert body(sealed, "free", "k") == b"2"
    finally:
        fleet.thaw(EU)
    eventually(lambda: body(sealed, "held", "k") == b"1")


def test_p2_a_revoked_operator_can_read_no_more_and_keeps_nothing(fleet):
    fleet.bucket("leased", EU)
    home, sealed = fleet.s3(EU), fleet.s3(ME)
    home.put_object(Bucket="leased", Key="k", Body=b"x" * 200_000)
    would = fleet.json("bucket", "place", "leased", "--add-sealed", ME, "--dry-run")
    assert would["bucket"]["replicas"] == [{"region": ME, "sealed_by": EU}]
    fleet.cli("bucket", "place", "leased", "--add-sealed", ME)
    eventually(lambda: body(sealed, "leased", "k") == b"x" * 200_000)
    checked = eventually(lambda: [r for r in fleet.json("residency", "check", "leased")["regions"]
                                  if r["region"] == ME and "sealed" in r["verdict"]])
    assert checked[0]["good"] and checked[0]["holds"] == "sealed replica", checked
    bundle = fleet.data / "leased.residency"
    made = fleet.json("residency", "prove", "leased", "--out", bundle)
    assert made["findings"] == [], made
    verified = subprocess.run([str(BIN), "residency", "verify", str(bundle), "--json"],
                              capture_output=True, text=True, timeout=60)
    assert json.loads(verified.stdout)["findings"] == [], verified
    fleet.cli("bucket", "place", "leased", "--remove-replica", ME)
    with pytest.raises(ClientError) as refused:
        sealed.get_object(Bucket="leased", Key="k")
    assert code(refused) in MOVED
