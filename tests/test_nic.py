# SPDX-License-Identifier: GPL-2.0
"""Drivers in Rust: the sample, with its twin in C, and one that does what it is told."""

import errno
import os
from collections.abc import Iterator

import pytest
from ifref import ROOT, Ifref
from lanes import times
from test_devd import FLOOD
from vmlib import Machine

pytestmark = pytest.mark.issue(6)

# The samples, in Rust and in C, and where they are told which NIC to pull.
SAMPLES = {
    "vnic": "/sys/kernel/debug/ifref_vnic",
    "vnic_c": "/sys/module/ifref_vnic_c/parameters",
}
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


@pytest.mark.parametrize("sample", SAMPLES)
def test_vnic(vm: Machine, ifref: Ifref, sample: str) -> None:
    """A sample: what it sends comes back; pulled by a task, by an interrupt, by the unload."""
    vm.sh(f"insmod {ifref.module.with_name(f'ifref_{sample}.ko')} nics=4")
    serials = [ifref.serial(f"vnic{n}") for n in range(4)]
    vm.sh("ip link set vnic0 up")
    send(vm, "vnic0", 500)

    def is_back() -> bool:
        now = counters(vm, "vnic0")
        same = all(now[f"rx_{what}"] == now[f"tx_{what}"] for what in ("packets", "bytes"))
        return same and now["tx_packets"] >= 500

    vm.wait_until(is_back, "all has come back")
    now = counters(vm, "vnic0")
    assert now["rx_dropped"] + now["tx_dropped"] + now["rx_errors"] == 0

    vm.sh("ip link set vnic1 up")
    vm.write(f"{SAMPLES[sample]}/pull", "1")
    vm.write(f"{SAMPLES[sample]}/pull_in_irq", "2")
    ifref.gone(serials[1])
    ifref.gone(serials[2])
    with pytest.raises(OSError) as refused:
        vm.write(f"{SAMPLES[sample]}/pull", "9")
    assert refused.value.errno == errno.ENODEV
    vm.write(f"{SAMPLES[sample]}/pull", "1")
    assert vm.exists("/sys/class/net/vnic0") and vm.exists("/sys/class/net/vnic3")
    vm.sh(f"rmmod ifref_{sample}")
    for serial in serials:
        ifref.gone(serial)


@pytest.mark.quick("stock")
@pytest.mark.parametrize("how", ["pull", "pull_in_irq", "rmmod"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_vnic_under_load(vm: Machine, ifref: Ifref, sample: str, how: str) -> None:
    """Pulled while it is flooded, opened and closed."""
    module = ifref.module.with_name(f"ifref_{sample}.ko")
    for _ in range(3):
        vm.sh(f"insmod {module}")
        serial = ifref.serial("vnic0")
        vm.sh("ip link set vnic0 up")
        vm.sh("ip addr add 10.1.0.1/24 dev vnic0")
        vm.spawn("ping -f -b -q -n -s 1000 10.1.0.255")
        vm.spawn("while ip link set vnic0 down && ip link set vnic0 up; do :; done")
        vm.sh("sleep 0.5")
        if how != "rmmod":
            vm.write(f"{SAMPLES[sample]}/{how}", "0")
            ifref.gone(serial)
        vm.sh(f"rmmod ifref_{sample}")
        ifref.gone(serial)
        vm.kill_jobs()


# Pulls one NIC after the other, each while it sends to itself as fast as it can.
PULLS = """
import fcntl, os, socket, struct, sys, threading, time
nics = [f"vnic{n}" for n in range(int(sys.argv[1]))]
now, packets = "lo", 0
def flood():
    global packets
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    frame = b"\\xff" * 6 + bytes(6) + b"\\x88\\xb5" + bytes(986)
    while now:
        try:
            raw.sendto(frame, (now, 0))
            packets += 1
        except OSError:  # it has gone
            time.sleep(0.001)
def received(nic):
    with open(f"/sys/class/net/{nic}/statistics/rx_packets") as file:
        return int(file.read())
def until(what, condition):
    end = time.time() + 60
    while not condition():
        assert time.time() < end, what
        time.sleep(0.005)
thread = threading.Thread(target=flood)
thread.start()
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    for number, nic in enumerate(nics):
        until(f"{nic} is adopted", lambda: os.path.exists(f"/sys/class/net/{nic}/ifref"))
        ifnet = os.path.realpath(f"/sys/class/net/{nic}/ifref")
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", nic.encode(), 1))  # SIOCSIFFLAGS, up
        now = nic
        until(f"{nic} receives", lambda: received(nic) > 200)
        how = ("pull", "pull_in_irq")[number % 2]
        with open(f"/sys/kernel/debug/ifref_vnic/{how}", "w") as file:
            file.write(str(number))
        until(f"{nic} goes", lambda: not os.path.exists(ifnet))
finally:
    now = ""
    thread.join()
print(packets)
"""


@pytest.mark.quick("stock")
def test_vnic_pulled_at_full_rate(
    vm: Machine, ifref: Ifref, flavour: str, record_property
) -> None:
    """Hundreds of NICs, each pulled while it receives what it sends."""
    module = ifref.module.with_name("ifref_vnic.ko")
    left = times(flavour, 10, 500)
    record_property("detaches", left)
    packets = 0
    while left:
        nics = min(left, 50)
        vm.sh(f"insmod {module} nics={nics}")
        run = vm.run(["python3", "-c", PULLS, str(nics)], timeout=60 + 10 * nics)
        packets += int(run.stdout)
        vm.sh("rmmod ifref_vnic")
        left -= nics
    record_property("packets", packets)


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
    assert "driver: nic\n" in vm.sh("ethtool -i n0")
    assert "Link detected: no" in vm.sh("ethtool n0")
    nic.do("up")
    vm.wait_until("[ $(cat /sys/class/net/n0/carrier) = 1 ]", "the carrier")
    assert "Link detected: yes" in vm.sh("ethtool n0")

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


@pytest.mark.quick("stock")
def test_the_end_of_a_poll_is_waited_for(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """Neither stop nor quiesce come while `polled` is running, which began after a grace period."""
    nic.do("attach")
    ifref.serial("n0")
    nic.do("hold")
    vm.write(f"{NIC}/linger_ms", "5")
    vm.spawn(f"while echo use > {NIC}/do; do :; done")
    for _ in range(20):
        completed = nic.completed
        vm.sh("ip link set n0 up")
        vm.wait_until(lambda before=completed: nic.completed > before, "it polls")
        vm.sh("ip link set n0 down")
    completed = nic.completed
    vm.sh("ip link set n0 up")
    vm.wait_until(lambda: nic.completed > completed, "it polls")
    nic.do("detach")
    vm.wait_until(lambda: nic.quiesced == 1, "it is quiesced")
    vm.kill_jobs()
    # The driver has noted what should not be.
    assert nic.stopped == 21 and nic.wrong == 0


@pytest.mark.issue(16)
@pytest.mark.quick("stock")
def test_the_end_of_a_transmit_is_waited_for(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """Quiesce does not come while `start_xmit` is running."""
    vm.write(f"{NIC}/send_ms", "50")
    vm.spawn(["python3", "-c", FLOOD.replace("rig0", "n0")])
    for turn in range(3):
        nic.do("attach", "up")
        vm.sh("ip link set n0 up")
        sent = nic.sent
        vm.wait_until(lambda before=sent: nic.sent > before + 2, "traffic")
        nic.do("detach", "wait")
        assert (nic.quiesced, nic.wrong) == (turn + 1, 0)


# What pktgen is told for each way past the core's queues, or the taps.
PKTGEN = {
    "in pieces": "xmit_mode start_xmit;pkt_size 1000;frags 3",
    "shared": "xmit_mode queue_xmit;pkt_size 60",
}


@pytest.mark.only("stock")
@pytest.mark.parametrize("how", PKTGEN)
def test_what_pktgen_sends_is_the_drivers_alone(
    vm: Machine, ifref: Ifref, nic: Nic, how: str
) -> None:
    """It sends fragments, and keeps a reference, with which what a tap has is not to be copied."""
    nic.do("attach", "up")
    ifref.serial("n0")
    vm.sh("ip link set n0 up; modprobe pktgen")
    # For ETH_P_ALL; what the test has started ends with it.
    tap = "import socket, time; tap = socket.socket(17, 3, 0x300); time.sleep(99)"
    vm.spawn(["python3", "-c", tap])
    vm.wait_until("[ $(wc -l < /proc/net/packet) -gt 1 ]", "the tap listens")
    sent = nic.sent
    vm.sh(
        f"""echo add_device n0 > /proc/net/pktgen/kpktgend_0
        for command in "count 200" "dst 10.1.0.2" "dst_mac 02:00:00:00:00:01"; do
            echo $command > /proc/net/pktgen/n0
        done
        while read -rd ";" command; do
            echo $command > /proc/net/pktgen/n0
        done <<< "{PKTGEN[how]};"
        echo start > /proc/net/pktgen/pgctrl
        rmmod pktgen"""
    )
    assert nic.sent >= sent + 200 and nic.wrong == 0


def test_a_hold_keeps_the_softc_only(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """All that a hold is good for, while the interface is there and after it has gone."""
    nic.do("attach")
    ifref.serial("n0")
    vm.sh("ip link set n0 up")
    nic.do("hold", "use", "use")
    now = counters(vm, "n0")
    assert now["tx_dropped"] == 2 and now["rx_dropped"] >= 2
    nic.do("detach")
    vm.goes("/sys/class/net/n0")
    vm.sh("sleep 0.5")
    assert (nic.quiesced, nic.dropped) == (1, 0)
    nic.do("use", "use", "up", "down", "receive", "release")
    vm.wait_until(lambda: nic.dropped == 1, "the softc is dropped")
    assert nic.errno("hold") == errno.ENODEV


@pytest.mark.quick("stock")
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


@pytest.mark.quick("stock")
def test_an_attach_that_fails(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """The error goes to the caller, and the softc is dropped, without a quiesce."""
    assert nic.errno("attach badly") == errno.EINVAL
    assert (nic.dropped, nic.quiesced) == (1, 0)
    nic.do("attach")
    assert nic.errno("attach") == errno.EEXIST
    assert (nic.dropped, nic.quiesced) == (2, 0)
    ifref.serial("n0")


@pytest.mark.quick("stock")
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
    # Nothing of ifref's is kept by what was forgotten.
    ifref.unload()
    ifref.load()


@pytest.mark.issue(16)
@pytest.mark.quick("stock")
def test_a_name_that_was_given_back(vm: Machine, ifref: Ifref, nic: Nic) -> None:
    """Who detaches one and attaches another of the same name has that name, as with
    unregister_netdev() and register_netdev().
    """
    nic.do("attach")
    for _ in range(10):
        nic.do("detach", "attach")
    serial = ifref.serial("n0")
    nic.do("detach", "wait")
    ifref.gone(serial)
    vm.wait_until(lambda: nic.dropped == 11, "all are freed")
