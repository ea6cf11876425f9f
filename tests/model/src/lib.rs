// SPDX-License-Identifier: GPL-2.0

//! Explores the order-critical core of ifref, `rust/lifecycle`, with loom: the very source that
//! the module is built of, in every order that two or three threads and the memory model allow.
//!
//! [`platform`] puts loom below the core in place of the kernel, [`interface`] is what the core's
//! links lead to, and [`tests`] has, next to each proof, the flaws that it must find. All
//! orders that loom tells apart are explored, except where a test bounds preemptions and says so.

#![cfg(test)]

mod driven;
mod interface;
#[allow(dead_code, unused_imports, reason = "the source is the module's")]
#[path = "../../../rust/lifecycle/mod.rs"]
mod lifecycle;
mod platform;
mod tests;
