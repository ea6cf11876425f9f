// SPDX-License-Identifier: GPL-2.0

//! A module in safe Rust that forgets what it has made: with `what` of 1 a use of `lo`, 2 a holder, 3 a
//! listener, 4 a capture, 5 a thread which makes listeners until it ends; 7 a use of `d0` that was told to leave.
//! With 6 a thread uses `d0`, and leaves when it is told.

use core::mem;
use ifref::{
    Capture, Entered, FibChain, FibEvent, Key, Listener, Listening, Net, NetDevice, Receive,
    Registration, Running, Skb, Task, Thread,
};
use kernel::{
    prelude::*,
    sync::{Arc, Completion},
};

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

/// Uses `d0`.
struct User(Registration);

impl User {
    fn enter(&self, gone: &Arc<Completion>) -> Result<Entered> {
        let reference = self.0.get(Key::Name(&Net::initial(), c"d0"), GFP_KERNEL)?;
        reference.enter_until(gone.clone())
    }
}

impl Task for User {
    fn run(&self, _thread: &Running) {
        if let Ok(gone) = Arc::pin_init(Completion::new(), GFP_KERNEL) {
            let entered = self.enter(&gone);
            gone.wait_for_completion();
            pr_info!("leaks: left {}\n", entered.is_ok());
        }
    }
}

struct Module(#[expect(dead_code, reason = "kept")] Option<Thread<User>>);

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
            6 => {
                let user = Arc::new(User(Registration::register(module, "leaks")?), GFP_KERNEL)?;
                return Ok(Self(Some(Thread::new(module, c"ifref_leaks", user)?)));
            }
            7 => {
                let user = User(Registration::register(module, "leaks")?);
                let gone = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
                mem::forget(user.enter(&gone)?);
            }
            _ => return Err(EINVAL),
        }
        Ok(Self(None))
    }
}
