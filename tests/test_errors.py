"""What an error says beside its code: SDKs show it, and programs read it. The elements are those of
S3 ("Error responses" in the API reference, and the pages of the operations)."""

import base64
import datetime
import hashlib
import hmac
import html
import re
import socket

import pytest

from conftest import client_for

BUCKET = "errors-said"
HELLO = b"hello"
MD5 = hashlib.md5(HELLO).hexdigest()
OTHER = "0" * 32
CRC = "x-amz-checksum-crc32"
UNSIGNED = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": "5"}
SIGNED = {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
          "x-amz-decoded-content-length": "5"}
BOTH = {"if-match": "*", "if-none-match": "*"}


@pytest.fixture(scope="module")
def known(cloud):
    """A bucket with an object, a deleted one and an upload, and what the rows below call them."""
    s3 = client_for(cloud)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    put = s3.put_object(Bucket=BUCKET, Key="k", Body=HELLO)
    s3.put_object(Bucket=BUCKET, Key="gone", Body=HELLO)
    gone = s3.delete_object(Bucket=BUCKET, Key="gone")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    etags = [s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=n, Body=HELLO)
             for n in (1, 2)]
    return {"ETAG": etags[0]["ETag"].strip('"'), "UPLOAD": upload, "MARKER": gone["VersionId"],
            "VERSION": put["VersionId"], "OTHER": OTHER}


def complete(*parts):
    listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"
                     for n, tag in parts)
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"


def tags(*keys):
    pairs = "".join(f"<Tag><Key>{k}</Key><Value>v</Value></Tag>" for k in keys)
    return f"<Tagging><TagSet>{pairs}</TagSet></Tagging>"


def argument(name, value):
    return {"ArgumentName": name, "ArgumentValue": value}


K, PARTS = f"/{BUCKET}/k", f"/{BUCKET}/parts?uploadId=UPLOAD"
SOURCE = "x-amz-copy-source"
# What is asked for, the headers, the body; status, code, and what the error says.
ROWS = [
    # What is not there.
    ("GET", f"/{BUCKET}/a%20b", {}, "", 404, "NoSuchKey", {"Key": "a b"}),
    ("GET", f"{K}?versionId={OTHER}", {}, "", 404, "NoSuchVersion",
     {"Key": "k", "VersionId": OTHER}),
    ("GET", f"{K}?versionId=x", {}, "", 400, "InvalidArgument", argument("versionId", "x")),
    ("GET", f"/{BUCKET}/gone?versionId=MARKER", {}, "", 405, "MethodNotAllowed",
     {"Method": "GET", "ResourceType": "DeleteMarker"}),
    ("GET", "/errors-nobody/k", {}, "", 404, "NoSuchBucket", {"BucketName": "errors-nobody"}),
    ("GET", "/Errors-Nobody/k", {}, "", 400, "InvalidBucketName", {"BucketName": "Errors-Nobody"}),
    ("GET", f"{K}?uploadId=x", {}, "", 404, "NoSuchUpload", {"UploadId": "x"}),
    ("DELETE", f"{K}?uploadId={OTHER}", {}, "", 404, "NoSuchUpload", {"UploadId": OTHER}),
    ("PUT", f"/{BUCKET}/absent", {"if-match": '"e"'}, "x", 404, "NoSuchKey", {"Key": "absent"}),
    ("GET", f"/{BUCKET}/{'k' * 1025}", {}, "", 400, "KeyTooLongError",
     {"Size": "1025", "MaxSizeAllowed": "1024"}),
    # Sources of copies.
    ("PUT", f"/{BUCKET}/to", {SOURCE: f"/{BUCKET}/a%20b"}, "", 404, "NoSuchKey", {"Key": "a b"}),
    ("PUT", f"/{BUCKET}/to", {SOURCE: "/errors-nobody/k"}, "", 404, "NoSuchBucket",
     {"BucketName": "errors-nobody"}),
    ("PUT", f"/{BUCKET}/to", {SOURCE: f"{K}?versionId={OTHER}"}, "", 404, "NoSuchVersion",
     {"Key": "k", "VersionId": OTHER}),
    ("PUT", f"{PARTS}&partNumber=1", {SOURCE: f"/{BUCKET}/absent"}, "", 404, "NoSuchKey",
     {"Key": "absent"}),
    ("PUT", f"{K}?uploadId=x&partNumber=1", {SOURCE: K}, "", 404, "NoSuchUpload", {"UploadId": "x"}),
    ("PUT", f"{PARTS}&partNumber=1", {SOURCE: K, f"{SOURCE}-range": "bytes=0-5"}, "", 400,
     "InvalidArgument", argument(f"{SOURCE}-range", "bytes=0-5")),
    ("PUT", f"{PARTS}&partNumber=1", {SOURCE: K, f"{SOURCE}-range": "0-1"}, "", 400,
     "InvalidArgument", argument(f"{SOURCE}-range", "0-1")),
    ("PUT", f"/{BUCKET}/to", {SOURCE: "X!/k"}, "", 400, "InvalidArgument",
     {**argument(SOURCE, "X!/k"), "Message": "Invalid copy source bucket name"}),
    ("PUT", f"/{BUCKET}/to", {SOURCE: f"/{BUCKET}/%ZZ"}, "", 400, "InvalidArgument",
     {**argument(SOURCE, f"/{BUCKET}/%ZZ"), "Message": "Invalid copy source encoding"}),
    # Conditions and ranges.
    ("GET", K, {"if-match": '"e"'}, "", 412, "PreconditionFailed", {"Condition": "If-Match"}),
    ("GET", K, {"if-unmodified-since": "Sat, 01 Jan 2000 00:00:00 GMT"}, "", 412,
     "PreconditionFailed", {"Condition": "If-Unmodified-Since"}),
    ("PUT", K, {"if-none-match": "*"}, "x", 412, "PreconditionFailed",
     {"Condition": "If-None-Match"}),
    ("DELETE", K, {"if-match": '"e"'}, "", 412, "PreconditionFailed", {"Condition": "If-Match"}),
    ("POST", PARTS, {"if-match": '"e"'}, complete((1, "ETAG")), 404, "NoSuchKey", {"Key": "parts"}),
    ("PUT", K, BOTH, "x", 501, "NotImplemented", {
        "additionalMessage": "Multiple conditional request headers present in the request"}),
    ("PUT", K, {"if-none-match": '"e"'}, "x", 501, "NotImplemented", {"Header": "if-none-match"}),
    ("GET", K, {"range": "bytes=5-9"}, "", 416, "InvalidRange",
     {"RangeRequested": "bytes=5-9", "ActualObjectSize": "5"}),
    ("GET", f"{K}?partNumber=7", {}, "", 416, "InvalidPartNumber",
     {"ActualPartCount": "1", "PartNumberRequested": "7"}),
    ("GET", f"{K}?partNumber=0", {}, "", 400, "InvalidArgument", argument("partNumber", "0")),
    # Uploads in parts.
    ("PUT", f"{PARTS}&partNumber=10001", {}, "x", 400, "InvalidArgument",
     argument("partNumber", "10001")),
    ("PUT", f"{K}?partNumber=1", {}, "x", 400, "InvalidArgument", argument("partNumber", "1")),
    ("POST", PARTS, {}, complete((3, "ETAG")), 400, "InvalidPart",
     {"UploadId": "UPLOAD", "PartNumber": "3", "ETag": "ETAG"}),
    ("POST", PARTS, {}, complete((1, OTHER)), 400, "InvalidPart",
     {"UploadId": "UPLOAD", "PartNumber": "1", "ETag": OTHER}),
    ("POST", PARTS, {}, complete((1, "ETAG"), (2, "ETAG")), 400, "EntityTooSmall",
     {"ProposedSize": "5", "MinSizeAllowed": "5242880", "PartNumber": "1", "ETag": "ETAG"}),
    ("POST", PARTS, {}, complete((2, "ETAG"), (1, "ETAG")), 400, "InvalidPartOrder", {}),
    ("POST", PARTS, {}, complete((0, "ETAG")), 400, "InvalidArgument", {"ArgumentValue": "0"}),
    ("POST", PARTS, {}, "<Complete", 400, "MalformedXML", {}),
    # Digests and lengths.
    ("PUT", K, {"content-md5": base64.b64encode(bytes(16)).decode()}, HELLO, 400, "BadDigest",
     {"ExpectedDigest": OTHER, "CalculatedDigest": MD5}),
    ("PUT", K, {"content-md5": "x"}, HELLO, 400, "InvalidDigest", {"Content-MD5": "x"}),
    ("PUT", f"/{BUCKET}?tagging", {"content-md5": "x"}, tags("a"), 400, "InvalidDigest",
     {"Content-MD5": "x"}),
    ("PUT", K, {CRC: "AAAAAA=="}, HELLO, 400, "BadDigest",
     {"Message": "The CRC32 you specified did not match the calculated checksum."}),
    ("PUT", K, {"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}, HELLO, 400,
     "XAmzContentSHA256Mismatch", {
         "ClientComputedContentSHA256": hashlib.sha256(b"").hexdigest(),
         "S3ComputedContentSHA256": hashlib.sha256(HELLO).hexdigest()}),
    ("PUT", K, {"x-amz-content-sha256": "x"}, HELLO, 400, "InvalidArgument",
     argument("x-amz-content-sha256", "x")),
    ("PUT", K, {"x-amz-meta-a": "m" * 2048}, HELLO, 400, "MetadataTooLarge",
     {"Size": "2049", "MaxSizeAllowed": "2048"}),
    ("PUT", f"/{BUCKET}?tagging", {}, "<Tagging>" + " " * (1 << 20), 400,
     "MaxMessageLengthExceeded", {"MaxMessageLengthBytes": "1048576"}),
    ("PUT", K, {"content-length": str((5 << 30) + 1)}, "", 400, "EntityTooLarge",
     {"ProposedSize": str((5 << 30) + 1), "MaxSizeAllowed": str(5 << 30)}),
    # Chunks that are not signed.
    ("PUT", K, UNSIGNED, "4\r\nhell\r\n0\r\n\r\n", 400, "IncompleteBody",
     {"NumberBytesExpected": "5", "NumberBytesProvided": "4"}),
    ("PUT", K, UNSIGNED, "6\r\nhello!\r\n0\r\n\r\n", 400, "IncompleteBody",
     {"NumberBytesExpected": "5", "NumberBytesProvided": "6"}),
    ("PUT", K, UNSIGNED, "5\r\nhello\r\n", 400, "IncompleteBody", {}),
    ("PUT", K, UNSIGNED, "5\nhello\n0\n\n", 400, "IncompleteBody", {}),
    ("PUT", K, UNSIGNED, "hello", 400, "IncompleteBody", {}),
    ("PUT", K, UNSIGNED, "5\r\nhello!\r\n0\r\n\r\n", 400, "IncompleteBody", {}),
    ("PUT", K, UNSIGNED, "5\r\nhello\r\n0\r\n\r", 400, "IncompleteBody", {}),
    ("PUT", K, UNSIGNED, f"5\r\nhello\r\n0\r\n{CRC}:NhCmhg==\r\n\r\n", 400, "MalformedTrailerError",
     {}),
    ("PUT", K, UNSIGNED, "5\r\nhello\r\n0\r\n", 200, None, {}),
    ("PUT", K, {**UNSIGNED, "x-amz-trailer": CRC}, "5\r\nhello\r\n0\r\n\r\n", 400,
     "MalformedTrailerError", {}),
    ("PUT", K, {**UNSIGNED, "x-amz-trailer": CRC}, f"5\r\nhello\r\n0\r\n{CRC}: NhCmhg==\r\n", 200,
     None, {}),
    ("PUT", K, {**UNSIGNED, "x-amz-trailer": CRC}, f"5\r\nhello\r\n0\r\n{CRC}: AAAAAA==\r\n\r\n",
     400, "BadDigest", {}),
    ("PUT", K, {**UNSIGNED, "x-amz-trailer": CRC}, f"5\r\nhello\r\n0\r\n{CRC}: x\r\n\r\n", 400,
     "InvalidRequest", {}),
    ("PUT", K, {**UNSIGNED, "x-amz-trailer": "x-amz-foo"}, "", 400, "InvalidRequest", {}),
    ("PUT", K, {**UNSIGNED, "x-amz-trailer": f"{CRC},{CRC}c"}, "", 400, "InvalidRequest", {}),
    ("PUT", K, {**UNSIGNED, "x-amz-trailer": CRC, CRC: "NhCmhg=="}, "", 400, "InvalidRequest", {}),
    ("PUT", K, {"x-amz-trailer": CRC}, HELLO, 400, "MalformedTrailerError", {}),
    ("PUT", K, {"x-amz-trailer": CRC, CRC: "NhCmhg=="}, HELLO, 400, "InvalidRequest", {}),
    ("PUT", K, {**UNSIGNED, "x-amz-decoded-content-length": "x"}, "", 411, "MissingContentLength",
     {}),
    ("PUT", K, SIGNED, "5\r\nhello\r\n0\r\n\r\n", 400, "IncompleteBody", {}),
    ("PUT", K, SIGNED, "5;chunk-signature=\r\nhello\r\n0\r\n\r\n", 400, "IncompleteBody", {}),
    ("PUT", K, SIGNED, "5;chunk-signature=x\r\nhello\r\n0\r\n\r\n", 403, "SignatureDoesNotMatch",
     {}),
    # Tags.
    ("PUT", f"{K}?tagging", {}, tags("a!"), 400, "InvalidTag", {"TagKey": "a!"}),
    ("PUT", f"{K}?tagging", {}, tags("a", "a"), 400, "InvalidTag", {"TagKey": "a"}),
    ("PUT", f"/{BUCKET}?tagging", {}, tags("aws:a"), 400, "InvalidTag", {"TagKey": "aws:a"}),
    ("PUT", K, {"x-amz-tagging": "a=1&a=2"}, "", 400, "InvalidArgument",
     argument("x-amz-tagging", "a=1&a=2")),
    ("PUT", K, {"x-amz-tagging": "=1"}, "", 400, "InvalidArgument", argument("x-amz-tagging", "=1")),
    ("PUT", K, {"x-amz-tagging": "a!=1"}, "", 400, "InvalidTag", {"TagKey": "a!"}),
    # Requests that mean nothing, or two things.
    ("PATCH", K, {}, "", 405, "MethodNotAllowed", {"Method": "PATCH", "ResourceType": "OBJECT"}),
    ("PUT", f"/{BUCKET}?location", {}, "", 405, "MethodNotAllowed",
     {"Method": "PUT", "ResourceType": "LOCATION"}),
    ("GET", f"/{BUCKET}?delete", {}, "", 405, "MethodNotAllowed",
     {"ResourceType": "MULTI_OBJECT_DELETE"}),
    ("GET", f"/{BUCKET}?versioning&acl", {}, "", 400, "InvalidArgument", {
        **argument("ResourceType", "acl"),
        "Message": "Conflicting query string parameters: acl, versioning"}),
    ("GET", f"/{BUCKET}?max-keys=x", {}, "", 400, "InvalidArgument", argument("max-keys", "x")),
    ("GET", f"/{BUCKET}?list-type=2&continuation-token=x", {}, "", 400, "InvalidArgument",
     argument("continuation-token", "x")),
    ("GET", f"/{BUCKET}?versions&version-id-marker={OTHER}", {}, "", 400, "InvalidArgument",
     argument("version-id-marker", OTHER)),
    ("GET", f"/{BUCKET}?encoding-type=x", {}, "", 400, "InvalidArgument",
     argument("encoding-type", "x")),
    ("GET", f"{K}?attributes", {"x-amz-object-attributes": "Size"}, "", 400, "InvalidArgument",
     argument("x-amz-object-attributes", "Size")),
    ("POST", f"/{BUCKET}", {}, "x", 412, "PreconditionFailed", {
        "Condition": "Bucket POST must be of the enclosure-type multipart/form-data"}),
    # No XML can hold this key.
    ("GET", f"/{BUCKET}/a%01", {}, "", 404, "NoSuchKey", {"Key": None}),
]


def element(text, name):
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.S)
    return html.unescape(found.group(1)) if found else None


def send(client, method, target, headers, body):
    path, _, query = target.partition("?")
    headers = dict(headers)
    payload = headers.pop("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    signed = client.headers(method, path, query, headers, payload=payload)
    body = body.encode() if isinstance(body, str) else body
    try:
        client.connection.request(method, path + ("?" + query if query else ""), body, signed)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of the body was sent
    answer = client.connection.getresponse()
    return answer.status, answer.read().decode()


def test_errors_say_what_they_are_about(cloud, known):
    client, wrong = cloud.client(), []

    def fill(text):
        for name, value in known.items():
            text = text.replace(name, value) if isinstance(text, str) else text
        return text

    for method, target, headers, body, status, code, said in ROWS:
        found, text = send(client, method, fill(target), headers, fill(body))
        expected = {"Code": code, **{name: fill(value) for name, value in said.items()}}
        got = {name: element(text, name) for name in expected}
        if (found, got) != (status, expected):
            wrong.append((method, target[:80], headers, (status, expected), found, text[:700]))
    assert not wrong, "\n".join(map(str, wrong))


def test_signatures_that_are_refused_show_what_was_read(cloud, known):
    client = cloud.client()

    def refused(change, query="", **more):
        headers = client.headers("GET", K, query, **more)
        change(headers)
        client.connection.request("GET", K + ("?" + query if query else ""), b"", headers)
        answer = client.connection.getresponse()
        return answer.status, answer.read().decode()

    def forge(headers):
        headers["authorization"] = headers["authorization"][:-64] + "0" * 64

    status, text = refused(forge, "versionId=null")
    assert (status, element(text, "Code")) == (403, "SignatureDoesNotMatch")
    assert element(text, "AWSAccessKeyId") == cloud.access_key
    assert element(text, "SignatureProvided") == "0" * 64
    canonical = element(text, "CanonicalRequest")
    assert canonical.startswith(f"GET\n{K}\nversionId=null\nhost:{cloud.host}\n"), canonical
    to_sign = element(text, "StringToSign")
    assert to_sign.splitlines()[-1] == hashlib.sha256(canonical.encode()).hexdigest()
    for name in ("CanonicalRequest", "StringToSign"):
        shown = bytes.fromhex(element(text, f"{name}Bytes"))
        assert shown.decode() == element(text, name), name

    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    status, text = refused(lambda headers: None, now=old)
    assert (status, element(text, "Code")) == (403, "RequestTimeTooSkewed")
    assert element(text, "RequestTime") == old.strftime("%Y%m%dT%H%M%SZ")
    assert element(text, "MaxAllowedSkewMilliseconds") == "900000"
    assert element(text, "ServerTime")

    client.region = "nowhere-1"
    status, text = refused(lambda headers: None)
    assert (status, element(text, "Code")) == (400, "AuthorizationHeaderMalformed")
    assert element(text, "Region") == cloud.region
    client.region = cloud.region

    def other_key(headers):
        headers["authorization"] = headers["authorization"].replace(cloud.access_key, "A" * 20)

    status, text = refused(other_key)
    assert (status, element(text, "Code")) == (403, "InvalidAccessKeyId")
    assert element(text, "AWSAccessKeyId") == "A" * 20

    def add(headers):
        headers["x-amz-meta-more"] = "1"

    status, text = refused(add)
    assert (status, element(text, "Code")) == (403, "AccessDenied")
    assert element(text, "HeadersNotSigned") == "x-amz-meta-more"


def test_a_connection_that_ends_early_stores_nothing(cloud, known):
    """The rest of the body never comes: the client has closed its half of the connection."""
    client = cloud.client()
    headers = client.headers("PUT", f"/{BUCKET}/short", headers={"content-length": "10"})
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host, port = cloud.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"PUT /{BUCKET}/short HTTP/1.1\r\n{head}\r\nhello".encode())
        connection.shutdown(socket.SHUT_WR)
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    if text:
        assert element(text, "Code") == "IncompleteBody", text
        assert element(text, "NumberBytesExpected") == "10"
        assert element(text, "NumberBytesProvided") == "5"
    assert client.request("GET", f"/{BUCKET}/short")[0] == 404


def test_signed_chunks_may_have_blanks_and_small_ones_are_named(cloud, known):
    client = cloud.client()

    def put(chunks, extension=";chunk-signature="):
        path, total = f"/{BUCKET}/chunks", str(sum(map(len, chunks)))
        payload = SIGNED["x-amz-content-sha256"]
        headers = client.headers("PUT", path, "", {"x-amz-decoded-content-length": total},
                                 payload=payload)
        stamp, body = headers["x-amz-date"], b""
        previous = headers["authorization"].rsplit("=", 1)[1]
        scope = f"{stamp[:8]}/{client.region}/s3/aws4_request"
        for chunk in [*chunks, b""]:
            text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous,
                              hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()])
            key = client._signing_key(stamp[:8], "s3")
            previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
            body += f"{len(chunk):x}{extension}{previous}\r\n".encode() + chunk + b"\r\n"
        client.connection.request("PUT", path, body, headers)
        answer = client.connection.getresponse()
        return answer.status, answer.read().decode()

    for extension in (";chunk-signature=", " ; chunk-signature = "):
        assert put([b"x" * 8192, b"end"], extension) == (200, "")
    # S3 names the number of the chunk that shows it.
    status, text = put([b"x" * 1024, b"y" * 4096, b"end"])
    assert (status, element(text, "Code")) == (403, "InvalidChunkSizeError")
    assert (element(text, "Chunk"), element(text, "BadChunkSize")) == ("2", "1024")
