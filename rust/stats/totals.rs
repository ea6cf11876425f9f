// SPDX-License-Identifier: GPL-2.0

//! Totals of the whole machine: root's.

use crate::{
    ffi::kobject::files,
    ledger::LEDGER, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

/// The totals; the numbers themselves are in the [`LEDGER`].
pub struct Totals;

files! {
    private Totals {
        adopted => |_, page| page.line(fmt!("{}", LEDGER.ifnets.made())),
        missed => |_, page| page.line(fmt!("{}", LEDGER.missed.load(Relaxed))),
        valid => |_, page| page.line(fmt!("{}", LEDGER.holds.now())),
        invalidated => |_, page| page.line(fmt!("{}", LEDGER.holds.ended())),
        freed => |_, page| page.line(fmt!("{}", LEDGER.ifnets.ended())),
        ifaddrs => |_, page| page.line(fmt!("{}", LEDGER.ifaddrs.now())),
        references => |_, page| page.line(fmt!("{}", LEDGER.references.now())),
    }
}
