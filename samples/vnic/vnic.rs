// SPDX-License-Identifier: GPL-2.0

//! vnic: the smallest driver on ifref, in Rust. It makes `nics=` virtual NICs, each a loop: it
//! receives what it sends.
//!
//! A number that is written to `/sys/kernel/debug/ifref_vnic/pull` pulls that one, and to
//! `pull_in_irq` has a timer do it, as the interrupt of a slot would. Unloading removes the rest,
//! and waits until all are freed.
//!
//! What is missing here, compared with other drivers: `unsafe`, `unregister_netdev()`, and every
//! thought about who may still use the device.

use ifref::nic::{Attachment, Config, Driver, Nic, Operations, Poll, Skb, SkbQueue};
use kernel::{
    debugfs::{Reader, Scope},
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, ArcBorrow,
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle, HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerPointer,
            HrTimerRestart, RelativeHardMode,
        },
        Delta, Monotonic,
    },
    uaccess::UserSliceReader,
};

module! {
    type: Module,
    name: "ifref_vnic",
    authors: ["The ifref developers"],
    description: "ifref sample: the smallest driver, in Rust",
    license: "GPL",
    params: {
        nics: u32 {
            default: 1,
            description: "How many NICs",
        },
    },
}

/// The most packets that are on their way round.
const RING: u32 = 256;

/// How often the timer looks whether one is to be pulled.
const TIMER: Delta = Delta::from_millis(10);

/// The softc.
#[pin_data]
struct Vnic {
    #[pin]
    ring: SkbQueue,
}

#[vtable]
impl Operations for Vnic {
    const NAME: &'static str = "vnic";

    fn start_xmit(&self, nic: &Nic<Self>, skb: Skb) {
        nic.count_sent(skb.len());
        self.ring.push(skb);
        if self.ring.len() >= RING {
            nic.stop_queue();
        }
        // After that: a poll comes that wakes the queue.
        nic.schedule();
    }

    fn poll(&self, nic: &Nic<Self>, poll: &mut Poll<'_, Self>) {
        poll.deliver(|| self.ring.pop());
        nic.wake_queue();
    }
}

/// Where the NICs are plugged in.
#[pin_data]
struct Slots {
    nics: KVec<Attachment<Vnic>>,
    pull_in_irq: Atomic<u32>,
    #[pin]
    timer: HrTimer<Self>,
}

impl Slots {
    fn pull(slots: &Arc<Self>, reader: &mut UserSliceReader) -> Result {
        let slot = Atomic::new(0u32);
        slot.read_from_slice(reader)?;
        let nic = slots.nics.get(slot.load(Relaxed) as usize);
        nic.ok_or(ENODEV)?.detach();
        Ok(())
    }
}

impl HrTimerCallback for Slots {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut ctx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        let slot = this.pull_in_irq.xchg(u32::MAX, Relaxed);
        if let Some(nic) = this.nics.get(slot as usize) {
            nic.detach();
        }
        ctx.forward_now(TIMER);
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Slots { mode: RelativeHardMode<Monotonic>, field: self.timer }
}

struct Module {
    _files: Pin<KBox<Scope<Arc<Slots>>>>,
    _timer: ArcHrTimerHandle<Slots>,
    // The last: it waits until all are freed.
    _driver: Driver<Vnic>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let driver = Driver::register()?;
        let config = Config {
            name: "vnic%d",
            ..Config::default()
        };
        let mut nics = KVec::new();
        for _ in 0..module_parameters::nics.value() {
            let softc = pin_init!(Vnic { ring <- SkbQueue::new() });
            nics.push(Attachment::new(&driver, &config, softc)?, GFP_KERNEL)?;
        }
        let slots = Arc::pin_init(
            pin_init!(Slots {
                nics,
                pull_in_irq: Atomic::new(u32::MAX),
                timer <- HrTimer::new(),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _timer: slots.clone().start(TIMER),
            _files: KBox::pin_init(
                Scope::dir(slots, c"ifref_vnic", |slots, dir| {
                    dir.write_only_callback_file(c"pull", slots, &Slots::pull);
                    dir.read_write_file(c"pull_in_irq", &slots.pull_in_irq);
                }),
                GFP_KERNEL,
            )?,
            _driver: driver,
        })
    }
}
