# SPDX-License-Identifier: GPL-2.0
"""Network namespaces: interfaces die with them, move between them, and are seen only in them."""

import errno
import os
import re
from collections.abc import Iterator

import pytest
from ifref import Ifref
from lanes import times
from vmlib import Machine

pytestmark = [pytest.mark.issue(2), pytest.mark.quick("stock")]


# $1 is how many. A namespace inside a namespace, each with dummies and pairs of veth, and pairs
# with an end in each. The killing of its two processes ends both.
NESTED = r"""
mine=$(readlink /proc/self/ns/net)
unshare -n sleep infinity &
inner=$!
until [ "$(readlink /proc/$inner/ns/net)" != "$mine" ]; do sleep 0.02; done
lines() {
    echo link set lo up
    for i in $(seq $1); do
        echo link add d$i type dummy
        echo link set d$i up
        echo addr add 10.1.$((i % 250)).$((i / 250 + 1))/32 dev d$i
        echo addr add fd00::$i/64 dev d$i nodad
        echo link add v$i type veth peer name w$i
    done
}
lines $1 | ip -batch - &&
lines $1 | nsenter -t $inner -n ip -batch - &&
for i in $(seq $(($1 / 2))); do
    echo link add x$i up type veth peer name y$i netns $inner
done | ip -batch - &&
touch /tmp/nested-$2
sleep infinity
"""


@pytest.fixture
def count(vm: Machine) -> int:
    """How much of everything."""
    return max(20, times(vm.flavour, 100, 400))


@pytest.fixture
def netns(vm: Machine) -> Iterator[str]:
    """A namespace with a name."""
    vm.sh("ip netns add ifref-a")
    yield "ifref-a"
    vm.run("ip netns del ifref-a", check=False)


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("for name in d0 ours; do ip link del $name; done; ip -a netns del", check=False)


def there(vm: Machine, netns: str, folder: str) -> dict[int, dict[str, str]]:
    """As Ifref.tree(), inside a named namespace: ip mounts its sysfs."""
    found: dict[int, dict[str, str]] = {}
    path = f"/sys/kernel/ifref/{folder}"
    text = vm.run(f"ip netns exec {netns} bash -c 'grep -s . {path}/*/*'", check=False).stdout
    for line in text.splitlines():
        name, value = line.split(":", 1)
        _, number, name = name.rsplit("/", 2)
        found.setdefault(int(number), {})[name] = value
    return found


def inode(vm: Machine, path: str) -> str:
    """The inode number of a namespace."""
    return vm.sh(f"stat -Lc %i {path}")


def alive(ifref: Ifref) -> int:
    """How many ifnets have not been freed."""
    totals = ifref.totals()
    return totals["adopted"] - totals["freed"]


@pytest.mark.also("lockdep")
def test_hundreds_die(vm: Machine, ifref: Ifref, count: int) -> None:
    """Nested namespaces with all that is in them: everything is freed, what is held stays."""
    here = set(ifref.ifnets())
    before, ifaddrs = alive(ifref), ifref.totals()["ifaddrs"]
    vm.sh("rm -f /tmp/nested-1")
    job = vm.spawn(["unshare", "-n", "bash", "-c", NESTED, "nested", str(count), "1"])
    try:
        vm.appears("/tmp/nested-1", count)
        assert set(ifref.ifnets()) == here
        made = 2 * (1 + 3 * count) + 2 * (count // 2)
        assert alive(ifref) == before + made
        # lo has two addresses; a dummy has two and the link-local one, which comes by itself.
        assert ifref.totals()["ifaddrs"] >= ifaddrs + made + 2 * 2 * count
        new = ifref.trace("ifref_ifaddr_new")
        held = {}
        for text in ("10.1.1.1/32", "fd00::2/64", "127.0.0.1/8"):
            idents = [e["id"] for e in new if e["addr"] == text and int(e["serial"]) > max(here)]
            assert len(idents) == 2, f"{text}: one in each namespace"
            for ident in idents:
                ifref.hand(f"get {ident}")
                held[int(ident)] = text
        assert all("serial=" in line for line in ifref.held().values())
        assert not set(held) & set(ifref.ifaddrs())
    finally:
        job.kill()
    vm.wait_until(lambda: alive(ifref) == before, "every ifnet is freed", 60)
    vm.wait_until(lambda: set(held) <= set(ifref.ifaddrs()), "what is held is shown here")
    vm.wait_until(
        lambda: ifref.totals()["ifaddrs"] == ifaddrs + len(held), "every other ifaddr is freed"
    )
    totals = ifref.totals()
    assert (totals["references"], totals["missed"]) == (len(held), 0)
    shown = ifref.ifaddrs()
    for ident, text in held.items():
        assert shown[ident]["address"] == text
        assert (shown[ident]["valid"], shown[ident]["reason"]) == ("0", "detached")
        assert ifref.errno(f"follow {ident}") == errno.ENODEV
        assert ifref.errno(f"follow {ident}") == errno.ENOENT
        ifref.forgotten(ident)
    # A folder goes first.
    vm.wait_until(lambda: ifref.totals()["ifaddrs"] == ifaddrs, "they are freed")


def test_names_again(vm: Machine, ifref: Ifref, count: int) -> None:
    """A namespace with the name and the indexes of one that has died is another one."""
    before = alive(ifref)
    last = 0
    for _ in range(count // 20):
        vm.sh(
            """ip netns add ifref-a
            ip -n ifref-a link add d0 index 4242 type dummy
            ip -n ifref-a link set d0 up
            ip -n ifref-a addr add 10.1.0.1/24 dev d0"""
        )
        [ident] = [e["id"] for e in ifref.trace("ifref_ifaddr_new") if "10.1.0.1" in e["addr"]][-1:]
        assert int(ident) > last
        last = int(ident)
        ifref.hand(f"get {ident} 2")
        assert ifref.errno(f"follow {ident}") == 0
        vm.sh("ip netns del ifref-a")
    vm.wait_until(lambda: alive(ifref) == before, "all are freed")
    held = ifref.held()
    assert len(held) == count // 20
    assert all("invalid=detached" in line for line in held.values())
    for ident in held:
        vm.wait_until(lambda ident=ident: ident in ifref.ifaddrs(), "it is shown here")
        assert [ifref.errno(f"follow {ident}") for _ in range(3)] == [
            errno.ENODEV,
            errno.ENODEV,
            errno.ENOENT,
        ]


@pytest.mark.parametrize("state", ["down", "up"])
@pytest.mark.parametrize("kind", ["dummy", "veth"])
def test_move(vm: Machine, ifref: Ifref, netns: str, kind: str, state: str) -> None:
    """There and back: one serial, but every ifaddr is left behind."""
    vm.sh(
        f"""ip link add d0 index 4242 type {kind}
        ip link set d0 {state}
        ip addr add 10.1.0.1/24 dev d0
        ip addr add fd00::1/64 dev d0 nodad"""
    )
    serial = ifref.serial("d0")
    for text in ("link", "10.1.0.1/24", "fd00::1/64"):
        ifref.ifaddr(serial, text)
    ours, theirs = inode(vm, "/proc/1/ns/net"), inode(vm, f"/run/netns/{netns}")
    assert (ifref.ifnets()[serial]["ifindex"], ifref.ifnets()[serial]["netns"]) == ("4242", ours)
    old = ifref.ifaddrs(serial)
    for ident in old:
        ifref.hand(f"get {ident}")

    # Its index is taken there.
    vm.sh(f"ip -n {netns} link add d1 index 4242 type dummy; ip link set d0 netns {netns}")
    vm.wait_until(lambda: serial in there(vm, netns, "ifnets"), "it is shown there")
    vm.wait_until(lambda: serial not in ifref.ifnets(), "it is not shown here")
    shown = there(vm, netns, "ifnets")[serial]
    index = vm.sh(f"ip netns exec {netns} cat /sys/class/net/d0/ifindex")
    assert index != "4242"
    assert (shown["ifindex"], shown["netns"]) == (index, theirs)
    assert (shown["state"], shown["valid"], shown["references"]) == ("valid", "1", "0")
    vm.wait_until(
        f"ip netns exec {netns} test -e /sys/class/net/d0/ifref/ifindex", "the link is made anew"
    )
    link = vm.sh(f"ip netns exec {netns} readlink /sys/class/net/d0/ifref")
    assert link.endswith(f"/{serial}")
    reasons = {f["address"]: f["reason"] for n, f in ifref.ifaddrs().items() if n in old}
    for ident, files in old.items():
        reason = reasons[files["address"]]
        error = errno.EXDEV
        # The kernel closes an interface that is up first, and takes IPv6 addresses off by that.
        if files["family"] == "inet6" and state == "up" and reason == "address removed":
            error = errno.EADDRNOTAVAIL
        else:
            assert reason == "moved", reasons
        assert ifref.errno(f"get {ident}") == error
        assert ifref.errno(f"follow {ident}") == error
        assert ifref.errno(f"follow {ident}") == errno.ENOENT
        ifref.forgotten(ident)

    vm.sh(f"ip -n {netns} addr add 10.1.0.1/24 dev d0; ip -n {netns} link set d0 up")

    def arrived() -> dict[int, dict[str, str]] | None:
        found = there(vm, netns, "ifaddrs").items()
        new = {n: f for n, f in found if f.get("ifnet") == str(serial)}
        return new if "10.1.0.1/24" in [f.get("address") for f in new.values()] else None

    new = vm.wait_until(arrived, "the new ifaddrs are shown there")
    assert {"link", "inet"} <= {f["family"] for f in new.values()}
    assert min(new) > max(old)
    assert all(f["valid"] == "1" for f in new.values())
    assert not ifref.ifaddrs(serial)
    [held] = [n for n, f in new.items() if f["family"] == "link"]
    ifref.hand(f"get {held}")
    assert f"serial={serial} name=d0 ifindex={index} " in ifref.held()[held]

    vm.sh(f"ip -n {netns} link set d0 netns 1")
    assert ifref.serial("d0") == serial
    vm.wait_until(lambda: serial in ifref.ifnets(), "it is shown here again")
    assert ifref.ifnets()[serial]["netns"] == ours
    assert ifref.ifnets()[serial]["ifindex"] == vm.sh("cat /sys/class/net/d0/ifindex")
    # What is held of it is shown where it was made.
    assert there(vm, netns, "ifaddrs")[held]["reason"] == "moved"
    assert ifref.errno(f"follow {held}") == errno.EXDEV
    last = ifref.ifaddr(serial, "link")
    assert last > held
    ifref.hand(f"get {last}")
    assert ifref.errno(f"follow {last}") == 0
    vm.sh("ip link del d0")
    ifref.gone(serial)
    assert ifref.errno(f"follow {last}") == errno.ENODEV


def test_move_many(vm: Machine, ifref: Ifref, netns: str, count: int) -> None:
    """To and fro in a loop, with a held address each time: serial and books stay right."""
    rounds = count // 5
    vm.sh("ip link add d0 type dummy")
    serial = ifref.serial("d0")
    idents = []

    def valid() -> int | None:
        """Those that are held are shown as well."""
        return next((n for n, f in ifref.ifaddrs(serial).items() if f["valid"] == "1"), None)

    for _ in range(rounds // 2):
        ident = vm.wait_until(valid, "its new ifaddr is shown")
        ifref.hand(f"get {ident}")
        idents.append(ident)
        vm.sh(f"ip link set d0 netns {netns}; ip -n {netns} link set d0 netns 1")
        vm.wait_until(lambda: serial in ifref.ifnets(), "it is shown here again")
    held = ifref.held()
    assert [held[ident].split("invalid=")[1] for ident in idents] == ["moved"] * len(idents)
    assert ifref.serial("d0") == serial
    for ident in idents:
        assert ifref.errno(f"follow {ident}") == errno.EXDEV
        ifref.forgotten(ident)
    vm.sh("ip link del d0")
    ifref.gone(serial)


def test_visibility(vm: Machine, ifref: Ifref) -> None:
    """Somebody else's namespace of users and of networks shows their own interfaces only."""
    vm.sh("ip link add ours type dummy")
    ours = ifref.serial("ours")
    # An unprivileged user makes both namespaces: what is root's there is not root's here.
    script = """set -e
        mount -t sysfs sysfs /mnt
        ip link add theirs type dummy
        ip addr add 10.9.9.9/24 dev theirs
        cd /mnt/kernel/ifref
        until grep -qs 10.9.9.9 ifaddrs/*/address && [ -e /mnt/class/net/theirs/ifref ]; do
            sleep 0.02
        done
        grep . ifnets/*/name
        grep . ifaddrs/*/address
        echo link:$(basename $(readlink /mnt/class/net/theirs/ifref))
        for file in totals/*; do cat $file 2>&1 || true; done
        touch /tmp/theirs
        until [ -e /tmp/seen ]; do sleep 0.02; done
    """
    vm.sh("rm -f /tmp/theirs /tmp/seen; chmod 1777 /tmp")
    user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    job = vm.spawn([*user, "unshare", "-Urnm", "bash", "-c", script])
    try:
        vm.appears("/tmp/theirs", 20)
        names = {files["name"] for files in ifref.ifnets().values()}
        addresses = {files["address"] for files in ifref.ifaddrs().values()}
        vm.write("/tmp/seen", "", flags=os.O_CREAT)
        result = job.wait()
    finally:
        job.kill()
    assert result.status == 0, result.stderr
    assert "ours" in names
    assert "theirs" not in names
    assert not [a for a in addresses if "10.9.9.9" in a]
    seen = dict(re.findall(r"ifnets/(\d+)/name:(.*)", result.stdout))
    assert sorted(seen.values()) == ["lo", "theirs"]
    assert str(ours) not in seen
    [link] = re.findall(r"link:(\d+)", result.stdout)
    assert seen[link] == "theirs"
    # The two link-layer ones, and that of the test.
    assert len(re.findall(r"ifaddrs/\d+/address:", result.stdout)) == 3
    files = vm.sh("ls /sys/kernel/ifref/totals").split()
    for file in files:
        assert f"cat: totals/{file}: Permission denied" in result.stdout
    vm.sh("ip link del ours")
