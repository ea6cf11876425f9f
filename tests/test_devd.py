# SPDX-License-Identifier: GPL-2.0
"""devd: drivers submit, one thread removes. Each case of the two mails has its test here."""

import errno
import os
import random
import re
import time
from collections.abc import Iterator

import pytest
from ifref import ROOT, Ifref
from lanes import FULL, times
from test_hotplug import plug
from vmlib import Machine

pytestmark = pytest.mark.issue(5)

PIN = "/sys/module/ifref_pinner/parameters"

# A driver that does what it is told, in C and in Rust.
IN_RUST = [pytest.mark.issue(6), pytest.mark.quick("stock")]
DRIVERS = ["rig", pytest.param("rig_rust", marks=IN_RUST)]

# What the kernel says of a dev_hold(), after some seconds; with the trackers, where it was.
WAITS = ("waiting for (rig0|usb0) to become free", "ref_tracker: .* has 1/1 users at")


# Waits for a file's sysfs_notify().
POLL = """
import select, sys
with open(sys.argv[1]) as file:
    file.read()
    print("listens", flush=True)
    poll = select.poll()
    poll.register(file, select.POLLPRI | select.POLLERR)
    print("told" if poll.poll(60000) else "not told")
"""


class Rig:
    """The driver that does what it is told (tests/rig, or its twin in tests/rig_rust)."""

    def __init__(self, vm: Machine, ifref: Ifref, name: str) -> None:
        self.vm = vm
        self.module = f"ifref_{name}"
        self.path = ifref.module.with_name(f"{self.module}.ko")
        self.params = f"/sys/module/{self.module}/parameters"
        self.is_rust = name == "rig_rust"
        vm.insmod(self.path)

    def do(self, *commands: str) -> None:
        """Runs commands one after the other; an error of one ends it."""
        script = "\n".join(f"echo {command} > {self.params}/do" for command in commands)
        self.vm.run(["busybox", "sh", "-e", "-c", script])

    def refuses(self, command: str) -> bool:
        """Whether a command is an error."""
        return self.vm.run(f"echo {command} > {self.params}/do", check=False).status != 0

    def attach(self, nic: int, kind: int = 0, up: bool = True) -> None:
        """Makes and attaches one; kind 1: the softc apart, 2: a link, 4: with a parent (in C)."""
        self.do(f"make {nic} {kind}", f"attach {nic}")
        assert self.state(nic)["err"] == 0
        if up:
            self.vm.sh(f"ip link set rig{nic} up")

    def states(self) -> dict[int, dict[str, int]]:
        """What the driver knows of all."""
        return {
            int(line.split()[0]): {
                name: int(value) for name, value in re.findall(r"(\w+)=(-?\d+)", line)
            }
            for line in self.vm.read(f"{self.params}/state").splitlines()
        }

    def state(self, nic: int) -> dict[str, int]:
        """What the driver knows of one."""
        return self.states()[nic]

    def freed(self, nic: int, timeout: float = 20) -> dict[str, int]:
        """Waits until one was freed: once, after one quiesce, and in peace."""
        self.vm.wait_until(lambda: self.state(nic)["freed"], f"rig{nic} is freed", timeout)
        state = self.state(nic)
        assert (state["freed"], state["quiesced"]) == (1, 1), state
        assert (state["late"], state["inside"], state["early"]) == (0, 0, 0), state
        return state

    def kept(self, nic: int, seconds: float = 0.5) -> None:
        """It has left the lists, and is not freed."""
        self.vm.goes(f"/sys/class/net/rig{nic}")
        self.vm.sh(f"sleep {seconds}")
        assert self.state(nic)["freed"] == 0

    def unloading(self) -> None:
        """Begins to unload it."""
        self.vm.spawn(f"rmmod {self.module}")

    def unloaded(self) -> str:
        """Waits until it is unloaded; what it has said of itself."""
        self.vm.goes(f"/sys/module/{self.module}")
        self.vm.sync_log()
        words = f"{self.module}: unloaded: "
        return [line for line in self.vm.verdict.lines if words in line][-1].split(words)[1]

    def unload(self) -> str:
        """Unloads it; what it says of itself then."""
        self.vm.rmmod(self.module)
        return self.unloaded()


@pytest.fixture(params=DRIVERS)
def rig(request: pytest.FixtureRequest, vm: Machine, ifref: Ifref) -> Iterator[Rig]:
    """The rig, unloaded before ifref is."""
    vm.insmod(ifref.module.with_name("ifref_pinner.ko"))
    driver = Rig(vm, ifref, request.param)
    yield driver
    # What a failed test has left.
    vm.run(f"ip netns del n0; echo dev_put 0 > {driver.params}/do", check=False)
    for module in ("ifref_pinner", driver.module):
        if vm.exists(f"/sys/module/{module}"):
            vm.rmmod(module)


def stats(vm: Machine) -> dict[str, int]:
    """What devd has done."""
    files = vm.glob(f"{ROOT}/devd/*")
    return {path.rsplit("/", 1)[1]: int(text) for path, text in files.items()}


def pin(vm: Machine, ifref: Ifref, name: str, mode: str, seconds: int) -> None:
    """Has the pinner hold an interface for some seconds."""
    ifref.serial(name)
    for file, text in {"ifname": name, "mode": mode, "seconds": str(seconds), "pin": "1"}.items():
        vm.write(f"{PIN}/{file}", text)


def unpin(vm: Machine) -> None:
    """Has it let go at once."""
    vm.rmmod("ifref_pinner")


@pytest.mark.quick("stock")
def test_vnic(vm: Machine, ifref: Ifref) -> None:
    """The smallest driver: made, pulled, unloaded."""
    vm.sh(f"insmod {ifref.module.with_name('ifref_vnic_c.ko')} nics=3")
    serials = [ifref.serial(f"vnic{n}") for n in range(3)]
    vm.sh("ip link set vnic0 up; ip addr add 10.1.0.1/24 dev vnic0")
    vm.sh("echo 1 > /sys/module/ifref_vnic_c/parameters/pull")
    ifref.gone(serials[1])
    assert vm.exists("/sys/class/net/vnic0") and not vm.exists("/sys/class/net/vnic1")
    vm.sh("echo 1 > /sys/module/ifref_vnic_c/parameters/pull")
    vm.sh("rmmod ifref_vnic_c")
    for serial in serials:
        ifref.gone(serial)
    assert stats(vm)["detached"] == stats(vm)["attached"] == 3
    assert stats(vm)["queued"] == 3


@pytest.mark.parametrize("apart", [0, 1], ids=["in netdev_priv", "apart"])
def test_detach_at_interrupt_time(vm: Machine, ifref: Ifref, rig: Rig, apart: int) -> None:
    """Studenmund: the interrupt calls if_detach and returns; the callback disposes of the softc."""
    rig.attach(0, apart)
    serial = ifref.serial("rig0")
    # Nothing is torn down by then: the quiesce takes its time.
    rig.do("quiesce_ms 0 1000", "irq 0 1000")
    vm.wait_until(lambda: rig.state(0)["ns"], "the interrupt")
    assert rig.state(0)["quiesced"] == rig.state(0)["freed"] == 0
    assert vm.exists("/sys/class/net/rig0")
    assert ifref.ifnets()[serial]["valid"] == "0", "not valid as soon as it was submitted"
    rig.freed(0)
    ifref.gone(serial)
    [event] = [event for event in ifref.trace("ifref_invalidate") if event["name"] == "rig0"]
    assert event["cause"] == "detach"


@pytest.mark.quick("stock")
def test_count_reaches_zero_inside_detach(rig: Rig) -> None:
    """Studenmund: possibly within if_detach; the free is never below it."""
    for nic in range(8):
        rig.attach(nic, kind=nic % 2, up=bool(nic % 3))
    rig.do(*[f"gone {nic}" for nic in range(8)])
    for nic in range(8):
        rig.freed(nic)
    assert rig.unload() == "8 attached, 8 freed"


@pytest.mark.quick("stock")
def test_a_use_delays_the_free_and_not_the_kernel(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """An Entered: the device drains, the free waits for the last use, and is woken by it."""
    rig.attach(0)
    pin(vm, ifref, "rig0", "enter", 60)
    rig.do("gone 0")
    rig.kept(0, 1.5)
    # The kernel waits for nobody: it would say so once a second after a while.
    assert stats(vm)["detached"] == 0
    unpin(vm)
    rig.freed(0)


@pytest.mark.quick("stock")
def test_plain_references_delay_nothing(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """A reference: it is refused afterwards."""
    rig.attach(0)
    pin(vm, ifref, "rig0", "reference", 60)
    rig.do("gone 0")
    rig.freed(0)
    assert "refused" in vm.read(f"{PIN}/pin")


@pytest.mark.quick("stock")
def test_a_kernel_reference_delays_the_free(vm: Machine, rig: Rig) -> None:
    """A dev_hold(): the kernel waits, in a helper, and the free is woken by its end."""
    rig.attach(0)
    with vm.expects(*WAITS, must=False):
        rig.do("dev_hold 0", "gone 0")
        rig.kept(0, 1)
        rig.do("dev_put 0")
        rig.freed(0)


@pytest.mark.quick("stock")
def test_unload_sleeps_until_the_last_use_ends(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Studenmund's second case: the driver goes, and the unload waits for the softc."""
    rig.attach(0)
    pin(vm, ifref, "rig0", "enter", 60)
    rig.unloading()
    rig.kept(0, 1)
    # Asleep, and not counted as load.
    assert vm.sh(f"ps -eo stat,args | grep '[r]mmod {rig.module}$'").startswith("I")
    unpin(vm)
    assert rig.unloaded() == "1 attached, 1 freed"


@pytest.mark.parametrize("mode", ["enter", "dev_hold"])
def test_the_sick_case(vm: Machine, ifref: Ifref, rig: Rig, mode: str) -> None:
    """Popping out the card and then unloading before the free: case 1 becomes case 2."""
    rig.attach(0, 1)
    pin(vm, ifref, "rig0", mode, 60)
    rig.do("free_ms 0 500", "irq 0 10")
    # A use is no reference of the kernel's.
    with vm.expects(*(WAITS if mode == "dev_hold" else ()), must=False):
        rig.kept(0, 0.3)
        rig.unloading()
        vm.sh("sleep 1")
        assert vm.exists(f"/sys/module/{rig.module}"), "the unload joins"
        unpin(vm)
        assert rig.unloaded() == "1 attached, 1 freed"
    assert stats(vm)["queued"] == 1


@pytest.mark.quick("stock")
def test_the_sick_case_with_parked_packets(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Waiting for the protocol stacks to process packets: nobody waits for parked ones."""
    rig.attach(0)
    ident = ifref.ifaddr(ifref.serial("rig0"), "link")
    ifref.hand(f"get {ident}")
    ifref.hand(f"park {ident} 100")
    rig.do("free_ms 0 1000", "irq 0 10")
    vm.sh(f"timeout 20 rmmod {rig.module}")
    assert rig.unloaded() == "1 attached, 1 freed"
    assert ifref.totals()["packets"] == 100
    assert ifref.errno(f"send {ident}") == errno.ENODEV
    ifref.hand(f"free {ident} 99")


@pytest.mark.quick("stock")
def test_unload_first_and_then_the_card(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """The other way round: popping out while the unload waits."""
    rig.attach(0)
    pin(vm, ifref, "rig0", "enter", 60)
    rig.unloading()
    rig.kept(0, 0.3)
    rig.do("irq 0 10", "gone 0")
    vm.sh("sleep 0.3")
    unpin(vm)
    assert rig.unloaded() == "1 attached, 1 freed"


@pytest.mark.quick("stock")
def test_the_driver_says_no_and_later_yes(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Thomas: when asked the driver will say no; when ready, it will indicate."""
    rig.attach(0)
    rig.do("no 0 1", "orderly 0")
    vm.wait_until(lambda: stats(vm)["vetoed"] == 1, "the veto")
    rig.do("orderly 0")
    vm.wait_until(lambda: stats(vm)["vetoed"] == 2, "the second veto")
    shown = f"{ROOT}/ifnets/{ifref.serial('rig0')}/veto"
    assert vm.read(shown) == "firmware is being written\n"
    assert vm.exists("/sys/class/net/rig0") and rig.state(0)["quiesced"] == 0
    # It works on.
    vm.sh("ip link set rig0 down && ip link set rig0 up")
    rig.do("no 0 0", "orderly 0")
    assert rig.freed(0)["asked"] == 3


@pytest.mark.quick("stock")
def test_a_veto_ends(vm: Machine, rig: Rig) -> None:
    """A veto with a deadline: the driver is asked again by itself."""
    rig.attach(0)
    rig.do("again_ms 0 300", "no 0 1", "orderly 0")
    vm.wait_until(lambda: rig.state(0)["asked"] >= 3, "asked again and again")
    rig.do("no 0 0")
    rig.freed(0)


@pytest.mark.quick("stock")
@pytest.mark.parametrize("rig", ["rig"], indirect=True)
def test_pulled_while_an_administrator_asks(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """The driver has answered before it lets go of its hardware; afterwards it is not asked."""
    rig.attach(0, 4)
    detach = f"{ROOT}/ifnets/{ifref.serial('rig0')}/detach"
    rig.do("ask_ms 0 2000")
    vm.write(detach, "1")
    vm.wait_until(lambda: rig.state(0)["asked"] == 1, "the driver is asked")
    rig.do("gone 0")
    # Neither late nor early, says the driver.
    rig.freed(0)
    assert rig.state(0)["asked"] == 1


@pytest.mark.quick("stock")
def test_gone_overrules_a_veto(vm: Machine, rig: Rig) -> None:
    """Hardware that has gone is not asked for."""
    rig.attach(0)
    rig.do("no 0 1", "orderly 0")
    vm.wait_until(lambda: stats(vm)["vetoed"] == 1, "the veto")
    rig.do("gone 0")
    assert rig.freed(0)["asked"] == 1


@pytest.mark.quick("stock")
def test_an_unload_overrules_a_veto(rig: Rig) -> None:
    """Neither is the driver that is being unloaded."""
    rig.attach(0)
    rig.do("no 0 1", "orderly 0")
    assert rig.unload() == "1 attached, 1 freed"


def test_the_driver_holds_its_softc(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Thomas: outstanding references that the load/unload doesn't know about."""
    rig.attach(0)
    serial = ifref.serial("rig0")
    rig.do("hold_softc 0", "hold_softc 0", "gone 0")
    rig.kept(0)
    shown = ifref.ifnets()[serial]
    assert (shown["softc_holds"], shown["valid"]) == ("2", "0")
    rig.do("release_softc 0")
    rig.kept(0)
    rig.unloading()
    vm.sh("sleep 0.5")
    rig.do("release_softc 0")
    assert rig.unloaded() == "1 attached, 1 freed"


@pytest.mark.quick("stock")
def test_there_is_nothing_to_hold(vm: Machine, rig: Rig) -> None:
    """Before it is attached, and after its free."""
    rig.do("make 0")
    assert rig.refuses("hold_softc 0")
    rig.do("attach 0", "gone 0")
    rig.freed(0)
    assert rig.refuses("hold_softc 0")
    # Detaching what is freed does nothing.
    rig.do("gone 0", "orderly 0")
    assert rig.unload() == "1 attached, 1 freed"


def test_double_detach_from_two_cpus(vm: Machine, rig: Rig, flavour: str) -> None:
    """Both at once, at interrupt time: one removal."""
    rounds = times(flavour, 10, 100)
    for _ in range(rounds):
        rig.attach(0, up=False)
        rig.do("twice 0", "gone 0")
        rig.freed(0)
    assert stats(vm)["queued"] == rounds


def test_detach_during_attach(vm: Machine, rig: Rig, flavour: str) -> None:
    """Whatever comes first, the driver has its softc freed once, or gets it back with the error."""
    came = set()
    for round in range(times(flavour, 20, 200)):
        rig.do("make 0")
        if rig.is_rust:
            # Nobody knows it before it is attached but itself: it is pulled before that is known.
            vm.sh(
                f"""(while ! ip link set rig0 up; do :; done) 2> /dev/null &
                echo in_open 0 1 > {rig.params}/do; echo attach 0 > {rig.params}/do
                wait"""
            )
        else:
            rig.do(f"race 0 {round * 97 % 2000}")
        vm.wait_until(lambda: rig.state(0)["freed"] or rig.state(0)["err"], "an end")
        state = rig.state(0)
        assert (state["freed"], state["err"]) in ((1, 0), (0, -errno.ENODEV)), state
        came.add(state["freed"])
    assert came, "no round"


@pytest.mark.quick("stock")
def test_detach_inside_anothers_free(rig: Rig) -> None:
    """The free of one NIC submits another."""
    rig.attach(0)
    rig.attach(1)
    rig.do("in_free 0 1", "gone 0")
    rig.freed(0)
    rig.freed(1)


@pytest.mark.quick("stock")
def test_waiting_inside_free_is_edeadlk(rig: Rig) -> None:
    """What could never end is an error."""
    rig.attach(0)
    rig.do("in_free 0 0", "gone 0", "wait 0")
    assert rig.freed(0)["wait"] == 0
    rig.attach(1)
    rig.do("in_free 1 1", "gone 1")
    assert rig.freed(1)["wait"] == -errno.EDEADLK


@pytest.mark.quick("stock")
def test_waiting_under_rtnl_is_edeadlk(rig: Rig) -> None:
    """Neither attach nor wait; lockdep knows at once, without it it takes 10 seconds."""
    rig.do("make 0", "attach_rtnl 0")
    assert rig.state(0)["err"] == -errno.EDEADLK
    rig.do("attach 0", "gone 0")
    rig.freed(0)
    rig.do("wait_rtnl 0")
    assert rig.state(0)["wait"] == -errno.EDEADLK


def test_link_del_races_submit(vm: Machine, rig: Rig, flavour: str) -> None:
    """The core removes it, too."""
    for round in range(times(flavour, 10, 100)):
        rig.attach(0, 2, up=bool(round % 2))
        rig.do(f"irq 0 {round * 397 % 20000}")
        vm.run("ip link del rig0", check=False)
        rig.freed(0)


@pytest.mark.quick("stock")
def test_link_del_alone(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """The core removes it, and leaves devd the free."""
    rig.attach(0, 2)
    rig.do("free_ms 0 300")
    vm.sh("ip link del rig0")
    rig.freed(0)
    rig.attach(0, 2)
    pin(vm, ifref, "rig0", "enter", 60)
    vm.sh("timeout 10 ip link del rig0")
    rig.kept(0)
    unpin(vm)
    rig.freed(0)


def test_namespace_exit_races_submit(vm: Machine, rig: Rig, flavour: str) -> None:
    """A namespace dies with its links."""
    for round in range(times(flavour, 5, 100)):
        rig.attach(0, 2)
        vm.sh("ip netns add n0; ip link set rig0 netns n0; ip -n n0 link set rig0 up")
        rig.do(f"irq 0 {round * 1397 % 50000}")
        vm.sh("ip netns del n0")
        rig.freed(0)


def test_open_in_the_window(vm: Machine, rig: Rig) -> None:
    """An open under way is waited for; one that comes later is refused."""
    rig.attach(0, up=False)
    rig.do("open_ms 0 1000")
    vm.spawn("ip link set rig0 up")
    vm.wait_until(lambda: rig.state(0)["opened"], "the open begins")
    rig.do("gone 0")
    rig.freed(0)
    rig.attach(1, up=False)
    rig.do("quiesce_ms 1 1000", "gone 1")
    assert vm.run("ip link set rig1 up", check=False).status != 0
    assert rig.freed(1)["opened"] == 0


@pytest.mark.quick("stock")
def test_rename_and_move_in_the_window(vm: Machine, rig: Rig) -> None:
    """Between submit and unlink the interface is still there for everybody else."""
    rig.attach(0)
    vm.sh("ip netns add n0")
    window = int(1500 * vm.factor)
    rig.do(f"quiesce_ms 0 {window}", "gone 0")
    vm.sh(
        """ip -batch - << end
link set rig0 down
link set rig0 name other0
link set other0 netns n0
end"""
    )
    rig.freed(0, 20 + window / 1000)
    vm.sh("ip netns del n0")


FLOOD = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
while True:
    try:
        s.sendto(bytes(60), ("rig0", 0x88b5))
    except OSError:
        pass
"""


def test_no_transmit_after_quiesce(vm: Machine, rig: Rig, flavour: str) -> None:
    """What starts after detach does not reach the driver, what runs ends before quiesce."""
    vm.spawn(["python3", "-c", FLOOD])
    for _ in range(times(flavour, 10, 500)):
        rig.attach(0)
        vm.wait_until(lambda: rig.state(0)["sent"] > 50, "traffic")
        rig.do("irq 0 500")
        rig.freed(0)


# Rounds of one NIC's life, each with three threads that do things at random times. In the guest,
# and without a program for each of them: what is to be exercised is the module.
ROUNDS = """
import fcntl, os, random, socket, struct, subprocess, sys, threading, time
rig, path, seed, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
module = os.path.basename(path).removesuffix(".ko")
rng = random.Random(seed)
kmsg = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def do(command):
    try:
        fd = os.open(rig + "/do", os.O_WRONLY)
    except OSError:  # unloaded
        return False
    try:
        os.write(fd, command.encode())
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
def state():
    with open(rig + "/state") as file:
        line = next(line for line in file if line.startswith("0 "))
    return {name: int(value) for name, value in (word.split("=") for word in line.split()[1:])}
def up():
    try:  # SIOCSIFFLAGS
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"rig0", 1))
    except OSError:
        pass
def trouble(commands):
    for command, pause in commands:
        do(command)
        time.sleep(pause)
def hold(before, after):
    time.sleep(before)
    if do("hold_softc 0"):
        time.sleep(after)
        assert do("release_softc 0")
def some():
    irq = f"irq 0 {rng.randint(1, 5000)}"
    commands = ["gone 0", irq, "twice 0", "orderly 0", "no 0 1", "no 0 0"]
    pauses = [0, 0, 0.001, 0.01, 0.05]
    return [(rng.choice(commands), rng.choice(pauses)) for _ in range(rng.randint(1, 5))]
def freed(state):
    assert (state["freed"], state["quiesced"]) == (1, 1), state
    assert (state["late"], state["inside"], state["early"]) == (0, 0, 0), state
unloads = 0
for turn in range(rounds):
    assert do(f"make 0 {rng.choice([0, 1, 2])}") and do("attach 0"), turn
    assert state()["err"] == 0
    assert do(f"quiesce_ms 0 {rng.choice([0, 0, 30, 100])}")
    assert do(f"free_ms 0 {rng.choice([0, 30])}")
    if rng.random() < 0.5:
        up()
    threads = [
        threading.Thread(target=trouble, args=[some()]),
        threading.Thread(target=trouble, args=[some()]),
        threading.Thread(
            target=hold, args=[rng.choice([0, 0.01, 0.05]), rng.choice([0, 0.01, 0.1])]
        ),
    ]
    for thread in threads:
        thread.start()
    if rng.random() < 0.3 or turn % 5 == 4:
        os.lseek(kmsg, 0, os.SEEK_END)
        subprocess.run(["rmmod", module], check=True)
        for thread in threads:
            thread.join()
        said = os.read(kmsg, 8192).decode()
        while "unloaded: " not in said:
            said = os.read(kmsg, 8192).decode()
        assert "unloaded: 1 attached, 1 freed" in said, (turn, said)
        subprocess.run(["insmod", path], check=True)
        unloads += 1
    else:
        for thread in threads:
            thread.join()
        do("gone 0")
        end = time.time() + 60
        while not state()["freed"]:
            assert time.time() < end, (turn, state())
            time.sleep(0.002)
        freed(state())
print(unloads)
"""


def test_random_rounds(vm: Machine, rig: Rig, flavour: str, record_property) -> None:
    """Attach, detach, hold and unload with random pauses, from several threads: one free each."""
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1 << 32)
    print(f"SEED={seed}")
    rounds = times(flavour, 60, 1000, named="debug")
    command = ["python3", "-c", ROUNDS, rig.params, str(rig.path), str(seed), str(rounds)]
    unloads = int(vm.run(command, timeout=60 + 3 * rounds).stdout)
    assert unloads >= rounds // 5
    record_property("seed", seed)
    record_property("rounds", rounds)
    record_property("unloads", unloads)


@pytest.fixture
def impatient(vm: Machine, ifref: Ifref) -> None:
    """ifref, with a short deadline for drains."""
    ifref.unload()
    ifref.load("drain_deadline_ms=1000")


@pytest.mark.alone
@pytest.mark.quick("stock")
def test_head_of_line(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig, record_property
) -> None:
    """A use is kept on one: the others of its batch and later ones are freed as if it were not."""
    many = range(1, 26)

    def removal() -> int:
        rig.do(*[f"make {nic}" for nic in many], *[f"attach {nic}" for nic in many])
        rig.do("range 0 12", "range 13 25")
        vm.wait_until(lambda: all(rig.states()[nic]["freed"] for nic in many), "all are freed")
        states = rig.states()
        return max(states[nic]["took"] for nic in many)

    alone = []
    for _ in range(4):
        rig.attach(0)
        alone.append(removal())
        rig.freed(0)
    rig.attach(0)
    # On a slow host those before it may have been late, too.
    serial = ifref.serial("rig0")
    with vm.expects(*WAITS, must=False):
        rig.do("dev_hold 0")
        # In its batch, and after it.
        stuck = [removal() for _ in range(4)]
        rig.kept(0, 0)
        told = f"ifnet {serial}: 1 references of the kernel"
        vm.wait_until(lambda: ifref.said(rf"ifnet {serial}\) .*stuck: unlinked"), "the report")
        vm.wait_until(lambda: ifref.said(told), "whose")
        [event] = [event for event in ifref.trace("ifref_stuck") if event["serial"] == str(serial)]
        assert event["stage"] == "unlinked" and int(event["ms"]) >= 1000
        rig.do("dev_put 0")
        rig.freed(0)
    # The best one of each: it shares the host with others.
    assert min(stuck) < 1.5 * min(alone), (stuck, alone)
    record_property("alone_us", min(alone))
    record_property("stuck_us", min(stuck))
    vm.wait_until(lambda: ifref.said("rig0 .*freed after"), "the end is told")
    assert stats(vm)["stuck"] >= 1


@pytest.mark.quick("stock")
def test_a_stuck_removal_names_its_holder(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig
) -> None:
    """Holder, count and age of what keeps it; the driver's own holds. Who listens is told."""
    rig.attach(0)
    serial = ifref.serial("rig0")
    monitor = vm.spawn("exec udevadm monitor --kernel --property --subsystem-match=ifref")
    polled = vm.spawn(["python3", "-c", POLL, f"{ROOT}/ifnets/{serial}/state"])
    vm.wait_until(lambda: b"KERNEL" in monitor.stdout and polled.stdout, "both listen")
    pin(vm, ifref, "rig0", "enter", 60)
    rig.do("hold_softc 0", "gone 0")
    held = rf"ifnet {serial}: 1 uses of holder pinner, the oldest for \d"
    vm.wait_until(lambda: ifref.said(held), "the report")
    assert ifref.said("rig0 .*stuck: drained.*held by the driver 1 times")
    assert polled.wait().stdout.split() == ["listens", "told"]
    rig.do("release_softc 0")
    unpin(vm)
    rig.freed(0)
    vm.wait_until(lambda: monitor.stdout.count(b"IFREF_EVENT") == 2, "both events")
    monitor.kill()
    events = monitor.stdout.decode().split("\n\n")
    for event, what in zip(events[-3:], ("stuck", "over"), strict=False):
        lines = event.splitlines()
        assert f"DEVPATH=/kernel/ifref/ifnets/{serial}" in lines, events
        for line in ("ACTION=change", "SUBSYSTEM=ifref", "INTERFACE=rig0", f"IFREF_EVENT={what}"):
            assert line in lines, events


def test_stuck_when_its_namespace_is_dead(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig
) -> None:
    """Nobody is left there to be told, and that is no trouble."""
    rig.attach(0, 2, up=False)
    pin(vm, ifref, "rig0", "enter", 60)
    vm.sh("ip netns add n0; ip link set rig0 netns n0; ip netns del n0")
    vm.wait_until(lambda: ifref.said("rig0 .*stuck: drained"), "the report")
    # What the namespace had is freed by now.
    vm.sh("sleep 0.5")
    unpin(vm)
    rig.freed(0)
    vm.wait_until(lambda: ifref.said("rig0 .*freed after"), "the end is told")


@pytest.mark.quick("stock")
@pytest.mark.parametrize("callback", ["quiesce", "free"])
def test_a_callback_that_sleeps_delays_its_own(vm: Machine, rig: Rig, callback: str) -> None:
    """All others of its batch go on."""
    seconds = 30 if FULL else 6
    for nic in range(4):
        rig.attach(nic)
    rig.do(f"{callback}_ms 0 {seconds * 1000}", "range 0 3")
    for nic in range(1, 4):
        rig.freed(nic, 4)
    assert rig.state(0)["freed"] == 0
    rig.attach(4)
    rig.do("gone 4")
    rig.freed(4, 3)
    assert rig.state(0)["freed"] == 0
    rig.freed(0, seconds + 10)
    assert stats(vm)["late"] == (callback == "quiesce")


@pytest.mark.quick("stock")
@pytest.mark.parametrize("callback", ["quiesce", "free"])
def test_a_stuck_callback_is_reported(
    vm: Machine, ifref: Ifref, impatient: None, rig: Rig, callback: str
) -> None:
    """A driver that does not return, and is all there is: what it is in, and for how long."""
    rig.attach(0)
    # devd has slept since: when the removal began only who has woken it knows.
    vm.sh("sleep 1")
    begun = time.monotonic()
    rig.do(f"{callback}_ms 0 5000", "gone 0")
    vm.wait_until(lambda: ifref.said(f"rig0 .*stuck: .* in its {callback}"), "the report")
    rig.freed(0)
    vm.wait_until(lambda: ifref.said("rig0 .*freed after"), "the end is told")
    assert 5 <= stats(vm)["freed_last_us"] / 1e6 < time.monotonic() - begun


def test_a_class_that_is_no_network_device(vm: Machine, ifref: Ifref) -> None:
    """Elischer: the general case of device removal. Queue, batch and drain serve any class."""
    vm.sh(f"insmod {ifref.module.with_name('ifref_things.ko')}; rmmod ifref_things")
    said = vm.sh("dmesg | grep -o 'ifref_things: .*'").splitlines()
    assert said == [
        "ifref_things: 7 linked, 1 refused",
        "ifref_things: 6 freed while thing 3 is used",
        "ifref_things: 7 freed once, 1 failed, 0 linked",
    ]


def detach(vm: Machine, name: str) -> int:
    """An administrator's detach; its errno."""
    try:
        vm.write(f"/sys/class/net/{name}/ifref/detach", "1")
    except OSError as err:
        return err.errno
    return 0


@pytest.mark.quick("stock")
def test_administrator_detaches_a_link(vm: Machine, ifref: Ifref) -> None:
    """A virtual link is deleted; what is no link, and no device, is not."""
    vm.sh("ip link add d0 type dummy")
    serial = ifref.serial("d0")
    assert vm.run("echo 2 > /sys/class/net/d0/ifref/detach", check=False).status != 0
    assert detach(vm, "d0") == 0
    ifref.gone(serial)
    assert not vm.exists("/sys/class/net/d0")
    assert detach(vm, "lo") == errno.EOPNOTSUPP


@pytest.mark.quick("stock")
def test_administrator_detaches_a_device(vm: Machine, ifref: Ifref) -> None:
    """A device is released from its driver, and may be bound again."""
    plug(vm, "cdc_ether")
    serial = ifref.serial("usb0")
    driver = vm.sh("readlink -f /sys/class/net/usb0/device/driver")
    parent = vm.sh("basename $(readlink -f /sys/class/net/usb0/device)")
    assert detach(vm, "usb0") == 0
    ifref.gone(serial)
    assert not vm.exists(f"{driver}/{parent}")
    vm.sh(f"echo {parent} > {driver}/bind")
    assert ifref.serial("usb0") > serial
    vm.unplug_nic("nic")


@pytest.mark.quick("stock")
def test_administrator_asks_a_driver_of_ours(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Which may say no."""
    rig.attach(0, 2)
    ifref.serial("rig0")
    rig.do("no 0 1")
    assert detach(vm, "rig0") == 0
    vm.wait_until(lambda: stats(vm)["vetoed"] == 1, "the veto")
    rig.do("no 0 0")
    assert detach(vm, "rig0") == 0
    assert rig.freed(0)["asked"] == 2


@pytest.mark.quick("stock")
def test_administrator_needs_the_capability(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Root without CAP_NET_ADMIN may not."""
    rig.attach(0)
    vm.sh("ip link add d0 type dummy")
    for name in ("rig0", "d0"):
        ifref.serial(name)
        refused = vm.run(
            f"setpriv --bounding-set=-net_admin --inh-caps=-net_admin "
            f"bash -c 'echo 1 > /sys/class/net/{name}/ifref/detach'",
            check=False,
        )
        assert "not permitted" in refused.stderr, refused
        assert vm.exists(f"/sys/class/net/{name}")
    vm.sh("ip link del d0")


# Root of a user's own namespace of users and of networks.
THEIRS = """set -e
    mount -t sysfs sysfs /mnt
    ip link add theirs type dummy
    echo $$ > /tmp/theirs
    until [ -e /mnt/class/net/theirs/ifref/detach ] && [ -e /mnt/class/net/rig0/ifref/detach ]; do
        sleep 0.02
    done
    echo 1 > /mnt/class/net/rig0/ifref/detach || true
    echo 1 > /mnt/class/net/theirs/ifref/detach
    while [ -e /mnt/class/net/theirs ]; do sleep 0.02; done
    [ -e /mnt/class/net/rig0 ]
"""


@pytest.mark.quick("stock")
def test_administrator_of_a_namespace(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """Root there may delete the links there, and let go of no device."""
    rig.attach(0, up=False)
    vm.sh("rm -f /tmp/theirs; chmod 1777 /tmp")
    user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    job = vm.spawn([*user, "unshare", "-Urnm", "bash", "-c", THEIRS])
    try:
        vm.wait_until("[ -s /tmp/theirs ]", "they are ready")
        vm.sh("ip link set rig0 netns $(cat /tmp/theirs)")
        result = job.wait()
    finally:
        job.kill()
    assert result.status == 0, result.stderr
    assert result.stderr.count("Operation not permitted") == 1, result.stderr
    vm.appears("/sys/class/net/rig0")
    rig.do("gone 0")
    rig.freed(0)


@pytest.mark.quick("stock")
def test_a_stuck_driver_of_the_kernels_does_not_stop_devd(
    vm: Machine, ifref: Ifref, rig: Rig
) -> None:
    """An adopted NIC whose disconnect waits, and an administrator's detach of it: devd goes on."""
    plug(vm, "cdc_ether")
    serial = ifref.serial("usb0")
    pin(vm, ifref, "usb0", "dev_hold", 60)
    with vm.expects(*WAITS, must=False):
        assert detach(vm, "usb0") == 0
        vm.goes("/sys/class/net/usb0")
        assert vm.exists(f"{ROOT}/ifnets/{serial}"), "its driver's remove waits"
        rig.attach(0)
        rig.do("gone 0")
        rig.freed(0, 5)
        refused = vm.run("rmmod ifref", check=False)
        assert refused.status != 0, "the administrator's removal keeps ifref"
        unpin(vm)
        ifref.gone(serial)
        vm.unplug_nic("nic")
