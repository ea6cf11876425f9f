# SPDX-License-Identifier: GPL-2.0
"""Drivers in Rust: the sample, and one with every operation that does what it is told."""

import errno
import os
from collections.abc import Iterator

import pytest
from ifref import ROOT, Ifref
from vmlib import Machine

pytestmark = pytest.mark.issue(6)

VNIC = "/sys/kernel/debug/ifref_vnic"
NIC = "/sys/kernel/debug/ifref_nic"


def counters(vm: Machine, name: str) -> dict[str, int]:
    """An interface's counters."""
    files = vm.glob(f"/sys/class/net/{name}/statistics/*")
    return {path.rsplit("/", 1)[1]: int(text) for path, text in files.items()}


def send(vm: Machine, name: str, packets: int) -> None:
    """Sends pings to nobody, past ARP."""
    vm.sh(
        f"""ip addr replace 10.1.0.1/24 dev {name}
        ip neigh replace 10.1.0.2 lladdr $(cat /sys/class/net/{name}/address) dev {name}
        ping -q -n -c {packets} -i 0.005 -W 1 10.1.0.2 || true"""
    )


def test_vnic(vm: Machine, ifref: Ifref) -> None:
    """The sample: what it sends comes back; pulled by a task, by an interrupt, by the unload."""
    vm.sh(f"insmod {ifref.module.with_name('ifref_vnic.ko')} nics=4")
    serials = [ifref.serial(f"vnic{n}") for n in range(4)]
    assert "driver: vnic\n" in vm.sh("ethtool -i vnic0") + "\n"
    assert "Link detected: yes" in vm.sh("ip link set vnic0 up; ethtool vnic0")
    send(vm, "vnic0", 500)
    vm.wait_until(
        lambda: (now := counters(vm, "vnic0"))["rx_packets"] == now["tx_packets"] >= 500,
        "all has come back",
    )
    now = counters(vm, "vnic0")
    assert now["rx_bytes"] == now["tx_bytes"]
    assert now["rx_dropped"] + now["tx_dropped"] + now["rx_errors"] == 0

    vm.sh("ip link set vnic1 up")
    vm.write(f"{VNIC}/pull", "1")
    vm.write(f"{VNIC}/pull_in_irq", "2")
    ifref.gone(serials[1])
    ifref.gone(serials[2])
    with pytest.raises(OSError) as refused:
        vm.write(f"{VNIC}/pull", "9")
    assert refused.value.errno == errno.ENODEV
    vm.write(f"{VNIC}/pull", "1")
    assert vm.exists("/sys/class/net/vnic0") and vm.exists("/sys/class/net/vnic3")
    vm.sh("rmmod ifref_vnic")
    for serial in serials:
        ifref.gone(serial)


@pytest.mark.parametrize("how", ["pull", "pull_in_irq", "rmmod"])
def test_vnic_under_load(vm: Machine, ifref: Ifref, how: str) -> None:
    """Pulled while it is flooded, opened and closed."""
    module = ifref.module.with_name("ifref_vnic.ko")
    for _ in range(3):
        vm.sh(f"insmod {module}")
        serial = ifref.serial("vnic0")
        vm.sh("ip link set vnic0 up")
        vm.sh("ip addr add 10.1.0.1/24 dev vnic0")
        vm.spawn("ping -f -b -q -n -s 1000 10.1.0.255")
        vm.spawn("while ip link set vnic0 down && ip link set vnic0 up; do :; done")
        vm.sh("sleep 0.5")
        if how != "rmmod":
            vm.write(f"{VNIC}/{how}", "0")
            ifref.gone(serial)
        vm.sh("rmmod ifref_vnic")
        ifref.gone(serial)
        vm.kill_jobs()


class Nic:
    """The driver that does what it is told (tests/nic)."""

    def __init__(self, vm: Machine) -> None:
        self.vm = vm

    def do(self, *words: str) -> None:
        """Has it do something; an OSError is its errno."""
        for word in words:
            self.vm.write(f"{NIC}/do", word)

    def errno(self, word: str) -> int:
        """The errno of a word, 0 if it succeeds."""
        try:
            self.do(word)
        except OSError as err:
            return err.errno
        return 0

    def __getattr__(self, name: str) -> int:
        return int(self.vm.read(f"{NIC}/{name}"))


@pytest.fixture
def nic(vm: Machine, ifref: Ifref) -> Iterator[Nic]:
    """The driver, loaded; unloaded before ifref is."""
    vm.sh(f"insmod {ifref.module.with_name('ifref_nic.ko')}")
    driver = Nic(vm)
    yield driver
    vm.run(f"echo release > {NIC}/do", check=False)
    wrong = driver.wrong
    vm.sh("rmmod ifref_nic")
    assert wrong == 0


def test_operations(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """Each operation, by what an administrator does."""
    nic.do("attach")
    serial = ifref.serial("n0")
    old = vm.read("/sys/class/net/n0/address")
    vm.sh("ip link set n0 address 02:00:00:00:00:99")
    assert nic.addresses == 1 and vm.read("/sys/class/net/n0/address") != old
    assert vm.run("ip link set n0 address 03:00:00:00:00:99", check=False).status != 0
    assert nic.addresses == 1

    vm.sh("ip link set n0 up")
    assert nic.opened == 1
    assert "Link detected: no" in vm.sh("ethtool n0")
    nic.do("up")
    vm.wait_until("[ $(cat /sys/class/net/n0/carrier) = 1 ]", "the carrier")

    vm.sh("ip link set n0 mtu 1400")
    assert nic.mtu == 1400
    result = vm.run("ip link set n0 mtu 1313", check=False)
    assert os.strerror(errno.EDOM) in result.stderr
    assert vm.read("/sys/class/net/n0/mtu").strip() == "1400"
    vm.sh("ip link set n0 mtu 9000; ! ip link set n0 mtu 9001")
    assert nic.mtu == 9000

    groups = nic.groups
    vm.sh("ip maddr add 33:33:00:00:12:34 dev n0")
    assert nic.groups > groups
    vm.sh("ip link set n0 promisc on")
    assert nic.promiscuous == 1
    vm.sh("ip link set n0 promisc off")
    assert nic.promiscuous == 0

    before = counters(vm, "n0")
    nic.do("receive")
    vm.wait_until(lambda: counters(vm, "n0")["rx_packets"] > before["rx_packets"], "the frame")
    send(vm, "n0", 50)
    now = counters(vm, "n0")
    assert now["rx_errors"] == 7
    assert nic.sent >= 50 and nic.polled and nic.completed
    vm.wait_until(
        lambda: (now := counters(vm, "n0"))["rx_packets"] > now["tx_packets"] >= 50,
        "all has come back, and the frame",
    )

    vm.sh("ip link set n0 down; ip link set n0 up; ip link set n0 down")
    assert (nic.opened, nic.stopped) == (2, 2)
    nic.do("drop")
    ifref.gone(serial)
    vm.wait_until(lambda: nic.dropped == 1, "the softc is dropped")
    assert nic.quiesced == 1
    assert nic.errno("hold") == errno.ENODEV
    nic.do("detach", "ask", "wait")


def test_stopped_before_quiesce(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """One that is up is stopped once, before quiesce, and the core's close does not reach it."""
    nic.do("attach", "up")
    serial = ifref.serial("n0")
    vm.sh("ip link set n0 up")
    nic.do("detach", "wait")
    ifref.gone(serial)
    assert (nic.opened, nic.stopped, nic.quiesced, nic.dropped) == (1, 1, 1, 1)


def test_a_hold_keeps_the_softc_only(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """All that a hold is good for, while the interface is there and after it has gone."""
    nic.do("attach")
    ifref.serial("n0")
    vm.sh("ip link set n0 up")
    nic.do("hold", "use", "use")
    now = counters(vm, "n0")
    assert now["tx_dropped"] == 2 and now["rx_dropped"] >= 2
    nic.do("detach")
    vm.wait_until("! [ -e /sys/class/net/n0 ]", "the interface goes")
    vm.sh("sleep 0.5")
    assert (nic.quiesced, nic.dropped) == (1, 0)
    nic.do("use", "use", "up", "down", "receive", "release")
    vm.wait_until(lambda: nic.dropped == 1, "the softc is dropped")
    assert nic.errno("hold") == errno.ENODEV


def test_a_veto(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """The driver says no, and then yes."""
    nic.do("attach")
    serial = ifref.serial("n0")
    vm.write(f"{NIC}/veto", "1")
    nic.do("ask")
    shown = f"{ROOT}/ifnets/{serial}/veto"
    vm.wait_until(f"grep -q 'it is told to' {shown}", "the veto")
    assert nic.asked == 1
    vm.write(f"{NIC}/veto", "0")
    nic.do("ask", "wait")
    assert (nic.asked, nic.quiesced, nic.dropped) == (2, 1, 1)


def test_an_attach_that_fails(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """The error goes to the caller, and the softc is dropped, without a quiesce."""
    assert nic.errno("attach badly") == errno.EINVAL
    assert (nic.dropped, nic.quiesced) == (1, 0)
    nic.do("attach")
    assert nic.errno("attach") == errno.EEXIST
    assert (nic.dropped, nic.quiesced) == (2, 0)
    ifref.serial("n0")


@pytest.mark.only("stock")
def test_a_driver_is_forgotten(vm: Machine, ifref: Ifref) -> None:
    """A module that forgets to unregister its driver is not unloaded before that has let go."""
    module = ifref.module.with_name("ifref_nic.ko")
    for _ in range(3):
        vm.sh(f"insmod {module} forget=1")
        Nic(vm).do("attach", "up")
        serial = ifref.serial("n0")
        vm.sh("ip link set n0 up")
        send(vm, "n0", 5)
        vm.sh("rmmod ifref_nic")
        ifref.gone(serial)
    assert vm.sh("dmesg | grep -c 'driver nic is unloaded, and has not unregistered it'") == "3"
