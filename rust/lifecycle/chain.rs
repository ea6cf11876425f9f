// SPDX-License-Identifier: GPL-2.0

//! A list that is read without a lock.

use super::platform::{Platform, Pointer};

/// Something with a place on a [`Chain`]; `ID` tells several places apart.
pub(crate) trait Linked<P: Platform, const ID: usize>: Sized {
    /// What comes after it. For [`Chain`] only.
    fn next(&self) -> &P::Pointer<Self>;
}

/// A singly linked list, read inside a read section and changed under a lock of its owner's.
///
/// # Invariants
///
/// Every node that can be reached, from the head or from a node that was removed, is freed only
/// after (1) it was removed and (2) a grace period has passed since then.
pub(crate) struct Chain<P: Platform, T, const ID: usize>(P::Pointer<T>);

impl<P: Platform, T: Linked<P, ID>, const ID: usize> Default for Chain<P, T, ID> {
    /// An empty chain.
    fn default() -> Self {
        Self(P::Pointer::new(core::ptr::null()))
    }
}

impl<P: Platform, T: Linked<P, ID>, const ID: usize> Chain<P, T, ID> {
    /// The nodes; those that come or go meanwhile may be among them. Any context but NMI.
    pub(crate) fn iter<'g>(&'g self, _section: &'g P::Guard) -> Iter<'g, P, T, ID> {
        Iter(&self.0)
    }

    /// Whether there is nothing on it. Any context; it lasts only while nobody adds.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_null()
    }

    /// Puts `node` in front.
    ///
    /// # Safety
    ///
    /// Nobody else changes the chain meanwhile. The node is on no other chain of this `ID`, is
    /// pushed once in its life, and is freed only after [`Self::remove`] and a grace period.
    pub(crate) unsafe fn push(&self, node: &T) {
        node.next().store(self.0.load());
        // INVARIANT: the caller's promise.
        self.0.store(node);
    }

    /// Takes `node` off, if it is there: readers that are at it go on from it.
    ///
    /// # Safety
    ///
    /// Nobody else changes the chain meanwhile.
    pub(crate) unsafe fn remove(&self, node: &T) {
        let mut link = &self.0;
        loop {
            let at = link.load();
            if at.is_null() {
                return;
            }
            if core::ptr::eq(at, node) {
                // INVARIANT: what comes after it stays reachable.
                link.store(node.next().load());
                return;
            }
            // SAFETY: nobody else changes the chain, so what is on it exists.
            link = unsafe { &*at }.next();
        }
    }
}

/// The nodes of a [`Chain`].
pub(crate) struct Iter<'g, P: Platform, T, const ID: usize>(&'g P::Pointer<T>);

impl<'g, P: Platform, T: Linked<P, ID> + 'g, const ID: usize> Iterator for Iter<'g, P, T, ID> {
    type Item = &'g T;

    #[inline]
    fn next(&mut self) -> Option<&'g T> {
        // SAFETY: by the type's invariant, what was reached inside the read section of which the
        // guard was evidence is not freed before that section ends.
        let node = unsafe { self.0.load().as_ref() }?;
        self.0 = node.next();
        Some(node)
    }
}
