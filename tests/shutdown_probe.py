"""What a file system's shutdown ioctl does to fdatasync: `python shutdown_probe.py [ROUNDS]`.

Writers write a block each and call fdatasync, while another thread shuts the file system down.
After the mount that follows, every block whose fdatasync answered 0 is looked for. Printed is, for
each file system, flag and kind of file, how many answers of 0 came before the ioctl was called,
during it and after it, and how many of each are not on the disk. The findings are in
docs/decisions/0005-power-cuts-in-tests.md. Needs root.
"""

import os
import random
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

from drives import FLUSH_ALL, FLUSH_LOG, FLUSH_NOTHING, KINDS, Drive

BLOCK, BLOCKS, WRITERS = 4096, 4096, 4
FLAGS = {"default": FLUSH_ALL, "flush the log": FLUSH_LOG, "flush nothing": FLUSH_NOTHING}
FILES = ["preallocated", "written before", "growing"]


def prepare(folder, number, files):
    fd = os.open(folder / f"file-{number}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    if files == "preallocated":
        os.posix_fallocate(fd, 0, BLOCK * BLOCKS)
    elif files == "written before":
        for _ in range(BLOCKS // 256):
            os.write(fd, bytes(BLOCK * 256))
    os.fsync(fd)
    return fd


def write(fd, stamp, synced, failed):
    """One block after the other, each synced before the next, until a call fails."""
    for n in range(BLOCKS):
        try:
            os.pwrite(fd, struct.pack("<QQ", stamp, n) * (BLOCK // 16), n * BLOCK)
            os.fdatasync(fd)
        except OSError as error:
            failed.append(error.errno)
            return
        synced.append((n, time.monotonic()))


def round_of(drive, flag, files, rng):
    """Answers of 0, and those of them that are not on the disk, before, during and after."""
    fds = [prepare(drive.mount, n, files) for n in range(WRITERS)]
    folder = os.open(drive.mount, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    stamp, synced, failed = rng.randrange(2**63), [[] for _ in fds], []
    threads = [threading.Thread(target=write, args=(fd, stamp, seen, failed))
               for fd, seen in zip(fds, synced)]
    for thread in threads:
        thread.start()
    time.sleep(0.01 + rng.random() * 0.05)
    began = time.monotonic()
    drive.shut_down(FLAGS[flag])
    ended = time.monotonic()
    for thread in threads:
        thread.join()
    for fd in fds:
        os.close(fd)
    drive.detach()
    drive.attach()
    good, gone = [0, 0, 0], [0, 0, 0]
    for number, seen in enumerate(synced):
        with open(drive.mount / f"file-{number}", "rb") as file:
            for n, at in seen:
                when = 0 if at < began else 1 if at < ended else 2
                file.seek(n * BLOCK)
                good[when] += 1
                gone[when] += file.read(BLOCK) != struct.pack("<QQ", stamp, n) * (BLOCK // 16)
    return good, gone


def main():
    rounds, rng = int(sys.argv[1]) if len(sys.argv) > 1 else 20, random.Random(7)
    print("| file system | flag | file | before: 0, gone | during: 0, gone | after: 0, gone |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="dhow-shutdown-") as folder:
        for kind in KINDS:
            drive = Drive(Path(folder) / f"{kind}.img", Path(folder) / kind, kind).make(600).attach()
            try:
                for flag in FLAGS:
                    for files in FILES:
                        good, gone = [0, 0, 0], [0, 0, 0]
                        for _ in range(rounds):
                            for sums, more in zip((good, gone), round_of(drive, flag, files, rng)):
                                sums[:] = [a + b for a, b in zip(sums, more)]
                        cells = " | ".join(f"{a}, {b}" for a, b in zip(good, gone))
                        print(f"| {kind} | {flag} | {files} | {cells} |", flush=True)
            finally:
                drive.drop()


if __name__ == "__main__":
    main()
