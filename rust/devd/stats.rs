// SPDX-License-Identifier: GPL-2.0

//! `devd/`: what it has done.

use super::Devd;
use crate::ffi::kobject::files;
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};

/// A counter that only grows.
pub(super) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    /// One more. Any context.
    pub(super) fn count(&self) {
        self.0.add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What devd has done.
#[derive(Default)]
pub(crate) struct Stats {
    pub(super) queued: Counter,
    pub(super) batches: Counter,
    largest: Counter,
    pub(super) sections: Counter,
    pub(super) attached: Counter,
    pub(super) detached: Counter,
    pub(super) vetoed: Counter,
    pub(super) stuck: Counter,
    pub(super) unlinked: Duration,
    pub(super) freed: Duration,
}

impl Stats {
    /// One more batch. devd's thread.
    pub(super) fn batch(&self, objects: usize) {
        self.batches.count();
        let objects = objects as u64;
        if objects > self.largest.get() {
            self.largest.0.store(objects, Relaxed);
        }
    }
}

/// How long something took.
#[derive(Default)]
pub(crate) struct Duration {
    count: Counter,
    sum: Counter,
    last: Counter,
    max: Counter,
}

impl Duration {
    /// It took that long once more. Any context.
    pub(super) fn note(&self, ns: i64) {
        let ns = ns.max(0) as u64;
        self.last.0.store(ns, Relaxed);
        self.sum.0.add(ns, Relaxed);
        self.count.count();
        let mut max = self.max.get();
        while ns > max {
            match self.max.0.cmpxchg(max, ns, Relaxed) {
                Ok(_) => break,
                Err(now) => max = now,
            }
        }
    }

    fn last_us(&self) -> u64 {
        self.last.get() / 1000
    }

    fn max_us(&self) -> u64 {
        self.max.get() / 1000
    }

    fn mean_us(&self) -> u64 {
        let count = self.count.get().max(1);
        self.sum.get() / count / 1000
    }
}

files! {
    private Devd {
        queued => |devd, page| page.line(fmt!("{}", devd.stats().queued.get())),
        batches => |devd, page| page.line(fmt!("{}", devd.stats().batches.get())),
        largest_batch => |devd, page| page.line(fmt!("{}", devd.stats().largest.get())),
        sections => |devd, page| page.line(fmt!("{}", devd.stats().sections.get())),
        attached => |devd, page| page.line(fmt!("{}", devd.stats().attached.get())),
        detached => |devd, page| page.line(fmt!("{}", devd.stats().detached.get())),
        vetoed => |devd, page| page.line(fmt!("{}", devd.stats().vetoed.get())),
        stuck => |devd, page| page.line(fmt!("{}", devd.stats().stuck.get())),
        unlinked_last_us => |devd, page| page.line(fmt!("{}", devd.stats().unlinked.last_us())),
        unlinked_mean_us => |devd, page| page.line(fmt!("{}", devd.stats().unlinked.mean_us())),
        unlinked_max_us => |devd, page| page.line(fmt!("{}", devd.stats().unlinked.max_us())),
        freed_last_us => |devd, page| page.line(fmt!("{}", devd.stats().freed.last_us())),
        freed_mean_us => |devd, page| page.line(fmt!("{}", devd.stats().freed.mean_us())),
        freed_max_us => |devd, page| page.line(fmt!("{}", devd.stats().freed.max_us())),
    }
}
