# SPDX-License-Identifier: GPL-2.0
"""netdevsim: one parent with many interfaces, on a bus of its own."""

import errno

import pytest
from ifref import Ifref
from vmlib import Machine

pytestmark = pytest.mark.only("debug")

BUS = "/sys/bus/netdevsim"
PORTS = 4


@pytest.mark.issue(3)
def test_all_ports_go(vm: Machine, ifref: Ifref) -> None:
    """The parent goes: each of its interfaces loses VALID before the driver's remove."""
    vm.sh(f"modprobe netdevsim; echo '7 {PORTS}' > {BUS}/new_device")
    try:
        names = vm.sh(f"ls {BUS}/devices/netdevsim7/net").split()
        assert len(names) == PORTS
        serials = [ifref.serial(name) for name in names]
        held = [ifref.ifaddr(serial, "link") for serial in serials]
        for ident in held:
            ifref.hand(f"get {ident} 10")
        # One port alone: the others stay.
        vm.sh(f"echo 1 > {BUS}/devices/netdevsim7/del_port")
        [gone] = [s for s, n in zip(serials, names, strict=True) if not there(vm, n)]
        ifref.gone(gone)
        states = [ifref.errno(f"follow {ident}") for ident in held]
        assert states.count(errno.ENODEV) == 1 and states.count(0) == PORTS - 1
    finally:
        vm.sh(f"echo 7 > {BUS}/del_device")
    for serial in serials:
        ifref.gone(serial)
    causes = {
        e["serial"]: e["cause"]
        for e in ifref.trace("ifref_invalidate")
        if int(e["serial"]) in serials
    }
    assert len(causes) == PORTS
    assert causes.pop(str(gone)) in ("dismantle", "reg_state")
    assert set(causes.values()) == {"unbind"}
    for ident in held:
        assert ifref.errno(f"follow {ident}") == errno.ENODEV


@pytest.mark.issue(5)
def test_administrator(vm: Machine, ifref: Ifref) -> None:
    """A device with other interfaces is not released from its driver; with the last one it is."""
    vm.sh(f"modprobe netdevsim; echo '7 2' > {BUS}/new_device")
    try:
        names = vm.sh(f"ls {BUS}/devices/netdevsim7/net").split()
        serials = [ifref.serial(name) for name in names]
        detach = [f"/sys/class/net/{name}/ifref/detach" for name in names]
        with pytest.raises(OSError) as refused:
            vm.write(detach[0], "1")
        assert refused.value.errno == errno.EBUSY
        assert all(there(vm, name) for name in names)
        vm.sh(f"echo 1 > {BUS}/devices/netdevsim7/del_port")
        [left] = [number for number, name in enumerate(names) if there(vm, name)]
        ifref.gone(serials[1 - left])
        vm.write(detach[left], "1")
        ifref.gone(serials[left])
        assert not vm.exists(f"{BUS}/devices/netdevsim7/driver")
    finally:
        vm.sh(f"echo 7 > {BUS}/del_device")


def there(vm: Machine, name: str) -> bool:
    """Whether an interface exists."""
    return vm.exists(f"/sys/class/net/{name}")
