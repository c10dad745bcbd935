"""Somebody who has what is not theirs: a signed request that was seen, the files of a region, a
certificate with which other addresses are announced, a file of keys from elsewhere."""

import datetime
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.parse

import pytest

from dhow import Client, Dhow
from evil import PATHS, Peer, Refused, openssl, plain_key


def host(url):
    return urllib.parse.urlsplit(url).netloc


NAME = "admin.example.net"


@pytest.fixture
def cloud(tmp_path):
    # A name that stays when a start takes another port.
    cloud = Dhow(tmp_path / "data", ["--peer", "127.0.0.1:0", "--admin-host", NAME]).start()
    yield cloud
    log = cloud.log_text()
    cloud.kill()
    assert "panicked" not in log


class Recorded:
    """A signed request to the admin API as it is on the wire, to be sent as often as one likes."""

    def __init__(self, cloud, method, path, body=None, nonce=None, to=None, ago=0):
        self.body = b"" if body is None else json.dumps(body).encode()
        self.method, self.target = method, "/-/admin/v1/" + path
        to = to or host(cloud.info["admin"])
        signer = Client(to, cloud.region, cloud.access_key, cloud.secret_key)
        more = {"x-dhow-nonce": nonce} if nonce else None
        payload = hashlib.sha256(self.body).hexdigest()
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=ago)
        # Without one it is as programs sign that know nothing of it.
        signer.nonces = nonce is not False
        self.headers = signer.headers(method, self.target, headers=more, payload=payload, now=now)

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
    made = Recorded(cloud, "POST", "accounts", {"name": "once"}, to=NAME)
    assert made.send(cloud)[0] == 200
    for _ in range(3):
        status, why = made.send(cloud)
        assert status == 409 and "used before" in why, (status, why)
    assert names(cloud).count("once") == 1
    # Another nonce is another request, and cannot be put in place of the one that was signed.
    other = Recorded(cloud, "POST", "accounts", {"name": "other"}, nonce="1", to=NAME)
    assert other.send(cloud, **{"x-dhow-nonce": "2"})[0] == 403
    assert other.send(cloud, body=b'{"name": "bogus"}')[0] == 400
    assert other.send(cloud)[0] == 200
    # The same command twice is two requests.
    account = cloud.cli_json("account", "create", "holder", "--json")["id"]
    for _ in range(2):
        cloud.cli("key", "create", "--account", account)
    keys = [k for k in cloud.cli_json("key", "list", "--json") if k["account"] == account]
    assert len(keys) == 2
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
    signer = Client(NAME, "elsewhere-1", cloud.access_key, cloud.secret_key)
    made.headers = signer.headers("POST", made.target,
                                  payload=hashlib.sha256(made.body).hexdigest())
    assert made.send(cloud)[0] == 403


def test_a_signed_read_of_the_admin_api_is_answered_once(cloud):
    """Whoever saw it reads nothing with it; programs that sign by the second may ask twice in one."""
    read = Recorded(cloud, "GET", "accounts", nonce="one")
    assert read.send(cloud)[0] == 200
    for _ in range(3):
        status, why = read.send(cloud)
        assert status == 409 and "answered before" in why, (status, why)
    assert Recorded(cloud, "GET", "accounts", nonce="two").send(cloud)[0] == 200
    # Without the nonce it is another request, which nobody signed.
    stripped = Recorded(cloud, "GET", "accounts", nonce="three")
    del stripped.headers["x-dhow-nonce"]
    assert stripped.send(cloud)[0] == 403
    # It is answered twice within five seconds; where both do not fit into them, another is made.
    deadline = time.monotonic() + 60
    while True:
        plain = Recorded(cloud, "GET", "accounts", nonce=False)
        assert "x-dhow-nonce" not in plain.headers["authorization"]
        if plain.send(cloud)[0] == plain.send(cloud)[0] == 200:
            break
        assert time.monotonic() < deadline, "no request without a nonce was answered twice"
    # A nonce that was added on the way makes no other request of it.
    assert plain.send(cloud, **{"x-dhow-nonce": os.urandom(4).hex()})[0] == 403
    deadline = time.monotonic() + 30
    while (again := plain.send(cloud))[0] == 200:
        assert time.monotonic() < deadline, "it is answered again and again"
        time.sleep(0.2)
    assert again[0] == 409 and "answered before" in again[1], again
    # Nor does a restart, once there is some time between.
    old = Recorded(cloud, "GET", "accounts", nonce="old", ago=60, to=NAME)
    assert old.send(cloud)[0] in (200, 409)
    cloud.kill()
    cloud.start()
    status, why = old.send(cloud)
    assert status == 409 and "before this region started" in why, (status, why)
    assert Recorded(cloud, "GET", "accounts").send(cloud)[0] == 200
    assert names(cloud)


def test_a_request_that_was_signed_for_another_host_is_not_done(cloud):
    """An impostor takes a signed request under a name of its own, and sends it on as it came."""
    port = host(cloud.info["admin"]).rpartition(":")[2]
    for name in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", f"10.9.8.7:{port}"):
        taken = Recorded(cloud, "POST", "accounts", {"name": "taken"}, to=name)
        status, why = taken.send(cloud)
        assert status == 421 and "admin_hosts" in why, (name, status, why)
    own = Recorded(cloud, "POST", "accounts", {"name": "own"})
    absolute = f"http://evil.example{own.target}"
    own.target, path = absolute, own.target
    assert own.send(cloud)[0] == 421, "the target names another host"
    own.target = path
    assert own.send(cloud)[0] == 200
    assert "taken" not in names(cloud)


def eventually(check, what, timeout=120):
    """Asks again also where an answer does not come: a region is being started meanwhile."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if found := check():
                return found
        except OSError as error:
            what = f"{what}: {error!r}"
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def pair(tmp_path):
    """The registry's region, and one that joined it."""
    keeper = Dhow(tmp_path / "keeper", ["--region", "first-1", "--peer", "127.0.0.1:0"]).start()
    member = Dhow(tmp_path / "member")
    token = keeper.cli_json("region", "open", "second-1", "--jurisdiction", "DE",
                            "--operator", "own", "--json")["token"]
    member.args = ["--peer", "127.0.0.1:0", "--join", token]
    member.start()
    eventually(lambda: shown(keeper)["status"] == "open", "the region is open")
    yield keeper, member
    logs = keeper.log_text() + member.log_text()
    member.kill()
    keeper.kill()
    assert "panicked" not in logs


def shown(keeper):
    return keeper.cli_json("region", "show", "second-1", "--json")


def certificates(keeper):
    return {c["serial"]: c["revoked"] for c in shown(keeper)["certificates"]}


def hello(peer):
    try:
        return peer.ask("GET", PATHS["hello"])[0]
    except Refused:
        return "refused"


def renewed(thief, stolen, folder):
    """A certificate that a thief gets with the key of the region in `stolen`, as a folder."""
    folder.mkdir()
    key, request = folder / "key", folder / "request"
    key.write_text(plain_key((stolen / "identity.pem").read_text()))
    openssl("req", "-new", "-key", key, "-subj", "/CN=second-1", "-addext",
            "subjectAltName=DNS:second-1.region.dhow.internal", "-outform", "DER", "-out", request)
    status, pem = thief.ask("POST", PATHS["renew"], request.read_bytes())
    if status != 200:
        return None
    (folder / "certificate.pem").write_bytes(pem)
    for name in ("identity.pem", "authority.pem"):
        shutil.copy(stolen / name, folder / name)
    return folder


def acts(keeper, member, bucket):
    """Whether the region makes a bucket of its own, which the registry has to put on record."""
    s3 = Client(member.host, "second-1", keeper.access_key, keeper.secret_key)
    return s3.request("PUT", f"/{bucket}")[0] == 200


def test_a_thief_of_a_regions_key_is_locked_out_and_the_region_is_not(pair, tmp_path):
    keeper, member = pair
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    for name in ("identity.pem", "authority.pem", "certificate.pem"):
        shutil.copy(member.data / name, stolen / name)
    speaks = lambda folder: Peer.of(folder, keeper.info["peer"], "first-1")
    thief = speaks(stolen)
    assert hello(thief) == 200
    # It renews, and the renewal is on record.
    again = renewed(thief, stolen, tmp_path / "renewed")
    assert len(certificates(keeper)) == 2 and not any(certificates(keeper).values())
    held = speaks(again)
    assert hello(held) == 200
    eventually(lambda: acts(keeper, member, "before"), "the region works beside the thief")

    token = keeper.cli_json("region", "rekey", "second-1", "--json")["token"]
    assert hello(held) == 200, "nothing is taken back before the new key is there"
    old_key = (member.data / "identity.pem").read_text()
    member.stop()
    member.args = ["--peer", "127.0.0.1:0", "--rekey", token]
    member.start()
    assert (member.data / "identity.pem").read_text() != old_key
    assert not (member.data / "identity-next.pem").exists()
    # All that the thief has is dead: open connections, both certificates, and the key.
    for peer in (held, thief, speaks(stolen), speaks(again)):
        eventually(lambda peer=peer: hello(peer) == "refused", "the thief is refused", 30)
    with pytest.raises(Refused):
        renewed(speaks(again), stolen, tmp_path / "more")
    eventually(lambda: acts(keeper, member, "after"), "the honest region works")
    known = certificates(keeper)
    assert sorted(known.values()) == [False, True, True], known
    # Another start with the same words changes nothing, and without them neither.
    new_key = (member.data / "identity.pem").read_text()
    for n, args in enumerate((member.args, ["--peer", "127.0.0.1:0"])):
        member.stop()
        member.args = args
        member.start()
        assert (member.data / "identity.pem").read_text() == new_key
        eventually(lambda n=n: acts(keeper, member, f"again-{n}"), "the region works")
    log = [e for e in keeper.cli_json("audit", "show", "--json") if e["subject"] == "second-1"]
    assert [e["action"] for e in log if e["action"].startswith("region.re")] == [
        "region.renew", "region.rekey"]

    # Revoking all that the region has reaches what was renewed, and a new key is the way back.
    status = keeper.cli("region", "rekey", "first-1", check=False)
    assert status.returncode == 1 and "no key that could be replaced" in status.stderr
    used = keeper.cli_json("region", "rekey", "second-1", "--json")["token"]
    keeper.cli("region", "rekey", "second-1")
    member.stop()
    member.args = ["--peer", "127.0.0.1:0", "--rekey", used]
    with pytest.raises(RuntimeError) as refused:
        member.start()
    assert "region rekey" in str(refused.value) or "rekey" in str(refused.value)
    member.args = ["--peer", "127.0.0.1:0"]
    member.start()
    eventually(lambda: acts(keeper, member, "once-more"), "a token that is no good harms nothing")


def test_a_region_announces_no_address_that_is_not_its_own(pair):
    keeper, member = pair
    before = shown(keeper)
    assert before["addresses"] == [] and before["refused"] == ""
    # Its operator has the certificate, and announces what he likes.
    evil = Peer.of(member.data, keeper.info["peer"], "first-1")
    member.stop()

    def announce(peer=before["peer"], endpoint=before["endpoint"]):
        announced = {"peer": peer, "endpoint": endpoint, "public_key": before["public_key"]}
        ready = {"now_ms": time.time_ns() // 1_000_000, "version": "", "writable": True}
        told = evil.tell("registry", {"announce": {"announced": announced, "ready": ready}})
        assert told[0] == 200, told
        return told[1]

    other = keeper.info["peer"]
    for words in ({"endpoint": "https://evil.example"}, {"peer": "169.254.169.254:80"},
                  {"peer": "10.0.0.1:22"}, {"peer": other}, {"endpoint": keeper.endpoint},
                  {"endpoint": before["endpoint"] + "@evil.example"}):
        told = announce(**words)
        assert "region allow second-1" in told["refused"], (words, told)
        now = shown(keeper)
        assert (now["peer"], now["endpoint"]) == (before["peer"], before["endpoint"])
        assert now["refused"] == told["refused"], "it is shown"
    assert "an announced address was refused" in keeper.log_text()
    text = keeper.cli("region", "show", "second-1").stdout
    assert "evil.example" in text and "where it was when it joined" in text
    assert announce() == "done" and shown(keeper)["refused"] == ""
    # The owner's word.
    refused = keeper.cli("region", "allow", "second-1", "--address", "http://x", check=False)
    assert refused.returncode == 1 and "is no address" in refused.stderr
    keeper.cli("region", "allow", "second-1", "--address", "moved.example:443",
               "--address", "127.0.0.0/8")
    assert "refused" in announce(endpoint="https://moved.example:444")
    assert announce(endpoint="https://moved.example") == "done"
    assert shown(keeper)["endpoint"] == "https://moved.example"
    # What is on record and no longer allowed is not used: nobody is sent there.
    keeper.cli_json("bucket", "create", "there", "--home", "second-1", "--json")
    sent = lambda: str([str(part) for part in keeper.client().request("GET", "/there/k")])
    assert "moved.example" in sent(), sent()
    keeper.cli("region", "allow", "second-1", "--address", "127.0.0.0/8")
    assert "moved.example" not in sent(), sent()
    assert "not in its list" in shown(keeper)["refused"]


def refused_start(cloud):
    with pytest.raises(RuntimeError) as refused:
        cloud.start()
    return str(refused.value)


def test_a_file_of_keys_that_open_nothing_starts_nothing(cloud):
    path = cloud.data / "credentials.json"
    cloud.stop()
    good = json.loads(path.read_text())
    for bad in ("", "{", "[]", json.dumps(good)[:-5], json.dumps({**good, "secret_key": None}),
                json.dumps({**good, "secret_key": "x" * 40}),
                json.dumps({**good, "access_key": "DHOWNOBODYKNOWSTHIS1"})):
        path.write_text(bad)
        why = refused_start(cloud)
        assert "credentials.json" in why, (bad, why)
        assert path.read_text() == bad, "nothing was written over it"
        if "NOBODY" not in bad:
            assert "dhow key recover" in why, (bad, why)
    path.write_text("{")
    made = cloud.cli_json("key", "recover", "--json")
    cloud.start()
    assert cloud.access_key == made["access_key"]
    # A key that was disabled on purpose is named, and keeps nothing from starting.
    cloud.cli("key", "disable", good["access_key"])
    cloud.stop()
    path.write_text(json.dumps(good))
    cloud.start()
    assert "is disabled" in cloud.log_text()


def root(keeper):
    return json.loads((keeper.data / "credentials.json").read_text())["account"]


def test_a_region_without_the_registry_takes_no_key_that_it_knows_to_be_disabled(pair):
    keeper, member = pair
    made = keeper.cli_json("key", "create", "--account", root(keeper), "--json")
    key = (made["access_key"], made["secret_key"])
    status = lambda: Client(member.host, "second-1", *key).request("GET", "/")[0]
    eventually(lambda: status() == 200, "the key is known")
    keeper.cli("key", "disable", made["access_key"])
    eventually(lambda: status() == 403, "it is disabled there too")
    keeper.stop()
    for stop in (member.stop, member.kill):
        stop()
        member.args = ["--peer", "127.0.0.1:0"]
        member.start()
        assert "the registry does not answer" in member.log_text()
        assert status() == 403
        # Others go on.
        good = Client(member.host, "second-1", keeper.access_key, keeper.secret_key)
        assert good.request("GET", "/")[0] == 200
    # How old the copy is, it says.
    assert "last_heard" in member.log_text()
    told = json.loads(member.cli("doctor", "--json", check=False).stdout)
    assert "last answered 20" in json.dumps(told), told
