# SPDX-License-Identifier: GPL-2.0
"""What a module forgets to give back keeps memory, and nothing else, when ifref is unloaded."""

import errno
import re
from collections.abc import Callable

import pytest
from ifref import ROOT, Ifref
from test_nic import Nic
from test_samples import dummy, pin
from vmlib import Machine

pytestmark = [pytest.mark.issue(16), pytest.mark.also("lockdep", quick=False)]

# The memory of these is lost, which a kernel that looks for leaks tells.
LOST = pytest.mark.only("stock", "lockdep")


def insmod(vm: Machine, ifref: Ifref, name: str, options: str = "") -> None:
    """Loads another module."""
    vm.sh(f"insmod {ifref.module.with_name(f'ifref_{name}.ko')} {options}")


def unload(vm: Machine, ifref: Ifref, *said: str) -> None:
    """Unloads ifref, which says so much; nothing is left of it, and it can be loaded again."""
    vm.rmmod("ifref")
    assert not vm.exists(ROOT)
    threads = "grep -hE '^(ifref|kworker/R-ifref)' /proc/[0-9]*/comm"
    assert vm.run(threads, check=False).stdout == ""
    for words in said:
        assert ifref.said(f"ifref: {words}"), words
    assert not ifref.said("BUG")
    books = ifref.said("ifref: ledger:")[-1]
    assert all(made == ended for made, ended in re.findall(r" (\d+) . (\d+)", books)), books
    ifref.load()
    assert vm.exists(f"{ROOT}/totals/valid")


def leave_c_use(vm: Machine, ifref: Ifref) -> None:
    """A holder in C without ifref_exit() and ifref_put()."""
    insmod(vm, ifref, "pinner")
    dummy(vm, ifref)
    pin(vm, "enter", 60, forget=True)
    vm.sh("rmmod ifref_pinner")


def leave_rust_use(vm: Machine, ifref: Ifref) -> None:
    """core::mem::forget(reference.enter()?)."""
    insmod(vm, ifref, "leaks", "what=1")
    vm.sh("rmmod ifref_leaks")


def leave_c_attachment(vm: Machine, ifref: Ifref) -> None:
    """A driver in C that forgets ifref_attachment_put()."""
    insmod(vm, ifref, "rig", "forget=1")
    do = "/sys/module/ifref_rig/parameters/do"
    vm.sh(f"for word in make attach gone; do echo $word 0 > {do}; done")
    vm.goes("/sys/class/net/rig0")
    vm.sh("rmmod ifref_rig")


def leave_rust_attachment(vm: Machine, ifref: Ifref, forget: int = 2) -> None:
    """core::mem::forget(attachment)."""
    insmod(vm, ifref, "nic", f"forget={forget}")
    Nic(vm).do("attach")
    vm.sh("rmmod ifref_nic")


def leave_rust_weak(vm: Machine, ifref: Ifref) -> None:
    """A box with a Weak that is leaked."""
    leave_rust_attachment(vm, ifref, 3)


USES = "1 uses of holder {} were left behind"
LEFT = "ledger: .*: balanced, {} were left behind"
LEAKS = [
    (leave_c_use, USES.format("pinner"), LEFT.format("1 references, 1 uses")),
    (leave_rust_use, USES.format("leaks"), LEFT.format("1 uses")),
    *[
        pytest.param(
            leave,
            f"1 attachments of driver {driver} were left behind",
            LEFT.format("1 attachments, 1 ifnets"),
            marks=LOST,
        )
        for leave, driver in (
            (leave_c_attachment, "rig"),
            (leave_rust_attachment, "nic"),
            (leave_rust_weak, "nic"),
        )
    ],
]


FORGOTTEN = {
    2: "the module of holder leaks is unloaded, and has not unregistered it",
    3: "module ifref_leaks is unloaded, and has not ended a listener",
    4: "module ifref_leaks is unloaded, and has not ended a capture",
    5: "module ifref_leaks is unloaded, and has not ended a thread",
}


@LOST
@pytest.mark.parametrize("what", FORGOTTEN)
def test_forgotten(vm: Machine, ifref: Ifref, what: int) -> None:
    """What the kernel calls in a module ends with it; then it can be loaded again."""
    for _ in range(2):
        insmod(vm, ifref, "leaks", f"what={what}")
        vm.sh("sleep 0.1; rmmod ifref_leaks")
        assert vm.run("pgrep ifref_leaks", check=False).stdout == ""
        vm.sh("ip link add d0 type dummy; ip addr add 10.9.0.1/24 dev d0; ip link set d0 up")
        vm.sh("ping -q -c 1 127.0.0.1; ip link del d0")
    assert len(ifref.said(f"ifref: {FORGOTTEN[what]}")) == 2
    assert bool(ifref.said("has not ended a listener")) == (what in (3, 5))
    ifref.unload()
    ifref.load()


def test_holder_in_c_is_forgotten(vm: Machine, ifref: Ifref) -> None:
    """It is unregistered when its module goes; what it leaves is a ghost's, whose name is taken."""
    insmod(vm, ifref, "misuse", "what=forgets_holder")
    vm.sh("rmmod ifref_misuse")
    assert ifref.said("the module of holder misuse is unloaded, and has not unregistered it")
    assert ifref.said("holder misuse has unregistered and left 1 references behind")
    assert vm.read(f"{ROOT}/holders/misuse/ghost") == "1\n"
    unload(vm, ifref, "1 references of holder misuse to ifaddr", LEFT.format("1 references"))


def test_put_too_many(vm: Machine, ifref: Ifref) -> None:
    """It is told whose it was, and spoils no figures: the holder ends, and its name is free."""
    ifref.hand("get dev:lo 3")
    for _ in range(2):
        with vm.expects("ifref: BUG: holder misuse has put 1 references too many to ifaddr"):
            insmod(vm, ifref, "misuse", "what=puts_too_often")
            vm.goes(f"{ROOT}/holders/misuse")
        assert ifref.totals()["references"] == 3
        vm.sh("rmmod ifref_misuse")


def test_stale_handle(vm: Machine, ifref: Ifref) -> None:
    """A handle that was given back means no other holder, nor that of another module."""
    insmod(vm, ifref, "misuse", "what=stale")
    told = [int(line.rsplit(" ", 1)[1]) for line in ifref.said(r"ifref_misuse: .*: -?\d+$")]
    bad = -errno.EINVAL
    assert told == [0, bad, bad, bad, 0, 0, bad, bad, 0]
    assert not vm.exists(f"{ROOT}/holders/other")
    vm.sh("rmmod ifref_misuse")


@pytest.mark.parametrize(
    ("leave", "who", "books"), LEAKS, ids=["use", "use_rust", "put", "attachment_rust", "weak_rust"]
)
def test_left_behind(
    vm: Machine, ifref: Ifref, leave: Callable[[Machine, Ifref], None], who: str, books: str
) -> None:
    """The folders go, it is said who has left what, and ifref can be loaded again."""
    leave(vm, ifref)
    unload(vm, ifref, who, books)
    vm.run("ip link del d0", check=False)
