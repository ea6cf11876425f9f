// SPDX-License-Identifier: GPL-2.0

//! The ifnet: ifref's shell around one `net_device`.

use crate::{
    ffi::{
        kobject::FolderOf,
        net_namespace::Net,
        netdevice::{
            Hold,
            NetDevice,
            Parent,
            Pinned,
            Stats,
            NAME_SIZE, //
        },
        rtnetlink::Rtnl,
        spinlock::{
            new_irq_lock,
            IrqLock, //
        },
        trace, //
    },
    ledger::LEDGER,
    lifecycle::{
        self,
        Cause,
        Followed,
        Invalid,
        State,
        Target, //
    },
    platform::Kernel,
    registry::Registry,
    text::Text, //
};
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
        atomic::{Atomic, Relaxed},
        rcu,
        Arc,
        Mutex, //
    },
    time::{Instant, Monotonic}, //
};

/// What can change while an interface lives.
#[derive(Clone)]
pub struct Identity {
    /// The name.
    pub name: Text<NAME_SIZE>,
    /// The index.
    pub ifindex: i32,
    /// The network namespace that it is in, or was in last.
    pub net: Net,
}

impl Identity {
    /// The identity that `dev` has now. Under RTNL.
    pub fn of(dev: &NetDevice) -> Self {
        Self {
            name: dev.name(),
            ifindex: dev.ifindex(),
            net: dev.net(),
        }
    }
}

/// What the worker keeps with an ifnet.
#[derive(Default)]
pub struct Shell {
    /// Its folder in sysfs and the namespace that this shows in.
    pub folder: Option<(FolderOf<Ifnet>, Net)>,
    /// Whether the link from the device's own folder leads to it.
    pub linked: bool,
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
pub struct Ifnet {
    serial: u64,
    state: State<Kernel>,
    dev: Pinned,
    parent: Option<Parent>,
    driver: Text<32>,
    bus_path: Text<64>,
    adopted: Instant<Monotonic>,
    // Nanoseconds after `adopted`.
    invalidated: Atomic<i64>,
    retired: Atomic<bool>,
    registry: Arc<Registry>,
    #[pin]
    hold: IrqLock<Option<Hold>>,
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

impl Target<Kernel> for Ifnet {
    #[inline]
    fn state(&self) -> &State<Kernel> {
        &self.state
    }

    #[inline]
    unsafe fn registered(&self) -> bool {
        // SAFETY: the caller's read section has seen VALID: by the invariant of VALID the device
        // exists until the section ends.
        unsafe { self.dev.get() }.registered()
    }
}

impl Ifnet {
    /// Makes the shell of `dev` and takes the hold. Under RTNL, while registered; sleeps.
    pub fn new(registry: &Arc<Registry>, serial: u64, dev: &NetDevice) -> Result<Arc<Self>> {
        let parent = dev.parent();
        let driver = dev.driver();
        let bus_path = dev.bus_path();
        let identity = Identity::of(dev);
        let ifnet = Arc::pin_init(
            pin_init!(Self {
                serial,
                state: State::default(),
                dev: Pinned::new(dev),
                parent,
                driver,
                bus_path,
                adopted: Instant::now(),
                invalidated: Atomic::new(0),
                retired: Atomic::new(false),
                registry: registry.clone(),
                hold <- new_irq_lock!(None, "ifref_hold"),
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
        *ifnet.hold.lock() = Some(dev.hold());
        // INVARIANT: valid, with the hold.
        ifnet.state.publish();
        let now = ifnet.identity();
        trace::adopt(
            serial,
            now.name.as_c_str(),
            now.ifindex,
            now.net.inum(),
            ifnet.driver.as_c_str(),
        );
        Ok(ifnet)
    }

    /// The serial: 64 bits, never used again.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The device's address, to compare.
    pub fn key(&self) -> usize {
        self.dev.key()
    }

    /// The parent device, to compare.
    pub fn parent(&self) -> Option<Parent> {
        self.parent
    }

    /// The state word.
    pub fn state(&self) -> &State<Kernel> {
        &self.state
    }

    /// The driver's name when the device was adopted.
    pub fn driver(&self) -> &str {
        self.driver.as_str()
    }

    /// The parent's bus and name when the device was adopted.
    pub fn bus_path(&self) -> &str {
        self.bus_path.as_str()
    }

    /// Milliseconds since adoption.
    pub fn age_ms(&self) -> i64 {
        self.adopted.elapsed().as_millis()
    }

    /// Name, index and namespace. Any context.
    pub fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// Follows a rename or a move. Under RTNL.
    pub fn identify(&self, dev: &NetDevice) {
        let now = Identity::of(dev);
        let before = core::mem::replace(&mut *self.identity.lock(), now);
        drop(before);
    }

    /// How many references holders have to its addresses, while it is valid. Any context.
    pub fn references(&self) -> u64 {
        self.registry.references_to(self.serial)
    }

    /// What the worker keeps with it. Sleeps.
    pub fn shell(&self) -> &Mutex<Shell> {
        &self.shell
    }

    /// Checks VALID of the interface itself. Any context but NMI.
    pub fn live<'g>(&'g self, section: &'g rcu::Guard) -> Result<Live<'g>, Invalid> {
        lifecycle::check(self, section).map(Live::new)
    }

    /// The device, if it is valid and registered: it stays registered until RTNL is released.
    pub fn registered_device<'r>(&'r self, _rtnl: &'r Rtnl) -> Option<&'r NetDevice> {
        if !self.state.is_valid() {
            return None;
        }
        // SAFETY: The device existed when VALID was seen, by the type's invariant. Whoever takes
        // VALID away without RTNL (an unbind) still needs RTNL to unregister the device.
        let dev = unsafe { self.dev.get() };
        dev.registered().then_some(dev)
    }

    /// Takes VALID away for `cause` and drops the hold, at once. Idempotent. Process context.
    pub fn invalidate(self: &Arc<Self>, cause: Cause) {
        if !self.state.invalidate(cause) {
            return;
        }
        self.invalidated
            .store(self.adopted.elapsed().as_nanos(), Relaxed);
        let hold = self.hold.lock().take();
        drop(hold);
        trace::invalidate(self.serial, self.identity().name.as_c_str(), cause.name());
        self.registry.pend_ifnet(self);
    }

    /// Says that the removal has ended, and gives the shell to the worker for good. Idempotent.
    ///
    /// Any context; VALID was taken away before.
    pub fn retire(self: &Arc<Self>) {
        if self.retired.xchg(true, kernel::sync::atomic::Full) {
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
    pub fn retired(&self) -> bool {
        self.retired.load(kernel::sync::atomic::Acquire)
    }
}

#[pinned_drop]
impl PinnedDrop for Ifnet {
    fn drop(self: Pin<&mut Self>) {
        LEDGER.ifnets.end();
    }
}

/// An interface inside a read section that has seen it valid: it cannot be freed, nor lose its
/// operations' preconditions, before the section ends; it may lose VALID.
pub struct Live<'g> {
    dev: &'g NetDevice,
    serial: u64,
}

impl<'g> Live<'g> {
    pub(crate) fn new(followed: Followed<'g, Ifnet>) -> Self {
        let ifnet = followed.target();
        Self {
            // SAFETY: `followed` is evidence that the read section `'g` has seen the ifnet valid
            // and registered: by the invariant of VALID the device exists until it ends.
            dev: unsafe { ifnet.dev.get() },
            serial: ifnet.serial,
        }
    }

    /// The ifnet's serial.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// A copy of the name.
    pub fn name(&self) -> Text<NAME_SIZE> {
        self.dev.name()
    }

    /// The index.
    pub fn ifindex(&self) -> i32 {
        self.dev.ifindex()
    }

    /// The largest payload in bytes.
    pub fn mtu(&self) -> u32 {
        self.dev.mtu()
    }

    /// `IFF_*` as user space sees them.
    pub fn flags(&self) -> u32 {
        self.dev.flags()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.dev.stats()
    }

    /// References to the device that were not made through ifref: without ifref's one hold and
    /// the network core's own one.
    pub fn kernel_references(&self) -> i32 {
        (self.dev.refs() - 2).max(0)
    }
}
