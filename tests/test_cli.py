"""The command line, as a person and as a script use it."""

import json
import os
import socket
import subprocess
import time
import urllib.request

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import client_for
from dhow import BIN, Dhow


def run(*args, timeout=60, env=None):
    return subprocess.run([str(BIN), *map(str, args)], capture_output=True, text=True,
                          timeout=timeout, env=env)


def test_help_teaches():
    top = run("--help")
    assert top.returncode == 0
    for word in ("up", "serve", "account", "key", "doctor", "scrub", "bench"):
        assert word in top.stdout
        page = run(word, "--help")
        assert page.returncode == 0 and len(page.stdout) > 200, word
    assert run("--version").stdout.startswith("dhow ")
    unknown = run("frobnicate")
    assert unknown.returncode == 2 and "frobnicate" in unknown.stderr


def test_ready_line_is_one_line_of_json(own_cloud):
    own_cloud.start()
    for key in ("endpoint", "region", "access_key", "secret_key", "admin"):
        assert own_cloud.info[key]
    own_cloud.process.send_signal(2)
    rest, _ = own_cloud.process.communicate(timeout=30)
    assert rest == b"", "nothing else goes to standard output"
    assert own_cloud.process.returncode == 0
    own_cloud.process = None


def test_a_restart_keeps_data_and_keys(own_cloud):
    own_cloud.start()
    s3, first = client_for(own_cloud), own_cloud.info
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"kept")
    assert own_cloud.stop() == 0
    own_cloud.start()
    assert own_cloud.info["secret_key"] == first["secret_key"]
    assert client_for(own_cloud).get_object(Bucket="kept", Key="k")["Body"].read() == b"kept"


def test_accounts_and_keys(own_cloud):
    own_cloud.start()
    account = own_cloud.cli_json("account", "create", "acme", "--json")
    assert len(account["id"]) == 12 and account["id"].isdigit()
    assert "acme" in own_cloud.cli("account", "list").stdout
    assert any(a["name"] == "acme" for a in own_cloud.cli_json("account", "list", "--json"))
    key = own_cloud.cli_json("key", "create", "--account", account["id"], "--json")
    s3 = client_for(own_cloud, key["access_key"], key["secret_key"])
    s3.create_bucket(Bucket="acme-data")
    listed = own_cloud.cli_json("key", "list", "--account", account["id"], "--json")
    assert [k["access_key"] for k in listed] == [key["access_key"]]
    assert key["secret_key"] not in json.dumps(listed)
    told = own_cloud.cli_json("key", "disable", key["access_key"], "--json")
    assert told == {"access_key": key["access_key"], "status": "disabled"}
    with pytest.raises(Exception, match="InvalidAccessKeyId|does not exist"):
        s3.list_buckets()
    own_cloud.cli("key", "delete", key["access_key"])
    own_cloud.stop()
    own_cloud.start()
    with pytest.raises(Exception, match="InvalidAccessKeyId|does not exist"):
        client_for(own_cloud, key["access_key"], key["secret_key"]).list_buckets()


def test_an_existing_pair_can_be_brought_along(own_cloud):
    own_cloud.start()
    account = own_cloud.cli_json("account", "create", "mover", "--json")
    access, secret = "AKIAMOVERFROMAFAR001", "9d41aK2h/EXISTINGexistingEXISTING0000xyz"
    own_cloud.cli("key", "create", "--account", account["id"], "--access-key", access,
                  "--secret-key", secret)
    client_for(own_cloud, access, secret).create_bucket(Bucket="moved-in")
    again = own_cloud.cli("key", "create", "--account", account["id"], "--access-key", access,
                          "--secret-key", secret, check=False)
    assert again.returncode != 0 and access in again.stderr
    weak = own_cloud.cli("key", "create", "--account", account["id"], "--access-key",
                         "minioadmin", "--secret-key", "minioadmin", check=False)
    assert weak.returncode != 0


def test_doctor_and_scrub(own_cloud):
    own_cloud.start()
    s3 = client_for(own_cloud)
    s3.create_bucket(Bucket="scrubbed")
    for n in range(20):
        s3.put_object(Bucket="scrubbed", Key=str(n), Body=bytes(n * 9000))
    doctor = own_cloud.cli("doctor", check=False)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    for word in ("clock", "disk", "port", "file"):
        assert word in doctor.stdout.lower(), word
    online = own_cloud.cli_json("scrub", "--json")
    assert online["damaged"] == [] and online["bytes"] > 0
    own_cloud.stop()
    stopped = own_cloud.cli("doctor", check=False)
    assert stopped.returncode == 0 and "no Dhow is running on" in stopped.stdout, stopped.stdout
    offline = own_cloud.cli_json("scrub", "--repair", "--json")
    assert offline["bytes"] == offline["bytes_total"] > 0
    assert 0 < online["bytes"] <= online["bytes_total"]
    assert offline["damaged"] == []


def test_errors_name_what_to_do(own_cloud, tmp_path):
    nobody = run("account", "list", "--data", tmp_path / "nothing")
    assert nobody.returncode != 0 and "dhow up" in nobody.stderr
    own_cloud.start()
    second = run("up", "--data", own_cloud.data, "--listen", "127.0.0.1:0", "--admin",
                 "127.0.0.1:0", "--metrics", "127.0.0.1:0")
    assert second.returncode != 0 and "running" in second.stderr.lower()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        clash = run("up", "--data", tmp_path / "other", "--listen", f"127.0.0.1:{port}")
        assert clash.returncode != 0 and str(port) in clash.stderr
    config = tmp_path / "bad.toml"
    config.write_text("lissten = '127.0.0.1:1'\n")
    bad = run("serve", "--config", config)
    assert bad.returncode != 0 and "lissten" in bad.stderr
    wrong = {"AWS_ACCESS_KEY_ID": "AKIDWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
    at = ("--admin-region", own_cloud.region, "--endpoint")
    for endpoint, said in ((own_cloud.info["admin"], "its secret"),
                           (own_cloud.endpoint, "one above S3")):
        failed = run("bucket", "list", *at, endpoint, env={**os.environ, **wrong})
        assert failed.returncode != 0 and said in failed.stderr, failed.stderr


@pytest.mark.parametrize("listener", ["admin", "metrics", "console"])
def test_a_client_of_s3_at_another_listener_is_told_so(cloud, listener):
    s3 = boto3.client(
        "s3", endpoint_url=cloud.info[listener], region_name=cloud.region,
        aws_access_key_id=cloud.access_key, aws_secret_access_key=cloud.secret_key)
    with pytest.raises(ClientError) as e:
        s3.list_buckets()
    assert "and not S3" in e.value.response["Error"]["Message"], e.value.response


def test_serve_from_a_config_file(tmp_path):
    defaults = run("config", "print-default")
    assert defaults.returncode == 0 and "durability" in defaults.stdout
    config = tmp_path / "dhow.toml"
    config.write_text(defaults.stdout)
    assert run("doctor", "--config", config).returncode in (0, 1)


def test_relaxed_durability_is_named_in_the_log(tmp_path):
    server = Dhow(tmp_path / "data", args=["--durability", "relaxed"])
    server.start()
    try:
        assert "relaxed" in server.log_text()
    finally:
        server.stop()


def test_json_logs(tmp_path):
    server = Dhow(tmp_path / "data", args=["--log-format", "json"])
    server.start()
    server.stop()
    lines = [line for line in server.log_text().splitlines() if line.strip()]
    assert lines and all(json.loads(line) for line in lines)


def test_bench_measures(own_cloud):
    own_cloud.start()
    done = own_cloud.cli("bench", "put", "--size", "4KiB", "--connections", "4", "--requests",
                         "200", "--json")
    report = json.loads(done.stdout)
    text = json.dumps(report)
    assert "p99" in text and "errors" in text


def test_idle_memory_is_small(own_cloud):
    own_cloud.start()
    metrics = urllib.request.urlopen(own_cloud.info["metrics"] + "/metrics", timeout=5).read()
    assert metrics
    # Without the pages of the program's file: a build for tests has twice as many as a release build,
    # which takes 20 MiB of them, and so stays under 64 MiB.
    status = open(f"/proc/{own_cloud.process.pid}/status").read()
    kib = {line.split()[0]: int(line.split()[1]) for line in status.splitlines()
           if line.startswith("Rss")}
    assert kib["RssAnon:"] + kib["RssShmem:"] < 32 << 10, kib


def test_accounts_go_by_name_and_names_are_given_once(cloud):
    account = cloud.cli_json("account", "create", "by-name", "--json")
    key = cloud.cli_json("key", "create", "--account", "by-name", "--json")
    assert key["account"] == account["id"]
    listed = cloud.cli_json("key", "list", "--account", "by-name", "--json")
    assert [k["access_key"] for k in listed] == [key["access_key"]]
    again = cloud.cli("account", "create", "by-name", check=False)
    assert again.returncode != 0 and account["id"] in again.stderr
    unknown = cloud.cli("key", "create", "--account", "nobody", check=False)
    assert unknown.returncode != 0 and "dhow account list" in unknown.stderr


def test_what_is_not_there_is_not_taken_for_done(cloud):
    promoted = cloud.cli("region", "promote", "nosuch", check=False)
    assert promoted.returncode != 0 and "no region nosuch" in promoted.stderr
    plan = ("region", "plan", "nowhere-1", "--city", "X", "--latitude", "1",
            "--longitude", "2", "--operator", "own")
    for country, hint in (("QQ", "ISO 3166-1"), ("UK", "GB"), ("EU", "group")):
        planned = cloud.cli(*plan, "--jurisdiction", country, check=False)
        assert planned.returncode != 0 and hint in planned.stderr, planned.stderr


def test_the_command_line_reaches_a_cloud_elsewhere(cloud):
    """With an address and a key, and without the cloud's folder."""
    env = {**os.environ, "DHOW_ADMIN": cloud.info["admin"], "AWS_REGION": cloud.region,
           "AWS_ACCESS_KEY_ID": cloud.access_key, "AWS_SECRET_ACCESS_KEY": cloud.secret_key}
    env.pop("DHOW_DATA", None)
    run = lambda *args, **more: subprocess.run([str(BIN), *args], capture_output=True, text=True,
                                               timeout=60, env={**env, **more}, cwd="/")
    listed = run("account", "list", "--json")
    assert listed.returncode == 0 and "root" in listed.stdout, listed.stderr
    # A tenant's administrator makes keys of the own account, and nothing else.
    account = json.loads(run("account", "create", "far-tenant", "--json").stdout)["id"]
    pair = json.loads(run("key", "create", "--account", account, "--admin", "--json").stdout)
    tenant = {"AWS_ACCESS_KEY_ID": pair["access_key"], "AWS_SECRET_ACCESS_KEY": pair["secret_key"]}
    assert run("key", "create", "--account", "far-tenant", "--json", **tenant).returncode == 0
    assert run("account", "create", "x", **tenant).returncode != 0
    for more, text in (({"AWS_REGION": "elsewhere-1"}, cloud.region),
                       ({"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID"),
                       ({"DHOW_ADMIN": "https://h"}, "https://host:port")):
        refused = run("account", "list", **more)
        assert refused.returncode != 0 and text in refused.stderr, refused.stderr


def test_a_profile_names_a_cloud_elsewhere_and_a_key(cloud, tmp_path):
    file = tmp_path / "profiles.toml"
    file.write_text(f"""
[root]
endpoint = "{cloud.info['admin']}"
region = "{cloud.region}"
access_key = "{cloud.access_key}"
secret_key = "{cloud.secret_key}"
""")
    file.chmod(0o600)
    env = {**os.environ, "DHOW_PROFILES": str(file)}
    for name in ("DHOW_DATA", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        env.pop(name, None)
    run = lambda *args: subprocess.run([str(BIN), *args], capture_output=True, text=True,
                                       timeout=60, env=env, cwd=tmp_path)
    listed = run("account", "list", "--profile", "root", "--json")
    assert listed.returncode == 0 and "root" in listed.stdout, listed.stderr
    unknown = run("account", "list", "--profile", "other")
    assert unknown.returncode != 0 and "it has: root" in unknown.stderr, unknown.stderr
    file.chmod(0o644)
    readable = run("account", "list", "--profile", "root")
    assert readable.returncode != 0 and "chmod 600" in readable.stderr, readable.stderr


def test_key_list_says_whose_keys_they_are_and_what_they_may(cloud):
    cloud.cli("account", "create", "roles")
    for more, role in (((), "customer"), (("--admin",), "tenant admin")):
        made = cloud.cli_json("key", "create", "--account", "roles", *more, "--json")
        listed = {k["access_key"]: k for k in cloud.cli_json("key", "list", "--json")}
        found = listed[made["access_key"]]
        assert (found["account_name"], found["role"]) == ("roles", role)
        line = next(l for l in cloud.cli("key", "list").stdout.splitlines()
                    if made["access_key"] in l)
        assert "roles" in line and role in line
    assert listed[cloud.access_key]["role"] == "cloud operator"


def human(data, *args):
    """What `dhow up` says to a person until it is ready, and how it ends."""
    command = [str(BIN), "up", "--data", str(data), "--listen", "127.0.0.1:0", *args]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = ""
    for line in process.stderr:
        said += line
        if "Ctrl-C stops" in line:
            break
    env = subprocess.run([str(BIN), "env", "--data", str(data)], capture_output=True, text=True,
                         timeout=60)
    process.send_signal(2)
    process.communicate(timeout=60)
    return said, env.stdout


@pytest.mark.parametrize("more", [(), ("--regions", "2")], ids=["one", "fleet"])
def test_the_root_secret_is_shown_once_and_env_has_it(tmp_path, more):
    data = tmp_path / "a folder"
    first, env = human(data, *more)
    file = data / ("cn-hangzhou" if more else "") / "credentials.json"
    secret = json.loads(file.read_text())["secret_key"]
    assert first.count(secret) == 1 and "shown this once" in first, first
    again, _ = human(data, *more)
    assert secret not in again and f"Secret key  in {file}" in again, again
    # A shell takes what `dhow env` prints, and everything finds the cloud with it.
    names = "DHOW_DATA AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_ENDPOINT_URL"
    script = env + "".join(f'\necho "${name}"' for name in names.split()) + "\ncommand -v dhow\n"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30,
                           env={"PATH": "/usr/bin:/bin"})
    told = shell.stdout.splitlines()
    assert (told[0], told[2], told[5]) == (str(data), secret, str(BIN)), (env, shell)
    assert told[4].startswith("http://127.0.0.1:")


def test_admin_and_metrics_follow_the_s3_port(tmp_path):
    # Somebody else may take a port meanwhile: then others are tried.
    end = time.monotonic() + 60
    while True:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        port -= 2_000 if port > 65_000 else 0
        server = Dhow(tmp_path / f"d{port}")
        server.listeners = lambda: ["--listen", f"127.0.0.1:{port}"]
        try:
            info = server.start().info
            break
        except RuntimeError as error:
            assert "cannot listen on" in str(error) and time.monotonic() < end, error
    try:
        assert info["admin"] == f"http://127.0.0.1:{port + 1}"
        assert info["metrics"] == f"http://127.0.0.1:{port + 2}"
    finally:
        server.kill()


@pytest.mark.parametrize("flag", [("--admin", "127.0.0.1:0"), ("--metrics", "127.0.0.1:0"),
                                  ("--jurisdiction", "AE"), ("--operator", "own")])
def test_a_fleet_refuses_what_it_would_not_heed(tmp_path, flag):
    refused = run("up", "--regions", "2", "--data", tmp_path / "f", *flag)
    assert refused.returncode == 2 and flag[0] in refused.stderr, refused.stderr
    everywhere = run("up", "--regions", "2", "--data", tmp_path / "f", "--listen", "0.0.0.0:0")
    assert everywhere.returncode != 0 and "three-machines" in everywhere.stderr


def test_a_region_that_cannot_start_says_why(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = run("up", "--regions", "1", "--data", tmp_path / "f", "--listen",
                     f"127.0.0.1:{port}")
    assert failed.returncode != 0, failed
    assert f"cannot listen on 127.0.0.1:{port} for S3" in failed.stderr, failed.stderr
    assert "dhow.log" in failed.stderr


def test_the_token_of_a_region_is_no_argument(own_cloud):
    own_cloud.args += ["--peer", "127.0.0.1:0"]
    own_cloud.start()
    told = own_cloud.cli("region", "open", "me-east-1", "--operator", "own").stdout
    token = next(w for w in told.split() if w.startswith("DHOW_JOIN="))
    assert told.count(token.removeprefix("DHOW_JOIN=")) == 1
    assert "--join" not in told and 'region = "me-east-1"' in told and "dhow serve" in told


def test_what_the_command_line_names_comes_before_the_environment(cloud, tmp_path):
    """A command for one cloud must not be done in another one."""
    profiles = tmp_path / "profiles.toml"
    profiles.write_text('[far]\nendpoint = "http://127.0.0.1:9"\nregion = "far-1"\n'
                        'access_key = "K"\nsecret_key = "S"\n')
    profiles.chmod(0o600)
    env = {**os.environ, "DHOW_PROFILES": str(profiles)}
    for name in ("DHOW_PROFILE", "DHOW_ADMIN", "DHOW_DATA"):
        env.pop(name, None)
    def listed(*args, **more):
        return run("account", "list", *args, env={**env, **more})
    here = ("--data", cloud.data)
    for more in ({"DHOW_PROFILE": "far"}, {"DHOW_ADMIN": "http://127.0.0.1:9"},
                 {"DHOW_PROFILE": "", "DHOW_ADMIN": ""}):
        done = listed(*here, **more)
        assert done.returncode == 0 and "root" in done.stdout, done.stderr
    assert "127.0.0.1:9" in listed(DHOW_PROFILE="far", DHOW_DATA=str(cloud.data)).stderr
    elsewhere = ("--admin-url", cloud.info["admin"], "--admin-region", cloud.region)
    keys = {"AWS_ACCESS_KEY_ID": cloud.access_key, "AWS_SECRET_ACCESS_KEY": cloud.secret_key}
    assert listed(*elsewhere, DHOW_PROFILE="far", **keys).returncode == 0
    both = listed(DHOW_PROFILE="far", DHOW_ADMIN="http://127.0.0.1:9")
    assert both.returncode == 1 and "each names a cloud" in both.stderr
    for args in ((*here, "--profile", "far"), (*here, *elsewhere), ("--profile", "far", *elsewhere)):
        assert listed(*args).returncode == 2, args
    ignored = listed(*here, "--admin-region", "far-1")
    assert ignored.returncode == 1 and "--admin-region goes with" in ignored.stderr


def test_a_reader_that_ends_early_ends_the_command_quietly(cloud):
    shown = subprocess.Popen([str(BIN), "account", "list", "--data", str(cloud.data)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    shown.stdout.close()
    said = shown.stderr.read()
    assert shown.wait(timeout=60) == 141 and said == "", said


def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    if not nobody:
        folder.chmod(0)
    for command in (("account", "list"), ("env",), ("scrub",)):
        done = subprocess.run([str(BIN), *command, "--data", str(folder)], capture_output=True,
                              text=True, timeout=60, cwd="/", **nobody)
        assert done.returncode == 1 and f"cannot read {folder}: Permission" in done.stderr, done
        assert "sudo -u" in done.stderr


def test_the_folder_of_a_fleet_is_no_cloud_of_one_region(tmp_path):
    data = tmp_path / "f"
    data.mkdir()
    (data / "fleet.json").write_text('{"keeper": "a-1", "regions": ["a-1", "b-1", "c-1"]}')
    for args, says in ((("up",), "--regions 3"), (("up", "--regions", "2"), "--regions 3"),
                       (("key", "recover"), "a-1")):
        done = run(*args, "--data", data)
        assert done.returncode == 1 and "the folder of a fleet" in done.stderr, done
        assert says in done.stderr, done.stderr
    assert [entry.name for entry in data.iterdir()] == ["fleet.json"]


def test_a_running_folder_is_said_before_its_ports(own_cloud):
    own_cloud.start()
    again = run("up", "--data", own_cloud.data, "--listen", own_cloud.host)
    assert again.returncode == 1, again
    assert f"(process {own_cloud.process.pid})" in again.stderr, again.stderr
