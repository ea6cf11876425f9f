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
    """scripts/bench breaks no limit, and writes down what it found."""
    written = TOP / "build/bench.json"
    written.unlink(missing_ok=True)
    run = subprocess.run(["scripts/bench"], cwd=TOP, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(written.read_text())
    assert all(set(row) == {"name", "value", "unit", "kernel", "accelerator"} for row in rows)
    cost = {row["name"]: row["value"] for row in rows}
    assert cost["follow_nested_insn"] <= 20
    assert cost["follow_insn"] <= cost["rcu_deref_insn"] + 16
    assert cost["follow_insn"] < cost["dev_get_by_index_rcu_insn"]
    assert cost["ref_get_put_insn"] <= 3 * cost["dev_hold_put_insn"]
    assert cost["packet_ref_insn"] <= cost["ref_get_put_insn"] + 16
    assert cost["share_refcount_x"] < 1.0
    assert cost["share_ifref_x"] >= 1.6
    assert cost["submit_insn"] <= 230
    assert cost["submit_wake_insn"] <= cost["kthread_wake_insn"] + 150
