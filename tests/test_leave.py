# SPDX-License-Identifier: GPL-2.0
"""Uses that are asked to leave when their interface goes, and those that do not."""

import time
from collections.abc import Callable

import pytest
from ifref import Ifref
from rigs import Rig
from rigs import pin as pin_rig
from test_leaks import LEFT, USES, insmod, unload
from test_samples import PIN, dummy, holder, load, pin, released, who
from vmlib import Machine

__all__ = ["load"]

pytestmark = [pytest.mark.issue(16), pytest.mark.also("lockdep", quick=False)]

# What a use that does not leave would take.
LONG = 60


def pull(vm: Machine, ifref: Ifref) -> None:
    """d0 goes, and nothing holds it up."""
    begun = time.monotonic()
    vm.sh("ip link del d0")
    vm.wait_until(lambda: released(ifref, "d0"), "the net_device is freed")
    assert time.monotonic() - begun < LONG / 2


def test_pinner_leaves(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """In C: asked once, it leaves, each time anew; by itself, too, if it is not asked."""
    load("pinner")
    for _ in range(2):
        dummy(vm, ifref)
        pin(vm, "leave", LONG)
        assert holder(vm, "pinner", "entered") == 1
        pull(vm, ifref)
        vm.wait_until(f"[ $(cat {PIN}/pin) = idle ]", "it has left")
        vm.sh("echo > /sys/kernel/tracing/trace")
    dummy(vm, ifref)
    pin(vm, "leave", 1)
    vm.wait_until(f"[ $(cat {PIN}/pin) = idle ]", "it is released")
    pin(vm, "leave", LONG)
    vm.sh("rmmod ifref_pinner")
    assert not vm.exists("/sys/kernel/ifref/holders/pinner")


def test_leaves_a_driver_of_devd(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """What devd's free would wait for leaves."""
    rig.attach(0)
    pin_rig(vm, ifref, "rig0", "leave", LONG)
    begun = time.monotonic()
    rig.do("gone 0")
    rig.freed(0)
    assert time.monotonic() - begun < LONG / 2


def test_leaves_in_rust(vm: Machine, ifref: Ifref) -> None:
    """A thread that sleeps in its use."""
    dummy(vm, ifref)
    insmod(vm, ifref, "leaks", "what=6")
    vm.wait_until(lambda: holder(vm, "leaks", "entered") == 1, "it has entered")
    pull(vm, ifref)
    vm.sh("rmmod ifref_leaks")
    assert ifref.said("leaks: left true")


@pytest.mark.parametrize(("name", "what"), [("leaks", 7), ("misuse", "leaves_use")])
def test_does_not_leave(vm: Machine, ifref: Ifref, name: str, what: int | str) -> None:
    """It is named, as any other use; a completion in a module that has gone is not touched."""
    dummy(vm, ifref)
    insmod(vm, ifref, name, f"what={what}")
    vm.sh(f"rmmod ifref_{name}")
    vm.spawn("ip link del d0")
    vm.goes("/sys/class/net/d0")
    vm.sh("sleep 1")
    assert not released(ifref, "d0")
    [found] = who(vm, "d0")["holders"]
    assert (found["holder"], found["entered"]) == (name, 1)
    assert found["entered_age"] >= 1
    unload(vm, ifref, USES.format(name), LEFT.format("(1 references, )?1 uses"))
