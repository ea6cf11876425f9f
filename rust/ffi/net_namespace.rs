// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use super::bindings;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

/// A passive reference to a network namespace: it keeps the memory, and with it the tag that sysfs
/// compares, but not the namespace alive. May be cloned and dropped in any context.
///
/// # Invariants
///
/// Owns one `net_passive_inc()`.
pub struct Net(NonNull<bindings::net>);

// SAFETY: The count is atomic, the rest is only compared or read atomically.
unsafe impl Send for Net {}
// SAFETY: As above.
unsafe impl Sync for Net {}

impl Net {
    /// # Safety
    ///
    /// `net` is a namespace whose memory exists.
    pub(super) unsafe fn new(net: *mut bindings::net) -> Self {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_net_get(net) };
        // SAFETY: the caller's promise. INVARIANT: the reference was just taken.
        Self(unsafe { NonNull::new_unchecked(net) })
    }

    /// One that the caller keeps, without a reference.
    ///
    /// # Safety
    ///
    /// `net` is a namespace whose memory exists as long as what is returned.
    pub(crate) unsafe fn borrowed(net: NonNull<bindings::net>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(net))
    }

    /// The initial namespace.
    pub fn initial() -> Self {
        // SAFETY: the initial namespace always exists.
        unsafe { Self::new(bindings::ifref_init_net()) }
    }

    /// The namespace of the calling task. Process context.
    pub(crate) fn current() -> Self {
        // SAFETY: a running task keeps its namespace.
        unsafe { Self::new(bindings::ifref_current_net()) }
    }

    pub(super) fn raw(&self) -> *mut bindings::net {
        self.0.as_ptr()
    }

    /// Whether the calling task has CAP_NET_ADMIN over it. Process context.
    pub(crate) fn administered(&self) -> bool {
        // SAFETY: the type's invariant; a question about the current task.
        unsafe { bindings::ifref_net_admin_over(self.raw()) }
    }

    /// Whether anybody can still be in the namespace. Any context.
    pub fn alive(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_net_alive(self.raw()) }
    }

    /// The inode number that `/proc/<pid>/ns/net` shows. Any context.
    pub fn inum(&self) -> u32 {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_net_inum(self.raw()) }
    }
}

impl Clone for Net {
    fn clone(&self) -> Self {
        // SAFETY: the type's invariant.
        unsafe { Self::new(self.raw()) }
    }
}

impl PartialEq for Net {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; the reference ends here.
        unsafe { bindings::ifref_net_put(self.raw()) };
    }
}
