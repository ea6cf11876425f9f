// SPDX-License-Identifier: GPL-2.0

//! Packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    bindings,
    gfp,
    netdevice::NetDevice, //
};
use core::{
    mem,
    ptr::NonNull,
    slice, //
};
use kernel::{
    alloc::Flags,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// An sk_buff. Dropping it frees it, in any context but NMI.
///
/// # Invariants
///
/// Owns one reference to it, which nobody else changes, and it is on no queue.
pub struct Skb(NonNull<bindings::sk_buff>);

// SAFETY: An sk_buff may be handled and freed by anybody who owns it.
unsafe impl Send for Skb {}

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

    /// Makes a packet with `len` bytes of zero, in one piece. Sleeps unless `flags` say otherwise; ENOMEM.
    pub fn new(len: u32, flags: Flags) -> Result<Self> {
        // SAFETY: always safe to call.
        let skb = unsafe { bindings::ifref_skb_new(len, gfp::raw(flags)) };
        // INVARIANT: just made.
        Ok(Self(NonNull::new(skb).ok_or(ENOMEM)?))
    }

    /// Takes all off it that keeps, or leads to, something else: the device, the route, the socket,
    /// the connection, extensions. Time stamps and marks stay. Process context or softirq, hard
    /// interrupts on, which lockdep sees to: what is let go of ends here.
    pub fn scrub(&mut self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_skb_scrub(self.0.as_ptr()) };
    }

    /// Another sk_buff with the same data. Sleeps unless `flags` say otherwise; ENOMEM.
    pub fn try_clone(&self, flags: Flags) -> Result<Self> {
        // SAFETY: the type's invariant; cloning counts on the data only.
        let skb = unsafe { bindings::ifref_skb_clone(self.0.as_ptr(), gfp::raw(flags)) };
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

    /// The bytes of its first piece, which has all of what a driver is given to send, or has made.
    pub fn data(&self) -> &[u8] {
        // SAFETY: the type's invariant. Who writes to the data makes a copy first, if it is shared.
        unsafe {
            slice::from_raw_parts(
                bindings::ifref_skb_data(self.0.as_ptr()),
                bindings::ifref_skb_headlen(self.0.as_ptr()) as usize,
            )
        }
    }

    /// The same, to be written to: copied first if others share them. Any context but NMI; ENOMEM.
    pub fn data_mut(&mut self) -> Result<&mut [u8]> {
        self.unshare()?;
        // SAFETY: the type's invariant; nobody else has this copy.
        unsafe {
            Ok(slice::from_raw_parts_mut(
                bindings::ifref_skb_data(self.0.as_ptr()).cast_mut(),
                bindings::ifref_skb_headlen(self.0.as_ptr()) as usize,
            ))
        }
    }

    /// Appends `len` bytes, zero, and returns them. Any context but NMI; ENOSPC if there is no room
    /// for them, ENOMEM.
    pub fn put(&mut self, len: u32) -> Result<&mut [u8]> {
        // One in pieces has no room even for that.
        if len == 0 {
            return Ok(&mut []);
        }
        self.unshare()?;
        // SAFETY: the type's invariant.
        if unsafe { bindings::ifref_skb_tailroom(self.0.as_ptr()) } < len {
            return Err(ENOSPC);
        }
        // SAFETY: the type's invariant; there is room, and nobody else has this copy.
        unsafe {
            let start = bindings::ifref_skb_put_zero(self.0.as_ptr(), len);
            Ok(slice::from_raw_parts_mut(start, len as usize))
        }
    }

    fn unshare(&mut self) -> Result {
        // SAFETY: the type's invariant.
        to_result(unsafe { bindings::ifref_skb_unshare(self.0.as_ptr()) })
    }

    /// Whether others share its data.
    pub(super) fn is_cloned(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_skb_cloned(self.0.as_ptr()) }
    }

    /// Makes it one that `dev` has received, from its Ethernet header on; `None` if it has none,
    /// and it is freed. It may be one that was sent before: of that nothing is left.
    ///
    /// # Safety
    ///
    /// `dev` exists as long as what is returned.
    pub(super) unsafe fn received_by(self, dev: NonNull<bindings::net_device>) -> Option<Self> {
        // SAFETY: the type's invariant.
        if !unsafe { bindings::ifref_skb_may_pull(self.0.as_ptr(), bindings::IFREF_ETH_HLEN) } {
            return None;
        }
        // SAFETY: the type's invariant; it has a header. The caller's promise.
        unsafe { bindings::ifref_skb_received_by(self.0.as_ptr(), dev.as_ptr()) };
        Some(self)
    }

    /// Sends it by `dev`. Process context or softirq.
    ///
    /// # Safety
    ///
    /// The caller's read section has seen `dev` registered.
    pub(crate) unsafe fn transmit(self, dev: &NetDevice) -> Result {
        let skb = self.into_raw();
        // SAFETY: the caller's promise; it is the device's from here on, whatever comes of it.
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

/// A queue of packets, with a lock of its own. What is left goes with it.
#[pin_data(PinnedDrop)]
pub struct SkbQueue {
    #[pin]
    queue: Opaque<bindings::sk_buff_head>,
}

// SAFETY: A queue may be used from anywhere.
unsafe impl Send for SkbQueue {}
// SAFETY: It has a lock.
unsafe impl Sync for SkbQueue {}

impl SkbQueue {
    /// An empty one.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: the slot is room for a queue.
            queue <- Opaque::ffi_init(|slot| unsafe { bindings::ifref_skb_queue_init(slot) }),
        })
    }

    /// Puts a packet at its end. Any context but NMI; with PREEMPT_RT, not hard IRQ.
    pub fn push(&self, skb: Skb) {
        // SAFETY: initialised; the packet is the queue's from here on.
        unsafe { bindings::skb_queue_tail(self.queue.get(), skb.into_raw().as_ptr()) };
    }

    /// Takes its first packet. As [`Self::push`].
    pub fn pop(&self) -> Option<Skb> {
        // SAFETY: initialised.
        let skb = NonNull::new(unsafe { bindings::skb_dequeue(self.queue.get()) })?;
        // SAFETY: from `push`, and the caller's from here on.
        Some(unsafe { Skb::from_raw(skb) })
    }

    /// How many there are; that may change at once. Any context.
    pub fn len(&self) -> u32 {
        // This is READ_ONCE().
        // SAFETY: initialised.
        unsafe { (&raw const (*self.queue.get()).qlen).read_volatile() }
    }

    /// Whether there is none; that may change at once. Any context.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[pinned_drop]
impl PinnedDrop for SkbQueue {
    fn drop(self: Pin<&mut Self>) {
        while self.pop().is_some() {}
    }
}
