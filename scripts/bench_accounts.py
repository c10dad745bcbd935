#!/usr/bin/env python3
"""Measures how Dhow's room is shared: the goodput of one account's small PUTs over 64, 1,000 and
4,000 connections, in turns, and the p99 of a second account's beside them and alone.

Needs a build of `dhow` (make bench-accounts builds the release). Writes a table to standard output.
Everything listens on 127.0.0.1.
"""

import argparse, json, os, pathlib, resource, shutil, statistics, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))


def raise_files():
    """A client of 4,000 connections holds as many files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Keys:
    def __init__(self, server, access, secret):
        self.arguments = ["--endpoint", server.endpoint, "--region", server.region,
                          "--access-key", access, "--secret-key", secret]


def rss(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def begin(binary, keys, bucket, connections, seconds, tag):
    command = [binary, "bench", "put", "--size", "4KiB", "-c", str(connections), "--time",
               f"{seconds}s", "--keep", "--bucket", bucket, "--prefix", tag, "--json",
               *keys.arguments]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)


def end(process, limit):
    """A report. Requests that failed make the client's exit status another one."""
    text, _ = process.communicate(timeout=limit)
    return json.loads(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="*", default=[64, 1000, 4000])
    parser.add_argument("--second", type=int, nargs="*", default=[8, 32],
                        help="connections of the second account")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "dhow"))
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    raise_files()
    os.environ["DHOW_BIN"] = options.binary
    from dhow import Dhow

    folder = tempfile.mkdtemp(prefix="dhow-bench-accounts-")
    server = Dhow(pathlib.Path(folder) / "data", args=["--log-level", "warn"])
    server.port = options.port
    server.start()
    limit = options.seconds + 120
    number = iter(range(10**6))
    try:
        first = Keys(server, server.access_key, server.secret_key)
        account = server.cli_json("account", "create", "second", "--json")
        key = server.cli_json("key", "create", "--account", account["id"], "--json")
        second = Keys(server, key["access_key"], key["secret_key"])

        def run(keys, bucket, connections, seconds=options.seconds):
            tag = f"{next(number)}/"
            return begin(options.binary, keys, bucket, connections, seconds, tag)

        # What is slower once only is over before anything counts.
        end(run(first, "first", 64, 2), limit)
        end(run(second, "second", 8, 1), limit)
        goodput = {c: [] for c in options.connections}
        failed = {c: 0 for c in options.connections}
        resident = {c: 0.0 for c in options.connections}
        alone = {s: [] for s in options.second}
        beside = {(s, c): [] for s in options.second for c in options.connections}
        for _ in range(options.turns):
            for c in options.connections:
                client = run(first, "first", c, options.seconds)
                try:
                    client.wait(options.seconds / 2)
                except subprocess.TimeoutExpired:
                    resident[c] = max(resident[c], rss(server.process.pid))
                report = end(client, limit)
                goodput[c].append(report["per_second"])
                failed[c] += sum(report["errors"].values())
            for s in options.second:
                alone[s].append(end(run(second, "second", s), limit))
                for c in options.connections:
                    crowd = run(first, "first", c, options.seconds + 5)
                    # Once the crowd is connected.
                    try:
                        crowd.wait(4)
                    except subprocess.TimeoutExpired:
                        pass
                    report = end(run(second, "second", s), limit)
                    end(crowd, limit)
                    beside[s, c].append(report)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

    best = max(statistics.median(rates) for rates in goodput.values())
    print("| connections of one account | PUT 4 KiB | of the best | failed | resident |\n"
          "|---|---|---|---|---|")
    for c, rates in goodput.items():
        rate = statistics.median(rates)
        print(f"| {c:,} | {rate:,.0f} /s | {rate / best:.2f}x | {failed[c]} | "
              f"{resident[c]:.0f} MiB |")
    print("\n| second account | beside | PUT 4 KiB | p50 | p99 | p99 to its own | failed |\n"
          "|---|---|---|---|---|---|---|")
    for s, own in alone.items():
        p99 = row(s, "nobody", own, None)
        for c in options.connections:
            row(s, f"{c:,} connections", beside[s, c], p99)


def row(connections, beside, reports, own):
    rate = statistics.median(r["per_second"] for r in reports)
    p50 = statistics.median(r["latency_ms"]["p50"] for r in reports)
    p99 = statistics.median(r["latency_ms"]["p99"] for r in reports)
    errors = sum(sum(r["errors"].values()) for r in reports)
    ratio = f"{p99 / own:.1f}x" if own else ""
    print(f"| {connections} connections | {beside} | {rate:,.0f} /s | {p50:.2f} ms | "
          f"{p99:.2f} ms | {ratio} | {errors} |")
    return p99


if __name__ == "__main__":
    main()
