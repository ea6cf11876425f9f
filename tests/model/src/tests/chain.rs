// SPDX-License-Identifier: GPL-2.0

//! A chain that is read while it changes.

use super::Seen;
use crate::{
    interface::Memory,
    lifecycle::{bury, Chain, Linked, Platform, Pointer},
    platform::{explore, Flaws, Model, Right, Section},
};
use loom::{sync::atomic::Ordering, thread};
use std::sync::Arc;

struct Node<F: Flaws> {
    memory: Memory,
    next: <Model<F> as Platform>::Pointer<Self>,
}

impl<F: Flaws> Default for Node<F> {
    fn default() -> Self {
        Self {
            memory: Memory::default(),
            next: Pointer::new(std::ptr::null()),
        }
    }
}

impl<F: Flaws> Linked<Model<F>, 0> for Node<F> {
    fn next(&self) -> &<Model<F> as Platform>::Pointer<Self> {
        self.memory.touch();
        &self.next
    }
}

struct Shared<F: Flaws> {
    chain: Chain<Model<F>, Node<F>, 0>,
    nodes: [Node<F>; 3],
}

/// Of three nodes one is on the chain all the time, one is removed and freed, and one is made and
/// added, while somebody reads.
fn change<F: Flaws>() {
    let seen = Seen::default();
    let added = seen.clone();
    explore(move || {
        let shared = Arc::new(Shared::<F> {
            chain: Chain::default(),
            nodes: Default::default(),
        });
        let [stays, goes, comes] = &shared.nodes;
        assert!(shared.chain.is_empty());
        // SAFETY: nobody else changes the chain.
        unsafe {
            shared.chain.push(stays);
            shared.chain.push(goes);
        }
        assert!(!shared.chain.is_empty());
        let reader = thread::spawn({
            let (shared, added) = (shared.clone(), added.clone());
            move || {
                let section = Section::enter(0);
                let [stays, _, comes] = &shared.nodes;
                let mut there = [false; 2];
                for node in shared.chain.iter(&section) {
                    node.memory.touch();
                    there[0] |= std::ptr::eq(node, stays);
                    there[1] |= std::ptr::eq(node, comes);
                }
                assert!(there[0], "what was there all the time was missed");
                added.note(there[1]);
            }
        });
        comes.memory.make();
        // SAFETY: nobody else changes the chain; the bytes stay until the model's end.
        unsafe { shared.chain.push(comes) };
        bury::<Model<F>, _>(
            goes,
            // SAFETY: nobody else changes the chain.
            |goes| unsafe { shared.chain.remove(goes) },
            |goes| goes.memory.free(),
        );
        reader.join().unwrap();
    });
    seen.both();
}

/// A reader meets all that was there all the time, and nothing that is freed or not yet made.
#[test]
fn a_reader_meets_what_is_there() {
    change::<Right>();
}

/// Found: what was removed is freed at once.
#[test]
#[should_panic(expected = "Causality violation")]
fn freeing_without_a_grace_period() {
    struct NoGrace;
    impl Flaws for NoGrace {
        const GRACE: bool = false;
    }
    change::<NoGrace>();
}

/// Found: a node is met before it is made.
#[test]
#[should_panic(expected = "Causality violation")]
fn adding_relaxed() {
    struct Relaxed;
    impl Flaws for Relaxed {
        const STORE_POINTER: Ordering = Ordering::Relaxed;
    }
    change::<Relaxed>();
}

/// Found: the same on the reader's side.
#[test]
#[should_panic(expected = "Causality violation")]
fn loading_relaxed() {
    struct Relaxed;
    impl Flaws for Relaxed {
        const LOAD_POINTER: Ordering = Ordering::Relaxed;
    }
    change::<Relaxed>();
}
