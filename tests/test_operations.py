# SPDX-License-Identifier: GPL-2.0
"""What reaches a driver, and until when: every operation, called while it is removed."""

from collections.abc import Callable

import pytest
from ifref import Ifref
from lanes import times
from rigs import Rig
from vmlib import Machine

pytestmark = pytest.mark.issue(16)

PARAMS = "/sys/module/ifref_operations/parameters"


@pytest.mark.quick("stock")
def test_nothing_after_quiesce(
    vm: Machine, ifref: Ifref, flavour: str, record_property: Callable[[str, object], None]
) -> None:
    """ethtool, XDP, tc, features, rx mode, work, ioctls, transmit, open: none reaches a driver
    after its quiesce, even for a caller with a reference; the counters do.
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


@pytest.mark.only("stock")
def test_removed_while_the_machine_is_frozen(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Suspend waits for no removal, and a removal that an interrupt submits waits for no thaw."""
    for nic in range(3):
        rig.attach(nic)
    vm.sh("echo freezer > /sys/power/pm_test")
    # Two begin while all is being frozen; the freezer stays for five seconds.
    rig.do("irq 0 1500000", "range 1 2")
    vm.sh("echo freeze > /sys/power/state; echo none > /sys/power/pm_test")
    for nic in range(3):
        assert rig.freed(nic)["took"] < 3_000_000
