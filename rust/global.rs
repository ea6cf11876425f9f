// SPDX-License-Identifier: GPL-2.0

//! The one registry, for code that other modules call.

use crate::{
    driver::{
        self,
        Driver, //
    },
    ffi::{
        driven::Operations,
        module::{
            complain,
            complain_of, //
        },
        nic::Table,
        notifier::{
            GoingModule,
            Listener,
            ModuleChain, //
        },
        unload, //
    },
    holder::{
        Holder,
        Registration, //
    },
    ledger::LEDGER,
    registry::Registry, //
};
use core::ptr::{self, NonNull};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        global_lock,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

global_lock! {
    // SAFETY: `Open::new` initialises it, in the module's entry; other modules, which need this
    // one's symbols, are loaded after that and unloaded before the exit.
    unsafe(uninit) static GLOBAL: Mutex<Option<Global>> = None;
}

struct Global {
    // Those that have unregistered stay for a while: see `HANDLES`.
    of_c: KVec<KBox<Registration>>,
    drivers: KVec<Registered>,
    // Unregistered, and something that they had attached is still kept; or see `HANDLES`.
    past: KVec<Arc<Driver>>,
    registry: Arc<Registry>,
}

/// A driver, and the address of the module that has registered it in C, to compare; 0: in Rust.
struct Registered {
    driver: Arc<Driver>,
    module: usize,
}

/// How many handles of C's that were unregistered are kept, so that who uses one again does not
/// meet another holder or driver in its place.
const HANDLES: usize = 64;

/// While it exists other modules find the registry.
pub(crate) struct Open(());

impl Open {
    /// Sets the registry. The module's entry.
    ///
    /// # Safety
    ///
    /// Called once.
    pub(crate) unsafe fn new(registry: Arc<Registry>) -> Self {
        // SAFETY: once, the caller says, and before anybody else looks.
        unsafe { GLOBAL.init() };
        *GLOBAL.lock() = Some(Global {
            of_c: KVec::new(),
            drivers: KVec::new(),
            past: KVec::new(),
            registry,
        });
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(global) = GLOBAL.lock().take() else {
            return;
        };
        global.say_what_is_left();
        unload::end();
    }
}

impl Global {
    /// What drivers, which are unloaded, have left behind: each has ended, and keeps memory only.
    fn say_what_is_left(&self) {
        for driver in &self.past {
            let left = u64::from(driver.owner().objects());
            if left != 0 {
                let name = driver.owner().name();
                pr_warn!("{left} attachments of driver {name} were left behind\n");
                LEDGER.left_behind.attachments.add(left, Relaxed);
                LEDGER.attachments.leave_behind(left);
            }
        }
        let ifnets = u64::from(driver::ifnets());
        LEDGER.left_behind.ifnets.add(ifnets, Relaxed);
        LEDGER.ifnets.leave_behind(ifnets);
    }
}

/// The registry; ENODEV before the module's entry has ended and after its exit has begun. Sleeps.
pub(crate) fn registry() -> Result<Arc<Registry>> {
    let global = GLOBAL.lock();
    Ok(global.as_ref().ok_or(ENODEV)?.registry.clone())
}

/// Registers a holder of a module's that a pointer stands for. As [`Registration::new`].
pub(crate) fn register_for_c(module: usize, name: &str) -> Result<NonNull<Registration>> {
    // Before, as what fails after that is undone by waiting for the worker.
    let place = KBox::<Registration>::new_uninit(GFP_KERNEL)?;
    let registration = KBox::write(place, Registration::new(&registry()?, module, name)?);
    let pointer = NonNull::from(&*registration);
    let mut global = GLOBAL.lock();
    let of_c = &mut global.as_mut().ok_or(ENODEV)?.of_c;
    if let Err(err) = of_c.reserve(1, GFP_KERNEL) {
        registration.undo();
        return Err(err.into());
    }
    of_c.push(registration, GFP_KERNEL)?;
    let is_old = |of: &KBox<Registration>| of.holder().unregistered();
    if of_c.iter().filter(|of| is_old(of)).count() > HANDLES {
        let oldest = of_c.iter().position(is_old);
        drop(oldest.map(|at| of_c.remove(at)));
    }
    Ok(pointer)
}

/// Unregisters it, if `pointer` stands for one of that module's that is registered; EINVAL. Sleeps.
pub(crate) fn unregister_for_c(module: usize, pointer: NonNull<Registration>) -> Result {
    let (registry, holder) = {
        let global = GLOBAL.lock();
        let global = global.as_ref().ok_or(ENODEV)?;
        let mut of_c = global.of_c.iter();
        let of = of_c
            .find(|of| ptr::eq(&***of, pointer.as_ptr()))
            .ok_or(EINVAL)?;
        (global.registry.clone(), of.keep())
    };
    if holder.module() != module || !holder.unregister(&registry) {
        return Err(EINVAL);
    }
    Ok(())
}

/// Registers a driver, of `module` in C, or in Rust with its `table`; the pointer stands for it.
/// Sleeps; EEXIST, EINVAL if the name is none, ENOMEM.
pub(crate) fn register_driver(
    module: usize,
    name: &str,
    ops: Operations,
    table: Option<Table>,
) -> Result<NonNull<Driver>> {
    let complain = |text: &CStr| complain_of(c"driver", name, text);
    let driver = Driver::new(&registry()?, name, ops, table).inspect_err(|err| {
        if *err == EINVAL {
            complain(c"a name has 1 to 31 letters, digits, '_', '.' or '-'");
        }
    })?;
    let mut global = GLOBAL.lock();
    let drivers = &mut global.as_mut().ok_or(ENODEV)?.drivers;
    if drivers
        .iter()
        .any(|other| other.driver.owner().name() == name)
    {
        complain(c"there is another driver of that name");
        return Err(EEXIST);
    }
    let pointer = NonNull::from(&*driver);
    drivers.push(Registered { driver, module }, GFP_KERNEL)?;
    Ok(pointer)
}

/// The place on the list of the driver that `pointer` stands for, if it is that module's: EINVAL.
fn find(drivers: &KVec<Registered>, module: usize, pointer: NonNull<Driver>) -> Result<usize> {
    let is = |of: &Registered| ptr::eq(&*of.driver, pointer.as_ptr()) && of.module == module;
    drivers.iter().position(is).ok_or(EINVAL)
}

/// The driver that `pointer` stands for, if it is that module's: EINVAL.
fn driver(module: usize, pointer: NonNull<Driver>) -> Result<Arc<Driver>> {
    let global = GLOBAL.lock();
    let drivers = &global.as_ref().ok_or(ENODEV)?.drivers;
    let at = find(drivers, module, pointer)?;
    Ok(drivers.get(at).ok_or(EINVAL)?.driver.clone())
}

/// Detaches all that it has attached, waits until that is freed, and unregisters it, if `pointer`
/// stands for one of that module's: EINVAL. Sleeps; EDEADLK as [`crate::devd::Devd::may_wait`] says.
pub(crate) fn unregister_driver(module: usize, pointer: NonNull<Driver>) -> Result {
    let driver = driver(module, pointer)
        .inspect_err(|_| complain(c"C API: unregistered is what is no driver, or none any more"))?;
    told_waiting(driver.owner().name(), driver.owner().unload())?;
    let mut global = GLOBAL.lock();
    let drivers = &mut global.as_mut().ok_or(ENODEV)?.drivers;
    let at = find(drivers, module, pointer)?;
    let removed = drivers.remove(at).map_err(|_| EINVAL)?.driver;
    let past = &mut global.as_mut().ok_or(ENODEV)?.past;
    if past.len() > HANDLES {
        past.retain(|driver| driver.owner().objects() != 0);
    }
    // Without memory it is not named, and the books do not balance.
    let _ = past.push(removed, GFP_KERNEL);
    Ok(())
}

/// Says in the log that a driver must not wait where it has tried to, if that is what came of it.
pub(crate) fn told_waiting(driver: &str, result: Result) -> Result {
    match result {
        Err(EDEADLK) => complain_of(
            c"driver",
            driver,
            c"it waits for devd under RTNL, or in a callback of devd's",
        ),
        // EWOULDBLOCK by its other name.
        Err(EAGAIN) => complain_of(c"driver", driver, c"it waits where nobody may sleep"),
        _ => {}
    }
    result
}

/// Unregisters a driver, and returns when nothing of it is attached any more. Process context,
/// never under RTNL.
pub(crate) fn end_driver(module: usize, pointer: NonNull<Driver>) {
    while let Ok(driver) = driver(module, pointer) {
        if let Err(error) = unregister_driver(module, pointer) {
            // There is no way back: the module's code goes, and what is attached needs it.
            let name = driver.owner().name();
            pr_err!("the unload of driver {name} waits where it cannot: {error:?}\n");
            fsleep(Delta::from_secs(1));
        }
    }
}

/// Sees to what modules have running, and to what they have registered, when they are unloaded and
/// have not done that.
pub(crate) struct Forgotten;

impl Listener<ModuleChain> for Forgotten {
    fn event(self: &Arc<Self>, module: GoingModule<'_>) {
        // First what may still do something.
        unload::end_of(&module);
        self.end_drivers(&module);
        self.end_holders(&module);
    }
}

impl Forgotten {
    fn end_drivers(&self, module: &GoingModule<'_>) {
        let is = |of: &&Registered| module.is(of.module) || module.has(of.driver.text());
        let find = || {
            let global = GLOBAL.lock();
            let found = global.as_ref()?.drivers.iter().find(is)?;
            Some((found.driver.clone(), found.module))
        };
        while let Some((driver, module)) = find() {
            let name = driver.owner().name();
            pr_warn!(
                "the module of driver {name} is unloaded, and has not unregistered it: until all \
                 that it has attached is freed, other modules may have to wait\n"
            );
            end_driver(module, (&*driver).into());
        }
    }

    fn end_holders(&self, module: &GoingModule<'_>) {
        let Ok(registry) = registry() else {
            return;
        };
        let is = |holder: &Holder| module.is(holder.module());
        while let Some(holder) = registry.holders().find(|of| is(of) && !of.unregistered()) {
            let name = holder.name().as_str();
            pr_warn!("the module of holder {name} is unloaded, and has not unregistered it\n");
            holder.unregister(&registry);
        }
        // No handle is left.
        if let Some(global) = &mut *GLOBAL.lock() {
            global.of_c.retain(|of| !is(of.holder()));
        }
    }
}
