// SPDX-License-Identifier: GPL-2.0

//! Network devices of drivers in Rust: what is below [`crate::nic`].
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/linux/etherdevice.h`](srctree/include/linux/etherdevice.h),
//! [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h), `include/ifref.h`

mod code;
mod made;

pub(crate) use code::Code;
pub(crate) use code::Table;
pub(crate) use made::{
    Made,
    Place, //
};

use super::{
    bindings::{
        self,
        net_device, //
    },
    netdevice::{
        NetDevice,
        NAME_SIZE, //
    },
    skbuff::Skb, //
};
use crate::{
    devd::Object,
    nic::Operations,
    text::Text, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ops::RangeInclusive,
    ptr::NonNull, //
};
use kernel::{
    ffi::c_int,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic},
        rcu,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// Length of an Ethernet address.
pub const ADDRESS_SIZE: usize = bindings::IFREF_ETH_ALEN as usize;

/// An Ethernet address.
pub type Address = [u8; ADDRESS_SIZE];

/// The largest payload, and MTU, of Ethernet as it once was.
pub const DEFAULT_MTU: u32 = bindings::IFREF_ETH_DATA_LEN;

/// What an MTU may be: the core wants as much as IPv4 needs.
const MTUS: RangeInclusive<u32> = 68..=65_535;

/// Counters of a device, as [`Operations::get_stats64`] gives them.
pub use bindings::ifref_link_stats as LinkStats;

/// What a device has of its driver's.
#[pin_data]
struct Private<T: Operations> {
    #[pin]
    softc: T,
    // How many polls are between their end and that of `polled`.
    completing: Atomic<i32>,
    object: Arc<Object>,
}

/// An interface of a driver's, and its softc.
///
/// # Invariants
///
/// While a `&Nic<T>` exists the device does, and its private data is a [`Private<T>`]; its object
/// is to be attached, or was. What says "while registered" in the shim is done in an RCU read
/// section that has seen it registered, or in one of the operations or the poll, which end before
/// it is not.
#[repr(transparent)]
pub struct Nic<T: Operations>(Opaque<net_device>, PhantomData<T>);

// SAFETY: What the methods touch may be touched from anywhere; the softc is `Sync`.
unsafe impl<T: Operations> Sync for Nic<T> {}

impl<T: Operations> Nic<T> {
    /// # Safety
    ///
    /// As the type's invariant says of `dev`, for `'a`.
    unsafe fn from_raw<'a>(dev: *mut net_device) -> &'a Self {
        // SAFETY: `Self` is a transparent wrapper, the rest is the caller's promise.
        unsafe { &*dev.cast() }
    }

    fn raw(&self) -> *mut net_device {
        self.0.get()
    }

    fn dev(&self) -> &NetDevice {
        // SAFETY: the type's invariant.
        unsafe { NetDevice::from_raw(self.raw()) }
    }

    fn private(&self) -> &Private<T> {
        // SAFETY: the type's invariant.
        unsafe { &*bindings::ifref_nic_private(self.raw()).cast::<Private<T>>() }
    }

    /// What devd has of it.
    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.private().object
    }

    /// The driver's private data. Any context.
    pub fn softc(&self) -> &T {
        &self.private().softc
    }

    /// A copy of its name; a rename at the same time may tear it. Any context.
    pub fn name(&self) -> Text<NAME_SIZE> {
        self.dev().name()
    }

    /// Its MTU. Any context.
    pub fn mtu(&self) -> u32 {
        self.dev().mtu()
    }

    /// Its Ethernet address; a change at the same time may tear it. Any context.
    pub fn address(&self) -> Address {
        let mut address = Address::default();
        // SAFETY: the type's invariant; there is room for one.
        unsafe { bindings::ifref_nic_address(self.raw(), address.as_mut_ptr()) };
        address
    }

    /// Calls `then` if it is registered. It may be being removed meanwhile, but not beyond the
    /// grace period that the core waits for after it has said that it is not: then come the
    /// references, the counters and the end.
    fn if_registered(&self, then: impl FnOnce(*mut net_device)) {
        let _section = rcu::read_lock();
        if self.dev().registered() {
            then(self.raw());
        }
    }

    /// Whether it has a carrier. Any context.
    pub fn carrier(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_nic_carrier(self.raw()) }
    }

    /// Says whether it has a carrier. Without effect when it is not registered any more. Any
    /// context but NMI.
    pub fn set_carrier(&self, is_there: bool) {
        // SAFETY: the type's invariant.
        self.if_registered(|dev| unsafe {
            if is_there {
                bindings::ifref_nic_carrier_on(dev);
            } else {
                bindings::ifref_nic_carrier_off(dev);
            }
        });
    }

    /// Has the network core keep what is to be sent until [`Self::wake_queue`]. Any context but
    /// NMI; in [`Operations::start_xmit`], after it has taken the last packet that there is room
    /// for.
    pub fn stop_queue(&self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_nic_stop_queue(self.raw()) };
    }

    /// There is room again. Without effect when it is not registered any more. Any context but NMI.
    pub fn wake_queue(&self) {
        // SAFETY: the type's invariant.
        self.if_registered(|dev| unsafe { bindings::ifref_nic_wake_queue(dev) });
    }

    /// Has [`Operations::poll`] called, soon; once more if it is running. Without effect while it
    /// is closed, and for ever when it was detached. Any context but NMI.
    pub fn schedule(&self) {
        // SAFETY: the type's invariant: the NAPI instance goes with the device.
        unsafe { bindings::ifref_nic_napi_schedule(self.raw()) };
    }

    /// Counts a packet that was sent. Without effect when it is not registered any more. Any context
    /// but NMI.
    pub fn count_sent(&self, bytes: u32) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_nic_count_sent(self.raw(), bytes) };
    }

    /// Counts a packet that was to be sent, and was not. Any context but NMI.
    pub fn count_dropped(&self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_nic_count_tx_dropped(self.raw()) };
    }

    /// A packet with room for `room` bytes, for what it receives: [`Skb::put`]. Any context but
    /// NMI; ENOMEM.
    pub fn alloc_skb(&self, room: u32) -> Result<Skb> {
        // SAFETY: the type's invariant.
        let skb = unsafe { bindings::ifref_nic_alloc_skb(self.raw(), room) };
        // SAFETY: just made.
        Ok(unsafe { Skb::from_raw(NonNull::new(skb).ok_or(ENOMEM)?) })
    }

    /// Hands on a packet that it has received, from its Ethernet header on, and counts it. One
    /// without a header is dropped; so is what comes when it is down, or not registered any more.
    /// Any context but NMI, and a task with interrupts off; what was sent before, and so may have
    /// the last reference to a connection, not in hard IRQ. A driver that polls has
    /// [`Poll::deliver`].
    pub fn receive(&self, skb: Skb) {
        self.if_registered(|_| {
            if let Some(skb) = self.received(skb) {
                // SAFETY: registered; it is the core's from here on.
                unsafe { bindings::ifref_nic_rx(skb.into_raw().as_ptr()) };
            }
        });
    }

    /// Counts a packet, and makes it one of its own. In a section that has seen it registered, or
    /// in the poll.
    fn received(&self, skb: Skb) -> Option<Skb> {
        let bytes = skb.len();
        // SAFETY: the packet is handed on at once, while the device is registered.
        let received = unsafe { skb.received_by(NonNull::from(&self.0).cast()) };
        // SAFETY: the caller's promise.
        unsafe {
            match received {
                Some(_) => bindings::ifref_nic_count_received(self.raw(), bytes),
                None => bindings::ifref_nic_count_rx_dropped(self.raw()),
            }
        }
        received
    }

    fn open(&self) -> Result {
        // SAFETY: the type's invariant; it was closed, so that NAPI is disabled.
        unsafe {
            bindings::ifref_nic_start_queue(self.raw());
            bindings::ifref_nic_napi_enable(self.raw());
        }
        self.softc().open(self).inspect_err(|_| {
            // SAFETY: it was just enabled.
            unsafe { self.end_polls() };
        })
    }

    /// Ends the poll, and has it come no more. Sleeps.
    ///
    /// # Safety
    ///
    /// NAPI is enabled, and nobody else disables it meanwhile.
    unsafe fn end_polls(&self) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_nic_napi_disable(self.raw()) };
        // That waits for a poll until it completes, and not for what it does then. Who has seen it
        // completed sees it counted.
        while self.private().completing.load(Acquire) != 0 {
            fsleep(Delta::from_micros(50));
        }
    }

    /// Has the driver change something, unless it is going: ENODEV.
    fn change(&self, change: impl FnOnce() -> Result) -> Result<c_int> {
        if !self.private().object.life().course.passes() {
            return Err(ENODEV);
        }
        change()?;
        Ok(0)
    }

    /// Has the driver stop it. It is open.
    fn stop(&self) {
        // SAFETY: it was enabled when it was opened.
        unsafe { self.end_polls() };
        self.softc().stop(self);
    }
}

/// Evidence that NAPI polls an interface.
///
/// # Invariants
///
/// `done` is at most `budget`. It exists in the device's poll only, so while it is open.
pub struct Poll<'a, T: Operations> {
    nic: &'a Nic<T>,
    budget: u32,
    done: u32,
    _here: NotThreadSafe,
}

impl<T: Operations> Poll<'_, T> {
    /// Hands on what `next` has received, each as [`Nic::receive`], until it has no more or the
    /// budget is used up; then the poll comes again. Softirq.
    pub fn deliver(&mut self, mut next: impl FnMut() -> Option<Skb>) {
        while self.done < self.budget {
            let Some(skb) = next() else { return };
            // INVARIANT: it was less.
            self.done += 1;
            let Some(skb) = self.nic.received(skb) else {
                continue;
            };
            // What is merged there takes the data for its own.
            let is_shared = skb.is_cloned();
            let skb = skb.into_raw().as_ptr();
            // SAFETY: the type's invariant; the packet is the core's from here on.
            unsafe {
                if is_shared {
                    bindings::ifref_nic_receive(skb);
                } else {
                    bindings::ifref_nic_gro_receive(self.nic.raw(), skb);
                }
            }
        }
    }
}

/// What an interface is to receive besides what is for its own address and all: see
/// [`Operations::set_rx_mode`].
///
/// # Invariants
///
/// The core has the lock of the device's lists.
pub struct RxMode<'a> {
    dev: NonNull<net_device>,
    _operation: PhantomData<(&'a (), NotThreadSafe)>,
}

impl RxMode<'_> {
    fn flag(&self, flag: u32) -> bool {
        // SAFETY: the device exists during its operation.
        unsafe { bindings::ifref_nic_flags(self.dev.as_ptr()) & flag != 0 }
    }

    /// Whether it is to receive all there is.
    pub fn is_promiscuous(&self) -> bool {
        self.flag(bindings::IFREF_IFF_PROMISC)
    }

    /// Whether it is to receive all that is for groups.
    pub fn is_all_multicast(&self) -> bool {
        self.flag(bindings::IFREF_IFF_ALLMULTI)
    }

    /// Calls `each` for the address of each group that it is to receive. It must not sleep.
    pub fn for_each_multicast<F: FnMut(&Address)>(&self, mut each: F) {
        /// # Safety
        ///
        /// `ctx` is the closure, `address` an Ethernet address.
        unsafe extern "C" fn call<F: FnMut(&Address)>(ctx: *mut c_void, address: *const u8) {
            // SAFETY: the caller's promise; nothing else uses the closure meanwhile.
            unsafe { (*ctx.cast::<F>())(&*address.cast()) };
        }
        let ctx = (&raw mut each).cast();
        // SAFETY: the type's invariant; `call` gets the closure it was made for.
        unsafe {
            bindings::ifref_nic_for_each_multicast(self.dev.as_ptr(), Some(call::<F>), ctx);
        }
    }
}
