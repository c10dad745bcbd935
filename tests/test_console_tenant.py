"""Pages of the console for who has buckets: lists of access, public access, uploads that are not
finished, links to share and sessions. All in an account of their own."""

import pytest
from playwright.sync_api import expect

from conftest import client_for
from consoles import CHROMIUM, WAIT_MS, tab
from fleet import eventually

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
BUCKET = "console-tenants-own"
PART = 5 << 20


@pytest.fixture(scope="module")
def tenant(cloud):
    account = cloud.cli_json("account", "create", "console-tenants", "--json")
    key = cloud.cli_json("key", "create", "--account", account["id"], "--admin", "--json")
    return account["id"], key["access_key"], key["secret_key"]


@pytest.fixture(scope="module")
def own(cloud, tenant):
    s3 = client_for(cloud, *tenant[1:])
    s3.create_bucket(Bucket=BUCKET)
    return s3


@pytest.fixture(scope="module")
def signed(browser, cloud, tenant, own):
    with tab(browser, cloud) as one:
        yield one.sign_in(*tenant[1:])


def press(one, name):
    with one.page.expect_navigation():
        one.page.get_by_role("button", name=name, exact=True).click()


def test_a_list_is_shown_in_words_and_changed_where_lists_count(signed, own, cloud):
    own.put_object(Bucket=BUCKET, Key="list", Body=b"seen by all")
    signed.open(f"/b/{BUCKET}/acl").see("Lists do not count in this bucket").look_everywhere()
    assert signed.page.get_by_role("button", name="Replace the list").count() == 0
    own.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls={
        "Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    signed.open(f"/b/{BUCKET}/o?key=list")
    signed.page.get_by_role("link", name="Access", exact=True).click()
    signed.see("the owner's account").look_everywhere()
    # What lets everybody in asks for the bucket's name, and the public access block refuses it.
    reads = "Anyone on the internet reads it, without signing in"
    signed.page.get_by_label(reads).check()
    press(signed, "Replace the list")
    signed.see("Nothing was changed").forgive(400).look()
    signed.page.get_by_label(reads).check()
    signed.page.fill("#name-canned", BUCKET)
    press(signed, "Replace the list")
    signed.see("BlockPublicAcls").forgive(403).look(axe=False)
    own.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration={})
    signed.open(f"/b/{BUCKET}/acl?key=list")
    signed.page.get_by_label(reads).check()
    signed.page.fill("#name-canned", BUCKET)
    press(signed, "Replace the list")
    signed.see("anyone on the internet, without signing in").look()
    grants = lambda: {one["Permission"] for one in own.get_object_acl(
        Bucket=BUCKET, Key="list")["Grants"]}
    assert grants() == {"FULL_CONTROL", "READ"}
    row = signed.page.get_by_role("row").filter(has_text="anyone on the internet")
    with signed.page.expect_navigation():
        row.get_by_role("button", name="Take out").click()
    assert grants() == {"FULL_CONTROL"}
    # An account by its canonical id; a list that changed meanwhile is not overwritten.
    canonical = own.list_buckets()["Owner"]["ID"]
    signed.page.fill("#id", canonical)
    signed.page.locator("#permission").select_option("READ_ACP")
    own.put_object_acl(Bucket=BUCKET, Key="list", ACL="authenticated-read")
    press(signed, "Put into the list")
    signed.see("has changed since you looked at it").forgive(409)
    own.put_object_acl(Bucket=BUCKET, Key="list", ACL="private")
    signed.open(f"/b/{BUCKET}/acl?key=list")
    signed.page.fill("#id", canonical)
    signed.page.locator("#permission").select_option("READ_ACP")
    press(signed, "Put into the list")
    assert grants() == {"FULL_CONTROL", "READ_ACP"}
    # The list of a bucket that lets strangers in, and what the rules say of it.
    signed.open(f"/b/{BUCKET}/rules").see("This bucket is not public").look(axe=False)
    signed.open(f"/b/{BUCKET}/acl")
    signed.page.get_by_label(reads).check()
    signed.page.fill("#name-canned", BUCKET)
    press(signed, "Replace the list")
    signed.open(f"/b/{BUCKET}/rules").see("This bucket is public").look()
    signed.open(f"/b/{BUCKET}/acl")
    signed.page.get_by_label("Only the owner's account").check()
    press(signed, "Replace the list")
    assert len(own.get_bucket_acl(Bucket=BUCKET)["Grants"]) == 1


def test_the_block_of_the_account_is_set_and_turned_off_with_a_tick(signed, own, tenant, cloud):
    signed.open("/public").look_everywhere()
    signed.see(own.list_buckets()["Owner"]["ID"])
    ignores = signed.page.get_by_label("Ignore ACLs that let everybody in")
    ignores.check()
    press(signed, "Save public access")
    signed.see("Saved.")
    expect(ignores).to_be_checked(timeout=WAIT_MS)
    shown = lambda: cloud.cli("account", "access", tenant[0]).stdout
    assert "IgnorePublicAcls" in shown()
    ignores.uncheck()
    press(signed, "Save public access")
    signed.see("Nothing was saved").forgive(400).look()
    assert "IgnorePublicAcls" in shown()
    signed.page.get_by_label("Buckets and objects may become public by this").check()
    press(signed, "Save public access")
    signed.see("Saved.")
    assert "IgnorePublicAcls" not in shown()


def test_unfinished_uploads_are_listed_and_aborted(signed, own):
    begin = lambda key: own.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    left = lambda: [one["Key"] for one in own.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
    hostile = "<img src=x onerror=window.hit=1>/\u202ea"
    for key in ("one", "two", hostile):
        upload = begin(key)
    own.upload_part(Bucket=BUCKET, Key=hostile, UploadId=upload, PartNumber=1, Body=bytes(PART))
    signed.open(f"/b/{BUCKET}/uploads").see("5.00 MiB").look_everywhere()
    assert signed.page.evaluate("window.hit") is None
    row = signed.page.get_by_role("row").filter(has=signed.page.get_by_text("one", exact=True))
    with signed.page.expect_navigation():
        row.get_by_role("button", name="Abort").click()
    signed.see("1 upload was aborted.")
    assert len(left()) == 2
    signed.page.fill("#name", "another")
    begin("after the page")
    press(signed, "Abort all uploads")
    signed.see("is not the bucket's").forgive(400)
    assert len(left()) == 3
    signed.page.fill("#name", BUCKET)
    press(signed, "Abort all uploads")
    signed.see("3 uploads were aborted.").see("No upload is unfinished.").look()
    assert left() == []


def test_links_that_were_made_are_listed_until_their_key_may_not_read(signed, own, browser, cloud,
                                                                       tenant):
    own.put_object(Bucket=BUCKET, Key="shared/a b.txt", Body=b"x")
    signed.open("/shares").see("No link that you made here works now.").look()
    signed.open(f"/b/{BUCKET}/share?key=shared%2Fa%20b.txt")
    press(signed, "Make a link")
    url = signed.page.input_value("#link")
    signed.page.get_by_role("link", name="All links").click()
    expect(signed.page.get_by_role("row").filter(has_text="shared/a b.txt")).to_contain_text(
        tenant[1], timeout=WAIT_MS)
    signed.look_everywhere()
    assert url not in signed.page.content() and "X-Amz-Signature" not in signed.page.content()
    # Another key of the account did not make it.
    other = cloud.cli_json("key", "create", "--account", tenant[0], "--json")
    with tab(browser, cloud) as one:
        one.sign_in(other["access_key"], other["secret_key"], path="/shares")
        one.see("No link that you made here works now.")
    own.delete_object(Bucket=BUCKET, Key="shared/a b.txt")
    signed.open("/shares").see("No link that you made here works now.")


def test_all_other_sessions_of_a_key_are_ended(signed, browser, cloud, tenant):
    with tab(browser, cloud) as one:
        one.sign_in(*tenant[1:])
        signed.open("/sessions").look_everywhere()
        rows = signed.page.locator("tbody tr")
        expect(rows).to_have_count(2, timeout=WAIT_MS)
        press(signed, "End all other sessions")
        expect(rows).to_have_count(1, timeout=WAIT_MS)
        expect(rows).to_contain_text("this one")
        one.page.goto(one.origin + "/sessions")
        assert "/signin" in one.page.url
