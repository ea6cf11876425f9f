# SPDX-License-Identifier: GPL-2.0
"""Holders by name: their counts, what they leave behind, uses that sleep, packets, look-ups."""

import errno
import re
from collections.abc import Iterator

import pytest
from ifref import HAND, ROOT, Ifref
from vmlib import Machine

pytestmark = pytest.mark.issue(4)


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("ip link del d0; ip netns del n0", check=False)


def plug(vm: Machine, ifref: Ifref) -> int:
    """Makes the interface d0 and returns the id of its link-layer ifaddr."""
    vm.sh("ip link add d0 type dummy")
    return ifref.ifaddr(ifref.serial("d0"), "link")


def files(vm: Machine, folder: str) -> dict[str, str]:
    """The files of one folder."""
    lines = vm.sh(f"cd {ROOT}/{folder} && grep -s . *").splitlines()
    return dict(line.split(":", 1) for line in lines)


def counts(vm: Machine, holder: str) -> tuple[int, int, int]:
    """A holder's references, gets and puts."""
    found = files(vm, f"holders/{holder}")
    return tuple(int(found[name]) for name in ("references", "gets", "puts"))


def released(ifref: Ifref, name: str = "d0") -> bool:
    """Whether the net_device was freed."""
    return any(event["name"] == name for event in ifref.trace("netdev_release"))


@pytest.mark.also("lockdep")
def test_counts(vm: Machine, ifref: Ifref) -> None:
    """P1: every reference is counted for the holder that has it."""
    ident = plug(vm, ifref)
    assert counts(vm, "hand") == (0, 0, 0)
    ifref.hand("register tap")
    ifref.hand(f"get {ident} 5")
    ifref.hand(f"get {ident} 3 by tap")
    assert counts(vm, "hand") == (5, 5, 0)
    assert counts(vm, "tap") == (3, 3, 0)
    assert ifref.ifaddrs()[ident]["references"] == "8"
    assert ifref.ifnets()[ifref.serial("d0")]["references"] == "8"
    assert ifref.totals()["references"] == 8
    for holder, references in (("hand", "5"), ("tap", "3")):
        folder = f"stakes/{ident}:{holder}"
        vm.appears(f"{ROOT}/{folder}")
        shown = files(vm, folder)
        assert (shown["holder"], shown["ifaddr"]) == (holder, str(ident))
        assert (shown["references"], shown["entered"]) == (references, "0")
    # The tap's are behind the hand's.
    ifref.hand(f"put {ident} 6")
    assert (counts(vm, "hand"), counts(vm, "tap")) == ((0, 5, 5), (2, 3, 1))
    ifref.hand(f"put {ident} 2")
    ifref.hand("unregister tap")
    assert not vm.exists(f"{ROOT}/holders/tap")
    assert not vm.exists(f"{ROOT}/stakes/{ident}:tap")
    # The name is free, and nothing of the first one is left.
    ifref.hand("register tap")
    assert counts(vm, "tap") == (0, 0, 0)
    ifref.hand("unregister tap")
    assert ifref.ifaddrs()[ident]["references"] == "0"


def test_events(vm: Machine, ifref: Ifref) -> None:
    """The trace has each get and put, with the holder."""
    ident = plug(vm, ifref)
    ifref.hand(f"get {ident} 3")
    ifref.hand(f"put {ident} 2")
    for event, number in (("ifref_ref_get", 3), ("ifref_ref_put", 2)):
        seen = [e for e in ifref.trace(event) if e["id"] == str(ident)]
        assert [e["holder"] for e in seen] == ["hand"] * number
    ifref.hand(f"put {ident}")


def test_age(vm: Machine, ifref: Ifref) -> None:
    """The age of a count begins when it was last seen zero."""
    ident = plug(vm, ifref)
    ifref.hand(f"get {ident}")
    vm.appears(f"{ROOT}/stakes/{ident}:hand")
    age = f"{ROOT}/stakes/{ident}:hand/age"
    vm.wait_until(f"[ $(cut -d. -f1 {age}) -ge 3 ]", "it ages", 60)
    ifref.hand(f"put {ident}")
    assert float(vm.read(age)) == 0
    vm.sh("sleep 2")
    ifref.hand(f"get {ident}")
    # Nobody has read it: the worker has looked.
    assert float(vm.read(age)) < 2
    ifref.hand(f"put {ident}")


@pytest.mark.also("lockdep", quick=False)
@pytest.mark.parametrize("rounds", [5])
def test_exact(vm: Machine, ifref: Ifref, rounds: int) -> None:
    """Puts from two CPUs while the interface goes: then the count is exact."""
    for _ in range(rounds):
        ident = plug(vm, ifref)
        before = counts(vm, "hand")
        ifref.hand(f"get {ident} 407")
        put = f"for i in $(seq 200); do echo put {ident} > {HAND}; done"
        vm.sh(
            f"""taskset -c 0 sh -c '{put}' & one=$!
            taskset -c 1 sh -c '{put}' & two=$!
            ip link del d0; wait $one; wait $two"""
        )
        vm.goes("/sys/class/net/d0")
        assert ifref.ifaddrs()[ident]["references"] == "7"
        assert counts(vm, "hand") == (7, before[1] + 407, before[2] + 400)
        ifref.hand(f"put {ident} 7")
        ifref.forgotten(ident)
        assert counts(vm, "hand") == (0, before[1] + 407, before[2] + 407)


def test_refusals(vm: Machine, ifref: Ifref) -> None:
    """Every refusal is counted; what is not there is none."""
    ident = plug(vm, ifref)
    ifref.hand(f"get {ident} 3")
    assert ifref.errno(f"follow {ident}") == 0
    vm.sh("ip link del d0")
    assert files(vm, "holders/hand")["refusals"] == "0"
    assert ifref.errno(f"follow {ident}") == errno.ENODEV
    assert ifref.errno(f"get {ident}") == errno.ENODEV
    assert ifref.errno(f"enter {ident}") == errno.ENODEV
    assert ifref.errno("get 999999") == errno.ENOENT
    assert files(vm, "holders/hand")["refusals"] == "3"
    assert counts(vm, "hand") == (2, 3, 1)
    ifref.hand(f"put {ident} 2")


def test_many(vm: Machine, ifref: Ifref) -> None:
    """P5: the net_device is freed while 10,000 references are held."""
    ident = plug(vm, ifref)
    serial = ifref.serial("d0")
    ifref.hand(f"get {ident} 10000")
    vm.sh("ip link del d0")
    vm.wait_until(lambda: released(ifref), "the net_device is freed")
    ifref.gone(serial)
    assert ifref.ifaddrs()[ident]["references"] == "10000"
    assert counts(vm, "hand") == (10000, 10000, 0)
    ifref.hand(f"put {ident} 10000")
    ifref.forgotten(ident)


def test_ghost(vm: Machine, ifref: Ifref) -> None:
    """A holder that leaves references behind is shown until they are put."""
    ident = plug(vm, ifref)
    ifref.hand("register tap")
    ifref.hand(f"get {ident} 3 by tap")
    assert files(vm, "holders/tap")["ghost"] == "0"
    vm.sh("dmesg -C")
    ifref.hand("unregister tap")
    told = [line for line in vm.sh("dmesg").splitlines() if "tap" in line]
    assert len(told) == 1 and "left 3 references behind" in told[0]
    shown = files(vm, "holders/tap")
    assert (shown["ghost"], shown["references"]) == ("1", "3")
    assert files(vm, f"stakes/{ident}:tap")["references"] == "3"
    assert ifref.errno("register tap") == errno.EEXIST
    assert ifref.errno("unregister tap") == errno.ENOENT
    # What it left is good.
    assert ifref.errno(f"follow {ident}") == 0
    ifref.hand(f"put {ident} 2")
    assert counts(vm, "tap") == (1, 3, 2)
    ifref.hand(f"put {ident}")
    vm.goes(f"{ROOT}/holders/tap")
    assert ifref.ifaddrs()[ident]["references"] == "0"


def test_left_behind(vm: Machine, ifref: Ifref) -> None:
    """What nobody can put any more, rmmod frees and reports."""
    ident = plug(vm, ifref)
    ifref.hand("register tap")
    ifref.hand(f"get {ident} 5 by tap")
    ifref.hand(f"leak {ident} 5")
    ifref.hand(f"get {ident} 3")
    ifref.hand(f"leak {ident} 2")
    ifref.hand(f"put {ident}")
    vm.sh("dmesg -C; rmmod ifref")
    log = vm.sh("dmesg")
    assert re.search(rf"5 references of holder tap to ifaddr {ident} were left behind", log)
    assert re.search(rf"2 references of holder hand to ifaddr {ident} were left behind", log)
    assert re.search(r"references 8 = 8,.*: balanced, 7 references were left behind", log)
    ifref.load()


@pytest.mark.parametrize("name", ["a" * 32, "a/b", "a:b", "..", "\N{SNOWMAN}"])
def test_bad_names(vm: Machine, ifref: Ifref, name: str) -> None:
    """A name is a file's name, short and plain."""
    assert ifref.errno(f"register {name}") == errno.EINVAL


def test_names(vm: Machine, ifref: Ifref) -> None:
    """A name is one holder's."""
    assert ifref.errno("register hand") == errno.EEXIST
    assert ifref.errno("register kernel") == errno.EEXIST
    name = "A-b_c.9" + "x" * 24
    ifref.hand(f"register {name}")
    assert ifref.errno(f"register {name}") == errno.EEXIST
    assert vm.exists(f"{ROOT}/holders/{name}")
    ifref.hand(f"unregister {name}")
    assert not vm.exists(f"{ROOT}/holders/{name}")


@pytest.mark.also("lockdep", quick=False)
def test_entered(vm: Machine, ifref: Ifref) -> None:
    """Who has entered delays the removal, is named, and is not the kernel's."""
    ident = plug(vm, ifref)
    serial = ifref.serial("d0")
    before = ifref.ifnets()[serial]["kernel_references"]
    ifref.hand(f"get {ident}")
    ifref.hand(f"enter {ident}")
    ifref.hand(f"enter {ident}")
    assert ifref.ifnets()[serial]["kernel_references"] == before
    assert ifref.totals()["entered"] == 2
    assert files(vm, "holders/hand")["entered"] == "2"
    folder = f"stakes/{ident}:hand"
    vm.appears(f"{ROOT}/{folder}")
    vm.spawn("ip link del d0")
    ifref.gone(serial)
    vm.sh("sleep 1")
    assert not released(ifref)
    shown = files(vm, folder)
    assert shown["entered"] == "2" and 0.9 < float(shown["entered_age"]) < 60
    ifref.hand(f"leave {ident}")
    assert not released(ifref)
    ifref.hand(f"leave {ident}")
    vm.wait_until(lambda: released(ifref), "the net_device is freed")
    assert files(vm, folder)["entered"] == "0"
    assert ifref.errno(f"leave {ident}") == errno.ENOENT
    ifref.hand(f"put {ident}")


@pytest.mark.also("lockdep", quick=False)
def test_packets(vm: Machine, ifref: Ifref) -> None:
    """P2: packets that are parked keep nothing, and each is dropped exactly once."""
    ident = plug(vm, ifref)
    vm.sh("ip link set d0 up")
    sent = int(vm.read("/sys/class/net/d0/statistics/tx_packets"))
    ifref.hand(f"get {ident}")
    ifref.hand(f"park {ident} 10")
    assert counts(vm, "hand")[0] == 11
    assert ifref.totals()["packets"] == 10
    ifref.hand(f"send {ident}")
    assert int(vm.read("/sys/class/net/d0/statistics/tx_packets")) > sent
    assert counts(vm, "hand")[0] == 10
    vm.sh("ip link del d0")
    vm.wait_until(lambda: released(ifref), "the net_device is freed")
    assert files(vm, "holders/hand")["packets"] == "9"
    assert ifref.errno(f"send {ident}") == errno.ENODEV
    ifref.hand(f"put {ident}")
    assert ifref.totals()["packets"] == 8 == ifref.totals()["references"]
    ifref.hand(f"free {ident} 8")
    ifref.forgotten(ident)
    assert ifref.totals()["packets"] == 0
    assert ifref.unload()["packets"] == 10


def test_look_ups(vm: Machine, ifref: Ifref) -> None:
    """By id, name, index and address, in a namespace; never one of another."""
    ident = plug(vm, ifref)
    vm.sh("ip netns add n0; ip addr add 10.1.0.1/24 dev d0; ip addr add fd00::1/64 dev d0 nodad")
    serial = ifref.serial("d0")
    index = vm.read("/sys/class/net/d0/ifindex").strip()
    ids = {
        f"{ident}": ident,
        f"{ident}@{serial}": ident,
        "dev:d0": ident,
        f"index:{index}": ident,
        "ip:10.1.0.1": ifref.ifaddr(serial, "10.1.0.1"),
        "ip:fd00::1": ifref.ifaddr(serial, "fd00::1"),
    }
    for what, wanted in ids.items():
        ifref.hand(f"get {what}")
        assert list(ifref.held()) == [wanted], what
        ifref.hand(f"put {wanted}")
    for what in (f"{ident}@{serial + 1}", "dev:d1", "index:99999", "ip:10.1.0.2", "ip:fd00::2"):
        assert ifref.errno(f"get {what}") == errno.ENOENT, what
    # Somewhere else they are not there.
    for what in ("dev:d0", f"index:{index}", "ip:10.1.0.1"):
        tried = vm.run(f"nsenter --net=/run/netns/n0 sh -c 'echo get {what} > {HAND}'", check=False)
        assert tried.status != 0 and not ifref.held(), what
    for what in ("dev:" + "x" * 16, "ip:1.2.3", "index:x", "1@", "@", "mac:1"):
        assert ifref.errno(f"get {what}") == errno.EINVAL, what
    # The new address is found, the old one is not.
    vm.sh("ip link set d0 address 52:54:00:00:00:99")
    ifref.hand("get dev:d0")
    assert list(ifref.held()) != [ident]
    vm.sh("ip link del d0")
    assert ifref.errno("get dev:d0") == errno.ENOENT
    [held] = ifref.held()
    ifref.hand(f"put {held}")
