"""The evil region: an operator who has all of a region's files, its certificate and root on its
machine, against a running cloud. Each test is a case of the threats that docs/testing.md lists,
which also says where the cases are tested that are not here."""

import base64
import datetime
import hashlib
import hmac
import json
import random
import re
import shutil
import socket
import threading
import time
import urllib.parse

import boto3
import pytest

from dhow import ROOT, Client, _sign
from evil import (PATHS, FakeKeeper, Peer, Refused, files, forged, in_memory, openssl,
                  head, plain_key)
from fleet import body as body_of, eventually, listing
from netns import NetFleet
from test_roles import trust
from test_users import allow, document
from test_users_regions import account as named_account, iam_for, put, user

FIRST, EU, ME, AP = "cn-hangzhou", "eu-central-1", "me-east-1", "ap-northeast-1"
LAWS = {FIRST: "CN", EU: "DE", ME: "AE", AP: "JP"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Logs say all that they can: what must not be in them is not there at any level."""
    fleet = NetFleet(tmp_path_factory.mktemp("evil"), LAWS, ["--log-level", "debug", "--oidc-allow",
                                                           "https://id.example.com"]).start()
    yield fleet
    logs = "".join(p.log_text() for p in fleet.processes.values())
    fleet.stop()
    assert "panicked" not in logs


@pytest.fixture(autouse=True)
def whole(fleet):
    """One test that fails is to be one failure."""
    yield
    fleet.mend()


def peer_of(fleet, region):
    return f"{fleet.processes[region].address}:9003"


@pytest.fixture
def evil(fleet):
    """ME's operator speaks to whom it wants."""
    opened = []

    def to(region, kind=Peer):
        opened.append(kind.of(fleet.regions[ME]["data"], peer_of(fleet, region), region))
        return opened[-1]

    yield to
    for peer in opened:
        peer.close()


def operations():
    """(method, path) of every S3 operation, working or not."""
    table = (ROOT / "docs" / "operations.md").read_text()
    found = re.findall(r"^\| \w+ \| `(\w+) (/[^`]*)`", table, re.MULTILINE)
    assert len(found) > 100
    return found


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d")


def chain(secret, day, region, service="s3"):
    """All that SigV4 makes of a secret on the way to a signing key."""
    steps = [("AWS4" + secret).encode()]
    for text in (day, region, service, "aws4_request"):
        steps.append(_sign(steps[-1], text))
    return steps


class Thief(Client):
    """Signs with a key that belongs to another region's scope."""

    def __init__(self, host, scope, access_key, signing_key):
        super().__init__(host, scope, access_key, "")
        self.stolen = signing_key

    def _signing_key(self, day, service):
        return self.stolen


def state(fleet):
    """What no attack may have changed: the registry, and what the other regions hold."""
    entries = [(e["number"], e["action"], e["subject"]) for e in fleet.audit()]
    held = [listing(fleet.s3(r), b) for r, b in ((EU, "lawful"), (FIRST, "private"))]
    return entries, held


@pytest.fixture(scope="module")
def victims(fleet):
    """Buckets of which ME holds nothing: one that the law keeps in the EU, one of the registry's
    region; and one that ME holds sealed."""
    fleet.bucket("lawful", EU, options=["--jurisdiction", "EU"])
    fleet.bucket("private", FIRST)
    fleet.json("bucket", "create", "vault", "--home", EU, "--sealed", ME)
    for region, name in ((EU, "lawful"), (FIRST, "private"), (EU, "vault")):
        fleet.s3(region).put_object(Bucket=name, Key="secret-name", Body=b"secret-content " * 9)
    eventually(lambda: fleet.s3(EU).head_object(Bucket="vault", Key="secret-name")
               ["ReplicationStatus"] == "COMPLETED")
    return {name: fleet.json("bucket", "show", name) for name in ("lawful", "private", "vault")}


def changes_from(fleet, start):
    """The question for changes, as ME's own release asks it."""
    known = fleet.json("region", "show", ME)["features"]
    return {"changes": {"from": start, "wait_ms": 0, "features": known}}


def registry_questions(victims, fleet):
    """What a region asks of the registry, in the name of others."""
    owner = victims["lawful"]["owner"]
    new = lambda home, **placement: {"create_deed": {
        "name": "planted", "owner": owner, "home": home, "placement": placement}}
    for home in (FIRST, EU, ME, AP, "nowhere"):
        yield new(home)
        yield new(home, replicas=[{"region": ME}])
    yield {"create_deed": {"name": "planted", "owner": "000000000000", "home": ME,
                           "placement": {}}}
    yield {"create_deed": {"name": "../planted", "owner": owner, "home": ME, "placement": {}}}
    for name, deed in victims.items():
        yield {"remove_deed": {"name": name, "id": deed["id"]}}
        yield {"remove_deed": {"name": name, "id": deed["id"] ^ 1}}
        yield {"divergence": {"name": name, "from": EU, "epoch": deed["epoch"], "keys": ["k"]}}
        for epoch in (deed["epoch"], deed["epoch"] + 1):
            about = {"name": name, "id": deed["id"], "epoch": epoch}
            yield {"removed": {**about, "rows": 7}}
            yield {"removed_on_word": {**about, "from": EU, "count": 1, "digest": "0" * 64}}
    keys = {r["id"]: r["public_key"] for r in fleet.json("region", "list")}
    for region in (FIRST, EU, AP):
        yield {"announce": {
            "announced": {"endpoint": "http://10.77.0.3:9000", "peer": "10.77.0.3:9003",
                          "public_key": keys[region]},
            "ready": {"now_ms": int(time.time() * 1000), "version": "0.1.0", "writable": True}}}


def bucket_questions(deed):
    key, version = "secret-name", "0" * 32
    one = [[key, version]]
    return [
        "head", {"changes": {"after": 0, "wait_ms": 0}}, {"snapshot": {"from": ""}},
        {"snapshot": {"from": "63"}}, {"body": {"key": key, "version": version, "offset": 0}},
        {"lacking": {"versions": one}}, {"offer": {"versions": one}},
        {"version": {"key": key, "version": version}}, {"lease": {"key": key, "version": None}},
        {"unwrap": {"key": key, "version": version, "wrapped": "00" * 60, "asker": "09" * 32}},
    ]


def test_p5_a_regions_certificate_opens_nothing_of_others(fleet, victims, evil):
    """Every way between regions, every S3 operation in a customer's name, every admin operation:
    none is accepted, and nothing has changed."""
    before, calls = state(fleet), 0
    owner = victims["lawful"]["owner"]
    caller = [("x-dhow-caller-account", owner), ("x-dhow-caller-key", fleet.info["access_key"])]

    def refused(answer, what):
        nonlocal calls
        calls += 1
        got, text = answer
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        assert b"secret-content" not in text, (what, got, text)
        told = re.match(rb'"no_bucket"|\{"(refused|placement|taken|too_many)"', text)
        assert got >= 300 or got == 200 and told, (what, got, text)

    registry, home = evil(FIRST), evil(EU)
    assert registry.ask("GET", PATHS["hello"])[0] == 200, "the certificate is good"
    for question in registry_questions(victims, fleet):
        refused(registry.tell("registry", question), question)
        refused(home.tell("registry", question), question)
    for name in ("lawful", "private"):
        deed, where = victims[name], evil(victims[name]["home"])
        for what in bucket_questions(deed):
            for epoch in (deed["epoch"], deed["epoch"] + 1):
                question = {"bucket": name, "id": deed["id"], "epoch": epoch, "what": what}
                refused(where.tell("replication", question), question)
    for what in ({"offer": {"versions": []}}, {"version": {"key": "k", "version": "0" * 32}}):
        question = {"bucket": "vault", "id": victims["vault"]["id"], "epoch": 1, "what": what}
        refused(home.tell("replication", question), question)
    for path in ("residency", "join"):
        for question in ({"bucket": "lawful", "id": victims["lawful"]["id"], "epoch": 1}, {}):
            refused(home.tell(path, question), path)
            refused(registry.tell(path, question), path)
    for peer in (home, registry, evil(AP)):
        refused(peer.tell("log", {"from": 0, "limit": 10}), "the log as others have it")
    for method, path in operations():
        for name in ("lawful", "vault"):
            target = path.replace("/bucket", f"/{name}").replace("/key", "/secret-name")
            if target == "/":
                continue  # the names of buckets are every region's to know
            refused(home.ask(method, PATHS["pass"] + target, b"", caller), (method, target))
    for peer in (home, registry):
        refused(peer.ask("PUT", PATHS["pass"] + "/planted", b"", caller), "a bucket")
    document = json.loads((ROOT / "docs" / "admin-api.json").read_text())
    for path, methods in document["paths"].items():
        target = re.sub(r"\{\w+\}", "lawful", path)
        for method in methods:
            for peer in (home, registry):
                refused(peer.ask(method.upper(), target), target)
                refused(peer.ask(method.upper(), PATHS["pass"] + target, b"", caller), target)
    assert calls >= 200, calls
    print("calls", calls)
    assert state(fleet) == before


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_p5_only_what_a_customer_signed_is_done_and_only_for_who_is_live(fleet, evil):
    """With the bucket's own word that regions may pass requests on: a region relays what its
    customer signed, once, and nothing else comes of it; a key that is not there, of another account
    or disabled, and a suspended account, are nobody."""
    account = fleet.json("account", "create", "stopped")["id"]
    pair = fleet.json("key", "create", "--account", account)
    other = fleet.json("key", "create", "--account", fleet.json("account", "create", "o")["id"])
    for name in ("passed-on", "bystander"):
        fleet.json("bucket", "create", name, "--home", EU, "--owner", account, "--proxy")
    own = (pair["access_key"], pair["secret_key"])
    eventually(lambda: fleet.s3(EU, own).put_object(Bucket="passed-on", Key="k", Body=b"canary"))
    eventually(lambda: fleet.s3(EU, own).put_object(Bucket="bystander", Key="k", Body=b"canary"))
    home, here = evil(EU), f"{fleet.processes[ME].address}:9000"

    def customer(pair=pair, scope=ME):
        return Client(here, scope, pair["access_key"], pair["secret_key"])

    def signed(method="GET", target="/passed-on/k", body=b"", who=None, **more):
        path, _, query = target.partition("?")
        more.setdefault("payload", sha256(body))
        return (who or customer()).headers(method, path, query, **more)

    def relay(method="GET", target="/passed-on/k", body=b"", headers=None):
        return home.ask("POST", PATHS["pass"], body,
                        head(headers or signed(method, target, body), method, target))

    def there(bucket="passed-on"):
        return body_of(fleet.s3(EU, own), bucket, "k")

    got = relay()
    assert got == (200, b"canary"), got
    ago = lambda s: datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=s)
    lying = {"access_key": "nobody", "secret_key": "x" * 40}
    unsigned = customer().headers("PUT", "/passed-on/k")
    presigned = "/passed-on/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=" + "0" * 64
    for method in ("GET", "PUT", "DELETE"):
        body = b"forged" if method == "PUT" else b""
        good = lambda **more: signed(method, body=body, **more)
        change = lambda **headers: {**good(), **headers}
        # A client signs what it sends: the target that is relayed is another.
        for what, headers, target, sent in (
                ("an invented key", good(who=customer(lying)), "/passed-on/k", body),
                ("another account", good(who=customer(other)), "/passed-on/k", body),
                ("another region", good(who=customer(scope=EU)), "/passed-on/k", body),
                ("the registry", good(who=customer(scope=FIRST)), "/passed-on/k", body),
                ("an alias", good(who=customer(scope="us-east-1")), "/passed-on/k", body),
                ("too old", good(now=ago(1000)), "/passed-on/k", body),
                ("too new", good(now=ago(-1000)), "/passed-on/k", body),
                ("another path", good(), "/bystander/k", body),
                ("another query", good(), "/passed-on/k?versionId=null", body),
                ("a header", change(**{"x-amz-meta-a": "1"}), "/passed-on/k", body),
                ("another host", change(host="bystander." + here), "/passed-on/k", body),
                ("another date", change(**{"x-amz-date": ago(-5).strftime("%Y%m%dT%H%M%SZ")}),
                 "/passed-on/k", body),
                ("a made-up URL", {"host": here}, presigned, body),
                ("nothing", {"host": here}, "/passed-on/k", body)):
            got, why = home.ask("POST", PATHS["pass"], sent, head(headers, method, target))
            assert got in (400, 403) and b"canary" not in why, (method, what, got, why)
        # Another method, under a signature that is good.
        for signed_as in {"GET", "PUT", "DELETE"} - {method}:
            got, why = relay(method, body=body, headers=signed(signed_as, body=body))
            assert got == 403 and b"canary" not in why, (method, signed_as, got, why)
        # As regions did before they relayed what was signed: named, and told what to do.
        got, why = home.ask(method, PATHS["pass"] + "/passed-on/k", body,
                            [("x-dhow-caller-account", account), ("x-dhow-caller-key", own[0])])
        assert got == 403 and (b"upgrade" in why or method == "HEAD"), (got, why)
    # A body that is not the one that was signed, or that nothing signs.
    content_md5 = {"content-md5": base64.b64encode(hashlib.md5(b"mine").digest()).decode()}
    plain = customer().headers("PUT", "/passed-on/k", headers=content_md5)
    for what, headers in (("sha256", signed("PUT", body=b"mine")), ("md5", plain),
                          ("unsigned", unsigned)):
        got, why = relay("PUT", body=b"forged", headers={**headers, "content-length": 6})
        assert got in (400, 403), (what, got, why)
    assert there() == there("bystander") == b"canary"
    # What is good counts once.
    first = {**signed("PUT", body=b"one"), "content-length": 3}
    second = {**signed("PUT", body=b"two"), "content-length": 3}
    assert [relay("PUT", body=b"one", headers=first)[0],
            relay("PUT", body=b"two", headers=second)[0]] == [200, 200]
    got, why = relay("PUT", body=b"one", headers=first)
    assert got == 503 and b"SlowDown" in why, (got, why)
    gone = signed("DELETE", now=ago(1))
    assert relay("DELETE", headers=gone)[0] == 204
    fleet.s3(EU, own).put_object(Bucket="passed-on", Key="k", Body=b"canary")
    assert relay("DELETE", headers=gone)[0] == 503
    assert there() == b"canary"
    # Whose key is disabled or account suspended is nobody, as soon as the registry says so.
    for stop, resume in ((("key", "disable", own[0]), ("key", "enable", own[0])),
                         (("account", "suspend", account), ("account", "resume", account))):
        fleet.cli(*stop)
        eventually(lambda: relay()[0] == 403)
        for method in ("GET", "PUT", "DELETE"):
            got, why = relay(method, body=b"x" if method == "PUT" else b"")
            assert got == 403 and b"canary" not in why, (stop, method, got, why)
        fleet.cli(*resume)
        eventually(lambda: relay() == (200, b"canary"))
    # Through the front door all of it works, with a client as it comes.
    door = fleet.s3(ME, own)
    door.put_object(Bucket="passed-on", Key="by-boto", Body=b"x" * 100_000)
    assert body_of(door, "passed-on", "by-boto") == b"x" * 100_000
    assert door.delete_object(Bucket="passed-on", Key="by-boto")


def test_p5_a_region_with_a_copy_of_one_bucket_writes_to_no_other(fleet, evil):
    """It relays rules that the customer's key for that region has signed: from the bucket that it
    has a copy of into one of which it has nothing."""
    account = fleet.json("account", "create", "two-buckets")["id"]
    pair = fleet.json("key", "create", "--account", account)
    own = (pair["access_key"], pair["secret_key"])
    fleet.json("bucket", "create", "with-a-copy", "--home", EU, "--replica", ME, "--owner", account)
    fleet.json("bucket", "create", "without-one", "--home", EU, "--owner", account)
    owner = fleet.s3(EU, own)
    for name in ("with-a-copy", "without-one"):
        eventually(lambda name=name: owner.put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"}))
    owner.put_object(Bucket="without-one", Key="ledger", Body=b"the customer's")
    before = listing(owner, "without-one")
    home = evil(EU)
    me = Client(f"{fleet.processes[ME].address}:9000", ME, *own)

    def relay(method, target, content=b""):
        path, _, query = target.partition("?")
        signed = me.headers(method, path, query, payload=sha256(content))
        sent = {**signed, "content-length": len(content)}
        return home.ask("POST", PATHS["pass"], content, head(sent, method, target))

    rules = lambda to: ("<ReplicationConfiguration><Role>r</Role><Rule><ID>x</ID><Priority>1"
                        "</Priority><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>"
                        "<DeleteMarkerReplication><Status>Enabled</Status>"
                        "</DeleteMarkerReplication><Destination><Bucket>arn:aws:s3:::" + to +
                        "</Bucket></Destination></Rule></ReplicationConfiguration>").encode()
    assert relay("PUT", "/with-a-copy/ledger", b"its own to write")[0] == 200
    assert relay("PUT", "/without-one/ledger", b"forged")[0] == 403
    got, why = relay("PUT", "/with-a-copy?replication=", rules("without-one"))
    assert got == 403 and b"without-one" in why, (got, why)
    with pytest.raises(owner.exceptions.ClientError):
        owner.get_bucket_replication(Bucket="with-a-copy")
    assert listing(owner, "without-one") == before
    # The owner's rules at the home are the owner's.
    owner.put_bucket_replication(Bucket="with-a-copy", ReplicationConfiguration={
        "Role": "r", "Rules": [{"ID": "x", "Priority": 1, "Status": "Enabled",
                                "Filter": {"Prefix": "sent/"},
                                "DeleteMarkerReplication": {"Status": "Disabled"},
                                "Destination": {"Bucket": "arn:aws:s3:::without-one"}}]})
    got, why = relay("PUT", "/with-a-copy?replication=",
                     rules("without-one").replace(b">x<", b">y<"))
    assert got == 403, (got, why)


def test_p5_a_region_makes_no_deed_that_its_customer_did_not_sign(fleet, evil):
    """A region's word fills nobody's quota and frees nobody's name: it takes the request that the
    owner signed for that region, for this bucket so placed, within minutes, and once."""
    account = fleet.json("account", "create", "owner")["id"]
    pair = fleet.json("key", "create", "--account", account)
    other = fleet.json("key", "create", "--account", fleet.json("account", "create", "b")["id"])
    own = (pair["access_key"], pair["secret_key"])
    eventually(lambda: fleet.s3(ME, own).list_buckets())
    registry, here = evil(FIRST), f"{fleet.processes[ME].address}:9000"

    def request(method, name, who=pair, scope=ME, content=b"", target=None, **more):
        target = target or f"/{name}"
        client = Client(here, scope, who["access_key"], who["secret_key"])
        signed = client.headers(method, target, payload=sha256(content), **more)
        [(_, text)] = head(signed, method, target)
        return {"head": text, "body": base64.b64encode(content).decode()}

    def create(signed, name="filled", owner=account, **placement):
        new = {"name": name, "owner": owner, "home": ME, "placement": placement}
        return registry.tell("registry", {"create_deed": {**new, "request": signed}})[1]

    def made():
        return [b["name"] for b in fleet.json("bucket", "list")]

    ago = lambda s: datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=s)
    elsewhere = (b"<CreateBucketConfiguration><LocationConstraint>" + EU.encode()
                 + b"</LocationConstraint></CreateBucketConfiguration>")
    good = lambda **more: request("PUT", "filled", **more)
    for what, signed, placement in (
            ("nothing", None, {}),
            ("an invented key", good(who={"access_key": "nobody", "secret_key": "x" * 40}), {}),
            ("another account", good(who=other), {}),
            ("another region", good(scope=EU), {}),
            ("the registry's region", good(scope=FIRST), {}),
            ("its alias", good(scope="us-east-1"), {}),
            ("too old", good(now=ago(1000)), {}),
            ("another bucket", request("PUT", "another"), {}),
            ("an object", request("PUT", "filled", target="/filled/k"), {}),
            ("a listing", request("GET", "filled"), {}),
            ("a removal", request("DELETE", "filled"), {}),
            ("another placement", good(), {"proxy": True}),
            ("another home", good(content=elsewhere), {}),
            ("another body", {**good(content=elsewhere), "body": ""}, {})):
        told = create(signed, **placement)
        assert set(told) & {"refused", "placement"}, (what, told)
    # The key that opens nothing of this account's, and the other way round.
    assert "refused" in create(good(), owner="000000000000")
    assert "refused" in create(good(who=other), owner=account)
    assert "filled" not in made()
    once = good()
    deed = create(once)["deed"]
    remove = lambda signed: registry.tell("registry", {"remove_deed": {
        "name": "filled", "id": deed["id"], "request": signed}})[1]
    for what, signed in (("nothing", None), ("its making", good()),
                         ("another account", request("DELETE", "filled", who=other)),
                         ("another bucket", request("DELETE", "another")),
                         ("an object", request("DELETE", "filled", target="/filled/k"))):
        assert "refused" in remove(signed), what
    assert "filled" in made()
    assert remove(request("DELETE", "filled", now=ago(-1))) == "done"
    assert "slow_down" in create(once), "the request counted once"
    assert "filled" not in made()
    fleet.cli("key", "disable", own[0])
    assert "refused" in create(good(now=ago(-2)))
    fleet.cli("key", "enable", own[0])
    # At the front door all of it works; the audit log has the key that signed.
    eventually(lambda: fleet.s3(ME, own).create_bucket(Bucket="honest"))
    fleet.s3(ME, own).delete_bucket(Bucket="honest")
    told = [e["actor"] for e in fleet.audit() if e["subject"] == "honest"]
    assert told == [f"account {account} key {own[0]} through region {ME}"] * 2


def test_p5_what_a_region_can_sign_with_its_keys_no_other_regions_admin_api_takes(fleet, victims):
    # With the region's key it derives those of both services.
    key = chain(fleet.info["secret_key"], today(), ME, "dhow-admin")[-1]
    document, calls = json.loads((ROOT / "docs" / "admin-api.json").read_text()), 0

    def ask(region, scope, method, path):
        client = Thief("127.0.0.1:9001", scope, fleet.info["access_key"], key)
        payload = hashlib.sha256(b"{}").hexdigest()
        signed = client.headers(method, path, payload=payload)
        client.connection.request(method, path, b"{}", signed)
        answer = client.connection.getresponse()
        return answer.status, answer.read()

    before = state(fleet)
    for region in (FIRST, EU):
        with fleet.net.inside(region):
            for path, methods in document["paths"].items():
                for method in methods:
                    for scope in (ME, region):
                        path = re.sub(r"\{\w+\}", "lawful", path)
                        got, text = ask(region, scope, method.upper(), path)
                        assert got == 403, (region, scope, method, path, text)
                        calls += 1
    with fleet.net.inside(ME):
        assert ask(ME, ME, "GET", "/-/admin/v1/openapi.json")[0] == 200, "it is a key"
    assert calls >= 100 and state(fleet) == before


def test_p5_a_forged_certificate_is_refused(fleet, tmp_path, evil):
    own = fleet.regions[ME]["data"]
    authority, own_certificate = f"{own}/authority.pem", f"{own}/certificate.pem"
    identity = tmp_path / "identity.pem"
    identity.write_text(plain_key(open(f"{own}/identity.pem").read()))
    shown = [forged(tmp_path, EU), forged(tmp_path, FIRST), forged(tmp_path, ME),
             forged(tmp_path, EU, own_certificate, identity),
             forged(tmp_path, FIRST, own_certificate, identity), (None, None)]
    for target in (FIRST, EU):
        for certificate, key in shown:
            peer = Peer(peer_of(fleet, target), target, authority, certificate, key)
            try:
                got, _ = peer.ask("GET", PATHS["hello"])
                # Without a certificate one may join, with a token.
                assert certificate is None and got == 403
            except Refused:
                pass
            peer.close()
    # The authority signs for the region that asks, whatever its request says.
    request = openssl("req", "-new", "-key", identity, "-subj", f"/CN={EU}", "-addext",
                      f"subjectAltName=DNS:{EU}.region.dhow.internal", "-outform", "DER")
    got, issued = evil(FIRST).ask("POST", PATHS["renew"], request)
    assert got == 200
    text = openssl("x509", "-noout", "-text", text=issued).decode()
    assert f"DNS:{ME}.region.dhow.internal" in text and EU not in text
    other = openssl("genpkey", "-algorithm", "ed25519")
    (tmp_path / "other.pem").write_bytes(other)
    request = openssl("req", "-new", "-key", tmp_path / "other.pem", "-subj", f"/CN={ME}",
                      "-outform", "DER")
    got, why = evil(FIRST).ask("POST", PATHS["renew"], request)
    assert got >= 400, "only for the key that the region joined with"


def test_p5_a_certificate_that_is_taken_back_is_worth_nothing_within_a_minute(fleet, tmp_path,
                                                                             evil):
    """A thief who renewed has a certificate of his own: revoking that one leaves the region's own
    requests alone."""
    fleet.bucket("lively", EU, ME)
    own = fleet.regions[ME]["data"]
    identity = tmp_path / "identity.pem"
    identity.write_text(plain_key(open(f"{own}/identity.pem").read()))
    request = openssl("req", "-new", "-key", identity, "-subj", "/CN=x", "-outform", "DER")
    got, issued = evil(FIRST).ask("POST", PATHS["renew"], request)
    assert got == 200
    (tmp_path / "issued.pem").write_bytes(issued)
    serial = openssl("x509", "-noout", "-serial", text=issued).decode().strip().split("=")[1]
    thieves = [Peer(peer_of(fleet, r), r, f"{own}/authority.pem", tmp_path / "issued.pem",
                    identity) for r in (FIRST, EU)]
    stop, done, failed = threading.Event(), [], []

    def write(number):
        client, n = fleet.s3(ME), 0
        eventually(lambda: client.put_object(Bucket="lively", Key=f"{number}", Body=b"."))
        while not stop.is_set():
            try:  # through ME, decided at home
                client.put_object(Bucket="lively", Key=f"{number}-{n}", Body=b".")
                done.append(n)
            except Exception as error:
                failed.append(error)
            n += 1

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    try:
        eventually(lambda: len(done) > 30)
        for thief in thieves:
            assert thief.ask("GET", PATHS["hello"])[0] == 200
        admin = Admin(fleet)
        assert admin.call("POST", f"regions/{ME}/revoke", {"serial": serial.lower()})[0] == 200

        def refused(thief):
            try:
                return thief.ask("GET", PATHS["hello"])[0] == 403
            except Refused:
                return True

        for thief in thieves:  # at the registry, and where it is heard of
            eventually(lambda: refused(thief), timeout=60)
        more = len(done) + 50
        eventually(lambda: len(done) > more)
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)
    assert not failed, failed[:3]


class Admin:
    """The admin API of the registry's region, with the root key."""

    def __init__(self, fleet):
        self.fleet = fleet

    def call(self, method, path, ask):
        data = json.dumps(ask).encode()
        with self.fleet.net.inside(FIRST):
            client = Client("127.0.0.1:9001", FIRST, self.fleet.info["access_key"],
                            self.fleet.info["secret_key"])
            path = "/-/admin/v1/" + path
            signed = client.headers(method, path, payload=hashlib.sha256(data).hexdigest())
            client.connection.request(method, path, data, signed)
            answer = client.connection.getresponse()
            return answer.status, answer.read()


def test_stealing_a_region_opens_no_other(fleet):
    """Nothing on ME's disk or in its memory signs for AP: neither as it is, nor as any step of
    SigV4's chain for any access key. What it can sign for is ME alone."""
    account = fleet.json("account", "create", "victim")["id"]
    keys = {fleet.info["access_key"]: fleet.info["secret_key"]}
    for _ in range(3):
        made = fleet.json("key", "create", "--account", account)
        keys[made["access_key"]] = made["secret_key"]
    for key in keys.items():
        for region in (ME, AP):
            eventually(lambda: fleet.s3(region, key).list_buckets())
    days = [(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(n))
            .strftime("%Y%m%d") for n in range(-8, 5)]
    signing = [step for secret in keys.values() for step in chain(secret, today(), AP)[1:]]
    needles = [*(secret.encode() for secret in keys.values()), *signing]
    for region, found in ((AP, True), (ME, False)):
        memory = in_memory(fleet.regions[region]["pid"], needles)
        assert any(memory.values()) == found, region
    # On disk also those of the days that are near, and in text.
    for secret in keys.values():
        needles += [step for day in days for step in chain(secret, day, AP)[1:3]]
    needles += [text for step in signing for text in (step.hex().encode(), base64.b64encode(step))]
    secrets = set()
    for path in files(fleet.regions[ME]["data"]):
        content = path.read_bytes()
        assert not [n for n in needles if n in content], path
        assert path.name not in ("authority-key.pem", "credentials.json"), path
        for text in set(re.findall(rb"[A-Za-z0-9+/=_-]{20,}", content)):
            secrets.update({text, text.strip(b"="), *decoded(text)})
    # Each as a secret, and as each step that comes from one.
    day, right = today(), {chain(secret, today(), AP)[-1] for secret in keys.values()}
    rest = (day, AP, "s3", "aws4_request")
    for secret in secrets:
        for first in range(5):
            step = b"AWS4" + secret if first == 0 else secret
            for text in rest[max(0, first - 1):]:
                step = _sign(step, text)
            assert step not in right, secret
    assert len(secrets) > 100
    # The same over the wire: a sample, and the best that ME has, the key for its own scope.
    host = lambda region: f"{fleet.processes[region].address}:9000"
    own = chain(fleet.info["secret_key"], day, ME)[-1]
    ask = lambda region, scope, key: Thief(
        host(region), scope, fleet.info["access_key"], key).request("GET", "/")[0]
    assert ask(ME, ME, own) == 200, "it opens what it is for"
    for scope in (AP, ME, "us-east-1", "auto"):
        assert ask(AP, scope, own) in (400, 403), scope
    sample = random.Random(1).sample(sorted(secrets), 40)
    for secret in [*sample, chain(fleet.info["secret_key"], day, ME)[2]]:
        assert ask(AP, AP, secret) == 403
    assert ask(AP, AP, chain(fleet.info["secret_key"], day, AP)[-1]) == 200


def test_p5_a_region_is_given_no_key_of_who_never_came_there(fleet, evil):
    """The registry tells ME the keys of who has a bucket there, or has signed a request to ME, and
    of nobody else, however ME asks; ME's disk and memory have none. Who comes there is served."""
    account = fleet.json("account", "create", "stranger")["id"]
    pair = fleet.json("key", "create", "--account", account)
    own = (pair["access_key"], pair["secret_key"])
    fleet.json("bucket", "create", "strangers", "--home", EU, "--owner", account)
    eventually(lambda: fleet.s3(EU, own).put_object(Bucket="strangers", Key="k", Body=b"canary"))
    registry, day = evil(FIRST), today()
    told = lambda question: json.dumps(registry.tell("registry", question)[1])
    length, everything = len(fleet.audit()), ""
    for start in range(0, length, 50):
        everything += told(changes_from(fleet, start))
    assert '"keys"' in everything
    everything += told({"keys": {"after": ""}})
    keys = [step.hex() for step in chain(own[1], day, ME)[2:]]
    assert not [key for key in keys if key in everything]

    def shown(**other):
        """ME shows a signature for the key: its own make, or one for another region."""
        signed = {"access_key": own[0], "day": day, "region": ME, "stamp": day + "T000000Z",
                  "canonical": "00" * 32, "signature": "00" * 32}
        return told({"introduce": {"signed": {**signed, **other}}})

    text = f"AWS4-HMAC-SHA256\n{day}T000000Z\n{day}/EU/s3/aws4_request\n{'00' * 32}"
    text = text.replace("EU", EU)
    at_eu = hmac.new(chain(own[1], day, EU)[-1], text.encode(), hashlib.sha256).hexdigest()
    for answer in (shown(), shown(signature="f" * 64), shown(signature=at_eu, region=EU),
                   shown(signature=at_eu), shown(access_key="nobody"), shown(day="20200101")):
        assert '"days"' not in answer and "introduced" in answer, answer
    steps = [step for step in chain(own[1], day, ME)[1:]]
    assert not any(in_memory(fleet.regions[ME]["pid"], steps).values())
    # With the key that it has not it can sign nothing: neither for a bucket of its own.
    assert Thief(f"{fleet.processes[ME].address}:9000", ME, own[0], b"\0" * 32).request(
        "PUT", "/planted")[0] == 403
    # The customer comes, and is served at once, also by a client that signs for ME alone.
    assert [b["Name"] for b in fleet.s3(ME, own).list_buckets()["Buckets"]] == ["strangers"]
    assert any(in_memory(fleet.regions[ME]["pid"], steps).values())


def test_p5_a_region_that_forgets_its_features_stops_nobody(fleet, evil):
    """ME says that its release is older than it was, and invents names: nothing is put on record,
    and what binds accounts is set and taken back all the same."""
    account, root = named_account(fleet, "unstopped")
    admin, iam, registry = Admin(fleet), iam_for(fleet, root), evil(FIRST)
    known = fleet.json("region", "show", ME)["features"]
    length = len(fleet.audit())
    plain = {"changes": {"from": 0, "wait_ms": 0}}
    for less in ({}, {"features": []}, {"features": ["a-name-of-its-own"]}):
        got, told = registry.tell("registry", {"changes": {**plain["changes"], **less}})
        assert got == 200 and f"dhow region step-back {ME}" in told["refused"], told
    for n in range(20):
        invented = [f"invented-{n}-{k}" for k in range(100)]
        ask = {"changes": {"from": length, "wait_ms": 0, "features": [*known, *invented]}}
        assert "changes" in registry.tell("registry", ask)[1]
    registry.tell("registry", plain)
    assert fleet.json("region", "show", ME)["features"] == known
    assert not [e for e in fleet.audit()[length:] if e["actor"] == f"region {ME}"]
    deny = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "s3:DeleteBucket",
                                                   "Resource": "*"}}
    of_account = f"accounts/{account}/"
    for what, ask in (("guard-policy", {"policy": json.dumps(deny)}),
                      ("access", {"public_access_block": ["BlockPublicAcls"]}),
                      ("access", {"signatures": "v4a"}), ("access", {"signatures": "any"}),
                      ("guard-policy", {"remove": True})):
        registry.tell("registry", plain)
        got, answer = admin.call("POST", of_account + what, ask)
        assert got == 200, (what, answer)
    registry.tell("registry", plain)
    user(iam, "made", ("Deny", "s3:*", "*"))
    iam.create_role(RoleName="made", AssumeRolePolicyDocument=trust(account))
    iam.create_account_alias(AccountAlias="unstopped-alias")
    # It says again what it knows, and is told again.
    assert "changes" in registry.tell("registry", changes_from(fleet, length))[1]


def test_p5_a_region_changes_no_identity_and_no_older_one_comes_back(fleet, evil):
    """ME has a bucket of the account, and so a key for its own region of each user and of the root:
    with it ME signs, relays and pushes what it likes, also what the registry told it before."""
    account, root = named_account(fleet, "identities")
    iam = iam_for(fleet, root)
    for name, home in (("ids-at-me", ME), ("ids-at-eu", EU)):
        fleet.json("bucket", "create", name, "--home", home, "--owner", account, "--proxy")
    objects = "arn:aws:s3:::ids-at-eu/*"
    key = user(iam, "ann", ("Allow", "s3:GetObject", objects))
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust(account))
    may = lambda action: document(allow(action, objects))
    iam.put_role_policy(RoleName="reader", PolicyName="own", PolicyDocument=may("s3:GetObject"))
    admin = user(iam, "admin", ("Allow", "sts:*", "*"))
    session = boto3.client(
        "sts", endpoint_url=fleet.regions[FIRST]["endpoint"] + "/-/sts", region_name=FIRST,
        aws_access_key_id=admin[0], aws_secret_access_key=admin[1]).assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/reader", RoleSessionName="work")["Credentials"]
    eventually(lambda: fleet.s3(EU, root).put_object(Bucket="ids-at-eu", Key="k", Body=b"canary"))
    registry, home, target = evil(FIRST), evil(EU), "/ids-at-eu/k"
    here = f"{fleet.processes[ME].address}:9000"

    def relay(who, token=None):
        headers = {"x-amz-security-token": token} if token else {}
        signed = Client(here, ME, *who).headers("GET", target, headers=headers, payload=sha256(b""))
        return home.ask("POST", PATHS["pass"], b"", head(signed, "GET", target))

    of_session = (session["AccessKeyId"], session["SecretAccessKey"]), session["SessionToken"]
    eventually(lambda: relay(key) == relay(*of_session) == (200, b"canary"))
    # What ME knows by now, word by word.
    older = [registry.ask("POST", PATHS["registry"], json.dumps(question).encode())
             for question in ({"keys": {"after": ""}}, {"roles": {"after": ""}},
                              changes_from(fleet, len(fleet.audit()) - 9))]
    assert all(got == 200 for got, _ in older) and b"ids-at-eu/*" in older[0][1]
    shown = lambda: [iam.list_users()["Users"], iam.list_roles()["Roles"],
                     iam.list_user_policies(UserName="ann")["PolicyNames"],
                     iam.list_access_keys(UserName="ann")["AccessKeyMetadata"],
                     iam.list_groups()["Groups"], iam.list_policies(Scope="Local")["Policies"],
                     iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    before, calls = shown(), 0
    everything = document(allow("*"))
    forms = [("iam", form) for form in (
        {"Action": "CreateUser", "UserName": "mallory"},
        {"Action": "CreateAccessKey", "UserName": "ann"}, {"Action": "CreateAccessKey"},
        {"Action": "PutUserPolicy", "UserName": "ann", "PolicyName": "all",
         "PolicyDocument": everything},
        {"Action": "CreateGroup", "GroupName": "admins"},
        {"Action": "CreatePolicy", "PolicyName": "all", "PolicyDocument": everything},
        {"Action": "PutRolePolicy", "RoleName": "reader", "PolicyName": "all",
         "PolicyDocument": everything},
        {"Action": "UpdateAssumeRolePolicy", "RoleName": "reader",
         "PolicyDocument": trust("*")},
        {"Action": "CreateOpenIDConnectProvider", "Url": "https://evil.example",
         "ClientIDList.member.1": "x"})]
    forms += [("sts", form) for form in (
        {"Action": "GetSessionToken"},
        {"Action": "AssumeRole", "RoleSessionName": "evil",
         "RoleArn": f"arn:aws:iam::{account}:role/reader"})]
    for service, form in forms:
        path, body = f"/-/{service}", urllib.parse.urlencode({**form, "Version": "x"}).encode()
        for pair in (root, admin):
            bound = chain(pair[1], today(), ME)[2]  # which ME has, and what it makes of it
            for scope, named in ((ME, service), (FIRST, service), ("us-east-1", "s3")):
                stolen = _sign(_sign(bound, named), "aws4_request")
                for region in (FIRST, EU):
                    client = Thief(f"{fleet.processes[region].address}:9000", scope, pair[0],
                                   stolen)
                    client.service = named
                    signed = client.headers("POST", path, payload=sha256(body), headers={
                        "content-type": "application/x-www-form-urlencoded"})
                    client.connection.request("POST", path, body, signed)
                    answer = client.connection.getresponse()
                    text = answer.read()
                    assert answer.status in (400, 403) and b"Secret" not in text, (form, text)
                    peer = (registry, home)[region == EU]
                    got, text = peer.ask("POST", PATHS["pass"], body,
                                         head({**signed, "content-length": len(body)}, "POST", path))
                    assert got >= 400 and b"Secret" not in text, (form, got, text)
                    calls += 2
    assert calls >= 200 and shown() == before
    # Both may less now. What ME was told before, it pushes to everybody, by every way.
    put(iam, "ann", ("Allow", "s3:GetObjectTagging", objects))
    iam.put_role_policy(RoleName="reader", PolicyName="own",
                        PolicyDocument=may("s3:GetObjectTagging"))
    eventually(lambda: relay(key)[0] == relay(*of_session)[0] == 403)
    for _, text in older:
        for peer in (registry, home):
            for path in PATHS.values():
                got, answer = peer.ask("POST", path, text)
                assert got >= 400 or b'"refused"' in answer, (path, got, answer)
    now = registry.ask("POST", PATHS["registry"], json.dumps({"keys": {"after": ""}}).encode())[1]
    assert b"s3:GetObjectTagging" in now and b'"s3:GetObject\\"' not in now, "no older one is told"
    token = session["SessionToken"]
    for bad in (token[:-4] + "AAAA", token[:60] + token[64:], token.swapcase(), "", "x" * 900):
        assert relay(of_session[0], bad)[0] in (400, 403)
    for client in (fleet.s3(EU, key), fleet.s3(ME, key)):
        with pytest.raises(client.exceptions.ClientError):
            client.get_object(Bucket="ids-at-eu", Key="k")
    assert relay(key)[0] == relay(*of_session)[0] == 403
    assert len(shown()[0]) == 2


def decoded(text):
    for read in (bytes.fromhex, lambda t: base64.b64decode(t + "=" * (-len(t) % 4))):
        try:
            yield read(text.decode())
        except ValueError:
            pass


def mutated(rng, question):
    text = bytearray(json.dumps(question).encode())
    for _ in range(rng.randrange(1, 5)):
        at, how = rng.randrange(len(text) + 1), rng.randrange(5)
        if how == 0 and at < len(text):
            text[at] = rng.randrange(256)
        elif how == 1:
            text[at:at] = rng.choice([b"{", b"]", b'"', b"9" * 40, b"\\u0000", b"null", b"[" * 500])
        elif how == 2:
            del text[at:at + rng.randrange(8)]
        elif how == 3:
            text[at:at] = text[at // 2:at]
        else:
            text[at:at] = rng.randbytes(rng.choice([1, 16, 4000]))
    return bytes(text)


def test_p9_a_peer_that_sends_anything_breaks_nothing(fleet, victims, evil):
    rng, before = random.Random(9), state(fleet)
    pids = {region: fleet.regions[region]["pid"] for region in (FIRST, EU)}
    rss = lambda region: fleet.processes[region].rss_kib()
    peers = {region: evil(region) for region in pids}
    questions = [(PATHS["registry"], q) for q in registry_questions(victims, fleet)]
    for name in ("lawful", "private", "vault"):
        questions += [(PATHS["replication"], {"bucket": name, "id": victims[name]["id"],
                                              "epoch": 1, "what": what})
                      for what in bucket_questions(victims[name])]
    questions += [(PATHS[p], {"bucket": "lawful", "id": 1, "epoch": 1})
                  for p in ("join", "renew", "residency", "pass")]

    def send(count):
        cut = 0
        for _ in range(count):
            path, question = rng.choice(questions)
            region = rng.choice(list(peers))
            try:
                got, answer = peers[region].ask("POST", path, mutated(rng, question))
            except Refused:
                cut += 1
                continue
            assert got < 500 or got == 501, (path, question, got, answer)
            assert b"secret-content" not in answer
        assert cut < count / 10, "it is the peer who ends a connection, not the region"

    send(300)  # buffers and connections that are there anyway
    start = {region: rss(region) for region in pids}
    send(4700)
    for region in pids:
        # Bytes that are no HTTP/2, no TLS; and frames of a length that never comes.
        for junk in (b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(3000), b"\x16\x03\x01\xff\xff" * 99):
            with socket.create_connection((fleet.processes[region].address, 9003), 5) as raw:
                raw.sendall(junk)
        peer = evil(region)
        peer.ask("GET", PATHS["hello"])
        for junk in (b"\x00\x00\x00\x01\x00\x00\x00\x00\x00", b"\xff" * 9, rng.randbytes(999)):
            peer._open()
            peer.socket.sendall(junk)
            peer.close()
        assert fleet.processes[region].process.poll() is None
        assert rss(region) - start[region] < 64 << 10, (start[region], rss(region))
    assert state(fleet) == before


def test_p6_p7_a_registry_that_tells_another_history_is_not_followed(fleet):
    """The registry's region put back to an older state, and one that went another way from there:
    both with the real key and certificate. Whoever has seen more follows neither, goes on with
    what it knows, and says so."""
    first = fleet.processes[FIRST]
    create = lambda name: fleet.json("account", "create", name)
    fleet.kill(FIRST)
    old = fleet.data / "old"
    shutil.copytree(first.data, old)
    fleet.begin(FIRST)
    create("one")
    create("two")
    fleet.bucket("seen", EU)
    eventually(lambda: fleet.s3(EU).put_object(Bucket="seen", Key="k", Body=b"1"))
    eventually(lambda: fleet.s3(ME).list_buckets()["Buckets"][-1])
    seen = lambda region: "seen" in [b["Name"] for b in fleet.s3(region).list_buckets()["Buckets"]]
    eventually(lambda: seen(ME) and seen(AP))
    fleet.kill(FIRST)
    truth = fleet.data / "truth"
    first.data.rename(truth)
    marks = {}

    def goes_on(complaint):
        for region in (EU, ME, AP):
            log = lambda: fleet.processes[region].log_text()[marks[region]:]
            eventually(lambda: re.search(complaint, log()), timeout=60)
            assert seen(region)
        assert body_of(fleet.s3(EU), "seen", "k") == b"1"
        fleet.s3(EU).put_object(Bucket="seen", Key="k2", Body=b"2")

    def mark():
        marks.update({r: len(fleet.processes[r].log_text()) for r in fleet.ids})

    try:
        mark()
        shutil.copytree(old, first.data)
        fleet.begin(FIRST)  # P6: stale
        # Who asks first sees it; from then on the keeper says it itself.
        goes_on(r"the keeper has \d+ entries, this region has \d+|has \d+ entries, here are \d+")
        fleet.kill(FIRST)
        # It changes nothing, once somebody has shown that there was more.
        mark()
        fleet.begin(FIRST)
        refused = fleet.cli("account", "create", "given-twice", check=False)
        assert refused.returncode == 1 and "older state" in refused.stderr, refused.stderr
        fleet.kill(FIRST)
        # P7: a fork, longer than what everybody has seen, made while nobody could show it.
        mark()
        for region in (EU, ME, AP):
            fleet.net.cut(FIRST, region)
        fleet.begin(FIRST)
        for n in range(8):
            create(f"fork{n}")
        fleet.net.heal()
        goes_on(r"the chain was forked there|has another entry \d+ than is here")
        fleet.kill(FIRST)
    finally:
        fleet.kill(FIRST)
        shutil.rmtree(first.data, ignore_errors=True)
        truth.rename(first.data)
    fleet.begin(FIRST)
    account = create("three")["id"]
    made = fleet.json("key", "create", "--account", account)
    key = (made["access_key"], made["secret_key"])
    for region in (EU, ME, AP):
        eventually(lambda: fleet.s3(region, key).list_buckets(), timeout=60)


def changed(value):
    """Another value of the same kind."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
    raise TypeError(value)


def tampered(changes):
    """(what was done, the changes): a page of the registry's log, changed in every way."""
    def doctored(what, change):
        copy = json.loads(json.dumps(changes))
        answer = change(copy)
        return what, copy if answer is None else answer

    for field, value in changes[0]["change"]["entry"].items():
        yield doctored(field, lambda c: c[0]["change"]["entry"].update({field: changed(value)}))
    for n, row in enumerate(changes[0]["change"]["rows"]):
        yield doctored("a row's key", lambda c: c[0]["change"]["rows"][n].update(
            key=changed(row["key"])))
        other = {"value": row["now"]["value"].replace(FIRST, EU)}
        assert other != row["now"]
        yield doctored("a row", lambda c: c[0]["change"]["rows"][n].update(now=other))
        yield doctored("a row as removed", lambda c: c[0]["change"]["rows"][n].update(
            now="removed"))
        yield doctored("a row left out", lambda c: c[0]["change"]["rows"].pop(n) and None)
    yield doctored("a row more", lambda c: c[0]["change"]["rows"].append(
        {"key": "a/666", "now": {"value": "{}"}}))
    yield doctored("the rows of another", lambda c: c[0]["change"].update(
        rows=c[1]["change"]["rows"]))
    yield doctored("an entry left out", lambda c: c[1:])
    yield doctored("the order", lambda c: c[::-1])


def test_p6_no_changed_entry_of_the_registry_is_taken_over(fleet, evil, tmp_path):
    """Somebody in the registry's place, with its key and the authority's: a region that follows
    takes over the entries that continue what it has, and nothing else."""
    fleet.kill(EU)
    length = len(fleet.audit())
    for name in ("later-one", "later-two"):
        fleet.bucket(name, FIRST, ME)
    got, told = evil(FIRST).tell("registry", changes_from(fleet, length))
    assert got == 200
    changes = told["changes"]["changes"]
    # A region may have announced something beside them.
    assert len(changes) >= 2
    for change in changes:  # which were told to ME, with keys for ME
        change["keys"] = []
    fleet.kill(FIRST)
    folder = fleet.processes[FIRST].data
    authority_key = tmp_path / "authority-key.pem"
    authority_key.write_text(plain_key((folder / "authority-key.pem").read_text()))
    # With the region's own key: another is not believed, whoever signed for it.
    own = plain_key((folder / "identity.pem").read_text())
    certificate, key = forged(tmp_path, FIRST, folder / "authority.pem", authority_key, own)
    page = lambda length, changes: json.dumps(
        {"changes": {"length": length, "changes": changes}}).encode()
    doctored = [(what, page(length + len(changes), some)) for what, some in tampered(changes)]
    doctored += [("a shorter log", page(length - 1, [])), ("no JSON", b"{"), ("nothing", b"")]
    waiting, asked, honest = list(doctored), [], threading.Event()

    def answers(path, question):
        if path != PATHS["registry"]:
            return None
        ask = json.loads(question)
        ask = ask.get("changes") if isinstance(ask, dict) else None
        if ask is None:  # for keys, or an announcement
            keys = {"keys": {"keys": [], "more": False}}
            return json.dumps(keys if b'"keys"' in question else "done").encode()
        if ask["from"] != length:  # the others, who were told before; or EU, at last
            time.sleep(0.2)
            return page(ask["from"], [])
        asked.append(len(waiting))
        if honest.is_set():
            return page(length + len(changes), changes)
        # After each wrong answer an empty one: else it would ask less and less often.
        if not waiting or len(asked) % 2 == 0:
            time.sleep(0 if waiting else 0.05)
            return page(length, [])
        return waiting.pop(0)[1]

    log = lambda: fleet.processes[EU].log_text()
    with fleet.net.inside(FIRST):
        keeper = FakeKeeper((fleet.processes[FIRST].address, 9003), certificate, key, answers)
    try:
        mark = len(log())
        fleet.begin(EU)
        # It asks again from where it was: so it has taken over nothing of any answer.
        eventually(lambda: not waiting and len(asked) > 2 * len(doctored) + 1, timeout=300)
        complaints = log()[mark:].count("cannot follow the registry")
        assert complaints >= len(doctored), (complaints, len(doctored))
        names = lambda: [b["Name"] for b in fleet.s3(EU).list_buckets()["Buckets"]]
        assert "later-one" not in names() and "later-two" not in names()
        honest.set()
        eventually(lambda: {"later-one", "later-two"} <= set(names()), timeout=60)
    finally:
        keeper.stop()
        fleet.begin(FIRST)
    eventually(lambda: fleet.json("account", "create", "after"))
