// SPDX-License-Identifier: GPL-2.0

//! A workqueue of ifref's own.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::bindings;
use core::ptr::{self, NonNull};
use kernel::{
    prelude::*,
    str::CStrExt,
    workqueue::{
        DelayedWork,
        Queue, //
    },
};

/// An ordered workqueue: one item at a time, in their order. Dropping it runs what is queued and
/// waits; nobody may queue any more by then.
///
/// # Invariants
///
/// Owns the workqueue.
pub struct OrderedQueue(NonNull<kernel::bindings::workqueue_struct>);

// SAFETY: A workqueue may be used from anywhere.
unsafe impl Send for OrderedQueue {}
// SAFETY: As above.
unsafe impl Sync for OrderedQueue {}

impl OrderedQueue {
    /// Makes a workqueue. Sleeps.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is copied.
        let queue = unsafe { bindings::ifref_ordered_workqueue(name.as_char_ptr()) };
        // INVARIANT: just made.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }

    /// The kernel crate's view of it.
    pub fn queue(&self) -> &Queue {
        // SAFETY: the type's invariant.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }

    /// Waits until what is queued by now has run. Sleeps.
    pub fn flush(&self) {
        // SAFETY: the type's invariant.
        unsafe { kernel::bindings::__flush_workqueue(self.0.as_ptr()) };
    }

    /// Runs a delayed item at once, if it is queued, and waits for it. Sleeps.
    pub fn flush_delayed<T, const ID: u64>(&self, item: &DelayedWork<T, ID>) {
        // SAFETY: a `DelayedWork` is an initialised `delayed_work` and nothing else.
        unsafe { kernel::bindings::flush_delayed_work(ptr::from_ref(item).cast_mut().cast()) };
    }

    /// Waits until nothing is queued any more; only running items may queue others. Sleeps.
    pub fn drain(&self) {
        // SAFETY: the type's invariant.
        unsafe { kernel::bindings::drain_workqueue(self.0.as_ptr()) };
    }
}

impl Drop for OrderedQueue {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { kernel::bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// A workqueue whose items run side by side: none waits for one that sleeps. Dropping it runs what is
/// queued and waits; nobody may queue any more by then.
///
/// # Invariants
///
/// Owns the workqueue.
pub struct ConcurrentQueue(NonNull<kernel::bindings::workqueue_struct>);

// SAFETY: A workqueue may be used from anywhere.
unsafe impl Send for ConcurrentQueue {}
// SAFETY: As above.
unsafe impl Sync for ConcurrentQueue {}

impl ConcurrentQueue {
    /// Makes a workqueue whose items run wherever there is a CPU. Sleeps.
    pub fn unbound(name: &CStr) -> Result<Self> {
        Self::new(name, false)
    }

    /// Makes a workqueue whose items run on the CPU that has queued them, the next one when one has
    /// ended or sleeps: many short ones wake one worker, and not each its own. Sleeps.
    pub fn per_cpu(name: &CStr) -> Result<Self> {
        Self::new(name, true)
    }

    fn new(name: &CStr, per_cpu: bool) -> Result<Self> {
        // SAFETY: `name` is copied.
        let queue = unsafe { bindings::ifref_concurrent_workqueue(name.as_char_ptr(), per_cpu) };
        // INVARIANT: just made.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }

    /// The kernel crate's view of it.
    pub fn queue(&self) -> &Queue {
        // SAFETY: the type's invariant.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }

    /// Waits until what is queued by now has run. Sleeps.
    pub fn flush(&self) {
        // SAFETY: the type's invariant.
        unsafe { kernel::bindings::__flush_workqueue(self.0.as_ptr()) };
    }

    /// Runs a delayed item at once, if it is queued, and waits for it. Sleeps.
    pub fn flush_delayed<T, const ID: u64>(&self, item: &DelayedWork<T, ID>) {
        // SAFETY: a `DelayedWork` is an initialised `delayed_work` and nothing else.
        unsafe { kernel::bindings::flush_delayed_work(ptr::from_ref(item).cast_mut().cast()) };
    }
}

impl Drop for ConcurrentQueue {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { kernel::bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
