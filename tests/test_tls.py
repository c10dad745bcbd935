"""TLS for customers and administrators, with the tools that they use."""

import hashlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from dhow import BIN, Client, Dhow
from fleet import eventually

MIB = 1 << 20


class TlsClient(Client):
    """Over TLS."""

    def __init__(self, host, region, access_key, secret_key, ca, version=None):
        super().__init__(host, region, access_key, secret_key)
        context = ssl.create_default_context(cafile=ca)
        if version:
            context.minimum_version = context.maximum_version = version
        self.connection = http.client.HTTPSConnection(host, timeout=30, context=context)


def s3(dhow, ca, **options):
    return boto3.client(
        "s3", endpoint_url=dhow.endpoint, region_name=dhow.region, verify=str(ca),
        aws_access_key_id=dhow.access_key, aws_secret_access_key=dhow.secret_key,
        config=Config(retries={"total_max_attempts": 1}, **options))


def deny_below_13(bucket):
    """A policy that refuses objects to connections with a version of TLS below 1.3."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.3"}}}]})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """One region with a certificate of its own authority."""
    dhow = Dhow(tmp_path_factory.mktemp("tls") / "data", args=["--tls"]).start()
    try:
        yield dhow
    finally:
        dhow.kill()


@pytest.fixture(scope="module")
def ca(cloud):
    return cloud.info["authority"]


def test_tools_at_their_defaults_work_with_what_env_prints(cloud, ca, tmp_path):
    shown = cloud.cli("env").stdout
    assert f"export AWS_CA_BUNDLE={ca}" in shown
    body = tmp_path / "body"
    body.write_bytes(os.urandom(9 * MIB))
    bin = Path(sys.executable).parent
    script = f"""set -e
    eval "$({BIN} env --data {cloud.data})"
    export PATH={bin}:$PATH
    aws s3 mb s3://tools
    aws s3 cp --quiet {body} s3://tools/body
    aws s3 cp --quiet s3://tools/body {tmp_path}/back
    cmp {body} {tmp_path}/back
    python3 -c 'import boto3; print(boto3.client("s3").list_buckets()["Buckets"][0]["Name"])'
    curl -sS --fail --cacert "$AWS_CA_BUNDLE" "$(aws s3 presign s3://tools/body)" -o {tmp_path}/url
    cmp {body} {tmp_path}/url
    dhow bucket list
    dhow bench put --bucket tools --requests 20 --size 4KiB --json
    """
    env = {**os.environ, "PATH": f"{Path(BIN).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120,
                          env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tools" in done.stdout


def test_whoever_does_not_trust_the_authority_is_not_talked_into_it(cloud):
    with pytest.raises(SSLError):
        s3(cloud, ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt",
           connect_timeout=30).list_buckets()


def handshake(cloud, ca, version=None, name="localhost"):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["http/1.1"])
    if version:
        context.minimum_version = context.maximum_version = version
    raw = socket.create_connection(("127.0.0.1", int(cloud.host.rpartition(":")[2])), 30)
    return context.wrap_socket(raw, server_hostname=name)


def test_versions_1_2_and_1_3_are_spoken_and_older_ones_refused(cloud, ca):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with handshake(cloud, ca, version) as connection:
            assert connection.version() == version.name.replace("_", ".")
            assert connection.selected_alpn_protocol() == "http/1.1"
    old = subprocess.run(
        ["openssl", "s_client", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-connect",
         cloud.host], input="", capture_output=True, text=True, timeout=60)
    assert "Cipher is (NONE)" in old.stdout, old.stdout


def test_a_policy_may_ask_for_a_version(cloud, ca):
    one, key = s3(cloud, ca), dict(Bucket="tls-versions", Key="k")
    one.create_bucket(Bucket="tls-versions")
    one.put_object(**key, Body=b"k")
    one.put_bucket_policy(Bucket="tls-versions", Policy=deny_below_13("tls-versions"))
    for version, status in ((ssl.TLSVersion.TLSv1_2, 403), (ssl.TLSVersion.TLSv1_3, 200)):
        client = TlsClient(cloud.host, cloud.region, cloud.access_key, cloud.secret_key, ca, version)
        assert client.get("tls-versions", "k")[0] == status, version


def test_the_certificate_is_for_names_and_addresses_of_this_machine(cloud, ca):
    for name in ("localhost", "127.0.0.1"):
        handshake(cloud, ca, name=name).close()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(cloud, ca, name="elsewhere.example")


def test_clear_text_is_told_what_to_do(cloud):
    connection = http.client.HTTPConnection(cloud.host, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 400
    assert b"https://" in answer.read()


def test_a_form_is_answered_with_an_address_that_works(cloud, ca):
    client = s3(cloud, ca)
    client.create_bucket(Bucket="forms")
    form = client.generate_presigned_post("forms", "key")
    fields = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items())
    body = fields + '--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nbytes\r\n--b--\r\n'
    url = urllib.parse.urlsplit(form["url"])
    connection = http.client.HTTPSConnection(
        url.netloc, timeout=30, context=ssl.create_default_context(cafile=ca))
    connection.request("POST", url.path, body, {"content-type": "multipart/form-data; boundary=b"})
    answer = connection.getresponse()
    assert answer.status == 204, answer.read()
    assert answer.getheader("location") == f"{cloud.endpoint}/forms/key"


def test_an_address_in_a_log_or_a_record_says_https(cloud, ca):
    assert cloud.endpoint.startswith("https://")
    regions = json.loads(cloud.cli("region", "list", "--json").stdout)
    assert regions[0]["endpoint"] == cloud.endpoint
    metrics = http.client.HTTPConnection(
        urllib.parse.urlsplit(cloud.info["metrics"]).netloc, timeout=30)
    metrics.request("GET", "/metrics")
    text = metrics.getresponse().read().decode()
    line = next(x for x in text.splitlines()
                if x.startswith("dhow_tls_certificate_expires_timestamp_seconds"))
    assert float(line.split()[1]) > time.time() + 300 * 86_400
    checks = json.loads(cloud.cli("doctor", "--json", check=False).stdout)
    tls = [c for c in checks["findings"] if c["check"] == "TLS certificate"]
    assert [c["level"] for c in tls] == ["ok"]


def certificate(folder, name, *names, ca=None):
    """A certificate for these names, self-signed: (file, key)."""
    folder.mkdir(exist_ok=True)
    at, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", key, "-out", at,
         "-addext", "subjectAltName=" + ",".join(f"DNS:{n}" for n in names)],
        check=True, capture_output=True, timeout=60)
    return at, key


class Served(Dhow):
    """`dhow serve` with a configuration."""

    def __init__(self, folder, text):
        super().__init__(folder / "data")
        self.config = folder / "dhow.toml"
        self.config.write_text(f"""data = "{folder / 'data'}"
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
metrics = "127.0.0.1:0"
{text}""")

    def start(self, timeout=60):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(BIN), "serve", "--config", str(self.config), "--json"],
                stdout=subprocess.PIPE, stderr=log, env=self.env)
        line = self.process.stdout.readline()
        assert line, self.log_text()
        self.info = json.loads(line)
        self.endpoint, self.region = self.info["endpoint"], self.info["region"]
        self.access_key, self.secret_key = self.info["access_key"], self.info["secret_key"]
        self.host = urllib.parse.urlsplit(self.endpoint).netloc
        return self


def shown(dhow, name):
    """The certificate that a client is shown which asks for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", int(dhow.host.rpartition(":")[2])), 30)
    with context.wrap_socket(raw, server_hostname=name) as connection:
        return connection.getpeercert(binary_form=True)


def der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.fixture()
def served(tmp_path):
    one = certificate(tmp_path / "one", "one", "one.example", "localhost")
    two = certificate(tmp_path / "two", "two", "two.example", "*.two.example")
    files = ",\n".join(f'{{ certificate = "{c}", key = "{k}" }}' for c, k in (one, two))
    dhow = Served(tmp_path, f"[tls]\nadmin = true\ncertificates = [{files}]\n").start()
    try:
        yield dhow, one, two
    finally:
        dhow.kill()


def test_the_name_chooses_and_files_that_change_are_read_again_under_load(served, tmp_path):
    dhow, one, two = served
    assert shown(dhow, "one.example") == der(one[0])
    assert shown(dhow, "bucket.two.example") == der(two[0])
    assert shown(dhow, "elsewhere.example") == der(one[0])

    host = f"localhost:{dhow.host.rpartition(':')[2]}"
    client = TlsClient(host, dhow.region, dhow.access_key, dhow.secret_key, one[0])
    assert client.request("PUT", "/load")[0] == 200
    stop, counts, failures = threading.Event(), [0], []

    def work():
        try:
            while not stop.is_set():
                status, _, _ = client.put("load", "key", b"bytes")
                assert status == 200
                counts[0] += 1
        except Exception as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        # A certificate without its key: what was read before stays.
        next_one = certificate(tmp_path / "next", "one", "one.example", "localhost")
        shutil.copy(next_one[0], one[0])
        eventually(lambda: "is not the key of" in dhow.log_text(), timeout=60)
        old = shown(dhow, "one.example")
        assert old != der(one[0])
        shutil.copy(next_one[1], one[1])
        eventually(lambda: shown(dhow, "one.example") == der(one[0]), timeout=60)
        before = counts[0]
        eventually(lambda: counts[0] > before or failures, timeout=60)
    finally:
        stop.set()
        worker.join()
    assert not failures, failures


def test_the_admin_api_has_tls_where_that_is_asked_for(served):
    dhow, one, _ = served
    assert dhow.info["admin"].startswith("https://")
    # On the same machine the certificate is known, whatever names it has.
    assert dhow.cli("account", "list").returncode == 0
    port = dhow.info["admin"].rpartition(":")[2]
    env = {**os.environ, "AWS_ACCESS_KEY_ID": dhow.access_key, "AWS_REGION": dhow.region,
           "AWS_SECRET_ACCESS_KEY": dhow.secret_key}

    def remote(url, **more):
        return subprocess.run([str(BIN), "account", "list", "--admin-url", url],
                              capture_output=True, text=True, timeout=60, env={**env, **more})

    done = remote(f"https://localhost:{port}", AWS_CA_BUNDLE=str(one[0]))
    assert done.returncode == 0, done.stderr
    done = remote(f"https://localhost:{port}")
    assert done.returncode == 1 and "AWS_CA_BUNDLE" in done.stderr, done.stderr
    done = remote(f"https://127.0.0.1:{port}", AWS_CA_BUNDLE=str(one[0]))
    assert done.returncode == 1, "the certificate is not for that address"


def test_files_that_cannot_be_used_are_named_before_anything_is_made(tmp_path):
    one = certificate(tmp_path / "one", "one", "one.example")
    other = certificate(tmp_path / "other", "other", "other.example")
    done = subprocess.run(
        [str(BIN), "up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--admin",
         "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--tls-certificate", str(one[0]), "--tls-key",
         str(other[1])], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"{other[1]}: it is not the key of {one[0]}" in done.stderr, done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("tls", [True, False])
def test_connections_that_never_speak_keep_nobody_out(tmp_path, tls):
    one = certificate(tmp_path / "one", "one", "localhost")
    files = f'certificates = [{{ certificate = "{one[0]}", key = "{one[1]}" }}]'
    dhow = Served(tmp_path, f"""[tls]
{files if tls else ""}
[limits]
connections = 32
head_timeout_s = 600
""").start()
    idle = []
    try:
        port = int(dhow.host.rpartition(":")[2])
        # A stranger's, many more than there is room for, and each may take ten minutes.
        idle = [socket.create_connection(("127.0.0.1", port), 30, ("127.0.0.2", 0))
                for _ in range(600)]

        def served():
            keys = f"localhost:{port}", dhow.region, dhow.access_key, dhow.secret_key
            client = TlsClient(*keys, one[0]) if tls else Client(*keys)
            return client.request("PUT", "/room")[0] == 200

        # While connections are short a handshake has one second: then once more.
        eventually(served, timeout=60)
    finally:
        for one in idle:
            one.close()
        dhow.kill()


def test_regions_of_a_fleet_have_one_authority(tmp_path):
    data = tmp_path / "fleet"
    log = open(tmp_path / "log", "ab")
    process = subprocess.Popen(
        [str(BIN), "up", "--regions", "2", "--tls", "--json", "--data", str(data), "--listen",
         "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=log)
    try:
        info = json.loads(process.stdout.readline())
        first, second = info["regions"]
        ca = first["authority"]
        assert ca == second["authority"] == str(data / "tls" / "authority.pem")
        hosts = [urllib.parse.urlsplit(r["endpoint"]).netloc for r in (first, second)]
        at = [TlsClient(host, region["region"], info["access_key"], info["secret_key"], ca)
              for host, region in zip(hosts, (first, second))]
        copied = {"x-dhow-placement-replicas": second["region"]}
        assert at[0].request("PUT", "/first", headers=copied)[0] == 200
        assert at[0].put("first", "key", b"bytes")[0] == 200
        # Its replica may not have it yet.
        eventually(lambda: at[1].get("first", "key")[0] == 200, timeout=60)
        assert at[1].get("first", "key")[2] == b"bytes"
        # A region that has no copy forwards, and says the version of its client's connection.
        passed = {"x-dhow-placement-proxy": "true"} | {
            f"x-dhow-placement-trust-{what}": second["region"] for what in ("reads", "writes")}
        assert at[0].request("PUT", "/passed", headers=passed)[0] == 200
        deny = deny_below_13("passed").encode()
        assert at[0].request("PUT", "/passed", "policy=", deny)[0] == 204
        old = TlsClient(hosts[1], second["region"], info["access_key"], info["secret_key"], ca,
                        ssl.TLSVersion.TLSv1_2)
        eventually(lambda: at[1].put("passed", "key", b"bytes")[0] == 200, timeout=60)
        assert old.put("passed", "key", b"bytes")[0] == 403
    finally:
        process.terminate()
        process.wait(60)
        log.close()
