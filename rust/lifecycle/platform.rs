// SPDX-License-Identifier: GPL-2.0

//! What the core needs of the machine below it.

/// A 32-bit atomic word.
pub trait Word: Sync {
    /// Makes a word that holds `value`.
    fn new(value: u32) -> Self;

    /// Loads with acquire ordering.
    fn load(&self) -> u32;

    /// Replaces `old` by `new`, fully ordered; an error gives the value that was found.
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32>;

    /// Adds one, fully ordered, and returns the value before.
    fn fetch_inc(&self) -> u32;

    /// Takes one off, fully ordered, and returns the value before.
    fn fetch_dec(&self) -> u32;
}

/// An atomic pointer to something that a read section keeps alive.
pub trait Pointer<T>: Sync {
    /// Makes a pointer that holds `target`.
    fn new(target: *const T) -> Self;

    /// Loads with acquire ordering (in the kernel: at least an address dependency).
    fn load(&self) -> *const T;

    /// Stores null, fully ordered.
    fn clear(&self);
}

/// Atomics and the evidence of a read section.
pub trait Platform: Sized {
    /// The atomic word.
    type Word: Word;

    /// The atomic pointer.
    type Pointer<T>: Pointer<T>;

    /// Evidence that the caller is inside a read section: what was reachable when the section
    /// began is not freed before it ends (in the kernel: `rcu_read_lock()`).
    type Guard;

    /// Waits until every read section that is running now has ended. Sleeps.
    fn synchronize();
}
