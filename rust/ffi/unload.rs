// SPDX-License-Identifier: GPL-2.0

//! What a module has running, which must not outlive the module's code.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use super::notifier::GoingModule;
use core::{
    marker::PhantomData,
    mem, //
};
use kernel::{
    prelude::*,
    sync::global_lock, //
};

/// One thing that a module has running.
struct Entry {
    id: u64,
    /// The module, to compare.
    module: usize,
    /// What it is, in the log.
    what: &'static str,
    _owned: KBox<dyn Send + Sync>,
}

struct List {
    last: u64,
    running: KVec<Entry>,
}

impl List {
    /// Takes off the first of which `is` says so.
    fn take(&mut self, is: impl FnMut(&Entry) -> bool) -> Option<Entry> {
        let at = self.running.iter().position(is)?;
        self.running.remove(at).ok()
    }
}

global_lock! {
    // SAFETY: `init` initialises it, in the module's entry; other modules, which need this one's
    // symbols, are loaded after that.
    unsafe(uninit) static LIST: Mutex<List> = List {
        last: 0,
        running: KVec::new(),
    };
}

/// Makes the list. The module's entry.
///
/// # Safety
///
/// Called once, and first.
pub(crate) unsafe fn init() {
    // SAFETY: once, the caller says, and before the first look.
    unsafe { LIST.init() };
}

/// Gives the list's memory back: other modules have gone. Sleeps.
pub(crate) fn end() {
    let running = mem::take(&mut LIST.lock().running);
    drop(running);
}

/// Something that calls code of a module's until it is dropped. The drop sleeps until no call is
/// running. If it is forgotten it ends when the module is unloaded: after the module's exit, before
/// its code goes.
#[must_use]
pub struct UntilUnload<T>(u64, PhantomData<fn() -> T>);

impl<T: Send + Sync + 'static> UntilUnload<T> {
    /// Owns `owned`, of `module`'s, `what` in the log; ENOMEM, and it was dropped. Sleeps.
    pub(super) fn own(module: &'static ThisModule, what: &'static str, owned: T) -> Result<Self> {
        let owned = KBox::new(owned, GFP_KERNEL)?;
        let mut list = LIST.lock();
        // If there is no room, the lock is let go of first.
        list.running.reserve(1, GFP_KERNEL)?;
        list.last += 1;
        let id = list.last;
        let entry = Entry {
            id,
            module: module.as_ptr() as usize,
            what,
            _owned: owned,
        };
        list.running.push(entry, GFP_KERNEL)?;
        Ok(Self(id, PhantomData))
    }
}

impl<T> Drop for UntilUnload<T> {
    fn drop(&mut self) {
        let entry = LIST.lock().take(|entry| entry.id == self.0);
        // Without the lock: it sleeps, and what it waits for may take the lock.
        drop(entry);
    }
}

/// Ends what a module has forgotten that is being unloaded. Sleeps.
pub(crate) fn end_of(module: &GoingModule<'_>) {
    let next = || LIST.lock().take(|entry| module.is(entry.module));
    while let Some(forgotten) = next() {
        let (name, what) = (module.name(), forgotten.what);
        pr_warn!("module {name} is unloaded, and has not ended a {what}\n");
        drop(forgotten);
    }
}
