"""Every action of IAM and STS, asked for by everybody who may not do it, on what others have.

The actions are those of the tables in crates/iam (docs/identity-operations.md is written from
them). An action without a form here fails, and so does a form without an action."""

import hashlib
import json
import re
import urllib.parse

import pytest

from dhow import ROOT, Client
from test_roles import trust
from test_sessions import Account, Session
from test_users import allow, code, deny, document

LINE = re.compile(r"^\| (iam|sts) \| (\w+) \|", re.M)
ACTIONS = LINE.findall((ROOT / "docs" / "identity-operations.md").read_text())
DENIED, GONE = "AccessDenied", "InvalidClientTokenId"
WIDE = document(allow("*"))
# What is in no answer to whom it does not concern.
CANARY = "canary-of-identities"


class Scene:
    def __init__(self, cloud):
        self.cloud = cloud
        own = self.own = Account(cloud, "identity-refusals")
        self.other = Account(cloud, "identity-refusals-other")
        self.victim, self.role = own.person(allow("s3:ListAllMyBuckets")).name, own.role(
            allow("s3:ListAllMyBuckets"), Description=CANARY)
        own.iam.tag_user(UserName=self.victim, Tags=[{"Key": "a", "Value": CANARY}])
        own.iam.create_group(GroupName="victims")
        own.iam.add_user_to_group(GroupName="victims", UserName=self.victim)
        self.policy = own.iam.create_policy(
            PolicyName="victims", PolicyDocument=WIDE, Description=CANARY)["Policy"]["Arn"]
        own.iam.create_policy_version(PolicyArn=self.policy, PolicyDocument=WIDE)
        own.iam.put_group_policy(
            GroupName="victims", PolicyName="p",
            PolicyDocument=document(allow("s3:ListAllMyBuckets", Sid=CANARY.replace("-", ""))))
        key, = own.iam.list_access_keys(UserName=self.victim)["AccessKeyMetadata"]
        self.key = key["AccessKeyId"]
        self.forms = forms(self)

    def state(self):
        """All that an action could change."""
        iam, name = self.own.iam, self.victim
        told = iam.get_account_authorization_details(MaxItems=1000)
        kinds = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
        keys = [(key["AccessKeyId"], key["Status"])
                for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]]
        return json.dumps([
            [told[kind] for kind in kinds], keys, iam.list_account_aliases()["AccountAliases"],
            iam.list_open_id_connect_providers()["OpenIDConnectProviderList"],
            sorted((key["access_key"], key["status"]) for key in self.cloud.cli_json(
                "key", "list", "--account", self.own.id, "--json")),
        ], default=str)


def forms(scene):
    """For each action the fields of a form: on a user, group, role and policy of the account."""
    user, role, group = ({"UserName": scene.victim}, {"RoleName": scene.role},
                         {"GroupName": "victims"})
    policy, text = {"PolicyArn": scene.policy}, {"PolicyDocument": WIDE}
    named = {"PolicyName": "p"}
    key = {**user, "AccessKeyId": scene.key}
    bound = {"PermissionsBoundary": scene.policy}
    tags, keys = {"Tags.member.1.Key": "k", "Tags.member.1.Value": "v"}, {"TagKeys.member.1": "a"}
    arn = {"RoleArn": scene.own.arn("role", scene.role), "RoleSessionName": "work"}
    issuer = {"OpenIDConnectProviderArn": scene.own.arn("oidc-provider", "id.example.com")}
    source = {"PolicySourceArn": scene.own.arn("user", scene.victim)}
    client, print_ = {"ClientID": "x"}, {"ThumbprintList.member.1": "a" * 40}
    trusts = trust(scene.own.id)
    asks = {"ActionNames.member.1": "s3:GetObject"}
    made = {
        "CreateUser": {"UserName": "intruder"}, "CreateGroup": {"GroupName": "intruders"},
        "CreateRole": {"RoleName": "intruder", "AssumeRolePolicyDocument": trusts},
        "CreatePolicy": {"PolicyName": "intruder", **text},
        "CreateOpenIDConnectProvider": {"Url": "https://id.example.com", "ClientIDList.member.1": "x"},
        "CreateAccountAlias": {"AccountAlias": "intruder-alias"},
        "DeleteAccountAlias": {"AccountAlias": "intruder-alias"},
        "GetAccessKeyLastUsed": {"AccessKeyId": scene.key},
        "UpdateAccessKey": {**key, "Status": "Inactive"}, "DeleteAccessKey": key,
        "UpdateUser": {**user, "NewUserName": "renamed"},
        "UpdateGroup": {**group, "NewGroupName": "renamed"},
        "UpdateRole": {**role, "Description": "x"},
        "UpdateRoleDescription": {**role, "Description": "x"},
        "UpdateAssumeRolePolicy": {**role, "PolicyDocument": trusts},
        "AddUserToGroup": {**group, **user}, "RemoveUserFromGroup": {**group, **user},
        "CreatePolicyVersion": {**policy, **text, "SetAsDefault": "true"},
        "GetPolicyVersion": {**policy, "VersionId": "v1"},
        "SetDefaultPolicyVersion": {**policy, "VersionId": "v2"},
        "DeletePolicyVersion": {**policy, "VersionId": "v2"},
        "PutUserPermissionsBoundary": {**user, **bound},
        "PutRolePermissionsBoundary": {**role, **bound},
        "SimulatePrincipalPolicy": {**source, **asks},
        "GetContextKeysForPrincipalPolicy": source,
        "SimulateCustomPolicy": {"PolicyInputList.member.1": WIDE, **asks},
        "GetContextKeysForCustomPolicy": {"PolicyInputList.member.1": WIDE},
        "AddClientIDToOpenIDConnectProvider": {**issuer, **client},
        "RemoveClientIDFromOpenIDConnectProvider": {**issuer, **client},
        "UpdateOpenIDConnectProviderThumbprint": {**issuer, **print_},
        "AssumeRole": arn, "AssumeRoleWithWebIdentity": {**arn, "WebIdentityToken": "a.b.c"},
        "GetFederationToken": {"Name": "guest", "Policy": WIDE},
        "DecodeAuthorizationMessage": {"EncodedMessage": "xxxx"},
        "ListServiceSpecificCredentials": user, "ListMFADevices": user,
        "ListSSHPublicKeys": user, "ListSigningCertificates": user,
        "GetLoginProfile": user, "DeleteLoginProfile": user,
        "CreateAccessKey": user, "ListAccessKeys": user, "ListGroupsForUser": user,
        "ListInstanceProfilesForRole": role, "ListEntitiesForPolicy": policy,
        "ListPolicyVersions": policy,
    }
    nothing = {name: {} for name in (
        "ListUsers", "ListGroups", "ListRoles", "ListPolicies", "ListVirtualMFADevices",
        "ListOpenIDConnectProviders", "ListAccountAliases", "GetAccountSummary",
        "GetAccountAuthorizationDetails", "GetAccountPasswordPolicy", "GenerateCredentialReport",
        "GetCredentialReport", "GetCallerIdentity", "GetSessionToken")}
    for kind, of in (("User", user), ("Group", group), ("Role", role), ("Policy", policy),
                     ("OpenIDConnectProvider", issuer)):
        made |= {f"Get{kind}": of, f"Delete{kind}": of}
        if kind != "Group":
            made |= {f"Tag{kind}": {**of, **tags}, f"Untag{kind}": {**of, **keys},
                     f"List{kind}Tags": of}
        if kind in ("User", "Group", "Role"):
            made |= {
                f"Put{kind}Policy": {**of, **named, **text}, f"Get{kind}Policy": {**of, **named},
                f"List{kind}Policies": of, f"Delete{kind}Policy": {**of, **named},
                f"Attach{kind}Policy": {**of, **policy}, f"Detach{kind}Policy": {**of, **policy},
                f"ListAttached{kind}Policies": of,
            }
        if kind in ("User", "Role"):
            made[f"Delete{kind}PermissionsBoundary"] = of
    return {**nothing, **made}


@pytest.fixture(scope="module")
def scene(cloud):
    return Scene(cloud)


class Caller:
    """Sends forms on one connection; without a pair it signs nothing."""

    def __init__(self, cloud, pair=None, token=None):
        self.pair, self.token = pair, token
        self.clients = {api: Client(cloud.host, cloud.region, *(pair or ("", "")), service=api)
                        for api in ("iam", "sts")}

    def ask(self, api, action, fields):
        """The code of the refusal, or None; and the whole answer."""
        version = {"iam": "2010-05-08", "sts": "2011-06-15"}[api]
        body = urllib.parse.urlencode({"Action": action, "Version": version, **fields}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if self.token:
            headers["x-amz-security-token"] = self.token
        client = self.clients[api]
        if self.pair:
            headers = client.headers("POST", f"/-/{api}", headers=headers,
                                     payload=hashlib.sha256(body).hexdigest())
        client.connection.request("POST", f"/-/{api}", body, headers)
        answer = client.connection.getresponse()
        text = answer.read().decode()
        found = re.search("<Code>(.*?)</Code>", text)
        return found and found[1], text

    def close(self):
        for client in self.clients.values():
            client.connection.close()


def of(session, cloud):
    return Caller(cloud, (session.key, session.secret), session.token)


WHO = "GetCallerIdentity"
OF_NOBODY = "AssumeRoleWithWebIdentity"


def all_but(refusal, **others):
    """Each action is refused with one code, but for these; a tuple has several."""
    return lambda api, action: others.get(action, refusal)


def reads(api, action):
    if action in (WHO, "GetSessionToken"):
        return None
    is_read = api == "iam" and action.startswith(("Get", "List"))
    return "may" if is_read else all_but(DENIED, **{OF_NOBODY: "InvalidAction"})(api, action)


def elsewhere(api, action):
    """Another account: whatever it does is done there."""
    return "elsewhere"


BARE = {WHO: None, OF_NOBODY: "InvalidAction"}
# Users ask for a session token of their own without a right.
USER = {**BARE, "GetSessionToken": None}


def principal(scene, name):
    """A caller, and what they are answered."""
    cloud, own = scene.cloud, scene.own
    if name == "anonymous":
        return Caller(cloud), all_but(
            "MissingAuthenticationToken", **{OF_NOBODY: "InvalidIdentityToken"})
    if name == "bad signature":
        return Caller(cloud, (own.pair[0], own.pair[1] + "x")), all_but("SignatureDoesNotMatch")
    if name == "unknown key":
        return Caller(cloud, ("DHOW" + "A" * 16, own.pair[1])), all_but(GONE)
    if name == "suspended account":
        account = Account(cloud, "identity-refusals-gone")
        cloud.cli("account", "suspend", account.id)
        return Caller(cloud, account.pair), all_but(GONE)
    if name in ("operator of a region", "auditor"):
        cloud.cli("operator", "add", "identity-op", "--name", "Identity", check=False)
        kind = ["--auditor"] if name == "auditor" else ["--operator", "identity-op"]
        made = cloud.cli_json("account", "create", f"identity-{name.split()[0]}", *kind, "--json")
        key = cloud.cli_json("key", "create", "--account", made["id"], "--json")
        return Caller(cloud, (key["access_key"], key["secret_key"])), all_but(
            DENIED, **{WHO: None})
    if name == "other account":
        return Caller(cloud, scene.other.pair), elsewhere
    if name == "administrator of another account":
        return Caller(cloud, scene.other.person(allow("*")).pair), elsewhere
    statements = {
        "user without a policy": [],
        "user of buckets": [allow("s3:*")],
        "user who is denied all": [allow("*"), deny(["iam:*", "sts:*"])],
        "user who may do all with itself": [
            allow(["iam:*", "sts:*"], f"arn:aws:iam::{own.id}:user/${{aws:username}}")],
        "read-only user": [allow(["iam:Get*", "iam:List*"])],
    }
    if name in statements:
        person = own.person(*statements[name])
        what = {**USER, **({"GetSessionToken": DENIED} if "denied" in name else {})}
        return Caller(cloud, person.pair), reads if "read-only" in name else all_but(DENIED, **what)
    person = own.person(allow("*"))
    if name == "federated session":
        made = Session(cloud, person.sts.get_federation_token(Name="guest", Policy=WIDE))
        return of(made, cloud), all_but(DENIED, **BARE)
    if name == "session of a user":
        # It may do what the user may at S3, and here next to nothing.
        made = Session(cloud, person.sts.get_session_token())
        return of(made, cloud), all_but(
            DENIED, **BARE, AssumeRole=None, DecodeAuthorizationMessage="any")
    bounds = {
        "session of a role without a policy": ([], {}),
        "session that a policy narrows": (
            [allow("*")], {"Policy": document(allow("s3:*", "arn:aws:s3:::identity-x/*"))}),
        "session whose key is gone": ([allow("*")], {}),
        "session without its token": ([allow("*")], {}),
    }
    statements, more = bounds[name]
    made = of(own.assume(person, own.role(*statements), **more), cloud)
    if name == "session whose key is gone":
        own.iam.delete_access_key(UserName=person.name, AccessKeyId=person.pair[0])
        return made, all_but(GONE)
    if name == "session without its token":
        made.token = None
        return made, all_but(GONE)
    # Trust in the account leaves it to the session's policies.
    return made, all_but(DENIED, **BARE)


PRINCIPALS = [
    "anonymous", "bad signature", "unknown key", "suspended account", "operator of a region",
    "auditor", "other account", "administrator of another account", "user without a policy",
    "user of buckets", "user who is denied all", "user who may do all with itself",
    "read-only user", "federated session", "session of a user",
    "session of a role without a policy", "session that a policy narrows",
    "session whose key is gone", "session without its token",
]


def test_each_action_has_a_form(scene):
    assert {action for _, action in ACTIONS} == set(scene.forms)
    assert len(ACTIONS) == len(set(ACTIONS)) >= 105
    assert len(ACTIONS) * len(PRINCIPALS) >= 1900


@pytest.mark.parametrize("name", PRINCIPALS)
def test_who_may_not_is_refused_and_changes_nothing(scene, name):
    caller, expected = principal(scene, name)
    before, wrong = scene.state(), {}
    for api, action in ACTIONS:
        found, text = caller.ask(api, action, scene.forms[action])
        want = expected(api, action)
        if want == "may":
            is_right = found != DENIED
        elif want == "elsewhere":
            is_right = CANARY not in text and CANARY.replace("-", "") not in text
        else:
            is_right = want == "any" or found == want
        if not is_right:
            wrong[action] = (found, want, text)
        if want not in ("may", None):
            assert CANARY not in text, action
    assert wrong == {}
    assert scene.state() == before
    caller.close()


def test_an_administrator_reaches_neither_root_nor_other_accounts(scene):
    """MinIO CVE-2022-24842, RustFS GHSA-5354, -mm2q: keys for root or others by naming them."""
    own, other = scene.own, scene.other
    person = own.person(allow("*"))
    root_key, their_key = own.pair[0], other.pair[0]
    theirs = other.person().name
    other.iam.create_group(GroupName="theirs")
    role = other.role(Description=CANARY)
    policy = other.iam.create_policy(PolicyName="theirs", PolicyDocument=WIDE)["Policy"]["Arn"]
    iam, victim = person.iam, scene.victim
    details = lambda: json.dumps(
        other.iam.get_account_authorization_details(), default=str).partition('"ResponseMeta')[0]
    before = details()
    for access_key in (root_key, their_key):
        for user in ({}, {"UserName": victim}, {"UserName": "root"}, {"UserName": own.id}):
            assert code(iam.delete_access_key, AccessKeyId=access_key, **user) == "NoSuchEntity"
            assert code(iam.update_access_key, AccessKeyId=access_key, Status="Inactive",
                        **user) == "NoSuchEntity"
    for call, fields in [
        (iam.create_access_key, {"UserName": "root"}), (iam.create_access_key, {"UserName": theirs}),
        (iam.get_user, {"UserName": theirs}), (iam.delete_user, {"UserName": theirs}),
        (iam.put_user_policy, {"UserName": theirs, "PolicyName": "p", "PolicyDocument": WIDE}),
        (iam.attach_user_policy, {"UserName": victim, "PolicyArn": policy}),
        (iam.attach_user_policy, {"UserName": theirs, "PolicyArn": policy}),
        (iam.attach_group_policy, {"GroupName": "victims", "PolicyArn": policy}),
        (iam.attach_role_policy, {"RoleName": scene.role, "PolicyArn": policy}),
        (iam.put_user_permissions_boundary, {"UserName": victim, "PermissionsBoundary": policy}),
        (iam.put_role_permissions_boundary,
         {"RoleName": scene.role, "PermissionsBoundary": policy}),
        (iam.create_user, {"UserName": "bound", "PermissionsBoundary": policy}),
        (iam.get_policy, {"PolicyArn": policy}), (iam.delete_policy, {"PolicyArn": policy}),
        (iam.get_policy_version, {"PolicyArn": policy, "VersionId": "v1"}),
        (iam.create_policy_version,
         {"PolicyArn": policy, "PolicyDocument": WIDE, "SetAsDefault": True}),
        (iam.tag_policy, {"PolicyArn": policy, "Tags": [{"Key": "k", "Value": "v"}]}),
        (iam.list_entities_for_policy, {"PolicyArn": policy}),
        (iam.get_group, {"GroupName": "theirs"}), (iam.delete_group, {"GroupName": "theirs"}),
        (iam.add_user_to_group, {"GroupName": "theirs", "UserName": victim}),
        (iam.add_user_to_group, {"GroupName": "victims", "UserName": theirs}),
        (iam.get_role, {"RoleName": role}), (iam.delete_role, {"RoleName": role}),
        (iam.update_assume_role_policy,
         {"RoleName": role, "PolicyDocument": trust(own.id)}),
        (iam.simulate_principal_policy, {"PolicySourceArn": other.arn("user", theirs),
                                         "ActionNames": ["s3:GetObject"]}),
        (iam.delete_open_id_connect_provider,
         {"OpenIDConnectProviderArn": other.arn("oidc-provider", "id.example.com")}),
    ]:
        assert code(call, **fields) == "NoSuchEntity", (call, fields)
    assert code(person.sts.assume_role, RoleArn=other.arn("role", role),
                RoleSessionName="work") == DENIED
    assert details() == before
    own.iam.list_users()
    other.iam.list_users()
