// SPDX-License-Identifier: GPL-2.0

//! Looking ifaddrs up, without a lock.

use crate::{
    ffi::{
        inet::Address,
        net_namespace::Net,
        netdevice::{
            self,
            NetDevice, //
        }, //
    },
    ifaddr::Ifaddr,
    registry::Registry, //
};
use core::str::FromStr;
use kernel::{
    fmt,
    prelude::*,
    sync::rcu, //
};

/// A weak reference to an ifaddr: it may be copied and stored, keeps nothing, and never comes to
/// mean another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IfaddrId {
    /// The ifaddr's id, never used again.
    pub id: u64,
    /// The serial of its interface, never used again.
    pub serial: u64,
}

impl fmt::Display for IfaddrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.serial)
    }
}

impl FromStr for IfaddrId {
    type Err = Error;

    /// As it is displayed, "id@serial"; else EINVAL.
    fn from_str(text: &str) -> Result<Self> {
        let (id, serial) = text.split_once('@').ok_or(EINVAL)?;
        Ok(Self {
            id: id.parse().map_err(|_| EINVAL)?,
            serial: serial.parse().map_err(|_| EINVAL)?,
        })
    }
}

/// What to look an ifaddr up by.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// Its weak reference.
    Id(IfaddrId),
    /// Its id alone, which is in no namespace.
    Number(u64),
    /// The link-layer address of the interface with an index in a namespace.
    Index(&'a Net, i32),
    /// The link-layer address of an interface that the caller sees.
    Device(&'a NetDevice),
    /// The link-layer address of the interface with a name in a namespace.
    Name(&'a Net, &'a CStr),
    /// An address in a namespace, whatever its prefix and other end; one that is valid, if it is
    /// on several interfaces.
    Address(&'a Net, &'a Address),
}

impl Registry {
    /// Looks an ifaddr up, which may not be valid. Any context but NMI; no lock.
    pub(crate) fn look_up<'g>(
        &'g self,
        key: Key<'g>,
        section: &'g rcu::Guard,
    ) -> Option<&'g Ifaddr> {
        match key {
            Key::Id(of) => self
                .by_id(of.id, section)
                .filter(|ifaddr| ifaddr.serial() == of.serial),
            Key::Number(id) => self.by_id(id, section),
            Key::Index(net, ifindex) => {
                let dev = netdevice::by_index(net, ifindex, section)?;
                self.by_device(dev, section)?.link_ifaddr(section)
            }
            Key::Device(dev) => self.by_device(dev, section)?.link_ifaddr(section),
            Key::Name(net, name) => {
                let dev = netdevice::by_name(net, name, section)?;
                self.by_device(dev, section)?.link_ifaddr(section)
            }
            Key::Address(net, address) => self
                .by_host(address, section)
                .find(|ifaddr| ifaddr.net() == net && ifaddr.follow(section).is_ok()),
        }
    }

    /// The weak reference to an ifaddr: ENOENT. Any context but NMI; no lock.
    pub(crate) fn id_of(&self, key: Key<'_>) -> Result<IfaddrId> {
        let section = rcu::read_lock();
        self.look_up(key, &section).map(Ifaddr::weak).ok_or(ENOENT)
    }
}
