// SPDX-License-Identifier: GPL-2.0

//! What hurts references most, as a module of the tests: everything at once, and a pause.
//!
//! Two threads take references to `s0` to `s3` by name, clone, follow, use, enter and drop them as
//! fast as they can, and swap them with each other; a timer drops some in hard IRQ. They begin when
//! 1 is written to `/sys/kernel/debug/ifref_stress/run`, and pause when 0 is.
//!
//! A third thread follows the interface whose name is written to `pause`, and stays between the
//! follow and the use, in its RCU read section, until 1 is written to `go`: `paused` is 1 meanwhile
//! (or `refusals` one more, if it is refused). `used` has what it found then. With 1 in `late` it
//! leaves the section before the pause.
//!
//! A fourth thread takes a reference to the interface whose name is written to `churn`, and clones
//! and drops it, on its CPU, until 1 is written to `go`: `churning` is 1 meanwhile.

use core::{fmt, hint::spin_loop};
use ifref::{new_irq_lock, IfaddrRef, IrqLock, Key, Net, Registration, Rtnl, Skb, Slot};
use ifref::{Running, Task, Text, Thread, NAME_SIZE};
use kernel::{
    debugfs::Scope,
    impl_has_hr_timer, new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu, Arc, ArcBorrow, Mutex,
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle, HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerPointer,
            HrTimerRestart, RelativeHardMode,
        },
        Delta, Instant, Monotonic,
    },
};

module! {
    type: Module,
    name: "ifref_stress",
    authors: ["The ifref developers"],
    description: "ifref: clone, follow, enter, drop, pause",
    license: "GPL",
}

const NAMES: [&CStr; 4] = [c"s0", c"s1", c"s2", c"s3"];

/// How many references are on their way from one thread to another, or to the timer.
const SHARED: usize = 32;

/// Of so many turns of a thread one enters.
const ENTERS: u64 = 64;

/// How long a pause may be at most, for a test that never says go. Who pauses raises what the kernel
/// takes for a stall.
const PAUSE_MS: i64 = 240_000;

const TIMER: Delta = Delta::from_micros(700);

/// What was done; shown each in a file of its name.
struct Done {
    taken: Atomic<u64>,
    cloned: Atomic<u64>,
    followed: Atomic<u64>,
    refused: Atomic<u64>,
    entered: Atomic<u64>,
    dropped_in_irq: Atomic<u64>,
}

impl Done {
    const fn new() -> Self {
        Self {
            taken: Atomic::new(0),
            cloned: Atomic::new(0),
            followed: Atomic::new(0),
            refused: Atomic::new(0),
            entered: Atomic::new(0),
            dropped_in_irq: Atomic::new(0),
        }
    }
}

fn count(of: &Atomic<u64>) -> u64 {
    of.fetch_add(1, Relaxed)
}

#[pin_data]
struct Stress {
    #[pin]
    shared: IrqLock<[Option<IfaddrRef>; SHARED]>,
    #[pin]
    timer: HrTimer<Self>,
    run: Atomic<u32>,
    done: Done,
    // After what is shared.
    registration: Registration,
}

impl Stress {
    /// The `turn`-th turn of a thread.
    fn turn(&self, turn: u64, reference: IfaddrRef, thread: &Running) {
        // Whichever was there goes on, in this thread, perhaps on another CPU.
        let place = turn as usize % SHARED;
        let other = self.shared.lock()[place].replace(reference.clone());
        count(&self.done.cloned);
        let mut slot = Slot::new(other.unwrap_or(reference));
        let followed = slot.follow(&rcu::read_lock()).map(|live| {
            let stats = live.stats();
            (live.mtu(), live.name(), stats.rx_packets)
        });
        match followed {
            Ok(_) => count(&self.done.followed),
            Err(_) => count(&self.done.refused),
        };
        if turn % ENTERS == 0 {
            if let Some(Ok(entered)) = slot.reference().map(|reference| reference.enter()) {
                count(&self.done.entered);
                thread.sleep((turn / ENTERS % 3) as u32);
                let _ = entered.registered_device(&Rtnl::lock());
            }
        }
    }
}

impl Task for Stress {
    fn run(&self, thread: &Running) {
        let net = Net::initial();
        let mut turns = 0;
        while thread.sleep(1) {
            if self.run.load(Relaxed) == 0 {
                continue;
            }
            for name in NAMES {
                let key = Key::Name(&net, name);
                let Ok(reference) = self.registration.get(key, GFP_KERNEL) else {
                    continue;
                };
                count(&self.done.taken);
                for _ in 0..50 {
                    turns += 1;
                    self.turn(turns, reference.clone(), thread);
                }
            }
        }
    }
}

impl HrTimerCallback for Stress {
    type Pointer<'a> = Arc<Self>;

    /// Drops one in four, some of them the last of their interface.
    fn run(this: ArcBorrow<'_, Self>, mut ctx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        let mut shared = this.shared.lock();
        for place in shared.iter_mut().step_by(4) {
            if place.take().is_some() {
                count(&this.done.dropped_in_irq);
            }
        }
        drop(shared);
        ctx.forward_now(TIMER);
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Stress { mode: RelativeHardMode<Monotonic>, field: self.timer }
}

/// What a paused follower found.
#[derive(Clone, Copy, Default)]
struct Used {
    name: Text<NAME_SIZE>,
    mtu: u32,
    serial: u64,
    sent: bool,
}

// As its file shows it.
impl fmt::Debug for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, mtu, serial, sent) = (self.name.as_str(), self.mtu, self.serial, self.sent);
        write!(f, "name={name} mtu={mtu} serial={serial} sent={sent}")
    }
}

#[pin_data]
struct Pause {
    registration: Registration,
    #[pin]
    name: Mutex<Text<NAME_SIZE>>,
    #[pin]
    used: Mutex<Used>,
    go: Atomic<u32>,
    late: Atomic<u32>,
    paused: Atomic<u32>,
    refused: Atomic<u64>,
}

impl Pause {
    /// Until the test says go.
    fn pause(&self) {
        let begun = Instant::<Monotonic>::now();
        self.paused.store(1, Relaxed);
        while self.go.load(Relaxed) == 0 && begun.elapsed().as_millis() < PAUSE_MS {
            spin_loop();
        }
        self.paused.store(0, Relaxed);
    }

    /// Follows, pauses, uses.
    fn follow(&self, reference: &IfaddrRef) -> Option<Used> {
        let packet = Skb::new(64, GFP_KERNEL).ok()?;
        let section = rcu::read_lock();
        let live = reference.try_follow(&section).ok()?;
        if self.late.load(Relaxed) == 1 {
            // What no safe code can do: a use after the section.
            // SAFETY: none; a test of what watches.
            let dev = unsafe { live.as_raw() };
            drop(section);
            self.pause();
            // SAFETY: none; as above.
            let _ = unsafe { dev.cast::<u64>().read_volatile() };
            return Some(Used::default());
        }
        self.pause();
        let _ = live.stats();
        Some(Used {
            name: live.name(),
            mtu: live.mtu(),
            serial: live.serial(),
            // A device that is going may well refuse.
            sent: live.transmit(packet).is_ok(),
        })
    }
}

impl Task for Pause {
    fn run(&self, thread: &Running) {
        let net = Net::initial();
        while thread.sleep(10) {
            let name = core::mem::take(&mut *self.name.lock());
            if name == Text::default() {
                continue;
            }
            let key = Key::Name(&net, name.as_c_str());
            let found = self.registration.get(key, GFP_KERNEL);
            match found.ok().and_then(|reference| self.follow(&reference)) {
                Some(used) => *self.used.lock() = used,
                None => _ = count(&self.refused),
            }
        }
    }
}

#[pin_data]
struct Churn {
    registration: Registration,
    #[pin]
    name: Mutex<Text<NAME_SIZE>>,
    // That of the pause.
    pause: Arc<Pause>,
    churning: Atomic<u32>,
}

impl Task for Churn {
    fn run(&self, thread: &Running) {
        let net = Net::initial();
        while thread.sleep(10) {
            let name = core::mem::take(&mut *self.name.lock());
            let key = Key::Name(&net, name.as_c_str());
            let Ok(reference) = self.registration.get(key, GFP_KERNEL) else {
                continue;
            };
            self.churning.store(1, Relaxed);
            while self.pause.go.load(Relaxed) == 0 && thread.sleep(1) {
                for _ in 0..300_000 {
                    drop(reference.clone());
                }
            }
            self.churning.store(0, Relaxed);
        }
    }
}

struct All {
    stress: Arc<Stress>,
    pause: Arc<Pause>,
    churn: Arc<Churn>,
}

struct Module {
    _files: Pin<KBox<Scope<All>>>,
    _timer: ArcHrTimerHandle<Stress>,
    // Before the registrations, which are the tasks'.
    _threads: (Thread<Stress>, Thread<Stress>, Thread<Pause>, Thread<Churn>),
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let stress = Arc::pin_init(
            try_pin_init!(Stress {
                shared <- new_irq_lock!([const { None }; SHARED], "ifref_stress"),
                timer <- HrTimer::new(),
                run: Atomic::new(0),
                done: Done::new(),
                registration: Registration::register(module, "stress")?,
            }? Error),
            GFP_KERNEL,
        )?;
        let pause = Arc::pin_init(
            try_pin_init!(Pause {
                registration: Registration::register(module, "pause")?,
                name <- new_mutex!(Text::default()),
                used <- new_mutex!(Used::default()),
                go: Atomic::new(0),
                late: Atomic::new(0),
                paused: Atomic::new(0),
                refused: Atomic::new(0),
            }? Error),
            GFP_KERNEL,
        )?;
        let go = pause.clone();
        let churn = Arc::pin_init(
            try_pin_init!(Churn {
                registration: Registration::register(module, "churn")?,
                name <- new_mutex!(Text::default()),
                pause: go,
                churning: Atomic::new(0),
            }? Error),
            GFP_KERNEL,
        )?;
        let all = All {
            stress,
            pause,
            churn,
        };
        Ok(Self {
            _timer: all.stress.clone().start(TIMER),
            _threads: (
                Thread::new(module, c"ifref_stress0", all.stress.clone())?,
                Thread::new(module, c"ifref_stress1", all.stress.clone())?,
                Thread::new(module, c"ifref_pause", all.pause.clone())?,
                Thread::new(module, c"ifref_churn", all.churn.clone())?,
            ),
            _files: KBox::pin_init(
                Scope::dir(all, c"ifref_stress", |all, dir| {
                    let All {
                        stress,
                        pause,
                        churn,
                    } = all;
                    dir.read_write_file(c"run", &stress.run);
                    dir.read_only_file(c"taken", &stress.done.taken);
                    dir.read_only_file(c"cloned", &stress.done.cloned);
                    dir.read_only_file(c"followed", &stress.done.followed);
                    dir.read_only_file(c"refused", &stress.done.refused);
                    dir.read_only_file(c"entered", &stress.done.entered);
                    dir.read_only_file(c"dropped_in_irq", &stress.done.dropped_in_irq);
                    dir.read_write_file(c"pause", &pause.name);
                    dir.read_write_file(c"go", &pause.go);
                    dir.read_write_file(c"late", &pause.late);
                    dir.read_only_file(c"paused", &pause.paused);
                    dir.read_only_file(c"used", &pause.used);
                    dir.read_only_file(c"refusals", &pause.refused);
                    dir.read_write_file(c"churn", &churn.name);
                    dir.read_only_file(c"churning", &churn.churning);
                }),
                GFP_KERNEL,
            )?,
        })
    }
}
