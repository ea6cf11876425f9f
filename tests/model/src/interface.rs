// SPDX-License-Identifier: GPL-2.0

//! What a link leads to, and memory that notices who touches it when it is freed.

use crate::{
    lifecycle::{Invalid, Link, State, Target},
    platform::{Flaws, Model, Section},
};
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};
use std::sync::Arc;

/// Memory: loom reports whoever touches it without an order to its being freed, and we report
/// whoever touches it after that. The bytes themselves stay until the model's end.
#[derive(Default)]
pub struct Memory(UnsafeCell<bool>);

// SAFETY: loom checks every access.
unsafe impl Sync for Memory {}

impl Memory {
    pub fn touch(&self) {
        // SAFETY: loom has checked that nobody writes.
        self.0
            .with(|freed| assert!(!unsafe { *freed }, "Causality violation: freed before"));
    }

    pub fn free(&self) {
        self.touch();
        // SAFETY: loom has checked that nobody else accesses it.
        self.0.with_mut(|freed| unsafe { *freed = true });
    }

    /// Writes to it, without freeing it.
    pub fn make(&self) {
        self.0.with_mut(|_| ());
    }
}

/// A `net_device`.
#[derive(Default)]
pub struct Device {
    /// The structure itself.
    pub memory: Memory,
    /// What its operations need, and `ndo_uninit` frees.
    pub operations: Memory,
    /// `reg_state`. No access to it orders anything.
    pub unregistering: AtomicBool,
}

/// The interface's shell.
pub struct Ifnet<F: Flaws> {
    pub memory: Memory,
    pub state: State<Model<F>>,
    pub dev: Device,
    never: State<Model<F>>,
}

impl<F: Flaws> Target<Model<F>> for Ifnet<F> {
    fn state(&self) -> &State<Model<F>> {
        self.memory.touch();
        if F::INVALIDATED {
            &self.state
        } else {
            &self.never
        }
    }

    unsafe fn registered(&self) -> bool {
        self.memory.touch();
        self.dev.memory.touch();
        !F::REGISTERED || !self.dev.unregistering.load(Relaxed)
    }
}

/// An interface and the link of one of its addresses.
pub struct Address<F: Flaws> {
    pub ifnet: Arc<Ifnet<F>>,
    pub link: Link<Model<F>, Ifnet<F>>,
}

impl<F: Flaws> Address<F> {
    /// Of an interface that is not valid yet.
    pub fn attaching() -> Arc<Self> {
        let ifnet = Arc::new(Ifnet {
            memory: Memory::default(),
            state: State::default(),
            dev: Device::default(),
            never: State::default(),
        });
        ifnet.never.publish();
        // SAFETY: the bytes stay until the model's end.
        let link = unsafe { Link::new(&*ifnet) };
        Arc::new(Self { ifnet, link })
    }

    /// Of an interface in use.
    pub fn valid() -> Arc<Self> {
        let address = Self::attaching();
        address.ifnet.state.publish();
        address
    }

    /// Follows the link in a section of its own, and uses what it leads to until that ends.
    pub fn follow(&self, reader: usize) -> Result<(), Invalid> {
        let section = Section::enter(reader);
        match self.link.follow(&section) {
            Ok(followed) => {
                let ifnet = followed.target();
                ifnet.memory.touch();
                ifnet.dev.memory.touch();
                ifnet.dev.operations.touch();
                Ok(())
            }
            Err(reason) => Err(reason),
        }
    }

    /// The shell, to be buried: freed when dropped.
    pub fn shell(&self) -> Shell<F> {
        Shell(self.ifnet.clone())
    }
}

/// Owns the memory of an [`Ifnet`].
pub struct Shell<F: Flaws>(Arc<Ifnet<F>>);

impl<F: Flaws> Drop for Shell<F> {
    fn drop(&mut self) {
        // A model that has failed is taken down: no more steps.
        if !thread::panicking() {
            self.0.memory.free();
        }
    }
}
