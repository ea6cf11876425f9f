// SPDX-License-Identifier: GPL-2.0

//! The proofs, and for each the flaws that it finds.

mod attach;
mod chain;
mod cut;
mod devd;
mod grace;
mod removal;
mod state;
mod tally;
mod words;

use std::sync::{
    atomic::{AtomicU32, Ordering::SeqCst},
    Arc,
};

/// What was seen over all orders: that a model can come out both ways.
///
/// Of std, not of loom: it outlives each execution, and orders nothing in one.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicU32>);

impl Seen {
    fn note(&self, outcome: bool) {
        self.0.fetch_or(1 << u32::from(outcome), SeqCst);
    }

    #[track_caller]
    fn both(&self) {
        assert_eq!(self.0.load(SeqCst), 3, "one outcome was never seen");
    }
}
