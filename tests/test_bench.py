# SPDX-License-Identifier: GPL-2.0
"""What ifref costs stays within its limits."""

import json
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]


@pytest.mark.issue(4)
@pytest.mark.only("stock")
def test_costs() -> None:
    """scripts/bench, which has the limits, finds none broken, and writes down what it found."""
    written = TOP / "build/bench.json"
    written.unlink(missing_ok=True)
    run = subprocess.run(["scripts/bench"], cwd=TOP, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    fields = {"name", "value", "unit", "kernel", "accelerator"}
    assert all(set(row) == fields for row in json.loads(written.read_text()))
