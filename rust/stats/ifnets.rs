// SPDX-License-Identifier: GPL-2.0

//! `ifnets/<serial>/`

use crate::{
    admin,
    ffi::kobject::files,
    ifnet::Ifnet, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

files! {
    public Ifnet {
        name => |ifnet, page| page.line(fmt!("{}", ifnet.identity().name.as_str())),
        ifindex => |ifnet, page| page.line(fmt!("{}", ifnet.identity().ifindex)),
        netns => |ifnet, page| page.line(fmt!("{}", ifnet.identity().net.inum())),
        driver => |ifnet, page| page.line(fmt!("{}", ifnet.driver().as_str())),
        bus_path => |ifnet, page| page.line(fmt!("{}", ifnet.bus_path().as_str())),
        state => |ifnet, page| page.line(fmt!("{}", ifnet.state().phase().name())),
        valid => |ifnet, page| page.line(fmt!("{}", u8::from(ifnet.live(&rcu::read_lock()).is_ok()))),
        age => |ifnet, page| {
            let ms = ifnet.age_ms();
            page.line(fmt!("{}.{:03}", ms / 1000, ms % 1000))
        },
        references => |ifnet, page| page.line(fmt!("{}", ifnet.references())),
        veto => |ifnet, page| {
            let veto = ifnet.object().and_then(|object| object.veto());
            match veto {
                Some(veto) => page.line(fmt!("{}", veto.reason.as_str())),
                None => page.line(fmt!("none")),
            }
        },
        softc_holds => |ifnet, page| {
            page.line(fmt!("{}", ifnet.object().map_or(0, |object| object.holds())))
        },
        kernel_references => |ifnet, page| {
            let section = rcu::read_lock();
            let live = ifnet.live(&section).map_err(crate::registry::errno)?;
            page.line(fmt!("{}", live.kernel_references()))
        },
    }
    write {
        detach => |ifnet, text| match text {
            "1" => admin::detach(ifnet),
            _ => Err(EINVAL),
        },
    }
}
