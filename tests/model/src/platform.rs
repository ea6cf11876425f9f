// SPDX-License-Identifier: GPL-2.0

//! loom as the platform of the core.
//!
//! Where the kernel gives an order, the model gives at most that one. Known exceptions, where loom
//! is stronger: its `fence(SeqCst)`s happen one before the other, which the kernel's full barriers
//! do not without communication; and grace periods happen one before the other, as they meet at
//! the same words. Neither comes between a follower and memory: a follower has no fence and no
//! grace period.

use crate::lifecycle;
use loom::{
    cell::Cell,
    sync::atomic::{
        fence, AtomicI64, AtomicPtr, AtomicU32,
        Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst},
    },
    thread,
};
use std::marker::PhantomData;

/// What may be wrong with a platform or a target. The defaults are right.
pub trait Flaws: 'static {
    /// How a pointer is loaded.
    const LOAD_POINTER: Ordering = Acquire;
    /// How a word is loaded.
    const LOAD_WORD: Ordering = Acquire;
    /// Whether read-modify-writes are fully ordered, or else relaxed.
    const FULL: bool = true;
    /// Whether a compare-and-exchange is one access, or else a load and a store.
    const ATOMIC: bool = true;
    /// Whether `synchronize` waits.
    const GRACE: bool = true;
    /// Whether the target shows the state word that is invalidated, or else one that never is.
    const INVALIDATED: bool = true;
    /// How the address of a node is stored.
    const STORE_POINTER: Ordering = Release;
    /// Whether a CPU counts and looks if it is closed in one step.
    const STEP: bool = true;
    /// How the counters of another CPU are read.
    const LOAD_COUNTER: Ordering = Relaxed;
    /// Whether closing a CPU is an order.
    const CLOSE: Ordering = AcqRel;
    /// Whether a wide word keeps its topmost bits, of which the bias is made.
    const BIAS: bool = true;
    /// Whether the target asks the device if it is registered.
    const REGISTERED: bool = true;
}

/// Nothing is wrong.
pub struct Right;
impl Flaws for Right {}

/// loom with the flaws `F`.
pub struct Model<F>(PhantomData<F>);

impl<F: Flaws> lifecycle::Platform for Model<F> {
    type Word = Word<F>;
    type Wide = Wide<F>;
    type Shards = Shards<F>;
    type Pointer<T> = Pointer<F, T>;
    type Guard = Section;

    fn synchronize() {
        if F::GRACE {
            grace_period();
        }
    }
}

/// The order of a read-modify-write, of which [`full`] is the rest.
const fn rmw<F: Flaws>() -> Ordering {
    if F::FULL {
        AcqRel
    } else {
        Relaxed
    }
}

/// The full barrier after a read-modify-write.
///
/// A sequentially consistent read-modify-write would not do: C11 lets a later load of another
/// word, if it is weaker, pass it, and the kernel's "fully ordered" does not. The barrier before
/// it is left out: the core does not need it, and the model is the weaker for it.
fn full<F: Flaws>() {
    if F::FULL {
        fence(SeqCst);
    }
}

pub struct Word<F>(AtomicU32, PhantomData<fn() -> F>);

impl<F: Flaws> lifecycle::Word for Word<F> {
    fn new(value: u32) -> Self {
        Self(AtomicU32::new(value), PhantomData)
    }

    fn load(&self) -> u32 {
        self.0.load(F::LOAD_WORD)
    }

    fn store(&self, value: u32) {
        self.0.store(value, Relaxed);
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        if F::ATOMIC {
            // One that fails orders nothing, as in the kernel. It finds the newest value, where
            // the kernel's may find an older one; but no word of the core comes back to `old`, so
            // that it would fail with either. (A load in front would be the weaker model, but hide
            // orders from loom: it compares a write with the last access only, which must not
            // always be our own.)
            self.0.compare_exchange(old, new, rmw::<F>(), Relaxed)?;
        } else {
            let found = self.0.load(Relaxed);
            if found != old {
                return Err(found);
            }
            self.0.store(new, Release);
        }
        full::<F>();
        Ok(old)
    }
}

/// The lower half of a number.
fn low(value: i64) -> i64 {
    i64::from(value as i32)
}

pub struct Wide<F>(AtomicI64, PhantomData<fn() -> F>);

impl<F: Flaws> lifecycle::Wide for Wide<F> {
    fn new(value: i64) -> Self {
        Self(
            AtomicI64::new(if F::BIAS { value } else { low(value) }),
            PhantomData,
        )
    }

    fn load(&self) -> i64 {
        self.0.load(F::LOAD_WORD)
    }

    fn add(&self, delta: i64) -> i64 {
        let kept = if F::BIAS { delta } else { low(delta) };
        let old = self.0.fetch_add(kept, rmw::<F>());
        full::<F>();
        // As if the rest had been there, and went.
        old + kept - delta
    }
}

/// Each CPU's gets and puts, negative when it is closed. A thread is a CPU: the one that it has
/// read sections as.
///
/// In the kernel a counter is changed by its own CPU alone, and an interrupt there closes it. Here
/// the closer reaches over, and meets the CPU at the counter: that gives no more than what the
/// interrupt orders. It closes gets and puts one after the other, where the interrupt does both.
pub struct Shards<F> {
    counters: [[AtomicI64; 2]; READERS],
    flaws: PhantomData<fn() -> F>,
}

impl<F: Flaws> Default for Shards<F> {
    fn default() -> Self {
        Self {
            counters: Default::default(),
            flaws: PhantomData,
        }
    }
}

impl<F: Flaws> Shards<F> {
    fn count(&self, which: usize) -> bool {
        let own = &self.counters[this_cpu()][which];
        if F::STEP {
            return own.fetch_add(1, F::CLOSE) >= 0;
        }
        let found = own.load(Acquire);
        own.store(found + 1, Release);
        found >= 0
    }

    fn sum(&self, which: usize) -> u64 {
        self.counters
            .iter()
            .map(|cpu| (cpu[which].load(F::LOAD_COUNTER) & i64::MAX) as u64)
            .sum()
    }
}

impl<F: Flaws> lifecycle::Shards for Shards<F> {
    type Cpus = ();

    fn get(&self) -> bool {
        self.count(0)
    }

    fn put(&self) -> bool {
        self.count(1)
    }

    fn close(&self, (): &()) -> i64 {
        let close = |counter: &AtomicI64| counter.fetch_add(i64::MIN, F::CLOSE);
        self.counters
            .iter()
            .map(|[gets, puts]| close(gets) - close(puts))
            .sum()
    }

    fn gets(&self) -> u64 {
        self.sum(0)
    }

    fn puts(&self) -> u64 {
        self.sum(1)
    }
}

pub struct Pointer<F, T>(AtomicPtr<T>, PhantomData<fn() -> F>);

impl<F: Flaws, T> lifecycle::Pointer<T> for Pointer<F, T> {
    fn new(target: *const T) -> Self {
        Self(AtomicPtr::new(target.cast_mut()), PhantomData)
    }

    fn load(&self) -> *const T {
        self.0.load(F::LOAD_POINTER)
    }

    fn store(&self, target: *const T) {
        self.0.store(target.cast_mut(), F::STORE_POINTER);
    }

    fn clear(&self) {
        self.0.swap(std::ptr::null_mut(), rmw::<F>());
        full::<F>();
    }

    fn compare_exchange(&self, old: *const T, new: *const T) -> Result<*const T, *const T> {
        let (old, new) = (old.cast_mut(), new.cast_mut());
        if F::ATOMIC {
            let found = self.0.compare_exchange(old, new, rmw::<F>(), Relaxed);
            found.map_err(<*mut T>::cast_const)?;
        } else {
            let found = self.0.load(Relaxed);
            if found != old {
                return Err(found);
            }
            self.0.store(new, Release);
        }
        full::<F>();
        Ok(old)
    }

    fn take(&self) -> *const T {
        let found = self.0.swap(std::ptr::null_mut(), rmw::<F>());
        full::<F>();
        found
    }
}

/// Threads that may be in a read section, one word for each: odd inside of one.
pub const READERS: usize = 2;

loom::lazy_static! {
    static ref SECTIONS: [AtomicU32; READERS] = Default::default();
}

loom::thread_local! {
    /// The CPU that a thread is, and how many sections it is in.
    static CPU: Cell<usize> = Cell::new(0);
    static DEPTH: Cell<usize> = Cell::new(0);
}

fn this_cpu() -> usize {
    CPU.with(Cell::get)
}

/// Makes the calling thread a CPU. Two threads that are one at a time may be the same.
pub fn run_on(cpu: usize) {
    CPU.with(|own| own.set(cpu));
}

/// Evidence of a read section, or of a region with preemption off: a grace period waits for both.
pub struct Section(());

impl Section {
    /// Begins one in the thread that is `reader`.
    pub fn enter(reader: usize) -> Self {
        run_on(reader);
        Self::preempt_off()
    }

    /// Begins one on this CPU, perhaps inside of another.
    pub fn preempt_off() -> Self {
        let depth = DEPTH.with(Cell::get);
        DEPTH.with(|own| own.set(depth + 1));
        if depth == 0 {
            // Not a fence, which would show the section every full barrier before it: it is to see
            // what came before a grace period that began before it, and no more.
            let was = SECTIONS[this_cpu()].fetch_add(1, Acquire);
            assert_eq!(was % 2, 0, "two threads are one CPU");
        }
        Self(())
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        // A model that has failed is taken down: no more steps.
        if thread::panicking() {
            return;
        }
        let depth = DEPTH.with(Cell::get) - 1;
        DEPTH.with(|own| own.set(depth));
        if depth == 0 {
            SECTIONS[this_cpu()].fetch_add(1, Release);
        }
    }
}

/// A grace period of RCU, and what RCU orders by it: a section that it waits for ends before it
/// does, and one that it does not wait for begins after all that came before it. The readers'
/// words are read by read-modify-writes, so it is always one of the two.
///
/// It is not the full barrier that the kernel's is.
pub fn grace_period() {
    let begun: Vec<u32> = SECTIONS.iter().map(|s| s.fetch_add(0, AcqRel)).collect();
    for (section, begun) in SECTIONS.iter().zip(begun) {
        while begun % 2 == 1 && section.load(Acquire) == begun {
            thread::yield_now();
        }
    }
}

/// Explores `model` in every order.
pub fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(None, model);
}

/// Explores `model` in every order that takes the CPU away from a thread that could go on at most
/// `preemptions` times; without a number, in all, or as LOOM_MAX_PREEMPTIONS says (scripts/mutants).
/// What a load may find is not limited by it.
pub fn explore_within(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions.or(builder.preemption_bound);
    builder.check(move || {
        // Made before the threads: making it is an order among those that use it first.
        let _ = SECTIONS.len();
        model();
    });
}
