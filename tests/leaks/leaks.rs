// SPDX-License-Identifier: GPL-2.0

//! A module in safe Rust that forgets what it has made: with `what` of 1 a use of `lo`, 2 a holder, 3 a
//! listener, 4 a capture, 5 a thread which makes listeners until it ends.

use core::mem;
use ifref::{
    Capture, FibChain, FibEvent, Key, Listener, Listening, Net, NetDevice, Receive, Registration,
    Running, Skb, Task, Thread,
};
use kernel::{prelude::*, sync::Arc};

module! {
    type: Module,
    name: "ifref_leaks",
    authors: ["The ifref developers"],
    description: "ifref test: what is forgotten in safe Rust",
    license: "GPL",
    params: {
        what: u32 {
            default: 0,
            description: "What is forgotten",
        },
    },
}

struct Nothing(&'static ThisModule);

impl Listener<FibChain> for Nothing {
    fn event(self: &Arc<Self>, _event: FibEvent<'_>) {}
}

impl Receive for Nothing {
    fn receive(&self, _skb: Skb, _dev: &NetDevice) {}
}

impl Task for Nothing {
    fn run(&self, thread: &Running) {
        while thread.sleep(10) {
            let _ = forget_listener(self.0);
        }
    }
}

fn forget_listener(module: &'static ThisModule) -> Result {
    let nothing = Arc::new(Nothing(module), GFP_KERNEL)?;
    mem::forget(Listening::new(module, FibChain, nothing)?);
    Ok(())
}

struct Module;

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        match module_parameters::what.value() {
            1 => {
                let registration = Registration::register(module, "leaks")?;
                let lo = registration.get(Key::Name(&Net::initial(), c"lo"), GFP_KERNEL)?;
                mem::forget(lo.enter()?);
            }
            2 => mem::forget(Registration::register(module, "leaks")?),
            3 => forget_listener(module)?,
            4 => mem::forget(Capture::new(
                module,
                Arc::new(Nothing(module), GFP_KERNEL)?,
            )?),
            5 => {
                let nothing = Arc::new(Nothing(module), GFP_KERNEL)?;
                mem::forget(Thread::new(module, c"ifref_leaks", nothing)?);
            }
            _ => return Err(EINVAL),
        }
        Ok(Self)
    }
}
