// SPDX-License-Identifier: GPL-2.0

//! What a driver has attached, whatever it is.

use super::{
    Devd,
    Linkage,
    Owner,
    Veto, //
};
use crate::{
    ffi::{
        sched,
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
        ListArc,
        ListLinks,
        TryNewListArc, //
    },
    new_work,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc, //
    },
    time::{Instant, Monotonic},
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
    /// Begin its removal.
    pub(crate) const DETACH: u32 = 4;
    /// Go on with it: its `quiesce` was late.
    pub(crate) const QUIET: u32 = 8;
}

/// What a worker is to do with an object.
pub(super) mod job {
    /// Ask its driver.
    pub(crate) const ASK: u32 = 1;
    /// Run `quiesce`.
    pub(crate) const QUIESCE: u32 = 2;
    /// End it.
    pub(crate) const END: u32 = 4;
}

/// When what was: nanoseconds since the object was made, 0 if not yet.
pub(super) struct Times {
    pub(super) submitted: Atomic<i64>,
    /// When the driver is to be asked again.
    pub(super) again: Atomic<i64>,
    /// Whether it was reported that the removal takes long.
    pub(super) reported: Atomic<bool>,
}

/// What a driver has attached: it lives from the driver's making it to the last reference.
#[pin_data(PinnedDrop)]
pub struct Object {
    life: Life<Kernel>,
    next: Atomic<*const Object>,
    linkage: Arc<dyn Linkage>,
    devd: Arc<Devd>,
    owner: Arc<Owner>,
    made: Instant<Monotonic>,
    pub(super) times: Times,
    /// The error that `attach` returns.
    error: Atomic<i32>,
    /// The task that runs a callback, to compare.
    runner: Atomic<usize>,
    /// How often the driver holds it.
    holds: Atomic<i32>,
    #[pin]
    veto: IrqLock<Veto>,
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
    pub fn new(owner: &Arc<Owner>, linkage: Arc<dyn Linkage>) -> Result<Arc<Self>> {
        let object = Arc::pin_init(
            pin_init!(Self {
                life: Life::default(),
                next: Atomic::new(ptr::null()),
                linkage,
                devd: owner.devd().clone(),
                owner: owner.clone(),
                made: Instant::now(),
                times: Times {
                    submitted: Atomic::new(0),
                    again: Atomic::new(0),
                    reported: Atomic::new(false),
                },
                error: Atomic::new(0),
                runner: Atomic::new(0),
                holds: Atomic::new(0),
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
        Ok(object)
    }

    /// Its words.
    #[inline]
    pub fn life(&self) -> &Life<Kernel> {
        &self.life
    }

    /// What links it.
    pub fn linkage(&self) -> &dyn Linkage {
        &*self.linkage
    }

    /// Who attached it.
    pub fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// The thread that sees to it.
    pub fn devd(&self) -> &Arc<Devd> {
        &self.devd
    }

    /// The task that runs a callback of its, or 0.
    pub(super) fn runner(&self) -> usize {
        self.runner.load(Relaxed)
    }

    /// Nanoseconds since it was made, at least 1.
    pub(super) fn clock(&self) -> i64 {
        self.made.elapsed().as_nanos().max(1)
    }

    /// Attaches it: sleeps until devd has made the linkages, and returns their error.
    ///
    /// ENODEV if a detach came first, or the owner leaves; EINVAL if it was attached before; EDEADLK
    /// as [`Devd::may_wait`] says. After an error it is the driver's again, and `free` is not called.
    pub fn attach(self: &Arc<Self>) -> Result {
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
    pub fn detach(self: &Arc<Self>, reason: Reason) {
        if self.life.course.detach(reason) {
            self.begun();
            self.submit(errand::DETACH);
        }
    }

    /// Wants it detached in order: the driver is asked, again if it has said no. Idempotent; any
    /// context but NMI; O(1).
    pub fn ask(self: &Arc<Self>) {
        if self.life.course.ask() {
            self.submit(errand::ASK);
        }
    }

    /// Sleeps until it is freed, or was given back because it could not be attached. ENODEV if
    /// nobody has attached it; EDEADLK as [`Devd::may_wait`] says.
    pub fn wait(&self) -> Result {
        self.devd.may_wait()?;
        if self.life.course.stage() == Stage::Made {
            return Err(ENODEV);
        }
        self.settled.wait(0, || self.life.course.over());
        Ok(())
    }

    /// The driver's own hold: delays `free` and unload until it is released. False if there is
    /// nothing to hold: not attached yet, or `free` is to be called. Any context but NMI.
    pub fn hold(&self) -> bool {
        let attached = Stage::Attached as u8..=Stage::Drained as u8;
        let held = attached.contains(&(self.life.course.stage() as u8)) && self.life.pins.pin();
        if held {
            self.holds.add(1, Relaxed);
        }
        held
    }

    /// Releases it. Any context but NMI.
    pub fn release(self: &Arc<Self>) {
        self.holds.add(-1, Relaxed);
        self.done();
    }

    /// How often the driver holds it. Any context.
    pub fn holds(&self) -> i32 {
        self.holds.load(Relaxed)
    }

    /// Why the driver has said no, if it has and nobody has overruled it. Any context.
    pub fn veto(&self) -> Option<Veto> {
        self.life.course.vetoed().then(|| *self.veto.lock())
    }

    /// A removal has begun.
    fn begun(&self) {
        self.times.submitted.store(self.clock(), Relaxed);
        self.devd.stats().queued.count();
        self.linkage.invalidate();
    }

    /// The linkages are unmade, by whomever. Process context.
    pub fn unlinked(self: &Arc<Self>) {
        if self.life.course.unlinked() {
            self.begun();
            self.devd.watch_soon();
        }
        let submitted = self.times.submitted.load(Relaxed);
        if submitted != 0 && self.life.course.stage() == Stage::Unlinked {
            self.devd.stats().unlinked.note(self.clock() - submitted);
        }
    }

    /// Nobody refers to it through a linkage any more. Any context but NMI.
    pub fn drained(self: &Arc<Self>) {
        if self.life.drained() {
            self.end();
        }
    }

    /// Has devd see to it.
    pub(super) fn submit(self: &Arc<Self>, errand: u32) {
        if self.life.send(&self.life.errands, errand) {
            let devd = self.devd.clone();
            devd.push(self.clone());
        }
    }

    /// Has a worker see to it.
    pub(super) fn assign(self: &Arc<Self>, job: u32) {
        if self.life.send(&self.life.jobs, job) {
            self.enqueue();
        }
    }

    /// A pin goes, the last one perhaps. Any context but NMI.
    pub fn done(self: &Arc<Self>) {
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

    /// Leads a batch: a helper sees to it.
    pub(super) fn help(self: Arc<Self>) {
        let devd = self.devd.clone();
        let helpers = devd.helpers.queue();
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

    /// A removal that was wanted while the linkages were made.
    pub(super) fn detach_at_once(self: &Arc<Self>) {
        self.begun();
        self.submit(errand::DETACH);
    }

    /// Tells those who wait for what becomes of it.
    pub(super) fn settle(&self) {
        self.settled.wake();
    }

    /// Runs the driver's code, on a worker.
    fn callback<R>(&self, call: impl FnOnce(&dyn Linkage) -> R) -> R {
        self.runner.store(sched::current(), Relaxed);
        let result = call(&*self.linkage);
        self.runner.store(0, Relaxed);
        result
    }

    fn put_to_driver(self: &Arc<Self>) {
        if self.life.course.stage() != Stage::Attached {
            return;
        }
        match self.callback(|linkage| linkage.may_detach()) {
            Ok(()) => {
                if self.life.course.grant() {
                    self.begun();
                    self.submit(errand::DETACH);
                }
            }
            Err(veto) => {
                *self.veto.lock() = veto;
                let again = match veto.again_ms {
                    0 => 0,
                    ms => self.clock() + i64::from(ms) * 1_000_000,
                };
                self.times.again.store(again, Relaxed);
                if self.life.course.veto() {
                    self.devd.stats().vetoed.count();
                    self.devd.watch_soon();
                }
            }
        }
    }

    fn quiesce(self: &Arc<Self>) {
        self.callback(|linkage| linkage.quiesce());
        if self.life.quiesce.end() {
            self.submit(errand::QUIET);
        } else {
            self.devd.rested(self);
        }
    }

    /// The last thing that happens to it.
    fn finish(self: &Arc<Self>) {
        let freed = self.life.course.stage() != Stage::Failing;
        if freed {
            if self.life.quiesce.begin() {
                // Somebody else has unlinked it.
                self.callback(|linkage| linkage.quiesce());
                let _ = self.life.quiesce.end();
            }
            self.callback(|linkage| linkage.free());
            let since = self.times.submitted.load(Relaxed);
            self.devd.stats().freed.note(self.clock() - since);
            self.devd.stats().detached.count();
            self.tell_end(since);
        } else {
            self.callback(|linkage| linkage.fail());
        }
        self.life.course.end();
        self.devd.delist(self);
        self.settle();
    }

    /// The end of a removal whose beginning was reported.
    fn tell_end(&self, since: i64) {
        if self.times.reported.xchg(false, Full) {
            let ms = (self.clock() - since) / 1_000_000;
            pr_notice!(
                "devd: {self}: freed after {}.{:03} s\n",
                ms / 1000,
                ms % 1000
            );
        }
    }
}

/// A use: delays `free` until it is dropped, which may be done in any context but NMI.
///
/// # Invariants
///
/// Owns one pin.
pub struct Use(Arc<Object>);

impl Use {
    /// Begins one; `None` if `free` is to be called. Any context but NMI.
    pub fn new(object: Arc<Object>) -> Option<Self> {
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

impl WorkItem<0> for Object {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let jobs = this.life.jobs.take();
        if jobs & job::ASK != 0 {
            this.put_to_driver();
            this.done();
        }
        if jobs & job::QUIESCE != 0 {
            this.quiesce();
            this.done();
        }
        if jobs & job::END != 0 {
            this.finish();
        }
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
    }
}

impl Devd {
    /// Puts an object that is to be attached on the list, and begins.
    fn enlist(&self, object: &Arc<Object>) -> Result {
        let item = ListArc::<_, 1>::try_from_arc_or_drop(object.clone()).ok_or(EINVAL)?;
        let mut objects = self.objects.lock();
        if object.owner.is_shut() {
            return Err(ENODEV);
        }
        let course = &object.life.course;
        if !course.begin() {
            return Err(if course.unwanted() { ENODEV } else { EINVAL });
        }
        object.owner.enter();
        objects.push_back(item);
        Ok(())
    }

    /// Takes one off that has come to its end.
    fn delist(&self, object: &Arc<Object>) {
        let mut objects = self.objects.lock();
        // SAFETY: `enlist` has put it on this list, and it is taken off once.
        let item = unsafe { objects.remove(object) };
        object.owner.leave();
        drop(objects);
        drop(item);
        object.owner.tell();
    }

    /// The first one on the list of which `is` says so, with no lock held any more.
    pub(super) fn find(&self, is: impl Fn(&Object) -> bool) -> Option<Arc<Object>> {
        let objects = self.objects.lock();
        let found = objects.iter().find(|object| is(object));
        found.map(Arc::from)
    }

    /// Detaches all that is an owner's; it attaches nothing any more.
    pub(super) fn detach_all_of(&self, owner: &Owner) {
        let objects = self.objects.lock();
        owner.shut();
        for object in objects.iter() {
            let object: Arc<Object> = object.into();
            if ptr::eq(&*object.owner, owner) {
                object.detach(Reason::Unload);
            }
        }
    }
}
