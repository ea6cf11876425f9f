// SPDX-License-Identifier: GPL-2.0

//! Packets that a holder keeps.

use crate::{
    ffi::skbuff::Skb,
    lifecycle::Invalid,
    live::Live,
    registry::errno,
    stake::{
        IfaddrRef,
        Stake, //
    },
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    alloc::Flags,
    bindings::sk_buff,
    prelude::*,
    sync::rcu, //
};

/// A parked packet with its counted reference beside it: nothing of it leads to the interface, so
/// that the interface may go meanwhile. Parking, cloning and dropping count on this CPU only.
/// Dropped, in any context but NMI, it frees the sk_buff and puts the reference.
///
/// # Invariants
///
/// Was noted as parked with the stake of `reference`.
#[must_use]
pub struct Packet {
    // Dropped in this order: the bytes first.
    skb: Skb,
    note: Noted,
}

/// The reference, which notes its packet's end.
struct Noted(IfaddrRef);

impl Noted {
    #[inline]
    fn new(reference: IfaddrRef) -> Self {
        reference.parked();
        Self(reference)
    }
}

impl Drop for Noted {
    #[inline]
    fn drop(&mut self) {
        self.0.unparked();
    }
}

impl Packet {
    /// Parks `skb` with `reference`: its device, route, socket, connection and extensions are
    /// dropped, its time stamps and marks stay. Process context or softirq, hard interrupts on.
    #[inline]
    pub fn park(mut skb: Skb, reference: IfaddrRef) -> Self {
        skb.scrub();
        // INVARIANT: noted.
        Self {
            skb,
            note: Noted::new(reference),
        }
    }

    /// Gives the packet away, as the sk_buff and the reference.
    pub(crate) fn into_raw(self) -> (NonNull<sk_buff>, NonNull<Stake>) {
        let Self { skb, note } = self;
        let reference = NonNull::from(ManuallyDrop::new(note).0.stake());
        (skb.into_raw(), reference)
    }

    /// Takes one over.
    ///
    /// # Safety
    ///
    /// From [`Self::into_raw`]; the caller's, or not dropped.
    pub(crate) unsafe fn from_raw(skb: NonNull<sk_buff>, stake: NonNull<Stake>) -> Self {
        // SAFETY: the caller's promise. INVARIANT: noted when it was parked.
        unsafe {
            Self {
                skb: Skb::from_raw(skb),
                note: Noted(IfaddrRef::from_raw(stake)),
            }
        }
    }

    /// The reference.
    pub fn reference(&self) -> &IfaddrRef {
        &self.note.0
    }

    /// The packet.
    pub fn skb(&self) -> &Skb {
        &self.skb
    }

    /// Another packet with the same data and a reference of its own; ENOMEM. Any context but NMI
    /// that `flags` allow; with PREEMPT_RT, not hard IRQ.
    pub fn try_clone(&self, flags: Flags) -> Result<Self> {
        let skb = self.skb.try_clone(flags)?;
        // INVARIANT: noted.
        Ok(Self {
            skb,
            note: Noted::new(self.reference().clone()),
        })
    }

    /// Follows the reference; it only refuses.
    pub fn try_follow<'g>(&'g self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        self.reference().try_follow(section)
    }

    /// Sends it by the interface that it refers to. If that is not valid it is freed, the refusal
    /// is counted, and the error is the errno of the reason; otherwise that of
    /// [`Live::transmit`]. Process context or softirq.
    pub fn transmit(self) -> Result {
        let Self { skb, note } = self;
        let section = rcu::read_lock();
        match note.0.try_follow(&section) {
            Ok(live) => live.transmit(skb),
            Err(reason) => {
                note.0.stake().holder().refused();
                Err(errno(reason))
            }
        }
    }
}
