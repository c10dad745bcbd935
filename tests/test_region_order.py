"""What a client did through a region counts for what it does next there, in each mode of writes."""

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from fleet import Fleet, eventually

EU, ME = "eu-central-1", "me-east-1"
ROUNDS = 25


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("own-writes") / "data", 3).start()
    yield fleet
    fleet.stop()


def bucket(fleet, name, *options):
    fleet.bucket(name, EU, ME, options=list(options))
    eventually(lambda: fleet.s3(ME).head_bucket(Bucket=name))
    eventually(lambda: fleet.json("bucket", "show", name)["replica_status"][0]["behind"] == 0)
    return fleet.s3(ME), fleet.s3(EU)


def settled(fleet, s3, home, name):
    """Until both regions have the same, this of the home."""
    s3.put_object(Bucket=name, Key="last", Body=b"x")
    eventually(lambda: home.head_object(Bucket=name, Key="last"))
    keys = lambda client: [one["Key"] for one in client.list_objects_v2(Bucket=name)["Contents"]]
    eventually(lambda: keys(s3) == keys(home))
    return keys(home)


def test_what_a_region_forwarded_is_deleted_there(fleet):
    s3, home = bucket(fleet, "own-deleted", "--writes", "any")
    for n in range(ROUNDS):
        key = f"k{n}"
        s3.put_object(Bucket="own-deleted", Key=key, Body=b"x", IfNoneMatch="*")
        if n % 2:
            s3.put_object_tagging(Bucket="own-deleted", Key=key,
                                  Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
        if n % 3:
            s3.delete_object(Bucket="own-deleted", Key=key)
        else:
            s3.delete_objects(Bucket="own-deleted", Delete={"Objects": [{"Key": key}]})
    assert settled(fleet, s3, home, "own-deleted") == ["last"]


def test_a_condition_holds_against_what_the_region_wrote(fleet):
    s3, home = bucket(fleet, "own-conditions", "--writes", "any")
    for n in range(ROUNDS):
        s3.put_object(Bucket="own-conditions", Key=f"k{n}", Body=b"first")
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket="own-conditions", Key=f"k{n}", Body=b"second", IfNoneMatch="*")
        assert refused.value.response["Error"]["Code"] == "PreconditionFailed"
        s3.copy_object(Bucket="own-conditions", Key=f"c{n}", CopySource=f"own-conditions/k{n}")
    settled(fleet, s3, home, "own-conditions")
    body = home.get_object(Bucket="own-conditions", Key="k0")["Body"].read()
    assert body == b"first"


def test_versions_are_kept_from_the_answer_on(fleet):
    for n in range(5):
        name = f"own-versions-{n}"
        s3, home = bucket(fleet, name, "--writes", "any")
        s3.put_object(Bucket=name, Key="k", Body=b"old")
        s3.put_object(Bucket=name, Key="d", Body=b"old")
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=name, Key="k", Body=b"newer")
        s3.delete_object(Bucket=name, Key="d")
        settled(fleet, s3, home, name)
        kept = {(one["Key"], one["VersionId"], one["Size"])
                for one in home.list_object_versions(Bucket=name)["Versions"]}
        assert ("k", "null", 3) in kept and ("d", "null", 3) in kept, kept


@pytest.mark.parametrize("mode", ["home", "any"])
def test_what_is_taken_back_through_a_region_is_refused_there(fleet, mode):
    name = f"own-policy-{mode}"
    s3, _ = bucket(fleet, name, "--writes", mode)
    anybody = boto3.client("s3", endpoint_url=fleet.regions[ME]["endpoint"], region_name=ME,
                           config=Config(signature_version=UNSIGNED,
                                         s3={"addressing_style": "path"},
                                         retries={"max_attempts": 1}))
    policy = ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
              f'"Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::{name}",'
              f'"arn:aws:s3:::{name}/*"]}}]}}')
    s3.delete_public_access_block(Bucket=name)
    for n in range(5):
        # Two equal requests of one second are one too many where they are forwarded.
        eventually(lambda: s3.put_bucket_policy(Bucket=name, Policy=policy))
        # Readers whom the policy lets in wait for what was forwarded, as the account does.
        s3.put_object(Bucket=name, Key=f"k{n}", Body=b"x")
        assert anybody.get_object(Bucket=name, Key=f"k{n}")["Body"].read() == b"x"
        assert anybody.list_objects_v2(Bucket=name)["KeyCount"] == n + 1
        eventually(lambda: s3.delete_bucket_policy(Bucket=name))
        with pytest.raises(ClientError) as refused:
            anybody.get_object(Bucket=name, Key=f"k{n}")
        assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_what_was_forwarded_counts_when_the_mode_changes(fleet):
    s3, home = bucket(fleet, "own-modes")
    for n in range(12):
        key = f"k{n}"
        s3.put_object(Bucket="own-modes", Key=key, Body=b"x")
        fleet.cli("bucket", "place", "own-modes", "--writes", "home" if n % 2 else "any")
        eventually(lambda: s3.delete_object(Bucket="own-modes", Key=key))
    assert settled(fleet, s3, home, "own-modes") == ["last"]
