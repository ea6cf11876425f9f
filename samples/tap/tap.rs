// SPDX-License-Identifier: GPL-2.0

//! tap: packets that outlive their interface.
//!
//! It captures what the interfaces of the initial namespace receive, and parks each packet with a
//! reference of its own in a queue of at most [`LIMIT`]. A thread takes all of them every `period`
//! milliseconds. The counts are in `/sys/kernel/debug/ifref_tap/`.
//!
//! Policy for a refused follow: drop. A packet of an interface that has gone is of no use.

use core::mem;
use ifref::{new_irq_lock, Capture, IrqLock, Key, NetDevice, Packet, Receive};
use ifref::{Registration, Running, Skb, Task, Thread};
use kernel::{
    debugfs::Scope,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu, Arc,
    },
};

module! {
    type: Module,
    name: "ifref_tap",
    authors: ["The ifref developers"],
    description: "ifref sample: packets that outlive their interface",
    license: "GPL",
}

/// The most packets that wait.
const LIMIT: usize = 1024;

#[pin_data]
struct Tap {
    registration: Registration,
    #[pin]
    queue: IrqLock<KVec<Packet>>,
    period: Atomic<u32>,
    queued: Atomic<u64>,
    processed: Atomic<u64>,
    refused: Atomic<u64>,
    overflowed: Atomic<u64>,
}

impl Receive for Tap {
    fn receive(&self, skb: Skb, dev: &NetDevice) {
        let Ok(reference) = self.registration.get(Key::Device(dev), GFP_ATOMIC) else {
            return;
        };
        let packet = Packet::park(skb, reference);
        let pushed = self.queue.lock().push_within_capacity(packet);
        match pushed {
            Ok(()) => self.queued.add(1, Relaxed),
            Err(_full) => self.overflowed.add(1, Relaxed),
        }
    }
}

impl Task for Tap {
    fn run(&self, thread: &Running) {
        while thread.sleep(self.period.load(Relaxed)) {
            let Ok(empty) = KVec::with_capacity(LIMIT, GFP_KERNEL) else {
                continue;
            };
            let packets = mem::replace(&mut *self.queue.lock(), empty);
            for packet in packets {
                match packet.try_follow(&rcu::read_lock()) {
                    // Here a real one would look at the packet, and at the interface.
                    Ok(_live) => self.processed.add(1, Relaxed),
                    Err(_) => self.refused.add(1, Relaxed),
                }
            }
        }
    }
}

struct Module {
    _files: Pin<KBox<Scope<Arc<Tap>>>>,
    _capture: Capture<Tap>,
    // What is left in the queue goes with the tap, before its registration.
    _thread: Thread<Tap>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let tap = Arc::pin_init(
            try_pin_init!(Tap {
                queue <- new_irq_lock!(KVec::with_capacity(LIMIT, GFP_KERNEL)?, "ifref_tap"),
                registration: Registration::register(module, "tap")?,
                period: Atomic::new(10),
                queued: Atomic::new(0),
                processed: Atomic::new(0),
                refused: Atomic::new(0),
                overflowed: Atomic::new(0),
            }? Error),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _thread: Thread::new(module, c"ifref_tap", tap.clone())?,
            _capture: Capture::new(module, tap.clone())?,
            _files: KBox::pin_init(
                Scope::dir(tap, c"ifref_tap", |tap, dir| {
                    dir.read_write_file(c"period", &tap.period);
                    dir.read_only_file(c"queued", &tap.queued);
                    dir.read_only_file(c"processed", &tap.processed);
                    dir.read_only_file(c"refused", &tap.refused);
                    dir.read_only_file(c"overflowed", &tap.overflowed);
                }),
                GFP_KERNEL,
            )?,
        })
    }
}
