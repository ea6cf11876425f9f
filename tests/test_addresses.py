# SPDX-License-Identifier: GPL-2.0
"""Addresses that come and go while references to them are held."""

import errno
from collections.abc import Iterator

import pytest
from ifref import ROOT, Ifref
from lanes import times
from vmlib import Machine

pytestmark = pytest.mark.issue(2)

MAC = "02:00:00:00:00:01"
OTHER_MAC = "02:00:00:00:00:02"


@pytest.fixture
def serial(vm: Machine, ifref: Ifref) -> Iterator[int]:
    """The serial of d0: a dummy that is up and has no address but its link-layer one."""
    vm.sh(
        f"""ip -batch - <<END
link add d0 address {MAC} type dummy
link set d0 addrgenmode none
link set d0 up
END"""
    )
    yield ifref.serial("d0")
    vm.run("ip link del d0; ip link del d1", check=False)


def hold(ifref: Ifref, serial: int, text: str, count: int = 1) -> int:
    """Takes references to the ifaddr with an address, which must be valid."""
    ident = ifref.ifaddr(serial, text)
    ifref.hand(f"get {ident} {count}")
    assert ifref.errno(f"follow {ident}") == 0
    return ident


def stays(ifref: Ifref, serial: int, *idents: int) -> None:
    """What must hold for held ifaddrs that nothing happened to."""
    shown, held = ifref.ifaddrs(serial), ifref.held()
    for ident in idents:
        assert (shown[ident]["valid"], shown[ident]["reason"]) == ("1", "none"), shown[ident]
        assert ifref.errno(f"follow {ident}") == 0
        assert f"serial={serial} " in held[ident]


def refused(ifref: Ifref, idents: tuple[int, ...], reason: str, error: int) -> None:
    """Held ifaddrs are invalid for a reason; a follow says so and empties the slot."""
    shown, held = ifref.ifaddrs(), ifref.held()
    reasons = {shown[ident]["address"]: shown[ident]["reason"] for ident in idents}
    assert set(reasons.values()) == {reason}, reasons
    for ident in idents:
        assert shown[ident]["valid"] == "0"
        assert f"invalid={reason}" in held[ident]
        assert ifref.errno(f"get {ident}") == error
        for _ in range(int(shown[ident]["references"])):
            assert ifref.errno(f"follow {ident}") == error
        assert ifref.errno(f"follow {ident}") == errno.ENOENT, "the reference was not dropped"
    folders = " || ".join(f"[ -e {ROOT}/ifaddrs/{ident} ]" for ident in idents)
    ifref.vm.wait_until(f"! {{ {folders}; }}", "their folders go")
    assert [ifref.errno(f"get {ident}") for ident in idents] == [errno.ENOENT] * len(idents)


def removed(ifref: Ifref, *idents: int) -> None:
    """Held ifaddrs whose address was taken off."""
    refused(ifref, idents, "address removed", errno.EADDRNOTAVAIL)


def detached(ifref: Ifref, *idents: int) -> None:
    """Held ifaddrs whose interface has gone."""
    refused(ifref, idents, "detached", errno.ENODEV)


@pytest.mark.parametrize("address", ["10.1.0.1/24", "fd00::1/64"])
def test_add_remove(vm: Machine, ifref: Ifref, serial: int, address: str) -> None:
    """An address is added: its ifaddr is valid. It is removed: the ifaddr is refused."""
    link = hold(ifref, serial, "link")
    vm.sh(f"ip addr add {address} dev d0 nodad")
    ident = hold(ifref, serial, address, 3)
    stays(ifref, serial, ident)
    assert ifref.ifaddrs()[ident]["family"] == ("inet6" if ":" in address else "inet")
    assert ifref.ifnets()[serial]["references"] == "4"
    vm.sh(f"ip addr del {address} dev d0")
    assert ifref.ifnets()[serial]["references"] == "1"
    removed(ifref, ident)
    stays(ifref, serial, link)


@pytest.mark.parametrize("address", ["10.1.0.1/24", "fd00::1/64"])
def test_same_address_again(vm: Machine, ifref: Ifref, serial: int, address: str) -> None:
    """The same address again is another ifaddr; the old one's holders do not follow to it."""
    rounds = times(vm.flavour, 40, 400)
    vm.sh(f"ip addr add {address} dev d0 nodad")
    old = hold(ifref, serial, address, 2)
    before = ifref.totals()["ifaddrs"]
    vm.sh(
        f"""for i in $(seq {rounds}); do
            echo addr del {address} dev d0; echo addr add {address} dev d0 nodad
        done | ip -batch -""",
        timeout=60,
    )
    vm.wait_until(lambda: ifref.totals()["ifaddrs"] == before + 1, "all but one are freed")
    [new] = [n for n, f in ifref.ifaddrs(serial).items() if f["address"] == address and n != old]
    assert new >= old + rounds
    ifref.hand(f"get {new}")
    stays(ifref, serial, new)
    removed(ifref, old)


def test_promotion(vm: Machine, ifref: Ifref, serial: int) -> None:
    """The primary is removed and a secondary promoted: that one's ifaddr is untouched."""
    vm.sh(
        """sysctl -qw net.ipv4.conf.d0.promote_secondaries=1
        for i in 1 2 3; do ip addr add 10.1.0.$i/24 dev d0; done"""
    )
    assert "10.1.0.2/24" in vm.sh("ip -o addr show dev d0 secondary")
    primary, second, third = (hold(ifref, serial, f"10.1.0.{i}/24") for i in (1, 2, 3))
    vm.sh("ip addr del 10.1.0.1/24 dev d0")
    assert "10.1.0.2/24" in vm.sh("ip -o addr show dev d0 primary")
    removed(ifref, primary)
    stays(ifref, serial, second, third)
    assert ifref.ifaddr(serial, "10.1.0.2/24") == second
    assert ifref.ifaddr(serial, "10.1.0.3/24") == third


def test_no_promotion(vm: Machine, ifref: Ifref, serial: int) -> None:
    """Without promotion the secondaries go with their primary, and only they."""
    vm.sh(
        """sysctl -qw net.ipv4.conf.all.promote_secondaries=0
        sysctl -qw net.ipv4.conf.d0.promote_secondaries=0
        for i in 1.1 1.2 1.3 2.1; do ip addr add 10.1.$i/24 dev d0; done"""
    )
    idents = [hold(ifref, serial, f"10.1.{i}/24") for i in ("1.1", "1.2", "1.3")]
    other = hold(ifref, serial, "10.1.2.1/24")
    vm.sh("ip addr del 10.1.1.1/24 dev d0")
    removed(ifref, *idents)
    stays(ifref, serial, other)


def test_expiry(vm: Machine, ifref: Ifref, serial: int) -> None:
    """Addresses whose lifetime is over are refused, without anybody's doing."""
    for address in ("10.1.0.1/24", "fd00::1/64"):
        vm.sh(f"ip addr add {address} dev d0 nodad valid_lft 100 preferred_lft 100")
    idents = [hold(ifref, serial, "10.1.0.1/24"), hold(ifref, serial, "fd00::1/64")]
    stays(ifref, serial, *idents)
    # A changed lifetime changes nothing else; then one that ends soon, however slow the machine is.
    for seconds in (200, 2):
        stays(ifref, serial, *idents)
        for address in ("10.1.0.1/24", "fd00::1/64"):
            vm.sh(f"ip addr change {address} dev d0 valid_lft {seconds} preferred_lft {seconds}")
    vm.wait_until(
        lambda: all("invalid=" in line for line in ifref.held().values()), "they expire", 15
    )
    removed(ifref, *idents)


def test_peers(vm: Machine, ifref: Ifref, serial: int) -> None:
    """One local address with two peers is two ifaddrs; IPv6 ones have peers, too."""
    vm.sh(
        """ip addr add 10.1.0.1 peer 10.1.0.2/32 dev d0
        ip addr add 10.1.0.1 peer 10.1.0.3/32 dev d0
        ip addr add fd00::1 peer fd00::2/64 dev d0 nodad"""
    )
    one = hold(ifref, serial, "10.1.0.1 peer 10.1.0.2/32")
    other = hold(ifref, serial, "10.1.0.1 peer 10.1.0.3/32")
    six = hold(ifref, serial, "fd00::1")
    assert one != other
    vm.sh("ip addr del 10.1.0.1 peer 10.1.0.2/32 dev d0")
    removed(ifref, one)
    stays(ifref, serial, other, six)
    vm.sh("ip addr del fd00::1/64 dev d0")
    removed(ifref, six)
    stays(ifref, serial, other)


@pytest.mark.also("lockdep", quick=False)
def test_link_down(vm: Machine, ifref: Ifref, serial: int) -> None:
    """Down: the kernel takes the IPv6 addresses off, and nothing else."""
    vm.sh("ip addr add 10.1.0.1/24 dev d0; ip addr add fd00::1/64 dev d0 nodad")
    link, four, six = (hold(ifref, serial, a) for a in ("link", "10.1.0.1/24", "fd00::1/64"))
    vm.sh("ip link set d0 down")
    stays(ifref, serial, link, four)
    removed(ifref, six)
    vm.sh("ip link set d0 up")
    stays(ifref, serial, link, four)


def test_link_down_keeps(vm: Machine, ifref: Ifref, serial: int) -> None:
    """With keep_addr_on_down an IPv6 address stays, and so does its ifaddr; gone with d0."""
    vm.sh(
        """sysctl -qw net.ipv6.conf.d0.keep_addr_on_down=1
        ip addr add fd00::1/64 dev d0 nodad"""
    )
    six = hold(ifref, serial, "fd00::1/64")
    vm.sh("ip link set d0 down")
    stays(ifref, serial, six)
    vm.sh("ip link set d0 up")
    stays(ifref, serial, six)
    vm.sh("ip link set d0 down; ip link del d0")
    detached(ifref, six)


@pytest.mark.parametrize("state", ["up", "down"])
@pytest.mark.parametrize("addresses", [[], ["10.1.0.1/24"], ["fd00::1/64"]])
def test_mac(vm: Machine, ifref: Ifref, serial: int, addresses: list[str], state: str) -> None:
    """Another MAC address: the link ifaddr is replaced, the others stay."""
    if state == "down":
        vm.sh("sysctl -qw net.ipv6.conf.d0.keep_addr_on_down=1")
    for address in addresses:
        vm.sh(f"ip addr add {address} dev d0 nodad")
    kept = [hold(ifref, serial, address) for address in addresses]
    vm.sh(f"ip link set d0 {state}")
    old = hold(ifref, serial, "link")
    assert ifref.ifaddrs()[old]["address"] == MAC

    vm.sh(f"ip link set d0 address {MAC}")
    stays(ifref, serial, old, *kept)

    vm.sh(f"ip link set d0 address {OTHER_MAC}")
    new = hold(ifref, serial, OTHER_MAC)
    assert new != old
    removed(ifref, old)
    stays(ifref, serial, new, *kept)

    vm.sh(f"ip link set d0 address {MAC}")
    last = hold(ifref, serial, MAC)
    assert last not in (old, new)
    removed(ifref, new)
    stays(ifref, serial, last, *kept)


def test_rename(vm: Machine, ifref: Ifref, serial: int) -> None:
    """Another name: the same ifnet, the same ifaddrs."""
    vm.sh("ip addr add 10.1.0.1/24 dev d0")
    idents = [hold(ifref, serial, "link"), hold(ifref, serial, "10.1.0.1/24")]
    vm.sh("ip link set d0 down; ip link set d0 name d1; ip link set d1 up")
    assert ifref.ifnets()[serial]["name"] == "d1"
    assert ifref.serial("d1") == serial
    stays(ifref, serial, *idents)
    assert all("name=d1 " in line for line in ifref.held().values())
    # The old name is free for another one.
    vm.sh("ip link add d0 type dummy")
    assert ifref.serial("d0") > serial
    assert ifref.serial("d1") == serial
    vm.sh("ip link del d1")
    detached(ifref, *idents)


@pytest.mark.also("lockdep", quick=False)
@pytest.mark.parametrize("state", ["up", "down"])
def test_deletion(vm: Machine, ifref: Ifref, serial: int, state: str) -> None:
    """The whole interface goes: the reason is "detached" for each of its ifaddrs."""
    vm.sh("sysctl -qw net.ipv6.conf.d0.keep_addr_on_down=1")
    for address in ("10.1.0.1/24", "10.1.0.2/24", "10.2.0.1/24", "fd00::1/64", "fd00::2/64"):
        vm.sh(f"ip addr add {address} dev d0 nodad")
    ifref.ifaddr(serial, "fd00::2/64")
    vm.sh(f"ip link set d0 {state}")
    idents = list(ifref.ifaddrs(serial))
    assert len(idents) == 6
    for ident in idents:
        ifref.hand(f"get {ident}")
    vm.sh("ip link del d0")
    ifref.gone(serial)
    assert ifref.totals()["references"] == 6
    detached(ifref, *idents)


@pytest.mark.issue(16)
@pytest.mark.also("lockdep")
def test_many(vm: Machine, ifref: Ifref, serial: int) -> None:
    """More than the slab allocator keeps by for a CPU come and go, one by one and with the link.

    What the registry's lock guards is not freed under it: the allocator's own locks sleep on
    PREEMPT_RT. The lockdep kernel says so when one is taken, which is not for each object.
    """
    batch = "".join(f"addr add 10.1.0.{host}/24 dev d0\n" for host in range(1, 251))
    gone = "".join(f"addr del 10.1.0.{host}/24 dev d0\n" for host in range(250, 125, -1))
    vm.sh(f"ip -batch - <<END\n{batch}END")
    vm.wait_until(lambda: len(ifref.ifaddrs(serial)) == 251, "all are shown")
    vm.sh(f"ip -batch - <<END\n{gone}END")
    vm.wait_until(lambda: len(ifref.ifaddrs(serial)) == 126, "those removed are freed")
    vm.sh("ip link del d0")
    ifref.gone(serial)


@pytest.mark.issue(16)
@pytest.mark.quick("stock")
def test_a_late_up_replaces_nothing(vm: Machine, ifref: Ifref, serial: int) -> None:
    """An address is deleted and added again before a softirq has told that it was up: what it tells
    is of the old one, and the new one stays.
    """
    vm.sh(f"insmod {ifref.module.parent}/tests/faults/ifref_fault.ko")
    fault = "/sys/module/ifref_fault/parameters/fault"
    vm.write(fault, "keep6 2001:db8::1")
    vm.sh("ip addr add 2001:db8::1/64 dev d0 nodad")
    first = ifref.ifaddr(serial, "2001:db8::1")
    vm.sh("ip addr del 2001:db8::1/64 dev d0")
    ifref.forgotten(first)
    vm.sh("ip addr add 2001:db8::1/64 dev d0 nodad")
    second = hold(ifref, serial, "2001:db8::1")
    vm.write(fault, "late6")
    stays(ifref, serial, second)
    assert ifref.ifaddr(serial, "2001:db8::1") == second
    vm.sh("rmmod ifref_fault")
