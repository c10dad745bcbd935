"""Many objects as one zip file, made while it is sent: names that are safe, what cannot be read, and
what breaks off."""

import http.client
import io
import json
import urllib.parse
import zipfile

import pytest

from consoles import CHROMIUM, tab
from test_console_security import Raw
from test_users import allow, iam_for

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
MIB = 1 << 20


class Zips(Raw):
    """Asks for zip files."""

    def zip_of(self, bucket, *pairs):
        """The answer, whose body was not read."""
        at = f"/b/{bucket}/zip"
        fields = [*pairs, ("csrf", self.token(f"/b/{bucket}", at))]
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request("POST", at, urllib.parse.urlencode(fields), {
            "Origin": self.origin, "Cookie": self.cookie,
            "Content-Type": "application/x-www-form-urlencoded"})
        return connection.getresponse()

    def unpacked(self, bucket, *pairs):
        answer = self.zip_of(bucket, *pairs)
        assert answer.status == 200, answer.read()
        assert answer.headers["content-type"] == "application/zip"
        packed = zipfile.ZipFile(io.BytesIO(answer.read()))
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture(scope="module")
def zips(cloud):
    return Zips(cloud).sign_in()


def test_what_is_chosen_is_downloaded_as_a_zip_file(browser, cloud, s3, bucket):
    large = bytes(range(256)) * 4096 * 3 + b"and a bit"
    objects = {"one.txt": b"one", "empty": b"", "album/large.bin": large, "album/b/ü.txt": b"u"}
    for key, body in {**objects, "left.txt": b"left"}.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    with tab(browser, cloud) as one:
        one.sign_in(path=f"/b/{bucket}")
        for name in ("one.txt", "empty", "album/"):
            one.page.get_by_label(f"Choose {name}").check()
        with one.page.expect_download() as waiting:
            one.page.get_by_role("button", name="Download 3 chosen as zip").click()
        saved = waiting.value
        assert saved.suggested_filename == f"{bucket}.zip"
        packed = zipfile.ZipFile(saved.path())
        assert packed.testzip() is None
        assert {name: packed.read(name) for name in packed.namelist()} == objects
        one.look()
        # All below a prefix, by names without it.
        one.open(f"/b/{bucket}?prefix=album%2F")
        with one.page.expect_download() as waiting:
            one.page.get_by_role("button", name="Download all as zip").click()
        packed = zipfile.ZipFile(waiting.value.path())
        assert sorted(packed.namelist()) == ["b/ü.txt", "large.bin"]


def test_no_name_in_it_leads_out_of_its_folder(zips, s3, bucket):
    keys = ["../up", "a/../../up", "/etc/passwd", "C:\\evil", "same", "SAME", "dir", "dir/x",
            "\u202egpj.exe", "line\nbreak", "ERRORS.txt", "only-a-folder/"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode() if key[-1] != "/" else b"")
    found = zips.unpacked(bucket, ("folder", ""))
    assert sorted(found.values()) == sorted(key.encode() for key in keys if key[-1] != "/")
    lower = [name.lower() for name in found]
    assert len(set(lower)) == len(lower)
    for name in found:
        assert not name.startswith("/") and "\\" not in name and ":" not in name
        assert all(part not in ("", ".", "..") for part in name.split("/"))
        assert name.isprintable() and "\u202e" not in name
        assert not any(other.startswith(name.lower() + "/") for other in lower), name


def test_what_may_not_be_read_is_named_in_it(cloud, s3, bucket):
    for key in ("mine/a", "mine/b", "theirs/c"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    policy = {"Version": "2012-10-17", "Statement": [
        allow("s3:ListBucket", f"arn:aws:s3:::{bucket}"),
        allow("s3:GetObject", f"arn:aws:s3:::{bucket}/mine/*")]}
    name = "console-zips-reader"
    own = iam_for(cloud, cloud.access_key, cloud.secret_key)
    own.create_user(UserName=name)
    own.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    key = own.create_access_key(UserName=name)["AccessKey"]
    reader = Zips(cloud).sign_in(key["AccessKeyId"], key["SecretAccessKey"])
    found = reader.unpacked(bucket, ("folder", ""), ("key", "no-such-key"))
    errors = found.pop("ERRORS.txt").decode()
    assert found == {"mine/a": b"mine/a", "mine/b": b"mine/b"}
    assert "theirs/c: " in errors and "AccessDenied" in errors and "no-such-key: " in errors
    assert "mine/" not in errors
    # A form of another session, or a field that is none, begins nothing.
    assert reader.post(f"/b/{bucket}/zip", {"folder": "", "csrf": "x"})[0] == 403
    assert reader.zip_of(bucket, ("folder", ""), ("keys", "x")).status == 400
    assert reader.zip_of(bucket).status == 400


@pytest.mark.parametrize("what", ["the object", "the session"])
def test_what_ends_midway_breaks_the_connection(zips, cloud, s3, bucket, what):
    s3.put_object(Bucket=bucket, Key="large", Body=bytes(48 * MIB))
    own = Zips(cloud).sign_in()
    answer = own.zip_of(bucket, ("key", "large"))
    assert answer.status == 200 and answer.read(4) == b"PK\x03\x04"
    # Until the rest is read, it is not sent: so this comes in the middle of it.
    if what == "the object":
        s3.put_object(Bucket=bucket, Key="large", Body=bytes(1))
    else:
        assert own.post("/signout", {"csrf": own.token("/sessions", "/signout")})[0] == 303
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()


def test_no_name_is_told_after_the_session_ended(cloud, s3, bucket):
    for n in range(48):
        s3.put_object(Bucket=bucket, Key=f"{n:02}", Body=bytes(MIB))
    own = Zips(cloud).sign_in()
    answer = own.zip_of(bucket, ("folder", ""))
    assert answer.status == 200 and answer.read(4) == b"PK\x03\x04"
    # Most objects are not read yet: nobody takes what was sent.
    assert own.post("/signout", {"csrf": own.token("/sessions", "/signout")})[0] == 303
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()


def test_an_account_has_so_many_on_their_way(zips, s3, bucket):
    s3.put_object(Bucket=bucket, Key="large", Body=bytes(48 * MIB))
    waiting = [zips.zip_of(bucket, ("key", "large")) for _ in range(2)]
    try:
        assert [answer.status for answer in waiting] == [200, 200]
        third = zips.zip_of(bucket, ("key", "large"))
        assert third.status == 503 and "on their way" in third.read().decode()
    finally:
        for answer in waiting:
            answer.close()
