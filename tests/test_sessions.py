"""Sessions: STS with its own clients, and what sessions may do. Each refusal here is one that some
other server once missed."""

import base64
import datetime
import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from conftest import client_for
from test_roles import trust
from test_users import ONCE, Person, allow, deny, document, iam_for

DENIED = "AccessDenied"
AWS = str(Path(sys.executable).parent / "aws")


def code(call, *args, **kwargs):
    with pytest.raises(ClientError) as refused:
        call(*args, **kwargs)
    return refused.value.response["Error"]["Code"]


def sts_for(server, access_key=None, secret_key=None, token=None, region=None):
    return boto3.client(
        "sts", endpoint_url=f"{server.endpoint}/-/sts", region_name=region or server.region,
        aws_access_key_id=access_key or server.access_key,
        aws_secret_access_key=secret_key or server.secret_key, aws_session_token=token,
        config=Config(retries={"total_max_attempts": 5}))


class Session:
    """A session's key and token, and clients with them."""

    def __init__(self, cloud, answer):
        made = answer["Credentials"]
        self.answer = answer
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]
        self.token, self.expires = made["SessionToken"], made["Expiration"]
        self.s3 = s3_with(cloud, self.key, self.secret, self.token)
        self.sts = sts_for(cloud, self.key, self.secret, self.token)
        self.iam = boto3.client(
            "iam", endpoint_url=f"{cloud.endpoint}/-/iam", region_name=cloud.region,
            aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            aws_session_token=self.token, config=ONCE)


def s3_with(cloud, key, secret, token, **config):
    return boto3.client(
        "s3", endpoint_url=cloud.endpoint, region_name=cloud.region, aws_access_key_id=key,
        aws_secret_access_key=secret, aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"},
                      **config))


class Account:
    def __init__(self, cloud, name):
        self.cloud = cloud
        made = cloud.cli_json("account", "create", name, "--json")
        key = cloud.cli_json("key", "create", "--account", made["id"], "--json")
        self.id, self.pair = made["id"], (key["access_key"], key["secret_key"])
        self.iam, self.s3 = iam_for(cloud, *self.pair), client_for(cloud, *self.pair)
        self.sts = sts_for(cloud, *self.pair)

    def arn(self, kind, name):
        return f"arn:aws:iam::{self.id}:{kind}/{name}"

    def role(self, *statements, trusts=None, **more):
        name = f"role-{next(_names)}"
        self.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=trusts or trust(self.id), **more)
        if statements:
            self.iam.put_role_policy(
                RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
        return name

    def person(self, *statements):
        made = Person(self.cloud, self.iam, document(*statements) if statements else None)
        made.sts = sts_for(self.cloud, *made.pair)
        return made

    def assume(self, person, role, **more):
        more.setdefault("RoleSessionName", "work")
        sts = getattr(person, "sts", person)
        return Session(self.cloud, sts.assume_role(RoleArn=self.arn("role", role), **more))


_names = iter(range(10**6))


@pytest.fixture(scope="module")
def acme(cloud):
    account = Account(cloud, "sessions-of-acme")
    account.s3.create_bucket(Bucket="acme-sessions")
    for key in ("a/1", "b/1"):
        account.s3.put_object(Bucket="acme-sessions", Key=key, Body=key.encode())
    return account


@pytest.fixture(scope="module")
def other(cloud):
    return Account(cloud, "sessions-of-others")


def read(s3, key="a/1", bucket="acme-sessions"):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def get(key="a/1"):
    return {"Bucket": "acme-sessions", "Key": key}


OBJECTS = "arn:aws:s3:::acme-sessions/*"


# What a session is, and what it may do.


def test_who_asks(cloud, acme):
    root = acme.sts.get_caller_identity()
    assert (root["UserId"], root["Account"]) == (acme.id, acme.id)
    assert root["Arn"] == f"arn:aws:iam::{acme.id}:root"
    person = acme.person(deny("*"))
    mine = person.sts.get_caller_identity()
    assert (mine["UserId"], mine["Arn"]) == (person.id, acme.arn("user", person.name))
    person = acme.person(deny("sts:GetCallerIdentity"))
    plain = Session(cloud, person.sts.get_session_token())
    assert plain.sts.get_caller_identity()["Arn"] == acme.arn("user", person.name)
    role = acme.role(allow("s3:GetObject"))
    worker = acme.person(allow("sts:AssumeRole"))
    session = acme.assume(worker, role, RoleSessionName="work-1")
    told = session.sts.get_caller_identity()
    assert told["Arn"] == f"arn:aws:sts::{acme.id}:assumed-role/{role}/work-1"
    assert told["UserId"] == session.answer["AssumedRoleUser"]["AssumedRoleId"]
    # The account itself gets an hour, whatever it asks for.
    long = acme.sts.get_session_token(DurationSeconds=7200)["Credentials"]["Expiration"]
    assert (long - datetime.datetime.now(datetime.timezone.utc)).total_seconds() < 3700
    federated = Session(cloud, acme.sts.get_federation_token(Name="guest"))
    told = federated.sts.get_caller_identity()
    assert told["Arn"] == f"arn:aws:sts::{acme.id}:federated-user/guest"
    assert told["UserId"] == f"{acme.id}:guest"


def test_a_session_of_a_role_may_do_what_the_role_may(acme):
    role = acme.role(allow("s3:GetObject", OBJECTS))
    person = acme.person(allow("sts:AssumeRole", acme.arn("role", role)))
    session = acme.assume(person, role)
    assert session.key.startswith("DHST") and read(session.s3) == b"a/1"
    assert code(session.s3.put_object, **get("x"), Body=b"x") == DENIED
    assert code(person.s3.get_object, **get()) == DENIED
    # Changed while the session runs.
    acme.iam.put_role_policy(RoleName=role, PolicyName="own",
                             PolicyDocument=document(allow("s3:PutObject", OBJECTS)))
    assert code(session.s3.get_object, **get()) == DENIED
    session.s3.put_object(**get("x"), Body=b"x")


def test_whole_uploads_run_with_a_session(cloud, acme):
    role = acme.role(allow("s3:*"))
    session = acme.assume(acme.person(allow("sts:AssumeRole")), role)
    s3 = session.s3
    started = s3.create_multipart_upload(**get("multi"))["UploadId"]
    part = s3.upload_part(**get("multi"), UploadId=started, PartNumber=1, Body=b"p" * 1024)
    s3.complete_multipart_upload(
        **get("multi"), UploadId=started,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert len(read(s3, "multi")) == 1024
    assert s3.list_buckets()["Buckets"]
    s3.copy_object(**get("copied"), CopySource="acme-sessions/multi")
    s3.delete_object(**get("copied"))
    s3.create_bucket(Bucket="made-by-a-session")
    s3.delete_bucket(Bucket="made-by-a-session")


def test_a_session_policy_takes_away_and_gives_nothing(acme):
    role = acme.role(allow("s3:GetObject", OBJECTS))
    person = acme.person(allow("sts:AssumeRole"))
    narrow = acme.assume(person, role, Policy=document(
        allow("s3:*", "arn:aws:s3:::acme-sessions/a/*")))
    assert read(narrow.s3) == b"a/1" and narrow.answer["PackedPolicySize"] > 0
    assert code(narrow.s3.get_object, **get("b/1")) == DENIED
    assert code(narrow.s3.put_object, **get("a/2"), Body=b"x") == DENIED
    nothing = acme.assume(person, role, Policy=document(deny("*"), allow("*")))
    assert code(nothing.s3.get_object, **get()) == DENIED


def test_a_boundary_bounds_a_role(acme):
    role = acme.role(allow("s3:*"))
    arn = acme.iam.create_policy(PolicyName=f"bound-{role}", PolicyDocument=document(
        allow("s3:GetObject", OBJECTS)))["Policy"]["Arn"]
    session = acme.assume(acme.person(allow("sts:AssumeRole")), role)
    session.s3.put_object(**get("y"), Body=b"y")
    acme.iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=arn)
    assert code(session.s3.put_object, **get("y"), Body=b"y") == DENIED
    assert read(session.s3) == b"a/1"


def test_a_session_token_is_the_users_or_the_accounts_own(cloud, acme):
    person = acme.person(allow("s3:GetObject", OBJECTS))
    session = Session(cloud, person.sts.get_session_token(DurationSeconds=900))
    left = session.expires - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=10) < left <= datetime.timedelta(minutes=15)
    assert read(session.s3) == b"a/1"
    assert code(session.s3.put_object, **get("x"), Body=b"x") == DENIED
    root = Session(cloud, acme.sts.get_session_token())
    root.s3.put_object(**get("by-root"), Body=b"x")
    root.s3.delete_object(**get("by-root"))


@pytest.mark.parametrize("action", ["sts:GetSessionToken", "sts:*", "*"])
def test_who_is_denied_a_session_token_gets_none(acme, action):
    person = acme.person(deny(action))
    assert code(person.sts.get_session_token) == DENIED
    # It needs no permission, and no other denial counts.
    acme.person().sts.get_session_token()
    acme.person(deny("sts:GetFederationToken")).sts.get_session_token()


def test_a_federated_user_may_do_what_both_say(cloud, acme):
    person = acme.person(
        allow("sts:GetFederationToken"), allow("s3:GetObject", "arn:aws:s3:::acme-sessions/a/*"))
    bare = Session(cloud, person.sts.get_federation_token(Name="guest"))
    assert code(bare.s3.get_object, **get()) == DENIED
    guest = Session(cloud, person.sts.get_federation_token(
        Name="guest", Policy=document(allow("s3:*"))))
    assert read(guest.s3) == b"a/1"
    assert code(guest.s3.get_object, **get("b/1")) == DENIED
    root = Session(cloud, acme.sts.get_federation_token(
        Name="guest", Policy=document(allow("s3:GetObject", OBJECTS))))
    assert read(root.s3, "b/1") == b"b/1"
    assert code(root.s3.delete_object, **get("b/1")) == DENIED
    assert code(acme.person().sts.get_federation_token, Name="guest") == DENIED


def test_conditions_see_the_session(acme):
    person = acme.person(allow(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]))
    role = acme.role(
        allow("s3:GetObject", "arn:aws:s3:::acme-sessions/${aws:PrincipalTag/prefix}/*"),
        allow("s3:GetObject", "arn:aws:s3:::acme-sessions/b/*",
              Condition={"StringEquals": {"aws:SourceIdentity": "anna"}}),
        trusts=trust(acme.id, action=["sts:AssumeRole", "sts:TagSession",
                                      "sts:SetSourceIdentity"]),
        Tags=[{"Key": "prefix", "Value": "none"}])
    plain = acme.assume(person, role)
    assert code(plain.s3.get_object, **get()) == DENIED
    tagged = acme.assume(person, role, Tags=[{"Key": "PREFIX", "Value": "a"}])
    assert read(tagged.s3) == b"a/1"
    assert code(tagged.s3.get_object, **get("b/1")) == DENIED
    named = acme.assume(person, role, SourceIdentity="anna")
    assert read(named.s3, "b/1") == b"b/1"
    assert named.answer["SourceIdentity"] == "anna"


def test_a_session_tag_takes_the_place_of_the_tag_of_that_key_and_of_no_other(acme):
    person = acme.person(allow(["sts:AssumeRole", "sts:TagSession"]))
    role = acme.role(
        allow("s3:GetObject", OBJECTS),
        deny("s3:GetObject", OBJECTS,
             Condition={"StringEquals": {"aws:PrincipalTag/Kind": "closed"}}),
        trusts=trust(acme.id, action=["sts:AssumeRole", "sts:TagSession"]),
        Tags=[{"Key": "Kind", "Value": "closed"}])
    assume = lambda key: acme.assume(  # noqa: E731
        person, role, Tags=[{"Key": key, "Value": "open"}])
    # The sign of Kelvin is no K, as it is none in a policy.
    for key in ("\u212aind", "Kind2"):
        assert code(assume(key).s3.get_object, **get()) == DENIED, key
    assert read(assume("kIND").s3) == b"a/1"


def test_userid_and_second_factor_are_what_conditions_see(cloud, acme):
    role = acme.role(allow("s3:GetObject", OBJECTS))
    unique = acme.iam.get_role(RoleName=role)["Role"]["RoleId"]
    person = acme.person(allow("sts:AssumeRole"))
    acme.s3.create_bucket(Bucket="seen-by-conditions")
    acme.s3.put_object(Bucket="seen-by-conditions", Key="k", Body=b"k")
    acme.iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=document(
        allow("s3:GetObject", "arn:aws:s3:::seen-by-conditions/*", Condition={
            "StringEquals": {"aws:userid": f"{unique}:one", "aws:PrincipalType": "AssumedRole"},
            "ArnEquals": {"aws:PrincipalArn": acme.arn("role", role)},
            "Bool": {"aws:MultiFactorAuthPresent": "false"},
            "Null": {"aws:username": "true"}})))
    target = {"Bucket": "seen-by-conditions", "Key": "k"}
    one = acme.assume(person, role, RoleSessionName="one")
    assert one.s3.get_object(**target)["Body"].read() == b"k"
    two = acme.assume(person, role, RoleSessionName="two")
    assert code(two.s3.get_object, **target) == DENIED


def test_a_bucket_policy_names_roles_and_sessions(acme):
    role, another = acme.role(), acme.role()
    person = acme.person(allow("sts:AssumeRole"))
    acme.s3.create_bucket(Bucket="named-by-policy")
    acme.s3.put_object(Bucket="named-by-policy", Key="k", Body=b"k")
    target = {"Bucket": "named-by-policy", "Key": "k"}

    def grant(arn, effect="Allow"):
        acme.s3.put_bucket_policy(Bucket="named-by-policy", Policy=json.dumps({
            "Version": "2012-10-17", "Statement": [
                {"Effect": effect, "Principal": {"AWS": arn}, "Action": "s3:GetObject",
                 "Resource": "arn:aws:s3:::named-by-policy/*"}]}))

    grant(acme.arn("role", role))
    session = acme.assume(person, role, RoleSessionName="one")
    assert session.s3.get_object(**target)["Body"].read() == b"k"
    assert code(acme.assume(person, another).s3.get_object, **target) == DENIED
    # A session policy bounds what the bucket's policy gives the role.
    bounded = acme.assume(person, role, Policy=document(allow("s3:PutObject")))
    assert code(bounded.s3.get_object, **target) == DENIED
    grant(f"arn:aws:sts::{acme.id}:assumed-role/{role}/one")
    assert session.s3.get_object(**target)["Body"].read() == b"k"
    two = acme.assume(person, role, RoleSessionName="two")
    assert code(two.s3.get_object, **target) == DENIED
    # A role of the same name that comes later is another, also where a session of it is named.
    for arn in (acme.arn("role", role), f"arn:aws:sts::{acme.id}:assumed-role/{role}/one"):
        grant(arn)
        assert acme.assume(person, role, RoleSessionName="one").s3.get_object(**target)
        acme.iam.delete_role(RoleName=role)
        acme.iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust(acme.id))
        later = acme.assume(person, role, RoleSessionName="one")
        assert code(later.s3.get_object, **target) == DENIED
    # A policy that is written now means it.
    grant(f"arn:aws:sts::{acme.id}:assumed-role/{role}/one")
    assert later.s3.get_object(**target)["Body"].read() == b"k"
    # The ARN of a session is none of a role that somebody could have.
    assert code(person.sts.assume_role, RoleSessionName="one",
                RoleArn=f"arn:aws:sts::{acme.id}:assumed-role/{role}/one") == DENIED


def test_another_account_assumes_a_role_where_both_sides_say_so(acme, other):
    role = acme.role(allow("s3:GetObject", OBJECTS), trusts=trust(
        other.id, Condition={"StringEquals": {"sts:ExternalId": "the-agreed-one"}}))
    person = other.person()
    wanted = dict(RoleArn=acme.arn("role", role), RoleSessionName="work")
    assert code(person.sts.assume_role, ExternalId="the-agreed-one", **wanted) == DENIED
    person.put(document(allow("sts:AssumeRole", acme.arn("role", role))))
    assert code(person.sts.assume_role, **wanted) == DENIED
    assert code(person.sts.assume_role, ExternalId="another", **wanted) == DENIED
    session = Session(acme.cloud, person.sts.assume_role(ExternalId="the-agreed-one", **wanted))
    assert read(session.s3) == b"a/1"
    assert session.sts.get_caller_identity()["Account"] == acme.id
    # Who is of no account that is trusted.
    assert code(acme.person(allow("sts:*")).sts.assume_role,
                ExternalId="the-agreed-one", **wanted) == DENIED
    # A role that is not there is refused in the same words.
    missing = dict(wanted, RoleArn=acme.arn("role", "not-there"))
    with pytest.raises(ClientError) as refused:
        person.sts.assume_role(**missing)
    assert "is not authorized to perform: sts:AssumeRole" in str(refused.value)


def test_roles_are_chained_for_an_hour_and_pass_on_what_is_transitive(acme):
    sides = trust(acme.id, action=["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"])
    every = allow(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"])
    first = acme.role(every, trusts=sides, MaxSessionDuration=43200)
    second = acme.role(
        allow("s3:GetObject", "arn:aws:s3:::acme-sessions/${aws:PrincipalTag/team}/*",
              Condition={"StringEquals": {"aws:SourceIdentity": "anna"}}),
        trusts=sides, MaxSessionDuration=43200)
    person = acme.person(every)
    session = acme.assume(
        person, first, SourceIdentity="anna", TransitiveTagKeys=["team"],
        Tags=[{"Key": "team", "Value": "a"}, {"Key": "own", "Value": "x"}])
    assert code(session.sts.assume_role, RoleArn=acme.arn("role", second), RoleSessionName="next",
                DurationSeconds=3601) == "ValidationError"
    assert code(session.sts.assume_role, RoleArn=acme.arn("role", second), RoleSessionName="next",
                SourceIdentity="berta") == DENIED
    assert code(session.sts.assume_role, RoleArn=acme.arn("role", second), RoleSessionName="next",
                Tags=[{"Key": "Team", "Value": "b"}]) == "ValidationError"
    chained = acme.assume(session, second)
    assert read(chained.s3) == b"a/1"
    assert code(chained.s3.get_object, **get("b/1")) == DENIED


# How a session ends.


def test_a_session_ends_with_its_role_its_key_and_its_account(cloud):
    mine = Account(cloud, "sessions-that-end")
    mine.s3.create_bucket(Bucket="sessions-that-end")
    roles = [mine.role(allow("s3:*")) for _ in range(2)]
    person = mine.person(allow("*"))
    sessions = [mine.assume(person, role) for role in roles]
    plain = Session(cloud, person.sts.get_session_token())
    alive = lambda session: session.s3.list_objects_v2(Bucket="sessions-that-end")  # noqa: E731
    for session in [*sessions, plain]:
        alive(session)
    # The role: also where one of that name comes after it.
    mine.iam.delete_role_policy(RoleName=roles[0], PolicyName="own")
    mine.iam.delete_role(RoleName=roles[0])
    mine.iam.create_role(RoleName=roles[0], AssumeRolePolicyDocument=trust(mine.id))
    mine.iam.put_role_policy(RoleName=roles[0], PolicyName="own",
                             PolicyDocument=document(allow("s3:*")))
    assert code(alive, sessions[0]) == "InvalidAccessKeyId"
    alive(sessions[1])
    # The key with which it began.
    key = {"UserName": person.name, "AccessKeyId": person.pair[0]}
    mine.iam.update_access_key(**key, Status="Inactive")
    for session in (sessions[1], plain):
        assert code(alive, session) == "InvalidAccessKeyId"
    # It does not come back with the key: a new one begins.
    mine.iam.update_access_key(**key, Status="Active")
    for session in (sessions[1], plain):
        assert code(alive, session) == "InvalidAccessKeyId"
    begin = lambda: (mine.assume(person, roles[1]),  # noqa: E731
                     Session(cloud, person.sts.get_session_token()))
    both = begin()
    for session in both:
        alive(session)
    # The account.
    cloud.cli("account", "suspend", mine.id)
    assert code(alive, both[0]) == "AccountProblem"
    cloud.cli("account", "resume", mine.id)
    for session in both:
        assert code(alive, session) == "InvalidAccessKeyId"
    both = begin()
    for session in both:
        alive(session)
    # Also where another key has the id of the one that is gone.
    mine.iam.delete_access_key(**key)
    again = ["key", "create", "--account", mine.id, "--access-key", person.pair[0],
             "--secret-key", "another-Secret-0123456789", "--json"]
    for key in (None, cloud.cli_json(*again)):
        for session in both:
            assert code(alive, session) == "InvalidAccessKeyId", key


def test_older_sessions_are_revoked_by_their_time(acme):
    role = acme.role(allow("s3:GetObject", OBJECTS))
    person = acme.person(allow("sts:AssumeRole"))
    older = acme.assume(person, role)
    assert read(older.s3) == b"a/1"
    time.sleep(1.1)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    acme.iam.put_role_policy(
        RoleName=role, PolicyName="AWSRevokeOlderSessions", PolicyDocument=document(
            deny("*", Condition={"DateLessThan": {"aws:TokenIssueTime": now}})))
    assert code(older.s3.get_object, **get()) == DENIED
    assert read(acme.assume(person, role).s3) == b"a/1"


def test_one_session_is_ended_singly(acme):
    cloud, role = acme.cloud, acme.role(allow("s3:GetObject", OBJECTS))
    person = acme.person(allow("sts:AssumeRole"))
    one, two = (acme.assume(person, role) for _ in range(2))
    plain = Session(cloud, person.sts.get_session_token())
    end = ["session", "end", "--account", acme.id]
    for session in (one, plain):
        session.sts.get_caller_identity()
        said = cloud.cli(*end, session.key).stdout
        assert f"Session {session.key} is over." in said, said
        assert code(session.s3.list_buckets) == "InvalidAccessKeyId"
        assert code(session.sts.get_caller_identity) == "InvalidClientTokenId"
        # Once more it is no other change.
        until = cloud.cli_json(*end, session.key, "--json")["until"]
        assert until in said and until > session.expires.strftime("%Y-%m-%dT%H:%M:%S")
    assert read(two.s3) == b"a/1"
    for wrong in (person.pair[0], "DHST", one.key.lower()):
        refused = cloud.cli(*end, wrong, check=False)
        assert refused.returncode != 0 and "access keys of sessions" in refused.stderr, wrong
    # By the name of the session, with a policy of the role.
    name = acme.iam.get_role(RoleName=role)["Role"]["RoleId"] + ":" + two.answer[
        "AssumedRoleUser"]["Arn"].rsplit("/")[-1]
    acme.iam.put_role_policy(RoleName=role, PolicyName="ended", PolicyDocument=document(
        deny("*", Condition={"StringEquals": {"aws:userid": name}})))
    assert code(two.s3.get_object, **get()) == DENIED


def test_durations_have_their_bounds(acme):
    role = acme.role(allow("s3:GetObject", OBJECTS), MaxSessionDuration=7200)
    person = acme.person(allow("*"))
    unchecked = boto3.client(
        "sts", endpoint_url=f"{acme.cloud.endpoint}/-/sts", region_name=acme.cloud.region,
        aws_access_key_id=person.pair[0], aws_secret_access_key=person.pair[1],
        config=Config(parameter_validation=False))
    for seconds in (0, 899, 7201, 10**12):
        assert code(unchecked.assume_role, RoleArn=acme.arn("role", role), RoleSessionName="work",
                    DurationSeconds=seconds) == "ValidationError"
    acme.assume(person, role, DurationSeconds=7200)
    assert code(unchecked.get_session_token, DurationSeconds=129601) == "ValidationError"
    person.sts.get_session_token(DurationSeconds=129600)
    acme.sts.get_session_token(DurationSeconds=3601)
    assert code(acme.sts.get_session_token, DurationSeconds=129601) == "ValidationError"


# What a session may not, whatever policies say.


@pytest.fixture(scope="module")
def sessions(cloud, acme):
    """One session of each kind, of those who may do everything."""
    person = acme.person(allow("*"))
    role = acme.role(allow("*"))
    made = {
        "role": acme.assume(person, role),
        "user": Session(cloud, person.sts.get_session_token()),
        "root": Session(cloud, acme.sts.get_session_token()),
        "federated": Session(cloud, person.sts.get_federation_token(
            Name="guest", Policy=document(allow("*")))),
    }
    return person, role, made


def test_what_sessions_may_ask_of_sts_and_iam(acme, sessions):
    person, role, made = sessions
    arn = acme.arn("role", role)
    for kind, session in made.items():
        session.sts.get_caller_identity()
        assert code(session.sts.get_session_token) == DENIED, kind
        assert code(session.sts.get_federation_token, Name="guest") == DENIED, kind
        wanted = dict(RoleArn=arn, RoleSessionName="work")
        if kind in ("role", "user"):
            session.sts.assume_role(**wanted)
        else:
            assert code(session.sts.assume_role, **wanted) == DENIED, kind
        if kind == "role":
            session.iam.list_users()
            assert code(session.iam.get_user) == "ValidationError"
            assert code(session.iam.create_access_key) == "ValidationError"
        else:
            assert code(session.iam.list_users) == DENIED, kind
            assert code(session.iam.create_access_key, UserName=person.name) == DENIED, kind
    assert code(acme.sts.assume_role, RoleArn=arn, RoleSessionName="work") == DENIED


def test_a_narrow_session_makes_no_wider_one(acme):
    """CVE-2025-62506: a session that was limited to a prefix made a key that was not."""
    person = acme.person(allow("*"))
    role = acme.role(allow("*"))
    narrow = acme.assume(person, role, Policy=document(
        allow("s3:GetObject", "arn:aws:s3:::acme-sessions/a/*")))
    assert read(narrow.s3) == b"a/1"
    for call, fields in [
        (narrow.iam.create_access_key, {"UserName": person.name}),
        (narrow.iam.put_user_policy, {"UserName": person.name, "PolicyName": "p",
                                      "PolicyDocument": document(allow("*"))}),
        (narrow.iam.put_role_policy, {"RoleName": role, "PolicyName": "p",
                                      "PolicyDocument": document(allow("*"))}),
        (narrow.iam.update_assume_role_policy, {"RoleName": role,
                                                "PolicyDocument": trust(acme.id)}),
        (narrow.iam.delete_role_permissions_boundary, {"RoleName": role}),
        (narrow.iam.update_role, {"RoleName": role, "MaxSessionDuration": 43200}),
        (narrow.iam.create_role, {"RoleName": "wider",
                                  "AssumeRolePolicyDocument": trust(acme.id)}),
        (narrow.sts.assume_role, {"RoleArn": acme.arn("role", role), "RoleSessionName": "wider"}),
        (narrow.sts.get_session_token, {}),
        (narrow.sts.get_federation_token, {"Name": "wider", "Policy": document(allow("*"))}),
    ]:
        assert code(call, **fields) == DENIED, call
    assert code(narrow.s3.get_object, **get("b/1")) == DENIED
    assert code(narrow.s3.list_buckets) == DENIED
    assert code(narrow.s3.put_bucket_policy, Bucket="acme-sessions", Policy="{}") == DENIED


def test_a_role_is_assumed_by_whom_its_trust_names_and_nobody_else(acme, other):
    meant, another = acme.person(), acme.person(allow("sts:*"))
    role = acme.role(allow("s3:*"), trusts=trust(acme.arn("user", meant.name)))
    # In the same account the trust in the user is enough, and one's own policy is not.
    acme.assume(meant, role)
    assert code(acme.assume, another, role) == DENIED
    assert code(acme.assume, other.person(allow("*")), role) == DENIED
    assert code(acme.assume, acme, role) == DENIED
    meant.put(document(deny("sts:AssumeRole")))
    assert code(acme.assume, meant, role) == DENIED
    # Trust in the account needs the user's own policy.
    role = acme.role(allow("s3:*"))
    assert code(acme.assume, acme.person(), role) == DENIED
    # Tags and a source identity are asked for by themselves.
    assert code(acme.assume, another, role, SourceIdentity="anna") == DENIED
    assert code(acme.assume, another, role, Tags=[{"Key": "k", "Value": "v"}]) == DENIED


def test_the_admin_api_takes_no_session(cloud, sessions):
    for kind, session in sessions[2].items():
        request = AWSRequest(
            "GET", f"{cloud.info['admin']}/-/admin/v1/regions",
            headers={"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()})
        credentials = Credentials(session.key, session.secret, session.token)
        SigV4Auth(credentials, "dhow-admin", cloud.region).add_auth(request)
        assert sent(request)[0] == 403, kind


# Tokens.


def sent(request):
    """Status and body of a request as it is."""
    wire = urllib.request.Request(request.url, headers=dict(request.headers),
                                  data=request.data or None, method=request.method)
    try:
        with urllib.request.urlopen(wire, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def session(acme):
    role = acme.role(allow("s3:*"))
    return acme.assume(acme.person(allow("sts:AssumeRole")), role)


def test_a_key_and_a_token_belong_together(cloud, acme, session):
    another = acme.assume(acme.person(allow("sts:AssumeRole")), acme.role(allow("s3:*")))
    person = acme.person(allow("s3:*"))

    def with_(key=session.key, secret=session.secret, token=session.token):
        return s3_with(cloud, key, secret, token).get_object

    assert with_()(**get())["Body"].read() == b"a/1"
    for call, expected in [
        (with_(token=None), "InvalidAccessKeyId"),
        (with_(token=another.token), "InvalidToken"),
        (with_(*person.pair), "InvalidToken"),
        (with_(*person.pair, "nonsense"), "InvalidToken"),
        (with_(*acme.pair), "InvalidToken"),
        (with_(token=session.token[:-1]), "InvalidToken"),
        (with_(token=session.token + "A"), "InvalidToken"),
        (with_(token=session.token + "="), "InvalidToken"),
        (with_(key=another.key), "InvalidToken"),
        (with_(secret="x" * 40), "SignatureDoesNotMatch"),
        (with_(secret=another.secret), "SignatureDoesNotMatch"),
        (with_(secret=acme.pair[1]), "SignatureDoesNotMatch"),
    ]:
        assert code(call, **get()) == expected


def test_no_byte_of_a_token_may_be_another(cloud, session):
    raw = base64.urlsafe_b64decode(session.token + "=" * (-len(session.token) % 4))
    for at in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[at] ^= 0x10
        token = base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("=")
        s3 = s3_with(cloud, session.key, session.secret, token)
        assert code(s3.get_object, **get()) in ("InvalidToken", "TokenRefreshRequired"), at


def test_the_token_has_to_be_signed(cloud, session):
    url = f"{cloud.endpoint}/acme-sessions/a/1"
    digest = hashlib.sha256(b"").hexdigest()
    signed = AWSRequest("GET", url, headers={"x-amz-content-sha256": digest})
    credentials = Credentials(session.key, session.secret, session.token)
    S3SigV4Auth(credentials, "s3", cloud.region).add_auth(signed)
    assert sent(signed) == (200, "a/1")
    unsigned = AWSRequest("GET", url, headers={"x-amz-content-sha256": digest})
    S3SigV4Auth(Credentials(session.key, session.secret), "s3", cloud.region).add_auth(unsigned)
    unsigned.headers["X-Amz-Security-Token"] = session.token
    status, body = sent(unsigned)
    assert status == 403 and "not signed" in body
    # Behind a presigned URL it is no part of what was signed.
    bare = s3_with(cloud, session.key, session.secret, None)
    link = bare.generate_presigned_url("get_object", Params=get())
    status, body = sent(AWSRequest("GET", f"{link}&X-Amz-Security-Token={session.token}"))
    assert status == 403 and "SignatureDoesNotMatch" in body


def test_presigned_urls_carry_the_token(cloud, acme, session):
    link = session.s3.generate_presigned_url("get_object", Params=get(), ExpiresIn=300)
    assert "X-Amz-Security-Token=" in link
    assert sent(AWSRequest("GET", link)) == (200, "a/1")
    put = session.s3.generate_presigned_url("put_object", Params=get("presigned"))
    request = AWSRequest("PUT", put, data=b"presigned")
    assert sent(request)[0] == 200 and read(acme.s3, "presigned") == b"presigned"
    without = link.replace("X-Amz-Security-Token", "X-Amz-Meta-Token")
    assert sent(AWSRequest("GET", without))[0] == 403


def test_a_form_carries_the_token_that_its_policy_names(cloud, acme, session):
    form = session.s3.generate_presigned_post("acme-sessions", "by-form")
    assert form["fields"]["x-amz-security-token"] == session.token

    def post(fields):
        frame = "frame-of-the-form"
        parts = [f'--{frame}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                 for name, value in fields.items()]
        parts.append(f'--{frame}\r\nContent-Disposition: form-data; name="file"; '
                     f'filename="f"\r\n\r\nbytes\r\n--{frame}--\r\n')
        request = AWSRequest("POST", form["url"], data="".join(parts).encode(), headers={
            "Content-Type": f"multipart/form-data; boundary={frame}"})
        return sent(request)

    assert post(form["fields"])[0] == 204 and read(acme.s3, "by-form") == b"bytes"
    without = {name: value for name, value in form["fields"].items()
               if name != "x-amz-security-token"}
    assert "InvalidAccessKeyId" in post(without)[1]
    assert "InvalidToken" in post({**form["fields"], "x-amz-security-token": "x"})[1]


def test_no_key_is_imported_that_looks_like_a_sessions(cloud, acme, session):
    for key in (session.key, "DHST" + "A" * 16, "ASIA" + "A" * 16, "dhst-lower-case"):
        refused = cloud.cli("key", "create", "--account", acme.id, "--access-key", key,
                            "--secret-key", "a-Secret-0123456789-xyz", check=False)
        assert refused.returncode != 0 and "session" in refused.stderr, (key, refused)


def test_every_way_to_sts_needs_a_signature_that_is_good(cloud, acme):
    url = f"{cloud.endpoint}/-/sts"
    person = acme.person(allow("*"))
    role = acme.role(allow("*"))
    actions = {
        "AssumeRole": f"&RoleArn={acme.arn('role', role)}&RoleSessionName=work",
        "GetSessionToken": "", "GetFederationToken": "&Name=guest", "GetCallerIdentity": "",
        "DecodeAuthorizationMessage": "&EncodedMessage=xxxx",
        "AssumeRoleWithWebIdentity":
            f"&RoleArn={acme.arn('role', role)}&RoleSessionName=work&WebIdentityToken=xxxx",
    }
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for action, fields in actions.items():
        data = f"Action={action}&Version=2011-06-15{fields}".encode()
        status, body = sent(AWSRequest("POST", url, data=data, headers=dict(form)))
        # This one is not signed: it has a token, which is none here.
        expected = 400 if action == "AssumeRoleWithWebIdentity" else 403
        assert status == expected and "SecretAccessKey" not in body, (action, body)
        for pair, service, region in [
            ((person.pair[0], "x" * 40), "sts", cloud.region),
            ((person.pair[0], ""), "sts", cloud.region),
            (person.pair, "iam", cloud.region), (person.pair, "s3", cloud.region),
            (person.pair, "sts", "another-region-1"),
        ]:
            request = AWSRequest("POST", url, data=data, headers=dict(form))
            SigV4Auth(Credentials(*pair), service, region).add_auth(request)
            status, body = sent(request)
            assert status == 403 and "SecretAccessKey" not in body, (action, service, body)
    # What is signed for STS is no request to IAM.
    request = AWSRequest("POST", f"{cloud.endpoint}/-/iam", data=b"Action=ListUsers",
                         headers=dict(form))
    SigV4Auth(Credentials(*person.pair), "sts", cloud.region).add_auth(request)
    assert sent(request)[0] == 403


@pytest.mark.parametrize("value", [
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "Bearer x", "JWT x", "Basic YTpi",
])
def test_a_token_of_another_kind_is_no_signature(cloud, value):
    for path in ("/acme-sessions/a/1", "/-/sts", "/-/iam"):
        for method in ("GET", "POST"):
            request = AWSRequest(method, cloud.endpoint + path, data=b"Action=GetCallerIdentity",
                                 headers={"Authorization": value})
            assert sent(request)[0] in (400, 403), (path, method)


def test_who_saw_a_request_gets_no_session_of_it(cloud, acme):
    request = AWSRequest(
        "POST", f"{cloud.endpoint}/-/sts", data=b"Action=GetSessionToken&Version=2011-06-15",
        headers={"Content-Type": "application/x-www-form-urlencoded"})
    SigV4Auth(Credentials(*acme.pair), "sts", cloud.region).add_auth(request)
    status, body = sent(request)
    assert status == 200 and "SecretAccessKey" in body
    for _ in range(3):
        status, body = sent(request)
        assert status == 400 and "Throttling" in body and "SecretAccessKey" not in body


def asks_for_sessions(cloud, pair, seconds):
    """Asks for a session of so many seconds each, until one is refused for how many there were.
    Answers how many were made."""
    where = urllib.parse.urlsplit(cloud.endpoint)
    link = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    made = 0
    for length in seconds:
        body = f"Action=GetSessionToken&Version=2011-06-15&DurationSeconds={length}"
        request = AWSRequest(
            "POST", f"{cloud.endpoint}/-/sts", data=body.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"})
        SigV4Auth(Credentials(*pair), "sts", cloud.region).add_auth(request)
        link.request("POST", "/-/sts", body, dict(request.headers.items()))
        answer = link.getresponse()
        text = answer.read().decode()
        if answer.status == 400 and "Throttling" in text:
            break
        assert answer.status == 200, text
        made += 1
    link.close()
    return made


def test_who_asks_for_sessions_without_end_stops_nobody_else(own_cloud):
    own_cloud.start()
    mine, other = Account(own_cloud, "asks-too-much"), Account(own_cloud, "asks-little")
    person, another = mine.person(), mine.person(allow("sts:AssumeRole"))
    role = mine.role(allow("*"))
    session = Session(own_cloud, person.sts.get_session_token())
    # One key asks for more than there is room for; it needs no permission for that.
    def ask(n):
        return asks_for_sessions(own_cloud, person.pair, range(900 + n, 120_000, 4))
    with ThreadPoolExecutor(4) as workers:
        made = sum(workers.map(ask, range(4)))
    assert made < 8192
    assert code(person.sts.get_session_token) == "Throttling"
    # The account takes the key away, and does all else that is to be done then.
    key = {"UserName": person.name, "AccessKeyId": person.pair[0]}
    mine.iam.put_user_policy(UserName=person.name, PolicyName="own",
                             PolicyDocument=document(deny("*")))
    mine.iam.update_access_key(**key, Status="Inactive")
    assert code(session.sts.get_caller_identity) == "InvalidClientTokenId"
    mine.assume(another, role)
    mine.iam.delete_role_policy(RoleName=role, PolicyName="own")
    mine.iam.delete_role(RoleName=role)
    own_cloud.cli("key", "disable", another.pair[0])
    # Sessions begin as before, for the account itself and for others.
    mine.sts.get_session_token()
    other.person().sts.get_session_token()


@pytest.mark.parametrize("fields", [
    {"RoleSessionName": "x"}, {"RoleSessionName": "has space"}, {"RoleSessionName": "x" * 65},
    {"RoleSessionName": "a/b"}, {"SourceIdentity": "x"}, {"Policy": "{}"}, {"Policy": "nothing"},
    {"Policy": document(allow("*", "*" * 2100))}, {"TransitiveTagKeys": ["not-given"]},
    {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]},
    {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/NoSuchAccess"}]},
])
def test_what_cannot_be_asked_of_sts(acme, fields):
    role = acme.role(allow("*"), trusts=trust(
        acme.id, action=["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]))
    person = acme.person(allow("*"))
    wanted = {"RoleArn": acme.arn("role", role), "RoleSessionName": "work", **fields}
    client = boto3.client(
        "sts", endpoint_url=f"{acme.cloud.endpoint}/-/sts", region_name=acme.cloud.region,
        aws_access_key_id=person.pair[0], aws_secret_access_key=person.pair[1],
        config=Config(parameter_validation=False))
    expected = ("ValidationError", "MalformedPolicyDocument", "PackedPolicyTooLarge",
                "LimitExceeded")
    assert code(client.assume_role, **wanted) in expected


# Tools.


def environment(cloud, pair, token=None):
    env = {"PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": pair[0], "HOME": "/nonexistent",
           "AWS_SECRET_ACCESS_KEY": pair[1], "AWS_DEFAULT_REGION": cloud.region,
           "AWS_ENDPOINT_URL_STS": f"{cloud.endpoint}/-/sts", "AWS_ENDPOINT_URL": cloud.endpoint,
           "AWS_EC2_METADATA_DISABLED": "true"}
    return env | ({"AWS_SESSION_TOKEN": token} if token else {})


def aws(env, *args):
    done = subprocess.run([AWS, *args], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_aws_cli_gets_sessions_and_uses_them(cloud, acme):
    role = acme.role(allow("s3:*"))
    person = acme.person(allow(["sts:AssumeRole", "s3:GetObject"]))
    env = environment(cloud, person.pair)
    made = json.loads(aws(env, "sts", "assume-role", "--role-arn", acme.arn("role", role),
                          "--role-session-name", "from-cli"))["Credentials"]
    pair = (made["AccessKeyId"], made["SecretAccessKey"])
    inside = environment(cloud, pair, made["SessionToken"])
    assert "a/1" in aws(inside, "s3", "ls", "--recursive", "s3://acme-sessions")
    told = json.loads(aws(inside, "sts", "get-caller-identity"))
    assert told["Arn"].endswith(f"assumed-role/{role}/from-cli")
    link = aws(inside, "s3", "presign", "s3://acme-sessions/a/1").strip()
    assert sent(AWSRequest("GET", link)) == (200, "a/1")
    made = json.loads(aws(env, "sts", "get-session-token"))["Credentials"]
    pair = (made["AccessKeyId"], made["SecretAccessKey"])
    assert aws(environment(cloud, pair, made["SessionToken"]),
               "s3", "cp", "s3://acme-sessions/a/1", "-") == "a/1"


def test_boto3_assumes_a_role_by_its_configuration(cloud, acme, tmp_path):
    role = acme.role(allow("s3:GetObject", OBJECTS))
    person = acme.person(allow("sts:AssumeRole"))
    (tmp_path / "config").write_text(f"""
[profile base]
region = {cloud.region}
[profile worker]
region = {cloud.region}
role_arn = {acme.arn("role", role)}
source_profile = base
""")
    (tmp_path / "credentials").write_text(f"""
[base]
aws_access_key_id = {person.pair[0]}
aws_secret_access_key = {person.pair[1]}
""")
    program = """
import boto3
s3 = boto3.Session(profile_name="worker").client("s3")
print(s3.get_object(Bucket="acme-sessions", Key="a/1")["Body"].read().decode())
"""
    env = environment(cloud, person.pair) | {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del env[name]
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True,
                          text=True, timeout=120)
    assert done.stdout.strip() == "a/1", done.stderr


def test_no_secret_of_a_session_is_on_disk_or_in_the_log(cloud, acme, session):
    found = []
    for what in (session.secret, session.token[:64]):
        assert what not in cloud.log_text()
    for folder, _, files in os.walk(cloud.data):
        for name in files:
            path = os.path.join(folder, name)
            try:
                data = open(path, "rb").read()
            except OSError:
                continue
            for what in (session.secret, session.token, session.token[:64]):
                if what.encode() in data:
                    found.append(path)
    assert not found, found
