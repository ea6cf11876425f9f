// SPDX-License-Identifier: GPL-2.0

//! Every difference between the kernel versions that ifref builds on that Rust sees: what the
//! kernel crate of 7.2 lacks. Those that C sees are in `compat.h`.

use kernel::{
    bindings,
    error::Error, //
};

/// Waits until every RCU read section that is running now has ended. Sleeps.
///
/// The kernel crate has it from 7.3 on.
pub(crate) fn synchronize_rcu() {
    // SAFETY: always safe to call from process context.
    unsafe { bindings::synchronize_rcu() };
}

/// The errno `EADDRNOTAVAIL`, which the kernel crate has from 7.3 on.
pub(crate) fn eaddrnotavail() -> Error {
    Error::from_errno(-(bindings::EADDRNOTAVAIL as i32))
}
