"""IAM and STS by GET, with the signature in the head or in the query, and at the endpoint itself: as
Vault, aws-iam-authenticator, `aws eks get-token` and MinIO's clients send their requests."""

import datetime
import hashlib
import hmac
import http.client
import re
import urllib.parse

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.signers import RequestSigner

from dhow import Client
from test_sessions import Account
from test_users import allow

EMPTY = hashlib.sha256(b"").hexdigest()
WHO = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def acme(cloud):
    return Account(cloud, "query-apis")


@pytest.fixture(scope="module")
def person(acme):
    return acme.person(allow(["iam:*", "sts:*"]))


def sent(cloud, method, target, body=None, headers=None):
    """(status, code of the error, text) of a request as it is."""
    connection = http.client.HTTPConnection(cloud.host, timeout=30)
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    found = re.search(r"<Code>(\w+)</Code>", text)
    return answer.status, found and found[1], text


def presigned(cloud, pair, fields, service="sts", path=None, ago=0, expires=60, token=None,
              payload=EMPTY):
    """A URL's path and query, signed as of `ago` seconds before now."""
    path = path or f"/-/{service}"
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=ago)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{cloud.region}/{service}/aws4_request"
    query = {**fields, "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
             "X-Amz-Credential": f"{pair[0]}/{scope}", "X-Amz-Date": stamp,
             "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": "host"}
    if token:
        query["X-Amz-Security-Token"] = token
    quote = lambda text: urllib.parse.quote(text, safe="~")
    text = "&".join(sorted(f"{quote(name)}={quote(value)}" for name, value in query.items()))
    canonical = f"GET\n{path}\n{text}\nhost:{cloud.host}\n\nhost\n{payload}"
    to_sign = (f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n"
               f"{hashlib.sha256(canonical.encode()).hexdigest()}")
    key = Client(cloud.host, cloud.region, *pair)._signing_key(stamp[:8], service)
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{path}?{text}&X-Amz-Signature={signature}"


def test_who_asks_is_told_by_a_presigned_url(cloud, acme, person):
    """As boto3 makes it, and as `aws eks get-token` does, with a header of its own that is signed."""
    arn = acme.arn("user", person.name)
    url = person.sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    target = url.removeprefix(cloud.endpoint)
    assert "X-Amz-Signature=" in target
    # It may be asked again: it changes nothing.
    for _ in range(2):
        status, _, text = sent(cloud, "GET", target)
        assert status == 200 and f"<Arn>{arn}</Arn>" in text
    session = boto3.session.Session(*person.pair, region_name=cloud.region)
    signer = RequestSigner(person.sts.meta.service_model.service_id, cloud.region, "sts", "v4",
                           session.get_credentials(), session.events)
    url = signer.generate_presigned_url(
        {"method": "GET", "body": {}, "context": {}, "headers": {"x-k8s-aws-id": "cluster"},
         "url": f"{cloud.endpoint}/-/sts/?Action=GetCallerIdentity&Version=2011-06-15"},
        region_name=cloud.region, expires_in=60, operation_name="")
    target = url.removeprefix(cloud.endpoint)
    assert sent(cloud, "GET", target, headers={"x-k8s-aws-id": "cluster"})[0] == 200
    assert sent(cloud, "GET", target, headers={"x-k8s-aws-id": "else"})[1] == "SignatureDoesNotMatch"
    assert sent(cloud, "GET", target)[0] == 403


def test_a_url_says_who_asks_for_a_quarter_of_an_hour(cloud, person):
    pair = person.pair
    # Tools sign for a minute, and count on what AWS does.
    assert sent(cloud, "GET", presigned(cloud, pair, WHO, ago=600))[0] == 200
    for ago in (1000, -1000):
        status, error, _ = sent(cloud, "GET", presigned(cloud, pair, WHO, ago=ago, expires=604800))
        assert status == 403 and error in ("SignatureDoesNotMatch", "IncompleteSignature"), ago
    # All else ends when its signer said.
    late = {"Action": "ListUsers", "Version": "2010-05-08"}
    assert sent(cloud, "GET", presigned(cloud, pair, late, "iam", ago=30))[0] == 200
    status, error, _ = sent(cloud, "GET", presigned(cloud, pair, late, "iam", ago=90))
    assert (status, error) == (403, "SignatureDoesNotMatch")


def test_sessions_sign_urls_too(cloud, acme, person):
    made = acme.assume(person, acme.role(allow("iam:ListUsers")))
    pair = (made.key, made.secret)
    status, _, text = sent(cloud, "GET", presigned(cloud, pair, WHO, token=made.token))
    assert status == 200 and ":assumed-role/" in text
    assert sent(cloud, "GET", presigned(cloud, pair, WHO))[0] == 403
    bare = presigned(cloud, pair, WHO)
    status, _, _ = sent(cloud, "GET", bare, headers={"x-amz-security-token": made.token})
    assert status == 403


def test_a_get_does_what_a_post_does(cloud, acme, person):
    pair, make = person.pair, {"Action": "CreateUser", "Version": "2010-05-08"}
    by_query = presigned(cloud, pair, {**make, "UserName": "by-query"}, "iam", ago=10)
    status, _, text = sent(cloud, "GET", by_query)
    assert status == 200 and acme.arn("user", "by-query") in text
    # A change is done once, whoever saw the URL.
    assert sent(cloud, "GET", by_query)[1] == "Throttling"
    request = AWSRequest("GET", f"{cloud.endpoint}/-/iam?Action=CreateUser&UserName=by-head")
    SigV4Auth(Credentials(*pair), "iam", cloud.region).add_auth(request)
    target = request.url.removeprefix(cloud.endpoint)
    assert sent(cloud, "GET", target, headers=dict(request.headers))[0] == 200
    names = {user["UserName"] for user in acme.iam.list_users()["Users"]}
    assert {"by-query", "by-head"} <= names
    # A name with a space and a plus is one name, to the signature and to the action.
    tag = {"Action": "TagUser", "UserName": "by-head", "Tags.member.1.Key": "a b",
           "Tags.member.1.Value": "c+d"}
    assert sent(cloud, "GET", presigned(cloud, pair, tag, "iam"))[0] == 200
    assert acme.iam.list_user_tags(UserName="by-head")["Tags"] == [{"Key": "a b", "Value": "c+d"}]


def test_a_query_is_read_as_it_was_signed_and_once(cloud, acme, person):
    pair, lists = person.pair, {"Action": "ListUsers", "Version": "2010-05-08"}
    good = lambda **more: presigned(cloud, pair, lists, "iam", **more)
    refused = {
        "another action": (good().replace("ListUsers", "ListRoles"), None),
        "one more field": (good() + "&PathPrefix=/", None),
        "a body beside": (good(), b"Action=ListRoles"),
        "another secret": (presigned(cloud, (pair[0], "x" * 40), lists, "iam"), None),
        "another key": (presigned(cloud, ("DHOW" + "Z" * 16, pair[1]), lists, "iam"), None),
        "for another service": (presigned(cloud, pair, lists, "sts", path="/-/iam"), None),
        "for buckets": (presigned(cloud, pair, lists, "s3", path="/-/iam"), None),
        "a body that is not signed": (good(payload="UNSIGNED-PAYLOAD"), None),
        "the signature of nothing": (f"/-/iam?{urllib.parse.urlencode(lists)}", None),
        "no signature": (re.sub("X-Amz-Signature=.*", "X-Amz-Signature=", good()), None),
        "old ways": (f"/-/iam?{urllib.parse.urlencode(lists)}&AWSAccessKeyId={pair[0]}"
                     "&Expires=2000000000&Signature=x", None),
    }
    for name, (target, body) in refused.items():
        status, error, text = sent(cloud, "GET", target, body)
        assert status in (400, 403) and error and "<Users>" not in text, (name, text)
    # The signature is for GET; a POST has its form in its body.
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        assert sent(cloud, method, good())[0] in (400, 403), method
    for target in (good(), good() + "&"):
        header = {"authorization": f"AWS4-HMAC-SHA256 Credential={pair[0]}"}
        assert sent(cloud, "GET", target, headers=header)[0] == 403
    twice = "Action=ListUsers&Action=ListRoles"
    client = Client(cloud.host, cloud.region, *pair, service="iam")
    signed = client.headers("GET", "/-/iam", twice, payload=EMPTY)
    assert sent(cloud, "GET", f"/-/iam?{twice}", headers=signed)[1] == "ValidationError"
    # Fields of the signature are none of the action, and others are.
    strange = presigned(cloud, pair, {**lists, "X-Amz-Else": "x"}, "iam")
    assert sent(cloud, "GET", strange)[1] == "ValidationError"


def test_a_url_for_sts_is_none_for_s3(cloud, person):
    target = presigned(cloud, person.pair, WHO, path="/")
    assert sent(cloud, "GET", target)[0] in (400, 403)
    request = AWSRequest("GET", f"{cloud.endpoint}/")
    SigV4QueryAuth(Credentials(*person.pair), "sts", cloud.region, 60).add_auth(request)
    assert sent(cloud, "GET", request.url.removeprefix(cloud.endpoint))[0] in (400, 403)


def test_a_host_of_their_own_takes_get_and_leaves_buckets_alone(cloud, acme, person):
    """`sts.DOMAIN` is also where a bucket named `sts` is."""
    name, port = "localhost", cloud.host.rpartition(":")[2]
    host = f"sts.{name}:{port}"

    class Named:
        host = None
    named = Named()
    named.host, named.region = host, cloud.region
    target = presigned(named, person.pair, WHO, path="/")
    status, _, text = sent(cloud, "GET", target, headers={"host": host})
    assert status == 200 and person.name in text
    acme.s3.create_bucket(Bucket="sts")
    client = Client(cloud.host, cloud.region, *acme.pair)
    client.host = host
    signed = client.headers("GET", "/")
    status, _, text = sent(cloud, "GET", "/", headers=signed)
    assert status == 200 and "<ListBucketResult" in text
    acme.s3.delete_bucket(Bucket="sts")


# The endpoint itself.


def at_root(cloud, service, pair):
    return boto3.client(
        service, endpoint_url=cloud.endpoint, region_name=cloud.region, aws_access_key_id=pair[0],
        aws_secret_access_key=pair[1], config=Config(retries={"total_max_attempts": 1}))


def test_one_endpoint_serves_all_apis(cloud, acme, person):
    """`AWS_ENDPOINT_URL` alone is enough: S3 has no POST there."""
    assert at_root(cloud, "sts", person.pair).get_caller_identity()["Account"] == acme.id
    users = at_root(cloud, "iam", person.pair).list_users()["Users"]
    assert person.name in [user["UserName"] for user in users]
    role = acme.role(allow("s3:ListAllMyBuckets"))
    made = at_root(cloud, "sts", person.pair).assume_role(
        RoleArn=acme.arn("role", role), RoleSessionName="root")
    assert made["Credentials"]["SessionToken"]


def test_what_is_not_signed_at_the_endpoint_is_a_token_or_nothing(cloud, acme):
    """RustFS GHSA-5qfg, -3473: an unsigned POST to `/` assumed a role."""
    role = acme.role(allow("*"))
    fields = {"Version": "2011-06-15", "RoleArn": acme.arn("role", role), "RoleSessionName": "work",
              "WebIdentityToken": "a.b.c"}
    for action in ("AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken", "CreateUser",
                   "GetFederationToken", "AssumeRoleWithLDAPIdentity", "ListUsers", ""):
        text = urllib.parse.urlencode({"Action": action, **fields})
        for target, body in (("/", text), (f"/?{text}", None)):
            status, error, answer = sent(cloud, "POST", target, body, FORM)
            want = "InvalidIdentityToken" if action.endswith("WebIdentity") else \
                "MissingAuthenticationToken"
            assert status in (400, 403) and error == want, (action, target, answer)
            assert "SecretAccessKey" not in answer


def test_what_is_signed_for_s3_at_the_endpoint_stays_s3s(cloud, acme):
    client = Client(cloud.host, cloud.region, *acme.pair)
    text = urllib.parse.urlencode(WHO)
    signed = client.headers("POST", "/", headers=FORM)
    status, error, _ = sent(cloud, "POST", "/", text, signed)
    assert (status, error) == (405, "MethodNotAllowed")
    # A form of a browser goes to a bucket, by its host too.
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert sent(cloud, "POST", "/", "--x--", kind)[1] not in (None, "MissingAuthenticationToken")
    host = {"host": f"query-apis.localhost:{cloud.host.rpartition(':')[2]}"}
    status, error, text = sent(cloud, "POST", "/", text, {**FORM, **host})
    assert "sts.amazonaws.com" not in text and status in (400, 403, 404, 405, 411, 412)
