"""Asymmetric signatures (SigV4A) between regions: requests that a region relays, regions that a
customer comes to for the first time, and an evil region that holds all that its operator has."""

import hashlib
import hmac

import pytest
from botocore.exceptions import ClientError

import asymmetric
from asymmetric import now, sha256
from dhow import Client
from evil import PATHS, Peer, head
from fleet import body as body_of, eventually
from netns import NetFleet
from test_evil import Thief, chain, today

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"
LAWS = {FIRST: "CN", EU: "DE", ME: "AE"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = NetFleet(tmp_path_factory.mktemp("v4a"), LAWS, ["--log-level", "debug"]).start()
    yield fleet
    logs = "".join(p.log_text() for p in fleet.processes.values())
    fleet.stop()
    assert "panicked" not in logs


@pytest.fixture
def evil(fleet):
    """ME's operator speaks to whom it wants."""
    opened = []

    def to(region):
        address = f"{fleet.processes[region].address}:9003"
        opened.append(Peer.of(fleet.regions[ME]["data"], address, region))
        return opened[-1]

    yield to
    for peer in opened:
        peer.close()


class Customer:
    def __init__(self, fleet, name):
        self.fleet = fleet
        self.id = fleet.json("account", "create", name)["id"]
        made = fleet.json("key", "create", "--account", self.id)
        self.pair = made["access_key"], made["secret_key"]

    def s3(self, region, sets=None):
        return asymmetric.client_for(self.fleet.regions[region]["endpoint"], sets or region,
                                     self.pair)

    def hmac(self, region):
        return self.fleet.s3(region, self.pair)

    def signed(self, method, target, body=b"", regions=ME, **more):
        host = f"{self.fleet.processes[ME].address}:9000"
        pair = more.pop("pair", self.pair)
        target, headers = asymmetric.signed(host, pair, regions, method, target, body, **more)
        return target, {**headers, "content-length": len(body)} if body else headers


def code(call, **kwargs):
    """The code of its refusal; None where there is none."""
    try:
        call(**kwargs)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def test_a_region_forwards_and_the_home_verifies_itself(fleet):
    """Also while the registry's region is away, where no other kind of signature can be relayed."""
    customer = Customer(fleet, "v4a-forwards")
    fleet.json("bucket", "create", "v4a-forwards", "--home", EU, "--owner", customer.id, "--proxy")
    there = customer.s3(ME)
    about = {"Bucket": "v4a-forwards", "Key": "k"}
    eventually(lambda: there.put_object(**about, Body=b"forwarded"))
    assert body_of(there, "v4a-forwards", "k") == b"forwarded"
    url = there.generate_presigned_url("get_object", Params=about)
    target, host = url.split("/", 3)[3], url.split("/", 3)[2]
    assert asymmetric.send(f"http://{host}", "GET", f"/{target}", {"host": host})[1] == b"forwarded"
    fleet.freeze(FIRST)
    try:
        there.put_object(**about, Body=b"registry away")
        assert body_of(there, "v4a-forwards", "k") == b"registry away"
    finally:
        fleet.thaw(FIRST)
    eventually(lambda: customer.hmac(ME).put_object(**about, Body=b"any kind"))


def test_regions_of_the_owner_relay_old_signatures_and_the_home_verifies_them(fleet):
    """The account has asked for version 2. Nobody is asked about the signature: the home has a key
    for it, and loses it when the account turns that off."""
    customer = Customer(fleet, "v2-regions")
    fleet.json("account", "access", customer.id, "--old-signatures", "on")
    fleet.json("bucket", "create", "v2-regions", "--home", EU, "--owner", customer.id, "--proxy")
    endpoint = fleet.regions[ME]["endpoint"]
    there = asymmetric.client_for(endpoint, ME, customer.pair, kind="s3")
    eventually(there.list_buckets)
    about = {"Bucket": "v2-regions", "Key": "k", "ChecksumAlgorithm": "SHA256"}
    eventually(lambda: there.put_object(**about, Body=b"forwarded"))
    fleet.freeze(FIRST)
    try:
        there.put_object(**about, Body=b"registry away")
        assert body_of(there, "v2-regions", "k") == b"registry away"
    finally:
        fleet.thaw(FIRST)
    # No signature covers this body, and the owner trusts no region with it.
    uncovered = {"Bucket": "v2-regions", "Key": "k", "Body": b"uncovered"}
    assert code(there.put_object, **uncovered) == "TemporaryRedirect"
    # Buckets are made and removed through any region of the owner.
    there.create_bucket(Bucket="v2-made")
    there.delete_bucket(Bucket="v2-made")
    fleet.json("account", "access", customer.id, "--old-signatures", "off")
    eventually(lambda: code(there.list_buckets) == "InvalidRequest" or None)


def test_a_region_is_given_the_public_key_alone_of_who_signs_so(fleet):
    customer = Customer(fleet, "v4a-comes")
    there = customer.s3(ME)
    eventually(there.list_buckets)
    assert code(customer.s3(ME, EU).list_buckets) == "AuthorizationHeaderMalformed"
    # What other signatures need is asked for when one comes.
    assert customer.hmac(ME).list_buckets()["Buckets"] == []
    there.list_buckets()
    fleet.cli("key", "disable", customer.pair[0])
    eventually(lambda: code(there.list_buckets) == "InvalidAccessKeyId")
    fleet.cli("key", "enable", customer.pair[0])
    eventually(there.list_buckets)
    # Buckets are made and removed through any region.
    there.create_bucket(Bucket="v4a-comes")
    there.put_object(Bucket="v4a-comes", Key="k", Body=b"k")
    there.delete_object(Bucket="v4a-comes", Key="k")
    there.delete_bucket(Bucket="v4a-comes")


def test_p5_no_region_signs_for_an_account_that_takes_asymmetric_signatures_only(fleet, evil):
    """ME has a copy of one of its buckets, and so all keys that a region is given; the owner has
    said that regions may forward and are trusted. Nothing that ME makes up is acted on."""
    customer = Customer(fleet, "v4a-only")
    account, bucket = customer.id, "v4a-only"
    fleet.json("bucket", "create", bucket, "--home", EU, "--replica", ME, "--owner", account,
               "--proxy", "--trust-reads", ME, "--trust-writes", ME)
    owner = customer.s3(EU)
    eventually(lambda: owner.put_object(Bucket=bucket, Key="k", Body=b"the customer's"))
    home, registry = evil(EU), evil(FIRST)
    here = f"{fleet.processes[ME].address}:9000"
    stolen = Thief(here, ME, customer.pair[0], chain(customer.pair[1], today(), ME)[-1])

    def relay(method, target, headers, body=b""):
        return home.ask("POST", PATHS["pass"], body, head(headers, method, target))

    def forge(method, target, body=b""):
        path, _, query = target.partition("?")
        headers = stolen.headers(method, path, query, payload=sha256(body))
        return relay(method, target, {**headers, "content-length": len(body)}, body)

    # The keys of a region suffice for other accounts, which is what this is about.
    assert forge("PUT", f"/{bucket}/k", b"forged")[0] == 200
    owner.put_object(Bucket=bucket, Key="k", Body=b"the customer's")
    fleet.cli("account", "access", account, "--signatures", "v4a")
    plain = lambda region: code(customer.hmac(region).list_objects_v2, Bucket=bucket)
    for region in LAWS:
        eventually(lambda region=region: plain(region) == "AccessDenied")
    attempts = [("GET", f"/{bucket}/k", b""), ("PUT", f"/{bucket}/k", b"forged"),
                ("DELETE", f"/{bucket}/k", b""), ("GET", f"/{bucket}?list-type=2", b""),
                ("PUT", f"/{bucket}?policy=", b"{}"), ("DELETE", f"/{bucket}", b"")]
    for method, target, body in attempts:
        got, why = forge(method, target, body)
        assert got == 403 and b"customer" not in why, (method, target, got, why)
        # Its own keys, another algorithm's name, and no signature that it could make.
        for pair in (("nobody", "x" * 40), (customer.pair[0], "x" * 40)):
            at, headers = customer.signed(method, target, body, pair=pair)
            got, why = relay(method, at, headers, body)
            assert got in (400, 403) and b"customer" not in why, (method, target, got, why)
        at, headers = customer.signed(method, target, body)
        parts = headers["authorization"].rsplit("=", 1)
        for bad in (hmac.new(stolen.stolen, b"x", hashlib.sha256).hexdigest(), "", "00" * 70):
            got, why = relay(method, at, {**headers, "authorization": f"{parts[0]}={bad}"}, body)
            assert got in (400, 403) and b"customer" not in why, (method, target, got, why)
    # While the registry is away its word is no proof either.
    fleet.freeze(FIRST)
    try:
        for method, target, body in attempts:
            got, why = forge(method, target, body)
            assert got == 403 and b"customer" not in why, (method, target, got, why)
    finally:
        fleet.thaw(FIRST)

    # The registry makes and removes no bucket for what ME signs.
    def ask(method, name, signed):
        [(_, text)] = head(signed, method, f"/{name}")
        request = {"head": text, "body": ""}
        deed = fleet.json("bucket", "show", bucket)
        question = {"create_deed": {"name": name, "owner": account, "home": ME, "placement": {},
                                    "request": request}} if method == "PUT" else {
            "remove_deed": {"name": bucket, "id": deed["id"], "request": request}}
        return registry.tell("registry", question)[1]

    empty = sha256(b"")
    told = eventually(lambda: ask("PUT", "v4a-planted", stolen.headers(
        "PUT", "/v4a-planted", payload=empty)))
    assert "AWS4-ECDSA-P256-SHA256" in told["refused"], told
    told = ask("DELETE", bucket, stolen.headers("DELETE", f"/{bucket}", payload=empty))
    assert "refused" in told, told
    wrong = customer.signed("PUT", "/v4a-planted", pair=(customer.pair[0], "x" * 40))[1]
    assert "refused" in ask("PUT", "v4a-planted", wrong)
    for regions in (EU, FIRST):
        assert "refused" in ask("PUT", "v4a-planted",
                                customer.signed("PUT", "/v4a-planted", regions=regions)[1])
    assert "v4a-planted" not in [b["name"] for b in fleet.json("bucket", "list")]
    # What the customer signed goes on: relayed, and once where it changes something.
    put = customer.signed("PUT", f"/{bucket}/k", b"proven")
    assert relay("PUT", *put, b"proven")[0] == 200
    got, why = relay("PUT", *put, b"proven")
    assert got == 503 and b"SlowDown" in why, (got, why)
    # Signed for other regions it is not for ME to relay, and what ME is sent for any region it
    # cannot send again: neither relayed nor as a client.
    for regions in (EU, FIRST, "eu-*"):
        got, why = relay("GET", *customer.signed("GET", f"/{bucket}/k", regions=regions))
        assert got == 403, (regions, got, why)
    old = customer.signed("PUT", f"/{bucket}/k", b"older", regions="*", at=now(-2))
    assert relay("PUT", *old, b"older")[0] == 200
    owner.put_object(Bucket=bucket, Key="k", Body=b"newest")
    assert relay("PUT", *old, b"older")[0] == 503
    got, why = asymmetric.send(f"http://{fleet.processes[EU].address}:9000", "PUT", *old, b"older")
    assert got == 503, (got, why)
    changed = {**put[1], "content-length": 6}
    assert relay("PUT", put[0], changed, b"forged")[0] in (400, 403, 503)
    assert body_of(owner, bucket, "k") == b"newest"
