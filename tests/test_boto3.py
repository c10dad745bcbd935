"""A day's work through boto3, with its defaults (CRC trailers on uploads) and without."""

import base64
import binascii
import hashlib
import io
import os
import urllib.error
import urllib.request
import zlib
from email.header import decode_header, make_header

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from conftest import client_for


def code(error):
    return error.value.response["Error"]["Code"]


def status(error):
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def keys(page):
    return [o["Key"] for o in page.get("Contents", [])]


# ---- buckets


def test_bucket_life(s3, cloud):
    s3.create_bucket(
        Bucket="a-life", CreateBucketConfiguration={"LocationConstraint": cloud.region}
    )
    assert s3.head_bucket(Bucket="a-life")["BucketRegion"] == cloud.region
    assert s3.get_bucket_location(Bucket="a-life")["LocationConstraint"] == cloud.region
    assert "a-life" in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket="a-life", Key="k", Body=b"x")
    with pytest.raises(ClientError) as e:
        s3.delete_bucket(Bucket="a-life")
    assert (code(e), status(e)) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket="a-life", Key="k")
    s3.delete_bucket(Bucket="a-life")
    with pytest.raises(ClientError) as e:
        s3.head_bucket(Bucket="a-life")
    assert status(e) == 404
    with pytest.raises(ClientError) as e:
        s3.list_objects_v2(Bucket="a-life")
    assert code(e) == "NoSuchBucket"


def test_bucket_refusals(s3, stranger, bucket):
    with pytest.raises(ClientError) as e:
        s3.create_bucket(Bucket=bucket)
    assert code(e) == "BucketAlreadyOwnedByYou"
    with pytest.raises(ClientError) as e:
        stranger.create_bucket(Bucket=bucket)
    assert code(e) == "BucketAlreadyExists"
    with pytest.raises(ClientError) as e:
        s3.create_bucket(
            Bucket="elsewhere-1", CreateBucketConfiguration={"LocationConstraint": "sa-east-1"}
        )
    assert code(e) in ("InvalidLocationConstraint", "IllegalLocationConstraintException")
    with pytest.raises(ClientError) as e:
        s3.create_bucket(Bucket="public-1", ACL="public-read")
    assert (code(e), status(e)) == ("InvalidBucketAclWithObjectOwnership", 400)


def test_buckets_are_listed_in_pages(s3):
    for n in range(5):
        s3.create_bucket(Bucket=f"paged-{n}")
    seen, token = [], {}
    while True:
        page = s3.list_buckets(Prefix="paged-", MaxBuckets=2, **token)
        seen += [b["Name"] for b in page["Buckets"]]
        assert len(page["Buckets"]) <= 2
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert seen == [f"paged-{n}" for n in range(5)]


def test_a_stranger_sees_and_does_nothing(s3, stranger, bucket):
    s3.put_object(Bucket=bucket, Key="mine", Body=b"secret")
    for attempt in (
        lambda: stranger.get_object(Bucket=bucket, Key="mine"),
        lambda: stranger.put_object(Bucket=bucket, Key="theirs", Body=b"x"),
        lambda: stranger.delete_object(Bucket=bucket, Key="mine"),
        lambda: stranger.list_objects_v2(Bucket=bucket),
        lambda: stranger.delete_bucket(Bucket=bucket),
        lambda: stranger.get_bucket_versioning(Bucket=bucket),
    ):
        with pytest.raises(ClientError) as e:
            attempt()
        assert code(e) == "AccessDenied"
    own = "stranger-own"
    stranger.create_bucket(Bucket=own)
    for attempt in (  # S15: the source of a copy is checked too
        lambda: stranger.copy_object(
            Bucket=own, Key="stolen", CopySource={"Bucket": bucket, "Key": "mine"}
        ),
        lambda: s3.copy_object(
            Bucket=own, Key="planted", CopySource={"Bucket": bucket, "Key": "mine"}
        ),
    ):
        with pytest.raises(ClientError) as e:
            attempt()
        assert code(e) == "AccessDenied"
    assert bucket not in [b["Name"] for b in stranger.list_buckets()["Buckets"]]


# ---- objects


@pytest.mark.parametrize("size", [0, 1, 4096, 65_536, 65_537, 5_000_000])
def test_round_trip(s3, bucket, size):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == body and got["ContentLength"] == size
    assert got["ETag"] == put["ETag"]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == size and head["AcceptRanges"] == "bytes"


def test_headers_and_metadata_are_kept(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"<p>", ContentType="text/html", CacheControl="max-age=5",
        ContentDisposition='attachment; filename="f"', ContentEncoding="gzip",
        ContentLanguage="en", Metadata={"Colour": "blue", "empty": ""}, Tagging="a=1&b=2",
    )
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentType"] == "text/html" and head["CacheControl"] == "max-age=5"
    assert head["ContentDisposition"] == 'attachment; filename="f"'
    assert head["ContentEncoding"] == "gzip" and head["ContentLanguage"] == "en"
    assert head["Metadata"] == {"colour": "blue", "empty": ""}
    got = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="text/plain", ResponseCacheControl="no-store"
    )
    assert got["ContentType"] == "text/plain" and got["CacheControl"] == "no-store"
    assert got["TagCount"] == 2
    with pytest.raises(ClientError) as e:
        s3.put_object(Bucket=bucket, Key="k", Metadata={"m": "x" * 2100})
    assert code(e) == "MetadataTooLarge"


def test_ranges(s3, bucket):
    body = os.urandom(300_000)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    for text, part in {
        "bytes=0-9": body[:10], "bytes=299990-": body[-10:], "bytes=-7": body[-7:],
        "bytes=100-400000": body[100:], "bytes=131071-131073": body[131071:131074],
    }.items():
        got = s3.get_object(Bucket=bucket, Key="k", Range=text)
        assert got["Body"].read() == part, text
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["ContentRange"].endswith("/300000")
    with pytest.raises(ClientError) as e:
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=300000-")
    assert (code(e), status(e)) == ("InvalidRange", 416)


@pytest.mark.parametrize(
    "key",
    ["..", "../up", "//", "/lead", "a//b", "a/../b", "./x", "sp ace", "plus+sign", "q?m&a=b#c",
     "per%25cent", "ünï/∆/日本", "tab\there", "new\nline", "\x01ctl", "trail/", "k" * 1024,
     "'quote\"<&>", "~.-_", "emoji-🐪"],
)
def test_any_key(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert keys(s3.list_objects_v2(Bucket=bucket, Prefix=key)) == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    if key.isprintable():
        listed = {"Objects": [{"Key": key}, {"Key": "copy"}]}
        answer = s3.delete_objects(Bucket=bucket, Delete=listed)
        assert {d["Key"] for d in answer["Deleted"]} == {key, "copy"}
    else:  # no XML of this version can carry these characters, here or at Amazon's
        s3.delete_object(Bucket=bucket, Key=key)
        s3.delete_object(Bucket=bucket, Key="copy")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_key_too_long(s3, bucket):
    with pytest.raises(ClientError) as e:
        s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b"")
    assert code(e) == "KeyTooLongError"


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"x"
    for condition in ({"IfNoneMatch": etag}, {"IfModifiedSince": modified}):
        with pytest.raises(ClientError) as e:
            s3.get_object(Bucket=bucket, Key="k", **condition)
        assert status(e) == 304
    for condition in ({"IfMatch": '"no"'}, {"IfUnmodifiedSince": "2001-01-01"}):
        with pytest.raises(ClientError) as e:
            s3.get_object(Bucket=bucket, Key="k", **condition)
        assert status(e) == 412


def test_conditional_writes(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"00000000000000000000000000000000"'}):
        with pytest.raises(ClientError) as e:
            s3.put_object(Bucket=bucket, Key="k", Body=b"2", **condition)
        assert (code(e), status(e)) == ("PreconditionFailed", 412)
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)["ETag"]
    with pytest.raises(ClientError) as e:
        s3.put_object(Bucket=bucket, Key="absent", Body=b"2", IfMatch=first)
    assert code(e) == "NoSuchKey"
    with pytest.raises(ClientError) as e:
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=first)
    assert code(e) == "PreconditionFailed"
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=second)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"p")
    s3.put_object(Bucket=bucket, Key="k", Body=b"in the way")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    with pytest.raises(ClientError) as e:
        s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts, IfNoneMatch="*"
        )
    assert code(e) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"in the way"


CHECKSUMS = {
    "CRC32": lambda b: zlib.crc32(b).to_bytes(4, "big"),
    "SHA1": lambda b: hashlib.sha1(b).digest(),
    "SHA256": lambda b: hashlib.sha256(b).digest(),
    "SHA512": lambda b: hashlib.sha512(b).digest(),
    "MD5": lambda b: hashlib.md5(b).digest(),
}


def base64_of(hexadecimal):
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


# What botocore without its optional C library cannot compute: known values stand in, those of no
# bytes are in the specification of xxHash.
KNOWN = {
    "CRC32C": (b"123456789", "4waSgw=="),
    "CRC64NVME": (b"123456789", "rosUhgp5mIg="),
    "SHA512": (b"abc", base64.b64encode(hashlib.sha512(b"abc").digest()).decode()),
    "MD5": (b"abc", base64.b64encode(hashlib.md5(b"abc").digest()).decode()),
    "XXHASH64": (b"", base64_of("ef46db3751d8e999")),
    "XXHASH3": (b"", base64_of("2d06800538d394c2")),
    "XXHASH128": (b"", base64_of("99aa06d3014798d86001c324468d497f")),
}


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256", *KNOWN])
def test_checksums(s3, bucket, algorithm):
    body = os.urandom(200_000)
    field = f"Checksum{algorithm}"
    if algorithm in KNOWN:
        body, value = KNOWN[algorithm]
        s3.put_object(Bucket=bucket, Key="k", Body=body, **{field: value})
    else:
        value = base64.b64encode(CHECKSUMS[algorithm](body)).decode()
        s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[field] == value and head["ChecksumType"] == "FULL_OBJECT"
    assert s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["Body"].read() == body
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag", "StorageClass"]
    )
    assert attributes["Checksum"][field] == value and attributes["ObjectSize"] == len(body)
    wrong = base64.b64encode(b"\0" * len(base64.b64decode(value))).decode()
    with pytest.raises(ClientError) as e:
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", **{field: wrong})
    assert code(e) == "BadDigest"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]


def test_content_md5(s3, bucket):
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=md5)
    with pytest.raises(ClientError) as e:
        s3.put_object(Bucket=bucket, Key="k", Body=b"y", ContentMD5=md5)
    assert code(e) == "BadDigest"
    with pytest.raises(ClientError) as e:
        s3.put_object(Bucket=bucket, Key="k", Body=b"y", ContentMD5="short")
    assert code(e) == "InvalidDigest"


def test_copy(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="from", Body=b"c" * 100_000, ContentType="text/x", Metadata={"a": "1"},
        Tagging="t=1",
    )
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="to", CopySource=source)
    head = s3.head_object(Bucket=bucket, Key="to")
    assert head["Metadata"] == {"a": "1"} and head["ContentType"] == "text/x"
    assert s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(
        Bucket=bucket, Key="to", CopySource=source, MetadataDirective="REPLACE",
        Metadata={"b": "2"}, ContentType="text/y", TaggingDirective="REPLACE", Tagging="u=2",
    )
    head = s3.head_object(Bucket=bucket, Key="to")
    assert head["Metadata"] == {"b": "2"} and head["ContentType"] == "text/y"
    assert s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"] == [{"Key": "u", "Value": "2"}]
    with pytest.raises(ClientError) as e:
        s3.copy_object(Bucket=bucket, Key="from", CopySource=source)
    assert code(e) == "InvalidRequest"
    s3.copy_object(
        Bucket=bucket, Key="from", CopySource=source, MetadataDirective="REPLACE", Metadata={}
    )
    assert s3.head_object(Bucket=bucket, Key="from")["Metadata"] == {}
    assert s3.get_object(Bucket=bucket, Key="from")["Body"].read() == b"c" * 100_000
    with pytest.raises(ClientError) as e:
        s3.copy_object(Bucket=bucket, Key="x", CopySource=source, CopySourceIfMatch='"no"')
    assert code(e) == "PreconditionFailed"
    with pytest.raises(ClientError) as e:
        s3.copy_object(Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "absent"})
    assert code(e) == "NoSuchKey"


def test_tagging(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "ü"}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    eleven = [{"Key": str(n), "Value": ""} for n in range(11)]
    with pytest.raises(ClientError) as e:
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": eleven})
    assert code(e) in ("BadRequest", "InvalidTag")
    with pytest.raises(ClientError) as e:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code(e) == "NoSuchTagSet"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    with pytest.raises(ClientError) as e:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code(e) == "NoSuchTagSet"


# ---- listings


def test_listing_with_delimiter_and_pages(s3, bucket):
    names = sorted(f"{d}/{n:02}" for d in ("a", "b", "c") for n in range(7)) + ["top", "zz"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 4}
    )
    assert [k for p in pages for k in keys(p)] == sorted(names)
    seen = []
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2}
    ):
        seen += [p["Prefix"] for p in page.get("CommonPrefixes", [])] + keys(page)
        assert page["KeyCount"] <= 2
    assert seen == ["a/", "b/", "c/", "top", "zz"]
    v1 = s3.get_paginator("list_objects").paginate(
        Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    assert [p["Prefix"] for v in v1 for p in v.get("CommonPrefixes", [])] == ["a/", "b/", "c/"]
    page = s3.list_objects_v2(Bucket=bucket, Prefix="b/", StartAfter="b/04", FetchOwner=True)
    assert keys(page) == ["b/05", "b/06"] and page["Contents"][0]["Owner"]["ID"]
    assert keys(s3.list_objects(Bucket=bucket, Marker="top")) == ["zz"]
    none = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert none["KeyCount"] == 0 and not none["IsTruncated"]
    exact = s3.list_objects_v2(Bucket=bucket, MaxKeys=len(names))
    assert not exact["IsTruncated"] and "NextContinuationToken" not in exact


# ---- versions


def test_versions(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    v1 = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    v2 = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] is True
    with pytest.raises(ClientError) as e:
        s3.get_object(Bucket=bucket, Key="k")
    assert code(e) == "NoSuchKey"
    assert e.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    for version, body in ((v1, b"one"), (v2, b"two"), ("null", b"before")):
        assert s3.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() == body
    with pytest.raises(ClientError) as e:
        s3.get_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert status(e) == 405
    listing = s3.list_object_versions(Bucket=bucket)
    assert [v["VersionId"] for v in listing["Versions"]] == [v2, v1, "null"]
    assert listing["DeleteMarkers"][0]["IsLatest"] is True
    seen, markers = [], {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=1, **markers)
        seen += [v["VersionId"] for v in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        if not page["IsTruncated"]:
            break
        markers = {
            "KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]
        }
    assert seen == [marker["VersionId"], v2, v1, "null"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=v2)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"
    copy = s3.copy_object(
        Bucket=bucket, Key="back",
        CopySource={"Bucket": bucket, "Key": "k", "VersionId": "null"},
    )
    assert copy["CopySourceVersionId"] == "null"
    assert s3.get_object(Bucket=bucket, Key="back")["Body"].read() == b"before"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"suspended")
    ids = [v["VersionId"] for v in s3.list_object_versions(Bucket=bucket, Prefix="k")["Versions"]]
    assert ids == ["null", v1]
    with pytest.raises(ClientError) as e:
        s3.get_object(Bucket=bucket, Key="k", VersionId="f" * 32)
    assert code(e) == "NoSuchVersion"
    versions = s3.list_object_versions(Bucket=bucket)
    doomed = [
        {"Key": v["Key"], "VersionId": v["VersionId"]}
        for v in versions.get("Versions", []) + versions.get("DeleteMarkers", [])
    ]
    assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed})
    s3.delete_bucket(Bucket=bucket)


# ---- multipart

MIB = 1 << 20


def test_multipart(s3, bucket):
    sizes = (5 * MIB, 5 * MIB + 3, 70_000)
    bodies = [os.urandom(n) for n in sizes]
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="big", ContentType="app/x", Metadata={"m": "1"}, Tagging="t=1"
    )["UploadId"]
    assert s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["UploadId"] == upload
    done = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(
            Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body
        )
        done.append({"PartNumber": number, "ETag": part["ETag"]})
    page = s3.list_parts(Bucket=bucket, Key="big", UploadId=upload, MaxParts=2)
    assert [p["Size"] for p in page["Parts"]] == list(sizes[:2]) and page["IsTruncated"]
    with pytest.raises(ClientError) as e:
        s3.complete_multipart_upload(
            Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": done[::-1]}
        )
    assert code(e) == "InvalidPartOrder"
    answer = s3.complete_multipart_upload(
        Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": done}
    )
    whole = b"".join(bodies)
    md5s = b"".join(hashlib.md5(b).digest() for b in bodies)
    assert answer["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == whole and got["Metadata"] == {"m": "1"}
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert second["Body"].read() == bodies[1] and second["PartsCount"] == 3
    edge = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert edge["Body"].read() == whole[5 * MIB - 2 : 5 * MIB + 2]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_multipart_refusals(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    tags = [
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=n, Body=b"small")["ETag"]
        for n in (1, 2)
    ]
    parts = [{"PartNumber": n, "ETag": t} for n, t in enumerate(tags, 1)]

    def complete(listed):
        return s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": listed}
        )

    for listed, expected in (
        (parts, "EntityTooSmall"),
        ([{"PartNumber": 1, "ETag": '"' + "0" * 32 + '"'}], "InvalidPart"),
        ([{"PartNumber": 3, "ETag": tags[0]}], "InvalidPart"),
        ([], "MalformedXML"),
    ):
        with pytest.raises(ClientError) as e:
            complete(listed)
        assert code(e) == expected
    with pytest.raises(ClientError) as e:
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=10_001, Body=b"")
    assert code(e) == "InvalidArgument"
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    for attempt in (
        lambda: complete(parts[:1]),
        lambda: s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b""),
        lambda: s3.list_parts(Bucket=bucket, Key="k", UploadId=upload),
    ):
        with pytest.raises(ClientError) as e:
            attempt()
        assert code(e) == "NoSuchUpload"


@pytest.mark.parametrize(
    "algorithm,kind",
    [
        ("SHA256", "COMPOSITE"),
        ("SHA512", "COMPOSITE"),
        ("MD5", "COMPOSITE"),
        ("CRC32", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"),
    ],
)
def test_multipart_checksums(s3, bucket, algorithm, kind):
    bodies = [os.urandom(5 * MIB), os.urandom(1234)]
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind
    )["UploadId"]
    field, parts, digest = f"Checksum{algorithm}", [], CHECKSUMS[algorithm]
    for number, body in enumerate(bodies, 1):
        answer = s3.upload_part(
            Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body,
            **{field: base64.b64encode(digest(body)).decode()},
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"], field: answer[field]})
    if kind == "COMPOSITE":
        expected = base64.b64encode(digest(b"".join(digest(b) for b in bodies))).decode() + "-2"
    else:
        expected = base64.b64encode(digest(b"".join(bodies))).decode()
    answer = s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert answer[field] == expected and answer["ChecksumType"] == kind
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[field] == expected and head["ChecksumType"] == kind


def test_upload_part_copy(s3, bucket):
    source = os.urandom(6 * MIB)
    s3.put_object(Bucket=bucket, Key="src", Body=source)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="dst")["UploadId"]
    parts = []
    for number, span in enumerate((f"bytes=0-{5 * MIB - 1}", f"bytes={5 * MIB}-{6 * MIB - 1}"), 1):
        answer = s3.upload_part_copy(
            Bucket=bucket, Key="dst", UploadId=upload, PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "src"}, CopySourceRange=span,
        )
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(
        Bucket=bucket, Key="dst", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert s3.get_object(Bucket=bucket, Key="dst")["Body"].read() == source


def test_managed_transfer(s3, bucket):
    body = os.urandom(30 * MIB + 17)
    s3.upload_fileobj(io.BytesIO(body), bucket, "managed")
    back = io.BytesIO()
    s3.download_fileobj(bucket, "managed", back)
    assert back.getvalue() == body


# ---- URLs, forms, addressing, payload modes


def fetch(url, method="GET", data=None, headers=None):
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_presigned_urls(s3, bucket):
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k / ü"})
    assert fetch(put, "PUT", b"by url")[0] == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k / ü"})
    assert fetch(get) == (200, b"by url")
    assert fetch(get.replace("X-Amz-Signature=", "X-Amz-Signature=0"))[0] == 403
    status_, body = fetch(put, "DELETE")
    assert status_ == 403 and b"SignatureDoesNotMatch" in body


def test_post_form(s3, bucket, cloud):
    form = s3.generate_presigned_post(
        bucket, "up/${filename}", Fields={"success_action_status": "201", "x-amz-meta-a": "1"},
        Conditions=[
            {"success_action_status": "201"}, {"x-amz-meta-a": "1"},
            ["starts-with", "$key", "up/"], ["content-length-range", 1, 100],
        ],
    )

    def post(body):
        edge = "----edge"
        lines = []
        for name, value in form["fields"].items():
            lines += [f"--{edge}", f'Content-Disposition: form-data; name="{name}"', "", value]
        lines += [
            f"--{edge}", 'Content-Disposition: form-data; name="file"; filename="f.txt"',
            "Content-Type: text/plain", "",
        ]
        data = "\r\n".join(lines).encode() + b"\r\n" + body + f"\r\n--{edge}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        return fetch(f"{cloud.endpoint}/{bucket}", "POST", data, headers)

    assert post(b"by form")[0] == 201
    got = s3.get_object(Bucket=bucket, Key="up/f.txt")
    assert got["Body"].read() == b"by form" and got["Metadata"] == {"a": "1"}
    code_, answer = post(b"x" * 101)
    assert code_ == 400 and b"EntityTooLarge" in answer


def test_virtual_host_addressing(cloud, s3, bucket):
    port = cloud.endpoint.rsplit(":", 1)[1]
    import http.client

    client = cloud.client()
    client.host = f"{bucket}.localhost:{port}"
    client.connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    assert client.request("PUT", "/by-host", body=b"v")[0] == 200
    assert s3.get_object(Bucket=bucket, Key="by-host")["Body"].read() == b"v"


@pytest.mark.parametrize("signing", [True, False])
def test_payload_signing(cloud, bucket, signing):
    client = client_for(
        cloud, s3={"addressing_style": "path", "payload_signing_enabled": signing},
        request_checksum_calculation="when_required",
    )
    client.put_object(Bucket=bucket, Key="k", Body=b"signed?")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"signed?"


def test_keys_that_do_not_fit(cloud, bucket):
    for access, secret, expected in (
        ("AKIAUNKNOWNUNKNOWN00", "x" * 40, "InvalidAccessKeyId"),
        (cloud.access_key, "x" * 40, "SignatureDoesNotMatch"),
    ):
        with pytest.raises(ClientError) as e:
            client_for(cloud, access, secret).list_objects_v2(Bucket=bucket)
        assert (code(e), status(e)) == (expected, 403)


@pytest.mark.parametrize(
    "call,arguments",
    [("put_bucket_website", {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "i"}}}),
     ("get_bucket_metadata_configuration", {})],
)
def test_what_is_not_there_says_so(s3, bucket, call, arguments):
    with pytest.raises(ClientError) as e:
        getattr(s3, call)(Bucket=bucket, **arguments)
    assert (code(e), status(e)) == ("NotImplemented", 501)


def test_crc32_helper_is_right():
    assert binascii.crc32(b"123456789") == 0xCBF43926


# ---- what tools ask before they do anything


# Operation, and the code where nothing is set; None is an answer.
UNSET = {
    "get_bucket_acl": None,
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_public_access_block": None,
    "get_bucket_ownership_controls": None,
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_bucket_notification_configuration": None,
    "get_bucket_logging": None,
    "get_bucket_request_payment": None,
    "get_bucket_accelerate_configuration": None,
    "get_bucket_abac": None,
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "list_bucket_analytics_configurations": None,
    "list_bucket_intelligent_tiering_configurations": None,
    "list_bucket_inventory_configurations": None,
    "list_bucket_metrics_configurations": None,
    "delete_bucket_policy": None,
    "delete_bucket_cors": None,
    "delete_bucket_encryption": None,
    "delete_bucket_lifecycle": None,
    "delete_bucket_website": None,
}


@pytest.mark.parametrize("operation", UNSET)
def test_a_document_that_nobody_set_is_answered_as_s3_does(s3, bucket, operation):
    if UNSET[operation] is None:
        answer = getattr(s3, operation)(Bucket=bucket)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] in (200, 204)
        return
    with pytest.raises(ClientError) as e:
        getattr(s3, operation)(Bucket=bucket)
    assert (code(e), status(e)) == (UNSET[operation], 404)


def test_what_is_answered_where_nothing_is_set(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for acl in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
        (grant,) = acl["Grants"]
        assert grant["Permission"] == "FULL_CONTROL"
        assert grant["Grantee"]["ID"] == acl["Owner"]["ID"]
        assert grant["Grantee"]["Type"] == "CanonicalUser"
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert len(block) == 4 and all(block.values())
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    listed = s3.list_bucket_metrics_configurations(Bucket=bucket)
    assert listed["IsTruncated"] is False and "MetricsConfigurationList" not in listed
    for attempt in (s3.get_object_retention, s3.get_object_legal_hold):
        with pytest.raises(ClientError) as e:
            attempt(Bucket=bucket, Key="k")
        assert code(e) == "NoSuchObjectLockConfiguration"
    for attempt in (s3.get_object_acl, s3.get_object_retention):
        with pytest.raises(ClientError) as e:
            attempt(Bucket=bucket, Key="absent")
        assert code(e) == "NoSuchKey"


def test_documents_that_say_what_holds_anyway_are_taken(s3, bucket):
    """What Terraform, GitLab and console tools put whether or not it is there already."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    owned = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=owned)
    s3.put_bucket_acl(Bucket=bucket, ACL="bucket-owner-full-control")
    s3.put_object_acl(Bucket=bucket, Key="k", ACL="bucket-owner-full-control")
    acl = s3.get_bucket_acl(Bucket=bucket)
    policy = {"Owner": acl["Owner"], "Grants": acl["Grants"]}
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=policy)
    s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=policy)
    s3.put_bucket_request_payment(
        Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    s3.put_bucket_accelerate_configuration(
        Bucket=bucket, AccelerateConfiguration={"Status": "Suspended"})
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    with pytest.raises(ClientError) as e:
        s3.put_object_acl(Bucket=bucket, Key="absent", ACL="bucket-owner-full-control")
    assert code(e) == "NoSuchKey"
    with pytest.raises(ClientError) as e:
        s3.delete_bucket_metrics_configuration(Bucket=bucket, Id="m")
    assert code(e) == "NoSuchConfiguration"


def test_a_document_that_would_change_something_is_refused_with_what_it_says(s3, bucket):
    for call, arguments, named in (
        ("put_bucket_notification_configuration",
         {"NotificationConfiguration": {"EventBridgeConfiguration": {}}},
         "EventBridgeConfiguration"),
    ):
        with pytest.raises(ClientError) as e:
            getattr(s3, call)(Bucket=bucket, **arguments)
        assert (code(e), status(e)) == ("NotImplemented", 501), call
        assert named in e.value.response["Error"]["Message"], (call, e.value.response["Error"])
    with pytest.raises(ClientError) as e:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="GLACIER")
    assert code(e) == "InvalidStorageClass"
    assert "GLACIER" in e.value.response["Error"]["Message"]


def test_a_bucket_is_made_with_tags(s3):
    tags = [{"Key": "team", "Value": "a b"}]
    s3.create_bucket(Bucket="tagged", CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket="tagged")["TagSet"] == tags
    with pytest.raises(ClientError) as e:
        s3.create_bucket(Bucket="tagged-2", CreateBucketConfiguration={"Tags": tags * 2})
    assert code(e) == "InvalidTag"
    with pytest.raises(ClientError) as e:
        s3.head_bucket(Bucket="tagged-2")
    assert status(e) == 404


def test_a_copy_in_place_with_a_storage_class_rewrites_the_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "1"})
    source = {"Bucket": bucket, "Key": "k"}
    with pytest.raises(ClientError) as e:
        s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    assert code(e) == "InvalidRequest"
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, StorageClass="STANDARD")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Metadata"] == {"a": "1"} and got["Body"].read() == b"x"


def test_a_sdk_that_says_another_checksum_than_it_sends_is_refused(s3, bucket):
    with pytest.raises(ClientError) as e:
        s3.put_object(
            Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="SHA1",
            ChecksumSHA512=KNOWN["SHA512"][1],
        )
    assert code(e) == "BadDigest"


def test_text_outside_ascii_in_headers(s3, bucket, cloud):
    text = "\u6587 \u00e9"
    # boto3 refuses such metadata itself; what other SDKs do is to send UTF-8.
    url = f"{cloud.endpoint}/{bucket}/k"
    signed = AWSRequest("PUT", url, headers={"x-amz-meta-title": text}, data=b"x")
    signed.headers["x-amz-content-sha256"] = hashlib.sha256(b"x").hexdigest()
    S3SigV4Auth(s3._request_signer._credentials, "s3", cloud.region).add_auth(signed)
    request = urllib.request.Request(url, data=b"x", method="PUT")
    for name, value in signed.headers.items():
        request.add_header(name, value.encode().decode("latin-1"))
    urllib.request.urlopen(request, timeout=20).read()
    value = s3.head_object(Bucket=bucket, Key="k")["Metadata"]["title"]
    assert value.isascii() and str(make_header(decode_header(value))) == text
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentDisposition="a; f=\u00e9")
    assert got["ContentDisposition"] == "a; f=\u00e9"
    for refused in ("\u6587", "a\r\nb: c"):
        with pytest.raises(ClientError) as e:
            s3.get_object(Bucket=bucket, Key="k", ResponseContentDisposition=refused)
        assert code(e) == "InvalidArgument"


def test_a_url_of_signature_version_2_is_told_so(s3, cloud, bucket):
    """boto3 makes them where the region is us-east-1, and then with headers in the query."""
    old = client_for(cloud, signature_version="s3")
    params = {"Bucket": bucket, "Key": "k", "Metadata": {"a": "1"}}
    url = old.generate_presigned_url("put_object", Params=params)
    assert "AWSAccessKeyId=" in url
    found, body = fetch(url, "PUT", b"x", {"x-amz-meta-a": "1"})
    assert found == 400 and b"AWS4-HMAC-SHA256" in body, body
