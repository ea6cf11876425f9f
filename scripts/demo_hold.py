# SPDX-License-Identifier: GPL-2.0
"""The demo's part "hold": what a module that holds a NIC does to the hub that the NIC was in.

NIC A is held by the sample pinner, pulled, and NIC B plugged into the same hub at once. All times
are the guest's: from the pull of A to the adoption of B, and to the release of A's net_device.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from ifref import TRACE, Ifref
from vmlib import Machine

# For how long the pinner holds, and after how long the kernel complains.
HELD = 12
COMPLAINT = 3
PIN = "/sys/module/ifref_pinner/parameters"
WHO = Path(__file__).resolve().parent / "ifref-who"
WAITING = r"waiting for usb0 to become free"


def must(condition: object, what: str) -> None:
    """A scene's claim."""
    if not condition:
        raise AssertionError(what)


class Hold:
    """Two USB NICs, one after the other, on one hub; how the first one is held makes a row."""

    def __init__(self, vm: Machine, module: Path) -> None:
        self.vm = vm
        self.ifref = Ifref(vm, module)
        self.free = 0.0

    def scenes(self) -> list[tuple[str, Callable[[], str]]]:
        """The rows of this part, in their order."""
        return [
            ("insmod", self.insmod),
            ("nobody", self.nobody),
            ("dev_hold", self.dev_hold),
            ("reference", self.reference),
            ("enter", self.enter),
            ("rmmod", self.rmmod),
        ]

    def insmod(self) -> str:
        self.vm.sh("modprobe -a xhci_pci usbnet cdc_ether")
        self.ifref.load()
        pinner = self.ifref.module.with_name("ifref_pinner.ko")
        self.vm.sh(
            f"""insmod {pinner}
            sysctl -q net.core.netdev_unregister_timeout_secs={COMPLAINT}
            cd {TRACE}
            echo 'p:ifrefdemo/usb_disconnect usb_disconnect' >> kprobe_events
            echo 1 > events/ifrefdemo/enable"""
        )
        self.vm.plug("usb-hub", "hub", bus="xhci.0", port="1")
        return f"ifref and the sample pinner; each hold lasts {HELD} s"

    def play(self, mode: str | None, meanwhile: Callable[[], str] = lambda: "") -> dict:
        """Holds A, pulls it, plugs B in; returns the times (s), and what ``meanwhile`` saw."""
        self.vm.plug_nic("usb-net", "a", bus="xhci.0", port="1.1")
        self.ifref.serial("usb0")
        self.vm.sh(f"ip link set usb0 up; echo > {TRACE}/trace; dmesg -C")
        if mode:
            self.vm.sh(
                f"""cd {PIN}; echo usb0 > ifname; echo {mode} > mode
                echo {HELD} > seconds; echo 1 > pin"""
            )
        pinned = time.monotonic()
        self.vm.unplug_nic("a")
        self.vm.plug_nic("usb-net", "b", bus="xhci.0", port="1.2")
        self.vm.wait_until(lambda: self.ifref.trace("ifref_invalidate"), "A goes")
        seen = meanwhile()
        self.vm.wait_until(lambda: self.ifref.trace("ifref_adopt"), "B appears", HELD + 30)
        freed = self.vm.wait_until(
            lambda: self.ifref.trace("netdev_release"), "A's net_device is freed", HELD + 30
        )
        pulled = float(self.ifref.trace("usb_disconnect")[0]["time"])
        found = {
            "b": float(self.ifref.trace("ifref_adopt")[0]["time"]) - pulled,
            "freed": float(freed[0]["time"]) - pulled,
            "log": self.vm.sh(f"dmesg | grep '{WAITING}' || true").splitlines(),
            "seen": seen,
        }
        self.vm.unplug_nic("b")
        if mode:
            left = HELD + 1 - (time.monotonic() - pinned)
            self.vm.sh(f"sleep {max(left, 0):.1f}; cat {PIN}/pin")
        self.vm.wait_until("! ls /sys/class/net | grep -q usb", "the NICs go")
        return found

    def nobody(self) -> str:
        found = self.play(None)
        self.free = found["b"]
        must(not found["log"], "somebody held it")
        return self.times(found)

    def times(self, found: dict) -> str:
        return (
            f"B appears {found['b']:.2f} s after A's pull, "
            f"A's net_device is freed after {found['freed']:.2f} s"
        )

    def dev_hold(self) -> str:
        with self.vm.expects(WAITING):
            found = self.play("dev_hold", self.who)
        must(found["b"] > HELD / 2 > self.free, f"B did not wait: {found['b']:.2f} s")
        must(found["log"], "the kernel said nothing")
        said = re.sub(r"^\[.*?\] ", "", found["log"][0])
        must("pinner" not in said and not found["seen"]["holders"], "somebody was named")
        return (
            f"{self.times(found)}\n"
            f'the kernel names nobody: "{said}"'
        )

    def reference(self) -> str:
        found = self.play("reference", lambda: (self.who(), self.vm.read(f"{PIN}/pin").strip()))
        who, said = found["seen"]
        must(found["b"] < self.free + HELD / 4, f"B waited: {found['b']:.2f} s")
        must(found["freed"] < HELD / 4, f"A's net_device waited: {found['freed']:.2f} s")
        [holder] = who["holders"]
        must("ENODEV" in said, f"the follow was not refused: {said}")
        return (
            f"{self.times(found)}\n"
            f"still held then by {holder['holder']}, {holder['references']} reference to "
            f"{holder['address']}; its next follow: {said}"
        )

    def enter(self) -> str:
        with self.vm.expects(WAITING):
            found = self.play("enter", self.who)
        must(found["b"] > HELD / 2, f"B did not wait: {found['b']:.2f} s")
        [holder] = found["seen"]["holders"]
        must(holder["holder"] == "pinner" and holder["entered"] == 1, f"not named: {holder}")
        return (
            f"{self.times(found)}\n"
            f"ifref-who {found['seen']['interface']}: {holder['holder']} sleeps in it for "
            f"{holder['entered_age']:.1f} s"
        )

    def who(self) -> dict:
        """What ifref-who tells of usb0 while the kernel waits, or would."""
        self.vm.sh(f"sleep {COMPLAINT + 1}")
        told = self.vm.run(f"{WHO} --json usb0", check=False)
        return json.loads(told.stdout)

    def rmmod(self) -> str:
        self.vm.sh("rmmod ifref_pinner")
        self.books = self.ifref.unload()
        return "unloaded"

    def ledger(self) -> str:
        return ", ".join(f"{name} {n:,} = {n:,}" for name, n in self.books.items())
