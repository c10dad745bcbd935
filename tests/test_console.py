"""The web console as people use it: a real browser, looked at after every step (consoles.py)."""

import hashlib
import re
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

from consoles import CHROMIUM, WAIT_MS, tab

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def signed(browser, cloud):
    with tab(browser, cloud) as one:
        yield one.sign_in()


def test_a_browser_that_opens_the_endpoint_is_led_to_the_console(browser, cloud):
    with tab(browser, cloud) as one:
        one.page.goto(cloud.endpoint + "/")
        expect(one.page).to_have_url(f"{one.origin}/signin")
        one.look()
    # A client of S3 sees no change.
    for accept in ("*/*", "application/xml"):
        request = urllib.request.Request(cloud.endpoint + "/", headers={"Accept": accept})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 403 and b"AccessDenied" in refused.value.read()


def test_signing_in_and_out(browser, cloud):
    with tab(browser, cloud) as one:
        one.open("/b/somewhere?prefix=a%2F")
        assert "/signin?next=" in one.page.url
        sent = []
        one.page.on("request", lambda r: sent.append((r.url, r.headers, r.post_data or "")))
        one.sign_in(path="/sessions")
        one.look().see("this one")
        assert not [s for s in sent if cloud.secret_key in repr(s)], "the secret was sent"
        cookie = one.cookie()
        assert cookie["httpOnly"] and cookie["secure"] and cookie["sameSite"] == "Strict"
        one.page.click("details.who summary")
        one.page.get_by_role("button", name="Sign out").click()
        one.page.wait_for_selector("#signin")
        one.look()
        # The session is over at the server too, for whoever kept the cookie.
        one.context.add_cookies([{**{k: cookie[k] for k in ("name", "value", "path", "domain")},
                                  "secure": True}])
        one.page.goto(one.origin + "/sessions")
        assert "/signin" in one.page.url


def test_a_wrong_secret_is_refused_and_says_so(browser, cloud):
    with tab(browser, cloud) as one:
        one.open("/signin")
        one.page.fill("#access", cloud.access_key)
        one.page.fill("#secret", "not the secret")
        one.page.click("#signin button")
        one.see("The access key or the secret key is wrong")
        # The browser reports that the sign-in was not answered with 200.
        one.said = [said for said in one.said if "status of 403" not in said]
        one.look()


def test_a_session_ends_with_its_key(browser, cloud):
    key = cloud.cli_json("key", "create", "--account", "root", "--json")
    with tab(browser, cloud) as one:
        one.sign_in(key["access_key"], key["secret_key"])
        cloud.cli("key", "disable", key["access_key"])
        one.page.goto(one.origin + "/sessions")
        expect(one.page).to_have_url(re.compile("/signin"))


# What a user may put into a name, and what must be seen of it.
HOSTILE = [
    "<script>window.hit=1</script>",
    "\"><img src=x onerror=window.hit=1>",
    "</title><script>window.hit=1</script>",
    "{{7*7}}${7*7}",
    "javascript:window.hit=1",
    "=HYPERLINK(1)",
    "a%2Fb+c#d?e&f",
    "späte Größe 😀",
    "a\u202egnp.exe",
]


def shown(name):
    return re.sub("[\u202e]", lambda m: f"⟨U+{ord(m[0]):04X}⟩", name)


def test_hostile_names_are_seen_and_do_nothing(signed, s3, bucket):
    for name in HOSTILE:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode(), Metadata={"m": "<b>x</b>"},
                      ContentType="text/html")
        s3.put_object(Bucket=bucket, Key=f"below/{name}/x", Body=b"x")
    signed.open(f"/b/{bucket}").look()
    for name in HOSTILE:
        row = signed.page.get_by_role("row").filter(has_text=shown(name).split("/")[0]).first
        expect(row).to_be_visible(timeout=WAIT_MS)
    for name in HOSTILE:
        signed.open(f"/b/{bucket}/o?key=" + urllib.parse.quote(name, safe=""))
        signed.look(axe=name == HOSTILE[0])
        expect(signed.page.locator("pre.preview")).to_have_text(name)
        expect(signed.page.get_by_text("<b>x</b>")).to_be_visible()
        assert signed.page.evaluate("window.hit") is None
        signed.open(f"/b/{bucket}?prefix=" + urllib.parse.quote(f"below/{name}/", safe=""))
        signed.look(axe=False)
        assert signed.page.evaluate("window.hit") is None


def test_a_download_has_the_bytes_and_a_name_that_is_no_path(signed, s3, bucket):
    body = hashlib.sha512(b"x").digest() * 1000
    s3.put_object(Bucket=bucket, Key="a/../b\\c<x>.bin", Body=body, ContentType="text/html")
    signed.open(f"/b/{bucket}/o?key=" + urllib.parse.quote("a/../b\\c<x>.bin", safe=""))
    with signed.page.expect_download() as waiting:
        signed.page.get_by_role("link", name="Download").click()
    with open(waiting.value.path(), "rb") as file:
        assert file.read() == body
    assert "/" not in waiting.value.suggested_filename
    signed.look()


def test_pages_of_a_large_listing_go_on(signed, s3, bucket):
    for n in range(60):
        s3.put_object(Bucket=bucket, Key=f"key-{n:03}", Body=b"")
    signed.open(f"/b/{bucket}?limit=50").look()
    assert signed.page.locator("tbody tr").count() == 50
    signed.page.get_by_role("link", name="Next page").click()
    signed.see("key-059").look()
    assert signed.page.locator("tbody tr").count() == 10


def test_another_accounts_bucket_is_refused(signed, cloud, s3, bucket):
    account = cloud.cli_json("account", "create", f"of-{bucket}", "--json")
    key = cloud.cli_json("key", "create", "--account", account["id"], "--json")
    s3.put_object(Bucket=bucket, Key="canary-key", Body=b"canary")
    with tab(signed.context.browser, cloud) as other:
        other.sign_in(key["access_key"], key["secret_key"])
        for page in ("", "/rules", "/o?key=canary-key", "/share?key=canary-key"):
            answer = other.page.goto(f"{other.origin}/b/{bucket}{page}")
            assert answer.status == 403, page
            assert b"canary</" not in answer.body()
        other.page.goto(other.origin + "/")
        expect(other.page.get_by_text("No bucket yet.")).to_be_visible()
