"""Buckets that take writes in every region: all come to the same, and a condition has one judge."""

import concurrent.futures
import random
import threading

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from fleet import Fleet, body, code, eventually, listing, status

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"
ALL = (FIRST, EU, ME)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("any") / "data", 3).start()
    yield fleet
    fleet.stop()


def make(fleet, name, versioned=True):
    """A bucket whose home is EU, with copies in the other two."""
    made = fleet.bucket(name, EU, FIRST, ME, options=("--writes", "any"))
    assert made["writes"] == "any"
    if versioned:
        fleet.s3(EU).put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        for region in (FIRST, ME):
            eventually(lambda: fleet.s3(region).get_bucket_versioning(Bucket=name).get("Status"))
    return {region: fleet.s3(region) for region in ALL}


def tags(client, bucket, key):
    return client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]


def settle(clients, bucket, timeout=60):
    """Waits until all regions show the same, and answers what."""
    def same():
        shown = [listing(client, bucket) for client in clients.values()]
        assert all(s == shown[0] for s in shown)
        return shown[:1]
    return eventually(same, timeout=timeout)[0]


def test_a_write_is_taken_where_it_arrives_and_comes_to_all(fleet):
    clients = make(fleet, "everywhere")
    for region, client in clients.items():
        put = client.put_object(Bucket="everywhere", Key=f"from/{region}", Body=region.encode())
        # Acted on here, not passed on.
        assert "x-dhow-region" not in put["ResponseMetadata"]["HTTPHeaders"]
        assert body(client, "everywhere", f"from/{region}") == region.encode()
    large = b"large" * 100_000
    clients[ME].put_object(Bucket="everywhere", Key="large", Body=large)
    for client in clients.values():
        for region in ALL:
            eventually(lambda: body(client, "everywhere", f"from/{region}") == region.encode())
        eventually(lambda: body(client, "everywhere", "large") == large)
    settle(clients, "everywhere")
    # At the region that took it: pending until the home has it.
    def shown(region, key):
        return clients[region].head_object(Bucket="everywhere", Key=key)["ReplicationStatus"]
    eventually(lambda: shown(ME, "large") == "REPLICA")
    eventually(lambda: shown(EU, "large") == "COMPLETED")


@pytest.mark.parametrize("versioned", [True, False])
def test_writers_everywhere_end_equal(fleet, versioned):
    name = f"storm-{'v' if versioned else 'u'}"
    clients = make(fleet, name, versioned)
    seen, lock = {}, threading.Lock()

    def work(number):
        rng = random.Random(number)
        client = fleet.s3(ALL[number % 3])
        for step in range(40):
            key, what = f"k{rng.randrange(5)}", rng.random()
            if what < 0.6:
                content = f"{number} {step}".encode() + b"x" * rng.choice([0, 0, 30_000])
                client.put_object(Bucket=name, Key=key, Body=content)
                with lock:
                    seen.setdefault(key, set()).add(content)
            elif what < 0.8:
                client.delete_object(Bucket=name, Key=key)
            else:
                try:
                    client.put_object_tagging(Bucket=name, Key=key, Tagging={
                        "TagSet": [{"Key": "by", "Value": f"{number}-{step}"}]})
                except ClientError as error:
                    assert error.response["Error"]["Code"] in ("NoSuchKey", "MethodNotAllowed")

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, n) for n in range(6)]:
            done.result()
    want = settle(clients, name)
    for key in sorted({entry[0] for entry in want if entry[2] and entry[3]}):
        contents = {body(client, name, key) for client in clients.values()}
        assert len(contents) == 1 and contents <= seen[key]
        eventually(lambda: all(tags(c, name, key) == tags(clients[EU], name, key)
                               for c in clients.values()))
    # Nothing that was removed or replaced in the storm comes back later.
    assert settle(clients, name) == want


def test_regions_that_were_cut_off_both_keep_what_they_took(fleet):
    clients = make(fleet, "apart")
    clients[EU].put_object(Bucket="apart", Key="both", Body=b"before")
    settle(clients, "apart")
    # The home is away: others take writes all the same.
    fleet.freeze(EU)
    try:
        there = clients[ME].put_object(Bucket="apart", Key="both", Body=b"at the copy")
        clients[ME].put_object(Bucket="apart", Key="mine", Body=b"1" * 200_000)
        clients[FIRST].delete_object(Bucket="apart", Key="both")
        head = clients[ME].head_object(Bucket="apart", Key="mine")
        assert head["ReplicationStatus"] == "PENDING"
        # A condition has no judge now.
        quick = fleet.s3(ME, timeout=8)
        with pytest.raises((ClientError, ReadTimeoutError, EndpointConnectionError)) as refused:
            quick.put_object(Bucket="apart", Key="once", Body=b"2", IfNoneMatch="*")
        if isinstance(refused.value, ClientError):
            assert status(refused) == 503
    finally:
        fleet.thaw(EU)
    want = settle(clients, "apart")
    assert any(entry[1] == there["VersionId"] for entry in want)
    for client in clients.values():
        assert body(client, "apart", "mine") == b"1" * 200_000


def test_a_condition_has_one_judge(fleet):
    clients = make(fleet, "once")
    for round_ in range(10):
        def attempt(region):
            try:
                fleet.s3(region).put_object(Bucket="once", Key=f"r{round_}", IfNoneMatch="*",
                                            Body=region.encode())
                return region
            except ClientError as error:
                assert error.response["Error"]["Code"] in ("PreconditionFailed",
                                                           "ConditionalRequestConflict")
                return None
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            winners = [r for r in pool.map(attempt, ALL) if r]
        assert len(winners) == 1
        for client in clients.values():
            eventually(lambda: body(client, "once", f"r{round_}") == winners[0].encode())


def test_uploads_are_completed_where_they_began(fleet):
    clients = make(fleet, "parts")
    client = clients[ME]
    upload = client.create_multipart_upload(Bucket="parts", Key="big")["UploadId"]
    part = b"p" * (5 << 20)
    etags = [client.upload_part(Bucket="parts", Key="big", UploadId=upload, PartNumber=n,
                                Body=part)["ETag"] for n in (1, 2)]
    assert [u["UploadId"] for u in client.list_multipart_uploads(Bucket="parts")["Uploads"]] == [
        upload]
    assert len(client.list_parts(Bucket="parts", Key="big", UploadId=upload)["Parts"]) == 2
    parts = {"Parts": [{"PartNumber": n, "ETag": e} for n, e in zip((1, 2), etags)]}
    with pytest.raises(ClientError) as refused:
        client.complete_multipart_upload(Bucket="parts", Key="big", UploadId=upload,
                                         MultipartUpload=parts, IfNoneMatch="*")
    assert (code(refused), status(refused)) == ("NotImplemented", 501)
    assert EU in str(refused.value)
    client.complete_multipart_upload(Bucket="parts", Key="big", UploadId=upload,
                                     MultipartUpload=parts)
    for other in clients.values():
        eventually(lambda: body(other, "parts", "big") == part * 2)


def test_the_way_of_taking_writes_can_change(fleet):
    clients = make(fleet, "change")
    for n in range(20):
        clients[ME].put_object(Bucket="change", Key=f"k{n}", Body=b"any")
    clients[ME].delete_object(Bucket="change", Key="k0")
    # A copy that takes writes is neither dropped nor does the bucket go.
    refused = fleet.cli("bucket", "place", "change", "--remove-replica", ME, check=False)
    assert refused.returncode != 0 and "--writes home" in refused.stderr
    with pytest.raises(ClientError) as error:
        clients[EU].delete_bucket(Bucket="change")
    assert (code(error), status(error)) == ("InvalidBucketState", 409)
    fleet.cli("bucket", "place", "change", "--writes", "home")
    shown = fleet.json("bucket", "show", "change")
    assert (shown["writes"], shown["epoch"]) == ("home", 2)
    # What was taken at the copy is at the home, and what was deleted there is deleted.
    want = settle(clients, "change")
    assert {entry[0] for entry in want if entry[2] and entry[3]} == {f"k{n}" for n in range(1, 20)}
    put = clients[ME].put_object(Bucket="change", Key="now", Body=b"home")
    assert put["ResponseMetadata"]["HTTPHeaders"]["x-dhow-region"] == EU
    # And back.
    fleet.cli("bucket", "place", "change", "--writes", "any")
    put = eventually(lambda: clients[ME].put_object(Bucket="change", Key="then", Body=b"any"))
    assert "x-dhow-region" not in put["ResponseMetadata"]["HTTPHeaders"]
    settle(clients, "change")
    checked = fleet.json("residency", "check", "change")
    assert checked


def test_another_region_becomes_the_home(tmp_path):
    fleet = Fleet(tmp_path / "data", 3).start()
    try:
        clients = make(fleet, "heir")
        for n in range(10):
            clients[ME].put_object(Bucket="heir", Key=f"k{n}", Body=b"1")
        settle(clients, "heir")
        fleet.freeze(EU)
        # Taken by copies while the home is lost.
        clients[ME].put_object(Bucket="heir", Key="at me", Body=b"m" * 100_000)
        clients[ME].delete_object(Bucket="heir", Key="k3")
        clients[FIRST].put_object(Bucket="heir", Key="at first", Body=b"f")
        gone = [v for v in listing(clients[FIRST], "heir") if v[0] == "k4"][0]
        clients[FIRST].delete_object(Bucket="heir", Key="k4", VersionId=gone[1])
        fleet.cli("region", "promote", EU, "--to", ME)
        eventually(lambda: fleet.json("bucket", "show", "heir")["home"] == ME)
        del clients[EU]
        settle(clients, "heir")
        fleet.thaw(EU)
        clients[EU] = fleet.s3(EU)
        want = settle(clients, "heir")
        current = {entry[0] for entry in want if entry[2] and entry[3]}
        assert current == {"at me", "at first"} | {f"k{n}" for n in range(10) if n not in (3, 4)}
        assert not any(entry[1] == gone[1] for entry in want)
        for region, client in clients.items():
            client.put_object(Bucket="heir", Key=f"after {region}", Body=b"1")
        settle(clients, "heir")
    finally:
        fleet.stop()
