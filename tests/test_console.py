"""The web console as people use it: a real browser, looked at after every step (consoles.py)."""

import hashlib
import os
import re
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect

from conftest import client_for
from consoles import CHROMIUM, WAIT_MS, tab
from fleet import eventually

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)


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
    # Nor does a browser at the host of a bucket: that is the bucket, as with S3.
    host = urllib.parse.urlsplit(cloud.endpoint)
    for path in ("/", "/?next=%2Fsessions"):
        request = urllib.request.Request(cloud.endpoint + path, headers={
            "Accept": "text/html", "Host": f"led-nowhere.localhost:{host.port}"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code in (403, 404) and b"<Error>" in refused.value.read()


def test_signing_in_and_out(browser, cloud):
    with tab(browser, cloud) as one:
        one.open("/b/somewhere?prefix=a%2F")
        assert "/signin?next=" in one.page.url
        sent = []
        one.page.on("request", lambda r: sent.append((r.url, r.headers, r.post_data or "")))
        one.sign_in(path="/sessions")
        one.look().see("this one")
        # Colours are chosen without leaving the page.
        one.page.click("details.who summary")
        one.page.get_by_role("button", name="Dark").click()
        expect(one.page.locator("html[data-theme=dark]")).to_be_attached(timeout=WAIT_MS)
        expect(one.page).to_have_url(one.origin + "/sessions")
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
        one.forgive(403).look()


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


def files_below(folder, names, size=64):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.sha256(name.encode()).digest() * (size // 32))


def uploaded(one, state="done"):
    one.page.wait_for_selector(f"#uploads[data-state={state}]", timeout=WAIT_MS)
    return one


def test_a_folder_of_300_files_is_uploaded_with_its_names(signed, s3, bucket, tmp_path):
    names = [f"album/{n % 5}/{n % 3}/a b+c%20#{n}.txt" for n in range(297)]
    names += ["album/ümlaut 😀.txt", "album/deep/1/2/3/4.txt", "album/empty-name&=?.txt"]
    files_below(tmp_path, names)
    signed.open(f"/b/{bucket}?prefix=in%2F")
    signed.page.locator("[data-upload][webkitdirectory]").set_input_files(tmp_path / "album")
    uploaded(signed).look(axe=False)
    there = set()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        there |= {found["Key"] for found in page["Contents"]}
    assert there == {f"in/{name}" for name in names}
    body = s3.get_object(Bucket=bucket, Key=f"in/{names[7]}")["Body"].read()
    assert body == (tmp_path / names[7]).read_bytes()
    signed.page.get_by_role("link", name="Show the new objects").click()
    signed.see("album/").look()


def large(tmp_path, mib):
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        for n in range(mib):
            file.write(hashlib.sha256(str(n).encode()).digest() * (32 << 10))
    return path


def digest(s3, bucket, key):
    found = hashlib.sha256()
    for piece in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
        found.update(piece)
    return found.hexdigest()


def test_a_large_upload_is_paused_and_goes_on_after_a_reload(signed, s3, bucket, tmp_path):
    path = large(tmp_path, 100)
    sent = []
    signed.page.on("requestfinished", lambda r: sent.append(r.url) if "partNumber" in r.url else None)
    signed.open(f"/b/{bucket}")
    # The third part is held, so that there is something to pause.
    held = []
    pattern = re.compile(r"partNumber=3&")
    signed.page.route(pattern, lambda route: held.append(route))
    signed.page.locator("[data-upload]").first.set_input_files(path)
    signed.page.wait_for_selector("#uploads li[data-parts='6']")
    signed.page.get_by_role("button", name="Pause").click()
    uploaded(signed, "paused")
    for route in held:
        route.abort()
    signed.page.unroute(pattern)
    there = len(s3.list_parts(Bucket=bucket, Key="large.bin", UploadId=s3.list_multipart_uploads(
        Bucket=bucket)["Uploads"][0]["UploadId"])["Parts"])
    assert there == 6
    signed.said.clear()
    signed.open(f"/b/{bucket}").see("Unfinished: large.bin")
    sent.clear()
    # What the region has is listed in pages, as of an upload with thousands of parts.
    listings = []

    def first_page(route):
        listings.append(route.request.url)
        answer = route.fetch()
        if "part-number-marker" in route.request.url:
            return route.fulfill(response=answer)
        body = re.sub(r"<Part>(?:(?!</Part>).)*<PartNumber>[4-7]<.*?</Part>", "", answer.text())
        body = re.sub(r"<NextPartNumberMarker>.*?</NextPartNumberMarker>", "", body)
        body = body.replace("<IsTruncated>false<", "<NextPartNumberMarker>3</NextPartNumberMarker>"
                            "<IsTruncated>true<")
        assert body.count("<Part>") == 2
        return route.fulfill(response=answer, body=body)

    lists = re.compile(r"large\.bin\?(?!.*partNumber).*uploadId=")
    signed.page.route(lists, lambda route: first_page(route) if route.request.method == "GET"
                      else route.continue_())
    signed.page.locator("[data-upload]").first.set_input_files(path)
    uploaded(signed).look(axe=False)
    signed.page.unroute(lists)
    assert len(listings) == 2
    parts = [url for url in sent if "partNumber" in url]
    assert len(parts) == 7 - there, "parts that were there were sent again"
    assert digest(s3, bucket, "large.bin") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_an_upload_goes_on_after_a_pause_and_a_cut_of_the_network(signed, s3, bucket, tmp_path):
    """`make soak` does so with 1 GiB."""
    path = large(tmp_path, int(os.environ.get("DHOW_UPLOAD_MIB", "64")))
    with open(path, "rb") as file:
        whole = hashlib.file_digest(file, "sha256").hexdigest()
    signed.open(f"/b/{bucket}")
    page, pattern = signed.page, re.compile(r"partNumber=3&")
    holding, held, failed = [True], [], []
    page.route(pattern, lambda route: held.append(route) if holding else route.continue_())
    page.on("requestfailed", lambda request: failed.append(request.failure or ""))
    page.locator("[data-upload]").first.set_input_files(path)
    page.wait_for_selector("#uploads li[data-parts='3']")
    page.get_by_role("button", name="Pause").click()
    uploaded(signed, "paused")
    with page.expect_request(pattern):
        page.get_by_role("button", name="Go on").click()
    # The network is gone, with a part on its way: it is sent again once the network is back.
    signed.context.set_offline(True)
    holding.clear()
    held[-1].abort()
    eventually(lambda: page.evaluate("1") and any("DISCONNECTED" in why for why in failed))
    signed.context.set_offline(False)
    page.wait_for_selector("#uploads[data-state=done]", timeout=20 * WAIT_MS)
    assert digest(s3, bucket, "large.bin") == whole
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    signed.said.clear()
    signed.look(axe=False)


def test_an_upload_is_aborted_at_the_server_too(signed, s3, bucket, tmp_path):
    path = large(tmp_path, 40)
    signed.open(f"/b/{bucket}")
    signed.page.route(re.compile("partNumber=2&"), lambda route: None)
    signed.page.locator("[data-upload]").first.set_input_files(path)
    signed.page.wait_for_selector("#uploads li[data-parts='2']")
    with signed.page.expect_response(lambda r: r.request.method == "DELETE") as ended:
        signed.page.get_by_role("button", name="Abort").click()
    assert ended.value.status == 204
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_what_fails_says_why(signed, s3, bucket, tmp_path):
    long = tmp_path / "name.txt"
    long.write_text("x")
    signed.open(f"/b/{bucket}?prefix=" + "p" * 1020)
    signed.page.locator("[data-upload]").first.set_input_files(long)
    uploaded(signed, "failed").see("A key has at most 1024 bytes.").look()


def test_deleting_shows_what_goes_and_does_no_more(signed, s3, bucket):
    for key in ("a/1", "a/2", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    signed.open(f"/b/{bucket}")
    signed.page.get_by_label("Choose a/").check()
    signed.page.get_by_label("Choose b", exact=True).check()
    signed.page.get_by_role("button", name="Delete 2 chosen").click()
    signed.see("Nothing brings this back").look()
    assert signed.page.locator("tbody tr").count() == 3
    # Something changes before it is confirmed.
    s3.put_object(Bucket=bucket, Key="a/3", Body=b"new")
    signed.page.fill("#name", bucket)
    signed.page.get_by_role("button", name="Delete 3 objects").click()
    signed.see("Something of this has changed").forgive(409).look()
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 5
    signed.page.fill("#name", "another name")
    signed.page.get_by_role("button", name="Delete 4 objects").click()
    signed.see("is not the bucket's").forgive(400)
    signed.page.fill("#name", bucket)
    signed.page.get_by_role("button", name="Delete 4 objects").click()
    signed.page.wait_for_url(re.compile(rf"/b/{bucket}$"))
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["c"]


def test_versions_come_back(signed, s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="note", Body=b"first")
    s3.put_object(Bucket=bucket, Key="note", Body=b"second")
    signed.open(f"/b/{bucket}/o?key=note").look()
    signed.page.get_by_role("button", name="Make current").click()
    expect(signed.page.locator("pre.preview")).to_have_text("first")
    signed.page.get_by_role("button", name="Delete", exact=True).click()
    signed.see("it can be undeleted").look()
    signed.page.get_by_label("Yes, delete what is listed above").check()
    signed.page.get_by_role("button", name="Delete 1 object").click()
    signed.see("This bucket is empty.")
    signed.open(f"/b/{bucket}?versions=1").see("delete marker").look()
    signed.page.get_by_role("link", name="note").first.click()
    signed.see("This object was deleted.").look()
    signed.page.get_by_role("button", name="Undelete").click()
    expect(signed.page.locator("pre.preview")).to_have_text("first")
    assert s3.get_object(Bucket=bucket, Key="note")["Body"].read() == b"first"


def test_a_link_to_share_is_for_one_object(signed, s3, bucket):
    s3.put_object(Bucket=bucket, Key="shared <x>.txt", Body=b"for you")
    signed.open(f"/b/{bucket}/o?key=shared%20%3Cx%3E.txt")
    signed.page.get_by_role("link", name="Share", exact=True).click()
    signed.look()
    signed.page.get_by_label("It works for").select_option("60")
    signed.page.get_by_role("button", name="Make a link").click()
    signed.see("The link works until").look()
    link = signed.page.locator("#link").input_value()
    assert "X-Amz-Expires=60&" in link
    with urllib.request.urlopen(link, timeout=30) as answer:
        assert answer.read() == b"for you"
        assert answer.headers["content-disposition"].startswith("attachment")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(link.replace("shared", "shored"), timeout=30)


def test_a_key_is_made_shown_once_and_disabled(signed, cloud):
    signed.open("/keys").look()
    signed.page.fill("#description", "<i>a program</i>")
    signed.page.get_by_role("button", name="Make a key").click()
    signed.see("is shown this once").look()
    access, secret = signed.page.locator("dl.facts dd code").all_inner_texts()
    with tab(signed.context.browser, cloud) as other:
        other.sign_in(access, secret)
        signed.page.get_by_role("link", name="I have kept it").click()
        row = signed.page.get_by_role("row").filter(has_text=access)
        expect(row.get_by_text("<i>a program</i>")).to_be_visible()
        assert secret not in signed.page.content()
        row.get_by_role("button", name="Disable").click()
        expect(row.get_by_text("disabled")).to_be_visible()
        other.page.goto(other.origin + "/sessions")
        assert "/signin" in other.page.url
    # It signed in once, and that was noted where the signature was verified.
    expect(row.get_by_role("cell").nth(3)).to_contain_text(re.compile(
        rf"20\d\d-.* UTC\s*{cloud.region}, s3"))
    row.get_by_role("button", name="Delete").click()
    signed.page.get_by_label("Yes, delete the key").check()
    signed.look().page.get_by_role("button", name="Delete the key").click()
    expect(signed.page.get_by_role("row").filter(has_text=access)).to_have_count(0)


def test_versions_are_kept_by_a_button(signed, s3, bucket):
    signed.open(f"/b/{bucket}/rules")
    signed.page.get_by_role("button", name="Keep versions").click()
    signed.see("stays as a version")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_a_bucket_is_made(signed, s3):
    signed.open("/new").look()
    signed.page.fill("#name", "made-in-the-console")
    signed.page.get_by_role("button", name="Create the bucket").click()
    signed.see("made-in-the-console").look()
    assert s3.head_bucket(Bucket="made-in-the-console")
    signed.page.get_by_role("link", name="made-in-the-console").click()
    signed.see("This bucket is empty.").look()


def test_metadata_and_tags_are_changed_and_the_rest_stays(signed, s3, bucket):
    key = "a b/ü.txt"
    s3.put_object(Bucket=bucket, Key=key, Body=b"ten bytes!", ContentType="text/plain",
                  CacheControl="no-cache", Metadata={"one": "1", "two": "2"},
                  Tagging="kind=old&keep=yes", ChecksumAlgorithm="SHA256")
    at = f"/b/{bucket}/o?key={urllib.parse.quote(key, safe='')}"
    signed.open(at).see("SHA-256").look_everywhere()

    def rows(form, *pairs):
        for at, (name, value) in enumerate(pairs, 1):
            form.get_by_label(f"Name {at}", exact=True).fill(name)
            form.get_by_label(f"Value {at}", exact=True).fill(value)
        return form

    tags = lambda: {tag["Key"]: tag["Value"]
                    for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}
    form = signed.page.locator("form[action$='/tags']")
    rows(form, ("kind", "new: a+b=c"), ("", "gone"), ("added", ""))
    with signed.page.expect_navigation():
        form.get_by_role("button", name="Save the tags").click()
    assert tags() == {"kind": "new: a+b=c", "added": ""}
    signed.page.get_by_role("link", name="Change the metadata").click()
    signed.page.wait_for_url("**/metadata?key=*")
    signed.look()
    signed.page.fill("#content-type", "text/x-changed")
    form = rows(signed.page.locator("form[action$='/metadata']"),
                ("one", "<b>changed</b>"), ("", ""), ("Three", "3"))
    form.get_by_role("button", name="Save the metadata").click()
    signed.see("text/x-changed").look()
    signed.see("<b>changed</b>")
    head = s3.head_object(Bucket=bucket, Key=key)
    assert head["Metadata"] == {"one": "<b>changed</b>", "three": "3"}
    assert (head["ContentType"], head["CacheControl"]) == ("text/x-changed", "no-cache")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"ten bytes!"
    assert tags() == {"kind": "new: a+b=c", "added": ""}
    # What came meanwhile is not written over, also if it has the same bytes.
    signed.open(at)
    form = rows(signed.page.locator("form[action$='/tags']"), ("mine", "1"))
    s3.put_object(Bucket=bucket, Key=key, Body=b"ten bytes!", Metadata={"theirs": "1"},
                  Tagging="theirs=1")
    form.get_by_role("button", name="Save the tags").click()
    signed.see("Something has changed").forgive(409).look()
    signed.open(f"/b/{bucket}/metadata?key={urllib.parse.quote(key, safe='')}")
    s3.put_object(Bucket=bucket, Key=key, Body=b"ten bytes!", Metadata={"theirs": "2"})
    signed.page.get_by_role("button", name="Save the metadata").click()
    signed.see("Something has changed").forgive(409)
    assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {"theirs": "2"}


@pytest.fixture
def own(cloud):
    """A key of an account of its own: jobs are listed by key, and other tests look at theirs."""
    account = cloud.cli_json("account", "create", "console-purges", "--json")
    return cloud.cli_json("key", "create", "--account", account["id"], "--json")


def test_all_versions_go_and_then_the_bucket(browser, cloud, own):
    s3, bucket = client_for(cloud, own["access_key"], own["secret_key"]), "purged-in-the-console"
    s3.create_bucket(Bucket=bucket)
    with tab(browser, cloud) as signed:
        signed.sign_in(own["access_key"], own["secret_key"])
        purge(signed, s3, bucket)


def purge(signed, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before versions")
    s3.put_object(Bucket=bucket, Key="old", Body=b"before versions")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for n in range(54):
        s3.put_object(Bucket=bucket, Key="k", Body=str(n).encode())
    for key in ("k", "k2"):
        s3.delete_object(Bucket=bucket, Key=key)
    versions = lambda: s3.list_object_versions(Bucket=bucket)
    signed.open(f"/b/{bucket}/o?key=k")
    rows = signed.page.locator("#versions tbody tr")
    expect(rows).to_have_count(50, timeout=WAIT_MS)
    signed.page.get_by_role("link", name="Older versions").click()
    expect(rows).to_have_count(6, timeout=WAIT_MS)
    assert signed.page.get_by_role("link", name="Older versions").count() == 0
    signed.look().page.get_by_role("link", name="Delete all versions").click()
    signed.see("Versions: 55").see("delete markers: 1").look()
    signed.page.fill("#name", "another")
    signed.page.get_by_role("button", name="Delete all versions").click()
    signed.see("is not the bucket's").forgive(400).look()
    assert len(versions()["Versions"]) == 56
    signed.page.fill("#name", bucket)
    signed.page.get_by_role("button", name="Delete all versions").click()
    signed.page.wait_for_url("**/jobs")
    # Also the one from before there were versions; and of no key that begins so.
    eventually(lambda: {one["Key"] for one in versions()["Versions"]} == {"old"})
    assert {one["Key"] for one in versions()["DeleteMarkers"]} == {"k2"}

    def delete():
        signed.open(f"/b/{bucket}/rules")
        signed.page.get_by_role("link", name="Delete the bucket").click()
        signed.page.wait_for_url("**/purge")
        signed.look(axe=False).page.fill("#name", bucket)
        signed.page.get_by_role("button", name="Delete the bucket").click()
        signed.page.wait_for_url("**/jobs")

    # While no new versions are kept, what is written has no id of its own, nor has its marker.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket, Key="null", Body=b"x")
    s3.put_object(Bucket=bucket, Key="gone", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="gone")
    assert [one["VersionId"] for one in versions()["Versions"]] == ["null", "null"]
    delete()
    eventually(lambda: bucket not in {one["Name"] for one in s3.list_buckets()["Buckets"]})
    signed.look()


def test_the_other_rules_of_a_bucket_are_set(signed, s3, bucket):
    to = f"{bucket}-copies"
    s3.create_bucket(Bucket=to)
    for one in (bucket, to):
        s3.put_bucket_versioning(Bucket=one, VersioningConfiguration={"Status": "Enabled"})
    signed.open(f"/b/{bucket}/rules")
    text = signed.page.locator("#document-replication")
    save = signed.page.locator("#replication button")
    text.fill("<ReplicationConfiguration><Rule/></ReplicationConfiguration>")
    save.click()
    expect(signed.page.locator("#replication [role=alert]")).to_be_visible(timeout=WAIT_MS)
    signed.forgive(400)
    example = signed.page.locator("#replication pre").text_content()
    text.fill(example.replace("another-bucket", to))
    save.click()
    signed.see("Saved.").look_everywhere()
    [rule] = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
    assert rule["Destination"]["Bucket"] == f"arn:aws:s3:::{to}" and rule["Status"] == "Enabled"
    text.fill("")
    save.click()
    expect(text).to_have_value("", timeout=WAIT_MS)
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_bucket_replication(Bucket=bucket)
    tags = signed.page.locator("#tags")
    tags.get_by_label("Name 1", exact=True).fill("team")
    tags.get_by_label("Value 1", exact=True).fill("a + b")
    tags.get_by_role("button").click()
    expect(tags.get_by_label("Name 1", exact=True)).to_have_value("team", timeout=WAIT_MS)
    owned = signed.page.locator("#ownership")
    owned.get_by_label("Whoever writes an object owns it", exact=True).check()
    owned.get_by_role("button").click()
    signed.see("Saved.")
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "team", "Value": "a + b"}]
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "ObjectWriter"}]
