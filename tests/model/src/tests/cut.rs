// SPDX-License-Identifier: GPL-2.0

//! Following while the link is cut.

use super::Seen;
use crate::{
    interface::Address,
    lifecycle::Invalid,
    platform::{explore, Flaws, Right},
};
use loom::{sync::atomic::Ordering, thread};

/// An address is taken off an interface that lives on, while somebody follows.
fn remove<F: Flaws>() {
    let seen = Seen::default();
    let followed = seen.clone();
    explore(move || {
        let address = Address::<F>::valid();
        let follower = thread::spawn({
            let (address, followed) = (address.clone(), followed.clone());
            move || match address.follow(0) {
                Ok(()) => followed.note(true),
                Err(reason) => {
                    assert_eq!(reason, Invalid::AddressRemoved, "the reason is wrong");
                    followed.note(false);
                }
            }
        });
        assert!(address.link.cut_after(Invalid::AddressRemoved, |_| ()));
        follower.join().unwrap();
        assert_eq!(address.follow(0), Err(Invalid::AddressRemoved));
    });
    seen.both();
}

/// Whoever follows is either let through or told the right reason, never that the interface went.
#[test]
fn a_removed_address_is_called_so() {
    remove::<Right>();
}

/// Found: whoever finds null does not find the reason.
#[test]
#[should_panic(expected = "the reason is wrong")]
fn loading_the_pointer_relaxed() {
    struct Relaxed;
    impl Flaws for Relaxed {
        const LOAD_POINTER: Ordering = Ordering::Relaxed;
    }
    remove::<Relaxed>();
}

/// Two cut one link while somebody follows it.
fn cut_twice<F: Flaws>() {
    const REASONS: [Invalid; 2] = [Invalid::Moved, Invalid::AddressRemoved];
    explore(|| {
        let address = Address::<F>::valid();
        let cutters = REASONS.map(|reason| {
            let address = address.clone();
            thread::spawn(move || address.link.cut_after(reason, |_| ()))
        });
        let refusal = address.follow(0).err();
        let cut = cutters.map(|cutter| cutter.join().unwrap());
        assert_ne!(cut[0], cut[1], "not one winner");
        let reason = REASONS[usize::from(cut[1])];
        assert_eq!(address.link.reason(), Some(reason));
        assert!(refusal.is_none_or(|refusal| refusal == reason));
    });
}

/// Exactly one of them did it, and nobody is ever told the reason of the other.
#[test]
fn one_of_two_cuts_it() {
    cut_twice::<Right>();
}

/// Found: a compare-and-exchange of two accesses.
#[test]
#[should_panic(expected = "not one winner")]
fn cutting_in_two_accesses() {
    struct Torn;
    impl Flaws for Torn {
        const ATOMIC: bool = false;
    }
    cut_twice::<Torn>();
}
