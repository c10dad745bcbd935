"""What clients do where their region is not set, or is not the endpoint's: the table of
docs/compatibility.md, whose cells are `works` or a part of the error. With the region set they work:
test_sdks.py."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import test_sdks
from fleet import Fleet, eventually
from test_sdks import CLIENTS, MAIN, ROOT, awscli, go, python, run, with_go  # noqa: F401

REGISTRY, OTHER = "cn-hangzhou", "eu-central-1"
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
TABLE = PAGE.split("\n## If the region is not set")[1].split("\n## ")[0]
ROWS = {cells[0]: cells[1:] for line in TABLE.splitlines() if line.startswith("| ")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]}
COLUMNS = ROWS.pop("client")
# Which region the client has; the endpoint; the bucket's home.
CASES = {
    "not set": (None, OTHER, OTHER),
    "`us-east-1`": ("us-east-1", OTHER, OTHER),
    "not set, at a replica in the registry's region": (None, REGISTRY, OTHER),
    "not set, at another replica": (None, OTHER, REGISTRY),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 2).start()
    yield fleet
    fleet.stop()


def small_cli(env, at, program, name):
    """The aws CLI, whose every call takes a second."""
    aws, to = MAIN / "aws", f"s3://{env['BUCKET']}/one"
    (at / "one").write_text("hello")
    run([aws, "s3", "cp", at / "one", to], env, at)
    run([aws, "s3api", "head-object", "--bucket", env["BUCKET"], "--key", "one"], env, at)


def list_of_buckets(env, at, program, name):
    """There is no bucket whose region could be asked for."""
    run([MAIN / "aws", "s3", "ls"], env, at)


LISTS, URLS = "list of buckets (aws CLI, boto3)", "presigned URLs of boto3"


def use_of(client):
    if client == LISTS:
        return list_of_buckets, ""
    if client == "boto3":
        return python(MAIN), "boto3_requests"
    if client == URLS:
        return python(MAIN), "boto3_presigned"
    use, name, _ = CLIENTS[client]
    return (small_cli if use is awscli else use), name


def attempt(fleet, program, client, column, at):
    """`works`, or what the client says."""
    region, endpoint, home = CASES[column]
    bucket = re.sub("[^a-z0-9]+", "-", f"{client}-{list(CASES).index(column)}".lower()).strip("-")
    copies = [] if endpoint == home else [endpoint]
    fleet.bucket(bucket, home, *copies, options=("--trust-writes", endpoint) if copies else ())
    env = test_sdks.environment(fleet, endpoint, bucket)
    del env["AWS_REGION"], env["AWS_DEFAULT_REGION"]
    if region:
        env |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    use, name = use_of(client)
    at.mkdir()
    try:
        if endpoint != home:
            eventually(lambda: fleet.s3(endpoint).list_objects_v2(Bucket=bucket))
        use(env, at, program, name)
        return "works"
    except AssertionError as error:
        return str(error)


@pytest.fixture(scope="module")
def found(fleet, go, tmp_path_factory):  # noqa: F811
    """All cells. They wait for each other's programs to start, so several run at once."""
    root = tmp_path_factory.mktemp("cells")
    cells = [(client, column) for client, row in ROWS.items()
             for column, cell in zip(COLUMNS, row) if cell]
    with ThreadPoolExecutor(4) as pool:
        tried = {cell: pool.submit(attempt, fleet, go, *cell, root / str(n))
                 for n, cell in enumerate(cells)}
        return {cell: done.result() for cell, done in tried.items()}


def test_the_table_has_every_client():
    assert set(ROWS) == {*CLIENTS, LISTS, URLS} and set(COLUMNS) == set(CASES)


@pytest.mark.parametrize("client", ROWS)
def test_a_client_without_the_right_region(found, client):
    for column, cell in zip(COLUMNS, ROWS[client]):
        if not cell:
            continue
        said = found[client, column]
        expected = cell.strip("`")
        assert (said == "works") if expected == "works" else (expected in said), (column, said)
