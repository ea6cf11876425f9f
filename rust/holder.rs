// SPDX-License-Identifier: GPL-2.0

//! Holders: the named users of references.

use crate::{
    entered,
    ffi::{
        kobject::FolderOf,
        module::complain_of,
        percpu::HOLDER_SIZE,
        spinlock::{
            new_irq_lock,
            Guard,
            IrqLock, //
        },
    },
    global,
    ledger::LEDGER,
    lifecycle::{
        Chain,
        Linked,
        Sums, //
    },
    lookup::{
        IfaddrId,
        Key, //
    },
    platform::Kernel,
    registry::{
        errno,
        Registry, //
    },
    stake::{
        IfaddrRef,
        Stake,
        OF_HOLDER, //
    },
    text::Text, //
};
use core::mem;
use kernel::{
    alloc::Flags,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        List,
        ListArc,
        ListLinks,
        TryNewListArc, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        rcu,
        Arc,
        Mutex, //
    },
};

/// What the worker keeps with a holder.
#[derive(Default)]
pub(crate) struct Shell {
    /// Its folder in sysfs.
    pub folder: Option<FolderOf<Holder>>,
    /// Its stakes were switched to exact counting.
    pub closing: bool,
    /// It was taken off the holders.
    pub removed: bool,
}

/// A named user of references, and what is known of it. It outlives its registration as a ghost
/// while references are left. Nothing in it leads into the module that registered it.
#[pin_data]
pub(crate) struct Holder {
    name: Text<HOLDER_SIZE>,
    /// The address of the module that registered it, to compare; 0: ifref's own.
    module: usize,
    stakes: Chain<Kernel, Stake, OF_HOLDER>,
    next: Atomic<*const Holder>,
    unregistered: Atomic<bool>,
    refusals: Atomic<u64>,
    // Of stakes that have ended.
    past: [Atomic<u64>; 4],
    #[pin]
    shell: Mutex<Shell>,
    #[pin]
    pending: AtomicTracker<0>,
    #[pin]
    pending_links: ListLinks<0>,
    #[pin]
    listed: AtomicTracker<1>,
    #[pin]
    listed_links: ListLinks<1>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Holder { tracked_by pending: AtomicTracker<0>; }
    impl ListArcSafe<1> for Holder { tracked_by listed: AtomicTracker<1>; }
}
impl_list_item! {
    impl ListItem<0> for Holder { using ListLinks { self.pending_links }; }
    impl ListItem<1> for Holder { using ListLinks { self.listed_links }; }
}

impl Linked<Kernel, 0> for Holder {
    fn next(&self) -> &Atomic<*const Holder> {
        &self.next
    }
}

impl Holder {
    fn new(module: usize, name: Text<HOLDER_SIZE>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                name,
                module,
                stakes: Chain::default(),
                next: Atomic::new(core::ptr::null()),
                unregistered: Atomic::new(false),
                refusals: Atomic::new(0),
                past: [const { Atomic::new(0) }; 4],
                shell <- new_mutex!(Shell::default()),
                pending <- AtomicTracker::new(),
                pending_links <- ListLinks::new(),
                listed <- AtomicTracker::new(),
                listed_links <- ListLinks::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The name.
    pub(crate) fn name(&self) -> &Text<HOLDER_SIZE> {
        &self.name
    }

    /// The address of the module that registered it, to compare with one that is there.
    pub(crate) fn module(&self) -> usize {
        self.module
    }

    /// Its stakes. Changed under the lock of [`Holders`].
    pub(crate) fn stakes(&self) -> &Chain<Kernel, Stake, OF_HOLDER> {
        &self.stakes
    }

    /// What the worker keeps with it. Sleeps.
    pub(crate) fn shell(&self) -> &Mutex<Shell> {
        &self.shell
    }

    /// Whether it was unregistered: what is left of it then is a ghost. Any context.
    pub(crate) fn unregistered(&self) -> bool {
        self.unregistered.load(Acquire)
    }

    /// Unregisters it, unless that was done: says so. Then the name is free, or a ghost's. Process
    /// context, sleeps for a grace period or so.
    pub(crate) fn unregister(self: &Arc<Self>, registry: &Arc<Registry>) -> bool {
        let is_first = !self.unregistered.xchg(true, Full);
        if is_first {
            let section = rcu::read_lock();
            for stake in self.stakes.iter(&section) {
                entered::silence(stake.entries());
            }
            drop(section);
            registry.pend_holder(self);
            registry.queue.flush();
        }
        is_first
    }

    /// How many references there are. Any context; as exact as [`Stake::references`].
    pub(crate) fn references(&self) -> u64 {
        let section = rcu::read_lock();
        self.stakes.iter(&section).map(Stake::references).sum()
    }

    /// References ever taken and dropped. Any context; one that reads while a stake ends may count
    /// it twice.
    pub(crate) fn sums(&self) -> Sums {
        self.total([0, 1], Stake::sums)
    }

    /// Packets ever parked, and sent or freed. Any context; as [`Self::sums`].
    pub(crate) fn packets(&self) -> Sums {
        self.total([2, 3], Stake::packets)
    }

    fn total(&self, [gets, puts]: [usize; 2], of: fn(&Stake) -> Sums) -> Sums {
        let section = rcu::read_lock();
        let past = |which: usize| self.past.get(which).map_or(0, |past| past.load(Relaxed));
        let past = Sums {
            gets: past(gets),
            puts: past(puts),
        };
        self.stakes.iter(&section).map(of).fold(past, Sums::plus)
    }

    /// How many uses that sleep there are. Any context.
    pub(crate) fn entered(&self) -> u64 {
        let section = rcu::read_lock();
        let stakes = self.stakes.iter(&section);
        stakes.map(|stake| stake.entries().lock().count()).sum()
    }

    /// How often it was refused a look-up or a follow, or entering. Any context.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    /// Counts a refusal. Any context.
    pub(crate) fn refused(&self) {
        self.refusals.add(1, Relaxed);
    }

    /// Takes a stake that has ended off the chains, and keeps its sums. The worker.
    pub(crate) fn settle(&self, holders: &Holders, stake: &Stake) {
        let (mut sums, mut packets) = (stake.sums(), stake.packets());
        if sums.puts > sums.gets {
            let (name, id) = (self.name.as_str(), stake.ifaddr().id());
            let more = sums.puts - sums.gets;
            pr_err!("BUG: holder {name} has put {more} references too many to ifaddr {id}\n");
            sums.puts = sums.gets;
        }
        if stake.abandoned() {
            sums.puts = sums.gets;
            packets.puts = packets.gets;
        }
        let ended = [sums.gets, sums.puts, packets.gets, packets.puts];
        for (past, ended) in self.past.iter().zip(ended) {
            past.add(ended, Relaxed);
        }
        let _lock = holders.lock();
        // SAFETY: under the lock of all chains.
        unsafe {
            self.stakes.remove(stake);
            stake.ifaddr().stakes().remove(stake);
        }
    }

    /// Keeps the sums of all that it ever had in the ledger: it is about to go. The worker.
    pub(crate) fn close(&self) {
        let (sums, packets) = (self.sums(), self.packets());
        LEDGER.references.add(sums);
        LEDGER.packets.add(packets);
    }
}

/// All holders, ghosts included.
#[pin_data]
pub(crate) struct Holders {
    chain: Chain<Kernel, Holder, 0>,
    // Under its lock all chains of holders and stakes are changed.
    #[pin]
    list: IrqLock<List<Holder, 1>>,
}

impl Holders {
    /// None yet. Sleeps.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                chain: Chain::default(),
                list <- new_irq_lock!(List::new(), "ifref_holders"),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the lock of all chains of holders and stakes. Any context.
    pub(crate) fn lock(&self) -> Guard<'_, List<Holder, 1>> {
        self.list.lock()
    }

    /// Calls `each` for every holder. Any context.
    pub(crate) fn for_each(&self, each: impl FnMut(&Holder)) {
        let section = rcu::read_lock();
        self.chain.iter(&section).for_each(each);
    }

    /// The first one of which `is` says so. Any context.
    pub(crate) fn find(&self, is: impl Fn(&Holder) -> bool) -> Option<Arc<Holder>> {
        let list = self.lock();
        let found = list.iter().find(|holder| is(holder));
        found.map(Arc::from)
    }

    /// How many references there are. Any context; as exact as [`Stake::references`].
    pub(crate) fn references(&self) -> u64 {
        let mut sum = 0;
        self.for_each(|holder| sum += holder.references());
        sum
    }

    /// Packets ever parked, and sent or freed, by all holders. Any context; one that reads while a
    /// stake ends may count it twice.
    pub(crate) fn packets(&self) -> Sums {
        let mut sums = LEDGER.packets.sums();
        self.for_each(|holder| sums = sums.plus(holder.packets()));
        sums
    }

    /// Adds a holder, unless there is one of that name: EEXIST.
    fn add(&self, holder: &Arc<Holder>) -> Result {
        // Who has the references that were not made through ifref.
        if holder.name.as_str() == "kernel" {
            return Err(EEXIST);
        }
        let Ok(item) = ListArc::<Holder, 1>::try_from_arc(holder.clone()) else {
            return Err(EEXIST);
        };
        let mut list = self.lock();
        if list
            .iter()
            .any(|other| other.name.bytes() == holder.name.bytes())
        {
            return Err(EEXIST);
        }
        // SAFETY: under the lock, once in its life; it is freed as `remove` says.
        unsafe { self.chain.push(holder) };
        list.push_back(item);
        Ok(())
    }

    /// Takes a holder off, once: its name is free. It is to be kept until a grace period has
    /// passed. Sleeps.
    pub(crate) fn remove(&self, holder: &Holder) -> Option<ListArc<Holder, 1>> {
        // What is returned may go to another list. Who unregisters may hand the worker what the end
        // of its last stake has handed it already.
        if mem::replace(&mut holder.shell.lock().removed, true) {
            return None;
        }
        let mut list = self.lock();
        // SAFETY: under the lock; until now it was on no other list of this ID.
        unsafe {
            self.chain.remove(holder);
            list.remove(holder)
        }
    }
}

/// A holder's registration: through it references are taken. Dropping it unregisters the holder:
/// it sleeps for a grace period or so, in process context and never under RTNL. References that
/// are left then stay good; what is known of the holder stays, too, as a ghost, until they are put.
#[must_use]
pub struct Registration {
    registry: Arc<Registry>,
    holder: Arc<Holder>,
}

impl Registration {
    /// Registers a holder for another module, which ends it when it goes, if it was forgotten. Errors
    /// as [`Self::new`]; ENODEV if ifref is being loaded or unloaded. Sleeps.
    pub fn register(module: &'static ThisModule, name: &str) -> Result<Self> {
        Self::new(&global::registry()?, module.as_ptr().addr(), name)
    }

    /// Registers a holder, of the module at that address: 1 to 31 letters, digits, `_`, `.` or `-`, else
    /// EINVAL; EEXIST if there is one of that name, perhaps as a ghost, or it is "kernel"; ENOMEM.
    /// Sleeps.
    pub(crate) fn new(registry: &Arc<Registry>, module: usize, name: &str) -> Result<Self> {
        let complain = |text: &CStr| complain_of(c"holder", name, text);
        let text = Text::name(name)
            .inspect_err(|_| complain(c"a name has 1 to 31 letters, digits, '_', '.' or '-'"))?;
        let holder = Holder::new(module, text)?;
        registry.holders().add(&holder).inspect_err(|_| {
            complain(c"the name is the kernel's or another holder's, who may be a ghost");
        })?;
        // From here on the drop undoes it.
        let registration = Self {
            registry: registry.clone(),
            holder,
        };
        match registry.tree().holder(&registration.holder) {
            Ok(folder) => registration.holder.shell.lock().folder = Some(folder),
            Err(err) => {
                registration.undo();
                return Err(err);
            }
        }
        Ok(registration)
    }

    /// Takes the holder off without waiting for that: nobody has had a reference by it, and the
    /// caller may have RTNL. The drop has nothing left to do.
    pub(crate) fn undo(&self) {
        if !self.holder.unregistered.xchg(true, Full) {
            self.registry.pend_holder(&self.holder);
        }
    }

    /// The holder.
    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The holder, kept for longer.
    pub(crate) fn keep(&self) -> Arc<Holder> {
        self.holder.clone()
    }

    /// Looks an ifaddr up and takes a reference to it, without a lock if there has been one before.
    ///
    /// ENOENT if there is none; if it is not valid, the errno of the reason, and the refusal is
    /// counted; ENOMEM. Any context but NMI that `flags` allow; with PREEMPT_RT, not hard IRQ.
    pub fn get(&self, key: Key<'_>, flags: Flags) -> Result<IfaddrRef> {
        loop {
            let ifaddr = {
                let section = rcu::read_lock();
                let ifaddr = self.registry.look_up(key, &section).ok_or(ENOENT)?;
                let live = ifaddr.follow(&section).map_err(|reason| {
                    self.holder.refused();
                    errno(reason)
                })?;
                if let Some(stake) = ifaddr.stake(&self.holder, &section) {
                    return Ok(IfaddrRef::take(stake, &live));
                }
                ifaddr.keep(&section)
            };
            // Either it is there the next time, or VALID is not.
            Stake::new(&self.holder, &ifaddr, flags)?.publish(&self.registry);
        }
    }

    /// [`Registry::id_of`].
    pub fn id_of(&self, key: Key<'_>) -> Result<IfaddrId> {
        self.registry.id_of(key)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.holder.unregister(&self.registry);
    }
}
