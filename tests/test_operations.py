# SPDX-License-Identifier: GPL-2.0
"""What reaches a driver, and until when: every operation, called while it is removed."""

from collections.abc import Callable

import pytest
from ifref import Ifref
from lanes import times
from vmlib import Machine

pytestmark = pytest.mark.issue(16)

PARAMS = "/sys/module/ifref_operations/parameters"


@pytest.mark.quick("stock")
def test_nothing_after_quiesce(
    vm: Machine, ifref: Ifref, flavour: str, record_property: Callable[[str, object], None]
) -> None:
    """ethtool, XDP, tc, features, rx mode, work, ioctls, transmit, open: none reaches a driver
    after its quiesce, whoever keeps a reference; the counters do.
    """
    rounds = times(flavour, 20, 1000, named="debug")
    vm.insmod(ifref.module.with_name("ifref_operations.ko"))
    for _ in range(0, rounds, 10):
        vm.sh(f"echo 10 > {PARAMS}/run", timeout=120)
    state = {name: int(vm.read(f"{PARAMS}/{name}")) for name in ("calls", "late", "counted")}
    vm.rmmod("ifref_operations")
    record_property("rounds", rounds)
    record_property("calls", state["calls"])
    assert state["calls"] > 10 * 1000 * rounds
    assert state["counted"] > 1000 * rounds
    assert state["late"] == 0
