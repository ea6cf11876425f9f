# SPDX-License-Identifier: GPL-2.0
"""``scripts/vm``: one command, or a shell, in the VM."""

from __future__ import annotations

import argparse
import os
import select
import shlex
import sys
import termios
import tty
from pathlib import Path

from .errors import LogTrouble, Skipped, VmLost, VmTimeout
from .machine import Machine

TIMEOUT, TROUBLE, LOST, NOT_RUN, SKIPPED = 124, 125, 126, 127, 77

EPILOG = f"""
The exit status is the command's own, or {TIMEOUT}: it took too long; {TROUBLE}: it succeeded, but
the kernel log has what no log may have; {LOST}: the VM was lost; {NOT_RUN}: there is no such
command; {SKIPPED}: what it needs is not to be had here. The checkout is at the same path in the
guest, read-only underneath and writable in memory; nothing that the command writes outlives the VM.
"""


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("scripts/vm", description=__doc__, epilog=EPILOG)
    parser.add_argument("--kernel", choices=["stock", "debug", "lockdep"], help="stock unless told")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--qemu", action="append", default=[], metavar="OPTIONS")
    parser.add_argument("--append", default="", help="more words for the kernel's command line")
    parser.add_argument(
        "--nic", action="append", default=[], help="a NIC: usb-net, e1000e, virtio-net-pci, ..."
    )
    parser.add_argument("--shell", action="store_true", help="an interactive shell")
    parser.add_argument("--log", type=Path, help="keep the kernel log in this file")
    parser.add_argument("--expect", action="append", default=[], help="announce trouble (regex)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds")
    parser.add_argument("command", nargs="*", help="a command and its arguments")
    options = parser.parse_args()
    if bool(options.command) == options.shell:
        parser.error("give either a COMMAND or --shell")
    return options


def qemu_options(options: argparse.Namespace) -> list[str]:
    """QEMU's options for the NICs and whatever else was asked for."""
    words = [word for text in options.qemu for word in shlex.split(text)]
    for number, driver in enumerate(options.nic):
        words += ["-netdev", f"user,id=nic{number},restrict=on"]
        place = ",bus=xhci.0" if driver.startswith("usb-") else ""
        words += ["-device", f"{driver},netdev=nic{number},id=dev{number}{place}"]
    return words


def run_command(machine: Machine, options: argparse.Namespace) -> int:
    """Runs the command with its output passed on as it comes."""
    # A single word may be a whole line for the shell.
    command = options.command[0] if len(options.command) == 1 else options.command
    job = machine.spawn(command, on_output=pass_on)
    try:
        status = job.wait(options.timeout / machine.factor).status
    except OSError as err:
        print(f"scripts/vm: {command[0]}: {err.strerror}", file=sys.stderr)
        return NOT_RUN
    return status if status >= 0 else 128 - status


def pass_on(key: str, data: bytes) -> None:
    """Passes output on."""
    stream = sys.stdout.buffer if key == "out" else sys.stderr.buffer
    stream.write(data)
    stream.flush()


def run_shell(machine: Machine) -> int:
    """An interactive shell on a terminal of the guest's."""
    print(f"The modules are in build/{machine.flavour}/; exit ends the VM.", file=sys.stderr)
    size = os.get_terminal_size() if sys.stdin.isatty() else os.terminal_size((80, 24))
    inner = f"stty rows {size.lines} cols {size.columns}; exec bash -i"
    job = machine.spawn(
        ["script", "-qfec", inner, "/dev/null"],
        env={"TERM": os.environ.get("TERM", "dumb")},
        on_output=pass_on,
        keep_stdin=True,
    )
    saved = termios.tcgetattr(0) if sys.stdin.isatty() else None
    try:
        if saved:
            tty.setraw(0)
        while not job.done.is_set():
            if select.select([0], [], [], 0.1)[0]:
                data = os.read(0, 4096)
                job.send(data)
                if not data:
                    break
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
    return job.wait().status


def main() -> int:
    """Boots, runs, judges the log."""
    options = parse()
    try:
        with Machine(
            Path(os.environ["IFREF_KERNEL"]),
            cpus=options.cpus,
            memory=options.memory,
            qemu=qemu_options(options),
            append=options.append,
        ) as machine:
            try:
                with machine.expects(*options.expect):
                    status = run_shell(machine) if options.shell else run_command(machine, options)
                machine.check_log()
            finally:
                if options.log:
                    options.log.write_bytes(machine.console.read_bytes())
            return status
    except VmTimeout as err:
        print(f"scripts/vm: timeout: {err}", file=sys.stderr)
        return TIMEOUT
    except LogTrouble as err:
        print(f"scripts/vm: trouble in {err}", file=sys.stderr)
        return status or TROUBLE
    except VmLost as err:
        print(f"scripts/vm: {err}", file=sys.stderr)
        return LOST
    except Skipped as err:
        print(f"scripts/vm: skipped: {err}", file=sys.stderr)
        return SKIPPED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
