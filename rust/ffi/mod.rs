// SPDX-License-Identifier: GPL-2.0

//! Everything that touches C: one file per C header, each wrapper stating its invariant.
//!
//! Above this folder the crate is safe Rust, but for the one promise that makes an ifaddr's link.

pub(crate) mod bindings;
pub mod compat;
pub mod debugfs;
pub mod driven;
pub mod fib;
pub mod inet;
pub mod jiffies;
pub mod kobject;
pub mod kthread;
pub mod module;
pub mod net_namespace;
pub mod netdevice;
pub mod nic;
pub mod notifier;
pub mod packet_type;
pub mod percpu;
pub mod rcu;
pub mod rtnetlink;
pub mod rwonce;
pub mod sched;
pub mod skbuff;
pub mod spinlock;
pub mod trace;
pub mod wait;
pub mod workqueue;
