// SPDX-License-Identifier: GPL-2.0

//! prober: a user that sleeps.
//!
//! Every `period` milliseconds it enters the interface whose name was written to
//! `/sys/kernel/debug/ifref_prober/watch`, takes `takes` milliseconds for a look at it, and counts
//! in `probes` or `refused`. Whoever removes the interface meanwhile waits for the look to end, and
//! can see for whom.
//!
//! Policy for a refused entry: forget the reference and look the name up again, next time. It may be
//! another interface's by then.

use ifref::{Key, Net, Registration, Rtnl, Running, Task, Text, Thread, NAME_SIZE};
use kernel::{
    debugfs::Scope,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex,
    },
};

module! {
    type: Module,
    name: "ifref_prober",
    authors: ["The ifref developers"],
    description: "ifref sample: a user that sleeps",
    license: "GPL",
}

type Name = Text<NAME_SIZE>;

#[pin_data]
struct Prober {
    registration: Registration,
    #[pin]
    watch: Mutex<Name>,
    period: Atomic<u32>,
    takes: Atomic<u32>,
    probes: Atomic<u64>,
    refused: Atomic<u64>,
}

impl Task for Prober {
    fn run(&self, thread: &Running) {
        let net = Net::initial();
        let mut known = None;
        while thread.sleep(self.period.load(Relaxed)) {
            let name = *self.watch.lock();
            let reference = match known.take() {
                Some((of, reference)) if of == name => reference,
                _ => {
                    let key = Key::Name(&net, name.as_c_str());
                    match self.registration.get(key, GFP_KERNEL) {
                        Ok(reference) => reference,
                        Err(_) => continue,
                    }
                }
            };
            let Ok(entered) = reference.enter() else {
                self.refused.add(1, Relaxed);
                continue;
            };
            thread.sleep(self.takes.load(Relaxed));
            // It is there, but it may have been unregistered meanwhile.
            if entered.registered_device(&Rtnl::lock()).is_some() {
                self.probes.add(1, Relaxed);
            }
            known = Some((name, reference));
        }
    }
}

struct Module {
    _files: Pin<KBox<Scope<Arc<Prober>>>>,
    // Before the registration, which is the prober's.
    _thread: Thread<Prober>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let prober = Arc::pin_init(
            try_pin_init!(Prober {
                registration: Registration::register(module, "prober")?,
                watch <- new_mutex!(Name::default()),
                period: Atomic::new(1000),
                takes: Atomic::new(100),
                probes: Atomic::new(0),
                refused: Atomic::new(0),
            }? Error),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _thread: Thread::new(module, c"ifref_prober", prober.clone())?,
            _files: KBox::pin_init(
                Scope::dir(prober, c"ifref_prober", |prober, dir| {
                    dir.read_write_file(c"watch", &prober.watch);
                    dir.read_write_file(c"period", &prober.period);
                    dir.read_write_file(c"takes", &prober.takes);
                    dir.read_only_file(c"probes", &prober.probes);
                    dir.read_only_file(c"refused", &prober.refused);
                }),
                GFP_KERNEL,
            )?,
        })
    }
}
