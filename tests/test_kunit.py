# SPDX-License-Identifier: GPL-2.0
"""The module's KUnit suites, which run at insmod on the debug kernel, read by the kernel's
kunit.py: each case is a test here."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from ifref import Ifref
from lanes import TOP
from vmlib import Machine

pytestmark = [pytest.mark.issue(3), pytest.mark.only("debug")]

SUITE = re.compile(r"^#\[kunit_tests\((\w+)\)\]\nmod \w+ \{\n(.*?)^\}", re.M | re.S)
CASE = re.compile(r"^    #\[test\]\n    fn (\w+)", re.M)


def cases() -> list[str]:
    """Every case in the sources, as SUITE.CASE."""
    return [
        f"{suite}.{case}"
        for path in sorted((TOP / "rust").rglob("*.rs"))
        for suite, body in SUITE.findall(path.read_text())
        for case in CASE.findall(body)
    ]


@pytest.fixture(scope="module")
def results(shared, kernel: Path, module: Path) -> dict[str, str]:
    """What kunit.py reads out of one insmod's log: SUITE.CASE -> its status."""
    machine: Machine = shared.get()
    handle = Ifref(machine, module)
    machine.sh("dmesg -C")
    handle.load()
    log = machine.sh("dmesg")
    handle.unload()
    run = subprocess.run(
        ["python3", kernel / "src/tools/testing/kunit/kunit.py", "parse", "--json"],
        input=log,
        capture_output=True,
        text=True,
    )
    start = run.stdout.index("{")
    report, _ = json.JSONDecoder().raw_decode(run.stdout[start:])
    found: dict[str, str] = {}

    def read(group: dict) -> None:
        for case in group["test_cases"]:
            found[f"{group['name']}.{case['name']}"] = case["status"]
        for inner in group["sub_groups"]:
            read(inner)

    read(report)
    return found


@pytest.mark.parametrize("case", cases())
def test_case(results: dict[str, str], case: str) -> None:
    """One case of one suite."""
    assert results[case] == "PASS"


def test_no_case_is_left_out(results: dict[str, str]) -> None:
    """What ran is what is in the sources."""
    assert sorted(results) == sorted(cases())
    assert len(results) >= 10
