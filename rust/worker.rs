// SPDX-License-Identifier: GPL-2.0

//! The worker: what must not be done in a notifier.
//!
//! One ordered work item makes and removes folders in sysfs, cuts the links of ifaddrs whose
//! interface has gone, waits for the grace period before an ifnet's memory is given back, listens
//! on the buses of adopted devices, and adopts what was missed. Nobody waits for it but the
//! module's exit.

use crate::{
    adopt,
    ffi::{
        inet::Address,
        net_namespace::Net,
        notifier::{
            BusChain,
            Listening, //
        },
        rtnetlink::Rtnl, //
    },
    ifaddr::Ifaddr,
    ifnet::Ifnet,
    lifecycle::{
        self,
        Invalid, //
    },
    platform::Kernel,
    registry::Registry, //
};
use kernel::{
    impl_has_delayed_work,
    impl_has_work,
    list::{
        List,
        ListArc, //
    },
    prelude::*,
    sync::Arc,
    time::msecs_to_jiffies,
    workqueue::WorkItem, //
};

/// Milliseconds until a missed adoption is tried again.
const HEAL_MS: u32 = 200;

/// What waits for the worker. Each object is on its list at most once.
#[derive(Default)]
pub struct Pending {
    ifnets: List<Ifnet, 0>,
    ifaddrs: List<Ifaddr, 0>,
    /// A namespace died: shells that are left of it move to the initial one.
    sweep: bool,
}

/// A bus on which ifref listens for unbinding.
struct Watch {
    bus: usize,
    _listening: Pin<KBox<Listening<BusChain, Registry>>>,
}

/// All such buses; the worker's own.
#[derive(Default)]
pub struct Watches(KVec<Watch>);

impl_has_work! {
    impl HasWork<Self, 0> for Registry { self.work }
}
impl_has_delayed_work! {
    impl HasDelayedWork<Self, 1> for Registry { self.heal }
}

impl WorkItem<0> for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.tidy();
    }
}

impl WorkItem<1> for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let rtnl = Rtnl::lock();
        if adopt::everything(&this, &rtnl).is_err() {
            this.heal_soon();
        }
    }
}

impl Registry {
    /// Hands an ifnet to the worker. Any context.
    pub fn pend_ifnet(self: &Arc<Self>, ifnet: &Arc<Ifnet>) {
        // Creating the ListArc under the lock: the worker gives it up under the same lock before
        // it looks at the object, so either it is on the list or the worker has yet to look.
        let mut pending = self.pending.lock();
        if let Some(item) = ListArc::try_from_arc_or_drop(ifnet.clone()) {
            pending.ifnets.push_back(item);
        }
        drop(pending);
        self.wake();
    }

    /// Hands an ifaddr to the worker. Any context.
    pub fn pend_ifaddr(self: &Arc<Self>, ifaddr: &Arc<Ifaddr>) {
        let mut pending = self.pending.lock();
        if let Some(item) = ListArc::try_from_arc_or_drop(ifaddr.clone()) {
            pending.ifaddrs.push_back(item);
        }
        drop(pending);
        self.wake();
    }

    /// Has the worker look for shells of dead namespaces. Any context.
    pub fn pend_sweep(self: &Arc<Self>) {
        self.pending.lock().sweep = true;
        self.wake();
    }

    fn wake(self: &Arc<Self>) {
        // An error says that it is queued already.
        let _ = self.queue.queue().enqueue::<Arc<Self>, 0>(self.clone());
    }

    /// Tries missed adoptions again soon. Any context.
    pub fn heal_soon(self: &Arc<Self>) {
        if !self.is_open() {
            return;
        }
        let _ = self
            .queue
            .queue()
            .enqueue_delayed::<Arc<Self>, 1>(self.clone(), msecs_to_jiffies(HEAL_MS));
    }

    fn pop_ifnet(&self) -> Option<Arc<Ifnet>> {
        let mut pending = self.pending.lock();
        Some(pending.ifnets.pop_front()?.into_arc())
    }

    fn pop_ifaddr(&self) -> Option<Arc<Ifaddr>> {
        let mut pending = self.pending.lock();
        Some(pending.ifaddrs.pop_front()?.into_arc())
    }

    fn tidy(self: &Arc<Self>) {
        let mut doomed: List<Ifnet, 1> = List::new();
        while let Some(ifnet) = self.pop_ifnet() {
            if ifnet.retired() {
                if let Some(item) = ListArc::try_from_arc_or_drop(ifnet) {
                    doomed.push_back(item);
                }
                continue;
            }
            if !ifnet.state().is_valid() {
                self.let_go(&ifnet);
            }
            self.shell_ifnet(&ifnet);
        }
        if !doomed.is_empty() {
            lifecycle::bury::<Kernel, _>(doomed, |doomed| {
                for ifnet in doomed {
                    self.let_go(&ifnet);
                    self.unshell_ifnet(&ifnet);
                }
            });
        }
        while let Some(ifaddr) = self.pop_ifaddr() {
            self.shell_ifaddr(&ifaddr);
        }
        let sweep = core::mem::take(&mut self.pending.lock().sweep);
        if sweep {
            self.sweep();
        }
    }

    /// Cuts the links of all ifaddrs of an interface that is going.
    fn let_go(&self, ifnet: &Ifnet) {
        self.remove_addresses(ifnet.serial(), Address::MIN, Invalid::Detached);
    }

    /// Makes the folder of a live ifnet, in its namespace, and the link from the device's.
    fn shell_ifnet(self: &Arc<Self>, ifnet: &Arc<Ifnet>) {
        let mut shell = ifnet.shell().lock();
        let net = ifnet.identity().net;
        if shell.folder.as_ref().is_none_or(|(_, shown)| *shown != net) {
            shell.folder = None;
            shell.linked = false;
            match self.tree.ifnet(ifnet, &net) {
                Ok(folder) => shell.folder = Some((folder, net)),
                Err(err) => self.again_if_no_memory(err),
            }
        }
        if !shell.linked && ifnet.state().is_valid() {
            let rtnl = Rtnl::lock();
            if let (Some(dev), Some((folder, _))) = (ifnet.registered_device(&rtnl), &shell.folder)
            {
                // One of an earlier ifnet may be left, if the device outlived its driver.
                dev.sysfs_unlink(&rtnl);
                let done = dev.sysfs_link(&rtnl, folder.folder());
                shell.linked = done != Err(ENOMEM);
                let _ = done.map_err(|err| self.again_if_no_memory(err));
            }
        }
        if let Some(parent) = ifnet.parent().filter(|parent| parent.bus != 0) {
            let _ = self
                .watch(parent.bus)
                .map_err(|err| self.again_if_no_memory(err));
        }
    }

    /// What lacked memory is tried again. Other errors stay: the device's own folder may have gone
    /// with its parent's, for one.
    fn again_if_no_memory(self: &Arc<Self>, err: Error) {
        if err == ENOMEM {
            self.missed();
        }
    }

    fn unshell_ifnet(&self, ifnet: &Ifnet) {
        let shell = core::mem::take(&mut *ifnet.shell().lock());
        drop(shell);
    }

    /// Makes the folder of an ifaddr, or removes it when nobody needs it any more.
    fn shell_ifaddr(self: &Arc<Self>, ifaddr: &Arc<Ifaddr>) {
        let mut shell = ifaddr.shell().lock();
        if self.forget_if_idle(ifaddr) {
            shell.folder = None;
            return;
        }
        if !shell.net.alive() {
            let initial = Net::initial();
            if shell.net != initial {
                shell.net = initial;
                shell.folder = None;
            }
        }
        if shell.folder.is_none() {
            match self.tree.ifaddr(ifaddr, &shell.net) {
                Ok(folder) => shell.folder = Some(folder),
                Err(err) => self.again_if_no_memory(err),
            }
        }
    }

    fn sweep(self: &Arc<Self>) {
        let mut from = 0;
        while let Some(ifaddr) = self.next_ifaddr(from) {
            from = ifaddr.id() + 1;
            self.shell_ifaddr(&ifaddr);
        }
    }

    /// Listens on a bus, from now on until the module's exit.
    ///
    /// The bus is only compared. If it goes, and another one comes to the same address, that one is
    /// not listened to: its devices lose VALID at a later sign.
    fn watch(self: &Arc<Self>, bus: usize) -> Result {
        let mut watches = self.watches.lock();
        if watches.0.iter().any(|watch| watch.bus == bus) {
            return Ok(());
        }
        watches.0.reserve(1, GFP_KERNEL)?;
        let listening = KBox::pin_init(Listening::new(BusChain(bus), self.clone()), GFP_KERNEL)?;
        let watch = Watch {
            bus,
            _listening: listening,
        };
        Ok(watches.0.push(watch, GFP_KERNEL)?)
    }

    /// Ends everything: nobody submits any more. Sleeps, one grace period or so.
    pub fn end(self: &Arc<Self>) {
        let watches = core::mem::take(&mut *self.watches.lock());
        drop(watches);
        self.for_each_ifnet(|ifnet| self.finish(ifnet));
        // What began before the registry was closed may still have asked for healing.
        self.queue.flush();
        // It runs at once and finds the registry closed.
        self.queue.flush_delayed(&self.heal);
        self.queue.drain();
    }
}
