// SPDX-License-Identifier: GPL-2.0

//! Sleeping until something is so.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::bindings;
use core::ffi::c_void;
use kernel::{
    prelude::*,
    str::CStrExt,
    sync::LockClassKey,
    types::Opaque, //
};

/// Where tasks sleep until a condition of theirs is true.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    queue: Opaque<kernel::bindings::wait_queue_head>,
}

// SAFETY: A wait queue may be used from anywhere.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// One that nobody waits at.
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: the slot is room for a wait queue, the rest is static.
            queue <- Opaque::ffi_init(move |slot| unsafe {
                kernel::bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }

    /// Sleeps until `over` says so, which is asked at each [`Self::wake`], or `ms` milliseconds; 0
    /// is for ever. Says whether it is over.
    pub(crate) fn wait<F: Fn() -> bool>(&self, ms: u32, over: F) -> bool {
        /// # Safety
        ///
        /// `ctx` is the closure.
        unsafe extern "C" fn call<F: Fn() -> bool>(ctx: *mut c_void) -> bool {
            // SAFETY: the caller's promise.
            let over = unsafe { &*ctx.cast::<F>() };
            over()
        }
        let ctx = (&raw const over).cast_mut().cast();
        // SAFETY: `call` gets the closure it was made for, which lives until it returns.
        unsafe { bindings::ifref_wait_until(self.queue.get(), Some(call::<F>), ctx, ms) }
    }

    /// Has those who wait look again. Process context or softirq.
    pub(crate) fn wake(&self) {
        // SAFETY: initialised.
        unsafe { bindings::ifref_wait_wake(self.queue.get()) };
    }
}

/// Makes a [`WaitQueue`] with its own lock class.
macro_rules! new_wait_queue {
    ($name:literal) => {
        $crate::ffi::wait::WaitQueue::new(::kernel::c_str!($name), ::kernel::static_lock_class!())
    };
}
pub(crate) use new_wait_queue;
