"""`make soak`: hundreds of losses of power, then every cut of a first start, the thin disk, and an
upload of 1 GiB in the console with a pause and a cut of the network.

    python soak.py [--cuts N] [--seed S] [--kind ext4|xfs] [--durability strict|relaxed]

Cuts are done in rounds; each has a seed of its own, which is printed with what failed. A seed
decides what is written and about when the disk is cut; the moment itself is the machine's.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from cuts import Cuts
from drives import KINDS, Shelf

ROUND = 25
DURABILITIES = ["strict", "relaxed"]
TESTS = ["test_first_start.py", "test_thin.py",
         "test_console.py::test_an_upload_goes_on_after_a_pause_and_a_cut_of_the_network"]


def round_of(kind, durability, seed, count):
    """Cuts on a drive of their own; answers what went wrong, or nothing."""
    folder = Path(tempfile.mkdtemp(prefix="dhow-soak-"))
    say = lambda text: print(f"  {text}", flush=True)
    try:
        shelf = Shelf(folder / "disks")
        try:
            Cuts(shelf, folder, kind, durability, seed, say).run(count)
        finally:
            shelf.remove()
    except Exception:
        print(traceback.format_exc(), flush=True)
        return (f"{kind} {durability}, seed {seed}: soak.py --kind {kind} --durability {durability} "
                f"--seed {seed} --cuts {count} --no-tests (logs in {folder})")
    shutil.rmtree(folder)
    return None


def main():
    ask = argparse.ArgumentParser(description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--cuts", type=int, default=400, help="how many in all (400)")
    ask.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    ask.add_argument("--kind", choices=KINDS)
    ask.add_argument("--durability", choices=DURABILITIES)
    ask.add_argument("--no-tests", action="store_true", help="the cuts alone")
    asked = ask.parse_args()
    ways = [(k, d) for k in KINDS if asked.kind in (None, k)
            for d in DURABILITIES if asked.durability in (None, d)]
    seed, left, failed = asked.seed, asked.cuts, []
    print(f"{left} cuts, seed {seed}", flush=True)
    while left > 0:
        kind, durability = ways[(seed - asked.seed) % len(ways)]
        count = min(ROUND, left)
        print(f"{asked.cuts - left} of {asked.cuts}: {kind}, {durability}, seed {seed}", flush=True)
        wrong = round_of(kind, durability, seed, count)
        failed += [wrong] if wrong else []
        seed, left = seed + 1, left - count
    if not asked.no_tests:
        done = subprocess.run([sys.executable, "-m", "pytest", *TESTS], cwd=Path(__file__).parent,
                              env={**os.environ, "DHOW_START_CUTS": "0", "DHOW_UPLOAD_MIB": "1024"})
        failed += [f"pytest {' '.join(TESTS)}"] if done.returncode else []
    for wrong in failed:
        print(f"FAILED {wrong}")
    print(f"{len(failed)} failures" if failed else "nothing was lost")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
