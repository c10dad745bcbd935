"""Writes botocore.txt: the heads of requests that botocore signs, at one fixed time.

Nothing is sent: every request is caught before it would leave.
Run: python make.py > botocore.txt
"""

import datetime
import io
import sys
from unittest import mock

import botocore.auth
import botocore.awsrequest
import botocore.session
from botocore.config import Config

NOW = datetime.datetime(2026, 1, 1, 12, 0, 0)
ODD = "a//b/../\u00fc +&"
KEYS = ["k", ODD, "./x/..//", "%2F%25 100%", "\u20ac~!*'();:@=,?#[]", "a\tb\nc", "\U0001f980"]


class Raw(io.BytesIO):
    def stream(self, **_):
        yield b""


def main():
    session = botocore.session.Session()
    session.set_credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

    def client(checksums="when_required", **s3):
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path", **s3},
            request_checksum_calculation=checksums,
            retries={"max_attempts": 0},
        )
        return session.create_client(
            "s3", region_name="us-east-1", endpoint_url="http://localhost:9000", config=config
        )

    def show(title, method, url, headers):
        target = "/" + url.split("/", 3)[3]
        lines = [f"# {title}", f"{method} {target}"]
        names = sorted((k.lower(), v) for k, v in headers.items())
        lines += [f"{k}: {v.decode() if isinstance(v, bytes) else v}" for k, v in names
                  if k not in ("user-agent", "amz-sdk-request", "amz-sdk-invocation-id")]
        print("\n".join(lines), end="\n\n")

    def caught(title, s3, operation, **args):
        def before(request, **_):
            show(title, request.method, request.url, {"host": "localhost:9000", **request.headers})
            return botocore.awsrequest.AWSResponse(request.url, 500, {}, Raw())

        s3.meta.events.register("before-send.s3", before)
        try:
            getattr(s3, operation)(**args)
        except s3.exceptions.ClientError:
            pass  # the made-up answer
        s3.meta.events.unregister("before-send.s3", before)

    plain = client()
    for key in KEYS:
        caught("get " + ascii(key), plain, "get_object", Bucket="b", Key=key)
        url = plain.generate_presigned_url("get_object", {"Bucket": "b", "Key": key}, 3600)
        show("presigned get " + ascii(key), "GET", url, {"host": "localhost:9000"})
    caught("list", plain, "list_objects_v2", Bucket="b", Prefix=ODD, Delimiter="/+ =&", MaxKeys=2)
    caught("a flag in the query", plain, "get_bucket_versioning", Bucket="b")
    caught("metadata", plain, "put_object", Bucket="b", Key=ODD, Body=b"x",
           Metadata={"a": "one   two", "b": "x,y;z", "c": "-"}, Tagging="k=v&l=%20", ACL="private")
    caught("a copy", plain, "copy_object", Bucket="b", Key="to",
           CopySource={"Bucket": "b", "Key": ODD}, MetadataDirective="REPLACE")
    caught("a part", plain, "upload_part", Bucket="b", Key=ODD, PartNumber=7, UploadId="u/+=&",
           Body=b"x")
    caught("unsigned body", client(payload_signing_enabled=False), "put_object", Bucket="b",
           Key="k", Body=b"x")
    caught("checksum in a header", client("when_supported", payload_signing_enabled=True),
           "put_object", Bucket="b", Key="k", Body=b"x", ChecksumAlgorithm="SHA256")
    caught("several deleted", client("when_supported"), "delete_objects", Bucket="b",
           Delete={"Objects": [{"Key": ODD}]})
    url = plain.generate_presigned_url(
        "put_object", {"Bucket": "b", "Key": ODD, "ContentType": "text/plain",
                       "Metadata": {"a": "1"}}, 604800)
    show("presigned put", "PUT", url,
         {"host": "localhost:9000", "content-type": "text/plain", "x-amz-meta-a": "1"})
    url = plain.generate_presigned_url(
        "get_object", {"Bucket": "b", "Key": ODD, "VersionId": "null",
                       "ResponseContentDisposition": "attachment; filename=\"\u00fc +&.txt\""}, 1)
    show("presigned with answers", "GET", url, {"host": "localhost:9000"})


if __name__ == "__main__":
    names = [n for n in ("get_current_datetime",) if hasattr(botocore.auth, n)]
    if not names:
        sys.exit("this botocore takes the time from elsewhere")
    with mock.patch.object(botocore.auth, names[0], lambda remove_tzinfo=True: NOW):
        main()
