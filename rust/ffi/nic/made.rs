// SPDX-License-Identifier: GPL-2.0

//! Devices of a driver's that are made, until they are attached and from their `free` on.

use super::{
    Nic,
    Private,
    DEFAULT_MTU,
    MTUS, //
};
use crate::{
    devd::Object,
    driver::Driver,
    ffi::{
        bindings::{
            self,
            net_device, //
        },
        netdevice::NAME_SIZE, //
    },
    nic::{
        Config,
        Operations, //
    },
    text::Text, //
};
use core::{
    marker::PhantomData,
    mem,
    ptr::{self, NonNull}, //
};
use kernel::{
    prelude::*,
    str::CStrExt,
    sync::{
        atomic::Atomic,
        Arc, //
    },
};

/// A device without its private data. Dropping it frees it.
///
/// # Invariants
///
/// Owns the device, which is not registered (any more).
struct Blank(NonNull<net_device>);

impl Drop for Blank {
    fn drop(&mut self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_nic_free(self.0.as_ptr()) };
    }
}

/// A device that is not attached (any more). Dropping it drops the softc and frees the device:
/// sleeps.
///
/// # Invariants
///
/// Owns the device, which is not registered (any more), and its private data, a [`Private<T>`] in a
/// box. Nobody else uses them.
pub(crate) struct Made<T: Operations> {
    blank: Blank,
    _private: PhantomData<Private<T>>,
}

impl<T: Operations> Made<T> {
    /// Makes one and prepares it for being attached. Sleeps; EINVAL if the name or the MTU is none,
    /// or the driver is not one of [`Code<T>`]'s, ENOMEM, and what `softc` fails with.
    pub(crate) fn new<E>(
        driver: &Driver,
        config: &Config<'_>,
        softc: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let name = config.name.parse::<Text<NAME_SIZE>>()?;
        if !MTUS.contains(&config.max_mtu) {
            return Err(EINVAL);
        }
        let table = driver.table().ok_or(EINVAL)?.0.as_ptr();
        // SAFETY: the name is a string, which is copied; the driver and its table outlive the device.
        let dev = unsafe { bindings::ifref_nic_new(table, name.as_c_str().as_char_ptr()) };
        let dev = NonNull::new(dev).ok_or(ENOMEM)?;
        // INVARIANT: just made.
        let blank = Blank(dev);
        let dev = dev.as_ptr();
        // SAFETY: it is not registered. Its parent is kept by the caller until it is, and by its
        // registration then.
        unsafe {
            if let Some(parent) = config.parent {
                bindings::ifref_nic_set_parent(dev, ptr::from_ref(parent).cast_mut().cast());
            }
            match config.address {
                Some(address) => bindings::ifref_nic_set_address(dev, address.as_ptr()),
                None => bindings::ifref_nic_random_address(dev),
            }
            bindings::ifref_nic_set_max_mtu(dev, config.max_mtu);
            bindings::ifref_nic_set_mtu(dev, config.max_mtu.min(DEFAULT_MTU));
            if !config.carrier {
                bindings::ifref_nic_carrier_off(dev);
            }
        }
        // SAFETY: it exists until `free` is called, or this is dropped because it could not be
        // attached; and so does its private data, which is looked at after that was set.
        let object = unsafe { driver.prepare(blank.0, dev.cast()) }?;
        let private = KBox::pin_init::<Error>(
            try_pin_init!(Private {
                softc <- softc,
                completing: Atomic::new(0),
                object,
            }? Error),
            GFP_KERNEL,
        )?;
        // SAFETY: it is not moved any more.
        let private = KBox::into_raw(unsafe { Pin::into_inner_unchecked(private) });
        // SAFETY: nobody looks yet.
        unsafe { bindings::ifref_nic_set_private(dev, private.cast()) };
        // INVARIANT: as was just made.
        Ok(Self {
            blank,
            _private: PhantomData,
        })
    }

    /// Takes one back.
    ///
    /// # Safety
    ///
    /// As the type's invariant says.
    pub(super) unsafe fn from_raw(dev: *mut net_device) -> Self {
        // SAFETY: the caller's promise.
        let dev = unsafe { NonNull::new_unchecked(dev) };
        // INVARIANT: the caller's promise.
        Self {
            blank: Blank(dev),
            _private: PhantomData,
        }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place<T> {
        Place(self.blank.0.cast())
    }

    /// What devd has of it.
    pub(crate) fn object(&self) -> Arc<Object> {
        // SAFETY: the type's invariant; it is not dropped meanwhile.
        unsafe { self.place().get() }.object().clone()
    }

    /// It is attached, and `free` will be called, or was.
    pub(crate) fn attached(self) {
        mem::forget(self);
    }
}

impl<T: Operations> Drop for Made<T> {
    fn drop(&mut self) {
        // SAFETY: the type's invariant. The device, which goes next, is not used any more.
        unsafe {
            let private = bindings::ifref_nic_private(self.blank.0.as_ptr());
            drop(Pin::new_unchecked(KBox::from_raw(
                private.cast::<Private<T>>(),
            )));
        }
    }
}

/// The address of an interface.
pub(crate) struct Place<T: Operations>(NonNull<Nic<T>>);

// SAFETY: Only an address; following it is what has conditions.
unsafe impl<T: Operations> Send for Place<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Place<T> {}

impl<T: Operations> Clone for Place<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Operations> Copy for Place<T> {}

impl<T: Operations> Place<T> {
    /// The address of `nic`.
    pub(crate) fn of(nic: &Nic<T>) -> Self {
        Self(nic.into())
    }

    /// Follows the address.
    ///
    /// # Safety
    ///
    /// The interface exists for `'a`: it is attached, and held.
    pub(crate) unsafe fn get<'a>(self) -> &'a Nic<T> {
        // SAFETY: the caller's promise.
        unsafe { self.0.as_ref() }
    }
}
