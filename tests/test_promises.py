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


# Pages that promise something beside README.md and SECURITY.md: each has rows, which may not go.
PAGES = {"access": 3, "acls": 2, "conditions": 1, "configuration": 5, "console": 3, "damage": 4,
         "metrics": 2, "peers-bounds": 2, "placement": 8, "policies": 2, "regions": 12,
         "replication-rules": 1, "residency": 8, "sealing": 1, "tls": 1}


def test_the_other_pages_have_their_promises_here():
    named = [page for promise, _ in rows() for page in re.findall(r"\(docs/([\w-]+)\.md\)", promise)]
    missing = sorted(page for page in set(named) if not (ROOT / "docs" / f"{page}.md").exists())
    assert not missing, f"no such pages: {missing}"
    fewer = {page: named.count(page) for page, least in PAGES.items() if named.count(page) < least}
    assert not fewer, f"promises of these pages are gone: {fewer}"


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


# The cases of which docs/cases.md must have a row, and how many attacks on other systems it has.
CASES = ["S13", "S14", "S15", "S16", "S17", "S18", "S19", "S20", "S25", "S26", "S30"]
HOLES = 46
# Tests of what must not be, by their names.
NEGATIVE = re.compile(r"refus|denie[sd]|forged|nobody|hostile|strange|no_region|_not_|never|nothing"
                      r"|^p\d+_|^s\d\d_|^test_p\d|^test_s\d\d")
# Of what decides about access; it may rise, and not fall.
NEGATIVE_MIN = 370


def cases():
    for part in (ROOT / "docs" / "cases.md").read_text().split("\n## ")[1:]:
        lines = [line for line in part.splitlines() if line.startswith("| ") and "`" in line]
        yield [(line.split(" | ")[0].strip("| "), re.findall(r"`(\w+)`", line.split(" | ")[-1]))
               for line in lines]


def test_each_case_of_access_names_tests_that_exist():
    there, (numbered, holes) = names_of_tests(), cases()
    assert [case for case, _ in numbered] == CASES
    assert len(holes) >= HOLES
    for case, tests in numbered + holes:
        assert tests, f"no test is named for: {case}"
        missing = [name for name in tests if name not in there]
        assert not missing, f"{case}: no such test: {missing}"


def test_there_are_as_many_negative_tests_of_access_as_there_were():
    """What is counted is the tests, beside the table of operations and principals, which has
    thousands of refusals (test_refusals.py)."""
    found = set()
    for folder in ("access", "iam", "cloud", "gateway"):
        for path in (ROOT / "crates" / folder).rglob("*.rs"):
            found.update(re.findall(r"#\[(?:tokio::)?test[^\n]*\]\s*(?:async )?fn (\w+)",
                                    path.read_text()))
    for path in (ROOT / "tests").glob("test_*.py"):
        found.update(re.findall(r"^def (test_\w+)", path.read_text(), re.M))
    negative = {name for name in found if NEGATIVE.search(name)}
    assert len(negative) >= NEGATIVE_MIN, len(negative)
