// SPDX-License-Identifier: GPL-2.0

//! devd: one thread carries out what drivers submit.
//!
//! It attaches and detaches [`Object`]s, of whatever [`Class`], in batches. What they are, and what
//! has to be done to them, says their [`Linkage`]; nothing here knows a network device.
//! `Documentation/devd.rst` has the whole.

pub(crate) mod batch;
pub(crate) mod jobs;
pub(crate) mod linkage;
pub(crate) mod list;
pub(crate) mod object;
pub(crate) mod owner;
pub(crate) mod stats;
mod things;
pub(crate) mod watch;

pub use linkage::Veto;
pub(crate) use linkage::{Class, Failure, Linkage, Step};
pub(crate) use object::Object;
pub(crate) use owner::Owner;

use crate::{
    ffi::{
        jiffies,
        kthread::{
            Duty,
            Waker,
            Worker, //
        },
        module::can_sleep,
        rtnetlink,
        rwonce::{
            time_store,
            word_acquire, //
        },
        sched,
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
        workqueue::OwnedQueue, //
    },
    lifecycle::{
        Queue as Submitted,
        Stage, //
    },
    platform::Kernel, //
};
use core::{mem, ptr};
use kernel::{
    list::{
        List,
        ListArc, //
    },
    new_delayed_work, new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc,
        ArcBorrow,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
    workqueue::{
        DelayedWork,
        Queue, //
    },
};
use object::errand;
use stats::Stats;

/// How often devd waits for 100 µs for more of what is going, if more has come.
const GATHERINGS: u32 = 100;

/// What devd is made of.
#[pin_data]
pub(crate) struct Devd {
    queue: Submitted<Kernel, Object>,
    waker: Waker,
    made: Instant<Monotonic>,
    /// When the first of what is queued was submitted; less than 0: at those jiffies, while devd
    /// slept; 0 if that is not known.
    first: Atomic<i64>,
    /// Whether the thread is at it; and how long it had waited for a CPU in its life when it slept.
    awake: Atomic<u32>,
    delayed: Atomic<i64>,
    /// What is attached, being attached, or not freed yet; the owners' counts are under it, too.
    #[pin]
    objects: IrqLock<List<Object, 1>>,
    /// What waits for a section.
    #[pin]
    section: Mutex<List<Object, 0>>,
    #[pin]
    watch: DelayedWork<Self, 0>,
    stats: Stats,
    /// Runs the drivers' callbacks.
    jobs: OwnedQueue,
    /// Runs sections, each until its objects have drained.
    helpers: OwnedQueue,
    ended: Atomic<bool>,
}

/// Milliseconds until a removal that has not ended is reported: the module's parameter.
fn deadline_ms() -> i64 {
    i64::from(crate::module_parameters::drain_deadline_ms.value())
}

impl Duty for Devd {
    fn run(self: &Arc<Self>) {
        // Before anything is taken: who submits after that sees it.
        self.awake.xchg(1, Full);
        self.pass();
        self.delayed.store(sched::run_delay(), Relaxed);
        self.awake.store(0, Relaxed);
    }
}

/// devd's thread. Dropping it ends devd: nothing is attached any more.
pub(crate) struct Running {
    devd: Arc<Devd>,
    thread: Option<Worker<Devd>>,
}

impl Running {
    /// Starts the thread. Sleeps.
    pub(crate) fn new(devd: &Arc<Devd>) -> Result<Self> {
        let thread = Worker::new(c"ifref-devd", devd.clone())?;
        // SAFETY: what submits keeps the module loaded, whose exit drops the thread.
        unsafe { thread.answer_to(&devd.waker) };
        Ok(Self {
            devd: devd.clone(),
            thread: Some(thread),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.thread = None;
        self.devd.ended.store(true, Release);
        // It runs at once and is not queued again.
        self.devd.jobs.flush_delayed(&self.devd.watch);
        // What has told its driver that it is over may not have returned.
        self.devd.helpers.flush();
        self.devd.jobs.flush();
    }
}

impl Devd {
    /// A devd without its thread. Sleeps.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                queue: Submitted::default(),
                waker: Waker::default(),
                made: Instant::now(),
                first: Atomic::new(0),
                awake: Atomic::new(0),
                delayed: Atomic::new(0),
                objects <- new_irq_lock!(List::new(), "ifref_objects"),
                section <- new_mutex!(List::new()),
                watch <- new_delayed_work!("ifref_watch"),
                stats: Stats::default(),
                jobs: OwnedQueue::unbound(c"ifref-jobs")?,
                helpers: OwnedQueue::unbound(c"ifref-drain")?,
                ended: Atomic::new(false),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Ends its queues, even if a reference to this is left. Sleeps.
    ///
    /// # Safety
    ///
    /// Its thread has ended, and nobody is left who could submit.
    pub(crate) unsafe fn end(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            self.jobs.end();
            self.helpers.end();
        }
    }

    /// Where what may wait for ever is run.
    pub(crate) fn helpers(&self) -> &Queue {
        self.helpers.queue()
    }

    /// Whether its thread has ended: nothing is to come any more.
    fn ended(&self) -> bool {
        self.ended.load(Acquire)
    }

    /// What is counted.
    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Nanoseconds since it was made, at least 1.
    fn clock(&self) -> i64 {
        self.made.elapsed().as_nanos().max(1)
    }

    /// Pushes an object that was sent on an errand. Any context but NMI.
    #[inline]
    fn push(&self, object: &Arc<Object>) {
        // What happens to the object after the push is not its submitter's: it may be freed, and
        // the reference be put. devd itself stays until the module's exit.
        let devd: *const Self = self;
        // SAFETY: its errand pins it, so it is on the list, which keeps it. It is on no queue: its
        // errands were empty.
        if unsafe { self.queue.push(object) } {
            // SAFETY: as said above.
            unsafe { &*devd }.wake();
        }
    }

    /// Something was submitted after devd had taken all there was.
    fn wake(&self) {
        // The clock is not read for each: those of one batch count from its first one on; nor if
        // devd sleeps, as that would be half of what a submit may cost.
        let at = match word_acquire(&self.awake) {
            0 => jiffies::now().wrapping_neg(),
            _ => self.clock(),
        };
        time_store(&self.first, at);
        self.waker.wake();
    }

    /// When devd was woken, at those jiffies: as long ago as it has waited for a CPU since. The
    /// scheduler may count a part of its sleep to that, if it has moved the thread meanwhile; jiffies,
    /// which are coarse, say how much it is at most.
    fn woken(&self, at: i64) -> i64 {
        let waited = sched::run_delay() - self.delayed.load(Relaxed);
        let most = (jiffies::now() - at + 1) * jiffies::NANOSECONDS;
        (self.clock() - waited.clamp(0, most.max(0))).max(1)
    }

    /// All that is there, as one batch.
    fn pass(self: &Arc<Self>) {
        let mut batch = List::new();
        let mut going = self.take(&mut batch);
        if going {
            // Whatever becomes of them: others may have the section's lock, and not give it back.
            self.watch_soon();
        }
        // A driver that detaches one mostly detaches more, and the first one has woken devd, which
        // would have a section for it alone. A moment is less than the grace periods in that.
        for _ in 0..GATHERINGS {
            if !going {
                break;
            }
            fsleep(Delta::from_micros(100));
            going = self.take(&mut batch);
        }
        if !batch.is_empty() {
            self.stats.batch(batch.iter().count());
            self.hand_over(batch);
        }
    }

    /// Takes all that is there, and withdraws what is going; true if anything is.
    fn take(&self, batch: &mut List<Object, 0>) -> bool {
        let mut going = false;
        // Before it is taken: what comes after that has its own time.
        let first = match self.first.xchg(0, Full) {
            0 => self.clock(),
            slept @ ..0 => self.woken(-slept),
            first => first,
        };
        for object in self.queue.take() {
            // SAFETY: from `push`; the errand's pin and the list keep it.
            let object: Arc<Object> = unsafe { ArcBorrow::from_raw(object) }.into();
            let errands = object.life().errands.take();
            if errands & errand::ASK != 0 {
                object.assign(jobs::job::ASK);
                object.done();
            }
            // One of these, with a pin that goes in the section.
            match errands & !errand::ASK {
                0 => continue,
                errand::DETACH => {
                    object.begun(first);
                    object.linkage().withdraw();
                    going = true;
                }
                _ => {}
            }
            if let Some(object) = ListArc::try_from_arc_or_drop(object) {
                batch.push_back(object);
            }
        }
        going
    }

    /// Has a section run for a batch. Nobody waits for it: a helper that waits for the section's
    /// lock takes along what comes meanwhile.
    fn hand_over(&self, batch: List<Object, 0>) {
        // A helper that was started finds all of the batch.
        let mut waiting = self.section.lock();
        for object in batch {
            let class = object.linkage().class();
            let mut others = waiting.iter().map(|other| other.linkage().class());
            if !others.any(|other| ptr::eq(other, class)) {
                Object::help(object.as_arc_borrow().into());
            }
            waiting.push_back(object);
        }
    }

    /// For a helper: what of a class waits, first what is going, then what is coming.
    fn take_section(&self, class: &Class) -> (List<Object, 0>, List<Object, 0>) {
        let (mut going, mut coming) = (List::new(), List::new());
        let mut waiting = self.section.lock();
        for object in mem::take(&mut *waiting) {
            if !ptr::eq(object.linkage().class(), class) {
                waiting.push_back(object);
            } else if object.life().course.stage() == Stage::Attaching {
                coming.push_back(object);
            } else {
                going.push_back(object);
            }
        }
        drop(waiting);
        if !going.is_empty() || !coming.is_empty() {
            self.stats.sections.count();
        }
        (going, coming)
    }

    /// Whether the caller may wait for devd: EDEADLK in a callback of devd's or, where lockdep
    /// knows, under RTNL; EWOULDBLOCK where nobody may sleep. Any context.
    pub(crate) fn may_wait(&self) -> Result {
        if !can_sleep() {
            // By its other name.
            return Err(EAGAIN);
        }
        let task = sched::current();
        let calls = |object: &Object| object.runner() == task;
        if rtnetlink::mine() == Some(true) || self.find(calls).is_some() {
            return Err(EDEADLK);
        }
        Ok(())
    }
}
