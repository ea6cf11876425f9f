// SPDX-License-Identifier: GPL-2.0

//! Workqueues of ifref's own.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::bindings;
use core::ptr::{self, NonNull};
use kernel::{
    prelude::*,
    str::CStrExt,
    sync::atomic::{Atomic, Full},
    workqueue::{
        DelayedWork,
        Queue, //
    },
};

/// A workqueue. Its end, or else dropping it, runs what is queued and waits; nobody may queue any
/// more by then.
///
/// # Invariants
///
/// Owns the workqueue, unless it has `ended`.
pub(crate) struct OwnedQueue {
    queue: NonNull<kernel::bindings::workqueue_struct>,
    ended: Atomic<bool>,
}

// SAFETY: A workqueue may be used from anywhere.
unsafe impl Send for OwnedQueue {}
// SAFETY: As above.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Makes a workqueue that runs one item at a time, in their order. Sleeps.
    pub(crate) fn ordered(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is copied; what is made is ours.
        unsafe { Self::own(bindings::ifref_ordered_workqueue(name.as_char_ptr())) }
    }

    /// Makes a workqueue whose items run side by side, each in its turn or when another one sleeps.
    /// Sleeps.
    pub(crate) fn unbound(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is copied; what is made is ours.
        unsafe { Self::own(bindings::ifref_unbound_workqueue(name.as_char_ptr())) }
    }

    /// Takes over a workqueue that was just made, if it was.
    ///
    /// # Safety
    ///
    /// `queue` is a workqueue that nobody else owns, or `NULL`.
    unsafe fn own(queue: *mut kernel::bindings::workqueue_struct) -> Result<Self> {
        // INVARIANT: by the safety requirement.
        Ok(Self {
            queue: NonNull::new(queue).ok_or(ENOMEM)?,
            ended: Atomic::new(false),
        })
    }

    /// The kernel crate's view of it.
    pub(crate) fn queue(&self) -> &Queue {
        // SAFETY: the type's invariant.
        unsafe { Queue::from_raw(self.queue.as_ptr()) }
    }

    /// Waits until what is queued by now has run. Sleeps.
    pub(crate) fn flush(&self) {
        // SAFETY: the type's invariant.
        unsafe { kernel::bindings::__flush_workqueue(self.queue.as_ptr()) };
    }

    /// Runs a delayed item at once, if it is queued, and waits for it. Sleeps.
    pub(crate) fn flush_delayed<T, const ID: u64>(&self, item: &DelayedWork<T, ID>) {
        // SAFETY: a `DelayedWork` is an initialised `delayed_work` and nothing else.
        unsafe { kernel::bindings::flush_delayed_work(ptr::from_ref(item).cast_mut().cast()) };
    }

    /// Waits until nothing is queued any more; only running items may queue others. Sleeps.
    pub(crate) fn drain(&self) {
        // SAFETY: the type's invariant.
        unsafe { kernel::bindings::drain_workqueue(self.queue.as_ptr()) };
    }
}

impl OwnedQueue {
    /// Ends it, even if its memory is kept: runs what is queued, and waits. Sleeps.
    ///
    /// # Safety
    ///
    /// From now on nothing else is done with it but dropping it.
    pub(crate) unsafe fn end(&self) {
        if !self.ended.xchg(true, Full) {
            // SAFETY: the type's invariant; once, as just seen.
            unsafe { kernel::bindings::destroy_workqueue(self.queue.as_ptr()) };
        }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { self.end() };
    }
}
