"""Guard policies: what the cloud's owner lets everybody of an account do at most, the account itself
included. Each test removes the guard policy that it sets, and sees that all is as before."""

import contextlib
import hashlib
import json
import subprocess
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

import asymmetric
from conftest import client_for
from dhow import BIN, Client
from test_roles import trust
from test_sessions import DENIED, Account, Session, code
from test_users import allow, deny, document

BUCKET, THEIRS = "guarded-data", "guarded-by-others"
FULL = allow("*", Sid="Full")


class Guarded(Account):
    def admin_key(self):
        """A key that administers the account."""
        made = self.cloud.cli_json("key", "create", "--account", self.id, "--admin", "--json")
        return made["access_key"], made["secret_key"]

    def guard(self, *args, text=None, check=True):
        command = [str(BIN), "account", "guard-policy", self.id, *args,
                   "--data", str(self.cloud.data)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120,
                              check=False)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    @contextlib.contextmanager
    def guarded(self, *statements):
        """While it holds, the account has this guard policy."""
        self.guard("--set", "-", text=document(*statements))
        try:
            yield
        finally:
            self.guard("--remove")


@pytest.fixture(scope="module")
def acme(cloud):
    account = Guarded(cloud, "guards-acme")
    account.s3.create_bucket(Bucket=BUCKET)
    for key in ("a", "b", "c"):
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    return account


@pytest.fixture(scope="module")
def neighbour(cloud):
    """Another account, whose bucket is open to everybody."""
    account = Account(cloud, "guards-neighbour")
    account.s3.create_bucket(Bucket=THEIRS)
    account.s3.put_object(Bucket=THEIRS, Key="k", Body=b"k")
    account.s3.delete_public_access_block(Bucket=THEIRS)
    account.s3.put_bucket_policy(Bucket=THEIRS, Policy=document(
        allow("s3:*", [f"arn:aws:s3:::{THEIRS}", f"arn:aws:s3:::{THEIRS}/*"], Principal="*")))
    return account


def body(s3, key="a", bucket=BUCKET):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def refused(s3, key="a", bucket=BUCKET):
    return code(s3.get_object, Bucket=bucket, Key=key) == DENIED


def message(call, *args, **kwargs):
    with pytest.raises(ClientError) as failed:
        call(*args, **kwargs)
    return failed.value.response["Error"]["Message"]


def everybody(cloud, acme):
    """S3 by each kind of principal of the account, and by each kind of signature."""
    person = acme.person(allow("*"))
    role = acme.role(allow("*"))
    federated = acme.sts.get_federation_token(
        Name="fed", Policy=document(allow("s3:*")))
    cloud.cli("account", "access", acme.id, "--old-signatures", "on")
    return person, {
        "root": acme.s3,
        "user": person.s3,
        "role": acme.assume(person, role).s3,
        "token of root": Session(cloud, acme.sts.get_session_token()).s3,
        "token of a user": Session(cloud, person.sts.get_session_token()).s3,
        "federated": Session(cloud, federated).s3,
        "SigV4A": asymmetric.client_for(cloud.endpoint, cloud.region, acme.pair),
        "SigV2": client_for(cloud, *acme.pair, signature_version="s3"),
    }


def test_it_binds_everybody_of_the_account_however_they_sign(cloud, acme):
    person, all_of_it = everybody(cloud, acme)
    url = acme.s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "a"})
    for who, s3 in all_of_it.items():
        assert body(s3) == b"a", who
    with acme.guarded(FULL, deny("s3:GetObject", f"arn:aws:s3:::{BUCKET}/a")):
        for who, s3 in all_of_it.items():
            assert refused(s3), who
            assert body(s3, "b") == b"b", who
        with pytest.raises(urllib.error.HTTPError) as failed:
            urllib.request.urlopen(url, timeout=30)
        assert failed.value.code == 403
        # Sessions that begin now are bound as well.
        assert refused(Session(cloud, acme.sts.get_session_token()).s3)
    # Nothing is allowed that it does not name.
    with acme.guarded(allow("s3:ListBucket")):
        for who, s3 in all_of_it.items():
            assert refused(s3), who
            assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 3, who
    for who, s3 in all_of_it.items():
        assert body(s3) == b"a", who
    # It grants nothing.
    with acme.guarded(FULL):
        assert refused(acme.person().s3)


def test_every_way_to_an_object_asks_it(acme):
    s3 = acme.s3
    copy = {"Bucket": BUCKET, "Key": "a"}
    with acme.guarded(FULL, deny("s3:GetObject", f"arn:aws:s3:::{BUCKET}/a"),
                      deny(["s3:PutObject", "s3:DeleteObject"], f"arn:aws:s3:::{BUCKET}/kept*"),
                      deny("s3:CreateBucket", "arn:aws:s3:::guarded-new*")):
        calls = [
            (s3.head_object, {"Key": "a"}),
            (s3.get_object_attributes, {"Key": "a", "ObjectAttributes": ["ETag"]}),
            (s3.copy_object, {"Key": "copy", "CopySource": copy}),
            (s3.copy_object, {"Key": "kept", "CopySource": {**copy, "Key": "b"}}),
            (s3.put_object, {"Key": "kept", "Body": b"x"}),
            (s3.create_multipart_upload, {"Key": "kept"}),
            (s3.delete_object, {"Key": "kept"}),
        ]
        for call, args in calls:
            assert code(call, Bucket=BUCKET, **args) in (DENIED, "403"), args
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
        part = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
        assert code(s3.upload_part_copy, CopySource=copy, PartNumber=1, **part) == DENIED
        s3.abort_multipart_upload(**part)
        done = s3.delete_objects(Bucket=BUCKET, Delete={
            "Objects": [{"Key": "kept-1"}, {"Key": "other"}]})
        assert [e["Code"] for e in done["Errors"]] == [DENIED]
        assert [d["Key"] for d in done["Deleted"]] == ["other"]
        assert code(s3.create_bucket, Bucket="guarded-new") == DENIED
        form = s3.generate_presigned_post(BUCKET, "kept-by-form")
        assert posted(form) == 403
        assert posted(s3.generate_presigned_post(BUCKET, "by-form")) == 204
    assert body(s3) == b"a"


def posted(form):
    lines = "".join(
        f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items())
    lines += '--x\r\ncontent-disposition: form-data; name="file"\r\n\r\nhi\r\n--x--\r\n'
    asked = urllib.request.Request(
        form["url"], lines.encode(), {"content-type": "multipart/form-data; boundary=x"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_it_binds_the_callers_account_and_not_the_buckets(cloud, acme, neighbour):
    person = acme.person(allow("*"))
    anybody = f"{cloud.endpoint}/{THEIRS}/k"
    with acme.guarded(FULL, deny("s3:*", f"arn:aws:s3:::{THEIRS}*")):
        for s3 in (acme.s3, person.s3):
            assert refused(s3, "k", THEIRS)
            assert code(s3.put_object, Bucket=THEIRS, Key="n", Body=b"n") == DENIED
        # Of what bounds them, the owner of the bucket learns nothing, nor they themselves.
        assert message(acme.s3.get_object, Bucket=THEIRS, Key="k") == "Access Denied"
        # The bucket's owner, and who signs nothing, are of another account or none.
        assert body(neighbour.s3, "k", THEIRS) == b"k"
        assert urllib.request.urlopen(anybody, timeout=30).read() == b"k"
    for s3 in (acme.s3, person.s3):
        assert body(s3, "k", THEIRS) == b"k"


def test_it_binds_iam_and_sts(cloud, acme, neighbour):
    person = acme.person(allow("*"))
    role = acme.role(allow("s3:*"))
    theirs = neighbour.role(allow("s3:*"), trusts=trust(acme.id))
    arn = neighbour.arn("role", theirs)
    with acme.guarded(FULL, deny(["iam:CreateUser", "iam:CreateAccessKey", "iam:GetUser",
                                  "sts:AssumeRole", "sts:GetSessionToken",
                                  "sts:GetFederationToken", "sts:DecodeAuthorizationMessage"])):
        assert code(acme.iam.create_user, UserName="guards-new") == DENIED
        assert code(acme.iam.create_access_key) == DENIED
        assert code(acme.iam.create_access_key, UserName=person.name) == DENIED
        assert code(acme.iam.get_user) == DENIED
        assert code(person.iam.create_access_key) == DENIED
        assert code(acme.assume, person, role) == DENIED
        # Its own account binds who asks for a role of another.
        assert code(person.sts.assume_role, RoleArn=arn, RoleSessionName="work") == DENIED
        for sts in (acme.sts, person.sts):
            assert code(sts.get_session_token) == DENIED
            assert code(sts.get_federation_token, Name="fed") == DENIED
            assert code(sts.decode_authorization_message, EncodedMessage="x") == DENIED
            assert sts.get_caller_identity()["Account"] == acme.id
        assert acme.iam.list_users()["Users"]
        said = message(acme.iam.create_user, UserName="guards-new")
        assert said.endswith("with an explicit deny in a service control policy")
        # Who looks after the cloud is not bound by it, and a tenant's own admin is.
        tenant = acme.admin_key()
        asked = {"form": {"Action": "CreateUser", "UserName": "guards-by-tenant"}}
        assert admin(cloud, tenant, f"accounts/{acme.id}/iam", asked)[0] == 403
        cloud.cli("user", "create", "--account", acme.id, "guards-by-owner")
    # A role's own account binds its sessions, wherever who has them comes from.
    session = Session(cloud, person.sts.assume_role(RoleArn=arn, RoleSessionName="work"))
    with acme.guarded(deny("*")):
        assert body(session.s3, "k", THEIRS) == b"k"
    assert acme.iam.get_user()["User"]["Arn"].endswith(":root")
    acme.assume(person, role)


def admin(cloud, pair, path, asked):
    """(status, answer) of a request to the admin API."""
    host = cloud.info["admin"].removeprefix("http://")
    client, data = Client(host, cloud.region, *pair), json.dumps(asked).encode()
    path = f"/-/admin/v1/{path}"
    headers = client.headers("POST", path, payload=hashlib.sha256(data).hexdigest())
    try:
        client.connection.request("POST", path, data, headers)
        answer = client.connection.getresponse()
        return answer.status, answer.read()
    finally:
        client.connection.close()


def test_only_the_clouds_owner_sets_and_reads_it(cloud, acme):
    tenant, path = acme.admin_key(), f"accounts/{acme.id}/guard-policy"
    text = document(FULL, deny("s3:PutBucketPolicy", Sid="Mine"))
    with acme.guarded(FULL, deny("s3:PutBucketPolicy", Sid="Mine")):
        for asked in ({}, {"remove": True}, {"policy": document(FULL)}):
            status, answer = admin(cloud, tenant, path, asked)
            assert status == 403 and b"Mine" not in answer, asked
        assert acme.guard("--show").stdout.strip() == text
        shown = json.loads(acme.guard("--json").stdout)
        assert shown == {"id": acme.id, "policy": text}
        assert code(acme.s3.put_bucket_policy, Bucket=BUCKET, Policy=document()) == DENIED
        entry = [e for e in cloud.cli_json("audit", "show", "--json")
                 if e["action"] == "account.guard_policy"][-1]
        assert entry["subject"] == acme.id
        assert entry["actor"].endswith(f"key {cloud.access_key}")
        assert "Mine" not in json.dumps(entry)
    assert "no guard policy" in acme.guard().stdout
    root = cloud.cli_json("account", "list", "--json")
    root = next(a["id"] for a in root if a["root"])
    done = cloud.cli("account", "guard-policy", root, "--remove", check=False)
    assert done.returncode != 0 and "takes no guard policy" in done.stderr


def test_what_is_no_guard_policy_is_refused_with_its_place(acme):
    whoever = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    for text, said in [
        (document(whoever), "statement 1, line 1, column"),
        (document(FULL, deny("Nothing")), "statement 2"),
        ("{", "line 1"),
        (document(allow("s3:*", Sid="s" * 6200)), "6144"),
    ]:
        done = acme.guard("--set", "-", text=text, check=False)
        assert done.returncode != 0 and said in done.stderr, (text[:80], done.stderr)
    assert "no guard policy" in acme.guard().stdout
    assert body(acme.s3) == b"a"


def test_explanations_and_simulations_ask_it(cloud, acme):
    person = acme.person(allow("s3:*"))
    resource = f"arn:aws:s3:::{BUCKET}/a"
    arn = acme.arn("user", person.name)

    def explained(*who, action="s3:GetObject"):
        done = cloud.cli("access", "explain", "--account", acme.id, "--action", action,
                         "--resource", resource, "--json", *who, check=False)
        return json.loads(done.stdout)

    def simulated():
        found, = acme.iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=["s3:GetObject"],
            ResourceArns=[resource])["EvaluationResults"]
        detail = found.get("OrganizationsDecisionDetail", {})
        return found["EvalDecision"], detail.get("AllowedByOrganizations")

    assert simulated() == ("allowed", None)
    with acme.guarded(FULL, deny("s3:Get*", Sid="NoReading")):
        for who in ((), ("--user", person.name)):
            told = explained(*who)
            assert told["verdict"] == "refused"
            assert told["reason"].startswith(
                "statement 2 (NoReading) of the guard policy of the account denies it")
        assert explained(action="s3:PutObject")["verdict"] == "allowed"
        assert simulated() == ("explicitDeny", False)
        said = message(acme.s3.get_object, Bucket=BUCKET, Key="a")
        assert said.endswith("with an explicit deny in a service control policy")
        with pytest.raises(ClientError) as failed:
            person.s3.get_object(Bucket=BUCKET, Key="a")
        sealed = failed.value.response["Error"]["EncodedMessage"]
        why = json.loads(
            acme.sts.decode_authorization_message(EncodedMessage=sealed)["DecodedMessage"])
        found, = why["matchedStatements"]["items"]
        assert (found["source"], found["statementId"]) == ("service control policy", "NoReading")
    with acme.guarded(allow("iam:*")):
        assert simulated() == ("implicitDeny", False)
        told = explained("--user", person.name)
        assert told["reason"] == "the guard policy of the account does not allow it"
        said = message(acme.s3.get_object, Bucket=BUCKET, Key="a")
        assert said.endswith("because no service control policy allows the s3:GetObject action")
    with acme.guarded(FULL):
        assert simulated() == ("allowed", True)


def test_a_bucket_whose_policy_locks_all_out_is_not_opened_past_it(acme):
    """The account itself always may replace its bucket's policy, but not past the guard policy."""
    acme.s3.create_bucket(Bucket="guarded-locked")
    locked = document(deny("s3:*", "arn:aws:s3:::guarded-locked", Principal="*"))
    acme.s3.put_bucket_policy(Bucket="guarded-locked", Policy=locked)
    with acme.guarded(FULL, deny("s3:DeleteBucketPolicy")):
        assert code(acme.s3.delete_bucket_policy, Bucket="guarded-locked") == DENIED
    acme.s3.delete_bucket_policy(Bucket="guarded-locked")
