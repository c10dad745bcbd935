"""One party against all others: what a region with a real certificate, or somebody with nothing but
sockets, may take of a region's memory, places and time."""

import json
import socket
import statistics
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from evil import Peer, Unread
from fleet import Fleet, body, eventually

# What one region can make another hold, as docs/peers.md has it.
REGION_MIB = 432


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("starving") / "cloud", 3).start()
    yield fleet
    fleet.stop()
    assert "panicked" not in fleet.log.read_text(errors="replace")


def rss_mib(fleet, region):
    status = Path(f"/proc/{fleet.regions[region]['pid']}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines()
                if line.startswith("VmRSS")) >> 10


@pytest.fixture
def connect(fleet):
    """Connections with the certificate of a region, to another one."""
    opened = []

    def to(region, own, kind=Peer):
        there = fleet.regions[region]
        opened.append(kind.of(fleet.regions[own]["data"], there["peer"], region))
        return opened[-1]

    yield to
    for peer in opened:
        peer.close()


def about(fleet, name, what):
    deed = fleet.json("bucket", "show", name)
    return {"bucket": name, "id": deed["id"], "epoch": deed["epoch"], "what": what}


def test_p11_unread_answers_of_a_region_cost_no_more_memory_than_is_said(fleet, connect):
    """500 snapshot questions of a region that reads no answer."""
    home, evil, honest = fleet.ids
    fleet.bucket("pages", home, evil, honest)
    s3 = fleet.s3(home)
    for n in range(120):
        s3.put_object(Bucket="pages", Key=f"k{n:03}", Body=bytes([n]) * 60_000)
    eventually(lambda: body(fleet.s3(honest), "pages", "k119"))
    # A page of 4 MiB, over and over.
    question = about(fleet, "pages", {"snapshot": {"from": ""}})
    before, most, statuses = rss_mib(fleet, home), 0, []
    # The region's own process has some of the eight connections that a region may have.
    connections = [connect(home, evil, Unread) for _ in range(4)]
    for connection in connections:
        statuses += connection.ask_and_leave("replication", question, 125)
        most = max(most, rss_mib(fleet, home))
    # Room is waited for, and then there is an answer that says so: nothing piles up.
    deadline = time.monotonic() + 40
    while len(statuses) < 500 and time.monotonic() < deadline:
        for connection in connections:
            statuses += connection.statuses(0.1)
        most = max(most, rss_mib(fleet, home))
    assert len(statuses) == 500 and set(statuses) == {200, 503}
    assert statuses.count(503) > 400, statuses.count(503)
    assert most - before < REGION_MIB, (before, most)
    # Meanwhile the others are served, and the evil region's own short questions too.
    status, page = connect(home, honest).ask("POST", "/dhow/v1/replication",
                                            json.dumps(question).encode())
    assert status == 200 and len(page) > 4 << 20
    assert connect(home, evil).ask("GET", "/dhow/v1/hello")[0] == 200
    s3.put_object(Bucket="pages", Key="after", Body=b"x")
    eventually(lambda: body(fleet.s3(honest), "pages", "after") == b"x")


def test_p13_idle_connections_close_no_listener(fleet, connect):
    """160 connections that say nothing, and some that say half of something, on each listener but
    the customers'."""
    home, other, _ = fleet.ids
    region = fleet.regions[home]
    listeners = [region["peer"], *(urlsplit(region[name]).netloc for name in ("metrics", "admin"))]
    held = []
    for address in listeners:
        host, port = address.rsplit(":", 1)
        for n in range(160):
            held.append(socket.create_connection((host, int(port)), 30))
            if n % 2:
                held[-1].sendall(b"GET / HTTP/1.1\r\nHo")
    assert "dhow_" in fleet.metrics(home)
    assert fleet.json("region", "list")
    assert connect(home, other).ask("GET", "/dhow/v1/hello")[0] == 200
    for connection in held:
        connection.close()


def test_p13_questions_of_an_outsider_do_not_slow_customers_down(fleet, connect):
    """300 questions at once, over and over, about a bucket of which the region has nothing."""
    home, evil, _ = fleet.ids
    fleet.bucket("own", home)
    s3 = fleet.s3(home)
    for n in range(2000):
        s3.put_object(Bucket="own", Key=f"k{n}", Body=b"x" * 100)
    question = about(fleet, "own", "usage")

    def median(count=200):
        took = []
        for _ in range(count):
            began = time.perf_counter()
            s3.get_object(Bucket="own", Key="k7")["Body"].read()
            took.append(time.perf_counter() - began)
        return statistics.median(took)

    quiet, statuses, stop = median(), [], threading.Event()

    def ask(connection):
        while not stop.is_set():
            statuses.extend(connection.ask_and_leave("replication", question, 75, 0.25))

    connections = [connect(home, evil) for _ in range(4)]
    asking = [threading.Thread(target=ask, args=(c,)) for c in connections]
    for thread in asking:
        thread.start()
    eventually(lambda: len(statuses) > 300)
    busy = median()
    stop.set()
    for thread in asking:
        thread.join(30)
    assert set(statuses) == {403}
    # Most of what is left is this process's own work: it asks in five threads.
    assert busy < 20 * quiet + 0.05, (quiet, busy)
