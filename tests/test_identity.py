"""Whose a data folder is, what regions may be called, and who administers."""

import hashlib
import http.client
import json
import shutil
import subprocess
import time
import urllib.parse

import pytest

from dhow import BIN, Client, Dhow


def refused_start(process, *args):
    """What a start with these arguments says that must not come about."""
    process.args = list(args)
    with pytest.raises(RuntimeError) as refused:
        process.start()
    return str(refused.value)


def owner(data):
    return json.loads((data / "owner.json").read_text())


def test_a_folder_refuses_to_start_as_another_region(tmp_path):
    """Started once under another id, it would take every bucket for one of another region's."""
    data = tmp_path / "data"
    dhow = Dhow(data, ["--region", "aaa-1"]).start()
    try:
        s3 = dhow.client()
        assert s3.request("PUT", "/kept")[0] == 200
        assert s3.put("kept", "small", b"s" * 100)[0] == 200
        assert s3.put("kept", "large", b"l" * 3_000_000)[0] == 200
        assert dhow.stop() == 0
        assert owner(data)["region"] == "aaa-1"
        for args in ([], ["--region", "bbb-1"]):
            why = refused_start(dhow, *args)
            asked = args[-1] if args else "local-1"
            assert "belongs to region aaa-1" in why and f"as region {asked}" in why, why
            assert "--region aaa-1" in why, "it says what to do"
        # A folder from before it was written down: the registry knows whose key it holds.
        (data / "owner.json").unlink()
        why = refused_start(dhow)
        assert "belongs to region aaa-1" in why, why
        assert not (data / "owner.json").exists()
        dhow.args = ["--region", "aaa-1"]
        dhow.start()
        assert owner(data)["region"] == "aaa-1"
        s3 = dhow.client()
        assert s3.get("kept", "small")[2] == b"s" * 100
        assert s3.get("kept", "large")[2] == b"l" * 3_000_000
        assert dhow.stop() == 0
        # The folder of another cloud, copied over.
        other = tmp_path / "other"
        second = Dhow(other, ["--region", "aaa-1"]).start()
        second.stop()
        for name in ("authority.pem", "authority-key.pem"):
            shutil.copy(other / name, data / name)
        why = refused_start(dhow, "--region", "aaa-1")
        assert owner(data)["cloud"] in why and owner(other)["cloud"] in why, why
        # Without the file's content it is nobody's, and is not opened as anybody's.
        (data / "owner.json").write_text("{")
        assert "owner.json" in refused_start(dhow, "--region", "aaa-1")
    finally:
        dhow.kill()


def test_a_region_that_joined_stays_the_one_it_is(tmp_path):
    keeper = Dhow(tmp_path / "keeper", ["--region", "first-1", "--peer", "127.0.0.1:0"]).start()
    member = Dhow(tmp_path / "member", [])
    try:
        token = keeper.cli_json("region", "open", "second-1", "--jurisdiction", "DE",
                                "--operator", "own", "--json")["token"]
        joining = ["--peer", "127.0.0.1:0", "--join", token]
        member.args = joining
        member.start()
        assert member.region == "second-1" and owner(member.data)["region"] == "second-1"
        assert owner(member.data)["cloud"] == owner(keeper.data)["cloud"]
        member.stop()
        # The same command again, or without a word about the region, or with its own id.
        for args in (joining, joining[:2], [*joining[:2], "--region", "second-1"]):
            member.args = args
            member.start()
            assert member.region == "second-1"
            member.stop()
        why = refused_start(member, *joining[:2], "--region", "third-1")
        assert "belongs to region second-1" in why and "third-1" in why, why
        token = keeper.cli_json("region", "open", "third-1", "--jurisdiction", "DE",
                                "--operator", "own", "--json")["token"]
        why = refused_start(member, *joining[:2], "--join", token)
        assert "belongs to region second-1" in why and "third-1" in why, why
        # Two tokens that were taken for each other make no machine the other region.
        swapped = Dhow(tmp_path / "swapped", [])
        why = refused_start(swapped, *joining[:2], "--region", "fourth-1", "--join", token)
        assert "the token is for region third-1" in why and "fourth-1" in why, why
        assert not (swapped.data / "master.key").exists()
        assert keeper.cli_json("region", "show", "third-1", "--json")["status"] == "planned"
    finally:
        member.kill()
        keeper.kill()


def eventually(check, what, timeout=60):
    deadline = time.monotonic() + timeout
    while not (found := check()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def probe(cloud, path):
    at = json.loads((cloud.data / "running.json").read_text())["metrics"]
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(at).netloc, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_a_registry_from_a_backup_changes_nothing_that_others_know_better(tmp_path):
    peer = ["--region", "first-1", "--peer", "127.0.0.1:24071"]
    keeper = Dhow(tmp_path / "keeper", peer).start()
    member = Dhow(tmp_path / "member")
    try:
        token = keeper.cli_json("region", "open", "second-1", "--jurisdiction", "DE",
                                "--operator", "own", "--json")["token"]
        member.args = ["--peer", "127.0.0.1:0", "--join", token]
        member.start()
        eventually(lambda: "open" in keeper.cli("region", "list").stdout.split("second-1")[1],
                   "the region is open")
        keeper.stop()
        shutil.copytree(keeper.data, tmp_path / "backup")
        keeper.start()
        # With the others there, a start waits for nothing for long.
        first = keeper.client()
        assert first.request("PUT", "/given-once")[0] == 200
        made = keeper.cli_json("bucket", "create", "known-there", "--home", "second-1", "--json")
        there = member.client()
        there.access_key, there.secret_key = keeper.access_key, keeper.secret_key
        eventually(lambda: there.request("HEAD", "/known-there")[0] == 200, "the region has heard")
        assert keeper.client().request("GET", "/")[0] == 200
        keeper.stop()
        shutil.move(keeper.data, tmp_path / "newest")
        shutil.copytree(tmp_path / "backup", keeper.data)
        keeper.start()
        # Whether a key that it knows was disabled since, it cannot know: it serves nothing, from
        # its first answer on, and tells other regions nothing.
        status, _, why = keeper.client().request("GET", "/")
        assert status == 503 and b"older state" in why, why
        # It has heard nothing yet, and gives the name away to nobody.
        for args in (["bucket", "create", "given-once"], ["account", "create", "acme"]):
            refused = keeper.cli(*args, check=False)
            assert refused.returncode == 1 and "older state" in refused.stderr, refused.stderr
        status, _, why = keeper.client().request("PUT", "/given-once")
        assert status == 503, why
        assert "put back to an older state" in keeper.log_text()
        assert there.request("HEAD", "/known-there")[0] == 200 and made["id"]
        for path in ("/", "/known-there"):
            status, _, why = keeper.client().request("GET", path)
            assert status == 503 and b"newest copy of its data folder" in why, why
        eventually(lambda: "its region changes nothing" in member.log_text(), "it is refused, too")
        status, metrics = probe(keeper, "/metrics")
        assert status == 200 and "dhow_registry_behind 1" in metrics, metrics
        status, why = probe(keeper, "/-/health/ready")
        assert status == 503 and "older state" in why, why
        doctor = keeper.cli("doctor", check=False).stdout
        assert "put back to an older state than other regions have" in doctor, doctor
        # The way out that it names.
        keeper.stop()
        shutil.rmtree(keeper.data)
        shutil.move(tmp_path / "newest", keeper.data)
        keeper.start()
        eventually(lambda: keeper.client().request("HEAD", "/given-once")[0] == 200,
                   "the newest folder is served once the other region was asked")
        keeper.cli("account", "create", "acme")
    finally:
        member.kill()
        keeper.kill()


def plan(keeper, region):
    done = keeper.cli("region", "open", region, "--jurisdiction", "DE", "--operator", "own",
                      check=False)
    return done.returncode, done.stderr


def test_no_region_is_called_like_a_name_that_signatures_may_carry(tmp_path):
    """Keys are derived from names: a region with the name of an alias would hold the keys of the
    registry's region."""
    peer = ["--region", "first-1", "--peer", "127.0.0.1:0"]
    keeper = Dhow(tmp_path / "keeper", peer).start()
    member = Dhow(tmp_path / "member")
    try:
        for name in ("us-east-1", "us-east-l", "useast1", "us--east-1", "auto", "aut0", "first-l",
                     "US-EAST-1", "Auto", "-us-east-1", "all", "none"):
            code, why = plan(keeper, name)
            assert code != 0, name
            assert "Traceback" not in why and "panicked" not in why
        assert plan(keeper, "second-1")[0] == 0
        keeper.stop()
        # The other order: the alias comes after the plan. Nothing is opened.
        keeper.args = [*peer, "--region-alias", "second-1"]
        why = refused_start(keeper, *keeper.args)
        assert "`second-1` is an alias of the registry's region" in why, why
        # An alias that is given up is a name like another; its keys open the region alone.
        keeper.args = [*peer, "--region-alias", "auto"]
        keeper.start()
        token = keeper.cli_json("region", "open", "us-east-1", "--jurisdiction", "US",
                                "--operator", "own", "--json")["token"]
        member.args = ["--peer", "127.0.0.1:0", "--join", token]
        member.start()
        assert member.region == "us-east-1"
        s3 = keeper.client()
        assert s3.request("GET", "/")[0] == 200
        s3.region = "us-east-1"
        status, _, why = s3.request("GET", "/")
        assert status in (400, 403), why
        keeper.stop()
        why = refused_start(keeper, *peer)
        assert "`us-east-1` is an alias of the registry's region" in why, why
    finally:
        member.kill()
        keeper.kill()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    cloud = Dhow(tmp_path_factory.mktemp("alone") / "data", ["--peer", "127.0.0.1:0"]).start()
    yield cloud
    log = cloud.log_text()
    cloud.kill()
    assert "panicked" not in log


def host(url):
    return urllib.parse.urlsplit(url).netloc


def admin(cloud, method, path, body=None, key=None, to=None, service=None, signed_host=None):
    """(status, answer) of a request to the admin API, or to the listener `to`."""
    data = b"" if body is None else json.dumps(body).encode()
    signer = Client(signed_host or host(to or cloud.info["admin"]), cloud.region,
                    *(key or (cloud.access_key, cloud.secret_key)), service=service)
    target, _, query = ("/-/admin/v1/" + path).partition("?")
    headers = signer.headers(method, target, query, payload=hashlib.sha256(data).hexdigest())
    connection = http.client.HTTPConnection(host(to or cloud.info["admin"]), timeout=30)
    try:
        connection.request(method, target + ("?" + query if query else ""), data, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def key_of(cloud, *kind):
    account = cloud.cli_json("account", "create", f"somebody-{time.monotonic_ns()}", "--json",
                             *kind)["id"]
    made = cloud.cli_json("key", "create", "--account", account, "--json")
    return account, (made["access_key"], made["secret_key"])


def test_a_signature_for_one_service_opens_nothing_at_the_other(alone):
    """The path alone does not tell them apart: the same words can be signed for either listener."""
    assert admin(alone, "GET", "accounts")[0] == 200
    s3, api = alone.info["endpoint"], alone.info["admin"]
    for signed_host in (host(s3), host(api)):
        status, why = admin(alone, "GET", "accounts", service="s3", signed_host=signed_host)
        assert status == 400 and "serves the admin API, and not S3" in why, why
        status, why = admin(alone, "POST", "accounts", {"name": "planted"}, service="s3",
                            signed_host=signed_host)
        assert status == 400 and "not S3" in why, why
        # And the reverse, at paths that are good there.
        for method, path in (("GET", "/"), ("PUT", "/planted"), ("GET", "/-/admin/v1/accounts")):
            client = Client(signed_host, alone.region, alone.access_key, alone.secret_key,
                            service="dhow-admin")
            headers = client.headers(method, path)
            connection = http.client.HTTPConnection(host(s3), timeout=30)
            connection.request(method, path, b"", headers)
            assert connection.getresponse().status in (400, 403)
            connection.close()
    assert "planted" not in admin(alone, "GET", "accounts")[1]
    assert alone.client().request("HEAD", "/planted")[0] == 404


def test_auditors_and_operators_keep_no_data(alone):
    alone.client().request("PUT", "/full")
    for kind in (["--auditor"], ["--operator", "own"]):
        account, key = key_of(alone, *kind)
        s3 = Client(alone.host, alone.region, *key)
        assert s3.request("GET", "/")[0] == 200
        for method, path, query in (
                ("PUT", "/theirs", ""), ("PUT", "/full/k", ""), ("POST", "/full/k", "uploads"),
                ("DELETE", "/full/k", ""), ("DELETE", "/full", ""), ("PUT", "/full", "versioning")):
            status, _, why = s3.request(method, path, query)
            assert status == 403 and b"AccessDenied" in why, (kind, method, path, why)
        status, why = admin(alone, "POST", "buckets", {"name": "for-them", "owner": account})
        assert status == 409 and "keeps no data" in why, why


def test_the_audit_log_names_the_key_and_not_the_owner(alone):
    account, key = key_of(alone)
    s3 = Client(alone.host, alone.region, *key)
    assert s3.request("PUT", "/theirs-1")[0] == 200
    assert s3.request("DELETE", "/theirs-1")[0] in (200, 204)
    assert admin(alone, "POST", "buckets", {"name": "theirs-2", "owner": account})[0] == 200
    log = [json.loads(json.dumps(e)) for e in alone.cli_json("audit", "show", "--json")]
    actors = {(e["action"], e["subject"]): e["actor"] for e in log}
    theirs = f"account {account} key {key[0]}"
    assert actors["bucket.create", "theirs-1"] == actors["bucket.delete", "theirs-1"] == theirs
    assert alone.access_key in actors["bucket.create", "theirs-2"], "root acted, not the owner"


def test_texts_of_others_reach_no_terminal(alone):
    account, _ = key_of(alone)
    for bad in ("\x1b]0;owned\x07", "a\nb", "\x9b2J", "\u202egpj.exe", "x" * 60_000):
        for path, body in (("accounts", {"name": bad}),
                           ("keys", {"account": account, "description": bad}),
                           ("operators", {"id": "new", "name": bad})):
            assert admin(alone, "POST", path, body)[0] == 400, (path, bad[:20])
    # A query that is misspelt is not the question without it.
    assert admin(alone, "GET", f"keys?acount={account}")[0] == 400
    assert admin(alone, "GET", f"keys?account={account}")[0] == 200
    # What a person types and a server says back.
    done = alone.cli("account", "suspend", "\x1b[31mred", check=False)
    assert done.returncode == 1 and "\x1b" not in done.stderr and "\x1b" not in done.stdout


def test_somebody_can_always_administer(tmp_path):
    cloud = Dhow(tmp_path / "data").start()
    try:
        first = cloud.access_key
        refused = cloud.cli("key", "disable", first, check=False)
        assert refused.returncode == 1 and "nobody could administer" in refused.stderr
        refused = cloud.cli("key", "delete", first, check=False)
        assert refused.returncode == 1
        running = cloud.cli("key", "recover", check=False)
        assert running.returncode == 1 and "is running" in running.stderr, running.stderr
        cloud.stop()
        # The secret is lost, and with it the way in.
        (cloud.data / "credentials.json").unlink()
        made = cloud.cli_json("key", "recover", "--json")
        assert made["access_key"] != first
        cloud.start()
        assert cloud.access_key == made["access_key"]
        keys = {k["access_key"]: k["status"] for k in cloud.cli_json("key", "list", "--json")}
        assert keys == {first: "active", made["access_key"]: "active"}
        cloud.cli("key", "disable", first)
        log = cloud.cli_json("audit", "show", "--json")
        made_by = [e["actor"] for e in log if e["action"] == "key.create"]
        assert made_by == ["system", "system"]
        nothing = cloud.cli("key", "recover", "--data", tmp_path / "elsewhere", check=False)
        assert nothing.returncode != 0
    finally:
        cloud.kill()


def test_an_admin_listener_for_others_takes_a_word(tmp_path):
    cloud = Dhow(tmp_path / "data")
    command = [BIN, "up", "--json", "--data", cloud.data, "--listen", "127.0.0.1:0",
               "--metrics", "127.0.0.1:0", "--admin", "0.0.0.0:0"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "--admin-plaintext" in done.stderr, done.stderr
    assert not cloud.data.exists()
    cloud.args = ["--admin-plaintext"]
    cloud.listeners = lambda: ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
                           "--admin", "0.0.0.0:0"]
    cloud.start()
    assert cloud.stop() == 0


def test_clear_text_off_loopback_needs_a_word(tmp_path):
    data, config = tmp_path / "data", tmp_path / "dhow.toml"
    config.write_text(f'data = "{data}"\nlisten = "0.0.0.0:0"\n')
    for command in (["up", "--json", "--data", data, "--listen", "0.0.0.0:0"],
                    ["serve", "--config", config], ["config", "check", config]):
        done = subprocess.run([str(c) for c in (BIN, *command)], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 1 and "S3 has no TLS" in done.stderr, done
        for word in ("--tls", "--trusted-proxy", "allow_clear_text = true", "--allow-clear-text"):
            assert word in done.stderr, word
        assert not data.exists()
    config.write_text(config.read_text() + "allow_clear_text = true\n")
    checked = subprocess.run([str(BIN), "config", "check", str(config)], capture_output=True,
                             text=True, timeout=60)
    assert checked.returncode == 0, checked


def test_a_certificate_is_taken_back_or_the_request_fails(alone, tmp_path):
    token = alone.cli_json("region", "open", "second-1", "--jurisdiction", "DE",
                           "--operator", "own", "--json")["token"]
    member = Dhow(tmp_path / "member", ["--peer", "127.0.0.1:0", "--join", token]).start()
    try:
        pem = member.data / "certificate.pem"
        shown = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", str(pem)],
                               capture_output=True, text=True, check=True).stdout
        serial = shown.strip().partition("=")[2]
        region = json.loads(admin(alone, "GET", "regions/second-1")[1])
        assert [c["serial"] for c in region["certificates"]] == [serial.lower()]
        for bad in ("", "nonsense", "7g", "0x" + serial, serial + "\n", "1" * 50):
            assert admin(alone, "POST", "regions/second-1/revoke", {"serial": bad})[0] == 400, bad
        never = f"{int(serial, 16) ^ 1:x}"
        status, why = admin(alone, "POST", "regions/second-1/revoke", {"serial": never})
        assert status == 409 and "no certificate" in why, why
        assert admin(alone, "POST", "regions/nowhere/revoke", {"serial": serial})[0] == 404
        pairs = ":".join(serial[i:i + 2] for i in range(0, len(serial), 2)).upper()
        status, answer = admin(alone, "POST", "regions/second-1/revoke", {"serial": pairs})
        assert status == 200 and json.loads(answer)["revoked"] == [serial.lower()], answer
        deadline = time.monotonic() + 60
        while "CertificateRevoked" not in member.log_text():
            assert time.monotonic() < deadline, "the region still speaks to the registry"
            time.sleep(0.1)
        # All of a region's, whatever they are.
        status, answer = admin(alone, "POST", "regions/second-1/revoke", {})
        assert status == 200 and serial.lower() in answer
    finally:
        member.kill()
