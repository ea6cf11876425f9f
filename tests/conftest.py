# SPDX-License-Identifier: GPL-2.0
"""Machines and the module for the tests.

Tests share one machine as long as it lives; each test that uses the module loads it, unloads it,
and ends with its ledger balanced and a clean kernel log.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ifref import Ifref
from vmlib import LogTrouble, Machine, VmLost

TOP = Path(__file__).parents[1]
DRIVERS = "xhci_pci usbnet cdc_ether rndis_host e1000e dummy veth macvlan"


@pytest.fixture(scope="session")
def kernel() -> Path:
    """The kernel's entry in the cache, made by scripts/kernel."""
    return Path(os.environ["IFREF_KERNEL"])


@pytest.fixture(scope="session")
def module() -> Path:
    """The module under test (IFREF_MODULE names another build of it)."""
    return Path(os.environ.get("IFREF_MODULE", TOP / "build/stock/ifref.ko")).resolve()


class Shared:
    """The machine that tests share; a lost one is replaced."""

    def __init__(self, kernel: Path) -> None:
        self.kernel = kernel
        self.machine: Machine | None = None

    def get(self) -> Machine:
        """The machine, booted when first asked for."""
        if self.machine is not None and (
            self.machine.lost or self.machine.process.poll() is not None
        ):
            self.close()
        if self.machine is None:
            self.machine = Machine(self.kernel)
            self.machine.sh(f"modprobe -a {DRIVERS}")
        return self.machine

    def close(self) -> None:
        """Ends the machine."""
        if self.machine is not None:
            self.machine.close()
            self.machine = None


@pytest.fixture(scope="session")
def shared(kernel: Path) -> Iterator[Shared]:
    """The shared machine's keeper."""
    keeper = Shared(kernel)
    yield keeper
    keeper.close()


@pytest.fixture
def vm(shared: Shared) -> Iterator[Machine]:
    """The shared machine; the kernel log is judged after each test."""
    machine = shared.get()
    yield machine
    try:
        machine.unplug_all()
        machine.check_log()
    except (LogTrouble, VmLost) as err:
        # What comes after an oops proves nothing.
        shared.close()
        pytest.fail(str(err), pytrace=False)


@pytest.fixture
def boot(kernel: Path) -> Iterator[Callable[..., Machine]]:
    """Boots machines of a test's own."""
    machines: list[Machine] = []

    def start(**options) -> Machine:
        machines.append(Machine(kernel, **options))
        return machines[-1]

    yield start
    for machine in machines:
        machine.close()


@pytest.fixture
def ifref(vm: Machine, module: Path, shared: Shared) -> Iterator[Ifref]:
    """The module, loaded; after the test it is unloaded and its books must balance."""
    handle = Ifref(vm, module)
    handle.load()
    yield handle
    try:
        if vm.exists("/sys/module/ifref"):
            for ident, line in handle.held().items():
                handle.hand(f"put {ident} {line.split()[1].removeprefix('held=')}")
            handle.unload()
        handle.ledger()
    except BaseException:
        # A module that cannot be unloaded would spoil every test that comes after.
        shared.close()
        raise


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marks."""
    config.addinivalue_line("markers", "issue(number): whose count a FULL run adds it to")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the harness first: what they guard, all others rely on."""
    items.sort(key=lambda item: item.path.name != "test_harness.py")


def pytest_report_header() -> str:
    """What the run is about."""
    version = (Path(os.environ["IFREF_KERNEL"]) / "version").read_text().strip()
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True)
    return f"kernel: {version}, {qemu.stdout.splitlines()[0]}"
