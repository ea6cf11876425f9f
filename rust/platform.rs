// SPDX-License-Identifier: GPL-2.0

//! The kernel as the platform of [`crate::lifecycle`].

use crate::{
    ffi::compat,
    lifecycle::{
        Platform,
        Pointer,
        Word, //
    },
};
use kernel::sync::{
    atomic::{Acquire, Atomic, Full},
    rcu, //
};

/// The kernel's atomics and RCU.
pub struct Kernel;

impl Platform for Kernel {
    type Word = Atomic<u32>;
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
        Atomic::load(self, Acquire)
    }

    #[inline]
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.cmpxchg(old, new, Full)
    }

    #[inline]
    fn fetch_inc(&self) -> u32 {
        self.fetch_add(1, Full)
    }

    #[inline]
    fn fetch_dec(&self) -> u32 {
        self.fetch_sub(1, Full)
    }
}

impl<T> Pointer<T> for Atomic<*const T> {
    fn new(target: *const T) -> Self {
        Atomic::new(target)
    }

    #[inline]
    fn load(&self) -> *const T {
        Atomic::load(self, Acquire)
    }

    fn clear(&self) {
        self.xchg(core::ptr::null(), Full);
    }
}
