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

/// A workqueue whose items run side by side, each in its turn or when another one sleeps. Dropping
/// it runs what is queued and waits; nobody may queue any more by then.
///
/// # Invariants
///
/// Owns the workqueue.
pub struct UnboundQueue(NonNull<kernel::bindings::workqueue_struct>);

// SAFETY: A workqueue may be used from anywhere.
unsafe impl Send for UnboundQueue {}
// SAFETY: As above.
unsafe impl Sync for UnboundQueue {}

impl UnboundQueue {
    /// Makes a workqueue. Sleeps.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is copied.
        let queue = unsafe { bindings::ifref_unbound_workqueue(name.as_char_ptr()) };
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

impl Drop for UnboundQueue {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { kernel::bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
