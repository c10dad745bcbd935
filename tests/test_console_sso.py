"""Single sign-on of the console: a certified provider of OpenID Connect (npm's oidc-provider), a real
browser, and what somebody would do to be signed in as another."""

import json
import os
import re
import subprocess
import time
import urllib.parse

import pytest
from playwright.sync_api import expect

from consoles import CHROMIUM, WAIT_MS, tab
from dhow import BIN, Dhow
from fleet import eventually
from issuers import SECRET, Issuers
from test_console_security import Raw
from test_sessions import Account
from test_users import allow, iam_for
from test_web_identity import trusts

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
BUCKET = "console-sso-papers"
NOT_BEGUN = "not begun in this browser"
CONFIG = """
data = "{data}"
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
metrics = "127.0.0.1:0"
[log]
level = "debug"
[sts]
oidc_allow = ["{issuer}", "http://127.0.0.1:1"]
[console]
listen = "127.0.0.1:0"
"""
PROVIDER = """
[[console.oidc]]
name = "{name}"
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "{secret}"
{role}
"""


class Served(Dhow):
    """`dhow serve`, on a folder that `dhow up` has made."""

    def start(self, timeout=60):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(BIN), "serve", "--json", "--config", str(self.config)],
                stdout=subprocess.PIPE, stderr=log)
        self.info = json.loads(self.process.stdout.readline())
        self.endpoint, self.region = self.info["endpoint"], self.info["region"]
        return self


@pytest.fixture(scope="module")
def sso(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sso")
    issuers = Issuers()
    issuer = issuers.start()
    first = Dhow(folder / "data", args=["--oidc-allow", issuer.url]).start()
    account = Account(first, "console-sso")
    account.s3.create_bucket(Bucket=BUCKET)
    account.s3.put_object(Bucket=BUCKET, Key="papers/one.txt", Body=b"for those who may")
    account.iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=["dhow", "dhow-es"])
    reads = allow(["s3:ListAllMyBuckets", "s3:ListBucket", "s3:GetObject"], "*")
    reader = account.role(reads, trusts=trusts(account, issuer))
    annas = account.role(reads, trusts=trusts(account, issuer, sub="anna"))
    assert first.stop() == 0
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    role = lambda name: f'role = "{account.arn("role", name)}"'
    client = {"issuer": issuer.url, "client": "dhow", "secret": secret}
    text = CONFIG.format(data=folder / "data", issuer=issuer.url)
    for name, more in (("Acme", {"role": role(reader)}), ("Annas", {"role": role(annas)}),
                       ("Claims", {"role": 'role_claim = "dhow_role"\nname_claim = "email"'}),
                       ("Elliptic", {"role": role(reader), "client": "dhow-es"}),
                       ("Away", {"role": role(reader), "issuer": "http://127.0.0.1:1"})):
        text += PROVIDER.format(name=name, **{**client, **more})
    server = Served(folder / "data")
    server.config = folder / "dhow.toml"
    server.config.write_text(text)
    server.start()
    account.iam = iam_for(server, *account.pair)
    server.issuer, server.account, server.reader, server.annas = issuer, account, reader, annas
    yield server
    assert server.stop() == 0
    log = server.log_text()
    assert SECRET not in log and "panicked" not in log and "code_verifier" not in log
    issuers.close()


class Visitor(Raw):
    """A browser without a page: its cookies, and where it is led."""

    def __init__(self, cloud):
        super().__init__(cloud)
        self.jar = {}

    def get(self, path, site="same-origin"):
        """`site` is who led there. With what another site began, no strict cookie is sent."""
        sent = {name: value for name, value in self.jar.items()
                if site != "cross-site" or name.startswith("__Host-dhow-sso-")}
        self.cookie = "; ".join(f"{name}={value}" for name, value in sent.items())
        status, headers, body = self.ask("GET", path, headers={"Sec-Fetch-Site": site})
        for given in headers.get_all("set-cookie", []):
            name, _, value = given.split(";")[0].partition("=")
            self.jar[name] = value
            for flag in ("HttpOnly", "Secure", "Path=/"):
                assert flag in given
            if "Max-Age=0" in given:
                del self.jar[name]
        return status, headers, body

    def begin(self, provider="Acme", next="/"):
        asked = urllib.parse.urlencode({"provider": provider, "next": next})
        status, headers, _ = self.get(f"/signin/sso?{asked}")
        assert status == 303
        return headers["location"]

    def come_back(self, at):
        assert at.startswith(self.origin + "/signin/return/"), at
        return self.returns(at.removeprefix(self.origin))

    def returns(self, path):
        """Asks again as browsers do: the tests of a fast machine are a network that signs in
        often, and is asked to wait."""
        while True:
            answer = self.get(path, site="cross-site")
            if "Too many attempts" not in answer[2]:
                break
            time.sleep(int(answer[1]["refresh"]))
        to = answer[1].get("refresh", "").partition("; url=")[2]
        if to:
            status, headers, body = self.get(to)
            assert status == 303, body
            self.led = headers["location"]
        return answer

    def sign_in(self, name, provider="Acme", next="/"):
        at = self.cloud.issuer.visit(self.begin(provider, next), name, self.origin)
        return self.come_back(at)

    def is_signed_in(self):
        return self.get("/sessions")[0] == 200


def test_the_audit_log_names_no_role_of_who_signs_in(sso):
    visitor = Visitor(sso)
    visitor.sign_in("iris")
    assert visitor.is_signed_in()

    def said():
        entries = [one for one in sso.cli_json("audit", "show", "--json")
                   if one["action"] == "console.sign_ins"]
        told = [json.loads(one["detail"]) for one in entries]
        return [one for each in told for one in each["signed_in"] if one["how"] == "oidc"]

    for one in eventually(said):
        assert one["account"] == sso.account.id and one.keys() == {
            "at", "how", "account", "key", "network"}
    assert sso.reader not in str(said())


def query(at):
    return {name: values[0] for name, values in
            urllib.parse.parse_qs(urllib.parse.urlsplit(at).query).items()}


def with_query(at, **changes):
    split = urllib.parse.urlsplit(at)
    return split._replace(query=urllib.parse.urlencode({**query(at), **changes})).geturl()


def test_a_person_signs_in_in_a_browser_and_has_the_role(sso, browser):
    with tab(browser, sso) as one, tab(browser, sso) as thief:
        one.open(f"/b/{BUCKET}").look()
        one.page.get_by_role("link", name="Sign in with Acme").click()
        one.page.fill("input[name=login]", "anna")
        one.page.fill("input[name=password]", "x")
        one.page.click("button[type=submit]")
        one.page.click("button[type=submit]")
        # Back on the page that was asked for in the beginning.
        one.page.wait_for_url(f"**/b/{BUCKET}")
        back = next(url for url in one.asked if "/signin/return" in url)
        assert SECRET not in str(one.asked) + one.page.content()
        one.asked.clear()
        one.said.clear()
        one.open(f"/b/{BUCKET}?prefix=papers%2F").see("one.txt").look()
        expect(one.page.locator("header.top")).to_contain_text(sso.reader, timeout=WAIT_MS)
        assert one.cookie()["sameSite"] == "Strict" and one.cookie()["httpOnly"]
        # S3 answers the browser itself, by the session's own key.
        at = f"{one.origin}/b/{BUCKET}/download?key=papers%2Fone.txt"
        assert one.context.request.get(at).text() == "for those who may"
        one.open(f"/b/{BUCKET}/share?key=papers%2Fone.txt").see("when your session ends").look()
        one.open("/users", 403).see("iam:ListUsers")
        one.open("/sessions").see("ends at").look()
        # What came back counts once, and in no other browser.
        thief.page.goto(back)
        thief.see(NOT_BEGUN)
        one.page.goto(back)
        one.see(NOT_BEGUN)


def test_what_comes_back_counts_in_the_browser_that_began(sso):
    victim, thief = Visitor(sso), Visitor(sso)
    at = sso.issuer.visit(victim.begin(), "anna", victim.origin)
    # Without a cookie, with that of another sign-in, and with another state.
    assert NOT_BEGUN in thief.come_back(at)[2]
    thief.begin()
    assert NOT_BEGUN in thief.come_back(at)[2]
    own = query(thief.begin())
    assert NOT_BEGUN in victim.come_back(with_query(at, state=own["state"]))[2]
    for state in ("", "0" * 64):
        thief.begin()
        assert NOT_BEGUN in thief.come_back(with_query(at, state=state))[2]
    assert not thief.is_signed_in() and not victim.is_signed_in()
    # A refusal ends the sign-in; the next one is good.
    assert victim.sign_in("anna")[0] == 200 and victim.is_signed_in()


def test_a_sign_in_ends_the_session_that_the_browser_had_and_counts_once(sso):
    visitor, before = Visitor(sso), Visitor(sso)
    assert visitor.sign_in("anna")[0] == 200 and visitor.is_signed_in()
    before.jar = dict(visitor.jar)
    # A link of another site begins nothing: its page asks first.
    for site in ("cross-site", "same-site", "none"):
        status, headers, body = visitor.get("/signin/sso?provider=Acme", site=site)
        assert status == 200 and "Go on if you want to sign in" in body
        assert "set-cookie" not in headers and "location" not in headers
    at = sso.issuer.visit(visitor.begin(), "bob", visitor.origin)
    thief = Visitor(sso)
    thief.jar = dict(visitor.jar)
    assert visitor.come_back(at)[0] == 200 and visitor.is_signed_in()
    assert visitor.jar != before.jar and not before.is_signed_in()
    # The same once more, with the cookie that was taken away: nothing is asked of the provider.
    assert NOT_BEGUN in thief.come_back(at)[2]
    # What another site leads to gives no session before the person goes on.
    assert visitor.get("/signin/done", site="cross-site")[0] == 200
    assert visitor.get("/signin/done")[0] == 400 and visitor.is_signed_in()


def test_a_token_of_another_sign_in_is_refused(sso):
    visitor = Visitor(sso)
    at = with_query(visitor.begin(), nonce="of another sign-in")
    status, _, body = visitor.come_back(sso.issuer.visit(at, "anna", visitor.origin))
    assert status == 403 and "not for this sign-in" in body and not visitor.is_signed_in()


def test_a_code_is_redeemed_once_and_by_who_asked_for_it(sso):
    victim, thief = Visitor(sso), Visitor(sso)
    at = sso.issuer.visit(victim.begin(), "anna", victim.origin)
    own = query(thief.begin())
    # Another's code, with one's own state: the verifier of PKCE is another.
    status, _, body = thief.come_back(with_query(at, state=own["state"]))
    assert status == 503 and "does not answer as it should" in body and not thief.is_signed_in()
    used = Visitor(sso)
    at = sso.issuer.visit(used.begin(), "anna", used.origin)
    assert used.come_back(at)[0] == 200
    again = Visitor(sso)
    state = query(again.begin())["state"]
    assert again.come_back(with_query(at, state=state))[0] == 503 and not again.is_signed_in()


def test_what_the_provider_refuses_is_said(sso):
    visitor = Visitor(sso)
    state = query(visitor.begin())["state"]
    asked = urllib.parse.urlencode({
        "state": state, "iss": sso.issuer.url, "error": "access_denied<script>"})
    status, _, body = visitor.returns(f"/signin/return/acme?{asked}")
    assert status == 403 and "access_denied&lt;script&gt;" in body
    # An answer of another provider, or of one that does not say whose it is.
    for issuer in ("http://127.0.0.1:1", None):
        at = sso.issuer.visit(visitor.begin(), "anna", visitor.origin)
        fields = {**query(at), "iss": issuer}
        fields = {name: value for name, value in fields.items() if value}
        status, _, body = visitor.returns(f"/signin/return/acme?{urllib.parse.urlencode(fields)}")
        assert status == 403 and "not for this sign-in" in body
    status, _, body = visitor.get("/signin/sso?provider=Away")
    assert status == 503 and "does not answer as it should" in body
    assert visitor.get("/signin/sso?provider=Nobody")[0] == 404
    assert not visitor.is_signed_in()


def test_what_comes_from_another_provider_is_not_redeemed(sso):
    """As when a hostile provider leads a browser on to an honest one, which sends it back."""
    visitor = Visitor(sso)
    for other in ("annas", "claims", "nobody"):
        at = sso.issuer.visit(visitor.begin(), "anna", visitor.origin)
        status, _, body = visitor.returns(f"/signin/return/{other}?{urllib.parse.urlsplit(at).query}")
        assert status == 403 and "not for this sign-in" in body, other
    assert not visitor.is_signed_in()
    uris = {query(visitor.begin(name))["redirect_uri"] for name in ("Acme", "Annas")}
    assert len(uris) == 2


def test_the_role_decides_who_comes_in(sso):
    for name, opens in (("anna", True), ("bob", False)):
        visitor = Visitor(sso)
        status, _, body = visitor.sign_in(name, "Annas")
        assert (status == 200) == opens == visitor.is_signed_in(), body
    assert status == 403 and "Not authorized to perform" in body
    # A claim names the role, the first that lets the person in; the role must trust the provider.
    arns = [sso.account.arn("role", name) for name in (sso.annas, sso.reader)]
    for name, claims, opens in (("carl", arns[1], True), ("dora", arns, True),
                                ("emil", arns[0], False), ("fay", None, False),
                                ("gus", "arn:aws:iam::123456789012:role/none", False)):
        more = {"email": f"{name}@example.com"}
        sso.issuer.order("person", name=name, claims={**more, "dhow_role": claims})
        visitor = Visitor(sso)
        status, _, body = visitor.sign_in(name, "Claims")
        assert (status == 200) == opens == visitor.is_signed_in(), (name, body)
        if opens:
            assert f"{name}@example.com" in visitor.get("/sessions")[2]
    assert Visitor(sso).sign_in("anna", "Elliptic")[0] == 200


def test_a_session_ends_with_its_role_and_is_nobody_elses(sso):
    anna, again, bob = Visitor(sso), Visitor(sso), Visitor(sso)
    for visitor, name in ((anna, "anna"), (again, "anna"), (bob, "bob")):
        assert visitor.sign_in(name)[0] == 200
    # People see their own sessions, in whatever browser, and no others.
    ids = lambda visitor: set(re.findall(r'name="id" value="(\w+)"', visitor.get("/sessions")[2]))
    assert ids(anna) == ids(again) and not ids(anna) & ids(bob)
    hana = Visitor(sso)
    role = sso.account.role(allow("s3:ListAllMyBuckets", "*"),
                            trusts=trusts(sso.account, sso.issuer))
    sso.issuer.order("person", name="hana", claims={"dhow_role": sso.account.arn("role", role)})
    assert hana.sign_in("hana", "Claims")[0] == 200 and hana.is_signed_in()
    sso.account.iam.delete_role_policy(RoleName=role, PolicyName="own")
    sso.account.iam.delete_role(RoleName=role)
    assert not hana.is_signed_in() and anna.is_signed_in()


def test_nobody_is_led_away_after_a_single_sign_on(sso):
    for wanted, led in (("//evil.example", "/"), ("https://evil.example", "/"),
                        ("/\\evil.example", "/"), ("/signin/sso?provider=Acme", "/"),
                        ("/sessions", "/sessions")):
        visitor = Visitor(sso)
        _, headers, body = visitor.sign_in("anna", next=wanted)
        assert headers["refresh"].startswith("0; url=/signin/done?next=%2F"), wanted
        assert visitor.led == led, wanted
        assert "evil.example" not in body + str(headers)
    # Where the provider leads back to is the console's own address, whatever a request says.
    asked = query(Visitor(sso).begin())
    assert asked["redirect_uri"] == Raw(sso).origin + "/signin/return/acme"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert SECRET not in str(asked) and "client_secret" not in asked


def test_a_secret_that_others_may_read_is_not_used(sso, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    text = CONFIG.format(data=tmp_path / "data", issuer=sso.issuer.url)
    text += PROVIDER.format(name="Acme", issuer=sso.issuer.url, client="dhow", secret=secret,
                            role='role_claim = "x"')
    config = tmp_path / "dhow.toml"
    config.write_text(text)
    for mode, says in ((0o644, "chmod 600"), (0o600, None)):
        os.chmod(secret, mode)
        if says:
            done = subprocess.run([str(BIN), "serve", "--config", str(config)],
                                  capture_output=True, text=True, timeout=60)
            assert done.returncode != 0 and says in done.stderr and SECRET not in done.stderr
