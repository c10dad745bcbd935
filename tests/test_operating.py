"""What an operator of several regions is shown: which of them answer, and what is known of a bucket
whose home does not."""

import pytest

from fleet import Fleet, eventually

KEEPER, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("operating") / "fleet", 3).start()
    try:
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def frozen(fleet):
    """Freezes regions, and lets them go on at the end."""
    yield lambda *regions: fleet.freeze(*regions)
    fleet.thaw(*fleet.ids)


def shown(fleet, region):
    return fleet.json("region", "show", region)


def test_the_list_of_regions_says_which_answer(fleet, frozen):
    for region in (KEEPER, EU, ME):
        eventually(lambda: shown(fleet, region)["reachable"])
    frozen(ME)
    eventually(lambda: shown(fleet, ME)["reachable"] is False)
    lost = shown(fleet, ME)
    assert lost["status"] == "open" and lost["last_seen"], lost
    line = next(l for l in fleet.cli("region", "list").stdout.splitlines() if l.startswith(ME))
    assert f"open    NO         {lost['last_seen']}" in line, line
    fleet.thaw(ME)
    eventually(lambda: shown(fleet, ME)["last_seen"] > lost["last_seen"])
    assert shown(fleet, ME)["reachable"]


def test_a_bucket_whose_home_is_away_still_shows_its_copies(fleet, frozen):
    fleet.bucket("orphaned", EU, KEEPER, ME)
    table = lambda: fleet.cli("bucket", "show", "orphaned").stdout
    eventually(lambda: table().count("up to date") == 2)
    frozen(EU)
    told = table()
    rows = [line.split() for line in told.splitlines()]
    assert [KEEPER, "not", "known"] in rows and [ME, "not", "known"] in rows, rows
    assert "is not known" in told and f"{EU} does not answer" in told
