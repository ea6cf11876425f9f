# SPDX-License-Identifier: GPL-2.0
"""The module under test, as tests see it through a machine."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from vmlib import Machine

ROOT = "/sys/kernel/ifref"
HAND = "/sys/kernel/debug/ifref/hand"
TRACE = "/sys/kernel/tracing"


class Ifref:
    """Loads and unloads ifref.ko, reads what it shows, holds references by hand."""

    def __init__(self, vm: Machine, module: Path) -> None:
        self.vm = vm
        self.module = module

    def load(self, options: str = "") -> None:
        """insmod, with its trace events on, and one for every net_device that is freed."""
        # Adding and removing probes empties the trace, so this one stays for good.
        probe = "p:ifreftest/netdev_release netdev_release name=+0(+0($arg1)):string"
        self.vm.sh(
            f"""cd {TRACE}
            grep -q netdev_release kprobe_events || echo '{probe}' > kprobe_events
            insmod {self.module} {options}
            echo > trace
            echo 1 > events/ifreftest/enable
            echo 1 > events/ifref/enable"""
        )

    def unload(self) -> dict[str, int]:
        """rmmod; returns the ledger, which must balance."""
        self.vm.sh("dmesg -C; rmmod ifref")
        return self.ledger()

    def ledger(self) -> dict[str, int]:
        """The books that the last rmmod closed."""
        log = self.vm.sh("dmesg | grep 'ledger:' | tail -n 1")
        assert log.endswith("balanced"), log
        pairs = re.findall(r"(\w+) (\d+) = (\d+)", log)
        assert len(pairs) == 7 and all(made == ended for _, made, ended in pairs), log
        return {name: int(made) for name, made, _ in pairs}

    def tree(self, folder: str) -> dict[int, dict[str, str]]:
        """Every folder of ``ifnets`` or ``ifaddrs``: number -> file -> value."""
        found: dict[int, dict[str, str]] = defaultdict(dict)
        for path, text in self.vm.glob(f"{ROOT}/{folder}/*/*").items():
            _, number, name = path.rsplit("/", 2)
            found[int(number)][name] = text.rstrip("\n")
        return dict(found)

    def ifnets(self) -> dict[int, dict[str, str]]:
        """All ifnets of the initial namespace."""
        return self.tree("ifnets")

    def ifaddrs(self, serial: int | None = None) -> dict[int, dict[str, str]]:
        """All ifaddrs of the initial namespace, or of one ifnet."""
        return {
            number: files
            for number, files in self.tree("ifaddrs").items()
            if serial is None or files.get("ifnet") == str(serial)
        }

    def totals(self) -> dict[str, int]:
        """The totals of the whole machine."""
        files = self.vm.glob(f"{ROOT}/totals/*")
        return {path.rsplit("/", 1)[1]: int(text) for path, text in files.items()}

    def serial(self, name: str, timeout: float = 20) -> int:
        """The serial of an interface, once its link is there."""
        self.vm.wait_until(f"[ -e /sys/class/net/{name}/ifref ]", f"{name} is adopted", timeout)
        return int(self.vm.sh(f"basename $(readlink /sys/class/net/{name}/ifref)"))

    def ifaddr(self, serial: int, text: str, timeout: float = 20) -> int:
        """The id of the ifaddr with an address (a part of it, or "link"), once it is shown."""

        def find() -> int | None:
            for ident, files in self.ifaddrs(serial).items():
                if text == files.get("family") or text in files.get("address", ""):
                    return ident
            return None

        return self.vm.wait_until(find, f"ifaddr {text} of {serial}", timeout)

    def gone(self, serial: int, timeout: float = 20) -> None:
        """Waits until an ifnet's folder is gone."""
        self.vm.wait_until(f"! [ -e {ROOT}/ifnets/{serial} ]", f"ifnet {serial} goes", timeout)

    def forgotten(self, ident: int, timeout: float = 20) -> None:
        """Waits until an ifaddr's folder is gone."""
        self.vm.wait_until(f"! [ -e {ROOT}/ifaddrs/{ident} ]", f"ifaddr {ident} goes", timeout)

    # By hand

    def hand(self, command: str) -> None:
        """Gives a command to the hand; an OSError is its errno."""
        self.vm.write(HAND, command)

    def errno(self, command: str) -> int:
        """The errno of a command to the hand, 0 if it succeeds."""
        try:
            self.hand(command)
        except OSError as err:
            return err.errno
        return 0

    def held(self) -> dict[int, str]:
        """What is held by hand: id -> what following it shows."""
        lines = self.vm.read(HAND).splitlines()
        return {int(line.split()[0].removeprefix("id=")): line for line in lines}

    # Traces

    def trace(self, event: str) -> list[dict[str, str]]:
        """The trace's events of one name, each with its fields and its "time" in seconds."""
        found = []
        for line in self.vm.sh(f"grep ': {event}: ' {TRACE}/trace || true").splitlines():
            time = re.search(r"(\d+\.\d+): \w+: ", line)
            fields = dict(re.findall(r'(\w+)="?([^"=]*?)"?(?= \w+=|$)', line.split(": ", 2)[2]))
            found.append({**fields, "time": time.group(1)})
        return found
