"""A form upload by a real browser: a page submits its own form, and the server has the object."""

import html
import json
import shutil
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

CHROMIUM = shutil.which("chromium")

PAGE = """<!doctype html><meta charset="utf-8"><title>upload</title>
<form id="form" method="post" enctype="multipart/form-data" action="{action}">{fields}
<input type="file" name="file" id="file"></form>
<script>
const files = new DataTransfer();
files.items.add(new File([{content}], {name}, {{type: "text/plain"}}));
document.getElementById("file").files = files.files;
document.getElementById("form").submit();
</script>"""


def submit(tmp_path, form, name, content):
    """Opens the page in the browser until it is stopped; answers the process."""
    fields = "".join(
        f'<input type="hidden" name="{html.escape(k)}" value="{html.escape(v)}">'
        for k, v in form["fields"].items()
    )
    page = tmp_path / "form.html"
    page.write_text(PAGE.format(
        action=html.escape(form["url"]), fields=fields,
        content=json.dumps(content), name=json.dumps(name),
    ))
    return subprocess.Popen(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0",
            page.as_uri(),
        ],
        stdout=subprocess.DEVNULL, stderr=open(tmp_path / "chromium.log", "wb"),
    )


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: run tests/setup.sh")
def test_a_browser_uploads_by_a_form(cloud, s3, bucket, tmp_path):
    form = s3.generate_presigned_post(
        bucket, "from/${filename}",
        Fields={"Content-Type": "text/plain", "x-amz-meta-by": "a browser"},
        Conditions=[
            ["starts-with", "$key", "from/"], {"Content-Type": "text/plain"},
            {"x-amz-meta-by": "a browser"}, ["content-length-range", 1, 1000],
        ],
    )
    name, content = "späte Größe.txt", "two lines,\r\nand ünïcode\n"
    browser = submit(tmp_path, form, name, content)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                found = s3.get_object(Bucket=bucket, Key=f"from/{name}")
                break
            except ClientError as error:
                assert error.response["Error"]["Code"] == "NoSuchKey"
                log = (tmp_path / "chromium.log").read_text(errors="replace")
                assert browser.poll() is None, log[-2000:]
                assert time.monotonic() < deadline, log[-2000:]
                time.sleep(0.1)  # only asking the server tells
    finally:
        browser.kill()
        browser.wait()
    assert found["Body"].read() == content.encode()
    assert found["ContentType"] == "text/plain"
    assert found["Metadata"] == {"by": "a browser"}
