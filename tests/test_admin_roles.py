"""Who may do what through the admin API: every operation, called in every role.

The matrix is written by hand; docs/admin-api.json must say the same. A request that a role does
not allow is answered alike for what is there and what is not, and changes nothing."""

import hashlib
import itertools
import json
import urllib.parse

import pytest

from dhow import ROOT, Client, Dhow
from fleet import eventually

DOCUMENT = json.loads((ROOT / "docs" / "admin-api.json").read_text())
PREFIX = "/-/admin/v1/"
DENIED = (403, {"error": "access denied"})


def is_denied(answer):
    """A good signature whose key has another role: the answer names the role."""
    status, body = answer
    return status == 403 and body["error"].startswith("access denied: the role of this key is ")
ROLES = ["customer", "tenant admin", "regional operator", "cloud operator", "auditor"]
NO, OWN, ALL = "no", "own", "all"
NOBODY = "000000000000"

# customer, tenant admin, regional operator, cloud operator, auditor
MATRIX = {
    "DescribeApi": (ALL, ALL, ALL, ALL, ALL),
    "ListAccounts": (NO, NO, NO, ALL, ALL),
    "CreateAccount": (NO, NO, NO, ALL, NO),
    "SuspendAccount": (NO, NO, NO, ALL, NO),
    "ResumeAccount": (NO, NO, NO, ALL, NO),
    "SetGuardPolicy": (NO, NO, NO, ALL, NO),
    "ListKeys": (NO, OWN, NO, ALL, ALL),
    "CreateKey": (NO, OWN, NO, ALL, NO),
    "EnableKey": (NO, OWN, NO, ALL, NO),
    "DisableKey": (NO, OWN, NO, ALL, NO),
    "DeleteKey": (NO, OWN, NO, ALL, NO),
    "ChangeAccess": (NO, OWN, NO, ALL, NO),
    "EndSession": (NO, OWN, NO, ALL, NO),
    "CallIam": (NO, OWN, NO, ALL, NO),
    "ExplainAccess": (NO, OWN, NO, ALL, NO),
    "ListOperators": (ALL, ALL, ALL, ALL, ALL),
    "GetOperator": (ALL, ALL, ALL, ALL, ALL),
    "AddOperator": (NO, NO, NO, ALL, NO),
    "ListRegions": (ALL, ALL, ALL, ALL, ALL),
    "GetRegion": (ALL, ALL, ALL, ALL, ALL),
    "PlanRegion": (NO, NO, NO, ALL, NO),
    "DrainRegion": (NO, NO, OWN, ALL, NO),
    "GetDrain": (NO, NO, OWN, ALL, NO),
    "AbortDrain": (NO, NO, OWN, ALL, NO),
    "PlanDrain": (NO, NO, NO, ALL, NO),
    "OpenRegion": (NO, NO, OWN, ALL, NO),
    "CloseRegion": (NO, NO, NO, ALL, NO),
    "StepBackRegion": (NO, NO, NO, ALL, NO),
    "RevokeCertificate": (NO, NO, NO, ALL, NO),
    "RekeyRegion": (NO, NO, NO, ALL, NO),
    "AllowAddresses": (NO, NO, NO, ALL, NO),
    "ListBuckets": (OWN, OWN, NO, ALL, ALL),
    "GetBucket": (OWN, OWN, NO, ALL, ALL),
    "CreateBucket": (NO, OWN, NO, ALL, NO),
    "PlaceBucket": (NO, OWN, NO, ALL, NO),
    "PromoteBucket": (NO, NO, NO, ALL, NO),
    "CheckResidency": (NO, OWN, NO, ALL, ALL),
    "ProveResidency": (NO, NO, NO, ALL, ALL),
    "ReadAudit": (NO, NO, NO, ALL, ALL),
    "SignCheckpoint": (NO, NO, NO, ALL, ALL),
    "GetMapKey": (NO, NO, NO, ALL, ALL),
    "GetScrub": (NO, NO, OWN, ALL, NO),
    "StartScrub": (NO, NO, OWN, ALL, NO),
    "GetHealth": (NO, NO, OWN, ALL, NO),
    "ListHeld": (NO, NO, OWN, ALL, NO),
}

# What an allowed request is answered where it is not 200: one region cannot do more.
NOT_DONE = {
    # The registry's region has no certificate to take back, and one that is planned none yet.
    ("RevokeCertificate", "own"): 409,
    ("RevokeCertificate", "other"): 409,
    # That there is no bucket of a name can be proven too.
    ("ProveResidency", "missing"): 200,
    # Neither has a key that could be replaced.
    ("RekeyRegion", "own"): 409,
    ("RekeyRegion", "other"): 409,
    ("DrainRegion", "other"): 409,  # planned only
    ("OpenRegion", "other"): 409,
    ("CloseRegion", "own"): 400,  # it keeps the registry
    ("StepBackRegion", "own"): 409,
    ("PromoteBucket", "own"): 409,  # the home answers
    ("PromoteBucket", "other"): 409,
}


class Cloud(Dhow):
    """One region with a key in each role, and two tenants."""

    def furnish(self):
        self.count = itertools.count()
        self.root = (self.access_key, self.secret_key)
        account = lambda *args: self.cli_json("account", "create", *args, "--json")["id"]
        self.done("POST", "operators", {"id": "elsewhere", "name": "Elsewhere"})
        self.accounts = {"own": account("own"), "other": account("other"), "missing": NOBODY}
        looks_after = lambda name: account(f"of-{name}", "--operator", name)
        self.keys = {
            "customer": self.key(self.accounts["own"]),
            "tenant admin": self.key(self.accounts["own"], "--admin"),
            "regional operator": self.key(looks_after("own")),
            "cloud operator": self.root,
            "auditor": self.key(account("auditor", "--auditor")),
        }
        self.stranger = self.key(looks_after("elsewhere"))
        for whose in ("own", "other"):
            bucket = {"name": f"bucket-{whose}", "owner": self.accounts[whose]}
            self.done("POST", "buckets", bucket)
        return self

    def key(self, account, *args):
        made = self.cli_json("key", "create", "--account", account, "--json", *args)
        return made["access_key"], made["secret_key"]

    def call(self, method, path, body=None, key=None):
        """(status, answer) of a request signed with `key`, or the root key."""
        host = urllib.parse.urlsplit(self.info["admin"]).netloc
        client = Client(host, self.region, *(key or self.root))
        data = b"" if body is None else json.dumps(body).encode()
        target, _, query = (PREFIX + path).partition("?")
        signed = client.headers(method, target, query, payload=hashlib.sha256(data).hexdigest())
        try:
            client.connection.request(
                method, target + ("?" + query if query else ""), data, signed)
            answer = client.connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            client.connection.close()

    def done(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        assert status == 200, (method, path, status, answer)
        return answer

    def state(self):
        """All that a request could change: the registry, its log, and when a scrub began."""
        lists = {p: self.done("GET", p) for p in (
            "accounts", "keys", "operators", "regions", "buckets")}
        for region in lists["regions"]:
            for field in ("last_seen", "load", "follows"):
                del region[field]  # go on by themselves
        for key in lists["keys"]:
            del key["last_used"]  # whoever asks uses one
        entries = self.done("GET", "audit/checkpoint")["head"]
        return lists, entries, self.done("GET", "scrub")["started_ms"]

    def fresh(self, kind):
        return f"{kind}-{next(self.count)}"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("roles") / "data", args=["--peer", "127.0.0.1:0"])
    cloud.start()
    try:
        yield cloud.furnish()
    finally:
        cloud.kill()


@pytest.fixture(autouse=True)
def open_region(cloud):
    """As every test expects the region: open."""
    yield
    if cloud.done("GET", f"regions/{cloud.region}")["status"] == "draining":
        cloud.done("POST", f"regions/{cloud.region}/open")


def account_call(verb):
    def make(cloud, whose):
        # One of its own kind: a suspended tenant would take its keys along.
        account = NOBODY
        if whose != "missing":
            account = cloud.done("POST", "accounts", {"name": cloud.fresh("a")})["id"]
        return "POST", f"accounts/{account}/{verb}", None
    return make


def key_call(method, verb):
    def make(cloud, whose):
        key = "DHOWNOSUCHKEY"
        if whose != "missing":
            body = {"account": cloud.accounts[whose]}
            key = cloud.done("POST", "keys", body)["access_key"]
        return method, f"keys/{key}{verb}", None
    return make


def region_call(method, verb, body=None):
    def make(cloud, whose):
        region = {"own": cloud.region, "missing": "nowhere"}.get(whose)
        if region is None:
            region = cloud.fresh("region")
            plan = {"id": region, "jurisdiction": "AE", "operator": "elsewhere"}
            cloud.done("POST", "regions", {"plan": plan})
        elif (whose, verb) == ("own", "/open"):
            cloud.done("POST", f"regions/{region}/drain")
        return method, f"regions/{region}{verb}", body
    return make


def bucket_call(method, verb, body=lambda cloud: None):
    return lambda cloud, whose: (method, f"buckets/bucket-{whose}{verb}", body(cloud))


def plain(method, path, body=lambda cloud: None):
    return lambda cloud, whose: (method, path, body(cloud))


def new_bucket(cloud, whose):
    body = {"name": cloud.fresh("new"), "owner": cloud.accounts[whose]}
    return "POST", "buckets", body


def new_plan(cloud):
    plan = {"id": cloud.fresh("new"), "jurisdiction": "AE", "operator": "elsewhere"}
    return {"plan": plan}


EACH, ONE = ("own", "other", "missing"), ("own",)
# Whose things there are, and the request for such a thing.
REQUESTS = {
    "DescribeApi": (ONE, plain("GET", "openapi.json")),
    "ListAccounts": (ONE, plain("GET", "accounts")),
    "CreateAccount": (ONE, plain("POST", "accounts", lambda c: {"name": c.fresh("new")})),
    "SuspendAccount": (EACH, account_call("suspend")),
    "ResumeAccount": (EACH, account_call("resume")),
    "ListKeys": (EACH, lambda c, whose: ("GET", f"keys?account={c.accounts[whose]}", None)),
    "CreateKey": (EACH, lambda c, whose: ("POST", "keys", {"account": c.accounts[whose]})),
    "CallIam": (EACH, lambda c, whose: (
        "POST", f"accounts/{c.accounts[whose]}/iam",
        {"form": {"Action": "CreateUser", "UserName": c.fresh("user")}})),
    "ChangeAccess": (EACH, lambda c, whose: (
        "POST", f"accounts/{c.accounts[whose]}/access", {})),
    "SetGuardPolicy": (EACH, lambda c, whose: (
        "POST", f"accounts/{c.accounts[whose]}/guard-policy", {})),
    "EndSession": (EACH, lambda c, whose: (
        "POST", f"accounts/{c.accounts[whose]}/end-session", {"access_key": "DHST" + "A" * 26})),
    "ExplainAccess": (EACH, lambda c, whose: (
        "POST", f"accounts/{c.accounts[whose]}/explain",
        {"action": "s3:GetObject", "resource": f"arn:aws:s3:::bucket-{whose}/k"})),
    "EnableKey": (EACH, key_call("POST", "/enable")),
    "DisableKey": (EACH, key_call("POST", "/disable")),
    "DeleteKey": (EACH, key_call("DELETE", "")),
    "ListOperators": (ONE, plain("GET", "operators")),
    "GetOperator": (EACH, lambda c, whose: (
        "GET", "operators/" + {"other": "elsewhere"}.get(whose, whose), None)),
    "AddOperator": (ONE, plain("POST", "operators", lambda c: {"id": c.fresh("o"), "name": "O"})),
    "ListRegions": (ONE, plain("GET", "regions")),
    "GetRegion": (EACH, region_call("GET", "")),
    "PlanRegion": (ONE, plain("POST", "regions", new_plan)),
    "DrainRegion": (EACH, region_call("POST", "/drain")),
    "GetDrain": (EACH, region_call("GET", "/drain")),
    "AbortDrain": (EACH, region_call("DELETE", "/drain")),
    "PlanDrain": (EACH, region_call("POST", "/drain-plan", {})),
    "OpenRegion": (EACH, region_call("POST", "/open")),
    "CloseRegion": (EACH, region_call("POST", "/close")),
    "RevokeCertificate": (EACH, region_call("POST", "/revoke", {"serial": "0a"})),
    "StepBackRegion": (EACH, region_call("POST", "/step-back")),
    "RekeyRegion": (EACH, region_call("POST", "/rekey", {})),
    "AllowAddresses": (EACH, region_call("POST", "/allow", {"addresses": []})),
    "ListBuckets": (ONE, plain("GET", "buckets")),
    "GetBucket": (EACH, bucket_call("GET", "")),
    "CreateBucket": (EACH, new_bucket),
    "PlaceBucket": (EACH, bucket_call("POST", "/place", lambda c: {"dry_run": True})),
    "PromoteBucket": (EACH, bucket_call("POST", "/promote", lambda c: {"to": c.region})),
    "CheckResidency": (EACH, bucket_call("GET", "/residency")),
    "ProveResidency": (EACH, bucket_call("POST", "/residency", lambda c: {})),
    "ReadAudit": (ONE, plain("GET", "audit")),
    "SignCheckpoint": (ONE, plain("GET", "audit/checkpoint")),
    "GetMapKey": (ONE, plain("GET", "audit/map-key")),
    "GetScrub": (ONE, plain("GET", "scrub")),
    "StartScrub": (ONE, plain("POST", "scrub", lambda c: {"repair": False})),
    "GetHealth": (ONE, plain("GET", "health")),
    "ListHeld": (ONE, plain("GET", "held")),
}


def documented():
    """Name to (method, path, description)."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def resolve(schema):
    while "$ref" in schema:
        at = DOCUMENT
        for step in schema["$ref"].removeprefix("#/").split("/"):
            at = at[step]
        schema = at
    return schema


TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}


def misfit(value, schema, at="$"):
    """Why `value` is not as `schema` says, or None. An undescribed field is a misfit too."""
    schema = resolve(schema)
    for some in ("anyOf", "oneOf"):
        if some in schema:
            found = [misfit(value, s, at) for s in schema[some]]
            return None if None in found else f"{at}: {found}"
    if not TYPES[schema["type"]](value):
        return f"{at}: {value!r} is no {schema['type']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at}: {value!r} is not among {schema['enum']}"
    if schema.get("maxProperties") == 0 and value:
        return f"{at}: {value!r} is not empty"
    inner = []
    if schema["type"] == "array":
        inner = [misfit(v, schema["items"], f"{at}[{i}]") for i, v in enumerate(value)]
    elif "properties" in schema:
        missing = set(schema["required"]) - set(value)
        unknown = set(value) - set(schema["properties"])
        if missing or unknown:
            return f"{at}: missing {missing}, not described {unknown}"
        inner = [misfit(v, schema["properties"][n], f"{at}.{n}") for n, v in value.items()]
    return next((why for why in inner if why), None)


def fits(name, answer):
    schema = documented()[name][2]["responses"]["200"]["content"]["application/json"]["schema"]
    why = misfit(answer, schema)
    assert why is None, f"{name} answers other than docs/admin-api.json says: {why}"


def test_the_document_says_what_the_matrix_says():
    operations = documented()
    assert set(operations) == set(MATRIX) == set(REQUESTS)
    for name, (_, _, operation) in operations.items():
        said = {g["role"]: g["reach"].split()[0] for g in operation["x-dhow-grants"]}
        want = {r: g for r, g in zip(ROLES, MATRIX[name]) if g != NO}
        assert said == want, name


@pytest.mark.parametrize("name", MATRIX)
def test_the_request_of_an_operation_is_the_documented_one(cloud, name):
    whose, make = REQUESTS[name]
    method, path, body = make(cloud, whose[0])
    said_method, said_path, operation = documented()[name]
    steps, said = (PREFIX + path.partition("?")[0]).split("/"), said_path.split("/")
    assert method == said_method and len(steps) == len(said)
    assert all(s == t or t.startswith("{") for s, t in zip(steps, said))
    if body is not None:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert misfit(body, schema) is None


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", MATRIX)
def test_a_role_does_what_it_may_and_nothing_else(cloud, name, role):
    reach, key = MATRIX[name][ROLES.index(role)], cloud.keys[role]
    whose_all, make = REQUESTS[name]
    for whose in whose_all:
        method, path, body = make(cloud, whose)
        allowed = reach == ALL or (reach == OWN and whose == "own")
        before = None if allowed else cloud.state()
        status, answer = cloud.call(method, path, body, key)
        if not allowed:
            assert is_denied((status, answer)), f"{role}: {method} {path} ({whose})"
            assert cloud.state() == before, f"{role}: {method} {path} changed something"
            continue
        want = NOT_DONE.get((name, whose), 404 if whose == "missing" else 200)
        want = {want, 409} if name == "StartScrub" else {want}
        assert status in want, (role, method, path, whose, status, answer)
        if status == 200:
            fits(name, answer)
        else:
            assert set(answer) == {"error"}


@pytest.mark.parametrize("name", ["GetScrub", "StartScrub", "DrainRegion", "GetDrain",
                                  "AbortDrain", "OpenRegion"])
def test_an_operator_reaches_no_region_of_another(cloud, name):
    method, path, body = REQUESTS[name][1](cloud, "own")
    before = cloud.state()
    assert is_denied(cloud.call(method, path, body, cloud.stranger))
    assert cloud.state() == before


def test_an_operator_drains_its_region_and_moves_no_bucket_of_others(cloud):
    path, operator = f"regions/{cloud.region}/drain", cloud.keys["regional operator"]
    before = cloud.state()
    assert is_denied(cloud.call("POST", path, {"move": True}, operator))
    assert cloud.state() == before
    begun = cloud.done("POST", path, {"move": True})
    fits("DrainRegion", begun)
    assert begun["drain"]["state"] in ("moving", "waiting")
    stays = eventually(lambda: cloud.done("GET", path)["stays"])
    assert "no other replica" in stays[0]["error"]
    fits("GetDrain", cloud.done("GET", path))
    status, shown = cloud.call("GET", path, None, operator)
    # Not what the buckets of others are called.
    assert (status, shown["moves"], shown["stays"], shown["bucket"]) == (200, [], [], None)
    assert shown["left"] > 0 and shown["state"] in ("moving", "waiting")
    status, shown = cloud.call("DELETE", path, None, operator)
    assert (status, shown["state"]) == (200, "aborted")
    assert cloud.done("GET", path)["state"] == "aborted"


def test_keys_that_administer_an_account_are_for_tenants(cloud):
    for number, account in enumerate((("--operator", "own"), ("--auditor",))):
        account = cloud.cli_json("account", "create", f"no-tenant-{number}", *account, "--json")["id"]
        done = cloud.cli("key", "create", "--account", account, "--admin", check=False)
        assert done.returncode == 1 and "administers no account" in done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_lists_hold_the_own_and_nothing_else(cloud, role):
    own, other = cloud.accounts["own"], cloud.accounts["other"]
    for path, name, field in (("keys", "ListKeys", "account"), ("buckets", "ListBuckets", "owner")):
        reach = MATRIX[name][ROLES.index(role)]
        status, listed = cloud.call("GET", path, key=cloud.keys[role])
        if reach == NO:
            assert is_denied((status, listed))
            continue
        found = {one[field] for one in listed}
        assert found == {own} if reach == OWN else {own, other} <= found
        assert "secret" not in json.dumps(listed)


@pytest.mark.parametrize("role", ROLES)
def test_tenants_are_told_of_regions_only_what_placing_needs(cloud, role):
    of_operators = {"peer", "public_key", "certificates", "addresses", "refused", "withheld",
                    "last_seen", "follows", "buckets", "drain", "load"}
    told = [cloud.call("GET", f"regions/{cloud.region}", key=cloud.keys[role])[1]]
    told += cloud.call("GET", "regions", key=cloud.keys[role])[1]
    operator = told[0]["operator"]
    told += cloud.call("GET", f"operators/{operator}", key=cloud.keys[role])[1]["regions"]
    assert len(told) >= 3
    for region in told:
        hidden = of_operators - set(region)
        # How much a region is asked is not for operators of others.
        of_others = role == "regional operator" and region["operator"] != "own"
        more = {"load"} if of_others else set()
        assert hidden == (of_operators if role in ("customer", "tenant admin") else more)
        assert {"id", "jurisdiction", "status", "endpoint", "latitude"} <= set(region)


@pytest.mark.parametrize("name", [n for n in MATRIX if "requestBody" in documented()[n][2]])
def test_a_malformed_body_is_no_way_past_the_role(cloud, name):
    whose, make = REQUESTS[name]
    method, path, _ = make(cloud, whose[0])
    for role, reach in zip(ROLES, MATRIX[name]):
        status, _ = cloud.call(method, path, ["?"], cloud.keys[role])
        assert status == (403 if reach == NO else 400), (role, method, path)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_what_is_not_in_the_document_is_not_there(cloud, method):
    said = {(m, p.removeprefix(PREFIX)) for m, p, _ in documented().values()}
    for path in {p.split("/{")[0] for _, p in said} | {"nothing", "audit/else", "buckets/b/else"}:
        if (method, path) in said:
            continue
        for key in cloud.keys.values():
            status, answer = cloud.call(method, path, key=key)
            assert (status, answer) == (404, {"error": "no such admin operation"}), path


def test_the_document_is_served_to_any_active_key_and_no_other(cloud):
    for key in [*cloud.keys.values(), cloud.stranger]:
        assert cloud.call("GET", "openapi.json", key=key) == (200, DOCUMENT)
    disabled = cloud.key(cloud.accounts["own"])
    cloud.done("POST", f"keys/{disabled[0]}/disable")
    for key in (disabled, ("DHOWNOSUCHKEY", "secret"), (cloud.root[0], "wrong")):
        assert cloud.call("GET", "openapi.json", key=key) == DENIED
