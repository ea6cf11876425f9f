# SPDX-License-Identifier: GPL-2.0
"""What ifref costs stays within its limits."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from lanes import FULL

TOP = Path(__file__).parents[1]


def measured(*command: str) -> Iterable[str]:
    """Runs what measures and judges, and returns the names of what it wrote down."""
    written = TOP / "build/bench.json"
    written.unlink(missing_ok=True)
    run = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    print(run.stdout)
    rows = json.loads(written.read_text())
    fields = {"name", "value", "unit", "kernel", "accelerator"}
    assert all(set(row) == fields for row in rows)
    return {row["name"] for row in rows}


@pytest.mark.issue(4)
@pytest.mark.only("stock")
@pytest.mark.alone
def test_costs() -> None:
    """scripts/bench, which has the limits, finds none broken, and writes down what it found."""
    drawn = TOP / "build/bench.svg"
    drawn.unlink(missing_ok=True)
    names = {"follow_insn", "submit_insn", "packet_rx_vnic_insn", "share_ifref_x", "vnic_lines"}
    assert measured("scripts/bench") >= names
    assert drawn.read_text().count("<path") > 10


@pytest.mark.issue(5)
@pytest.mark.only("stock")
def test_storm() -> None:
    """scripts/storm: devd is as fast as one batch of the kernel's, in one RTNL section."""
    sizes = ["16", "64", "256", "1000"] if FULL else ["16", "64"]
    names = measured("scripts/storm", *sizes)
    how = ("devd", "rust", "sequential", "batch")
    assert {f"storm_{n}_{way}_s" for n in sizes for way in how} <= names
    assert (TOP / "build/storm.svg").read_text().count("<path") > 10
