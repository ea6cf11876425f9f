// SPDX-License-Identifier: GPL-2.0

//! Time, as coarse as it is cheap.
//!
//! C header: [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

/// Nanoseconds of a jiffy.
pub(crate) const NANOSECONDS: i64 = 1_000_000_000 / kernel::bindings::CONFIG_HZ as i64;

/// How many there were. Any context.
#[inline]
pub(crate) fn now() -> i64 {
    // SAFETY: a counter that may be read at any time, once, as C does.
    unsafe { (&raw const kernel::bindings::jiffies).read_volatile() as i64 }
}
