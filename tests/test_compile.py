# SPDX-License-Identifier: GPL-2.0
"""P4: code that uses an interface without the check does not compile."""

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.issue(4)

# What each case is put into; a sample is built with the same flags.
FRAME = """
//! A user of ifref's.
use ifref::{{IfaddrRef, Invalid, Live, NetDevice, Packet, Slot}};
use kernel::{{prelude::*, sync::rcu}};
/// The case.
#[deny(warnings)]
pub fn case{code}
"""

GOOD = {
    "a follow with the check": """(slot: &mut Slot) -> Option<u32> {
        let section = rcu::read_lock();
        match slot.follow(&section) {
            Ok(live) => Some(live.mtu()),
            Err(Invalid::Detached | Invalid::AddressRemoved | Invalid::Moved) => None,
        }
    }""",
    "a reference that goes to another thread": """(reference: IfaddrRef) -> impl Send + Sync {
        reference
    }""",
}

BAD = {
    "a use without the check": (
        "(slot: &mut Slot) -> u32 { slot.follow(&rcu::read_lock()).mtu() }",
        r"no method named `mtu` found for enum `(core::result::)?Result`",
    ),
    "a use of the reference itself": (
        "(reference: &IfaddrRef) -> u32 { reference.mtu() }",
        r"no method named `mtu` found for reference `&IfaddrRef`",
    ),
    "a check whose answer is not looked at": (
        "(slot: &mut Slot) { slot.follow(&rcu::read_lock()); }",
        r"unused `(core::result::)?Result` that must be used",
    ),
    "a follow outside of a read section": (
        "(slot: &mut Slot) -> bool { slot.follow().is_ok() }",
        r"this method takes 1 argument but 0 arguments were supplied",
    ),
    "a use after the read section": (
        """(reference: &IfaddrRef) -> Option<u32> {
            let live = {
                let section = rcu::read_lock();
                reference.try_follow(&section)
            };
            live.ok().map(|live| live.mtu())
        }""",
        r"`section` does not live long enough",
    ),
    "an interface that is kept": (
        """(reference: &IfaddrRef) -> Option<Live<'static>> {
            let section = rcu::read_lock();
            reference.try_follow(&section).ok()
        }""",
        r"cannot return value referencing local variable|lifetime may not live long enough",
    ),
    "a slot that is emptied while it is followed": (
        """(slot: &mut Slot) -> Option<u32> {
            let section = rcu::read_lock();
            let live = slot.follow(&section).ok()?;
            drop(slot.take());
            Some(live.mtu())
        }""",
        r"cannot borrow `\*slot` as mutable more than once at a time",
    ),
    "a reference that is used after its end": (
        """(reference: IfaddrRef) -> bool {
            drop(reference);
            reference.try_follow(&rcu::read_lock()).is_ok()
        }""",
        r"borrow of moved value: `reference`",
    ),
    "an interface made by hand": (
        "<'g>(dev: &'g NetDevice, ifnet: &'g ifref::Ifnet) -> Live<'g> { Live { dev, ifnet } }",
        r"fields? `.*` of struct `(ifref::)?Live` (is|are) private",
    ),
    "the pointer without unsafe": (
        """(slot: &mut Slot) -> bool {
            let section = rcu::read_lock();
            slot.follow(&section).is_ok_and(|live| live.as_raw().is_null())
        }""",
        r"call to unsafe function .*as_raw.* is unsafe",
    ),
    "a packet that is sent twice": (
        "(packet: Packet) -> Result { packet.transmit()?; packet.transmit() }",
        r"use of moved value: `packet`",
    ),
    "a parked packet that is sent past the check": (
        "(packet: &Packet, dev: &NetDevice) -> Result { packet.skb().transmit(dev) }",
        r"cannot move out of a shared reference",
    ),
}


def compile(module: Path, code: str, tmp_path: Path) -> subprocess.CompletedProcess:
    """Compiles a case as the sample prober was compiled."""
    source = tmp_path / "case.rs"
    source.write_text(FRAME.format(code=code))
    build = module.parent
    commands = (build / "samples/prober/.prober.o.cmd").read_text().splitlines()
    command = commands[0].split(" := ", 1)[1].split(" ;")[0]
    command = re.sub(r" --out-dir .*", f" --out-dir {tmp_path} --emit=metadata {source}", command)
    # As the kernel's Makefile does.
    env = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
    return subprocess.run(command, shell=True, cwd=build, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("what", GOOD)
def test_compiles(module: Path, tmp_path: Path, what: str) -> None:
    """What is right compiles, so that the others fail for their own reason."""
    result = compile(module, GOOD[what], tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("what", BAD)
def test_does_not_compile(module: Path, tmp_path: Path, what: str) -> None:
    """What is wrong does not, and the compiler says why."""
    code, error = BAD[what]
    result = compile(module, code, tmp_path)
    assert result.returncode != 0, "it compiles"
    errors = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert any(re.search(error, line) for line in errors), result.stderr
