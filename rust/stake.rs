// SPDX-License-Identifier: GPL-2.0

//! The stake: what one holder has in one ifaddr, and the references that make it up.

use crate::{
    entered::{
        Entered,
        Entries, //
    },
    ffi::{
        completion::Awaited,
        inet::Address,
        kobject::FolderOf,
        net_namespace::Net,
        percpu::{
            Counter,
            Cpus,
            Shards, //
        },
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
        trace, //
    },
    holder::Holder,
    ifaddr::Ifaddr,
    lifecycle::{
        Invalid,
        Linked,
        Sums,
        Tally, //
    },
    live::Live,
    lookup::IfaddrId,
    platform::Kernel,
    registry::Registry, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    alloc::Flags,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        ListLinks,
        TryNewListArc, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        rcu,
        Arc,
        ArcBorrow,
        Completion,
        Mutex, //
    },
    time::{Instant, Monotonic}, //
};

/// What the worker keeps with a stake.
#[derive(Default)]
pub(crate) struct Shell {
    /// Its folder in sysfs and the namespace that this shows in.
    pub folder: Option<(FolderOf<Stake>, Net)>,
    /// It was taken off its chains.
    pub reaped: bool,
}

/// One holder's account with one ifaddr: the references, and the uses that sleep.
///
/// It is made with the holder's first reference, and ends when it has been switched to exact
/// counting (the ifaddr was cut, or the holder unregistered) and nothing is left.
///
/// # Invariants
///
/// - One `Arc` of it, made by [`Self::publish`], belongs to the tally. It passes to whoever is told
///   that the tally has ended, by a put or the fold. So the stake exists while there is a
///   reference.
/// - It is on its ifaddr's and its holder's chain from `publish` until the worker has reaped it, and
///   the worker gives its last `Arc` back a grace period after that.
#[pin_data]
pub(crate) struct Stake {
    tally: Tally<Kernel>,
    ifaddr: Arc<Ifaddr>,
    holder: Arc<Holder>,
    of_ifaddr: Atomic<*const Stake>,
    of_holder: Atomic<*const Stake>,
    made: Instant<Monotonic>,
    // When the count was last seen zero, in nanoseconds after `made`.
    zero: Atomic<i64>,
    // The module's exit counts what is left as left behind.
    abandoned: Atomic<bool>,
    #[pin]
    entries: IrqLock<Entries>,
    #[pin]
    shell: Mutex<Shell>,
    #[pin]
    pending: AtomicTracker<0>,
    #[pin]
    pending_links: ListLinks<0>,
    #[pin]
    doomed: AtomicTracker<1>,
    #[pin]
    doomed_links: ListLinks<1>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Stake { tracked_by pending: AtomicTracker<0>; }
    impl ListArcSafe<1> for Stake { tracked_by doomed: AtomicTracker<1>; }
}
impl_list_item! {
    impl ListItem<0> for Stake { using ListLinks { self.pending_links }; }
    impl ListItem<1> for Stake { using ListLinks { self.doomed_links }; }
}

/// The chain of an ifaddr.
pub(crate) const OF_IFADDR: usize = 0;
/// The chain of a holder.
pub(crate) const OF_HOLDER: usize = 1;

impl Linked<Kernel, OF_IFADDR> for Stake {
    #[inline]
    fn next(&self) -> &Atomic<*const Stake> {
        &self.of_ifaddr
    }
}

impl Linked<Kernel, OF_HOLDER> for Stake {
    fn next(&self) -> &Atomic<*const Stake> {
        &self.of_holder
    }
}

impl Stake {
    /// Makes the stake of `holder` in `ifaddr`, which nobody knows yet. Sleeps unless `flags` say
    /// otherwise; ENOMEM.
    pub(crate) fn new(
        holder: &Arc<Holder>,
        ifaddr: &Arc<Ifaddr>,
        flags: Flags,
    ) -> Result<Arc<Self>> {
        let shards = Shards::new(ifaddr.id(), ifaddr.serial(), holder.name().bytes(), flags)?;
        Arc::pin_init(
            pin_init!(Self {
                tally: Tally::new(shards),
                ifaddr: ifaddr.clone(),
                holder: holder.clone(),
                of_ifaddr: Atomic::new(core::ptr::null()),
                of_holder: Atomic::new(core::ptr::null()),
                made: Instant::now(),
                zero: Atomic::new(0),
                abandoned: Atomic::new(false),
                entries <- new_irq_lock!(Entries::default(), "ifref_entries"),
                shell <- new_mutex!(Shell::default()),
                pending <- AtomicTracker::new(),
                pending_links <- ListLinks::new(),
                doomed <- AtomicTracker::new(),
                doomed_links <- ListLinks::new(),
            }),
            flags,
        )
    }

    /// Puts it on its chains, unless its ifaddr has been cut meanwhile or has one of this holder
    /// already. The holder is registered. Any context.
    pub(crate) fn publish(self: Arc<Self>, registry: &Arc<Registry>) {
        let stake = self.clone();
        let lock = registry.holders().lock();
        let section = rcu::read_lock();
        if self.ifaddr.is_cut() || self.ifaddr.stake(&self.holder, &section).is_some() {
            return;
        }
        // SAFETY: under the lock of all chains, once in its life. INVARIANT: this `Arc` is the
        // tally's.
        unsafe {
            let stake = &*Arc::into_raw(self);
            stake.ifaddr.stakes().push(stake);
            stake.holder.stakes().push(stake);
        }
        drop(section);
        drop(lock);
        registry.pend_stake(stake);
        registry.sample_soon();
    }

    /// Keeps one that was found on a chain in `section`. Any context.
    pub(crate) fn keep(&self, _section: &rcu::Guard) -> Arc<Self> {
        // SAFETY: a stake is always in an `Arc`; by the type's invariant one exists until the
        // section ends.
        unsafe { ArcBorrow::from_raw(self) }.into()
    }

    /// Takes the `Arc` that belongs to the tally.
    ///
    /// # Safety
    ///
    /// The caller was told that the tally has ended, and calls this once.
    unsafe fn ended(&self) -> Arc<Self> {
        // SAFETY: by the type's invariant it has passed to the caller; it was made by `into_raw`.
        unsafe { Arc::from_raw(self) }
    }

    /// The ifaddr.
    pub(crate) fn ifaddr(&self) -> &Arc<Ifaddr> {
        &self.ifaddr
    }

    /// The holder.
    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// All gets and puts so far. Any context.
    pub(crate) fn sums(&self) -> Sums {
        self.tally.sums()
    }

    /// Packets parked and unparked so far. Any context.
    pub(crate) fn packets(&self) -> Sums {
        let shards = self.tally.shards();
        let puts = shards.sum(Counter::Unparked);
        Sums {
            gets: shards.sum(Counter::Parked),
            puts,
        }
    }

    /// How many references there are. Any context; exact once the ifaddr has let go.
    pub(crate) fn references(&self) -> u64 {
        let references = self.tally.references();
        if references == 0 {
            self.zero.store(self.made.elapsed().as_nanos(), Relaxed);
        }
        references
    }

    /// Milliseconds since the count was last seen zero: by somebody who read it, or by the
    /// worker's look once a second. Any context.
    pub(crate) fn age_ms(&self) -> i64 {
        self.references();
        let zero = self.zero.load(Relaxed);
        (self.made.elapsed().as_nanos() - zero).max(0) / 1_000_000
    }

    /// The uses that sleep. Any context.
    pub(crate) fn entries(&self) -> &IrqLock<Entries> {
        &self.entries
    }

    /// What the worker keeps with it. Sleeps.
    pub(crate) fn shell(&self) -> &Mutex<Shell> {
        &self.shell
    }

    /// Has everybody count exactly from now on. The worker, before its grace period.
    pub(crate) fn switch(&self) {
        self.tally.switch();
    }

    /// Makes the count exact. The worker, after its grace period. What it returns has ended.
    pub(crate) fn fold(&self, cpus: &Cpus) -> Option<Arc<Self>> {
        // SAFETY: just told.
        self.tally.fold(cpus).then(|| unsafe { self.ended() })
    }

    /// Whether what is left was given up.
    pub(crate) fn abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// Whether nothing is left of it, or nobody is left to put it. Any context.
    pub(crate) fn over(&self) -> bool {
        self.tally.ended() || self.abandoned()
    }

    /// Gives up what is left: the module's exit. What it returns has ended.
    pub(crate) fn abandon(&self) -> Option<Arc<Self>> {
        if self.tally.ended() || self.abandoned.xchg(true, Full) {
            return None;
        }
        // SAFETY: nobody is left who could put the references, so that nobody else is ever told;
        // once, as just seen.
        Some(unsafe { self.ended() })
    }
}

/// A counted reference of a holder's to an [`Ifaddr`]: it pins the ifaddr's own memory, never the
/// interface.
///
/// Cloning and dropping cost one increment of a counter of this CPU's, and may be done in any
/// context but NMI. So may following.
///
/// # Invariants
///
/// Owns one of the tally's references, so the stake exists.
#[must_use]
pub struct IfaddrRef(NonNull<Stake>);

// SAFETY: A reference may be put by anybody, anywhere; a stake is `Send + Sync`.
unsafe impl Send for IfaddrRef {}
// SAFETY: As above.
unsafe impl Sync for IfaddrRef {}

impl IfaddrRef {
    /// Takes a reference, inside a read section that has seen the stake's ifaddr valid and found
    /// the stake on a chain, for a holder that is registered.
    pub(crate) fn take(stake: &Stake, _live: &Live<'_>) -> Self {
        stake.tally.get();
        // INVARIANT: just taken; the fold, which waits for the section, finds it.
        Self(NonNull::from(stake))
    }

    /// Gives the reference away.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Stake> {
        ManuallyDrop::new(self).0
    }

    /// Takes one over.
    ///
    /// # Safety
    ///
    /// From [`Self::into_raw`]; the caller's, or not dropped.
    #[inline]
    pub(crate) unsafe fn from_raw(stake: NonNull<Stake>) -> Self {
        // INVARIANT: the caller's promise.
        Self(stake)
    }

    /// The stake that it is a part of.
    #[inline]
    pub(crate) fn stake(&self) -> &Stake {
        // SAFETY: the type's invariant.
        unsafe { self.0.as_ref() }
    }

    /// Its weak form.
    pub fn weak(&self) -> IfaddrId {
        self.ifaddr().weak()
    }

    /// The address that it refers to.
    pub fn address(&self) -> &Address {
        self.ifaddr().address()
    }

    /// The ifaddr.
    #[inline]
    pub(crate) fn ifaddr(&self) -> &Ifaddr {
        self.stake().ifaddr()
    }

    /// Follows the reference; it only refuses, the reference stays. Any context but NMI.
    #[inline]
    pub fn try_follow<'g>(&'g self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        self.ifaddr().follow(section)
    }

    /// Enters, for a use that may sleep: the errno of the reason if it is not valid, which counts
    /// as a refusal, or ENOMEM. Any context but NMI; with PREEMPT_RT, not hard IRQ.
    pub fn enter(&self) -> Result<Entered> {
        Entered::new(self, None)
    }

    /// Enters as [`Self::enter`], and wants to be told: `gone` is completed, once and for all who wait
    /// for it, when the interface loses VALID, so that the use can leave and delay nothing. Not after
    /// the use was dropped, nor after the holder has unregistered.
    pub fn enter_until(&self, gone: Arc<Completion>) -> Result<Entered> {
        Entered::new(self, Some(Awaited::Shared(gone)))
    }

    /// Counts a packet that is parked with it. Any context but NMI.
    #[inline]
    pub(crate) fn parked(&self) {
        self.stake().tally.shards().parked();
    }

    /// Counts the end of one. Any context but NMI.
    #[inline]
    pub(crate) fn unparked(&self) {
        self.stake().tally.shards().unparked();
    }
}

impl Clone for IfaddrRef {
    #[inline]
    fn clone(&self) -> Self {
        self.stake().tally.get();
        // INVARIANT: just taken.
        Self(self.0)
    }
}

impl Drop for IfaddrRef {
    #[inline]
    fn drop(&mut self) {
        // Nothing of the stake is touched after this, unless it was the last one.
        if self.stake().tally.put() {
            // SAFETY: just told.
            let stake = unsafe { self.stake().ended() };
            last(stake);
        }
    }
}

/// The last reference was dropped, perhaps in hard IRQ: the worker does the rest.
#[cold]
fn last(stake: Arc<Stake>) {
    let registry = stake.ifaddr.registry().clone();
    registry.pend_stake(stake);
}

/// A place for one reference, which a refused follow empties.
pub struct Slot {
    reference: Option<IfaddrRef>,
    reason: Invalid,
}

impl Slot {
    /// A slot that holds `reference`.
    pub fn new(reference: IfaddrRef) -> Self {
        Self {
            reference: Some(reference),
            reason: Invalid::Detached,
        }
    }

    /// The reference, while there is one.
    pub fn reference(&self) -> Option<&IfaddrRef> {
        self.reference.as_ref()
    }

    /// Takes the reference out.
    pub fn take(&mut self) -> Option<IfaddrRef> {
        self.reference.take()
    }

    /// Follows the reference. Refused, it drops the reference in the same step and says why; an
    /// empty slot goes on to say so. Any context but NMI.
    pub fn follow<'g>(&'g mut self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        if let Some(reference) = &self.reference {
            let ifaddr = reference.ifaddr();
            match ifaddr.follow(section) {
                Ok(live) => return Ok(live),
                Err(reason) => {
                    trace::refused(ifaddr.id(), ifaddr.serial(), reason.name());
                    reference.stake().holder().refused();
                    self.reason = reason;
                }
            }
        }
        self.reference = None;
        Err(self.reason)
    }
}
