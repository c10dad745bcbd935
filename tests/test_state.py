"""`x-dhow-state` of HeadObject and `x-dhow-if-state` of DeleteObject: a deletion of just the version
that was seen, with its tags and its access control list."""

from collections import namedtuple

import pytest

Answer = namedtuple("Answer", "status headers body")
BUCKET = "states-of-objects"


@pytest.fixture
def ask(cloud):
    client = cloud.client()

    def ask(method, target, body=b"", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = f"/{BUCKET}{target}".partition("?")
        query = query if "=" in query or not query else query + "="
        return Answer(*client.request(method, path, query, body, named))

    client.request("PUT", f"/{BUCKET}")
    return ask


def state(ask, key="k"):
    answer = ask("HEAD", f"/{key}")
    assert answer.status == 200
    return answer.headers["x-dhow-state"]


def delete(ask, wanted, target="/k"):
    return ask("DELETE", target, x_dhow_if_state=wanted).status


TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"


def test_every_change_of_an_object_changes_its_state(ask):
    assert ask("PUT", "/k", b"bytes").status == 200
    seen = [state(ask)]
    assert state(ask) == seen[0], "reading changes nothing"
    for change in (lambda: ask("PUT", "/k", b"bytes"),
                   lambda: ask("PUT", "/k?tagging", TAGS),
                   lambda: ask("DELETE", "/k?tagging"),
                   lambda: ask("PUT", "/k", b"bytes", x_amz_meta_a="b")):
        assert change().status in (200, 204)
        now = state(ask)
        assert now not in seen
        for old in seen:
            assert delete(ask, old) == 412
        seen.append(now)
    assert delete(ask, seen[-1]) == 204
    assert ask("HEAD", "/k").status == 404
    for old in seen:
        assert delete(ask, old) == 404


def test_a_state_is_one_of_the_current_version(ask):
    ask("PUT", "/v", b"bytes")
    for bad in ("0", "-", "nothing", "0" * 98):
        assert delete(ask, bad, "/v") == 412
    # Only deletions have this condition: nothing is written without it being looked at.
    assert ask("PUT", "/v", b"other", x_dhow_if_state=state(ask, "v")).status == 400
    assert ask("GET", "/v").body == b"bytes"


def test_where_versions_are_kept_a_marker_takes_the_place_of_that_version_only(ask):
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    ask("PUT", "/w", b"bytes")
    old = state(ask, "w")
    assert ask("PUT", "?versioning", on).status == 200
    try:
        assert ask("PUT", "/w", b"bytes").status == 200
        assert delete(ask, old, "/w") == 412
        assert delete(ask, state(ask, "w"), "/w") == 204
        assert delete(ask, old, "/w") == 404
        assert ask("GET", "/w").status == 404
    finally:
        ask("PUT", "?versioning", on.replace(b"Enabled", b"Suspended"))


def test_the_null_version_goes_only_in_the_state_that_was_seen(ask):
    """While a bucket keeps no new versions, another write or a delete takes its place."""
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    null = "/n?versionId=null"
    seen = lambda: ask("HEAD", null).headers["x-dhow-state"]
    ask("PUT", "?versioning", on)
    assert ask("PUT", "/n", b"kept").status == 200
    ask("PUT", "?versioning", on.replace(b"Enabled", b"Suspended"))
    assert ask("PUT", "/n", b"null").status == 200
    states = [seen()]
    assert ask("PUT", "/n", b"null").status == 200
    states.append(seen())
    assert delete(ask, states[0], null) == 412
    assert ask("DELETE", "/n").status == 204
    # A delete marker, which has a state as well.
    assert ask("HEAD", null).status == 405
    states.append(seen())
    for old in states[:2]:
        assert delete(ask, old, null) == 412
    assert delete(ask, states[2], null) == 204
    assert ask("GET", "/n").body == b"kept"
    assert delete(ask, states[2], null) == 404
