// SPDX-License-Identifier: GPL-2.0

//! What an object is handed on for.

use super::platform::{Platform, Word};

/// A set of errands. Who puts the first one hands the object on; who gets the object takes them
/// all. So an object is handed on once however many have errands for it.
///
/// # Invariants
///
/// Not empty from the put that says so until the take: meanwhile the object is on its way.
pub(crate) struct Mail<P: Platform>(P::Word);

impl<P: Platform> Default for Mail<P> {
    /// No errand.
    fn default() -> Self {
        Self(P::Word::new(0))
    }
}

impl<P: Platform> Mail<P> {
    /// Adds an errand, a bit that is not there; true if the caller is to hand the object on.
    ///
    /// Any context.
    #[must_use]
    pub(crate) fn put(&self, errand: u32) -> bool {
        let mut found = self.0.load();
        loop {
            match self.0.compare_exchange(found, found | errand) {
                Ok(_) => return found == 0,
                Err(now) => found = now,
            }
        }
    }

    /// As [`Self::put`] where nobody else has an errand or can come to have one.
    #[inline]
    pub(crate) fn set(&self, errand: u32) {
        self.0.store(errand);
    }

    /// Takes all errands; the object may be handed on again from now on.
    pub(crate) fn take(&self) -> u32 {
        let mut found = self.0.load();
        loop {
            match self.0.compare_exchange(found, 0) {
                Ok(_) => return found,
                Err(now) => found = now,
            }
        }
    }
}
