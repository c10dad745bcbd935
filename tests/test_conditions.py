"""docs/conditions.md, walked through against a server: every combination of the conditions of reads,
of a copy's source and of writes, on an object, a version, nothing and a delete marker; and ranges.
What is expected is worked out here from the text of RFC 9110 (13.2.2) and of S3's pages."""

import itertools

import pytest

from conftest import client_for

BUCKET, PLAIN = "conditions-versions", "conditions-plain"
BYTES = b"0123456789"
OTHER = '"00000000000000000000000000000000"'
PAST, FUTURE = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


@pytest.fixture(scope="module")
def things(cloud):
    s3 = client_for(cloud)
    for name in (BUCKET, PLAIN):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    put = s3.put_object(Bucket=BUCKET, Key="k", Body=BYTES)
    s3.put_object(Bucket=BUCKET, Key="gone", Body=BYTES)
    marker = s3.delete_object(Bucket=BUCKET, Key="gone")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    return {"s3": s3, "etag": put["ETag"], "version": put["VersionId"], "marker": marker}


@pytest.fixture
def client(cloud):
    return cloud.client()


def combinations(etag):
    """Each condition is left out, holds, or does not hold."""
    tags, dates = (None, etag, OTHER), (None, PAST, FUTURE)
    for values in itertools.product(tags, tags, dates, dates):
        yield {name: value for name, value in zip(NAMES, values) if value}


def verdict(conditions, etag):
    """By RFC 9110, 13.2.2: the object is older than FUTURE and newer than PAST."""
    match, none_match, since, unless = (conditions.get(name) for name in NAMES)
    if match and match != etag or not match and unless == PAST:
        return 412
    if none_match and none_match == etag or not none_match and since == FUTURE:
        return 304
    return 200


def test_every_combination_of_the_conditions_of_a_read(things, client):
    etag, wrong = things["etag"], []
    targets = [("/k", "", None), ("/k", f"versionId={things['version']}", None),
               ("/absent", "", 404), ("/gone", "", 404),
               ("/gone", f"versionId={things['marker']}", 405)]
    reads = [("GET", "", {}), ("HEAD", "", {}),
             ("GET", "attributes", {"x-amz-object-attributes": "ETag"})]
    for (path, version, status), (method, query, headers) in itertools.product(targets, reads):
        # What is not there is not there under any condition: one of each kind is enough.
        every = list(combinations(etag))
        for conditions in every if status is None else every[::7]:
            both = "&".join(filter(None, (query, version)))
            found, answer, _ = client.request(
                method, f"/{BUCKET}{path}", both, headers={**headers, **conditions})
            expected = status or verdict(conditions, etag)
            if found != expected:
                wrong.append((method, path, both, conditions, expected, found))
            if found == 304:
                assert answer["etag"] == etag and answer["last-modified"], answer
            if path == "/gone":
                assert answer["x-amz-delete-marker"] == "true"
                assert answer["x-amz-version-id"] == things["marker"]
    assert not wrong, wrong


def test_lists_of_tags_and_dates_that_are_none(things, client):
    etag = things["etag"]
    bare = etag.strip('"')
    for conditions, status in [
        ({"if-match": "*"}, 200), ({"if-none-match": "*"}, 304),
        ({"if-match": bare}, 200), ({"if-none-match": bare}, 304),
        ({"if-match": f"{OTHER}, {etag}"}, 200), ({"if-none-match": f"{OTHER},{etag}"}, 304),
        ({"if-match": f"W/{etag}"}, 412), ({"if-none-match": f"W/{etag}"}, 304),
        ({"if-match": '"x"'}, 412), ({"if-none-match": '"x"'}, 200),
        ({"if-modified-since": "never"}, 200), ({"if-unmodified-since": "never"}, 200),
        ({"if-unmodified-since": PAST, "if-match": etag}, 200),
        ({"if-modified-since": FUTURE, "if-none-match": OTHER}, 200),
    ]:
        for method in ("GET", "HEAD"):
            found = client.request(method, f"/{BUCKET}/k", headers=conditions)[0]
            assert found == status, (method, conditions, found)


def test_every_combination_of_the_conditions_of_a_source(things, client):
    etag, s3 = things["etag"], things["s3"]
    upload = s3.create_multipart_upload(Bucket=PLAIN, Key="parts")["UploadId"]
    wrong = []
    for conditions in combinations(etag):
        # Where a read would answer 304, a copy has nothing to write.
        expected = {304: 412}.get(verdict(conditions, etag), verdict(conditions, etag))
        headers = {f"x-amz-copy-source-{name}": value for name, value in conditions.items()}
        headers["x-amz-copy-source"] = f"/{BUCKET}/k"
        for path, query in (("to", ""), ("parts", f"partNumber=1&uploadId={upload}")):
            found = client.request("PUT", f"/{PLAIN}/{path}", query, headers=headers)[0]
            if found != expected:
                wrong.append((path, conditions, expected, found))
    assert not wrong, wrong
    for source, status in [("absent", 404), ("gone", 404), (f"gone?versionId={things['marker']}", 400)]:
        headers = {"x-amz-copy-source": f"/{BUCKET}/{source}",
                   "x-amz-copy-source-if-match": etag}
        assert client.request("PUT", f"/{PLAIN}/to", headers=headers)[0] == status, source


def written(conditions, there, etag, deletes):
    """The status of a write on these conditions, where an object is or is not there."""
    match, none_match, *dates = (conditions.get(name) for name in NAMES)
    if any(dates) or none_match and (none_match != "*" or match or deletes):
        return 501
    if match and not there:
        return 404
    if match and match not in ("*", etag) or none_match and there:
        return 412
    return 204 if deletes else 200


def test_every_combination_of_the_conditions_of_a_write(things, client):
    s3, etag = things["s3"], things["etag"]
    tags = (None, etag, OTHER, "*", f"W/{etag}")
    pairs = itertools.product(tags, (None, etag, OTHER, "*"))
    every = [{n: v for n, v in zip(NAMES, pair) if v} for pair in pairs]
    every += [{name: date} for name in NAMES[2:] for date in (PAST, FUTURE)]
    wrong = []

    def complete(key):
        """A list of parts: an upload that was not completed serves again."""
        if key not in uploads:
            to = {"Bucket": PLAIN, "Key": key}
            to["UploadId"] = s3.create_multipart_upload(**to)["UploadId"]
            part = s3.upload_part(**to, PartNumber=1, Body=BYTES)
            uploads[key] = to["UploadId"], part["ETag"]
        upload, tag = uploads[key]
        return f"uploadId={upload}", (
            f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
            "</CompleteMultipartUpload>").encode()

    uploads = {}
    for conditions, there in itertools.product(every, (True, False)):
        for operation in ("put", "copy", "complete", "delete"):
            key = f"{operation}-{there}"
            if there:
                s3.put_object(Bucket=PLAIN, Key=key, Body=BYTES)
            else:
                s3.delete_object(Bucket=PLAIN, Key=key)
            method, query, body, headers = "PUT", "", BYTES, dict(conditions)
            if operation == "copy":
                headers["x-amz-copy-source"], body = f"/{BUCKET}/k", b""
            elif operation == "complete":
                method, (query, body) = "POST", complete(key)
            elif operation == "delete":
                method, body = "DELETE", b""
            found, _, text = client.request(method, f"/{PLAIN}/{key}", query, body, headers)
            expected = written(conditions, there, etag, operation == "delete")
            if found != expected:
                wrong.append((key, conditions, expected, found, text))
            if operation == "complete" and found == 200:
                del uploads[key]
    assert not wrong, wrong


def test_conditions_count_a_delete_marker_as_nothing(things, client):
    etag, marker, path = things["etag"], {}, f"/{BUCKET}/gone"
    for method, headers, status in [
        ("PUT", {"if-match": "*"}, 404), ("PUT", {"if-match": etag}, 404),
        ("DELETE", {"if-match": "*"}, 404), ("DELETE", {"if-match": etag}, 404),
        ("PUT", {"if-none-match": "*"}, 200), ("PUT", {"if-none-match": "*"}, 412),
        ("DELETE", {"if-match": etag}, 204),
    ]:
        found, answer, text = client.request(method, path, body=BYTES if method == "PUT" else b"",
                                             headers=headers)
        assert found == status, (method, headers, text)
        marker = answer
    # So that the other tests find it as they left it.
    things["marker"] = marker["x-amz-version-id"]
    query = f"versionId={things['version']}"
    found, _, text = client.request("DELETE", f"/{BUCKET}/k", query, headers={"if-match": etag})
    assert found == 501, text


def test_other_writes_refuse_conditions(things, client):
    xml = b"<Tagging><TagSet/></Tagging>"
    upload = things["s3"].create_multipart_upload(Bucket=PLAIN, Key="refused")["UploadId"]
    for method, path, query, body in [
        ("PUT", "/k", "tagging", xml), ("DELETE", "/k", "tagging", b""), ("POST", "/k", "uploads", b""),
        ("PUT", "/refused", f"partNumber=1&uploadId={upload}", BYTES),
        ("DELETE", "/refused", f"uploadId={upload}", b""), ("PUT", "", "tagging", xml),
        ("DELETE", "", "", b""),
    ]:
        for name in NAMES:
            value = "*" if "match" in name else FUTURE
            found, _, text = client.request(method, f"/{PLAIN}{path}", query, body, {name: value})
            assert found == 501 and b"NotImplemented" in text, (method, path, query, name, text)


# A range of "0123456789", and what comes: bytes with their place, all, or 416.
RANGES = [
    ("bytes=0-0", "0", "0-0"), ("bytes=2-4", "234", "2-4"), ("bytes=9-9", "9", "9-9"),
    ("bytes=0-9", "0123456789", "0-9"), ("bytes=0-10", "0123456789", "0-9"),
    ("bytes=5-999999", "56789", "5-9"), ("bytes=7-", "789", "7-9"), ("bytes=0-", "0123456789", "0-9"),
    ("bytes=-1", "9", "9-9"), ("bytes=-10", "0123456789", "0-9"), ("bytes=-11", "0123456789", "0-9"),
    ("bytes=00-01", "01", "0-1"), ("Bytes=2-3", "23", "2-3"),
    ("bytes=10-10", None, None), ("bytes=10-", None, None), ("bytes=100-110", None, None),
    ("bytes=-0", None, None),
    # What is no range of S3: all of the object.
    *[(text, "0123456789", None) for text in (
        "bytes=,", "bytes=-", "bytes= -1", "bytes=--1", "bytes=0 -1", "bytes=0--1", "bytes=5-2",
        "bytes=abc", "bytes=a-z", "bytes=5-x", "bytes=0-0,1-2", "lines=0-1", "bytes", "0-1")],
]


def test_every_form_of_a_range(things, client):
    for (text, expected, place), method in itertools.product(RANGES, ("GET", "HEAD")):
        found, headers, body = client.request(method, f"/{BUCKET}/k", headers={"range": text})
        said = (found, headers.get("content-range"))
        if expected is None:
            assert said == (416, "bytes */10"), (method, text, said)
            continue
        status, place = (206, f"bytes {place}/10") if place else (200, None)
        assert said == (status, place), (method, text, said)
        assert headers["content-length"] == str(len(expected)), (method, text)
        assert headers["accept-ranges"] == "bytes" and headers["etag"] == things["etag"]
        if method == "GET":
            assert body.decode() == expected, text


def test_ranges_of_an_empty_object_and_of_parts(things, client):
    path = f"/{BUCKET}/empty"
    for text, status in [("bytes=0-", 416), ("bytes=0-0", 416), ("bytes=-0", 416), ("bytes=5-", 416),
                         ("bytes=00-01", 416),
                         # The last byte of nothing is nothing, and there (RFC 9110, 14.1.2).
                         ("bytes=-1", 200), ("bytes=0-0,1-1", 200), ("bytes=x", 200)]:
        for method in ("GET", "HEAD"):
            found, headers, _ = client.request(method, path, headers={"range": text})
            assert found == status, (method, text, found)
            if status == 416:
                assert headers["content-range"] == "bytes */0"
    for query, headers, status in [
        ("partNumber=1", {}, 206), ("partNumber=2", {}, 416), ("partNumber=0", {}, 400),
        ("partNumber=x", {}, 400), ("partNumber=10001", {}, 400),
        ("partNumber=1", {"range": "bytes=0-1"}, 400),
        ("partNumber=1", {"if-match": OTHER}, 412), ("partNumber=1", {"if-none-match": "*"}, 304),
    ]:
        for method in ("GET", "HEAD"):
            found = client.request(method, f"/{BUCKET}/k", query, headers=headers)[0]
            assert found == status, (method, query, headers, found)


def test_a_range_counts_only_if_the_object_is_the_same(things, client):
    path, etag = f"/{BUCKET}/k", things["etag"]
    modified = client.request("HEAD", path)[1]["last-modified"]
    for if_range, status in [(etag, 206), (modified, 206), (OTHER, 200), (f"W/{etag}", 200),
                             (PAST, 200), (FUTURE, 200), ("x", 200)]:
        for method, text in itertools.product(("GET", "HEAD"), ("bytes=2-3", "bytes=20-")):
            expected = 416 if status == 206 and text == "bytes=20-" else status
            found = client.request(method, path, headers={"range": text, "if-range": if_range})[0]
            assert found == expected, (method, text, if_range, found)
    # Conditions come before ranges (RFC 9110, 13.2.2).
    for condition, status in [({"if-match": OTHER}, 412), ({"if-none-match": etag}, 304),
                              ({"if-match": etag}, 416)]:
        found = client.request("GET", path, headers={"range": "bytes=20-", **condition})[0]
        assert found == status, condition
    # A copy takes a range that is there as a whole, and no other form.
    upload = things["s3"].create_multipart_upload(Bucket=PLAIN, Key="ranges")["UploadId"]
    for text, status in [("bytes=0-9", 200), ("bytes=2-3", 200), ("bytes=0-10", 400), ("bytes=2-", 400),
                         ("bytes=-2", 400), ("bytes=3-2", 400), ("bytes=0-1,3-4", 400)]:
        headers = {"x-amz-copy-source": path, "x-amz-copy-source-range": text}
        query = f"partNumber=1&uploadId={upload}"
        found, _, said = client.request("PUT", f"/{PLAIN}/ranges", query, headers=headers)
        assert found == status, (text, said)


def test_headers_that_are_not_ascii_come_back_as_they_were_sent(things, cloud):
    """S3 has RFC 2047 for user metadata only; system headers are bytes. What is no text is refused:
    an answer could not repeat it in XML or JSON."""
    client, s3 = cloud.client(), things["s3"]
    text = 'attachment; filename="Übung 文.pdf"'
    names = ("content-disposition", "cache-control", "content-language", "expires", "content-type")

    def send(method, path, query, headers, body=b""):
        signed = client.headers(method, path, query)
        for name, value in headers.items():
            signed[name] = value
        client.connection.request(method, path + ("?" + query if query else ""), body, signed)
        answer = client.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def kept(path):
        answer = client.request("HEAD", path)[1]
        return [answer[name].encode("latin-1") for name in names]

    headers = {name: text.encode() for name in names}
    path = f"/{PLAIN}/text"
    assert send("PUT", path, "", headers, BYTES)[0] == 200
    assert kept(path) == [text.encode()] * len(names)
    copied = {"x-amz-copy-source": path, "x-amz-metadata-directive": "REPLACE"}
    client_headers = {**headers, **copied}
    signed = client.headers("PUT", f"{path}-copy", "", copied)
    client.connection.request("PUT", f"{path}-copy", b"", {**signed, **headers})
    answer = client.connection.getresponse()
    assert (answer.status, answer.read() != b"") == (200, True), client_headers
    assert kept(f"{path}-copy") == [text.encode()] * len(names)
    status, _, begun = send("POST", f"{path}-parts", "uploads", headers)
    assert status == 200, begun
    upload = begun.decode().partition("<UploadId>")[2].partition("<")[0]
    to = {"Bucket": PLAIN, "Key": "text-parts", "UploadId": upload}
    part = s3.upload_part(**to, PartNumber=1, Body=BYTES)
    s3.complete_multipart_upload(
        **to, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert kept(f"{path}-parts") == [text.encode()] * len(names)
    for name in names:
        for method, query in (("PUT", ""), ("POST", "uploads")):
            status, _, said = send(method, f"{path}-latin", query, {name: b"\xdcbung"}, BYTES[:0])
            assert status == 400 and name.encode() in said.lower(), (name, method, said)
    assert client.request("HEAD", f"{path}-latin")[0] == 404
