# SPDX-License-Identifier: GPL-2.0
"""Every allocation of the module's fails in turn, and notifiers of others fail."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ifref import ROOT, Ifref
from lanes import FULL
from vmlib import Machine

pytestmark = [pytest.mark.issue(3), pytest.mark.only("debug")]

FAILSLAB = "/sys/kernel/debug/failslab"
FAULT = "/sys/module/ifref_fault/parameters/fault"
INJECT = "/sys/kernel/debug/notifier-error-inject/netdev"

# More than there can be.
MOST = 2000

# All of them in a FULL run, otherwise only some, in no step with what repeats.
STRIDE = 1 if FULL else 61

# What a namespace or a device does to us: everything that is adopted.
APPEAR = """ip -batch - << end
link add d0 type dummy
link set d0 up
addr add 10.4.0.1/24 dev d0
addr add fd04::1/64 dev d0 nodad
end
"""


class Failing:
    """The N-th allocation below a range of code fails, once, in whatever task it is made."""

    def __init__(self, vm: Machine, module: Path) -> None:
        self.vm = vm
        self.address = int(vm.sh("grep ' failslab$' /proc/kallsyms").split()[0], 16)
        vm.sh(
            f"""insmod {module.parent}/tests/faults/ifref_fault.ko
            cd {FAILSLAB}
            for knob in task-filter=N ignore-gfp-wait=N cache-filter=N verbose=0 space=0 \\
                stacktrace-depth=32 probability=0 times=0; do
                echo ${{knob#*=}} > ${{knob%=*}}
            done"""
        )

    def below(self, start: int, end: int) -> None:
        """Only allocations with one of these addresses on their stack count."""
        self.vm.sh(f"cd {FAILSLAB}; echo {start:#x} > require-start; echo {end:#x} > require-end")

    def arm(self, nth: int) -> None:
        """The ``nth`` from now on fails."""
        self.vm.write(FAULT, f"count {self.address:#x}")
        self.turn(probability=0, interval=nth, times=1)
        self.turn(probability=100)

    def disarm(self) -> bool:
        """Ends it; whether an allocation was made to fail."""
        left = self.vm.read(f"{FAILSLAB}/times")
        self.turn(probability=0, times=0)
        return left == "0\n"

    def turn(self, **knobs: int) -> None:
        """Turns knobs, without a program in the guest: meanwhile each of its allocations costs."""
        for name, value in knobs.items():
            self.vm.write(f"{FAILSLAB}/{name}", str(value))


@pytest.fixture
def failing(vm: Machine, module: Path) -> Iterator[Failing]:
    """Nothing fails before and after."""
    one = Failing(vm, module)
    # The kernel's own words for it, if it is a folder that fails.
    with vm.expects(r"kobject_add_internal failed for \S+ \(error: -12 ", must=False):
        yield one
        one.disarm()
    vm.run("ip link del d0; rmmod ifref_fault", check=False)


def text_of(vm: Machine) -> tuple[int, int]:
    """Where the module's code is."""
    start = int(vm.sh("cat /sys/module/ifref/sections/.text"), 16)
    lines = vm.sh(r"grep -iE ' t \S+\s\[ifref\]' /proc/kallsyms").splitlines()
    symbols = [int(line.split()[0], 16) for line in lines]
    # .exit.text and .init.text are elsewhere.
    return start, max(at for at in symbols if start <= at < start + (1 << 20))


def symbol(vm: Machine, name: str) -> tuple[int, int]:
    """Where one of the kernel's functions is: to the next symbol."""
    lines = vm.sh(f"grep -A 1 ' [tT] {name}$' /proc/kallsyms").splitlines()
    return int(lines[0].split()[0], 16), int(lines[1].split()[0], 16)


def complete(ifref: Ifref, vm: Machine) -> int:
    """Waits until d0 is adopted with all of its addresses, folders and the link: its serial."""
    link = "/sys/class/net/d0/ifref"

    def serial() -> int | None:
        shown = ifref.ifnets()
        return next((n for n, files in shown.items() if files.get("name") == "d0"), None)

    def whole() -> bool:
        shown = ifref.ifaddrs(found)
        texts = {files.get("address") or files.get("family") for files in shown.values()}
        return vm.exists(link) and texts >= wanted

    found = vm.wait_until(serial, "d0 is adopted")
    wanted = {vm.read("/sys/class/net/d0/address").strip(), "10.4.0.1/24", "fd04::1/64"}
    vm.wait_until(whole, "d0 is complete")
    assert {files["valid"] for files in ifref.ifaddrs(found).values()} == {"1"}
    assert ifref.ifnets()[found]["valid"] == "1"
    assert vm.read(f"{link}/ifindex") == vm.read("/sys/class/net/d0/ifindex")
    return found


def test_each_allocation_of_adoption(
    vm: Machine, ifref: Ifref, failing: Failing, record_property
) -> None:
    """P12: no registration fails; a miss is counted and healed; all of it goes again."""
    failing.below(*text_of(vm))
    misses = failed = 0
    for nth in range(1, MOST, STRIDE):
        before = ifref.totals()
        failing.arm(nth)
        # The interface appears whatever fails: "set -e" would tell.
        vm.sh(APPEAR)
        serial = complete(ifref, vm)
        if not failing.disarm():
            break
        failed += 1
        after = ifref.totals()
        misses += after["missed"] > before["missed"]
        vm.sh("ip link del d0")
        vm.wait_until(lambda n=serial: not vm.exists(f"{ROOT}/ifnets/{n}"), "its folder goes")
        vm.wait_until(lambda t=before: ifref.totals()["ifaddrs"] == t["ifaddrs"], "all addresses")
        vm.wait_until(
            lambda t=before: ifref.totals()["freed"] == ifref.totals()["adopted"] - t["valid"],
            "it is freed",
        )
    assert nth + STRIDE < MOST, "something always failed"
    # Ifnet, tree nodes, folders with their names and files, link, the ifaddrs and theirs.
    assert failed * STRIDE > 15
    assert misses * STRIDE > 10
    record_property("allocations", failed)
    record_property("misses", misses)


def test_each_allocation_of_insmod(vm: Machine, ifref: Ifref, failing: Failing, record_property):
    """Loading succeeds, or fails with ENOMEM and leaves nothing; misses are healed."""
    ifref.unload()
    vm.sh(APPEAR)
    failing.below(*symbol(vm, "do_one_initcall"))
    refused = failed = 0
    for nth in range(1, MOST, STRIDE):
        failing.arm(nth)
        result = vm.run(f"insmod {ifref.module}", check=False)
        hit = failing.disarm()
        failed += hit
        if result.status == 0:
            complete(ifref, vm)
            ifref.unload()
        else:
            assert hit and os.strerror(errno.ENOMEM) in result.stderr, result
            refused += 1
            assert not vm.exists("/sys/kernel/ifref") and not vm.exists("/sys/module/ifref")
            assert not vm.exists("/sys/kernel/debug/ifref")
        if not hit:
            break
    assert nth + STRIDE < MOST
    assert 5 < refused * STRIDE < failed * STRIDE
    ifref.load()
    record_property("allocations", failed)
    record_property("refused", refused)


def test_each_allocation_of_a_command(vm: Machine, ifref: Ifref, failing: Failing) -> None:
    """A reference is taken, or ENOMEM and nothing is changed."""
    ident = ifref.ifaddr(ifref.serial("lo"), "link")
    failing.below(*text_of(vm))
    refused = 0
    for nth in range(1, MOST):
        failing.arm(nth)
        error = ifref.errno(f"get {ident} 10")
        hit = failing.disarm()
        # What failed may also be the worker's, which tries again.
        assert error in ((0, errno.ENOMEM) if hit else (0,))
        assert ifref.totals()["references"] == (0 if error else 10)
        if error:
            refused += 1
        else:
            ifref.hand(f"put {ident} 10")
        if not hit:
            break
    assert refused > 1


@pytest.mark.issue(5)
@pytest.mark.parametrize("driver", ["vnic_c", "vnic"])
def test_each_allocation_of_a_driver(
    vm: Machine, ifref: Ifref, failing: Failing, driver: str
) -> None:
    """A driver gets ENOMEM, from its registration or an attach, and all is undone; or it works."""
    module = ifref.module.with_name(f"ifref_{driver}.ko")
    failing.below(*text_of(vm))
    before = ifref.totals()
    refused = 0
    # Each of one NIC; some of two, of which the first is to go, too.
    nics = 1 if FULL else 2
    for nth in range(1, MOST, STRIDE):
        failing.arm(nth)
        result = vm.run(f"insmod {module} nics={nics}", check=False)
        hit = failing.disarm()
        if result.status == 0:
            vm.sh(f"rmmod ifref_{driver}")
        else:
            # What the kernel says of a device for whose name (device_add()) or for whose sysctls
            # (addrconf_sysctl_register()) there was no memory is passed on as it is.
            said = (os.strerror(errno.ENOMEM), "Invalid parameters", os.strerror(errno.ENOBUFS))
            assert hit and any(words in result.stderr for words in said), result
            refused += 1
        assert not vm.run("ls /sys/class/net | grep vnic", check=False).stdout
        vm.wait_until(lambda: ifref.totals()["valid"] == before["valid"], "all have gone")
        if not hit:
            break
    assert nth + STRIDE < MOST, "something always failed"
    assert refused * STRIDE >= 6


def test_a_registration_that_somebody_else_refuses(vm: Machine, ifref: Ifref) -> None:
    """A later notifier fails NETDEV_REGISTER: what was adopted is let go of."""
    # It must hear after us, who are first.
    vm.sh("modprobe netdev-notifier-error-inject priority=-1")
    try:
        vm.write(f"{INJECT}/actions/NETDEV_REGISTER/error", f"{-errno.ENOSPC}")
        before = ifref.totals()
        result = vm.run("ip link add d0 type dummy", check=False)
        assert os.strerror(errno.ENOSPC) in result.stderr
        vm.write(f"{INJECT}/actions/NETDEV_REGISTER/error", "0")
        vm.wait_until(
            lambda: ifref.totals()["freed"] == before["freed"] + 1, "the ifnet is freed"
        )
        assert ifref.totals()["adopted"] == before["adopted"] + 1
        assert not [n for n, f in ifref.ifnets().items() if f["name"] == "d0"]
        vm.sh("ip link add d0 type dummy")
        serial = ifref.serial("d0")
        vm.sh("ip link del d0")
        ifref.gone(serial)
    finally:
        vm.sh("rmmod netdev-notifier-error-inject")
