"""How accounts share a region: slow clients and many connections of one, and the others."""

import json
import resource
import socket
import subprocess

import pytest

from dhow import BIN, Client

LARGE = bytes(300_000)


@pytest.fixture(scope="module", autouse=True)
def files():
    """Both ends of a thousand connections are more than the usual limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def tenant(server, name):
    """A client of a new account, with a bucket of its name."""
    account = server.cli_json("account", "create", name, "--json")
    key = server.cli_json("key", "create", "--account", account["id"], "--json")
    client = Client(server.host, server.region, key["access_key"], key["secret_key"], timeout=60)
    assert client.request("PUT", f"/{name}")[0] == 200
    return client


@pytest.fixture
def other(own_cloud):
    own_cloud.start()
    return tenant(own_cloud, "others")


def trickle(server, client, bucket, length, count):
    """Uploads that have sent their heads and a byte."""
    host, port = server.host.split(":")
    uploads = []
    for n in range(count):
        path = f"/{bucket}/{length}-{n}"
        headers = client.headers("PUT", path, headers={"content-length": length})
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        upload = socket.create_connection((host, int(port)), timeout=60)
        upload.sendall(f"PUT {path} HTTP/1.1\r\n{lines}\r\na".encode())
        uploads.append(upload)
    return uploads


def test_trickling_uploads_of_two_accounts_leave_a_third_alone(own_cloud, other):
    uploads = []
    # More large ones than there is room for large ones at all.
    for name in ("slow-1", "slow-2"):
        client = tenant(own_cloud, name)
        uploads += trickle(own_cloud, client, name, 1000, 200)
        uploads += trickle(own_cloud, client, name, 1 << 20, 600)
    try:
        for n in range(20):
            assert other.put("others", f"small-{n}", b"small")[0] == 200
            assert other.put("others", f"large-{n}", LARGE)[0] == 200
            assert other.get("others", f"small-{n}")[2] == b"small"
            assert other.get("others", f"large-{n}")[2] == LARGE
            for upload in uploads[n::20]:
                try:
                    upload.sendall(b"a")
                except OSError:
                    pass  # it found no room, and was told so
    finally:
        for upload in uploads:
            upload.close()


def test_a_thousand_connections_of_one_account_are_all_served(own_cloud, other):
    command = [BIN, "bench", "put", "-c", "1000", "--requests", "4000", "--keep", "--json",
               "--data", own_cloud.data]
    crowd = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    try:
        served = 0
        while crowd.poll() is None or served < 5:
            assert other.put("others", f"beside-{served}", b"small")[0] == 200
            served += 1
        report = json.loads(crowd.stdout.read())
    finally:
        crowd.kill()
        crowd.wait()
        crowd.stdout.close()
    assert report["errors"] == {}
    assert report["requests"] >= 4000
