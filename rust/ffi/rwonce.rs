// SPDX-License-Identifier: GPL-2.0

//! Acquire loads, and stores, without a call.
//!
//! C headers: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h),
//! [`include/asm-generic/barrier.h`](srctree/include/asm-generic/barrier.h)

use kernel::sync::atomic::{Acquire, Atomic, Relaxed, Release};

macro_rules! load_acquire {
    ($($(#[$doc:meta])* $name:ident$(<$t:ident>)?: $type:ty),*) => {$(
        $(#[$doc])*
        ///
        /// The kernel crate's is a call of a C function, which is most of what a follow costs.
        #[inline(always)]
        pub(crate) fn $name$(<$t>)?(from: &Atomic<$type>) -> $type {
            if !cfg!(target_arch = "x86_64") {
                return from.load(Acquire);
            }
            // SAFETY: an `Atomic` is valid for reads; it is the size of a register and aligned, so
            // that this is READ_ONCE().
            let value = unsafe { from.as_ptr().read_volatile() };
            // The rest of x86's smp_load_acquire(), a compiler's barrier.
            // SAFETY: no instruction.
            unsafe { core::arch::asm!("", options(nostack, preserves_flags)) };
            value
        }
    )*};
}

load_acquire! {
    /// `smp_load_acquire()` of a word.
    word_acquire: u32,
    /// `smp_load_acquire()` of a pointer.
    pointer_acquire<T>: *const T
}

macro_rules! store {
    ($($(#[$doc:meta])* $name:ident: $type:ty),*) => {$(
        $(#[$doc])*
        ///
        /// As [`word_acquire`].
        #[inline(always)]
        pub(crate) fn $name(to: &Atomic<$type>, value: $type) {
            if !cfg!(target_arch = "x86_64") {
                return to.store(value, Relaxed);
            }
            // SAFETY: an `Atomic` is valid for writes by anybody, and the size of a register.
            unsafe { to.as_ptr().write_volatile(value) };
        }
    )*};
}

store! {
    /// `WRITE_ONCE()` of a word.
    word_store: u32,
    /// `WRITE_ONCE()` of a time.
    time_store: i64
}

/// `smp_store_release()` of a pointer.
///
/// As [`word_acquire`].
#[inline(always)]
#[allow(clippy::not_unsafe_ptr_arg_deref)] // It is stored, and not followed.
pub(crate) fn pointer_release<T>(to: &Atomic<*const T>, value: *const T) {
    if !cfg!(target_arch = "x86_64") {
        return to.store(value, Release);
    }
    // SAFETY: no instruction: x86's smp_store_release() is a compiler's barrier, and a store.
    unsafe { core::arch::asm!("", options(nostack, preserves_flags)) };
    // SAFETY: an `Atomic` is valid for writes by anybody, and the size of a register.
    unsafe { to.as_ptr().write_volatile(value) };
}
