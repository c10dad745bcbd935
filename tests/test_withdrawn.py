"""What was begun before a region lost its right to a bucket: reads end, and a removal is on record
only when the last of them has ended."""

import http.client
import urllib.parse

import pytest

from fleet import Fleet, eventually

LARGE = 48 << 20


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("withdrawn") / "cloud", 2).start()
    yield fleet
    fleet.stop()
    assert "panicked" not in fleet.log.read_text(errors="replace")


class Reader:
    """A GET whose answer is read as slowly as the test wants."""

    def __init__(self, fleet, region, bucket, key):
        url = fleet.s3(region).generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key})
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        self.connection.connect()
        self.connection.request("GET", f"{parts.path}?{parts.query}")
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        self.read = len(self.answer.read(1 << 16))

    def rest(self):
        """Bytes in all when the answer ended, and whether it ended well."""
        try:
            while piece := self.answer.read(1 << 16):
                self.read += len(piece)
        except (http.client.IncompleteRead, OSError):
            return self.read, False
        finally:
            self.connection.close()
        return self.read, self.read == LARGE


def receipts(fleet, bucket):
    return [e for e in fleet.audit() if e["action"] == "bucket.removed" and e["subject"] == bucket]


@pytest.mark.parametrize("kind", ["readable", "sealed"])
def test_p5_a_removed_copy_serves_nothing_that_was_begun(fleet, kind):
    home, copy = fleet.ids
    if kind == "sealed":
        fleet.json("bucket", "create", kind, "--home", home, "--sealed", copy)
    else:
        fleet.bucket(kind, home, copy)
    fleet.s3(home).put_object(Bucket=kind, Key="large", Body=bytes(LARGE))
    eventually(lambda: fleet.s3(copy).head_object(Bucket=kind, Key="large"))
    slow = [Reader(fleet, copy, kind, "large") for _ in range(3)]
    fleet.cli("bucket", "place", kind, "--remove-replica", copy)
    # One of them has taken nothing since, and none gets more than was on its way.
    for reader in slow:
        read, whole = reader.rest()
        assert not whole and read < LARGE, (read, whole)
    eventually(lambda: receipts(fleet, kind))
    # At the home, reads go on.
    read, whole = Reader(fleet, home, kind, "large").rest()
    assert whole, read
