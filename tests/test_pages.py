"""The commands and programs on the pages in docs, run as they stand there: README and
docs/three-machines.md have tests of their own (test_walkthrough.py). Each block of commands is run here, or stands in `NOT_RUN`
with the reason. A page's output is compared line by line: numbers may differ, and
`…` matches anything."""

import json
import os
import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import pytest

import dhow
from dhow import BIN, ROOT
from fleet import Fleet, eventually

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md",
         ROOT / "SECURITY.md"]
TOOLS = "dhow|aws|boto3|rclone|s3cmd|s5cmd|restic|mc|curl|make|cargo|export|systemctl|nft"
COMMAND = re.compile(rf"^(?:\$ .*|(?:{TOOLS})\b.*)$", re.M)
# Blocks that no test runs, by the page and how they begin.
NOT_RUN = {
    ("CONTRIBUTING.md", "make run"): "builds a release",
    ("CONTRIBUTING.md", "cargo fmt"): "the lints of .ci/run",
    ("README.md", "make run"): "builds a release, and runs this suite",
    ("benchmarks-regions.md", "DHOW_LONG_LINK"): "measures for minutes",
    ("testing.md", "DHOW_SIM_SEEDS"): "thousands of seeds",
    ("damage.md", "$ dhow scrub"): "needs damage (test_repair.py)",
    ("damage.md", "$ dhow registry catch-up"): "needs a registry from a backup (test_restored.py)",
    ("console.md", "dhow console login"): "needs consoles elsewhere (test_console_login.py)",
    ("access.md", "$ dhow account access cameras"): "needs such an account (test_old_signatures.py)",
    ("guide.md", "dhow operator add yvolv"): "a region of a partner (test_regions.py joins one)",
    ("guide.md", "dhow account create yvolv-ops"): "its key acts as test_admin_roles.py says",
    ("regions.md", "dhow region revoke"): "cuts a region off (test_regions.py)",
    ("tls.md", "dhow up --tls"): "test_tls.py starts it so",
    ("tls.md", "dhow bucket list --admin-url https"): "needs a certificate (test_tls.py)",
}


def blocks(page):
    """Language with what stands behind it, and text, of the fenced blocks of a page."""
    found = re.findall(r"^ *```([^\n]*)\n(.*?)^ *```$", page.read_text(), re.M | re.S)
    return [(words, textwrap.dedent(text)) for words, text in found]


class Walk:
    """A shell in a folder of its own, beside a fleet of two regions and a third that joins."""

    def __init__(self, folder):
        self.folder, self.ran = folder, set()
        self.fleet = Fleet(folder / "fleet", 2).start()
        (folder / "bin").mkdir()
        (folder / "bin" / "dhow").symlink_to(BIN)
        path = f"{folder / 'bin'}:{ROOT / '.venv' / 'bin'}:/usr/bin:/bin"
        self.env = {"PATH": path, "HOME": str(folder), "DHOW_DATA": str(folder / "fleet")}
        self.third = None

    def stop(self):
        if self.third:
            self.third.terminate()
            self.third.wait(60)
        self.fleet.stop()

    def run(self, command, fails=False, **env):
        done = subprocess.run(["bash", "-e", "-c", command], cwd=self.folder, text=True,
                              capture_output=True, timeout=120, env={**self.env, **env})
        assert (done.returncode != 0) == fails, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def block(self, page, begin):
        found = [text for _, text in blocks(ROOT / "docs" / page) if text.startswith(begin)]
        assert len(found) == 1, (page, begin, found)
        self.ran.add((page, begin))
        return found[0]

    def console(self, page, begin, replace=(), fails=(), before=None):
        """A block of `$ command` lines with their output. Those whose number is in `fails` end
        with an error, as do those that print one; `before` prepares them, by their number."""
        text = self.block(page, begin)
        for old, new in replace:
            text = text.replace(old, new)
        for n, step in enumerate(re.split(r"^\$ ", text, flags=re.M)[1:]):
            command, output = split_command(step)
            if before and n in before:
                before[n]()
            said = self.run(command, fails=n in fails or output.startswith("dhow: "))
            compare(output, said, command)

    def output(self, command, page, begin):
        """A block that is the output of a command in the text before it."""
        assert f"`{command}`" in (ROOT / "docs" / page).read_text(), command
        said = self.run(command)
        compare(self.block(page, begin), said, command)
        return said

    def join(self, token):
        self.log = self.folder / "third.log"
        with open(self.log, "wb") as log:
            self.third = subprocess.Popen(
                [BIN, "up", "--data", self.folder / "me-east-1", "--listen", "127.0.0.1:0",
                 "--peer", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0"],
                stdout=log, stderr=log, cwd=self.folder, env={**os.environ, "DHOW_JOIN": token})
        ready = r'INFO ready endpoint="(\S+)"'
        found = eventually(lambda: re.search(ready, self.said_by_third()), timeout=60)
        self.fleet.regions["me-east-1"] = {"endpoint": found[1], "pid": self.third.pid}

    def said_by_third(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())


def split_command(step):
    """A command, over as many lines as its quotes need, and what it prints."""
    lines = step.splitlines(keepends=True)
    for n in range(1, len(lines) + 1):
        try:
            shlex.split("".join(lines[:n]), comments=True)
        except ValueError:
            continue
        return "".join(lines[:n]), "".join(lines[n:])
    raise AssertionError(f"quotes do not end: {step}")


def compare(page, said, command):
    """The page's lines, in their order, in what was said."""
    pattern = ".*?".join(as_pattern(line) for line in page.splitlines() if line.strip("… "))
    assert re.search(pattern, said, re.S), f"{command}\npage:\n{page}\nsaid:\n{said}\n{pattern}"


def as_pattern(line):
    words = [re.escape(word) for word in line.split()]
    words = [re.sub(r"(?=[a-f]*[0-9])[0-9a-f]{6,}", "[0-9a-f]+", word) for word in words]
    # Not in what matches hexadecimal digits.
    words = [word if "[0-9a-f]" in word else re.sub(r"[0-9]+", "[0-9]+", word) for word in words]
    words = [word.replace("…", ".*?") for word in words]
    words = [re.sub(r"dhow\\-join\\-\S*", r"dhow-join-\\S+", word) for word in words]
    return r"\s+".join(words)


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    walk = Walk(tmp_path_factory.mktemp("pages"))
    yield walk
    walk.stop()


def put(walk, bucket, count=3, size=1000, home="eu-central-1"):
    client = walk.fleet.s3(home)
    for n in range(count):
        client.put_object(Bucket=bucket, Key=f"k{n}", Body=bytes(size))


def follows(walk, bucket, replicas):
    eventually(lambda: walk.run(f"dhow bucket show {bucket}").count("up to date") == replicas)


def test_a_region_is_opened_as_the_page_says(walk):
    walk.output("dhow region plan me-east-1", "regions.md", "Region me-east-1 would open")
    said = walk.output("dhow region open me-east-1 --operator yvolv", "regions.md",
                       "Region me-east-1 is planned")
    walk.join(re.search(r"DHOW_JOIN=(dhow-join-\S+)", said)[1])
    compare(walk.block("regions.md", "INFO joined"), walk.said_by_third(), "the log")
    eventually(lambda: walk.run("dhow region list").count("open    yes") == 3)
    walk.output("dhow region list", "regions.md", "REGION                  CITY")


def test_buckets_are_placed_as_the_page_says(walk):
    walk.console("regions.md", "$ dhow bucket create papers")
    walk.run("dhow bucket place papers --remove-replica me-east-1")
    put(walk, "papers")
    follows(walk, "papers", 1)
    walk.output("dhow bucket show papers", "regions.md", "REPLICA      STATE")
    walk.console("sealing.md", "$ dhow bucket create vault")
    walk.run("dhow bucket place papers --remove-replica me-east-1")
    walk.fleet.s3("eu-central-1").delete_bucket(Bucket="vault")


def test_users_are_managed_as_the_page_says(walk):
    walk.run("dhow account create acme")
    key = json.loads(walk.run("dhow key create --account acme --json"))
    region = walk.fleet.regions["cn-hangzhou"]
    more = {"AWS_ACCESS_KEY_ID": key["access_key"], "AWS_SECRET_ACCESS_KEY": key["secret_key"],
            "AWS_DEFAULT_REGION": "cn-hangzhou", "AWS_DEFAULT_OUTPUT": "json",
            "AWS_ENDPOINT_URL_IAM": region["endpoint"] + "/-/iam"}
    before = walk.env
    # `dhow` goes on with the key of the cloud's operator.
    walk.env = {**before, **more}
    walk.console("access.md", "$ aws iam create-user")
    walk.console("access.md", "$ aws iam create-account-alias")
    walk.env = before
    walk.console("access.md", "$ dhow user create bob")
    number = json.loads(walk.run("dhow account list --json"))
    number = next(account["id"] for account in number if account["name"] == "acme")
    walk.console("access.md", "$ echo", [("999999999999", number)])
    walk.run("aws iam put-user-policy --user-name anna --policy-name sessions --policy-document "
             """'{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
             "Action": "sts:AssumeRole", "Resource": "*"}}'""", **more)
    anna = json.loads(walk.run("dhow user key create anna --account acme --json"))
    walk.env = {**before, **more, "AWS_ACCESS_KEY_ID": anna["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": anna["SecretAccessKey"],
                "AWS_ENDPOINT_URL_STS": region["endpoint"] + "/-/sts"}
    walk.console("access.md", "$ aws sts assume-role", [("999999999999", number)])
    walk.env = before
    walk.console("access.md", "$ dhow group create readers")
    walk.run("dhow bucket create photos --home eu-central-1 --owner acme")
    walk.console("access.md", "$ dhow access explain", fails={0})
    walk.run("dhow access explain --account acme --user bob --action s3:GetObject "
             "--resource arn:aws:s3:::photos/anna/1.jpg")
    guard = walk.block("access.md", "$ cat guard.json").split("\n$ ")[0]
    (walk.folder / "guard.json").write_text(guard.partition("\n")[2])
    # The home has it a moment after the registry.
    explain = "dhow access explain --account acme --action s3:PutBucketPolicy --resource "
    explain += "arn:aws:s3:::photos || true"
    held = lambda: eventually(lambda: "KeepPolicies" in walk.run(explain))
    walk.console("access.md", "$ cat guard.json", fails={2}, before={2: held})
    client = walk.fleet.s3("eu-central-1", (key["access_key"], key["secret_key"]))
    eventually(lambda: client.delete_bucket(Bucket="photos") is not None)


def recipes(page, head):
    """The commands of a table's second column."""
    text = (ROOT / "docs" / page).read_text()
    table = text.partition(f"| {head} | Dhow |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [command for _, cell in rows for command in re.findall("`(.*?)`", cell)]


def test_who_moves_in_finds_the_same_as_the_page_says(walk):
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Resource": "*"}}
    policy["Statement"]["Action"] = "s3:GetObject"
    (walk.folder / "read.json").write_text(json.dumps(policy))
    more, key = {}, None
    for command in recipes("access.md", "MinIO"):
        said = walk.run(command.replace("KEY", key or "KEY"), **more)
        pair = re.findall(r"^(?:Access|Secret) key +(\S+)", said, re.M)
        if command == "dhow key create --account shop":
            more = {"AWS_ACCESS_KEY_ID": pair[0], "AWS_SECRET_ACCESS_KEY": pair[1],
                    "AWS_DEFAULT_REGION": "cn-hangzhou", "AWS_DEFAULT_OUTPUT": "json",
                    "AWS_ENDPOINT_URL": walk.fleet.regions["cn-hangzhou"]["endpoint"]}
        elif pair:
            key = pair[0]
    attached = walk.run("dhow policy attached --user kate --account shop --json")
    assert "AmazonS3FullAccess" in attached and "AdministratorAccess" not in attached
    for command in recipes("access.md", "RGW"):
        if "trust-film.json" in command:
            accounts = json.loads(walk.run("dhow account list --json"))
            film = next(one["id"] for one in accounts if one["name"] == "film")
            trust = {"Effect": "Allow", "Principal": {"AWS": film}, "Action": "sts:AssumeRole"}
            (walk.folder / "trust-film.json").write_text(json.dumps(
                {"Version": "2012-10-17", "Statement": trust}))
        walk.run(command)
    assert "cut" in walk.run("dhow user list --account film")


def test_lists_are_set_as_the_page_says(walk):
    account = json.loads(walk.run("dhow account create tools --json"))["id"]
    key = json.loads(walk.run(f"dhow key create --account {account} --json"))
    region = walk.fleet.regions["cn-hangzhou"]
    more = {"AWS_ACCESS_KEY_ID": key["access_key"], "AWS_SECRET_ACCESS_KEY": key["secret_key"],
            "AWS_DEFAULT_REGION": "cn-hangzhou", "AWS_DEFAULT_OUTPUT": "json",
            "AWS_ENDPOINT_URL": region["endpoint"]}
    before = walk.env
    walk.env = {**before, **more}
    walk.console("acls.md", "$ aws s3api create-bucket", fails={3})
    walk.run("aws s3 rm s3://inbox/a.txt && aws s3 rb s3://inbox")
    walk.env = before
    named = [("acme", "tools")]
    walk.console("acls.md", "$ dhow account access acme --block", named)
    walk.console("acls.md", "$ dhow account access acme --new-ownership", named)
    walk.run("dhow account create bank")
    walk.console("access.md", "$ dhow account access bank")


def test_programs_on_the_pages_run_as_they_stand(walk):
    walk.run("dhow bucket create ledger --home eu-central-1")
    region = walk.fleet.regions["eu-central-1"]
    program = walk.block("access.md", "import boto3").replace("https://eu.example.com",
                                                              region["endpoint"])
    (walk.folder / "program.py").write_text(f"{program}\nprint(url)\n")
    url = walk.run("python3 program.py", AWS_ACCESS_KEY_ID=walk.fleet.info["access_key"],
                   AWS_SECRET_ACCESS_KEY=walk.fleet.info["secret_key"])
    assert walk.run(f"curl -sS --fail '{url.strip()}'") == "..."
    client = walk.fleet.s3("eu-central-1")
    client.delete_object(Bucket="ledger", Key="2026/11/29")
    client.delete_bucket(Bucket="ledger")


def test_residency_is_checked_as_the_page_says(walk):
    walk.run("dhow bucket create patients --home eu-central-1 --replica me-east-1 "
             "--jurisdiction AE --jurisdiction EU")
    put(walk, "patients")
    follows(walk, "patients", 1)
    walk.console("residency.md", "$ dhow residency check patients")
    saves = "$ dhow audit verify --save audit.log\nGood: 14 entries, each follows on the one before.\n  "
    walk.console("residency.md", saves + "Last hash")
    walk.console("residency.md", "$ dhow residency prove patients")
    anchor = re.search(r"Fingerprint +(\w+)", walk.run("dhow audit verify"))[1]
    shown = "101f1e4a43bdcb9477de55729f548640034cb786cda5c15206065f80708ad0e9"
    walk.console("residency.md", "$ dhow residency verify patients.residency", [(shown, anchor)])
    changed = (walk.folder / "patients.residency").read_bytes().replace(b"eu-central-1", b"me-east-1", 1)
    (walk.folder / "changed").write_bytes(changed)
    walk.console("residency.md", "$ dhow residency verify changed", [("101f1e4a…", anchor)], {0})
    walk.console("residency.md", saves + "…")
    client = walk.fleet.s3("eu-central-1")
    for n in range(3):
        client.delete_object(Bucket="patients", Key=f"k{n}")
    client.delete_bucket(Bucket="patients")


def test_replication_rules_are_set_as_the_page_says(walk):
    client = walk.fleet.s3("eu-central-1")
    walk.run("dhow bucket create papers-logs --home eu-central-1 --jurisdiction EU")
    for bucket in ("papers", "papers-logs"):
        client.put_bucket_versioning(Bucket=bucket,
                                     VersioningConfiguration={"Status": "Enabled"})
    walk.env |= {"AWS_ACCESS_KEY_ID": walk.fleet.info["access_key"],
                 "AWS_SECRET_ACCESS_KEY": walk.fleet.info["secret_key"],
                 "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true",
                 "AWS_ENDPOINT_URL": walk.fleet.regions["eu-central-1"]["endpoint"]}
    walk.console("replication-rules.md", "$ aws s3api put-bucket-replication")
    assert client.get_bucket_replication(Bucket="papers")["ReplicationConfiguration"]["Rules"]
    client.delete_bucket_replication(Bucket="papers")
    client.delete_bucket(Bucket="papers-logs")


def test_a_lost_region_is_promoted_as_the_page_says(walk):
    page = walk.block("regions.md", "1/1  papers: stays")

    def refused():
        compare(page, walk.run("dhow region promote eu-central-1", fails=True), "promote")
        return True

    # What the tests before configured must have come everywhere.
    eventually(refused, timeout=60)
    # With this the home says how complete its replica is.
    follows(walk, "papers", 1)
    pid = walk.fleet.regions["eu-central-1"]["pid"]
    dhow.freeze(pid)
    try:
        walk.console("regions.md", "$ dhow region promote")
    finally:
        dhow.thaw(pid)
    follows(walk, "papers", 1)
    walk.console("regions.md", "$ dhow bucket move papers --to eu-central-1")
    follows(walk, "papers", 1)


def test_a_region_is_drained_and_closed_as_the_page_says(walk):
    walk.run("dhow bucket create logs --home eu-central-1 --replica me-east-1")
    walk.run("dhow bucket create maps --home me-east-1 --proxy --trust-writes eu-central-1 "
             "--trust-reads eu-central-1")
    walk.run("dhow bucket create wills --home me-east-1 --jurisdiction AE")
    eventually(lambda: put(walk, "maps", 30) is None, timeout=60)
    walk.run("dhow bucket place papers --add-replica me-east-1")
    follows(walk, "papers", 2)
    home, uploads = walk.fleet.s3("eu-central-1"), []
    for n in range(2):
        to = {"Bucket": "papers", "Key": "film"}
        to["UploadId"] = home.create_multipart_upload(**to)["UploadId"]
        home.upload_part(**to, PartNumber=1, Body=b"part")
        uploads.append(to)
    walk.console("regions.md", "$ dhow bucket move papers --to me-east-1", fails={0})
    for upload in uploads:
        home.abort_multipart_upload(**upload)
    walk.run("dhow bucket move papers --to me-east-1")
    follows(walk, "papers", 2)
    walk.run("dhow bucket place papers --successor eu-central-1")
    def before_it_is_closed():
        walk.console("regions.md", "$ dhow region drain me-east-1 --status")
        walk.fleet.s3("me-east-1").delete_bucket(Bucket="wills")

    walk.console("regions.md", "$ dhow region close me-east-1", fails={2, 3},
                 before={4: before_it_is_closed})
    walk.third.terminate()
    walk.third.wait(60)
    walk.third = None
    walk.console("regions.md", "$ dhow up --data /srv/dhow",
                 [("/srv/dhow", str(walk.folder / "me-east-1"))])


def test_every_role_reaches_the_cloud_as_the_guide_says(walk):
    region = walk.fleet.regions["cn-hangzhou"]
    made = json.loads(walk.run("dhow key create --account root --json"))
    keys = f"AWS_ACCESS_KEY_ID={made['access_key']} AWS_SECRET_ACCESS_KEY={made['secret_key']}"
    shown = "AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…"
    text = walk.block("guide.md", f"export {shown}\ndhow bucket list")
    text = text.replace(shown, keys).replace("http://127.0.0.1:9001", region["admin"])
    away = {"DHOW_DATA": str(walk.folder / "nothing"), "PATH": walk.env["PATH"]}
    assert "papers" in walk.run(text, **away)
    profile = walk.block("guide.md", "[acme]").replace("http://127.0.0.1:9001", region["admin"])
    profile = re.sub(r'access_key = ".*"', f'access_key = "{made["access_key"]}"', profile)
    profile = re.sub(r'secret_key = ".*"', f'secret_key = "{made["secret_key"]}"', profile)
    file = walk.folder / ".config" / "dhow" / "profiles.toml"
    file.parent.mkdir(parents=True)
    file.write_text(profile)
    file.chmod(0o600)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"):
        walk.env.pop(name, None)
    for command in ("dhow bucket list --profile acme", "export DHOW_PROFILE=acme; dhow bucket list"):
        assert "papers" in walk.run(command, **away)
    text = walk.block("guide.md", f"export {shown}\nexport AWS_REGION")
    text = text.replace(shown, keys)
    text = text.replace("https://s3.eu-central-1.example.net",
                        walk.fleet.regions["eu-central-1"]["endpoint"])
    assert "papers" in walk.run(text, **away)


def test_every_block_of_commands_is_run_or_says_why_not(walk):
    left = set()
    for page in PAGES:
        for words, text in blocks(page):
            if " on=" in words or not (COMMAND.search(text) or words == "python"):
                continue
            first_steps = page.name == "README.md" and not text.startswith("make run")
            begins = [begin for at, begin in {*walk.ran, *NOT_RUN}
                      if at == page.name and text.startswith(begin)]
            if not begins and not first_steps:
                left.add((page.name, text.splitlines()[0]))
    assert not left
    stale = {(page, begin) for page, begin in NOT_RUN
             if not any(text.startswith(begin) for found in PAGES if found.name == page
                        for _, text in blocks(found))}
    assert not stale


def options(command):
    """What `--help` of a command names, and of its subcommands, by their words."""
    said = subprocess.run([BIN, *command, "--help"], capture_output=True, text=True, timeout=30)
    assert said.returncode == 0, command
    return said.stdout


def test_every_command_in_the_text_is_one():
    """`dhow …` in the text: its words are commands, and its options are theirs."""
    known, wrong = {}, []
    for page in PAGES:
        prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.M | re.S)
        for span in re.findall(r"`dhow ([^`]+)`", prose):
            words = span.split()
            command = []
            while len(command) < len(words) and re.fullmatch(r"[a-z-]+", words[len(command)]):
                at = tuple(command)
                known.setdefault(at, options(at))
                if not re.search(rf"^  {words[len(command)]}\b", known[at], re.M):
                    break
                command.append(words[len(command)])
            at = tuple(command)
            known.setdefault(at, options(at))
            flags = [w.split("=")[0] for w in words if w.startswith("--")]
            missing = [f for f in flags if not re.search(rf"{f}\b", known[at])]
            if missing or not (command or flags):
                wrong.append((page.name, span, missing))
    assert not wrong
