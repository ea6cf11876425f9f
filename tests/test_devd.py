# SPDX-License-Identifier: GPL-2.0
"""devd: drivers submit, one thread removes. Each case of the two mails has its test here."""

import errno
import os
import random

import pytest
from ifref import ROOT, Ifref
from lanes import times
from rigs import PIN, WAITS, Rig, pin, stats, stranger, unpin
from vmlib import Machine

pytestmark = pytest.mark.issue(5)


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


@pytest.mark.also("lockdep", quick=False)
@pytest.mark.parametrize("apart", [0, 1], ids=["in netdev_priv", "apart"])
def test_detach_at_interrupt_time(vm: Machine, ifref: Ifref, rig: Rig, apart: int) -> None:
    """Studenmund: the interrupt calls if_detach and returns; the callback disposes of the softc."""
    rig.attach(0, apart)
    serial = ifref.serial("rig0")
    with stranger(vm, ifref, 3000):
        rig.do("irq 0 1000")
        vm.wait_until(lambda: rig.state(0)["ns"], "the interrupt")
        assert rig.state(0)["quiesced"] == rig.state(0)["freed"] == 0
        assert vm.exists("/sys/class/net/rig0")
        assert ifref.ifnets()[serial]["valid"] == "0", "not valid as soon as it was submitted"
    rig.freed(0)
    ifref.gone(serial)
    [event] = [event for event in ifref.trace("ifref_invalidate") if event["name"] == "rig0"]
    assert event["cause"] == "detach"


@pytest.mark.also("lockdep")
@pytest.mark.quick("stock")
def test_count_reaches_zero_inside_detach(rig: Rig) -> None:
    """Studenmund: possibly within if_detach; the free is never below it."""
    for nic in range(8):
        rig.attach(nic, kind=nic % 2, up=bool(nic % 3))
    rig.do(*[f"gone {nic}" for nic in range(8)])
    for nic in range(8):
        rig.freed(nic)
    assert rig.unload() == "8 attached, 8 freed"


@pytest.mark.also("lockdep", quick=False)
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


@pytest.mark.issue(16)
@pytest.mark.quick("stock")
def test_ready_while_it_says_no(vm: Machine, rig: Rig) -> None:
    """What the driver wants while its no is under way is not swallowed: it is asked again."""
    rig.attach(0)
    rig.do("no 0 1", "ask_ms 0 1000", "orderly 0")
    vm.wait_until(lambda: rig.state(0)["asked"] == 1, "the driver is asked")
    rig.do("no 0 0", "orderly 0", "orderly 0")
    assert rig.freed(0)["asked"] == 2


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


@pytest.mark.only("debug")
def test_waiting_under_rtnl_is_edeadlk(rig: Rig) -> None:
    """Neither attach nor wait, says lockdep. Without it, it hangs, as register_netdev() does."""
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


def test_open_in_the_window(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """An open under way is waited for; one that comes later is refused."""
    rig.attach(0, up=False)
    rig.do("open_ms 0 1000")
    vm.spawn("ip link set rig0 up")
    vm.wait_until(lambda: rig.state(0)["opened"], "the open begins")
    rig.do("gone 0")
    rig.freed(0)
    rig.attach(1, up=False)
    with stranger(vm, ifref, 1500):
        # It has RTNL before devd has.
        up = vm.spawn("ip link set rig1 up")
        vm.sh("sleep 0.3")
        rig.do("gone 1")
    assert up.wait().status != 0
    assert rig.freed(1)["opened"] == 0


# By ioctls, which wait for RTNL once.
CHANGES = {
    "down": "ifconfig rig0 down",
    "name": "nameif other0 $(cat /sys/class/net/rig0/address)",
    "bridge": "brctl addif br0 rig0",
}


@pytest.mark.quick("stock")
@pytest.mark.parametrize("change", CHANGES)
def test_change_in_the_window(vm: Machine, ifref: Ifref, rig: Rig, change: str) -> None:
    """Between submit and unlink the interface is still there for everybody else."""
    rig.attach(0)
    vm.sh("ip link add br0 type bridge")
    with stranger(vm, ifref, 1500):
        # It has RTNL before devd has.
        changed = vm.spawn(f"busybox {CHANGES[change]}")
        vm.sh("sleep 0.3")
        rig.do("gone 0")
    assert changed.wait().status == 0
    rig.freed(0)
    vm.sh("ip link del br0")


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

