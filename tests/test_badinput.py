# SPDX-License-Identifier: GPL-2.0
"""Whatever is written: an errno, a word in the kernel log, and nothing changed."""

import errno
import json
import re
from collections.abc import Iterator

import pytest
from ifref import HAND, ROOT, Ifref
from lanes import times
from vmlib import Machine

pytestmark = [pytest.mark.issue(2), pytest.mark.quick("stock")]

NEXT_SERIAL = "/sys/kernel/debug/ifref/next_serial"
PROCESSES = 6

BAD_COMMANDS = [
    b"",
    b"\n",
    b" ",
    b"get",
    b"put\n",
    b"follow",
    b"bogus",
    b"bogus 1",
    b"GET 1",
    b"get1",
    b"1 get",
    b"get x",
    b"get -1",
    b"get 0x1",
    b"get 1.0",
    b"get 1 -1",
    b"get 1 0",
    b"put 1 0",
    b"get 1 x",
    b"get 1 100001",
    b"get 1 4294967297",
    b"get 1 18446744073709551617",
    b"get 18446744073709551616",
    b"get 99999999999999999999999999999999999999999999",
    b"get 1 1 1",
    b"follow 1 1",
    b"follow 1 follow 1",
    b"get 1\nget 1\n",
    b"get 1;put 1",
    b"get 1\0",
    b"get\0 1",
    b"\0",
    b"\0get 1",
    b"get 1\0\0\0\0\0\0\0",
    b"get \xff\xfe",
    b"\xff" * 64,
    bytes(range(128, 192)),
    bytes(range(64)),
    "get \N{ARABIC-INDIC DIGIT ONE}".encode(),
    b" " * 64,
]
BAD_SERIALS = [
    b"",
    b"\n",
    b"x",
    b"-1",
    b"0",
    b"1",
    b"1.5",
    b"0x10000",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"70000 70001",
    b"70000\n70001\n",
    b"70000\0",
    b"\0" * 8,
    b"\xff\xfe\xfd",
    b"9" * 64,
]
TOO_LONG = [
    b"get 1" + b" " * 60,
    b" " * 65,
    b"9" * 65,
    b"\0" * 4096,
    b"get 1\n" * 20000,
]

# Writes each of the commands, one write(2) each, and says how that ended.
TRY = """
import json, os, sys
ends = []
for text in json.loads(sys.argv[2]):
    try:
        fd = os.open(sys.argv[1], os.O_WRONLY)
        try:
            os.write(fd, bytes.fromhex(text))
            ends.append(0)
        finally:
            os.close(fd)
    except OSError as err:
        ends.append(err.errno)
print(json.dumps(ends))
"""

# Takes and drops references among others who do, with nonsense in between.
MIX = """
import errno, os, random, sys
path, ident, rounds, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
random.seed(seed)
fd = os.open(path, os.O_RDWR)
def give(data):
    try:
        os.write(fd, data)
        return 0
    except OSError as err:
        return err.errno
for turn in range(rounds):
    count = random.choice((1, 2, 10))
    assert give(b"get %s %d" % (ident.encode(), count)) == 0
    assert give(b"follow %s" % ident.encode()) == 0
    assert give(b"bogus") == errno.EINVAL
    assert give(random.randbytes(random.randrange(1, 64))) != 0
    assert give(random.randbytes(100)) == errno.E2BIG
    os.pread(fd, 4096, 0)
    assert give(b"put %s %d" % (ident.encode(), count)) == 0
"""

# A write(2) from where there is no memory.
FAULT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_WRONLY)
ends = []
for address in (0, 1, 0x7fffffffe000, 0xffff888000000000):
    ended = libc.write(fd, ctypes.c_void_p(address), ctypes.c_size_t(10))
    ends.append(ctypes.get_errno() if ended < 0 else 0)
print(ends)
"""

WITHOUT = {
    # Root, but without that one capability.
    "root": ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"],
    # Root of a user namespace, who has it there.
    "userns": ["unshare", "-Ur"],
    "user": ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"],
}


@pytest.fixture(autouse=True)
def clean(vm: Machine) -> Iterator[None]:
    """Nothing of a failed test is left to the next."""
    yield
    vm.run("ip link del d0", check=False)


def write(vm: Machine, path: str, data: bytes) -> int:
    """The errno of a write as root."""
    try:
        vm.write(path, data)
    except OSError as err:
        return err.errno
    return 0


def state(vm: Machine, ifref: Ifref) -> tuple:
    """All that a rejected command could have changed."""
    return ifref.totals(), ifref.held(), vm.read(NEXT_SERIAL), vm.sh("cat /sys/module/ifref/refcnt")


def works(ifref: Ifref) -> None:
    """Commands still do what they did."""
    ident = ifref.ifaddr(ifref.serial("lo"), "link")
    ifref.hand(f"get {ident} 2\n")
    assert ifref.errno(f"follow {ident}") == 0
    ifref.hand(f"put  {ident}\t2 ")
    assert ifref.errno(f"put {ident}") == errno.ENOENT


def said(vm: Machine) -> list[str]:
    """The messages since the log was cleared."""
    return re.findall(r"ifref: .*", vm.sh("dmesg"))


def told(vm: Machine, path: str, data: bytes, words: str) -> None:
    """A command is rejected, and told in the log: at once, unless the limit is reached by now."""
    vm.sh("dmesg -C")

    def again() -> bool:
        assert write(vm, path, data) != 0
        return any(words in line for line in said(vm))

    vm.wait_until(again, f"the log has {words!r} for {data!r}", 10)


def test_bad_commands(vm: Machine, ifref: Ifref) -> None:
    """Nonsense for the hand."""
    before = state(vm, ifref)
    ends = {data: write(vm, HAND, data) for data in BAD_COMMANDS}
    assert {data: end for data, end in ends.items() if end != errno.EINVAL} == {}
    ends = {data[:80]: write(vm, HAND, data) for data in TOO_LONG}
    assert {data: end for data, end in ends.items() if end != errno.E2BIG} == {}
    for verb in ("get", "follow", "put"):
        assert write(vm, HAND, f"{verb} 0".encode()) == errno.ENOENT
        assert write(vm, HAND, f"{verb} 18446744073709551615".encode()) == errno.ENOENT
    # There, but not held.
    ident = ifref.ifaddr(ifref.serial("lo"), "link")
    assert ifref.errno(f"follow {ident}") == errno.ENOENT
    assert ifref.errno(f"put {ident}") == errno.ENOENT
    assert state(vm, ifref) == before
    works(ifref)
    # Held, but not as often.
    ifref.hand(f"get {ident} 2")
    held = state(vm, ifref)
    assert ifref.errno(f"put {ident} 3") == errno.ENOENT
    assert ifref.errno(f"put {ident} 100000") == errno.ENOENT
    assert state(vm, ifref) == held
    ifref.hand(f"put {ident} 2")


def test_bad_serials(vm: Machine, ifref: Ifref) -> None:
    """Nonsense for next_serial."""
    vm.write(NEXT_SERIAL, "65000")
    before = state(vm, ifref)
    ends = {data: write(vm, NEXT_SERIAL, data) for data in BAD_SERIALS}
    assert {data: end for data, end in ends.items() if end != errno.EINVAL} == {}
    ends = {data[:80]: write(vm, NEXT_SERIAL, data) for data in TOO_LONG}
    assert {data: end for data, end in ends.items() if end != errno.E2BIG} == {}
    assert state(vm, ifref) == before
    works(ifref)


@pytest.mark.parametrize("path", [HAND, NEXT_SERIAL], ids=["hand", "next_serial"])
def test_bad_memory(vm: Machine, ifref: Ifref, path: str) -> None:
    """A command where there is no memory."""
    before = state(vm, ifref)
    assert json.loads(vm.run(["python3", "-c", FAULT, path]).stdout) == [errno.EFAULT] * 4
    assert state(vm, ifref) == before
    works(ifref)


def test_concurrent(vm: Machine, ifref: Ifref) -> None:
    """Several processes at a time; nobody's command is lost or mixed up with another's."""
    rounds = times(vm.flavour, 60, 400)
    ident = ifref.ifaddr(ifref.serial("lo"), "link")
    before = state(vm, ifref)
    jobs = [
        vm.spawn(["python3", "-c", MIX, HAND, str(ident), str(rounds), str(seed)])
        for seed in range(PROCESSES)
    ]
    results = [job.wait(60 + rounds) for job in jobs]
    assert [result.status for result in results] == [0] * PROCESSES, results
    assert state(vm, ifref) == before
    works(ifref)


def test_read_only(vm: Machine, ifref: Ifref) -> None:
    """No file in sysfs can be written, by root neither; but detach, which takes a 1 only."""
    vm.sh("ip link add d0 type dummy")
    ifref.ifaddr(ifref.serial("d0"), "link")
    before = state(vm, ifref)
    files = vm.sh(f"find {ROOT} -type f").splitlines()
    assert len(files) >= 7 + 10 + 6
    for path in files:
        if path.endswith("/detach"):
            for bad in (b"0", b"11", b"1 1", b"x", b"\xff", b"1" * 5000):
                assert write(vm, path, bad) == errno.EINVAL, (path, bad)
        else:
            assert write(vm, path, b"1") == errno.EACCES, path
    for command in ("chmod 644 totals/valid && echo 1 > totals/valid", "rmdir totals", "mkdir x"):
        assert vm.run(f"cd {ROOT}; {command}", check=False).status != 0
    vm.sh(f"chmod 400 {ROOT}/totals/valid")
    assert state(vm, ifref) == before
    vm.sh("ip link del d0")


@pytest.mark.parametrize("who", WITHOUT)
def test_no_capability(vm: Machine, ifref: Ifref, who: str) -> None:
    """Without CAP_NET_ADMIN of the whole machine's no command is taken."""
    vm.sh("dmesg -C")
    ident = ifref.ifaddr(ifref.serial("lo"), "link")
    ifref.hand(f"get {ident}")
    before = state(vm, ifref)
    commands = {
        HAND: [f"get {ident}", f"follow {ident}", f"put {ident}", "bogus", "get 1" + 80 * " "],
        NEXT_SERIAL: ["100000", "x", "0"],
    }
    wanted = errno.EACCES if who == "user" else errno.EPERM
    for path, texts in commands.items():
        argument = json.dumps([text.encode().hex() for text in texts])
        result = vm.run([*WITHOUT[who], "python3", "-c", TRY, path, argument])
        assert json.loads(result.stdout) == [wanted] * len(texts)
    assert state(vm, ifref) == before

    def tells() -> bool:
        vm.run([*WITHOUT[who], "bash", "-c", f"echo bogus > {HAND}"], check=False)
        return any("CAP_NET_ADMIN" in line for line in said(vm))

    if who != "user":
        vm.wait_until(tells, "it is told in the log", 10)
    # An open file that somebody else hands over is no permission either.
    inner = " ".join(WITHOUT[who])
    result = vm.run(f"{inner} bash -c 'echo put {ident} >&3' 3> {HAND}", check=False)
    assert result.status != 0
    assert "Operation not permitted" in result.stderr
    assert state(vm, ifref) == before
    ifref.hand(f"put {ident}")
    works(ifref)


def test_messages(vm: Machine, ifref: Ifref) -> None:
    """What is no command is told in the log."""
    told(vm, HAND, b"bogus", "a command is")
    told(vm, HAND, b"get 1 0", "a command is")
    told(vm, HAND, b"\xff", "not text")
    told(vm, HAND, b" " * 65, "too long")
    told(vm, NEXT_SERIAL, b"x", "not a number")
    told(vm, NEXT_SERIAL, b"0", "only grow")


def test_empty_is_told(vm: Machine, ifref: Ifref) -> None:
    """Nothing at all is no command either."""
    told(vm, HAND, b"", "")
    told(vm, NEXT_SERIAL, b"", "")


def test_messages_are_limited(vm: Machine, ifref: Ifref) -> None:
    """Who writes nonsense all day does not fill the log with it."""
    told(vm, HAND, b"bogus", "a command is")
    vm.sh(f"dmesg -C; for i in $(seq 500); do echo bogus > {HAND} || true; done 2> /dev/null")
    lines = [line for line in said(vm) if "callbacks suppressed" not in line]
    assert len(lines) < 100
