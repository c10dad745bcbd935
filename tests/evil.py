"""What a region's operator could do who has all of its files: speak to other regions with its real
certificate, or with one that it made, and look through the memory of its own process."""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import mmap
import re
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.events

PAGE = mmap.PAGESIZE
PATHS = {name: f"/dhow/v1/{name}" for name in (
    "join", "registry", "renew", "hello", "residency", "pass", "replication", "log")}


def plain_key(pem):
    """An Ed25519 key as OpenSSL reads it: PKCS#8 without the public half (RFC 5958 has it)."""
    der = base64.b64decode("".join(pem.split("-----")[2].split()))
    _, _, rest = der.partition(b"\x04\x22\x04\x20")
    plain = bytes.fromhex("302e020100300506032b657004220420") + rest[:32]
    return ("-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(plain).decode()
            + "\n-----END PRIVATE KEY-----\n")


class Refused(Exception):
    """The connection was refused, or cut."""


class Peer:
    """Speaks HTTP/2 over mutual TLS to the peer listener of `region`, with whatever certificate it
    is told to show. One request at a time; a connection that is cut is opened again."""

    reads = True

    def __init__(self, address, region, authority, certificate=None, key=None, timeout=30):
        host, port = address.rsplit(":", 1)
        self.address, self.timeout = (host, int(port)), timeout
        self.name = f"{region}.region.dhow.internal"
        self.tls = ssl.create_default_context(cafile=str(authority))
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self.tls.set_alpn_protocols(["h2"])
        if certificate:
            self.tls.load_cert_chain(str(certificate), str(key))
        self.socket = None

    @classmethod
    def of(cls, folder, address, region, **more):
        """With the files of the region in `folder`."""
        folder = Path(folder)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as key:
            key.write(plain_key((folder / "identity.pem").read_text()))
            key.flush()
            return cls(address, region, folder / "authority.pem", folder / "certificate.pem",
                       key.name, **more)

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _open(self):
        plain = socket.create_connection(self.address, self.timeout)
        self.socket = self.tls.wrap_socket(plain, server_hostname=self.name)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        if self.reads:
            self.http.increment_flow_control_window(1 << 30)
        self.socket.sendall(self.http.data_to_send())

    def ask(self, method, path, body=b"", headers=()):
        """(status, body) of the answer."""
        try:
            if self.socket is None:
                self._open()
            return self._ask(method, path, body, headers)
        except (OSError, h2.exceptions.ProtocolError, EOFError) as error:
            self.close()
            raise Refused(repr(error)) from None

    def _ask(self, method, path, body, headers):
        stream = self.http.get_next_available_stream_id()
        named = [(":method", method), (":scheme", "https"), (":authority", self.name),
                 (":path", path), *headers]
        self.http.send_headers(stream, named, end_stream=not body)
        sent, status, answer = 0, None, b""
        while True:
            while sent < len(body):
                room = min(self.http.local_flow_control_window(stream),
                           self.http.max_outbound_frame_size, len(body) - sent)
                if room == 0:
                    break
                sent += room
                self.http.send_data(stream, body[sent - room:sent], sent == len(body))
            self.socket.sendall(self.http.data_to_send())
            received = self.socket.recv(1 << 16)
            if not received:
                raise EOFError("the connection was cut")
            for event in self.http.receive_data(received):
                if getattr(event, "stream_id", stream) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    answer += event.data
                    self.http.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    return status, answer
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise EOFError("the request was cut")

    def ask_and_leave(self, path, question, count, quiet=1):
        """Sends a question so often and reads nothing of the answers but their heads; the statuses
        that came until nothing came for `quiet` seconds."""
        if self.socket is None:
            self._open()
        asked = json.dumps(question).encode()
        for _ in range(count):
            stream = self.http.get_next_available_stream_id()
            self.http.send_headers(stream, [
                (":method", "POST"), (":scheme", "https"), (":authority", self.name),
                (":path", PATHS[path]), ("content-length", str(len(asked)))])
            self.http.send_data(stream, asked, end_stream=True)
        self.socket.sendall(self.http.data_to_send())
        return self.statuses(quiet)

    def statuses(self, quiet):
        """The statuses of answers that come until nothing comes for so many seconds."""
        found = []
        self.socket.settimeout(quiet)
        with contextlib.suppress(TimeoutError):
            while received := self.socket.recv(1 << 16):
                found += [int(dict(event.headers)[":status"])
                          for event in self.http.receive_data(received)
                          if isinstance(event, h2.events.ResponseReceived)]
        self.socket.settimeout(self.timeout)
        return found

    def tell(self, path, question):
        """(status, JSON or text) of a question in JSON."""
        status, answer = self.ask("POST", PATHS[path], json.dumps(question).encode())
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, answer.decode(errors="replace")


def head(signed, method, target):
    """Headers of a request between regions that relays this head; `signed` is what a customer signed
    (Client.headers), changed or not."""
    lines = [f"{method} {target}", *(f"{name}:{value}" for name, value in signed.items())]
    return [("x-dhow-head", base64.b64encode("\n".join(lines).encode()).decode())]


def openssl(*words, text=None):
    done = subprocess.run(["openssl", *map(str, words)], input=text, capture_output=True,
                          timeout=30)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def forged(folder, name, issuer=None, issuer_key=None, own=None):
    """(certificate, key) for `name`, signed with the key of `issuer`, or with its own. The key is
    `own` (PEM), or a new one."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    key, request, certificate = folder / "key.pem", folder / "request", folder / "certificate.pem"
    if own is None:
        openssl("genpkey", "-algorithm", "ed25519", "-out", key)
    else:
        key.write_text(own)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
    extensions = folder / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{name}.region.dhow.internal\n"
                          "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n"
                          "keyUsage=digitalSignature\nauthorityKeyIdentifier=keyid\n")
    signer = ("-signkey", key) if issuer is None else ("-CA", issuer, "-CAkey", issuer_key)
    openssl("x509", "-req", "-in", request, *signer, "-days", "2", "-extfile", extensions,
            "-out", certificate, "-set_serial", "0x4b1d")
    if issuer is not None:  # the chain, as far as the forger has it
        certificate.write_bytes(certificate.read_bytes() + Path(issuer).read_bytes())
    return certificate, key


def memory(pid):
    """What a process may write to, piece by piece; of what it only reserved, nothing."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as content, \
            open(f"/proc/{pid}/pagemap", "rb", 0) as pages:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(n, 16) // PAGE for n in span.split("-"))
            pages.seek(start * 8)
            entries = struct.unpack(f"<{end - start}Q", pages.read((end - start) * 8))
            there = lambda page: entries[page - start] >> 62 != 0  # in memory, or swapped out
            for used, run in itertools.groupby(range(start, end), there):
                run = list(run)
                if not used:
                    continue
                try:
                    content.seek(run[0] * PAGE)
                    yield content.read(len(run) * PAGE)
                except (OSError, ValueError):
                    continue  # gone meanwhile


def in_memory(pid, needles):
    """How often each needle is in the memory of a process."""
    found = dict.fromkeys(needles, 0)
    for piece in memory(pid):
        for needle in needles:
            found[needle] += piece.count(needle)
    return found


def files(folder):
    return [p for p in Path(folder).rglob("*") if p.is_file()]


class Lessee(Peer):
    """A region with a sealed copy, which asks for what its placement lets it ask: leases."""

    def about(self, deed, what):
        question = {"bucket": deed["name"], "id": deed["id"], "epoch": deed["epoch"], "what": what}
        return self.ask("POST", PATHS["replication"], json.dumps(question).encode())

    def lease(self, deed, key):
        status, answer = self.about(deed, {"lease": {"key": key, "version": None}})
        assert status == 200, answer
        return json.loads(answer)["current"]

    def wrapped_keys(self, deed):
        """All that looks like a wrapped key in what the home sends."""
        status, answer = self.about(deed, {"changes": {"after": 0, "wait_ms": 0}})
        assert status == 200, answer
        return [base64.b64decode(found[1])
                for found in re.finditer(rb"(?=([A-Za-z0-9+/]{80}))", answer)]

    def unwrapped(self, deed, key, version, wrapped):
        """(status, the data key): X25519, HMAC-SHA-256, AES-256-GCM, as docs/sealing.md says."""
        secret = openssl("genpkey", "-algorithm", "X25519")
        public = openssl("pkey", "-pubout", "-outform", "DER", text=secret)[-32:]
        status, answer = self.about(deed, {"unwrap": {
            "key": key, "version": version, "wrapped": wrapped.hex(), "asker": public.hex()}})
        if status != 200:
            return status, answer
        handed = bytes.fromhex(json.loads(answer)["key"])
        with tempfile.TemporaryDirectory() as folder:
            own, theirs = Path(folder) / "own", Path(folder) / "theirs"
            own.write_bytes(secret)
            theirs.write_bytes(bytes.fromhex("302a300506032b656e032100") + handed[:32])
            shared = openssl("pkeyutl", "-derive", "-inkey", own, "-peerkey", theirs,
                             "-peerform", "DER")
        pieces = (b"handing", public, handed[:32])
        text = b"".join(len(p).to_bytes(4, "big") + p for p in pieces)
        cipher = hmac.new(shared, text, hashlib.sha256).hexdigest()
        # GCM without its tag is counter mode, from 2 on.
        return status, openssl("enc", "-d", "-aes-256-ctr", "-K", cipher, "-iv",
                               "00" * 15 + "02", text=handed[32:64])


class Unread(Peer):
    """Never makes room for what is sent to it."""

    reads = False


class FakeKeeper:
    """Somebody in the place of the registry's region, with its key. `answers` is asked for each
    request: (path, body) -> bytes, or None."""

    def __init__(self, address, certificate, key, answers):
        self.answers, self.stopping = answers, threading.Event()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self.tls.set_alpn_protocols(["h2"])
        self.tls.load_cert_chain(str(certificate), str(key))
        self.listener = socket.create_server(address)
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def stop(self):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)

    def _accept(self):
        while not self.stopping.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(connection,),
                                                 daemon=True))
            self.threads[-1].start()

    def _serve(self, connection):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError), \
                self.tls.wrap_socket(connection, server_side=True) as wire:
            wire.settimeout(0.2)
            http, requests = h2.connection.H2Connection(config), {}
            http.initiate_connection()
            wire.sendall(http.data_to_send())
            while not self.stopping.is_set():
                try:
                    received = wire.recv(1 << 16)
                except TimeoutError:
                    continue
                if not received:
                    return
                for event in http.receive_data(received):
                    self._event(http, requests, event)
                wire.sendall(http.data_to_send())

    def _event(self, http, requests, event):
        if isinstance(event, h2.events.RequestReceived):
            requests[event.stream_id] = [dict(event.headers)[":path"], b""]
        elif isinstance(event, h2.events.DataReceived):
            requests[event.stream_id][1] += event.data
            http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer = self.answers(*requests.pop(event.stream_id))
            status = "404" if answer is None else "200"
            http.send_headers(event.stream_id, [(":status", status)])
            http.send_data(event.stream_id, answer or b"", end_stream=True)
