"""The aws CLI: the main job (sync a few thousand real files up, survive a kill -9 in the middle
and a restart, sync back, compare byte for byte), and a day's commands."""

import os
import subprocess
import sys
from pathlib import Path

import realfiles

AWS = Path(sys.executable).parent / "aws"


def environment(server):
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": server.region, "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "2",
        "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }


def aws(server, *args, check=True):
    done = subprocess.run(
        [str(AWS), *map(str, args)], capture_output=True, text=True, timeout=600,
        env=environment(server),
    )
    if check:
        assert done.returncode == 0, f"{args}: {done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    return done.stdout


def test_sync_survives_kill_9_and_restart(own_cloud, tmp_path):
    files = realfiles.make(tmp_path / "files", 2000)
    server = own_cloud
    server.start()
    server.port = int(server.endpoint.rsplit(":", 1)[1])  # the same endpoint after the restart
    aws(server, "s3", "mb", "s3://home")
    sync = subprocess.Popen(
        [str(AWS), "s3", "sync", "--no-progress", str(files), "s3://home/copy"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(server),
    )
    uploaded = 0
    for line in sync.stdout:
        uploaded += line.startswith("upload:")
        if uploaded == 500:
            server.kill()
            break
    sync.stdout.read()
    assert sync.wait(300) != 0, "the sync must notice that the cloud is gone"
    server.start()
    listed = aws(server, "s3", "ls", "--recursive", "s3://home/copy/").splitlines()
    assert len(listed) >= 500, "what was acknowledged before the kill is there"
    aws(server, "s3", "sync", "--no-progress", files, "s3://home/copy")
    assert aws(server, "s3", "sync", "--no-progress", files, "s3://home/copy") == ""
    assert server.stop() == 0
    server.start()
    back = tmp_path / "back"
    aws(server, "s3", "sync", "--no-progress", "s3://home/copy", back)
    expected = realfiles.digests(files)
    assert realfiles.digests(back) == expected
    listed = aws(server, "s3", "ls", "--recursive", "s3://home/copy/").splitlines()
    assert len(listed) == len(expected)


def test_a_days_commands(cloud, tmp_path):
    aws(cloud, "s3", "mb", "s3://cli-day")
    big, small = tmp_path / "big.bin", tmp_path / "small.txt"
    big.write_bytes(os.urandom(25 << 20))
    small.write_text("hello")
    aws(cloud, "s3", "cp", big, "s3://cli-day/big.bin")
    aws(cloud, "s3", "cp", small, "s3://cli-day/dir/small.txt", "--content-type", "text/plain")
    aws(cloud, "s3", "cp", "s3://cli-day/big.bin", "s3://cli-day/big-copy.bin")
    aws(cloud, "s3", "cp", "s3://cli-day/big-copy.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == big.read_bytes()
    aws(cloud, "s3", "mv", "s3://cli-day/dir/small.txt", "s3://cli-day/dir/moved.txt")
    listing = aws(cloud, "s3", "ls", "s3://cli-day/")
    assert "PRE dir/" in listing and "big.bin" in listing
    assert aws(cloud, "s3", "cp", "s3://cli-day/dir/moved.txt", "-") == "hello"
    url = aws(cloud, "s3", "presign", "s3://cli-day/dir/moved.txt").strip()
    import urllib.request

    assert urllib.request.urlopen(url, timeout=10).read() == b"hello"
    aws(cloud, "s3api", "put-bucket-versioning", "--bucket", "cli-day",
        "--versioning-configuration", "Status=Enabled")
    aws(cloud, "s3", "rm", "s3://cli-day/dir/moved.txt")
    versions = aws(cloud, "s3api", "list-object-versions", "--bucket", "cli-day", "--prefix", "dir/")
    assert '"DeleteMarkers"' in versions
    aws(cloud, "s3api", "put-object-tagging", "--bucket", "cli-day", "--key", "big.bin",
        "--tagging", "TagSet=[{Key=a,Value=b}]")
    assert '"b"' in aws(cloud, "s3api", "get-object-tagging", "--bucket", "cli-day", "--key",
                        "big.bin")
    attributes = aws(cloud, "s3api", "get-object-attributes", "--bucket", "cli-day", "--key",
                     "big.bin", "--object-attributes", "ObjectSize", "ObjectParts", "Checksum")
    assert str(25 << 20) in attributes
    aws(cloud, "s3", "rm", "--recursive", "s3://cli-day/")


def test_the_clock_of_the_client_matters(cloud):
    """A request that is signed 16 minutes ago is refused by name."""
    import datetime

    client = cloud.client()
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=16)
    headers = client.headers("GET", "/", now=old)
    client.connection.request("GET", "/", headers=headers)
    answer = client.connection.getresponse()
    assert answer.status == 403 and b"RequestTimeTooSkewed" in answer.read()
