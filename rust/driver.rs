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
        trace, //
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
        atomic::Full,
        barrier::smp_mb,
        rcu,
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// A driver.
pub struct Driver {
    owner: Arc<Owner>,
    registry: Arc<Registry>,
    ops: Operations,
    /// In Rust: what its devices are made with.
    table: Option<Table>,
}

impl Driver {
    /// Makes one. Sleeps; EINVAL if the name is none, ENOMEM.
    pub fn new(
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
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What a driver in Rust makes its devices with.
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// An address in its text, to compare.
    pub fn text(&self) -> usize {
        self.ops.text()
    }

    /// Prepares a device for being attached. Sleeps; errors as [`Wrapped::new`].
    ///
    /// # Safety
    ///
    /// As [`Wrapped`] and [`Softc`] say of `dev` and `softc`.
    pub unsafe fn prepare(
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
                opening <- new_mutex!(()),
            }),
            GFP_KERNEL,
        )?;
        Object::new(&self.owner, nic)
    }
}

/// One device.
#[pin_data]
pub struct Nic {
    registry: Arc<Registry>,
    wrapped: Wrapped,
    softc: Softc,
    name: SetOnce<Text<NAME_SIZE>>,
    /// Its ifnet, once it was adopted.
    ifnet: SetOnce<Arc<Ifnet>>,
    /// Held while the driver opens it.
    #[pin]
    opening: Mutex<()>,
}

/// Evidence of the section that runs: one at a time, under RTNL.
struct Section;

impl Class for Section {
    fn section(&self, step: &mut dyn FnMut(Step)) {
        let rtnl = Rtnl::lock();
        step(Step::Linking);
        driven::unlink_all(&rtnl);
        step(Step::Unlinked);
        // This is where the kernel waits for references.
        drop(rtnl);
    }
}

/// RTNL, in a section.
fn rtnl() -> ManuallyDrop<Rtnl> {
    // SAFETY: called in `Step::Linking` only.
    unsafe { Rtnl::taken() }
}

impl Linkage for Nic {
    fn class(&self) -> &'static dyn Class {
        &Section
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
        // An open that has passed the test may still be inside of the driver.
        drop(self.opening.lock());
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
pub fn open(object: &ArcBorrow<'_, Object>, open: impl FnOnce() -> i32) -> Result<i32> {
    let nic = nic(object).ok_or(ENODEV)?;
    let _opening = nic.opening.lock();
    if !object.life().course.passes() {
        return Err(ENODEV);
    }
    Ok(open())
}

/// Milliseconds that a bus waits for who has RTNL.
const STAY_MS: i64 = 2_000;

/// The driver of its parent is about to be unbound: from now on it does not move to another
/// namespace, and its uevent says that it is removed. The parent may go then, with all that is below
/// it in sysfs: of a device that moves and finds its folder gone the kernel warns, and an event that
/// comes later has no path that anybody knows.
///
/// Under RTNL, because who moves it looks twice and must find the same; but RTNL is not waited for
/// for ever, as it may be a stranger's. Process context, sleeps.
pub fn stay(object: &Arc<Object>) {
    let (Some(nic), Some(_pin)) = (nic(object), Use::new(object.clone())) else {
        return;
    };
    let begun = Instant::<Monotonic>::now();
    while begun.elapsed().as_millis() < STAY_MS {
        if let Some(rtnl) = Rtnl::try_lock() {
            return nic.wrapped.stay(&rtnl);
        }
        fsleep(Delta::from_millis(1));
    }
}

/// A device of a driver's was adopted. Under RTNL.
pub fn adopted(object: &Object, ifnet: &Arc<Ifnet>) {
    let Some(nic) = nic(object) else {
        return;
    };
    nic.ifnet.populate(ifnet.clone());
    // Who has submitted before that has not seen it.
    smp_mb(Full);
    if object.life().course.stage() as u8 > Stage::Attached as u8 {
        ifnet.invalidate(Cause::Detach);
    }
}
