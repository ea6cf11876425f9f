// SPDX-License-Identifier: GPL-2.0

//! Everything that touches C: one file per C header, each wrapper stating its invariant.
//!
//! Above this folder the crate is safe Rust, but for the one promise that makes an ifaddr's link.

pub(crate) mod bindings;
pub(crate) mod compat;
pub(crate) mod completion;
pub(crate) mod debugfs;
pub(crate) mod driven;
pub(crate) mod fib;
pub(crate) mod gfp;
pub(crate) mod inet;
pub(crate) mod jiffies;
pub(crate) mod kobject;
pub(crate) mod kthread;
pub(crate) mod module;
pub(crate) mod net_namespace;
pub(crate) mod netdevice;
pub(crate) mod nic;
pub(crate) mod notifier;
pub(crate) mod packet_type;
pub(crate) mod parent;
pub(crate) mod percpu;
pub(crate) mod rcu;
pub(crate) mod rtnetlink;
pub(crate) mod rwonce;
pub(crate) mod sched;
pub(crate) mod skbuff;
pub(crate) mod spinlock;
pub(crate) mod trace;
pub(crate) mod unload;
pub(crate) mod wait;
pub(crate) mod workqueue;
