// SPDX-License-Identifier: GPL-2.0

//! Network devices whose drivers attach and detach through devd.

use crate::{
    devd::{
        object::Use,
        Class,
        Failure,
        Linkage,
        Object,
        Owner,
        Step,
        Veto, //
    },
    ffi::{
        driven::{
            self,
            Operations,
            Softc,
            Wrapped, //
        },
        netdevice::NAME_SIZE,
        nic::Table,
        rtnetlink::Rtnl,
        trace,
        wait::{
            new_wait_queue,
            WaitQueue, //
        }, //
    },
    ifnet::Ifnet,
    lifecycle::{
        Cause,
        Stage, //
    },
    registry::Registry,
    text::Text, //
};
use core::{
    any::Any,
    ffi::c_void,
    mem::ManuallyDrop, //
};
use kernel::{
    fmt, new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        barrier::smp_mb,
        rcu,
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce, //
    },
};

/// A driver.
pub(crate) struct Driver {
    owner: Arc<Owner>,
    registry: Arc<Registry>,
    ops: Operations,
    /// In Rust: what its devices are made with.
    table: Option<Table>,
}

impl Driver {
    /// Makes one. Sleeps; EINVAL if the name is none, ENOMEM.
    pub(crate) fn new(
        registry: &Arc<Registry>,
        name: &str,
        ops: Operations,
        table: Option<Table>,
    ) -> Result<Arc<Self>> {
        let driver = Self {
            owner: Owner::new(registry.devd(), name)?,
            registry: registry.clone(),
            ops,
            table,
        };
        Ok(Arc::new(driver, GFP_KERNEL)?)
    }

    /// What devd knows of it.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What a driver in Rust makes its devices with.
    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// An address in its text, to compare.
    pub(crate) fn text(&self) -> usize {
        self.ops.text()
    }

    /// Prepares a device for being attached. Sleeps; errors as [`Wrapped::new`].
    ///
    /// # Safety
    ///
    /// As [`Wrapped`] and [`Softc`] say of `dev` and `softc`.
    pub(crate) unsafe fn prepare(
        &self,
        dev: core::ptr::NonNull<crate::ffi::bindings::net_device>,
        softc: *mut c_void,
    ) -> Result<Arc<Object>> {
        // SAFETY: the caller's promise.
        let (wrapped, softc) = unsafe { (Wrapped::new(dev)?, Softc::new(self.ops, softc)) };
        let nic = Arc::pin_init(
            pin_init!(Nic {
                registry: self.registry.clone(),
                wrapped,
                softc,
                name: SetOnce::new(),
                ifnet: SetOnce::new(),
                folder <- new_mutex!(false, "ifref_folder"),
                moving: Atomic::new(false),
                moved <- new_wait_queue!("ifref_moved"),
            }),
            GFP_KERNEL,
        )?;
        Object::new(&self.owner, nic)
    }
}

/// Ifnets that a [`Nic`] keeps.
static IFNETS: Atomic<u32> = Atomic::new(0);

/// How many ifnets are kept by what drivers have attached. Any context.
pub(crate) fn ifnets() -> u32 {
    IFNETS.load(Relaxed)
}

/// One device.
#[pin_data(PinnedDrop)]
pub(crate) struct Nic {
    registry: Arc<Registry>,
    wrapped: Wrapped,
    softc: Softc,
    name: SetOnce<Text<NAME_SIZE>>,
    /// Its ifnet, once it was adopted.
    ifnet: SetOnce<Arc<Ifnet>>,
    /// Whether the device has a folder in sysfs that may be moved. Held while it is.
    #[pin]
    folder: Mutex<bool>,
    /// Whether the device is being moved to another namespace; changed under `folder`.
    moving: Atomic<bool>,
    #[pin]
    moved: WaitQueue,
}

/// Network devices: a section is one of RTNL.
static NETDEV: Class = Class { section };

fn section(step: &mut dyn FnMut(Step)) {
    let rtnl = Rtnl::lock();
    step(Step::Unlink);
    driven::unlink_all(&rtnl);
    step(Step::Link);
    // This is where the kernel waits for references.
    drop(rtnl);
}

/// RTNL, in a section.
fn rtnl() -> ManuallyDrop<Rtnl> {
    // SAFETY: called in a step of `section` only.
    unsafe { Rtnl::taken() }
}

impl Linkage for Nic {
    fn class(&self) -> &'static Class {
        &NETDEV
    }

    fn any(&self) -> &dyn Any {
        self
    }

    fn link(&self, object: &Arc<Object>) -> Result<(), Failure> {
        self.wrapped.link(&rtnl(), object)?;
        self.name.populate(self.wrapped.dev().name());
        Ok(())
    }

    fn unlink(&self) {
        self.wrapped.unlink(&rtnl());
    }

    fn close(&self) {
        self.wrapped.close(&rtnl());
    }

    fn invalidate(&self) {
        if let Some(ifnet) = self.ifnet.as_ref() {
            ifnet.invalidate_only(Cause::Detach);
        }
    }

    fn withdraw(&self) {
        self.wrapped.shut();
        if let Some(ifnet) = self.ifnet.as_ref() {
            ifnet.invalidate(Cause::Detach);
        }
    }

    fn may_detach(&self) -> Result<(), Veto> {
        self.softc.may_detach()
    }

    fn quiesce(&self) {
        self.softc.quiesce();
    }

    fn free(&self) {
        self.finish();
        self.softc.free();
        self.wrapped.let_above_go();
    }

    fn fail(&self) {
        self.finish();
        self.wrapped.unwrap_ops();
    }

    fn name(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        match (self.ifnet.as_ref(), self.name.as_ref()) {
            (Some(ifnet), _) => {
                let name = ifnet.name();
                write!(to, "{} (ifnet {})", name.as_str(), ifnet.serial())
            }
            (None, Some(name)) => to.write_str(name.as_str()),
            (None, None) => to.write_str("a device"),
        }
    }

    fn report(&self, object: &Object, ms: u64) {
        let Some(ifnet) = self.ifnet.as_ref() else {
            return;
        };
        trace::stuck(
            ifnet.serial(),
            ifnet.name().as_c_str(),
            object.life().course.stage().name(),
            ms,
            object.holds(),
        );
        ifnet.announce_stuck();
        // After that it may be being freed, and nobody's references keep it any more.
        if object.life().course.stage() == Stage::Unlinked {
            if let Some(_pin) = ifnet.object().and_then(Use::new) {
                let foreign = self.wrapped.dev().refs() - 1;
                pr_warn!(
                    "devd: ifnet {}: {foreign} references of the kernel's own\n",
                    ifnet.serial()
                );
            }
        }
        self.registry.holders().for_each(|holder| {
            let section = rcu::read_lock();
            for stake in holder.stakes().iter(&section) {
                let (name, serial) = (holder.name(), ifnet.serial());
                if stake.ifaddr().serial() != serial {
                    continue;
                }
                let (count, oldest) = {
                    let entries = stake.entries().lock();
                    (entries.count(), entries.oldest_ms().unwrap_or(0))
                };
                if count != 0 {
                    pr_warn!(
                        "devd: ifnet {serial}: {count} uses of holder {}, the oldest for {}.{:03} s\n",
                        name.as_str(),
                        oldest / 1000,
                        oldest % 1000
                    );
                }
            }
        });
    }
}

#[pinned_drop]
impl PinnedDrop for Nic {
    fn drop(self: Pin<&mut Self>) {
        if self.ifnet.as_ref().is_some() {
            IFNETS.fetch_sub(1, Relaxed);
        }
    }
}

impl Nic {
    /// The removal has ended: the device's ifnet goes.
    fn finish(&self) {
        if let Some(ifnet) = self.ifnet.as_ref() {
            ifnet.invalidate(Cause::Detach);
            self.registry.finish(ifnet);
            ifnet.let_object_go();
        }
    }
}

fn nic(object: &Object) -> Option<&Nic> {
    object.linkage().any().downcast_ref()
}

/// Opens a device, unless it is going: ENODEV. Under RTNL.
pub(crate) fn open(object: &ArcBorrow<'_, Object>, open: impl FnOnce() -> i32) -> Result<i32> {
    if !object.life().course.passes() {
        return Err(ENODEV);
    }
    Ok(open())
}

/// The driver of the device's parent was unbound, and the parent may go, with all that is below it
/// in sysfs: moves the device's folder away from there, unless the device is unregistered. What
/// comes until it is (a rename, another namespace, a bridge) finds the folder.
///
/// Process context; waits for no lock of the core's, but for a rename or a move of this very device
/// to another namespace.
pub(crate) fn leave_parent(object: &Arc<Object>) {
    let (Some(nic), Some(_pin)) = (nic(object), Use::new(object.clone())) else {
        return;
    };
    loop {
        let folder = nic.folder.lock();
        // One that is being attached may yet fail, and comes to no section then.
        if !*folder || object.life().course.stage() == Stage::Attaching {
            return;
        }
        if !nic.moving.load(Acquire) {
            // SAFETY: registered, or it would have no folder; `unlinking` and `moves` wait for the
            // lock.
            if let Err(error) = unsafe { nic.wrapped.leave_parent() } {
                pr_warn!("devd: {object}: its folder goes with its parent's: {error:?}\n");
            }
            return;
        }
        drop(folder);
        // That is of the device itself: it does not wait for the parent.
        nic.moved.wait(0, || !nic.moving.load(Acquire));
    }
}

/// The device is about to move to another namespace, or has. Under RTNL; sleeps.
pub(crate) fn moves(object: &Object, begins: bool) {
    if let Some(nic) = nic(object) {
        let folder = nic.folder.lock();
        nic.moving.store(begins, Release);
        drop(folder);
        nic.moved.wake();
    }
}

/// The device's folder is about to go. Under RTNL; sleeps.
pub(crate) fn unlinking(object: &Object) {
    if let Some(nic) = nic(object) {
        *nic.folder.lock() = false;
    }
}

/// A device of a driver's was adopted. Under RTNL.
pub(crate) fn adopted(object: &Object, ifnet: &Arc<Ifnet>) {
    let Some(nic) = nic(object) else {
        return;
    };
    if nic.ifnet.populate(ifnet.clone()) {
        IFNETS.add(1, Relaxed);
    }
    *nic.folder.lock() = true;
    // Who has submitted before that has not seen it.
    smp_mb(Full);
    if object.life().course.stage() as u8 > Stage::Attached as u8 {
        ifnet.invalidate(Cause::Detach);
    }
}
