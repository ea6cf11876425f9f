# SPDX-License-Identifier: GPL-2.0
"""The harness itself: what it reports, all other tests rely on."""

import subprocess
from pathlib import Path

import pytest
from vmlib import CommandFailed, LogTrouble, Machine, VmLost, VmTimeout

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


def test_a_lost_vm_is_told_apart(boot) -> None:
    """A panic is "the VM was lost", with its last words, and not a failed command."""
    machine = boot(memory="512M")
    with pytest.raises(VmLost, match="sysrq_handle_crash"):
        machine.run("echo c > /proc/sysrq-trigger")
    with pytest.raises(VmLost):
        machine.run("true")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "echo '<4>WARNING: fake' > /dev/kmsg"], 125),
    ],
)
def test_scripts_vm(command: list[str], status: int) -> None:
    """scripts/vm passes the command's status on, and has one of its own for a bad log."""
    run = subprocess.run(["python3", "-m", "vmlib", "--", *command], cwd=TOP / "scripts")
    assert run.returncode == status
