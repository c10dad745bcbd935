"""Bucket policies over regions: where a bucket is held its documents decide, elsewhere nobody but
its owner gets anything, and they stay with the bucket when its home moves."""

import json
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from fleet import Fleet, body, eventually

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 3,
                  args=["--stale-after-s", "30"]).start()
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def other(fleet):
    """The key of another account, and its number."""
    account = fleet.json("account", "create", "neighbour")
    key = fleet.json("key", "create", "--account", account["id"])
    return (key["access_key"], key["secret_key"]), account["id"]


def code(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def grant(s3, bucket, principal, *actions):
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": list(actions),
                       "Resource": f"arn:aws:s3:::{bucket}/*"}]}))


def anonymous(fleet, region, path, headers=None, method="GET"):
    url = f"{fleet.regions[region]['endpoint']}/{path}"
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_policy_decides_where_the_bucket_is_held(fleet, other):
    key, account = other
    fleet.bucket("granted", EU, ME)
    home, copy = fleet.s3(EU), fleet.s3(ME)
    eventually(lambda: home.put_object(Bucket="granted", Key="k", Body=b"k"))
    them = {region: fleet.s3(region, key) for region in fleet.ids}
    for region in fleet.ids:
        refused = eventually(lambda r=region: code(them[r].get_object, Bucket="granted", Key="k"))
        assert refused == "AccessDenied", region
    # Set through the replica's region, which forwards it, it holds there at once.
    grant(copy, "granted", {"AWS": account}, "s3:GetObject", "s3:PutObject")
    text = copy.get_bucket_policy(Bucket="granted")["Policy"]
    assert home.get_bucket_policy(Bucket="granted")["Policy"] == text
    assert body(them[EU], "granted", "k") == b"k"
    eventually(lambda: body(them[ME], "granted", "k") == b"k")
    # Nothing of the bucket is here, so nothing can be decided.
    assert code(them[FIRST].get_object, Bucket="granted", Key="k") == "AccessDenied"
    assert code(them[FIRST].put_object, Bucket="granted", Key="n", Body=b"n") == "AccessDenied"
    them[EU].put_object(Bucket="granted", Key="theirs", Body=b"theirs")
    # A replica takes no writes, and its region has no proof of another account for the home.
    # It names the home, where boto3 goes with the signature for the wrong region.
    assert code(them[ME].put_object, Bucket="granted", Key="moved", Body=b"moved")
    assert code(home.head_object, Bucket="granted", Key="moved") == "404"
    home.delete_bucket_policy(Bucket="granted")
    assert code(them[EU].get_object, Bucket="granted", Key="k") == "AccessDenied"
    eventually(lambda: code(them[ME].get_object, Bucket="granted", Key="k") == "AccessDenied")


def test_the_public_reads_at_a_replica_and_browsers_are_told(fleet):
    fleet.bucket("public", EU, ME)
    home = fleet.s3(EU)
    eventually(lambda: home.put_object(Bucket="public", Key="k", Body=b"k"))
    home.delete_public_access_block(Bucket="public")
    grant(home, "public", "*", "s3:GetObject")
    home.put_bucket_cors(Bucket="public", CORSConfiguration={"CORSRules": [
        {"AllowedOrigins": ["https://a.example"], "AllowedMethods": ["GET"]}]})
    assert anonymous(fleet, EU, "public/k") == (200, b"k")
    eventually(lambda: anonymous(fleet, ME, "public/k") == (200, b"k"))
    assert anonymous(fleet, FIRST, "public/k")[0] == 403
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    eventually(lambda: anonymous(fleet, ME, "public/k", asked, "OPTIONS")[0] == 200)
    assert anonymous(fleet, FIRST, "public/k", asked, "OPTIONS")[0] == 403
    # The block is one of the documents.
    home.put_public_access_block(Bucket="public", PublicAccessBlockConfiguration={
        "RestrictPublicBuckets": True})
    assert anonymous(fleet, EU, "public/k")[0] == 403
    eventually(lambda: anonymous(fleet, ME, "public/k")[0] == 403)


def test_documents_stay_with_the_bucket_when_its_home_moves(fleet, other):
    key, account = other
    fleet.bucket("moving", EU, ME)
    home = fleet.s3(EU)
    eventually(lambda: home.put_object(Bucket="moving", Key="k", Body=b"k"))
    grant(home, "moving", {"AWS": account}, "s3:GetObject")
    text = home.get_bucket_policy(Bucket="moving")["Policy"]
    fleet.cli("bucket", "move", "moving", "--to", ME, timeout=120)
    new = fleet.s3(ME)
    assert eventually(lambda: new.get_bucket_policy(Bucket="moving")["Policy"]) == text
    them = fleet.s3(ME, key)
    eventually(lambda: body(them, "moving", "k") == b"k")
    eventually(lambda: new.delete_bucket_policy(Bucket="moving"))
    assert code(them.get_object, Bucket="moving", Key="k") == "AccessDenied"
    old = fleet.s3(EU, key)
    eventually(lambda: code(old.get_object, Bucket="moving", Key="k") == "AccessDenied")


def test_lists_hold_at_a_replica_and_at_a_new_home(fleet, other):
    """Access control lists of a bucket and of an object: set at the home and through the replica's
    region, decided by at both, and with the bucket when its home moves."""
    key, _ = other
    fleet.bucket("listed", EU, ME)
    home, copy = fleet.s3(EU), fleet.s3(ME)
    them = {region: fleet.s3(region, key) for region in (EU, ME)}
    eventually(lambda: home.put_object(Bucket="listed", Key="k", Body=b"k"))
    home.put_object(Bucket="listed", Key="other", Body=b"other")
    grantee = f"id={eventually(them[EU].list_buckets)['Owner']['ID']}"
    home.put_bucket_ownership_controls(Bucket="listed", OwnershipControls={
        "Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    reads = lambda region, name="k": code(them[region].get_object, Bucket="listed", Key=name)
    lists = lambda region: code(them[region].list_objects_v2, Bucket="listed")
    for region in (EU, ME):
        assert (reads(region), lists(region)) == ("AccessDenied", "AccessDenied")
    # Through the replica's region, which forwards it: at the home it holds at once.
    eventually(lambda: copy.put_object_acl(Bucket="listed", Key="k", GrantRead=grantee))
    copy.put_bucket_acl(Bucket="listed", GrantRead=grantee)
    assert (reads(EU), lists(EU)) == (None, None)
    eventually(lambda: (reads(ME), lists(ME)) == (None, None))
    assert reads(EU, "other") == reads(ME, "other") == "AccessDenied"
    grants = lambda s3: s3.get_object_acl(Bucket="listed", Key="k")["Grants"]
    assert grants(copy) == grants(home) and len(grants(home)) == 1
    # At a home that was moved the same holds, and what is taken away there is gone at both.
    fleet.cli("bucket", "move", "listed", "--to", ME, timeout=120)
    eventually(lambda: (reads(ME), lists(ME)) == (None, None))
    assert reads(ME, "other") == "AccessDenied"
    eventually(lambda: copy.put_object_acl(Bucket="listed", Key="k", ACL="private"))
    copy.put_bucket_acl(Bucket="listed", ACL="private")
    assert (reads(ME), lists(ME)) == ("AccessDenied", "AccessDenied")
    eventually(lambda: (reads(EU), lists(EU)) == ("AccessDenied", "AccessDenied"))
    # Without lists nothing that is stored counts, at either.
    home.put_object_acl(Bucket="listed", Key="k", GrantRead=grantee)
    eventually(lambda: reads(EU) is None and reads(ME) is None)
    copy.put_bucket_ownership_controls(Bucket="listed", OwnershipControls={
        "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    assert reads(ME) == "AccessDenied"
    eventually(lambda: reads(EU) == "AccessDenied")


def test_a_region_that_is_cut_off_answers_only_the_buckets_own_account_after_a_while(fleet):
    fleet.bucket("cut-off", EU, ME)
    fleet.bucket("cut-own", ME)
    for bucket, region in (("cut-off", EU), ("cut-own", ME)):
        home = fleet.s3(region)
        eventually(lambda: home.put_object(Bucket=bucket, Key="k", Body=b"k"))
        home.delete_public_access_block(Bucket=bucket)
        grant(home, bucket, "*", "s3:GetObject")
        eventually(lambda: anonymous(fleet, ME, f"{bucket}/k") == (200, b"k"))
    fleet.freeze(EU, FIRST)
    try:
        for bucket in ("cut-off", "cut-own"):
            eventually(lambda: anonymous(fleet, ME, f"{bucket}/k")[0] == 503, timeout=120)
        text = lambda bucket: anonymous(fleet, ME, f"{bucket}/k")[1].decode()
        eventually(lambda: f"home (region {EU})" in text("cut-off"))
        assert "the registry for " in text("cut-own") and "home (" not in text("cut-own")
        # Its own account goes on with what is here.
        assert body(fleet.s3(ME), "cut-off", "k") == b"k"
        assert "dhow_access_stale_buckets 0" not in fleet.metrics(ME)
    finally:
        fleet.thaw(EU, FIRST)
    for bucket in ("cut-off", "cut-own"):
        eventually(lambda: anonymous(fleet, ME, f"{bucket}/k") == (200, b"k"))
    eventually(lambda: "dhow_access_stale_buckets 0" in fleet.metrics(ME))


def test_a_guard_policy_binds_in_other_regions_and_when_the_registry_is_away(fleet, tmp_path):
    """Of the account's own bucket, and of another's that is open to it."""
    account = fleet.json("account", "create", "guarded")["id"]
    made = fleet.json("key", "create", "--account", account)
    key = made["access_key"], made["secret_key"]
    fleet.bucket("guarded-own", EU, ME, options=("--owner", account))
    fleet.bucket("guarded-open", EU)
    mine, theirs = fleet.s3(EU, key), fleet.s3(EU)
    eventually(lambda: mine.put_object(Bucket="guarded-own", Key="k", Body=b"k"))
    eventually(lambda: theirs.put_object(Bucket="guarded-open", Key="k", Body=b"k"))
    grant(theirs, "guarded-open", {"AWS": account}, "s3:GetObject")
    reads = lambda region, name="guarded-own": code(
        fleet.s3(region, key).get_object, Bucket=name, Key="k")
    everywhere = lambda: [reads(EU), reads(ME)]
    eventually(lambda: everywhere() == [None] * 2)
    assert reads(EU, "guarded-open") is None
    text = tmp_path / "guard.json"
    text.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}]}))
    fleet.cli("account", "guard-policy", account, "--set", text)
    eventually(lambda: everywhere() == ["AccessDenied"] * 2)
    assert reads(EU, "guarded-open") == "AccessDenied"
    # What it allows goes on, and a region that is cut off keeps it.
    mine.put_object(Bucket="guarded-own", Key="other", Body=b"other")
    fleet.freeze(FIRST)
    try:
        assert everywhere() == ["AccessDenied"] * 2
        assert reads(EU, "guarded-open") == "AccessDenied"
    finally:
        fleet.thaw(FIRST)
    fleet.cli("account", "guard-policy", account, "--remove")
    eventually(lambda: everywhere() == [None] * 2)
    assert reads(EU, "guarded-open") is None
