// SPDX-License-Identifier: GPL-2.0

//! The ifaddr, which holders refer to.

use crate::{
    ffi::{
        inet::Address,
        kobject::FolderOf,
        net_namespace::Net,
        netdevice::NAME_SIZE,
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
        trace, //
    },
    holder::Holder,
    ifnet::Ifnet,
    ledger::LEDGER,
    lifecycle::{
        Chain,
        Invalid,
        Link,
        Linked, //
    },
    live::Live,
    lookup::IfaddrId,
    platform::Kernel,
    registry::Registry,
    stake::{
        Stake,
        OF_IFADDR, //
    },
    text::Text, //
};
use core::ptr;
use kernel::{
    alloc::Flags,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        ListLinks,
        TryNewListArc, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::Atomic,
        rcu,
        Arc,
        ArcBorrow,
        Mutex, //
    },
};

/// What the worker keeps with an ifaddr.
pub(crate) struct Shell {
    /// The namespace that it shows in.
    pub net: Net,
    /// Its folder in sysfs.
    pub folder: Option<FolderOf<Ifaddr>>,
    /// Its stakes were switched to exact counting.
    pub closing: bool,
    /// It was taken off the map of those shown.
    pub forgotten: bool,
}

/// One address of an interface: own memory, which outlives the interface as long as somebody
/// refers to it, and a link that is cut when the address or the interface goes.
///
/// # Invariants
///
/// It is freed a grace period after the worker took it off the registry's maps, for which the
/// worker keeps an `Arc`; or nobody has ever seen it.
#[pin_data(PinnedDrop)]
pub(crate) struct Ifaddr {
    id: u64,
    serial: u64,
    address: Address,
    token: usize,
    link: Link<Kernel, Ifnet>,
    net: Net,
    // The interface's name when the link was cut.
    #[pin]
    was_on: IrqLock<Text<NAME_SIZE>>,
    stakes: Chain<Kernel, Stake, OF_IFADDR>,
    by_id: Atomic<*const Ifaddr>,
    by_host: Atomic<*const Ifaddr>,
    registry: Arc<Registry>,
    #[pin]
    shell: Mutex<Shell>,
    #[pin]
    pending: AtomicTracker<0>,
    #[pin]
    pending_links: ListLinks<0>,
    #[pin]
    doomed: AtomicTracker<1>,
    #[pin]
    doomed_links: ListLinks<1>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Ifaddr { tracked_by pending: AtomicTracker<0>; }
    impl ListArcSafe<1> for Ifaddr { tracked_by doomed: AtomicTracker<1>; }
}
impl_list_item! {
    impl ListItem<0> for Ifaddr { using ListLinks { self.pending_links }; }
    impl ListItem<1> for Ifaddr { using ListLinks { self.doomed_links }; }
}

/// The registry's index by id.
pub(crate) const BY_ID: usize = 0;
/// The registry's index by the address itself.
pub(crate) const BY_HOST: usize = 1;

impl Linked<Kernel, BY_ID> for Ifaddr {
    #[inline]
    fn next(&self) -> &Atomic<*const Ifaddr> {
        &self.by_id
    }
}

impl Linked<Kernel, BY_HOST> for Ifaddr {
    fn next(&self) -> &Atomic<*const Ifaddr> {
        &self.by_host
    }
}

impl Ifaddr {
    /// Makes an address of `ifnet`.
    ///
    /// The registry either takes it in while the ifnet is valid, and cuts its link when it takes it
    /// out again, or drops it before anybody has seen it.
    pub(crate) fn new(
        registry: &Arc<Registry>,
        id: u64,
        ifnet: &Arc<Ifnet>,
        address: Address,
        token: usize,
        flags: Flags,
    ) -> Result<Arc<Self>> {
        let net = ifnet.identity().net;
        let shown = net.clone();
        let ifaddr = Arc::pin_init(
            pin_init!(Self {
                id,
                serial: ifnet.serial(),
                address,
                token,
                // SAFETY: an ifnet is doomed, and freed a grace period later, only after the links
                // of all of its ifaddrs in the registry were cut; another one nobody follows.
                link: unsafe { Link::new(&**ifnet) },
                net,
                was_on <- new_irq_lock!(Text::default(), "ifref_was_on"),
                stakes: Chain::default(),
                by_id: Atomic::new(ptr::null()),
                by_host: Atomic::new(ptr::null()),
                registry: registry.clone(),
                shell <- new_mutex!(Shell {
                    net: shown,
                    folder: None,
                    closing: false,
                    forgotten: false,
                }),
                pending <- AtomicTracker::new(),
                pending_links <- ListLinks::new(),
                doomed <- AtomicTracker::new(),
                doomed_links <- ListLinks::new(),
            }),
            flags,
        )?;
        LEDGER.ifaddrs.make();
        Ok(ifaddr)
    }

    /// The id: 64 bits, never used again.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The serial of the ifnet that it is, or was, on.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The address.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Which of the kernel's addresses it was made for, to compare; 0 for link layer.
    pub(crate) fn token(&self) -> usize {
        self.token
    }

    /// Its weak reference.
    pub(crate) fn weak(&self) -> IfaddrId {
        IfaddrId {
            id: self.id,
            serial: self.serial,
        }
    }

    /// The namespace that the interface was in when the address was adopted.
    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    /// The registry that it is in.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What holders have in it. Changed under the lock of [`crate::holder::Holders`].
    pub(crate) fn stakes(&self) -> &Chain<Kernel, Stake, OF_IFADDR> {
        &self.stakes
    }

    /// What `holder` has in it. Any context but NMI; there are few holders.
    #[inline]
    pub(crate) fn stake<'g>(
        &'g self,
        holder: &Holder,
        section: &'g rcu::Guard,
    ) -> Option<&'g Stake> {
        let mut stakes = self.stakes.iter(section);
        stakes.find(|stake| ptr::eq(&**stake.holder(), holder))
    }

    /// How many references holders have. Any context; exact once it is cut off.
    pub(crate) fn references(&self) -> u64 {
        let section = rcu::read_lock();
        self.stakes.iter(&section).map(Stake::references).sum()
    }

    /// Keeps one that was looked up in `section`. Any context.
    pub(crate) fn keep(&self, _section: &rcu::Guard) -> Arc<Self> {
        // SAFETY: an ifaddr is always in an `Arc`; by the type's invariant one exists until the
        // section ends.
        unsafe { ArcBorrow::from_raw(self) }.into()
    }

    /// What the worker keeps with it. Sleeps.
    pub(crate) fn shell(&self) -> &Mutex<Shell> {
        &self.shell
    }

    /// Follows the link: three loads and branches. Any context but NMI.
    #[inline]
    pub(crate) fn follow<'g>(&self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        self.link.follow(section).map(Live::new)
    }

    /// Why it cannot be followed, if it cannot. Any context but NMI.
    pub(crate) fn invalid(&self) -> Option<Invalid> {
        self.follow(&rcu::read_lock()).err()
    }

    /// Whether it is cut off from its interface. Any context.
    pub(crate) fn is_cut(&self) -> bool {
        self.link.is_cut()
    }

    /// Whether nobody needs it any more: cut off, and without stakes. Any context.
    pub(crate) fn idle(&self) -> bool {
        // Under the lock: whoever adds a stake has seen it not cut off, and is seen here; or sees
        // it cut off.
        let _lock = self.registry.holders().lock();
        self.is_cut() && self.stakes.is_empty()
    }

    /// The name of the interface that it is on, or was on when it was cut off. Any context but NMI.
    pub(crate) fn interface(&self) -> Text<NAME_SIZE> {
        let section = rcu::read_lock();
        match self.link.target(&section) {
            Some(ifnet) => ifnet.name(),
            None => *self.was_on.lock(),
        }
    }

    /// Lets go of the interface at once, for `reason`. Any context.
    ///
    /// For the registry, which calls it under its lock when it takes the ifaddr off its map: an
    /// ifnet is doomed only when none of its ifaddrs is there, and so none has a link.
    pub(crate) fn cut(&self, reason: Invalid) {
        self.link.cut_after(reason, |ifnet| {
            ifnet.forget_link_ifaddr(self);
            let name = ifnet.name();
            *self.was_on.lock() = name;
        });
    }

    /// Tells of the cut. Any context.
    pub(crate) fn announce_cut(self: &Arc<Self>) {
        if let Some(reason) = self.link.reason() {
            trace::ifaddr_invalidate(self.id, self.serial, reason.name());
            self.registry.pend_ifaddr(self);
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Ifaddr {
    fn drop(self: Pin<&mut Self>) {
        LEDGER.ifaddrs.end();
    }
}
