// SPDX-License-Identifier: GPL-2.0

//! The watch: removals that are stuck are reported, drivers that have said no are asked again.

use super::{
    Devd,
    Object, //
};
use crate::lifecycle::Stage;
use kernel::{
    impl_has_delayed_work,
    prelude::*,
    sync::{
        atomic::{Full, Relaxed},
        Arc, //
    },
    time::msecs_to_jiffies,
    workqueue::WorkItem, //
};

/// Milliseconds between two looks, while there is something to look at.
const LOOK_MS: u32 = 250;

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 0> for Devd { self.watch }
}

impl WorkItem<0> for Devd {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        while let Some(object) = this.find(Object::is_stuck) {
            this.report(&object);
        }
        while let Some(object) = this.find(Object::is_to_be_asked) {
            object.times.again.store(0, Relaxed);
            object.ask();
        }
        if this.find(Object::is_watched).is_some() {
            this.watch_soon();
        }
    }
}

impl Devd {
    /// Has somebody look, soon. Any context but NMI.
    pub(super) fn watch_soon(self: &Arc<Self>) {
        if !self.ended() {
            // An error says that it is queued already.
            let _ = self
                .jobs
                .queue()
                .enqueue_delayed::<Arc<Self>, 0>(self.clone(), msecs_to_jiffies(LOOK_MS));
        }
    }

    /// Says once who keeps an object from being freed.
    fn report(&self, object: &Object) {
        if object.times.reported.xchg(true, Full) {
            return;
        }
        self.stats.stuck.count();
        let course = &object.life().course;
        let since = object.clock() - object.times.submitted.load(Relaxed);
        pr_warn!(
            "devd: {object}: stuck: {} for {}.{:03} s ({}), {}, held by the driver {} times\n",
            course.stage().name(),
            since / 1_000_000_000,
            since / 1_000_000 % 1000,
            course.reason().map_or("none", |reason| reason.name()),
            object.doing(),
            object.holds()
        );
        object.linkage().report(object, (since / 1_000_000) as u64);
    }
}

impl Object {
    /// Whether a removal is under way.
    fn is_going(&self) -> bool {
        let stage = self.life().course.stage();
        matches!(stage, Stage::Detaching | Stage::Unlinked | Stage::Drained)
    }

    fn is_stuck(&self) -> bool {
        let submitted = self.times.submitted.load(Relaxed);
        let since = self.clock() - submitted;
        self.is_going()
            && submitted != 0
            && since > super::deadline_ms() * 1_000_000
            && !self.times.reported.load(Relaxed)
    }

    fn is_to_be_asked(&self) -> bool {
        let again = self.times.again.load(Relaxed);
        again != 0 && self.clock() > again && self.life().course.vetoed()
    }

    fn is_watched(&self) -> bool {
        self.is_going() || (self.times.again.load(Relaxed) != 0 && self.life().course.vetoed())
    }

    /// What of the driver's is running.
    fn doing(&self) -> &'static str {
        if self.runner() == 0 {
            "no callback running"
        } else if self.quiesced.load(Relaxed) {
            "in its free"
        } else {
            "in its quiesce"
        }
    }
}
