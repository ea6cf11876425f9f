// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of `trace.h`. All may be called in any context.

use super::{
    bindings,
    inet::Address, //
};
use crate::text::Text;
use kernel::{
    prelude::*,
    str::CStrExt, //
};

/// An interface was adopted.
pub(crate) fn adopt(serial: u64, name: &CStr, ifindex: i32, netns: u32, driver: &CStr) {
    // SAFETY: strings are copied while the call lasts.
    unsafe {
        bindings::ifref_trace_adopt(
            serial,
            name.as_char_ptr(),
            ifindex,
            netns,
            driver.as_char_ptr(),
        );
    }
}

/// VALID was taken away, by `cause`.
pub(crate) fn invalidate(serial: u64, name: &CStr, cause: &str) {
    let cause = Text::<16>::from(cause);
    // SAFETY: strings are copied while the call lasts.
    unsafe {
        bindings::ifref_trace_invalidate(serial, name.as_char_ptr(), cause.as_c_str().as_char_ptr())
    };
}

/// The removal has ended, `lead_ns` after VALID was taken away.
pub(crate) fn free(serial: u64, name: &CStr, cause: &str, lead_ns: u64) {
    let cause = Text::<16>::from(cause);
    // SAFETY: strings are copied while the call lasts.
    unsafe {
        bindings::ifref_trace_free(
            serial,
            name.as_char_ptr(),
            cause.as_c_str().as_char_ptr(),
            lead_ns,
        );
    }
}

/// A removal through devd takes long.
pub(crate) fn stuck(serial: u64, name: &CStr, stage: &str, ms: u64, softc_holds: i32) {
    let stage = Text::<16>::from(stage);
    // SAFETY: strings are copied while the call lasts.
    unsafe {
        bindings::ifref_trace_stuck(
            serial,
            name.as_char_ptr(),
            stage.as_c_str().as_char_ptr(),
            ms,
            softc_holds,
        );
    }
}

/// An address was made.
pub(crate) fn ifaddr_new(id: u64, serial: u64, address: &Address) {
    // SAFETY: the address is copied while the call lasts.
    unsafe { bindings::ifref_trace_ifaddr_new(id, serial, address.raw()) };
}

/// An address let go of its interface.
pub(crate) fn ifaddr_invalidate(id: u64, serial: u64, reason: &str) {
    let reason = Text::<24>::from(reason);
    // SAFETY: strings are copied while the call lasts.
    unsafe { bindings::ifref_trace_ifaddr_invalidate(id, serial, reason.as_c_str().as_char_ptr()) };
}

/// A follow was refused and the reference dropped.
pub(crate) fn refused(id: u64, serial: u64, reason: &str) {
    let reason = Text::<24>::from(reason);
    // SAFETY: strings are copied while the call lasts.
    unsafe { bindings::ifref_trace_refused(id, serial, reason.as_c_str().as_char_ptr()) };
}
