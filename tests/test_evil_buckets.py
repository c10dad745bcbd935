"""The evil region, and what it had of a customer's bucket: sealed, forbidden to it, or its only
home. See test_evil.py."""

import base64
import json
import os
import random
import re
import threading

import boto3
import pytest
from botocore.exceptions import ClientError

from dhow import Client
from evil import Lessee, files, in_memory
from fleet import body, eventually, listing, meanwhile
from test_evil import AP, EU, FIRST, ME, evil, fleet, whole  # noqa: F401 (fixtures)
from test_roles import trust
from test_users_regions import iam_for


def test_p2_after_revocation_neither_key_nor_bytes_are_in_memory(fleet, evil):
    """Read at a sealed copy, so that all of it was there; then the copy is taken away."""
    fleet.json("bucket", "create", "leased", "--home", EU, "--sealed", ME)
    home, canary = fleet.s3(EU), b"canary-" + os.urandom(12).hex().encode()
    home.put_object(Bucket="leased", Key="k", Body=canary * 40_000)
    eventually(lambda: home.head_object(Bucket="leased", Key="k")["ReplicationStatus"]
               == "COMPLETED")
    deed, lessee = fleet.json("bucket", "show", "leased"), evil(EU, Lessee)
    lease = lessee.lease(deed, "k")
    unwrapped = (lessee.unwrapped(deed, "k", lease["version"], w)
                 for w in lessee.wrapped_keys(deed))
    data_key = next(key for got, key in unwrapped if got == 200)
    needles = [data_key, data_key.hex().encode(), base64.b64encode(data_key), canary]
    found = lambda: in_memory(fleet.regions[ME]["pid"], needles)
    assert body(fleet.s3(ME), "leased", "k") == canary * 40_000
    at_once = found()
    assert at_once[data_key] > 0, "the search finds what is there"
    assert at_once[data_key.hex().encode()] == at_once[canary] == 0
    wrapped = lessee.wrapped_keys(deed)[-1]
    fleet.cli("bucket", "place", "leased", "--remove-replica", ME)
    eventually(lambda: not any(found().values()), timeout=60)
    got, why = lessee.unwrapped(deed, "k", lease["version"], wrapped)
    assert got in (403, 404, 409), why
    with pytest.raises(ClientError):
        body(fleet.s3(ME), "leased", "k")
    assert not any(n in p.read_bytes() for p in files(fleet.regions[ME]["data"])
                   for n in needles if p.exists())


class Customer:
    """Random operations of one customer on a bucket, with canaries in all that is the bucket's."""

    def __init__(self, fleet, region, bucket, canary, seed):
        self.client = Client(f"{fleet.processes[region].address}:9000", region,
                             fleet.info["access_key"], fleet.info["secret_key"])
        self.bucket, self.canary, self.rng = bucket, canary, random.Random(seed)
        self.done, self.errors = 0, 0

    def key(self):
        return f"{self.canary}/{self.rng.randrange(60)}"

    def ask(self, method, key="", query="", content=b"", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        got, answer, text = self.client.request(method, f"/{self.bucket}" + (key and f"/{key}"),
                                                query, content, headers)
        self.done += 1
        self.errors += got >= 400
        assert got < 500 or got in (501, 503), (method, key, query, got, text)
        return answer, text

    def put(self):
        size = self.rng.choice([0, 1, 1, 1, 20, 5000])
        self.ask("PUT", self.key(), content=self.canary.encode() * size,
                 content_type=f"text/{self.canary}", x_amz_meta_note=self.canary,
                 x_amz_tagging=f"t={self.canary}")

    def copy(self):
        self.ask("PUT", self.key(), x_amz_copy_source=f"/{self.bucket}/{self.key()}")

    def copy_out(self):
        got = self.client.request("PUT", f"/wide/{self.key()}", "", b"", {
            "x-amz-copy-source": f"/{self.bucket}/{self.key()}"})[0]
        assert got in (403, 404), got

    def parts(self):
        key = self.key()
        _, text = self.ask("POST", key, "uploads=")
        upload = re.search(rb"<UploadId>(.*?)</UploadId>", text)[1].decode()
        query = f"uploadId={upload}"
        answer, _ = self.ask("PUT", key, f"partNumber=1&{query}", self.canary.encode() * 50)
        self.ask("GET", "", "uploads=")
        if self.rng.random() < 0.3:
            self.ask("DELETE", key, query)
        else:
            self.ask("POST", key, query, (
                "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
                f"{answer['ETag']}</ETag></Part></CompleteMultipartUpload>").encode())

    def tags(self):
        self.ask("PUT", self.key(), "tagging=", (
            "<Tagging><TagSet><Tag><Key>k</Key>"
            f"<Value>{self.canary}</Value></Tag></TagSet></Tagging>").encode())

    def wrong(self):
        how = self.rng.randrange(5)
        if how == 0:
            self.ask("GET", f"{self.canary}/none")
        elif how == 1:
            self.ask("PUT", self.key(), content=b"x", if_match='"none"')
        elif how == 2:
            self.ask("PUT", self.key(), content=b"x", content_md5="AAAAAAAAAAAAAAAAAAAAAA==")
        elif how == 3:
            self.ask("POST", self.key(), "uploadId=none", f"<{self.canary}>".encode())
        else:
            self.ask("PUT", self.key(), "acl=", self.canary.encode())

    def work(self, count):
        reads = [lambda: self.ask("GET", self.key()), lambda: self.ask("HEAD", self.key()),
                 lambda: self.ask("DELETE", self.key()),
                 lambda: self.ask("GET", "", f"list-type=2&prefix={self.canary}"),
                 lambda: self.ask("GET", "", "versions="),
                 lambda: self.ask("GET", self.key(), "tagging=")]
        while self.done < count:
            out = self.copy_out if self.bucket != "wide" else self.copy
            self.rng.choice([self.put, self.put, self.copy, out, self.parts, self.tags,
                             self.wrong, *reads])()


def test_p8_what_the_law_keeps_in_one_place_is_nowhere_else(fleet):
    """2,000 operations on a bucket of the EU, with its placement changed meanwhile: neither keys
    nor values are on other regions' disks, in their logs, in their metrics, in what the registry
    tells, or in their memory, through which all goes that they were sent."""
    canary = "canary-" + os.urandom(8).hex()
    free = "free-" + os.urandom(8).hex()
    fleet.bucket("kept", EU, options=["--jurisdiction", "EU"])
    fleet.bucket("wide", EU, FIRST, ME, AP)
    fleet.s3(EU).put_bucket_versioning(Bucket="kept",
                                       VersioningConfiguration={"Status": "Enabled"})
    customers = [Customer(fleet, EU, "kept", canary, seed) for seed in range(3)]
    customers.append(Customer(fleet, EU, "wide", free, 9))
    failed = []

    def work(customer, count):
        try:
            customer.work(count)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(c, 700 if c.bucket == "kept" else 60))
               for c in customers]
    for thread in threads:
        thread.start()
    for _ in range(3):
        for region in (FIRST, ME, AP):
            assert fleet.cli("bucket", "place", "kept", "--add-replica", region,
                             check=False).returncode == 1
        # As narrow as the law: a change of the placement that goes through.
        fleet.cli("bucket", "place", "kept", "--jurisdiction", "DE")
        fleet.cli("bucket", "place", "kept", "--jurisdiction", "EU")
    for thread in threads:
        thread.join(120)
    assert not failed, failed[0]
    assert sum(c.done for c in customers[:3]) >= 2000 and all(c.errors for c in customers)
    want = listing(fleet.s3(EU), "wide")
    told = json.dumps([fleet.audit(), fleet.json("bucket", "show", "kept"),
                       fleet.json("residency", "check", "kept")])
    for region in (FIRST, ME, AP):
        eventually(lambda: listing(fleet.s3(region), "wide") == want)
        told += fleet.metrics(region)
        told += fleet.processes[region].log_text()
        disk = [p.read_bytes() for p in files(fleet.regions[region]["data"]) if p.exists()]
        assert any(free.encode() in content for content in disk), "the search finds what is there"
        assert not any(canary.encode() in content for content in disk), region
        needles = [canary.encode(), free.encode()]
        found = in_memory(fleet.regions[region]["pid"], needles)
        assert found[needles[0]] == 0 and found[needles[1]] > 0, (region, found)
    assert canary not in told
    assert any(canary.encode() in p.read_bytes() for p in files(fleet.regions[EU]["data"]))


def test_p8_identities_of_an_account_are_only_where_its_guard_allows(fleet):
    """Users, groups, roles, policies, providers, tags and sessions of an account of the EU, whose
    requests come to regions outside as well, one of which its bucket trusts: these have nothing of
    it on disk, in logs, in metrics or in memory. The registry's region keeps them."""
    canary = "canary" + os.urandom(8).hex()
    owner = fleet.json("account", "create", "guarded", "--guard", "EU")["id"]
    made = fleet.json("key", "create", "--account", owner)
    root = (made["access_key"], made["secret_key"])
    iam, tags = iam_for(fleet, root), [{"Key": canary, "Value": canary}]
    text = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": canary, "Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"}]})
    iam.create_user(UserName=canary, Path=f"/{canary}/", Tags=tags)
    iam.put_user_policy(UserName=canary, PolicyName=canary, PolicyDocument=text)
    policy = iam.create_policy(PolicyName=canary, PolicyDocument=text)["Policy"]["Arn"]
    iam.create_group(GroupName=canary)
    iam.put_group_policy(GroupName=canary, PolicyName=canary, PolicyDocument=text)
    iam.add_user_to_group(GroupName=canary, UserName=canary)
    iam.attach_user_policy(UserName=canary, PolicyArn=policy)
    role = iam.create_role(RoleName=canary, Tags=tags, Description=canary,
                           AssumeRolePolicyDocument=trust(owner))["Role"]["Arn"]
    iam.put_role_policy(RoleName=canary, PolicyName=canary, PolicyDocument=text)
    iam.create_open_id_connect_provider(Url=f"https://id.example.com/{canary}",
                                        ClientIDList=[canary], Tags=tags)
    made = iam.create_access_key(UserName=canary)["AccessKey"]
    user = (made["AccessKeyId"], made["SecretAccessKey"])
    sts = boto3.client("sts", endpoint_url=fleet.regions[FIRST]["endpoint"] + "/-/sts",
                       region_name=FIRST, aws_access_key_id=user[0], aws_secret_access_key=user[1])
    made = sts.assume_role(RoleArn=role, RoleSessionName=canary, Policy=text)["Credentials"]
    fleet.json("bucket", "create", "guarded", "--home", EU, "--owner", owner, "--proxy",
               "--trust-reads", ME)

    def in_session(region):
        return boto3.client("s3", endpoint_url=fleet.regions[region]["endpoint"],
                            region_name=region, aws_access_key_id=made["AccessKeyId"],
                            aws_secret_access_key=made["SecretAccessKey"],
                            aws_session_token=made["SessionToken"])

    for key in (user, root):
        eventually(lambda: fleet.s3(EU, key).put_object(Bucket="guarded", Key="k", Body=b"k"))
    assert body(in_session(EU), "guarded", "k") == b"k"
    home = fleet.s3(EU, root)
    home.put_bucket_ownership_controls(Bucket="guarded", OwnershipControls={
        "Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    home.put_object_acl(Bucket="guarded", Key="k", ACL="bucket-owner-full-control")
    home.put_bucket_policy(Bucket="guarded", Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Sid": canary, "Effect": "Allow", "Action": "s3:GetObject",
            "Principal": {"AWS": f"arn:aws:iam::{owner}:user/{canary}/{canary}"},
            "Resource": "arn:aws:s3:::guarded/*"}]}))
    for region in (ME, AP):
        # The account itself is known there once it comes; who its users are is not.
        eventually(lambda: fleet.s3(region, root).list_buckets()["Buckets"])
        for client in (fleet.s3(region, user), in_session(region)):
            for _ in range(2):
                with pytest.raises(ClientError) as refused:
                    client.get_object(Bucket="guarded", Key="k")
                assert canary not in str(refused.value)
    marker = fleet.json("account", "create", "after-guarded")["id"]
    text = lambda region: [p.read_bytes() for p in files(fleet.regions[region]["data"])
                           if p.exists()]
    for region in (ME, AP):
        eventually(lambda: any(marker.encode() in content for content in text(region)))
        assert not any(canary.encode() in content for content in text(region)), region
        assert canary not in fleet.metrics(region) + fleet.processes[region].log_text()
        found = in_memory(fleet.regions[region]["pid"], [canary.encode(), marker.encode()])
        assert found[canary.encode()] == 0 and found[marker.encode()] > 0, (region, found)
    assert any(canary.encode() in content for content in text(EU)), "the search finds what is there"
    assert in_memory(fleet.regions[EU]["pid"], [canary.encode()])[canary.encode()] > 0
    assert canary not in json.dumps([fleet.audit(), fleet.json("bucket", "show", "guarded")])


def test_p11_a_region_that_drops_out_keeps_nobodys_bucket(fleet):
    """ME, the home, is gone without a word: all that its copies had been told is elsewhere, and
    what is not is exactly what was never said to be there."""
    fleet.bucket("held", ME, EU)
    home, copy = fleet.s3(ME), fleet.s3(EU)
    home.put_bucket_versioning(Bucket="held", VersioningConfiguration={"Status": "Enabled"})
    rng, manifest = random.Random(11), {}

    def put(n):
        content = rng.randbytes(rng.choice([10, 3000, 90_000]))
        made = home.put_object(Bucket="held", Key=f"k{n % 40}", Body=content)
        manifest[f"k{n % 40}", made["VersionId"]] = content

    for n in range(80):
        put(n)
    eventually(lambda: listing(copy, "held") == listing(home, "held"))
    fleet.net.cut(ME, EU)
    try:
        for n in range(20):
            put(n)
        safe = {(key, version) for key, version in manifest if home.head_object(
            Bucket="held", Key=key, VersionId=version)["ReplicationStatus"] == "COMPLETED"}
        fleet.kill(ME)
    finally:
        fleet.net.heal()
    fleet.cli("bucket", "promote", "held", "--to", EU)
    eventually(lambda: copy.put_object(Bucket="held", Key="after", Body=b"1"), timeout=60)
    # It is answered once ME has heard of it, and takes effect before that.
    placing = meanwhile(lambda: fleet.cli("bucket", "place", "held", "--add-replica", FIRST,
                                          check=False))
    want = listing(copy, "held")
    eventually(lambda: listing(fleet.s3(FIRST), "held") == want, timeout=60)
    there = {(key, version) for key, version, *_ in want}
    lost = set(manifest) - there
    assert safe <= there and len(safe) >= 60 and lost, "0 unlisted losses, and the cut was one"
    for region in (EU, FIRST):
        for (key, version), content in manifest.items():
            if (key, version) not in lost:
                assert body(fleet.s3(region), "held", key, VersionId=version) == content
    # It thinks better of it: what it alone had comes along.
    fleet.begin(ME)
    eventually(lambda: lost <= {(k, v) for k, v, *_ in listing(copy, "held")}, timeout=60)
    placing.result(60)
    # Refused until it is known here that nothing more will come.
    eventually(lambda: fleet.cli("bucket", "place", "held", "--remove-replica", ME,
                                 check=False).returncode == 0, timeout=60)
