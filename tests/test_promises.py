# SPDX-License-Identifier: GPL-2.0
"""What include/ifref.h, the guides and comments promise, where a delay makes the window wide.

Each of these was broken on purpose before, and nothing else noticed: scripts/broken.
"""

import errno
from collections.abc import Iterator

import pytest
from ifref import ROOT, TRACE, Ifref
from rigs import Rig
from test_devd import FLOOD
from vmlib import Machine

pytestmark = [pytest.mark.issue(16), pytest.mark.quick("stock")]

IN_C = pytest.mark.parametrize("rig", ["rig"], indirect=True)
STRANGER = "/sys/module/ifref_stranger/parameters"


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("ip link del d0; ip netns del n0", check=False)


@pytest.fixture
def stranger(vm: Machine, ifref: Ifref) -> Iterator[None]:
    """Another module's notifier (tests/stranger)."""
    vm.insmod(ifref.module.with_name("ifref_stranger.ko"))
    yield
    vm.rmmod("ifref_stranger")


def test_a_transmit_ends_before_quiesce(vm: Machine, rig: Rig) -> None:
    """One that is inside of the driver is waited for; the driver looks when it is done."""
    vm.spawn(["python3", "-c", FLOOD])
    for _ in range(3):
        rig.attach(0)
        sent = rig.state(0)["sent"]
        rig.do("xmit_ms 0 50")
        vm.wait_until(lambda before=sent: rig.state(0)["sent"] > before + 2, "traffic")
        rig.do("irq 0 500")
        rig.freed(0)


@IN_C
def test_no_transmit_after_detach(vm: Machine, rig: Rig) -> None:
    """Not even one that begins before devd has got anywhere."""
    for _ in range(3):
        rig.attach(0)
        rig.do("gone_and_sent 0")
        rig.freed(0)


def test_an_open_that_comes_late(vm: Machine, rig: Rig, stranger: None) -> None:
    """One that has found the device present does not get to the driver after the detach."""
    rig.attach(0, up=False)
    vm.sh(f"echo 1500 > {STRANGER}/pre_up_ms; printf rig0 > {STRANGER}/name")
    up = vm.spawn("ip link set rig0 up")
    vm.wait_until(lambda: vm.read(f"{STRANGER}/opening") == "1\n", "the open begins")
    rig.do("gone 0")
    assert up.wait(timeout=20).status != 0
    assert rig.freed(0)["opened"] == 0


def test_a_wait_ends_after_free(vm: Machine, rig: Rig) -> None:
    """Not when it has drained, nor when the free begins."""
    rig.attach(0)
    rig.do("free_ms 0 500", "hold_softc 0", "gone 0")
    rig.kept(0, 0.2)
    wait = vm.spawn(f"echo wait 0 > {rig.params}/do")
    vm.sh("sleep 0.3")
    assert not wait.done.is_set()
    rig.do("release_softc 0")
    assert wait.wait(timeout=20).status == 0
    state = rig.state(0)
    assert (state["wait"], state["freed"]) == (0, 1)


def test_an_attach_that_a_stranger_refuses(vm: Machine, rig: Rig, stranger: None) -> None:
    """It is an error, when nobody refers to the device, and nothing is left of it."""
    vm.sh(f"printf rig0 > {STRANGER}/name; echo 1 > {STRANGER}/refuse")
    rig.do("make 0")
    attach = vm.spawn(f"echo attach 0 > {rig.params}/do")
    assert attach.wait(timeout=20).status == 0
    assert rig.state(0)["err"] == -errno.EPERM
    assert not vm.exists("/sys/class/net/rig0")
    vm.sh(f"echo 0 > {STRANGER}/refuse")
    rig.attach(0)
    rig.do("gone 0")
    rig.freed(0)


@IN_C
def test_an_attach_beside_the_unload(vm: Machine, rig: Rig) -> None:
    """A driver that is being unloaded attaches nothing: ENODEV."""
    rig.attach(0)
    rig.do("hold_softc 0")
    rig.unloading()
    rig.kept(0, 0.1)
    rig.do("make 1", "attach 1")
    err = rig.state(1)["err"]
    rig.do("release_softc 0", *(["gone 1"] if err == 0 else []))
    assert rig.unloaded() == "2 attached, 1 freed"
    assert err == -errno.ENODEV


@IN_C
def test_a_bus_is_listened_on_once(vm: Machine, rig: Rig) -> None:
    """However often an interface comes that is on it."""
    try:
        vm.sh(
            f"""cd {TRACE}
            echo 'p:ifreftest/listen bus_register_notifier' >> kprobe_events
            echo 1 > events/ifreftest/listen/enable"""
        )
        for _ in range(3):
            rig.attach(0, 4)
            # By then its bus is listened on: what shows it, does both.
            vm.appears("/sys/class/net/rig0/ifref")
            rig.do("gone 0")
            rig.freed(0)
        profile = dict(line.split()[:2] for line in vm.read(f"{TRACE}/kprobe_profile").splitlines())
        assert profile["listen"] == "1"
    finally:
        vm.sh(
            f"""cd {TRACE}
            echo 0 > events/ifreftest/listen/enable
            echo '-:ifreftest/listen' >> kprobe_events"""
        )


def test_kernel_references_are_exact(vm: Machine, ifref: Ifref, stranger: None) -> None:
    """All but ifref's own one and the core's own."""
    vm.sh(f"ip link add d0 up type dummy; printf d0 > {STRANGER}/name")
    serial = ifref.serial("d0")

    def settled() -> tuple[int, int] | None:
        """What is shown, and all there are, if they do not come and go meanwhile."""
        before = int(vm.read(f"{STRANGER}/references"))
        shown = int(ifref.ifnets()[serial]["kernel_references"])
        after = int(vm.read(f"{STRANGER}/references"))
        return (shown, after) if before == after else None

    shown, references = vm.wait_until(settled, "nobody takes or drops one")
    assert shown == references - 2 > 0


def test_what_was_cut_in_a_dead_namespace_is_shown_here(vm: Machine, ifref: Ifref) -> None:
    """An address that was taken off before its namespace died, and is still referred to."""
    vm.sh(
        """ip netns add n0
        ip -n n0 link add d0 up type dummy
        ip -n n0 addr add 10.1.0.1/24 dev d0"""
    )
    [ident] = [int(e["id"]) for e in ifref.trace("ifref_ifaddr_new") if "10.1.0.1" in e["addr"]]
    ifref.hand(f"get {ident}")
    valid = f"ip netns exec n0 cat {ROOT}/ifaddrs/{ident}/valid"
    vm.wait_until(f"[ $({valid}) = 1 ]", "it is shown there")
    vm.sh("ip -n n0 addr del 10.1.0.1/24 dev d0")
    vm.wait_until(f"[ $({valid}) = 0 ]", "it is cut")
    assert ident not in ifref.ifaddrs()
    vm.sh("ip netns del n0")
    vm.wait_until(lambda: ident in ifref.ifaddrs(), "it is shown here")
    vm.appears(f"{ROOT}/stakes/{ident}:hand")
    assert ifref.ifaddrs()[ident]["reason"] == "address removed"


def test_a_packet_that_is_not_sent_is_counted(vm: Machine, ifref: Ifref) -> None:
    """Each refusal is, of a packet as well."""
    vm.sh("ip link add d0 up type dummy")
    ident = ifref.ifaddr(ifref.serial("d0"), "link")
    ifref.hand(f"get {ident}")
    ifref.hand(f"park {ident} 1")
    vm.sh("ip link del d0")
    refusals = f"{ROOT}/holders/hand/refusals"
    before = int(vm.read(refusals))
    assert ifref.errno(f"send {ident}") == errno.ENODEV
    assert int(vm.read(refusals)) == before + 1


def test_who_loses_valid_is_counted(vm: Machine, ifref: Ifref) -> None:
    """When it is removed, and not when it comes."""
    before = ifref.totals()["invalidated"]
    vm.sh("ip link add d0 up type dummy")
    ifref.serial("d0")
    assert ifref.totals()["invalidated"] == before
    vm.sh("ip link del d0")
    assert ifref.totals()["invalidated"] == before + 1
