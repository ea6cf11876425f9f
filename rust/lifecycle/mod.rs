// SPDX-License-Identifier: GPL-2.0

//! The order-critical core: the state words, VALID, the counts, and what devd is made of.
//!
//! `no_std`, without a kernel type and without `unsafe` that touches C: it is generic over its
//! [`platform`] (atomics and read sections), so that the module uses this source as it is and the
//! model in `tests/model` explores the same source with `loom` on the host.

pub(crate) mod bury;
pub(crate) mod chain;
pub(crate) mod course;
pub(crate) mod life;
pub(crate) mod link;
pub(crate) mod mail;
pub(crate) mod pins;
pub(crate) mod platform;
pub(crate) mod queue;
pub(crate) mod state;
pub(crate) mod tally;

pub(crate) use course::Reason;
pub use link::Invalid;

pub(crate) use bury::bury;
pub(crate) use chain::{Chain, Linked};
pub(crate) use course::{Begun, Linking, Stage, Vetoed};
pub(crate) use life::Life;
pub(crate) use link::{check, Followed, Link, Target};
pub(crate) use platform::{Platform, Pointer, Shards, Wide, Word};
pub(crate) use queue::{Queue, Queued};
pub(crate) use state::{Cause, Phase, State};
pub(crate) use tally::{Sums, Tally};
