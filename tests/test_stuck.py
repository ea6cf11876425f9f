# SPDX-License-Identifier: GPL-2.0
"""Removals that do not come to their end: who is told, and that no other one waits."""

import time

import pytest
from ifref import ROOT, Ifref
from lanes import FULL
from rigs import WAITS, Rig, pin, stats, unpin
from vmlib import Machine

pytestmark = pytest.mark.issue(5)

# Waits for a file's sysfs_notify().
POLL = """
import select, sys
with open(sys.argv[1]) as file:
    file.read()
    print("listens", flush=True)
    poll = select.poll()
    poll.register(file, select.POLLPRI | select.POLLERR)
    print("told" if poll.poll(60000) else "not told")
"""


@pytest.fixture
def impatient(vm: Machine, ifref: Ifref) -> None:
    """ifref, with a short deadline for drains."""
    ifref.unload()
    ifref.load("drain_deadline_ms=1000")


@pytest.mark.alone
@pytest.mark.quick("stock")
def test_head_of_line(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig, record_property
) -> None:
    """A use is kept on one: the others of its batch and later ones are freed as if it were not."""
    many = range(1, 26)

    def removal() -> int:
        rig.do(*[f"make {nic}" for nic in many], *[f"attach {nic}" for nic in many])
        rig.do("range 0 12", "range 13 25")
        vm.wait_until(lambda: all(rig.states()[nic]["freed"] for nic in many), "all are freed")
        states = rig.states()
        return max(states[nic]["took"] for nic in many)

    alone = []
    for _ in range(4):
        rig.attach(0)
        alone.append(removal())
        rig.freed(0)
    rig.attach(0)
    # On a slow host those before it may have been late, too.
    serial = ifref.serial("rig0")
    with vm.expects(*WAITS, must=False):
        rig.do("dev_hold 0")
        # In its batch, and after it.
        stuck = [removal() for _ in range(4)]
        rig.kept(0, 0)
        told = f"ifnet {serial}: 1 references of the kernel"
        vm.wait_until(lambda: ifref.said(rf"ifnet {serial}\) .*stuck: unlinked"), "the report")
        vm.wait_until(lambda: ifref.said(told), "whose")
        [event] = [event for event in ifref.trace("ifref_stuck") if event["serial"] == str(serial)]
        assert event["stage"] == "unlinked" and int(event["ms"]) >= 1000
        rig.do("dev_put 0")
        rig.freed(0)
    # The best one of each: it shares the host with others.
    assert min(stuck) < 1.5 * min(alone), (stuck, alone)
    record_property("alone_us", min(alone))
    record_property("stuck_us", min(stuck))
    vm.wait_until(lambda: ifref.said("rig0 .*freed after"), "the end is told")
    assert stats(vm)["stuck"] >= 1


@pytest.mark.quick("stock")
def test_a_stuck_removal_names_its_holder(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig
) -> None:
    """Holder, count and age of what keeps it; the driver's own holds. Who listens is told."""
    rig.attach(0)
    serial = ifref.serial("rig0")
    monitor = vm.spawn("exec udevadm monitor --kernel --property --subsystem-match=ifref")
    polled = vm.spawn(["python3", "-c", POLL, f"{ROOT}/ifnets/{serial}/state"])
    vm.wait_until(lambda: b"KERNEL" in monitor.stdout and polled.stdout, "both listen")
    pin(vm, ifref, "rig0", "enter", 60)
    rig.do("hold_softc 0", "gone 0")
    held = rf"ifnet {serial}: 1 uses of holder pinner, the oldest for \d"
    vm.wait_until(lambda: ifref.said(held), "the report")
    assert ifref.said("rig0 .*stuck: drained.*held by the driver 1 times")
    assert polled.wait().stdout.split() == ["listens", "told"]
    rig.do("release_softc 0")
    unpin(vm)
    rig.freed(0)
    vm.wait_until(lambda: monitor.stdout.count(b"IFREF_EVENT") == 2, "both events")
    monitor.kill()
    events = monitor.stdout.decode().split("\n\n")
    for event, what in zip(events[-3:], ("stuck", "over"), strict=False):
        lines = event.splitlines()
        assert f"DEVPATH=/kernel/ifref/ifnets/{serial}" in lines, events
        for line in ("ACTION=change", "SUBSYSTEM=ifref", "INTERFACE=rig0", f"IFREF_EVENT={what}"):
            assert line in lines, events


def test_stuck_when_its_namespace_is_dead(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig
) -> None:
    """Nobody is left there to be told, and that is no trouble."""
    rig.attach(0, 2, up=False)
    pin(vm, ifref, "rig0", "enter", 60)
    vm.sh("ip netns add n0; ip link set rig0 netns n0; ip netns del n0")
    vm.wait_until(lambda: ifref.said("rig0 .*stuck: drained"), "the report")
    # What the namespace had is freed by now.
    vm.sh("sleep 0.5")
    unpin(vm)
    rig.freed(0)
    vm.wait_until(lambda: ifref.said("rig0 .*freed after"), "the end is told")


@pytest.mark.quick("stock")
@pytest.mark.parametrize("callback", ["quiesce", "free"])
def test_a_callback_that_sleeps_delays_its_own(vm: Machine, rig: Rig, callback: str) -> None:
    """All others of its batch go on."""
    seconds = 30 if FULL else 6
    for nic in range(4):
        rig.attach(nic)
    rig.do(f"{callback}_ms 0 {seconds * 1000}", "range 0 3")
    for nic in range(1, 4):
        rig.freed(nic, 4)
    assert rig.state(0)["freed"] == 0
    rig.attach(4)
    rig.do("gone 4")
    rig.freed(4, 3)
    assert rig.state(0)["freed"] == 0
    rig.freed(0, seconds + 10)


@pytest.mark.quick("stock")
@pytest.mark.parametrize("callback", ["quiesce", "free"])
def test_a_stuck_callback_is_reported(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig, callback: str
) -> None:
    """A driver that does not return, and is all there is: what it is in, and for how long."""
    rig.attach(0)
    # devd has slept since: when the removal began only who has woken it knows.
    vm.sh("sleep 1")
    begun = time.monotonic()
    rig.do(f"{callback}_ms 0 5000", "gone 0")
    vm.wait_until(lambda: ifref.said(f"rig0 .*stuck: .* in its {callback}"), "the report")
    rig.freed(0)
    vm.wait_until(lambda: ifref.said("rig0 .*freed after"), "the end is told")
    assert 5 <= stats(vm)["freed_last_us"] / 1e6 < time.monotonic() - begun
