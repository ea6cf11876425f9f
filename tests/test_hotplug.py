# SPDX-License-Identifier: GPL-2.0
"""Real NICs, pulled out through QMP from real in-tree drivers."""

import errno
import itertools

import pytest
from ifref import ROOT, Ifref
from lanes import times
from vmlib import Machine

pytestmark = pytest.mark.issue(2)

PLUGS = {
    "cdc_ether": ("usb-net", {"bus": "xhci.0", "port": "1"}, "usb0"),
    "rndis_host": ("usb-net", {"bus": "xhci.0", "port": "1"}, "usb0"),
    "e1000e": ("e1000e", {"bus": "slot0"}, "eth0"),
    "e1000": ("e1000", {"bus": "slot1"}, "eth0"),
    "8139cp": ("rtl8139", {"bus": "slot2"}, "eth0"),
    "virtio_net": ("virtio-net-pci", {"bus": "slot3"}, "eth0"),
}
STATES = ["down", "up", "addresses", "traffic"]
# A quick run on debug has the one kind that test_replug lacks.
MATRIX = [
    pytest.param(*which, marks=[] if which == ("rndis_host", "up") else pytest.mark.quick("stock"))
    for which in itertools.product(PLUGS, STATES)
]


def plug(vm: Machine, kind: str) -> str:
    """Plugs a NIC of a kind in and returns its interface's name."""
    driver, props, name = PLUGS[kind]
    vm.plug_nic(driver, "nic", **props)
    vm.appears(f"/sys/class/net/{name}")
    if kind == "rndis_host":
        # The device's other configuration; Linux prefers the first.
        vm.sh("echo 2 > /sys/bus/usb/devices/1-1/bConfigurationValue")
        is_rndis = f'[ "$(basename $(readlink /sys/class/net/{name}/device/driver))" = rndis_host ]'
        vm.wait_until(is_rndis, "rndis_host is bound")
    return name


def bring(vm: Machine, name: str, state: str) -> None:
    """Brings an interface into a state."""
    if state in ("addresses", "traffic"):
        vm.sh(f"ip addr add 10.0.2.15/24 dev {name}; ip addr add fd00::5/64 dev {name} nodad")
    if state != "down":
        vm.sh(f"ip link set {name} up")
    if state == "traffic":
        vm.spawn("ping -f -q -s 1000 10.0.2.2")
        flows = f"[ $(cat /sys/class/net/{name}/statistics/rx_packets) -gt 50 ]"
        vm.wait_until(flows, "traffic flows", timeout=60)


@pytest.mark.parametrize(("kind", "state"), MATRIX)
def test_pull(vm: Machine, ifref: Ifref, kind: str, state: str) -> None:
    """P4, P5, P12: VALID off before the driver's remove, the net_device freed while references are
    held, each follow refused with its reason, its reference dropped; replugged: a new serial."""
    name = plug(vm, kind)
    serial = ifref.serial(name)
    assert ifref.ifnets()[serial]["driver"] == kind
    bring(vm, name, state)
    if state in ("addresses", "traffic"):
        ifref.ifaddr(serial, "10.0.2.15/24")
        ifref.ifaddr(serial, "fd00::5/64")
    idents = list(ifref.ifaddrs(serial))
    assert len(idents) >= (3 if state in ("addresses", "traffic") else 1)
    for ident in idents:
        ifref.hand(f"get {ident} 2")
        assert f"name={name}" in ifref.held()[ident]
    assert ifref.ifnets()[serial]["references"] == str(2 * len(idents))

    vm.unplug_nic("nic")
    vm.goes(f"/sys/class/net/{name}")
    ifref.gone(serial)

    assert ifref.totals()["references"] == 2 * len(idents)
    [invalidated] = [e for e in ifref.trace("ifref_invalidate") if e["serial"] == str(serial)]
    [freed] = [e for e in ifref.trace("ifref_free") if e["serial"] == str(serial)]
    assert invalidated["cause"] == freed["cause"] == "unbind"
    assert int(freed["lead_ns"]) > 0
    released = [e["time"] for e in ifref.trace("netdev_release") if e["name"] == name]
    assert float(released[-1]) > float(invalidated["time"]), "the net_device was not freed"
    for ident in idents:
        shown = ifref.ifaddrs()[ident]
        assert (shown["valid"], shown["reason"], shown["references"]) == ("0", "detached", "2")
        assert ifref.errno(f"get {ident}") == errno.ENODEV
        assert ifref.errno(f"follow {ident}") == errno.ENODEV
        assert ifref.errno(f"follow {ident}") == errno.ENODEV
        assert ifref.errno(f"follow {ident}") == errno.ENOENT, "the reference was not dropped"
        ifref.forgotten(ident)

    again = ifref.serial(plug(vm, kind))
    assert again > serial
    vm.unplug_nic("nic")
    ifref.gone(again)


@pytest.mark.quick("stock")
@pytest.mark.parametrize("kind", ["cdc_ether", "e1000e"])
def test_unbind_bind(vm: Machine, ifref: Ifref, kind: str) -> None:
    """The driver is taken off and put on through sysfs, the hardware stays."""
    name = plug(vm, kind)
    serial = ifref.serial(name)
    vm.sh(f"ip link set {name} up")
    device = vm.sh(f"readlink -f /sys/class/net/{name}/device")
    driver = vm.sh(f"readlink -f {device}/driver")
    ident = ifref.ifaddr(serial, "link")
    ifref.hand(f"get {ident}")
    vm.sh(f"echo {device.rsplit('/', 1)[1]} > {driver}/unbind")
    ifref.gone(serial)
    [invalidated] = [e for e in ifref.trace("ifref_invalidate") if e["serial"] == str(serial)]
    assert invalidated["cause"] == "unbind"
    vm.sh(f"echo {device.rsplit('/', 1)[1]} > {driver}/bind")
    again = ifref.serial(name)
    assert again > serial
    assert ifref.errno(f"follow {ident}") == errno.ENODEV
    vm.unplug_nic("nic")
    ifref.gone(again)


@pytest.mark.quick("stock")
def test_two_on_one_hub(vm: Machine, ifref: Ifref) -> None:
    """Pulling one NIC of a hub leaves the other one's references alone."""
    vm.plug("usb-hub", "hub", bus="xhci.0", port="2")
    for port in (1, 2):
        vm.plug_nic("usb-net", f"nic{port}", bus="xhci.0", port=f"2.{port}")
        vm.wait_until(f"[ -e /sys/class/net/usb{port - 1} ]", f"NIC {port}")
    pulled, stays = ifref.serial("usb0"), ifref.serial("usb1")
    for serial in (pulled, stays):
        ifref.hand(f"get {ifref.ifaddr(serial, 'link')}")
    vm.unplug_nic("nic1")
    ifref.gone(pulled)
    states = ["invalid=detached" in line for line in ifref.held().values()]
    assert states == [True, False]
    assert ifref.errno(f"follow {ifref.ifaddr(stays, 'link')}") == 0
    vm.unplug("hub")
    ifref.gone(stays)


@pytest.mark.quick("stock")
@pytest.mark.parametrize(("state", "cause"), [("up", "dismantle"), ("down", "reg_state")])
def test_earliest_sign(vm: Machine, ifref: Ifref, state: str, cause: str) -> None:
    """What has no driver to unbind loses VALID when it is taken down, or else off the lists."""
    vm.sh(f"ip link add d0 type dummy; ip link set d0 {state}")
    serial = ifref.serial("d0")
    vm.sh("ip link del d0")
    ifref.gone(serial)
    [invalidated] = [e for e in ifref.trace("ifref_invalidate") if e["serial"] == str(serial)]
    [freed] = [e for e in ifref.trace("ifref_free") if e["serial"] == str(serial)]
    assert invalidated["cause"] == freed["cause"] == cause
    assert float(invalidated["time"]) <= float(freed["time"])


@pytest.mark.issue(3)
def test_unloaded_as_it_comes(vm: Machine, ifref: Ifref) -> None:
    """P6: unloaded while the worker has yet to look at a NIC, whose bus it listens on from then."""
    ifref.unload()
    name = plug(vm, "cdc_ether")
    for _ in range(5):
        vm.sh(f"busybox insmod {ifref.module}; busybox rmmod ifref")
        assert not vm.exists(ROOT)
    # A listener that was left behind would be called.
    vm.unplug_nic("nic")
    vm.goes(f"/sys/class/net/{name}")
    ifref.load()


@pytest.mark.issue(3)
def test_replug(vm: Machine, ifref: Ifref, flavour: str, record_property) -> None:
    """In and out, each time with references held; every interface is another one."""
    kinds = ["cdc_ether", "e1000e", "virtio_net", "e1000", "8139cp"]
    rounds = max(len(kinds), times(flavour, 10, 500))
    before = ifref.totals()
    last, stale = 0, []
    for turn in range(rounds):
        kind = kinds[turn % len(kinds)]
        name = plug(vm, kind)
        serial = ifref.serial(name)
        assert serial > last
        last = serial
        if turn % 2:
            vm.sh(f"ip link set {name} up")
        ident = ifref.ifaddr(serial, "link")
        ifref.hand(f"get {ident} 2")
        vm.unplug_nic("nic")
        ifref.gone(serial)
        assert ifref.errno(f"follow {ident}") == errno.ENODEV
        stale.append(ident)
    totals = ifref.totals()
    assert totals["adopted"] == before["adopted"] + rounds
    assert totals["references"] == rounds
    vm.wait_until(lambda: ifref.totals()["freed"] == before["freed"] + rounds, "all are freed")
    for ident in stale:
        assert ifref.errno(f"follow {ident}") == errno.ENODEV
    record_property("rounds", rounds)
