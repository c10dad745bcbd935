"""Real file systems in image files: mounted through loop devices, cut, copied, filled.

What a file system has written to its loop device is in the image file; what it holds in its page
cache is not. A copy of the image is what a disk holds at a loss of power. A [`Shelf`] is an XFS with
shared extents: a copy of an image that lies on it is made at one moment, while the file system in
the image goes on writing.
"""

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

FICLONE = 0x40049409
SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number
FLUSH_ALL, FLUSH_LOG, FLUSH_NOTHING = 0, 1, 2
KINDS = ["ext4", "xfs"]


class Forbidden(Exception):
    """What these tests need is not permitted, or not installed: they fail, and are not skipped."""


def run(*command):
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    except FileNotFoundError as missing:
        raise Forbidden(f"{missing.filename} is not installed: run tests/setup.sh") from None
    if done.returncode != 0:
        raise Forbidden(f"{' '.join(map(str, command))}: {done.stderr.strip()} (loop devices and "
                        "mounts need root)")
    return done.stdout


def punch(file, offset, length):
    """Makes a hole in a file: zeros that take no room."""
    done = ctypes.CDLL(None, use_errno=True).fallocate(
        file.fileno(), 3, ctypes.c_long(offset), ctypes.c_long(length))
    if done != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


class Mount:
    """A folder on which something is mounted, or was."""

    def __init__(self, folder):
        self.mount, self.mounted = folder, False
        folder.mkdir(parents=True, exist_ok=True)

    def _mount(self, *args):
        run("mount", *args, self.mount)
        self.mounted = True

    def detach(self):
        """Waits until nobody uses it any more, so that its page cache is gone."""
        run("umount", self.mount)
        self.mounted = False

    def drop(self):
        """Takes it away whatever uses it."""
        if self.mounted:
            subprocess.run(["umount", "-l", self.mount], capture_output=True)
            self.mounted = False


class Tmpfs(Mount):
    """A file system of fixed size in memory, to put an image on."""

    def __init__(self, folder, megabytes):
        super().__init__(folder)
        self._mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs")

    def fill(self):
        """Takes all room that is left."""
        with open(self.mount / "ballast", "wb", buffering=0) as ballast:
            for size in (1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(size)) == size:
                        pass

    def relieve(self):
        (self.mount / "ballast").unlink()


class Drive(Mount):
    """A file with an ext4 or XFS in it, mounted through a loop device."""

    def __init__(self, image, folder, kind="ext4"):
        super().__init__(folder)
        self.image, self.kind = image, kind
        # What the kernel's loop device can write only in part, since the disk below became full
        # in its midst, it reports as written. A disk that fills up is to be written page by page.
        self.page_by_page = False

    def make(self, megabytes):
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        if self.kind == "ext4":
            # Nothing is left for the kernel to write later on.
            run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                self.image)
        else:
            run("mkfs.xfs", "-q", self.image)
        return self

    def attach(self):
        # A copy of an XFS has the identity of what it was copied from.
        options = "nouuid" if self.kind == "xfs" else "defaults"
        device = run("losetup", "--find", "--show", self.image).strip()
        try:
            if self.page_by_page:
                queue = Path("/sys/block") / Path(device).name / "queue"
                (queue / "max_sectors_kb").write_text("4")
            self._mount("-t", self.kind, "-o", options, device)
        finally:
            # It goes away with the mount.
            run("losetup", "--detach", device)
        return self

    def sync(self):
        run("sync", "-f", self.mount)

    def shut_down(self, flush=FLUSH_NOTHING):
        """The file system drops what it has not written; with FLUSH_NOTHING its own journal too."""
        fd = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", flush))
        finally:
            os.close(fd)

    def copy(self, image, folder):
        """What the disk holds at this moment, as a drive that is not mounted yet."""
        with open(self.image, "rb") as source, open(image, "wb") as target:
            fcntl.ioctl(target, FICLONE, source.fileno())
        return Drive(image, folder, self.kind)

    def forget_zeros(self, files):
        """Gives back the room of the pages of these files that hold nothing but zeros, as a thin
        disk does that keeps no zeros."""
        with open(self.image, "r+b") as image:
            for file in files:
                # "0:  0..  16383:  34816..  51199:  16384: ...", in blocks of 4096 bytes.
                for first, last in re.findall(r":\s+(\d+)\.\.\s*(\d+):\s+\d+:",
                                              run("filefrag", "-e", "-b4096", file)):
                    for page in range(int(first), int(last) + 1):
                        image.seek(page * 4096)
                        if image.read(4096) == bytes(4096):
                            punch(image, page * 4096, 4096)

    def settle(self):
        """Gives the places of an ext4's own journal, bitmaps and inodes room in the image, so that
        a disk without room refuses data only, as a thin disk does in use."""
        assert self.kind == "ext4"
        shown = run("dumpe2fs", self.image)
        block = int(re.search(r"^Block size:\s+(\d+)", shown, re.M)[1])
        ranges = [(0, 1)]
        # "Block bitmap at 129", "Inode table at 145-656", with the like in between.
        for word in re.findall(r" at (\d+(?:-\d+)?)", shown):
            first, _, last = word.partition("-")
            ranges.append((int(first), int(last or first)))
        journal = run("debugfs", "-R", "stat <8>", self.image).partition("EXTENTS:")[2]
        for first, last in re.findall(r":(\d+)(?:-(\d+))?", journal):
            ranges.append((int(first), int(last or first)))
        with open(self.image, "r+b") as f:
            for first, last in ranges:
                os.posix_fallocate(f.fileno(), first * block, (last - first + 1) * block)
        return self


class Shelf(Drive):
    """An XFS on which images lie that are copied while they are written to."""

    def __init__(self, folder, megabytes=6000):
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "shelf.img", folder / "shelf", "xfs")
        self.made, self.number = [], 0
        self.make(megabytes)
        self.attach()

    def drive(self, kind, megabytes):
        """A new drive, mounted."""
        return self._keep(Drive(*self._names(), kind).make(megabytes).attach())

    def copy_of(self, drive):
        """A copy of one, not mounted yet."""
        return self._keep(drive.copy(*self._names()))

    def discard(self, drive):
        drive.drop()
        drive.image.unlink()
        self.made.remove(drive)

    def remove(self):
        for drive in self.made:
            drive.drop()
        self.drop()
        self.image.unlink(missing_ok=True)
        shutil.rmtree(self.mount.parent, ignore_errors=True)

    def _names(self):
        self.number += 1
        return self.mount / f"{self.number}.img", self.mount.parent / f"mnt-{self.number}"

    def _keep(self, drive):
        self.made.append(drive)
        return drive
