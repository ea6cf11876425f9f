# SPDX-License-Identifier: GPL-2.0
"""The books of a FULL run: what it resumes with, and what it says was not run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.issue(3), pytest.mark.only("stock")]

CONFTEST = """
from pathlib import Path
import lanes
lanes.TOP = Path(__file__).parent
def pytest_configure(config):
    for mark in ("issue", "only"):
        config.addinivalue_line("markers", f"{mark}: as there")
    config.pluginmanager.register(lanes.Lanes(), "lanes")
"""

TESTS = """
import os
import pytest
pytestmark = pytest.mark.issue(7)
def test_a():
    pass
def test_b(request):
    if "VOID" in os.environ:
        lanes = request.config.pluginmanager.get_plugin("lanes")
        lanes.void(["tests/test_some.py::test_a"])
    assert "FAIL" not in os.environ
@pytest.mark.issue(8)
def test_c():
    pass
@pytest.mark.only("other")
def test_d():
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with some tests of two issues."""
    for name, text in {
        "conftest.py": CONFTEST,
        "pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['tests']\n",
        "kernel/version": "7.3\n",
        "tests/test_some.py": TESTS,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def full(project: Path, *args: str, **env: str) -> tuple[set[str], dict[int, str]]:
    """The tests of a FULL run that were run, and the counts of its summary by issue."""
    env |= {"FULL": "1", "IFREF_KERNEL": str(project / "kernel"), "PYTHONPATH": ":".join(sys.path)}
    # The run that this test is of has its own choice of tests.
    own = re.compile("IFREF_|FULL|ISSUE|SEED|PYTEST_")
    kept = {key: value for key, value in os.environ.items() if not own.match(key)}
    output = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *args],
        cwd=project,
        env=kept | env,
        capture_output=True,
        text=True,
    ).stdout
    ran = set(re.findall(r"^tests/test_some.py::test_(\w) (?:PASSED|FAILED)", output, re.M))
    counts = re.findall(r"^issue (\d), .*\n  (.*), \d+ min$", output, re.M)
    return ran, {int(issue): count for issue, count in counts}


def test_full_is_resumed(project: Path) -> None:
    """What failed runs again, what passed does not; other issues' tests count as not run."""
    ran, counts = full(project, ISSUE="7", FAIL="1")
    assert ran == {"a", "b"}
    not_run = "0 passed, 0 failed, 1 not run"
    assert counts == {7: "1 passed, 1 failed, 0 not run", 8: not_run}
    ran, counts = full(project, "-k", "test_c")
    assert ran == {"c"}
    passed = "1 passed, 0 failed, 0 not run"
    assert counts == {7: "1 passed, 0 failed, 1 not run", 8: passed}
    ran, counts = full(project)
    assert ran == {"b"}
    assert counts == {7: "2 passed, 0 failed, 0 not run", 8: passed}
    assert full(project)[0] == set()
    # Anything that a result depends on.
    (project / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    assert full(project)[0] == {"a", "b", "c"}


def test_void(project: Path) -> None:
    """What had passed on a machine that turned out to be damaged is run again."""
    assert full(project, FAIL="1", VOID="1")[1][7] == "0 passed, 1 failed, 1 not run"
    assert full(project)[0] == {"a", "b"}


def test_some_of_them_make_no_summary(project: Path) -> None:
    """What was not collected would be missing in "not run"."""
    (project / "tests/test_more.py").write_text(TESTS)
    ran, counts = full(project, "tests/test_some.py")
    assert (ran, counts) == ({"a", "b", "c"}, {})
    assert full(project)[1][7] == "4 passed, 0 failed, 0 not run"
    (project / "tests/test_more.py").write_text("import nothing_like_it\n")
    assert full(project)[1] == {}
