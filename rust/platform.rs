// SPDX-License-Identifier: GPL-2.0

//! The kernel as the platform of [`crate::lifecycle`].

use crate::{
    ffi::{
        compat,
        percpu::{
            Counter,
            Cpus,
            Shards, //
        },
        rwonce, //
    },
    lifecycle::{
        self,
        Platform,
        Pointer,
        Wide,
        Word, //
    },
};
use kernel::sync::{
    atomic::{Acquire, Atomic, Full, Release},
    rcu, //
};

/// The kernel's atomics and RCU.
pub struct Kernel;

impl Platform for Kernel {
    type Word = Atomic<u32>;
    type Wide = Atomic<i64>;
    type Shards = Shards;
    type Pointer<T> = Atomic<*const T>;
    type Guard = rcu::Guard;

    fn synchronize() {
        compat::synchronize_rcu();
    }
}

impl Word for Atomic<u32> {
    fn new(value: u32) -> Self {
        Atomic::new(value)
    }

    #[inline]
    fn load(&self) -> u32 {
        rwonce::word_acquire(self)
    }

    #[inline]
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.cmpxchg(old, new, Full)
    }
}

impl Wide for Atomic<i64> {
    fn new(value: i64) -> Self {
        Atomic::new(value)
    }

    fn load(&self) -> i64 {
        Atomic::load(self, Acquire)
    }

    fn add(&self, delta: i64) -> i64 {
        self.fetch_add(delta, Full)
    }
}

impl lifecycle::Shards for Shards {
    type Cpus = Cpus;

    #[inline]
    fn get(&self) -> bool {
        Shards::get(self)
    }

    #[inline]
    fn put(&self) -> bool {
        Shards::put(self)
    }

    fn close(&self, cpus: &Cpus) -> i64 {
        Shards::close(self, cpus)
    }

    fn gets(&self) -> u64 {
        self.sum(Counter::Gets)
    }

    fn puts(&self) -> u64 {
        self.sum(Counter::Puts)
    }
}

impl<T> Pointer<T> for Atomic<*const T> {
    fn new(target: *const T) -> Self {
        Atomic::new(target)
    }

    #[inline]
    fn load(&self) -> *const T {
        rwonce::pointer_acquire(self)
    }

    fn store(&self, target: *const T) {
        Atomic::store(self, target, Release);
    }

    fn clear(&self) {
        self.xchg(core::ptr::null(), Full);
    }
}
