"""docs/promises.md: each promise of README.md and SECURITY.md stands there, sentence by sentence,
with the tests that would fail if it were false, and these tests exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "promises.md"


def plain(text):
    """Text without Markdown's marks and line breaks."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(text.replace("**", "").replace("`", "").split())


def rows():
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 2 and cells[0] != "promise":
            found.append((plain(cells[0]), re.findall(r"`([^`]+)`", cells[1])))
    return found


def section(page, heading):
    text = (ROOT / page).read_text()
    if heading is None:
        return text.split("\n## ")[0]
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def sentences(page, heading):
    for bullet in re.findall(r"^- (.*?)(?=^- |^### |\n\n|\Z)", section(page, heading), re.M | re.S):
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z`])", plain(bullet)):
            yield sentence


def names_of_tests():
    names = set()
    for path in (ROOT / "crates").rglob("*.rs"):
        tested = r"#\[(?:tokio::)?test[^\n]*\]\s*(?:#\[[^\n]*\]\s*)*(?:async )?fn (\w+)"
        names.update(re.findall(tested, path.read_text()))
    for path in (ROOT / "tests").glob("test_*.py"):
        names.update(re.findall(r"^def (test_\w+)", path.read_text(), re.M))
    return names


def test_each_promise_names_tests_that_exist():
    there, promises = names_of_tests(), rows()
    assert len(promises) > 40
    for promise, tests in promises:
        assert tests, f"no test is named for: {promise}"
        missing = [name for name in tests if name not in there]
        assert not missing, f"{promise}: no such test: {missing}"


def test_no_promise_is_named_twice():
    promises = [promise for promise, _ in rows()]
    assert len(promises) == len(set(promises))


@pytest.mark.parametrize("page,heading", [("README.md", None),
                                          ("SECURITY.md", "What Dhow promises")])
def test_each_sentence_that_promises_is_on_the_page(page, heading):
    promised = {promise for promise, _ in rows()}
    said = list(sentences(page, heading))
    assert len(said) > 5
    missing = [sentence for sentence in said if sentence not in promised]
    assert not missing, f"not in docs/promises.md: {missing}"
