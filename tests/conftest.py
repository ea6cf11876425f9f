# SPDX-License-Identifier: GPL-2.0
"""Machines and the module for the tests.

Every test that asks for a machine runs on each kernel, unless it is marked ``only(...)``. The tests
of one kernel share one machine as long as it lives; each test that uses the module loads it,
unloads it, and ends with its ledger balanced and a clean kernel log. A machine of the debug kernel
ends with a scan for leaks, in a FULL run each test does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ifref import Ifref
from lanes import FULL, KERNELS, TOP, Lanes, first_line, version
from vmlib import LogTrouble, Machine, VmLost

DRIVERS = "xhci_pci cdc_ether rndis_host e1000e e1000 8139cp virtio_net dummy veth macvlan"


@pytest.fixture(scope="session", params=KERNELS)
def flavour(request: pytest.FixtureRequest) -> str:
    """Which kernel the test runs on: stock or debug."""
    return request.param


@pytest.fixture(scope="session")
def kernel(flavour: str) -> Path:
    """The kernel's entry in the cache, made by scripts/kernel."""
    return KERNELS[flavour]


@pytest.fixture(scope="session")
def module(flavour: str) -> Path:
    """The module under test (IFREF_MODULE names another build of it)."""
    return Path(os.environ.get("IFREF_MODULE", TOP / f"build/{flavour}/ifref.ko")).resolve()


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

    def end(self) -> None:
        """Ends the machine if it lives, with a last look for leaks."""
        try:
            if self.machine is not None and not self.machine.lost:
                self.machine.check_leaks()
        finally:
            self.close()


@pytest.fixture(scope="session")
def shared(kernel: Path) -> Iterator[Shared]:
    """The shared machine's keeper."""
    keeper = Shared(kernel)
    yield keeper
    keeper.end()


@pytest.fixture
def vm(shared: Shared) -> Iterator[Machine]:
    """The shared machine; the kernel log is judged after each test."""
    machine = shared.get()
    yield machine
    try:
        machine.kill_jobs()
        machine.unplug_all()
        if FULL:
            machine.check_leaks(last=False)
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
    except BaseException as err:
        err.add_note(vm.last_words())
        # A module that cannot be unloaded would spoil every test that comes after.
        shared.close()
        raise


def pytest_configure(config: pytest.Config) -> None:
    """Registers the lanes and the marks."""
    config.addinivalue_line("markers", "only(kernel...): not on the others")
    config.addinivalue_line("markers", "alone: it judges times, so nothing runs beside it")
    config.addinivalue_line("markers", "quick(kernel...): not on the others unless FULL")
    config.addinivalue_line("markers", "issue(number): whose count a FULL run adds it to")
    config.pluginmanager.register(Lanes())


def pytest_report_header() -> list[str]:
    """What the run is about."""
    return [
        *[f"kernel: {version(flavour)} ({flavour})" for flavour in KERNELS],
        first_line("qemu-system-x86_64", "--version"),
    ]
