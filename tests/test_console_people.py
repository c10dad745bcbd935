"""The console's pages for policies, users, groups, roles and the simulator: in a real browser, looked
at after every step, and compared with what boto3 sees."""

import json
import re
import urllib.parse

import boto3
import pytest
from playwright.sync_api import expect, sync_playwright

from consoles import CHROMIUM, WAIT_MS, tab
from test_console_security import Raw

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)

# What a user may put into a name, and what must be seen of it.
HOSTILE = [
    "<script>window.hit=1</script>",
    "\"><img src=x onerror=window.hit=1>",
    "</title></textarea><script>window.hit=1</script>",
    "{{7*7}}${7*7}",
    "javascript:window.hit=1",
    "a\u202egnp.exe",
]


def shown(name):
    return re.sub("[\u202e]", lambda m: f"⟨U+{ord(m[0]):04X}⟩", name)


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


@pytest.fixture(scope="module")
def iam(cloud):
    return iam_of(cloud, cloud.access_key, cloud.secret_key)


def iam_of(cloud, access_key, secret_key):
    return boto3.client("iam", endpoint_url=cloud.endpoint + "/-/iam", region_name=cloud.region,
                        aws_access_key_id=access_key, aws_secret_access_key=secret_key)


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def reads(bucket):
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}


def at(path, **query):
    return path + "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)


def press(one, name):
    one.page.get_by_role("button", name=name, exact=True).click()
    return one


def follow(one, name):
    one.page.get_by_role("link", name=name, exact=True).click()
    return one


# Policies of buckets


def test_a_bucket_policy_is_written_checked_shown_and_saved(signed, s3, bucket):
    signed.open(f"/b/{bucket}/policy").look().see("no policy")
    signed.page.fill(
        "#document",
        '{\n "Version": "2012-10-17",\n "Statement": [\n  {"Effect": "Alow"}\n ]\n}')
    press(signed, "Check it and show what changes")
    signed.see("Line 4, column").forgive(400).look()
    expect(signed.page.locator("pre.lines .here").first).to_contain_text('"Alow"')
    # What was typed is still there.
    expect(signed.page.locator("#document")).to_have_value(re.compile("Alow"))
    follow(signed, "Only encrypted connections")
    signed.look()
    press(signed, "Check it and show what changes")
    signed.look().see("Lines that go: 0")
    expect(signed.page.locator("pre.diff ins").nth(5)).to_contain_text('"Deny"')
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_bucket_policy(Bucket=bucket)
    press(signed, "Save the policy")
    # It refuses clear text from now on, but its account may always read and replace it.
    signed.see("Saved.").look()
    expect(signed.page.locator("#document")).to_have_value(re.compile("OnlyEncrypted"))
    saved = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert saved["Statement"][0]["Sid"] == "OnlyEncrypted"


def test_what_boto3_wrote_is_edited_and_deleted(signed, s3, bucket):
    user = {"AWS": f"arn:aws:iam::{signed_account(s3)}:root"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(
        {"Sid": "First", "Principal": user, **reads(bucket)}))
    signed.open(f"/b/{bucket}/policy").look()
    text = signed.page.locator("#document").input_value()
    assert text.splitlines()[1].strip() == '"Version": "2012-10-17",', "the order is kept"
    signed.page.fill("#document", text.replace("First", "Second"))
    press(signed, "Check it and show what changes")
    expect(signed.page.locator("pre.diff del")).to_have_text(re.compile('- .*"Sid": "First"'))
    expect(signed.page.locator("pre.diff ins")).to_have_text(re.compile('\\+ .*"Sid": "Second"'))
    press(signed, "Go on editing")
    expect(signed.page.locator("#document")).to_have_value(re.compile("Second"))
    press(signed.look(), "Check it and show what changes")
    press(signed, "Save the policy")
    signed.see("Saved.")
    assert "Second" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    press(signed, "Delete the policy")
    signed.look().page.get_by_label("Yes, delete this policy").check()
    press(signed, "Delete the policy")
    signed.see("no policy").look()
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)


def signed_account(s3):
    """The number of the account, as IAM names it."""
    url = urllib.parse.urlsplit(s3.meta.endpoint_url)
    credentials = s3._request_signer._credentials
    iam = boto3.client("iam", endpoint_url=f"{url.scheme}://{url.netloc}/-/iam",
                       region_name=s3.meta.region_name,
                       aws_access_key_id=credentials.access_key,
                       aws_secret_access_key=credentials.secret_key)
    return iam.get_user()["User"]["Arn"].split(":")[4]


def test_a_public_policy_is_refused_by_the_block_and_else_asks_for_the_name(signed, s3, bucket):
    signed.open(at(f"/b/{bucket}/policy", start="public"))
    press(signed, "Check it and show what changes")
    signed.look().see("It cannot be saved so.")
    assert signed.page.get_by_role("button", name="Save the policy").count() == 0
    s3.delete_public_access_block(Bucket=bucket)
    signed.open(at(f"/b/{bucket}/policy", start="public"))
    press(signed, "Check it and show what changes")
    signed.look().see("everybody on the network")
    signed.page.fill("#typed", "another")
    press(signed, "Save the policy")
    signed.see("not the bucket's").forgive(400).look()
    signed.page.fill("#typed", bucket)
    press(signed, "Save the policy")
    signed.see("Saved.").see("Everybody on the network")
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]


def test_a_policy_that_changed_since_it_was_shown_is_not_overwritten(cloud, s3, bucket):
    raw = Raw(cloud).sign_in()
    own = {"AWS": f"arn:aws:iam::{signed_account(s3)}:root"}
    text = document({"Sid": "Mine", "Principal": own, **reads(bucket)})

    def preview():
        page = f"/b/{bucket}/policy/preview"
        token = raw.token(f"/b/{bucket}/policy", page)
        status, _, body = raw.post(page, {"csrf": token, "document": text})
        assert status == 200, body
        form = body[body.index(f'action="/b/{bucket}/policy/save"'):]
        return {name: re.search(rf'name="{name}" value="([^"]*)"', form)[1]
                for name in ("csrf", "seen")}

    fields = preview()
    save = f"/b/{bucket}/policy/save"
    other = document({"Sid": "Theirs", "Principal": own, **reads(bucket)})
    s3.put_bucket_policy(Bucket=bucket, Policy=other)
    for seen in (fields["seen"], "", "0" * 64):
        status, _, body = raw.post(save, {**fields, "seen": seen, "document": text})
        assert status == 409 and "has changed since" in body and "Theirs" in body, status
    assert "Theirs" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    # With the new preview it is saved.
    assert raw.post(save, {**preview(), "document": text})[0] == 303
    assert "Mine" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    # Deleting asks the same.
    gone = f"/b/{bucket}/policy/delete"
    token = raw.token(f"/b/{bucket}/policy", gone)
    status, _, body = raw.post(gone, {"csrf": token, "sure": "1", "seen": fields["seen"]})
    assert status == 409 and "Nothing was deleted" in body
    assert raw.post(gone, {"csrf": token, "sure": "1"})[0] == 200, "it was not shown yet"
    assert "Mine" in s3.get_bucket_policy(Bucket=bucket)["Policy"]


def test_texts_of_policies_are_seen_and_do_nothing(signed, s3, bucket):
    own = {"AWS": f"arn:aws:iam::{signed_account(s3)}:root"}
    for name in HOSTILE:
        path = {"Sid": "x", "Principal": own, "Effect": "Allow", "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/{name.replace('$', '')}"}
        signed.open(f"/b/{bucket}/policy")
        signed.page.fill("#document", json.dumps({"Version": "2012-10-17", "Id": name}))
        press(signed, "Check it and show what changes")
        expect(signed.page.locator("#problem")).to_be_visible(timeout=WAIT_MS)
        signed.forgive(400).look(axe=False)
        assert signed.page.evaluate("window.hit") is None
        signed.page.fill("#document", json.dumps(
            {"Version": "2012-10-17", "Statement": [path]}, ensure_ascii=False))
        press(signed, "Check it and show what changes")
        press(signed, "Save the policy")
        signed.see("Saved.").look(axe=False)
        saved = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        assert saved["Statement"][0] == path
        assert signed.page.evaluate("window.hit") is None
        press(signed, "Delete the policy")
        expect(signed.page.locator("pre").first).to_contain_text(
            shown(json.dumps(path["Resource"], ensure_ascii=False)))
        signed.look(axe=False)
        assert signed.page.evaluate("window.hit") is None
