// SPDX-License-Identifier: GPL-2.0

//! The one registry, for code that other modules call.

use crate::{
    driver::Driver,
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
    holder::Registration,
    registry::Registry, //
};
use core::ptr::{self, NonNull};
use kernel::{
    prelude::*,
    sync::{
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
    // Before the registry: they are unregistered from it.
    of_c: KVec<KBox<Registration>>,
    drivers: KVec<Arc<Driver>>,
    registry: Arc<Registry>,
}

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
            registry,
        });
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let global = GLOBAL.lock().take();
        drop(global);
    }
}

/// The registry; ENODEV before the module's entry has ended and after its exit has begun. Sleeps.
pub(crate) fn registry() -> Result<Arc<Registry>> {
    let global = GLOBAL.lock();
    Ok(global.as_ref().ok_or(ENODEV)?.registry.clone())
}

/// Registers a holder that a pointer stands for. As [`Registration::new`].
pub(crate) fn register_for_c(name: &str) -> Result<NonNull<Registration>> {
    let registration = KBox::new(Registration::register(name)?, GFP_KERNEL)?;
    let pointer = NonNull::from(&*registration);
    let mut global = GLOBAL.lock();
    let of_c = &mut global.as_mut().ok_or(ENODEV)?.of_c;
    of_c.push(registration, GFP_KERNEL)?;
    Ok(pointer)
}

/// Unregisters it, if `pointer` stands for one; EINVAL. Sleeps.
pub(crate) fn unregister_for_c(pointer: NonNull<Registration>) -> Result {
    let mut global = GLOBAL.lock();
    let of_c = &mut global.as_mut().ok_or(ENODEV)?.of_c;
    let stands = |of: &KBox<Registration>| ptr::eq(&**of, pointer.as_ptr());
    let at = of_c.iter().position(stands).ok_or(EINVAL)?;
    let registration = of_c.remove(at).map_err(|_| EINVAL)?;
    drop(global);
    drop(registration);
    Ok(())
}

/// Registers a driver, in Rust with its `table`; the pointer stands for it. Sleeps; EEXIST, EINVAL
/// if the name is none, ENOMEM.
pub(crate) fn register_driver(
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
    if drivers.iter().any(|other| other.owner().name() == name) {
        complain(c"there is another driver of that name");
        return Err(EEXIST);
    }
    let pointer = NonNull::from(&*driver);
    drivers.push(driver, GFP_KERNEL)?;
    Ok(pointer)
}

/// The driver that `pointer` stands for, and its place on the list.
fn find(drivers: &KVec<Arc<Driver>>, pointer: NonNull<Driver>) -> Option<(usize, Arc<Driver>)> {
    let mut all = drivers.iter().enumerate();
    let (at, driver) = all.find(|(_, driver)| ptr::eq(&***driver, pointer.as_ptr()))?;
    Some((at, driver.clone()))
}

/// The driver that `pointer` stands for: EINVAL if it stands for none.
fn driver(pointer: NonNull<Driver>) -> Result<Arc<Driver>> {
    let global = GLOBAL.lock();
    let found = find(&global.as_ref().ok_or(ENODEV)?.drivers, pointer);
    Ok(found.ok_or(EINVAL)?.1)
}

/// Detaches all that it has attached, waits until that is freed, and unregisters it, if `pointer`
/// stands for one: EINVAL. Sleeps; EDEADLK as [`crate::devd::Devd::may_wait`] says.
pub(crate) fn unregister_driver(pointer: NonNull<Driver>) -> Result {
    let driver = driver(pointer)
        .inspect_err(|_| complain(c"C API: unregistered is what is no driver, or none any more"))?;
    told_waiting(driver.owner().name(), driver.owner().unload())?;
    let mut global = GLOBAL.lock();
    let drivers = &mut global.as_mut().ok_or(ENODEV)?.drivers;
    let (at, _) = find(drivers, pointer).ok_or(EINVAL)?;
    let removed = drivers.remove(at);
    drop(global);
    drop(removed);
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
pub(crate) fn end_driver(pointer: NonNull<Driver>) {
    while let Ok(driver) = driver(pointer) {
        if let Err(error) = unregister_driver(pointer) {
            // There is no way back: the module's code goes, and what is attached needs it.
            let name = driver.owner().name();
            pr_err!("the unload of driver {name} waits where it cannot: {error:?}\n");
            fsleep(Delta::from_secs(1));
        }
    }
}

/// Sees to what modules have running, and to their drivers, when they are unloaded and have not done
/// that.
pub(crate) struct Forgotten;

impl Listener<ModuleChain> for Forgotten {
    fn event(self: &Arc<Self>, module: GoingModule<'_>) {
        unload::end_of(&module);
        let find = || {
            let global = GLOBAL.lock();
            let mut drivers = global.as_ref()?.drivers.iter();
            drivers.find(|driver| module.has(driver.text())).cloned()
        };
        while let Some(driver) = find() {
            let name = driver.owner().name();
            pr_warn!(
                "the module of driver {name} is unloaded, and has not unregistered it: until all \
                 that it has attached is freed, other modules may have to wait\n"
            );
            end_driver((&*driver).into());
        }
    }
}
