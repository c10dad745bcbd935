"""A key that ends while the body of its request is still being sent does nothing more."""

import hashlib
import http.client
import json

import pytest

from dhow import Client
from test_sessions import DENIED, Account, Session, code
from test_users import allow, document


@pytest.fixture(scope="module")
def acme(cloud):
    account = Account(cloud, "slow-bodies")
    account.s3.create_bucket(Bucket="slow-bodies")
    account.s3.put_object(Bucket="slow-bodies", Key="k", Body=b"x")
    return account


def begun(client, method, path, query, body):
    """Sends the head of a request and the first byte of its body."""
    headers = client.headers(method, path, query)
    connection = http.client.HTTPConnection(client.host, timeout=60)
    connection.putrequest(method, f"{path}?{query}" if query else path, skip_host=True,
                          skip_accept_encoding=True)
    for name, value in {**headers, "content-length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[:1])
    return connection


def ended(connection, body):
    connection.send(body[1:])
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("query", ["tagging", "policy"])
def test_a_key_that_ends_before_its_document_was_sent_sets_nothing(cloud, acme, query):
    person = acme.person(allow("s3:*", "*"))
    client = Client(cloud.host, cloud.region, *person.pair)
    path = "/slow-bodies/k" if query == "tagging" else "/slow-bodies"
    body = {
        "tagging": b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        "policy": document({"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
                            "Resource": "arn:aws:s3:::slow-bodies"}).encode(),
    }[query]
    going = begun(client, "PUT", path, query, body)
    acme.iam.delete_access_key(UserName=person.name, AccessKeyId=person.pair[0])
    status, answer = ended(going, body)
    assert status == 403, answer
    if query == "tagging":
        assert acme.s3.get_object_tagging(Bucket="slow-bodies", Key="k")["TagSet"] == []
    else:
        assert code(acme.s3.get_bucket_policy, Bucket="slow-bodies") == "NoSuchBucketPolicy"


def test_what_denies_tags_is_read_after_them(cloud, acme):
    """The decision waits for the tags, and takes the policy as it is then."""
    decides = allow("s3:PutObjectTagging", "*", Condition={
        "StringEquals": {"s3:RequestObjectTag/a": "b"}})
    person = acme.person(decides)
    client = Client(cloud.host, cloud.region, *person.pair)
    body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    for denied in [False, True]:
        going = begun(client, "PUT", "/slow-bodies/k", "tagging", body)
        if denied:
            acme.s3.put_bucket_policy(Bucket="slow-bodies", Policy=document({
                "Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectTagging",
                "Resource": "arn:aws:s3:::slow-bodies/*"}))
        assert ended(going, body)[0] == (403 if denied else 200)
    acme.s3.delete_bucket_policy(Bucket="slow-bodies")


def test_a_key_that_ends_before_the_body_of_an_admin_request_changes_nothing(cloud, acme):
    made = cloud.cli_json("key", "create", "--account", acme.id, "--admin", "--json")
    host = cloud.info["admin"].split("//")[1]
    client = Client(host, cloud.region, made["access_key"], made["secret_key"])
    body = json.dumps({"account": acme.id, "description": "late"}).encode()
    payload = hashlib.sha256(body).hexdigest()
    plain = client.headers
    client.headers = lambda *args: plain(*args, payload=payload)
    going = begun(client, "POST", "/-/admin/v1/keys", "", body)
    cloud.cli("key", "disable", made["access_key"])
    status, answer = ended(going, body)
    assert status in (401, 403), answer
    shown = cloud.cli("key", "list", "--account", acme.id).stdout
    assert "late" not in shown


def test_federated_sessions_of_one_name_do_not_share_uploads(cloud, acme):
    """Two users may give their sessions one name: neither ends what the other's began."""
    may_all = document(allow("s3:*", "*"))
    one = acme.person(allow(["s3:*", "sts:GetFederationToken"], "*"))
    other = acme.person(allow("sts:GetFederationToken", "*"))
    first, second = (Session(cloud, person.sts.get_federation_token(Name="xx", Policy=may_all))
                     for person in (one, other))
    names = {"Bucket": "slow-bodies", "Key": "parts"}
    upload = first.s3.create_multipart_upload(**names)["UploadId"]
    for call in (second.s3.list_parts, second.s3.abort_multipart_upload):
        assert code(call, **names, UploadId=upload) == DENIED
    assert first.s3.list_parts(**names, UploadId=upload).get("Parts", []) == []
    first.s3.abort_multipart_upload(**names, UploadId=upload)
