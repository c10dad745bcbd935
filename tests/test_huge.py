"""One chunk of an aws-chunked body may be as long as the object: 5 GiB in a single chunk, with its
CRC in the trailer, in bounded memory."""

import base64
import shutil
import socket
import struct
import zlib

import pytest

GIB = 1 << 30
PIECE = bytes(range(256)) * (4 << 10)  # 1 MiB
RSS_KIB_MAX = 256 << 10


def crc32_of(pieces):
    crc = 0
    for _ in range(pieces):
        crc = zlib.crc32(PIECE, crc)
    return crc


def upload(cloud, path, size, crc):
    """Sends the object in one chunk; answers the status line's code and the largest RSS seen."""
    checksum = base64.b64encode(struct.pack(">I", crc)).decode()
    framing = f"{size:x}\r\n".encode()
    end = f"\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode()
    headers = cloud.client().headers(
        "PUT", path, headers={
            "content-encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32",
            "x-amz-decoded-content-length": str(size),
        }, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    )
    length = len(framing) + size + len(end)
    lines = [f"PUT {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
    lines += [f"content-length: {length}", "connection: close"]
    host, port = cloud.host.split(":")
    rss = [cloud.rss_kib()]
    with socket.create_connection((host, int(port)), timeout=300) as peer:
        peer.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + framing)
        for number in range(size // len(PIECE)):
            peer.sendall(PIECE)
            if number % 16 == 0:
                rss.append(cloud.rss_kib())
        peer.sendall(end)
        answer = b""
        while data := peer.recv(65536):
            answer += data
    rss.append(cloud.rss_kib())
    return int(answer.split(b" ", 2)[1]), max(rss), answer


@pytest.fixture
def huge(own_cloud):
    free = shutil.disk_usage(own_cloud.data.parent).free
    if free < 12 * GIB:
        pytest.skip(f"needs 12 GiB free on the disk of the tests; {free / GIB:.1f} GiB are")
    cloud = own_cloud.start()
    assert cloud.client().request("PUT", "/huge")[0] == 200
    yield cloud
    cloud.kill()
    shutil.rmtree(cloud.data)  # pytest keeps folders of earlier runs


def test_one_chunk_of_five_gib(huge):
    size = 5 * GIB
    status, rss, answer = upload(huge, "/huge/object", size, crc32_of(size // len(PIECE)))
    assert status == 200, answer
    assert rss < RSS_KIB_MAX, f"{rss} KiB resident"
    client = huge.client()
    status, headers, _ = client.request("HEAD", "/huge/object")
    assert (status, headers["content-length"]) == (200, str(size))
    first = 4 * GIB + 12345
    ranged = {"range": f"bytes={first}-{first + 999}"}
    status, headers, body = client.request("GET", "/huge/object", headers=ranged)
    assert (status, headers["content-range"]) == (206, f"bytes {first}-{first + 999}/{size}")
    assert body == (PIECE + PIECE)[first % len(PIECE):][:1000]


def test_a_wrong_trailer_behind_one_gib_leaves_no_object(huge):
    wrong = crc32_of(GIB // len(PIECE)) ^ 1
    status, rss, answer = upload(huge, "/huge/object", GIB, wrong)
    assert status == 400 and b"<Code>BadDigest</Code>" in answer, answer
    assert rss < RSS_KIB_MAX, f"{rss} KiB resident"
    assert huge.client().request("HEAD", "/huge/object")[0] == 404
