# SPDX-License-Identifier: GPL-2.0
"""What is wrong does not compile: use without the check, what only ifref may do, drivers that break
a promise."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.only("stock")

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
        "<'g>(dev: &'g NetDevice, of: &'g Live<'g>) -> Live<'g> { Live { dev, ifnet: of.ifnet } }",
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
}

# What would free, or follow what is freed, were it there for others (REVIEW H3, by its numbers).
UNSAFE = {
    "1: a stake that is given up while it is referred to": (
        "(reference: &IfaddrRef) { drop(reference.stake().abandon()); }",
        r"method `stake` is private",
    ),
    "1: an address that is cut off": (
        "(reference: &IfaddrRef) { reference.ifaddr().cut(Invalid::Moved); }",
        r"method `ifaddr` is private",
    ),
    "2: what a driver has attached, by its interface": (
        "(live: &Live<'_>) { drop(live.ifnet().object()); }",
        r"method `ifnet` is private",
    ),
    "3: another link-layer address": (
        "(live: &Live<'_>, of: &IfaddrRef) { live.ifnet().set_link_ifaddr(of.ifaddr()); }",
        r"method `ifnet` is private",
    ),
    "4: a hold of the device": (
        "(dev: &NetDevice) -> impl Send { dev.hold(GFP_ATOMIC) }",
        r"method `hold` is private",
    ),
    "4: a device's counters, registered or not": (
        "(dev: &NetDevice) { let _ = dev.stats(); }",
        r"method `stats` is private",
    ),
    "4: a device's kind of link, registered or not": (
        "(dev: &NetDevice) -> bool { dev.is_link() }",
        r"method `is_link` is private",
    ),
    "4: a device that is kept beyond RTNL": (
        """(entered: &ifref::Entered) -> Option<&NetDevice> {
            entered.registered_device(&ifref::Rtnl::lock())
        }""",
        r"cannot return value referencing temporary value",
    ),
    "5: a device that is deleted, link or not": (
        "(dev: &NetDevice, rtnl: &ifref::Rtnl) { dev.delete_link(rtnl); }",
        r"method `delete_link` is private",
    ),
    "6: a packet that is sent outside of a read section": (
        "(skb: ifref::Skb, dev: &NetDevice) -> Result { skb.transmit(dev) }",
        r"method `transmit` is private",
    ),
    "6: a parked packet that is sent past the check": (
        "(packet: &Packet, dev: &NetDevice) -> Result { packet.skb().transmit(dev) }",
        r"method `transmit` is private",
    ),
    "7: the registry": (
        "(reference: &IfaddrRef) { reference.ifaddr().registry().close(); }",
        r"method `ifaddr` is private",
    ),
    "7: an interface's state": (
        "(entered: &ifref::Entered) { let _ = entered.ifnet().state(); }",
        r"no method named `ifnet` found for reference `&(ifref::)?Entered`",
    ),
    "7: an interface that no list takes any more": (
        """(live: &Live<'_>) -> bool {
            kernel::list::TryNewListArc::<1>::try_new_list_arc(live.ifnet())
        }""",
        r"method `ifnet` is private",
    ),
    "7: a holder that no list takes any more": (
        """(registration: &ifref::Registration) -> bool {
            kernel::list::TryNewListArc::<1>::try_new_list_arc(registration.holder())
        }""",
        r"method `holder` is private",
    ),
    "8: a thread that no module answers for": (
        """<T: ifref::Task>(task: kernel::sync::Arc<T>) {
            let _ = ifref::Thread::new(c"case", task);
        }""",
        r"this function takes 3 arguments but 2 arguments were supplied",
    ),
    "8: a capture that no module answers for": (
        """<R: ifref::Receive>(receiver: kernel::sync::Arc<R>) {
            let _ = ifref::Capture::new(receiver);
        }""",
        r"this function takes 2 arguments but 1 argument was supplied",
    ),
    "8: a listener that no module answers for": (
        """<L: ifref::Listener<ifref::FibChain> + 'static>(listener: kernel::sync::Arc<L>) {
            let _ = ifref::Listening::new(ifref::FibChain, listener);
        }""",
        r"this function takes 3 arguments but 2 arguments were supplied",
    ),
    "8: a listener that does not live as long": (
        """<'a, L: ifref::Listener<ifref::FibChain> + 'a>(
            module: &'static ThisModule,
            listener: kernel::sync::Arc<L>,
            _: &'a u32,
        ) {
            let _ = ifref::Listening::new(module, ifref::FibChain, listener);
        }""",
        r"the parameter type `L` may not live long enough",
    ),
    "a packet that two threads clone": (
        "(packet: Packet) -> impl Sync { packet }",
        r"`NonNull<(\w+::)*sk_buff>` cannot be shared between threads safely",
    ),
    "RTNL in another thread": (
        "(rtnl: ifref::Rtnl) -> impl Send { rtnl }",
        r"`\*mut \(\)` cannot be sent between threads safely",
    ),
    "RTNL that nobody has taken": (
        "() -> impl Sized { unsafe { ifref::Rtnl::taken() } }",
        r"associated function `taken` is private",
    ),
    "who administers a namespace that has gone": (
        "(net: &ifref::Net) -> bool { net.administered() }",
        r"method `administered` is private",
    ),
}

# What each case of a driver is put after: a driver that lacks the case only.
DRIVER = """
//! A driver.
use ifref::nic::{Attachment, Config, Driver, Nic, Operations, Poll, Skb, Weak};
use kernel::prelude::*;
module! {
    type: Module,
    name: "case",
    authors: ["The ifref developers"],
    description: "A case",
    license: "GPL",
}
/// The module.
pub struct Module;
impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
/// The softc.
pub struct Softc {
    number: u32,
}
#[vtable]
impl Operations for Softc {
    const NAME: &'static str = "case";
    fn start_xmit(&self, _nic: &Nic<Self>, skb: Skb) {
        drop(skb);
    }
}
"""

GUIDE = Path(__file__).parents[1] / "Documentation/drivers.rst"
MAIN = Path(__file__).parents[1] / "rust/ifref_main.rs"

GOOD_DRIVER = {
    "a probe, whose errors go to the caller": """
        /// The case.
        pub fn case(driver: &Driver<Softc>) -> Result<Attachment<Softc>> {
            Attachment::new(driver, &Config::default(), Softc { number: 0 })
        }
    """,
    "an interrupt": """
        /// The case.
        #[deny(warnings)]
        pub fn case(weak: &Weak<Softc>) -> bool {
            let Some(nic) = weak.hold() else {
                return false;
            };
            nic.schedule();
            nic.softc().number == 0
        }
    """,
    "an interface that has gone": """
        /// The case.
        #[deny(warnings)]
        pub fn case(attachment: Attachment<Softc>) -> impl Send + Sync + 'static {
            let weak = attachment.clone();
            drop(attachment);
            weak.detach();
            weak
        }
    """,
}

BAD_DRIVER = {
    "an attachment that nobody keeps": (
        """
        /// The case.
        #[deny(warnings)]
        pub fn case(driver: &Driver<Softc>) -> Result {
            Attachment::new(driver, &Config::default(), Softc { number: 0 })?;
            Ok(())
        }
        """,
        r"unused `(\w+::)*Attachment(<Softc>)?` that must be used",
    ),
    "a driver that nobody keeps": (
        """
        /// The case.
        #[deny(warnings)]
        pub fn case() -> Result {
            Driver::<Softc>::register()?;
            Ok(())
        }
        """,
        r"unused `(\w+::)*Driver(<Softc>)?` that must be used",
    ),
    "an attachment that has two owners": (
        "fn case(attachment: &Attachment<Softc>) -> Attachment<Softc> { attachment.clone() }",
        r"mismatched types",
    ),
    "an attachment of another driver's": (
        """
        struct Other;
        #[vtable]
        impl Operations for Other {
            const NAME: &'static str = "other";
            fn start_xmit(&self, _nic: &Nic<Self>, _skb: Skb) {}
        }
        fn case(driver: &Driver<Softc>) -> Result<Attachment<Other>> {
            Attachment::new(driver, &Config::default(), Other)
        }
        """,
        r"mismatched types",
    ),
    "a detach after which it is used": (
        "fn case(attachment: Attachment<Softc>) { drop(attachment); attachment.hold(); }",
        r"borrow of moved value: `attachment`",
    ),
    "the softc without a hold": (
        "fn case(attachment: &Attachment<Softc>) -> u32 { attachment.softc().number }",
        r"no method named `softc` found for reference `&(\w+::)*Attachment<Softc>`",
    ),
    "a hold that is not looked at": (
        "fn case(weak: &Weak<Softc>) -> u32 { weak.hold().softc().number }",
        r"no method named `softc` found for enum `(\w+::)*Option`",
    ),
    "the softc after the hold": (
        """
        fn case(weak: &Weak<Softc>) -> Option<u32> {
            let softc = {
                let held = weak.hold()?;
                held.softc()
            };
            Some(softc.number)
        }
        """,
        r"`held` does not live long enough",
    ),
    "the interface after the operation": (
        "fn case(nic: &Nic<Softc>) -> &'static Nic<Softc> { nic }",
        r"lifetime may not live long enough",
    ),
    "the softc after the operation": (
        "fn case(nic: &Nic<Softc>) -> &'static Softc { nic.softc() }",
        r"lifetime may not live long enough",
    ),
    "the device itself": (
        "fn case(nic: &Nic<Softc>) -> usize { nic.raw() as usize }",
        r"method `raw` is private",
    ),
    "a packet that is handed on twice": (
        "fn case(nic: &Nic<Softc>, skb: Skb) { nic.receive(skb); nic.receive(skb); }",
        r"use of moved value: `skb`",
    ),
    "a packet that is read after it was handed on": (
        """
        fn case(nic: &Nic<Softc>, skb: Skb) -> usize {
            let data = skb.data();
            nic.receive(skb);
            data.len()
        }
        """,
        r"cannot move out of `skb` because it is borrowed",
    ),
    "a packet that is sent past the core's queues": (
        "fn case(nic: &Nic<Softc>, skb: Skb) -> Result { skb.transmit(nic) }",
        r"method `transmit` is private",
    ),
    "a poll that is none": (
        """
        fn case(nic: &Nic<Softc>, skb: Skb) {
            let mut skb = Some(skb);
            Poll { nic, budget: 64, done: 0 }.deliver(|| skb.take());
        }
        """,
        r"cannot construct `.*Poll<.*>`|fields? .* of struct `.*Poll` (is|are) private",
    ),
    "a poll in another thread": (
        """
        fn send(_: impl Send) {}
        fn case(poll: &mut Poll<'_, Softc>) { send(poll); }
        """,
        r"`\*mut \(\)` cannot be sent between threads safely",
    ),
    "a softc that only one thread may use": (
        """
        struct Other(core::cell::Cell<u32>);
        #[vtable]
        impl Operations for Other {
            const NAME: &'static str = "other";
            fn start_xmit(&self, _nic: &Nic<Self>, _skb: Skb) { self.0.set(1); }
        }
        """,
        r"`(\w+::)*Cell<u32>` cannot be shared between threads safely",
    ),
    "a softc that keeps what it may not": (
        """
        struct Other<'a>(&'a Nic<Softc>);
        #[vtable]
        impl Operations for Other<'_> {
            const NAME: &'static str = "other";
            fn start_xmit(&self, _nic: &Nic<Self>, _skb: Skb) {}
        }
        """,
        r"does not fulfill the required lifetime",
    ),
    "a driver that cannot send": (
        """
        struct Other;
        #[vtable]
        impl Operations for Other {
            const NAME: &'static str = "other";
        }
        """,
        r"not all trait items implemented, missing: `start_xmit`",
    ),
    "operations that are not marked": (
        """
        struct Other;
        impl Operations for Other {
            const NAME: &'static str = "other";
            fn start_xmit(&self, _nic: &Nic<Self>, _skb: Skb) {}
        }
        """,
        r"not all trait items implemented, missing: .*`USE_VTABLE_ATTR`",
    ),
}


def compile(module: Path, code: str, tmp_path: Path) -> subprocess.CompletedProcess:
    """Compiles a case as the sample prober was compiled."""
    source = tmp_path / "case.rs"
    source.write_text(code)
    build = module.parent
    commands = (build / "samples/prober/.prober.o.cmd").read_text().splitlines()
    command = commands[0].split(" := ", 1)[1].split(" ;")[0]
    command = re.sub(r" --out-dir .*", f" --out-dir {tmp_path} --emit=metadata {source}", command)
    # As the kernel's Makefile does.
    env = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
    return subprocess.run(command, shell=True, cwd=build, env=env, capture_output=True, text=True)


def compiles(module: Path, code: str, tmp_path: Path) -> None:
    """What is right does, so that the others fail for their own reason."""
    result = compile(module, code, tmp_path)
    assert result.returncode == 0, result.stderr


def fails(module: Path, code: str, error: str, tmp_path: Path) -> None:
    """What is wrong does not compile, and the compiler says why."""
    result = compile(module, code, tmp_path)
    assert result.returncode != 0, "it compiles"
    errors = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert any(re.search(error, line) for line in errors), result.stderr


@pytest.mark.issue(4)
@pytest.mark.parametrize("what", GOOD)
def test_compiles(module: Path, tmp_path: Path, what: str) -> None:
    """P4: a holder that checks."""
    compiles(module, FRAME.format(code=GOOD[what]), tmp_path)


@pytest.mark.issue(4)
@pytest.mark.parametrize("what", BAD)
def test_does_not_compile(module: Path, tmp_path: Path, what: str) -> None:
    """P4: a holder that does not."""
    code, error = BAD[what]
    fails(module, FRAME.format(code=code), error, tmp_path)


@pytest.mark.issue(16)
@pytest.mark.parametrize("what", UNSAFE)
def test_safe_code_cannot(module: Path, tmp_path: Path, what: str) -> None:
    """What is unsafe is not there without ``unsafe``."""
    code, error = UNSAFE[what]
    fails(module, FRAME.format(code=code), error, tmp_path)


@pytest.mark.issue(16)
def test_modules_are_private(module: Path, tmp_path: Path) -> None:
    """Of the crate only what rust/api.rs lists, and ``ifref::nic``, is reachable."""
    modules = re.findall(r"^(?:pub(?:\(.*\))? )?mod (\w+);", MAIN.read_text(), re.MULTILINE)
    assert len(modules) > 20
    modules.remove("nic")
    uses = "".join(f"pub use ifref::{name}::*;\n" for name in modules)
    result = compile(module, "//! A user.\n" + uses, tmp_path)
    private = re.findall(r"^error\[E0603\]: module `(\w+)` is private", result.stderr, re.MULTILINE)
    assert sorted(private) == sorted(modules), result.stderr


@pytest.mark.issue(6)
@pytest.mark.parametrize("what", GOOD_DRIVER)
def test_driver_compiles(module: Path, tmp_path: Path, what: str) -> None:
    """A driver that does what it should."""
    compiles(module, DRIVER + GOOD_DRIVER[what], tmp_path)


@pytest.mark.issue(6)
def test_the_guides_driver_compiles(module: Path, tmp_path: Path) -> None:
    """The one in Documentation/drivers.rst."""
    block = re.search(r"::\n\n((?: {4}.*\n|\n)+)", GUIDE.read_text())
    assert block, "there is none"
    compiles(module, "//! A driver.\n" + textwrap.dedent(block[1]), tmp_path)


@pytest.mark.issue(6)
@pytest.mark.parametrize("what", BAD_DRIVER)
def test_driver_does_not_compile(module: Path, tmp_path: Path, what: str) -> None:
    """A driver that breaks a promise of the detach."""
    code, error = BAD_DRIVER[what]
    fails(module, DRIVER + code, error, tmp_path)
