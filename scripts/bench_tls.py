#!/usr/bin/env python3
"""Measures what TLS costs: GETs of 64 MiB over TLS from Dhow and from nginx with the same certificate
and cipher, and signed GETs of 4 KiB over TLS and in clear text, with kept connections. The servers
take turns, so that what else the machine does meets them alike; medians are compared.

Needs a build of `dhow` (make bench-tls builds the release) and nginx (Debian: nginx-light). Writes a
table to standard output. Everything listens on 127.0.0.1.
"""

import argparse, json, os, pathlib, shutil, socket, ssl, statistics, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

from bench_peers import Server, answers, ports

CIPHER = "TLS_AES_256_GCM_SHA384"
FILES, OBJECTS = 8, 5000


def nginx(folder, tls, size):
    """Serves the folder `www` over TLS with Dhow's certificate, and in clear text only to say that
    it is there."""
    files = folder / "www" / "tls" / "big"
    files.mkdir(parents=True)
    for n in range(FILES):
        (files / f"{n:09}").write_bytes(os.urandom(size))
    port, probe = ports(2)
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log stderr; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;
  open_file_cache max=10000; types {{ }} default_type application/octet-stream;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  ssl_certificate {tls}/server.pem; ssl_certificate_key {tls}/server.key;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {CIPHER};
  server {{ listen 127.0.0.1:{port} ssl; listen 127.0.0.1:{probe}; root {folder}/www; }}
}}""")
    os.chmod(folder, 0o755)
    server = Server("nginx", [shutil.which("nginx") or "/usr/sbin/nginx", "-c",
                              str(folder / "nginx.conf"), "-p", str(folder)])
    if not answers(probe):
        sys.exit(f"nginx does not answer: {server.tail()}")
    return server, f"https://localhost:{port}"


def cipher(endpoint, authority):
    """What a client agrees on that prefers what `dhow bench` prefers."""
    context = ssl.create_default_context(cafile=authority)
    port = int(endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 30) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as connection:
            return connection.cipher()[0]


class Load:
    def __init__(self, binary, seconds, authority):
        self.binary, self.seconds = binary, seconds
        self.env = {**os.environ, "AWS_CA_BUNDLE": str(authority)}

    def get(self, endpoint, keys, size, connections, prefix, existing):
        """A report of GETs of objects that are there."""
        command = [self.binary, "bench", "get", "--endpoint", endpoint, "--size", size, "--keep",
                   "--connections", connections, "--time", f"{self.seconds}s", "--objects", 0,
                   "--existing", existing, "--prefix", prefix, "--bucket", "tls", "--json", *keys]
        return self.run(command)

    def put(self, endpoint, keys, size, prefix, count):
        """Stores what is read later."""
        self.run([self.binary, "bench", "put", "--endpoint", endpoint, "--size", size, "--keep",
                  "--requests", count, "--connections", 4, "--prefix", prefix, "--bucket", "tls",
                  "--json", *keys])

    def run(self, command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=600, env=self.env)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)


def signed(server):
    return ["--region", server.region, "--access-key", server.access_key,
            f"--secret-key={server.secret_key}"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="MiB of a large object")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "dhow"))
    options = parser.parse_args()
    os.environ["DHOW_BIN"] = options.binary
    from dhow import Dhow

    folder = pathlib.Path(tempfile.mkdtemp(prefix="dhow-bench-tls-"))
    logs = ["--log-level", "warn"]
    encrypted = Dhow(folder / "encrypted", args=[*logs, "--tls"]).start()
    clear = Dhow(folder / "clear", args=logs).start()
    web = None
    try:
        web, web_url = nginx(folder, folder / "encrypted" / "tls", options.size << 20)
        authority = encrypted.info["authority"]
        agreed = {cipher(url, authority) for url in (encrypted.endpoint, web_url)}
        if agreed != {CIPHER}:
            sys.exit(f"the ciphers differ from {CIPHER}: {agreed}")
        load = Load(options.binary, options.seconds, authority)
        large, small = f"{options.size}MiB", "4KiB"
        load.put(encrypted.endpoint, signed(encrypted), large, "big/", FILES)
        for server in (encrypted, clear):
            load.put(server.endpoint, signed(server), small, "small/", OBJECTS)
        figures = {name: [] for name in ("dhow", "nginx", "tls", "clear")}
        for _ in range(options.turns):
            for name, get in {
                "dhow": (encrypted.endpoint, signed(encrypted), large, 4, "big/", FILES),
                "nginx": (web_url, ["--anonymous"], large, 4, "big/", FILES),
                "tls": (encrypted.endpoint, signed(encrypted), small, 32, "small/", OBJECTS),
                "clear": (clear.endpoint, signed(clear), small, 32, "small/", OBJECTS),
            }.items():
                report = load.get(*get)
                if report["errors"]:
                    sys.exit(f"{name}: {report['errors']} requests failed")
                figures[name].append(report["per_second"])
    finally:
        if web is not None:
            web.stop()
        for server in (encrypted, clear):
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)

    middle = {name: statistics.median(all) for name, all in figures.items()}
    mib = lambda name: f"{middle[name] * options.size:,.1f} MiB/s"
    rate = lambda name: f"{middle[name]:,.0f} /s"

    def row(case, one, other, wanted, shown):
        ratio = middle[one] / middle[other]
        met = "met" if ratio >= wanted else "missed"
        print(f"| {case} | {shown(one)} | {shown(other)} | {ratio:.2f}x | at least {wanted}x: {met} |")

    print(f"{CIPHER}, {options.turns} turns of {options.seconds} s, medians:\n")
    print("| case | TLS | compared with | ratio | wanted |\n|---|---|---|---|---|")
    row(f"GET {large}, 4 conns / nginx with TLS", "dhow", "nginx", 1.0, mib)
    row("signed GET 4 KiB, 32 kept conns / clear text", "tls", "clear", 0.85, rate)


if __name__ == "__main__":
    main()
