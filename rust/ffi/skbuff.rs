// SPDX-License-Identifier: GPL-2.0

//! Packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    bindings,
    netdevice::NetDevice, //
};
use core::{
    mem,
    ptr::NonNull, //
};
use kernel::{
    alloc::Flags,
    error::to_result,
    prelude::*, //
};

/// The flags of C's; all that matters here is whether they allow to sleep.
pub fn flags(gfp: u32) -> Flags {
    // SAFETY: a question about a number.
    if unsafe { bindings::ifref_may_block(gfp) } {
        GFP_KERNEL
    } else {
        GFP_ATOMIC
    }
}

/// An sk_buff. Dropping it frees it, in any context but NMI.
///
/// # Invariants
///
/// Owns one reference to it, which nobody else changes, and it is on no queue.
pub struct Skb(NonNull<bindings::sk_buff>);

// SAFETY: An sk_buff may be handled and freed by anybody who owns it.
unsafe impl Send for Skb {}
// SAFETY: What a shared one gives only reads.
unsafe impl Sync for Skb {}

impl Skb {
    /// Takes an sk_buff over.
    ///
    /// # Safety
    ///
    /// It is valid, the caller's, neither shared nor on a queue, and not used any more.
    pub unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: the caller's promise.
        Self(skb)
    }

    /// Makes a packet with `len` bytes of zero. Sleeps unless `flags` say otherwise; ENOMEM.
    pub fn new(len: u32, flags: Flags) -> Result<Self> {
        // SAFETY: always safe to call.
        let skb = unsafe { bindings::ifref_skb_new(len, flags != GFP_KERNEL) };
        // INVARIANT: just made.
        Ok(Self(NonNull::new(skb).ok_or(ENOMEM)?))
    }

    /// Takes all off it that keeps, or leads to, something else: the device, the route, the socket,
    /// the connection, extensions. Time stamps and marks stay. Any context but NMI.
    pub fn scrub(&mut self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_skb_scrub(self.0.as_ptr()) };
    }

    /// Another sk_buff with the same data. Sleeps unless `flags` say otherwise; ENOMEM.
    pub fn try_clone(&self, flags: Flags) -> Result<Self> {
        // SAFETY: the type's invariant; cloning counts on the data only.
        let skb = unsafe { bindings::ifref_skb_clone(self.0.as_ptr(), flags != GFP_KERNEL) };
        // INVARIANT: just made.
        Ok(Self(NonNull::new(skb).ok_or(ENOMEM)?))
    }

    /// How many bytes it has.
    pub fn len(&self) -> u32 {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_skb_len(self.0.as_ptr()) }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends it by `dev`, which is registered in the caller's read section. Process context or
    /// softirq.
    pub fn transmit(self, dev: &NetDevice) -> Result {
        let skb = self.into_raw();
        // SAFETY: it is the device's from here on, whatever comes of it.
        to_result(unsafe { bindings::ifref_skb_transmit(skb.as_ptr(), dev.raw()) })
    }

    /// Gives the sk_buff away.
    pub fn into_raw(self) -> NonNull<bindings::sk_buff> {
        let skb = self.0;
        mem::forget(self);
        skb
    }
}

impl Drop for Skb {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { bindings::ifref_skb_free(self.0.as_ptr()) };
    }
}
