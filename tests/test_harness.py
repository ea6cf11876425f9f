# SPDX-License-Identifier: GPL-2.0
"""The harness itself: what it reports, all other tests rely on."""

import contextlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Shared
from lanes import FULL
from vmlib import CommandFailed, LogTrouble, Machine, VmLost, VmTimeout
from vmlib import __main__ as cli
from vmlib.verdict import Verdict

pytestmark = [pytest.mark.issue(2), pytest.mark.only("stock")]

TOP = Path(__file__).parents[1]


def test_status_and_output(vm: Machine) -> None:
    """Exit status, both outputs and a signal come through; check= raises."""
    result = vm.run("echo out; echo err >&2; exit 7", check=False)
    assert (result.status, result.stdout, result.stderr) == (7, "out\n", "err\n")
    assert vm.run("kill -9 $$", check=False).status == -9
    with pytest.raises(CommandFailed):
        vm.run("false")


def test_large_and_binary_output(vm: Machine) -> None:
    """Megabytes and bytes that are no text."""
    result = vm.run("head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(result.stdout) == 3000000
    data = bytes(range(256))
    vm.write("/tmp/bytes", data, flags=0o100)
    assert vm.read("/tmp/bytes").encode(errors="surrogateescape") == data


def test_jobs_run_beside_each_other(vm: Machine) -> None:
    """A job goes on while another command runs, and can be killed with its children."""
    job = vm.spawn("echo started; sleep 1000 & wait")
    vm.wait_until(lambda: job.stdout, "the job's first words")
    assert vm.sh("echo meanwhile") == "meanwhile"
    job.kill()
    assert job.wait().status == -9
    vm.wait_until("! pgrep -x sleep", "the children end")


def test_timeout(vm: Machine) -> None:
    """A command past its deadline is killed and reported as that."""
    with pytest.raises(VmTimeout):
        vm.run("sleep 1000", timeout=0.5)
    with pytest.raises(VmTimeout, match="pigs fly"):
        vm.wait_until("[ -e /pigs ]", "pigs fly", timeout=0.5)
    vm.wait_until("! pgrep -x sleep", "the children end")


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: CPU: 0 PID: 1 at net/core/dev.c:1",
        "BUG: KASAN: slab-use-after-free in follow",
        "INFO: possible circular locking dependency detected",
        "unregister_netdevice: waiting for usb0 to become free. Usage count = 2",
        "sysfs: cannot create duplicate filename '/kernel/ifref'",
        "Oops: general protection fault",
        "ifref: BUG: ledger: ifnets 2 / 1: does not balance",
    ],
)
def test_trouble_is_found(vm: Machine, line: str) -> None:
    """Trouble in the log fails a run; announced, it is forgiven, and only that."""
    vm.check_log()
    vm.write("/dev/kmsg", f"<4>{line}\n")
    with pytest.raises(LogTrouble):
        vm.check_log()
    vm.check_log()
    words = line.split(":")[0]
    with vm.expects(words):
        vm.write("/dev/kmsg", f"<4>{line}\n")
    vm.check_log()


def test_announced_trouble_must_come(vm: Machine) -> None:
    """What was announced and does not come is a failure, too."""
    with pytest.raises(LogTrouble, match="announced"), vm.expects("WARNING: never"):
        vm.sh("true")


REPORT = """------------[ cut here ]------------
WARNING: net/core/{0}.c:1 at {0}+0x1/0x2, CPU#0: sh/1
RIP: 0010:{0}+0x1/0x2
Call Trace:
 {0}_caller+0x1/0x2
---[ end trace 0000000000000000 ]---
"""


def write_log(vm: Machine, text: str) -> None:
    """Puts lines into the kernel log."""
    for line in text.splitlines():
        vm.write("/dev/kmsg", f"<4>{line}\n")


def test_a_report_is_one_trouble(vm: Machine) -> None:
    """A report is announced by any of its lines, forgiven whole, and shown whole."""
    with vm.expects("RIP.*announced"):
        write_log(vm, REPORT.format("announced"))
        write_log(vm, REPORT.format("other"))
    with pytest.raises(LogTrouble) as trouble:
        vm.check_log()
    assert str(trouble.value).count("WARNING: net") == 1
    assert "other_caller" in str(trouble.value)
    with vm.expects("task sh:1 blocked"):
        write_log(vm, "INFO: task sh:1 blocked for more than 120 seconds.\nCall Trace:\n <TASK>")
    vm.check_log()


def test_a_trace_belongs_to_what_has_one() -> None:
    """A back trace is forgiven with what was announced only if that comes with one."""
    for line, troubles in (("INFO: task sh:1 blocked", 0), ("waiting for d0 to become free", 1)):
        verdict = Verdict(expected=[re.compile("sh:1|d0")])
        verdict.feed(f"{line}\nCall Trace:\n <TASK>\n")
        assert len(verdict.take()) == troubles


def test_orphans_are_collected(vm: Machine) -> None:
    """Init leaves no zombies."""
    vm.sh("for _ in 1 2 3; do (sleep 0.01 & exec true); done")
    vm.wait_until("! ps -eo stat= | grep -q Z", "the zombies go")


def test_a_vm_that_ends_between_tests(kernel: Path, request: pytest.FixtureRequest) -> None:
    """What it was doing when it ended is some test's fault."""
    keeper = Shared(kernel, request.config.pluginmanager.get_plugin("lanes"))
    with keeper.judges():
        keeper.get().spawn("echo c > /proc/sysrq-trigger")
        keeper.machine.process.wait(60)
    with pytest.raises(pytest.fail.Exception, match="sysrq triggered crash"), keeper.judges():
        keeper.get()
    assert keeper.machine is None


def test_a_silent_vm_is_lost(boot) -> None:
    """A guest that answers nothing is lost, and says where it was; what takes long is only late."""
    machine = boot(memory="512M")
    machine.qmp.cmd("stop")
    with pytest.raises(VmLost, match=r"(?s)silent.*NMI backtrace for cpu 0"):
        machine.run("true", timeout=0.1)


# Switches a device's memory on and off, as the kernel does when one is plugged in.
FLIP = """
import glob, os, sys, time
[device] = [os.path.dirname(path) for path in glob.glob("/sys/bus/pci/devices/*/device")
            if open(path).read().strip() == "0x10d3"]
config = os.open(f"{device}/config", os.O_RDWR)
[command] = os.pread(config, 1, 4)
end, times = time.time() + float(sys.argv[1]), 0
while time.time() < end:
    os.pwrite(config, bytes([command | 2]), 4)
    os.pwrite(config, bytes([command & ~2]), 4)
    times += 1
print(times)
"""


def test_no_write_to_a_device_is_lost(boot) -> None:
    """The map of memory changes while the other CPU ends interrupts: QEMU 10.0 hung here."""
    machine = boot(qemu=["-device", "e1000e"])
    seconds = 120 if FULL else 20
    ticks = f"import time; end = time.time() + {seconds}\nwhile time.time() < end: time.sleep(3e-4)"
    jobs = [machine.spawn(["python3", "-c", FLIP, str(seconds)])]
    jobs += [machine.spawn(["taskset", "-c", cpu, "python3", "-c", ticks]) for cpu in "01"]
    while not all(job.done.is_set() for job in jobs):
        machine.run("true")
    assert int(jobs[0].wait().stdout) > 100


def test_a_lost_vm_is_told_apart(boot) -> None:
    """A panic is "the VM was lost", with its last words, and not a failed command."""
    machine = boot(memory="512M")
    with pytest.raises(VmLost, match="sysrq_handle_crash"):
        machine.run("echo c > /proc/sysrq-trigger")
    with pytest.raises(VmLost):
        machine.run("true")


@pytest.fixture
def scripts_vm(vm: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Calls scripts/vm's program with the shared machine instead of one of its own."""
    monkeypatch.setattr(cli, "Machine", lambda *_, **__: contextlib.nullcontext(vm))

    def call(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["scripts/vm", *words])
        return cli.main()

    return call


def test_scripts_vm(scripts_vm: Callable[..., int], capfd: pytest.CaptureFixture, tmp_path) -> None:
    """Status and streams are the command's; --log keeps the kernel log."""
    kept = tmp_path / "log"
    command = "echo out; echo err >&2; exit 42"
    assert scripts_vm("--log", str(kept), "--", "bash", "-c", command) == 42
    assert capfd.readouterr() == ("out\n", "err\n")
    assert "Linux version" in kept.read_text()
    assert scripts_vm("--", "bash", "-c", "kill -TERM $$") == 128 + 15
    assert scripts_vm("--", "exit 3; a line for the shell") == 3
    assert scripts_vm("--", "/no/such/program", "-x") == 127


@pytest.mark.parametrize(
    ("options", "command", "status", "says"),
    [
        ([], "true", 0, ""),
        ([], "echo '<4>WARNING: fake.c:1' > /dev/kmsg", 125, "fake.c"),
        ([], "echo '<4>WARNING: fake.c:1' > /dev/kmsg; exit 3", 3, "fake.c"),
        (["--expect", "fake.c"], "echo '<4>WARNING: fake.c:1' > /dev/kmsg", 0, ""),
        (["--expect", "fake.c"], "true", 125, "announced"),
        (["--timeout", "0.5"], "sleep 4242", 124, "timeout"),
    ],
)
def test_outcomes(
    scripts_vm: Callable[..., int],
    capfd: pytest.CaptureFixture,
    options: list[str],
    command: str,
    status: int,
    says: str,
) -> None:
    """Each outcome has its own exit status and a message that names it."""
    assert scripts_vm(*options, "--", "bash", "-c", command) == status
    said = capfd.readouterr().err
    assert says in said and bool(says) == bool(said)


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        ("VmLost", 126, "VM was lost"),
        ("Skipped", 77, "skipped"),
    ],
)
def test_no_machine(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    error: str,
    status: int,
    says: str,
) -> None:
    """No machine at all: lost while booting, or nothing to boot it with."""

    def fail(*_: object, **__: object) -> None:
        raise getattr(cli, error)("the VM was lost" if error == "VmLost" else "no QEMU here")

    monkeypatch.setattr(cli, "Machine", fail)
    monkeypatch.setenv("IFREF_KERNEL", "/nowhere")
    monkeypatch.setattr("sys.argv", ["scripts/vm", "true"])
    assert cli.main() == status
    assert says in capfd.readouterr().err


def test_scripts_vm_with_a_machine() -> None:
    """All of it, on a machine with a NIC."""
    words = ["--nic", "e1000e", "--", "grep -q 0x10d3 /sys/bus/pci/devices/*/device && exit 7"]
    run = subprocess.run(["python3", "-m", "vmlib", *words], cwd=TOP / "scripts")
    assert run.returncode == 7
