// SPDX-License-Identifier: GPL-2.0

//! Completions, the kernel crate's and C's.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use core::ptr::NonNull;
use kernel::{
    bindings,
    sync::{
        Arc,
        Completion, //
    },
};

/// A completion that its owner waits for.
///
/// # Invariants
///
/// One of C's exists as long as this may be completed.
pub(crate) enum Awaited {
    /// One of Rust's.
    Shared(Arc<Completion>),
    /// One of C's.
    Borrowed(NonNull<bindings::completion>),
}

// SAFETY: A completion may be completed from anywhere.
unsafe impl Send for Awaited {}
// SAFETY: As above.
unsafe impl Sync for Awaited {}

impl Awaited {
    /// One of C's.
    ///
    /// # Safety
    ///
    /// It exists until [`Self::complete_all`] is certain not to be called again.
    pub(crate) unsafe fn borrowed(completion: NonNull<bindings::completion>) -> Self {
        // INVARIANT: the caller's promise.
        Self::Borrowed(completion)
    }

    /// Wakes all who wait, now or later. Any context but NMI and hard IRQ.
    pub(crate) fn complete_all(&self) {
        match self {
            Self::Shared(completion) => completion.complete_all(),
            // SAFETY: the type's invariant.
            Self::Borrowed(completion) => unsafe { bindings::complete_all(completion.as_ptr()) },
        }
    }
}
