# SPDX-License-Identifier: GPL-2.0
"""Interfaces that are down and go while their counters are read.

The core frees a macvlan's counters in unregister_netdevice(), with no more warning for one that is
down than the change of its reg_state.
"""

import json
import os
from collections.abc import Iterator

import pytest
from ifref import HAND, Ifref
from lanes import times
from vmlib import Machine

pytestmark = [pytest.mark.issue(2), pytest.mark.quick("stock")]

# Reads the hand, which follows all that is held and reads its counters, until there is a file.
READ = """
import json, os, sys
live = gone = 0
fd = os.open(sys.argv[1], os.O_RDONLY)
while not os.path.exists(sys.argv[2]):
    for _ in range(50):
        text = os.pread(fd, 65536, 0)
        live += text.count(b"name=m0")
        gone += text.count(b"invalid=detached")
print(json.dumps([live, gone]))
"""

# Makes m0, takes references to its ifaddr (ids come one after the other), deletes it, follows.
CHURN = """
import errno, os, subprocess, sys
hand, kind, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
def give(command):
    fd = os.open(hand, os.O_WRONLY)
    try:
        os.write(fd, command.encode())
    except OSError as err:
        return err.errno
    finally:
        os.close(fd)
    return 0
ip = subprocess.Popen(["ip", "-batch", "-"], stdin=subprocess.PIPE, text=True)
def tell(line):
    print(line, file=ip.stdin, flush=True)
ident = int(sys.argv[4])
for turn in range(rounds):
    tell(f"link add m0 link d0 type {kind}")
    while error := give(f"get {ident} 3"):
        assert error == errno.ENOENT, error
        assert ip.poll() is None
    assert give(f"follow {ident}") == 0
    tell("link del m0")
    while not (error := give(f"follow {ident}")):
        assert ip.poll() is None
    assert error == errno.ENODEV, error
    assert give(f"follow {ident}") == errno.ENODEV
    assert give(f"follow {ident}") == errno.ENODEV
    assert give(f"follow {ident}") == errno.ENOENT
    ident += 1
ip.stdin.close()
sys.exit(ip.wait())
"""


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("for name in m0 d0; do ip link del $name; done", check=False)


@pytest.mark.parametrize(("kind", "share"), [("macvlan", 1), ("vlan id 5", 4)])
def test_read_while_deleted(vm: Machine, ifref: Ifref, kind: str, share: int) -> None:
    """P3: no reader is ever in the counters of one that is down when they are freed."""
    rounds = times(vm.flavour, 100, 1000) // share
    vm.sh("modprobe -a macvlan 8021q; ip link add d0 type dummy; rm -f /tmp/over")
    serial = ifref.serial("d0")
    first = max(ifref.ifaddrs()) + 1
    before = ifref.totals()
    # One more holder's line that never goes, to have the readers at work at all times.
    ifref.hand(f"get {ifref.ifaddr(serial, 'link')}")
    readers = [vm.spawn(["python3", "-c", READ, HAND, "/tmp/over"]) for _ in range(2)]
    try:
        vm.run(["python3", "-c", CHURN, HAND, kind, str(rounds), str(first)], timeout=60 + rounds)
    finally:
        vm.write("/tmp/over", "", flags=os.O_CREAT)
        results = [reader.wait() for reader in readers]
    for result in results:
        assert result.status == 0, result.stderr
    live, gone = map(sum, zip(*(json.loads(result.stdout) for result in results), strict=True))
    assert live > rounds, "the readers hardly saw one alive"
    assert gone > 0, "the readers never saw one gone"
    vm.wait_until(lambda: ifref.totals()["freed"] == before["freed"] + rounds, "all are freed")
    vm.wait_until(lambda: ifref.totals()["ifaddrs"] == before["ifaddrs"], "all addresses")
    assert ifref.totals()["references"] == 1
    vm.sh("ip link del d0")
    ifref.gone(serial)
