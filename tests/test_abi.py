# SPDX-License-Identifier: GPL-2.0
"""What Documentation/ABI/ says is there: exactly that is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ifref import ROOT, Ifref
from vmlib import Machine

pytestmark = pytest.mark.issue(2)

ABI = Path(__file__).parents[1] / "Documentation/ABI/testing"
DEBUG = "/sys/kernel/debug/ifref"
NUMBERS = [
    (r"/ifnets/[^/]+", "/ifnets/<serial>"),
    (r"/ifaddrs/[^/]+", "/ifaddrs/<id>"),
    (r"/holders/[^/]+", "/holders/<name>"),
    (r"/stakes/[^/]+", "/stakes/<id>:<name>"),
    (r"^/sys/class/net/[^/]+/", "/sys/class/net/<iface>/"),
]


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("ip link del d0", check=False)


def normal(path: str) -> str:
    """A path with the names that differ replaced."""
    for pattern, name in NUMBERS:
        path = re.sub(pattern, name, path.rstrip("/"))
    return path


def documented() -> dict[str, str]:
    """Every path that a What: line names, with its stanza."""
    found = {}
    for file in sorted(ABI.iterdir()):
        for stanza in re.split(r"\n(?=What:)", file.read_text()):
            for what in re.findall(r"^What:\s*(\S+)", stanza, re.MULTILINE):
                assert normal(what) not in found, f"{what} is there twice"
                found[normal(what)] = stanza
    return found


def live(vm: Machine) -> dict[str, tuple[str, str]]:
    """Every file, folder and link that there is: path -> (type, mode)."""
    lines = vm.sh(
        f"find {ROOT} {DEBUG} /sys/class/net/*/ifref -printf '%p %y %m\\n'"
    ).splitlines()
    return {path: (kind, mode) for path, kind, mode in map(str.split, lines)}


def settled(vm: Machine, ifref: Ifref) -> None:
    """Has an interface with an address of each family."""
    vm.sh(
        """ip link add d0 type dummy; ip link set d0 up
        ip addr add 10.1.0.1/24 dev d0; ip addr add fd00::1/64 dev d0 nodad"""
    )
    serial = ifref.serial("d0")
    for text in ("link", "10.1.0.1/24", "fd00::1/64"):
        ifref.ifaddr(serial, text)
    ident = ifref.ifaddr(serial, "link")
    ifref.hand(f"get {ident}")
    vm.appears(f"{ROOT}/stakes/{ident}:hand")
    vm.wait_until("grep -q fe80:: /sys/kernel/ifref/ifaddrs/*/address", "the link-local one")


def test_tree(vm: Machine, ifref: Ifref) -> None:
    """Both ways: nothing undocumented, nothing missing."""
    settled(vm, ifref)
    found = live(vm)
    names = documented()
    assert {normal(path) for path in found} == set(names)
    links = {path for path, (kind, _) in found.items() if kind == "l"}
    assert {normal(path) for path in links} == {"/sys/class/net/<iface>/ifref"}
    assert len(links) == int(vm.sh("ls /sys/class/net | wc -l")), "each interface has its link"
    # No module parameter is undocumented either.
    assert not vm.exists("/sys/module/ifref/parameters")
    # Every folder of a kind has the same files.
    for folder in ("ifnets", "ifaddrs", "holders", "stakes"):
        wanted = {p.rsplit("/", 1)[1] for p in names if re.search(rf"/{folder}/<[^/]+>/", p)}
        top = f"{ROOT}/{folder}/"
        for number in {path.split("/")[5] for path in found if path.startswith(top)}:
            there = {p.rsplit("/", 1)[1] for p in found if p.startswith(f"{top}{number}/")}
            assert there == wanted, f"{folder}/{number}"
    vm.sh("ip link del d0")


def test_values(vm: Machine, ifref: Ifref) -> None:
    """Each file in sysfs has one line, or is to be written to; the machine's are root's."""
    settled(vm, ifref)
    found = live(vm)
    for path, (kind, mode) in found.items():
        if kind == "f" and path.startswith(ROOT):
            private = any(f"/{name}/" in path for name in ("totals", "holders", "devd"))
            wanted = "200" if path.endswith("/detach") else "400" if private else "444"
            assert mode == wanted, path
        elif kind == "f":
            assert mode == "600", path
    files = [
        path
        for path, (kind, mode) in found.items()
        if kind == "f" and path.startswith(ROOT) and mode != "200"
    ]
    # Sizes differ from file to file, so wc by itself; a line each, none empty.
    counts = vm.run(["wc", "-l", *files]).stdout.splitlines()
    assert len(counts) == len(files) + 1
    assert all(line.split()[0] == "1" for line in counts[:-1]), counts
    assert vm.run(["grep", "-L", ".", *files], check=False).stdout == ""
    vm.sh("ip link del d0")
