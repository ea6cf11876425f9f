// SPDX-License-Identifier: GPL-2.0

//! Tasks.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use super::bindings;

/// The current task, as an address to compare. Any context, but of use in process context only.
pub(crate) fn current() -> usize {
    // SAFETY: a question about the current context.
    unsafe { bindings::ifref_task() as usize }
}

/// Nanoseconds that the current task has been ready to run and waited for a CPU, in all its time; 0 if
/// the kernel does not count them (`CONFIG_SCHED_INFO`). Process context.
pub(crate) fn run_delay() -> i64 {
    // SAFETY: a question about the current task.
    unsafe { bindings::ifref_run_delay() as i64 }
}
