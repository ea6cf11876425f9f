// SPDX-License-Identifier: GPL-2.0

//! Two more classes of object, for the tests: queue, batch and drain know no network device.

use kernel::prelude::*;

#[kunit_tests(ifref_devd)]
mod tests {
    use super::super::{Class, Devd, Failure, Linkage, Object, Owner, Running, Step, Veto};
    use crate::lifecycle::Reason;
    use core::{any::Any, mem};
    use kernel::{
        fmt,
        prelude::*,
        sync::{
            atomic::{Atomic, Full, Relaxed},
            global_lock, Arc,
        },
        time::{delay::fsleep, Delta},
    };

    /// How many there are; the last one cannot be linked, another one has a user who stays.
    const THINGS: usize = 8;
    const STUCK: usize = 3;

    /// A number that is linked, and has users.
    struct Thing {
        number: usize,
        class: usize,
        users: Atomic<u32>,
        linked: Atomic<bool>,
        quiesced: Atomic<u32>,
        freed: Atomic<u32>,
        failed: Atomic<u32>,
        /// What was called in a section of another class's, or in none.
        strange: Atomic<u32>,
    }

    global_lock! {
        // SAFETY: `things` initialises it, once, and first.
        unsafe(uninit) static LEAVING: Mutex<KVec<Arc<Thing>>> = KVec::new();
    }
    global_lock! {
        // SAFETY: as above.
        unsafe(uninit) static OBJECTS: Mutex<KVec<Arc<Object>>> = KVec::new();
    }

    /// The class whose section is at its steps, 0 outside of one.
    static AT: Atomic<usize> = Atomic::new(0);
    static CLASSES: [Class; 2] = [
        Class {
            section: section::<1>,
        },
        Class {
            section: section::<2>,
        },
    ];

    fn section<const CLASS: usize>(step: &mut dyn FnMut(Step)) {
        // One at a time, as with RTNL.
        while AT.cmpxchg(0, CLASS, Full).is_err() {
            fsleep(Delta::from_millis(1));
        }
        step(Step::Unlink);
        step(Step::Link);
        AT.store(0, Relaxed);
        let mut leaving = mem::take(&mut *LEAVING.lock());
        // Each one by itself as it drains, as the kernel does with devices.
        while !leaving.is_empty() {
            leaving.retain(|thing| {
                let used = thing.users.load(Relaxed) != 0;
                if !used {
                    thing.object().drained();
                }
                used
            });
            fsleep(Delta::from_millis(5));
        }
    }

    impl Thing {
        /// Which of all objects it is.
        fn object(&self) -> Arc<Object> {
            OBJECTS.lock()[(self.class - 1) * THINGS + self.number].clone()
        }

        fn in_section(&self) {
            self.strange
                .add(u32::from(AT.load(Relaxed) != self.class), Relaxed);
        }
    }

    /// The linkage: a thing that outlives its object.
    struct Of(Arc<Thing>);

    impl Linkage for Of {
        fn class(&self) -> &'static Class {
            &CLASSES[self.0.class - 1]
        }

        fn any(&self) -> &dyn Any {
            self
        }

        fn link(&self, _object: &Arc<Object>) -> Result<(), Failure> {
            self.0.in_section();
            if self.0.number == THINGS - 1 {
                return Err(Failure {
                    error: EIO,
                    draining: false,
                });
            }
            self.0.linked.store(true, Relaxed);
            Ok(())
        }

        fn unlink(&self) {
            self.0.in_section();
            if self.0.linked.xchg(false, Full) {
                let _ = LEAVING.lock().push(self.0.clone(), GFP_KERNEL);
                self.0.object().unlinked();
            }
        }

        fn close(&self) {
            self.0.in_section();
        }

        fn invalidate(&self) {}

        fn withdraw(&self) {}

        fn may_detach(&self) -> Result<(), Veto> {
            Ok(())
        }

        fn quiesce(&self) {
            // Not before it is unlinked.
            self.0
                .strange
                .add(u32::from(self.0.linked.load(Relaxed)), Relaxed);
            self.0.quiesced.add(1, Relaxed);
        }

        fn free(&self) {
            self.0.freed.add(1, Relaxed);
        }

        fn fail(&self) {
            self.0.failed.add(1, Relaxed);
        }

        fn name(&self, to: &mut dyn fmt::Write) -> fmt::Result {
            write!(to, "thing {}", self.0.number)
        }

        fn report(&self, _object: &Object, _ms: u64) {}
    }

    /// Things of both classes, with their objects, which are not attached.
    fn things(owner: &Arc<Owner>) -> Result<KVec<Arc<Thing>>> {
        // SAFETY: there is one case.
        unsafe {
            LEAVING.init();
            OBJECTS.init();
        }
        let mut things = KVec::new();
        for at in 0..2 * THINGS {
            let thing = Arc::new(
                Thing {
                    number: at % THINGS,
                    class: at / THINGS + 1,
                    users: Atomic::new(0),
                    linked: Atomic::new(false),
                    quiesced: Atomic::new(0),
                    freed: Atomic::new(0),
                    failed: Atomic::new(0),
                    strange: Atomic::new(0),
                },
                GFP_KERNEL,
            )?;
            let linkage = Arc::new(Of(thing.clone()), GFP_KERNEL)?;
            let object = Object::new(owner, linkage)?;
            OBJECTS.lock().push(object, GFP_KERNEL)?;
            things.push(thing, GFP_KERNEL)?;
        }
        Ok(things)
    }

    fn sum(things: &[Arc<Thing>], of: fn(&Thing) -> u32) -> u32 {
        things.iter().map(|thing| of(thing)).sum()
    }

    /// The general case of device removal: attach, detach, drain and unload serve any class, and
    /// what is submitted together is linked and unlinked in a section of its own class.
    #[test]
    fn serves_any_class() -> Result {
        // One of its own: what the module's has done is counted.
        let devd = Devd::new()?;
        let running = Running::new(&devd)?;
        let owner = Owner::new(&devd, "things")?;
        let things = things(&owner)?;
        let objects = mem::take(&mut *OBJECTS.lock());
        for object in objects.iter() {
            OBJECTS.lock().push(object.clone(), GFP_KERNEL)?;
        }
        let attached = objects.iter().filter(|object| object.attach().is_ok());
        assert_eq!(attached.count(), 2 * (THINGS - 1));
        things[STUCK].users.store(1, Relaxed);
        for object in objects.iter().step_by(2) {
            object.ask();
        }
        for object in objects.iter() {
            object.detach(Reason::Gone);
        }
        for (at, object) in objects.iter().enumerate() {
            if at != STUCK {
                assert_eq!(object.wait(), Ok(()));
            }
        }
        assert_eq!(
            sum(&things, |thing| thing.freed.load(Relaxed)),
            2 * (THINGS as u32 - 1) - 1
        );
        things[STUCK].users.store(0, Relaxed);
        owner.unload()?;
        let once = |thing: &Thing| {
            u32::from((thing.freed.load(Relaxed), thing.quiesced.load(Relaxed)) == (1, 1))
        };
        assert_eq!(sum(&things, once), 2 * (THINGS as u32 - 1));
        assert_eq!(sum(&things, |thing| thing.failed.load(Relaxed)), 2);
        assert_eq!(sum(&things, |thing| thing.strange.load(Relaxed)), 0);
        // With its memory: statics are not dropped.
        drop(mem::take(&mut *OBJECTS.lock()));
        drop(running);
        Ok(())
    }
}
