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
    sync::atomic::{
        fence, AtomicPtr, AtomicU32,
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

    fn fetch_inc(&self) -> u32 {
        let old = self.0.fetch_add(1, rmw::<F>());
        full::<F>();
        old
    }

    fn fetch_dec(&self) -> u32 {
        let old = self.0.fetch_sub(1, rmw::<F>());
        full::<F>();
        old
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

    fn clear(&self) {
        self.0.swap(std::ptr::null_mut(), rmw::<F>());
        full::<F>();
    }
}

/// Threads that may be in a read section, one word for each: odd inside of one.
pub const READERS: usize = 2;

loom::lazy_static! {
    static ref SECTIONS: [AtomicU32; READERS] = Default::default();
}

/// Evidence of a read section.
pub struct Section(&'static AtomicU32);

impl Section {
    /// Begins one in the thread that is `reader`.
    pub fn enter(reader: usize) -> Self {
        // Not a fence, which would show the section every full barrier before it: it is to see
        // what came before a grace period that began before it, and no more.
        let was = SECTIONS[reader].fetch_add(1, Acquire);
        assert_eq!(was % 2, 0, "nested");
        Self(&SECTIONS[reader])
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        // A model that has failed is taken down: no more steps.
        if !thread::panicking() {
            self.0.fetch_add(1, Release);
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
/// `preemptions` times. What a load may find is not limited by it.
pub fn explore_within(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        // Made before the threads: making it is an order among those that use it first.
        let _ = SECTIONS.len();
        model();
    });
}
