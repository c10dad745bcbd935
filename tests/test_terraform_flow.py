"""What Terraform does with IAM: it makes things, reads them back and finds nothing to change, changes
them, and takes them away. The requests are those of its AWS provider, in its order, by boto3."""

import json

import pytest
from botocore.exceptions import ClientError

from test_roles import trust
from test_sessions import Account
from test_users import allow, document

READ = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"


@pytest.fixture(scope="module")
def acme(cloud):
    return Account(cloud, "terraform-flow")


def gone(call, **fields):
    """As the provider finds out that something is not there."""
    try:
        call(**fields)
    except ClientError as error:
        return error.response["Error"]["Code"] == "NoSuchEntity"
    return False


def tags_of(found):
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}


def as_tags(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


class Policy:
    """aws_iam_policy"""

    def __init__(self, iam, name):
        self.iam, self.name, self.arn = iam, name, None

    def create(self, text, tags):
        self.arn = self.iam.create_policy(
            PolicyName=self.name, Path="/", PolicyDocument=text, Tags=as_tags(tags))["Policy"]["Arn"]

    def read(self):
        found = self.iam.get_policy(PolicyArn=self.arn)["Policy"]
        version = self.iam.get_policy_version(
            PolicyArn=self.arn, VersionId=found["DefaultVersionId"])["PolicyVersion"]
        return {"text": version["Document"], "tags": tags_of(found)}

    def update(self, text):
        versions = self.iam.list_policy_versions(PolicyArn=self.arn)["Versions"]
        if len(versions) >= 5:
            oldest = min((v for v in versions if not v["IsDefaultVersion"]),
                         key=lambda v: v["CreateDate"])
            self.iam.delete_policy_version(PolicyArn=self.arn, VersionId=oldest["VersionId"])
        self.iam.create_policy_version(PolicyArn=self.arn, PolicyDocument=text, SetAsDefault=True)

    def delete(self):
        for version in self.iam.list_policy_versions(PolicyArn=self.arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                self.iam.delete_policy_version(
                    PolicyArn=self.arn, VersionId=version["VersionId"])
        self.iam.delete_policy(PolicyArn=self.arn)
        assert gone(self.iam.get_policy, PolicyArn=self.arn)


class Role:
    """aws_iam_role with aws_iam_role_policy and aws_iam_role_policy_attachment"""

    def __init__(self, iam, name):
        self.iam, self.of = iam, {"RoleName": name}

    def create(self, trusts, description, seconds, tags):
        self.iam.create_role(
            **self.of, Path="/", AssumeRolePolicyDocument=trusts, Description=description,
            MaxSessionDuration=seconds, Tags=as_tags(tags))

    def read(self):
        found = self.iam.get_role(**self.of)["Role"]
        names = self.iam.list_role_policies(**self.of)["PolicyNames"]
        attached = self.iam.list_attached_role_policies(**self.of)["AttachedPolicies"]
        inline = {name: self.iam.get_role_policy(**self.of, PolicyName=name)["PolicyDocument"]
                  for name in names}
        return {"trust": found["AssumeRolePolicyDocument"], "description": found["Description"],
                "seconds": found["MaxSessionDuration"], "tags": tags_of(found), "inline": inline,
                "attached": sorted(one["PolicyArn"] for one in attached)}

    def delete(self):
        profiles = self.iam.list_instance_profiles_for_role(**self.of)["InstanceProfiles"]
        assert profiles == []
        for one in self.iam.list_attached_role_policies(**self.of)["AttachedPolicies"]:
            self.iam.detach_role_policy(**self.of, PolicyArn=one["PolicyArn"])
        for name in self.iam.list_role_policies(**self.of)["PolicyNames"]:
            self.iam.delete_role_policy(**self.of, PolicyName=name)
        self.iam.delete_role(**self.of)
        assert gone(self.iam.get_role, **self.of)


class User:
    """aws_iam_user with aws_iam_access_key, memberships and attachments"""

    def __init__(self, iam, name):
        self.iam, self.of = iam, {"UserName": name}

    def read(self):
        found = self.iam.get_user(**self.of)["User"]
        keys = self.iam.list_access_keys(**self.of)["AccessKeyMetadata"]
        attached = self.iam.list_attached_user_policies(**self.of)["AttachedPolicies"]
        groups = self.iam.list_groups_for_user(**self.of)["Groups"]
        boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return {"path": found["Path"], "tags": tags_of(found), "boundary": boundary,
                "keys": [(key["AccessKeyId"], key["Status"]) for key in keys],
                "attached": sorted(one["PolicyArn"] for one in attached),
                "groups": sorted(group["GroupName"] for group in groups)}

    def delete(self):
        """With `force_destroy`, as the provider asks for all that a user may have."""
        iam, of = self.iam, self.of
        for one in iam.list_attached_user_policies(**of)["AttachedPolicies"]:
            iam.detach_user_policy(**of, PolicyArn=one["PolicyArn"])
        for group in iam.list_groups_for_user(**of)["Groups"]:
            iam.remove_user_from_group(**of, GroupName=group["GroupName"])
        for key in iam.list_access_keys(**of)["AccessKeyMetadata"]:
            iam.delete_access_key(**of, AccessKeyId=key["AccessKeyId"])
        assert iam.list_ssh_public_keys(**of)["SSHPublicKeys"] == []
        assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
        assert iam.list_mfa_devices(**of)["MFADevices"] == []
        assert gone(iam.delete_login_profile, **of)
        assert iam.list_signing_certificates(**of)["Certificates"] == []
        assert iam.list_service_specific_credentials(**of)["ServiceSpecificCredentials"] == []
        iam.delete_user(**of)
        assert gone(iam.get_user, **of)


def test_what_is_applied_is_read_back_and_changed_and_destroyed(acme):
    iam = acme.iam
    before = json.dumps(iam.get_account_summary()["SummaryMap"])
    # Terraform keeps texts as it sent them, and compares by meaning.
    text = document(allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::tf/*"))
    policy, role, user = Policy(iam, "tf-app"), Role(iam, "tf-app"), User(iam, "tf-app")
    policy.create(text, {"managed": "terraform"})
    role.create(trust(acme.id), "of the app", 7200, {"managed": "terraform"})
    iam.put_role_policy(RoleName="tf-app", PolicyName="logs", PolicyDocument=text)
    for arn in (policy.arn, READ):
        iam.attach_role_policy(RoleName="tf-app", PolicyArn=arn)
    iam.create_user(UserName="tf-app", Path="/apps/", PermissionsBoundary=policy.arn,
                    Tags=as_tags({"managed": "terraform"}))
    key = iam.create_access_key(UserName="tf-app")["AccessKey"]["AccessKeyId"]
    iam.create_group(GroupName="tf-apps", Path="/")
    iam.add_user_to_group(GroupName="tf-apps", UserName="tf-app")
    iam.attach_group_policy(GroupName="tf-apps", PolicyArn=READ)
    iam.attach_user_policy(UserName="tf-app", PolicyArn=policy.arn)
    wanted = {
        "policy": {"text": json.loads(text), "tags": {"managed": "terraform"}},
        "role": {"trust": json.loads(trust(acme.id)), "description": "of the app",
                 "seconds": 7200, "tags": {"managed": "terraform"},
                 "inline": {"logs": json.loads(text)}, "attached": sorted([policy.arn, READ])},
        "user": {"path": "/apps/", "tags": {"managed": "terraform"}, "boundary": policy.arn,
                 "keys": [(key, "Active")], "attached": [policy.arn], "groups": ["tf-apps"]},
    }
    plan = lambda: {"policy": policy.read(), "role": role.read(), "user": user.read()}
    # Nothing is to be changed, however often it is asked.
    assert plan() == wanted and plan() == wanted
    narrower = document(allow("s3:GetObject", "arn:aws:s3:::tf/*"))
    for n in range(6):
        policy.update(text if n % 2 else narrower)
    policy.update(narrower)
    iam.tag_policy(PolicyArn=policy.arn, Tags=as_tags({"managed": "tofu"}))
    iam.update_role(RoleName="tf-app", Description="of the app", MaxSessionDuration=3600)
    iam.update_assume_role_policy(
        RoleName="tf-app", PolicyDocument=trust(acme.arn("user/apps", "tf-app")))
    iam.untag_role(RoleName="tf-app", TagKeys=["managed"])
    iam.detach_role_policy(RoleName="tf-app", PolicyArn=READ)
    iam.put_role_permissions_boundary(RoleName="tf-app", PermissionsBoundary=READ)
    iam.delete_user_permissions_boundary(UserName="tf-app")
    iam.update_access_key(UserName="tf-app", AccessKeyId=key, Status="Inactive")
    wanted["policy"] = {"text": json.loads(narrower), "tags": {"managed": "tofu"}}
    wanted["role"] |= {"seconds": 3600, "tags": {}, "attached": [policy.arn],
                       "trust": json.loads(trust(acme.arn("user/apps", "tf-app")))}
    wanted["user"] |= {"boundary": None, "keys": [(key, "Inactive")]}
    assert plan() == wanted and plan() == wanted
    boundary = iam.get_role(RoleName="tf-app")["Role"]["PermissionsBoundary"]
    assert boundary["PermissionsBoundaryArn"] == READ
    # What is in use is not taken away; the provider takes it apart first.
    with pytest.raises(ClientError, match="DeleteConflict"):
        iam.delete_policy(PolicyArn=policy.arn)
    user.delete()
    role.delete()
    iam.detach_group_policy(GroupName="tf-apps", PolicyArn=READ)
    iam.delete_group(GroupName="tf-apps")
    policy.delete()
    assert json.dumps(iam.get_account_summary()["SummaryMap"]) == before
    assert iam.list_policies(Scope="AWS", OnlyAttached=True)["Policies"] == []
