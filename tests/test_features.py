"""Regions of different releases: each announces what it knows, and a placement that needs more of one of
its regions is refused."""

import pytest
from dhow import Dhow
from fleet import eventually


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Two regions; the second one plays an older release when it is started so."""
    folder = tmp_path_factory.mktemp("features")
    keeper = Dhow(folder / "keeper", ["--peer", "127.0.0.1:0", "--region", "first-1"]).start()
    token = keeper.cli_json("region", "open", "second-1", "--jurisdiction", "DE", "--operator",
                            "own", "--json")["token"]
    second = Dhow(folder / "second", ["--peer", "127.0.0.1:0", "--join", token])
    second.start()
    eventually(lambda: keeper.cli_json("region", "show", "second-1", "--json")["status"] == "open",
               timeout=60)
    yield keeper, second
    for region in (second, keeper):
        if region.process is not None:
            assert region.stop() == 0


def features(keeper, region="second-1"):
    return keeper.cli_json("region", "show", region, "--json")["features"]


def restarted(second, *withheld):
    """The region again, as a release that does not know these."""
    assert second.stop() == 0
    second.args = second.args[:4]
    for name in withheld:
        second.args += ["--withhold-feature", name]
    second.start()


def stepped_back(keeper, second, *withheld):
    """The same, once the owner of the cloud has accepted it."""
    shown = lambda: keeper.cli_json("region", "show", "second-1", "--json")
    known = features(keeper)
    restarted(second, *withheld)
    eventually(lambda: shown()["withheld"])
    assert "dhow region step-back second-1" in shown()["withheld"]
    assert features(keeper) == known
    assert "open (withheld)" in keeper.cli("region", "list").stdout
    assert "changes and keys are withheld from second-1" in keeper.cli("doctor", check=False).stdout
    keeper.cli("region", "step-back", "second-1")
    eventually(lambda: not shown()["withheld"])
    eventually(lambda: features(keeper) == sorted(set(known) - set(withheld)))


def test_a_placement_waits_for_the_release_that_knows_it(cloud):
    keeper, second = cloud
    known = features(keeper)
    assert "writes-any" in known and known == features(keeper, "first-1")
    stepped_back(keeper, second, "writes-any", "sealed-replicas")
    less = [name for name in known if name not in ("writes-any", "sealed-replicas")]
    eventually(lambda: features(keeper) == less)
    listed = {r["id"]: r["features"] for r in keeper.cli_json("region", "list", "--json")}
    assert listed == {"first-1": known, "second-1": less}
    for option, name in ((["--replica", "second-1", "--writes", "any"], "writes-any"),
                         (["--sealed", "second-1"], "sealed-replicas")):
        refused = keeper.cli("bucket", "create", "photos", "--home", "first-1", *option,
                             check=False)
        assert refused.returncode != 0
        assert f"region second-1 does not know `{name}`" in refused.stderr, refused.stderr
        assert "upgrade Dhow" in refused.stderr
    # What both know is placed there all the same.
    keeper.cli("bucket", "create", "photos", "--home", "first-1", "--replica", "second-1")
    refused = keeper.cli("bucket", "place", "photos", "--writes", "any", check=False)
    assert "region second-1 does not know `writes-any`" in refused.stderr, refused.stderr
    restarted(second)
    eventually(lambda: features(keeper) == known)
    keeper.cli("bucket", "place", "photos", "--writes", "any")


def test_a_region_that_steps_back_is_named(cloud):
    keeper, second = cloud
    keeper.cli("bucket", "create", "papers", "--home", "first-1", "--replica", "second-1",
               "--writes", "any")
    known = features(keeper)
    stepped_back(keeper, second, "writes-any")
    found = keeper.cli("doctor", check=False).stdout
    assert "buckets are placed in second-1 that need what the release there does not know" in found
    entries = [e for e in keeper.cli_json("audit", "show", "--json")
               if e["action"] == "region.features"]
    assert {e["actor"] for e in entries} == {"region second-1"}
    assert any(e["action"] == "region.step_back" for e in keeper.cli_json("audit", "show", "--json"))
    # It stays where it is, and may leave.
    keeper.cli("bucket", "place", "papers", "--writes", "home")
    restarted(second)
    eventually(lambda: features(keeper) == known)
    found = keeper.cli("doctor", check=False).stdout
    assert "does not know" not in found
