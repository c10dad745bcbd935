"""Users in a cloud of several regions: where they are known, and how fast a change holds there."""

import json

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from fleet import Fleet, body, code, eventually

FIRST, EU = "cn-hangzhou", "eu-central-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("users") / "data", 2).start()
    yield fleet
    fleet.stop()


def iam_for(fleet, key, region=FIRST, sign_for=None):
    return boto3.client(
        "iam", endpoint_url=fleet.regions[region]["endpoint"] + "/-/iam",
        region_name=sign_for or region, aws_access_key_id=key[0], aws_secret_access_key=key[1],
        config=Config(retries={"total_max_attempts": 1}))


def account(fleet, name):
    made = fleet.json("account", "create", name)["id"]
    key = fleet.json("key", "create", "--account", made)
    return made, (key["access_key"], key["secret_key"])


def user(iam, name, *statements):
    iam.create_user(UserName=name)
    if statements:
        put(iam, name, *statements)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def put(iam, name, *statements):
    text = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Action": action, "Resource": resource}
        for effect, action, resource in statements]})
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=text)


def refused_with(want, call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] == want
    return False


def test_a_change_of_a_user_holds_in_the_other_region(fleet):
    owner, root = account(fleet, "users-there")
    iam = iam_for(fleet, root)
    # A replica in the other region: reads are decided there, and writes are forwarded.
    fleet.bucket("users-there", EU, FIRST, options=("--owner", owner))
    eventually(lambda: fleet.s3(EU, root).put_object(Bucket="users-there", Key="k", Body=b"here"))
    key = user(iam, "anna")
    there = fleet.s3(EU, key)
    eventually(lambda: refused_with("AccessDenied", there.list_buckets))
    put(iam, "anna", ("Allow", "s3:GetObject", "arn:aws:s3:::users-there/*"))
    eventually(lambda: body(there, "users-there", "k") == b"here")
    assert refused_with("AccessDenied", lambda: there.delete_object(Bucket="users-there", Key="k"))
    passed = fleet.s3(FIRST, key)
    eventually(lambda: body(passed, "users-there", "k") == b"here")
    assert refused_with("AccessDenied", lambda: passed.put_object(
        Bucket="users-there", Key="k", Body=b"x"))
    put(iam, "anna", ("Allow", "s3:*", "*"), ("Deny", "s3:GetObject", "*"))
    eventually(lambda: refused_with(
        "AccessDenied", lambda: there.get_object(Bucket="users-there", Key="k")))
    there.put_object(Bucket="users-there", Key="more", Body=b"x")
    passed.put_object(Bucket="users-there", Key="more", Body=b"y")
    # A policy that every account has counts there too.
    iam.delete_user_policy(UserName="anna", PolicyName="own")
    readonly = {"UserName": "anna", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}
    iam.attach_user_policy(**readonly)
    eventually(lambda: body(there, "users-there", "k") == b"here")
    assert refused_with("AccessDenied", lambda: there.put_object(
        Bucket="users-there", Key="k", Body=b"x"))
    # A key that is disabled, and one that is deleted with its user.
    iam.update_access_key(UserName="anna", AccessKeyId=key[0], Status="Inactive")
    eventually(lambda: refused_with("InvalidAccessKeyId", there.list_buckets))
    iam.update_access_key(UserName="anna", AccessKeyId=key[0], Status="Active")
    eventually(there.list_buckets)
    iam.delete_access_key(UserName="anna", AccessKeyId=key[0])
    iam.detach_user_policy(**readonly)
    iam.delete_user(UserName="anna")
    eventually(lambda: refused_with("InvalidAccessKeyId", there.list_buckets))


def late(answer):
    """The regions that an answer names: they may not have what was taken away."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers.get("x-dhow-not-yet-in", "").split(", ")


def test_what_is_taken_away_is_gone_in_the_other_region_with_the_answer(fleet):
    """Each first request there is refused, unless the answer says that the region may be late."""
    owner, root = account(fleet, "users-at-once")
    other, guest = account(fleet, "users-at-once-guest")
    iam, bucket = iam_for(fleet, root), "users-at-once"
    fleet.bucket(bucket, FIRST, EU, options=("--owner", owner))
    here = fleet.s3(FIRST, root)
    eventually(lambda: here.put_object(Bucket=bucket, Key="k", Body=b"here"))
    all_of = "arn:aws:s3:::*"
    key = user(iam, "anna", ("Allow", "s3:*", all_of))
    there, of_guest = fleet.s3(EU, key), fleet.s3(EU, guest)
    for client in (there, of_guest):
        eventually(lambda: client.list_buckets())

    def lets_in(account):
        return here.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
            "Version": "2012-10-17", "Statement": {
                "Effect": "Allow", "Principal": {"AWS": account}, "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*"}}))

    def is_gone(client, want, answer):
        if EU in late(answer):
            return eventually(lambda: refused_with(want, read(client)))
        assert refused_with(want, read(client)), answer
        return None

    def read(client):
        return lambda: client.get_object(Bucket=bucket, Key="k")

    for _ in range(3):
        put(iam, "anna", ("Allow", "s3:*", all_of))
        eventually(read(there))
        answer = iam.delete_user_policy(UserName="anna", PolicyName="own")
        is_gone(there, "AccessDenied", answer)
        # What the home of a bucket takes away is gone at its replica.
        lets_in(other)
        eventually(read(of_guest))
        is_gone(of_guest, "AccessDenied", lets_in(owner))
        lets_in(other)
        eventually(read(of_guest))
        is_gone(of_guest, "AccessDenied", here.delete_bucket_policy(Bucket=bucket))
    put(iam, "anna", ("Allow", "s3:*", all_of))
    eventually(read(there))
    is_gone(there, "InvalidAccessKeyId", iam.update_access_key(
        UserName="anna", AccessKeyId=key[0], Status="Inactive"))
    iam.update_access_key(UserName="anna", AccessKeyId=key[0], Status="Active")
    eventually(read(there))
    named = fleet.json("account", "suspend", owner).get("not_yet_in", [])
    assert EU in named or refused_with("AccountProblem", read(there)), named


def test_a_region_that_does_not_answer_is_named(fleet):
    owner, root = account(fleet, "users-late")
    iam, bucket = iam_for(fleet, root), "users-late"
    fleet.bucket(bucket, FIRST, EU, options=("--owner", owner))
    here = fleet.s3(FIRST, root)
    eventually(lambda: here.put_object(Bucket=bucket, Key="k", Body=b"here"))
    key = user(iam, "anna")
    there = fleet.s3(EU, key)
    eventually(lambda: refused_with("AccessDenied", there.list_buckets))
    fleet.freeze(EU)
    try:
        answer = iam.put_user_policy(UserName="anna", PolicyName="own", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": {
                "Effect": "Deny", "Action": "*", "Resource": "*"}}))
        assert late(answer) == [EU]
        assert late(here.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})) == [EU]
        done = fleet.cli("user", "key", "disable", "anna", key[0], "--account", owner)
        assert f"Not known yet in {EU}" in done.stderr, done
        # It does not hold up what only gives.
        assert EU not in late(iam.create_user(UserName="bert"))
    finally:
        fleet.thaw(EU)
    eventually(lambda: refused_with("InvalidAccessKeyId", there.list_buckets))
    assert late(eventually(lambda: iam.delete_access_key(
        UserName="anna", AccessKeyId=key[0]))) in ([""], [EU])


def test_a_user_makes_buckets_where_a_policy_says_so(fleet):
    """In a region that has nothing of the account, and learns of the user by the request."""
    _, root = account(fleet, "users-new")
    iam = iam_for(fleet, root)
    location = {"LocationConstraint": EU}
    key = user(iam, "bob", ("Allow", "s3:*", "arn:aws:s3:::bobs-*"))
    there = fleet.s3(EU, key)
    eventually(lambda: there.create_bucket(Bucket="bobs-first", CreateBucketConfiguration=location))
    there.put_object(Bucket="bobs-first", Key="k", Body=b"x")
    assert refused_with("AccessDenied", lambda: there.create_bucket(
        Bucket="others", CreateBucketConfiguration=location))
    eventually(lambda: "bobs-first" in [
        b["Name"] for b in fleet.s3(FIRST, root).list_buckets()["Buckets"]])
    put(iam, "bob", ("Allow", "s3:*", "arn:aws:s3:::bobs-*"), ("Deny", "s3:DeleteBucket", "*"))
    there.delete_object(Bucket="bobs-first", Key="k")
    eventually(lambda: refused_with(
        "AccessDenied", lambda: there.delete_bucket(Bucket="bobs-first")))


def test_identities_are_changed_where_the_registry_is_kept(fleet):
    _, root = account(fleet, "users-elsewhere")
    there = iam_for(fleet, root, EU)
    with pytest.raises(ClientError) as refused:
        eventually(there.list_users, timeout=0)
    assert code(refused) in ("InvalidAction", "InvalidClientTokenId")
    eventually(lambda: fleet.s3(EU, root).create_bucket(
        Bucket="users-elsewhere", CreateBucketConfiguration={"LocationConstraint": EU}))
    eventually(lambda: refused_with("InvalidAction", there.list_users))
    with pytest.raises(ClientError) as refused:
        there.list_users()
    said = str(refused.value)
    assert FIRST in said and fleet.regions[FIRST]["endpoint"] in said, said
    # Who has no key there learns nothing of other regions.
    with pytest.raises(ClientError) as refused:
        iam_for(fleet, ("DHOW" + "A" * 16, "x" * 40), EU).list_users()
    assert code(refused) == "InvalidClientTokenId" and FIRST not in str(refused.value)
    # What is signed for the other region is no request to the keeper.
    with pytest.raises(ClientError) as refused:
        iam_for(fleet, root, FIRST, sign_for=EU).list_users()
    assert code(refused) == "SignatureDoesNotMatch"


def test_a_region_without_the_accounts_buckets_knows_none_of_its_users(fleet):
    owner, root = account(fleet, "users-canary")
    iam = iam_for(fleet, root)
    fleet.s3(FIRST, root).create_bucket(Bucket="users-canary")
    user(iam, "canary-name-7f3a", ("Allow", "s3:GetObject", "arn:aws:s3:::canary-policy-7f3a/*"))
    iam.tag_user(UserName="canary-name-7f3a", Tags=[{"Key": "k", "Value": "canary-tag-7f3a"}])
    # The other region has heard of the change.
    marked, _ = account(fleet, "users-after")
    eventually(lambda: marked in folder_text(fleet, EU))
    assert "canary-name-7f3a" in folder_text(fleet, FIRST)
    there = folder_text(fleet, EU)
    assert owner in there
    for word in ("canary-name", "canary-policy", "canary-tag"):
        assert word not in there, word
    assert "canary" not in json.dumps(fleet.audit()).replace("users-canary", "")


def folder_text(fleet, region):
    """All that a region has on its disk."""
    folder = fleet.data / region
    assert folder.is_dir(), list(fleet.data.iterdir())
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(path.read_bytes().decode("latin-1") for path in files)
