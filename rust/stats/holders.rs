// SPDX-License-Identifier: GPL-2.0

//! `holders/<name>/`

use crate::{
    ffi::kobject::files,
    holder::Holder, //
};
use kernel::prelude::*;

files! {
    private Holder {
        references => |holder, page| page.line(fmt!("{}", holder.references())),
        gets => |holder, page| page.line(fmt!("{}", holder.sums().gets)),
        puts => |holder, page| page.line(fmt!("{}", holder.sums().puts)),
        refusals => |holder, page| page.line(fmt!("{}", holder.refusals())),
        packets => |holder, page| page.line(fmt!("{}", holder.packets().now())),
        entered => |holder, page| page.line(fmt!("{}", holder.entered())),
        ghost => |holder, page| page.line(fmt!("{}", u8::from(holder.unregistered()))),
    }
}
