// SPDX-License-Identifier: GPL-2.0

//! What delays the end of an object.

use super::platform::{Platform, Word};

/// A count that is 1 from the beginning, for the object's own life, and never leaves zero again.
///
/// # Invariants
///
/// Exactly one unpin brings it to zero: its caller ends the object.
pub(crate) struct Pins<P: Platform>(P::Word);

impl<P: Platform> Default for Pins<P> {
    /// Pinned once.
    fn default() -> Self {
        Self(P::Word::new(1))
    }
}

impl<P: Platform> Pins<P> {
    /// No more than this: far from where the count would begin anew.
    const MOST: u32 = i32::MAX as u32;

    /// Pins, unless the end has been decided. Any context.
    #[must_use]
    pub(crate) fn pin(&self) -> bool {
        let mut found = self.0.load();
        while found != 0 && found < Self::MOST {
            match self.0.compare_exchange(found, found + 1) {
                Ok(_) => return true,
                Err(now) => found = now,
            }
        }
        false
    }

    /// Takes a pin away; true for the last one, whose caller ends the object. Any context.
    #[must_use]
    pub(crate) fn unpin(&self) -> bool {
        let mut found = self.0.load();
        loop {
            match self.0.compare_exchange(found, found.wrapping_sub(1)) {
                Ok(_) => return found == 1,
                Err(now) => found = now,
            }
        }
    }

    /// How many there are. Any context; it may change at once.
    #[allow(dead_code, reason = "the model's")]
    pub(crate) fn count(&self) -> u32 {
        self.0.load()
    }
}
