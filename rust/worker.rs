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
        percpu::Cpus,
        rtnetlink::Rtnl, //
    },
    holder::Holder,
    ifaddr::Ifaddr,
    ifnet::Ifnet,
    lifecycle::{
        self,
        Invalid, //
    },
    platform::Kernel,
    registry::Registry,
    stake::Stake, //
};
use kernel::{
    impl_has_delayed_work,
    impl_has_work,
    list::{
        List,
        ListArc, //
    },
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    time::msecs_to_jiffies,
    workqueue::WorkItem, //
};

/// Milliseconds until a missed adoption is tried again.
const HEAL_MS: u32 = 200;

/// Milliseconds between two looks at the counts: the resolution of their ages.
const SAMPLE_MS: u32 = 1000;

/// What waits for the worker. Each object is on its list at most once.
#[derive(Default)]
pub(crate) struct Pending {
    ifnets: List<Ifnet, 0>,
    ifaddrs: List<Ifaddr, 0>,
    stakes: List<Stake, 0>,
    holders: List<Holder, 0>,
    /// A namespace died: shells that are left of it move to the initial one.
    sweep: bool,
}

/// What one pass brings to an end, all with one grace period.
#[derive(Default)]
struct Batch {
    /// Their links are cut; then they are freed.
    ifnets: List<Ifnet, 1>,
    /// Cut off: their stakes are switched; then these are folded.
    closing: List<Ifaddr, 1>,
    /// Off the maps; then they are freed.
    ifaddrs: List<Ifaddr, 1>,
    /// Off the chains; then they are freed.
    stakes: List<Stake, 1>,
    /// Unregistered: their stakes are switched; then these are folded.
    leaving: List<Holder, 0>,
    /// Off the chain; then they are freed.
    holders: List<Holder, 1>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.ifnets.is_empty()
            && self.closing.is_empty()
            && self.ifaddrs.is_empty()
            && self.stakes.is_empty()
            && self.leaving.is_empty()
            && self.holders.is_empty()
    }
}

/// A bus on which ifref listens for unbinding.
struct Watch {
    bus: usize,
    _listening: Pin<KBox<Listening<BusChain, Registry>>>,
}

/// All such buses; the worker's own.
#[derive(Default)]
pub(crate) struct Watches(KVec<Watch>);

impl_has_work! {
    impl HasWork<Self, 0> for Registry { self.work }
}
impl_has_delayed_work! {
    impl HasDelayedWork<Self, 1> for Registry { self.heal }
}
impl_has_delayed_work! {
    impl HasDelayedWork<Self, 2> for Registry { self.sample }
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

impl WorkItem<2> for Registry {
    type Pointer = Arc<Self>;

    /// Looks which counts are zero, as long as there are any.
    fn run(this: Arc<Self>) {
        let mut any = false;
        this.holders().for_each(|holder| {
            let section = rcu::read_lock();
            for stake in holder.stakes().iter(&section) {
                stake.references();
                any = true;
            }
        });
        if any {
            this.sample_soon();
        }
    }
}

impl Registry {
    /// Has the worker look which counts are zero, in a second. Any context.
    pub(crate) fn sample_soon(self: &Arc<Self>) {
        if !self.is_open() {
            return;
        }
        let _ = self
            .queue
            .queue()
            .enqueue_delayed::<Arc<Self>, 2>(self.clone(), msecs_to_jiffies(SAMPLE_MS));
    }

    /// Hands an ifnet to the worker. Any context.
    pub(crate) fn pend_ifnet(self: &Arc<Self>, ifnet: &Arc<Ifnet>) {
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
    pub(crate) fn pend_ifaddr(self: &Arc<Self>, ifaddr: &Arc<Ifaddr>) {
        let mut pending = self.pending.lock();
        if let Some(item) = ListArc::try_from_arc_or_drop(ifaddr.clone()) {
            pending.ifaddrs.push_back(item);
        }
        drop(pending);
        self.wake();
    }

    /// Hands a stake to the worker. Any context.
    pub(crate) fn pend_stake(self: &Arc<Self>, stake: Arc<Stake>) {
        let mut pending = self.pending.lock();
        if let Some(item) = ListArc::try_from_arc_or_drop(stake) {
            pending.stakes.push_back(item);
        }
        drop(pending);
        self.wake();
    }

    /// Hands a holder to the worker. Any context.
    pub(crate) fn pend_holder(self: &Arc<Self>, holder: &Arc<Holder>) {
        let mut pending = self.pending.lock();
        if let Some(item) = ListArc::try_from_arc_or_drop(holder.clone()) {
            pending.holders.push_back(item);
        }
        drop(pending);
        self.wake();
    }

    /// Has the worker look for shells of dead namespaces. Any context.
    pub(crate) fn pend_sweep(self: &Arc<Self>) {
        self.pending.lock().sweep = true;
        self.wake();
    }

    fn wake(self: &Arc<Self>) {
        // An error says that it is queued already.
        let _ = self.queue.queue().enqueue::<Arc<Self>, 0>(self.clone());
    }

    /// Tries missed adoptions again soon. Any context.
    pub(crate) fn heal_soon(self: &Arc<Self>) {
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

    fn pop_stake(&self) -> Option<Arc<Stake>> {
        let mut pending = self.pending.lock();
        Some(pending.stakes.pop_front()?.into_arc())
    }

    fn pop_holder(&self) -> Option<Arc<Holder>> {
        let mut pending = self.pending.lock();
        Some(pending.holders.pop_front()?.into_arc())
    }

    /// Passes, until nothing has come to an end: one may bring the next about.
    fn tidy(self: &Arc<Self>) {
        loop {
            let batch = self.gather();
            if batch.is_empty() {
                return;
            }
            lifecycle::bury::<Kernel, _>(
                batch,
                |batch| self.cut(batch),
                |batch| self.end_of(batch),
            );
        }
    }

    /// Looks at all that is pending; returns what is to be ended.
    fn gather(self: &Arc<Self>) -> Batch {
        let mut batch = Batch::default();
        while let Some(ifnet) = self.pop_ifnet() {
            if ifnet.retired() {
                if let Some(item) = ListArc::try_from_arc_or_drop(ifnet) {
                    batch.ifnets.push_back(item);
                }
                continue;
            }
            if !ifnet.state().is_valid() {
                self.let_go(&ifnet);
            }
            self.shell_ifnet(&ifnet);
        }
        for ifnet in batch.ifnets.iter() {
            // Here, so that the stakes of its ifaddrs are in this pass.
            self.let_go(&ifnet);
            ifnet.unshell();
        }
        while let Some(stake) = self.pop_stake() {
            self.shell_stake(stake, &mut batch);
        }
        while let Some(ifaddr) = self.pop_ifaddr() {
            self.shell_ifaddr(ifaddr, &mut batch);
        }
        while let Some(holder) = self.pop_holder() {
            self.shell_holder(holder, &mut batch);
        }
        let sweep = core::mem::take(&mut self.pending.lock().sweep);
        if sweep {
            self.sweep(&mut batch);
        }
        batch
    }

    /// Before the grace period.
    fn cut(&self, batch: &Batch) {
        // Who adds a stake meanwhile has seen its ifaddr not cut off: under this lock the stake is
        // on its chain by now, or is never put there.
        drop(self.holders().lock());
        let section = rcu::read_lock();
        for ifaddr in batch.closing.iter() {
            ifaddr.stakes().iter(&section).for_each(Stake::switch);
        }
        for holder in batch.leaving.iter() {
            holder.stakes().iter(&section).for_each(Stake::switch);
        }
    }

    /// After the grace period.
    fn end_of(self: &Arc<Self>, batch: Batch) {
        let cpus = Cpus::lock();
        let section = rcu::read_lock();
        let fold = |stake: &Stake| stake.fold(&cpus);
        for ifaddr in batch.closing.iter() {
            let folded = ifaddr.stakes().iter(&section).filter_map(fold);
            folded.for_each(|stake| self.pend_stake(stake));
        }
        for holder in batch.leaving.iter() {
            let folded = holder.stakes().iter(&section).filter_map(fold);
            folded.for_each(|stake| self.pend_stake(stake));
        }
        drop(section);
        drop(cpus);
        for holder in batch.leaving.iter() {
            let left = holder.references();
            if left != 0 {
                let name = holder.name().as_str();
                pr_warn!("holder {name} has unregistered and left {left} references behind\n");
            }
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
        if let Some(bus) = ifnet.bus() {
            let _ = self.watch(bus).map_err(|err| self.again_if_no_memory(err));
        }
    }

    /// What lacked memory is tried again. Other errors stay: the device's own folder may have gone
    /// with its parent's, for one.
    fn again_if_no_memory(self: &Arc<Self>, err: Error) {
        if err == ENOMEM {
            self.missed();
        }
    }

    /// Makes the folder of an ifaddr, or removes it when nobody needs it any more.
    fn shell_ifaddr(self: &Arc<Self>, ifaddr: Arc<Ifaddr>, batch: &mut Batch) {
        let mut shell = ifaddr.shell().lock();
        if shell.forgotten {
            return;
        }
        if self.forget_if_idle(&ifaddr) {
            shell.forgotten = true;
            shell.folder = None;
            drop(shell);
            if let Some(item) = ListArc::try_from_arc_or_drop(ifaddr) {
                batch.ifaddrs.push_back(item);
            }
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
            match self.tree.ifaddr(&ifaddr, &shell.net) {
                Ok(folder) => shell.folder = Some(folder),
                Err(err) => self.again_if_no_memory(err),
            }
        }
        if ifaddr.is_cut() && !shell.closing {
            shell.closing = true;
            drop(shell);
            if let Some(item) = ListArc::try_from_arc_or_drop(ifaddr) {
                batch.closing.push_back(item);
            }
        }
    }

    /// Makes the folder of a stake, or takes the stake off when nothing is left of it.
    fn shell_stake(self: &Arc<Self>, stake: Arc<Stake>, batch: &mut Batch) {
        let mut shell = stake.shell().lock();
        if shell.reaped {
            return;
        }
        if stake.over() {
            shell.reaped = true;
            shell.folder = None;
            stake.holder().settle(self.holders(), &stake);
            drop(shell);
            self.pend_ifaddr(stake.ifaddr());
            if stake.holder().unregistered() {
                self.pend_holder(stake.holder());
            }
            if let Some(item) = ListArc::try_from_arc_or_drop(stake) {
                batch.stakes.push_back(item);
            }
            return;
        }
        let mut net = stake.ifaddr().net().clone();
        if !net.alive() {
            net = Net::initial();
        }
        if shell.folder.as_ref().is_none_or(|(_, shown)| *shown != net) {
            shell.folder = None;
            match self.tree.stake(&stake, &net) {
                Ok(folder) => shell.folder = Some((folder, net)),
                Err(err) => self.again_if_no_memory(err),
            }
        }
    }

    /// Takes a holder off that has unregistered and has left nothing.
    fn shell_holder(&self, holder: Arc<Holder>, batch: &mut Batch) {
        let mut shell = holder.shell().lock();
        if !holder.unregistered() {
            return;
        }
        if !holder.stakes().is_empty() {
            if !shell.closing {
                shell.closing = true;
                drop(shell);
                if let Some(item) = ListArc::try_from_arc_or_drop(holder) {
                    batch.leaving.push_back(item);
                }
            }
            return;
        }
        // The folder first: with the chain the name becomes free.
        shell.folder = None;
        drop(shell);
        if let Some(item) = self.holders().remove(&holder) {
            holder.close();
            batch.holders.push_back(item);
        }
    }

    fn sweep(self: &Arc<Self>, batch: &mut Batch) {
        let mut from = 0;
        while let Some(ifaddr) = self.next_ifaddr(from) {
            from = ifaddr.id() + 1;
            let section = rcu::read_lock();
            for stake in ifaddr.stakes().iter(&section) {
                self.pend_stake(stake.keep(&section));
            }
            drop(section);
            self.shell_ifaddr(ifaddr, batch);
        }
    }

    /// Listens on a bus, from now on until the module's exit.
    ///
    /// The bus is only compared. If it goes, and another one comes to the same address, that one is
    /// not listened to: its devices lose VALID at a later sign.
    fn watch(self: &Arc<Self>, bus: usize) -> Result {
        let mut watches = self.watches.lock();
        // Under the lock: who ends the watches has closed the registry before, so none comes after.
        if !self.is_open() || watches.0.iter().any(|watch| watch.bus == bus) {
            return Ok(());
        }
        watches.0.reserve(1, GFP_KERNEL)?;
        // SAFETY: it is the worker's, who drops it before the exit ends.
        let listening = unsafe { Listening::new(BusChain(bus), self.clone()) };
        let listening = KBox::pin_init(listening, GFP_KERNEL)?;
        let watch = Watch {
            bus,
            _listening: listening,
        };
        Ok(watches.0.push(watch, GFP_KERNEL)?)
    }
}
