# SPDX-License-Identifier: GPL-2.0
"""An administrator's detach, through sysfs: of links, of devices, of drivers of ours."""

import errno

import pytest
from ifref import ROOT, Ifref
from rigs import WAITS, Rig, pin, stats, unpin
from test_hotplug import plug
from vmlib import Machine

pytestmark = pytest.mark.issue(5)

# Moves d0 to n0 when the rig has RTNL, and takes it once for that: ip takes it before, to look at
# what it moves.
MOVE = """
import os, socket, struct, time
to = os.open("/run/netns/n0", os.O_RDONLY)
# IFLA_NET_NS_FD
link = struct.pack("HHiII HHI", 0, 0, socket.if_nametoindex("d0"), 0, 0, 8, 28, to)
while "opened=1" not in open("/sys/module/ifref_rig/parameters/state").read():
    time.sleep(0.02)
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
# RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK
netlink.send(struct.pack("IHHII", 16 + len(link), 16, 5, 1, 0) + link)
assert struct.unpack_from("i", netlink.recv(4096), 16)[0] == 0
"""


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
    vm.goes("/sys/class/net/d0")
    assert detach(vm, "lo") == errno.EOPNOTSUPP


@pytest.mark.issue(16)
@pytest.mark.quick("stock")
@pytest.mark.parametrize("rig", ["rig"], indirect=True)
def test_a_link_that_moves_out_is_not_deleted(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """The right to delete it was one over the namespace that it has left."""
    rig.attach(0, up=False)
    vm.sh("ip netns add n0; ip link add d0 type dummy; ip link add d1 type dummy")
    serial = ifref.serial("d0")
    ifref.serial("d1")
    rig.do("open_ms 0 4000")
    moving = vm.spawn(["python3", "-c", MOVE])
    opening = vm.spawn("ip link set rig0 up")
    # RTNL is given to who waits for it in their order: the move, the two deletions.
    tops = "head -qn 1 /proc/[0-9]*/stack 2> /dev/null || true"
    vm.wait_until(lambda: "rtnl_newlink" in vm.sh(tops), "the move waits")
    vm.sh("for name in d0 d1; do echo 1 > /sys/class/net/$name/ifref/detach || exit 1; done")
    assert opening.wait(20).status == moving.wait(20).status == 0
    vm.goes("/sys/class/net/d1")
    assert vm.run("ip -n n0 link show d0", check=False).status == 0
    vm.sh("ip netns del n0")
    ifref.gone(serial)


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


@pytest.mark.issue(16)
@pytest.mark.only("stock")
def test_administrator_does_not_detach_a_radio(vm: Machine, ifref: Ifref) -> None:
    """Its parent is on no bus, so that a driver is released from it without any effect."""
    vm.sh("modprobe mac80211_hwsim radios=1")
    serial = ifref.serial("wlan0")
    assert ifref.ifnets()[serial]["bus_path"] == "mac80211_hwsim/hwsim0"
    assert detach(vm, "wlan0") == errno.EOPNOTSUPP
    assert ifref.ifnets()[serial]["valid"] == "1"
    vm.rmmod("mac80211_hwsim")
    ifref.gone(serial)


@pytest.mark.issue(16)
@pytest.mark.quick("stock")
@pytest.mark.parametrize("rig", ["rig"], indirect=True)
def test_administrator_leaves_a_driver_bound(vm: Machine, ifref: Ifref, rig: Rig) -> None:
    """One that forbids unbinding; then only what is attached goes."""
    rig.attach(0, 4)
    serial = ifref.serial("rig0")
    assert detach(vm, "rig0") == 0
    rig.freed(0)
    ifref.gone(serial)
    assert vm.exists("/sys/bus/faux/devices/rig/driver")


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
