"""A browser on the console. After each step of a test the page is looked at: no console error, no
violation of its policy, no request to another host, nothing wider than the window, axe clean."""

import shutil
import urllib.parse
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

CHROMIUM = shutil.which("chromium")
# Only a hang reaches it.
WAIT_MS = 30_000
SCRIPT = Axe().axe_script
RUN = "async (options) => (await axe.run(document, options)).violations"
OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
}
WATCH = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


class Tab:
    """One page of a browser, signed in or not."""

    def __init__(self, context, cloud):
        self.cloud, self.origin = cloud, cloud.info["console"]
        self.context = context
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.said, self.asked = [], []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(WATCH)

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.said.append(f"{message.type}: {message.text}")

    def open(self, path="/", status=200):
        answer = self.page.goto(self.origin + path)
        assert answer.status == status, f"{path}: {answer.status}"
        return self.forgive(status)

    def forgive(self, status):
        """The browser says of itself that it was answered with this status."""
        self.said = [said for said in self.said if f"status of {status}" not in said]
        return self

    def sign_in(self, access_key=None, secret_key=None, path="/"):
        self.page.goto(self.origin + path)
        self.page.fill("#access", access_key or self.cloud.access_key)
        self.page.fill("#secret", secret_key or self.cloud.secret_key)
        self.page.click("#signin button")
        self.page.wait_for_selector("header.top")
        return self

    def look(self, axe=True):
        """What holds of every page after every step."""
        self.page.wait_for_load_state()
        assert self.said == [], self.said
        assert self.page.evaluate("window.__violations") == []
        hosts = {urllib.parse.urlsplit(url).netloc for url in self.asked if url.startswith("http")}
        known = {urllib.parse.urlsplit(url).netloc for url in (self.origin, self.cloud.endpoint)}
        assert hosts <= known, hosts
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert self.page.evaluate(wide) <= 0, self.page.url
        if axe:
            found = self.axe()
            assert found == [], [(one["id"], [node["html"] for node in one["nodes"]])
                                 for one in found]
        return self

    def axe(self):
        """What axe finds wrong. Its script comes into a page once, and what is right stays there."""
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.evaluate(SCRIPT)
        return self.page.evaluate(RUN, OPTIONS)

    def look_everywhere(self):
        """The same page in every width and both themes, loaded once."""
        for width in (1440, 768, 360):
            self.page.set_viewport_size({"width": width, "height": 800})
            for theme in ("dark", "light"):
                self.page.emulate_media(color_scheme=theme)
                self.look()
        return self

    def see(self, text):
        # A menu that is closed may have the text as well: a key's id is random.
        seen = self.page.get_by_text(text).filter(visible=True)
        expect(seen.first).to_be_visible(timeout=WAIT_MS)
        return self

    def cookie(self):
        name = f"__Host-dhow-{self.cloud.region}"
        return next(c for c in self.context.cookies(self.origin) if c["name"] == name)


@contextmanager
def tab(browser, cloud, **options):
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    try:
        yield Tab(context, cloud)
    finally:
        context.close()
