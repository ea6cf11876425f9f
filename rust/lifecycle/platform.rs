// SPDX-License-Identifier: GPL-2.0

//! What the core needs of the machine below it.

/// A 32-bit atomic word.
pub(crate) trait Word: Sync {
    /// Makes a word that holds `value`.
    fn new(value: u32) -> Self;

    /// Loads with acquire ordering.
    fn load(&self) -> u32;

    /// Stores without ordering.
    fn store(&self, value: u32);

    /// Replaces `old` by `new`, fully ordered; an error gives the value that was found.
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32>;
}

/// A 64-bit atomic word.
pub(crate) trait Wide: Sync {
    /// Makes a word that holds `value`.
    fn new(value: i64) -> Self;

    /// Loads with acquire ordering.
    fn load(&self) -> i64;

    /// Adds `delta`, fully ordered, and returns the value before.
    fn add(&self, delta: i64) -> i64;
}

/// Counters of which each CPU has its own, until it is closed.
///
/// `get` and `put` count and look whether this CPU is closed in one step (in the kernel: one
/// instruction), so that each of them comes either before the closing of its CPU or after it.
/// Closing a CPU is an order: what was done before a step that came before it is seen after it, and
/// the other way round (in the kernel: an interrupt on that CPU).
pub(crate) trait Shards: Sync {
    /// Evidence that no CPU comes or goes.
    type Cpus;

    /// Counts one get on this CPU; false if the CPU is closed. Any context but NMI.
    fn get(&self) -> bool;

    /// Counts one put on this CPU; false if the CPU is closed. Any context but NMI.
    fn put(&self) -> bool;

    /// Closes all CPUs that there may be, one after the other, and returns what was counted
    /// before, gets less puts. Called once.
    fn close(&self, cpus: &Self::Cpus) -> i64;

    /// The gets of all CPUs, before and after they were closed. Any context.
    fn gets(&self) -> u64;

    /// The puts of all CPUs, before and after they were closed. Any context.
    fn puts(&self) -> u64;
}

/// An atomic pointer to something that a read section keeps alive.
pub(crate) trait Pointer<T>: Sync {
    /// Makes a pointer that holds `target`.
    fn new(target: *const T) -> Self;

    /// Loads with acquire ordering (in the kernel: at least an address dependency).
    fn load(&self) -> *const T;

    /// Stores with release ordering.
    fn store(&self, target: *const T);

    /// Stores null, fully ordered.
    fn clear(&self);

    /// Replaces `old` by `new`, fully ordered; an error gives the pointer that was found.
    fn compare_exchange(&self, old: *const T, new: *const T) -> Result<*const T, *const T>;

    /// Replaces whatever there is by null, fully ordered, and returns it.
    fn take(&self) -> *const T;
}

/// Atomics and the evidence of a read section.
pub(crate) trait Platform: Sized {
    /// The atomic word.
    type Word: Word;

    /// The wide atomic word.
    type Wide: Wide;

    /// The counters of which each CPU has its own.
    type Shards: Shards;

    /// The atomic pointer.
    type Pointer<T>: Pointer<T>;

    /// Evidence that the caller is inside a read section: what was reachable when the section
    /// began is not freed before it ends (in the kernel: `rcu_read_lock()`).
    type Guard;

    /// Waits until every read section that is running now has ended. Sleeps.
    fn synchronize();
}
