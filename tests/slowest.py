"""Prints the slowest Rust tests of the last run, from the report that nextest writes."""

import sys
import xml.etree.ElementTree as ET

SHOWN = 15


def slowest(report, shown=SHOWN):
    """(seconds, crate and test) of the slowest tests, and the seconds of all together."""
    suites = ET.parse(report).getroot().iter("testsuite")
    cases = [(float(case.get("time", 0)), f"{suite.get('name')} {case.get('name')}")
             for suite in suites for case in suite.iter("testcase")]
    return sorted(cases, reverse=True)[:shown], sum(seconds for seconds, _ in cases)


def main(report):
    tests, total = slowest(report)
    print(f"\nslowest {len(tests)} Rust tests (all together {total:.0f} s):")
    for seconds, name in tests:
        print(f"{seconds:8.2f}s  {name}")


if __name__ == "__main__":
    main(sys.argv[1])
