// SPDX-License-Identifier: GPL-2.0

//! The order-critical core: the state words, VALID, the counts, and what devd is made of.
//!
//! `no_std`, without a kernel type and without `unsafe` that touches C: it is generic over its
//! [`platform`] (atomics and read sections), so that the module uses this source as it is and the
//! model in `tests/model` explores the same source with `loom` on the host.

pub mod bury;
pub mod chain;
pub mod course;
pub mod life;
pub mod link;
pub mod mail;
pub mod pins;
pub mod platform;
pub mod queue;
pub mod state;
pub mod tally;

pub use bury::bury;
pub use chain::{Chain, Linked};
pub use course::{Begun, Course, Linking, Reason, Stage};
pub use life::Life;
pub use link::{check, Followed, Invalid, Link, Target};
pub use mail::Mail;
pub use pins::Pins;
pub use platform::{Platform, Pointer, Shards, Wide, Word};
pub use queue::{Queue, Queued, Taken};
pub use state::{Cause, Phase, State};
pub use tally::{Sums, Tally};
