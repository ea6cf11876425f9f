# SPDX-License-Identifier: GPL-2.0
"""Which tests run on which kernel, how often they repeat, and the books of a FULL run.

A FULL run (``make check FULL=1``) takes long, so it is resumable: what has passed on the very same
sources and kernels is not run again. It is kept by issue in ``build/full/``, and each run ends
with a summary that also says what has not been run; ``ISSUE=`` runs those of one issue.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
FULL = bool(os.environ.get("FULL"))
KERNELS = {
    flavour: Path(os.environ[name])
    for flavour, name in (
        ("stock", "IFREF_KERNEL"),
        ("debug", "IFREF_DEBUG"),
        ("lockdep", "IFREF_LOCKDEP"),
    )
    if os.environ.get(name)
}


# How much more a round costs on a kernel, about.
COST = {"stock": 1, "debug": 10, "lockdep": 10}


def times(flavour: str, quick: int, full: int, named: str = "stock") -> int:
    """How often to repeat.

    ``full`` is the count that an issue names for the kernel ``named``; another kernel, and a run
    that is not FULL, get what they can in a reasonable time.
    """
    if FULL and flavour == named:
        return full
    return max(2, (full if FULL else quick) // COST[flavour])


def version(flavour: str) -> str:
    """A kernel's release."""
    return (KERNELS[flavour] / "version").read_text().strip()


def first_line(*command: str) -> str:
    """The first line that a program prints."""
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]


# What a result depends on, but for the kernels.
SOURCES = ["Kbuild", "Makefile", "pyproject.toml", "rust", "include", "samples", "scripts", "tests"]
# What tests compare with the module, or compile.
SOURCES += ["Documentation/ABI", "Documentation/drivers.rst"]


def sources() -> str:
    """A name for all that a result depends on: sources, tests, kernels."""
    digest = hashlib.sha256(" ".join(str(path) for path in KERNELS.values()).encode())
    if other := os.environ.get("IFREF_MODULE"):
        digest.update(Path(other).read_bytes())
    for folder in SOURCES:
        top = TOP / folder
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.name != "Cargo.lock":
                digest.update(str(path.relative_to(TOP)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def flavour(item: pytest.Item) -> str | None:
    """The kernel that a test runs on, if it asks for one."""
    spec = getattr(item, "callspec", None)
    return spec.params.get("flavour") if spec else None


def lanes(item: pytest.Item) -> set[str]:
    """The kernels that a test is for. What asks for no kernel runs beside the first one."""
    its = set(KERNELS) - {"lockdep"}
    for mark in item.iter_markers():
        if mark.name == "only" or (mark.name == "quick" and not FULL):
            its &= set(mark.args)
    for mark in item.iter_markers("also"):
        if FULL or mark.kwargs.get("quick", True):
            its |= set(KERNELS) & set(mark.args)
    return its


class Lanes:
    """The pytest plugin that does all this."""

    def __init__(self) -> None:
        self.key = sources() if FULL else ""
        self.store = TOP / "build/full" / f"{self.key}.jsonl"
        self.books: dict[str, dict] = {}
        self.issues: dict[str, int] = {}
        # Whether all tests there are were collected: otherwise nobody knows what was not run.
        self.whole = True
        if FULL and self.store.exists():
            for line in self.store.read_text().splitlines():
                one = json.loads(line)
                if one["outcome"] == "passed":
                    self.books[one["test"]] = one
                else:
                    self.books.pop(one["test"], None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Notes what could not be collected."""
        self.whole &= not report.failed

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Iterator[None]:
        """Leaves out what is not for a kernel or has passed before; puts kernels in their order."""
        here = config.invocation_params.dir
        self.whole &= {(here / path).resolve() for path in config.args} <= {TOP, TOP / "tests"}
        for item in items:
            issue = item.get_closest_marker("issue")
            assert issue, f"{item.nodeid}: which issue is it for?"
            if (flavour(item) or "stock") in lanes(item):
                self.issues[item.nodeid] = issue.args[0]
        # What was asked for by name or mark.
        yield
        only = os.environ.get("ISSUE")
        kept, left = [], []
        for item in items:
            issue = self.issues.get(item.nodeid)
            wanted = issue and only in (None, "", str(issue)) and item.nodeid not in self.books
            (kept if wanted else left).append(item)

        def order(item: pytest.Item) -> tuple:
            # What the harness's tests guard, all others rely on; one kernel after the other.
            kernels = [None, *KERNELS]
            return (item.path.name != "test_harness.py", kernels.index(flavour(item)))

        items[:] = sorted(kept, key=order)
        config.hook.pytest_deselected(items=left)

    def note(self, one: dict) -> None:
        """Adds a line to the store."""
        self.store.parent.mkdir(parents=True, exist_ok=True)
        with self.store.open("a") as store:
            store.write(json.dumps(one) + "\n")

    def void(self, tests: list[str]) -> None:
        """That these have passed says nothing any more."""
        for test in tests:
            if FULL and self.books.pop(test, None):
                self.note({"test": test, "outcome": "void"})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes down at once what has passed, so that nothing is lost by an interrupt."""
        if not FULL:
            return
        if report.when == "setup":
            self.last = time.monotonic()
        if report.failed:
            self.books[report.nodeid] = {"outcome": "failed"}
        elif report.when == "teardown" and report.nodeid not in self.books:
            one = {
                "test": report.nodeid,
                "issue": self.issues[report.nodeid],
                "outcome": "passed",
                "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
                "seconds": round(time.monotonic() - self.last, 1),
                **dict(report.user_properties),
            }
            self.books[report.nodeid] = one
            self.note(one)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The summary by issue, also in ``build/full/issue-N.txt``."""
        if not FULL:
            return
        if not self.whole:
            terminalreporter.write_line("no summary by issue: not all tests were collected")
            return
        for issue in sorted(set(self.issues.values())):
            text = self.summary(issue)
            path = TOP / f"build/full/issue-{issue}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            terminalreporter.write_line(f"issue {issue}, {path.relative_to(TOP)}:")
            terminalreporter.write_line("  " + text.splitlines()[0])

    def summary(self, issue: int) -> str:
        """All about one issue's tests."""
        mine = {test: self.books.get(test) for test, its in self.issues.items() if its == issue}
        count = Counter(one["outcome"] if one else "not run" for one in mine.values())
        done = [one for one in mine.values() if one and one["outcome"] == "passed"]
        seconds = sum(one["seconds"] for one in done)
        dates = sorted({one["date"] for one in done})
        lines = [
            f"{count['passed']} passed, {count['failed']} failed, {count['not run']} not run, "
            f"{seconds / 60:.0f} min",
            f"date     {' to '.join(dict.fromkeys(dates[:1] + dates[-1:]))}",
            f"sources  {self.key}",
            *[f"kernel   {version(flavour)} ({flavour})" for flavour in KERNELS],
            f"rustc    {first_line('rustc', '--version')}",
            f"QEMU     {first_line('qemu-system-x86_64', '--version')}",
            "",
        ]
        for test, one in sorted(mine.items()):
            if not one or one["outcome"] != "passed":
                lines.append(f"{one['outcome'] if one else 'not run':8}          {test}")
                continue
            extra = {
                name: value
                for name, value in one.items()
                if name not in ("test", "issue", "outcome", "date", "seconds")
            }
            figures = ", ".join(f"{name}={value}" for name, value in extra.items())
            lines.append(f"passed {one['seconds']:8.1f} s  {test}{figures and '  ' + figures}")
        return "\n".join(lines) + "\n"
