"""Starts, kills and speaks to a Dhow process, without any S3 library: SigV4 over http.client."""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import signal
import subprocess
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(os.environ.get("DHOW_BIN", ROOT / "target" / "debug" / "dhow"))


class Dhow:
    """A `dhow up` process on a data folder. `start` may be called again after `kill`."""

    def __init__(self, data, args=(), env=None, prefix=()):
        self.data, self.args, self.process = Path(data), list(args), None
        # `prefix` starts it elsewhere: in a network namespace, for one.
        self.prefix = list(prefix)
        self.env = {**os.environ, **(env or {})}
        self.port = 0
        self.log = Path(str(data) + ".log")

    def start(self, timeout=60):
        assert self.process is None
        self.data.parent.mkdir(parents=True, exist_ok=True)
        command = [*self.prefix, BIN, "up", "--json", "--data", self.data, *self.listeners(),
                   *self.args]
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.PIPE, stderr=log, env=self.env
        )
        log.close()
        import select

        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            code = self.process.poll()
            self.kill()
            raise RuntimeError(f"dhow did not start (exit {code}): {self.log_text()[-3000:]}")
        info = json.loads(line)
        self.endpoint, self.region = info["endpoint"], info["region"]
        self.access_key, self.secret_key = info["access_key"], info["secret_key"]
        self.info = info
        self.host = urllib.parse.urlsplit(self.endpoint).netloc
        return self

    def listeners(self):
        """Where it listens."""
        return ["--listen", f"127.0.0.1:{self.port}", "--admin", "127.0.0.1:0",
                "--metrics", "127.0.0.1:0"]

    def kill(self):
        """As a power failure of the process: SIGKILL, then wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def stop(self, timeout=30):
        """As Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout)
        self.process.stdout.close()
        self.process = None
        return code

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def rss_kib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])

    def cli(self, *args, check=True):
        done = subprocess.run(
            [*map(str, self.prefix), str(BIN), *map(str, args), "--data", str(self.data)],
            capture_output=True, text=True, timeout=120, env=self.env,
        )
        if check:
            assert done.returncode == 0, f"{args}: {done.stdout}\n{done.stderr}"
        return done

    def cli_json(self, *args):
        return json.loads(self.cli(*args).stdout)

    def client(self):
        return Client(self.host, self.region, self.access_key, self.secret_key)


def freeze(*pids):
    """Stops processes, and waits until each of their threads has stopped: a signal that was sent
    has not arrived yet, and what a process does meanwhile is not what a test counts on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while not all(_stopped(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process does not stop"
        time.sleep(0.001)


def _stopped(pid):
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(t.read_text().rpartition(")")[2].split()[0] == "T" for t in threads)


def thaw(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def _sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Client:
    """One keep-alive connection. Not for threads: each takes its own."""

    # Whether each request to the admin API is another one.
    nonces = True

    def __init__(self, host, region, access_key, secret_key, timeout=30, service=None):
        self.host, self.region, self.service = host, region, service
        self.access_key, self.secret_key = access_key, secret_key
        self.connection = http.client.HTTPConnection(host, timeout=timeout)
        self._for, self._key = None, None

    def _signing_key(self, day, service):
        if (day, self.region, service) != self._for:
            key = _sign(("AWS4" + self.secret_key).encode(), day)
            for part in (self.region, service, "aws4_request"):
                key = _sign(key, part)
            self._for, self._key = (day, self.region, service), key
        return self._key

    def headers(self, method, path, query="", headers=None, payload="UNSIGNED-PAYLOAD", now=None):
        now = now or datetime.datetime.now(datetime.timezone.utc)
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        day = stamp[:8]
        all_headers = {
            "host": self.host, "x-amz-date": stamp, "x-amz-content-sha256": payload,
            **{k.lower(): v for k, v in (headers or {}).items()},
        }
        # The admin API is a service of its own, unless a test says otherwise. A signed change is
        # good once, and the same may be asked twice in a second.
        service = self.service or ("dhow-admin" if path.startswith("/-/admin/") else "s3")
        if service == "dhow-admin" and self.nonces:
            all_headers.setdefault("x-dhow-nonce", os.urandom(16).hex())
        names = sorted(all_headers)
        # Decoded once and encoded once, whatever form is sent.
        encode = lambda text, safe: urllib.parse.quote(urllib.parse.unquote_to_bytes(text), safe)
        pairs = [p.partition("=") for p in query.split("&") if p]
        canonical_query = "&".join(sorted(f"{encode(n, '~')}={encode(v, '~')}" for n, _, v in pairs))
        canonical = "\n".join([
            method, encode(path, "/~"), canonical_query,
            *(f"{n}:{' '.join(str(all_headers[n]).split())}" for n in names),
            "", ";".join(names), payload,
        ])
        scope = f"{day}/{self.region}/{service}/aws4_request"
        to_sign = "\n".join([
            "AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest(),
        ])
        signature = hmac.new(self._signing_key(day, service), to_sign.encode(), hashlib.sha256).hexdigest()
        all_headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope},"
            f"SignedHeaders={';'.join(names)},Signature={signature}"
        )
        return all_headers

    def request(self, method, path, query="", body=b"", headers=None):
        """Returns (status, headers, body). `path` is sent as it is, so percent-encode it first."""
        signed = self.headers(method, path, query, headers)
        try:
            try:
                self.connection.request(method, path + ("?" + query if query else ""), body, signed)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of the body was sent: the answer says why
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except Exception:
            self.connection.close()
            raise

    def put(self, bucket, key, body, **headers):
        path = f"/{bucket}/{urllib.parse.quote(key)}"
        return self.request("PUT", path, body=body, headers=headers)

    def get(self, bucket, key):
        return self.request("GET", f"/{bucket}/{urllib.parse.quote(key)}")

    def delete(self, bucket, key):
        return self.request("DELETE", f"/{bucket}/{urllib.parse.quote(key)}")
