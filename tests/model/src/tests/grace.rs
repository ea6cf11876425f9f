// SPDX-License-Identifier: GPL-2.0

//! The grace period of the model itself: as strong as RCU's, and not stronger.

use super::Seen;
use crate::platform::{explore, grace_period, Section};
use loom::{
    sync::atomic::{
        fence, AtomicBool,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
};
use std::sync::Arc;

/// `first` is stored, then `wait` is called, then `second` is stored; says whether a section may
/// see the second and not the first.
fn torn(wait: fn()) -> Seen {
    let seen = Seen::default();
    let torn = seen.clone();
    explore(move || {
        let words = Arc::new((AtomicBool::new(false), AtomicBool::new(false)));
        let writer = thread::spawn({
            let words = words.clone();
            move || {
                words.0.store(true, Relaxed);
                wait();
                words.1.store(true, Relaxed);
            }
        });
        let section = Section::enter(0);
        let second = words.1.load(Relaxed);
        let first = words.0.load(Relaxed);
        drop(section);
        torn.note(second && !first);
        writer.join().unwrap();
    });
    seen
}

/// No section is on both sides of a grace period.
#[test]
fn no_section_spans_it() {
    assert_eq!(torn(grace_period).0.load(SeqCst), 1);
}

/// Without one, not even a full barrier of the writer makes a section see things in order.
#[test]
fn a_barrier_is_none() {
    torn(|| fence(SeqCst)).both();
}
