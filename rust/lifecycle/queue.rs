// SPDX-License-Identifier: GPL-2.0

//! A queue that any context may push to and one thread empties.

use super::platform::{Platform, Pointer};

/// Something with a place on a [`Queue`].
pub(crate) trait Queued<P: Platform>: Sized {
    /// What was pushed before it. For [`Queue`] only.
    fn next(&self) -> &P::Pointer<Self>;
}

/// Many push, without a lock; one takes all at once.
///
/// # Invariants
///
/// What is on it exists until it was taken.
pub(crate) struct Queue<P: Platform, T>(P::Pointer<T>);

impl<P: Platform, T: Queued<P>> Default for Queue<P, T> {
    /// An empty queue.
    fn default() -> Self {
        Self(P::Pointer::new(core::ptr::null()))
    }
}

impl<P: Platform, T: Queued<P>> Queue<P, T> {
    /// Pushes `node`; true if the queue was empty, so that who empties it is to be woken.
    ///
    /// Any context.
    ///
    /// # Safety
    ///
    /// `node` is on no queue, and exists until it was taken.
    pub(crate) unsafe fn push(&self, node: &T) -> bool {
        let mut head = self.0.load();
        loop {
            node.next().store(head);
            // INVARIANT: the caller's promise.
            match self.0.compare_exchange(head, node) {
                Ok(_) => return head.is_null(),
                Err(found) => head = found,
            }
        }
    }

    /// Takes all that is there, the first one pushed first. One thread at a time.
    pub(crate) fn take(&self) -> Taken<P, T> {
        let mut newest = self.0.take();
        let mut oldest = core::ptr::null::<T>();
        // SAFETY: what was on the queue exists, and nobody else has its places now.
        while let Some(node) = unsafe { newest.as_ref() } {
            let before = node.next().load();
            node.next().store(oldest);
            oldest = newest;
            newest = before;
        }
        Taken(P::Pointer::new(oldest))
    }
}

/// What was taken off a [`Queue`], in order.
pub(crate) struct Taken<P: Platform, T>(P::Pointer<T>);

impl<P: Platform, T: Queued<P>> Iterator for Taken<P, T> {
    type Item = *const T;

    /// The next one, which may be pushed again from now on.
    fn next(&mut self) -> Option<*const T> {
        let first = self.0.load();
        // SAFETY: it was on the queue, so it exists until it is given to the caller.
        let node = unsafe { first.as_ref() }?;
        self.0.store(node.next().load());
        Some(first)
    }
}
