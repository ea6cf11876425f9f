// SPDX-License-Identifier: GPL-2.0

//! The count of references to an address.

use super::platform::{Platform, Word};

/// An exact count, readable while it lives.
///
/// Get and put are fully ordered: whoever takes the last one off and then reads VALID, and whoever
/// takes VALID away and then reads the count, cannot both miss the other. One of them retires the
/// shell.
pub struct Count<P: Platform>(P::Word);

impl<P: Platform> Default for Count<P> {
    /// A count of zero.
    fn default() -> Self {
        Self(P::Word::new(0))
    }
}

impl<P: Platform> Count<P> {
    /// Adds one and returns the new count. Any context.
    ///
    /// From zero only by those who can tell that the shell is not being retired.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.fetch_inc().wrapping_add(1)
    }

    /// Takes one off and returns the new count. Any context.
    #[inline]
    pub fn put(&self) -> u32 {
        self.0.fetch_dec().wrapping_sub(1)
    }

    /// The count. Any context.
    #[inline]
    pub fn read(&self) -> u32 {
        self.0.load()
    }
}
