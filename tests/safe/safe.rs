// SPDX-License-Identifier: GPL-2.0

//! What safe code may try, and nothing comes of it: packets that no device may get, and all that runs
//! a module's code forgotten.

use core::mem;
use ifref::{
    Capture,
    FibChain,
    FibEvent,
    Key,
    Listener,
    Listening,
    Net,
    NetDevice,
    Receive,
    Registration,
    Running,
    Skb,
    Task,
    Thread, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu,
        Arc, //
    },
};

module! {
    type: Safe,
    name: "ifref_safe",
    authors: ["The ifref developers"],
    description: "ifref test: what safe code may try",
    license: "GPL",
}

struct Counts(Atomic<u64>);

impl Task for Counts {
    fn run(&self, thread: &Running) {
        while thread.sleep(1) {
            self.0.add(1, Relaxed);
        }
    }
}

impl Receive for Counts {
    fn receive(&self, skb: Skb, _dev: &NetDevice) {
        self.0.add(skb.len().into(), Relaxed);
    }
}

impl Listener<FibChain> for Counts {
    fn event(self: &Arc<Self>, _event: FibEvent<'_>) {
        self.0.add(1, Relaxed);
    }
}

/// What comes of sending `len` bytes by lo.
fn sent(registration: &Registration, len: u32) -> Result {
    let skb = Skb::new(len, GFP_KERNEL)?;
    let reference = registration.get(Key::Name(&Net::initial(), c"lo"), GFP_KERNEL)?;
    let section = rcu::read_lock();
    let live = reference.try_follow(&section).map_err(ifref::errno)?;
    live.transmit(skb)
}

struct Safe;

impl kernel::Module for Safe {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let registration = Registration::register(module, "safe")?;
        for len in [u32::MAX, u32::MAX - 63, 0, 13, 14, 65_554, 65_555] {
            let errno = sent(&registration, len).map_or_else(|error| error.to_errno(), |()| 0);
            pr_info!("{len} bytes: {errno}\n");
        }
        let counts = Arc::new(Counts(Atomic::new(0)), GFP_KERNEL)?;
        mem::forget(Thread::new(module, c"ifref_safe", counts.clone())?);
        mem::forget(Capture::new(module, counts.clone())?);
        mem::forget(Listening::new(module, FibChain, counts)?);
        Ok(Self)
    }
}
