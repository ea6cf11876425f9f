# SPDX-License-Identifier: GPL-2.0
"""The distinct ways in which a run in the VM can end badly."""


class VmLost(Exception):
    """QEMU ended, the guest panicked, or its agent fell silent."""


class VmTimeout(Exception):
    """A command or a condition took longer than its deadline."""


class CommandFailed(Exception):
    """A command in the guest ended with another status than 0."""


class LogTrouble(Exception):
    """The guest's kernel log has what no log may have, or lacks what was announced."""


class Skipped(Exception):
    """What the run needs is not to be had here."""
