// SPDX-License-Identifier: GPL-2.0

//! What a driver has attached, whatever it is.

use super::{
    jobs::job,
    Devd,
    Linkage,
    Owner,
    Veto, //
};
use crate::{
    ffi::{
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
        wait::{
            new_wait_queue,
            WaitQueue, //
        },
    },
    ledger::LEDGER,
    lifecycle::{
        Begun,
        Life,
        Queued,
        Reason,
        Stage, //
    },
    platform::Kernel, //
};
use core::ptr;
use kernel::{
    fmt, impl_has_work,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        ListLinks,
        TryNewListArc, //
    },
    new_mutex, new_work,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};

/// What devd is to do with an object.
pub(super) mod errand {
    /// Make its linkages.
    pub(crate) const LINK: u32 = 1;
    /// Have its driver asked.
    pub(crate) const ASK: u32 = 2;
    /// Unmake them.
    pub(crate) const DETACH: u32 = 4;
}

/// When what was, by devd's clock; 0 if not yet.
pub(super) struct Times {
    pub(super) submitted: Atomic<i64>,
    /// When the driver is to be asked again.
    pub(super) again: Atomic<i64>,
    /// Whether it was reported that the removal takes long.
    pub(super) reported: Atomic<bool>,
}

/// What a driver has attached: it lives from the driver's making it to the last reference.
#[pin_data(PinnedDrop)]
pub(crate) struct Object {
    pub(super) life: Life<Kernel>,
    next: Atomic<*const Object>,
    pub(super) linkage: Arc<dyn Linkage>,
    pub(super) devd: Arc<Devd>,
    pub(super) owner: Arc<Owner>,
    pub(super) times: Times,
    /// The error that `attach` returns.
    error: Atomic<i32>,
    /// The task that runs a callback, to compare.
    pub(super) runner: Atomic<usize>,
    /// Whether the driver's `quiesce` has returned.
    pub(super) quiesced: Atomic<bool>,
    /// How often the driver holds it.
    holds: Atomic<i32>,
    // Held while the driver is being asked; `quiesce` comes after that.
    #[pin]
    pub(super) asking: Mutex<()>,
    #[pin]
    pub(super) veto: IrqLock<Veto>,
    #[pin]
    settled: WaitQueue,
    #[pin]
    job: Work<Self, 0>,
    // A helper may be at the batch that the object came with when it leads the one it goes with.
    #[pin]
    linker: Work<Self, 1>,
    #[pin]
    unlinker: Work<Self, 2>,
    #[pin]
    batched: AtomicTracker<0>,
    #[pin]
    batch_links: ListLinks<0>,
    #[pin]
    listed: AtomicTracker<1>,
    #[pin]
    list_links: ListLinks<1>,
}

impl_has_work! {
    impl HasWork<Self, 0> for Object { self.job }
    impl HasWork<Self, 1> for Object { self.linker }
    impl HasWork<Self, 2> for Object { self.unlinker }
}
impl_list_arc_safe! {
    impl ListArcSafe<0> for Object { tracked_by batched: AtomicTracker<0>; }
    impl ListArcSafe<1> for Object { tracked_by listed: AtomicTracker<1>; }
}
impl_list_item! {
    impl ListItem<0> for Object { using ListLinks { self.batch_links }; }
    impl ListItem<1> for Object { using ListLinks { self.list_links }; }
}

impl Queued<Kernel> for Object {
    fn next(&self) -> &Atomic<*const Object> {
        &self.next
    }
}

impl Object {
    /// Makes one that is not attached yet. Sleeps; ENOMEM.
    pub(crate) fn new(owner: &Arc<Owner>, linkage: Arc<dyn Linkage>) -> Result<Arc<Self>> {
        let object = Arc::pin_init(
            pin_init!(Self {
                life: Life::default(),
                next: Atomic::new(ptr::null()),
                linkage,
                devd: owner.devd().clone(),
                owner: owner.clone(),
                times: Times {
                    submitted: Atomic::new(0),
                    again: Atomic::new(0),
                    reported: Atomic::new(false),
                },
                error: Atomic::new(0),
                runner: Atomic::new(0),
                quiesced: Atomic::new(false),
                holds: Atomic::new(0),
                asking <- new_mutex!((), "ifref_asking"),
                veto <- new_irq_lock!(Veto::default(), "ifref_veto"),
                settled <- new_wait_queue!("ifref_settled"),
                job <- new_work!("ifref_job"),
                linker <- new_work!("ifref_linker"),
                unlinker <- new_work!("ifref_unlinker"),
                batched <- AtomicTracker::new(),
                batch_links <- ListLinks::new(),
                listed <- AtomicTracker::new(),
                list_links <- ListLinks::new(),
            }),
            GFP_KERNEL,
        )?;
        LEDGER.attachments.make();
        owner.objects.add(1, Relaxed);
        Ok(object)
    }

    /// Its words.
    #[inline]
    pub(crate) fn life(&self) -> &Life<Kernel> {
        &self.life
    }

    /// What links it.
    pub(crate) fn linkage(&self) -> &dyn Linkage {
        &*self.linkage
    }

    /// Who attached it.
    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// The thread that sees to it.
    pub(crate) fn devd(&self) -> &Arc<Devd> {
        &self.devd
    }

    /// The task that runs a callback of its, or 0.
    pub(super) fn runner(&self) -> usize {
        self.runner.load(Relaxed)
    }

    /// devd's clock.
    pub(super) fn clock(&self) -> i64 {
        self.devd.clock()
    }

    /// Attaches it: sleeps until devd has made the linkages, and returns their error.
    ///
    /// ENODEV if a detach came first, or the owner leaves; EINVAL if it was attached before; EDEADLK
    /// as [`Devd::may_wait`] says. After an error it is the driver's again, and `free` is not called.
    pub(crate) fn attach(self: &Arc<Self>) -> Result {
        self.devd.may_wait()?;
        self.devd.enlist(self)?;
        self.submit(errand::LINK);
        let settled = || !matches!(self.life.course.stage(), Stage::Attaching | Stage::Failing);
        self.settled.wait(0, settled);
        match self.life.course.stage() {
            Stage::Failed => Err(Error::from_errno(self.error.load(Relaxed))),
            _ => Ok(()),
        }
    }

    /// Wants it detached, whatever the driver says. Idempotent; any context but NMI; O(1).
    #[inline]
    pub(crate) fn detach(self: &Arc<Self>, reason: Reason) {
        self.detach_at_once(self.life.course.detach(reason));
    }

    /// Wants it detached in order: the driver is asked, again if it has said no. Idempotent; any
    /// context but NMI; O(1).
    pub(crate) fn ask(self: &Arc<Self>) {
        if self.life.course.ask() {
            self.submit(errand::ASK);
        }
    }

    /// Sleeps until it is freed, or was given back because it could not be attached. ENODEV if
    /// nobody has attached it; EDEADLK as [`Devd::may_wait`] says.
    pub(crate) fn wait(&self) -> Result {
        self.devd.may_wait()?;
        if self.life.course.stage() == Stage::Made {
            return Err(ENODEV);
        }
        self.settled.wait(0, || self.life.course.over());
        Ok(())
    }

    /// The driver's own hold: delays `free` and unload until it is released. False if there is
    /// nothing to hold: not attached yet, or `free` is to be called. Any context but NMI.
    pub(crate) fn hold(&self) -> bool {
        let attached = Stage::Attached as u8..=Stage::Drained as u8;
        let held = attached.contains(&(self.life.course.stage() as u8)) && self.life.pins.pin();
        if held {
            self.holds.add(1, Relaxed);
        }
        held
    }

    /// Releases it. Any context but NMI.
    pub(crate) fn release(self: &Arc<Self>) {
        self.holds.add(-1, Relaxed);
        self.done();
    }

    /// How often the driver holds it. Any context.
    pub(crate) fn holds(&self) -> i32 {
        self.holds.load(Relaxed)
    }

    /// Why the driver has said no, if it has and nobody has overruled it. Any context.
    pub(crate) fn veto(&self) -> Option<Veto> {
        self.life.course.vetoed().then(|| *self.veto.lock())
    }

    /// A removal has begun, at that time; false if that is known.
    pub(super) fn begun(&self, at: i64) -> bool {
        let first = self.times.submitted.cmpxchg(0, at, Relaxed).is_ok();
        if first {
            self.devd.stats().queued.count();
        }
        first
    }

    /// The linkages are unmade, by whomever. Process context.
    pub(crate) fn unlinked(self: &Arc<Self>) {
        if self.life.unlinked() {
            self.linkage.invalidate();
            if self.life.depart(Begun::Asked, errand::DETACH) {
                self.devd.push(self);
            }
        }
        if self.life.course.stage() != Stage::Unlinked {
            // The linkages could not be made.
            return;
        }
        // It may not have come to devd.
        if self.begun(self.clock()) {
            self.devd.watch_soon();
        }
        let submitted = self.times.submitted.load(Relaxed);
        self.devd.stats().unlinked.note(self.clock() - submitted);
    }

    /// Nobody refers to it through a linkage any more. Any context but NMI.
    pub(crate) fn drained(self: &Arc<Self>) {
        if self.life.drained() {
            self.end();
        }
    }

    /// Has devd see to it.
    pub(super) fn submit(self: &Arc<Self>, errand: u32) {
        if self.life.send(&self.life.errands, errand) {
            self.devd.push(self);
        }
    }

    /// Has a worker see to it.
    pub(super) fn assign(self: &Arc<Self>, job: u32) {
        if self.life.send(&self.life.jobs, job) {
            self.enqueue();
        }
    }

    /// A pin goes, the last one perhaps. Any context but NMI.
    pub(crate) fn done(self: &Arc<Self>) {
        if self.life.done() {
            self.end();
        }
    }

    /// The last pin has gone.
    fn end(self: &Arc<Self>) {
        if self.life.jobs.put(job::END) {
            self.enqueue();
        }
    }

    fn enqueue(self: &Arc<Self>) {
        // It is not queued: it had no job.
        let _ = self.devd.jobs.queue().enqueue::<Arc<Self>, 0>(self.clone());
    }

    /// Has a helper run a section of its class.
    pub(super) fn help(self: Arc<Self>) {
        let devd = self.devd.clone();
        let helpers = devd.helpers();
        // An object is attached once and detached once, so neither is queued.
        if self.life.course.stage() == Stage::Attaching {
            let _ = helpers.enqueue::<Arc<Self>, 1>(self);
        } else {
            let _ = helpers.enqueue::<Arc<Self>, 2>(self);
        }
    }

    /// Says that linking has failed, or begins to wait for what is left of it.
    pub(super) fn failed(self: &Arc<Self>, error: Error, draining: bool) {
        self.error.store(error.to_errno(), Relaxed);
        self.life.course.fail();
        if !draining {
            self.done();
        }
    }

    /// The removal has begun: nobody follows a reference any more, and devd is to see to it.
    #[inline]
    pub(super) fn detach_at_once(self: &Arc<Self>, begun: Begun) {
        if begun != Begun::No {
            self.linkage.invalidate();
        }
        if self.life.depart(begun, errand::DETACH) {
            self.devd.push(self);
        }
    }

    /// Tells those who wait for what becomes of it.
    pub(super) fn settle(&self) {
        self.settled.wake();
    }
}

/// A use: delays `free` until it is dropped, which may be done in any context but NMI.
///
/// # Invariants
///
/// Owns one pin.
pub(crate) struct Use(Arc<Object>);

impl Use {
    /// Begins one; `None` if `free` is to be called. Any context but NMI.
    pub(crate) fn new(object: Arc<Object>) -> Option<Self> {
        // INVARIANT: just pinned.
        object.life.pins.pin().then_some(Self(object))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.linkage.name(f)?;
        write!(f, " (driver {})", self.owner.name())
    }
}

impl WorkItem<1> for Object {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        super::batch::section(this);
    }
}

impl WorkItem<2> for Object {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        super::batch::section(this);
    }
}

#[pinned_drop]
impl PinnedDrop for Object {
    fn drop(self: Pin<&mut Self>) {
        LEDGER.attachments.end();
        self.owner.objects.fetch_sub(1, Relaxed);
    }
}
