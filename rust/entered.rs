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
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
    },
    ifnet::Ifnet,
    ledger::LEDGER,
    registry::errno,
    stake::IfaddrRef, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        List,
        ListArc,
        ListLinks,
        TryNewListArc, //
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
#[pin_data]
struct Entry {
    ifnet: Arc<Ifnet>,
    since: Instant<Monotonic>,
    #[pin]
    kept: IrqLock<Option<Kept>>,
    #[pin]
    listed: AtomicTracker<0>,
    #[pin]
    links: ListLinks<0>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Entry { tracked_by listed: AtomicTracker<0>; }
}
impl_list_item! {
    impl ListItem<0> for Entry { using ListLinks { self.links }; }
}

impl Entry {
    /// Lets the device go. Idempotent; any context but NMI.
    fn let_go(&self) {
        let kept = self.kept.lock().take();
        if kept.is_some() {
            drop(kept);
            self.ifnet.left();
            LEDGER.entered.end();
        }
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
/// `entry` is on its stake's list, unless the module's exit has let its device go.
#[must_use]
pub struct Entered {
    entry: Arc<Entry>,
    reference: IfaddrRef,
}

impl Entered {
    /// [`IfaddrRef::enter`].
    pub(crate) fn new(reference: &IfaddrRef) -> Result<Self> {
        let entry = {
            let section = kernel::sync::rcu::read_lock();
            let live = reference.try_follow(&section).map_err(|reason| {
                reference.stake().holder().refused();
                errno(reason)
            })?;
            let ifnet = live.keep();
            let kept = live.hold()?;
            Arc::pin_init(
                pin_init!(Entry {
                    ifnet,
                    since: Instant::now(),
                    kept <- new_irq_lock!(Some(kept), "ifref_entry"),
                    listed <- AtomicTracker::new(),
                    links <- ListLinks::new(),
                }),
                GFP_ATOMIC,
            )?
        };
        entry.ifnet.entered();
        LEDGER.entered.make();
        if let Ok(item) = ListArc::try_from_arc(entry.clone()) {
            let mut entries = reference.stake().entries().lock();
            entries.list.push_back(item);
            entries.count += 1;
        }
        // INVARIANT: just listed.
        Ok(Self {
            entry,
            reference: reference.clone(),
        })
    }

    /// The reference that it was entered through, its own.
    pub fn reference(&self) -> &IfaddrRef {
        &self.reference
    }

    /// Milliseconds since it began.
    pub fn age_ms(&self) -> i64 {
        self.entry.since.elapsed().as_millis()
    }

    /// The device, if it is registered: it stays so until RTNL is released.
    pub fn registered_device<'r>(&'r self, rtnl: &'r Rtnl) -> Option<&'r NetDevice> {
        self.entry.ifnet.registered_device(rtnl)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let listed = {
            let mut entries = self.reference.stake().entries().lock();
            // SAFETY: by the type's invariant it is on this list, or on none.
            let listed = unsafe { entries.list.remove(&self.entry) };
            entries.count -= u64::from(listed.is_some());
            listed
        };
        drop(listed);
        self.entry.let_go();
    }
}

/// Lets go what `entries` keep: nobody is left who could. The module's exit.
pub(crate) fn abandon(entries: &IrqLock<Entries>) -> u64 {
    let mut left = 0;
    loop {
        let entry = {
            let mut entries = entries.lock();
            let entry = entries.list.pop_front();
            entries.count -= u64::from(entry.is_some());
            entry
        };
        let Some(entry) = entry else {
            return left;
        };
        entry.let_go();
        left += 1;
    }
}
