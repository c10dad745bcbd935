"""AWS Signature Version 2 in one region, with clients that still use it: boto3 (`s3`, and what it
presigns by default), s3cmd and upload forms; what is refused, and who refuses it."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from email.utils import formatdate

import pytest

from asymmetric import send
from conftest import client_for
from signatures import code, does_all, refused
from test_clients import run

BUCKET, KEY = "old-signatures", "a dir/k\u00e4y+1"


class Owner:
    def __init__(self, cloud, name, turned="on"):
        self.cloud = cloud
        self.host = cloud.endpoint.removeprefix("http://")
        self.id = cloud.cli_json("account", "create", name, "--json")["id"]
        made = cloud.cli_json("key", "create", "--account", self.id, "--json")
        self.pair = made["access_key"], made["secret_key"]
        self.turn(turned)
        self.s3 = client_for(cloud, *self.pair, signature_version="s3")
        self.newer = client_for(cloud, *self.pair)

    def turn(self, turned):
        return self.cloud.cli_json(
            "account", "access", self.id, "--old-signatures", turned, "--json")

    def mac(self, text, secret=None):
        key = (secret or self.pair[1]).encode()
        code = hmac.new(key, text.encode(), hashlib.sha1).digest()
        return base64.b64encode(code).decode()

    def ask(self, method, target, covered=None, body=b"", at=None, secret=None, lines="\n\n",
            **headers):
        """A request with a header; `covered` is the resource that is signed for it."""
        sent = {"host": self.host, **{n.replace("_", "-"): v for n, v in headers.items()}}
        date = sent.setdefault("date", formatdate(at or time.time(), usegmt=True))
        amz = "".join(f"{n}:{v}\n" for n, v in sorted(sent.items()) if n.startswith("x-amz-"))
        text = f"{method}\n{lines}{date}\n{amz}{covered or target}"
        sent["authorization"] = f"AWS {self.pair[0]}:{self.mac(text, secret)}"
        return send(self.cloud.endpoint, method, target, sent, body)

    def url(self, resource, method="GET", ends=600):
        ends = int(time.time()) + ends
        mac = self.mac(f"{method}\n\n\n{ends}\n{resource}")
        query = {"AWSAccessKeyId": self.pair[0], "Expires": ends, "Signature": mac}
        joined = "&" if "?" in resource else "?"
        return self.cloud.endpoint + resource + joined + urllib.parse.urlencode(query)


@pytest.fixture(scope="module")
def owner(cloud):
    owner = Owner(cloud, "old-signatures")
    owner.s3.create_bucket(Bucket=BUCKET)
    owner.s3.put_object(Bucket=BUCKET, Key="plain", Body=b"plain")
    return owner


def fetch(url, method="GET", body=None, headers=None):
    wanted = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(wanted, timeout=60) as got:
            return got.status, got.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_boto3_does_all_that_it_does_with_other_signatures(owner):
    does_all(owner.s3, BUCKET, KEY)
    wrong = client_for(owner.cloud, owner.pair[0], "x" * 40, signature_version="s3")
    assert code(wrong.list_buckets) == "SignatureDoesNotMatch"


def test_urls_that_boto3_presigns_without_a_region(owner):
    """Its default there is version 2, with headers in the query."""
    import boto3
    made = boto3.client("s3", endpoint_url=owner.cloud.endpoint, region_name="us-east-1",
                        aws_access_key_id=owner.pair[0], aws_secret_access_key=owner.pair[1])
    about = {"Bucket": BUCKET, "Key": KEY}
    put = made.generate_presigned_url(
        "put_object", Params={**about, "Metadata": {"m": "1"}, "ContentType": "text/css"})
    assert "AWSAccessKeyId=" in put
    got = fetch(put, "PUT", b"by url", {"content-type": "text/css", "x-amz-meta-m": "1"})
    assert got[0] == 200, got
    # The content type is covered, and a header of S3 that the URL does not have is too.
    refused(fetch(put, "PUT", b"x", {"content-type": "text/html", "x-amz-meta-m": "1"}), 403,
            "SignatureDoesNotMatch")
    refused(fetch(put, "PUT", b"x", {"content-type": "text/css", "x-amz-acl": "private"}), 403,
            "SignatureDoesNotMatch")
    assert owner.newer.head_object(**about)["Metadata"] == {"m": "1"}
    get = made.generate_presigned_url(
        "get_object", Params={**about, "ResponseContentType": "text/x"})
    assert fetch(get) == (200, b"by url")
    refused(fetch(get.replace("text%2Fx", "text%2Fy")), 403, "SignatureDoesNotMatch")
    refused(fetch(get, "DELETE"), 403, "SignatureDoesNotMatch")


def test_what_is_wrong_with_a_url(owner):
    path = f"/{BUCKET}/plain"
    assert fetch(owner.url(path)) == (200, b"plain")
    refused(fetch(owner.url(path, ends=-5)), 403, "Request has expired")
    refused(fetch(owner.url(path, ends=8 * 86400)), 403, "seven days")
    refused(fetch(owner.url(path).replace("Expires=", "Expires=1")), 403)
    refused(fetch(owner.url(path).replace("Expires=", "Expires=x")), 403, "seconds since epoch")
    refused(fetch(owner.url(path).replace("Expires=", "expires=")), 403, "requires the Signature")
    refused(fetch(owner.url(path) + "&Signature=AA"), 403, "requires the Signature")
    refused(fetch(owner.url(path) + "&acl"), 403, "SignatureDoesNotMatch")
    refused(fetch(owner.url(path) + "&versionId=null"), 403, "SignatureDoesNotMatch")
    # What a signature does not cover, and what would be done by it.
    for added in ("attributes", "legal-hold", "encryption", "x-dhow-home=there", "anything=1"):
        refused(fetch(owner.url(path) + "&" + added), 403, "AccessDenied", "do not cover")
    refused(fetch(owner.url(path) + "&X-Amz-Acl=public-read"), 403, "SignatureDoesNotMatch")
    # A value that could be another parameter as well.
    signed = owner.url(f"{path}?response-content-type=a&versionId=null")
    refused(fetch(signed.replace("a&versionId", "a%26versionId")), 403, "do not cover")
    # A page of a listing is what S3 leaves open, too.
    assert fetch(owner.url(f"/{BUCKET}") + "&prefix=pl&max-keys=1")[0] == 200


def test_what_is_wrong_with_a_header(owner):
    path = f"/{BUCKET}/plain"
    assert owner.ask("GET", path) == (200, b"plain")
    assert owner.ask("GET", f"{path}?versionId=null")[0] == 200
    refused(owner.ask("GET", f"{path}?acl", covered=path), 403, "SignatureDoesNotMatch")
    refused(owner.ask("GET", path, covered=f"/{BUCKET}/other"), 403, "SignatureDoesNotMatch")
    refused(owner.ask("GET", path, secret="x" * 40), 403, "SignatureDoesNotMatch")
    refused(owner.ask("GET", path, at=time.time() - 1000), 403, "RequestTimeTooSkewed")
    refused(owner.ask("GET", path, at=time.time() + 1000), 403, "RequestTimeTooSkewed")
    refused(owner.ask("GET", path, date="soon"), 403, "valid Date")
    refused(owner.ask("GET", path, x_dhow_if_state="1"), 403, "do not cover")
    refused(owner.ask("GET", f"{path}?anything=1", covered=path), 403, "do not cover")
    refused(owner.ask("GET", path, x_amz_security_token="t"), 501, "temporary credentials")
    refused(owner.ask("PUT", path, body=b"x", lines="\ntext/css\n"), 403, "SignatureDoesNotMatch")
    headers = {"host": owner.host, "date": formatdate(usegmt=True)}
    for bad in ("AWS", "AWS abc", "AWS :abc", f"AWS {owner.pair[0]}:"):
        refused(send(owner.cloud.endpoint, "GET", path, {**headers, "authorization": bad}), 400,
                "Expected AwsAccessKeyId:signature")
    unknown = {**headers, "authorization": "AWS DHOWUNKNOWN234567:" + owner.mac("x")}
    refused(send(owner.cloud.endpoint, "GET", path, unknown), 403, "InvalidAccessKeyId")


def test_a_changing_request_counts_once(owner):
    """It names no region: who has it could bring it again, here or elsewhere."""
    about = {"at": time.time(), "body": b"once"}
    assert owner.ask("PUT", f"/{BUCKET}/once", **about)[0] == 200
    refused(owner.ask("PUT", f"/{BUCKET}/once", **about), 503, "sign the request again")
    assert owner.ask("GET", f"/{BUCKET}/once") == (200, b"once")


def form(owner, key, secret=None, conditions=(), **fields):
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    policy = {"expiration": ends, "conditions": [
        {"bucket": BUCKET}, ["starts-with", "$key", "forms/"], *conditions]}
    text = base64.b64encode(json.dumps(policy).encode()).decode()
    fields = {"key": key, "AWSAccessKeyId": owner.pair[0], "policy": text,
              "signature": owner.mac(text, secret), **fields}
    pieces = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
              for n, v in fields.items()]
    pieces.append('--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
                  "by form\r\n--b--\r\n")
    return fetch(f"{owner.cloud.endpoint}/{BUCKET}", "POST", "".join(pieces).encode(),
                 {"content-type": "multipart/form-data; boundary=b"})


def test_upload_forms(owner):
    assert form(owner, "forms/a")[0] == 204
    assert owner.newer.get_object(Bucket=BUCKET, Key="forms/a")["Body"].read() == b"by form"
    refused(form(owner, "elsewhere"), 403, "AccessDenied")
    refused(form(owner, "forms/a", secret="x" * 40), 403, "SignatureDoesNotMatch")
    refused(form(owner, "forms/a", acl="public-read"), 403, "AccessDenied")
    refused(form(owner, "forms/a", **{"x-amz-algorithm": "AWS4-HMAC-SHA256"}), 400)
    refused(form(owner, "forms/a", **{"x-amz-security-token": "t"}), 501)


def test_a_policy_can_refuse_them(owner):
    owner.newer.create_bucket(Bucket=f"{BUCKET}-denied")
    owner.newer.put_bucket_policy(Bucket=f"{BUCKET}-denied", Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": f"arn:aws:s3:::{BUCKET}-denied/*",
            "Condition": {"StringEquals": {"s3:signatureversion": "AWS"}}}]}))
    about = {"Bucket": f"{BUCKET}-denied", "Key": "k"}
    owner.newer.put_object(**about, Body=b"k")
    assert code(owner.s3.get_object, **about) == "AccessDenied"
    refused(fetch(owner.url(f"/{BUCKET}-denied/k")), 403, "AccessDenied")


def test_s3cmd(owner, tmp_path):
    config = tmp_path / "s3cfg"
    config.write_text(
        f"[default]\naccess_key = {owner.pair[0]}\nsecret_key = {owner.pair[1]}\n"
        f"host_base = {owner.host}\nhost_bucket = {owner.host}\nuse_https = False\n"
        f"bucket_location = {owner.cloud.region}\n")

    def s3cmd(*args):
        return run("s3cmd", "-c", config, "--signature-v2", "--no-progress", *args)

    text = tmp_path / "a \u00fc.txt"
    text.write_text("hello")
    s3cmd("put", text, f"s3://{BUCKET}/dir/a \u00fc.txt", "--add-header=x-amz-meta-a:1")
    assert "a \u00fc.txt" in s3cmd("ls", "-r", f"s3://{BUCKET}/dir/")
    s3cmd("get", f"s3://{BUCKET}/dir/a \u00fc.txt", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "hello"
    signed = s3cmd("signurl", f"s3://{BUCKET}/plain", "+600").strip()
    assert fetch(signed) == (200, b"plain")


def test_they_are_off_unless_asked_for(cloud, owner):
    other = Owner(cloud, "old-signatures-off", "off")
    other.newer.create_bucket(Bucket=f"{BUCKET}-off")
    told = "Please use AWS4-HMAC-SHA256"
    refused(other.ask("GET", "/"), 400, "InvalidRequest", told, "--old-signatures on")
    refused(fetch(other.url(f"/{BUCKET}-off/k")), 400, "InvalidRequest", told)
    assert other.turn("on")["old_signatures"] is True
    assert other.ask("GET", "/")[0] == 200
    assert other.turn("off")["old_signatures"] is False
    refused(other.ask("GET", "/"), 400, "InvalidRequest", told)
    # Whoever takes asymmetric signatures only takes no old ones.
    cloud.cli("account", "access", other.id, "--signatures", "v4a")
    both = cloud.cli("account", "access", other.id, "--old-signatures", "on", check=False)
    assert both.returncode != 0 and "--signatures any" in both.stdout + both.stderr
    shown = cloud.cli("account", "access", owner.id)
    assert "taken in regions of the cloud's owner" in shown.stdout
