#!/usr/bin/env python3
"""Measures the web console, in three parts:

  pages   time from request to the last byte over a kept connection of loopback, for pages of a
          bucket with many objects: the first page, one in the middle, a search by prefix, versions,
          one object, and the preview of deleting fifty;
  weight  bytes over the wire at the first visit, compressed: the page, its style sheet and scripts;
  fleet   resident memory of fourteen regions, each with a console, after a page of each was opened.

Needs a build of `dhow` (make bench-console builds the release). Writes tables to standard output.
Everything listens on 127.0.0.1.
"""

import argparse, gzip, http.client, json, os, pathlib, re, shutil, statistics, subprocess, sys, tempfile, time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

BUCKET, PREFIX = "many", "kept/"
PAGE_MS, WEIGHT_KIB, FLEET_MIB = 50, 150, 900
DELETED = 50


def say(what):
    print(f"{time.strftime('%X')} {what}", file=sys.stderr, flush=True)


def verdict(met):
    return "met" if met else "missed"


class Browser:
    """A session over one kept connection, which asks for compressed pages."""

    def __init__(self, server):
        from test_console_security import Raw
        self.raw = Raw(server).sign_in()
        self.connection = http.client.HTTPConnection(self.raw.host, timeout=120)

    def ask(self, method, path, form=None, cookie=True):
        """The page, its size on the wire, and milliseconds."""
        body = urllib.parse.urlencode(form).encode() if form else b""
        headers = {"Accept-Encoding": "gzip", "Origin": self.raw.origin}
        headers |= {"Cookie": self.raw.cookie} if cookie else {}
        headers |= {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        begun = time.perf_counter()
        self.connection.request(method, path, body or None, headers)
        answer = self.connection.getresponse()
        sent = answer.read()
        took = (time.perf_counter() - begun) * 1000
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {sent[:300]}")
        packed = answer.headers["content-encoding"] == "gzip"
        text = gzip.decompress(sent) if packed else sent
        return text.decode(errors="replace"), len(sent), took

    def weight(self, path, cookie=True):
        """Of a page and all that it loads from the console, and how many requests that is."""
        page, sum_bytes, _ = self.ask("GET", path, cookie=cookie)
        loads = set(re.findall(r'(?:src|href)="(/-/a/[^"]+)"', page))
        return sum_bytes + sum(self.ask("GET", one)[1] for one in loads), 1 + len(loads)


def fill(server, binary, objects):
    """Small objects over kept connections."""
    say(f"storing {objects:,} objects")
    command = [binary, "bench", "put", "--endpoint", server.endpoint, "--region", server.region,
               "--access-key", server.access_key, "--secret-key", server.secret_key, "--size", "64B",
               "--keep", "--connections", "64", "--json", "--bucket", BUCKET, "--prefix", PREFIX,
               "--requests", str(objects)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    say(f"{json.loads(done.stdout)['per_second']:,.0f} a second")


def pages(options, folder):
    import boto3
    from dhow import Dhow
    server = Dhow(folder / "pages", args=["--log-level", "warn"]).start()
    try:
        fill(server, options.binary, options.objects)
        s3 = boto3.client("s3", endpoint_url=server.endpoint, region_name=server.region,
                          aws_access_key_id=server.access_key,
                          aws_secret_access_key=server.secret_key)
        listed = lambda **more: s3.list_objects_v2(
            Bucket=BUCKET, Prefix=PREFIX, Delimiter="/", MaxKeys=200, **more)
        first = listed()["Contents"]
        # Keys are numbers with as many digits each.
        digits = len(first[0]["Key"]) - len(PREFIX)
        middle = f"{PREFIX}{options.objects // 2:0{digits}}"
        browser = Browser(server)
        at = lambda path="", **query: f"/b/{BUCKET}{path}?{urllib.parse.urlencode(query)}"
        token = listed(StartAfter=middle)["NextContinuationToken"]
        keys = [found["Key"] for found in first[:DELETED]]
        cases = {
            "objects, the first page (200)": at(prefix=PREFIX),
            "objects, a page in the middle": at(prefix=PREFIX, after=token),
            "objects, 1,000 on a page": at(prefix=PREFIX, limit=1000),
            "search by a prefix": at(prefix=middle[:-2]),
            "versions": at(prefix=PREFIX, versions=1),
            "versions, in the middle": at(prefix=PREFIX, versions=1, after=middle),
            "one object": at("/o", key=middle),
            "buckets": "/",
        }
        print(f"\nA bucket of {options.objects:,} objects; {options.turns} requests each, in turns; "
              "milliseconds, and bytes on the wire:\n")
        print("| page | median | p99 | slowest | KiB | wanted |\n|---|---|---|---|---|---|")
        times = {name: [] for name in [*cases, f"preview of deleting {DELETED}"]}
        sizes = {}
        for _ in range(options.turns):
            for name, path in cases.items():
                _, sizes[name], took = browser.ask("GET", path)
                times[name].append(took)
            name = f"preview of deleting {DELETED}"
            form = [("key", key) for key in keys] + [("back", PREFIX)]
            route = f"/b/{BUCKET}/delete"
            page, _, _ = browser.ask("GET", at(prefix=PREFIX))
            csrf = re.findall(r'name="csrf" value="([^"]+)"', page)
            form += [("csrf", token) for token in csrf[-4:]]
            _, sizes[name], took = browser.ask("POST", route, form)
            times[name].append(took)
        for name, all_ms in times.items():
            all_ms.sort()
            p99 = all_ms[min(len(all_ms) - 1, int(len(all_ms) * 0.99))]
            print(f"| {name} | {statistics.median(all_ms):.1f} | {p99:.1f} | {all_ms[-1]:.1f} "
                  f"| {sizes[name] / 1024:.1f} | under {PAGE_MS} ms: "
                  f"{verdict(statistics.median(all_ms) < PAGE_MS)} |", flush=True)
    finally:
        server.stop()


def fleet(options, folder):
    from fleet import Fleet
    started = Fleet(folder / "fleet", 14, args=["--log-level", "warn"]).start()
    try:
        print("\nBytes on the wire at the first visit, in a cloud of fourteen regions:\n")
        print("| page | KiB | requests | wanted |\n|---|---|---|---|")
        weighed = False
        for region in started.ids:
            found = started.regions[region]
            at = type("At", (), {"info": found, "region": region, "endpoint": found["endpoint"],
                                 "access_key": started.info["access_key"],
                                 "secret_key": started.info["secret_key"]})
            browser = Browser(at)
            if not weighed:
                weighed = True
                for path in ("/signin", "/", "/regions", "/new", "/audit", "/health", "/users"):
                    weight, requests = browser.weight(path, cookie=path != "/signin")
                    print(f"| {path} | {weight / 1024:.1f} | {requests} | under {WEIGHT_KIB} KiB: "
                          f"{verdict(weight < WEIGHT_KIB << 10)} |", flush=True)
            browser.ask("GET", "/regions")
        time.sleep(options.idle)
        rss = sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
                  for pid in started.pids())
        print("\n| what | measured | wanted |\n|---|---|---|")
        print(f"| resident memory of the fleet, idle for {options.idle} s after a page of each console "
              f"| {rss / 1024:.0f} MiB | under {FLEET_MIB} MiB: {verdict(rss < FLEET_MIB << 10)} |")
    finally:
        started.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=10_000_000)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--idle", type=int, default=30)
    parser.add_argument("--only", choices=["pages", "fleet"])
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "dhow"))
    options = parser.parse_args()
    os.environ["DHOW_BIN"] = options.binary
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dhow-bench-console-"))
    try:
        if options.only != "fleet":
            pages(options, folder)
        if options.only != "pages":
            fleet(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
