# SPDX-License-Identifier: GPL-2.0
"""Machines and the module for the tests.

Every test that asks for a machine runs on each kernel, but the
lockdep kernel (``also(...)``), unless it is marked ``only(...)``. The tests
of one kernel share one machine as long as it lives; each test that uses the module loads it,
unloads it, and ends with its ledger balanced and a clean kernel log. A machine of the debug kernel
ends with a scan for leaks, in a FULL run each test does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ifref import Ifref
from lanes import FULL, KERNELS, TOP, Lanes, first_line, version
from rigs import RIGS, Rig
from vmlib import LogTrouble, Machine, VmLost

LINKS = "dummy veth macvlan"
DRIVERS = f"xhci_pci cdc_ether rndis_host e1000e e1000 8139cp virtio_net {LINKS}"


@pytest.fixture(scope="session", params=KERNELS)
def flavour(request: pytest.FixtureRequest) -> str:
    """Which kernel the test runs on: stock, debug or lockdep."""
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

    def __init__(self, kernel: Path, lanes: Lanes) -> None:
        self.kernel = kernel
        self.lanes = lanes
        self.machine: Machine | None = None
        # The tests that it ran since it was booted.
        self.ran: list[str] = []

    def get(self) -> Machine:
        """The machine, booted when first asked for. Raises VmLost if it ended between two tests."""
        try:
            if self.machine is not None:
                self.machine.check_alive()
            else:
                self.machine = Machine(self.kernel)
                # The lockdep kernel has no NICs.
                drivers = LINKS if self.machine.flavour == "lockdep" else DRIVERS
                self.machine.sh(f"modprobe -a {drivers}")
        except BaseException:
            self.close()
            raise
        return self.machine

    def close(self) -> None:
        """Ends the machine."""
        if self.machine is not None:
            self.machine.close()
            self.machine = None
        self.ran = []

    @contextlib.contextmanager
    def judges(self) -> Iterator[None]:
        """Fails the test if this finds trouble on the machine, and ends the machine: what comes
        after an oops proves nothing. Nor does what ran before: a leak is found some tests later.
        """
        try:
            yield
        except (LogTrouble, VmLost) as err:
            self.lanes.void(self.ran)
            self.close()
            pytest.fail(str(err), pytrace=False)

    def end(self) -> None:
        """Ends the machine, with a last look at its log and for leaks."""
        with self.judges():
            if self.machine is not None:
                self.machine.check_log()
                self.machine.check_leaks()
        self.close()


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest, kernel: Path) -> Iterator[Shared]:
    """The shared machine's keeper."""
    keeper = Shared(kernel, request.config.pluginmanager.get_plugin("lanes"))
    yield keeper
    keeper.end()


@pytest.fixture
def vm(request: pytest.FixtureRequest, shared: Shared) -> Iterator[Machine]:
    """The shared machine; the kernel log is judged after each test."""
    with shared.judges():
        machine = shared.get()
    shared.ran.append(request.node.nodeid)
    yield machine
    with shared.judges():
        machine.kill_jobs()
        machine.unplug_all()
        machine.check_log()
        if FULL:
            machine.check_leaks(last=False)


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


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, vm: Machine, ifref: Ifref) -> Iterator[Rig]:
    """The rig, unloaded before ifref is."""
    vm.insmod(ifref.module.with_name("ifref_pinner.ko"))
    driver = Rig(vm, ifref, request.param)
    yield driver
    # What a failed test has left.
    vm.run(f"ip netns del n0; echo dev_put 0 > {driver.params}/do", check=False)
    for module in ("ifref_pinner", driver.module):
        if vm.exists(f"/sys/module/{module}"):
            vm.rmmod(module)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the lanes and the marks."""
    config.addinivalue_line("markers", "only(kernel...): not on the others")
    config.addinivalue_line("markers", "also('lockdep'): there, too")
    config.addinivalue_line("markers", "alone: it judges times, so nothing runs beside it")
    config.addinivalue_line("markers", "quick(kernel...): not on the others unless FULL")
    config.addinivalue_line("markers", "issue(number): whose count a FULL run adds it to")
    config.pluginmanager.register(Lanes(), "lanes")


def pytest_report_header() -> list[str]:
    """What the run is about."""
    return [
        *[f"kernel: {version(flavour)} ({flavour})" for flavour in KERNELS],
        first_line("qemu-system-x86_64", "--version"),
    ]
