"""Asymmetric signatures (SigV4A) in one region: boto3 with awscrt, what is refused, and accounts
that take no other signatures."""

import base64
import json
import re
import urllib.request
import zlib

import pytest
from botocore.exceptions import ClientError

import asymmetric
from asymmetric import now, send, sha256
from conftest import client_for
from signatures import code, does_all, refused
from test_sessions import s3_with, sts_for

BUCKET, KEY = "asymmetric-one", "a dir/k\u00e4y+1"
PATH = f"/{BUCKET}/plain"


class Owner:
    def __init__(self, cloud, name):
        self.cloud = cloud
        self.id = cloud.cli_json("account", "create", name, "--json")["id"]
        made = cloud.cli_json("key", "create", "--account", self.id, "--json")
        self.pair = made["access_key"], made["secret_key"]
        self.s3 = asymmetric.client_for(cloud.endpoint, cloud.region, self.pair)
        self.host = cloud.endpoint.removeprefix("http://")

    def signed(self, method, target, body=b"", regions=None, **more):
        pair = more.pop("pair", self.pair)
        return asymmetric.signed(
            self.host, pair, regions or self.cloud.region, method, target, body, **more)

    def ask(self, method, target, body=b"", sent=None, **more):
        target, headers = self.signed(method, target, body, **more)
        return send(self.cloud.endpoint, method, target, headers, body if sent is None else sent)


@pytest.fixture(scope="module")
def owner(cloud):
    owner = Owner(cloud, "asymmetric")
    owner.s3.create_bucket(Bucket=BUCKET)
    owner.s3.put_object(Bucket=BUCKET, Key="plain", Body=b"plain")
    return owner


def test_boto3_does_all_that_it_does_with_other_signatures(owner):
    does_all(owner.s3, BUCKET, KEY)
    wrong = asymmetric.client_for(owner.cloud.endpoint, owner.cloud.region,
                                  (owner.pair[0], "x" * 40))
    assert code(wrong.list_objects_v2, Bucket=BUCKET) == "SignatureDoesNotMatch"


def test_region_sets_name_regions_and_starts_of_names(owner):
    region = owner.cloud.region
    for regions in (region, "*", f"us-gov-1,{region}", region[:4] + "*"):
        assert owner.ask("GET", PATH, regions=regions) == (200, b"plain"), regions
    for regions in ("us-gov-1", region[:-1], "us-*,ap-*", region.upper(), "us-east-1", "auto"):
        refused(owner.ask("GET", PATH, regions=regions), 400, "AuthorizationHeaderMalformed", region)
        target, _ = owner.signed("GET", PATH, regions=regions, expires=60)
        refused(send(owner.cloud.endpoint, "GET", target, {"host": owner.host}), 400,
                "AuthorizationQueryParametersError", region)


def test_presigned_urls(owner):
    made = owner.s3.generate_presigned_url(
        "put_object", Params={"Bucket": BUCKET, "Key": "by-url"}, ExpiresIn=60)
    assert "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256" in made and "X-Amz-Region-Set=" in made
    request = urllib.request.Request(made, data=b"by url", method="PUT")
    assert urllib.request.urlopen(request, timeout=60).status == 200
    made = owner.s3.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": "by-url"}, ExpiresIn=60)
    for _ in range(2):
        assert urllib.request.urlopen(made, timeout=60).read() == b"by url"

    def get(target, **headers):
        return send(owner.cloud.endpoint, "GET", target, {"host": owner.host, **headers})

    def url(**more):
        return owner.signed("GET", PATH, expires=more.pop("expires", 60), **more)[0]

    assert get(url()) == (200, b"plain")
    refused(get(url(at=now(-3600))), 403, "Request has expired")
    refused(get(url(at=now(1200))), 403, "not valid yet")
    refused(get(url(expires=604801)), 400, "AuthorizationQueryParametersError")
    refused(get(url().replace("plain?", "plain2?")), 403, "SignatureDoesNotMatch")
    refused(get(url().replace("Expires=60", "Expires=600")), 403, "SignatureDoesNotMatch")
    refused(get(url() + "&versionId=null"), 403, "SignatureDoesNotMatch")
    refused(get(url(), **{"x-amz-meta-a": "b"}), 403, "HeadersNotSigned")
    refused(get(re.sub("&X-Amz-Region-Set=[^&]*", "", url())), 400, "X-Amz-Region-Set")
    refused(get(url() + "&X-Amz-Region-Set=*"), 400, "twice")
    # A set that is not signed cannot be made wider.
    set_of = f"X-Amz-Region-Set={owner.cloud.region}"
    refused(get(url().replace(set_of, "X-Amz-Region-Set=%2A")), 403, "SignatureDoesNotMatch")
    refused(get(url().replace("ECDSA-P256", "HMAC")), 400, "")


def test_what_is_not_signed_as_it_is_sent_is_refused(owner):
    target, good = owner.signed("GET", PATH)
    send_it = lambda headers, at=target, method="GET", body=b"": send(
        owner.cloud.endpoint, method, at, headers, body)
    assert send_it(good) == (200, b"plain")
    for name, value in (("x-amz-region-set", "*"), ("host", "localhost:1"),
                        ("x-amz-date", now(5).strftime("%Y%m%dT%H%M%SZ")),
                        ("x-amz-content-sha256", sha256(b"other"))):
        refused(send_it({**good, name: value}), 403, "SignatureDoesNotMatch")
    refused(send_it(good, PATH + "?versionId=null"), 403, "SignatureDoesNotMatch")
    refused(send_it(good, f"/{BUCKET}/other"), 403, "SignatureDoesNotMatch")
    refused(send_it(good, method="DELETE"), 403, "SignatureDoesNotMatch")
    refused(send_it({**good, "x-amz-meta-a": "b"}), 403, "HeadersNotSigned")
    uncovered = good["authorization"].replace(";x-amz-region-set", "")
    refused(send_it({**good, "authorization": uncovered}), 403, "HeadersNotSigned")
    without = {k: v for k, v in good.items() if k != "x-amz-region-set"}
    refused(send_it(without), 400, "x-amz-region-set")
    # The signature of another request, of another key, and what is none.
    said = good["authorization"]
    front, signature = said.rsplit("=", 1)
    other = owner.signed("GET", f"/{BUCKET}/other")[1]["authorization"].rsplit("=", 1)[1]
    for bad in (other, signature[:-2], signature + "00", signature[2:], "30" * 36, "00", "zz" * 35,
                "3006020100020100", "f" * 4096):
        refused(send_it({**good, "authorization": f"{front}={bad}"}), 403, "SignatureDoesNotMatch")
    refused(send_it({**good, "authorization": said.replace("ECDSA-P256", "HMAC")}), 400, "")
    refused(owner.ask("GET", PATH, pair=(owner.pair[0], "x" * 40)), 403, "SignatureDoesNotMatch")
    refused(owner.ask("GET", PATH, pair=("nobody", "x" * 40)), 403, "InvalidAccessKeyId")
    refused(owner.ask("GET", PATH, at=now(-1000)), 403, "RequestTimeTooSkewed")
    refused(owner.ask("GET", PATH, at=now(1000)), 403, "RequestTimeTooSkewed")
    refused(owner.ask("GET", PATH, service="iam"), 400, "AuthorizationHeaderMalformed")
    refused(owner.ask("GET", PATH, token="token"), 501, "temporary credentials")


def test_payloads(owner):
    put = f"/{BUCKET}/payload"
    assert owner.ask("PUT", put, b"signed")[0] == 200
    refused(owner.ask("PUT", put, b"signed", sent=b"forged"), 400, "XAmzContentSHA256Mismatch")
    assert owner.ask("PUT", put, b"unsigned", payload="UNSIGNED-PAYLOAD")[0] == 200
    chunked = "8\r\nchunked!\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n"
    good = base64.b64encode(zlib.crc32(b"chunked!").to_bytes(4, "big")).decode()
    headers = (("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-decoded-content-length", "8"),
               ("content-encoding", "aws-chunked"))
    for crc, status in ((good, 200), ("AAAAAA==", 400)):
        body = chunked.format(crc).encode()
        got = owner.ask("PUT", put, body, headers=headers,
                        payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        assert got[0] == status, got
    assert owner.s3.get_object(Bucket=BUCKET, Key="payload")["Body"].read() == b"chunked!"
    for mode in ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
                 "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"):
        refused(owner.ask("PUT", put, body, headers=headers, payload=mode), 501, "ECDSA")
    # Chunks that are signed with another kind of key than the head.
    refused(owner.ask("PUT", put, body, headers=headers,
                      payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), 400, "x-amz-content-sha256")


def test_a_change_for_several_regions_counts_once(owner):
    target, headers = owner.signed("PUT", f"/{BUCKET}/once", b"one", regions="*")
    sends = lambda: send(owner.cloud.endpoint, "PUT", target, headers, b"one")
    assert sends()[0] == 200
    refused(sends(), 503, "SlowDown")
    # The same request with another signature of it, which only the key's holder can make.
    again = owner.signed("PUT", f"/{BUCKET}/once", b"one", regions="*", at=None)[1]
    if again["x-amz-date"] == headers["x-amz-date"]:
        refused(send(owner.cloud.endpoint, "PUT", target, again, b"one"), 503, "SlowDown")
    read = owner.signed("GET", PATH, regions="*")
    for _ in range(2):
        assert send(owner.cloud.endpoint, "GET", *read) == (200, b"plain")
    # For this region alone nobody else can have it.
    target, headers = owner.signed("PUT", f"/{BUCKET}/once", b"one")
    assert [sends()[0] for _ in range(2)] == [200, 200]


def test_conditions_see_the_kind_of_signature(owner):
    hmac = client_for(owner.cloud, *owner.pair)
    owner.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/*", "Condition": {"StringNotEquals": {
                "s3:signatureversion": "AWS4-ECDSA-P256-SHA256"}}}]}))
    try:
        assert owner.s3.get_object(Bucket=BUCKET, Key="plain")["Body"].read() == b"plain"
        assert code(hmac.get_object, Bucket=BUCKET, Key="plain") == "AccessDenied"
    finally:
        owner.s3.delete_bucket_policy(Bucket=BUCKET)


def test_keys_that_are_stopped_and_accounts_that_are_suspended(cloud):
    owner = Owner(cloud, "asymmetric-stopped")
    assert owner.ask("GET", "/")[0] == 200
    for stop, resume, why in (
            (("key", "disable", owner.pair[0]), ("key", "enable", owner.pair[0]),
             "InvalidAccessKeyId"),
            (("account", "suspend", owner.id), ("account", "resume", owner.id), "AccountProblem")):
        cloud.cli(*stop)
        refused(owner.ask("GET", "/"), 403, why)
        cloud.cli(*resume)
        assert owner.ask("GET", "/")[0] == 200
    cloud.cli("key", "delete", owner.pair[0])
    refused(owner.ask("GET", "/"), 403, "InvalidAccessKeyId")


def test_an_account_that_takes_no_other_signatures(cloud):
    owner = Owner(cloud, "asymmetric-only")
    hmac, bucket = client_for(cloud, *owner.pair), "asymmetric-only"
    hmac.create_bucket(Bucket=bucket)
    session = sts_for(cloud, *owner.pair).get_session_token()["Credentials"]
    temporary = s3_with(cloud, session["AccessKeyId"], session["SecretAccessKey"],
                        session["SessionToken"])
    url = hmac.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    form = hmac.generate_presigned_post(bucket, "k")
    shown = cloud.cli_json("account", "access", owner.id, "--json")
    assert shown["signatures"] == "any"
    shown = cloud.cli_json("account", "access", owner.id, "--signatures", "v4a", "--json")
    assert shown["signatures"] == "v4a"
    with pytest.raises(ClientError) as denied:
        hmac.list_objects_v2(Bucket=bucket)
    message = denied.value.response["Error"]["Message"]
    assert denied.value.response["Error"]["Code"] == "AccessDenied"
    assert "s3v4a" in message and "awscrt" in message, message
    assert code(hmac.put_object, Bucket=bucket, Key="k", Body=b"") == "AccessDenied"
    assert code(hmac.create_bucket, Bucket="asymmetric-never") == "AccessDenied"
    assert code(temporary.list_objects_v2, Bucket=bucket) == "AccessDenied"
    host = {"host": owner.host}
    refused(send(cloud.endpoint, "GET", url.removeprefix(cloud.endpoint), host), 403, "s3v4a")
    fields = "".join(f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                     for name, value in [*form["fields"].items(), ("file", "f")]) + "--x--\r\n"
    posted = send(cloud.endpoint, "POST", f"/{bucket}", {
        **host, "content-type": "multipart/form-data; boundary=x"}, fields.encode())
    refused(posted, 403, "s3v4a")
    # Its own signatures work, and the other services go on as they did.
    owner.s3.put_object(Bucket=bucket, Key="k", Body=b"proven")
    assert owner.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"proven"
    assert sts_for(cloud, *owner.pair).get_caller_identity()["Account"] == owner.id
    cloud.cli("account", "access", owner.id, "--signatures", "any")
    assert hmac.get_object(Bucket=bucket, Key="k")["Body"].read() == b"proven"
    wrong = cloud.cli("account", "access", owner.id, "--signatures", "v3", check=False)
    assert wrong.returncode != 0 and "any or v4a" in wrong.stderr, wrong
