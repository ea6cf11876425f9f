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
        module::complain, //
    },
    global,
    lifecycle::Reason, //
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
    fn ifref_driver_register(
        name: *const c_char, ops: *const ifref_driver_ops
    ) -> *mut ifref_driver {
        given(handle(name).and_then(|name| {
            // SAFETY: a string; the driver keeps its operations.
            let (name, ops) = unsafe {
                (CStr::from_char_ptr(name.as_ptr()), Operations::new(handle(ops)?)?)
            };
            global::register_driver(name.to_str().unwrap_or(""), ops, None)
        }))
    }

    fn ifref_driver_unregister(driver: *mut ifref_driver) -> c_int {
        status(handle(driver).and_then(|driver| {
            global::unregister_driver(driver.cast()).inspect_err(|_| {
                complain(c"C API: a driver cannot be unregistered here, or is none any more");
            })
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
        status(unsafe { object(attachment) }.and_then(|object| object.attach()))
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
        status(unsafe { object(attachment) }.and_then(|object| object.wait()))
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
