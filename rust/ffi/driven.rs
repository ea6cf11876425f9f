// SPDX-License-Identifier: GPL-2.0

//! Devices whose drivers are ifref's, and the drivers' callbacks.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h), `include/ifref.h`

use super::{
    bindings::{
        self,
        net_device, //
    },
    module::complain_of,
    netdevice::NetDevice,
    rtnetlink::Rtnl, //
};
use crate::{
    devd::{
        Failure,
        Object,
        Veto, //
    },
    driver,
    text::Text, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

/// A device with some of its operations wrapped: from before its registration until its driver
/// frees it.
///
/// # Invariants
///
/// The device exists until the driver's `free` is called, or linking has failed; then `dev` is not
/// followed any more. `wrap` is owned, and the device's operations are in it from linking on.
pub(crate) struct Wrapped {
    dev: NonNull<net_device>,
    wrap: NonNull<bindings::ifref_wrap>,
}

// SAFETY: What the methods touch may be touched from anywhere, or needs a token of its lock.
unsafe impl Send for Wrapped {}
// SAFETY: As above.
unsafe impl Sync for Wrapped {}

impl Wrapped {
    /// Prepares a device. Sleeps; ENOMEM, EINVAL if it is registered, has no `ndo_start_xmit`, or
    /// frees itself, EOPNOTSUPP if it offloads what others free.
    ///
    /// # Safety
    ///
    /// As the type's invariant says of `dev`.
    pub(crate) unsafe fn new(dev: NonNull<net_device>) -> Result<Self> {
        let mut err = 0;
        // SAFETY: the device exists.
        let wrap = unsafe { bindings::ifref_wrap_new(dev.as_ptr(), &mut err) };
        to_result(err)?;
        // INVARIANT: just made; the rest is the caller's promise.
        Ok(Self {
            dev,
            wrap: NonNull::new(wrap).ok_or(ENOMEM)?,
        })
    }

    /// The device. Before the driver's `free` is called.
    pub(crate) fn dev(&self) -> &NetDevice {
        // SAFETY: the type's invariant.
        unsafe { NetDevice::from_raw(self.dev.as_ptr()) }
    }

    /// Registers it for `object`, which outlives its registration.
    pub(crate) fn link(&self, _rtnl: &Rtnl, object: &Arc<Object>) -> Result<(), Failure> {
        let ctx = Arc::as_ptr(object).cast_mut().cast();
        let mut draining = false;
        // SAFETY: the type's invariant; under RTNL.
        if !unsafe { bindings::ifref_netdev_is_new(self.dev.as_ptr()) } {
            let name = object.owner().name();
            complain_of(
                c"driver",
                name,
                c"what it attaches has been registered already",
            );
            return Err(Failure {
                error: EINVAL,
                draining,
            });
        }
        // SAFETY: the type's invariant; under RTNL. The object is freed after the device has
        // drained, and operations are called no more.
        let err = unsafe {
            bindings::ifref_netdev_link(self.dev.as_ptr(), self.wrap.as_ptr(), ctx, &mut draining)
        };
        to_result(err).map_err(|error| Failure { error, draining })
    }

    /// Has it unregistered at the end of the section, unless somebody else has done that.
    pub(crate) fn unlink(&self, _rtnl: &Rtnl) {
        // SAFETY: the type's invariant; under RTNL.
        unsafe { bindings::ifref_netdev_unlink(self.dev.as_ptr()) };
    }

    /// Keeps out what looks whether the device is present. Process context.
    pub(crate) fn shut(&self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_netdev_shut(self.dev.as_ptr()) };
    }

    /// Lets go of the folder that [`Self::leave_parent`] has moved the device from. It is
    /// unregistered.
    pub(crate) fn close(&self, _rtnl: &Rtnl) {
        // SAFETY: the type's invariant; under RTNL.
        unsafe { bindings::ifref_netdev_close(self.wrap.as_ptr()) };
    }

    /// Moves the device's folder in sysfs away from its parent's. Process context; ENOMEM.
    ///
    /// # Safety
    ///
    /// The device is registered, and neither unregistered nor moved to another namespace meanwhile;
    /// once at a time.
    pub(crate) unsafe fn leave_parent(&self) -> Result {
        // SAFETY: the type's invariant, and the caller's promise.
        to_result(unsafe {
            bindings::ifref_netdev_leave_parent(self.dev.as_ptr(), self.wrap.as_ptr())
        })
    }

    /// Does not keep what is above the device any more: nobody follows it from now on. Process context.
    pub(crate) fn let_above_go(&self) {
        // SAFETY: the type's invariant; once, after the device's end.
        unsafe { bindings::ifref_wrap_let_above_go(self.wrap.as_ptr()) };
    }

    /// Gives the device its own operations back: it was not registered, or is not any more.
    pub(crate) fn unwrap_ops(&self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_netdev_unwrap(self.dev.as_ptr(), self.wrap.as_ptr()) };
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        // SAFETY: the type's invariant: nothing calls the device's operations any more.
        unsafe { bindings::ifref_wrap_free(self.wrap.as_ptr()) };
    }
}

/// Unregisters what [`Wrapped::unlink`] was called for.
pub(crate) fn unlink_all(_rtnl: &Rtnl) {
    // SAFETY: under RTNL, as they were put on the list.
    unsafe { bindings::ifref_netdev_unlink_all() };
}

/// The object of a device whose driver is ifref's. Under RTNL, while registered.
pub(crate) fn object_of(dev: &NetDevice) -> Option<Arc<Object>> {
    // SAFETY: the device exists and has operations.
    let ctx = unsafe { bindings::ifref_wrap_ctx(dev.raw()) };
    let object = NonNull::new(ctx.cast::<Object>())?;
    // SAFETY: set by `link` from an `Arc`, whose object outlives the registration.
    Some(unsafe { ArcBorrow::from_raw(object.as_ptr()) }.into())
}

/// # Safety
///
/// `ctx` is the object of a device of which an operation is being called.
unsafe fn borrowed<'a>(ctx: *const c_void) -> ArcBorrow<'a, Object> {
    // SAFETY: the caller's promise: it was set by `link`, and is freed after the last operation.
    unsafe { ArcBorrow::from_raw(ctx.cast::<Object>()) }
}

/// Whether a packet reaches the driver: called by the shim.
///
/// # Safety
///
/// As for [`borrowed`].
#[no_mangle]
unsafe extern "C" fn ifref_wrap_passes(ctx: *const c_void) -> bool {
    // SAFETY: the caller's promise.
    unsafe { &*ctx.cast::<Object>() }.life().course.passes()
}

/// Opens a device, unless it is going: called by the shim, under RTNL.
///
/// # Safety
///
/// As for [`borrowed`]; `open` is to be called with `dev`.
#[no_mangle]
unsafe extern "C" fn ifref_wrap_open(
    ctx: *mut c_void,
    open: Option<unsafe extern "C" fn(*mut net_device) -> c_int>,
    dev: *mut net_device,
) -> c_int {
    // SAFETY: the caller's promise.
    let object = unsafe { borrowed(ctx) };
    // SAFETY: the caller's promise.
    let opened = driver::open(&object, || open.map_or(0, |open| unsafe { open(dev) }));
    opened.unwrap_or_else(Error::to_errno)
}

/// A device was unregistered: called by the shim, under RTNL.
///
/// # Safety
///
/// As for [`borrowed`].
#[no_mangle]
unsafe extern "C" fn ifref_wrap_unlinked(ctx: *mut c_void) {
    // SAFETY: the caller's promise.
    let object = unsafe { borrowed(ctx) };
    driver::unlinking(&object);
    Arc::from(object).unlinked();
}

/// The last reference to a device has gone: called by the shim.
///
/// # Safety
///
/// As for [`borrowed`]; this is the last operation.
#[no_mangle]
unsafe extern "C" fn ifref_wrap_drained(ctx: *mut c_void) {
    // SAFETY: the caller's promise.
    Arc::from(unsafe { borrowed(ctx) }).drained();
}

/// A driver's code, `struct ifref_driver_ops`.
///
/// # Invariants
///
/// Valid as long as something of the driver's is attached.
#[derive(Clone, Copy)]
pub(crate) struct Operations {
    ops: NonNull<bindings::ifref_driver_ops>,
    text: usize,
}

// SAFETY: Only read.
unsafe impl Send for Operations {}
// SAFETY: As above.
unsafe impl Sync for Operations {}

impl Operations {
    /// Takes a driver's; EINVAL if it lacks `free`.
    ///
    /// # Safety
    ///
    /// As the type's invariant says.
    pub(crate) unsafe fn new(ops: NonNull<bindings::ifref_driver_ops>) -> Result<Self> {
        // SAFETY: the caller's promise.
        let free = unsafe { ops.as_ref() }.free.ok_or(EINVAL)?;
        // INVARIANT: the caller's promise.
        Ok(Self {
            ops,
            text: free as usize,
        })
    }

    /// An address in the driver's code, to compare: that of `free`.
    pub(crate) fn text(&self) -> usize {
        self.text
    }
}

/// A driver's private data, with the code for it.
///
/// # Invariants
///
/// `softc` is what the driver has attached, not freed yet.
pub(crate) struct Softc {
    ops: Operations,
    softc: *mut c_void,
}

// SAFETY: The driver's code is made to be called from any task.
unsafe impl Send for Softc {}
// SAFETY: As above.
unsafe impl Sync for Softc {}

impl Softc {
    /// # Safety
    ///
    /// As the type's invariant says, until [`Self::free`] is called.
    pub(crate) unsafe fn new(ops: Operations, softc: *mut c_void) -> Self {
        Self { ops, softc }
    }

    fn ops(&self) -> &bindings::ifref_driver_ops {
        // SAFETY: the invariant of `Operations`: this is attached.
        unsafe { self.ops.ops.as_ref() }
    }

    /// Asks the driver. Process context.
    pub(crate) fn may_detach(&self) -> Result<(), Veto> {
        let Some(ask) = self.ops().may_detach else {
            return Ok(());
        };
        let mut veto = bindings::ifref_veto {
            reason: [0; 64],
            again_ms: 0,
        };
        // SAFETY: the type's invariant; `veto` is writable.
        if unsafe { ask(self.softc, &mut veto) } {
            return Ok(());
        }
        let reason = Text::filled_by(|to, size| {
            // SAFETY: both are as long.
            unsafe { to.copy_from(veto.reason.as_ptr().cast(), size.min(veto.reason.len())) };
        });
        Err(Veto {
            reason,
            again_ms: veto.again_ms,
        })
    }

    /// Tells the driver that nothing reaches it any more. Process context.
    pub(crate) fn quiesce(&self) {
        if let Some(quiesce) = self.ops().quiesce {
            // SAFETY: the type's invariant.
            unsafe { quiesce(self.softc) };
        }
    }

    /// Has the driver dispose of it. Once; process context.
    pub(crate) fn free(&self) {
        if let Some(free) = self.ops().free {
            // SAFETY: the type's invariant, which ends here.
            unsafe { free(self.softc) };
        }
    }
}
