"""The console's pages of the cloud: regions on the map, where a bucket is, accounts and the audit
log, by role, and what a region must not show of a bucket that may not be there."""

import json
import re
import subprocess

import boto3
import pytest
from playwright.sync_api import Error as BrowserError, expect

from consoles import CHROMIUM, WAIT_MS, tab
from dhow import BIN
from fleet import Fleet
from fleet import eventually as again
from test_console_security import Raw, routes

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)

FIRST, EU, ME = "cn-hangzhou", "eu-central-1", "me-east-1"
CANARY = "canary-7f3a91"


class At:
    """A region of the fleet, as a tab of a browser wants it."""

    def __init__(self, fleet, region, key=None):
        found = fleet.regions[region]
        self.info, self.endpoint, self.region = found, found["endpoint"], region
        both = (fleet.info["access_key"], fleet.info["secret_key"])
        self.access_key, self.secret_key = key or both


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "data", 3).start()
    yield fleet
    fleet.stop()


def eventually(check):
    """Also a page that did not come, or did not have what was looked for, is asked for again."""
    return again(check, also=(BrowserError,))


def row(one, text):
    return one.page.get_by_role("row").filter(has_text=text).first


def until(one, path, check):
    """Opens the page anew until it shows it: it says what was so when it was asked."""
    def seen():
        one.open(path)
        return check()
    return eventually(seen)


def fits(one):
    """Whether the whole of each table is seen."""
    cut = "Array.from(document.querySelectorAll('.scroll'), (one) => one.scrollWidth - one.clientWidth)"
    assert max(one.page.evaluate(cut)) <= 0, (one.page.url, one.page.viewport_size)


def test_regions_are_on_the_map_and_in_a_table(fleet, browser):
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/regions").look()
        for region in fleet.ids:
            expect(row(one, region)).to_contain_text("open", timeout=WAIT_MS)
            # The mark is a link with the state in words.
            mark = one.page.get_by_role("link", name=f"{region}: open")
            assert mark.count() == 1, region
        # Letters can be read, or are not there; on small screens the table comes first, and marks
        # are large enough for a finger.
        letters = one.page.locator(".world svg:not(.near) text").filter(visible=True)
        boxes = lambda found: [found.nth(n).bounding_box() for n in range(found.count())]
        for width, shown in ((1440, 3), (1280, 3), (1024, 0), (800, 0)):
            one.page.set_viewport_size({"width": width, "height": 800})
            assert letters.count() == shown, width
            assert all(box["height"] >= 11 for box in boxes(letters)), width
            if width >= 1024:
                fits(one)
        one.page.set_viewport_size({"width": 360, "height": 800})
        map_at, table_at = boxes(one.page.locator(".world, [aria-label=Regions].scroll"))
        assert table_at["y"] < map_at["y"]
        touched = boxes(one.page.locator(".world .touch"))
        assert len(touched) == 3 and min(box["width"] for box in touched) >= 24, touched
        one.page.set_viewport_size({"width": 1440, "height": 900})
        one.page.get_by_role("link", name=f"{EU}: open").click()
        one.see("Germany (DE)").look_everywhere()


def test_the_map_says_how_much_regions_are_asked_and_how_far_they_are_behind(fleet, browser):
    replicated(fleet, "console-figures", EU, ME)
    operator = fleet.json("region", "show", EU)["operator"]
    keys = {}
    for name, options in (("partner", ("--operator", operator)), ("tenant", ())):
        account = fleet.json("account", "create", f"console-figures-{name}", *options)
        made = fleet.json("key", "create", "--account", account["id"])
        keys[name] = made["access_key"], made["secret_key"]
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/regions")
        # The figures come by themselves.
        for region in fleet.ids:
            expect(row(one, region)).to_contain_text("/s", timeout=WAIT_MS)
        expect(row(one, ME)).to_contain_text("up to date", timeout=WAIT_MS)
        one.look()
        for view, beside in (("Load", "/s"), ("Its replicas", "up to date"),
                             ("Operator", operator), ("Country", "Germany")):
            with one.page.expect_navigation():
                one.page.get_by_role("link", name=view, exact=True).click()
            text = one.page.locator(".world .beside").filter(has_text=beside)
            expect(text.first).to_be_visible(timeout=WAIT_MS)
        one.look()
    # How much is asked of others is not for competitors: not in the registry's region, and not in
    # a region of their own.
    with tab(browser, At(fleet, FIRST, keys["partner"])) as one:
        one.sign_in(path="/regions").look()
        expect(row(one, EU)).to_contain_text("/s")
        expect(row(one, ME)).to_contain_text("unknown")
        one.see("Elsewhere, and before it has answered, that is unknown.")
    with tab(browser, At(fleet, EU)) as one:
        def own():
            one.open("/regions")
            return "/s" in row(one, EU).inner_text()
        one.sign_in()
        eventually(own)
        expect(row(one, ME)).to_contain_text("unknown")
    with tab(browser, At(fleet, FIRST, keys["tenant"])) as one:
        one.sign_in(path="/regions").look()
        assert one.page.get_by_role("columnheader", name="Load").count() == 0
        assert "/s" not in row(one, EU).inner_text()


def test_a_region_is_drained_and_opened_again(fleet, browser):
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path=f"/regions/show?id={ME}")
        one.page.get_by_role("button", name="Place no more buckets here").click()
        one.see("draining").look()
        assert fleet.json("region", "show", ME)["status"] == "draining"
        one.page.get_by_role("button", name="Place buckets here again").click()
        expect(one.page.get_by_role("button", name="Place no more buckets here")).to_be_visible()
        assert fleet.json("region", "show", ME)["status"] == "open"
    # Only the registry's region changes that, and says which that is.
    with tab(browser, At(fleet, EU)) as one:
        one.sign_in(path=f"/regions/show?id={ME}")
        one.page.get_by_role("button", name="Place no more buckets here").click()
        one.see(FIRST)
        assert fleet.json("region", "show", ME)["status"] == "open"


def test_a_new_buckets_home_is_picked_on_the_map_within_its_law(fleet, browser):
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/new").look()
        assert one.page.locator("[data-picks] a").count() == 3
        one.page.fill("#name", "picked-on-the-map")
        one.page.fill("#law", "EU cn")
        one.page.get_by_role("button", name="Show where it may be").click()
        # The page before says something like it, too.
        one.page.wait_for_url("**/new?*law=EU*")
        one.see("It may be stored in").look()
        # What the law excludes cannot be chosen, and the page says why.
        radio = lambda region: one.page.locator(f'input[name=home][value="{region}"]')
        expect(radio(ME)).to_be_disabled()
        # On the map, as home and as replica.
        assert one.page.get_by_text("United Arab Emirates is not among").count() == 3
        assert one.page.get_by_role("link", name=f"{ME}:").count() == 0
        expect(one.page.locator("#name")).to_have_value("picked-on-the-map")
        one.page.locator(f'input[name=replica][value="{FIRST}"]').check()
        one.page.get_by_role("link", name=f"{EU}: can be the home").click()
        expect(radio(EU)).to_be_checked()
        expect(one.page.locator("#name")).to_have_value("picked-on-the-map")
        expect(one.page.locator("#law")).to_have_value("EU cn")
        one.see(f"The home is {EU}; there is one replica.").look()
        one.page.get_by_role("button", name="Create the bucket").click()
        expect(one.page).to_have_url(one.origin + "/")
    made = fleet.json("bucket", "show", "picked-on-the-map")
    assert made["home"] == EU and sorted(made["jurisdictions"]) == ["CN", "EU"]
    assert [replica["region"] for replica in made["replicas"]] == [FIRST]


def test_a_new_bucket_without_scripts_and_with_a_law_that_is_none(fleet, browser):
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/new?law=QQ&name=typed").look()
        one.see("QQ")
        expect(one.page.locator("#name")).to_have_value("typed")
        # Every country: a blank, so that it is not those of the account.
        one.page.fill("#law", "")
        one.page.get_by_role("button", name="Show where it may be").click()
        one.page.wait_for_url("**/new?*law=%20*")
        one.see("It may be stored in every country.").look()
        state = one.context.storage_state()
    with tab(browser, At(fleet, FIRST), java_script_enabled=False, storage_state=state) as plain:
        plain.open("/new?law=EU")
        plain.page.locator(f'[data-picks] a[href*="home={EU}"]').first.click()
        expect(plain.page.locator(f'input[name=home][value="{EU}"]')).to_be_checked()
        expect(plain.page.locator("#law")).to_have_value("EU")


def test_where_a_bucket_is_and_may_be_and_no_name_of_an_object_elsewhere(fleet, browser):
    fleet.bucket("ministry", EU, options=["--jurisdiction", "EU"])
    s3 = fleet.s3(EU)
    eventually(lambda: s3.put_object(Bucket="ministry", Key=f"{CANARY}.txt", Body=CANARY.encode(),
                                     Metadata={"canary": CANARY}))
    with tab(browser, At(fleet, EU)) as one:
        one.sign_in(path="/b/ministry").see(CANARY).look()
    with tab(browser, At(fleet, FIRST)) as one:
        said = []
        one.sign_in(path="/b/ministry/where").look()
        said.append(one.page.content())
        expect(row(one, EU)).to_contain_text("home")
        for region in (FIRST, ME):
            expect(row(one, region)).to_contain_text("not allowed")
        one.see("It may be stored in EU (shaded) and nowhere else.")
        one.page.get_by_role("link", name="Check now").click()
        one.see("Every region that answered holds what the placement says").look()
        expect(row(one, EU)).to_contain_text("holds it")
        expect(row(one, ME)).to_contain_text("holds nothing, as it should")
        # What was found is seen first, also where not all of the table is.
        one.look_everywhere().page.set_viewport_size({"width": 1024, "height": 800})
        verdict = one.page.get_by_role("cell", name="holds nothing, as it should").first.bounding_box()
        assert verdict["x"] + verdict["width"] <= 1024
        one.page.set_viewport_size({"width": 1440, "height": 900})
        said.append(one.page.content())
        one.open("/b/ministry", status=403)
        one.see(EU)
        said.append(one.page.content())
        one.open("/b/ministry/o?key=" + f"{CANARY}-guessed", status=403)
        for path in ("/placements", "/audit", "/accounts", f"/regions/show?id={EU}"):
            one.open(path).look(axe=path == "/placements")
            said.append(one.page.content())
        assert not [text for text in said if CANARY in text.replace(f"{CANARY}-guessed", "")]
    # Nor does it have, or write into its log, anything of it.
    found = [path for path in (fleet.data / FIRST).rglob("*")
             if path.is_file() and CANARY.encode() + b".txt" in path.read_bytes()]
    assert found == []


def test_an_account_is_suspended_by_its_number_and_resumed(fleet, browser):
    account = fleet.json("account", "create", "tenant <b>x</b>")
    key = fleet.json("key", "create", "--account", account["id"])
    s3 = fleet.s3(FIRST, (key["access_key"], key["secret_key"]))
    eventually(s3.list_buckets)
    suspended = lambda: next(a for a in fleet.json("account", "list")
                             if a["id"] == account["id"])["suspended"]
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/accounts").look_everywhere()
        one.page.set_viewport_size({"width": 1024, "height": 800})
        assert row(one, account["id"]).get_by_role("button", name="Suspend").bounding_box()["x"] < 900
        row(one, account["id"]).get_by_role("button", name="Suspend").click()
        one.page.fill("#typed", "another")
        one.page.get_by_role("button", name="Suspend account").click()
        one.see("Nothing was changed").look()
        assert not suspended()
        one.page.fill("#typed", account["id"])
        one.page.get_by_role("button", name="Suspend account").click()
        expect(row(one, account["id"])).to_contain_text("suspended", timeout=WAIT_MS)
        assert suspended()
        row(one, account["id"]).get_by_role("button", name="Resume").click()
        expect(row(one, account["id"])).to_contain_text("active", timeout=WAIT_MS)
        assert not suspended()
        # Both are on record, with who did it.
        one.open("/audit").look()
        one.page.get_by_role("button", name="Verify the log").click()
        one.see("follows on the one before, and the last one is signed").look()
        told = fleet.json("audit", "verify")
        for known in (told["fingerprint"], told["region"]):
            expect(one.page.locator("#verification")).to_contain_text(known)
        for action in ("account.suspend", "account.resume"):
            entry = one.page.get_by_role("row").filter(has_text=action)
            expect(entry.filter(has_text=account["id"]).first).to_contain_text(
                fleet.info["access_key"])
    # Another region has the log as well; the registry's signs it.
    with tab(browser, At(fleet, EU)) as one:
        one.sign_in(path="/audit").see("keeps the registry and signs the log")
        assert one.page.get_by_role("button", name="Verify the log").count() == 0


def test_a_customer_and_a_partner_see_what_is_theirs(fleet, browser):
    account = fleet.json("account", "create", "customer")
    key = fleet.json("key", "create", "--account", account["id"])
    fleet.bucket("not-theirs", EU)
    with tab(browser, At(fleet, FIRST, (key["access_key"], key["secret_key"]))) as one:
        one.sign_in(path="/regions").look()
        assert one.page.get_by_role("button", name="Place").count() == 0
        one.open("/placements").look(axe=False)
        assert "not-theirs" not in one.page.content()
        for path in ("/accounts", "/audit"):
            one.open(path, status=403)
        one.open("/b/not-theirs/where", status=403)
    operator = fleet.json("region", "show", EU)["operator"]
    partner = fleet.json("account", "create", "partner", "--operator", operator)
    key = fleet.json("key", "create", "--account", partner["id"])
    with tab(browser, At(fleet, FIRST, (key["access_key"], key["secret_key"]))) as one:
        one.sign_in(path=f"/regions/show?id={EU}").look()
        one.page.get_by_role("button", name="Place no more buckets here").click()
        one.see("draining")
        one.page.get_by_role("button", name="Place buckets here again").click()
        expect(one.page.get_by_role("button", name="Place no more buckets here")).to_be_visible()
        # Another operator's region stays as it is.
        one.open(f"/regions/show?id={ME}")
        assert one.page.get_by_role("button", name="Place").count() == 0
        for path in ("/accounts", "/audit"):
            one.open(path, status=403)


def test_a_tenant_admin_administers_from_every_region(fleet, browser):
    account = fleet.json("account", "create", "console-admins")["id"]
    key = fleet.json("key", "create", "--account", account, "--admin")
    fleet.bucket("console-admins-first", EU, options=["--owner", account])
    with tab(browser, At(fleet, EU, (key["access_key"], key["secret_key"]))) as one:
        eventually(lambda: one.sign_in(path="/new"))
        one.page.fill("#name", "console-admins-made")
        one.page.fill("#law", "EU AE")
        one.page.locator(f'input[name=home][value="{EU}"]').check()
        one.page.locator(f'input[name=replica][value="{ME}"]').check()
        one.page.get_by_role("button", name="Create the bucket").click()
        expect(one.page).to_have_url(one.origin + "/")
        made = fleet.json("bucket", "show", "console-admins-made")
        assert made["home"] == EU and sorted(made["jurisdictions"]) == ["AE", "EU"]
        assert [replica["region"] for replica in made["replicas"]] == [ME]
        assert made["owner"] == account
        one.open("/b/console-admins-made/where").look(axe=False)
        with one.page.expect_navigation():
            one.page.get_by_role("link", name="Check now").click()
        one.see(f"It is done in region {FIRST}.")
        # Keys are kept elsewhere: not none of them, but there, and the way leads to the page.
        one.open("/keys", status=421)
        one.see(f"are changed in region {FIRST}")
        there = At(fleet, FIRST, (key["access_key"], key["secret_key"]))
        one.page.get_by_role("link", name=f"Open the console of {FIRST}").click()
        one.page.wait_for_url("**/signin?next=%2Fkeys")
        one.page.fill("#access", there.access_key)
        one.page.fill("#secret", there.secret_key)
        one.page.click("#signin button")
        one.page.wait_for_url(there.info["console"] + "/keys")
        expect(row(one, key["access_key"])).to_contain_text("tenant admin")


def test_hostile_texts_of_operators_are_text(fleet, browser):
    text = "<img src=x onerror=window.hit=1>"
    fleet.cli("region", "open", "xx-evil-1", "--city", text, "--jurisdiction", "FR",
              "--operator", "own", "--latitude", "48.8", "--longitude", "2.3")
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/regions").look(axe=False)
        assert one.page.evaluate("window.hit") is None
        expect(row(one, "xx-evil-1")).to_contain_text(text)


def press(one, name, role="button"):
    """Also where the next page shows what this one has shown."""
    with one.page.expect_navigation():
        one.page.get_by_role(role, name=name).click()


def replicated(fleet, name, home, *replicas):
    fleet.bucket(name, home, *replicas)
    same = lambda: all(copy["behind"] == 0
                       for copy in fleet.json("bucket", "show", name)["replica_status"])
    eventually(lambda: fleet.s3(home).put_object(Bucket=name, Key="first", Body=b"x"))
    eventually(same)


def test_a_placement_is_changed_watched_and_a_removal_has_its_receipt(fleet, browser):
    name, account = "console-places", fleet.json("account", "create", "console-places")["id"]
    key = fleet.json("key", "create", "--account", account, "--admin")
    keys = (key["access_key"], key["secret_key"])
    fleet.bucket(name, EU, options=["--owner", account])
    eventually(lambda: fleet.s3(EU, keys).put_object(Bucket=name, Key="first", Body=b"x"))
    shown = lambda: fleet.json("bucket", "show", name)
    at_me = lambda one: one.page.locator(f'[id="place-{ME}"]')
    # Where the registry is not kept, the way leads to the same page there.
    with tab(browser, At(fleet, EU, keys)) as one:
        eventually(lambda: one.sign_in(path=f"/b/{name}/where").look(axe=False))
        with one.page.expect_navigation() as to:
            one.page.get_by_role("link", name="Change the placement").click()
        assert to.value.status == 421
        href = one.page.get_by_role("link", name=f"Open the console of {FIRST}").get_attribute("href")
        assert href.endswith(f"?next=%2Fb%2F{name}%2Fplace")
        one.see("Another operator runs that region")
    with tab(browser, At(fleet, FIRST, keys)) as one:
        eventually(lambda: one.sign_in(path=f"/b/{name}/place"))
        one.look_everywhere()
        press(one, "Show what would be")
        one.see("This is how it is placed now.").forgive(400)
        one.page.fill("#law", "EU")
        at_me(one).select_option(f"{ME} replica")
        press(one, "Show what would be")
        one.see("which the bucket's jurisdictions do not allow").forgive(400).look()
        one.page.fill("#law", "EU AE")
        press(one, "Show what would be")
        expect(row(one, ME)).to_contain_text("1 version, 1 B")
        one.look_everywhere()
        # Somebody else changes it meanwhile.
        fleet.cli("bucket", "place", name, "--proxy", "true")
        press(one, "Change the placement")
        one.see("has changed since you looked at it").forgive(409).look(axe=False)
        assert shown()["replicas"] == []
        press(one, "Change the placement")
        # The page goes on by itself until the replica is whole.
        expect(row(one, ME)).to_contain_text("same as the home", timeout=WAIT_MS)
        assert sorted(shown()["jurisdictions"]) == ["AE", "EU"]
        press(one, "Change the placement", "link")
        # Where the law is not allowed any more, nothing waits for the time of grace.
        one.page.fill("#law", "EU")
        at_me(one).select_option(f"{ME} none")
        press(one, "Show what would be")
        expect(row(one, ME)).to_contain_text("removes all that it has")
        one.look_everywhere().page.fill("#typed", "another")
        press(one, "Change the placement")
        one.see("Nothing was changed").forgive(400)
        assert len(shown()["replicas"]) == 1
        one.page.fill("#typed", name)
        press(one, "Change the placement")
        expect(one.page.locator("#left")).to_contain_text("entry ", timeout=WAIT_MS)
        one.look_everywhere()
    [left] = shown()["removals"]
    assert left["region"] == ME and left["receipt"]["rows"] > 0
    customer = fleet.json("key", "create", "--account", account)
    with tab(browser, At(fleet, FIRST, (customer["access_key"], customer["secret_key"]))) as one:
        eventually(lambda: one.sign_in(path=f"/b/{name}/where"))
        assert one.page.get_by_role("link", name="Change the placement").count() == 0
        one.open(f"/b/{name}/place", status=403).see("PlaceBuckets")


def test_a_home_is_handed_over_after_its_name_was_typed(fleet, browser):
    replicated(fleet, "console-moves", EU, ME)
    home = lambda: fleet.json("bucket", "show", "console-moves")["home"]
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/b/console-moves/where")
        press(one, "Another home", "link")
        one.look_everywhere()
        one.page.locator("#to").select_option(ME)
        press(one, "Show what would be")
        expect(row(one, "console-moves")).to_contain_text(ME)
        one.look_everywhere()
        one.page.fill("#typed", "another")
        press(one, "Give 1 bucket its new home")
        one.see("Nothing was changed").forgive(400).look(axe=False)
        assert home() == EU
        one.page.fill("#typed", "console-moves")
        press(one, "Give 1 bucket its new home")
        one.see("The home has moved").look(axe=False)
        assert home() == ME


def test_buckets_of_a_lost_region_are_promoted_and_what_is_waited_for_is_shown(fleet, browser):
    """What the map and its table say of a region that does not answer is looked at here too: that
    wait goes on meanwhile."""
    replicated(fleet, "console-lost", ME, EU)
    home = lambda: fleet.json("bucket", "show", "console-lost")["home"]
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path=f"/promote?region={ME}")
        # It answers: so it is not lost, and nothing is offered.
        one.page.get_by_label("It is lost: promote a replica").check()
        press(one, "Show what would be")
        expect(row(one, "console-lost")).to_contain_text("still answers")
        one.look(axe=False)
        fleet.freeze(ME)
        try:
            def offered():
                one.open(f"/promote?region={ME}")
                one.page.get_by_label("It is lost: promote a replica").check()
                one.page.locator("#to").select_option(EU)
                press(one, "Show what would be")
                return EU in row(one, "console-lost").inner_text()
            eventually(offered)
            with tab(browser, At(fleet, FIRST), storage_state=one.context.storage_state()) as other:
                says = lambda: "does not answer" in row(other, ME).inner_text()
                until(other, "/regions", says)
                assert other.page.get_by_role("link", name=f"{ME}: does not answer").count() == 1
                other.look()
            one.page.fill("#typed", ME)
            press(one, re.compile("new homes?$"))
            # It goes on by itself, also while the old home may decide yet.
            expect(row(one, "console-lost")).to_contain_text("has its home in", timeout=4 * WAIT_MS)
            assert home() == EU
        finally:
            fleet.thaw(ME)
        until(one, "/regions", lambda: "does not answer" not in row(one, ME).inner_text())
        eventually(lambda: fleet.s3(EU).put_object(Bucket="console-lost", Key="k", Body=b"x"))


def test_a_proof_is_made_shown_and_verified_by_the_command_line(fleet, browser, tmp_path):
    replicated(fleet, "console-evidence", EU, ME)
    auditor = fleet.json("account", "create", "console-proofs", "--auditor")
    key = fleet.json("key", "create", "--account", auditor["id"])
    with tab(browser, At(fleet, FIRST, (key["access_key"], key["secret_key"]))) as one:
        one.sign_in(path="/b/console-evidence/where")
        assert one.page.get_by_role("link", name="Another home").count() == 0
        press(one, "Proof", "link")
        one.look_everywhere()
        press(one, "Make a proof and check it")
        one.see("Proven: every region signed").look_everywhere()
        expect(row(one, "bucket.create")).to_contain_text(EU)
        with one.page.expect_download() as saved:
            one.page.get_by_role("button", name="save the file").click()
        assert saved.value.suggested_filename == "console-evidence.residency.json"
        file = tmp_path / "proof"
        saved.value.save_as(file)
        # What it has of other names is nothing.
        assert b"console-moves" not in file.read_bytes()
        told = subprocess.run([BIN, "residency", "verify", file, "--json"], capture_output=True)
        assert json.loads(told.stdout)["good"], told
    with tab(browser, At(fleet, EU)) as one:
        # The log is kept elsewhere, and that region is named.
        one.sign_in(path="/b/console-evidence/proof")
        press(one, "Make a proof and check it")
        one.see(FIRST).forgive(421).look(axe=False)


def test_health_is_that_of_the_doctor_and_sealed_replicas_have_no_name(fleet, browser):
    fleet.bucket("console-sealed-secret", EU, FIRST, options=["--sealed", ME])
    operator = fleet.json("region", "show", ME)["operator"]
    partner = fleet.json("account", "create", "console-health", "--operator", operator)
    key = fleet.json("key", "create", "--account", partner["id"])
    found = json.loads(subprocess.run(
        [BIN, "doctor", "--data", fleet.data / ME, "--json"], capture_output=True).stdout)
    partners = (key["access_key"], key["secret_key"])
    with tab(browser, At(fleet, ME, partners)) as one:
        eventually(lambda: one.sign_in(path="/health"))
        one.look_everywhere()
        # What does not change from one moment to the next is there in the same words.
        stays = {"config", "kernel", "data folder", "port", "file limit"}
        stays = [found for found in found["findings"] if found["check"] in stays]
        assert len(stays) > 5
        for finding in stays:
            one.see(finding["found"])
        expect(row(one, "certificate")).to_contain_text("good until")
        assert "console-sealed-secret" not in one.page.content()
        def held():
            one.open("/held")
            return row(one, "sealed replica").count()
        eventually(held)
        expect(row(one, "sealed replica")).to_contain_text("not named here")
        one.look_everywhere()
        assert "console-sealed-secret" not in one.page.content()
    with tab(browser, At(fleet, FIRST)) as one:
        one.sign_in(path="/held").look(axe=False)
        expect(row(one, "console-sealed-secret")).to_contain_text("replica")


def test_an_operator_of_other_regions_is_shown_the_way(fleet, browser):
    fleet.cli("operator", "add", "console-none", "--name", "without regions")
    partner = fleet.json("account", "create", "console-none", "--operator", "console-none")
    key = fleet.json("key", "create", "--account", partner["id"])
    with tab(browser, At(fleet, FIRST, (key["access_key"], key["secret_key"]))) as one:
        one.sign_in(path="/health").see("another operator").look()
        one.open("/held").see("another operator")


def test_a_region_outside_an_accounts_guard_names_nothing_of_it(fleet):
    """Every page of such a region, by every role: no name of an object, a user or a policy, and of
    a bucket only to whoever looks after all placements."""
    account = fleet.json("account", "create", "console-guarded", "--guard", "EU")["id"]
    make = lambda *args: fleet.json("key", "create", "--account", *args)
    keys = {"tenant": make(account, "--admin"),
            "customer": make(fleet.json("account", "create", "console-beside")["id"], "--admin"),
            "auditor": make(fleet.json("account", "create", "console-audits", "--auditor")["id"]),
            "partner": make(fleet.json(
                "account", "create", "console-partner", "--operator",
                fleet.json("region", "show", ME)["operator"])["id"])}
    keys = {role: (key["access_key"], key["secret_key"]) for role, key in keys.items()}
    keys["cloud operator"] = (fleet.info["access_key"], fleet.info["secret_key"])
    user, policy, bucket = f"user-{CANARY}", f"policy-{CANARY}", f"bucket-{CANARY}"
    fleet.cli("bucket", "create", bucket, "--home", EU, "--owner", account)
    iam = boto3.client("iam", endpoint_url=fleet.regions[FIRST]["endpoint"] + "/-/iam",
                       region_name=FIRST, aws_access_key_id=keys["tenant"][0],
                       aws_secret_access_key=keys["tenant"][1])
    document = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Sid": "Named", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
    eventually(lambda: iam.create_user(UserName=user))
    iam.put_user_policy(UserName=user, PolicyName=policy, PolicyDocument=document)
    s3 = fleet.s3(EU, keys["tenant"])
    eventually(lambda: s3.put_object(Bucket=bucket, Key=f"object-{CANARY}", Body=b"x"))
    pages = [path for method, path, _ in routes() if method == "GET"]
    for role, key in keys.items():
        raw = Raw(At(fleet, ME, key))
        eventually(raw.sign_in)
        for path in pages:
            at = path.replace("{bucket}", bucket)
            if path.endswith("/show"):
                at += f"?name=guess&id={EU}"
            _, headers, body = raw.ask("GET", at)
            said = body + str(headers)
            for name in (user, policy, f"object-{CANARY}"):
                assert name not in said, (role, at, name)
            if role in ("customer", "partner") and "{bucket}" not in path:
                assert bucket not in said, (role, at)
