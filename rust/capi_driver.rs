// SPDX-License-Identifier: GPL-2.0

//! The API for drivers in C: the second part of `include/ifref.h`.
//!
//! What C has is a pointer: to the [`Driver`], to the [`Object`] that it has attached.

use crate::{
    capi::{
        c_functions,
        given,
        handle,
        status, //
    },
    devd::Object,
    driver::Driver,
    ffi::{
        bindings::{
            self,
            ifref_attachment,
            ifref_detach_reason,
            ifref_driver,
            ifref_driver_ops, //
        },
        driven::Operations,
        module::{
            can_sleep,
            complain,
            complain_of, //
        },
    },
    global::{
        self,
        told_waiting, //
    },
    lifecycle::{
        Reason,
        Stage, //
    },
};
use core::{
    ffi::c_void,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    ffi::{c_char, c_int},
    prelude::*,
    str::CStrExt,
    sync::Arc, //
};

/// What stays C's.
///
/// # Safety
///
/// `pointer` is null, an error, or one of C's attachments.
unsafe fn object(pointer: *mut ifref_attachment) -> Result<ManuallyDrop<Arc<Object>>> {
    let object = handle(pointer)?.cast::<Object>();
    // SAFETY: the caller's promise; it is not dropped here.
    Ok(ManuallyDrop::new(unsafe { Arc::from_raw(object.as_ptr()) }))
}

c_functions! {
    fn __ifref_driver_register(
        module: *mut bindings::module, name: *const c_char, ops: *const ifref_driver_ops
    ) -> *mut ifref_driver {
        given(handle(name).and_then(|name| {
            // SAFETY: a string. What is no text has no letters.
            let name = unsafe { CStr::from_char_ptr(name.as_ptr()) }.to_str().unwrap_or("");
            // SAFETY: the driver keeps its operations.
            let ops = unsafe { Operations::new(handle(ops)?) }
                .inspect_err(|_| complain_of(c"driver", name, c"its operations lack free"))?;
            global::register_driver(module.addr(), name, ops, None)
        }))
    }

    fn __ifref_driver_unregister(
        module: *mut bindings::module, driver: *mut ifref_driver
    ) -> c_int {
        status(handle(driver).and_then(|driver| {
            // Before it is looked up, which sleeps.
            if !can_sleep() {
                complain(c"C API: a driver is unregistered where nobody may sleep");
                // EWOULDBLOCK by its other name.
                return Err(EAGAIN);
            }
            global::unregister_driver(module.addr(), driver.cast())
        }))
    }

    fn ifref_attachment_new(
        driver: *mut ifref_driver, dev: *mut bindings::net_device, softc: *mut c_void
    ) -> *mut ifref_attachment {
        given(handle(driver).and_then(|driver| {
            let dev = handle(dev)?;
            // SAFETY: a handle; the device and the softc are there until `free` is called.
            let object = unsafe { driver.cast::<Driver>().as_ref().prepare(dev, softc) }?;
            NonNull::new(Arc::into_raw(object).cast_mut()).ok_or(ENOMEM)
        }))
    }

    fn ifref_attachment_put(attachment: *mut ifref_attachment) {
        if attachment.is_null() {
            return;
        }
        // SAFETY: a handle, which ends here.
        if let Ok(object) = unsafe { object(attachment) } {
            drop(ManuallyDrop::into_inner(object));
        }
    }

    fn ifref_attach(attachment: *mut ifref_attachment) -> c_int {
        // SAFETY: a handle.
        status(unsafe { object(attachment) }.and_then(|object| {
            let name = object.owner().name();
            let before = object.life().course.stage() != Stage::Made;
            let attached = told_waiting(name, object.attach());
            if before && attached == Err(EINVAL) {
                complain_of(c"driver", name, c"it attaches twice what it may attach once");
            }
            attached
        }))
    }

    fn ifref_detach(attachment: *mut ifref_attachment, reason: ifref_detach_reason) {
        // SAFETY: a handle.
        let Ok(object) = (unsafe { object(attachment) }) else {
            return;
        };
        match reason {
            bindings::IFREF_DETACH_ORDERLY => object.ask(),
            _ => object.detach(Reason::Gone),
        }
    }

    fn ifref_wait(attachment: *mut ifref_attachment) -> c_int {
        // SAFETY: a handle.
        status(unsafe { object(attachment) }.and_then(|object| {
            told_waiting(object.owner().name(), object.wait())
        }))
    }

    fn ifref_hold_softc(attachment: *mut ifref_attachment) -> bool {
        // SAFETY: a handle.
        unsafe { object(attachment) }.is_ok_and(|object| object.hold())
    }

    fn ifref_release_softc(attachment: *mut ifref_attachment) {
        // SAFETY: a handle.
        if let Ok(object) = unsafe { object(attachment) } {
            object.release();
        }
    }
}
