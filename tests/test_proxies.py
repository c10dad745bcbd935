"""Proxies in front of the S3 listener, with a real one: for whom they speak, and who may say it."""

import contextlib
import http.client
import json
import re
import socket
import ssl
import struct
import subprocess
import urllib.parse

import boto3
import pytest
from botocore.config import Config

from dhow import Client, Dhow
from fleet import Fleet, eventually
from test_tls import certificate

# The proxy connects from 127.0.0.1; these are clients.
CLIENT, OTHER = "127.0.0.5", "127.0.0.6"
LOGS = ["--log-level", "info,gateway=debug"]


class HAProxy:
    """haproxy with one frontend, on a port that the system chooses."""

    def __init__(self, folder, frontend, backend, bind=""):
        self.folder, self.socket = folder, socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.config = folder / "haproxy.cfg"
        self.config.write_text(f"""global
  stats socket {folder}/stats
defaults
  timeout connect 30s
  timeout client 60s
  timeout server 60s
frontend clients
  bind fd@{self.socket.fileno()} {bind}
{frontend}
  default_backend dhow
backend dhow
{backend}
""")

    def __enter__(self):
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(self.config)], pass_fds=[self.socket.fileno()],
            stdout=open(self.folder / "haproxy.log", "ab"), stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.socket.close()

    def is_up(self):
        """Whether its own checks find the server well."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.folder / "stats"))
            asking.sendall(b"show stat\n")
            answer = b"".join(iter(lambda: asking.recv(1 << 16), b""))
        lines = [line.split(",") for line in answer.decode().splitlines()]
        return any(line[:2] == ["dhow", "one"] and line[17] == "UP" for line in lines)


def haproxy(folder, mode, dhow, server="", bind="", frontend=""):
    return HAProxy(folder, f"  mode {mode}\n{frontend}",
                   f"  mode {mode}\n  server one {dhow.host} {server}", bind)


class From(http.client.HTTPConnection):
    """A client that connects to one address from another, whatever the host is called."""

    def __init__(self, host, port, source, tls=None):
        super().__init__(host, timeout=60)
        self.at, self.source, self.tls = ("127.0.0.1", port), source, tls

    def connect(self):
        self.sock = socket.create_connection(self.at, 60, (self.source, 0))
        if self.tls:
            self.sock = self.tls.wrap_socket(self.sock, server_hostname="localhost")


def client(dhow, port, source, tls=None):
    signing = Client(f"localhost:{port}", dhow.region, dhow.access_key, dhow.secret_key)
    signing.connection = From(f"localhost:{port}", port, source, tls)
    return signing


def trusting(path):
    return ssl.create_default_context(cafile=str(path))


def sources(log, about="request "):
    """The addresses of clients, as the log of the requests says, in order."""
    lines = [line for line in log.splitlines() if about in line]
    return re.findall(r"\bsource=(\S+)", "\n".join(lines))


def put(client, told=None):
    """Puts a key, with headers that are not signed; the answer, read."""
    signed = client.headers("PUT", "/facts/key")
    client.connection.request("PUT", "/facts/key", b"x", {**signed, **(told or {})})
    answer = client.connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    return answer


def seen(dhow, client, told=None):
    """Where a request of this client came from, as Dhow sees it."""
    number = put(client, told).getheader("x-amz-request-id")
    return eventually(lambda: sources(dhow.log_text(), number))[-1]


def location(dhow, port, source, tls=None):
    """The scheme of the address that a form is answered with."""
    s3 = boto3.client(
        "s3", endpoint_url=f"http://localhost:{port}", region_name=dhow.region,
        aws_access_key_id=dhow.access_key, aws_secret_access_key=dhow.secret_key,
        config=Config(s3={"addressing_style": "path"}))
    form = s3.generate_presigned_post("facts", "form")
    fields = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items())
    body = fields + '--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
    connection = From(f"localhost:{port}", port, source, tls)
    connection.request("POST", urllib.parse.urlsplit(form["url"]).path, body,
                       {"content-type": "multipart/form-data; boundary=b"})
    answer = connection.getresponse()
    assert answer.status == 204, answer.read()
    return urllib.parse.urlsplit(answer.getheader("location")).scheme


@contextlib.contextmanager
def running(folder, *args):
    dhow = Dhow(folder / "data", args=[*LOGS, *args]).start()
    try:
        yield dhow, int(dhow.host.rpartition(":")[2])
    finally:
        dhow.kill()


@pytest.fixture()
def pem(tmp_path):
    """A certificate for localhost, as haproxy wants it, and the file to trust."""
    one, key = certificate(tmp_path / "proxy", "proxy", "localhost")
    both = tmp_path / "proxy.pem"
    both.write_text(one.read_text() + key.read_text())
    return both, one


def test_a_trusted_proxy_says_for_whom_it_speaks_and_nobody_else(tmp_path, pem):
    both, ca = pem
    forward = "  option forwardfor\n  http-request set-header X-Forwarded-Proto https"
    with running(tmp_path, "--trusted-proxy", "127.0.0.1") as (dhow, port), \
            haproxy(tmp_path, "http", dhow, bind=f"ssl crt {both}", frontend=forward) as proxy:
        behind = client(dhow, proxy.port, CLIENT, trusting(ca))
        assert behind.request("PUT", "/facts")[0] == 200
        assert seen(dhow, behind) == CLIENT
        # What a client makes up stands before what the proxy adds.
        assert seen(dhow, behind, {"X-Forwarded-For": "203.0.113.9"}) == CLIENT
        assert location(dhow, proxy.port, CLIENT, trusting(ca)) == "https"

        direct = client(dhow, port, OTHER)
        lies = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        assert seen(dhow, direct, lies) == OTHER
        assert location(dhow, port, OTHER) == "http"


def preamble(source="203.0.113.9"):
    """Of the PROXY protocol, version 2."""
    addresses = socket.inet_aton(source) + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 1, 2)
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11]) + struct.pack(">H", 12) + addresses


def answered(port, source, sent):
    """What a connection from there is answered with, to its end."""
    with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as connection:
        connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))
        return b""


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


# Refuses objects to connections with a version of TLS below 1.3.
BELOW_13 = json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::facts/*",
    "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.3"}}}]}).encode()


@pytest.mark.parametrize("send, bind, args, scheme", [
    # The proxy forwards what it does not read; it ends TLS and says so; Dhow ends TLS.
    ("send-proxy-v2", "", (), "http"),
    ("send-proxy-v2-ssl", "ssl crt {pem}", (), "https"),
    ("send-proxy-v2", "", ("--tls",), "https"),
])
def test_the_proxy_protocol_says_where_a_connection_comes_from(
        tmp_path, pem, send, bind, args, scheme):
    both, ca = pem
    trusted = ("--trusted-proxy", "127.0.0.1", "--proxy-protocol")
    with running(tmp_path, *trusted, *args) as (dhow, port), \
            haproxy(tmp_path, "tcp", dhow, f"{send} check inter 50ms", bind.format(pem=both)) as proxy:
        tls = trusting(dhow.info["authority"] if args else ca) if scheme == "https" else None
        behind = client(dhow, proxy.port, CLIENT, tls)
        assert behind.request("PUT", "/facts")[0] == 200
        # The head is the client's own: nothing in it is the proxy's word.
        assert seen(dhow, behind, {"X-Forwarded-For": "203.0.113.9"}) == CLIENT
        assert location(dhow, proxy.port, CLIENT, tls) == scheme
        if tls:
            # So it says the version that the client speaks, whoever ends TLS.
            assert behind.request("PUT", "/facts", "policy=", BELOW_13)[0] == 204
            assert behind.put("facts", "key", b"x")[0] == 200
            tls.maximum_version = ssl.TLSVersion.TLSv1_2
            assert client(dhow, proxy.port, CLIENT, tls).put("facts", "key", b"x")[0] == 403
        # Its own connections are well too.
        eventually(proxy.is_up)


def test_a_preamble_is_wanted_of_trusted_proxies_and_refused_of_others(tmp_path):
    trusted = ("--trusted-proxy", "127.0.0.1", "--proxy-protocol")
    with running(tmp_path, *trusted) as (dhow, port):
        assert answered(port, "127.0.0.1", preamble() + GET).startswith(b"HTTP/1.1 403")
        for begins in (GET, b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n" + GET,
                       preamble()[:12] + b"\x11" + preamble()[13:] + GET):
            assert answered(port, "127.0.0.1", begins) == b"", begins
        eventually(lambda: "does not begin with a preamble" in dhow.log_text())
        # Others are served as they were.
        assert answered(port, OTHER, GET).startswith(b"HTTP/1.1 403")
        for begins in (preamble(), b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n"):
            answer = answered(port, OTHER, begins + GET)
            assert answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1") == 1, answer
        assert sources(dhow.log_text()) == ["203.0.113.9", OTHER]


def test_the_region_that_acts_learns_the_address_of_the_client(tmp_path):
    fleet = Fleet(tmp_path / "fleet", 2, [*LOGS, "--trusted-proxy", "127.0.0.1"])
    try:
        first, second = fleet.start().ids
        # Alone in the first; the second forwards what is asked of it.
        fleet.bucket("facts", first, options=("--proxy", "--trust-reads", second))
        at = [int(fleet.regions[region]["endpoint"].rpartition(":")[2]) for region in (first, second)]
        home, passing = [
            Client(f"127.0.0.1:{port}", region, fleet.info["access_key"], fleet.info["secret_key"])
            for port, region in zip(at, (first, second))]
        put(home)
        told = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}

        def get():
            signed = passing.headers("GET", "/facts/key")
            passing.connection.request("GET", "/facts/key", headers={**signed, **told})
            answer = passing.connection.getresponse()
            return answer.read() == b"x" and answer.status == 200

        eventually(get)
        for region in (first, second):
            log = fleet.data / region / "dhow.log"
            found = lambda: sources(log.read_text(), 'operation="GetObject"')
            assert eventually(found)[-1] == "203.0.113.9", region
    finally:
        fleet.stop()
