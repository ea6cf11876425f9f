// SPDX-License-Identifier: GPL-2.0

//! Routes.
//!
//! C header: [`include/net/ip_fib.h`](srctree/include/net/ip_fib.h)

use super::{
    bindings,
    netdevice::NetDevice,
    notifier::Chain, //
};
use core::net::Ipv4Addr;
use kernel::{
    bindings::notifier_block,
    ffi::{c_int, c_void}, //
};

/// IPv4 routes of the initial namespace. Registration replays those there are; events come inside
/// an RCU read section, mostly under RTNL.
#[derive(Clone, Copy)]
pub struct FibChain;

/// One IPv4 route.
pub struct Route<'a> {
    /// The table.
    pub table: u32,
    /// The network.
    pub dst: Ipv4Addr,
    /// The length of the network's prefix.
    pub len: u32,
    /// The device of the first next hop, if the route leads anywhere.
    pub dev: Option<&'a NetDevice>,
}

impl Route<'_> {
    /// The number of the main table.
    pub const MAIN: u32 = bindings::IFREF_RT_TABLE_MAIN;
}

/// What [`FibChain`] tells.
pub enum FibEvent<'a> {
    /// The route to its network is this one from now on.
    Replace(Route<'a>),
    /// There is no route to its network any more.
    Delete(Route<'a>),
}

impl Chain for FibChain {
    const PRIORITY: c_int = 0;

    type Event<'a> = FibEvent<'a>;

    unsafe fn decode<'a>(event: u32, data: *mut c_void) -> Option<FibEvent<'a>> {
        let make = match event {
            bindings::IFREF_FIB_REPLACE => FibEvent::Replace,
            bindings::IFREF_FIB_DEL => FibEvent::Delete,
            _ => return None,
        };
        let mut route = bindings::ifref_route {
            table: 0,
            dst: 0,
            len: 0,
            dev: core::ptr::null_mut(),
        };
        // SAFETY: the data of these events is a `fib_notifier_info`; `route` is writable.
        if !unsafe { bindings::ifref_fib_route(data, &mut route) } {
            return None;
        }
        // SAFETY: a next hop keeps its device; both are there until the call returns.
        let dev = (!route.dev.is_null()).then(|| unsafe { NetDevice::from_raw(route.dev) });
        Some(make(Route {
            table: route.table,
            dst: Ipv4Addr::from(route.dst),
            len: route.len,
            dev,
        }))
    }

    unsafe fn listen(self, nb: *mut notifier_block) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_fib_listen(nb) }
    }

    unsafe fn unlisten(self, nb: *mut notifier_block) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_fib_unlisten(nb) }
    }
}
