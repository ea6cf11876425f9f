// SPDX-License-Identifier: GPL-2.0

//! Following while the interface goes.

use super::Seen;
use crate::{
    interface::Address,
    lifecycle::{bury, Cause, Invalid},
    platform::{explore, explore_within, grace_period, Flaws, Model, Right},
};
use loom::{sync::atomic::Ordering, thread};

/// Follows in `readers` threads while `remove` runs.
fn follow_while<F: Flaws>(readers: usize, remove: impl Fn(&Address<F>) + Send + Sync + 'static) {
    let seen = Seen::default();
    let followed = seen.clone();
    // All orders of two followers take seconds now, but a few more accesses would make it minutes.
    explore_within((readers > 1).then_some(3), move || {
        let address = Address::<F>::valid();
        let followers = [0, 1].map(|reader| {
            let (address, followed) = (address.clone(), followed.clone());
            (reader < readers).then(|| {
                thread::spawn(move || match address.follow(reader) {
                    Ok(()) => followed.note(true),
                    Err(reason) => {
                        assert_eq!(reason, Invalid::Detached);
                        followed.note(false);
                    }
                })
            })
        });
        remove(&address);
        for follower in followers.into_iter().flatten() {
            follower.join().unwrap();
        }
    });
    seen.both();
}

/// The core's last grace period, after which the device goes.
fn free_device<F: Flaws>(address: &Address<F>) {
    grace_period();
    address.ifnet.dev.memory.free();
}

fn bury_shell<F: Flaws>(address: &Address<F>) {
    let cut = |_: &_| {
        address.link.cut_after(Invalid::Detached, |_| ());
    };
    bury::<Model<F>, _>(address.shell(), cut, drop);
}

/// A removal that has shown a sign before the core's first grace period. `reg_state` keeps out of
/// it: VALID alone has to do.
fn signed<F: Flaws>(address: &Address<F>) {
    assert!(address.ifnet.state.invalidate(Cause::Dismantle));
    grace_period();
    address.ifnet.dev.operations.free();
    free_device(address);
    bury_shell(address);
}

/// The removal of a device that was down: `reg_state`, a grace period, and only then the sign.
fn unsigned<F: Flaws>(address: &Address<F>) {
    let ifnet = &address.ifnet;
    ifnet.dev.unregistering.store(true, Ordering::Relaxed);
    grace_period();
    assert!(ifnet.state.invalidate(Cause::RegState));
    ifnet.dev.operations.free();
    free_device(address);
    bury_shell(address);
}

/// Whoever follows may touch the shell, the device and what its operations need until the section
/// ends, and the follow itself may touch the shell: nothing is freed under it.
#[test]
fn nothing_is_freed_under_a_follower() {
    follow_while::<Right>(1, signed);
}

/// The same for two at once: the grace period waits for both.
#[test]
fn nothing_is_freed_under_two_followers() {
    follow_while::<Right>(2, bury_shell);
}

/// The same with a worker that cuts the link as soon as it finds VALID gone, at any time in the
/// removal.
#[test]
fn nothing_is_freed_when_the_worker_cuts_early() {
    explore(|| {
        let address = Address::<Right>::valid();
        let spawn = |run: fn(&Address<Right>)| {
            let address = address.clone();
            thread::spawn(move || run(&address))
        };
        let follower = spawn(|address| {
            let _ = address.follow(0);
        });
        let worker = spawn(|address| {
            if !address.ifnet.state.is_valid() {
                address.link.cut_after(Invalid::Detached, |_| ());
            }
        });
        assert!(address.ifnet.state.invalidate(Cause::Dismantle));
        free_device(&address);
        worker.join().unwrap();
        bury_shell(&address);
        follower.join().unwrap();
    });
}

/// Found: `bury` does not wait for whoever was following.
#[test]
#[should_panic(expected = "Causality violation")]
fn burying_without_a_grace_period() {
    struct NoGrace;
    impl Flaws for NoGrace {
        const GRACE: bool = false;
    }
    follow_while::<NoGrace>(1, signed);
}

/// Found: the link still leads to what is buried.
#[test]
#[should_panic(expected = "Causality violation")]
fn burying_without_a_cut() {
    follow_while::<Right>(1, |address| {
        assert!(address.ifnet.state.invalidate(Cause::Dismantle));
        bury::<Model<Right>, _>(address.shell(), |_| (), drop);
    });
}

/// Found: VALID is still there when the device has gone.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_state_that_is_never_invalidated() {
    struct Never;
    impl Flaws for Never {
        const INVALIDATED: bool = false;
    }
    follow_while::<Never>(1, signed);
}

/// Found: VALID goes only after the last grace period.
#[test]
#[should_panic(expected = "Causality violation")]
fn invalidating_too_late() {
    follow_while::<Right>(1, |address| {
        grace_period();
        assert!(address.ifnet.state.invalidate(Cause::Dismantle));
        address.ifnet.dev.memory.free();
        bury_shell(address);
    });
}

/// Of a device that shows its first sign after the core's first grace period, nobody touches what
/// `ndo_uninit` frees before the next one: they have found it not registered.
#[test]
fn a_device_that_is_down_is_not_followed_into_its_removal() {
    follow_while::<Right>(1, unsigned);
}

/// Found: VALID alone does not close that gap.
#[test]
#[should_panic(expected = "Causality violation")]
fn not_asking_whether_it_is_registered() {
    struct Unasked;
    impl Flaws for Unasked {
        const REGISTERED: bool = false;
    }
    follow_while::<Unasked>(1, unsigned);
}

/// An interface is made and published while somebody follows.
fn publish<F: Flaws>() {
    let seen = Seen::default();
    let followed = seen.clone();
    explore(move || {
        let address = Address::<F>::attaching();
        let maker = thread::spawn({
            let address = address.clone();
            move || {
                address.ifnet.dev.memory.make();
                address.ifnet.state.publish();
            }
        });
        followed.note(address.follow(0).is_ok());
        maker.join().unwrap();
    });
    seen.both();
}

/// Whoever sees VALID sees all that was made before it was set.
#[test]
fn what_is_published_is_seen() {
    publish::<Right>();
}

/// Found: a load of VALID that acquires nothing.
#[test]
#[should_panic(expected = "Causality violation")]
fn loading_the_word_relaxed() {
    struct Relaxed;
    impl Flaws for Relaxed {
        const LOAD_WORD: Ordering = Ordering::Relaxed;
    }
    publish::<Relaxed>();
}
