// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate lacks of RCU.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::ptr::NonNull;
use kernel::sync::rcu;

/// Has PROVE_RCU complain, with the caller's stack, unless there is a read section of whatever kind.
/// Nothing on other kernels.
#[inline(always)]
pub(crate) fn check_section() {
    #[cfg(CONFIG_PROVE_RCU)]
    // SAFETY: a question, from any context.
    unsafe {
        super::bindings::ifref_rcu_check_section()
    };
}

/// Evidence of a read section that the caller did not begin itself, without beginning another one.
///
/// # Safety
///
/// The read section lasts for `'g`.
#[inline]
pub(crate) unsafe fn begun<'g>() -> &'g rcu::Guard {
    const { assert!(core::mem::size_of::<rcu::Guard>() == 0) };
    // SAFETY: a guard has no bytes and is nothing but evidence, of which the caller has some; by
    // the reference it cannot be dropped, which would end the section.
    unsafe { NonNull::dangling().as_ref() }
}
