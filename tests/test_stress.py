# SPDX-License-Identifier: GPL-2.0
"""References under stress, and with a pause at the worst place (stress/ is the other half)."""

import os
import random
from collections.abc import Callable, Iterator

import pytest
from ifref import HAND, ROOT, Ifref
from lanes import FULL
from vmlib import LogTrouble, Machine

pytestmark = pytest.mark.issue(4)

STRESS = "/sys/kernel/debug/ifref_stress"
COUNTS = ("taken", "cloned", "followed", "refused", "entered", "dropped_in_irq")

# Plugs and unplugs s0 to s2 at random; most commands fail, as another one was faster.
CHURN = """
import random, subprocess, sys, time
seed, seconds = map(int, sys.argv[1:3])
end = time.time() + seconds
rng = random.Random(seed)
ip = lambda *words: subprocess.run(["ip", *words], stderr=subprocess.DEVNULL)
while time.time() < end:
    name = f"s{rng.randrange(3)}"
    ip(*rng.choice([
        f"link add {name} type dummy", f"link add {name} up type dummy", f"link del {name}",
        f"link set {name} address 02:00:00:00:09:{rng.randrange(256):02x}",
        f"link set {name} up", f"link set {name} down",
    ]).split())
    time.sleep(rng.choice([0, 0.001, 0.05]) * rng.random())
"""

# Takes the second CPU away and gives it back.
CPUS = """
import random, sys, time
rng, end = random.Random(int(sys.argv[1])), time.time() + int(sys.argv[2])
times = 0
while time.time() < end:
    for state in "01":
        open("/sys/devices/system/cpu/cpu1/online", "w").write(state)
        time.sleep(rng.random())
    times += 1
print(times)
"""

# What the kernel says of who takes long, and after how many seconds while a follower pauses.
PATIENCE = {
    "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout": "300",
    "/proc/sys/kernel/hung_task_timeout_secs": "0",
}


@pytest.fixture
def stress(vm: Machine, ifref: Ifref) -> Iterator[None]:
    """The module that does it."""
    patience = {knob: vm.read(knob).strip() for knob in PATIENCE}
    vm.sh(f"insmod {ifref.module.with_name('ifref_stress.ko')}")
    yield
    # First: who deletes would wait for the reader.
    vm.sh(f"echo 1 > {STRESS}/go")
    vm.run("for i in 0 1 2 3; do ip link del s$i; done", check=False)
    vm.sh("rmmod ifref_stress")
    for knob, seconds in patience.items():
        vm.write(knob, seconds)


def number(vm: Machine, name: str) -> int:
    """One of its counts."""
    return int(vm.read(f"{STRESS}/{name}"))


@pytest.mark.quick("stock")
def test_stress(vm: Machine, ifref: Ifref, stress: None, flavour: str, record_property) -> None:
    """P1, P3: two CPUs clone, follow, enter, drop while interfaces and CPUs come and go."""
    seconds = 600 if FULL and flavour == "debug" else 15
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1 << 32)
    print(f"SEED={seed}")
    record_property("seed", seed)
    record_property("seconds_of_stress", seconds)
    # A trace event for each get and put would be most of the work.
    vm.sh("echo 0 > /sys/kernel/tracing/events/ifref/enable")
    jobs = [
        vm.spawn(["python3", "-c", CHURN, str(seed + turn), str(seconds)]) for turn in range(2)
    ]
    cpus = vm.spawn(["python3", "-c", CPUS, str(seed), str(seconds)])
    vm.write(f"{STRESS}/run", "1")
    plugged = 0
    while not all(job.done.is_set() for job in jobs):
        vm.plug_nic("usb-net", "nic", bus="xhci.0", port="1")
        vm.wait_until("ip link set usb0 name s3", "usb0 appears", 60)
        vm.sh("ip link set s3 up; sleep 0.5")
        vm.unplug_nic("nic")
        vm.goes("/sys/class/net/s3", 60)
        plugged += 1
    for job in (*jobs, cpus):
        result = job.wait(timeout=120)
        assert result.status == 0, result.stderr
    vm.write(f"{STRESS}/run", "0")
    vm.sh("echo 1 > /sys/devices/system/cpu/cpu1/online")
    done = {name: number(vm, name) for name in COUNTS}
    done |= {"plugged": plugged, "cpu_offline": int(cpus.wait().stdout)}
    print(done)
    for name, count in done.items():
        assert count > 0, f"{name}: none"
        record_property(name, count)
    vm.run("for i in 0 1 2; do ip link del s$i; done", check=False)
    vm.wait_until(lambda: ifref.totals()["entered"] == 0, "nobody is inside", 60)
    # The timer drops some, nobody the others.
    left = ifref.totals()["references"]
    assert left < 32, left


def paused(vm: Machine, name: str) -> None:
    """Has a follower of an interface pause. On a slow host for longer than the kernel likes."""
    for knob, seconds in PATIENCE.items():
        vm.write(knob, seconds)
    vm.sh(f"echo 0 > {STRESS}/go; echo {name} > {STRESS}/pause")
    vm.wait_until(lambda: number(vm, "paused") == 1, "the follower pauses")


def plug_dummy(vm: Machine) -> str:
    """A virtual interface; what removes it."""
    vm.sh("ip link add s0 up type dummy")
    return "ip link del s0"


def plug_usb(vm: Machine) -> str:
    """A USB NIC; what has its driver remove it."""
    vm.plug_nic("usb-net", "nic", bus="xhci.0", port="1")
    vm.wait_until("ip link set usb0 name s0", "usb0 appears", 60)
    vm.sh("ip link set s0 up")
    device = vm.sh("readlink -f /sys/class/net/s0/device")
    return f"echo {device.rsplit('/', 1)[1]} > /sys/bus/usb/drivers/cdc_ether/unbind"


@pytest.mark.parametrize("plug", [plug_dummy, plug_usb])
def test_pause(vm: Machine, ifref: Ifref, stress: None, plug: Callable[[Machine], str]) -> None:
    """P6: the removal waits for the read section that follows, and for nothing else of ours."""
    remove = plug(vm)
    serial = ifref.serial("s0")
    ident = ifref.ifaddr(serial, "link")
    ifref.hand(f"get {ident} 2")
    paused(vm, "s0")
    removal = vm.spawn(f"echo $$ > /tmp/removal; exec {remove}")
    # VALID goes at once, and whoever comes now is refused.
    vm.wait_until(lambda: "invalid" in ifref.held()[ident], "VALID is off")
    assert number(vm, "paused") == 1, "the pause was too short"
    # It waits for readers, and not in our code.
    vm.wait_until(
        """cat /proc/$(cat /tmp/removal)/stack > /tmp/stack &&
        grep -q unregister_netdev /tmp/stack && grep -qE 'synchronize_(rcu|net)' /tmp/stack""",
        "the removal waits for readers",
    )
    stack = vm.read("/tmp/stack")
    assert "ifref" not in stack, stack
    vm.sh("sleep 0.5")
    assert not removal.done.is_set()
    assert number(vm, "paused") == 1, "the pause was too short"
    vm.write(f"{STRESS}/go", "1")
    assert removal.wait(timeout=20).status == 0
    used = vm.read(f"{STRESS}/used")
    assert used.startswith(f"name=s0 mtu=1500 serial={serial} sent="), used
    vm.wait_until(lambda: ifref.totals()["references"] == 2, "what paused has dropped its own")
    # All that is held still leads nowhere, and keeps nothing.
    ifref.gone(serial)
    assert [e for e in ifref.trace("netdev_release") if e["name"] == "s0"]
    ifref.hand(f"put {ident} 2")


# Prints the least of many looks at a file.
LEAST = """
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
print(min(int(os.pread(file, 32, 0)) for _ in range(20000)))
"""


@pytest.mark.issue(16)
@pytest.mark.quick("stock")
def test_what_is_held_is_always_counted(vm: Machine, ifref: Ifref, stress: None) -> None:
    """Who looks while another CPU takes and drops never sees less than what stays."""
    vm.sh("echo 0 > /sys/kernel/tracing/events/ifref/enable; ip link add s0 type dummy")
    ident = ifref.ifaddr(ifref.serial("s0"), "link")
    vm.sh(f"echo 0 > {STRESS}/go; echo s0 > {STRESS}/churn")
    vm.wait_until(lambda: number(vm, "churning") == 1, "it churns")
    shown = f"{ROOT}/stakes/{ident}:churn/references"
    vm.appears(shown)
    assert int(vm.run(["python3", "-c", LEAST, shown]).stdout) == 1


@pytest.mark.only("debug")
def test_look_up_beside_a_removal(vm: Machine, ifref: Ifref) -> None:
    """A look-up that has seen an address valid may take what it found, whatever becomes of it.

    scripts/broken puts a pause of 3 s into the look-up, in which the address goes for good.
    """
    vm.sh("ip link add s0 up type dummy; ip addr add 10.7.0.1/24 dev s0")
    ident = ifref.ifaddr(ifref.serial("s0"), "10.7.0.1")
    ifref.hand("register paused")
    # So that there is an account to be found.
    ifref.hand("get ip:10.7.0.1 1 by paused")
    ifref.hand(f"put {ident}")
    look_up = vm.spawn(f"echo get ip:10.7.0.1 1 by paused > {HAND}")
    vm.sh("sleep 0.5; ip addr del 10.7.0.1/24 dev s0")
    look_up.wait()
    for number_of in ifref.held():
        ifref.hand(f"put {number_of}")
    ifref.hand("unregister paused")
    ifref.forgotten(ident)
    assert ifref.totals()["references"] == 0
    vm.sh("ip link del s0")


@pytest.mark.only("debug")
def test_use_after_the_section(boot: Callable[..., Machine], module) -> None:
    """What a pause exposes is seen: KASAN reports who uses an interface after its section."""
    machine = boot()
    machine.sh(f"modprobe dummy; insmod {module}; insmod {module.with_name('ifref_stress.ko')}")
    machine.sh(f"ip link add s0 up type dummy; echo 1 > {STRESS}/late")
    paused(machine, "s0")
    # Nobody to wait for.
    machine.sh("ip link del s0")
    assert number(machine, "paused") == 1, "the pause was too short"
    machine.write(f"{STRESS}/go", "1")
    machine.wait_until(lambda: number(machine, "paused") == 0, "the follower goes on")
    with pytest.raises(LogTrouble, match=r"KASAN: .*use-after-free"):
        machine.wait_until("dmesg | grep -q KASAN", "KASAN reports")
        machine.check_log()
