# SPDX-License-Identifier: GPL-2.0
"""The module goes: when it must not, and amid everything else."""

import errno
import os
import random
import re
import time
from collections.abc import Iterator

import pytest
from ifref import HAND, ROOT, TRACE, Ifref
from lanes import times
from test_hotplug import plug
from vmlib import Machine

pytestmark = pytest.mark.issue(2)

DEBUG = "/sys/kernel/debug/ifref"

# delete_module(2): rmmod(8) looks at the count, says EBUSY and does not even ask.
DELETE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(ctypes.get_errno() if libc.syscall(176, b"ifref", os.O_NONBLOCK) else 0)
"""

# Opens a file, says so, and reads it when told; the errno or the text's length.
HOLD = """
import os, sys, time
fd = os.open(sys.argv[1], int(sys.argv[2]))
open(sys.argv[3], "w").close()
while not os.path.exists(sys.argv[4]):
    time.sleep(0.02)
try:
    print("read", len(os.pread(fd, 4096, 0)))
except OSError as err:
    print("errno", err.errno)
"""

# All that there may be of it.
LEFT = f"ls -d {ROOT} {DEBUG} /sys/module/ifref /sys/class/net/*/ifref 2>&-"

# Each until it is killed; what fails because another one was faster is no
# matter. The pauses leave some time to the module.
CHURN = {
    "dummy": """while :; do
        ip link add c0 type dummy; ip link set c0 up
        ip addr add 10.5.0.1/24 dev c0; ip addr add fd05::1/64 dev c0 nodad
        ip link del c0
        sleep 0.2
    done""",
    "veth": """while :; do
        ip link add c1 up type veth peer name c2 up
        ip addr add 10.6.0.1/24 dev c1; ip link del c2
        sleep 0.2
    done""",
    "rename": """ip link add c3 type dummy; while :; do
        ip link set c3 name c4; ip link set c4 address 02:00:00:00:05:05
        ip link set c4 name c3; ip link set c3 address 02:00:00:00:05:06
        sleep 0.2
    done""",
    "netns": """while :; do
        ip netns add ifref-c; ip -n ifref-c link set lo up
        ip link add c5 type dummy; ip link set c5 netns ifref-c
        ip netns del ifref-c
        sleep 0.2
    done""",
    "address": """ip link add c6 up type dummy; while :; do
        for i in 1 2 3 4 5; do
            echo addr add 10.7.0.$i/24 dev c6; echo addr add fd07::$i/64 dev c6
        done | ip -force -batch -
        ip addr flush dev c6
        sleep 0.2
    done""",
}


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("ip link del d0", check=False)


def refused(vm: Machine) -> None:
    """The module cannot be unloaded now, and goes on working."""
    result = vm.run("rmmod ifref", check=False)
    assert result.status != 0
    assert "ifref is in use" in result.stderr
    assert vm.run(["python3", "-c", DELETE]).stdout.strip() == str(errno.EWOULDBLOCK)
    assert vm.sh("cat /sys/module/ifref/initstate") == "live"


def absent(vm: Machine) -> None:
    """Nothing is left of the module."""
    assert vm.run(LEFT, check=False).stdout == ""


def test_busy(vm: Machine, ifref: Ifref) -> None:
    """A held reference keeps the module, and the module keeps working."""
    lo = ifref.serial("lo")
    ident = ifref.ifaddr(lo, "link")
    for count in (1, 100):
        ifref.hand(f"get {ident} {count}")
        assert int(vm.sh("cat /sys/module/ifref/refcnt")) >= count
        refused(vm)
        assert ifref.errno(f"follow {ident}") == 0
        ifref.hand(f"put {ident} {count}")
    # A reference to something dead keeps it as well, until a follow has dropped it.
    vm.sh("ip link add d0 type dummy")
    serial = ifref.serial("d0")
    ident = ifref.ifaddr(serial, "link")
    ifref.hand(f"get {ident}")
    vm.sh("ip link del d0")
    ifref.gone(serial)
    refused(vm)
    assert ifref.errno(f"follow {ident}") == errno.ENODEV
    assert vm.sh("cat /sys/module/ifref/refcnt") == "0"
    vm.sh("ip link add d0 type dummy")
    assert ifref.serial("d0") == serial + 1
    ledger = ifref.unload()
    assert ledger["references"] == 102
    absent(vm)
    vm.sh("ip link del d0")


@pytest.mark.parametrize("name", ["hand", "next_serial"])
def test_open_control(vm: Machine, ifref: Ifref, name: str) -> None:
    """An open file in debugfs keeps the module."""
    vm.sh("rm -f /tmp/opened /tmp/go")
    path = f"{DEBUG}/{name}"
    job = vm.spawn(["python3", "-c", HOLD, path, str(os.O_RDWR), "/tmp/opened", "/tmp/go"])
    try:
        vm.appears("/tmp/opened")
        refused(vm)
        ident = ifref.ifaddr(ifref.serial("lo"), "link")
        ifref.hand(f"get {ident}")
        ifref.hand(f"put {ident}")
        vm.write("/tmp/go", "", flags=os.O_CREAT)
        result = job.wait()
    finally:
        job.kill()
    assert result.stdout.startswith("read "), result
    vm.wait_until('[ "$(cat /sys/module/ifref/refcnt)" = 0 ]', "it is closed")
    ifref.unload()
    absent(vm)


def test_open_sysfs(vm: Machine, ifref: Ifref) -> None:
    """Open files in sysfs do not keep the module, and read nothing after it, for ever."""
    lo = ifref.serial("lo")
    ident = ifref.ifaddr(lo, "link")
    vm.sh("rm -f /tmp/opened* /tmp/go")
    paths = [
        f"{ROOT}/totals/valid",
        f"{ROOT}/ifnets/{lo}/name",
        f"{ROOT}/ifaddrs/{ident}/address",
        ROOT,
        f"{ROOT}/ifnets",
    ]
    jobs = [
        vm.spawn(
            ["python3", "-c", HOLD, path, str(os.O_RDONLY), f"/tmp/opened{number}", "/tmp/go"]
        )
        for number, path in enumerate(paths)
    ]
    try:
        for number in range(len(paths)):
            vm.appears(f"/tmp/opened{number}")
        ifref.unload()
        absent(vm)
        ifref.load()
        assert ifref.serial("lo") == lo
        vm.write("/tmp/go", "", flags=os.O_CREAT)
        results = [job.wait() for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    for result, path in zip(results, paths, strict=True):
        error = errno.EISDIR if path.endswith(("ifref", "ifnets")) else errno.ENODEV
        assert result.stdout.split() == ["errno", str(error)], (path, result)


@pytest.mark.also("lockdep")
def test_reload(vm: Machine, ifref: Ifref) -> None:
    """Loaded twice is EEXIST; loaded anew, the numbers begin anew and all is adopted again."""
    vm.sh("ip link add d0 up type dummy; ip addr add 10.1.0.1/24 dev d0")
    serial = ifref.serial("d0")
    result = vm.run(f"insmod {ifref.module}", check=False)
    assert result.status != 0
    assert "File exists" in result.stderr
    addresses = {files["address"] for files in ifref.ifaddrs().values()}
    ifref.unload()
    absent(vm)
    ifref.load()
    assert 0 < ifref.serial("d0") <= serial
    vm.wait_until(
        lambda: addresses <= {files["address"] for files in ifref.ifaddrs().values()},
        "all addresses are adopted again",
    )
    totals = ifref.totals()
    assert (totals["missed"], totals["references"]) == (0, 0)
    assert totals["adopted"] == len(ifref.ifnets())
    vm.sh("ip link del d0")


# Loads and unloads the module; says of each time what the trace and the ledger said.
ROUNDS = """set -e -o pipefail
for ((round = 0; round < {rounds}; round++)); do
    insmod {module}
    echo > {TRACE}/trace
    echo 1 > {TRACE}/events/ifref/ifref_invalidate/enable
    cd {ROOT}/totals; start=$(<adopted)
    # Sometimes at once, sometimes after some interfaces, or after a NIC was pulled out.
    until [ $(<adopted) -ge $((start + round % 5)) ]; do sleep 0.01; done
    until [ $((round % 5)) -ne 2 ] || grep -q cause=unbind {TRACE}/trace; do sleep 0.01; done
    pulls=$(grep -c cause=unbind {TRACE}/trace || true)
    cd /; dmesg -C; rmmod ifref
    echo "pulls $pulls = $(dmesg | grep 'ifref: ledger:')"
    {LEFT} || true
done"""


@pytest.mark.issue(3)
def test_churn(vm: Machine, ifref: Ifref, record_property) -> None:
    """P6: in and out amid all that interfaces do, and unplugs; each time the books balance."""
    rounds = max(3, times(vm.flavour, 3, 100, named="debug"))
    ifref.unload()
    jobs = [vm.spawn(f"{{ {script}; }} >&- 2>&-") for script in CHURN.values()]
    script = ROUNDS.format(rounds=rounds, module=ifref.module, TRACE=TRACE, ROOT=ROOT, LEFT=LEFT)
    churn = vm.spawn(script)
    pulls = 0
    try:
        end = time.monotonic() + 30 * rounds * vm.factor
        while not churn.done.is_set() and time.monotonic() < end:
            plug(vm, "cdc_ether")
            vm.unplug_nic("nic")
            pulls += 1
            time.sleep(random.random() * vm.factor)
        result = churn.wait()
    finally:
        for job in (churn, *jobs):
            job.kill()
    for job in jobs:
        job.wait()
    assert result.status == 0, result
    books = []
    for line in result.stdout.splitlines():
        assert line.endswith("balanced"), line
        books.append({key: int(made) for key, made in re.findall(r"(\w+) (\d+) =", line)})
        assert books[-1]["ifnets"] == books[-1]["holds"] > 0
    vm.run("ip -a netns del; for i in 0 1 3 4 5 6; do ip link del c$i; done", check=False)
    assert len(books) == rounds
    assert sum(book["ifaddrs"] for book in books) > rounds
    record_property("rounds", rounds)
    record_property("pulls", pulls)
    seen = sum(book["pulls"] for book in books)
    assert seen > 0
    record_property("pulls_while_loaded", seen)
    # Loaded once more, it is as good as new.
    ifref.load()
    vm.sh("ip link add d0 type dummy")
    serial = ifref.serial("d0")
    ident = ifref.ifaddr(serial, "link")
    ifref.hand(f"get {ident}")
    vm.sh("ip link del d0")
    ifref.gone(serial)
    assert ifref.errno(f"follow {ident}") == errno.ENODEV


def test_hand_in_use(vm: Machine, ifref: Ifref) -> None:
    """rmmod and the opening of the hand race; whoever comes first wins, nobody falls."""
    rounds = times(vm.flavour, 10, 50)
    ifref.unload()
    job = vm.spawn(f"while :; do cat {HAND} {ROOT}/ifnets/1/*; done >&- 2>&-")
    try:
        lines = vm.sh(
            f"""for i in $(seq {rounds}); do
                insmod {ifref.module}; dmesg -C
                until rmmod ifref 2>&-; do :; done
                dmesg | grep 'ifref: ledger:'
            done""",
            timeout=60 + 5 * rounds,
        ).splitlines()
    finally:
        job.kill()
    assert len(lines) == rounds
    assert all(line.endswith("balanced") for line in lines), lines
    absent(vm)
