# SPDX-License-Identifier: GPL-2.0
"""The driver that does what it is told, who holds its interfaces, and what devd says of itself."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from ifref import ROOT, Ifref
from vmlib import Machine

# A driver that does what it is told, in C and in Rust.
IN_RUST = [pytest.mark.issue(6), pytest.mark.quick("stock")]
RIGS = ["rig", pytest.param("rig_rust", marks=IN_RUST)]

PIN = "/sys/module/ifref_pinner/parameters"

# What the kernel says of a dev_hold(), after some seconds; with the trackers, where it was.
WAITS = ("waiting for (rig0|usb0) to become free", "ref_tracker: .* has 1/1 users at")


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


@contextlib.contextmanager
def stranger(vm: Machine, ifref: Ifref, ms: int) -> Iterator[None]:
    """Has RTNL taken for some milliseconds, longer on a slow machine; waits for the end."""
    params = "/sys/module/ifref_fault/parameters"
    vm.insmod(ifref.module.with_name("tests") / "faults/ifref_fault.ko")
    taken = vm.spawn(f"echo rtnl {int(ms * vm.factor)} > {params}/fault")
    vm.wait_until(lambda: vm.read(f"{params}/rtnl").strip() == "Y", "RTNL is taken")
    try:
        yield
        assert vm.read(f"{params}/rtnl").strip() == "Y", "RTNL was given back too early"
    finally:
        taken.wait(60)
        vm.rmmod("ifref_fault")


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
