"""Every operation of S3, asked for by everybody who may not do it, or not all of it.

The operations are those of the table (docs/operations.md is written from it); what a principal is
answered follows from the permission that the table names, so a new operation is asked for here as
soon as it has its line. For each principal something that it may do is shown, too."""

import base64
import datetime
import fnmatch
import hashlib
import hmac
import html
import itertools
import re
from email.utils import formatdate

import pytest

from conftest import client_for
from dhow import ROOT, Client, Dhow
from test_identity_refusals import ACTIONS, Caller
from test_policies import policy, post, statement
from test_roles import trust
from test_sessions import sts_for
from test_users import Person, allow, code, deny, document, iam_for

LINE = re.compile(r"^\| (\w+) \| `(\w+) (\S+)`(?: with `([\w-]+)`)? \| ([\w ]+) \| (.*?) \|")
# Values that a query needs to be one.
VALUES = {"partNumber": "1", "uploadId": "none", "id": "one", "annotationName": "n"}
KEY = "some/key"
XML = {
    "CreateBucket": "",
    "DeleteObjects": "<Delete><Object><Key>none</Key></Object></Delete>",
    "PutBucketTagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    "PutObjectTagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    "PutBucketVersioning":
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    "PutObject": "new", "UploadPart": "new",
}


class Operation:
    def __init__(self, name, method, target, header, works, permission):
        self.name, self.method, self.works = name, method, works
        path, _, self.query = target.partition("?")
        self.on = {"/": "service", "/bucket": "bucket", "/bucket/key": "object"}[path]
        self.header = header
        # Strangers do not learn what is not there: they are asked for the right to list.
        plain = re.match(r"`(s3:\w+)`", permission)
        self.action = plain.group(1) if plain else "s3:ListBucket"

    def send(self, client, bucket):
        """(status, code) of the request."""
        path = {"service": "/", "bucket": f"/{bucket}", "object": f"/{bucket}/{KEY}"}[self.on]
        pairs = [p if "=" in p else f"{p}={VALUES.get(p, '')}" for p in self.query.split("&") if p]
        headers = {self.header: f"/{bucket}/{KEY}"} if self.header else {}
        body = XML.get(self.name, "").replace("BUCKET", bucket).encode()
        if self.name == "DeleteObjects":
            headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        status, _, answer = client.request(self.method, path, "&".join(pairs), body, headers)
        found = re.search(rb"<Code>(\w+)</Code>", answer)
        return status, found.group(1).decode() if found else None


OPERATIONS = {
    line.group(1): Operation(*line.groups())
    for line in map(LINE.match, (ROOT / "docs" / "operations.md").read_text().splitlines())
    if line and line.group(1) != "operation"
}

class InSession(Client):
    """Signs with a session's key, and sends its token."""

    def headers(self, method, path, query="", headers=None, **more):
        token = {"x-amz-security-token": self.token} if self.token else {}
        return super().headers(method, path, query, {**(headers or {}), **token}, **more)


class Anonymous(Client):
    """Signs nothing."""

    def headers(self, method, path, query="", headers=None, **_):
        return dict(headers or {})


class Old(Client):
    """Signs with version 2, which the account has not asked for."""

    def headers(self, method, path, query="", headers=None, **_):
        date = formatdate(usegmt=True)
        text = f"{method}\n\n\n{date}\n{path}"
        code = hmac.new(self.secret_key.encode(), text.encode(), hashlib.sha1).digest()
        signature = base64.b64encode(code).decode()
        return {**(headers or {}), "date": date,
                "authorization": f"AWS {self.access_key}:{signature}"}


@pytest.fixture(scope="module")
def scene(cloud):
    """An account with a bucket that holds an object, and all principals."""
    return Scene(cloud)


class Scene:
    def __init__(self, cloud):
        self.cloud = cloud
        names = itertools.count()
        account = lambda name, *args: cloud.cli_json(
            "account", "create", f"{name}-{next(names)}", *args, "--json")["id"]
        self.owner = account("refusals")
        self.pair = self.key(self.owner)
        self.s3, self.iam = client_for(cloud, *self.pair), iam_for(cloud, *self.pair)
        self.bucket = "refusals-data"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_object(Bucket=self.bucket, Key=KEY, Body=b"kept")
        cloud.cli("operator", "add", "refusals-op", "--name", "Refusals", check=False)
        self.account = account

    def key(self, account):
        made = self.cloud.cli_json("key", "create", "--account", account, "--json")
        return made["access_key"], made["secret_key"]

    def client(self, pair):
        return Client(self.cloud.host, self.cloud.region, *pair)

    def state(self):
        """All that a request could change."""
        listed = self.s3.list_object_versions(Bucket=self.bucket)
        versions = [(v["Key"], v["ETag"]) for v in listed.get("Versions", [])]
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads")
        buckets = [b["Name"] for b in self.s3.list_buckets()["Buckets"]]
        documents = [code(call, Bucket=self.bucket) for call in (
            self.s3.get_bucket_policy, self.s3.get_bucket_cors, self.s3.get_bucket_tagging)]
        return versions, listed.get("DeleteMarkers"), uploads, buckets, documents


def never(_):
    return False


def reads(operation):
    return fnmatch.fnmatch(operation.action, "s3:Get*") or fnmatch.fnmatch(
        operation.action, "s3:List*")


def lists_or_makes(operation):
    """What anybody with a key may ask for their own account."""
    return operation.name in ("ListBuckets", "CreateBucket")


def lists(operation):
    return operation.name == "ListBuckets"


# For each principal: the code of a refusal, and what is not refused.
PRINCIPALS = {
    "anonymous": ("AccessDenied", never),
    "bad signature": ("SignatureDoesNotMatch", never),
    "old signature": ("InvalidRequest", never),
    "other account": ("AccessDenied", lists_or_makes),
    "user of another account": ("AccessDenied", lists_or_makes),
    "read-only user": ("AccessDenied", reads),
    "user without a policy": ("AccessDenied", never),
    "suspended account": ("AccountProblem", never),
    "disabled key": ("InvalidAccessKeyId", never),
    "operator of a region": ("AccessDenied", lists),
    "auditor": ("AccessDenied", lists),
    "session of a role without a policy": ("AccessDenied", never),
    "session with a policy about something else": ("AccessDenied", never),
    "read-only session": ("AccessDenied", reads),
    "session whose role is denied all": ("AccessDenied", never),
    "federated session without a policy": ("AccessDenied", never),
    "session of another account": ("AccessDenied", lists_or_makes),
    "session whose key is gone": ("InvalidAccessKeyId", never),
    "session whose role is gone": ("InvalidAccessKeyId", never),
    "session without its token": ("InvalidAccessKeyId", never),
}
OF_THE_ACCOUNT = {
    "read-only user", "user without a policy", "session of a role without a policy",
    "session with a policy about something else", "read-only session",
    "session whose role is denied all", "federated session without a policy",
}
# Forms are signed by their fields, and have a test of their own below.
FORMS = {"PostObject"}


def principal(scene, name):
    """A client, and a function that shows something that the principal may do."""
    cloud, own = scene.cloud, scene.s3
    plain = lambda client: client.request("GET", f"/{scene.bucket}/{KEY}")[0]
    if name == "anonymous":
        def shown():
            own.create_bucket(Bucket="refusals-public")
            own.put_object(Bucket="refusals-public", Key=KEY, Body=b"x")
            own.delete_public_access_block(Bucket="refusals-public")
            own.put_bucket_policy(Bucket="refusals-public", Policy=policy(
                statement("refusals-public", "*", "s3:GetObject")))
            found = client.request("GET", f"/refusals-public/{KEY}")[0]
            own.delete_object(Bucket="refusals-public", Key=KEY)
            own.delete_bucket(Bucket="refusals-public")
            return found
        client = Anonymous(cloud.host, cloud.region, "", "")
        return client, shown
    if name == "bad signature":
        return scene.client((scene.pair[0], scene.pair[1] + "x")), lambda: plain(
            scene.client(scene.pair))
    if name == "old signature":
        client = Old(cloud.host, cloud.region, *scene.pair)
        return client, lambda: plain(scene.client(scene.pair))
    if name == "other account":
        client = scene.client(scene.key(scene.account("refusals-other")))
        return client, lambda: client.request("GET", "/")[0]
    if name == "user of another account":
        pair = scene.key(scene.account("refusals-users"))
        client = scene.client(Person(cloud, iam_for(cloud, *pair), document(allow("*"))).pair)
        return client, lambda: client.request("GET", "/")[0]
    if name == "read-only user":
        may = document(allow(["s3:Get*", "s3:List*"]))
        client = scene.client(Person(cloud, scene.iam, may).pair)
        return client, lambda: plain(client)
    if name == "user without a policy":
        person = Person(cloud, scene.iam)
        client = scene.client(person.pair)

        def shown():
            person.put(document(allow("s3:GetObject")))
            found = plain(client)
            scene.iam.delete_user_policy(UserName=person.name, PolicyName="own")
            return found
        return client, shown
    if name == "suspended account":
        account = scene.account("refusals-suspended")
        client = scene.client(scene.key(account))
        cloud.cli("account", "suspend", account)

        def shown():
            cloud.cli("account", "resume", account)
            return client.request("GET", "/")[0]
        return client, shown
    if name == "disabled key":
        pair = scene.key(scene.owner)
        client = scene.client(pair)
        cloud.cli("key", "disable", pair[0])

        def shown():
            cloud.cli("key", "enable", pair[0])
            return plain(client)
        return client, shown
    if "session" in name:
        return session(scene, name)
    kind = ["--auditor"] if name == "auditor" else ["--operator", "refusals-op"]
    client = scene.client(scene.key(scene.account(f"refusals-{name.split()[0]}", *kind)))
    return client, lambda: client.request("GET", "/")[0]


# What the role of a session may do, and what bounds the session.
BOUNDS = {
    "session of a role without a policy": ([], None),
    "session with a policy about something else": (
        [allow("*")], allow("s3:*", "arn:aws:s3:::refusals-else/*")),
    "read-only session": ([allow("*")], allow(["s3:Get*", "s3:List*"])),
    "session whose role is denied all": ([allow("*"), deny("*")], None),
    "session of another account": ([allow("*")], None),
    "session whose key is gone": ([allow("*")], None),
    "session whose role is gone": ([allow("*")], None),
    "session without its token": ([allow("*")], None),
}


def session(scene, name):
    """A session, and what shows that it is one: what it may do, or could before it ended."""
    cloud, iam = scene.cloud, scene.iam
    pair = scene.pair
    if name == "session of another account":
        pair = scene.key(scene.account("refusals-sessions"))
        iam = iam_for(cloud, *pair)
    person = Person(cloud, iam, document(allow("sts:*")))
    plain = lambda client: client.request("GET", f"/{scene.bucket}/{KEY}")[0]
    if name.startswith("federated"):
        made = sts_for(cloud, *person.pair).get_federation_token(Name="refusals")
    else:
        role = f"refusals-{name.replace(' ', '-')}"
        account = iam.get_user(UserName=person.name)["User"]["Arn"].split(":")[4]
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust(account))
        statements, bound = BOUNDS[name]
        if statements:
            iam.put_role_policy(
                RoleName=role, PolicyName="own", PolicyDocument=document(*statements))
        more = {"Policy": document(bound)} if bound else {}
        made = sts_for(cloud, *person.pair).assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="refusals", **more)
    made = made["Credentials"]
    client = InSession(
        cloud.host, cloud.region, made["AccessKeyId"], made["SecretAccessKey"])
    client.token = made["SessionToken"]
    if name in ("session of another account", "read-only session"):
        # Of its own account it may ask for what there is.
        return client, lambda: client.request("GET", "/")[0]
    if name == "session without its token":
        whole, client.token = client.token, None

        def shown():
            client.token = whole
            return plain(client)
        return client, shown
    if name in ("session whose key is gone", "session whose role is gone"):
        before = plain(client)
        if name == "session whose key is gone":
            iam.delete_access_key(UserName=person.name, AccessKeyId=person.pair[0])
        else:
            iam.delete_role_policy(RoleName=role, PolicyName="own")
            iam.delete_role(RoleName=role)
        return client, lambda: before
    # What it lacks it may have, and then it is let in.
    def shown():
        if name.startswith("federated") or bound:
            return 200 if code_of(client, scene) == "AccessDenied" else 0
        iam.put_role_policy(
            RoleName=role, PolicyName="own", PolicyDocument=document(allow("s3:GetObject")))
        found = plain(client)
        iam.delete_role_policy(RoleName=role, PolicyName="own")
        return found
    return client, shown


def code_of(client, scene):
    """Why a good signature is refused."""
    body = client.request("GET", f"/{scene.bucket}/{KEY}")[2]
    return re.search(rb"<Code>(\w+)</Code>", body).group(1).decode()


def refused(name):
    _, may = PRINCIPALS[name]
    return [o for o in OPERATIONS.values() if o.name not in FORMS and not may(o)]


def test_there_are_as_many_refusals_as_there_were():
    of_others = sum(len(refused(name)) for name in PRINCIPALS)
    assert of_others + len(denied_to_owners()) >= 2000


@pytest.mark.parametrize("name", PRINCIPALS)
def test_who_may_not_is_refused_and_changes_nothing(scene, name):
    refusal, may = PRINCIPALS[name]
    client, shown = principal(scene, name)
    before, wrong = scene.state(), {}
    for operation in OPERATIONS.values():
        if operation.name in FORMS:
            continue
        answer = operation.send(client, scene.bucket)
        # The answer to HEAD has no body.
        status = 400 if refusal == "InvalidRequest" else 403
        want = (status, None if operation.method == "HEAD" else refusal)
        # Each key is a question of its own, for whom the bucket's account lets ask at all.
        if operation.name == "DeleteObjects" and name in OF_THE_ACCOUNT:
            want = (200, refusal)
        if may(operation):
            allowed = answer[0] != 403 and (operation.works != "not yet" or answer[0] == 501)
            if not allowed:
                wrong[operation.name] = answer
        elif answer != want:
            wrong[operation.name] = answer
    assert wrong == {}
    assert scene.state() == before
    assert shown() == 200
    client.connection.close()


# What the owner may always do: else a policy that denies all could never be taken away.
NEVER_LOCKED = {"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"}


def denied_to_owners():
    return [o for o in OPERATIONS.values() if o.on != "service" and o.name != "CreateBucket"
            and o.name not in FORMS | NEVER_LOCKED]


def test_the_owners_own_key_is_refused_what_the_buckets_policy_denies(scene):
    bucket, client = "refusals-locked", scene.client(scene.pair)
    scene.s3.create_bucket(Bucket=bucket)
    scene.s3.put_object(Bucket=bucket, Key=KEY, Body=b"kept")
    scene.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, "*", "s3:*", Effect="Deny", Resource=[
            f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"])))
    wrong = {}
    for operation in denied_to_owners():
        answer = operation.send(client, bucket)
        want = (403, None if operation.method == "HEAD" else "AccessDenied")
        if operation.name == "DeleteObjects":
            want = (200, "AccessDenied")
        if answer != want:
            wrong[operation.name] = answer
    assert wrong == {}
    assert bucket in scene.s3.get_bucket_policy(Bucket=bucket)["Policy"]
    scene.s3.delete_bucket_policy(Bucket=bucket)
    assert scene.s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == b"kept"
    scene.s3.delete_object(Bucket=bucket, Key=KEY)
    scene.s3.delete_bucket(Bucket=bucket)


FORMERS = ["other account", "user without a policy", "disabled key", "auditor", "bad signature",
           "operator of a region", "suspended account", "read-only user"]


@pytest.mark.parametrize("name", FORMERS)
def test_a_form_of_who_may_not_is_refused(scene, name):
    client, _ = principal(scene, name)
    s3 = client_for(scene.cloud, client.access_key, client.secret_key)
    form = s3.generate_presigned_post(scene.bucket, "form")
    assert post(f"{scene.cloud.endpoint}/{scene.bucket}", form) == 403
    assert code(scene.s3.head_object, Bucket=scene.bucket, Key="form") == "404"


def test_a_form_without_a_signature_is_refused(scene):
    form = {"fields": {"key": "form"}}
    assert post(f"{scene.cloud.endpoint}/{scene.bucket}", form) == 403
    assert code(scene.s3.head_object, Bucket=scene.bucket, Key="form") == "404"


def test_an_expired_session_may_nothing(tmp_path):
    """A session of the account itself, made while the region's clock was two hours behind."""
    behind = datetime.timedelta(hours=2)
    cloud = Dhow(tmp_path / "expired", args=[f"--clock-ahead-ms=-{int(behind.total_seconds())}000"])
    then = lambda: datetime.datetime.now(datetime.timezone.utc) - behind
    cloud.start()
    try:
        asked = b"Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900"
        client = Client(cloud.host, cloud.region, cloud.access_key, cloud.secret_key, service="sts")
        signed = client.headers("POST", "/-/sts", now=then(), headers={
            "content-type": "application/x-www-form-urlencoded"},
            payload=hashlib.sha256(asked).hexdigest())
        client.connection.request("POST", "/-/sts", asked, signed)
        answer = client.connection.getresponse().read().decode()
        told = lambda name: html.unescape(re.search(f"<{name}>(.*?)</{name}>", answer)[1])
        session = InSession(cloud.host, cloud.region, told("AccessKeyId"), told("SecretAccessKey"))
        session.token = told("SessionToken")
        client.service = None
        client.connection.close()
        for target, body in (("/expired", b""), (f"/expired/{KEY}", b"kept")):
            signed = client.headers("PUT", target, now=then())
            client.connection.request("PUT", target, body, signed)
            answer = client.connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
        # It was good: the same read, as of then.
        signed = session.headers("GET", f"/expired/{KEY}", now=then())
        client.connection.request("GET", f"/expired/{KEY}", headers=signed)
        assert client.connection.getresponse().read() == b"kept"
        cloud.stop()
        cloud.args = []
        cloud.start()
        session = InSession(cloud.host, cloud.region, session.access_key, session.secret_key)
        session.token = signed["x-amz-security-token"]
        wrong = {}
        for operation in OPERATIONS.values():
            if operation.name not in FORMS:
                answer = operation.send(session, "expired")
                want = (400, None if operation.method == "HEAD" else "ExpiredToken")
                if answer != want:
                    wrong[operation.name] = answer
        caller = Caller(cloud, (session.access_key, session.secret_key), session.token)
        for api, action in ACTIONS:
            found, _ = caller.ask(api, action, {})
            if found != "ExpiredToken":
                wrong[action] = found
        caller.close()
        assert wrong == {}
        s3 = cloud.client()
        assert s3.get("expired", KEY)[2] == b"kept"
        listed = s3.request("GET", "/expired", "versions=")[2]
        assert listed.count(b"<Version>") == 1 and s3.request("GET", "/")[2].count(b"<Bucket>") == 1
    finally:
        cloud.kill()
