// SPDX-License-Identifier: GPL-2.0

//! The API for C: `include/ifref.h`, which says what each function is for.
//!
//! What C has is a pointer: to the [`Registration`], to the reference's stake, to the ifnet that was
//! followed, to the entry of the [`Entered`]. A null or an error pointer is refused; any other one is
//! taken for what it should be.

use crate::{
    entered::Entered,
    ffi::{
        bindings::{
            self,
            ifref,
            ifref_entered,
            ifref_holder,
            ifref_id,
            ifref_live,
            ifref_packet, //
        },
        completion::Awaited,
        gfp,
        module::{
            can_sleep,
            complain,
            complain_of, //
        },
        net_namespace::Net,
        netdevice::NetDevice,
        rcu,
        rtnetlink::{
            self,
            Rtnl, //
        },
        skbuff::Skb, //
    },
    global,
    holder::Registration,
    live::Live,
    lookup::{
        IfaddrId,
        Key, //
    },
    packet::Packet,
    registry::errno,
    stake::{
        IfaddrRef,
        Slot, //
    },
};
use core::{
    mem::{self, ManuallyDrop},
    ptr::{self, NonNull}, //
};
use kernel::{
    error::from_err_ptr,
    ffi::{c_char, c_int, c_uint},
    prelude::*,
    str::CStrExt, //
};

/// The pointer, unless it is null or an error.
pub(crate) fn handle<T>(pointer: *const T) -> Result<NonNull<T>> {
    let pointer = from_err_ptr(pointer.cast_mut()).unwrap_or(ptr::null_mut());
    NonNull::new(pointer).ok_or_else(|| {
        complain(c"C API: NULL or an error pointer instead of a handle");
        EINVAL
    })
}

/// A reference that stays C's.
///
/// # Safety
///
/// `pointer` is null, an error, or one of C's references.
#[inline]
unsafe fn reference(pointer: *const ifref) -> Result<ManuallyDrop<IfaddrRef>> {
    let stake = handle(pointer)?.cast();
    // SAFETY: the caller's promise; it is not dropped here.
    Ok(ManuallyDrop::new(unsafe { IfaddrRef::from_raw(stake) }))
}

/// An interface that C follows.
///
/// # Safety
///
/// `pointer` comes from a follow in the read section that the caller is in, for `'g`.
unsafe fn live<'g>(pointer: *const ifref_live) -> Result<Live<'g>> {
    rcu::check_section();
    let ifnet = handle(pointer)?.cast();
    // SAFETY: the caller's promise.
    Ok(unsafe { Live::from_raw(ifnet) })
}

/// A packet, out of the structure of C's; EINVAL if there is none.
///
/// # Safety
///
/// `packet` is null or C's structure, with a packet or with nulls.
unsafe fn packet(packet: *mut ifref_packet) -> Result<Packet> {
    let mut packet = handle(packet)?;
    // SAFETY: the caller's promise.
    let packet = unsafe { packet.as_mut() };
    let skb = NonNull::new(mem::replace(&mut packet.skb, ptr::null_mut()));
    let stake = NonNull::new(mem::replace(&mut packet.ref_, ptr::null_mut()));
    let (skb, stake) = skb.zip(stake).ok_or(EINVAL)?;
    // SAFETY: from `into_raw`, and just taken out.
    Ok(unsafe { Packet::from_raw(skb, stake.cast()) })
}

/// Puts a packet into the structure of C's.
///
/// # Safety
///
/// `to` is writable.
unsafe fn put_packet(to: NonNull<ifref_packet>, packet: Packet) {
    let (skb, stake) = packet.into_raw();
    let packet = ifref_packet {
        skb: skb.as_ptr(),
        ref_: stake.as_ptr().cast(),
    };
    // SAFETY: the caller's promise.
    unsafe { to.write(packet) };
}

/// Tells C why, if it wants to know.
///
/// # Safety
///
/// `why` is null or writable.
#[inline]
unsafe fn tell(why: *mut c_int, errno: c_int) {
    if !why.is_null() {
        // SAFETY: the caller's promise.
        unsafe { why.write(errno) };
    }
}

/// The pointer that C gets for a result.
pub(crate) fn given<T, U>(result: Result<NonNull<T>>) -> *mut U {
    result.map_or_else(Error::to_ptr, |given| given.as_ptr().cast())
}

/// What C gets for a result that it needs no more of.
pub(crate) fn status(result: Result) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

/// Takes a reference for C.
///
/// # Safety
///
/// `holder` is null, an error, or a holder of C's that is registered; one that was unregistered
/// lately is found out.
unsafe fn get(holder: *mut ifref_holder, key: Result<Key<'_>>, gfp: c_uint) -> *mut ifref {
    let got = handle(holder).and_then(|holder| {
        // SAFETY: the caller's promise.
        let registration = unsafe { holder.cast::<Registration>().as_ref() };
        let key = key?;
        if registration.holder().unregistered() {
            complain(c"C API: a holder that has unregistered takes a reference");
            return Err(EINVAL);
        }
        gfp::with(gfp, |flags| registration.get(key, flags))
    });
    given(got.map(IfaddrRef::into_raw))
}

/// Defines functions of `include/ifref.h` and checks them against it.
macro_rules! c_functions {
    ($($(#[$attribute:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $body:block)*) => { $(
        /// See `include/ifref.h`.
        ///
        /// # Safety
        ///
        /// What the header asks for: handles are null, errors, or what they should be; other
        /// pointers are valid; the context is the right one.
        $(#[$attribute])*
        #[no_mangle]
        pub(crate) unsafe extern "C" fn $name($($arg: $type),*) $(-> $ret)? $body

        const _: () = {
            let _ = [bindings::$name, $name];
        };
    )* };
}
pub(crate) use c_functions;

c_functions! {
    fn __ifref_holder_register(
        module: *mut bindings::module, name: *const c_char
    ) -> *mut ifref_holder {
        given(handle(name).and_then(|name| {
            // SAFETY: a string.
            let name = unsafe { CStr::from_char_ptr(name.as_ptr()) };
            // What is no text has no letters.
            global::register_for_c(module.addr(), name.to_str().unwrap_or(""))
        }))
    }

    fn __ifref_holder_unregister(
        module: *mut bindings::module, holder: *mut ifref_holder
    ) -> c_int {
        status(handle(holder).and_then(|holder| {
            if !can_sleep() {
                complain(c"C API: a holder is unregistered where nobody may sleep");
                // EWOULDBLOCK by its other name.
                return Err(EAGAIN);
            }
            // Its worker may wait for RTNL.
            if rtnetlink::mine() == Some(true) {
                // SAFETY: a handle.
                let name = unsafe { holder.cast::<Registration>().as_ref() }.holder().name();
                complain_of(c"holder", name.as_str(), c"it may not be unregistered under RTNL");
                return Err(EDEADLK);
            }
            global::unregister_for_c(module.addr(), holder.cast()).inspect_err(|_| {
                complain(c"C API: unregistered is what is no holder, or none any more");
            })
        }))
    }

    fn ifref_get_by_index(
        holder: *mut ifref_holder, net: *mut bindings::net, ifindex: c_int, gfp: c_uint
    ) -> *mut ifref {
        // SAFETY: the caller keeps the namespace.
        let net = handle(net).map(|net| unsafe { Net::borrowed(net) });
        let key = net.as_ref().map(|net| Key::Index(net, ifindex));
        // SAFETY: a handle.
        unsafe { get(holder, key.map_err(|err| *err), gfp) }
    }

    fn ifref_get_by_name(
        holder: *mut ifref_holder, net: *mut bindings::net, name: *const c_char, gfp: c_uint
    ) -> *mut ifref {
        // SAFETY: the caller keeps the namespace.
        let net = handle(net).map(|net| unsafe { Net::borrowed(net) });
        let key = net.as_ref().map_err(|err| *err).and_then(|net| {
            // SAFETY: a string.
            Ok(Key::Name(net, unsafe { CStr::from_char_ptr(handle(name)?.as_ptr()) }))
        });
        // SAFETY: a handle.
        unsafe { get(holder, key, gfp) }
    }

    fn ifref_get_by_dev(
        holder: *mut ifref_holder, dev: *mut bindings::net_device, gfp: c_uint
    ) -> *mut ifref {
        // SAFETY: the device exists during the call.
        let dev = handle(dev).map(|dev| unsafe { NetDevice::from_raw(dev.as_ptr()) });
        // SAFETY: a handle.
        unsafe { get(holder, dev.map(Key::Device), gfp) }
    }

    fn ifref_get_by_id(holder: *mut ifref_holder, id: ifref_id, gfp: c_uint) -> *mut ifref {
        let ifref_id { id, serial } = id;
        // SAFETY: a handle.
        unsafe { get(holder, Ok(Key::Id(IfaddrId { id, serial })), gfp) }
    }

    fn ifref_id_of(r#ref: *mut ifref) -> ifref_id {
        // SAFETY: a handle.
        match unsafe { reference(r#ref) } {
            Ok(reference) => {
                let IfaddrId { id, serial } = reference.ifaddr().weak();
                ifref_id { id, serial }
            }
            Err(_) => ifref_id { id: 0, serial: 0 },
        }
    }

    fn ifref_clone(r#ref: *mut ifref) -> *mut ifref {
        // SAFETY: a handle.
        match unsafe { reference(r#ref) } {
            Ok(reference) => IfaddrRef::clone(&reference).into_raw().as_ptr().cast(),
            Err(_) => ptr::null_mut(),
        }
    }

    fn ifref_put(r#ref: *mut ifref) {
        if r#ref.is_null() {
            return;
        }
        // SAFETY: a handle.
        if let Ok(reference) = unsafe { reference(r#ref) } {
            drop(ManuallyDrop::into_inner(reference));
        }
    }

    fn ifref_follow(r#ref: *mut ifref, why: *mut c_int) -> *const ifref_live {
        rcu::check_section();
        // SAFETY: a handle; C is inside a read section. `why` is null or writable.
        unsafe {
            let followed = reference(r#ref).and_then(|reference| {
                let followed = reference.try_follow(rcu::begun());
                followed.map(Live::into_raw).map_err(errno)
            });
            tell(why, followed.err().map_or(0, Error::to_errno));
            followed.map_or(ptr::null(), |ifnet| ifnet.as_ptr().cast())
        }
    }

    fn ifref_follow_or_put(slot: *mut *mut ifref, why: *mut c_int) -> *const ifref_live {
        rcu::check_section();
        // SAFETY: `slot` is the caller's alone, with a handle or null in it; C is inside a read
        // section. `why` is null or writable.
        unsafe {
            let followed = handle(slot).and_then(|slot| {
                if slot.read().is_null() {
                    return Err(ENOENT);
                }
                let mut kept = Slot::new(ManuallyDrop::into_inner(reference(slot.read())?));
                let followed = kept.follow(rcu::begun()).map(Live::into_raw);
                // What a refusal has dropped is not there any more.
                let left = kept.take().map(|reference| reference.into_raw().as_ptr().cast());
                slot.write(left.unwrap_or(ptr::null_mut()));
                followed.map_err(errno)
            });
            tell(why, followed.err().map_or(0, Error::to_errno));
            followed.map_or(ptr::null(), |ifnet| ifnet.as_ptr().cast())
        }
    }

    fn ifref_live_name(live: *const ifref_live, name: *mut c_char) {
        // SAFETY: followed in this read section.
        if let (Ok(live), Ok(name)) = (unsafe { self::live(live) }, handle(name)) {
            // SAFETY: there is room for a name.
            unsafe { name.cast().write(live.name().bytes()) };
        }
    }

    fn ifref_live_ifindex(live: *const ifref_live) -> c_int {
        // SAFETY: followed in this read section.
        unsafe { self::live(live) }.map_or(0, |live| live.ifindex())
    }

    fn ifref_live_mtu(live: *const ifref_live) -> c_uint {
        // SAFETY: followed in this read section.
        unsafe { self::live(live) }.map_or(0, |live| live.mtu())
    }

    fn ifref_live_flags(live: *const ifref_live) -> c_uint {
        // SAFETY: followed in this read section.
        unsafe { self::live(live) }.map_or(0, |live| live.flags())
    }

    fn ifref_live_transmit(live: *const ifref_live, skb: *mut bindings::sk_buff) -> c_int {
        status(handle(skb).and_then(|skb| {
            // SAFETY: it is taken over. Followed in this read section.
            unsafe {
                let skb = Skb::from_raw(skb);
                self::live(live)?.transmit(skb)
            }
        }))
    }

    fn ifref_dev(live: *const ifref_live) -> *mut bindings::net_device {
        // SAFETY: followed in this read section, after which C does not use it.
        unsafe { self::live(live).map_or(ptr::null_mut(), |live| live.as_raw()) }
    }

    fn ifref_enter(r#ref: *mut ifref) -> *mut ifref_entered {
        // SAFETY: a handle.
        let entered = unsafe { reference(r#ref) }.and_then(|reference| reference.enter());
        given(entered.map(Entered::into_raw))
    }

    fn ifref_enter_until(
        r#ref: *mut ifref, gone: *mut bindings::completion
    ) -> *mut ifref_entered {
        // SAFETY: a handle; the completion exists until `ifref_exit()` or the holder's end.
        let entered = unsafe {
            reference(r#ref).and_then(|reference| {
                let gone = Awaited::borrowed(handle(gone)?);
                Entered::new(&reference, Some(gone))
            })
        };
        given(entered.map(Entered::into_raw))
    }

    fn ifref_exit(entered: *mut ifref_entered) {
        if entered.is_null() {
            return;
        }
        if let Ok(entered) = handle(entered) {
            // SAFETY: a handle, which ends here.
            drop(unsafe { Entered::from_raw(entered.cast()) });
        }
    }

    fn ifref_entered_dev(entered: *mut ifref_entered) -> *mut bindings::net_device {
        let Ok(entered) = handle(entered) else {
            return ptr::null_mut();
        };
        // SAFETY: a handle, which is not dropped; C has RTNL.
        let (entered, rtnl) = unsafe {
            let entered = ManuallyDrop::new(Entered::from_raw(entered.cast()));
            (entered, Rtnl::taken())
        };
        let dev = entered.registered_device(&rtnl);
        dev.map_or(ptr::null_mut(), NetDevice::as_raw)
    }

    fn ifref_packet_park(
        packet: *mut ifref_packet, skb: *mut bindings::sk_buff, r#ref: *mut ifref
    ) -> c_int {
        status((|| {
            let (packet, skb) = (handle(packet)?, handle(skb)?);
            // SAFETY: a handle, and an sk_buff, both taken over; `packet` is writable.
            unsafe {
                let reference = ManuallyDrop::into_inner(reference(r#ref)?);
                put_packet(packet, Packet::park(Skb::from_raw(skb), reference));
            }
            Ok(())
        })())
    }

    fn ifref_packet_clone(
        to: *mut ifref_packet, from: *const ifref_packet, gfp: c_uint
    ) -> c_int {
        status((|| {
            let (to, from) = (handle(to)?, handle(from)?);
            // SAFETY: C's structure, of which a copy is used and not dropped; `to` is writable.
            unsafe {
                let packet = ManuallyDrop::new(packet(&mut from.read())?);
                put_packet(to, gfp::with(gfp, |flags| packet.try_clone(flags))?);
            }
            Ok(())
        })())
    }

    fn ifref_packet_transmit(packet: *mut ifref_packet) -> c_int {
        // SAFETY: C's structure.
        status(unsafe { self::packet(packet) }.and_then(Packet::transmit))
    }

    fn ifref_packet_free(packet: *mut ifref_packet) {
        // SAFETY: C's structure.
        drop(unsafe { self::packet(packet) });
    }
}
