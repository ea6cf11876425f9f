# SPDX-License-Identifier: GPL-2.0
"""The virtual machine that tests, the demo and ``scripts/vm`` run in."""

from .errors import CommandFailed, LogTrouble, Skipped, VmLost, VmTimeout
from .job import Result
from .machine import Machine

__all__ = ["CommandFailed", "LogTrouble", "Machine", "Result", "Skipped", "VmLost", "VmTimeout"]
