"""The console without a pointer: signing in, a bucket, an upload, a policy and a deletion by the keys
of the keyboard alone. Wherever the focus goes it is seen, and it is led nowhere by numbers."""

import json

import pytest
from playwright.sync_api import expect

from consoles import CHROMIUM, WAIT_MS, tab

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh"
)
# Presses of Tab to anywhere on a page.
FAR = 150
# What has the focus: its name, and whether people see that it has it.
FOCUS = """() => {
  const one = document.activeElement;
  const label = one.labels?.[0];
  // A field that is hidden is shown by its label.
  const shown = label && one.classList.contains("hide") ? label : one;
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  const box = shown.getBoundingClientRect();
  const inside = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight;
  const name = one.getAttribute("aria-label") ?? label?.innerText ?? one.innerText;
  return {
    name: name.trim(), id: one.id, tag: one.tagName, inside,
    ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
  };
}"""


def focus(one):
    return one.page.evaluate(FOCUS)


def go(one, name):
    """Presses Tab until what is called so has the focus."""
    passed = []
    for _ in range(FAR):
        one.page.keyboard.press("Tab")
        now = focus(one)
        if now["tag"] == "BODY":
            continue
        assert now["ring"] and now["inside"], f"the focus is not seen: {now}"
        if name in (now["name"], now["id"]):
            return one
        passed.append(now["name"] or now["id"])
    raise AssertionError(f"no way to {name} by Tab: {passed}")


def press(one, name, key="Enter"):
    go(one, name).page.keyboard.press(key)
    return one


def write(one, id, text):
    go(one, id).page.keyboard.press("Control+A")
    one.page.keyboard.insert_text(text)
    return one


def test_everything_is_done_by_the_keyboard(browser, cloud, s3, bucket, tmp_path):
    upload = tmp_path / "by-keyboard.txt"
    upload.write_text("typed")
    # Without motion, what has the focus is where it will be.
    with tab(browser, cloud, reduced_motion="reduce") as one:
        one.open("/signin")
        # The first field has the focus already.
        assert focus(one)["id"] == "access"
        one.page.keyboard.insert_text(cloud.access_key)
        one.page.keyboard.press("Tab")
        one.page.keyboard.insert_text(cloud.secret_key)
        one.page.keyboard.press("Enter")
        one.page.wait_for_selector("header.top")
        # The first stop skips the menu.
        one.page.keyboard.press("Tab")
        assert focus(one)["name"] == "Skip to the content" and focus(one)["inside"]
        one.page.keyboard.press("Enter")
        assert focus(one)["id"] == "main"
        write(one, "prefix", bucket).page.keyboard.press("Enter")
        one.page.wait_for_url(f"**/?prefix={bucket}*")
        press(one, bucket)
        one.page.wait_for_url(f"**/b/{bucket}")
        with one.page.expect_file_chooser() as chosen:
            press(one, "Upload files", "Space")
        chosen.value.set_files(upload)
        one.page.wait_for_selector("#uploads[data-state=done]")
        press(one, "Show the new objects")
        expect(one.page.locator("tbody tr")).to_have_count(1, timeout=WAIT_MS)
        # A policy: the text field lets the focus go on.
        press(one, "Policy")
        one.page.wait_for_url(f"**/b/{bucket}/policy")
        policy = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
            "Resource": f"arn:aws:s3:::{bucket}"}]}
        write(one, "document", json.dumps(policy))
        press(one, "Check it and show what changes")
        one.see("Save the policy")
        press(one, "Save the policy")
        one.see("Saved.").look()
        assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
        # Deleting: chosen, shown, typed, done.
        one.open(f"/b/{bucket}")
        one.page.keyboard.press("j")
        one.page.keyboard.press("x")
        expect(one.page.get_by_label("Choose by-keyboard.txt")).to_be_checked(timeout=WAIT_MS)
        press(one, "Delete 1 chosen")
        one.see("Nothing brings this back")
        write(one, "name", bucket)
        press(one, "Delete 1 object")
        one.see("This bucket is empty.").look()
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
        # No number changes the order in which the focus goes.
        assert one.page.locator("[tabindex]:not([tabindex='-1']):not([tabindex='0'])").count() == 0


def test_single_keys_do_something_until_they_are_switched_off(browser, cloud, bucket):
    with tab(browser, cloud, reduced_motion="reduce") as one:
        # Whoever listens before the page is there misses no chooser.
        one.page.on("filechooser", lambda _: None)
        one.sign_in().open(f"/b/{bucket}")
        keyboard, known = one.page.keyboard, one.page.get_by_role("dialog")
        with one.page.expect_file_chooser():
            keyboard.press("u")
        keyboard.press("?")
        expect(known).to_be_visible()
        one.look()
        # The dialog has the focus, and gives it back; no key does anything below it.
        keyboard.press("g")
        keyboard.press("s")
        keyboard.press("Escape")
        expect(known).to_be_hidden()
        for key, path in (("r", "/regions"), ("b", "/"), ("s", "/sessions")):
            keyboard.press("g")
            keyboard.press(key)
            one.page.wait_for_url(one.origin + path)
        keyboard.press("?")
        press(one, "These keys do something in this browser", "Space")
        press(one, "Close")
        one.open("/sessions")
        for key in ("g", "b", "?"):
            keyboard.press(key)
        # They would have led away, or opened the list, before this is answered.
        one.open("/sessions")
        assert one.page.url == one.origin + "/sessions" and known.count() == 0
        # The menu brings them back.
        one.page.click("details.who summary")
        one.page.get_by_role("button", name="Keys of the keyboard").click()
        one.look().page.get_by_label("These keys do something").check()
        press(one, "Close")
        keyboard.press("Escape")
        keyboard.press("g")
        keyboard.press("b")
        one.page.wait_for_url(one.origin + "/")
