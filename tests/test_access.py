"""Why a request is allowed or refused: `dhow access explain`, and the admin API behind it."""

import hashlib
import json
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from conftest import client_for
from dhow import Client
from test_policies import statement
from test_roles import trust
from test_sessions import Session, sts_for
from test_users import Person, allow, code, deny, document, iam_for

ALLOWED, REFUSED, UNKNOWN = 0, 3, 4


@pytest.fixture(scope="module")
def acme(cloud):
    return Acme(cloud, "why-acme")


class Acme:
    def __init__(self, cloud, name):
        self.cloud, self.name = cloud, name
        self.id = cloud.cli_json("account", "create", name, "--json")["id"]
        self.pair = self.key()
        self.s3, self.iam = client_for(cloud, *self.pair), iam_for(cloud, *self.pair)
        self.bucket = f"{name}-data"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_object(Bucket=self.bucket, Key="a/1", Body=b"x")

    def key(self, *args):
        made = self.cloud.cli_json("key", "create", "--account", self.id, "--json", *args)
        return made["access_key"], made["secret_key"]

    def explain(self, *args, action="s3:GetObject", key="a/1", resource=None, account=None):
        """(exit status, what is told)."""
        resource = resource or f"arn:aws:s3:::{self.bucket}" + (f"/{key}" if key else "")
        done = self.cloud.cli(
            "access", "explain", "--account", account or self.name, "--action", action,
            "--resource", resource, "--json", *args, check=False)
        assert done.returncode in (ALLOWED, REFUSED, UNKNOWN), done.stderr
        told = json.loads(done.stdout)
        verdicts = {ALLOWED: "allowed", REFUSED: "refused", UNKNOWN: "unknown"}
        assert told["verdict"] == verdicts[done.returncode]
        return done.returncode, told

    def policy(self, *statements):
        text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=text)


def says(told, what, action=0):
    found = [*told["checks"], *told["actions"][action]["documents"]]
    return {check["what"]: check["says"] for check in found}.get(what)


def test_the_verdict_is_what_a_request_gets(cloud, acme):
    """Whatever is explained is tried as well."""
    person = Person(cloud, acme.iam)
    bucket, who = acme.bucket, ["--user", person.name]
    arn = f"arn:aws:iam::{acme.id}:user/{person.name}"
    own = lambda *s: person.put(document(*s))
    all_of = f"arn:aws:s3:::{bucket}/*"
    grant = statement(bucket, "*", "s3:GetObject", Sid="Anna",
                      Condition={"ArnEquals": {"aws:PrincipalArn": arn}})
    account = statement(bucket, {"AWS": acme.id}, "s3:GetObject")
    ban = statement(bucket, "*", "s3:GetObject", "/a/*", effect="Deny", Sid="Ban")
    cases = [
        ((), (), REFUSED, "the user has no policy"),
        ((allow("s3:GetObject", all_of),), (), ALLOWED, "statement 1 of the policy own of the user"),
        ((allow("s3:PutObject"), {**allow("s3:Get*"), "Sid": "Reads"}), (), ALLOWED,
         "statement 2 (Reads) of the policy own"),
        ((allow("s3:GetObject", all_of),), (ban,), REFUSED,
         f"statement 1 (Ban) of the policy of the bucket {bucket} denies it"),
        ((allow("s3:*"), deny("s3:GetObject")), (), REFUSED, "statement 2 of the policy own"),
        ((), (grant,), ALLOWED, f"statement 1 (Anna) of the policy of the bucket {bucket}"),
        ((), (account,), REFUSED, "no policy"),
        ((allow("s3:GetObject", "arn:aws:s3:::other/*"),), (), REFUSED, "no policy of the user"),
    ]
    for identity, of_bucket, status, reason in cases:
        if identity:
            own(*identity)
        else:
            for name in acme.iam.list_user_policies(UserName=person.name)["PolicyNames"]:
                acme.iam.delete_user_policy(UserName=person.name, PolicyName=name)
        if of_bucket:
            acme.policy(*of_bucket)
        else:
            acme.s3.delete_bucket_policy(Bucket=bucket)
        found, told = acme.explain(*who)
        assert (found, told["principal"]) == (status, arn), told
        assert reason in told["reason"], told
        try:
            person.s3.get_object(Bucket=bucket, Key="a/1")
            tried = ALLOWED
        except person.s3.exceptions.ClientError:
            tried = REFUSED
        assert tried == status, told
    acme.s3.delete_bucket_policy(Bucket=bucket)


def test_each_document_is_shown_with_each_statement(cloud, acme):
    person = Person(cloud, acme.iam, document(
        {**allow("s3:ListBucket"), "Sid": "List"}, {**allow("s3:GetObject"), "Sid": "Get"}))
    managed = acme.iam.create_policy(
        PolicyName="why-managed", PolicyDocument=document(deny("s3:DeleteObject")))["Policy"]["Arn"]
    bound = acme.iam.create_policy(
        PolicyName="why-bound", PolicyDocument=document(allow("s3:ListBucket")))["Policy"]["Arn"]
    acme.iam.create_group(GroupName="why-group")
    acme.iam.put_group_policy(GroupName="why-group", PolicyName="of-group",
                              PolicyDocument=document(allow("s3:PutObject")))
    acme.iam.add_user_to_group(GroupName="why-group", UserName=person.name)
    acme.iam.attach_user_policy(UserName=person.name, PolicyArn=managed)
    acme.iam.put_user_permissions_boundary(UserName=person.name, PermissionsBoundary=bound)
    status, told = acme.explain("--user", person.name)
    assert status == REFUSED and "boundary" in told["reason"]
    documents = {d["what"]: d for d in told["actions"][0]["documents"]}
    group = f"arn:aws:iam::{acme.id}:group/why-group"
    assert {what: d["says"] for what, d in documents.items()} == {
        "policy own of the user": "allows", f"policy {managed}": "nothing",
        f"policy {group}/of-group": "nothing", f"boundary {bound}": "nothing",
        "policy of the bucket": "none"}
    statements = documents["policy own of the user"]["statements"]
    assert [(s["sid"], s["effect"], s["applies"]) for s in statements] == [
        ("List", "Allow", False), ("Get", "Allow", True)]
    assert statements[0]["why"] == "it is about other actions"
    # For people it is a table.
    shown = cloud.cli("access", "explain", "--account", acme.name, "--user", person.name,
                      "--action", "s3:GetObject", "--resource",
                      f"arn:aws:s3:::{acme.bucket}/a/1", check=False)
    assert shown.returncode == REFUSED
    lines = shown.stdout.splitlines()
    assert lines[0] == f"REFUSED  s3:GetObject on arn:aws:s3:::{acme.bucket}/a/1"
    assert any(line.split()[:3] == ["2", "Allow", "Get"] for line in lines)


def test_conditions_take_the_values_that_are_given(cloud, acme):
    person = Person(cloud, acme.iam, document(allow("s3:GetObject", Condition={
        "IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})))
    who = ["--user", person.name]
    status, told = acme.explain(*who)
    assert status == REFUSED and told["missing"] == ["aws:SourceIp"]
    why = told["actions"][0]["documents"][0]["statements"][0]["why"]
    assert why == "IpAddress aws:SourceIp: the request has no value there"
    assert acme.explain(*who, "--context", "aws:SourceIp=203.0.113.9")[0] == ALLOWED
    status, told = acme.explain(*who, "--context", "aws:SourceIp=198.51.100.1")
    assert status == REFUSED and "198.51.100.1" in json.dumps(told)
    for bad in ("aws:SourceIp=here", "aws:username=root", "s3:none=1", "x"):
        done = cloud.cli("access", "explain", "--account", acme.name, *who, "--action",
                         "s3:GetObject", "--resource", f"arn:aws:s3:::{acme.bucket}/k",
                         "--context", bad, check=False)
        assert done.returncode == 1, bad
    # What depends on tags that nobody gave is not known.
    person.put(document(allow("s3:GetObject", Condition={
        "StringEquals": {"s3:ExistingObjectTag/team": "red"}})))
    assert acme.explain(*who)[0] == UNKNOWN
    assert acme.explain(*who, "--context", "s3:ExistingObjectTag/team=red")[0] == ALLOWED
    assert acme.explain(*who, "--context", "s3:ExistingObjectTag/team=blue")[0] == REFUSED


def test_gates_before_policies(cloud):
    acme = Acme(cloud, "why-gates")
    person = Person(cloud, acme.iam, document(allow("s3:*")))
    key = ["--access-key", person.pair[0]]
    status, told = acme.explain(*key)
    assert status == ALLOWED and says(told, "access key") == "passes"
    acme.iam.update_access_key(UserName=person.name, AccessKeyId=person.pair[0], Status="Inactive")
    status, told = acme.explain(*key)
    assert status == REFUSED and "disabled" in told["reason"]
    # The user may do it, with another key.
    status, told = acme.explain("--user", person.name)
    assert status == ALLOWED and "disabled" in json.dumps(told["checks"])
    cloud.cli("account", "suspend", acme.id)
    status, told = acme.explain("--user", person.name)
    assert status == REFUSED and "suspended" in told["reason"]
    assert acme.explain()[0] == REFUSED
    cloud.cli("account", "resume", acme.id)
    assert acme.explain()[0] == ALLOWED


def test_sessions_of_roles_are_explained_as_they_are_decided(cloud, acme, tmp_path):
    role = "why-role"
    acme.iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust(acme.id))
    person = Person(cloud, acme.iam, document(allow("sts:AssumeRole")))
    narrow = document(allow("s3:GetObject", f"arn:aws:s3:::{acme.bucket}/a/*"))
    (tmp_path / "narrow.json").write_text(narrow)
    sts = sts_for(cloud, *person.pair)

    def compare(key, policy=None):
        more = {"Policy": policy} if policy else {}
        made = Session(cloud, sts.assume_role(
            RoleArn=f"arn:aws:iam::{acme.id}:role/{role}", RoleSessionName="why", **more))
        args = ["--session-policy", str(tmp_path / "narrow.json")] if policy else []
        status, told = acme.explain("--role", role, *args, key=key)
        try:
            made.s3.get_object(Bucket=acme.bucket, Key=key)
            tried = ALLOWED
        except ClientError as error:
            tried = REFUSED if error.response["Error"]["Code"] == "AccessDenied" else ALLOWED
        assert status == tried, (key, policy, told)
        return told

    told = compare("a/1")
    assert (told["reason"], told["verdict"]) == ("the role has no policy", "refused")
    assert told["principal"] == f"arn:aws:sts::{acme.id}:assumed-role/{role}/explained"
    acme.iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=document(
        allow(["s3:GetObject", "s3:ListBucket"])))
    told = compare("a/1")
    assert says(told, "policy own of the role") == "allows"
    assert says(told, "session policy") == "none"
    assert says(compare("a/1", narrow), "session policy 1") == "allows"
    told = compare("b/1", narrow)
    assert (told["verdict"], says(told, "session policy 1")) == ("refused", "nothing")
    # What else it could be is said.
    for args in (["--user", person.name, "--role", role], ["--role", "not-there"],
                 ["--session-policy", str(tmp_path / "narrow.json")]):
        done = cloud.cli("access", "explain", "--account", acme.name, "--action", "s3:GetObject",
                         "--resource", "*", *args, check=False)
        assert done.returncode not in (ALLOWED, REFUSED, UNKNOWN), args


def hint(told, what):
    return [check["why"] for check in told["checks"] if check["what"] == what]


def test_who_may_change_its_own_rights_is_called_an_administrator(cloud, acme, tmp_path):
    person = Person(cloud, acme.iam, document(allow("s3:GetObject")))
    arn = f"arn:aws:iam::{acme.id}:user/{person.name}"
    told = lambda *more: acme.explain("--user", person.name, *more)[1]
    assert hint(told(), "administrator") == []
    itself = "arn:aws:iam::*:user/${aws:username}"
    for rights in (allow("*"), allow("iam:PutUserPolicy", itself), allow("iam:Attach*", itself)):
        person.put(document(rights))
        why, = hint(told(), "administrator")
        assert arn in why and "it may do everything" in why
    # Others' rights are not its own, and what is denied is not allowed.
    for rights in ([allow("iam:*", "arn:aws:iam::*:user/else")], [allow("*"), deny("iam:*")],
                   [allow(["iam:Get*", "iam:CreateUser"])]):
        person.put(document(*rights))
        assert hint(told(), "administrator") == []
    # By a group, and by a managed policy that it may write anew.
    acme.iam.create_group(GroupName="hinted")
    acme.iam.add_user_to_group(GroupName="hinted", UserName=person.name)
    person.put(document(allow("iam:PutGroupPolicy", "arn:aws:iam::*:group/hinted")))
    assert "group/hinted" in hint(told(), "administrator")[0]
    policy = acme.iam.create_policy(
        PolicyName="hinted", PolicyDocument=document(allow("s3:*")))["Policy"]["Arn"]
    acme.iam.attach_user_policy(UserName=person.name, PolicyArn=policy)
    person.put(document(allow("iam:CreatePolicyVersion", policy)))
    assert policy in hint(told(), "administrator")[0]
    # A boundary holds for whatever it gives itself.
    acme.iam.put_user_permissions_boundary(
        UserName=person.name, PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess")
    assert "all that its boundary" in hint(told(), "administrator")[0]
    acme.iam.put_user_permissions_boundary(
        UserName=person.name, PermissionsBoundary="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    assert hint(told(), "administrator") == []
    # A role, and a session of it that is narrowed.
    acme.iam.create_role(RoleName="hinted", AssumeRolePolicyDocument=trust(acme.id))
    acme.iam.put_role_policy(
        RoleName="hinted", PolicyName="own", PolicyDocument=document(allow("*")))
    assert hint(acme.explain("--role", "hinted")[1], "administrator")
    narrow = tmp_path / "narrow.json"
    narrow.write_text(document(allow("s3:*")))
    told = acme.explain("--role", "hinted", "--session-policy", str(narrow))[1]
    assert hint(told, "administrator") == []


def test_a_trust_policy_that_lets_in_all_of_a_provider_is_pointed_out(acme):
    provider = f"arn:aws:iam::{acme.id}:oidc-provider/id.example.com"

    def told(**conditions):
        text = {"Effect": "Allow", "Principal": {"Federated": provider},
                "Action": "sts:AssumeRoleWithWebIdentity"}
        if conditions:
            text["Condition"] = {"StringEquals": {
                f"id.example.com:{name}": value for name, value in conditions.items()}}
        acme.iam.update_assume_role_policy(RoleName="trusting", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": text}))
        return hint(acme.explain("--role", "trusting")[1], "trust policy")
    acme.iam.create_role(RoleName="trusting", AssumeRolePolicyDocument=trust(acme.id))
    assert hint(acme.explain("--role", "trusting")[1], "trust policy") == []
    for open_ in (told(), told(aud="dhow")):
        assert len(open_) == 1 and "no condition on id.example.com:sub" in open_[0]
    assert told(aud="dhow", sub="anna") == []


def test_the_account_itself_and_the_public(acme):
    status, told = acme.explain()
    assert status == ALLOWED and told["principal"] == f"arn:aws:iam::{acme.id}:root"
    status, told = acme.explain("--anonymous")
    assert status == REFUSED and told["principal"] is None
    acme.s3.delete_public_access_block(Bucket=acme.bucket)
    acme.policy(statement(acme.bucket, "*", "s3:GetObject", "/a/*"))
    assert acme.explain("--anonymous")[0] == ALLOWED
    assert acme.explain("--anonymous", key="b/1")[0] == REFUSED
    acme.s3.put_public_access_block(Bucket=acme.bucket, PublicAccessBlockConfiguration={
        "BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True})
    status, told = acme.explain("--anonymous")
    assert status == REFUSED and says(told, "public access block") == "refuses"
    acme.s3.delete_bucket_policy(Bucket=acme.bucket)


def test_actions_on_no_bucket(cloud, acme):
    person = Person(cloud, acme.iam, document(
        allow("s3:CreateBucket", "arn:aws:s3:::why-new-*"), allow("s3:ListAllMyBuckets"),
        allow("iam:GetUser", f"arn:aws:iam::{acme.id}:user/team/*")))
    who = ["--user", person.name]
    assert acme.explain(*who, action="s3:ListAllMyBuckets", resource="*")[0] == ALLOWED
    new = lambda name: acme.explain(
        *who, action="s3:CreateBucket", resource=f"arn:aws:s3:::{name}")[0]
    assert (new("why-new-1"), new("why-other")) == (ALLOWED, REFUSED)
    get = lambda path: acme.explain(
        *who, action="iam:GetUser", resource=f"arn:aws:iam::{acme.id}:user{path}")[0]
    assert (get("/team/x"), get("/x")) == (ALLOWED, REFUSED)
    for action, resource in (("s3:Nothing", "*"), ("s3:GetObject", "arn:aws:s3:::b"),
                             ("s3:ListBucket", "arn:aws:s3:::b/k")):
        done = cloud.cli("access", "explain", "--account", acme.name, "--action", action,
                         "--resource", resource, check=False)
        assert done.returncode == 1, action


def test_what_other_accounts_say_is_not_shown(cloud, acme):
    """Neither their policies, nor whether a bucket is theirs or there at all."""
    other = Acme(cloud, "why-other-acme")
    bucket = f"arn:aws:s3:::{other.bucket}/a/1"
    person = Person(cloud, acme.iam, document(allow("s3:GetObject")))
    other.policy({"Sid": "Hidden", **statement(other.bucket, {"AWS": acme.id}, "s3:GetObject")})
    admin = acme.key("--admin")

    def ask(resource, user=None, account=acme.id):
        host = urllib.parse.urlsplit(cloud.info["admin"]).netloc
        client = Client(host, cloud.region, *admin)
        body = {"action": "s3:GetObject", "resource": resource}
        data = json.dumps({**body, **({"user": user} if user else {})}).encode()
        path = f"/-/admin/v1/accounts/{account}/explain"
        signed = client.headers("POST", path, payload=hashlib.sha256(data).hexdigest())
        client.connection.request("POST", path, data, signed)
        answer = client.connection.getresponse()
        return answer.status, json.loads(answer.read())

    status, told = ask(bucket, person.name)
    assert (status, told["verdict"]) == (200, "unknown")
    assert "Hidden" not in json.dumps(told) and other.id not in json.dumps(told)
    missing = ask("arn:aws:s3:::why-not-there/a/1", person.name)[1]
    same = lambda told: json.dumps(told).replace(other.bucket, "B").replace("why-not-there", "B")
    assert same(told) == same(missing)
    # Its own side is shown.
    person.put(document(deny("s3:GetObject")))
    status, told = ask(bucket, person.name)
    assert told["verdict"] == "refused" and "policy own of the user denies" in told["reason"]
    # Whose bucket it is does not come out by a policy that asks for it.
    person.put(document(allow("s3:GetObject", Condition={
        "StringEquals": {"s3:ResourceAccount": other.id}})))
    told, missing = ask(bucket, person.name)[1], ask("arn:aws:s3:::why-not-there/a/1", person.name)[1]
    assert told["verdict"] == "unknown" and same(told) == same(missing)
    # Nobody asks about another account, nor about its users and keys.
    status, told = ask(bucket, account=other.id)
    assert status == 403 and told["error"].startswith("access denied: the role")
    assert ask(bucket, user="nobody")[0] == 404
    done = cloud.cli("access", "explain", "--account", acme.name, "--access-key", other.pair[0],
                     "--action", "s3:GetObject", "--resource", bucket, check=False)
    assert done.returncode == 1 and "no access key" in done.stderr


def test_a_new_bucket_is_made_where_a_policy_says_so(cloud, acme):
    """Also where the client names no region: the bucket's home counts."""
    person = Person(cloud, acme.iam, document(allow("s3:CreateBucket"), deny(
        "s3:CreateBucket", Condition={"StringEquals": {"s3:LocationConstraint": cloud.region}})))
    assert code(person.s3.create_bucket, Bucket="why-located") == "AccessDenied"
    assert code(acme.s3.head_bucket, Bucket="why-located") == "404"
    person.put(document(allow("s3:CreateBucket", Condition={
        "StringEquals": {"s3:LocationConstraint": "elsewhere-1"}})))
    assert code(person.s3.create_bucket, Bucket="why-located") == "AccessDenied"
    person.put(document(allow("s3:CreateBucket", Condition={
        "StringEquals": {"s3:LocationConstraint": cloud.region}})))
    person.s3.create_bucket(Bucket="why-located")


def test_a_bucket_with_tags_is_made_with_the_right_to_tag_or_not_at_all(cloud, acme):
    person = Person(cloud, acme.iam, document(allow("s3:CreateBucket")))
    tagged = {"Tags": [{"Key": "team", "Value": "red"}]}
    make = lambda: person.s3.create_bucket(
        Bucket="why-tagged", CreateBucketConfiguration=tagged)
    assert code(make) == "AccessDenied"
    assert code(acme.s3.head_bucket, Bucket="why-tagged") == "404"
    person.put(document(allow(["s3:CreateBucket", "s3:PutBucketTagging"], Condition={
        "StringEquals": {"aws:RequestTag/team": "blue"}})))
    assert code(make) == "AccessDenied"
    assert code(acme.s3.head_bucket, Bucket="why-tagged") == "404"
    person.put(document(allow(["s3:CreateBucket", "s3:PutBucketTagging"], Condition={
        "StringEquals": {"aws:RequestTag/team": "red"}})))
    make()
    assert acme.s3.get_bucket_tagging(Bucket="why-tagged")["TagSet"] == tagged["Tags"]


def test_who_may_only_write_learns_no_etags(cloud, acme):
    """A condition on an ETag tells something of the object: so it takes the right to read it."""
    etag = acme.s3.put_object(Bucket=acme.bucket, Key="secret", Body=b"known text")["ETag"]
    person = Person(cloud, acme.iam, document(allow(["s3:PutObject", "s3:DeleteObject"])))
    s3, of = person.s3, {"Bucket": acme.bucket, "Key": "secret"}
    for guess in (etag, '"0123456789abcdef0123456789abcdef"', f"{etag}, *"):
        assert code(s3.put_object, **of, Body=b"x", IfMatch=guess) == "AccessDenied"
        assert code(s3.delete_object, **of, IfMatch=guess) == "AccessDenied"
        assert code(s3.copy_object, **of, CopySource=f"{acme.bucket}/a/1",
                    IfMatch=guess) == "AccessDenied"
        answer = s3.delete_objects(Bucket=acme.bucket, Delete={
            "Objects": [{"Key": "secret", "ETag": guess}]})
        assert [e["Code"] for e in answer["Errors"]] == ["AccessDenied"]
    upload = s3.create_multipart_upload(**of)["UploadId"]
    part = s3.upload_part(**of, UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert code(s3.complete_multipart_upload, **of, UploadId=upload, MultipartUpload=parts,
                IfMatch=etag) == "AccessDenied"
    assert acme.s3.get_object(**of)["Body"].read() == b"known text"
    # That there is an object is for those who may write it.
    assert code(s3.put_object, **of, Body=b"x", IfNoneMatch="*") == "PreconditionFailed"
    s3.put_object(**of, Body=b"x", IfMatch="*")
    person.put(document(allow(["s3:PutObject", "s3:GetObject"])))
    assert code(s3.put_object, **of, Body=b"y", IfMatch=etag) == "PreconditionFailed"
    s3.put_object(**of, Body=b"y", IfMatch=s3.head_object(**of)["ETag"])


def test_a_refusal_of_iam_does_not_say_where_somebody_is(cloud, acme):
    acme.iam.create_user(UserName="why-hidden", Path="/board/secret/")
    acme.iam.create_group(GroupName="why-hidden-group", Path="/board/secret/")
    person = Person(cloud, acme.iam, document(
        allow("iam:*", f"arn:aws:iam::{acme.id}:user/else/*"),
        deny("iam:*", f"arn:aws:iam::{acme.id}:*/board/*")))

    def why(call, **named):
        with pytest.raises(person.iam.exceptions.ClientError) as refused:
            call(**named)
        error = refused.value.response["Error"]
        assert error["Code"] == "AccessDenied"
        return error["Message"].replace("why-nobody", "why-hidden")

    iam = person.iam
    told = why(iam.get_user, UserName="why-hidden")
    assert told == why(iam.get_user, UserName="why-nobody")
    assert "board" not in told and "on resource: user why-hidden because no identity" in told
    told = why(iam.get_group, GroupName="why-hidden-group")
    assert told == why(iam.get_group, GroupName="why-nobody-group") and "board" not in told


def test_simulations_compare_no_more_than_an_account_may(cloud, acme):
    hasty = Acme(cloud, "why-hasty")
    costly = [document(allow("s3:GetObject", "arn:aws:s3:::b/*" + "a" * 400 + f"b{n}"))
              for n in range(50)]
    asked = {"ActionNames": ["s3:GetObject"] * 10, "PolicyInputList": costly,
             "ResourceArns": [f"arn:aws:s3:::b/{'a' * 900}{n}" for n in range(25)]}
    assert code(hasty.iam.simulate_custom_policy, **asked) == "ValidationError"
    # More at once than its share has room for, however fast the machine is.
    with ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(code, hasty.iam.simulate_custom_policy, **asked) for _ in range(32)]
        found = {one.result() for one in asking}
    assert found == {"ValidationError", "Throttling"}
    # What others simulate is not counted with it.
    found = acme.iam.simulate_custom_policy(
        ActionNames=["s3:GetObject"], ResourceArns=["arn:aws:s3:::b/k"],
        PolicyInputList=[document(allow("s3:GetObject", "arn:aws:s3:::b/*"))])
    assert found["EvaluationResults"][0]["EvalDecision"] == "allowed"


def test_who_simulates_as_another_needs_the_right_on_that_one(cloud, acme):
    acme.iam.create_user(UserName="sim-other", Tags=[{"Key": "secret", "Value": "blue"}])
    person = Person(cloud, acme.iam)
    own = f"arn:aws:iam::{acme.id}:user/{person.name}"
    person.put(document(allow("iam:SimulatePrincipalPolicy", own)))
    asks = {"PolicySourceArn": own, "ActionNames": ["s3:GetObject"]}
    assert person.iam.simulate_principal_policy(**asks)["EvaluationResults"]
    for name in ("sim-other", "sim-nobody"):
        asked = person.iam.simulate_principal_policy
        named = f"arn:aws:iam::{acme.id}:user/{name}"
        assert code(asked, **asks, CallerArn=named) == "AccessDenied"


def test_policies_are_simulated_as_requests_are_decided(cloud, acme):
    person = Person(cloud, acme.iam, document(
        {**allow("s3:GetObject", "arn:aws:s3:::sim/*"), "Sid": "Get"},
        deny("s3:GetObject", "arn:aws:s3:::sim/secret/*"),
        allow("s3:ListBucket", Condition={"StringLike": {"s3:prefix": "${aws:username}/*"}})))
    arn = f"arn:aws:iam::{acme.id}:user/{person.name}"

    def simulate(action, resource, context=(), call=None, **more):
        entries = [{"ContextKeyName": k, "ContextKeyType": "string", "ContextKeyValues": [v]}
                   for k, v in context]
        call = call or acme.iam.simulate_principal_policy
        if call == acme.iam.simulate_principal_policy:
            more.setdefault("PolicySourceArn", arn)
        found = call(ActionNames=[action], ResourceArns=[resource], ContextEntries=entries, **more)
        (result,) = found["EvaluationResults"]
        return result["EvalDecision"], result

    decision, result = simulate("s3:GetObject", "arn:aws:s3:::sim/a")
    assert decision == "allowed" and result["EvalActionName"] == "s3:GetObject"
    (matched,) = result["MatchedStatements"]
    assert matched["SourcePolicyId"] == "own" and matched["SourcePolicyType"] == "user"
    assert matched["StartPosition"]["Line"] == 1
    assert matched["StartPosition"]["Column"] < matched["EndPosition"]["Column"]
    assert simulate("s3:GetObject", "arn:aws:s3:::sim/secret/a")[0] == "explicitDeny"
    assert simulate("s3:PutObject", "arn:aws:s3:::sim/a")[0] == "implicitDeny"
    decision, result = simulate("s3:ListBucket", "arn:aws:s3:::sim")
    assert (decision, result["MissingContextValues"]) == ("implicitDeny", ["s3:prefix"])
    own = [("s3:prefix", f"{person.name}/x")]
    assert simulate("s3:ListBucket", "arn:aws:s3:::sim", own)[0] == "allowed"
    assert simulate("s3:ListBucket", "arn:aws:s3:::sim", [("s3:prefix", "x/")])[0] == "implicitDeny"
    # A boundary, and a bucket's policy, may be tried beside.
    bound = document(allow("s3:ListBucket"))
    decision, result = simulate("s3:GetObject", "arn:aws:s3:::sim/a",
                                PermissionsBoundaryPolicyInputList=[bound])
    assert decision == "implicitDeny"
    assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    closed = json.dumps({"Version": "2012-10-17", "Statement": [
        statement("sim", "*", "s3:GetObject", effect="Deny")]})
    decision, result = simulate("s3:GetObject", "arn:aws:s3:::sim/a", ResourcePolicy=closed)
    assert decision == "explicitDeny"
    assert result["MatchedStatements"][0]["SourcePolicyId"] == "ResourcePolicy"
    # Texts alone.
    custom = lambda resource, text: simulate(
        "s3:GetObject", resource, call=acme.iam.simulate_custom_policy, PolicyInputList=[text])[0]
    text = document(allow("s3:Get*", "arn:aws:s3:::sim/*"))
    assert custom("arn:aws:s3:::sim/k", text) == "allowed"
    assert custom("arn:aws:s3:::other/k", text) == "implicitDeny"
    keys = acme.iam.get_context_keys_for_principal_policy(PolicySourceArn=arn)
    assert keys["ContextKeyNames"] == ["aws:username", "s3:prefix"]
    keys = acme.iam.get_context_keys_for_custom_policy(PolicyInputList=[text])
    assert keys["ContextKeyNames"] == []
    acme.iam.create_group(GroupName="sim-group")
    acme.iam.put_group_policy(GroupName="sim-group", PolicyName="g", PolicyDocument=text)
    group = f"arn:aws:iam::{acme.id}:group/sim-group"
    assert simulate("s3:GetObject", "arn:aws:s3:::sim/a", PolicySourceArn=group)[0] == "allowed"
    # Of a role, as a session of it would be decided.
    trust = document({"Effect": "Allow", "Principal": {"AWS": acme.id}, "Action": "sts:AssumeRole"})
    acme.iam.create_role(RoleName="sim-role", AssumeRolePolicyDocument=trust)
    acme.iam.put_role_policy(RoleName="sim-role", PolicyName="r", PolicyDocument=text)
    role = f"arn:aws:iam::{acme.id}:role/sim-role"
    decision, result = simulate("s3:GetObject", "arn:aws:s3:::sim/a", PolicySourceArn=role)
    assert decision == "allowed"
    assert result["MatchedStatements"][0]["SourcePolicyType"] == "role"
    assert simulate("s3:PutObject", "arn:aws:s3:::sim/a", PolicySourceArn=role)[0] == "implicitDeny"
    closed = json.dumps({"Version": "2012-10-17", "Statement": [
        {**statement("sim", "*", "s3:GetObject", effect="Deny"), "Principal": {"AWS": role}}]})
    assert simulate("s3:GetObject", "arn:aws:s3:::sim/a", PolicySourceArn=role,
                    ResourcePolicy=closed)[0] == "explicitDeny"
    assert simulate("s3:GetObject", "arn:aws:s3:::sim/secret/a",
                    ResourcePolicy=closed)[0] == "explicitDeny"
    assert code(acme.iam.simulate_principal_policy, ActionNames=["s3:GetObject"],
                PolicySourceArn=role + "-none") == "NoSuchEntity"
    # Who may simulate is decided as everything else; other accounts' users are not there.
    assert code(person.iam.simulate_principal_policy, PolicySourceArn=arn,
                ActionNames=["s3:GetObject"]) == "AccessDenied"
    assert code(person.iam.simulate_custom_policy, PolicyInputList=[text],
                ActionNames=["s3:GetObject"]) == "AccessDenied"
    assert code(acme.iam.simulate_principal_policy, ActionNames=["s3:GetObject"],
                PolicySourceArn="arn:aws:iam::000000000001:user/x") == "NoSuchEntity"
    assert code(acme.iam.simulate_custom_policy, PolicyInputList=["{"],
                ActionNames=["s3:GetObject"]) == "ValidationError"
    assert code(acme.iam.simulate_custom_policy, PolicyInputList=[text],
                ActionNames=["s3:GetObject"] * 20, ResourceArns=["*"] * 20) == "ValidationError"


def test_a_simulation_says_what_the_request_gets(cloud, acme):
    """For each of many policies, the same as the request that is sent."""
    person = Person(cloud, acme.iam)
    arn = f"arn:aws:iam::{acme.id}:user/{person.name}"
    here = f"arn:aws:s3:::{acme.bucket}/a/1"
    texts = [document(*s) for s in [
        (allow("s3:*"),), (allow("s3:Get*", f"arn:aws:s3:::{acme.bucket}/a/*"),),
        (allow("s3:*"), deny("s3:Get*", here)), (allow("s3:GetObjec"),),
        ({"Effect": "Allow", "NotAction": "s3:Put*", "Resource": "*"},),
        ({"Effect": "Allow", "Action": "s3:*", "NotResource": here},),
        (allow("s3:GetObject", Condition={"StringNotEquals": {"aws:username": person.name}}),),
        (allow("s3:GetObject", Condition={"StringEquals": {"aws:username": person.name}}),),
    ]]
    for text in texts:
        person.put(text)
        found = acme.iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=["s3:GetObject"], ResourceArns=[here])
        said = found["EvaluationResults"][0]["EvalDecision"] == "allowed"
        try:
            person.s3.get_object(Bucket=acme.bucket, Key="a/1")
            done = True
        except person.s3.exceptions.ClientError:
            done = False
        explained = acme.explain("--user", person.name)[0] == ALLOWED
        assert said == done == explained, text
