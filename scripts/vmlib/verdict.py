# SPDX-License-Identifier: GPL-2.0
"""What no kernel log of a run may have."""

import re
from dataclasses import dataclass, field

TROUBLE = re.compile(
    r"""BUG[: ]|WARNING:|Oops|Kernel\ panic|general\ protection|Call\ Trace|\bsplat\b
    |possible\ (circular|recursive)\ locking|suspicious\ RCU|INFO:\ (task|rcu|possible|trying)
    |KASAN|UBSAN|KCSAN|kmemleak|slab-|[Uu]nable\ to\ handle|soft\ lockup|hard\ LOCKUP
    |refcount_t|list_(add|del)\ corruption|stack\ segment|double\ fault
    |waiting\ for\ \S+\ to\ become\ free|cannot\ create\ duplicate|kobject.*(failed|tried)
    |scheduling\ while\ atomic|sleeping\ function\ called|bad:\ |leaked\ reference
    |does\ not\ balance|ref_tracker|segfault""",
    re.VERBOSE,
)

# Lines of the stock kernel's boot that only look like trouble, each with its reason.
HARMLESS = [
    # A command-line option of the kernel's, echoed.
    re.compile(r"Command line:|Kernel command line:"),
    # kmemleak says that it is off.
    re.compile(r"kmemleak: Kernel memory leak detector (disabled|initialized)"),
]


@dataclass
class Verdict:
    """Reads a log bit by bit and collects trouble that nobody announced."""

    troubles: list[str] = field(default_factory=list)
    expected: list[re.Pattern] = field(default_factory=list)
    came: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)

    def feed(self, text: str) -> None:
        """Judges the next lines of the log."""
        for line in text.splitlines():
            self.lines.append(line)
            hits = [known for known in self.expected if known.search(line)]
            self.came.update(known.pattern for known in hits)
            harmless = hits or any(known.search(line) for known in HARMLESS)
            if TROUBLE.search(line) and not harmless:
                self.troubles.append("\n".join(self.lines[-4:]))

    def take(self) -> list[str]:
        """The trouble since the last call."""
        found, self.troubles = self.troubles, []
        return found
