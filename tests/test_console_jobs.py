"""Jobs of the console: copying, moving and deleting everything below a prefix."""

import json
import os
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from playwright.sync_api import expect

from consoles import CHROMIUM, WAIT_MS, tab
from test_console_security import Raw

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
# Only a hang reaches it.
LONG_S = 300


def client(cloud, key=None, service="s3", path=""):
    return boto3.client(
        service, endpoint_url=cloud.endpoint + path, region_name=cloud.region,
        aws_access_key_id=key["access_key"] if key else cloud.access_key,
        aws_secret_access_key=key["secret_key"] if key else cloud.secret_key,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=32))


@pytest.fixture
def s3(cloud):
    return client(cloud)


@pytest.fixture
def buckets(s3):
    """Two buckets of this test alone."""
    names = [f"jobs-{part}-{uuid.uuid4().hex[:8]}" for part in ("one", "two")]
    for name in names:
        s3.create_bucket(Bucket=name)
    return names


@pytest.fixture
def raw(cloud):
    return Raw(cloud).sign_in()


def fill(s3, bucket, prefix, count):
    with ThreadPoolExecutor(16) as pool:
        put = [pool.submit(s3.put_object, Bucket=bucket, Key=f"{prefix}{n:05}", Body=b"x" * n)
               for n in range(count)]
        for one in put:
            one.result()


def keys(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


def begin(raw, bucket, prefix, **fields):
    """Looks at the page and sends its form."""
    at = f"/b/{bucket}/bulk"
    token = raw.token(f"{at}?prefix={prefix}", at)
    _, _, body = raw.ask("GET", f"{at}?prefix={prefix}")
    until = re.search(r'name="until" value="(\d+)"', body)[1]
    return raw.post(at, {"csrf": token, "prefix": prefix, "until": until, **fields})


def state(raw):
    status, _, body = raw.ask("GET", "/jobs/state")
    assert status == 200, body
    return json.loads(body)


def ended(raw):
    """Waits until no job of the key runs; the newest one's page section."""
    deadline = time.monotonic() + LONG_S
    while any(job["runs"] for job in state(raw).values()):
        assert time.monotonic() < deadline, state(raw)
        time.sleep(0.05)
    _, _, body = raw.ask("GET", "/jobs")
    return body.split("data-job=")[1]


def run(raw, bucket, prefix, **fields):
    status, headers, body = begin(raw, bucket, prefix, **fields)
    assert status == 303 and headers["location"] == "/jobs", body
    return ended(raw)


def test_everything_below_a_prefix_is_deleted(browser, cloud, s3, buckets):
    one, _ = buckets
    fill(s3, one, "old/", 1203)
    fill(s3, one, "older", 2)
    with tab(browser, cloud) as page:
        page.sign_in(path=f"/b/{one}?prefix=old/")
        with page.page.expect_navigation():
            page.page.get_by_role("link", name="Copy, move or delete all").click()
        page.look().see("more than 1,000")
        page.see("nothing brings the objects back")
        page.page.fill("#name", "another")
        page.page.get_by_role("button", name="Delete all").click()
        page.see("not the bucket's. Nothing was deleted.")
        page.forgive(400).look()
        page.page.fill("#name", one)
        page.page.get_by_role("button", name="Delete all").click()
        expect(page.page.locator(".badge", has_text="done")).to_be_visible(timeout=LONG_S * 1000)
        page.look().see("1,203 done")
        page.see("0 failed")
    assert keys(s3, one) == ["older00000", "older00001"]


def test_copies_have_what_the_objects_had(s3, raw, buckets):
    one, two = buckets
    s3.put_object(Bucket=one, Key="a/ü b+c%/x", Body=b"text", ContentType="text/x-own",
                  CacheControl="no-store", Metadata={"who": "me"}, Tagging="k=v%20w&l=m")
    s3.put_object(Bucket=one, Key="a/there", Body=b"new")
    s3.put_object(Bucket=two, Key="b/there", Body=b"old")
    told = run(raw, one, "a/", do="copy", to=two, under="b/")
    assert "1 done" in told and "1 left as they are, 0 failed" in told
    copied = s3.get_object(Bucket=two, Key="b/ü b+c%/x")
    assert copied["Body"].read() == b"text" and copied["ContentType"] == "text/x-own"
    assert copied["CacheControl"] == "no-store" and copied["Metadata"] == {"who": "me"}
    tags = s3.get_object_tagging(Bucket=two, Key="b/ü b+c%/x")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"k": "v w", "l": "m"}
    assert s3.get_object(Bucket=two, Key="b/there")["Body"].read() == b"old"
    assert "2 done" in run(raw, one, "a/", do="copy", to=two, under="b/", replace="1")
    assert s3.get_object(Bucket=two, Key="b/there")["Body"].read() == b"new"
    assert len(keys(s3, one)) == 2


def test_a_large_object_is_copied_in_parts(s3, raw, buckets, tmp_path):
    one, two = buckets
    whole = tmp_path / "large"
    with whole.open("wb") as file:
        for n in range(258):
            file.write(n.to_bytes(2, "big") * (1 << 19))
    s3.upload_file(str(whole), one, "l/large", Config=TransferConfig(multipart_chunksize=64 << 20),
                   ExtraArgs={"Metadata": {"who": "me"}, "ContentType": "text/x-own"})
    s3.put_object_tagging(Bucket=one, Key="l/large",
                          Tagging={"TagSet": [{"Key": "k+", "Value": "ü/="}]})
    assert "1 done" in run(raw, one, "l/", do="move", to=two, under="l/")
    copied = s3.head_object(Bucket=two, Key="l/large")
    assert copied["ETag"].strip('"').endswith("-2") and copied["ContentLength"] == 258 << 20
    assert copied["Metadata"] == {"who": "me"} and copied["ContentType"] == "text/x-own"
    tags = s3.get_object_tagging(Bucket=two, Key="l/large")["TagSet"]
    assert tags == [{"Key": "k+", "Value": "ü/="}]
    s3.download_file(two, "l/large", str(tmp_path / "back"))
    assert whole.read_bytes() == (tmp_path / "back").read_bytes()
    assert keys(s3, one) == [] and not s3.list_multipart_uploads(Bucket=two).get("Uploads")


def test_a_move_leaves_nothing_behind_and_what_is_there_alone(s3, raw, buckets):
    one, _ = buckets
    fill(s3, one, "from/", 40)
    s3.put_object(Bucket=one, Key="to/00007", Body=b"mine")
    told = run(raw, one, "from/", do="move", to=one, under="to/")
    assert "39 done" in told and "1 left as they are" in told
    assert keys(s3, one) == ["from/00007", *(f"to/{n:05}" for n in range(40))]
    assert s3.get_object(Bucket=one, Key="to/00007")["Body"].read() == b"mine"


def shown(raw, bucket, prefix):
    """The form of the page, as it is sent later."""
    at = f"/b/{bucket}/bulk"
    token = raw.token(f"{at}?prefix={prefix}", at)
    _, _, body = raw.ask("GET", f"{at}?prefix={prefix}")
    until = re.search(r'name="until" value="(\d+)"', body)[1]
    return {"csrf": token, "prefix": prefix, "until": until}


def test_what_is_newer_than_the_page_is_left_alone(s3, raw, buckets):
    one, _ = buckets
    for key in ("n/same", "n/other", "n/old"):
        s3.put_object(Bucket=one, Key=key, Body=b"bytes")
    form = shown(raw, one, "n/")
    # In the same second, and one of them with the same bytes.
    s3.put_object(Bucket=one, Key="n/same", Body=b"bytes", Metadata={"who": "new"})
    s3.put_object(Bucket=one, Key="n/other", Body=b"other bytes")
    s3.put_object(Bucket=one, Key="n/later", Body=b"")
    assert raw.post(f"/b/{one}/bulk", {**form, "do": "delete", "name": one})[0] == 303
    told = ended(raw)
    assert "1 done" in told and "3 left as they are, 0 failed" in told
    assert keys(s3, one) == ["n/later", "n/other", "n/same"]
    # A time that is still to come is no way around it.
    assert "3 done" in run(raw, one, "n/", do="delete", name=one, until="99999999999999")
    assert keys(s3, one) == []


def test_moves_towards_each_other_lose_nothing(cloud, s3, raw, buckets):
    """Equal bytes on both sides: by their tags nobody could tell a copy from what it replaced."""
    other = Raw(cloud).sign_in()
    names = [f"m/{n:03}" for n in range(60)]
    for round in range(4):
        for bucket in buckets:
            for name in names:
                s3.put_object(Bucket=bucket, Key=name, Body=b"same bytes")
        forms = [shown(raw, buckets[0], "m/"), shown(other, buckets[1], "m/")]
        for who, form, (a, b) in zip((raw, other), forms, (buckets, buckets[::-1])):
            fields = {**form, "do": "move", "to": b, "under": "m/", "replace": "1"}
            assert who.post(f"/b/{a}/bulk", fields)[0] == 303
        ended(raw)
        left = {*keys(s3, buckets[0]), *keys(s3, buckets[1])}
        assert left == set(names), f"round {round}: {sorted(set(names) - left)}"


def test_a_move_within_a_bucket_replaces_nothing_that_it_has_yet_to_move(s3, raw, buckets):
    one, _ = buckets
    for key in ("d/x", "d/d/x", "d/d/d/x"):
        s3.put_object(Bucket=one, Key=key, Body=key.encode())
    told = begin(raw, one, "d/", do="move", to=one, under="", replace="1")
    assert told[0] == 400 and "or replace it" in told[2]
    told = run(raw, one, "d/", do="move", to=one, under="")
    bodies = {s3.get_object(Bucket=one, Key=key)["Body"].read() for key in keys(s3, one)}
    assert bodies == {b"d/x", b"d/d/x", b"d/d/d/x"}, told


def test_tags_that_are_set_while_an_object_is_moved_are_not_lost(s3, raw, buckets):
    one, two = buckets
    tags = lambda n: {"TagSet": [{"Key": "n", "Value": str(n)}]}
    names = [f"t/{n:03}" for n in range(120)]
    for name in names:
        s3.put_object(Bucket=one, Key=name, Body=b"")
    form = shown(raw, one, "t/")
    fields = {**form, "do": "move", "to": two, "under": "t/", "replace": "1"}
    assert raw.post(f"/b/{one}/bulk", fields)[0] == 303
    acknowledged = set()
    for name in reversed(names):
        try:
            s3.put_object_tagging(Bucket=one, Key=name, Tagging=tags(1))
            acknowledged.add(name)
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
    ended(raw)
    for name in acknowledged:
        found = {bucket: name in keys(s3, bucket) for bucket in buckets}
        at = one if found[one] else two
        assert s3.get_object_tagging(Bucket=at, Key=name)["TagSet"] == tags(1)["TagSet"], name


def test_a_versioned_bucket_keeps_what_a_job_deletes(s3, raw, buckets):
    one, _ = buckets
    s3.put_bucket_versioning(Bucket=one, VersioningConfiguration={"Status": "Enabled"})
    fill(s3, one, "v/", 3)
    _, _, body = raw.ask("GET", f"/b/{one}/bulk?prefix=v/")
    assert "can be undeleted" in body
    assert "3 done" in run(raw, one, "v/", do="delete", name=one)
    found = s3.list_object_versions(Bucket=one)
    assert len(found["Versions"]) == 3 and len(found["DeleteMarkers"]) == 3


def test_what_cannot_begin_is_said(s3, raw, buckets):
    one, two = buckets
    s3.put_object(Bucket=one, Key="a/x", Body=b"")
    for fields, status, text in (
            ({"do": "copy", "to": one, "under": "a/b/"}, 400, "among what is copied"),
            ({"do": "copy", "to": one, "under": "a/"}, 400, "among what is copied"),
            ({"do": "copy", "to": "No Bucket", "under": ""}, 400, ""),
            ({"do": "delete", "name": two}, 400, "Nothing was deleted"),
            ({"do": "delete"}, 400, "Nothing was deleted"),
            ({"do": "burn"}, 400, "Nothing is chosen"),
            ({"do": "delete", "name": one, "until": "soon"}, 400, "lacks its time")):
        told = begin(raw, one, "a/", **fields)
        assert told[0] == status and text in told[2], fields
    assert state(raw) == {} or not any(job["runs"] for job in state(raw).values())
    # A bucket that is not there: every object fails, and says why.
    told = run(raw, one, "a/", do="copy", to="jobs-no-such-bucket", under="")
    assert "1 failed" in told and "done, not all of it" in told and "There is no bucket of this name" in told
    assert keys(s3, one) == ["a/x"]
    # Whoever reads it does so in their own language.
    _, _, page = raw.ask("GET", "/jobs", headers={"Accept-Language": "de"})
    assert "Es gibt keinen Bucket mit diesem Namen." in page


def test_a_job_does_what_its_key_may_and_is_its_keys_alone(cloud, buckets, s3):
    account = cloud.cli_json("account", "create", f"jobs-{uuid.uuid4().hex[:6]}", "--json")["id"]
    key = cloud.cli_json("key", "create", "--account", account, "--json")
    other = cloud.cli_json("key", "create", "--account", account, "--json")
    own = client(cloud, key)
    bucket = f"jobs-of-{uuid.uuid4().hex[:8]}"
    own.create_bucket(Bucket=bucket)
    fill(own, bucket, "d/", 3)
    iam = client(cloud, key, "iam", "/-/iam")
    iam.create_user(UserName="jobs-reader")
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject", "s3:GetBucketVersioning"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}]}
    iam.put_user_policy(UserName="jobs-reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName="jobs-reader")["AccessKey"]
    reader = Raw(cloud).sign_in(made["AccessKeyId"], made["SecretAccessKey"])
    told = run(reader, bucket, "d/", do="delete", name=bucket)
    assert "3 failed" in told and "AccessDenied" in told and "d/00001" in told
    assert len(keys(own, bucket)) == 3
    # Into another account's bucket it copies nothing.
    told = run(reader, bucket, "d/", do="copy", to=buckets[0], under="")
    assert "3 failed" in told and keys(s3, buckets[0]) == []
    # Other keys of the account see none of it, and cannot end it.
    id = next(iter(state(reader)))
    beside = Raw(cloud).sign_in(other["access_key"], other["secret_key"])
    assert state(beside) == {} and "d/00001" not in beside.ask("GET", "/jobs")[2]
    token = beside.token("/sessions", "/signout")
    assert beside.post("/jobs/abort", {"csrf": token, "id": id})[0] == 403, "of another form"
    # Nor does its own key, once it may not list these objects any more.
    iam.delete_user_policy(UserName="jobs-reader", PolicyName="p")
    _, _, page = reader.ask("GET", "/jobs")
    assert "d/00001" not in page and "your key may not list these objects now" in page


def begun_and(raw, s3, bucket, does):
    """Begins a job and does something; with more objects where the job was done before that."""
    count = 500
    while True:
        fill(s3, bucket, f"{count}/", count)
        assert begin(raw, bucket, f"{count}/", do="delete", name=bucket)[0] == 303
        does()
        told = ended(raw)
        if f"{count} done" not in told.replace(",", ""):
            return told
        count *= 4
        assert count < 100_000, "jobs end at once"


def test_a_job_is_aborted(raw, s3, buckets):
    def abort():
        _, _, body = raw.ask("GET", "/jobs")
        form = re.search(r'action="/jobs/abort".*?name="csrf" value="([^"]+)".*?'
                         r'name="id" value="([^"]+)"', body, re.S)
        if form:
            assert raw.post("/jobs/abort", {"csrf": form[1], "id": form[2]})[0] == 303

    told = begun_and(raw, s3, buckets[0], abort)
    assert "aborted" in told and keys(s3, buckets[0])


def test_a_copy_in_parts_that_is_aborted_leaves_no_upload(s3, raw, buckets, tmp_path):
    one, two = buckets
    whole = tmp_path / "large"
    with whole.open("wb") as file:
        file.truncate(300 << 20)
    s3.upload_file(str(whole), one, "p/large", Config=TransferConfig(multipart_chunksize=64 << 20))
    assert begin(raw, one, "p/", do="move", to=two, under="p/")[0] == 303
    _, _, body = raw.ask("GET", "/jobs")
    form = re.search(r'action="/jobs/abort".*?name="csrf" value="([^"]+)".*?'
                     r'name="id" value="([^"]+)"', body, re.S)
    # There is none where the copy was faster.
    if form:
        assert raw.post("/jobs/abort", {"csrf": form[1], "id": form[2]})[0] == 303
    ended(raw)
    assert not s3.list_multipart_uploads(Bucket=two).get("Uploads")
    # It is in one of the two, whole.
    at = one if keys(s3, one) else two
    assert s3.head_object(Bucket=at, Key="p/large")["ContentLength"] == 300 << 20


def test_another_key_of_the_same_id_sees_neither_jobs_nor_sessions(cloud, s3, buckets):
    def account(name):
        made = cloud.cli_json("account", "create", f"{name}-{uuid.uuid4().hex[:6]}", "--json")
        return made["id"]

    def bring(owner, secret):
        before = cloud.env
        cloud.env = {**(before or os.environ), "DHOW_SECRET_KEY": secret}
        try:
            cloud.cli("key", "create", "--account", owner, "--access-key", "AKIAJOBSREUSED000001")
        finally:
            cloud.env = before

    first, second = account("jobs-first"), account("jobs-second")
    bring(first, "secret-of-the-first-0001")
    key = {"access_key": "AKIAJOBSREUSED000001", "secret_key": "secret-of-the-first-0001"}
    own = client(cloud, key)
    bucket = f"jobs-reused-{uuid.uuid4().hex[:8]}"
    own.create_bucket(Bucket=bucket)
    own.put_object(Bucket=bucket, Key="canary-of-jobs", Body=b"")
    raw = Raw(cloud).sign_in(key["access_key"], key["secret_key"])
    assert "canary" in run(raw, bucket, "", do="copy", to="jobs-no-such-bucket", under="")
    cloud.cli("key", "delete", key["access_key"])
    bring(second, "secret-of-the-second-0002")
    raw = Raw(cloud).sign_in(key["access_key"], "secret-of-the-second-0002")
    assert state(raw) == {}
    assert raw.ask("GET", "/jobs")[2].count("data-job=") == 0
    assert raw.ask("GET", "/sessions")[2].count('name="id"') == 1


def test_a_job_ends_with_its_key(cloud, s3, buckets):
    account = cloud.cli_json("account", "create", f"jobs-{uuid.uuid4().hex[:6]}", "--json")["id"]
    bucket, key = f"jobs-end-{uuid.uuid4().hex[:8]}", None
    first = cloud.cli_json("key", "create", "--account", account, "--json")
    own = client(cloud, first)
    own.create_bucket(Bucket=bucket)
    count = 500
    while True:
        key = cloud.cli_json("key", "create", "--account", account, "--json")
        raw = Raw(cloud).sign_in(key["access_key"], key["secret_key"])
        fill(own, bucket, f"{count}/", count)
        assert begin(raw, bucket, f"{count}/", do="delete", name=bucket)[0] == 303
        cloud.cli("key", "disable", key["access_key"])
        # Nobody can ask how far it is: the log says when it ended.
        deadline = time.monotonic() + LONG_S
        while not (said := ended_in_log(cloud, key["access_key"])):
            assert time.monotonic() < deadline, "the job goes on"
            time.sleep(0.05)
        if "Done" not in said:
            break
        count *= 4
        assert count < 100_000, "jobs end at once"
    assert "Broken" in said and keys(own, bucket)
    cloud.cli("key", "enable", key["access_key"])
    raw = Raw(cloud).sign_in(key["access_key"], key["secret_key"])
    assert "is disabled, or the job is older than a day" in ended(raw)


def ended_in_log(cloud, key):
    lines = cloud.log_text().splitlines()
    begun = [line for line in lines if "a job begins" in line and key in line]
    id = re.search(r"job=\"?([0-9a-f]{16})", begun[-1])[1] if begun else "none"
    return "".join(line for line in lines if "a job has ended" in line and id in line)
