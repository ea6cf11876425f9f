// SPDX-License-Identifier: GPL-2.0

//! Tasks.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use super::bindings;

/// The current task, as an address to compare. Any context, but of use in process context only.
pub fn current() -> usize {
    // SAFETY: a question about the current context.
    unsafe { bindings::ifref_task() as usize }
}
