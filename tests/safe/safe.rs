// SPDX-License-Identifier: GPL-2.0

//! What safe code may try, and nothing comes of it: all that runs a module's code forgotten.

use core::mem;
use ifref::{
    Capture,
    FibChain,
    FibEvent,
    Listener,
    Listening,
    NetDevice,
    Receive,
    Running,
    Skb,
    Task,
    Thread, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
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

struct Safe;

impl kernel::Module for Safe {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let counts = Arc::new(Counts(Atomic::new(0)), GFP_KERNEL)?;
        mem::forget(Thread::new(module, c"ifref_safe", counts.clone())?);
        mem::forget(Capture::new(module, counts.clone())?);
        mem::forget(Listening::new(module, FibChain, counts)?);
        Ok(Self)
    }
}
