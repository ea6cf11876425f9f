# SPDX-License-Identifier: GPL-2.0
"""What watches over the other tests, each shown a deliberate fault that it must report."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ifref import Ifref
from vmlib import LogTrouble, Machine

pytestmark = [pytest.mark.issue(3), pytest.mark.only("debug")]

FAULT = "/sys/module/ifref_fault/parameters/fault"

# The order matters: KASAN speaks once, and both it and lockdep switch lockdep off.
REPORTED = {
    "atomic": "sleeping function called from invalid context",
    "rcu": "WARNING: suspicious RCU usage",
    "object": "ODEBUG: free active",
    "list": "list_del corruption",
    "lockdep": "possible circular locking dependency",
    "kasan": "KASAN: slab-use-after-free in fault_kasan",
}


@pytest.fixture(scope="module")
def machine(kernel: Path, module: Path) -> Iterator[Machine]:
    """A machine to be spoilt."""
    with Machine(kernel) as machine:
        machine.sh(f"modprobe dummy; insmod {module.parent}/tests/faults/ifref_fault.ko")
        yield machine


def test_silence(machine: Machine) -> None:
    """Without a fault, nobody says anything."""
    machine.check_leaks()
    machine.check_log()


def test_kmemleak(machine: Machine) -> None:
    """Memory that was forgotten is found at the end of a machine."""
    machine.write(FAULT, "leak")
    with pytest.raises(LogTrouble, match=r"(?s)unreferenced object.*size 1024.*fault_leak"):
        machine.check_leaks()
    # It also says so in the log.
    with pytest.raises(LogTrouble, match="new suspected memory leaks"):
        machine.check_log()


def test_refcount_tracker(machine: Machine) -> None:
    """A reference that was put by somebody else's put is told with where it was taken."""
    with machine.expects("ref_tracker: .* has 1/1 users at", "WARNING: lib/ref_tracker.c"):
        machine.sh("ip link add d0 type dummy")
        machine.write(FAULT, "tracker d0")
        machine.sh("ip link del d0")
    assert "fault_tracker" in machine.sh("dmesg")


def test_stuck_removal(machine: Machine) -> None:
    """A kernel reference that stays delays the removal, and the kernel says so."""
    machine.sh("ip link add d0 type dummy")
    machine.write(FAULT, "hold d0")
    with machine.expects("waiting for d0 to become free. Usage count = 2"):
        job = machine.spawn("ip link del d0")
        machine.wait_until("dmesg | grep -q 'waiting for d0'", "the kernel speaks", 60)
        assert not job.done.is_set()
        machine.write(FAULT, "release")
        assert job.wait().status == 0


def test_ledger(machine: Machine, module: Path) -> None:
    """Books that do not balance are told at exit."""
    ifref = Ifref(machine, module)
    ifref.load()
    symbols = machine.sh(r"grep ' _R\S*6LEDGER\s\[ifref\]' /proc/kallsyms").splitlines()
    [ledger] = [line.split()[0] for line in symbols]
    machine.write(FAULT, f"ledger {int(ledger, 16):#x}")
    with machine.expects("ledger: .* does not balance"):
        machine.sh("rmmod ifref")
    with pytest.raises(AssertionError):
        ifref.ledger()


@pytest.mark.parametrize("fault", REPORTED)
def test_report(machine: Machine, fault: str) -> None:
    """One fault, one report, which fails whoever has not announced it."""
    machine.check_log()
    machine.write(FAULT, fault)
    with pytest.raises(LogTrouble, match=re.escape(REPORTED[fault])):
        machine.check_log()


def test_lockdep_that_is_off_is_noticed(machine: Machine) -> None:
    """After its report lockdep checks nothing any more, which must not pass for silence."""
    machine.write(FAULT, "lockdep")
    machine.sync_log()
    machine.verdict.take()
    with pytest.raises(LogTrouble, match="lockdep is off"):
        machine.check_leaks()
