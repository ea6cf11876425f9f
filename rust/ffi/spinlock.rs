// SPDX-License-Identifier: GPL-2.0

//! A spinlock that any context may take.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use super::bindings;
use kernel::{
    ffi::c_char,
    sync::lock::{Backend, Lock}, //
};

/// A raw spinlock taken with interrupts off: IPv6 addresses come and go in softirq, and the last
/// put may be in hard IRQ, which with PREEMPT_RT takes no other. So what it guards is short, and
/// neither allocates nor frees. If two are held, the last one taken goes first: each restores what
/// interrupts were when it was taken.
pub type IrqLock<T> = Lock<T, IrqSave>;

/// The guard of an [`IrqLock`].
pub(crate) type Guard<'a, T> = kernel::sync::lock::Guard<'a, T, IrqSave>;

/// The backend of [`IrqLock`].
pub struct IrqSave;

// SAFETY: `raw_spin_lock_irqsave()` gives mutual exclusion between all contexts; the default `relock`
// calls `lock` again.
unsafe impl Backend for IrqSave {
    type State = kernel::bindings::raw_spinlock_t;
    type GuardState = usize;

    unsafe fn init(
        ptr: *mut Self::State,
        name: *const c_char,
        key: *mut kernel::bindings::lock_class_key,
    ) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_spin_lock_init(ptr, name, key) }
    }

    unsafe fn lock(ptr: *mut Self::State) -> usize {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_spin_lock_irqsave(ptr) }
    }

    unsafe fn try_lock(_ptr: *mut Self::State) -> Option<usize> {
        None
    }

    unsafe fn unlock(ptr: *mut Self::State, flags: &usize) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_spin_unlock_irqrestore(ptr, *flags) }
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_spin_assert_held(ptr) }
    }
}

/// Makes an [`IrqLock`] with its own lock class.
#[macro_export]
macro_rules! new_irq_lock {
    ($inner:expr, $name:literal) => {
        $crate::IrqLock::new(
            $inner,
            ::kernel::c_str!($name),
            ::kernel::static_lock_class!(),
        )
    };
}
pub(crate) use new_irq_lock;
