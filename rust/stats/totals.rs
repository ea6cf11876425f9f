// SPDX-License-Identifier: GPL-2.0

//! Totals of the whole machine: root's.

use crate::{
    ffi::kobject::files,
    holder::Holders,
    ledger::LEDGER, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// The totals; the numbers themselves are in the [`LEDGER`] and with the holders.
pub(crate) struct Totals(pub Arc<Holders>);

files! {
    private Totals {
        adopted => |_, page| page.line(fmt!("{}", LEDGER.ifnets.made())),
        missed => |_, page| page.line(fmt!("{}", LEDGER.missed.load(Relaxed))),
        valid => |_, page| page.line(fmt!("{}", LEDGER.holds.now())),
        invalidated => |_, page| page.line(fmt!("{}", LEDGER.holds.ended())),
        freed => |_, page| page.line(fmt!("{}", LEDGER.ifnets.ended())),
        ifaddrs => |_, page| page.line(fmt!("{}", LEDGER.ifaddrs.now())),
        references => |totals, page| page.line(fmt!("{}", totals.0.references())),
        packets => |totals, page| page.line(fmt!("{}", totals.0.packets().now())),
        entered => |_, page| page.line(fmt!("{}", LEDGER.entered.now())),
    }
}
