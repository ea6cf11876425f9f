// SPDX-License-Identifier: GPL-2.0

//! What other modules see of ifref: `use ifref::{Registration, ...}`.
//!
//! A module that uses it needs symbols of ifref's, and so keeps it loaded. `Documentation/holders.rst`
//! is the guide, `samples/` has the shortest programs. The same for C is `include/ifref.h`.

use crate::ffi::{
    kthread,
    notifier,
    packet_type, //
};
use kernel::prelude::*;

pub use crate::{
    entered::Entered,
    ffi::{
        fib::{
            FibChain,
            FibEvent,
            Route, //
        },
        inet::Address,
        kthread::{
            Running,
            Task, //
        },
        net_namespace::Net,
        netdevice::{
            NetDevice,
            Stats,
            NAME_SIZE, //
        },
        notifier::Listener,
        packet_type::Receive,
        rtnetlink::Rtnl,
        skbuff::Skb,
        spinlock::IrqLock,
        unload::UntilUnload, //
    },
    holder::Registration,
    lifecycle::Invalid,
    live::Live,
    lookup::{
        IfaddrId,
        Key, //
    },
    packet::Packet,
    registry::errno,
    stake::{
        IfaddrRef,
        Slot, //
    },
    text::Text, //
};

/// A thread, until it is dropped: that tells it to end, and waits for it. Not in the thread itself.
pub type Thread<T> = UntilUnload<kthread::Thread<T>>;

/// A registration on a chain, until it is dropped. Not in a call of the chain.
pub type Listening<C, L> = UntilUnload<Pin<KBox<notifier::Listening<C, L>>>>;

/// Has what the devices of the initial namespace receive, until it is dropped.
pub type Capture<R> = UntilUnload<packet_type::Capture<R>>;
