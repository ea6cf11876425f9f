// SPDX-License-Identifier: GPL-2.0

//! What devd knows of an object: where it is, what pins it, what it is handed on for.

use super::{
    course::{
        Begun,
        Course, //
    },
    mail::Mail,
    pins::Pins,
    platform::Platform, //
};

/// The words of an object that devd attaches and detaches. None of them knows what it is.
pub(crate) struct Life<P: Platform> {
    /// The state word.
    pub course: Course<P>,
    /// What delays its end: its own pin, which goes when it has drained; each errand; each use, each
    /// hold of the driver's. The pin of the errand on which it is detached is taken when it is
    /// attached, and goes with that errand.
    pub pins: Pins<P>,
    /// What devd is to do.
    pub errands: Mail<P>,
    /// What a worker is to do.
    pub jobs: Mail<P>,
}

impl<P: Platform> Default for Life<P> {
    /// Of an object that was just made.
    fn default() -> Self {
        Self {
            course: Course::default(),
            pins: Pins::default(),
            errands: Mail::default(),
            jobs: Mail::default(),
        }
    }
}

impl<P: Platform> Life<P> {
    /// Sends it for an errand, which pins it until it is done. True if the caller is to hand the
    /// object on: to devd's queue, or to the workers. Any context.
    ///
    /// An object whose end has been decided needs no errand any more.
    #[must_use]
    pub(crate) fn send(&self, to: &Mail<P>, errand: u32) -> bool {
        self.pins.pin() && to.put(errand)
    }

    /// Sends it for the errand on which it is detached, after [`Course::detach`] or the like, as
    /// [`Self::send`]. Its pin was taken before.
    #[must_use]
    #[inline]
    pub(crate) fn depart(&self, begun: Begun, errand: u32) -> bool {
        match begun {
            Begun::No => false,
            // On no other errand: of the one on which it was attached devd knows, the driver was
            // not asked, and will not be any more.
            Begun::Unasked => {
                self.errands.set(errand);
                true
            }
            Begun::Asked => self.errands.put(errand),
        }
    }

    /// The linkages are unmade, as [`Course::unlinked`]. True if nobody had begun a removal: the
    /// caller sends the object on the errand on which it is detached, by [`Self::depart`] as
    /// [`Begun::Asked`], for what is left to do.
    #[must_use]
    pub(crate) fn unlinked(&self) -> bool {
        self.course.unlinked()
    }

    /// An errand is done. True if the caller is to end the object. Any context.
    #[must_use]
    pub(crate) fn done(&self) -> bool {
        self.pins.unpin()
    }

    /// It has drained, says whoever saw that. True if the caller is to end the object. Any context.
    #[must_use]
    pub(crate) fn drained(&self) -> bool {
        self.course.drained() && self.pins.unpin()
    }
}
