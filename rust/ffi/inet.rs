// SPDX-License-Identifier: GPL-2.0

//! The kernel's own addresses, which pin their device and are therefore never kept.
//!
//! C headers: [`include/linux/inetdevice.h`](srctree/include/linux/inetdevice.h),
//! [`include/net/addrconf.h`](srctree/include/net/addrconf.h)

use super::{
    bindings,
    netdevice::NetDevice,
    rtnetlink::Rtnl, //
};
use crate::text::Text;
use core::{
    cmp::Ordering,
    ffi::c_void, //
};
use kernel::prelude::*;

/// Room for an address in words.
pub(crate) const ADDRESS_SIZE: usize = 112;

/// An address by value: link layer, IPv4 or IPv6, with its prefix and other end.
#[derive(Clone, Copy)]
pub struct Address(bindings::ifref_addr);

impl Address {
    /// The address that sorts before every other.
    pub const MIN: Self = Self(bindings::ifref_addr {
        family: 0,
        len: 0,
        prefix: 0,
        local: [0; 32],
        peer: [0; 16],
    });

    /// The address that sorts before every link-layer one, and after all others.
    pub const LINK_MIN: Self = Self(bindings::ifref_addr {
        family: bindings::IFREF_AF_PACKET as u8,
        ..Self::MIN.0
    });

    pub(super) fn filled_by(fill: impl FnOnce(*mut bindings::ifref_addr)) -> Self {
        let mut addr = Self::MIN;
        fill(&mut addr.0);
        addr
    }

    pub(super) fn raw(&self) -> *const bindings::ifref_addr {
        &self.0
    }

    /// Whether it is the same address, whatever the prefix and the other end.
    pub(crate) fn same_host(&self, other: &Self) -> bool {
        self.0.family == other.0.family
            && self.0.len == other.0.len
            && self.0.local == other.0.local
    }

    /// A hash that is the same for the same host.
    pub(crate) fn host_hash(&self) -> u64 {
        let mut hash = u64::from(self.0.family);
        for byte in self.0.local {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        hash
    }

    /// An IPv4 address, to look it up.
    pub fn inet(bytes: [u8; 4]) -> Self {
        Self::host(bindings::IFREF_AF_INET, &bytes)
    }

    /// An IPv6 address, to look it up.
    pub fn inet6(bytes: [u8; 16]) -> Self {
        Self::host(bindings::IFREF_AF_INET6, &bytes)
    }

    fn host(family: u32, bytes: &[u8]) -> Self {
        let mut address = Self::MIN;
        address.0.family = family as u8;
        address.0.len = bytes.len() as u8;
        for (to, from) in address.0.local.iter_mut().zip(bytes) {
            *to = *from;
        }
        address
    }

    /// "link", "inet" or "inet6".
    pub fn family(&self) -> &'static str {
        match u32::from(self.0.family) {
            bindings::IFREF_AF_INET => "inet",
            bindings::IFREF_AF_INET6 => "inet6",
            _ => "link",
        }
    }

    /// Whether this is a link-layer address.
    pub(crate) fn is_link(&self) -> bool {
        u32::from(self.0.family) == bindings::IFREF_AF_PACKET
    }

    /// The address in words: "52:54:00:12:34:56", "10.0.2.15/24", "10.0.0.1 peer 10.0.0.2/32".
    pub fn text(&self) -> Text<ADDRESS_SIZE> {
        Text::filled_by(|buf, size| {
            // SAFETY: the buffer has the given size.
            unsafe { bindings::ifref_format(buf, size, &self.0) };
        })
    }

    fn key(&self) -> (u8, u8, u8, &[u8; 32], &[u8; 16]) {
        let addr = &self.0;
        (addr.family, addr.len, addr.prefix, &addr.local, &addr.peer)
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Address {}

/// An address of the kernel's, seen in a notifier's call or on a walk.
pub(crate) struct Seen<'a> {
    /// The device that it is on.
    pub dev: &'a NetDevice,
    /// What ifref keeps of it.
    pub address: Address,
    /// Which of the kernel's objects it is, to compare while that exists: an address that is
    /// deleted may be added again before its DOWN is told.
    pub token: usize,
    inet6: Option<&'a bindings::inet6_ifaddr>,
}

impl<'a> Seen<'a> {
    /// # Safety
    ///
    /// `ifa` is on its device for `'a`.
    pub(super) unsafe fn inet(ifa: *const bindings::in_ifaddr) -> Self {
        Self {
            // SAFETY: the caller's promise; an address pins its device.
            dev: unsafe { NetDevice::from_raw(bindings::ifref_inet_dev(ifa)) },
            address: Address::filled_by(|addr| {
                // SAFETY: the caller's promise; `addr` is writable.
                unsafe { bindings::ifref_inet_addr(ifa, addr) }
            }),
            token: ifa as usize,
            inet6: None,
        }
    }

    /// # Safety
    ///
    /// `ifa` is on its device for `'a`.
    pub(super) unsafe fn inet6(ifa: *const bindings::inet6_ifaddr) -> Self {
        Self {
            // SAFETY: the caller's promise; an address pins its device.
            dev: unsafe { NetDevice::from_raw(bindings::ifref_inet6_dev(ifa)) },
            address: Address::filled_by(|addr| {
                // SAFETY: the caller's promise; `addr` is writable.
                unsafe { bindings::ifref_inet6_addr(ifa, addr) }
            }),
            token: ifa as usize,
            // SAFETY: the caller's promise.
            inet6: Some(unsafe { &*ifa }),
        }
    }

    /// Whether the kernel has begun to delete the address. It says so before it sends DOWN, which
    /// for IPv6 may overtake UP.
    pub(crate) fn dead(&self) -> bool {
        self.inet6
            // SAFETY: the reference is valid.
            .is_some_and(|ifa| unsafe { bindings::ifref_inet6_dead(ifa) })
    }
}

/// Calls `each` for every IPv4 and IPv6 address of `dev`; for IPv6 with bottom halves off.
pub(crate) fn for_each_address<F: FnMut(Seen<'_>)>(_rtnl: &Rtnl, dev: &NetDevice, mut each: F) {
    /// # Safety
    ///
    /// `ctx` is the closure, `ifa` an address that stays on the list during the call.
    unsafe extern "C" fn inet<F: FnMut(Seen<'_>)>(ctx: *mut c_void, ifa: *mut bindings::in_ifaddr) {
        // SAFETY: `ctx` is the closure below, which nothing else uses meanwhile.
        let each = unsafe { &mut *ctx.cast::<F>() };
        // SAFETY: the address stays on the list while the walk is at it.
        each(unsafe { Seen::inet(ifa) });
    }
    /// # Safety
    ///
    /// `ctx` is the closure, `ifa` an address that stays on the list during the call.
    unsafe extern "C" fn inet6<F: FnMut(Seen<'_>)>(
        ctx: *mut c_void,
        ifa: *mut bindings::inet6_ifaddr,
    ) {
        // SAFETY: `ctx` is the closure below, which nothing else uses meanwhile.
        let each = unsafe { &mut *ctx.cast::<F>() };
        // SAFETY: the address stays on the list while the walk is at it.
        each(unsafe { Seen::inet6(ifa) });
    }
    let ctx = (&raw mut each).cast::<c_void>();
    // SAFETY: RTNL is held and the device exists; the functions get the closure they are made for.
    unsafe {
        bindings::ifref_for_each_inet(dev.raw(), Some(inet::<F>), ctx);
        bindings::ifref_for_each_inet6(dev.raw(), Some(inet6::<F>), ctx);
    }
}

#[kunit_tests(ifref_address)]
mod tests {
    use super::*;

    fn address(family: u32, local: &[u8], prefix: u8) -> Address {
        Address::filled_by(|addr| {
            // SAFETY: the address is writable.
            let addr = unsafe { &mut *addr };
            addr.family = family as u8;
            addr.len = local.len() as u8;
            addr.prefix = prefix;
            addr.local[..local.len()].copy_from_slice(local);
            if family == bindings::IFREF_AF_INET {
                addr.peer[..local.len()].copy_from_slice(local);
            }
        })
    }

    #[test]
    fn in_words() {
        let link = address(bindings::IFREF_AF_PACKET, &[2, 0, 0, 0, 0xab, 1], 0);
        assert_eq!(link.text().as_str(), "02:00:00:00:ab:01");
        let none = address(bindings::IFREF_AF_PACKET, &[], 0);
        assert_eq!(none.text().as_str(), "none");
        let mut inet = address(bindings::IFREF_AF_INET, &[10, 0, 2, 15], 24);
        assert_eq!(inet.text().as_str(), "10.0.2.15/24");
        inet.0.peer[3] = 16;
        assert_eq!(inet.text().as_str(), "10.0.2.15 peer 10.0.2.16/24");
        let mut bytes = [0; 16];
        bytes[0] = 0xfd;
        bytes[15] = 5;
        let inet6 = address(bindings::IFREF_AF_INET6, &bytes, 64);
        assert_eq!(inet6.text().as_str(), "fd00::5/64");
    }

    #[test]
    fn the_longest_fit() {
        let link = address(bindings::IFREF_AF_PACKET, &[0xff; 32], 0);
        assert_eq!(link.text().as_str().len(), 32 * 3 - 1);
        let inet6 = address(bindings::IFREF_AF_INET6, &[0xff; 16], 128);
        assert_eq!(
            inet6.text().as_str(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"
        );
    }

    #[test]
    fn link_layer_ones_sort_last() {
        let links = [
            address(bindings::IFREF_AF_PACKET, &[], 0),
            address(bindings::IFREF_AF_PACKET, &[0; 6], 0),
            address(bindings::IFREF_AF_PACKET, &[0xff; 32], 0),
        ];
        let others = [
            address(bindings::IFREF_AF_INET, &[0xff; 4], 32),
            address(bindings::IFREF_AF_INET6, &[0xff; 16], 128),
        ];
        for link in &links {
            assert!(*link >= Address::LINK_MIN);
            assert!(link.is_link());
        }
        for other in &others {
            assert!(*other < Address::LINK_MIN);
            assert!(*other > Address::MIN);
            assert!(!other.is_link());
        }
    }

    #[test]
    fn all_of_it_counts() {
        let one = address(bindings::IFREF_AF_INET, &[10, 0, 0, 1], 24);
        let mut other = one;
        assert!(one == other);
        other.0.prefix = 25;
        assert!(one != other);
        other = one;
        other.0.peer[0] = 11;
        assert!(one != other);
    }
}
