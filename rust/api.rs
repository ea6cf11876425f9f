// SPDX-License-Identifier: GPL-2.0

//! What other modules see of ifref: `use ifref::{Registration, ...}`.
//!
//! A module that uses it needs symbols of ifref's, and so keeps it loaded. `Documentation/holders.rst`
//! is the guide, `samples/` has the shortest programs. The same for C is `include/ifref.h`.

// tests/things only.
pub use crate::devd::{
    Class,
    Failure,
    Linkage,
    Object,
    Owner,
    Step,
    Veto, //
};

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
            Task,
            Thread, //
        },
        net_namespace::Net,
        netdevice::{
            NetDevice,
            Stats,
            NAME_SIZE, //
        },
        notifier::{
            Listener,
            Listening, //
        },
        packet_type::{
            Capture,
            Receive, //
        },
        rtnetlink::Rtnl,
        skbuff::Skb,
        spinlock::IrqLock, //
    },
    holder::{
        Holder,
        Registration, //
    },
    ifaddr::Ifaddr,
    ifnet::{
        Identity,
        Ifnet, //
    },
    lifecycle::{
        Invalid,
        Reason, //
    },
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
