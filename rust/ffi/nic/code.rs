// SPDX-License-Identifier: GPL-2.0

//! What the core, devd and NAPI call of a driver's devices, and its tables.

use super::{
    Address,
    LinkStats,
    Made,
    Nic,
    Poll,
    RxMode, //
};
use crate::{
    ffi::{
        bindings::{
            self,
            net_device,
            sk_buff, //
        },
        driven,
        skbuff::Skb, //
    },
    nic::Operations,
    text::Text, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::{c_int, c_uint},
    prelude::*,
    sync::atomic::{Relaxed, Release},
    types::NotThreadSafe, //
};

/// The operations of a driver's devices.
///
/// # Invariants
///
/// Owns the table, which outlives the devices.
pub(crate) struct Table(pub(super) NonNull<bindings::ifref_nic_table>);

// SAFETY: It is only read.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_nic_table_free(self.0.as_ptr()) };
    }
}

/// What is called of a driver's code.
pub(crate) struct Code<T: Operations>(PhantomData<T>);

impl<T: Operations> Code<T> {
    /// The driver's code, for devd.
    const CALLBACKS: bindings::ifref_driver_ops = bindings::ifref_driver_ops {
        may_detach: Some(Self::may_detach),
        quiesce: Some(Self::quiesce),
        free: Some(Self::free),
    };

    /// Its operations. Sleeps; ENOMEM.
    pub(crate) fn table() -> Result<Table> {
        let ops = bindings::ifref_nic_ops {
            open: Some(Self::open),
            stop: Some(Self::stop),
            start_xmit: Some(Self::start_xmit),
            set_rx_mode: if T::HAS_SET_RX_MODE {
                Some(Self::set_rx_mode)
            } else {
                None
            },
            set_mac_address: Some(Self::set_mac_address),
            change_mtu: Some(Self::change_mtu),
            get_stats64: if T::HAS_GET_STATS64 {
                Some(Self::get_stats64)
            } else {
                None
            },
            tx_timeout: if T::HAS_TX_TIMEOUT {
                Some(Self::tx_timeout)
            } else {
                None
            },
            get_drvinfo: Some(Self::get_drvinfo),
            poll: Some(Self::poll),
        };
        // SAFETY: it is copied.
        let table = unsafe { bindings::ifref_nic_table_new(&ops) };
        // INVARIANT: just made; it is its driver's, as all devices are.
        Ok(Table(NonNull::new(table).ok_or(ENOMEM)?))
    }

    /// What devd calls.
    pub(crate) fn callbacks() -> Result<driven::Operations> {
        let callbacks: &'static bindings::ifref_driver_ops = &Self::CALLBACKS;
        // SAFETY: static in the driver's module, whose text and data stay until nothing is attached
        // any more: see `crate::global::end_driver`.
        unsafe { driven::Operations::new(callbacks.into()) }
    }

    /// # Safety
    ///
    /// `softc` is a device that [`Made::new`] has prepared, attached; `veto` is writable.
    unsafe extern "C" fn may_detach(softc: *mut c_void, veto: *mut bindings::ifref_veto) -> bool {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(softc.cast()) };
        let Err(no) = nic.softc().may_detach(nic) else {
            return true;
        };
        // SAFETY: the caller's promise.
        unsafe {
            (*veto).reason = no.reason.bytes();
            (*veto).again_ms = no.again_ms;
        }
        false
    }

    /// # Safety
    ///
    /// As for [`Self::may_detach`].
    unsafe extern "C" fn quiesce(softc: *mut c_void) {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(softc.cast()) };
        nic.softc().quiesce(nic);
    }

    /// # Safety
    ///
    /// As for [`Self::may_detach`]; nobody uses it any more.
    unsafe extern "C" fn free(softc: *mut c_void) {
        // SAFETY: the caller's promise.
        drop(unsafe { Made::<T>::from_raw(softc.cast()) });
    }

    /// # Safety
    ///
    /// `dev` is a device of the driver's, of which an operation is being called: so it is for all
    /// that follow.
    unsafe extern "C" fn open(dev: *mut net_device) -> c_int {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(dev) };
        from_result(|| nic.open().map(|()| 0))
    }

    /// # Safety
    ///
    /// As for [`Self::open`].
    unsafe extern "C" fn stop(dev: *mut net_device) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { Nic::<T>::from_raw(dev) }.stop();
        0
    }

    /// # Safety
    ///
    /// As for [`Self::open`]; `skb` is the callee's.
    unsafe extern "C" fn start_xmit(skb: *mut sk_buff, dev: *mut net_device) -> c_int {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(dev) };
        // SAFETY: the caller's promise.
        match NonNull::new(unsafe { bindings::ifref_nic_sole(skb) }) {
            // SAFETY: it is the driver's alone, and in one piece.
            Some(skb) => nic.softc().start_xmit(nic, unsafe { Skb::from_raw(skb) }),
            None => nic.count_dropped(),
        }
        bindings::IFREF_NETDEV_TX_OK as c_int
    }

    /// # Safety
    ///
    /// As for [`Self::open`]; the lock of the device's lists is held.
    unsafe extern "C" fn set_rx_mode(dev: *mut net_device) {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(dev) };
        // INVARIANT: the caller's promise.
        let mode = RxMode {
            dev: NonNull::from(&nic.0).cast(),
            _operation: PhantomData,
        };
        nic.softc().set_rx_mode(nic, &mode);
    }

    /// # Safety
    ///
    /// As for [`Self::open`]; `sockaddr` is one, with an address that is as long as the device's.
    unsafe extern "C" fn set_mac_address(dev: *mut net_device, sockaddr: *mut c_void) -> c_int {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(dev) };
        from_result(|| {
            nic.change(|| {
                // SAFETY: the caller's promise.
                to_result(unsafe { bindings::ifref_nic_prepare_address(dev, sockaddr) })?;
                // SAFETY: the caller's promise: that many bytes are there.
                let address: Address = unsafe {
                    let data = &raw const (*sockaddr.cast::<bindings::sockaddr>()).sa_data;
                    data.cast::<Address>().read()
                };
                nic.softc().set_mac_address(nic, &address)?;
                // SAFETY: the caller's promise.
                unsafe { bindings::ifref_nic_commit_address(dev, sockaddr) };
                Ok(())
            })
        })
    }

    /// # Safety
    ///
    /// As for [`Self::open`].
    unsafe extern "C" fn change_mtu(dev: *mut net_device, mtu: c_int) -> c_int {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(dev) };
        from_result(|| {
            nic.change(|| {
                let mtu = mtu.try_into()?;
                nic.softc().change_mtu(nic, mtu)?;
                // SAFETY: the caller's promise.
                unsafe { bindings::ifref_nic_set_mtu(dev, mtu) };
                Ok(())
            })
        })
    }

    /// # Safety
    ///
    /// As for [`Self::open`]; `stats` is writable.
    unsafe extern "C" fn get_stats64(
        dev: *mut net_device,
        stats: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(dev) };
        // SAFETY: the caller's promise; the shim checks that the one begins as the other.
        let stats = unsafe {
            bindings::ifref_nic_counters(dev, stats);
            &mut *stats.cast::<LinkStats>()
        };
        nic.softc().get_stats64(nic, stats);
    }

    /// # Safety
    ///
    /// As for [`Self::open`].
    unsafe extern "C" fn tx_timeout(dev: *mut net_device, _queue: c_uint) {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(dev) };
        nic.softc().tx_timeout(nic);
    }

    /// # Safety
    ///
    /// As for [`Self::open`]; `info` is writable, and zero.
    unsafe extern "C" fn get_drvinfo(
        _dev: *mut net_device,
        info: *mut kernel::bindings::ethtool_drvinfo,
    ) {
        let name = Text::<32>::from(T::NAME);
        // SAFETY: the caller's promise; both are as long.
        unsafe { (*info).driver = name.bytes() };
    }

    /// # Safety
    ///
    /// `napi` is that of a device of the driver's, which is open.
    unsafe extern "C" fn poll(napi: *mut kernel::bindings::napi_struct, budget: c_int) -> c_int {
        // SAFETY: the caller's promise.
        let nic = unsafe { Nic::<T>::from_raw(bindings::ifref_napi_dev(napi)) };
        // INVARIANT: nothing is done yet.
        let mut poll = Poll {
            nic,
            budget: budget.try_into().unwrap_or(0),
            done: 0,
            _here: NotThreadSafe,
        };
        nic.softc().poll(nic, &mut poll);
        let done = poll.done as c_int;
        // Who has used the budget up is still scheduled.
        if done == budget {
            return done;
        }
        let completing = &nic.private().completing;
        if T::HAS_POLLED {
            // Before the completion, which is a full barrier if it is one.
            completing.add(1, Relaxed);
        }
        // SAFETY: the caller's promise.
        let is_over = unsafe { bindings::ifref_nic_napi_complete(nic.raw(), done) };
        if T::HAS_POLLED {
            if is_over {
                nic.softc().polled(nic);
            }
            completing.fetch_add(-1, Release);
        }
        done
    }
}
