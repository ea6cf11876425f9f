# SPDX-License-Identifier: GPL-2.0
"""The samples: other modules, in Rust and in C, that hold references through ifref."""

import errno
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ifref import ROOT, Ifref
from vmlib import Machine

pytestmark = [pytest.mark.issue(4), pytest.mark.quick("stock")]

WHO = Path(__file__).parents[1] / "scripts/ifref-who"
PIN = "/sys/module/ifref_pinner/parameters"
# A kernel without SYMBOLIC_ERRNAME has no names.
REFUSED = ("refused: -ENODEV\n", f"refused: -{errno.ENODEV}\n")
TAP, PROBER, ROUTES = (f"/sys/kernel/debug/ifref_{name}" for name in ("tap", "prober", "routes"))


@pytest.fixture
def load(vm: Machine, ifref: Ifref) -> Iterator[Callable[[str], None]]:
    """Loads a sample, which is unloaded before ifref is."""
    loaded: list[str] = []

    def insmod(name: str) -> None:
        vm.sh(f"insmod {ifref.module.with_name(f'ifref_{name}.ko')}")
        loaded.append(name)

    yield insmod
    vm.run("ip link del d0; ip link del v0; ip netns del n0; pkill ping", check=False)
    for name in reversed(loaded):
        vm.sh(f"! [ -e /sys/module/ifref_{name} ] || rmmod ifref_{name}")


def dummy(vm: Machine, ifref: Ifref, name: str = "d0") -> int:
    """Makes an interface that is up; its serial."""
    vm.sh(f"ip link add {name} type dummy && ip link set {name} up")
    return ifref.serial(name)


def pair(vm: Machine, ifref: Ifref) -> int:
    """Makes v0, whose other end answers at 10.1.0.2; its serial."""
    vm.sh(
        """ip netns add n0 && ip link add v0 type veth peer name v1 netns n0
        ip addr add 10.1.0.1/24 dev v0 && ip link set v0 up
        ip -n n0 addr add 10.1.0.2/24 dev v1 && ip -n n0 link set v1 up"""
    )
    vm.sh("ping -q -c 1 10.1.0.2")
    return ifref.serial("v0")


def pin(vm: Machine, mode: str, seconds: int, forget: bool = False) -> None:
    """Has the pinner hold d0."""
    vm.sh(
        f"""cd {PIN}; echo d0 > ifname; echo {mode} > mode; echo {seconds} > seconds
        echo {int(forget)} > forget; echo 1 > pin"""
    )


def who(vm: Machine, name: str) -> dict:
    """What ifref-who tells as JSON."""
    return json.loads(vm.run(f"{WHO} --json {name}", check=False).stdout)


def holder(vm: Machine, name: str, file: str) -> int:
    """A file of a holder's."""
    return int(vm.read(f"{ROOT}/holders/{name}/{file}"))


def number(vm: Machine, path: str) -> int:
    """A file's number."""
    return int(vm.read(path))


def released(ifref: Ifref, name: str) -> bool:
    """Whether the net_device was freed."""
    return any(event["name"] == name for event in ifref.trace("netdev_release"))


def test_depends(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """Users keep ifref loaded."""
    load("pinner")
    load("tap")
    refused = vm.run("rmmod ifref", check=False)
    assert refused.status != 0 and "in use by" in refused.stderr


def test_pinned_by_dev_hold(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """What ifref cannot help: the removal waits, and nobody is named."""
    load("pinner")
    dummy(vm, ifref)
    before = who(vm, "d0")["ifnets"][0]["kernel_references"]
    pin(vm, "dev_hold", 60)
    assert who(vm, "d0")["ifnets"][0]["kernel_references"] == before + 1
    vm.spawn("ip link del d0")
    vm.goes("/sys/class/net/d0")
    vm.sh("sleep 1")
    assert not released(ifref, "d0")
    told = vm.run(f"{WHO} d0", check=False)
    assert told.status == 1 and "nobody refers to one" in told.stderr
    vm.sh("rmmod ifref_pinner")
    vm.wait_until(lambda: released(ifref, "d0"), "the net_device is freed")


def test_pinned_by_reference(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """The removal does not wait; the next follow is refused and drops the reference."""
    load("pinner")
    serial = dummy(vm, ifref)
    pin(vm, "reference", 60)
    assert vm.read(f"{PIN}/pin") == "d0\n"
    vm.sh("ip link del d0")
    vm.wait_until(lambda: released(ifref, "d0"), "the net_device is freed")
    ifref.gone(serial)
    [found] = who(vm, "d0")["holders"]
    assert (found["holder"], found["references"], found["ifnet"]) == ("pinner", 1, serial)
    assert (found["reason"], found["entered"], found["ghost"]) == ("detached", 0, False)
    text = vm.sh(f"{WHO} d0")
    assert "d0: gone" in text and "pinner" in text and "detached" in text
    assert holder(vm, "pinner", "references") == 1
    assert vm.read(f"{PIN}/pin") in REFUSED
    assert holder(vm, "pinner", "references") == 0
    assert holder(vm, "pinner", "refusals") == 1
    assert vm.read(f"{PIN}/pin") in REFUSED


def test_pinned_by_enter(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """The removal waits, and the holder is named with its age."""
    load("pinner")
    serial = dummy(vm, ifref)
    pin(vm, "enter", 60)
    vm.spawn("ip link del d0")
    vm.goes("/sys/class/net/d0")
    vm.sh("sleep 1")
    assert not released(ifref, "d0")
    [found] = who(vm, "d0")["holders"]
    assert (found["holder"], found["ifnet"], found["entered"]) == ("pinner", serial, 1)
    assert 1 <= found["entered_age"] < 60
    vm.sh("rmmod ifref_pinner")
    vm.wait_until(lambda: released(ifref, "d0"), "the net_device is freed")


def test_pinner_releases(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """Each hold ends by itself; a bad one is refused."""
    load("pinner")
    dummy(vm, ifref)
    for mode in ("dev_hold", "reference", "enter"):
        pin(vm, mode, 1)
        with pytest.raises(OSError) as busy:
            vm.write(f"{PIN}/pin", "1")
        assert busy.value.errno == errno.EBUSY
        vm.wait_until(f"[ $(cat {PIN}/pin) = idle ]", "it is released")
    vm.sh(f"echo nothing > {PIN}/mode")
    with pytest.raises(OSError) as bad:
        vm.write(f"{PIN}/pin", "1")
    assert bad.value.errno == errno.EINVAL
    vm.sh(f"cd {PIN}; echo reference > mode; echo nonesuch > ifname")
    with pytest.raises(OSError) as missing:
        vm.write(f"{PIN}/pin", "1")
    assert missing.value.errno == errno.ENOENT


def test_ghost(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """A module that is unloaded without putting its reference stays shown by name, and delays
    nothing; what it left, the unloading of ifref frees and reports."""
    load("pinner")
    serial = dummy(vm, ifref)
    pin(vm, "reference", 60, forget=True)
    vm.sh("dmesg -C; rmmod ifref_pinner")
    assert "left 1 references behind" in vm.sh("dmesg | grep pinner")
    [found] = who(vm, "d0")["holders"]
    assert (found["holder"], found["ghost"], found["ifnet"]) == ("pinner", True, serial)
    assert "leaked" in vm.sh(f"{WHO} d0")
    vm.sh("ip link del d0")
    vm.wait_until(lambda: released(ifref, "d0"), "the net_device is freed")
    [found] = who(vm, "d0")["holders"]
    assert (found["ghost"], found["reason"]) == (True, "detached")
    vm.sh("dmesg -C; rmmod ifref")
    log = vm.sh("dmesg")
    assert f"1 references of holder pinner to ifaddr {found['ifaddr']} were left behind" in log
    assert "balanced, 1 references were left behind" in log
    ifref.load()


def test_who_is_not_there(vm: Machine, ifref: Ifref) -> None:
    """Nobody, no such interface, no ifref."""
    assert who(vm, "lo")["holders"] == []
    assert "nobody refers to it" in vm.sh(f"{WHO} lo")
    assert vm.run(f"{WHO} nonesuch", check=False).status == 1
    assert vm.run(f"{WHO}", check=False).status == 2
    ifref.unload()
    missing = vm.run(f"{WHO} lo", check=False)
    assert missing.status == 3 and "not loaded" in missing.stderr


def test_parked(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """P2: packets that are parked when their interface goes: visible, and each dropped once."""
    load("tap")
    pair(vm, ifref)
    vm.sh(f"echo 20000 > {TAP}/period; sleep 0.5")
    processed = number(vm, f"{TAP}/processed")
    vm.sh("ping -q -c 20 -i 0.02 10.1.0.2; ip link del v0")
    vm.wait_until(lambda: released(ifref, "v0"), "the net_device is freed")
    parked = number(vm, f"{TAP}/queued") - processed
    assert parked >= 20
    assert holder(vm, "tap", "packets") == holder(vm, "tap", "references") == parked
    [found] = [each for each in who(vm, "v0")["holders"] if each["holder"] == "tap"]
    assert found["packets"] == parked == found["references"]
    refused = f"[ $(cat {TAP}/refused) = {parked} ]"
    vm.wait_until(refused, "each is dropped", timeout=40)
    assert number(vm, f"{TAP}/processed") == processed
    vm.wait_until(f"[ $(cat {ROOT}/holders/tap/references) = 0 ]", "the count is zero")
    assert holder(vm, "tap", "packets") == 0


def test_parked_at_unload(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """What is parked when the tap is unloaded goes with it."""
    load("tap")
    pair(vm, ifref)
    vm.sh(f"echo 600000 > {TAP}/period; sleep 0.5; ping -q -c 5 -i 0.02 10.1.0.2; ip link del v0")
    assert holder(vm, "tap", "packets") >= 5
    vm.sh("rmmod ifref_tap")
    assert ifref.totals()["packets"] == 0 == ifref.totals()["references"]
    assert not vm.exists(f"{ROOT}/holders/tap")


@pytest.mark.parametrize("rounds", [5])
def test_removed_at_full_traffic(
    vm: Machine, ifref: Ifref, load: Callable[[str], None], rounds: int
) -> None:
    """The interface goes while packets pour in: all are accounted for."""
    load("tap")
    for _ in range(rounds):
        pair(vm, ifref)
        before = number(vm, f"{TAP}/queued")
        vm.spawn("ping -f -q 10.1.0.2")
        vm.wait_until(f"[ $(cat {TAP}/queued) -gt {before + 300} ]", "traffic", timeout=60)
        vm.sh("ip link del v0; ip netns del n0; pkill ping || true")
        vm.goes("/sys/class/net/v0")
        vm.wait_until(f"[ $(cat {ROOT}/holders/tap/references) = 0 ]", "the count is zero")
        seen = {name: number(vm, f"{TAP}/{name}") for name in ("queued", "processed", "refused")}
        assert seen["queued"] == seen["processed"] + seen["refused"]


def test_overflow(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """The queue is bounded; what does not fit is counted and holds nothing."""
    load("tap")
    pair(vm, ifref)
    vm.sh(f"echo 600000 > {TAP}/period; sleep 0.5")
    vm.spawn("ping -f -q 10.1.0.2")
    vm.wait_until(f"[ $(cat {TAP}/overflowed) -gt 100 ]", "it overflows", timeout=60)
    vm.sh("pkill ping")
    assert holder(vm, "tap", "packets") == 1024 == holder(vm, "tap", "references")


def test_prober(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """It sleeps inside the interface; refused, it finds the next one of that name."""
    load("prober")
    dummy(vm, ifref)
    vm.sh(f"cd {PROBER}; echo 10 > period; echo 1500 > takes; echo d0 > watch")
    vm.wait_until(f"[ $(cat {ROOT}/holders/prober/entered) = 1 ]", "it enters")
    vm.sh("ip link del d0")
    probes = number(vm, f"{PROBER}/probes")
    dummy(vm, ifref)
    vm.wait_until(f"[ $(cat {PROBER}/probes) -gt {probes} ]", "it finds the new one")
    vm.sh(f"echo 10 > {PROBER}/takes")
    assert vm.read(f"{PROBER}/watch") == "d0\n"


def test_routes(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """A reference for each route; one whose interface has gone is forgotten when it is used, and
    the next best one is taken."""
    dummy(vm, ifref)
    vm.sh("ip addr add 10.9.0.1/24 dev d0 && ip route add 10.0.0.0/8 dev d0")
    load("routes")
    pair(vm, ifref)
    vm.sh("for i in $(seq 20); do ip route add 10.2.$i.0/24 dev v0; done")

    def ask(host: str) -> str:
        vm.write(f"{ROUTES}/look_up", host)
        return vm.read(f"{ROUTES}/look_up").strip()

    assert holder(vm, "routes", "references") == 2 + 1 + 20
    assert (ask("10.2.7.1"), ask("10.9.0.9"), ask("10.3.0.1")) == ("v0", "d0", "d0")
    assert ask("192.168.0.1") == "none"
    # One that is deleted is gone at once.
    vm.sh("ip route del 10.2.20.0/24")
    assert holder(vm, "routes", "references") == 2 + 1 + 19
    vm.sh("ip link del v0")
    vm.wait_until(lambda: released(ifref, "v0"), "the net_device is freed")
    assert vm.read(f"{ROUTES}/routes").count("gone") == 20
    assert holder(vm, "routes", "references") == 2 + 1 + 19
    assert ask("10.2.7.1") == "d0"
    assert holder(vm, "routes", "references") == 2 + 1 + 18
    assert number(vm, f"{ROUTES}/refused") == 1 == holder(vm, "routes", "refusals")
    assert number(vm, f"{ROUTES}/missed") == 0
    with pytest.raises(OSError) as bad:
        vm.write(f"{ROUTES}/look_up", "nowhere")
    assert bad.value.errno == errno.EINVAL


MISUSE = {
    "ifref_holder_register(NULL)": errno.EINVAL,
    'ifref_holder_register("")': errno.EINVAL,
    'ifref_holder_register("a b")': errno.EINVAL,
    'ifref_holder_register("misuse")': errno.EEXIST,
    "ifref_get_by_index(NULL, &init_net, 1, GFP_KERNEL)": errno.EINVAL,
    "ifref_get_by_index(bad, &init_net, 1, GFP_KERNEL)": errno.EINVAL,
    "ifref_get_by_index(holder, NULL, 1, GFP_KERNEL)": errno.EINVAL,
    "ifref_get_by_index(holder, &init_net, 0, GFP_KERNEL)": errno.ENOENT,
    "ifref_get_by_name(holder, &init_net, NULL, GFP_KERNEL)": errno.EINVAL,
    'ifref_get_by_name(holder, &init_net, "nonesuch", GFP_KERNEL)': errno.ENOENT,
    "ifref_get_by_dev(holder, NULL, GFP_KERNEL)": errno.EINVAL,
    "ifref_get_by_id(holder, (struct ifref_id){}, GFP_KERNEL)": errno.ENOENT,
    "ifref_enter(NULL)": errno.EINVAL,
    "ifref_packet_park(&packet, NULL, NULL)": errno.EINVAL,
    "ifref_packet_transmit(&packet)": errno.EINVAL,
    "follow(NULL)": errno.EINVAL,
    "follow_or_put(&NULL)": errno.ENOENT,
    "lo": 0,
    "ifref_get_by_id(holder, ifref_id_of(lo), GFP_KERNEL)": 0,
    "follow(lo) by index": -1,
    "ifref_packet_park(&packet, skb, again)": 0,
    "the mark and the time of what is parked": -1,
    "what is parked leads nowhere": -1,
    "ifref_packet_clone(&other, &packet, GFP_KERNEL)": 0,
}


def test_misuse(vm: Machine, ifref: Ifref, load: Callable[[str], None]) -> None:
    """The API for C: misuse has a clear errno and a line in the log, rate-limited."""
    vm.sh("dmesg -C")
    load("misuse")
    log = vm.sh("dmesg")
    told = re.findall(r"ifref_misuse: (.*): (-?\d+)$", log, re.MULTILINE)
    *calls, in_atomic, once, twice, null = told
    assert dict(calls) == {what: str(-err) for what, err in MISUSE.items()}
    ends = [err for _, err in (in_atomic, once, twice, null)]
    assert ends == [str(-err) for err in (errno.EAGAIN, 0, errno.EINVAL, errno.EINVAL)]
    lines = [line for line in log.splitlines() if " ifref: C API: " in line]
    assert 5 <= len(lines) <= 10 and any("instead of a handle" in line for line in lines)
    for name in ("", "a b", "misuse"):
        assert f' ifref: holder "{name}": ' in log
    assert ifref.totals()["references"] == 0 == ifref.totals()["packets"]
