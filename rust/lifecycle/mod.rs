// SPDX-License-Identifier: GPL-2.0

//! The order-critical core: the state word, VALID and the counts.
//!
//! `no_std`, without a kernel type and without `unsafe` that touches C: it is generic over its
//! [`platform`] (atomics and read sections), so that the module uses this source as it is and the
//! model in `tests/model` explores the same source with `loom` on the host.

pub mod bury;
pub mod chain;
pub mod link;
pub mod platform;
pub mod state;
pub mod tally;

pub use bury::bury;
pub use chain::{Chain, Linked};
pub use link::{check, Followed, Invalid, Link, Target};
pub use platform::{Platform, Pointer, Shards, Wide, Word};
pub use state::{Cause, Phase, State};
pub use tally::{Sums, Tally};
