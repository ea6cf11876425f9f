// SPDX-License-Identifier: GPL-2.0

//! `ifaddrs/<id>/`

use crate::{
    ffi::kobject::files,
    ifaddr::Ifaddr, //
};
use kernel::prelude::*;

files! {
    public Ifaddr {
        ifnet => |ifaddr, page| page.line(fmt!("{}", ifaddr.serial())),
        interface => |ifaddr, page| page.line(fmt!("{}", ifaddr.interface().as_str())),
        address => |ifaddr, page| page.line(fmt!("{}", ifaddr.address().text().as_str())),
        family => |ifaddr, page| page.line(fmt!("{}", ifaddr.address().family())),
        valid => |ifaddr, page| page.line(fmt!("{}", u8::from(ifaddr.invalid().is_none()))),
        reason => |ifaddr, page| {
            page.line(fmt!("{}", ifaddr.invalid().map_or("none", |reason| reason.name())))
        },
        references => |ifaddr, page| page.line(fmt!("{}", ifaddr.references())),
    }
}
