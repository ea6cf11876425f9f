# SPDX-License-Identifier: GPL-2.0
"""A command or a question to the guest's agent, and its answer."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import VmTimeout

if TYPE_CHECKING:
    from .machine import Machine


@dataclass
class Result:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class Job:
    """A command that runs in the guest."""

    def __init__(
        self,
        machine: Machine,
        ident: int,
        what: str,
        on_output: Callable[[str, bytes], None] | None = None,
        runs: bool = False,
    ) -> None:
        self.machine = machine
        # Whether it is a program in the guest, and not just a question.
        self.runs = runs
        self.ident = ident
        self.what = what
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.answer: dict | None = None
        self.done = threading.Event()
        self.on_output = on_output

    def take(self, answer: dict) -> None:
        """One answer of the agent's; called by the reader thread."""
        for key, store in (("out", self.stdout), ("err", self.stderr)):
            if key in answer:
                data = base64.b64decode(answer[key])
                store += data
                if self.on_output:
                    self.on_output(key, data)
        if "exit" in answer or "errno" in answer:
            self.answer = answer
            self.done.set()

    def wait(self, timeout: float = 60) -> Result:
        """Waits for the end; ``timeout`` is in seconds of a machine with factor 1."""
        end = time.monotonic() + timeout * self.machine.factor
        while not self.done.wait(0.2):
            self.machine.check_alive()
            if time.monotonic() > end:
                late = f"{self.what}: still running after {timeout * self.machine.factor:.0f} s"
                if not self.runs and self.ident != 0:
                    # The agent itself does these, one after the other.
                    self.machine.lose(f"its agent is silent: {late}")
                raise VmTimeout(late)
        self.machine.check_alive(self.answer is not None)
        if "errno" in self.answer:
            raise OSError(self.answer["errno"], self.answer["message"])
        return Result(
            self.answer["exit"],
            self.stdout.decode(errors="surrogateescape"),
            self.stderr.decode(errors="surrogateescape"),
        )

    def send(self, data: bytes) -> None:
        """More input, for a command whose stdin was kept; nothing ends it."""
        coded = base64.b64encode(data).decode()
        self.machine.request("input", f"input {self.what}", job=self.ident, data=coded)

    def kill(self, signal: int = 9) -> None:
        """Sends a signal to the command and its children, unless it has ended by itself."""
        kill = self.machine.request("kill", f"kill {self.what}", job=self.ident, signal=signal)
        with contextlib.suppress(ProcessLookupError):
            kill.wait(10)
