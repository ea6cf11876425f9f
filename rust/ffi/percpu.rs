// SPDX-License-Identifier: GPL-2.0

//! Counters of which each CPU has its own.
//!
//! C headers: [`include/linux/percpu.h`](srctree/include/linux/percpu.h),
//! [`include/linux/cpu.h`](srctree/include/linux/cpu.h)

use super::{
    bindings,
    gfp, //
};
use core::ptr;
use kernel::{
    alloc::Flags,
    bindings::tracepoint,
    prelude::*,
    static_branch_unlikely,
    types::NotThreadSafe, //
};

/// Room for a holder's name with its NUL.
pub(crate) const HOLDER_SIZE: usize = bindings::IFREF_HOLDER_SIZE as usize;

/// What each CPU counts.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Counter {
    /// References taken.
    Gets = GETS,
    /// References dropped.
    Puts = PUTS,
    /// Packets parked.
    Parked = PARKED,
    /// Packets sent or freed.
    Unparked = UNPARKED,
}

const GETS: u32 = bindings::IFREF_SHARD_GETS;
const PUTS: u32 = bindings::IFREF_SHARD_PUTS;
const PARKED: u32 = bindings::IFREF_SHARD_PARKED;
const UNPARKED: u32 = bindings::IFREF_SHARD_UNPARKED;

#[allow(improper_ctypes, reason = "a tracepoint has empty structures in it")]
extern "C" {
    static __tracepoint_ifref_ref_get: tracepoint;
    static __tracepoint_ifref_ref_put: tracepoint;
}

/// The counters of one account, with what its tracepoints tell.
///
/// Gets and puts have a sign, which says that their CPU is closed; they count on in any case. A CPU
/// that goes offline keeps what it has counted: sums are over all possible CPUs.
///
/// # Invariants
///
/// `each` is an allocation for every possible CPU, owned; a counter is changed by instructions of
/// its own CPU only, while that is online; `holder` ends with a NUL.
pub(crate) struct Shards(bindings::ifref_shards);

// SAFETY: The counters are atomic on their CPU and read once from elsewhere; the rest is constant.
unsafe impl Send for Shards {}
// SAFETY: As above.
unsafe impl Sync for Shards {}

impl Shards {
    /// Counters that are zero. Sleeps unless `flags` say otherwise; ENOMEM.
    pub(crate) fn new(
        ifaddr: u64,
        serial: u64,
        holder: [u8; HOLDER_SIZE],
        flags: Flags,
    ) -> Result<Self> {
        let mut shards = bindings::ifref_shards {
            each: ptr::null_mut(),
            ifaddr,
            serial,
            holder,
        };
        // SAFETY: `shards` is writable.
        if unsafe { bindings::ifref_shards_init(&mut shards, gfp::raw(flags)) } {
            // INVARIANT: just allocated.
            Ok(Self(shards))
        } else {
            Err(ENOMEM)
        }
    }

    /// Counts one on this CPU, in one instruction: what interrupts it comes before or after. False
    /// if the counter is negative. Any context but NMI.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn count<const WHICH: u32>(&self) -> bool {
        'closed: {
            // SAFETY: what this_cpu_inc() is on x86; by the type's invariant each CPU has that
            // counter.
            unsafe {
                core::arch::asm!(
                    "inc qword ptr gs:[{each} + {at}]",
                    "js {closed}",
                    each = in(reg) self.0.each,
                    at = const WHICH as usize * size_of::<u64>(),
                    closed = label { break 'closed false },
                    options(nostack),
                )
            };
            true
        }
    }

    /// The same by C.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    fn count<const WHICH: u32>(&self) -> bool {
        // SAFETY: the type's invariant; `WHICH` is a counter.
        unsafe { bindings::ifref_shards_count(&self.0, WHICH) }
    }

    /// Counts a get on this CPU; false if the CPU is closed. Any context but NMI.
    #[inline]
    pub(crate) fn get(&self) -> bool {
        // SAFETY: a tracepoint of C's, which has the static key.
        if unsafe { static_branch_unlikely!(__tracepoint_ifref_ref_get, tracepoint, key) } {
            // SAFETY: the type's invariant.
            unsafe { bindings::ifref_shards_trace_get(&self.0) };
        }
        self.count::<GETS>()
    }

    /// Counts a put on this CPU; false if the CPU is closed. Any context but NMI.
    #[inline]
    pub(crate) fn put(&self) -> bool {
        // SAFETY: as above.
        if unsafe { static_branch_unlikely!(__tracepoint_ifref_ref_put, tracepoint, key) } {
            // SAFETY: the type's invariant.
            unsafe { bindings::ifref_shards_trace_put(&self.0) };
        }
        self.count::<PUTS>()
    }

    /// Counts a packet that is parked. Any context but NMI.
    #[inline]
    pub(crate) fn parked(&self) {
        self.count::<PARKED>();
    }

    /// Counts a packet that is parked no more. Any context but NMI.
    #[inline]
    pub(crate) fn unparked(&self) {
        self.count::<UNPARKED>();
    }

    /// Closes all CPUs, and returns the gets less the puts that came before. Each online CPU is
    /// interrupted, and waited for. Process context.
    pub(crate) fn close(&self, _cpus: &Cpus) -> i64 {
        // SAFETY: the type's invariant, and no CPU comes or goes.
        unsafe { bindings::ifref_shards_close(&self.0) }
    }

    /// What all CPUs have counted. Any context.
    pub(crate) fn sum(&self, which: Counter) -> u64 {
        // SAFETY: the type's invariant; `which` is a counter.
        unsafe { bindings::ifref_shards_sum(&self.0, which as u32) }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { bindings::ifref_shards_exit(&mut self.0) };
    }
}

/// While it exists no CPU comes or goes.
///
/// # Invariants
///
/// Holds `cpus_read_lock()`.
pub(crate) struct Cpus(NotThreadSafe);

impl Cpus {
    /// Has none come or go. Sleeps.
    pub(crate) fn lock() -> Self {
        // SAFETY: always safe to call from process context.
        unsafe { bindings::ifref_cpus_lock() };
        // INVARIANT: just taken.
        Self(NotThreadSafe)
    }
}

impl Drop for Cpus {
    fn drop(&mut self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_cpus_unlock() };
    }
}
