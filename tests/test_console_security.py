"""What must not work against the console: requests as an attacker sends them, without a browser, and
pages of other origins in one."""

import http.client
import http.server
import json
import os
import re
import threading
import time
import urllib.parse

import boto3
import pytest

from consoles import CHROMIUM, WAIT_MS, tab
from dhow import ROOT, Client, Dhow
from fleet import Fleet

SHORT_WAIT_S = 2
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Raw:
    """A session over plain requests."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.origin = cloud.info["console"]
        self.host = urllib.parse.urlsplit(self.origin).netloc
        self.cookie = None

    def ask(self, method, path, body=b"", headers=None, host=None):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if host != "":
                connection.putheader("Host", host or self.host)
            if self.cookie:
                connection.putheader("Cookie", self.cookie)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body or method == "POST":
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def post(self, path, fields=None, headers=None):
        """Keeps the short waits that a network is asked for when it signs in often, as the page
        does: the tests of a fast machine are such a network. An attempt that is told to wait was
        not looked at, so its challenge is still good."""
        body = urllib.parse.urlencode(fields or {}).encode()
        while True:
            answer = self.ask("POST", path, body, {"Origin": self.origin, **(headers or {})})
            if answer[0] != 429 or int(answer[1]["retry-after"]) > SHORT_WAIT_S:
                return answer
            time.sleep(int(answer[1]["retry-after"]))

    def challenge(self):
        status, _, body = self.post("/-/challenge")
        assert status == 200
        return json.loads(body)["challenge"]

    def signed(self, challenge, access_key=None, secret_key=None, region=None, path="/-/session"):
        client = Client(self.host, region or self.cloud.region,
                        access_key or self.cloud.access_key, secret_key or self.cloud.secret_key)
        extra = {"x-dhow-challenge": challenge} if challenge is not None else {}
        headers = client.headers("POST", path, headers=extra, payload=EMPTY)
        headers.pop("host")
        return headers

    def sign_in(self, access_key=None, secret_key=None):
        status, headers, body = self.post(
            "/-/session", headers=self.signed(self.challenge(), access_key, secret_key))
        assert status == 200, body
        self.cookie = headers["set-cookie"].split(";")[0]
        return self

    def token(self, page, action):
        _, _, body = self.ask("GET", page)
        form = re.search(rf'action="{re.escape(action)}".*?name="csrf" value="([^"]+)"', body, re.S)
        assert form, f"{page} has no form for {action}"
        return form[1]


@pytest.fixture
def raw(cloud):
    return Raw(cloud)


def routes():
    """The table of routes, from its source."""
    text = (ROOT / "crates/console/src/routes.rs").read_text()
    table = text[text.index("routes! {"):]
    table = table[:table.index("\n}")]
    found = re.findall(r'^\s+(GET|POST) "([^"]+)" ((?:May::)?\w+(?:\(Action::\w+\))?),', table, re.M)
    assert len(found) > 20
    return found


def test_a_challenge_is_good_once_and_only_a_signed_one(raw):
    challenge = raw.challenge()
    headers = raw.signed(challenge)
    assert raw.post("/-/session", headers=headers)[0] == 200
    assert raw.post("/-/session", headers=headers)[0] == 403, "replayed"
    assert raw.post("/-/session", headers=raw.signed("0" * 64))[0] == 403, "never given"
    assert raw.post("/-/session", headers=raw.signed(None))[0] == 403, "none"
    # Swapped after it was signed.
    headers = raw.signed(raw.challenge())
    headers["x-dhow-challenge"] = raw.challenge()
    assert raw.post("/-/session", headers=headers)[0] == 403
    # Or the key would have to wait for its failures.
    assert raw.post("/-/session", headers=raw.signed(raw.challenge()))[0] == 200
    # Of another region, for another path, or by nobody.
    for bad in (raw.signed(raw.challenge(), region="elsewhere-1"),
                raw.signed(raw.challenge(), path="/-/other"),
                raw.signed(raw.challenge(), access_key="NOBODYSKEY0000000000"),
                {"x-dhow-challenge": raw.challenge()}):
        status, headers, _ = raw.post("/-/session", headers=bad)
        assert status == 403 and "set-cookie" not in headers


def test_a_temporary_key_is_no_sign_in(raw, cloud):
    sts = boto3.client("sts", endpoint_url=cloud.endpoint + "/-/sts", region_name=cloud.region,
                       aws_access_key_id=cloud.access_key,
                       aws_secret_access_key=cloud.secret_key)
    made = sts.get_session_token()["Credentials"]
    for token in ({}, {"x-amz-security-token": made["SessionToken"]}):
        headers = raw.signed(raw.challenge(), made["AccessKeyId"], made["SecretAccessKey"])
        status, answered, body = raw.post("/-/session", headers={**headers, **token})
        assert status == 403 and "set-cookie" not in answered, body
    assert "temporary" in body


def test_another_key_of_the_same_id_does_not_take_a_session_over(cloud):
    def account(name):
        return cloud.cli_json("account", "create", name, "--json")["id"]

    def bring(owner, secret):
        # One's own key pair, as when moving in.
        before = cloud.env
        cloud.env = {**(before or os.environ), "DHOW_SECRET_KEY": secret}
        try:
            cloud.cli("key", "create", "--account", owner, "--access-key", "AKIACONSOLEREUSED001")
        finally:
            cloud.env = before

    first, second = account("console-first"), account("console-second")
    bring(first, "secret-of-the-first-0001")
    raw = Raw(cloud).sign_in("AKIACONSOLEREUSED001", "secret-of-the-first-0001")
    cloud.cli("key", "delete", "AKIACONSOLEREUSED001")
    for owner, secret in ((first, "another-of-the-first-0002"),
                          (second, "secret-of-the-second-0003")):
        bring(owner, secret)
        old, cookie = raw.ask("GET", "/sessions")[0], raw.cookie
        assert old == 303, "the old cookie opens the new key's pages"
        raw = Raw(cloud).sign_in("AKIACONSOLEREUSED001", secret)
        assert raw.cookie != cookie and raw.ask("GET", "/sessions")[0] == 200
        cloud.cli("key", "delete", "AKIACONSOLEREUSED001")


def test_a_form_that_names_no_key_is_not_about_the_bucket(raw, s3, bucket):
    raw.sign_in()
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    token = raw.token(f"/b/{bucket}", f"/b/{bucket}/delete")
    s3.delete_object(Bucket=bucket, Key="k")
    status, _, body = raw.post(f"/b/{bucket}/delete", {"key": "", "csrf": token})
    assert status == 400 and "Nothing is chosen" in body
    s3.head_bucket(Bucket=bucket)


def test_a_trusted_proxy_says_whose_browser_it_is_and_nobody_else(tmp_path):
    for trusted, shown in (([], "127.0.0.1"), (["--trusted-proxy", "127.0.0.1"], "203.0.113.9")):
        cloud = Dhow(tmp_path / f"data-{len(trusted)}", args=trusted).start()
        try:
            raw = Raw(cloud)
            # What the client itself put before the proxy's word is not believed.
            said = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
            headers = {**raw.signed(raw.challenge()), **said}
            status, answered, body = raw.post("/-/session", headers=headers)
            assert status == 200, body
            raw.cookie = answered["set-cookie"].split(";")[0]
            page = raw.ask("GET", "/sessions", headers=said)[2]
            assert shown in page and "198.51.100.7" not in page
        finally:
            cloud.stop()


def test_a_request_to_s3_is_no_sign_in(raw, cloud):
    client = Client(raw.host, cloud.region, cloud.access_key, cloud.secret_key)
    headers = client.headers("GET", "/", payload=EMPTY)
    headers.pop("host")
    assert raw.post("/-/session", headers=headers)[0] == 403


def test_a_session_id_that_was_planted_is_not_taken(raw):
    name = f"__Host-dhow-{raw.cloud.region}"
    raw.cookie = f"{name}={'ab' * 32}"
    assert raw.ask("GET", "/sessions")[0] == 303
    _, headers, _ = raw.post("/-/session", headers=raw.signed(raw.challenge()))
    given = headers["set-cookie"]
    assert "ab" * 32 not in given
    for flag in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
        assert flag in given
    assert "Domain" not in given


def test_another_host_is_refused(raw):
    raw.sign_in()
    port = raw.host.split(":")[1]
    for host in ("evil.example", f"localhost:{port}", f"evil.example:{port}", "127.0.0.1", ""):
        status, _, body = raw.ask("GET", "/", host=host)
        assert status in (400, 421), (host, status)
        assert "Sign out" not in body


def test_forms_of_other_origins_are_refused(raw):
    raw.sign_in()
    token = raw.token("/", "/look")
    fields = {"csrf": token, "look": "dark"}
    body = urllib.parse.urlencode(fields).encode()
    port = int(raw.host.split(":")[1])
    for origin in (None, "null", "http://evil.example", f"http://127.0.0.1:{port + 1}",
                   raw.origin.replace("http:", "https:"), raw.origin + "/"):
        headers = {} if origin is None else {"Origin": origin}
        assert raw.ask("POST", "/look", body, headers)[0] == 403, origin
    for site in ("same-site", "cross-site", "none"):
        assert raw.post("/look", fields, {"Sec-Fetch-Site": site})[0] == 403, site
    assert raw.post("/look", fields)[0] == 303
    # Back to the page, and to no other host.
    for next, to in [("/sessions", "/sessions"), ("//evil.example/", "/"), ("/signout", "/")]:
        assert raw.post("/look", {**fields, "next": next})[1]["location"] == to, next


def test_a_token_is_for_one_session_and_one_form(raw, cloud):
    raw.sign_in()
    other = Raw(cloud).sign_in()
    token = raw.token("/", "/look")
    assert raw.post("/signout", {"csrf": token})[0] == 403, "of another form"
    assert other.post("/look", {"csrf": token, "look": "dark"})[0] == 403, "of another session"
    for bad in ("", "x", token + "0", token[:-1]):
        assert raw.post("/look", {"csrf": bad, "look": "dark"})[0] == 403
    assert raw.post("/look", {"look": "dark"})[0] == 403
    assert raw.post("/look", {"csrf": token, "look": "dark"})[0] == 303


def test_no_form_does_anything_without_its_token(raw):
    raw.sign_in()
    for method, path, may in routes():
        if method != "POST" or may == "Everybody":
            continue
        status, _, body = raw.post(path.replace("{bucket}", "some-bucket"), {"key": "x"})
        assert status == 403 and "not one of this session" in body, path


def test_what_changes_something_is_not_done_by_get(raw):
    raw.sign_in()
    gets = {path for method, path, _ in routes() if method == "GET"}
    for method, path, _ in routes():
        if method == "POST" and path not in gets:
            status, headers, _ = raw.ask("GET", path.replace("{bucket}", "some-bucket"))
            assert status == 405 and headers["allow"] == "POST", path
    assert raw.ask("GET", "/sessions")[0] == 200


def test_a_form_that_is_too_large_is_refused(raw):
    raw.sign_in()
    status, _, _ = raw.ask("POST", "/look", b"x=" + b"a" * (64 << 10), {"Origin": raw.origin})
    assert status == 413
    many = "&".join(f"a{n}=1" for n in range(1300)).encode()
    assert raw.ask("POST", "/look", many, {"Origin": raw.origin})[0] == 400


def test_nobody_is_led_away_after_signing_in(raw):
    for bad in ("//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example",
                "javascript:alert(1)", "/signout", "/no-page", "/%0d%0aSet-Cookie:a=b",
                "\t//evil.example"):
        _, _, body = raw.ask("GET", "/signin?next=" + urllib.parse.quote(bad, safe=""))
        assert 'data-next="/"' in body, bad
    _, _, body = raw.ask("GET", "/signin?next=%2Fsessions")
    assert 'data-next="/sessions"' in body


def test_every_page_has_the_headers_that_protect_it(raw):
    raw.sign_in()
    for path in ("/", "/signin", "/sessions", "/no-page", "/b/none-here", "/-/a/0/app.js"):
        _, headers, _ = raw.ask("GET", path)
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'",
                     "require-trusted-types-for 'script'", "form-action 'self'"):
            assert part in policy, (path, part)
        assert "unsafe" not in policy and "*" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.lower().startswith("access-control-")]


# What opens each kind of page: at most these, and whoever is not named gets 403.
ROLES = ["customer", "tenant-admin", "regional-operator", "cloud-operator", "auditor"]
DATA = {"customer", "tenant-admin", "cloud-operator"}
GRANTS = {
    "SignedIn": set(ROLES),
    "KeepsData": DATA,
    # What of them the caller sees, IAM decides.
    "May::Users": DATA,
    "May::Groups": DATA,
    "May::Roles": DATA,
    "May::Policies": DATA,
    "May::Simulates": DATA,
    "May::AccountBlock": DATA,
    "May::Do(Action::ListKeys)": {"tenant-admin", "cloud-operator", "auditor"},
    "May::Do(Action::ChangeKeys)": {"tenant-admin", "cloud-operator"},
    "May::Do(Action::ListRegions)": set(ROLES),
    "May::Do(Action::ListBuckets)": {"customer", "tenant-admin", "cloud-operator", "auditor"},
    "May::Do(Action::ListAccounts)": {"cloud-operator", "auditor"},
    "May::Do(Action::ReadAudit)": {"cloud-operator", "auditor"},
    "May::Do(Action::DrainRegion)": {"regional-operator", "cloud-operator"},
    "May::Do(Action::ChangeAccounts)": {"cloud-operator"},
    "May::Do(Action::ChangeRegions)": {"cloud-operator"},
    "May::Do(Action::PromoteBuckets)": {"cloud-operator"},
    "May::Do(Action::PlaceBuckets)": {"tenant-admin", "cloud-operator"},
    "May::Do(Action::ProveResidency)": {"cloud-operator", "auditor"},
    "May::Do(Action::SeeHealth)": {"regional-operator", "cloud-operator"},
    "May::Do(Action::Scrub)": {"regional-operator", "cloud-operator"},
    "May::Do(Action::CheckResidency)": {"tenant-admin", "cloud-operator", "auditor"},
}


@pytest.fixture(scope="module")
def roles(cloud):
    cloud.cli("operator", "add", "con-op", "--name", "of the console's tests")

    def key(name, *admin, **flags):
        of = [f"--{flag}" if value is True else f"--{flag}={value}" for flag, value in flags.items()]
        account = cloud.cli_json("account", "create", f"console-{name}", *of, "--json")
        return cloud.cli_json("key", "create", "--account", account["id"], *admin, "--json")

    keys = {
        "customer": key("customer"),
        "tenant-admin": key("tenant", "--admin"),
        "regional-operator": key("operator", operator="con-op"),
        "auditor": key("auditor", auditor=True),
        "cloud-operator": {"access_key": cloud.access_key, "secret_key": cloud.secret_key},
    }
    return {role: Raw(cloud).sign_in(k["access_key"], k["secret_key"]) for role, k in keys.items()}


def test_every_route_is_for_the_roles_that_its_grant_names(roles):
    refused = "has no grant for this page", "keeps no data"
    for method, path, may in routes():
        if may == "Everybody":
            continue
        for role, raw in roles.items():
            at = path.replace("{bucket}", "no-such-bucket")
            ask = raw.post(at) if method == "POST" else raw.ask("GET", at)
            told = any(text in ask[2] for text in refused)
            assert told == (role not in GRANTS[may]), (role, method, path, ask[0])
            if told:
                assert ask[0] == 403
    # It says which grant is missing, and who has it.
    said = roles["customer"].ask("GET", "/audit")[2]
    for text in ("It needs ", "ReadAudit", "cloud operator, auditor", "You are signed in as "):
        assert text in said, text


def test_the_menu_names_no_page_that_is_refused(roles):
    for role, raw in roles.items():
        _, _, body = raw.ask("GET", "/sessions")
        menu = re.search(r'<nav class="side".*?</nav>', body, re.S)[0]
        # Where there are no buckets, the first page is that of the regions.
        keeps = role in DATA
        assert ('href="/"' in menu) == keeps
        status, headers, _ = raw.ask("GET", "/")
        assert (status, headers["location"]) == ((200, None) if keeps else (303, "/regions"))
        for path in re.findall(r'href="([^"]+)"', menu):
            assert raw.ask("GET", path)[0] == 200, (role, path)


def test_a_proof_is_of_the_key_that_is_signed_in(cloud):
    other = cloud.cli_json("key", "create", "--account", "root", "--json")
    raw = Raw(cloud).sign_in()
    prove = lambda who, *key, path="/-/prove": who.post(
        "/-/prove", headers=who.signed(who.challenge(), *key, path=path))[0]
    assert prove(raw) == 200
    assert prove(raw, other["access_key"], other["secret_key"]) == 403
    assert prove(raw, path="/-/session") == 403, "signed for something else"
    assert prove(Raw(cloud)) == 403, "nobody is signed in"
    # Its own key cannot be made to wait by that, and another page of the machine sends none.
    assert prove(raw) == 200
    headers = {**raw.signed(raw.challenge(), path="/-/prove"), "Origin": "http://127.0.0.1:1"}
    assert raw.ask("POST", "/-/prove", headers=headers)[0] == 403


def test_a_suspended_account_is_signed_out(cloud):
    account = cloud.cli_json("account", "create", "console-suspended", "--json")
    key = cloud.cli_json("key", "create", "--account", account["id"], "--json")
    raw = Raw(cloud).sign_in(key["access_key"], key["secret_key"])
    assert raw.ask("GET", "/sessions")[0] == 200
    cloud.cli("account", "suspend", account["id"])
    assert raw.ask("GET", "/sessions")[0] == 303
    cloud.cli("account", "resume", account["id"])
    assert raw.ask("GET", "/sessions")[0] == 303, "a session that has ended does not come back"


def test_a_session_is_ended_by_its_own_key_only(cloud, roles):
    one, other = Raw(cloud).sign_in(), roles["customer"]
    _, _, body = one.ask("GET", "/sessions")
    session = re.search(r'name="id" value="([0-9a-f]{64})"', body)[1]
    token = other.token("/sessions", "/sessions/end")
    assert other.post("/sessions/end", {"csrf": token, "id": session})[0] == 404
    assert one.ask("GET", "/sessions")[0] == 200


def test_failures_make_a_key_wait_from_there(tmp_path):
    server = Dhow(tmp_path / "data").start()
    try:
        raw = Raw(server)
        wrong = [raw.post("/-/session", headers=raw.signed(raw.challenge(), secret_key="wrong"))[0]
                 for _ in range(6)]
        assert wrong == [403] * 5 + [429]
        # Its holder waits too, and is told how long; another key does not.
        status, answered, body = raw.post("/-/session", headers=raw.signed(raw.challenge()))
        assert status == 429 and 2 < int(answered["retry-after"]) <= 60
        assert f"Try again in {answered['retry-after']} s" in body
        key = server.cli_json("key", "create", "--account", "root", "--json")
        raw.sign_in(key["access_key"], key["secret_key"])
    finally:
        server.kill()


class At:
    """A region of a fleet, for a session there."""

    def __init__(self, fleet, region):
        self.info, self.region = fleet.regions[region], region
        self.access_key, self.secret_key = fleet.info["access_key"], fleet.info["secret_key"]


def test_a_region_shows_nothing_of_a_bucket_that_it_does_not_store(tmp_path):
    """The canary: the key's name is in no byte that the other region sent or logged."""
    canary = "canary-of-the-home"
    fleet = Fleet(tmp_path / "data", 2, args=["--log-level", "debug"]).start()
    try:
        home, other = fleet.ids
        fleet.bucket("at-home", home)
        fleet.s3(home).put_object(Bucket="at-home", Key=canary, Body=canary.encode())
        listing = Raw(At(fleet, home)).sign_in().ask("GET", "/b/at-home")
        assert listing[0] == 200 and canary in listing[2]
        raw = Raw(At(fleet, other)).sign_in()
        for page in ("", "?versions=1", "?flat=1", "/rules", "/o?key=guess", "/share?key=guess",
                     "/download?key=guess"):
            status, headers, body = raw.ask("GET", "/b/at-home" + page)
            assert status == 403 and canary not in body + str(headers), page
            # It names the region that may show it.
            assert fleet.regions[home]["endpoint"] in body
        _, _, body = raw.ask("GET", "/")
        assert "at-home" in body and canary not in body
        assert canary not in (tmp_path / "data" / other / "dhow.log").read_text(errors="replace")
    finally:
        fleet.stop()


def test_a_user_sees_what_its_policies_allow(cloud, s3, bucket):
    root = cloud.client()
    for key in ("mine/a", "mine/b", "theirs/secret-name"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}",
         "Condition": {"StringLike": {"s3:prefix": "mine/*"}}},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{bucket}/mine/*"},
    ]}
    iam = boto3.client("iam", endpoint_url=cloud.endpoint + "/-/iam", region_name=cloud.region,
                       aws_access_key_id=root.access_key, aws_secret_access_key=root.secret_key)
    name = f"console-{bucket}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    raw = Raw(cloud).sign_in(key["AccessKeyId"], key["SecretAccessKey"])
    status, _, body = raw.ask("GET", f"/b/{bucket}?prefix=mine%2F")
    assert status == 200 and "mine%2Fa" in body
    for page in ("", "?prefix=theirs%2F", "?versions=1", "/o?key=theirs%2Fsecret-name",
                 "/share?key=theirs%2Fsecret-name", "/rules"):
        status, _, body = raw.ask("GET", f"/b/{bucket}{page}")
        assert status == 403 and "secret-name</" not in body, page
    # A Deny of the bucket's policy binds the account's own key as well.
    deny = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
         "Resource": f"arn:aws:s3:::{bucket}/mine/a"}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(deny))
    own = Raw(cloud).sign_in()
    assert own.ask("GET", f"/b/{bucket}/o?key=mine%2Fa")[0] == 403
    assert own.ask("GET", f"/b/{bucket}/o?key=mine%2Fb")[0] == 200
    assert raw.ask("GET", f"/b/{bucket}/o?key=mine%2Fa")[0] == 403
    # What is taken away is gone with the next request.
    iam.delete_user_policy(UserName=name, PolicyName="own")
    assert raw.ask("GET", f"/b/{bucket}?prefix=mine%2F")[0] == 403


@pytest.fixture(scope="module")
def attacker():
    """A page of another port of the same machine, which is the same site."""
    pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", pages
    server.shutdown()


def test_a_page_of_another_port_posts_in_vain(browser, cloud, attacker):
    address, pages = attacker
    with tab(browser, cloud) as one:
        one.sign_in()
        pages["/post"] = (f'<form method="post" action="{one.origin}/signout"></form>'
                          "<script>document.forms[0].submit()</script>")
        with one.page.expect_response(f"{one.origin}/signout") as posted:
            one.page.goto(f"{address}/post", wait_until="commit")
        assert posted.value.status == 403
        # Else it would come between this and the next page.
        one.page.wait_for_url(f"{one.origin}/signout")
        one.page.goto(one.origin + "/sessions")
        assert one.page.locator("header.top").count() == 1, "still signed in"


def test_no_page_is_framed(browser, cloud, attacker):
    address, pages = attacker
    with tab(browser, cloud) as one:
        one.sign_in()
        pages["/frame"] = f'<iframe src="{one.origin}/sessions"></iframe><p id="ready">x</p>'
        with one.page.expect_event("console", lambda m: "frame" in m.text.lower(), timeout=WAIT_MS):
            one.page.goto(f"{address}/frame")
        for frame in one.page.frames[1:]:
            assert "Sessions" not in frame.content()


def test_a_page_of_another_port_reads_nothing(browser, cloud, attacker):
    address, pages = attacker
    with tab(browser, cloud) as one:
        one.sign_in()
        pages["/read"] = "<p>x</p>"
        one.page.goto(f"{address}/read")
        read = """async (url) => {
          try { return await (await fetch(url, {credentials: "include"})).text(); }
          catch (error) { return "refused"; }
        }"""
        assert one.page.evaluate(read, one.origin + "/sessions") == "refused"
