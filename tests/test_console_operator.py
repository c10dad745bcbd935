"""The console for whoever runs the cloud: operators, accounts, guard policies, the verification of
stored bytes, and the audit log as a table, with a filter and as a file."""

import csv
import io
import json

import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import expect

from conftest import client_for
from consoles import CHROMIUM, WAIT_MS, tab
from fleet import eventually

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
LISTS_ONLY = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:List*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def one(browser, cloud):
    with tab(browser, cloud) as one:
        yield one.sign_in(path="/regions")


def press(one, name, role="button"):
    """Also where the next page shows what this one has shown."""
    with one.page.expect_navigation():
        one.page.get_by_role(role, name=name, exact=True).click()


def row(one, text):
    return one.page.get_by_role("row").filter(has_text=text).first


def test_an_operator_is_added(one, cloud):
    one.open("/regions")
    press(one, "Operators", "link")
    one.page.fill("#id", "Not An Id")
    one.page.fill("#name", "Gulf Hosting")
    press(one, "Add the operator")
    expect(one.page.locator("#name")).to_have_value("Gulf Hosting")
    one.forgive(400).look()
    one.page.fill("#id", "con-oper-gulf")
    press(one, "Add the operator")
    expect(row(one, "con-oper-gulf")).to_contain_text("Gulf Hosting")
    one.look_everywhere()
    assert "con-oper-gulf" in [each["id"] for each in cloud.cli_json("operator", "list", "--json")]


def test_an_account_is_created_gets_its_first_key_and_a_guard_policy(one, cloud):
    one.open("/accounts")
    one.page.fill("#name", "con-oper-tenant")
    one.page.fill("#guard", "NOWHERE")
    press(one, "Create the account")
    expect(one.page.locator("#name")).to_have_value("con-oper-tenant")
    one.forgive(400).look()
    one.page.fill("#guard", "")
    press(one, "Create the account")
    one.see("every country").look_everywhere()
    made = next(each for each in cloud.cli_json("account", "list", "--json")
                if each["name"] == "con-oper-tenant")
    # Its first key.
    one.page.fill("#description", "the first")
    press(one, "Make a key")
    access, secret = [code.inner_text() for code in one.page.locator("dd code").all()]
    one.look()
    press(one, "I have kept it", "link")
    s3 = client_for(cloud, access, secret)
    s3.create_bucket(Bucket="con-oper-tenant-first")
    # What all of it may do at most.
    one.page.fill("#policy", '{"Version": "2012-10-17"}')
    press(one, "Set the guard policy")
    expect(one.page.locator("#policy")).to_have_value('{"Version": "2012-10-17"}')
    one.forgive(400).look()
    one.page.fill("#policy", json.dumps(LISTS_ONLY))
    press(one, "Set the guard policy")
    one.see("Saved.").look()
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.create_bucket(Bucket="con-oper-tenant-second")
    press(one, "Remove the guard policy")
    one.see("There is none").look(axe=False)
    s3.create_bucket(Bucket="con-oper-tenant-second")
    assert made["id"] in one.page.url


def test_accounts_for_regions_and_auditors_are_created(one, cloud):
    cloud.cli("operator", "add", "con-oper-fjord", "--name", "Fjord")
    for kind, field, value in (("auditor", "auditor", True),
                               ("operator con-oper-fjord", "operator", "con-oper-fjord")):
        one.open("/accounts")
        name = f"con-oper-{kind.split()[0]}"
        one.page.fill("#name", name)
        one.page.locator("#kind").select_option(kind)
        press(one, "Create the account")
        made = next(each for each in cloud.cli_json("account", "list", "--json")
                    if each["name"] == name)
        assert made[field] == value


def test_every_stored_byte_is_verified(one, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 100_000)
    one.open("/health")
    press(one, "Verify stored bytes", "link")
    one.look_everywhere()
    press(one, "Verify every byte")
    # The page follows by itself.
    expect(one.page.get_by_text("Good: nothing is damaged.")).to_be_visible(timeout=4 * WAIT_MS)
    one.see("are verified, in").look()


def saved(one, name):
    with one.page.expect_download() as download:
        one.page.get_by_role("button", name=name).click()
    return download.value.path().read_text()


def test_the_audit_log_is_searched_and_saved(one, cloud):
    account = cloud.cli_json("account", "create", "con-oper-audited", "--json")["id"]
    for action in ("suspend", "resume"):
        cloud.cli("account", action, account)
    one.open("/audit")
    one.page.get_by_text("Look for entries").click()
    one.page.fill("#subject", account)
    one.page.fill("#action", "account.")
    press(one, "Look")
    one.see("3 entries were found").look_everywhere()
    actions = one.page.locator("tbody td:nth-child(4)")
    assert actions.all_inner_texts() == ["account.resume", "account.suspend", "account.create"]
    lines = [json.loads(line) for line in saved(one, "Save as JSON lines").splitlines()]
    assert [line["action"] for line in lines] == [
        "account.create", "account.suspend", "account.resume"]
    assert all(line["subject"] == account and len(line["hash"]) == 64 for line in lines)
    rows = list(csv.DictReader(io.StringIO(saved(one, "Save as CSV"))))
    assert [(each["action"], each["hash"]) for each in rows] == [
        (line["action"], line["hash"]) for line in lines]
    one.page.fill("#actor", "nobody")
    press(one, "Look")
    one.see("0 entries were found").look()
    one.open("/audit?to=2001-01-01T00:00").see("0 entries were found")
    one.open("/audit?from=yesterday", status=400).look(axe=False)


def test_what_happens_in_the_console_alone_is_on_record(browser, cloud, s3, bucket):
    s3.put_object(Bucket=bucket, Key="secret-name", Body=b"x")
    with tab(browser, cloud) as two:
        two.sign_in(path=f"/b/{bucket}/share?key=secret-name")
        press(two, "Make a link")
        two.page.locator("details.who summary").click()
        press(two, "Sign out")

    def events():
        entries = cloud.cli_json("audit", "show", "--json")
        entries = [each for each in entries if each["action"] == "console.sign_ins"]
        text = json.dumps(entries)
        assert "secret-name" not in text, "the name of an object is in the audit log"
        return bucket in text and "share.made" in text
    # They wait for the next sign-in, a minute at most.
    with tab(browser, cloud) as two:
        two.sign_in()
    eventually(events)
