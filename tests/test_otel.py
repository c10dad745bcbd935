"""Traces: sent to a configured collector, and to nobody else."""

import queue
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dhow import BIN, Dhow


class Collector:
    """Takes what is posted to it; `posts` holds (path, content type, body)."""

    def __init__(self):
        self.posts = posts = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                posts.put((self.path, self.headers["content-type"], body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def span(self, name, timeout=30):
        """Waits for the span of that name."""
        deadline = time.monotonic() + timeout
        while True:
            path, kind, body = self.posts.get(timeout=max(0.01, deadline - time.monotonic()))
            assert (path, kind) == ("/v1/traces", "application/x-protobuf")
            for span in spans_of(body):
                if span["name"] == name:
                    return span


def fields(message):
    """The fields of a protobuf message as (number, value): integers, or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        wire = tag & 7
        if wire == 0:
            yield tag >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(wire) or varint()
        value, at = message[at:at + size], at + size
        yield tag >> 3, value if wire == 2 else int.from_bytes(value, "little")


def every(message, *numbers):
    """All values at a path of field numbers."""
    values = [message]
    for number in numbers:
        values = [v for m in values for n, v in fields(m) if n == number]
    return values


def attributes(message, number):
    found = {}
    for pair in every(message, number):
        (key,), (value,) = every(pair, 1), every(pair, 2)
        for _, plain in fields(value):
            found[key.decode()] = plain.decode() if isinstance(plain, bytes) else plain
    return found


def spans_of(body):
    for of_resource in every(body, 1):
        resource = {}
        for message in every(of_resource, 1):
            resource.update(attributes(message, 1))
        for span in every(of_resource, 2, 2):
            yield {
                "name": every(span, 5)[0].decode(), "kind": every(span, 6)[0],
                "begin": every(span, 7)[0], "end": every(span, 8)[0],
                "attributes": attributes(span, 9), "resource": resource,
            }


@contextmanager
def running(tmp_path, args=(), **env):
    server = Dhow(tmp_path / "data", args=args, env=env)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def test_the_span_of_a_request_reaches_the_collector(tmp_path, collector):
    args = ["--otel-endpoint", collector.url]
    with running(tmp_path, args, OTEL_BSP_SCHEDULE_DELAY="100") as server:
        client = server.client()
        assert client.request("PUT", "/traced")[0] == 200
        status, headers, _ = client.put("traced", "a key", b"x")
        assert status == 200
        span = collector.span("PutObject")
        assert span["kind"] == 2, "a server's span"
        assert 0 < span["begin"] <= span["end"]
        assert span["resource"]["service.name"] == "dhow"
        assert span["resource"]["cloud.region"] == server.region
        known = span["attributes"]
        assert known["rpc.method"] == "PutObject"
        assert known["aws.request_id"] == headers["x-amz-request-id"]
        assert known["http.request.method"] == "PUT"
        assert known["http.response.status_code"] == 200
        assert known["url.path"] == "/traced/a%20key"
        assert client.get("traced", "none")[0] == 404
        assert collector.span("GetObject")["attributes"]["http.response.status_code"] == 404


def test_no_secret_reaches_the_collector(tmp_path, collector):
    with running(tmp_path, ["--otel-endpoint", collector.url]) as server:
        client, secret = server.client(), server.secret_key.encode()
        query = "X-Amz-Signature=5ec2e7&X-Amz-Security-Token=t0ken&X-Amz-Credential=cred"
        assert client.request("GET", "/some/key", query)[0] >= 400
        assert client.request("PUT", "/traced")[0] == 200
        assert server.stop() == 0
    bodies = b""
    while not collector.posts.empty():
        bodies += collector.posts.get()[2]
    assert b"/some/key" in bodies
    for word in (secret, b"5ec2e7", b"t0ken", b"Signature", b"AWS4"):
        assert word not in bodies


def test_what_waits_is_sent_at_shutdown(tmp_path, collector):
    with running(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url + "/",
                 OTEL_BSP_SCHEDULE_DELAY="600000") as server:
        assert server.client().request("PUT", "/traced")[0] == 200
        assert collector.posts.empty()
        assert server.stop() == 0
        assert collector.span("CreateBucket", timeout=0)


def test_without_an_endpoint_nothing_is_sent(tmp_path, collector):
    # The address is there to be found by a library that looks for it by itself.
    with running(tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url + "/v1/traces",
                 OTEL_BSP_SCHEDULE_DELAY="1") as server:
        assert server.client().request("PUT", "/untraced")[0] == 200
        assert server.stop() == 0
    assert collector.posts.empty()


def test_a_collector_that_hangs_delays_no_request_and_shutdown_little(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        url = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        with running(tmp_path, ["--otel-endpoint", url], OTEL_BSP_SCHEDULE_DELAY="1") as server:
            client = server.client()
            assert client.request("PUT", "/traced")[0] == 200
            hangs.settimeout(30)
            connection, _ = hangs.accept()
            with connection:
                assert connection.recv(5) == b"POST "
                assert client.put("traced", "k", b"x")[0] == 200
                began = time.monotonic()
                assert server.stop() == 0
                assert time.monotonic() - began < 15
            assert "cannot export traces" in server.log_text()


def test_an_address_that_cannot_be_served_is_refused(tmp_path):
    for wrong in ("https://127.0.0.1:4318", "collector", "http://u:p@127.0.0.1:4318"):
        done = subprocess.run(
            [str(BIN), "up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--admin",
             "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--otel-endpoint", wrong],
            capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and "http://127.0.0.1:4318" in done.stderr
