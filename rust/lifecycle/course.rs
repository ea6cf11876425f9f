// SPDX-License-Identifier: GPL-2.0

//! The state word of what a driver has attached.
//!
//! Stage (low byte), what was asked (second byte) and the reason (third byte) are one word, so that
//! one compare-and-exchange decides between surprise, administrator, unload and the core's own
//! removal. `Documentation/devd.rst` draws the machine.

use super::platform::{Platform, Word};

/// Where it is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Made; nothing was asked of devd yet.
    Made = 0,
    /// devd is making the linkages.
    Attaching = 1,
    /// In use.
    Attached = 2,
    /// The removal has begun: nothing reaches the driver from here on.
    Detaching = 3,
    /// The linkages are unmade; others may still refer to it.
    Unlinked = 4,
    /// Nobody refers to it through a linkage; what pins it may be left.
    Drained = 5,
    /// The driver has disposed of it.
    Freed = 6,
    /// The linkages could not be made; pins are waited for.
    Failing = 7,
    /// As if nothing had been asked: it is the driver's again.
    Failed = 8,
}

impl Stage {
    const fn of(word: u32) -> Self {
        match word & 0xff {
            0 => Self::Made,
            1 => Self::Attaching,
            2 => Self::Attached,
            3 => Self::Detaching,
            4 => Self::Unlinked,
            5 => Self::Drained,
            6 => Self::Freed,
            7 => Self::Failing,
            _ => Self::Failed,
        }
    }

    /// The name shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
            Self::Unlinked => "unlinked",
            Self::Drained => "drained",
            Self::Freed => "freed",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }
}

/// Why it is being detached; a later one outweighs an earlier one that was not acted on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Reason {
    /// The driver was asked, and said yes.
    Orderly = 1,
    /// The driver is being unloaded.
    Unload = 2,
    /// The hardware has gone.
    Gone = 3,
    /// Somebody else unmade the linkages: a link was deleted, a namespace died.
    Core = 4,
}

impl Reason {
    const fn of(word: u32) -> Option<Self> {
        match (word >> 16) & 0xff {
            1 => Some(Self::Orderly),
            2 => Some(Self::Unload),
            3 => Some(Self::Gone),
            4 => Some(Self::Core),
            _ => None,
        }
    }

    /// The name shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Orderly => "orderly",
            Self::Unload => "unload",
            Self::Gone => "gone",
            Self::Core => "core",
        }
    }
}

/// What comes after the linkages were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linking {
    /// It is in use.
    Attached,
    /// It is in use, and somebody wants it detached in order: the driver is to be asked.
    Ask,
    /// A detach came meanwhile: the removal has begun.
    Detach,
}

/// Whether a caller has begun a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Somebody else has, or will.
    No,
    /// It has, and the object was on no errand.
    Unasked,
    /// It has, while the driver may be being asked.
    Asked,
}

/// What comes of a driver's no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vetoed {
    /// It stands.
    Stands,
    /// A detach in order was wanted since the driver was asked, which may be ready by now: it is
    /// to be asked again.
    AskAgain,
    /// A detach has not waited for it.
    Overruled,
}

/// The driver is to be asked, or being asked.
const ASKED: u32 = 1 << 8;
/// The driver has said no.
const VETOED: u32 = 1 << 9;
/// A detach in order was wanted while [`ASKED`].
const AGAIN: u32 = 1 << 10;

const fn word(stage: Stage, flags: u32, reason: Option<Reason>) -> u32 {
    let reason = match reason {
        Some(reason) => reason as u32,
        None => 0,
    };
    stage as u32 | flags | (reason << 16)
}

/// The state word.
///
/// # Invariants
///
/// The stage only grows, but for `Attaching`, which may go to `Failing`. The reason is written with
/// [`Stage::Detaching`] at the latest and stays from there on; before that it is a wish.
pub(crate) struct Course<P: Platform>(P::Word);

impl<P: Platform> Default for Course<P> {
    /// Just made.
    fn default() -> Self {
        Self(P::Word::new(0))
    }
}

impl<P: Platform> Course<P> {
    /// One step: `next` says what the word is to become and what that means, or that nothing is to
    /// change.
    fn step<R>(&self, mut next: impl FnMut(u32) -> Result<(u32, R), R>) -> R {
        let mut found = self.0.load();
        loop {
            match next(found) {
                Err(meaning) => return meaning,
                Ok((to, meaning)) => match self.0.compare_exchange(found, to) {
                    Ok(_) => return meaning,
                    Err(now) => found = now,
                },
            }
        }
    }

    /// Where it is. Any context.
    pub(crate) fn stage(&self) -> Stage {
        Stage::of(self.0.load())
    }

    /// Why it is being detached, or is to be. Any context.
    pub(crate) fn reason(&self) -> Option<Reason> {
        Reason::of(self.0.load())
    }

    /// Whether what comes in reaches the driver. One acquire load; any context.
    #[inline]
    pub(crate) fn passes(&self) -> bool {
        let found = self.0.load();
        found & 0xff <= Stage::Attached as u32 && found >> 16 <= Reason::Orderly as u32
    }

    /// Whether the driver has said no, and nobody has overruled it. Any context.
    pub(crate) fn vetoed(&self) -> bool {
        self.0.load() & VETOED != 0 && self.passes()
    }

    /// `Made -> Attaching`. False if that was done before, or a detach came first.
    #[must_use]
    pub(crate) fn begin(&self) -> bool {
        self.0
            .compare_exchange(word(Stage::Made, 0, None), word(Stage::Attaching, 0, None))
            .is_ok()
    }

    /// The linkages are made: `Attaching -> Attached`, or on, if a detach came meanwhile.
    pub(crate) fn linked(&self) -> Linking {
        self.step(|found| {
            // INVARIANT: only who made the linkages steps on from here.
            Ok(match Reason::of(found) {
                None => (word(Stage::Attached, 0, None), Linking::Attached),
                Some(Reason::Orderly) => (word(Stage::Attached, ASKED, None), Linking::Ask),
                some => (word(Stage::Detaching, 0, some), Linking::Detach),
            })
        })
    }

    /// The linkages could not be made: `Attaching -> Failing`.
    pub(crate) fn fail(&self) {
        self.step(|_| Ok((word(Stage::Failing, 0, None), ())));
    }

    /// Whether a detach has come before the linkages are made, and none is worth making.
    pub(crate) fn unwanted(&self) -> bool {
        self.reason().is_some_and(|reason| reason > Reason::Orderly)
    }

    /// Begins the removal, without asking: `Attached -> Detaching`.
    ///
    /// Exactly one caller has begun it, who submits it to devd; for the others it is under way, or
    /// will be as soon as the linkages are made. Any context.
    #[must_use]
    #[inline]
    pub(crate) fn detach(&self, reason: Reason) -> Begun {
        // By far the most frequent, so it is tried first.
        let plain = word(Stage::Attached, 0, None);
        let going = word(Stage::Detaching, 0, Some(reason));
        match self.0.compare_exchange(plain, going) {
            Ok(_) => Begun::Unasked,
            Err(_) => self.detach_slowly(reason),
        }
    }

    fn detach_slowly(&self, reason: Reason) -> Begun {
        self.step(|found| match Stage::of(found) {
            Stage::Attached => {
                let begun = match found & (ASKED | VETOED) {
                    0 => Begun::Unasked,
                    _ => Begun::Asked,
                };
                Ok((word(Stage::Detaching, 0, Some(reason)), begun))
            }
            stage @ (Stage::Made | Stage::Attaching)
                if Reason::of(found).is_none_or(|wish| wish < reason) =>
            {
                Ok((word(stage, 0, Some(reason)), Begun::No))
            }
            _ => Err(Begun::No),
        })
    }

    /// Wants it detached in order. True to the caller who has the driver asked. No wish is lost: one
    /// that comes while the driver is being asked, whose answer may be older, is found by
    /// [`Self::veto`]. Any context.
    #[must_use]
    pub(crate) fn ask(&self) -> bool {
        self.step(|found| match Stage::of(found) {
            Stage::Attached if found & ASKED == 0 => Ok((word(Stage::Attached, ASKED, None), true)),
            Stage::Attached if found & AGAIN == 0 => {
                Ok((word(Stage::Attached, ASKED | AGAIN, None), false))
            }
            stage @ (Stage::Made | Stage::Attaching) if Reason::of(found).is_none() => {
                Ok((word(stage, 0, Some(Reason::Orderly)), false))
            }
            _ => Err(false),
        })
    }

    /// The driver has said yes: `Attached -> Detaching`. False if somebody did not wait for that.
    #[must_use]
    pub(crate) fn grant(&self) -> bool {
        self.step(|found| match Stage::of(found) {
            Stage::Attached if found & ASKED != 0 => {
                Ok((word(Stage::Detaching, 0, Some(Reason::Orderly)), true))
            }
            _ => Err(false),
        })
    }

    /// The driver has said no. If it is to be asked again, that is the caller's to do.
    #[must_use]
    pub(crate) fn veto(&self) -> Vetoed {
        self.step(|found| match Stage::of(found) {
            Stage::Attached if found & AGAIN != 0 => {
                Ok((word(Stage::Attached, ASKED, None), Vetoed::AskAgain))
            }
            Stage::Attached if found & ASKED != 0 => {
                Ok((word(Stage::Attached, VETOED, None), Vetoed::Stands))
            }
            _ => Err(Vetoed::Overruled),
        })
    }

    /// The linkages are unmade, by devd or by somebody else. True if nobody had begun a removal:
    /// its reason is [`Reason::Core`].
    ///
    /// Nothing happens while they are being made: it is the making that failed.
    pub(crate) fn unlinked(&self) -> bool {
        self.step(|found| match Stage::of(found) {
            Stage::Attached => Ok((word(Stage::Unlinked, 0, Some(Reason::Core)), true)),
            Stage::Detaching => Ok((word(Stage::Unlinked, 0, Reason::of(found)), false)),
            _ => Err(false),
        })
    }

    /// Nobody refers to it through a linkage any more. True if the object's own pin goes with that;
    /// it does not if the making of the linkages is what failed.
    #[must_use]
    pub(crate) fn drained(&self) -> bool {
        self.step(|found| match Stage::of(found) {
            Stage::Unlinked => Ok((word(Stage::Drained, 0, Reason::of(found)), true)),
            Stage::Failing => Err(true),
            _ => Err(false),
        })
    }

    /// The last step: to `Freed`, or to `Failed`. Who ends the object, once.
    pub(crate) fn end(&self) {
        self.step(|found| {
            let last = match Stage::of(found) {
                Stage::Failing => Stage::Failed,
                _ => Stage::Freed,
            };
            Ok((word(last, 0, Reason::of(found)), ()))
        });
    }

    /// Whether nothing is to come any more. Any context.
    pub(crate) fn over(&self) -> bool {
        matches!(self.stage(), Stage::Freed | Stage::Failed)
    }
}
