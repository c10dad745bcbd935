"""README's first steps and docs/three-machines.md, done to the letter: its files and commands are taken from the page and run
on three machines, which are network namespaces with folders of their own. What a block is for stands
behind its language: `on=` the machine (or `each`), `file=` the path, `wait` for what takes a moment.

`systemctl` is played by the test, from the unit on the page; the token is put in where the page has
`dhow-join-…`."""

import os
import re
import shlex
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import netns
from dhow import BIN, ROOT, Dhow
from fleet import eventually

PAGE = (ROOT / "docs" / "three-machines.md").read_text()
MACHINES = {"hangzhou": "203.0.113.10", "frankfurt": "203.0.113.20", "dubai": "203.0.113.30"}
CUSTOMER = "203.0.113.99"
BLOCKS = re.findall(r"^```(\w+) (on=[^\n]*)\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_first_steps_of_the_readme_work_to_the_letter(tmp_path):
    """Every block of that section, in one shell after the other, beside a cloud in ./dhow-data."""
    folder = tmp_path / "dhow"
    (folder / "target" / "release").mkdir(parents=True)
    (folder / "target" / "release" / "dhow").symlink_to(BIN)
    (folder / "docs").symlink_to(ROOT / "docs")
    section = (ROOT / "README.md").read_text().split("\n## First steps\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", section, re.M | re.S)
    assert [kind for kind, _ in blocks] == ["sh", "python", "sh"]
    steps = [text if kind == "sh" else f"python3 - <<'END'\n{text}END\n" for kind, text in blocks]
    server = Dhow(folder / "dhow-data").start()
    try:
        tools = f"{ROOT / '.venv' / 'bin'}:/usr/bin:/bin"
        shell = subprocess.run(["bash", "-e", "-c", "\n".join(steps)], cwd=folder, text=True,
                               capture_output=True, timeout=200,
                               env={"PATH": tools, "HOME": str(tmp_path)})
    finally:
        server.kill()
    assert shell.returncode == 0, f"{shell.stdout}\n{shell.stderr}"
    assert "here/metrics.md" in shell.stdout and "acme" in shell.stdout


class Machine:
    """A network namespace with its own /etc, /var/lib and /usr/local/bin."""

    def __init__(self, net, name, root):
        self.net, self.name, self.root, self.services = net, name, root / name, []
        self.environment = {}
        self.log = root / f"{name}.log"
        subprocess.run(["cp", "-a", "/etc", self.make("etc").parent], check=True)
        self.make("var/lib")
        (self.make("usr/local/bin") / "dhow").touch()

    def make(self, path):
        made = self.root / path
        made.mkdir(parents=True, exist_ok=True)
        return made

    def command(self, script):
        """What runs `script` there."""
        mounts = [f"mount --bind {shlex.quote(str(self.root / path))} /{path}"
                  for path in ("etc", "var/lib", "usr/local/bin")]
        mounts.append(f"mount --bind {shlex.quote(str(BIN))} /usr/local/bin/dhow")
        inside = "set -e; " + "; ".join([*mounts, 'exec sh -e -c "$1"'])
        return [*self.net.prefix(self.name), "unshare", "--mount", "sh", "-c", inside, "sh", script]

    def run(self, script):
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(self.root), **self.environment}
        done = subprocess.run(self.command(script), capture_output=True, text=True, timeout=120,
                              env=env, cwd=self.root)
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def begin(self, service):
        """What systemd does with the unit, as far as the page needs it."""
        unit = (self.root / "etc/systemd/system" / f"{service}.service").read_text()
        said = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
        user, file = said["User"], said["EnvironmentFile"]
        assert file.startswith("-"), "the file may be missing"
        file = file[1:]
        script = f"""
            [ ! -e {file} ] || {{ set -a; . {file}; set +a; }}
            umask {said['UMask']}
            exec setpriv --reuid {user} --regid {user} --init-groups --no-new-privs \\
                {said['ExecStart']}"""
        with open(self.log, "ab") as log:
            self.services.append(subprocess.Popen(self.command(script), stdout=log, stderr=log,
                                                  env={"PATH": os.environ["PATH"]}))

    def stop(self):
        for service in self.services:
            service.terminate()
        for service in self.services:
            service.wait(timeout=60)


class Walk:
    def __init__(self, root):
        self.net = netns.Net([*MACHINES, "customer"],
                             addresses={**MACHINES, "customer": CUSTOMER}, rules="")
        root.chmod(0o755)
        self.machines = {name: Machine(self.net, name, root) for name in [*MACHINES, "customer"]}
        self.tokens, self.said = {}, {}

    def block(self, kind, words, text):
        facts = dict(word.split("=", 1) for word in words.split() if "=" in word)
        on = facts["on"]
        for name in MACHINES if on == "each" else [on]:
            machine = self.machines[name]
            if "file" in facts:
                token = self.tokens.get({"frankfurt": "eu-central-1", "dubai": "me-east-1"}.get(name))
                machine.write(facts["file"], text.replace("dhow-join-…", token or "dhow-join-…"))
            elif "wait" in words.split():
                eventually(lambda: self.commands(machine, text), timeout=60, pause=0.5)
            else:
                self.commands(machine, text)

    def commands(self, machine, text):
        """Line by line, as a person does; what is exported stays."""
        for line in text.splitlines():
            words = shlex.split(line)
            if words[0] == "export":
                machine.environment.update(word.split("=", 1) for word in words[1:])
            elif words[:3] == ["systemctl", "enable", "--now"]:
                machine.begin(words[3])
                eventually(lambda: "ready" in machine.log.read_text(), timeout=60)
            else:
                self.heed(words, machine.run(line))
        return True

    def heed(self, words, said):
        """What a person would take along to another machine."""
        self.said[" ".join(words[:3])] = said
        if words[:3] == ["dhow", "region", "open"]:
            self.tokens[words[3]] = re.search(r"DHOW_JOIN=(dhow-join-\S+)", said).group(1)
        if words[:3] == ["dhow", "region", "list"]:
            assert said.count("open    yes") == 3, said
        if words[:3] == ["dhow", "key", "create"]:
            pair = dict(re.findall(r"^(Access|Secret) key +(\S+)$", said, re.M))
            self.machines["customer"].environment.update(
                AWS_ACCESS_KEY_ID=pair["Access"], AWS_SECRET_ACCESS_KEY=pair["Secret"])

    def stop(self):
        for machine in reversed(self.machines.values()):
            machine.stop()
        self.net.remove()


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    try:
        walk = Walk(tmp_path_factory.mktemp("walk"))
    except netns.Forbidden as why:
        pytest.skip(f"no network namespaces can be made here: {why}")
    try:
        yield walk
    finally:
        walk.stop()


def reaches(walk, source, address, port):
    with walk.net.inside(source):
        try:
            socket.create_connection((address, port), timeout=3).close()
            return True
        except OSError:
            return False


def test_the_page_works_to_the_letter(walk):
    assert len(BLOCKS) > 15
    for kind, words, text in BLOCKS:
        if words == "on=customer":
            break
        walk.block(kind, words, text)
    # The copy follows some moments after the home.
    walk.commands(walk.machines["customer"], text.rsplit("aws s3 ls", 1)[0])
    listed = eventually(lambda: walk.machines["customer"].run("aws s3 ls s3://papers"))
    assert "note.txt" in listed
    assert "up to date" in eventually(
        lambda: walk.machines["hangzhou"].run("dhow bucket show papers"))


def test_the_firewall_of_the_page_lets_in_whom_it_should(walk):
    ways = {("customer", name, port): port == 9000
            for name in MACHINES for port in (9000, 9001, 9002, 9003)}
    ways |= {("dubai", "frankfurt", 9003): True, ("dubai", "frankfurt", 9001): False}
    with ThreadPoolExecutor(len(ways)) as pool:
        tried = pool.map(lambda way: reaches(walk, way[0], MACHINES[way[1]], way[2]), ways)
        assert dict(zip(ways, tried)) == ways


def test_only_the_service_can_read_what_it_keeps(walk):
    for name in MACHINES:
        data = walk.machines[name].root / "var/lib/dhow"
        for file in data.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
            assert file.stat().st_uid != 0, file
