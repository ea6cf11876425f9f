# SPDX-License-Identifier: GPL-2.0
"""The kernel's own usbnet and cdc_ether, converted to submit: the hub waits for nobody."""

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from ifref import TRACE, Ifref
from lanes import times
from rigs import WAITS, pin, stats, stranger, unpin
from test_hotplug import bring
from vmlib import Machine

pytestmark = pytest.mark.issue(5)

DRIVERS = "/sys/bus/usb/drivers/cdc_ether"

# Does things to whatever NIC there is, until it is killed. Most of it fails, because the interface
# is going, and may do no harm.
ACTOR = """
import os, random, subprocess, sys, time
rng, deeds = random.Random(int(sys.argv[1])), sys.argv[2].split()
done = dict.fromkeys(deeds, 0)
def quietly(command, **rest):
    run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **rest)
    return run.returncode == 0
def ip(*lines):
    batch = ["ip", "-force", "-batch", "-"]
    return quietly(batch, input="\\n".join(lines) + "\\n", text=True)
def rename(nic):
    return ip(f"link set {nic} down", f"link set {nic} name usb{rng.randrange(10, 20)}")
def move(nic):
    there = ip(f"link set {nic} netns n1")
    subprocess.run(["ip", "-n", "n1", "link", "set", nic, "netns", "1"], stderr=subprocess.DEVNULL)
    return there
def exit(nic):
    subprocess.run(["ip", "netns", "add", "n2"], stderr=subprocess.DEVNULL)
    there = ip(f"link set {nic} netns n2")
    subprocess.run(["ip", "netns", "del", "n2"], stderr=subprocess.DEVNULL)
    return there
def up(nic):
    return ip(f"link set {nic} up", f"link set {nic} down")
def traffic(nic):
    ip(f"addr add 10.0.2.15/24 dev {nic}", f"link set {nic} up")
    ping = ["ping", "-c", "20", "-i", "0.002", "-s", "1000", "-W", "1", "-q", "-I", nic, "10.0.2.2"]
    return quietly(ping)
while not os.path.exists("/tmp/enough"):
    nics = [nic for nic in os.listdir("/sys/class/net") if nic.startswith(("usb", "dev"))]
    if nics:
        deed = rng.choice(deeds)
        done[deed] += globals()[deed](rng.choice(nics))
    time.sleep(rng.choice([0, 0.01, 0.05]))
print(*(f"{deed}={number}" for deed, number in done.items()))
"""


@pytest.fixture
def converted(vm: Machine, ifref: Ifref) -> Iterator[None]:
    """The converted modules in place of the kernel's."""
    kernels = "rndis_host cdc_ether usbnet"
    vm.sh(f"modprobe -r {kernels}")
    for name in ("usbnet", "cdc_ether", "ifref_pinner"):
        vm.sh(f"insmod {ifref.module.with_name(name)}.ko")
    yield
    vm.kill_jobs()
    vm.run("rmmod ifref_pinner; ip netns del n1; ip netns del n2", check=False)
    vm.unplug_all()
    vm.sh(f"rmmod cdc_ether usbnet; modprobe -a {kernels}")


def plug(vm: Machine, ident: str = "nic", port: str = "1") -> None:
    """Plugs a NIC in."""
    vm.plug_nic("usb-net", ident, bus="xhci.0", port=port)


def settled(vm: Machine, number: int) -> None:
    """As many were freed as were attached."""
    vm.wait_until(lambda: stats(vm)["detached"] == number, "all are freed", 60)
    assert stats(vm)["attached"] == number


@pytest.mark.parametrize("mode", ["enter", "dev_hold"])
def test_hub_waits_for_nobody(vm: Machine, ifref: Ifref, converted: None, mode: str) -> None:
    """A use is kept on A, which is pulled: B in the same hub is there at once; one free, later."""
    vm.sh(
        f"""cd {TRACE}
        echo 'r:ifreftest/disconnected usbnet_disconnect' >> kprobe_events
        echo 'p:ifreftest/usbnet_free usbnet_free' >> kprobe_events
        echo 1 > events/ifreftest/disconnected/enable
        echo 1 > events/ifreftest/usbnet_free/enable"""
    )
    try:
        vm.plug("usb-hub", "hub", bus="xhci.0", port="2")
        plug(vm, "a", "2.1")
        serial = ifref.serial("usb0")
        bring(vm, "usb0", "traffic")
        pin(vm, ifref, "usb0", mode, 60)
        waits = WAITS if mode == "dev_hold" else ()
        with vm.expects(*waits, must=False):
            vm.unplug_nic("a")
            vm.goes("/sys/class/net/usb0")
            plug(vm, "b", "2.2")
            again = ifref.serial("usb0")
            assert again > serial
            assert ifref.trace("disconnected") and not ifref.trace("usbnet_free")
            assert stats(vm)["detached"] == 0
            unpin(vm)
            ifref.gone(serial)
        vm.unplug("hub")
        ifref.gone(again)
        settled(vm, 2)
        vm.wait_until(lambda: len(ifref.trace("usbnet_free")) == 2, "both are freed")
    finally:
        vm.sh(
            f"""cd {TRACE}
            echo 0 > events/ifreftest/disconnected/enable
            echo 0 > events/ifreftest/usbnet_free/enable
            echo '-:ifreftest/disconnected' >> kprobe_events
            echo '-:ifreftest/usbnet_free' >> kprobe_events"""
        )


def test_its_hub_is_freed_first(vm: Machine, ifref: Ifref, converted: None) -> None:
    """The hub is pulled while somebody has RTNL: unregistering walks up from what is unplugged."""
    rig = "/sys/module/ifref_rig/parameters"
    vm.sh(
        f"""insmod {ifref.module.with_name("ifref_rig.ko")}
        echo make 0 > {rig}/do; echo attach 0 > {rig}/do; echo open_ms 0 3000 > {rig}/do"""
    )
    vm.plug("usb-hub", "hub", bus="xhci.0", port="2")
    plug(vm, "a", "2.1")
    serial = ifref.serial("usb0")
    opening = vm.spawn("ip link set rig0 up")
    vm.wait_until(lambda: "opened=1" in vm.read(f"{rig}/state"), "who has RTNL begins")
    vm.unplug("hub")
    vm.goes("/sys/bus/usb/devices/1-2")
    assert vm.exists("/sys/class/net/usb0") or vm.exists(f"/sys/kernel/ifref/ifnets/{serial}")
    assert opening.answer is None, "that took too long"
    opening.wait()
    ifref.gone(serial)
    vm.sh("rmmod ifref_rig")
    settled(vm, 2)


@pytest.mark.issue(16)
def test_pulled_while_it_is_enslaved(vm: Machine, ifref: Ifref, converted: None) -> None:
    """Four NICs of a hub that is pulled while others have RTNL: the hub waits for none of them, and
    who waits for RTNL to put one into a bridge finds its folder.
    """
    vm.sh("modprobe bridge; ip link add br0 type bridge")
    vm.plug("usb-hub", "hub", bus="xhci.0", port="2")
    nics = range(4)
    for nic in nics:
        plug(vm, f"n{nic}", f"2.{nic + 1}")
    serials = [ifref.serial(f"usb{nic}") for nic in nics]
    with stranger(vm, ifref, 4000):
        enslave = vm.spawn("busybox brctl addif br0 usb0")
        vm.sh("sleep 0.3")
        vm.unplug("hub")
        vm.goes("/sys/bus/usb/devices/1-2")
        for serial in serials:
            assert ifref.ifnets().get(serial, {"valid": "0"})["valid"] == "0"
    # It came before devd, and the bridge has let go of it since.
    assert enslave.wait().status == 0
    for serial in serials:
        ifref.gone(serial)
    settled(vm, len(nics))
    vm.sh("ip link del br0")


def test_events_have_its_path(vm: Machine, ifref: Ifref, converted: None) -> None:
    """What is removed is what was added, for those who listen to uevents; also if only unbound. An
    interface that outlives its driver's unbind has moved before.
    """
    monitor = vm.spawn("exec udevadm monitor --kernel -s net -s queues")
    vm.wait_until(lambda: b"KERNEL" in monitor.stdout, "it listens")
    plug(vm)
    serial = ifref.serial("usb0")
    device = vm.sh("basename $(readlink -f /sys/class/net/usb0/device)")
    vm.write(f"{DRIVERS}/unbind", device)
    # Until then its name is taken.
    ifref.gone(serial)
    vm.write(f"{DRIVERS}/bind", device)
    serial = ifref.serial("usb0")
    vm.unplug_nic("nic")
    ifref.gone(serial)
    settled(vm, 2)
    events = re.findall(r"KERNEL\S+ +(\w+) +(/\S+/usb0\S*) ", monitor.stdout.decode())
    told = Counter(events)
    paths = {path for action, path in events if action == "add"}
    # Itself, and its queues.
    assert len(paths) > 1, told
    for path in paths:
        moved = "/devices/virtual/net/" + path.split("/net/")[1]
        assert told.pop(("add", path)) == 2, events
        assert told.pop(("remove", path), 0) + told["remove", moved] == 2, events
        moves = told.pop(("move", moved), 0)
        assert moves == (told["remove", moved] if path.endswith("/usb0") else 0), events
        if moves:
            assert events.index(("move", moved)) < events.index(("remove", moved)), events
        del told["remove", moved]
    assert not told, events


@pytest.mark.quick("stock")
def test_unload_waits_for_a_use(vm: Machine, ifref: Ifref, converted: None) -> None:
    """cdc_ether goes when its last interface is freed, and not before."""
    plug(vm)
    serial = ifref.serial("usb0")
    pin(vm, ifref, "usb0", "enter", 60)
    job = vm.spawn("rmmod cdc_ether")
    vm.goes("/sys/class/net/usb0")
    vm.sh("sleep 0.5")
    assert job.answer is None and vm.sh("cat /sys/module/cdc_ether/initstate") == "going"
    unpin(vm)
    assert job.wait().status == 0
    ifref.gone(serial)
    settled(vm, 1)
    vm.sh(f"insmod {ifref.module.with_name('cdc_ether.ko')}")
    again = ifref.serial("usb0")
    vm.unplug_nic("nic")
    ifref.gone(again)


@pytest.mark.quick("stock")
def test_unbind_and_bind(vm: Machine, ifref: Ifref, converted: None, flavour: str) -> None:
    """The driver is taken off and put on while the old interface is still going."""
    plug(vm)
    rounds = times(flavour, 5, 50)
    for _ in range(rounds):
        vm.wait_until("ls /sys/class/net | grep -q usb", "it is there")
        name = vm.sh("ls /sys/class/net | grep usb")
        ifref.serial(name)
        vm.sh(f"ip link set {name} up")
        device = vm.sh(f"basename $(readlink -f /sys/class/net/{name}/device)")
        vm.sh(f"cd {DRIVERS}; echo {device} > unbind; echo {device} > bind")
    # What is bound last is there.
    vm.wait_until(lambda: stats(vm)["attached"] == rounds + 1, "all were attached")
    vm.wait_until(lambda: stats(vm)["detached"] == rounds, "all but one are freed")
    vm.unplug_nic("nic")
    settled(vm, rounds + 1)


@pytest.mark.quick("stock")
def test_administrator(vm: Machine, ifref: Ifref, converted: None) -> None:
    """The device is released from its driver, whose disconnect submits."""
    plug(vm)
    serial = ifref.serial("usb0")
    device = vm.sh("basename $(readlink -f /sys/class/net/usb0/device)")
    vm.sh("echo 1 > /sys/class/net/usb0/ifref/detach")
    ifref.gone(serial)
    settled(vm, 1)
    assert not vm.exists(f"{DRIVERS}/{device}")
    vm.sh(f"echo {device} > {DRIVERS}/bind")
    again = ifref.serial("usb0")
    vm.unplug_nic("nic")
    ifref.gone(again)


def test_pulled_under_load(
    vm: Machine, ifref: Ifref, converted: None, flavour: str, record_property
) -> None:
    """Pulled again and again amid traffic, renames, moves, the ends of namespaces, and ups."""
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1 << 32)
    print(f"SEED={seed}")
    rng = random.Random(seed)
    rounds = times(flavour, 30, 500, named="debug")
    vm.sh("rm -f /tmp/enough; ip netns add n1")
    actors = [
        vm.spawn(["python3", "-c", ACTOR, str(seed + number), deeds])
        for number, deeds in enumerate(("rename move exit", "up traffic"))
    ]
    for turn in range(rounds):
        plug(vm)
        there = f"round {turn}: it appears"
        vm.wait_until(lambda n=turn: stats(vm)["attached"] == n + 1, there, 60)
        time.sleep(rng.random() * 0.5 * vm.factor)
        vm.unplug_nic("nic")
        vm.wait_until(lambda n=turn: stats(vm)["detached"] == n + 1, f"round {turn}: it goes", 60)
    vm.write("/tmp/enough", "", os.O_CREAT)
    done = " ".join(actor.wait(120).stdout.strip() for actor in actors)
    # In a few rounds not everything comes about: of 500 some 40 have seen traffic.
    assert re.search(r"=[1-9]", done) if rounds < 500 else "=0" not in done, done
    record_property("done", done)
    settled(vm, rounds)
    record_property("rounds", rounds)
    record_property("seed", seed)
