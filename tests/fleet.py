"""A cloud of several regions on this machine, each a process of its own."""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import dhow
from dhow import BIN


class Fleet:
    """`dhow up --regions N`. Regions are named by their ids."""

    def __init__(self, data, count, args=(), first_port=0):
        self.data, self.count, self.args = Path(data), count, list(args)
        self.first_port = first_port
        self.process = None

    def start(self, timeout=180):
        command = [BIN, "up", "--regions", self.count, "--data", self.data, "--json",
                   "--listen", f"127.0.0.1:{self.first_port}", *self.args]
        self.log = Path(f"{self.data}.log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                                            stderr=log)
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            self.stop()
            raise RuntimeError(f"the fleet did not start: {self.log.read_text()[-2000:]}")
        self.info = json.loads(line)
        self.regions = {r["region"]: r for r in self.info["regions"]}
        self.ids = list(self.regions)
        return self

    def stop(self, timeout=60):
        if self.process is not None:
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout)
            self.process.stdout.close()
            self.process = None

    def pids(self):
        return [r["pid"] for r in getattr(self, "regions", {}).values()]

    def signal(self, region, which):
        os.kill(self.regions[region]["pid"], which)

    def freeze(self, *regions):
        dhow.freeze(*(self.regions[region]["pid"] for region in regions))

    def thaw(self, *regions):
        dhow.thaw(*(self.regions[region]["pid"] for region in regions))

    def s3(self, region, key=None, timeout=20):
        access, secret = key or (self.info["access_key"], self.info["secret_key"])
        config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=timeout,
                        s3={"addressing_style": "path"})
        return boto3.client("s3", endpoint_url=self.regions[region]["endpoint"],
                            region_name=region, aws_access_key_id=access,
                            aws_secret_access_key=secret, config=config)

    def cli(self, *args, check=True, data=None, timeout=60):
        done = subprocess.run([str(BIN), *map(str, args), "--data", str(data or self.data)],
                              capture_output=True, text=True, timeout=timeout)
        if check:
            assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done

    def json(self, *args, check=True):
        return json.loads(self.cli(*args, "--json", check=check).stdout)

    def bucket(self, name, home, *replicas, options=()):
        copies = [word for r in replicas for word in ("--replica", r)]
        return self.json("bucket", "create", name, "--home", home, *copies, *options)

    def metrics(self, region):
        url = self.regions[region]["metrics"] + "/metrics"
        return urllib.request.urlopen(url, timeout=10).read().decode()

    def audit(self):
        """All entries of the audit log, through the admin API of the registry's region."""
        return self.json("audit", "show")


# Locks on the ports that this process was given.
HELD = []


def free_ports(rng):
    """The first of twenty ports that are free: a fleet that starts again is where it was, so that a
    region that joined finds the one that it joined. Nobody else is given them while this process
    runs, though the fleet does not hold all of them all the time."""
    folder = Path(tempfile.gettempdir()) / f"dhow-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    blocks = list(range(22_000, 22_980, 20))
    rng.shuffle(blocks)
    for first in blocks:
        lock = open(folder / str(first), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.ExitStack() as held:
                for port in range(first, first + 20):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            lock.close()
            continue
        HELD.append(lock)
        return first
    raise AssertionError("no twenty free ports in a row")


def eventually(check, timeout=30, pause=0.05, also=()):
    """What `check` answers once it is true or no longer raises, `also` one of these errors. There
    is nothing to wait for but the other region: so it is asked again."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            answer = check()
            if answer:
                return answer
            failure = AssertionError(f"not in time: {answer!r}")
        except (ClientError, AssertionError, OSError, *also) as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(pause)


def meanwhile(ask):
    """The answer of `ask`, which is under way in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    asked = pool.submit(ask)
    pool.shutdown(wait=False)
    return asked


def body(client, bucket, key, **more):
    return client.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def code(error):
    return error.value.response["Error"]["Code"]


def status(error):
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def listing(client, bucket):
    """Every version of every key, as a region shows it."""
    found = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for v in page.get("Versions", []):
            found.append((v["Key"], v["VersionId"], v["IsLatest"], v["ETag"], v["Size"]))
        for m in page.get("DeleteMarkers", []):
            found.append((m["Key"], m["VersionId"], m["IsLatest"], None, None))
    return sorted(found)
