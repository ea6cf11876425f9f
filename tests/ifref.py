# SPDX-License-Identifier: GPL-2.0
"""The module under test, as tests see it through a machine."""

from __future__ import annotations

import os
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
        # Where in the kernel log it was loaded.
        self.begun = 0

    def load(self, options: str = "") -> None:
        """insmod, with its trace events on, and one for every net_device that is freed."""
        # Adding and removing probes empties the trace, so this one stays for good.
        probe = "p:ifreftest/netdev_release netdev_release name=+0(+0($arg1)):string"
        if "netdev_release" not in self.vm.read(f"{TRACE}/kprobe_events"):
            self.vm.write(f"{TRACE}/kprobe_events", probe)
        self.vm.sync_log()
        self.begun = len(self.vm.verdict.lines)
        self.vm.insmod(self.module, options)
        self.vm.write(f"{TRACE}/trace", "", flags=os.O_TRUNC)
        for group in ("ifreftest", "ifref"):
            self.vm.write(f"{TRACE}/events/{group}/enable", "1")

    def unload(self) -> dict[str, int]:
        """rmmod; returns the ledger, which must balance."""
        self.vm.rmmod("ifref")
        return self.ledger()

    def said(self, words: str) -> list[str]:
        """What the kernel has logged that fits ``words`` since the module was loaded here."""
        self.vm.sync_log()
        return [line for line in self.vm.verdict.lines[self.begun :] if re.search(words, line)]

    def ledger(self) -> dict[str, int]:
        """The books that rmmod has closed since the module was loaded here."""
        logs = self.said("ifref: ledger:")
        assert logs, "no ledger"
        log = logs[-1]
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
        link = f"/sys/class/net/{name}/ifref"
        self.vm.appears(link, timeout)
        return int(self.vm.link(link).rsplit("/", 1)[1])

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
        self.vm.goes(f"{ROOT}/ifnets/{serial}", timeout)

    def forgotten(self, ident: int, timeout: float = 20) -> None:
        """Waits until an ifaddr's folder is gone."""
        self.vm.goes(f"{ROOT}/ifaddrs/{ident}", timeout)

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
        lines = self.vm.run(["grep", f": {event}: ", f"{TRACE}/trace"], check=False).stdout
        for line in lines.splitlines():
            time = re.search(r"(\d+\.\d+): \w+: ", line)
            fields = dict(re.findall(r'(\w+)="?([^"=]*?)"?(?= \w+=|$)', line.split(": ", 2)[2]))
            found.append({**fields, "time": time.group(1)})
        return found
