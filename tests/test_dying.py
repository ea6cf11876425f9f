# SPDX-License-Identifier: GPL-2.0
"""Loading and unloading while a namespace cannot die.

Its device is kept by somebody's reference, and cleanup_net() waits for it with pernet_ops_rwsem
held, which (un)registering a notifier takes for writing: the kernel's own lock. So insmod and rmmod
wait for the end of the leak, and who waits behind them waits, too. Nothing worse happens.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ifref import ROOT, Ifref
from vmlib import Machine

pytestmark = pytest.mark.issue(3)

FAULT = "/sys/module/ifref_fault/parameters/fault"


@contextlib.contextmanager
def dying(vm: Machine, module: Path) -> Iterator[None]:
    """A namespace is deleted and cannot die until the block or ``release`` ends it."""
    vm.sh(
        f"""insmod {module.parent}/tests/faults/ifref_fault.ko
        ip netns add ifref-x; ip -n ifref-x link add d0 type dummy
        ip netns exec ifref-x sh -c 'echo hold d0 > {FAULT}'"""
    )
    with vm.expects("waiting for d0 to become free"):
        vm.sh("dmesg -C; ip netns del ifref-x")
        vm.wait_until("dmesg | grep -q 'waiting for d0'", "the namespace cannot die", 60)
        try:
            yield
        finally:
            release(vm)
            vm.sh("rmmod ifref_fault")


def release(vm: Machine) -> None:
    """Ends the leak."""
    vm.write(FAULT, "release")


def waits(vm: Machine, command: str, where: str) -> None:
    """Waits until a command sleeps in a function of the kernel's that takes the lock."""
    stack = f"/proc/$(pgrep -x {command})/stack"
    vm.wait_until(f"head -n 3 {stack} | grep -q ' {where}+'", f"{command} waits in {where}")


def test_rmmod(vm: Machine, ifref: Ifref) -> None:
    """rmmod cannot be killed while it waits, what is shown stays readable, and it ends well."""
    with dying(vm, ifref.module):
        assert "d0" not in {files["name"] for files in ifref.ifnets().values()}
        unload = vm.spawn("dmesg -C; exec rmmod ifref")
        waits(vm, "rmmod", "unregister_netdevice_notifier")
        vm.sh("kill -9 $(pgrep -x rmmod)")
        waits(vm, "rmmod", "unregister_netdevice_notifier")
        assert ifref.totals()["valid"] == 0
        behind = vm.spawn("exec ip netns add ifref-y")
        waits(vm, "ip", "copy_net_ns")
        release(vm)
        unload.wait()
        assert behind.wait().status == 0
        vm.goes("/sys/module/ifref")
        ifref.ledger()
    vm.sh("ip netns del ifref-y")


def test_insmod(vm: Machine, ifref: Ifref) -> None:
    """insmod waits, and adopts everything when the leak ends."""
    ifref.unload()
    with dying(vm, ifref.module):
        load = vm.spawn(f"exec insmod {ifref.module}")
        waits(vm, "insmod", "register_netdevice_notifier")
        assert not vm.exists(f"{ROOT}/ifnets/1")
        vm.sh("ip link add d0 type dummy")
        release(vm)
        assert load.wait().status == 0
    ifref.serial("d0")
    assert ifref.totals()["missed"] == 0
    vm.sh("ip link del d0")
