"""Where a bucket is held, proven: three regions, a bucket placed in two of them, and an auditor
who checks the file with the cloud stopped."""

import hashlib
import json
import os
import random
import re
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest

from dhow import BIN, Client, Dhow, freeze, thaw

HOME, COPY, NEITHER = "eu-central-1", "me-east-1", "cn-hangzhou"
UNSIGNED = (f"region {COPY} is in the placement, and has signed nothing: it may not have answered "
            "when the file was made")
BUCKET = "evidence"
MIB = 1 << 20


class Fleet(Dhow):
    """`dhow up --regions 3`."""

    def start(self, timeout=120):
        log = open(self.log, "ab")
        command = [BIN, "up", "--regions", "3", "--json", "--data", self.data,
                   "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.PIPE, stderr=log, env=self.env)
        log.close()
        line = self.process.stdout.readline()
        assert line, self.log_text()[-3000:]
        self.info = json.loads(line)
        self.access_key, self.secret_key = self.info["access_key"], self.info["secret_key"]
        self.regions = {r["region"]: r for r in self.info["regions"]}
        return self

    def s3(self, region):
        host = urllib.parse.urlsplit(self.regions[region]["endpoint"]).netloc
        return Client(host, region, self.access_key, self.secret_key)

    def admin(self, method, path, body=None, key=None, region=NEITHER):
        """(status, answer) of the admin API of `region`, with `key` or the root key."""
        access, secret = key or (self.access_key, self.secret_key)
        host = urllib.parse.urlsplit(self.regions[region]["admin"]).netloc
        client = Client(host, region, access, secret, timeout=90)
        data = b"" if body is None else json.dumps(body).encode()
        target = "/-/admin/v1/" + path
        signed = client.headers(method, target, payload=hashlib.sha256(data).hexdigest())
        client.connection.request(method, target, data, signed)
        answer = client.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def key(self, account, admin=False):
        status, key = self.admin("POST", "keys", {"account": account, "admin": admin})
        assert status == 200, key
        return key["access_key"], key["secret_key"]


def dhow(*args):
    return subprocess.run([str(BIN), *map(str, args)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "DHOW_DATA": "/nowhere"})


def ok(answer, status=(200, 204)):
    assert answer[0] in status, answer
    return answer


def fill(fleet):
    """Small objects and large ones, versions, delete markers, a version deleted for good, keys in
    every order of bytes."""
    home = fleet.s3(HOME)
    versioning = (b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                  b"<Status>Enabled</Status></VersioningConfiguration>")
    ok(home.put(BUCKET, "before", b"a null version"))
    ok(home.request("PUT", f"/{BUCKET}", "versioning=", versioning))
    for name in ("a", "a/b", "a\x01", "ab", "ä", "z", "b" * 900):
        ok(home.put(BUCKET, name, name.encode()))
    ok(home.put(BUCKET, "large", os.urandom(MIB)))
    for n in range(5):
        ok(home.put(BUCKET, "often", str(n).encode()))
    ok(home.put(BUCKET, "before", b"a second version"))
    ok(home.delete(BUCKET, "often"))
    ok(home.put(BUCKET, "often", b"again"))
    ok(home.delete(BUCKET, "a/b"))
    _, headers, _ = ok(home.put(BUCKET, "z", b"soon gone"))
    ok(home.request("DELETE", f"/{BUCKET}/z", f"versionId={headers['x-amz-version-id']}"))
    _, headers, _ = ok(home.put(BUCKET, "last", b"x" * 70_000))
    return headers["x-amz-version-id"]


VERSIONS = 1 + 7 + 1 + 5 + 1 + 1 + 1 + 1 + 1


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def nothing_left(fleet, seen):
    """The check, once the old home has let go of what it held; `seen` gets its row each time."""
    check = json.loads(fleet.cli("residency", "check", BUCKET, "--json", check=False).stdout)
    rows = {row["region"]: row for row in check["regions"]}
    seen.append(rows[HOME])
    return rows if rows[HOME]["versions"] == 0 else None


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    """A cloud that was filled, proven, asked as other accounts, and stopped."""
    folder = tmp_path_factory.mktemp("residency")
    fleet = Fleet(folder / "data").start()
    try:
        # Other customers, and their buckets.
        out = {"others": []}
        for n in range(3):
            other = fleet.cli_json("account", "create", f"rival-{n}", "--json")["id"]
            access, _ = fleet.key(other)
            ok(fleet.admin("POST", "buckets", {"name": f"rivals-{n}", "owner": other}))
            out["others"] += [f"rivals-{n}", f"rival-{n}", other, access]
        ok(fleet.s3(NEITHER).request("PUT", "/deleted-again"))
        ok(fleet.s3(NEITHER).request("DELETE", "/deleted-again"))
        placement = {
            "x-dhow-placement-home": HOME,
            "x-dhow-placement-replicas": COPY,
            "x-dhow-placement-jurisdictions": "EU, AE",
        }
        ok(fleet.s3(NEITHER).request("PUT", f"/{BUCKET}", headers=placement))
        wait_for(lambda: fleet.s3(HOME).request("HEAD", f"/{BUCKET}")[0] == 200)
        version = fill(fleet)
        # The copy has applied the last write, and so all before it.
        last = f"versionId={version}"
        wait_for(lambda: fleet.s3(COPY).request("HEAD", f"/{BUCKET}/last", last)[0] == 200)
        out |= {"fleet": fleet, "folder": folder}
        out["file"], out["log"] = folder / "bundle.json", folder / "audit.log"
        out["first"] = fleet.cli("audit", "verify", "--save", out["log"])
        out["old"] = out["log"].read_bytes()
        out["check"] = fleet.cli_json("residency", "check", BUCKET, "--json")
        out["made"] = fleet.cli_json("residency", "prove", BUCKET, "--out", out["file"], "--json")
        account = fleet.cli_json("account", "create", "stranger", "--json")
        for absent in ("never-was", "deleted-again"):
            out[absent] = fleet.cli_json("residency", "prove", absent, "--out", folder / absent,
                                         "--json")
        out["stranger"] = account["id"]
        for role in (False, True):
            key = fleet.key(account["id"], admin=role)
            out["stranger", role] = [
                fleet.admin(method, f"buckets/{name}/residency", body, key)
                for method, body in (("POST", {}), ("GET", None))
                for name in (BUCKET, "not-there")
            ]
            out["audit", role] = [
                fleet.admin("GET", path, key=key) for path in ("audit", "audit/checkpoint")]
        out["elsewhere"] = fleet.admin("POST", f"buckets/{BUCKET}/residency", {}, region=HOME)
        out["again"] = fleet.cli("audit", "verify", "--save", out["log"])
        out["shown"] = fleet.cli_json("audit", "show", "--json")
        out["table"] = fleet.cli("audit", "show", "--from", "2").stdout
        # The copy becomes the home, and the old home is to keep nothing.
        ok(fleet.admin("POST", f"buckets/{BUCKET}/promote", {"to": COPY, "force": True}))
        out["promoted"] = fleet.cli_json("residency", "prove", BUCKET, "--out",
                                         folder / "promoted", "--json")
        ok(fleet.admin("POST", f"buckets/{BUCKET}/place", {"remove": [HOME]}))
        out["leaving"] = []
        out["removed"] = wait_for(lambda: nothing_left(fleet, out["leaving"]))
        out["alone"] = fleet.cli_json("residency", "prove", BUCKET, "--out", folder / "alone",
                                      "--json")
        # A region that does not answer is named, and what is proven is not more than it was.
        freeze(fleet.regions[COPY]["pid"])
        try:
            out["silent"] = fleet.cli("residency", "prove", BUCKET, "--out", folder / "silent",
                                      "--json", check=False)
        finally:
            thaw(fleet.regions[COPY]["pid"])
    finally:
        code = fleet.stop(60)
    assert code == 0
    return out


def test_every_region_says_what_it_holds(proven):
    check = proven["check"]
    assert check["good"] is True
    rows = {row["region"]: row for row in check["regions"]}
    assert set(rows) == {HOME, COPY, NEITHER}
    assert rows[HOME]["versions"] == rows[COPY]["versions"] == VERSIONS
    assert rows[HOME]["bytes"] == rows[COPY]["bytes"] > MIB + 70_000
    assert rows[HOME]["root"] == rows[COPY]["root"]
    assert rows[NEITHER]["versions"] == rows[NEITHER]["bytes"] == 0
    assert [rows[r]["allowed"] for r in (HOME, COPY, NEITHER)] == [True, True, False]
    assert [rows[r]["holds"] for r in (HOME, COPY, NEITHER)] == ["home", "replica", "nothing"]


def test_an_auditor_verifies_it_with_the_cloud_stopped(proven):
    assert proven["made"]["findings"] == [] and proven["made"]["unanswered"] == {}
    for anchor in (proven["made"]["key"], proven["made"]["fingerprint"],
                   "sha256:" + proven["made"]["fingerprint"]):
        done = dhow("residency", "verify", proven["file"], "--anchor", anchor, "--json")
        assert done.returncode == 0, done.stdout
        answer = json.loads(done.stdout)
        assert answer["good"] and answer["anchored"]
        held = {h["region"]: h for h in answer["report"]["held"]}
        assert held[HOME]["count"] == held[COPY]["count"] == VERSIONS
        assert held[HOME]["root"] == held[COPY]["root"] and held[COPY]["compared"]
        assert held[NEITHER]["count"] == 0
    shown = dhow("residency", "verify", proven["file"], "--anchor", proven["made"]["key"])
    assert "PROVEN:" in shown.stdout and shown.stderr == ""
    for word in (HOME, COPY, NEITHER, "vodafone", "yvolv", "same as the home"):
        assert word in shown.stdout


def test_without_an_anchor_it_says_so_and_with_another_it_fails(proven):
    done = dhow("residency", "verify", proven["file"])
    assert done.returncode == 0 and "IF the key is the right one" in done.stdout
    assert "NOT ANCHORED" in done.stderr and proven["made"]["fingerprint"] in done.stderr
    done = dhow("residency", "verify", proven["file"], "--json")
    assert json.loads(done.stdout)["anchored"] is False and "NOT ANCHORED" in done.stderr
    done = dhow("residency", "verify", proven["file"], "--anchor", "ab" * 32)
    assert done.returncode == 1 and "not signed by the trusted key" in done.stdout
    assert dhow("residency", "verify", proven["file"], "--anchor", "short").returncode != 0


def test_every_changed_byte_is_found(proven, tmp_path):
    whole = proven["file"].read_bytes()
    rng = random.Random(20160101)
    last = len(whole) - 1
    positions = [0, 1, last, last - 1, last - 64, last - 72, whole.index(b"\n")]
    positions += [rng.randrange(len(whole)) for _ in range(300)]
    changed = tmp_path / "changed"
    for at in positions:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << rng.randrange(8)
        changed.write_bytes(flipped)
        done = dhow("residency", "verify", changed, "--anchor", proven["made"]["key"])
        assert done.returncode == 1, f"byte {at}: {done.stdout}"
    for cut in (0, 10, len(whole) // 2, last):
        changed.write_bytes(whole[:cut])
        # In an empty file there is nothing to examine.
        assert dhow("residency", "verify", changed).returncode == (1 if cut else 2)
    changed.write_bytes(whole)
    assert dhow("residency", "verify", changed).returncode == 0, "the test itself must be fair"


def reseal(bundle, path):
    """As a forger would: a changed document under a digest of its own."""
    body = json.dumps(bundle, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    path.write_bytes(body + b"sha256:" + hashlib.sha256(body).hexdigest().encode() + b"\n")


def test_a_forger_who_writes_the_digest_anew_is_found(proven, tmp_path):
    forged, key = tmp_path / "forged", proven["made"]["key"]
    whole = proven["file"].read_bytes()

    def findings(change):
        bundle = json.loads(whole.rsplit(b"\n", 2)[0])
        change(bundle)
        reseal(bundle, forged)
        done = dhow("residency", "verify", forged, "--anchor", key, "--json")
        return done.returncode, " | ".join(json.loads(done.stdout).get("findings", []))

    def digest(bundle, region):
        return next(d for d in bundle["digests"] if d["region"] == region)

    assert findings(lambda b: None) == (0, "")
    code, why = findings(lambda b: digest(b, NEITHER).update(count=1))
    assert code == 1 and f"digest of {NEITHER}: its signature is wrong" in why
    code, why = findings(lambda b: digest(b, COPY).update(at_ms=digest(b, COPY)["at_ms"] - 1))
    assert code == 1 and f"digest of {COPY}: its signature is wrong" in why
    code, why = findings(lambda b: b["digests"].remove(digest(b, COPY)))
    assert code == 1 and UNSIGNED in why
    for part, of in (("history", "the bucket"), ("regions", "the regions")):
        count = len(json.loads(whole.rsplit(b"\n", 2)[0])[part]["entries"])
        assert count >= 1
        for at in range(count):
            code, why = findings(lambda b: b[part]["entries"].pop(at))
            assert code == 1 and f"the chain of {of} is not the one that was signed" in why
            code, why = findings(lambda b: b[part]["entries"][at].update(actor="nobody"))
            assert code == 1 and f"the chain of {of} is not the one that was signed" in why
        code, why = findings(lambda b: b[part]["before"].update(count=1))
        assert code == 1 and f"the chain of {of} is not the one that was signed" in why
    code, why = findings(lambda b: b["checkpoint"].update(map="ab" * 32))
    assert code == 1 and "the checkpoint's signature is wrong" in why


def test_a_file_says_nothing_to_a_terminal(proven, tmp_path):
    """Whoever hands a file over can write into it what a terminal would obey."""
    evil = "a\n\nPROVEN: all is well\x1b]0;title\x07\x9b2J\u202e"
    doctored = tmp_path / "doctored"
    bundle = json.loads(proven["file"].read_bytes().rsplit(b"\n", 2)[0])

    def spoil(value):
        if isinstance(value, dict):
            return {name: spoil(of) for name, of in value.items()}
        if isinstance(value, list):
            return [spoil(of) for of in value]
        return evil if isinstance(value, str) and not re.fullmatch("[0-9a-f]{64,}", value) else value

    for part in ("bucket", "cloud", "digests", "history", "checkpoint"):
        reseal({**bundle, part: spoil(bundle[part])}, doctored)
        for json_too in ([], ["--json"]):
            done = dhow("residency", "verify", doctored, *json_too)
            said = done.stdout + done.stderr
            assert done.returncode == 1, (part, said)
            assert all(c == "\n" or c.isprintable() for c in said), (part, said)
            assert "\nPROVEN" not in said, (part, said)
    log = tmp_path / "log"
    log.write_text(json.dumps({"number": 0, "actor": evil}) + "\n")
    done = dhow("audit", "verify", log)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and all(c == "\n" or c.isprintable() for c in said), said


def test_what_could_not_be_examined_is_not_called_wrong(proven, tmp_path):
    """Who watches residency by exit codes must not take a slip for a breach."""
    note = tmp_path / "note.txt"
    note.write_text("of no cloud\n")
    file, log = proven["file"], proven["log"]
    for args, said in ((("residency", "verify", tmp_path / "none"), "cannot read"),
                       (("residency", "verify", note), "no file of `dhow residency prove`"),
                       (("residency", "verify", log), "it is a saved audit log"),
                       (("residency", "verify", file, "--anchor", "12"), "64 hex digits"),
                       (("residency", "verify", file, "--since", note), "no file of"),
                       (("residency", "check", BUCKET), ""),
                       (("audit", "verify", tmp_path / "none"), "cannot read"),
                       (("audit", "verify", note), "no file of `dhow audit verify --save`"),
                       (("audit", "verify", log, "--anchor", "12"), "64 hex digits")):
        done = dhow(*args)
        assert done.returncode == 2 and said in done.stderr, (args, done.stdout, done.stderr)


def test_a_bundle_names_no_other_customer(proven):
    """Searched byte by byte: names, accounts and keys of others, and what they could be guessed by."""
    file = proven["file"].read_bytes()
    assert BUCKET.encode() in file and len(file) < 60_000
    for name in proven["others"]:
        digests = [hashlib.sha256(name.encode()).hexdigest(), name.encode().hex()]
        for text in (name, *digests):
            assert text.encode() not in file, text
    entries = [json.loads(line) for line in proven["log"].read_bytes().splitlines()[:-1]]
    assert any(e["subject"] in proven["others"] for e in entries), "the test itself must be fair"
    head = json.loads(file.rsplit(b"\n", 2)[0])["checkpoint"]["head"]["hash"]
    for entry in entries:
        assert entry["hash"] == head or entry["hash"].encode() not in file


def test_that_there_is_no_bucket_is_proven_too(proven, tmp_path):
    for name, text in (("never-was", "There never was one"), ("deleted-again", "Deleted  ")):
        made = proven[name]
        assert made["findings"] == [] and made["digests"] == 0
        done = dhow("residency", "verify", made["file"], "--anchor", made["key"])
        assert done.returncode == 0 and text in done.stdout, done.stdout
        assert "PROVEN: there is no bucket of this name." in done.stdout
    report = dhow("residency", "verify", proven["deleted-again"]["file"], "--json")
    assert json.loads(report.stdout)["report"]["stands"] == "deleted"
    # It is no proof about the bucket that is there.
    absent = json.loads(open(proven["never-was"]["file"], "rb").read().rsplit(b"\n", 2)[0])
    bundle = json.loads(proven["file"].read_bytes().rsplit(b"\n", 2)[0])
    forged = tmp_path / "forged"
    for change in ({"bucket": BUCKET}, {"history": bundle["history"]}):
        reseal({**absent, **change}, forged)
        done = dhow("residency", "verify", forged, "--anchor", proven["made"]["key"])
        assert done.returncode == 1 and "the chain of the bucket" in done.stdout


def test_a_bundle_from_before_there_was_a_map_still_verifies(tmp_path):
    old = Path(__file__).parent / "data" / "bundle-of-the-whole-log.json"
    key = json.loads(old.read_bytes().rsplit(b"\n", 2)[0])["checkpoint"]["public_key"]
    done = dhow("residency", "verify", old, "--anchor", key)
    assert done.returncode == 0 and "PROVEN:" in done.stdout, done.stdout
    changed = tmp_path / "changed"
    whole = json.loads(old.read_bytes().rsplit(b"\n", 2)[0])
    whole["chain"].pop()
    reseal(whole, changed)
    assert dhow("residency", "verify", changed, "--anchor", key).returncode == 1


def test_an_earlier_bundle_must_still_be_so(proven, tmp_path):
    key = proven["made"]["key"]
    later, early = proven["alone"]["file"], proven["file"]
    assert dhow("residency", "verify", later, "--anchor", key, "--since", early).returncode == 0
    done = dhow("residency", "verify", early, "--anchor", key, "--since", later)
    assert done.returncode == 1 and "rolled back" in done.stdout
    forged = tmp_path / "forged"
    forged.write_bytes(early.read_bytes()[:-2])
    assert dhow("residency", "verify", later, "--anchor", key, "--since", forged).returncode != 0


def test_a_promotion_and_a_removal_are_proven_too(proven):
    for name, home, held in (("promoted", COPY, 2), ("alone", COPY, 1)):
        made = proven[name]
        assert made["findings"] == []
        done = dhow("residency", "verify", made["file"], "--anchor", made["key"], "--json")
        assert done.returncode == 0, done.stdout
        report = json.loads(done.stdout)["report"]
        assert report["deed"]["home"] == home and report["deed"]["epoch"] == 2
        assert sorted(h["count"] for h in report["held"])[-held:] == [VERSIONS] * held
    rows = proven["removed"]
    assert rows[HOME]["versions"] == rows[HOME]["bytes"] == 0 and rows[HOME]["good"]
    assert rows[HOME]["verdict"] == "holds nothing, as it should"
    assert rows[COPY]["versions"] == VERSIONS
    # In between it had what it may keep for ten seconds, and that was no breach.
    leaving = [row for row in proven["leaving"] if row["versions"]]
    assert leaving, proven["leaving"]
    for row in leaving:
        assert row["good"] and row["holds"] == "nothing", row
        assert re.match(r"is removing it \(taken out of the placement \d+ s ago\)", row["verdict"]), row


def test_a_region_that_does_not_answer_is_named(proven):
    done = proven["silent"]
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert list(answer["unanswered"]) == [COPY]
    assert answer["findings"] == [UNSIGNED]
    verified = dhow("residency", "verify", answer["file"], "--anchor", answer["key"])
    assert verified.returncode == 1 and "has signed nothing" in verified.stdout


def test_other_accounts_cannot_prove_or_read_the_log(proven):
    for role in (False, True):
        refused = proven["stranger", role]
        # A stranger learns nothing of a bucket that is there: the answers are those about one
        # that is not, for keys that may prove nothing; an admin's are 403 and 404.
        assert [status for status, _ in refused[::2]] == [403, 403], refused
        assert all("file" not in body for _, body in refused)
        assert [status for status, _ in proven["audit", role]] == [403, 403]
    assert proven["elsewhere"][0] in (403, 421), proven["elsewhere"]


def test_the_audit_log_verifies_and_goes_on(proven):
    assert "Good:" in proven["first"].stdout
    assert "Goes on from entry" in proven["again"].stdout
    actions = [entry["action"] for entry in proven["shown"]]
    assert actions.count("region.open") == 3 and "bucket.create" in actions
    assert [e["number"] for e in proven["shown"]] == list(range(len(actions)))
    assert "bucket.create" in proven["table"] and BUCKET in proven["table"]
    key = proven["made"]["key"]
    done = dhow("audit", "verify", proven["log"], "--anchor", key, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["anchored"]
    done = dhow("audit", "verify", proven["log"], "--anchor", "ab" * 32)
    assert done.returncode == 1 and "not by the trusted key" in done.stdout


def test_a_changed_byte_of_a_saved_log_is_found(proven, tmp_path):
    whole, changed = proven["log"].read_bytes(), tmp_path / "audit"
    rng = random.Random(7)
    ends = [at for at, byte in enumerate(whole) if byte == 10]
    for at in [0, len(whole) - 1, *ends[:5], *(rng.randrange(len(whole)) for _ in range(150))]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << rng.randrange(8)
        changed.write_bytes(flipped)
        done = dhow("audit", "verify", changed)
        assert done.returncode == 1, f"byte {at}: {done.stdout}"
    lines = whole.splitlines(keepends=True)
    for wrong in (lines[1:], lines[:-1], lines[:3] + lines[4:], lines[:-2] + lines[-1:], []):
        changed.write_bytes(b"".join(wrong))
        assert dhow("audit", "verify", changed).returncode == (1 if wrong else 2)


def test_a_log_that_was_rolled_back_or_replaced_is_found(proven, tmp_path):
    old = tmp_path / "old"
    old.write_bytes(proven["old"])
    assert dhow("audit", "verify", proven["log"], "--since", old).returncode == 0
    done = dhow("audit", "verify", old, "--since", proven["log"])
    assert done.returncode == 1 and "cut short" in done.stdout
    assert dhow("residency", "verify", proven["file"], "--since", old).returncode == 0
    # The bundle is older than the last log: an auditor who knows more finds it short.
    done = dhow("residency", "verify", proven["file"], "--since", proven["log"])
    assert done.returncode == 1 and "rolled back" in done.stdout


def test_another_clouds_log_does_not_continue_this_one(proven, own_cloud, tmp_path):
    own_cloud.start()
    saved = tmp_path / "saved"
    saved.write_bytes(proven["old"])
    done = own_cloud.cli("audit", "verify", "--save", saved, check=False)
    assert done.returncode == 1, done.stdout
    assert saved.read_bytes() == proven["old"], "a log that is wrong replaces nothing"
