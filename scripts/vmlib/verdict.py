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
    |does\ not\ balance|ref_tracker|segfault|printk\ messages\ dropped|ODEBUG
    |turning\ off\ the\ locking|not\ ok\ \d|Freeing\ alive|Attempt\ to\ release
    |stalled\ pool\ shutdown|already\ exists\ in""",
    re.VERBOSE,
)

# Lines of the stock kernel's boot that only look like trouble, each with its reason.
HARMLESS = [
    # A command-line option of the kernel's, echoed.
    re.compile(r"Command line:|Kernel command line:"),
    # kmemleak says that it is off.
    re.compile(r"kmemleak: Kernel memory leak detector (disabled|initialized)"),
]

# A report between these lines is one trouble, whatever words it is made of.
BEGIN, END = "[ cut here ]", "[ end trace "
# A back trace belongs to the report above it, if that has one and is no farther up than this.
TRACE, REACH = "Call Trace", 60
TRACED = re.compile(r"BUG|WARNING|INFO")


@dataclass
class Verdict:
    """Reads a log bit by bit and collects trouble that nobody announced."""

    troubles: list[str] = field(default_factory=list)
    expected: list[re.Pattern] = field(default_factory=list)
    came: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    # Where the report began that is being read, and where the last one with a trace was.
    begun: int | None = None
    last: int = -REACH

    def feed(self, text: str) -> None:
        """Judges the next lines of the log."""
        for line in text.splitlines():
            self.lines.append(line)
            if BEGIN in line:
                self.begun = len(self.lines) - 1
            elif self.begun is None:
                self.judge(len(self.lines) - 1)
            elif END in line:
                self.judge(self.begun)

    def judge(self, begin: int) -> None:
        """Judges the last lines as a whole."""
        self.begun = None
        report = self.lines[begin:]
        hits = {known.pattern for known in self.expected if any(map(known.search, report))}
        self.came |= hits
        bad = [
            line
            for line in report
            if TROUBLE.search(line) and not any(known.search(line) for known in HARMLESS)
        ]
        if not bad:
            return
        continues = len(report) == 1 and TRACE in report[0] and begin - self.last <= REACH
        if any(map(TRACED.search, bad)):
            self.last = len(self.lines)
        if not hits and not continues:
            self.troubles.append("\n".join(self.lines[max(0, begin - 3) :]))

    def take(self) -> list[str]:
        """The trouble since the last call."""
        if self.begun is not None:
            self.judge(self.begun)
        found, self.troubles = self.troubles, []
        return found
