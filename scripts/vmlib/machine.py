# SPDX-License-Identifier: GPL-2.0
"""A virtual machine: boots, runs commands, plugs and unplugs devices, ends."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from qemu.qmp.legacy import QEMUMonitorProtocol

from . import initramfs
from .errors import CommandFailed, LogTrouble, Skipped, VmLost, VmTimeout
from .job import Job, Result
from .verdict import Verdict

# Seconds from power-on to the agent's greeting for which a deadline's factor is 1. The debug kernel
# has been slimmed for booting, but what it does afterwards is several times as slow.
REFERENCE_BOOT = {"stock": 15.0, "debug": 5.0, "lockdep": 5.0}

# Seconds after which a guest that has not greeted is given up, however slow the machine: what else
# the host does at the time is not the guest's fault.
BOOT_DEADLINE = 600

TCG = "tcg,thread=multi"


class Machine:
    """A guest that runs ``kernel`` (an entry made by scripts/kernel) on the build root."""

    def __init__(
        self,
        kernel: Path,
        *,
        cpus: int = 2,
        memory: str = "1G",
        qemu: list[str] | None = None,
        append: str = "",
        accel: str | None = None,
    ) -> None:
        self.kernel = Path(kernel)
        # Which of the kernels it is: entries are named for it.
        self.flavour = self.kernel.name.split("-")[0]
        self.accel = accel
        self.factor = 1.0
        self.verdict = Verdict()
        self.folder = Path(tempfile.mkdtemp(prefix="ifref-vm-"))
        self.jobs: dict[int, Job] = {}
        self.idents = itertools.count(1)
        self.lock = threading.Lock()
        self.log_at = 0
        self.plugged: list[str] = []
        self.networks: list[str] = []
        self.lost: str | None = None
        self.socket: socket.socket | None = None
        self.qmp: QEMUMonitorProtocol | None = None
        self.process: subprocess.Popen | None = None
        try:
            self.boot(cpus, memory, qemu or [], append)
        except BaseException:
            self.close()
            raise

    # Life

    def boot(self, cpus: int, memory: str, qemu: list[str], append: str) -> None:
        """Starts QEMU and waits for the agent."""
        program = shutil.which(os.environ.get("QEMU", "qemu-system-x86_64"))
        if not program:
            raise Skipped("no QEMU here (QEMU= names one)")
        agent = Path(__file__).resolve().with_name("agent.py")
        cache = Path(os.environ["IFREF_CACHE"])
        image = initramfs.make(self.kernel, cache, f"/usr/bin/python3 -S -E {agent}")
        greeting = Job(self, 0, "boot")
        self.jobs[0] = greeting
        start = time.monotonic()
        command = [
            *[program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
            *["-M", "q35", "-accel", self.accel or accelerator(self.kernel, cache)],
            *["-smp", str(cpus), "-m", memory],
            *["-kernel", str(initramfs.unpacked(self.kernel, cache)), "-initrd", str(image)],
            "-append",
            # mitigations=off: they cost a third of the time under TCG and guard nothing here.
            # no_timer_check: a busy host may be late with the ten ticks that the kernel waits for.
            "console=ttyS0 loglevel=7 panic=-1 oops=panic mitigations=off net.ifnames=0 "
            "no_timer_check "
            # For lose(): with the stacks of all CPUs and of who is blocked.
            f"unknown_nmi_panic panic_print=0xc0 {append}",
            *["-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console"],
            *["-qmp", f"unix:{self.folder}/qmp,server=on,wait=off"],
            *["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"],
            *["-device", "virtio-9p-pci,fsdev=root,mount_tag=root"],
            *["-device", "virtio-serial-pci"],
            *["-chardev", f"socket,id=agent,path={self.folder}/agent,server=on,wait=off"],
            *["-device", "virtserialport,chardev=agent,name=ifref"],
            *["-device", "virtio-rng-pci", "-device", "qemu-xhci,id=xhci,p2=8,p3=8"],
            *qemu,
        ]
        for slot in range(4):
            # Places for hot-plugged PCI devices.
            command += ["-device", f"pcie-root-port,id=slot{slot},chassis={slot + 1}"]
        with (self.folder / "qemu.err").open("wb") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=err, stderr=err
            )
        self.qmp = QEMUMonitorProtocol(f"{self.folder}/qmp")
        self.socket = self.connect()
        self.qmp.connect()
        threading.Thread(target=self.read_answers, daemon=True).start()
        # How fast this machine is, only booting will tell.
        self.factor = 1.0
        try:
            greeting.wait(BOOT_DEADLINE)
        except VmTimeout:
            self.lose("it has not booted")
        self.boot_seconds = time.monotonic() - start
        # Everything else takes longer where booting does.
        self.factor = max(1.0, self.boot_seconds / REFERENCE_BOOT[self.flavour])

    def connect(self) -> socket.socket:
        """Connects to the agent's port once QEMU has made both sockets."""
        paths = [self.folder / "qmp", self.folder / "agent"]
        end = time.monotonic() + 60
        while not all(path.exists() for path in paths):
            self.check_alive()
            if time.monotonic() > end:
                raise VmLost("QEMU has not made its sockets")
            time.sleep(0.02)
        port = socket.socket(socket.AF_UNIX)
        port.connect(str(paths[1]))
        return port

    @property
    def console(self) -> Path:
        """The file with all that the guest's kernel has printed."""
        return self.folder / "console"

    def check_alive(self, answered: bool = False) -> None:
        """Raises VmLost if the machine is gone."""
        if answered:
            return
        if self.lost is None and self.process is not None and self.process.poll() is not None:
            self.lost = f"QEMU ended with status {self.process.returncode}"
        if self.lost is not None:
            raise VmLost(f"the VM was lost: {self.lost}\n{self.last_words()}")

    def lose(self, why: str) -> NoReturn:
        """Gives up a machine that is silent: its kernel says where it is, which ends it."""
        with contextlib.suppress(Exception):
            self.qmp.settimeout(10)
            self.qmp.cmd("cont")
            self.qmp.cmd("inject-nmi")
            self.process.wait(20 * self.factor)
        with contextlib.suppress(Exception):
            # What it has come from may be far above.
            self.feed_log()
            why = "\n--\n".join([why, *self.verdict.take()[:3]])
        self.lost = why
        self.check_alive()

    def last_words(self, lines: int = 200) -> str:
        """The end of QEMU's own output and of the console."""
        text = ""
        for name in ("qemu.err", "console"):
            path = self.folder / name
            if path.exists():
                text += "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) + "\n"
        return text

    def close(self) -> None:
        """Ends the machine; its root is read-only, so pulling the plug harms nothing."""
        if self.lost is None:
            self.lost = "it was closed"
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        if self.qmp is not None:
            with contextlib.suppress(Exception):
                self.qmp.close()
        if self.socket is not None:
            self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Commands

    def read_answers(self) -> None:
        """The reader thread: hands each answer to its job."""
        pending = b""
        try:
            while data := self.socket.recv(1 << 16):
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    answer = json.loads(line)
                    job = self.jobs.get(answer["id"])
                    if job:
                        job.take(answer)
                        if job.done.is_set():
                            del self.jobs[job.ident]
            why = "the agent's port was closed"
        # Whoever waits is not to wait for ever.
        except Exception as err:
            why = f"the agent's port: {err!r}"
        if self.lost is None:
            self.lost = why
        for job in list(self.jobs.values()):
            job.done.set()

    def request(
        self,
        op: str,
        what: str,
        on_output: Callable[[str, bytes], None] | None = None,
        **rest: object,
    ) -> Job:
        """Sends a request; the job ends with its answer."""
        self.check_alive()
        job = Job(self, next(self.idents), what, on_output, op == "start")
        self.jobs[job.ident] = job
        data = json.dumps({"id": job.ident, "op": op, **rest}).encode() + b"\n"
        try:
            with self.lock:
                self.socket.sendall(data)
        except OSError as err:
            self.lost = self.lost or str(err)
            self.check_alive()
        return job

    def spawn(
        self,
        command: str | list[str],
        *,
        env: dict | None = None,
        on_output: Callable[[str, bytes], None] | None = None,
        keep_stdin: bool = False,
    ) -> Job:
        """Starts a command (a string goes to the shell) and returns at once."""
        argv = ["bash", "-c", command] if isinstance(command, str) else command
        return self.request(
            "start", str(command), on_output, argv=argv, env=env, keep_stdin=keep_stdin
        )

    def run(self, command: str | list[str], *, timeout: float = 60, check: bool = True) -> Result:
        """Runs a command to its end."""
        job = self.spawn(command)
        try:
            result = job.wait(timeout)
        except VmTimeout:
            job.kill()
            raise
        if check and result.status != 0:
            raise CommandFailed(
                f"{command}: status {result.status}\n{result.stdout}{result.stderr}"
            )
        return result

    def sh(self, command: str, **rest: object) -> str:
        """The output of a shell command that must succeed, without the last newline."""
        return self.run("set -e -o pipefail\n" + command, **rest).stdout.rstrip("\n")

    # Busybox's: each test does this, and kmod's libraries take the guest longer than the module.

    def insmod(self, path: Path, options: str = "") -> None:
        """Loads a module from a file."""
        self.run(["busybox", "insmod", str(path), *options.split()])

    def rmmod(self, name: str) -> None:
        """Unloads a module."""
        self.run(["busybox", "rmmod", name])

    def read(self, path: str) -> str:
        """The text of a file."""
        return self.request("read", f"read {path}", path=path).wait().stdout

    def write(self, path: str, data: str | bytes, flags: int = 0) -> None:
        """Writes a file with a single write(2); an OSError is the guest's."""
        data = data.encode() if isinstance(data, str) else data
        coded = base64.b64encode(data).decode()
        self.request("write", f"write {path}", path=path, data=coded, flags=flags).wait()

    def link(self, path: str) -> str:
        """Where a symbolic link leads."""
        return self.request("link", f"link {path}", path=path).wait().stdout

    def exists(self, path: str) -> bool:
        """Whether a path exists."""
        return self.request("exists", f"exists {path}", path=path).wait().status == 0

    def glob(self, pattern: str) -> dict[str, str]:
        """The text of every file that a pattern matches and that can be read: path -> text."""
        found = self.request("glob", f"glob {pattern}", pattern=pattern).wait().stdout
        return json.loads(found)

    def kill_jobs(self) -> None:
        """Ends what still runs of what was started. Raises LogTrouble if something does not end."""
        running = [job for job in list(self.jobs.values()) if job.runs]
        for job in running:
            job.kill()
        for job in running:
            if not job.done.wait(60 * self.factor):
                # The kernel's detector of hung tasks does not look at all kinds of sleep.
                raise LogTrouble(f"{job.what}: does not end when killed\n{self.stacks()}")

    def stacks(self) -> str:
        """Where in the kernel each program is, but for kernel threads."""
        programs = "for each in /proc/[1-9]*; do grep -q '^PPid:.2$' $each/status || %s; done"
        return self.sh(programs % "tail -n +1 $each/comm $each/stack || true")

    def appears(self, path: str, timeout: float = 20) -> None:
        """Waits until a path exists."""
        self.wait_until(lambda: self.exists(path), f"{path} appears", timeout)

    def goes(self, path: str, timeout: float = 20) -> None:
        """Waits until a path does not exist."""
        self.wait_until(lambda: not self.exists(path), f"{path} goes", timeout)

    def wait_until(self, condition: str | Callable[[], object], what: str, timeout: float = 20):
        """Waits for a shell condition, inside the guest, or for a callable to return something."""
        if callable(condition):
            end = time.monotonic() + timeout * self.factor
            while not (value := condition()):
                if time.monotonic() > end:
                    raise VmTimeout(f"{what}: not within {timeout * self.factor:.0f} s")
                time.sleep(0.05)
            return value
        # A pause without a program: that would cost more than the pause.
        job = self.spawn(f"exec 9<> <(:); until {condition}; do read -rt 0.05 -u 9; done")
        try:
            return job.wait(timeout)
        except VmTimeout:
            job.kill()
            raise VmTimeout(f"{what}: not within {timeout * self.factor:.0f} s") from None

    # Devices

    def plug(self, driver: str, ident: str, **props: object) -> None:
        """Plugs a device in; waiting for it is for the guest's side."""
        self.qmp.cmd("device_add", driver=driver, id=ident, **props)
        self.plugged.append(ident)

    def unplug(self, ident: str) -> None:
        """Pulls a device out; QEMU's word for it says nothing about the guest."""
        self.qmp.cmd("device_del", id=ident)
        self.plugged.remove(ident)

    def unplug_all(self) -> None:
        """Pulls out what a failed test has left."""
        for ident in list(self.plugged):
            if self.gone(ident):
                self.plugged.remove(ident)
            else:
                self.unplug(ident)
                self.wait_until(lambda ident=ident: self.gone(ident), f"QEMU lets go of {ident}")
        for ident in list(self.networks):
            self.qmp.cmd("netdev_del", id=ident)
            self.networks.remove(ident)

    def plug_nic(self, driver: str, ident: str, **props: object) -> None:
        """Plugs a NIC in, with user networking that leads nowhere but to QEMU."""
        self.qmp.cmd("netdev_add", type="user", id=f"net-{ident}", restrict=True)
        self.networks.append(f"net-{ident}")
        self.plug(driver, ident, netdev=f"net-{ident}", **props)

    def unplug_nic(self, ident: str) -> None:
        """Pulls a NIC out."""
        self.unplug(ident)
        # The network behind it goes when QEMU has let go of the device.
        self.wait_until(lambda: self.gone(ident), f"QEMU lets go of {ident}")
        self.qmp.cmd("netdev_del", id=f"net-{ident}")
        self.networks.remove(f"net-{ident}")

    def gone(self, ident: str) -> bool:
        """Whether QEMU has let go of a device."""
        peripherals = self.qmp.cmd("qom-list", path="/machine/peripheral")
        return all(entry["name"] != ident for entry in peripherals)

    # The kernel log

    def sync_log(self) -> None:
        """Reads the console up to now: up to a mark that is printed for it."""
        mark = f"ifref-mark-{next(self.idents)}"
        self.write("/dev/kmsg", f"<5>{mark}\n")
        self.wait_until(lambda: mark in self.console.read_text(errors="replace"), "the console")
        self.feed_log()

    def feed_log(self) -> None:
        """Gives what is new on the console to the verdict, whole lines only."""
        with self.console.open("rb") as console:
            console.seek(self.log_at)
            data = console.read()
        data = data[: data.rfind(b"\n") + 1]
        self.log_at += len(data)
        self.verdict.feed(data.decode(errors="replace").replace("\r", ""))

    def check_log(self) -> None:
        """Raises LogTrouble for what came since the last time and was not announced."""
        self.sync_log()
        if troubles := self.verdict.take():
            raise LogTrouble("the kernel log:\n" + "\n--\n".join(troubles[:5]))

    def check_leaks(self, last: bool = True) -> None:
        """On a kernel that has kmemleak: raises LogTrouble for memory that nothing leads to.

        Also if lockdep has switched itself off, as it does after a report or when it runs out of
        room: what ran since then was not checked. kmemleak reports what is older than 5 s and was
        seen by two scans: unless this is the last look, some is left for the next one.
        """
        kmemleak, lockdep = "/sys/kernel/debug/kmemleak", "/proc/lockdep_stats"
        if self.exists(lockdep) and not self.sh(f"grep debug_locks: {lockdep}").endswith(" 1"):
            raise LogTrouble("lockdep is off")
        if not self.exists(kmemleak):
            return
        if last:
            self.sh(f"sleep 5; echo scan > {kmemleak}", timeout=120)
        leaks = self.sh(f"echo scan > {kmemleak}; cat {kmemleak}; echo clear > {kmemleak}")
        if leaks:
            raise LogTrouble(f"kmemleak:\n{leaks[:5000]}")

    @contextlib.contextmanager
    def expects(self, *patterns: str, must: bool = True) -> Iterator[None]:
        """Announces trouble that this block provokes: exactly that is forgiven, and must come."""
        self.sync_log()
        known = [re.compile(pattern) for pattern in patterns]
        self.verdict.expected += known
        try:
            yield
            self.sync_log()
            missing = [k.pattern for k in known if k.pattern not in self.verdict.came]
            if must and missing:
                raise LogTrouble(f"announced, but not in the kernel log: {missing}")
        finally:
            for one in known:
                self.verdict.expected.remove(one)
                self.verdict.came.discard(one.pattern)


def accelerator(kernel: Path, cache: Path) -> str:
    """KVM where this kernel has really started on it, else TCG; asked once a boot of this host.

    /dev/kvm may exist and fail at once, or run the firmware and fail in the kernel.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = cache / f"kvm-{boot}"
    if not answer.exists():
        initramfs.publish(answer, b"kvm" if kvm_works(kernel) else TCG.encode())
    return answer.read_text()


def kvm_works(kernel: Path) -> bool:
    """Whether the kernel gets as far on KVM as to miss its root."""
    probe = subprocess.Popen(
        [
            *["qemu-system-x86_64", "-accel", "kvm", "-display", "none", "-nodefaults"],
            *["-no-reboot", "-m", "512M", "-serial", "stdio", "-kernel", str(kernel / "vmlinuz")],
            *["-append", "console=ttyS0 panic=-1"],
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    killer = threading.Timer(20, probe.kill)
    killer.start()
    works = any(b"Unable to mount root fs" in line for line in probe.stdout)
    killer.cancel()
    probe.kill()
    probe.wait()
    return works
