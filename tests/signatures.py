"""What tests of other kinds of signatures share: what a client does with any of them, and how it is
refused."""

import pytest
from botocore.exceptions import ClientError


def code(call, *args, **kwargs):
    with pytest.raises(ClientError) as refused:
        call(*args, **kwargs)
    return refused.value.response["Error"]["Code"]


def refused(answer, status, *words):
    got, text = answer
    assert got == status, answer
    for word in words:
        assert word.encode() in text, answer


def does_all(s3, bucket, key):
    """What a client does to a bucket that it owns. `key` begins with "a "."""
    about = {"Bucket": bucket, "Key": key}
    s3.put_object(**about, Body=b"content", Metadata={"a": "b  c"})
    got = s3.get_object(**about)
    assert (got["Body"].read(), got["Metadata"]) == (b"content", {"a": "b  c"})
    assert s3.get_object(**about, Range="bytes=1-3")["Body"].read() == b"ont"
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix="a ")["Contents"]]
    assert keys == [key]
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part(**upload, PartNumber=1, Body=b"p" * 6_000_000)
    s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert s3.head_object(Bucket=bucket, Key="parts")["ContentLength"] == 6_000_000
    s3.put_object_tagging(**about, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_object_tagging(**about)["TagSet"]
    assert s3.get_bucket_location(Bucket=bucket)
    named = s3.get_object(**about, ResponseContentDisposition="a & b+c=d; f")
    assert named["ContentDisposition"] == "a & b+c=d; f"
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=about)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "parts"}]})
    s3.delete_object(**about)
    assert code(s3.get_object, **about) == "NoSuchKey"
