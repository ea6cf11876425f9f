// SPDX-License-Identifier: GPL-2.0

//! The count of one holder's references to one address.

use super::platform::{Platform, Shards, Wide, Word};

/// Each CPU counts for itself.
const SHARDED: u32 = 0;
/// The same, but not for long.
const ENDING: u32 = 1;
/// Everybody counts in one word.
const EXACT: u32 = 2;

/// What is missing from the word until [`Tally::fold`]: no put may bring it to zero before.
const BIAS: i64 = 1 << 62;

/// How often something was taken, and how often it was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// References taken.
    pub gets: u64,
    /// References dropped.
    pub puts: u64,
}

impl Sums {
    /// Both together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            gets: self.gets.wrapping_add(other.gets),
            puts: self.puts.wrapping_add(other.puts),
        }
    }

    /// What is there now.
    pub(crate) fn now(self) -> u64 {
        // Word arithmetic: sums of CPUs that others change meanwhile may be behind each other.
        (self.gets.wrapping_sub(self.puts) as i64).max(0) as u64
    }
}

/// A count that costs one increment of the CPU's own while it lives, and is exact at its end.
///
/// *Sharded*, each CPU counts gets and puts for itself; nobody can tell whether the count is zero,
/// and nobody needs to. [`Self::switch`] says that this is to end. A grace period later, when
/// nobody can look the address up any more, [`Self::fold`] closes the CPUs, which count in one word
/// from then on, and adds what they had counted. From then on the word is the count, and whoever
/// brings it to zero, a put or the fold itself, is told so.
///
/// # Invariants
///
/// - The mode only grows; it leaves [`SHARDED`] in `switch` and comes to [`EXACT`] in `fold`.
/// - Every get and put is either in what [`Shards::close`] returns, or made in the word.
/// - Before the fold the word is [`BIAS`] more than its gets less its puts.
/// - From the fold on a get is made only by who has a reference: the count does not leave zero.
pub(crate) struct Tally<P: Platform> {
    shards: P::Shards,
    mode: P::Word,
    exact: P::Wide,
}

impl<P: Platform> Tally<P> {
    /// A count of zero, with `shards` that are all zero.
    pub(crate) fn new(shards: P::Shards) -> Self {
        // INVARIANT: sharded, nothing in the word.
        Self {
            shards,
            mode: P::Word::new(SHARDED),
            exact: P::Wide::new(BIAS),
        }
    }

    /// Adds one. Any context but NMI.
    ///
    /// The caller has a reference, or is inside a read section that has seen the address valid
    /// and owns the holder: then the fold is yet to come, and waits for that section.
    #[inline]
    pub(crate) fn get(&self) {
        if !self.shards.get() {
            self.exact.add(1);
        }
    }

    /// Takes one off. Any context but NMI.
    ///
    /// True for the last one: to exactly one caller of this or [`Self::fold`], and only when
    /// nothing is left. Anybody else's memory of the tally may be gone when it returns.
    #[inline]
    #[must_use]
    pub(crate) fn put(&self) -> bool {
        !self.shards.put() && self.exact.add(-1) == 1
    }

    /// Marks it for the fold that follows the next grace period. Idempotent; any context.
    ///
    /// The address has lost VALID before, or the holder takes no more references.
    pub(crate) fn switch(&self) {
        // INVARIANT: a step forward.
        let _ = self.mode.compare_exchange(SHARDED, ENDING);
    }

    /// Closes the CPUs and adds what they counted to the word. One caller at a time, a grace period
    /// after [`Self::switch`]; otherwise it does nothing.
    ///
    /// True if nothing is left: as [`Self::put`]; or less, after a put too many.
    #[must_use]
    pub(crate) fn fold(&self, cpus: &<P::Shards as Shards>::Cpus) -> bool {
        if self.mode.load() != ENDING {
            return false;
        }
        let counted = self.shards.close(cpus);
        // INVARIANT: the bias goes with the fold.
        let left = self.exact.add(counted - BIAS) + counted - BIAS;
        // INVARIANT: a step forward; one caller at a time.
        let _ = self.mode.compare_exchange(ENDING, EXACT);
        left <= 0
    }

    /// Whether the count has come to its end: exact, and not above zero. It stays so. Any context.
    pub(crate) fn ended(&self) -> bool {
        self.mode.load() == EXACT && self.exact.load() <= 0
    }

    /// All gets and puts so far. Any context.
    ///
    /// Others may count meanwhile; at rest it is exact, and so it is after the fold.
    pub(crate) fn sums(&self) -> Sums {
        // Puts first, so that a reference that comes and goes does not leave less than there is.
        let puts = self.shards.puts();
        let gets = self.shards.gets();
        Sums { gets, puts }
    }

    /// The count. Any context; exact after the fold, before as [`Self::sums`].
    pub(crate) fn references(&self) -> u64 {
        if self.mode.load() == EXACT {
            self.exact.load().max(0) as u64
        } else {
            self.sums().now()
        }
    }

    /// What counts on each CPU.
    pub(crate) fn shards(&self) -> &P::Shards {
        &self.shards
    }
}
