"""The console in each of its languages, in a real browser (consoles.py)."""

import ast
import re
import urllib.parse
from pathlib import Path

import pytest
from playwright.sync_api import expect

from consoles import CHROMIUM, WAIT_MS, tab

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)

CONSOLE = Path(__file__).parent.parent / "crates/console"
BUCKET = "languages-of-the-console"
# Language, direction, its own name, and "Sign in" in it.
LANGUAGES = [
    ("zh-CN", "ltr", "简体中文", "登录"),
    ("de", "ltr", "Deutsch", "Anmelden"),
    ("ja", "ltr", "日本語", "サインイン"),
    ("ar", "rtl", "العربية", "تسجيل الدخول"),
]
EACH = pytest.mark.parametrize("lang, direction, own, sign_in", LANGUAGES, ids=lambda v: str(v)[:5])
# Names as people write them: Arabic, mixed directions, and one that would turn its neighbours.
NAMES = ["تقرير المبيعات.pdf", "صورة-2024 (final).jpg", "readme-اقرأني.txt", "שלום/קובץ.txt", "2026/01.txt",
         "plain.txt", "a\u202egnp.exe"]


def messages(lang):
    """English texts with their translations, without those that have values or forms."""
    found, text = {}, (CONSOLE / f"messages/{lang}.po").read_text(encoding="utf-8")
    for block in text.split("\n\n"):
        fields = re.findall(r'^(msgid|msgid_plural|msgstr\S*) ((?:"(?:[^"\\]|\\.)*"\n?)+)', block, re.M)
        fields = {name: "".join(map(ast.literal_eval, strings.split("\n")[:-1] or [strings]))
                  if strings.endswith("\n") else "".join(map(ast.literal_eval, strings.split("\n")))
                  for name, strings in fields}
        if fields.get("msgid") and "msgstr" in fields and "{" not in fields["msgid"]:
            found[fields["msgid"]] = fields["msgstr"]
    return found


@pytest.fixture(scope="module")
def filled(s3):
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for name in NAMES:
        for body in (b"first", "النص الأول".encode()):
            s3.put_object(Bucket=BUCKET, Key=name, Body=body, ContentType="text/plain")
    s3.put_object(Bucket=BUCKET, Key="gone.txt", Body=b"x")
    s3.delete_object(Bucket=BUCKET, Key="gone.txt")
    return BUCKET


def pages(bucket):
    def of_object(key, page="o"):
        return f"/b/{bucket}/{page}?key=" + urllib.parse.quote(key, safe="")

    return ["/", "/new", "/connect", "/keys", "/sessions", "/regions", "/placements", "/accounts",
            "/audit", f"/b/{bucket}", f"/b/{bucket}?versions=1", f"/b/{bucket}/rules",
            f"/b/{bucket}/policy", f"/b/{bucket}/bulk", "/jobs", "/users", "/groups",
            "/roles", "/policies", "/simulate",
            f"/b/{bucket}/where", f"/b/{bucket}/where?check=1", of_object(NAMES[0]),
            of_object("gone.txt"), of_object(NAMES[0], "share")]


def english_left(one, lang):
    """English texts of ours on a page, apart from those that are the same in both languages."""
    known = {english for english, own in messages(lang).items() if english != own}
    seen = one.page.evaluate("""() => {
      const seen = [], walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        const inside = walk.currentNode.parentElement;
        // Another language's name, code, and what users and S3 call things.
        if (!inside.closest("script, style, code, pre, option:not(:checked), .languages button")) {
          seen.push(walk.currentNode.data.trim());
        }
      }
      for (const name of ["aria-label", "title", "placeholder", "alt"]) {
        for (const found of document.querySelectorAll(`[${name}]`)) seen.push(found.getAttribute(name));
      }
      return seen;
    }""")
    return sorted({text for text in seen if text in known})


@EACH
def test_a_browser_gets_its_language(browser, cloud, lang, direction, own, sign_in):
    with tab(browser, cloud, locale=lang) as one:
        one.open("/signin").look()
        html = one.page.locator("html")
        assert html.get_attribute("lang") == lang and html.get_attribute("dir") == direction
        expect(one.page.get_by_role("heading", level=1)).to_have_text(sign_in)
        # What the server says to the script, too.
        one.page.fill("#access", cloud.access_key)
        one.page.fill("#secret", "wrong")
        one.page.click("#signin button.primary")
        problem = messages(lang)["The access key or the secret key is wrong, or the key is disabled."]
        one.see(problem).forgive(403).look(axe=False)
        one.sign_in().look()
        assert html.get_attribute("lang") == lang


@EACH
def test_a_language_is_chosen_and_stays(browser, cloud, lang, direction, own, sign_in):
    with tab(browser, cloud) as one:
        one.open("/signin?next=%2Fsessions")
        assert one.page.locator("html").get_attribute("lang") == "en"
        one.page.get_by_role("button", name=own).click()
        html = one.page.locator("html")
        expect(html).to_have_attribute("lang", lang)
        assert html.get_attribute("dir") == direction
        assert "next=%2Fsessions" in one.page.url, "the page is the same one"
        expect(one.page.get_by_role("button", name=own)).to_have_attribute("aria-pressed", "true")
        one.look(axe=False)
        one.sign_in(path="/sessions")
        expect(html).to_have_attribute("lang", lang)
        cookie = next(c for c in one.context.cookies(one.origin) if c["name"] == "__Host-dhow-language")
        assert cookie["value"] == lang and cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        # And back, where somebody is signed in.
        one.page.click("details.who summary")
        one.page.get_by_role("button", name="English").click()
        expect(html).to_have_attribute("lang", "en")
        assert one.page.url.endswith("/sessions")


def test_another_language_than_there_are_is_refused(browser, cloud):
    with tab(browser, cloud) as one:
        one.open("/signin")
        one.page.evaluate("document.querySelector('.languages button').value = 'xx'")
        one.page.locator(".languages button").first.click()
        one.see("There is no such language.").forgive(400)
        assert not [c for c in one.context.cookies(one.origin) if "language" in c["name"]]


@EACH
def test_pages_are_in_the_language_and_fit(browser, cloud, filled, lang, direction, own, sign_in):
    # A key of its own: what failed in jobs of others is told in the language of who began them.
    key = cloud.cli_json("key", "create", "--account", "root", "--json")
    with tab(browser, cloud, locale=lang) as one:
        one.sign_in(key["access_key"], key["secret_key"])
        for path in pages(filled):
            one.page.set_viewport_size({"width": 1440, "height": 900})
            one.open(path).look()
            assert one.page.locator("html").get_attribute("dir") == direction
            assert english_left(one, lang) == [], path
            one.page.set_viewport_size({"width": 360, "height": 800})
            one.look(axe=False)
        one.open("/b/no-such-bucket-here", status=404).look()
        assert english_left(one, lang) == []


def test_names_of_any_direction_are_whole_and_do_not_turn_what_is_beside_them(browser, cloud, filled):
    for locale in ("en", "ar"):
        with tab(browser, cloud, locale=locale) as one:
            one.sign_in(path=f"/b/{filled}?flat=1").look()
            for name in NAMES:
                shown = name.replace("\u202e", "⟨U+202E⟩")
                link = one.page.locator("tbody th a bdi").filter(has_text=shown)
                expect(link).to_have_text(shown, timeout=WAIT_MS)
                isolated = link.evaluate("e => getComputedStyle(e).unicodeBidi")
                assert isolated == "isolate", (name, isolated)
            # As a value in a text of ours.
            for name in (NAMES[2], "plain.txt"):
                label = one.page.locator(f'input[value="{name}"]').get_attribute("aria-label")
                wrapped = locale == "ar" or name == NAMES[2]
                assert (f"\u2068{name}\u2069" if wrapped else name) in label, label
            # A folder of digits is not turned either.
            one.open(f"/b/{filled}?prefix=2026%2F")
            expect(one.page.locator(".path bdi").last).to_have_attribute("dir", "ltr")
            expect(one.page.locator("#prefix")).to_have_attribute("dir", "ltr")
            # As a heading; what a name hides is still seen.
            one.open(f"/b/{filled}/o?key=" + urllib.parse.quote(NAMES[2]))
            expect(one.page.get_by_role("heading", level=1)).to_have_text(NAMES[2])
            one.open(f"/b/{filled}/o?key=" + urllib.parse.quote("a\u202egnp.exe"))
            expect(one.page.get_by_role("heading", level=1)).to_have_text("a⟨U+202E⟩gnp.exe")


def test_a_flow_in_arabic(browser, cloud, filled, tmp_path):
    text = messages("ar")
    file = tmp_path / "ملف جديد.txt"
    file.write_text("مرحبًا", encoding="utf-8")
    with tab(browser, cloud, locale="ar") as one:
        one.sign_in().look()
        one.page.get_by_role("link", name=filled).click()
        one.page.wait_for_selector("table.objects")
        one.look().page.set_input_files("[data-upload]:not([webkitdirectory])", file)
        expect(one.page.locator("#uploads")).to_have_attribute("data-state", "done", timeout=WAIT_MS)
        expect(one.page.locator("#uploads [data-total]")).to_contain_text("الملفات:")
        one.look()
        one.page.get_by_role("link", name=text["Show the new objects"]).click()
        one.page.get_by_role("link", name=file.name).click()
        one.see("مرحبًا").look()
        one.page.get_by_role("button", name=text["Delete"], exact=True).click()
        one.see("حذف كائن واحد").look()
        tick = one.page.get_by_label(text["Yes, delete what is listed above"])
        tick.check()
        one.page.get_by_role("button", name="حذف كائن واحد").click()
        one.page.wait_for_selector("table.objects")
        expect(one.page.get_by_role("link", name=file.name)).to_have_count(0)
        one.page.click("details.who summary")
        one.page.get_by_role("button", name=text["Sign out"]).click()
        one.page.wait_for_selector("#signin")
        expect(one.page.locator("html")).to_have_attribute("dir", "rtl")
        one.look()


def test_numbers_have_the_separators_of_the_language(browser, cloud, s3, filled):
    s3.put_object(Bucket=filled, Key="sizes/1536", Body=b"x" * 1536)
    for locale, size, exact in (("en", "1.50 KiB", "1,536 bytes"), ("de", "1,50 KiB", "1.536 Bytes")):
        with tab(browser, cloud, locale=locale) as one:
            one.sign_in(path=f"/b/{filled}?prefix=sizes%2F")
            found = one.page.locator("tbody td .num")
            expect(found).to_have_text(size)
            expect(found).to_have_attribute("title", exact)
