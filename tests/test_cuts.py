"""Copies of the disk at random moments, opened by another process: see cuts.py.

`DHOW_DISK_CUTS` sets how many cuts (30 in CI), `DHOW_SEED` which; `make soak` runs hundreds. Needs
root; fails where it is missing.
"""

import os
import time

import pytest

from cuts import Cuts
from drives import KINDS, Shelf

COUNT = int(os.environ.get("DHOW_DISK_CUTS", "30"))


@pytest.fixture
def shelf(tmp_path):
    made = Shelf(tmp_path / "disks")
    try:
        yield made
    finally:
        made.remove()


@pytest.mark.root
@pytest.mark.parametrize("durability", ["strict", "relaxed"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_disk_holds_at_any_moment_opens(tmp_path, shelf, kind, durability):
    seed = int(os.environ.get("DHOW_SEED", time.time_ns() % 2**32))
    print(f"DHOW_SEED={seed}")
    # Each of the four gets its share.
    count = -(-COUNT // 4)
    acknowledged = Cuts(shelf, tmp_path, kind, durability, seed, say=print).run(count)
    assert acknowledged > count * 5
