// SPDX-License-Identifier: GPL-2.0

//! The one registry, for code that other modules call.

use crate::registry::Registry;
use kernel::{
    prelude::*,
    sync::{
        global_lock,
        Arc, //
    },
};

global_lock! {
    // SAFETY: `Open::new` initialises it, in the module's entry; other modules, which need this
    // one's symbols, are loaded after that and unloaded before the exit.
    unsafe(uninit) static REGISTRY: Mutex<Option<Arc<Registry>>> = None;
}

/// While it exists other modules find the registry.
pub struct Open(());

impl Open {
    /// Sets the registry. The module's entry.
    ///
    /// # Safety
    ///
    /// Called once.
    pub unsafe fn new(registry: Arc<Registry>) -> Self {
        // SAFETY: once, the caller says, and before anybody else looks.
        unsafe { REGISTRY.init() };
        *REGISTRY.lock() = Some(registry);
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let registry = REGISTRY.lock().take();
        drop(registry);
    }
}

/// The registry; ENODEV before the module's entry has ended and after its exit has begun. Sleeps.
pub fn registry() -> Result<Arc<Registry>> {
    REGISTRY.lock().clone().ok_or(ENODEV)
}
