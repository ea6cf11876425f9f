// SPDX-License-Identifier: GPL-2.0

//! The kernel as the platform of [`crate::lifecycle`].

use crate::{
    ffi::{
        compat,
        percpu::{
            Counter,
            Cpus,
            Shards, //
        },
        rwonce, //
    },
    lifecycle::{
        self,
        Platform,
        Pointer,
        Wide,
        Word, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full},
        rcu, //
    }, //
};

/// The kernel's atomics and RCU.
pub(crate) struct Kernel;

impl Platform for Kernel {
    type Word = Atomic<u32>;
    type Wide = Atomic<i64>;
    type Shards = Shards;
    type Pointer<T> = Atomic<*const T>;
    type Guard = rcu::Guard;

    fn synchronize() {
        compat::synchronize_rcu();
    }
}

impl Word for Atomic<u32> {
    fn new(value: u32) -> Self {
        Atomic::new(value)
    }

    #[inline]
    fn load(&self) -> u32 {
        rwonce::word_acquire(self)
    }

    #[inline]
    fn store(&self, value: u32) {
        rwonce::word_store(self, value);
    }

    #[inline]
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.cmpxchg(old, new, Full)
    }
}

impl Wide for Atomic<i64> {
    fn new(value: i64) -> Self {
        Atomic::new(value)
    }

    fn load(&self) -> i64 {
        Atomic::load(self, Acquire)
    }

    fn add(&self, delta: i64) -> i64 {
        self.fetch_add(delta, Full)
    }
}

impl lifecycle::Shards for Shards {
    type Cpus = Cpus;

    #[inline]
    fn get(&self) -> bool {
        Shards::get(self)
    }

    #[inline]
    fn put(&self) -> bool {
        Shards::put(self)
    }

    fn close(&self, cpus: &Cpus) -> i64 {
        Shards::close(self, cpus)
    }

    fn gets(&self) -> u64 {
        self.sum(Counter::Gets)
    }

    fn puts(&self) -> u64 {
        self.sum(Counter::Puts)
    }
}

impl<T> Pointer<T> for Atomic<*const T> {
    fn new(target: *const T) -> Self {
        Atomic::new(target)
    }

    #[inline]
    fn load(&self) -> *const T {
        rwonce::pointer_acquire(self)
    }

    #[inline]
    fn store(&self, target: *const T) {
        rwonce::pointer_release(self, target);
    }

    fn clear(&self) {
        self.xchg(core::ptr::null(), Full);
    }

    #[inline]
    fn compare_exchange(&self, old: *const T, new: *const T) -> Result<*const T, *const T> {
        self.cmpxchg(old, new, Full)
    }

    fn take(&self) -> *const T {
        self.xchg(core::ptr::null(), Full)
    }
}

#[kunit_tests(ifref_lifecycle)]
mod tests {
    use super::*;
    use crate::ffi::percpu::HOLDER_SIZE;
    use crate::lifecycle::{
        bury,
        Cause,
        Invalid,
        Link,
        Phase,
        State,
        Sums,
        Tally,
        Target, //
    };
    use core::cell::Cell;
    use kernel::sync::atomic::Relaxed;

    struct Interface {
        state: State<Kernel>,
        registered: Atomic<u32>,
    }

    impl Default for Interface {
        fn default() -> Self {
            Self {
                state: State::default(),
                registered: Atomic::new(1),
            }
        }
    }

    impl Target<Kernel> for Interface {
        fn state(&self) -> &State<Kernel> {
            &self.state
        }

        unsafe fn registered(&self) -> bool {
            Atomic::load(&self.registered, Relaxed) == 1
        }
    }

    #[test]
    fn phases_only_grow() {
        let state = State::<Kernel>::default();
        assert!(state.phase() == Phase::Attaching);
        // Neither comes before VALID.
        state.advance(Phase::Unlinked);
        assert!(!state.invalidate(Cause::Unbind));
        assert!(state.phase() == Phase::Attaching);
        state.publish();
        assert!(state.is_valid());
        state.advance(Phase::Unlinked);
        assert!(state.is_valid());
        assert!(state.invalidate(Cause::Dismantle));
        for to in [Phase::Unlinked, Phase::Draining, Phase::Freed] {
            state.advance(to);
            assert!(state.phase() == to);
            state.advance(Phase::Unlinked);
            assert!(state.phase() == to);
        }
        state.publish();
        assert!(!state.is_valid());
        assert!(state.cause() == Cause::Dismantle);
    }

    #[test]
    fn one_wins() {
        let state = State::<Kernel>::default();
        state.publish();
        assert!(state.invalidate(Cause::Unbind));
        assert!(!state.invalidate(Cause::RegState));
        assert!(!state.invalidate(Cause::Unload));
        assert!(state.cause() == Cause::Unbind);
        assert!(state.phase() == Phase::Detaching);
    }

    #[test]
    fn a_follow_checks_all_three() {
        let target = Interface::default();
        // SAFETY: the target outlives every read section of this test.
        let link = unsafe { Link::new(&target) };
        let refused = |link: &Link<Kernel, Interface>| link.follow(&rcu::read_lock()).err();
        assert!(refused(&link) == Some(Invalid::Detached));
        target.state.publish();
        assert!(refused(&link).is_none());
        target.registered.store(0, Relaxed);
        assert!(refused(&link) == Some(Invalid::Detached));
        target.registered.store(1, Relaxed);
        assert!(refused(&link).is_none());
        assert!(target.state.invalidate(Cause::Unbind));
        assert!(refused(&link) == Some(Invalid::Detached));
    }

    #[test]
    fn a_cut_is_for_ever_and_says_why() {
        let target = Interface::default();
        target.state.publish();
        // SAFETY: the target outlives every read section of this test.
        let link = unsafe { Link::new(&target) };
        assert!(link.reason().is_none());
        assert!(link.cut_after(Invalid::Moved, |_| ()));
        assert!(!link.cut_after(Invalid::Detached, |_| ()));
        assert!(link.follow(&rcu::read_lock()).err() == Some(Invalid::Moved));
        assert!(link.reason() == Some(Invalid::Moved));
    }

    #[test]
    fn a_tally_is_exact_in_the_end() -> Result {
        let shards = Shards::new(0, 0, [0; HOLDER_SIZE], GFP_KERNEL)?;
        let tally = Tally::<Kernel>::new(shards);
        tally.get();
        tally.get();
        tally.get();
        assert!(!tally.put());
        assert_eq!(tally.references(), 2);
        // Nothing to fold yet.
        assert!(!tally.fold(&Cpus::lock()));
        tally.switch();
        tally.get();
        assert!(!tally.put());
        // One of them comes before the fold, whose bias keeps it from being taken for the last.
        assert!(!tally.put());
        Kernel::synchronize();
        assert!(!tally.fold(&Cpus::lock()));
        assert_eq!(tally.references(), 1);
        assert!(!tally.ended());
        assert!(tally.put());
        assert!(tally.ended());
        assert!(!tally.fold(&Cpus::lock()));
        assert!(tally.sums() == Sums { gets: 4, puts: 4 });
        Ok(())
    }

    #[test]
    fn the_fold_may_be_the_last() -> Result {
        let shards = Shards::new(0, 0, [0; HOLDER_SIZE], GFP_KERNEL)?;
        let tally = Tally::<Kernel>::new(shards);
        tally.get();
        assert!(!tally.put());
        tally.switch();
        Kernel::synchronize();
        assert!(tally.fold(&Cpus::lock()));
        assert!(!tally.fold(&Cpus::lock()));
        Ok(())
    }

    #[test]
    fn a_put_too_many_does_not_keep_it() -> Result {
        let shards = Shards::new(0, 0, [0; HOLDER_SIZE], GFP_KERNEL)?;
        let tally = Tally::<Kernel>::new(shards);
        tally.get();
        assert!(!tally.put());
        assert!(!tally.put());
        assert_eq!(tally.references(), 0);
        tally.switch();
        Kernel::synchronize();
        assert!(tally.fold(&Cpus::lock()));
        assert!(tally.ended());
        assert_eq!(tally.references(), 0);
        Ok(())
    }

    #[test]
    fn a_burial_cuts_before_it_ends() {
        let steps = Cell::new(0);
        bury::<Kernel, _>(
            &steps,
            |steps| steps.set(1),
            |steps| steps.set(steps.get() * 10),
        );
        assert_eq!(steps.get(), 10);
    }
}
