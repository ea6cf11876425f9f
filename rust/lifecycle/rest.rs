// SPDX-License-Identifier: GPL-2.0

//! A callback that somebody waits for, but not for ever.

use super::platform::{Platform, Word};

/// Where the callback is. One runs it, one waits a bounded time; the two agree who goes on.
///
/// # Invariants
///
/// `Idle -> Running -> Done`, or `Running -> Late -> Done`: of one that waits no more and one that
/// has run, exactly one finds the other's step done.
pub struct Rest<P: Platform>(P::Word);

const IDLE: u32 = 0;
const RUNNING: u32 = 1;
const LATE: u32 = 2;
const DONE: u32 = 3;

impl<P: Platform> Default for Rest<P> {
    /// Not run yet.
    fn default() -> Self {
        Self(P::Word::new(IDLE))
    }
}

impl<P: Platform> Rest<P> {
    /// Begins it; true to one caller, who runs it or has it run.
    #[must_use]
    pub fn begin(&self) -> bool {
        self.0.compare_exchange(IDLE, RUNNING).is_ok()
    }

    /// It has run. True if nobody waits any more: the caller sees to what comes next.
    #[must_use]
    pub fn end(&self) -> bool {
        if self.0.compare_exchange(RUNNING, DONE).is_ok() {
            return false;
        }
        // INVARIANT: it was late; nobody else touches it now.
        let _ = self.0.compare_exchange(LATE, DONE);
        true
    }

    /// Waits no more. True if it has not run: [`Self::end`] will say so to who runs it.
    #[must_use]
    pub fn leave(&self) -> bool {
        self.0.compare_exchange(RUNNING, LATE).is_ok()
    }

    /// Whether it has run. Any context.
    pub fn done(&self) -> bool {
        self.0.load() == DONE
    }
}
