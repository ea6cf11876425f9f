// SPDX-License-Identifier: GPL-2.0

//! Adoption: following every device and every address of the kernel's.
//!
//! Nothing here can fail or delay a registration: what lacks memory is counted and tried again.

use crate::{
    driver,
    ffi::{
        inet::{
            self,
            Address,
            Seen, //
        },
        netdevice::{
            self,
            NetDevice,
            RegState, //
        },
        notifier::{
            AddressEvent,
            BusChain,
            BusEvent,
            Inet6Chain,
            InetChain,
            Listener,
            NetdevChain,
            NetdevEvent, //
        },
        rtnetlink::Rtnl, //
    },
    lifecycle::{
        Cause,
        Invalid,
        Phase, //
    },
    registry::Registry, //
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::Arc, //
};

/// Adopts what is not adopted yet, in every namespace. Sleeps.
pub(crate) fn everything(registry: &Arc<Registry>, rtnl: &Rtnl) -> Result {
    let mut result = Ok(());
    netdevice::for_each_netdev(rtnl, |dev| {
        if dev.registered() {
            if let Err(err) = device(registry, dev) {
                result = Err(err);
            }
            inet::for_each_address(rtnl, dev, |seen| {
                // IPv6 addresses are walked with bottom halves off.
                if let Err(err) = address(registry, &seen, GFP_ATOMIC) {
                    result = Err(err);
                }
            });
        }
    });
    // Folders that could not be made.
    registry.for_each_ifnet(|ifnet| registry.pend_ifnet(ifnet));
    registry.pend_sweep();
    result
}

/// Adopts a registered device with its link-layer address. Under RTNL; sleeps.
fn device(registry: &Arc<Registry>, dev: &NetDevice) -> Result {
    let Some(ifnet) = registry.adopt(dev)? else {
        return Ok(());
    };
    let now = dev.link_address();
    if registry.link_address(ifnet.serial()) != Some(now) {
        registry.remove_addresses(ifnet.serial(), Address::LINK_MIN, Invalid::AddressRemoved);
        registry.add_address(dev, now, 0, GFP_KERNEL, || false)?;
    }
    Ok(())
}

fn address(registry: &Arc<Registry>, seen: &Seen<'_>, flags: Flags) -> Result {
    registry.add_address(seen.dev, seen.address, seen.token, flags, || seen.dead())
}

impl Listener<NetdevChain> for Registry {
    fn event(self: &Arc<Self>, event: NetdevEvent<'_>) {
        match event {
            NetdevEvent::Register(dev) => {
                if let Some(ifnet) = self.find(dev) {
                    // It has arrived in another namespace, though it may be going.
                    if let Some(object) = ifnet.object() {
                        driver::moves(&object, false);
                    }
                    if ifnet.state().is_valid() {
                        ifnet.identify(dev);
                        self.pend_ifnet(&ifnet);
                    }
                }
                if device(self, dev).is_err() {
                    self.missed();
                }
            }
            NetdevEvent::ChangeAddr(dev) => {
                if dev.registered() && device(self, dev).is_err() {
                    self.missed();
                }
            }
            NetdevEvent::ChangeName(dev) => {
                if let Some(ifnet) = self.find(dev) {
                    ifnet.identify(dev);
                }
            }
            NetdevEvent::GoingDown(dev) => {
                if dev.dismantle() {
                    if let Some(ifnet) = self.find(dev) {
                        ifnet.invalidate(Cause::Dismantle);
                    }
                }
            }
            NetdevEvent::Unregister(dev) => self.unregister(dev),
        }
    }
}

impl Registry {
    fn unregister(self: &Arc<Self>, dev: &NetDevice) {
        let Some(ifnet) = self.find(dev) else {
            return;
        };
        match dev.reg_state() {
            RegState::Registered if dev.moving() => {
                if let Some(object) = ifnet.object() {
                    driver::moves(&object, true);
                }
                self.remove_addresses(ifnet.serial(), Address::MIN, Invalid::Moved);
            }
            RegState::Registered => {
                // Our own notifier is being unregistered.
                ifnet.invalidate(Cause::Unload);
                self.finish(&ifnet);
            }
            RegState::Unregistering => {
                ifnet.invalidate(Cause::RegState);
                self.unlinked(&ifnet);
                if !ifnet.identity().net.alive() {
                    self.pend_sweep();
                }
            }
            // Told again and again while the kernel waits for somebody's references.
            RegState::Unregistered => ifnet.state().advance(Phase::Draining),
            RegState::Other => {}
        }
    }

    fn address_event(self: &Arc<Self>, event: AddressEvent<'_>, flags: Flags) {
        match event {
            AddressEvent::Up(seen) => {
                if address(self, &seen, flags).is_err() {
                    self.missed();
                }
            }
            AddressEvent::Down(seen) => {
                self.remove_address(seen.dev, seen.address, seen.token);
            }
        }
    }
}

impl Listener<InetChain> for Registry {
    fn event(self: &Arc<Self>, event: AddressEvent<'_>) {
        self.address_event(event, GFP_KERNEL);
    }
}

impl Listener<Inet6Chain> for Registry {
    fn event(self: &Arc<Self>, event: AddressEvent<'_>) {
        self.address_event(event, GFP_ATOMIC);
    }
}

impl Listener<BusChain> for Registry {
    fn event(self: &Arc<Self>, event: BusEvent) {
        match event {
            BusEvent::Unbind(device) => self.unbinding(device),
            BusEvent::Unbound(device) => {
                if self.unbound(device) {
                    self.heal_soon();
                }
            }
        }
    }
}
