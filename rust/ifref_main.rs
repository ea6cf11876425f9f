// SPDX-License-Identifier: GPL-2.0

//! ifref: counted, revocable references to network interfaces.
//!
//! Every interface of the kernel is adopted: an [`Ifnet`] with a serial of its own takes the one hold
//! on the `net_device`. Holders refer to an [`Ifaddr`], whose link to the ifnet is checked at every
//! follow and cut at once when the address or the interface goes. What a [`Holder`] has in one ifaddr
//! is its [`Stake`](stake::Stake). What each file is for is said at its top;
//! `Documentation/design.rst` has the whole.

mod admin;
mod adopt;
mod api;
mod capi;
mod capi_driver;
mod devd;
mod driver;
mod entered;
mod exit;
mod ffi;
mod global;
mod hand;
mod holder;
mod ifaddr;
mod ifnet;
mod index;
mod ledger;
mod lifecycle;
mod live;
mod lookup;
pub mod nic;
mod packet;
mod platform;
mod registry;
mod stake;
mod stats;
mod text;
mod worker;

pub use api::*;

use crate::{
    ffi::{
        debugfs::Controls,
        netdevice,
        notifier::{
            self,
            Inet6Chain,
            InetChain,
            ModuleChain,
            NetdevChain, //
        },
        unload, //
    },
    ledger::LEDGER,
    lifecycle::Cause,
    registry::Registry, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

module! {
    type: Ifref,
    name: "ifref",
    authors: ["The ifref developers"],
    description: "Counted, revocable references to network interfaces",
    license: "GPL",
    params: {
        drain_deadline_ms: u32 {
            default: 10_000,
            description: "Milliseconds until a removal through devd that has not ended is reported",
        },
    },
}

/// The module. Its fields are dropped in their order: the exit, and in reverse the entry.
#[pin_data]
struct Ifref {
    // 1. No users any more: the modules that had some are unloaded.
    #[pin]
    _modules: notifier::Listening<ModuleChain, global::Forgotten>,
    // 2. Nothing is attached any more: drivers keep the module loaded.
    _devd: devd::Running,
    _open: global::Open,
    // 3. No commands any more. References held by hand have kept the module loaded until now.
    _hand: Controls,
    // 4. Nothing is adopted any more, and every hold is dropped: unregistering a notifier may wait
    //    for somebody who waits for the devices.
    _closing: Closing,
    // 5. No calls any more.
    #[pin]
    _inet6: notifier::Listening<Inet6Chain, Registry>,
    #[pin]
    _inet: notifier::Listening<InetChain, Registry>,
    #[pin]
    _netdev: notifier::Listening<NetdevChain, Registry>,
    // 6. What is left is retired, and the books are closed.
    _ending: Ending,
}

impl kernel::InPlaceModule for Ifref {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            // SAFETY: the module's entry runs once, and does this first.
            unsafe { unload::init() };
            let registry = Registry::new()?;
            Ok(Self::start(registry))
        })
    }
}

impl Ifref {
    fn start(registry: Arc<Registry>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _ending: Ending(registry.clone()),
            // SAFETY: the exit drops it.
            _netdev <- unsafe { notifier::Listening::new(NetdevChain, registry.clone()) },
            // SAFETY: the exit drops it.
            _inet <- unsafe { notifier::Listening::new(InetChain, registry.clone()) },
            // SAFETY: the exit drops it.
            _inet6 <- unsafe { notifier::Listening::new(Inet6Chain, registry.clone()) },
            _closing: Closing::after_adoption(registry.clone()),
            _hand: hand::controls(&registry)?,
            // SAFETY: the module's entry runs once.
            _open: unsafe { global::Open::new(registry.clone()) },
            _devd: devd::Running::new(registry.devd())?,
            // After that: it looks.
            // SAFETY: the exit drops it.
            _modules <- unsafe {
                notifier::Listening::new(ModuleChain, Arc::new(global::Forgotten, GFP_KERNEL)?)
            },
        }? Error)
    }
}

struct Closing(Arc<Registry>);

impl Closing {
    /// Adopts the addresses that were there before the chains were listened to: these do not
    /// replay.
    fn after_adoption(registry: Arc<Registry>) -> Self {
        let rtnl = Rtnl::lock();
        if adopt::everything(&registry, &rtnl).is_err() {
            registry.missed();
        }
        drop(rtnl);
        Self(registry)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        let rtnl = Rtnl::lock();
        netdevice::for_each_netdev(&rtnl, |dev| {
            if dev.registered() {
                dev.sysfs_unlink(&rtnl);
            }
        });
        self.0
            .for_each_ifnet(|ifnet| ifnet.invalidate(Cause::Unload));
        self.0.abandon_uses();
    }
}

struct Ending(Arc<Registry>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
        LEDGER.close();
    }
}
