// SPDX-License-Identifier: GPL-2.0

//! Drivers of network interfaces, in Rust without `unsafe`: `Documentation/drivers.rst` is the
//! guide, `samples/vnic` the smallest one.
//!
//! A driver is a softc with [`Operations`]. Its module registers a [`Driver`] and makes an
//! [`Attachment`] of each interface. What goes wrong elsewhere cannot here:
//!
//! - an interface that is not wanted any more is detached: its [`Attachment`] is dropped;
//! - the softc is reached in an operation, which ends before it goes, or through a [`Held`], for
//!   which it waits, and in no other way; it is dropped once, by devd, when nobody reaches it;
//! - nothing is sent, opened or changed after a detach, and what was open is stopped, once;
//! - what needs a registered interface has no effect when it is not any more;
//! - the module is not unloaded before the last softc was dropped: its [`Driver`] is dropped first;
//!   if it is forgotten ifref sees to that when the module goes.

use crate::{
    devd::Object,
    driver,
    ffi::nic::{
        Code,
        Made,
        Place, //
    },
    global,
    lifecycle::Reason, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    device::Device,
    prelude::*,
    sync::Arc, //
};

pub use crate::{
    devd::Veto,
    ffi::{
        nic::{
            Address,
            LinkStats,
            Nic,
            Poll,
            RxMode,
            ADDRESS_SIZE,
            DEFAULT_MTU, //
        },
        skbuff::{
            Skb,
            SkbQueue, //
        },
    },
};

/// The code of a driver; `self` is the softc of one interface. What is left out does nothing, and
/// agrees.
///
/// [`Self::open`], [`Self::stop`], [`Self::set_mac_address`] and [`Self::change_mtu`] come one at a
/// time, in process context, under RTNL. After a detach was submitted nothing is sent or opened;
/// what has begun has ended before [`Self::quiesce`], but for [`Self::get_stats64`], which may come
/// until the softc is dropped.
#[vtable]
pub trait Operations: Sized + Send + Sync + 'static {
    /// The driver's name: at most 31 letters.
    const NAME: &'static str;

    /// Sends a packet, which is in one piece, or drops it; it may be kept. If there is no room for
    /// another one, see [`Nic::stop_queue`]. Softirq, one at a time; with netpoll interrupts are
    /// off.
    fn start_xmit(&self, nic: &Nic<Self>, skb: Skb);

    /// Starts the hardware: packets come from here on. Process context, under RTNL. With an error
    /// the interface stays down.
    fn open(&self, _nic: &Nic<Self>) -> Result {
        Ok(())
    }

    /// Stops the hardware, once for each [`Self::open`]. No poll is running, and none comes before
    /// the next open, whatever it interrupts for. Process context, under RTNL.
    fn stop(&self, _nic: &Nic<Self>) {}

    /// Sees to what there is, as NAPI, after [`Nic::schedule`]: what was received is handed on by
    /// [`Poll::deliver`]. While it is open; softirq.
    fn poll(&self, _nic: &Nic<Self>, _poll: &mut Poll<'_, Self>) {}

    /// NAPI has nothing left to do: the hardware may interrupt again. It ends before
    /// [`Self::stop`]. Softirq.
    fn polled(&self, _nic: &Nic<Self>) {}

    /// Has the hardware receive what `mode` says. While it is up, or just being set down; with
    /// bottom halves off: it must not sleep.
    fn set_rx_mode(&self, _nic: &Nic<Self>, _mode: &RxMode<'_>) {}

    /// Tells the hardware its address, which is a good one. While it is down. Process context,
    /// under RTNL; with an error it stays as it was.
    fn set_mac_address(&self, _nic: &Nic<Self>, _address: &Address) -> Result {
        Ok(())
    }

    /// Prepares for another MTU, of at most [`Config::max_mtu`]. Process context, under RTNL; with
    /// an error it stays as it was.
    fn change_mtu(&self, _nic: &Nic<Self>, _mtu: u32) -> Result {
        Ok(())
    }

    /// Puts in what the hardware counts. What `ifref` has counted is there. Any context but hard
    /// IRQ.
    fn get_stats64(&self, _nic: &Nic<Self>, _stats: &mut LinkStats) {}

    /// What is to be sent waits for long. Softirq.
    fn tx_timeout(&self, _nic: &Nic<Self>) {}

    /// Whether it may be detached, which somebody wants in order. It is not asked when the hardware
    /// has gone or the driver is unloaded. On a worker; it must not wait for devd.
    fn may_detach(&self, _nic: &Nic<Self>) -> Result<(), Veto> {
        Ok(())
    }

    /// Nothing reaches the driver any more: it lets go of the hardware, and of each [`Held`] of its
    /// own, which the softc would wait for. Once; on a worker. It must not wait for devd.
    fn quiesce(&self, _nic: &Nic<Self>) {}
}

/// What an interface is made with.
pub struct Config<'a> {
    /// Its name: at most 15 letters; for `%d` the kernel takes the first number that is free.
    pub name: &'a str,
    /// Its Ethernet address, or one by chance.
    pub address: Option<Address>,
    /// The device that it belongs to.
    pub parent: Option<&'a Device>,
    /// The largest MTU. It begins with [`DEFAULT_MTU`], or that if it is less.
    pub max_mtu: u32,
    /// Whether it has a carrier from the beginning.
    pub carrier: bool,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Self {
            name: "eth%d",
            address: None,
            parent: None,
            max_mtu: DEFAULT_MTU,
            carrier: true,
        }
    }
}

/// A driver's registration: a part of its module. Dropping it is the unload: all that it has
/// attached is detached, no driver is asked, and it sleeps until the last softc was dropped; what
/// keeps it waiting is told in the kernel log. Process context, never under RTNL, or in an
/// operation.
///
/// # Invariants
///
/// The driver is registered, and is one of `T`'s.
#[must_use]
pub struct Driver<T: Operations>(NonNull<driver::Driver>, PhantomData<fn() -> T>);

// SAFETY: The driver is `Sync`, and no `T` is there.
unsafe impl<T: Operations> Send for Driver<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Driver<T> {}

impl<T: Operations> Driver<T> {
    /// Registers a driver. Sleeps; EEXIST if there is one of that name, EINVAL if it is none,
    /// ENOMEM.
    pub fn register() -> Result<Self> {
        let (ops, table) = (Code::<T>::callbacks()?, Code::<T>::table()?);
        // If this is forgotten, nothing is leaked: it is the list of drivers that keeps it.
        let driver = global::register_driver(0, T::NAME, ops, Some(table))?;
        // INVARIANT: just registered.
        Ok(Self(driver, PhantomData))
    }

    fn driver(&self) -> &driver::Driver {
        // SAFETY: the type's invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Operations> Drop for Driver<T> {
    fn drop(&mut self) {
        global::end_driver(0, self.0);
    }
}

/// An interface that is attached. Dropping it submits its detach, as [`Weak::detach`] does.
#[must_use = "dropping it detaches the interface"]
pub struct Attachment<T: Operations>(Weak<T>);

impl<T: Operations> Attachment<T> {
    /// Makes an interface and has devd register it.
    ///
    /// Process context, sleeps; never under RTNL. The error is that of `softc` or of
    /// `register_netdevice()`, or EINVAL if the name or the MTU is none, ENOMEM, ENODEV if the
    /// driver is being unregistered, EDEADLK in an operation of a detach or under RTNL. With an
    /// error nothing is attached, and the softc has been dropped.
    pub fn new<E>(
        driver: &Driver<T>,
        config: &Config<'_>,
        softc: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let made = Made::new(driver.driver(), config, softc)?;
        let object = made.object();
        global::told_waiting(object.owner().name(), object.attach())?;
        let place = made.place();
        made.attached();
        // INVARIANT: just attached.
        Ok(Self(Weak { object, place }))
    }
}

impl<T: Operations> Deref for Attachment<T> {
    type Target = Weak<T>;

    fn deref(&self) -> &Weak<T> {
        &self.0
    }
}

impl<T: Operations> Drop for Attachment<T> {
    fn drop(&mut self) {
        self.detach();
    }
}

/// What knows an interface without keeping it: for an interrupt, a timer, a work item. Dropping it
/// may be done in any context but NMI; with PREEMPT_RT, not in hard IRQ: the last one gives back
/// memory.
///
/// # Invariants
///
/// `place` is that of an interface of `T`'s whose object is `object`, to which it belongs until its
/// `free`.
pub struct Weak<T: Operations> {
    object: Arc<Object>,
    place: Place<T>,
}

impl<T: Operations> Clone for Weak<T> {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            place: self.place,
        }
    }
}

impl<T: Operations> Weak<T> {
    /// Holds the softc, unless nobody may any more, or not yet: the interface may go, the softc
    /// stays. Any context but NMI.
    pub fn hold(&self) -> Option<Held<T>> {
        // INVARIANT: just held.
        self.object.hold().then(|| Held(self.clone()))
    }

    /// The hardware has gone: submits the detach. Nothing that begins now is sent or opened; devd
    /// does the rest. Idempotent; any context but NMI; takes no memory and cannot fail.
    pub fn detach(&self) {
        self.object.detach(Reason::Gone);
    }

    /// Somebody wants it detached in order: submits that the driver be asked, see
    /// [`Operations::may_detach`]. Idempotent; any context but NMI; takes no memory and cannot
    /// fail.
    pub fn ask_detach(&self) {
        self.object.ask();
    }

    /// Sleeps until the softc was dropped, which somebody has to have begun. Process context;
    /// EDEADLK in an operation of a detach or under RTNL, EWOULDBLOCK where it must not sleep.
    pub fn wait(&self) -> Result {
        global::told_waiting(self.object.owner().name(), self.object.wait())
    }
}

/// A hold of a softc, with its interface: the softc, and with it the end of the detach and the
/// unload of the driver, wait until it is dropped; the network core does not. What takes long is
/// reported. Dropping it may be done where a [`Weak`] may be dropped.
///
/// # Invariants
///
/// Owns one hold of the object.
pub struct Held<T: Operations>(Weak<T>);

impl<T: Operations> Deref for Held<T> {
    type Target = Nic<T>;

    fn deref(&self) -> &Nic<T> {
        // SAFETY: it is held, so that `free` was not called; the interface is not dropped before.
        unsafe { self.0.place.get() }
    }
}

impl<T: Operations> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.object.release();
    }
}

impl<T: Operations> Nic<T> {
    /// What knows it without keeping it. Any context.
    pub fn weak(&self) -> Weak<T> {
        // INVARIANT: its own object.
        Weak {
            object: self.object().clone(),
            place: Place::of(self),
        }
    }
}
