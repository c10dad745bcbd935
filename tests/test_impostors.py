"""Somebody who has what is not theirs: a signed request that was seen, the files of a region, a
certificate with which other addresses are announced, a file of keys from elsewhere."""

import hashlib
import http.client
import json
import time
import urllib.parse

import pytest

from dhow import Client, Dhow


def host(url):
    return urllib.parse.urlsplit(url).netloc


@pytest.fixture
def cloud(tmp_path):
    cloud = Dhow(tmp_path / "data", ["--peer", "127.0.0.1:0"]).start()
    yield cloud
    log = cloud.log_text()
    cloud.kill()
    assert "panicked" not in log


class Recorded:
    """A signed request to the admin API as it is on the wire, to be sent as often as one likes."""

    def __init__(self, cloud, method, path, body=None, nonce=None):
        self.body = b"" if body is None else json.dumps(body).encode()
        self.method, self.target = method, "/-/admin/v1/" + path
        to = host(cloud.info["admin"])
        signer = Client(to, cloud.region, cloud.access_key, cloud.secret_key)
        more = {"x-dhow-nonce": nonce} if nonce else None
        payload = hashlib.sha256(self.body).hexdigest()
        self.headers = signer.headers(method, self.target, headers=more, payload=payload)

    def send(self, cloud, body=None, **headers):
        connection = http.client.HTTPConnection(host(cloud.info["admin"]), timeout=30)
        try:
            data = self.body if body is None else body
            connection.request(self.method, self.target, data, {**self.headers, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def names(cloud):
    return [a["name"] for a in cloud.cli_json("account", "list", "--json")]


def test_a_signed_admin_request_changes_something_once(cloud):
    made = Recorded(cloud, "POST", "accounts", {"name": "once"})
    assert made.send(cloud)[0] == 200
    for _ in range(3):
        status, why = made.send(cloud)
        assert status == 409 and "used before" in why, (status, why)
    assert names(cloud).count("once") == 1
    # Another nonce is another request, and cannot be put in place of the one that was signed.
    other = Recorded(cloud, "POST", "accounts", {"name": "other"}, nonce="1")
    assert other.send(cloud, **{"x-dhow-nonce": "2"})[0] == 403
    assert other.send(cloud, body=b'{"name": "bogus"}')[0] == 400
    assert other.send(cloud)[0] == 200
    # What reads may be sent again.
    read = Recorded(cloud, "GET", "accounts")
    assert read.send(cloud)[0] == read.send(cloud)[0] == 200
    # The same command twice is two requests.
    for _ in range(2):
        cloud.cli("account", "create", "twice")
    assert names(cloud).count("twice") == 2
    # A restart remembers, after a kill too.
    for stop in (cloud.stop, cloud.kill):
        stop()
        cloud.start()
        status, why = made.send(cloud)
        assert status == 409 and "used before" in why, (status, why)
        assert other.send(cloud)[0] == 409
    assert names(cloud).count("once") == names(cloud).count("other") == 1
    assert "bogus" not in names(cloud)
    # A signature that was made for another region is none here.
    signer = Client(host(cloud.info["admin"]), "elsewhere-1", cloud.access_key, cloud.secret_key)
    made.headers = signer.headers("POST", made.target,
                                  payload=hashlib.sha256(made.body).hexdigest())
    assert made.send(cloud)[0] == 403


def eventually(check, what, timeout=60):
    deadline = time.monotonic() + timeout
    while not (found := check()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found
