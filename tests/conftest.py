"""Fixtures: a running Dhow, as a user would start it."""

import shutil
import tempfile
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from playwright.sync_api import sync_playwright

from consoles import CHROMIUM
from dhow import Dhow


@pytest.fixture(scope="session")
def cloud():
    """One cloud for all tests that do not break it. Its log is searched for secrets at the end."""
    data = Path(tempfile.mkdtemp(prefix="dhow-test-"))
    server = Dhow(data, args=["--log-level", "debug"])
    server.start()
    yield server
    assert server.stop() == 0, "the cloud must stop cleanly"
    log = server.log_text()
    assert server.secret_key not in log, "S24: the root secret is in the log"
    assert "panicked" not in log
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests: each opens a context of its own, with cookies of its own."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: run tests/setup.sh")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def own_cloud(tmp_path):
    """A cloud of the test's own, to be killed at will."""
    server = Dhow(tmp_path / "data")
    yield server
    server.kill()


def client_for(server, access_key=None, secret_key=None, **config):
    settings = {
        "retries": {"total_max_attempts": 1},
        "s3": {"addressing_style": "path"},
        "connect_timeout": 5,
        "read_timeout": 60,
    }
    settings.update(config)
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=server.region,
        aws_access_key_id=access_key or server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        config=Config(**settings),
    )


@pytest.fixture(scope="session")
def s3(cloud):
    return client_for(cloud)


_counter = iter(range(10**6))


@pytest.fixture
def bucket(s3):
    name = f"test-{next(_counter)}-bucket"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def stranger(cloud):
    """Keys of another account on the same cloud."""
    account = cloud.cli_json("account", "create", "stranger", "--json")
    key = cloud.cli_json("key", "create", "--account", account["id"], "--json")
    return client_for(cloud, key["access_key"], key["secret_key"])
