// SPDX-License-Identifier: GPL-2.0

//! `stakes/<ifaddr>:<holder>/`

use crate::{
    ffi::kobject::{
        files,
        Page, //
    },
    stake::Stake, //
};
use kernel::prelude::*;

files! {
    public Stake {
        holder => |stake, page| page.line(fmt!("{}", stake.holder().name().as_str())),
        ifaddr => |stake, page| page.line(fmt!("{}", stake.ifaddr().id())),
        references => |stake, page| page.line(fmt!("{}", stake.references())),
        age => |stake, page| seconds(page, stake.age_ms()),
        packets => |stake, page| page.line(fmt!("{}", stake.packets().now())),
        entered => |stake, page| page.line(fmt!("{}", stake.entries().lock().count())),
        entered_age => |stake, page| {
            let oldest = stake.entries().lock().oldest_ms();
            seconds(page, oldest.unwrap_or(0))
        },
    }
}

fn seconds(page: &mut Page<'_>, ms: i64) -> Result {
    page.line(fmt!("{}.{:03}", ms / 1000, ms % 1000))
}
