// SPDX-License-Identifier: GPL-2.0

//! Entering: for users that sleep.

use crate::{
    devd::object::Use,
    ffi::{
        netdevice::{
            Hold,
            NetDevice, //
        },
        rtnetlink::Rtnl,
        spinlock::IrqLock, //
    },
    ifnet::Ifnet,
    ledger::LEDGER,
    registry::errno,
    stake::IfaddrRef, //
};
use core::{
    ffi::c_void,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    prelude::*,
    sync::Arc,
    time::{Instant, Monotonic}, //
};

/// What a use keeps, until it is dropped.
#[expect(dead_code, reason = "kept, and no more")]
pub(crate) enum Kept {
    /// The device: what the kernel waits for.
    Device(Hold),
    /// What a driver of ifref's has attached: its free waits, and not the kernel.
    Object(Use),
}

/// One use, as its stake lists it.
#[pin_data(PinnedDrop)]
struct Entry {
    _kept: Kept,
    ifnet: Arc<Ifnet>,
    since: Instant<Monotonic>,
    // Last: it keeps the list that this is on.
    reference: IfaddrRef,
    #[pin]
    links: ListLinks<0>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Entry { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Entry { using ListLinks { self.links }; }
}

#[pinned_drop]
impl PinnedDrop for Entry {
    fn drop(self: Pin<&mut Self>) {
        self.ifnet.left();
        LEDGER.entered.end();
    }
}

/// The uses of one stake, the oldest first.
#[derive(Default)]
pub(crate) struct Entries {
    list: List<Entry, 0>,
    count: u64,
}

impl Entries {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Milliseconds since the oldest one began.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        let oldest = self.list.iter().next()?;
        Some(oldest.since.elapsed().as_millis())
    }
}

/// A use that may sleep. It keeps the device's memory, and so delays the end of its removal until
/// it is dropped: whoever waits for that is told the holder's name and the age.
///
/// It keeps memory, not registration: the interface may be taken down, unregistered and lose its
/// driver meanwhile. What it offers is safe then, too. May be dropped in any context but NMI; with
/// PREEMPT_RT, not in hard IRQ: it gives back memory.
///
/// # Invariants
///
/// The entry is on its stake's list, which owns it: until this is dropped, or the module's exit finds
/// it left behind.
#[must_use]
pub struct Entered(NonNull<Entry>);

// SAFETY: Owned by the list, which may be used from anywhere; what an entry offers may, too.
unsafe impl Send for Entered {}
// SAFETY: As above.
unsafe impl Sync for Entered {}

impl Entered {
    /// [`IfaddrRef::enter`].
    pub(crate) fn new(reference: &IfaddrRef) -> Result<Self> {
        let stake = reference.stake();
        let section = kernel::sync::rcu::read_lock();
        let live = reference.try_follow(&section).map_err(|reason| {
            stake.holder().refused();
            errno(reason)
        })?;
        let ifnet = live.keep();
        let kept = live.hold()?;
        let entry = ListArc::pin_init(
            try_pin_init!(Entry {
                _kept: kept,
                ifnet,
                since: Instant::now(),
                reference: reference.clone(),
                links <- ListLinks::new(),
            }? Error),
            GFP_ATOMIC,
        )?;
        entry.ifnet.entered();
        LEDGER.entered.make();
        let pointer = NonNull::from(&*entry);
        let mut entries = stake.entries().lock();
        entries.list.push_back(entry);
        entries.count += 1;
        // INVARIANT: just listed.
        Ok(Self(pointer))
    }

    fn entry(&self) -> &Entry {
        // SAFETY: the type's invariant.
        unsafe { self.0.as_ref() }
    }

    /// Gives the use away.
    pub(crate) fn into_raw(self) -> NonNull<c_void> {
        ManuallyDrop::new(self).0.cast()
    }

    /// Takes one over.
    ///
    /// # Safety
    ///
    /// From [`Self::into_raw`]; the caller's, or not dropped.
    pub(crate) unsafe fn from_raw(entry: NonNull<c_void>) -> Self {
        // INVARIANT: the caller's promise.
        Self(entry.cast())
    }

    /// The reference that it was entered through, its own.
    pub fn reference(&self) -> &IfaddrRef {
        &self.entry().reference
    }

    /// Milliseconds since it began.
    pub fn age_ms(&self) -> i64 {
        self.entry().since.elapsed().as_millis()
    }

    /// The device, if it is registered: it stays so until RTNL is released.
    pub fn registered_device<'r>(&'r self, rtnl: &'r Rtnl) -> Option<&'r NetDevice> {
        self.entry().ifnet.registered_device(rtnl)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let entry = {
            let mut entries = self.reference().stake().entries().lock();
            // SAFETY: by the type's invariant it is on this list.
            let entry = unsafe { entries.list.remove(self.entry()) };
            entries.count -= u64::from(entry.is_some());
            entry
        };
        drop(entry);
    }
}

/// Ends the uses that are left, with what they keep: nobody is left who could. The module's exit.
pub(crate) fn abandon(entries: &IrqLock<Entries>) -> u64 {
    let mut left = 0;
    loop {
        let entry = {
            let mut entries = entries.lock();
            let entry = entries.list.pop_front();
            entries.count -= u64::from(entry.is_some());
            entry
        };
        if entry.is_none() {
            return left;
        }
        drop(entry);
        left += 1;
    }
}
