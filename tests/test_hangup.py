"""A client that hangs up leaves no change half made: raw connections are closed at random moments
of every operation that changes state, and the region is judged afterwards, without a restart."""

import base64
import hashlib
import random
import re
import socket
import struct
import time
import urllib.parse
import urllib.request

from conftest import client_for

ROUNDS = 60  # of nine operations each
BUCKETS = [f"hangup-{n}" for n in range(4)]


def raw(client, method, path, query="", body=b"", headers=None, payload="UNSIGNED-PAYLOAD"):
    """The bytes of a signed request."""
    headers = client.headers(method, path, query, headers, payload)
    lines = [f"{method} {path}{'?' + query if query else ''} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def hang_up(cloud, request, rng):
    """Sends a request, or a part of it, and closes at a random moment, often by a reset."""
    host, port = cloud.host.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        cut = rng.choice([len(request), len(request), len(request), rng.randrange(len(request))])
        try:
            peer.sendall(request[:cut])
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before its end
        # The moment itself is what is tested; there is no event to await.
        time.sleep(rng.choice([0, 0, 0.0002, 0.001, 0.004, 0.015]))
        if rng.random() < 0.7:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def content(size):
    return (b"hang up " * (size // 8 + 1))[:size]


def requests(cloud, s3, rng, bucket):
    """One request of each operation; what they need is made here."""
    client = cloud.client()
    key = f"k{rng.randrange(6)}"
    path = f"/{bucket}/{key}"
    small, large = content(100), content(rng.choice([70_000, 300_000]))
    yield raw(client, "PUT", path, body=small)
    yield raw(client, "PUT", path, body=large)
    yield raw(client, "PUT", f"{path}-copy", headers={"x-amz-copy-source": path})
    versioning = (
        b"<VersioningConfiguration><Status>" + rng.choice([b"Enabled", b"Suspended"])
        + b"</Status></VersioningConfiguration>"
    )
    yield raw(client, "PUT", f"/{bucket}", "versioning=", versioning)
    keys = "".join(f"<Object><Key>k{n}</Key></Object>" for n in range(6))
    delete = f"<Delete>{keys}</Delete>".encode()
    md5 = base64.b64encode(hashlib.md5(delete).digest()).decode()
    yield raw(client, "POST", f"/{bucket}", "delete=", delete, {"content-md5": md5})
    yield raw(client, "DELETE", path)

    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    uploads = f"uploadId={urllib.parse.quote(upload, safe='~')}"
    part = s3.upload_part(
        Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=content(200_000)
    )
    yield raw(client, "PUT", path, f"partNumber=2&{uploads}", large)
    complete = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part['ETag']}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    yield raw(client, "POST", path, uploads, complete)
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=content(70_000))
    yield raw(client, "DELETE", path, f"uploadId={urllib.parse.quote(upload, safe='~')}")


def settled(cloud, within=30):
    """Waits until no request is worked on any more."""
    deadline = time.monotonic() + within
    while True:
        text = urllib.request.urlopen(cloud.info["metrics"] + "/metrics", timeout=5).read().decode()
        found = re.search(r"^(\S*in_flight\S*) (\d+)$", text, re.M)
        assert found, "the gauge of requests under way is missing"
        if found[2] == "0":
            return
        assert time.monotonic() < deadline, f"{found[0]} after {within} s"
        time.sleep(0.05)  # the gauge can only be polled


def empty(s3, bucket):
    """Checks that every object is whole, then removes all of them; answers how many there were."""
    count = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in page.get("Versions", []):
            named = {"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
            body = s3.get_object(**named)["Body"].read()
            assert body == content(version["Size"]), f"{named} is not what was sent"
            assert len(body) in (100, 70_000, 200_000, 300_000), f"half an object: {named}"
            count += 1
        for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return count


def test_hang_ups_leave_nothing_half_done(own_cloud):
    cloud = own_cloud.start()
    s3 = client_for(cloud)
    rng = random.Random(20)
    for bucket in BUCKETS:
        s3.create_bucket(Bucket=bucket)
    for _ in range(ROUNDS):
        for request in requests(cloud, s3, rng, rng.choice(BUCKETS)):
            hang_up(cloud, request, rng)
    settled(cloud)
    assert sum(empty(s3, bucket) for bucket in BUCKETS) > 0, "no request came through"
    for bucket in BUCKETS:
        s3.delete_bucket(Bucket=bucket)
    assert cloud.stop() == 0
    damage = cloud.cli("scrub", "--repair", "--json", check=False)
    assert damage.returncode == 0, damage.stdout + damage.stderr
    assert "panicked" not in cloud.log_text()


def test_a_bucket_is_created_and_deleted_whole_or_not_at_all(own_cloud):
    cloud = own_cloud.start()
    s3, client = client_for(cloud), cloud.client()
    rng = random.Random(21)
    for _ in range(150):
        bucket = rng.choice(BUCKETS)
        hang_up(cloud, raw(client, rng.choice(["PUT", "DELETE"]), f"/{bucket}"), rng)
    settled(cloud)
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for bucket in BUCKETS:
        if bucket not in there:
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="k", Body=b"writes land")
        s3.delete_object(Bucket=bucket, Key="k")
        s3.delete_bucket(Bucket=bucket)
    assert s3.list_buckets()["Buckets"] == []
