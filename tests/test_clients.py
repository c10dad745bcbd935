"""s3cmd and rclone, each doing a real day's work."""

import os
import subprocess

import realfiles


def run(*command, env=None, check=True):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=600,
        # A CA bundle for other hosts is of no use here, and rclone does not take one.
        env={k: v for k, v in os.environ.items() if k != "AWS_CA_BUNDLE"} | (env or {}),
    )
    if check:
        assert done.returncode == 0, f"{command}: {done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    return done.stdout


def test_s3cmd(cloud, tmp_path):
    config = tmp_path / "s3cfg"
    config.write_text(
        f"[default]\naccess_key = {cloud.access_key}\nsecret_key = {cloud.secret_key}\n"
        f"host_base = {cloud.host}\nhost_bucket = {cloud.host}\nuse_https = False\n"
        f"bucket_location = {cloud.region}\nsignature_v2 = False\n"
    )

    def s3cmd(*args, **kwargs):
        return run("s3cmd", "-c", config, "--no-progress", *args, **kwargs)

    s3cmd("mb", "s3://by-s3cmd")
    big, small = tmp_path / "big.bin", tmp_path / "small ü.txt"
    big.write_bytes(os.urandom(20 << 20))
    small.write_text("hello")
    s3cmd("put", "--multipart-chunk-size-mb=5", big, "s3://by-s3cmd/big.bin")
    s3cmd("put", small, "s3://by-s3cmd/dir/small ü.txt", "--add-header=x-amz-meta-a:1")
    s3cmd("get", "s3://by-s3cmd/big.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == big.read_bytes()
    assert "small ü.txt" in s3cmd("ls", "-r", "s3://by-s3cmd")
    assert "DIR" in s3cmd("ls", "s3://by-s3cmd")
    s3cmd("cp", "s3://by-s3cmd/dir/small ü.txt", "s3://by-s3cmd/copy.txt")
    s3cmd("mv", "s3://by-s3cmd/copy.txt", "s3://by-s3cmd/moved.txt")
    assert "MD5" in s3cmd("info", "s3://by-s3cmd/moved.txt")
    files = realfiles.make(tmp_path / "files", 1000)
    s3cmd("sync", f"{files}/asyncio/", "s3://by-s3cmd/enc/")
    s3cmd("sync", "s3://by-s3cmd/enc/", f"{tmp_path}/enc/")
    assert realfiles.digests(tmp_path / "enc") == realfiles.digests(files / "asyncio")
    s3cmd("del", "-r", "--force", "s3://by-s3cmd/")
    s3cmd("rb", "s3://by-s3cmd")


def test_rclone(cloud, tmp_path):
    env = {
        "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_D_TYPE": "s3",
        "RCLONE_CONFIG_D_PROVIDER": "Other", "RCLONE_CONFIG_D_ENDPOINT": cloud.endpoint,
        "RCLONE_CONFIG_D_ACCESS_KEY_ID": cloud.access_key,
        "RCLONE_CONFIG_D_SECRET_ACCESS_KEY": cloud.secret_key,
        "RCLONE_CONFIG_D_REGION": cloud.region,
    }

    def rclone(*args, **kwargs):
        return run("rclone", "--retries=1", *args, env=env, **kwargs)

    files = realfiles.make(tmp_path / "files", 1200)
    rclone("mkdir", "d:by-rclone")
    rclone("sync", "--transfers=8", "--s3-upload-cutoff=8M", "--s3-chunk-size=5M", files,
           "d:by-rclone/copy")
    rclone("check", "--download", files, "d:by-rclone/copy")
    rclone("check", files, "d:by-rclone/copy")
    count = len(realfiles.digests(files))
    assert f"{count}" in rclone("size", "d:by-rclone/copy")
    rclone("copyto", "d:by-rclone/copy/large.bin", "d:by-rclone/server-side.bin")
    rclone("moveto", "d:by-rclone/server-side.bin", "d:by-rclone/moved.bin")
    rclone("copyto", "d:by-rclone/moved.bin", tmp_path / "moved.bin")
    assert (tmp_path / "moved.bin").read_bytes() == (files / "large.bin").read_bytes()
    (files / "empty").unlink()
    rclone("sync", files, "d:by-rclone/copy")
    rclone("check", "--one-way", "d:by-rclone/copy", files)
    rclone("purge", "d:by-rclone")
    assert "by-rclone" not in rclone("lsd", "d:")
