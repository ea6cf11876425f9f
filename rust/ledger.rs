// SPDX-License-Identifier: GPL-2.0

//! What was ever made and what has ended: the books that must balance at exit.

use crate::lifecycle::Sums;
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};

/// A pair of counters that only grow.
#[repr(C)]
pub(crate) struct Account {
    made: Atomic<u64>,
    ended: Atomic<u64>,
}

impl Account {
    const fn new() -> Self {
        Self {
            made: Atomic::new(0),
            ended: Atomic::new(0),
        }
    }

    /// One more was made. Any context, as all of these.
    pub(crate) fn make(&self) {
        self.made.add(1, Relaxed);
    }

    /// One has ended.
    pub(crate) fn end(&self) {
        self.ended.add(1, Relaxed);
    }

    /// So many were left behind by others' modules, which are unloaded: that is their end.
    pub(crate) fn leave_behind(&self, count: u64) {
        self.ended.add(count, Relaxed);
    }

    /// Both at once, counted elsewhere.
    pub(crate) fn add(&self, sums: Sums) {
        self.made.add(sums.gets, Relaxed);
        self.ended.add(sums.puts, Relaxed);
    }

    /// Both at once.
    pub(crate) fn sums(&self) -> Sums {
        let puts = self.ended();
        Sums {
            gets: self.made(),
            puts,
        }
    }

    /// How many were ever made.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// How many have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    /// How many there are now.
    pub(crate) fn now(&self) -> u64 {
        // The end of one is counted after its making: read in the other order.
        let ended = self.ended();
        self.made().saturating_sub(ended)
    }
}

/// The accounts. Its first word is a `made`: tests/faults counts that up.
#[repr(C)]
pub(crate) struct Ledger {
    /// Ifnets: adopted, and memory given back.
    pub ifnets: Account,
    /// Holds on net_devices: taken, and let go.
    pub holds: Account,
    /// Ifaddrs: made, and memory given back.
    pub ifaddrs: Account,
    /// References of holders that are no more: taken, and dropped or left behind. Those of the
    /// others are counted by them ([`crate::holder::Holders::sums`]).
    pub references: Account,
    /// Their packets: parked, and sent or freed.
    pub packets: Account,
    /// Uses that sleep: begun, and ended.
    pub entered: Account,
    /// What drivers attach: made, and memory given back.
    pub attachments: Account,
    /// What was left behind until ifref was unloaded.
    pub left_behind: LeftBehind,
    /// How often something (an adoption, a folder, a link, a watch) failed for lack of memory, and was
    /// tried again.
    pub missed: Atomic<u64>,
}

/// What others' modules should have given back, and have not until they were unloaded, nor can
/// now. Nothing of it leads anywhere; the memory of the last two is lost.
pub(crate) struct LeftBehind {
    /// References.
    pub references: Atomic<u64>,
    /// Uses that sleep.
    pub entered: Atomic<u64>,
    /// What drivers have attached.
    pub attachments: Atomic<u64>,
    /// The ifnets of these.
    pub ifnets: Atomic<u64>,
}

/// The module's books.
pub(crate) static LEDGER: Ledger = Ledger {
    ifnets: Account::new(),
    holds: Account::new(),
    ifaddrs: Account::new(),
    references: Account::new(),
    packets: Account::new(),
    entered: Account::new(),
    attachments: Account::new(),
    left_behind: LeftBehind {
        references: Atomic::new(0),
        entered: Atomic::new(0),
        attachments: Atomic::new(0),
        ifnets: Atomic::new(0),
    },
    missed: Atomic::new(0),
};

impl Ledger {
    /// Writes the books to the kernel log, at exit: an error if they do not balance.
    pub(crate) fn close(&self) {
        let books = Books(self);
        let left = &self.left_behind;
        if self.all().iter().any(|(_, account)| account.now() != 0) {
            pr_err!("BUG: ledger: {books}: does not balance\n");
        } else if left.all().iter().any(|(_, count)| *count != 0) {
            pr_warn!("ledger: {books}: balanced, {left} were left behind\n");
        } else {
            pr_info!("ledger: {books}: balanced\n");
        }
    }

    fn all(&self) -> [(&'static str, &Account); 7] {
        [
            ("ifnets", &self.ifnets),
            ("holds", &self.holds),
            ("ifaddrs", &self.ifaddrs),
            ("references", &self.references),
            ("packets", &self.packets),
            ("entered", &self.entered),
            ("attachments", &self.attachments),
        ]
    }
}

impl LeftBehind {
    fn all(&self) -> [(&'static str, u64); 4] {
        [
            ("references", self.references.load(Relaxed)),
            ("uses", self.entered.load(Relaxed)),
            ("attachments", self.attachments.load(Relaxed)),
            ("ifnets", self.ifnets.load(Relaxed)),
        ]
    }
}

/// What there is, in one line.
impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (name, count) in self.all().iter().filter(|(_, count)| *count != 0) {
            write!(f, "{comma}{count} {name}")?;
            comma = ", ";
        }
        Ok(())
    }
}

/// The books in one line: "name made = ended", or "/" where the two differ.
struct Books<'a>(&'a Ledger);

impl fmt::Display for Books<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (name, account) in self.0.all() {
            let Sums { gets, puts } = account.sums();
            let sign = if gets == puts { '=' } else { '/' };
            write!(f, "{comma}{name} {gets} {sign} {puts}")?;
            comma = ", ";
        }
        Ok(())
    }
}
