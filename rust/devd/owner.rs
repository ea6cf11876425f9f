// SPDX-License-Identifier: GPL-2.0

//! Who attaches: a driver, that is unloaded one day.

use super::Devd;
use crate::{
    ffi::wait::{
        new_wait_queue,
        WaitQueue, //
    },
    text::Text, //
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        Arc, //
    },
};

/// Milliseconds after which an unload says for whom it waits, each time.
const SAY_MS: u32 = 10_000;

/// Who attaches objects, and must not leave before they are freed.
#[pin_data]
pub(crate) struct Owner {
    name: Text<32>,
    devd: Arc<Devd>,
    // Both are changed under the lock of devd's list.
    is_shut: Atomic<bool>,
    attached: Atomic<u32>,
    /// Its objects whose memory is there.
    pub(super) objects: Atomic<u32>,
    #[pin]
    idle: WaitQueue,
}

impl Owner {
    /// Makes one. Sleeps; EINVAL if the name is none, ENOMEM.
    pub(crate) fn new(devd: &Arc<Devd>, name: &str) -> Result<Arc<Self>> {
        let name = Text::name(name)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                devd: devd.clone(),
                is_shut: Atomic::new(false),
                attached: Atomic::new(0),
                objects: Atomic::new(0),
                idle <- new_wait_queue!("ifref_idle"),
            }),
            GFP_KERNEL,
        )
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Who sees to what it attaches.
    pub(crate) fn devd(&self) -> &Arc<Devd> {
        &self.devd
    }

    /// How much it has attached that is not freed yet. Any context.
    pub(crate) fn attached(&self) -> u32 {
        self.attached.load(Acquire)
    }

    /// How many of its objects have memory, attached or not. Any context.
    pub(crate) fn objects(&self) -> u32 {
        self.objects.load(Relaxed)
    }

    /// The unload: nothing is attached any more, what is attached is detached, and none of the
    /// owner's code runs when it returns. Joins what is under way; sleeps until all is freed, and
    /// says for whom. EDEADLK as [`Devd::may_wait`] says.
    pub(crate) fn unload(&self) -> Result {
        self.devd.may_wait()?;
        self.devd.detach_all_of(self);
        while !self.idle.wait(SAY_MS, || self.attached() == 0) {
            let left = self.attached();
            let first = self.devd.find(|object| ptr::eq(&**object.owner(), self));
            if let Some(first) = first {
                let stage = first.life().course.stage().name();
                pr_notice!(
                    "devd: the unload waits for {left}, of which the first is {first}, {stage}\n"
                );
            }
        }
        Ok(())
    }

    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Relaxed)
    }

    pub(super) fn shut(&self) {
        self.is_shut.store(true, Relaxed);
    }

    pub(super) fn enter(&self) {
        self.attached.add(1, Relaxed);
    }

    pub(super) fn leave(&self) {
        self.attached.fetch_sub(1, Full);
    }

    pub(super) fn tell(&self) {
        self.idle.wake();
    }
}
