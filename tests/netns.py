"""A cloud whose regions are processes in network namespaces of their own, so that the way between
any two can be cut, in both directions or in one.

All namespaces are made here and hang on one bridge, which lies in a further namespace: nothing of
the machine's own network is touched. The test's thread enters the clients' namespace, and threads
and processes that it starts then are in there too."""

import contextlib
import ctypes
import itertools
import os
import subprocess
from pathlib import Path

from dhow import BIN, Dhow
from fleet import Fleet, eventually

CLONE_NEWNET = 0x40000000
_numbers = itertools.count()

RULES = """
table ip cut {
  set from { type ipv4_addr; }
  chain in { type filter hook input priority 0; ip saddr @from drop; }
}
"""


class Forbidden(Exception):
    """What these tests need is not permitted, or not installed: they fail, and are not skipped."""


def run(*command, text=None):
    try:
        done = subprocess.run([str(c) for c in command], input=text, capture_output=True,
                              text=True, timeout=30)
    except FileNotFoundError as missing:
        raise Forbidden(f"{missing.filename} is not installed: run tests/setup.sh") from None
    if done.returncode != 0:
        raise Forbidden(
            f"{' '.join(map(str, command))}: {done.stderr.strip()}. These tests make network "
            "namespaces, which needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN); they are not skipped.")
    return done.stdout


class Net:
    """Hosts on one bridge, each in a namespace of its own."""

    def __init__(self, hosts, addresses=None, rules=RULES):
        self.given, self.rules = addresses or {}, rules
        self.tag = f"dhow-{os.getpid()}-{next(_numbers)}"
        self.hub = f"{self.tag}-hub"
        self.made, self.addresses = [], {}
        try:
            self._make([*hosts])
        except BaseException:
            self.remove()
            raise

    def _make(self, hosts):
        for name in [self.hub, *map(self.namespace, hosts)]:
            run("ip", "netns", "add", name)
            self.made.append(name)
        run("ip", "-n", self.hub, "-b", "-", text="link add br0 type bridge\nlink set br0 up\n")
        for number, host in enumerate(hosts, 1):
            inside, address = self.namespace(host), self.given.get(
                host, f"10.77.0.{number}")
            self.addresses[host] = address
            run("ip", "-n", inside, "-b", "-", text=f"""
                link set lo up
                link add eth0 type veth peer name veth{number} netns {self.hub}
                address add {address}/24 dev eth0
                link set eth0 up
            """)
            run("ip", "-n", self.hub, "-b", "-", text=f"""
                link set veth{number} master br0
                link set veth{number} up
            """)
            if self.rules:
                run("ip", "netns", "exec", inside, "nft", "-f", "-", text=self.rules)

    def namespace(self, host):
        return f"{self.tag}-{host}"

    def prefix(self, host):
        return ["ip", "netns", "exec", self.namespace(host)]

    def remove(self):
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        self.made = []

    def lose(self, source, target):
        """From here on nothing that `source` sends arrives at `target`."""
        self._change("add", source, target)

    def cut(self, one, other):
        """From here on nothing arrives, either way."""
        self.lose(one, other)
        self.lose(other, one)

    def heal(self):
        for host in self.addresses:
            run(*self.prefix(host), "nft", "flush", "set", "ip", "cut", "from")

    def _change(self, verb, source, target):
        element = f"{{ {self.addresses[source]} }}"
        run(*self.prefix(target), "nft", verb, "element", "ip", "cut", "from", element)

    @contextlib.contextmanager
    def inside(self, host):
        """The calling thread is in the host's namespace meanwhile."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.namespace(host)}", os.O_RDONLY)
        try:
            enter(there)
            try:
                yield
            finally:
                enter(before)
        finally:
            os.close(there)
            os.close(before)


def enter(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        raise Forbidden(f"cannot enter a network namespace: {why}. This needs root.")


class Region(Dhow):
    """One region in its namespace, with ports that stay when it is started again."""

    def __init__(self, net, region, data, args=()):
        self.address = net.addresses[region]
        super().__init__(data / region, args, prefix=net.prefix(region))

    def listeners(self):
        return ["--listen", f"{self.address}:9000", "--allow-clear-text",
                "--admin", "127.0.0.1:9001", "--metrics", f"{self.address}:9002",
                "--peer", f"{self.address}:9003"]


class NetFleet(Fleet):
    """Regions in namespaces; the first keeps the registry. They are not started again by
    anybody but the test. `regions`: the id of each, with its country."""

    CLIENTS = "clients"

    def __init__(self, data, regions, args=()):
        super().__init__(data, len(regions), args)
        self.laws, self.ids = dict(regions), list(regions)
        self.regions, self.processes = {}, {}

    def start(self, timeout=60):
        self.net = Net([*self.ids, self.CLIENTS])
        self.stack = contextlib.ExitStack()
        try:
            self.stack.enter_context(self.net.inside(self.CLIENTS))
            for region in self.ids:
                self._open(region)
        except BaseException:
            self.stop()
            raise
        return self

    def _open(self, region):
        if not self.processes:
            args = ["--region", region, "--jurisdiction", self.laws[region]]
        else:
            planned = self.json("region", "open", region, "--jurisdiction", self.laws[region],
                                "--operator", "own")
            args = ["--join", planned["token"]]
        self.processes[region] = Region(self.net, region, self.data, [*args, *self.args])
        self.begin(region)
        if "--join" in args:
            self.processes[region].args = self.args  # the token was good once
        if region == self.ids[0]:
            self.info = self.processes[region].info
        eventually(lambda: self.json("region", "show", region)["status"] == "open", timeout=60)

    def begin(self, region, env=()):
        """Starts a region, again if need be; `env` is kept for the next start."""
        process = self.processes[region]
        process.env.update(env)
        process.start()
        self.regions[region] = {**process.info, "pid": process.process.pid,
                                "data": str(process.data),
                                "metrics": f"http://{process.address}:9002"}

    def kill(self, region):
        self.processes[region].kill()

    def mend(self):
        """Opens every way, and starts what a test that failed left dead."""
        self.net.heal()
        for region, process in self.processes.items():
            if process.process is None:
                self.begin(region)

    def stop(self, timeout=60):
        try:
            for process in reversed(self.processes.values()):
                process.kill()
        finally:
            self.stack.close()
            self.net.remove()

    def cli(self, *args, check=True, data=None, timeout=60, region=None):
        """At the registry's region, whose admin API is on its own loopback."""
        process = self.processes[region or self.ids[0]]
        done = subprocess.run(
            [*process.prefix, str(BIN), *map(str, args), "--data", str(process.data)],
            capture_output=True, text=True, timeout=timeout)
        if check:
            assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done


def faked(file):
    """The environment of a process whose clock is off by what `file` says (`+1.5s`): only the
    time of day, since what a process measures with its steady clock is no matter of skew."""
    libraries = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
    if not libraries:
        raise Forbidden("libfaketime is not installed: run tests/setup.sh")
    return {"LD_PRELOAD": str(libraries[0]), "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1", "NO_FAKE_STAT": "1"}


def set_clock(file, seconds):
    """From here on the clocks that `file` rules are that far off."""
    new = Path(f"{file}.new")
    new.write_text(f"{seconds:+}s")
    new.replace(file)
