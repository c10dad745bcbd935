"""A region is opened and closed in the console, with a real process that joins."""

import re
import subprocess

import pytest
from playwright.sync_api import expect

from consoles import CHROMIUM, WAIT_MS, tab
from dhow import BIN
from fleet import Fleet, eventually, free_ports
from test_console_cloud import FIRST, At

import os
import random

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
NEW = "af-south-1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 2).start()
    yield fleet
    fleet.stop()


@pytest.fixture
def admin(fleet, browser):
    with tab(browser, At(fleet, FIRST)) as one:
        yield one.sign_in(path="/regions")


def fill(one, **fields):
    given = {"id": NEW, "city": "Cape Town", "latitude": "-33.9", "longitude": "18.4",
             "jurisdiction": "ZA", "addresses": "127.0.0.1", **fields}
    for name, text in given.items():
        one.page.fill(f"#{name}", text)
    press(one, "Check the plan")


def press(one, name, role="button"):
    """Also where the next page shows what this one has shown."""
    with one.page.expect_navigation():
        one.page.get_by_role(role, name=name).click()


def test_what_is_wrong_with_a_plan_is_said_and_what_was_typed_stays(admin, fleet):
    press(admin, "Open a region", "link")
    admin.look()
    for fields, text in (({"id": "Not An Id"}, ""), ({"jurisdiction": "QQ"}, "QQ"),
                         ({"latitude": "north"}, "Degrees are a number"),
                         ({"id": FIRST}, FIRST)):
        fill(admin, **fields)
        admin.page.wait_for_selector(".note.bad")
        admin.forgive(400).look()
        if text:
            admin.see(text)
        expect(admin.page.locator("#city")).to_have_value("Cape Town")
    assert NEW not in [region["id"] for region in fleet.json("region", "list")]


def test_a_region_is_opened_and_closed(admin, fleet, tmp_path):
    admin.open("/regions/plan")
    fill(admin, jurisdiction="za")
    admin.see(f"{NEW} would be here.").look()
    # Nothing has changed yet.
    assert NEW not in [region["id"] for region in fleet.json("region", "list")]
    press(admin, f"Plan {NEW} and make its token")
    admin.see("The token is shown this once").look()
    token = re.search(r"DHOW_JOIN=(dhow-join-\S+)", admin.page.inner_text("pre"))[1]
    press(admin, "Watch it join", "link")
    expect(admin.page.locator("[data-state=planned]")).to_be_visible()
    admin.see("export DHOW_JOIN=TOKEN").look_everywhere()
    admin.page.set_viewport_size({"width": 1440, "height": 900})
    assert token not in admin.page.content()
    # It was lost: another one takes its place.
    press(admin, "Make a new token")
    lost, token = token, re.search(r"DHOW_JOIN=(dhow-join-\S+)", admin.page.inner_text("pre"))[1]
    assert token != lost and token not in admin.page.url
    press(admin, "Watch it join", "link")
    port = free_ports(random.Random())
    args = [BIN, "up", "--data", tmp_path / "new", "--listen", f"127.0.0.1:{port}",
            "--admin", f"127.0.0.1:{port + 1}", "--metrics", f"127.0.0.1:{port + 2}",
            "--peer", f"127.0.0.1:{port + 3}"]
    with (tmp_path / "log").open("wb") as log:
        joined = subprocess.Popen([str(arg) for arg in args], stdout=log, stderr=log,
                                  env={**os.environ, "DHOW_JOIN": token})
    try:
        # The page follows by itself, until there is nothing to follow.
        expect(admin.page.locator("[data-state]")).to_have_count(0, timeout=4 * WAIT_MS)
        admin.see("South Africa")
        assert token not in (fleet.data / FIRST / "dhow.log").read_text(errors="replace")
        assert fleet.json("region", "show", NEW)["status"] == "open"
        admin.look()
        # Closing asks for the name.
        press(admin, "Close it")
        admin.look()
        admin.page.fill("#name", FIRST)
        press(admin, "Close the region")
        admin.see("Nothing was closed").forgive(400).look()
        assert fleet.json("region", "show", NEW)["status"] == "open"
        admin.open(f"/regions/show?id={NEW}")
        press(admin, "Place no more buckets here")

        def drains():
            # The last look at it may be older than its opening: then it did not answer yet.
            admin.open(f"/regions/show?id={NEW}")
            return admin.page.get_by_text("draining").count() > 0

        eventually(drains)
        press(admin, "Close it")
        admin.page.fill("#name", NEW)
        press(admin, "Close the region")
        eventually(lambda: fleet.json("region", "show", NEW)["status"] == "closed")
        admin.open(f"/regions/show?id={NEW}").look()
        assert admin.page.get_by_role("button", name="Close it").count() == 0
    finally:
        joined.terminate()
        joined.wait(timeout=60)


def test_a_plan_is_given_up(admin, fleet):
    admin.open("/regions/plan")
    fill(admin, id="af-south-2")
    press(admin, "Plan af-south-2 and make its token")
    token = re.search(r"DHOW_JOIN=(dhow-join-\S+)", admin.page.inner_text("pre"))[1]
    press(admin, "Watch it join", "link")
    # All of it is there again whenever one comes back.
    admin.page.reload()
    press(admin, "Give it up")
    admin.see("Nothing is placed there yet").look()
    admin.page.fill("#name", "af-south-2")
    press(admin, "Close the region")
    assert fleet.json("region", "show", "af-south-2")["status"] == "closed"
    admin.open("/regions/show?id=af-south-2").look()
    assert admin.page.locator("[data-state]").count() == 0
    assert admin.page.get_by_role("button", name="Give it up").count() == 0
    assert token not in admin.page.content()


def test_a_region_gets_a_new_key_and_its_certificates_are_taken_back(admin, fleet):
    other = next(region for region in fleet.ids if region != FIRST)
    admin.open(f"/regions/show?id={other}").look()
    press(admin, "Give it a new key")
    admin.page.fill("#name", FIRST)
    press(admin, "Make the token")
    admin.see("Nothing was changed").forgive(400).look()
    admin.page.fill("#name", other)
    press(admin, "Make the token")
    admin.see("The token is shown this once").look()
    token = re.search(r"DHOW_REKEY=(\S+)", admin.page.inner_text("pre"))[1]
    press(admin, "I have kept it", "link")
    assert token not in admin.page.content() and token not in admin.page.url
    press(admin, "Take its certificates back")
    admin.look()
    admin.page.fill("#name", other)
    press(admin, "Take the certificates back")
    shown = fleet.json("region", "show", other)
    assert shown["certificates"] and all(one["revoked"] for one in shown["certificates"])
    admin.see("revoked").look()
    assert admin.page.get_by_role("button", name="Take its certificates back").count() == 0
    # That which keeps the registry needs both.
    admin.open(f"/regions/show?id={FIRST}")
    assert admin.page.get_by_role("button", name="new key").count() == 0


def test_the_region_that_keeps_the_registry_is_not_closed(admin):
    admin.open(f"/regions/show?id={FIRST}")
    assert admin.page.get_by_role("button", name="Close it").count() == 0


def test_only_the_clouds_operator_opens_regions(fleet, browser):
    fleet.cli("account", "create", "opening-tenant")
    key = fleet.json("key", "create", "--account", "opening-tenant", "--admin")
    at = At(fleet, FIRST, (key["access_key"], key["secret_key"]))
    with tab(browser, at) as one:
        one.sign_in(path="/regions")
        assert one.page.get_by_role("link", name="Open a region").count() == 0
        one.open("/regions/plan", status=403).look()
