"""A folder of a few thousand real files: Python's own library, with the odd large and empty one."""

import hashlib
import os
import shutil
import sysconfig
from pathlib import Path


def make(target, count=3000):
    source = Path(sysconfig.get_paths()["stdlib"])
    target.mkdir(parents=True)
    made = 0
    for path in sorted(source.rglob("*")):
        if made == count:
            break
        if path.is_file() and "site-packages" not in path.parts and os.access(path, os.R_OK):
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
            made += 1
    (target / "empty").write_bytes(b"")
    (target / "large.bin").write_bytes(os.urandom(40 << 20))
    (target / "with space & ümlaut.txt").write_text("x")
    assert made >= 1000, "the standard library is smaller than expected"
    return target


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
