"""Users and roles that bucket policies name: who is meant, and who no more is."""

import json

import pytest
from botocore.exceptions import ClientError

from conftest import client_for
from test_policies import DENIED, code, policy, statement
from test_users import Person, allow, deny, document, iam_for


def new_account(cloud, name):
    made = cloud.cli_json("account", "create", name, "--json")
    key = cloud.cli_json("key", "create", "--account", made["id"], "--json")
    pair = (key["access_key"], key["secret_key"])
    return made["id"], iam_for(cloud, *pair), client_for(cloud, *pair)


@pytest.fixture(scope="module")
def owner(cloud):
    return new_account(cloud, "principals-owner")


@pytest.fixture(scope="module")
def other(cloud):
    return new_account(cloud, "principals-other")


_buckets = iter(range(10**6))


@pytest.fixture
def named(owner):
    """A bucket with an object."""
    _, _, s3 = owner
    name = f"principals-{next(_buckets)}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"k")
    return name


def arn(account, person, path="/"):
    return f"arn:aws:iam::{account}:user{path}{person.name}"


def read(s3, bucket):
    return s3.get_object(Bucket=bucket, Key="k")["Body"].read()


def test_a_policy_names_one_user_and_no_other(cloud, owner, named):
    account, iam, s3 = owner
    meant, another = Person(cloud, iam), Person(cloud, iam)
    text = policy(statement(named, {"AWS": arn(account, meant)}, "s3:GetObject"))
    s3.put_bucket_policy(Bucket=named, Policy=text)
    assert s3.get_bucket_policy(Bucket=named)["Policy"] == text
    assert read(meant.s3, named) == b"k"
    assert code(another.s3.get_object, Bucket=named, Key="k") == DENIED
    assert code(meant.s3.put_object, Bucket=named, Key="k", Body=b"x") == DENIED
    # A deny in the user's own policy is final.
    meant.put(document(deny("s3:GetObject")))
    assert code(meant.s3.get_object, Bucket=named, Key="k") == DENIED


def test_a_deny_for_one_user_is_for_nobody_else(cloud, owner, named):
    account, iam, s3 = owner
    meant, another = (Person(cloud, iam, document(allow("s3:*"))) for _ in range(2))
    s3.put_bucket_policy(Bucket=named, Policy=policy(
        statement(named, {"AWS": arn(account, meant)}, "s3:*", effect="Deny")))
    assert code(meant.s3.get_object, Bucket=named, Key="k") == DENIED
    assert read(another.s3, named) == b"k" and read(s3, named) == b"k"


def test_a_user_of_another_account_needs_both_sides(cloud, owner, other, named):
    _, _, s3 = owner
    account, iam, _ = other
    person = Person(cloud, iam)
    wanted = policy(statement(named, {"AWS": arn(account, person)}, "s3:GetObject"))
    s3.put_bucket_policy(Bucket=named, Policy=wanted)
    assert code(person.s3.get_object, Bucket=named, Key="k") == DENIED
    person.put(document(allow("s3:GetObject", f"arn:aws:s3:::{named}/*")))
    assert read(person.s3, named) == b"k"
    s3.delete_bucket_policy(Bucket=named)
    assert code(person.s3.get_object, Bucket=named, Key="k") == DENIED


def test_a_name_that_is_given_again_is_somebody_else(cloud, owner, named):
    account, iam, s3 = owner
    first = Person(cloud, iam, name="phoenix")
    s3.put_bucket_policy(Bucket=named, Policy=policy(
        statement(named, {"AWS": arn(account, first)}, "s3:GetObject")))
    assert read(first.s3, named) == b"k"
    iam.delete_access_key(UserName="phoenix", AccessKeyId=first.pair[0])
    iam.delete_user(UserName="phoenix")
    # What is left of the user is the id, which nobody gets again.
    shown = json.loads(s3.get_bucket_policy(Bucket=named)["Policy"])
    assert shown["Statement"][0]["Principal"] == {"AWS": first.id}
    second = Person(cloud, iam, name="phoenix")
    assert second.id != first.id
    assert code(second.s3.get_object, Bucket=named, Key="k") == DENIED
    # Also where what was shown is set again.
    s3.put_bucket_policy(Bucket=named, Policy=json.dumps(shown))
    assert code(second.s3.get_object, Bucket=named, Key="k") == DENIED
    s3.put_bucket_policy(Bucket=named, Policy=policy(
        statement(named, {"AWS": arn(account, second)}, "s3:GetObject")))
    assert read(second.s3, named) == b"k"


def test_a_user_with_another_name_is_still_meant(cloud, owner, named):
    account, iam, s3 = owner
    person = Person(cloud, iam)
    s3.put_bucket_policy(Bucket=named, Policy=policy(
        statement(named, {"AWS": arn(account, person)}, "s3:GetObject")))
    iam.update_user(UserName=person.name, NewUserName="renamed-since", NewPath="/team/")
    assert read(person.s3, named) == b"k"
    shown = json.loads(s3.get_bucket_policy(Bucket=named)["Policy"])
    now = f"arn:aws:iam::{account}:user/team/renamed-since"
    assert shown["Statement"][0]["Principal"] == {"AWS": now}
    taker = Person(cloud, iam, name=person.name)
    assert code(taker.s3.get_object, Bucket=named, Key="k") == DENIED


@pytest.mark.parametrize("principal", [
    "arn:aws:iam::ACCOUNT:user/nobody",
    "arn:aws:iam::ACCOUNT:role/nobody",
    "arn:aws:iam::ACCOUNT:user/wrong/path/somebody",
    "arn:aws:iam::ACCOUNT:user/SOMEBODY",
    "arn:aws:iam::999999999999:user/somebody",
    "arn:aws:iam::ACCOUNT:group/somebody",
])
def test_who_does_not_exist_is_refused_with_the_place(cloud, owner, named, principal):
    account, iam, s3 = owner
    try:
        iam.create_user(UserName="somebody")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "EntityAlreadyExists"
    text = json.dumps({"Version": "2012-10-17", "Statement": [
        statement(named, {"AWS": account}, "s3:GetObject"),
        statement(named, {"AWS": [principal.replace("ACCOUNT", account)]}, "s3:GetObject")]})
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_policy(Bucket=named, Policy=text)
    error = refused.value.response["Error"]
    assert error["Code"] == "MalformedPolicy", error
    assert "Invalid principal in policy" in error["Message"], error
    assert "statement 2" in error["Message"] and "column" in error["Message"], error
    assert code(s3.get_bucket_policy, Bucket=named) == ("NoSuchBucketPolicy", 404)
