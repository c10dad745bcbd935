"""Certificates of an ACME server, which proves the names on the S3 listener itself."""

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from authorities import Authority
from dhow import BIN, Client, Dhow
from fleet import eventually
from test_tls import certificate

# Longer than any machine needs between an order and the end of these tests' use of it.
LIFE_S = 1200
# Past the time of renewal, and less than signatures may be off.
LATER_MS = 805_000
NAMES = ("a.dhow-acme.example", "b.dhow-acme.example")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    made = certificate(folder / "own", "pebble", "localhost")
    one = Authority(folder, *made, LIFE_S)
    try:
        yield one
    finally:
        one.close()


def region(authority, data, *names, more=()):
    args = ["--acme-agree", "--acme-directory", authority.directory, "--acme-ca",
            authority.certificate, "--acme-contact", "mailto:ops@dhow-acme.example", *more]
    for name in names:
        args += ["--acme-name", name]
    dhow = Dhow(data, args=args)
    dhow.port = authority.tls
    return dhow


@pytest.fixture(scope="module")
def cloud(authority, tmp_path_factory):
    dhow = region(authority, tmp_path_factory.mktemp("acme") / "data", *NAMES).start(timeout=120)
    try:
        yield dhow
    finally:
        dhow.kill()


def handshake(dhow, name, root, alpn=("http/1.1",)):
    context = ssl.create_default_context(cafile=root)
    if root is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    raw = socket.create_connection(("127.0.0.1", dhow.port), 30)
    return context.wrap_socket(raw, server_hostname=name)


def shown(dhow, name, root):
    """The certificate that a client is shown who believes that root."""
    with handshake(dhow, name, root) as connection:
        return connection.getpeercert(binary_form=True)


def metric(dhow, name):
    with urllib.request.urlopen(f"{dhow.info['metrics']}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith(name)]


def ready(dhow):
    try:
        with urllib.request.urlopen(f"{dhow.info['metrics']}/-/health/ready", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def finding(dhow):
    found = json.loads(dhow.cli("doctor", "--json", check=False).stdout)["findings"]
    return [one for one in found if one["check"] == "TLS certificate"][0]


class Named(http.client.HTTPSConnection):
    """To a name that no name server of this machine knows."""

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.port), 30)
        self.sock = self._context.wrap_socket(raw, server_hostname=self.host)


def client(dhow, name, root):
    host = f"{name}:{dhow.port}"
    one = Client(host, dhow.region, dhow.access_key, dhow.secret_key)
    trusted = ssl.create_default_context(cafile=root)
    one.connection = Named(host, timeout=30, context=trusted)
    return one


def test_a_first_start_gets_a_certificate_that_clients_verify(cloud, authority):
    for name in NAMES:
        assert client(cloud, name, authority.root).request("GET", "/")[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(cloud, "c.dhow-acme.example", authority.root)
    assert authority.orders() == 1 and ready(cloud)[0] == 200
    assert metric(cloud, "dhow_acme_orders_total{") == [1.0]
    left = metric(cloud, "dhow_tls_certificate_expires")[0] - time.time()
    assert 0 < left <= LIFE_S
    assert finding(cloud)["level"] == "ok"
    kept = sorted((cloud.data / "tls" / "acme").rglob("*.*"))
    assert [path.name for path in kept] == ["account.json", "certificate.pem"]
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600] * 2
    # The key is in no log.
    key = kept[1].read_text().partition("-----BEGIN PRIVATE KEY-----")[2].split()[0]
    assert key not in cloud.log_text()


def test_no_proof_is_given_to_who_only_asks(cloud, authority):
    failed = metric(cloud, "dhow_s3_handshakes_failed_total")[0]
    with pytest.raises(ssl.SSLError):
        handshake(cloud, NAMES[0], None, alpn=["acme-tls/1"])
    eventually(lambda: metric(cloud, "dhow_s3_handshakes_failed_total") == [failed + 1])
    with handshake(cloud, NAMES[0], authority.root, ["acme-tls/1", "http/1.1"]) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    # Whoever gets that protocol, by whatever else it offers, can send no request.
    with handshake(cloud, NAMES[0], authority.root, ["acme-tls/1", "other"]) as connection:
        assert connection.selected_alpn_protocol() == "acme-tls/1"
        assert connection.recv(1) == b""


def test_a_restart_uses_what_is_kept(cloud, authority):
    before, orders = shown(cloud, NAMES[0], authority.root), authority.orders()
    assert cloud.stop() == 0
    authority.way.cut = True
    try:
        cloud.start()
        assert shown(cloud, NAMES[0], authority.root) == before
        assert metric(cloud, "dhow_acme_failures_in_a_row") == [0.0]
    finally:
        authority.way.cut = False
    assert authority.orders() == orders


def test_it_is_renewed_without_a_failed_request_once_the_server_can_be_reached(cloud, authority):
    """At two thirds of its life the server is away, and later it is not."""
    before, orders = shown(cloud, NAMES[0], authority.root), authority.orders()
    assert cloud.stop() == 0
    authority.way.cut = True
    cloud.args += ["--clock-ahead-ms", str(LATER_MS)]
    stop, failures, counts = threading.Event(), [], [0]

    def work():
        """A connection and a request at a time."""
        try:
            while not stop.is_set():
                one = client(cloud, NAMES[0], authority.root)
                assert one.request("GET", "/")[0] == 200
                one.connection.close()
                counts[0] += 1
        except Exception as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    try:
        cloud.start()
        worker.start()
        eventually(lambda: metric(cloud, "dhow_acme_failures_in_a_row") >= [1.0], timeout=60)
        assert shown(cloud, NAMES[0], authority.root) == before
        text = cloud.log_text()
        assert "no certificate from the ACME server; the one until" in text
        assert "see that this machine reaches the server" in text
        found = finding(cloud)
        assert found["level"] == "warn" and "ACME" in found["found"], found
        authority.way.cut = False
        eventually(lambda: shown(cloud, NAMES[0], authority.root) != before, timeout=120)
        asked = counts[0]
        eventually(lambda: counts[0] > asked or failures, timeout=60)
    finally:
        authority.way.cut = False
        stop.set()
        worker.join()
        del cloud.args[-2:]
    assert not failures, failures
    eventually(lambda: metric(cloud, "dhow_acme_failures_in_a_row") == [0.0], timeout=60)
    # By a clock that is ahead this one is old too: it is not ordered again and again.
    assert authority.orders() == orders + 1


def test_a_name_that_leads_elsewhere_is_named_and_the_region_runs(authority, cloud, tmp_path):
    assert cloud.stop() == 0
    gone = "gone.dhow-acme.example"
    authority.leads(gone, "127.0.0.2")
    dhow = region(authority, tmp_path / "data", NAMES[0], gone)
    try:
        dhow.start(timeout=120)
        text = dhow.log_text()
        assert f"it has no proof for {gone}: " in text, text
        assert "port 443 there reaches this listener" in text
        # A balancer that asks whether the region is ready lets the ACME server through to it.
        status, why = ready(dhow)
        assert status == 200 and "no TLS certificate yet" in why
        with pytest.raises(ssl.SSLError):
            handshake(dhow, NAMES[0], None)
        found = finding(dhow)
        assert found["level"] == "fail" and "ACME" in found["found"], found
        assert dhow.cli("account", "list").returncode == 0
        # Whoever starts it again and again does not ask again and again.
        orders = authority.orders()
        assert dhow.stop() == 0
        dhow.start()
        assert metric(dhow, "dhow_acme_failures_in_a_row") == [1.0]
        assert authority.orders() == orders
    finally:
        dhow.kill()
        cloud.start()


def test_other_names_are_ordered_at_once_and_a_lost_account_is_made_again(cloud, authority):
    assert cloud.stop() == 0
    old = authority.root.read_bytes()
    authority.start()
    assert authority.root.read_bytes() != old
    cloud.args += ["--acme-name", "c.dhow-acme.example"]
    cloud.start(timeout=120)
    for name in (*NAMES, "c.dhow-acme.example"):
        eventually(lambda: shown(cloud, name, authority.root), timeout=60)
    assert "does not know the account: a new one is made" in cloud.log_text()


def test_what_no_server_could_prove_here_is_refused_before_anything_is_made(tmp_path):
    def refused(*args):
        done = subprocess.run([str(BIN), "up", "--data", str(tmp_path / "data"), *args],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and not (tmp_path / "data").exists()
        return done.stderr

    assert "DNS-01" in refused("--acme-agree", "--acme-name", "*.dhow-acme.example")
    assert "--acme-agree" in refused("--acme-name", "a.dhow-acme.example")
    assert "cannot be used with" in refused("--acme-agree", "--acme-name", "a.b", "--tls")
