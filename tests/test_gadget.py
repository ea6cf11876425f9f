# SPDX-License-Identifier: GPL-2.0
"""USB NICs that are gadgets of the guest's own (dummy_hcd): they come and go without QEMU."""

import errno
from collections.abc import Iterator

import pytest
from ifref import Ifref
from lanes import times
from test_administrator import detach
from vmlib import Machine

pytestmark = pytest.mark.issue(3)

GADGETS = "/sys/kernel/config/usb_gadget"
PORTS = 4

MAKE = f"""
modprobe dummy_hcd num={PORTS}
modprobe -a libcomposite usb_f_ecm cdc_ether
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
for port in $(seq 0 {PORTS - 1}); do
    if [ -e {GADGETS}/g$port ]; then continue; fi
    mkdir -p {GADGETS}/g$port/configs/c.1 {GADGETS}/g$port/functions/ecm.0
    cd {GADGETS}/g$port
    echo 0x1d6b > idVendor; echo 0x0104 > idProduct
    # Their own ends stay: not under a name that tests of real NICs expect.
    echo gadget%d > functions/ecm.0/ifname
    echo 02:00:00:00:0a:0$port > functions/ecm.0/dev_addr
    echo 02:00:00:00:0b:0$port > functions/ecm.0/host_addr
    ln -s functions/ecm.0 configs/c.1/
done
"""

# They stay as long as the machine: in 7.3.4 a gadget that is bound after dummy_hcd was loaded anew
# fails to register its own end (kobject_add_internal: -ENOENT), without ifref as well.
UNMAKE = f"for gadget in {GADGETS}/g*; do echo > $gadget/UDC; done"

# The host's end of the gadget at port $1, by its address; nothing if there is none.
HOST = """host() {
    local dir address
    for dir in /sys/class/net/*; do
        read -r address 2>&- < $dir/address || continue
        [ $address != 02:00:00:00:0b:0$1 ] || { echo ${dir##*/}; return; }
    done
}
"""

# One more gadget, of a test's own, for any free port.
OWN = f"{GADGETS}/own"
MAKE_OWN = f"""
mkdir -p {OWN}/configs/c.1 {OWN}/functions/ecm.0
cd {OWN}
echo 0x1d6b > idVendor; echo 0x0104 > idProduct
echo own%d > functions/ecm.0/ifname
ln -s functions/ecm.0 configs/c.1/
"""
# With it the gadget's own end goes.
UNMAKE_FUNCTION = f"rm {OWN}/configs/c.1/ecm.0; rmdir {OWN}/functions/ecm.0"
UNMAKE_OWN = f"""
echo > {OWN}/UDC
{UNMAKE_FUNCTION}
rmdir {OWN}/configs/c.1 {OWN}
"""

# $1: the port, $2: how often. Each time the host's end is awaited, made known and lost again.
CYCLE = f"""set -e
{HOST}
for turn in $(seq $2); do
    echo dummy_udc.$1 > {GADGETS}/g$1/UDC
    until name=$(host $1) && [ -n "$name" ] && [ -e /sys/class/net/$name/ifref ]; do
        sleep 0.01
    done
    if [ $((turn % 2)) = 0 ]; then ip link set $name up; fi
    echo > {GADGETS}/g$1/UDC
    while [ -n "$(host $1)" ]; do sleep 0.01; done
done
"""


@pytest.fixture
def gadgets(vm: Machine) -> Iterator[None]:
    """One gadget on each port, not plugged in."""
    vm.sh(MAKE)
    yield
    vm.run(UNMAKE, check=False)


def test_a_gadget_is_pulled(vm: Machine, ifref: Ifref, gadgets: None) -> None:
    """Addresses and references on the host's end, which loses VALID before its driver's remove."""
    vm.sh(f"echo dummy_udc.0 > {GADGETS}/g0/UDC")
    name = vm.wait_until(lambda: vm.sh(f"{HOST} host 0"), "the host sees the gadget")
    serial = ifref.serial(name)
    assert ifref.ifnets()[serial]["driver"] == "cdc_ether"
    vm.sh(f"ip link set {name} up; ip addr add 10.3.0.1/24 dev {name}")
    idents = [ifref.ifaddr(serial, "link"), ifref.ifaddr(serial, "10.3.0.1/24")]
    for ident in idents:
        ifref.hand(f"get {ident} 50")
    vm.sh(f"echo > {GADGETS}/g0/UDC")
    ifref.gone(serial)
    [invalidated] = [e for e in ifref.trace("ifref_invalidate") if e["serial"] == str(serial)]
    assert invalidated["cause"] == "unbind"
    for ident in idents:
        assert ifref.errno(f"follow {ident}") == errno.ENODEV
    assert ifref.totals()["references"] == 98


@pytest.fixture
def own(vm: Machine, gadgets: None) -> Iterator[str]:
    """A gadget that is bound to port 3: its own end."""
    vm.sh(f"{MAKE_OWN} echo dummy_udc.3 > UDC")
    yield vm.read(f"{OWN}/functions/ecm.0/ifname").strip()
    vm.run(UNMAKE_OWN, check=False)


def place(vm: Machine, name: str) -> tuple[str, str]:
    """What sysfs says of an interface's parent: its bus with its name, its driver."""
    device = f"/sys/class/net/{name}/device"
    if not vm.exists(device):
        return "virtual", "none"
    parent, bus, driver = (
        vm.sh(f"basename $(readlink -f {device}{link})").strip()
        for link in ("", "/subsystem", "/driver")
    )
    return f"{bus}/{parent}", driver


@pytest.mark.issue(16)
def test_a_gadget_keeps_its_own_end(vm: Machine, ifref: Ifref, own: str) -> None:
    """The kernel moves it to another parent when the gadget is unbound and bound, and it lives on:
    with its serial, VALID and its references; where it is, is right each time. Its end is seen.
    """

    def is_at(expected: str) -> None:
        ifnet = ifref.ifnets()[serial]
        assert (ifnet["bus_path"], ifnet["driver"]) == place(vm, own)
        assert ifnet["bus_path"] == expected
        assert (ifnet["state"], ifnet["valid"]) == ("valid", "1")
        assert ifref.serial(own) == serial
        assert ifref.errno(f"follow {ident}") == 0

    serial = ifref.serial(own)
    vm.sh(f"ip link set {own} up; ip addr add 10.3.0.1/24 dev {own}")
    ident = ifref.ifaddr(serial, "10.3.0.1/24")
    ifref.hand(f"get {ident} 20")
    is_at("gadget/gadget.3")
    vm.sh(f"echo > {OWN}/UDC")
    is_at("virtual")
    # To release its parent from its driver would not remove it.
    assert detach(vm, own) == errno.EOPNOTSUPP
    vm.sh(f"echo dummy_udc.2 > {OWN}/UDC")
    is_at("gadget/gadget.2")
    assert detach(vm, own) == errno.EOPNOTSUPP
    is_at("gadget/gadget.2")
    vm.sh(f"echo > {OWN}/UDC; {UNMAKE_FUNCTION}")
    ifref.gone(serial)
    [invalidated] = [e for e in ifref.trace("ifref_invalidate") if e["serial"] == str(serial)]
    assert invalidated["cause"] == "dismantle"
    assert ifref.errno(f"follow {ident}") == errno.ENODEV


@pytest.mark.issue(16)
def test_a_gadget_is_adopted_late(vm: Machine, ifref: Ifref, own: str) -> None:
    """ifref is loaded when it is bound already: nobody vouches for its parent then."""
    ifref.unload()
    ifref.load()
    serial = ifref.serial(own)
    assert ifref.ifnets()[serial]["bus_path"] == "gadget/gadget.3"
    vm.sh(f"echo > {OWN}/UDC; echo dummy_udc.2 > {OWN}/UDC")
    ifnet = ifref.ifnets()[serial]
    assert (ifnet["bus_path"], ifnet["driver"]) == place(vm, own)
    assert ifnet["bus_path"] == "gadget/gadget.2"


def test_by_the_thousand(
    vm: Machine, ifref: Ifref, gadgets: None, flavour: str, record_property
) -> None:
    """All ports at once; everything that was adopted is freed."""
    rounds = times(flavour, 40, 1000)
    before = ifref.totals()
    jobs = [
        vm.spawn(["bash", "-c", CYCLE, "cycle", str(port), str(rounds // PORTS)])
        for port in range(PORTS)
    ]
    for job in jobs:
        result = job.wait(timeout=60 + 5 * rounds)
        assert result.status == 0, result.stderr
    ends = rounds // PORTS * PORTS
    vm.wait_until(lambda: ifref.totals()["freed"] >= before["freed"] + ends, "all are freed")
    totals = ifref.totals()
    # The gadgets' own ends come once, if they are not there already.
    assert ends <= totals["adopted"] - before["adopted"] <= ends + PORTS
    assert totals["missed"] == 0
    record_property("rounds", ends)
