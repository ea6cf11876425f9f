// SPDX-License-Identifier: GPL-2.0

//! A second class of object: devd knows no network device.
//!
//! A thing is a number that is on a list while it is linked, and has users. Loading the module has
//! some of them attached and detached, and says in the kernel log what came of it.

use core::{
    any::Any,
    mem,
    ptr, //
};
use ifref::{Class, Failure, Linkage, Object, Owner, Reason, Step, Veto};
use kernel::{
    fmt, new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        global_lock,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

module! {
    type: Module,
    name: "ifref_things",
    authors: ["The ifref developers"],
    description: "ifref test: a second class of object",
    license: "GPL",
}

/// How many there are; the last one cannot be linked.
const THINGS: usize = 8;

/// Whose user stays.
const STUCK: usize = 3;

#[derive(Default)]
struct List {
    linked: usize,
    leaving: KVec<(Arc<Object>, *const Thing)>,
}

// SAFETY: the pointers are followed by the section only, before their things are freed.
unsafe impl Send for List {}

global_lock! {
    // SAFETY: initialised in the module's entry, before anything else.
    unsafe(uninit) static LIST: Mutex<List> = List { linked: 0, leaving: KVec::new() };
}

/// The class.
struct Things;

impl Class for Things {
    fn section(&self, step: &mut dyn FnMut(Step)) {
        step(Step::Linking);
        let mut leaving = mem::take(&mut LIST.lock().leaving);
        step(Step::Unlinked);
        // Each one by itself as it drains, as the kernel does with devices.
        while !leaving.is_empty() {
            leaving.retain(|(object, thing)| {
                // SAFETY: it is freed after it has drained, which is said below.
                let used = unsafe { &**thing }.users.load(Relaxed) != 0;
                if !used {
                    object.drained();
                }
                used
            });
            fsleep(Delta::from_millis(5));
        }
    }
}

/// What the driver of the things sees.
#[pin_data]
struct Thing {
    number: usize,
    users: Atomic<u32>,
    quiesced: Atomic<u32>,
    freed: Atomic<u32>,
    failed: Atomic<u32>,
    #[pin]
    object: Mutex<Option<Arc<Object>>>,
}

impl Linkage for Thing {
    fn class(&self) -> &'static dyn Class {
        &Things
    }

    fn any(&self) -> &dyn Any {
        self
    }

    fn link(&self, object: &Arc<Object>) -> Result<(), Failure> {
        if self.number == THINGS - 1 {
            return Err(Failure {
                error: EIO,
                draining: false,
            });
        }
        *self.object.lock() = Some(object.clone());
        LIST.lock().linked += 1;
        Ok(())
    }

    fn unlink(&self) {
        let Some(object) = self.object.lock().take() else {
            return;
        };
        let mut list = LIST.lock();
        list.linked -= 1;
        object.unlinked();
        if list
            .leaving
            .push((object, ptr::from_ref(self)), GFP_KERNEL)
            .is_err()
        {
            pr_err!("no memory: thing {} will never drain\n", self.number);
        }
    }

    fn invalidate(&self) {}

    fn withdraw(&self) {}

    fn may_detach(&self) -> Result<(), Veto> {
        Ok(())
    }

    fn quiesce(&self) {
        self.quiesced.add(1, Relaxed);
    }

    fn free(&self) {
        self.freed.add(1, Relaxed);
    }

    fn fail(&self) {
        self.failed.add(1, Relaxed);
    }

    fn name(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        write!(to, "thing {}", self.number)
    }

    fn report(&self, _object: &Object, _ms: u64) {}
}

fn freed(things: &[Arc<Thing>]) -> u32 {
    things.iter().map(|thing| thing.freed.load(Relaxed)).sum()
}

struct Module;

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: once, and first.
        unsafe { LIST.init() };
        let owner = Owner::register("things")?;
        let mut things = KVec::new();
        let mut objects = KVec::new();
        let mut refused = 0;
        for number in 0..THINGS {
            let thing = Arc::pin_init(
                pin_init!(Thing {
                    number,
                    users: Atomic::new(0),
                    quiesced: Atomic::new(0),
                    freed: Atomic::new(0),
                    failed: Atomic::new(0),
                    object <- new_mutex!(None),
                }),
                GFP_KERNEL,
            )?;
            let object = Object::new(&owner, thing.clone())?;
            refused += usize::from(object.attach() == Err(EIO));
            things.push(thing, GFP_KERNEL)?;
            objects.push(object, GFP_KERNEL)?;
        }
        pr_info!("{} linked, {refused} refused\n", LIST.lock().linked);
        things[STUCK].users.store(1, Relaxed);
        for object in objects.iter().step_by(2) {
            object.ask();
        }
        for object in objects.iter() {
            object.detach(Reason::Gone);
        }
        for (object, _) in objects.iter().zip(0..).filter(|(_, at)| *at != STUCK) {
            let waited = object.wait();
            if waited.is_err() {
                pr_err!("waiting: {waited:?}\n");
            }
        }
        pr_info!("{} freed while thing {STUCK} is used\n", freed(&things));
        things[STUCK].users.store(0, Relaxed);
        owner.unload()?;
        let once = |thing: &&Arc<Thing>| {
            (thing.freed.load(Relaxed), thing.quiesced.load(Relaxed)) == (1, 1)
        };
        pr_info!(
            "{} freed once, {} failed, {} linked\n",
            things.iter().filter(once).count(),
            things[THINGS - 1].failed.load(Relaxed),
            LIST.lock().linked
        );
        Ok(Self)
    }
}
