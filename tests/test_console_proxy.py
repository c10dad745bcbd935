"""The console below a path of its origin, behind a proxy that has other things beside it."""

import http.client
import random
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from consoles import CHROMIUM, WAIT_MS, tab
from dhow import BIN, Dhow
from fleet import eventually, free_ports
from test_console_sso import Served

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
BASE = "/ops/dhow"
CONFIG = """
data = "{data}"
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
metrics = "127.0.0.1:0"
[console]
listen = "127.0.0.1:{port}"
origin = "http://127.0.0.1:{proxy}"
base_path = "{base}"
proof_s = 2
"""


class Proxy(BaseHTTPRequestHandler):
    """Forwards what is below the path as it came; has a page of its own beside."""

    protocol_version = "HTTP/1.1"

    def forward(self):
        if not self.path.startswith(BASE):
            return self.say(200, [("Content-Type", "text/plain")], b"something else")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        console = http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=30)
        try:
            console.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    console.putheader(name, value)
            console.endheaders(body)
            answer = console.getresponse()
            drop = ("connection", "transfer-encoding", "content-length")
            headers = [pair for pair in answer.getheaders() if pair[0].lower() not in drop]
            self.say(answer.status, headers, answer.read())
        finally:
            console.close()

    def say(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = forward

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    folder = tmp_path_factory.mktemp("below")
    first = Dhow(folder / "data").start()
    keys = first.access_key, first.secret_key
    assert first.stop() == 0
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.to = free_ports(random.Random())
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    server = Served(folder / "data")
    server.config = folder / "dhow.toml"
    server.config.write_text(CONFIG.format(
        data=folder / "data", port=proxy.to, proxy=proxy.server_port, base=BASE))
    server.start()
    server.access_key, server.secret_key = keys
    server.direct = f"127.0.0.1:{proxy.to}"
    yield server
    assert server.stop() == 0
    proxy.shutdown()
    proxy.server_close()


def test_everything_works_below_a_path_and_nothing_leads_out_of_it(below, browser, tmp_path):
    assert below.info["console"].endswith(BASE)
    with tab(browser, below) as one:
        origin = one.origin.removesuffix(BASE)
        # The page that was asked for comes after signing in.
        one.page.goto(one.origin + "/new")
        expect(one.page).to_have_url(f"{one.origin}/signin?next=%2Fnew", timeout=WAIT_MS)
        one.sign_in(path="/new").look()
        expect(one.page).to_have_url(one.origin + "/new", timeout=WAIT_MS)
        one.page.fill("#name", "below-a-path")
        one.page.get_by_role("button", name="Create the bucket").click()
        one.page.get_by_role("link", name="below-a-path").click()
        one.see("This bucket is empty.")
        file = tmp_path / "one.txt"
        file.write_text("hello")
        # A file that is chosen before the script runs is chosen for nobody.
        one.page.wait_for_load_state("load")
        one.page.locator("[data-upload]").first.set_input_files(file)
        one.page.wait_for_selector("#uploads[data-state=done]")
        one.page.get_by_role("link", name="Show the new objects").click()
        one.page.get_by_role("link", name="one.txt").click()
        one.see("hello").look()
        # Scripts know the path: keys of the keyboard, and what they ask for again.
        one.page.keyboard.press("g")
        one.page.keyboard.press("m")
        one.page.wait_for_url(one.origin + "/regions")
        for link in one.page.locator("a[href], form[action], link[href], script[src]").all():
            at = next(filter(None, map(link.get_attribute, ("href", "action", "src"))))
            assert at.startswith((BASE + "/", "#", "http")), at
        one.open("/audit").page.get_by_role("button", name="Verify the log").click()
        one.see("the last one is signed").look()
        asked = [url for url in one.asked if url.startswith(origin)]
        assert asked and all(url.startswith(one.origin + "/") for url in asked), asked
        one.page.locator("details.who summary").click()
        one.page.get_by_role("button", name="Sign out").click()
        expect(one.page).to_have_url(one.origin + "/signin", timeout=WAIT_MS)


def test_a_link_of_the_command_line_leads_below_the_path(below, browser):
    made = subprocess.run(
        [BIN, "console", "login", "--url", below.info["console"]], capture_output=True, text=True,
        env={**below.env, "AWS_ACCESS_KEY_ID": below.access_key,
             "AWS_SECRET_ACCESS_KEY": below.secret_key})
    assert made.stdout.startswith(below.info["console"] + "/enter?code="), made
    with tab(browser, below) as one:
        one.page.goto(made.stdout.strip())
        one.page.locator("main").get_by_role("button", name="Sign in").click()
        expect(one.page).to_have_url(one.origin + "/", timeout=WAIT_MS)


def test_what_is_not_below_the_path_leads_to_it_and_is_no_page(below):
    host = below.info["console"].removesuffix(BASE).partition("://")[2]
    for path in ("/", BASE, "/keys", "/ops/dhowx/keys"):
        connection = http.client.HTTPConnection(below.direct, timeout=30)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["location"]) == (303, BASE + "/"), path
        connection.close()


def test_what_is_dangerous_needs_the_key_again(below, browser):
    """A signature is good for two seconds here, so that the page asks again soon."""
    account = below.cli_json("account", "create", "below-suspended", "--json")["id"]
    suspended = lambda: next(one for one in below.cli_json("account", "list", "--json")
                             if one["id"] == account)["suspended"]
    with tab(browser, below) as one:
        one.sign_in(path="/accounts")
        asks = one.page.locator("form[data-after]")

        def press(name):
            with one.page.expect_navigation():
                one.page.get_by_role("button", name=name).click()

        def asked():
            one.open(f"/accounts/show?id={account}")
            press("Suspend")
            return asks.count()

        def prove():
            """As often as it takes on a slow machine."""
            while asks.count():
                one.page.fill("#secret", below.secret_key)
                press("Sign, and go on")

        eventually(asked)
        one.see("Nothing was done yet").forgive(403).look()
        one.page.fill("#secret", "wrong")
        one.page.get_by_role("button", name="Sign, and go on").click()
        one.see("is wrong, or the key is disabled").forgive(403).look()
        prove()
        one.see("To confirm, type the account's number").forgive(403).look()
        assert not suspended()
        one.page.fill("#typed", account)
        press("Suspend account")
        prove()
        expect(one.page).to_have_url(one.origin + "/accounts", timeout=WAIT_MS)
        assert suspended()
        # What can be taken back needs none.
        one.open(f"/accounts/show?id={account}")
        press("Resume")
        assert not suspended()
