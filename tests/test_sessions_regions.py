"""Sessions and named principals in a cloud of several regions: verified where they come, with the
registry away, and passed on with their proof."""

import json
import urllib.request

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from fleet import Fleet, body, eventually
from test_roles import trust
from test_sessions import sent
from test_users import allow, document
from test_users_regions import account, iam_for, refused_with, user

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("sessions") / "data", 3).start()
    yield fleet
    fleet.stop()


def sts_for(fleet, key, region=FIRST, token=None):
    return boto3.client(
        "sts", endpoint_url=fleet.regions[region]["endpoint"] + "/-/sts", region_name=region,
        aws_access_key_id=key[0], aws_secret_access_key=key[1], aws_session_token=token,
        config=Config(retries={"total_max_attempts": 3}))


class Session:
    def __init__(self, fleet, answer):
        made = answer["Credentials"]
        self.fleet, self.token = fleet, made["SessionToken"]
        self.key = (made["AccessKeyId"], made["SecretAccessKey"])

    def s3(self, region, **config):
        return boto3.client(
            "s3", endpoint_url=self.fleet.regions[region]["endpoint"], region_name=region,
            aws_access_key_id=self.key[0], aws_secret_access_key=self.key[1],
            aws_session_token=self.token, config=Config(
                retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **config))


class Owner:
    """An account with a role, and a user who may have it."""

    def __init__(self, fleet, name):
        self.fleet = fleet
        self.id, self.key = account(fleet, name)
        self.iam = iam_for(fleet, self.key)
        self.iam.create_role(RoleName="worker", AssumeRolePolicyDocument=trust(self.id))
        self.may(allow("s3:*"))
        self.user = user(self.iam, "anna", ("Allow", "*", "*"))

    def may(self, *statements):
        self.iam.put_role_policy(RoleName="worker", PolicyName="own",
                                 PolicyDocument=document(*statements))

    def session(self, **more):
        sts = sts_for(self.fleet, self.user)
        return Session(self.fleet, sts.assume_role(
            RoleArn=f"arn:aws:iam::{self.id}:role/worker", RoleSessionName="work", **more))


def test_a_session_works_where_its_buckets_lie_and_where_requests_are_passed_on(fleet):
    owner = Owner(fleet, "sessions-over-regions")
    fleet.bucket("over-regions", EU, ME, options=("--owner", owner.id))
    session = owner.session()
    home = session.s3(EU)
    eventually(lambda: home.put_object(Bucket="over-regions", Key="k", Body=b"k"))
    eventually(lambda: body(session.s3(ME), "over-regions", "k") == b"k")
    # Passed on to the home by the region of a replica.
    for region in (ME,):
        eventually(lambda r=region: session.s3(r).put_object(
            Bucket="over-regions", Key=f"from-{r}", Body=b"x" * 100_000))
        assert len(body(home, "over-regions", f"from-{region}")) == 100_000
    started = session.s3(ME).create_multipart_upload(Bucket="over-regions", Key="multi")
    upload = {"Bucket": "over-regions", "Key": "multi", "UploadId": started["UploadId"]}
    part = session.s3(ME).upload_part(**upload, PartNumber=1, Body=b"p" * 200_000)
    session.s3(ME).complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    link = session.s3(ME, signature_version="s3v4").generate_presigned_url(
        "get_object", Params={"Bucket": "over-regions", "Key": "k"})
    with urllib.request.urlopen(link, timeout=30) as answer:
        assert answer.read() == b"k"
    # What the role may do is decided at the home for what is passed on, too.
    owner.may(allow("s3:GetObject"))
    for region in (EU, ME):
        eventually(lambda r=region: refused_with("AccessDenied", lambda: session.s3(r).put_object(
            Bucket="over-regions", Key="refused", Body=b"no")))
    eventually(lambda: body(home, "over-regions", "k") == b"k")
    narrow = owner.session(Policy=document(allow("s3:GetObject", "arn:aws:s3:::over-regions/k")))
    for region in (EU, ME):
        eventually(lambda r=region: body(narrow.s3(r), "over-regions", "k") == b"k")
        assert refused_with("AccessDenied", lambda: narrow.s3(region).get_object(
            Bucket="over-regions", Key="multi"))
    # One session, and no other.
    late = fleet.json("session", "end", narrow.key[0], "--account", owner.id).get("not_yet_in", [])
    for region in (EU, ME):
        gone = lambda r=region: refused_with("InvalidAccessKeyId", lambda: narrow.s3(r).get_object(
            Bucket="over-regions", Key="k"))
        assert region in late or gone(), (region, late)
        eventually(gone)
        assert body(session.s3(region), "over-regions", "k") == b"k"
    # The key with which it began.
    owner.iam.update_access_key(UserName="anna", AccessKeyId=owner.user[0], Status="Inactive")
    for region in (EU, ME):
        eventually(lambda r=region: refused_with(
            "InvalidAccessKeyId", lambda: session.s3(r).get_object(
                Bucket="over-regions", Key="k")))


def test_a_session_of_another_regions_signature_is_no_proof(fleet):
    """A session's key is bound to a region, as every key."""
    owner = Owner(fleet, "sessions-bound")
    fleet.bucket("sessions-bound", EU, options=("--owner", owner.id))
    session = owner.session()
    eventually(lambda: session.s3(EU).put_object(Bucket="sessions-bound", Key="k", Body=b"k"))
    url = fleet.regions[EU]["endpoint"] + "/sessions-bound/k"
    for region in (ME, FIRST, "us-east-1"):
        request = AWSRequest("PUT", url, data=b"no")
        credentials = Credentials(*session.key, session.token)
        S3SigV4Auth(credentials, "s3", region).add_auth(request)
        assert sent(request)[0] == 400, region
    assert body(session.s3(EU), "sessions-bound", "k") == b"k"


def test_a_session_makes_a_bucket_in_a_region_that_has_nothing_of_its_account(fleet):
    owner = Owner(fleet, "sessions-new")
    for name, session in {
        "by-role": owner.session(),
        "by-user": Session(fleet, sts_for(fleet, owner.user).get_session_token()),
    }.items():
        there = session.s3(ME)
        eventually(lambda s=there, n=name: s.create_bucket(
            Bucket=f"sessions-new-{n}", CreateBucketConfiguration={"LocationConstraint": ME}))
        there.put_object(Bucket=f"sessions-new-{name}", Key="k", Body=b"k")
        there.delete_object(Bucket=f"sessions-new-{name}", Key="k")
        there.delete_bucket(Bucket=f"sessions-new-{name}")
        if name == "by-role":
            narrow = owner.session(Policy=document(allow("s3:GetObject")))
            assert refused_with("AccessDenied", lambda: narrow.s3(ME).create_bucket(
                Bucket="sessions-narrow", CreateBucketConfiguration={"LocationConstraint": ME}))


def test_sessions_begin_where_the_registry_is_kept(fleet):
    owner = Owner(fleet, "sessions-elsewhere")
    fleet.bucket("sessions-elsewhere", EU, options=("--owner", owner.id))
    there = sts_for(fleet, owner.user, EU)
    eventually(lambda: there.get_caller_identity()["Arn"].endswith("user/anna"))
    with pytest.raises(ClientError) as refused:
        there.get_session_token()
    said = str(refused.value)
    assert FIRST in said and fleet.regions[FIRST]["endpoint"] in said, said
    # What is signed for another region is no request to the keeper, whatever service it names:
    # the other region has the same key.
    request = AWSRequest(
        "POST", fleet.regions[FIRST]["endpoint"] + "/-/sts",
        data=b"Action=GetSessionToken&Version=2011-06-15",
        headers={"Content-Type": "application/x-www-form-urlencoded"})
    SigV4Auth(Credentials(*owner.user), "sts", EU).add_auth(request)
    status, said = sent(request)
    assert status == 403 and "SignatureDoesNotMatch" in said and "Secret" not in said
    session = owner.session()
    told = eventually(lambda: sts_for(fleet, session.key, EU, session.token).get_caller_identity())
    assert told["Arn"] == f"arn:aws:sts::{owner.id}:assumed-role/worker/work"


def test_a_policy_at_a_home_names_users_whom_only_the_registry_knows(fleet):
    owner = Owner(fleet, "names-owner")
    other, key = account(fleet, "names-other")
    theirs = iam_for(fleet, key)
    guest = user(theirs, "guest", ("Allow", "s3:GetObject", "*"))
    fleet.bucket("names-at-home", EU, ME, options=("--owner", owner.id))
    home, copy = fleet.s3(EU, owner.key), fleet.s3(ME, owner.key)
    eventually(lambda: home.put_object(Bucket="names-at-home", Key="k", Body=b"k"))
    arn = f"arn:aws:iam::{other}:user/guest"

    def grant(s3, principal):
        s3.put_bucket_policy(Bucket="names-at-home", Policy=json.dumps({
            "Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "s3:GetObject",
                 "Resource": "arn:aws:s3:::names-at-home/*"}]}))

    def principal(s3):
        text = s3.get_bucket_policy(Bucket="names-at-home")["Policy"]
        return json.loads(text)["Statement"][0]["Principal"]["AWS"]

    with pytest.raises(ClientError) as refused:
        grant(home, f"arn:aws:iam::{other}:user/nobody")
    assert "Invalid principal in policy" in str(refused.value)
    # Set through the replica's region, which passes it on.
    eventually(lambda: grant(copy, arn) is None)
    assert principal(home) == arn
    for region in (EU, ME):
        eventually(lambda r=region: body(fleet.s3(r, guest), "names-at-home", "k") == b"k")
    # The guest's name is given to somebody else.
    unique = theirs.get_user(UserName="guest")["User"]["UserId"]
    theirs.delete_access_key(UserName="guest", AccessKeyId=guest[0])
    theirs.delete_user_policy(UserName="guest", PolicyName="own")
    theirs.delete_user(UserName="guest")
    later = user(theirs, "guest", ("Allow", "s3:GetObject", "*"))
    assert principal(home) == unique and principal(copy) == unique
    for region in (EU, ME):
        eventually(lambda r=region: refused_with("AccessDenied", lambda: fleet.s3(
            r, later).get_object(Bucket="names-at-home", Key="k")))
    grant(home, arn)
    eventually(lambda: body(fleet.s3(EU, later), "names-at-home", "k") == b"k")


def test_sessions_go_on_without_the_registry_and_names_wait_for_it(fleet):
    owner = Owner(fleet, "sessions-alone")
    fleet.bucket("sessions-alone", EU, ME, options=("--owner", owner.id))
    session = owner.session()
    federated = Session(fleet, sts_for(fleet, owner.user).get_federation_token(
        Name="guest", Policy=document(allow("s3:GetObject"))))
    home = session.s3(EU)
    eventually(lambda: home.put_object(Bucket="sessions-alone", Key="k", Body=b"k"))
    root = fleet.s3(EU, owner.key)
    text = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{owner.id}:user/anna"},
         "Action": "s3:GetObject", "Resource": "arn:aws:s3:::sessions-alone/*"}]})
    eventually(lambda: root.put_bucket_policy(Bucket="sessions-alone", Policy=text))
    eventually(lambda: body(federated.s3(ME), "sessions-alone", "k") == b"k")
    fleet.freeze(FIRST)
    try:
        home.put_object(Bucket="sessions-alone", Key="k", Body=b"alone")
        # One that no region has seen before.
        assert body(federated.s3(EU), "sessions-alone", "k") == b"alone"
        eventually(lambda: body(session.s3(ME), "sessions-alone", "k") == b"alone")
        assert refused_with("AccessDenied", lambda: federated.s3(EU).put_object(
            Bucket="sessions-alone", Key="k", Body=b"no"))
        with pytest.raises(ClientError) as refused:
            root.put_bucket_policy(Bucket="sessions-alone", Policy=text)
        error = refused.value.response["Error"]
        assert error["Code"] == "ServiceUnavailable", error
        assert "Nothing was changed" in error["Message"], error
        assert root.get_bucket_policy(Bucket="sessions-alone")["Policy"] == text
    finally:
        fleet.thaw(FIRST)
