// SPDX-License-Identifier: GPL-2.0

//! Notifier chains: network devices, IPv4 and IPv6 addresses, a bus, modules.
//!
//! C header: [`include/linux/notifier.h`](srctree/include/linux/notifier.h)

use super::{
    bindings,
    inet::Seen,
    netdevice::NetDevice,
    unload::UntilUnload, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::ffi::{c_int, c_ulong, c_void};
use kernel::{
    bindings::notifier_block,
    error::to_result,
    prelude::*,
    str::CStrExt,
    sync::Arc,
    types::Opaque, //
};

/// A chain to listen on.
pub trait Chain: Copy {
    /// The place among the chain's listeners; higher ones hear first.
    const PRIORITY: c_int;

    /// What the chain tells; only events that ifref cares for.
    type Event<'a>;

    /// Makes sense of one call.
    ///
    /// # Safety
    ///
    /// The arguments are those of a call of this chain, which lasts for `'a`.
    unsafe fn decode<'a>(event: u32, data: *mut c_void) -> Option<Self::Event<'a>>;

    /// # Safety
    ///
    /// `nb` is complete and stays where it is until [`Self::unlisten`].
    unsafe fn listen(self, nb: *mut notifier_block) -> c_int;

    /// # Safety
    ///
    /// `nb` was given to [`Self::listen`].
    unsafe fn unlisten(self, nb: *mut notifier_block);
}

/// Hears a chain's events, in the chain's context.
pub trait Listener<C: Chain>: Send + Sync + Sized {
    /// One event. It cannot be refused: ifref never fails a registration.
    fn event(self: &Arc<Self>, event: C::Event<'_>);
}

/// A registration on a chain. Making and dropping it sleeps; after the drop no call is running.
///
/// # Invariants
///
/// `nb` is on the chain from the end of initialisation until drop.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct Listening<C: Chain, L: Listener<C>> {
    // First, so that a pointer to it is a pointer to the whole.
    #[pin]
    nb: Opaque<notifier_block>,
    chain: C,
    listener: Arc<L>,
}

// SAFETY: The chain may call from anywhere, the listener allows it; the rest never changes.
unsafe impl<C: Chain, L: Listener<C>> Send for Listening<C, L> {}
// SAFETY: As above.
unsafe impl<C: Chain, L: Listener<C>> Sync for Listening<C, L> {}

impl<C: Chain, L: Listener<C>> Listening<C, L> {
    /// Registers `listener` on `chain`.
    ///
    /// # Safety
    ///
    /// It is dropped, and not forgotten, before the code of `listener` goes.
    pub(crate) unsafe fn new(chain: C, listener: Arc<L>) -> impl PinInit<Self, Error> {
        // The chain may call before registration returns, so the listener comes first.
        try_pin_init!(Self {
            chain,
            listener,
            nb <- Opaque::try_ffi_init(move |nb: *mut notifier_block| {
                // SAFETY: `nb` is writable; all-zero is a valid `notifier_block`.
                unsafe {
                    nb.write_bytes(0, 1);
                    (*nb).notifier_call = Some(Self::call);
                    (*nb).priority = C::PRIORITY;
                }
                // SAFETY: complete, pinned, and taken off by drop. INVARIANT: on the chain now.
                to_result(unsafe { chain.listen(nb) })
            }),
        })
    }

    /// # Safety
    ///
    /// The arguments are those of a call of the chain that `nb` is on, as a `Self`'s.
    unsafe extern "C" fn call(nb: *mut notifier_block, event: c_ulong, data: *mut c_void) -> c_int {
        // SAFETY: `nb` is the first field of a `Self` whose other fields are initialised.
        let listener = unsafe { &(*nb.cast::<Self>()).listener };
        // SAFETY: these are the arguments of a call of chain `C`.
        if let Some(event) = unsafe { C::decode(event as u32, data) } {
            listener.event(event);
        }
        kernel::bindings::NOTIFY_DONE as c_int
    }
}

impl<C, L> UntilUnload<Pin<KBox<Listening<C, L>>>>
where
    C: Chain + 'static,
    L: Listener<C> + 'static,
{
    /// Registers `listener`, whose code is `module`'s, on `chain`: it may hear events before this
    /// returns. Sleeps; ENOMEM, or the chain's error.
    pub fn new(module: &'static ThisModule, chain: C, listener: Arc<L>) -> Result<Self> {
        // SAFETY: it is dropped when the module goes at the latest.
        let listening = unsafe { Listening::new(chain, listener) };
        Self::own(module, "listener", KBox::pin_init(listening, GFP_KERNEL)?)
    }
}

#[pinned_drop]
impl<C: Chain, L: Listener<C>> PinnedDrop for Listening<C, L> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: by the type's invariant `nb` is on the chain.
        unsafe { self.chain.unlisten(self.nb.get()) };
    }
}

/// Network devices, under RTNL. Registration replays REGISTER and UP for those that exist.
#[derive(Clone, Copy)]
pub(crate) struct NetdevChain;

/// What [`NetdevChain`] tells.
pub(crate) enum NetdevEvent<'a> {
    /// A device was registered, or has arrived in another namespace.
    Register(&'a NetDevice),
    /// A device is leaving the lists, for good or for another namespace.
    Unregister(&'a NetDevice),
    /// A device that was up is about to go down.
    GoingDown(&'a NetDevice),
    /// The link-layer address may have changed.
    ChangeAddr(&'a NetDevice),
    /// The name has changed.
    ChangeName(&'a NetDevice),
}

impl Chain for NetdevChain {
    // Before the protocols, whose answer to UNREGISTER is to send "address down" for each address:
    // the reason must be "detached" by then.
    const PRIORITY: c_int = c_int::MAX;

    type Event<'a> = NetdevEvent<'a>;

    unsafe fn decode<'a>(event: u32, data: *mut c_void) -> Option<NetdevEvent<'a>> {
        let make = match event {
            bindings::IFREF_NETDEV_REGISTER => NetdevEvent::Register,
            bindings::IFREF_NETDEV_UNREGISTER => NetdevEvent::Unregister,
            bindings::IFREF_NETDEV_GOING_DOWN => NetdevEvent::GoingDown,
            bindings::IFREF_NETDEV_CHANGEADDR | bindings::IFREF_NETDEV_POST_TYPE_CHANGE => {
                NetdevEvent::ChangeAddr
            }
            bindings::IFREF_NETDEV_CHANGENAME => NetdevEvent::ChangeName,
            _ => return None,
        };
        // SAFETY: the chain's data is a `netdev_notifier_info` of a device that exists.
        Some(make(unsafe {
            NetDevice::from_raw(bindings::ifref_info_dev(data))
        }))
    }

    unsafe fn listen(self, nb: *mut notifier_block) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_netdev_listen(nb) }
    }

    unsafe fn unlisten(self, nb: *mut notifier_block) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_netdev_unlisten(nb) }
    }
}

/// IPv4 addresses, under RTNL.
#[derive(Clone, Copy)]
pub(crate) struct InetChain;

/// IPv6 addresses; in any context but NMI and hard interrupt, and in any order.
#[derive(Clone, Copy)]
pub(crate) struct Inet6Chain;

/// What [`InetChain`] and [`Inet6Chain`] tell.
pub(crate) enum AddressEvent<'a> {
    /// An address is there; may come more than once.
    Up(Seen<'a>),
    /// An address is going.
    Down(Seen<'a>),
}

fn address_event<'a>(event: u32, seen: impl FnOnce() -> Seen<'a>) -> Option<AddressEvent<'a>> {
    match event {
        bindings::IFREF_NETDEV_UP => Some(AddressEvent::Up(seen())),
        bindings::IFREF_NETDEV_DOWN => Some(AddressEvent::Down(seen())),
        _ => None,
    }
}

impl Chain for InetChain {
    const PRIORITY: c_int = 0;

    type Event<'a> = AddressEvent<'a>;

    unsafe fn decode<'a>(event: u32, data: *mut c_void) -> Option<AddressEvent<'a>> {
        // SAFETY: the chain's data is an `in_ifaddr` on its device.
        address_event(event, || unsafe { Seen::inet(data.cast()) })
    }

    unsafe fn listen(self, nb: *mut notifier_block) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_inet_listen(nb) }
    }

    unsafe fn unlisten(self, nb: *mut notifier_block) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_inet_unlisten(nb) }
    }
}

impl Chain for Inet6Chain {
    const PRIORITY: c_int = 0;

    type Event<'a> = AddressEvent<'a>;

    unsafe fn decode<'a>(event: u32, data: *mut c_void) -> Option<AddressEvent<'a>> {
        // SAFETY: the chain's data is an `inet6_ifaddr` on its device.
        address_event(event, || unsafe { Seen::inet6(data.cast()) })
    }

    unsafe fn listen(self, nb: *mut notifier_block) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_inet6_listen(nb) }
    }

    unsafe fn unlisten(self, nb: *mut notifier_block) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_inet6_unlisten(nb) }
    }
}

/// The devices of one bus, under the device's lock. The bus is an address that the driver core
/// looks up: a bus that has gone is an error, not a fault.
#[derive(Clone, Copy)]
pub(crate) struct BusChain(pub usize);

/// What [`BusChain`] tells, with the device's address as a key.
pub(crate) enum BusEvent {
    /// A driver is about to be unbound.
    Unbind(usize),
    /// A driver was unbound.
    Unbound(usize),
}

impl Chain for BusChain {
    const PRIORITY: c_int = 0;

    type Event<'a> = BusEvent;

    unsafe fn decode<'a>(event: u32, data: *mut c_void) -> Option<Self::Event<'a>> {
        match event {
            bindings::IFREF_BUS_UNBIND => Some(BusEvent::Unbind(data as usize)),
            bindings::IFREF_BUS_UNBOUND => Some(BusEvent::Unbound(data as usize)),
            _ => None,
        }
    }

    unsafe fn listen(self, nb: *mut notifier_block) -> c_int {
        // SAFETY: the caller's promise; the bus is only compared.
        unsafe { bindings::ifref_bus_listen(self.0 as *const _, nb) }
    }

    unsafe fn unlisten(self, nb: *mut notifier_block) {
        // SAFETY: the caller's promise; the bus is only compared.
        unsafe { bindings::ifref_bus_unlisten(self.0 as *const _, nb) }
    }
}

/// Modules, in process context.
#[derive(Clone, Copy)]
pub(crate) struct ModuleChain;

/// What [`ModuleChain`] tells: the module's exit has returned, or its entry has failed, and its
/// text goes when all have heard that.
///
/// # Invariants
///
/// The module is there for `'a`.
pub(crate) struct GoingModule<'a> {
    module: NonNull<kernel::bindings::module>,
    _call: PhantomData<&'a ()>,
}

impl GoingModule<'_> {
    /// Whether it is the one with that address.
    pub(crate) fn is(&self, module: usize) -> bool {
        self.module.as_ptr() as usize == module
    }

    /// Whether an address is of its text or data.
    pub(crate) fn has(&self, address: usize) -> bool {
        // SAFETY: the type's invariant; the address is only compared.
        unsafe { bindings::ifref_within_module(self.module.as_ptr(), address) }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        // SAFETY: the type's invariant; its name is a string.
        let name =
            unsafe { CStr::from_char_ptr(bindings::ifref_module_name(self.module.as_ptr())) };
        name.to_str().unwrap_or("?")
    }
}

impl Chain for ModuleChain {
    const PRIORITY: c_int = 0;

    type Event<'a> = GoingModule<'a>;

    unsafe fn decode<'a>(event: u32, data: *mut c_void) -> Option<GoingModule<'a>> {
        match event {
            // INVARIANT: the chain's data is a module that is there.
            bindings::IFREF_MODULE_GOING => Some(GoingModule {
                module: NonNull::new(data.cast())?,
                _call: PhantomData,
            }),
            _ => None,
        }
    }

    unsafe fn listen(self, nb: *mut notifier_block) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_module_listen(nb) }
    }

    unsafe fn unlisten(self, nb: *mut notifier_block) {
        // SAFETY: the caller's promise.
        unsafe { bindings::ifref_module_unlisten(nb) }
    }
}
