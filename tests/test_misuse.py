# SPDX-License-Identifier: GPL-2.0
"""Holders and drivers in C that break the rules of include/ifref.h, or keep them (tests/misuse)."""

import errno
import re

import pytest
from ifref import TRACE, Ifref
from vmlib import Machine

pytestmark = pytest.mark.issue(16)


def misuse(vm: Machine, ifref: Ifref, what: str) -> tuple[dict[str, int], list[str]]:
    """What one case was answered, and what ifref has said in the log meanwhile."""
    vm.sync_log()
    begun = len(vm.verdict.lines)
    vm.insmod(ifref.module.with_name("ifref_misuse.ko"), f"what={what}")
    vm.rmmod("ifref_misuse")
    vm.sync_log()
    log = "\n".join(vm.verdict.lines[begun:])
    told = re.findall(r"ifref_misuse: (.*): (-?\d+)$", log, re.MULTILINE)
    return {call: int(err) for call, err in told}, re.findall(r"\bifref: (.*)", log)


@pytest.mark.quick("stock", "debug")
def test_flags_are_handed_on(vm: Machine, ifref: Ifref) -> None:
    """GFP_NOFS stays GFP_NOFS: a file system on the network does not wait for itself. lockdep sees
    it, on debug; so do the events of the per-CPU allocator, which also tell whose the memory is.
    """
    event = f"{TRACE}/events/percpu/percpu_alloc_percpu/enable"
    vm.write(event, "1")
    told, _ = misuse(vm, ifref, "gfp")
    vm.write(event, "0")
    assert set(told.values()) == {0}, told
    lines = vm.sh(f"grep ifref_shards_init {TRACE}/trace").splitlines()
    flags = [re.search(r"gfp_flags=(\S+)", line)[1] for line in lines]
    assert flags == [
        "GFP_NOFS",
        "GFP_NOIO",
        "GFP_KERNEL_ACCOUNT",
        "GFP_ATOMIC|__GFP_NOWARN",
        "GFP_KERNEL",
    ]


@pytest.mark.only("debug")
def test_inside_of_sections(vm: Machine, ifref: Ifref) -> None:
    """A follow is right in each kind of section that RCU has."""
    told, _ = misuse(vm, ifref, "inside")
    assert told == {"followed": 6, "unregister": 0}


@pytest.mark.only("debug")
def test_outside_of_sections(vm: Machine, ifref: Ifref) -> None:
    """PROVE_RCU names who follows outside of any, where nothing keeps the interface."""
    with vm.expects("suspicious RCU usage"):
        told, _ = misuse(vm, ifref, "outside")
    assert told == {"followed": 1, "unregister": 0}
    vm.sync_log()
    assert ifref.said("an ifref is followed outside of a read section")
    assert ifref.said("outside.* \\[ifref_misuse\\]")


@pytest.mark.only("debug")
def test_parking_with_interrupts_off(vm: Machine, ifref: Ifref) -> None:
    """What a packet lets go of when it is parked may not end there; lockdep says so."""
    with vm.expects("WARNING: .*ifref_skb_scrub"):
        told, _ = misuse(vm, ifref, "park")
    assert set(told.values()) == {0}


@pytest.mark.quick("stock", "debug")
def test_drivers(vm: Machine, ifref: Ifref, flavour: str) -> None:
    """Each mistake of a driver's has its errno and one line with the driver's name; none is a BUG:
    not even to attach what it has registered by itself.
    """
    told, said = misuse(vm, ifref, "drivers")
    under_rtnl = {
        "ifref_wait(attachment)": -errno.EDEADLK,
        "ifref_driver_unregister(driver)": -errno.EDEADLK,
        "ifref_holder_unregister(holder)": -errno.EDEADLK,
    }
    assert told == {
        "ifref_driver_register(NULL, &driver_ops)": -errno.EINVAL,
        'ifref_driver_register("a/b", &driver_ops)': -errno.EINVAL,
        'ifref_driver_register("misuse", NULL)': -errno.EINVAL,
        'ifref_driver_register("nofree", &no_free)': -errno.EINVAL,
        "driver": 0,
        'ifref_driver_register("misuse", &driver_ops)': -errno.EEXIST,
        "register_netdev(dev)": 0,
        "ifref_attachment_new(driver, dev, dev)": -errno.EINVAL,
        "attach by hand": -errno.EINVAL,
        "operations": 1,
        "attach after hand": -errno.EINVAL,
        "ifref_attach(attachment)": -errno.EINVAL,
        "unregister in atomic": -errno.EWOULDBLOCK,
        "unregister once": 0,
        "unregister twice": -errno.EINVAL,
        "holder": 0,
        **(under_rtnl if flavour == "debug" else {}),
    }
    words = [
        'driver "a/b": a name has',
        'driver "nofree": its operations lack free',
        'driver "misuse": there is another driver',
        'driver "misuse": what it attaches has been registered already',
        'driver "misuse": it attaches twice',
        "C API: a driver is unregistered where nobody may sleep",
        "unregistered is what is no driver",
    ]
    if flavour == "debug":
        words += [
            'driver "misuse": it waits for devd under RTNL',
            'holder "misuse": it may not be unregistered under RTNL',
        ]
    missing = [each for each in words if not any(each in line for line in said)]
    assert missing == [], said


@pytest.mark.quick("stock")
def test_a_driver_whose_code_is_a_library_s(vm: Machine, ifref: Ifref) -> None:
    """The module that forgets its driver is known by itself, not by where the driver's code is."""
    for _ in range(2):
        told, said = misuse(vm, ifref, "forgets")
        assert set(told.values()) == {0}, told
        assert any("the module of driver forgotten is unloaded" in line for line in said), said
