"""HTTP/2 on the S3 listener, with real clients and with frames that no client sends."""

import contextlib
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import urllib.request

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from dhow import Client, Dhow
from fleet import eventually
from test_tls import MIB, Served, TlsClient, certificate, s3

HEADERS, CONTINUATION = 0x1, 0x9


class Gone(Exception):
    """The server ended the connection."""


class H2:
    """A connection that sends what it is told, also what is not allowed."""

    def __init__(self, dhow, ca, source="127.0.0.1"):
        self.signer = Client(dhow.host, dhow.region, dhow.access_key, dhow.secret_key)
        self.host = dhow.host
        context = ssl.create_default_context(cafile=str(ca))
        context.set_alpn_protocols(["h2", "http/1.1"])
        port = int(dhow.host.rpartition(":")[2])
        raw = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
        self.tls = context.wrap_socket(raw, server_hostname="localhost")
        assert self.tls.selected_alpn_protocol() == "h2"
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.http.initiate_connection()
        self.answers, self.left = {}, None
        self.flush()

    def close(self):
        self.tls.close()

    def flush(self):
        try:
            self.tls.sendall(self.http.data_to_send())
        except (OSError, ssl.SSLError) as error:
            raise Gone(error) from error

    def head(self, method, path, query="", headers=None, payload="UNSIGNED-PAYLOAD", unsigned=()):
        """The fields of a signed request."""
        signed = self.signer.headers(method, path, query, headers, payload)
        authority = signed.pop("host")
        target = path + ("?" + query if query else "")
        return [(":method", method), (":scheme", "https"), (":authority", authority),
                (":path", target), *((k, str(v)) for k, v in signed.items()), *unsigned]

    def begin(self, fields, end=True):
        stream = self.http.get_next_available_stream_id()
        self.http.send_headers(stream, fields, end_stream=end)
        self.answers[stream] = {"body": b"", "ended": False, "status": None, "reset": None}
        self.flush()
        return stream

    def body(self, stream, data, end=True):
        while True:
            room = min(self.http.local_flow_control_window(stream),
                       self.http.max_outbound_frame_size, len(data))
            if room or not data:
                piece, data = data[:room], data[room:]
                self.http.send_data(stream, piece, end_stream=end and not data)
                self.flush()
                if not data:
                    return
            else:
                self.read()

    def read(self):
        try:
            data = self.tls.recv(1 << 16)
        except (OSError, ssl.SSLError) as error:
            raise Gone(error) from error
        if not data:
            raise Gone(self.left)
        for event in self.http.receive_data(data):
            answer = self.answers.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ConnectionTerminated):
                self.left = event.error_code
            elif answer is None:
                continue
            elif isinstance(event, h2.events.ResponseReceived):
                answer["headers"] = dict(event.headers)
                answer["status"] = int(answer["headers"][":status"])
            elif isinstance(event, h2.events.DataReceived):
                answer["body"] += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                answer["ended"] = True
            elif isinstance(event, h2.events.StreamReset):
                answer["reset"] = event.error_code
                answer["ended"] = True
        self.flush()

    def answer(self, stream):
        while not self.answers[stream]["ended"]:
            self.read()
        return self.answers[stream]

    def ask(self, method, path, query="", body=None, **more):
        headers = dict(more.pop("headers", {}))
        if body is not None:
            headers["content-length"] = str(len(body))
        stream = self.begin(self.head(method, path, query, headers, **more), end=body is None)
        if body is not None:
            self.body(stream, body)
        return self.answer(stream)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    dhow = Dhow(tmp_path_factory.mktemp("http2") / "data", args=["--tls"]).start()
    try:
        yield dhow
    finally:
        dhow.kill()


@pytest.fixture(scope="module")
def ca(cloud):
    return cloud.info["authority"]


@pytest.fixture(scope="module", autouse=True)
def bucket(cloud, ca):
    s3(cloud, ca).create_bucket(Bucket="two")


@pytest.fixture()
def connect(cloud, ca):
    with contextlib.ExitStack() as open:
        def connection(dhow=cloud, trust=ca, **more):
            return open.enter_context(contextlib.closing(H2(dhow, trust, **more)))
        yield connection


def test_real_clients_get_the_protocol_that_they_ask_for(cloud, ca, tmp_path):
    client = s3(cloud, ca)
    folder = tmp_path / "files"
    folder.mkdir()
    body = folder / "large"
    body.write_bytes(os.urandom(9 * MIB))
    (folder / "small").write_bytes(b"small")

    def curl(*args):
        done = subprocess.run(
            ["curl", "-sS", "--fail", "--cacert", ca, "-w", "%{http_version}", *map(str, args)],
            capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def url(method, **more):
        return client.generate_presigned_url(method, Params={"Bucket": "two", "Key": "curl", **more})

    assert curl("--http2", "-T", body, url("put_object")) == "2"
    for version, spoken in (("--http2", "2"), ("--http1.1", "1.1")):
        back = tmp_path / "back"
        assert curl(version, "-o", back, url("get_object")) == spoken
        assert back.read_bytes() == body.read_bytes()

    # A client in Go: HTTP/2 by itself, several requests at once, uploads in parts.
    env = {**os.environ, "RCLONE_CONFIG_D_TYPE": "s3", "RCLONE_CONFIG_D_PROVIDER": "Other",
           "RCLONE_CONFIG_D_ENDPOINT": cloud.endpoint, "RCLONE_CONFIG_D_REGION": cloud.region,
           "RCLONE_CONFIG_D_ACCESS_KEY_ID": cloud.access_key, "RCLONE_CA_CERT": ca,
           "RCLONE_CONFIG_D_SECRET_ACCESS_KEY": cloud.secret_key, "RCLONE_CONFIG": "/dev/null",
           "RCLONE_CONFIG_D_UPLOAD_CUTOFF": "5Mi", "RCLONE_CONFIG_D_CHUNK_SIZE": "5Mi"}
    env.pop("AWS_CA_BUNDLE", None)

    def rclone(*args):
        done = subprocess.run(["rclone", "-vv", "--dump", "headers", *map(str, args)],
                              capture_output=True, text=True, timeout=120, env=env)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "HTTP/2.0 200" in done.stderr
        assert "HTTP/1.1 200" not in done.stderr

    rclone("copy", folder, "d:two/rclone")
    rclone("check", "--download", folder, "d:two/rclone")


def test_requests_at_once_on_one_connection_are_each_answered(connect):
    client = connect()
    bodies = {f"key-{n}": os.urandom(n * 5_000) for n in range(40)}
    puts = {key: client.begin(client.head("PUT", f"/two/{key}",
                                          headers={"content-length": str(len(body))},
                                          payload=hashlib.sha256(body).hexdigest()), end=False)
            for key, body in bodies.items()}
    for key, body in bodies.items():
        client.body(puts[key], body)
    assert {client.answer(stream)["status"] for stream in puts.values()} == {200}
    gets = {key: client.begin(client.head("GET", f"/two/{key}")) for key in bodies}
    for key, stream in gets.items():
        got = client.answer(stream)
        assert (got["status"], got["body"]) == (200, bodies[key])
        assert got["headers"]["content-length"] == str(len(bodies[key]))
        assert "connection" not in got["headers"]
    assert client.ask("HEAD", "/two/key-3")["headers"]["content-length"] == "15000"
    assert client.ask("GET", "/two/none")["status"] == 404
    assert b"key-39" in client.ask("GET", "/two", "list-type=2")["body"]
    assert client.ask("DELETE", "/two/key-3")["status"] == 204
    # A cookie may come in pieces.
    cookies = [("cookie", "a=b"), ("cookie", "c=d")]
    assert client.begin(client.head("GET", "/two/key-1", unsigned=cookies))
    signed = client.head("GET", "/two/key-1", headers={"cookie": "a=b; c=d"})
    signed = [f for f in signed if f[0] != "cookie"] + cookies
    assert client.answer(client.begin(signed))["status"] == 200


def test_a_refused_upload_ends_alone(connect):
    """A connection of HTTP/1.1 ends with it; here the other requests go on."""
    client = connect()
    length = {"content-length": str(8 * MIB)}
    slow = client.begin(client.head("PUT", "/two/slow", headers={"content-length": "6"}), end=False)
    client.body(slow, b"abc", end=False)
    refused = client.begin(client.head("PUT", "/nowhere/k", headers=length), end=False)
    answer = client.answer(refused)
    assert answer["status"] == 404
    client.body(slow, b"def")
    assert client.answer(slow)["status"] == 200
    assert client.ask("GET", "/two/slow")["body"] == b"abcdef"
    # Forged: one bit of the body.
    body, sha = b"x" * 1000, hashlib.sha256(b"y" * 1000).hexdigest()
    assert client.ask("PUT", "/two/forged", body=body, payload=sha)["status"] == 400
    assert client.ask("GET", "/two/forged")["status"] == 404


def without(fields, *names):
    return [f for f in fields if f[0] not in names]


def refused(client, fields, body=None, end=True):
    """The status, or that the request or the connection was ended."""
    try:
        stream = client.begin(fields, end=end and body is None)
        if body is not None:
            client.body(stream, body)
        answer = client.answer(stream)
    except (Gone, h2.exceptions.ProtocolError):
        return "ended"
    return answer["status"] or "ended"


def test_heads_that_could_be_read_in_two_ways_are_refused(connect):
    def get(change):
        client = connect()
        return refused(client, change(client.head("GET", "/two/key")))

    def with_path(path):
        return lambda f: [(n, path if n == ":path" else v) for n, v in f]

    for change, expected in [
        (lambda f: f + [("host", "other.example")], {400}),
        (lambda f: f + [("host", f[2][1]), ("host", f[2][1])], {400, "ended"}),
        (lambda f: without(f, ":authority"), {400, "ended"}),
        (lambda f: [(n, "user@" + v if n == ":authority" else v) for n, v in f], {400, "ended"}),
        (lambda f: f + [("range", "bytes=0-1"), ("range", "bytes=0-2")], {400}),
        (lambda f: f + [("connection", "close")], {"ended"}),
        (lambda f: f + [("transfer-encoding", "chunked")], {"ended"}),
        (lambda f: f + [("upgrade", "websocket")], {"ended"}),
        (lambda f: f + [("X-Amz-Meta-A", "b")], {"ended"}),
        (lambda f: f + [("x-amz-meta-a", "b\r\nc: d")], {"ended"}),
        (lambda f: f + [("x-amz-meta-a", "b\0")], {"ended"}),
        (lambda f: f + [(":path", "/two/other")], {"ended"}),
        (lambda f: [(":method", "CONNECT"), f[2]], {400, "ended"}),
        (lambda f: [(":method", "CONNECT"), *f[1:4], (":protocol", "websocket"), *f[4:]],
         {"ended"}),
        (lambda f: without(f, ":path"), {"ended"}),
        (with_path(""), {400, "ended"}),
        (with_path("*"), {400, "ended"}),
        (with_path("two/key"), {400, "ended"}),
        (with_path("https://other.example/two/key"), {400, "ended"}),
        (lambda f: f + [("x-amz-meta-a", "b" * 17_000)], {400}),
        (lambda f: f + [("x-amz-meta-a", "b" * 60_000)], {431, "ended"}),
        (lambda f: f + [(f"x-amz-meta-{n}", "b") for n in range(700)], {400}),
    ]:
        assert get(change) in expected, change
    client = connect()
    put = lambda **h: client.head("PUT", "/two/framed", headers=h)
    assert refused(client, put(), b"abc") == 411
    assert refused(connect(), put(**{"content-length": "4"}), b"abc") == "ended"
    assert refused(connect(), put(**{"content-length": "2"}), b"abc") == "ended"
    assert connect().ask("GET", "/two/framed")["status"] == 404


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) \
        + payload


def test_floods_end_their_connection_and_nobody_elses(cloud, ca, connect):
    client = TlsClient(cloud.host, cloud.region, cloud.access_key, cloud.secret_key, ca)
    stop, served, failures = threading.Event(), [0], []

    def work():
        try:
            while not stop.is_set():
                assert client.put("two", "other", b"bytes")[0] == 200
                served[0] += 1
        except Exception as error:
            failures.append(error)

    def resets(flood):
        """Asks, and takes it back before there is an answer."""
        for n in range(100_000):
            fields = flood.head("PUT", "/two/reset", headers={"content-length": "5"})
            stream = flood.begin(fields, end=False)
            flood.http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            flood.flush()

    def resets_in_a_batch(flood):
        for n in range(1000):
            batch = b""
            for _ in range(50):
                stream = flood.http.get_next_available_stream_id()
                flood.http.send_headers(stream, flood.head("GET", "/two/reset"), end_stream=True)
                flood.http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            flood.flush()

    def continuations(flood):
        """A head that never ends."""
        block = flood.http.encoder.encode(flood.head("GET", "/two/key"))
        flood.tls.sendall(frame(HEADERS, 0, 1, block))
        for n in range(100_000):
            flood.tls.sendall(frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x81\x00" + b"b" * 256))

    def empty_heads(flood):
        for n in range(100_000):
            flood.tls.sendall(frame(HEADERS, 0x4, 2 * n + 1, b""))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for attack in (resets, resets_in_a_batch, continuations, empty_heads):
            flood = connect()
            with pytest.raises((Gone, OSError, ssl.SSLError)):
                attack(flood)
            before = served[0]
            eventually(lambda: served[0] > before or failures, timeout=60)
    finally:
        stop.set()
        worker.join()
    assert not failures, failures


def test_a_connection_without_requests_ends(tmp_path, connect):
    one = certificate(tmp_path / "one", "one", "localhost")
    dhow = Served(tmp_path, f"""[tls]
certificates = [{{ certificate = "{one[0]}", key = "{one[1]}" }}]
[limits]
head_timeout_s = 1
keep_alive_idle_s = 2
""").start()
    try:
        silent, half, rests = (connect(dhow, one[0]) for _ in range(3))
        half.tls.sendall(frame(HEADERS, 0, 1, half.http.encoder.encode([(":method", "GET")])))
        assert rests.ask("GET", "/")["status"] == 200
        for client in (silent, half, rests):
            with pytest.raises(Gone):
                while True:
                    client.read()
    finally:
        dhow.kill()


def test_a_body_that_stalls_ends_alone(tmp_path, connect):
    one = certificate(tmp_path / "one", "one", "localhost")
    dhow = Served(tmp_path, f"""[tls]
certificates = [{{ certificate = "{one[0]}", key = "{one[1]}" }}]
[limits]
body_idle_s = 1
""").start()
    try:
        client = connect(dhow, one[0])
        assert client.ask("PUT", "/stalls")["status"] == 200
        fields = client.head("PUT", "/stalls/key", headers={"content-length": "6"})
        stalled, other = (client.begin(fields, end=False) for _ in range(2))
        client.body(stalled, b"abc", end=False)
        client.body(other, b"ghijkl")
        answer = client.answer(stalled)
        assert answer["status"] == 400 and b"RequestTimeout" in answer["body"]
        assert client.answer(other)["status"] == 200
        assert client.ask("GET", "/stalls/key")["body"] == b"ghijkl"
    finally:
        dhow.kill()


def test_requests_under_way_end_when_the_server_stops(tmp_path, connect):
    dhow = Dhow(tmp_path / "data", args=["--tls"]).start()
    ca = dhow.info["authority"]
    client = s3(dhow, ca)
    client.create_bucket(Bucket="stop")
    body = tmp_path / "body"
    body.write_bytes(os.urandom(3 * MIB))
    url = client.generate_presigned_url("put_object", Params={"Bucket": "stop", "Key": "key"})
    upload = subprocess.Popen(
        ["curl", "-sS", "--http2", "--cacert", ca, "--limit-rate", "1M", "-T", body, url,
         "-w", "%{http_version} %{http_code}"], stdout=subprocess.PIPE, text=True)
    try:
        def under_way():
            metrics = urllib.request.urlopen(dhow.info["metrics"] + "/metrics", timeout=30)
            return b"dhow_s3_in_flight 1" in metrics.read()

        eventually(under_way)
        assert dhow.stop(60) == 0
        assert upload.communicate(timeout=60)[0] == "2 200"
        dhow.start()
        got = s3(dhow, dhow.info["authority"]).get_object(Bucket="stop", Key="key")["Body"].read()
        assert got == body.read_bytes()
    finally:
        upload.kill()
        dhow.kill()


def test_http2_can_be_turned_off(tmp_path):
    one = certificate(tmp_path / "one", "one", "localhost")
    dhow = Served(tmp_path, f"""[tls]
http2 = false
certificates = [{{ certificate = "{one[0]}", key = "{one[1]}" }}]
""").start()
    try:
        context = ssl.create_default_context(cafile=one[0])
        context.set_alpn_protocols(["h2", "http/1.1"])
        raw = socket.create_connection(("127.0.0.1", int(dhow.host.rpartition(":")[2])), 60)
        with context.wrap_socket(raw, server_hostname="localhost") as connection:
            assert connection.selected_alpn_protocol() == "http/1.1"
    finally:
        dhow.kill()
