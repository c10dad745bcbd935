"""Replication between buckets by rules, as boto3 and the aws CLI see it."""

import json
import random
import urllib.request

import pytest
from botocore.exceptions import ClientError

from fleet import Fleet, body, code, eventually, listing
from test_awscli import aws
from test_regions import EU, FIRST, ME


def versioned(s3, *names):
    for name in names:
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def rule(to, name="all", priority=1, filter=None, markers=False, existing=False, status="Enabled"):
    on = {True: "Enabled", False: "Disabled"}
    made = {"ID": name, "Priority": priority, "Filter": filter or {"Prefix": ""}, "Status": status,
            "DeleteMarkerReplication": {"Status": on[markers]},
            "Destination": {"Bucket": f"arn:aws:s3:::{to}"}}
    if existing:
        made["ExistingObjectReplication"] = {"Status": "Enabled"}
    return made


def put_rules(s3, bucket, *rules):
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={
        "Role": "arn:aws:iam::1:role/any", "Rules": list(rules)})


def state(s3, bucket, key, **more):
    return s3.head_object(Bucket=bucket, Key=key, **more).get("ReplicationStatus")


def completed(s3, bucket, key, **more):
    return eventually(lambda: state(s3, bucket, key, **more) == "COMPLETED")


def keys(s3, bucket):
    return {(v["Key"], v["VersionId"])
            for v in s3.list_object_versions(Bucket=bucket).get("Versions", [])}


def test_the_configuration_reads_back_and_is_checked(s3, stranger):
    versioned(s3, "rules-from", "rules-to")
    s3.create_bucket(Bucket="rules-plain")
    stranger.create_bucket(Bucket="rules-theirs")
    with pytest.raises(ClientError) as none:
        s3.get_bucket_replication(Bucket="rules-from")
    assert code(none) == "ReplicationConfigurationNotFoundError"
    some = [rule("rules-to", "logs", 2, {"Prefix": "logs/"}, markers=True, existing=True),
            rule("rules-to", "tags", 3, {"And": {"Prefix": "a", "Tags": [
                {"Key": "k", "Value": "v"}]}}),
            rule("rules-to", "off", 9, status="Disabled")]
    put_rules(s3, "rules-from", *some)
    found = s3.get_bucket_replication(Bucket="rules-from")["ReplicationConfiguration"]
    assert found == {"Role": "arn:aws:iam::1:role/any", "Rules": some}
    for bad, why in (
        ((rule("rules-none"),), "must exist"),
        ((rule("rules-theirs"),), "must exist"),
        ((rule("rules-from"),), "same as the source"),
        ((rule("rules-plain"),), "versioning enabled"),
        ((rule("rules-to"), rule("rules-to", "other")), "priority"),
        ((rule("rules-to"), rule("rules-to", priority=2)), "unique"),
        ((rule("rules-to", filter={"Tag": {"Key": "a", "Value": "b"}}, markers=True),), "marker"),
    ):
        with pytest.raises(ClientError) as refused:
            put_rules(s3, "rules-from", *bad)
        assert code(refused) == "InvalidRequest" and why in str(refused.value), refused.value
    with pytest.raises(ClientError) as plain:
        put_rules(s3, "rules-plain", rule("rules-to"))
    assert code(plain) == "InvalidRequest"
    with pytest.raises(ClientError) as kept:
        s3.put_bucket_versioning(Bucket="rules-from",
                                 VersioningConfiguration={"Status": "Suspended"})
    assert code(kept) == "InvalidBucketState"
    with pytest.raises(ClientError) as theirs:
        stranger.get_bucket_replication(Bucket="rules-from")
    assert code(theirs) == "AccessDenied"
    s3.delete_bucket_replication(Bucket="rules-from")
    with pytest.raises(ClientError):
        s3.get_bucket_replication(Bucket="rules-from")
    s3.delete_bucket(Bucket="rules-from")


def test_versions_arrive_the_same_and_their_status_is_true(s3):
    versioned(s3, "same-from", "same-to")
    early = s3.put_object(Bucket="same-from", Key="early", Body=b"before the rule")["VersionId"]
    put_rules(s3, "same-from", rule("same-to"))
    rng = random.Random(5)
    small = s3.put_object(Bucket="same-from", Key="small", Body=b"1", ContentType="text/x",
                          Metadata={"a": "b"}, Tagging="colour=blue",
                          ChecksumAlgorithm="SHA256")["VersionId"]
    large = rng.randbytes(3 << 20)
    s3.put_object(Bucket="same-from", Key="large", Body=large)
    upload = s3.create_multipart_upload(Bucket="same-from", Key="parts")["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(
        Bucket="same-from", Key="parts", UploadId=upload, PartNumber=n,
        Body=rng.randbytes(5 << 20))["ETag"]} for n in (1, 2)]
    s3.complete_multipart_upload(Bucket="same-from", Key="parts", UploadId=upload,
                                 MultipartUpload={"Parts": parts})
    for key in ("small", "large", "parts"):
        completed(s3, "same-from", key)
        here, there = (s3.get_object(Bucket=b, Key=key) for b in ("same-from", "same-to"))
        assert here["Body"].read() == there["Body"].read()
        for field in ("ETag", "Metadata", "ContentType", "LastModified", "VersionId"):
            assert here[field] == there[field], (key, field)
        assert there["ReplicationStatus"] == "REPLICA"
    tags = s3.get_object_tagging(Bucket="same-to", Key="small")["TagSet"]
    assert tags == [{"Key": "colour", "Value": "blue"}]
    assert s3.get_object(Bucket="same-to", Key="parts", PartNumber=2)["PartsCount"] == 2
    # What was there before the rule stays, and has no status.
    assert state(s3, "same-from", "early") is None
    assert ("early", early) not in keys(s3, "same-to")
    # New tags follow; versions that are deleted by their ids stay at the destination.
    s3.put_object_tagging(Bucket="same-from", Key="small",
                          Tagging={"TagSet": [{"Key": "colour", "Value": "red"}]})
    eventually(lambda: s3.get_object_tagging(Bucket="same-to", Key="small")["TagSet"]
               == [{"Key": "colour", "Value": "red"}])
    s3.delete_object(Bucket="same-from", Key="small", VersionId=small)
    s3.put_object(Bucket="same-from", Key="last", Body=b"")
    completed(s3, "same-from", "last")
    assert ("small", small) in keys(s3, "same-to")
    # A copy of what came by a rule is an object like any other.
    s3.copy_object(Bucket="same-to", Key="copied", CopySource="same-to/large")
    assert state(s3, "same-to", "copied") is None


def test_filters_and_delete_markers(s3):
    versioned(s3, "some-from", "some-to", "marked-to")
    tag = {"Key": "keep", "Value": "yes"}
    put_rules(s3, "some-from",
              rule("some-to", "logs", 5, {"Prefix": "logs/"}),
              rule("some-to", "tagged", 4, {"Tag": tag}),
              rule("some-to", "off", 9, status="Disabled"),
              rule("marked-to", "marked", 1, {"Prefix": "logs/"}, markers=True))
    for key, tagging in (("logs/1", ""), ("other", ""), ("tagged", "keep=yes"),
                         ("nearly", "keep=no"), ("logs/2", "")):
        s3.put_object(Bucket="some-from", Key=key, Body=b"1", Tagging=tagging)
    s3.delete_object(Bucket="some-from", Key="logs/1")
    for key in ("tagged", "logs/2"):
        completed(s3, "some-from", key)
    assert {key for key, _ in keys(s3, "some-to")} == {"logs/1", "logs/2", "tagged"}
    assert state(s3, "some-from", "other") is None
    assert body(s3, "some-to", "logs/1") == b"1", "its marker stays at the source"
    eventually(lambda: s3.list_object_versions(Bucket="marked-to").get("DeleteMarkers"))
    with pytest.raises(ClientError) as marked:
        body(s3, "marked-to", "logs/1")
    assert code(marked) == "NoSuchKey"


def test_existing_objects_go_where_a_rule_says_so(s3):
    versioned(s3, "old-from", "old-to")
    for n in range(30):
        s3.put_object(Bucket="old-from", Key=f"k{n % 7}", Body=f"{n}".encode())
    put_rules(s3, "old-from", rule("old-to", existing=True))
    eventually(lambda: listing(s3, "old-to") == listing(s3, "old-from"))
    completed(s3, "old-from", "k0")


def test_s20_a_bucket_of_another_owner_gets_nothing_of_older_rules(s3, stranger):
    """A destination that is deleted, and a name that another account has then."""
    versioned(s3, "s20-from", "s20-to")
    put_rules(s3, "s20-from", rule("s20-to"))
    s3.put_object(Bucket="s20-from", Key="before", Body=b"1")
    completed(s3, "s20-from", "before")
    for version in s3.list_object_versions(Bucket="s20-to")["Versions"]:
        s3.delete_object(Bucket="s20-to", Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket="s20-to")
    stranger.create_bucket(Bucket="s20-to")
    stranger.put_bucket_versioning(Bucket="s20-to",
                                   VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="s20-from", Key="after", Body=b"2")
    eventually(lambda: state(s3, "s20-from", "after") == "FAILED")
    assert keys(stranger, "s20-to") == set()


def test_two_buckets_that_replicate_each_other_come_to_rest(s3, cloud):
    versioned(s3, "loop-a", "loop-b", "loop-c")
    put_rules(s3, "loop-a", rule("loop-b"))
    put_rules(s3, "loop-b", rule("loop-a"), rule("loop-c", "on"))
    s3.put_object(Bucket="loop-a", Key="k", Body=b"of a")
    completed(s3, "loop-a", "k")
    eventually(lambda: state(s3, "loop-b", "k") == "REPLICA")
    s3.put_object(Bucket="loop-b", Key="l", Body=b"of b")
    completed(s3, "loop-b", "l")
    assert keys(s3, "loop-a") == keys(s3, "loop-b") and len(keys(s3, "loop-a")) == 2
    # What came by a rule goes no further.
    assert {key for key, _ in keys(s3, "loop-c")} == {"l"}
    shown = cloud.cli_json("bucket", "show", "loop-b", "--json")
    assert {r["destination"]: r["refused"] for r in shown["rules"]} == {
        "loop-a": None, "loop-c": None}
    assert eventually(lambda: 'dhow_rules_shipped{bucket="loop-b",destination="loop-c"} 1'
                      in urllib.request.urlopen(cloud.info["metrics"] + "/metrics",
                                                timeout=10).read().decode())


def test_what_cannot_go_says_failed_and_goes_on_when_it_can(s3, cloud):
    versioned(s3, "fail-from", "fail-to")
    put_rules(s3, "fail-from", rule("fail-to"))
    s3.put_bucket_versioning(Bucket="fail-to", VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket="fail-from", Key="k", Body=b"1")
    eventually(lambda: state(s3, "fail-from", "k") == "FAILED")
    shown = cloud.cli_json("bucket", "show", "fail-from", "--json")
    assert "does not keep versions" in shown["rules"][0]["refused"]
    s3.put_bucket_versioning(Bucket="fail-to", VersioningConfiguration={"Status": "Enabled"})
    completed(s3, "fail-from", "k")
    # A law that is narrowed later holds for rules as well.
    cloud.cli("bucket", "place", "fail-from", "--jurisdiction",
              cloud.cli_json("region", "list", "--json")[0]["jurisdiction"])
    s3.put_object(Bucket="fail-from", Key="l", Body=b"2")
    eventually(lambda: state(s3, "fail-from", "l") == "FAILED")
    assert "l" not in {key for key, _ in keys(s3, "fail-to")}


def test_the_aws_cli_does_it_too(s3, cloud):
    versioned(s3, "cli-from", "cli-to")
    config = {"Role": "arn:aws:iam::1:role/any", "Rules": [rule("cli-to", "one", 3)]}
    aws(cloud, "s3api", "put-bucket-replication", "--bucket", "cli-from",
        "--replication-configuration", json.dumps(config))
    found = aws(cloud, "s3api", "get-bucket-replication", "--bucket", "cli-from")
    assert json.loads(found)["ReplicationConfiguration"] == config
    # The older form of a rule, which takes delete markers along.
    old = {"Role": "r", "Rules": [{"ID": "old", "Prefix": "a", "Status": "Enabled",
                                   "Destination": {"Bucket": "arn:aws:s3:::cli-to"}}]}
    aws(cloud, "s3api", "put-bucket-replication", "--bucket", "cli-from",
        "--replication-configuration", json.dumps(old))
    found = aws(cloud, "s3api", "get-bucket-replication", "--bucket", "cli-from")
    assert json.loads(found)["ReplicationConfiguration"] == old
    s3.put_object(Bucket="cli-from", Key="a", Body=b"1")
    s3.delete_object(Bucket="cli-from", Key="a")
    eventually(lambda: s3.list_object_versions(Bucket="cli-to").get("DeleteMarkers"))
    aws(cloud, "s3api", "delete-bucket-replication", "--bucket", "cli-from")
    with pytest.raises(ClientError):
        s3.get_bucket_replication(Bucket="cli-from")


def test_status_is_true_through_kill_9(own_cloud):
    from conftest import client_for

    s3 = client_for(own_cloud.start())
    versioned(s3, "kill-from", "kill-to")
    put_rules(s3, "kill-from", rule("kill-to"))
    written = {}
    for round_ in range(4):
        for n in range(40):
            key = f"{round_}-{n}"
            written[key] = random.Random(key).randbytes(50_000 if n % 10 == 0 else 100)
            s3.put_object(Bucket="kill-from", Key=key, Body=written[key])
            if state(s3, "kill-from", key) == "COMPLETED":
                assert body(s3, "kill-to", key) == written[key]
        own_cloud.kill()
        s3 = client_for(own_cloud.start())
    for key, value in written.items():
        completed(s3, "kill-from", key)
        assert body(s3, "kill-to", key) == value
    assert keys(s3, "kill-from") == keys(s3, "kill-to")


def test_rules_go_on_at_a_new_home(tmp_path):
    fleet = Fleet(tmp_path / "data", 3).start()
    try:
        for name in ("ruled", "target"):
            fleet.bucket(name, EU, FIRST)
        s3 = fleet.s3(EU)
        for name in ("ruled", "target"):
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        put_rules(s3, "ruled", rule("target"))
        s3.put_object(Bucket="ruled", Key="one", Body=b"1")
        completed(s3, "ruled", "one")
        eventually(lambda: body(fleet.s3(FIRST), "target", "one") == b"1")
        eventually(lambda: fleet.s3(FIRST).get_bucket_replication(Bucket="ruled"))
        for name in ("ruled", "target"):
            fleet.cli("bucket", "promote", name, "--to", FIRST, "--force")
        new = fleet.s3(FIRST)
        eventually(lambda: new.put_object(Bucket="ruled", Key="two", Body=b"2"))
        completed(new, "ruled", "two")
        assert body(new, "target", "two") == b"2"
        shown = fleet.json("bucket", "show", "ruled")
        assert [r["destination"] for r in shown["rules"]] == ["target"]
    finally:
        fleet.stop()


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Three regions of three operators, each the home of a bucket: `at-REGION`."""
    fleet = Fleet(tmp_path_factory.mktemp("apart") / "data", 3).start()
    for region in (FIRST, EU, ME):
        accepted = [word for other in (f"at-{EU}", f"at-{ME}", "narrowed")
                    for word in ("--accept-from", other)]
        fleet.bucket(f"at-{region}", region, options=accepted)
        fleet.s3(region).put_bucket_versioning(
            Bucket=f"at-{region}", VersioningConfiguration={"Status": "Enabled"})
    yield fleet
    fleet.stop()


def test_versions_go_to_buckets_of_other_regions(apart):
    home, there = apart.s3(EU), apart.s3(ME)
    source, target = f"at-{EU}", f"at-{ME}"
    home.put_object(Bucket=source, Key="logs/before", Body=b"0")
    put_rules(home, source,
              rule(target, "logs", 2, {"Prefix": "logs/"}, markers=True, existing=True),
              rule(f"at-{FIRST}", "tagged", 1, {"Tag": {"Key": "go", "Value": "yes"}}))
    large = random.Random(1).randbytes(3_000_000)
    small = home.put_object(Bucket=source, Key="logs/small", Body=b"1", Metadata={"a": "b"})
    home.put_object(Bucket=source, Key="logs/large", Body=large, ChecksumAlgorithm="SHA256")
    home.put_object(Bucket=source, Key="other", Body=b"2", Tagging="go=yes")
    home.put_object(Bucket=source, Key="stays", Body=b"3")
    for key in ("logs/before", "logs/small", "logs/large", "other"):
        completed(home, source, key)
    assert state(home, source, "stays") is None
    found = there.get_object(Bucket=target, Key="logs/small")
    assert (found["VersionId"], found["Metadata"]) == (small["VersionId"], {"a": "b"})
    assert found["ReplicationStatus"] == "REPLICA"
    assert body(there, target, "logs/large") == large
    sums = [c.head_object(Bucket=b, Key="logs/large", ChecksumMode="ENABLED")["ChecksumSHA256"]
            for c, b in ((home, source), (there, target))]
    assert sums[0] == sums[1]
    assert {key for key, _ in keys(there, target)} == {"logs/before", "logs/small", "logs/large"}
    assert {key for key, _ in keys(apart.s3(FIRST), f"at-{FIRST}")} == {"other"}
    home.delete_object(Bucket=source, Key="logs/small")
    eventually(lambda: there.list_object_versions(Bucket=target).get("DeleteMarkers"))
    # Tags follow.
    home.put_object_tagging(Bucket=source, Key="logs/large",
                            Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    eventually(lambda: there.get_object_tagging(Bucket=target, Key="logs/large")["TagSet"])


def test_status_is_true_while_the_other_region_is_away(apart):
    home, there = apart.s3(EU), apart.s3(ME)
    source, target = f"at-{EU}", f"at-{ME}"
    put_rules(home, source, rule(target, filter={"Prefix": "away/"}),
              rule(f"at-{FIRST}", "first", 2, {"Prefix": "away/other"}))
    apart.freeze(ME)
    try:
        for n in range(30):
            home.put_object(Bucket=source, Key=f"away/{n}", Body=f"{n}".encode() * 30_000)
        assert {state(home, source, f"away/{n}") for n in range(30)} == {"PENDING"}
        # Another destination does not wait for it.
        home.put_object(Bucket=source, Key="away/other", Body=b"1")
        eventually(lambda: body(apart.s3(FIRST), f"at-{FIRST}", "away/other") == b"1")
        assert state(home, source, "away/other") == "PENDING"
    finally:
        apart.thaw(ME)
    for n in range(30):
        eventually(lambda: state(home, source, f"away/{n}") == "COMPLETED", timeout=90)
        assert body(there, target, f"away/{n}") == f"{n}".encode() * 30_000
    completed(home, source, "away/other")
    shown = apart.json("bucket", "show", source)["rules"]
    assert {r["destination"]: r["pending"] for r in shown}[target] == 0


def test_the_law_holds_for_rules_between_regions(apart):
    fleet = apart
    fleet.bucket("lawful", EU, options=("--jurisdiction", "EU"))
    home = fleet.s3(EU)
    home.put_bucket_versioning(Bucket="lawful", VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ClientError) as refused:
        put_rules(home, "lawful", rule(f"at-{ME}"))
    assert code(refused) == "AccessDenied"
    # A law that is narrowed later holds for rules that stood before.
    fleet.bucket("narrowed", EU)
    home.put_bucket_versioning(Bucket="narrowed", VersioningConfiguration={"Status": "Enabled"})
    put_rules(home, "narrowed", rule(f"at-{ME}"))
    home.put_object(Bucket="narrowed", Key="free", Body=b"1")
    completed(home, "narrowed", "free")
    fleet.cli("bucket", "place", "narrowed", "--jurisdiction", "EU")
    home.put_object(Bucket="narrowed", Key="bound", Body=b"2")
    eventually(lambda: state(home, "narrowed", "bound") == "FAILED")
    assert "bound" not in {key for key, _ in keys(fleet.s3(ME), f"at-{ME}")}
    # Nor is a bucket taken that keeps no versions.
    fleet.bucket("plain", ME, options=("--accept-from", f"at-{EU}"))

    def says_why():
        with pytest.raises(ClientError) as plain:
            put_rules(home, f"at-{EU}", rule("plain"))
        # The source's region may not have heard of the bucket yet.
        assert code(plain) == "InvalidRequest" and "keep versions" in str(plain.value)
        return True

    eventually(says_why)


def test_rules_of_another_operator_need_the_owners_word(apart):
    fleet, home = apart, apart.s3(EU)
    for name, region in (("foreign", EU), ("guarded", ME)):
        fleet.bucket(name, region)
        fleet.s3(region).put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def says_why():
        with pytest.raises(ClientError) as refused:
            put_rules(home, "foreign", rule("guarded"))
        # The source's region may not have heard of the bucket yet.
        assert code(refused) == "AccessDenied"
        assert "dhow bucket place guarded --accept-from foreign" in str(refused.value)
        return True

    eventually(says_why)
    placed = fleet.json("bucket", "place", "guarded", "--accept-from", "foreign")
    assert placed["accepts"] == ["foreign"]
    eventually(lambda: put_rules(home, "foreign", rule("guarded")) is None)
    home.put_object(Bucket="foreign", Key="welcome", Body=b"1")
    completed(home, "foreign", "welcome")
    assert body(fleet.s3(ME), "guarded", "welcome") == b"1"
    # It can be taken back, and holds for rules that stood before.
    fleet.cli("bucket", "place", "guarded", "--accept-from", "none")
    home.put_object(Bucket="foreign", Key="unasked", Body=b"2")
    eventually(lambda: state(home, "foreign", "unasked") == "FAILED")
    assert {key for key, _ in keys(fleet.s3(ME), "guarded")} == {"welcome"}
    shown = fleet.json("bucket", "show", "foreign")["rules"]
    assert "does not accept" in shown[0]["refused"]


def test_rules_between_regions_go_on_after_promotions(tmp_path):
    fleet = Fleet(tmp_path / "data", 3).start()
    try:
        fleet.bucket("ruled", EU, FIRST)
        fleet.bucket("target", ME, FIRST, options=("--accept-from", "ruled"))
        for name, region in (("ruled", EU), ("target", ME)):
            fleet.s3(region).put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        put_rules(fleet.s3(EU), "ruled", rule("target"))
        fleet.s3(EU).put_object(Bucket="ruled", Key="one", Body=b"1" * 100_000)
        completed(fleet.s3(EU), "ruled", "one")
        eventually(lambda: body(fleet.s3(FIRST), "target", "one"))
        eventually(lambda: fleet.s3(FIRST).get_bucket_replication(Bucket="ruled"))
        # The destination's home moves, then the source's: both are in one region then.
        fleet.cli("bucket", "promote", "target", "--to", FIRST, "--force")
        fleet.s3(EU).put_object(Bucket="ruled", Key="two", Body=b"2")
        completed(fleet.s3(EU), "ruled", "two")
        assert body(fleet.s3(FIRST), "target", "two") == b"2"
        fleet.cli("bucket", "promote", "ruled", "--to", FIRST, "--force")
        new = fleet.s3(FIRST)
        eventually(lambda: new.put_object(Bucket="ruled", Key="three", Body=b"3"))
        completed(new, "ruled", "three")
        assert body(new, "target", "three") == b"3"
    finally:
        fleet.stop()
