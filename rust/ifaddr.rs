// SPDX-License-Identifier: GPL-2.0

//! The ifaddr, which holders refer to, and the references.

use crate::{
    ffi::{
        inet::Address,
        kobject::FolderOf,
        net_namespace::Net,
        trace, //
    },
    ifnet::{
        Ifnet,
        Live, //
    },
    ledger::LEDGER,
    lifecycle::{
        Count,
        Invalid,
        Link, //
    },
    platform::Kernel, //
    registry::Registry,
};
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
        rcu,
        Arc,
        Mutex, //
    },
};

/// What the worker keeps with an ifaddr.
pub struct Shell {
    /// The namespace that it shows in.
    pub net: Net,
    /// Its folder in sysfs.
    pub folder: Option<FolderOf<Ifaddr>>,
}

/// One address of an interface: own memory, which outlives the interface as long as somebody
/// refers to it, and a link that is cut when the address or the interface goes.
#[pin_data(PinnedDrop)]
pub struct Ifaddr {
    id: u64,
    serial: u64,
    address: Address,
    token: usize,
    link: Link<Kernel, Ifnet>,
    refs: Count<Kernel>,
    registry: Arc<Registry>,
    #[pin]
    shell: Mutex<Shell>,
    #[pin]
    pending: AtomicTracker<0>,
    #[pin]
    pending_links: ListLinks<0>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Ifaddr { tracked_by pending: AtomicTracker<0>; }
}
impl_list_item! {
    impl ListItem<0> for Ifaddr { using ListLinks { self.pending_links }; }
}

impl Ifaddr {
    /// Makes an address of `ifnet`.
    ///
    /// The registry either takes it in while the ifnet is valid, and cuts its link when it takes it
    /// out again, or drops it before anybody has seen it.
    pub fn new(
        registry: &Arc<Registry>,
        id: u64,
        ifnet: &Arc<Ifnet>,
        address: Address,
        token: usize,
        flags: Flags,
    ) -> Result<Arc<Self>> {
        let net = ifnet.identity().net;
        let ifaddr = Arc::pin_init(
            pin_init!(Self {
                id,
                serial: ifnet.serial(),
                address,
                token,
                // SAFETY: an ifnet is doomed, and freed a grace period later, only after the links
                // of all of its ifaddrs in the registry were cut; another one nobody follows.
                link: unsafe { Link::new(&**ifnet) },
                refs: Count::default(),
                registry: registry.clone(),
                shell <- new_mutex!(Shell { net, folder: None }),
                pending <- AtomicTracker::new(),
                pending_links <- ListLinks::new(),
            }),
            flags,
        )?;
        LEDGER.ifaddrs.make();
        Ok(ifaddr)
    }

    /// The id: 64 bits, never used again.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The serial of the ifnet that it is, or was, on.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Which of the kernel's addresses it was made for, to compare; 0 for link layer.
    pub fn token(&self) -> usize {
        self.token
    }

    /// How many references holders have. Any context.
    pub fn references(&self) -> u32 {
        self.refs.read()
    }

    /// What the worker keeps with it. Sleeps.
    pub fn shell(&self) -> &Mutex<Shell> {
        &self.shell
    }

    /// Follows the link: three loads and branches. Any context but NMI.
    #[inline]
    pub fn follow<'g>(&self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        self.link.follow(section).map(Live::new)
    }

    /// Why it cannot be followed, if it cannot. Any context but NMI.
    pub fn invalid(&self) -> Option<Invalid> {
        self.follow(&rcu::read_lock()).err()
    }

    /// Whether nobody needs it any more: cut off, and without references. Any context.
    pub fn idle(&self) -> bool {
        self.link.reason().is_some() && self.refs.read() == 0
    }

    /// Lets go of the interface at once, for `reason`. Any context.
    ///
    /// For the registry, which calls it under its lock when it takes the ifaddr off its map: an
    /// ifnet is doomed only when none of its ifaddrs is there, and so none has a link.
    pub fn cut(&self, reason: Invalid) {
        self.link.cut(reason);
    }

    /// Tells of the cut. Any context.
    pub fn announce_cut(self: &Arc<Self>) {
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

/// A counted reference to an [`Ifaddr`]. It pins the ifaddr's own memory, never the interface.
/// Cloning and dropping may be done in any context but NMI.
#[must_use]
pub struct IfaddrRef(Arc<Ifaddr>);

impl IfaddrRef {
    /// Takes a reference; the caller has one already, or holds the registry's lock and has seen
    /// the ifaddr valid under it.
    pub(crate) fn take(ifaddr: &Arc<Ifaddr>) -> Self {
        let refs = ifaddr.refs.get();
        LEDGER.references.make();
        trace::ref_get(ifaddr.id, ifaddr.serial, refs);
        Self(ifaddr.clone())
    }

    /// Follows the reference; it only refuses, the reference stays. Any context but NMI.
    #[inline]
    pub fn try_follow<'g>(&'g self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        self.0.follow(section)
    }
}

impl Clone for IfaddrRef {
    fn clone(&self) -> Self {
        Self::take(&self.0)
    }
}

impl Drop for IfaddrRef {
    fn drop(&mut self) {
        let refs = self.0.refs.put();
        LEDGER.references.end();
        trace::ref_put(self.0.id, self.0.serial, refs);
        // The count is fully ordered: either this sees the cut, or the worker that follows the cut
        // sees the count.
        if refs == 0 && self.0.link.reason().is_some() {
            self.0.registry.pend_ifaddr(&self.0);
        }
    }
}

/// A place for one reference, which a refused follow empties.
pub struct Slot {
    reference: Option<IfaddrRef>,
    reason: Invalid,
}

impl Slot {
    /// A slot that holds `reference`.
    pub fn new(reference: IfaddrRef) -> Self {
        Self {
            reference: Some(reference),
            reason: Invalid::Detached,
        }
    }

    /// The reference, while there is one.
    pub fn reference(&self) -> Option<&IfaddrRef> {
        self.reference.as_ref()
    }

    /// Follows the reference. Refused, it drops the reference in the same step and says why; an
    /// empty slot goes on to say so. Any context but NMI.
    pub fn follow<'g>(&'g mut self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        if let Some(reference) = &self.reference {
            match reference.0.follow(section) {
                Ok(live) => return Ok(live),
                Err(reason) => {
                    trace::refused(reference.0.id, reference.0.serial, reason.name());
                    self.reason = reason;
                }
            }
        }
        self.reference = None;
        Err(self.reason)
    }
}
