"""Why a request is allowed or refused, where the bucket's home is another region than the
registry's."""

import json

import pytest

from fleet import Fleet, eventually
from test_policies import statement
from test_users_regions import account, iam_for, refused_with, user

FIRST, EU = "cn-hangzhou", "eu-central-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    cloud = Fleet(tmp_path_factory.mktemp("why") / "fleet", 2).start()
    yield cloud
    cloud.stop()


def explain(fleet, owner, *args, resource, action="s3:GetObject"):
    done = fleet.cli("access", "explain", "--account", owner, "--action", action, "--resource",
                     resource, *args, "--json", check=False)
    assert done.returncode in (0, 3, 4), done.stderr
    told = json.loads(done.stdout)
    return told["verdict"], told


def policy(bucket, *statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {**one, "Resource": f"arn:aws:s3:::{bucket}/*"} for one in statements]})


def test_the_home_decides_with_its_documents_or_it_is_not_known(fleet):
    owner, root = account(fleet, "why-fleet")
    iam = iam_for(fleet, root)
    user(iam, "ann", ("Allow", "s3:GetObject", "arn:aws:s3:::why-fleet/*"))
    there = fleet.s3(EU, root)
    eventually(lambda: there.create_bucket(
        Bucket="why-fleet", CreateBucketConfiguration={"LocationConstraint": EU}))
    there.put_object(Bucket="why-fleet", Key="k", Body=b"x")
    resource, who = "arn:aws:s3:::why-fleet/k", ["--user", "ann"]
    verdict, told = explain(fleet, owner, *who, resource=resource)
    assert verdict == "allowed", told
    assert any(EU in check["why"] for check in told["checks"])
    there.put_bucket_policy(Bucket="why-fleet", Policy=policy("why-fleet", {
        "Sid": "Closed", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"}))
    verdict, told = explain(fleet, owner, *who, resource=resource)
    assert verdict == "refused" and "(Closed) of the policy of the bucket" in told["reason"]
    there.delete_bucket_policy(Bucket="why-fleet")
    # Without the home's documents nothing is called allowed, whatever the user's policies say.
    fleet.freeze(EU)
    try:
        verdict, told = explain(fleet, owner, *who, resource=resource)
        assert verdict == "unknown" and EU in told["reason"], told
        # What a policy of the user denies nothing can allow.
        iam.put_user_policy(UserName="ann", PolicyName="no", PolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": {
                "Effect": "Deny", "Action": "s3:*", "Resource": "*"}}))
        verdict, told = explain(fleet, owner, *who, resource=resource)
        assert verdict == "refused" and "policy no of the user denies" in told["reason"]
        # A bucket's policy could allow what no policy of the user does.
        for name in ("no", "own"):
            iam.delete_user_policy(UserName="ann", PolicyName=name)
        assert explain(fleet, owner, *who, resource=resource)[0] == "unknown"
    finally:
        fleet.thaw(EU)
    verdict, told = eventually(lambda: (found := explain(
        fleet, owner, *who, resource=resource))[0] == "refused" and found)
    assert "no policy" in told["reason"]


def test_a_new_buckets_home_counts_where_no_region_is_named(fleet):
    _, root = account(fleet, "why-located")
    iam = iam_for(fleet, root)
    key = user(iam, "ben", ("Allow", "s3:CreateBucket", "*"))
    there = fleet.s3(EU, key)
    eventually(lambda: there.create_bucket(Bucket="why-located-1"))
    iam.put_user_policy(UserName="ben", PolicyName="not-there", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": {
            "Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "*",
            "Condition": {"StringEquals": {"s3:LocationConstraint": EU}}}}))
    eventually(lambda: refused_with(
        "AccessDenied", lambda: there.create_bucket(Bucket="why-located-2")))
    assert refused_with("AccessDenied", lambda: there.create_bucket(
        Bucket="why-located-2", CreateBucketConfiguration={"LocationConstraint": EU}))
    fleet.s3(FIRST, key).create_bucket(Bucket="why-located-3")
