// SPDX-License-Identifier: GPL-2.0

//! What was ever made and what has ended: the books that must balance at exit.

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};

/// A pair of counters that only grow.
pub struct Account {
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
    pub fn make(&self) {
        self.made.add(1, Relaxed);
    }

    /// One has ended.
    pub fn end(&self) {
        self.ended.add(1, Relaxed);
    }

    /// How many were ever made.
    pub fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// How many have ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    /// How many there are now.
    pub fn now(&self) -> u64 {
        // The end of one is counted after its making: read in the other order.
        let ended = self.ended();
        self.made().saturating_sub(ended)
    }
}

/// The accounts.
pub struct Ledger {
    /// Ifnets: adopted, and memory given back.
    pub ifnets: Account,
    /// Holds on net_devices: taken, and let go.
    pub holds: Account,
    /// Ifaddrs: made, and memory given back.
    pub ifaddrs: Account,
    /// References of holders: taken, and dropped.
    pub references: Account,
    /// How often something (an adoption, a folder, a link, a watch) failed for lack of memory, and was
    /// tried again.
    pub missed: Atomic<u64>,
}

/// The module's books.
pub static LEDGER: Ledger = Ledger {
    ifnets: Account::new(),
    holds: Account::new(),
    ifaddrs: Account::new(),
    references: Account::new(),
    missed: Atomic::new(0),
};

impl Ledger {
    /// Writes the books to the kernel log, at exit: an error if they do not balance.
    pub fn close(&self) {
        let all = [&self.ifnets, &self.holds, &self.ifaddrs, &self.references];
        let [ifnets, holds, ifaddrs, references] =
            all.map(|account| (account.made(), account.ended()));
        if all.iter().all(|account| account.now() == 0) {
            pr_info!(
                "ledger: ifnets {} = {}, holds {} = {}, ifaddrs {} = {}, references {} = {}: balanced\n",
                ifnets.0, ifnets.1, holds.0, holds.1, ifaddrs.0, ifaddrs.1, references.0, references.1
            );
        } else {
            pr_err!(
                "BUG: ledger: ifnets {} / {}, holds {} / {}, ifaddrs {} / {}, references {} / {}: does not balance\n",
                ifnets.0, ifnets.1, holds.0, holds.1, ifaddrs.0, ifaddrs.1, references.0, references.1
            );
        }
    }
}
