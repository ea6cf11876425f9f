// SPDX-License-Identifier: GPL-2.0

//! Entering: for users that sleep.

use crate::{
    devd::object::Use,
    ffi::{
        completion::Awaited,
        netdevice::{
            Hold,
            NetDevice, //
        },
        rtnetlink::Rtnl,
        spinlock::IrqLock, //
    },
    ifnet::Ifnet,
    ledger::LEDGER,
    lifecycle::Invalid,
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
    sync::{
        Arc,
        UniqueArc, //
    },
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
    /// To be completed when the interface loses VALID.
    gone: Option<Awaited>,
    // Last: it keeps the list that this is on.
    reference: IfaddrRef,
    #[pin]
    links: ListLinks<0>,
    #[pin]
    told_links: ListLinks<1>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Entry { untracked; }
    impl ListArcSafe<1> for Entry { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Entry { using ListLinks { self.links }; }
    impl ListItem<1> for Entry { using ListLinks { self.told_links }; }
}

impl Entry {
    /// The completion is not touched from here on. Any context but NMI.
    fn silence(&self) {
        if self.gone.is_some() {
            let mut told = self.ifnet.told().lock();
            // SAFETY: on this list, or on none. What keeps it is on its stake's list, and so not
            // the last.
            drop(unsafe { told.0.remove(self) });
        }
    }
}

/// The uses of an ifnet that are to be told when it loses VALID. Each is on its stake's list as
/// long as it is on this one.
#[derive(Default)]
pub(crate) struct Told(List<Entry, 1>);

/// Tells them, one lock section each. VALID was taken away before, so that no other one comes.
/// Any context but NMI and hard IRQ.
pub(crate) fn tell(told: &IrqLock<Told>) {
    loop {
        let mut told = told.lock();
        let Some(entry) = told.0.pop_front() else {
            return;
        };
        // Under the lock: who takes the use off the list knows that this is over.
        if let Some(gone) = &entry.gone {
            gone.complete_all();
        }
        drop(entry);
    }
}

/// Forgets whom the uses that are listed are to wake: their holder has unregistered.
pub(crate) fn silence(entries: &IrqLock<Entries>) {
    entries.lock().list.iter().for_each(|entry| entry.silence());
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
    /// [`IfaddrRef::enter`], or [`IfaddrRef::enter_until`].
    pub(crate) fn new(reference: &IfaddrRef, gone: Option<Awaited>) -> Result<Self> {
        let stake = reference.stake();
        let section = kernel::sync::rcu::read_lock();
        let live = reference.try_follow(&section).map_err(|reason| {
            stake.holder().refused();
            errno(reason)
        })?;
        let ifnet = live.keep();
        let kept = live.hold()?;
        let entry = UniqueArc::pin_init(
            try_pin_init!(Entry {
                _kept: kept,
                ifnet,
                since: Instant::now(),
                gone,
                reference: reference.clone(),
                links <- ListLinks::new(),
                told_links <- ListLinks::new(),
            }? Error),
            GFP_ATOMIC,
        )?;
        entry.ifnet.entered();
        LEDGER.entered.make();
        let (entry, told) = ListArc::<_, 0>::pair_from_pin_unique::<1>(entry);
        if entry.gone.is_some() {
            let mut list = entry.ifnet.told().lock();
            // Under the lock: who takes VALID away finds it on the list, or this sees that.
            if !entry.ifnet.state().is_valid() {
                drop(list);
                stake.holder().refused();
                return Err(errno(Invalid::Detached));
            }
            list.0.push_back(told);
        }
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
        self.entry().silence();
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
