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
}

/// A 64-bit atomic word.
pub trait Wide: Sync {
    /// Makes a word that holds `value`.
    fn new(value: i64) -> Self;

    /// Loads with acquire ordering.
    fn load(&self) -> i64;

    /// Adds `delta`, fully ordered, and returns the value before.
    fn add(&self, delta: i64) -> i64;
}

/// Counters of which each CPU has its own, and the word that says whether they are used.
///
/// `get` and `put` each read the mode and count in one region that [`Platform::synchronize`] waits
/// for (in the kernel: preemption off), so that it can be told when no CPU counts any more. Neither
/// orders anything.
pub trait Shards: Sync {
    /// A word of the same platform.
    type Word: Word;

    /// The mode; 0 at first.
    fn mode(&self) -> &Self::Word;

    /// Counts one get on this CPU if the mode is 0, and says whether it did. Any context but NMI.
    fn get(&self) -> bool;

    /// Counts one put on this CPU if the mode is 0, and says whether it did. Any context but NMI.
    fn put(&self) -> bool;

    /// The gets of all CPUs that there may be. Any context.
    fn gets(&self) -> u64;

    /// The puts of all CPUs that there may be. Any context.
    fn puts(&self) -> u64;
}

/// An atomic pointer to something that a read section keeps alive.
pub trait Pointer<T>: Sync {
    /// Makes a pointer that holds `target`.
    fn new(target: *const T) -> Self;

    /// Loads with acquire ordering (in the kernel: at least an address dependency).
    fn load(&self) -> *const T;

    /// Stores with release ordering.
    fn store(&self, target: *const T);

    /// Stores null, fully ordered.
    fn clear(&self);
}

/// Atomics and the evidence of a read section.
pub trait Platform: Sized {
    /// The atomic word.
    type Word: Word;

    /// The wide atomic word.
    type Wide: Wide;

    /// The counters of which each CPU has its own.
    type Shards: Shards<Word = Self::Word>;

    /// The atomic pointer.
    type Pointer<T>: Pointer<T>;

    /// Evidence that the caller is inside a read section: what was reachable when the section
    /// began is not freed before it ends (in the kernel: `rcu_read_lock()`).
    type Guard;

    /// Waits until every read section that is running now has ended. Sleeps.
    fn synchronize();
}
