// SPDX-License-Identifier: GPL-2.0

//! References to ifref's own module.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use super::bindings;
use kernel::{
    prelude::*,
    str::CStrExt, //
};

/// Keeps ifref loaded: `rmmod` says EBUSY while an instance exists.
///
/// # Invariants
///
/// Owns one reference to the module.
pub(crate) struct Loaded(());

impl Loaded {
    /// Takes a reference. Any context; ENODEV if the module is being unloaded.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: always safe to call from the module's own code.
        if unsafe { bindings::ifref_module_get() } {
            // INVARIANT: just taken.
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the type's invariant. The code that is running is kept as well: by the open debugfs
        // file through which it was called, or by the exit, which waits for the work item that it is.
        unsafe { bindings::ifref_module_put() };
    }
}

/// Waits until each task that was preempted in the module's text has left it, by itself. Sleeps.
pub(crate) fn left() {
    // SAFETY: always safe to call from process context.
    unsafe { bindings::ifref_module_left() };
}

/// Whether the calling task has CAP_NET_ADMIN in the initial user namespace. Process context.
pub(crate) fn net_admin() -> bool {
    // SAFETY: a question about the current task.
    unsafe { kernel::bindings::capable(kernel::bindings::CAP_NET_ADMIN as i32) }
}

/// Whether the caller is where sleeping is possible, as far as the kernel can tell. Any context.
pub(crate) fn can_sleep() -> bool {
    // SAFETY: a question about the current context.
    unsafe { bindings::ifref_can_sleep() }
}

/// Writes a line about somebody's mistake to the kernel log, rate-limited. Any context.
pub(crate) fn complain(text: &CStr) {
    // SAFETY: the text is copied while the call lasts.
    unsafe { bindings::ifref_complain(text.as_char_ptr()) };
}

/// The same about one with a name, any bytes: a `what`, such as a driver.
pub(crate) fn complain_of(what: &CStr, name: &str, text: &CStr) {
    // SAFETY: the texts are copied while the call lasts; the name has as many bytes.
    unsafe {
        bindings::ifref_complain_of(
            what.as_char_ptr(),
            name.as_ptr().cast(),
            name.len(),
            text.as_char_ptr(),
        )
    };
}
