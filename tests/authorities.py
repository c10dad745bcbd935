"""An ACME server: pebble, Let's Encrypt's own for tests, with a name server beside it. It proves names
by real connections, and drops all it knows when it ends."""

import json
import os
import random
import socket
import ssl
import subprocess
import threading
import urllib.request

from fleet import eventually, free_ports


class Authority:
    """Pebble on ports of its own. Clients reach it by way of `Way`, which can be cut."""

    def __init__(self, folder, certificate, key, life_s):
        self.folder, self.certificate = folder, certificate
        first = free_ports(random.Random())
        (self.port, self.management, self.dns, self.names, self.tls,
         way) = range(first, first + 6)
        self.config = folder / "pebble.json"
        self.config.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(certificate), "privateKey": str(key),
            # Where it looks for proofs; 443 elsewhere.
            "tlsPort": self.tls, "httpPort": 1, "certificateValidityPeriod": life_s,
        }}))
        self.log = folder / "pebble.log"
        self.started, self.process = [], None
        self.way = Way(way, self.port)
        self.directory = f"https://localhost:{way}/dir"
        self._run("pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-defaultIPv4",
                  "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
                  "-management", f"127.0.0.1:{self.names}")
        self.start()

    def _run(self, *command):
        # It waits before it looks for a proof, refuses good nonces and remembers proofs, all by
        # chance: not here.
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0",
               "PEBBLE_AUTHZREUSE": "0"}
        with open(self.log, "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        self.started.append(process)
        return process

    def start(self):
        """Another one: it knows nothing, and has a new root."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = self._run("pebble", "-config", str(self.config), "-dnsserver",
                                 f"127.0.0.1:{self.dns}")
        self.root = self.folder / "root.pem"
        self.root.write_text(eventually(self._root, timeout=60))

    def _root(self):
        trusted = ssl.create_default_context(cafile=self.certificate)
        url = f"https://localhost:{self.management}/roots/0"
        with urllib.request.urlopen(url, timeout=30, context=trusted) as answer:
            return answer.read().decode()

    def orders(self):
        """How many were begun, of all that ran here."""
        return self.log.read_text().count("orders in the db")

    def leads(self, name, address):
        """From here on a name leads to another address than 127.0.0.1."""
        asked = json.dumps({"host": name, "addresses": [address]}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{self.names}/add-a", asked, timeout=30).close()

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()
        self.way.close()


class Way:
    """Connects clients to a port, unless it is cut."""

    def __init__(self, port, to):
        self.to, self.cut = to, False
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.cut:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.to), 30)
            except OSError:
                client.close()
                continue
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()
