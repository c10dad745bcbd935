"""AssumeRoleWithWebIdentity, with a certified provider of OpenID Connect (npm's oidc-provider) where
people sign in, and with tokens that somebody forges. Each refusal here is one that some other
server once missed."""

import base64
import http.client
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from dhow import ROOT, Dhow
from issuers import Issuers, parts
from test_sessions import AWS, Account, Session, code
from test_users import allow, deny, document

INVALID = "InvalidIdentityToken"
BUCKET = "web-identity-papers"


@pytest.fixture(scope="module")
def issuers():
    made = Issuers()
    yield made
    made.close()


@pytest.fixture(scope="module")
def issuer(issuers):
    return issuers.start()


@pytest.fixture(scope="module")
def other(issuers):
    """Another provider of the same account."""
    return issuers.start()


@pytest.fixture(scope="module")
def changing(issuers):
    """One whose keys and answers change."""
    return [issuers.start() for _ in range(10)]


@pytest.fixture(scope="module")
def web(issuer, other, changing):
    """A cloud whose operator allows these providers."""
    allowed = [part for one in (issuer, other, *changing) for part in ("--oidc-allow", one.url)]
    data = Path(tempfile.mkdtemp(prefix="dhow-web-"))
    server = Dhow(data, args=["--log-level", "debug", *allowed])
    server.start()
    yield server
    assert server.stop() == 0
    assert "panicked" not in server.log_text()


@pytest.fixture(scope="module")
def acme(web, issuer, other):
    account = Account(web, "web-identity")
    account.s3.create_bucket(Bucket=BUCKET)
    for key in ("anna/1", "bob/1"):
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    account.provider = provide(account, issuer)
    provide(account, other)
    return account


def provide(account, issuer, clients=("dhow", "dhow-es"), **more):
    made = account.iam.create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=list(clients), **more)
    return made["OpenIDConnectProviderArn"]


def trusts(account, issuer, **conditions):
    """A trust policy for a provider; `sub="x"` is what the token must say."""
    statement = {
        "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": account.arn("oidc-provider", issuer.place)},
    }
    if conditions:
        keys = {f"{issuer.place}:{name}": value for name, value in conditions.items()}
        statement["Condition"] = {"StringEquals": keys}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def unsigned(cloud):
    return boto3.client(
        "sts", endpoint_url=f"{cloud.endpoint}/-/sts", region_name=cloud.region,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}))


def assume(account, role, token, **more):
    more.setdefault("RoleSessionName", "web")
    return unsigned(account.cloud).assume_role_with_web_identity(
        RoleArn=account.arn("role", role), WebIdentityToken=token, **more)


def session(account, role, token, **more):
    return Session(account.cloud, assume(account, role, token, **more))


def read(made, key="anna/1"):
    return made.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


@pytest.fixture(scope="module")
def reader(acme, issuer):
    """A role for everybody of the provider, with what is for one of them."""
    return acme.role(allow("s3:GetObject", f"arn:aws:s3:::{BUCKET}/anna/*"),
                     trusts=trusts(acme, issuer))


# What a token gives.


@pytest.mark.parametrize("client", ["dhow", "dhow-es"])
def test_who_signed_in_has_the_role_and_nothing_else(web, acme, issuer, reader, client):
    token = issuer.sign_in("anna", client)
    head, claims = parts(token)
    assert head["alg"] == {"dhow": "RS256", "dhow-es": "ES256"}[client]
    made = session(acme, reader, token)
    answer = made.answer
    assert answer["SubjectFromWebIdentityToken"] == "anna" == claims["sub"]
    assert (answer["Audience"], answer["Provider"]) == (client, acme.provider)
    user = answer["AssumedRoleUser"]
    assert user["Arn"] == f"arn:aws:sts::{acme.id}:assumed-role/{reader}/web"
    assert made.sts.get_caller_identity()["Arn"] == user["Arn"]
    assert read(made) == b"anna/1"
    assert code(made.s3.get_object, Bucket=BUCKET, Key="bob/1") == "AccessDenied"
    assert code(made.s3.put_object, Bucket=BUCKET, Key="anna/2", Body=b"x") == "AccessDenied"
    assert code(made.s3.list_objects_v2, Bucket=BUCKET) == "AccessDenied"
    assert code(made.iam.list_users) == "AccessDenied"
    assert code(made.sts.get_session_token) == "AccessDenied"


def test_tools_get_sessions_by_themselves(web, acme, issuer, reader, tmp_path):
    (tmp_path / "token").write_text(issuer.sign_in("anna"))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": acme.arn("role", reader), "AWS_ROLE_SESSION_NAME": "by-itself",
        "AWS_ENDPOINT_URL_STS": f"{web.endpoint}/-/sts", "AWS_ENDPOINT_URL_S3": web.endpoint,
        "AWS_REGION": web.region, "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
    }
    aws = lambda *args: subprocess.run(
        [AWS, *args], env=environment, capture_output=True, text=True, timeout=120)
    got = aws("s3", "cp", f"s3://{BUCKET}/anna/1", "-")
    assert (got.returncode, got.stdout) == (0, "anna/1"), got.stderr
    refused = aws("s3api", "get-object", "--bucket", BUCKET, "--key", "bob/1", "/dev/null")
    assert refused.returncode != 0 and "AccessDenied" in refused.stderr
    # The same with boto3's own provider of credentials.
    program = (f"import boto3; s3 = boto3.client('s3'); "
               f"print(s3.get_object(Bucket='{BUCKET}', Key='anna/1')['Body'].read().decode())")
    python = str(Path(AWS).parent / "python")
    got = subprocess.run([python, "-c", program], env=environment, capture_output=True, text=True,
                         timeout=120)
    assert got.stdout == "anna/1\n", got.stderr


def test_a_session_policy_takes_away_and_gives_nothing(acme, issuer, reader):
    token = issuer.sign_in("anna")
    everything = session(acme, reader, token, Policy=document(allow("s3:*")))
    assert read(everything) == b"anna/1"
    assert code(everything.s3.get_object, Bucket=BUCKET, Key="bob/1") == "AccessDenied"
    nothing = session(acme, reader, token, Policy=document(allow("s3:PutObject")))
    assert code(nothing.s3.get_object, Bucket=BUCKET, Key="anna/1") == "AccessDenied"
    managed = acme.iam.create_policy(
        PolicyName="web-nothing", PolicyDocument=document(allow("s3:ListBucket")))["Policy"]["Arn"]
    by_arn = session(acme, reader, token, PolicyArns=[{"arn": managed}])
    assert code(by_arn.s3.get_object, Bucket=BUCKET, Key="anna/1") == "AccessDenied"
    assert code(assume, acme, reader, token, PolicyArns=[{"arn": managed + "x"}]) \
        == "ValidationError"


def test_a_session_lasts_as_long_as_was_asked_for(acme, issuer, reader):
    token = issuer.sign_in("anna")
    made = assume(acme, reader, token, DurationSeconds=900)["Credentials"]["Expiration"]
    assert 0 < made.timestamp() - time.time() <= 901
    assert code(assume, acme, reader, token, DurationSeconds=3601) == "ValidationError"
    assert code(assume, acme, reader, token, RoleSessionName="a b") == "ValidationError"


# Whom a role trusts.


def test_a_role_is_for_whom_its_trust_policy_names(acme, issuer, other):
    token, bob = issuer.sign_in("anna"), issuer.sign_in("bob")
    for conditions, lets in [
        ({"sub": "anna"}, True), ({"sub": "anna", "aud": "dhow"}, True), ({"sub": "bob"}, False),
        ({"aud": "dhow-es"}, False), ({"sub": "Anna"}, False), ({"amr": "pwd"}, False),
    ]:
        role = acme.role(trusts=trusts(acme, issuer, **conditions))
        if lets:
            assert assume(acme, role, token)["SubjectFromWebIdentityToken"] == "anna"
            continue
        assert code(assume, acme, role, token) == "AccessDenied", conditions
    only_anna = acme.role(trusts=trusts(acme, issuer, sub="anna"))
    assert code(assume, acme, only_anna, bob) == "AccessDenied"
    # Another provider of the same account says the same of itself.
    assert code(assume, acme, only_anna, other.sign_in("anna")) == "AccessDenied"
    # Roles that trust somebody else, and one that is not there, are told apart by nothing.
    plain = acme.role()
    everybody = json.dumps({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:*"}})
    stars = acme.role(trusts=everybody)
    for role in (plain, stars, "not-there"):
        assert code(assume, acme, role, token) == "AccessDenied", role
    denied = json.loads(trusts(acme, issuer))
    denied["Statement"] = [denied["Statement"], {
        **denied["Statement"], "Effect": "Deny",
        "Condition": {"StringEquals": {"sts:RoleSessionName": "evil"}}}]
    role = acme.role(trusts=json.dumps(denied))
    assert assume(acme, role, token, RoleSessionName="good")
    assert code(assume, acme, role, token, RoleSessionName="evil") == "AccessDenied"


def test_how_somebody_signed_in_can_be_asked_for(acme, issuer):
    role = acme.role(trusts=trusts(acme, issuer, amr="mfa"))
    assert assume(acme, role, issuer.forged(amr=["pwd", "mfa"]))
    assert code(assume, acme, role, issuer.forged(amr=["pwd"])) == "AccessDenied"


def test_policies_can_ask_which_provider_vouched(web, acme, issuer, other):
    role = acme.role(
        allow("s3:GetObject"),
        deny("s3:GetObject", Condition={"StringNotEquals": {"aws:FederatedProvider": acme.provider}}),
        trusts=json.dumps({"Version": "2012-10-17", "Statement": [
            json.loads(trusts(acme, one))["Statement"] for one in (issuer, other)]}))
    assert read(session(acme, role, issuer.sign_in("anna"))) == b"anna/1"
    denied = session(acme, role, other.sign_in("anna"))
    assert code(denied.s3.get_object, Bucket=BUCKET, Key="anna/1") == "AccessDenied"


def test_a_bucket_policy_can_name_a_provider(web, acme, issuer, other):
    roles = [acme.role(allow("s3:ListAllMyBuckets"), trusts=trusts(acme, one))
             for one in (issuer, other)]
    acme.s3.create_bucket(Bucket="web-identity-named")
    acme.s3.put_object(Bucket="web-identity-named", Key="k", Body=b"x")
    acme.s3.delete_public_access_block(Bucket="web-identity-named")
    acme.s3.put_bucket_policy(Bucket="web-identity-named", Policy=json.dumps({
        "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": {"Federated": acme.provider},
            "Action": "s3:GetObject", "Resource": "arn:aws:s3:::web-identity-named/*"}}))
    made = [session(acme, role, one.sign_in("anna"))
            for role, one in zip(roles, (issuer, other))]
    assert made[0].s3.get_object(Bucket="web-identity-named", Key="k")["Body"].read() == b"x"
    assert code(made[1].s3.get_object, Bucket="web-identity-named", Key="k") == "AccessDenied"


# Tokens that do not count.


def test_tokens_that_do_not_count_are_answered_alike(acme, issuer, other, reader):
    good = issuer.forged()
    assert assume(acme, reader, good)["SubjectFromWebIdentityToken"] == "anna"
    head, claims, signature = good.split(".")
    text = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    with_head = lambda **more: f"{text({**parts(good)[0], **more})}.{claims}.{signature}"
    now = int(time.time())
    bad = {
        "alg none": f"{text({'alg': 'none'})}.{claims}.",
        "alg none, with a kid": with_head(alg="none").rpartition(".")[0] + ".",
        "alg nOnE": f"{text({'alg': 'nOnE'})}.{claims}.",
        "no alg": f"{text({'kid': parts(good)[0]['kid']})}.{claims}.{signature}",
        "no signature": f"{head}.{claims}.",
        "HS256, the public key as the secret": issuer.forged({"alg": "HS256"}),
        "HS256, the public key in DER": issuer.forged({"alg": "HS256", "form": "der"}),
        "another algorithm of the key": with_head(alg="RS384"),
        "an algorithm of another key": with_head(alg="ES256"),
        "its key in the head": issuer.forged({"jwk": {"kty": "oct", "k": "AAAA"}}),
        "a place of keys in the head": issuer.forged({"jku": f"{other.url}/jwks"}),
        "critical extensions": with_head(crit=["exp"]),
        "other claims": f"{head}.{text({**parts(good)[1], 'sub': 'root'})}.{signature}",
        "another provider's key": issuer.forged(by=other),
        "another provider's key and its name": issuer.forged(
            {"kid": parts(other.forged())[0]["kid"]}, by=other),
        "an issuer that is not registered": issuer.forged(iss="https://id.example.com"),
        "an issuer in another case": issuer.forged(iss=issuer.url.upper()),
        "an issuer with a slash": issuer.forged(iss=issuer.url + "/"),
        "another audience": issuer.forged(aud="elsewhere"),
        "a longer audience": issuer.forged(aud="dhow2"),
        "an audience in another case": issuer.forged(aud="DHOW"),
        "audiences without ours": issuer.forged(aud=["elsewhere", "dho"]),
        "no audience": issuer.forged(aud=None),
        "no audiences": issuer.forged(aud=[]),
        "somebody else's party": issuer.forged(azp="elsewhere"),
        "for another, asked for by ours": issuer.forged(aud="elsewhere", azp="dhow"),
        "no expiry": issuer.forged(exp=None),
        "an expiry as text": issuer.forged(exp=str(now + 600)),
        "no time of issue": issuer.forged(iat=None),
        "issued tomorrow": issuer.forged(iat=now + 86400),
        "not yet": issuer.forged(nbf=now + 600),
        "no subject": issuer.forged(sub=None),
        "an empty subject": issuer.forged(sub=""),
        "nothing": "nothing at all", "dots": "....", "no JSON": "YQ.YQ.YQ",
    }
    answers = {}
    for name, token in bad.items():
        with pytest.raises(ClientError) as refused:
            assume(acme, reader, token)
        answers[name] = refused.value.response["Error"]
    assert {answer["Code"] for answer in answers.values()} == {INVALID}, answers
    assert len({answer["Message"] for answer in answers.values()}) == 1
    assert len(bad) >= 30


def test_a_token_of_the_other_client_is_not_taken(acme, issuer, reader):
    assert code(assume, acme, reader, issuer.sign_in("anna", "elsewhere")) == INVALID


def test_a_token_ends(acme, issuer, reader):
    now = int(time.time())
    assert code(assume, acme, reader, issuer.forged(iat=now - 900, exp=now - 300)) \
        == "ExpiredTokenException"
    # Clocks of providers are not quite ours.
    assert assume(acme, reader, issuer.forged(iat=now + 20, nbf=now + 20))
    # Who did not sign it does not learn that it has ended.
    forged = issuer.forged(iat=now - 900, exp=now - 300)[:-8] + "AAAAAAAA"
    assert code(assume, acme, reader, forged) == INVALID


def test_audiences_can_be_several(acme, issuer, reader):
    assert assume(acme, reader, issuer.forged(aud=["elsewhere", "dhow"]))["Audience"] == "dhow"
    assert assume(acme, reader, issuer.forged(aud=["dhow"], azp="dhow-es"))["Audience"] == "dhow-es"


def test_tags_in_a_token_are_not_ignored(acme, issuer, reader):
    """A policy that denies by tags would then deny nothing."""
    tags = {"https://aws.amazon.com/tags": {"principal_tags": {"team": ["red"]}}}
    assert code(assume, acme, reader, issuer.forged(**tags)) == "ValidationError"


def post(cloud, body, path="/-/sts", **headers):
    request = urllib.request.Request(
        cloud.endpoint + path, urllib.parse.urlencode(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_nothing_else_is_done_for_who_signs_nothing(web, acme, issuer, reader):
    token = issuer.forged()
    form = {"Version": "2011-06-15", "RoleArn": acme.arn("role", reader),
            "RoleSessionName": "web", "WebIdentityToken": token}
    assert post(web, {"Action": "AssumeRoleWithWebIdentity", **form})[0] == 200
    for action in ("AssumeRole", "AssumeRoleWithSAML", "GetSessionToken", "GetFederationToken",
                   "GetCallerIdentity", "DecodeAuthorizationMessage", "", "assumerolewithwebidentity"):
        status, text = post(web, {"Action": action, **form})
        assert (status, "MissingAuthenticationToken" in text) == (403, True), action
    # IAM has no such action, and what a token is it is in the form alone.
    assert post(web, {"Action": "AssumeRoleWithWebIdentity", **form}, "/-/iam")[0] == 403
    less = {name: value for name, value in form.items() if name != "WebIdentityToken"}
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-Amz-Security-Token": token}):
        status, text = post(web, {"Action": "AssumeRoleWithWebIdentity", **less}, **headers)
        assert status in (400, 403) and "<AccessKeyId>" not in text
    status, text = post(web, {"Action": "AssumeRoleWithWebIdentity", **form}, **{
        "Authorization": f"Bearer {token}"})
    assert (status, "MissingAuthenticationToken" in text) == (403, True)
    status, text = post(web, {"Action": "AssumeRoleWithWebIdentity", "ProviderId": "x", **form})
    assert (status, "no field ProviderId" in text) == (400, True)
    twice = urllib.parse.urlencode({"Action": "AssumeRoleWithWebIdentity", **form}) + "&RoleArn=x"
    request = urllib.request.Request(web.endpoint + "/-/sts", twice.encode())
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code in (400, 403)


def test_who_sends_bad_tokens_without_end_waits_and_nobody_else(web, acme, issuer, reader):
    """MinIO GHSA-jv87: no limit on what nobody signs."""
    host = web.host.split(":")
    flood = http.client.HTTPConnection(*host, timeout=30, source_address=("127.0.0.9", 0))
    form = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
            "RoleArn": acme.arn("role", reader), "RoleSessionName": "web"}

    def asked(token):
        flood.request("POST", "/-/sts", urllib.parse.urlencode(
            {**form, "WebIdentityToken": token}))
        return re.search("<Code>(.*?)</Code>|<Sub", flood.getresponse().read().decode())[1]
    # What counts takes nothing away.
    good = issuer.forged()
    assert {asked(good) for _ in range(10)} == {None}
    count, deadline = 0, time.monotonic() + 30
    while asked("a.b.c") != "Throttling":
        count += 1
        assert time.monotonic() < deadline, "no end of it"
    assert count >= 100
    # Nothing is verified for that client until some time is gone; for others all is as it was.
    assert asked(good) in ("Throttling", None)
    assert assume(acme, reader, good)["SubjectFromWebIdentityToken"] == "anna"
    flood.close()


def test_minios_clients_put_the_form_into_the_query(web, acme, issuer, reader):
    form = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
            "RoleArn": acme.arn("role", reader), "RoleSessionName": "web",
            "WebIdentityToken": issuer.forged()}
    text = urllib.parse.urlencode(form)
    for path in ("/-/sts", "/"):
        for method in ("POST",) if path == "/" else ("POST", "GET"):
            request = urllib.request.Request(f"{web.endpoint}{path}?{text}", method=method)
            with urllib.request.urlopen(request) as answer:
                assert "<SubjectFromWebIdentityToken>anna<" in answer.read().decode()
    # What is asked for stands in one place.
    status, _ = post(web, form, f"/-/sts?{text}")
    assert status == 403


MINIO = """
import os, sys
from minio import Minio
from minio.credentials import AssumeRoleProvider, WebIdentityProvider
endpoint, arn, token, own = sys.argv[1:]
host = endpoint.partition("://")[2]
for sts in (endpoint + "/", endpoint + "/-/sts"):
    for provider in (
            AssumeRoleProvider(sts_endpoint=sts, access_key=os.environ["KEY"],
                               secret_key=os.environ["SECRET"], region=os.environ["REGION"],
                               role_arn=own, role_session_name="minio-py"),
            WebIdentityProvider(jwt_provider_func=lambda: {"id_token": token, "expires_in": "900"},
                                sts_endpoint=sts, role_arn=arn, role_session_name="minio-py")):
        client = Minio(endpoint=host, credentials=provider, secure=False,
                       region=os.environ["REGION"])
        print(client.get_object(bucket_name="BUCKET", object_name="anna/1").data.decode())
""".replace("BUCKET", BUCKET)


def test_minio_py_gets_sessions_at_the_endpoint_and_below(web, acme, issuer, reader):
    person = acme.person(allow("sts:AssumeRole"))
    own = acme.role(allow("s3:GetObject"))
    done = subprocess.run(
        [ROOT / ".venv-sdks" / "bin" / "python", "-c", MINIO, web.endpoint,
         acme.arn("role", reader), issuer.forged(), acme.arn("role", own)],
        capture_output=True, text=True, timeout=120, env={
            **os.environ, "KEY": person.pair[0], "SECRET": person.pair[1], "REGION": web.region})
    assert done.stdout.split() == ["anna/1"] * 4, done.stderr


def test_a_token_is_no_key_of_s3(web, issuer):
    """SeaweedFS CVE-2026-77298: a token sent to S3 skipped the role's trust policy."""
    token = issuer.forged()
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-Amz-Security-Token": token}):
        request = urllib.request.Request(f"{web.endpoint}/{BUCKET}/anna/1", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code in (400, 403)


# Other accounts.


def test_a_provider_counts_in_its_account_alone(web, acme, issuer, reader):
    stranger = Account(web, "web-identity-stranger")
    token = issuer.forged()
    role = stranger.role(allow("s3:*"), trusts=trusts(acme, issuer))
    # There is no provider of that issuer in the role's account.
    assert code(assume, stranger, role, token) == INVALID
    # With one of its own it is still the other account's provider that the role trusts.
    provide(stranger, issuer)
    assert code(assume, stranger, role, token) == "AccessDenied"
    own = stranger.role(allow("s3:*"), trusts=trusts(stranger, issuer))
    made = session(stranger, own, token)
    assert code(made.s3.get_object, Bucket=BUCKET, Key="anna/1") == "AccessDenied"
    assert code(stranger.iam.get_open_id_connect_provider,
                OpenIDConnectProviderArn=acme.provider) == "NoSuchEntity"
    assert code(stranger.iam.delete_open_id_connect_provider,
                OpenIDConnectProviderArn=acme.provider) == "NoSuchEntity"


# What ends it.


def test_a_deleted_provider_ends_what_it_began(web, acme, changing):
    issuer = changing[0]
    arn = provide(acme, issuer)
    role = acme.role(allow("s3:GetObject"), allow("sts:AssumeRole"), trusts=trusts(acme, issuer))
    token = issuer.sign_in("anna")
    made = session(acme, role, token)
    next_role = acme.role(allow("s3:GetObject"))
    child = Session(web, made.sts.assume_role(
        RoleArn=acme.arn("role", next_role), RoleSessionName="child"))
    assert read(made) == read(child) == b"anna/1"
    acme.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert code(assume, acme, role, token) == INVALID
    for ended in (made, child):
        assert code(ended.s3.get_object, Bucket=BUCKET, Key="anna/1") == "InvalidAccessKeyId"
    # One that is made again begins anew.
    provide(acme, issuer)
    assert code(made.s3.get_object, Bucket=BUCKET, Key="anna/1") == "InvalidAccessKeyId"
    assert read(session(acme, role, token)) == b"anna/1"


def test_a_client_that_is_removed_counts_no_more(acme, changing):
    issuer = changing[1]
    arn = provide(acme, issuer)
    role = acme.role(trusts=trusts(acme, issuer))
    token = issuer.sign_in("anna")
    assert assume(acme, role, token)
    acme.iam.remove_client_id_from_open_id_connect_provider(
        OpenIDConnectProviderArn=arn, ClientID="dhow")
    assert code(assume, acme, role, token) == INVALID
    acme.iam.add_client_id_to_open_id_connect_provider(
        OpenIDConnectProviderArn=arn, ClientID="dhow")
    assert assume(acme, role, token)


def test_a_suspended_account_begins_no_session(web, issuer):
    account = Account(web, "web-identity-suspended")
    provide(account, issuer)
    role = account.role(trusts=trusts(account, issuer))
    token = issuer.forged()
    assert assume(account, role, token)
    web.cli("account", "suspend", account.id)
    assert code(assume, account, role, token) == "AccessDenied"


# Keys.


def test_keys_that_were_rotated_are_fetched_once(acme, changing):
    issuer = changing[2]
    provide(acme, issuer)
    role = acme.role(trusts=trusts(acme, issuer))
    old = issuer.sign_in("anna")
    for _ in range(3):
        assert assume(acme, role, old)
    asked = issuer.order("asked")["asked"]
    assert asked == 1
    issuer.order("rotate")
    assert assume(acme, role, issuer.sign_in("anna"))
    assert issuer.order("asked")["asked"] == asked + 1
    # The old key is gone with its id.
    assert code(assume, acme, role, old) == INVALID
    # Whoever makes up ids of keys has the provider asked no more.
    begun, before = time.monotonic(), issuer.order("asked")["asked"]
    for n in range(5):
        assert code(assume, acme, role, issuer.forged({"kid": f"made-up-{n}"})) == INVALID
    most = 1 + (time.monotonic() - begun) // 30
    assert issuer.order("asked")["asked"] - before <= most


def test_a_provider_that_is_down(web, acme, changing):
    issuer, never = changing[3], changing[4]
    for one in (issuer, never):
        provide(acme, one)
    role, of_never = (acme.role(trusts=trusts(acme, one)) for one in (issuer, never))
    token, unknown = issuer.sign_in("anna"), never.sign_in("anna")
    assert assume(acme, role, token)
    nobody_there = Account(web, "web-identity-without")
    no_account = SimpleNamespace(**{**vars(nobody_there), "id": "9" * 12})
    no_account.arn = lambda kind, name: f"arn:aws:iam::{no_account.id}:{kind}/{name}"
    for one in (issuer, never):
        one.order("stop")
    # Keys that are known go on; of who never answered nothing is known.
    assert assume(acme, role, token)
    assert code(assume, acme, of_never, unknown) == "IDPCommunicationError"
    # That is said of the provider, and not of who has it: a stranger learns nothing of accounts.
    for one in (nobody_there, no_account):
        assert code(assume, one, of_never, unknown) == "IDPCommunicationError"
        assert code(assume, one, role, token) == INVALID
    # A key that is not known cannot be asked for.
    assert code(assume, acme, role, issuer.forged({"kid": "newer"})) == "IDPCommunicationError"
    assert assume(acme, role, token)


@pytest.mark.parametrize("n, how", [
    (5, "redirect"), (6, "large"), (7, "other"), (8, "keys elsewhere")])
def test_answers_that_lead_elsewhere_are_not_followed(web, changing, n, how):
    issuer = changing[n]
    account = Account(web, f"web-identity-{how.replace(' ', '-')}")
    provide(account, issuer)
    role = account.role(trusts=trusts(account, issuer))
    issuer.order("answers", how=how)
    assert code(assume, account, role, issuer.forged()) == "IDPCommunicationError"


def test_only_providers_that_the_operator_allows_are_asked(web, acme, cloud):
    refused = [
        "https://169.254.169.254", "http://127.0.0.1:1", "https://localhost",
        "https://[::ffff:169.254.169.254]", "http://169.254.169.254/latest", "https://id.example.com",
        "https://id.example.com?x=y", "https://u:p@id.example.com", "ftp://id.example.com", "x",
    ]
    for url in refused:
        with pytest.raises(ClientError) as answer:
            acme.iam.create_open_id_connect_provider(Url=url, ClientIDList=["dhow"])
        assert answer.value.response["Error"]["Code"] == "InvalidInput", url
        assert "oidc_allow" in answer.value.response["Error"]["Message"]
    # By default there is none.
    plain = Account(cloud, "web-identity-none")
    with pytest.raises(ClientError) as answer:
        plain.iam.create_open_id_connect_provider(Url="https://accounts.google.com")
    assert "--oidc-allow" in answer.value.response["Error"]["Message"]


def test_certificates_are_verified(issuers, tmp_path):
    made = lambda *args: subprocess.run(["openssl", *args], check=True, capture_output=True)
    for name, host in (("good", "localhost"), ("wrong", "elsewhere.example.com")):
        made("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem"),
             "-days", "30", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    files = lambda name: {"cert": str(tmp_path / f"{name}.pem"), "key": str(tmp_path / f"{name}.key")}
    good, wrong = (issuers.start(tls=files(name)) for name in ("good", "wrong"))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("".join((tmp_path / f"{name}.pem").read_text() for name in ("good", "wrong")))
    allowed = ["--oidc-allow", good.url, "--oidc-allow", wrong.url]
    for ca, of_good in ((bundle, None), (tmp_path / "wrong.pem", "IDPCommunicationError")):
        server = Dhow(tmp_path / ca.stem, args=[*allowed, "--oidc-ca", str(ca)])
        server.start()
        try:
            account = Account(server, "web-tls")
            for one, expected in ((good, of_good), (wrong, "IDPCommunicationError")):
                provide(account, one)
                role = account.role(trusts=trusts(account, one))
                if expected is None:
                    assert assume(account, role, one.forged())
                    continue
                before = one.order("asked")["reached"]
                assert code(assume, account, role, one.forged()) == expected
                # A name that leads to another machine: no request gets there.
                assert one.order("asked")["reached"] == before
        finally:
            server.kill()


# IAM's actions.


def test_providers_are_managed_as_at_aws(acme, changing):
    issuer = changing[9]
    print_of = "0123456789abcdef0123456789abcdef01234567"
    arn = provide(acme, issuer, clients=["b", "a"], ThumbprintList=[print_of],
                  Tags=[{"Key": "team", "Value": "red"}])
    assert arn == acme.arn("oidc-provider", issuer.place)
    told = acme.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (told["Url"], told["ClientIDList"]) == (issuer.place, ["a", "b"])
    assert (told["ThumbprintList"], told["Tags"]) == ([print_of], [{"Key": "team", "Value": "red"}])
    listed = acme.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert arn in [one["Arn"] for one in listed]
    acme.iam.update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=arn, ThumbprintList=["f" * 40])
    acme.iam.tag_open_id_connect_provider(
        OpenIDConnectProviderArn=arn, Tags=[{"Key": "Team", "Value": "blue"}])
    told = acme.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (told["ThumbprintList"], told["Tags"]) == (["f" * 40], [{"Key": "Team", "Value": "blue"}])
    assert acme.iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
    acme.iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["team"])
    assert not acme.iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
    assert code(provide, acme, issuer) == "EntityAlreadyExists"
    change = acme.iam.update_open_id_connect_provider_thumbprint
    for bad in (["x" * 40], ["f" * 40] * 6):
        assert code(change, OpenIDConnectProviderArn=arn, ThumbprintList=bad) == "ValidationError"
    acme.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert code(acme.iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn) \
        == "NoSuchEntity"


def test_users_manage_providers_by_their_policies(acme, issuer):
    arn = acme.provider
    person = acme.person(allow("iam:GetOpenIDConnectProvider", arn),
                         allow("iam:ListOpenIDConnectProviders"))
    assert person.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["Url"]
    assert person.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    for call, more in [
        ("create", {"Url": issuer.url}), ("delete", {"OpenIDConnectProviderArn": arn}),
        ("tag", {"OpenIDConnectProviderArn": arn, "Tags": [{"Key": "a", "Value": "b"}]}),
        ("untag", {"OpenIDConnectProviderArn": arn, "TagKeys": ["a"]}),
    ]:
        assert code(getattr(person.iam, f"{call}_open_id_connect_provider"), **more) \
            == "AccessDenied", call
    for call in ("add_client_id_to", "remove_client_id_from"):
        assert code(getattr(person.iam, f"{call}_open_id_connect_provider"),
                    OpenIDConnectProviderArn=arn, ClientID="evil") == "AccessDenied"
    assert code(person.iam.update_open_id_connect_provider_thumbprint,
                OpenIDConnectProviderArn=arn, ThumbprintList=["f" * 40]) == "AccessDenied"


def test_no_token_is_in_the_log(web, acme, issuer, reader):
    tokens = [issuer.forged(), issuer.forged(aud="elsewhere")]
    assume(acme, reader, tokens[0])
    assert code(assume, acme, reader, tokens[1]) == INVALID
    log = web.log_text()
    assert all(token not in log and token.split(".")[2] not in log for token in tokens)
