// SPDX-License-Identifier: GPL-2.0

//! The state word of an interface.
//!
//! One word holds the phase (low byte) and the cause of the invalidation (second byte), so that
//! one compare-and-exchange decides between the contenders and nobody ever sees a phase without
//! its cause. `Documentation/design.rst` draws the machine.

use super::platform::{Platform, Word};

/// Where an interface is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Being made known; nobody can have a reference yet.
    Attaching = 0,
    /// In use: follows succeed.
    Valid = 1,
    /// Removal has begun; every follow is refused from here on.
    Detaching = 2,
    /// Off the network core's lists (`NETDEV_UNREGISTER` was seen).
    Unlinked = 3,
    /// Off the lists, and the kernel itself waits for somebody's references.
    Draining = 4,
    /// The removal has ended.
    Freed = 5,
}

impl Phase {
    const fn of(word: u32) -> Self {
        match word & 0xff {
            0 => Self::Attaching,
            1 => Self::Valid,
            2 => Self::Detaching,
            3 => Self::Unlinked,
            4 => Self::Draining,
            _ => Self::Freed,
        }
    }

    /// The name shown in sysfs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Valid => "valid",
            Self::Detaching => "detaching",
            Self::Unlinked => "unlinked",
            Self::Draining => "draining",
            Self::Freed => "freed",
        }
    }
}

/// Which sign of removal took VALID away, from the earliest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    /// Still valid.
    None = 0,
    /// `BUS_NOTIFY_UNBIND_DRIVER` on the parent's bus, before the driver's remove.
    Unbind = 1,
    /// `NETDEV_GOING_DOWN` with `dismantle` set.
    Dismantle = 2,
    /// `reg_state`, for a device that was down and has no bus.
    RegState = 3,
    /// ifref itself is being unloaded; the device lives on.
    Unload = 4,
    /// Its driver has handed it to devd.
    Detach = 5,
}

impl Cause {
    const fn of(word: u32) -> Self {
        match (word >> 8) & 0xff {
            0 => Self::None,
            1 => Self::Unbind,
            2 => Self::Dismantle,
            3 => Self::RegState,
            4 => Self::Unload,
            _ => Self::Detach,
        }
    }

    /// The name shown in traces.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unbind => "unbind",
            Self::Dismantle => "dismantle",
            Self::RegState => "reg_state",
            Self::Unload => "unload",
            Self::Detach => "detach",
        }
    }
}

/// The state word.
///
/// # Invariants
///
/// The phase only grows. The cause is [`Cause::None`] up to [`Phase::Valid`] and is written
/// together with [`Phase::Detaching`], never again.
pub(crate) struct State<P: Platform>(P::Word);

const fn word(phase: Phase, cause: Cause) -> u32 {
    phase as u32 | ((cause as u32) << 8)
}

impl<P: Platform> Default for State<P> {
    /// A state word in [`Phase::Attaching`].
    fn default() -> Self {
        // INVARIANT: the first phase, without a cause.
        Self(P::Word::new(word(Phase::Attaching, Cause::None)))
    }
}

impl<P: Platform> State<P> {
    /// Whether follows succeed. One acquire load; any context.
    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        self.0.load() == word(Phase::Valid, Cause::None)
    }

    /// The phase. Any context.
    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.0.load())
    }

    /// What took VALID away. Any context.
    pub(crate) fn cause(&self) -> Cause {
        Cause::of(self.0.load())
    }

    /// Sets VALID: `Attaching -> Valid`. Whoever makes the interface, once.
    pub(crate) fn publish(&self) {
        // INVARIANT: a step forward. Only the maker knows the object in this phase.
        let _ = self.0.compare_exchange(
            word(Phase::Attaching, Cause::None),
            word(Phase::Valid, Cause::None),
        );
    }

    /// Takes VALID away, for ever: `Valid -> Detaching`, for `cause`.
    ///
    /// One store for every address of the interface. Returns true to exactly one caller, who then
    /// owns what has to be let go. Any context.
    #[must_use]
    pub(crate) fn invalidate(&self, cause: Cause) -> bool {
        // INVARIANT: a step forward, with the cause in the same store.
        self.0
            .compare_exchange(
                word(Phase::Valid, Cause::None),
                word(Phase::Detaching, cause),
            )
            .is_ok()
    }

    /// Moves on to `to`, a phase after [`Phase::Detaching`]; earlier or equal ones are ignored.
    ///
    /// Any context.
    pub(crate) fn advance(&self, to: Phase) {
        let mut found = self.0.load();
        while Phase::of(found) as u8 >= Phase::Detaching as u8
            && (Phase::of(found) as u8) < to as u8
        {
            // INVARIANT: a step forward; the cause is kept.
            match self.0.compare_exchange(found, word(to, Cause::of(found))) {
                Ok(_) => return,
                Err(now) => found = now,
            }
        }
    }
}
