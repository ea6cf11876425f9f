// SPDX-License-Identifier: GPL-2.0

//! How long devd takes to remove N interfaces of a driver in Rust: tests/storm has the other ways.
//!
//! A number that is written to `/sys/kernel/debug/ifref_storm_rust/make` makes so many; somebody
//! sets them up. Writing to `remove` removes them, and leaves in `took_us` how long that took, from
//! the first submit to the last drop of a softc.

use ifref::nic::{Attachment, Config, Driver, Nic, Operations, Skb};
use kernel::{
    debugfs::{Reader, Scope},
    new_condvar, new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, CondVar, Mutex, SpinLock,
    },
    time::{Instant, Monotonic},
    uaccess::UserSliceReader,
};

module! {
    type: Module,
    name: "ifref_storm_rust",
    authors: ["The ifref developers"],
    description: "ifref test: how long removals take, of a driver in Rust",
    license: "GPL",
}

/// How many softcs there are.
#[pin_data]
struct Count {
    #[pin]
    softcs: Mutex<u32>,
    #[pin]
    none: CondVar,
}

/// The softc, which is counted.
struct Softc(Arc<Count>);

impl Softc {
    fn new(count: &Arc<Count>) -> Self {
        *count.softcs.lock() += 1;
        Self(count.clone())
    }
}

impl Drop for Softc {
    fn drop(&mut self) {
        let mut softcs = self.0.softcs.lock();
        *softcs -= 1;
        if *softcs == 0 {
            self.0.none.notify_all();
        }
    }
}

#[vtable]
impl Operations for Softc {
    const NAME: &'static str = "storm_rust";

    fn start_xmit(&self, _nic: &Nic<Self>, _skb: Skb) {}
}

#[pin_data]
struct Storm {
    #[pin]
    nics: SpinLock<KVec<Attachment<Softc>>>,
    count: Arc<Count>,
    took_us: Atomic<i64>,
    // The last: it waits until all are freed.
    driver: Driver<Softc>,
}

impl Storm {
    fn make(storm: &Arc<Self>, reader: &mut UserSliceReader) -> Result {
        let many = Atomic::new(0u32);
        many.read_from_slice(reader)?;
        let config = Config {
            name: "storm%d",
            ..Config::default()
        };
        let mut nics = KVec::new();
        for _ in 0..many.load(Relaxed) {
            let softc = Softc::new(&storm.count);
            nics.push(Attachment::new(&storm.driver, &config, softc)?, GFP_KERNEL)?;
        }
        *storm.nics.lock() = nics;
        Ok(())
    }

    fn remove(storm: &Arc<Self>, _reader: &mut UserSliceReader) -> Result {
        let begun = Instant::<Monotonic>::now();
        // Dropping them submits. Under a spin lock devd, which the first one wakes, does not come
        // between.
        storm.nics.lock().clear();
        let mut softcs = storm.count.softcs.lock();
        while *softcs != 0 {
            storm.count.none.wait(&mut softcs);
        }
        let took = begun.elapsed().as_nanos();
        storm.took_us.store(took / 1000, Relaxed);
        Ok(())
    }
}

struct Module {
    _files: Pin<KBox<Scope<Arc<Storm>>>>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let count = Arc::pin_init(
            pin_init!(Count {
                softcs <- new_mutex!(0),
                none <- new_condvar!(),
            }),
            GFP_KERNEL,
        )?;
        let storm = Arc::pin_init(
            try_pin_init!(Storm {
                nics <- new_spinlock!(KVec::new()),
                count,
                took_us: Atomic::new(0),
                driver: Driver::register()?,
            }? Error),
            GFP_KERNEL,
        )?;
        let files = Scope::dir(storm, c"ifref_storm_rust", |storm, dir| {
            dir.write_only_callback_file(c"make", storm, &Storm::make);
            dir.write_only_callback_file(c"remove", storm, &Storm::remove);
            dir.read_only_file(c"took_us", &storm.took_us);
        });
        Ok(Self {
            _files: KBox::pin_init(files, GFP_KERNEL)?,
        })
    }
}
