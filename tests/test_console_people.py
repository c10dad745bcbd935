"""The console's pages for policies, users, groups, roles and the simulator: in a real browser, looked
at after every step, and compared with what boto3 sees."""

import json
import re
import urllib.parse

import boto3
import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import expect

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
    with one.page.expect_navigation():
        one.page.get_by_role("button", name=name, exact=True).click()
    return one


def follow(one, name):
    with one.page.expect_navigation():
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


# Users


def test_a_user_is_made_given_things_and_deleted(signed, cloud, iam):
    name, page = "people-anna", at("/users/show", name="people-anna")
    signed.open("/users").look()
    signed.page.fill("#name", name)
    press(signed, "Create the user")
    expect(signed.page).to_have_url(signed.origin + page)
    signed.look().see("can sign nothing yet")
    assert iam.get_user(UserName=name)["User"]["Path"] == "/"

    # A key, whose secret is shown once.
    press(signed, "Make a key")
    signed.see("shown this once").look()
    access, secret = signed.page.locator("dl.facts dd").all_inner_texts()
    [key] = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert key["AccessKeyId"] == access and key["Status"] == "Active"
    follow(signed, "I have kept it")
    assert secret not in signed.page.content()
    used = signed.page.locator("#keys tbody td").nth(2)
    expect(used).to_have_text("never")
    with pytest.raises(ClientError):
        iam_of(cloud, access, secret).list_users()
    signed.open(page)
    expect(used).to_contain_text(f"{cloud.region}, iam")
    press(signed, "Disable")
    signed.see("disabled").look()
    assert iam.list_access_keys(UserName=name)["AccessKeyMetadata"][0]["Status"] == "Inactive"
    signed.page.locator("#keys").get_by_role("button", name="Delete").click()
    signed.look().page.get_by_label("Yes, delete the key").check()
    press(signed, "Delete the key")
    signed.see("can sign nothing yet")
    assert iam.list_access_keys(UserName=name)["AccessKeyMetadata"] == []

    # A policy of its own, by the same editor.
    signed.page.fill("#policy", "reads")
    press(signed, "Write a policy")
    follow(signed.look(), "Read a bucket")
    text = signed.page.locator("#document").input_value()
    signed.page.fill("#document", text.replace("BUCKET", "people-bucket"))
    press(signed, "Check it and show what changes")
    press(signed.look(), "Save the policy")
    signed.see("Saved.").look()
    [first, _] = iam.get_user_policy(UserName=name, PolicyName="reads")["PolicyDocument"]["Statement"]
    assert first["Resource"] == "arn:aws:s3:::people-bucket"

    # A managed policy, a boundary, a group, a tag: what boto3 made is there to choose from.
    arn = iam.create_policy(PolicyName="people-managed",
                            PolicyDocument=document(reads("people-bucket")))["Policy"]["Arn"]
    iam.create_group(GroupName="people-group")
    signed.open(page)
    signed.page.locator("#attach-arn").select_option(label="people-managed")
    press(signed, "Attach")
    expect(signed.page.locator("#attached .rows")).to_contain_text("people-managed")
    signed.page.locator("#boundary-arn").select_option(label="people-managed")
    press(signed, "Set as boundary")
    expect(signed.page.locator("#boundary .rows")).to_contain_text("people-managed")
    signed.page.locator("#group").select_option("people-group")
    press(signed, "Add to the group")
    expect(signed.page.locator("#groups .rows")).to_contain_text("people-group")
    signed.page.fill("#key", "team")
    signed.page.fill("#value", "finance = 1")
    press(signed, "Set the tag")
    expect(signed.page.locator("#tags .rows")).to_contain_text("finance = 1")
    signed.look()
    user = iam.get_user(UserName=name)["User"]
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
    assert user["Tags"] == [{"Key": "team", "Value": "finance = 1"}]
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName=name)["Groups"]] == [
        "people-group"]
    [attached] = iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]
    assert attached["PolicyArn"] == arn
    press(signed, "Detach")
    expect(signed.page.locator("#attached")).to_contain_text("None.")
    press(signed, "Take it away")
    expect(signed.page.locator("#boundary")).to_contain_text("none")
    press(signed, "Remove")
    expect(signed.page.locator("#tags")).to_contain_text("None.")
    assert "Tags" not in iam.get_user(UserName=name)["User"]

    # Deleting shows what goes, and asks for the name.
    delete = signed.page.locator(".head").get_by_role("button", name="Delete")
    delete.click()
    signed.look().see("its place in group people-group").see("its policy reads")
    # What comes to it meanwhile is shown before it goes.
    iam.attach_user_policy(UserName=name, PolicyArn=arn)
    signed.page.fill("#typed", name)
    press(signed, "Delete all of this")
    signed.see("has changed since").forgive(409).look().see("people-managed")
    signed.page.fill("#typed", "another")
    press(signed, "Delete all of this")
    signed.see("is another one").forgive(400)
    assert iam.get_user(UserName=name)
    signed.page.fill("#typed", name)
    press(signed, "Delete all of this")
    expect(signed.page).to_have_url(signed.origin + "/users")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName=name)
    assert iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"] == []


def test_many_users_are_listed_by_pages(signed, iam):
    for n in range(60):
        iam.create_user(UserName=f"people-many-{n:02}", Path="/people-many/")
    seen, pages = [], 0
    signed.open("/users")
    while True:
        pages += 1
        seen += signed.page.locator("tbody th").all_inner_texts()
        more = signed.page.get_by_role("link", name="Next page")
        if more.count() == 0:
            break
        assert signed.page.locator("tbody tr").count() == 50
        before = signed.page.url
        more.click()
        expect(signed.page).not_to_have_url(before)
    signed.look()
    many = [name for name in seen if name.startswith("people-many-")]
    assert pages > 1 and many == [f"people-many-{n:02}" for n in range(60)]
    assert len(seen) == len(set(seen))
    for n in range(60):
        iam.delete_user(UserName=f"people-many-{n:02}")


# Groups, managed policies and roles


def test_a_group_has_users_and_policies(signed, iam):
    iam.create_user(UserName="people-bob")
    signed.open("/groups").look()
    signed.page.fill("#name", "people-readers")
    press(signed, "Create the group")
    signed.look()
    signed.page.fill("#user", "nobody-of-this-name")
    press(signed, "Add to the group")
    signed.see("cannot be found").forgive(404).look()
    signed.open(at("/groups/show", name="people-readers"))
    signed.page.fill("#user", "people-bob")
    press(signed, "Add to the group")
    expect(signed.page.locator("#users .rows")).to_contain_text("people-bob")
    signed.look()
    assert [u["UserName"] for u in iam.get_group(GroupName="people-readers")["Users"]] == [
        "people-bob"]
    press(signed, "Remove")
    expect(signed.page.locator("#users")).to_contain_text("None.")
    assert iam.get_group(GroupName="people-readers")["Users"] == []
    iam.add_user_to_group(GroupName="people-readers", UserName="people-bob")
    iam.put_group_policy(GroupName="people-readers", PolicyName="own",
                         PolicyDocument=document(reads("people-bucket")))
    signed.open(at("/groups/show", name="people-readers")).look()
    expect(signed.page.get_by_role("link", name="own", exact=True)).to_be_visible(timeout=WAIT_MS)
    signed.page.locator(".head").get_by_role("button", name="Delete").click()
    signed.see("the place in it of user people-bob").see("its policy own").look()
    signed.page.fill("#typed", "people-readers")
    press(signed, "Delete all of this")
    expect(signed.page).to_have_url(signed.origin + "/groups")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_group(GroupName="people-readers")
    iam.delete_user(UserName="people-bob")


def test_a_managed_policy_has_versions_of_which_one_counts(signed, iam):
    signed.open("/policies").look()
    signed.page.fill("#name", "people-versions")
    signed.page.fill("#description", "<i>for the tests</i>")
    press(signed, "Go on to its text")
    signed.page.fill("#document", document(reads("people-one")))
    press(signed.look(), "Check it and show what changes")
    press(signed.look(), "Save the policy")
    signed.see("<i>for the tests</i>").look().see("Nobody has it")
    [policy] = [p for p in iam.list_policies()["Policies"] if p["PolicyName"] == "people-versions"]
    arn = policy["Arn"]
    follow(signed, "Write a new version")
    text = signed.page.locator("#document").input_value()
    signed.page.fill("#document", text.replace("people-one", "people-two"))
    press(signed, "Check it and show what changes")
    expect(signed.page.locator("pre.diff ins")).to_contain_text("people-two")
    press(signed, "Save the policy")
    signed.see("Version v2").look()

    def counts():
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        text = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        return version, text["Document"]["Statement"][0]["Resource"]

    assert counts() == ("v2", "arn:aws:s3:::people-two/*")
    press(signed, "Let it count")
    signed.see("Version v1")
    assert counts() == ("v1", "arn:aws:s3:::people-one/*")
    follow(signed, "v2")
    signed.see("does not count").look().see("people-two")
    iam.create_user(UserName="people-has-it")
    iam.attach_user_policy(UserName="people-has-it", PolicyArn=arn)
    signed.open(at("/policies/show", arn=arn)).look()
    expect(signed.page.locator("#holders")).to_contain_text("people-has-it")
    signed.page.locator("#versions").get_by_role("button", name="Delete").click()
    expect(signed.page.locator("#versions tbody tr")).to_have_count(1)
    signed.page.locator(".head").get_by_role("button", name="Delete").click()
    signed.look().see("what attaches it to people-has-it")
    signed.page.fill("#typed", "people-versions")
    press(signed, "Delete all of this")
    expect(signed.page).to_have_url(signed.origin + "/policies")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn=arn)
    iam.delete_user(UserName="people-has-it")


def test_a_role_is_made_with_who_may_use_it(signed, iam):
    signed.open("/roles").look()
    signed.page.fill("#name", "people-role")
    signed.page.fill("#description", HOSTILE[0])
    press(signed, "Go on to who may use it")
    signed.look()
    press(signed, "Check it and show what changes")
    press(signed.look(), "Save the policy")
    signed.see(HOSTILE[0]).look()
    role = iam.get_role(RoleName="people-role")["Role"]
    assert role["Description"] == HOSTILE[0]
    account = role["Arn"].split(":")[4]
    [trusted] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"AWS": f"arn:aws:iam::{account}:root"}
    follow(signed, "Change who may use it")
    text = signed.page.locator("#document").input_value()
    signed.page.fill("#document", text.replace("sts:AssumeRole", "s3:GetObject"))
    press(signed, "Check it and show what changes")
    expect(signed.page.locator("#problem")).to_be_visible(timeout=WAIT_MS)
    signed.forgive(400).look()
    signed.page.fill("#document", text.replace(f"{account}:root", f"{account}:role/people-role"))
    press(signed, "Check it and show what changes")
    press(signed, "Save the policy")
    signed.see("Saved.")
    assert "people-role" in str(
        iam.get_role(RoleName="people-role")["Role"]["AssumeRolePolicyDocument"])
    signed.page.locator(".head").get_by_role("button", name="Delete").click()
    signed.page.fill("#typed", "people-role")
    press(signed, "Delete all of this")
    expect(signed.page).to_have_url(signed.origin + "/roles")


# The simulator


def test_the_simulator_says_what_decides(signed, iam, s3, bucket):
    iam.create_user(UserName="people-asks")
    iam.put_user_policy(UserName="people-asks", PolicyName="look", PolicyDocument=document(
        {**reads(bucket), "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}))
    signed.open("/simulate").look()
    signed.page.locator("#who").select_option("user/people-asks")
    signed.page.fill("#action", "s3:GetObject")
    signed.page.fill("#resource", f"{bucket}/a")
    press(signed, "Decide")
    status = signed.page.get_by_role("status")
    expect(status).to_have_text("Refused")
    signed.look().see("aws:SourceIp")
    signed.page.fill("#context", "aws:SourceIp=203.0.113.7")
    press(signed, "Decide")
    expect(status).to_have_text("Allowed")
    expect(signed.page.locator(".looked .applies")).to_have_text(re.compile("1 Allow"))
    signed.look()
    account = signed_account(s3)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(
        {**reads(bucket), "Sid": "NotThisOne", "Effect": "Deny",
         "Principal": {"AWS": f"arn:aws:iam::{account}:user/people-asks"}}))
    press(signed, "Decide")
    expect(status).to_have_text("Refused")
    decides = signed.page.locator(".looked .applies").filter(has_text="NotThisOne")
    expect(decides).to_have_text(re.compile("1 Deny"))
    signed.look()
    # A question that is none is not answered by anything else than why.
    for field, value in (("#context", "nothing"), ("#context", "aws:SourceIp=nowhere"),
                         ("#action", "s3:GetObjects")):
        before = signed.page.locator(field).input_value()
        signed.page.fill(field, value)
        press(signed, "Decide")
        expect(signed.page.get_by_role("alert")).to_be_visible(timeout=WAIT_MS)
        signed.forgive(400).look()
        signed.page.fill(field, before)
    iam.delete_user_policy(UserName="people-asks", PolicyName="look")
    iam.delete_user(UserName="people-asks")


def test_a_role_and_who_may_only_simulate_are_answered_by_iam(browser, cloud, iam, s3, bucket):
    account = signed_account(s3)
    trust = document({"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"})
    iam.create_role(RoleName="people-sim", AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName="people-sim", PolicyName="role-look", PolicyDocument=document(
        {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}, reads(bucket)))
    iam.create_user(UserName="people-sims")
    iam.put_user_policy(UserName="people-sims", PolicyName="own", PolicyDocument=document(
        {"Effect": "Allow", "Resource": "*", "Action": [
            "iam:SimulatePrincipalPolicy", "iam:ListUsers", "iam:ListRoles", "iam:GetUser",
            "iam:GetRole"]}))
    key = iam.create_access_key(UserName="people-sims")["AccessKey"]
    with tab(browser, cloud) as one:
        one.sign_in()
        one.open(at("/simulate", who="role/people-sim", action="s3:GetObject",
                    resource=f"{bucket}/a")).look()
        expect(one.page.get_by_role("status")).to_have_text("Allowed")
        one.see("policy role-look").see("lines 1 to 1")
        one.open(at("/simulate", who="role/people-sim", action="s3:PutObject",
                    resource=f"{bucket}/a")).look()
        expect(one.page.get_by_role("status")).to_have_text("Refused")
        one.see("No policy allows it.")
        # The bucket's own policy is asked, too.
        s3.put_bucket_policy(Bucket=bucket, Policy=document(
            {**reads(bucket), "Effect": "Deny", "Principal": "*"}))
        one.open(at("/simulate", who="role/people-sim", action="s3:GetObject",
                    resource=f"{bucket}/a"))
        expect(one.page.get_by_role("status")).to_have_text("Refused")
        one.see("policy of the bucket")
    with tab(browser, cloud) as one:
        one.sign_in(key["AccessKeyId"], key["SecretAccessKey"])
        expect(one.page.locator("nav.side").get_by_role("link", name="Simulator")).to_be_visible()
        one.open(at("/simulate", who="user/people-sims", action="iam:ListUsers",
                    resource=f"arn:aws:iam::{account}:user/*")).look()
        expect(one.page.get_by_role("status")).to_have_text("Allowed")
        # What of the bucket this user may not read is said to be unseen; a refusal stays one.
        one.open(at("/simulate", who="role/people-sim", action="s3:GetObject",
                    resource=f"{bucket}/a")).look()
        expect(one.page.get_by_role("status")).to_have_text("Not known")
        one.see("s3:GetBucketPolicy")
        iam.delete_user_policy(UserName="people-sims", PolicyName="own")
        one.open(at("/simulate", who="user/people-sims", action="s3:GetObject", resource="a/b"),
                 403).look().see("not authorized to perform: iam:GetUser")


# Rights


def test_who_has_no_rights_is_told_which_one_it_needs(browser, cloud, iam):
    iam.create_user(UserName="people-nobody")
    key = iam.create_access_key(UserName="people-nobody")["AccessKey"]
    with tab(browser, cloud) as one:
        one.sign_in(key["AccessKeyId"], key["SecretAccessKey"])
        menu = one.page.locator("nav.side")
        for name, path, action in (("Users", "/users", "iam:ListUsers"),
                                   ("Groups", "/groups", "iam:ListGroups"),
                                   ("Roles", "/roles", "iam:ListRoles"),
                                   ("Managed policies", "/policies", "iam:ListPolicies")):
            assert menu.get_by_role("link", name=name).count() == 0
            one.open(path, 403).look().see(f"not authorized to perform: {action}")
        one.open("/users/show?name=people-nobody", 403).see("iam:GetUser")
    raw = Raw(cloud).sign_in(key["AccessKeyId"], key["SecretAccessKey"])
    # A form that is sent all the same is refused by the same right.
    iam.put_user_policy(UserName="people-nobody", PolicyName="look", PolicyDocument=document(
        {"Effect": "Allow", "Action": ["iam:List*", "iam:Get*"], "Resource": "*"}))
    fields = {"of": "user", "name": "people-nobody"}
    status, _, body = raw.ask("GET", "/users")
    assert status == 200 and "people-nobody" in body
    assert '<a href="/users"' in body, "the menu names it now"
    for page, form, more, needs in (
            ("/users/show?name=people-nobody", "/people/key", {}, "iam:CreateAccessKey"),
            ("/users/show?name=people-nobody", "/people/tag", {"key": "a", "value": "b"},
             "iam:TagUser"),
            ("/users", "/people/create", {"name": "people-other"}, "iam:CreateUser")):
        token = raw.token(page, form)
        status, _, body = raw.post(form, {**fields, "csrf": token, **more})
        assert status == 403 and needs in body, (form, status)
    token = raw.token("/document?of=user&name=people-nobody&policy=all", "/document/preview")
    all_of_it = document({"Effect": "Allow", "Action": "*", "Resource": "*"})
    about = {"of": "user", "name": "people-nobody", "policy": "all", "document": all_of_it}
    status, _, body = raw.post("/document/preview", {**about, "csrf": token})
    form = body[body.index('action="/document/save"'):]
    values = {name: re.search(rf'name="{name}" value="([^"]*)"', form)[1]
              for name in ("csrf", "seen")}
    status, _, body = raw.post("/document/save", {**about, **values})
    assert status == 403 and "iam:PutUserPolicy" in body
    assert iam.list_user_policies(UserName="people-nobody")["PolicyNames"] == ["look"]
    # A changed policy is not overwritten.
    iam.put_user_policy(UserName="people-nobody", PolicyName="all", PolicyDocument=all_of_it)
    assert raw.post("/document/save", {**about, **values})[0] == 409


def test_another_accounts_users_are_not_there(cloud, iam):
    iam.create_user(UserName="people-mine")
    account = cloud.cli_json("account", "create", "people-other", "--json")
    key = cloud.cli_json("key", "create", "--account", account["id"], "--json")
    raw = Raw(cloud).sign_in(key["access_key"], key["secret_key"])
    assert "people-mine" not in raw.ask("GET", "/users")[2]
    status, _, body = raw.ask("GET", "/users/show?name=people-mine")
    assert status == 404 and "cannot be found" in body
    arn = iam.create_policy(PolicyName="people-canary-policy",
                            PolicyDocument=document(reads("people-canary")))["Policy"]["Arn"]
    for page in (at("/policies/show", arn=arn), at("/document", of="managed", name=arn)):
        status, _, body = raw.ask("GET", page)
        assert status in (403, 404) and "people-canary/" not in body, page


def test_hostile_names_of_people_are_seen_and_do_nothing(signed, iam):
    path = "/<script>window.hit=1</script>/\"><img/src=x/onerror=window.hit=1>/"
    iam.create_user(UserName="people-hostile", Path=path)
    trust = document({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"})
    iam.create_role(RoleName="people-hostile", Path=path, Description=HOSTILE[1],
                    AssumeRolePolicyDocument=trust)
    iam.create_group(GroupName="people-hostile", Path=path)
    text = document({**reads("x"), "Resource": f"arn:aws:s3:::x/{HOSTILE[1]}{HOSTILE[2]}"})
    arn = iam.create_policy(PolicyName="people-hostile", Path=path, Description=HOSTILE[2],
                            PolicyDocument=text)["Policy"]["Arn"]
    iam.put_user_policy(UserName="people-hostile", PolicyName="own", PolicyDocument=text)
    iam.attach_user_policy(UserName="people-hostile", PolicyArn=arn)
    for page in ("/users", "/groups", "/roles", "/policies",
                 at("/users/show", name="people-hostile"),
                 at("/groups/show", name="people-hostile"),
                 at("/roles/show", name="people-hostile"), at("/policies/show", arn=arn),
                 at("/document", of="user", name="people-hostile", policy="own"),
                 at("/document", of="managed", name=arn)):
        signed.open(page)
        signed.look(axe=False)
        assert signed.page.evaluate("window.hit") is None, page
    for name in HOSTILE:
        # What is only in the address is shown as text as well.
        for page in (at("/document", of="user", name="people-hostile", policy=name),
                     at("/document", of="new-role", name=name, description=name),
                     at("/document", of="new-managed", name=name),
                     at("/simulate", who=f"user/{name}"),
                     at("/simulate", who=name, action=name, resource=name, context=name)):
            signed.page.goto(signed.origin + page)
            signed.forgive(400).look(axe=False)
            assert signed.page.evaluate("window.hit") is None, page
        for page in (at("/users/show", name=name), at("/policies/show", arn=name)):
            signed.page.goto(signed.origin + page)
            signed.forgive(404).forgive(400).look(axe=False)
            assert signed.page.evaluate("window.hit") is None, page


def test_pages_of_people_fit_every_window_in_both_themes(browser, cloud, iam, bucket):
    arn = iam.create_policy(PolicyName="people-" + "long-name-" * 11,
                            PolicyDocument=document(reads("people-bucket")))["Policy"]["Arn"]
    name = "people-" + "long-name-" * 5
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn=arn)
    iam.create_access_key(UserName=name)
    pages = ("/users", "/groups", "/roles", "/policies", at("/users/show", name=name),
             at("/policies/show", arn=arn),
             at("/document", of="user", name=name, policy="x", start="write"),
             at("/document", of="managed", name=arn), "/simulate",
             at("/simulate", who=f"user/{name}", action="s3:GetObject",
                resource=f"{bucket}/" + "k" * 200))
    with tab(browser, cloud) as one:
        one.sign_in()
        for page in pages:
            one.open(page).look_everywhere()
