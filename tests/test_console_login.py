"""Signing in to the console by a link of `dhow console login`."""

import json
import os
import re
import urllib.parse

import boto3
import pytest
from playwright.sync_api import expect

from consoles import CHROMIUM, WAIT_MS, tab
from dhow import Dhow
from fleet import eventually
from test_console_security import Raw

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)


def run(cloud, *args, key=None, check=True, **env):
    """`dhow console login`, with a key of its own where one is given."""
    before = cloud.env
    held = key and {"AWS_ACCESS_KEY_ID": key["access_key"],
                    "AWS_SECRET_ACCESS_KEY": key["secret_key"]}
    cloud.env = {**(before or os.environ), **(held or {}), **env}
    try:
        return cloud.cli("console", "login", *args, check=check)
    finally:
        cloud.env = before


def link(cloud, key=None):
    args = ["--url", cloud.info["console"]] if key else []
    made = run(cloud, *args, key=key)
    assert "works once" in made.stderr
    return made.stdout.strip()


def path_of(link):
    parts = urllib.parse.urlsplit(link)
    return f"{parts.path}?{parts.query}"


def code_of(link):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["code"][0]


@pytest.fixture(scope="module")
def tenant(cloud):
    account = cloud.cli_json("account", "create", "login-tenant", "--json")
    return cloud.cli_json("key", "create", "--account", account["id"], "--json")


def test_sign_ins_are_in_the_audit_log_in_few_entries(own_cloud):
    cloud = own_cloud.start()
    raw = Raw(cloud)
    for _ in range(3):
        signed = raw.signed(raw.challenge(), secret_key="wrong")
        assert raw.post("/-/session", headers=signed)[0] == 403
    raw.sign_in()

    def said():
        """All of it, in however many entries."""
        entries = [one for one in cloud.cli_json("audit", "show", "--json")
                   if one["action"] == "console.sign_ins"]
        assert {one["actor"] for one in entries} <= {f"region {cloud.region}"}
        told = [json.loads(one["detail"]) for one in entries]
        came = [one for each in told for one in each["signed_in"]]
        return came and (came, sum(each["refused"] for each in told), told)

    # Failures alone wait; they come with who signs in.
    (one,), refused, told = eventually(said)
    assert refused == 3 and told[0]["refused_from"] == {"127.0.0.0/24": 3}
    accounts = {one["id"] for one in cloud.cli_json("account", "list", "--json")}
    assert (one["how"], one["key"]) == ("key", cloud.access_key) and one["account"] in accounts
    assert one["network"] == "127.0.0.0/24" and "127.0.0.1" not in str(told)
    # What waits is written when the region stops.
    signed = raw.signed(raw.challenge(), secret_key="wrong")
    assert raw.post("/-/session", headers=signed)[0] == 403
    assert cloud.stop() == 0
    cloud.start()
    assert said()[1] == 4


def test_a_link_signs_a_browser_in_once(browser, cloud, tenant):
    made = link(cloud, tenant)
    with tab(browser, cloud) as one, tab(browser, cloud) as late:
        sent = []
        one.page.on("request", lambda r: sent.append((r.url, r.headers, r.post_data or "")))
        one.open(path_of(made)).look()
        one.see("login-tenant").see(tenant["access_key"])
        # Looking is not opening: something that reads links first takes nothing away.
        one.open(path_of(made))
        one.page.get_by_role("button", name="Sign in").click()
        one.page.wait_for_selector("header.top")
        expect(one.page).to_have_url(one.origin + "/")
        one.open("/sessions").look().see("this one")
        assert not [s for s in sent if tenant["secret_key"] in repr(s)], "the secret was sent"
        cookie = one.cookie()
        assert cookie["httpOnly"] and cookie["secure"] and cookie["sameSite"] == "Strict"
        late.open(path_of(made), status=404).look().see("This link was used already")


def test_a_browser_that_is_signed_in_is_asked_first(browser, cloud, tenant):
    with tab(browser, cloud) as one:
        one.sign_in()
        before = one.cookie()["value"]
        one.open(path_of(link(cloud, tenant))).look()
        one.see("If this browser is signed in already, that session ends.")
        one.see("Whoever sent you this link otherwise")
        assert one.cookie()["value"] == before
        one.page.locator("main").get_by_role("button", name="Sign in").click()
        expect(one.page).to_have_url(one.origin + "/", timeout=WAIT_MS)
        assert one.cookie()["value"] != before
        # The session that was there is over at the server, too.
        old = Raw(cloud)
        old.cookie = f"__Host-dhow-{cloud.region}={before}"
        assert old.ask("GET", "/sessions")[0] == 303


def test_the_key_of_the_cloud_that_runs_here_is_the_default(cloud):
    raw = Raw(cloud)
    status, _, body = raw.ask("GET", path_of(link(cloud)))
    assert status == 200 and cloud.access_key in body


def test_a_user_signs_in_by_a_link(cloud, tenant):
    iam = boto3.client("iam", endpoint_url=cloud.endpoint + "/-/iam", region_name=cloud.region,
                       aws_access_key_id=tenant["access_key"],
                       aws_secret_access_key=tenant["secret_key"])
    iam.create_user(UserName="login-anna")
    made = iam.create_access_key(UserName="login-anna")["AccessKey"]
    key = {"access_key": made["AccessKeyId"], "secret_key": made["SecretAccessKey"]}
    raw = Raw(cloud)
    status, headers, _ = raw.post("/enter", {"code": code_of(link(cloud, key))})
    assert status == 303 and headers["location"] == "/"
    raw.cookie = headers["set-cookie"].split(";")[0]
    assert raw.ask("GET", "/sessions")[0] == 200


def test_a_link_of_a_key_that_opens_nothing_any_more_is_gone(cloud, tenant):
    raw = Raw(cloud)
    account = cloud.cli_json("account", "create", "login-ended", "--json")["id"]
    key = cloud.cli_json("key", "create", "--account", account, "--json")
    made = code_of(link(cloud, key))
    cloud.cli("key", "disable", key["access_key"])
    status, headers, body = raw.post("/enter", {"code": made})
    assert status == 404 and "set-cookie" not in headers and "Make another one" in body
    # It stays gone.
    cloud.cli("key", "enable", key["access_key"])
    assert raw.post("/enter", {"code": made})[0] == 404
    # Another key of the same id did not ask for it.
    made = code_of(link(cloud, key))
    cloud.cli("key", "delete", key["access_key"])
    before = cloud.env
    cloud.env = {**(before or os.environ), "DHOW_SECRET_KEY": "another-of-the-same-id-1"}
    try:
        cloud.cli("key", "create", "--account", account, "--access-key", key["access_key"])
    finally:
        cloud.env = before
    assert raw.post("/enter", {"code": made})[0] == 404
    # Nor does an account that is suspended come in.
    made = code_of(link(cloud, tenant))
    other = cloud.cli_json("account", "create", "login-suspended", "--json")["id"]
    of_other = cloud.cli_json("key", "create", "--account", other, "--json")
    suspended = code_of(link(cloud, of_other))
    cloud.cli("account", "suspend", other)
    assert raw.post("/enter", {"code": suspended})[0] == 404
    assert raw.post("/enter", {"code": made})[0] == 303


def test_a_link_is_made_by_a_signature_for_it_alone(cloud):
    raw = Raw(cloud)

    def asked(path, headers):
        status, answered, body = raw.post(path, headers=headers)
        assert "set-cookie" not in answered or status == 200
        return status, body

    # A signature for a session is none for a link, nor the reverse.
    assert asked("/-/link", raw.signed(raw.challenge()))[0] == 403
    assert asked("/-/session", raw.signed(raw.challenge(), path="/-/link"))[0] == 403
    good = raw.signed(raw.challenge(), path="/-/link")
    status, body = asked("/-/link", good)
    assert status == 200 and re.search(r"/enter\?code=[0-9a-f]{64}", body)
    assert asked("/-/link", good)[0] == 403, "replayed"
    assert asked("/-/link", raw.signed("0" * 64, path="/-/link"))[0] == 403, "never given"
    # No page of another origin asks for one, or opens one.
    fresh = raw.signed(raw.challenge(), path="/-/link")
    assert raw.ask("POST", "/-/link", b"", {**fresh, "Origin": "http://evil.example"})[0] == 403
    form = urllib.parse.urlencode({"code": code_of(link(cloud))}).encode()
    for origin in ({}, {"Origin": "null"}, {"Origin": "http://evil.example"}):
        assert raw.ask("POST", "/enter", form, origin)[0] == 403
    assert raw.ask("POST", "/enter", form, {"Origin": raw.origin})[0] == 303
    for bad in ("", "0" * 64, "x" * 5000, "\u202e"):
        assert raw.post("/enter", {"code": bad})[0] == 404


def test_what_is_wrong_is_said(cloud, tmp_path, tenant):
    def told(*args, **more):
        done = run(cloud, *args, check=False, **more)
        assert done.returncode != 0
        return done.stderr

    wrong = {**tenant, "secret_key": "wrong"}
    console = cloud.info["console"]
    assert "secret key is wrong" in told("--url", console, key=wrong)
    assert "https://host" in told("--url", "console.example", key=tenant)
    # The S3 endpoint is no console.
    assert told("--url", cloud.endpoint, key=tenant)
    assert "does not answer" in told("--url", "http://127.0.0.1:1", key=tenant)
    profiles = tmp_path / "profiles.toml"
    text = (f'[acme]\nendpoint = "{cloud.info["admin"]}"\nregion = "{cloud.region}"\n'
            f'access_key = "{tenant["access_key"]}"\nsecret_key = "{tenant["secret_key"]}"\n')
    profiles.write_text(text)
    profiles.chmod(0o600)
    held = {"DHOW_PROFILES": str(profiles)}
    assert "names no console" in told("--profile", "acme", **held)
    profiles.write_text(f'{text}console = "{console}"\n')
    made = run(cloud, "--profile", "acme", **held)
    assert made.stdout.startswith(f"{console}/enter?code=")


def test_a_link_over_tls_of_the_clouds_own(tmp_path):
    server = Dhow(tmp_path / "data", args=["--tls"]).start()
    try:
        made = server.cli("console", "login").stdout.strip()
        assert made.startswith("https://")
    finally:
        server.stop()
