#!/usr/bin/env python3
"""Measures what policies cost: small signed GETs and PUTs by the root of an account in a bucket
without a policy, in one with a policy of ten statements, and by a user with three managed policies
in either. The cases take turns in one server, so that what else the machine does meets them alike;
medians are compared.

Needs a build of `dhow` (make bench-policies builds the release). Writes a table to standard output.
Everything listens on 127.0.0.1.
"""

import argparse, json, os, pathlib, shutil, statistics, subprocess, sys, tempfile

import boto3

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

OBJECTS, SIZE, WANTED = 5000, "4KiB", 0.95


def bucket_policy(bucket):
    """Ten statements: seven by prefix and condition that do not fit the benchmark's requests, two
    denials that are looked at each time, and what the account's users are allowed."""
    objects = f"arn:aws:s3:::{bucket}/"
    allow = [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{n:012}:root"},
              "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{objects}team-{n}/*",
              "Condition": {"IpAddress": {"aws:SourceIp": f"10.{n}.0.0/16"}}}
             for n in range(1, 8)]
    deny = [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"{objects}*",
             "Condition": {"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "10.0.0.0/8"]}}},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject*",
             "Resource": f"{objects}archive/*"}]
    own = [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}"}]
    return {"Version": "2012-10-17", "Statement": allow + deny + own}


MANAGED = {
    "read": [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "arn:aws:s3:::*"}],
    "write": [{"Effect": "Allow", "Action": ["s3:PutObject", "s3:CreateBucket"],
               "Resource": ["arn:aws:s3:::plain*", "arn:aws:s3:::ruled*"]}],
    "bounds": [{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::*/private/*"},
               {"Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*"}],
}


def keys(access, secret):
    return ["--access-key", access, f"--secret-key={secret}"]


class Load:
    def __init__(self, server, binary, seconds):
        self.command = [binary, "bench"]
        self.common = ["--endpoint", server.endpoint, "--region", server.region, "--size", SIZE,
                       "--keep", "--connections", "32", "--json"]
        self.server, self.seconds, self.number = server, seconds, 0

    def cpu(self):
        """Seconds of processor time that the server has used."""
        words = open(f"/proc/{self.server.process.pid}/stat").read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def run(self, operation, who, bucket, *more):
        command = [*self.command, operation, *self.common, *who, "--bucket", bucket, *more]
        before = self.cpu()
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
        report = json.loads(done.stdout)
        return report["per_second"], (self.cpu() - before) * 1e6 / report["requests"]

    def store(self, who, bucket):
        self.run("put", who, bucket, "--requests", str(OBJECTS), "--prefix", "kept/")

    def get(self, who, bucket):
        return self.run("get", who, bucket, "--time", f"{self.seconds}s", "--objects", "0",
                        "--existing", str(OBJECTS), "--prefix", "kept/")

    def put(self, who, bucket):
        self.number += 1
        return self.run("put", who, bucket, "--time", f"{self.seconds}s", "--prefix",
                        f"{self.number}/")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "dhow"))
    options = parser.parse_args()
    os.environ["DHOW_BIN"] = options.binary
    from dhow import Dhow

    folder = tempfile.mkdtemp(prefix="dhow-bench-policies-")
    server = Dhow(pathlib.Path(folder) / "data", args=["--log-level", "warn"]).start()
    try:
        account = server.cli_json("account", "create", "acme", "--json")["id"]
        key = server.cli_json("key", "create", "--account", account, "--admin", "--json")
        root = (key["access_key"], key["secret_key"])
        client = lambda service, url: boto3.client(
            service, endpoint_url=url, region_name=server.region, aws_access_key_id=root[0],
            aws_secret_access_key=root[1])
        iam, s3 = client("iam", server.endpoint + "/-/iam"), client("s3", server.endpoint)
        iam.create_user(UserName="anna")
        for name, statements in MANAGED.items():
            document = json.dumps({"Version": "2012-10-17", "Statement": statements})
            arn = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
            iam.attach_user_policy(UserName="anna", PolicyArn=arn)
        made = iam.create_access_key(UserName="anna")["AccessKey"]
        users = {"root": keys(*root), "user": keys(made["AccessKeyId"], made["SecretAccessKey"])}
        load = Load(server, options.binary, options.seconds)
        for bucket in ("plain", "ruled"):
            s3.create_bucket(Bucket=bucket)
            load.store(users["root"], bucket)
        s3.put_bucket_policy(Bucket="ruled", Policy=json.dumps(bucket_policy("ruled")))

        cases = [(who, bucket) for bucket in ("plain", "ruled") for who in users]
        figures = {(op, case): [] for op in ("get", "put") for case in cases}
        for turn in range(options.turns):
            for who, bucket in cases if turn % 2 == 0 else cases[::-1]:
                figures["get", (who, bucket)].append(load.get(users[who], bucket))
                figures["put", (who, bucket)].append(load.put(users[who], bucket))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

    print(f"{SIZE}, 32 kept connections, {options.turns} turns of {options.seconds} s, medians:\n")
    print("| case | without policies | with | ratio | wanted | processor time of a request |\n"
          "|---|---|---|---|---|---|")
    middle = {case: [statistics.median(column) for column in zip(*all)]
              for case, all in figures.items()}
    words = {("root", "ruled"): "bucket policy of ten statements",
             ("user", "plain"): "user with three managed policies",
             ("user", "ruled"): "both"}
    for operation in ("get", "put"):
        base, base_cpu = middle[operation, ("root", "plain")]
        for case, text in words.items():
            rate, cpu = middle[operation, case]
            met = "met" if rate / base >= WANTED else "missed"
            print(f"| {operation.upper()} {SIZE}, {text} | {base:,.0f} /s | {rate:,.0f} /s | "
                  f"{rate / base:.2f}x | at least {WANTED}x: {met} | {base_cpu:.1f} us, {cpu:.1f} us |")


if __name__ == "__main__":
    main()
