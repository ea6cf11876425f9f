// SPDX-License-Identifier: GPL-2.0

//! What a follow gives.

use crate::{
    devd::object::Use,
    entered::Kept,
    ffi::{
        inet::Address,
        netdevice::{
            NetDevice,
            Stats,
            NAME_SIZE, //
        },
        parent::Placed,
        skbuff::Skb, //
    },
    ifnet::Ifnet,
    lifecycle::Followed,
    text::Text, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// An interface inside a read section that has seen it valid: it cannot be freed, nor lose its
/// operations' preconditions, before the section ends; it may lose VALID. All that it offers may
/// be done in any context but NMI, except where said.
///
/// # Invariants
///
/// The read section `'g` has seen `ifnet` valid and its device `dev` registered.
#[must_use]
pub struct Live<'g> {
    dev: &'g NetDevice,
    ifnet: &'g Ifnet,
}

impl<'g> Live<'g> {
    #[inline]
    pub(crate) fn new(followed: Followed<'g, Ifnet>) -> Self {
        // INVARIANT: what `followed` is evidence of.
        Self {
            dev: Ifnet::followed(&followed),
            ifnet: followed.target(),
        }
    }

    /// Gives it to C.
    pub(crate) fn into_raw(self) -> NonNull<Ifnet> {
        NonNull::from(self.ifnet)
    }

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// From [`Self::into_raw`] in the same read section, `'g`.
    pub(crate) unsafe fn from_raw(ifnet: NonNull<Ifnet>) -> Self {
        // SAFETY: the caller's read section has seen it valid and registered, so that it and its
        // device exist until the section ends. INVARIANT: the same.
        unsafe {
            let ifnet: &'g Ifnet = ifnet.as_ref();
            Self {
                dev: ifnet.device(),
                ifnet,
            }
        }
    }

    /// The ifnet.
    pub(crate) fn ifnet(&self) -> &'g Ifnet {
        self.ifnet
    }

    /// The ifnet, kept for longer: its own memory, not the device's.
    pub(crate) fn keep(&self) -> Arc<Ifnet> {
        Ifnet::keep(self)
    }

    /// The ifnet's serial.
    pub fn serial(&self) -> u64 {
        self.ifnet.serial()
    }

    /// A copy of the name.
    pub fn name(&self) -> Text<NAME_SIZE> {
        self.dev.name()
    }

    /// The index.
    pub fn ifindex(&self) -> i32 {
        self.dev.ifindex()
    }

    /// The link-layer address as of its last change that was told, unless it is being changed.
    pub fn link_address(&self, section: &'g rcu::Guard) -> Option<&'g Address> {
        Some(self.ifnet.link_ifaddr(section)?.address())
    }

    /// The largest payload in bytes.
    pub fn mtu(&self) -> u32 {
        self.dev.mtu()
    }

    /// `IFF_*` as user space sees them.
    pub fn flags(&self) -> u32 {
        self.dev.flags()
    }

    /// The counters. Process context: a driver's own operation may run, and take locks.
    pub fn stats(&self) -> Stats {
        // SAFETY: the type's invariant.
        unsafe { self.dev.stats() }
    }

    /// References to the device that were not made through ifref: without ifref's holds and the
    /// network core's own one. Holder `kernel`.
    pub fn kernel_references(&self) -> i32 {
        (self.dev.refs() - 2 - self.ifnet.uses()).max(0)
    }

    /// Whether it is a virtual link that can be deleted.
    pub fn is_link(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { self.dev.is_link() }
    }

    /// To look up where it is.
    pub(crate) fn placed(&self) -> Placed {
        // SAFETY: the type's invariant.
        unsafe { Placed::new(self.dev) }
    }

    /// Takes what a use keeps: a tracked hold, which delays the device's removal; or, if its driver
    /// is one of ifref's, what only delays that driver's `free`. ENODEV if it is going.
    pub(crate) fn hold(&self) -> Result<Kept> {
        if !self.ifnet.is_driven() {
            return Ok(Kept::Device(self.dev.hold(GFP_ATOMIC)));
        }
        let object = self.ifnet.object().ok_or(ENODEV)?;
        Ok(Kept::Object(Use::new(object).ok_or(ENODEV)?))
    }

    /// Sends a packet by the device, which takes it in any case. Hard interrupts on: process
    /// context or softirq. EINVAL or EMSGSIZE if it is shorter or longer than what the device may
    /// get, else the error is that of `dev_queue_xmit()`.
    pub fn transmit(&self, skb: Skb) -> Result {
        // SAFETY: the type's invariant.
        unsafe { skb.transmit(self.dev) }
    }

    /// The `struct net_device`.
    ///
    /// # Safety
    ///
    /// It is not used after the read section `'g`, and only for what is safe on a device that is
    /// just being unregistered.
    pub unsafe fn as_raw(&self) -> *mut kernel::bindings::net_device {
        self.dev.as_raw()
    }
}
