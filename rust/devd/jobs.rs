// SPDX-License-Identifier: GPL-2.0

//! What a worker does with an object: the driver's code is run here, and nowhere else.

use super::{
    object::{
        errand,
        Use, //
    },
    Linkage,
    Object,
    Veto, //
};
use crate::{
    ffi::sched,
    lifecycle::{
        Begun,
        Stage,
        Vetoed, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    workqueue::WorkItem, //
};

/// What a worker is to do with an object.
pub(super) mod job {
    /// Ask its driver.
    pub(crate) const ASK: u32 = 1;
    /// Run `quiesce`.
    pub(crate) const QUIESCE: u32 = 2;
    /// End it.
    pub(crate) const END: u32 = 4;
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

impl Object {
    /// Runs the driver's code, on a worker.
    fn callback<R>(&self, call: impl FnOnce(&dyn Linkage) -> R) -> R {
        self.runner.store(sched::current(), Relaxed);
        let result = call(&*self.linkage);
        self.runner.store(0, Relaxed);
        result
    }

    /// Asks the driver, unless it is too late.
    fn answer(&self) -> Option<Result<(), Veto>> {
        // An administrator's question is on another worker.
        let _asking = self.asking.lock();
        if self.life.course.stage() != Stage::Attached {
            return None;
        }
        Some(self.callback(|linkage| linkage.may_detach()))
    }

    fn put_to_driver(self: &Arc<Self>) {
        match self.answer() {
            None => {}
            Some(Ok(())) => {
                if self.life.course.grant() {
                    self.detach_at_once(Begun::Asked);
                }
            }
            Some(Err(veto)) => {
                let again = match veto.again_ms {
                    0 => 0,
                    ms => self.clock() + i64::from(ms) * 1_000_000,
                };
                self.times.again.store(again, Relaxed);
                self.refused(veto);
            }
        }
    }

    /// The driver has said no, to what was asked.
    fn refused(self: &Arc<Self>, veto: Veto) {
        *self.veto.lock() = veto;
        match self.life.course.veto() {
            Vetoed::Stands => {
                self.devd.stats().vetoed.count();
                self.devd.watch_soon();
            }
            Vetoed::AskAgain => self.submit(errand::ASK),
            Vetoed::Overruled => {}
        }
    }

    /// Asks the driver, for somebody who will have it detach by itself. A no is noted, and not asked
    /// again. Process context, sleeps as long as the driver's callback does.
    pub(crate) fn consents(self: &Arc<Self>) -> bool {
        // Or its driver might be gone in the middle of it.
        let Some(_use) = Use::new(self.clone()) else {
            return false;
        };
        match self.answer() {
            None => false,
            Some(Ok(())) => true,
            Some(Err(veto)) => {
                if self.life.course.ask() {
                    self.times.again.store(0, Relaxed);
                    self.refused(veto);
                }
                false
            }
        }
    }

    fn quiesce(self: &Arc<Self>) {
        // Who is being asked has not let go of anything yet, and none is asked from here on.
        drop(self.asking.lock());
        self.callback(|linkage| linkage.quiesce());
        self.quiesced.store(true, Relaxed);
    }

    /// The last thing that happens to it.
    fn finish(self: &Arc<Self>) {
        let freed = self.life.course.stage() != Stage::Failing;
        if freed {
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
        // It stays: what is over is not reported once more.
        if self.times.reported.load(Relaxed) {
            let ms = (self.clock() - since) / 1_000_000;
            pr_notice!(
                "devd: {self}: freed after {}.{:03} s\n",
                ms / 1000,
                ms % 1000
            );
        }
    }
}
