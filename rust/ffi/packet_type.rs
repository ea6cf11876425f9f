// SPDX-License-Identifier: GPL-2.0

//! Capturing what devices receive.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h), `struct packet_type`

use super::{
    bindings,
    netdevice::NetDevice,
    skbuff::Skb,
    unload::UntilUnload, //
};
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::Arc, //
};

/// Who gets the packets.
pub trait Receive: Send + Sync + 'static {
    /// Gets a copy of one packet that `dev` has received. Softirq, on each CPU.
    fn receive(&self, skb: Skb, dev: &NetDevice);
}

/// Captures what the devices of the initial namespace receive. Making and dropping it sleeps; after
/// the drop no call is running.
///
/// # Invariants
///
/// Owns `capture`, which calls on `_receiver`.
pub struct Capture<R: Receive> {
    capture: NonNull<bindings::ifref_capture>,
    _receiver: Arc<R>,
}

// SAFETY: A capture may be ended from anywhere.
unsafe impl<R: Receive> Send for Capture<R> {}
// SAFETY: A shared one offers nothing.
unsafe impl<R: Receive> Sync for Capture<R> {}

impl<R: Receive> Capture<R> {
    /// Begins; ENOMEM.
    ///
    /// # Safety
    ///
    /// It is dropped, and not forgotten, before the code of `receiver` goes.
    unsafe fn begin(receiver: Arc<R>) -> Result<Self> {
        let ctx = Arc::as_ptr(&receiver).cast_mut().cast();
        // SAFETY: the initial namespace always exists, `receiver` until the capture has ended.
        let capture = unsafe {
            bindings::ifref_capture_new(bindings::ifref_init_net(), Some(Self::receive), ctx)
        };
        // INVARIANT: just made.
        Ok(Self {
            capture: NonNull::new(capture).ok_or(ENOMEM)?,
            _receiver: receiver,
        })
    }

    /// # Safety
    ///
    /// `ctx` is an `R`, `skb` the callee's and not shared, `dev` a device that exists.
    unsafe extern "C" fn receive(
        ctx: *mut c_void,
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) {
        // SAFETY: the caller's promise.
        let (receiver, dev) = unsafe { (&*ctx.cast::<R>(), NetDevice::from_raw(dev)) };
        if let Some(skb) = NonNull::new(skb) {
            // SAFETY: the caller's promise.
            receiver.receive(unsafe { Skb::from_raw(skb) }, dev);
        }
    }
}

impl<R: Receive> UntilUnload<Capture<R>> {
    /// Has `receiver`, whose code is `module`'s, get packets from now on. Sleeps; ENOMEM.
    pub fn new(module: &'static ThisModule, receiver: Arc<R>) -> Result<Self> {
        // SAFETY: it is dropped when the module goes at the latest.
        Self::own(module, "capture", unsafe { Capture::begin(receiver) }?)
    }
}

impl<R: Receive> Drop for Capture<R> {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { bindings::ifref_capture_end(self.capture.as_ptr()) };
    }
}
