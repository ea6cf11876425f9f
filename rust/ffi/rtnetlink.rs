// SPDX-License-Identifier: GPL-2.0

//! RTNL, the network core's mutex.
//!
//! C header: [`include/linux/rtnetlink.h`](srctree/include/linux/rtnetlink.h)

use super::bindings;
use core::mem::ManuallyDrop;
use kernel::types::NotThreadSafe;

/// Evidence that RTNL is held.
///
/// # Invariants
///
/// RTNL is held while an instance exists. It is the outermost of ifref's locks.
pub struct Rtnl(NotThreadSafe);

impl Rtnl {
    /// Takes RTNL. Sleeps; its release runs the removals that the caller has queued, none here.
    pub fn lock() -> Self {
        // SAFETY: process context; nothing of ifref's calls this under RTNL.
        unsafe { bindings::ifref_rtnl_lock() };
        // INVARIANT: just taken.
        Self(NotThreadSafe)
    }

    /// Evidence that the caller has taken RTNL by itself.
    ///
    /// # Safety
    ///
    /// RTNL is held as long as what is returned exists.
    pub(crate) unsafe fn taken() -> ManuallyDrop<Self> {
        // SAFETY: a question; it complains if nobody has RTNL.
        unsafe { bindings::ifref_rtnl_assert() };
        // INVARIANT: the caller's promise. It is not dropped: the release is the caller's, too.
        ManuallyDrop::new(Self(NotThreadSafe))
    }
}

impl Drop for Rtnl {
    fn drop(&mut self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_rtnl_unlock() };
    }
}

/// Whether the caller has RTNL; `None` if somebody has, and it cannot be told who. Any context.
pub(crate) fn mine() -> Option<bool> {
    // SAFETY: a question.
    match unsafe { bindings::ifref_rtnl_mine() } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
