// SPDX-License-Identifier: GPL-2.0

//! The registry: which ifnet a device has, which ifaddrs an ifnet has.
//!
//! # Locks
//!
//! The worker's mutexes (an ifnet's or ifaddr's shell, the bus watches), then RTNL, then the
//! registry's lock, then the pending list's lock or one of an ifnet's own. From the registry's on
//! they are spinlocks with interrupts off, under which nothing is allocated. The diagram is in `Documentation/design.rst`.

use crate::{
    devd::Devd,
    driver,
    ffi::{
        compat,
        inet::Address,
        netdevice::NetDevice,
        parent::Parent,
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
        trace,
        workqueue::OwnedQueue, //
    },
    holder::Holders,
    ifaddr::{
        Ifaddr,
        BY_HOST,
        BY_ID, //
    },
    ifnet::Ifnet,
    index::Index,
    ledger::LEDGER,
    lifecycle::{
        Cause,
        Invalid,
        Phase, //
    },
    stats::Tree,
    worker::{
        Pending,
        Watches, //
    },
};
use kernel::{
    alloc::Flags,
    new_delayed_work, new_mutex, new_work,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::Relaxed,
        rcu,
        Arc,
        Mutex, //
    },
    workqueue::{
        DelayedWork,
        Work, //
    },
};

/// What the registry knows of a device.
struct Device {
    ifnet: Arc<Ifnet>,
    /// The parent's driver is being unbound: the removal ends with that, not before.
    unbinding: bool,
}

/// An ifnet's serial, and an address that it has.
type AddressKey = (u64, Address);

/// The maps, all under one lock.
pub(crate) struct Maps {
    open: bool,
    next_serial: u64,
    next_id: u64,
    /// By the `net_device`'s address; an entry outlives the device until its removal has ended.
    devices: RBTree<usize, Device>,
    /// By the parent device's address and the `net_device`'s, if it keeps its parent.
    parents: RBTree<(usize, usize), Arc<Ifnet>>,
    /// Ifaddrs whose link is not cut, by their ifnet's serial.
    addresses: RBTree<AddressKey, Arc<Ifaddr>>,
    /// Ifaddrs that are shown: not cut, or still referred to.
    ids: RBTree<u64, Arc<Ifaddr>>,
}

/// Everything that ifref keeps.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    maps: IrqLock<Maps>,
    // Read without a lock; changed under that of the maps, with them.
    by_id: Index<Ifaddr, BY_ID>,
    by_host: Index<Ifaddr, BY_HOST>,
    by_device: Index<Ifnet, 0>,
    holders: Arc<Holders>,
    devd: Arc<Devd>,
    #[pin]
    pub(crate) pending: IrqLock<Pending>,
    #[pin]
    pub(crate) watches: Mutex<Watches>,
    #[pin]
    pub(crate) work: Work<Self, 0>,
    #[pin]
    pub(crate) heal: DelayedWork<Self, 1>,
    #[pin]
    pub(crate) sample: DelayedWork<Self, 2>,
    // Both go in the module's exit, even if this is kept: see `Self::end`.
    #[pin]
    pub(crate) tree: Tree,
    pub(crate) queue: OwnedQueue,
}

impl Registry {
    /// An empty registry with its folders in sysfs. Sleeps.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let holders = Holders::new()?;
        let devd = Devd::new()?;
        Arc::pin_init(
            try_pin_init!(Self {
                maps <- new_irq_lock!(
                    Maps {
                        open: true,
                        next_serial: 1,
                        next_id: 1,
                        devices: RBTree::new(),
                        parents: RBTree::new(),
                        addresses: RBTree::new(),
                        ids: RBTree::new(),
                    },
                    "ifref_registry"
                ),
                by_id: Index::new()?,
                by_host: Index::new()?,
                by_device: Index::new()?,
                pending <- new_irq_lock!(Pending::default(), "ifref_pending"),
                watches <- new_mutex!(Watches::default()),
                work <- new_work!("ifref_worker"),
                heal <- new_delayed_work!("ifref_heal"),
                sample <- new_delayed_work!("ifref_sample"),
                tree <- Tree::new(&holders, &devd)?,
                holders,
                devd,
                queue: OwnedQueue::ordered(c"ifref")?,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// All holders.
    pub(crate) fn holders(&self) -> &Holders {
        &self.holders
    }

    /// What attaches and detaches for drivers.
    pub(crate) fn devd(&self) -> &Arc<Devd> {
        &self.devd
    }

    /// All folders.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The shown ifaddr with an id. Any context but NMI; no lock.
    pub(crate) fn by_id<'g>(&'g self, id: u64, section: &'g rcu::Guard) -> Option<&'g Ifaddr> {
        let mut found = self.by_id.find(id, section);
        found.find(|ifaddr| ifaddr.id() == id)
    }

    /// The ifaddrs, of all namespaces, of the same host address. Any context but NMI; no lock.
    pub(crate) fn by_host<'g>(
        &'g self,
        address: &'g Address,
        section: &'g rcu::Guard,
    ) -> impl Iterator<Item = &'g Ifaddr> {
        let found = self.by_host.find(address.host_hash(), section);
        found.filter(|ifaddr| ifaddr.address().same_host(address))
    }

    /// The ifnet of `dev`, dead or alive. Any context but NMI; no lock.
    pub(crate) fn by_device<'g>(
        &'g self,
        dev: &NetDevice,
        section: &'g rcu::Guard,
    ) -> Option<&'g Ifnet> {
        let key = dev.key();
        let mut found = self.by_device.find(key as u64, section);
        found.find(|ifnet| ifnet.key() == key)
    }

    /// Sets the next serial, which must grow and leave room for more: EINVAL. For tests.
    pub(crate) fn set_next_serial(&self, next: u64) -> Result {
        let mut maps = self.maps.lock();
        if next < maps.next_serial || next > i64::MAX as u64 {
            return Err(EINVAL);
        }
        maps.next_serial = next;
        Ok(())
    }

    /// The serial that the next ifnet will have. Any context.
    pub(crate) fn next_serial(&self) -> u64 {
        self.maps.lock().next_serial
    }

    /// The ifnet of `dev`, dead or alive. Any context.
    pub(crate) fn find(&self, dev: &NetDevice) -> Option<Arc<Ifnet>> {
        Some(self.maps.lock().devices.get(&dev.key())?.ifnet.clone())
    }

    /// Adopts `dev`, unless it has a valid ifnet or is going. Under RTNL, device registered; sleeps.
    ///
    /// ENOMEM changes nothing; it is the only error.
    pub(crate) fn adopt(self: &Arc<Self>, dev: &NetDevice) -> Result<Option<Arc<Ifnet>>> {
        if dev.dismantle() {
            return Ok(None);
        }
        if let Some(ifnet) = self.find(dev) {
            match ifnet.state().phase() {
                Phase::Valid => return Ok(Some(ifnet)),
                // Its driver is being unbound. If it survives that, it is taken off the map then.
                Phase::Attaching | Phase::Detaching => return Ok(None),
                // Another device that had this address, whose driver's removal has not ended.
                _ => self.finish(&ifnet),
            }
        }
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        // SAFETY: under RTNL, while registered.
        let parent = unsafe { Parent::of(dev) };
        let parent_node = match &parent {
            Some(parent) => Some((parent.key(), RBTreeNodeReservation::new(GFP_KERNEL)?)),
            None => None,
        };
        let serial = {
            let mut maps = self.maps.lock();
            if !maps.open {
                return Ok(None);
            }
            let serial = maps.next_serial;
            maps.next_serial += 1;
            serial
        };
        let ifnet = Ifnet::new(self, serial, dev, parent)?;
        {
            let mut maps = self.maps.lock();
            let entry = Device {
                ifnet: ifnet.clone(),
                unbinding: false,
            };
            // Under RTNL nobody else adopts, so the places are free.
            maps.devices.insert(node.into_node(dev.key(), entry));
            // SAFETY: under the maps' lock, once in its life; freed as `Link` says.
            unsafe { self.by_device.add(dev.key() as u64, &ifnet) };
            if let Some((parent, node)) = parent_node {
                maps.parents
                    .insert(node.into_node((parent, dev.key()), ifnet.clone()));
            }
        }
        self.pend_ifnet(&ifnet);
        Ok(Some(ifnet))
    }

    /// Makes the ifaddr of an address of `dev`, unless there is one or the interface is going.
    ///
    /// `token` says which of the kernel's addresses it is, `dead` whether that is going: its removal
    /// may have been told before. Any context that `flags` allow. ENOMEM changes nothing; it is the
    /// only error.
    pub(crate) fn add_address(
        self: &Arc<Self>,
        dev: &NetDevice,
        address: Address,
        token: usize,
        flags: Flags,
        dead: impl Fn() -> bool,
    ) -> Result {
        let (ifnet, id) = {
            let mut maps = self.maps.lock();
            let Some(ifnet) = maps.valid(dev) else {
                return Ok(());
            };
            if maps.has_address(&(ifnet.serial(), address), token) {
                return Ok(());
            }
            let id = maps.next_id;
            maps.next_id += 1;
            (ifnet, id)
        };
        let by_address = RBTreeNodeReservation::new(flags)?;
        let by_id = RBTreeNodeReservation::new(flags)?;
        let ifaddr = Ifaddr::new(self, id, &ifnet, address, token, flags)?;
        let key = (ifnet.serial(), address);
        let replaced = {
            let mut maps = self.maps.lock();
            // Valid, seen under the lock: whoever invalidates the ifnet from now on finds the
            // ifaddr when it cuts all links.
            let same = maps.valid(dev).is_some_and(|now| now.serial() == key.0);
            // Nor does one that is going take the place of one that has come since: an UP from
            // softirq may be late.
            if !same || maps.has_address(&key, token) || dead() {
                drop(maps);
                return Ok(());
            }
            // The same address again, before the DOWN of its predecessor was told.
            let replaced = self.take_address(&mut maps, &key, Invalid::AddressRemoved);
            maps.addresses
                .insert(by_address.into_node(key, ifaddr.clone()));
            maps.ids.insert(by_id.into_node(id, ifaddr.clone()));
            // SAFETY: under the maps' lock, once in its life; it is freed as its type says.
            unsafe {
                self.by_id.add(id, &ifaddr);
                self.by_host.add(address.host_hash(), &ifaddr);
            }
            if address.is_link() {
                ifnet.set_link_ifaddr(&ifaddr);
            }
            replaced
        };
        announce(replaced);
        trace::ifaddr_new(id, ifnet.serial(), &address);
        self.pend_ifaddr(&ifaddr);
        // An address says that it is dead before its DOWN is sent: if that DOWN came before the
        // insertion above, this sees it.
        if dead() {
            self.remove_address(dev, address, token);
        }
        Ok(())
    }

    /// Cuts the link of an address that was taken off `dev`. Any context.
    pub(crate) fn remove_address(&self, dev: &NetDevice, address: Address, token: usize) {
        let removed = {
            let mut maps = self.maps.lock();
            let Some(ifnet) = maps.devices.get(&dev.key()).map(|d| d.ifnet.clone()) else {
                return;
            };
            let key = (ifnet.serial(), address);
            if !maps.has_address(&key, token) {
                return;
            }
            // The addresses of an interface that is going are told before the worker comes to
            // them; the reason is the interface's.
            let reason = if ifnet.state().is_valid() {
                Invalid::AddressRemoved
            } else {
                Invalid::Detached
            };
            self.take_address(&mut maps, &key, reason)
        };
        announce(removed);
    }

    /// Cuts the links of all addresses of an ifnet that sort after `from`, for `reason`.
    ///
    /// Any context; one lock section an address.
    pub(crate) fn remove_addresses(&self, serial: u64, from: Address, reason: Invalid) {
        loop {
            let removed = {
                let mut maps = self.maps.lock();
                let found = maps.addresses.cursor_lower_bound(&(serial, from));
                let key = found.map(|cursor| *cursor.current().0);
                let Some(key) = key.filter(|key| key.0 == serial) else {
                    return;
                };
                self.take_address(&mut maps, &key, reason)
            };
            announce(removed);
        }
    }

    /// The link-layer address that an ifnet has an ifaddr for. Any context.
    pub(crate) fn link_address(&self, serial: u64) -> Option<Address> {
        let maps = self.maps.lock();
        let cursor = maps
            .addresses
            .cursor_lower_bound(&(serial, Address::LINK_MIN))?;
        let (key, _) = cursor.current();
        (key.0 == serial).then_some(key.1)
    }

    /// The references to all ifaddrs of an ifnet. Any context; anybody may ask, so that the lock
    /// is let go now and then.
    pub(crate) fn references_to(&self, serial: u64) -> u64 {
        const AT_ONCE: usize = 64;
        let mut sum = 0;
        let mut next = Some((serial, Address::MIN));
        while next.is_some() {
            let maps = self.maps.lock();
            for _ in 0..AT_ONCE {
                let cursor = next.and_then(|key| maps.addresses.cursor_lower_bound(&key));
                let Some(cursor) = cursor.filter(|cursor| cursor.current().0 .0 == serial) else {
                    return sum;
                };
                sum += cursor.current().1.references();
                next = cursor.peek_next().map(|(key, _)| *key);
            }
        }
        sum
    }

    /// The first shown ifaddr with an id of at least `from`. Any context.
    pub(crate) fn next_ifaddr(&self, from: u64) -> Option<Arc<Ifaddr>> {
        let maps = self.maps.lock();
        let cursor = maps.ids.cursor_lower_bound(&from)?;
        Some(cursor.current().1.clone())
    }

    /// Takes an ifaddr off the map of those shown, if it is idle. Any context.
    pub(crate) fn forget_if_idle(&self, ifaddr: &Ifaddr) -> bool {
        let node = {
            let mut maps = self.maps.lock();
            if !ifaddr.idle() {
                return false;
            }
            // SAFETY: under the maps' lock.
            unsafe { self.by_id.remove(ifaddr.id(), ifaddr) };
            maps.ids.remove_node(&ifaddr.id())
        };
        drop(node);
        true
    }

    /// The driver of a parent device is about to be unbound: all its interfaces go. Process
    /// context.
    pub(crate) fn unbinding(&self, parent: usize) {
        self.for_each_child(parent, |ifnet| {
            if let Some(device) = self.maps.lock().devices.get_mut(&ifnet.key()) {
                device.unbinding |= device.ifnet.serial() == ifnet.serial();
            }
            ifnet.invalidate(Cause::Unbind);
        });
    }

    /// The driver of a parent device was unbound: the removals of its interfaces have ended.
    ///
    /// Returns true if one of them is still registered: it has outlived its ifnet.
    pub(crate) fn unbound(&self, parent: usize) -> bool {
        let mut survivors = false;
        self.for_each_child(parent, |ifnet| {
            if let Some(object) = ifnet.object() {
                driver::leave_parent(&object);
            }
            // What a driver of ifref's has attached ends with its free.
            if !ifnet.state().is_valid() && !ifnet.is_driven() {
                survivors |= ifnet.state().phase() == Phase::Detaching;
                self.finish(ifnet);
            }
        });
        survivors
    }

    /// `dev` left the core's lists for good. Under RTNL.
    pub(crate) fn unlinked(&self, ifnet: &Arc<Ifnet>) {
        ifnet.state().advance(Phase::Unlinked);
        let unbinding = self
            .maps
            .lock()
            .devices
            .get(&ifnet.key())
            .is_some_and(|device| device.unbinding);
        // That of a driver of ifref's ends with its free.
        if !unbinding && !ifnet.is_driven() {
            self.finish(ifnet);
        }
    }

    /// Takes an ifnet off the maps, and gives it to the worker for good. Idempotent; any context.
    pub(crate) fn finish(&self, ifnet: &Arc<Ifnet>) {
        let nodes = {
            let mut maps = self.maps.lock();
            let mine = maps
                .devices
                .get(&ifnet.key())
                .is_some_and(|device| device.ifnet.serial() == ifnet.serial());
            mine.then(|| {
                // SAFETY: under the maps' lock.
                unsafe { self.by_device.remove(ifnet.key() as u64, ifnet) };
                let parent = ifnet.parent().map(|parent| (parent, ifnet.key()));
                (
                    maps.devices.remove_node(&ifnet.key()),
                    parent.and_then(|key| maps.parents.remove_node(&key)),
                )
            })
        };
        if nodes.is_some() {
            ifnet.retire();
        }
    }

    /// Adopts nothing any more. Any context.
    pub(crate) fn close(&self) {
        self.maps.lock().open = false;
    }

    /// Whether anything is still adopted. Any context.
    pub(crate) fn is_open(&self) -> bool {
        self.maps.lock().open
    }

    /// Calls `each` for every ifnet on the maps; those that come meanwhile may be left out.
    pub(crate) fn for_each_ifnet(&self, mut each: impl FnMut(&Arc<Ifnet>)) {
        let mut from = 0;
        loop {
            let ifnet = {
                let maps = self.maps.lock();
                let Some(cursor) = maps.devices.cursor_lower_bound(&from) else {
                    return;
                };
                cursor.current().1.ifnet.clone()
            };
            from = ifnet.key() + 1;
            each(&ifnet);
        }
    }

    /// How many ifnets a parent device has. Any context.
    pub(crate) fn children(&self, parent: usize) -> usize {
        let mut count = 0;
        self.for_each_child(parent, |_| count += 1);
        count
    }

    fn for_each_child(&self, parent: usize, mut each: impl FnMut(&Arc<Ifnet>)) {
        let mut from = (parent, 0);
        loop {
            let ifnet = {
                let maps = self.maps.lock();
                let Some(cursor) = maps.parents.cursor_lower_bound(&from) else {
                    return;
                };
                let (key, ifnet) = cursor.current();
                if key.0 != parent {
                    return;
                }
                from = (parent, key.1 + 1);
                ifnet.clone()
            };
            each(&ifnet);
        }
    }

    /// Takes an ifaddr off the map and cuts its link, both under the lock. What it returns is for
    /// [`announce`], without the lock: a node is freed when it is dropped.
    fn take_address(
        &self,
        maps: &mut Maps,
        key: &AddressKey,
        reason: Invalid,
    ) -> Option<RBTreeNode<AddressKey, Arc<Ifaddr>>> {
        let ifaddr = maps.addresses.get(key)?;
        // SAFETY: under the maps' lock.
        unsafe { self.by_host.remove(key.1.host_hash(), ifaddr) };
        ifaddr.cut(reason);
        maps.addresses.remove_node(key)
    }

    /// Counts a miss and tries again soon. Any context.
    pub(crate) fn missed(self: &Arc<Self>) {
        LEDGER.missed.add(1, Relaxed);
        self.heal_soon();
    }
}

impl Maps {
    fn has_address(&self, key: &AddressKey, token: usize) -> bool {
        self.addresses
            .get(key)
            .is_some_and(|ifaddr| ifaddr.token() == token)
    }

    fn valid(&self, dev: &NetDevice) -> Option<Arc<Ifnet>> {
        let ifnet = &self.devices.get(&dev.key())?.ifnet;
        (self.open && ifnet.state().is_valid()).then(|| ifnet.clone())
    }
}

/// Frees a node, and tells of the cut. Any context, without the lock.
fn announce(removed: Option<RBTreeNode<AddressKey, Arc<Ifaddr>>>) {
    if let Some(node) = removed {
        let (_, ifaddr) = node.to_key_value();
        ifaddr.announce_cut();
    }
}

/// The errno of a reason: ENODEV (detached), EADDRNOTAVAIL (address removed), EXDEV (moved).
pub fn errno(reason: Invalid) -> Error {
    match reason {
        Invalid::Detached => ENODEV,
        Invalid::AddressRemoved => compat::eaddrnotavail(),
        Invalid::Moved => EXDEV,
    }
}
