"""Measures a cloud of regions on this machine: memory of the idle fleet of fourteen, and how soon a
small write at the home is readable at a copy while others write.

  .venv/bin/python scripts/bench_regions.py --dhow target/release/dhow [--rate 500] [--seconds 20]
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))


def resident_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dhow", default="target/release/dhow")
    options.add_argument("--rate", type=int, default=500)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--json", action="store_true")
    options = options.parse_args()
    os.environ["DHOW_BIN"] = str(Path(options.dhow).resolve())
    from dhow import Client
    from fleet import Fleet

    told = {}
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        fleet = Fleet(Path(folder) / "world", 14).start()
        told["start_14_s"] = round(time.monotonic() - began, 2)
        time.sleep(5)  # idle
        told["resident_14_mib"] = round(sum(map(resident_mib, fleet.pids())), 1)
        fleet.stop()

        fleet = Fleet(Path(folder) / "two", 2).start()
        home, copy = fleet.ids
        fleet.bucket("lag", home, copy)

        def client(region):
            host = urllib.parse.urlsplit(fleet.regions[region]["endpoint"]).netloc
            return Client(host, region, fleet.info["access_key"], fleet.info["secret_key"])

        stop, written = threading.Event(), [0] * 4

        def write(number):
            s3, count = client(home), 0
            began = time.monotonic()
            while not stop.is_set():
                due = began + count * len(written) / options.rate
                time.sleep(max(0, due - time.monotonic()))
                assert s3.put("lag", f"load/{number}/{count}", b"x" * 1024)[0] == 200
                count += 1
                written[number] = count

        writers = [threading.Thread(target=write, args=(n,)) for n in range(len(written))]
        for writer in writers:
            writer.start()
        at_home, at_copy, lags = client(home), client(copy), []
        began = time.monotonic()
        while time.monotonic() - began < options.seconds:
            key = f"probe/{len(lags)}"
            assert at_home.put("lag", key, b"probe")[0] == 200
            answered = time.monotonic()
            while at_copy.get("lag", key)[0] != 200:
                pass
            lags.append((time.monotonic() - answered) * 1000)
            time.sleep(0.02)
        took = time.monotonic() - began
        stop.set()
        for writer in writers:
            writer.join()
        fleet.stop()
    lags.sort()
    at = lambda share: round(lags[min(len(lags) - 1, int(len(lags) * share))], 1)
    told.update(rate_per_s=round(sum(written) / took), probes=len(lags),
                lag_median_ms=at(0.5), lag_p99_ms=at(0.99), lag_max_ms=round(lags[-1], 1))
    print(json.dumps(told) if options.json else "\n".join(f"{k:18} {v}" for k, v in told.items()))


if __name__ == "__main__":
    main()
