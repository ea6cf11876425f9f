// SPDX-License-Identifier: GPL-2.0

//! The kernel as the platform of [`crate::lifecycle`].

use crate::{
    ffi::compat,
    lifecycle::{
        Platform,
        Pointer,
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
pub struct Kernel;

impl Platform for Kernel {
    type Word = Atomic<u32>;
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
        Atomic::load(self, Acquire)
    }

    #[inline]
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.cmpxchg(old, new, Full)
    }

    #[inline]
    fn fetch_inc(&self) -> u32 {
        self.fetch_add(1, Full)
    }

    #[inline]
    fn fetch_dec(&self) -> u32 {
        self.fetch_sub(1, Full)
    }
}

impl<T> Pointer<T> for Atomic<*const T> {
    fn new(target: *const T) -> Self {
        Atomic::new(target)
    }

    #[inline]
    fn load(&self) -> *const T {
        Atomic::load(self, Acquire)
    }

    fn clear(&self) {
        self.xchg(core::ptr::null(), Full);
    }
}

#[kunit_tests(ifref_lifecycle)]
mod tests {
    use super::*;
    use crate::lifecycle::{
        bury,
        Cause,
        Count,
        Invalid,
        Link,
        Phase,
        State,
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
        assert!(link.cut(Invalid::Moved));
        assert!(!link.cut(Invalid::Detached));
        assert!(link.follow(&rcu::read_lock()).err() == Some(Invalid::Moved));
        assert!(link.reason() == Some(Invalid::Moved));
    }

    #[test]
    fn a_count_is_exact() {
        let count = Count::<Kernel>::default();
        assert_eq!(count.get(), 1);
        assert_eq!(count.get(), 2);
        assert_eq!(count.put(), 1);
        assert_eq!(count.read(), 1);
        assert_eq!(count.put(), 0);
    }

    #[test]
    fn a_burial_cuts_before_it_frees() {
        struct Body<'a>(&'a Cell<u32>);
        impl Drop for Body<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() * 10);
            }
        }
        let steps = Cell::new(0);
        bury::<Kernel, _>(Body(&steps), |body| body.0.set(1));
        assert_eq!(steps.get(), 10);
    }
}
