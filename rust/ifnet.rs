// SPDX-License-Identifier: GPL-2.0

//! The ifnet: ifref's shell around one `net_device`.

use crate::{
    devd::{
        Devd,
        Object, //
    },
    driver,
    entered::{
        self,
        Told, //
    },
    ffi::{
        driven,
        kobject::FolderOf,
        net_namespace::Net,
        netdevice::{
            Hold,
            NetDevice,
            Pinned,
            NAME_SIZE, //
        },
        parent::{
            Parent,
            Place,
            Placed, //
        },
        rtnetlink::Rtnl,
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
        trace, //
    },
    ifaddr::Ifaddr,
    ledger::LEDGER,
    lifecycle::{
        self,
        Cause,
        Followed,
        Invalid,
        Linked,
        State,
        Target, //
    },
    live::Live,
    platform::Kernel,
    registry::Registry,
    text::Text, //
};
use core::ptr;
use kernel::{
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
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        rcu,
        Arc,
        ArcBorrow,
        Mutex, //
    },
    time::{Instant, Monotonic}, //
};

/// What can change while an interface lives.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The name.
    pub name: Text<NAME_SIZE>,
    /// The index.
    pub ifindex: i32,
    /// The network namespace that it is in, or was in last.
    pub net: Net,
}

impl Identity {
    /// The identity that `dev` has now. Under RTNL.
    pub(crate) fn of(dev: &NetDevice) -> Self {
        Self {
            name: dev.name(),
            ifindex: dev.ifindex(),
            net: dev.net(),
        }
    }
}

/// What the worker keeps with an ifnet.
#[derive(Default)]
pub(crate) struct Shell {
    /// Its folder in sysfs and the namespace that this shows in.
    pub folder: Option<(FolderOf<Ifnet>, Net)>,
    /// Whether the link from the device's own folder leads to it.
    pub linked: bool,
    /// Whether it was told that the removal is stuck.
    pub stuck: bool,
}

/// The wrapper of one `net_device`: own memory, a serial that is never used again, the state word,
/// and the one hold.
///
/// # Invariants
///
/// - `dev` exists while the state is valid, for `hold` is dropped only after VALID was taken away;
///   what a read section may do with it is said on [`lifecycle::Link`].
/// - Memory: an `Arc` of it goes to the worker's list of the doomed, where it stays until every
///   ifaddr's link to it is cut and a grace period has passed.
#[pin_data(PinnedDrop)]
pub(crate) struct Ifnet {
    serial: u64,
    state: State<Kernel>,
    dev: Pinned,
    /// The addresses of its parent and of that one's bus, to compare. The kernel moves it to no other.
    parent: Option<(usize, usize)>,
    adopted: Instant<Monotonic>,
    // Nanoseconds after `adopted`.
    invalidated: Atomic<i64>,
    retired: Atomic<bool>,
    registry: Arc<Registry>,
    by_device: Atomic<*const Ifnet>,
    // Its link-layer ifaddr; null, or on the registry's map.
    link_ifaddr: Atomic<*const Ifaddr>,
    entered: Atomic<i32>,
    /// The uses that are to be told when VALID goes.
    #[pin]
    told: IrqLock<Told>,
    /// Whether its driver is one of ifref's, which then waits for uses in the kernel's place.
    is_driven: bool,
    /// What that driver has attached, until its end.
    #[pin]
    object: IrqLock<Option<Arc<Object>>>,
    /// With its parent, which VALID keeps, too.
    #[pin]
    hold: IrqLock<Option<(Hold, Option<Parent>)>>,
    /// As last seen.
    #[pin]
    place: IrqLock<Place>,
    #[pin]
    identity: IrqLock<Identity>,
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
    impl ListArcSafe<0> for Ifnet { tracked_by pending: AtomicTracker<0>; }
    impl ListArcSafe<1> for Ifnet { tracked_by doomed: AtomicTracker<1>; }
}
impl_list_item! {
    impl ListItem<0> for Ifnet { using ListLinks { self.pending_links }; }
    impl ListItem<1> for Ifnet { using ListLinks { self.doomed_links }; }
}

impl Linked<Kernel, 0> for Ifnet {
    fn next(&self) -> &Atomic<*const Ifnet> {
        &self.by_device
    }
}

impl Target<Kernel> for Ifnet {
    #[inline]
    fn state(&self) -> &State<Kernel> {
        &self.state
    }

    #[inline]
    unsafe fn registered(&self) -> bool {
        // SAFETY: the caller's read section has seen VALID: by the invariant of VALID the device
        // exists until the section ends.
        unsafe { self.dev.registered() }
    }
}

impl Ifnet {
    /// Makes the shell of `dev` and takes the hold. Under RTNL, while registered; sleeps.
    pub(crate) fn new(
        registry: &Arc<Registry>,
        serial: u64,
        dev: &NetDevice,
        parent: Option<Parent>,
    ) -> Result<Arc<Self>> {
        // SAFETY: under RTNL, while registered.
        let place = unsafe { Placed::new(dev) }.look();
        let identity = Identity::of(dev);
        let addresses = parent.as_ref().map(|parent| (parent.key(), parent.bus()));
        let object = driven::object_of(dev);
        let ifnet = Arc::pin_init(
            pin_init!(Self {
                serial,
                state: State::default(),
                dev: Pinned::new(dev),
                parent: addresses,
                adopted: Instant::now(),
                invalidated: Atomic::new(0),
                retired: Atomic::new(false),
                registry: registry.clone(),
                by_device: Atomic::new(ptr::null()),
                link_ifaddr: Atomic::new(ptr::null()),
                entered: Atomic::new(0),
                told <- new_irq_lock!(Told::default(), "ifref_told"),
                is_driven: object.is_some(),
                object <- new_irq_lock!(object, "ifref_object"),
                hold <- new_irq_lock!(None, "ifref_hold"),
                place <- new_irq_lock!(place, "ifref_place"),
                identity <- new_irq_lock!(identity, "ifref_identity"),
                shell <- new_mutex!(Shell::default()),
                pending <- AtomicTracker::new(),
                pending_links <- ListLinks::new(),
                doomed <- AtomicTracker::new(),
                doomed_links <- ListLinks::new(),
            }),
            GFP_KERNEL,
        )?;
        LEDGER.ifnets.make();
        *ifnet.hold.lock() = Some((dev.hold(GFP_KERNEL), parent));
        LEDGER.holds.make();
        // INVARIANT: valid, with the hold.
        ifnet.state.publish();
        let now = ifnet.identity();
        trace::adopt(
            serial,
            now.name.as_c_str(),
            now.ifindex,
            now.net.inum(),
            place.driver.as_c_str(),
        );
        if let Some(object) = ifnet.object() {
            driver::adopted(&object, &ifnet);
        }
        Ok(ifnet)
    }

    /// The serial: 64 bits, never used again.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The device's address, to compare.
    pub(crate) fn key(&self) -> usize {
        self.dev.key()
    }

    /// The address of the parent device that it keeps, to compare.
    pub(crate) fn parent(&self) -> Option<usize> {
        self.parent.map(|(parent, _)| parent)
    }

    /// The address of that one's bus, to compare.
    pub(crate) fn bus(&self) -> Option<usize> {
        self.parent.map(|(_, bus)| bus).filter(|bus| *bus != 0)
    }

    /// The parent device itself, while it is valid. Any context.
    pub(crate) fn kept_parent(&self) -> Option<Parent> {
        self.hold.lock().as_ref()?.1.clone()
    }

    /// The state word.
    pub(crate) fn state(&self) -> &State<Kernel> {
        &self.state
    }

    /// The driver's name, else the kind of link, else "none"; as last asked for while it was valid.
    /// Sleeps.
    pub(crate) fn driver(&self) -> Text<32> {
        self.place().driver
    }

    /// The parent's bus and name, or "virtual"; as last asked for while it was valid. Sleeps.
    pub(crate) fn bus_path(&self) -> Text<64> {
        self.place().bus_path
    }

    fn place(&self) -> Place {
        let placed = {
            let section = rcu::read_lock();
            self.live(&section).ok().map(|live| live.placed())
        };
        if let Some(placed) = placed {
            let now = placed.look();
            *self.place.lock() = now;
        }
        *self.place.lock()
    }

    /// Milliseconds since adoption.
    pub(crate) fn age_ms(&self) -> i64 {
        self.adopted.elapsed().as_millis()
    }

    /// Name, index and namespace. Any context.
    pub(crate) fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// The name, as of the last rename. Any context.
    pub(crate) fn name(&self) -> Text<NAME_SIZE> {
        self.identity.lock().name
    }

    /// Follows a rename or a move. Under RTNL.
    pub(crate) fn identify(&self, dev: &NetDevice) {
        let now = Identity::of(dev);
        let before = core::mem::replace(&mut *self.identity.lock(), now);
        drop(before);
    }

    /// How many references holders have to its addresses, while it is valid. Any context.
    pub(crate) fn references(&self) -> u64 {
        self.registry.references_to(self.serial)
    }

    /// Its link-layer ifaddr, unless it is being changed. Any context but NMI.
    pub(crate) fn link_ifaddr<'g>(&'g self, _section: &'g rcu::Guard) -> Option<&'g Ifaddr> {
        // SAFETY: an ifaddr is freed a grace period after it was taken off the map, and it is
        // taken away here before that.
        unsafe { self.link_ifaddr.load(Acquire).as_ref() }
    }

    /// Says which is its link-layer ifaddr: one on the registry's map. For the registry, under its
    /// lock.
    pub(crate) fn set_link_ifaddr(&self, ifaddr: &Ifaddr) {
        self.link_ifaddr.store(ptr::from_ref(ifaddr), Release);
    }

    /// Says that `ifaddr` is being taken off that map. For the registry, under its lock.
    pub(crate) fn forget_link_ifaddr(&self, ifaddr: &Ifaddr) {
        let _ = self.link_ifaddr.cmpxchg(ifaddr, ptr::null(), Full);
    }

    /// Counts a use that sleeps. Any context.
    pub(crate) fn entered(&self) {
        self.entered.add(1, Relaxed);
    }

    /// Counts the end of one. Any context.
    pub(crate) fn left(&self) {
        self.entered.add(-1, Relaxed);
    }

    /// The uses that are to be told when VALID goes.
    pub(crate) fn told(&self) -> &IrqLock<Told> {
        &self.told
    }

    /// What the worker keeps with it. Sleeps.
    pub(crate) fn shell(&self) -> &Mutex<Shell> {
        &self.shell
    }

    /// Checks VALID of the interface itself. Any context but NMI.
    pub(crate) fn live<'g>(&'g self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        lifecycle::check(self, section).map(Live::new)
    }

    /// The device, if it is valid and registered: it stays registered until RTNL is released.
    pub(crate) fn registered_device<'r>(&'r self, _rtnl: &'r Rtnl) -> Option<&'r NetDevice> {
        if !self.state.is_valid() {
            return None;
        }
        // SAFETY: The device existed when VALID was seen, by the type's invariant. Whoever takes
        // VALID away without RTNL (an unbind) still needs RTNL to unregister the device.
        let dev = unsafe { self.dev.get() };
        dev.registered().then_some(dev)
    }

    /// How many other interfaces its parent has. Any context.
    pub(crate) fn siblings(&self) -> usize {
        let children = self
            .parent
            .map_or(0, |(parent, _)| self.registry.children(parent));
        children.saturating_sub(1)
    }

    /// What attaches and detaches. Any context.
    pub(crate) fn devd(&self) -> &Arc<Devd> {
        self.registry.devd()
    }

    /// Whether its driver is one of ifref's.
    pub(crate) fn is_driven(&self) -> bool {
        self.is_driven
    }

    /// What that driver has attached, until its end. Any context.
    pub(crate) fn object(&self) -> Option<Arc<Object>> {
        self.object.lock().clone()
    }

    /// Tells who listens to its folder that its removal is stuck; that this is over is told when the
    /// folder goes. Sleeps.
    pub(crate) fn announce_stuck(&self) {
        let mut shell = self.shell.lock();
        shell.stuck = self.announce(&shell, c"stuck");
    }

    /// Takes its shell apart: what the worker does last.
    pub(crate) fn unshell(&self) {
        let shell = core::mem::take(&mut *self.shell.lock());
        if shell.stuck {
            self.announce(&shell, c"over");
        }
    }

    fn announce(&self, shell: &Shell, event: &CStr) -> bool {
        if let Some((folder, _)) = &shell.folder {
            let name = self.identity().name;
            folder.folder().announce(c"state", name.as_c_str(), event);
        }
        shell.folder.is_some()
    }

    /// The end of that. Any context.
    pub(crate) fn let_object_go(&self) {
        let object = self.object.lock().take();
        drop(object);
    }

    /// Takes VALID away for `cause`, and no more: [`Self::invalidate`] is to be called soon. Any
    /// context but NMI; one compare-and-exchange.
    pub(crate) fn invalidate_only(&self, cause: Cause) {
        let _ = self.state.invalidate(cause);
    }

    /// Takes VALID away for `cause`, unless that was done, and drops the hold, at once. Idempotent.
    /// Process context.
    pub(crate) fn invalidate(self: &Arc<Self>, cause: Cause) {
        self.invalidate_only(cause);
        entered::tell(&self.told);
        let hold = self.hold.lock().take();
        if hold.is_none() {
            return;
        }
        drop(hold);
        self.invalidated
            .store(self.adopted.elapsed().as_nanos(), Relaxed);
        LEDGER.holds.end();
        trace::invalidate(
            self.serial,
            self.identity().name.as_c_str(),
            self.state.cause().name(),
        );
        self.registry.pend_ifnet(self);
    }

    /// The device of an ifnet that was followed.
    #[inline]
    pub(crate) fn followed<'g>(followed: &Followed<'g, Self>) -> &'g NetDevice {
        // SAFETY: `followed` is evidence that the read section `'g` has seen the ifnet valid and
        // registered.
        unsafe { followed.target().device() }
    }

    /// The device.
    ///
    /// # Safety
    ///
    /// The read section `'g` has seen the ifnet valid and registered.
    #[inline]
    pub(crate) unsafe fn device<'g>(&'g self) -> &'g NetDevice {
        // SAFETY: the caller's promise: by the invariant of VALID the device exists until the read
        // section ends.
        unsafe { self.dev.get() }
    }

    /// Keeps one that is alive in a read section. Any context.
    pub(crate) fn keep(live: &Live<'_>) -> Arc<Self> {
        // SAFETY: an ifnet is always in an `Arc`, and the worker keeps one until a grace period has
        // passed after the last link to it was cut.
        unsafe { ArcBorrow::from_raw(live.ifnet()) }.into()
    }

    /// Uses that sleep, each with a hold of its own. Any context.
    pub(crate) fn uses(&self) -> i32 {
        self.entered.load(Relaxed)
    }

    /// Says that the removal has ended, and gives the shell to the worker for good. Idempotent.
    ///
    /// Any context; VALID was taken away before.
    pub(crate) fn retire(self: &Arc<Self>) {
        if self.retired.xchg(true, Full) {
            return;
        }
        self.state.advance(lifecycle::Phase::Freed);
        let lead = self.adopted.elapsed().as_nanos() - self.invalidated.load(Relaxed);
        trace::free(
            self.serial,
            self.identity().name.as_c_str(),
            self.state.cause().name(),
            lead.max(0) as u64,
        );
        self.registry.pend_ifnet(self);
    }

    /// Whether [`Self::retire`] was called. Any context.
    pub(crate) fn retired(&self) -> bool {
        self.retired.load(Acquire)
    }
}

#[pinned_drop]
impl PinnedDrop for Ifnet {
    fn drop(self: Pin<&mut Self>) {
        LEDGER.ifnets.end();
    }
}
