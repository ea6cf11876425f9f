# SPDX-License-Identifier: GPL-2.0
"""Numbers that are used again by the kernel, and those of ifref that never are."""

import errno
from collections.abc import Iterator

import pytest
from ifref import Ifref
from lanes import times
from vmlib import Machine

pytestmark = [pytest.mark.issue(2), pytest.mark.quick("stock")]

INDEX = 4242
NEXT_SERIAL = "/sys/kernel/debug/ifref/next_serial"


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("for name in d0 old; do ip link del $name; done", check=False)


def churn(vm: Machine, rounds: int) -> None:
    """d0 goes and comes again with the same name and index, again and again."""
    vm.sh(
        f"""for i in $(seq {rounds}); do
            echo link del d0; echo link add d0 index {INDEX} type dummy
        done | ip -batch -""",
        timeout=30 + rounds,
    )


@pytest.mark.issue(3)
def test_ifindex(vm: Machine, ifref: Ifref) -> None:
    """P2: one name and index for thousands of interfaces; a stale reference stays refused."""
    steps = 4
    rounds = times(vm.flavour, 200, 4096) // steps
    vm.sh(f"ip link add d0 index {INDEX} type dummy")
    serial = first = ifref.serial("d0")
    stale = ifref.ifaddr(serial, "link")
    ifref.hand(f"get {stale} {steps}")
    before = ifref.totals()
    assert f"ifindex={INDEX} " in ifref.held()[stale]
    for step in range(steps):
        churn(vm, rounds)
        serial = ifref.serial("d0")
        assert serial == first + (step + 1) * rounds
        assert ifref.ifnets()[serial]["ifindex"] == str(INDEX)
        live = ifref.ifaddr(serial, "link")
        ifref.hand(f"get {live}")
        assert f"serial={serial} name=d0 ifindex={INDEX} " in ifref.held()[live]
        ifref.hand(f"put {live}")
        assert ifref.held()[stale] == f"id={stale} held={steps - step} invalid=detached"
        assert ifref.errno(f"get {stale}") == errno.ENODEV
        assert ifref.errno(f"follow {stale}") == errno.ENODEV
    assert ifref.errno(f"follow {stale}") == errno.ENOENT
    ifref.forgotten(stale)
    ends = before["freed"] + steps * rounds
    vm.wait_until(lambda: ifref.totals()["freed"] == ends, "all are freed")
    assert ifref.totals()["adopted"] == before["adopted"] + steps * rounds
    assert ifref.totals()["missed"] == 0
    # Nothing of the old ones is left to be seen.
    assert [n for n, f in ifref.ifnets().items() if f["name"] == "d0"] == [serial]
    assert len(ifref.ifaddrs(serial)) == 1
    vm.sh("ip link del d0")
    ifref.gone(serial)


@pytest.mark.parametrize("limit", [2**16, 2**32], ids=["2^16", "2^32"])
def test_serial_crosses(vm: Machine, ifref: Ifref, limit: int) -> None:
    """Serials are 64 bits wide: none comes again where a smaller number would wrap."""
    vm.sh(f"ip link add old type dummy; ip link add d0 index {INDEX} type dummy")
    old = ifref.serial("old")
    stale = ifref.ifaddr(ifref.serial("d0"), "link")
    ifref.hand(f"get {stale} 2")
    vm.write(NEXT_SERIAL, f"{limit - 3}")
    assert vm.read(NEXT_SERIAL) == f"{limit - 3}\n"
    for expected in range(limit - 3, limit + 4):
        churn(vm, 1)
        assert ifref.serial("d0") == expected
        ident = ifref.ifaddr(expected, "link")
        ifref.hand(f"get {ident}")
        assert f"serial={expected} name=d0 ifindex={INDEX} " in ifref.held()[ident]
        assert ifref.ifnets()[expected]["references"] == "1"
    assert ifref.errno(f"follow {stale}") == errno.ENODEV
    lines = list(ifref.held().values())
    assert sum("invalid=detached" in line for line in lines) == 7
    # The serials that the cut off bits would make theirs are somebody else's still.
    assert ifref.serial("old") == old
    ident = ifref.ifaddr(old, "link")
    ifref.hand(f"get {ident}")
    assert f"serial={old} name=old " in ifref.held()[ident]
    vm.sh("ip link del d0; ip link del old")
    ifref.gone(limit + 3)
    ifref.gone(old)
    for ident in ifref.held():
        assert ifref.errno(f"follow {ident}") == errno.ENODEV


def test_serial_only_grows(vm: Machine, ifref: Ifref) -> None:
    """next_serial cannot be moved back, nor out of the range."""

    def set_next(number: int) -> int:
        try:
            vm.write(NEXT_SERIAL, f"{number}\n")
        except OSError as err:
            return err.errno
        return 0

    now = int(vm.read(NEXT_SERIAL))
    assert set_next(now) == 0
    assert set_next(now - 1) == errno.EINVAL
    assert set_next(0) == errno.EINVAL
    assert set_next(now + 1000) == 0
    assert set_next(now + 999) == errno.EINVAL
    assert set_next(now) == errno.EINVAL
    for number in (2**63, 2**64 - 1, 2**64, 2**64 + now + 2000, -1):
        assert set_next(number) == errno.EINVAL
    assert int(vm.read(NEXT_SERIAL)) == now + 1000
    vm.sh("ip link add d0 type dummy")
    assert ifref.serial("d0") == now + 1000
    assert set_next(now + 1000) == errno.EINVAL
    vm.sh("ip link del d0")
    ifref.gone(now + 1000)
