# SPDX-License-Identifier: GPL-2.0
"""The loom model of the order-critical core (tests/model), explored on the host."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.issue(2)

TOP = Path(__file__).parents[1]


def test_model() -> None:
    """Every proof holds, and every broken variant is found."""
    run = subprocess.run(
        [
            *["cargo", "test", "--quiet", "--release", "--target-dir", "build/model"],
            *["--manifest-path", "tests/model/Cargo.toml"],
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert sum(map(int, re.findall(r"ok\. (\d+) passed", run.stdout))) >= 20
