// SPDX-License-Identifier: GPL-2.0

//! VALID: the link from an address to its interface, and the follow.

use super::platform::{Platform, Pointer, Word};
use super::state::State;

/// Why a reference can no longer be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Invalid {
    /// The interface is going or gone.
    Detached = 1,
    /// The address was taken off an interface that lives on.
    AddressRemoved = 2,
    /// The interface moved to another network namespace.
    Moved = 3,
}

impl Invalid {
    /// The reason in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::AddressRemoved => "address removed",
            Self::Moved => "moved",
        }
    }
}

/// What a link leads to.
pub(crate) trait Target<P: Platform>: Sized {
    /// The interface's state word.
    fn state(&self) -> &State<P>;

    /// Whether the network core still calls the device registered (`NETREG_REGISTERED`).
    ///
    /// It closes a gap that the state word cannot: a device that is down shows its first sign of
    /// removal after the core's first grace period, but `reg_state` changes before it.
    ///
    /// # Safety
    ///
    /// Called inside a read section that has seen [`State::is_valid`] be true.
    unsafe fn registered(&self) -> bool;
}

/// Evidence that a read section has seen a target valid and registered, in this order.
///
/// # Invariants
///
/// Made by [`check`] only, and ends with the read section `'g`.
pub(crate) struct Followed<'g, T>(&'g T);

impl<'g, T> Followed<'g, T> {
    /// What was followed.
    #[inline]
    pub(crate) fn target(&self) -> &'g T {
        self.0
    }
}

/// Checks VALID of a target itself. Any context but NMI.
#[inline]
pub(crate) fn check<'g, P: Platform, T: Target<P>>(
    target: &'g T,
    _section: &'g P::Guard,
) -> Result<Followed<'g, T>, Invalid> {
    // SAFETY: inside the section, and just seen valid.
    if target.state().is_valid() && unsafe { target.registered() } {
        // INVARIANT: just checked.
        Ok(Followed(target))
    } else {
        Err(Invalid::Detached)
    }
}

/// The link from an address to its interface.
///
/// # Invariants
///
/// **The invariant of VALID.** The pointer is either null, for ever, or leads to a `T` that is
/// freed only after (1) the pointer was nulled and (2) a grace period has passed since then. Under
/// a `T` whose state is valid the `net_device` exists, and one that a read section has seen valid
/// and registered, in this order, exists and keeps its operations' preconditions until that
/// section ends: whoever takes VALID away does so before the network core's last grace period,
/// and `reg_state` changes before its first.
pub(crate) struct Link<P: Platform, T> {
    target: P::Pointer<T>,
    reason: P::Word,
}

impl<P: Platform, T: Target<P>> Link<P, T> {
    /// Links to `target`.
    ///
    /// # Safety
    ///
    /// `target` is not freed before [`Self::cut_after`] was called and a grace period has passed since.
    pub(crate) unsafe fn new(target: *const T) -> Self {
        // INVARIANT: the caller promises it.
        Self {
            target: P::Pointer::new(target),
            reason: P::Word::new(0),
        }
    }

    /// Follows the link: three loads and branches, nothing written. Any context but NMI.
    #[inline]
    pub(crate) fn follow<'g>(&self, section: &'g P::Guard) -> Result<Followed<'g, T>, Invalid> {
        let target = self.target.load();
        if target.is_null() {
            return Err(self.reason().unwrap_or(Invalid::Detached));
        }
        // SAFETY: by the type's invariant, a target that was loaded inside the read section of
        // which the guard is evidence is not freed before that section ends.
        check(unsafe { &*target }, section)
    }

    /// Lets go of the interface at once, for `reason`. Idempotent; true for the one who did it, who
    /// has it seen a last time before.
    ///
    /// Any context.
    pub(crate) fn cut_after(&self, reason: Invalid, last: impl FnOnce(&T)) -> bool {
        // The reason first: whoever finds null finds the reason as well.
        let first = self.reason.compare_exchange(0, reason as u32).is_ok();
        if first {
            // SAFETY: by the type's invariant: only this caller will null the pointer.
            last(unsafe { &*self.target.load() });
            self.target.clear();
        }
        first
    }

    /// What it leads to, valid or not, unless it was cut. Any context but NMI.
    pub(crate) fn target<'g>(&self, _section: &'g P::Guard) -> Option<&'g T> {
        // SAFETY: as for `follow`.
        unsafe { self.target.load().as_ref() }
    }

    /// Whether nobody can follow it any more: a section that begins a grace period from now on
    /// finds it cut as well. Any context.
    pub(crate) fn is_cut(&self) -> bool {
        self.target.load().is_null()
    }

    /// Why the link was cut, if it was; it may be about to be. Any context.
    pub(crate) fn reason(&self) -> Option<Invalid> {
        match self.reason.load() {
            1 => Some(Invalid::Detached),
            2 => Some(Invalid::AddressRemoved),
            3 => Some(Invalid::Moved),
            _ => None,
        }
    }
}
