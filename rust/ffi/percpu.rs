// SPDX-License-Identifier: GPL-2.0

//! Counters of which each CPU has its own.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use super::bindings;
use core::ptr;
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::atomic::Atomic,
    types::Opaque, //
};

/// Room for a holder's name with its NUL.
pub const HOLDER_SIZE: usize = bindings::IFREF_HOLDER_SIZE as usize;

/// What each CPU counts.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Counter {
    /// References taken.
    Gets = bindings::IFREF_SHARD_GETS,
    /// References dropped.
    Puts = bindings::IFREF_SHARD_PUTS,
    /// Packets parked.
    Parked = bindings::IFREF_SHARD_PARKED,
    /// Packets sent or freed.
    Unparked = bindings::IFREF_SHARD_UNPARKED,
}

/// The counters of one account, with what its tracepoints tell.
///
/// A CPU that goes offline keeps what it has counted: sums are over all possible CPUs.
///
/// # Invariants
///
/// `each` is an allocation for every possible CPU, owned; `holder` ends with a NUL; `mode` is
/// accessed atomically only.
pub struct Shards(Opaque<bindings::ifref_shards>);

// SAFETY: The counters are atomic on their CPU and read once from elsewhere.
unsafe impl Send for Shards {}
// SAFETY: As above.
unsafe impl Sync for Shards {}

impl Shards {
    /// Counters that are zero. Sleeps unless `flags` say otherwise; ENOMEM.
    pub fn new(ifaddr: u64, serial: u64, holder: [u8; HOLDER_SIZE], flags: Flags) -> Result<Self> {
        let mut shards = bindings::ifref_shards {
            mode: 0,
            each: ptr::null_mut(),
            ifaddr,
            serial,
            holder,
        };
        // SAFETY: `shards` is writable.
        if unsafe { bindings::ifref_shards_init(&mut shards, flags != GFP_KERNEL) } {
            // INVARIANT: just allocated.
            Ok(Self(Opaque::new(shards)))
        } else {
            Err(ENOMEM)
        }
    }

    /// The word that says whether [`Self::get`] and [`Self::put`] count: if it is 0.
    #[inline]
    pub fn mode(&self) -> &Atomic<u32> {
        // SAFETY: the type's invariant.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).mode) }
    }

    /// Counts a get on this CPU if the mode is 0; says whether it did. Any context but NMI.
    #[inline]
    pub fn get(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_shards_get(self.0.get()) }
    }

    /// Counts a put on this CPU if the mode is 0; says whether it did. Any context but NMI.
    #[inline]
    pub fn put(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_shards_put(self.0.get()) }
    }

    /// Counts one on this CPU. Any context but NMI.
    #[inline]
    pub fn note(&self, which: Counter) {
        // SAFETY: the type's invariant; `which` is a counter.
        unsafe { bindings::ifref_shards_note(self.0.get(), which as u32) };
    }

    /// What all CPUs have counted. Any context.
    pub fn sum(&self, which: Counter) -> u64 {
        // SAFETY: the type's invariant; `which` is a counter.
        unsafe { bindings::ifref_shards_sum(self.0.get(), which as u32) }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { bindings::ifref_shards_exit(self.0.get()) };
    }
}
