// SPDX-License-Identifier: GPL-2.0

//! An object as devd sees it, and a devd that takes as few steps as it can.

use crate::{
    interface::Memory,
    lifecycle::{Begun, Life, Linking, Platform, Pointer, Queue, Queued, Reason},
    platform::{Flaws, Model},
};
use loom::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
};
use std::sync::Arc;

pub const ASK: u32 = 1;
pub const DETACH: u32 = 2;

/// What a driver has attached.
pub struct Object<F: Flaws> {
    pub life: Life<Model<F>>,
    next: <Model<F> as Platform>::Pointer<Object<F>>,
    /// The driver's private data.
    pub softc: Memory,
    /// The driver's code.
    pub text: Memory,
    /// Whether it is on the queue, and what devd has done.
    queued: AtomicBool,
    pub asked: AtomicU32,
    pub detached: AtomicU32,
}

// SAFETY: loom checks every access.
unsafe impl<F: Flaws> Send for Object<F> {}
// SAFETY: As above.
unsafe impl<F: Flaws> Sync for Object<F> {}

impl<F: Flaws> Queued<Model<F>> for Object<F> {
    fn next(&self) -> &<Model<F> as Platform>::Pointer<Self> {
        &self.next
    }
}

impl<F: Flaws> Object<F> {
    fn made() -> Self {
        Self {
            life: Life::default(),
            next: Pointer::new(std::ptr::null()),
            softc: Memory::default(),
            text: Memory::default(),
            queued: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            detached: AtomicU32::new(0),
        }
    }

    /// Ends it, as a worker does: the driver's `free`, and nothing of the driver after that.
    pub fn end(&self) {
        self.text.touch();
        self.softc.free();
        self.life.course.end();
    }

    /// As [`Self::end`], wrong: tells those who wait before the driver has returned.
    pub fn end_early(&self) {
        self.life.course.end();
        self.text.touch();
        self.softc.free();
    }
}

/// devd: its queue, and the objects that there are.
pub struct Devd<F: Flaws> {
    pub queue: Queue<Model<F>, Object<F>>,
    pub objects: Vec<Object<F>>,
}

impl<F: Flaws> Devd<F> {
    /// With objects that are being attached.
    pub fn attaching(objects: usize) -> Arc<Self> {
        let devd = Self {
            queue: Queue::default(),
            objects: (0..objects).map(|_| Object::made()).collect(),
        };
        for object in &devd.objects {
            assert!(object.life.course.begin());
            // The errand on which it is attached.
            assert!(object.life.pins.pin());
        }
        Arc::new(devd)
    }

    /// With objects in use.
    pub fn attached(objects: usize) -> Arc<Self> {
        let devd = Self::attaching(objects);
        for object in &devd.objects {
            assert_eq!(object.life.course.linked(), Linking::Attached);
        }
        devd
    }

    pub fn object(&self) -> &Object<F> {
        &self.objects[0]
    }

    /// Sends an object to devd, as a submitter does. True if devd is to be woken.
    pub fn send(&self, object: &Object<F>, errand: u32) -> bool {
        object.life.send(&object.life.errands, errand) && self.push(object)
    }

    /// As [`Self::send`], wrong: without looking whether it is on its way.
    pub fn send_blindly(&self, object: &Object<F>, errand: u32) -> bool {
        let _ = object.life.send(&object.life.errands, errand);
        self.push(object)
    }

    fn push(&self, object: &Object<F>) -> bool {
        assert!(!object.queued.swap(true, Relaxed), "on the queue twice");
        // SAFETY: the bytes stay until the model's end.
        unsafe { self.queue.push(object) }
    }

    /// Wants an object detached; true if devd is to be woken.
    pub fn detach(&self, object: &Object<F>, reason: Reason) -> bool {
        let begun = object.life.course.detach(reason);
        object.life.depart(begun, DETACH) && self.push(object)
    }

    /// As [`Self::detach`], wrong: as if it could be on no other errand.
    pub fn detach_rashly(&self, object: &Object<F>, reason: Reason) -> bool {
        let begun = match object.life.course.detach(reason) {
            Begun::No => Begun::No,
            _ => Begun::Unasked,
        };
        object.life.depart(begun, DETACH) && self.push(object)
    }

    /// One pass: all that is there. A detached object is unlinked and drains at once.
    pub fn pass(&self, end: impl Fn(&Object<F>)) {
        for object in self.queue.take() {
            // SAFETY: the bytes stay until the model's end.
            let object = unsafe { &*object };
            object.queued.store(false, Relaxed);
            let errands = object.life.errands.take();
            if errands & ASK != 0 {
                object.asked.fetch_add(1, Relaxed);
            }
            if errands & DETACH != 0 {
                object.detached.fetch_add(1, Relaxed);
                self.unlink(object, &end);
            }
            for _ in 0..errands.count_ones() {
                if object.life.done() {
                    end(object);
                }
            }
        }
    }

    /// Unlinks an object that nobody refers to, as the core does; true if devd is to be woken.
    pub fn remove(&self, object: &Object<F>, end: impl Fn(&Object<F>)) -> bool {
        let wake =
            object.life.unlinked() && object.life.depart(Begun::Asked, DETACH) && self.push(object);
        if object.life.drained() {
            end(object);
        }
        wake
    }

    /// Unlinks an object without references, in a section.
    pub fn unlink(&self, object: &Object<F>, end: impl Fn(&Object<F>)) {
        // The core may have done that.
        let _ = object.life.unlinked();
        if object.life.drained() {
            end(object);
        }
    }

    /// Waits, as an unload does, until an object is over.
    pub fn wait(&self, object: &Object<F>) {
        while !object.life.course.over() {
            thread::yield_now();
        }
    }
}
