#!/usr/bin/env python3
"""Measures what access control costs, in three parts:

  requests  small signed GETs and PUTs with a bucket policy of ten statements, by a user with three
            managed policies, and with a session, beside the same without any, in many short turns
            of one server;
  reach     in a fleet of fourteen regions: how long after a change of a user's policy was asked for
            each region decides by it, while policies change 50 times a second; then the same while
            one region is stopped, and across a kill of the region that keeps the registry;
  memory    10,000 users with a key and a policy each: resident memory of a statement in the
            registry's region and in one that follows it, and the time of a start.

Needs a build of `dhow` (make bench-access builds the release). Writes tables to standard output.
Everything listens on 127.0.0.1.
"""

import argparse, hashlib, http.client, json, os, pathlib, random, shutil, statistics, sys, tempfile, threading, time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import boto3

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]
from bench_policies import MANAGED, OBJECTS, Load, bucket_policy, keys  # noqa: E402

# At least this share of the rate without policies.
WANTED, WANTED_IN_SESSION = 0.95, 0.90
REACH_MS, STATEMENT_BYTES, START_S = 2000, 200, 2.0
STATEMENTS = 3


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def say(what):
    print(f"{time.strftime('%X')} {what}", file=sys.stderr, flush=True)


def verdict(met):
    return "met" if met else "missed"


class Iam:
    """IAM's requests over one connection, without the weight of boto3."""

    def __init__(self, endpoint, region, pair):
        from dhow import Client
        host = urllib.parse.urlsplit(endpoint).netloc
        self.client = Client(host, region, *pair, service="iam", timeout=120)
        self.used = time.monotonic()

    def ask(self, **fields):
        # A connection that nobody uses is closed after a while; it is opened anew.
        if time.monotonic() - self.used > 2:
            self.client.connection.close()
        self.used = time.monotonic()
        body = urllib.parse.urlencode({"Version": "2010-05-08", **fields}).encode()
        signed = self.client.headers("POST", "/-/iam", payload=hashlib.sha256(body).hexdigest(),
                                     headers={"content-type": "application/x-www-form-urlencoded"})
        try:
            self.client.connection.request("POST", "/-/iam", body, signed)
            answer = self.client.connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            self.client.connection.close()
            raise
        if answer.status != 200:
            raise SystemExit(f"{fields['Action']}: {answer.status} {text}")
        # Regions that the answer names: they may not have what was changed.
        self.late = [r for r in (answer.getheader("x-dhow-not-yet-in") or "").split(", ") if r]
        return text

    def put_policy(self, user, text):
        self.ask(Action="PutUserPolicy", UserName=user, PolicyName="own", PolicyDocument=text)

    def user(self, name):
        """A user, and its key."""
        from html import unescape
        self.ask(Action="CreateUser", UserName=name)
        made = self.ask(Action="CreateAccessKey", UserName=name)
        field = lambda tag: unescape(made.split(f"<{tag}>")[1].split("<")[0])
        return field("AccessKeyId"), field("SecretAccessKey")


def requests(options, folder):
    from dhow import Dhow
    server = Dhow(folder / "requests", args=["--log-level", "warn"]).start()
    try:
        account = server.cli_json("account", "create", "acme", "--json")["id"]
        key = server.cli_json("key", "create", "--account", account, "--admin", "--json")
        root = (key["access_key"], key["secret_key"])
        client = lambda service, path, pair=root: boto3.client(
            service, endpoint_url=server.endpoint + path, region_name=server.region,
            aws_access_key_id=pair[0], aws_secret_access_key=pair[1])
        iam, s3 = client("iam", "/-/iam"), client("s3", "")
        iam.create_user(UserName="anna")
        for name, statements in MANAGED.items():
            arn = iam.create_policy(
                PolicyName=name, PolicyDocument=document(*statements))["Policy"]["Arn"]
            iam.attach_user_policy(UserName="anna", PolicyArn=arn)
        made = iam.create_access_key(UserName="anna")["AccessKey"]
        anna = (made["AccessKeyId"], made["SecretAccessKey"])
        of = client("sts", "/-/sts").get_session_token()["Credentials"]
        session = (of["AccessKeyId"], of["SecretAccessKey"])
        users = {"root": keys(*root), "user": keys(*anna),
                 "session": [*keys(*session), f"--session-token={of['SessionToken']}"]}
        load = Load(server, options.binary, options.seconds)
        for bucket in ("plain", "ruled"):
            s3.create_bucket(Bucket=bucket)
            load.store(users["root"], bucket)
        s3.put_bucket_policy(Bucket="ruled", Policy=json.dumps(bucket_policy("ruled")))
        cases = {("root", "plain"): None,
                 ("root", "ruled"): ("bucket policy of ten statements", WANTED),
                 ("user", "plain"): ("user with three managed policies", WANTED),
                 ("session", "plain"): ("session", WANTED_IN_SESSION)}
        figures = {(op, case): [] for op in ("get", "put") for case in cases}
        for turn in range(options.turns):
            for who, bucket in list(cases)[::1 if turn % 2 == 0 else -1]:
                figures["get", (who, bucket)].append(load.get(users[who], bucket))
                figures["put", (who, bucket)].append(load.put(users[who], bucket))
    finally:
        server.stop()
    plain = {op: figures.pop((op, ("root", "plain"))) for op in ("get", "put")}
    print(f"\n4 KiB, 32 kept connections, {options.turns} turns of {options.seconds} s, medians; the "
          "ratio is the median of the turns' own:\n")
    print("| case | without | with | ratio | processor time | wanted |\n|---|---|---|---|---|---|")
    for (op, case), rows in figures.items():
        text, wanted = cases[case]
        middle = lambda rows, n: statistics.median(row[n] for row in rows)
        ratio = statistics.median(row[0] / own[0] for row, own in zip(rows, plain[op]))
        cpu = statistics.median(row[1] / own[1] for row, own in zip(rows, plain[op]))
        print(f"| {op.upper()}, {text} | {middle(plain[op], 0):,.0f} /s | {middle(rows, 0):,.0f} /s "
              f"| {ratio:.2f}x | {middle(plain[op], 1):.1f} us, {middle(rows, 1):.1f} us ({cpu:.2f}x) "
              f"| at least {wanted:.2f}x: {verdict(ratio >= wanted)} |", flush=True)


def reach(options, folder):
    from dhow import Client
    from fleet import Fleet, eventually, free_ports
    # A region that is started again is found at the same port.
    fleet = Fleet(folder / "reach", 14, args=["--log-level", "warn"],
                  first_port=free_ports(random.Random())).start()
    first = fleet.ids[0]
    try:
        iams, probe = [], None
        for number in range(5):
            account = fleet.json("account", "create", f"acme-{number}")["id"]
            key = fleet.json("key", "create", "--account", account)
            own = (key["access_key"], key["secret_key"])
            iam = Iam(fleet.regions[first]["endpoint"], first, own)
            # Where an account has a bucket its users are known.
            for region in fleet.ids:
                fleet.bucket(f"acme-{number}-{region}", region, options=("--owner", account))
            pairs = [iam.user(f"user-{n}") for n in range(10)]
            iams.append(iam)
            probe = probe or (iam, "user-0", pairs[0], number)
        iam, name, pair, number = probe
        texts = [document({"Effect": effect, "Action": "s3:ListBucket", "Resource": "*"})
                 for effect in ("Allow", "Deny")]
        iam.put_policy(name, texts[0])
        clients = {}
        for region in fleet.ids:
            host = urllib.parse.urlsplit(fleet.regions[region]["endpoint"]).netloc
            clients[region] = Client(host, region, *pair, timeout=60)

        def seen(region):
            """The status of a listing there; a connection that was closed is opened anew."""
            try:
                return clients[region].request("GET", f"/acme-{number}-{region}", "max-keys=0")[0]
            except (OSError, http.client.HTTPException) as error:
                return repr(error)

        for region in fleet.ids:
            eventually(lambda region=region: seen(region) == 200, timeout=120)
        stop, changes = threading.Event(), [0] * (len(iams) - 1)

        def change(own):
            began, each = time.monotonic(), options.rate / len(changes)
            while not stop.is_set():
                time.sleep(max(0, began + changes[own] / each - time.monotonic()))
                count = changes[own]
                text = texts[0].replace("*", f"arn:aws:s3:::b{count}")
                iams[own + 1].put_policy(f"user-{count % 10}", text)
                changes[own] += 1

        def watched(round, regions):
            """Milliseconds from a change that is asked for: to its answer, and until each of these
            regions decides by it. Then how many of them decided otherwise in their first request
            after the answer, which did not name them."""
            asked, want = time.monotonic(), 403 if round % 2 else 200
            iam.put_policy(name, texts[round % 2])
            since = lambda: (time.monotonic() - asked) * 1000
            answered, left, last, lags, missed = since(), list(regions), {}, [], 0
            named = set(iam.late)
            while left:
                for region in list(left):
                    first, last[region] = region not in last, seen(region)
                    if last[region] == want:
                        lags.append(since())
                        left.remove(region)
                    elif first and region not in named:
                        missed += 1
                if since() > 60_000:
                    sys.exit(f"not there after a minute: { {r: last[r] for r in left} }")
            return answered, lags, missed

        threads = [threading.Thread(target=change, args=(n,)) for n in range(len(changes))]
        answers, lags, missed, rounds = [], [], 0, 0
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() - began < options.reach_seconds:
            rounds += 1
            answered, more, wrong = watched(rounds, fleet.ids[1:])
            answers.append(answered)
            lags += more
            missed += wrong
            time.sleep(0.3)
        rate = sum(changes) / (time.monotonic() - began)
        stop.set()
        for thread in threads:
            thread.join()
        parted = reach_in_trouble(fleet, watched, seen, rounds)
    finally:
        fleet.stop()
    lags, answers = sorted(lags), sorted(answers)
    at = lambda share: lags[min(len(lags) - 1, int(len(lags) * share))]
    print(f"\nFourteen regions, {rate:.0f} changes of policies a second, {rounds} changes that were "
          f"watched in {len(fleet.ids) - 1} regions each:\n")
    print("| from when a change is asked for until a region decides by it | measured | wanted |\n"
          "|---|---|---|")
    print(f"| median | {at(0.5):.0f} ms | |\n| 99th percentile of {len(lags)} | {at(0.99):.0f} ms | "
          f"under {REACH_MS} ms: {verdict(at(0.99) < REACH_MS)} |\n| the longest | {lags[-1]:.0f} ms | |\n"
          f"| until it is answered, median | {statistics.median(answers):.0f} ms | |\n"
          f"| regions that decided otherwise after the answer, unnamed | {missed} of {len(lags)} | "
          f"none: {verdict(not missed)} |")
    for what, measured, wanted in parted:
        print(f"| {what} | {measured} | {wanted} |")
    sys.stdout.flush()


def reach_in_trouble(fleet, watched, seen, round):
    """The same while a region is stopped, and across a kill of the registry's region."""
    from fleet import eventually
    import signal
    gone, others, rows = fleet.ids[-1], fleet.ids[1:-1], []
    fleet.freeze(gone)
    try:
        # The first change finds it connected, later ones do not.
        first, lags, missed = watched(round + 1, others)
        rows.append(("one region is stopped: the first change is answered", f"{first:.0f} ms",
                     f"at most {REACH_MS + 500} ms: {verdict(first < REACH_MS + 500)}"))
        rows.append(("the other regions decide by it, the longest", f"{max(lags):.0f} ms", ""))
        time.sleep(30)
        later, lags, wrong = watched(round + 2, others)
        rows.append(("the same half a minute later: answered", f"{later:.0f} ms", ""))
        missed += wrong
    finally:
        fleet.thaw(gone)
    begun, want = time.monotonic(), 200 if round % 2 == 0 else 403
    eventually(lambda: seen(gone) == want, timeout=120)
    took = (time.monotonic() - begun) * 1000
    rows.append(("it decides by it once it goes on, within", f"{took:.0f} ms", ""))
    fleet.signal(fleet.ids[0], signal.SIGKILL)
    began = time.monotonic()
    while True:
        try:
            answered, lags, wrong = watched(round + 3, fleet.ids[1:])
            break
        except (OSError, http.client.HTTPException, SystemExit):
            if time.monotonic() - began > 120:
                sys.exit("the registry's region does not answer")
            time.sleep(0.1)
    whole = (time.monotonic() - began) * 1000
    rows.append(("the registry's region is killed, and started again: from the kill until a change "
                 "is answered and all decide by it", f"{whole:.0f} ms", ""))
    rows.append(("from when that change was asked for, the longest", f"{max(lags):.0f} ms", ""))
    missed += wrong
    rows.append(("regions that decided otherwise after these answers, unnamed", str(missed),
                 f"none: {verdict(not missed)}"))
    return rows


def resident(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def memory(options, folder):
    from dhow import Client
    from fleet import Fleet, eventually, free_ports
    # Regions that joined find each other again at the same ports.
    # What limits changes is for years, and these are made in a minute.
    fleet = Fleet(folder / "memory", 2,
                  args=["--log-level", "warn", "--changes-per-minute", "1000000000"],
                  first_port=free_ports(random.Random())).start()
    first, second = fleet.ids
    accounts, count, of_each = [], options.accounts, options.users // options.accounts

    def each(work):
        """Over all accounts, some at once: what is slow is the disk."""
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(work, range(count)))

    def prepare(n):
        account = fleet.json("account", "create", f"many-{n}")["id"]
        key = fleet.json("key", "create", "--account", account)
        fleet.bucket(f"many-{n}", second, options=("--owner", account))
        pair = (key["access_key"], key["secret_key"])
        iam = Iam(fleet.regions[first]["endpoint"], first, pair)
        accounts.append((n, iam, pair, [iam.user(f"user-{n}-{u}") for u in range(of_each)]))

    def with_policies(at):
        n, _, pair, _ = accounts[at]
        iam = Iam(fleet.regions[first]["endpoint"], first, pair)
        for u in range(of_each):
            own = f"arn:aws:s3:::many-{n}/home-{n}-{u}"
            iam.put_policy(f"user-{n}-{u}", document(
                {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket",
                 "Resource": f"arn:aws:s3:::many-{n}",
                 "Condition": {"StringLike": {"s3:prefix": f"home-{n}-{u}/*"}}},
                {"Sid": "Own", "Effect": "Allow", "Resource": f"{own}/*",
                 "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]},
                {"Effect": "Deny", "Action": "s3:*", "Resource": f"{own}/secret/*"}))

    def started():
        """(seconds, resident bytes by region) of a new start of the fleet."""
        fleet.stop()
        began = time.monotonic()
        fleet.start()
        took = time.monotonic() - began
        say(f"started in {took:.2f} s")
        answers(200 if policies else 403)
        time.sleep(5)
        return took, {region: resident(fleet.regions[region]["pid"]) for region in fleet.ids}

    def answers(status):
        """Waits until the follower decides so for the last user of each account."""
        host = urllib.parse.urlsplit(fleet.regions[second]["endpoint"]).netloc
        for n, _, _, pairs in accounts:
            client = Client(host, second, *pairs[-1], timeout=60)
            prefix = f"prefix=home-{n}-{of_each - 1}/"
            eventually(lambda: client.request("GET", f"/many-{n}", prefix)[0] == status, timeout=300)
            client.connection.close()

    policies = False
    try:
        empty = started()
        say("users are made")
        each(prepare)
        before = started()
        say("policies are made")
        each(with_policies)
        policies = True
        after = started()
    finally:
        fleet.stop()
    users, statements = count * of_each, count * of_each * STATEMENTS
    print(f"\n{users:,} users with a key each, and then a policy of {STATEMENTS} statements each, all "
          "different; after a new start:\n")
    print("| | the registry's region | a region that follows | wanted |\n|---|---|---|---|")
    mib = lambda at: " | ".join(f"{at[1][region] / 2**20:.1f} MiB" for region in fleet.ids)
    print(f"| resident, empty | {mib(empty)} | |\n| with the users | {mib(before)} | |\n"
          f"| with their policies | {mib(after)} | |")
    of = {region: (after[1][region] - before[1][region]) / statements for region in fleet.ids}
    met = verdict(max(of.values()) <= STATEMENT_BYTES)
    print(f"| a statement | {of[first]:.0f} bytes | {of[second]:.0f} bytes | at most "
          f"{STATEMENT_BYTES} bytes: {met} |")
    print(f"| start of both regions | {empty[0]:.2f} s empty, {before[0]:.2f} s with the users | "
          f"{after[0]:.2f} s with their policies | under {START_S:.0f} s: "
          f"{verdict(after[0] < START_S)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=1, help="of a turn")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--rate", type=int, default=50, help="changes a second")
    parser.add_argument("--reach-seconds", type=int, default=60)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--users", type=int, default=10_000, help="of all accounts together")
    parser.add_argument("--parts", nargs="*", default=["requests", "reach", "memory"])
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "dhow"))
    options = parser.parse_args()
    options.binary = str(pathlib.Path(options.binary).resolve())
    os.environ["DHOW_BIN"] = options.binary
    load = os.getloadavg()
    print(f"Load before the run: {load[0]:.1f} on {os.cpu_count()} cores")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dhow-bench-access-"))
    try:
        for part in options.parts:
            {"requests": requests, "reach": reach, "memory": memory}[part](options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
