// SPDX-License-Identifier: GPL-2.0

//! The last reference against the end of the interface.

use super::Seen;
use crate::{
    interface::Address,
    lifecycle::{Cause, Count, Invalid},
    platform::{explore, Flaws, Model, Right},
};
use loom::thread;
use std::sync::Arc;

struct Shared<F: Flaws> {
    address: Arc<Address<Right>>,
    count: Count<Model<F>>,
}

impl<F: Flaws> Shared<F> {
    fn cut(&self) -> bool {
        self.address.link.reason().is_some()
    }
}

/// How a holder puts its reference: whether it was the last one, and whether the holder then has
/// to retire the shell.
type Put<F> = fn(&Shared<F>) -> (bool, bool);

fn put<F: Flaws>(shared: &Shared<F>) -> (bool, bool) {
    let last = shared.count.put() == 0;
    (last, last && shared.cut())
}

/// Two holders, of which one makes another reference first, against the interface's end.
fn retire<F: Flaws>(put: Put<F>) {
    let seen = Seen::default();
    let holders_did = seen.clone();
    explore(move || {
        let shared = Arc::new(Shared::<F> {
            address: Address::valid(),
            count: Count::default(),
        });
        assert_eq!((shared.count.get(), shared.count.get()), (1, 2));
        let holders = [false, true].map(|clone| {
            let shared = shared.clone();
            thread::spawn(move || {
                if clone {
                    shared.count.get();
                    assert_eq!(put(&shared), (false, false));
                }
                put(&shared)
            })
        });
        assert!(shared.address.ifnet.state.invalidate(Cause::Dismantle));
        let cutter = shared.address.link.cut(Invalid::Detached) && shared.count.read() == 0;
        let put = holders.map(|holder| holder.join().unwrap());
        assert_ne!(put[0].0, put[1].0, "not one last");
        let holder = put.iter().any(|put| put.1);
        assert!(holder || cutter, "nobody retires the shell");
        holders_did.note(holder);
        assert_eq!(shared.count.read(), 0);
    });
    seen.both();
}

/// Exactly one puts the last reference, and either that one sees the cut, or the one who cut sees
/// that no reference is left: the shell is never forgotten.
#[test]
fn the_last_put_or_the_cut_retires_the_shell() {
    retire::<Right>(put);
}

/// Found: both miss the other.
#[test]
#[should_panic(expected = "nobody retires the shell")]
fn counting_relaxed() {
    struct Relaxed;
    impl Flaws for Relaxed {
        const FULL: bool = false;
    }
    retire::<Relaxed>(put);
}

/// Found: the cut comes between the check and the put.
#[test]
#[should_panic(expected = "nobody retires the shell")]
fn checking_before_the_put() {
    retire::<Right>(|shared| {
        let cut = shared.cut();
        let last = shared.count.put() == 0;
        (last, last && cut)
    });
}
