// SPDX-License-Identifier: GPL-2.0

//! A driver in Rust with every operation, which does what it is told, and counts.
//!
//! A word that is written to `/sys/kernel/debug/ifref_nic/do` is done to its one NIC, `n0`: `attach`,
//! `detach`, `ask`, `drop` (the attachment), `hold`, `release`, `use` (all that a hold is good for),
//! `up` and `down` (the carrier), `receive`. The files of the folder show what was called how often;
//! `wrong` is what never should be. To be set are `veto`, `send_ms` for each packet that is sent,
//! and `linger_ms` for the end of each poll.

use core::mem;
use ifref::{
    nic::{
        Address, Attachment, Config, Driver, Held, LinkStats, Nic, Operations, Poll, RxMode, Skb,
        SkbQueue, Veto, Weak,
    },
    Text,
};
use kernel::{
    debugfs::Scope,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex,
    },
    time::{delay::udelay, Delta},
    uaccess::UserSliceReader,
};

module! {
    type: Module,
    name: "ifref_nic",
    authors: ["The ifref developers"],
    description: "ifref test: a driver in Rust",
    license: "GPL",
    params: {
        forget: u32 {
            default: 0,
            description: "1: the driver, which is not unregistered; 2: the attachment; 3: a weak one",
        },
    },
}

/// A frame: to all, from a place for its source, of a protocol for experiments.
const FRAME: [u8; 60] = {
    let mut frame = [0; 60];
    let mut at = 0;
    while at < 6 {
        frame[at] = 0xff;
        at += 1;
    }
    frame[12] = 0x88;
    frame[13] = 0xb5;
    frame
};

/// The MTU that the driver refuses.
const ODD_MTU: u32 = 1313;

/// What was called, and what was said.
struct Seen {
    opened: Atomic<u32>,
    stopped: Atomic<u32>,
    sent: Atomic<u32>,
    polled: Atomic<u32>,
    completed: Atomic<u32>,
    groups: Atomic<u32>,
    promiscuous: Atomic<u32>,
    addresses: Atomic<u32>,
    mtu: Atomic<u32>,
    asked: Atomic<u32>,
    veto: Atomic<u32>,
    quiesced: Atomic<u32>,
    dropped: Atomic<u32>,
    wrong: Atomic<u32>,
    send_ms: Atomic<u32>,
    linger_ms: Atomic<u32>,
}

impl Seen {
    const fn new() -> Self {
        Self {
            opened: Atomic::new(0),
            stopped: Atomic::new(0),
            sent: Atomic::new(0),
            polled: Atomic::new(0),
            completed: Atomic::new(0),
            groups: Atomic::new(0),
            promiscuous: Atomic::new(0),
            addresses: Atomic::new(0),
            mtu: Atomic::new(0),
            asked: Atomic::new(0),
            veto: Atomic::new(0),
            quiesced: Atomic::new(0),
            dropped: Atomic::new(0),
            wrong: Atomic::new(0),
            send_ms: Atomic::new(0),
            linger_ms: Atomic::new(0),
        }
    }

    fn never(&self, what: &str, is_so: bool) {
        if is_so {
            pr_err!("nic: {what}\n");
            self.wrong.add(1, Relaxed);
        }
    }
}

#[pin_data(PinnedDrop)]
struct Softc {
    seen: Arc<Seen>,
    is_open: Atomic<bool>,
    is_quiet: Atomic<bool>,
    #[pin]
    ring: SkbQueue,
}

impl Softc {
    fn new(seen: Arc<Seen>) -> impl PinInit<Self> {
        pin_init!(Self {
            seen,
            is_open: Atomic::new(false),
            is_quiet: Atomic::new(false),
            ring <- SkbQueue::new(),
        })
    }

    /// In an operation that must not come after `quiesce`.
    fn seen(&self) -> &Seen {
        let is_quiet = self.is_quiet.load(Relaxed);
        self.seen.never("called after quiesce", is_quiet);
        &self.seen
    }
}

/// Takes its time where nobody may sleep.
fn busy(ms: &Atomic<u32>) {
    for _ in 0..ms.load(Relaxed) {
        udelay(Delta::from_millis(1));
    }
}

#[pinned_drop]
impl PinnedDrop for Softc {
    fn drop(self: Pin<&mut Self>) {
        let is_open = self.is_open.load(Relaxed);
        self.seen.never("dropped while open", is_open);
        self.seen.dropped.add(1, Relaxed);
    }
}

#[vtable]
impl Operations for Softc {
    const NAME: &'static str = "nic";

    fn start_xmit(&self, nic: &Nic<Self>, mut skb: Skb) {
        busy(&self.seen.send_ms);
        // At the end of the delay.
        self.seen().sent.add(1, Relaxed);
        nic.count_sent(skb.len());
        let whole = skb.data().len() == skb.len() as usize;
        self.seen.never("sent in pieces", !whole);
        // What is looped becomes a frame for all.
        match skb.data_mut() {
            Ok(data) if data.len() >= 14 => data[..6].fill(0xff),
            _ => return nic.count_dropped(),
        }
        self.ring.push(skb);
        nic.stop_queue();
        nic.schedule();
    }

    fn open(&self, nic: &Nic<Self>) -> Result {
        self.seen().opened.add(1, Relaxed);
        let was_open = self.is_open.xchg(true, Relaxed);
        self.seen.never("opened twice", was_open);
        self.seen
            .never("opened without a hold", nic.weak().hold().is_none());
        Ok(())
    }

    fn stop(&self, _nic: &Nic<Self>) {
        self.seen().stopped.add(1, Relaxed);
        let was_open = self.is_open.xchg(false, Relaxed);
        self.seen.never("stopped twice", !was_open);
    }

    fn poll(&self, nic: &Nic<Self>, poll: &mut Poll<'_, Self>) {
        self.seen().polled.add(1, Relaxed);
        poll.deliver(|| self.ring.pop());
        nic.wake_queue();
    }

    fn polled(&self, _nic: &Nic<Self>) {
        let was_open = self.is_open.load(Relaxed);
        self.seen().completed.add(1, Relaxed);
        busy(&self.seen.linger_ms);
        let is_open = self.is_open.load(Relaxed);
        self.seen().never("stopped meanwhile", was_open && !is_open);
    }

    fn set_rx_mode(&self, _nic: &Nic<Self>, mode: &RxMode<'_>) {
        let mut groups = 0;
        mode.for_each_multicast(|address| groups += u32::from(address[0] & 1));
        let seen = self.seen();
        seen.groups.store(groups, Relaxed);
        let promiscuous = mode.is_promiscuous() || mode.is_all_multicast();
        seen.promiscuous.store(promiscuous.into(), Relaxed);
    }

    fn set_mac_address(&self, nic: &Nic<Self>, address: &Address) -> Result {
        self.seen().addresses.add(1, Relaxed);
        self.seen.never("told too late", nic.address() == *address);
        Ok(())
    }

    fn change_mtu(&self, _nic: &Nic<Self>, mtu: u32) -> Result {
        if mtu == ODD_MTU {
            return Err(EDOM);
        }
        self.seen().mtu.store(mtu, Relaxed);
        Ok(())
    }

    fn get_stats64(&self, _nic: &Nic<Self>, stats: &mut LinkStats) {
        stats.rx_errors = 7;
    }

    fn may_detach(&self, _nic: &Nic<Self>) -> Result<(), Veto> {
        self.seen().asked.add(1, Relaxed);
        if self.seen.veto.load(Relaxed) == 0 {
            return Ok(());
        }
        Err(Veto {
            reason: Text::from("it is told to"),
            again_ms: 0,
        })
    }

    fn quiesce(&self, _nic: &Nic<Self>) {
        self.seen().quiesced.add(1, Relaxed);
        self.is_quiet.store(true, Relaxed);
        let is_open = self.is_open.load(Relaxed);
        self.seen.never("quiesced while open", is_open);
    }
}

/// What the commands are about.
#[pin_data]
struct Rig {
    #[pin]
    attachment: Mutex<Option<Attachment<Softc>>>,
    #[pin]
    weak: Mutex<Option<Weak<Softc>>>,
    #[pin]
    held: Mutex<Option<Held<Softc>>>,
    seen: Arc<Seen>,
    // The last.
    #[pin]
    driver: Mutex<Option<Driver<Softc>>>,
}

impl Rig {
    fn write(rig: &Arc<Self>, reader: &mut UserSliceReader) -> Result {
        let mut word = [0; 16];
        let word = word.get_mut(..reader.len()).ok_or(EINVAL)?;
        reader.read_slice(word)?;
        rig.carry_out(word.trim_ascii_end())
    }

    fn carry_out(&self, word: &[u8]) -> Result {
        let name = match word {
            b"attach" => "n0",
            b"attach badly" => "n/0",
            _ => return self.act(word),
        };
        let config = Config {
            name,
            max_mtu: 9000,
            carrier: false,
            ..Config::default()
        };
        let driver = self.driver.lock();
        let driver = driver.as_ref().ok_or(ENODEV)?;
        let nic = Attachment::new(driver, &config, Softc::new(self.seen.clone()))?;
        *self.weak.lock() = Some(nic.clone());
        *self.attachment.lock() = Some(nic);
        Ok(())
    }

    fn act(&self, word: &[u8]) -> Result {
        let weak = self.weak.lock().clone().ok_or(ENODEV)?;
        match word {
            b"detach" => weak.detach(),
            b"ask" => weak.ask_detach(),
            b"wait" => return weak.wait(),
            b"drop" => drop(self.attachment.lock().take()),
            b"hold" => *self.held.lock() = Some(weak.hold().ok_or(ENODEV)?),
            b"release" => drop(self.held.lock().take()),
            b"use" => return self.use_held(),
            b"up" => weak.hold().ok_or(ENODEV)?.set_carrier(true),
            b"down" => weak.hold().ok_or(ENODEV)?.set_carrier(false),
            b"receive" => {
                let nic = weak.hold().ok_or(ENODEV)?;
                return self.receive(&nic);
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// A frame comes in.
    fn receive(&self, nic: &Nic<Softc>) -> Result {
        let mut skb = nic.alloc_skb(FRAME.len() as u32)?;
        self.seen.never("room", skb.put(1 << 20).is_ok());
        skb.put(FRAME.len() as u32)?.copy_from_slice(&FRAME);
        skb.data_mut()?[6..12].copy_from_slice(&nic.address());
        nic.receive(skb);
        Ok(())
    }

    /// Harmless at any time.
    fn use_held(&self) -> Result {
        let held = self.held.lock();
        let nic = held.as_ref().ok_or(ENODEV)?;
        nic.set_carrier(!nic.carrier());
        nic.stop_queue();
        nic.wake_queue();
        nic.schedule();
        nic.count_sent(1);
        nic.count_dropped();
        self.receive(nic)?;
        // Without a header.
        nic.receive(nic.alloc_skb(10)?);
        pr_info!(
            "nic: {} mtu {} open {}\n",
            nic.name().as_str(),
            nic.mtu(),
            nic.softc().is_open.load(Relaxed)
        );
        Ok(())
    }
}

struct Module {
    _files: Pin<KBox<Scope<Arc<Rig>>>>,
    rig: Arc<Rig>,
}

impl Drop for Module {
    fn drop(&mut self) {
        match module_parameters::forget.value() {
            1 => mem::forget(self.rig.driver.lock().take()),
            2 => mem::forget(self.rig.attachment.lock().take()),
            3 => {
                let weak = self.rig.weak.lock().take();
                let _ = KBox::new(weak, GFP_KERNEL).map(KBox::leak);
            }
            _ => {}
        }
    }
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let rig = Arc::pin_init(
            try_pin_init!(Rig {
                attachment <- new_mutex!(None),
                weak <- new_mutex!(None),
                held <- new_mutex!(None),
                seen: Arc::new(Seen::new(), GFP_KERNEL)?,
                driver <- new_mutex!(Some(Driver::register()?)),
            }? Error),
            GFP_KERNEL,
        )?;
        let files = Scope::dir(rig.clone(), c"ifref_nic", |rig, dir| {
            let seen = &rig.seen;
            dir.write_only_callback_file(c"do", rig, &Rig::write);
            dir.read_only_file(c"opened", &seen.opened);
            dir.read_only_file(c"stopped", &seen.stopped);
            dir.read_only_file(c"sent", &seen.sent);
            dir.read_only_file(c"polled", &seen.polled);
            dir.read_only_file(c"completed", &seen.completed);
            dir.read_only_file(c"groups", &seen.groups);
            dir.read_only_file(c"promiscuous", &seen.promiscuous);
            dir.read_only_file(c"addresses", &seen.addresses);
            dir.read_only_file(c"mtu", &seen.mtu);
            dir.read_only_file(c"asked", &seen.asked);
            dir.read_write_file(c"veto", &seen.veto);
            dir.read_only_file(c"quiesced", &seen.quiesced);
            dir.read_only_file(c"dropped", &seen.dropped);
            dir.read_only_file(c"wrong", &seen.wrong);
            dir.read_write_file(c"send_ms", &seen.send_ms);
            dir.read_write_file(c"linger_ms", &seen.linger_ms);
        });
        Ok(Self {
            _files: KBox::pin_init(files, GFP_KERNEL)?,
            rig,
        })
    }
}
