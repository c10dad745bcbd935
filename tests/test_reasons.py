"""Why S3 refused a request: sealed in the answer, and read by STS for who may know."""

import json
import os
import re
import subprocess

import pytest
from botocore.exceptions import ClientError

from dhow import Client
from test_sessions import AWS, DENIED, Account, code, sts_for
from test_users import allow, deny, document

BAD = "InvalidAuthorizationMessageException"


@pytest.fixture(scope="module")
def acme(cloud):
    account = Account(cloud, "reasons")
    account.s3.create_bucket(Bucket="reasons")
    account.s3.put_object(Bucket="reasons", Key="k", Body=b"k")
    return account


def refusal(call, *args, **kwargs):
    with pytest.raises(ClientError) as refused:
        call(*args, **kwargs)
    error = refused.value.response["Error"]
    assert error["Code"] == DENIED
    return error


def sealed(call, *args, **kwargs):
    return refusal(call, *args, **kwargs)["EncodedMessage"]


def decoded(sts, message):
    return json.loads(sts.decode_authorization_message(EncodedMessage=message)["DecodedMessage"])


def test_a_refusal_says_which_statement_of_which_document_decided(cloud, acme):
    person = acme.person(allow("s3:*"), deny("s3:GetObject", Sid="NoReading"))
    message = sealed(person.s3.get_object, Bucket="reasons", Key="k")
    assert len(message) < 3000 and "NoReading" not in message and acme.id not in message
    told = decoded(acme.sts, message)
    assert (told["allowed"], told["explicitDeny"]) == (False, True)
    found, = told["matchedStatements"]["items"]
    assert found == {"statementId": "NoReading", "statement": 1, "effect": "DENY",
                     "source": "identity-based policy", "policy": "own"}
    context = told["context"]
    assert context["principal"] == {"id": person.id, "arn": acme.arn("user", person.name)}
    assert (context["action"], context["resource"], context["region"]) == (
        "s3:GetObject", "arn:aws:s3:::reasons/k", cloud.region)
    # What no statement allows.
    told = decoded(acme.sts, sealed(acme.person().s3.list_objects_v2, Bucket="reasons"))
    assert told["explicitDeny"] is False and told["matchedStatements"]["items"] == []
    assert told["reason"] == "because no identity-based policy allows the s3:ListBucket action"
    # A session of a role.
    role = acme.role(deny("s3:*", Sid="Nothing"))
    session = acme.assume(acme.person(allow("sts:AssumeRole")), role)
    told = decoded(acme.sts, sealed(session.s3.get_object, Bucket="reasons", Key="k"))
    found, = told["matchedStatements"]["items"]
    assert (found["statementId"], found["policy"]) == ("Nothing", "own")


def test_only_who_may_of_the_account_reads_it(cloud, acme):
    person, reader = acme.person(), acme.person()
    message = sealed(person.s3.get_object, Bucket="reasons", Key="k")
    decode = lambda sts, text: code(  # noqa: E731
        sts.decode_authorization_message, EncodedMessage=text)
    assert decode(person.sts, message) == decode(reader.sts, message) == DENIED
    reader.put(document(allow("sts:DecodeAuthorizationMessage")))
    assert decoded(reader.sts, message)["allowed"] is False
    reader.put(document(allow("sts:*"), deny("sts:DecodeAuthorizationMessage")))
    assert decode(reader.sts, message) == DENIED
    other = Account(cloud, "reasons-of-others")
    assert decode(other.sts, message) == BAD
    changed = message[:40] + ("B" if message[40] == "A" else "A") + message[41:]
    for bad in (message[:-2], changed, "x", message + "AAAA", "A" * 5000):
        assert decode(acme.sts, bad) == BAD, bad
    # A session by GetSessionToken has no such right.
    made = acme.sts.get_session_token()["Credentials"]
    plain = sts_for(cloud, made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    assert decode(plain, message) == DENIED


def test_strangers_get_none(cloud, acme):
    other = Account(cloud, "reasons-strangers")
    person = other.person(deny("s3:*"))
    for s3 in (other.s3, person.s3):
        assert "EncodedMessage" not in refusal(s3.get_object, Bucket="reasons", Key="k")
    unsigned = Client(cloud.host, cloud.region, "", "")
    unsigned.connection.request("GET", "/reasons/k")
    answer = unsigned.connection.getresponse()
    assert answer.status == 403 and b"EncodedMessage" not in answer.read()


def test_the_aws_cli_reads_it(cloud, acme):
    message = sealed(acme.person().s3.get_object, Bucket="reasons", Key="k")
    made = subprocess.run(
        [AWS, "sts", "decode-authorization-message", "--encoded-message", message, "--query",
         "DecodedMessage", "--output", "text", "--endpoint-url", f"{cloud.endpoint}/-/sts"],
        capture_output=True, text=True, timeout=60, env={
            **os.environ, "AWS_ACCESS_KEY_ID": acme.pair[0], "AWS_SECRET_ACCESS_KEY": acme.pair[1],
            "AWS_DEFAULT_REGION": cloud.region})
    assert made.returncode == 0, made.stderr
    assert re.search(r"no identity-based policy allows", made.stdout), made
