"""Whose a data folder is, what regions may be called, and who administers."""

import json
import shutil

import pytest

from dhow import Dhow


def refused_start(process, *args):
    """What a start with these arguments says that must not come about."""
    process.args = list(args)
    with pytest.raises(RuntimeError) as refused:
        process.start()
    return str(refused.value)


def owner(data):
    return json.loads((data / "owner.json").read_text())


def test_a_folder_refuses_to_start_as_another_region(tmp_path):
    """Started once under another id, it would take every bucket for one of another region's."""
    data = tmp_path / "data"
    dhow = Dhow(data, ["--region", "aaa-1"]).start()
    try:
        s3 = dhow.client()
        assert s3.request("PUT", "/kept")[0] == 200
        assert s3.put("kept", "small", b"s" * 100)[0] == 200
        assert s3.put("kept", "large", b"l" * 3_000_000)[0] == 200
        assert dhow.stop() == 0
        assert owner(data)["region"] == "aaa-1"
        for args in ([], ["--region", "bbb-1"]):
            why = refused_start(dhow, *args)
            asked = args[-1] if args else "local-1"
            assert "belongs to region aaa-1" in why and f"as region {asked}" in why, why
            assert "--region aaa-1" in why, "it says what to do"
        # A folder from before it was written down: the registry knows whose key it holds.
        (data / "owner.json").unlink()
        why = refused_start(dhow)
        assert "belongs to region aaa-1" in why, why
        assert not (data / "owner.json").exists()
        dhow.args = ["--region", "aaa-1"]
        dhow.start()
        assert owner(data)["region"] == "aaa-1"
        s3 = dhow.client()
        assert s3.get("kept", "small")[2] == b"s" * 100
        assert s3.get("kept", "large")[2] == b"l" * 3_000_000
        assert dhow.stop() == 0
        # The folder of another cloud, copied over.
        other = tmp_path / "other"
        second = Dhow(other, ["--region", "aaa-1"]).start()
        second.stop()
        for name in ("authority.pem", "authority-key.pem"):
            shutil.copy(other / name, data / name)
        why = refused_start(dhow, "--region", "aaa-1")
        assert owner(data)["cloud"] in why and owner(other)["cloud"] in why, why
        # Without the file's content it is nobody's, and is not opened as anybody's.
        (data / "owner.json").write_text("{")
        assert "owner.json" in refused_start(dhow, "--region", "aaa-1")
    finally:
        dhow.kill()


def test_a_region_that_joined_stays_the_one_it_is(tmp_path):
    keeper = Dhow(tmp_path / "keeper", ["--region", "first-1", "--peer", "127.0.0.1:0"]).start()
    member = Dhow(tmp_path / "member", [])
    try:
        token = keeper.cli_json("region", "open", "second-1", "--jurisdiction", "DE",
                                "--operator", "own", "--json")["token"]
        joining = ["--peer", "127.0.0.1:0", "--join", token]
        member.args = joining
        member.start()
        assert member.region == "second-1" and owner(member.data)["region"] == "second-1"
        assert owner(member.data)["cloud"] == owner(keeper.data)["cloud"]
        member.stop()
        # The same command again, or without a word about the region, or with its own id.
        for args in (joining, joining[:2], [*joining[:2], "--region", "second-1"]):
            member.args = args
            member.start()
            assert member.region == "second-1"
            member.stop()
        why = refused_start(member, *joining[:2], "--region", "third-1")
        assert "belongs to region second-1" in why and "third-1" in why, why
        token = keeper.cli_json("region", "open", "third-1", "--jurisdiction", "DE",
                                "--operator", "own", "--json")["token"]
        why = refused_start(member, *joining[:2], "--join", token)
        assert "belongs to region second-1" in why and "third-1" in why, why
    finally:
        member.kill()
        keeper.kill()


def plan(keeper, region):
    done = keeper.cli("region", "open", region, "--jurisdiction", "DE", "--operator", "own",
                      check=False)
    return done.returncode, done.stderr


def test_no_region_is_called_like_a_name_that_signatures_may_carry(tmp_path):
    """Keys are derived from names: a region with the name of an alias would hold the keys of the
    registry's region."""
    peer = ["--region", "first-1", "--peer", "127.0.0.1:0"]
    keeper = Dhow(tmp_path / "keeper", peer).start()
    member = Dhow(tmp_path / "member")
    try:
        for name in ("us-east-1", "us-east-l", "useast1", "us--east-1", "auto", "aut0", "first-l",
                     "US-EAST-1", "Auto", "-us-east-1", "all", "none"):
            code, why = plan(keeper, name)
            assert code != 0, name
            assert "Traceback" not in why and "panicked" not in why
        assert plan(keeper, "second-1")[0] == 0
        keeper.stop()
        # The other order: the alias comes after the plan. Nothing is opened.
        keeper.args = [*peer, "--region-alias", "second-1"]
        why = refused_start(keeper, *keeper.args)
        assert "`second-1` is a name that signatures may carry here" in why, why
        # An alias that is given up is a name like another; its keys open the region alone.
        keeper.args = [*peer, "--region-alias", "auto"]
        keeper.start()
        token = keeper.cli_json("region", "open", "us-east-1", "--jurisdiction", "US",
                                "--operator", "own", "--json")["token"]
        member.args = ["--peer", "127.0.0.1:0", "--join", token]
        member.start()
        assert member.region == "us-east-1"
        s3 = keeper.client()
        assert s3.request("GET", "/")[0] == 200
        s3.region = "us-east-1"
        s3._day = None
        status, _, why = s3.request("GET", "/")
        assert status in (400, 403), why
        keeper.stop()
        why = refused_start(keeper, *peer)
        assert "`us-east-1` is a name that signatures may carry here" in why, why
    finally:
        member.kill()
        keeper.kill()
