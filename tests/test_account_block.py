"""The public access block of an account, by S3's control API with its own clients."""

import hashlib
import os
import socket
import subprocess

import boto3
import pytest
from botocore.config import Config

from dhow import Client
from test_sessions import AWS, Account, code
from test_users import allow, deny, document

ALL = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True,
       "RestrictPublicBuckets": True}
PATH = "/v20180820/configuration/publicAccessBlock"
# Clients put the account's number before the host, which nobody here resolves.
RESOLVES = """
import socket
found = socket.getaddrinfo
def resolve(host, *args, **more):
    name = host.decode() if isinstance(host, bytes) else host
    return found("127.0.0.1" if str(name).endswith(".127.0.0.1") else host, *args, **more)
socket.getaddrinfo = resolve
"""


@pytest.fixture(autouse=True)
def resolved(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)
    exec(RESOLVES, {})


@pytest.fixture(scope="module")
def acme(cloud):
    return Account(cloud, "account-block")


def control(cloud, pair, token=None):
    return boto3.client(
        "s3control", endpoint_url=cloud.endpoint, region_name=cloud.region,
        aws_access_key_id=pair[0], aws_secret_access_key=pair[1], aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}))


def get(client, account):
    return client.get_public_access_block(AccountId=account)["PublicAccessBlockConfiguration"]


def put(client, account, **switches):
    client.put_public_access_block(
        AccountId=account, PublicAccessBlockConfiguration=switches)


def test_operations_of_the_control_api_that_are_not_implemented_say_so(cloud, acme):
    """Terraform reads a bucket's tags here, and falls back to S3 only after this code."""
    refused = code(control(cloud, acme.pair).list_tags_for_resource, AccountId=acme.id,
                   ResourceArn="arn:aws:s3:::any-bucket")
    assert refused == "MethodNotAllowed"


def test_an_accounts_block_is_set_and_taken_back(cloud, acme):
    client = control(cloud, acme.pair)
    assert code(get, client, acme.id) == "NoSuchPublicAccessBlockConfiguration"
    put(client, acme.id, **ALL)
    assert get(client, acme.id) == ALL
    # It is the same that `dhow` shows, and what buckets obey.
    shown = cloud.cli("account", "access", acme.id).stdout
    assert "BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets" in shown
    acme.s3.create_bucket(Bucket="account-block", ObjectOwnership="ObjectWriter")
    acme.s3.delete_public_access_block(Bucket="account-block")
    public = document({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                       "Resource": "arn:aws:s3:::account-block/*"})
    refused = lambda: acme.s3.put_bucket_policy(  # noqa: E731
        Bucket="account-block", Policy=public)
    assert code(refused) == "AccessDenied"
    # What is not named is off.
    put(client, acme.id, IgnorePublicAcls=True)
    assert get(client, acme.id) == {**dict.fromkeys(ALL, False), "IgnorePublicAcls": True}
    refused()
    client.delete_public_access_block(AccountId=acme.id)
    assert code(get, client, acme.id) == "NoSuchPublicAccessBlockConfiguration"


def test_the_aws_cli_sets_it(cloud, acme, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(RESOLVES)
    aws = lambda *args: subprocess.run(  # noqa: E731
        [AWS, "s3control", *args, "--account-id", acme.id, "--endpoint-url", cloud.endpoint],
        capture_output=True, text=True, timeout=60, env={
            **os.environ, "AWS_ACCESS_KEY_ID": acme.pair[0], "AWS_SECRET_ACCESS_KEY": acme.pair[1],
            "AWS_DEFAULT_REGION": cloud.region, "PYTHONPATH": str(tmp_path)})
    made = aws("put-public-access-block", "--public-access-block-configuration",
               "BlockPublicAcls=true,RestrictPublicBuckets=true")
    assert made.returncode == 0, made.stderr
    shown = aws("get-public-access-block")
    assert '"RestrictPublicBuckets": true' in shown.stdout, shown
    assert aws("delete-public-access-block").returncode == 0


def test_only_who_may_of_the_account_itself(cloud, acme):
    other, person = Account(cloud, "account-block-other"), acme.person()
    put(control(cloud, acme.pair), acme.id, **ALL)
    calls = (
        lambda client, account: get(client, account),
        lambda client, account: put(client, account, IgnorePublicAcls=False),
        lambda client, account: client.delete_public_access_block(AccountId=account),
    )
    for pair in (other.pair, person.pair, (cloud.access_key, cloud.secret_key)):
        for call in calls:
            assert code(call, control(cloud, pair), acme.id) == "AccessDenied", pair[0]
    person.put(document(allow("s3:GetAccountPublicAccessBlock")))
    mine = control(cloud, person.pair)
    assert get(mine, acme.id) == ALL
    assert code(calls[1], mine, acme.id) == code(calls[2], mine, acme.id) == "AccessDenied"
    person.put(document(allow("s3:*"), deny("s3:PutAccountPublicAccessBlock")))
    assert code(calls[1], mine, acme.id) == "AccessDenied"
    # A session of a role, as its policies say.
    role = acme.role(allow("s3:PutAccountPublicAccessBlock"))
    person.put(document(allow("sts:AssumeRole")))
    session = acme.assume(person, role)
    there = control(cloud, (session.key, session.secret), session.token)
    put(there, acme.id, IgnorePublicAcls=True)
    assert code(get, there, acme.id) == "AccessDenied"
    wrong = control(cloud, (acme.pair[0], "x" * 40))
    assert code(get, wrong, acme.id) == "SignatureDoesNotMatch"


def test_what_is_no_such_request_is_refused(cloud, acme):
    client = Client(cloud.host, cloud.region, *acme.pair)
    named = {"x-amz-account-id": acme.id}

    def send(method, body, headers):
        digest = hashlib.sha256(body).hexdigest()
        head = client.headers(method, PATH, "", headers, payload=digest)
        client.connection.request(method, PATH, body, head)
        answer = client.connection.getresponse()
        return answer.status, answer.read()

    for body in (b"", b"<a/>", b"<PublicAccessBlockConfiguration><All>true</All>"
                 b"</PublicAccessBlockConfiguration>"):
        status, answer = send("PUT", body, named)
        assert status == 400 and b"MalformedXML" in answer, (body, answer)
    assert send("POST", b"", named)[0] == 405
    # What is not signed is not acted on.
    status, _, answer = client.request("DELETE", PATH, "", b"", named)
    assert status == 403 and b"x-amz-content-sha256" in answer, answer
    # Without the header it is an object's path.
    status, answer = send("GET", b"", {})
    assert (status, b"NoSuchBucket" in answer) == (404, True), answer
    assert code(get, control(cloud, acme.pair), "999999999999") == "AccessDenied"
