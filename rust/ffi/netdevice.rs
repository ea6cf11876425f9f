// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    bindings,
    inet::Address,
    kobject::Folder,
    net_namespace::Net,
    rtnetlink::Rtnl, //
};
use crate::text::Text;
use core::{
    ffi::c_void,
    ptr::{self, NonNull}, //
};
use kernel::{
    alloc::Flags,
    prelude::*,
    str::CStrExt,
    sync::rcu,
    types::Opaque, //
};

/// Length of an interface's name with its NUL, `IFNAMSIZ`.
pub const NAME_SIZE: usize = 16;

/// A kernel `struct net_device`.
///
/// # Invariants
///
/// While a `&NetDevice` exists the device's memory does: it came with a notifier's call, from a
/// walk under RTNL, or from a [`Hold`] whose interface was seen valid inside a read section.
#[repr(transparent)]
pub struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: What the methods touch is atomic in C, or needs a token of the lock it is under.
unsafe impl Sync for NetDevice {}

/// A removal's progress as the network core has it, `enum netdev_reg_state`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegState {
    /// `NETREG_REGISTERED`
    Registered,
    /// `NETREG_UNREGISTERING`: off the lists, its grace periods running.
    Unregistering,
    /// `NETREG_UNREGISTERED`: waiting for references.
    Unregistered,
    /// Not yet registered, or already released.
    Other,
}

/// Counters of a device.
pub use bindings::ifref_stats as Stats;

impl NetDevice {
    /// # Safety
    ///
    /// `dev` is valid for `'a`, as the type's invariant says.
    pub(crate) unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: `Self` is a transparent wrapper, the rest is the caller's promise.
        unsafe { &*dev.cast() }
    }

    /// The `struct net_device`, for C.
    pub fn as_raw(&self) -> *mut bindings::net_device {
        self.raw()
    }

    pub(super) fn raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// The address that identifies the device while it exists.
    pub(crate) fn key(&self) -> usize {
        self.raw() as usize
    }

    /// Where registration stands. Any context.
    pub(crate) fn reg_state(&self) -> RegState {
        // SAFETY: the type's invariant.
        match unsafe { bindings::ifref_reg_state(self.raw()) } as u32 {
            bindings::IFREF_NETREG_REGISTERED => RegState::Registered,
            bindings::IFREF_NETREG_UNREGISTERING => RegState::Unregistering,
            bindings::IFREF_NETREG_UNREGISTERED => RegState::Unregistered,
            _ => RegState::Other,
        }
    }

    /// Whether the core still calls the device registered. Any context.
    #[inline]
    pub(crate) fn registered(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_reg_state(self.raw()) == bindings::IFREF_NETREG_REGISTERED as i32 }
    }

    /// Whether the device is being taken apart. Under RTNL.
    pub(crate) fn dismantle(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_dismantle(self.raw()) }
    }

    /// Whether the device is on its way to another network namespace. Under RTNL.
    pub(crate) fn moving(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_moving(self.raw()) }
    }

    /// A copy of the name; a rename at the same time may tear it. Any context.
    pub fn name(&self) -> Text<NAME_SIZE> {
        // SAFETY: the type's invariant; the closure's buffer has the given size.
        Text::filled_by(|buf, size| unsafe { bindings::ifref_name(self.raw(), buf, size) })
    }

    /// The interface's index. Any context.
    pub fn ifindex(&self) -> i32 {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_ifindex(self.raw()) }
    }

    /// The largest payload in bytes. Any context.
    pub fn mtu(&self) -> u32 {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_mtu(self.raw()) }
    }

    /// `IFF_*` as user space sees them. Any context.
    pub fn flags(&self) -> u32 {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_flags(self.raw()) }
    }

    /// All references to the device, the core's own included: a sum over CPUs that others change
    /// meanwhile. Any context.
    pub(crate) fn refs(&self) -> i32 {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_refs(self.raw()) }
    }

    /// The counters. Process context.
    ///
    /// # Safety
    ///
    /// The caller's read section has seen the device registered: the driver's own operation may
    /// run, which has lost its preconditions after that.
    pub(crate) unsafe fn stats(&self) -> Stats {
        let mut stats = Stats {
            rx_packets: 0,
            tx_packets: 0,
            rx_bytes: 0,
            tx_bytes: 0,
        };
        // SAFETY: the caller's promise; `stats` is writable.
        unsafe { bindings::ifref_read_stats(self.raw(), &mut stats) };
        stats
    }

    /// The namespace that the device is in. Under RTNL.
    pub(crate) fn net(&self) -> Net {
        // SAFETY: a device's namespace exists as long as the device is in it.
        unsafe { Net::new(bindings::ifref_net(self.raw())) }
    }

    /// The link-layer address. Under RTNL.
    pub(crate) fn link_address(&self) -> Address {
        Address::filled_by(|addr| {
            // SAFETY: the type's invariant; `addr` is writable.
            unsafe { bindings::ifref_link_addr(self.raw(), addr) }
        })
    }

    /// Takes a tracked reference. With `GFP_KERNEL` it sleeps, on kernels that track; any other
    /// flags mean that it must not. It cannot fail: without memory it is not tracked.
    pub(crate) fn hold(&self, flags: Flags) -> Hold {
        let mut tracker = ptr::null_mut();
        // SAFETY: the type's invariant; `tracker` has room for a `netdevice_tracker`.
        unsafe { bindings::ifref_dev_hold(self.raw(), &mut tracker, flags != GFP_KERNEL) };
        // INVARIANT: the reference was just taken.
        Hold {
            dev: self.raw(),
            tracker,
        }
    }

    /// Whether it is a virtual link that can be deleted.
    ///
    /// # Safety
    ///
    /// The caller's read section, or its section under RTNL, has seen the device registered: the
    /// link's kind may have gone after that.
    pub(crate) unsafe fn is_link(&self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_netdev_is_link(self.raw()) }
    }

    /// Deletes it, as `ip link del` does. Without effect if it is not registered, or no virtual
    /// link that can be deleted.
    pub(crate) fn delete_link(&self, _rtnl: &Rtnl) {
        // SAFETY: under RTNL what is registered stays so.
        if self.registered() && unsafe { self.is_link() } {
            // SAFETY: a link; under RTNL.
            unsafe { bindings::ifref_netdev_delete_link(self.raw()) };
        }
    }

    /// Makes the link `ifref` in `/sys/class/net/<if>/`. The device is registered.
    pub(crate) fn sysfs_link(&self, _rtnl: &Rtnl, to: &Folder) -> Result {
        // SAFETY: under RTNL a registered device keeps its folder; `to` has its own.
        kernel::error::to_result(unsafe { bindings::ifref_sysfs_link(self.raw(), to.kobj()) })
    }

    /// Removes that link, if there is one. The device is registered.
    pub(crate) fn sysfs_unlink(&self, _rtnl: &Rtnl) {
        // SAFETY: under RTNL a registered device keeps its folder.
        unsafe { bindings::ifref_sysfs_unlink(self.raw()) };
    }
}

/// A tracked reference to a device. Dropping it may be done in any context.
///
/// # Invariants
///
/// Owns one `netdev_hold()` of `dev`.
pub(crate) struct Hold {
    dev: *mut bindings::net_device,
    tracker: *mut c_void,
}

// SAFETY: A `netdev_hold()` may be put by anybody, anywhere.
unsafe impl Send for Hold {}
// SAFETY: A shared one offers nothing.
unsafe impl Sync for Hold {}

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; the reference ends here.
        unsafe { bindings::ifref_dev_put(self.dev, &mut self.tracker) };
    }
}

/// The address of a device, kept where the type of [`crate::ifnet::Ifnet`] says when it may be
/// followed; and that of its `reg_state`, which a follow reads without calling C.
///
/// # Invariants
///
/// `reg_state` is a byte of `dev`.
pub(crate) struct Pinned {
    dev: NonNull<bindings::net_device>,
    reg_state: NonNull<u8>,
}

// SAFETY: Only an address; following it is what has conditions.
unsafe impl Send for Pinned {}
// SAFETY: As above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Keeps the address of `dev`.
    pub(crate) fn new(dev: &NetDevice) -> Self {
        // SAFETY: the device exists, so that there is a byte in it. INVARIANT: it is that one.
        let reg_state =
            unsafe { NonNull::new_unchecked(bindings::ifref_reg_state_of(dev.raw()).cast_mut()) };
        Self {
            dev: NonNull::from(dev).cast(),
            reg_state,
        }
    }

    /// The address as a key.
    pub(crate) fn key(&self) -> usize {
        self.dev.as_ptr() as usize
    }

    /// Follows the address.
    ///
    /// # Safety
    ///
    /// The device exists for `'a`: see the invariant of VALID on [`crate::lifecycle::Link`].
    #[inline]
    pub(crate) unsafe fn get<'a>(&self) -> &'a NetDevice {
        // SAFETY: the caller's promise.
        unsafe { NetDevice::from_raw(self.dev.as_ptr()) }
    }

    /// Whether the core still calls the device registered. Any context.
    ///
    /// # Safety
    ///
    /// The device exists: see the invariant of VALID on [`crate::lifecycle::Link`].
    #[inline]
    pub(crate) unsafe fn registered(&self) -> bool {
        // This is READ_ONCE().
        // SAFETY: the caller's promise and the type's invariant.
        let state = unsafe { self.reg_state.as_ptr().read_volatile() };
        u32::from(state) == bindings::IFREF_NETREG_REGISTERED
    }
}

/// The device with an index in a namespace that is alive. Any context but NMI.
pub(crate) fn by_index<'g>(
    net: &Net,
    ifindex: i32,
    _section: &'g rcu::Guard,
) -> Option<&'g NetDevice> {
    // SAFETY: a namespace that is alive keeps its tables until a grace period after its death.
    let dev = unsafe { bindings::ifref_by_index(net.raw(), ifindex) };
    // SAFETY: a device that was found lives until the section ends.
    (!dev.is_null()).then(|| unsafe { NetDevice::from_raw(dev) })
}

/// The device with a name in a namespace that is alive. Any context but NMI.
pub(crate) fn by_name<'g>(
    net: &Net,
    name: &CStr,
    _section: &'g rcu::Guard,
) -> Option<&'g NetDevice> {
    // SAFETY: as for `by_index`; the name is only compared.
    let dev = unsafe { bindings::ifref_by_name(net.raw(), name.as_char_ptr()) };
    // SAFETY: a device that was found lives until the section ends.
    (!dev.is_null()).then(|| unsafe { NetDevice::from_raw(dev) })
}

/// Calls `each` for every device of every namespace.
pub(crate) fn for_each_netdev<F: FnMut(&NetDevice)>(_rtnl: &Rtnl, mut each: F) {
    /// # Safety
    ///
    /// `ctx` is the closure, `dev` a device that stays on the list during the call.
    unsafe extern "C" fn call<F: FnMut(&NetDevice)>(
        ctx: *mut c_void,
        dev: *mut bindings::net_device,
    ) {
        // SAFETY: `ctx` is the closure below, which nothing else uses meanwhile.
        let each = unsafe { &mut *ctx.cast::<F>() };
        // SAFETY: a device on a list stays there under RTNL.
        each(unsafe { NetDevice::from_raw(dev) });
    }
    // SAFETY: RTNL is held; `call` gets the closure it was made for.
    unsafe { bindings::ifref_for_each_netdev(Some(call::<F>), (&raw mut each).cast()) };
}
