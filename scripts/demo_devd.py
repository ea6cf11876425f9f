# SPDX-License-Identifier: GPL-2.0
"""The demo's part "devd": the same pull with Debian's cdc_ether, and with the one that submits.

A use is kept on NIC A by the sample pinner, A is pulled, and NIC B plugged into the same hub at
once. What is loaded in Debian's place is its own source, converted by samples/usbnet/usbnet.cocci.
"""

from __future__ import annotations

from collections.abc import Callable

from demo_hold import HELD, WAITING, Hold, must
from ifref import TRACE

PROBES = {
    # Around ifref_detach(), which is Rust: kprobes want C.
    "detach": "p:ifrefdemo/detach usbnet_detach",
    "detached": "r:ifrefdemo/detached usbnet_detach",
    "disconnect": "p:ifrefdemo/disconnect usbnet_disconnect",
    "disconnected": "r:ifrefdemo/disconnected usbnet_disconnect",
    "usbnet_free": "p:ifrefdemo/usbnet_free usbnet_free",
}


class Devd(Hold):
    """One hub, one kind of use, two drivers."""

    def scenes(self) -> list[tuple[str, Callable[[], str]]]:
        """The rows of this part, in their order."""
        return [
            ("insmod", self.insmod),
            ("Debian's", self.waiting),
            ("convert", self.convert),
            ("converted", self.converted),
            ("rmmod", self.rmmod),
        ]

    def waiting(self) -> str:
        with self.vm.expects(WAITING):
            found = self.play("enter")
        must(found["b"] > HELD / 2, f"B did not wait: {found['b']:.2f} s")
        self.waited = found["b"]
        return f"the hub waits as long as A is used: {self.times(found)}"

    def convert(self) -> str:
        folder = self.ifref.module.parent
        probes = "\n".join(f"echo '{probe}' >> kprobe_events" for probe in PROBES.values())
        self.vm.sh(
            f"""modprobe -r cdc_ether usbnet
            insmod {folder}/usbnet.ko; insmod {folder}/cdc_ether.ko
            cd {TRACE}
            {probes}
            echo 1 > events/ifrefdemo/enable"""
        )
        diff = (folder / "converted/usbnet.diff").read_text().splitlines()
        added, gone = (
            sum(line.startswith(sign) and not line.startswith(sign * 3) for line in diff)
            for sign in "+-"
        )
        return f"usbnet and cdc_ether by usbnet.cocci: {added} lines added, {gone} removed"

    def at(self, event: str) -> float:
        """When something happened, for the first time since A's pull."""
        return float(self.ifref.trace(event)[0]["time"])

    def kept(self) -> dict:
        """While A is used: what has returned, and that A is not freed."""
        self.vm.wait_until(lambda: self.ifref.trace("ifref_adopt"), "B appears")
        must(not self.ifref.trace("usbnet_free"), "A was freed")
        self.vm.sh("ip addr add 10.0.2.15/24 dev $(ls /sys/class/net | grep usb | tail -n 1)")
        self.vm.sh("ip link set $(ls /sys/class/net | grep usb | tail -n 1) up")
        answers = self.vm.sh("ping -c 3 -i 0.2 -q 10.0.2.2 | grep -o '[0-9]* received'")
        must(answers == "3 received", f"traffic on B: {answers}")
        return {
            "detach": self.at("detached") - self.at("detach"),
            "disconnect": self.at("disconnected") - self.at("disconnect"),
        }

    def converted(self) -> str:
        found = self.play("enter", self.kept)
        seen, frees = found["seen"], self.ifref.trace("usbnet_free")
        must(found["b"] < self.waited / 4, f"B waited: {found['b']:.2f} s")
        must(len(frees) >= 1 and found["freed"] > HELD / 2, "A was freed too soon")
        must(not found["log"], "the kernel waited")
        return (
            f"the hub waits for nobody: B appears {found['b']:.2f} s after A's pull, and answers\n"
            f"ifref_detach() returned after {seen['detach'] * 1e6:,.0f} µs, disconnect after "
            f"{seen['disconnect'] * 1e3:,.1f} ms\n"
            f"free ran once, {found['freed']:.2f} s after the pull, when the use had ended"
        )

    def rmmod(self) -> str:
        self.vm.sh("rmmod cdc_ether usbnet")
        return super().rmmod()
